//! A shard's epochs: which writes belong to the same step of the effect stream.
//!
//! Every write carries the epoch in which it ran. A transaction's epoch is at least every epoch in
//! which one of its parts was granted, and a shard that runs a part moves on to the transaction's
//! epoch; so whatever a write depends on has its own epoch or an earlier one, and the writes of all
//! shards up to an epoch are a state that some moment could have had. A shard *seals* an epoch when
//! nothing can be added to it any more: it has moved past it, and no transaction that was granted to
//! it then or before is still to run.

use std::collections::VecDeque;

pub type Epoch = u64;

#[derive(Debug)]
pub(crate) struct Epochs {
    current: Epoch,
    sealed: Epoch,
    /// How many transactions granted in an epoch have not run, oldest epoch first.
    open: VecDeque<(Epoch, u32)>,
}

impl Epochs {
    pub fn new() -> Epochs {
        Epochs {
            current: 1,
            sealed: 0,
            open: VecDeque::new(),
        }
    }

    #[inline]
    pub fn current(&self) -> Epoch {
        self.current
    }

    /// Moves on to an epoch, never back.
    #[inline]
    pub fn advance(&mut self, to: Epoch) {
        self.current = self.current.max(to);
    }

    /// A transaction that may write has been granted: nothing from now on is sealed before it has
    /// run. Answers the epoch to close.
    pub fn open(&mut self) -> Epoch {
        match self.open.back_mut() {
            Some((epoch, count)) if *epoch == self.current => *count += 1,
            _ => self.open.push_back((self.current, 1)),
        }
        self.current
    }

    /// A transaction that was granted in this epoch has run, or has given up.
    pub fn close(&mut self, epoch: Epoch) {
        let at = self
            .open
            .binary_search_by_key(&epoch, |open| open.0)
            .expect("what is closed was opened");
        self.open[at].1 -= 1;
        while let Some((_, 0)) = self.open.front() {
            self.open.pop_front();
        }
    }

    #[inline]
    pub fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The last epoch that can be sealed now, if it was not before.
    pub fn seal(&mut self, ignore_open: bool) -> Option<Epoch> {
        let open = self.open.front().map_or(self.current, |open| open.0);
        let last = if ignore_open { self.current } else { open } - 1;
        if last <= self.sealed {
            return None;
        }
        self.sealed = last;
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_sealed_when_nothing_can_join_it() {
        let mut epochs = Epochs::new();
        assert_eq!(epochs.seal(false), None);
        let first = epochs.open();
        epochs.advance(3);
        assert_eq!(epochs.seal(false), None);
        let (second, third) = (epochs.open(), epochs.open());
        epochs.advance(2);
        epochs.advance(9);
        epochs.close(second);
        assert_eq!(epochs.seal(false), None);
        epochs.close(first);
        assert_eq!(epochs.seal(false), Some(2));
        epochs.close(third);
        assert_eq!(epochs.seal(false), Some(8));
        assert_eq!(epochs.seal(false), None);
        assert_eq!(epochs.current(), 9);
    }

    #[test]
    fn the_planted_bug_seals_too_much() {
        let mut epochs = Epochs::new();
        epochs.open();
        epochs.advance(2);
        assert_eq!(epochs.seal(true), Some(1));
    }
}
