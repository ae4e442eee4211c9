use super::*;
use crate::random::Random;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const LIMITS: Limits = Limits {
    hash_max_listpack_entries: 8,
    hash_max_listpack_value: 20,
    ..Limits::DEFAULT
};

/// What may be done to a hash; fields are few, so that operations meet.
#[derive(Clone, Debug)]
enum Op {
    Set(u8, Vec<u8>, Expiry),
    Remove(u8),
    SetExpiry(u8, Option<i64>),
    AllowExpiry,
    Wait(i64),
    Sweep(usize),
    Unpack,
}

fn field(n: u8) -> Vec<u8> {
    match n % 3 {
        0 => n.to_string().into_bytes(),
        _ => format!("field {n}").into_bytes(),
    }
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|v| v.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..21),
        prop::collection::vec(any::<u8>(), 0..300),
    ]
}

fn ops(fields: u8) -> impl Strategy<Value = Vec<Op>> {
    let at = 1i64..200;
    let expiry = prop_oneof![
        2 => Just(Expiry::Keep),
        2 => Just(Expiry::Clear),
        2 => at.clone().prop_map(Expiry::At),
    ];
    let op = prop_oneof![
        8 => (0..fields, value(), expiry).prop_map(|(f, v, e)| Op::Set(f, v, e)),
        3 => (0..fields).prop_map(Op::Remove),
        4 => (0..fields, prop::option::of(at)).prop_map(|(f, at)| Op::SetExpiry(f, at)),
        1 => Just(Op::AllowExpiry),
        2 => (0..30i64).prop_map(Op::Wait),
        2 => (1..20usize).prop_map(Op::Sweep),
        1 => Just(Op::Unpack),
    ];
    prop::collection::vec(op, 0..120)
}

/// Fields with their values and expiries.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn live(model: &Model, now: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let there = model.iter();
    let there = there.filter(|(_, (_, at))| at.is_none_or(|at| at >= now));
    there.map(|(f, (v, _))| (f.clone(), v.clone())).collect()
}

fn shown(hash: &Hash, now: i64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = hash.iter(now);
    let pairs = pairs.map(|(f, v)| (f.text().into_owned(), v.text().into_owned()));
    pairs.collect()
}

fn check(hash: &Hash, model: &Model, now: i64, fields: u8) {
    let want = live(model, now);
    let got = shown(hash, now);
    assert_eq!(got.len(), want.len());
    assert_eq!(got.into_iter().collect::<BTreeMap<_, _>>(), want);
    for n in 0..fields {
        let name = field(n);
        let found = hash.find(&name, now);
        let value = found.map(|found| found.value.text().into_owned());
        assert_eq!(value.as_ref(), want.get(&name));
        let got = hash.get(&name, now).map(|value| value.text().into_owned());
        assert_eq!(got, value);
        if let Some(found) = found {
            assert_eq!(found.expiry, model[&name].1);
        }
    }
    // Nothing is due that nobody would look for.
    let soonest = model.values().filter_map(|(_, at)| *at).min();
    if let Some(soonest) = soonest {
        assert!(hash.due_ms() <= soonest.max(now));
        assert!(hash.is_timed());
    }
    let mut cursor = 0;
    let mut seen = BTreeMap::new();
    loop {
        cursor = hash.scan(cursor, now, |f, v| {
            seen.insert(f.text().into_owned(), v.text().into_owned());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, want);
}

fn run(ops: Vec<Op>, fields: u8) {
    let (mut hash, mut model, mut now) = (Hash::default(), Model::new(), 0);
    for op in ops {
        match op {
            Op::Set(n, value, expiry) => {
                let new = hash.set(&field(n), &value, expiry, now, &LIMITS);
                let old = model.get(&field(n)).map(|(_, at)| *at);
                let old = old.filter(|at| at.is_none_or(|at| at >= now));
                assert_eq!(new, old.is_none());
                let at = match expiry {
                    Expiry::Keep => old.flatten(),
                    Expiry::Clear => None,
                    Expiry::At(at) => Some(at),
                };
                model.insert(field(n), (value, at));
            }
            Op::Remove(n) => {
                let removed = hash.remove(&field(n), now);
                let old = model.remove(&field(n));
                let was = old.is_some_and(|(_, at)| at.is_none_or(|at| at >= now));
                assert_eq!(removed, was);
            }
            Op::SetExpiry(n, at) => {
                hash.set_expiry(&field(n), at);
                if let Some(present) = model.get_mut(&field(n)) {
                    present.1 = at;
                }
            }
            Op::AllowExpiry => hash.allow_expiry(),
            Op::Wait(ms) => now += ms,
            Op::Unpack => hash.prepare(9, &LIMITS),
            Op::Sweep(budget) => {
                let swept = hash.sweep(now, budget, |_| ());
                let before = model.len();
                // A sweep may not come to all, so what it has left tells what it has removed.
                model.retain(|f, (_, at)| {
                    at.is_none_or(|at| at >= now) || hash.find(f, i64::MIN).is_some()
                });
                assert_eq!(swept.removed, before - model.len());
            }
        }
        assert_eq!(hash.len(), model.len());
        check(&hash, &model, now, fields);
    }
    // Sweeping comes to an end, and then nothing is left that is due. Tables rest in between, until the next
    // millisecond at least.
    for _ in 0..1000 {
        if hash.due_ms() > now {
            break;
        }
        now += 1;
        hash.sweep(now, 3, |_| ());
    }
    assert!(hash.due_ms() > now);
    assert_eq!(hash.len(), live(&model, now).len());
    assert_eq!(shown(&hash.clone(), now), shown(&hash, now));
}

proptest! {
    #[test]
    fn it_is_a_map_with_times(ops in ops(8)) {
        run(ops, 8);
    }

    #[test]
    fn it_is_a_map_with_times_beyond_the_limits(ops in ops(60)) {
        run(ops, 60);
    }
}

fn pairs(n: usize) -> Hash {
    let mut hash = Hash::default();
    for i in 0..n {
        let name = format!("f{i}");
        hash.set(name.as_bytes(), b"v", Expiry::Clear, 0, &LIMITS);
    }
    hash
}

#[test]
fn limits_decide_the_encoding() {
    assert_eq!(pairs(8).encoding(), "listpack");
    assert_eq!(pairs(9).encoding(), "hashtable");
    let mut hash = pairs(1);
    hash.set(b"f", &[b'x'; 20], Expiry::Clear, 0, &LIMITS);
    assert_eq!(hash.encoding(), "listpack");
    hash.set_expiry(b"f", Some(5));
    assert_eq!(hash.encoding(), "listpackex");
    hash.set_expiry(b"f", None);
    assert_eq!(hash.encoding(), "listpackex");
    hash.set(b"f", &[b'x'; 21], Expiry::Clear, 0, &LIMITS);
    assert_eq!(hash.encoding(), "hashtable");
    let mut hash = pairs(1);
    hash.set(&[b'x'; 21], b"v", Expiry::Clear, 0, &LIMITS);
    assert_eq!(hash.encoding(), "hashtable");
    let mut hash = pairs(2);
    hash.prepare(8, &LIMITS);
    assert_eq!(hash.encoding(), "listpack");
    hash.prepare(9, &LIMITS);
    assert_eq!((hash.encoding(), hash.len()), ("hashtable", 2));
}

#[test]
fn a_table_rests_between_sweeps_and_then_sees_all() {
    let mut hash = pairs(5000);
    for i in 0..4000 {
        hash.set_expiry(format!("f{i}").as_bytes(), Some(100 + i));
    }
    assert_eq!(hash.due_ms(), 100);
    let mut steps = 0;
    while hash.due_ms() < 1101 {
        steps += 1;
        assert!(hash.sweep(1101, 100, |_| ()).looked < 200);
    }
    assert!(steps > 10);
    assert_eq!(hash.len(), 5000 - 1001);
    // About three thousand are left: it rests as many milliseconds.
    assert_eq!(hash.due_ms(), 1101 + 2);
    assert_eq!(hash.iter(5000).count(), 1000);
    while hash.due_ms() < 5000 {
        hash.sweep(5000, 1000, |_| ());
    }
    assert_eq!((hash.len(), hash.is_timed()), (1000, false));
}

/// Both ways of a field between the tables, while a walk is under way.
#[test]
fn a_walk_sees_fields_that_get_and_lose_an_expiry() {
    let mut hash = pairs(3000);
    for i in 0..1500 {
        hash.set_expiry(format!("f{i}").as_bytes(), Some(1000));
    }
    let mut random = Random::new(7);
    let (mut seen, mut cursor, mut visits) = (BTreeSet::new(), 0, 0);
    loop {
        cursor = hash.scan(cursor, 0, |f, _| {
            visits += 1;
            seen.insert(f.text().into_owned());
        });
        if cursor == 0 {
            break;
        }
        for _ in 0..10 {
            let name = format!("f{}", random.below(3000));
            let at = (random.below(2) == 0).then_some(1000);
            hash.set_expiry(name.as_bytes(), at);
        }
    }
    assert_eq!(seen.len(), 3000);
    assert!(visits < 4000, "{visits} visits");
}

#[test]
fn draws_are_fair_and_hide_what_is_due() {
    let mut random = Random::new(1);
    for n in [6, 40] {
        let mut hash = pairs(n);
        let half = n / 2;
        for i in 0..half {
            hash.set_expiry(format!("f{i}").as_bytes(), Some(10));
        }
        for (now, among) in [(0, n), (20, n - half)] {
            let mut counts: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
            let each = 400;
            for _ in 0..among * each {
                let (f, _) = hash.draw(now, &mut random).expect("there are some");
                *counts.entry(f.text().into_owned()).or_default() += 1;
            }
            assert_eq!(counts.len(), among);
            assert!(counts.values().all(|c| (each / 2..each * 2).contains(c)));
            for count in [0, 1, 3, among - 1, among, among + 5] {
                let dealt = hash.deal(count, now, &mut random);
                let different: BTreeSet<_> = dealt.iter().map(|(f, _)| f.text()).collect();
                assert_eq!(dealt.len(), count.min(among));
                assert_eq!(different.len(), dealt.len());
            }
        }
        for i in half..n {
            hash.set_expiry(format!("f{i}").as_bytes(), Some(10));
        }
        assert_eq!(hash.draw(20, &mut random), None);
        assert!(hash.deal(3, 20, &mut random).is_empty());
        assert!(hash.urn(20).draw(&mut random).is_none());
    }
}

#[test]
fn freeing_comes_to_an_end() {
    let mut hash = pairs(5000);
    for i in 0..2500 {
        hash.set_expiry(format!("f{i}").as_bytes(), Some(10));
    }
    assert!(hash.weight() > 100);
    assert!(hash.memory() > 5000 * 5);
    let mut steps = 0;
    while !hash.free_some(50) {
        steps += 1;
    }
    assert!(steps > 5);
}
