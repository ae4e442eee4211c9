//! What the cores synchronise by: std's primitives, or the model checker's under `--cfg loom`.
//!
//! The few orderings that everything rests on are functions here, so that a test can weaken one of
//! them and see that the model checker minds.

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
#[cfg(not(loom))]
pub use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// std's cell, with the model checker's way of getting at it.
#[cfg(not(loom))]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A line of the cache to itself; two, since x86 fetches lines in pairs.
#[repr(align(128))]
pub struct Padded<T>(pub T);

/// The side of a [`fence`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Wrote a ring's index, and will look whether the other end sleeps or waits.
    Busy,
    /// Said that it sleeps or waits, and will look at the rings once more.
    Sleepy,
}

/// Orders what was stored before against what is loaded after, for both sides of such a pair: of two
/// threads that each store, fence, and load what the other stores, at least one sees the other's.
#[inline]
pub fn fence(side: Side) {
    if !weakened::is(weakened::Weak::Fence(side)) {
        #[cfg(loom)]
        loom::sync::atomic::fence(Ordering::SeqCst);
        #[cfg(not(loom))]
        std::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// How a ring's tail is stored, so that whoever sees it sees the messages before it.
#[inline]
pub fn publishing() -> Ordering {
    if weakened::is(weakened::Weak::Publish) {
        Ordering::Relaxed
    } else {
        Ordering::Release
    }
}

/// How a ring's head is stored, so that whoever sees it may write over what was before it.
#[inline]
pub fn releasing() -> Ordering {
    if weakened::is(weakened::Weak::Release) {
        Ordering::Relaxed
    } else {
        Ordering::Release
    }
}

/// Faults that tests plant.
pub mod weakened {
    use super::Side;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Weak {
        Fence(Side),
        Publish,
        Release,
    }

    #[cfg(not(all(loom, test)))]
    #[inline]
    pub fn is(_: Weak) -> bool {
        false
    }

    #[cfg(all(loom, test))]
    pub use planted::*;

    #[cfg(all(loom, test))]
    mod planted {
        use super::Weak;
        use std::cell::Cell;

        // The model checker runs all threads of a model on the thread of its test.
        std::thread_local! {
            static PLANTED: Cell<Option<Weak>> = const { Cell::new(None) };
        }

        pub fn is(weak: Weak) -> bool {
            PLANTED.get() == Some(weak)
        }

        /// For the rest of this test.
        pub fn plant(weak: Weak) {
            PLANTED.set(Some(weak));
        }
    }
}
