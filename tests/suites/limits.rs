//! Limits on what one client may cost, and that the others notice nothing of it.

use crate::judged;
use harness::connection::frame;
use harness::server::until;
use harness::{Connection, Value};
use std::time::{Duration, Instant};

const MB: u64 = 1 << 20;

#[test]
fn clients_beyond_maxclients_are_turned_away() {
    let server = judged::setup().with("maxclients", "10").start();
    let mut first = server.connect();
    until("the harness's own client to be gone", || {
        first
            .line("INFO clients")
            .string()
            .contains("connected_clients:1\r\n")
            .then_some(())
    });
    let mut others: Vec<Connection> = (0..9).map(|_| server.connect()).collect();
    for other in &mut others {
        assert_eq!(other.line("PING"), Value::Simple(b"PONG".to_vec()));
    }
    let mut refused = server.connect();
    assert_eq!(
        refused.read(),
        Value::error("ERR max number of clients reached")
    );
    assert_eq!(refused.read(), Value::Closed);
    let stats = first.line("INFO stats").string();
    assert!(stats.contains("rejected_connections:1\r\n"), "{stats}");
    others.pop();
    until("a place to be free", || {
        let mut late = server.connect();
        (late.line("PING") == Value::Simple(b"PONG".to_vec())).then_some(())
    });
}

/// A client asks for far more than it reads. What the server keeps for it is bounded by the output
/// limit, and what others get comes at once.
#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let server = judged::setup()
        .with_words("client-output-buffer-limit", &["normal", "16mb", "0", "0"])
        .start();
    let mut witness = server.connect();
    let value = "x".repeat(100_000);
    witness.call(&["SET", "k", &value]);
    let before = server.resident();
    let mut greedy = server.connect();
    let id = greedy.line("CLIENT ID").int().to_string();
    // Ten thousand values of 100 KB: a gigabyte.
    let bytes: Vec<u8> = frame(&["GET", "k"]).repeat(10_000);
    greedy.send_raw(&bytes).expect("requests are small");
    until("the client to be gone", || {
        let list = witness.call(&["CLIENT", "LIST", "ID", &id]).string();
        let grown = server.resident().saturating_sub(before);
        assert!(
            grown < 100 * MB,
            "{grown} bytes more for a client that does not read"
        );
        assert_eq!(witness.line("STRLEN k"), Value::Int(100_000));
        list.is_empty().then_some(())
    });
    // What it had been sent ends without the rest, and not in the middle of nothing.
    let mut got = 0;
    while let Ok(Value::Bulk(bytes)) = greedy.try_read() {
        assert_eq!(bytes.len(), value.len());
        got += 1;
    }
    assert!(got < 10_000, "everything was sent");
}

/// Without an output limit the server may keep the replies, but a large value is not copied for
/// each of them.
#[test]
fn large_replies_that_wait_share_the_value() {
    let server = judged::start();
    let mut connection = server.connect();
    let value = vec![b'v'; 20 * MB as usize];
    assert_eq!(connection.call(&[b"SET", &b"k"[..], &value]), Value::ok());
    let before = server.resident();
    let mut waiting: Vec<Connection> = (0..20).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send(&["GET", "k"]).expect("sent");
    }
    until("all GETs to have run", || {
        let calls = connection.line("INFO commandstats").string();
        calls.contains("cmdstat_get:calls=20,").then_some(())
    });
    let grown = server.resident().saturating_sub(before);
    assert!(
        grown < 100 * MB,
        "{grown} bytes more for 20 replies of 20 MB"
    );
    // The replies are those of the moment of the request.
    connection.line("SET k other");
    for client in &mut waiting {
        match client.read() {
            Value::Bulk(bytes) => assert!(bytes == value, "a reply has changed"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_request_that_is_too_long_is_cut_off() {
    let server = judged::setup()
        .with("client-query-buffer-limit", "2mb")
        .start();
    let mut witness = server.connect();
    let before = server.resident();
    let mut endless = server.connect();
    let id = endless.line("CLIENT ID").int().to_string();
    endless
        .send_raw(b"*2\r\n$4\r\nECHO\r\n$100000000\r\n")
        .expect("sent");
    endless.flood(&[b'x'; 100_000], 1000, || {
        until("the client to be gone", || {
            let list = witness.call(&["CLIENT", "LIST", "ID", &id]).string();
            list.is_empty().then_some(())
        });
    });
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 32 * MB, "{grown} bytes more");
    assert_eq!(witness.line("PING"), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn announced_sizes_cost_nothing_until_they_arrive() {
    let server = judged::start();
    let before = server.resident();
    let mut clients: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        client
            .send_raw(b"*2\r\n$4\r\nECHO\r\n$536870912\r\nabc")
            .expect("sent");
    }
    let mut witness = server.connect();
    for _ in 0..100 {
        assert_eq!(witness.line("PING"), Value::Simple(b"PONG".to_vec()));
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 50 * MB, "{grown} bytes for 50 announcements");
    let mut counts: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
    for client in &mut counts {
        client
            .send_raw(b"*2147483647\r\n$4\r\nECHO\r\n")
            .expect("sent");
    }
    for _ in 0..100 {
        assert_eq!(witness.line("PING"), Value::Simple(b"PONG".to_vec()));
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 50 * MB, "{grown} bytes for 100 announcements");
}

#[test]
fn a_string_does_not_grow_beyond_the_bulk_limit() {
    let server = judged::setup().with("proto-max-bulk-len", "1mb").start();
    let mut connection = server.connect();
    let too_long = Value::error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    assert_eq!(connection.line("SETRANGE k 1048576 x"), too_long);
    assert_eq!(
        connection.line("SETRANGE k 1048575 x"),
        Value::Int(1_048_576)
    );
    assert_eq!(connection.line("APPEND k x"), too_long);
    assert_eq!(connection.line("STRLEN k"), Value::Int(1_048_576));
}

/// Idle clients go after `timeout` seconds; one that talks stays.
#[test]
fn idle_clients_are_closed() {
    let server = judged::setup().with("timeout", "1").start();
    let mut idle = server.connect();
    let mut busy = server.connect();
    assert_eq!(idle.line("PING"), Value::Simple(b"PONG".to_vec()));
    let id = idle.line("CLIENT ID").int().to_string();
    until("the idle client to be closed", || {
        busy.call(&["CLIENT", "LIST", "ID", &id])
            .string()
            .is_empty()
            .then_some(())
    });
    assert_eq!(idle.line("PING"), Value::Closed);
}

/// With commands that take long, clients of small ones wait; none of these is such.
#[test]
fn big_requests_delay_nobody_for_long() {
    let server = judged::start();
    let mut connection = server.connect();
    assert!(!connection.line("DEBUG POPULATE 200000 key 20").is_error());
    let mut busy = server.connect();
    busy.send(&["FLUSHALL", "ASYNC"]).expect("sent");
    let start = Instant::now();
    let mut pings = 0;
    while start.elapsed() < Duration::from_millis(200) {
        assert_eq!(connection.line("PING"), Value::Simple(b"PONG".to_vec()));
        pings += 1;
    }
    assert!(pings > 0);
    assert_eq!(busy.read(), Value::ok());
    assert_eq!(connection.line("DBSIZE"), Value::Int(0));
}

/// From elsewhere nobody gets in without a password. Loopback is not elsewhere, and nothing else is
/// to be had in a test, so only the refusal's absence is seen here.
#[test]
fn protected_mode_lets_loopback_in() {
    let server = judged::setup().with("protected-mode", "yes").start();
    assert_eq!(
        server.connect().line("PING"),
        Value::Simple(b"PONG".to_vec())
    );
    assert_eq!(
        server.connect_unix().line("PING"),
        Value::Simple(b"PONG".to_vec())
    );
}

/// Where the system allows fewer descriptors than `maxclients` asks for, the server takes what it can
/// get, says so, and serves those.
#[test]
fn few_descriptors_mean_few_clients() {
    let server = judged::setup().descriptors(120).start();
    let mut first = server.connect();
    let reply = first.line("CONFIG GET maxclients");
    let most = reply.field("maxclients").expect("a limit").string();
    let most: usize = most.parse().expect("a number");
    assert!((10..120).contains(&most), "maxclients is {most}");
    assert!(server.log().contains("maxclients"), "{}", server.log());
    let mut others: Vec<Connection> = (0..most + 20).map(|_| server.connect()).collect();
    let pong = Value::Simple(b"PONG".to_vec());
    let served = others
        .iter_mut()
        .map(|client| client.line_if_open("PING"))
        .filter(|reply| *reply == pong)
        .count();
    assert!(served >= most - 2 && served <= most, "{served} of {most}");
    assert_eq!(first.line("PING"), pong);
    drop(others);
    until("places to be free", || {
        (server.connect().line_if_open("PING") == pong).then_some(())
    });
}
