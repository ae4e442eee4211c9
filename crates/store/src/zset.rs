//! Sorted sets: members, each with a score, in the order of scores and among equal ones of bytes.
//!
//! A small one is a listpack of members and scores by turns. A big one ([`big`]) is a tree that keeps
//! the elements in order, once, and a table that says which leaf of the tree has a member:
//!
//! ```text
//! member ── hash ──► bucket (hash, leaf) … ──┐
//!                                            ▼
//! score, member, or rank ── nodes ──► leaf: scores … members …
//! ```
//!
//! So an element costs its score, its bytes, and some twenty bytes for leaf and table.
//!
//! A rank counts from 0. A score is never NaN; a negative zero equals zero.

mod big;
mod inner;
mod leaf;
mod members;
mod packed;
mod slots;
#[cfg(test)]
mod tests;
mod tree;

use crate::element::Element;
use crate::listpack::{Corrupt, Listpack};
use crate::shard::Type;
use crate::value::{Collection, Limits};
pub use big::Big;
use std::cmp::Ordering;
use std::ops;

/// The order in which elements are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest score to the highest.
    Up,
    Down,
}

/// One end of a range, `T` being a score, or a member among equal scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End<T> {
    Included(T),
    Excluded(T),
    /// Beyond everything on that side.
    Open,
    /// Beyond everything on the other side: nothing is in the range.
    Shut,
}

/// What is between two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between<T> {
    pub min: End<T>,
    pub max: End<T>,
}

impl<T: PartialOrd> Between<T> {
    /// Whether a value is before the range.
    fn is_after(&self, value: &T) -> bool {
        match &self.min {
            End::Included(min) => value < min,
            End::Excluded(min) => value <= min,
            End::Open => false,
            End::Shut => true,
        }
    }

    /// Whether a value is before the end of the range.
    fn ends_after(&self, value: &T) -> bool {
        match &self.max {
            End::Included(max) => value <= max,
            End::Excluded(max) => value < max,
            End::Open => true,
            End::Shut => false,
        }
    }

    /// Whether nothing can be in the range.
    fn is_empty(&self) -> bool {
        use End::{Excluded, Included, Open, Shut};
        match (&self.min, &self.max) {
            (Shut, _) | (_, Shut) => true,
            (Open, _) | (_, Open) => false,
            (Included(min), Included(max)) => min > max,
            (Included(min) | Excluded(min), Included(max) | Excluded(max)) => min >= max,
        }
    }
}

/// The encodings of a sorted set.
#[derive(Clone)]
pub enum Zset {
    Packed(Listpack),
    Tree(Box<Big>),
}

impl Default for Zset {
    fn default() -> Zset {
        Zset::Packed(Listpack::default())
    }
}

impl Zset {
    /// An empty one that will have about `len` elements, with members of up to `longest` bytes.
    pub fn sized(len: usize, longest: usize, limits: &Limits) -> Zset {
        if len <= limits.zset_max_listpack_entries && longest <= limits.zset_max_listpack_value {
            Zset::default()
        } else {
            Zset::Tree(Box::new(Big::new()))
        }
    }

    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Zset::Packed(pack) => Some(packed::find(pack, member)?.1),
            Zset::Tree(big) => big.score(member),
        }
    }

    /// A member's rank and score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            Zset::Packed(pack) => packed::rank(pack, member),
            Zset::Tree(big) => big.rank(member),
        }
    }

    /// Adds a member, or gives it another score. Answers the one that it had.
    pub fn add(&mut self, member: &[u8], score: f64, limits: &Limits) -> Option<f64> {
        let mut old = None;
        self.upsert(member, limits, |found| {
            old = found;
            Some(score)
        });
        old
    }

    /// Gives a member the score that `choose` makes of the one that it has, if it has one and is there;
    /// leaves everything as it is if it chooses none.
    pub fn upsert(
        &mut self,
        member: &[u8],
        limits: &Limits,
        choose: impl FnOnce(Option<f64>) -> Option<f64>,
    ) {
        let found = match self {
            Zset::Packed(pack) => packed::find(pack, member).map(|(pos, old)| (Some(pos), old)),
            Zset::Tree(big) => big.score(member).map(|old| (None, old)),
        };
        let Some(new) = choose(found.map(|(_, old)| old)) else {
            return;
        };
        assert!(!new.is_nan(), "scores are numbers");
        match (self, found) {
            (_, Some((_, old))) if old == new => {}
            (Zset::Packed(pack), Some((Some(pos), _))) => {
                packed::remove(pack, pos);
                packed::insert(pack, member, new);
            }
            (Zset::Tree(big), Some((_, old))) => big.rescore(member, old, new),
            (Zset::Tree(big), None) => big.insert(member, new),
            (zset, _) => zset.insert(member, new, limits),
        }
    }

    /// Adds a member that is not there.
    fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) {
        match self {
            Zset::Packed(pack) if fits(pack, member, limits) => packed::insert(pack, member, score),
            Zset::Packed(_) => self.unpack().insert(member, score),
            Zset::Tree(big) => big.insert(member, score),
        }
    }

    /// Adds an element that is behind all others.
    pub fn push(&mut self, member: &[u8], score: f64, limits: &Limits) {
        match self {
            Zset::Packed(pack) if fits(pack, member, limits) => packed::push(pack, member, score),
            Zset::Packed(_) => self.unpack().push(member, score),
            Zset::Tree(big) => big.push(member, score),
        }
    }

    /// Makes a tree of it if `n` elements that are about to be added are too many for a listpack, whether
    /// they are in it already or not, as Redis does.
    pub fn expect(&mut self, n: usize, limits: &Limits) {
        if matches!(self, Zset::Packed(_)) && n > limits.zset_max_listpack_entries {
            self.unpack();
        }
    }

    /// Makes a tree of it.
    fn unpack(&mut self) -> &mut Big {
        if let Zset::Packed(pack) = self {
            let mut big = Box::new(Big::new());
            for (member, score) in packed::range(pack, 0, usize::MAX, Direction::Up) {
                member.with(|member| big.push(member, score));
            }
            *self = Zset::Tree(big);
        }
        match self {
            Zset::Tree(big) => big,
            Zset::Packed(_) => unreachable!("it was unpacked"),
        }
    }

    /// Makes a listpack of it if its elements are few and short enough, as results of set operations
    /// are stored.
    pub fn pack(&mut self, limits: &Limits) {
        let Zset::Tree(big) = self else {
            return;
        };
        if big.len() > limits.zset_max_listpack_entries {
            return;
        }
        let all = || big.range(0, usize::MAX, Direction::Up);
        if all().all(|(member, _)| member.len() <= limits.zset_max_listpack_value) {
            let mut pack = Listpack::new();
            all().for_each(|(member, score)| packed::push(&mut pack, member, score));
            *self = Zset::Packed(pack);
        }
    }

    /// Removes a member; answers its score.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self {
            Zset::Packed(pack) => {
                let (pos, score) = packed::find(pack, member)?;
                packed::remove(pack, pos);
                Some(score)
            }
            Zset::Tree(big) => big.remove(member),
        }
    }

    /// Removes the elements of some ranks, showing each before.
    pub fn remove_ranks(
        &mut self,
        ranks: ops::Range<usize>,
        mut each: impl FnMut(Element<'_>, f64),
    ) {
        let n = ranks.len();
        match self {
            Zset::Packed(pack) => {
                packed::range(pack, ranks.start, n, Direction::Up).for_each(|(m, s)| each(m, s));
                packed::remove_ranks(pack, ranks.start, n);
            }
            Zset::Tree(big) => {
                big.remove_ranks(ranks.start, n, |m, s| each(Element::Bytes(m), s));
            }
        }
    }

    /// Up to `n` elements from a rank on, in a direction.
    #[inline]
    pub fn range(&self, rank: usize, n: usize, direction: Direction) -> Range<'_> {
        Range(match self {
            Zset::Packed(pack) => Either::Packed(packed::range(pack, rank, n, direction)),
            Zset::Tree(big) => Either::Tree(big.range(rank, n, direction)),
        })
    }

    /// All elements in order.
    pub fn iter(&self) -> Range<'_> {
        self.range(0, usize::MAX, Direction::Up)
    }

    /// The ranks of the elements whose scores are in a range.
    pub fn by_score(&self, scores: &Between<f64>) -> ops::Range<usize> {
        if scores.is_empty() {
            return 0..0;
        }
        match self {
            Zset::Packed(_) => self.first_run(|score, _| {
                (!scores.is_after(&score)).then(|| scores.ends_after(&score))
            }),
            Zset::Tree(big) => {
                let from = big.boundary(|score, _| scores.is_after(&score));
                let to = big.boundary(|score, _| scores.ends_after(&score));
                from..to.max(from)
            }
        }
    }

    /// The ranks of the elements whose members are in a range. That is meant for sets with equal scores;
    /// in others, the direction in which the range is looked for makes a difference, as in Redis.
    pub fn by_member(&self, members: &Between<&[u8]>, direction: Direction) -> ops::Range<usize> {
        if members.is_empty() {
            return 0..0;
        }
        if let Zset::Packed(pack) = self
            && !packed::reaches(pack, members)
        {
            return 0..0;
        }
        match (self, direction) {
            (Zset::Packed(_), Direction::Up) => self.first_run(|_, member| {
                member.with(|m| (!members.is_after(&m)).then(|| members.ends_after(&m)))
            }),
            (Zset::Packed(_), Direction::Down) => self.last_run(members),
            (Zset::Tree(big), _) => {
                let from = big.boundary(|_, member| members.is_after(&member));
                let to = big.boundary(|_, member| members.ends_after(&member));
                from..to.max(from)
            }
        }
    }

    /// The ranks from the first element that has begun, of which `place` answers something, to the one
    /// before the next that is over, of which it does not answer true.
    fn first_run(&self, place: impl Fn(f64, Element<'_>) -> Option<bool>) -> ops::Range<usize> {
        let mut from = None;
        let mut rank = 0;
        for (member, score) in self.iter() {
            let placed = place(score, member);
            if from.is_none() && placed.is_some() {
                from = Some(rank);
            }
            if from.is_some() && placed == Some(false) {
                break;
            }
            rank += 1;
        }
        from.map_or(0..0, |from| from..rank)
    }

    /// [`Zset::first_run`] from the end, of members.
    fn last_run(&self, members: &Between<&[u8]>) -> ops::Range<usize> {
        let len = self.len();
        let reverse = self.range(len.saturating_sub(1), len, Direction::Down);
        let mut end = None;
        let mut start = len;
        for (member, _) in reverse {
            let (before, within) = member.with(|m| (members.is_after(&m), members.ends_after(&m)));
            if end.is_none() && within {
                end = Some(start);
            }
            if end.is_some() && before {
                break;
            }
            start -= 1;
        }
        end.map_or(0..0, |end| start..end)
    }

    /// Shows at least `n` elements, if there are as many, from a cursor on, which is at first 0. Answers
    /// the next cursor, 0 at the end. What is there from beginning to end is shown, at least once.
    pub fn scan(&self, cursor: u64, n: usize, mut each: impl FnMut(Element<'_>, f64)) -> u64 {
        match self {
            Zset::Packed(_) => {
                self.iter().for_each(|(member, score)| each(member, score));
                0
            }
            Zset::Tree(big) => big.scan(cursor, n, |m, s| each(Element::Bytes(m), s)),
        }
    }

    /// A sorted set of elements in any order, each member once. Whether it is packed depends on them.
    pub fn collect(mut elements: Vec<(Box<[u8]>, f64)>, limits: &Limits) -> Zset {
        sort(&mut elements);
        let longest = elements.iter().map(|(member, _)| member.len()).max();
        let mut zset = Zset::sized(elements.len(), longest.unwrap_or(0), limits);
        for (member, score) in &elements {
            zset.push(member, *score, limits);
        }
        zset
    }

    /// A sorted set of a listpack from elsewhere, which must have members and scores by turns, in
    /// order, and no member twice.
    pub fn from_listpack(pack: Listpack) -> Result<Zset, Corrupt> {
        if !pack.len().is_multiple_of(2) {
            return Err(Corrupt);
        }
        let scores = pack.iter().skip(1).step_by(2);
        let valid = |score: Element<'_>| match score {
            Element::Int(_) => true,
            Element::Bytes(bytes) => std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse::<f64>().ok())
                .is_some_and(|score| !score.is_nan()),
        };
        if !scores.into_iter().all(valid) {
            return Err(Corrupt);
        }
        let zset = Zset::Packed(pack);
        let texts: Vec<_> = zset.iter().map(|(m, s)| (s, m.text())).collect();
        let in_order = |pair: &[(f64, std::borrow::Cow<'_, [u8]>)]| {
            order((pair[0].0, &pair[0].1), (pair[1].0, &pair[1].1)) == Ordering::Less
        };
        let sorted = texts.windows(2).all(in_order);
        let mut members: Vec<_> = texts.iter().map(|(_, member)| member).collect();
        members.sort_unstable();
        if !sorted || members.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Corrupt);
        }
        drop(texts);
        Ok(zset)
    }
}

/// Puts elements in order.
pub fn sort(elements: &mut [(Box<[u8]>, f64)]) {
    elements.sort_unstable_by(|a, b| order((a.1, &a.0), (b.1, &b.0)));
}

/// The order of elements.
fn order(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    let scores = a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
    scores.then_with(|| a.1.cmp(b.1))
}

/// Whether a listpack stays one with another member.
fn fits(pack: &Listpack, member: &[u8], limits: &Limits) -> bool {
    /// Redis's listpacks end at a gigabyte.
    const BYTES_MAX: usize = 1 << 30;
    pack.len() / 2 < limits.zset_max_listpack_entries
        && member.len() <= limits.zset_max_listpack_value
        && pack.bytes_len() + member.len() < BYTES_MAX
}

/// Elements of a sorted set with their scores.
#[derive(Clone)]
pub struct Range<'a>(Either<'a>);

#[derive(Clone)]
enum Either<'a> {
    Packed(packed::Range<'a>),
    Tree(tree::Range<'a>),
}

impl<'a> Iterator for Range<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Element<'a>, f64)> {
        match &mut self.0 {
            Either::Packed(range) => range.next(),
            Either::Tree(range) => range.next().map(|(m, s)| (Element::Bytes(m), s)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Either::Packed(range) => range.size_hint(),
            Either::Tree(range) => range.size_hint(),
        }
    }
}

impl ExactSizeIterator for Range<'_> {}

impl Collection for Zset {
    const TYPE: Type = Type::Zset;

    #[inline]
    fn len(&self) -> usize {
        match self {
            Zset::Packed(pack) => pack.len() / 2,
            Zset::Tree(big) => big.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Zset::Packed(_) => "listpack",
            Zset::Tree(_) => "skiplist",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Zset::Packed(pack) => pack.memory(),
            Zset::Tree(big) => big.memory(),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Zset::Packed(_) => 1,
            Zset::Tree(big) => big.weight(),
        }
    }

    fn free_some(&mut self, budget: usize) -> bool {
        match self {
            Zset::Packed(_) => true,
            Zset::Tree(big) => big.free_some(budget),
        }
    }
}
