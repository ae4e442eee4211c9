//! Keys on their way into a shard: read on one thread, put into the keyspace on another, many at a time.
//!
//! Putting a key into a big table is a wait for memory, three times. A batch takes each of the three steps
//! for all of its keys before the next, so the waits are over together.

use crate::decode::Decoded;
use crate::reader::Entry;
use std::ops::Range;
use store::access::Access;
use store::shard::Expiry;
use store::{Blob, Element, Key, Shard, Value};

/// See the module.
#[derive(Default)]
pub struct Batch {
    /// Keys and short values.
    bytes: Vec<u8>,
    keys: Vec<Waiting>,
    hashes: Vec<u64>,
}

struct Waiting {
    db: usize,
    key: Range<usize>,
    value: Kept,
    expiry: Option<i64>,
    access: Option<Access>,
}

enum Kept {
    Int(i64),
    Text(Range<usize>),
    Long(Blob),
    Collection(Value),
}

impl Batch {
    /// Keys at which a batch is worth putting.
    pub const USUAL: usize = 64;

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Takes a key for a database.
    pub fn push(&mut self, db: usize, entry: Entry<'_>) {
        let key = self.keep(entry.key);
        let value = match entry.value {
            Decoded::Short(Element::Int(value)) => Kept::Int(value),
            Decoded::Short(Element::Bytes(text)) => Kept::Text(self.keep(text)),
            Decoded::Long(blob) => Kept::Long(blob),
            Decoded::Collection(value) => Kept::Collection(value),
        };
        self.keys.push(Waiting {
            db,
            key,
            value,
            expiry: entry.expiry,
            access: entry.access,
        });
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }

    /// Puts all keys into their databases, which the shard has. The batch is empty then, and keeps its
    /// memory.
    pub fn put(&mut self, shard: &mut Shard) {
        self.hashes.clear();
        for waiting in &self.keys {
            let key = shard.key(&self.bytes[waiting.key.clone()]);
            shard.prefetch_word(waiting.db, key.hash);
            self.hashes.push(key.hash);
        }
        for (waiting, hash) in self.keys.iter().zip(&self.hashes) {
            shard.prefetch_bucket(waiting.db, *hash);
        }
        for (waiting, hash) in self.keys.drain(..).zip(&self.hashes) {
            let key = Key {
                bytes: &self.bytes[waiting.key],
                hash: *hash,
            };
            let value = match waiting.value {
                Kept::Int(value) => Decoded::Short(Element::Int(value)),
                Kept::Text(text) => Decoded::Short(Element::Bytes(&self.bytes[text])),
                Kept::Long(blob) => Decoded::Long(blob),
                Kept::Collection(value) => Decoded::Collection(value),
            };
            let expiry = waiting.expiry.map_or(Expiry::Clear, Expiry::At);
            value.put(shard, waiting.db, key, expiry);
            if let Some(access) = waiting.access {
                shard.set_access(waiting.db, key, access);
            }
        }
        self.bytes.clear();
    }
}

// Batches are sent to the threads of their shards.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Batch>();
};
