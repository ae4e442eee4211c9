//! Lists.

use crate::judged::{self, check};
use harness::{Connection, Value};

#[test]
fn elements_at_both_ends_and_between() {
    check(
        r#"
        == a queue
        > LPUSH k a b c
        :3
        > RPOP k
        "a"
        > RPUSH k 1 2
        :4
        > LRANGE k 0 -1
        ["c", "b", "1", "2"]
        > LPOP k 2
        ["c", "b"]
        > LPOP k 9
        ["1", "2"]
        > LPOP k
        nil
        > EXISTS k
        :0

        == places
        > RPUSH k a b c d
        :4
        > LSET k -1 D
        +OK
        > LINSERT k BEFORE b x
        :5
        > LPOS k c
        :3
        > LREM k 0 x
        :1
        > LTRIM k 1 2
        +OK
        > LRANGE k 0 -1
        ["b", "c"]
        > LINDEX k 1
        "c"

        == from one list to another
        > RPUSH a 1 2 3
        :3
        > RPOPLPUSH a b
        "3"
        > LMOVE a b LEFT RIGHT
        "1"
        > LRANGE b 0 -1
        ["3", "1"]
        > LMPOP 2 none b RIGHT COUNT 5
        ["b", ["1", "3"]]
        > SET s v
        +OK
        > RPOPLPUSH a s
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > LLEN a
        :1
        "#,
    );
}

/// Elements of a list that is too long for its commands to hold up a shard.
const MANY: usize = 50_000;

/// The element at an index.
fn named(i: usize) -> String {
    format!("element {i}")
}

fn fill(connection: &mut Connection) {
    connection.call(&["DEL", "k"]);
    for start in (0..MANY).step_by(1000) {
        let names = (start..start + 1000).map(named);
        let words: Vec<String> = ["RPUSH".to_owned(), "k".to_owned()]
            .into_iter()
            .chain(names)
            .collect();
        connection.call(&words);
    }
    assert_eq!(connection.line("LLEN k"), Value::Int(MANY as i64));
}

/// What LRANGE of so many elements answers.
fn names(range: impl Iterator<Item = usize>) -> Value {
    Value::Array(range.map(|i| Value::bulk(named(i))).collect())
}

#[test]
fn a_long_list_is_the_same_as_a_short_one() {
    let server = judged::start();
    let mut connection = server.connect();
    let c = &mut connection;
    fill(c);
    assert_eq!(c.line("OBJECT ENCODING k"), Value::bulk("quicklist"));
    assert_eq!(c.line("LRANGE k 0 -1"), names(0..MANY));
    assert_eq!(c.line("LRANGE k 10 -11"), names(10..MANY - 10));
    assert_eq!(c.line("LRANGE k 31000 31099"), names(31_000..31_100));
    assert_eq!(c.line("LINDEX k 31000"), Value::bulk(named(31_000)));
    let last = named(MANY - 1);
    assert_eq!(c.call(&["LPOS", "k", &last]), Value::Int(MANY as i64 - 1));
    assert_eq!(
        c.call(&["LINSERT", "k", "BEFORE", &last, "x"]),
        Value::Int(MANY as i64 + 1)
    );
    assert_eq!(c.call(&["LREM", "k", "-1", "x"]), Value::Int(1));
    assert_eq!(c.call(&["LREM", "k", "0", &named(20_000)]), Value::Int(1));
    assert_eq!(
        c.call(&["LINSERT", "k", "AFTER", &named(19_999), &named(20_000)]),
        Value::Int(MANY as i64)
    );
    assert_eq!(c.line("LPOP k 20000"), names(0..20_000));
    assert_eq!(c.line("RPOP k 5000"), names((MANY - 5000..MANY).rev()));
    let popped = Value::Array(vec![Value::bulk("k"), names(20_000..38_000)]);
    assert_eq!(c.line("LMPOP 2 none k LEFT COUNT 18000"), popped);
    assert_eq!(c.line("LRANGE k 0 -1"), names(38_000..MANY - 5000));
    fill(c);
    assert_eq!(c.line("LTRIM k 24990 25009"), Value::ok());
    assert_eq!(c.line("LRANGE k 0 -1"), names(24_990..25_010));
    assert_eq!(c.line("OBJECT ENCODING k"), Value::bulk("listpack"));
    fill(c);
    assert_eq!(c.line("LTRIM k 1 0"), Value::ok());
    assert_eq!(c.line("EXISTS k"), Value::Int(0));
    fill(c);
    assert_eq!(c.line("RPOPLPUSH k other"), Value::bulk(&last));
    assert_eq!(c.line("COPY k copy"), Value::Int(1));
    assert_eq!(c.line("LRANGE copy 0 -1"), names(0..MANY - 1));
    assert_eq!(c.line("DEL k copy"), Value::Int(2));
}
