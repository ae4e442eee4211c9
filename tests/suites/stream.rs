//! Streams.

use crate::judged::{self, check};
use harness::Value;

#[test]
fn entries_and_groups() {
    check(
        r#"
        == entries
        > XADD s 1-1 name Ada age 36
        "1-1"
        > XADD s 1-* name Bob
        "1-2"
        > XADD s * name Cid
        _
        > XRANGE s - 1-2
        [["1-1", ["name", "Ada", "age", "36"]], ["1-2", ["name", "Bob"]]]
        > XREVRANGE s 1-1 -
        [["1-1", ["name", "Ada", "age", "36"]]]
        > XREAD COUNT 1 STREAMS s 1-1
        _
        > XADD s 1-1 f v
        -ERR The ID specified in XADD is equal or smaller than the target stream top item
        > XREAD STREAMS missing 0
        nil

        == groups
        > XGROUP CREATE s g 0 MKSTREAM
        +OK
        > XADD s 1-1 f v
        "1-1"
        > XREADGROUP GROUP g c STREAMS s >
        _
        > XREADGROUP GROUP g c STREAMS s >
        nil
        > XPENDING s g
        [:1, "1-1", "1-1", [["c", "1"]]]
        > XACK s g 1-1
        :1
        > XPENDING s g
        [:0, nil, nil, nil]

        == policies of references
        > XADD s 1-1 f v
        "1-1"
        > XGROUP CREATE s g 0
        +OK
        > XDELEX s ACKED IDS 1 1-1
        [:2]
        > XREADGROUP GROUP g c STREAMS s >
        _
        > XTRIM s MAXLEN 0 ACKED
        :0
        > XACKDEL s g ACKED IDS 2 1-1 2-2
        [:1, :-1]
        > XLEN s
        :0
        > XDELEX missing IDS 1 1-1
        [:-1]
        "#,
    );
}

/// Streams on several shards are read as one: what a group was given in one is not forgotten because
/// of another.
#[test]
fn groups_remember_what_they_read_of_many_streams() {
    const STREAMS: usize = 12;
    let server = judged::start();
    let mut connection = server.connect();
    let names: Vec<String> = (0..STREAMS).map(|i| format!("stream:{i}")).collect();
    for name in &names {
        let create = ["XGROUP", "CREATE", name, "g", "0", "MKSTREAM"];
        assert_eq!(connection.call(&create), Value::ok());
    }
    let mut call = vec!["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS"];
    call.extend(names.iter().map(String::as_str));
    call.extend(names.iter().map(|_| ">"));
    assert!(connection.call(&call).is_null());
    for (i, name) in names.iter().enumerate() {
        for seq in 1..=i {
            let id = format!("1-{seq}");
            connection.call(&["XADD", name, &id, "f", "v"]);
        }
    }
    for round in 1..=STREAMS {
        let reply = connection.call(&call);
        // Each round takes one entry of every stream that still has one.
        match STREAMS - round {
            0 => assert!(reply.is_null(), "{reply}"),
            left => assert_eq!(reply.items().len(), left),
        }
    }
    for (i, name) in names.iter().enumerate() {
        let pending = connection.call(&["XPENDING", name, "g"]);
        assert_eq!(pending.items()[0], Value::Int(i as i64), "{name}");
        let consumers = connection.call(&["XINFO", "CONSUMERS", name, "g"]);
        assert_eq!(consumers.items().len(), 1, "{name}");
    }
}

/// A stream of many nodes comes back whole, from either end and in pieces, and goes away in slices.
#[test]
fn long_streams_come_back_and_go_away() {
    const ENTRIES: usize = 20_000;
    let server = judged::start();
    let mut connection = server.connect();
    for i in 0..ENTRIES {
        let id = format!("{}-{}", 1 + i / 7, i % 7 + 1);
        let value = i.to_string();
        assert_eq!(
            connection.call(&["XADD", "s", &id, "n", &value]).string(),
            id
        );
    }
    let numbers = |reply: &Value| -> Vec<usize> {
        let number = |entry: &Value| entry.items()[1].items()[1].string();
        let numbers = reply.items().iter().map(number);
        numbers.map(|n| n.parse().expect("a number")).collect()
    };
    let all: Vec<usize> = (0..ENTRIES).collect();
    assert_eq!(numbers(&connection.call(&["XRANGE", "s", "-", "+"])), all);
    let mut back = numbers(&connection.call(&["XREVRANGE", "s", "+", "-"]));
    back.reverse();
    assert_eq!(back, all);
    let mut pieces = Vec::new();
    let mut start = "-".to_owned();
    loop {
        let reply = connection.call(&["XRANGE", "s", &start, "+", "COUNT", "333"]);
        let Some(last) = reply.items().last() else {
            break;
        };
        start = format!("({}", last.items()[0].string());
        pieces.extend(numbers(&reply));
    }
    assert_eq!(pieces, all);
    assert_eq!(connection.call(&["UNLINK", "s"]), Value::Int(1));
    assert_eq!(connection.call(&["XLEN", "s"]), Value::Int(0));
}
