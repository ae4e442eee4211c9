//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: what a client has queued, and which keys it watches.
//!
//! Between MULTI and EXEC commands are checked as always, and then queued. How a queue is executed, on
//! one shard or several, is [`crate::remote::exec`]'s matter. Watched keys are watched by their shards
//! (`store/watch.rs`); the client remembers what each was like.

use crate::clients::{Client, Special};
use crate::core::{Core, Host, HostHandler};
use crate::remote::parcel::Parcel;
use crate::remote::survey::{self, Finding, Findings, Topic, Whom};
use crate::remote::{self, Request, exec};
use crate::scripting;
use command::keyspec::{KeyFlags, KeySpec};
use command::spec::Argument;
use command::table::{Entry, Row, Run};
use command::{Effect, Error, Flags, Outcome, Spec};
use resp::{Args, Reply};
use store::watch::Seen;

const CHEAP: Flags = Flags::NOSCRIPT
    .or(Flags::LOADING)
    .or(Flags::STALE)
    .or(Flags::FAST)
    .or(Flags::ALLOW_BUSY);

static MULTI: Spec = Spec {
    name: "multi",
    group: "transactions",
    since: "1.2.0",
    arity: 1,
    flags: CHEAP,
    summary: "Begins a transaction: queues the commands that follow.",
    ..Spec::DEFAULT
};

static EXEC: Spec = Spec {
    name: "exec",
    group: "transactions",
    since: "1.2.0",
    arity: 1,
    flags: Flags::NOSCRIPT
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::SKIP_SLOWLOG),
    summary: "Executes the queued commands at one moment.",
    complexity: "That of the queued commands.",
    ..Spec::DEFAULT
};

static DISCARD: Spec = Spec {
    name: "discard",
    group: "transactions",
    since: "2.0.0",
    arity: 1,
    flags: CHEAP,
    summary: "Forgets the queued commands, and which keys are watched.",
    complexity: "O(N) with N the queued commands.",
    ..Spec::DEFAULT
};

static WATCH: Spec = Spec {
    name: "watch",
    group: "transactions",
    since: "2.2.0",
    arity: -2,
    flags: CHEAP,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::RO)],
    summary: "Lets the next EXEC do nothing if one of the keys changes until then.",
    complexity: "O(1) per key.",
    arguments: &[Argument::key("key", 0).multiple()],
    ..Spec::DEFAULT
};

static UNWATCH: Spec = Spec {
    name: "unwatch",
    group: "transactions",
    since: "2.2.0",
    arity: 1,
    flags: CHEAP,
    summary: "Forgets which keys are watched.",
    ..Spec::DEFAULT
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::command(&DISCARD, discard),
        Row::command(&EXEC, exec),
        Row::command(&MULTI, multi),
        Row::command(&UNWATCH, unwatch),
        Row::command(&WATCH, watch),
    ]
}

/// What a client has queued since MULTI.
#[derive(Default)]
pub struct Multi {
    /// The commands, in a parcel that can travel as it is.
    pub queue: Box<Parcel>,
    /// A command was refused.
    pub broken: bool,
    /// Flags of all commands together.
    pub flags: u32,
    /// One of them is not on data.
    pub has_host: bool,
    /// One of them runs a script.
    pub has_script: bool,
    /// Bytes of their arguments.
    pub bytes: usize,
}

/// A key that a client watches.
#[derive(Clone)]
pub struct WatchedKey {
    pub db: usize,
    pub key: Box<[u8]>,
    pub shard: usize,
    pub seen: Seen,
}

/// Commands that are executed between MULTI and EXEC too.
fn is_immediate(entry: &Entry<HostHandler>) -> bool {
    const IMMEDIATE: &[&str] = &["exec", "discard", "multi", "watch", "quit", "reset"];
    IMMEDIATE.contains(&&*entry.full_name)
}

/// Queues a command that has passed all checks, if its client is between MULTI and EXEC; whether it
/// did.
pub fn queue(
    core: &Core,
    client: &mut Client,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) -> bool {
    let Some(multi) = &mut client.session.multi else {
        return false;
    };
    if is_immediate(entry) {
        return false;
    }
    multi.queue.push(entry.index, args);
    multi.flags |= entry.spec.flags.0;
    multi.has_host |= !matches!(entry.run, Run::Data(_));
    multi.has_script |= scripting::is_script(entry) || remote::searches(core, entry, args);
    multi.bytes += args.iter().map(<[u8]>::len).sum::<usize>();
    reply.simple("QUEUED");
    true
}

/// Whether a command is an EXEC whose queue is being executed still.
pub fn is_under_way(client: &Client, entry: &Entry<HostHandler>) -> bool {
    entry.spec.name == EXEC.name && client.is_out()
}

/// Flags of the queued commands if `entry` is to execute them.
pub fn queued_flags(client: &Client, entry: &Entry<HostHandler>) -> Flags {
    match &client.session.multi {
        Some(multi) if entry.spec.name == EXEC.name => Flags(multi.flags),
        _ => Flags::NONE,
    }
}

/// A command was refused: if it would have been queued, EXEC will be refused too.
pub fn note_refusal(client: &mut Client) {
    if let Some(multi) = &mut client.session.multi {
        multi.broken = true;
    }
}

/// [`note_refusal`] of a command that is known, and what is said of it. Refusing EXEC ends the transaction.
pub fn refused(
    core: &mut Core,
    client: &mut Client,
    entry: &Entry<HostHandler>,
    error: Error,
) -> Error {
    if entry.spec.name != EXEC.name {
        note_refusal(client);
        return error;
    }
    forget(core, client);
    discarded(&error)
}

/// What EXEC answers when it is refused.
fn discarded(why: &Error) -> Error {
    let text = why.text();
    let why = text.strip_prefix(b"ERR ").unwrap_or(text);
    Error::bytes([b"EXECABORT Transaction discarded because of: ", why].concat())
}

fn multi(host: &mut Host<'_>) -> Outcome {
    if host.client.session.multi.is_some() {
        return Err(Error::new("ERR MULTI calls can not be nested"));
    }
    let queue = host.core.stock.parcel(host.client, host.reply.protocol());
    host.client.session.multi = Some(Box::new(Multi {
        queue,
        ..Multi::default()
    }));
    host.client.special.set(Special::MULTI, true);
    host.reply.ok();
    Ok(Effect::Read)
}

/// Takes what a client has queued; it is not between MULTI and EXEC any more.
fn take(client: &mut Client) -> Option<Box<Multi>> {
    client.special.set(Special::MULTI, false);
    client.session.multi.take()
}

fn exec(host: &mut Host<'_>) -> Outcome {
    let Some(multi) = take(host.client) else {
        return Err(Error::new("ERR EXEC without MULTI"));
    };
    let refusal = if multi.broken {
        Some(Error::new(
            "EXECABORT Transaction discarded because of previous errors.",
        ))
    } else {
        let is_busy = scripting::hold_up_queue(host.core, &multi.queue);
        is_busy.then(|| discarded(&scripting::busy()))
    };
    if let Some(error) = refusal {
        host.core.stock.put_parcel(multi.queue);
        unwatch_all(host.core, host.client);
        return Err(error);
    }
    let watched = std::mem::take(&mut host.client.session.watched);
    exec::begin(host, *multi, watched);
    Ok(Effect::Read)
}

fn discard(host: &mut Host<'_>) -> Outcome {
    if host.client.session.multi.is_none() {
        return Err(Error::new("ERR DISCARD without MULTI"));
    }
    forget(host.core, host.client);
    host.reply.ok();
    Ok(Effect::Read)
}

/// Forgets what a client has queued and watches.
pub fn forget(core: &mut Core, client: &mut Client) {
    if let Some(multi) = take(client) {
        core.stock.put_parcel(multi.queue);
    }
    unwatch_all(core, client);
}

fn unwatch(host: &mut Host<'_>) -> Outcome {
    unwatch_all(host.core, host.client);
    host.reply.ok();
    Ok(Effect::Read)
}

fn watch(host: &mut Host<'_>) -> Outcome {
    if host.client.session.multi.is_some() {
        return Err(Error::new("ERR WATCH inside MULTI is not allowed"));
    }
    let (args, placement) = (host.args, host.core.placement);
    let mut keys = args.iter().skip(1).map(|key| placement.of(key));
    let whom = match keys.next() {
        Some(shard) if keys.all(|other| other == shard) => Whom::One(shard),
        _ => Whom::All,
    };
    survey::ask(host, whom, Topic::Watch, watched)
}

/// A shard begins to watch those keys of WATCH that are its own.
pub fn watch_here(core: &mut Core, db: usize, args: Args<'_>) -> Finding {
    let mut seen = Vec::new();
    for name in args.iter().skip(1) {
        if core.placement.of(name) == core.me {
            let key = core.shard.key(name);
            seen.push(core.shard.watch(db, key));
        }
    }
    Finding::Seen(seen)
}

/// The keys that all shards watch now.
fn found(core: &Core, db: usize, args: Args<'_>, findings: Findings) -> Vec<WatchedKey> {
    let mut watched = Vec::new();
    for (shard, finding) in findings {
        let Finding::Seen(seen) = finding else {
            unreachable!("a watching shard tells what it has seen");
        };
        let keys = args.iter().skip(1);
        let own = keys.filter(|key| core.placement.of(key) == shard);
        watched.extend(own.zip(seen).map(|(key, seen)| WatchedKey {
            db,
            key: key.into(),
            shard,
            seen,
        }));
    }
    watched
}

/// The client of a WATCH has gone.
pub fn unwatch_found(core: &mut Core, db: usize, args: Args<'_>, findings: Findings) {
    let keys = found(core, db, args, findings);
    release(core, keys);
}

/// All shards watch.
fn watched(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let mut double = Vec::new();
    for new in found(host.core, host.client.db, host.args, findings) {
        // Of a key that is watched already, the first look counts.
        let known = &mut host.client.session.watched;
        if known.iter().any(|k| k.db == new.db && k.key == new.key) {
            double.push(new);
        } else {
            known.push(new);
        }
    }
    release(host.core, double);
    host.reply.ok();
    Ok(Effect::Read)
}

/// Has a client's keys watched no more.
pub fn unwatch_all(core: &mut Core, client: &mut Client) {
    if !client.session.watched.is_empty() {
        release(core, std::mem::take(&mut client.session.watched));
    }
}

/// Tells the shards of keys that they are watched once less.
pub fn release(core: &mut Core, mut keys: Vec<WatchedKey>) {
    keys.sort_unstable_by_key(|watched| watched.shard);
    for of_shard in keys.chunk_by(|a, b| a.shard == b.shard) {
        let hash = |watched: &WatchedKey| (watched.db, core.shard.key(&watched.key).hash);
        let hashes: Vec<_> = of_shard.iter().map(hash).collect();
        let shard = of_shard[0].shard;
        if shard == core.me {
            unwatch_here(core, &hashes);
        } else {
            let request = Request::Unwatch(hashes);
            core.node.send_request(shard, request);
        }
    }
}

/// Keys of this shard, by database and hash, are watched once less.
pub fn unwatch_here(core: &mut Core, hashes: &[(usize, u64)]) {
    for (db, hash) in hashes {
        core.shard.unwatch(*db, *hash);
    }
}
