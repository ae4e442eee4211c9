//! Elements that are too long for a bucket: each has an allocation and a number, by which its bucket
//! knows it.
//!
//! The numbers lead through blocks of a fixed size, so that their array never moves as a whole.

use crate::thin::Thin;

const BLOCK: usize = 512;

#[derive(Clone, Default)]
pub struct Longs {
    /// Key and payload; the note is the length of the key.
    blocks: Vec<Vec<Thin>>,
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
    fn element(&self, id: u32) -> &Thin {
        &self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    #[inline]
    fn element_mut(&mut self, id: u32) -> &mut Thin {
        &mut self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    #[inline]
    pub fn key(&self, id: u32) -> &[u8] {
        let element = self.element(id);
        &element.bytes()[..element.note() as usize]
    }

    #[inline]
    pub fn payload(&self, id: u32) -> &[u8] {
        let element = self.element(id);
        &element.bytes()[element.note() as usize..]
    }

    pub fn payload_mut(&mut self, id: u32) -> &mut [u8] {
        let element = self.element_mut(id);
        let from = element.note() as usize;
        &mut element.bytes_mut()[from..]
    }

    pub fn set_payload(&mut self, id: u32, payload: &[u8]) {
        let element = self.element_mut(id);
        let before = element.memory();
        let from = element.note() as usize;
        element.splice(from, element.len() - from, payload);
        let after = element.memory();
        self.bytes = self.bytes - before + after;
    }

    /// Keeps an element and answers its number.
    pub fn add(&mut self, key: &[u8], payload: &[u8]) -> u32 {
        let mut element = Thin::new();
        let bytes = element.open(0, 0, key.len() + payload.len());
        let (first, second) = bytes.split_at_mut(key.len());
        first.copy_from_slice(key);
        second.copy_from_slice(payload);
        element.set_note(key.len() as u32);
        self.bytes += element.memory();
        self.len += 1;
        if let Some(id) = self.free.pop() {
            *self.element_mut(id) = element;
            return id;
        }
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(element),
            _ => self.blocks.push(vec![element]),
        }
        let last = self.blocks.len() - 1;
        (last * BLOCK + self.blocks[last].len() - 1) as u32
    }

    pub fn remove(&mut self, id: u32) {
        let element = std::mem::take(self.element_mut(id));
        self.bytes -= element.memory();
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
            let dropped = budget.min(block.len());
            block.truncate(block.len() - dropped);
            budget -= dropped;
            if block.is_empty() {
                self.blocks.pop();
            }
        }
        true
    }
}
