//! EXEC: the queued commands of one client, executed at one moment on the shards of their keys.
//!
//! ```text
//!   all keys here, nothing locked   run one after the other, into the client's reply
//!   all keys on one shard           the queue travels there as it is, and is a transaction of one part
//!   on several                      cut into a batch of commands per shard, which all run under all locks
//!   and some need values of several a program: batches, and between them gathering commands
//! ```
//!
//! All locks are known beforehand, so the program neither grows nor starts again. Watched keys are among
//! the locks, and are checked under them. The replies are put into the order of the queue at home, where
//! also the commands run that are not on data (PING, PUBLISH, INFO); those come after all that are,
//! but their replies stand where they belong.

use super::parcel::{Parcel, Sender};
use super::route::{Keys, Placed, To};
use super::tx::{Answered, Work, merge};
use super::{form_of, is_silent};
use crate::clients::{Client, Held, Special};
use crate::commandlog::{self, By, Source};
use crate::core::{Actor, Core, Host, HostHandler};
use crate::dispatch::{self, AHEAD, Perform, Watch};
use crate::monitor;
use crate::session::connection;
use crate::session::multi::{self, Multi, WatchedKey};
use crate::tracking;
use command::table::{Entry, Run};
use command::{Error, Flags, Form, Handler, Merge};
use engine::locks::{Mode, Name, Want};
use engine::tx::{Answer, Kind, Outcome, Part, Reserve, ShardId, Stage, Step, TxId};
use resp::{Args, Protocol, Reply};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Where the reply to a queued command is found.
enum Piece {
    /// Nowhere yet: the command runs when its turn has come.
    Host,
    /// It is the reply to a command of one of the parcels.
    One { parcel: usize, at: usize },
    /// It is put together.
    Many {
        parts: Vec<(ShardId, usize, usize)>,
        keys: Vec<Placed>,
        merge: Merge,
    },
}

/// What a program does one after the other.
enum Stride {
    /// A parcel runs on a shard.
    Batch(ShardId, Box<Parcel>),
    /// A command runs at home, on values that are lent.
    Gather(Box<Gathering>),
}

struct Gathering {
    /// Which parcel its reply becomes.
    place: usize,
    work: Work,
    /// Parts that are still to be lent, or given back.
    out: VecDeque<(ShardId, Box<Parcel>)>,
    combined: bool,
}

/// A client's EXEC under way.
pub struct Exec {
    sender: Sender,
    silent: bool,
    /// EXEC, as the client has written it.
    word: Box<[u8]>,
    /// The queue, unless it is what travels.
    queue: Option<Box<Parcel>>,
    pieces: Vec<Piece>,
    /// Parcels that are home, with replies.
    parcels: Vec<Option<Box<Parcel>>>,
    /// What the program does next, and what it does now.
    strides: VecDeque<Stride>,
    gathering: Option<Box<Gathering>>,
    watched: Vec<WatchedKey>,
    /// Commands whose replies are written.
    written: usize,
    tide: u64,
}

pub type Execs = HashMap<TxId, Box<Exec>, ahash::RandomState>;

/// Executes what a client has queued, or begins to.
pub fn begin(host: &mut Host<'_>, mut multi: Multi, watched: Vec<WatchedKey>) {
    let (core, client) = (&mut *host.core, &mut *host.client);
    let word = host.args.get(0);
    multi.queue.reply.set_protocol(host.reply.protocol());
    if multi.has_host && client.special.has(Special::TRACKING) {
        foresee_caching(core, client, &multi.queue);
    }
    let alone = only_shard(core, &multi, &watched);
    let protocol = host.reply.protocol();
    match alone {
        Some(shard) if shard == core.me && core.engine.is_plain() => {
            if !are_as_seen(core, &watched) {
                host.reply.null_array();
            } else {
                run_here(core, client, host.reply, &multi.queue);
            }
            multi::release(core, watched);
            core.stock.put_parcel(multi.queue);
            super::act(core);
        }
        Some(shard) => {
            let want = want_all(core, &multi.queue, &watched);
            let pieces = (0..multi.queue.len())
                .map(|at| Piece::One { parcel: 0, at })
                .collect();
            let mut payload = multi.queue;
            payload.db = client.db;
            payload.reads = core.actor.reads;
            payload.part.is_batch = true;
            payload.part.dbs = vec![client.db; payload.len()];
            let mut exec = Exec::new(core, client, word, watched);
            exec.pieces = pieces;
            exec.parcels.push(None);
            let mut parts = vec![(shard as ShardId, want, payload)];
            exec.give_watches(core, client, protocol, &mut parts);
            start(core, client, exec, parts);
        }
        None => plan(host, multi, watched),
    }
}

/// The one shard that all keys, those that are watched included, are on, if all commands are on keys of
/// the client's database.
fn only_shard(core: &mut Core, multi: &Multi, watched: &[WatchedKey]) -> Option<usize> {
    if multi.has_host {
        return None;
    }
    let process = Arc::clone(&core.process);
    let mut only = watched.first().map(|key| key.shard);
    if watched.iter().any(|key| Some(key.shard) != only) {
        return None;
    }
    for at in 0..multi.queue.len() {
        let (entry, args) = multi.queue.command(at);
        let entry = &process.table.entries()[entry];
        let shard = match super::place(core, entry, args) {
            To::Several if core.alone => core.me,
            To::Several => return None,
            To::Shard(shard) => shard,
            To::Anywhere => only.unwrap_or(core.me),
        };
        if only.is_some_and(|only| only != shard) {
            return None;
        }
        only = Some(shard);
    }
    Some(only.unwrap_or(core.me))
}

fn are_as_seen(core: &mut Core, watched: &[WatchedKey]) -> bool {
    let mut keys = watched.iter();
    keys.all(|watched| {
        let key = core.shard.key(&watched.key);
        core.shard.is_as_seen(watched.db, key, watched.seen)
    })
}

/// Runs all commands of a queue on this shard's data.
fn run_here(core: &mut Core, client: &Client, reply: &mut Reply, queue: &Parcel) {
    let process = Arc::clone(&core.process);
    reply.array(queue.len());
    let (db, by) = (client.db, By::Client(client));
    let is_monitored = core.special.has(Special::MONITORED);
    let mut watch = Watch::start(Source::Parcel(queue));
    let mut hashes = [None; AHEAD];
    let mut at = 0;
    while at < queue.len() {
        let n = AHEAD.min(queue.len() - at);
        super::prefetch(core, queue, at, &mut hashes[..n]);
        for hash in &hashes[..n] {
            let (entry, args) = queue.command(at);
            let entry = &process.table.entries()[entry];
            watch.next(core, by, entry.index, at, args.len());
            let perform = Perform::new(form_of(entry), *hash);
            let before = reply.len();
            dispatch::execute_here(core, db, reply, entry, perform, args);
            note_sizes(core, client, entry, args, reply.len() - before);
            if is_monitored {
                monitor::feed(core, client, &mut Reply::default(), entry, args);
            }
            at += 1;
        }
    }
    watch.stop(core, by);
}

/// Logs a command of an EXEC if its reply is large.
fn note_sizes(
    core: &mut Core,
    client: &Client,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
    bytes: usize,
) {
    if bytes >= core.thresholds.reply {
        commandlog::note_reply(core, By::Client(client), Some(entry.index), args, bytes);
    }
}

/// Runs a batch of somebody's EXEC, each command in its database.
fn run_batch(core: &mut Core, batch: &mut Parcel) {
    let process = Arc::clone(&core.process);
    let before = std::mem::replace(&mut core.actor, Actor::of(batch));
    core.shard.no_touch = batch.no_touch;
    let by = By::Actor(core.actor);
    let mut watch = Watch::start(Source::Later);
    while batch.done() < batch.len() {
        let at = batch.done();
        let db = batch.part.dbs[at];
        let (entry, args, reply) = batch.split(at);
        let entry = &process.table.entries()[entry];
        watch.next(core, by, entry.index, at, args.len());
        let perform = Perform::new(form_of(entry), None);
        dispatch::execute_here(core, db, reply, entry, perform, args);
        batch.part.weight = core.shard.len(db);
        batch.executed();
    }
    watch.stop(core, by);
    commandlog::settle(core, batch);
    core.shard.no_touch = false;
    core.actor = before;
}

/// Does what a part of an EXEC is to do now.
pub fn run(core: &mut Core, tx: TxId, mut payload: Box<Parcel>, stage: Stage, time_ms: i64) {
    let own_ms = core.shard.now_ms();
    core.shard.set_now(time_ms);
    let mut as_seen = true;
    if stage == Stage::Check {
        for (db, key, seen) in &payload.part.watches {
            let key = core.shard.key(key);
            as_seen &= core.shard.is_as_seen(*db, key, *seen);
        }
    } else {
        run_batch(core, &mut payload);
    }
    core.shard.set_now(own_ms);
    core.advance(time_ms);
    let now_ms = core.shard.now_ms();
    if stage == Stage::Check {
        core.engine.checked(tx, payload, as_seen);
    } else {
        core.engine.ran(tx, payload, now_ms);
    }
}

/// The locks of a queue whose keys are all on one shard.
fn want_all(core: &mut Core, queue: &Parcel, watched: &[WatchedKey]) -> Want {
    let process = Arc::clone(&core.process);
    let mut want = Want::Keys(Vec::new());
    for at in 0..queue.len() {
        let (entry, args) = queue.command(at);
        let entry = &process.table.entries()[entry];
        if super::place(core, entry, args) == To::Anywhere {
            continue;
        }
        add(&mut want, super::wanted(core, entry, args));
    }
    for watched in watched {
        let name = Name(core.shard.key(&watched.key).hash);
        add(&mut want, Want::key(name, Mode::Shared));
    }
    want
}

/// Adds to what is wanted; whoever takes it puts it into order.
fn add(want: &mut Want, more: Want) {
    match (&mut *want, more) {
        (Want::Keys(keys), Want::Keys(more)) => keys.extend(more),
        (mine, more) => {
            let exclusive = mine.writes() || more.writes();
            *mine = Want::Whole(Mode::of(exclusive));
        }
    }
}

/// A queue being cut.
struct Plan {
    exec: Exec,
    wants: Vec<(ShardId, Want)>,
    /// The batch that is being filled, by shard: which parcel it will be.
    batch: Vec<(ShardId, usize, Box<Parcel>)>,
    protocol: Protocol,
}

/// Cuts a queue whose keys are on several shards, or that has commands that are not on data.
fn plan(host: &mut Host<'_>, multi: Multi, watched: Vec<WatchedKey>) {
    let (core, client) = (&mut *host.core, &mut *host.client);
    let process = Arc::clone(&core.process);
    let queue = multi.queue;
    let mut plan = Plan {
        exec: Exec::new(core, client, host.args.get(0), watched),
        wants: Vec::new(),
        batch: Vec::new(),
        protocol: host.reply.protocol(),
    };
    let mut db = client.db;
    for at in 0..queue.len() {
        let (entry, args) = queue.command(at);
        let entry = &process.table.entries()[entry];
        let piece = match entry.run {
            Run::Data(form) => plan.command(core, client, db, entry, form, args),
            _ => {
                if entry.spec.name == "select"
                    && let Ok(chosen) = connection::database(core, args)
                {
                    db = chosen;
                }
                Piece::Host
            }
        };
        plan.exec.pieces.push(piece);
    }
    plan.end_batch();
    let Plan {
        mut exec,
        mut wants,
        protocol,
        ..
    } = plan;
    exec.queue = Some(queue);
    for watched in &exec.watched {
        let name = Name(core.shard.key(&watched.key).hash);
        let shard = watched.shard as ShardId;
        want_of(&mut wants, shard, Want::key(name, Mode::Shared));
    }
    let is_program = exec
        .strides
        .iter()
        .any(|stride| matches!(stride, Stride::Gather(_)));
    if wants.is_empty() {
        // Nothing is on data but what has no keys.
        for stride in std::mem::take(&mut exec.strides) {
            if let Stride::Batch(_, mut batch) = stride {
                run_batch(core, &mut batch);
                exec.take_home(batch);
            }
        }
        return assemble_now(host, exec);
    }
    if is_program {
        return start_program(core, client, exec, wants, protocol);
    }
    let mut parts = Vec::new();
    for stride in std::mem::take(&mut exec.strides) {
        if let Stride::Batch(shard, batch) = stride {
            let want = take_want(&mut wants, shard);
            parts.push((shard, want, batch));
        }
    }
    for (shard, want) in wants {
        let mut batch = core.stock.parcel(client, protocol);
        batch.part.is_batch = true;
        batch.part.parcel = usize::MAX;
        parts.push((shard, want, batch));
    }
    exec.give_watches(core, client, protocol, &mut parts);
    let me = core.me as ShardId;
    if core.engine.is_plain() && parts.iter().all(|(shard, ..)| *shard == me) {
        if !are_as_seen(core, &exec.watched) {
            host.reply.null_array();
            return exec.end(core);
        }
        for (.., mut batch) in parts {
            run_batch(core, &mut batch);
            exec.take_home(batch);
        }
        return assemble_now(host, exec);
    }
    start(core, client, exec, parts);
}

fn want_of(wants: &mut Vec<(ShardId, Want)>, shard: ShardId, more: Want) {
    match wants.iter_mut().find(|(of, _)| *of == shard) {
        Some((_, want)) => add(want, more),
        None => wants.push((shard, more)),
    }
}

fn take_want(wants: &mut Vec<(ShardId, Want)>, shard: ShardId) -> Want {
    match wants.iter().position(|(of, _)| *of == shard) {
        Some(at) => wants.swap_remove(at).1,
        None => Want::Keys(Vec::new()),
    }
}

impl Plan {
    /// Says where a command on data is to run, and with which locks.
    fn command(
        &mut self,
        core: &mut Core,
        client: &Client,
        db: usize,
        entry: &Entry<HostHandler>,
        form: Form,
        args: Args<'_>,
    ) -> Piece {
        let to = match super::place(core, entry, args) {
            To::Several if core.alone => To::Shard(core.me),
            to => to,
        };
        let keys = std::mem::take(&mut core.places);
        let piece = match to {
            To::Anywhere => {
                let batch = self.batch(core, client, core.me as ShardId);
                batch.push_in(db, entry.index, args);
                self.last_of(core.me as ShardId)
            }
            To::Shard(shard) => {
                let shard = shard as ShardId;
                want_of(&mut self.wants, shard, super::wanted(core, entry, args));
                self.batch(core, client, shard)
                    .push_in(db, entry.index, args);
                self.last_of(shard)
            }
            To::Several => self.several(core, client, db, entry, form, args, &keys),
        };
        core.places = keys;
        core.places.clear();
        piece
    }

    #[allow(clippy::too_many_arguments)]
    fn several(
        &mut self,
        core: &mut Core,
        client: &Client,
        db: usize,
        entry: &Entry<HostHandler>,
        form: Form,
        args: Args<'_>,
        keys: &[Placed],
    ) -> Piece {
        for key in keys {
            let name = Name(core.shard.key(args.get(key.at)).hash);
            let want = Want::key(name, Mode::of(key.writes));
            want_of(&mut self.wants, key.shard as ShardId, want);
        }
        match form {
            Form::Everywhere(_, merge) => {
                let mode = Mode::of(entry.spec.flags.has(Flags::WRITE));
                let mut parts = Vec::new();
                for shard in 0..core.placement.shards() as ShardId {
                    want_of(&mut self.wants, shard, Want::Whole(mode));
                    self.batch(core, client, shard)
                        .push_in(db, entry.index, args);
                    parts.push(self.end_of(shard));
                }
                Piece::Many {
                    parts,
                    keys: Vec::new(),
                    merge,
                }
            }
            Form::Gather(handler, _) => {
                self.end_batch();
                let place = self.exec.parcels.len();
                self.exec.parcels.push(None);
                let gathering = Gathering::new(
                    core,
                    client,
                    self.protocol,
                    db,
                    entry,
                    form,
                    handler,
                    args,
                    keys,
                );
                let gathering = Gathering { place, ..gathering };
                self.exec
                    .strides
                    .push_back(Stride::Gather(Box::new(gathering)));
                Piece::One {
                    parcel: place,
                    at: 0,
                }
            }
            Form::Fan(_, merge) => {
                let step = match core.ways[entry.index].keys {
                    Keys::Each { step } => step,
                    _ => 1,
                };
                let mut parts = Vec::new();
                for (i, key) in keys.iter().enumerate() {
                    let is_first = !keys[..i].iter().any(|k| k.shard == key.shard);
                    if !is_first {
                        continue;
                    }
                    let batch = self.batch(core, client, key.shard as ShardId);
                    batch.pack().add(args, 0);
                    for own in keys.iter().filter(|k| k.shard == key.shard) {
                        (own.at..own.at + step).for_each(|i| batch.pack().add(args, i));
                    }
                    batch.end_in(db, entry.index);
                    parts.push(self.end_of(key.shard as ShardId));
                }
                Piece::Many {
                    parts,
                    keys: keys.to_vec(),
                    merge,
                }
            }
            Form::Local(_) | Form::Walk(_) => unreachable!("its keys are on one shard"),
        }
    }

    /// The batch of a shard, to put a command into.
    fn batch(&mut self, core: &mut Core, client: &Client, shard: ShardId) -> &mut Parcel {
        let at = match self.batch.iter().position(|(of, ..)| *of == shard) {
            Some(at) => at,
            None => {
                let mut batch = core.stock.parcel(client, self.protocol);
                batch.part.is_batch = true;
                batch.part.parcel = self.exec.parcels.len();
                self.batch.push((shard, self.exec.parcels.len(), batch));
                self.exec.parcels.push(None);
                self.batch.len() - 1
            }
        };
        &mut self.batch[at].2
    }

    /// Shard, parcel and place of the command put last into a shard's batch.
    fn end_of(&self, shard: ShardId) -> (ShardId, usize, usize) {
        let batch = self.batch.iter().find(|(of, ..)| *of == shard);
        let (_, parcel, batch) = batch.expect("a command was put there");
        (shard, *parcel, batch.len() - 1)
    }

    fn last_of(&self, shard: ShardId) -> Piece {
        let (_, parcel, at) = self.end_of(shard);
        Piece::One { parcel, at }
    }

    /// What comes now comes after all batches so far.
    fn end_batch(&mut self) {
        for (shard, _, batch) in self.batch.drain(..) {
            self.exec.strides.push_back(Stride::Batch(shard, batch));
        }
    }
}

impl Gathering {
    #[allow(clippy::too_many_arguments)]
    fn new(
        core: &mut Core,
        client: &Client,
        protocol: Protocol,
        db: usize,
        entry: &Entry<HostHandler>,
        form: Form,
        handler: Handler,
        args: Args<'_>,
        keys: &[Placed],
    ) -> Gathering {
        let mut whole = core.stock.parcel(client, protocol);
        whole.db = db;
        whole.push(entry.index, args);
        let other = super::tx::other_database(core, db, form, args);
        let mut out = VecDeque::new();
        for part in super::tx::cut(core, client, protocol, entry, args, keys, 0) {
            let mut payload = part.payload;
            payload.db = db;
            payload.part.reaches(db, other);
            out.push_back((part.shard, payload));
        }
        Gathering {
            place: 0,
            work: Work {
                whole,
                keys: keys.to_vec(),
                parts: Vec::new(),
                handler,
                settings: core.settings,
                time_ms: 0,
                blocking: None,
                calls: Vec::new(),
            },
            out,
            combined: false,
        }
    }
}

impl Exec {
    fn new(core: &mut Core, client: &Client, word: &[u8], watched: Vec<WatchedKey>) -> Exec {
        Exec {
            sender: Sender::of(client),
            silent: is_silent(client),
            word: word.into(),
            queue: None,
            pieces: Vec::new(),
            parcels: Vec::new(),
            strides: VecDeque::new(),
            gathering: None,
            watched,
            written: 0,
            tide: core.afloat.depart(),
        }
    }

    /// Gives each part the keys that it is to check.
    fn give_watches(
        &self,
        core: &mut Core,
        client: &Client,
        protocol: Protocol,
        parts: &mut Vec<(ShardId, Want, Box<Parcel>)>,
    ) {
        for watched in &self.watched {
            let shard = watched.shard as ShardId;
            let at = match parts.iter().position(|(of, ..)| *of == shard) {
                Some(at) => at,
                None => {
                    let mut batch = core.stock.parcel(client, protocol);
                    batch.part.is_batch = true;
                    batch.part.parcel = usize::MAX;
                    parts.push((shard, Want::Keys(Vec::new()), batch));
                    parts.len() - 1
                }
            };
            let watch = (watched.db, watched.key.clone(), watched.seen);
            parts[at].2.part.watches.push(watch);
        }
    }

    /// Takes a parcel that has been executed.
    fn take_home(&mut self, parcel: Box<Parcel>) {
        if let Some(place) = self.parcels.get_mut(parcel.part.parcel) {
            *place = Some(parcel);
        }
    }
}

/// Begins a transaction of one batch per shard.
fn start(
    core: &mut Core,
    client: &mut Client,
    exec: Exec,
    parts: Vec<(ShardId, Want, Box<Parcel>)>,
) {
    let parts = parts
        .into_iter()
        .map(|(shard, want, payload)| Part {
            check: !payload.part.watches.is_empty(),
            ..Part::new(shard, want, payload)
        })
        .collect();
    let tx = core.engine.begin(Kind::Write, parts);
    started(core, client, tx, exec);
}

fn start_program(
    core: &mut Core,
    client: &mut Client,
    exec: Exec,
    wants: Vec<(ShardId, Want)>,
    protocol: Protocol,
) {
    let mut checks = Vec::new();
    exec.give_watches(core, client, protocol, &mut checks);
    let mut reserved = Vec::new();
    for (shard, want) in wants {
        let check = checks.iter().position(|(of, ..)| *of == shard);
        let check = check.map(|at| checks.swap_remove(at).2);
        reserved.push(Reserve { shard, want, check });
    }
    let tx = core.engine.begin_program(reserved);
    started(core, client, tx, exec);
}

fn started(core: &mut Core, client: &mut Client, tx: TxId, exec: Exec) {
    core.note_locks();
    core.execs.insert(tx, Box::new(exec));
    core.stats.transactions += 1;
    client.transaction = Some(tx);
    client.held = Some(Held::Remote);
}

/// The program of an EXEC goes on.
pub fn step(core: &mut Core, tx: TxId, attempt: u32, answer: Answer<Box<Parcel>>) {
    let Some(mut exec) = core.execs.remove(&tx) else {
        unreachable!("an EXEC is known until it has finished");
    };
    if let Answer::Value(parcel) = answer {
        match &mut exec.gathering {
            None => exec.take_home(parcel),
            Some(gathering) if gathering.combined => core.stock.put_parcel(parcel),
            Some(gathering) => {
                // It came from the shard that was asked last.
                let shard = parcel.part.shard;
                gathering.work.parts.push((shard, parcel));
            }
        }
    }
    let step = exec.next_step(core);
    core.execs.insert(tx, exec);
    core.engine.step(tx, attempt, step);
}

impl Exec {
    fn next_step(&mut self, core: &mut Core) -> Step<Box<Parcel>> {
        loop {
            if let Some(mut gathering) = self.gathering.take() {
                if gathering.out.is_empty() && !gathering.combined {
                    gathering.combine(core);
                }
                if let Some((shard, mut payload)) = gathering.out.pop_front() {
                    payload.part.shard = shard;
                    payload.part.applies = gathering.combined;
                    self.gathering = Some(gathering);
                    return call(shard, payload);
                }
                let Gathering { place, work, .. } = *gathering;
                self.parcels[place] = Some(work.whole);
                continue;
            }
            match self.strides.pop_front() {
                Some(Stride::Batch(shard, batch)) => return call(shard, batch),
                Some(Stride::Gather(gathering)) => self.gathering = Some(gathering),
                None => return Step::Done,
            }
        }
    }
}

/// Its locks are there already.
fn call(shard: ShardId, payload: Box<Parcel>) -> Step<Box<Parcel>> {
    Step::Call {
        shard,
        want: Want::Keys(Vec::new()),
        payload,
    }
}

impl Gathering {
    /// Runs the command on what was lent, and has given back what has changed.
    fn combine(&mut self, core: &mut Core) {
        self.combined = true;
        self.work.time_ms = core.shard.now_ms();
        let (outcome, stats) = self.work.perform(&mut core.desk);
        self.work.account(core, outcome, stats);
        self.work.whole.executed();
        for (shard, part) in self.work.parts.drain(..) {
            if part.part.loans.is_empty() {
                core.stock.put_parcel(part);
            } else {
                self.out.push_back((shard, part));
            }
        }
    }
}

/// Every shard has executed and released.
pub fn finish(core: &mut Core, tx: TxId, parts: Vec<(ShardId, Box<Parcel>)>, outcome: Outcome) {
    let Some(mut exec) = core.execs.remove(&tx) else {
        unreachable!("an EXEC is known until it has finished");
    };
    for (_, parcel) in parts {
        exec.take_home(parcel);
    }
    exec.arrive(core);
    let Sender { conn, client: id } = exec.sender;
    let there = core.clients.get(conn).is_some_and(|c| c.id == id);
    let Some(mut client) = there.then(|| core.clients.take(conn)).flatten() else {
        return exec.dispose(core);
    };
    client.transaction = None;
    if client.reply.is_empty() {
        client.reply.put_buffer(core.spare.take());
    }
    if outcome == Outcome::Aborted {
        if !exec.silent {
            client.reply.null_array();
        }
        feed_exec(core, &mut client, &exec.word);
        exec.dispose(core);
    } else {
        client.session.exec = Some(exec);
        go_on(core, &mut client);
    }
    core.clients.put(client);
    core.clients.mark(conn);
}

/// The commands on data have run while the client's EXEC itself did.
fn assemble_now(host: &mut Host<'_>, mut exec: Exec) {
    exec.arrive(host.core);
    host.client.session.exec = Some(Box::new(exec));
    assemble(host.core, host.client, host.reply);
}

/// Writes the replies of a client's EXEC as far as they are there.
pub fn go_on(core: &mut Core, client: &mut Client) {
    let mut reply = std::mem::take(&mut client.reply);
    if reply.is_empty() && reply.capacity() == 0 {
        reply.put_buffer(core.spare.take());
    }
    let mark = reply.mark();
    let exec = client.session.exec.as_ref();
    let silent = exec.is_some_and(|exec| exec.silent);
    let word = exec.map_or(Box::default(), |exec| exec.word.clone());
    assemble(core, client, &mut reply);
    if silent {
        reply.rewind(mark);
    }
    client.reply = reply;
    if client.session.exec.is_none() {
        tracking::turn(client, false);
        feed_exec(core, client, &word);
    }
}

/// CLIENT CACHING among queued commands is for those behind it, which run before it does. So what it
/// says holds for all of them.
fn foresee_caching(core: &mut Core, client: &mut Client, queue: &Parcel) {
    let process = Arc::clone(&core.process);
    for at in 0..queue.len() {
        let (entry, args) = queue.command(at);
        if &*process.table.entries()[entry].full_name == "client|caching" {
            tracking::call(client, args.get(2));
        }
    }
    core.actor.reads = tracking::reads(client);
}

/// Tells monitors of an EXEC, behind its commands.
fn feed_exec(core: &mut Core, client: &mut Client, word: &[u8]) {
    if !core.special.has(Special::MONITORED) {
        return;
    }
    let process = Arc::clone(&core.process);
    if let Some(entry) = process.table.find_full(b"exec") {
        let mut exec = Parcel::default();
        exec.pack().add_bytes(word);
        exec.end(entry.index);
        let mut reply = std::mem::take(&mut client.reply);
        monitor::feed(core, client, &mut reply, entry, exec.command(0).1);
        client.reply = reply;
    }
}

fn assemble(core: &mut Core, client: &mut Client, reply: &mut Reply) {
    let Some(mut exec) = client.session.exec.take() else {
        return;
    };
    if exec.written == 0 {
        reply.array(exec.pieces.len());
    }
    while exec.written < exec.pieces.len() {
        let at = exec.written;
        let start = reply.mark();
        exec.written += 1;
        match &exec.pieces[at] {
            Piece::Host => {
                run_host(core, client, reply, &exec, at);
                if client.held.is_some() {
                    client.session.exec = Some(exec);
                    return;
                }
                continue;
            }
            Piece::One { parcel, at } => {
                let parcel = exec.parcels[*parcel].as_ref();
                let parcel = parcel.expect("all batches are home");
                let (from, to) = parcel.between(*at, *at + 1);
                reply.append(&parcel.reply, from, to);
            }
            Piece::Many { parts, keys, merge } => {
                let answers: Vec<_> = parts
                    .iter()
                    .map(|(shard, parcel, at)| {
                        let parcel = exec.parcels[*parcel].as_ref();
                        let parcel = parcel.expect("all batches are home");
                        let (from, to) = parcel.between(*at, *at + 1);
                        Answered {
                            shard: *shard,
                            reply: &parcel.reply,
                            from,
                            to,
                            weight: parcel.part.weight as u64,
                        }
                    })
                    .collect();
                self::merge(reply, *merge, &answers, keys, core.shard.random());
            }
        }
        let bytes = commandlog::between(reply, start, reply.mark());
        note_data(core, client, reply, &exec, at, bytes);
    }
    exec.dispose(core);
}

/// A queued command on data has been answered: tells monitors, and logs it if its reply is large.
fn note_data(
    core: &mut Core,
    client: &Client,
    reply: &mut Reply,
    exec: &Exec,
    at: usize,
    bytes: usize,
) {
    let is_monitored = core.special.has(Special::MONITORED);
    if !is_monitored && bytes < core.thresholds.reply {
        return;
    }
    // Without a queue of its own, what has travelled is the queue.
    let queue = exec.queue.as_deref().or(exec.parcels[0].as_deref());
    let Some((entry, args)) = queue.map(|queue| queue.command(at)) else {
        return;
    };
    let process = Arc::clone(&core.process);
    let entry = &process.table.entries()[entry];
    note_sizes(core, client, entry, args, bytes);
    if is_monitored {
        monitor::feed(core, client, reply, entry, args);
    }
}

/// Runs a queued command that is not on data.
fn run_host(core: &mut Core, client: &mut Client, reply: &mut Reply, exec: &Exec, at: usize) {
    let process = Arc::clone(&core.process);
    let queue = exec.queue.as_ref().expect("such commands are at home");
    let (entry, args) = queue.command(at);
    let entry = &process.table.entries()[entry];
    client.session.last_command = Some(entry.index);
    client.session.denies_blocking = true;
    let mut watch = Watch::start(Source::One(args));
    watch.next(core, By::Client(client), entry.index, 0, args.len());
    let outcome = match entry.run {
        Run::Host(handler) => handler(&mut Host {
            core,
            client,
            reply,
            args,
        }),
        Run::Container => Err(Error::arity(&entry.full_name)),
        Run::Data(_) => unreachable!("it is not on data"),
    };
    watch.stop(core, By::Client(client));
    client.session.denies_blocking = false;
    if let Err(error) = outcome {
        dispatch::fail(core, reply, entry.index, &error);
    }
    if core.special.has(Special::MONITORED) {
        monitor::feed(core, client, reply, entry, args);
    }
}

impl Exec {
    /// Its commands on data have run, or will not.
    fn arrive(&mut self, core: &mut Core) {
        if core.afloat.arrive(self.tide) {
            super::survey::ebb(core);
        }
        multi::release(core, std::mem::take(&mut self.watched));
    }

    /// It was given up before it began.
    fn end(mut self, core: &mut Core) {
        self.arrive(core);
        self.dispose(core);
    }

    fn dispose(self, core: &mut Core) {
        let parcels = self.parcels.into_iter().flatten();
        for parcel in parcels.chain(self.queue) {
            core.stock.put_parcel(parcel);
        }
    }
}

/// Ends an EXEC whose client has gone.
pub fn abandon(core: &mut Core, client: &mut Client) {
    if let Some(exec) = client.session.exec.take() {
        exec.dispose(core);
    }
}
