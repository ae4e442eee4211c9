//! A connection: greeting, names, authentication, replies off, the ways in.

use crate::judged::{self, check};
use harness::{Connection, Value, check_with};
use std::net::{Ipv6Addr, SocketAddr};

#[test]
fn greetings_and_names() {
    check(
        r#"
        == greeting
        > PING
        +PONG
        > PING hello
        "hello"
        > ECHO hello
        "hello"
        > HELLO 4
        -NOPROTO unsupported protocol version
        > SELECT 99
        -ERR DB index is out of range

        == a name
        > CLIENT SETNAME worker
        +OK
        > CLIENT GETNAME
        "worker"
        > RESET
        +RESET
        > CLIENT GETNAME
        nil

        == replies off
        >0 CLIENT REPLY OFF
        >0 SET a 1
        >0 GET a
        > CLIENT REPLY ON
        +OK
        >0 CLIENT REPLY SKIP
        >0 GET a
        > GET a
        "1"

        == QUIT answers and closes
        > QUIT
        +OK
        > PING
        closed
        "#,
    );
}

#[test]
fn hello_says_who_it_is() {
    let server = judged::start();
    let mut connection = server.connect();
    let hello = connection.line("HELLO 3");
    let text = |name: &str| hello.field(name).unwrap_or(Value::Null).string();
    assert!(matches!(hello, Value::Map(_)), "{hello}");
    assert_eq!(text("server"), "redis");
    assert_eq!(text("mode"), "standalone");
    assert_eq!(text("role"), "master");
    assert_eq!(hello.field("proto"), Some(Value::Int(3)));
    assert_eq!(hello.field("id"), Some(connection.line("CLIENT ID")));
    assert_eq!(connection.line("GET missing"), Value::Null);
    assert!(matches!(connection.line("HELLO 2"), Value::Array(_)));
    assert_eq!(connection.line("GET missing"), Value::NullBulk);
}

#[test]
fn without_the_password_little_is_allowed() {
    let setup = judged::setup().with("requirepass", "secret");
    let server = setup.start();
    let mut connection = server.connect();
    assert_eq!(
        connection.line("GET k"),
        Value::error("NOAUTH Authentication required.")
    );
    assert!(
        connection
            .line("AUTH wrong")
            .string()
            .starts_with("WRONGPASS")
    );
    assert_eq!(connection.line("AUTH secret"), Value::ok());
    assert_eq!(connection.line("SET k v"), Value::ok());
    assert_eq!(connection.line("RESET"), Value::Simple(b"RESET".to_vec()));
    assert_eq!(
        connection.line("GET k"),
        Value::error("NOAUTH Authentication required.")
    );
    assert_eq!(connection.line("AUTH default secret"), Value::ok());
    assert_eq!(connection.line("GET k"), Value::bulk("v"));
    // A password that is taken away or changed leaves those who are in, and binds those who come.
    assert_eq!(connection.line("CONFIG SET requirepass other"), Value::ok());
    assert_eq!(connection.line("GET k"), Value::bulk("v"));
    assert!(server.connect().line("AUTH secret").is_error());
    assert_eq!(server.connect().line("AUTH other"), Value::ok());
    assert_eq!(
        connection.call(&["CONFIG", "SET", "requirepass", ""]),
        Value::ok()
    );
    assert_eq!(server.connect().line("GET k"), Value::bulk("v"));
}

#[test]
fn databases_are_as_many_as_configured() {
    check_with(
        judged::setup().with("databases", "3"),
        "
        > SELECT 2
        +OK
        > SELECT 3
        -ERR DB index is out of range
        > SWAPDB 0 3
        -ERR DB index is out of range
        ",
    );
}

#[test]
fn a_unix_socket_serves_as_well() {
    let server = judged::start();
    let mut connection = server.connect_unix();
    assert_eq!(connection.line("SET k v"), Value::ok());
    assert_eq!(server.connect().line("GET k"), Value::bulk("v"));
    let info = connection.line("CLIENT INFO").string();
    assert!(info.contains("flags=U"), "{info}");
    let value = "x".repeat(3 << 20);
    assert_eq!(connection.call(&["SET", "big", &value]), Value::ok());
    assert_eq!(connection.line("GET big"), Value::bulk(&value));
}

#[test]
fn it_listens_where_it_is_told() {
    // The harness gives `--bind` first; what comes last counts.
    let setup = judged::setup();
    let server = setup
        .with_words("bind", &["127.0.0.1", "-::1", "-192.0.2.1"])
        .start();
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, server.port()));
    match Connection::tcp(address) {
        Ok(mut connection) => {
            assert_eq!(connection.line("PING"), Value::Simple(b"PONG".to_vec()));
            let info = connection.line("CLIENT INFO").string();
            assert!(info.contains("laddr=[::1]:"), "{info}");
        }
        // A machine without IPv6 is what the dash in front is for.
        Err(e) => println!("skipped IPv6: {e}"),
    }
}

#[test]
fn an_address_that_is_not_there_stops_the_start() {
    let setup = judged::setup().with_words("bind", &["127.0.0.1", "192.0.2.1"]);
    match setup.try_start() {
        Ok(_) => panic!("it started"),
        Err(why) => assert!(why.contains("192.0.2.1"), "{why}"),
    }
}
