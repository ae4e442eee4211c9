//! One shard's data: keys, values, expiry, memory. It is told the time, and knows neither the wire,
//! nor command names, nor other shards.

pub mod access;
pub mod entry;
pub mod expire;
pub mod glob;
pub mod loan;
pub mod scan;
pub mod shard;
pub mod slab;
pub mod string;
pub mod table;
pub mod trash;

pub use entry::{Blob, Str};
pub use loan::Loan;
pub use shard::{Key, Look, Shard, Stats, WrongType};
