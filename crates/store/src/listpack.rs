//! Short elements one behind the other in one allocation.

use crate::thin::Thin;

#[derive(Clone, Default)]
pub struct Listpack(pub(crate) Thin);

impl Listpack {
    /// Elements.
    pub fn len(&self) -> usize {
        self.0.note() as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}
