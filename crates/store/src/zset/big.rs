//! A big sorted set: the tree that has its elements in order, and the table that finds members in it.

use super::Direction;
use super::members::{Members, mark};
use super::tree::{Range, Tree};

#[derive(Clone)]
pub struct Big {
    tree: Tree,
    members: Members,
}

impl Big {
    pub(super) fn new() -> Big {
        Big {
            tree: Tree::new(),
            members: Members::new(),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    #[inline]
    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        let mark = mark(member);
        let mut leaves = self.members.leaves(mark);
        leaves.find_map(|leaf| self.tree.score_in(leaf, member, mark))
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.tree.rank(score, member), score))
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) {
        let leaf = self.tree.insert(score, member, &mut self.members);
        self.members.insert(mark(member), leaf);
    }

    /// Adds a member that is not there, behind all that are.
    pub(super) fn push(&mut self, member: &[u8], score: f64) {
        let leaf = self.tree.push(score, member, &mut self.members);
        self.members.insert(mark(member), leaf);
    }

    /// Gives a member that is there with a score another one.
    pub(super) fn rescore(&mut self, member: &[u8], old: f64, new: f64) {
        let (from, to) = self.tree.rescore(old, new, member, &mut self.members);
        if from != to {
            self.members.relocate(mark(member), from, to);
        }
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.score(member)?;
        self.tree.remove(score, member, &mut self.members);
        Some(score)
    }

    /// Removes `n` elements from a rank on, showing each before.
    pub(super) fn remove_ranks(&mut self, rank: usize, n: usize, mut each: impl FnMut(&[u8], f64)) {
        let mut left = n.min(self.len().saturating_sub(rank));
        while left > 0 {
            let members = &mut self.members;
            left -= self.tree.remove_ranked(rank, left, members, &mut each);
        }
    }

    #[inline]
    pub(super) fn range(&self, rank: usize, n: usize, direction: Direction) -> Range<'_> {
        self.tree.range(rank, n, direction)
    }

    /// How many elements are before a boundary: `before` holds up to it and not beyond.
    pub(super) fn boundary(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.tree.boundary(before)
    }

    /// Shows at least `n` elements, if there are as many, and answers the cursor to go on with.
    pub(super) fn scan(&self, cursor: u64, n: usize, mut each: impl FnMut(&[u8], f64)) -> u64 {
        let mut seen = 0;
        let mut at = cursor as u32;
        while seen < n {
            at = self.members.scan(at, |mark, leaf| {
                self.tree.marked(leaf, mark, |member, score| {
                    seen += 1;
                    each(member, score);
                });
            });
            if at == 0 {
                break;
            }
        }
        u64::from(at)
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Big>() + self.tree.memory() + self.members.memory()
    }

    pub(super) fn weight(&self) -> usize {
        self.tree.allocations() + self.members.count()
    }

    pub(super) fn free_some(&mut self, budget: usize) -> bool {
        let left = self.members.drop_some(budget);
        self.tree.drop_some(left) > 0
    }
}
