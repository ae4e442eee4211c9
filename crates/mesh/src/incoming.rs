//! One kind of message from all other cores.
//!
//! A drain takes what each of them had published when it began, and no more: it is bounded by the
//! rings' capacity, and a core that publishes without end cannot hold up the others. The next drain
//! begins with another core.

use crate::ring::Consumer;

pub struct Incoming<T> {
    rings: Vec<Consumer<T>>,
    /// Where the next drain begins.
    first: usize,
    /// Rings with messages of this drain, in its order.
    ready: Vec<usize>,
    /// The one of `ready` that is being emptied.
    at: usize,
    /// Rings that got room and whose producers may have to be woken for it.
    released: Vec<usize>,
}

impl<T> Incoming<T> {
    pub fn new(rings: Vec<Consumer<T>>) -> Incoming<T> {
        Incoming {
            ready: Vec::with_capacity(rings.len()),
            released: Vec::with_capacity(rings.len()),
            rings,
            first: 0,
            at: 0,
        }
    }

    /// What the last drain left is part of this one.
    pub fn begin_drain(&mut self) {
        self.release();
        self.ready.clear();
        self.at = 0;
        let n = self.rings.len();
        for link in (self.first..n).chain(0..self.first) {
            if self.rings[link].look() > 0 {
                self.ready.push(link);
            }
        }
        self.first = if self.first + 1 < n {
            self.first + 1
        } else {
            0
        };
    }

    /// The next message of this drain, with the link that it came by.
    #[inline]
    pub fn receive(&mut self) -> Option<(usize, T)> {
        while let Some(&link) = self.ready.get(self.at) {
            if let Some(message) = self.rings[link].pop() {
                return Some((link, message));
            }
            self.release();
            self.at += 1;
        }
        None
    }

    /// Gives room back for what was taken of the ring that is being emptied; of those before it, that
    /// has been done.
    pub fn release(&mut self) {
        if let Some(&link) = self.ready.get(self.at)
            && self.rings[link].release()
        {
            self.released.push(link);
        }
    }

    /// Whether room was given back that [`Incoming::awaited`] has not been asked about.
    pub fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    /// The links whose producers wait for the room that was given back. After a fence.
    pub fn awaited(&mut self, mut f: impl FnMut(usize)) {
        for link in self.released.drain(..) {
            if self.rings[link].is_awaited() {
                f(link);
            }
        }
    }

    /// Whether no other core has published anything that was not received.
    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(Consumer::is_empty)
    }
}
