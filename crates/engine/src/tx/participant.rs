//! A shard's side of other shards' transactions, and of its own: locks, runs, releases.

use super::message::{Stamp, Then, Wait};
use super::{Action, Body, Engine, Fault, Owner, ShardId, Stage, TxId};
use crate::epoch::Epoch;
use crate::locks::{Ticket, Want};

/// A part that has its locks here, or waits for them.
pub(super) struct Held<P> {
    place: Place,
    then: Then,
    check: bool,
    /// Waits here for the grant.
    payload: Option<P>,
    granted: bool,
    /// The epoch of the grant, if the part may write.
    open: Option<Epoch>,
    running: Running,
    /// As of when it runs.
    at: Stamp,
}

#[derive(Clone, Copy)]
enum Place {
    Table(Ticket),
    Pressing,
}

/// What the host has been asked to do for a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Running {
    Nothing,
    Check,
    /// At the grant; keeps its locks.
    Granted,
    /// Keeps its locks.
    Kept,
    /// Releases its locks.
    Last,
    Undo {
        answer: bool,
    },
    Commit,
}

impl<P> Engine<P> {
    pub(super) fn on_lock(
        &mut self,
        tx: TxId,
        want: Want,
        wait: Wait,
        then: Then,
        check: bool,
        payload: Option<P>,
    ) {
        let free = wait != Wait::Press && self.locks.is_free(&want);
        if wait == Wait::Try && !free {
            self.send(tx.home, Body::Refused { tx, want, payload });
            return;
        }
        if free
            && !check
            && let Then::RunRelease(stage) = then
        {
            let at = self.stamp();
            self.passing.push_back((tx, at));
            let payload = payload.expect("what runs at its grant has its payload with it");
            self.push_run(tx, payload, stage, at);
            return;
        }
        let held = Held {
            place: Place::Pressing,
            then,
            check,
            payload,
            granted: false,
            open: None,
            running: Running::Nothing,
            at: Stamp::default(),
        };
        self.hold(tx, want, wait, free, held);
    }

    fn hold(&mut self, tx: TxId, want: Want, wait: Wait, free: bool, mut held: Held<P>) {
        if free {
            held.open = want.writes().then(|| self.epochs.open());
            held.granted = true;
            held.place = Place::Table(self.locks.take(Owner::Tx(tx), want));
        } else if wait == Wait::Press {
            held.open = want.writes().then(|| self.epochs.open());
            self.locks.press(Owner::Tx(tx), want);
            self.ask_to_yield();
        } else {
            held.place = Place::Table(self.locks.queue(Owner::Tx(tx), want));
        }
        let before = self.held.insert(tx, held);
        assert!(before.is_none(), "a transaction has one part per shard");
        if free {
            self.go_on_after_grant(tx);
        }
    }

    /// The home's own part, when nothing has to be told or run: the shortest way. False if it is not
    /// free.
    pub(super) fn hold_own(&mut self, tx: TxId, want: &mut Want) -> bool {
        if !self.locks.is_free(want) {
            return false;
        }
        let want = std::mem::take(want);
        let open = want.writes().then(|| self.epochs.open());
        let held = Held {
            place: Place::Table(self.locks.take(Owner::Tx(tx), want)),
            then: Then::Hold,
            check: false,
            payload: None,
            granted: true,
            open,
            running: Running::Nothing,
            at: Stamp::default(),
        };
        let before = self.held.insert(tx, held);
        assert!(before.is_none(), "a transaction has one part per shard");
        true
    }

    /// Asks the transactions that the pressing one waits for here to give way.
    fn ask_to_yield(&mut self) {
        let in_its_way: Vec<TxId> = self
            .locks
            .in_its_way()
            .filter_map(|owner| match owner {
                Owner::Tx(tx) => Some(tx),
                Owner::Parked | Owner::Serving(_) => None,
            })
            .collect();
        for tx in in_its_way {
            self.send(tx.home, Body::Yield { tx });
        }
    }

    pub(super) fn on_grant(&mut self, tx: TxId) {
        let at = self.stamp();
        let held = self.held.get_mut(&tx).expect("who is granted is held");
        if held.granted {
            // A call of the pressing program has got its further names.
            let payload = held.payload.take().expect("a call has its payload");
            held.running = Running::Kept;
            held.at = at;
            self.push_run(tx, payload, Stage::Call, at);
            return;
        }
        held.granted = true;
        if let Place::Table(ticket) = held.place
            && self.locks.writes(ticket)
        {
            held.open = Some(self.epochs.open());
        }
        self.go_on_after_grant(tx);
    }

    fn go_on_after_grant(&mut self, tx: TxId) {
        let at = self.stamp();
        let held = self.held.get_mut(&tx).expect("who is granted is held");
        held.at = at;
        let (running, stage) = match (held.check, held.then) {
            (true, _) => (Running::Check, Stage::Check),
            (false, Then::Hold) => {
                self.answer_granted(tx, None, true, i64::MAX);
                return;
            }
            (false, Then::Run(stage)) => (Running::Granted, stage),
            (false, Then::RunRelease(stage)) => (Running::Last, stage),
        };
        held.running = running;
        let payload = held.payload.take();
        let payload = payload.expect("what runs at its grant has its payload with it");
        self.push_run(tx, payload, stage, at);
    }

    fn answer_granted(&mut self, tx: TxId, payload: Option<P>, ok: bool, valid_until_ms: i64) {
        let body = Body::Granted {
            tx,
            payload,
            ok,
            valid_until_ms,
        };
        self.send(tx.home, body);
    }

    fn push_run(&mut self, tx: TxId, payload: P, stage: Stage, at: Stamp) {
        self.actions.push_back(Action::Run {
            tx,
            payload,
            stage,
            time_ms: at.time_ms,
            epoch: at.epoch,
        });
    }

    pub(super) fn on_run(&mut self, tx: TxId, payload: P, stage: Stage, keep: bool, at: Stamp) {
        self.observe(at);
        // A call's effects wait for the commit, and its time is that of the shard.
        let at = if stage == Stage::Call {
            self.stamp()
        } else {
            at
        };
        let held = self.held.get_mut(&tx).expect("what runs is held");
        held.at = at;
        held.running = if keep { Running::Kept } else { Running::Last };
        self.push_run(tx, payload, stage, at);
    }

    /// Answers [`Action::Run`]. An answer that depends on no time at all, or up to a moment only, is
    /// better given by [`Engine::ran_valid_until`].
    pub fn ran(&mut self, tx: TxId, payload: P, now_ms: i64) {
        self.ran_valid_until(tx, payload, now_ms, i64::MIN);
    }

    /// Answers [`Action::Run`]; before `valid_until_ms` (when the first of the keys that it read
    /// expires) the answer would be the same, so that the part need not run again if the
    /// transaction's time turns out to be later than this shard's.
    pub fn ran_valid_until(&mut self, tx: TxId, payload: P, now_ms: i64, valid_until_ms: i64) {
        self.set_now(now_ms);
        if let Some(&(passing, at)) = self.passing.front()
            && passing == tx
        {
            self.passing.pop_front();
            self.answer_done(tx, payload, true, at);
            self.settle();
            return;
        }
        let held = self.held.get_mut(&tx).expect("what ran is held");
        let running = std::mem::replace(&mut held.running, Running::Nothing);
        let at = held.at;
        match running {
            Running::Granted => {
                // It is right for the very time at which it ran, at least.
                let valid_until_ms = valid_until_ms.max(at.time_ms.saturating_add(1));
                let read = held.then == Then::Run(Stage::Run);
                self.answer_granted(tx, Some(payload), true, valid_until_ms);
                if read && self.faults.has(Fault::LockReleasedEarly) {
                    self.release_locks(tx);
                }
            }
            Running::Kept => self.send(tx.home, Body::Called { tx, payload }),
            Running::Last => {
                self.let_go(tx);
                self.answer_done(tx, payload, true, at);
            }
            running => panic!("a part ran that was not asked to: {running:?}"),
        }
        self.settle();
    }

    fn answer_done(&mut self, tx: TxId, payload: P, ok: bool, at: Stamp) {
        let body = Body::Done {
            tx,
            payload: Some(payload),
            ok,
            at,
        };
        self.send(tx.home, body);
    }

    /// Answers [`Action::Run`] of [`Stage::Check`].
    pub fn checked(&mut self, tx: TxId, payload: P, ok: bool) {
        let held = self.held.get_mut(&tx).expect("what was checked is held");
        assert!(held.running == Running::Check, "it was asked to check");
        held.running = Running::Nothing;
        let ok = ok || self.faults.has(Fault::CheckIgnored);
        let at = held.at;
        match held.then {
            Then::RunRelease(_) if !ok => {
                self.let_go(tx);
                self.answer_done(tx, payload, false, at);
            }
            Then::Run(_) | Then::Hold if !ok => {
                self.answer_granted(tx, Some(payload), false, i64::MAX);
            }
            Then::Hold => self.answer_granted(tx, Some(payload), true, i64::MAX),
            Then::Run(stage) => {
                held.running = Running::Granted;
                self.push_run(tx, payload, stage, at);
            }
            Then::RunRelease(stage) => {
                held.running = Running::Last;
                self.push_run(tx, payload, stage, at);
            }
        }
        self.settle();
    }

    /// Ends a part: its locks, and its claim on its epoch.
    pub(super) fn let_go(&mut self, tx: TxId) -> Want {
        let held = self.held.remove(&tx).expect("who lets go is held");
        let want = match held.place {
            Place::Table(ticket) if self.locks.is_current(ticket) => self.locks.release(ticket),
            Place::Table(_) => Want::default(),
            Place::Pressing => self.locks.release_pressing(),
        };
        if let Some(epoch) = held.open {
            self.epochs.close(epoch);
            self.seal();
        }
        want
    }

    /// Only the planted bug does this: the part goes on without its locks.
    fn release_locks(&mut self, tx: TxId) {
        if let Some(Held {
            place: Place::Table(ticket),
            ..
        }) = self.held.get(&tx)
        {
            self.locks.release(*ticket);
        }
    }

    pub(super) fn on_release(&mut self, tx: TxId, undo: bool, answer: bool) {
        if undo {
            let held = self.held.get_mut(&tx).expect("what is undone is held");
            held.running = Running::Undo { answer };
            self.actions.push_back(Action::Undo { tx });
            return;
        }
        self.let_go(tx);
        if answer {
            self.send(tx.home, Body::Released { tx });
        }
    }

    /// Answers [`Action::Undo`].
    pub fn undone(&mut self, tx: TxId) {
        let held = self.held.get(&tx).expect("what was undone is held");
        let Running::Undo { answer } = held.running else {
            panic!("a part was undone that was not asked to");
        };
        self.let_go(tx);
        if answer {
            self.send(tx.home, Body::Released { tx });
        }
        self.settle();
    }

    pub(super) fn on_cancel(&mut self, tx: TxId) {
        let Some(held) = self.held.get_mut(&tx) else {
            return;
        };
        if held.granted {
            return;
        }
        let payload = held.payload.take();
        let want = self.let_go(tx);
        self.send(tx.home, Body::Refused { tx, want, payload });
    }

    pub(super) fn on_grow(&mut self, tx: TxId, want: Want, wait: Wait, payload: P) {
        let at = self.stamp();
        let Some(held) = self.held.get_mut(&tx) else {
            let mut wait = wait;
            if wait == Wait::Try && self.faults.has(Fault::GrowthWaits) {
                wait = Wait::Queue;
            }
            let then = Then::Run(Stage::Call);
            self.on_lock(tx, want, wait, then, false, Some(payload));
            return;
        };
        if want.writes() && held.open.is_none() {
            held.open = Some(self.epochs.open());
        }
        match held.place {
            Place::Pressing => {
                held.payload = Some(payload);
                self.locks.press(Owner::Tx(tx), want);
                self.ask_to_yield();
            }
            Place::Table(ticket) if self.locks.grow(ticket, &want) => {
                held.running = Running::Kept;
                held.at = at;
                self.push_run(tx, payload, Stage::Call, at);
            }
            Place::Table(_) => {
                let payload = Some(payload);
                self.send(tx.home, Body::Refused { tx, want, payload });
            }
        }
    }

    pub(super) fn on_commit(&mut self, tx: TxId, at: Stamp) {
        self.observe(at);
        let held = self.held.get_mut(&tx).expect("what commits is held");
        held.running = Running::Commit;
        held.at = at;
        self.actions.push_back(Action::Commit {
            tx,
            time_ms: at.time_ms,
            epoch: at.epoch,
        });
    }

    /// Answers [`Action::Commit`].
    pub fn committed(&mut self, tx: TxId) {
        let held = self.held.get(&tx).expect("what committed is held");
        assert!(held.running == Running::Commit, "it was asked to commit");
        let at = held.at;
        self.let_go(tx);
        let body = Body::Done {
            tx,
            payload: None,
            ok: true,
            at,
        };
        self.send(tx.home, body);
        self.settle();
    }

    /// Where a transaction's answers to its locks go.
    pub(super) fn release_at(&mut self, shard: ShardId, tx: TxId, undo: bool, answer: bool) {
        self.send(shard, Body::Release { tx, undo, answer });
    }
}
