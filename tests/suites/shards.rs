//! Commands that are about the whole server, on several shards: who asks from where makes no
//! difference, and an answer is about all.

use harness::connection::frame;
use harness::server::{SEVERAL, Setup, until};
use harness::{Connection, Program, Server, Value, scaled};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

fn setup() -> Setup {
    Server::setup(Program::Judged).shards(SEVERAL)
}

/// A connection on each shard, in the shards' order.
fn everywhere(server: &Server) -> Vec<Connection> {
    let mut found: HashMap<usize, Connection> = HashMap::new();
    let mut rest = Vec::new();
    until("a connection on each shard", || {
        let mut connection = server.connect();
        let shard = shard_of(&connection.line("CLIENT INFO").string());
        match found.get(&shard) {
            None => drop(found.insert(shard, connection)),
            // It stays open meanwhile: the next one goes where there are fewer.
            Some(_) => rest.push(connection),
        }
        (found.len() == SEVERAL).then_some(())
    });
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(shard, _)| *shard);
    found
        .into_iter()
        .map(|(_, connection)| connection)
        .collect()
}

fn shard_of(line: &str) -> usize {
    let field = line.split(' ').find_map(|f| f.strip_prefix("io-thread="));
    field
        .and_then(|n| n.parse().ok())
        .expect("a number of a shard")
}

fn field(fields: &HashMap<String, String>, name: &str) -> i64 {
    let value = fields
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {fields:?}"));
    value
        .parse()
        .unwrap_or_else(|_| panic!("{name} is '{value}'"))
}

#[test]
fn who_was_told_ok_finds_the_configuration_everywhere() {
    let server = setup().start();
    let mut all = everywhere(&server);
    for round in 0..scaled(100) {
        let value = (round + 1).to_string();
        let setter = round % all.len();
        let set = all[setter].call(&["CONFIG", "SET", "slowlog-max-len", &value]);
        assert_eq!(set, Value::ok());
        for connection in &mut all {
            let got = connection.line("CONFIG GET slowlog-max-len");
            assert_eq!(got.field("slowlog-max-len"), Some(Value::bulk(&value)));
        }
    }
    // Two at a time: both shards hold the same in the end.
    for round in 0..scaled(100) {
        let (a, b) = (format!("1{round}"), format!("2{round}"));
        all[0]
            .send(&["CONFIG", "SET", "slowlog-max-len", &a])
            .expect("sent");
        all[1]
            .send(&["CONFIG", "SET", "slowlog-max-len", &b])
            .expect("sent");
        assert_eq!((all[0].read(), all[1].read()), (Value::ok(), Value::ok()));
        let mut got = all.iter_mut().map(|c| c.line("CONFIG GET slowlog-max-len"));
        let first = got.next().expect("a shard");
        assert!(got.all(|other| other == first));
    }
    let bad = all[2].line("CONFIG SET slowlog-max-len x");
    assert!(bad.is_error(), "{bad}");
    // It concerns clients that are there already, and those that come.
    assert_eq!(all[1].line("CONFIG SET requirepass secret"), Value::ok());
    for connection in &mut all {
        assert_eq!(connection.line("PING"), Value::Simple(b"PONG".to_vec()));
    }
    for _ in 0..SEVERAL {
        assert!(server.connect().line("PING").string().starts_with("NOAUTH"));
    }
}

#[test]
fn any_shard_can_move_the_port() {
    let server = setup().start();
    let mut all = everywhere(&server);
    for setter in (0..all.len()).chain([0]) {
        let port = harness::server::free_port().expect("a port");
        let set = all[setter].call(&["CONFIG", "SET", "port", &port.to_string()]);
        assert_eq!(set, Value::ok());
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut new = Connection::tcp(address).expect("it listens there");
        assert_eq!(new.line("PING"), Value::Simple(b"PONG".to_vec()));
        assert_eq!(field(&all[1].info("server"), "tcp_port"), i64::from(port));
        let listener = &new.info("server")["listener0"];
        assert!(listener.ends_with(&format!("port={port}")), "{listener}");
    }
}

/// Writers on all shards send pipelines for keys on all shards, and commands on several keys; after
/// CLIENT PAUSE WRITE has said OK, nothing changes any more.
#[test]
fn nothing_is_written_after_a_pause_has_begun() {
    let server = setup().start();
    let mut all = everywhere(&server);
    let over = AtomicBool::new(false);
    let batch: Vec<u8> = (0..60)
        .flat_map(|i| match i % 3 {
            0 => frame(&["INCR".to_owned(), format!("n{i}")]),
            1 => frame(&["APPEND".to_owned(), format!("s{}", i % 7), "x".to_owned()]),
            _ => frame(
                &["MSET", "a", &i.to_string(), "b", &i.to_string(), "c", "1"].map(str::to_owned),
            ),
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..SEVERAL + 1 {
            let mut writer = server.connect();
            let (over, batch) = (&over, &batch);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    writer.pipeline(batch, 60);
                    writer.line("DEL s0 s1 s2 s3 s4 s5 s6");
                }
            });
        }
        let admins = all.len();
        // The writers have to end before a failure can be told.
        let mut seen = vec![Vec::new(); scaled(100)];
        for (round, seen) in seen.iter_mut().enumerate() {
            all[round % admins].line("CLIENT PAUSE 100000 WRITE");
            for _ in 0..2 {
                seen.extend(all.iter_mut().map(|c| c.line("DEBUG DIGEST")));
            }
            all[(round + 1) % admins].line("CLIENT UNPAUSE");
        }
        over.store(true, Ordering::Relaxed);
        for seen in seen {
            assert!(seen.iter().all(|digest| *digest == seen[0]), "{seen:?}");
        }
    });
}

#[test]
fn a_pause_holds_clients_of_all_shards_until_any_ends_it() {
    let server = setup().start();
    let (mut admins, mut all) = (everywhere(&server), everywhere(&server));
    for (i, ender) in (0..SEVERAL).zip((0..SEVERAL).rev()) {
        assert_eq!(admins[i].line("CLIENT PAUSE 100000 WRITE"), Value::ok());
        for connection in &mut all {
            connection.send(&["INCR", "n"]).expect("sent");
        }
        until("all clients to wait", || {
            let fields = admins[ender].info("clients");
            (field(&fields, "blocked_clients") == SEVERAL as i64).then_some(())
        });
        assert!(
            admins[ender]
                .line("GET n")
                .text()
                .is_none_or(|n| n == (i * SEVERAL).to_string().as_bytes())
        );
        assert_eq!(admins[ender].line("CLIENT UNPAUSE"), Value::ok());
        let mut sum: Vec<i64> = all.iter_mut().map(|c| c.read().int()).collect();
        sum.sort();
        let first = (i * SEVERAL) as i64;
        let want: Vec<i64> = (first + 1..=first + SEVERAL as i64).collect();
        assert_eq!(sum, want);
    }
    // A shorter one comes to its end by itself, on every shard.
    assert_eq!(admins[0].line("CLIENT PAUSE 30 ALL"), Value::ok());
    for connection in &mut all {
        assert_eq!(connection.line("PING"), Value::Simple(b"PONG".to_vec()));
    }
}

fn ids(list: &Value) -> Vec<i64> {
    let text = list.string();
    let ids = text.lines().map(|line| {
        let id = line.split(' ').next().and_then(|f| f.strip_prefix("id="));
        id.and_then(|id| id.parse().ok())
            .expect("a line begins with an id")
    });
    ids.collect()
}

#[test]
fn the_list_has_the_clients_of_all_shards_in_order() {
    let server = setup().start();
    let mut all = everywhere(&server);
    let mut own: Vec<i64> = all.iter_mut().map(|c| c.line("CLIENT ID").int()).collect();
    let shown = own.iter().rev().map(i64::to_string).collect::<Vec<_>>();
    let by_id: Vec<&str> = ["CLIENT", "LIST", "ID"]
        .into_iter()
        .chain(shown.iter().map(String::as_str))
        .collect();
    for connection in &mut all {
        let reversed: Vec<i64> = own.iter().rev().copied().collect();
        assert_eq!(ids(&connection.call(&by_id)), reversed);
        let me = connection.line("CLIENT ID").int();
        let listed = connection
            .call(&["CLIENT", "LIST", "ID", &me.to_string()])
            .string();
        assert!(listed.contains(" cmd=client|list "), "{listed}");
    }
    own.sort();
    for connection in &mut all {
        let listed = until("the others to be gone", || {
            let listed = ids(&connection.line("CLIENT LIST"));
            (listed.len() == own.len()).then_some(listed)
        });
        assert_eq!(listed, own);
        let others = ids(&connection.line("CLIENT LIST SKIPME yes"));
        assert_eq!(others.len(), own.len() - 1);
        assert_eq!(
            field(&connection.info("clients"), "connected_clients"),
            own.len() as i64
        );
        assert!(connection.line("CLIENT LIST TYPE nonsense").is_error());
    }
    all[1].line("CLIENT SETNAME somebody");
    let named = all[2].line("CLIENT LIST NAME somebody");
    assert_eq!(ids(&named).len(), 1);
}

#[test]
fn clients_of_other_shards_are_closed() {
    let server = setup().start();
    let mut all = everywhere(&server);
    let mut victims = everywhere(&server);
    for (i, victim) in victims.iter_mut().enumerate() {
        let id = victim.line("CLIENT ID").int().to_string();
        let killer = &mut all[(i + 1) % SEVERAL];
        assert_eq!(killer.call(&["CLIENT", "KILL", "ID", &id]).int(), 1);
        assert!(victim.line_if_open("PING") == Value::Closed, "{id} is open");
        assert_eq!(killer.call(&["CLIENT", "KILL", "ID", &id]).int(), 0);
    }
    let mut victims = everywhere(&server);
    for (i, victim) in victims.iter_mut().enumerate() {
        let line = victim.line("CLIENT INFO").string();
        let address = line.split(' ').find_map(|f| f.strip_prefix("addr="));
        let kill = ["CLIENT", "KILL", address.expect("an address")];
        let killer = &mut all[(i + 1) % SEVERAL];
        assert_eq!(killer.call(&kill), Value::ok());
        assert!(
            victim.line_if_open("PING") == Value::Closed,
            "{line} is open"
        );
        assert_eq!(killer.call(&kill), Value::error("ERR No such client"));
    }
    // Clients of the socket have all one address: the oldest goes, and no other.
    let mut local: Vec<Connection> = (0..2 * SEVERAL).map(|_| server.connect_unix()).collect();
    // One that has been answered has reached its shard.
    for connection in &mut local {
        assert_eq!(connection.line("PING"), Value::Simple(b"PONG".to_vec()));
    }
    let address = format!("{}:0", server.directory().join("socket").display());
    for gone in 0..local.len() {
        assert_eq!(all[0].call(&["CLIENT", "KILL", &address]), Value::ok());
        assert!(local[gone].line_if_open("PING") == Value::Closed, "{gone}");
        for later in &mut local[gone + 1..] {
            assert_eq!(later.line("PING"), Value::Simple(b"PONG".to_vec()));
        }
    }
    // All of them, the caller last and answered.
    let alive = ids(&all[0].line("CLIENT LIST")).len() as i64;
    assert!(alive >= SEVERAL as i64);
    assert_eq!(
        all[1].line("CLIENT KILL TYPE normal SKIPME no").int(),
        alive
    );
    for connection in &mut all {
        assert!(connection.line_if_open("PING") == Value::Closed);
    }
}

#[test]
fn info_adds_up_what_the_shards_count() {
    let server = setup().start();
    let mut all = everywhere(&server);
    let mut added = 0;
    for (i, connection) in all.iter_mut().enumerate() {
        assert_eq!(connection.line("CONFIG RESETSTAT"), Value::ok());
        assert_eq!(field(&connection.info("stats"), "keyspace_hits"), 0);
        for key in 0..50 {
            let name = format!("{i}:{key}");
            connection.call(&["SET", &name, "v", "EX", "1000"]);
            added += 1;
        }
        for key in 0..10 {
            assert_eq!(
                connection.call(&["GET", &format!("{i}:{key}")]),
                Value::bulk("v")
            );
            connection.call(&["GET", &format!("none:{key}")]);
        }
        connection.line("MGET x y z w v u t s");
        assert!(connection.line("INCR 0:0").is_error());
        assert!(connection.line("NOSUCH").is_error());
        let stats = connection.info("all");
        assert_eq!(field(&stats, "keyspace_hits"), 10);
        assert_eq!(field(&stats, "keyspace_misses"), 18);
        assert_eq!(field(&stats, "total_error_replies"), 2);
        assert_eq!(stats["errorstat_ERR"], "count=2");
        assert!(
            stats["cmdstat_set"].starts_with("calls=50,"),
            "{}",
            stats["cmdstat_set"]
        );
        assert!(
            stats["cmdstat_mget"].starts_with("calls=1,"),
            "{}",
            stats["cmdstat_mget"]
        );
        assert!(
            stats["cmdstat_incr"].ends_with("failed_calls=1"),
            "{}",
            stats["cmdstat_incr"]
        );
        assert!(stats.contains_key("latency_percentiles_usec_set"));
        let keyspace = format!("keys={added},expires={added},");
        assert!(stats["db0"].starts_with(&keyspace), "{}", stats["db0"]);
        assert_eq!(field(&stats, "rdb_changes_since_last_save"), added);
        assert_eq!(field(&stats, "shards"), SEVERAL as i64);
        let keys = (0..SEVERAL).map(|shard| {
            let of = &stats[&format!("shard{shard}")];
            let keys = of.split(',').find_map(|f| f.strip_prefix("keys="));
            keys.and_then(|n| n.parse::<i64>().ok())
                .expect("a number of keys")
        });
        assert_eq!(keys.sum::<i64>(), added);
        assert!(field(&stats, "flights") > 0);
        assert!(field(&stats, "transactions") > 0);
        assert!(field(&stats, "messages_sent") > 0);
    }
    let memory = all[1].line("MEMORY STATS");
    assert_eq!(memory.field("keys.count"), Some(Value::Int(added)));
    let used = memory.field("total.allocated").expect("a field").int();
    assert!(used < memory.field("peak.allocated").expect("a field").int() + 1);
    let fields = all[2].info("memory");
    assert!(field(&fields, "used_memory_dataset") > 0);
    assert!(field(&fields, "used_memory") > field(&fields, "used_memory_startup"));
    assert!(all[0].line("MEMORY DOCTOR").text().is_some());
    assert!(
        all[0]
            .line("MEMORY MALLOC-STATS")
            .string()
            .contains("slabs: ")
    );
    assert_eq!(all[0].line("MEMORY PURGE"), Value::ok());
}

#[test]
fn debug_sees_the_data_of_all_shards() {
    let (server, single) = (
        setup().start(),
        Server::setup(Program::Judged).shards(1).start(),
    );
    let mut all = everywhere(&server);
    let mut one = single.connect();
    for line in [
        "DEBUG POPULATE 500",
        "DEBUG POPULATE 20 key 100",
        "DEBUG POPULATE 30 {tag} 100",
        "MSET a 1 b two c 3",
        "EXPIRE b 1000",
        "SELECT 5",
        "SET other 1",
        "SELECT 0",
    ] {
        assert_eq!(all[1].line(line), one.line(line), "{line}");
    }
    let keys = "DEBUG DIGEST-VALUE a b c key:1 none {tag}:3 key:499";
    for connection in &mut all {
        for line in [
            "DBSIZE",
            "DEBUG DIGEST",
            keys,
            "DEBUG DIGEST-VALUE",
            "DEBUG POPULATE x",
            "DEBUG OBJECT none",
        ] {
            assert_eq!(connection.line(line), one.line(line), "{line}");
        }
        for key in ["a", "b", "c", "key:7"] {
            let (here, there) = (
                connection.call(&["DEBUG", "OBJECT", key]),
                one.call(&["DEBUG", "OBJECT", key]),
            );
            let encoding = |line: &Value| {
                line.string()
                    .split(' ')
                    .find(|f| f.starts_with("encoding"))
                    .map(str::to_owned)
            };
            assert!(encoding(&here).is_some(), "{here}");
            assert_eq!(encoding(&here), encoding(&there));
        }
        let tables = connection.line("DEBUG HTSTATS 0").string();
        let entries = tables
            .lines()
            .filter_map(|l| l.trim().strip_prefix("entries: "));
        let entries: Vec<usize> = entries.filter_map(|n| n.parse().ok()).collect();
        assert_eq!(entries.len(), SEVERAL, "{tables}");
        assert_eq!(entries.iter().sum::<usize>(), 533);
        assert_eq!(
            connection.line("DEBUG HTSTATS 16"),
            one.line("DEBUG HTSTATS 16")
        );
        assert_eq!(connection.line("DEBUG STRINGMATCH-LEN a* abc").int(), 1);
    }
    all[2].line("DEL key:3");
    assert_ne!(all[0].line("DEBUG DIGEST"), one.line("DEBUG DIGEST"));
}

#[test]
fn switches_of_debug_are_for_all_shards() {
    let server = setup().start();
    let mut all = everywhere(&server);
    assert_eq!(all[0].line("DEBUG SET-ACTIVE-EXPIRE 0"), Value::ok());
    for key in 0..100 {
        all[1].call(&["SET", &format!("k{key}"), "v", "PX", "1"]);
    }
    // Time for several rounds of the sweep on each shard, if it went on.
    let cycles = |c: &mut Connection| field(&c.info("stats"), "eventloop_cycles");
    let begun = cycles(&mut all[1]);
    until("the loops to go round", || {
        (cycles(&mut all[1]) > begun + 200).then_some(())
    });
    assert_eq!(all[2].line("DBSIZE").int(), 100);
    assert_eq!(all[2].line("DEBUG SET-ACTIVE-EXPIRE 1"), Value::ok());
    until("keys of all shards to expire", || {
        (all[1].line("DBSIZE").int() == 0).then_some(())
    });
}

#[test]
fn replies_of_such_commands_keep_their_place() {
    let server = setup().start();
    for connection in &mut everywhere(&server) {
        let mut bytes = Vec::new();
        for i in 0..20 {
            for line in [
                "SET k x",
                "CONFIG SET hz 10",
                "GET k",
                "CLIENT REPLY SKIP",
                "INFO",
                "DEBUG DIGEST",
            ] {
                let line = line.replace('x', &i.to_string());
                bytes.extend(frame(&line.split(' ').collect::<Vec<_>>()));
            }
        }
        let replies = connection.pipeline(&bytes, 80);
        for (i, group) in replies.chunks(4).enumerate() {
            assert_eq!(group[..2], [Value::ok(), Value::ok()]);
            assert_eq!(group[2], Value::bulk(i.to_string()));
            assert_eq!(group[3].string().len(), 40, "{}", group[3]);
        }
        connection.send(&["CLIENT", "REPLY", "OFF"]).expect("sent");
        connection.send(&["CLIENT", "LIST"]).expect("sent");
        connection
            .send(&["CLIENT", "KILL", "1.2.3.4:5"])
            .expect("sent");
        assert_eq!(connection.line("CLIENT REPLY ON"), Value::ok());
    }
}

#[test]
fn any_shard_can_end_the_server() {
    for shard in 0..SEVERAL {
        let mut server = setup().start();
        let mut all = everywhere(&server);
        all[shard].send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
        assert!(server.wait().success(), "{}", server.log());
    }
}
