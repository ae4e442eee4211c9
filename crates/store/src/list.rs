//! Lists.

use crate::listpack::Listpack;
use crate::shard::Type;
use crate::value::Collection;

#[derive(Clone)]
pub enum List {
    Packed(Listpack),
}

impl Default for List {
    fn default() -> List {
        List::Packed(Listpack::default())
    }
}

impl Collection for List {
    const TYPE: Type = Type::List;

    fn len(&self) -> usize {
        match self {
            List::Packed(pack) => pack.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            List::Packed(_) => "listpack",
        }
    }

    fn memory(&self) -> usize {
        match self {
            List::Packed(pack) => pack.memory(),
        }
    }

    fn weight(&self) -> usize {
        1
    }

    fn free_some(&mut self, _budget: usize) -> bool {
        true
    }
}
