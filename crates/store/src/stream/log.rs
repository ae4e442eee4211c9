//! A stream's entries and what is counted about them, without the groups that read it.

use super::group::Group;
use super::id::Id;
use super::node::{Deletion, Entry, Node, Walk};
use super::tree::{Nodes, Tree};
use crate::listpack::{Corrupt, Listpack};
use crate::value::Limits;

/// Most bytes of a node, and of the names and values of an entry.
const BYTES_MAX: usize = 1 << 30;

#[derive(Clone, Debug, Default)]
pub struct Log {
    tree: Tree,
    len: u64,
    /// The id of the last entry ever added, or what XSETID has said.
    pub last_id: Id,
    /// The first entry that is there; zero without any.
    pub first_id: Id,
    /// The greatest id that was deleted one by one; trimming does not count.
    pub max_deleted_id: Id,
    /// Entries ever added.
    pub entries_added: u64,
}

/// The id that a new entry is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The time, or the id above the last one if that is not below it.
    Auto,
    /// This time, and the next number within it.
    At(u64),
    Exact(Id),
}

/// Why an entry is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no id above the last one.
    Exhausted,
    /// The id is not above the last one.
    NotAbove,
    TooLarge,
}

/// What becomes of what groups know of an entry that is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// It stays pending.
    #[default]
    Keep,
    /// It is no longer pending.
    Delete,
    /// An entry that a group has not read, or that is pending, is not deleted.
    Spare,
}

/// Which entries are trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// All but the newest.
    Len(u64),
    /// Those below.
    Id(Id),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    pub bound: Bound,
    /// Only whole nodes go.
    pub approximate: bool,
    /// No node goes with which more entries would; 0: no limit.
    pub limit: u64,
    pub references: References,
}

impl Log {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many packed nodes hold the entries.
    pub fn nodes(&self) -> usize {
        self.tree.len()
    }

    /// The nodes for a dump, each with the id that it is kept under.
    pub fn packs(&self) -> impl Iterator<Item = (Id, &Listpack)> {
        self.tree.all().map(|(base, node)| (base, node.pack()))
    }

    /// Puts a node from a dump behind all others. What is counted besides the entries is left to the
    /// caller.
    pub fn push_pack(&mut self, base: Id, pack: Listpack) -> Result<(), Corrupt> {
        let node = Node::checked(pack, base)?;
        let first = node.walk(base).next().map(|place| place.id);
        let before = self.tree.all().next_back();
        let last = before.map(|(base, node)| node.last_id(base));
        if first.is_none_or(|first| first < base || last.is_some_and(|last| last >= base)) {
            return Err(Corrupt);
        }
        self.len += node.live();
        self.tree.push(base, node);
        Ok(())
    }

    /// The id for a new entry.
    #[inline]
    pub fn new_id(&self, id: NewId, now_ms: i64) -> Result<Id, Refusal> {
        let last = self.last_id;
        if last == Id::MAX {
            return Err(Refusal::Exhausted);
        }
        let id = match id {
            NewId::Exact(id) => id,
            NewId::At(ms) if ms == last.ms => {
                let seq = last.seq.checked_add(1).ok_or(Refusal::NotAbove)?;
                Id::new(ms, seq)
            }
            NewId::At(ms) => Id::new(ms, 0),
            NewId::Auto => {
                let now = u64::try_from(now_ms).unwrap_or(0);
                match now > last.ms {
                    true => Id::new(now, 0),
                    false => last.next().ok_or(Refusal::Exhausted)?,
                }
            }
        };
        match id > last {
            true => Ok(id),
            false => Err(Refusal::NotAbove),
        }
    }

    /// Adds an entry. `fields` are names and values by turns, `n` of each; there is at least one.
    pub fn append<'f>(
        &mut self,
        id: NewId,
        now_ms: i64,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
        n: usize,
        limits: &Limits,
    ) -> Result<Id, Refusal> {
        let id = self.new_id(id, now_ms)?;
        let len: usize = fields.clone().map(<[u8]>::len).sum();
        if len > BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let max_bytes = match limits.stream_node_max_bytes {
            0 => BYTES_MAX,
            max => max.min(BYTES_MAX),
        };
        let max_entries = limits.stream_node_max_entries;
        match self.tree.last_mut() {
            Some((base, node)) if node.has_room(len, max_bytes, max_entries) => {
                node.append(base, id, fields, n);
            }
            _ => self.tree.push(id, Node::new(fields, n)),
        }
        self.len += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        Ok(id)
    }

    /// The entries of a range in order.
    pub fn range(&self, from: Id, to: Id) -> Range<'_> {
        Range {
            nodes: self.tree.range(from, to),
            walk: None,
            from,
            to,
        }
    }

    /// The entries of a range from the last to the first.
    pub fn range_back(&self, from: Id, to: Id) -> RangeBack<'_> {
        RangeBack(self.range(from, to))
    }

    /// About how many entries a range has, at least up to `most`.
    pub fn about(&self, from: Id, to: Id, most: usize) -> usize {
        let mut sum = 0;
        for (_, node) in self.tree.range(from, to) {
            sum += node.live() as usize;
            if sum >= most {
                break;
            }
        }
        sum.min(most)
    }

    pub fn get(&self, id: Id) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    pub fn has(&self, id: Id) -> bool {
        let node = self.tree.node_for(id);
        node.is_some_and(|(base, node)| node.has(base, id))
    }

    pub fn first(&self) -> Option<Entry<'_>> {
        self.range(Id::MIN, Id::MAX).next()
    }

    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_back(Id::MIN, Id::MAX).next()
    }

    /// Deletes an entry; false if it is not there.
    pub fn delete(&mut self, id: Id) -> bool {
        let Some((base, _)) = self.tree.node_for(id) else {
            return false;
        };
        let Some(node) = self.tree.node_mut(base) else {
            return false;
        };
        match node.delete(base, id) {
            Deletion::Absent => return false,
            Deletion::Done => {}
            Deletion::NodeEmptied => self.tree.remove(base),
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id {
            self.find_first();
        }
        true
    }

    fn find_first(&mut self) {
        self.first_id = self.first().map_or(Id::MIN, |entry| entry.id);
    }

    /// Trims the stream; answers how many entries went. `groups` are all of its.
    pub fn trim(&mut self, trim: &Trim, groups: &mut [Group]) -> u64 {
        let plain = trim.references == References::Keep || groups.is_empty();
        let before = self.len;
        let mut from = Id::MIN;
        while !matches!(trim.bound, Bound::Len(max) if self.len <= max) {
            let mut nodes = self.tree.range(from, Id::MAX);
            let Some((base, node)) = nodes.find(|(base, _)| *base >= from) else {
                break;
            };
            let (live, last) = (node.live(), node.last_id(base));
            let trimmed = before - self.len;
            if trim.limit > 0 && trimmed.saturating_add(live) > trim.limit {
                break;
            }
            let whole = match trim.bound {
                Bound::Len(max) => self.len.saturating_sub(live) >= max,
                Bound::Id(id) => last < id,
            };
            if whole && plain {
                self.tree.remove(base);
                self.len -= live;
                continue;
            }
            if trim.approximate && !whole {
                break;
            }
            self.trim_node(base, trim, groups, whole);
            if !whole {
                break;
            }
            match last.next() {
                Some(next) => from = next,
                None => break,
            }
        }
        let trimmed = before - self.len;
        if trimmed > 0 {
            self.find_first();
        }
        trimmed
    }

    /// Trims entries of one node, one by one. If they are all, and the `whole` node is to be trimmed, it
    /// goes; otherwise it stays for those that come, although the ones in it are deleted.
    fn trim_node(&mut self, base: Id, trim: &Trim, groups: &mut [Group], whole: bool) {
        let Some(node) = self.tree.node_mut(base) else {
            return;
        };
        let mut left = self.len;
        let mut marked = Vec::new();
        for place in node.walk(base) {
            let reached = match trim.bound {
                Bound::Len(max) => left <= max,
                Bound::Id(id) => place.id >= id,
            };
            if reached {
                break;
            }
            if place.is_deleted() || !may_delete(place.id, trim.references, groups) {
                continue;
            }
            left -= 1;
            marked.push(place);
        }
        let gone = self.len - left;
        self.len = left;
        if whole && gone == node.live() {
            self.tree.remove(base);
            return;
        }
        // From the end, because a flag from outside may become shorter.
        for place in marked.iter().rev() {
            node.mark_deleted(place);
        }
        node.count_deleted(gone as i64);
    }

    /// How many entries were ever added up to this id, if that can be known.
    pub fn added_up_to(&self, id: Id) -> Option<i64> {
        let added = self.entries_added as i64;
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(added);
        }
        if id != Id::MIN && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(added);
        }
        if self.max_deleted_id == Id::MIN || self.max_deleted_id < self.first_id {
            let before = added.wrapping_sub(self.len as i64);
            if id < self.first_id {
                return Some(before);
            }
            if id == self.first_id {
                return Some(before.wrapping_add(1));
            }
        }
        None
    }

    /// Whether an entry was deleted among those from this id on.
    pub fn has_gap_behind(&self, id: Id) -> bool {
        self.len > 0
            && self.max_deleted_id != Id::MIN
            && self.first_id <= self.max_deleted_id
            && id <= self.max_deleted_id
    }

    pub(crate) fn memory(&self) -> usize {
        self.tree.memory()
    }

    /// Frees about `budget` nodes; true when none is left.
    pub(crate) fn free_some(&mut self, budget: &mut usize) -> bool {
        while *budget > 0 {
            *budget -= 1;
            if self.tree.pop_first().is_none() {
                return true;
            }
        }
        false
    }
}

/// Whether an entry may be deleted, after which no group knows it if that is asked for.
pub(crate) fn may_delete(id: Id, references: References, groups: &mut [Group]) -> bool {
    match references {
        References::Keep => true,
        References::Delete => {
            forget(id, groups);
            true
        }
        References::Spare => !is_referenced(id, groups),
    }
}

/// No group knows of an entry any longer; false if none did.
pub(crate) fn forget(id: Id, groups: &mut [Group]) -> bool {
    let known = groups.iter_mut().map(|group| group.acknowledge(id));
    known.fold(false, |any, known| any | known)
}

/// Whether a group has not read an entry yet, or somebody has to acknowledge it.
pub(crate) fn is_referenced(id: Id, groups: &[Group]) -> bool {
    groups.iter().any(|g| g.last_id < id || g.is_pending(id))
}

/// See [`Log::range`].
pub struct Range<'a> {
    nodes: Nodes<'a>,
    walk: Option<Walk<'a>>,
    from: Id,
    to: Id,
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let Some(walk) = &mut self.walk {
                for place in walk.by_ref() {
                    if place.id > self.to {
                        break;
                    }
                    if place.id >= self.from && !place.is_deleted() {
                        return Some(walk.entry(&place));
                    }
                }
            }
            let (base, node) = self.nodes.next()?;
            self.walk = Some(node.walk(base));
        }
    }
}

/// See [`Log::range_back`].
pub struct RangeBack<'a>(Range<'a>);

impl<'a> Iterator for RangeBack<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let range = &mut self.0;
        loop {
            if let Some(walk) = &mut range.walk {
                while let Some(place) = walk.next_back() {
                    if place.id < range.from {
                        break;
                    }
                    if place.id <= range.to && !place.is_deleted() {
                        return Some(walk.entry(&place));
                    }
                }
            }
            let (base, node) = range.nodes.next_back()?;
            range.walk = Some(node.walk(base));
        }
    }
}
