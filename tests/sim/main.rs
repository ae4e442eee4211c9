//! Transactions across shards under a scheduler that is driven by a seed.
//!
//! A run has 2 to 6 shards with the engines of the server, links that delay and reorder what
//! different pairs and lanes carry, shards that stall, clocks that disagree, and clients that do
//! everything that engines are made for, and die. What the clients saw has to be strictly
//! serializable, every operation has to end, nothing may be left over, what is sealed is complete,
//! and who waits is served in order and once. A failing run names its seed:
//!
//! ```text
//! SIM_SEED=123 cargo test -p shoal-tests --test sim one_seed
//! ```
//!
//! The engines can be given bugs; a test shows that each of them is found.

mod data;
mod host;
mod operations;
mod program;
mod world;

use engine::tx::Fault;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Scenario, World};

thread_local! {
    /// Whether panics of this thread are results, to be reported by whoever asked for them.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// One run; a broken assertion of an engine is a finding like any other.
fn run(seed: u64, scenario: Scenario, fault: Option<Fault>) -> Result<world::Seen, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !EXPECTED.get() {
                usual(info);
            }
        }));
    });
    EXPECTED.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| World::new(seed, scenario, fault).run()));
    EXPECTED.set(false);
    result.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Runs seeds, as many as the scale in force allows, on two threads.
fn check(count: usize, scenario: Scenario) -> world::Seen {
    let first = harness::Seed::of_run(0);
    let end = first + harness::scaled(count) as u64;
    let next = AtomicU64::new(first);
    let work = || {
        let mut seen = world::Seen::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return Ok(seen);
            }
            match run(seed, scenario, None) {
                Ok(more) => seen.add(&more),
                Err(what) => {
                    next.store(end, Ordering::Relaxed);
                    return Err(format!(
                        "{what}\nrepeat it: SIM_SEED={seed} SIM_SCENARIO={scenario:?} \
                         cargo test -p shoal-tests --test sim one_seed"
                    ));
                }
            }
        }
    };
    let results = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().expect("panics are results"))
    });
    let mut seen = world::Seen::default();
    for result in results {
        match result {
            Ok(more) => seen.add(&more),
            Err(what) => panic!("{what}"),
        }
    }
    seen
}

#[test]
fn every_seed_is_serializable_and_ends() {
    let seen = check(30_000, Scenario::Mixed);
    eprintln!("{seen:?}");
    // Nothing is shown by what did not happen.
    assert!(
        seen.all_happened(),
        "some of what engines do did not happen: {seen:?}"
    );
}

#[test]
fn a_writer_gets_its_turn_among_readers_that_never_pause() {
    check(200, Scenario::Readers);
}

#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("SIM_SEED") else {
        return;
    };
    let seed = seed.parse().expect("SIM_SEED is a number");
    let scenario = match std::env::var("SIM_SCENARIO").as_deref() {
        Ok("Readers") => Scenario::Readers,
        _ => Scenario::Mixed,
    };
    let mut world = World::new(seed, scenario, None);
    world.tell = true;
    if let Err(what) = world.run() {
        panic!("{what}");
    }
}

/// Within how many seeds a planted bug must be found, and by which words of the report.
fn finds(fault: Fault, scenario: Scenario, within: u64, how: &str) {
    let found = (1..=within).find_map(|seed| {
        let what = run(seed, scenario, Some(fault)).err()?;
        what.contains(how).then_some((seed, what))
    });
    let (seed, what) = found.unwrap_or_else(|| panic!("{fault:?} is not found in {within} seeds"));
    let line = what.lines().next().unwrap_or_default();
    eprintln!("{fault:?}: seed {seed}: {line}");
    for seed in 1..=seed {
        run(seed, scenario, None).expect("without the bug the same seeds are fine");
    }
}

#[test]
fn a_write_before_the_last_grant_is_found() {
    finds(
        Fault::WriteBeforeLastGrant,
        Scenario::Mixed,
        2000,
        "no order",
    );
}

#[test]
fn a_lock_released_early_is_found() {
    finds(Fault::LockReleasedEarly, Scenario::Mixed, 2000, "no order");
}

#[test]
fn a_reply_before_the_last_shard_is_found() {
    finds(
        Fault::ReplyBeforeLastShard,
        Scenario::Mixed,
        2000,
        "answered before the begin",
    );
}

#[test]
fn a_lost_wake_up_is_found() {
    finds(Fault::WakeUpLost, Scenario::Mixed, 2000, "never ends");
}

#[test]
fn a_sealed_epoch_that_misses_a_part_is_found() {
    finds(Fault::SealMissesPart, Scenario::Mixed, 2000, "sealed");
}

#[test]
fn a_waiter_served_twice_is_found() {
    finds(Fault::ServedTwice, Scenario::Mixed, 2000, "served twice");
}

#[test]
fn a_try_that_barges_past_waiters_is_found() {
    finds(Fault::TryBarges, Scenario::Readers, 100, "never ends");
}

#[test]
fn growth_that_waits_is_found() {
    finds(Fault::GrowthWaits, Scenario::Mixed, 2000, "never ends");
}

#[test]
fn a_forgotten_undo_is_found() {
    finds(Fault::UndoForgotten, Scenario::Mixed, 2000, "twice");
}

#[test]
fn a_missing_yield_is_found() {
    finds(Fault::NoYield, Scenario::Mixed, 2000, "never ends");
}

#[test]
fn an_ignored_check_is_found() {
    finds(Fault::CheckIgnored, Scenario::Mixed, 2000, "no order");
}

#[test]
fn a_time_that_is_not_agreed_is_found() {
    finds(Fault::TimeNotAgreed, Scenario::Mixed, 2000, "as of");
}

#[test]
fn a_push_that_looks_for_nobody_is_found() {
    finds(Fault::ReadyForgotten, Scenario::Mixed, 2000, "waits");
}
