//! Random operations on a shard against a plain map, and SCAN's guarantees while the table changes.

use std::collections::{BTreeSet, HashMap};
use store::entry::NewValue;
use store::shard::Expiry;
use store::{Blob, Look, Shard, Str};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn text(value: Str<'_>) -> Vec<u8> {
    match value {
        Str::Int(v) => v.to_string().into_bytes(),
        Str::Bytes(b) => b.to_vec(),
        Str::Blob(b) => b.bytes().clone(),
    }
}

type Model = HashMap<Vec<u8>, (Vec<u8>, Option<i64>)>;

fn check_equal(shard: &mut Shard, model: &mut Model, now: i64) {
    model.retain(|_, (_, at)| at.is_none_or(|at| at >= now));
    let mut seen = 0;
    shard.for_each(0, |item| {
        seen += 1;
        let (value, at) = &model[item.key()];
        assert_eq!(&text(item.str().unwrap()), value);
        assert_eq!(item.expiry(), *at);
    });
    assert_eq!(seen, model.len());
    for (key, (value, _)) in model.iter() {
        let key = shard.key(key);
        let item = shard.look(0, key, Look::Use).expect("the model has it");
        assert_eq!(&text(item.str().unwrap()), value);
    }
}

fn run(seed: u64, steps: usize, keys: u64) {
    let mut random = Random(seed);
    let mut shard = Shard::new(2, [seed, 2, 3, 4]);
    let mut model = Model::new();
    let mut now = 1_000_000;
    for step in 0..steps {
        now += random.below(3) as i64;
        shard.set_now(now);
        // Phases in which keys mostly come and mostly go.
        let growing = (step / (steps / 4).max(1)).is_multiple_of(2);
        let name = format!(
            "key:{}{}",
            random.below(keys),
            "x".repeat((random.below(30) * 12) as usize % 300)
        )
        .into_bytes();
        let key = shard.key(&name);
        let roll = random.below(100);
        model.retain(|k, (_, at)| k != &name || at.is_none_or(|at| at >= now));
        if roll < if growing { 60 } else { 20 } {
            let len = [0, 3, 16, 40, 300, 1000, 2000, 40_000][random.below(8) as usize];
            let value = vec![b'a' + random.below(26) as u8; len];
            let expiry = [
                Expiry::Keep,
                Expiry::Clear,
                Expiry::At(now + random.below(200) as i64),
            ][random.below(3) as usize];
            let owner = (random.below(2) == 0).then(|| Blob::new(value.clone()));
            shard.set(0, key, NewValue::Bytes(&value), owner.as_ref(), expiry);
            let kept = model.get(&name).and_then(|(_, at)| *at);
            let at = match expiry {
                Expiry::Keep => kept,
                Expiry::Clear => None,
                Expiry::At(at) => Some(at),
            };
            model.insert(name, (value, at));
        } else if roll < 65 {
            let value = random.next() as i64;
            shard.set(0, key, NewValue::Int(value), None, Expiry::Clear);
            model.insert(name, (value.to_string().into_bytes(), None));
        } else if roll < 85 {
            assert_eq!(shard.remove(0, key), model.remove(&name).is_some());
        } else if roll < 90 {
            let at = (random.below(2) == 0).then(|| now + random.below(300) as i64);
            let there = shard.set_expiry(0, key, at);
            assert_eq!(there, model.contains_key(&name));
            if let Some(entry) = model.get_mut(&name) {
                entry.1 = at;
            }
        } else if roll < 95 {
            let len = random.below(1500) as usize;
            shard
                .edit(0, key, len, |b| {
                    if let Some(c) = b.last_mut() {
                        *c = b'!'
                    }
                })
                .unwrap();
            let entry = model.entry(name).or_default();
            if entry.0.len() < len {
                entry.0.resize(len, 0);
            }
            if let Some(c) = entry.0.last_mut() {
                *c = b'!';
            }
        } else {
            let target = format!("key:{}", random.below(keys)).into_bytes();
            if target != name {
                model.retain(|k, (_, at)| k != &target || at.is_none_or(|at| at >= now));
                let to = shard.key(&target);
                let copy = random.below(2) == 0;
                let done = if copy {
                    shard.copy(0, key, 0, to)
                } else {
                    shard.rename(0, key, 0, to)
                };
                assert_eq!(done, model.contains_key(&name));
                if let Some(value) = model.get(&name).cloned() {
                    model.insert(target, value);
                    if !copy {
                        model.remove(&name);
                    }
                }
            }
        }
        if step % 64 == 0 {
            shard.sweep_step(0, |_| true);
        }
        shard.empty_trash_step();
    }
    check_equal(&mut shard, &mut model, now);
    assert!(shard.volatile(0) >= model.values().filter(|(_, at)| at.is_some()).count());
    shard.flush(0);
    while shard.has_trash() {
        shard.empty_trash_step();
    }
    assert_eq!(shard.memory(), 0, "everything was freed");
}

#[test]
fn a_shard_behaves_like_a_map() {
    let scale = if cfg!(miri) { 1 } else { 20 };
    for seed in 0..scale {
        run(
            seed,
            if cfg!(miri) { 400 } else { 20_000 },
            [40, 700, 20_000][seed as usize % 3],
        );
    }
}

#[test]
fn scan_visits_what_stays_exactly_once() {
    let rounds = if cfg!(miri) { 1 } else { 12 };
    for seed in 0..rounds {
        let mut random = Random(seed + 77);
        let mut shard = Shard::new(1, [seed, 9, 9, 9]);
        let many = if cfg!(miri) { 300 } else { 30_000 };
        let put = |shard: &mut Shard, name: &str| {
            let key = shard.key(name.as_bytes());
            shard.set(0, key, NewValue::Int(1), None, Expiry::Clear);
        };
        let stay: BTreeSet<String> = (0..many / 10).map(|i| format!("stay:{i}")).collect();
        for name in &stay {
            put(&mut shard, name);
        }
        // Half of the walks see the table shrink, half see it grow.
        let shrinking = seed % 2 == 0;
        if shrinking {
            (0..many).for_each(|i| put(&mut shard, &format!("go:{i}")));
        }
        let mut moving = 0;
        let mut seen = Vec::new();
        let mut cursor = 0;
        loop {
            cursor = shard.scan(0, cursor, |item| {
                let key = String::from_utf8(item.key().to_vec()).unwrap();
                if key.starts_with("stay") {
                    seen.push(key);
                }
            });
            if cursor == 0 {
                break;
            }
            for _ in 0..random.below(40) {
                let name = format!("go:{moving}");
                moving += 1;
                if shrinking {
                    let key = shard.key(name.as_bytes());
                    shard.remove(0, key);
                } else {
                    put(&mut shard, &name);
                }
            }
        }
        assert_eq!(seen.len(), stay.len(), "nothing twice");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), stay);
    }
}

#[test]
fn random_keys_are_fair_even_after_the_table_shrank() {
    let mut shard = Shard::new(1, [5, 6, 7, 8]);
    let grown = if cfg!(miri) { 500 } else { 200_000 };
    for i in 0..grown {
        let name = format!("{i}");
        let key = shard.key(name.as_bytes());
        shard.set(0, key, NewValue::Int(i), None, Expiry::Clear);
    }
    for i in 50..grown {
        let name = format!("{i}");
        let key = shard.key(name.as_bytes());
        assert!(shard.remove(0, key));
    }
    let draws = if cfg!(miri) { 500 } else { 50_000 };
    let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
    for _ in 0..draws {
        *counts.entry(shard.random_key(0).unwrap()).or_default() += 1;
    }
    // Chi-squared with 49 degrees of freedom stays below 110 in all but one of a million runs; the
    // seed is fixed.
    let mean = draws as f64 / 50.0;
    let chi: f64 = counts
        .values()
        .map(|c| (*c as f64 - mean).powi(2) / mean)
        .sum();
    assert_eq!(counts.len(), 50);
    assert!(chi < 110.0, "chi-squared {chi}");
}
