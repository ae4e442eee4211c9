//! A bounded ring of owned messages from one thread to one other.
//!
//! ```text
//!    popped, released │ popped │ published      │ pushed  │ free
//!  ───────────────────┼────────┼────────────────┼─────────┼──────────────► indices, never wrapped
//!                    head    popped            tail     pushed             slot = index & mask
//! ```
//!
//! `head` and `tail` are shared, each on a cache line of its own; `popped` belongs to the consumer
//! and `pushed` to the producer, which each keep a copy of the other's index too. Writing the shared
//! ones lazily, once per batch, is what makes a message cost a fraction of a cache miss.
//!
//! Safety. This is the crate's only module with unsafe code: the slots are cells that both threads
//! reach, and hold a message or nothing.
//!
//! 1. There is one [`Producer`] and one [`Consumer`]: neither can be cloned, all they do to slots
//!    takes `&mut self`, and they are made in a pair. So `pushed` and `popped` have one writer each.
//! 2. The producer writes only slots of indices in `pushed..head + capacity`, for a `head` that it
//!    has loaded. The consumer stored it with Release after it had moved out everything below, and
//!    the producer loaded it with Acquire: so the slot is empty, and the consumer is through with it.
//! 3. The consumer reads only slots of indices in `popped..tail`, for a `tail` that it has loaded.
//!    The producer stored it with Release after it had written everything below, and the consumer
//!    loaded it with Acquire: so the slot holds a message, whole, and the producer is through with it.
//! 4. `popped` grows with each message moved out, so none is moved out twice. Each end stores its
//!    index when it is dropped, so that `head..tail` are exactly the messages that are left when the
//!    last of them goes; the count of their `Arc` orders both before that drop.
//! 5. `head <= popped <= tail <= pushed <= head + capacity` always, and differences of wrapping
//!    indices are right as long as the capacity is far below the range of `usize`.
//!
//! Nothing is ever borrowed from a slot, and a message crosses threads by value, so `T: Send` is all
//! that either end asks.

use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, Padded, UnsafeCell};
use crate::sync::{publishing, releasing};
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

struct Ring<T> {
    /// What the producer writes.
    producer: Padded<ProducerLine>,
    /// Everything below it has been moved out.
    head: Padded<AtomicUsize>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

struct ProducerLine {
    /// Everything below it has been written.
    tail: AtomicUsize,
    /// Whether the producer sleeps, or is about to, until there is room.
    awaits_room: AtomicBool,
}

// SAFETY: the two ends move messages between threads by value, and see to it that no slot is used by
// both at once (the module's points 2 and 3).
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: the same.
unsafe impl<T: Send> Sync for Ring<T> {}

/// Takes `Sync` from the ends. A `Cell` may be sent, not shared.
type NotSync = PhantomData<Cell<()>>;

/// The end that messages go into.
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
    pushed: usize,
    published: usize,
    /// The newest known.
    head: usize,
    _not_sync: NotSync,
}

/// The end that messages come out of.
pub struct Consumer<T> {
    ring: Arc<Ring<T>>,
    popped: usize,
    released: usize,
    /// The newest known.
    tail: usize,
    _not_sync: NotSync,
}

/// A ring for `capacity` messages, a power of two.
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity.is_power_of_two() && capacity <= usize::MAX / 4);
    let ring = Arc::new(Ring {
        producer: Padded(ProducerLine {
            tail: AtomicUsize::new(0),
            awaits_room: AtomicBool::new(false),
        }),
        head: Padded(AtomicUsize::new(0)),
        slots: (0..capacity)
            .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
            .collect(),
    });
    let producer = Producer {
        ring: ring.clone(),
        pushed: 0,
        published: 0,
        head: 0,
        _not_sync: PhantomData,
    };
    let consumer = Consumer {
        ring,
        popped: 0,
        released: 0,
        tail: 0,
        _not_sync: PhantomData,
    };
    (producer, consumer)
}

impl<T> Ring<T> {
    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[index & (self.slots.len() - 1)]
    }

    /// Moves the message out of a slot.
    ///
    /// # Safety
    ///
    /// The slot holds a message, nobody else uses the slot, and nobody reads it again.
    unsafe fn take(&self, index: usize) -> T {
        self.slot(index).with_mut(|slot| {
            // SAFETY: the caller's promise.
            unsafe { (*slot).assume_init_read() }
        })
    }
}

impl<T> Producer<T> {
    /// Puts a message in, which the consumer sees after [`Producer::publish`]. Gives it back when
    /// there is no room.
    #[inline]
    pub fn push(&mut self, message: T) -> Result<(), T> {
        if self.is_full() && !self.has_room() {
            return Err(message);
        }
        self.ring.slot(self.pushed).with_mut(|slot| {
            // SAFETY: the slot is free, and ours until it is published (the module's point 2).
            unsafe { (*slot).write(message) };
        });
        self.pushed = self.pushed.wrapping_add(1);
        Ok(())
    }

    /// Shows the consumer what was pushed. Tells whether there was anything.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.published == self.pushed {
            return false;
        }
        self.published = self.pushed;
        let tail = &self.ring.producer.0.tail;
        tail.store(self.published, publishing());
        true
    }

    /// Whether everything pushed has been published.
    #[inline]
    pub fn is_published(&self) -> bool {
        self.published == self.pushed
    }

    /// Whether a message can be pushed, by what the consumer says now.
    pub fn has_room(&mut self) -> bool {
        self.head = self.ring.head.0.load(Ordering::Acquire);
        !self.is_full()
    }

    /// Says whether the consumer has to wake this end when it makes room.
    pub fn await_room(&mut self, awaits: bool) {
        let flag = &self.ring.producer.0.awaits_room;
        flag.store(awaits, Ordering::Relaxed);
    }

    /// By the newest known head, which can only have grown.
    #[inline]
    fn is_full(&self) -> bool {
        self.pushed.wrapping_sub(self.head) == self.ring.slots.len()
    }
}

impl<T> Consumer<T> {
    /// Looks what has been published, and tells how many messages [`Consumer::pop`] has to give.
    #[inline]
    pub fn look(&mut self) -> usize {
        self.tail = self.ring.producer.0.tail.load(Ordering::Acquire);
        self.tail.wrapping_sub(self.popped)
    }

    /// The next of the messages that the last [`Consumer::look`] saw.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.popped == self.tail {
            return None;
        }
        // SAFETY: the slot holds a message, which is ours (the module's point 3), and the next line
        // makes it the last time that it is read (point 4).
        let message = unsafe { self.ring.take(self.popped) };
        self.popped = self.popped.wrapping_add(1);
        Some(message)
    }

    /// Gives the room of what was popped back to the producer. Tells whether there was any.
    #[inline]
    pub fn release(&mut self) -> bool {
        if self.released == self.popped {
            return false;
        }
        self.released = self.popped;
        self.ring.head.0.store(self.released, releasing());
        true
    }

    /// Whether everything published has been popped. Costs one load of the producer's line.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ring.producer.0.tail.load(Ordering::Acquire) == self.popped
    }

    /// Whether the producer is to be woken, now that there is room.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        let flag = &self.ring.producer.0.awaits_room;
        flag.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.publish();
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // The model checker, once it has found a fault, would find it again here and abort.
        if cfg!(loom) && std::thread::panicking() {
            return;
        }
        let tail = self.producer.0.tail.load(Ordering::Relaxed);
        let mut index = self.head.0.load(Ordering::Relaxed);
        while index != tail {
            // SAFETY: both ends are gone, and left exactly these messages (the module's point 4).
            drop(unsafe { self.take(index) });
            index = index.wrapping_add(1);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
