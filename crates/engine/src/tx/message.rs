//! What engines send each other.

use super::{Stage, TxId};
use crate::epoch::Epoch;
use crate::locks::Want;
use crate::waiters::{ClaimId, Spot};

/// One message between two engines. The host carries it without looking inside, in order per pair of
/// shards and lane, and never loses it.
#[derive(Debug)]
pub struct Message<P> {
    pub(crate) stamp: Stamp,
    pub(crate) body: Body<P>,
}

impl<P> Message<P> {
    /// The part of a transaction that it brings, to be executed or answered.
    pub fn payload(&self) -> Option<&P> {
        match &self.body {
            Body::Lock { payload, .. } => payload.as_ref(),
            Body::Run { payload, .. } | Body::Grow { payload, .. } => Some(payload),
            _ => None,
        }
    }

    /// Its lane: requests may have to wait until the receiver has room, replies must always be taken.
    pub fn is_reply(&self) -> bool {
        match &self.body {
            Body::Lock { .. }
            | Body::Run { .. }
            | Body::Release { .. }
            | Body::Cancel { .. }
            | Body::Grow { .. }
            | Body::Commit { .. }
            | Body::TokenAsk { .. }
            | Body::TokenBack
            | Body::Claim { .. }
            | Body::Forget { .. } => false,
            Body::Granted { .. }
            | Body::Refused { .. }
            | Body::Done { .. }
            | Body::Called { .. }
            | Body::Released { .. }
            | Body::Yield { .. }
            | Body::TokenGiven { .. }
            | Body::Claimed { .. }
            | Body::Served { .. } => true,
        }
    }
}

/// What a shard has seen of time and epochs. Whoever hears of it does not run behind it, so that
/// what follows from a message is not older than what led to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    pub time_ms: i64,
    pub epoch: Epoch,
}

/// How a lock is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// Now or not at all.
    Try,
    /// First come, first served.
    Queue,
    /// Ahead of all who wait; for the one transaction that may.
    Press,
}

/// What happens when a lock is granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// The home is told, and the payload is not needed before it says so.
    Hold,
    /// The part runs and keeps the lock.
    Run(Stage),
    /// All other locks are held: the part runs and releases.
    RunRelease(Stage),
}

#[derive(Debug)]
pub(crate) enum Body<P> {
    // From the home.
    Lock {
        tx: TxId,
        want: Want,
        wait: Wait,
        then: Then,
        check: bool,
        payload: Option<P>,
    },
    /// Run a part; `keep` the lock or release it.
    Run {
        tx: TxId,
        payload: P,
        stage: Stage,
        keep: bool,
        at: Stamp,
    },
    Release {
        tx: TxId,
        undo: bool,
        answer: bool,
    },
    /// Give up waiting; without effect on what is granted. The lock's one answer says which it was.
    Cancel {
        tx: TxId,
    },
    /// A program's call that needs more names.
    Grow {
        tx: TxId,
        want: Want,
        wait: Wait,
        payload: P,
    },
    Commit {
        tx: TxId,
        at: Stamp,
    },
    TokenAsk {
        tx: TxId,
    },
    TokenBack,
    /// From the shard of a key that is ready to the home of who waits for it.
    Claim {
        claim: ClaimId,
        spot: Spot,
    },
    Forget {
        claim: ClaimId,
    },

    // To the home.
    Granted {
        tx: TxId,
        payload: Option<P>,
        ok: bool,
        /// Up to before when an answer from the grant is still right.
        valid_until_ms: i64,
    },
    Refused {
        tx: TxId,
        want: Want,
        payload: Option<P>,
    },
    Done {
        tx: TxId,
        payload: Option<P>,
        ok: bool,
        at: Stamp,
    },
    Called {
        tx: TxId,
        payload: P,
    },
    Released {
        tx: TxId,
    },
    Yield {
        tx: TxId,
    },
    TokenGiven {
        tx: TxId,
    },
    Claimed {
        claim: ClaimId,
        spot: Spot,
        granted: bool,
    },
    Served {
        claim: ClaimId,
        payload: P,
    },
}
