//! Values of every type as plain data: made at random, put into a shard, read out of it.

#![allow(dead_code, reason = "each test uses its part")]

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use store::hash::Hash;
use store::list::{End, List};
use store::listpack::Listpack;
use store::set::Set;
use store::shard::{Expiry, Item};
use store::stream::{Group, Id, NewId, Pending, References, Stream};
use store::zset::Zset;
use store::{Limits, Look, Shard, Str, Value};

pub const NOW_MS: i64 = 1_700_000_000_000;
pub type Bytes = Vec<u8>;

#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    Text(Bytes),
    List(Vec<Bytes>),
    Set(BTreeSet<Bytes>),
    /// Values and expiries.
    Hash(BTreeMap<Bytes, (Bytes, Option<i64>)>),
    Zset(BTreeMap<Bytes, f64>),
    Stream(StreamModel),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamModel {
    pub entries: Vec<(Id, Vec<(Bytes, Bytes)>)>,
    pub last_id: Id,
    pub max_deleted_id: Id,
    pub entries_added: u64,
    pub groups: BTreeMap<Bytes, GroupModel>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GroupModel {
    pub last_id: Id,
    pub entries_read: Option<i64>,
    pub consumers: BTreeMap<Bytes, ConsumerModel>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerModel {
    pub seen_ms: i64,
    pub active_ms: Option<i64>,
    /// When, and how often.
    pub pending: BTreeMap<Id, (i64, u64)>,
}

/// A text as it occurs: numbers, short ones, ones that compress, ones beyond the limits.
pub fn text() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => (-300..300i64).prop_map(|n| n.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i32>().prop_map(|n| n.to_string().into_bytes()),
        6 => vec(any::<u8>(), 0..12),
        2 => vec(97..100u8, 0..70),
        1 => (any::<u8>(), 60..5000usize).prop_map(|(c, n)| vec![c; n]),
        1 => (any::<u64>(), 1..3000usize).prop_map(|(seed, n)| noise(seed, n)),
    ]
}

/// Bytes that do not compress.
pub fn noise(seed: u64, n: usize) -> Bytes {
    let mut random = store::Random::new(seed);
    (0..n).map(|_| random.next() as u8).collect()
}

fn id() -> impl Strategy<Value = Id> {
    (0..40u64, 0..3u64).prop_map(|(ms, seq)| Id::new(1000 + ms, seq))
}

fn consumer() -> impl Strategy<Value = ConsumerModel> {
    let pending = btree_map(id(), (0..NOW_MS, 0..9u64), 0..4);
    let active = prop_oneof![Just(None), Just(Some(true)), Just(Some(false))];
    (0..NOW_MS, active, pending).prop_map(|(seen_ms, active, pending)| ConsumerModel {
        seen_ms,
        active_ms: active.map(|same| if same { seen_ms } else { 5 }),
        pending,
    })
}

fn group() -> impl Strategy<Value = GroupModel> {
    let read = prop_oneof![Just(None), (0..1000i64).prop_map(Some)];
    let consumers = btree_map(text(), consumer(), 0..3);
    (id(), read, consumers).prop_map(|(last_id, entries_read, mut consumers)| {
        // An entry is pending for one consumer.
        let mut seen = BTreeSet::new();
        for consumer in consumers.values_mut() {
            consumer.pending.retain(|id, _| seen.insert(*id));
        }
        GroupModel {
            last_id,
            entries_read,
            consumers,
        }
    })
}

fn stream() -> impl Strategy<Value = StreamModel> {
    let fields = vec((text(), text()), 1..4);
    let same = vec((Just(b"name".to_vec()), text()), 1..2);
    let entries = btree_map(id(), prop_oneof![fields, same], 0..30);
    (entries, btree_map(text(), group(), 0..3), any::<u8>(), id()).prop_map(
        |(entries, groups, added, deleted)| {
            let entries: Vec<_> = entries.into_iter().collect();
            StreamModel {
                last_id: Id::new(2000, u64::from(added)),
                max_deleted_id: if added % 2 == 0 { Id::MIN } else { deleted },
                entries_added: entries.len() as u64 + u64::from(added),
                entries,
                groups,
            }
        },
    )
}

pub fn model() -> impl Strategy<Value = Model> {
    let expiry = prop_oneof![
        3 => Just(None),
        1 => (NOW_MS..NOW_MS + 100_000).prop_map(Some),
    ];
    let score = prop_oneof![
        (-5..5i32).prop_map(f64::from),
        any::<f64>().prop_filter("scores are numbers", |score| !score.is_nan()),
        Just(f64::INFINITY),
        Just(1e100),
    ];
    let integers = btree_set(
        any::<i16>().prop_map(|n| n.to_string().into_bytes()),
        1..600,
    );
    prop_oneof![
        2 => text().prop_map(Model::Text),
        2 => vec(text(), 1..60).prop_map(Model::List),
        2 => btree_set(text(), 1..150).prop_map(Model::Set),
        1 => integers.prop_map(Model::Set),
        1 => btree_map(text(), (text(), Just(None)), 1..40).prop_map(Model::Hash),
        1 => btree_map(text(), (text(), expiry), 1..40).prop_map(Model::Hash),
        2 => btree_map(text(), score, 1..140).prop_map(Model::Zset),
        2 => stream().prop_map(Model::Stream),
    ]
}

fn list(texts: &[Bytes], limits: &Limits) -> List {
    let mut list = List::default();
    for text in texts {
        list.make_room(limits, 1, Listpack::encoded_len(text));
        list.push(End::Tail, text);
    }
    list
}

fn stream_of(model: &StreamModel, limits: &Limits) -> Stream {
    let mut stream = Stream::default();
    for (id, fields) in &model.entries {
        let parts = fields
            .iter()
            .flat_map(|(n, v)| [n.as_slice(), v.as_slice()]);
        let log = stream.log_mut();
        let added = log.append(NewId::Exact(*id), 0, parts, fields.len(), limits);
        added.expect("ids grow");
    }
    // An entry that is deleted leaves a mark in its node.
    let last = stream.log().last_id;
    if let Some(id) = last.next() {
        let fields = [&b"gone"[..], b"1"].into_iter();
        let added = stream
            .log_mut()
            .append(NewId::Exact(id), 0, fields, 1, limits);
        added.expect("it is above");
        stream.remove(id, References::Keep);
    }
    let log = stream.log_mut();
    log.last_id = model.last_id;
    log.max_deleted_id = model.max_deleted_id;
    log.entries_added = model.entries_added;
    for (name, model) in &model.groups {
        let mut group = Group::new(name, model.last_id, model.entries_read);
        for (name, model) in &model.consumers {
            let (consumer, _) = group.add_consumer(name, model.seen_ms);
            group.consumer_mut(consumer).active_ms = model.active_ms;
            for (id, (delivered_ms, deliveries)) in &model.pending {
                let pending = Pending {
                    delivered_ms: *delivered_ms,
                    deliveries: *deliveries,
                    consumer,
                };
                group.give(*id, pending);
            }
        }
        stream.add_group(group);
    }
    stream
}

/// Puts a value at a key.
pub fn put(shard: &mut Shard, key: &[u8], model: &Model, expiry: Expiry, limits: &Limits) {
    let key = shard.key(key);
    let value: Value = match model {
        Model::Text(text) => {
            let value = match store::element::integer(text) {
                Some(value) => store::entry::NewValue::Int(value),
                None => store::entry::NewValue::Bytes(text),
            };
            return shard.set(0, key, value, None, expiry);
        }
        Model::List(texts) => list(texts, limits).into(),
        Model::Set(members) => {
            let mut set = Set::default();
            for member in members {
                set.add(member, limits);
            }
            set.into()
        }
        Model::Hash(fields) => {
            let mut hash = Hash::default();
            for (field, (value, at)) in fields {
                let expiry = at.map_or(Expiry::Keep, Expiry::At);
                hash.set(field, value, expiry, NOW_MS, limits);
            }
            hash.into()
        }
        Model::Zset(members) => {
            let mut zset = Zset::default();
            for (member, score) in members {
                zset.add(member, *score, limits);
            }
            zset.into()
        }
        Model::Stream(model) => stream_of(model, limits).into(),
    };
    shard.put(0, key, value, expiry);
}

fn read_group(group: &Group) -> GroupModel {
    let consumers = group.consumers().map(|(number, consumer)| {
        let pending = group.pending_of(number, Id::MIN, Id::MAX);
        let pending = pending.map(|(id, p)| (id, (p.delivered_ms, p.deliveries)));
        let model = ConsumerModel {
            seen_ms: consumer.seen_ms,
            active_ms: consumer.active_ms,
            pending: pending.collect(),
        };
        (consumer.name().to_vec(), model)
    });
    GroupModel {
        last_id: group.last_id,
        entries_read: group.entries_read,
        consumers: consumers.collect(),
    }
}

fn read_stream(stream: &Stream) -> StreamModel {
    let log = stream.log();
    let owned = |e: store::Element<'_>| e.text().into_owned();
    let entries = log.range(Id::MIN, Id::MAX).map(|entry| {
        let fields = entry
            .fields
            .map(|(name, value)| (owned(name), owned(value)));
        (entry.id, fields.collect())
    });
    let entries: Vec<_> = entries.collect();
    assert_eq!(log.len(), entries.len() as u64);
    assert_eq!(
        log.first_id,
        entries.first().map_or(Id::MIN, |entry| entry.0)
    );
    let groups = stream.groups().iter();
    StreamModel {
        entries,
        last_id: log.last_id,
        max_deleted_id: log.max_deleted_id,
        entries_added: log.entries_added,
        groups: groups.map(|g| (g.name().to_vec(), read_group(g))).collect(),
    }
}

/// The value of a key.
pub fn read(item: &Item<'_>) -> Model {
    let owned = |e: store::Element<'_>| e.text().into_owned();
    if let Ok(text) = item.str() {
        return Model::Text(match text {
            Str::Int(value) => value.to_string().into_bytes(),
            Str::Bytes(bytes) => bytes.to_vec(),
            Str::Blob(blob) => blob.bytes().clone(),
        });
    }
    let value = item.value().expect("it is a collection");
    match &*value {
        Value::List(list) => {
            let mut texts = Vec::new();
            list.walk(End::Head, 0, usize::MAX, |element| {
                texts.push(owned(element));
                true
            });
            Model::List(texts)
        }
        Value::Set(set) => Model::Set(set.iter().map(owned).collect()),
        Value::Hash(hash) => {
            let fields = hash.fields().map(|(f, v, at)| (owned(f), (owned(v), at)));
            Model::Hash(fields.collect())
        }
        Value::Zset(zset) => Model::Zset(zset.iter().map(|(m, s)| (owned(m), s)).collect()),
        Value::Stream(stream) => Model::Stream(read_stream(stream)),
    }
}

/// A shard with the time set.
pub fn shard() -> Shard {
    let mut shard = Shard::new(16, [1, 2, 3, 4]);
    shard.set_now(NOW_MS);
    shard
}

/// The value of a key that is there, and the name of its encoding.
#[track_caller]
pub fn at(shard: &mut Shard, key: &[u8]) -> (Model, &'static str) {
    let key = shard.key(key);
    let item = shard.look(0, key, Look::Peek).expect("the key is there");
    (read(&item), item.encoding())
}

/// The payload of a key that is there.
pub fn dump(shard: &mut Shard, key: &[u8]) -> Bytes {
    let mut encoder = persist::Encoder::new(persist::encode::Compression::Lzf);
    let key = shard.key(key);
    let item = shard.look(0, key, Look::Peek).expect("the key is there");
    persist::dump::write(&mut encoder, &item).to_vec()
}

/// Makes a key of a payload.
pub fn restore(shard: &mut Shard, key: &[u8], payload: &[u8]) -> Result<(), persist::Error> {
    let mut decoder = persist::Decoder::new(Limits::DEFAULT);
    let value = persist::dump::Payload::check(payload)?.decode(&mut decoder)?;
    let key = shard.key(key);
    value.put(shard, 0, key, Expiry::Clear);
    Ok(())
}

/// A payload of a value with its type, in a version.
pub fn payload(body: &[u8], version: u16) -> Bytes {
    let mut bytes = [body, &version.to_le_bytes()].concat();
    let crc = persist::crc64::update(0, &bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}
