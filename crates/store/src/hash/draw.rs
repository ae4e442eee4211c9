//! Drawing fields of a hash at random, each with the same chance.

use super::{Hash, HashTable, is_due};
use crate::element::Element;
use crate::random::Random;
use crate::value::Collection;
use std::collections::HashSet;

/// A field with its value.
type Pair<'a> = (Element<'a>, Element<'a>);

/// Draws from a table that may meet fields whose time has come before all fields are looked at.
const TRIES: usize = 100;
/// Of a table, so many times as many fields as are wanted make drawing cheaper than dealing.
const SPARSE: usize = 3;

/// Fields to draw from, again and again.
pub struct Urn<'a> {
    now_ms: i64,
    inner: Inner<'a>,
}

enum Inner<'a> {
    Table(&'a HashTable),
    /// All that there are.
    Listed(Vec<Pair<'a>>),
}

impl<'a> Urn<'a> {
    /// One of the fields, or `None` if there is none.
    pub fn draw(&mut self, random: &mut Random) -> Option<Pair<'a>> {
        if let Inner::Table(table) = self.inner {
            if let Some(pair) = draw_live(table, self.now_ms, random) {
                return Some(pair);
            }
            let listed = list(table, self.now_ms);
            self.inner = Inner::Listed(listed);
        }
        match &self.inner {
            Inner::Listed(pairs) if !pairs.is_empty() => Some(pairs[random.below(pairs.len())]),
            _ => None,
        }
    }
}

fn list(table: &HashTable, now_ms: i64) -> Vec<Pair<'_>> {
    super::Iter::of_table(table, now_ms).collect()
}

/// A field whose time has not come, unless it is hard to find one.
fn draw_live<'a>(table: &'a HashTable, now_ms: i64, random: &mut Random) -> Option<Pair<'a>> {
    for _ in 0..TRIES {
        let (field, value, at) = table.draw(random)?;
        if !at.is_some_and(|at| is_due(at, now_ms)) {
            return Some((Element::Bytes(field), Element::Bytes(value)));
        }
    }
    None
}

impl Hash {
    /// The fields as something to draw from with repetition.
    pub fn urn(&self, now_ms: i64) -> Urn<'_> {
        let inner = match self {
            Hash::Table(table) => Inner::Table(table),
            packed => Inner::Listed(packed.iter(now_ms).collect()),
        };
        Urn { now_ms, inner }
    }

    /// One of the fields.
    pub fn draw(&self, now_ms: i64, random: &mut Random) -> Option<Pair<'_>> {
        match self {
            Hash::Packed(pack) if !pack.is_empty() => {
                let nth = random.below(self.len()) as i64;
                let mut elements = pack.iter_from(pack.seek(2 * nth)?);
                Some((elements.next()?, elements.next()?))
            }
            hash => hash.urn(now_ms).draw(random),
        }
    }

    /// `count` different fields, or all if they are not more.
    pub fn deal(&self, count: usize, now_ms: i64, random: &mut Random) -> Vec<Pair<'_>> {
        if let Hash::Table(table) = self
            && count < table.len() / SPARSE
            && let Some(pairs) = draw_different(table, count, now_ms, random)
        {
            return pairs;
        }
        let mut pairs: Vec<_> = self.iter(now_ms).collect();
        if count < pairs.len() {
            for i in 0..count {
                let other = i + random.below(pairs.len() - i);
                pairs.swap(i, other);
            }
            pairs.truncate(count);
        }
        pairs
    }
}

/// `None` if there may be too few fields whose time has not come.
fn draw_different<'a>(
    table: &'a HashTable,
    count: usize,
    now_ms: i64,
    random: &mut Random,
) -> Option<Vec<Pair<'a>>> {
    let mut seen = HashSet::with_capacity(count);
    let mut pairs = Vec::with_capacity(count);
    let mut tries = TRIES + count * SPARSE * 2;
    while pairs.len() < count {
        tries = tries.checked_sub(1)?;
        let (field, value, at) = table.draw(random)?;
        if !at.is_some_and(|at| is_due(at, now_ms)) && seen.insert(field) {
            pairs.push((Element::Bytes(field), Element::Bytes(value)));
        }
    }
    Some(pairs)
}
