//! Streams against maps.

use super::*;
use crate::listpack::Listpack;
use crate::value::Limits;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Fields = Vec<Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Add { ms: u64, seq: u64, fields: Fields },
    Delete { pick: usize },
    TrimLen { len: u64, approximate: bool },
    TrimId { pick: usize, approximate: bool },
    Range { from: u64, to: u64 },
}

fn fields() -> impl Strategy<Value = Fields> {
    let text = prop_oneof![
        Just(b"f".to_vec()),
        Just(b"g".to_vec()),
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..80),
    ];
    let names = prop_oneof![
        Just(vec![b"f".to_vec()]),
        prop::collection::vec(text.clone(), 1..4)
    ];
    names.prop_flat_map(move |names| {
        let values = prop::collection::vec(text.clone(), names.len());
        values.prop_map(move |values| {
            let pairs = names.iter().cloned().zip(values);
            pairs.flat_map(|(name, value)| [name, value]).collect()
        })
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3u64, 0..4u64, fields()).prop_map(|(ms, seq, fields)| Step::Add { ms, seq, fields }),
        2 => any::<usize>().prop_map(|pick| Step::Delete { pick }),
        1 => (0..60u64, any::<bool>())
            .prop_map(|(len, approximate)| Step::TrimLen { len, approximate }),
        1 => (any::<usize>(), any::<bool>())
            .prop_map(|(pick, approximate)| Step::TrimId { pick, approximate }),
        2 => (0..200u64, 0..200u64).prop_map(|(from, to)| Step::Range { from, to }),
    ]
}

fn limits(bytes: usize, entries: usize) -> Limits {
    Limits {
        stream_node_max_bytes: bytes,
        stream_node_max_entries: entries,
        ..Limits::DEFAULT
    }
}

fn contents(entry: Entry<'_>) -> (Id, Fields) {
    let pairs = entry.fields.flat_map(|(name, value)| [name, value]);
    (entry.id, pairs.map(|e| e.text().into_owned()).collect())
}

fn add(stream: &mut Stream, id: Id, fields: &[Vec<u8>], limits: &Limits) {
    let texts = fields.iter().map(Vec::as_slice);
    let log = stream.log_mut();
    let added = log.append(NewId::Exact(id), 0, texts, fields.len() / 2, limits);
    assert_eq!(added, Ok(id));
}

/// Everything that a reader can ask agrees with the model, and a dump holds the same.
fn agree(log: &Log, model: &BTreeMap<Id, Fields>) {
    let want: Vec<_> = model.clone().into_iter().collect();
    let got: Vec<_> = log.range(Id::MIN, Id::MAX).map(contents).collect();
    assert_eq!(got, want);
    let back: Vec<_> = log.range_back(Id::MIN, Id::MAX).map(contents).collect();
    assert!(back.iter().rev().eq(&want));
    assert_eq!(log.len(), want.len() as u64);
    assert_eq!(log.first_id, want.first().map_or(Id::MIN, |(id, _)| *id));
    let mut copy = Log::default();
    for (base, pack) in log.packs() {
        let pack = Listpack::from_redis(&pack.to_redis()).expect("it is a listpack");
        assert_eq!(copy.push_pack(base, pack), Ok(()));
    }
    assert!(copy.range(Id::MIN, Id::MAX).map(contents).eq(want));
    assert_eq!(copy.len(), log.len());
}

/// The id that a pick stands for: one that is there, or its neighbour.
fn picked(model: &BTreeMap<Id, Fields>, pick: usize) -> Id {
    let at = pick / 2 % model.len().max(1);
    let id = model.keys().nth(at).copied().unwrap_or(Id::new(1, 1));
    match pick % 2 {
        0 => id,
        _ => id.next().unwrap_or(Id::MAX),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_log_is_an_ordered_map(
        steps in prop::collection::vec(step(), 0..80),
        (bytes, entries) in prop_oneof![Just((4096, 100)), Just((0, 3)), Just((120, 0)), Just((1, 1))],
    ) {
        let limits = limits(bytes, entries);
        let (mut stream, mut model) = (Stream::default(), BTreeMap::new());
        let (mut next, mut added) = (Id::new(1, 0), 0);
        for step in steps {
            match step {
                Step::Add { ms, seq, fields } => {
                    next = match ms {
                        0 => Id::new(next.ms, next.seq + seq + 1),
                        ms => Id::new(next.ms + ms, seq),
                    };
                    add(&mut stream, next, &fields, &limits);
                    added += 1;
                    model.insert(next, fields);
                }
                Step::Delete { pick } => {
                    let id = picked(&model, pick);
                    let log = stream.log_mut();
                    prop_assert_eq!(log.has(id), model.contains_key(&id));
                    prop_assert_eq!(log.delete(id), model.remove(&id).is_some());
                    prop_assert!(!log.has(id));
                }
                Step::TrimLen { len, approximate } => {
                    let trim = trim(Bound::Len(len), approximate);
                    let trimmed = stream.trim(&trim);
                    let over = (model.len() as u64).saturating_sub(len);
                    prop_assert!(trimmed == over || approximate && trimmed < over);
                    for _ in 0..trimmed {
                        model.pop_first();
                    }
                }
                Step::TrimId { pick, approximate } => {
                    let id = picked(&model, pick);
                    let trimmed = stream.trim(&trim(Bound::Id(id), approximate));
                    let below = model.range(..id).count() as u64;
                    prop_assert!(trimmed == below || approximate && trimmed < below);
                    for _ in 0..trimmed {
                        model.pop_first();
                    }
                }
                Step::Range { from, to } => {
                    let (from, to) = (Id::new(from / 4, from % 4), Id::new(to / 4, to % 4));
                    let want: Vec<_> = model
                        .iter()
                        .filter(|(id, _)| **id >= from && **id <= to)
                        .map(|(id, fields)| (*id, fields.clone()))
                        .collect();
                    let log = stream.log();
                    prop_assert!(log.range(from, to).map(contents).eq(want.clone()));
                    let back = want.into_iter().rev();
                    prop_assert!(log.range_back(from, to).map(contents).eq(back));
                }
            }
            prop_assert_eq!(stream.log().entries_added, added);
        }
        agree(stream.log(), &model);
        agree(stream.clone().log(), &model);
        let mut slices = 0;
        while !stream.free_some(3) {
            slices += 1;
            prop_assert!(slices < 200);
        }
    }

    /// Bytes that are no node are refused, and what is accepted can be read.
    #[test]
    fn broken_nodes_do_no_harm(
        entries in prop::collection::vec(fields(), 1..6),
        hits in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let mut stream = Stream::default();
        for (i, fields) in entries.iter().enumerate() {
            add(&mut stream, Id::new(5, i as u64), fields, &Limits::DEFAULT);
        }
        let mut bytes = stream.log().packs().next().expect("a node").1.to_redis();
        for (at, byte) in hits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(pack) = Listpack::from_redis(&bytes) {
            let mut log = Log::default();
            if log.push_pack(Id::new(5, 0), pack).is_ok() {
                prop_assert_eq!(log.range(Id::MIN, Id::MAX).count() as u64, log.len());
                prop_assert_eq!(log.range_back(Id::MIN, Id::MAX).count() as u64, log.len());
            }
        }
    }
}

fn trim(bound: Bound, approximate: bool) -> Trim {
    Trim {
        bound,
        approximate,
        limit: 0,
        references: References::Keep,
    }
}

/// A stream with entries 1-0 to `n`-0, in nodes of two.
fn numbered(n: u64) -> Stream {
    let mut stream = Stream::default();
    for ms in 1..=n {
        let fields = [b"f".to_vec(), ms.to_string().into_bytes()];
        add(&mut stream, Id::new(ms, 0), &fields, &limits(0, 2));
    }
    stream
}

fn id(ms: u64) -> Id {
    Id::new(ms, 0)
}

#[test]
fn nodes_are_redis_bytes() {
    let mut stream = Stream::default();
    let limits = Limits::DEFAULT;
    let fields =
        |texts: &[&str]| -> Fields { texts.iter().map(|t| t.as_bytes().to_vec()).collect() };
    add(&mut stream, Id::new(5, 1), &fields(&["f", "v"]), &limits);
    add(&mut stream, Id::new(6, 0), &fields(&["f", "7"]), &limits);
    add(&mut stream, Id::new(6, 2), &fields(&["g", "v"]), &limits);
    assert!(stream.log_mut().delete(Id::new(6, 0)));
    let elements = [
        // The master entry.
        "2", "1", "1", "f", "0", //
        "2", "0", "0", "v", "4", //
        "3", "1", "-1", "7", "4", //
        "0", "1", "1", "1", "g", "v", "6",
    ];
    let mut want = Listpack::new();
    want.extend(elements.iter().map(|e| e.as_bytes()));
    let packs: Vec<_> = stream.log().packs().collect();
    assert_eq!(packs, [(Id::new(5, 1), &want)]);
}

#[test]
fn ids_are_made_of_the_time_and_only_grow() {
    let mut log = Log::default();
    assert_eq!(log.new_id(NewId::Auto, 7), Ok(Id::new(7, 0)));
    assert_eq!(log.new_id(NewId::Auto, -7), Ok(Id::new(0, 1)));
    log.last_id = Id::new(9, u64::MAX);
    assert_eq!(log.new_id(NewId::Auto, 7), Ok(Id::new(10, 0)));
    assert_eq!(log.new_id(NewId::At(9), 7), Err(Refusal::NotAbove));
    assert_eq!(log.new_id(NewId::At(8), 7), Err(Refusal::NotAbove));
    assert_eq!(log.new_id(NewId::At(10), 7), Ok(Id::new(10, 0)));
    log.last_id = Id::new(9, 4);
    assert_eq!(log.new_id(NewId::At(9), 7), Ok(Id::new(9, 5)));
    assert_eq!(
        log.new_id(NewId::Exact(Id::new(9, 4)), 7),
        Err(Refusal::NotAbove)
    );
    log.last_id = Id::MAX;
    assert_eq!(log.new_id(NewId::Auto, 7), Err(Refusal::Exhausted));
}

/// A group that has read everything, which is pending for one of two consumers.
fn reader(stream: &mut Stream, name: &[u8], count: usize) -> ConsumerNumber {
    stream.add_group(Group::new(name, Id::MIN, None));
    let (log, group) = stream.group_mut(name).expect("a group");
    let (consumer, is_new) = group.add_consumer(b"c", 10);
    assert!(is_new);
    group.deliver(log, consumer, count, true, 10, |_| {});
    consumer
}

#[test]
fn references_are_kept_deleted_or_heeded() {
    let mut stream = numbered(5);
    reader(&mut stream, b"all", 5);
    reader(&mut stream, b"some", 3);
    let pending = |stream: &Stream| {
        let of = |name: &[u8]| stream.group(name).map(Group::pending_len);
        (of(b"all"), of(b"some"))
    };
    assert_eq!(stream.remove(id(1), References::Keep), Removal::Deleted);
    assert_eq!(pending(&stream), (Some(5), Some(3)));
    assert_eq!(stream.remove(id(1), References::Delete), Removal::Forgotten);
    assert_eq!(stream.remove(id(1), References::Delete), Removal::Absent);
    assert_eq!(stream.remove(id(2), References::Delete), Removal::Deleted);
    assert_eq!(pending(&stream), (Some(3), Some(1)));
    let by = |stream: &mut Stream, group: &[u8], ms| {
        stream.acknowledge_and_remove(group, id(ms), References::Spare)
    };
    assert_eq!(stream.remove(id(3), References::Spare), Removal::Referenced);
    assert_eq!(by(&mut stream, b"all", 3), Removal::Referenced);
    assert_eq!(by(&mut stream, b"all", 3), Removal::Absent);
    assert_eq!(by(&mut stream, b"some", 3), Removal::Deleted);
    // The other group has not read it.
    assert_eq!(by(&mut stream, b"all", 4), Removal::Referenced);
    assert_eq!(stream.log().len(), 2);
    assert_eq!(
        numbered(1).remove(id(1), References::Spare),
        Removal::Referenced
    );
}

#[test]
fn trimming_heeds_references() {
    let spared = |bound, approximate| {
        let mut stream = numbered(9);
        let consumer = reader(&mut stream, b"g", 8);
        let (_, group) = stream.group_mut(b"g").expect("a group");
        for ms in [1, 2, 4, 5, 6] {
            assert!(group.acknowledge(id(ms)));
        }
        assert_eq!(group.consumer(consumer).pending(), 3);
        let trimmed = stream.trim(&Trim {
            references: References::Spare,
            ..trim(bound, approximate)
        });
        let left: Vec<u64> = stream
            .log()
            .range(Id::MIN, Id::MAX)
            .map(|e| e.id.ms)
            .collect();
        assert_eq!(trimmed, 9 - left.len() as u64);
        assert_eq!(stream.log().first_id.ms, left.first().copied().unwrap_or(0));
        left
    };
    assert_eq!(spared(Bound::Len(0), false), [3, 7, 8, 9]);
    assert_eq!(spared(Bound::Len(6), false), [3, 5, 6, 7, 8, 9]);
    assert_eq!(spared(Bound::Id(id(6)), false), [3, 6, 7, 8, 9]);
    assert_eq!(spared(Bound::Id(id(6)), true), [3, 5, 6, 7, 8, 9]);
    let mut stream = numbered(9);
    reader(&mut stream, b"g", 8);
    let delete = Trim {
        references: References::Delete,
        ..trim(Bound::Len(3), false)
    };
    assert_eq!(stream.trim(&delete), 6);
    let group = stream.group(b"g").expect("a group");
    let left: Vec<_> = group.pending(Id::MIN, Id::MAX).map(|(id, _)| id).collect();
    assert_eq!(left, [id(7), id(8)]);
}

#[test]
fn limits_stop_trimming_at_nodes() {
    let mut stream = numbered(9);
    let limited = Trim {
        limit: 5,
        ..trim(Bound::Len(0), true)
    };
    assert_eq!(stream.trim(&limited), 4);
    assert_eq!(stream.log().nodes(), 3);
}

#[test]
fn consumers_share_what_is_pending() {
    let mut stream = numbered(4);
    let first = reader(&mut stream, b"g", 4);
    let (log, group) = stream.group_mut(b"g").expect("a group");
    let (second, _) = group.add_consumer(b"a", 20);
    let names: Vec<_> = group.consumers().map(|(_, c)| c.name().to_vec()).collect();
    assert_eq!(names, [b"a", b"c"]);
    let claim = Claim {
        consumer: second,
        min_idle_ms: 10,
        now_ms: 20,
        delivered_ms: 15,
        deliveries: Deliveries::Add,
        force: false,
    };
    assert_eq!(group.claim(log, id(2), &claim), Claimed::Yes);
    // It was given only five milliseconds ago.
    assert_eq!(group.claim(log, id(2), &claim), Claimed::No);
    let gone = Claimed::Gone { was_pending: false };
    assert_eq!(group.claim(log, id(7), &claim), gone);
    assert!(group.acknowledge(id(3)));
    let of = |group: &Group, consumer| -> Vec<u64> {
        let pending = group.pending_of(consumer, Id::MIN, Id::MAX);
        pending.map(|(id, _)| id.ms).collect()
    };
    assert_eq!(of(group, first), [1, 4]);
    assert_eq!(of(group, second), [2]);
    assert_eq!(group.pending_bounds(), Some((id(1), id(4))));
    let pending = group.pending(id(2), id(2)).next().expect("it is pending").1;
    assert_eq!((pending.delivered_ms, pending.deliveries), (15, 2));
    assert_eq!(group.remove_consumer(b"c"), Some(2));
    assert_eq!(group.pending_len(), 1);
    // A number that became free is given again.
    let (third, _) = group.add_consumer(b"b", 30);
    assert_eq!(third, first);
    assert_eq!(group.consumer(third).pending(), 0);
    assert_eq!(group.remove_consumer(b"c"), None);
}

#[test]
fn freeing_goes_through_groups_too() {
    let mut stream = numbered(40);
    for name in [b"g", b"h"] {
        reader(&mut stream, name, 40);
    }
    let weight = stream.weight();
    assert_eq!(weight, 1 + 20 + 80);
    let mut slices = 0;
    while !stream.free_some(5) {
        slices += 1;
        assert!(slices < weight);
    }
    assert!(slices > 20);
    assert_eq!((stream.log().nodes(), stream.groups().len()), (0, 0));
}
