//! Going over the fields of a hash.

use super::{Hash, HashTable, is_due, table, timed};
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

/// Fields, values and expiries, those whose time has come included.
pub struct Fields<'a>(Every<'a>);

enum Every<'a> {
    Packed(listpack::Iter<'a>),
    Timed(listpack::Iter<'a>),
    Table(dict::Iter<'a>, Option<dict::Iter<'a>>),
}

impl<'a> Fields<'a> {
    pub(super) fn new(hash: &'a Hash) -> Fields<'a> {
        Fields(match hash {
            Hash::Packed(pack) => Every::Packed(pack.iter()),
            Hash::Timed(pack) => Every::Timed(pack.iter()),
            Hash::Table(table) => {
                let (plain, timed) = table.dicts();
                Every::Table(plain.iter(), timed.map(|dict| dict.iter()))
            }
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Element<'a>, Element<'a>, Option<i64>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Every::Packed(elements) => Some((elements.next()?, elements.next()?, None)),
            Every::Timed(elements) => {
                let (field, value) = (elements.next()?, elements.next()?);
                Some((field, value, timed::expiry(elements.next()?)))
            }
            Every::Table(plain, timed) => {
                if let Some((field, value)) = plain.next() {
                    return Some((Element::Bytes(field), Element::Bytes(value), None));
                }
                let (field, payload) = timed.as_mut()?.next()?;
                let (at, value) = table::cut(payload);
                Some((Element::Bytes(field), Element::Bytes(value), Some(at)))
            }
        }
    }
}
