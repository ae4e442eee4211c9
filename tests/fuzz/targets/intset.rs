//! Any bytes are an intset or are refused. One that was read is the same as an ordered set of its
//! integers, and stays so through changes.

#![no_main]

mod choices;

use choices::Choices;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use store::intset::Intset;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let bytes = choices.bytes(100);
    let _ = Intset::from_redis(&bytes);
    let Ok(mut set) = Intset::from_redis(&framed(&bytes)) else {
        return;
    };
    assert_eq!(set.to_redis(), framed(&bytes));
    let mut model: BTreeSet<i64> = set.iter().collect();
    while !choices.is_empty() {
        let wide = std::array::from_fn(|_| choices.byte());
        // Mostly few bits, so that the width changes seldom.
        let value = i64::from_le_bytes(wide) >> (8 * (choices.byte() % 8));
        match choices.byte() % 3 {
            0 => assert_eq!(set.remove(value), model.remove(&value)),
            1 => assert_eq!(set.contains(value), model.contains(&value)),
            _ => assert_eq!(set.insert(value), model.insert(value)),
        }
    }
    assert!(set.iter().eq(model.iter().copied()));
    assert_eq!(set.len(), model.len());
    for (index, value) in model.iter().enumerate() {
        assert_eq!(set.get(index), Some(*value));
    }
    if !model.is_empty() {
        let again = Intset::from_redis(&set.to_redis()).expect("it is one");
        assert!(again.iter().eq(set.iter()));
    }
});

/// The bytes as integers of a width that the first one chooses, with the header that fits.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let (first, integers) = bytes.split_first().unwrap_or((&0, &[]));
    let width = [2, 4, 8][usize::from(first % 3)];
    let len = integers.len() / width;
    let header = [width as u32, len as u32].map(u32::to_le_bytes).concat();
    [&header, &integers[..len * width]].concat()
}
