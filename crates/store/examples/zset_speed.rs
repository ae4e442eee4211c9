//! Time and memory of a big sorted set:
//! `cargo run --release -p shoal-store --example zset_speed -- 1000000`.

use std::time::Instant;
use store::zset::{Direction, Zset};
use store::{Collection, Limits, Random};

/// Kilobytes of the process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let digits = line.and_then(|line| line.split_whitespace().nth(1));
    digits.and_then(|d| d.parse().ok()).unwrap_or(0)
}

fn main() {
    let members = std::env::args().nth(1).and_then(|a| a.parse().ok());
    let members: usize = members.unwrap_or(1_000_000);
    let limits = Limits::DEFAULT;
    let mut random = Random::new(1);
    let name = |i: usize| format!("element:{i:012}").into_bytes();
    let mut order: Vec<usize> = (0..members).collect();
    for i in (1..members).rev() {
        order.swap(i, random.below(i + 1));
    }
    let timed = |what: &str, n: usize, mut run: Box<dyn FnMut() + '_>| {
        let start = Instant::now();
        run();
        println!(
            "{what:24} {:6.0} ns",
            start.elapsed().as_nanos() as f64 / n as f64
        );
    };
    let before = resident();
    let mut zset = Zset::default();
    let names: Vec<Vec<u8>> = order.iter().map(|i| name(*i)).collect();
    let with_names = resident();
    timed(
        "add",
        members,
        Box::new(|| {
            for name in &names {
                zset.add(name, random.below(1 << 40) as f64, &limits);
            }
        }),
    );
    println!(
        "bytes each: {:.1} counted, {:.1} resident (names {:.1})",
        zset.memory() as f64 / members as f64,
        (resident() - with_names) as f64 * 1024.0 / members as f64,
        (with_names - before) as f64 * 1024.0 / members as f64,
    );
    const ROUNDS: usize = 1_000_000;
    let mut sum = 0.0;
    timed(
        "score",
        ROUNDS,
        Box::new(|| {
            for i in 0..ROUNDS {
                sum += zset.score(&names[(i * 7919) % members]).unwrap_or(0.0);
            }
        }),
    );
    timed(
        "score of nobody",
        ROUNDS,
        Box::new(|| {
            for i in 0..ROUNDS {
                sum += zset.score(&name(i + members)).unwrap_or(0.0);
            }
        }),
    );
    timed(
        "rank",
        ROUNDS,
        Box::new(|| {
            for i in 0..ROUNDS {
                sum += zset
                    .rank(&names[(i * 7919) % members])
                    .map_or(0.0, |(r, _)| r as f64);
            }
        }),
    );
    let mut random = Random::new(5);
    timed(
        "range of 10",
        ROUNDS,
        Box::new(|| {
            for _ in 0..ROUNDS {
                let range = zset.range(random.below(members - 10), 10, Direction::Up);
                sum += range.map(|(m, s)| s + m.len() as f64).sum::<f64>();
            }
        }),
    );
    timed(
        "increment",
        ROUNDS,
        Box::new(|| {
            for i in 0..ROUNDS {
                let by = random.below(1 << 36) as f64;
                zset.upsert(&names[(i * 7919) % members], &limits, |old| Some(old? + by));
            }
        }),
    );
    println!("bytes each: {:.1}", zset.memory() as f64 / members as f64);
    timed(
        "remove",
        members,
        Box::new(|| {
            for i in 0..members {
                zset.remove(&names[(i * 7919) % members]);
            }
        }),
    );
    println!("{sum}");
}
