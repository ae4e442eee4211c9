//! One key with its value: a single small allocation.
//!
//! ```text
//! header (8) | expiry (8, if any) | key length (8, if > 254) | key | value
//!
//! header: kind and flags (1) | access (3) | key length (1) | free (1) | value length (2)
//! ```
//!
//! The value is the bytes themselves if the whole entry stays within [`slab::MAX`], an integer of 8
//! bytes, the pointer of a [`Blob`], or the word of a collection (see [`crate::value`]). A key of 16 bytes
//! with a value of 16 takes 40 bytes.
//!
//! # Safety
//!
//! An [`Entry`] is a plain pointer. Its owner, the shard, frees it once, and only after it left the
//! table; all functions here require that it is live. Fields after the header are not aligned.

use crate::shard::Type;
use crate::slab::{self, Slab};
use crate::value::Value;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// A string value too long for an entry. Replies in flight, and later snapshots, share it; it is
/// changed in place only while nobody does.
pub type Blob = Arc<Vec<u8>>;

const HEADER: usize = 8;
/// `klen` of a key whose length stands in a field of its own.
const LONG_KEY: u8 = 255;

/// What the value field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Int = 0,
    Inline = 1,
    Blob = 2,
    List = 3,
    Set = 4,
    Hash = 5,
    Zset = 6,
    Stream = 7,
}

impl Kind {
    pub fn value_type(self) -> Type {
        match self {
            Kind::Int | Kind::Inline | Kind::Blob => Type::String,
            Kind::List => Type::List,
            Kind::Set => Type::Set,
            Kind::Hash => Type::Hash,
            Kind::Zset => Type::Zset,
            Kind::Stream => Type::Stream,
        }
    }

    /// The kind of the entry of a collection.
    ///
    /// # Panics
    /// For strings, which have several.
    pub const fn of(value_type: Type) -> Kind {
        match value_type {
            Type::String => panic!("a string may be of several kinds"),
            Type::List => Kind::List,
            Type::Set => Kind::Set,
            Type::Hash => Kind::Hash,
            Type::Zset => Kind::Zset,
            Type::Stream => Kind::Stream,
        }
    }

    #[inline]
    pub fn is_string(self) -> bool {
        matches!(self, Kind::Int | Kind::Inline | Kind::Blob)
    }

    /// Whether the entry's value field points to something that the entry owns.
    #[inline]
    fn owns(self) -> bool {
        !matches!(self, Kind::Int | Kind::Inline)
    }
}

const KIND: u8 = 0x0f;
/// The string was changed in place: Redis would call it `raw`.
const RAW: u8 = 0x10;
const HAS_EXPIRY: u8 = 0x20;

#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    kind: u8,
    access: [u8; 3],
    klen: u8,
    free: u8,
    vlen: u16,
}

const _: () = assert!(size_of::<Header>() == HEADER);

/// A value to be stored.
pub enum NewValue<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Blob(Blob),
    /// A collection's word.
    Word(Type, u64),
}

impl NewValue<'_> {
    fn kind(&self) -> Kind {
        match self {
            NewValue::Int(_) => Kind::Int,
            NewValue::Bytes(_) => Kind::Inline,
            NewValue::Blob(_) => Kind::Blob,
            NewValue::Word(value_type, _) => Kind::of(*value_type),
        }
    }

    fn width(&self) -> usize {
        match self {
            NewValue::Int(_) | NewValue::Blob(_) | NewValue::Word(..) => 8,
            NewValue::Bytes(b) => b.len(),
        }
    }
}

/// A blob as an entry holds it.
#[derive(Clone, Copy)]
pub struct BlobRef<'a> {
    /// From `Arc::into_raw`; the entry owns one count.
    raw: *const Vec<u8>,
    entry: PhantomData<&'a Entry>,
}

impl<'a> BlobRef<'a> {
    #[inline]
    pub fn bytes(&self) -> &'a Vec<u8> {
        // SAFETY: the entry's count keeps the blob alive, and it is not changed while borrowed.
        unsafe { &*self.raw }
    }

    /// Whether somebody besides the entry holds the blob.
    pub fn is_shared(&self) -> bool {
        // SAFETY: `raw` came from `Arc::into_raw`, and the entry's count stays with the entry.
        let blob = std::mem::ManuallyDrop::new(unsafe { Arc::from_raw(self.raw) });
        Arc::strong_count(&blob) > 1
    }

    /// The blob itself, for keeping.
    pub fn share(&self) -> Blob {
        // SAFETY: `raw` came from `Arc::into_raw`; the count taken here belongs to the result.
        unsafe {
            Arc::increment_strong_count(self.raw);
            Arc::from_raw(self.raw)
        }
    }
}

/// A string as it is stored.
#[derive(Clone, Copy)]
pub enum Str<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Blob(BlobRef<'a>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry(pub(crate) NonNull<u8>);

/// Bytes that an entry of such a key and value takes.
#[inline]
pub fn size(klen: usize, width: usize, expiry: bool) -> usize {
    let long = if klen >= LONG_KEY as usize { 8 } else { 0 };
    HEADER + if expiry { 8 } else { 0 } + long + klen + width
}

/// Whether a value of `len` bytes can stand inside the entry of such a key.
#[inline]
pub fn fits_inline(klen: usize, len: usize, expiry: bool) -> bool {
    size(klen, len, expiry) <= slab::MAX
}

impl Entry {
    /// A new entry. A [`NewValue::Bytes`] has been found to fit inline.
    pub fn create(slab: &mut Slab, key: &[u8], value: NewValue<'_>, expiry: Option<i64>) -> Entry {
        let size = size(key.len(), value.width(), expiry.is_some());
        let p = slab.alloc(size);
        let long = key.len() >= LONG_KEY as usize;
        // SAFETY: the cell is `size` long, which is what the fields below add up to.
        unsafe {
            p.cast::<Header>().write(Header {
                kind: value.kind() as u8 | if expiry.is_some() { HAS_EXPIRY } else { 0 },
                access: [0; 3],
                klen: if long { LONG_KEY } else { key.len() as u8 },
                free: 0,
                vlen: 0,
            });
            let mut at = p.as_ptr().add(HEADER);
            if let Some(expiry) = expiry {
                at.cast::<i64>().write(expiry);
                at = at.add(8);
            }
            if long {
                at.cast::<u64>().write(key.len() as u64);
                at = at.add(8);
            }
            at.copy_from_nonoverlapping(key.as_ptr(), key.len());
        }
        let entry = Entry(p);
        entry.write_value(value);
        entry
    }

    #[inline]
    fn header(&self) -> Header {
        // SAFETY: a live entry starts with a header.
        unsafe { self.0.cast::<Header>().read() }
    }

    #[inline]
    fn set_header(&self, header: Header) {
        // SAFETY: a live entry starts with a header; the shard's thread alone reaches it.
        unsafe { self.0.cast::<Header>().write(header) };
    }

    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: callers pass offsets within the entry.
        unsafe { self.0.as_ptr().add(offset) }
    }

    #[inline]
    pub fn kind(&self) -> Kind {
        match self.header().kind & KIND {
            0 => Kind::Int,
            1 => Kind::Inline,
            2 => Kind::Blob,
            3 => Kind::List,
            4 => Kind::Set,
            5 => Kind::Hash,
            6 => Kind::Zset,
            _ => Kind::Stream,
        }
    }

    #[inline]
    pub fn has_expiry(&self) -> bool {
        self.header().kind & HAS_EXPIRY != 0
    }

    /// Unix time in milliseconds, or `None`.
    #[inline]
    pub fn expiry(&self) -> Option<i64> {
        // SAFETY: with the flag set, the expiry follows the header.
        self.has_expiry()
            .then(|| unsafe { self.at(HEADER).cast::<i64>().read() })
    }

    /// Changes the expiry of an entry that has one.
    pub fn set_expiry(&self, at_ms: i64) {
        assert!(self.has_expiry());
        // SAFETY: with the flag set, the expiry follows the header.
        unsafe { self.at(HEADER).cast::<i64>().write(at_ms) };
    }

    pub fn is_raw(&self) -> bool {
        self.header().kind & RAW != 0
    }

    pub fn set_raw(&self, raw: bool) {
        let mut header = self.header();
        header.kind = header.kind & !RAW | if raw { RAW } else { 0 };
        self.set_header(header);
    }

    /// 24 bits of access time or frequency.
    #[inline]
    pub fn access(&self) -> u32 {
        let [a, b, c] = self.header().access;
        u32::from_le_bytes([a, b, c, 0])
    }

    #[inline]
    pub fn set_access(&self, access: u32) {
        let [a, b, c, _] = access.to_le_bytes();
        let mut header = self.header();
        header.access = [a, b, c];
        self.set_header(header);
    }

    /// Offset and length of the key.
    #[inline]
    fn key_range(&self) -> (usize, usize) {
        let header = self.header();
        let mut at = HEADER + ((header.kind & HAS_EXPIRY) >> 2) as usize;
        let mut len = header.klen as usize;
        if header.klen == LONG_KEY {
            // SAFETY: with this mark the length stands before the key.
            len = unsafe { self.at(at).cast::<u64>().read() } as usize;
            at += 8;
        }
        (at, len)
    }

    #[inline]
    pub fn key<'a>(&self) -> &'a [u8] {
        let (at, len) = self.key_range();
        // SAFETY: the entry holds `len` bytes of key there. The lifetime is bounded by callers in
        // the shard, which hand it out for no longer than a borrow of themselves.
        unsafe { std::slice::from_raw_parts(self.at(at), len) }
    }

    #[inline]
    fn value_offset(&self) -> usize {
        let (at, len) = self.key_range();
        at + len
    }

    #[inline]
    fn width(&self) -> usize {
        match self.kind() {
            Kind::Inline => self.header().vlen as usize,
            _ => 8,
        }
    }

    /// Bytes that the entry takes, without what its value points to.
    #[inline]
    pub fn size(&self) -> usize {
        self.value_offset() + self.width()
    }

    /// The string value, of an entry that has one. The lifetime is the caller's to bound; see
    /// [`Entry::key`].
    #[inline]
    pub fn str<'a>(&self) -> Str<'a> {
        let at = self.at(self.value_offset());
        // SAFETY: the kind says what stands at the value's place.
        unsafe {
            match self.kind() {
                Kind::Int => Str::Int(at.cast::<i64>().read_unaligned()),
                Kind::Inline => {
                    Str::Bytes(std::slice::from_raw_parts(at, self.header().vlen as usize))
                }
                Kind::Blob => Str::Blob(BlobRef {
                    raw: self.raw_blob(),
                    entry: PhantomData,
                }),
                _ => unreachable!("callers have asked for the kind"),
            }
        }
    }

    /// The pointer in the value's place.
    ///
    /// SAFETY: the kind is `Blob`.
    unsafe fn raw_blob(&self) -> *const Vec<u8> {
        // SAFETY: by the contract a pointer stands there.
        unsafe {
            self.at(self.value_offset())
                .cast::<*const Vec<u8>>()
                .read_unaligned()
        }
    }

    /// The value as bytes that may be changed, if it stands inside the entry.
    pub fn inline_mut<'a>(&self) -> Option<&'a mut [u8]> {
        if self.kind() != Kind::Inline {
            return None;
        }
        let at = self.at(self.value_offset());
        // SAFETY: an inline value of `vlen` bytes stands there.
        Some(unsafe { std::slice::from_raw_parts_mut(at, self.header().vlen as usize) })
    }

    /// The blob for changing in place; copied first if somebody shares it.
    pub fn blob_mut<'a>(&self) -> Option<&'a mut Vec<u8>> {
        if self.kind() != Kind::Blob {
            return None;
        }
        // SAFETY: the kind is `Blob`, and the pointer written back owns the count taken out. After
        // `make_mut` the entry's is the only count, so nobody else reads while the caller writes.
        unsafe {
            let mut blob = Arc::from_raw(self.raw_blob());
            Arc::make_mut(&mut blob);
            let raw = Arc::into_raw(blob);
            let place = self.at(self.value_offset());
            place.cast::<*const Vec<u8>>().write_unaligned(raw);
            Some(&mut *raw.cast_mut())
        }
    }

    /// Whether `value` can take the place of the present one in the same allocation.
    #[inline]
    pub fn can_hold(&self, value: &NewValue<'_>, expiry: bool) -> bool {
        self.has_expiry() == expiry && {
            let offset = self.value_offset();
            slab::rounded(offset + value.width()) == slab::rounded(offset + self.width())
        }
    }

    /// Overwrites the value; [`Entry::can_hold`] has been asked, and the old blob taken.
    #[inline]
    pub fn write_value(&self, value: NewValue<'_>) {
        let at = self.at(self.value_offset());
        let mut header = self.header();
        header.kind = header.kind & !(KIND | RAW) | value.kind() as u8;
        if let NewValue::Bytes(bytes) = &value {
            debug_assert!(bytes.len() <= slab::MAX);
            header.vlen = bytes.len() as u16;
        }
        self.set_header(header);
        // SAFETY: the entry has room for the value there.
        unsafe {
            match value {
                NewValue::Int(v) => at.cast::<i64>().write_unaligned(v),
                NewValue::Bytes(b) => {
                    at.copy_from_nonoverlapping(b.as_ptr(), b.len());
                }
                NewValue::Blob(b) => {
                    at.cast::<*const Vec<u8>>()
                        .write_unaligned(Arc::into_raw(b));
                }
                NewValue::Word(_, word) => at.cast::<u64>().write_unaligned(word),
            }
        }
    }

    /// Takes the blob out. The entry's value is then an integer, so that it can be dropped.
    pub fn take_blob(&self) -> Option<Blob> {
        if self.kind() != Kind::Blob {
            return None;
        }
        // SAFETY: the kind is `Blob`; the entry's count goes to the result, its pointer is replaced.
        let blob = unsafe { Arc::from_raw(self.raw_blob()) };
        self.write_value(NewValue::Int(0));
        Some(blob)
    }

    /// The type and the word of a collection, which stays the entry's.
    #[inline]
    pub fn word(&self) -> Option<(Type, u64)> {
        let kind = self.kind();
        if kind.is_string() {
            return None;
        }
        // SAFETY: a word stands at the place of a value of the other kinds.
        let word = unsafe { self.at(self.value_offset()).cast::<u64>().read_unaligned() };
        Some((kind.value_type(), word))
    }

    /// Puts the word that a collection has become into the place of the one that was taken out.
    #[inline]
    pub fn set_word(&self, word: u64) {
        debug_assert!(!self.kind().is_string());
        // SAFETY: as above.
        unsafe {
            self.at(self.value_offset())
                .cast::<u64>()
                .write_unaligned(word)
        };
    }

    /// Takes the collection out. The entry's value is then an integer, so that it can be dropped.
    pub fn take_value(&self) -> Option<Value> {
        let (value_type, word) = self.word()?;
        self.write_value(NewValue::Int(0));
        // SAFETY: the word is the entry's, which gives it up.
        Some(unsafe { Value::from_parts(value_type, word) })
    }

    /// Whether the value is more than the entry itself.
    #[inline]
    pub fn owns(&self) -> bool {
        self.kind().owns()
    }

    /// Frees an entry whose value is in itself.
    ///
    /// # Safety
    /// The entry is live and in no table.
    #[inline]
    pub unsafe fn free(self, slab: &mut Slab) {
        debug_assert!(!self.kind().owns());
        // SAFETY: `create` allocated it with this size.
        unsafe { slab.free(self.0, self.size()) };
    }
}
