//! CONFIG, and configuration files.

use crate::judged;
use harness::{Server, Value};
use std::fs;
use std::path::PathBuf;

/// All directives with their values.
fn all(server: &Server) -> Vec<(String, String)> {
    let reply = server.connect().line("CONFIG GET *");
    reply
        .pairs()
        .into_iter()
        .map(|(name, value)| (name.string(), value.string()))
        .collect()
}

/// What CONFIG GET shows, CONFIG SET takes, unless the directive cannot change at run time at all.
#[test]
fn every_value_that_is_shown_can_be_set() {
    let server = judged::start();
    let mut connection = server.connect();
    let mut count = 0;
    for (name, value) in all(&server) {
        let reply = connection.call(&["CONFIG", "SET", &name, &value]);
        let fixed = reply.is_error()
            && (reply.string().contains("can't set immutable config")
                || reply.string().contains("can't set protected config"));
        assert!(reply == Value::ok() || fixed, "{name} '{value}': {reply}");
        count += usize::from(!fixed);
    }
    assert!(count > 100, "only {count} directives can be set");
}

#[test]
fn several_are_set_or_none() {
    let server = judged::start();
    let mut connection = server.connect();
    let before = connection.line("CONFIG GET slowlog-max-len hz");
    for bad in [
        "CONFIG SET slowlog-max-len 5 hz abc",
        "CONFIG SET slowlog-max-len 5 nosuch 1",
    ] {
        assert!(connection.line(bad).is_error(), "{bad}");
        assert_eq!(
            connection.line("CONFIG GET slowlog-max-len hz"),
            before,
            "after {bad}"
        );
    }
    assert_eq!(
        connection.line("CONFIG SET slowlog-max-len 5 hz 20"),
        Value::ok()
    );
    let after = connection.line("CONFIG GET slowlog-max-len hz");
    assert_eq!(after.field("slowlog-max-len"), Some(Value::bulk("5")));
    assert_eq!(after.field("hz"), Some(Value::bulk("20")));
}

#[test]
fn names_are_found_by_patterns() {
    let server = judged::start();
    let mut connection = server.connect();
    let names = |reply: Value| {
        let mut names: Vec<String> = reply
            .pairs()
            .iter()
            .map(|(name, _)| name.string())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(connection.line("CONFIG GET maxmemory-p*")),
        ["maxmemory-policy"]
    );
    assert_eq!(
        names(connection.line("CONFIG GET *-policy hz")),
        ["hz", "maxmemory-policy"]
    );
    assert!(names(connection.line("CONFIG GET nosuch*")).is_empty());
}

/// A file as people write them, changed at run time and rewritten: comments and order stay, changed
/// values change in place, new ones come at the end.
#[test]
fn rewrite_keeps_what_was_written() {
    let server = judged::start();
    let path = server.directory().join("own.conf");
    let text = "# My server.\nport PORT\n\n  # As many as fit.\nmaxclients 100\n\
                save \"\"\nmaxmemory 100mb\n# The end.\n";
    let port = harness::server::free_port().expect("a port").to_string();
    fs::write(&path, text.replace("PORT", &port)).expect("the file can be written");
    let second = judged::setup().file(&path).start();
    let mut connection = second.connect();
    assert_eq!(
        connection.line("CONFIG SET maxclients 50 slowlog-max-len 77"),
        Value::ok()
    );
    assert_eq!(connection.line("CONFIG REWRITE"), Value::ok());
    let rewritten = fs::read_to_string(&path).expect("the file is there");
    let position = |part: &str| {
        rewritten
            .find(part)
            .unwrap_or_else(|| panic!("no '{part}' in:\n{rewritten}"))
    };
    let order = [
        "# My server.",
        "# As many as fit.",
        "maxclients 50",
        "maxmemory 100mb",
        "# The end.",
    ];
    let places = order.map(position);
    assert!(places.is_sorted(), "{places:?}\n{rewritten}");
    position("slowlog-max-len 77");
    assert!(!rewritten.contains("maxclients 100"), "{rewritten}");
    // The second is still there, because the file now names its directory too.
    let third = judged::setup().file(&path).start();
    let reply = third
        .connect()
        .line("CONFIG GET maxclients slowlog-max-len maxmemory");
    assert_eq!(reply.field("maxclients"), Some(Value::bulk("50")));
    assert_eq!(reply.field("slowlog-max-len"), Some(Value::bulk("77")));
    assert_eq!(reply.field("maxmemory"), Some(Value::bulk("104857600")));
}

#[test]
fn rewrite_needs_a_file() {
    let server = judged::start();
    let reply = server.connect().line("CONFIG REWRITE");
    assert_eq!(
        reply,
        Value::error("ERR The server is running without a config file")
    );
}

#[test]
fn resetstat_starts_the_counters_again() {
    let server = judged::start();
    let mut connection = server.connect();
    for _ in 0..10 {
        connection.line("GET k");
    }
    let count = |connection: &mut harness::Connection| {
        let info = connection.line("INFO stats").string();
        let line = info
            .lines()
            .find_map(|l| l.strip_prefix("total_commands_processed:"));
        line.expect("a line").parse::<u64>().expect("a number")
    };
    assert!(count(&mut connection) >= 10);
    assert_eq!(connection.line("CONFIG RESETSTAT"), Value::ok());
    assert!(count(&mut connection) <= 2);
    assert!(
        !connection
            .line("INFO commandstats")
            .string()
            .contains("cmdstat_get:")
    );
}

#[test]
fn bad_directives_stop_the_start_and_say_why() {
    for (name, value, says) in [
        ("nosuchdirective", "1", "nosuchdirective"),
        ("maxclients", "abc", "maxclients"),
        ("maxclients", "-1", "maxclients"),
        ("maxmemory-policy", "nosuch", "maxmemory-policy"),
        ("port", "65536", "port"),
        ("appendfsync", "sometimes", "appendfsync"),
    ] {
        match judged::setup().with(name, value).try_start() {
            Ok(_) => panic!("it started with {name} {value}"),
            Err(why) => assert!(why.contains(says), "{name} {value}: {why}"),
        }
    }
}

#[test]
fn a_bad_file_is_named_with_its_line() {
    let directory = harness::server::Directory::new().expect("a directory");
    let path = directory.0.join("bad.conf");
    fs::write(&path, "# fine\nhz 10\nmaxclients many\n").expect("written");
    match judged::setup().file(&path).try_start() {
        Ok(_) => panic!("it started"),
        Err(why) => {
            assert!(why.contains('3'), "{why}");
            assert!(why.contains("maxclients many"), "{why}");
        }
    }
}

#[test]
fn files_include_others() {
    let directory = harness::server::Directory::new().expect("a directory");
    let (outer, inner) = (
        directory.0.join("outer.conf"),
        directory.0.join("inner.conf"),
    );
    let included = format!("maxclients 77\ninclude {}\n", inner.display());
    fs::write(&outer, included).expect("written");
    fs::write(&inner, "slowlog-max-len 55\n").expect("written");
    let server = judged::setup().file(&outer).start();
    let reply = server
        .connect()
        .line("CONFIG GET maxclients slowlog-max-len");
    assert_eq!(reply.field("maxclients"), Some(Value::bulk("77")));
    assert_eq!(reply.field("slowlog-max-len"), Some(Value::bulk("55")));
}

/// The files that Debian's packages install, with only what a test has to change: where things go.
#[test]
fn stock_configuration_files_start_the_server() {
    let unpacked = harness::server::peers().join("root");
    for path in [
        PathBuf::from("/etc/redis/redis.conf"),
        unpacked.join("etc/redis/redis.conf"),
        unpacked.join("etc/valkey/valkey.conf"),
    ] {
        // The packages let nobody but root and the server's own user read them.
        let Ok(text) = fs::read_to_string(&path) else {
            println!("skipped: {} cannot be read", path.display());
            continue;
        };
        assert!(text.contains("\nport 6379"), "{}", path.display());
        let setup = judged::setup().file(&path);
        let server = setup
            .with("pidfile", "")
            .with("logfile", "")
            .with("daemonize", "no")
            .with("supervised", "no")
            .start();
        let mut connection = server.connect();
        assert_eq!(
            connection.line("SET k v"),
            Value::ok(),
            "{}",
            path.display()
        );
        let reply = connection.line("CONFIG GET maxmemory-samples");
        assert_eq!(reply.field("maxmemory-samples"), Some(Value::bulk("5")));
    }
}
