//! The home's side of a transaction: acquire, decide, execute, finish.
//!
//! ```text
//!   Fast ──────────┐ refused
//!   Trying ────────┼────────► Queueing ◄──┐
//!     │            │             │        │ asked to yield, or a program restarts
//!     │            │             ├────────┘  (after three times: Token, then Pressing)
//!     ▼            ▼             ▼
//!   all granted: Executing, or Relending and Combining, or a program's Running and Committing
//! ```

use super::message::{Then, Wait};
use super::program::{Answer, ProgramState};
use super::{Action, Body, Engine, Fault, Kind, Outcome, Part, ShardId, Stage, Stamp, TxId};
use crate::locks::Want;

/// After how many setbacks a transaction asks to press.
pub(super) const PATIENCE: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The own part is locked, then the one remote part is sent to run.
    Fast,
    /// Every shard has been asked at once.
    Trying,
    /// The shards are asked one after another.
    Queueing,
    /// Waits for the right to press.
    Token,
    /// Every shard has been asked, and grants ahead of all who wait.
    Pressing,
    Executing,
    /// Some values were lent too early for the transaction's time.
    Relending,
    Combining,
    /// A program calls.
    Running,
    /// Gives up its locks, to acquire them again or to end.
    Withdrawing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Idle,
    Asked,
    /// Holds its locks.
    Granted,
    /// Holds its locks and has run, with an answer that is right before this moment.
    Ran {
        valid_until_ms: i64,
    },
    /// Has released.
    Done,
}

pub(super) struct HomePart<P> {
    pub shard: ShardId,
    pub want: Want,
    pub writes: bool,
    pub check: bool,
    pub payload: Option<P>,
    pub state: State,
    /// A program has made calls there that may have changed something.
    pub dirty: bool,
}

pub(super) struct Home<P> {
    seq: u64,
    pub kind: Option<Kind>,
    pub phase: Phase,
    pub parts: Vec<HomePart<P>>,
    /// Which part is asked for, when one is after another.
    next: usize,
    pub awaited: usize,
    refused: bool,
    pub aborted: bool,
    yielding: bool,
    /// By a planted bug.
    answered: bool,
    /// How often it had locks and gave them up.
    pub setbacks: u32,
    pub pressing: bool,
    pub at: Stamp,
    pub program: ProgramState,
}

/// The transactions of this home. A transaction's number is its place and how many were before it.
pub(super) struct Homes<P> {
    places: Vec<Option<Home<P>>>,
    free: Vec<u32>,
    begun: u64,
}

impl<P> Default for Homes<P> {
    fn default() -> Self {
        Homes {
            places: Vec::new(),
            free: Vec::new(),
            begun: 0,
        }
    }
}

impl<P> Homes<P> {
    pub fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    fn insert(&mut self, home: Home<P>) -> u64 {
        self.begun += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            (self.places.len() - 1) as u32
        });
        let seq = self.begun << 32 | u64::from(index);
        self.places[index as usize] = Some(Home { seq, ..home });
        seq
    }

    pub fn find(&mut self, tx: TxId) -> Option<&mut Home<P>> {
        let place = self.places.get_mut(tx.seq as u32 as usize)?;
        place.as_mut().filter(|home| home.seq == tx.seq)
    }

    pub fn get(&mut self, tx: TxId) -> &mut Home<P> {
        self.find(tx)
            .expect("a transaction lives until it is finished")
    }

    fn remove(&mut self, tx: TxId) -> Home<P> {
        let index = tx.seq as u32;
        let home = self.places[index as usize].take();
        self.free.push(index);
        home.expect("a transaction lives until it is finished")
    }
}

impl<P> Home<P> {
    fn part(&mut self, shard: ShardId) -> &mut HomePart<P> {
        let part = self.parts.iter_mut().find(|part| part.shard == shard);
        part.expect("only a transaction's shards answer for it")
    }

    /// What happens at a part's grant, and whether it needs its payload for that.
    fn then(&self, is_last: bool, is_own: bool) -> Then {
        match self.kind {
            None => Then::Hold,
            // What is lent stays locked until it has been used: it may not be a copy.
            Some(Kind::Gather) => Then::Run(Stage::Lend),
            Some(_) if is_last => Then::RunRelease(Stage::Run),
            Some(Kind::Read) if !is_own => Then::Run(Stage::Run),
            Some(_) => Then::Hold,
        }
    }
}

impl<P> Engine<P> {
    /// Begins a transaction of at least one part, at most one per shard. [`Action::Finish`] ends it.
    pub fn begin(&mut self, kind: Kind, parts: Vec<Part<P>>) -> TxId {
        assert!(!parts.is_empty(), "a transaction has parts");
        let parts = parts
            .into_iter()
            .map(|part| home_part(part.shard, part.want, part.check, Some(part.payload)))
            .collect();
        self.begin_parts(Some(kind), parts)
    }

    pub(super) fn begin_parts(&mut self, kind: Option<Kind>, parts: Vec<HomePart<P>>) -> TxId {
        let tx = self.insert_home(kind, parts);
        self.acquire(tx);
        self.settle();
        tx
    }

    pub(super) fn insert_home(&mut self, kind: Option<Kind>, parts: Vec<HomePart<P>>) -> TxId {
        let seq = self.homes.insert(Home {
            seq: 0,
            kind,
            phase: Phase::Fast,
            parts,
            next: 0,
            awaited: 0,
            refused: false,
            aborted: false,
            yielding: false,
            answered: false,
            setbacks: 0,
            pressing: false,
            at: Stamp::default(),
            program: ProgramState::default(),
        });
        self.stats.begun += 1;
        TxId {
            home: self.shard,
            seq,
        }
    }

    /// The first attempt, without waiting.
    fn acquire(&mut self, tx: TxId) {
        let shard = self.shard;
        let home = self.homes.get(tx);
        let own = home.parts.iter().position(|part| part.shard == shard);
        let remote = home.parts.len() - usize::from(own.is_some());
        if home.parts.is_empty() {
            self.all_granted(tx, None);
        } else if remote == 0 {
            self.queue(tx);
        } else if remote == 1 {
            home.parts.swap(0, own.unwrap_or(0));
            self.ask_next(tx);
        } else {
            home.phase = Phase::Trying;
            self.ask_all(tx, Wait::Try);
        }
    }

    fn ask_all(&mut self, tx: TxId, wait: Wait) {
        let home = self.homes.get(tx);
        home.awaited = home.parts.len();
        home.refused = false;
        for at in 0..home.awaited {
            self.ask(tx, at, wait, false);
        }
    }

    /// Asks for the locks of the next part, one part after another.
    fn ask_next(&mut self, tx: TxId) {
        let home = self.homes.get(tx);
        let at = home.next;
        let is_last = at + 1 == home.parts.len();
        if home.phase == Phase::Queueing {
            self.ask(tx, at, Wait::Queue, is_last);
            return;
        }
        let part = &mut home.parts[at];
        let plain = matches!(home.kind, Some(Kind::Read | Kind::Write)) && !part.check;
        if part.shard == self.shard && plain && !is_last {
            let mut want = std::mem::take(&mut part.want);
            let held = self.hold_own(tx, &mut want);
            let home = self.homes.get(tx);
            home.parts[at].want = want;
            if held {
                home.parts[at].state = State::Granted;
                home.next += 1;
                self.ask(tx, at + 1, Wait::Try, true);
            } else {
                self.queue(tx);
            }
            return;
        }
        self.ask(tx, at, Wait::Try, is_last);
    }

    fn ask(&mut self, tx: TxId, at: usize, wait: Wait, is_last: bool) {
        let shard = self.shard;
        let fault = self.faults.has(Fault::WriteBeforeLastGrant);
        let home = self.homes.get(tx);
        let part = &home.parts[at];
        let mut then = home.then(is_last, part.shard == shard);
        if fault && home.kind == Some(Kind::Write) && wait != Wait::Press {
            then = Then::RunRelease(Stage::Run);
        }
        let fast = home.phase == Phase::Fast && home.kind.is_some();
        let part = &mut home.parts[at];
        part.state = State::Asked;
        // What the fast way is refused comes back; other ways may need it again without that.
        let want = if fast {
            std::mem::take(&mut part.want)
        } else {
            part.want.clone()
        };
        let goes_along = then != Then::Hold || part.check;
        let payload = if goes_along {
            part.payload.take()
        } else {
            None
        };
        let (to, check) = (part.shard, part.check);
        let body = Body::Lock {
            tx,
            want,
            wait,
            then,
            check,
            payload,
        };
        self.send(to, body);
    }

    pub(super) fn on_granted(
        &mut self,
        from: ShardId,
        tx: TxId,
        payload: Option<P>,
        ok: bool,
        valid_until_ms: i64,
    ) {
        let home = self.homes.get(tx);
        if home.phase == Phase::Running {
            let payload = payload.expect("a call that grew the program has run");
            self.on_called(from, tx, payload);
            return;
        }
        let part = home.part(from);
        let ran = payload.is_some() && !part.check;
        part.state = if ran {
            State::Ran { valid_until_ms }
        } else {
            State::Granted
        };
        if payload.is_some() {
            part.payload = payload;
        }
        home.aborted |= !ok;
        if self.faults.has(Fault::ReplyBeforeLastShard) {
            self.answer_early(tx);
        }
        let home = self.homes.get(tx);
        match home.phase {
            Phase::Trying | Phase::Pressing => self.tried(tx),
            Phase::Fast | Phase::Queueing => {
                if home.aborted {
                    self.withdraw(tx);
                } else if home.next + 1 == home.parts.len() {
                    self.all_granted(tx, None);
                } else if home.yielding {
                    home.setbacks += 1;
                    self.stats.yielded += 1;
                    self.withdraw(tx);
                } else {
                    home.next += 1;
                    self.ask_next(tx);
                }
            }
            phase => panic!("a grant in {phase:?}"),
        }
    }

    pub(super) fn on_refused(&mut self, from: ShardId, tx: TxId, want: Want, payload: Option<P>) {
        let home = self.homes.get(tx);
        if home.phase == Phase::Running {
            self.growth_refused(from, tx, want);
            return;
        }
        let part = home.part(from);
        part.want = want;
        part.state = State::Idle;
        if payload.is_some() {
            part.payload = payload;
        }
        match home.phase {
            Phase::Trying => {
                self.stats.queued += u64::from(!home.refused);
                home.refused = true;
                self.tried(tx);
            }
            Phase::Fast => {
                self.stats.queued += 1;
                self.withdraw(tx);
            }
            Phase::Queueing => {
                assert!(home.yielding, "who queues is refused only if it gives up");
                home.setbacks += 1;
                self.stats.yielded += 1;
                self.withdraw(tx);
            }
            phase => panic!("a refusal in {phase:?}"),
        }
    }

    /// One shard more has answered of those that were asked at once.
    fn tried(&mut self, tx: TxId) {
        let home = self.homes.get(tx);
        home.awaited -= 1;
        if home.awaited > 0 {
            return;
        }
        if home.refused || home.aborted {
            self.withdraw(tx);
        } else {
            self.all_granted(tx, None);
        }
    }

    /// Gives up all locks, undoing what a program has done under them; then the transaction ends if
    /// it is aborted, or acquires again.
    pub(super) fn withdraw(&mut self, tx: TxId) {
        let own = self.shard;
        let forget = self.faults.has(Fault::UndoForgotten);
        let home = self.homes.get(tx);
        let fast = home.phase == Phase::Fast;
        let pressing = home.pressing;
        home.phase = Phase::Withdrawing;
        home.yielding = false;
        home.awaited = 0;
        for at in 0..home.parts.len() {
            let home = self.homes.get(tx);
            let part = &mut home.parts[at];
            let held = matches!(part.state, State::Granted | State::Ran { .. });
            if part.state != State::Done {
                part.state = State::Idle;
            }
            if !held {
                continue;
            }
            let (shard, undo) = (part.shard, part.dirty && !forget);
            part.dirty = false;
            if fast && shard == own {
                let want = self.let_go(tx);
                self.homes.get(tx).parts[at].want = want;
                continue;
            }
            let answer = undo || pressing;
            home.awaited += usize::from(answer);
            self.send(shard, Body::Release { tx, undo, answer });
        }
        if self.homes.get(tx).awaited == 0 {
            self.withdrawn(tx);
        }
    }

    pub(super) fn on_released(&mut self, _from: ShardId, tx: TxId) {
        let home = self.homes.get(tx);
        home.awaited -= 1;
        if home.awaited > 0 {
            return;
        }
        match home.phase {
            Phase::Withdrawing => self.withdrawn(tx),
            Phase::Executing => self.finish(tx),
            phase => panic!("a release in {phase:?}"),
        }
    }

    fn withdrawn(&mut self, tx: TxId) {
        let patience = self.patience;
        let home = self.homes.get(tx);
        if home.aborted {
            self.finish(tx);
        } else if home.setbacks >= patience {
            home.phase = Phase::Token;
            self.send(0, Body::TokenAsk { tx });
        } else {
            self.queue(tx);
        }
    }

    /// Asks the shards one after another, in their order.
    fn queue(&mut self, tx: TxId) {
        let home = self.homes.get(tx);
        home.phase = Phase::Queueing;
        home.next = 0;
        home.parts.sort_unstable_by_key(|part| part.shard);
        if home.parts.is_empty() {
            self.all_granted(tx, None);
        } else {
            self.ask_next(tx);
        }
    }

    pub(super) fn on_token_given(&mut self, tx: TxId) {
        let home = self.homes.get(tx);
        home.phase = Phase::Pressing;
        home.pressing = true;
        self.stats.pressed += 1;
        self.ask_all(tx, Wait::Press);
        if self.homes.get(tx).parts.is_empty() {
            self.all_granted(tx, None);
        }
    }

    /// A transaction that may press waits for this one. Only one that waits itself, with locks in its
    /// hands, has to give way; any other comes to its end.
    pub(super) fn on_yield(&mut self, tx: TxId) {
        if self.faults.has(Fault::NoYield) {
            return;
        }
        let Some(home) = self.homes.find(tx) else {
            return;
        };
        if home.phase != Phase::Queueing || home.yielding {
            return;
        }
        home.yielding = true;
        let shard = home.parts[home.next].shard;
        self.send(shard, Body::Cancel { tx });
    }

    pub(super) fn on_done(
        &mut self,
        from: ShardId,
        tx: TxId,
        payload: Option<P>,
        ok: bool,
        at: Stamp,
    ) {
        self.observe(at);
        let early = self.faults.has(Fault::WriteBeforeLastGrant);
        let home = self.homes.get(tx);
        let part = home.part(from);
        part.state = State::Done;
        if payload.is_some() {
            part.payload = payload;
        }
        home.aborted |= !ok;
        match home.phase {
            Phase::Fast | Phase::Queueing if home.aborted => self.withdraw(tx),
            Phase::Fast | Phase::Queueing if home.next + 1 < home.parts.len() => {
                assert!(early, "only the last part runs at its grant");
                home.next += 1;
                self.ask_next(tx);
            }
            Phase::Fast | Phase::Queueing => self.all_granted(tx, Some(at)),
            Phase::Trying => self.tried(tx),
            Phase::Executing => {
                home.awaited -= 1;
                if home.awaited == 0 {
                    self.finish(tx);
                }
            }
            phase => panic!("a part is done in {phase:?}"),
        }
    }

    /// Every shard has granted; as of `at` if the last one has run already.
    fn all_granted(&mut self, tx: TxId, at: Option<Stamp>) {
        let now = self.stamp();
        let home = self.homes.get(tx);
        home.yielding = false;
        home.at = at.unwrap_or(now);
        match home.kind {
            Some(Kind::Read | Kind::Write) => self.execute(tx),
            Some(Kind::Gather) => self.relend(tx),
            None => self.start_program(tx),
        }
    }

    fn execute(&mut self, tx: TxId) {
        let agreed = !self.faults.has(Fault::TimeNotAgreed);
        let home = self.homes.get(tx);
        home.phase = Phase::Executing;
        home.awaited = 0;
        let (at, pressing) = (home.at, home.pressing);
        for i in 0..home.parts.len() {
            let home = self.homes.get(tx);
            let part = &mut home.parts[i];
            let shard = part.shard;
            match part.state {
                State::Done => continue,
                State::Ran { valid_until_ms } if at.time_ms < valid_until_ms || !agreed => {
                    home.awaited += usize::from(pressing);
                    self.release_at(shard, tx, false, pressing);
                }
                _ => {
                    home.awaited += 1;
                    let payload = part.payload.take();
                    let payload = payload.expect("a part that is to run has its payload");
                    self.run_at(shard, tx, payload, Stage::Run, false, at);
                }
            }
        }
        if self.homes.get(tx).awaited == 0 {
            self.finish(tx);
        }
    }

    /// A part's run; the shortest way if it is this shard's.
    pub(super) fn run_at(
        &mut self,
        shard: ShardId,
        tx: TxId,
        payload: P,
        stage: Stage,
        keep: bool,
        at: Stamp,
    ) {
        if shard == self.shard {
            self.on_run(tx, payload, stage, keep, at);
            return;
        }
        let body = Body::Run {
            tx,
            payload,
            stage,
            keep,
            at,
        };
        self.send(shard, body);
    }

    /// Has values lent again that may have expired by the transaction's time.
    fn relend(&mut self, tx: TxId) {
        let agreed = !self.faults.has(Fault::TimeNotAgreed);
        let home = self.homes.get(tx);
        home.phase = Phase::Relending;
        home.awaited = 0;
        let at = home.at;
        for i in 0..home.parts.len() {
            let home = self.homes.get(tx);
            let part = &mut home.parts[i];
            let stale = matches!(part.state, State::Ran { valid_until_ms }
                if at.time_ms >= valid_until_ms)
                && agreed;
            // One that checked first has lent nothing yet.
            if stale || part.state == State::Granted {
                home.awaited += 1;
                let payload = part.payload.take().expect("what was lent came home");
                let shard = part.shard;
                self.run_at(shard, tx, payload, Stage::Lend, true, at);
            }
        }
        if self.homes.get(tx).awaited == 0 {
            self.combine(tx);
        }
    }

    /// A part has run and keeps its locks.
    pub(super) fn on_called(&mut self, from: ShardId, tx: TxId, payload: P) {
        let home = self.homes.get(tx);
        if home.phase == Phase::Running {
            self.call_answered(from, tx, payload);
            return;
        }
        assert!(home.phase == Phase::Relending, "somebody lends again");
        home.awaited -= 1;
        let part = home.part(from);
        part.payload = Some(payload);
        part.state = State::Ran {
            valid_until_ms: i64::MAX,
        };
        if home.awaited == 0 {
            self.combine(tx);
        }
    }

    fn combine(&mut self, tx: TxId) {
        let home = self.homes.get(tx);
        home.phase = Phase::Combining;
        let parts = take_payloads(&mut home.parts);
        let time_ms = home.at.time_ms;
        self.actions
            .push_back(Action::Combine { tx, parts, time_ms });
    }

    /// Answers [`Action::Combine`] with what is to be written back. Shards that are not named have
    /// nothing to do but to release.
    pub fn combined(&mut self, tx: TxId, parts: Vec<(ShardId, P)>) {
        let home = self.homes.get(tx);
        assert!(home.phase == Phase::Combining, "it was asked to combine");
        home.phase = Phase::Executing;
        home.awaited = 0;
        let (at, pressing) = (home.at, home.pressing);
        for (shard, payload) in parts {
            let home = self.homes.get(tx);
            home.awaited += 1;
            let part = home.part(shard);
            assert!(part.writes, "only a part with an exclusive lock changes");
            part.state = State::Done;
            self.run_at(shard, tx, payload, Stage::Apply, false, at);
        }
        for i in 0..self.homes.get(tx).parts.len() {
            let home = self.homes.get(tx);
            let part = &home.parts[i];
            if part.state != State::Done {
                let shard = part.shard;
                home.awaited += usize::from(pressing);
                self.release_at(shard, tx, false, pressing);
            }
        }
        if self.homes.get(tx).awaited == 0 {
            self.finish(tx);
        }
        self.settle();
    }

    pub(super) fn finish(&mut self, tx: TxId) {
        let mut home = self.homes.remove(tx);
        if home.pressing {
            self.send(0, Body::TokenBack);
        }
        if home.answered {
            return;
        }
        self.actions.push_back(Action::Finish {
            tx,
            parts: take_payloads(&mut home.parts),
            outcome: if home.aborted {
                Outcome::Aborted
            } else {
                Outcome::Done
            },
            time_ms: home.at.time_ms,
            epoch: home.at.epoch,
        });
    }

    /// Only the planted bug does this.
    fn answer_early(&mut self, tx: TxId) {
        let home = self.homes.get(tx);
        if home.kind != Some(Kind::Write) || home.answered || home.aborted {
            return;
        }
        home.answered = true;
        self.actions.push_back(Action::Finish {
            tx,
            parts: Vec::new(),
            outcome: Outcome::Done,
            time_ms: home.at.time_ms,
            epoch: home.at.epoch,
        });
    }

    /// Lets a program begin, or begin again, under the locks of its parts.
    fn start_program(&mut self, tx: TxId) {
        let home = self.homes.get(tx);
        home.phase = Phase::Running;
        let attempt = home.program.attempt;
        self.actions.push_back(Action::Step {
            tx,
            attempt,
            answer: Answer::Start,
        });
    }
}

pub(super) fn home_part<P>(
    shard: ShardId,
    mut want: Want,
    check: bool,
    payload: Option<P>,
) -> HomePart<P> {
    want.normalise();
    HomePart {
        shard,
        writes: want.writes(),
        want,
        check,
        payload,
        state: State::Idle,
        dirty: false,
    }
}

fn take_payloads<P>(parts: &mut [HomePart<P>]) -> Vec<(ShardId, P)> {
    parts
        .iter_mut()
        .filter_map(|part| Some((part.shard, part.payload.take()?)))
        .collect()
}
