//! Operations on a shard and on a map come to the same; every cell of memory is an allocation of its
//! own, so that the sanitizer sees each use beyond or after it.

#![no_main]

#[path = "../../../crates/store/tests/ops/mod.rs"]
mod ops;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ops::run(input));
