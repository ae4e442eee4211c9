//! The hash of elements inside of collections: one keyed function for the whole process, because a
//! collection moves between shards as it is.

use ahash::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

static KEYS: OnceLock<RandomState> = OnceLock::new();

/// Sets the keys, which must not be guessable. The first call counts.
pub(crate) fn seed(seed: [u64; 4]) {
    KEYS.get_or_init(|| RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]));
}

/// The hash of an element. Without a seed, of tests, it is a fixed function.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    let keys = KEYS.get_or_init(|| RandomState::with_seeds(1, 2, 3, 4));
    let mut hasher = keys.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}
