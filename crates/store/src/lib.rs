//! One shard's data: keys, values, expiry, memory. It is told the time, and knows neither the wire,
//! nor command names, nor other shards.

pub mod access;
pub mod collection;
pub mod cut;
pub mod dict;
pub mod double;
pub mod element;
pub mod entry;
pub mod event;
pub mod expire;
pub mod fields;
pub mod glob;
pub mod hash;
pub mod hashing;
pub mod intset;
pub mod list;
pub mod listpack;
pub mod loan;
pub mod picture;
pub mod random;
pub mod saved;
pub mod scan;
pub mod set;
pub mod shard;
mod shared;
pub mod slab;
pub mod stream;
pub mod string;
pub mod table;
pub mod thin;
pub mod trash;
pub mod value;
pub mod watch;
pub mod zset;

pub use collection::Open;
pub use cut::Sink;
pub use element::Element;
pub use entry::{Blob, Str};
pub use event::{Class, Event};
pub use loan::Loan;
pub use picture::{Picture, Pictured};
pub use random::Random;
pub use saved::Saved;
pub use shard::{Held, Key, Look, Shard, Stats, WrongType};
pub use value::{Collection, Limits, Value};
