//! What the simulated shards hold, and what is done to it.
//!
//! A key is a log that only grows. Registers log what is appended; queues log every push and every
//! pop, so that what they hold follows from the log, and a pop is a write that the history orders
//! like any other.

use engine::{ClaimId, Mode, Name, Want};
use std::collections::{BTreeMap, HashMap};

pub type Key = u64;
pub type Value = u64;
/// Number of an operation of the run.
pub type Op = usize;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cmd {
    Read(Key),
    Append(Key, Value),
    Push(Key, Value),
    /// Takes one if there is one; else it is a read.
    Pop(Key, Value),
    /// Reads all registers of the shard.
    ReadAll,
    /// Appends to all registers of the shard values from this one on.
    AppendAll(Value),
    /// Whether a queue has something; what a blocking pop asks first.
    Peek(Key),
    /// Lets a claim wait for a queue.
    Wait(ClaimId, Key),
    /// Says no if the log has not this length any more.
    Unchanged(Key, usize),
}

impl Cmd {
    fn want(self) -> Result<(Key, Mode), Mode> {
        match self {
            Cmd::Read(key) | Cmd::Unchanged(key, _) => Ok((key, Mode::Shared)),
            Cmd::Append(key, _)
            | Cmd::Push(key, _)
            | Cmd::Pop(key, _)
            | Cmd::Peek(key)
            | Cmd::Wait(_, key) => Ok((key, Mode::Exclusive)),
            Cmd::ReadAll => Err(Mode::Shared),
            Cmd::AppendAll(_) => Err(Mode::Exclusive),
        }
    }
}

/// One shard's part of an operation: the payload of the engines.
#[derive(Clone, Debug)]
pub struct Work {
    pub op: Op,
    pub cmds: Vec<Cmd>,
    pub seen: Vec<(Key, Vec<Value>)>,
    /// What it has appended.
    pub wrote: Vec<(Key, Value)>,
    pub ran_ms: i64,
    pub valid_until_ms: i64,
}

impl Work {
    pub fn new(op: Op, cmds: Vec<Cmd>) -> Work {
        Work {
            op,
            cmds,
            seen: Vec::new(),
            wrote: Vec::new(),
            ran_ms: 0,
            valid_until_ms: i64::MAX,
        }
    }
}

/// How keys are spread, and what locks are called.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub shards: usize,
    pub registers: u64,
    pub queues: u64,
    /// Different keys share names.
    pub collide: bool,
}

impl Layout {
    pub fn shard(&self, key: Key) -> usize {
        (key % self.shards as u64) as usize
    }

    pub fn name(&self, key: Key) -> Name {
        if self.collide {
            Name(key / self.shards as u64 / 2)
        } else {
            Name(key)
        }
    }

    pub fn is_queue(&self, key: Key) -> bool {
        key >= self.registers
    }

    pub fn registers_of(&self, shard: usize) -> impl Iterator<Item = Key> + use<> {
        let layout = *self;
        (0..layout.registers).filter(move |key| layout.shard(*key) == shard)
    }

    pub fn want(&self, cmds: &[Cmd]) -> Want {
        let mut keys = Vec::new();
        let mut whole = None;
        for cmd in cmds {
            match cmd.want() {
                Ok((key, mode)) => keys.push((self.name(key), mode)),
                Err(mode) => whole = whole.max(Some(mode)),
            }
        }
        whole.map_or(Want::Keys(keys), Want::Whole)
    }
}

#[derive(Default, Debug)]
pub struct Log {
    pub values: Vec<Value>,
    /// As of when it was last written, and last used at all.
    written_ms: i64,
    used_ms: i64,
    pub epoch: u64,
}

impl Log {
    /// Of a queue: how many values it holds. Pushed values are even, pops odd.
    pub fn held(&self) -> usize {
        let pops = self.values.iter().filter(|value| **value % 2 == 1).count();
        self.values.len() - 2 * pops
    }
}

/// One shard's data.
#[derive(Default)]
pub struct Data {
    pub logs: BTreeMap<Key, Log>,
    /// What programs have changed and not committed, newest last.
    pub undo: HashMap<engine::TxId, Vec<(Key, Value)>>,
}

impl Data {
    /// Looks at a key as of a time. That of a write is never before that of any earlier use; readers
    /// that share a lock may be in any order among themselves.
    pub fn look(&mut self, key: Key, time_ms: i64, to_write: bool) -> Result<&mut Log, String> {
        let log = self.logs.entry(key).or_default();
        let last_ms = if to_write {
            log.used_ms
        } else {
            log.written_ms
        };
        if last_ms > time_ms {
            return Err(format!(
                "key {key} is used as of {time_ms}, after it was as of {last_ms}"
            ));
        }
        log.used_ms = log.used_ms.max(time_ms);
        if to_write {
            log.written_ms = time_ms;
        }
        Ok(log)
    }
}
