//! The part of the tree above the leaves: how many elements are in each branch, and where one branch
//! ends and the next begins.

use super::leaf::Leaf;
use super::leaf::Longs;

/// Most branches of a node.
pub(super) const FANOUT: usize = 64;

/// A boundary between two branches: not after the first element of the right one, after the last of the
/// left one, and no longer than that needs. Where the scores differ, it has no member.
#[derive(Clone)]
pub(super) struct Separator {
    pub(super) score: f64,
    pub(super) member: Box<[u8]>,
}

impl Separator {
    /// Between two leaves that are not empty.
    pub(super) fn between(left: &Leaf, right: &Leaf, longs: &Longs) -> Separator {
        let last = left.len() - 1;
        let score = right.score(0);
        let member: &[u8] = if left.score(last) < score {
            &[]
        } else {
            let (a, b) = (left.member(last, longs), right.member(0, longs));
            let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            &b[..(shared + 1).min(b.len())]
        };
        Separator {
            score,
            member: member.into(),
        }
    }
}

/// A node, with one separator less than branches.
#[derive(Clone, Default)]
pub(super) struct Inner {
    scores: Vec<f64>,
    members: Vec<Box<[u8]>>,
    pub(super) counts: Vec<u64>,
    pub(super) nodes: Vec<u32>,
}

impl Inner {
    /// A node of two branches.
    pub(super) fn of(left: (u32, u64), separator: Separator, right: (u32, u64)) -> Box<Inner> {
        Box::new(Inner {
            scores: vec![separator.score],
            members: vec![separator.member],
            counts: vec![left.1, right.1],
            nodes: vec![left.0, right.0],
        })
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The branch in which an element is, or would be.
    #[inline]
    pub(super) fn place(&self, score: f64, member: &[u8]) -> usize {
        let mut low = self.scores.partition_point(|s| *s < score);
        if self.scores.get(low) != Some(&score) {
            return low;
        }
        let mut high = low + self.scores[low..].partition_point(|s| *s == score);
        while low < high {
            let middle = low.midpoint(high);
            if *self.members[middle] <= *member {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The branch with the first element that is not before a boundary.
    pub(super) fn boundary(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.scores.len());
        while low < high {
            let middle = low.midpoint(high);
            if before(self.scores[middle], &self.members[middle]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Elements before a branch.
    #[inline]
    pub(super) fn before(&self, at: usize) -> u64 {
        self.counts[..at].iter().sum()
    }

    /// The branch of an element by its rank, and its rank there.
    #[inline]
    pub(super) fn ranked(&self, rank: u64) -> (usize, u64) {
        let (mut at, mut left) = (0, rank);
        for count in &self.counts {
            if left < *count || at + 1 == self.counts.len() {
                break;
            }
            left -= count;
            at += 1;
        }
        (at, left)
    }

    /// Adds a branch to the right of a place, whose elements were counted there.
    pub(super) fn insert(&mut self, at: usize, separator: Separator, node: u32, count: u64) {
        self.counts[at] -= count;
        self.scores.insert(at, separator.score);
        self.members.insert(at, separator.member);
        self.counts.insert(at + 1, count);
        self.nodes.insert(at + 1, node);
    }

    /// Takes a branch out.
    pub(super) fn remove(&mut self, at: usize) {
        self.counts.remove(at);
        self.nodes.remove(at);
        if !self.scores.is_empty() {
            self.take_separator(at.saturating_sub(1));
        }
    }

    fn take_separator(&mut self, at: usize) -> Separator {
        Separator {
            score: self.scores.remove(at),
            member: self.members.remove(at),
        }
    }

    /// Cuts off the right half.
    pub(super) fn split(&mut self) -> (Separator, Box<Inner>) {
        let middle = self.len() / 2;
        let right = Inner {
            scores: self.scores.split_off(middle),
            members: self.members.split_off(middle),
            counts: self.counts.split_off(middle),
            nodes: self.nodes.split_off(middle),
        };
        (self.take_separator(middle - 1), Box::new(right))
    }

    /// The two neighbours that a branch would be joined in.
    pub(super) fn neighbours(&self, at: usize) -> Option<(usize, usize)> {
        if at + 1 < self.len() {
            Some((at, at + 1))
        } else {
            Some((at.checked_sub(1)?, at))
        }
    }

    /// Says that the branches of a place and of the next one are one now.
    pub(super) fn joined(&mut self, at: usize) -> Separator {
        let count = self.counts.remove(at + 1);
        self.counts[at] += count;
        self.nodes.remove(at + 1);
        self.take_separator(at)
    }

    /// Adds the branches of the node to the right.
    pub(super) fn absorb(&mut self, separator: Separator, right: Inner) {
        self.scores.push(separator.score);
        self.scores.extend(right.scores);
        self.members.push(separator.member);
        self.members.extend(right.members);
        self.counts.extend(right.counts);
        self.nodes.extend(right.nodes);
    }

    pub(super) fn memory(&self) -> usize {
        let members: usize = self.members.iter().map(|m| m.len()).sum();
        size_of::<Inner>()
            + self.scores.capacity() * size_of::<f64>()
            + self.members.capacity() * size_of::<Box<[u8]>>()
            + self.counts.capacity() * size_of::<u64>()
            + self.nodes.capacity() * size_of::<u32>()
            + members
    }
}
