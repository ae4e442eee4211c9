use super::*;
use crate::random::Random;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

const SMALL: Limits = Limits {
    set_max_intset_entries: 6,
    set_max_listpack_entries: 8,
    set_max_listpack_value: 5,
    ..Limits::DEFAULT
};

/// What [`Set`] is to be, slowly: the members, and the encoding by Redis's rules.
#[derive(Default)]
struct Model {
    members: BTreeSet<Vec<u8>>,
    encoding: &'static str,
}

impl Model {
    fn expect(&mut self, first: &[u8], n: usize, limits: &Limits) {
        let most = match self.encoding {
            "intset" => limits.set_max_intset_entries,
            "listpack" => limits.set_max_listpack_entries,
            "hashtable" => usize::MAX,
            _ if integer(first).is_some() && n <= limits.set_max_intset_entries => {
                self.encoding = "intset";
                return;
            }
            _ => {
                self.encoding = "listpack";
                limits.set_max_listpack_entries
            }
        };
        if n > most {
            self.encoding = "hashtable";
        }
    }

    fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        let new = self.members.insert(member.to_vec());
        let len = self.members.len();
        let longest = self.members.iter().map(Vec::len).max().unwrap_or_default();
        let is_int = integer(member).is_some();
        if new && self.encoding == "intset" && is_int && len > limits.set_max_intset_entries {
            self.encoding = "hashtable";
        } else if new && !(self.encoding == "intset" && is_int) && self.encoding != "hashtable" {
            let fits =
                len <= limits.set_max_listpack_entries && longest <= limits.set_max_listpack_value;
            self.encoding = if fits { "listpack" } else { "hashtable" };
        }
        new
    }
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (-4..9i64).prop_map(|v| v.to_string().into_bytes()),
        2 => "[ab]{0,2}".prop_map(String::into_bytes),
        1 => Just(b"toolong".to_vec()),
        1 => Just(b"01".to_vec()),
        1 => any::<i64>().prop_map(|v| v.to_string().into_bytes()),
    ]
}

fn text(member: Element<'_>) -> Vec<u8> {
    member.text().into_owned()
}

fn members(set: &Set) -> BTreeSet<Vec<u8>> {
    let all: Vec<Vec<u8>> = set.iter().map(text).collect();
    let distinct: BTreeSet<Vec<u8>> = all.iter().cloned().collect();
    assert_eq!(all.len(), distinct.len());
    assert_eq!(set.len(), all.len());
    distinct
}

#[derive(Clone, Debug)]
enum Op {
    Add(Vec<Vec<u8>>),
    Remove(Vec<u8>),
    Pop,
    PopMany(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => prop::collection::vec(member(), 1..3).prop_map(Op::Add),
        1 => prop::collection::vec(member(), 1..12).prop_map(Op::Add),
        3 => member().prop_map(Op::Remove),
        1 => Just(Op::Pop),
        1 => (0..4usize).prop_map(Op::PopMany),
    ]
}

proptest! {
    #[test]
    fn it_is_a_set_in_the_encodings_of_redis(
        ops in prop::collection::vec(op(), 0..40), seed in any::<u64>(),
    ) {
        let (mut set, mut model) = (Set::default(), Model::default());
        let mut random = Random::new(seed);
        for op in ops {
            match op {
                Op::Add(new) => {
                    set.expect(&new[0], new.len(), &SMALL);
                    model.expect(&new[0], new.len(), &SMALL);
                    for member in new {
                        prop_assert_eq!(set.add(&member, &SMALL), model.add(&member, &SMALL));
                        prop_assert!(set.contains(&member));
                    }
                }
                Op::Remove(member) => {
                    prop_assert_eq!(set.remove(&member), model.members.remove(&member));
                    prop_assert!(!set.contains(&member));
                }
                Op::Pop => {
                    let mut popped = None;
                    set.pop(&mut random, |member| popped = Some(text(member)));
                    prop_assert_eq!(popped.is_some(), !model.members.is_empty());
                    prop_assert!(popped.is_none_or(|member| model.members.remove(&member)));
                }
                Op::PopMany(n) => {
                    let before = model.members.len();
                    let mut left = true;
                    set.pop_many(n, &mut random, &SMALL, |member| {
                        left &= model.members.remove(&text(member));
                    });
                    prop_assert!(left);
                    prop_assert_eq!(model.members.len(), before.saturating_sub(n));
                    if before > n && set.encoding() != model.encoding {
                        prop_assert_eq!(model.encoding, "hashtable");
                        model.encoding = set.encoding();
                    }
                }
            }
            prop_assert_eq!(&members(&set), &model.members);
            if set.is_empty() {
                // The key would be gone.
                (set, model) = (Set::default(), Model::default());
            } else {
                prop_assert_eq!(set.encoding(), model.encoding);
            }
        }
    }

    #[test]
    fn algebra(lists in prop::collection::vec((prop::collection::vec(member(), 0..14), 0..3u8), 1..9)) {
        let sets: Vec<Set> = lists.iter().map(|(list, n)| built(list, *n)).collect();
        let refs: Vec<&Set> = sets.iter().collect();
        let all: Vec<BTreeSet<Vec<u8>>> = sets.iter().map(members).collect();

        let mut found = Vec::new();
        let _ = algebra::intersect(&refs, |member| {
            found.push(text(member));
            ControlFlow::Continue(())
        });
        let common = all[1..].iter().fold(all[0].clone(), |a, b| &a & b);
        prop_assert_eq!(found.len(), common.len());
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), common);

        let mut found = Vec::new();
        algebra::unite(&refs, |member| found.push(text(member)));
        let either = all[1..].iter().fold(all[0].clone(), |a, b| &a | b);
        prop_assert_eq!(found.len(), either.len());
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), either);

        let mut found = Vec::new();
        algebra::subtract(refs[0], &refs[1..], |member| found.push(text(member)));
        let rest = all[1..].iter().fold(all[0].clone(), |a, b| &a - b);
        prop_assert_eq!(found.len(), rest.len());
        prop_assert_eq!(&found.into_iter().collect::<BTreeSet<_>>(), &rest);
        prop_assert_eq!(members(&algebra::difference(refs[0], &refs[1..], &SMALL)), rest);
    }

    #[test]
    fn samples_are_different_members(
        list in prop::collection::vec(member(), 1..30), kind in 0..3u8, n in 0..40usize, seed in any::<u64>(),
    ) {
        let set = built(&list, kind);
        let mut found = Vec::new();
        set.sample(n, &mut Random::new(seed), |member| found.push(text(member)));
        let distinct: BTreeSet<_> = found.iter().cloned().collect();
        prop_assert_eq!(found.len(), n.min(set.len()));
        prop_assert_eq!(distinct.len(), found.len());
        prop_assert!(distinct.is_subset(&members(&set)));
    }
}

/// A set, in the most compact encoding that it may have, or one of the next two.
fn built(list: &[Vec<u8>], kind: u8) -> Set {
    let limits = match kind {
        0 => SMALL,
        1 => Limits {
            set_max_intset_entries: 0,
            ..SMALL
        },
        _ => Limits {
            set_max_intset_entries: 0,
            set_max_listpack_entries: 0,
            ..SMALL
        },
    };
    let mut set = Set::default();
    for member in list {
        set.expect(member, 1, &limits);
        set.add(member, &limits);
    }
    set
}

fn numbers(n: usize, kind: u8) -> Set {
    let limits = match kind {
        0 => Limits {
            set_max_intset_entries: n,
            ..SMALL
        },
        1 => Limits {
            set_max_intset_entries: 0,
            set_max_listpack_entries: n,
            ..SMALL
        },
        _ => Limits {
            set_max_intset_entries: 0,
            set_max_listpack_entries: 0,
            ..SMALL
        },
    };
    let mut set = Set::default();
    for i in 0..n {
        let member = i.to_string();
        set.expect(member.as_bytes(), 1, &limits);
        set.add(member.as_bytes(), &limits);
    }
    assert_eq!(
        set.encoding(),
        ["intset", "listpack", "hashtable"][usize::from(kind)]
    );
    set
}

/// Whether counts of things that should be equally frequent are, by the chi-square statistic.
#[track_caller]
fn assert_equal(counts: &BTreeMap<Vec<u8>, usize>, kinds: usize) {
    let each = counts.values().sum::<usize>() as f64 / kinds as f64;
    let missing = (kinds - counts.len()) as f64 * each;
    let chi: f64 = counts
        .values()
        .map(|c| (*c as f64 - each).powi(2) / each)
        .sum();
    let free = (kinds - 1) as f64;
    assert!(
        chi + missing < free + 6.0 * (2.0 * free).sqrt() + 6.0,
        "{counts:?}"
    );
}

#[test]
fn every_way_of_drawing_is_fair() {
    let mut random = Random::new(21);
    for kind in 0..3 {
        for n in [2, 7, 60] {
            let set = numbers(n, kind);
            let mut counts = [(); 5].map(|()| BTreeMap::new());
            let mut count = |way: usize, member: Element<'_>| {
                *counts[way].entry(text(member)).or_insert(0usize) += 1;
            };
            for _ in 0..n * 60 {
                count(0, set.random(&mut random).expect("there are members"));
                set.draw(3, &mut random, |member| {
                    count(1, member);
                    true
                });
                // Few of many, and nearly all.
                set.sample(n.div_ceil(10), &mut random, |member| count(2, member));
                set.sample(n - 1, &mut random, |member| count(3, member));
                let mut rest = set.clone();
                rest.pop(&mut random, |_| ());
                rest.pop_many(n * 2 / 3, &mut random, &SMALL, |_| ());
                rest.iter().for_each(|member| count(4, member));
            }
            for counts in counts.iter().filter(|counts| !counts.is_empty()) {
                assert_equal(counts, n);
            }
        }
    }
}

#[test]
fn drawing_stops_when_told() {
    for kind in 0..3 {
        let set = numbers(5, kind);
        let mut left = 3;
        set.draw(u64::MAX, &mut Random::new(1), |_| {
            left -= 1;
            left > 0
        });
        assert_eq!(left, 0);
    }
}

#[test]
fn what_stays_of_a_table_is_packed_again_if_it_is_little() {
    let mut random = Random::new(2);
    for (n, encoding) in [(90, "listpack"), (80, "hashtable"), (5, "hashtable")] {
        let mut set = numbers(100, 2);
        let mut popped = 0;
        set.pop_many(n, &mut random, &Limits::DEFAULT, |_| popped += 1);
        assert_eq!((popped, set.len(), set.encoding()), (n, 100 - n, encoding));
    }
}

#[test]
fn a_walk_sees_all() {
    for kind in 0..3 {
        let set = numbers(100, kind);
        let (mut found, mut cursor) = (BTreeSet::new(), 0);
        loop {
            cursor = set.scan(cursor, |member| {
                found.insert(text(member));
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(found, members(&set));
    }
}
