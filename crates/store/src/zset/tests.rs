use super::*;
use crate::random::Random;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};

const SMALL: Limits = Limits::DEFAULT;
/// Every set is a tree.
const BIG: Limits = Limits {
    zset_max_listpack_entries: 0,
    ..Limits::DEFAULT
};
/// Sets become trees as they grow.
const EDGE: Limits = Limits {
    zset_max_listpack_entries: 20,
    zset_max_listpack_value: 30,
    ..Limits::DEFAULT
};

/// The plain definition: scores by member, and the order made of them.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, f64>);

impl Model {
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = self.0.iter().map(|(m, s)| (m.clone(), *s)).collect();
        all.sort_by(|a, b| order((a.1, &a.0), (b.1, &b.0)));
        all
    }
}

fn owned(range: Range<'_>) -> Vec<(Vec<u8>, f64)> {
    range.map(|(m, s)| (m.text().into_owned(), s)).collect()
}

fn member(number: usize, kind: u8) -> Vec<u8> {
    match kind % 16 {
        0 => number.to_string().into_bytes(),
        1 => format!("{:0300}", number).into_bytes(),
        2 => format!("{:040}", number).into_bytes(),
        _ => format!("m{number}").into_bytes(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize, u8, i32),
    Remove(usize, u8),
    RemoveRanks(usize, usize),
    Ordered(usize),
    Pack,
}

fn step(members: usize, scores: i32) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..members, any::<u8>(), -scores..=scores).prop_map(|(n, k, s)| Step::Add(n, k, s)),
        4 => (0..members, any::<u8>()).prop_map(|(n, k)| Step::Remove(n, k)),
        1 => (0..members, 0..members / 8).prop_map(|(at, n)| Step::RemoveRanks(at, n)),
        1 => (0..200usize).prop_map(Step::Ordered),
        1 => Just(Step::Pack),
    ]
}

fn run(steps: Vec<Step>, limits: &Limits) -> Result<(), TestCaseError> {
    let mut zset = Zset::sized(0, 0, limits);
    let mut model = Model::default();
    let mut next = 1000;
    for step in steps {
        match step {
            Step::Add(n, kind, score) => {
                let (member, score) = (member(n, kind), f64::from(score) / 4.0);
                let old = zset.add(&member, score, limits);
                prop_assert_eq!(old, model.0.insert(member, score));
            }
            Step::Remove(n, kind) => {
                let member = member(n, kind);
                prop_assert_eq!(zset.remove(&member), model.0.remove(&member));
            }
            Step::RemoveRanks(at, n) => {
                let mut shown = Vec::new();
                zset.remove_ranks(at..at + n, |m, s| shown.push((m.text().into_owned(), s)));
                let wanted: Vec<_> = model.sorted().into_iter().skip(at).take(n).collect();
                wanted.iter().for_each(|(m, _)| {
                    model.0.remove(m);
                });
                prop_assert_eq!(shown, wanted);
            }
            Step::Ordered(n) => {
                for _ in 0..n {
                    next += 1;
                    let member = format!("o{next}").into_bytes();
                    zset.add(&member, f64::from(next), limits);
                    model.0.insert(member, f64::from(next));
                }
            }
            Step::Pack => zset.pack(limits),
        }
        prop_assert_eq!(zset.len(), model.0.len());
    }
    agree(&zset, &model)
}

fn agree(zset: &Zset, model: &Model) -> Result<(), TestCaseError> {
    let sorted = model.sorted();
    let len = sorted.len();
    prop_assert_eq!(owned(zset.iter()), sorted.clone());
    let reverse = owned(zset.range(len.saturating_sub(1), len, Direction::Down));
    prop_assert_eq!(reverse, sorted.iter().rev().cloned().collect::<Vec<_>>());
    for (rank, (member, score)) in sorted.iter().enumerate() {
        prop_assert_eq!(zset.score(member), Some(*score));
        prop_assert_eq!(zset.rank(member), Some((rank, *score)));
    }
    prop_assert_eq!(zset.rank(b"nobody"), None);
    for (at, n) in [(0, 3), (len / 2, 100), (len / 3, 1), (len, 1), (len + 5, 2)] {
        let up = owned(zset.range(at, n, Direction::Up));
        let wanted: Vec<_> = sorted.iter().skip(at).take(n).cloned().collect();
        prop_assert_eq!(up, wanted);
        if at < len {
            let down = owned(zset.range(at, n, Direction::Down));
            let wanted = sorted[..=at].iter().rev().take(n).cloned();
            prop_assert_eq!(down, wanted.collect::<Vec<_>>());
        }
    }
    for min in -4..4 {
        for max in -4..4 {
            let (min, max) = (f64::from(min) * 2.5, f64::from(max) * 2.5);
            let range = Between {
                min: End::Included(min),
                max: End::Excluded(max),
            };
            let wanted = sorted.iter().filter(|(_, s)| min <= *s && *s < max).count();
            let ranks = zset.by_score(&range);
            prop_assert_eq!(ranks.len(), wanted);
            let first = sorted.iter().position(|(_, s)| min <= *s);
            prop_assert!(wanted == 0 || Some(ranks.start) == first);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_tree_is_the_model(steps in prop::collection::vec(step(400, 50), 0..900)) {
        run(steps, &BIG)?;
    }

    #[test]
    fn a_tree_with_equal_scores_is_the_model(steps in prop::collection::vec(step(1000, 1), 0..2000)) {
        run(steps, &BIG)?;
    }

    #[test]
    fn a_listpack_is_the_model(steps in prop::collection::vec(step(60, 20), 0..100)) {
        run(steps, &SMALL)?;
    }

    #[test]
    fn whatever_becomes_a_tree_is_the_model(steps in prop::collection::vec(step(60, 20), 0..100)) {
        run(steps, &EDGE)?;
    }

    #[test]
    fn members_among_equal_scores_are_found_by_range(
        members in prop::collection::btree_set(prop::collection::vec(b'a'..=b'd', 0..5), 0..300),
        min in prop::collection::vec(b'a'..=b'd', 0..5),
        max in prop::collection::vec(b'a'..=b'd', 0..5),
        big in any::<bool>(),
    ) {
        let limits = if big { BIG } else { Limits { zset_max_listpack_entries: 1000, ..SMALL } };
        let mut zset = Zset::sized(0, 0, &limits);
        for member in &members {
            zset.add(member, 1.5, &limits);
        }
        let range = Between { min: End::Excluded(&min[..]), max: End::Included(&max[..]) };
        let wanted: Vec<_> = members.iter().filter(|m| **m > min && **m <= max).cloned().collect();
        for direction in [Direction::Up, Direction::Down] {
            let ranks = zset.by_member(&range, direction);
            let found = owned(zset.range(ranks.start, ranks.len(), Direction::Up));
            let found: Vec<_> = found.into_iter().map(|(m, _)| m).collect();
            prop_assert_eq!(&found, &wanted);
        }
    }
}

/// A tree of several levels, against the model, growing and shrinking.
#[test]
fn a_deep_tree_stays_in_order() {
    let mut random = Random::new(11);
    let mut zset = Zset::sized(0, 0, &BIG);
    let mut model = Model::default();
    const MEMBERS: usize = 12_000;
    for _ in 0..20_000 {
        let member = format!("element:{}", random.below(MEMBERS)).into_bytes();
        let score = random.below(100_000) as f64;
        zset.add(&member, score, &BIG);
        model.0.insert(member, score);
    }
    agree(&zset, &model).expect("the same");
    for _ in 0..40_000 {
        let member = format!("element:{}", random.below(MEMBERS)).into_bytes();
        assert_eq!(zset.remove(&member), model.0.remove(&member));
    }
    agree(&zset, &model).expect("the same");
    let len = zset.len();
    zset.remove_ranks(0..len, |_, _| {});
    assert!(zset.is_empty());
    zset.add(b"again", 1.0, &BIG);
    assert_eq!(owned(zset.iter()), [(b"again".to_vec(), 1.0)]);
}

/// What is there from the beginning of a scan to its end is shown, whatever its score becomes.
#[test]
fn a_scan_misses_nothing_while_all_changes() {
    for seed in 1..10 {
        let mut random = Random::new(seed);
        let mut zset = Zset::sized(0, 0, &BIG);
        for i in 0..500 {
            zset.add(format!("steady{i}").as_bytes(), 1.0, &BIG);
        }
        let mut seen = HashSet::new();
        let mut cursor = 0;
        loop {
            cursor = zset.scan(cursor, 10, |m, _| {
                seen.insert(m.text().into_owned());
            });
            if cursor == 0 {
                break;
            }
            for _ in 0..200 {
                let other = format!("other{}", random.below(2000)).into_bytes();
                match random.below(3) {
                    0 => drop(zset.remove(&other)),
                    _ => drop(zset.add(&other, random.below(100) as f64, &BIG)),
                }
                let steady = format!("steady{}", random.below(500)).into_bytes();
                zset.add(&steady, random.below(100) as f64, &BIG);
            }
        }
        assert!((0..500).all(|i| seen.contains(format!("steady{i}").as_bytes())));
    }
}

#[test]
fn it_is_collected_cloned_and_freed() {
    let elements: Vec<(Box<[u8]>, f64)> = (0..5000)
        .map(|i| {
            (
                format!("m{i}").into_bytes().into(),
                f64::from(i * 7919 % 5000),
            )
        })
        .collect();
    let zset = Zset::collect(elements.clone(), &SMALL);
    assert_eq!((zset.len(), zset.encoding()), (5000, "skiplist"));
    let members: BTreeSet<_> = zset.iter().map(|(m, _)| m.text().into_owned()).collect();
    assert_eq!(members.len(), 5000);
    let mut copy = zset.clone();
    assert_eq!(owned(copy.iter()), owned(zset.iter()));
    // What they share is freed by the last one.
    drop(zset);
    let mut steps = 1;
    while !copy.free_some(50) {
        steps += 1;
    }
    assert!(steps > 5);
    drop(copy);
    let few = Zset::collect(elements[..100].to_vec(), &SMALL);
    assert_eq!(few.encoding(), "listpack");
    assert!(Zset::collect(elements[..100].to_vec(), &BIG).memory() > few.memory());
}

#[test]
fn a_listpack_from_elsewhere_is_checked() {
    let pack = |elements: &[&[u8]]| {
        let mut pack = Listpack::new();
        pack.extend(elements.iter().copied());
        Zset::from_listpack(pack).map(|zset| owned(zset.iter()))
    };
    let good = pack(&[b"a", b"-inf", b"b", b"1", b"c", b"1.5"]).expect("valid");
    assert_eq!(good[0], (b"a".to_vec(), f64::NEG_INFINITY));
    for bad in [
        &[b"a" as &[u8]][..],
        &[b"a", b"nan"],
        &[b"a", b"x"],
        &[b"b", b"2", b"a", b"1"],
        &[b"b", b"1", b"a", b"1"],
        &[b"a", b"1", b"a", b"2"],
    ] {
        assert_eq!(pack(bad), Err(Corrupt), "{bad:?}");
    }
}
