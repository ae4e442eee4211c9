//! A stream's nodes in the order of their ids.
//!
//! Entries are added at the end, so the last node is kept outside of the tree: adding one does not go
//! down through it.

use super::id::Id;
use super::node::Node;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// All but the last one.
    full: BTreeMap<Id, Node>,
    last: Option<(Id, Node)>,
}

/// Nodes in order, from both ends.
pub(crate) struct Nodes<'a> {
    full: btree_map::Range<'a, Id, Node>,
    last: Option<(Id, &'a Node)>,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = (Id, &'a Node);

    fn next(&mut self) -> Option<Self::Item> {
        match self.full.next() {
            Some((id, node)) => Some((*id, node)),
            None => self.last.take(),
        }
    }
}

impl DoubleEndedIterator for Nodes<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self.last.take() {
            Some(last) => Some(last),
            None => self.full.next_back().map(|(id, node)| (*id, node)),
        }
    }
}

impl Tree {
    pub(crate) fn len(&self) -> usize {
        self.full.len() + usize::from(self.last.is_some())
    }

    /// The last node, to add to.
    #[inline]
    pub(crate) fn last_mut(&mut self) -> Option<(Id, &mut Node)> {
        self.last.as_mut().map(|(id, node)| (*id, node))
    }

    /// Puts a node behind all others, whose ids are smaller.
    pub(crate) fn push(&mut self, id: Id, node: Node) {
        if let Some((before, full)) = self.last.replace((id, node)) {
            debug_assert!(before < id);
            self.full.insert(before, full);
        }
    }

    pub(crate) fn all(&self) -> Nodes<'_> {
        Nodes {
            full: self.full.range(..),
            last: self.last_ref(),
        }
    }

    fn last_ref(&self) -> Option<(Id, &Node)> {
        self.last.as_ref().map(|(id, node)| (*id, node))
    }

    /// The node that an entry would be in: the last that does not begin behind it.
    fn home(&self, id: Id) -> Option<Id> {
        match &self.last {
            Some((last, _)) if *last <= id => Some(*last),
            _ => self.full.range(..=id).next_back().map(|(id, _)| *id),
        }
    }

    pub(crate) fn node_for(&self, id: Id) -> Option<(Id, &Node)> {
        let home = self.home(id)?;
        match self.last_ref() {
            Some((last, node)) if last == home => Some((home, node)),
            _ => self.full.get(&home).map(|node| (home, node)),
        }
    }

    /// The node under exactly this id.
    pub(crate) fn node_mut(&mut self, id: Id) -> Option<&mut Node> {
        match &mut self.last {
            Some((last, node)) if *last == id => Some(node),
            _ => self.full.get_mut(&id),
        }
    }

    /// The nodes that may have entries of a range.
    pub(crate) fn range(&self, from: Id, to: Id) -> Nodes<'_> {
        let start = self.home(from).unwrap_or(Id::MIN);
        let bounds = (Bound::Included(start), Bound::Included(to.max(start)));
        Nodes {
            full: self.full.range(bounds),
            last: self.last_ref().filter(|(id, _)| *id <= to),
        }
    }

    /// Removes the node under this id.
    pub(crate) fn remove(&mut self, id: Id) {
        match &self.last {
            Some((last, _)) if *last == id => self.last = self.full.pop_last(),
            _ => drop(self.full.remove(&id)),
        }
    }

    pub(crate) fn pop_first(&mut self) -> Option<(Id, Node)> {
        self.full.pop_first().or_else(|| self.last.take())
    }

    /// Bytes allocated, estimated from some nodes.
    pub(crate) fn memory(&self) -> usize {
        const SAMPLED: usize = 32;
        // An element of the tree at its usual load, with its share of what is around.
        const SLOT: usize = 48;
        let sum: usize = self
            .all()
            .take(SAMPLED)
            .map(|(_, n)| n.pack().memory())
            .sum();
        let sampled = self.len().clamp(1, SAMPLED);
        sum / sampled * self.len() + self.full.len() * SLOT
    }
}
