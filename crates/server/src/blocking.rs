//! Clients that wait for a key: BLPOP, XREAD BLOCK and their kin.
//!
//! ```text
//!   the command found nothing ──► a claim, and for each key, on its shard, a call that names it alone
//!   a key changes ──► ready ──► look: for whose call is there something? ──► serve: the call runs there
//!                                                        the client's shard: woken ◄── its reply
//! ```
//!
//! Whose turn it is, and that a claim is served once, is the engine's matter (`engine/waiters.rs`). What
//! moves an element to a list that is elsewhere, or locked, cannot be served on the shard of its source:
//! then the client's command begins again as a whole, and waits for as long as it still had.

use crate::clients::{Client, Held};
use crate::commandlog::{self, By, Source};
use crate::core::{Actor, Core, HostHandler};
use crate::dispatch::{self, Perform};
use crate::remote::parcel::{Parcel, Sender, Stock};
use crate::remote::route::To;
use crate::remote::{self, Pass, form_of, is_silent, tx};
use crate::scripting;
use crate::tracking;
use command::blocking::Wait;
use command::context::Settings;
use command::table::Entry;
use command::{Blocking, Context, Effect, Form};
use engine::locks::{Mode, Name};
use engine::tx::ShardId;
use engine::{ClaimId, Spot};
use resp::{Args, Pack, Reply};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use store::Shard;
use store::watch::Change;

/// A client's wait.
pub struct Blocked {
    pub claim: ClaimId,
    until_ms: Option<i64>,
    /// The whole command.
    command: Box<Parcel>,
    silent: bool,
}

/// Who waits on a shard, and whose clients wait.
#[derive(Default)]
pub struct Waits {
    /// Of each claim that waits here, the call for each key.
    calls: HashMap<ClaimId, Vec<(Spot, Box<Parcel>)>, ahash::RandomState>,
    /// This shard's clients that wait, by the numbers of their claims.
    clients: HashMap<u64, Sender, ahash::RandomState>,
    /// When a wait is over, with the claim's number.
    deadlines: BTreeSet<(i64, u64)>,
    /// Claims whose transactions have not come home.
    coming: HashSet<u64, ahash::RandomState>,
    /// What claims were served before their clients knew that they wait.
    early: HashMap<u64, Box<Parcel>, ahash::RandomState>,
}

impl Waits {
    /// Clients of this shard that wait.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Those that will not wait for ever.
    pub fn timed(&self) -> usize {
        self.deadlines.len()
    }

    /// When the first wait is over, in Unix milliseconds.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.first().map(|(at, _)| *at)
    }
}

/// The calls of a claim that a part of a transaction brings to a shard.
pub struct Arrivals {
    pub claim: ClaimId,
    pub calls: Vec<(Spot, Pack)>,
}

fn spot(core: &Core, db: usize, key: &[u8]) -> Spot {
    Spot {
        name: Name(core.shard.key(key).hash),
        kind: db as u64,
    }
}

/// Executes a command that may wait, which `wait` says; false if it has to be executed later.
#[allow(clippy::too_many_arguments)]
pub fn execute(
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    blocking: Blocking,
    form: Form,
    args: Args<'_>,
    to: To,
) -> bool {
    if core.flight.is_some() {
        return false;
    }
    client.session.commands += 1;
    client.session.last_command = Some(entry.index);
    if to != To::Shard(core.me) {
        if scripting::refuse(core, client, reply, entry, args) {
            return true;
        }
        tx::begin(core, client, reply.protocol(), entry, form, args);
        return true;
    }
    let Some(pass) = remote::pass(core, client, entry, to, args) else {
        client.session.commands -= 1;
        return false;
    };
    if let Pass::Busy = pass {
        core.reply_error(reply, &scripting::busy());
        return true;
    }
    let mark = reply.mark();
    let perform = Perform::new(form, None);
    let mut watch = dispatch::Watch::start(Source::One(args));
    watch.next(core, By::Client(client), entry.index, 0, args.len());
    let effect = dispatch::execute_with_effect(core, client.db, reply, entry, perform, args);
    watch.stop(core, By::Client(client));
    if effect == Some(Effect::Blocks) {
        let brief = core.stock.parcel(client, reply.protocol());
        let mut command = Stock::lasting(&brief);
        core.stock.put_parcel(brief);
        command.push(entry.index, args);
        reply.rewind(mark);
        wait_here(core, client, entry, blocking, command, args);
    }
    remote::passed(core, pass);
    true
}

/// Has a client wait for keys that are all on its own shard.
fn wait_here(
    core: &mut Core,
    client: &mut Client,
    entry: &Entry<HostHandler>,
    blocking: Blocking,
    command: Box<Parcel>,
    args: Args<'_>,
) {
    remote::place(core, entry, args);
    let keys = std::mem::take(&mut core.places);
    let mut calls = Vec::new();
    for key in &keys {
        let mut call = Pack::default();
        let mut context = Context {
            shard: &mut core.shard,
            db: client.db,
            args,
            hash: None,
            warm: false,
            reply: &mut Reply::default(),
            settings: &core.settings,
            effects: &mut command::Effects::default(),
        };
        if (blocking.alone)(&mut context, key.at, &mut call) {
            calls.push((spot(core, client.db, args.get(key.at)), call));
        }
    }
    core.places = keys;
    let claim = core.engine.open_claim(vec![core.me as u16]);
    let arrivals = Arrivals { claim, calls };
    arrive(core, &command, arrivals);
    let wait = (blocking.wait)(args, core.shard.now_ms()).unwrap_or(Wait::Forever);
    block(core, client, claim, wait, command, is_silent(client));
    core.note_locks();
}

/// Lets a claim wait for keys of this shard, on which nothing was found. `like` is of its client.
pub fn arrive(core: &mut Core, like: &Parcel, arrivals: Arrivals) {
    let mut calls: Vec<(Spot, Box<Parcel>)> = Vec::new();
    for (spot, call) in arrivals.calls {
        // A key that is named twice is waited for once.
        if calls.iter().any(|(other, _)| *other == spot) {
            continue;
        }
        let mut parcel = Stock::lasting(like);
        parcel.push(like.command(0).0, call.command(0));
        calls.push((spot, parcel));
    }
    let spots: Vec<Spot> = calls.iter().map(|(spot, _)| *spot).collect();
    core.engine.wait_for(arrivals.claim, &spots);
    core.waits.calls.insert(arrivals.claim, calls);
}

/// Has a client wait until its claim is served.
pub fn block(
    core: &mut Core,
    client: &mut Client,
    claim: ClaimId,
    wait: Wait,
    command: Box<Parcel>,
    silent: bool,
) {
    let until_ms = match wait {
        Wait::Until(at) => Some(at),
        Wait::No | Wait::Forever => None,
    };
    core.waits.clients.insert(claim.seq, Sender::of(client));
    if let Some(at) = until_ms {
        core.waits.deadlines.insert((at, claim.seq));
    }
    client.blocked = Some(Box::new(Blocked {
        claim,
        until_ms,
        command,
        silent,
    }));
    client.held = Some(Held::Blocked);
}

/// Keys of this shard have changed: tells those who wait for them, and those who have them cached.
#[cold]
#[inline(never)]
pub fn note_changes(core: &mut Core) {
    let mut log = std::mem::take(&mut core.changes);
    core.shard.take_log(&mut log);
    if core.tracking.is_on() {
        tracking::note(core, &log);
    }
    for change in log.drain(..) {
        let dbs = match change {
            Change::Key { db, hash, .. } => {
                let name = Name(hash);
                let kind = db as u64;
                core.engine.ready(Spot { name, kind });
                continue;
            }
            Change::Flushed(db) => [db; 2],
            Change::Swapped(a, b) => [a, b],
        };
        let spots = core.engine.spots();
        let there: Vec<Spot> = spots
            .filter(|spot| dbs.contains(&(spot.kind as usize)))
            .collect();
        there.into_iter().for_each(|spot| core.engine.ready(spot));
    }
    core.changes = log;
}

/// Finds the first of those who wait for a key for whose call there is something.
pub fn look(core: &mut Core, spot: Spot) {
    let process = Arc::clone(&core.process);
    let waiting: Vec<ClaimId> = core.engine.waiting(spot).collect();
    let mut in_vain = None;
    let found = waiting.into_iter().find(|claim| {
        let calls = core.waits.calls.get(claim).into_iter().flatten();
        let Some((_, call)) = calls.into_iter().find(|(of, _)| *of == spot) else {
            return false;
        };
        let entry = &process.table.entries()[call.command(0).0];
        // All pops of a kind find the same.
        if in_vain == Some(entry.index) {
            return false;
        }
        let is_ready = is_ready(&mut core.shard, &core.settings, entry, call);
        if !is_ready && entry.spec.group != "stream" {
            in_vain = Some(entry.index);
        }
        is_ready
    });
    core.engine.looked(spot, found);
}

/// Whether there is something for a call of one key.
fn is_ready(
    shard: &mut Shard,
    settings: &Settings,
    entry: &Entry<HostHandler>,
    call: &Parcel,
) -> bool {
    entry.spec.blocking.is_some_and(|blocking| {
        (blocking.ready)(&mut Context {
            shard,
            db: call.db,
            args: call.command(0).1,
            hash: None,
            warm: false,
            reply: &mut Reply::default(),
            settings,
            effects: &mut command::Effects::default(),
        })
    })
}

/// Runs the call of a claim whose turn has come.
pub fn serve(core: &mut Core, spot: Spot, claim: ClaimId, time_ms: i64) {
    let process = Arc::clone(&core.process);
    let calls = core.waits.calls.remove(&claim).unwrap_or_default();
    // Several of its keys may have become ready in the same transaction: then the first that it has named
    // counts, as far as they are here.
    let mut served: Option<Box<Parcel>> = None;
    let mut spot_served = spot;
    for (of, parcel) in calls {
        let is_first = served.is_none()
            && (of == spot || {
                let entry = &process.table.entries()[parcel.command(0).0];
                core.engine.may_serve(of)
                    && is_ready(&mut core.shard, &core.settings, entry, &parcel)
            });
        if is_first {
            spot_served = of;
            served = Some(parcel);
        } else {
            core.stock.put_parcel(parcel);
        }
    }
    let mut parcel = served.expect("who is served has a call there");
    let own_ms = core.shard.now_ms();
    core.shard.set_now(time_ms);
    let before = std::mem::replace(&mut core.actor, Actor::of(&parcel));
    let by = By::Actor(core.actor);
    let db = parcel.db;
    let (entry, args, reply) = parcel.split(0);
    let entry = &process.table.entries()[entry];
    let can = has_all(core, entry, args, spot_served);
    let mut effect = Some(Effect::Blocks);
    if can {
        let perform = Perform::new(form_of(entry), None);
        let mut watch = dispatch::Watch::start(Source::Later);
        watch.next(core, by, entry.index, 0, args.len());
        effect = dispatch::execute_with_effect(core, db, reply, entry, perform, args);
        watch.stop(core, by);
    }
    if core.thresholds.ticks == 0 {
        // The call has been logged already.
        core.commandlog.later.clear();
    }
    commandlog::settle(core, &parcel);
    core.actor = before;
    parcel.part.again = effect == Some(Effect::Blocks);
    core.shard.set_now(own_ms);
    core.advance(time_ms);
    core.engine.served(spot, parcel);
}

/// Whether all keys of a call but the one at the spot, which is locked for it, are here and free.
fn has_all(core: &mut Core, entry: &Entry<HostHandler>, args: Args<'_>, spot: Spot) -> bool {
    remote::place(core, entry, args);
    core.places.iter().all(|key| {
        let name = Name(core.shard.key(args.get(key.at)).hash);
        name == spot.name || key.shard == core.me && core.engine.may_run(name, Mode::of(key.writes))
    })
}

/// A claim does not wait here any more.
pub fn forget(core: &mut Core, claim: ClaimId) {
    for (_, parcel) in core.waits.calls.remove(&claim).unwrap_or_default() {
        core.stock.put_parcel(parcel);
    }
}

/// A claim of this shard's client was served.
pub fn woken(core: &mut Core, claim: ClaimId, parcel: Box<Parcel>) {
    let Some(Sender { conn, client: id }) = core.waits.clients.remove(&claim.seq) else {
        // Its transaction has not come home, or it has gone.
        if core.waits.coming.contains(&claim.seq) {
            core.waits.early.insert(claim.seq, parcel);
        } else {
            core.stock.put_parcel(parcel);
        }
        return;
    };
    let Some(mut client) = core.clients.take_if(conn, id) else {
        return core.stock.put_parcel(parcel);
    };
    if let Some(blocked) = client.blocked.take() {
        if let Some(at) = blocked.until_ms {
            core.waits.deadlines.remove(&(at, claim.seq));
        }
        served(core, &mut client, *blocked, parcel);
    }
    core.clients.put(client);
    core.clients.mark(conn);
}

/// Answers a client with what its claim was served with, or begins again.
fn served(core: &mut Core, client: &mut Client, blocked: Blocked, parcel: Box<Parcel>) {
    let Blocked {
        until_ms,
        command,
        silent,
        ..
    } = blocked;
    if parcel.part.again {
        let wait = until_ms.map_or(Wait::Forever, Wait::Until);
        begin_again(core, client, &command, wait);
    } else if !silent {
        answer(core, client, |reply| {
            reply.append(
                &parcel.reply,
                resp::reply::Mark::default(),
                parcel.reply.mark(),
            );
        });
    }
    core.stock.put_parcel(parcel);
    core.stock.put_parcel(command);
}

/// Opens the claim of a command that has found nothing on these shards.
pub fn open(core: &mut Core, shards: Vec<ShardId>) -> ClaimId {
    let claim = core.engine.open_claim(shards);
    core.waits.coming.insert(claim.seq);
    claim
}

/// The transaction in which a client's command found nothing is over: it waits, unless it was served
/// meanwhile.
pub fn block_after(
    core: &mut Core,
    client: &mut Client,
    claim: ClaimId,
    wait: Wait,
    command: Box<Parcel>,
    silent: bool,
) {
    core.waits.coming.remove(&claim.seq);
    let Some(parcel) = core.waits.early.remove(&claim.seq) else {
        return block(core, client, claim, wait, command, silent);
    };
    let until_ms = match wait {
        Wait::Until(at) => Some(at),
        _ => None,
    };
    let blocked = Blocked {
        claim,
        until_ms,
        command,
        silent,
    };
    served(core, client, blocked, parcel);
}

/// The same, and the client has gone.
pub fn abandon(core: &mut Core, claim: ClaimId) {
    core.waits.coming.remove(&claim.seq);
    match core.waits.early.remove(&claim.seq) {
        Some(parcel) => core.stock.put_parcel(parcel),
        None => {
            core.engine.close_claim(claim);
        }
    }
}

fn begin_again(core: &mut Core, client: &mut Client, command: &Parcel, wait: Wait) {
    let process = Arc::clone(&core.process);
    let (entry, args) = command.command(0);
    let entry = &process.table.entries()[entry];
    remote::place(core, entry, args);
    let protocol = command.reply.protocol();
    tx::begin(core, client, protocol, entry, form_of(entry), args);
    if let Some(pending) = client
        .transaction
        .and_then(|tx| core.transactions.get_mut(&tx))
    {
        pending.wait = wait;
    }
}

fn answer(core: &mut Core, client: &mut Client, write: impl FnOnce(&mut Reply)) {
    if client.reply.is_empty() {
        client.reply.put_buffer(core.spare.take());
    }
    write(&mut client.reply);
}

/// Ends a client's wait, unless it is just being served; whether it did.
fn end(core: &mut Core, client: &mut Client) -> Option<Blocked> {
    let blocked = client.blocked.as_ref()?;
    let (claim, until_ms) = (blocked.claim, blocked.until_ms);
    if let Some(at) = until_ms {
        core.waits.deadlines.remove(&(at, claim.seq));
    }
    if !core.engine.close_claim(claim) {
        return None;
    }
    core.waits.clients.remove(&claim.seq);
    client.blocked.take().map(|blocked| *blocked)
}

/// A client goes.
pub fn leave(core: &mut Core, client: &mut Client) {
    if let Some(blocked) = end(core, client) {
        core.stock.put_parcel(blocked.command);
    }
}

/// Ends the waits whose time is over.
pub fn expire(core: &mut Core) {
    while let Some((at, seq)) = core.waits.deadlines.first().copied()
        && at <= core.now_ms()
    {
        core.waits.deadlines.pop_first();
        if let Some(sender) = core.waits.clients.get(&seq).copied() {
            unblock(core, sender, None);
        }
    }
}

/// Ends a client's wait with an error, or as if its time were over; false if it does not wait.
fn unblock(core: &mut Core, sender: Sender, error: Option<&[u8]>) -> bool {
    let Sender { conn, client: id } = sender;
    let Some(mut client) = core.clients.take_if(conn, id) else {
        return false;
    };
    let ended = end(core, &mut client);
    let has_ended = ended.is_some();
    if let Some(blocked) = ended {
        if !blocked.silent {
            answer(core, &mut client, |reply| match error {
                Some(error) => reply.error(error),
                // Whatever the command, and unlike inside MULTI.
                None => reply.null_array(),
            });
        }
        core.stock.put_parcel(blocked.command);
    }
    core.clients.put(client);
    core.clients.mark(conn);
    has_ended
}

/// CLIENT UNBLOCK on this shard.
pub fn unblock_client(core: &mut Core, id: u64, with_error: bool) -> bool {
    let Some(conn) = core.clients.conn_of(id) else {
        return false;
    };
    let error = b"UNBLOCKED client unblocked via CLIENT UNBLOCK";
    let sender = Sender { conn, client: id };
    unblock(core, sender, with_error.then_some(&error[..]))
}
