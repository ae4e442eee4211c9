//! Streams: entries with ids that only grow, and groups of consumers who read them together.
//!
//! ```text
//! Stream ── Body ─┬─ Log ── Tree ── Node, Node, …       entries, packed (stream/node.rs)
//!                 └─ Group, … ─┬─ Pending, … by id      what was delivered and not acknowledged
//!                              └─ Consumer, …           who has which of these
//! ```

mod group;
mod id;
mod log;
mod node;
mod tree;

pub use group::{Claim, Claimed, Consumer, ConsumerNumber, Deliveries, Group, Pending};
pub use id::Id;
pub use log::{Bound, Log, NewId, Range, RangeBack, References, Refusal, Trim};
pub use node::{Entry, Fields};

use crate::shard::Type;
use crate::value::Collection;

#[derive(Clone, Default)]
pub struct Body {
    log: Log,
    /// In the order of their names.
    groups: Vec<Group>,
}

#[derive(Clone)]
pub enum Stream {
    Nodes(Box<Body>),
}

/// What came of deleting an entry with regard to groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Absent,
    /// It is not there, but groups knew of it still.
    Forgotten,
    Deleted,
    /// A group needs it still.
    Referenced,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::Nodes(Box::default())
    }
}

impl Stream {
    #[inline]
    fn body(&self) -> &Body {
        let Stream::Nodes(body) = self;
        body
    }

    #[inline]
    fn body_mut(&mut self) -> &mut Body {
        let Stream::Nodes(body) = self;
        body
    }

    #[inline]
    pub fn log(&self) -> &Log {
        &self.body().log
    }

    #[inline]
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.body_mut().log
    }

    /// The groups in the order of their names.
    pub fn groups(&self) -> &[Group] {
        &self.body().groups
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.groups().binary_search_by(|g| g.name().cmp(name))
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        let at = self.place(name).ok()?;
        self.groups().get(at)
    }

    /// A group to be changed, with the entries that it reads.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<(&Log, &mut Group)> {
        let at = self.place(name).ok()?;
        let Body { log, groups } = self.body_mut();
        groups.get_mut(at).map(|group| (&*log, group))
    }

    /// Adds a group; false if there is one of the name.
    pub fn add_group(&mut self, group: Group) -> bool {
        let Err(at) = self.place(group.name()) else {
            return false;
        };
        let groups = &mut self.body_mut().groups;
        // Most streams have few, so room for one is all.
        groups.reserve_exact(1);
        groups.insert(at, group);
        true
    }

    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        match self.place(name) {
            Ok(at) => {
                self.body_mut().groups.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// See [`Log::trim`].
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        let Body { log, groups } = self.body_mut();
        log.trim(trim, groups)
    }

    /// Deletes an entry, if groups allow. Without groups, nobody has read the entries that
    /// [`References::Spare`] asks for.
    pub fn remove(&mut self, id: Id, references: References) -> Removal {
        let Body { log, groups } = self.body_mut();
        if references == References::Delete {
            let known = log::forget(id, groups);
            return match (log.delete(id), known) {
                (true, _) => Removal::Deleted,
                (false, true) => Removal::Forgotten,
                (false, false) => Removal::Absent,
            };
        }
        if !log.has(id) {
            return Removal::Absent;
        }
        let spared = groups.is_empty() || log::is_referenced(id, groups);
        if references == References::Spare && spared {
            return Removal::Referenced;
        }
        log.delete(id);
        Removal::Deleted
    }

    /// Acknowledges an entry for a group and deletes it, if the other groups allow. An entry that is
    /// not pending for the group is absent, and one that is no longer in the stream is deleted.
    pub fn acknowledge_and_remove(
        &mut self,
        group: &[u8],
        id: Id,
        references: References,
    ) -> Removal {
        let pending = self.group_mut(group).map(|(_, g)| g.acknowledge(id));
        if pending != Some(true) {
            return Removal::Absent;
        }
        let Body { log, groups } = self.body_mut();
        if !log::may_delete(id, references, groups) {
            return Removal::Referenced;
        }
        log.delete(id);
        Removal::Deleted
    }
}

impl Collection for Stream {
    const TYPE: Type = Type::Stream;

    fn len(&self) -> usize {
        self.log().len() as usize
    }

    /// A stream without entries stays.
    fn is_empty(&self) -> bool {
        false
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn memory(&self) -> usize {
        let body = self.body();
        let groups = body.groups.capacity() * size_of::<Group>();
        let inner: usize = body.groups.iter().map(Group::memory).sum();
        size_of::<Body>() + body.log.memory() + groups + inner
    }

    fn weight(&self) -> usize {
        let pending: usize = self.groups().iter().map(Group::pending_len).sum();
        1 + self.log().nodes() + pending
    }

    fn free_some(&mut self, budget: usize) -> bool {
        let mut budget = budget;
        let Body { log, groups } = self.body_mut();
        if !log.free_some(&mut budget) {
            return false;
        }
        while let Some(group) = groups.last_mut() {
            if !group.free_some(&mut budget) {
                return false;
            }
            groups.pop();
        }
        true
    }
}

#[cfg(test)]
mod tests;
