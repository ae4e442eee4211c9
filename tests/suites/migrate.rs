//! MIGRATE, to and from other servers.

use harness::server::SEVERAL;
use harness::{Connection, Program, Server, Value};
use std::net::TcpListener;

fn fill(connection: &mut Connection) {
    for line in [
        "SET a 1",
        "SET b 2 PX 100000",
        "RPUSH list x y z",
        "HSET hash f v",
        "ZADD zset 1 m",
        "SET stays 1",
        "SET taken here",
    ] {
        connection.line(line);
    }
}

/// What is asked, in which PORT and CLOSED are ports where the target is, and nobody.
const CALLS: &[&str] = &[
    "MIGRATE 127.0.0.1 PORT nothing 0 1000",
    "MIGRATE 127.0.0.1 PORT a 0 1000",
    "EXISTS a",
    "MIGRATE 127.0.0.1 PORT b 0 1000 COPY",
    "MIGRATE 127.0.0.1 PORT b 0 1000",
    "MIGRATE 127.0.0.1 PORT b 0 1000 REPLACE",
    "EXISTS b",
    "MIGRATE 127.0.0.1 PORT EMPTY 0 1000 KEYS list hash nothing zset",
    "EXISTS list hash zset",
    "MIGRATE 127.0.0.1 PORT taken 0 1000",
    "MIGRATE 127.0.0.1 PORT EMPTY 0 1000 KEYS taken stays",
    "EXISTS taken",
    "EXISTS stays",
    "MIGRATE 127.0.0.1 PORT taken 99 1000",
    "EXISTS taken",
    "MIGRATE 127.0.0.1 PORT taken 0 1000 AUTH wrong",
    "MIGRATE 127.0.0.1 PORT taken 0 1000 AUTH2 nobody wrong",
    "MIGRATE 127.0.0.1 CLOSED taken 0 1000",
    "MIGRATE 127.0.0.1 PORT taken x 1000",
    "MIGRATE 127.0.0.1 PORT taken 0 x",
    "MIGRATE 127.0.0.1 PORT taken 0 1000 AUTH",
    "MIGRATE 127.0.0.1 PORT taken 0 1000 NOTHING",
    "MIGRATE 127.0.0.1 PORT taken 0 1000 KEYS a",
    "MIGRATE 127.0.0.1 PORT",
    "MULTI",
    "MIGRATE 127.0.0.1 PORT taken 0 1000 COPY REPLACE",
    "EXEC",
    "DBSIZE",
];

/// The answers of a server that gives its keys to another one, and what that has then.
fn answers(from: &Server, to: &Server) -> (Vec<Value>, String) {
    let (mut source, mut target) = (from.connect(), to.connect());
    target.line("FLUSHALL");
    source.line("FLUSHALL");
    fill(&mut source);
    target.line("SET taken there");
    let closed = harness::server::free_port().expect("a port").to_string();
    let answers = CALLS.iter().map(|call| {
        let words = call.split(' ').map(|word| match word {
            "PORT" => to.port().to_string(),
            "CLOSED" => closed.clone(),
            "EMPTY" => String::new(),
            word => word.to_owned(),
        });
        source.call(&words.collect::<Vec<_>>())
    });
    let answers = answers.collect();
    let left = target.line("PTTL b");
    assert!(matches!(left, Value::Int(90_000..=100_000)), "{left}");
    target.line("PERSIST b");
    (answers, target.line("DEBUG DIGEST").string())
}

#[test]
fn keys_go_to_other_servers_as_from_redis() {
    let Ok(_) = Program::Redis7.path() else {
        println!("left out: there is no Redis to ask");
        return;
    };
    let redis = Server::setup(Program::Redis7).start();
    let target = Server::setup(Program::Redis7).start();
    let (want, digest) = answers(&redis, &target);
    for shards in [1, SEVERAL] {
        let setup = || Server::setup(Program::Judged).shards(shards);
        let (ours, other) = (setup().start(), setup().start());
        for to in [&target, &other] {
            let (found, found_digest) = answers(&ours, to);
            for ((call, want), found) in CALLS.iter().zip(&want).zip(&found) {
                assert_eq!(found, want, "{call}, {shards} shards");
            }
            assert_eq!(found_digest, digest, "{shards} shards");
        }
        let (found, _) = answers(&redis, &other);
        assert_eq!(found, want, "from Redis to {shards} shards");
    }
}

/// While one client waits for a server that does not answer, the others of its shard go on.
#[test]
fn a_server_that_does_not_answer_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port().to_string();
    for shards in [1, SEVERAL] {
        let server = Server::setup(Program::Judged).shards(shards).start();
        let (mut client, mut other) = (server.connect(), server.connect());
        fill(&mut client);
        let words = [
            "MIGRATE",
            "127.0.0.1",
            &port,
            "",
            "0",
            "1500",
            "KEYS",
            "a",
            "list",
        ];
        client.send(&words).expect("sent");
        for i in 0..100 {
            assert_eq!(other.line(&format!("SET other:{i} 1")), Value::ok());
        }
        let answer = client.read();
        let want = Value::error("IOERR error or timeout reading from target instance");
        assert_eq!(answer, want);
        assert_eq!(client.line("EXISTS a list"), Value::Int(2));
    }
}
