//! The first chunk of a long list while elements come and go at its head: entries with free bytes
//! before them, so that nothing behind has to move.
//!
//! ```text
//! free bytes | entries
//! ```
//!
//! The buffer stays when the chunk is full and becomes a pack, and the next chunk is made in it.

use crate::element::Element;
use crate::listpack::{Entries, Entry, Listpack};

#[derive(Clone, Default)]
pub struct Front {
    bytes: Vec<u8>,
    /// Where the entries start, behind which all of `bytes` are theirs.
    start: usize,
    len: usize,
}

impl Front {
    /// Free bytes that it makes room for at once.
    const ROOM_MIN: usize = 256;
    const ROOM_MAX: usize = 64 << 10;

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub fn entries(&self) -> Entries<'_> {
        Entries(self.bytes.get(self.start..).unwrap_or_default())
    }

    /// Bytes of the entries.
    #[inline]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    #[inline]
    pub fn push_front(&mut self, entry: &Entry<'_>) {
        let len = entry.len();
        if self.start < len {
            self.make_room(len);
        }
        let end = self.start;
        self.start -= len;
        entry.write(&mut self.bytes[self.start..end]);
        self.len += 1;
    }

    /// As much again as the entries take.
    #[cold]
    fn make_room(&mut self, len: usize) {
        let own = self.bytes_len();
        let room = own.clamp(Self::ROOM_MIN, Self::ROOM_MAX).max(len);
        let mut bytes = vec![0; room + own];
        bytes[room..].copy_from_slice(self.entries().0);
        self.bytes = bytes;
        self.start = room;
    }

    pub fn push_back(&mut self, entry: &Entry<'_>) {
        let end = self.bytes.len();
        self.bytes.resize(end + entry.len(), 0);
        entry.write(&mut self.bytes[end..]);
        self.len += 1;
    }

    /// Removes the element at the head and hands it to `then`.
    #[inline]
    pub fn pop_front<R>(&mut self, then: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let (element, next) = self.entries().step(0)?;
        let result = then(element);
        self.start += next;
        self.len -= 1;
        Some(result)
    }

    /// Removes the element at the tail and hands it to `then`.
    pub fn pop_back<R>(&mut self, then: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let entries = self.entries();
        let pos = entries.before(entries.0.len())?;
        let result = then(entries.get(pos));
        self.bytes.truncate(self.start + pos);
        self.len -= 1;
        Some(result)
    }

    /// Removes elements from the head, of which there are as many.
    #[inline]
    pub fn drop_front(&mut self, n: usize) {
        self.start += self.entries().skip(0, n);
        self.len -= n;
    }

    /// Removes elements from the tail, of which there are as many.
    #[inline]
    pub fn drop_back(&mut self, n: usize) {
        let end = self.entries().skip_back(self.bytes_len(), n);
        self.bytes.truncate(self.start + end.unwrap_or(0));
        self.len -= n;
    }

    /// Takes the elements over from a pack; there are none yet.
    pub fn load(&mut self, pack: &Listpack) {
        assert!(self.is_empty());
        let entries = pack.entries().0;
        match self.bytes.len().checked_sub(entries.len()) {
            Some(start) => self.start = start,
            None => {
                self.bytes.resize(entries.len(), 0);
                self.start = 0;
            }
        }
        self.bytes[self.start..].copy_from_slice(entries);
        self.len = pack.len();
    }

    /// Takes the elements away as a pack.
    pub fn take(&mut self) -> Listpack {
        let pack = Listpack::of_entries(self.entries(), self.len);
        self.start = self.bytes.len();
        self.len = 0;
        pack
    }
}
