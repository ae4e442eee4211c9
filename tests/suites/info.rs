//! INFO: what it says is what happened.

use crate::judged;
use harness::Value;
use harness::server::until;
use std::collections::HashMap;

fn number(fields: &HashMap<String, String>, name: &str) -> u64 {
    let text = fields
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {fields:?}"));
    text.parse()
        .unwrap_or_else(|_| panic!("{name} is '{text}'"))
}

#[test]
fn who_it_is() {
    let server = judged::start();
    let mut connection = server.connect();
    let fields = connection.info("server");
    assert_eq!(number(&fields, "process_id"), u64::from(server.pid()));
    assert_eq!(number(&fields, "tcp_port"), u64::from(server.port()));
    assert_eq!(fields["run_id"].len(), 40);
    assert!(fields.contains_key("redis_version"));
    if fields.get("server_name").map(String::as_str) == Some("shoal") {
        assert_eq!(fields["redis_version"], "8.0.0");
        assert!(fields.contains_key("shoal_version"));
    }
}

#[test]
fn sections_are_chosen_by_name() {
    let server = judged::start();
    let mut connection = server.connect();
    let headers = |text: Value| -> Vec<String> {
        let text = text.string();
        text.lines()
            .filter_map(|l| l.strip_prefix("# "))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(headers(connection.line("INFO server")), ["Server"]);
    assert_eq!(
        headers(connection.line("INFO CLIENTS server")),
        ["Server", "Clients"]
    );
    assert!(headers(connection.line("INFO nosuch")).is_empty());
    let usual = headers(connection.line("INFO"));
    for section in [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "CPU",
    ] {
        assert!(
            usual.iter().any(|s| s == section),
            "{section} not in {usual:?}"
        );
    }
    assert!(!usual.iter().any(|s| s == "Commandstats"), "{usual:?}");
    assert!(
        headers(connection.line("INFO all"))
            .iter()
            .any(|s| s == "Commandstats")
    );
    assert_eq!(headers(connection.line("INFO default")), usual);
}

#[test]
fn keys_and_their_times_are_counted() {
    let server = judged::start();
    let mut connection = server.connect();
    connection.line("MSET a 1 b 2 c 3");
    connection.line("EXPIRE a 1000");
    connection.line("SELECT 4");
    connection.line("SET d 4");
    let fields = connection.info("keyspace");
    assert!(
        fields["db0"].starts_with("keys=3,expires=1,avg_ttl="),
        "{fields:?}"
    );
    assert!(
        fields["db4"].starts_with("keys=1,expires=0,avg_ttl=0"),
        "{fields:?}"
    );
    assert!(!fields.contains_key("db1"), "{fields:?}");
}

#[test]
fn hits_misses_and_commands_are_counted() {
    let server = judged::start();
    let mut connection = server.connect();
    connection.line("CONFIG RESETSTAT");
    connection.line("SET k v");
    for _ in 0..3 {
        connection.line("GET k");
    }
    connection.line("MGET k missing");
    connection.line("EXISTS missing");
    connection.line("INCR k");
    connection.line("GET a b");
    connection.line("NOSUCH");
    let stats = connection.info("stats");
    assert_eq!(number(&stats, "keyspace_hits"), 4, "{stats:?}");
    assert_eq!(number(&stats, "keyspace_misses"), 2, "{stats:?}");
    assert!(number(&stats, "total_commands_processed") >= 6, "{stats:?}");
    assert_eq!(number(&stats, "total_error_replies"), 3, "{stats:?}");
    let commands = connection.info("commandstats");
    let field = |command: &str, name: &str| -> String {
        let line = &commands[&format!("cmdstat_{command}")];
        let found = line
            .split(',')
            .find_map(|f| f.strip_prefix(&format!("{name}=")));
        found
            .unwrap_or_else(|| panic!("no {name} in {line}"))
            .to_owned()
    };
    assert_eq!(field("get", "calls"), "3");
    assert_eq!(field("get", "rejected_calls"), "1");
    assert_eq!(field("get", "failed_calls"), "0");
    assert_eq!(field("incr", "failed_calls"), "1");
    assert_eq!(field("config|resetstat", "calls"), "1");
    let errors = connection.info("errorstats");
    assert_eq!(errors["errorstat_ERR"], "count=3");
}

#[test]
fn memory_follows_the_data() {
    let server = judged::start();
    let mut connection = server.connect();
    let before = number(&connection.info("memory"), "used_memory");
    let value = "x".repeat(1 << 20);
    for i in 0..20 {
        connection.call(&["SET", &format!("key:{i}"), &value]);
    }
    let fields = connection.info("memory");
    let grown = number(&fields, "used_memory") - before;
    let data = 20 << 20;
    assert!(
        (data..2 * data).contains(&grown),
        "{grown} bytes for {data} of data"
    );
    // The resident set is sampled now and then.
    until("the resident set to be sampled", || {
        (number(&connection.info("memory"), "used_memory_rss") >= data).then_some(())
    });
    assert!(number(&fields, "used_memory_peak") >= number(&fields, "used_memory"));
    connection.line("FLUSHALL");
    // It goes back in slices, and buffers of the connection may still be as large as its last value.
    until("the memory to go back", || {
        let after = number(&connection.info("memory"), "used_memory");
        (after < before + (4 << 20)).then_some(())
    });
}

/// INFO counts the memory of a key as MEMORY USAGE does, within what a table's growth hides.
#[test]
fn memory_usage_is_what_a_key_costs() {
    let server = judged::start();
    let mut connection = server.connect();
    for length in [0, 10, 100, 1000, 10_000, 1_000_000] {
        let value = "x".repeat(length);
        connection.call(&["SET", "k", &value]);
        let usage = connection.line("MEMORY USAGE k").int() as usize;
        assert!(usage >= length, "{usage} bytes for a value of {length}");
        assert!(
            usage <= length + length / 4 + 200,
            "{usage} bytes for a value of {length}"
        );
    }
    assert!(connection.line("MEMORY USAGE missing").is_null());
}

#[test]
fn traffic_and_connections_are_counted() {
    let server = judged::start();
    let mut connection = server.connect();
    let before = connection.info("stats");
    let value = "x".repeat(100_000);
    connection.call(&["SET", "k", &value]);
    connection.line("GET k");
    server.connect().line("PING");
    let after = connection.info("stats");
    let grown = |name: &str| number(&after, name) - number(&before, name);
    assert!(
        (100_000..110_000).contains(&grown("total_net_input_bytes")),
        "{after:?}"
    );
    assert!(
        (100_000..120_000).contains(&grown("total_net_output_bytes")),
        "{after:?}"
    );
    assert_eq!(grown("total_connections_received"), 1);
}
