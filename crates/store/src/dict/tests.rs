use super::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

impl Dict {
    /// Everything that must be true at any time.
    fn check(&self) {
        assert_eq!(self.root.len(), 1 << self.root_bits);
        let mut len = 0;
        let mut spans = 0;
        for (i, page) in self.pages.iter().enumerate() {
            let span = self.span(page);
            spans += span.len();
            assert!(self.root[span].iter().all(|p| *p as usize == i));
            assert!(page.len() <= PAGE_MAX);
            let mut position = page.prefix();
            let mut in_page = 0;
            for (at, bucket) in page.buckets().iter().enumerate() {
                assert_eq!(page.home(position), at);
                let end = page.end(at).unwrap_or(u64::MAX);
                assert_eq!(bucket.records().count(), bucket.len());
                for (index, record) in bucket.records().enumerate() {
                    let (key, _) = self.pair(record);
                    let hash = hash(key);
                    assert!(hash >= position && hash <= end);
                    let place = bucket.place(index);
                    assert_eq!(self.pair(bucket.record(place)).0, key);
                }
                for index in 0..bucket.len() {
                    assert_eq!(page.nth(in_page + index), (at, index));
                }
                in_page += bucket.len();
                position = end;
            }
            assert_eq!(in_page, page.len());
            len += in_page;
        }
        assert_eq!(spans, self.root.len());
        assert_eq!(len, self.len());
        assert_eq!(self.iter().count(), len);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Copy,
    Draw,
}

fn bytes(long: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(0..3u8, 0..4),
        1 => (120usize..136, 0..4u8).prop_map(|(n, b)| vec![b; n]),
        1 => (0..long, 0..2u8).prop_map(|(n, b)| vec![b; n]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (bytes(700), bytes(700)).prop_map(|(k, v)| Op::Insert(k, v)),
        2 => bytes(700).prop_map(Op::Remove),
        1 => Just(Op::Copy),
        1 => Just(Op::Draw),
    ]
}

fn all(dict: &Dict) -> HashMap<Vec<u8>, Vec<u8>> {
    let pairs = dict.iter().map(|(k, p)| (k.to_vec(), p.to_vec()));
    pairs.collect()
}

proptest! {
    #[test]
    fn it_is_a_map(ops in prop::collection::vec(op(), 0..300)) {
        let (mut dict, mut model) = (Dict::new(), HashMap::new());
        let (mut dict_then, mut model_then) = (Dict::new(), HashMap::new());
        let mut random = Random::new(7);
        for op in ops {
            match op {
                Op::Insert(key, payload) => {
                    let new = dict.insert(&key, &payload);
                    prop_assert_eq!(new, model.insert(key, payload).is_none());
                }
                Op::Remove(key) => {
                    prop_assert_eq!(dict.remove(&key), model.remove(&key).is_some());
                }
                Op::Copy => {
                    // What was copied before is as it was, whatever the original has become.
                    prop_assert_eq!(all(&dict_then), model_then);
                    (dict_then, model_then) = (dict.clone(), model.clone());
                }
                Op::Draw => match dict.random(&mut random) {
                    Some((key, payload)) => prop_assert_eq!(&model[key][..], payload),
                    None => prop_assert!(model.is_empty()),
                },
            }
            prop_assert_eq!(dict.len(), model.len());
        }
        dict.check();
        for (key, payload) in &model {
            prop_assert_eq!(dict.get(key), Some(&payload[..]));
        }
        prop_assert_eq!(all(&dict_then), model_then);
        drop(dict_then);
        prop_assert_eq!(all(&dict), model);
    }
}

fn name(i: usize) -> Vec<u8> {
    format!("element:{i:012}").into_bytes()
}

#[test]
fn it_grows_and_shrinks_by_pages() {
    const N: usize = 40_000;
    let mut dict = Dict::new();
    for i in 0..N {
        assert!(dict.insert(&name(i), if i % 3 == 0 { b"payload" } else { b"" }));
        if i % 4999 == 0 {
            dict.check();
        }
    }
    dict.check();
    assert!(dict.pages.len() > 8);
    let full = dict.memory();
    for i in 0..N {
        assert!(dict.remove(&name(i * 7 % N)));
        if i % 4999 == 0 {
            dict.check();
        }
    }
    dict.check();
    assert!(dict.is_empty());
    assert_eq!((dict.pages.len(), dict.root.len()), (1, 1));
    assert!(dict.memory() < full / 1000);
}

#[test]
fn elements_of_twenty_bytes_take_less_than_thirty() {
    let mut dict = Dict::new();
    for n in [10_000, 15_000, 20_000] {
        for i in dict.len()..n {
            dict.insert(&name(i), &[]);
        }
        let each = dict.memory() / n;
        assert!(each < 30, "{each} bytes each of {n}");
    }
}

#[test]
fn a_walk_sees_what_stays() {
    // Grows a lot during the walk, and then shrinks a lot.
    for (start, grow) in [(300, true), (30_000, false), (1, true)] {
        let mut dict = Dict::new();
        for i in 0..start {
            dict.insert(&name(i), &[]);
        }
        let (mut seen, mut calls) = (HashMap::new(), 0);
        let mut cursor = 0;
        let stays = |i: usize| grow || i.is_multiple_of(100);
        loop {
            cursor = dict.scan(cursor, |key, _| *seen.entry(key.to_vec()).or_insert(0) += 1);
            if cursor == 0 {
                break;
            }
            for i in calls * 40..(calls + 1) * 40 {
                if grow && calls < 500 {
                    dict.insert(&name(start + i), &[]);
                } else if !grow && i < start && !stays(i) {
                    dict.remove(&name(i));
                }
            }
            calls += 1;
        }
        for i in (0..start).filter(|i| stays(*i)) {
            assert!(seen.contains_key(&name(i)), "{i} of {start}");
        }
        let twice = seen.values().filter(|n| **n > 1).count();
        assert!(twice <= seen.len() / 10, "{twice} of {}", seen.len());
        dict.check();
    }
}

#[test]
fn any_cursor_is_taken() {
    let mut dict = Dict::new();
    for i in 0..5000 {
        dict.insert(&name(i), &[]);
    }
    let mut random = Random::new(3);
    for _ in 0..1000 {
        let cursor = random.next();
        let next = dict.scan(cursor, |_, _| ());
        assert!(next == 0 || next > cursor & ((1 << CURSOR_BITS) - 1));
    }
}

/// Draws, and compares the counts with equal chances by the chi-square statistic.
fn assert_fair(dict: &Dict, draws: usize) {
    let mut random = Random::new(11);
    let mut counts: HashMap<Vec<u8>, f64> = HashMap::new();
    for _ in 0..draws {
        let (key, _) = dict.random(&mut random).expect("there are elements");
        *counts.entry(key.to_vec()).or_default() += 1.0;
    }
    let (n, each) = (dict.len() as f64, draws as f64 / dict.len() as f64);
    let missed = n - counts.len() as f64;
    let sum: f64 = counts.values().map(|c| (c - each).powi(2) / each).sum();
    let chi = sum + missed * each;
    // Mean n - 1, variance 2 (n - 1); six deviations are never seen.
    let bound = (n - 1.0) + 6.0 * (2.0 * (n - 1.0)).sqrt() + 6.0;
    assert!(chi < bound, "{chi} of {n} elements");
}

#[test]
fn draws_are_fair_while_it_grows_and_after_it_shrank() {
    let mut dict = Dict::new();
    for n in [2, 30, 1000, 9000] {
        for i in dict.len()..n {
            dict.insert(&name(i), &[]);
        }
        assert_fair(&dict, n * 30);
    }
    // What stays is in one half of the hashes but for a few.
    for i in 0..9000 {
        if hash(&name(i)) >> 63 == 1 && i % 64 != 0 {
            dict.remove(&name(i));
        }
    }
    assert!(dict.len() > 4000);
    assert_fair(&dict, dict.len() * 30);
    for i in 0..9000 {
        if i % 128 != 0 {
            dict.remove(&name(i));
        }
    }
    assert_fair(&dict, dict.len() * 100);
}

#[test]
fn positions_name_elements() {
    let mut dict = Dict::new();
    let mut random = Random::new(5);
    for i in 0..500 {
        dict.insert(&name(i), b"p");
    }
    let mut left: HashSet<_> = (0..500).map(name).collect();
    while let Some(position) = dict.random_position(&mut random) {
        let key = dict.at(position).0.to_vec();
        assert!(dict.position(&key).is_some());
        dict.remove_at(position);
        assert!(left.remove(&key));
        assert!(dict.position(&key).is_none());
    }
    assert!(left.is_empty());
    dict.check();
}

#[test]
fn it_is_freed_in_slices() {
    let mut dict = Dict::new();
    for i in 0..20_000 {
        let key = if i % 10 == 0 {
            vec![b'x'; 200 + i]
        } else {
            name(i)
        };
        dict.insert(&key, &[]);
    }
    let weight = dict.weight();
    let mut slices = 1;
    while !dict.free_some(100) {
        slices += 1;
    }
    assert!((weight / 100..weight / 100 + 2).contains(&slices));
}
