//! The same commands to two servers: what a real Redis answers is what Shoal should answer.
//!
//! The commands are blocks in `tests/cases/*.txt` (see [`crate::script`]), a file per command or
//! family, without replies: the other server's reply is the expectation. Where Shoal answers
//! differently on purpose, `tests/differential/differences.tsv` says where and why.

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
fn modes() -> impl Iterator<Item = &'static Mode> {
    Mode::ALL
        .iter()
        .filter(|mode| mode.shape != Shape::Bytewise)
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
}

/// Runs all case files of a directory, or those that the environment variable `CASES` names,
/// separated by commas.
pub fn run_directory(directory: &Path, differences: &Differences) -> Report {
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
    let mut pairs = Pairs::default();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let blocks = script::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = path
            .file_stem()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned();
        for block in &blocks {
            run_block(&file, block, &mut pairs, differences, &mut report);
        }
    }
    report
}

/// Two servers to compare, and what each can do.
struct Pair {
    theirs: Server,
    ours: Server,
    their_commands: Vec<String>,
    our_commands: Vec<String>,
}

impl Pair {
    fn start(oracle: Program, block: Option<&Block>) -> Pair {
        let start = |program| {
            let mut setup = Server::setup(program);
            for (name, value) in block.map(Block::directives).unwrap_or_default() {
                setup = setup.with(&name, &value);
            }
            setup.start()
        };
        let (theirs, ours) = (start(oracle), start(Program::Judged));
        let (their_commands, our_commands) = (theirs.commands(), ours.commands());
        Pair {
            theirs,
            ours,
            their_commands,
            our_commands,
        }
    }

    /// A command of the block that they have and we do not.
    fn missing(&self, block: &Block) -> Option<String> {
        let lacks = |name: &String| {
            self.their_commands.contains(name)
                && !self.our_commands.is_empty()
                && !self.our_commands.contains(name)
        };
        block.steps.iter().flat_map(|step| names(step)).find(lacks)
    }
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

/// Servers that blocks share as long as all goes well.
#[derive(Default)]
struct Pairs {
    shared: HashMap<&'static str, Pair>,
}

/// Whether it needs servers of its own.
fn own(block: &Block) -> bool {
    block.has("alone") || !block.directives().is_empty()
}

fn oracle(block: &Block) -> (&'static str, Program) {
    match block {
        b if b.has("valkey") => ("valkey", Program::Valkey),
        b if b.has("redis8") => ("redis8", Program::Redis8),
        _ => ("redis7", Program::Redis7),
    }
}

fn run_block(
    file: &str,
    block: &Block,
    pairs: &mut Pairs,
    differences: &Differences,
    report: &mut Report,
) {
    let (name, program) = oracle(block);
    if let Err(why) = program.path() {
        // Redis 7 is what the tests are made for; the peers are newer than what Debian installs.
        assert!(program != Program::Redis7, "{why}");
        *report.skipped.entry(why).or_default() += 1;
        return;
    }
    report.blocks += 1;
    for mode in modes().filter(|mode| mode.suits(block)) {
        let mut alone = own(block).then(|| Pair::start(program, Some(block)));
        let pair = match &mut alone {
            Some(pair) => pair,
            None => pairs
                .shared
                .entry(name)
                .or_insert_with(|| Pair::start(program, None)),
        };
        if let Some(command) = pair.missing(block) {
            *report
                .skipped
                .entry(format!("the judged server has no {command}"))
                .or_default() += 1;
            return;
        }
        let place = format!("{file}: {}", block.title);
        if let Err(why) = compare_block(&place, block, mode, pair, differences, report) {
            report.failures.push(format!(
                "{place} (line {}, {})\n{why}",
                block.line, mode.name
            ));
            // What follows should not suffer from what may have been left behind.
            pairs.shared.remove(name);
            return;
        }
    }
}

fn compare_block(
    place: &str,
    block: &Block,
    mode: &Mode,
    pair: &mut Pair,
    differences: &Differences,
    report: &mut Report,
) -> Result<(), String> {
    let attempt = |server: &Server| {
        catch_unwind(AssertUnwindSafe(|| {
            if !own(block) {
                clean(server);
            }
            run(server, block, mode)
        }))
    };
    let theirs = attempt(&pair.theirs).map_err(|_| "the other server did not answer".to_owned())?;
    let ours = attempt(&pair.ours).map_err(|_| match pair.ours.alive() {
        true => "the judged server did not answer".to_owned(),
        false => format!("the judged server ended\n{}", pair.ours.log()),
    })?;
    let mut trace: Vec<String> = Vec::new();
    let mut different = 0;
    for (i, step) in block.steps.iter().enumerate() {
        let words = match &step.action {
            Action::Call(words, _) => words.as_slice(),
            _ => &[],
        };
        report.replies += ours[i].len();
        let expected = step
            .expected
            .iter()
            .zip(&ours[i])
            .all(|(p, value)| p.fits(value));
        let equal = theirs[i]
            .iter()
            .zip(&ours[i])
            .all(|(t, o)| same(words, t, o));
        if expected && (equal || differences.allow(Some(place), words)) {
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
    let kept = |i: &usize| {
        trace[*i..(*i + CONTEXT + 1).min(trace.len())]
            .iter()
            .any(differs)
    };
    let mut lines: Vec<&str> = Vec::new();
    for i in 0..trace.len() {
        if kept(&i) {
            lines.push(&trace[i]);
        } else if lines.last() != Some(&"    …") {
            lines.push("    …");
        }
    }
    lines.join("\n")
}
