//! A big hash: a table of fields with their values, and one beside it of those that have an expiry.
//!
//! Fields without an expiry pay nothing for that others could have one: their payload is the value. In the
//! second table the payload begins with the expiry, eight bytes. A field is in one of the two.
//!
//! Both are in the order of the same hash, so a position among the hashes is a cursor of both, also for a
//! field that moves from one to the other during a walk.

use super::{Field, Swept, is_due};
use crate::dict::{self, CURSOR_BITS, Dict};
use crate::element::Element;
use crate::hashing::hash;
use crate::random::Random;
use crate::shard::Expiry;

#[derive(Clone, Default)]
pub struct HashTable {
    plain: Dict,
    timed: Option<Box<Timed>>,
}

/// The fields that have an expiry; never none.
#[derive(Clone)]
pub(super) struct Timed {
    pub dict: Dict,
    /// No field goes sooner.
    soonest_ms: i64,
    /// Not swept before: sweeping looks at all fields, so there are pauses in proportion to them.
    rested_ms: i64,
    /// Where the sweep goes on, and the soonest expiry that it has met, or that was set meanwhile.
    cursor: u64,
    met_ms: i64,
}

/// Fields for which a sweep pauses a millisecond.
const FIELDS_PER_MS: usize = 1000;

impl Default for Timed {
    fn default() -> Timed {
        Timed {
            dict: Dict::new(),
            soonest_ms: i64::MAX,
            rested_ms: i64::MIN,
            cursor: 0,
            met_ms: i64::MAX,
        }
    }
}

/// Cuts a payload into expiry and value.
#[inline]
pub(super) fn cut(payload: &[u8]) -> (i64, &[u8]) {
    match payload.split_first_chunk::<8>() {
        Some((at, value)) => (i64::from_le_bytes(*at), value),
        None => (i64::MAX, payload),
    }
}

impl Timed {
    fn get(&self, hash: u64, field: &[u8]) -> Option<(i64, &[u8])> {
        self.dict.get_hashed(hash, field).map(cut)
    }

    fn insert(&mut self, hash: u64, field: &[u8], value: &[u8], at: i64) {
        let payload = [&at.to_le_bytes(), value].concat();
        self.dict.insert_hashed(hash, field, &payload);
        self.soonest_ms = self.soonest_ms.min(at);
        self.met_ms = self.met_ms.min(at);
    }

    fn sweep(&mut self, now_ms: i64, budget: usize, mut gone: impl FnMut(&[u8])) -> Swept {
        let mut swept = Swept::default();
        let mut due: Vec<Box<[u8]>> = Vec::new();
        while swept.looked < budget {
            let (met, looked) = (&mut self.met_ms, &mut swept.looked);
            *looked += 1;
            self.cursor = self.dict.scan(self.cursor, |field, payload| {
                *looked += 1;
                match cut(payload).0 {
                    at if is_due(at, now_ms) => due.push(field.into()),
                    at => *met = (*met).min(at),
                }
            });
            for field in due.drain(..) {
                gone(&field);
                swept.removed += usize::from(self.dict.remove(&field));
            }
            if self.cursor == 0 {
                let rest = (self.dict.len() / FIELDS_PER_MS) as i64;
                self.soonest_ms = std::mem::replace(&mut self.met_ms, i64::MAX);
                self.rested_ms = now_ms.saturating_add(rest);
                break;
            }
        }
        swept
    }
}

impl HashTable {
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.plain.len() + self.timed.as_ref().map_or(0, |timed| timed.dict.len())
    }

    pub fn memory(&self) -> usize {
        let timed = self.timed.as_ref();
        let timed = timed.map_or(0, |timed| size_of::<Timed>() + timed.dict.memory());
        size_of::<HashTable>() + self.plain.memory() + timed
    }

    pub fn weight(&self) -> usize {
        self.plain.weight() + self.timed.as_ref().map_or(0, |timed| timed.dict.weight())
    }

    pub fn free_some(&mut self, budget: usize) -> bool {
        self.plain.free_some(budget)
            && self
                .timed
                .as_mut()
                .is_none_or(|timed| timed.dict.free_some(budget))
    }

    #[inline]
    pub fn is_timed(&self) -> bool {
        self.timed.is_some()
    }

    /// The fields without an expiry, and those with one.
    pub(super) fn dicts(&self) -> (&Dict, Option<&Dict>) {
        (&self.plain, self.timed.as_ref().map(|timed| &timed.dict))
    }

    /// All fields with their values and expiries, a page at a time: see [`Dict::drain`].
    pub fn drain(self) -> Drain {
        Drain {
            plain: self.plain.drain(),
            timed: self.timed.map(|timed| timed.dict.drain()),
        }
    }

    pub fn due_ms(&self) -> i64 {
        match &self.timed {
            None => i64::MAX,
            Some(timed) => timed.soonest_ms.max(timed.rested_ms),
        }
    }

    #[inline]
    pub fn get(&self, field: &[u8], now_ms: i64) -> Option<&[u8]> {
        let hash = hash(field);
        let found = self.plain.get_hashed(hash, field);
        let (None, Some(timed)) = (found, &self.timed) else {
            return found;
        };
        let (at, value) = timed.get(hash, field)?;
        (!is_due(at, now_ms)).then_some(value)
    }

    /// What a field has, although its time may have come.
    pub fn find(&self, field: &[u8]) -> Option<Field<'_>> {
        let hash = hash(field);
        let (value, expiry) = match self.plain.get_hashed(hash, field) {
            Some(value) => (value, None),
            None => {
                let (at, value) = self.timed.as_ref()?.get(hash, field)?;
                (value, Some(at))
            }
        };
        let value = Element::Bytes(value);
        Some(Field { value, expiry })
    }

    /// Puts in a field that is not there.
    pub fn add(&mut self, field: &[u8], value: &[u8], expiry: Option<i64>) {
        match expiry {
            None => drop(self.plain.insert(field, value)),
            Some(at) => self
                .timed
                .get_or_insert_default()
                .insert(hash(field), field, value, at),
        }
    }

    /// See [`super::Hash::set`].
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], expiry: Expiry, now_ms: i64) -> bool {
        if self.timed.is_none() && !matches!(expiry, Expiry::At(_)) {
            return self.plain.insert(field, value);
        }
        self.set_timed(field, value, expiry, now_ms)
    }

    fn set_timed(&mut self, field: &[u8], value: &[u8], expiry: Expiry, now_ms: i64) -> bool {
        let hash = hash(field);
        let present = self.timed.as_ref().and_then(|timed| timed.get(hash, field));
        let present = present.map(|(at, _)| at);
        let live = present.filter(|at| !is_due(*at, now_ms));
        let at = match expiry {
            Expiry::Keep => live,
            Expiry::Clear => None,
            Expiry::At(at) => Some(at),
        };
        let Some(at) = at else {
            if present.is_some() {
                self.remove_timed(field);
            }
            return self.plain.insert_hashed(hash, field, value) && live.is_none();
        };
        let was_plain = present.is_none() && self.plain.remove(field);
        let timed = self.timed.get_or_insert_default();
        timed.insert(hash, field, value, at);
        !was_plain && live.is_none()
    }

    /// Removes a field from those with an expiry.
    fn remove_timed(&mut self, field: &[u8]) -> bool {
        let Some(timed) = &mut self.timed else {
            return false;
        };
        let removed = timed.dict.remove(field);
        if timed.dict.is_empty() {
            self.timed = None;
        }
        removed
    }

    /// See [`super::Hash::remove`].
    pub fn remove(&mut self, field: &[u8], now_ms: i64) -> bool {
        if self.plain.remove(field) {
            return true;
        }
        let Some(timed) = &self.timed else {
            return false;
        };
        let at = timed.get(hash(field), field).map(|(at, _)| at);
        self.remove_timed(field);
        at.is_some_and(|at| !is_due(at, now_ms))
    }

    /// See [`super::Hash::set_expiry`].
    pub fn set_expiry(&mut self, field: &[u8], at: Option<i64>) {
        let Some(found) = self.find(field) else {
            return;
        };
        if found.expiry == at {
            return;
        }
        let value = found.value.text().into_owned();
        match found.expiry {
            None => drop(self.plain.remove(field)),
            Some(_) if at.is_none() => drop(self.remove_timed(field)),
            Some(_) => {}
        }
        self.add(field, &value, at);
    }

    pub fn sweep(&mut self, now_ms: i64, budget: usize, gone: impl FnMut(&[u8])) -> Swept {
        let Some(timed) = &mut self.timed else {
            return Swept::default();
        };
        let swept = timed.sweep(now_ms, budget, gone);
        if timed.dict.is_empty() {
            self.timed = None;
        }
        swept
    }

    /// See [`super::Hash::scan`].
    pub fn scan(&self, cursor: u64, now_ms: i64, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        let Some(timed) = &self.timed else {
            return self.plain.scan(cursor, visit);
        };
        let cursor = cursor & ((1 << CURSOR_BITS) - 1);
        // The buckets of the one with more fields are the narrower ones. The other is visited as far as
        // those, its fields beyond them left out.
        let lead_is_plain = self.plain.len() >= timed.dict.len();
        let mut see_timed = |field: &[u8], payload: &[u8]| {
            let (at, value) = cut(payload);
            if !is_due(at, now_ms) {
                visit(field, value);
            }
        };
        if lead_is_plain {
            let end = self.plain.scan(cursor, |_, _| {});
            follow(&timed.dict, cursor, end, &mut see_timed);
            self.plain.scan(cursor, visit)
        } else {
            let end = timed.dict.scan(cursor, see_timed);
            follow(&self.plain, cursor, end, &mut visit);
            end
        }
    }

    /// A field with its value and its expiry, drawn with the same chance for each, although its time may
    /// have come.
    pub fn draw(&self, random: &mut Random) -> Option<(&[u8], &[u8], Option<i64>)> {
        let plain = self.plain.len();
        if let Some(timed) = &self.timed
            && random.below(self.len()) >= plain
        {
            let (field, payload) = timed.dict.random(random)?;
            let (at, value) = cut(payload);
            return Some((field, value, Some(at)));
        }
        let (field, value) = self.plain.random(random)?;
        Some((field, value, None))
    }
}

/// The fields of a hash that nobody else needs.
pub struct Drain {
    plain: dict::Drain,
    timed: Option<dict::Drain>,
}

impl Drain {
    /// Visits the fields of the next page, and lets go of it; false when there is none left.
    pub fn next_page(&mut self, mut visit: impl FnMut(&[u8], &[u8], Option<i64>)) -> bool {
        let plain = |field: &[u8], value: &[u8]| visit(field, value, None);
        if self.plain.next_page(plain) {
            return true;
        }
        let Some(timed) = &mut self.timed else {
            return false;
        };
        timed.next_page(|field, payload| {
            let (at, value) = cut(payload);
            visit(field, value, Some(at));
        })
    }
}

/// Visits the elements whose hashes lie between two cursors, of which the second may be the end, 0.
fn follow(dict: &Dict, from: u64, end: u64, visit: &mut dyn FnMut(&[u8], &[u8])) {
    let place = |field: &[u8]| hash(field) >> (64 - CURSOR_BITS);
    let mut at = from;
    loop {
        at = dict.scan(at, |field, payload| {
            let place = place(field);
            if place >= from && (end == 0 || place < end) {
                visit(field, payload);
            }
        });
        if at == 0 || (end != 0 && at >= end) {
            return;
        }
    }
}
