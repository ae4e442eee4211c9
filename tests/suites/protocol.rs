//! The protocol: every RESP type, inline requests, pipelines of any length, any split.

use crate::judged::{self, check};
use harness::connection::frame;
use harness::{Connection, Seed, Value, scaled};

#[test]
fn every_type_of_both_protocols() {
    check(
        r#"
        == shared types
        > DEBUG PROTOCOL string
        "Hello World"
        > DEBUG PROTOCOL integer
        :12345
        > DEBUG PROTOCOL double
        ,3.141
        > DEBUG PROTOCOL null
        nil
        > DEBUG PROTOCOL array
        [:0, :1, :2]
        > DEBUG PROTOCOL set
        ~[:0, :1, :2]
        > DEBUG PROTOCOL bignum
        (1234567999999999999999999999999999999
        > DEBUG PROTOCOL true
        #t
        > DEBUG PROTOCOL false
        #f
        > DEBUG PROTOCOL verbatim
        ="txt:This is a verbatim\nstring"

        == a map
        @ resp3
        > DEBUG PROTOCOL map
        {:0: #f, :1: #t, :2: #f}

        == a map is an array
        @ resp2
        > DEBUG PROTOCOL map
        [:0, :0, :1, :1, :2, :0]
        "#,
    );
}

#[test]
fn inline_requests() {
    check(
        r#"
        == words and quotes
        < "SET k v\r\n"
        +OK
        < "GET k\n"
        "v"
        <2 "set k \"a b\\x41\\n\"\r\nget k\r\n"
        +OK
        "a bA\n"
        "#,
    );
}

#[test]
fn malformed_requests_are_refused_and_end_the_connection() {
    for (sent, error) in [
        ("*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length"),
        ("*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length"),
        ("*x\r\n", "ERR Protocol error: invalid multibulk length"),
        (
            "*2147483648\r\n",
            "ERR Protocol error: invalid multibulk length",
        ),
        (
            "*1\r\nPING\r\n",
            "ERR Protocol error: expected '$', got 'P'",
        ),
        (
            "SET k \"v\r\n",
            "ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        let server = judged::start();
        let mut witness = server.connect();
        let mut connection = server.connect();
        connection.send_raw(b"PING\r\n").expect("sent");
        connection.send_raw(sent.as_bytes()).expect("sent");
        assert_eq!(connection.read(), Value::Simple(b"PONG".to_vec()));
        assert_eq!(connection.read(), Value::error(error), "{sent:?}");
        assert_eq!(connection.line("PING"), Value::Closed, "{sent:?}");
        assert_eq!(witness.line("PING"), Value::Simple(b"PONG".to_vec()));
    }
}

#[test]
fn empty_requests_get_no_reply() {
    let server = judged::start();
    let mut connection = server.connect();
    connection
        .send_raw(b"\r\n*0\r\n\n*-1\r\n\r\nPING\r\n")
        .expect("sent");
    assert_eq!(connection.read(), Value::Simple(b"PONG".to_vec()));
}

/// All requests in one write whose replies nobody reads until all are sent would fill the buffers
/// of the kernel; the server has to keep the rest of the input or of the replies.
#[test]
fn pipelines_of_a_hundred_thousand() {
    let server = judged::start();
    let mut connection = server.connect();
    let count = 100_000;
    let mut bytes = Vec::new();
    for i in 0..count {
        bytes.extend(frame(&[
            "SET".into(),
            format!("key:{i}"),
            format!("value {i}"),
        ]));
        bytes.extend(frame(&["GET".into(), format!("key:{i}")]));
    }
    let replies = connection.pipeline(&bytes, 2 * count);
    for (i, pair) in replies.chunks(2).enumerate() {
        assert_eq!(pair[0], Value::ok(), "SET {i}");
        assert_eq!(pair[1], Value::bulk(format!("value {i}")), "GET {i}");
    }
    assert_eq!(connection.line("DBSIZE"), Value::Int(count as i64));
}

#[test]
fn requests_may_be_split_anywhere() {
    let server = judged::start();
    for run in 0..scaled(30) as u64 {
        let mut seed = Seed::new(Seed::of_run(run));
        let mut connection = server.connect();
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for i in 0..40 {
            let length = match seed.below(10) {
                0 => seed.below(200_000),
                1 => seed.below(40_000),
                _ => seed.below(100),
            };
            let value = seed.bytes(length);
            bytes.extend(frame(&[b"ECHO", value.as_slice()]));
            expected.push(Value::Bulk(value));
            if i % 10 == 3 {
                bytes.extend_from_slice(b"PING inline\r\n");
                expected.push(Value::bulk("inline"));
            }
        }
        send_in_parts(&mut connection, &bytes, &mut seed);
        for (i, expected) in expected.iter().enumerate() {
            assert!(
                connection.read() == *expected,
                "reply {i} of TEST_SEED={}",
                Seed::of_run(run)
            );
        }
    }
}

/// The replies of what is sent fit the kernel's buffers, so nothing blocks.
fn send_in_parts(connection: &mut Connection, bytes: &[u8], seed: &mut Seed) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let longest = *seed.pick(&[1, 3, 20, 1000, 70_000]);
        let (part, after) = rest.split_at((1 + seed.below(longest)).min(rest.len()));
        connection.send_raw(part).expect("sent");
        rest = after;
    }
}

#[test]
fn arguments_may_be_many() {
    let server = judged::start();
    let mut connection = server.connect();
    let count = 100_000;
    let mut words = vec!["MSET".to_owned()];
    for i in 0..count {
        words.extend([format!("key:{i}"), i.to_string()]);
    }
    assert_eq!(connection.call(&words), Value::ok());
    words = vec!["MGET".to_owned()];
    words.extend((0..count).map(|i| format!("key:{i}")));
    let reply = connection.call(&words);
    let values: Vec<String> = reply.items().iter().map(Value::string).collect();
    assert_eq!(values.len(), count);
    assert!(
        values
            .iter()
            .enumerate()
            .all(|(i, value)| *value == i.to_string())
    );
    words[0] = "DEL".to_owned();
    assert_eq!(connection.call(&words), Value::Int(count as i64));
}

/// What was sent before the end is answered, as with `printf … | nc`.
#[test]
fn requests_are_answered_after_the_sender_shut_down() {
    let server = judged::start();
    let mut connection = server.connect();
    connection
        .send_raw(b"SET k v\r\nGET k\r\nPI")
        .expect("sent");
    assert_eq!(connection.finish(), [Value::ok(), Value::bulk("v")]);
}

#[test]
fn each_connection_keeps_its_protocol() {
    let server = judged::start();
    let mut two = server.connect();
    let mut three = server.connect_as(3);
    assert_eq!(two.line("GET missing"), Value::NullBulk);
    assert_eq!(three.line("GET missing"), Value::Null);
    assert_eq!(two.line("GET missing"), Value::NullBulk);
}
