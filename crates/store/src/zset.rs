//! Sorted sets.

use crate::listpack::Listpack;
use crate::shard::Type;
use crate::value::Collection;

#[derive(Clone)]
pub enum Zset {
    Packed(Listpack),
}

impl Default for Zset {
    fn default() -> Zset {
        Zset::Packed(Listpack::default())
    }
}

impl Collection for Zset {
    const TYPE: Type = Type::Zset;

    fn len(&self) -> usize {
        match self {
            Zset::Packed(pack) => pack.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Zset::Packed(_) => "listpack",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Zset::Packed(pack) => pack.memory(),
        }
    }

    fn weight(&self) -> usize {
        1
    }

    fn free_some(&mut self, _budget: usize) -> bool {
        true
    }
}
