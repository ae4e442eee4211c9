//! What was slow, and what was large: the entries behind SLOWLOG and COMMANDLOG.
//!
//! ```text
//!   where a command runs ── over a limit ──► an entry ──► the shard of its client, which adds
//!                                                         who that is, and keeps it
//! ```
//!
//! An entry is made where the command was executed and kept where its client is, so that only an entry
//! travels that there is, and no name or address with every command. Ids are given out by the process:
//! they tell the order of entries of different shards. Each shard keeps as many as the whole server may
//! show, so the newest of all are among them.
//!
//! Nothing is asked per command. How long a run of commands took is known anyway ([`crate::dispatch::Watch`]),
//! and compared with the lowest limit that there is ([`Thresholds`]).

use crate::clients::Client;
use crate::core::{Actor, Core, HostHandler};
use crate::remote::Answer;
use crate::remote::parcel::{Parcel, Sender};
use command::Flags;
use command::table::Entry as Row;
use resp::parse::Batch;
use resp::reply::Mark;
use resp::{Args, Reply};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is logged of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Slow,
    LargeRequest,
    LargeReply,
}

/// Kinds of entries.
pub const KINDS: usize = 3;

#[derive(Clone, Debug)]
pub struct Entry {
    /// Rises, over all shards; each kind has its own.
    pub id: u64,
    pub unix_s: i64,
    /// Microseconds, or bytes.
    pub value: i64,
    pub args: Vec<Box<[u8]>>,
    pub address: String,
    pub name: Box<[u8]>,
}

/// An entry on its way to the shard of its client.
pub struct Sent {
    pub sender: Sender,
    pub kind: Kind,
    pub entry: Entry,
}

/// The last id of each kind.
pub type Ids = [AtomicU64; KINDS];

/// The entries of one shard's clients, the oldest first.
#[derive(Default)]
pub struct CommandLog {
    entries: [VecDeque<Entry>; KINDS],
    /// Runs over the limit whose arguments are in a parcel that is being executed.
    pub later: Vec<Lap>,
    /// About clients that are at work.
    late: Vec<Sent>,
}

/// Calls of one command in a row, and what they took together.
#[derive(Clone, Copy, Debug)]
pub struct Lap {
    /// The command's index in the table.
    pub entry: usize,
    /// Place of the first of them among the commands executed together.
    pub first: usize,
    pub ticks: u64,
}

/// The lowest values at which somebody wants to hear of a command; the largest numbers if nobody does.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    pub ticks: u64,
    /// So little that commands of a run are timed one by one.
    pub each: bool,
    /// Bytes.
    pub request: usize,
    pub reply: usize,
}

impl Thresholds {
    pub const NONE: Thresholds = Thresholds {
        ticks: u64::MAX,
        each: false,
        request: usize::MAX,
        reply: usize::MAX,
    };
}

/// Limits below this, in microseconds, have every command timed by itself.
const EACH_BELOW_US: i64 = 1000;

/// Part of a limit by which a time in ticks may be wrong before the rate is known well.
const TICKS_CERTAIN: f64 = 0.9;

impl Core {
    /// Brings [`Core::thresholds`] up to date with the configuration and the rate of the processor's clock.
    pub fn note_thresholds(&mut self) {
        let slow_us = self.log_limit(Kind::Slow);
        let spike_us = self.config.latency_monitor_threshold().saturating_mul(1000);
        let lowest = slow_us
            .into_iter()
            .chain((spike_us > 0).then_some(spike_us));
        let bytes = |limit: Option<i64>| limit.map_or(usize::MAX, |bytes| bytes as usize);
        let us_per_tick = self.stats.rate.micros(1_000_000) / 1e6;
        self.thresholds = match lowest.min() {
            None => Thresholds::NONE,
            Some(us) => Thresholds {
                ticks: (us as f64 * TICKS_CERTAIN / us_per_tick.max(1e-9)) as u64,
                each: us < EACH_BELOW_US,
                ..Thresholds::NONE
            },
        };
        self.thresholds.request = bytes(self.log_limit(Kind::LargeRequest));
        self.thresholds.reply = bytes(self.log_limit(Kind::LargeReply));
    }

    /// The value from which on commands are logged, if any are.
    fn log_limit(&self, kind: Kind) -> Option<i64> {
        let limit = match kind {
            Kind::Slow => self.config.slowlog_log_slower_than(),
            Kind::LargeRequest => self.config.commandlog_request_larger_than(),
            Kind::LargeReply => self.config.commandlog_reply_larger_than(),
        };
        (limit >= 0 && self.log_length(kind) > 0).then_some(limit)
    }

    /// The most entries that are kept and shown.
    pub fn log_length(&self, kind: Kind) -> usize {
        match kind {
            Kind::Slow => self.config.slowlog_max_len(),
            Kind::LargeRequest => self.config.commandlog_large_request_max_len(),
            Kind::LargeReply => self.config.commandlog_large_reply_max_len(),
        }
    }
}

impl CommandLog {
    pub fn len(&self, kind: Kind) -> usize {
        self.entries[kind as usize].len()
    }

    /// The newest entries, those first.
    pub fn newest(&self, kind: Kind, most: usize) -> Vec<Entry> {
        let entries = self.entries[kind as usize].iter().rev();
        entries.take(most).cloned().collect()
    }

    pub fn reset(&mut self, kind: Kind) {
        self.entries[kind as usize].clear();
    }

    fn add(&mut self, kind: Kind, entry: Entry, most: usize) {
        let entries = &mut self.entries[kind as usize];
        // Entries of other shards may come behind newer ones.
        let at = entries.partition_point(|other| other.id < entry.id);
        entries.insert(at, entry);
        while entries.len() > most {
            entries.pop_front();
        }
    }
}

/// Whose command it was.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// A client of this shard that is at work, so not among the clients.
    Client(&'a Client),
    Actor(Actor),
}

/// Where the arguments of commands executed together are found.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Batch(&'a Batch, &'a [u8]),
    One(Args<'a>),
    Parcel(&'a Parcel),
    /// In a parcel that is being written to: they are logged by [`settle`].
    Later,
}

/// Looks at a run of commands that took long, by what is known cheaply.
#[cold]
#[inline(never)]
pub fn note_lap(core: &mut Core, by: By<'_>, source: Source<'_>, lap: Lap) {
    let args = match source {
        Source::Batch(batch, buf) => batch.command(lap.first, buf),
        Source::One(args) => args,
        Source::Parcel(parcel) => parcel.command(lap.first).1,
        Source::Later => return core.commandlog.later.push(lap),
    };
    let process = Arc::clone(&core.process);
    let entry = &process.table.entries()[lap.entry];
    note_time(core, by, entry, args, lap.ticks);
}

/// Looks at the runs of a parcel's commands that took long.
pub fn settle(core: &mut Core, parcel: &Parcel) {
    if core.commandlog.later.is_empty() {
        return;
    }
    let by = By::Actor(Actor::of(parcel));
    for lap in std::mem::take(&mut core.commandlog.later) {
        note_lap(core, by, Source::Parcel(parcel), lap);
    }
}

/// Logs a command that took so long, and counts a spike, if it was long enough.
pub fn note_time(
    core: &mut Core,
    by: By<'_>,
    entry: &Row<HostHandler>,
    args: Args<'_>,
    ticks: u64,
) {
    if ticks < core.thresholds.ticks {
        return;
    }
    let us = core.stats.rate.micros(ticks) as i64;
    let event = match entry.spec.flags.has(Flags::FAST) {
        true => "fast-command",
        false => "command",
    };
    core.note_spike(event, us);
    note_value(core, by, Kind::Slow, entry, args, us);
}

/// Logs a command if the value is large enough.
pub fn note_value(
    core: &mut Core,
    by: By<'_>,
    kind: Kind,
    entry: &Row<HostHandler>,
    args: Args<'_>,
    value: i64,
) {
    if entry.spec.flags.has(Flags::SKIP_SLOWLOG) || core.log_limit(kind).is_none_or(|l| value < l) {
        return;
    }
    let logged = Entry {
        id: core.process.log_ids[kind as usize].fetch_add(1, Ordering::Relaxed),
        unix_s: Core::clock_us() / 1_000_000,
        value,
        args: shortened(entry, args),
        address: String::new(),
        name: Box::default(),
    };
    match by {
        By::Client(client) => keep(core, kind, logged, Some(client)),
        By::Actor(actor) => {
            let sent = Sent {
                sender: actor.sender,
                kind,
                entry: logged,
            };
            if actor.home == core.me {
                take(core, sent);
            } else {
                core.node
                    .send_reply(actor.home, Answer::Logged(Box::new(sent)));
            }
        }
    }
}

/// Takes an entry about a client of this shard. One whose client has gone stays without its name.
pub fn take(core: &mut Core, sent: Sent) {
    let Sender { conn, client: id } = sent.sender;
    match core.clients.get(conn) {
        None if core.clients.conn_of(id) == Some(conn) => core.commandlog.late.push(sent),
        client => {
            let mut entry = sent.entry;
            if let Some(client) = client.filter(|client| client.id == id) {
                name(&mut entry, client);
            }
            keep(core, sent.kind, entry, None);
        }
    }
}

/// Takes what has come about a client while it is at work.
#[inline]
pub fn take_own(core: &mut Core, client: &Client) {
    if core.commandlog.late.is_empty() {
        return;
    }
    for sent in std::mem::take(&mut core.commandlog.late) {
        let own = Some(client).filter(|client| client.id == sent.sender.client);
        keep(core, sent.kind, sent.entry, own);
    }
}

fn name(entry: &mut Entry, client: &Client) {
    entry.address = client.session.peer.remote();
    entry.name = client.session.name.clone();
}

fn keep(core: &mut Core, kind: Kind, mut entry: Entry, client: Option<&Client>) {
    if let Some(client) = client {
        name(&mut entry, client);
    }
    let most = core.log_length(kind);
    core.commandlog.add(kind, entry, most);
}

/// Logs those of a batch's first commands that are large. Queued ones were not executed.
#[cold]
#[inline(never)]
pub fn note_requests(core: &mut Core, client: &Client, batch: &Batch, buf: &[u8], executed: usize) {
    let process = Arc::clone(&core.process);
    if client.session.multi.is_some() {
        return;
    }
    for at in 0..executed {
        let args = batch.command(at, buf);
        let bytes = wire_size(args);
        if bytes >= core.thresholds.request
            && let Ok(entry) = process.table.resolve(args)
            && entry.spec.accepts(args.len())
        {
            let by = By::Client(client);
            note_value(core, by, Kind::LargeRequest, entry, args, bytes as i64);
        }
    }
}

/// Logs a command whose reply has this many bytes, if they are many enough.
#[cold]
#[inline(never)]
pub fn note_reply(core: &mut Core, by: By<'_>, entry: Option<usize>, args: Args<'_>, bytes: usize) {
    let process = Arc::clone(&core.process);
    if let Some(entry) = entry {
        let entry = &process.table.entries()[entry];
        note_value(core, by, Kind::LargeReply, entry, args, bytes as i64);
    }
}

/// Logs those of a parcel's commands, all executed, whose replies are large.
#[inline]
pub fn note_replies(core: &mut Core, parcel: &Parcel) {
    if parcel.reply.len() >= core.thresholds.reply {
        for at in 0..parcel.done() {
            let (from, to) = parcel.between(at, at + 1);
            let bytes = between(&parcel.reply, from, to);
            if bytes >= core.thresholds.reply {
                let by = By::Actor(Actor::of(parcel));
                let (entry, args) = parcel.command(at);
                note_reply(core, by, Some(entry), args, bytes);
            }
        }
    }
}

/// Bytes between two places of a reply.
pub fn between(reply: &Reply, from: Mark, to: Mark) -> usize {
    let mut piece = Reply::default();
    piece.append(reply, from, to);
    piece.len()
}

/// Bytes of a request, as the protocol has them.
fn wire_size(args: Args<'_>) -> usize {
    let line = |n: usize| n.checked_ilog10().unwrap_or(0) as usize + 1 + 3;
    let words = args.iter().map(|arg| line(arg.len()) + arg.len() + 2);
    line(args.len()) + words.sum::<usize>()
}

/// Arguments that an entry keeps, and bytes of each.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

/// The arguments as they are shown: without secrets, and without what is too much.
fn shortened(entry: &Row<HostHandler>, args: Args<'_>) -> Vec<Box<[u8]>> {
    let shown = match args.len() {
        n if n > ARGS_MAX => ARGS_MAX - 1,
        n => n,
    };
    let mut words: Vec<Box<[u8]>> = (0..shown)
        .map(|i| match args.get(i) {
            _ if is_secret(entry, args, i) => REDACTED.into(),
            arg if arg.len() > ARG_BYTES_MAX => {
                let more = format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX);
                [&arg[..ARG_BYTES_MAX], more.as_bytes()].concat().into()
            }
            arg => arg.into(),
        })
        .collect();
    if shown < args.len() {
        let more = format!("... ({} more arguments)", args.len() - shown);
        words.push(more.as_bytes().into());
    }
    words
}

/// What is shown of a secret.
pub const REDACTED: &[u8] = b"(redacted)";

/// Whether an argument must not be shown to others.
pub fn is_secret(entry: &Row<HostHandler>, args: Args<'_>, i: usize) -> bool {
    match &*entry.full_name {
        "auth" => i > 0,
        "hello" => {
            let is_auth = |at: usize| at >= 2 && args.is(at, "AUTH");
            i > 2 && (is_auth(i - 1) || i > 3 && is_auth(i - 2))
        }
        "config|set" => i > 2 && i % 2 == 1 && crate::config::table::is_sensitive(args.get(i - 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64) -> Entry {
        Entry {
            id,
            unix_s: 0,
            value: 0,
            args: Vec::new(),
            address: String::new(),
            name: Box::default(),
        }
    }

    #[test]
    fn the_newest_entries_stay_in_the_order_of_their_ids() {
        let mut log = CommandLog::default();
        for id in [1, 4, 2, 7, 6, 0] {
            log.add(Kind::Slow, entry(id), 3);
        }
        let ids: Vec<u64> = log.newest(Kind::Slow, 9).iter().map(|e| e.id).collect();
        assert_eq!(ids, [7, 6, 4]);
        assert_eq!(log.newest(Kind::Slow, 1)[0].id, 7);
        assert_eq!(log.len(Kind::LargeReply), 0);
        log.reset(Kind::Slow);
        assert_eq!(log.len(Kind::Slow), 0);
    }
}
