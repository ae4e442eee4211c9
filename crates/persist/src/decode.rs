//! Values out of dumps, of every type that Redis 1 to 8 and Valkey write, straight into the store's
//! structures.
//!
//! Whatever the bytes are, the result is a value as its commands leave it, or an error. So everything that a
//! structure relies on is checked here, once: order, lengths from both sides, nothing twice, nothing empty.
//!
//! To add a type, add its number to `format.rs` and an arm to [`Decoder::value`].

mod hash;
mod list;
pub(crate) mod module;
mod set;
mod stream;
mod zset;

use crate::error::{Error, corrupt};
use crate::format::{Dialect, kind};
use crate::source::{self, Scratch, Source, Text};
use store::element::integer;
use store::entry::NewValue;
use store::hashing::hash as hash_of;
use store::listpack::Listpack;
use store::shard::{Expiry, Type};
use store::{Blob, Element, Key, Limits, Shard, Value};

/// Reads values one after the other, and keeps the memory that it needs for that.
pub struct Decoder {
    limits: Limits,
    name: Scratch,
    text: Scratch,
    value: Scratch,
    marks: Vec<u64>,
}

/// A value that was read, of which a short text is with the decoder.
pub(crate) enum Kept {
    Int(i64),
    Text,
    Long(Blob),
    Collection(Value),
}

/// A value that was read.
pub enum Decoded<'a> {
    Short(Element<'a>),
    Long(Blob),
    Collection(Value),
}

impl Decoded<'_> {
    pub fn value_type(&self) -> Type {
        match self {
            Decoded::Short(_) | Decoded::Long(_) => Type::String,
            Decoded::Collection(value) => value.value_type(),
        }
    }

    /// Makes a key hold the value, whatever was there.
    pub fn put(self, shard: &mut Shard, db: usize, key: Key<'_>, expiry: Expiry) {
        let value = match self {
            Decoded::Collection(value) => return shard.put(db, key, value, expiry),
            Decoded::Short(Element::Int(value)) => NewValue::Int(value),
            Decoded::Short(Element::Bytes(text)) => match integer(text) {
                Some(value) => NewValue::Int(value),
                None => NewValue::Bytes(text),
            },
            Decoded::Long(blob) => NewValue::Blob(blob),
        };
        shard.set(db, key, value, None, expiry);
    }
}

impl Decoder {
    /// `limits` decide about encodings, as for commands.
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            limits,
            name: Scratch::default(),
            text: Scratch::default(),
            value: Scratch::default(),
            marks: Vec::new(),
        }
    }

    /// The value of a type.
    pub fn value<S: Source>(
        &mut self,
        source: &mut S,
        value_type: u8,
        dialect: Dialect,
    ) -> Result<Decoded<'_>, Error> {
        let kept = self.read(source, value_type, dialect)?;
        Ok(self.shown(kept))
    }

    /// What was read last, as others see it.
    pub(crate) fn shown(&self, kept: Kept) -> Decoded<'_> {
        match kept {
            Kept::Int(value) => Decoded::Short(Element::Int(value)),
            Kept::Text => Decoded::Short(Element::Bytes(self.text.bytes())),
            Kept::Long(blob) => Decoded::Long(blob),
            Kept::Collection(value) => Decoded::Collection(value),
        }
    }

    /// Reads a value. All of it is read too when the error is that it is empty, or a module's, so whoever is
    /// content without it can go on.
    #[inline]
    pub(crate) fn read<S: Source>(
        &mut self,
        source: &mut S,
        value_type: u8,
        dialect: Dialect,
    ) -> Result<Kept, Error> {
        if value_type != kind::STRING {
            let value = self.collection(source, value_type, dialect)?;
            return Ok(Kept::Collection(value));
        }
        Ok(match source::text(source, &mut self.text)? {
            Text::Int(value) => Kept::Int(value),
            Text::Short => Kept::Text,
            Text::Long(bytes) => Kept::Long(Blob::new(bytes)),
        })
    }

    fn collection<S: Source>(
        &mut self,
        source: &mut S,
        value_type: u8,
        dialect: Dialect,
    ) -> Result<Value, Error> {
        Ok(match value_type {
            kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
                self.list(source, value_type)?.into()
            }
            kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => {
                self.set(source, value_type)?.into()
            }
            kind::ZSET | kind::ZSET_2 | kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => {
                self.zset(source, value_type)?.into()
            }
            kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => {
                self.stream(source, value_type)?.into()
            }
            kind::MODULE => return Err(module::pass(source)?),
            _ => self.hash(source, value_type, dialect)?.into(),
        })
    }

    /// A packed collection as it stands in a dump.
    fn packed<'a, S: Source>(
        source: &'a mut S,
        scratch: &'a mut Scratch,
    ) -> Result<&'a [u8], Error> {
        match source::string(source, scratch)? {
            Element::Bytes(bytes) => Ok(bytes),
            Element::Int(_) => Err(corrupt("a packed collection")),
        }
    }

    fn listpack<S: Source>(&mut self, source: &mut S) -> Result<Listpack, Error> {
        let bytes = Self::packed(source, &mut self.text)?;
        Ok(Listpack::from_redis(bytes)?)
    }

    /// A listpack of groups of `step` elements, of which the first is different in each.
    fn distinct_listpack<S: Source>(
        &mut self,
        source: &mut S,
        step: usize,
    ) -> Result<Listpack, Error> {
        let pack = self.listpack(source)?;
        if pack.is_empty() {
            return Err(Error::Empty);
        }
        if !pack.len().is_multiple_of(step) || !is_distinct(&pack, step, &mut self.marks) {
            return Err(corrupt("a packed collection"));
        }
        Ok(pack)
    }
}

/// How many elements follow; at least one.
fn count(source: &mut impl Source) -> Result<u64, Error> {
    match source::len(source)? {
        0 => Err(Error::Empty),
        n => Ok(n),
    }
}

/// A number of elements that nobody has seen yet, for what only compares it with limits.
fn claimed(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Whether every `step`th element, from the first on, has a text of its own. Hashes are compared first, and
/// texts only if two are the same.
fn is_distinct(pack: &Listpack, step: usize, marks: &mut Vec<u64>) -> bool {
    let firsts = || pack.iter().step_by(step);
    marks.clear();
    marks.extend(firsts().map(|element| element.with(hash_of)));
    marks.sort_unstable();
    let distinct = marks.is_sorted_by(|a, b| a < b);
    if marks.capacity() > MARKS_KEPT {
        *marks = Vec::new();
    }
    distinct || {
        let mut texts: Vec<_> = firsts().map(|element| element.text()).collect();
        texts.sort_unstable();
        texts.is_sorted_by(|a, b| a < b)
    }
}

/// Hashes whose memory is kept from one collection to the next.
const MARKS_KEPT: usize = 64 * 1024;
