//! SCAN's guarantees: a key that is there from the first call to the last is returned, a key that
//! was never there is not, however the table grows and shrinks meanwhile.

use crate::judged;
use harness::connection::frame;
use harness::{Connection, Seed, Value, scaled};
use std::collections::HashSet;

/// One call: the next cursor and the keys.
fn scan(connection: &mut Connection, cursor: &str, options: &[&str]) -> (String, Vec<String>) {
    let words = [&["SCAN", cursor], options].concat();
    let reply = connection.call(&words);
    let items = reply.items();
    (
        items[0].string(),
        items[1].items().iter().map(Value::string).collect(),
    )
}

fn scan_all(connection: &mut Connection, options: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let (next, keys) = scan(connection, &cursor, options);
        all.extend(keys);
        if next == "0" {
            return all;
        }
        cursor = next;
    }
}

fn on_keys(connection: &mut Connection, verb: &[&str], keys: impl Iterator<Item = String>) {
    let mut count = 0;
    let mut bytes = Vec::new();
    for key in keys {
        let words = [&[verb[0], &key], &verb[1..]].concat();
        bytes.extend(frame(&words));
        count += 1;
    }
    for reply in connection.pipeline(&bytes, count) {
        assert!(!reply.is_error(), "{reply}");
    }
}

#[test]
fn every_key_is_returned_whatever_the_count() {
    let server = judged::start();
    let mut connection = server.connect();
    on_keys(
        &mut connection,
        &["SET", "v"],
        (0..2000).map(|i| format!("key:{i}")),
    );
    for count in ["1", "7", "10", "100", "1000", "100000"] {
        let keys = scan_all(&mut connection, &["COUNT", count]);
        let distinct: HashSet<&String> = keys.iter().collect();
        assert_eq!(distinct.len(), 2000, "COUNT {count}");
    }
    let some = scan_all(&mut connection, &["MATCH", "key:1?", "COUNT", "50"]);
    assert_eq!(some.iter().collect::<HashSet<_>>().len(), 10);
    assert!(scan_all(&mut connection, &["TYPE", "list"]).is_empty());
    assert_eq!(scan_all(&mut connection, &["TYPE", "string"]).len(), 2000);
}

#[test]
fn a_call_returns_about_as_many_keys_as_asked() {
    let server = judged::start();
    let mut connection = server.connect();
    on_keys(
        &mut connection,
        &["SET", "v"],
        (0..50_000).map(|i| format!("key:{i}")),
    );
    let (_, keys) = scan(&mut connection, "0", &["COUNT", "100"]);
    assert!((20..400).contains(&keys.len()), "{} keys", keys.len());
}

#[test]
fn keys_that_stay_are_returned_while_the_table_grows_and_shrinks() {
    let server = judged::start();
    let mut connection = server.connect();
    let stay = || (0..1000).map(|i| format!("stay:{i}"));
    on_keys(&mut connection, &["SET", "v"], stay());
    for run in 0..scaled(6) as u64 {
        let mut seed = Seed::new(Seed::of_run(run));
        let mut seen = HashSet::new();
        let mut cursor = "0".to_owned();
        let mut size = 0;
        loop {
            let (next, keys) = scan(&mut connection, &cursor, &["COUNT", "20"]);
            seen.extend(keys);
            if next == "0" {
                break;
            }
            cursor = next;
            // In half of the runs the table grows, in the others it shrinks, in jumps of any size.
            let step = seed.below(2000);
            let names = |range: std::ops::Range<usize>| range.map(|i| format!("other:{i}"));
            if run % 2 == 0 && size < 100_000 {
                on_keys(&mut connection, &["SET", "v"], names(size..size + step));
                size += step;
            } else if run % 2 == 1 {
                let first = 100_000 - size.min(100_000);
                on_keys(
                    &mut connection,
                    &["DEL"],
                    names(first.saturating_sub(step)..first),
                );
                size += step;
            }
        }
        let missed: Vec<String> = stay().filter(|key| !seen.contains(key)).collect();
        assert!(
            missed.is_empty(),
            "run {run}: {} keys missed: {missed:?}",
            missed.len()
        );
        let strange = seen
            .iter()
            .find(|k| !k.starts_with("stay:") && !k.starts_with("other:"));
        assert_eq!(strange, None);
    }
}

/// Any number is a cursor, also one that no call returned: the server answers and stays up.
#[test]
fn foreign_cursors_do_no_harm() {
    let server = judged::start();
    let mut connection = server.connect();
    on_keys(
        &mut connection,
        &["SET", "v"],
        (0..500).map(|i| format!("key:{i}")),
    );
    let mut seed = Seed::new(3);
    let edges = [
        1,
        2,
        7,
        u64::MAX,
        u64::MAX - 1,
        1 << 63,
        1 << 32,
        u64::from(u32::MAX),
    ];
    let random = (0..500).map(|i| seed.number() >> (i % 64));
    for cursor in edges.into_iter().chain(random) {
        let (next, keys) = scan(&mut connection, &cursor.to_string(), &[]);
        assert!(
            next.parse::<u64>().is_ok(),
            "cursor {cursor} led to '{next}'"
        );
        assert!(keys.iter().all(|key| key.starts_with("key:")));
    }
    assert_eq!(connection.line("DBSIZE"), Value::Int(500));
}
