//! Any bytes, in any pieces and with any pauses, are the same commands and the same error as Redis's
//! rules read slowly.

#![no_main]

mod choices;
#[path = "../../../crates/resp/tests/oracle/mod.rs"]
mod oracle;

use choices::Choices;
use libfuzzer_sys::fuzz_target;
use oracle::{feed, read};
use resp::parse::Limits;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let kind = choices.byte();
    let limits = Limits {
        max_bulk: [50, 40_000, 512 << 20, 512 << 20][usize::from(kind & 3)],
        authenticated: kind & 4 == 0,
    };
    // Lengths of the pieces and numbers of commands between pauses, used over and over.
    let count = usize::from(choices.byte()) % 16;
    let pieces: Vec<u8> = (0..count).map(|_| choices.byte()).collect();
    let runs: Vec<u8> = (0..count).map(|_| choices.byte()).collect();
    let bytes = choices.unfolded();

    // Long inputs in bytes one by one would take too long.
    let least = bytes.len() / 500;
    let mut pieces = pieces.iter().cycle();
    let mut runs = runs.iter().cycle();
    let got = feed(
        &bytes,
        limits,
        || {
            pieces
                .next()
                .map_or(usize::MAX, |n| usize::from(*n).pow(2).max(least))
        },
        |_| match runs.next() {
            Some(n) if kind & 8 != 0 => usize::from(*n) % 4,
            _ => usize::MAX,
        },
    );
    assert!(got == read(&bytes, limits));
});
