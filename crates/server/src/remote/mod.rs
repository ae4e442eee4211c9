//! Between this shard and the others: what is sent, what is received, who waits.
//!
//! ```text
//!   client's batch ── flight ── parcels ──►  other shard: run_parcel ──► replies ──► land
//!                  └─ transaction: parts ─►  engine there: Run       ──► engine here: Finish
//! ```
//!
//! [`route`] says where a command goes, [`flight`] what may be out at the same time, [`parcel`] what
//! travels, [`tx`] how a command on keys of several shards is cut and put together. Locks and the
//! order of things are the engine's; nothing here waits for another shard.

pub mod aside;
pub mod exec;
pub mod flight;
pub mod parcel;
pub mod plan;
pub mod route;
pub mod survey;
pub mod tx;

use crate::aof::journal;
use crate::blocking;
use crate::clients::{Client, Held, Special};
use crate::commandlog::{self, By, Source};
use crate::core::{self, Actor, Arrival, Core, HostHandler};
use crate::dispatch::{self, AHEAD, Perform, Watch};
use crate::monitor;
use crate::pubsub::{self, Change};
use crate::scripting::{self, Visit};
use crate::session::multi;
use crate::snapshot;
use crate::tracking;
use command::table::{Entry, Run};
use command::{Flags, Form};
use engine::locks::{Mode, Name, Want};
use engine::tx::{Action, Message, ShardId, Stage, TxId, Waiter};
use flight::Kind;
use parcel::{Parcel, Sender};
use resp::{Args, Protocol};
use route::{Keys, To};
use std::collections::HashMap;
use std::sync::Arc;
use survey::{Asker, Finding, Question};

/// What one shard asks of another.
pub enum Request {
    /// Commands whose keys are all there.
    Calls(Box<Parcel>),
    Transaction(Message<Box<Parcel>>),
    /// A connection for the other shard to serve.
    Adopt(Arrival),
    Ask {
        id: u64,
        question: Box<Question>,
    },
    /// What has changed in the subscriptions there, of which nobody waits to hear.
    Subscriptions(Vec<Change>),
    /// A script whose keys are all there.
    Script(Box<Visit>),
    /// For all subscribers of a channel of the other shard's.
    Publish(Box<pubsub::Message>),
    /// Keys there, by database and hash, are watched once less.
    Unwatch(Vec<(usize, u64)>),
    /// A monitor of the shard that says so has gone.
    MonitorGone,
    /// A client there hears of no prefix any more.
    Untrack(Sender),
}

impl Request {
    /// The commands that it brings.
    fn parcel(&self) -> Option<&Parcel> {
        match self {
            Request::Calls(parcel) => Some(parcel),
            Request::Transaction(message) => message.payload().map(|parcel| &**parcel),
            _ => None,
        }
    }
}

/// What comes back.
pub enum Answer {
    Calls(Box<Parcel>),
    Transaction(Message<Box<Parcel>>),
    Script(Box<Visit>),
    Told {
        id: u64,
        finding: Box<Finding>,
    },
    /// For subscribers there.
    Message(Box<pubsub::Message>),
    /// A line for monitors there.
    Monitored(Arc<[u8]>),
    /// A command of a client there was slow, or large.
    Logged(Box<commandlog::Sent>),
    /// For clients there that track keys.
    Notice(Box<tracking::Notice>),
}

pub type Node = mesh::Node<Request, Answer>;

/// Who waits for a lock.
pub enum Parked {
    Client(Sender),
    /// Commands of another shard's client, as far as they have not run.
    Parcel(ShardId, Box<Parcel>),
    Question(Asker, Box<Question>),
    /// A script from this shard.
    Script(usize, Box<Visit>),
}

pub type Waiting = HashMap<Waiter, Parked, ahash::RandomState>;

/// Leave to run a command here.
pub enum Pass {
    /// Nobody has locked its keys.
    Free,
    /// It has waited for its turn, and the locks are its own.
    Granted(Waiter),
    /// None: a script runs for too long, and the command is refused.
    Busy,
}

/// The form of a command that has come from another shard.
pub fn form_of(entry: &Entry<HostHandler>) -> Form {
    match entry.run {
        Run::Data(form) => form,
        _ => unreachable!("only commands on data travel"),
    }
}

/// Where a command is to run; its keys are in `core.places` then.
pub fn place(core: &mut Core, entry: &Entry<HostHandler>, args: Args<'_>) -> To {
    let way = core.ways[entry.index];
    route::place(entry, way, core.placement, args, &mut core.places)
}

/// Puts a command into the client's flight, which begins if there is none. False if it must not run
/// beside what is in it.
#[inline]
pub fn board(
    core: &mut Core,
    client: &Client,
    protocol: Protocol,
    kind: Kind,
    to: usize,
    entry: usize,
    args: Args<'_>,
) -> bool {
    let to = to as ShardId;
    let stock = &mut core.stock;
    let flight = match &mut core.flight {
        Some(flight) => {
            if !flight.admits(kind, Some(to), core.strict) {
                return false;
            }
            flight
        }
        none => {
            let mut flight = stock.flight();
            flight.prepare(kind, protocol, is_silent(client));
            none.insert(flight)
        }
    };
    let parcel = flight.board(kind, to, || stock.parcel(client, protocol));
    parcel.push(entry, args);
    true
}

/// Whether the client wants no reply to the command that runs now.
pub fn is_silent(client: &Client) -> bool {
    client
        .special
        .has(Special::REPLY_OFF.or(Special::REPLY_SKIP))
}

/// Sends off the flight that a client's batch has filled.
#[inline]
pub fn take_off(core: &mut Core, client: &mut Client) {
    let Some(mut flight) = core.flight.take() else {
        return;
    };
    for (to, mut parcel) in flight.take_off() {
        parcel.tide = core.afloat.depart();
        parcel.epoch = core.engine.epoch();
        core.node.send_request(to.into(), Request::Calls(parcel));
    }
    core.stats.flights += 1;
    client.flight = Some(flight);
    client.held = Some(Held::Remote);
}

/// Takes a parcel that has come home, and answers the client when it was the last one.
fn land(core: &mut Core, from: usize, parcel: Box<Parcel>) {
    if core.afloat.arrive(parcel.tide) {
        survey::ebb(core);
    }
    commandlog::note_replies(core, &parcel);
    let Sender { conn, client } = parcel.sender;
    let client = core.clients.get_mut(conn).filter(|c| c.id == client);
    let Some((mut flight, client)) = client.and_then(|c| Some((c.flight.take()?, c))) else {
        // The client has gone.
        return core.stock.put_parcel(parcel);
    };
    if !flight.land(from as ShardId, parcel) {
        client.flight = Some(flight);
        return;
    }
    if client.reply.is_empty() {
        client.reply.put_buffer(core.spare.take());
    }
    let stock = &mut core.stock;
    flight.unload(&mut client.reply, |parcel| stock.put_parcel(parcel));
    stock.put_flight(flight);
    core.clients.mark(conn);
}

/// The lock that a command on this shard's keys has to wait for, if it may not run at once.
fn blocked(core: &Core, entry: &Entry<HostHandler>, args: Args<'_>) -> Option<Want> {
    if core.engine.is_plain() {
        return None;
    }
    let way = core.ways[entry.index];
    if way.keys == Keys::First {
        let name = Name(core.shard.key(args.get(1)).hash);
        let mode = Mode::of(way.kind != Kind::Reads);
        let free = core.engine.may_run(name, mode);
        return (!free).then(|| Want::key(name, mode));
    }
    let want = wanted(core, entry, args);
    (!core.engine.may_run_all(&want)).then_some(want)
}

/// The locks that a command on this shard's keys has to be given before it runs: because somebody else
/// has them, or because it is to run aside. What it would cost is asked only of values that nobody else
/// may be changing.
fn must_lock(
    core: &mut Core,
    db: usize,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) -> Option<Want> {
    let blocked = blocked(core, entry, args);
    if blocked.is_none() && aside::is_heavy(core, db, entry, args) {
        return Some(wanted(core, entry, args));
    }
    blocked
}

/// The locks under which a command on this shard's keys runs.
pub fn wanted(core: &Core, entry: &Entry<HostHandler>, args: Args<'_>) -> Want {
    let way = core.ways[entry.index];
    let name = |i| Name(core.shard.key(args.get(i)).hash);
    match way.keys {
        Keys::None | Keys::Cursor => Want::Whole(Mode::Shared),
        Keys::All => Want::Whole(Mode::of(way.kind != Kind::Reads)),
        Keys::First => Want::key(name(1), Mode::of(way.kind != Kind::Reads)),
        // Whatever it reads may be locked by somebody.
        Keys::Specified if reads_any_key(entry, args) => {
            Want::Whole(Mode::of(entry.spec.flags.has(Flags::WRITE)))
        }
        Keys::Each { .. } | Keys::Specified => {
            let mut keys = Vec::new();
            route::place(entry, way, core.placement, args, &mut keys);
            Want::Keys(
                keys.iter()
                    .map(|k| (name(k.at), Mode::of(k.writes)))
                    .collect(),
            )
        }
    }
}

/// Whether a call reads keys that it does not name, and that may be on any shard.
pub fn searches(core: &Core, entry: &Entry<HostHandler>, args: Args<'_>) -> bool {
    let unspecified = entry.spec.unspecified.filter(|_| !core.alone);
    unspecified.is_some_and(|find| find(args).searches)
}

/// Whether a call reads keys that it does not name.
pub fn reads_any_key(entry: &Entry<HostHandler>, args: Args<'_>) -> bool {
    let unspecified = entry.spec.unspecified.map(|find| find(args));
    unspecified.is_some_and(|found| found.any_key)
}

/// Leave for a client's command to run here; none if it has to wait for a lock.
pub fn pass(
    core: &mut Core,
    client: &mut Client,
    entry: &Entry<HostHandler>,
    to: To,
    args: Args<'_>,
) -> Option<Pass> {
    if let Some(waiter) = client.granted.take() {
        return Some(Pass::Granted(waiter));
    }
    if to == To::Anywhere {
        return Some(Pass::Free);
    }
    let Some(want) = must_lock(core, client.db, entry, args) else {
        return Some(Pass::Free);
    };
    if scripting::is_in_the_way(core, &want) {
        return Some(Pass::Busy);
    }
    // What is in the air lands first; then the command comes here again.
    if core.flight.is_none() {
        let waiter = core.park(want);
        let sender = Sender::of(client);
        core.parked.insert(waiter, Parked::Client(sender));
        client.held = Some(Held::Locked);
    }
    None
}

/// Ends what [`pass`] allowed.
#[inline]
pub fn passed(core: &mut Core, pass: Pass) {
    if let Pass::Granted(waiter) = pass {
        core.engine.passed(waiter);
    }
}

/// Gives back the locks that a client's next command was given and has not used.
#[inline]
pub fn give_up(core: &mut Core, client: &mut Client) {
    if let Some(waiter) = client.granted.take() {
        core.engine.leave(waiter);
    }
}

/// Requests that are looked at together before the first of them is executed, and the number of
/// commands up to which that is worth it.
const INBOX: usize = 16;
const SHORT: usize = 4;

/// Receives what other shards have sent.
pub fn receive(core: &mut Core) {
    core.node.begin_drain();
    receive_answers(core);
    let mut inbox = std::mem::take(&mut core.inbox);
    loop {
        while inbox.len() < INBOX
            && let Some(received) = core.node.receive_request()
        {
            if let Some(parcel) = received.1.parcel() {
                parcel.fetch();
            }
            inbox.push(received);
        }
        if inbox.is_empty() {
            break;
        }
        let parcels = inbox.iter().filter_map(|(_, request)| request.parcel());
        parcels.for_each(Parcel::fetch_commands);
        let has_part = inbox
            .iter()
            .any(|(_, r)| r.parcel().is_some_and(Parcel::is_part));
        if inbox.len() > 1 || has_part {
            look_ahead(core, &inbox);
        }
        for (from, request) in inbox.drain(..) {
            take(core, from, request);
        }
    }
    core.inbox = inbox;
}

fn receive_answers(core: &mut Core) {
    let mut answers = std::mem::take(&mut core.answers);
    loop {
        while answers.len() < INBOX
            && let Some(received) = core.node.receive_reply()
        {
            if let Answer::Calls(parcel) = &received.1 {
                parcel.fetch();
            }
            answers.push(received);
        }
        if answers.is_empty() {
            break;
        }
        for (_, answer) in &answers {
            if let Answer::Calls(parcel) = answer {
                parcel.fetch_replies();
            }
        }
        look_ahead_at_own(core, &answers);
        for (from, answer) in answers.drain(..) {
            match answer {
                Answer::Calls(parcel) => {
                    core.engine.catch_up(parcel.epoch);
                    land(core, from, parcel);
                }
                Answer::Script(visit) => scripting::back(core, *visit),
                Answer::Transaction(message) => {
                    core.engine.receive(from as ShardId, message);
                    act(core);
                }
                Answer::Told { id, finding } => survey::told(core, from, id, *finding),
                Answer::Message(message) => {
                    let pubsub::Message {
                        kind,
                        channel,
                        payload,
                    } = *message;
                    pubsub::deliver(core, kind, &channel, &payload, None);
                }
                Answer::Monitored(line) => monitor::deliver(core, &line),
                Answer::Logged(sent) => commandlog::take(core, *sent),
                Answer::Notice(notice) => tracking::hear(core, *notice),
            }
        }
    }
    core.answers = answers;
}

/// Starts loading what this shard's parts of transactions will look up when their turn comes, which
/// the answers of other shards bring.
fn look_ahead_at_own(core: &mut Core, answers: &[(usize, Answer)]) {
    let mut hashes = std::mem::take(&mut core.hashes);
    for (_, answer) in answers {
        if let Answer::Transaction(message) = answer
            && let Some(parcel) = core.engine.own_part(message)
        {
            let hash = |key: &[u8]| core.shard.key(key).hash;
            parcel.keys(hash, |hash| hashes.push((parcel.db, hash)));
        }
    }
    load(core, hashes);
}

/// Starts loading what look-ups of keys, by database and hash, will need.
fn load(core: &mut Core, mut hashes: Vec<(usize, u64)>) {
    let each = || hashes.iter().copied();
    each().for_each(|(db, hash)| core.shard.prefetch_word(db, hash));
    each().for_each(|(db, hash)| core.shard.prefetch_bucket(db, hash));
    each().for_each(|(db, hash)| core.shard.prefetch_entry(db, hash));
    hashes.clear();
    core.hashes = hashes;
}

/// Starts loading what the look-ups of several short requests will need.
fn look_ahead(core: &mut Core, inbox: &[(usize, Request)]) {
    let mut hashes = std::mem::take(&mut core.hashes);
    for parcel in inbox.iter().filter_map(|(_, request)| request.parcel()) {
        if parcel.is_part() {
            let hash = |key: &[u8]| core.shard.key(key).hash;
            parcel.keys(hash, |hash| hashes.push((parcel.db, hash)));
        } else if parcel.len() <= SHORT {
            for i in 0..parcel.len() {
                let (entry, args) = parcel.command(i);
                if core.ways[entry].keyed && args.len() > 1 {
                    hashes.push((parcel.db, core.shard.key(args.get(1)).hash));
                }
            }
        }
    }
    load(core, hashes);
}

/// Does what another shard asks.
fn take(core: &mut Core, from: usize, request: Request) {
    match request {
        Request::Calls(parcel) => {
            core.engine.catch_up(parcel.epoch);
            run_parcel(core, from as ShardId, parcel, Pass::Free);
            act(core);
        }
        Request::Transaction(message) => {
            core.engine.receive(from as ShardId, message);
            act(core);
        }
        Request::Adopt(arrival) => core.requests.push(core::Request::Adopt(arrival)),
        Request::Subscriptions(changes) => pubsub::note(core, from, &changes),
        Request::Script(visit) => {
            scripting::visit(core, from, visit);
            act(core);
        }
        Request::Publish(message) => {
            let pubsub::Message {
                kind,
                channel,
                payload,
            } = *message;
            pubsub::publish(core, kind, &channel, &payload, None);
        }
        Request::Unwatch(hashes) => multi::unwatch_here(core, &hashes),
        Request::MonitorGone => monitor::note(core, from, false),
        Request::Untrack(sender) => tracking::forget_prefixes(core, from, sender),
        Request::Ask { id, question } => {
            survey::hear(core, Asker { shard: from, id }, question);
        }
    }
}

/// Does what the engine has found to be done.
pub fn act(core: &mut Core) {
    core.note_locks();
    while let Some(action) = core.engine.poll() {
        match action {
            Action::Send { to, message } if message.is_reply() => {
                core.node
                    .send_reply(to.into(), Answer::Transaction(message));
            }
            Action::Send { to, message } => {
                core.node
                    .send_request(to.into(), Request::Transaction(message));
            }
            Action::Run {
                tx,
                payload,
                stage,
                time_ms,
                epoch,
            } => {
                let holds = (stage == Stage::Call).then_some(tx);
                journal::enter(core, epoch, holds);
                tx::run(core, tx, payload, stage, time_ms, epoch);
                journal::leave(core, holds);
            }
            Action::Combine { tx, parts, time_ms } => tx::combine(core, tx, parts, time_ms),
            Action::Finish {
                tx, parts, outcome, ..
            } => {
                if snapshot::begun(core, tx) {
                    drop(parts);
                } else if core.transactions.contains_key(&tx) {
                    tx::finish(core, tx, parts);
                } else if core.programs.contains_key(&tx) {
                    scripting::program::finish(core, tx, outcome);
                } else {
                    exec::finish(core, tx, parts, outcome);
                }
            }
            Action::Step {
                tx,
                attempt,
                answer,
            } => {
                if core.programs.contains_key(&tx) {
                    scripting::program::step(core, tx, attempt, answer);
                } else {
                    exec::step(core, tx, attempt, answer);
                }
            }
            Action::Commit { tx, epoch, .. } => {
                journal::commit(core, tx, epoch);
                scripting::keep(core, tx);
                core.engine.committed(tx);
            }
            Action::Undo { tx } => {
                journal::undo(core, tx);
                scripting::undo(core, tx);
                core.engine.undone(tx);
            }
            Action::Resume(waiter) => resume(core, waiter),
            Action::Seal { epoch } => core.journal.sealed = epoch,
            Action::Look { spot } => blocking::look(core, spot),
            Action::Serve {
                spot,
                claim,
                time_ms,
                epoch,
            } => {
                journal::enter(core, epoch, None);
                blocking::serve(core, spot, claim, time_ms);
                journal::leave(core, None);
            }
            Action::Woken { claim, payload } => blocking::woken(core, claim, payload),
            Action::Forgotten { claim } => blocking::forget(core, claim),
        }
    }
    core.note_locks();
}

/// The locks that somebody waits for are its own now.
fn resume(core: &mut Core, waiter: Waiter) {
    match core.parked.remove(&waiter) {
        Some(Parked::Parcel(from, parcel)) => {
            run_parcel(core, from, parcel, Pass::Granted(waiter));
        }
        Some(Parked::Question(asker, question)) => {
            survey::resume(core, waiter, asker, &question);
        }
        Some(Parked::Script(from, visit)) => scripting::resume(core, waiter, from, visit),
        Some(Parked::Client(Sender { conn, client })) => {
            match core.clients.get_mut(conn).filter(|c| c.id == client) {
                Some(client) => {
                    client.granted = Some(waiter);
                    core.clients.mark(conn);
                }
                None => core.engine.leave(waiter),
            }
        }
        None => core.engine.leave(waiter),
    }
}

/// Has commands that wait for what one of these transactions has come again, instead of waiting on.
#[cold]
pub fn look_again(core: &mut Core, of: &[TxId]) {
    let waiting = core.parked.iter().filter(|(waiter, parked)| {
        matches!(parked, Parked::Client(_) | Parked::Parcel(..))
            && core.engine.in_its_way(**waiter).any(|tx| of.contains(&tx))
    });
    let waiting: Vec<Waiter> = waiting.map(|(waiter, _)| *waiter).collect();
    for waiter in waiting {
        let parked = core.parked.remove(&waiter);
        core.engine.leave(waiter);
        match parked {
            Some(Parked::Client(Sender { conn, client })) => {
                if let Some(client) = core.clients.get_mut(conn).filter(|c| c.id == client) {
                    client.held = Some(Held::Remote);
                    core.clients.mark(conn);
                }
            }
            Some(Parked::Parcel(from, parcel)) => run_parcel(core, from, parcel, Pass::Free),
            _ => {}
        }
        act(core);
    }
}

/// What becomes of a parcel whose commands have run, or some of them.
enum Next {
    SendHome,
    Park(Want),
    RunAside(Waiter),
}

/// Runs the commands of another shard's client, from the first that has not run, and sends them
/// home; or waits where one meets a lock.
fn run_parcel(core: &mut Core, from: ShardId, mut parcel: Box<Parcel>, pass: Pass) {
    let before = std::mem::replace(&mut core.actor, Actor::of(&parcel));
    core.shard.no_touch = parcel.no_touch;
    let by = By::Actor(core.actor);
    let mut watch = Watch::start(Source::Later);
    let next = run_commands(core, &mut parcel, pass, &mut watch);
    watch.stop(core, by);
    commandlog::settle(core, &parcel);
    core.shard.no_touch = false;
    core.actor = before;
    match next {
        Next::SendHome => {
            parcel.epoch = core.engine.epoch();
            core.node.send_reply(from.into(), Answer::Calls(parcel));
        }
        Next::Park(want) => {
            let waiter = core.park(want);
            core.parked.insert(waiter, Parked::Parcel(from, parcel));
        }
        Next::RunAside(waiter) => {
            let process = Arc::clone(&core.process);
            let entry = &process.table.entries()[parcel.command(parcel.done()).0];
            aside::start_parcel(core, from, parcel, entry, form_of(entry), waiter);
        }
    }
}

fn run_commands(
    core: &mut Core,
    parcel: &mut Parcel,
    mut pass: Pass,
    watch: &mut Watch<'_>,
) -> Next {
    let process = Arc::clone(&core.process);
    let table = &process.table;
    let (db, by) = (parcel.db, By::Actor(core.actor));
    let mut hashes = [None; AHEAD];
    while parcel.done() < parcel.len() {
        let first = parcel.done();
        let n = AHEAD.min(parcel.len() - first);
        prefetch(core, parcel, first, &mut hashes[..n]);
        for (i, hash) in (first..).zip(&hashes[..n]) {
            let (entry, args, reply) = parcel.split(i);
            let entry = &table.entries()[entry];
            if let Pass::Granted(waiter) = pass
                && aside::is_heavy(core, db, entry, args)
            {
                return Next::RunAside(waiter);
            }
            if matches!(pass, Pass::Free)
                && let Some(want) = must_lock(core, db, entry, args)
            {
                if scripting::is_in_the_way(core, &want) {
                    core.reply_error(reply, &scripting::busy());
                    parcel.executed();
                    continue;
                }
                return Next::Park(want);
            }
            watch.next(core, by, entry.index, i, args.len());
            let perform = Perform::new(form_of(entry), *hash);
            dispatch::execute_here(core, db, reply, entry, perform, args);
            parcel.executed();
            passed(core, std::mem::replace(&mut pass, Pass::Free));
        }
        watch.part();
    }
    Next::SendHome
}

/// Starts loading what the look-ups of some commands will need.
fn prefetch(core: &Core, parcel: &Parcel, first: usize, hashes: &mut [Option<u64>]) {
    let db = parcel.db;
    for (i, hash) in (first..).zip(hashes.iter_mut()) {
        let (entry, args) = parcel.command(i);
        *hash = (core.ways[entry].keyed && args.len() > 1).then(|| {
            let hash = core.shard.key(args.get(1)).hash;
            core.shard.prefetch_word(db, hash);
            hash
        });
    }
    if hashes.len() > 1 {
        let known = || hashes.iter().flatten();
        known().for_each(|hash| core.shard.prefetch_bucket(db, *hash));
        known().for_each(|hash| core.shard.prefetch_entry(db, *hash));
    }
}
