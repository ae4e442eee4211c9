//! Strict serializability of a running server, with clients that are killed or hang up in the middle.
//!
//! Every round, clients append, set, and read keys on all shards at once, each operation noted with
//! the times of its begin and its answer; [`history::check`] then looks for an order that explains
//! all of them. Among the operations are single commands, MULTI with reads and appends, the same with WATCH,
//! and scripts whose keys are declared or not, which read first and then append. It wants lists to which
//! values are appended, and there are three kinds of those:
//!
//! - strings that APPEND makes longer by a token of fixed width;
//! - keys that MSETNX gives a value if none of its keys has one: lists of at most one token;
//! - registers that only one client writes, always several at once by MSET: the value 7 stands for
//!   the list of 1 to 7.

use harness::connection::frame;
use harness::history::{self, Operation};
use harness::{Connection, Program, Seed, Server, Value, scaled};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

const CLIENTS: usize = 6;
const OPERATIONS: usize = 150;

const LISTS: u64 = 5;
const ONCE: u64 = 40;
/// Registers that one MSET writes.
const TOGETHER: u64 = 3;
/// Sets of registers that a client can use up: it takes new ones when it does not know what has
/// become of its last MSET.
const GENERATIONS: u64 = 50;

/// The bytes of a token.
const WIDTH: usize = 8;

/// Keys as the checker knows them are numbers: the kinds follow one another.
const FIRST_ONCE: u64 = LISTS;
const FIRST_REGISTER: u64 = FIRST_ONCE + ONCE;
const KEYS: u64 = FIRST_REGISTER + CLIENTS as u64 * GENERATIONS * TOGETHER;

/// Every round has keys of its own: a command of the round before may still be on its way.
fn name(round: u64, key: u64) -> String {
    format!("key:{round}:{key}")
}

/// The list that a value stands for.
fn list(key: u64, value: &Value) -> Vec<u64> {
    let number = |digits: &[u8]| -> u64 {
        let digits = std::str::from_utf8(digits).expect("only digits are written");
        digits.parse().expect("only digits are written")
    };
    match value.text() {
        None => Vec::new(),
        Some(value) if key >= FIRST_REGISTER => (1..=number(value)).collect(),
        Some(value) => value.chunks(WIDTH).map(number).collect(),
    }
}

/// What all clients of a round share.
struct Round<'a> {
    server: &'a Server,
    number: u64,
    clock: AtomicU64,
    tokens: AtomicU64,
    /// Ids of the connections in use.
    ids: Vec<AtomicU64>,
    /// The sets of registers in use.
    generations: Vec<AtomicU64>,
}

impl Round<'_> {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// The registers that a client uses, or has used last if it cannot be known better.
    fn registers(&self, client: usize) -> impl Iterator<Item = u64> {
        let generation = self.generations[client].load(Ordering::Relaxed);
        let set = client as u64 * GENERATIONS + generation;
        let first = FIRST_REGISTER + set * TOGETHER;
        first..first + TOGETHER
    }

    fn any_key(&self, seed: &mut Seed) -> u64 {
        match seed.below(3) {
            0 => seed.below(LISTS as usize) as u64,
            1 => FIRST_ONCE + seed.below(ONCE as usize) as u64,
            _ => {
                let client = seed.below(CLIENTS);
                let nth = seed.below(TOGETHER as usize);
                self.registers(client).nth(nth).expect("as many as asked")
            }
        }
    }
}

/// A script that answers the first keys, and appends a token to the others. Its keys come as arguments.
const SCRIPT: &str = "
    local out, reads = {}, tonumber(ARGV[1])
    for i = 1, reads do out[i] = redis.call('GET', ARGV[i + 2]) end
    for i = reads + 3, #ARGV do redis.call('APPEND', ARGV[i], ARGV[2]) end
    return out";

/// Commands that are one operation, and what is known of it before the answer to the last of them.
struct Sent {
    commands: Vec<Vec<String>>,
    operation: Operation,
    /// The keys that a read asks for.
    reads: Vec<u64>,
}

struct Client<'a> {
    round: &'a Round<'a>,
    number: usize,
    seed: Seed,
    connection: Connection,
    /// The last version of its registers that it has sent.
    version: u64,
    history: Vec<Operation>,
    /// Appends whose answer tells how many tokens the key had then.
    lengths: Vec<(usize, u64, usize)>,
    broken_off: usize,
}

impl<'a> Client<'a> {
    fn new(round: &'a Round<'a>, number: usize, seed: Seed) -> Client<'a> {
        let mut client = Client {
            round,
            number,
            seed,
            connection: round.server.connect(),
            version: 0,
            history: Vec::new(),
            lengths: Vec::new(),
            broken_off: 0,
        };
        client.connect();
        client
    }

    /// A new connection, and new registers: a late MSET of the last connection must not come between.
    fn connect(&mut self) {
        loop {
            self.connection = self.round.server.connect();
            if let Value::Int(id) = self.connection.line("CLIENT ID") {
                self.round.ids[self.number].store(id as u64, Ordering::Relaxed);
                break;
            }
        }
        if self.version > 0 {
            self.version = 0;
            let before = self.round.generations[self.number].fetch_add(1, Ordering::Relaxed);
            assert!(before + 1 < GENERATIONS, "out of registers");
        }
    }

    fn run(mut self) -> (Vec<Operation>, Vec<(usize, u64, usize)>, usize) {
        while self.history.len() < OPERATIONS {
            let count = *self.seed.pick(&[1, 1, 1, 2, 4, 12]);
            let sent: Vec<Sent> = (0..count).map(|_| self.make()).collect();
            self.exchange(sent);
            if self.seed.one_in(60) {
                let victim = self.seed.below(CLIENTS);
                let id = self.round.ids[victim].load(Ordering::Relaxed);
                let words = ["CLIENT", "KILL", "ID", &id.to_string()];
                if self.connection.call(&words) == Value::Closed {
                    self.connect();
                }
            }
        }
        (self.history, self.lengths, self.broken_off)
    }

    fn make(&mut self) -> Sent {
        let seed = &mut self.seed;
        let token = || self.round.tokens.fetch_add(1, Ordering::Relaxed);
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let name = |key: u64| name(self.round.number, key);
        let (mut reads, mut appends) = (Vec::new(), Vec::new());
        let kind = seed.below(15);
        if kind >= 10 {
            return self.make_several(kind);
        }
        let words = match kind {
            0..3 => {
                let (key, token) = (seed.below(LISTS as usize) as u64, token());
                appends.push((key, token));
                owned(&["APPEND", &name(key), &format!("{token:0WIDTH$}")])
            }
            3 => {
                self.version += 1;
                let mut words = owned(&["MSET"]);
                for key in self.round.registers(self.number) {
                    appends.push((key, self.version));
                    words.extend([name(key), self.version.to_string()]);
                }
                words
            }
            4 => {
                let token = token();
                let mut words = owned(&["MSETNX"]);
                for _ in 0..2 + seed.below(2) {
                    let key = FIRST_ONCE + seed.below(ONCE as usize) as u64;
                    if !appends.contains(&(key, token)) {
                        appends.push((key, token));
                        words.extend([name(key), format!("{token:0WIDTH$}")]);
                    }
                }
                words
            }
            5 => {
                reads.push(self.round.any_key(seed));
                owned(&["GET", &name(reads[0])])
            }
            _ => {
                let count = 2 + seed.below(5);
                reads.extend((0..count).map(|_| self.round.any_key(seed)));
                let mut words = owned(&["MGET"]);
                words.extend(reads.iter().map(|key| name(*key)));
                words
            }
        };
        let what = match words[0].as_str() {
            "APPEND" => "APPEND",
            "MSET" => "MSET",
            "MSETNX" => "MSETNX",
            _ => "read",
        };
        let operation = Operation {
            what,
            client: self.number,
            appends,
            ..Operation::default()
        };
        Sent {
            commands: vec![words],
            operation,
            reads,
        }
    }

    /// An operation that reads some keys and appends to others.
    fn make_several(&mut self, kind: usize) -> Sent {
        let seed = &mut self.seed;
        let token = self.round.tokens.fetch_add(1, Ordering::Relaxed);
        let text = format!("{token:0WIDTH$}");
        let name = |key: u64| name(self.round.number, key);
        let lists = |seed: &mut Seed, most: usize| {
            let count = seed.below(most + 1);
            let mut keys: Vec<u64> = (0..count)
                .map(|_| seed.below(LISTS as usize) as u64)
                .collect();
            keys.sort_unstable();
            keys.dedup();
            keys
        };
        let mut reads: Vec<u64> = (0..1 + seed.below(4))
            .map(|_| self.round.any_key(seed))
            .collect();
        let writes = lists(seed, 3);
        let command = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let appends = || {
            writes
                .iter()
                .map(|key| command(&["APPEND", &name(*key), &text]))
        };
        let (what, commands) = match kind {
            10 | 11 => {
                let mut commands = vec![command(&["MULTI"])];
                commands.extend(reads.iter().map(|key| command(&["GET", &name(*key)])));
                commands.extend(appends());
                commands.push(command(&["EXEC"]));
                ("EXEC", commands)
            }
            12 => {
                reads.truncate(1);
                let key = name(reads[0]);
                let mut commands = vec![
                    command(&["WATCH", &key]),
                    command(&["GET", &key]),
                    command(&["MULTI"]),
                ];
                commands.extend(appends());
                commands.push(command(&["EXEC"]));
                ("WATCH", commands)
            }
            _ => {
                let keys: Vec<String> = reads.iter().chain(&writes).map(|key| name(*key)).collect();
                // Some keys are declared, or all, or none.
                let declared = match kind {
                    13 => 0,
                    _ => seed.below(keys.len() + 1),
                };
                let mut words = command(&["EVAL", SCRIPT, &declared.to_string()]);
                words.extend(keys[..declared].iter().cloned());
                words.extend([reads.len().to_string(), text.clone()]);
                words.extend(keys);
                ("EVAL", vec![words])
            }
        };
        let operation = Operation {
            what,
            client: self.number,
            appends: writes.iter().map(|key| (*key, token)).collect(),
            ..Operation::default()
        };
        Sent {
            commands,
            operation,
            reads,
        }
    }

    /// Sends all in one piece and notes what comes back, as far as anything does.
    fn exchange(&mut self, sent: Vec<Sent>) {
        let invoked = self.round.tick();
        let commands = sent.iter().flat_map(|sent| &sent.commands);
        let bytes: Vec<u8> = commands.flat_map(|words| frame(words)).collect();
        // Now and then it hangs up at once, or having sent half of a command.
        let hang_up = self.seed.one_in(40);
        let end = match hang_up && self.seed.one_in(2) {
            true => bytes.len() - 1 - self.seed.below(20),
            false => bytes.len(),
        };
        let mut open = self.connection.send_raw(&bytes[..end]).is_ok() && !hang_up;
        for sent in sent {
            let (mut reply, mut watched) = (Value::Closed, Value::Closed);
            for at in 0..sent.commands.len() {
                reply = match open {
                    true => self.connection.try_read().unwrap_or(Value::Closed),
                    false => Value::Closed,
                };
                open = reply != Value::Closed;
                if at == 1 {
                    watched = reply.clone();
                }
            }
            let mut operation = sent.operation;
            operation.invoked = invoked;
            operation.returned = open.then(|| self.round.tick());
            match (&reply, operation.what) {
                (Value::Closed, _) => {}
                (Value::Int(length), "APPEND") => {
                    let key = operation.appends[0].0;
                    let tokens = *length as usize / WIDTH;
                    self.lengths.push((self.history.len(), key, tokens));
                }
                // Who wrote the key that was there already is not told.
                (Value::Int(0), "MSETNX") => operation.appends.clear(),
                (Value::Int(1), "MSETNX") => {
                    let before = operation.appends.iter().map(|(key, _)| (*key, Vec::new()));
                    operation.reads = before.collect();
                }
                (reply, "MSET") => assert_eq!(*reply, Value::ok()),
                (reply, "WATCH") if reply.is_null() => operation.appends.clear(),
                (Value::Array(_), "WATCH") => {
                    operation.reads = vec![(sent.reads[0], list(sent.reads[0], &watched))];
                }
                (Value::Array(values), "EXEC" | "EVAL") => {
                    let pairs = sent.reads.iter().zip(values);
                    operation.reads = pairs
                        .map(|(key, value)| (*key, list(*key, value)))
                        .collect();
                }
                (Value::Array(values), "read") => {
                    let pairs = sent.reads.iter().zip(values);
                    operation.reads = pairs
                        .map(|(key, value)| (*key, list(*key, value)))
                        .collect();
                }
                (value, "read") if !value.is_error() => {
                    operation.reads = vec![(sent.reads[0], list(sent.reads[0], value))];
                }
                (reply, what) => panic!("{what}: {reply}"),
            }
            self.history.push(operation);
        }
        if !open {
            self.broken_off += 1;
            self.connect();
        }
    }
}

/// Runs a round and checks it; returns how many operations it had, and how often a connection broke
/// off.
fn round(server: &Server, number: u64) -> (usize, usize) {
    let seed = Seed::of_run(number);
    let round = Round {
        server,
        number,
        clock: AtomicU64::new(1),
        tokens: AtomicU64::new(1),
        ids: (0..CLIENTS).map(|_| AtomicU64::new(0)).collect(),
        generations: (0..CLIENTS).map(|_| AtomicU64::new(0)).collect(),
    };
    let mut seeds = Seed::new(seed);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (round, seed) = (&round, Seed::new(seeds.number()));
                scope.spawn(move || Client::new(round, number, seed).run())
            })
            .collect();
        let ends = clients.into_iter().map(|client| client.join());
        ends.map(|end| end.expect("a client has said what is wrong"))
            .collect()
    });
    // One command, so that what is still on its way is in it whole or not at all.
    let mut words = vec!["MGET".to_owned()];
    words.extend((0..KEYS).map(|key| name(number, key)));
    let values = server.connect().call(&words);
    let lists = (0..KEYS).zip(values.items());
    let finals: BTreeMap<u64, Vec<u64>> = lists.map(|(key, v)| (key, list(key, v))).collect();
    let mut history = Vec::new();
    let mut broken_off = 0;
    for (mut operations, lengths, broken) in parts {
        broken_off += broken;
        for (at, key, tokens) in lengths {
            let list = &finals[&key];
            assert!(
                tokens <= list.len(),
                "TEST_SEED={seed}: APPEND made {tokens} tokens of which {} are left",
                list.len()
            );
            operations[at].reads.push((key, list[..tokens].to_vec()));
        }
        history.extend(operations);
    }
    if let Err(why) = history::check(&history, &finals) {
        panic!("TEST_SEED={seed}, not strictly serializable: {why}");
    }
    (history.len(), broken_off)
}

fn histories_are_strictly_serializable(shards: usize) {
    let server = Server::setup(Program::Judged).shards(shards).start();
    let (mut operations, mut broken_off) = (0, 0);
    for number in 0..scaled(60) as u64 {
        let (more, broken) = round(&server, number);
        operations += more;
        broken_off += broken;
    }
    println!(
        "{operations} operations are strictly serializable, {broken_off} connections broke off, \
         shards: {shards}"
    );
}

#[test]
fn histories_on_one_shard() {
    histories_are_strictly_serializable(1);
}

#[test]
fn histories_on_two_shards() {
    histories_are_strictly_serializable(2);
}

#[test]
fn histories_on_five_shards() {
    histories_are_strictly_serializable(5);
}
