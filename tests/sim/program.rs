//! Random programs: calls whose keys may depend on what was seen.

use crate::data::{Cmd, Key, Layout, Op, Value, Work};
use engine::{Answer, Program, ShardId, Step};

#[derive(Clone, Copy, Debug)]
pub enum Call {
    Read(Key),
    Append(Key),
    Push(Key),
    /// A register that depends on the lengths that were seen.
    AppendSomewhere(Key),
    ReadAll(usize),
    Pause,
    Abort,
    /// Begins again with the right to press, the first time that it comes here.
    Press,
}

pub struct Script {
    pub op: Op,
    pub layout: Layout,
    pub calls: Vec<Call>,
    /// Values from here on are its own.
    pub base: Value,
    at: usize,
    lengths: u64,
    pressed: bool,
    pub seen: Vec<(Key, Vec<Value>)>,
    pub wrote: Vec<(Key, Value)>,
}

impl Script {
    pub fn new(op: Op, layout: Layout, calls: Vec<Call>, base: Value) -> Script {
        Script {
            op,
            layout,
            calls,
            base,
            at: 0,
            lengths: 0,
            pressed: false,
            seen: Vec::new(),
            wrote: Vec::new(),
        }
    }
}

impl Program<Work> for Script {
    fn resume(&mut self, answer: Answer<Work>) -> Step<Work> {
        match answer {
            Answer::Start => {
                self.at = 0;
                self.lengths = 0;
                self.seen.clear();
                self.wrote.clear();
            }
            Answer::Value(work) => {
                self.lengths += work
                    .seen
                    .iter()
                    .map(|seen| seen.1.len() as u64)
                    .sum::<u64>();
                self.seen.extend(work.seen);
                self.wrote.extend(work.wrote);
            }
            Answer::Resumed => {}
        }
        while self.pressed && matches!(self.calls.get(self.at), Some(Call::Press)) {
            self.at += 1;
        }
        let Some(call) = self.calls.get(self.at) else {
            return Step::Done;
        };
        let value = self.base + self.at as u64;
        self.at += 1;
        let (shard, cmd) = match *call {
            Call::Read(key) => (self.layout.shard(key), Cmd::Read(key)),
            Call::Append(key) => (self.layout.shard(key), Cmd::Append(key, value)),
            Call::Push(key) => (self.layout.shard(key), Cmd::Push(key, value)),
            Call::AppendSomewhere(key) => {
                let key = (key + self.lengths) % self.layout.registers;
                (self.layout.shard(key), Cmd::Append(key, value))
            }
            Call::ReadAll(shard) => (shard, Cmd::ReadAll),
            Call::Pause => return Step::Pause,
            Call::Abort => return Step::Abort,
            Call::Press => {
                self.pressed = true;
                return Step::Press;
            }
        };
        Step::Call {
            shard: shard as ShardId,
            want: self.layout.want(&[cmd]),
            payload: Work::new(self.op, vec![cmd]),
        }
    }
}
