//! Commands on keys of any type, and on whole databases.

use crate::judged::{self, check};
use harness::Value;
use harness::server::until;
use std::collections::HashMap;

#[test]
fn keys_are_moved_copied_and_deleted() {
    check(
        r#"
        == names
        > MSET a 1 b 2
        +OK
        > RENAME a c
        +OK
        > RENAMENX c b
        :0
        > COPY c d
        :1
        > EXISTS a b c d
        :3
        > DEL a b
        :1
        > UNLINK c d
        :2
        > RENAME a b
        -ERR no such key
        > TYPE a
        +none

        == databases
        > SET k zero
        +OK
        > MOVE k 3
        :1
        > SELECT 3
        +OK
        > GET k
        "zero"
        > SWAPDB 0 3
        +OK
        > DBSIZE
        :0
        > SELECT 16
        -ERR DB index is out of range
        > FLUSHALL
        +OK

        == looking around
        > MSET one 1 two 2 three 3
        +OK
        > KEYS t*
        ~["two", "three"]
        > DBSIZE
        :3
        > TOUCH one two four
        :2
        > OBJECT ENCODING one
        "int"
        > OBJECT ENCODING missing
        nil

        == patterns
        > DEBUG STRINGMATCH-LEN a*[x-z]? abcy!
        :1
        > DEBUG STRINGMATCH-LEN a*[x-z]? abcw!
        :0
        "#,
    );
}

/// With four keys, 4,000 draws give each about 1,000; one below 500 or above 1,500 would come once
/// in far more runs than there will ever be.
#[test]
fn randomkey_is_fair() {
    let server = judged::start();
    let mut connection = server.connect();
    connection.line("MSET a 1 b 2 c 3 d 4");
    let mut drawn: HashMap<String, u32> = HashMap::new();
    for _ in 0..4000 {
        *drawn
            .entry(connection.line("RANDOMKEY").string())
            .or_default() += 1;
    }
    assert_eq!(drawn.len(), 4, "{drawn:?}");
    assert!(drawn.values().all(|n| (500..1500).contains(n)), "{drawn:?}");
}

/// Few keys left of many: the draw must not depend on where the table has holes.
#[test]
fn randomkey_finds_the_last_keys_of_many() {
    let server = judged::start();
    let mut connection = server.connect();
    let bytes: Vec<u8> = (0..20_000)
        .flat_map(|i| harness::connection::frame(&["SET".into(), format!("key:{i}"), "v".into()]))
        .collect();
    connection.pipeline(&bytes, 20_000);
    let bytes: Vec<u8> = (3..20_000)
        .flat_map(|i| harness::connection::frame(&["DEL".into(), format!("key:{i}")]))
        .collect();
    connection.pipeline(&bytes, 19_997);
    let mut drawn: HashMap<String, u32> = HashMap::new();
    for _ in 0..600 {
        *drawn
            .entry(connection.line("RANDOMKEY").string())
            .or_default() += 1;
    }
    assert_eq!(drawn.len(), 3, "{drawn:?}");
}

#[test]
fn flushall_async_gives_the_memory_back() {
    let server = judged::start();
    let mut connection = server.connect();
    let before = server.resident();
    let value = "x".repeat(1000);
    let bytes: Vec<u8> = (0..100_000)
        .flat_map(|i| harness::connection::frame(&["SET", &format!("key:{i}"), &value]))
        .collect();
    connection.pipeline(&bytes, 100_000);
    let full = server.resident();
    assert!(
        full > before + 100_000_000,
        "{before} bytes before, {full} full"
    );
    assert_eq!(connection.line("FLUSHALL ASYNC"), Value::ok());
    assert_eq!(connection.line("DBSIZE"), Value::Int(0));
    until("half of the memory to be given back", || {
        (server.resident() < before + (full - before) / 2).then_some(())
    });
    assert_eq!(connection.line("SET k v"), Value::ok());
}
