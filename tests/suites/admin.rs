//! Commands that look into a running server, change how it runs, or end it.

use crate::judged;
use harness::server::{free_port, until};
use harness::{Connection, Value};
use std::net::{Ipv4Addr, SocketAddr};

fn connect(port: u16) -> std::io::Result<Connection> {
    Connection::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// The server moves to another port; clients that are there stay, and a port that cannot be had
/// changes nothing.
#[test]
fn the_port_changes_while_it_runs() {
    let server = judged::start();
    let other = judged::start();
    let mut connection = server.connect();
    let taken = other.port().to_string();
    let reply = connection.call(&["CONFIG", "SET", "hz", "50", "port", &taken]);
    let want = "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on \
                this port. Check server logs.";
    assert_eq!(reply, Value::error(want));
    assert_eq!(
        connection.line("CONFIG GET hz").field("hz"),
        Some(Value::bulk("10"))
    );
    // It listens again on the old one.
    until("the old port to be served", || {
        let mut second = server.try_connect().ok()?;
        (second.line("PING") == Value::Simple(b"PONG".to_vec())).then_some(())
    });
    let port = free_port().expect("a port");
    let reply = connection.call(&["CONFIG", "SET", "port", &port.to_string()]);
    assert_eq!(reply, Value::ok(), "{}", server.log());
    let mut moved = connect(port).expect("the new port is served");
    assert_eq!(moved.line("SET k v"), Value::ok());
    assert_eq!(connection.line("GET k"), Value::bulk("v"));
    assert!(server.try_connect().is_err(), "the old port is still open");
    let info = moved.line("INFO server").string();
    assert!(info.contains(&format!("tcp_port:{port}\r\n")), "{info}");
}

#[test]
fn commands_are_renamed_and_removed() {
    let server = judged::setup()
        .with_words("rename-command", &["CONFIG", "a-long-secret-name"])
        .with_words("rename-command", &["FLUSHALL", ""])
        .start();
    let mut connection = server.connect();
    assert!(connection.line("CONFIG GET hz").is_error());
    let reply = connection.line("A-Long-Secret-Name GET hz");
    assert_eq!(reply.field("hz"), Some(Value::bulk("10")));
    let want = "ERR unknown command 'flushall', with args beginning with: ";
    assert_eq!(connection.line("flushall"), Value::error(want));
    let reply = judged::setup()
        .with_words("rename-command", &["NOSUCH", "x"])
        .try_start();
    let why = reply.expect_err("an unknown command stops the start");
    assert!(why.contains("No such command in rename-command"), "{why}");
}

#[test]
fn debug_needs_leave() {
    let refused = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \
                   \"local\", you can run it from a local connection, otherwise you need to set \
                   this option in the configuration file, and then restart the server.";
    for (access, want) in [
        ("no", Value::error(refused)),
        ("local", Value::ok()),
        ("yes", Value::ok()),
    ] {
        let server = judged::setup().with("enable-debug-command", access).start();
        assert_eq!(server.connect().line("DEBUG SLEEP 0"), want, "{access}");
    }
}

/// A bug on a shard is reported and ends the process; nobody gets wrong answers.
#[test]
fn a_panic_ends_it_with_a_report() {
    let mut server = judged::start();
    let mut connection = server.connect();
    connection.send(&["DEBUG", "PANIC"]).expect("sent");
    assert_eq!(connection.read(), Value::Closed);
    assert!(!server.wait().success());
    let log = server.log();
    assert!(log.contains("has crashed"), "{log}");
    assert!(log.contains("DEBUG PANIC was called"), "{log}");
}

/// With the periodic work paused, keys whose time has come stay until somebody asks for them.
#[test]
fn the_periodic_work_can_be_paused() {
    let server = judged::setup().with("hz", "500").start();
    let mut connection = server.connect();
    let server_us = |connection: &mut Connection| -> i64 {
        let time = connection.line("TIME");
        let part = |i: usize| time.items()[i].string().parse::<i64>().expect("a number");
        part(0) * 1_000_000 + part(1)
    };
    assert_eq!(connection.line("DEBUG PAUSE-CRON 1"), Value::ok());
    connection.line("SET k v PX 1");
    let start_us = server_us(&mut connection);
    until("fifty periods to pass", || {
        (server_us(&mut connection) > start_us + 100_000).then_some(())
    });
    assert_eq!(connection.line("DBSIZE").int(), 1);
    assert_eq!(connection.line("DEBUG PAUSE-CRON 0"), Value::ok());
    until("the key to be swept", || {
        (connection.line("DBSIZE").int() == 0).then_some(())
    });
}

#[test]
fn latencies_are_told_by_percentile() {
    let server = judged::start();
    let mut connection = server.connect();
    for _ in 0..100 {
        connection.line("GET k");
    }
    let line = |connection: &mut Connection| -> Option<String> {
        let text = connection.line("INFO latencystats").string();
        let mut lines = text.lines();
        let found = lines.find_map(|l| l.strip_prefix("latency_percentiles_usec_get:"))?;
        Some(found.to_owned())
    };
    let shown = line(&mut connection).expect("percentiles of GET");
    let values: Vec<(&str, f64)> = shown
        .split(',')
        .map(|part| part.split_once('=').expect("name and value"))
        .map(|(name, value)| (name, value.parse().expect("a number")))
        .collect();
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["p50", "p99", "p99.9"]);
    assert!(values[0].1 > 0.0, "{shown}");
    assert!(values.is_sorted_by(|a, b| a.1 <= b.1), "{shown}");
    connection.line("CONFIG SET latency-tracking-info-percentiles 75");
    assert!(
        line(&mut connection)
            .expect("still there")
            .starts_with("p75=")
    );
    connection.line("CONFIG RESETSTAT");
    connection.line("CONFIG SET latency-tracking no");
    connection.line("GET k");
    assert_eq!(line(&mut connection), None);
}

#[test]
fn memory_is_accounted_for() {
    let server = judged::start();
    let mut connection = server.connect_as(3);
    connection.line("DEBUG POPULATE 100000 key 16");
    let reply = connection.line("MEMORY STATS");
    let figure = |name: &str| {
        let value = reply.field(name).unwrap_or_else(|| panic!("no {name}"));
        value.int()
    };
    assert_eq!(figure("keys.count"), 100_000);
    let total = figure("total.allocated");
    assert!(figure("peak.allocated") >= total);
    assert_eq!(
        figure("overhead.total") + figure("dataset.bytes"),
        total,
        "{reply}"
    );
    let per_key = figure("keys.bytes-per-key");
    assert!((32..80).contains(&per_key), "{per_key}");
    assert!(figure("allocator.active") >= total, "{reply}");
    assert!(figure("allocator.resident") >= figure("allocator.active"));
    assert!(connection.line("MEMORY DOCTOR").text().is_some());
    let report = connection.line("MEMORY MALLOC-STATS").string();
    assert!(report.contains("slabs: "), "{report}");
    assert_eq!(connection.line("MEMORY PURGE"), Value::ok());
}

/// A server that cannot save does not end, unless it is forced to; and words that contradict one another
/// end nothing.
#[test]
fn shutdown_refuses_what_it_cannot_do() {
    let mut server = judged::start();
    let mut connection = server.connect();
    for words in ["SAVE NOSAVE", "NOW ABORT", "FOO", "NOSAVE FOO"] {
        let reply = connection.line(&format!("SHUTDOWN {words}"));
        assert_eq!(reply, Value::error("ERR syntax error"), "{words}");
    }
    let reply = connection.line("SHUTDOWN ABORT");
    assert_eq!(reply, Value::error("ERR No shutdown in progress."));
    std::fs::remove_dir_all(server.directory()).expect("it can be removed");
    let reply = connection.line("SHUTDOWN SAVE");
    let want = "ERR Errors trying to SHUTDOWN. Check logs.";
    assert_eq!(reply, Value::error(want));
    assert!(server.alive());
    connection
        .send(&["SHUTDOWN", "SAVE", "FORCE"])
        .expect("sent");
    assert_eq!(connection.read(), Value::Closed);
    assert_eq!(server.wait().code(), Some(0));
}

/// What a user could take the server for, and it is not, stands in the log as a warning.
#[test]
fn grave_settings_are_warned_of() {
    let server = judged::setup()
        .with_words("replicaof", &["127.0.0.1", "1"])
        .with("list-compress-depth", "1")
        .start();
    let log = server.log();
    let warning = "# WARNING: command line: 'replicaof' has no effect here";
    assert!(log.contains(warning), "{log}");
    let notice = "* command line: 'list-compress-depth' has no effect here";
    assert!(log.contains(notice), "{log}");
}

/// Clients that wait for the disk are answered in order, and hold nobody up.
#[test]
fn a_rewrite_is_answered_in_its_turn() {
    let first = judged::start();
    let path = first.directory().join("own.conf");
    std::fs::write(&path, "maxclients 100\n").expect("a file");
    let server = judged::setup().file(&path).start();
    let mut clients: Vec<Connection> = (0..5).map(|_| server.connect()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        let frames = format!(
            "CONFIG SET maxclients {}\r\nCONFIG REWRITE\r\nECHO {i}\r\n",
            200 + i
        );
        client.send_raw(frames.as_bytes()).expect("sent");
    }
    for (i, client) in clients.iter_mut().enumerate() {
        let replies = client.read_many(3);
        let want = [Value::ok(), Value::ok(), Value::bulk(i.to_string())];
        assert_eq!(replies, want);
    }
    let now = clients[0].line("CONFIG GET maxclients");
    let now = now.field("maxclients").expect("a value").string();
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(
        text.contains(&format!("maxclients {now}\n")),
        "{now}:\n{text}"
    );
}
