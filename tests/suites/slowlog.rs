//! SLOWLOG and COMMANDLOG: what is logged, of whom, and how it is shown.

use crate::judged;
use harness::server::until;
use harness::{Connection, Value};

/// The arguments of a log's entries, the newest first.
fn logged(log: &Value) -> Vec<String> {
    let words = |entry: &Value| {
        let args = entry.items()[3].items().iter().map(Value::string);
        args.collect::<Vec<_>>().join(" ")
    };
    log.items().iter().map(words).collect()
}

fn set(connection: &mut Connection, name: &str, value: &str) {
    assert_eq!(
        connection.call(&["CONFIG", "SET", name, value]),
        Value::ok()
    );
}

#[test]
fn a_slow_command_is_logged_with_its_client() {
    let server = judged::start();
    let mut asker = server.connect();
    // Enough for every shard to have some.
    for i in 0..4 {
        let mut slow = server.connect();
        assert_eq!(slow.line(&format!("CLIENT SETNAME slow{i}")), Value::ok());
        assert_eq!(slow.line("DEBUG SLEEP 0.02"), Value::ok());
        let info = slow.line("CLIENT INFO").string();
        let address = info.split(' ').find_map(|f| f.strip_prefix("addr="));
        let log = asker.line("SLOWLOG GET");
        assert_eq!(log.items().len(), i + 1);
        let [id, at, us, args, addr, name] = log.items()[0].items() else {
            panic!("an entry of six expected, not {log}");
        };
        assert_eq!(id.int(), i as i64);
        assert!(at.int() > 1_500_000_000);
        assert!((20_000..2_000_000).contains(&us.int()), "{us}");
        let args: Vec<String> = args.items().iter().map(Value::string).collect();
        assert_eq!(args, ["DEBUG", "SLEEP", "0.02"]);
        assert_eq!(addr.string(), address.expect("an address"));
        assert_eq!(name.string(), format!("slow{i}"));
    }
    assert_eq!(asker.line("SLOWLOG LEN").int(), 4);
    assert_eq!(asker.line("SLOWLOG GET 2").items().len(), 2);
    assert_eq!(asker.line("SLOWLOG RESET"), Value::ok());
    assert_eq!(asker.line("SLOWLOG GET -1").items().len(), 0);
    // Ids go on.
    assert_eq!(asker.line("DEBUG SLEEP 0.02"), Value::ok());
    assert_eq!(asker.line("SLOWLOG GET").items()[0].items()[0].int(), 4);
}

/// A limit of nothing logs each command, whichever shard executes it and however it is sent.
#[test]
fn everything_can_be_logged() {
    let server = judged::start();
    let mut connection = server.connect();
    assert_eq!(connection.line("CLIENT SETNAME me"), Value::ok());
    set(&mut connection, "slowlog-log-slower-than", "0");
    assert_eq!(connection.line("SLOWLOG RESET"), Value::ok());
    let mut wanted = vec!["SLOWLOG RESET".to_owned()];
    let mut pipeline = Vec::new();
    for i in 0..20 {
        let command = format!("SET key{i} {i}");
        pipeline.extend(harness::connection::frame(
            &command.split(' ').collect::<Vec<_>>(),
        ));
        wanted.push(command);
    }
    connection.pipeline(&pipeline, 20);
    for line in [
        "MSET key1 1 key2 2 key3 3",
        "MGET key1 key2 key3",
        "DBSIZE",
        "SINTERSTORE to a b c",
        "MULTI",
    ] {
        connection.line(line);
        wanted.push(line.to_owned());
    }
    for line in ["GET key5", "SET key6 x", "CLIENT ID"] {
        connection.line(line);
        wanted.push(line.to_owned());
    }
    // EXEC itself is not logged.
    connection.line("EXEC");
    set(&mut connection, "slowlog-log-slower-than", "-1");
    connection.line("GET key7");
    let log = connection.line("SLOWLOG GET -1");
    let mut found = logged(&log);
    found.reverse();
    found.retain(|line| !line.starts_with("CONFIG SET slowlog-log-slower-than -1"));
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let ids: Vec<i64> = log.items().iter().map(|e| e.items()[0].int()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    for entry in log.items() {
        assert_eq!(entry.items()[5].string(), "me", "{entry}");
    }
}

/// A slow command that another shard executes has the name of its own client.
#[test]
fn a_command_on_a_big_value_is_logged_wherever_it_is() {
    let server = judged::start();
    let mut connection = server.connect();
    assert_eq!(connection.line("CLIENT SETNAME me"), Value::ok());
    let keys: Vec<String> = (0..6).map(|i| format!("big{i}")).collect();
    for key in &keys {
        let mut push = vec!["RPUSH".to_owned(), key.clone()];
        push.extend((0..3000).map(|i| i.to_string()));
        assert_eq!(connection.call(&push).int(), 3000);
    }
    set(&mut connection, "slowlog-log-slower-than", "1");
    for key in &keys {
        connection.call(&["SORT", key, "DESC"]);
    }
    set(&mut connection, "slowlog-log-slower-than", "-1");
    let log = connection.line("SLOWLOG GET -1");
    let found = logged(&log);
    for key in &keys {
        let wanted = format!("SORT {key} DESC");
        assert_eq!(found.iter().filter(|line| **line == wanted).count(), 1);
    }
    for entry in log.items() {
        assert_eq!(entry.items()[5].string(), "me", "{entry}");
    }
}

#[test]
fn arguments_are_shortened_and_secrets_hidden() {
    let server = judged::start();
    let mut connection = server.connect();
    set(&mut connection, "slowlog-log-slower-than", "0");
    assert_eq!(connection.line("SLOWLOG RESET"), Value::ok());
    let long = "x".repeat(200);
    connection.call(&["SET", "key", &long]);
    let numbers: Vec<String> = (0..40).map(|i| i.to_string()).collect();
    let mut push = vec!["RPUSH".to_owned(), "list".to_owned()];
    push.extend(numbers.iter().cloned());
    connection.call(&push);
    connection.call(&["CONFIG", "SET", "requirepass", ""]);
    connection.line("AUTH user password");
    connection.line("HELLO 2 AUTH default password SETNAME me");
    set(&mut connection, "slowlog-log-slower-than", "-1");
    let log = connection.line("SLOWLOG GET");
    let shortened = format!("SET key {}... (72 more bytes)", "x".repeat(128));
    let list = format!(
        "RPUSH list {} ... (11 more arguments)",
        numbers[..29].join(" ")
    );
    let wanted = [
        "HELLO 2 AUTH (redacted) (redacted) SETNAME me",
        "AUTH (redacted) (redacted)",
        "CONFIG SET requirepass (redacted)",
        &list,
        &shortened,
        "SLOWLOG RESET",
    ];
    let found = logged(&log);
    let found: Vec<&String> = found
        .iter()
        .filter(|l| !l.contains("slower-than"))
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn the_log_has_a_length() {
    let server = judged::start();
    let mut all: Vec<Connection> = (0..6).map(|_| server.connect()).collect();
    set(&mut all[0], "slowlog-max-len", "5");
    set(&mut all[0], "slowlog-log-slower-than", "0");
    for round in 0..4 {
        for (i, connection) in all.iter_mut().enumerate() {
            connection.line(&format!("ECHO {round}:{i}"));
        }
    }
    assert_eq!(all[1].line("SLOWLOG LEN").int(), 5);
    let log = all[1].line("SLOWLOG GET -1");
    let found = logged(&log);
    assert_eq!(found[0], "SLOWLOG LEN");
    assert_eq!(found[1..], ["ECHO 3:5", "ECHO 3:4", "ECHO 3:3", "ECHO 3:2"]);
}

#[test]
fn wrong_arguments_are_refused() {
    judged::check(
        "
        > SLOWLOG GET 0
        []
        > SLOWLOG GET -2
        -ERR count should be greater than or equal to -1
        > SLOWLOG GET x
        -ERR count should be greater than or equal to -1
        > SLOWLOG GET 1 2
        -ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.
        > SLOWLOG LEN 1
        -ERR wrong number of arguments for 'slowlog|len' command
        > SLOWLOG NO
        -ERR unknown subcommand 'NO'. Try SLOWLOG HELP.
        ",
    );
}

/// Valkey's logs of what is large.
#[test]
fn large_requests_and_replies_are_logged() {
    let server = judged::start();
    if !server.has("commandlog|get") {
        return;
    }
    let mut connection = server.connect();
    for (line, error) in [
        (
            "COMMANDLOG GET 1 what",
            "ERR type should be one of the following: slow, large-request, large-reply",
        ),
        (
            "COMMANDLOG GET -2 slow",
            "ERR count should be greater than or equal to -1",
        ),
        (
            "COMMANDLOG LEN",
            "ERR wrong number of arguments for 'commandlog|len' command",
        ),
    ] {
        assert_eq!(connection.line(line), Value::error(error));
    }
    set(&mut connection, "commandlog-request-larger-than", "100");
    set(&mut connection, "commandlog-reply-larger-than", "50");
    let value = "y".repeat(100);
    // Enough for every shard to have some; in a pipeline too.
    let keys: Vec<String> = (0..6).map(|i| format!("key{i}")).collect();
    let mut pipeline = Vec::new();
    for key in &keys {
        pipeline.extend(harness::connection::frame(&["SET", key, &value]));
        pipeline.extend(harness::connection::frame(&["GET", key]));
        pipeline.extend(harness::connection::frame(&["PING"]));
    }
    connection.pipeline(&pipeline, 18);
    connection.call(&["ECHO", &"z".repeat(42)]);
    connection.call(&["ECHO", &"z".repeat(44)]);
    connection.call(&["MGET", &keys[0], &keys[1], &keys[2]]);
    set(&mut connection, "commandlog-request-larger-than", "-1");
    set(&mut connection, "commandlog-reply-larger-than", "-1");
    let values = |log: &Value| -> Vec<i64> {
        let entries = log.items().iter();
        entries.map(|entry| entry.items()[2].int()).collect()
    };
    let requests = connection.line("COMMANDLOG GET -1 large-request");
    assert_eq!(values(&requests), [131; 6]);
    let replies = connection.line("COMMANDLOG GET -1 LARGE-REPLY");
    assert_eq!(values(&replies)[..2], [328, 51]);
    assert_eq!(values(&replies)[2..], [108; 6]);
    assert_eq!(logged(&replies)[0], "MGET key0 key1 key2");
    assert_eq!(connection.line("COMMANDLOG LEN large-reply").int(), 8);
    assert_eq!(connection.line("COMMANDLOG RESET large-reply"), Value::ok());
    assert_eq!(connection.line("COMMANDLOG LEN large-reply").int(), 0);
    assert_eq!(connection.line("COMMANDLOG LEN large-request").int(), 6);
    let slow = connection.line("COMMANDLOG GET -1 slow");
    assert_eq!(slow.items().len(), 0);
}

/// A command that has waited for a key is logged too, with its own client.
#[test]
fn a_command_that_waits_is_logged() {
    let server = judged::start();
    let mut waiter = server.connect();
    let mut asker = server.connect();
    assert_eq!(waiter.line("CLIENT SETNAME waiter"), Value::ok());
    set(&mut asker, "slowlog-log-slower-than", "0");
    waiter.send(&["BLPOP", "list", "0"]).expect("sent");
    until("the client to wait", || {
        let info = asker.info("clients");
        (info["blocked_clients"] == "1").then_some(())
    });
    assert_eq!(asker.line("RPUSH list x").int(), 1);
    assert_eq!(waiter.read().items()[1].string(), "x");
    let log = asker.line("SLOWLOG GET -1");
    let mut entries = log.items().iter();
    let own: Vec<&Value> = entries
        .by_ref()
        .filter(|entry| entry.items()[3].items()[0].string() == "BLPOP")
        .collect();
    assert_eq!(own.len(), 1, "{log}");
    assert_eq!(own[0].items()[5].string(), "waiter");
}
