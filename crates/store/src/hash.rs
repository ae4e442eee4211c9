//! Hashes.

use crate::listpack::Listpack;
use crate::shard::Type;
use crate::value::Collection;

#[derive(Clone)]
pub enum Hash {
    Packed(Listpack),
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::Packed(Listpack::default())
    }
}

impl Collection for Hash {
    const TYPE: Type = Type::Hash;

    fn len(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Hash::Packed(pack) => pack.memory(),
        }
    }

    fn weight(&self) -> usize {
        1
    }

    fn free_some(&mut self, _budget: usize) -> bool {
        true
    }
}
