//! What has been deleted and not yet freed: big values and flushed databases. Freed in slices, so
//! that no deletion stalls the shard.

use crate::entry::{Blob, Entry};
use crate::slab::Slab;
use crate::table::Table;
use crate::value::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// A blob of this size or more is not freed by the command that deletes it.
const BIG: usize = 1 << 20;
/// A blob of this size or more is not freed in the step that meets it in a table, which meets
/// hundreds.
const BIG_AMONG_MANY: usize = 32 << 10;
/// Bytes of blobs given back in one step. Unmapping a megabyte takes about 30 µs.
const STEP_BYTES: usize = 1 << 20;
/// A collection of so many allocations or more is not freed by the command that deletes it.
const HEAVY: usize = 64;
/// The same for the step that meets it in a table.
const HEAVY_AMONG_MANY: usize = 8;
/// Allocations of a collection freed in one step.
const STEP_ALLOCATIONS: usize = 512;
/// Entries freed in one step.
const STEP_ENTRIES: usize = 256;

enum Item {
    Table(Table),
    /// A blob, of which the bytes from `.1` on have gone back to the system.
    Bytes(Vec<u8>, usize),
    Value(Value),
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
            && let Some(item) = unshared(blob)
        {
            self.pending += 1;
            self.items.push_back(item);
        }
    }

    /// Drops a collection, at once if that is quick.
    pub fn add_value(&mut self, value: Value) {
        if value.weight() >= HEAVY {
            self.pending += 1;
            self.items.push_back(Item::Value(value));
        }
    }

    /// Frees a little: some tens of microseconds of work. `blobs` is told the capacity of each blob
    /// freed with its entry.
    pub fn step(&mut self, slab: &mut Slab, blobs: &mut usize) {
        match self.items.front_mut() {
            None => {}
            Some(Item::Table(_)) => self.step_table(slab, blobs),
            Some(Item::Bytes(bytes, end)) if *end > STEP_BYTES && !cfg!(miri) => {
                *end = give_back(bytes, *end);
            }
            Some(Item::Bytes(..)) => self.step_small(),
            Some(Item::Value(value)) => {
                if !value.free_some(STEP_ALLOCATIONS) {
                    return;
                }
                self.items.pop_front();
                self.freed += 1;
                self.pending -= 1;
            }
        }
    }

    /// Frees entries of the table in front. Their long blobs are queued before the rest of it, so
    /// that they do not pile up.
    fn step_table(&mut self, slab: &mut Slab, blobs: &mut usize) {
        let Some(Item::Table(table)) = self.items.front_mut() else {
            return;
        };
        let mut big = Vec::new();
        let before = table.len();
        table.drain(slab, STEP_ENTRIES, |slab, entry| {
            let entry = Entry(entry);
            if let Some(blob) = entry.take_blob() {
                *blobs -= blob.capacity();
                if blob.capacity() >= BIG_AMONG_MANY {
                    big.extend(unshared(blob));
                }
            } else if let Some(value) = entry.take_value()
                && value.weight() >= HEAVY_AMONG_MANY
            {
                big.push(Item::Value(value));
            }
            // SAFETY: the entry left its table, and what it owned was taken.
            unsafe { entry.free(slab) };
        });
        let freed = before - table.len();
        self.freed += freed as u64;
        self.pending -= freed;
        if table.is_drained() {
            self.items.pop_front();
        }
        self.pending += big.len();
        for item in big {
            self.items.push_front(item);
        }
    }

    /// Frees blobs in front that are, or have become, shorter than a step, up to a step's worth.
    fn step_small(&mut self) {
        let mut bytes = 0;
        while let Some(Item::Bytes(_, end)) = self.items.front()
            && (bytes == 0 || bytes + *end <= STEP_BYTES)
        {
            bytes += *end;
            self.items.pop_front();
            self.freed += 1;
            self.pending -= 1;
        }
    }
}

/// The blob as an item, unless somebody shares it; then its last owner frees it.
fn unshared(blob: Blob) -> Option<Item> {
    let bytes = Arc::try_unwrap(blob).ok()?;
    let end = bytes.capacity();
    Some(Item::Bytes(bytes, end))
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

#[cfg(test)]
mod tests {
    use crate::entry::NewValue;
    use crate::shard::{Expiry, Shard};

    /// Keys with values of `len` bytes, deleted all at once.
    fn flushed(keys: usize, len: usize) -> Shard {
        let mut shard = Shard::new(1, [1, 2, 3, 4]);
        for i in 0..keys {
            let name = i.to_string();
            let key = shard.key(name.as_bytes());
            let value = NewValue::Bytes(&vec![b'v'; len]);
            shard.set(0, key, value, None, Expiry::Clear);
        }
        shard.flush(0);
        shard
    }

    fn steps(mut shard: Shard) -> usize {
        let mut steps = 0;
        while shard.has_trash() {
            shard.empty_trash_step();
            steps += 1;
        }
        assert_eq!(shard.memory(), 0);
        assert_eq!(shard.trash().0, 0);
        steps
    }

    #[test]
    fn a_step_frees_a_bounded_number_of_bytes() {
        // At most a megabyte a step, whatever the values' size.
        assert!(steps(flushed(16, 3 << 20)) >= 48);
        assert!(steps(flushed(64, 1 << 20)) >= 64);
        assert!(steps(flushed(200, 100 << 10)) >= 20);
    }

    #[test]
    fn a_step_frees_a_bounded_number_of_keys() {
        let n = steps(flushed(5000, 10));
        assert!(n >= 10, "{n} steps");
    }

    #[test]
    fn a_shared_value_is_left_to_its_owner() {
        let mut shard = Shard::new(1, [1, 2, 3, 4]);
        let owner = crate::Blob::new(vec![1; 2 << 20]);
        let key = shard.key(b"k");
        shard.set(0, key, NewValue::Bytes(&owner), Some(&owner), Expiry::Clear);
        let key = shard.key(b"k");
        assert!(shard.remove(0, key));
        assert!(!shard.has_trash());
        assert_eq!(std::sync::Arc::strong_count(&owner), 1);
    }
}
