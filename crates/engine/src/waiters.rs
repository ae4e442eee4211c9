//! Those who wait for a key to become ready: blocking pops.
//!
//! A blocked command waits in several *spots*, on several shards, and is served once. What decides is
//! its *claim*, which its home owns: whoever takes the claim first (a shard that has something, the
//! timeout, an unblock, a kill) ends the wait, and all others are refused.
//!
//! ```text
//!   shard of the key                          home of the claim
//!   ready(spot): locks the key, next in line
//!   Look: for whom is there (still) something?
//!   Claim, for the first of these ──────────► open: taken now; else refused
//!   refused: Look again  ◄───────────────────
//!   granted: Serve, the host pops for it
//!   Served ─────────────────────────────────► Woken; Forget to its other shards
//!   Look again, until there is nothing for anybody
//! ```
//!
//! The key is locked from before the push releases it until the last one is served, so nobody takes
//! what a push has brought for those who wait, and those are served in their order.

use crate::locks::{FoldMap, Mode, Name, Ticket};
use crate::tx::{Action, Body, Engine, Fault, Owner, ShardId};
use std::collections::VecDeque;

/// A blocked command: its home, and a number there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ClaimId {
    pub home: ShardId,
    pub seq: u64,
}

/// What somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Spot {
    pub name: Name,
    /// The host's: what a name alone does not tell apart, such as the database and the type.
    pub kind: u64,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<ClaimId>,
    serving: Option<Serving>,
}

struct Serving {
    ticket: Ticket,
    /// Who is being served, or whose home has been asked.
    claim: Option<ClaimId>,
}

#[derive(Default)]
pub(crate) struct Waiters {
    /// Open claims of this home, with the shards where they wait.
    claims: FoldMap<u64, Vec<ShardId>>,
    opened: u64,
    lines: FoldMap<Spot, Line>,
    /// Where each claim waits on this shard.
    places: FoldMap<ClaimId, Vec<Spot>>,
}

impl Waiters {
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.lines.is_empty() && self.places.is_empty()
    }

    pub fn forget(&mut self, claim: ClaimId) {
        for spot in self.places.remove(&claim).unwrap_or_default() {
            let Some(line) = self.lines.get_mut(&spot) else {
                continue;
            };
            line.waiting.retain(|waiting| *waiting != claim);
            if line.waiting.is_empty() && line.serving.is_none() {
                self.lines.remove(&spot);
            }
        }
    }

    fn serving(&mut self, spot: Spot) -> &mut Serving {
        let serving = self
            .lines
            .get_mut(&spot)
            .and_then(|line| line.serving.as_mut());
        serving.expect("a spot keeps its place while it serves")
    }
}

impl<P> Engine<P> {
    /// Opens the claim of a command that will wait on these shards. They are asked to let it wait
    /// ([`Engine::combined`]) before anything else can close it.
    pub fn open_claim(&mut self, shards: Vec<ShardId>) -> ClaimId {
        self.waiters.opened += 1;
        let seq = self.waiters.opened;
        self.waiters.claims.insert(seq, shards);
        ClaimId {
            home: self.shard,
            seq,
        }
    }

    /// Ends a wait from its home: timeout, unblock, kill. False if it has been served, or is being.
    pub fn close_claim(&mut self, claim: ClaimId) -> bool {
        assert!(claim.home == self.shard, "a claim is its home's");
        let taken = self.take_claim(claim, None);
        self.settle();
        taken
    }

    /// Takes a claim if it is open, and has it forgotten wherever it waits, except `by` whoever took
    /// it, who knows.
    fn take_claim(&mut self, claim: ClaimId, by: Option<ShardId>) -> bool {
        let Some(shards) = self.waiters.claims.remove(&claim.seq) else {
            return self.faults.has(Fault::ServedTwice) && by.is_some();
        };
        for shard in shards {
            if by != Some(shard) {
                self.send(shard, Body::Forget { claim });
            }
        }
        true
    }

    /// Lets a claim wait here, while the host executes what found nothing to take, under its locks.
    pub fn wait_for(&mut self, claim: ClaimId, spots: &[Spot]) {
        for spot in spots {
            let line = self.waiters.lines.entry(*spot).or_default();
            line.waiting.push_back(claim);
        }
        let places = self.waiters.places.entry(claim).or_default();
        places.extend_from_slice(spots);
    }

    /// Whether anybody waits anywhere on this shard: [`Engine::is_awaited`] need not be asked else.
    #[inline]
    pub fn has_waiters(&self) -> bool {
        !self.waiters.lines.is_empty()
    }

    pub fn is_awaited(&self, spot: Spot) -> bool {
        self.waiters.lines.contains_key(&spot)
    }

    /// A command that runs now, or a transaction that runs or commits, has put something there. To be
    /// said before the host answers that it has run.
    pub fn ready(&mut self, spot: Spot) {
        if self.faults.has(Fault::ReadyForgotten) {
            return;
        }
        let Some(line) = self.waiters.lines.get_mut(&spot) else {
            return;
        };
        if line.serving.is_none() && !line.waiting.is_empty() {
            let ticket = self.locks.queue_first(Owner::Serving(spot), spot.name);
            line.serving = Some(Serving {
                ticket,
                claim: None,
            });
        }
        self.settle();
    }

    /// All spots where somebody waits.
    pub fn spots(&self) -> impl Iterator<Item = Spot> {
        self.waiters.lines.keys().copied()
    }

    /// Who waits there, first come first.
    pub fn waiting(&self, spot: Spot) -> impl Iterator<Item = ClaimId> {
        let line = self.waiters.lines.get(&spot).into_iter();
        line.flat_map(|line| line.waiting.iter().copied())
    }

    /// Whether whoever is served now may be served from this other spot as well: nobody else has its name,
    /// or those who wait there are about to be asked.
    pub fn may_serve(&self, spot: Spot) -> bool {
        let line = self.waiters.lines.get(&spot);
        match line.and_then(|line| line.serving.as_ref()) {
            Some(serving) => serving.claim.is_none() && self.locks.is_granted(serving.ticket),
            None => self.may_run(spot.name, Mode::Exclusive),
        }
    }

    /// Answers [`Action::Look`]: the first of those who wait there for whom there is something.
    pub fn looked(&mut self, spot: Spot, claim: Option<ClaimId>) {
        match claim {
            Some(claim) => self.serve_claim(spot, claim),
            None => self.end_serving(spot),
        }
        self.settle();
    }

    fn serve_claim(&mut self, spot: Spot, claim: ClaimId) {
        self.waiters.serving(spot).claim = Some(claim);
        self.waiters.forget(claim);
        if claim.home != self.shard {
            self.send(claim.home, Body::Claim { claim, spot });
        } else if self.take_claim(claim, Some(self.shard)) {
            self.serve(spot, claim);
        } else {
            self.actions.push_back(Action::Look { spot });
        }
    }

    pub(crate) fn on_claim(&mut self, from: ShardId, claim: ClaimId, spot: Spot) {
        let granted = self.take_claim(claim, Some(from));
        let body = Body::Claimed {
            claim,
            spot,
            granted,
        };
        self.send(from, body);
    }

    pub(crate) fn on_claimed(&mut self, claim: ClaimId, spot: Spot, granted: bool) {
        assert!(
            self.waiters.serving(spot).claim == Some(claim),
            "the answer is to the last question"
        );
        if granted {
            self.serve(spot, claim);
        } else {
            self.actions.push_back(Action::Look { spot });
        }
    }

    fn serve(&mut self, spot: Spot, claim: ClaimId) {
        let at = self.stamp();
        self.actions.push_back(Action::Serve {
            spot,
            claim,
            time_ms: at.time_ms,
            epoch: at.epoch,
        });
    }

    /// Answers [`Action::Serve`] with what was taken.
    pub fn served(&mut self, spot: Spot, payload: P) {
        let claim = self.waiters.serving(spot).claim.take();
        let claim = claim.expect("only a claim is served");
        self.send(claim.home, Body::Served { claim, payload });
        self.actions.push_back(Action::Look { spot });
        self.settle();
    }

    fn end_serving(&mut self, spot: Spot) {
        let line = self.waiters.lines.get_mut(&spot);
        let line = line.expect("a spot keeps its place while it serves");
        let serving = line.serving.take().expect("who ends serving serves");
        if line.waiting.is_empty() {
            self.waiters.lines.remove(&spot);
        }
        self.locks.release(serving.ticket);
    }
}
