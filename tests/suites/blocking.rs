//! Clients that wait for keys: in order, exactly once, and not after they have gone.

use crate::judged;
use harness::server::until;
use harness::{Connection, Server, Value, scaled};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

fn blocked(admin: &mut Connection) -> usize {
    let count = &admin.info("clients")["blocked_clients"];
    count.parse().expect("a number")
}

/// A client that waits, and its id.
fn waiting(server: &Server, admin: &mut Connection, line: &str) -> (Connection, i64) {
    let before = blocked(admin);
    let mut client = server.connect();
    let id = client.line("CLIENT ID").int();
    let words: Vec<_> = line.split(' ').collect();
    client.send(&words).expect("it is sent");
    until("the client to wait", || {
        (blocked(admin) > before).then_some(())
    });
    (client, id)
}

#[test]
fn who_has_waited_longest_is_served_first() {
    let server = judged::start();
    let mut admin = server.connect();
    let mut clients: Vec<Connection> = (0..20)
        .map(|_| waiting(&server, &mut admin, "BLPOP other queue 0").0)
        .collect();
    for round in 0..2 {
        for i in 0..10 {
            admin.line(&format!("RPUSH queue {}", round * 10 + i));
        }
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let reply = client.read();
        assert_eq!(reply.items()[1], Value::bulk(i.to_string()));
    }
    assert_eq!(admin.line("EXISTS queue"), Value::Int(0));
    assert_eq!(blocked(&mut admin), 0);
}

#[test]
fn who_has_gone_takes_nothing() {
    let server = judged::start();
    let mut admin = server.connect();
    let ways: [fn(&mut Connection, Connection, i64); 4] = [
        |_, client, _| drop(client),
        |admin, _, id| drop(admin.line(&format!("CLIENT KILL ID {id}"))),
        |admin, _, id| drop(admin.line(&format!("CLIENT UNBLOCK {id}"))),
        |_, mut client, _| client.shutdown_write(),
    ];
    for key in ["a", "b", "c"] {
        for leave in ways {
            let (client, id) = waiting(&server, &mut admin, &format!("BLPOP x {key} y 0"));
            leave(&mut admin, client, id);
            until("nobody to wait", || {
                (blocked(&mut admin) == 0).then_some(())
            });
            assert_eq!(admin.line(&format!("RPUSH {key} 1")), Value::Int(1));
            assert_eq!(admin.line(&format!("LPOP {key}")), Value::bulk("1"));
        }
    }
}

#[test]
fn waiting_ends_when_its_time_is_over() {
    let server = judged::start();
    let mut client = server.connect();
    for line in [
        "BLPOP a b c 0.02",
        "BRPOP a 0.001",
        "BLMPOP 0.02 2 a b LEFT",
        "BZPOPMIN a b 0.02",
        "BZMPOP 0.02 2 a b MAX",
        "BLMOVE a b LEFT LEFT 0.02",
        "BRPOPLPUSH a b 0.02",
        "XREAD BLOCK 20 STREAMS a b $ $",
    ] {
        assert!(client.line(line).is_null(), "{line}");
    }
    let mut admin = server.connect();
    assert_eq!(blocked(&mut admin), 0);
    assert_eq!(admin.info("clients")["total_blocking_keys"], "0");
}

/// Consumers wait for queues of all shards, while producers push one, several, or by MULTI and scripts.
#[test]
fn every_element_is_taken_once() {
    const CONSUMERS: usize = 4;
    const PRODUCERS: u64 = 3;
    let server = judged::start();
    let each = scaled(300) as u64;
    let total = each * PRODUCERS;
    let taken = AtomicU64::new(0);
    let script = "for i = 2, #ARGV do redis.call('RPUSH', ARGV[1], ARGV[i]) end";
    let lists: Vec<Vec<u64>> = std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let mut connection = server.connect();
            scope.spawn(move || {
                for i in 0..each {
                    let value = (producer * each + i).to_string();
                    let queue = format!("queue:{}", i % 5);
                    match i % 4 {
                        0 => drop(connection.call(&["RPUSH", &queue, &value])),
                        1 => drop(connection.call(&["EVAL", script, "0", &queue, &value])),
                        2 => {
                            connection.line("MULTI");
                            connection.call(&["RPUSH", &queue, &value]);
                            connection.call(&["INCR", "pushed"]);
                            connection.line("EXEC");
                        }
                        _ => {
                            connection.call(&["RPUSH", &format!("from:{producer}"), &value]);
                            let from = format!("from:{producer}");
                            connection.call(&["LMOVE", &from, &queue, "LEFT", "RIGHT"]);
                        }
                    }
                }
            });
        }
        let consumers: Vec<_> = (0..CONSUMERS)
            .map(|_| {
                let (mut connection, taken) = (server.connect(), &taken);
                scope.spawn(move || {
                    let mut list = Vec::new();
                    while taken.load(Ordering::Relaxed) < total {
                        let words = "BLPOP queue:0 queue:1 queue:2 queue:3 queue:4 0.2";
                        let reply = connection.line(words);
                        if !reply.is_null() {
                            taken.fetch_add(1, Ordering::Relaxed);
                            let value = reply.items()[1].string();
                            list.push(value.parse().expect("a number"));
                        }
                    }
                    list
                })
            })
            .collect();
        let lists = consumers.into_iter().map(|consumer| consumer.join());
        lists.map(|list| list.expect("it has counted")).collect()
    });
    let all: Vec<u64> = lists.concat();
    assert_eq!(all.len() as u64, total);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len() as u64, total);
    let mut admin = server.connect();
    assert_eq!(admin.line("DBSIZE"), Value::Int(1));
}
