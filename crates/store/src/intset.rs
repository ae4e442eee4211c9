//! Integers in order, all of the width that the widest needs.

use crate::thin::Thin;

#[derive(Clone, Default)]
pub struct Intset(pub(crate) Thin);

impl Intset {
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
