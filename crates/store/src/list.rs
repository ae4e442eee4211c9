//! Lists: one pack while short, a deque of packs when long.
//!
//! When a list changes from one to the other is Redis's rule, which looks at a command as a whole. So
//! a command that adds calls [`List::make_room`] first, and one that removes or replaces calls
//! [`List::shrink`] at last.

mod chunks;
mod front;
#[cfg(test)]
mod tests;

use crate::element::Element;
use crate::listpack::{Entries, Listpack, Needle};
use crate::shard::Type;
use crate::value::{Collection, Limits};
use chunks::{Bound, Chunks};

pub use chunks::Place;

#[derive(Clone)]
pub enum List {
    Packed(Listpack),
    Chunks(Box<Chunks>),
}

/// The end of a list that an operation is at, or counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where index 0 is.
    Head,
    Tail,
}

/// A part of a list as a dump has it.
pub enum Node<'a> {
    /// One large element.
    Plain(&'a [u8]),
    /// Entries of a listpack, and their number.
    Packed(&'a [u8], usize),
}

impl<'a> Node<'a> {
    fn of((entries, len, alone): (Entries<'a>, usize, bool)) -> Node<'a> {
        match entries.get(0) {
            Element::Bytes(text) if alone => Node::Plain(text),
            _ => Node::Packed(entries.0, len),
        }
    }
}

impl Default for List {
    fn default() -> List {
        List::Packed(Listpack::default())
    }
}

impl List {
    /// Bytes of the longest element.
    pub const ELEMENT_MAX: usize = u32::MAX as usize - 1024;

    /// Makes the list a long one if it is to get elements, of so many bytes in sum, that are too many
    /// for a short one.
    #[inline]
    pub fn make_room(&mut self, limits: &Limits, elements: usize, bytes: usize) {
        if let List::Packed(pack) = self {
            let bound = Bound::of(limits.list_max_listpack_size);
            let bytes = pack.bytes_len().saturating_add(bytes);
            if !bound.holds(bytes, pack.len() + elements) {
                let pack = std::mem::take(pack);
                *self = List::Chunks(Box::new(Chunks::new(bound, pack)));
            }
        }
    }

    /// Makes the list a short one if what is left is half of what a short one may hold.
    #[inline]
    pub fn shrink(&mut self, limits: &Limits) {
        if let List::Chunks(chunks) = self {
            let bound = Bound::of(limits.list_max_listpack_size);
            if let Some(pack) = chunks.sole_pack(|bytes, len| bound.holds_twice(bytes, len)) {
                *self = List::Packed(pack);
            }
        }
    }

    #[inline]
    pub fn push(&mut self, end: End, text: &[u8]) {
        match (self, end) {
            (List::Packed(pack), End::Head) => pack.push_front(text),
            (List::Packed(pack), End::Tail) => pack.push_back(text),
            (List::Chunks(chunks), _) => chunks.push(end, text),
        }
    }

    /// Removes the element at an end and hands it to `then`.
    #[inline]
    pub fn pop<R>(&mut self, end: End, then: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        match self {
            List::Packed(pack) => match end {
                End::Head => pack.pop_front(then),
                End::Tail => pack.pop_back(then),
            },
            List::Chunks(chunks) => chunks.pop(end, then),
        }
    }

    /// Removes `n` elements, or as many as there are, from an end.
    pub fn cut(&mut self, end: End, n: usize) {
        match self {
            List::Packed(pack) => {
                let n = n.min(pack.len());
                let first = match end {
                    End::Head => 0,
                    End::Tail => pack.len() - n,
                };
                pack.remove_range(first as i64, n);
            }
            List::Chunks(chunks) => chunks.cut(end, n),
        }
    }

    /// An index that may count from the tail, as one from the head.
    pub fn index(&self, index: i64) -> Option<usize> {
        let len = self.len() as i64;
        let from_head = if index < 0 { index + len } else { index };
        (0..len).contains(&from_head).then_some(from_head as usize)
    }

    /// The element with an index, if there is one.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        match self {
            List::Packed(pack) => Some(pack.get(pack.seek(i64::try_from(index).ok()?)?)),
            List::Chunks(chunks) => (index < chunks.len()).then(|| chunks.get(index)),
        }
    }

    /// Hands up to `n` elements to `visit` until it says false: those behind the first `skipped`, all
    /// seen from one end.
    #[inline]
    pub fn walk(
        &self,
        end: End,
        skipped: usize,
        n: usize,
        mut visit: impl FnMut(Element<'_>) -> bool,
    ) {
        let n = n.min(self.len().saturating_sub(skipped));
        let pack = match self {
            List::Packed(pack) => pack,
            List::Chunks(chunks) => return chunks.walk(end, skipped, n, &mut visit),
        };
        let (entries, len) = (pack.entries(), pack.len());
        if n == 0 {
            return;
        }
        match end {
            End::Head => {
                let from = entries.nth(skipped, len);
                let range = entries.between(from, entries.0.len());
                let _ = range.take(n).all(visit);
            }
            End::Tail => {
                let to = entries.skip_back(entries.0.len(), skipped).unwrap_or(0);
                let _ = entries.between(0, to).rev().take(n).all(visit);
            }
        }
    }

    /// The index of the first element with these bytes.
    pub fn find(&self, text: &[u8]) -> Option<usize> {
        let needle = Needle::new(text);
        let (mut index, mut found) = (0, false);
        self.walk(End::Head, 0, usize::MAX, |element| {
            found = needle.is(element);
            index += usize::from(!found);
            !found
        });
        found.then_some(index)
    }

    /// Inserts before or behind the element with an index, if there is one.
    pub fn insert(&mut self, index: usize, place: Place, text: &[u8]) {
        match self {
            List::Packed(pack) => {
                let Some(pos) = pack.seek(index as i64) else {
                    return;
                };
                match place {
                    Place::Before => pack.insert_before(pos, text),
                    Place::After => pack.insert_after(pos, text),
                }
            }
            List::Chunks(chunks) if index < chunks.len() => chunks.insert(index, place, text),
            List::Chunks(_) => {}
        }
    }

    /// Puts another element into the place of the one with an index, if there is one.
    pub fn set(&mut self, index: usize, text: &[u8]) {
        match self {
            List::Packed(pack) => {
                if let Some(pos) = pack.seek(index as i64) {
                    pack.replace(pos, text);
                }
            }
            List::Chunks(chunks) if index < chunks.len() => chunks.replace(index, text),
            List::Chunks(_) => {}
        }
    }

    /// Removes the first `n` elements with these bytes, seen from an end; answers how many there were.
    pub fn remove(&mut self, text: &[u8], end: End, n: usize) -> usize {
        let needle = Needle::new(text);
        match self {
            List::Packed(pack) => chunks::remove(pack, &needle, end, n),
            List::Chunks(chunks) => chunks.remove(&needle, end, n),
        }
    }

    /// Puts the elements of a dump's node behind all others. They stay together in one node, unless the
    /// list is short enough for the packed encoding.
    pub fn append(&mut self, node: Listpack, limits: &Limits) {
        if node.is_empty() {
            return;
        }
        let bound = Bound::of(limits.list_max_listpack_size);
        if let List::Packed(pack) = self {
            if pack.is_empty() && bound.holds(node.bytes_len(), node.len()) {
                *pack = node;
                return;
            }
            let pack = std::mem::take(pack);
            *self = List::Chunks(Box::new(Chunks::new(bound, pack)));
        }
        if let List::Chunks(chunks) = self {
            chunks.append(node);
        }
    }

    /// How many nodes a dump has.
    pub fn node_count(&self) -> usize {
        match self {
            List::Packed(_) => 1,
            List::Chunks(chunks) => chunks.segments(),
        }
    }

    /// The list as a dump has it.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        let (pack, chunks) = match self {
            List::Packed(pack) => (Some(pack), None),
            List::Chunks(chunks) => (None, Some(chunks)),
        };
        let packed = pack.map(|pack| Node::Packed(pack.entries().0, pack.len()));
        let chunks = chunks.into_iter().flat_map(|chunks| chunks.iter());
        packed.into_iter().chain(chunks.map(Node::of))
    }
}

impl Collection for List {
    const TYPE: Type = Type::List;

    #[inline]
    fn len(&self) -> usize {
        match self {
            List::Packed(pack) => pack.len(),
            List::Chunks(chunks) => chunks.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            List::Packed(_) => "listpack",
            List::Chunks(_) => "quicklist",
        }
    }

    #[inline]
    fn memory(&self) -> usize {
        match self {
            List::Packed(pack) => pack.memory(),
            List::Chunks(chunks) => chunks.memory(),
        }
    }

    fn weight(&self) -> usize {
        match self {
            List::Packed(_) => 1,
            List::Chunks(chunks) => chunks.weight(),
        }
    }

    fn free_some(&mut self, budget: usize) -> bool {
        match self {
            List::Packed(_) => true,
            List::Chunks(chunks) => chunks.free_some(budget),
        }
    }
}
