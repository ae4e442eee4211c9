//! What CLIENT LIST and CLIENT INFO show of a client: one line, in Redis 8's fields and order.

use crate::clients::{Client, Closing, Held, Peer, Special};
use crate::core::Core;
use resp::{Args, Protocol, Reply};
use std::io::Write;

/// What is known of the caller's own command while it runs.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    /// Where its reply goes; the client's own is away meanwhile.
    pub reply: &'a Reply,
    pub args: Args<'a>,
}

/// Letters of what is special about a client, in Redis's order.
pub(super) fn flags(client: &Client) -> String {
    let letters = [
        ('b', client.held == Some(Held::Paused)),
        ('c', client.closing == Closing::AfterReply),
        ('A', client.closing == Closing::Now),
        ('U', matches!(client.session.peer, Peer::Unix { .. })),
        ('e', client.session.no_evict),
        ('T', client.special.has(Special::NO_TOUCH)),
    ];
    let flags: String = letters.iter().filter(|l| l.1).map(|l| l.0).collect();
    if flags.is_empty() { "N".into() } else { flags }
}

/// Appends the line of a client, with its end. `own` is there if the client is the caller.
pub(super) fn write(line: &mut Vec<u8>, core: &Core, client: &Client, own: Option<Own<'_>>) {
    let session = &client.session;
    let now_ms = core.now_ms();
    let reply = own.map_or(&client.reply, |o| o.reply);
    let argv: usize = own.map_or(0, |o| o.args.iter().map(<[u8]>::len).sum());
    let input = client.input.memory();
    let shared: usize = reply.splices().iter().map(|s| s.bytes.len()).sum();
    let outside = shared + session.in_flight;
    let texts = session.name.len() + session.lib_name.len() + session.lib_version.len();
    let total = size_of::<Client>() + texts + argv + input + reply.capacity() + outside;
    let command = session
        .last_command
        .map(|i| &core.process.table.entries()[i]);
    let pieces = reply.splices().len() + usize::from(session.in_flight > 0);
    let protocol = match reply.protocol() {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    let fields: &[(&str, &dyn std::fmt::Display)] = &[
        ("id", &client.id),
        ("addr", &session.peer.remote()),
        ("laddr", &session.peer.local()),
        ("fd", &session.fd),
        ("name", &String::from_utf8_lossy(&session.name)),
        ("age", &((now_ms - session.created_ms) / 1000)),
        ("idle", &((now_ms - session.last_active_ms) / 1000)),
        ("flags", &flags(client)),
        ("db", &client.db),
        ("sub", &0),
        ("psub", &0),
        ("ssub", &0),
        ("multi", &-1),
        ("watch", &0),
        ("qbuf", &input),
        ("qbuf-free", &0),
        ("argv-mem", &argv),
        ("multi-mem", &0),
        ("rbs", &reply.capacity()),
        ("rbp", &reply.bytes().len()),
        ("obl", &reply.bytes().len()),
        ("oll", &pieces),
        ("omem", &outside),
        ("tot-mem", &total),
        ("events", &if outside > 0 { "rw" } else { "r" }),
        ("cmd", &command.map_or("NULL", |c| &c.full_name)),
        ("user", &"default"),
        ("redir", &-1),
        ("resp", &protocol),
        ("lib-name", &String::from_utf8_lossy(&session.lib_name)),
        ("lib-ver", &String::from_utf8_lossy(&session.lib_version)),
        ("io-thread", &0),
        ("tot-net-in", &session.bytes_in),
        ("tot-net-out", &session.bytes_out),
        ("tot-cmds", &session.commands),
    ];
    for (i, (name, value)) in fields.iter().enumerate() {
        let space = if i > 0 { " " } else { "" };
        // Writing to a vector does not fail.
        let _ = write!(line, "{space}{name}={value}");
    }
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::ConnId;

    fn client(peer: Peer) -> Client {
        Client::new(7, ConnId(0), peer, 9, 1000)
    }

    #[test]
    fn flags_come_in_order_and_none_is_a_letter_too() {
        let remote = "[fe80::1%3]:5".parse().expect("an address");
        let local = "127.0.0.1:6379".parse().expect("an address");
        let mut c = client(Peer::Tcp { remote, local });
        assert_eq!(flags(&c), "N");
        assert_eq!(c.session.peer.remote(), "[fe80::1]:5");
        c.special.set(Special::NO_TOUCH, true);
        c.session.no_evict = true;
        c.held = Some(Held::Paused);
        assert_eq!(flags(&c), "beT");
        let c = client(Peer::Unix { path: "/s".into() });
        assert_eq!(flags(&c), "U");
        assert_eq!(c.session.peer.local(), "/s:0");
    }
}
