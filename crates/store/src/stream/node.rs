//! A node of a stream: entries packed into one listpack, in the format in which Redis has them, so that
//! dumping one is a copy.
//!
//! ```text
//! master   live | deleted | n | name₁ … nameₙ | 0
//! entry    flags | ms | seq | value₁ … valueₙ | n + 3            with the master's names
//! entry    flags | ms | seq | m | name₁ value₁ … | 2m + 4        with names of its own
//! ```
//!
//! The node is kept under the id of its first entry, and entries have the difference to that. The number
//! at an entry's end is that of elements before it in the entry, for the way back. A deleted entry is
//! marked and stays; a node without others goes.
//!
//! What the readers do with other bytes is to see an end: nodes from outside are checked when they come.

use super::id::Id;
use crate::element::Element;
use crate::listpack::{Corrupt, Entries, Entry as Packed, Iter, Listpack};
use crate::shared::Shared;

const DELETED: i64 = 1;
const SAME_NAMES: i64 = 2;

/// Elements of an entry besides names and values, with its own names and with the master's.
const FRAME_OWN: usize = 4;
const FRAME_SAME: usize = 3;

#[derive(Clone, Debug)]
pub(crate) struct Node(Shared<Listpack>);

/// Names and values of an entry.
#[derive(Clone)]
pub struct Fields<'a> {
    left: usize,
    /// The master's names; without, names and values alternate.
    names: Option<Iter<'a>>,
    values: Iter<'a>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Element<'a>, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => names.next()?,
            None => self.values.next()?,
        };
        Some((name, self.values.next()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// An entry as readers see it.
#[derive(Clone)]
pub struct Entry<'a> {
    pub id: Id,
    pub fields: Fields<'a>,
}

/// Where an entry is, and what its first elements say.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Position of the flags.
    at: usize,
    /// Position of the first value, or of the first name of its own.
    body: usize,
    /// Position behind the entry.
    end: usize,
    flags: i64,
    fields: usize,
    pub(crate) id: Id,
}

impl Place {
    #[inline]
    pub(crate) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    fn has_own_names(&self) -> bool {
        self.flags & SAME_NAMES == 0
    }
}

/// What the master entry says.
#[derive(Clone, Copy)]
struct Master {
    live: i64,
    deleted: i64,
    fields: usize,
    /// Position of the number of deleted entries.
    deleted_at: usize,
    names_at: usize,
}

#[inline]
fn int(entries: Entries<'_>, at: usize) -> Option<(i64, usize)> {
    match entries.step(at)? {
        (Element::Int(value), next) => Some((value, next)),
        _ => None,
    }
}

#[inline]
fn count(entries: Entries<'_>, at: usize) -> Option<(usize, usize)> {
    let (value, next) = int(entries, at)?;
    Some((usize::try_from(value).ok()?, next))
}

fn master(entries: Entries<'_>) -> Option<Master> {
    let (live, deleted_at) = int(entries, 0)?;
    let (deleted, at) = int(entries, deleted_at)?;
    let (fields, names_at) = count(entries, at)?;
    Some(Master {
        live,
        deleted,
        fields,
        deleted_at,
        names_at,
    })
}

/// The entries of a node with their places, from both ends.
#[derive(Clone)]
pub(crate) struct Walk<'a> {
    entries: Entries<'a>,
    base: Id,
    names: usize,
    names_at: usize,
    names_end: usize,
    from: usize,
    to: usize,
}

impl<'a> Walk<'a> {
    fn at(&self, at: usize) -> Option<Place> {
        let (flags, next) = int(self.entries, at)?;
        let (ms, next) = int(self.entries, next)?;
        let (seq, next) = int(self.entries, next)?;
        let (fields, body, elements) = if flags & SAME_NAMES != 0 {
            (self.names, next, self.names)
        } else {
            let (fields, body) = count(self.entries, next)?;
            (fields, body, fields.checked_mul(2)?)
        };
        let last = self.entries.skip(body, elements);
        Some(Place {
            at,
            body,
            end: self.entries.step(last)?.1,
            flags,
            fields,
            id: self.base.plus(ms, seq),
        })
    }

    #[inline]
    pub(crate) fn entry(&self, place: &Place) -> Entry<'a> {
        let names =
            (!place.has_own_names()).then(|| self.entries.between(self.names_at, self.names_end));
        Entry {
            id: place.id,
            fields: Fields {
                left: place.fields,
                names,
                values: self.entries.between(place.body, place.end),
            },
        }
    }

    /// Of entries that are there, which come in order, the one with this id.
    fn locate(mut self, id: Id) -> Option<Place> {
        self.find(|place| place.id >= id && !place.is_deleted())
            .filter(|place| place.id == id)
    }
}

impl Iterator for Walk<'_> {
    type Item = Place;

    #[inline]
    fn next(&mut self) -> Option<Place> {
        if self.from >= self.to {
            return None;
        }
        let place = self.at(self.from)?;
        self.from = place.end;
        Some(place)
    }
}

impl DoubleEndedIterator for Walk<'_> {
    fn next_back(&mut self) -> Option<Place> {
        if self.from >= self.to {
            return None;
        }
        let last = self.entries.before(self.to)?;
        let (back, _) = count(self.entries, last)?;
        let at = self.entries.skip_back(last, back)?;
        if at < self.from {
            return None;
        }
        self.to = at;
        self.at(at)
    }
}

/// What became of an entry that was to be deleted.
pub(crate) enum Deletion {
    Absent,
    Done,
    /// The node has no other entry, and is to go.
    NodeEmptied,
}

impl Node {
    /// A node with one entry, whose id is the node's. `fields` are names and values by turns.
    pub(crate) fn new<'f>(fields: impl Iterator<Item = &'f [u8]> + Clone, n: usize) -> Node {
        let mut pack = Listpack::new();
        let int = |value: usize| Packed::int(value as i64);
        let names = fields.clone().step_by(2).map(Packed::of);
        let values = fields.skip(1).step_by(2).map(Packed::of);
        pack.push_all(
            [int(1), int(0), int(n)]
                .into_iter()
                .chain(names)
                .chain([int(0), Packed::int(SAME_NAMES), int(0), int(0)])
                .chain(values)
                .chain([int(n + FRAME_SAME)]),
        );
        Node(Shared::new(pack))
    }

    /// Puts an entry behind, whose id is above all that were ever in the node.
    pub(crate) fn append<'f>(
        &mut self,
        base: Id,
        id: Id,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
        n: usize,
    ) {
        let entries = self.0.entries();
        let Some(master) = master(entries) else {
            unreachable!("a node has a master entry");
        };
        let mut at = master.names_at;
        let same = master.fields == n
            && fields
                .clone()
                .step_by(2)
                .all(|name| match entries.step(at) {
                    Some((element, next)) => {
                        at = next;
                        element.is(name)
                    }
                    None => false,
                });
        let (ms, seq) = id.minus(base);
        let head = |flags| [Packed::int(flags), Packed::int(ms), Packed::int(seq)].into_iter();
        let int = |value: usize| Packed::int(value as i64);
        if same {
            let values = fields.skip(1).step_by(2).map(Packed::of);
            let all = head(SAME_NAMES).chain(values);
            self.0.own().push_all(all.chain([int(n + FRAME_SAME)]));
        } else {
            let all = head(0).chain([int(n)]).chain(fields.map(Packed::of));
            self.0.own().push_all(all.chain([int(2 * n + FRAME_OWN)]));
        }
        self.0.own().replace_int(0, master.live + 1);
    }

    /// Whether an entry whose names and values have `len` bytes still belongs here. Bounds are those
    /// of `stream-node-max-bytes` and `stream-node-max-entries`, where 0 entries are no bound.
    #[inline]
    pub(crate) fn has_room(&self, len: usize, max_bytes: usize, max_entries: usize) -> bool {
        if self.0.bytes_len().saturating_add(len) >= max_bytes {
            return false;
        }
        let all = master(self.0.entries()).map_or(0, |m| m.live.saturating_add(m.deleted));
        max_entries == 0 || usize::try_from(all).is_ok_and(|all| all < max_entries)
    }

    /// Entries that are not deleted.
    pub(crate) fn live(&self) -> u64 {
        master(self.0.entries()).map_or(0, |m| u64::try_from(m.live).unwrap_or(0))
    }

    pub(crate) fn walk(&self, base: Id) -> Walk<'_> {
        let entries = self.0.entries();
        let end = entries.0.len();
        let (names, names_at) = master(entries).map_or((0, end), |m| (m.fields, m.names_at));
        let names_end = entries.skip(names_at, names);
        Walk {
            entries,
            base,
            names,
            names_at,
            names_end,
            from: entries.skip(names_end, 1),
            to: end,
        }
    }

    /// The id of the last entry, deleted ones included.
    pub(crate) fn last_id(&self, base: Id) -> Id {
        self.walk(base).next_back().map_or(base, |place| place.id)
    }

    pub(crate) fn has(&self, base: Id, id: Id) -> bool {
        self.walk(base).locate(id).is_some()
    }

    /// Deletes an entry. A node that it leaves empty is not changed.
    pub(crate) fn delete(&mut self, base: Id, id: Id) -> Deletion {
        let Some(place) = self.walk(base).locate(id) else {
            return Deletion::Absent;
        };
        if self.live() <= 1 {
            return Deletion::NodeEmptied;
        }
        self.mark_deleted(&place);
        self.count_deleted(1);
        Deletion::Done
    }

    /// Marks an entry as deleted, without counting it. Entries stay where they are.
    pub(crate) fn mark_deleted(&mut self, place: &Place) {
        self.0.own().replace_int(place.at, place.flags | DELETED);
    }

    /// Counts `n` entries that were marked.
    pub(crate) fn count_deleted(&mut self, n: i64) {
        let Some(master) = master(self.0.entries()) else {
            return;
        };
        let deleted = master.deleted.saturating_add(n);
        self.0.own().replace_int(master.deleted_at, deleted);
        self.0.own().replace_int(0, master.live - n);
    }

    pub(crate) fn pack(&self) -> &Listpack {
        &self.0
    }

    /// A node from outside, and how many entries it has.
    pub(crate) fn checked(pack: Listpack, base: Id) -> Result<Node, Corrupt> {
        let node = Node(Shared::new(pack));
        node.check(base).ok_or(Corrupt)?;
        Ok(node)
    }

    /// Walks over everything; nothing if something is not as it must be.
    fn check(&self, base: Id) -> Option<()> {
        let entries = self.0.entries();
        let master = master(entries)?;
        let walk = self.walk(base);
        let (zero, mut at) = int(entries, walk.names_end)?;
        let names = entries.between(walk.names_at, walk.names_end).count();
        if zero != 0 || names != master.fields {
            return None;
        }
        let (mut live, mut deleted) = (0, 0);
        let mut last: Option<Id> = None;
        while at < entries.0.len() {
            let place = walk.at(at)?;
            let elements = entries.between(at, place.end).count();
            let (frame, factor) = match place.has_own_names() {
                true => (FRAME_OWN, 2),
                false => (FRAME_SAME, 1),
            };
            let expected = place.fields.checked_mul(factor)?.checked_add(frame)?;
            let (back, _) = count(entries, entries.before(place.end)?)?;
            let known = place.flags & !(DELETED | SAME_NAMES) == 0;
            if elements != expected + 1 || back != expected || !known || place.fields == 0 {
                return None;
            }
            if last.is_some_and(|last| place.id <= last) {
                return None;
            }
            last = Some(place.id);
            match place.is_deleted() {
                true => deleted += 1,
                false => live += 1,
            }
            at = place.end;
        }
        (live == master.live && deleted == master.deleted).then_some(())
    }
}
