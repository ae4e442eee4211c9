//! What CLIENT LIST and CLIENT INFO show of a client: one line, in Redis 8's fields and order.

use crate::clients::{Client, Closing, Held, Peer, Special};
use crate::core::Core;
use crate::pubsub::Kind;
use crate::tracking::Mode;
use resp::number::Decimal;
use resp::{Args, Protocol, Reply};

/// What is known of the caller's own command while it runs.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    /// Where its reply goes; the client's own is away meanwhile.
    pub reply: &'a Reply,
    pub args: Args<'a>,
}

/// Letters of what is special about a client, in Redis's order.
pub(super) fn flags(client: &Client) -> String {
    let caching = client.session.tracking.as_ref();
    let letters = [
        ('O', client.special.has(Special::MONITOR)),
        ('P', client.special.has(Special::SUBSCRIBED)),
        ('x', client.special.has(Special::MULTI)),
        (
            'b',
            matches!(client.held, Some(Held::Paused | Held::Blocked)),
        ),
        ('t', client.special.has(Special::TRACKING)),
        ('R', caching.is_some_and(|c| c.broken)),
        ('B', caching.is_some_and(|c| c.mode == Mode::Broadcast)),
        ('c', client.closing == Closing::AfterReply),
        ('A', client.closing == Closing::Now),
        ('U', matches!(client.session.peer, Peer::Unix { .. })),
        ('e', client.session.no_evict),
        ('T', client.special.has(Special::NO_TOUCH)),
    ];
    let flags: String = letters.iter().filter(|l| l.1).map(|l| l.0).collect();
    if flags.is_empty() { "N".into() } else { flags }
}

/// The client that gets this one's invalidations: 0 if it is itself, -1 if there are none.
pub(super) fn redirection(client: &Client) -> i64 {
    match &client.session.tracking {
        None => -1,
        Some(caching) => caching.redirect.map_or(0, |other| other.client as i64),
    }
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
    let mut line = Line(line);
    line.raw("id=");
    line.0
        .extend_from_slice(Decimal::unsigned(client.id).as_bytes());
    line.text("addr", session.peer.remote().as_bytes());
    line.text("laddr", session.peer.local().as_bytes());
    line.int("fd", session.fd);
    line.text("name", &session.name);
    line.int("age", (now_ms - session.created_ms) / 1000);
    line.int("idle", (now_ms - session.last_active_ms) / 1000);
    line.text("flags", flags(client).as_bytes());
    line.count("db", client.db as u64);
    let subscriptions = |kind| {
        let all = session.subscriptions.as_ref();
        all.map_or(0, |all| all.of(kind).len() as u64)
    };
    line.count("sub", subscriptions(Kind::Channel));
    line.count("psub", subscriptions(Kind::Pattern));
    line.count("ssub", subscriptions(Kind::Sharded));
    let multi = session.multi.as_ref();
    line.int("multi", multi.map_or(-1, |m| m.queue.len() as i64));
    line.count("watch", session.watched.len() as u64);
    line.count("qbuf", input as u64);
    line.raw(" qbuf-free=0");
    line.count("argv-mem", argv as u64);
    line.count("multi-mem", multi.map_or(0, |m| m.bytes as u64));
    line.count("rbs", reply.capacity() as u64);
    line.count("rbp", reply.bytes().len() as u64);
    line.count("obl", reply.bytes().len() as u64);
    line.count("oll", pieces as u64);
    line.count("omem", outside as u64);
    line.count("tot-mem", total as u64);
    line.raw(if outside > 0 {
        " events=rw"
    } else {
        " events=r"
    });
    line.text("cmd", command.map_or("NULL", |c| &c.full_name).as_bytes());
    line.raw(" user=default");
    line.int("redir", redirection(client));
    line.int("resp", protocol);
    line.text("lib-name", &session.lib_name);
    line.text("lib-ver", &session.lib_version);
    line.count("io-thread", core.me as u64);
    line.count("tot-net-in", session.bytes_in);
    line.count("tot-net-out", session.bytes_out);
    line.count("tot-cmds", session.commands);
    line.0.push(b'\n');
}

/// A line being written: there may be ten thousand of them.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, name: &str) {
        self.0.push(b' ');
        self.raw(name);
        self.0.push(b'=');
    }

    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.0.extend_from_slice(value);
    }

    fn int(&mut self, name: &str, value: impl Into<i64>) {
        self.text(name, Decimal::signed(value.into()).as_bytes());
    }

    fn count(&mut self, name: &str, value: u64) {
        self.text(name, Decimal::unsigned(value).as_bytes());
    }
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
