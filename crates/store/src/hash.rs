//! Hashes: fields with values, each of which may have a time to go.
//!
//! A small hash is a listpack: field and value in turn, or field, value and expiry if some field has one
//! ([`timed`]). Beyond the limits it is a table ([`table`]). These are Redis's encodings, so that it can
//! read what we dump, and the order in which a small hash shows its fields is Redis's too.
//!
//! A field whose time has come is hidden from readers, and no more than that: what is there changes by
//! commands that write the field, and by [`Hash::sweep`]. So lengths count such fields.

mod draw;
mod iter;
mod table;
mod timed;

use crate::element::Element;
use crate::listpack::{Listpack, Pos};
use crate::shard::{Expiry, Type};
use crate::value::{Collection, Limits};
pub use draw::Urn;
pub use iter::{Fields, Iter};
pub use table::HashTable;

#[derive(Clone)]
pub enum Hash {
    /// Fields and values in turn.
    Packed(Listpack),
    /// Fields, values and expiries in turn, by expiry.
    Timed(Listpack),
    Table(Box<HashTable>),
}

/// What a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub value: Element<'a>,
    /// Unix time in milliseconds.
    pub expiry: Option<i64>,
}

/// What a step of a sweep has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub looked: usize,
    pub removed: usize,
}

/// Bytes beyond which a hash is not packed, whatever the limits are.
const PACKED_MAX: usize = 1 << 30;

/// Whether a time has come. It comes when it is over.
#[inline]
fn is_due(at: i64, now_ms: i64) -> bool {
    at < now_ms
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed(Listpack::default())
    }
}

impl Collection for Hash {
    const TYPE: Type = Type::Hash;

    fn len(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.len() / 2,
            Hash::Timed(pack) => pack.len() / 3,
            Hash::Table(table) => table.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
            Hash::Timed(_) => "listpackex",
            Hash::Table(_) => "hashtable",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Hash::Packed(pack) | Hash::Timed(pack) => pack.memory(),
            Hash::Table(table) => table.memory(),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Hash::Packed(_) | Hash::Timed(_) => 1,
            Hash::Table(table) => table.weight(),
        }
    }

    fn free_some(&mut self, budget: usize) -> bool {
        match self {
            Hash::Packed(_) | Hash::Timed(_) => true,
            Hash::Table(table) => table.free_some(budget),
        }
    }

    /// A table's may be later than its soonest expiry, so that big ones are not looked through all the
    /// time.
    #[inline]
    fn due_ms(&self) -> i64 {
        match self {
            Hash::Packed(_) => i64::MAX,
            Hash::Timed(pack) => timed::soonest(pack),
            Hash::Table(table) => table.due_ms(),
        }
    }
}

impl Hash {
    /// The value of a field.
    #[inline]
    pub fn get(&self, field: &[u8], now_ms: i64) -> Option<Element<'_>> {
        match self {
            Hash::Packed(pack) => {
                let at = pack.find(field, 0, 2)?;
                Some(pack.get(pack.next(at)?))
            }
            Hash::Table(table) => table.get(field, now_ms).map(Element::Bytes),
            Hash::Timed(_) => self.find(field, now_ms).map(|field| field.value),
        }
    }

    /// The value of a field, with its expiry.
    pub fn find(&self, field: &[u8], now_ms: i64) -> Option<Field<'_>> {
        let found = match self {
            Hash::Packed(_) => Field {
                value: self.get(field, now_ms)?,
                expiry: None,
            },
            Hash::Timed(pack) => timed::find(pack, field)?.1,
            Hash::Table(table) => table.find(field)?,
        };
        let due = found.expiry.is_some_and(|at| is_due(at, now_ms));
        (!due).then_some(found)
    }

    /// Whether some field may have an expiry.
    #[inline]
    pub fn is_timed(&self) -> bool {
        match self {
            Hash::Packed(_) => false,
            Hash::Timed(_) => true,
            Hash::Table(table) => table.is_timed(),
        }
    }

    /// Makes room for a command that sets `fields`: as a table if they are more than a packed hash has.
    #[inline]
    pub fn prepare(&mut self, fields: usize, limits: &Limits) {
        if fields > limits.hash_max_listpack_entries {
            self.unpack();
        }
    }

    /// Prepares for fields and values of which this is the longest.
    pub fn prepare_for(&mut self, longest: usize, limits: &Limits) {
        if longest > limits.hash_max_listpack_value {
            self.unpack();
        }
    }

    /// Sets a field; true if it is new.
    #[inline]
    pub fn set(
        &mut self,
        field: &[u8],
        value: &[u8],
        expiry: Expiry,
        now_ms: i64,
        limits: &Limits,
    ) -> bool {
        if matches!(self, Hash::Packed(_) | Hash::Timed(_)) {
            let longest = field.len().max(value.len());
            if longest > limits.hash_max_listpack_value || self.is_huge(field.len() + value.len()) {
                self.unpack();
            } else if matches!(expiry, Expiry::At(_)) {
                self.allow_expiry();
            }
        }
        let (new, len) = match self {
            Hash::Packed(pack) => (set_packed(pack, field, value), pack.len() / 2),
            Hash::Timed(pack) => {
                let new = timed::set(pack, field, value, expiry, now_ms);
                (new, pack.len() / 3)
            }
            Hash::Table(table) => return table.set(field, value, expiry, now_ms),
        };
        if new && len > limits.hash_max_listpack_entries {
            self.unpack();
        }
        new
    }

    fn is_huge(&self, more: usize) -> bool {
        match self {
            Hash::Packed(pack) | Hash::Timed(pack) => pack.bytes_len() + more > PACKED_MAX,
            Hash::Table(_) => false,
        }
    }

    /// Removes a field; false if there was none, or its time had come.
    pub fn remove(&mut self, field: &[u8], now_ms: i64) -> bool {
        match self {
            Hash::Packed(pack) => match pack.find(field, 0, 2) {
                Some(at) => {
                    pack.delete_at(at, 2);
                    true
                }
                None => false,
            },
            Hash::Timed(pack) => timed::remove(pack, field, now_ms),
            Hash::Table(table) => table.remove(field, now_ms),
        }
    }

    /// Sets or clears the expiry of a field that is there.
    pub fn set_expiry(&mut self, field: &[u8], at: Option<i64>) {
        if at.is_some() {
            self.allow_expiry();
        }
        match self {
            Hash::Packed(_) => {}
            Hash::Timed(pack) => timed::set_expiry(pack, field, at),
            Hash::Table(table) => table.set_expiry(field, at),
        }
    }

    /// Takes an encoding in which fields can have an expiry.
    pub fn allow_expiry(&mut self) {
        if let Hash::Packed(pack) = self {
            *self = Hash::Timed(timed::from_packed(pack));
        }
    }

    /// Becomes a table.
    #[cold]
    fn unpack(&mut self) {
        let mut table = HashTable::default();
        match self {
            Hash::Packed(pack) => {
                let mut elements = pack.iter();
                while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
                    field.with(|field| value.with(|value| table.add(field, value, None)));
                }
            }
            Hash::Timed(pack) => {
                for (field, value, at) in timed::fields(pack) {
                    field.with(|field| value.with(|value| table.add(field, value, at)));
                }
            }
            Hash::Table(_) => return,
        }
        *self = Hash::Table(Box::new(table));
    }

    /// The fields with their values.
    pub fn iter(&self, now_ms: i64) -> Iter<'_> {
        Iter::new(self, now_ms)
    }

    /// All fields with their values and expiries, those whose time has come included.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self)
    }

    /// Visits the fields at a cursor and answers the next one, 0 at the end; of a packed hash all of
    /// them. A field that is there during a whole walk is visited.
    pub fn scan(
        &self,
        cursor: u64,
        now_ms: i64,
        mut visit: impl FnMut(Element<'_>, Element<'_>),
    ) -> u64 {
        match self {
            Hash::Packed(_) | Hash::Timed(_) => {
                self.iter(now_ms)
                    .for_each(|(field, value)| visit(field, value));
                0
            }
            Hash::Table(table) => table.scan(cursor, now_ms, |field, value| {
                visit(Element::Bytes(field), Element::Bytes(value));
            }),
        }
    }

    /// Removes fields whose time has come, after looking at about `budget`, and names them. What is left to
    /// do shows in [`Collection::due_ms`].
    pub fn sweep(&mut self, now_ms: i64, budget: usize, gone: impl FnMut(&[u8])) -> Swept {
        match self {
            Hash::Packed(_) => Swept::default(),
            Hash::Timed(pack) => timed::sweep(pack, now_ms, budget, gone),
            Hash::Table(table) => table.sweep(now_ms, budget, gone),
        }
    }
}

fn set_packed(pack: &mut Listpack, field: &[u8], value: &[u8]) -> bool {
    match pack.find(field, 0, 2) {
        Some(at) => {
            replace_behind(pack, at, value);
            false
        }
        None => {
            pack.push_back(field);
            pack.push_back(value);
            true
        }
    }
}

/// Replaces the value of the field at a position.
fn replace_behind(pack: &mut Listpack, field: Pos, value: &[u8]) {
    if let Some(at) = pack.next(field) {
        pack.replace(at, value);
    }
}

#[cfg(test)]
mod tests;
