//! Bugs that the simulator plants, to show that its checks would find them.
//!
//! Without the feature `faults`, which only the tests' package turns on, [`Faults::has`] is the
//! constant `false`.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Parts of a write run as soon as their own shard has granted them.
    WriteBeforeLastGrant,
    /// A read's locks go as soon as its part has run.
    LockReleasedEarly,
    /// The client is answered when the first shard has granted.
    ReplyBeforeLastShard,
    /// A released name does not grant the next in its line.
    WakeUpLost,
    /// An epoch is sealed though a transaction that belongs to it has not run.
    SealMissesPart,
    /// A claim is given to everybody who asks for it.
    ServedTwice,
    /// A try looks at who has a name, not at who waits for it.
    TryBarges,
    /// A program waits for the names that it finds it needs.
    GrowthWaits,
    /// A program that has to restart leaves its changes where they are.
    UndoForgotten,
    /// Nobody yields to the transaction that may press.
    NoYield,
    /// Checks are answered yes.
    CheckIgnored,
    /// A part that ran at its grant is not run again when the transaction's time is later.
    TimeNotAgreed,
    /// A push does not look for waiters.
    ReadyForgotten,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Faults(Option<Fault>);

impl Faults {
    #[inline]
    pub fn has(self, fault: Fault) -> bool {
        cfg!(feature = "faults") && self.0 == Some(fault)
    }

    #[cfg(feature = "faults")]
    pub fn plant(fault: Fault) -> Faults {
        Faults(Some(fault))
    }
}
