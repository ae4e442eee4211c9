//! Dumps go both ways between Shoal's code and real servers: values and files, of every type in every
//! encoding. A server that is not installed is left out.

#[path = "../../crates/persist/tests/values/mod.rs"]
mod values;

use harness::connection::Connection;
use harness::server::{Program, Server};
use harness::value::Value;
use persist::encode::Compression;
use persist::{Encoder, Error, Event, Reader, Writer};
use std::collections::BTreeMap;
use store::shard::Expiry;
use store::stream::Id;
use store::{Limits, Look, Shard};
use values::*;

/// A server to exchange dumps with.
struct Peer {
    program: Program,
    /// The newest version of Redis's that it knows.
    newest: u16,
    /// Whether its hashes have fields that expire.
    expires_fields: bool,
}

const PEERS: [Peer; 3] = [
    Peer {
        program: Program::Redis7,
        newest: 10,
        expires_fields: false,
    },
    Peer {
        program: Program::Redis8,
        newest: 12,
        expires_fields: true,
    },
    Peer {
        program: Program::Valkey,
        newest: 11,
        expires_fields: true,
    },
];

/// Runs a test with each server that is there.
fn with_peers(test: impl Fn(&Peer, &Server, &mut Connection)) {
    for peer in &PEERS {
        if let Err(why) = peer.program.path() {
            println!("{:?} is left out: {why}", peer.program);
            continue;
        }
        let server = Server::setup(peer.program).start();
        let mut connection = server.connect();
        test(peer, &server, &mut connection);
    }
}

fn bytes(value: &Value) -> Bytes {
    match value.text() {
        Some(text) => text.to_vec(),
        None => match value {
            Value::Int(n) => n.to_string().into_bytes(),
            other => panic!("no text: {other:?}"),
        },
    }
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) | Value::Set(values) => values,
        other => panic!("no array: {other:?}"),
    }
}

/// Two by two.
fn pairs(value: Value) -> Vec<(Bytes, Bytes)> {
    let all: Vec<_> = array(value).iter().map(bytes).collect();
    all.chunks(2)
        .map(|two| (two[0].clone(), two[1].clone()))
        .collect()
}

fn score(text: &[u8]) -> f64 {
    String::from_utf8_lossy(text)
        .parse()
        .expect("a score is a number")
}

fn id(text: &[u8]) -> Id {
    let text = String::from_utf8_lossy(text);
    let (ms, seq) = text.split_once('-').expect("an id has two parts");
    let number = |s: &str| s.parse().expect("a part is a number");
    Id::new(number(ms), number(seq))
}

/// What a server answers about a key, by the commands of its type. Of a stream's groups it asks the names.
fn asked(peer: &Peer, c: &mut Connection, key: &[u8]) -> Model {
    let mut ask = |words: &[&[u8]]| c.call(words);
    match &bytes(&ask(&[b"TYPE", key]))[..] {
        b"string" => Model::Text(bytes(&ask(&[b"GET", key]))),
        b"list" => {
            let texts = array(ask(&[b"LRANGE", key, b"0", b"-1"]));
            Model::List(texts.iter().map(bytes).collect())
        }
        b"set" => Model::Set(array(ask(&[b"SMEMBERS", key])).iter().map(bytes).collect()),
        b"zset" => {
            let all = pairs(ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]));
            Model::Zset(all.into_iter().map(|(m, s)| (m, score(&s))).collect())
        }
        b"hash" => {
            let all = pairs(ask(&[b"HGETALL", key]));
            let mut fields = BTreeMap::new();
            for (field, value) in all {
                let mut expiry = None;
                if peer.expires_fields {
                    let at = ask(&[b"HPEXPIRETIME", key, b"FIELDS", b"1", &field]);
                    expiry = match array(at).first() {
                        Some(Value::Int(at)) if *at >= 0 => Some(*at),
                        _ => None,
                    };
                }
                fields.insert(field, (value, expiry));
            }
            Model::Hash(fields)
        }
        b"stream" => {
            let entries = array(ask(&[b"XRANGE", key, b"-", b"+"]))
                .into_iter()
                .map(|entry| {
                    let mut parts = array(entry).into_iter();
                    let (at, fields) = (parts.next(), parts.next());
                    (
                        id(&bytes(&at.expect("an id"))),
                        pairs(fields.expect("fields")),
                    )
                });
            let entries = entries.collect();
            Model::Stream(StreamModel {
                entries,
                ..StreamModel::default()
            })
        }
        other => panic!("{key:?} is {other:?}"),
    }
}

/// What commands tell of a value.
fn told(model: Model) -> Model {
    match model {
        Model::Stream(stream) => Model::Stream(StreamModel {
            entries: stream.entries,
            ..StreamModel::default()
        }),
        other => other,
    }
}

/// Values of every type in every encoding, with what a server can do with them.
fn samples() -> Vec<(&'static str, Model)> {
    let text = |s: &str| s.as_bytes().to_vec();
    let names = |n: usize| (0..n).map(|i| format!("name:{i}").into_bytes());
    let at = |i: usize| i.is_multiple_of(2).then_some(4_000_000_000_000 + i as i64);
    let pair = |i: usize| (format!("value {i}").into_bytes(), None);
    let timed = |i: usize| (format!("value {i}").into_bytes(), at(i));
    let entries = |n: u64| {
        let fields = |i: u64| {
            let mut fields = vec![(text("f"), i.to_string().into_bytes())];
            if i.is_multiple_of(3) {
                fields.push((text("other"), vec![b'x'; i as usize]));
            }
            fields
        };
        (1..=n)
            .map(move |i| (Id::new(1000 + i / 2, i), fields(i)))
            .collect::<Vec<_>>()
    };
    let consumer = |active_ms, pending: &[u64]| ConsumerModel {
        seen_ms: NOW_MS,
        active_ms,
        pending: pending
            .iter()
            .map(|i| (Id::new(1000 + i / 2, *i), (NOW_MS - 1, 3)))
            .collect(),
    };
    let stream = |n: u64, groups: Vec<(&str, GroupModel)>| {
        Model::Stream(StreamModel {
            entries: entries(n),
            last_id: Id::new(5000, 1),
            max_deleted_id: Id::new(1000, 1),
            entries_added: n + 3,
            groups: groups
                .into_iter()
                .map(|(name, group)| (text(name), group))
                .collect(),
        })
    };
    let group = |consumers: Vec<(&str, ConsumerModel)>| GroupModel {
        last_id: Id::new(1002, 5),
        entries_read: Some(5),
        consumers: consumers
            .into_iter()
            .map(|(name, c)| (text(name), c))
            .collect(),
    };
    let same = consumer(Some(NOW_MS), &[1, 2]);
    vec![
        ("empty", Model::Text(vec![])),
        ("int8", Model::Text(text("-7"))),
        ("int16", Model::Text(text("12345"))),
        ("int32", Model::Text(text("-2147483648"))),
        ("int64", Model::Text(text("9223372036854775807"))),
        ("short", Model::Text(text("hello"))),
        ("binary", Model::Text((0..=255).collect())),
        ("compresses", Model::Text(vec![b'v'; 100_000])),
        ("noise", Model::Text(noise(1, 70_000))),
        (
            "list",
            Model::List(names(5).chain([text("12"), text("-70000")]).collect()),
        ),
        ("long list", Model::List(names(5000).collect())),
        (
            "large elements",
            Model::List(vec![
                text("a"),
                noise(2, 20_000),
                vec![b'z'; 50_000],
                text("b"),
            ]),
        ),
        (
            "ints",
            Model::Set(
                (0..100)
                    .map(|i: i64| (i * 1000).to_string().into_bytes())
                    .collect(),
            ),
        ),
        (
            "wide ints",
            Model::Set([text("1"), text("-9223372036854775808")].into()),
        ),
        ("set", Model::Set(names(50).collect())),
        ("big set", Model::Set(names(2000).collect())),
        (
            "hash",
            Model::Hash(names(20).enumerate().map(|(i, n)| (n, pair(i))).collect()),
        ),
        (
            "big hash",
            Model::Hash(names(2000).enumerate().map(|(i, n)| (n, pair(i))).collect()),
        ),
        (
            "zset",
            Model::Zset(
                names(20)
                    .enumerate()
                    .map(|(i, n)| (n, i as f64 / 3.0))
                    .collect(),
            ),
        ),
        (
            "big zset",
            Model::Zset(
                names(2000)
                    .enumerate()
                    .map(|(i, n)| (n, i as f64 / 7.0))
                    .collect(),
            ),
        ),
        (
            "infinite",
            Model::Zset([(text("a"), f64::INFINITY), (text("b"), f64::NEG_INFINITY)].into()),
        ),
        ("no stream", stream(0, vec![])),
        ("stream", stream(10, vec![])),
        ("long stream", stream(1000, vec![])),
        (
            "groups",
            stream(
                10,
                vec![
                    ("g", group(vec![("c", same.clone())])),
                    ("h", group(vec![])),
                ],
            ),
        ),
        (
            "newer groups",
            stream(
                10,
                vec![("g", group(vec![("c", same), ("d", consumer(None, &[]))]))],
            ),
        ),
        (
            "timed hash",
            Model::Hash(names(20).enumerate().map(|(i, n)| (n, timed(i))).collect()),
        ),
        (
            "big timed hash",
            Model::Hash(
                names(2000)
                    .enumerate()
                    .map(|(i, n)| (n, timed(i)))
                    .collect(),
            ),
        ),
    ]
}

fn version(payload: &[u8]) -> u16 {
    u16::from_le_bytes([payload[payload.len() - 10], payload[payload.len() - 9]])
}

#[test]
fn our_payloads_are_taken_and_come_back() {
    with_peers(|peer, _, c| {
        for (name, model) in samples() {
            let mut shard = shard();
            put(&mut shard, b"k", &model, Expiry::Clear, &Limits::DEFAULT);
            let payload = dump(&mut shard, b"k");
            let answer = c.call(&[b"RESTORE", name.as_bytes(), b"0", &payload]);
            if version(&payload) > peer.newest {
                let wrong =
                    Value::Error(b"ERR DUMP payload version or checksum are wrong".to_vec());
                assert_eq!(answer, wrong, "{name}");
                continue;
            }
            assert_eq!(answer, Value::ok(), "{:?}: {name}", peer.program);
            assert_eq!(
                asked(peer, c, name.as_bytes()),
                told(model.clone()),
                "{name}"
            );
            let theirs = bytes(&c.call(&[b"DUMP", name.as_bytes()]));
            restore(&mut shard, b"back", &theirs).expect("it is valid");
            let (back, encoding) = at(&mut shard, b"back");
            assert_eq!(back, model, "{:?}: {name}", peer.program);
            let their_encoding = bytes(&c.call(&[&b"OBJECT"[..], b"ENCODING", name.as_bytes()]));
            let their_encoding = String::from_utf8_lossy(&their_encoding).into_owned();
            // Redis 7.0 has no packed sets and lists.
            if peer.program == Program::Redis8 {
                assert_eq!(their_encoding, at(&mut shard, b"k").1, "{name}");
                assert_eq!(their_encoding, encoding, "{name}");
            }
        }
    });
}

/// Commands that make keys of every encoding, each line a command.
const THEIR_COMMANDS: &str = "
    SET text hello
    SET number 123456
    SETRANGE padded 3000 x
    RPUSH list a 1 -5 70000 9223372036854775807
    SADD ints 1 2 3
    SADD words a b c
    HSET hash f v g 2
    ZADD zset 1 a 1.5 b -inf c 1e30 d
    XADD stream 1-1 a 1
    XADD stream 1-2 a 2 b 3
    XADD stream 2-0 a 4
    XDEL stream 1-2
    XGROUP CREATE stream g 0
    XREADGROUP GROUP g c COUNT 1 STREAMS stream >
    XGROUP CREATECONSUMER stream g idle
    XGROUP CREATE stream h $
    XGROUP CREATE nothing g $ MKSTREAM
    SETBIT bits 100000 1
    PFADD sketch a b c d e
    GEOADD places 13.361389 38.115556 Palermo";

/// Makes keys with commands; `expiring` ones too if the server can.
fn fill(peer: &Peer, c: &mut Connection) {
    for line in THEIR_COMMANDS.lines().filter(|line| !line.is_empty()) {
        let answer = c.line(line.trim());
        assert!(!matches!(answer, Value::Error(_)), "{line}: {answer:?}");
    }
    for i in 0..1000 {
        let n = i.to_string();
        for words in [
            ["RPUSH", "long list", &n, ""],
            ["SADD", "big set", &format!("m{n}"), ""],
            ["SADD", "many ints", &n, ""],
            ["HSET", "big hash", &n, &n],
            ["ZADD", "big zset", &n, &format!("m{n}")],
        ] {
            let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
            c.call(&words);
        }
        c.call(&["XADD", "long stream", "*", "n", &n]);
    }
    c.call(&[&b"RPUSH"[..], b"large", &[b'x'; 30_000], b"small"]);
    c.call(&[&b"HSET"[..], b"wide hash", b"f", &[b'x'; 100]]);
    if peer.expires_fields {
        for key in ["timed", "big timed"] {
            for i in 0..if key == "timed" { 5 } else { 1000 } {
                c.call(&["HSET", key, &i.to_string(), "v"]);
            }
            for (at, fields) in [("4000000000000", ["1", "3"]), ("4000000000009", ["2", "3"])] {
                let words = ["HPEXPIREAT", key, at, "FIELDS", "2", fields[0], fields[1]];
                let answer = c.call(&words);
                assert!(!answer.is_error(), "{answer:?}");
            }
        }
    }
}

fn keys(c: &mut Connection) -> Vec<Bytes> {
    array(c.line("KEYS *")).iter().map(bytes).collect()
}

#[test]
fn their_payloads_are_taken() {
    with_peers(|peer, _, c| {
        fill(peer, c);
        let mut shard = shard();
        for key in keys(c) {
            let payload = bytes(&c.call(&[b"DUMP", &key[..]]));
            let name = String::from_utf8_lossy(&key);
            restore(&mut shard, &key, &payload)
                .unwrap_or_else(|e| panic!("{:?}: {name}: {e}", peer.program));
            let (model, encoding) = at(&mut shard, &key);
            assert_eq!(
                told(model),
                asked(peer, c, &key),
                "{:?}: {name}",
                peer.program
            );
            if peer.program == Program::Redis8 {
                let theirs = bytes(&c.call(&[&b"OBJECT"[..], b"ENCODING", &key]));
                let theirs = String::from_utf8_lossy(&theirs);
                // How a string came about is not in its payload.
                if !matches!(&*name, "padded" | "bits" | "sketch") {
                    assert_eq!(theirs, encoding, "{name}");
                }
            }
            // What is pending and seen is only in dumps.
            let again = dump(&mut shard, &key);
            if version(&again) <= peer.newest {
                let answer = c.call(&[b"RESTORE", &key[..], b"0", &again, b"REPLACE"]);
                assert_eq!(answer, Value::ok(), "{:?}: {name}", peer.program);
                let back = bytes(&c.call(&[b"DUMP", &key[..]]));
                let mut other = values::shard();
                restore(&mut other, &key, &back).expect("it is valid");
                assert_eq!(at(&mut other, &key), at(&mut shard, &key), "{name}");
            }
        }
    });
}

/// Keys by database and name, with values and expiries.
type Keys = BTreeMap<(u64, Bytes), (Model, Option<i64>)>;

/// The keys of a file.
fn load(file: &[u8]) -> Result<Keys, Error> {
    let mut reader = Reader::new(file, Limits::DEFAULT)?;
    let mut found = BTreeMap::new();
    let mut shard = shard();
    while let Some(event) = reader.next()? {
        if let Event::Key(entry) = event {
            let key = shard.key(b"k");
            entry.value.put(&mut shard, 0, key, Expiry::Clear);
            let model = at(&mut shard, b"k").0;
            found.insert((entry.db, entry.key.to_vec()), (model, entry.expiry));
        }
    }
    Ok(found)
}

#[test]
fn their_files_are_read() {
    with_peers(|peer, server, c| {
        for compress in ["yes", "no"] {
            c.line(&format!("CONFIG SET rdbcompression {compress}"));
            c.line("FLUSHALL");
            fill(peer, c);
            c.line("SET volatile v PXAT 4000000000001");
            c.line("SELECT 9");
            c.line("SET nine v");
            c.line("SELECT 0");
            assert_eq!(c.line("SAVE"), Value::ok());
            let file = std::fs::read(server.directory().join("dump.rdb")).expect("it was saved");
            let mut found = load(&file).expect("it is valid");
            let nine = found.remove(&(9, b"nine".to_vec()));
            assert_eq!(nine, Some((Model::Text(b"v".to_vec()), None)));
            let names = keys(c);
            assert_eq!(found.len(), names.len());
            for key in names {
                let (model, expiry) = found.remove(&(0, key.clone())).expect("it is there");
                assert_eq!(told(model), asked(peer, c, &key));
                assert_eq!(expiry, (key == b"volatile").then_some(4_000_000_000_001));
            }
        }
    });
}

/// A file of all samples that a version knows, each compressed or not, in chunks.
fn file(newest: u16, compression: Compression) -> (Bytes, BTreeMap<Bytes, Model>) {
    let mut shard = shard();
    let mut written = BTreeMap::new();
    for (name, model) in samples() {
        put(
            &mut shard,
            name.as_bytes(),
            &model,
            Expiry::Clear,
            &Limits::DEFAULT,
        );
        if version(&dump(&mut shard, name.as_bytes())) > newest {
            let key = shard.key(name.as_bytes());
            shard.remove(0, key);
        } else {
            written.insert(name.as_bytes().to_vec(), model);
        }
    }
    let mut encoder = Encoder::new(compression);
    let mut writer = Writer::new(Vec::new(), newest.into()).expect("a vector takes all");
    encoder.aux("redis-ver", b"7.2.4");
    encoder.aux("redis-bits", b"64");
    encoder.function(b"#!lua name=ours\nredis.register_function('f', function() return 7 end)");
    encoder.select(0);
    encoder.resize(shard.len(0), 1);
    writer.chunk(&encoder.take()).expect("a vector takes all");
    shard.for_each(0, |item| {
        encoder.key(&item, Some(shard.stamp()));
        writer.chunk(&encoder.take()).expect("a vector takes all");
    });
    let mut other: Shard = values::shard();
    let model = Model::Text(b"v".to_vec());
    put(
        &mut other,
        b"volatile",
        &model,
        Expiry::At(4_000_000_000_001),
        &Limits::DEFAULT,
    );
    encoder.select(3);
    let key = other.key(b"volatile");
    let item = other.look(0, key, Look::Peek).expect("it is there");
    encoder.key(&item, None);
    writer.chunk(&encoder.take()).expect("a vector takes all");
    let bytes = writer.finish().expect("a vector takes all");
    (bytes, written)
}

#[test]
fn our_files_are_loaded() {
    with_peers(|peer, server, c| {
        for compression in [Compression::Lzf, Compression::None] {
            let (bytes_of_file, written) = file(peer.newest, compression);
            let path = server.directory().join("dump.rdb");
            std::fs::write(path, &bytes_of_file).expect("it can be written");
            let answer = c.line("DEBUG RELOAD NOSAVE");
            assert_eq!(answer, Value::ok(), "{:?}", peer.program);
            assert_eq!(c.line("DBSIZE"), Value::Int(written.len() as i64));
            for (key, model) in written {
                assert_eq!(asked(peer, c, &key), told(model), "{:?}", peer.program);
            }
            assert_eq!(c.line("FCALL f 0"), Value::Int(7));
            c.line("SELECT 3");
            assert_eq!(
                c.line("PEXPIRETIME volatile"),
                Value::Int(4_000_000_000_001)
            );
            c.line("SELECT 0");
        }
    });
}
