//! MONITOR: who sees which commands, and how.

use crate::judged;
use harness::server::until;
use harness::{Connection, Value};

/// The lines that a monitor has been sent up to `ECHO end`, without times and addresses.
fn lines(monitor: &mut Connection) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = monitor.read().string();
        let (time, rest) = line.split_once(" [").expect("a time");
        let (seconds, micros) = time.split_once('.').expect("a point");
        assert!(
            seconds.parse::<u64>().is_ok() && micros.len() == 6,
            "{line}"
        );
        let (source, words) = rest.split_once("] ").expect("an address");
        let (db, address) = source.split_once(' ').expect("a database");
        let is_script = address == "lua";
        assert!(is_script || address.starts_with("127.0.0.1:"), "{line}");
        if words == r#""ECHO" "end""# {
            return lines;
        }
        let source = if is_script { "lua " } else { "" };
        lines.push(format!("{db} {source}{words}"));
    }
}

fn monitor(mut connection: Connection) -> Connection {
    assert_eq!(connection.line("MONITOR"), Value::ok());
    connection
}

#[test]
fn all_monitors_see_what_a_client_calls_in_its_order() {
    let server = judged::start();
    // Enough for every shard to have some.
    let mut monitors: Vec<Connection> = (0..4).map(|_| monitor(server.connect())).collect();
    let mut client = server.connect();
    client.call(&[&b"SET"[..], b"key", b"a\"b\\\r\n\t\x01\xff \x07\x08"]);
    let mut wanted = vec![r#"0 "SET" "key" "a\"b\\\r\n\t\x01\xff \a\b""#.to_owned()];
    let mut pipeline = Vec::new();
    for i in 0..100 {
        let key = format!("key{i}");
        pipeline.extend(harness::connection::frame(&["SET", &key, "1"]));
        pipeline.extend(harness::connection::frame(&["GET", &key]));
        wanted.push(format!(r#"0 "SET" "{key}" "1""#));
        wanted.push(format!(r#"0 "GET" "{key}""#));
    }
    client.pipeline(&pipeline, 200);
    for (line, shown) in [
        ("MSET a 1 b 2 c 3", r#"0 "MSET" "a" "1" "b" "2" "c" "3""#),
        (
            "AUTH user password",
            r#"0 "AUTH" "(redacted)" "(redacted)""#,
        ),
        (
            "HELLO 2 AUTH default password",
            r#"0 "HELLO" "2" "AUTH" "(redacted)" "(redacted)""#,
        ),
        // Neither what is for administrators nor what is refused.
        ("CONFIG GET port", ""),
        ("CLIENT LIST", ""),
        ("GET", ""),
        ("NOSUCH 1", ""),
        ("SELECT 3", r#"3 "SELECT" "3""#),
        ("get a", r#"3 "get" "a""#),
        ("SELECT 0", r#"0 "SELECT" "0""#),
        // Queued commands when they are executed.
        ("MULTI", r#"0 "MULTI""#),
        ("SET x 1", r#"0 "SET" "x" "1""#),
        ("GET y", r#"0 "GET" "y""#),
        ("PING", r#"0 "PING""#),
        ("EXEC", r#"0 "EXEC""#),
        ("WATCH x", r#"0 "WATCH" "x""#),
        ("SET x 2", r#"0 "SET" "x" "2""#),
        ("MULTI", r#"0 "MULTI""#),
        ("SET x 3", ""),
        ("EXEC", r#"0 "EXEC""#),
        ("ECHO end", ""),
    ] {
        client.line(line);
        if !shown.is_empty() {
            wanted.push(shown.to_owned());
        }
    }
    for monitor in &mut monitors {
        assert_eq!(lines(monitor), wanted);
    }
}

#[test]
fn scripts_are_shown_before_what_they_call() {
    let server = judged::start();
    let mut monitors: Vec<Connection> = (0..4).map(|_| monitor(server.connect())).collect();
    let mut client = server.connect();
    let mut wanted = Vec::new();
    let called = "redis.call('SET', KEYS[1] or ARGV[1], '1') redis.call('SELECT', '3') \
                  return redis.pcall('LPUSH', KEYS[1] or ARGV[1], 'x')";
    // Named or not, one on each shard.
    for (keys, name) in [
        ("1", "a"),
        ("1", "b"),
        ("1", "c"),
        ("0", "a"),
        ("0", "b"),
        ("0", "c"),
    ] {
        client.call(&["EVAL", called, keys, name]);
        wanted.push(format!(r#"0 "EVAL" "{called}" "{keys}" "{name}""#));
        wanted.push(format!(r#"0 lua "SET" "{name}" "1""#));
        wanted.push(r#"3 lua "SELECT" "3""#.to_owned());
        wanted.push(format!(r#"3 lua "LPUSH" "{name}" "x""#));
    }
    let several = "for _, name in ipairs(ARGV) do redis.call('INCR', name) end";
    client.call(&["EVAL", several, "0", "x", "y", "z"]);
    wanted.push(format!(r#"0 "EVAL" "{several}" "0" "x" "y" "z""#));
    wanted.extend(["x", "y", "z"].map(|name| format!(r#"0 lua "INCR" "{name}""#)));
    for words in [
        &["MULTI"][..],
        &["GET", "x"],
        &["EVAL", several, "0", "y", "z"],
        &["ECHO", "hello"],
        &["EXEC"],
    ] {
        client.call(words);
    }
    wanted.extend([r#"0 "MULTI""#, r#"0 "GET" "x""#].map(str::to_owned));
    wanted.push(format!(r#"0 "EVAL" "{several}" "0" "y" "z""#));
    wanted.extend(["y", "z"].map(|name| format!(r#"0 lua "INCR" "{name}""#)));
    wanted.extend([r#"0 "ECHO" "hello""#, r#"0 "EXEC""#].map(str::to_owned));
    client.line("ECHO end");
    for monitor in &mut monitors {
        assert_eq!(lines(monitor), wanted);
    }
}

#[test]
fn monitoring_ends() {
    let server = judged::start();
    let mut watcher = server.connect();
    let two = monitor(server.connect_as(3));
    let mut one = monitor(server.connect());
    let count = |watcher: &mut Connection| {
        let list = watcher.line("CLIENT LIST").string();
        list.lines().filter(|l| l.contains(" flags=O")).count()
    };
    assert_eq!(count(&mut watcher), 2);
    assert_eq!(one.line("RESET"), Value::Simple("RESET".into()));
    assert_eq!(count(&mut watcher), 1);
    // It may do everything again, and sees nothing.
    assert_eq!(watcher.line("SET key 1"), Value::ok());
    assert_eq!(one.line("GET key"), Value::bulk("1"));
    drop(two);
    until("the monitor to be gone", || {
        (count(&mut watcher) == 0).then_some(())
    });
    assert_eq!(watcher.line("PING"), Value::Simple("PONG".into()));
    let mut last = monitor(server.connect());
    assert_eq!(watcher.line("PING"), Value::Simple("PONG".into()));
    assert!(last.read().string().ends_with(r#""PING""#));
    last.send(&["QUIT"]).expect("sent");
    assert_eq!(last.read(), Value::ok());
    assert_eq!(last.read(), Value::Closed);
}

#[test]
fn a_monitor_may_not_touch_keys() {
    let server = judged::start();
    let mut one = monitor(server.connect());
    let refused = Value::error("ERR Replica can't interact with the keyspace");
    assert_eq!(one.line("GET key"), refused);
    assert_eq!(one.line("SET key 1"), refused);
    assert_eq!(one.line("PUBLISH channel x"), refused);
    assert_eq!(one.line("PING"), Value::Simple("PONG".into()));
    assert!(one.read().string().ends_with(r#""PING""#));
    let mut other = server.connect();
    assert_eq!(other.line("MULTI"), Value::ok());
    assert_eq!(other.line("MONITOR"), Value::Simple("QUEUED".into()));
    assert_eq!(
        other.line("EXEC").items()[0],
        Value::error("ERR MONITOR isn't allowed for DENY BLOCKING client")
    );
}

/// A monitor that does not read is closed when its limit is reached.
#[test]
fn output_limits_hold_for_monitors() {
    let server = judged::start();
    let mut client = server.connect();
    let limits = [
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "normal 1mb 0 0",
    ];
    assert_eq!(client.call(&limits), Value::ok());
    let _lazy = monitor(server.connect());
    let long = "x".repeat(100_000);
    until("the monitor to be closed", || {
        client.call(&["ECHO", &long]);
        let list = client.line("CLIENT LIST").string();
        (!list.contains(" flags=O")).then_some(())
    });
}
