//! Several clients: the list of them, ending them, holding them up.

use crate::judged;
use harness::Value;
use harness::server::until;
use std::collections::HashMap;

/// The fields of a line of CLIENT LIST.
fn fields(line: &str) -> HashMap<String, String> {
    let pairs = line
        .trim_end()
        .split(' ')
        .filter_map(|field| field.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn list(text: &Value) -> Vec<HashMap<String, String>> {
    text.string().lines().map(fields).collect()
}

#[test]
fn the_list_shows_each_client_as_it_is() {
    let server = judged::start();
    let mut watcher = server.connect();
    let mut other = server.connect_as(3);
    other.line("CLIENT SETNAME other");
    other.line("SELECT 3");
    let id = other.line("CLIENT ID").int();
    let clients = list(&watcher.call(&["CLIENT", "LIST", "ID", &id.to_string()]));
    assert_eq!(clients.len(), 1);
    let client = &clients[0];
    for (name, value) in [
        ("id", id.to_string().as_str()),
        ("name", "other"),
        ("db", "3"),
        ("sub", "0"),
        ("psub", "0"),
        ("multi", "-1"),
        ("flags", "N"),
        ("cmd", "client|id"),
        ("user", "default"),
        ("resp", "3"),
        ("laddr", format!("127.0.0.1:{}", server.port()).as_str()),
    ] {
        assert_eq!(
            client.get(name).map(String::as_str),
            Some(value),
            "{name} in {client:?}"
        );
    }
    assert!(client["addr"].starts_with("127.0.0.1:"), "{client:?}");
    assert!(
        client["age"].parse::<u64>().is_ok_and(|age| age < 3600),
        "{client:?}"
    );
    assert!(
        client["tot-mem"]
            .parse::<u64>()
            .is_ok_and(|bytes| bytes > 0),
        "{client:?}"
    );
    assert_eq!(list(&watcher.line("CLIENT LIST")).len(), 2);
    assert_eq!(list(&watcher.line("CLIENT LIST TYPE normal")).len(), 2);
    assert_eq!(watcher.line("CLIENT LIST TYPE pubsub").string(), "");
    let info = fields(&watcher.line("CLIENT INFO").string());
    assert_eq!(info["cmd"], "client|info");
}

#[test]
fn ids_only_grow() {
    let server = judged::start();
    let mut last = 0;
    for _ in 0..20 {
        let id = server.connect().line("CLIENT ID").int();
        assert!(id > last, "{id} after {last}");
        last = id;
    }
}

#[test]
fn library_names_are_shown() {
    let server = judged::start();
    if !server.has("client|setinfo") {
        return println!("skipped: no CLIENT SETINFO");
    }
    let mut connection = server.connect();
    assert_eq!(
        connection.line("CLIENT SETINFO LIB-NAME some-library"),
        Value::ok()
    );
    assert_eq!(connection.line("CLIENT SETINFO LIB-VER 1.2.3"), Value::ok());
    let info = fields(&connection.line("CLIENT INFO").string());
    assert_eq!(info["lib-name"], "some-library");
    assert_eq!(info["lib-ver"], "1.2.3");
    assert!(
        connection
            .call(&["CLIENT", "SETINFO", "LIB-NAME", "a b"])
            .is_error()
    );
}

/// Each filter ends exactly those whom it describes.
#[test]
fn kill_by_each_filter() {
    let server = judged::start();
    let mut killer = server.connect();
    let victim = || {
        let mut victim = server.connect();
        let info = fields(&victim.line("CLIENT INFO").string());
        (victim, info["id"].clone(), info["addr"].clone())
    };

    let (mut one, id, _) = victim();
    assert_eq!(killer.call(&["CLIENT", "KILL", "ID", &id]), Value::Int(1));
    assert_eq!(one.line("PING"), Value::Closed);
    assert_eq!(killer.call(&["CLIENT", "KILL", "ID", &id]), Value::Int(0));

    let (mut two, _, address) = victim();
    assert_eq!(
        killer.call(&["CLIENT", "KILL", "ADDR", &address]),
        Value::Int(1)
    );
    assert_eq!(two.line("PING"), Value::Closed);

    let (mut three, _, address) = victim();
    assert_eq!(killer.call(&["CLIENT", "KILL", &address]), Value::ok());
    assert_eq!(three.line("PING"), Value::Closed);

    let (mut four, id, _) = victim();
    let (mut five, _, _) = victim();
    let words = [
        "CLIENT", "KILL", "USER", "default", "TYPE", "normal", "ID", &id,
    ];
    assert_eq!(killer.call(&words), Value::Int(1));
    assert_eq!(four.line("PING"), Value::Closed);
    assert_eq!(five.line("PING"), Value::Simple(b"PONG".to_vec()));

    let local = format!("127.0.0.1:{}", server.port());
    assert_eq!(
        killer.call(&["CLIENT", "KILL", "LADDR", &local]),
        Value::Int(1)
    );
    assert_eq!(five.line("PING"), Value::Closed);
    assert_eq!(killer.line("PING"), Value::Simple(b"PONG".to_vec()));

    let (mut six, _, _) = victim();
    let words = ["CLIENT", "KILL", "LADDR", &local, "SKIPME", "no"];
    assert_eq!(killer.call(&words), Value::Int(2));
    assert_eq!(six.line("PING"), Value::Closed);
    assert_eq!(killer.line("PING"), Value::Closed);
}

#[test]
fn maxage_ends_only_the_old() {
    let server = judged::start();
    let mut killer = server.connect();
    let mut other = server.connect();
    let killed = killer.line("CLIENT KILL MAXAGE 100000");
    if killed.is_error() {
        return println!("skipped: {killed}");
    }
    assert_eq!(killed, Value::Int(0));
    assert_eq!(other.line("PING"), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn what_a_client_sent_before_it_was_killed_still_counts_or_not_but_whole() {
    let server = judged::start();
    let mut victim = server.connect();
    let id = victim.line("CLIENT ID").int().to_string();
    let mut killer = server.connect();
    victim.send(&["SET", "a", "1"]).expect("sent");
    assert_eq!(killer.call(&["CLIENT", "KILL", "ID", &id]), Value::Int(1));
    let last = victim.read();
    assert!(last == Value::ok() || last == Value::Closed, "{last}");
    if last == Value::ok() {
        assert_eq!(killer.line("GET a"), Value::bulk("1"));
    }
}

/// While writes are held up, reads go on; when the pause ends, everything comes in order.
#[test]
fn pause_write_holds_only_writes() {
    let server = judged::start();
    let mut admin = server.connect();
    let mut reader = server.connect();
    let mut writer = server.connect();
    admin.line("SET k before");
    assert_eq!(admin.line("CLIENT PAUSE 100000 WRITE"), Value::ok());
    writer.send(&["SET", "k", "after"]).expect("sent");
    writer.send(&["GET", "k"]).expect("sent");
    assert_eq!(reader.line("GET k"), Value::bulk("before"));
    until("the writer to be held up", || {
        let blocked = admin.line("INFO clients").string();
        blocked.contains("blocked_clients:1\r\n").then_some(())
    });
    assert_eq!(reader.line("GET k"), Value::bulk("before"));
    assert_eq!(admin.line("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(writer.read(), Value::ok());
    assert_eq!(writer.read(), Value::bulk("after"));
}

/// A pause keeps the data as they are: a key whose time comes is hidden, not removed.
#[test]
fn a_pause_hides_expired_keys_and_keeps_them() {
    let server = judged::start();
    let mut client = server.connect();
    // Both at once: the time must not come before the pause.
    client.send(&["SET", "k", "v", "PX", "300"]).expect("sent");
    client
        .send(&["CLIENT", "PAUSE", "100000", "WRITE"])
        .expect("sent");
    assert_eq!(client.read(), Value::ok());
    assert_eq!(client.read(), Value::ok());
    until("the key's time to come", || {
        (client.line("GET k") == Value::NullBulk).then_some(())
    });
    assert_eq!(client.line("EXISTS k"), Value::Int(0));
    assert_eq!(client.line("DBSIZE"), Value::Int(1));
    let stats = client.line("INFO stats").string();
    assert!(stats.contains("expired_keys:0\r\n"), "{stats}");
    assert_eq!(client.line("CLIENT UNPAUSE"), Value::ok());
    assert_eq!(client.line("GET k"), Value::NullBulk);
    assert_eq!(client.line("DBSIZE"), Value::Int(0));
}

#[test]
fn pause_all_ends_by_itself() {
    let server = judged::start();
    let mut admin = server.connect();
    let mut other = server.connect();
    assert_eq!(admin.line("CLIENT PAUSE 50 ALL"), Value::ok());
    other.send(&["PING"]).expect("sent");
    assert_eq!(other.read(), Value::Simple(b"PONG".to_vec()));
}

#[test]
fn no_touch_leaves_the_clock_of_a_key() {
    let server = judged::setup()
        .with("maxmemory-policy", "allkeys-lru")
        .start();
    if !server.has("client|no-touch") {
        return println!("skipped: no CLIENT NO-TOUCH");
    }
    let mut quiet = server.connect();
    let mut other = server.connect();
    other.line("SET k v");
    assert_eq!(quiet.line("CLIENT NO-TOUCH on"), Value::ok());
    until("a second to pass", || {
        quiet.line("GET k");
        (quiet.line("OBJECT IDLETIME k").int() >= 2).then_some(())
    });
    other.line("GET k");
    assert_eq!(other.line("OBJECT IDLETIME k").int(), 0);
}

#[test]
fn flags_follow_what_a_client_asked_for() {
    let server = judged::start();
    let mut connection = server.connect();
    connection.line("CLIENT NO-EVICT on");
    let info = fields(&connection.line("CLIENT INFO").string());
    assert!(info["flags"].contains('e'), "{info:?}");
    connection.line("CLIENT NO-EVICT off");
    let info = fields(&connection.line("CLIENT INFO").string());
    assert_eq!(info["flags"], "N");
}

#[test]
fn a_client_that_left_is_off_the_list() {
    let server = judged::start();
    let mut watcher = server.connect();
    let others: Vec<_> = (0..10).map(|_| server.connect()).collect();
    until("all to be there", || {
        (list(&watcher.line("CLIENT LIST")).len() == 11).then_some(())
    });
    drop(others);
    until("all to be gone", || {
        (list(&watcher.line("CLIENT LIST")).len() == 1).then_some(())
    });
    let info = watcher.line("INFO clients").string();
    assert!(info.contains("connected_clients:1\r\n"), "{info}");
}
