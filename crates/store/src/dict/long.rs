//! Elements that are too long for a bucket: each has an allocation and a number, by which its bucket
//! knows it.
//!
//! The numbers lead through blocks of a fixed size, so that their array never moves as a whole. Copies share
//! the blocks, and each element, until one of them changes it ([`crate::shared`]).

use super::bucket::Record;
use crate::shared::Shared;
use crate::thin::Thin;
use std::mem::ManuallyDrop;
use std::sync::atomic::{Ordering, fence};

const BLOCK: usize = 512;

/// In the place of a key's length: it follows, in four bytes.
const WIDE: u8 = u8::MAX;

/// An element that copies share.
///
/// ```text
/// length of the key (1, or 1 and 4) | key | payload
/// ```
///
/// # Safety
/// The note of its bytes counts the copies besides this one. Who finds it zero has the bytes for itself: nobody
/// else could make a copy.
#[derive(Default)]
struct Long(ManuallyDrop<Thin>);

impl Long {
    fn new(key: &[u8], payload: &[u8]) -> Long {
        let (wide, narrow);
        let head: &[u8] = match u8::try_from(key.len()) {
            Ok(len) if len < WIDE => {
                narrow = [len];
                &narrow
            }
            _ => {
                let [a, b, c, d] = (key.len() as u32).to_le_bytes();
                wide = [WIDE, a, b, c, d];
                &wide
            }
        };
        let mut bytes = Thin::new();
        let mut rest = bytes.open(0, 0, head.len() + key.len() + payload.len());
        for part in [head, key, payload] {
            let (to, behind) = rest.split_at_mut(part.len());
            to.copy_from_slice(part);
            rest = behind;
        }
        Long(ManuallyDrop::new(bytes))
    }

    /// Where the key begins and ends.
    #[inline]
    fn key_range(&self) -> (usize, usize) {
        match self.0.bytes() {
            [WIDE, a, b, c, d, ..] => {
                let len = u32::from_le_bytes([*a, *b, *c, *d]);
                (5, 5 + len as usize)
            }
            [len, ..] => (1, 1 + usize::from(*len)),
            [] => (0, 0),
        }
    }

    #[inline]
    fn key(&self) -> &[u8] {
        let (from, to) = self.key_range();
        &self.0.bytes()[from..to]
    }

    #[inline]
    fn payload(&self) -> &[u8] {
        &self.0.bytes()[self.key_range().1..]
    }

    fn set_payload(&mut self, payload: &[u8]) {
        if self.0.shared_note().load(Ordering::Acquire) > 0 {
            *self = Long::new(self.key(), payload);
            return;
        }
        let from = self.key_range().1;
        let before = self.0.len() - from;
        self.0.splice(from, before, payload);
    }
}

impl Clone for Long {
    fn clone(&self) -> Long {
        if self.0.is_empty() {
            return Long::default();
        }
        self.0.shared_note().fetch_add(1, Ordering::Relaxed);
        // SAFETY: the copy is counted.
        Long(unsafe { std::ptr::read(&self.0) })
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        if self.0.is_empty() {
            return;
        }
        if self.0.shared_note().fetch_sub(1, Ordering::Release) == 0 {
            fence(Ordering::Acquire);
            // SAFETY: it was the last one.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

#[derive(Clone, Default)]
pub struct Longs {
    blocks: Vec<Shared<Vec<Long>>>,
    free: Vec<u32>,
    len: usize,
    /// Bytes allocated for elements.
    bytes: usize,
}

impl Longs {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn memory(&self) -> usize {
        self.bytes + self.blocks.len() * BLOCK * 8 + self.free.capacity() * 4
    }

    #[inline]
    fn element(&self, id: u32) -> &Long {
        &self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    #[inline]
    fn element_mut(&mut self, id: u32) -> &mut Long {
        &mut self.blocks[id as usize / BLOCK].own()[id as usize % BLOCK]
    }

    #[inline]
    pub fn key(&self, id: u32) -> &[u8] {
        self.element(id).key()
    }

    #[inline]
    pub fn payload(&self, id: u32) -> &[u8] {
        self.element(id).payload()
    }

    /// A record's element and its payload.
    #[inline]
    pub fn pair<'a>(&'a self, record: Record<'a>) -> (&'a [u8], &'a [u8]) {
        match record {
            Record::Inline { key, payload } => (key, payload),
            Record::Long(id) => (self.key(id), self.payload(id)),
        }
    }

    pub fn set_payload(&mut self, id: u32, payload: &[u8]) {
        let element = self.element_mut(id);
        let before = element.0.memory();
        element.set_payload(payload);
        let after = element.0.memory();
        self.bytes = self.bytes - before + after;
    }

    /// Keeps an element and answers its number.
    pub fn add(&mut self, key: &[u8], payload: &[u8]) -> u32 {
        let element = Long::new(key, payload);
        self.bytes += element.0.memory();
        self.len += 1;
        if let Some(id) = self.free.pop() {
            *self.element_mut(id) = element;
            return id;
        }
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.own().push(element),
            _ => self.blocks.push(Shared::new(vec![element])),
        }
        let last = self.blocks.len() - 1;
        (last * BLOCK + self.blocks[last].len() - 1) as u32
    }

    pub fn remove(&mut self, id: u32) {
        let element = std::mem::take(self.element_mut(id));
        self.bytes -= element.0.memory();
        self.len -= 1;
        if self.len == 0 {
            *self = Longs::default();
        } else {
            self.free.push(id);
        }
    }

    /// Frees some elements; true when the rest can be dropped at once.
    pub fn free_some(&mut self, mut budget: usize) -> bool {
        while let Some(block) = self.blocks.last_mut() {
            if budget == 0 {
                return false;
            }
            let dropped = block.shed(budget);
            budget -= dropped;
            if block.is_empty() {
                self.blocks.pop();
            }
        }
        true
    }
}
