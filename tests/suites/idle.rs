//! Many connections that do nothing, and one that does.

use crate::judged;
use harness::server::until;
use harness::{Connection, Value, scale};

/// 1,000 connections, 10,000 in a larger run, as far as the limit on descriptors lets both ends.
fn how_many() -> usize {
    let wanted = if scale() > 1.0 { 10_000 } else { 1_000 };
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls only read and write the struct that they are given.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    // The harness holds each socket twice.
    let possible = (limit.rlim_cur as usize).saturating_sub(200) / 2;
    wanted.min(possible)
}

#[test]
fn idle_connections_are_cheap_and_in_nobodys_way() {
    let count = how_many();
    let server = judged::setup().with("maxclients", "11000").start();
    let mut witness = server.connect();
    assert_eq!(witness.line("PING"), Value::Simple(b"PONG".to_vec()));
    let before = server.resident();
    let mut idle: Vec<Connection> = (0..count).map(|_| server.connect()).collect();
    until("all to be accepted", || {
        let info = witness.line("INFO clients").string();
        info.contains(&format!("connected_clients:{}\r\n", count + 1))
            .then_some(())
    });
    let grown = server.resident().saturating_sub(before) / count as u64;
    println!("{count} idle connections: {grown} bytes each");
    // The promise is 2 KB of our own; a page of slack for what the allocator rounds up.
    assert!(
        grown < 2048 + 4096,
        "{grown} bytes for each of {count} connections"
    );
    assert_eq!(witness.line("SET k v"), Value::ok());
    for connection in &mut idle {
        assert_eq!(connection.line("GET k"), Value::bulk("v"));
    }
    // Having talked once, they cost no more than before.
    let grown = server.resident().saturating_sub(before) / count as u64;
    assert!(
        grown < 2048 + 8192,
        "{grown} bytes for each of {count} that have talked"
    );
    drop(idle);
    until("all to be gone", || {
        let info = witness.line("INFO clients").string();
        info.contains("connected_clients:1\r\n").then_some(())
    });
}

#[test]
fn connections_come_and_go() {
    let server = judged::start();
    for round in 0..20 {
        let mut connections: Vec<Connection> = (0..50).map(|_| server.connect()).collect();
        for (i, connection) in connections.iter_mut().enumerate() {
            // Some leave in the middle of a request, some without reading their reply.
            match i % 4 {
                0 => connection
                    .send_raw(b"*2\r\n$4\r\nECHO\r\n$1000\r\nabc")
                    .expect("sent"),
                1 => connection.send(&["PING"]).expect("sent"),
                2 => assert_eq!(connection.line("PING"), Value::Simple(b"PONG".to_vec())),
                _ => {}
            }
        }
        drop(connections);
        assert_eq!(
            server.connect().line("PING"),
            Value::Simple(b"PONG".to_vec()),
            "{round}"
        );
    }
    let mut witness = server.connect();
    until("all to be gone", || {
        let info = witness.line("INFO clients").string();
        info.contains("connected_clients:1\r\n").then_some(())
    });
}
