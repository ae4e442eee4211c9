//! Any bytes are no HyperLogLog, a damaged one, or one that counts the same whatever is done to it that
//! should not change the count.

#![no_main]

mod choices;

use choices::Choices;
use command::hyperloglog::sketch::{self, Corrupt, Encoding, Rank, Union};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let max_sparse = choices.below(256) * 64;
    let elements: Vec<Vec<u8>> = (0..choices.below(5)).map(|_| choices.bytes(20)).collect();
    // Most inputs should get beyond the header.
    let mut bytes = match choices.below(4) {
        0 => Vec::new(),
        _ => b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80".to_vec(),
    };
    bytes.extend(choices.unfolded());
    let Ok(encoding) = sketch::encoding(&bytes) else {
        return;
    };
    let count = sketch::count(&bytes);
    let mut dense = bytes.clone();
    let made = sketch::make_dense(&mut dense);
    let mut union = Union::default();
    assert_eq!(union.add(&bytes).is_ok(), count.is_ok());
    match count {
        Err(Corrupt) => assert_eq!((made, &dense), (Err(Corrupt), &bytes)),
        Ok(count) => {
            assert_eq!(made, Ok(encoding == Encoding::Sparse));
            assert_eq!(sketch::encoding(&dense), Ok(Encoding::Dense));
            assert_eq!(sketch::count(&dense), Ok(count));
            assert_eq!(union.count(), count);
            let mut target = sketch::empty();
            union.pour_into(&mut target, max_sparse).expect("it is whole");
            assert_eq!(sketch::count(&target), Ok(count));
        }
    }
    if let Some(shown) = sketch::decode(&bytes) {
        assert!(shown.is_ok() || count.is_err());
    }
    add(bytes, &elements, max_sparse, count.is_ok());
});

fn add(mut bytes: Vec<u8>, elements: &[Vec<u8>], max_sparse: usize, whole: bool) {
    for element in elements {
        let rank = Rank::of(element);
        let grows = sketch::is_raised_by(&bytes, rank);
        let before = bytes.clone();
        let raised = sketch::raise(&mut bytes, rank, max_sparse);
        match raised {
            Ok(changed) => {
                assert_eq!(grows, Ok(changed));
                assert_eq!(sketch::is_raised_by(&bytes, rank), Ok(false));
                assert_eq!(changed, before != bytes);
                assert!(!changed || sketch::kept_count(&bytes).is_none());
            }
            Err(Corrupt) => assert_eq!(before, bytes),
        }
        assert!(!whole || (raised.is_ok() && sketch::count(&bytes).is_ok()));
    }
}
