//! Streams.

use crate::shard::Type;
use crate::value::Collection;

#[derive(Clone, Default)]
pub struct Nodes {
    entries: u64,
}

#[derive(Clone)]
pub enum Stream {
    Nodes(Box<Nodes>),
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::Nodes(Box::default())
    }
}

impl Stream {
    fn nodes(&self) -> &Nodes {
        let Stream::Nodes(nodes) = self;
        nodes
    }
}

impl Collection for Stream {
    const TYPE: Type = Type::Stream;

    fn len(&self) -> usize {
        self.nodes().entries as usize
    }

    /// A stream without entries stays.
    fn is_empty(&self) -> bool {
        false
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn memory(&self) -> usize {
        size_of::<Nodes>()
    }

    fn weight(&self) -> usize {
        1
    }

    fn free_some(&mut self, _budget: usize) -> bool {
        true
    }
}
