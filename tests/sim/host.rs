//! What surrounds an engine: carries its messages, runs its parts, answers its questions.

use crate::data::{Cmd, Key, Op, Work};
use crate::world::{Later, Packet, World};
use engine::{Action, Answer, Outcome, Program, ShardId, Spot, Stage, Step, TxId};

/// As of when something runs.
#[derive(Clone, Copy)]
pub struct At {
    pub time_ms: i64,
    pub epoch: u64,
}

impl World {
    pub fn receive(&mut self, s: usize, from: usize, packet: Packet) {
        match packet {
            Packet::Engine(message) => {
                self.shards[s].engine.receive(from as ShardId, message);
            }
            Packet::Job(work, stamp) => {
                self.shards[s].engine.observe(stamp);
                self.drain(s);
                self.run_or_park(s, work);
            }
            Packet::Answer(work, stamp) => {
                self.shards[s].engine.observe(stamp);
                self.answered(s, work);
            }
        }
        self.drain(s);
    }

    pub fn at(&self, s: usize) -> At {
        let engine = &self.shards[s].engine;
        At {
            time_ms: engine.now_ms(),
            epoch: engine.epoch(),
        }
    }

    /// A command of this shard alone: at once if nothing stands against it, else in its turn.
    pub fn run_or_park(&mut self, s: usize, work: Work) {
        let want = self.layout.want(&work.cmds);
        let engine = &mut self.shards[s].engine;
        let free = match &want {
            _ if engine.is_plain() => true,
            engine::Want::Keys(keys) if keys.len() == 1 => engine.may_run(keys[0].0, keys[0].1),
            _ => engine.may_run_all(&want),
        };
        if free {
            self.run_job(s, work);
            return;
        }
        let waiter = engine.park(want);
        self.seen.parked += 1;
        let op = &mut self.ops[work.op];
        if op.home == s {
            op.waiter = Some(waiter);
        }
        self.shards[s].parked.insert(waiter, work);
        self.drain(s);
    }

    fn run_job(&mut self, s: usize, mut work: Work) {
        let at = self.at(s);
        self.execute(s, &mut work, at, Stage::Run, None);
        self.answer(s, work);
        self.drain(s);
    }

    fn answered(&mut self, s: usize, work: Work) {
        let op = &mut self.ops[work.op].operation;
        op.reads.extend(work.seen);
        add(&mut op.appends, &work.wrote);
        self.complete(s, work.op);
    }

    /// Does what the engine asks for, until it asks for nothing.
    pub fn drain(&mut self, s: usize) {
        while let Some(action) = self.shards[s].engine.poll() {
            self.act(s, action);
            if self.error.is_some() {
                return;
            }
        }
    }

    fn act(&mut self, s: usize, action: Action<Work>) {
        if self.tell {
            eprintln!("{:6} shard {s}: {action:?}", self.pass);
        }
        match action {
            Action::Send { to, message } => {
                let is_reply = message.is_reply();
                self.send(s, to as usize, is_reply, Packet::Engine(message));
            }
            Action::Run {
                tx,
                payload,
                stage,
                time_ms,
                epoch,
            } => self.run_part(s, tx, payload, stage, At { time_ms, epoch }),
            Action::Combine { tx, parts, time_ms } => self.combine(s, tx, parts, time_ms),
            Action::Finish {
                tx,
                parts,
                outcome,
                time_ms,
                ..
            } => self.finish(s, tx, parts, outcome, time_ms),
            // Its client's turn may come later than the command's.
            Action::Resume(waiter) if self.random.one_in(3) => {
                let due = self.pass + self.random.below(20) as u64;
                self.shards[s].later.push((due, Later::Resumed(waiter)));
            }
            Action::Resume(waiter) => self.resume(s, waiter),
            Action::Step {
                tx,
                attempt,
                answer,
            } => self.step(s, tx, attempt, answer),
            Action::Undo { tx } => self.undo(s, tx),
            Action::Commit { tx, time_ms, epoch } => self.commit(s, tx, At { time_ms, epoch }),
            Action::Look { spot } => {
                let log = self.shards[s].data.logs.get(&spot.kind);
                let there = log.is_some_and(|log| log.held() > 0);
                let engine = &mut self.shards[s].engine;
                let claim = engine.waiting(spot).next().filter(|_| there);
                engine.looked(spot, claim);
            }
            Action::Serve {
                spot,
                claim,
                time_ms,
                epoch,
            } => self.serve(s, spot, claim, At { time_ms, epoch }),
            Action::Forgotten { .. } => {}
            Action::Woken { claim, payload } => {
                let op = self.claims[&claim];
                self.ops[op].registered = true;
                self.answered(s, payload);
            }
            Action::Seal { epoch } => {
                self.seen.sealed += 1;
                let shard = &mut self.shards[s];
                if epoch <= shard.sealed {
                    self.fail(format!("shard {s} seals epoch {epoch} again"));
                    return;
                }
                shard.sealed = epoch;
            }
        }
    }

    /// Runs what has waited, unless its client has gone meanwhile.
    fn resume(&mut self, s: usize, waiter: engine::Waiter) {
        let Some(mut work) = self.shards[s].parked.remove(&waiter) else {
            return;
        };
        self.ops[work.op].waiter = None;
        let at = self.at(s);
        // What it makes ready is said while it has its locks.
        self.execute(s, &mut work, at, Stage::Run, None);
        self.shards[s].engine.passed(waiter);
        self.answer(s, work);
    }

    /// Sends home what a command of one shard has answered.
    fn answer(&mut self, s: usize, work: Work) {
        let home = self.ops[work.op].home;
        if home == s {
            self.answered(s, work);
        } else {
            let stamp = self.shards[s].engine.stamp();
            self.send(s, home, true, Packet::Answer(work, stamp));
        }
    }

    fn run_part(&mut self, s: usize, tx: TxId, mut work: Work, stage: Stage, at: At) {
        if stage == Stage::Check {
            let ok = work.cmds.iter().all(|cmd| match cmd {
                Cmd::Unchanged(key, len) => {
                    let log = self.shards[s].data.logs.get(key);
                    log.map_or(0, |log| log.values.len()) == *len
                }
                _ => true,
            });
            self.shards[s].engine.checked(tx, work, ok);
            return;
        }
        self.seen.ran_again += u64::from(work.ran_ms != 0 && stage != Stage::Call);
        work.seen.clear();
        let undo = (stage == Stage::Call).then_some(tx);
        self.execute(s, &mut work, at, stage, undo);
        // Some reads are right for a while, some for ever, as if keys had times to live.
        work.ran_ms = at.time_ms;
        work.valid_until_ms = match self.random.below(3) {
            0 => i64::MAX,
            1 => at.time_ms + self.random.below(4) as i64,
            _ => i64::MIN,
        };
        let until = work.valid_until_ms;
        let now_ms = at.time_ms;
        let engine = &mut self.shards[s].engine;
        if until == i64::MIN {
            engine.ran(tx, work, now_ms);
        } else {
            engine.ran_valid_until(tx, work, now_ms, until);
        }
    }

    /// Runs commands on a shard's data; with `undo`, for a program that may change its mind.
    pub fn execute(&mut self, s: usize, work: &mut Work, at: At, stage: Stage, undo: Option<TxId>) {
        for cmd in work.cmds.clone() {
            match cmd {
                Cmd::Read(key) => self.read(s, key, work, at),
                Cmd::ReadAll => {
                    for key in self.layout.registers_of(s) {
                        self.read(s, key, work, at);
                    }
                }
                Cmd::Append(key, value) => self.append(s, key, value, work, at, undo),
                Cmd::AppendAll(value) => {
                    for key in self.layout.registers_of(s) {
                        self.append(s, key, value + key, work, at, undo);
                    }
                }
                Cmd::Push(key, value) => {
                    self.append(s, key, value * 2, work, at, undo);
                    if undo.is_none() {
                        self.ready(s, key);
                    }
                }
                Cmd::Pop(key, value) => {
                    let log = self.shards[s].data.logs.get(&key);
                    if log.is_some_and(|log| log.held() > 0) {
                        self.append(s, key, value * 2 + 1, work, at, undo);
                    } else {
                        self.read(s, key, work, at);
                    }
                }
                Cmd::Peek(key) if stage == Stage::Lend => self.read(s, key, work, at),
                Cmd::Wait(claim, key) => self.wait(s, claim, key),
                Cmd::Peek(_) | Cmd::Unchanged(..) => {}
            }
        }
    }

    pub fn spot(&self, key: Key) -> Spot {
        Spot {
            name: self.layout.name(key),
            kind: key,
        }
    }

    fn ready(&mut self, s: usize, key: Key) {
        let spot = self.spot(key);
        let engine = &mut self.shards[s].engine;
        if engine.has_waiters() && engine.is_awaited(spot) {
            engine.ready(spot);
        }
    }

    fn wait(&mut self, s: usize, claim: engine::ClaimId, key: Key) {
        let spot = self.spot(key);
        self.shards[s].engine.wait_for(claim, &[spot]);
        self.spots.entry(spot).or_default().push(claim);
    }

    fn read(&mut self, s: usize, key: Key, work: &mut Work, at: At) {
        let log = self.shards[s].data.look(key, at.time_ms, false);
        match log {
            Err(what) => self.fail(what),
            Ok(log) => {
                work.seen.push((key, log.values.clone()));
                let op = &mut self.ops[work.op];
                op.seen_epoch = op.seen_epoch.max(log.epoch);
            }
        }
    }

    fn append(
        &mut self,
        s: usize,
        key: Key,
        value: u64,
        work: &mut Work,
        at: At,
        undo: Option<TxId>,
    ) {
        match self.shards[s].data.look(key, at.time_ms, true) {
            Err(what) => self.fail(what),
            Ok(log) => log.values.push(value),
        }
        work.wrote.push((key, value));
        match undo {
            Some(tx) => {
                let undo = self.shards[s].data.undo.entry(tx).or_default();
                undo.push((key, value));
            }
            None => self.wrote(s, key, work.op, at.epoch),
        }
    }

    /// A write takes effect in an epoch.
    fn wrote(&mut self, s: usize, key: Key, op: Op, epoch: u64) {
        if epoch <= self.shards[s].sealed {
            self.fail(format!(
                "operation {op} writes key {key} in epoch {epoch}, which is sealed"
            ));
        }
        let log = self.shards[s].data.logs.entry(key).or_default();
        if epoch < log.epoch {
            let last = log.epoch;
            self.fail(format!(
                "operation {op} writes key {key} in epoch {epoch}, after {last}"
            ));
            return;
        }
        log.epoch = epoch;
        let state = &mut self.ops[op];
        if *state.epoch.get_or_insert(epoch) != epoch {
            let other = state.epoch;
            self.fail(format!(
                "operation {op} writes in epoch {epoch} and in {other:?}"
            ));
        }
    }

    fn undo(&mut self, s: usize, tx: TxId) {
        let undo = self.shards[s].data.undo.remove(&tx).unwrap_or_default();
        for (key, value) in undo.into_iter().rev() {
            let log = self.shards[s].data.logs.get_mut(&key);
            if log.and_then(|log| log.values.pop()) != Some(value) {
                self.fail(format!("somebody changed key {key} under {tx:?}"));
            }
        }
        self.seen.undone += 1;
        self.shards[s].engine.undone(tx);
    }

    fn commit(&mut self, s: usize, tx: TxId, at: At) {
        let changes = self.shards[s].data.undo.remove(&tx).unwrap_or_default();
        for (key, value) in changes {
            let op = (value / 64 / if self.layout.is_queue(key) { 2 } else { 1 }) as Op;
            self.wrote(s, key, op, at.epoch);
            if self.layout.is_queue(key) {
                self.ready(s, key);
            }
        }
        self.shards[s].engine.committed(tx);
    }

    fn serve(&mut self, s: usize, spot: Spot, claim: engine::ClaimId, at: At) {
        let key = spot.kind;
        let op = self.claims[&claim];
        let line = self.spots.entry(spot).or_default();
        let at_claim = line.iter().position(|waiting| *waiting == claim);
        for ahead in line.drain(..at_claim.map_or(0, |at| at + 1)) {
            if ahead != claim && !self.closed.contains(&ahead) {
                self.overtaken.push((ahead, spot));
            }
        }
        if !self.closed.insert(claim) {
            self.fail(format!("operation {op} is served twice, or after its end"));
            return;
        }
        self.served.insert(claim, spot);
        self.seen.served += 1;
        self.seen.served_from_afar += u64::from(claim.home as usize != s);
        let mut work = Work::new(op, vec![Cmd::Pop(key, op as u64 * 64)]);
        self.execute(s, &mut work, at, Stage::Run, None);
        self.shards[s].engine.served(spot, work);
    }

    fn combine(&mut self, s: usize, tx: TxId, parts: Vec<(ShardId, Work)>, time_ms: i64) {
        let op = self.shards[s].transactions[&tx];
        let (mut ready, mut seen) = (Vec::new(), Vec::new());
        for (_, work) in parts {
            self.check_time(&work, time_ms);
            for (key, values) in &work.seen {
                let pops = values.iter().filter(|value| *value % 2 == 1).count();
                if values.len() > 2 * pops {
                    ready.push(*key);
                }
            }
            seen.extend(work.seen);
        }
        let blocks = self.ops[op].blocks;
        // What a blocking pop finds empty is no answer.
        if !blocks || !ready.is_empty() {
            self.ops[op].operation.reads.extend(seen);
        }
        let mut works: Vec<(ShardId, Work)> = Vec::new();
        let mut add = |shard: usize, cmd: Cmd| {
            let shard = shard as ShardId;
            match works.iter_mut().find(|work| work.0 == shard) {
                Some((_, work)) => work.cmds.push(cmd),
                None => works.push((shard, Work::new(op, vec![cmd]))),
            }
        };
        let plan = self.ops[op].plan.clone();
        if !blocks {
            for (key, value) in plan {
                add(self.layout.shard(key), Cmd::Append(key, value));
            }
        } else if let Some((key, _)) = plan.iter().find(|(key, _)| ready.contains(key)) {
            add(self.layout.shard(*key), Cmd::Pop(*key, op as u64 * 64));
        } else if !self.ops[op].dead {
            let mut shards: Vec<ShardId> = plan
                .iter()
                .map(|(key, _)| self.layout.shard(*key) as ShardId)
                .collect();
            shards.sort_unstable();
            shards.dedup();
            let claim = self.shards[s].engine.open_claim(shards);
            self.claims.insert(claim, op);
            self.ops[op].claim = Some(claim);
            for (key, _) in plan {
                add(self.layout.shard(key), Cmd::Wait(claim, key));
            }
        }
        // A claim must not be closed before those are asked to wait who are told that it is.
        if self.ops[op].claim.is_none() && self.random.one_in(3) {
            let due = self.pass + self.random.below(60) as u64;
            let later = Later::Combined(tx, works);
            self.shards[s].later.push((due, later));
        } else {
            self.shards[s].engine.combined(tx, works);
        }
    }

    /// What a transaction answers is right for its one time.
    fn check_time(&mut self, work: &Work, time_ms: i64) {
        if work.ran_ms != time_ms && work.ran_ms != 0 && time_ms >= work.valid_until_ms {
            self.fail(format!(
                "operation {} answers as of {} what ran as of {}",
                work.op, time_ms, work.ran_ms
            ));
        }
    }

    fn finish(
        &mut self,
        s: usize,
        tx: TxId,
        parts: Vec<(ShardId, Work)>,
        outcome: Outcome,
        time_ms: i64,
    ) {
        let op = self.shards[s].transactions.remove(&tx);
        let op = op.expect("a transaction finishes once");
        let program = self.shards[s].programs.remove(&tx);
        if outcome == Outcome::Aborted {
            self.seen.aborted += 1;
            self.ops[op].void = true;
            self.check_abort(op, program.is_some());
            self.complete(s, op);
            return;
        }
        let watched = std::mem::take(&mut self.ops[op].plan);
        let is_program = program.is_some();
        let state = &mut self.ops[op].operation;
        if let Some(program) = program {
            state.reads.extend(program.seen);
            state.appends.extend(program.wrote);
        }
        for (_, work) in parts {
            let state = &mut self.ops[op].operation;
            add(&mut state.appends, &work.wrote);
            state.reads.extend(work.seen.iter().cloned());
            if !is_program {
                self.check_time(&work, time_ms);
            }
        }
        self.ops[op].plan = watched;
        if self.ops[op].blocks && self.ops[op].claim.is_some() {
            self.wait_begun(op);
        } else {
            self.complete(s, op);
        }
    }

    pub fn step(&mut self, s: usize, tx: TxId, attempt: u32, answer: Answer<Work>) {
        if attempt > 0 && matches!(answer, Answer::Start) {
            self.seen.restarted += 1;
        }
        let program = self.shards[s].programs.get_mut(&tx);
        let step = program
            .expect("a program lives until it finishes")
            .resume(answer);
        let later = match step {
            Step::Pause => Later::Resume(tx, attempt),
            step if self.random.one_in(4) => Later::Step(tx, attempt, step),
            step => {
                self.shards[s].engine.step(tx, attempt, step);
                return;
            }
        };
        let due = self.pass + self.random.below(60) as u64;
        self.shards[s].later.push((due, later));
    }

    pub fn do_later(&mut self, s: usize) {
        let mut at = 0;
        while let Some((due, _)) = self.shards[s].later.get(at) {
            if *due > self.pass {
                at += 1;
                continue;
            }
            let (_, later) = self.shards[s].later.remove(at);
            match later {
                Later::Combined(tx, works) => self.shards[s].engine.combined(tx, works),
                Later::Step(tx, attempt, step) => self.shards[s].engine.step(tx, attempt, step),
                Later::Resumed(waiter) => self.resume(s, waiter),
                Later::Resume(tx, attempt) => self.step(s, tx, attempt, Answer::Resumed),
            }
            self.drain(s);
        }
    }
}

/// Adds what has been written to what is known to be.
fn add(appends: &mut Vec<(Key, u64)>, wrote: &[(Key, u64)]) {
    for append in wrote {
        if !appends.contains(append) {
            appends.push(*append);
        }
    }
}
