//! Collections as values of keys: what the keyspace asks of a type, and how an entry holds one.
//!
//! A collection is one word: an enum of encodings, each of which is a single pointer. The entry holds
//! that word, and its kind says the type. So a small hash costs its entry, eight bytes there, and one
//! allocation.
//!
//! Collections live in the process's allocator, not in the shard's slab: one moves to another shard, or is
//! read from there under a lock, as it is.
//!
//! To add an encoding to a type, add a variant whose payload implements [`Raw`] to its enum and to the
//! list at the end of this file.
//!
//! # Safety
//!
//! A word made by [`Word::into_word`] owns the collection. It is read back by [`Word::from_word`], and
//! dropped, exactly once; whoever looks at it before wraps it in `ManuallyDrop`.

use crate::hash::Hash;
use crate::intset::Intset;
use crate::list::List;
use crate::listpack::Listpack;
use crate::set::Set;
use crate::shard::Type;
use crate::stream::Stream;
use crate::thin::Thin;
use crate::zset::Zset;

/// Bounds beyond which collections leave their packed encodings, as the directives of the same names
/// set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub hash_max_listpack_entries: usize,
    /// Bytes.
    pub hash_max_listpack_value: usize,
    /// Elements of a list's node if positive; from -1 to -5 a size of 4 KB to 64 KB.
    pub list_max_listpack_size: i64,
    /// Nodes at each end that are never compressed; 0: none is compressed.
    pub list_compress_depth: usize,
    pub set_max_intset_entries: usize,
    pub set_max_listpack_entries: usize,
    /// Bytes.
    pub set_max_listpack_value: usize,
    pub zset_max_listpack_entries: usize,
    /// Bytes.
    pub zset_max_listpack_value: usize,
    /// Bytes.
    pub stream_node_max_bytes: usize,
    pub stream_node_max_entries: usize,
    /// Bytes of a sparse HyperLogLog.
    pub hll_sparse_max_bytes: usize,
}

impl Limits {
    /// Redis's defaults.
    pub const DEFAULT: Limits = Limits {
        hash_max_listpack_entries: 512,
        hash_max_listpack_value: 64,
        list_max_listpack_size: -2,
        list_compress_depth: 0,
        set_max_intset_entries: 512,
        set_max_listpack_entries: 128,
        set_max_listpack_value: 64,
        zset_max_listpack_entries: 128,
        zset_max_listpack_value: 64,
        stream_node_max_bytes: 4096,
        stream_node_max_entries: 100,
        hll_sparse_max_bytes: 3000,
    };
}

/// What the keyspace asks of a type.
pub trait Collection: Word + Default + Clone {
    const TYPE: Type;

    /// Elements: a key with none is removed, unless the type says otherwise.
    fn len(&self) -> usize;

    /// Whether a key that holds this is to be removed.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name that OBJECT ENCODING answers.
    fn encoding(&self) -> &'static str;

    /// Bytes allocated for it; large ones may estimate.
    fn memory(&self) -> usize;

    /// About how many allocations are to be freed.
    fn weight(&self) -> usize;

    /// Frees about `budget` allocations of a collection that nobody will read again; true when the
    /// rest can be dropped at once.
    fn free_some(&mut self, budget: usize) -> bool;
}

/// A payload of one pointer, aligned to eight bytes.
///
/// # Safety
/// `from_raw` undoes `into_raw`, whose lowest three bits are zero.
pub unsafe trait Raw: Sized {
    fn into_raw(self) -> u64;

    /// # Safety
    /// `raw` came from `into_raw`, and is used this once.
    unsafe fn from_raw(raw: u64) -> Self;
}

// SAFETY: the allocation is aligned to eight bytes by the assertion.
unsafe impl<T> Raw for Box<T> {
    fn into_raw(self) -> u64 {
        const { assert!(align_of::<T>() >= 8) };
        Box::into_raw(self).expose_provenance() as u64
    }

    unsafe fn from_raw(raw: u64) -> Self {
        // SAFETY: by the contract it came from a box.
        unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut(raw as usize)) }
    }
}

// SAFETY: `Thin` aligns its allocations, and the empty one, to eight bytes.
unsafe impl Raw for Thin {
    fn into_raw(self) -> u64 {
        Thin::into_raw(self)
    }

    unsafe fn from_raw(raw: u64) -> Self {
        // SAFETY: the contract is the same.
        unsafe { Thin::from_raw(raw) }
    }
}

/// A collection as a word: the pointer of its encoding's payload, and the encoding in the lowest bits.
///
/// # Safety
/// `from_word` undoes `into_word`.
pub unsafe trait Word: Sized {
    fn into_word(self) -> u64;

    /// # Safety
    /// `word` came from `into_word` of the same type, and the result, or a copy of it, is dropped once.
    unsafe fn from_word(word: u64) -> Self;
}

/// Any collection.
#[derive(Clone)]
pub enum Value {
    List(List),
    Set(Set),
    Hash(Hash),
    Zset(Zset),
    Stream(Stream),
}

/// Calls a method of whichever collection it is.
macro_rules! each {
    ($value:expr, $inner:ident => $call:expr) => {
        match $value {
            Value::List($inner) => $call,
            Value::Set($inner) => $call,
            Value::Hash($inner) => $call,
            Value::Zset($inner) => $call,
            Value::Stream($inner) => $call,
        }
    };
}

impl Value {
    pub fn value_type(&self) -> Type {
        match self {
            Value::List(_) => Type::List,
            Value::Set(_) => Type::Set,
            Value::Hash(_) => Type::Hash,
            Value::Zset(_) => Type::Zset,
            Value::Stream(_) => Type::Stream,
        }
    }

    pub fn into_parts(self) -> (Type, u64) {
        let value_type = self.value_type();
        (value_type, each!(self, inner => inner.into_word()))
    }

    /// # Safety
    /// As [`Word::from_word`]; the word is of a collection of this type.
    pub unsafe fn from_parts(value_type: Type, word: u64) -> Value {
        // SAFETY: by the contract.
        unsafe {
            match value_type {
                Type::List => Value::List(Word::from_word(word)),
                Type::Set => Value::Set(Word::from_word(word)),
                Type::Hash => Value::Hash(Word::from_word(word)),
                Type::Zset => Value::Zset(Word::from_word(word)),
                Type::Stream => Value::Stream(Word::from_word(word)),
                Type::String => unreachable!("a string is no collection"),
            }
        }
    }

    /// See [`Collection::len`].
    pub fn len(&self) -> usize {
        each!(self, inner => inner.len())
    }

    /// See [`Collection::is_empty`].
    pub fn is_empty(&self) -> bool {
        each!(self, inner => inner.is_empty())
    }

    /// See [`Collection::encoding`].
    pub fn encoding(&self) -> &'static str {
        each!(self, inner => inner.encoding())
    }

    /// See [`Collection::memory`].
    pub fn memory(&self) -> usize {
        each!(self, inner => inner.memory())
    }

    /// See [`Collection::weight`].
    pub fn weight(&self) -> usize {
        each!(self, inner => inner.weight())
    }

    /// See [`Collection::free_some`].
    pub fn free_some(&mut self, budget: usize) -> bool {
        each!(self, inner => inner.free_some(budget))
    }
}

macro_rules! values {
    ($($name:ident),*) => {$(
        impl From<$name> for Value {
            fn from(value: $name) -> Value {
                Value::$name(value)
            }
        }
    )*};
}

values!(List, Set, Hash, Zset, Stream);

const TAG: u64 = 7;

/// Writes a wrapper of [`Thin`] as a payload.
macro_rules! thin {
    ($($name:ident),*) => {$(
        // SAFETY: it is a `Thin` and nothing else.
        unsafe impl Raw for $name {
            fn into_raw(self) -> u64 {
                self.0.into_raw()
            }

            unsafe fn from_raw(raw: u64) -> Self {
                // SAFETY: the contract is the same.
                $name(unsafe { Thin::from_raw(raw) })
            }
        }
    )*};
}

macro_rules! words {
    ($($name:ident { $($variant:ident = $tag:literal),* $(,)? })*) => {$(
        // SAFETY: each encoding has a tag of its own.
        unsafe impl Word for $name {
            #[inline]
            fn into_word(self) -> u64 {
                match self {
                    $($name::$variant(payload) => {
                        let raw = payload.into_raw();
                        debug_assert!(raw & TAG == 0);
                        raw | $tag
                    })*
                }
            }

            #[inline]
            unsafe fn from_word(word: u64) -> Self {
                // SAFETY: the tag says which payload the pointer is of.
                unsafe {
                    match word & TAG {
                        $($tag => $name::$variant(Raw::from_raw(word & !TAG)),)*
                        _ => unreachable!("only these tags are written"),
                    }
                }
            }
        }
    )*};
}

thin!(Listpack, Intset);

words! {
    List { Packed = 0 }
    Set { Ints = 0, Packed = 1 }
    Hash { Packed = 0 }
    Zset { Packed = 0, Tree = 1 }
    Stream { Nodes = 0 }
}
