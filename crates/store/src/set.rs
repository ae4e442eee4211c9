//! Sets: integers in order, short members packed, or a table.
//!
//! A set begins as integers, or packed if its first member is none, and leaves an encoding as Redis
//! does: when it has more members than the limits allow or one that is too long or no integer. It never
//! goes back, but for the results of commands, which are built anew.

pub mod algebra;
mod draw;
#[cfg(test)]
mod tests;

use crate::dict::{self, Dict};
use crate::element::{Digits, Element, integer};
use crate::intset::{self, Intset};
use crate::listpack::{self, Listpack};
use crate::shard::Type;
use crate::value::{Collection, Limits};

/// Bytes of a listpack beyond which nothing is added.
const PACK_MAX: usize = 1 << 30;
/// Integers of an intset beyond which nothing is added, whatever the limits say.
const INTS_MAX: usize = 1 << 30;

#[derive(Clone)]
pub enum Set {
    Ints(Intset),
    Packed(Listpack),
    Table(Box<Dict>),
}

impl Default for Set {
    fn default() -> Set {
        Set::Ints(Intset::default())
    }
}

impl Set {
    /// Prepares for `n` members to be added, of which `first` is the first.
    #[inline]
    pub fn expect(&mut self, first: &[u8], n: usize, limits: &Limits) {
        match self {
            Set::Ints(ints) if ints.is_empty() => {
                if n <= limits.set_max_intset_entries && integer(first).is_some() {
                    return;
                }
                *self = if n <= limits.set_max_listpack_entries {
                    Set::Packed(Listpack::new())
                } else {
                    Set::Table(Box::default())
                };
            }
            Set::Ints(_) if n > limits.set_max_intset_entries => self.tabulate(),
            Set::Packed(_) if n > limits.set_max_listpack_entries => self.tabulate(),
            _ => {}
        }
    }

    /// Adds a member; false if it is there.
    #[inline]
    pub fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        match self {
            Set::Table(dict) => dict.insert(member, &[]),
            Set::Packed(_) => self.add_packed(member, limits),
            Set::Ints(_) => match integer(member) {
                Some(value) => self.add_int(value, limits),
                None => {
                    self.leave_ints(member, limits);
                    self.add(member, limits)
                }
            },
        }
    }

    /// [`Set::add`] for a member of another set.
    pub fn add_element(&mut self, member: Element<'_>, limits: &Limits) -> bool {
        match (&self, member) {
            (Set::Ints(_), Element::Int(value)) => self.add_int(value, limits),
            _ => member.with(|bytes| self.add(bytes, limits)),
        }
    }

    fn add_int(&mut self, value: i64, limits: &Limits) -> bool {
        let Set::Ints(ints) = self else {
            return self.add(Digits::of(value).bytes(), limits);
        };
        if !ints.insert(value) {
            return false;
        }
        if ints.len() > limits.set_max_intset_entries.min(INTS_MAX) {
            self.tabulate();
        }
        true
    }

    fn add_packed(&mut self, member: &[u8], limits: &Limits) -> bool {
        let Set::Packed(pack) = self else {
            return self.add(member, limits);
        };
        if pack.find(member, 0, 1).is_some() {
            return false;
        }
        if pack.len() < limits.set_max_listpack_entries
            && member.len() <= limits.set_max_listpack_value
            && pack.bytes_len() + member.len() <= PACK_MAX
        {
            pack.push_back(member);
            return true;
        }
        self.tabulate();
        self.add(member, limits)
    }

    /// Turns integers into an encoding that can take a member that is none.
    #[cold]
    fn leave_ints(&mut self, member: &[u8], limits: &Limits) {
        let Set::Ints(ints) = &*self else { return };
        let len = ints.len();
        let ends = [ints.get(0), ints.get(len.saturating_sub(1))];
        let digits = |end: Option<i64>| end.map_or(0, |v| Digits::of(v).bytes().len());
        let longest = digits(ends[0]).max(digits(ends[1])).max(member.len());
        if len >= limits.set_max_listpack_entries
            || longest > limits.set_max_listpack_value
            || (len + 1).saturating_mul(longest) > PACK_MAX
        {
            return self.tabulate();
        }
        let mut pack = Listpack::new();
        for value in ints.iter() {
            pack.push_back(Digits::of(value).bytes());
        }
        *self = Set::Packed(pack);
    }

    /// Turns into a table.
    #[cold]
    fn tabulate(&mut self) {
        let mut dict = Dict::new();
        for member in self.iter() {
            member.with(|bytes| dict.insert(bytes, &[]));
        }
        *self = Set::Table(Box::new(dict));
    }

    /// Takes a member out; false if there is none.
    #[inline]
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Table(dict) => dict.remove(member),
            Set::Ints(ints) => integer(member).is_some_and(|value| ints.remove(value)),
            Set::Packed(pack) => match pack.find(member, 0, 1) {
                Some(at) => {
                    pack.remove(at);
                    true
                }
                None => false,
            },
        }
    }

    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Set::Table(dict) => dict.contains(member),
            Set::Ints(ints) => integer(member).is_some_and(|value| ints.contains(value)),
            Set::Packed(pack) => pack.find(member, 0, 1).is_some(),
        }
    }

    /// [`Set::contains`] for a member of another set.
    #[inline]
    pub fn contains_element(&self, member: Element<'_>) -> bool {
        match (self, member) {
            (Set::Ints(ints), Element::Int(value)) => ints.contains(value),
            _ => member.with(|bytes| self.contains(bytes)),
        }
    }

    /// All members.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        match self {
            Set::Ints(ints) => Iter::Ints(ints.iter()),
            Set::Packed(pack) => Iter::Packed(pack.iter()),
            Set::Table(dict) => Iter::Table(dict.iter()),
        }
    }

    /// Visits some members and answers the next cursor, 0 at the end. A member that is there during a
    /// whole walk is visited.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(Element<'_>)) -> u64 {
        if let Set::Table(dict) = self {
            return dict.scan(cursor, |member, _| visit(Element::Bytes(member)));
        }
        self.iter().for_each(visit);
        0
    }
}

/// The members of a set.
#[derive(Clone)]
pub enum Iter<'a> {
    Ints(intset::Iter<'a>),
    Packed(listpack::Iter<'a>),
    Table(dict::Iter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            Iter::Ints(ints) => ints.next().map(Element::Int),
            Iter::Packed(pack) => pack.next(),
            Iter::Table(dict) => dict.next().map(|(member, _)| Element::Bytes(member)),
        }
    }
}

impl Collection for Set {
    const TYPE: Type = Type::Set;

    #[inline]
    fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Packed(pack) => pack.len(),
            Set::Table(dict) => dict.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Packed(_) => "listpack",
            Set::Table(_) => "hashtable",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.memory(),
            Set::Packed(pack) => pack.memory(),
            Set::Table(dict) => dict.memory(),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Set::Ints(_) | Set::Packed(_) => 1,
            Set::Table(dict) => dict.weight(),
        }
    }

    fn free_some(&mut self, budget: usize) -> bool {
        match self {
            Set::Ints(_) | Set::Packed(_) => true,
            Set::Table(dict) => dict.free_some(budget),
        }
    }
}
