//! The run: shards, links, clients, and the scheduler that moves them.

use crate::data::{Data, Key, Layout, Op, Value, Work};
use crate::program::Script;
use engine::tx::Fault;
use engine::{ClaimId, Engine, Message, Spot, Stamp, TxId, Waiter};
use harness::Seed;
use harness::history::{self, Operation};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A run that is not over after so many passes never ends.
const PASSES: u64 = 60_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// Everything.
    Mixed,
    /// Readers that overlap without a gap until the writers are through.
    Readers,
}

/// What happened in a run, to know that a test tests something.
#[derive(Default, Debug)]
pub struct Seen {
    pub operations: u64,
    pub parked: u64,
    pub aborted: u64,
    pub undone: u64,
    pub restarted: u64,
    pub pressed: u64,
    pub yielded: u64,
    pub served: u64,
    pub served_from_afar: u64,
    pub timed_out: u64,
    pub died: u64,
    pub ran_again: u64,
    pub sealed: u64,
    pub adopted: u64,
}

impl Seen {
    fn counts(&self) -> [u64; 14] {
        [
            self.operations,
            self.parked,
            self.aborted,
            self.undone,
            self.restarted,
            self.pressed,
            self.yielded,
            self.served,
            self.served_from_afar,
            self.timed_out,
            self.died,
            self.ran_again,
            self.sealed,
            self.adopted,
        ]
    }

    pub fn all_happened(&self) -> bool {
        self.counts().iter().all(|count| *count > 0)
    }

    pub fn add(&mut self, other: &Seen) {
        self.operations += other.operations;
        self.parked += other.parked;
        self.aborted += other.aborted;
        self.undone += other.undone;
        self.restarted += other.restarted;
        self.pressed += other.pressed;
        self.yielded += other.yielded;
        self.served += other.served;
        self.served_from_afar += other.served_from_afar;
        self.timed_out += other.timed_out;
        self.died += other.died;
        self.ran_again += other.ran_again;
        self.sealed += other.sealed;
        self.adopted += other.adopted;
    }
}

pub enum Packet {
    Engine(Message<Work>),
    /// A command of one shard, from the client's home, and back.
    Job(Work, Stamp),
    Answer(Work, Stamp),
}

/// What a shard's host does some passes later.
pub enum Later {
    Combined(TxId, Vec<(engine::ShardId, Work)>),
    Step(TxId, u32, engine::Step<Work>),
    Resume(TxId, u32),
    Resumed(Waiter),
}

pub struct Shard {
    pub engine: Engine<Work>,
    pub data: Data,
    pub parked: HashMap<Waiter, Work>,
    pub transactions: BTreeMap<TxId, Op>,
    pub programs: HashMap<TxId, Script>,
    pub later: Vec<(u64, Later)>,
    pub sealed: u64,
    skew_ms: i64,
    stalled_until: u64,
}

#[derive(Default)]
pub struct Client {
    pub home: usize,
    pub op: Option<Op>,
    pub start_at: u64,
    pub die_at: Option<u64>,
    pub left: u32,
    pub watched: Vec<(Key, Vec<Value>)>,
    pub epoch: u64,
}

/// An operation while it runs, beside what the history needs.
#[derive(Default)]
pub struct OpState {
    pub operation: Operation,
    pub home: usize,
    pub done: bool,
    /// It has no place in the history: aborted, or timed out.
    pub void: bool,
    pub dead: bool,
    pub waiter: Option<Waiter>,
    pub claim: Option<ClaimId>,
    pub times_out_at: Option<u64>,
    /// A gather's appends; a blocking pop's queues.
    pub plan: Vec<(Key, Value)>,
    pub blocks: bool,
    /// The gather that lets it wait has ended, or has served it.
    pub registered: bool,
    pub epoch: Option<u64>,
    pub seen_epoch: u64,
}

pub struct World {
    pub random: Seed,
    pub scenario: Scenario,
    pub layout: Layout,
    pub shards: Vec<Shard>,
    links: Vec<VecDeque<(u64, Packet)>>,
    pub clients: Vec<Client>,
    pub ops: Vec<OpState>,
    pub open: usize,
    pub pass: u64,
    pub event: u64,
    pub claims: HashMap<ClaimId, Op>,
    /// Claims that wait, in the order in which they began to, and those that do not any more.
    pub spots: BTreeMap<Spot, Vec<ClaimId>>,
    pub closed: BTreeSet<ClaimId>,
    /// Where each claim was served, and claims that others went ahead of at a spot.
    pub served: BTreeMap<ClaimId, Spot>,
    pub overtaken: Vec<(ClaimId, Spot)>,
    pub seen: Seen,
    pub error: Option<String>,
    pub tell: bool,
    /// How likely each kind of operation is.
    pub weights: Vec<usize>,
    slow: usize,
    in_flight: usize,
}

impl World {
    pub fn new(seed: u64, scenario: Scenario, fault: Option<Fault>) -> World {
        let mut random = Seed::new(seed);
        let readers = scenario == Scenario::Readers;
        let count = 2 + random.below(5);
        let few = random.one_in(2);
        let layout = Layout {
            shards: count,
            registers: if few {
                2 + random.number() % 3
            } else {
                4 + random.number() % 9
            },
            queues: 1 + random.number() % 3,
            collide: random.one_in(8),
        };
        let skew = 1 + random.below(20);
        let patience = if random.one_in(3) { 1 } else { 3 };
        let shards = (0..count)
            .map(|shard| {
                let mut engine = Engine::new(shard as u16);
                engine.set_patience(patience);
                if let Some(fault) = fault {
                    engine.plant(fault);
                }
                Shard {
                    engine,
                    data: Data::default(),
                    parked: HashMap::new(),
                    transactions: BTreeMap::new(),
                    programs: HashMap::new(),
                    later: Vec::new(),
                    sealed: 0,
                    skew_ms: random.below(skew) as i64,
                    stalled_until: 0,
                }
            })
            .collect();
        let clients = (0..if readers { 16 } else { 3 + random.below(6) })
            .map(|_| Client {
                home: random.below(count),
                left: 4 + random.below(8) as u32,
                ..Client::default()
            })
            .collect();
        let weights = (0..crate::operations::KINDS)
            .map(|_| {
                if random.one_in(3) {
                    0
                } else {
                    1 + random.below(10)
                }
            })
            .collect();
        World {
            scenario,
            layout,
            shards,
            links: (0..count * count * 2).map(|_| VecDeque::new()).collect(),
            clients,
            ops: Vec::new(),
            open: 0,
            pass: 0,
            event: 0,
            claims: HashMap::new(),
            spots: BTreeMap::new(),
            closed: BTreeSet::new(),
            served: BTreeMap::new(),
            overtaken: Vec::new(),
            seen: Seen::default(),
            error: None,
            tell: false,
            weights,
            slow: 1 + random.below(20),
            in_flight: 0,
            random,
        }
    }

    /// Remembers the first thing that went wrong.
    pub fn fail(&mut self, what: String) {
        self.error.get_or_insert(what);
    }

    pub fn send(&mut self, from: usize, to: usize, is_reply: bool, packet: Packet) {
        let delay = if self.random.one_in(30) {
            self.random.below(40 * self.slow)
        } else {
            1 + self.random.below(self.slow)
        };
        let link = self.link(from, to, is_reply);
        let due = self.pass + delay as u64;
        let last = self.links[link].back().map_or(0, |last| last.0);
        self.links[link].push_back((due.max(last), packet));
        self.in_flight += 1;
    }

    fn link(&self, from: usize, to: usize, is_reply: bool) -> usize {
        (from * self.shards.len() + to) * 2 + usize::from(is_reply)
    }

    pub fn run(mut self) -> Result<Seen, String> {
        while self.pass < PASSES && !self.is_over() {
            self.pass += 1;
            let shard = self.random.below(self.shards.len());
            self.pass_of(shard);
            if let Some(error) = self.error {
                return Err(error);
            }
        }
        if !self.is_over() {
            return Err(self.unfinished());
        }
        self.end()?;
        Ok(self.seen)
    }

    fn is_over(&self) -> bool {
        let blocked = |op: &OpState| op.blocks && op.registered && op.times_out_at.is_none();
        self.in_flight == 0
            && self.clients.iter().all(|client| match client.op {
                None => client.left == 0,
                // Nobody will push any more.
                Some(op) => client.die_at.is_none() && blocked(&self.ops[op]),
            })
            && self.shards.iter().all(|shard| shard.later.is_empty())
            && self.open
                == self
                    .clients
                    .iter()
                    .filter(|client| client.op.is_some())
                    .count()
    }

    fn unfinished(&self) -> String {
        let mut text = "something never ends:\n".to_owned();
        for (i, op) in self.ops.iter().enumerate().filter(|(_, op)| !op.done) {
            text += &format!("  operation {i}: {:?}, home {}\n", op.operation, op.home);
        }
        text
    }

    /// One turn of a shard's loop.
    fn pass_of(&mut self, s: usize) {
        if self.shards[s].stalled_until > self.pass {
            return;
        }
        if self.random.one_in(500) {
            self.shards[s].stalled_until = self.pass + self.random.below(500) as u64;
            return;
        }
        let now_ms = (self.pass / 8) as i64 + self.shards[s].skew_ms;
        self.shards[s].engine.set_now(now_ms);
        let links = self.shards.len() * 2;
        let first = self.random.below(links);
        for at in 0..links {
            let at = (first + at) % links;
            let from = at / 2;
            let link = self.link(from, s, at % 2 == 1);
            for _ in 0..1 + self.random.below(4) {
                match self.links[link].front() {
                    Some((due, _)) if *due <= self.pass => {}
                    _ => break,
                }
                let (_, packet) = self.links[link].pop_front().expect("it was there");
                self.in_flight -= 1;
                self.receive(s, from, packet);
            }
        }
        self.do_later(s);
        for client in 0..self.clients.len() {
            if self.clients[client].home == s {
                self.turn_of(client);
            }
        }
        if self.random.one_in(40) {
            let engine = &mut self.shards[s].engine;
            engine.advance(engine.epoch() + 1);
            self.drain(s);
        }
    }

    /// Everything has ended: nothing may be left, and all has to fit.
    fn end(&mut self) -> Result<(), String> {
        self.end_waits()?;
        let last = self.shards.iter().map(|shard| shard.engine.epoch()).max();
        for s in 0..self.shards.len() {
            self.shards[s].engine.advance(last.unwrap_or(0) + 1);
            self.drain(s);
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        for (s, shard) in self.shards.iter().enumerate() {
            if let Some(what) = shard.engine.rest() {
                return Err(format!("shard {s} keeps {what} when all have gone"));
            }
            if !shard.data.undo.is_empty() || !shard.parked.is_empty() {
                return Err(format!("shard {s} waits for somebody who is through"));
            }
            if Some(shard.sealed) < last {
                return Err(format!("shard {s} does not seal epoch {last:?}"));
            }
        }
        // Who was passed over was being served elsewhere.
        for (claim, spot) in &self.overtaken {
            if self.served.get(claim).is_none_or(|served| served == spot) {
                return Err(format!("{claim:?} was passed over at {spot:?}"));
            }
        }
        for shard in &self.shards {
            let stats = shard.engine.stats();
            self.seen.pressed += stats.pressed;
            self.seen.yielded += stats.yielded;
        }
        self.check_epochs()?;
        self.check_history()
    }

    /// Those who still wait have nothing to wait for; they are let go.
    fn end_waits(&mut self) -> Result<(), String> {
        for client in 0..self.clients.len() {
            let Some(op) = self.clients[client].op else {
                continue;
            };
            for (key, _) in &self.ops[op].plan {
                let shard = self.layout.shard(*key);
                let log = self.shards[shard].data.logs.get(key);
                if log.is_some_and(|log| log.held() > 0) {
                    return Err(format!(
                        "operation {op} waits for key {key}, which is ready"
                    ));
                }
            }
            self.clients[client].left = 0;
            self.close(op);
        }
        while self.in_flight > 0 {
            self.pass += 1;
            let shard = self.random.below(self.shards.len());
            self.pass_of(shard);
        }
        self.error.take().map_or(Ok(()), Err)
    }

    fn check_epochs(&self) -> Result<(), String> {
        for (i, op) in self.ops.iter().enumerate() {
            if op.epoch.is_some_and(|epoch| epoch < op.seen_epoch) {
                return Err(format!(
                    "operation {i} wrote in epoch {:?} and had seen epoch {}",
                    op.epoch, op.seen_epoch
                ));
            }
        }
        Ok(())
    }

    fn check_history(&mut self) -> Result<(), String> {
        let mut finals = BTreeMap::new();
        for shard in &mut self.shards {
            for (key, log) in &mut shard.data.logs {
                finals.insert(*key, std::mem::take(&mut log.values));
            }
        }
        for (key, log) in finals.iter().filter(|(key, _)| self.layout.is_queue(**key)) {
            let mut held = 0;
            for value in log {
                held += if value % 2 == 0 { 1 } else { -1 };
                if held < 0 {
                    return Err(format!("key {key} gave what it had not: {log:?}"));
                }
            }
        }
        let ops = self.ops.drain(..).filter(|op| !op.void);
        let operations: Vec<Operation> = ops.map(|op| op.operation).collect();
        history::check(&operations, &finals)
    }
}
