//! Going over the fields of a hash.

use super::{Hash, HashTable, is_due, table};
use crate::dict;
use crate::element::Element;
use crate::listpack;

/// Fields and values, without those whose time has come.
pub struct Iter<'a> {
    now_ms: i64,
    inner: Inner<'a>,
}

enum Inner<'a> {
    Packed(listpack::Iter<'a>),
    Timed(listpack::Iter<'a>),
    Table(dict::Iter<'a>, Option<dict::Iter<'a>>),
}

impl<'a> Iter<'a> {
    pub(super) fn new(hash: &'a Hash, now_ms: i64) -> Iter<'a> {
        let inner = match hash {
            Hash::Packed(pack) => Inner::Packed(pack.iter()),
            Hash::Timed(pack) => Inner::Timed(pack.iter()),
            Hash::Table(table) => return Iter::of_table(table, now_ms),
        };
        Iter { now_ms, inner }
    }

    pub(super) fn of_table(table: &'a HashTable, now_ms: i64) -> Iter<'a> {
        let (plain, timed) = table.dicts();
        let inner = Inner::Table(plain.iter(), timed.map(|dict| dict.iter()));
        Iter { now_ms, inner }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Element<'a>, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.inner {
            Inner::Packed(elements) => Some((elements.next()?, elements.next()?)),
            Inner::Timed(elements) => loop {
                let (field, value) = (elements.next()?, elements.next()?);
                match elements.next()? {
                    Element::Int(at) if at != 0 && is_due(at, self.now_ms) => {}
                    _ => return Some((field, value)),
                }
            },
            Inner::Table(plain, timed) => {
                if let Some((field, value)) = plain.next() {
                    return Some((Element::Bytes(field), Element::Bytes(value)));
                }
                let timed = timed.as_mut()?;
                loop {
                    let (field, payload) = timed.next()?;
                    let (at, value) = table::cut(payload);
                    if !is_due(at, self.now_ms) {
                        return Some((Element::Bytes(field), Element::Bytes(value)));
                    }
                }
            }
        }
    }
}
