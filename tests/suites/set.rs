//! Sets: what is drawn at random, and SSCAN while a set changes.

use crate::judged::{self, check};
use harness::connection::frame;
use harness::{Connection, Value};
use std::collections::{BTreeMap, HashSet};

#[test]
fn members_and_sets() {
    check(
        r#"
        == members
        > SADD k 3 1 2
        :3
        > SADD k 2
        :0
        > SMISMEMBER k 1 4
        [:1, :0]
        > SREM k 1 4
        :1
        > SMOVE k l 3
        :1
        > SPOP l
        "3"
        > EXISTS l
        :0
        > SRANDMEMBER k -3
        ["2", "2", "2"]
        > SSCAN k 0
        ["0", ["2"]]

        == two sets
        > SADD a 1 2 3
        :3
        > SADD b 2 3 4
        :3
        > SINTERSTORE c a b
        :2
        > SUNIONSTORE d a b
        :4
        > SDIFFSTORE e a b
        :1
        > SINTERCARD 2 a b LIMIT 1
        :1
        > SET s v
        +OK
        > SINTER a s
        -WRONGTYPE Operation against a key holding the wrong kind of value
        > SRANDMEMBER k x
        -ERR value is not an integer or out of range
        "#,
    );
}

/// The most compact encoding for such members, and the other two.
const LIMITS: [(&str, &str); 3] = [("512", "128"), ("0", "128"), ("0", "0")];

fn strings(reply: &Value) -> Vec<String> {
    reply.items().iter().map(Value::string).collect()
}

fn add(connection: &mut Connection, key: &str, members: impl Iterator<Item = usize>) {
    let members: Vec<String> = members.map(|i| i.to_string()).collect();
    for some in members.chunks(1000) {
        let words = [&["SADD".to_owned(), key.to_owned()], some].concat();
        assert!(!connection.call(&words).is_error());
    }
}

/// Whether counts of things that should be equally frequent are, by the chi-square statistic.
#[track_caller]
fn assert_equal(counts: &BTreeMap<String, usize>, kinds: usize) {
    assert_eq!(counts.len(), kinds);
    let each = counts.values().sum::<usize>() as f64 / kinds as f64;
    let chi: f64 = counts
        .values()
        .map(|count| (*count as f64 - each).powi(2) / each)
        .sum();
    let free = (kinds - 1) as f64;
    assert!(chi < free + 6.0 * (2.0 * free).sqrt() + 6.0, "{counts:?}");
}

#[test]
fn draws_are_members_each_as_often() {
    const MEMBERS: usize = 50;
    const CALLS: usize = 2000;
    let server = judged::start();
    let mut connection = server.connect();
    for (ints, pack) in LIMITS {
        connection.call(&["CONFIG", "SET", "set-max-intset-entries", ints]);
        connection.call(&["CONFIG", "SET", "set-max-listpack-entries", pack]);
        connection.line("DEL k");
        add(&mut connection, "k", 0..MEMBERS);
        for command in [
            "SRANDMEMBER k",
            "SRANDMEMBER k 2",
            "SRANDMEMBER k -2",
            "SRANDMEMBER k 40",
        ] {
            let words: Vec<&str> = command.split(' ').collect();
            let replies = connection.pipeline(&frame(&words).repeat(CALLS), CALLS);
            let mut counts = BTreeMap::new();
            for reply in &replies {
                let drawn = match reply {
                    Value::Array(_) => strings(reply),
                    _ => vec![reply.string()],
                };
                let distinct: HashSet<&String> = drawn.iter().collect();
                assert!(command.contains('-') || distinct.len() == drawn.len());
                for member in drawn {
                    *counts.entry(member).or_insert(0) += 1;
                }
            }
            assert_equal(&counts, MEMBERS);
        }
    }
}

#[test]
fn what_is_popped_is_gone_and_each_member_is_popped_as_often() {
    const MEMBERS: usize = 20;
    let server = judged::start();
    let mut connection = server.connect();
    for (ints, pack) in LIMITS {
        connection.call(&["CONFIG", "SET", "set-max-intset-entries", ints]);
        connection.call(&["CONFIG", "SET", "set-max-listpack-entries", pack]);
        let mut first = BTreeMap::new();
        for round in 0..400 {
            connection.line("DEL k");
            add(&mut connection, "k", 0..MEMBERS);
            let mut popped = vec![connection.line("SPOP k").string()];
            *first.entry(popped[0].clone()).or_insert(0) += 1;
            let count = (round % MEMBERS).to_string();
            popped.extend(strings(&connection.call(&["SPOP", "k", &count])));
            let left = strings(&connection.line("SMEMBERS k"));
            let all: HashSet<&String> = popped.iter().chain(&left).collect();
            assert_eq!((popped.len() + left.len(), all.len()), (MEMBERS, MEMBERS));
        }
        assert_equal(&first, MEMBERS);
    }
}

/// Members of a set that is too large for its commands to hold up a shard.
const MANY: usize = 40_000;

#[test]
fn a_large_set_is_the_same_as_a_small_one() {
    let server = judged::start();
    let mut connection = server.connect();
    let c = &mut connection;
    add(c, "a", 0..MANY);
    add(c, "b", MANY / 2..MANY * 2);
    let half = MANY / 2;
    for (command, from, to) in [
        ("SMEMBERS a", 0, MANY),
        ("SINTER a b", half, MANY),
        ("SUNION b a", 0, MANY * 2),
        ("SDIFF a b", 0, half),
        ("SRANDMEMBER a 1000000", 0, MANY),
    ] {
        let members: HashSet<String> = strings(&c.line(command)).into_iter().collect();
        let expected: HashSet<String> = (from..to).map(|i| i.to_string()).collect();
        assert!(members == expected, "{command}");
    }
    assert_eq!(c.line("SINTERCARD 2 a b"), Value::Int(half as i64));
    assert_eq!(c.line("SUNIONSTORE c a b"), Value::Int(2 * MANY as i64));
    assert_eq!(c.line("SDIFFSTORE c c b"), Value::Int(half as i64));
    let drawn = strings(&c.line("SRANDMEMBER a -30000"));
    assert_eq!(drawn.len(), 30_000);
    let again = strings(&c.line("SRANDMEMBER a -30000"));
    assert!(drawn != again, "two calls drew the same");
    let popped = strings(&c.line("SPOP a 39000"));
    let left = strings(&c.line("SMEMBERS a"));
    let all: HashSet<&String> = popped.iter().chain(&left).collect();
    assert_eq!((popped.len(), left.len(), all.len()), (39_000, 1000, MANY));
    assert_eq!(c.line("SPOP a 39000").items().len(), 1000);
    assert_eq!(c.line("EXISTS a"), Value::Int(0));
}

#[test]
fn a_walk_returns_what_stays_while_a_set_grows_and_shrinks() {
    let server = judged::start();
    let mut connection = server.connect();
    for (stay, come) in [(500, 20_000), (20_000, 0)] {
        connection.line("DEL k");
        add(&mut connection, "k", 0..stay);
        // Those above a thousand go during the walk.
        let lasting = stay.min(1000);
        let (mut cursor, mut seen, mut calls) = ("0".to_owned(), HashSet::new(), 0);
        loop {
            let reply = connection.call(&["SSCAN", "k", &cursor, "COUNT", "20"]);
            cursor = reply.items()[0].string();
            seen.extend(strings(&reply.items()[1]));
            if cursor == "0" {
                break;
            }
            let step = calls * 100..(calls + 1) * 100;
            if come > 0 && step.end <= come {
                add(&mut connection, "k", step.start + stay..step.end + stay);
            }
            if come == 0 && step.end + lasting <= stay {
                let gone = step.map(|i| (i + lasting).to_string());
                let words: Vec<String> = ["SREM".to_owned(), "k".to_owned()]
                    .into_iter()
                    .chain(gone)
                    .collect();
                connection.call(&words);
            }
            calls += 1;
        }
        for i in 0..lasting {
            assert!(seen.contains(&i.to_string()), "{i} of {stay}");
        }
        assert!(
            seen.iter()
                .all(|m| m.parse::<usize>().is_ok_and(|i| i < stay + come))
        );
    }
}
