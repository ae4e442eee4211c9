//! Strings.

use crate::judged::{self, check};
use harness::Value;

#[test]
fn set_get_and_their_options() {
    check(
        r#"
        == plain
        > SET k v
        +OK
        > GET k
        "v"
        > SET k w NX
        nil
        > SET k w XX GET
        "v"
        > GETDEL k
        "w"
        > GET k
        nil

        == times to live
        > SET k v EX 100
        +OK
        > TTL k
        :100
        > SET k w KEEPTTL
        +OK
        > TTL k
        :100
        > GETEX k PERSIST
        "w"
        > TTL k
        :-1

        == errors
        > SET k v NX XX
        -ERR syntax error
        > SET k v EX 0
        -ERR invalid expire time in 'set' command
        > SET k v EX x
        -ERR value is not an integer or out of range
        > SET k
        -ERR wrong number of arguments for 'set' command
        "#,
    );
}

#[test]
fn counters_and_parts() {
    check(
        r#"
        == counters
        > INCR k
        :1
        > INCRBY k 41
        :42
        > DECR k
        :41
        > INCRBYFLOAT k 0.5
        "41.5"
        > INCR k
        -ERR value is not an integer or out of range
        > SET k 9223372036854775807
        +OK
        > INCR k
        -ERR increment or decrement would overflow

        == parts
        > APPEND k Hello
        :5
        > SETRANGE k 7 World
        :12
        > GET k
        "Hello\x00\x00World"
        > GETRANGE k -5 -1
        "World"
        > STRLEN k
        :12

        == several
        > MSET a 1 b 2
        +OK
        > MGET a b c
        ["1", "2", nil]
        > MSETNX b 3 c 4
        :0
        > LCS a b LEN
        :0
        "#,
    );
}

/// Every length around the sizes at which a value changes its form, by every way in and out.
#[test]
fn values_of_every_length_come_back() {
    let server = judged::start();
    let mut connection = server.connect();
    let small = 0..=130;
    let edges = [
        255, 256, 1023, 1024, 4095, 4096, 16_383, 16_384, 32_767, 32_768, 32_769, 65_536,
    ];
    for length in small.chain(edges).chain([1 << 20, (1 << 20) + 1]) {
        let value: Vec<u8> = (0..length).map(|i| (i * 7 + length) as u8).collect();
        let key = format!("key of {length}");
        assert_eq!(
            connection.call(&[b"SET", key.as_bytes(), &value]),
            Value::ok()
        );
        assert_eq!(
            connection.call(&["STRLEN", &key]),
            Value::Int(length as i64)
        );
        assert_eq!(
            connection.call(&["GET", &key]),
            Value::Bulk(value.clone()),
            "{key}"
        );
        assert_eq!(
            connection.call(&["APPEND", &key, "!"]),
            Value::Int(length as i64 + 1)
        );
        let whole = [value.as_slice(), b"!"].concat();
        assert_eq!(
            connection.call(&["GETRANGE", &key, "0", "-1"]),
            Value::Bulk(whole.clone())
        );
        assert_eq!(
            connection.call(&["MGET", &key]),
            Value::Array(vec![Value::Bulk(whole)])
        );
    }
}

#[test]
fn a_value_of_100_mb_comes_back_and_goes_away() {
    const LENGTH: usize = 100 << 20;
    let server = judged::start();
    let mut connection = server.connect();
    let empty = server.resident();
    let value: Vec<u8> = (0..LENGTH).map(|i| (i / 4096) as u8).collect();
    assert_eq!(connection.call(&[b"SET", &b"k"[..], &value]), Value::ok());
    assert_eq!(connection.call(&["STRLEN", "k"]), Value::Int(LENGTH as i64));
    // A megabyte of slack for each of the buffers that a copy in flight may need.
    let held = server.resident() - empty;
    assert!(
        held < (LENGTH + (64 << 20)) as u64,
        "{held} bytes for {LENGTH}"
    );
    match connection.call(&["GET", "k"]) {
        // Not assert_eq, which would print both.
        Value::Bulk(bytes) => assert!(bytes == value, "the value has changed"),
        other => panic!("{other}"),
    }
    assert_eq!(connection.call(&["DEL", "k"]), Value::Int(1));
    harness::server::until("the memory to be given back", || {
        (server.resident() < empty + (64 << 20)).then_some(())
    });
}
