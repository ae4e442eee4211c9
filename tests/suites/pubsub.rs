//! Publish and subscribe: who gets which messages, in which order, on any number of shards.

use crate::judged;
use harness::server::until;
use harness::{Connection, Value};

fn text(words: &[&str]) -> Value {
    Value::Array(words.iter().map(Value::bulk).collect())
}

/// Subscribes, and reads a confirmation for each name.
fn subscribe(connection: &mut Connection, command: &str, names: &[&str]) {
    let words: Vec<&str> = [command].iter().chain(names).copied().collect();
    connection.send(&words).expect("sent");
    for name in names {
        let confirmed = connection.read();
        let [verb, about, _] = confirmed.items() else {
            panic!("a confirmation expected, not {confirmed}");
        };
        assert_eq!(verb.string(), command.to_lowercase());
        assert_eq!(about.string(), *name);
    }
}

fn plain(message: &Value) -> Value {
    Value::Array(message.items().to_vec())
}

#[test]
fn messages_reach_those_who_subscribe() {
    let server = judged::start();
    for protocol in [2, 3] {
        let mut publisher = server.connect();
        // Enough for every shard to have some.
        let mut all: Vec<Connection> = (0..8).map(|_| server.connect_as(protocol)).collect();
        for connection in &mut all {
            subscribe(connection, "SUBSCRIBE", &["news", "weather"]);
            subscribe(connection, "PSUBSCRIBE", &["n*"]);
            subscribe(connection, "SSUBSCRIBE", &["news"]);
        }
        assert_eq!(publisher.line("PUBLISH news one").int(), 16);
        assert_eq!(publisher.line("PUBLISH weather two").int(), 8);
        assert_eq!(publisher.line("PUBLISH nothing three").int(), 8);
        assert_eq!(publisher.line("SPUBLISH news four").int(), 8);
        assert_eq!(publisher.line("PUBLISH other five").int(), 0);
        for connection in &mut all {
            let messages: Vec<Value> = (0..5).map(|_| plain(&connection.read())).collect();
            // Channels of different names, and patterns, have no order among them.
            let wanted = [
                &["message", "news", "one"][..],
                &["pmessage", "n*", "news", "one"],
                &["message", "weather", "two"],
                &["pmessage", "n*", "nothing", "three"],
                &["smessage", "news", "four"],
            ];
            for message in wanted.map(text) {
                assert!(messages.contains(&message), "{message} is missing");
            }
        }
        for mut connection in all {
            connection.send(&["UNSUBSCRIBE"]).expect("sent");
            for left in [2, 1] {
                assert_eq!(connection.read().items()[2].int(), left);
            }
            connection.send(&["PUNSUBSCRIBE", "n*", "x"]).expect("sent");
            for left in [0, 0] {
                assert_eq!(connection.read().items()[2].int(), left);
            }
            connection.send(&["SUNSUBSCRIBE"]).expect("sent");
            assert_eq!(connection.read().items()[2].int(), 0);
            connection.send(&["UNSUBSCRIBE"]).expect("sent");
            assert!(connection.read().items()[1].is_null());
            assert_eq!(connection.line("PING"), Value::Simple("PONG".into()));
        }
    }
}

/// All subscribers see a channel's messages in one order, and those of each publisher as it sent them.
#[test]
fn a_channel_has_one_order() {
    const MESSAGES: usize = 300;
    let server = judged::start();
    let mut subscribers: Vec<Connection> = (0..6).map(|_| server.connect_as(3)).collect();
    for connection in &mut subscribers {
        subscribe(connection, "SUBSCRIBE", &["channel"]);
    }
    std::thread::scope(|scope| {
        for publisher in 0..3 {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.connect();
                for i in 0..MESSAGES {
                    let message = format!("{publisher}:{i}");
                    assert_eq!(connection.call(&["PUBLISH", "channel", &message]).int(), 6);
                }
            });
        }
    });
    let mut seen = subscribers.iter_mut().map(|connection| {
        let messages = connection.read_many(3 * MESSAGES);
        messages
            .iter()
            .map(|m| m.items()[2].string())
            .collect::<Vec<_>>()
    });
    let first = seen.next().expect("subscribers");
    for publisher in 0..3 {
        let own = first
            .iter()
            .filter_map(|m| m.strip_prefix(&format!("{publisher}:")));
        assert!(
            own.eq((0..MESSAGES)
                .map(|i| i.to_string())
                .collect::<Vec<_>>()
                .iter())
        );
    }
    assert!(seen.all(|other| other == first));
}

#[test]
fn subscriptions_can_be_counted() {
    let server = judged::start();
    let mut asker = server.connect();
    let mut one = server.connect();
    let mut other = server.connect();
    subscribe(&mut one, "SUBSCRIBE", &["a", "b", "a"]);
    subscribe(&mut other, "SUBSCRIBE", &["b"]);
    subscribe(&mut other, "PSUBSCRIBE", &["x*", "y?"]);
    subscribe(&mut other, "SSUBSCRIBE", &["s"]);
    let sorted = |value: Value| {
        let mut names: Vec<String> = value.items().iter().map(Value::string).collect();
        names.sort();
        names
    };
    assert_eq!(sorted(asker.line("PUBSUB CHANNELS")), ["a", "b"]);
    assert_eq!(sorted(asker.line("PUBSUB CHANNELS b*")), ["b"]);
    assert_eq!(sorted(asker.line("PUBSUB SHARDCHANNELS")), ["s"]);
    let counted = asker.line("PUBSUB NUMSUB a b c");
    assert_eq!(counted.items()[1].int(), 1);
    assert_eq!(counted.items()[3].int(), 2);
    assert_eq!(counted.items()[5].int(), 0);
    assert_eq!(asker.line("PUBSUB SHARDNUMSUB s").items()[1].int(), 1);
    assert_eq!(asker.line("PUBSUB NUMPAT").int(), 2);
    let info = asker.info("stats");
    assert_eq!(info["pubsub_channels"], "2");
    assert_eq!(info["pubsub_patterns"], "2");
    let list = asker.line("CLIENT LIST TYPE pubsub").string();
    assert_eq!(list.lines().count(), 2);
    assert!(list.contains(" sub=2 psub=0 ssub=0 "));
    assert!(list.contains(" sub=1 psub=2 ssub=1 "));
    drop((one, other));
    until("subscriptions to end with their connections", || {
        let channels = asker.line("PUBSUB CHANNELS");
        let patterns = asker.line("PUBSUB NUMPAT").int();
        (channels.items().is_empty() && patterns == 0).then_some(())
    });
    assert_eq!(asker.line("PUBLISH a nobody").int(), 0);
}

#[test]
fn a_connection_of_the_older_protocol_is_for_messages() {
    let server = judged::start();
    let mut connection = server.connect_as(2);
    subscribe(&mut connection, "SUBSCRIBE", &["a"]);
    assert_eq!(connection.line("PING"), text(&["pong", ""]));
    assert_eq!(connection.line("PING hello"), text(&["pong", "hello"]));
    assert_eq!(
        connection.line("GET key"),
        Value::error(
            "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
             are allowed in this context"
        )
    );
    assert_eq!(connection.line("RESET"), Value::Simple("RESET".into()));
    assert!(connection.line("GET key").is_null());
    let mut newer = server.connect_as(3);
    subscribe(&mut newer, "SUBSCRIBE", &["a"]);
    assert_eq!(newer.line("SET key value"), Value::ok());
    assert_eq!(newer.line("GET key"), Value::bulk("value"));
    // Its own message comes before the reply.
    newer.send(&["PUBLISH", "a", "x"]).expect("sent");
    let both = newer.read_many(2);
    assert!(both.contains(&Value::Int(1)));
    assert!(both.iter().any(|v| matches!(v, Value::Push(_))));
}

/// A subscriber that does not read is closed when its limit is reached, and nobody else.
#[test]
fn a_subscriber_that_does_not_read_is_closed() {
    let server = judged::start();
    let mut publisher = server.connect();
    let limits = [
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "pubsub 1mb 0 0",
    ];
    assert_eq!(publisher.call(&limits), Value::ok());
    let mut lazy = server.connect();
    subscribe(&mut lazy, "SUBSCRIBE", &["flood"]);
    let message = "x".repeat(100_000);
    until("the subscriber to be closed", || {
        let receivers = publisher.call(&["PUBLISH", "flood", &message]).int();
        (receivers == 0).then_some(())
    });
    assert_eq!(publisher.line("PING"), Value::Simple("PONG".into()));
}
