//! Commands that would hold up their shard run aside: on a thread of their own, on values that their
//! shards have lent, while the shard goes on with everything that does not need those keys.
//!
//! ```text
//!   command on a big value ──► its keys' locks ──► values lent ──► thread: desk, handler, reply
//!                                                                        │
//!   next command of the client ◄── locks released ◄── what changed, given back
//! ```
//!
//! A row says how to tell what a call will cost ([`Weight`]), and nobody asks before the shard has seen
//! a big value. The handler is the one that runs on the shard, on a desk as gathering commands have it
//! (see [`super::tx`] and `store/loan.rs`). The locks are held until the reply is encoded, so all of it
//! happens at one moment; whoever needs one of the keys waits, and nobody else. At most [`THREADS`] run
//! for a shard at a time, others queue with their locks in hand.

use super::flight::Kind;
use super::parcel::{Parcel, Sender};
use super::route::{Keys, Placed};
use super::tx::{Work, apply, lend};
use super::{Pass, act, is_silent, run_parcel};
use crate::aof::journal;
use crate::clients::{Client, Held};
use crate::commandlog::{self, By};
use crate::core::{Actor, Core, HostHandler};
use crate::stats::Ticks;
use crate::tracking;
use crate::wake::Wake;
use command::table::Entry;
use command::{Context, Effect, Error, Form, Weight};
use engine::tx::{ShardId, TxId, Waiter};
use resp::reply::Mark;
use resp::{Args, Pack, Protocol, Reply};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender as Post, channel};
use store::shard::BIG;
use store::{Look, Shard, Stats};

/// Threads of one shard at a time.
const THREADS: usize = 2;

/// Who is answered.
pub enum Whom {
    Client {
        sender: Sender,
        silent: bool,
    },
    /// The next command of another shard's client.
    Parcel(ShardId, Box<Parcel>),
    Transaction(TxId),
}

pub struct Job {
    whom: Whom,
    /// The locks, unless a transaction has them.
    waiter: Option<Waiter>,
    work: Work,
    seed: [u64; 4],
    databases: usize,
    started: Ticks,
}

pub struct Done {
    job: Job,
    outcome: Result<Effect, Error>,
    stats: Stats,
}

pub struct Asides {
    wake: Wake,
    post: Post<Box<Done>>,
    inbox: Receiver<Box<Done>>,
    running: usize,
    queue: VecDeque<Box<Job>>,
}

impl Asides {
    pub fn new(wake: Wake) -> Asides {
        let (post, inbox) = channel();
        Asides {
            wake,
            post,
            inbox,
            running: 0,
            queue: VecDeque::new(),
        }
    }

    /// A job that is done.
    pub fn done(&mut self) -> Option<Box<Done>> {
        if self.running == 0 {
            return None;
        }
        let done = self.inbox.try_recv().ok()?;
        self.running -= 1;
        self.start_next();
        Some(done)
    }

    fn start_next(&mut self) {
        while self.running < THREADS
            && let Some(job) = self.queue.pop_front()
        {
            self.running += 1;
            let (post, wake) = (self.post.clone(), self.wake.clone());
            // The job must be in reach if no thread takes it.
            let slot = std::sync::Arc::new(std::sync::Mutex::new(Some(job)));
            let taken = std::sync::Arc::clone(&slot);
            let run = move |slot: &std::sync::Mutex<Option<Box<Job>>>| {
                let job = slot.lock().unwrap_or_else(|e| e.into_inner()).take();
                if let Some(job) = job {
                    // Nobody listens any more when the server has ended.
                    let _ = post.send(run_job(job));
                    wake.ring();
                }
            };
            let here = run.clone();
            let thread = std::thread::Builder::new().name("aside".into());
            if thread.spawn(move || run(&taken)).is_err() {
                here(&slot);
            }
        }
    }
}

fn run_job(mut job: Box<Job>) -> Box<Done> {
    let mut desk = Shard::new(job.databases, job.seed);
    let (outcome, stats) = job.work.perform(&mut desk);
    let job = *job;
    Box::new(Done {
        job,
        outcome,
        stats,
    })
}

/// Whether calls of a command have to be asked at all.
#[inline]
pub fn may_be_heavy(core: &Core, entry: usize) -> bool {
    let way = &core.ways[entry];
    way.weighs && (core.shard.has_big || way.outside)
}

/// Whether a call on this shard's keys is too much for it to wait for. It looks at the keys' values, so
/// nobody else may have locked them.
#[inline]
pub fn is_heavy(core: &mut Core, db: usize, entry: &Entry<HostHandler>, args: Args<'_>) -> bool {
    may_be_heavy(core, entry.index) && elements(core, db, entry, args) >= BIG
}

/// The elements that a call would go through.
#[inline(never)]
fn elements(core: &mut Core, db: usize, entry: &Entry<HostHandler>, args: Args<'_>) -> usize {
    match entry.spec.weight {
        Weight::Light => 0,
        Weight::Outside => BIG,
        Weight::Values => {
            let mut elements = 0;
            let places = keys(core, entry, args);
            for place in &places {
                let key = core.shard.key(args.get(place.at));
                let item = core.shard.look(db, key, Look::Peek);
                elements += item.map_or(0, |item| item.elements());
            }
            core.places = places;
            elements
        }
        Weight::Of(count) => count(&mut Context {
            shard: &mut core.shard,
            db,
            args,
            hash: None,
            warm: false,
            reply: &mut Reply::default(),
            settings: &core.settings,
            effects: &mut command::Effects::default(),
        }),
    }
}

/// The keys of a command, in a buffer of `core`'s.
pub fn keys(core: &mut Core, entry: &Entry<HostHandler>, args: Args<'_>) -> Vec<Placed> {
    super::place(core, entry, args);
    let way = core.ways[entry.index];
    let mut keys = std::mem::take(&mut core.places);
    if way.keys == Keys::First {
        keys.push(Placed {
            at: 1,
            shard: core.me,
            writes: way.kind != Kind::Reads,
        });
    }
    keys
}

/// Runs a client's command, whose keys are all here and locked by `waiter`, aside.
pub fn start(
    core: &mut Core,
    client: &mut Client,
    protocol: Protocol,
    entry: &Entry<HostHandler>,
    form: Form,
    args: Args<'_>,
    waiter: Waiter,
) {
    let whom = Whom::Client {
        sender: Sender::of(client),
        silent: is_silent(client),
    };
    let mut whole = core.stock.parcel(client, protocol);
    whole.push(entry.index, args);
    client.aside = true;
    client.held = Some(Held::Remote);
    client.session.commands += 1;
    enter(core, whom, waiter, whole, entry, form);
}

/// The same for the next command of a parcel.
pub fn start_parcel(
    core: &mut Core,
    from: ShardId,
    parcel: Box<Parcel>,
    entry: &Entry<HostHandler>,
    form: Form,
    waiter: Waiter,
) {
    let mut whole = core.stock.like(&parcel);
    whole.push(entry.index, parcel.command(parcel.done()).1);
    enter(core, Whom::Parcel(from, parcel), waiter, whole, entry, form);
}

fn enter(
    core: &mut Core,
    whom: Whom,
    waiter: Waiter,
    whole: Box<Parcel>,
    entry: &Entry<HostHandler>,
    form: Form,
) {
    let mut part = core.stock.like(&whole);
    let args = whole.command(0).1;
    let keys = keys(core, entry, args);
    for (place, key) in keys.iter().enumerate() {
        part.part.places.push(place as u32);
        part.pack().add(args, key.at);
    }
    part.end(entry.index);
    let other = super::tx::other_database(core, whole.db, form, args);
    part.part.reaches(whole.db, other);
    lend(core, &mut part);
    let work = Work {
        whole,
        keys,
        parts: vec![(core.me as ShardId, part)],
        handler: form.handler(),
        settings: core.settings,
        wanted: core.notices.wanted(),
        time_ms: core.shard.now_ms(),
        blocking: None,
        calls: Vec::new(),
        events: Vec::new(),
        effects: core.effects.aside(),
    };
    queue(core, whom, Some(waiter), work);
}

/// Queues work whose values have been lent.
pub fn queue(core: &mut Core, whom: Whom, waiter: Option<Waiter>, work: Work) {
    let seed = [(); 4].map(|()| core.shard.random());
    let job = Job {
        whom,
        waiter,
        work,
        seed,
        databases: core.shard.databases(),
        started: Ticks::now(),
    };
    core.stats.asides += 1;
    core.asides.queue.push_back(Box::new(job));
    core.asides.start_next();
}

/// Counts a command that has run aside, and remembers what it has read.
fn note(core: &mut Core, whole: &Parcel, ticks: u64) {
    let process = std::sync::Arc::clone(&core.process);
    let (entry, args) = whole.command(0);
    core.stats.note_shared_call(entry, ticks);
    let (by, bytes) = (By::Actor(core.actor), whole.reply.len());
    commandlog::note_time(core, by, &process.table.entries()[entry], args, ticks);
    if bytes >= core.thresholds.reply && core.actor.home == core.me {
        commandlog::note_reply(core, by, Some(entry), args, bytes);
    }
    if core.actor.reads {
        tracking::remember(core, &process.table.entries()[entry], args);
    }
}

/// Gives back what a job has changed, and answers.
pub fn finish(core: &mut Core, done: Done) {
    let Done {
        job,
        outcome,
        stats,
    } = done;
    let Job {
        whom,
        waiter,
        mut work,
        started,
        ..
    } = job;
    let wrote = matches!(outcome, Ok(Effect::Wrote));
    work.account(core, outcome, stats);
    if let Whom::Transaction(tx) = whom {
        super::tx::combined(core, tx, work);
        return act(core);
    }
    let ticks = Ticks::now().since(started);
    let own_ms = core.shard.now_ms();
    core.shard.set_now(work.time_ms);
    let before = std::mem::replace(&mut core.actor, Actor::of(&work.whole));
    for (_, part) in &mut work.parts {
        // All its keys are here: what it has done is what it says, and not what they have become.
        part.part.told = Some(Pack::default());
        apply(core, part);
    }
    if wrote {
        let (db, args) = (work.whole.db, work.whole.command(0).1);
        journal::note_aside(core, db, args, &work.effects);
    }
    core.shard.set_now(own_ms);
    note(core, &work.whole, ticks);
    core.actor = before;
    if let Some(waiter) = waiter {
        core.engine.passed(waiter);
    }
    let (start, end) = (Mark::default(), work.whole.reply.mark());
    match whom {
        Whom::Client { sender, silent } => {
            let client = core.clients.get_mut(sender.conn);
            if let Some(client) = client.filter(|c| c.id == sender.client) {
                client.aside = false;
                if !silent {
                    client.reply.append(&work.whole.reply, start, end);
                }
                core.clients.mark(sender.conn);
            }
        }
        Whom::Parcel(from, mut parcel) => {
            parcel.reply.append(&work.whole.reply, start, end);
            parcel.executed();
            run_parcel(core, from, parcel, Pass::Free);
        }
        Whom::Transaction(_) => unreachable!("they were answered above"),
    }
    for (_, parcel) in work.parts {
        core.stock.put_parcel(parcel);
    }
    core.stock.put_parcel(work.whole);
    work.keys.clear();
    core.places = work.keys;
    act(core);
}
