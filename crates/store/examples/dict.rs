//! Bytes for each element of a big set, and time for each look-up and insert:
//! `cargo run --release -p shoal-store --example dict`.

use std::hint::black_box;
use store::dict::Dict;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes that the system counts as this process's.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}

/// Nanoseconds of processor time so far, which do not grow while others have the processor.
fn spent() -> usize {
    let status = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let spent = status.split(' ').next().and_then(|n| n.parse().ok());
    spent.unwrap_or_default()
}

fn name(i: u64) -> [u8; 20] {
    let mut name = *b"element:000000000000";
    let mut left = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000_000_000_000;
    for digit in name[8..].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    name
}

fn main() {
    let before = resident();
    let mut dict = Dict::new();
    let mut i = 0;
    for target in [10_000, 100_000, 1_000_000, 1_500_000, 2_000_000] {
        let (start, from) = (spent(), dict.len());
        while dict.len() < target {
            dict.insert(black_box(&name(i)), &[]);
            i += 1;
        }
        let insert = (spent() - start) / (target - from);
        let lookups = 1_000_000;
        let start = spent();
        let mut found = 0;
        for n in 0..lookups {
            let at = (n as u64).wrapping_mul(0x2545_f491_4f6c_dd1d) % i;
            found += usize::from(dict.contains(black_box(&name(at))));
        }
        let get = (spent() - start) / lookups;
        assert_eq!(found, lookups);
        let each = |bytes: usize| bytes as f64 / target as f64;
        println!(
            "{target} elements: {:.2} bytes each, {:.2} resident; insert {insert} ns, look-up {get} ns",
            each(dict.memory()),
            each(resident() - before),
        );
    }
}
