//! Arbitrary operations on a shard and on a map come to the same.

mod ops;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_shard_behaves_like_a_map(bytes in vec(any::<u8>(), 0..1500)) {
        ops::run(&bytes);
    }
}
