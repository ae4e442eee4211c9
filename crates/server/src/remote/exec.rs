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
//! but their replies stand where they belong. A queue with scripts is [`crate::scripting`]'s.

use super::parcel::{Parcel, Sender};
use super::plan::{Errand, Piece, Plan, Stride, add, want_of};
use super::route::To;
use super::{form_of, is_silent};
use crate::clients::{Client, Held, Special};
use crate::commandlog::{self, By, Source};
use crate::core::{Actor, Core, Host, HostHandler};
use crate::dispatch::{self, AHEAD, Perform, Watch};
use crate::monitor;
use crate::scripting;
use crate::session::connection;
use crate::session::multi::{self, Multi, WatchedKey};
use crate::tracking;
use command::Error;
use command::table::{Entry, Run};
use engine::locks::{Mode, Name, Want};
use engine::tx::{Answer, Kind, Outcome, Part, Reserve, ShardId, Stage, Step, TxId};
use resp::{Args, Reply};
use std::collections::HashMap;
use std::sync::Arc;

/// A client's EXEC under way.
pub struct Exec {
    sender: Sender,
    silent: bool,
    /// EXEC, as the client has written it.
    word: Box<[u8]>,
    /// The queue, unless it is what travels.
    queue: Option<Box<Parcel>>,
    plan: Plan,
    watched: Vec<WatchedKey>,
    /// Commands whose replies are written.
    written: usize,
    tide: u64,
}

pub type Execs = HashMap<TxId, Box<Exec>, ahash::RandomState>;

/// Executes what a client has queued, or begins to.
pub fn begin(host: &mut Host<'_>, mut multi: Multi, watched: Vec<WatchedKey>) {
    multi.queue.reply.set_protocol(host.reply.protocol());
    if multi.has_script {
        return scripting::exec(host, multi.queue, watched);
    }
    let (core, client) = (&mut *host.core, &mut *host.client);
    if multi.has_host && client.special.has(Special::TRACKING) {
        foresee_caching(core, client, &multi.queue);
    }
    multi.queue.reads = core.actor.reads;
    match only_shard(core, &multi, &watched) {
        Some(shard) if shard == core.me && core.engine.is_plain() => {
            if are_as_seen(core, &watched) {
                run_here(core, client, host.reply, &multi.queue);
            } else {
                host.reply.null_array();
            }
            multi::release(core, watched);
            core.stock.put_parcel(multi.queue);
        }
        Some(shard) => {
            let want = want_all(core, &multi.queue, &watched);
            let mut payload = multi.queue;
            payload.db = client.db;
            payload.reads = core.actor.reads;
            payload.part.is_batch = true;
            payload.part.dbs = vec![client.db; payload.len()];
            let plan = Plan::of_one_parcel(payload.len());
            let exec = Exec::new(core, client, host.args.get(0), plan, watched);
            let shard = shard as ShardId;
            let errand = Errand {
                shard,
                want,
                payload,
            };
            start(core, client, exec, vec![errand]);
        }
        None => cut(host, multi, watched),
    }
}

/// The one shard that all keys, those that are watched included, are on.
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

/// Whether keys of this shard are as they were seen.
pub fn are_as_seen(core: &mut Core, watched: &[WatchedKey]) -> bool {
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

/// Runs a batch, each command in its database. If it may have to be undone, what it changes is saved
/// before; false, and nothing of the command done, if that is too much.
fn run_batch(core: &mut Core, tx: Option<TxId>, batch: &mut Parcel) -> bool {
    let process = Arc::clone(&core.process);
    let before = std::mem::replace(&mut core.actor, Actor::of(batch));
    core.shard.no_touch = batch.no_touch;
    let by = By::Actor(core.actor);
    let mut watch = Watch::start(Source::Later);
    let mut all = true;
    while batch.done() < batch.len() {
        let at = batch.done();
        let db = batch.part.dbs[at];
        let saves = batch.part.saves;
        let (entry, args, reply) = batch.split(at);
        let entry = &process.table.entries()[entry];
        if let Some(tx) = tx.filter(|_| saves)
            && !scripting::save(core, tx, db, entry, args)
        {
            all = false;
            break;
        }
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
    all
}

/// Does what a batch is to do now.
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
        let holds = payload.part.saves;
        core.held_events = holds.then(Vec::new);
        payload.part.too_big = !run_batch(core, Some(tx), &mut payload);
        scripting::hold_events(core, tx);
        if !payload.part.too_big {
            scripting::copies::add_to(core, &mut payload);
        }
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
    let mut want = Want::default();
    for at in 0..queue.len() {
        let (entry, args) = queue.command(at);
        let entry = &process.table.entries()[entry];
        if super::place(core, entry, args) == To::Anywhere {
            continue;
        }
        add(&mut want, super::wanted(core, entry, args));
    }
    for watched in watched {
        add(&mut want, want_to_watch(core, watched));
    }
    want
}

/// The lock under which a watched key is checked.
pub fn want_to_watch(core: &Core, watched: &WatchedKey) -> Want {
    let name = Name(core.shard.key(&watched.key).hash);
    Want::key(name, Mode::Shared)
}

/// Cuts a queue whose keys are on several shards, or that has commands that are not on data.
fn cut(host: &mut Host<'_>, multi: Multi, watched: Vec<WatchedKey>) {
    let (core, client) = (&mut *host.core, &mut *host.client);
    let process = Arc::clone(&core.process);
    let queue = multi.queue;
    let mut plan = Plan::default();
    let mut db = client.db;
    for at in 0..queue.len() {
        let (entry, args) = queue.command(at);
        let entry = &process.table.entries()[entry];
        if let Run::Data(_) = entry.run {
            plan.push(core, &queue, db, entry, args);
            continue;
        }
        if entry.spec.name == "select"
            && let Ok(chosen) = connection::database(core, args)
        {
            db = chosen;
        }
        plan.push_host();
    }
    plan.end_batches();
    let gathers = plan.gathers();
    let mut exec = Exec::new(core, client, host.args.get(0), plan, watched);
    exec.queue = Some(queue);
    if gathers {
        return start_program(core, client, exec);
    }
    let mut errands = Vec::new();
    for stride in std::mem::take(&mut exec.plan.strides) {
        if let Stride::Batch(errand) = stride {
            errands.push(errand);
        }
    }
    let me = core.me;
    let is_here = errands.iter().all(|e| usize::from(e.shard) == me)
        && exec.watched.iter().all(|watched| watched.shard == me);
    if !is_here || !core.engine.is_plain() {
        return start(core, client, exec, errands);
    }
    if !are_as_seen(core, &exec.watched) {
        host.reply.null_array();
        return exec.end(core);
    }
    for Errand { mut payload, .. } in errands {
        run_batch(core, None, &mut payload);
        exec.plan.take_home(core, payload);
    }
    exec.arrive(core);
    client.session.exec = Some(Box::new(exec));
    assemble(core, client, host.reply);
}

impl Exec {
    fn new(
        core: &mut Core,
        client: &Client,
        word: &[u8],
        plan: Plan,
        watched: Vec<WatchedKey>,
    ) -> Exec {
        Exec {
            sender: Sender::of(client),
            silent: is_silent(client),
            word: word.into(),
            queue: None,
            plan,
            watched,
            written: 0,
            tide: core.afloat.depart(),
        }
    }

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
        self.plan.dispose(core);
        if let Some(queue) = self.queue {
            core.stock.put_parcel(queue);
        }
    }
}

/// Gives each shard the keys that it is to check.
pub fn give_watches(core: &mut Core, watched: &[WatchedKey], errands: &mut Vec<Errand>) {
    for watched in watched {
        let shard = watched.shard as ShardId;
        let want = want_to_watch(core, watched);
        let at = errands.iter().position(|errand| errand.shard == shard);
        let at = at.unwrap_or_else(|| {
            let mut payload = Box::<Parcel>::default();
            payload.part.is_batch = true;
            payload.part.parcel = usize::MAX;
            errands.push(Errand {
                shard,
                want: Want::default(),
                payload,
            });
            errands.len() - 1
        });
        add(&mut errands[at].want, want);
        let watch = (watched.db, watched.key.clone(), watched.seen);
        errands[at].payload.part.watches.push(watch);
    }
}

/// Begins a transaction of one batch per shard.
fn start(core: &mut Core, client: &mut Client, exec: Exec, mut errands: Vec<Errand>) {
    give_watches(core, &exec.watched, &mut errands);
    let parts = errands
        .into_iter()
        .map(|errand| Part {
            check: !errand.payload.part.watches.is_empty(),
            ..Part::new(errand.shard, errand.want, errand.payload)
        })
        .collect();
    let tx = core.engine.begin(Kind::Write, parts);
    started(core, client, tx, exec);
}

fn start_program(core: &mut Core, client: &mut Client, exec: Exec) {
    let reserved = reserve(core, exec.plan.wants(), &exec.watched);
    let tx = core.engine.begin_program(reserved);
    started(core, client, tx, exec);
}

/// What a program reserves: its wants, and the keys to be checked.
pub fn reserve(
    core: &mut Core,
    mut wants: Vec<(ShardId, Want)>,
    watched: &[WatchedKey],
) -> Vec<Reserve<Box<Parcel>>> {
    let mut checks = Vec::new();
    give_watches(core, watched, &mut checks);
    for Errand { shard, want, .. } in &checks {
        want_of(&mut wants, *shard, want.clone());
    }
    let reserve = |(shard, want)| {
        let check = checks.iter().position(|errand| errand.shard == shard);
        let check = check.map(|at| checks.swap_remove(at).payload);
        Reserve { shard, want, check }
    };
    wants.into_iter().map(reserve).collect()
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
        exec.plan.take_home(core, parcel);
    }
    let step = match exec.plan.next(core) {
        Some(errand) => call(errand),
        None => Step::Done,
    };
    core.execs.insert(tx, exec);
    core.engine.step(tx, attempt, step);
}

/// An errand as a program's call.
pub fn call(errand: Errand) -> Step<Box<Parcel>> {
    Step::Call {
        shard: errand.shard,
        want: errand.want,
        payload: errand.payload,
    }
}

/// Every shard has executed and released.
pub fn finish(core: &mut Core, tx: TxId, parts: Vec<(ShardId, Box<Parcel>)>, outcome: Outcome) {
    let Some(mut exec) = core.execs.remove(&tx) else {
        unreachable!("an EXEC is known until it has finished");
    };
    for (_, parcel) in parts {
        exec.plan.take_home(core, parcel);
    }
    exec.arrive(core);
    let Sender { conn, client: id } = exec.sender;
    let Some(mut client) = core.clients.take_if(conn, id) else {
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
        reply.array(exec.plan.pieces.len());
    }
    while exec.written < exec.plan.pieces.len() {
        let at = exec.written;
        let start = reply.mark();
        exec.written += 1;
        if !matches!(exec.plan.pieces[at], Piece::Host) {
            exec.plan.write(core, reply, at);
            let bytes = commandlog::between(reply, start, reply.mark());
            note_data(core, client, reply, &exec, at, bytes);
            continue;
        }
        let queue = exec.queue.as_ref().expect("such commands are at home");
        run_host(core, client, reply, queue, at);
        if client.held.is_some() {
            client.session.exec = Some(exec);
            return;
        }
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
    let queue = exec.queue.as_deref().or(exec.plan.first_parcel());
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
pub fn run_host(
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    queue: &Parcel,
    at: usize,
) {
    let process = Arc::clone(&core.process);
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

/// Ends an EXEC whose client has gone.
pub fn abandon(core: &mut Core, client: &mut Client) {
    if let Some(exec) = client.session.exec.take() {
        exec.dispose(core);
    }
}
