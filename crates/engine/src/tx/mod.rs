//! Transactions across shards: strict two-phase locking, without I/O, clock or threads.
//!
//! One [`Engine`] per shard is the *home* of its own clients' transactions and a *participant* in
//! everybody's. Its host calls methods, then takes [`Action`]s from [`Engine::poll`] until there are
//! none; nothing calls back. What a part of a transaction does, and what it answers, is the host's: a
//! payload `P` that travels with the messages and comes home.
//!
//! ```text
//!   home                                    participants
//!   begin ──► Lock, to all at once ───────► free? granted : refused       (tries never wait)
//!             all granted ◄───────────────
//!             one refused: Release, then Lock one shard after another     (waiting is ordered)
//!   all granted: Run ─────────────────────► run, release
//!   Finish  ◄────────────────────── Done ──
//! ```
//!
//! With one remote shard, the usual case, two messages are enough: the home locks its own part first,
//! and the remote one runs as soon as it is granted, since then all locks are held. The last shard of
//! an ordered acquisition does the same.
//!
//! `docs/transactions.md` states the invariants, and why nothing can deadlock or starve.

pub(crate) mod fault;
mod home;
mod message;
mod participant;
mod program;
#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use fault::Fault;
pub use message::{Message, Stamp};
pub use program::{Answer, Program, Reserve, Step};

use crate::epoch::{Epoch, Epochs};
use crate::locks::{FoldMap, Granted, Locks, Mode, Name, Ticket, Want};
use crate::waiters::{ClaimId, Spot, Waiters};
use home::Homes;
pub(crate) use message::Body;
use participant::Held;
use std::collections::VecDeque;

pub type ShardId = u16;

/// A transaction: the shard that began it, and a number there.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TxId {
    pub home: ShardId,
    pub seq: u64,
}

/// One shard's part of a transaction.
#[derive(Debug)]
pub struct Part<P> {
    pub shard: ShardId,
    pub want: Want,
    pub payload: P,
    /// Ask the host ([`Stage::Check`]) when the locks are granted, and abort if it says no.
    pub check: bool,
}

impl<P> Part<P> {
    pub fn new(shard: ShardId, want: Want, payload: P) -> Part<P> {
        Part {
            shard,
            want,
            payload,
            check: false,
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Parts only read; each may run when its own shard has granted.
    Read,
    /// No part runs before every shard has granted.
    Write,
    /// Parts lend values to the home ([`Stage::Lend`]), which computes ([`Action::Combine`]) what to
    /// write back where ([`Stage::Apply`]).
    Gather,
}

/// What a part is to do now.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Everything. Of a [`Kind::Read`], it may be asked for again, and then replaces the answer.
    Run,
    /// Lend values in the payload, which stay locked until they have been used; may be asked for again, and
    /// then replaces what was lent.
    Lend,
    /// Write back.
    Apply,
    /// Say whether the transaction may go on ([`Engine::checked`]); changes nothing.
    Check,
    /// One call of a [`Program`]. What it changes can be undone until [`Action::Commit`].
    Call,
}

/// A command of one shard that waits for its turn.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Waiter(Ticket);

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Done,
    /// A check said no, or the program wanted it: nothing has changed.
    Aborted,
}

/// What the host is to do, in this order. Actions that ask something name the method that answers; it
/// is answered before the next action is taken, unless said otherwise.
#[derive(Debug)]
pub enum Action<P> {
    /// Never to this shard itself.
    Send { to: ShardId, message: Message<P> },
    /// Execute a part on this shard's data, under its locks: as of this time, its effects in this
    /// epoch. Answered by [`Engine::ran`], after [`Stage::Check`] by [`Engine::checked`].
    Run {
        tx: TxId,
        payload: P,
        stage: Stage,
        time_ms: i64,
        epoch: Epoch,
    },
    /// All values are here, and locked. Answered by [`Engine::combined`], at any time.
    Combine {
        tx: TxId,
        parts: Vec<(ShardId, P)>,
        time_ms: i64,
    },
    /// Every shard has executed and released. With what came home last from each shard.
    Finish {
        tx: TxId,
        parts: Vec<(ShardId, P)>,
        outcome: Outcome,
        time_ms: i64,
        epoch: Epoch,
    },
    /// The command's turn has come. The host runs it, now or soon, and answers with
    /// [`Engine::passed`], or [`Engine::leave`] if nobody wants it any more.
    Resume(Waiter),
    /// The program goes on. Answered by [`Engine::step`], at any time.
    Step {
        tx: TxId,
        attempt: u32,
        answer: Answer<P>,
    },
    /// Revert what the transaction's calls have changed here. Answered by [`Engine::undone`].
    Undo { tx: TxId },
    /// Publish what the transaction's calls have changed here. Answered by [`Engine::committed`].
    Commit {
        tx: TxId,
        time_ms: i64,
        epoch: Epoch,
    },
    /// For whom of those who wait there is there something? Answered by [`Engine::looked`].
    Look { spot: Spot },
    /// Take it for this claim, now. Answered by [`Engine::served`].
    Serve {
        spot: Spot,
        claim: ClaimId,
        time_ms: i64,
        epoch: Epoch,
    },
    /// A claim does not wait here any more, and was not served here.
    Forgotten { claim: ClaimId },
    /// What was taken for a claim of this shard has arrived.
    Woken { claim: ClaimId, payload: P },
    /// No write of this shard will carry this epoch, or an earlier one, any more.
    Seal { epoch: Epoch },
}

/// How often transactions of this home did not have it easy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    pub begun: u64,
    /// Tries that were refused, so that the shards were asked one after another.
    pub queued: u64,
    /// Gave way to one that presses.
    pub yielded: u64,
    /// Programs that began again.
    pub restarted: u64,
    /// Got the right to press.
    pub pressed: u64,
}

/// Whose a request in the lock table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Tx(TxId),
    Parked,
    Serving(Spot),
}

/// One shard's transactions; see the module's text.
pub struct Engine<P> {
    pub(crate) shard: ShardId,
    now_ms: i64,
    epochs: Epochs,
    pub(crate) locks: Locks<Owner>,
    /// Parts that are locked here, or wait to be, by transaction.
    held: FoldMap<TxId, Held<P>>,
    /// Parts that run without having entered the lock table, in the order of their actions.
    passing: VecDeque<(TxId, Stamp)>,
    homes: Homes<P>,
    stats: Stats,
    patience: u32,
    token: program::Token,
    pub(crate) waiters: Waiters,
    pub(crate) actions: VecDeque<Action<P>>,
    /// Messages to this shard itself.
    own: VecDeque<Body<P>>,
    pub(crate) faults: fault::Faults,
}

impl<P> Engine<P> {
    pub fn new(shard: ShardId) -> Engine<P> {
        Engine {
            shard,
            now_ms: 0,
            epochs: Epochs::new(),
            locks: Locks::new(),
            held: FoldMap::default(),
            passing: VecDeque::new(),
            homes: Homes::default(),
            stats: Stats::default(),
            patience: home::PATIENCE,
            token: program::Token::default(),
            waiters: Waiters::default(),
            actions: VecDeque::new(),
            own: VecDeque::new(),
            faults: fault::Faults::default(),
        }
    }

    #[cfg(feature = "faults")]
    #[doc(hidden)]
    pub fn plant(&mut self, fault: Fault) {
        self.faults = fault::Faults::plant(fault);
        self.locks.faults = self.faults;
    }

    /// Lets transactions press after fewer setbacks than usual, so that a simulation does not have to
    /// be long to see it.
    #[cfg(feature = "faults")]
    #[doc(hidden)]
    pub fn set_patience(&mut self, setbacks: u32) {
        self.patience = setbacks;
    }

    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Nothing is locked or waited for here: any command of this shard's keys may run. Right only
    /// when [`Engine::poll`] has nothing left.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.locks.is_idle()
    }

    /// Whether a command with one key may run at once, which needs no lock: nobody has the key in a
    /// mode that conflicts, and nobody waits for it.
    pub fn may_run(&self, name: Name, mode: Mode) -> bool {
        self.locks.is_free_key(name, mode)
    }

    /// The same for a command with several keys of this shard, which need not be in order.
    pub fn may_run_all(&self, want: &Want) -> bool {
        self.locks.is_free(want)
    }

    /// What a transaction of this shard has locked, or needs before it goes on, by shard.
    pub fn wants_of(&mut self, tx: TxId) -> Vec<(ShardId, Want)> {
        let parts = self.homes.find(tx).map(|home| home.parts.iter());
        let parts = parts.into_iter().flatten();
        parts.map(|part| (part.shard, part.want.clone())).collect()
    }

    /// The transactions that have what somebody wants. That is not asked often: it looks at all that have
    /// something.
    pub fn in_the_way<'a>(&'a self, want: &'a Want) -> impl Iterator<Item = TxId> + 'a {
        self.locks
            .conflicting(want)
            .filter_map(|owner| match owner {
                Owner::Tx(tx) => Some(tx),
                _ => None,
            })
    }

    /// The same of what a command waits for.
    pub fn in_its_way(&self, waiter: Waiter) -> impl Iterator<Item = TxId> + '_ {
        let want = self.locks.want_of(waiter.0);
        want.into_iter().flat_map(|want| self.in_the_way(want))
    }

    /// Lets a command of this shard wait for its turn, which [`Action::Resume`] announces. The keys
    /// are its own from then until [`Engine::passed`].
    pub fn park(&mut self, mut want: Want) -> Waiter {
        want.normalise();
        let ticket = self.locks.queue(Owner::Parked, want);
        self.settle();
        Waiter(ticket)
    }

    /// A command that was resumed has run.
    pub fn passed(&mut self, waiter: Waiter) {
        assert!(
            self.locks.is_granted(waiter.0),
            "only who was resumed has run"
        );
        self.leave(waiter);
    }

    /// A command gives up waiting, resumed or not.
    pub fn leave(&mut self, waiter: Waiter) {
        self.locks.release(waiter.0);
        self.settle();
    }

    /// The host's clock, once per pass over its events. Time never runs backwards, nor behind that
    /// of a transaction that ran here.
    #[inline]
    pub fn set_now(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The epoch in which a write outside of transactions runs.
    #[inline]
    pub fn epoch(&self) -> Epoch {
        self.epochs.current()
    }

    /// Whether a transaction that was granted here is still to run, so that its epoch cannot be sealed.
    #[inline]
    pub fn has_open_epochs(&self) -> bool {
        self.epochs.has_open()
    }

    /// A consumer is ready for more: what is written from now on belongs to this epoch or a later one.
    pub fn advance(&mut self, epoch: Epoch) {
        self.epochs.advance(epoch);
        self.seal();
    }

    /// What the host sends with messages of its own between shards, for [`Engine::observe`] there.
    #[inline]
    pub fn stamp(&self) -> Stamp {
        Stamp {
            time_ms: self.now_ms,
            epoch: self.epochs.current(),
        }
    }

    /// Does not run behind what another shard has seen.
    #[inline]
    pub fn observe(&mut self, stamp: Stamp) {
        self.set_now(stamp.time_ms);
        self.catch_up(stamp.epoch);
    }

    /// What is written from now on belongs to no earlier epoch than what another shard has seen.
    #[inline]
    pub fn catch_up(&mut self, epoch: Epoch) {
        if epoch > self.epochs.current() {
            self.advance(epoch);
        }
    }

    /// Takes a message from another shard's engine.
    pub fn receive(&mut self, from: ShardId, message: Message<P>) {
        assert!(from != self.shard, "nobody sends messages to itself");
        self.observe(message.stamp);
        self.handle(from, message.body);
        self.settle();
    }

    /// This shard's own part of the transaction that an answer is about, if it has not run: it may
    /// when the answer has been received.
    pub fn own_part(&mut self, answer: &Message<P>) -> Option<&P> {
        let (Body::Done { tx, .. } | Body::Granted { tx, .. }) = answer.body else {
            return None;
        };
        let shard = self.shard;
        let parts = &self.homes.find(tx)?.parts;
        parts
            .iter()
            .find(|part| part.shard == shard)?
            .payload
            .as_ref()
    }

    /// Whether there is something to do.
    #[inline]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// What to do next.
    #[inline]
    pub fn poll(&mut self) -> Option<Action<P>> {
        self.actions.pop_front()
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// What is left of transactions, waiters and claims; nothing when all have gone.
    pub fn rest(&self) -> Option<&'static str> {
        let empty = [
            (self.locks.is_empty(), "locks"),
            (self.held.is_empty(), "parts"),
            (self.passing.is_empty(), "parts that run"),
            (self.homes.is_empty(), "transactions"),
            (self.token.is_empty(), "the token"),
            (self.waiters.is_empty(), "waiters"),
            (self.actions.is_empty(), "actions"),
            (self.own.is_empty(), "messages"),
        ];
        let rest = empty.iter().find(|(empty, _)| !empty);
        rest.map(|(_, what)| *what)
    }

    pub(crate) fn send(&mut self, to: ShardId, body: Body<P>) {
        if to == self.shard {
            self.own.push_back(body);
            return;
        }
        let stamp = self.stamp();
        let message = Message { stamp, body };
        self.actions.push_back(Action::Send { to, message });
    }

    /// Follows what grants, and messages to itself, lead to. Done here in turns, so that a long chain
    /// of them is no deep recursion.
    pub(crate) fn settle(&mut self) {
        loop {
            if let Some(granted) = self.locks.next_granted() {
                match granted {
                    Granted::Request(ticket, Owner::Parked) => {
                        self.actions.push_back(Action::Resume(Waiter(ticket)));
                    }
                    Granted::Request(_, Owner::Serving(spot)) => {
                        self.actions.push_back(Action::Look { spot });
                    }
                    Granted::Request(_, Owner::Tx(tx)) | Granted::Pressing(Owner::Tx(tx)) => {
                        self.on_grant(tx);
                    }
                    Granted::Pressing(_) => unreachable!("only transactions press"),
                }
            } else if let Some(body) = self.own.pop_front() {
                self.handle(self.shard, body);
            } else {
                return;
            }
        }
    }

    fn handle(&mut self, from: ShardId, body: Body<P>) {
        match body {
            Body::Lock {
                tx,
                want,
                wait,
                then,
                check,
                payload,
            } => self.on_lock(tx, want, wait, then, check, payload),
            Body::Run {
                tx,
                payload,
                stage,
                keep,
                at,
            } => self.on_run(tx, payload, stage, keep, at),
            Body::Release { tx, undo, answer } => self.on_release(tx, undo, answer),
            Body::Cancel { tx } => self.on_cancel(tx),
            Body::Grow {
                tx,
                want,
                wait,
                payload,
            } => self.on_grow(tx, want, wait, payload),
            Body::Commit { tx, at } => self.on_commit(tx, at),
            Body::TokenAsk { tx } => self.on_token_ask(tx),
            Body::TokenBack => self.on_token_back(),
            Body::Claim { claim, spot } => self.on_claim(from, claim, spot),
            Body::Forget { claim } => {
                self.waiters.forget(claim);
                self.actions.push_back(Action::Forgotten { claim });
            }
            Body::Granted {
                tx,
                payload,
                ok,
                valid_until_ms,
            } => self.on_granted(from, tx, payload, ok, valid_until_ms),
            Body::Refused { tx, want, payload } => self.on_refused(from, tx, want, payload),
            Body::Done {
                tx,
                payload,
                ok,
                at,
            } => self.on_done(from, tx, payload, ok, at),
            Body::Called { tx, payload } => self.on_called(from, tx, payload),
            Body::Released { tx } => self.on_released(from, tx),
            Body::Yield { tx } => self.on_yield(tx),
            Body::TokenGiven { tx } => self.on_token_given(tx),
            Body::Claimed {
                claim,
                spot,
                granted,
            } => self.on_claimed(claim, spot, granted),
            Body::Served { claim, payload } => {
                self.actions.push_back(Action::Woken { claim, payload });
            }
        }
    }

    fn seal(&mut self) {
        let ignore_open = self.faults.has(Fault::SealMissesPart);
        if let Some(epoch) = self.epochs.seal(ignore_open) {
            self.actions.push_back(Action::Seal { epoch });
        }
    }
}
