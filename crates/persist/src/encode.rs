//! Keys and values as dumps have them, in the oldest form that can hold each.
//!
//! ```text
//! expiry | idle time or frequency | type | key | value
//! ```
//!
//! Redis 7.0 can read whatever it could hold itself: sets are written as members, because their listpacks
//! came with 7.2, and streams in their second form, unless a consumer's times differ in a way that only the
//! third form tells. Expiries of fields need Redis 7.4.
//!
//! An encoder keeps its memory from one key to the next. Each shard has one of its own, and hands on chunks.

mod stream;

use crate::crc64;
use crate::format::{NODE_PACKED, NODE_PLAIN, kind, length, opcode};
use crate::lzf::{self, Compressor};
use crate::parts::{Parts, each, nothing};
use store::access::{Access, Stamp};
use store::element::{Digits, integer};
use store::hash::Hash;
use store::list::{List, Node};
use store::listpack;
use store::picture::{Picture, Pictured};
use store::set::Set;
use store::shard::Item;
use store::value::Collection;
use store::zset::{Direction, Zset};
use store::{Element, Held, Str, Value};

/// Whether strings that become shorter that way are written compressed, as `rdbcompression` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Lzf,
}

/// A part of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    pub crc: u64,
    /// The oldest version that knows everything in it.
    pub version: u32,
}

/// Bytes of memory that are kept from one string to the next.
const KEPT: usize = 1 << 20;

/// See the module.
pub struct Encoder {
    out: Vec<u8>,
    compression: Compression,
    compressor: Option<Compressor>,
    /// A compressed string.
    scratch: Vec<u8>,
    /// A packed collection.
    pack: Vec<u8>,
    version: u32,
}

/// A value that is to be written.
pub(crate) enum View<'a> {
    Text(Str<'a>),
    Collection(Held<'a, Value>),
}

impl<'a> View<'a> {
    pub(crate) fn of(item: &Item<'a>) -> View<'a> {
        match item.str() {
            Ok(text) => View::Text(text),
            // What is no string is a collection.
            Err(_) => match item.value() {
                Some(value) => View::Collection(value),
                None => View::Text(Str::Bytes(&[])),
            },
        }
    }
}

/// The type of strings, and the first version that has it.
const TEXT: (u8, u32) = (kind::STRING, 6);

/// The type to be written, and the first version that has it.
fn kind_of(value: &Value) -> (u8, u32) {
    match value {
        Value::List(_) => (kind::LIST_QUICKLIST_2, 10),
        Value::Set(Set::Ints(_)) => (kind::SET_INTSET, 6),
        Value::Set(_) => (kind::SET, 6),
        Value::Hash(Hash::Packed(_)) => (kind::HASH_LISTPACK, 10),
        Value::Hash(Hash::Timed(_)) if value.due_ms() != i64::MAX => (kind::HASH_LISTPACK_EX, 12),
        Value::Hash(Hash::Table(table)) if table.is_timed() => (kind::HASH_METADATA, 12),
        Value::Hash(_) => (kind::HASH, 6),
        Value::Zset(Zset::Packed(_)) => (kind::ZSET_LISTPACK, 10),
        Value::Zset(Zset::Tree(_)) => (kind::ZSET_2, 8),
        Value::Stream(stream) => stream::kind(stream),
    }
}

impl Encoder {
    pub fn new(compression: Compression) -> Encoder {
        Encoder {
            out: Vec::new(),
            compression,
            compressor: None,
            scratch: Vec::new(),
            pack: Vec::new(),
            version: 0,
        }
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// The oldest version that knows everything that was written.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Forgets what was written, and keeps the memory.
    pub fn clear(&mut self) {
        self.out.clear();
        self.version = 0;
    }

    /// What was written, summed up. The encoder goes on with other memory.
    pub fn take(&mut self) -> Chunk {
        let bytes = std::mem::take(&mut self.out);
        Chunk {
            crc: crc64::update(0, &bytes),
            bytes,
            version: std::mem::take(&mut self.version),
        }
    }

    /// Goes on in memory that was used for something else.
    pub fn reuse(&mut self, mut memory: Vec<u8>) {
        memory.clear();
        if self.out.is_empty() {
            self.out = memory;
        }
    }

    /// A fact about the file.
    pub fn aux(&mut self, name: &str, value: &[u8]) {
        self.op(opcode::AUX, 7);
        self.string(name.as_bytes());
        self.string(value);
    }

    /// The source of a library of functions.
    pub fn function(&mut self, code: &[u8]) {
        self.op(opcode::FUNCTION, 10);
        self.string(code);
    }

    /// The keys that follow are in this database.
    pub fn select(&mut self, db: usize) {
        self.op(opcode::SELECT_DB, 1);
        self.len(db as u64);
    }

    /// How many keys the database has, and how many of them expire.
    pub fn resize(&mut self, keys: usize, volatile: usize) {
        self.op(opcode::RESIZE_DB, 7);
        self.len(keys as u64);
        self.len(volatile as u64);
    }

    /// A key. With a stamp it is told too how recently or how often it was used.
    pub fn key(&mut self, item: &Item<'_>, stamp: Option<Stamp>) {
        self.facts(item.expiry(), stamp.map(|stamp| stamp.told(item.access())));
        let view = View::of(item);
        self.kind(&view);
        self.string(item.key());
        self.body(&view);
    }

    /// A key whose value is large: `full` is called whenever about `most` bytes have been written, and at the
    /// end. It may [take](Encoder::take) them. Tables go page by page, so that what changes in them meanwhile
    /// need not be kept twice for longer.
    pub fn picture<E>(
        &mut self,
        picture: Picture,
        tells_use: bool,
        most: usize,
        mut full: impl FnMut(&mut Encoder) -> Result<(), E>,
    ) -> Result<(), E> {
        let told = tells_use.then(|| picture.stamp.told(picture.access));
        self.facts(picture.expiry, told);
        let (value_type, version) = match &picture.value {
            Pictured::Text(_) => TEXT,
            Pictured::Collection(value) => kind_of(value),
        };
        self.op(value_type, version);
        self.string(&picture.key);
        let soonest = match &picture.value {
            Pictured::Collection(Value::Hash(hash)) => soonest(hash),
            _ => None,
        };
        match picture.value {
            Pictured::Text(text) => self.string(&text),
            Pictured::Collection(Value::Set(Set::Table(dict))) => {
                self.len(dict.len() as u64);
                let mut pages = dict.drain();
                while pages.next_page(|member, _| self.string(member)) {
                    self.when(most, &mut full)?;
                }
            }
            Pictured::Collection(Value::Hash(Hash::Table(table))) => {
                self.before_fields(table.len(), soonest);
                let mut pages = table.drain();
                while pages.next_page(|field, value, at| {
                    let (field, value) = (Element::Bytes(field), Element::Bytes(value));
                    self.field((field, value, at), soonest);
                }) {
                    self.when(most, &mut full)?;
                }
            }
            Pictured::Collection(value) => {
                let mut parts = self.parts(&value);
                while parts(self) {
                    self.when(most, &mut full)?;
                }
            }
        }
        full(self)
    }

    /// Calls `full` if so many bytes have been written.
    fn when<E>(
        &mut self,
        most: usize,
        full: &mut impl FnMut(&mut Encoder) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.out.len() >= most {
            true => full(self),
            false => Ok(()),
        }
    }

    /// What stands before a key.
    fn facts(&mut self, expiry: Option<i64>, told: Option<Access>) {
        if let Some(at) = expiry {
            self.op(opcode::EXPIRE_MS, 3);
            self.out.extend_from_slice(&at.to_le_bytes());
        }
        match told {
            None => {}
            Some(Access::Idle(seconds)) => {
                self.op(opcode::IDLE, 9);
                self.len(seconds);
            }
            Some(Access::Frequency(count)) => {
                self.op(opcode::FREQ, 9);
                self.out.push(count);
            }
        }
    }

    /// A value with its type, as payloads begin.
    pub fn value(&mut self, item: &Item<'_>) {
        let view = View::of(item);
        self.kind(&view);
        self.body(&view);
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    fn op(&mut self, code: u8, version: u32) {
        self.out.push(code);
        self.version = self.version.max(version);
    }

    #[inline]
    fn kind(&mut self, view: &View<'_>) {
        let (value_type, version) = match view {
            View::Text(_) => TEXT,
            View::Collection(value) => kind_of(value),
        };
        self.op(value_type, version);
    }

    fn body(&mut self, view: &View<'_>) {
        let value = match view {
            View::Text(Str::Int(value)) => return self.element(Element::Int(*value)),
            View::Text(Str::Bytes(text)) => return self.string(text),
            View::Text(Str::Blob(blob)) => return self.string(blob.bytes()),
            View::Collection(value) => &**value,
        };
        let mut parts = self.parts(value);
        while parts(self) {}
    }

    /// Begins a value, and answers what writes the rest of it.
    fn parts<'a>(&mut self, value: &'a Value) -> Parts<'a, Encoder> {
        match value {
            Value::List(list) => self.list(list),
            Value::Set(set) => self.set(set),
            Value::Hash(hash) => self.hash(hash),
            Value::Zset(zset) => self.zset(zset),
            Value::Stream(stream) => self.stream(stream),
        }
    }

    #[inline]
    fn len(&mut self, len: u64) {
        put_len(&mut self.out, len);
    }

    #[inline]
    fn element(&mut self, element: Element<'_>) {
        match element {
            Element::Bytes(text) => self.string(text),
            Element::Int(value) => match i32::try_from(value) {
                Ok(value) => put_int(&mut self.out, value),
                Err(_) => put_raw(&mut self.out, Digits::of(value).bytes()),
            },
        }
    }

    /// A string: an integer if it is the text of one, compressed if it becomes shorter.
    #[inline]
    fn string(&mut self, text: &[u8]) {
        /// The longest text of 32 bits.
        const INT_MAX: usize = 11;
        if text.len() <= INT_MAX
            && let Some(value) = integer(text).and_then(|value| i32::try_from(value).ok())
        {
            return put_int(&mut self.out, value);
        }
        if text.len() < lzf::MIN || self.compression == Compression::None || !self.compressed(text)
        {
            put_raw(&mut self.out, text);
        }
    }

    /// Writes a string compressed, if it becomes shorter.
    fn compressed(&mut self, text: &[u8]) -> bool {
        self.scratch.clear();
        let compressor = self.compressor.get_or_insert_default();
        if !compressor.compress(text, &mut self.scratch) {
            return false;
        }
        self.out.push(length::LZF);
        put_len(&mut self.out, self.scratch.len() as u64);
        put_len(&mut self.out, text.len() as u64);
        self.out.extend_from_slice(&self.scratch);
        if self.scratch.capacity() > KEPT {
            self.scratch = Vec::new();
        }
        true
    }

    fn list<'a>(&mut self, list: &'a List) -> Parts<'a, Encoder> {
        self.len(list.node_count() as u64);
        each(list.nodes(), |encoder: &mut Encoder, node| match node {
            Node::Plain(text) => {
                encoder.len(NODE_PLAIN);
                encoder.string(text);
            }
            Node::Packed(entries, len) => {
                encoder.len(NODE_PACKED);
                encoder.packed(|to| listpack::append_redis(entries, len, to));
            }
        })
    }

    fn set<'a>(&mut self, set: &'a Set) -> Parts<'a, Encoder> {
        if let Set::Ints(ints) = set {
            self.packed(|to| ints.append_redis_to(to));
            return nothing();
        }
        self.len(set.len() as u64);
        each(set.iter(), Encoder::element)
    }

    fn hash<'a>(&mut self, hash: &'a Hash) -> Parts<'a, Encoder> {
        let soonest = soonest(hash);
        match (hash, soonest) {
            (Hash::Packed(pack), _) => {
                self.packed(|to| pack.append_redis_to(to));
                nothing()
            }
            (Hash::Timed(pack), Some(soonest)) => {
                self.raw(&soonest.to_le_bytes());
                self.packed(|to| pack.append_redis_to(to));
                nothing()
            }
            _ => {
                self.before_fields(hash.len(), soonest);
                each(hash.fields(), move |encoder: &mut Encoder, field| {
                    encoder.field(field, soonest)
                })
            }
        }
    }

    fn before_fields(&mut self, fields: usize, soonest: Option<i64>) {
        if let Some(soonest) = soonest {
            self.raw(&soonest.to_le_bytes());
        }
        self.len(fields as u64);
    }

    #[inline]
    fn field(&mut self, field: (Element<'_>, Element<'_>, Option<i64>), soonest: Option<i64>) {
        let (field, value, at) = field;
        if let Some(soonest) = soonest {
            self.len(at.map_or(0, |at| at.abs_diff(soonest) + 1));
        }
        self.element(field);
        self.element(value);
    }

    /// From the last element to the first, which is how Redis builds its lists fastest.
    fn zset<'a>(&mut self, zset: &'a Zset) -> Parts<'a, Encoder> {
        if let Zset::Packed(pack) = zset {
            self.packed(|to| pack.append_redis_to(to));
            return nothing();
        }
        let len = zset.len();
        self.len(len as u64);
        let all = zset.range(len.saturating_sub(1), len, Direction::Down);
        each(all, |encoder: &mut Encoder, (member, score)| {
            encoder.element(member);
            encoder.raw(&score.to_le_bytes());
        })
    }

    /// A packed collection, which `write` puts behind other bytes.
    fn packed(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = std::mem::take(&mut self.pack);
        bytes.clear();
        write(&mut bytes);
        self.string(&bytes);
        if bytes.capacity() <= KEPT {
            self.pack = bytes;
        }
    }
}

/// The soonest expiry of all fields.
fn soonest(hash: &Hash) -> Option<i64> {
    let expiries = || hash.fields().filter_map(|(_, _, at)| at);
    hash.is_timed().then(|| expiries().min()).flatten()
}

#[inline]
fn put_len(out: &mut Vec<u8>, len: u64) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend([length::BITS_14 | (len >> 8) as u8, len as u8]),
        _ => put_wide_len(out, len),
    }
}

#[cold]
fn put_wide_len(out: &mut Vec<u8>, len: u64) {
    match u32::try_from(len) {
        Ok(len) => {
            out.push(length::BYTES_4);
            out.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            out.push(length::BYTES_8);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

#[inline]
fn put_raw(out: &mut Vec<u8>, text: &[u8]) {
    put_len(out, text.len() as u64);
    out.extend_from_slice(text);
}

#[inline]
fn put_int(out: &mut Vec<u8>, value: i32) {
    if let Ok(value) = i8::try_from(value) {
        out.extend([length::INT_1, value as u8]);
    } else if let Ok(value) = i16::try_from(value) {
        let [a, b] = value.to_le_bytes();
        out.extend([length::INT_2, a, b]);
    } else {
        let [a, b, c, d] = value.to_le_bytes();
        out.extend([length::INT_4, a, b, c, d]);
    }
}
