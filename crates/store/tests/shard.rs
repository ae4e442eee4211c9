//! Arbitrary operations on a shard and on a map come to the same.

#[path = "../../resp/tests/cases/mod.rs"]
mod cases;
mod ops;

use cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_shard_behaves_like_a_map(bytes in vec(any::<u8>(), 0..1500)) {
        ops::run(&bytes);
    }
}
