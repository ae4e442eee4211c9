//! Commands with keys on several shards happen as one, whoever watches, and whoever dies meanwhile.
//!
//! Clients change keys in such ways that something stays true after each command: the number of keys,
//! the set of values, two keys being equal. Others look at all of it with one command and must find
//! it true. Some of the clients hang up in the middle or are killed, with commands on their way.
//! What cannot be said in this way is the business of `consistency`.

use harness::connection::frame;
use harness::server::until;
use harness::{Connection, Program, Seed, Server, Value, scaled};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Clients that change keys; as many look.
const WRITERS: usize = 3;

/// Commands that a writer sends.
const COMMANDS: usize = 600;

/// Places among which [`TOKENS`] keys are moved.
const PLACES: usize = 12;
const TOKENS: usize = 7;

/// A command that keeps the promise.
type Change = fn(&mut Seed) -> Vec<String>;

/// One command that sees all of it, and what is wrong with its answer.
type Look = (&'static str, fn(&Value) -> Result<(), String>);

struct Promise {
    /// What brings it about.
    first: &'static [&'static str],
    changes: &'static [Change],
    looks: &'static [Look],
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn place(seed: &mut Seed) -> String {
    format!("place:{}", seed.below(PLACES))
}

fn is(expected: i64, reply: &Value) -> Result<(), String> {
    match *reply == Value::Int(expected) {
        true => Ok(()),
        false => Err(format!("{expected} expected")),
    }
}

fn as_many_as_tokens(reply: &Value) -> Result<(), String> {
    match reply.items().len() == TOKENS {
        true => Ok(()),
        false => Err(format!("{TOKENS} expected")),
    }
}

/// The values of all places: each token once.
fn each_token_once(reply: &Value) -> Result<(), String> {
    let mut found: Vec<String> = reply
        .items()
        .iter()
        .filter(|value| !value.is_null())
        .map(Value::string)
        .collect();
    found.sort();
    let expected: Vec<String> = (0..TOKENS).map(|i| format!("token{i}")).collect();
    match found == expected {
        true => Ok(()),
        false => Err("each token once expected".to_owned()),
    }
}

fn all_equal(reply: &Value) -> Result<(), String> {
    match reply.items().windows(2).all(|pair| pair[0] == pair[1]) {
        true => Ok(()),
        false => Err("equal values expected".to_owned()),
    }
}

/// Keys are moved, and none is lost or doubled.
const MOVED: Promise = Promise {
    first: &[
        "MSET place:0 token0 place:1 token1 place:2 token2 place:3 token3 place:4 token4 \
              place:5 token5 place:6 token6",
    ],
    changes: &[
        |seed| words(&format!("RENAMENX {} {}", place(seed), place(seed))),
        // Onto itself or from nowhere: nothing.
        |seed| {
            let place = place(seed);
            words(&format!("RENAME {place} {place}"))
        },
    ],
    looks: &[
        ("DBSIZE", |reply| is(TOKENS as i64, reply)),
        ("KEYS *", as_many_as_tokens),
        (
            "EXISTS place:0 place:1 place:2 place:3 place:4 place:5 place:6 place:7 place:8 place:9 \
             place:10 place:11",
            |reply| is(TOKENS as i64, reply),
        ),
        (
            "MGET place:0 place:1 place:2 place:3 place:4 place:5 place:6 place:7 place:8 place:9 \
             place:10 place:11",
            each_token_once,
        ),
        ("RANDOMKEY", |reply| match reply.is_null() {
            false => Ok(()),
            true => Err("a key expected".to_owned()),
        }),
    ],
};

/// Keys are there together, with one value, or not at all.
const TOGETHER: Promise = Promise {
    first: &[],
    changes: &[
        |seed| {
            let value = 100_000 + seed.below(900_000);
            words(&format!("MSET a {value} b {value} c {value} d {value}"))
        },
        |seed| {
            let value = 100_000 + seed.below(900_000);
            words(&format!("MSETNX d {value} c {value} b {value} a {value}"))
        },
        |_| words("DEL a b c d"),
        |_| words("UNLINK d c a b"),
        |seed| {
            let shared = *seed.pick(&["FLUSHDB", "DEL c d b a", "FLUSHDB ASYNC"]);
            words(shared)
        },
    ],
    looks: &[
        ("MGET a b c d", all_equal),
        ("MGET d b a c", all_equal),
        ("EXISTS a b c d", all_or_none),
        ("TOUCH a b c d", all_or_none),
        ("DBSIZE", all_or_none),
        ("KEYS *", four_or_none),
        // Equal values have all of themselves in common.
        ("LCS a c LEN", |reply| match reply {
            Value::Int(0 | 6) => Ok(()),
            _ => Err("6 or 0 expected".to_owned()),
        }),
    ],
};

fn all_or_none(reply: &Value) -> Result<(), String> {
    match reply {
        Value::Int(0 | 4) => Ok(()),
        _ => Err("all four or none expected".to_owned()),
    }
}

fn four_or_none(reply: &Value) -> Result<(), String> {
    match reply.items().len() {
        0 | 4 => Ok(()),
        _ => Err("all four or none expected".to_owned()),
    }
}

/// Copies are of one moment: what is written from several keys is what they were together.
const COPIED: Promise = Promise {
    first: &["MSET a 000000 b 000000 xor \0\0\0\0\0\0 copy:a 000000 copy:b 000000"],
    changes: &[
        |seed| {
            let value = 100_000 + seed.below(900_000);
            words(&format!("MSET a {value} b {value}"))
        },
        // Of two equal values nothing is left.
        |_| words("BITOP XOR xor a b"),
        |_| words("BITOP XOR xor b a"),
        // And one of them is both.
        |_| words("BITOP AND a a b"),
        |_| words("BITOP OR b b a"),
        |_| words("COPY a b REPLACE"),
        |_| words("COPY b a REPLACE"),
    ],
    looks: &[
        ("MGET a b", all_equal),
        ("DBSIZE", |reply| is(5, reply)),
        ("GET xor", |reply| {
            match *reply == Value::bulk("\0\0\0\0\0\0") {
                true => Ok(()),
                false => Err("six zero bytes expected".to_owned()),
            }
        }),
        ("LCS a b LEN", |reply| is(6, reply)),
    ],
};

/// Keys that expire at one moment are gone together, although each shard has its clock.
const EXPIRING: Promise = Promise {
    first: &[],
    changes: &[
        expiring,
        expiring,
        |seed| {
            let value = 100_000 + seed.below(900_000);
            words(&format!("MSETNX d {value} c {value} b {value} a {value}"))
        },
        |_| words("DEL c a d b"),
        // Of equal values nothing is left, and of missing ones no key.
        |_| words("BITOP XOR xor a b"),
        |_| words("BITOP XOR xor d c"),
        |_| words("COPY a b REPLACE"),
        |_| words("COPY c b REPLACE"),
    ],
    looks: &[
        ("MGET a b c d", all_equal),
        ("EXISTS a b c d", all_or_none),
        ("TOUCH d c b a", all_or_none),
        ("KEYS [a-d]", four_or_none),
        ("MGET d c b a", all_equal),
        ("LCS a b LEN", |reply| match reply {
            Value::Int(0 | 6) => Ok(()),
            _ => Err("6 or 0 expected".to_owned()),
        }),
        ("GET xor", |reply| match reply {
            Value::NullBulk => Ok(()),
            zeros if *zeros == Value::bulk("\0\0\0\0\0\0") => Ok(()),
            _ => Err("nothing or six zero bytes expected".to_owned()),
        }),
    ],
};

fn expiring(seed: &mut Seed) -> Vec<String> {
    let value = 100_000 + seed.below(900_000);
    let lives_ms = 1 + seed.below(3);
    words(&format!(
        "MSETEX 4 a {value} b {value} c {value} d {value} PX {lives_ms}"
    ))
}

/// An element is passed on from list to list, and always in one of them.
const PASSED: Promise = Promise {
    first: &["RPUSH place:0 element"],
    changes: &[
        |seed| words(&format!("RPOPLPUSH {} {}", place(seed), place(seed))),
        |seed| {
            let (from, to) = (place(seed), place(seed));
            words(&format!("LMOVE {from} {to} LEFT RIGHT"))
        },
        // Takes nothing from nowhere.
        |_| words("LMPOP 3 nowhere:0 nowhere:1 nowhere:2 LEFT COUNT 2"),
    ],
    looks: &[
        ("DBSIZE", |reply| is(1, reply)),
        ("KEYS *", |reply| match reply.items().len() {
            1 => Ok(()),
            _ => Err("one key expected".to_owned()),
        }),
        (
            "EXISTS place:0 place:1 place:2 place:3 place:4 place:5 place:6 place:7 place:8 place:9 \
             place:10 place:11",
            |reply| is(1, reply),
        ),
    ],
};

/// Members are moved from set to set, and always in one of them.
const MEMBERS: Promise = Promise {
    first: &["SADD place:0 token0 token1 token2 token3 token4 token5 token6"],
    changes: &[
        |seed| {
            let (from, to, token) = (place(seed), place(seed), seed.below(TOKENS));
            words(&format!("SMOVE {from} {to} token{token}"))
        },
        // The same set again.
        |seed| {
            let place = place(seed);
            words(&format!("SUNIONSTORE {place} {place} {place}"))
        },
    ],
    looks: &[
        (
            "SUNION place:0 place:1 place:2 place:3 place:4 place:5 place:6 place:7 place:8 place:9 \
             place:10 place:11",
            as_many_as_tokens,
        ),
        ("SINTERCARD 2 place:0 place:1", |reply| is(0, reply)),
        ("SINTER place:2 place:11", |reply| match reply.items() {
            [] => Ok(()),
            _ => Err("nothing expected".to_owned()),
        }),
    ],
};

/// A database is swapped as a whole: its keys are those of one or those of the other.
const SWAPPED: Promise = Promise {
    first: &[
        "MSET a one b one c one d one",
        "SELECT 9",
        "MSET a two b two c two d two",
    ],
    changes: &[
        |_| words("SWAPDB 0 9"),
        |_| words("SWAPDB 9 0"),
        |_| words("MSET a new b new c new d new"),
    ],
    looks: &[
        ("MGET a b c d", all_equal),
        ("MGET c a d b", all_equal),
        ("DBSIZE", |reply| is(4, reply)),
        ("EXISTS a b c d", |reply| is(4, reply)),
    ],
};

fn write(server: &Server, promise: &Promise, seed: &mut Seed) {
    let mut connection = server.connect();
    let mut sent = 0;
    while sent < COMMANDS {
        let count = *seed.pick(&[1, 1, 3, 10]);
        let commands: Vec<Vec<String>> = (0..count)
            .map(|_| seed.pick(promise.changes)(seed))
            .collect();
        let bytes: Vec<u8> = commands.iter().flat_map(|words| frame(words)).collect();
        sent += count;
        match seed.below(40) {
            // It hangs up with commands on their way.
            0 => {
                connection.send_raw(&bytes).expect("sent");
                connection = server.connect();
            }
            // It is killed.
            1 => {
                let id = connection.line("CLIENT ID").int().to_string();
                connection.send_raw(&bytes).expect("sent");
                let killed = server.connect().call(&["CLIENT", "KILL", "ID", &id]);
                assert_eq!(killed, Value::Int(1));
                connection = server.connect();
            }
            _ => {
                for (words, reply) in commands.iter().zip(connection.pipeline(&bytes, count)) {
                    let missing = reply == Value::error("ERR no such key");
                    assert!(!reply.is_error() || missing, "{words:?}: {reply}");
                }
            }
        }
    }
}

/// Looks until the writers are done, and then once more.
fn watch(
    connection: &mut Connection,
    promise: &Promise,
    writing: &AtomicUsize,
    at: usize,
) -> usize {
    let mut looks = 0;
    loop {
        let over = writing.load(Ordering::Acquire) == 0;
        for i in 0..promise.looks.len() {
            let (line, judge) = promise.looks[(at + i) % promise.looks.len()];
            let reply = connection.line(line);
            if let Err(why) = judge(&reply) {
                panic!("{line}: {why}, got {reply}");
            }
            looks += 1;
        }
        if over {
            return looks;
        }
    }
}

fn is_kept(promise: &Promise) {
    for shards in [1, 2, 5] {
        let server = Server::setup(Program::Judged).shards(shards).start();
        for run in 0..scaled(5) as u64 {
            let looks = run_once(&server, promise, run);
            println!("{looks} looks, shards: {shards}");
        }
    }
}

fn run_once(server: &Server, promise: &Promise, run: u64) -> usize {
    let mut connection = server.connect();
    until("the clients of the run before to be gone", || {
        let info = connection.line("INFO clients").string();
        info.contains("connected_clients:1\r\n").then_some(())
    });
    assert_eq!(connection.line("FLUSHALL"), Value::ok());
    for line in promise.first {
        let reply = connection.line(line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
    let first = Seed::of_run(run);
    println!("TEST_SEED={first}");
    let mut seeds = Seed::new(first);
    let writing = AtomicUsize::new(WRITERS);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            let (writing, mut seed) = (&writing, Seed::new(seeds.number()));
            scope.spawn(move || {
                let _done = Done(writing);
                write(server, promise, &mut seed);
            });
        }
        let watchers: Vec<_> = (0..WRITERS)
            .map(|at| {
                let (writing, mut connection) = (&writing, server.connect());
                scope.spawn(move || watch(&mut connection, promise, writing, at))
            })
            .collect();
        let looks = watchers.into_iter().map(|watcher| watcher.join());
        looks
            .map(|n| n.expect("the watcher has said what is wrong"))
            .sum()
    })
}

/// Says that a writer is done, also if it has failed.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

#[test]
fn no_key_is_lost_or_doubled_on_its_way() {
    is_kept(&MOVED);
}

#[test]
fn what_is_set_together_is_seen_together() {
    is_kept(&TOGETHER);
}

#[test]
fn copies_are_of_one_moment() {
    is_kept(&COPIED);
}

#[test]
fn an_element_is_always_in_one_list() {
    is_kept(&PASSED);
}

#[test]
fn a_member_is_always_in_one_set() {
    is_kept(&MEMBERS);
}

#[test]
fn databases_are_swapped_as_a_whole() {
    is_kept(&SWAPPED);
}

#[test]
fn keys_of_one_time_expire_together() {
    if !Server::setup(Program::Judged).start().has("msetex") {
        return println!("skipped: no MSETEX");
    }
    is_kept(&EXPIRING);
}
