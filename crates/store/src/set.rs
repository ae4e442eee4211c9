//! Sets.

use crate::intset::Intset;
use crate::listpack::Listpack;
use crate::shard::Type;
use crate::value::Collection;

#[derive(Clone)]
pub enum Set {
    Ints(Intset),
    Packed(Listpack),
}

impl Default for Set {
    fn default() -> Set {
        Set::Ints(Intset::default())
    }
}

impl Collection for Set {
    const TYPE: Type = Type::Set;

    fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Packed(pack) => pack.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Packed(_) => "listpack",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.memory(),
            Set::Packed(pack) => pack.memory(),
        }
    }

    fn weight(&self) -> usize {
        1
    }

    fn free_some(&mut self, _budget: usize) -> bool {
        true
    }
}
