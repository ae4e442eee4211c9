//! Commands whose keys are on several shards: cut into parts, executed under locks, put together.
//!
//! | form | a shard's part | the reply |
//! | --- | --- | --- |
//! | fan | the command with this shard's keys | the parts' replies, merged |
//! | everywhere | the whole command | the parts' replies, merged |
//! | gather | its keys; their values are lent to the client's shard and, changed, given back | what the handler answers there |
//!
//! A gathering command runs on the *desk*: an empty shard onto which the lent values are put, so that
//! its handler is the one that runs when all keys are at home. When each part runs, and who holds
//! which locks, is the engine's matter; see `docs/transactions.md`.

use super::parcel::{self, Parcel, Sender, Stock};
use super::route::Placed;
use super::{aside, form_of};
use crate::aof::journal;
use crate::blocking::{self, Arrivals};
use crate::clients::{Client, Held};
use crate::commandlog::{self, By};
use crate::core::{Actor, Core, HostHandler};
use crate::loading;
use crate::scripting;
use crate::snapshot;
use crate::stats::Ticks;
use crate::tracking;
use crate::{dispatch, notify};
use command::blocking::Wait;
use command::context::Settings;
use command::table::Entry;
use command::{Blocking, Context, Effect, Effects, Error, Flags, Form, Handler, Merge};
use engine::locks::{Mode, Name, Want};
use engine::tx::{Kind, Part, ShardId, Stage, TxId};
use engine::{ClaimId, Epoch, Spot};
use resp::number::parse_i64;
use resp::reply::Mark;
use resp::{Args, Pack, Protocol, Reply};
use std::collections::HashMap;
use std::sync::Arc;
use store::shard::BIG;
use store::watch::Change;
use store::{Class, Event, Shard, Stats};

/// A transaction of a client of this shard.
pub struct Pending {
    sender: Sender,
    entry: usize,
    silent: bool,
    /// For each key of the command, whose it is, in their order.
    keys: Vec<Placed>,
    /// The whole command, if it runs here, and afterwards its reply.
    whole: Option<Box<Parcel>>,
    started: Ticks,
    /// See [`crate::pause::Afloat`].
    tide: u64,
    /// Until when the client waits if there is nothing.
    pub wait: Wait,
    /// There was nothing.
    claim: Option<ClaimId>,
    /// How long the command has run here, on what was lent.
    ticks: u64,
}

pub type Transactions = HashMap<TxId, Pending, ahash::RandomState>;

/// Begins the command of a client whose keys, in `core.places`, are on several shards.
pub fn begin(
    core: &mut Core,
    client: &mut Client,
    protocol: Protocol,
    entry: &Entry<HostHandler>,
    form: Form,
    args: Args<'_>,
) {
    let mut keys = std::mem::take(&mut core.places);
    let mut like = core.stock.parcel(client, protocol);
    let wait = entry.spec.blocking.map_or(Ok(Wait::No), |blocking| {
        (blocking.wait)(args, core.shard.now_ms())
    });
    let wait = wait.unwrap_or(Wait::No);
    if wait != Wait::No {
        // Beginning to wait for a key is a change too.
        keys.iter_mut().for_each(|key| key.writes = true);
    }
    let writes = entry.spec.flags.has(Flags::WRITE);
    let (kind, parts) = match form {
        Form::Everywhere(..) => {
            let mode = Mode::of(writes);
            (
                kind(writes),
                everywhere(core, client, protocol, entry, args, mode),
            )
        }
        Form::Gather(..) => {
            let mut parts = cut(core, &like, entry, args, &keys, 0);
            let other = other_database(core, client.db, form, args);
            for part in &mut parts {
                part.payload.part.reaches(client.db, other);
            }
            (Kind::Gather, parts)
        }
        Form::Fan(..) | Form::Local(_) | Form::Walk(_) => {
            let step = match core.ways[entry.index].keys {
                super::Keys::Each { step } => step,
                _ => 1,
            };
            (kind(writes), cut(core, &like, entry, args, &keys, step))
        }
    };
    let whole = if matches!(form, Form::Gather(..)) {
        like.push(entry.index, args);
        Some(like)
    } else {
        core.stock.put_parcel(like);
        None
    };
    let tx = core.engine.begin(kind, parts);
    core.note_locks();
    let pending = Pending {
        sender: Sender::of(client),
        entry: entry.index,
        silent: super::is_silent(client),
        keys,
        whole,
        started: Ticks::now(),
        tide: core.afloat.depart(),
        wait,
        claim: None,
        ticks: 0,
    };
    core.transactions.insert(tx, pending);
    core.stats.transactions += 1;
    client.transaction = Some(tx);
    client.held = Some(Held::Remote);
}

/// Begins what is no client's command, on all shards at once; `fill` says what each shard's part is.
pub fn begin_on_all(core: &mut Core, mode: Mode, mut fill: impl FnMut(usize, &mut parcel::Part)) {
    let part = |shard| {
        let mut payload = Box::<Parcel>::default();
        payload.home = core.me;
        fill(shard, &mut payload.part);
        Part::new(shard as ShardId, Want::Whole(mode), payload)
    };
    let parts = (0..core.placement.shards()).map(part).collect();
    let tx = core.engine.begin(Kind::Write, parts);
    core.note_locks();
    core.cuts.insert(tx);
}

/// The database besides the client's in which a command touches its keys.
pub fn other_database(core: &Core, db: usize, form: Form, args: Args<'_>) -> Option<usize> {
    let other = match form {
        Form::Gather(_, Some(reach)) => reach(args),
        _ => None,
    };
    other.filter(|other| *other != db && *other < core.shard.databases())
}

fn kind(writes: bool) -> Kind {
    if writes { Kind::Write } else { Kind::Read }
}

type Parts = Vec<Part<Box<Parcel>>>;

fn everywhere(
    core: &mut Core,
    client: &Client,
    protocol: Protocol,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
    mode: Mode,
) -> Parts {
    let part = |shard| {
        let mut payload = core.stock.parcel(client, protocol);
        payload.push(entry.index, args);
        Part::new(shard as ShardId, Want::Whole(mode), payload)
    };
    (0..core.placement.shards()).map(part).collect()
}

/// A part for each shard with its keys: each with the `step - 1` arguments behind it and the
/// command's name before all, or for a step of 0 the keys alone.
pub fn cut(
    core: &mut Core,
    like: &Parcel,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
    keys: &[Placed],
    step: usize,
) -> Parts {
    let mut parts: Parts = Vec::with_capacity(keys.len().min(core.placement.shards()));
    for (place, key) in keys.iter().enumerate() {
        let shard = key.shard as ShardId;
        let at = match parts.iter().position(|part| part.shard == shard) {
            Some(at) => at,
            None => {
                let mut payload = core.stock.like(like);
                if step > 0 {
                    payload.pack().add(args, 0);
                }
                payload.part.first = usize::from(step > 0);
                payload.part.step = step.max(1);
                let names = Want::Keys(Vec::with_capacity(keys.len()));
                parts.push(Part::new(shard, names, payload));
                parts.len() - 1
            }
        };
        let Part { payload, want, .. } = &mut parts[at];
        payload.part.places.push(place as u32);
        for i in key.at..key.at + step.max(1) {
            payload.pack().add(args, i);
        }
        if let Want::Keys(names) = want {
            let name = Name(core.shard.key(args.get(key.at)).hash);
            names.push((name, Mode::of(key.writes)));
        }
    }
    for part in &mut parts {
        part.payload.end(entry.index);
    }
    parts
}

/// Runs a stage of somebody's transaction on this shard's data.
pub fn run(
    core: &mut Core,
    tx: TxId,
    mut payload: Box<Parcel>,
    stage: Stage,
    time_ms: i64,
    epoch: Epoch,
) {
    if let Some(turn) = payload.part.turn.take() {
        if let Some(save) = &turn.save {
            snapshot::cut(core, Arc::clone(save));
        }
        journal::turn(core, turn, epoch);
        return core.engine.ran_valid_until(tx, payload, time_ms, i64::MAX);
    }
    if let Some(save) = payload.part.cut.take() {
        snapshot::cut(core, save);
        return core.engine.ran_valid_until(tx, payload, time_ms, i64::MAX);
    }
    if let Some(keys) = payload.part.keys.take() {
        loading::replace(core, keys);
        return core.engine.ran_valid_until(tx, payload, time_ms, i64::MAX);
    }
    if payload.part.is_batch {
        return super::exec::run(core, tx, payload, stage, time_ms);
    }
    // All parts run as of one time, which may be behind this shard's.
    let own_ms = core.shard.now_ms();
    core.shard.set_now(time_ms);
    core.shard.soonest_ms = i64::MAX;
    // What is read once more, at a later time, counts once.
    let counted = (!payload.reply.is_empty()).then_some(core.shard.stats);
    payload.reply.clear();
    let started = Ticks::now();
    let process = Arc::clone(&core.process);
    let entry = &process.table.entries()[payload.command(0).0];
    let form = form_of(entry);
    let before = std::mem::replace(&mut core.actor, Actor::of(&payload));
    match stage {
        Stage::Run => {
            let (no_touch, db, warm) = (payload.no_touch, payload.db, payload.is_short_part());
            let (_, args, reply) = payload.split(0);
            core.shard.no_touch = no_touch;
            let perform = dispatch::Perform {
                form,
                hash: None,
                warm,
            };
            // And what it finds missing is said once.
            let wanted = core.shard.wanted_events();
            if counted.is_some() {
                core.shard.want_events(Class::NONE);
            }
            dispatch::execute_here(core, db, reply, entry, perform, args);
            core.shard.want_events(wanted);
            core.shard.no_touch = false;
            payload.part.weight = core.shard.len(db);
            if let Some(counted) = counted {
                core.shard.stats.hits = counted.hits;
                core.shard.stats.misses = counted.misses;
            }
        }
        Stage::Lend => {
            lend(core, &mut payload);
        }
        Stage::Apply => apply(core, &mut payload),
        Stage::Call if payload.part.applies => {
            core.held_events = payload.part.saves.then(Vec::new);
            apply(core, &mut payload);
            scripting::hold_events(core, tx);
        }
        Stage::Call => {
            payload.part.too_big = payload.part.saves && !scripting::save_part(core, tx, &payload);
            if !payload.part.too_big {
                lend(core, &mut payload);
            }
        }
        Stage::Check => unreachable!("only an EXEC checks"),
    }
    let ticks = Ticks::now().since(started);
    core.stats.commands[entry.index].ticks += ticks;
    core.stats.command_ticks += ticks;
    payload.part.ticks += ticks;
    core.actor = before;
    core.shard.set_now(own_ms);
    core.advance(time_ms);
    let now_ms = core.shard.now_ms();
    let valid_until_ms = match form {
        // Walks over all keys do not note when the first of them expires.
        Form::Everywhere(..) => i64::MIN,
        // The last millisecond in which a key is there is that of its expiry.
        _ => core.shard.soonest_ms.saturating_add(1),
    };
    core.engine
        .ran_valid_until(tx, payload, now_ms, valid_until_ms);
}

/// Makes a part's keys what has been given back.
pub fn apply(core: &mut Core, payload: &mut Parcel) {
    let (args, part) = payload.part_of();
    let logs = core.effects.is_on() && part.told.is_none();
    for (db, i, loan) in part.loans.drain(..) {
        let key = core.shard.key(args.get(i));
        core.shard.accept(db, key, loan.as_ref());
        if logs {
            journal::note_key(core, db, args.get(i));
        }
    }
    if core.effects.is_on()
        && let Some(told) = &payload.part.told
    {
        let db = payload.db;
        journal::note_calls(core, db, (0..told.len()).map(|i| told.command(i)));
    }
    if let Some(arrivals) = payload.part.arrivals.take() {
        blocking::arrive(core, payload, arrivals);
    }
    if core.shard.has_news() {
        dispatch::note_news(core);
    }
    if !payload.part.events.is_empty() {
        notify::publish_all(core, &payload.part.events);
        payload.part.events.clear();
    }
}

/// Puts the values of a part's keys into it.
pub fn lend(core: &mut Core, payload: &mut Parcel) {
    let (args, part) = payload.part_of();
    part.loans.clear();
    for i in 0..args.len() {
        let key = core.shard.key(args.get(i));
        for db in &part.databases {
            if let Some(loan) = core.shard.lend(*db, key) {
                part.loans.push((*db, i, Some(loan)));
            }
        }
    }
    if payload.reads {
        let process = Arc::clone(&core.process);
        let (entry, keys) = payload.command(0);
        let entry = &process.table.entries()[entry];
        if entry.spec.flags.has(Flags::READONLY) {
            tracking::remember_keys(core, keys.iter());
        }
    }
}

/// A command on values that have been lent, and what it works with.
pub struct Work {
    /// The command, and its reply.
    pub whole: Box<Parcel>,
    /// Its keys.
    pub keys: Vec<Placed>,
    /// The keys of each shard, with the values.
    pub parts: Vec<(ShardId, Box<Parcel>)>,
    pub handler: Handler,
    pub settings: Settings,
    /// The events of keys that are to be published.
    pub wanted: Class,
    pub time_ms: i64,
    pub blocking: Option<Blocking>,
    /// If it has found nothing: for each key that it waits for, by its place in `keys`, the call.
    pub calls: Vec<(usize, Pack)>,
    /// What has happened to keys that it only reads.
    pub events: Vec<Event>,
    /// What it tells of its effects.
    pub effects: Effects,
}

impl Work {
    /// Runs the command on the desk; the parts take away what it has changed. Answers what was counted
    /// there too.
    pub fn perform(&mut self, desk: &mut Shard) -> (Result<Effect, Error>, Stats) {
        desk.set_now(self.time_ms);
        desk.reset_stats();
        desk.no_touch = self.whole.no_touch;
        for (_, part) in &mut self.parts {
            let (keys, part) = part.part_of();
            for (db, i, loan) in part.loans.drain(..) {
                let key = desk.key(keys.get(i));
                desk.accept(db, key, loan.as_ref());
            }
        }
        desk.log_changes(true);
        desk.want_events(self.wanted);
        let db = self.whole.db;
        let (_, args, reply) = self.whole.split(0);
        let mut context = Context {
            shard: desk,
            db,
            args,
            hash: None,
            warm: false,
            reply,
            settings: &self.settings,
            effects: &mut self.effects,
        };
        let outcome = (self.handler)(&mut context);
        if let (Ok(Effect::Blocks), Some(blocking)) = (&outcome, self.blocking) {
            for (place, key) in self.keys.iter().enumerate() {
                let mut call = Pack::default();
                if (blocking.alone)(&mut context, key.at, &mut call) {
                    self.calls.push((place, call));
                }
            }
        }
        let stats = desk.stats;
        let (mut changes, mut events) = (Vec::new(), Vec::new());
        desk.log_changes(false);
        desk.take_log(&mut changes);
        desk.want_events(Class::NONE);
        desk.take_events(&mut events);
        for event in events {
            self.give_event(event);
        }
        self.give_effects();
        // All of what has changed first, because a key may be named twice.
        for (_, part) in &mut self.parts {
            take_changes(desk, part, &self.keys, &changes);
        }
        for (_, part) in &mut self.parts {
            clear_desk(desk, part);
        }
        while desk.has_trash() {
            desk.empty_trash_step();
        }
        (outcome, stats)
    }

    /// The further keys that a command reads, which the values name that have been lent.
    pub fn names(&mut self, desk: &mut Shard, now_ms: i64) -> Vec<Vec<u8>> {
        desk.set_now(now_ms);
        for (_, part) in &mut self.parts {
            let (keys, part) = part.part_of();
            for (db, i, loan) in &part.loans {
                let key = desk.key(keys.get(*i));
                desk.accept(*db, key, loan.as_ref());
            }
        }
        let db = self.whole.db;
        let (_, args, reply) = self.whole.split(0);
        let names = command::sort::names(&mut Context {
            shard: desk,
            db,
            args,
            hash: None,
            warm: false,
            reply,
            settings: &self.settings,
            effects: &mut command::Effects::default(),
        });
        for (_, part) in &mut self.parts {
            clear_desk(desk, part);
        }
        names
    }

    /// Has an event published by the shard of its key, which has to be locked for a change there: then
    /// nothing else can have happened to the key before that.
    fn give_event(&mut self, event: Event) {
        let of_key = self.parts.iter_mut().find_map(|(_, part)| {
            let (args, part) = part.part_of();
            let mut places = part.places.iter().enumerate();
            let is_it = |(i, place): (usize, &u32)| {
                self.keys[*place as usize].writes && args.get(i) == &*event.key
            };
            places.any(is_it).then_some(part)
        });
        match of_key {
            Some(part) => part.events.push(event),
            None => self.events.push(event),
        }
    }

    /// Has what the command has told of itself logged by the shards of the keys; without that, they log
    /// what their keys have become.
    fn give_effects(&mut self) {
        if !self.effects.is_told() {
            return;
        }
        for (_, part) in &mut self.parts {
            let (args, part) = part.part_of();
            let calls = part.told.insert(Pack::default());
            for told in self.effects.told() {
                if args.iter().any(|key| key == told.key) {
                    calls.push(told.args);
                }
            }
        }
    }

    /// Counts and publishes what the desk has brought, and writes the error if there is one.
    pub fn account(&mut self, core: &mut Core, outcome: Result<Effect, Error>, stats: Stats) {
        core.shard.stats.hits += stats.hits;
        core.shard.stats.misses += stats.misses;
        notify::publish_all(core, &std::mem::take(&mut self.events));
        if let Err(error) = outcome {
            core.stats.commands[self.whole.command(0).0].failed += 1;
            core.reply_error(&mut self.whole.reply, &error);
        }
    }

    fn elements(&self) -> usize {
        let loans = self.parts.iter().flat_map(|(_, part)| &part.part.loans);
        loans
            .filter_map(|(_, _, loan)| loan.as_ref())
            .map(|loan| loan.elements())
            .sum()
    }
}

/// Runs a gathering command on the values that all shards have lent.
pub fn combine(core: &mut Core, tx: TxId, parts: Vec<(ShardId, Box<Parcel>)>, time_ms: i64) {
    core.advance(time_ms);
    let process = Arc::clone(&core.process);
    let Some(pending) = core.transactions.get_mut(&tx) else {
        unreachable!("a transaction is known until it has finished");
    };
    let entry = &process.table.entries()[pending.entry];
    let mut work = Work {
        whole: pending
            .whole
            .take()
            .expect("gathering keeps the whole command"),
        keys: std::mem::take(&mut pending.keys),
        parts,
        handler: form_of(entry).handler(),
        settings: core.settings,
        wanted: core.notices.wanted(),
        time_ms,
        blocking: entry.spec.blocking,
        calls: Vec::new(),
        events: Vec::new(),
        effects: core.effects.apart(),
    };
    let way = &core.ways[entry.index];
    if way.outside || way.weighs && work.elements() >= BIG {
        return aside::queue(core, aside::Whom::Transaction(tx), None, work);
    }
    let started = Ticks::now();
    let (outcome, stats) = work.perform(&mut core.desk);
    let ticks = Ticks::now().since(started);
    work.account(core, outcome, stats);
    if let Some(pending) = core.transactions.get_mut(&tx) {
        pending.ticks = ticks;
    }
    combined(core, tx, work);
}

/// Has what a gathering command has changed given back.
pub fn combined(core: &mut Core, tx: TxId, mut work: Work) {
    if !work.calls.is_empty() {
        wait(core, tx, &mut work);
    }
    let Some(pending) = core.transactions.get_mut(&tx) else {
        unreachable!("a transaction is known until it has finished");
    };
    pending.whole = Some(work.whole);
    pending.keys = work.keys;
    // Shards that get nothing back have nothing to do.
    let (given, idle): (Vec<_>, Vec<_>) = work
        .parts
        .into_iter()
        .partition(|(_, part)| part.part.has_outcome());
    for (_, parcel) in idle {
        core.stock.put_parcel(parcel);
    }
    core.engine.combined(tx, given);
}

/// Has the client of a command that has found nothing wait on the shards of its keys.
fn wait(core: &mut Core, tx: TxId, work: &mut Work) {
    let Some(pending) = core.transactions.get_mut(&tx) else {
        unreachable!("a transaction is known until it has finished");
    };
    if pending.wait == Wait::No {
        return;
    }
    let mut shards = Vec::new();
    for (place, _) in &work.calls {
        let shard = work.keys[*place].shard as ShardId;
        if !shards.contains(&shard) {
            shards.push(shard);
        }
    }
    let claim = blocking::open(core, shards);
    if let Some(pending) = core.transactions.get_mut(&tx) {
        pending.claim = Some(claim);
    }
    let args = work.whole.command(0).1;
    for (place, call) in work.calls.drain(..) {
        let key = work.keys[place];
        let part = work
            .parts
            .iter_mut()
            .find(|(shard, _)| usize::from(*shard) == key.shard);
        let (_, part) = part.expect("every key is in a part");
        let spot = Spot {
            name: Name(core.shard.key(args.get(key.at)).hash),
            kind: work.whole.db as u64,
        };
        let arrivals = part.part.arrivals.get_or_insert_with(|| Arrivals {
            claim,
            calls: Vec::new(),
        });
        arrivals.calls.push((spot, call));
    }
}

/// Takes into a part what has changed of its keys.
fn take_changes(desk: &mut Shard, part: &mut Parcel, keys: &[Placed], changes: &[Change]) {
    let has_changed = |of_db: usize, name: &[u8]| {
        changes
            .iter()
            .any(|c| matches!(c, Change::Key { db, key, .. } if *db == of_db && **key == *name))
    };
    let (args, part) = part.part_of();
    for (i, place) in part.places.iter().enumerate() {
        if !keys[*place as usize].writes {
            continue;
        }
        let key = desk.key(args.get(i));
        for db in &part.databases {
            if has_changed(*db, key.bytes) {
                part.loans.push((*db, i, desk.lend(*db, key)));
            }
        }
    }
}

/// Takes a part's keys from the desk.
fn clear_desk(desk: &mut Shard, part: &mut Parcel) {
    let (args, part) = part.part_of();
    for i in 0..part.places.len() {
        let key = desk.key(args.get(i));
        for db in &part.databases {
            desk.forget(*db, key);
        }
    }
}

/// Answers the client: every shard has executed its part.
pub fn finish(core: &mut Core, tx: TxId, parts: Vec<(ShardId, Box<Parcel>)>) {
    let Some(mut pending) = core.transactions.remove(&tx) else {
        unreachable!("a transaction is known until it has finished");
    };
    let process = Arc::clone(&core.process);
    let form = form_of(&process.table.entries()[pending.entry]);
    let ticks = Ticks::now().since(pending.started);
    core.stats.note_shared_call(pending.entry, ticks);
    if core.afloat.arrive(pending.tide) {
        super::survey::ebb(core);
    }
    let worked = parts.iter().map(|(_, parcel)| parcel.part.ticks).max();
    let worked = pending.ticks + worked.unwrap_or(0);
    if worked >= core.thresholds.ticks {
        note_whole(core, &pending, &parts, |core, by, entry, args| {
            commandlog::note_time(core, by, entry, args, worked);
        });
    }
    if let Some(claim) = pending.claim {
        return finish_waiting(core, pending, claim, parts);
    }
    let Sender { conn, client } = pending.sender;
    let mut replied = 0;
    if let Some(client) = core.clients.get_mut(conn).filter(|c| c.id == client) {
        client.transaction = None;
        if !pending.silent {
            replied = client.reply.len();
            let reply = &mut client.reply;
            if reply.is_empty() {
                reply.put_buffer(core.spare.take());
            }
            match (&mut pending.whole, form) {
                (Some(whole), _) => {
                    let end = whole.reply.mark();
                    reply.append(&whole.reply, Mark::default(), end);
                }
                (None, Form::Fan(_, merge) | Form::Everywhere(_, merge)) => {
                    let answers: Vec<_> = parts.iter().map(Answered::whole).collect();
                    self::merge(reply, merge, &answers, &pending.keys, core.shard.random());
                }
                (None, _) => unreachable!("other forms are not cut"),
            }
            replied = client.reply.len() - replied;
        }
        core.clients.mark(conn);
    }
    if replied >= core.thresholds.reply {
        note_whole(core, &pending, &parts, |core, by, entry, args| {
            commandlog::note_reply(core, by, Some(entry.index), args, replied);
        });
    }
    let parcels = parts.into_iter().map(|(_, parcel)| parcel);
    for parcel in parcels.chain(pending.whole) {
        core.stock.put_parcel(parcel);
    }
    pending.keys.clear();
    core.places = pending.keys;
}

/// Puts a command together again of which something is to be logged.
#[cold]
fn note_whole(
    core: &mut Core,
    pending: &Pending,
    parts: &[(ShardId, Box<Parcel>)],
    log: impl FnOnce(&mut Core, By<'_>, &Entry<HostHandler>, Args<'_>),
) {
    let process = Arc::clone(&core.process);
    let entry = &process.table.entries()[pending.entry];
    let by = By::Actor(Actor {
        sender: pending.sender,
        home: core.me,
        reads: false,
    });
    if let Some(whole) = &pending.whole {
        return log(core, by, entry, whole.command(0).1);
    }
    let Some((_, first)) = parts.first() else {
        return;
    };
    if pending.keys.is_empty() {
        return log(core, by, entry, first.command(0).1);
    }
    // The places of a part's keys are in their order, and so are the arguments that follow on each.
    let mut pieces: Vec<(u32, &Parcel, usize)> = Vec::new();
    for (_, parcel) in parts {
        let part = &parcel.part;
        let places = part.places.iter().enumerate();
        pieces.extend(places.map(|(i, place)| (*place, &**parcel, part.first + i * part.step)));
    }
    pieces.sort_unstable_by_key(|(place, ..)| *place);
    let mut whole = Pack::default();
    whole.add(first.command(0).1, 0);
    for (_, parcel, at) in pieces {
        (at..at + parcel.part.step).for_each(|i| whole.add(parcel.command(0).1, i));
    }
    whole.end();
    log(core, by, entry, whole.command(0));
}

/// The client of a command that has found nothing waits from now on.
fn finish_waiting(
    core: &mut Core,
    mut pending: Pending,
    claim: ClaimId,
    parts: Vec<(ShardId, Box<Parcel>)>,
) {
    for (_, parcel) in parts {
        core.stock.put_parcel(parcel);
    }
    pending.keys.clear();
    core.places = pending.keys;
    let whole = pending.whole.take();
    let whole = whole.expect("gathering keeps the whole command");
    let mut command = Stock::lasting(&whole);
    command.push(pending.entry, whole.command(0).1);
    core.stock.put_parcel(whole);
    let Sender { conn, client: id } = pending.sender;
    let Some(mut client) = core.clients.take_if(conn, id) else {
        return blocking::abandon(core, claim);
    };
    client.transaction = None;
    blocking::block_after(
        core,
        &mut client,
        claim,
        pending.wait,
        command,
        pending.silent,
    );
    core.clients.put(client);
    core.clients.mark(conn);
}

/// What a shard answers to its part of a command.
pub struct Answered<'a> {
    pub shard: ShardId,
    /// Where the answer stands.
    pub reply: &'a Reply,
    pub from: Mark,
    pub to: Mark,
    /// See [`super::parcel::Part::weight`].
    pub weight: u64,
}

impl<'a> Answered<'a> {
    fn whole((shard, parcel): &'a (ShardId, Box<Parcel>)) -> Answered<'a> {
        Answered {
            shard: *shard,
            reply: &parcel.reply,
            from: Mark::default(),
            to: parcel.reply.mark(),
            weight: parcel.part.weight as u64,
        }
    }

    pub fn write(&self, reply: &mut Reply) {
        reply.append(self.reply, self.from, self.to);
    }

    /// The first line, without its end.
    fn line(&self) -> &[u8] {
        self.reply.line_at(self.from)
    }
}

/// Makes one reply of the parts'. An error of any part is the reply.
pub fn merge(
    reply: &mut Reply,
    merge: Merge,
    parts: &[Answered<'_>],
    keys: &[Placed],
    random: u64,
) {
    if let Some(failed) = parts.iter().find(|p| p.line().first() == Some(&b'-')) {
        return failed.write(reply);
    }
    match merge {
        Merge::Ok => reply.ok(),
        Merge::Sum => {
            let number = |p: &Answered<'_>| parse_i64(p.line().get(1..)?);
            reply.int(parts.iter().filter_map(number).sum());
        }
        Merge::Concat => {
            reply.array(parts.iter().map(|p| p.reply.aggregate(p.from).0).sum());
            for part in parts {
                let elements = part.reply.aggregate(part.from).1;
                reply.append(part.reply, elements, part.to);
            }
        }
        Merge::Stitch => stitch(reply, parts, keys),
        Merge::Draw => {
            let is_null = |p: &&Answered<'_>| matches!(p.line(), b"$-1" | b"_");
            let with_keys = || parts.iter().filter(|p| !is_null(p));
            let all: u64 = with_keys().map(|p| p.weight).sum();
            let mut left = random.checked_rem(all).unwrap_or(0);
            let drawn = with_keys().find(|part| {
                let is_drawn = left < part.weight;
                left = left.saturating_sub(part.weight);
                is_drawn
            });
            match drawn {
                Some(part) => part.write(reply),
                None => reply.null(),
            }
        }
    }
}

/// Puts the elements of the parts' arrays into the order of the command's keys.
fn stitch(reply: &mut Reply, parts: &[Answered<'_>], keys: &[Placed]) {
    let mut next: Vec<(usize, &Reply, Mark)> = parts
        .iter()
        .map(|part| {
            let elements = part.reply.aggregate(part.from).1;
            (usize::from(part.shard), part.reply, elements)
        })
        .collect();
    reply.array(keys.len());
    for key in keys {
        let Some((_, part, at)) = next.iter_mut().find(|(shard, ..)| *shard == key.shard) else {
            unreachable!("every key is in a part");
        };
        let (_, end) = part.value(*at);
        reply.append(part, *at, end);
        *at = end;
    }
}
