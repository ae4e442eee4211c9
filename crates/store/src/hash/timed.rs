//! A packed hash in which fields have expiries: Redis's `listpackex`.
//!
//! ```text
//! field | value | expiry | field | value | expiry | …
//! ```
//!
//! Fields stand in the order of their expiries, so that the soonest is the first. Those without one, whose
//! expiry is written as 0, stand behind, in the order in which they lost it or came. A field that gets an
//! expiry goes before others that have the same.

use super::{Field, Swept, is_due};
use crate::element::{Digits, Element};
use crate::listpack::{Listpack, Pos};
use crate::shard::Expiry;

/// Elements of a field.
const STEP: usize = 3;

pub(super) fn expiry(element: Element<'_>) -> Option<i64> {
    match element {
        Element::Int(at) if at != 0 => Some(at),
        _ => None,
    }
}

pub fn from_packed(packed: &Listpack) -> Listpack {
    let mut pack = Listpack::new();
    let mut elements = packed.iter();
    while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
        field.with(|bytes| pack.push_back(bytes));
        value.with(|bytes| pack.push_back(bytes));
        pack.push_back(b"0");
    }
    pack
}

/// Fields, values and expiries.
pub fn fields(
    pack: &Listpack,
) -> impl Iterator<Item = (Element<'_>, Element<'_>, Option<i64>)> + Clone {
    let mut elements = pack.iter();
    std::iter::from_fn(move || {
        let (field, value) = (elements.next()?, elements.next()?);
        Some((field, value, expiry(elements.next()?)))
    })
}

/// Where a field is, and what it has.
pub fn find<'a>(pack: &'a Listpack, field: &[u8]) -> Option<(Pos, Field<'a>)> {
    let at = pack.find(field, 0, STEP)?;
    let mut elements = pack.iter_from(at).skip(1);
    let (value, expiry) = (elements.next()?, expiry(elements.next()?));
    Some((at, Field { value, expiry }))
}

/// The soonest expiry.
pub fn soonest(pack: &Listpack) -> i64 {
    pack.iter()
        .nth(STEP - 1)
        .and_then(expiry)
        .unwrap_or(i64::MAX)
}

/// Puts in a field that is not there.
fn add(pack: &mut Listpack, field: &[u8], value: &[u8], expiry: Option<i64>) {
    let digits = Digits::of(expiry.unwrap_or(0));
    let place = expiry.and_then(|at| place(pack, at));
    let Some(place) = place else {
        pack.push_back(field);
        pack.push_back(value);
        pack.push_back(digits.bytes());
        return;
    };
    pack.insert_before(place, digits.bytes());
    pack.insert_before(place, value);
    pack.insert_before(place, field);
}

/// Where a field with an expiry belongs; `None` if that is the end.
fn place(pack: &Listpack, at: i64) -> Option<Pos> {
    let mut place = pack.first()?;
    for (_, _, other) in fields(pack) {
        if other.is_none_or(|other| other >= at) {
            return Some(place);
        }
        for _ in 0..STEP {
            place = pack.next(place)?;
        }
    }
    None
}

/// See [`super::Hash::set`].
pub fn set(pack: &mut Listpack, field: &[u8], value: &[u8], expiry: Expiry, now_ms: i64) -> bool {
    let found = find(pack, field).map(|(at, found)| (at, found.expiry));
    let (new, old) = match found {
        None => (true, None),
        Some((_, Some(old))) if is_due(old, now_ms) => (true, None),
        Some((_, old)) => (false, old),
    };
    let at = match expiry {
        Expiry::Keep => old,
        Expiry::Clear => None,
        Expiry::At(at) => Some(at),
    };
    match found {
        Some((place, present)) if at == present && !matches!(expiry, Expiry::At(_)) => {
            super::replace_behind(pack, place, value);
        }
        Some((place, _)) => {
            pack.delete_at(place, STEP);
            add(pack, field, value, at);
        }
        None => add(pack, field, value, at),
    }
    new
}

/// See [`super::Hash::remove`].
pub fn remove(pack: &mut Listpack, field: &[u8], now_ms: i64) -> bool {
    let Some((at, expiry)) = find(pack, field).map(|(at, found)| (at, found.expiry)) else {
        return false;
    };
    pack.delete_at(at, STEP);
    !expiry.is_some_and(|at| is_due(at, now_ms))
}

/// See [`super::Hash::set_expiry`].
pub fn set_expiry(pack: &mut Listpack, field: &[u8], expiry: Option<i64>) {
    let Some((at, found)) = find(pack, field) else {
        return;
    };
    let value = found.value.text().into_owned();
    pack.delete_at(at, STEP);
    add(pack, field, &value, expiry);
}

/// See [`super::Hash::sweep`].
pub fn sweep(
    pack: &mut Listpack,
    now_ms: i64,
    budget: usize,
    mut gone: impl FnMut(&[u8]),
) -> Swept {
    let due = fields(pack)
        .take(budget)
        .take_while(|(_, _, at)| at.is_some_and(|at| is_due(at, now_ms)))
        .map(|(field, _, _)| gone(&field.text()))
        .count();
    pack.delete_at(0, due * STEP);
    Swept {
        looked: due,
        removed: due,
    }
}
