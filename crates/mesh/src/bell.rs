//! How a core that may sleep is told that there is something for it.
//!
//! ```text
//!   core that wants to sleep                a core that has something for it
//!   1. asleep = true                        1. publish (a ring's tail, or a head)
//!   2. fence                                2. fence
//!   3. look at all rings                    3. load asleep
//!   4. nothing: sleep; else wake_up()       4. true: swap it; whoever gets true back wakes the core
//! ```
//!
//! The two fences order each side's store before its load, for all threads alike. Were both loads to
//! miss the other side's store, each fence would have come before the other. So either the sleeper
//! finds what was published, or the publisher finds it asleep: no wake-up is lost. The swap has one
//! winner per sleep: none is needless. A publisher that finds the core awake, by far the commonest
//! case under load, has only read a cache line that nobody writes.
//!
//! Sleeping and waking themselves (a ring of the kernel, an eventfd) are the host's. They have to
//! remember a wake-up that comes before the sleep, as both of those do.

use crate::sync::{AtomicBool, Ordering, Padded, Side, fence};

/// One per core that may sleep, shared with all that may have to wake it.
pub struct Bell {
    asleep: Padded<AtomicBool>,
}

impl Default for Bell {
    fn default() -> Bell {
        Bell {
            asleep: Padded(AtomicBool::new(false)),
        }
    }
}

impl Bell {
    /// Announces that this core is about to sleep. It has to look at everything that it can be
    /// woken for once more after this, and sleep only if there is nothing.
    pub fn prepare_sleep(&self) {
        // Every write of the flag is a swap, so that each knows of the one before it. It would be
        // right as a plain store too, but only by an argument that the model checker does not know.
        self.asleep.0.swap(true, Ordering::AcqRel);
        fence(Side::Sleepy);
    }

    /// Takes the announcement back, before or after sleeping. True if another core has rung: its
    /// wake-up has come or will come.
    pub fn wake_up(&self) -> bool {
        !self.asleep.0.swap(false, Ordering::AcqRel)
    }

    /// Whether the caller, and nobody else, has to wake this core. Between what it published and
    /// this there has to be a `fence(Side::Busy)`, which one batch for many cores needs only once.
    pub fn ring(&self) -> bool {
        self.asleep.0.load(Ordering::Relaxed) && self.asleep.0.swap(false, Ordering::AcqRel)
    }
}
