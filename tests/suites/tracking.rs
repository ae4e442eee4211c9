//! Client-side caching: which clients hear of which changes, how, and in which order.

use crate::judged;
use harness::connection::frame;
use harness::server::until;
use harness::{Connection, Seed, Server, Value, scaled};
use std::collections::HashMap;

/// What comes before the reply to a PING.
fn pushed(connection: &mut Connection) -> Vec<Value> {
    connection.send(&["PING"]).expect("sent");
    let mut pushed = Vec::new();
    loop {
        match connection.read() {
            Value::Simple(pong) if pong == b"PONG" => return pushed,
            value => pushed.push(value),
        }
    }
}

/// The keys that a connection is told of: waits until they are all there, each once.
fn invalidated(connection: &mut Connection, keys: &[&str]) {
    let mut found: Vec<String> = Vec::new();
    until(&format!("{keys:?} to be invalidated"), || {
        for message in pushed(connection) {
            let [kind, names] = message.items() else {
                panic!("an invalidation expected, not {message}");
            };
            assert!(matches!(message, Value::Push(_)), "{message}");
            assert_eq!(kind.string(), "invalidate");
            found.extend(names.items().iter().map(Value::string));
        }
        (found.len() >= keys.len()).then_some(())
    });
    found.sort();
    let mut keys = keys.to_vec();
    keys.sort();
    assert_eq!(found, keys);
    assert_eq!(pushed(connection), []);
}

/// A connection that tracks.
fn tracker(server: &Server, options: &str) -> Connection {
    let mut connection = server.connect_as(3);
    let line = format!("CLIENT TRACKING ON{options}");
    assert_eq!(connection.line(&line), Value::ok());
    connection
}

const KEYS: [&str; 6] = ["k0", "k1", "k2", "k3", "k4", "k5"];

#[test]
fn who_has_read_a_key_hears_once_that_it_changes() {
    let server = judged::start();
    let mut writer = server.connect();
    let mut others: Vec<Connection> = (0..4).map(|_| tracker(&server, "")).collect();
    for key in KEYS {
        writer.call(&["SET", key, "1"]);
        writer.call(&["EXPIRE", key, "1000"]);
    }
    for change in ["SET", "APPEND", "GETSET"] {
        for reader in &mut others {
            for key in KEYS {
                reader.call(&["GET", key]);
            }
        }
        for key in KEYS {
            writer.call(&[change, key, "2"]);
            writer.call(&[change, key, "3"]);
        }
        for reader in &mut others {
            invalidated(reader, &KEYS);
        }
    }
    // Of several keys at a time, on several shards.
    for reader in &mut others {
        reader.line("MGET k0 k1 k2 k3 k4 k5");
        reader.line("EXISTS k0 none");
        reader.line("SINTER s0 s1 s2 s3");
    }
    writer.line("MSET k0 1 k1 1 k2 1 k3 1 k4 1 k5 1 none 1 other 1");
    writer.line("SADD s1 x");
    writer.line("DEL k0 k1 k2");
    let all = ["k0", "k1", "k2", "k3", "k4", "k5", "none", "s1"];
    for reader in &mut others {
        invalidated(reader, &all);
    }
    // Keys are tracked by name, whatever the database.
    others[0].line("GET k3");
    writer.line("SELECT 3");
    writer.line("SET k3 x");
    invalidated(&mut others[0], &["k3"]);
}

#[test]
fn keys_that_expire_are_changed() {
    let server = judged::start();
    let mut writer = server.connect();
    let mut reader = tracker(&server, "");
    for key in KEYS {
        writer.call(&["SET", key, "1", "PX", "30"]);
        reader.call(&["GET", key]);
    }
    // Nobody asks for them.
    invalidated(&mut reader, &KEYS);
    writer.line("DEBUG SET-ACTIVE-EXPIRE 0");
    for key in KEYS {
        writer.call(&["SET", key, "1", "PX", "30"]);
        reader.call(&["GET", key]);
    }
    until("the keys to expire", || {
        let there = KEYS
            .iter()
            .filter(|key| !writer.call(&["GET", key]).is_null());
        (there.count() == 0).then_some(())
    });
    invalidated(&mut reader, &KEYS);
}

/// What a client changes itself it hears of behind the reply, and with NOLOOP not at all.
#[test]
fn own_changes_come_behind_their_replies() {
    let server = judged::start();
    let mut writer = server.connect();
    let mut own = tracker(&server, "");
    let mut quiet = tracker(&server, " NOLOOP");
    for key in KEYS {
        for connection in [&mut own, &mut quiet] {
            connection.call(&["GET", key]);
        }
        own.send(&["SET", key, "1"]).expect("sent");
        assert_eq!(own.read(), Value::ok());
        invalidated(&mut own, &[key]);
        invalidated(&mut quiet, &[key]);
        quiet.call(&["GET", key]);
        assert_eq!(quiet.call(&["SET", key, "2"]), Value::ok());
        assert_eq!(pushed(&mut quiet), []);
        // It is not tracked any more.
        writer.call(&["SET", key, "3"]);
        assert_eq!(pushed(&mut quiet), []);
    }
    // In a transaction behind all replies.
    for line in ["MULTI", "GET k0", "SET k0 1", "GET k1", "SET k1 1"] {
        own.line(line);
    }
    assert_eq!(own.line("EXEC").items().len(), 4);
    invalidated(&mut own, &["k0", "k1"]);
}

#[test]
fn flushing_invalidates_all() {
    let server = judged::start();
    let mut writer = server.connect();
    let mut readers = [
        tracker(&server, ""),
        tracker(&server, " NOLOOP"),
        tracker(&server, " BCAST PREFIX x"),
        tracker(&server, " OPTIN"),
    ];
    let told = |connection: &mut Connection| {
        let message = until("an invalidation", || pushed(connection).pop());
        assert_eq!(message.items()[0].string(), "invalidate");
        assert!(message.items()[1].is_null(), "{message}");
        assert_eq!(pushed(connection), []);
    };
    for flush in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC"] {
        assert_eq!(writer.line(flush), Value::ok());
        readers.iter_mut().for_each(told);
    }
    writer.line("SELECT 5");
    assert_eq!(writer.line("FLUSHDB"), Value::ok());
    readers.iter_mut().for_each(told);
    assert_eq!(writer.line("SWAPDB 0 1"), Value::ok());
    for reader in &mut readers {
        assert_eq!(pushed(reader), []);
    }
}

#[test]
fn clients_opt_in_and_out() {
    let server = judged::start();
    let mut writer = server.connect();
    let mut change = || {
        writer.line("MSET k0 1 k1 1 k2 1 k3 1");
    };
    let mut inward = tracker(&server, " OPTIN");
    inward.line("GET k0");
    change();
    assert_eq!(pushed(&mut inward), []);
    for (lines, keys) in [
        (&["CLIENT CACHING YES", "GET k0", "GET k1"][..], &["k0"][..]),
        (
            &["CLIENT CACHING YES", "MGET k0 k1 k2", "GET k3"],
            &["k0", "k1", "k2"],
        ),
        (&["CLIENT CACHING YES", "PING", "GET k1"], &[]),
        (
            &["CLIENT CACHING YES", "CLIENT ID", "GET k1", "GET k2"],
            &["k1"],
        ),
        (
            &[
                "CLIENT CACHING YES",
                "MULTI",
                "GET k0",
                "GET k1",
                "EXEC",
                "GET k2",
            ],
            &["k0", "k1"],
        ),
        (
            &[
                "MULTI",
                "CLIENT CACHING YES",
                "GET k0",
                "GET k1",
                "EXEC",
                "GET k2",
            ],
            &["k0", "k1"],
        ),
    ] {
        for line in lines {
            inward.line(line);
        }
        change();
        invalidated(&mut inward, keys);
    }
    let mut outward = tracker(&server, " OPTOUT");
    for line in ["GET k0", "CLIENT CACHING NO", "GET k1", "GET k2"] {
        outward.line(line);
    }
    change();
    invalidated(&mut outward, &["k0", "k2"]);
}

#[test]
fn prefixes_are_broadcast() {
    let server = judged::start();
    let mut writer = server.connect();
    let mut some = tracker(&server, " BCAST PREFIX user: PREFIX object:");
    let mut quiet = tracker(&server, " BCAST NOLOOP");
    writer.line("MSET user:1 1 user:2 2 object:1 1 other 1");
    invalidated(&mut some, &["object:1", "user:1", "user:2"]);
    invalidated(&mut quiet, &["object:1", "other", "user:1", "user:2"]);
    quiet.line("MSET user:1 1 other 2");
    invalidated(&mut some, &["user:1"]);
    assert_eq!(pushed(&mut quiet), []);
    some.line("SET user:7 1");
    invalidated(&mut some, &["user:7"]);
    invalidated(&mut quiet, &["user:7"]);
    let info = writer.info("stats");
    assert_eq!(info["tracking_total_prefixes"], "3");
    assert_eq!(some.line("CLIENT TRACKING OFF"), Value::ok());
    writer.line("SET user:1 1");
    invalidated(&mut quiet, &["user:1"]);
    assert_eq!(pushed(&mut some), []);
    drop(quiet);
    until("the prefixes to be gone", || {
        (writer.info("stats")["tracking_total_prefixes"] == "0").then_some(())
    });
}

#[test]
fn invalidations_are_redirected() {
    let server = judged::start();
    let mut writer = server.connect();
    // Enough for each pair of shards.
    for _ in 0..6 {
        let mut messages = server.connect();
        let id = messages.line("CLIENT ID").int();
        let mut reader = server.connect();
        let on = format!("CLIENT TRACKING ON REDIRECT {id}");
        assert_eq!(reader.line(&on), Value::ok());
        assert_eq!(reader.line("CLIENT GETREDIR").int(), id);
        reader.line("GET k0");
        writer.line("SET k0 1");
        // What all shards answer comes behind what they had to tell before.
        reader.line("DBSIZE");
        messages.line("DBSIZE");
        // It is not for messages yet, and RESP2 could not tell it from a reply.
        assert_eq!(pushed(&mut messages), []);
        let told = messages.line("SUBSCRIBE __redis__:invalidate");
        assert_eq!(told.items()[0].clone().string(), "subscribe");
        for key in KEYS {
            reader.call(&["GET", key]);
            writer.call(&["SET", key, "1"]);
            let message = messages.read();
            let [kind, channel, keys] = message.items() else {
                panic!("a message expected, not {message}");
            };
            assert_eq!(kind.string(), "message");
            assert_eq!(channel.string(), "__redis__:invalidate");
            assert_eq!(keys.items(), [Value::bulk(key)]);
        }
        writer.line("FLUSHALL");
        assert!(messages.read().items()[2].is_null());
        assert_eq!(pushed(&mut reader), []);
    }
}

#[test]
fn a_client_hears_that_its_messages_go_nowhere() {
    let server = judged::start();
    let mut writer = server.connect();
    for _ in 0..4 {
        let mut messages = server.connect_as(3);
        let id = messages.line("CLIENT ID").int();
        let mut reader = tracker(&server, &format!(" REDIRECT {id}"));
        reader.line("GET k");
        writer.line("SET k 1");
        assert_eq!(messages.read().items()[0].string(), "invalidate");
        drop(messages);
        until("the client to be gone", || {
            let list = writer.line(&format!("CLIENT LIST ID {id}")).string();
            list.is_empty().then_some(())
        });
        for _ in 0..2 {
            reader.line("GET k");
            writer.line("SET k 1");
            let message = until("the news", || pushed(&mut reader).pop());
            let words = [Value::bulk("tracking-redir-broken"), Value::Int(id)];
            assert_eq!(message, Value::Push(words.to_vec()));
        }
        let info = reader.line("CLIENT TRACKINGINFO");
        let flags = info.field("flags").expect("flags");
        assert!(flags.items().contains(&Value::bulk("broken_redirect")));
        let line = reader.line("CLIENT INFO").string();
        assert!(line.contains(" flags=tR "), "{line}");
        assert!(line.contains(&format!(" redir={id} ")), "{line}");
        assert_eq!(reader.line("RESET"), Value::Simple("RESET".into()));
        assert_eq!(reader.line("CLIENT GETREDIR").int(), -1);
    }
}

#[test]
fn the_table_is_bounded() {
    let server = judged::start();
    let mut writer = server.connect();
    let mut reader = tracker(&server, "");
    let most = 30;
    let keys: Vec<String> = (0..200).map(|i| format!("key{i}")).collect();
    assert_eq!(
        writer.line(&format!("CONFIG SET tracking-table-max-keys {most}")),
        Value::ok()
    );
    let mut told = Vec::new();
    for key in &keys {
        reader.send(&["GET", key]).expect("sent");
        until("the reply", || match reader.read() {
            Value::Push(message) => {
                told.push(message[1].items()[0].string());
                None
            }
            _ => Some(()),
        });
    }
    for message in pushed(&mut reader) {
        told.push(message.items()[1].items()[0].string());
    }
    let info = writer.info("stats");
    let left: usize = info["tracking_total_keys"].parse().expect("a number");
    assert!(left <= most, "{left}");
    assert_eq!(info["tracking_total_items"], info["tracking_total_keys"]);
    assert_eq!(told.len() + left, keys.len());
    told.sort();
    told.dedup();
    assert_eq!(told.len() + left, keys.len());
    assert_eq!(writer.info("clients")["tracking_clients"], "1");
}

#[test]
fn arguments_are_checked() {
    let server = judged::start();
    let mut connection = server.connect_as(3);
    let caching = "ERR CLIENT CACHING can be called only when the client is in tracking mode with \
                   OPTIN or OPTOUT mode enabled";
    let switched = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this \
                    client, and then re-enabling it with a different mode.";
    let broadcast = "ERR You can't switch BCAST mode on/off before disabling tracking for this \
                     client, and then re-enabling it with a different mode.";
    let nobody = "ERR The client ID you want redirect to does not exist";
    for (line, error) in [
        ("CACHING YES", caching),
        ("CACHING what", caching),
        (
            "TRACKING",
            "ERR wrong number of arguments for 'client|tracking' command",
        ),
        ("TRACKING what", "ERR syntax error"),
        ("TRACKING ON what", "ERR syntax error"),
        ("TRACKING ON PREFIX", "ERR syntax error"),
        ("TRACKING ON REDIRECT", "ERR syntax error"),
        (
            "TRACKING ON PREFIX x",
            "ERR PREFIX option requires BCAST mode to be enabled",
        ),
        ("TRACKING ON REDIRECT 99999", nobody),
        ("TRACKING ON REDIRECT 0", nobody),
        ("TRACKING OFF REDIRECT 0 what", nobody),
        (
            "TRACKING ON REDIRECT x",
            "ERR value is not an integer or out of range",
        ),
        (
            "TRACKING ON OPTIN BCAST",
            "ERR OPTIN and OPTOUT are not compatible with BCAST",
        ),
        (
            "TRACKING ON BCAST PREFIX ab PREFIX a",
            "ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single \
             client must not overlap.",
        ),
        ("TRACKING OFF", ""),
        ("TRACKING ON BCAST PREFIX ab PREFIX ac", ""),
        (
            "TRACKING ON BCAST PREFIX abc",
            "ERR Prefix 'abc' overlaps with an existing prefix 'ab'. Prefixes for a single client \
             must not overlap.",
        ),
        ("TRACKING ON", broadcast),
        ("TRACKING OFF", ""),
        ("TRACKING ON OPTIN NOLOOP", ""),
        (
            "CACHING NO",
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        ("TRACKING ON OPTOUT", switched),
        ("TRACKING ON", ""),
        ("TRACKING ON OPTOUT", ""),
        ("CACHING NO", ""),
        (
            "CACHING YES",
            "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ),
        ("CACHING what", "ERR syntax error"),
    ] {
        let wanted = match error {
            "" => Value::ok(),
            error => Value::error(error),
        };
        assert_eq!(connection.line(&format!("CLIENT {line}")), wanted, "{line}");
    }
    let id = connection.line("CLIENT ID").int();
    assert_eq!(
        connection.line(&format!("CLIENT TRACKING ON REDIRECT {id} REDIRECT 1")),
        Value::error("ERR A client can only redirect to a single other client")
    );
}

#[test]
fn what_a_client_tracks_is_shown() {
    let server = judged::start();
    for (options, flags, letters) in [
        ("", &["on"][..], "t"),
        (" OPTIN NOLOOP", &["on", "optin", "noloop"], "t"),
        (" OPTOUT", &["on", "optout"], "t"),
        (" BCAST PREFIX b PREFIX a", &["on", "bcast"], "tB"),
    ] {
        let mut connection = tracker(&server, options);
        let info = connection.line("CLIENT TRACKINGINFO");
        let shown = info.field("flags").expect("flags");
        let shown: Vec<String> = shown.items().iter().map(Value::string).collect();
        assert_eq!(shown, flags);
        assert_eq!(info.field("redirect"), Some(Value::Int(0)));
        let prefixes = info.field("prefixes").expect("prefixes");
        let prefixes: Vec<String> = prefixes.items().iter().map(Value::string).collect();
        let wanted = if letters == "tB" {
            &["a", "b"][..]
        } else {
            &[]
        };
        assert_eq!(prefixes, wanted);
        let line = connection.line("CLIENT INFO").string();
        assert!(line.contains(&format!(" flags={letters} ")), "{line}");
        assert_eq!(connection.line("CLIENT TRACKING OFF"), Value::ok());
        assert_eq!(connection.line("CLIENT GETREDIR").int(), -1);
    }
}

/// A value, or that there is none.
fn held(value: &Value) -> String {
    value.text().map_or(String::new(), |_| value.string())
}

/// What a caching client does: it remembers what it has read until it hears of a change.
struct Cache {
    connection: Connection,
    values: HashMap<String, String>,
}

impl Cache {
    /// Takes what the connection has been sent: replies to GETs of these keys, and news.
    fn take(&mut self, keys: &[String]) {
        let mut replies = keys.iter();
        while replies.len() > 0 {
            let value = self.connection.read();
            self.hear(value, &mut replies);
        }
    }

    /// Reads all keys with one command.
    fn take_at_once(&mut self, keys: &[String]) {
        let words = std::iter::once("MGET").chain(keys.iter().map(String::as_str));
        let words: Vec<&str> = words.collect();
        self.connection.send(&words).expect("sent");
        loop {
            match self.connection.read() {
                Value::Array(values) => {
                    let pairs = keys.iter().cloned().zip(values.iter().map(held));
                    return self.values.extend(pairs);
                }
                news => self.hear(news, &mut std::iter::empty()),
            }
        }
    }

    fn hear<'k>(&mut self, value: Value, replies: &mut impl Iterator<Item = &'k String>) {
        if let Value::Push(message) = &value {
            match &message[1] {
                keys @ Value::Array(_) => keys.items().iter().for_each(|key| {
                    self.values.remove(&key.string());
                }),
                _ => self.values.clear(),
            }
        } else if let Some(key) = replies.next() {
            self.values.insert(key.clone(), held(&value));
        }
    }

    /// Reads some keys, one by one in a pipeline or all with one command.
    fn read_some(&mut self, names: &[String], seed: &mut Seed) {
        let keys = (0..1 + seed.below(6)).map(|_| names[seed.below(names.len())].clone());
        let keys: Vec<String> = keys.collect();
        if seed.below(2) == 0 {
            return self.take_at_once(&keys);
        }
        let all: Vec<Vec<u8>> = keys.iter().map(|k| frame(&["GET", k])).collect();
        self.connection.send_raw(&all.concat()).expect("sent");
        self.take(&keys);
    }

    /// Waits until all that it holds is what the server holds, which nobody changes now.
    fn comes_right(&mut self, asker: &mut Connection) {
        until("the cache to be right", || {
            for value in pushed(&mut self.connection) {
                self.hear(value, &mut std::iter::empty());
            }
            let mut values = self.values.iter();
            let is_right =
                |(key, value): (&String, &String)| held(&asker.call(&["GET", key])) == *value;
            values.all(is_right).then_some(())
        });
    }
}

fn write_some(connection: &mut Connection, names: &[String], seed: &mut Seed) {
    for _ in 0..8 {
        let key = &names[seed.below(names.len())];
        let other = &names[seed.below(names.len())];
        let value = seed.below(1_000_000).to_string();
        match seed.below(40) {
            0 => connection.line("FLUSHALL"),
            1..16 => connection.call(&["MSET", key, &value, other, &value]),
            16..20 => connection.call(&["RENAME", key, other]),
            _ => connection.call(&["SET", key, &value]),
        };
    }
}

/// However reads, writes and replies cross, no client keeps a value that is not there any more.
#[test]
fn no_cache_keeps_a_stale_value() {
    let server = judged::start();
    let names: Vec<String> = (0..12).map(|i| format!("key{i}")).collect();
    let mut writers: Vec<Connection> = (0..3).map(|_| server.connect()).collect();
    let mut caches = [" NOLOOP", "", " BCAST", ""].map(|options| Cache {
        connection: tracker(&server, options),
        values: HashMap::new(),
    });
    let mut asker = server.connect();
    let mut seed = Seed::new(1);
    for _ in 0..scaled(150) {
        // Few operations, then a look: what is stale must not be read again before.
        std::thread::scope(|scope| {
            let names = &names;
            for writer in &mut writers {
                let mut seed = Seed::new(seed.below(usize::MAX) as u64);
                scope.spawn(move || write_some(writer, names, &mut seed));
            }
            for cache in &mut caches {
                let mut seed = Seed::new(seed.below(usize::MAX) as u64);
                scope.spawn(move || (0..4).for_each(|_| cache.read_some(names, &mut seed)));
            }
        });
        for cache in &mut caches {
            cache.comes_right(&mut asker);
        }
    }
}
