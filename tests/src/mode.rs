//! The ways in which one and the same block is run.
//!
//! A block must give the same replies in each: in both protocols, one by one, as one pipeline, byte
//! by byte, on one shard and on several. Another way to run commands (in a transaction, in a script,
//! after a restart) is another [`Mode`] and, if it changes how bytes are sent, another [`Shape`].

use crate::connection::{Connection, frame};
use crate::script::{self, Action, Block, Step};
use crate::server::{Server, Setup, until};
use crate::value::Value;
use std::collections::HashMap;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each command waits for the reply of the one before.
    OneByOne,
    /// All commands of a block in one write.
    Pipeline,
    /// Every byte in a write of its own.
    Bytewise,
}

#[derive(Clone, Copy, Debug)]
pub struct Mode {
    pub protocol: u8,
    pub shape: Shape,
    pub shards: usize,
}

impl Mode {
    const WAYS: &'static [(u8, Shape)] = &[
        (2, Shape::OneByOne),
        (3, Shape::OneByOne),
        (2, Shape::Pipeline),
        (3, Shape::Pipeline),
        (2, Shape::Bytewise),
    ];

    /// All ways to ask a server that has so many shards.
    pub fn on(shards: usize) -> impl Iterator<Item = Mode> {
        Mode::WAYS.iter().map(move |&(protocol, shape)| Mode {
            protocol,
            shape,
            shards,
        })
    }

    /// Whether the block means anything in this mode.
    pub fn suits(&self, block: &Block) -> bool {
        match self.protocol {
            2 if block.has("resp3") => return false,
            3 if block.has("resp2") => return false,
            _ => {}
        }
        self.shape != Shape::Pipeline || block.can_be_pipelined()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            Shape::OneByOne => "one by one",
            Shape::Pipeline => "as a pipeline",
            Shape::Bytewise => "byte by byte",
        };
        write!(f, "RESP{} {shape}, shards: {}", self.protocol, self.shards)
    }
}

/// Runs a script in every way against a server that is set up so; see [`crate::script`] for the
/// notation.
#[track_caller]
pub fn check_with(setup: Setup, script: &str) {
    let blocks = script::parse(script).unwrap_or_else(|e| panic!("the script: {e}"));
    let mut failures = String::new();
    let modes = Mode::on(setup.shard_count());
    let server = setup.start();
    for mode in modes {
        for block in blocks.iter().filter(|block| mode.suits(block)) {
            clean(&server);
            if let Err(why) = check_block(&server, block, &mode) {
                failures.push_str(&format!("== {} ({mode})\n{why}\n", block.title));
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// Leaves no key and no other client's effect behind.
pub fn clean(server: &Server) {
    let reply = server.connect().call(&["FLUSHALL"]);
    assert_eq!(reply, Value::ok(), "FLUSHALL\n{}", server.log());
}

fn check_block(server: &Server, block: &Block, mode: &Mode) -> Result<(), String> {
    for (step, replies) in block.steps.iter().zip(run(server, block, mode)) {
        for (expected, reply) in step.expected.iter().zip(&replies) {
            if !expected.pattern.fits(reply) {
                return Err(format!(
                    "line {}: {}\n    expected {}\n    got {}",
                    step.line,
                    step.shown(),
                    expected.text,
                    reply.shown()
                ));
            }
        }
    }
    Ok(())
}

/// Runs a block; returns the replies of each step.
pub fn run(server: &Server, block: &Block, mode: &Mode) -> Vec<Vec<Value>> {
    if mode.shape == Shape::Pipeline {
        let mut connection = server.connect_as(mode.protocol);
        let commands = block.steps.iter().map(|step| match &step.action {
            Action::Call(words, 1) => frame(words),
            other => unreachable!("{other:?} is in no pipeline"),
        });
        let bytes: Vec<u8> = commands.flatten().collect();
        let replies = connection.pipeline(&bytes, block.steps.len());
        return replies.into_iter().map(|reply| vec![reply]).collect();
    }
    let mut connections: HashMap<String, Connection> = HashMap::new();
    block
        .steps
        .iter()
        .map(|step| run_step(server, &mut connections, step, mode))
        .collect()
}

fn run_step(
    server: &Server,
    connections: &mut HashMap<String, Connection>,
    step: &Step,
    mode: &Mode,
) -> Vec<Value> {
    if let Action::Close = step.action {
        connections.remove(&step.connection);
        return Vec::new();
    }
    let name = step.connection.clone();
    let connection = connections
        .entry(name)
        .or_insert_with(|| server.connect_as(mode.protocol));
    match &step.action {
        Action::Call(words, replies) => {
            if !words.is_empty() {
                send(connection, &frame(words), mode);
            }
            connection.read_many(*replies)
        }
        Action::Raw(bytes, replies) => {
            send(connection, bytes, mode);
            connection.read_many(*replies)
        }
        Action::Until(words, reply) => {
            until(&step.shown(), || {
                reply.pattern.fits(&connection.call(words)).then_some(())
            });
            Vec::new()
        }
        Action::Close => unreachable!("handled above"),
    }
}

fn send(connection: &mut Connection, bytes: &[u8], mode: &Mode) {
    // Beyond this, single bytes cost time and find nothing new.
    const BYTEWISE_MAX: usize = 4096;
    let bytewise = mode.shape == Shape::Bytewise && bytes.len() <= BYTEWISE_MAX;
    let chunk = if bytewise { 1 } else { bytes.len().max(1) };
    for part in bytes.chunks(chunk) {
        if connection.send_raw(part).is_err() {
            // The server has closed; the reply says so.
            return;
        }
    }
}
