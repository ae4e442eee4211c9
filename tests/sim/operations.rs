//! What clients do.

use crate::data::{Cmd, Key, Op, Work};
use crate::program::{Call, Script};
use crate::world::{OpState, Packet, Scenario, World};
use engine::{Answer, Kind, Part, Program, Reserve, ShardId, Stage, Step};
use harness::history::Operation;
use std::collections::BTreeMap;

/// How many kinds of operations [`World::begin`] knows.
pub const KINDS: usize = 12;

impl World {
    /// A client's part of a pass of its home.
    pub fn turn_of(&mut self, client: usize) {
        let state = &self.clients[client];
        match state.op {
            None if state.left > 0 && state.start_at <= self.pass => self.begin(client),
            Some(_) if state.die_at.is_some_and(|at| at <= self.pass) => self.die(client),
            Some(op) if self.ops[op].times_out_at.is_some_and(|at| at <= self.pass) => {
                self.ops[op].times_out_at = None;
                if self.close(op) {
                    self.seen.timed_out += 1;
                }
            }
            _ => {}
        }
    }

    fn new_op(&mut self, client: usize, what: &'static str) -> Op {
        let op = self.ops.len();
        self.event += 1;
        self.open += 1;
        self.seen.operations += 1;
        let home = self.clients[client].home;
        self.ops.push(OpState {
            home,
            operation: Operation {
                what,
                client,
                invoked: self.event,
                ..Operation::default()
            },
            ..OpState::default()
        });
        let state = &mut self.clients[client];
        state.op = Some(op);
        state.left -= 1;
        if self.scenario == Scenario::Mixed && self.random.one_in(25) {
            state.die_at = Some(self.pass + self.random.below(150) as u64);
        }
        op
    }

    fn begin(&mut self, client: usize) {
        if self.scenario == Scenario::Readers {
            self.begin_hot(client);
            return;
        }
        if !self.clients[client].watched.is_empty() {
            self.begin_exec(client);
            return;
        }
        let total: usize = self.weights.iter().sum();
        let mut at = self.random.below(total.max(1));
        let kind = self.weights.iter().position(|weight| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        match kind.unwrap_or(0) {
            0 => self.begin_single(client, false),
            1 => self.begin_single(client, true),
            2 | 3 => self.begin_read(client),
            4 | 5 => self.begin_write(client),
            6 => self.begin_gather(client),
            7 => self.begin_whole(client),
            8 | 9 => self.begin_program(client),
            10 => self.begin_push(client),
            _ => self.begin_block(client),
        }
    }

    fn register(&mut self) -> Key {
        self.random.number() % self.layout.registers
    }

    fn registers(&mut self) -> Vec<Key> {
        let mut keys: Vec<Key> = (0..1 + self.random.below(4))
            .map(|_| self.register())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn queue(&mut self) -> Key {
        self.layout.registers + self.random.number() % self.layout.queues
    }

    /// A command with one key.
    fn begin_single(&mut self, client: usize, on_queue: bool) {
        let op = self.new_op(client, "command");
        let value = op as u64 * 64;
        let cmd = match (on_queue, self.random.below(2)) {
            (false, 0) => Cmd::Read(self.register()),
            (false, _) => Cmd::Append(self.register(), value),
            (true, 0) => Cmd::Push(self.queue(), value + 1),
            (true, _) => Cmd::Pop(self.queue(), value),
        };
        let key = match cmd {
            Cmd::Read(key) | Cmd::Append(key, _) | Cmd::Push(key, _) | Cmd::Pop(key, _) => key,
            _ => unreachable!("these have one key"),
        };
        let work = Work::new(op, vec![cmd]);
        self.forward(client, self.layout.shard(key), work);
    }

    fn forward(&mut self, client: usize, shard: usize, work: Work) {
        let home = self.clients[client].home;
        if shard == home {
            self.run_or_park(home, work);
        } else {
            let stamp = self.shards[home].engine.stamp();
            self.send(home, shard, false, Packet::Job(work, stamp));
        }
    }

    fn begin_parts(&mut self, client: usize, op: Op, kind: Kind, cmds: Vec<(Key, Cmd)>) {
        let parts = self.parts(op, cmds);
        let home = self.clients[client].home;
        // A command whose keys are all on one shard needs no transaction.
        if let [part] = &parts[..]
            && kind != Kind::Gather
            && !part.check
        {
            let (shard, work) = (part.shard as usize, part.payload.clone());
            self.forward(client, shard, work);
            return;
        }
        let tx = self.shards[home].engine.begin(kind, parts);
        self.shards[home].transactions.insert(tx, op);
        self.drain(home);
    }

    fn parts(&self, op: Op, cmds: Vec<(Key, Cmd)>) -> Vec<Part<Work>> {
        let mut by_shard: BTreeMap<usize, Vec<Cmd>> = BTreeMap::new();
        for (key, cmd) in cmds {
            by_shard
                .entry(self.layout.shard(key))
                .or_default()
                .push(cmd);
        }
        by_shard
            .into_iter()
            .map(|(shard, cmds)| {
                let check = cmds.iter().any(|cmd| matches!(cmd, Cmd::Unchanged(..)));
                let want = self.layout.want(&cmds);
                let mut part = Part::new(shard as ShardId, want, Work::new(op, cmds));
                part.check = check;
                part
            })
            .collect()
    }

    fn begin_read(&mut self, client: usize) {
        let op = self.new_op(client, "read");
        let keys = self.registers();
        let cmds = keys.into_iter().map(|key| (key, Cmd::Read(key))).collect();
        self.begin_parts(client, op, Kind::Read, cmds);
    }

    fn begin_write(&mut self, client: usize) {
        let op = self.new_op(client, "write");
        let keys = self.registers().into_iter().enumerate();
        let value = op as u64 * 64;
        let cmds = keys
            .map(|(i, key)| (key, Cmd::Append(key, value + i as u64)))
            .collect();
        self.begin_appends(client, op, cmds);
    }

    /// What a write appends is known whatever comes home.
    fn begin_appends(&mut self, client: usize, op: Op, cmds: Vec<(Key, Cmd)>) {
        let appends = cmds.iter().filter_map(|(_, cmd)| match cmd {
            Cmd::Append(key, value) => Some((*key, *value)),
            _ => None,
        });
        self.ops[op].operation.appends = appends.collect();
        self.begin_parts(client, op, Kind::Write, cmds);
    }

    fn begin_push(&mut self, client: usize) {
        let op = self.new_op(client, "push");
        let value = op as u64 * 64;
        let count = 1 + self.random.below(3) as u64;
        let cmds = (0..count)
            .map(|i| {
                let key = self.queue();
                (key, Cmd::Push(key, value + 1 + i))
            })
            .collect();
        self.begin_parts(client, op, Kind::Write, cmds);
    }

    fn begin_gather(&mut self, client: usize) {
        let op = self.new_op(client, "gather");
        let value = op as u64 * 64;
        let reads = self.registers();
        let writes = self.registers();
        let home = self.clients[client].home;
        let mut cmds: Vec<(Key, Cmd)> = reads.iter().map(|key| (*key, Cmd::Read(*key))).collect();
        // What is written back needs its lock from the start.
        let locks = writes.iter().map(|key| (*key, Cmd::Peek(*key)));
        cmds.extend(locks);
        self.ops[op].plan = writes
            .iter()
            .enumerate()
            .map(|(i, key)| (*key, value + i as u64))
            .collect();
        let parts = self.parts(op, cmds);
        let tx = self.shards[home].engine.begin(Kind::Gather, parts);
        self.shards[home].transactions.insert(tx, op);
        self.drain(home);
    }

    fn begin_whole(&mut self, client: usize) {
        let op = self.new_op(client, "whole");
        let cmd = if self.random.one_in(2) {
            Cmd::ReadAll
        } else {
            Cmd::AppendAll(op as u64 * 64)
        };
        let kind = match cmd {
            Cmd::ReadAll => Kind::Read,
            _ => Kind::Write,
        };
        // Key number `shard` is on that shard.
        let cmds = (0..self.layout.shards as u64)
            .map(|key| (key, cmd))
            .collect();
        self.begin_parts(client, op, kind, cmds);
    }

    fn begin_program(&mut self, client: usize) {
        let op = self.new_op(client, "program");
        let value = op as u64 * 64;
        let mut calls = Vec::new();
        for _ in 0..1 + self.random.below(5) {
            let key = self.register();
            calls.push(match self.random.below(12) {
                0..=2 => Call::Read(key),
                3..=5 => Call::Append(key),
                6 | 7 => Call::AppendSomewhere(key),
                8 => Call::Push(self.queue()),
                9 => Call::ReadAll(self.random.below(self.layout.shards)),
                10 => Call::Pause,
                _ if self.random.one_in(4) => Call::Abort,
                _ if self.random.one_in(4) => Call::Press,
                _ => Call::Read(key),
            });
        }
        // Some of what it needs is known beforehand.
        let mut known = Vec::new();
        for call in &calls {
            match call {
                Call::Read(key) if self.random.one_in(3) => known.push((*key, Cmd::Read(*key))),
                Call::Append(key) if self.random.one_in(3) => {
                    known.push((*key, Cmd::Append(*key, 0)));
                }
                _ => {}
            }
        }
        let reserved = self
            .parts(op, known)
            .into_iter()
            .map(|part| Reserve {
                shard: part.shard,
                want: part.want,
                check: None,
            })
            .collect();
        let script = Script::new(op, self.layout, calls, value);
        let home = self.clients[client].home;
        if self.random.one_in(2) {
            self.begin_without_locks(home, op, script);
            return;
        }
        let tx = self.shards[home].engine.begin_program(reserved);
        self.shards[home].transactions.insert(tx, op);
        self.shards[home].programs.insert(tx, script);
        self.drain(home);
    }

    /// Runs a program's first call without locks if it is of this shard, as a script does that may
    /// never need another.
    fn begin_without_locks(&mut self, home: usize, op: Op, mut script: Script) {
        let first = script.resume(Answer::Start);
        let Step::Call {
            shard,
            want,
            mut payload,
        } = first
        else {
            return self.begin_at_start(home, op, script);
        };
        let engine = &mut self.shards[home].engine;
        if usize::from(shard) != home || !(engine.is_plain() || engine.may_run_all(&want)) {
            return self.begin_at_start(home, op, script);
        }
        let dirty = want.writes();
        let tx = engine.adopt_program(want, dirty);
        let at = self.at(home);
        self.execute(home, &mut payload, at, Stage::Call, Some(tx));
        self.seen.adopted += 1;
        self.shards[home].transactions.insert(tx, op);
        self.shards[home].programs.insert(tx, script);
        self.step(home, tx, 0, Answer::Value(payload));
        self.drain(home);
    }

    fn begin_at_start(&mut self, home: usize, op: Op, script: Script) {
        let tx = self.shards[home].engine.begin_program(Vec::new());
        self.shards[home].transactions.insert(tx, op);
        self.shards[home].programs.insert(tx, script);
        self.drain(home);
    }

    /// EXEC after WATCH: what was read before has to be as it was.
    fn begin_exec(&mut self, client: usize) {
        let op = self.new_op(client, "exec");
        let watched = std::mem::take(&mut self.clients[client].watched);
        let value = op as u64 * 64;
        let mut cmds: Vec<(Key, Cmd)> = watched
            .iter()
            .map(|(key, seen)| (*key, Cmd::Unchanged(*key, seen.len())))
            .collect();
        let writes = self.registers();
        if self.random.one_in(3) {
            let reserved = self.reserve_checked(op, cmds);
            let calls = writes.into_iter().map(Call::Append).collect();
            let script = Script::new(op, self.layout, calls, value);
            self.ops[op].operation.reads = watched;
            let home = self.clients[client].home;
            let tx = self.shards[home].engine.begin_program(reserved);
            self.shards[home].transactions.insert(tx, op);
            self.shards[home].programs.insert(tx, script);
            self.drain(home);
            return;
        }
        let writes = writes.into_iter().enumerate();
        cmds.extend(writes.map(|(i, key)| (key, Cmd::Append(key, value + i as u64))));
        self.ops[op].operation.reads = watched;
        self.begin_parts(client, op, Kind::Write, cmds);
    }

    fn reserve_checked(&self, op: Op, cmds: Vec<(Key, Cmd)>) -> Vec<Reserve<Work>> {
        let parts = self.parts(op, cmds).into_iter();
        parts
            .map(|part| Reserve {
                shard: part.shard,
                want: part.want,
                check: Some(part.payload),
            })
            .collect()
    }

    /// An abort has to have a reason: something that was watched has changed, or the program's wish.
    pub fn check_abort(&mut self, op: Op, is_program: bool) {
        let reads = &self.ops[op].operation.reads;
        let changed = reads.iter().any(|(key, seen)| {
            let shard = self.layout.shard(*key);
            let log = self.shards[shard].data.logs.get(key);
            log.map_or(0, |log| log.values.len()) != seen.len()
        });
        if !changed && !is_program {
            self.fail(format!("operation {op} is aborted without a reason"));
        }
    }

    /// A blocking pop of several queues.
    fn begin_block(&mut self, client: usize) {
        let op = self.new_op(client, "blocking pop");
        let mut keys: Vec<Key> = (0..1 + self.random.below(3))
            .map(|_| self.queue())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let cmds = keys.iter().map(|key| (*key, Cmd::Peek(*key))).collect();
        let state = &mut self.ops[op];
        state.plan = keys.into_iter().map(|key| (key, 0)).collect();
        state.blocks = true;
        let parts = self.parts(op, cmds);
        let home = self.clients[client].home;
        let tx = self.shards[home].engine.begin(Kind::Gather, parts);
        self.shards[home].transactions.insert(tx, op);
        self.drain(home);
    }

    /// It waits on all of its shards now, unless it was served meanwhile.
    pub fn wait_begun(&mut self, op: Op) {
        let state = &mut self.ops[op];
        // Empty queues are no answer yet.
        if state.registered {
            return;
        }
        state.registered = true;
        if !state.dead && !self.random.one_in(3) {
            let at = self.pass + self.random.below(600) as u64;
            self.ops[op].times_out_at = Some(at);
        }
    }

    /// Ends a wait from its home: false if it is being served.
    pub fn close(&mut self, op: Op) -> bool {
        let home = self.ops[op].home;
        let Some(claim) = self.ops[op].claim else {
            return false;
        };
        let closed = self.shards[home].engine.close_claim(claim);
        if closed {
            if !self.closed.insert(claim) {
                self.fail(format!("operation {op} is served twice, or after its end"));
            }
            self.ops[op].void = true;
            self.complete(home, op);
        }
        self.drain(home);
        closed
    }

    fn die(&mut self, client: usize) {
        let state = &mut self.clients[client];
        state.die_at = None;
        let op = state.op.take().expect("who is not busy does not die");
        state.watched.clear();
        state.start_at = self.pass + 10;
        self.seen.died += 1;
        let home = state.home;
        self.ops[op].dead = true;
        self.ops[op].times_out_at = None;
        if let Some(waiter) = self.ops[op].waiter.take() {
            self.shards[home].parked.remove(&waiter);
            self.shards[home].engine.leave(waiter);
            self.complete(home, op);
            self.drain(home);
        } else if self.ops[op].claim.is_some() {
            self.close(op);
        }
    }

    /// An operation has ended, and its client hears of it if it lives.
    pub fn complete(&mut self, s: usize, op: Op) {
        let state = &mut self.ops[op];
        assert!(state.home == s, "an operation ends at its home");
        if state.done {
            self.fail(format!("operation {op} is served twice, or answered twice"));
            return;
        }
        state.done = true;
        self.open -= 1;
        let (epoch, void, what) = (state.epoch, state.void, state.operation.what);
        if state.dead {
            return;
        }
        self.event += 1;
        state.operation.returned = Some(self.event);
        let reads = state.operation.reads.clone();
        let index = state.operation.client;
        let client = &mut self.clients[index];
        client.op = None;
        client.die_at = None;
        if self.scenario == Scenario::Mixed {
            client.start_at = self.pass + self.random.below(40) as u64;
        }
        if let Some(epoch) = epoch {
            let last = std::mem::replace(&mut client.epoch, epoch);
            if epoch < last {
                self.fail(format!(
                    "operation {op} wrote in epoch {epoch}, and its client in {last} before"
                ));
            }
        }
        let client = &mut self.clients[index];
        if what == "read" && !void && client.left > 0 && self.random.one_in(2) {
            client.watched = reads;
        }
    }

    /// Two clients write, the others read the same keys without a gap until those are through.
    fn begin_hot(&mut self, client: usize) {
        let keys = 0..self.layout.registers;
        if client < 2 {
            let op = self.new_op(client, "write");
            let value = op as u64 * 64;
            let cmds = keys
                .map(|key| (key, Cmd::Append(key, value + key)))
                .collect();
            self.begin_appends(client, op, cmds);
            return;
        }
        if self.clients[..2]
            .iter()
            .all(|writer| writer.left == 0 && writer.op.is_none())
        {
            self.clients[client].left = 0;
            return;
        }
        let op = self.new_op(client, "read");
        self.clients[client].left += 1;
        let cmds = keys.map(|key| (key, Cmd::Read(key))).collect();
        self.begin_parts(client, op, Kind::Read, cmds);
    }
}
