//! A small sorted set: members and scores by turns in a listpack, in order.
//!
//! A score is the text that [`crate::double`] makes of it, or an integer if it is one. As in Redis, that
//! makes 0 of a negative zero.

use super::Direction;
use crate::double;
use crate::element::{Element, integer};
use crate::listpack::{self, Listpack, Pos};

/// The text of a score.
fn text(score: f64) -> double::Text {
    match double::integer(score) {
        // Not for a negative zero, which is not kept.
        Some(0) => double::Text::of(0.0),
        _ => double::Text::of(score),
    }
}

/// The number that an element is; 0 for what is none, which no valid pack has.
#[inline]
pub(super) fn number(element: Element<'_>) -> f64 {
    match element {
        Element::Int(value) => value as f64,
        Element::Bytes(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0),
    }
}

/// The score behind the member at a position, and that position.
fn score(pack: &Listpack, member: Pos) -> (Option<Pos>, f64) {
    let pos = pack.next(member);
    (pos, pos.map_or(0.0, |pos| number(pack.get(pos))))
}

pub(super) fn find(pack: &Listpack, member: &[u8]) -> Option<(Pos, f64)> {
    let pos = pack.find(member, 0, 2)?;
    Some((pos, score(pack, pos).1))
}

pub(super) fn rank(pack: &Listpack, member: &[u8]) -> Option<(usize, f64)> {
    let wanted = integer(member);
    let found = range(pack, 0, usize::MAX, Direction::Up)
        .enumerate()
        .find(|(_, (element, _))| match element {
            Element::Int(value) => Some(*value) == wanted,
            Element::Bytes(bytes) => *bytes == member,
        });
    found.map(|(rank, (_, score))| (rank, score))
}

/// Inserts a member that is not there.
pub(super) fn insert(pack: &mut Listpack, member: &[u8], new: f64) {
    let mut place = pack.first();
    while let Some(pos) = place {
        let (behind, old) = score(pack, pos);
        if old > new || old == new && pack.get(pos).with(|other| other > member) {
            break;
        }
        place = behind.and_then(|behind| pack.next(behind));
    }
    match place {
        None => push(pack, member, new),
        Some(pos) => {
            pack.insert_before(pos, text(new).bytes());
            pack.insert_before(pos, member);
        }
    }
}

/// Adds a member behind all others.
pub(super) fn push(pack: &mut Listpack, member: &[u8], score: f64) {
    pack.push_back(member);
    pack.push_back(text(score).bytes());
}

pub(super) fn remove(pack: &mut Listpack, pos: Pos) {
    pack.delete_at(pos, 2);
}

pub(super) fn remove_ranks(pack: &mut Listpack, rank: usize, n: usize) {
    pack.remove_range(rank as i64 * 2, n.saturating_mul(2));
}

/// Up to `n` elements from a rank on, in a direction.
pub(super) fn range(pack: &Listpack, rank: usize, n: usize, direction: Direction) -> Range<'_> {
    let elements = pack.len();
    let behind = rank.saturating_add(1).saturating_mul(2);
    let elements = match direction {
        Direction::Up if behind - 2 < elements => pack.seek(behind as i64 - 2),
        Direction::Up => None,
        Direction::Down if behind < elements => pack.seek(behind as i64),
        Direction::Down => return Range::new(pack.iter(), n.min(elements / 2), direction),
    };
    match (elements, direction) {
        (None, _) => Range::new(pack.iter(), 0, direction),
        (Some(pos), Direction::Up) => {
            let behind = pack.len() / 2 - rank;
            Range::new(pack.iter_from(pos), n.min(behind), direction)
        }
        (Some(pos), Direction::Down) => {
            Range::new(pack.iter_before(pos), n.min(rank + 1), direction)
        }
    }
}

/// Elements in order, or in reverse.
#[derive(Clone)]
pub(super) struct Range<'a> {
    elements: listpack::Iter<'a>,
    left: usize,
    direction: Direction,
}

impl<'a> Range<'a> {
    fn new(elements: listpack::Iter<'a>, left: usize, direction: Direction) -> Range<'a> {
        Range {
            elements,
            left,
            direction,
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Element<'a>, f64)> {
        self.left = self.left.checked_sub(1)?;
        match self.direction {
            Direction::Up => Some((self.elements.next()?, number(self.elements.next()?))),
            Direction::Down => {
                let score = number(self.elements.next_back()?);
                Some((self.elements.next_back()?, score))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
