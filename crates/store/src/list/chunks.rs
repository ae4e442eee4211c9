//! A list too long for one pack: packs in a deque.
//!
//! Where chunks end is where Redis's quicklist ends its nodes, because it shows: a list becomes a
//! single pack again when one small chunk is left, and a dump has the chunks one by one. Elements too
//! large for a chunk have one of their own, as Redis's plain nodes do.
//!
//! The first chunk may be open, which is a [`Front`]. It is closed, and all are packs, before anything
//! but its ends is changed. Each pack's number of elements stands in the deque too, so that an index is
//! found without touching the packs.

use super::End;
use super::front::Front;
use crate::element::Element;
use crate::listpack::{Entries, Entry, Listpack, Needle};
use crate::shared::Shared;
use std::collections::VecDeque;

/// What a pack may hold, as `list-max-listpack-size` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// In Redis's counting.
    bytes: u32,
    elements: u32,
}

impl Bound {
    /// Bytes of a pack that is limited by its elements.
    const SAFE_BYTES: u32 = 8192;

    /// Of the directive: a number of elements, or from -1 to -5 the size.
    pub fn of(directive: i64) -> Bound {
        match directive {
            0.. => Bound {
                bytes: Bound::SAFE_BYTES,
                elements: u32::try_from(directive.max(1)).unwrap_or(u32::MAX),
            },
            _ => Bound {
                bytes: 4096 << (directive.unsigned_abs().min(5) - 1),
                elements: u32::MAX,
            },
        }
    }

    #[inline]
    pub fn holds(self, bytes: usize, elements: usize) -> bool {
        bytes <= self.bytes as usize && elements <= self.elements as usize
    }

    /// Whether so few are left that a chunk becomes the whole list again: half of the limit, of bytes
    /// or of elements.
    pub fn holds_twice(self, bytes: usize, elements: usize) -> bool {
        if self.elements == u32::MAX {
            bytes <= self.bytes as usize / 2
        } else {
            elements <= self.elements as usize / 2
        }
    }

    /// Whether an element is alone in its chunk.
    #[inline]
    fn is_large(self, text: &[u8]) -> bool {
        text.len() > self.bytes as usize
    }

    /// Whether a chunk has room for one more element, by an estimate of what it will take.
    #[inline]
    fn admits(self, bytes: usize, elements: usize, text: &[u8]) -> bool {
        const OVERHEAD: usize = 8;
        self.holds(bytes + text.len() + OVERHEAD, elements + 1)
    }
}

#[derive(Clone)]
struct Chunk {
    /// Copies of the list share it.
    pack: Shared<Listpack>,
    /// Elements of the pack.
    len: u32,
}

impl Chunk {
    fn new(pack: Listpack) -> Chunk {
        let len = pack.len() as u32;
        let pack = Shared::new(pack);
        Chunk { pack, len }
    }

    fn of(text: &[u8]) -> Chunk {
        let mut pack = Listpack::new();
        pack.push_back(text);
        Chunk::new(pack)
    }
}

#[derive(Clone)]
pub struct Chunks {
    front: Front,
    packs: VecDeque<Chunk>,
    len: usize,
    /// Bytes allocated for the packs.
    held: usize,
    /// From when the list became long.
    bound: Bound,
}

/// Bytes in Redis's counting beyond the entries.
const FRAME: usize = 7;

impl Chunks {
    pub fn new(bound: Bound, pack: Listpack) -> Chunks {
        let mut chunks = Chunks {
            front: Front::default(),
            packs: VecDeque::new(),
            len: pack.len(),
            held: 0,
            bound,
        };
        if !pack.is_empty() {
            chunks.put(0, Chunk::new(pack));
        }
        chunks
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn memory(&self) -> usize {
        let deque = self.packs.capacity() * size_of::<Chunk>();
        size_of::<Chunks>() + deque + self.front.memory() + self.held
    }

    /// Chunks.
    pub fn weight(&self) -> usize {
        self.packs.len() + 2
    }

    /// Frees some packs of a list that nobody reads again; true when none is left.
    pub fn free_some(&mut self, budget: usize) -> bool {
        self.packs.truncate(self.packs.len().saturating_sub(budget));
        self.packs.is_empty()
    }

    /// Puts a pack, which is not empty, behind all others as it is.
    pub fn append(&mut self, pack: Listpack) {
        self.len += pack.len();
        self.put(self.packs.len(), Chunk::new(pack));
    }

    /// The pack that all elements are in, if there is only one and `holds` says so of its bytes and
    /// elements.
    pub fn sole_pack(&mut self, holds: impl Fn(usize, usize) -> bool) -> Option<Listpack> {
        if self.segments() != 1 || self.is_alone(0) {
            return None;
        }
        let (entries, len) = self.segment(0);
        if !holds(entries.0.len() + FRAME, len) {
            return None;
        }
        self.close();
        Some(self.take(0).pack.into_inner())
    }

    // All chunks as entries with their number, the open one first.

    #[inline]
    pub(super) fn segments(&self) -> usize {
        self.packs.len() + usize::from(!self.front.is_empty())
    }

    #[inline]
    fn segment(&self, i: usize) -> (Entries<'_>, usize) {
        let Some(i) = i.checked_sub(usize::from(!self.front.is_empty())) else {
            return (self.front.entries(), self.front.len());
        };
        let chunk = &self.packs[i];
        (chunk.pack.entries(), chunk.len as usize)
    }

    fn segment_len(&self, i: usize) -> usize {
        match i.checked_sub(usize::from(!self.front.is_empty())) {
            None => self.front.len(),
            Some(i) => self.packs[i].len as usize,
        }
    }

    /// Whether a chunk holds one large element.
    fn is_alone(&self, segment: usize) -> bool {
        let (entries, len) = self.segment(segment);
        len == 1 && matches!(entries.get(0), Element::Bytes(text) if self.bound.is_large(text))
    }

    /// The chunk of an index, which is within the list, and the index there.
    fn locate(&self, index: usize) -> (usize, usize) {
        if index < self.len / 2 {
            let (mut i, mut left) = (0, index);
            while left >= self.segment_len(i) {
                left -= self.segment_len(i);
                i += 1;
            }
            return (i, left);
        }
        let (mut i, mut start) = (self.segments() - 1, self.len);
        loop {
            start -= self.segment_len(i);
            if index >= start {
                return (i, index - start);
            }
            i -= 1;
        }
    }

    /// The element with an index within the list.
    pub fn get(&self, index: usize) -> Element<'_> {
        let (i, k) = self.locate(index);
        let (entries, len) = self.segment(i);
        entries.get(entries.nth(k, len))
    }

    /// Hands `n` elements to `visit`, or fewer if it says false: those behind the first `skipped`, all
    /// seen from one end. There are as many.
    pub fn walk(
        &self,
        end: End,
        skipped: usize,
        n: usize,
        visit: &mut impl FnMut(Element<'_>) -> bool,
    ) {
        if n == 0 {
            return;
        }
        match end {
            End::Head => self.walk_on(skipped, n, visit),
            End::Tail => self.walk_back(self.len - skipped, n, visit),
        }
    }

    fn walk_on(&self, from: usize, n: usize, visit: &mut impl FnMut(Element<'_>) -> bool) {
        let (mut i, k) = self.locate(from);
        let (mut entries, len) = self.segment(i);
        let mut at = entries.nth(k, len);
        for _ in 0..n {
            if at >= entries.0.len() {
                i += 1;
                (entries, _) = self.segment(i);
                at = 0;
            }
            let Some((element, next)) = entries.step(at) else {
                return;
            };
            at = next;
            if !visit(element) {
                return;
            }
        }
    }

    /// The `n` elements before an index, the last one first.
    fn walk_back(&self, before: usize, n: usize, visit: &mut impl FnMut(Element<'_>) -> bool) {
        let (mut i, k) = self.locate(before - 1);
        let (mut entries, len) = self.segment(i);
        let mut at = entries.behind(entries.nth(k, len));
        for _ in 0..n {
            if at == 0 {
                i -= 1;
                (entries, _) = self.segment(i);
                at = entries.0.len();
            }
            let Some(pos) = entries.before(at) else {
                return;
            };
            at = pos;
            if !visit(entries.get(pos)) {
                return;
            }
        }
    }

    // The ends.

    #[inline]
    pub fn push(&mut self, end: End, text: &[u8]) {
        self.len += 1;
        match end {
            _ if self.bound.is_large(text) => {
                self.close();
                let at = if end == End::Head {
                    0
                } else {
                    self.packs.len()
                };
                self.put(at, Chunk::of(text));
            }
            End::Head => self.push_front(text),
            End::Tail => self.push_back(text),
        }
    }

    fn push_front(&mut self, text: &[u8]) {
        if !self.front.is_empty() {
            let bytes = self.front.bytes_len() + FRAME;
            if !self.bound.admits(bytes, self.front.len(), text) {
                self.close();
            }
        } else if self.admits(0, text) {
            self.open();
        }
        self.front.push_front(&Entry::of(text));
    }

    fn push_back(&mut self, text: &[u8]) {
        let Some(last) = self.packs.len().checked_sub(1) else {
            let bytes = self.front.bytes_len() + FRAME;
            if !self.front.is_empty() && self.bound.admits(bytes, self.front.len(), text) {
                self.front.push_back(&Entry::of(text));
            } else {
                self.put(0, Chunk::of(text));
            }
            return;
        };
        if self.admits(last, text) {
            self.edit(last, |pack| pack.push_back(text));
        } else {
            self.put(last + 1, Chunk::of(text));
        }
    }

    /// Removes the element at an end and hands it to `then`.
    #[inline]
    pub fn pop<R>(&mut self, end: End, then: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let result = match end {
            End::Head => self.pop_front(then),
            End::Tail => self.pop_back(then),
        }?;
        self.len -= 1;
        Some(result)
    }

    fn pop_front<R>(&mut self, then: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        if self.front.is_empty() {
            if self.packs.front()?.len == 1 {
                return Some(then(self.take(0).pack.get(0)));
            }
            self.open();
        }
        self.front.pop_front(then)
    }

    fn pop_back<R>(&mut self, then: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        match self.packs.back() {
            None => self.front.pop_back(then),
            Some(chunk) if chunk.len == 1 => {
                Some(then(self.take(self.packs.len() - 1).pack.get(0)))
            }
            Some(_) => self.edit(self.packs.len() - 1, |pack| pack.pop_back(then)),
        }
    }

    /// Removes `n` elements, or as many as there are, from an end.
    pub fn cut(&mut self, end: End, n: usize) {
        let mut left = n.min(self.len);
        self.len -= left;
        while left > 0 {
            left -= match end {
                End::Head => self.drop_front(left),
                End::Tail => self.drop_back(left),
            };
        }
    }

    /// Removes up to `n` elements of the first chunk; answers how many.
    fn drop_front(&mut self, n: usize) -> usize {
        if self.front.is_empty() {
            let len = self.packs[0].len as usize;
            if len <= n {
                self.take(0);
                return len;
            }
            self.open();
        }
        let n = n.min(self.front.len());
        self.front.drop_front(n);
        n
    }

    /// Removes up to `n` elements of the last chunk; answers how many.
    fn drop_back(&mut self, n: usize) -> usize {
        let Some(last) = self.packs.len().checked_sub(1) else {
            let n = n.min(self.front.len());
            self.front.drop_back(n);
            return n;
        };
        let len = self.packs[last].len as usize;
        if len <= n {
            self.take(last);
            return len;
        }
        self.edit(last, |pack| {
            let end = pack.entries().0.len();
            let cut = pack.entries().skip_back(end, n).unwrap_or(0);
            pack.truncate(cut as u32, len - n);
        });
        n
    }

    /// Makes the first pack the open chunk; there is none yet, and it is not empty.
    fn open(&mut self) {
        let chunk = self.take(0);
        self.front.load(&chunk.pack);
    }

    /// Makes the open chunk a pack.
    fn close(&mut self) {
        if !self.front.is_empty() {
            let pack = self.front.take();
            self.put(0, Chunk::new(pack));
        }
    }

    // The packs.

    fn put(&mut self, i: usize, chunk: Chunk) {
        self.held += chunk.pack.memory();
        self.packs.insert(i, chunk);
    }

    fn take(&mut self, i: usize) -> Chunk {
        let chunk = self.packs.remove(i).expect("the chunk is there");
        self.held -= chunk.pack.memory();
        chunk
    }

    #[inline]
    fn edit<R>(&mut self, i: usize, edit: impl FnOnce(&mut Listpack) -> R) -> R {
        let chunk = &mut self.packs[i];
        self.held -= chunk.pack.memory();
        let result = edit(chunk.pack.own());
        chunk.len = chunk.pack.len() as u32;
        self.held += chunk.pack.memory();
        result
    }

    /// Whether a pack, which may not exist, has room for an element.
    #[inline]
    fn admits(&self, i: usize, text: &[u8]) -> bool {
        self.packs.get(i).is_some_and(|chunk| {
            self.bound
                .admits(chunk.pack.bytes_len(), chunk.len as usize, text)
        })
    }

    /// Inserts before or behind the element with an index within the list.
    pub fn insert(&mut self, index: usize, place: Place, text: &[u8]) {
        self.close();
        let (i, k) = self.locate(index);
        self.len += 1;
        let cut = k + usize::from(place == Place::After);
        let at_end = match place {
            Place::Before => cut == 0,
            Place::After => cut == self.packs[i].len as usize,
        };
        // The chunk on the other side of the gap, which may not exist, and the place between.
        let (neighbour, between) = match place {
            Place::Before => (i.wrapping_sub(1), i),
            Place::After => (i + 1, i + 1),
        };
        if self.bound.is_large(text) {
            if at_end {
                self.put(between, Chunk::of(text));
            } else {
                self.split(i, cut);
                self.put(i + 1, Chunk::of(text));
            }
        } else if self.admits(i, text) {
            self.edit(i, |pack| insert_at(pack, cut, text));
        } else if at_end && self.admits(neighbour, text) {
            self.edit(neighbour, |pack| match place {
                Place::Before => pack.push_back(text),
                Place::After => pack.push_front(text),
            });
        } else if at_end {
            self.put(between, Chunk::of(text));
        } else {
            self.split(i, cut);
            match place {
                Place::Before => self.edit(i, |pack| pack.push_back(text)),
                Place::After => self.edit(i + 1, |pack| pack.push_front(text)),
            }
            self.merge_around(if place == Place::After { i } else { i + 1 });
        }
    }

    /// Puts another element into the place of the one with an index within the list.
    pub fn replace(&mut self, index: usize, text: &[u8]) {
        self.close();
        let (i, k) = self.locate(index);
        let (large, alone) = (self.bound.is_large(text), self.is_alone(i));
        if large == alone {
            self.edit(i, |pack| {
                if let Some(pos) = pack.seek(k as i64) {
                    pack.replace(pos, text);
                }
            });
        } else if alone {
            self.insert(index, Place::After, text);
            self.len -= 1;
            self.take(i);
        } else {
            self.replace_by_large(i, k, text);
        }
    }

    /// Puts an element into a chunk of its own, in the place of one that is among others.
    fn replace_by_large(&mut self, i: usize, k: usize, text: &[u8]) {
        let len = self.packs[i].len as usize;
        if k + 1 < len {
            self.split(i, k + 1);
        }
        self.put(i + 1, Chunk::of(text));
        if k == 0 {
            self.take(i);
        } else {
            self.edit(i, |pack| pack.remove_range(-1, 1));
            self.merge_around(i + 1);
        }
    }

    /// Cuts a pack in two before an index within it.
    fn split(&mut self, i: usize, k: usize) {
        let rest = self.edit(i, |pack| {
            let pos = pack.seek(k as i64).expect("the index is within the pack");
            pack.split_off(pos)
        });
        self.put(i + 1, Chunk::new(rest));
    }

    /// Merges packs around one that was cut, where two fit into one: its neighbours with theirs, then
    /// itself with them.
    fn merge_around(&mut self, mut i: usize) {
        if i >= 2 && self.merge(i - 2) {
            i -= 1;
        }
        self.merge(i + 1);
        if i >= 1 && self.merge(i - 1) {
            i -= 1;
        }
        self.merge(i);
    }

    /// Merges a pack with the next one, if there are both, and one can hold them.
    fn merge(&mut self, i: usize) -> bool {
        let (Some(a), Some(b)) = (self.packs.get(i), self.packs.get(i + 1)) else {
            return false;
        };
        let bytes = a.pack.bytes_len() + b.pack.bytes_len() - FRAME;
        if !self.bound.holds(bytes, (a.len + b.len) as usize) {
            return false;
        }
        let next = self.take(i + 1);
        self.edit(i, |pack| pack.append(&next.pack));
        true
    }

    /// Removes the first `n` elements, seen from an end, that are like another; answers how many.
    pub fn remove(&mut self, needle: &Needle<'_>, end: End, n: usize) -> usize {
        self.close();
        let mut removed = 0;
        let mut next = 0;
        while removed < n && next < self.packs.len() {
            let i = match end {
                End::Head => next,
                End::Tail => self.packs.len() - 1 - next,
            };
            let found = self.packs[i].pack.iter().any(|e| needle.is(e));
            if found {
                removed += self.edit(i, |pack| remove(pack, needle, end, n - removed));
            }
            if self.packs[i].len == 0 {
                self.take(i);
            } else {
                next += 1;
            }
        }
        self.len -= removed;
        removed
    }

    /// Compares what is counted with what is there.
    #[cfg(test)]
    pub fn check(&self) {
        let mut len = self.front.len();
        assert_eq!(
            self.front
                .entries()
                .between(0, self.front.bytes_len())
                .count(),
            len
        );
        for chunk in &self.packs {
            assert!(chunk.len > 0 && chunk.pack.iter().count() == chunk.len as usize);
            len += chunk.len as usize;
        }
        assert_eq!(len, self.len);
        let held: usize = self.packs.iter().map(|chunk| chunk.pack.memory()).sum();
        assert_eq!(held, self.held);
    }

    /// The chunks, for a dump: entries and their number, and whether it is one large element.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Entries<'_>, usize, bool)> {
        (0..self.segments()).map(|i| {
            let (entries, len) = self.segment(i);
            (entries, len, self.is_alone(i))
        })
    }
}

/// Before or behind another element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Before,
    After,
}

/// Inserts before an index, which may be the end.
fn insert_at(pack: &mut Listpack, k: usize, text: &[u8]) {
    match pack.seek(k as i64) {
        Some(pos) => pack.insert_before(pos, text),
        None => pack.push_back(text),
    }
}

/// Removes the first `n` elements, seen from an end, that are like another; answers how many.
pub fn remove(pack: &mut Listpack, needle: &Needle<'_>, end: End, n: usize) -> usize {
    let mut kept = match end {
        End::Head => 0,
        End::Tail => pack
            .iter()
            .filter(|e| needle.is(*e))
            .count()
            .saturating_sub(n),
    };
    let mut left = n;
    pack.retain(|element| {
        if left == 0 || !needle.is(element) {
            return true;
        }
        if kept > 0 {
            kept -= 1;
            return true;
        }
        left -= 1;
        false
    })
}
