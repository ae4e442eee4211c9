//! Bytes behind a single pointer: a vector whose length stands in its allocation, so that its owner
//! takes one word of an entry.
//!
//! ```text
//! length (4) | note (4) | bytes …
//! ```
//!
//! The capacity is not stored; it follows from the length, as the size class that the allocator would
//! round up to anyway. The note is the owner's, usually a number of elements.
//!
//! # Safety
//!
//! A `Thin` owns its allocation, which is [`class`] of its length long at all times; all unsafe code
//! here follows from that. The empty one with note 0 has no allocation and points to [`EMPTY`], which
//! nobody writes.

use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

const HEADER: usize = 8;

#[repr(C, align(8))]
struct Header {
    len: u32,
    note: u32,
}

static EMPTY: Header = Header { len: 0, note: 0 };

pub struct Thin(NonNull<Header>);

// SAFETY: a `Thin` owns its bytes alone, as a vector does.
unsafe impl Send for Thin {}
// SAFETY: shared references only read.
unsafe impl Sync for Thin {}

/// Bytes of the allocation for `len` bytes: what common allocators round up to, four classes to each
/// doubling.
fn class(len: usize) -> usize {
    let size = HEADER + len;
    if size <= 128 {
        return size.next_multiple_of(16);
    }
    // A power of two.
    let step = ((size - 1).next_power_of_two() / 8).max(16);
    (size + step - 1) & !(step - 1)
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(class(len), 8).expect("lengths are below 4 GB")
}

impl Thin {
    /// Most bytes that one holds.
    pub const MAX: usize = u32::MAX as usize - 64;

    pub fn new() -> Thin {
        Thin(NonNull::from(&EMPTY))
    }

    fn is_static(&self) -> bool {
        std::ptr::eq(self.0.as_ptr(), &EMPTY)
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: every `Thin` points to a header.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.header().len as usize
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub fn note(&self) -> u32 {
        self.header().note
    }

    pub fn set_note(&mut self, note: u32) {
        if self.is_static() {
            if note == 0 {
                return;
            }
            self.reallocate(0, 0);
        }
        // SAFETY: the allocation is ours.
        unsafe { self.0.as_mut().note = note };
    }

    /// The note, as several threads count with it.
    ///
    /// # Panics
    /// If there is no allocation.
    #[inline]
    pub fn shared_note(&self) -> &AtomicU32 {
        assert!(!self.is_static());
        // SAFETY: the allocation is there, and who counts in it does so with this alone.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.0.as_ptr()).note) }
    }

    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes follow the header.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(1).cast(), self.len()) }
    }

    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; of the static one this is an empty slice.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr().add(1).cast(), self.len()) }
    }

    /// Replaces `removed` bytes from `at` on by `inserted`.
    ///
    /// # Panics
    /// If the range is not within the bytes, or the result is longer than [`Thin::MAX`].
    pub fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]) {
        let gap = self.open(at, removed, inserted.len());
        gap.copy_from_slice(inserted);
    }

    /// Replaces `removed` bytes from `at` on by `inserted` bytes of any content, which the caller
    /// writes.
    ///
    /// # Panics
    /// As [`Thin::splice`].
    pub fn open(&mut self, at: usize, removed: usize, inserted: usize) -> &mut [u8] {
        let old = self.len();
        assert!(at <= old && removed <= old - at);
        let new = old - removed + inserted;
        assert!(new <= Self::MAX);
        let tail = old - at - removed;
        if new > old {
            self.reallocate(old, new);
            self.shift(at + removed, at + inserted, tail);
            self.bytes_mut()[at..at + inserted].fill(0);
        } else if new < old {
            self.shift(at + removed, at + inserted, tail);
            self.reallocate(old, new);
        }
        &mut self.bytes_mut()[at..at + inserted]
    }

    /// Moves bytes within the allocation, of which both ranges are a part.
    fn shift(&mut self, from: usize, to: usize, len: usize) {
        // SAFETY: by the callers, both ranges are within the allocation.
        unsafe {
            let bytes: *mut u8 = self.0.as_ptr().add(1).cast();
            std::ptr::copy(bytes.add(from), bytes.add(to), len);
        }
    }

    /// Makes the length `new`, in an allocation that fits.
    fn reallocate(&mut self, old: usize, new: usize) {
        let fresh = if self.is_static() {
            // SAFETY: the layout is not of size zero.
            unsafe { alloc::alloc(layout(new)) }
        } else if class(old) == class(new) {
            self.0.as_ptr().cast()
        } else {
            // SAFETY: the allocation has the layout of the old length.
            unsafe { alloc::realloc(self.0.as_ptr().cast(), layout(old), class(new)) }
        };
        let Some(fresh) = NonNull::new(fresh.cast::<Header>()) else {
            alloc::handle_alloc_error(layout(new));
        };
        let note = if self.is_static() {
            0
        } else {
            // SAFETY: the header was moved along.
            unsafe { fresh.as_ref().note }
        };
        // SAFETY: the allocation has room for a header.
        unsafe {
            fresh.write(Header {
                len: new as u32,
                note,
            })
        };
        self.0 = fresh;
    }

    /// Bytes that are allocated.
    pub fn memory(&self) -> usize {
        if self.is_static() {
            0
        } else {
            class(self.len())
        }
    }

    /// The pointer, which owns the allocation from now on.
    pub fn into_raw(self) -> u64 {
        let raw = self.0.as_ptr().expose_provenance() as u64;
        std::mem::forget(self);
        raw
    }

    /// # Safety
    /// `raw` came from [`Thin::into_raw`], and is used this once.
    pub unsafe fn from_raw(raw: u64) -> Thin {
        let pointer = std::ptr::with_exposed_provenance_mut(raw as usize);
        // SAFETY: it was not null when it was taken.
        Thin(unsafe { NonNull::new_unchecked(pointer) })
    }
}

impl Default for Thin {
    fn default() -> Thin {
        Thin::new()
    }
}

impl Clone for Thin {
    fn clone(&self) -> Thin {
        let mut copy = Thin::new();
        copy.splice(0, 0, self.bytes());
        copy.set_note(self.note());
        copy
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        if !self.is_static() {
            // SAFETY: the allocation has the layout of its length.
            unsafe { alloc::dealloc(self.0.as_ptr().cast(), layout(self.len())) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_edits_as_a_vector_does(edits in prop::collection::vec(
            (any::<u16>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..200)), 0..50)
        ) {
            let (mut thin, mut model) = (Thin::new(), Vec::new());
            for (n, (at, removed, inserted)) in edits.into_iter().enumerate() {
                let at = at as usize % (model.len() + 1);
                let removed = removed as usize % (model.len() - at + 1);
                thin.splice(at, removed, &inserted);
                thin.set_note(n as u32);
                model.splice(at..at + removed, inserted);
                prop_assert_eq!(thin.bytes(), &model[..]);
                prop_assert_eq!(thin.note(), n as u32);
            }
            let copy = thin.clone();
            prop_assert_eq!(copy.bytes(), &model[..]);
            // SAFETY: the word was taken just now.
            let same = unsafe { Thin::from_raw(thin.into_raw()) };
            prop_assert_eq!(same.bytes(), &model[..]);
        }
    }

    #[test]
    fn classes_hold_what_they_are_for() {
        for len in 0..10_000 {
            let class = class(len);
            assert!(class >= len + HEADER && class <= (len + HEADER) * 5 / 4 + 16);
        }
    }
}
