//! Bitmaps.

use crate::judged::{self, check};
use harness::{Seed, Value};

#[test]
fn bits_and_fields() {
    check(
        r#"
        == bits
        > SETBIT k 7 1
        :0
        > GETBIT k 7
        :1
        > GET k
        "\x01"
        > BITCOUNT k
        :1
        > BITPOS k 1
        :7
        > SETBIT k 4294967296 1
        -ERR bit offset is not an integer or out of range
        > SETBIT k 1 2
        -ERR bit is not an integer or out of range

        == operators
        > MSET a "\x0f" b "\xff\xff"
        +OK
        > BITOP AND d a b
        :2
        > GET d
        "\x0f\x00"
        > BITOP NOT d a b
        -ERR BITOP NOT must be called with a single source key.

        == fields
        > BITFIELD k SET u8 0 255 GET i8 0 INCRBY u8 0 1
        [:0, :-1, :0]
        > BITFIELD k OVERFLOW FAIL INCRBY u2 8 5
        [nil]
        > BITFIELD k GET u64 0
        -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        "#,
    );
}

/// Counting and searching go by words in the middle and by bytes at the ends; a model that goes bit
/// by bit has no such seams.
#[test]
fn counts_and_positions_agree_with_a_model() {
    let server = judged::start();
    let mut connection = server.connect();
    let mut seed = Seed::new(7);
    for round in 0..40 {
        let length = 1 + seed.below(200);
        let fill = *seed.pick(&[0x00, 0xff, 0x10]);
        let mut bytes = vec![fill; length];
        for _ in 0..seed.below(4) {
            let at = seed.below(length);
            bytes[at] = seed.number() as u8;
        }
        let bit = |i: usize| bytes[i / 8] >> (7 - i % 8) & 1;
        connection.call(&[b"SET", &b"k"[..], &bytes]);
        for _ in 0..20 {
            let (a, b) = (seed.below(length * 8), seed.below(length * 8));
            let (from, to) = (a.min(b), a.max(b));
            let range = [from.to_string(), to.to_string()];
            let count = (from..=to).filter(|i| bit(*i) == 1).count() as i64;
            let reply = connection.call(&["BITCOUNT", "k", &range[0], &range[1], "BIT"]);
            assert_eq!(
                reply,
                Value::Int(count),
                "round {round}, {range:?} of {bytes:?}"
            );
            for wanted in [0, 1] {
                let first = (from..=to)
                    .find(|i| bit(*i) == wanted)
                    .map_or(-1, |i| i as i64);
                let text = wanted.to_string();
                let reply = connection.call(&["BITPOS", "k", &text, &range[0], &range[1], "BIT"]);
                assert_eq!(
                    reply,
                    Value::Int(first),
                    "round {round}, {range:?} of {bytes:?}"
                );
            }
        }
    }
}

/// The operators that came after Redis 7, against their definition bit by bit: `X` is the first
/// source, `Y` the others.
#[test]
fn newer_operators_agree_with_their_definition() {
    let server = judged::start();
    let mut connection = server.connect();
    if connection.line("BITOP DIFF dest a b").is_error() {
        return println!("skipped: no BITOP DIFF");
    }
    type Operator = fn(bool, usize) -> bool;
    let operators: [(&str, Operator); 4] = [
        ("DIFF", |x, others| x && others == 0),
        ("DIFF1", |x, others| !x && others > 0),
        ("ANDOR", |x, others| x && others > 0),
        ("ONE", |x, others| usize::from(x) + others == 1),
    ];
    let mut seed = Seed::new(11);
    for _ in 0..60 {
        let count = 2 + seed.below(4);
        let mut sources = Vec::new();
        for i in 0..count {
            let length = seed.below(100);
            let bytes = seed.bytes(length);
            let key = format!("source:{i}");
            connection.call(&[b"SET", key.as_bytes(), &bytes]);
            sources.push((key, bytes));
        }
        let longest = sources.iter().map(|(_, b)| b.len()).max().unwrap_or(0);
        let bit = |source: usize, i: usize| {
            let byte = sources[source].1.get(i / 8).copied().unwrap_or(0);
            byte >> (7 - i % 8) & 1 == 1
        };
        for (name, operator) in operators {
            let mut expected = vec![0; longest];
            for i in 0..longest * 8 {
                let others = (1..count).filter(|source| bit(*source, i)).count();
                expected[i / 8] |= u8::from(operator(bit(0, i), others)) << (7 - i % 8);
            }
            let mut words = vec!["BITOP", name, "dest"];
            words.extend(sources.iter().map(|(key, _)| key.as_str()));
            assert_eq!(
                connection.call(&words),
                Value::Int(longest as i64),
                "{words:?}"
            );
            let reply = connection.line("GET dest");
            match longest {
                0 => assert!(reply.is_null()),
                _ => assert_eq!(reply, Value::Bulk(expected), "{name} of {sources:?}"),
            }
        }
    }
}
