//! Commands on big values hold up who needs those keys, and nobody else, and see them at one moment.

use harness::connection::frame;
use harness::server::{SEVERAL, until};
use harness::{Connection, Program, Server, Value};
use std::sync::atomic::{AtomicBool, Ordering};

/// Elements that make a command worth running aside, several times over.
const MANY: usize = 60_000;

fn started(shards: usize) -> Option<Server> {
    if !Program::Judged.is_shoal() {
        println!("skipped: not Shoal");
        return None;
    }
    Some(Server::setup(Program::Judged).shards(shards).start())
}

/// Sends a command for every thousand of `MANY` elements, whose words `element` gives.
fn fill(connection: &mut Connection, start: &[&str], element: impl Fn(usize) -> Vec<String>) {
    let mut bytes = Vec::new();
    for from in (0..MANY).step_by(1000) {
        let words = start.iter().map(|word| (*word).to_string());
        bytes.extend(frame(
            &words
                .chain((from..from + 1000).flat_map(&element))
                .collect::<Vec<_>>(),
        ));
    }
    let replies = connection.pipeline(&bytes, MANY / 1000);
    assert!(replies.iter().all(|reply| !reply.is_error()));
}

/// A collection of each type, with elements by number.
fn fill_all(connection: &mut Connection) {
    let name = |i: usize| format!("{i:06}");
    fill(connection, &["RPUSH", "list"], |i| vec![name(i)]);
    fill(connection, &["SADD", "set"], |i| vec![name(i)]);
    fill(connection, &["HSET", "hash"], |i| vec![name(i), name(i)]);
    fill(connection, &["ZADD", "zset"], |i| {
        vec![i.to_string(), name(i)]
    });
}

fn ran_aside(connection: &mut Connection) -> u64 {
    let info = connection.info("shoal");
    info["commands_aside"].parse().expect("a number")
}

/// Seen by the order of things, as in `overload.rs`: the client with the big value has no answer yet.
#[test]
fn others_go_on_meanwhile() {
    for shards in [1, SEVERAL] {
        let Some(server) = started(shards) else {
            return;
        };
        let (mut slow, mut quick) = (server.connect(), server.connect());
        fill_all(&mut slow);
        until("others to be served while a command runs aside", || {
            let over = AtomicBool::new(false);
            let mut served = 0;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let count = slow.line("SORT set LIMIT 0 1");
                    assert_eq!(count.items().len(), 1);
                    over.store(true, Ordering::SeqCst);
                });
                for i in 0..50 {
                    let value = i.to_string();
                    assert_eq!(quick.call(&["SET", "other", &value]), Value::ok());
                    assert_eq!(quick.call(&["GET", "other"]), Value::bulk(&value));
                    served += usize::from(!over.load(Ordering::SeqCst));
                }
            });
            (served > 1).then_some(())
        });
        assert!(ran_aside(&mut quick) > 0);
    }
}

/// Elements are removed from the first on, one by one, while others read them all: each reply is what
/// is left at some moment, so it has no gap.
#[test]
fn what_is_seen_is_of_one_moment() {
    const READS: &[&[&str]] = &[
        &["LRANGE", "list", "0", "-1"],
        &["SMEMBERS", "set"],
        &["HKEYS", "hash"],
        &["ZRANGE", "zset", "0", "-1"],
        &["SUNION", "set", "nothing"],
        &["SDIFF", "set", "nothing"],
        &["ZUNION", "1", "zset"],
    ];
    for shards in [1, SEVERAL] {
        let Some(server) = started(shards) else {
            return;
        };
        let mut reader = server.connect();
        fill_all(&mut reader);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = server.connect();
                for i in (0..).take_while(|_| !done.load(Ordering::SeqCst)) {
                    let name = format!("{i:06}");
                    let mut bytes = frame(&["LPOP", "list"]);
                    bytes.extend(frame(&["SREM", "set", &name]));
                    bytes.extend(frame(&["HDEL", "hash", &name]));
                    bytes.extend(frame(&["ZPOPMIN", "zset"]));
                    writer.pipeline(&bytes, 4);
                }
            });
            for read in READS.iter().chain(READS) {
                let mut seen: Vec<usize> = Vec::new();
                for element in reader.call(read).items() {
                    seen.push(element.string().parse().expect("a number"));
                }
                seen.sort_unstable();
                let first = seen.first().copied().unwrap_or(MANY);
                assert!(seen.into_iter().eq(first..MANY), "{read:?} saw a gap");
            }
            done.store(true, Ordering::SeqCst);
        });
        assert!(ran_aside(&mut reader) >= READS.len() as u64);
    }
}

/// What was lent is where it was, and what was built is where it should be.
#[test]
fn values_come_back() {
    for shards in [1, 2, SEVERAL] {
        let Some(server) = started(shards) else {
            return;
        };
        let mut client = server.connect();
        fill_all(&mut client);
        let many = MANY as i64;
        let check = |client: &mut Connection, line: &str, want: i64| {
            assert_eq!(client.line(line).int(), want, "{line} on {shards} shards");
        };
        for (line, want) in [
            ("SADD more x y", 2),
            ("SUNIONSTORE union set more", many + 2),
            ("SINTERSTORE inter set union", many),
            ("SDIFFSTORE diff union set", 2),
            ("SCARD set", many),
            ("ZUNIONSTORE zunion 2 zset set", many),
            ("ZINTERCARD 2 zset zunion", many),
            ("ZRANGESTORE part zset 10 -1", many - 10),
            ("COPY hash copy", 1),
            ("HDEL copy 000000 000001", 2),
            ("HLEN hash", many),
            ("HLEN copy", many - 2),
            ("COPY list list2", 1),
            ("LREM list 0 000007", 1),
            ("LLEN list", many - 1),
            ("LLEN list2", many),
            ("SMOVE set more 000001", 1),
            ("SCARD set", many - 1),
            ("SORT union STORE sorted", -1),
        ] {
            if want < 0 {
                // Members that are no numbers.
                assert!(client.line(line).is_error());
            } else {
                check(&mut client, line, want);
            }
        }
        assert_eq!(client.line("RENAME list renamed"), Value::ok());
        check(&mut client, "LLEN renamed", many - 1);
        assert_eq!(
            client.line("LMOVE renamed list2 LEFT RIGHT"),
            Value::bulk("000000")
        );
        check(&mut client, "LLEN renamed", many - 2);
        check(&mut client, "LLEN list2", many + 1);
        check(&mut client, "DEL set hash zset renamed list2 union", 6);
    }
}

/// What a command would cost is not asked of a value that another one is replacing on its thread.
#[test]
fn a_value_that_is_being_replaced_is_left_alone() {
    for shards in [1, SEVERAL] {
        let Some(server) = started(shards) else {
            return;
        };
        let mut writer = server.connect();
        fill_all(&mut writer);
        assert_eq!(writer.line("SADD more x").int(), 1);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut reader = server.connect();
                while !done.load(Ordering::SeqCst) {
                    let seen = reader.line("SMEMBERS set").items().len();
                    assert!(seen == MANY || seen == MANY + 1, "{seen}");
                }
            });
            for _ in 0..10 {
                let count = writer.line("SUNIONSTORE set set more").int();
                assert_eq!(count, MANY as i64 + 1);
                assert_eq!(writer.line("SREM set x").int(), 1);
            }
            done.store(true, Ordering::SeqCst);
        });
    }
}

#[test]
fn a_client_that_goes_away_leaves_its_keys() {
    for shards in [1, SEVERAL] {
        let Some(server) = started(shards) else {
            return;
        };
        let mut client = server.connect();
        fill_all(&mut client);
        for _ in 0..5 {
            let mut gone = server.connect();
            gone.send(&["SUNIONSTORE", "union", "set"]).expect("sent");
            gone.send(&["SMEMBERS", "set"]).expect("sent");
        }
        assert_eq!(client.line("SADD set one").int(), 1);
        assert_eq!(client.line("SREM set one").int(), 1);
        assert_eq!(client.line("SCARD set").int(), MANY as i64);
    }
}

/// A script waits for a key that a command aside has locked, wherever its client is.
#[test]
fn scripts_wait_for_commands_aside() {
    for shards in [1, SEVERAL] {
        let server = Server::setup(Program::Judged).shards(shards).start();
        let mut writer = server.connect();
        for i in 0..40 {
            let members: Vec<String> = (i * 1000..i * 1000 + 1000).map(|n| n.to_string()).collect();
            writer.line(&format!("SADD {{t}}big {}", members.join(" ")));
        }
        let mut others: Vec<_> = (0..2 * shards).map(|_| server.connect()).collect();
        let script = "return redis.call('SADD', KEYS[1], 'x')";
        for round in 0..10 {
            writer
                .send(&["SUNIONSTORE", "{t}dest", "{t}big"])
                .expect("sent");
            for other in &mut others {
                other.send(&["EVAL", script, "1", "{t}dest"]).expect("sent");
            }
            assert_eq!(writer.read(), Value::Int(40_000), "round {round}");
            for other in &mut others {
                assert!(matches!(other.read(), Value::Int(0 | 1)), "round {round}");
            }
        }
    }
}
