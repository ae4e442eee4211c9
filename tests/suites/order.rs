//! The order of one client's commands, as itself and as others see it, when their keys are on several
//! shards: `pipeline-order`.
//!
//! A client sends commands in pairs, many at once; observers read what the second of a pair wrote and
//! then what the first wrote, and must never find the second without the first. Whether the test can
//! see a violation is shown by pairs of one and the same write command, which `parallel` lets run side
//! by side; how often they were seen in the wrong order is printed.

use harness::connection::frame;
use harness::server::SEVERAL;
use harness::{Connection, Program, Seed, Server, Value, scaled};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Pairs of keys, so that the shards of first key, second key, client and observer are all
/// combinations of same and different.
const KEYS: u64 = 12;

/// Pairs of commands that are sent at once. All of them are for one pair of keys.
const BATCH: u64 = 100;

fn start(order: &str) -> Server {
    let setup = Server::setup(Program::Judged).shards(SEVERAL);
    match Program::Judged.is_shoal() {
        true => setup.with("pipeline-order", order).start(),
        // Redis knows one order only.
        false => setup.start(),
    }
}

/// A command with `first`, `second`, `other` and `value` in it.
fn words(template: &str, pair: u64, value: u64) -> Vec<String> {
    let word = |word: &str| match word {
        "first" | "second" | "other" => format!("{word}:{pair}"),
        "value" => value.to_string(),
        word => word.to_owned(),
    };
    template.split(' ').map(word).collect()
}

fn number(reply: &Value) -> u64 {
    match reply.text() {
        Some(digits) => String::from_utf8_lossy(digits)
            .parse()
            .expect("a counter holds a number"),
        None => 0,
    }
}

/// How an observer looks at the second key and then at the first.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// The second look begins when the first has its answer.
    Twice,
    /// One command for both.
    Once,
    /// Two commands in one pipeline.
    Piped,
}

impl Look {
    fn at(self, connection: &mut Connection, pair: u64) -> (u64, u64) {
        let (first, second) = (format!("first:{pair}"), format!("second:{pair}"));
        let replies = match self {
            Look::Twice => vec![
                connection.call(&["GET", &second]),
                connection.call(&["GET", &first]),
            ],
            Look::Once => connection.call(&["MGET", &second, &first]).items().to_vec(),
            Look::Piped => {
                let bytes = [frame(&["GET", &second]), frame(&["GET", &first])].concat();
                connection.pipeline(&bytes, 2)
            }
        };
        (number(&replies[0]), number(&replies[1]))
    }
}

/// Sends pairs of commands whose `n`th leaves `n` in its key, and counts the looks that found the
/// second key ahead of the first.
fn violations(server: &Server, pair_of: [&str; 2], looks: &[Look], rounds: u64) -> u64 {
    let (wrong, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let at = AtomicU64::new(0);
    assert_eq!(server.connect().line("FLUSHALL"), Value::ok());
    std::thread::scope(|scope| {
        for look in looks {
            let (wrong, over, at) = (&wrong, &over, &at);
            // Two of each, so that they come to be on different shards.
            for mut connection in [server.connect(), server.connect()] {
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let (second, first) = look.at(&mut connection, at.load(Ordering::Relaxed));
                        wrong.fetch_add(u64::from(second > first), Ordering::Relaxed);
                    }
                });
            }
        }
        let mut writer = server.connect();
        let mut sent = vec![0; KEYS as usize];
        for round in 0..rounds {
            let pair = round % KEYS;
            at.store(pair, Ordering::Relaxed);
            let mut bytes = Vec::new();
            for _ in 0..BATCH {
                sent[pair as usize] += 1;
                for template in pair_of {
                    bytes.extend(frame(&words(template, pair, sent[pair as usize])));
                }
            }
            for reply in writer.pipeline(&bytes, 2 * BATCH as usize) {
                assert!(!reply.is_error(), "{reply}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    wrong.into_inner()
}

#[test]
fn a_change_of_command_is_seen_in_order() {
    let server = start("parallel");
    for pair_of in [
        ["SET first value", "INCR second"],
        ["INCR first", "SET second value"],
        ["SET first value", "MSET second value other value"],
        ["MSET first value other value", "SET second value"],
        [
            "MSET first value other value",
            "MSET second value other value",
        ],
        ["SET first value", "SETEX second 1000 value"],
        ["SET first value", "COPY first second REPLACE"],
        ["SETRANGE first 0 value", "SET second value"],
    ] {
        let seen = violations(
            &server,
            pair_of,
            &[Look::Twice, Look::Once],
            scaled(30) as u64,
        );
        assert_eq!(seen, 0, "{pair_of:?}");
    }
}

#[test]
fn strict_keeps_every_order() {
    let server = start("strict");
    for pair_of in [
        ["SET first value", "SET second value"],
        ["INCR first", "INCR second"],
        ["SET first value", "INCR second"],
    ] {
        let looks = [Look::Twice, Look::Once, Look::Piped];
        let seen = violations(&server, pair_of, &looks, scaled(30) as u64);
        assert_eq!(seen, 0, "{pair_of:?}");
    }
}

/// No assertion: that nobody happened to see it would be no fault. Printed, it shows that the
/// observers of the other tests are not blind.
#[test]
fn parallel_lets_a_run_of_one_command_overtake_itself() {
    let server = start("parallel");
    for (look, name) in [(Look::Twice, "two looks"), (Look::Once, "one look")] {
        let pair_of = ["SET first value", "SET second value"];
        let seen = violations(&server, pair_of, &[look], scaled(30) as u64);
        println!("SET and SET by {name}: {seen} times the second without the first");
    }
}

/// A write, then a read of what the other writes: one of the two has to see the other. If the read
/// ran beside the write before it, both might see nothing.
#[test]
fn a_read_waits_for_the_write_before_it() {
    let server = start("parallel");
    let mut clients = [server.connect(), server.connect()];
    for n in 1..=scaled(2000) as u64 {
        let pair = n % KEYS;
        let templates = [
            ["SET first value", "GET second"],
            ["SET second value", "GET first"],
        ];
        for (client, template) in clients.iter_mut().zip(templates) {
            let bytes: Vec<u8> = template
                .iter()
                .flat_map(|t| frame(&words(t, pair, n)))
                .collect();
            client.send_raw(&bytes).expect("sent");
        }
        let seen = clients.each_mut().map(|client| {
            assert_eq!(client.read(), Value::ok());
            number(&client.read())
        });
        assert!(
            seen.contains(&n),
            "both read before the other had written {n}: {seen:?}"
        );
    }
}

/// A read, then a write that makes another client write what was read: the read must not have seen
/// it. If the write ran beside the read before it, it could.
#[test]
fn a_write_waits_for_the_read_before_it() {
    let server = start("parallel");
    let mut client = server.connect();
    let mut answering = server.connect();
    for n in 1..=scaled(1000) as u64 {
        let pair = n % KEYS;
        let bytes = ["GET first", "SET second value"].map(|t| frame(&words(t, pair, n)));
        client.send_raw(&bytes.concat()).expect("sent");
        while number(&answering.call(&words("GET second", pair, n))) < n {}
        answering.call(&words("SET first value", pair, n));
        let read = number(&client.read());
        assert!(
            read < n,
            "GET saw what was written because of the SET after it"
        );
        assert_eq!(client.read(), Value::ok());
    }
}

/// What one client gets when it is alone, computed here.
#[derive(Default)]
struct Model(HashMap<String, String>);

impl Model {
    /// A command that nobody has sent before, and its reply.
    fn step(&mut self, seed: &mut Seed, n: usize) -> (Vec<String>, Value) {
        let key = |seed: &mut Seed| format!("key:{}", seed.below(30));
        let get = |model: &Model, key: &String| match model.0.get(key) {
            Some(value) => Value::bulk(value),
            None => Value::NullBulk,
        };
        let (one, two, three) = (key(seed), key(seed), key(seed));
        let value = format!("value {n}");
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        match seed.below(12) {
            0 => {
                self.0.insert(one.clone(), value.clone());
                (owned(&["SET", &one, &value]), Value::ok())
            }
            1..=3 => {
                let reply = get(self, &one);
                (owned(&["GET", &one]), reply)
            }
            4 => {
                let reply = Value::Array([&one, &two, &three].map(|k| get(self, k)).to_vec());
                (owned(&["MGET", &one, &two, &three]), reply)
            }
            5 => {
                for key in [&one, &two] {
                    self.0.insert(key.clone(), value.clone());
                }
                (owned(&["MSET", &one, &value, &two, &value]), Value::ok())
            }
            6 => {
                let held = self.0.entry(one.clone()).or_default();
                held.push_str(&value);
                let reply = Value::Int(held.len() as i64);
                (owned(&["APPEND", &one, &value]), reply)
            }
            7 => (owned(&["ECHO", &value]), Value::bulk(&value)),
            8 => {
                let held = [&one, &two, &three].map(|k| i64::from(self.0.contains_key(k)));
                let reply = Value::Int(held.iter().sum());
                (owned(&["EXISTS", &one, &two, &three]), reply)
            }
            9 => {
                let gone = [&one, &two].map(|k| i64::from(self.0.remove(k).is_some()));
                (owned(&["DEL", &one, &two]), Value::Int(gone.iter().sum()))
            }
            10 => {
                let reply = get(self, &one);
                self.0.insert(one.clone(), value.clone());
                (owned(&["GETSET", &one, &value]), reply)
            }
            _ => match self.0.get(&one).cloned() {
                Some(held) if one != two => {
                    self.0.insert(two.clone(), held);
                    let words = owned(&["COPY", &one, &two, "REPLACE"]);
                    (words, Value::Int(1))
                }
                held => {
                    let length = held.map_or(0, |held| held.len() as i64);
                    (owned(&["STRLEN", &one]), Value::Int(length))
                }
            },
        }
    }
}

/// Several clients at once, each with its own keys in its own database, send pipelines of any length
/// in pieces of any size. Every reply is the one to its own command.
#[test]
fn replies_are_in_order_whatever_the_pieces() {
    for order in ["parallel", "strict"] {
        let server = start(order);
        std::thread::scope(|scope| {
            for client in 0..4u64 {
                let server = &server;
                scope.spawn(move || pipelines_of_one_client(server, order, client));
            }
        });
    }
}

fn pipelines_of_one_client(server: &Server, order: &str, client: u64) {
    let mut connection = server.connect();
    assert_eq!(connection.line(&format!("SELECT {client}")), Value::ok());
    let first = Seed::of_run(client);
    let mut seed = Seed::new(first);
    let mut model = Model::default();
    for run in 0..scaled(60) {
        let length = *seed.pick(&[1, 2, 5, 30, 300, 1500]);
        let steps: Vec<_> = (0..length).map(|n| model.step(&mut seed, n)).collect();
        let bytes: Vec<u8> = steps.iter().flat_map(|(words, _)| frame(words)).collect();
        // The replies have to be read meanwhile, or both sides' buffers fill up for good.
        let longest = *seed.pick(&[1, 7, 100, 4000, 1 << 20]);
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && pieces.len() < 500 {
            let (piece, after) = rest.split_at((1 + seed.below(longest)).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let replies = connection.pipeline_in(&pieces, length);
        for (n, ((words, expected), reply)) in steps.iter().zip(&replies).enumerate() {
            assert!(
                reply == expected,
                "{order}, TEST_SEED={first}, run {run}, command {n} of {length}, {words:?}: \
                 expected {expected}, got {reply}"
            );
        }
    }
}
