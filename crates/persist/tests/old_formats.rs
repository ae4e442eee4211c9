//! Forms that servers have not written for a long time, built here byte by byte, in files of their versions.

mod values;

use persist::reader::Modules;
use persist::{Error, Event, Reader};
use std::collections::BTreeMap;
use store::access::Access;
use store::shard::Expiry;
use store::stream::Id;
use store::{Limits, Shard};
use values::*;

/// A string with its length, which is below 64 or in two bytes.
fn text(bytes: &[u8]) -> Bytes {
    match bytes.len() {
        len @ 0..64 => [&[len as u8], bytes].concat(),
        len => [&[0x40 | (len >> 8) as u8, len as u8], bytes].concat(),
    }
}

/// A ziplist of strings, or of integers with their heads.
fn ziplist(elements: &[&[u8]]) -> Bytes {
    let (mut entries, mut before, mut last) = (Vec::new(), 0, 10);
    for element in elements {
        last = 10 + entries.len();
        let from = entries.len();
        entries.push(before as u8);
        match element.first() {
            Some(head) if *head >= 0xc0 => entries.extend_from_slice(element),
            _ => {
                entries.push(element.len() as u8);
                entries.extend_from_slice(element);
            }
        }
        before = entries.len() - from;
    }
    let mut bytes = (entries.len() as u32 + 11).to_le_bytes().to_vec();
    bytes.extend((last as u32).to_le_bytes());
    bytes.extend((elements.len() as u16).to_le_bytes());
    bytes.extend(entries);
    bytes.push(0xff);
    bytes
}

/// A file of one version with what stands in it, whether it has a checksum or not.
fn file(version: u32, parts: &[&[u8]]) -> Bytes {
    let mut bytes = [
        &persist::writer::header(version)[..],
        &parts.concat(),
        &[0xff],
    ]
    .concat();
    if version >= 5 {
        let crc = persist::crc64::update(0, &bytes);
        bytes.extend(crc.to_le_bytes());
    }
    bytes
}

/// All keys of a file, in database 0 whatever they were in.
fn load(file: &[u8]) -> Shard {
    let mut shard = shard();
    let mut reader = Reader::new(file, Limits::DEFAULT).expect("it is a file");
    while let Some(event) = reader.next().expect("it is whole") {
        if let Event::Key(entry) = event {
            let key = shard.key(entry.key);
            let expiry = entry.expiry.map_or(Expiry::Clear, Expiry::At);
            entry.value.put(&mut shard, 0, key, expiry);
        }
    }
    shard
}

fn hash<const N: usize>(pairs: [(&str, &str); N]) -> Model {
    let fields = pairs.map(|(f, v)| (f.into(), (v.into(), None)));
    Model::Hash(fields.into())
}

fn list<const N: usize>(texts: [&str; N]) -> Model {
    Model::List(texts.map(|text| text.into()).to_vec())
}

fn zset<const N: usize>(pairs: [(&str, f64); N]) -> Model {
    Model::Zset(pairs.map(|(m, s)| (m.into(), s)).into())
}

fn set<const N: usize>(members: [&str; N]) -> Model {
    Model::Set(members.map(|m| m.into()).into())
}

/// The first version: no checksum, expiries in seconds, integers and compression already.
#[test]
fn a_file_of_redis_1() {
    let mut shard = load(&file(
        1,
        &[
            b"\xfe\0",
            b"\0\x01s\x05hello",
            b"\0\x01i\xc0\xfb",
            b"\0\x01j\xc1\x39\x30",
            b"\0\x01n\xc2\x15\xcd\x5b\x07",
            b"\0\x01c\xc3\x09\x40\x46\x01vv\xe0\x39\0\x01vv",
            b"\xfd\x00\x94\x35\x77\0\x01e\x01v",
            b"\x01\x01l\x03\x01a\xc0\x05\x01c",
            b"\x02\x01t\x02\x01a\x01b",
            b"\x03\x01z\x03\x01a\x031.5\x01b\xfe\x01c\xff",
            b"\x04\x01h\x01\x01f\xc0\x07",
            b"\xfe\x03",
            b"\0\x02s3\x01v",
        ],
    ));
    let wanted = [
        ("s", Model::Text(b"hello".to_vec()), "embstr"),
        ("i", Model::Text(b"-5".to_vec()), "int"),
        ("j", Model::Text(b"12345".to_vec()), "int"),
        ("n", Model::Text(b"123456789".to_vec()), "int"),
        ("c", Model::Text(vec![b'v'; 70]), "raw"),
        ("e", Model::Text(b"v".to_vec()), "embstr"),
        ("l", list(["a", "5", "c"]), "listpack"),
        ("t", set(["a", "b"]), "listpack"),
        (
            "z",
            zset([("a", 1.5), ("b", f64::INFINITY), ("c", f64::NEG_INFINITY)]),
            "listpack",
        ),
        ("h", hash([("f", "7")]), "listpack"),
        ("s3", Model::Text(b"v".to_vec()), "embstr"),
    ];
    for (key, model, encoding) in &wanted {
        assert_eq!(
            at(&mut shard, key.as_bytes()),
            (model.clone(), *encoding),
            "{key}"
        );
    }
    let key = shard.key(b"e");
    let item = shard.look(0, key, store::Look::Peek).expect("it is there");
    assert_eq!(item.expiry(), Some(2_000_000_000_000));
    assert_eq!(shard.len(0), wanted.len());
}

/// Packed collections of Redis 2.2 to 6.2.
#[test]
fn packed_forms() {
    let ints = b"\x02\0\0\0\x02\0\0\0\xff\xff\x07\0";
    let wide = [&[0xd0, 0x40, 0xe2, 0x01, 0][..], b"x", b"1.5", b"y", b"inf"];
    let nodes = [ziplist(&[b"a", &[0xf6]]), ziplist(&[]), ziplist(&[b"b"])];
    let mut shard = load(&file(
        9,
        &[
            &[
                b"\x09\x01m",
                &text(b"\x02\x01a\x03\0one\x02bb\x01\x02x--\xff")[..],
            ]
            .concat(),
            &[
                b"\x0a\x01l",
                &text(&ziplist(&[b"a", &[0xfe, 0x80], b"c"]))[..],
            ]
            .concat(),
            &[b"\x0b\x01i", &text(ints)[..]].concat(),
            &[
                b"\x0c\x01z",
                &text(&ziplist(&[b"a", &[0xf2], b"b", b"0.5"]))[..],
            ]
            .concat(),
            &[b"\x0d\x01h", &text(&ziplist(&[wide[0], b"x"]))[..]].concat(),
            &[
                b"\x0e\x01q\x03",
                &nodes.map(|node| text(&node)).concat()[..],
            ]
            .concat(),
            b"\x05\x02z2\x02\x01a\0\0\0\0\0\0\xf8\x3f\x01b\0\0\0\0\0\0\xf0\xbf",
        ],
    ));
    for (key, model, encoding) in [
        ("m", hash([("a", "one"), ("bb", "x")]), "listpack"),
        ("l", list(["a", "-128", "c"]), "listpack"),
        ("i", set(["-1", "7"]), "intset"),
        ("z", zset([("a", 1.0), ("b", 0.5)]), "listpack"),
        ("h", hash([("123456", "x")]), "listpack"),
        ("q", list(["a", "5", "b"]), "quicklist"),
        ("z2", zset([("a", 1.5), ("b", -1.0)]), "listpack"),
    ] {
        assert_eq!(at(&mut shard, key.as_bytes()), (model, encoding), "{key}");
    }
}

/// The nodes of a list that is short enough are one, and it is packed; what is too long is not.
#[test]
fn limits_are_those_of_now() {
    let many: Vec<Bytes> = (0..600).map(|i| format!("m{i:04}").into_bytes()).collect();
    let refs: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    let members = ziplist(&refs);
    let scored: Vec<&[u8]> = refs.iter().take(300).flat_map(|m| [*m, &[0xf2]]).collect();
    let mut shard = load(&file(
        9,
        &[
            &[b"\x0d\x01s", &text(&ziplist(&refs[..200]))[..]].concat(),
            &[
                b"\x0d\x01h",
                &text(&ziplist(&[&refs[..], &refs[..0]].concat()))[..],
            ]
            .concat(),
            &[b"\x0a\x01l", &text(&members)[..]].concat(),
            &[b"\x0c\x01z", &text(&ziplist(&scored))[..]].concat(),
        ],
    ));
    for (key, encoding) in [
        ("s", "listpack"),
        ("h", "listpack"),
        ("l", "listpack"),
        ("z", "skiplist"),
    ] {
        assert_eq!(at(&mut shard, key.as_bytes()).1, encoding, "{key}");
    }
}

/// Fields with expiries, in the forms of Redis 7.4 before and after its release, and of Valkey.
#[test]
fn fields_that_expire() {
    let ms = |at: i64| at.to_le_bytes();
    let wide = |at: i64| [&[0x81][..], &at.to_be_bytes()].concat();
    let soon = NOW_MS + 5;
    let fields: BTreeMap<_, _> = [
        (b"a".to_vec(), (b"1".to_vec(), Some(soon))),
        (b"b".to_vec(), (b"2".to_vec(), None)),
        (b"c".to_vec(), (b"3".to_vec(), Some(soon + 9))),
    ]
    .into();
    let pack = |order: &[(&[u8], u8, i64)]| {
        let mut pack = store::listpack::Listpack::new();
        for (field, value, at) in order {
            pack.push_back(field);
            pack.push_back(&[b'0' + value]);
            pack.push_back(at.to_string().as_bytes());
        }
        text(&pack.to_redis())
    };
    let sorted = pack(&[(b"a", 1, soon), (b"c", 3, soon + 9), (b"b", 2, 0)]);
    let mixed = pack(&[(b"b", 2, 0), (b"c", 3, soon + 9), (b"a", 1, soon)]);
    for (version, body, encoding) in [
        (
            12,
            [
                &b"\x16\x03"[..],
                &wide(soon),
                b"\x01a\xc0\x01\0\x01b\xc0\x02",
                &wide(soon + 9),
                b"\x01c\xc0\x03",
            ]
            .concat(),
            "hashtable",
        ),
        (
            12,
            [
                &b"\x18"[..],
                &ms(soon),
                b"\x03\x01\x01a\x011\0\x01b\x012\x0a\x01c\x013",
            ]
            .concat(),
            "hashtable",
        ),
        (
            80,
            [
                &b"\x16\x03\x01a\x011"[..],
                &ms(soon),
                b"\x01b\x012",
                &ms(-1),
                b"\x01c\x013",
                &ms(soon + 9),
            ]
            .concat(),
            "hashtable",
        ),
        (12, [&b"\x17"[..], &sorted].concat(), "listpackex"),
        (
            12,
            [&b"\x19"[..], &ms(soon), &sorted].concat(),
            "listpackex",
        ),
        (12, [&b"\x19"[..], &ms(soon), &mixed].concat(), "listpackex"),
    ] {
        let mut shard = shard();
        restore(&mut shard, b"k", &payload(&body, version)).expect("it is valid");
        let want = (Model::Hash(fields.clone()), encoding);
        assert_eq!(at(&mut shard, b"k"), want, "{body:x?}");
        if encoding == "listpackex" {
            let key = shard.key(b"k");
            shard.set_now(soon + 1);
            let hash = shard.read::<store::hash::Hash>(0, key, store::Look::Peek);
            let hash = hash.expect("it is a hash").expect("it is there");
            assert_eq!(hash.iter(soon + 1).count(), 2);
            assert_eq!(store::value::Collection::due_ms(&*hash), soon);
        }
    }
}

/// Streams in their first two forms know less, which is guessed as Redis does.
#[test]
fn streams_of_redis_5_and_7() {
    let mut pack = store::listpack::Listpack::new();
    for text in ["1", "0", "1", "f", "0", "2", "0", "0", "v", "4"] {
        pack.push_back(text.as_bytes());
    }
    let id = |ms: u64, seq: u64| [ms.to_be_bytes(), seq.to_be_bytes()].concat();
    let node = [text(&id(7, 1)), text(&pack.to_redis())].concat();
    let pending = [&id(7, 1)[..], &9i64.to_le_bytes(), b"\x02"].concat();
    let consumer = [&b"\x01c"[..], &8i64.to_le_bytes(), b"\x01", &id(7, 1)].concat();
    let group = |read: &[u8]| {
        [
            b"\x01g\x07\x01",
            read,
            b"\x01",
            &pending,
            b"\x01",
            &consumer,
        ]
        .concat()
    };
    let first = [&b"\x0f\x01"[..], &node, b"\x01\x07\x02\x01", &group(b"")].concat();
    let second = [
        &b"\x13\x01"[..],
        &node,
        b"\x01\x07\x02\x07\x01\x03\x04\x0a\x01",
        &group(b"\x05"),
    ]
    .concat();
    let model = |max_deleted_id, entries_added, entries_read| {
        let consumer = ConsumerModel {
            seen_ms: 8,
            active_ms: Some(8),
            pending: [(Id::new(7, 1), (9, 2))].into(),
        };
        let group = GroupModel {
            last_id: Id::new(7, 1),
            entries_read,
            consumers: [(b"c".to_vec(), consumer)].into(),
        };
        Model::Stream(StreamModel {
            entries: vec![(Id::new(7, 1), vec![(b"f".to_vec(), b"v".to_vec())])],
            last_id: Id::new(7, 2),
            max_deleted_id,
            entries_added,
            groups: [(b"g".to_vec(), group)].into(),
        })
    };
    for (body, want) in [
        (first, model(Id::MIN, 1, None)),
        (second, model(Id::new(3, 4), 10, Some(5))),
    ] {
        let mut shard = shard();
        restore(&mut shard, b"k", &payload(&body, 10)).expect("it is valid");
        assert_eq!(at(&mut shard, b"k").0, want);
        // Every byte counts for something.
        for len in 0..body.len() {
            assert!(
                restore(&mut shard, b"l", &payload(&body[..len], 10)).is_err(),
                "{len}"
            );
        }
    }
}

/// What stands between keys in files of clusters, of modules and of Valkey.
#[test]
fn what_is_passed_over() {
    let module = b"\x07\x01m\x81\x12\x34\x56\x78\x9a\xbc\xde\xf0\x01\x05\x02\x06\x04\0\0\0\0\0\0\0\0\x03\0\0\0\0\x05\x03abc\0";
    let aux = b"\xf7\x81\x12\x34\x56\x78\x9a\xbc\xde\xf0\x02\x01\x02\x07\0";
    let parts: &[&[u8]] = &[
        aux,
        b"\xf5\x04code",
        b"\xf4\x05\x02\x01",
        b"\xf8\x09\xfc\0\0\0\0\0\0\0\x01",
        module,
        b"\xf9\x0a\0\x01k\x01v",
    ];
    let bytes = file(12, parts);
    let skipping = || {
        let reader = Reader::new(&bytes[..], Limits::DEFAULT).expect("it is a file");
        reader.with_modules(Modules::Skip)
    };
    let mut reader = skipping();
    assert!(matches!(reader.next(), Ok(Some(Event::Function(b"code")))));
    assert!(matches!(
        reader.next(),
        Ok(Some(Event::Slot {
            slot: 5,
            keys: 2,
            volatile: 1
        }))
    ));
    match reader.next() {
        Ok(Some(Event::Key(entry))) => {
            assert_eq!((entry.key, entry.expiry), (&b"k"[..], None));
            assert_eq!(entry.access, Some(Access::Frequency(10)));
        }
        _ => panic!("there is a key"),
    }
    assert!(matches!(reader.next(), Ok(None)));
    assert_eq!(reader.skipped(), 1);
    let mut reader = Reader::new(&bytes[..], Limits::DEFAULT).expect("it is a file");
    match reader.next() {
        Err(Error::Module(name)) => assert_eq!(name, "EjRWeJq83"),
        _ => panic!("nobody knows the module"),
    }
    // A move of slots, whose opcode others use for something else.
    let import = b"\xf3\x04name\x01\0\x43\xff\0\x01k\x01v\xff";
    let valkey = [&b"VALKEY080"[..], import, &[0; 8]].concat();
    let mut reader = Reader::new(&valkey[..], Limits::DEFAULT).expect("it is a file");
    assert!(matches!(reader.next(), Ok(Some(Event::Key(_)))));
    let redis = [&b"REDIS0012"[..], import, &[0; 8]].concat();
    let mut reader = Reader::new(&redis[..], Limits::DEFAULT).expect("it is a file");
    assert!(reader.next().is_err());
}

/// A file may be the beginning of a longer one.
#[test]
fn what_stands_behind_is_left() {
    let bytes = [&file(9, &[b"\0\x01k\x01v"])[..], b"*1\r\n"].concat();
    let mut reader = Reader::new(&bytes[..], Limits::DEFAULT).expect("it is a file");
    while reader.next().expect("it is whole").is_some() {}
    assert_eq!(reader.position(), bytes.len() as u64 - 4);
    let (read, rest) = reader.into_rest();
    assert_eq!([&read, rest].concat(), b"*1\r\n");
}
