//! MONITOR: a line for every command, for the clients that have asked for it.
//!
//! ```text
//!   a client's shard: its command is called ──► feed ──┬──► monitors of this shard
//!                                                      └──► each shard that has monitors ──► those
//! ```
//!
//! Commands are told where their client is, whatever shard executes them, so each client's come in their
//! order. Every shard knows how many monitors there are on which shard; while there are any, all clients'
//! commands take the careful way ([`Special::MONITORED`]), and nobody else pays for it.

use crate::clients::{Client, Closing, Peer, Special};
use crate::commandlog::{REDACTED, is_secret};
use crate::core::{Core, HostHandler};
use crate::remote::parcel::Sender;
use crate::remote::{Answer, Request};
use command::Flags;
use command::table::Entry;
use resp::{Args, Reply};
use std::fmt::Write;
use std::sync::Arc;

#[derive(Default)]
pub struct Monitors {
    /// This shard's.
    clients: Vec<Sender>,
    /// How many there are, by shard.
    counts: Vec<usize>,
}

/// Notes that a shard has a monitor more or less.
pub fn note(core: &mut Core, shard: usize, more: bool) {
    let counts = &mut core.monitors.counts;
    counts.resize(core.placement.shards(), 0);
    counts[shard] = match more {
        true => counts[shard] + 1,
        false => counts[shard].saturating_sub(1),
    };
    let any = counts.iter().any(|n| *n > 0);
    core.special.set(Special::MONITORED, any);
}

/// Begins to tell a client, of which all shards know.
pub fn add(core: &mut Core, client: &mut Client) {
    client.special.set(Special::MONITOR, true);
    core.monitors.clients.push(Sender::of(client));
}

/// Ends telling a client that goes or begins anew.
pub fn remove(core: &mut Core, client: &mut Client) {
    if client.special.has(Special::MONITOR) {
        client.special.set(Special::MONITOR, false);
        let gone = Sender::of(client);
        core.monitors.clients.retain(|sender| *sender != gone);
        announce_gone(core);
    }
}

/// Tells all shards that this one has a monitor less.
pub fn announce_gone(core: &mut Core) {
    let me = core.me;
    for shard in (0..core.placement.shards()).filter(|shard| *shard != me) {
        core.node.send_request(shard, Request::MonitorGone);
    }
    note(core, me, false);
}

/// Tells all monitors of a client's command. `reply` is the client's, which may be a monitor itself.
#[cold]
pub fn feed(
    core: &mut Core,
    client: &Client,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) {
    if is_hidden(entry) {
        return;
    }
    let line = of_client(client, entry, args);
    tell_others(core, &line);
    let own = Sender::of(client);
    if core.monitors.clients.contains(&own) && client.closing == Closing::No {
        reply.raw(&line);
    }
    deliver(core, &line);
}

/// The line of a client's command.
pub fn of_client(client: &Client, entry: &Entry<HostHandler>, args: Args<'_>) -> Arc<[u8]> {
    let address = match &client.session.peer {
        Peer::Unix { path } => format!("unix:{path}"),
        tcp @ Peer::Tcp { .. } => tcp.remote(),
    };
    line(client.db, &address, entry, args)
}

/// Tells the shards that have monitors, but this one.
fn tell_others(core: &mut Core, line: &Arc<[u8]>) {
    let me = core.me;
    for shard in (0..core.placement.shards()).filter(|shard| *shard != me) {
        if core.monitors.counts.get(shard).is_some_and(|n| *n > 0) {
            let line = Arc::clone(line);
            core.node.send_reply(shard, Answer::Monitored(line));
        }
    }
}

/// The line of a script's command, unless that is shown to nobody.
pub fn of_script(db: usize, entry: &Entry<HostHandler>, args: Args<'_>) -> Option<Arc<[u8]>> {
    (!is_hidden(entry)).then(|| line(db, "lua", entry, args))
}

/// Tells all monitors what a script has done.
pub fn tell(core: &mut Core, lines: impl IntoIterator<Item = Arc<[u8]>>) {
    for line in lines {
        tell_others(core, &line);
        deliver(core, &line);
    }
}

/// Whether a command is shown to nobody, or not here.
pub fn is_hidden(entry: &Entry<HostHandler>) -> bool {
    let flags = entry.spec.flags;
    flags.has(Flags::ADMIN) || flags.has(Flags::SKIP_MONITOR)
}

/// Gives a line to this shard's monitors, but one that is at work.
pub fn deliver(core: &mut Core, line: &[u8]) {
    let monitors = std::mem::take(&mut core.monitors.clients);
    for sender in &monitors {
        let client = core.clients.get_mut(sender.conn);
        let client = client.filter(|c| c.id == sender.client && c.closing == Closing::No);
        if let Some(client) = client {
            if client.reply.is_empty() {
                client.reply.put_buffer(core.spare.take());
            }
            client.reply.raw(line);
            core.clients.mark(sender.conn);
        }
    }
    core.monitors.clients = monitors;
}

/// `+time [db address] "word" …`, as Redis has it.
fn line(db: usize, address: &str, entry: &Entry<HostHandler>, args: Args<'_>) -> Arc<[u8]> {
    let now_us = Core::clock_us();
    let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
    let mut line = format!("+{seconds}.{micros:06} [{db} {address}]");
    for (i, arg) in args.iter().enumerate() {
        line.push(' ');
        match is_secret(entry, args, i) {
            true => quote(&mut line, REDACTED),
            false => quote(&mut line, arg),
        }
    }
    line.push_str("\r\n");
    line.into_bytes().into()
}

/// A word in quotes, in which no byte is left that could end the line or is not ASCII.
fn quote(line: &mut String, word: &[u8]) {
    line.push('"');
    for byte in word {
        match byte {
            b'\\' | b'"' => {
                line.push('\\');
                line.push(char::from(*byte));
            }
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(*byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_redis_does() {
        let mut line = String::new();
        quote(&mut line, b"a\"b\\\r\n\t\x01\xff\x07\x08\x7f ~");
        assert_eq!(line, r#""a\"b\\\r\n\t\x01\xff\a\b\x7f ~""#);
    }
}
