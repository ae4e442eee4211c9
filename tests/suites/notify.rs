//! Keyspace notifications: which are sent, when, and to whom.

use crate::{SHARDS, judged};
use harness::server::until;
use harness::{Connection, Server, Value};

/// A connection that hears of all keys, and one that has chosen what is said of them.
fn listening(server: &Server, events: &str) -> (Connection, Connection) {
    let (mut listener, mut client) = (server.connect(), server.connect());
    let set = client.call(&["CONFIG", "SET", "notify-keyspace-events", events]);
    assert_eq!(set, Value::ok());
    listener.line("PSUBSCRIBE __key*@*__:*");
    (listener, client)
}

/// The channel without what all of its kind begin with, and the payload.
fn heard(listener: &mut Connection) -> String {
    let message = listener.read();
    let [.., channel, payload] = message.items() else {
        panic!("a message expected, not {message}");
    };
    let channel = channel.string();
    let about = channel.trim_start_matches("__key");
    format!("{about} {}", payload.string())
}

#[track_caller]
fn expect(listener: &mut Connection, all: &[&str]) {
    for wanted in all {
        assert_eq!(heard(listener), *wanted);
    }
}

#[test]
fn only_what_is_wanted_is_said() {
    for (events, wanted) in [
        ("K$", &["space@0__:k set", "space@0__:end set"][..]),
        ("E$", &["event@0__:set k", "event@0__:set end"]),
        ("Kn", &["space@0__:k new", "space@0__:end new"]),
        ("Kg", &["space@0__:k expire", "space@0__:end expire"]),
        ("Km", &["space@0__:nope keymiss"]),
        ("KAz", &["space@0__:k set", "space@0__:k expire"]),
        // Without K or E nothing is, and without a class neither.
        ("A", &[]),
        ("KE", &[]),
        ("", &[]),
    ] {
        let server = judged::start();
        let (mut listener, mut client) = listening(&server, events);
        client.line("SET k v EX 100");
        client.line("GET nope");
        // What comes first on the way here has to be of one channel after the other.
        if wanted.len() == 1 {
            expect(&mut listener, wanted);
            continue;
        }
        if let Some(first) = wanted.first() {
            expect(&mut listener, &[first]);
        }
        client.line("SET end v EX 100");
        match wanted.get(1) {
            Some(second) => expect(&mut listener, &[second]),
            None => {
                client.line("PUBLISH __keyspace@0__:over x");
                expect(&mut listener, &["space@0__:over x"]);
            }
        }
    }
}

#[test]
fn keys_and_fields_say_when_they_expire() {
    let server = judged::start();
    let (mut listener, mut client) = listening(&server, "Kxhg");
    // Nobody asks for them.
    client.line("SET k v PX 20");
    expect(
        &mut listener,
        &["space@0__:k expire", "space@0__:k expired"],
    );
    if server.has("HPEXPIRE") {
        client.line("HSET h a 1 b 2");
        client.line("HPEXPIRE h 20 FIELDS 1 a");
        let set = ["space@0__:h hset", "space@0__:h hexpire"];
        expect(&mut listener, &set);
        expect(&mut listener, &["space@0__:h hexpired"]);
        client.line("HPEXPIRE h 20 FIELDS 1 b");
        let gone = ["hexpire", "hexpired", "del"].map(|event| format!("space@0__:h {event}"));
        expect(&mut listener, &gone.each_ref().map(String::as_str));
    }
    // Somebody does, and nothing else removes it.
    if client.line("DEBUG SET-ACTIVE-EXPIRE 0") == Value::ok() {
        client.line("SELECT 3");
        client.line("SET k v PX 1");
        until("the key to go", || {
            client.line("GET k").is_null().then_some(())
        });
        expect(
            &mut listener,
            &["space@3__:k expire", "space@3__:k expired"],
        );
    }
}

#[test]
fn ones_own_messages_come_behind_the_reply() {
    let server = judged::start();
    let (_, mut setter) = listening(&server, "K$");
    setter.line("SET other v");
    let mut client = server.connect_as(3);
    client.line("SUBSCRIBE __keyspace@0__:k");
    for i in 0..20 {
        client.send(&["SET", "k", &i.to_string()]).expect("sent");
        let mut both = client.read_many(2);
        // From another shard they come by ways of their own.
        if SHARDS > 1 && both[1] == Value::ok() {
            both.reverse();
        }
        assert_eq!(both[0], Value::ok());
        let Value::Push(words) = &both[1] else {
            panic!("a push expected, not {}", both[1]);
        };
        assert_eq!(words[2].string(), "set");
    }
    client.send(&["MULTI"]).expect("sent");
    client.send(&["INCR", "k"]).expect("sent");
    client.send(&["EXEC"]).expect("sent");
    let replies = client.read_many(4);
    let pushed = replies.iter().filter(|r| matches!(r, Value::Push(_)));
    assert_eq!(pushed.count(), 1);
}

#[test]
fn what_runs_aside_is_said_too() {
    let server = judged::start();
    let (mut listener, mut client) = listening(&server, "Ksgl");
    for from in (0..40_000).step_by(1000) {
        let members = (from..from + 1000).map(|i| format!("member:{i}"));
        let words = ["SADD".to_owned(), "big".to_owned()].into_iter();
        client.call(&words.chain(members).collect::<Vec<_>>());
        expect(&mut listener, &["space@0__:big sadd"]);
    }
    client.line("SUNIONSTORE copy big nothing");
    expect(&mut listener, &["space@0__:copy sunionstore"]);
    client.line("SORT big ALPHA STORE list");
    expect(&mut listener, &["space@0__:list sortstore"]);
    client.line("SINTERSTORE copy big nothing");
    expect(&mut listener, &["space@0__:copy del"]);
}

/// Clients create and remove the same keys, by commands of each form: a key is new, goes, and is new
/// again, for everyone who listens.
#[test]
fn a_keys_events_are_in_the_order_in_which_it_changes() {
    const ROUNDS: usize = 200;
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let server = judged::start();
    let (_, mut client) = listening(&server, "Kgn");
    let mut listeners = KEYS.map(|key| {
        let mut listener = server.connect();
        listener.call(&["SUBSCRIBE", &format!("__keyspace@0__:{key}")]);
        listener
    });
    std::thread::scope(|scope| {
        for number in 0..3 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for _ in 0..ROUNDS {
                    match number {
                        0 => drop(client.line("MSET a 1 b 2 c 3")),
                        1 => drop(client.line("MSETNX c 1 a 2")),
                        _ => drop(client.line("SETNX b 1")),
                    }
                    match number {
                        0 => drop(client.line("DEL c b a")),
                        1 => drop(client.line("RENAME a b")),
                        _ => drop(client.line("GETDEL c")),
                    }
                }
            });
        }
    });
    client.line("DEL a b c");
    for key in KEYS {
        client.call(&["PUBLISH", &format!("__keyspace@0__:{key}"), "end"]);
    }
    for listener in &mut listeners {
        let (mut there, mut events) = (false, 0);
        loop {
            let event = listener.read().items()[2].string();
            match event.as_str() {
                "end" => break,
                "new" => there = true,
                "del" | "rename_from" => {
                    assert!(there, "{event} of a key that was not there");
                    there = false;
                }
                // It was new.
                _ => assert!(there, "{event} of a key that is not there"),
            }
            events += 1;
        }
        assert!(!there && events > ROUNDS / 10);
    }
}
