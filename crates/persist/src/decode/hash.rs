//! Hashes, with and without expiries of fields.

use super::{Decoder, claimed, count};
use crate::error::{Error, corrupt};
use crate::format::{Dialect, FIELD_EXPIRY_MAX, kind};
use crate::source::{self, Source};
use crate::ziplist::Ziplist;
use crate::zipmap::Zipmap;
use store::hash::Hash;
use store::listpack::Listpack;
use store::shard::Expiry;
use store::value::Collection;
use store::{Element, Limits};

/// How the expiry of a field stands in a table of fields.
#[derive(Clone, Copy)]
enum Times {
    /// There is none.
    None,
    /// Before the field, one above the distance from this time; 0 for none.
    Since(u64),
    /// Before the field; 0 for none.
    Absolute,
    /// Behind the value, eight bytes; -1 for none.
    Behind,
}

fn bad() -> Error {
    corrupt("a hash")
}

impl Decoder {
    pub(super) fn hash<S: Source>(
        &mut self,
        source: &mut S,
        value_type: u8,
        dialect: Dialect,
    ) -> Result<Hash, Error> {
        match (value_type, dialect) {
            (kind::HASH, _) => self.fields(source, Times::None),
            (kind::HASH_ZIPMAP, _) => self.zipmap(source),
            (kind::HASH_ZIPLIST, _) => self.hash_ziplist(source),
            (kind::HASH_LISTPACK, _) => {
                let pack = self.distinct_listpack(source, 2)?;
                Ok(sized(Hash::Packed(pack), &self.limits))
            }
            (kind::HASH_2, Dialect::Valkey) => self.fields(source, Times::Behind),
            (kind::HASH_METADATA_PRE_GA, Dialect::Redis) => self.fields(source, Times::Absolute),
            (kind::HASH_METADATA, Dialect::Redis) => {
                let soonest = soonest(source)?;
                self.fields(source, Times::Since(soonest))
            }
            (kind::HASH_LISTPACK_EX_PRE_GA, Dialect::Redis) => self.timed(source),
            (kind::HASH_LISTPACK_EX, Dialect::Redis) => {
                soonest(source)?;
                self.timed(source)
            }
            _ => Err(Error::Unknown(value_type)),
        }
    }

    fn fields<S: Source>(&mut self, source: &mut S, times: Times) -> Result<Hash, Error> {
        let n = count(source)?;
        let mut hash = Hash::default();
        match times {
            Times::None => hash.prepare(claimed(n), &self.limits),
            // As in Redis, which wrote a packed one otherwise.
            _ => hash.prepare(usize::MAX, &self.limits),
        }
        for _ in 0..n {
            let before = match times {
                Times::None | Times::Behind => 0,
                Times::Absolute => source::len(source)?,
                Times::Since(soonest) => match source::len(source)? {
                    0 => 0,
                    distance => soonest.checked_add(distance - 1).ok_or_else(bad)?,
                },
            };
            self.name.set(source::string(source, &mut self.text)?);
            let value = source::string(source, &mut self.text)?;
            // The value is copied only if something stands behind it.
            match times {
                Times::Behind => {
                    self.value.set(value);
                    let at = match source::millis(source)? {
                        -1 => 0,
                        at => u64::try_from(at).map_err(|_| bad())?,
                    };
                    let value = self.value.bytes();
                    add(&mut hash, self.name.bytes(), value, at, &self.limits)?;
                }
                _ => {
                    let field = self.name.bytes();
                    value.with(|value| add(&mut hash, field, value, before, &self.limits))?;
                }
            }
        }
        Ok(hash)
    }

    fn zipmap<S: Source>(&mut self, source: &mut S) -> Result<Hash, Error> {
        let map = Zipmap::new(Self::packed(source, &mut self.text)?)?;
        let mut hash = Hash::default();
        for (field, value) in map {
            add(&mut hash, field, value, 0, &self.limits)?;
        }
        nonempty(hash)
    }

    fn hash_ziplist<S: Source>(&mut self, source: &mut S) -> Result<Hash, Error> {
        let mut list = Ziplist::new(Self::packed(source, &mut self.text)?)?;
        if !list.len().is_multiple_of(2) {
            return Err(bad());
        }
        let mut hash = Hash::default();
        hash.prepare(list.len() / 2, &self.limits);
        while let (Some(field), Some(value)) = (list.next(), list.next()) {
            field
                .with(|field| value.with(|value| add(&mut hash, field, value, 0, &self.limits)))?;
        }
        nonempty(hash)
    }

    /// Fields, values and expiries in a listpack.
    fn timed<S: Source>(&mut self, source: &mut S) -> Result<Hash, Error> {
        let pack = self.distinct_listpack(source, 3)?;
        let mut expiries = pack.iter().skip(2).step_by(3);
        let valid = |element: Element<'_>| match element {
            Element::Int(at) => u64::try_from(at).is_ok_and(|at| at <= FIELD_EXPIRY_MAX),
            Element::Bytes(_) => false,
        };
        if !expiries.all(valid) {
            return Err(bad());
        }
        let in_order = pack.iter().skip(2).step_by(3).map(place).is_sorted();
        let hash = match in_order {
            true => Hash::Timed(pack),
            false => self.reordered(&pack)?,
        };
        Ok(sized(hash, &self.limits))
    }

    /// A packed hash with the fields in the order of their expiries.
    fn reordered(&self, pack: &Listpack) -> Result<Hash, Error> {
        let mut hash = Hash::default();
        hash.prepare(pack.len() / 3, &self.limits);
        let mut elements = pack.iter();
        while let (Some(field), Some(value), Some(at)) =
            (elements.next(), elements.next(), elements.next())
        {
            let at = match at {
                Element::Int(at) => at as u64,
                Element::Bytes(_) => return Err(bad()),
            };
            field
                .with(|field| value.with(|value| add(&mut hash, field, value, at, &self.limits)))?;
        }
        Ok(hash)
    }
}

/// Where a field with this expiry stands: 0, for none, behind all others.
fn place(expiry: Element<'_>) -> i64 {
    match expiry {
        Element::Int(at) if at != 0 => at,
        _ => i64::MAX,
    }
}

/// The soonest expiry of all fields; 0 if there is none.
fn soonest(source: &mut impl Source) -> Result<u64, Error> {
    u64::try_from(source::millis(source)?).map_err(|_| bad())
}

/// Adds a field that is not there. An expiry of 0 is none.
fn add(hash: &mut Hash, field: &[u8], value: &[u8], at: u64, limits: &Limits) -> Result<(), Error> {
    /// Nothing has expired yet, so that no field is taken for a new one.
    const BEFORE_ALL: i64 = i64::MIN;
    let expiry = match at {
        0 => Expiry::Keep,
        1..=FIELD_EXPIRY_MAX => Expiry::At(at as i64),
        _ => return Err(bad()),
    };
    match hash.set(field, value, expiry, BEFORE_ALL, limits) {
        true => Ok(()),
        false => Err(bad()),
    }
}

/// The same hash, as a table if it has more fields than a packed one.
fn sized(mut hash: Hash, limits: &Limits) -> Hash {
    hash.prepare(hash.len(), limits);
    hash
}

fn nonempty(hash: Hash) -> Result<Hash, Error> {
    match hash.is_empty() {
        true => Err(Error::Empty),
        false => Ok(hash),
    }
}
