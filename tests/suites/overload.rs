//! A shard that cannot keep up holds up those who need it, and nobody else; what waits for it is
//! bounded; and all shards being flooded by one another come to an end.

use harness::connection::frame;
use harness::server::{SEVERAL, until};
use harness::{Connection, Program, Seed, Server, Value, scaled};
use std::sync::atomic::{AtomicBool, Ordering};

const MB: u64 = 1 << 20;

/// A server with a connection to each shard, and a key on each.
struct Scene {
    server: Server,
    connections: Vec<Connection>,
    keys: Vec<String>,
}

fn shard_of(connection: &mut Connection) -> usize {
    let info = connection.line("CLIENT INFO").string();
    let mut fields = info.split(' ');
    let shard = fields.find_map(|field| field.strip_prefix("io-thread="));
    shard.expect("a shard").parse().expect("a number")
}

/// So many connections to shards that are wanted; and those to others, kept so that the next ones go elsewhere.
fn connections(
    server: &Server,
    count: usize,
    wanted: impl Fn(usize) -> bool,
) -> (Vec<Connection>, Vec<Connection>) {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    while found.len() < count {
        let mut next = server.connect();
        match wanted(shard_of(&mut next)) {
            true => found.push(next),
            false => others.push(next),
        }
    }
    (found, others)
}

/// The only shard that has a key.
fn shard_with_key(connection: &mut Connection) -> usize {
    let info = connection.line("INFO shoal").string();
    let found = (0..SEVERAL).find(|i| info.contains(&format!("\nshard{i}:keys=1,")));
    found.unwrap_or_else(|| panic!("one key expected:\n{info}"))
}

impl Scene {
    fn set() -> Scene {
        let server = Server::setup(Program::Judged).shards(SEVERAL).start();
        let mut connections = Vec::new();
        let mut others = Vec::new();
        while connections.len() < SEVERAL {
            let mut next = server.connect();
            match shard_of(&mut next) == connections.len() {
                true => connections.push(next),
                // Kept, so that the next one goes elsewhere.
                false => others.push(next),
            }
        }
        let mut keys = vec![String::new(); SEVERAL];
        for n in 0.. {
            if keys.iter().all(|key| !key.is_empty()) {
                break;
            }
            let key = format!("key:{n}");
            assert_eq!(connections[0].line("FLUSHALL"), Value::ok());
            assert_eq!(connections[0].call(&["SET", &key, "v"]), Value::ok());
            keys[shard_with_key(&mut connections[0])] = key;
        }
        let set = keys.iter().flat_map(|key| [key.as_str(), "v"]);
        let words: Vec<&str> = ["MSET"].into_iter().chain(set).collect();
        assert_eq!(connections[0].call(&words), Value::ok());
        Scene {
            server,
            connections,
            keys,
        }
    }
}

/// Whether everybody else gets answers is seen by the order of things: the busy shard's client has
/// none yet. A machine that stops in between is given further tries.
#[test]
fn a_busy_shard_delays_only_those_who_need_it() {
    if !Program::Judged.is_shoal() {
        return println!("skipped: not Shoal");
    }
    let mut scene = Scene::set();
    let [busy, one, other] = &mut scene.connections[..] else {
        unreachable!("as many as shards");
    };
    until("others to be served while a shard is busy", || {
        let over = AtomicBool::new(false);
        let mut served = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(busy.line("DEBUG SLEEP 0.3"), Value::ok());
                over.store(true, Ordering::SeqCst);
            });
            // It waits, and must not be in the way of the others.
            other.send(&["GET", &scene.keys[0]]).expect("sent");
            for _ in 0..50 {
                let (own, third) = (&scene.keys[1], &scene.keys[2]);
                assert_eq!(one.call(&["SET", own, "v"]), Value::ok());
                assert_eq!(one.call(&["SET", third, "v"]), Value::ok());
                assert_eq!(one.call(&["MSET", third, "v", own, "v"]), Value::ok());
                served += u64::from(!over.load(Ordering::SeqCst));
            }
        });
        assert_eq!(other.read(), Value::bulk("v"));
        (served == 50).then_some(())
    });
}

/// Clients of other shards send far more for a shard that sleeps than anybody should keep for it: a
/// batch of each, some 4 MB with these values.
#[test]
fn what_waits_for_a_shard_is_bounded() {
    if !Program::Judged.is_shoal() {
        return println!("skipped: not Shoal");
    }
    let mut scene = Scene::set();
    let server = &scene.server;
    let key = &scene.keys[0];
    let before = server.resident();
    let value = "x".repeat(10_000);
    let bytes = frame(&["SET", key, &value]).repeat(2000);
    let (mut flooding, kept) = connections(server, 20, |shard| shard != 0);
    scene.connections.extend(kept);
    let mut most = 0;
    std::thread::scope(|scope| {
        let sleeping = &mut scene.connections[0];
        sleeping.send(&["DEBUG", "SLEEP", "1"]).expect("sent");
        let ends: Vec<_> = flooding
            .iter_mut()
            .map(|client| scope.spawn(|| client.pipeline(&bytes, 2000)))
            .collect();
        assert_eq!(sleeping.read(), Value::ok());
        most = most.max(server.resident() - before);
        for end in ends {
            let replies = end.join().expect("all is answered");
            assert!(replies.iter().all(|reply| *reply == Value::ok()));
            most = most.max(server.resident() - before);
        }
    });
    println!("{most} bytes more for {} sent", bytes.len() * 20);
    assert!(most < 160 * MB, "{most} bytes more than before");
    assert_eq!(
        scene.connections[1].call(&["GET", key]),
        Value::bulk(&value)
    );
}

/// Full rings in all directions at once, large replies that come back, and clients that are slow to
/// read them.
#[test]
fn floods_in_all_directions_come_to_an_end() {
    let server = Server::setup(Program::Judged).shards(5).start();
    let value = "y".repeat(3000);
    let mut words = vec!["MSET".to_owned()];
    for i in 0..200 {
        words.extend([format!("key:{i}"), value.clone()]);
    }
    assert_eq!(server.connect().call(&words), Value::ok());
    std::thread::scope(|scope| {
        for client in 0..10u64 {
            let (server, value) = (&server, &value);
            scope.spawn(move || {
                let mut seed = Seed::new(Seed::of_run(client));
                let mut connection = server.connect();
                let mut bytes = Vec::new();
                let mut expected = Vec::new();
                for _ in 0..scaled(3000) {
                    let key = |seed: &mut Seed| format!("key:{}", seed.below(200));
                    let (one, two) = (key(&mut seed), key(&mut seed));
                    let held = Value::bulk(value);
                    match seed.below(10) {
                        0..=5 => {
                            bytes.extend(frame(&["GET", &one]));
                            expected.push(held);
                        }
                        6..=7 => {
                            bytes.extend(frame(&["SET", &one, value]));
                            expected.push(Value::ok());
                        }
                        8 => {
                            bytes.extend(frame(&["MGET", &one, &two]));
                            expected.push(Value::Array(vec![held.clone(), held]));
                        }
                        _ => {
                            bytes.extend(frame(&["MSET", &one, value, &two, value]));
                            expected.push(Value::ok());
                        }
                    }
                }
                let replies = connection.pipeline(&bytes, expected.len());
                let wrong = replies.iter().zip(&expected).position(|(r, e)| r != e);
                assert_eq!(wrong, None, "of client {client}");
            });
        }
    });
}

/// Events of keys pile up for a shard that sleeps, and has to tell them: whoever causes them waits.
#[test]
fn events_for_a_shard_that_sleeps_are_bounded() {
    if !Program::Judged.is_shoal() {
        return println!("skipped: not Shoal");
    }
    let mut scene = Scene::set();
    let on = scene.connections[0].line("CONFIG SET notify-keyspace-events KEA");
    assert_eq!(on, Value::ok());
    let server = &scene.server;
    // Whose channel it is, is not said. With that of each shard in turn it is once the sleeper's.
    for sleeper in 0..SEVERAL {
        let writer = (sleeper + 1) % SEVERAL;
        let mut subscriber = server.connect();
        subscriber.line("SUBSCRIBE __keyevent@0__:set");
        let (mut writers, _others) = connections(server, 10, |shard| shard == writer);
        let key = format!("{{{}}}{}", scene.keys[writer], "x".repeat(10_000));
        let bytes = frame(&["SET", &key, "v"]).repeat(2000);
        let before = server.resident();
        let mut most = 0;
        std::thread::scope(|scope| {
            let sleeping = &mut scene.connections[sleeper];
            sleeping.send(&["DEBUG", "SLEEP", "1"]).expect("sent");
            let ends: Vec<_> = writers
                .iter_mut()
                .map(|client| scope.spawn(|| client.pipeline(&bytes, 2000)))
                .collect();
            assert_eq!(sleeping.read(), Value::ok());
            most = most.max(server.resident().saturating_sub(before));
            for end in ends {
                let replies = end.join().expect("all is answered");
                assert!(replies.iter().all(|reply| *reply == Value::ok()));
            }
        });
        println!("{most} bytes more while shard {sleeper} slept");
        assert!(most < 130 * MB, "{most} bytes more than before");
    }
}
