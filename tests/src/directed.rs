//! The same commands to two servers: what a real Redis answers is what Shoal should answer.
//!
//! The commands are blocks in `tests/cases/*.txt` (see [`crate::script`]), a file per command or
//! family, without replies: the other server's reply is the expectation. The other server is Redis
//! 7.0, which every machine can have. Redis 8 and Valkey 9 answer some things differently; where
//! Shoal differs from Redis 7.0 in a block, it may answer as one of them does. What no server
//! answers is deliberate, and `tests/differential/differences.tsv` says where and why, or wrong.

use crate::compare::same;
use crate::mode::{Mode, Shape, clean, run};
use crate::script::{self, Action, Block, Step};
use crate::server::{Program, Server};
use crate::value::Value;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Bytewise reading is the business of the protocol's own suites.
fn modes(shards: usize) -> impl Iterator<Item = Mode> {
    Mode::on(shards).filter(|mode| mode.shape != Shape::Bytewise)
}

/// A deliberate difference: where it is, and why.
pub struct Difference {
    /// `file: title` of the blocks, with `*` for any text.
    pub block: String,
    /// The start of the commands, in lower case, with `*` for any text.
    pub command: String,
    pub reason: String,
    used: Cell<bool>,
}

/// The deliberate differences, and whether each has been met.
pub struct Differences(pub Vec<Difference>);

impl Differences {
    pub fn load(path: &Path) -> Differences {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        Differences(
            lines
                .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
                    [block, command, reason] => Difference {
                        block: block.to_owned(),
                        command: command.to_owned(),
                        reason: reason.to_owned(),
                        used: Cell::new(false),
                    },
                    _ => panic!("{}: three columns expected: {line}", path.display()),
                })
                .collect(),
        )
    }

    /// Whether a difference is deliberate. Without a block, only those that hold everywhere count.
    pub fn allow(&self, block: Option<&str>, command: &[Vec<u8>]) -> bool {
        let command = command
            .iter()
            .map(|w| String::from_utf8_lossy(w).to_lowercase());
        let command = command.collect::<Vec<_>>().join(" ");
        let found = self.0.iter().find(|difference| {
            let there = match block {
                Some(block) => glob(&difference.block, block),
                None => difference.block == "*",
            };
            there && glob(&difference.command, &command)
        });
        if let Some(difference) = found {
            difference.used.set(true);
        }
        found.is_some()
    }

    /// Those that nothing needed.
    pub fn unused(&self) -> impl Iterator<Item = &Difference> {
        self.0.iter().filter(|difference| !difference.used.get())
    }
}

/// `*` stands for any text, everything else for itself.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|at| text.is_char_boundary(at) && glob(rest, &text[at..]))
        }),
    }
}

#[derive(Default)]
pub struct Report {
    pub failures: Vec<String>,
    /// What blocks were left out for, and how many.
    pub skipped: BTreeMap<String, usize>,
    pub blocks: usize,
    pub replies: usize,
    /// What was answered as a newer server does.
    pub as_newer: Vec<String>,
}

/// Runs all case files of a directory, or those that the environment variable `CASES` names,
/// separated by commas, with so many shards of the judged server.
pub fn run_directory(directory: &Path, differences: &Differences, shards: usize) -> Report {
    let only = std::env::var("CASES").ok();
    let wanted = |path: &PathBuf| {
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        match (&only, stem) {
            (Some(only), Some(stem)) => only.split(',').any(|name| name == stem),
            (_, stem) => stem.is_some(),
        }
    };
    let entries =
        fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .filter(wanted)
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no case file in {}", directory.display());
    let mut report = Report::default();
    let mut run = Run {
        shards,
        differences,
        shared: None,
    };
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let blocks = script::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = path
            .file_stem()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned();
        for block in &blocks {
            run.block(&file, block, &mut report);
        }
    }
    report
}

/// The judged server, and those that it is compared with as they are needed.
struct Bench {
    directives: Vec<(String, String)>,
    ours: Server,
    our_commands: Vec<String>,
    others: HashMap<Program, (Server, Vec<String>)>,
}

impl Bench {
    fn start(directives: Vec<(String, String)>, shards: usize) -> Bench {
        let ours = start(Program::Judged, &directives, shards);
        let our_commands = ours.commands();
        Bench {
            directives,
            ours,
            our_commands,
            others: HashMap::new(),
        }
    }

    fn other(&mut self, program: Program) -> &(Server, Vec<String>) {
        self.others.entry(program).or_insert_with(|| {
            let server = start(program, &self.directives, 1);
            let commands = server.commands();
            (server, commands)
        })
    }

    /// A command of the block that the other server has and we do not.
    fn missing(&mut self, program: Program, block: &Block) -> Option<String> {
        if self.our_commands.is_empty() {
            return None;
        }
        let named: Vec<String> = block.steps.iter().flat_map(names).collect();
        let (_, theirs) = self.other(program);
        let had: Vec<String> = named.into_iter().filter(|n| theirs.contains(n)).collect();
        had.into_iter()
            .find(|name| !self.our_commands.contains(name))
    }

    /// The replies of the other server; an error if it did not answer.
    fn their_replies(
        &mut self,
        program: Program,
        block: &Block,
        mode: &Mode,
    ) -> Result<Vec<Vec<Value>>, String> {
        let (server, _) = self.other(program);
        attempt(server, block, mode).map_err(|()| format!("{program:?} did not answer"))
    }

    fn our_replies(&mut self, block: &Block, mode: &Mode) -> Result<Vec<Vec<Value>>, String> {
        attempt(&self.ours, block, mode).map_err(|()| match self.ours.alive() {
            true => "the judged server did not answer".to_owned(),
            false => format!("the judged server ended\n{}", self.ours.log()),
        })
    }
}

fn start(program: Program, directives: &[(String, String)], shards: usize) -> Server {
    let mut setup = Server::setup(program).shards(shards);
    for (name, value) in directives {
        setup = setup.with(name, value);
    }
    setup.start()
}

/// Runs a block from a clean state on; an error if the connection went silent or wrong.
fn attempt(server: &Server, block: &Block, mode: &Mode) -> Result<Vec<Vec<Value>>, ()> {
    let replies = catch_unwind(AssertUnwindSafe(|| {
        if !own(block) {
            clean(server);
        }
        run(server, block, mode)
    }));
    // What it said has gone to the test's output.
    replies.map_err(|_| ())
}

/// The names of a step's command, alone and with its subcommand.
fn names(step: &Step) -> Vec<String> {
    let words = match &step.action {
        Action::Call(words, _) | Action::Until(words, _) => words,
        Action::Raw(..) | Action::Close => return Vec::new(),
    };
    let word = |i: usize| {
        words
            .get(i)
            .map(|w| String::from_utf8_lossy(w).to_lowercase())
    };
    match (word(0), word(1)) {
        (Some(name), Some(sub)) => vec![name.clone(), format!("{name}|{sub}")],
        (Some(name), None) => vec![name],
        _ => Vec::new(),
    }
}

/// Whether it needs servers of its own.
fn own(block: &Block) -> bool {
    block.has("alone") || !block.directives().is_empty()
}

/// The server that a block is compared with.
fn oracle(block: &Block) -> Program {
    match block {
        b if b.has("valkey") => Program::Valkey,
        b if b.has("redis8") => Program::Redis8,
        _ => Program::Redis7,
    }
}

/// Servers of later versions that are there, whose answers count too.
pub fn newer() -> impl Iterator<Item = Program> {
    let programs = [Program::Redis8, Program::Valkey];
    programs.into_iter().filter(|p| p.path().is_ok())
}

/// A run of case files, and what its blocks share.
struct Run<'a> {
    shards: usize,
    differences: &'a Differences,
    /// For the blocks that need no servers of their own.
    shared: Option<Bench>,
}

impl Run<'_> {
    fn block(&mut self, file: &str, block: &Block, report: &mut Report) {
        let program = oracle(block);
        if let Err(why) = program.path() {
            // Redis 7 is what the tests are made for; the peers are newer than what Debian installs.
            assert!(program != Program::Redis7, "{why}");
            *report.skipped.entry(why).or_default() += 1;
            return;
        }
        report.blocks += 1;
        let shards = self.shards;
        for mode in modes(shards).filter(|mode| mode.suits(block)) {
            let mut alone = own(block).then(|| Bench::start(block.directives(), shards));
            let bench = match &mut alone {
                Some(bench) => bench,
                None => self
                    .shared
                    .get_or_insert_with(|| Bench::start(Vec::new(), shards)),
            };
            if let Some(command) = bench.missing(program, block) {
                let why = format!("the judged server has no {command}");
                *report.skipped.entry(why).or_default() += 1;
                return;
            }
            let place = format!("{file}: {}", block.title);
            let compared = compare_block(&place, block, &mode, bench, self.differences, report);
            if let Err(why) = compared {
                let line = block.line;
                report
                    .failures
                    .push(format!("{place} (line {line}, {mode})\n{why}"));
                // What follows should not suffer from what may have been left behind.
                self.shared = None;
                return;
            }
        }
    }
}

fn compare_block(
    place: &str,
    block: &Block,
    mode: &Mode,
    bench: &mut Bench,
    differences: &Differences,
    report: &mut Report,
) -> Result<(), String> {
    let program = oracle(block);
    let theirs = bench.their_replies(program, block, mode)?;
    let ours = bench.our_replies(block, mode)?;
    let mut later: Option<Vec<Vec<Vec<Value>>>> = None;
    let mut trace: Vec<String> = Vec::new();
    let mut different = 0;
    for (i, step) in block.steps.iter().enumerate() {
        let words = match &step.action {
            Action::Call(words, _) => words.as_slice(),
            _ => &[],
        };
        report.replies += ours[i].len();
        let expected = step.expected.iter().zip(&ours[i]);
        let fits = expected.into_iter().all(|(e, value)| e.pattern.fits(value));
        let equal = |theirs: &[Value]| theirs.iter().zip(&ours[i]).all(|(t, o)| same(words, t, o));
        let mut as_newer = || {
            let later = later.get_or_insert_with(|| {
                let others = newer().filter(|p| program == Program::Redis7 && *p != program);
                others
                    .filter_map(|other| bench.their_replies(other, block, mode).ok())
                    .collect()
            });
            later.iter().any(|replies| equal(&replies[i]))
        };
        let agrees = equal(&theirs[i]) || differences.allow(Some(place), words);
        let newer = fits && !agrees && as_newer();
        if newer {
            report.as_newer.push(format!("{place}: {}", step.shown()));
        }
        if fits && (agrees || newer) {
            trace.push(format!("    {}  → {}", step.shown(), shown(&ours[i])));
            continue;
        }
        different += 1;
        trace.push(format!(
            "    {}\n  theirs {}\n  ours   {}",
            step.shown(),
            shown(&theirs[i]),
            shown(&ours[i])
        ));
        if different == DIFFERENCES_SHOWN {
            break;
        }
    }
    match different {
        0 => Ok(()),
        _ => Err(abridged(&trace)),
    }
}

/// Later differences in a block are often consequences of earlier ones.
const DIFFERENCES_SHOWN: usize = 8;

fn shown(replies: &[Value]) -> String {
    replies
        .iter()
        .map(Value::shown)
        .collect::<Vec<_>>()
        .join("\n         ")
}

/// The steps that differ, with the ones just before each, which are what led there.
fn abridged(trace: &[String]) -> String {
    const CONTEXT: usize = 4;
    let differs = |line: &String| line.contains("\n  theirs ");
    let mut lines: Vec<&str> = Vec::new();
    for (i, line) in trace.iter().enumerate() {
        let until = (i + CONTEXT + 1).min(trace.len());
        if trace[i..until].iter().any(differs) {
            lines.push(line);
        } else if lines.last() != Some(&"    …") {
            lines.push("    …");
        }
    }
    lines.join("\n")
}
