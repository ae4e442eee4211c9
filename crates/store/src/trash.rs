//! What has been deleted and not yet freed: big values and flushed databases. Freed in slices, so
//! that no deletion stalls the shard.

use crate::entry::{Blob, Entry};
use crate::slab::Slab;
use crate::table::Table;
use std::collections::VecDeque;
use std::sync::Arc;

/// Blobs from this size on are freed in slices.
const BIG: usize = 4 << 20;
/// Bytes of a blob given back in one step. Unmapping a megabyte takes about 30 µs.
const STEP_BYTES: usize = 1 << 20;
/// Entries freed in one step.
const STEP_ENTRIES: usize = 256;

enum Item {
    Table(Table),
    /// A blob, of which the bytes from `.1` on have gone back to the system.
    Bytes(Vec<u8>, usize),
}

#[derive(Default)]
pub struct Trash {
    items: VecDeque<Item>,
    /// Objects freed in the background since the start or the last reset.
    pub freed: u64,
    pending: usize,
}

impl Trash {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Keys and big values waiting to be freed.
    pub fn pending(&self) -> usize {
        self.pending
    }

    pub fn add_table(&mut self, table: Table) {
        if !table.is_empty() {
            self.pending += table.len();
        }
        self.items.push_back(Item::Table(table));
    }

    /// Drops a blob, at once if that is quick.
    #[inline]
    pub fn add_blob(&mut self, blob: Blob) {
        if blob.capacity() >= BIG
            && let Ok(bytes) = Arc::try_unwrap(blob)
        {
            let end = bytes.capacity();
            self.pending += 1;
            self.items.push_back(Item::Bytes(bytes, end));
        }
    }

    /// Frees a little: some tens of microseconds of work. `blobs` is told the capacity of each blob
    /// freed with its entry.
    pub fn step(&mut self, slab: &mut Slab, blobs: &mut usize) {
        let Some(item) = self.items.front_mut() else {
            return;
        };
        match item {
            Item::Table(table) => {
                let mut big = Vec::new();
                let before = table.len();
                table.drain(slab, STEP_ENTRIES, |slab, entry| {
                    let entry = Entry(entry);
                    if let Some(blob) = entry.take_blob() {
                        *blobs -= blob.capacity();
                        if blob.capacity() >= BIG {
                            big.push(blob);
                        }
                    }
                    // SAFETY: the entry left its table, and its blob was taken.
                    unsafe { entry.free(slab) };
                });
                let freed = before - table.len();
                self.freed += freed as u64;
                self.pending -= freed;
                if table.is_drained() {
                    self.items.pop_front();
                }
                for blob in big {
                    self.add_blob(blob);
                }
            }
            Item::Bytes(bytes, end) => {
                if *end > BIG && !cfg!(miri) {
                    *end = give_back(bytes, *end);
                } else {
                    self.items.pop_front();
                    self.freed += 1;
                    self.pending -= 1;
                }
            }
        }
    }
}

/// Gives the pages of the last step before `end` back to the system; answers the new end.
fn give_back(bytes: &mut Vec<u8>, end: usize) -> usize {
    const PAGE: usize = 4096;
    let start = bytes.as_mut_ptr();
    let to = (start.addr() + end) & !(PAGE - 1);
    let from = (start.addr() + end - STEP_BYTES).next_multiple_of(PAGE);
    bytes.clear();
    // SAFETY: the range lies within the vector's allocation, whose bytes nobody will read again:
    // the vector is empty and about to be dropped.
    unsafe {
        let at = start.add(from - start.addr());
        libc::madvise(at.cast(), to - from, libc::MADV_DONTNEED);
    }
    from - start.addr()
}
