//! One lane's way out: a ring, and behind it a queue for what does not fit.

use crate::ring::Producer;
use std::collections::VecDeque;

/// Messages of one kind to one other core, in order. Sending never blocks and never fails.
pub struct Outgoing<T> {
    ring: Producer<T>,
    /// Younger than everything in the ring.
    outbox: VecDeque<T>,
}

impl<T> Outgoing<T> {
    pub fn new(ring: Producer<T>) -> Outgoing<T> {
        Outgoing {
            ring,
            outbox: VecDeque::new(),
        }
    }

    #[inline]
    pub fn send(&mut self, message: T) {
        if !self.outbox.is_empty() {
            self.outbox.push_back(message);
        } else if let Err(message) = self.ring.push(message) {
            self.outbox.push_back(message);
        }
    }

    /// Fills the ring from the outbox and publishes it. Tells whether there was anything new.
    pub fn publish(&mut self) -> bool {
        while let Some(message) = self.outbox.pop_front() {
            if let Err(message) = self.ring.push(message) {
                self.outbox.push_front(message);
                break;
            }
        }
        self.ring.publish()
    }

    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// Asks the consumer for a wake-up once there is room, if the outbox needs any.
    pub fn await_room(&mut self) {
        if !self.outbox.is_empty() {
            self.ring.await_room(true);
        }
    }

    pub fn cease_to_await_room(&mut self) {
        self.ring.await_room(false);
    }

    /// Whether something in the outbox could go.
    pub fn can_go_on(&mut self) -> bool {
        !self.outbox.is_empty() && self.ring.has_room()
    }
}
