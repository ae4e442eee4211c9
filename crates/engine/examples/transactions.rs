//! What engines cost: nanoseconds per transaction, all shards' work together, without a host.
//!
//! ```text
//! cargo run --release -p shoal-engine --example transactions
//! ```

use engine::{Action, Engine, Kind, Mode, Name, Part, Want};
use std::time::Instant;

/// Carries messages and answers at once, as a host would.
fn settle(engines: &mut [Engine<u64>]) {
    loop {
        let mut idle = true;
        for shard in 0..engines.len() {
            while let Some(action) = engines[shard].poll() {
                idle = false;
                match action {
                    Action::Send { to, message } => {
                        engines[usize::from(to)].receive(shard as u16, message);
                    }
                    Action::Run { tx, payload, .. } => {
                        engines[shard].ran_valid_until(tx, payload, 0, i64::MAX);
                    }
                    Action::Finish { .. } => {}
                    other => panic!("nobody expects {other:?}"),
                }
            }
        }
        if idle {
            return;
        }
    }
}

fn measure(what: &str, shards: u16, keys: u64, kind: Kind, mode: Mode) {
    const ROUNDS: u64 = 300_000;
    let mut engines: Vec<Engine<u64>> = (0..shards).map(Engine::new).collect();
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for round in 0..ROUNDS {
            let parts = (0..shards)
                .map(|shard| {
                    let each = keys / u64::from(shards);
                    let first = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let names = (0..each).map(|i| (Name(first ^ i << 32), mode)).collect();
                    Part::new(shard, Want::Keys(names), round)
                })
                .collect();
            engines[0].begin(kind, parts);
            settle(&mut engines);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / ROUNDS as f64);
    }
    println!("{what:40} {best:7.0} ns");
}

fn main() {
    measure(
        "write, 10 keys on 2 shards",
        2,
        10,
        Kind::Write,
        Mode::Exclusive,
    );
    measure("read, 10 keys on 2 shards", 2, 10, Kind::Read, Mode::Shared);
    measure(
        "write, 2 keys on 2 shards",
        2,
        2,
        Kind::Write,
        Mode::Exclusive,
    );
    measure(
        "write, 12 keys on 4 shards",
        4,
        12,
        Kind::Write,
        Mode::Exclusive,
    );
    measure("read, 12 keys on 4 shards", 4, 12, Kind::Read, Mode::Shared);
}
