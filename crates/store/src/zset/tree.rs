//! The order of a big sorted set: a B+-tree by score and member, with the number of elements in each
//! branch, so that an element's rank is found as fast as the element.
//!
//! Nodes have numbers. A leaf keeps its number while it lives, which is what the table of members stands
//! on; when a split or a join moves elements to another leaf, the table is told.

use super::Direction;
use super::inner::{FANOUT, Inner, Separator};
use super::leaf::{FULL, Leaf, Longs};
use super::members::{Mark, Members, mark};
use super::slots::Slots;

/// A leaf with fewer elements looks for a neighbour to join.
const SPARSE: usize = FULL / 4;
/// Most elements of a leaf that was joined.
const JOINED: usize = FULL * 3 / 4;

/// A way down: nodes, and the branch taken at each.
struct Path {
    steps: [(u32, u32); Path::MAX],
    len: usize,
}

impl Path {
    /// Two neighbours have more than half of the branches of one full node between them, so this is
    /// out of reach.
    const MAX: usize = 20;

    fn new() -> Path {
        Path {
            steps: [(0, 0); Path::MAX],
            len: 0,
        }
    }

    #[inline]
    fn push(&mut self, node: u32, at: usize) {
        self.steps[self.len] = (node, at as u32);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<(u32, usize)> {
        self.len = self.len.checked_sub(1)?;
        let (node, at) = self.steps[self.len];
        Some((node, at as usize))
    }

    #[inline]
    fn steps(&self) -> impl Iterator<Item = (u32, usize)> {
        let steps = self.steps[..self.len].iter();
        steps.map(|(node, at)| (*node, *at as usize))
    }
}

#[derive(Clone)]
pub(super) struct Tree {
    leaves: Slots<Box<Leaf>>,
    inners: Slots<Box<Inner>>,
    longs: Longs,
    root: u32,
    /// Levels above the leaves.
    height: usize,
    len: usize,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let mut leaves = Slots::new();
        let root = leaves.put(Leaf::new());
        Tree {
            leaves,
            inners: Slots::new(),
            longs: Slots::new(),
            root,
            height: 0,
            len: 0,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The score of a member that may be in a leaf.
    #[inline]
    pub(super) fn score_in(&self, leaf: u32, member: &[u8], mark: Mark) -> Option<f64> {
        let leaf = self.leaves.get(leaf);
        Some(leaf.score(leaf.find(member, mark, &self.longs)?))
    }

    /// Calls `found` with the members of a leaf whose hash has this mark.
    pub(super) fn marked(&self, leaf: u32, wanted: Mark, mut found: impl FnMut(&[u8], f64)) {
        let leaf = self.leaves.get(leaf);
        for at in leaf.marked(wanted) {
            let member = leaf.member(at, &self.longs);
            if mark(member) == wanted {
                found(member, leaf.score(at));
            }
        }
    }

    /// Goes down with `choose`; answers the leaf.
    #[inline]
    fn descend(&self, path: &mut Path, mut choose: impl FnMut(&Inner) -> usize) -> u32 {
        let mut node = self.root;
        for _ in 0..self.height {
            let inner = self.inners.get(node);
            let at = choose(inner);
            path.push(node, at);
            node = inner.nodes[at];
        }
        node
    }

    /// Elements before an element that is there.
    pub(super) fn rank(&self, score: f64, member: &[u8]) -> usize {
        let mut rank = 0;
        let leaf = self.descend(&mut Path::new(), |inner| {
            let at = inner.place(score, member);
            rank += inner.before(at);
            at
        });
        rank as usize + self.leaves.get(leaf).place(score, member, &self.longs)
    }

    /// Elements before a boundary: `before` holds up to it and not beyond.
    pub(super) fn boundary(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        let mut rank = 0;
        let leaf = self.descend(&mut Path::new(), |inner| {
            let at = inner.boundary(&before);
            rank += inner.before(at);
            at
        });
        rank as usize + self.leaves.get(leaf).boundary(&self.longs, before)
    }

    /// The leaf of a rank, and the place there.
    fn ranked(&self, path: &mut Path, rank: usize) -> (u32, usize) {
        let mut left = rank as u64;
        let leaf = self.descend(path, |inner| {
            let (at, there) = inner.ranked(left);
            left = there;
            at
        });
        (leaf, left as usize)
    }

    /// `n` elements from a rank on, in a direction; fewer if there are not as many.
    pub(super) fn range(&self, rank: usize, n: usize, direction: Direction) -> Range<'_> {
        let behind = match direction {
            Direction::Up => self.len.saturating_sub(rank),
            Direction::Down => (rank + 1).min(self.len),
        };
        Range {
            tree: self,
            leaf: None,
            at: 0,
            rank,
            left: if rank < self.len { n.min(behind) } else { 0 },
            direction,
        }
    }

    /// Adds a member that is not there; answers its leaf.
    pub(super) fn insert(&mut self, score: f64, member: &[u8], members: &mut Members) -> u32 {
        let mut path = Path::new();
        let leaf = self.descend(&mut path, |inner| inner.place(score, member));
        self.insert_in(path, leaf, score, member, members)
    }

    /// [`Tree::insert`] behind everything that is there.
    pub(super) fn push(&mut self, score: f64, member: &[u8], members: &mut Members) -> u32 {
        let mut path = Path::new();
        let leaf = self.descend(&mut path, |inner| inner.len() - 1);
        self.insert_in(path, leaf, score, member, members)
    }

    fn insert_in(
        &mut self,
        path: Path,
        left: u32,
        score: f64,
        member: &[u8],
        members: &mut Members,
    ) -> u32 {
        let mark = mark(member);
        self.len += 1;
        let mut is_last = true;
        for (node, at) in path.steps() {
            let inner = self.inners.get_mut(node);
            inner.counts[at] += 1;
            is_last &= at + 1 == inner.len();
        }
        let leaf = self.leaves.get_mut(left);
        let at = leaf.place(score, member, &self.longs);
        if leaf.len() < FULL {
            leaf.insert(at, score, member, mark, &mut self.longs);
            return left;
        }
        // Who adds in order gets full leaves.
        let in_order = is_last && at == FULL;
        let cut = if in_order { FULL } else { FULL / 2 };
        let right = self.leaves.put(Leaf::new());
        self.move_elements(left, cut, right, members);
        let (target, at) = if at > cut || in_order {
            (right, at - cut)
        } else {
            (left, at)
        };
        let leaf = self.leaves.get_mut(target);
        leaf.insert(at, score, member, mark, &mut self.longs);
        self.hang(path, left, right);
        target
    }

    /// Moves elements from a place on to the end of another leaf.
    fn move_elements(&mut self, from: u32, at: usize, to: u32, members: &mut Members) {
        let (source, target) = self.leaves.pair_mut(from, to);
        for i in at..source.len() {
            let member = source.member(i, &self.longs);
            members.relocate(mark(member), from, to);
        }
        source.move_to(at, target);
    }

    /// Hangs a leaf into the tree, to the right of the one that the path leads to.
    fn hang(&mut self, mut path: Path, left: u32, right: u32) {
        let (left, new) = (self.leaves.get(left), self.leaves.get(right));
        let mut separator = Separator::between(left, new, &self.longs);
        let (mut node, mut count) = (right, new.len() as u64);
        while let Some((parent, at)) = path.pop() {
            let inner = self.inners.get_mut(parent);
            inner.insert(at, separator, node, count);
            if inner.len() <= FANOUT {
                return;
            }
            let (between, half) = inner.split();
            count = half.total();
            separator = between;
            node = self.inners.put(half);
        }
        let rest = self.len as u64 - count;
        let root = Inner::of((self.root, rest), separator, (node, count));
        self.root = self.inners.put(root);
        self.height += 1;
    }

    /// Removes an element that is there, from the table too.
    pub(super) fn remove(&mut self, score: f64, member: &[u8], members: &mut Members) {
        let mut path = Path::new();
        let leaf = self.descend(&mut path, |inner| inner.place(score, member));
        let at = self.leaves.get(leaf).place(score, member, &self.longs);
        members.remove(mark(member), leaf);
        self.remove_in(path, leaf, at, 1, members);
    }

    /// Removes up to `n` elements from a rank on, as far as one leaf goes, from the table too, after
    /// showing them; answers how many.
    pub(super) fn remove_ranked(
        &mut self,
        rank: usize,
        n: usize,
        members: &mut Members,
        mut each: impl FnMut(&[u8], f64),
    ) -> usize {
        let mut path = Path::new();
        let (number, at) = self.ranked(&mut path, rank);
        let leaf = self.leaves.get(number);
        let n = n.min(leaf.len().saturating_sub(at));
        for i in at..at + n {
            let member = leaf.member(i, &self.longs);
            each(member, leaf.score(i));
            members.remove(mark(member), number);
        }
        self.remove_in(path, number, at, n, members);
        n
    }

    /// Removes elements from the leaf that the path leads to, and not from the table.
    fn remove_in(&mut self, path: Path, number: u32, at: usize, n: usize, members: &mut Members) {
        let leaf = self.leaves.get_mut(number);
        leaf.remove(at, n, &mut self.longs);
        self.len -= n;
        for (node, at) in path.steps() {
            self.inners.get_mut(node).counts[at] -= n as u64;
        }
        if self.leaves.get(number).len() < SPARSE {
            self.join(path, number, members);
        }
    }

    /// Joins a sparse leaf with a neighbour, if both fit into one, and then its parents in the same way.
    fn join(&mut self, mut path: Path, leaf: u32, members: &mut Members) {
        let Some((parent, at)) = path.pop() else {
            return;
        };
        let inner = self.inners.get(parent);
        if self.leaves.get(leaf).len() == 0 {
            self.leaves.take(leaf);
            self.inners.get_mut(parent).remove(at);
        } else if let Some((a, b)) = inner.neighbours(at) {
            let (left, right) = (inner.nodes[a], inner.nodes[b]);
            if self.leaves.get(left).len() + self.leaves.get(right).len() > JOINED {
                return;
            }
            self.move_elements(right, 0, left, members);
            self.leaves.take(right);
            self.inners.get_mut(parent).joined(a);
        }
        let mut node = parent;
        while let Some((parent, at)) = path.pop() {
            if !self.join_inner(parent, at, node) {
                return;
            }
            node = parent;
        }
        self.lower_root();
    }

    /// Joins a node that has few branches left; false if the parent need not be looked at.
    fn join_inner(&mut self, parent: u32, at: usize, node: u32) -> bool {
        let branches = self.inners.get(node).len();
        if branches >= FANOUT / 4 {
            return false;
        }
        if branches == 0 {
            self.inners.take(node);
            self.inners.get_mut(parent).remove(at);
            return true;
        }
        let inner = self.inners.get(parent);
        let Some((a, b)) = inner.neighbours(at) else {
            return true;
        };
        let (left, right) = (inner.nodes[a], inner.nodes[b]);
        if self.inners.get(left).len() + self.inners.get(right).len() > FANOUT * 3 / 4 {
            return false;
        }
        let separator = self.inners.get_mut(parent).joined(a);
        let right = self.inners.take(right);
        self.inners.get_mut(left).absorb(separator, *right);
        true
    }

    /// A root with a single branch is none.
    fn lower_root(&mut self) {
        while self.height > 0 {
            let branches = &self.inners.get(self.root).nodes;
            let below = match branches[..] {
                [] => None,
                [only] => Some(only),
                _ => return,
            };
            self.inners.take(self.root);
            match below {
                Some(node) => {
                    self.root = node;
                    self.height -= 1;
                }
                None => {
                    self.root = self.leaves.put(Leaf::new());
                    self.height = 0;
                }
            }
        }
    }

    /// Gives an element that is there another score; answers the leaf where it was and the one where it
    /// is now.
    pub(super) fn rescore(
        &mut self,
        old: f64,
        new: f64,
        member: &[u8],
        members: &mut Members,
    ) -> (u32, u32) {
        let mut path = Path::new();
        let number = self.descend(&mut path, |inner| inner.place(old, member));
        let leaf = self.leaves.get_mut(number);
        let at = leaf.place(old, member, &self.longs);
        let scores = leaf.scores();
        let stays = at > 0 && scores[at - 1] < new && scores.get(at + 1).is_some_and(|s| new < *s);
        if stays {
            leaf.set_score(at, new);
            return (number, number);
        }
        self.remove_in(path, number, at, 1, members);
        (number, self.insert(new, member, members))
    }

    /// Allocations, about.
    pub(super) fn allocations(&self) -> usize {
        2 * self.leaves.used() + 5 * self.inners.used() + self.longs.used()
    }

    pub(super) fn memory(&self) -> usize {
        self.leaves.memory(|leaf| leaf.memory())
            + self.inners.memory(|inner| inner.memory())
            + self.longs.memory(|long| long.len())
    }

    /// Drops nodes and long members; the tree is of no use any more.
    pub(super) fn drop_some(&mut self, budget: usize) -> usize {
        let left = self.longs.drop_some(budget);
        let left = self.leaves.drop_some(left);
        self.inners.drop_some(left)
    }
}

/// Elements from a rank on.
#[derive(Clone)]
pub(super) struct Range<'a> {
    tree: &'a Tree,
    leaf: Option<&'a Leaf>,
    /// Place of the next element, if the leaf has it.
    at: usize,
    /// Rank of the next element.
    rank: usize,
    left: usize,
    direction: Direction,
}

impl<'a> Iterator for Range<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], f64)> {
        self.left = self.left.checked_sub(1)?;
        let leaf = match self.leaf {
            Some(leaf) if self.at < leaf.len() => leaf,
            _ => {
                let (number, at) = self.tree.ranked(&mut Path::new(), self.rank);
                self.at = at;
                self.leaf.insert(self.tree.leaves.get(number))
            }
        };
        let element = (leaf.member(self.at, &self.tree.longs), leaf.score(self.at));
        match self.direction {
            Direction::Up => {
                self.at += 1;
                self.rank += 1;
            }
            Direction::Down => {
                // Before the first place, this is beyond every leaf.
                self.at = self.at.wrapping_sub(1);
                self.rank = self.rank.wrapping_sub(1);
            }
        }
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Range<'_> {}
