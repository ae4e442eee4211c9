//! Hashes: drawing fields, walking over them, and fields that go away by themselves.

use crate::judged;
use harness::connection::frame;
use harness::server::until;
use harness::{Connection, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Fills `small`, a listpack, and `big`, a table; answers how many fields they have.
fn fill(connection: &mut Connection) -> [(&'static str, usize); 2] {
    let hashes = [("small", 50), ("big", 2000)];
    for (key, fields) in hashes {
        let sets = (0..fields).flat_map(|i| {
            let (field, value) = (format!("f{i}"), i.to_string());
            frame(&["HSET", key, &field, &value])
        });
        let bytes: Vec<u8> = sets.collect();
        for reply in connection.pipeline(&bytes, fields) {
            assert_eq!(reply, Value::Int(1));
        }
    }
    hashes
}

fn names(reply: &Value) -> Vec<String> {
    reply.items().iter().map(Value::string).collect()
}

#[test]
fn drawn_fields_are_fields_and_as_many_as_asked_for() {
    let server = judged::start();
    let mut connection = server.connect();
    for (key, fields) in fill(&mut connection) {
        let mut seen = BTreeSet::new();
        for count in [1, 7, fields / 2, fields - 1, fields, fields + 10] {
            let drawn = names(&connection.call(&["HRANDFIELD", key, &count.to_string()]));
            let different: BTreeSet<_> = drawn.iter().cloned().collect();
            assert_eq!(drawn.len(), count.min(fields));
            assert_eq!(different.len(), drawn.len());
            seen.extend(different);
        }
        assert_eq!(seen.len(), fields);
        assert!(seen.iter().all(|field| field.starts_with('f')));
        for count in ["-60", "60"] {
            let drawn = connection.call(&["HRANDFIELD", key, count, "WITHVALUES"]);
            for pair in names(&drawn).chunks(2) {
                assert_eq!(pair[0], format!("f{}", pair[1]));
            }
        }
        assert!(seen.contains(&connection.call(&["HRANDFIELD", key]).string()));
    }
}

#[test]
fn every_field_is_drawn_about_as_often() {
    let server = judged::start();
    let mut connection = server.connect();
    fill(&mut connection);
    for i in 20..2000 {
        connection.call(&["HDEL", "big", &format!("f{i}")]);
    }
    // Half of them with an expiry, which makes no difference.
    for i in 0..10 {
        connection.call(&["HEXPIRE", "big", "1000", "FIELDS", "1", &format!("f{i}")]);
    }
    for (key, fields) in [("small", 50), ("big", 20)] {
        let drawn = names(&connection.call(&["HRANDFIELD", key, "-20000"]));
        let mut counts = BTreeMap::new();
        for field in drawn {
            *counts.entry(field).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), fields);
        let usual = 20_000 / fields;
        let is_usual = |count: &usize| (usual * 2 / 3..usual * 3 / 2).contains(count);
        assert!(counts.values().all(is_usual), "{key}: {counts:?}");
    }
}

#[test]
fn a_walk_returns_fields_that_stay_while_others_come_and_go() {
    let server = judged::start();
    let mut connection = server.connect();
    fill(&mut connection);
    let mut seen = BTreeSet::new();
    let (mut cursor, mut round) = ("0".to_owned(), 0);
    loop {
        let reply = connection.call(&["HSCAN", "big", &cursor, "COUNT", "50"]);
        let items = reply.items();
        seen.extend(names(&items[1]).into_iter().step_by(2));
        cursor = items[0].string();
        if cursor == "0" {
            break;
        }
        for i in 0..100 {
            connection.call(&["HSET", "big", &format!("other:{round}:{i}"), "v"]);
            if round > 5 {
                connection.call(&["HDEL", "big", &format!("other:{}:{i}", round - 5)]);
            }
        }
        // Fields that get an expiry stay too.
        let (one, two) = (format!("f{}", round * 7), format!("f{}", 1999 - round * 7));
        connection.call(&["HEXPIRE", "big", "1000", "FIELDS", "2", &one, &two]);
        round += 1;
    }
    let stayed = seen.iter().filter(|field| field.starts_with('f')).count();
    assert_eq!(stayed, 2000);
}

/// Nobody looks at the fields, so only the server's own round can remove them.
#[test]
fn due_fields_go_away_unread() {
    let server = judged::start();
    let mut connection = server.connect();
    for (key, fields) in fill(&mut connection) {
        for i in 0..fields - 3 {
            connection.call(&["HPEXPIRE", key, "1", "FIELDS", "1", &format!("f{i}")]);
        }
        until("due fields to be removed", || {
            (connection.call(&["HLEN", key]) == Value::Int(3)).then_some(())
        });
        for i in fields - 3..fields {
            connection.call(&["HPEXPIRE", key, "1", "FIELDS", "1", &format!("f{i}")]);
        }
    }
    until("keys without fields to be removed", || {
        (connection.line("DBSIZE") == Value::Int(0)).then_some(())
    });
}

/// Wherever a hash has gone, its fields are found.
#[test]
fn due_fields_are_found_in_hashes_that_were_moved() {
    let server = judged::start();
    let mut connection = server.connect();
    for (key, _) in fill(&mut connection) {
        let soon = ["HPEXPIRE", key, "300", "FIELDS", "2", "f0", "f1"];
        connection.call(&soon);
    }
    for (line, want) in [
        ("COPY small copy", Value::Int(1)),
        ("RENAME small renamed", Value::ok()),
        ("RENAME big other", Value::ok()),
        ("MOVE other 1", Value::Int(1)),
        ("SWAPDB 1 2", Value::ok()),
    ] {
        assert_eq!(connection.line(line), want, "{line}");
    }
    for (db, key, left) in [
        ("0", "copy", 48),
        ("0", "renamed", 48),
        ("2", "other", 1998),
    ] {
        connection.call(&["SELECT", db]);
        until("due fields to be removed", || {
            (connection.call(&["HLEN", key]) == Value::Int(left)).then_some(())
        });
    }
}

#[test]
fn fields_stay_while_active_expiry_is_off() {
    let server = judged::start();
    let mut connection = server.connect();
    connection.line("DEBUG SET-ACTIVE-EXPIRE 0");
    connection.line("HSET k a 1 b 2");
    connection.line("HPEXPIRE k 1 FIELDS 1 a");
    until("the field to be hidden", || {
        (connection.line("HEXISTS k a") == Value::Int(0)).then_some(())
    });
    assert_eq!(connection.line("HLEN k"), Value::Int(2));
    assert_eq!(connection.line("HSETNX k a 2"), Value::Int(1));
    assert_eq!(connection.line("HLEN k"), Value::Int(2));
    connection.line("DEBUG SET-ACTIVE-EXPIRE 1");
}
