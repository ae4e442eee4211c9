//! Scripts and functions: what one client alone does not show.

use crate::judged;
use harness::server::{Directory, until};
use harness::{Connection, Program, Seed, Server, Value, scaled};

/// A script that moves an amount between two accounts whose names it makes, unless there is too little.
const TRANSFER: &str = "
    local from, to = 'account:' .. ARGV[1], 'account:' .. ARGV[2]
    local amount = tonumber(ARGV[3])
    if tonumber(redis.call('GET', from)) < amount then return 0 end
    redis.call('DECRBY', from, amount)
    redis.call('INCRBY', to, amount)
    redis.call('ZINCRBY', 'turnover', amount, ARGV[1])
    return amount";

#[test]
fn transfers_between_undeclared_accounts_lose_nothing() {
    const ACCOUNTS: usize = 12;
    let server = judged::start();
    let mut admin = server.connect();
    for account in 0..ACCOUNTS {
        admin.line(&format!("SET account:{account} 100"));
    }
    let sha = admin.call(&["SCRIPT", "LOAD", TRANSFER]).string();
    let each = scaled(200);
    let moved: i64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let (mut connection, sha) = (server.connect(), sha.as_str());
                let mut seed = Seed::new(Seed::of_run(number));
                scope.spawn(move || {
                    let mut moved = 0;
                    for _ in 0..each {
                        let mut word = |n| seed.below(n).to_string();
                        let (from, to, amount) = (word(ACCOUNTS), word(ACCOUNTS), word(40));
                        let reply = connection.call(&["EVALSHA", sha, "0", &from, &to, &amount]);
                        moved += reply.int();
                    }
                    moved
                })
            })
            .collect();
        let mut names = vec!["MGET".to_owned()];
        names.extend((0..ACCOUNTS).map(|account| format!("account:{account}")));
        // Whoever looks meanwhile sees all of a transfer or nothing.
        for _ in 0..50 {
            let reply = admin.call(&names);
            let sum = |value: &Value| value.string().parse::<i64>().expect("a number");
            assert_eq!(reply.items().iter().map(sum).sum::<i64>(), 1200);
        }
        let ends = clients.into_iter().map(|client| client.join());
        ends.map(|moved| moved.expect("a client has said what is wrong"))
            .sum()
    });
    let turnover = admin.line("ZRANGE turnover 0 -1 WITHSCORES");
    let scores = turnover.items().iter().skip(1).step_by(2);
    let scores = scores.map(|score| score.string().parse::<i64>().expect("a number"));
    assert_eq!(scores.sum::<i64>(), moved);
}

fn slow(server: &Server, admin: &mut Connection, script: &str, key: &str) -> Connection {
    let mut client = server.connect();
    let words = ["EVAL", script, "1", key];
    client.send(&words).expect("it is sent");
    until("the script to be slow", || {
        let reply = admin.line(&format!("GET {key}"));
        reply.shown().contains("BUSY").then_some(())
    });
    client
}

#[test]
fn a_slow_script_can_be_killed_until_it_writes() {
    let setup = Server::setup(Program::Judged).shards(crate::SHARDS);
    let server = setup.with("busy-reply-threshold", "50").start();
    let mut admin = server.connect();
    let idle = admin.line("SCRIPT KILL").shown();
    assert!(idle.starts_with("-NOTBUSY"), "{idle}");
    for key in ["a", "b", "c"] {
        let mut client = slow(&server, &mut admin, "while true do end", key);
        assert_eq!(admin.line("SCRIPT KILL"), Value::ok());
        let reply = client.read().shown();
        assert!(reply.contains("Script killed by user"), "{reply}");
        assert_eq!(admin.line(&format!("SET {key} 1")), Value::ok());
    }
    let script = "redis.call('SET', KEYS[1], '2') for i = 1, 4e7 do end return 1";
    let mut client = slow(&server, &mut admin, script, "b");
    let reply = admin.line("SCRIPT KILL").shown();
    assert!(
        reply.starts_with("-UNKILLABLE") || reply.starts_with("-NOTBUSY"),
        "{reply}"
    );
    assert_eq!(client.read(), Value::Int(1));
    assert_eq!(admin.line("GET b"), Value::bulk("2"));
}

#[test]
fn a_slow_script_in_an_exec_can_be_killed() {
    let directory = Directory::new().expect("a directory can be made");
    let start = || {
        let setup = Server::setup(Program::Judged).shards(crate::SHARDS);
        let setup = setup.with("dir", &directory.0.display().to_string());
        let setup = setup
            .with("appendonly", "yes")
            .with("appendfsync", "always");
        setup.with("busy-reply-threshold", "50").start()
    };
    let server = start();
    let mut admin = server.connect();
    let mut other = server.connect();
    let mut client = server.connect();
    for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
        client.line(&format!("WATCH {key}"));
        for words in [
            &["MULTI"][..],
            &["SET", "before", key],
            &[
                "EVAL",
                "while redis.call('GET', KEYS[1]) do end",
                "1",
                "before",
            ],
            &["GET", "before"],
            &["EVAL", "return redis.call('INCR', KEYS[1])", "1", "after"],
        ] {
            assert!(!client.call(words).is_error());
        }
        client.send(&["EXEC"]).expect("it is sent");
        until("the script to be slow", || {
            let reply = admin.line("GET before").shown();
            reply.contains("BUSY").then_some(())
        });
        assert_eq!(admin.line("SCRIPT KILL"), Value::ok());
        let reply = client.read();
        let [set, killed, get, incr] = reply.items() else {
            panic!("{reply}");
        };
        assert_eq!((set, get), (&Value::ok(), &Value::bulk(key)));
        assert!(killed.shown().contains("Script killed by user"), "{killed}");
        assert_eq!(*incr, Value::Int(n as i64 + 1));
        assert_eq!(other.line("GET before"), Value::bulk(key));
        // What it has watched it watches no more.
        other.line(&format!("SET {key} 1"));
        assert_eq!(client.line("MULTI"), Value::ok());
        assert_eq!(client.line("EXEC").items().len(), 0);
    }
    // A queue that goes on for long, and writes, is there as a whole.
    let script = "local n = 0 for i = 1, 2e7 do n = n + i end return redis.call('SET', KEYS[1], n)";
    for words in [
        &["MULTI"][..],
        &["SET", "x", "1"],
        &["EVAL", script, "1", "y"],
        &["SET", "z", "1"],
    ] {
        client.call(words);
    }
    let reply = client.line("EXEC");
    assert_eq!(reply.items(), [Value::ok(), Value::ok(), Value::ok()]);
    let names = "MGET before after x y z a";
    let want = admin.line(names);
    drop((server, admin, other, client));
    let server = start();
    assert_eq!(server.connect().line(names), want);
}

#[test]
fn a_slow_script_may_concern_all_shards() {
    let setup = Server::setup(Program::Judged).shards(crate::SHARDS);
    let setup = setup.with("busy-reply-threshold", "50");
    let server = setup.with("busy-reply-scope", "server").start();
    let mut admin = server.connect();
    let mut others: Vec<Connection> = (0..4).map(|_| server.connect()).collect();
    let mut client = slow(&server, &mut admin, "while true do end", "a");
    for other in &mut others {
        for line in ["GET a", "GET b", "GET c", "PING", "DBSIZE", "MGET a b c"] {
            until("all to be told", || {
                other.line(line).shown().starts_with("-BUSY").then_some(())
            });
        }
        assert_eq!(other.line("MULTI"), Value::ok());
        assert!(other.line("SET a 1").shown().starts_with("-BUSY"));
        assert_eq!(other.line("DISCARD"), Value::ok());
    }
    assert_eq!(admin.line("SCRIPT KILL"), Value::ok());
    assert!(client.read().shown().contains("Script killed by user"));
    for other in &mut others {
        until("the end to be known", || {
            (other.line("PING").shown() == "+PONG").then_some(())
        });
        assert_eq!(other.line("MGET a b c").items().len(), 3);
    }
}

#[test]
fn functions_survive_a_dump() {
    let server = judged::start();
    let mut connection = server.connect();
    let library = |name: &str, function: &str, answer: u32| {
        format!(
            "#!lua name={name}\nredis.register_function('{function}', function() return {answer} end)"
        )
    };
    connection.line("FUNCTION FLUSH");
    connection.call(&["FUNCTION", "LOAD", &library("one", "f", 1)]);
    connection.call(&["FUNCTION", "LOAD", &library("two", "g", 2)]);
    let dump = connection.line("FUNCTION DUMP");
    let dump = dump.text().expect("a payload").to_vec();
    let mut restore = |words: &[&str]| {
        let mut all = vec![b"FUNCTION".to_vec(), b"RESTORE".to_vec(), dump.clone()];
        all.extend(words.iter().map(|word| word.as_bytes().to_vec()));
        connection.call(&all).shown()
    };
    assert_eq!(restore(&[]), "-ERR Library one already exists");
    assert_eq!(restore(&["REPLACE"]), "+OK");
    assert_eq!(restore(&["FLUSH"]), "+OK");
    let mut damaged = dump.clone();
    damaged[3] ^= 1;
    let words = [&b"FUNCTION"[..], b"RESTORE", &damaged];
    let refused = connection.call(&words).shown();
    assert_eq!(refused, "-ERR DUMP payload version or checksum are wrong");
    assert_eq!(connection.line("FCALL f 0"), Value::Int(1));
    assert_eq!(connection.line("FCALL g 0"), Value::Int(2));
    connection.line("FUNCTION FLUSH");
    connection.call(&["FUNCTION", "LOAD", &library("three", "f", 3)]);
    let words = [&b"FUNCTION"[..], b"RESTORE", &dump];
    let refused = connection.call(&words).shown();
    assert_eq!(refused, "-ERR Function f already exists");
    assert_eq!(connection.line("FCALL f 0"), Value::Int(3));
    assert_eq!(connection.line("FUNCTION LIST").items().len(), 1);
}
