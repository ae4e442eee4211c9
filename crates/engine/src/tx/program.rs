//! Programs: transactions that call, look at the answers, and call again.
//!
//! MULTI/EXEC, scripts, and the simulator's random programs are all this. A program keeps its locks
//! from its first call to its end. A call that needs names which it does not have *grows* it: the
//! names are tried, never waited for. If they are not free, the program gives up everything, its
//! changes undone, and starts again with all names that it was ever seen to need, acquired in order
//! beforehand. After three times it gets the *token*, of which the server has one, and may *press*:
//! then it waits for names in any order, and everybody who waits with locks in his hands yields.

use super::home::{HomePart, Phase, State, home_part};
use super::message::Wait;
use super::{Action, Body, Engine, ShardId, Stage, TxId};
use crate::locks::Want;
use std::collections::VecDeque;

/// What a program does next.
#[derive(Debug)]
pub enum Step<P> {
    /// Run this on a shard, with these names locked from now until the end.
    Call {
        shard: ShardId,
        want: Want,
        payload: P,
    },
    /// Nothing yet; the host gives a later step by itself. A program must not wait for a client like
    /// this: it has locks.
    Pause,
    /// Undo everything, and begin again with the right to press; or go on, if it has that already.
    Press,
    /// Commit.
    Done,
    /// Undo everything.
    Abort,
}

#[derive(Debug)]
pub enum Answer<P> {
    /// From the beginning. Whatever an earlier attempt has learnt did not happen.
    Start,
    Value(P),
    /// Nothing new: the host goes on after [`Step::Pause`], or the program has the right to press already.
    Resumed,
}

/// What a host drives with [`Action::Step`] and [`Engine::step`].
pub trait Program<P> {
    fn resume(&mut self, answer: Answer<P>) -> Step<P>;
}

/// Names that a program certainly needs, and what to check under their locks.
#[derive(Debug)]
pub struct Reserve<P> {
    pub shard: ShardId,
    pub want: Want,
    /// For [`Stage::Check`]; comes home with [`Action::Finish`].
    pub check: Option<P>,
}

#[derive(Default)]
pub(super) struct ProgramState {
    pub attempt: u32,
    /// The call that is under way.
    call: Option<(ShardId, Want)>,
}

/// The right to press, which shard 0 hands out in the order in which it is asked.
#[derive(Default)]
pub(super) struct Token {
    holder: Option<TxId>,
    waiting: VecDeque<TxId>,
}

impl Token {
    pub fn is_empty(&self) -> bool {
        self.holder.is_none() && self.waiting.is_empty()
    }
}

impl<P> Engine<P> {
    /// Begins a program with the names that it is known to need, if any; at most one entry per shard.
    pub fn begin_program(&mut self, reserved: Vec<Reserve<P>>) -> TxId {
        let parts = reserved
            .into_iter()
            .map(|part| {
                let check = part.check.is_some();
                home_part(part.shard, part.want, check, part.check)
            })
            .collect();
        self.begin_parts(None, parts)
    }

    /// Makes a program of what has run on this shard without locks, in this turn of the host, and now
    /// needs more: `want` is what it has used, which is free since it could run. It goes on with
    /// [`Engine::step`] as attempt 0; if `dirty`, what it has changed can be undone.
    pub fn adopt_program(&mut self, mut want: Want, dirty: bool) -> TxId {
        want.normalise();
        let mut part = home_part(self.shard, want.clone(), false, None);
        part.state = State::Granted;
        part.dirty = dirty;
        let tx = self.insert_home(None, vec![part]);
        self.homes.get(tx).phase = Phase::Running;
        let held = self.hold_own(tx, &mut want);
        assert!(held, "what has run without locks is free");
        tx
    }

    /// Answers [`Action::Step`]. A step of an attempt that was given up meanwhile is dropped.
    pub fn step(&mut self, tx: TxId, attempt: u32, step: Step<P>) {
        let Some(home) = self.homes.find(tx) else {
            return;
        };
        if home.phase != Phase::Running || home.program.attempt != attempt {
            return;
        }
        assert!(home.program.call.is_none(), "one call at a time");
        match step {
            Step::Pause => {}
            Step::Call {
                shard,
                mut want,
                payload,
            } => {
                want.normalise();
                self.call(tx, shard, want, payload);
            }
            Step::Press if home.pressing => self.actions.push_back(Action::Step {
                tx,
                attempt,
                answer: Answer::Resumed,
            }),
            Step::Press => {
                let patience = self.patience;
                let home = self.homes.get(tx);
                home.program.attempt += 1;
                home.setbacks = home.setbacks.max(patience);
                self.stats.restarted += 1;
                self.withdraw(tx);
            }
            Step::Done => self.commit(tx),
            Step::Abort => {
                home.aborted = true;
                self.withdraw(tx);
            }
        }
        self.settle();
    }

    /// Whether a program holds the token, so that it will not begin again.
    pub fn is_pressing(&mut self, tx: TxId) -> bool {
        self.homes.find(tx).is_some_and(|home| home.pressing)
    }

    fn call(&mut self, tx: TxId, shard: ShardId, want: Want, payload: P) {
        let at = self.stamp();
        let home = self.homes.get(tx);
        let held = home.parts.iter().any(|part| {
            part.shard == shard && part.state == State::Granted && part.want.covers(&want)
        });
        home.program.call = Some((shard, want.clone()));
        if held {
            self.run_at(shard, tx, payload, Stage::Call, true, at);
            return;
        }
        let wait = if home.pressing {
            Wait::Press
        } else {
            Wait::Try
        };
        let body = Body::Grow {
            tx,
            want,
            wait,
            payload,
        };
        self.send(shard, body);
    }

    /// The shard's part, new if the program was not there before.
    fn called_part(&mut self, tx: TxId, shard: ShardId) -> &mut HomePart<P> {
        let parts = &mut self.homes.get(tx).parts;
        let at = parts
            .iter()
            .position(|part| part.shard == shard)
            .unwrap_or_else(|| {
                parts.push(home_part(shard, Want::default(), false, None));
                parts.len() - 1
            });
        &mut parts[at]
    }

    pub(super) fn call_answered(&mut self, from: ShardId, tx: TxId, payload: P) {
        let call = self.homes.get(tx).program.call.take();
        let (shard, want) = call.expect("only a call is answered");
        assert!(shard == from, "the shard that was called answers");
        let part = self.called_part(tx, shard);
        part.state = State::Granted;
        part.dirty |= want.writes();
        part.writes |= want.writes();
        if !part.want.covers(&want) {
            part.want.join(want);
        }
        let attempt = self.homes.get(tx).program.attempt;
        self.actions.push_back(Action::Step {
            tx,
            attempt,
            answer: Answer::Value(payload),
        });
    }

    /// A name that it needs is taken: from the beginning, with that name too.
    pub(super) fn growth_refused(&mut self, from: ShardId, tx: TxId, want: Want) {
        let part = self.called_part(tx, from);
        part.writes |= want.writes();
        part.want.join(want);
        let home = self.homes.get(tx);
        home.program.call = None;
        home.program.attempt += 1;
        home.setbacks += 1;
        self.stats.restarted += 1;
        self.withdraw(tx);
    }

    /// Everywhere: publish what was changed, release. The client is answered after the last shard.
    fn commit(&mut self, tx: TxId) {
        let at = self.stamp();
        let home = self.homes.get(tx);
        home.phase = Phase::Executing;
        home.at = at;
        home.awaited = 0;
        let pressing = home.pressing;
        for i in 0..home.parts.len() {
            let home = self.homes.get(tx);
            let part = &mut home.parts[i];
            if part.state != State::Granted {
                continue;
            }
            let (shard, dirty) = (part.shard, part.dirty);
            home.awaited += usize::from(dirty || pressing);
            if dirty {
                self.send(shard, Body::Commit { tx, at });
            } else {
                self.release_at(shard, tx, false, pressing);
            }
        }
        if self.homes.get(tx).awaited == 0 {
            self.finish(tx);
        }
    }

    pub(super) fn on_token_ask(&mut self, tx: TxId) {
        if self.token.holder.is_some() {
            self.token.waiting.push_back(tx);
            return;
        }
        self.token.holder = Some(tx);
        self.send(tx.home, Body::TokenGiven { tx });
    }

    pub(super) fn on_token_back(&mut self) {
        assert!(self.token.holder.is_some(), "only a holder gives it back");
        self.token.holder = self.token.waiting.pop_front();
        if let Some(tx) = self.token.holder {
            self.send(tx.home, Body::TokenGiven { tx });
        }
    }
}
