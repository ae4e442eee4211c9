//! Random sequences of commands, in pipelines, on both servers: replies and what is left must agree.
//!
//! A sequence follows from its seed. When the servers disagree, the sequence is shortened as long as
//! they still do, and printed in the notation of the case files.

use crate::generate::{Command, Generator, is_later};
use harness::compare::same;
use harness::connection::frame;
use harness::directed::{Differences, newer};
use harness::script::shown_word;
use harness::server::SEVERAL;
use harness::{Connection, Program, Seed, Server, Value, scaled};
use std::collections::BTreeSet;
use std::path::Path;

/// Commands of one sequence, after which everything is flushed and compared.
const SEQUENCE: usize = 500;

/// Longest pipeline.
const PIPELINE: usize = 64;

/// Attempts at making a failing sequence shorter.
const SHRINKS: usize = 300;

const DATABASES: usize = 16;

struct Pair {
    theirs: Server,
    ours: Server,
    /// Other servers of the kind, as far as they are there, with whom Shoal may agree instead.
    others: Vec<Server>,
    protocol: u8,
    differences: Differences,
    digest: bool,
    /// The other is Valkey: only the replies to what Redis 7 does not have are compared, because
    /// they are why it is asked, and the key spaces but for the encodings, which it names its way.
    valkey: bool,
}

/// Where two servers disagree.
struct Disagreement {
    /// The step, or the number of commands if it is what is left that differs.
    at: usize,
    what: String,
}

impl Pair {
    fn start(program: Program, protocol: u8, shards: usize) -> Pair {
        let theirs = Server::setup(program).start();
        let ours = Server::setup(Program::Judged).shards(shards).start();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let differences = Differences::load(&tests.join("differential/differences.tsv"));
        let digest = ["DEBUG", "DIGEST-VALUE", "key"];
        let digest = !ours.connect().call(&digest).is_error();
        let others = newer()
            .chain([Program::Redis7])
            .filter(|other| *other != program);
        let others = others
            .map(|program| Server::setup(program).start())
            .collect();
        Pair {
            theirs,
            ours,
            others,
            protocol,
            differences,
            digest,
            valkey: program == Program::Valkey,
        }
    }

    /// Runs a sequence from an empty server on; returns its replies.
    fn run(&self, server: &Server, commands: &[Command]) -> Vec<Value> {
        assert_eq!(server.connect().call(&["FLUSHALL"]), Value::ok());
        let mut connection = server.connect_as(self.protocol);
        let mut replies = Vec::new();
        // The same pipelines whenever a sequence is as long.
        let mut seed = Seed::new(commands.len() as u64);
        let mut rest = commands;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at((1 + seed.below(PIPELINE)).min(rest.len()));
            let bytes: Vec<u8> = batch.iter().flat_map(|words| frame(words)).collect();
            replies.extend(connection.pipeline(&bytes, batch.len()));
            rest = after;
        }
        replies
    }

    /// The other servers' replies, which are rarely needed, and then often.
    fn ask_others<'a>(
        &self,
        known: &'a mut Option<Vec<Vec<Value>>>,
        commands: &[Command],
    ) -> &'a [Vec<Value>] {
        known.get_or_insert_with(|| self.others.iter().map(|s| self.run(s, commands)).collect())
    }

    fn agree(&self, command: &Command, theirs: &Value, ours: &Value) -> bool {
        same(command, theirs, ours) || self.valkey && same_numbers(theirs, ours)
    }

    /// Where the judged server differs from the other and from every further one.
    fn disagreement(&self, commands: &[Command]) -> Option<Disagreement> {
        let theirs = self.run(&self.theirs, commands);
        let ours = self.run(&self.ours, commands);
        let mut others: Option<Vec<Vec<Value>>> = None;
        for (at, command) in commands.iter().enumerate() {
            let asked = !self.valkey || is_later(command);
            let allowed = || self.differences.allow(None, command);
            if !asked || self.agree(command, &theirs[at], &ours[at]) || allowed() {
                continue;
            }
            let others = self.ask_others(&mut others, commands);
            if others
                .iter()
                .any(|replies| same(command, &replies[at], &ours[at]))
            {
                continue;
            }
            let what = format!(
                "  theirs {}\n  ours   {}",
                theirs[at].shown(),
                ours[at].shown()
            );
            return Some(Disagreement { at, what });
        }
        let what = self.left_behind(&mut others, commands)?;
        Some(Disagreement {
            at: commands.len(),
            what,
        })
    }

    /// What the judged server has in its key spaces and answers about it as no other server does.
    ///
    /// Each question is judged for itself: one key may be what one server makes of the commands, and
    /// the next key what another does.
    fn left_behind(
        &self,
        others: &mut Option<Vec<Vec<Value>>>,
        commands: &[Command],
    ) -> Option<String> {
        let (mut theirs, mut ours) = (self.theirs.connect(), self.ours.connect());
        for db in 0..DATABASES {
            select(&mut theirs, db);
            select(&mut ours, db);
            let (their_keys, our_keys) = (keys(&mut theirs), keys(&mut ours));
            // What SCAN's calls return is each server's own business, but not what they add up to.
            let found = scanned(&mut ours);
            if found != our_keys {
                let (keys, found) = (line(&our_keys), line(&found));
                return Some(format!("  database {db}\n  KEYS {keys}\n  SCAN {found}"));
            }
            let all: BTreeSet<&Vec<u8>> = their_keys.iter().chain(&our_keys).collect();
            for key in all {
                for words in self.questions(key) {
                    let Some(found) = difference(&mut theirs, &mut ours, &words) else {
                        continue;
                    };
                    self.ask_others(others, commands);
                    let agrees = |other: &Server| {
                        let mut other = other.connect();
                        select(&mut other, db);
                        difference(&mut other, &mut ours, &words).is_none()
                    };
                    if !self.others.iter().any(agrees) {
                        return Some(format!("  in database {db}, {found}"));
                    }
                }
            }
        }
        None
    }

    /// What is asked about a key.
    fn questions(&self, key: &[u8]) -> Vec<Command> {
        let questions: [&[&[u8]]; 8] = [
            &[b"TYPE", key],
            &[b"GET", key],
            &[b"LRANGE", key, b"0", b"-1"],
            &[b"HGETALL", key],
            &[b"PTTL", key],
            &[b"STRLEN", key],
            &[b"OBJECT", b"ENCODING", key],
            &[b"DEBUG", b"DIGEST-VALUE", key],
        ];
        let asked = questions.iter().filter(|words| match words[0] {
            b"OBJECT" => !self.valkey,
            b"DEBUG" => self.digest,
            _ => true,
        });
        let command = |words: &&[&[u8]]| words.iter().map(|word| word.to_vec()).collect();
        asked.map(command).collect()
    }

    /// Leaves out commands as long as the servers still disagree.
    fn shrink(
        &self,
        mut commands: Vec<Command>,
        mut found: Disagreement,
    ) -> (Vec<Command>, Disagreement) {
        commands.truncate(found.at + 1);
        let mut attempts = 0;
        let mut chunk = commands.len().div_ceil(2);
        while chunk > 0 && attempts < SHRINKS {
            let mut start = 0;
            let mut shorter = false;
            while start < commands.len() && attempts < SHRINKS {
                let end = (start + chunk).min(commands.len());
                let candidate = [&commands[..start], &commands[end..]].concat();
                attempts += 1;
                match self.disagreement(&candidate) {
                    Some(still) => {
                        commands = candidate;
                        commands.truncate(still.at + 1);
                        found = still;
                        shorter = true;
                    }
                    None => start = end,
                }
            }
            if !shorter || chunk > commands.len() {
                chunk /= 2;
            }
        }
        (commands, found)
    }
}

/// Whether replies are the same but for how numbers in them are written: the coordinates in the
/// replies to commands that only Valkey has are written as Redis 8 does.
fn same_numbers(theirs: &Value, ours: &Value) -> bool {
    let number = |value: &Value| {
        let text = std::str::from_utf8(value.text()?).ok()?;
        text.parse::<f64>().ok().filter(|number| number.is_finite())
    };
    match (theirs, ours) {
        (Value::Array(theirs), Value::Array(ours)) => {
            let mut pairs = theirs.iter().zip(ours);
            theirs.len() == ours.len() && pairs.all(|(a, b)| same_numbers(a, b))
        }
        _ => theirs == ours || number(theirs).is_some_and(|n| number(ours) == Some(n)),
    }
}

fn keys(connection: &mut Connection) -> Vec<Vec<u8>> {
    let reply = connection.call(&["KEYS", "*"]);
    let mut keys: Vec<Vec<u8>> = reply
        .items()
        .iter()
        .map(|key| key.text().expect("a key is a string").to_vec())
        .collect();
    keys.sort();
    keys
}

/// The keys that SCAN finds in calls of any size, from the first to the last.
fn scanned(connection: &mut Connection) -> Vec<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let mut cursor = "0".to_owned();
    for count in (1..50).cycle() {
        let reply = connection.call(&["SCAN", &cursor, "COUNT", &count.to_string()]);
        let items = reply.items();
        for key in items[1].items() {
            keys.insert(key.text().expect("a key is a string").to_vec());
        }
        cursor = items[0].string();
        if cursor == "0" {
            break;
        }
    }
    keys.into_iter().collect()
}

fn select(connection: &mut Connection, db: usize) {
    let reply = connection.call(&["SELECT".to_owned(), db.to_string()]);
    assert_eq!(reply, Value::ok());
}

fn difference(theirs: &mut Connection, ours: &mut Connection, command: &Command) -> Option<String> {
    let (their_reply, our_reply) = (theirs.call(command), ours.call(command));
    if same(command, &their_reply, &our_reply) {
        return None;
    }
    Some(format!(
        "> {}\n  theirs {}\n  ours   {}",
        line(command),
        their_reply.shown(),
        our_reply.shown()
    ))
}

fn line(words: &[Vec<u8>]) -> String {
    words
        .iter()
        .map(|word| shown_word(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The halves of the work: on one shard, and on several.
fn random_sequences_agree(program: Program, protocol: u8, count: usize) {
    for shards in [1, SEVERAL] {
        random_sequences_agree_on(shards, program, protocol, count / 2);
    }
}

fn random_sequences_agree_on(shards: usize, program: Program, protocol: u8, count: usize) {
    let pair = Pair::start(program, protocol, shards);
    let known = pair.ours.commands();
    let left_out = Generator::left_out(&known);
    if !left_out.is_empty() {
        println!("left out, not there yet: {}", left_out.join(" "));
    }
    let runs = scaled(count).div_ceil(SEQUENCE);
    for run in 0..runs as u64 {
        let seed = Seed::of_run(run);
        let mut generator = Generator::new(seed, &known, program);
        let commands: Vec<Command> = (0..SEQUENCE).map(|_| generator.command()).collect();
        if let Some(found) = pair.disagreement(&commands) {
            let step = found.at;
            let (commands, found) = pair.shrink(commands, found);
            let shown: Vec<String> = commands.iter().map(|c| format!("> {}", line(c))).collect();
            panic!(
                "TEST_SEED={seed}: step {step} differs in RESP{protocol}, shards: {shards}; \
                 shortened:\n{}\n{}",
                shown.join("\n"),
                found.what
            );
        }
    }
    println!(
        "{} commands agree with {program:?} in RESP{protocol}, shards: {shards}",
        runs * SEQUENCE
    );
}

#[test]
fn random_sequences_agree_in_resp2() {
    random_sequences_agree(Program::Redis7, 2, 20_000);
}

#[test]
fn random_sequences_agree_in_resp3() {
    random_sequences_agree(Program::Redis7, 3, 20_000);
}

/// Valkey has commands and options that Redis 7 has not.
#[test]
fn random_sequences_agree_with_valkey() {
    random_sequences_agree_if_there(Program::Valkey);
}

/// So has Redis 8.
#[test]
fn random_sequences_agree_with_redis_8() {
    random_sequences_agree_if_there(Program::Redis8);
}

fn random_sequences_agree_if_there(program: Program) {
    match program.path() {
        Ok(_) => random_sequences_agree(program, 3, 10_000),
        Err(why) => println!("skipped: {why}"),
    }
}
