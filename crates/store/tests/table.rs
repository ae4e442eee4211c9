//! The table by itself, with hashes of every kind: spread, crowded under one prefix, equal.

#[path = "../../resp/tests/cases/mod.rs"]
mod cases;

use cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;
use store::slab::Slab;
use store::table::{Table, VOLATILE};

/// An entry as far as the table is concerned: something with a hash.
#[repr(C)]
struct Thing {
    hash: u64,
    id: u64,
}

fn thing(entry: NonNull<u8>) -> &'static Thing {
    // SAFETY: the rig's entries are things, and live until the rig is dropped.
    unsafe { entry.cast::<Thing>().as_ref() }
}

/// A table, and what it should hold.
struct Rig {
    slab: Slab,
    table: Table,
    model: BTreeMap<u64, (NonNull<u8>, u64)>,
    next: u64,
}

impl Rig {
    fn new() -> Rig {
        Rig {
            slab: Slab::new(),
            table: Table::new(),
            model: BTreeMap::new(),
            next: 0,
        }
    }

    fn insert(&mut self, hash: u64, flags: u64) -> u64 {
        let id = self.next;
        self.next += 1;
        let entry = NonNull::from(Box::leak(Box::new(Thing { hash, id }))).cast();
        let hash_of = |e| thing(e).hash;
        self.table
            .insert(&mut self.slab, hash, entry, flags, hash_of);
        self.model.insert(id, (entry, flags));
        id
    }

    fn remove(&mut self, id: u64) {
        let (entry, _) = self.model.remove(&id).expect("the caller knows it");
        let hash = thing(entry).hash;
        let found = self.table.find(hash, |e| thing(e).id == id);
        let found = found.expect("the table has what the model has");
        // SAFETY: it was found under this hash just now.
        let removed = unsafe { self.table.remove(&mut self.slab, hash, found) };
        assert_eq!(removed, entry);
        free(entry);
    }

    /// The `n`th of those there are.
    fn nth(&self, n: usize) -> Option<u64> {
        let n = n.checked_rem(self.model.len())?;
        self.model.keys().nth(n).copied()
    }

    /// Whether table and model agree, by look-up, by walk and by count.
    fn check(&self) {
        assert_eq!(self.table.len(), self.model.len());
        for (id, (entry, _)) in &self.model {
            let found = self.table.find(thing(*entry).hash, |e| thing(e).id == *id);
            // SAFETY: found just now.
            assert_eq!(found.map(|f| unsafe { self.table.entry(f) }), Some(*entry));
        }
        let mut seen = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let next = self.table.scan(cursor, |e, flags| {
                assert_eq!(seen.insert(thing(e).id, (e, flags)), None, "nothing twice");
            });
            assert!(next == 0 || next > cursor, "a walk goes forward");
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, self.model);
        let (fill, _) = self.table.histogram();
        let held: usize = fill
            .iter()
            .enumerate()
            .map(|(n, buckets)| n * buckets)
            .sum();
        assert_eq!(held, self.table.len());
        assert_eq!(fill.iter().sum::<usize>() * 8, self.table.capacity());
        assert_eq!(self.slab.stats().allocated, self.table.capacity() * 8);
    }
}

fn free(entry: NonNull<u8>) {
    // SAFETY: it came from a box and is in no table any more.
    drop(unsafe { Box::from_raw(entry.cast::<Thing>().as_ptr()) });
}

impl Drop for Rig {
    fn drop(&mut self) {
        while !self.table.is_drained() {
            self.table.drain(&mut self.slab, 7, |_, _| ());
        }
        for (entry, _) in std::mem::take(&mut self.model).into_values() {
            free(entry);
        }
    }
}

/// Hashes that share `prefix` bits, with few tags among them if `coarse`.
#[derive(Clone, Copy, Debug)]
struct Kind {
    prefix: u32,
    coarse: bool,
}

impl Kind {
    fn hash(self, bits: u64) -> u64 {
        let bits = if self.coarse {
            bits & 0xf000_0000_0000_0fff
        } else {
            bits
        };
        (bits >> self.prefix) | !(u64::MAX >> self.prefix) & 0xa5a5_a5a5_a5a5_a5a5
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64, bool),
    Remove(usize),
    /// Takes all but a few away.
    Thin(usize),
    /// Adds many.
    Fill(u64, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (any::<u64>(), any::<bool>()).prop_map(|(h, f)| Op::Insert(h, f)),
        4 => any::<usize>().prop_map(Op::Remove),
        1 => (0..400usize).prop_map(Op::Thin),
        2 => (any::<u64>(), 1..300usize).prop_map(|(h, n)| Op::Fill(h, n)),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    let prefix = prop_oneof![Just(0), Just(1), 0..20u32];
    (prefix, prop::bool::weighted(0.2)).prop_map(|(prefix, coarse)| Kind { prefix, coarse })
}

fn spread(seed: u64, i: u64) -> u64 {
    (seed ^ i)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(31)
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_table_holds_what_was_put_in(kind in kind(), ops in vec(op(), 1..40)) {
        let mut rig = Rig::new();
        for op in ops {
            match op {
                Op::Insert(bits, volatile) => {
                    let flags = if volatile { VOLATILE } else { 0 };
                    rig.insert(kind.hash(bits), flags);
                }
                Op::Remove(n) => {
                    if let Some(id) = rig.nth(n) {
                        rig.remove(id);
                    }
                }
                Op::Thin(left) => {
                    while rig.model.len() > left {
                        let id = rig.nth(left.wrapping_mul(7919)).expect("some are left");
                        rig.remove(id);
                    }
                }
                // Equal hashes end where no group can hold them; so few enough of them here.
                Op::Fill(..) if kind.coarse && rig.model.len() > 150 => {}
                Op::Fill(seed, n) => {
                    for i in 0..n as u64 {
                        rig.insert(kind.hash(spread(seed, i)), 0);
                    }
                }
            }
        }
        rig.check();
    }

    #[test]
    fn draining_gives_everything_once(
        n in 0..5000u64,
        prefix in 0..14u32,
        limits in vec(1..500usize, 1..10),
    ) {
        let mut rig = Rig::new();
        for i in 0..n {
            rig.insert(Kind { prefix, coarse: false }.hash(spread(3, i)), 0);
        }
        let mut released = BTreeSet::new();
        for limit in limits.iter().cycle() {
            if rig.table.is_drained() {
                break;
            }
            let before = released.len();
            rig.table.drain(&mut rig.slab, *limit, |_, e| {
                assert!(released.insert(thing(e).id));
            });
            assert_eq!(rig.table.len() + released.len(), n as usize);
            assert!(released.len() - before < limit + 448, "bounded by the largest group");
        }
        assert_eq!(released.len(), n as usize);
        assert_eq!(rig.slab.stats().allocated, 0);
        assert_eq!(rig.table.memory(), 0);
    }
}

/// What stays during a walk is met, and at most once while the table only grows.
#[test]
fn walks_meet_what_stays_while_the_table_changes() {
    for (seed, growing) in [(1, true), (2, false), (3, true), (4, false)] {
        let mut rig = Rig::new();
        let stay: BTreeSet<u64> = (0..500).map(|i| rig.insert(spread(seed, i), 0)).collect();
        let mut go: Vec<u64> = Vec::new();
        if !growing {
            go = (0..20_000)
                .map(|i| rig.insert(spread(seed + 100, i), 0))
                .collect();
        }
        let mut seen = BTreeMap::new();
        let (mut cursor, mut step) = (0, 0);
        loop {
            cursor = rig
                .table
                .scan(cursor, |e, _| *seen.entry(thing(e).id).or_insert(0) += 1);
            if cursor == 0 {
                break;
            }
            for _ in 0..spread(seed, step) % 300 {
                step += 1;
                match go.pop() {
                    Some(id) => rig.remove(id),
                    None if growing && rig.model.len() < 20_000 => {
                        rig.insert(spread(seed + 100, step), 0);
                    }
                    None => {}
                }
            }
            step += 1;
        }
        for id in &stay {
            let times = seen.get(id).copied().unwrap_or(0);
            assert!(times >= 1, "seed {seed} missed one");
            assert!(!growing || times == 1, "seed {seed} met one {times} times");
        }
    }
}

#[test]
fn an_emptied_table_gives_its_memory_back() {
    let orders: [fn(&u64) -> u64; 4] = [
        |h| *h,
        |h| !*h,
        |h| h.rotate_left(20),
        |h| h.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    ];
    for (n, order) in orders.into_iter().enumerate() {
        for keep in [1000, 10, 1] {
            let mut rig = Rig::new();
            let hashes = (0..50_000).map(|i| spread(9, i));
            let mut ids: Vec<_> = hashes.map(|h| (h, rig.insert(h, 0))).collect();
            assert!(rig.table.shape().0 > 400);
            ids.sort_by_key(|(h, _)| order(h));
            for (i, (_, id)) in ids.iter().enumerate() {
                if i % (ids.len() / keep) != 0 {
                    rig.remove(*id);
                }
            }
            let (groups, _) = rig.table.shape();
            assert!(
                groups <= 2 + keep / 15,
                "order {n}: {groups} groups for {keep} entries"
            );
            rig.check();
        }
    }
}

#[test]
fn hostile_cursors_are_positions_too() {
    let mut rig = Rig::new();
    for cursor in [0, 1, u64::MAX, 1 << 40, (1 << 40) - 1, 0xffff_ffff_0000] {
        assert_eq!(rig.table.scan(cursor, |_, _| ()), 0, "an empty table");
    }
    for i in 0..3000 {
        rig.insert(spread(5, i), 0);
    }
    for cursor in [1, u64::MAX, 1 << 40, (1 << 40) - 1, 0xffff_ffff_0000] {
        let mut at = cursor;
        for steps in 0.. {
            at = rig.table.scan(at, |_, _| ());
            if at == 0 {
                break;
            }
            assert!(at < 1 << 40 && steps < 3000);
        }
    }
}

#[test]
fn as_many_equal_hashes_as_a_group_holds() {
    let mut rig = Rig::new();
    let ids: Vec<u64> = (0..430)
        .map(|_| rig.insert(0x1234_5678_9abc_def0, 0))
        .collect();
    rig.check();
    for id in ids {
        rig.remove(id);
    }
    rig.check();
}

#[test]
fn random_entries_are_ones_that_are_there() {
    let mut rig = Rig::new();
    assert_eq!(rig.table.random(|| 1), None);
    let only = rig.insert(1, 0);
    let mut n = 0;
    let mut draw = move || {
        n += 1;
        spread(n, 77)
    };
    assert_eq!(rig.table.random(&mut draw).map(|e| thing(e).id), Some(only));
    let ids: Vec<u64> = (0..3000).map(|i| rig.insert(spread(6, i), 0)).collect();
    for id in &ids[..2990] {
        rig.remove(*id);
    }
    let mut drawn = BTreeSet::new();
    for _ in 0..400 {
        drawn.insert(thing(rig.table.random(&mut draw).expect("some are there")).id);
    }
    assert_eq!(drawn.len(), 11, "every entry has its turn");
    // A generator that is stuck must not hang it.
    assert!(rig.table.random(|| u64::MAX).is_some());
    assert!(rig.table.random(|| 0).is_some());
}

/// Prefixes longer than a cursor's resolution: a walk takes several buckets in one step.
#[test]
fn walks_go_on_where_cursors_are_too_coarse() {
    let kind = Kind {
        prefix: 26,
        coarse: false,
    };
    let mut rig = Rig::new();
    for i in 0..2000 {
        rig.insert(kind.hash(spread(4, i)), 0);
        rig.insert(spread(8, i), 0);
    }
    let (_, depth) = rig.table.shape();
    assert!(depth > 26, "depth {depth}");
    rig.check();
    let ids: Vec<u64> = rig.model.keys().copied().collect();
    for id in ids.into_iter().step_by(2) {
        rig.remove(id);
    }
    rig.check();
}
