//! Which shard a command is for, by its row and its keys.

use super::flight::Kind;
use crate::core::HostHandler;
use crate::scripting::copies::is_in_both;
use command::generic::scan::shard_of_cursor;
use command::keyspec::{Begin, Find, KeyFlags, KeySpec};
use command::table::{Entry, Run};
use command::{Flags, Form, Weight};
use engine::Placement;
use resp::Args;

/// Where a row's keys are, as far as routing must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Nowhere: the command runs on the client's shard.
    None,
    /// One key, the first argument.
    First,
    /// From the first argument on, every `step`th argument.
    Each { step: usize },
    /// Where the key specifications say.
    Specified,
    /// The command is about all keys.
    All,
    /// The first argument is a cursor.
    Cursor,
}

/// What routing knows of an entry of the command table.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub keys: Keys,
    /// What the command may run beside.
    pub kind: Kind,
    /// The first key, if there are any, is the first argument.
    pub keyed: bool,
    /// There is this one key: [`Keys::First`].
    pub one: bool,
    /// A call may be too much for its shard to wait for.
    pub weighs: bool,
    /// Its calls wait for other servers.
    pub outside: bool,
    /// A call may wait for a key.
    pub blocks: bool,
    /// A call may take so long that it is timed by itself.
    pub timed: bool,
    /// A script may run calls on a copy of their key.
    pub in_both: bool,
}

impl Way {
    pub fn of(entry: &Entry<HostHandler>) -> Way {
        let specs = entry.spec.keys;
        let keys = match entry.run {
            Run::Data(Form::Everywhere(..)) => Keys::All,
            Run::Data(Form::Walk(_)) => Keys::Cursor,
            Run::Data(_) => match specs {
                [] => Keys::None,
                [only] => match (only.begin, only.find) {
                    (Begin::Index(1), Find::Range { last: 0, .. }) => Keys::First,
                    (
                        Begin::Index(1),
                        Find::Range {
                            last: -1,
                            step,
                            limit: 0,
                        },
                    ) => Keys::Each { step },
                    _ => Keys::Specified,
                },
                _ => Keys::Specified,
            },
            Run::Host(_) | Run::Container => Keys::None,
        };
        let reads = entry.spec.flags.has(Flags::READONLY);
        let writes_keys = specs.iter().any(|spec| writes(spec.flags));
        let kind = if reads && !writes_keys {
            Kind::Reads
        } else if reads || entry.spec.flags.has(Flags::WRITE) && keys == Keys::First {
            // One that reads by its flags and yet writes does so with a single key only: PFCOUNT.
            Kind::Writes(entry.index)
        } else {
            Kind::Mixed
        };
        let keyed = matches!(entry.run, Run::Data(_))
            && entry.parent.is_none()
            && specs.first().is_some_and(|k| k.begin == Begin::Index(1));
        Way {
            keys,
            kind,
            keyed,
            one: keys == Keys::First,
            blocks: entry.spec.blocking.is_some(),
            timed: !entry.spec.flags.has(Flags::FAST) && entry.spec.complexity != "O(1)",
            in_both: is_in_both(entry),
            weighs: !matches!(entry.spec.weight, Weight::Light),
            outside: matches!(entry.spec.weight, Weight::Outside),
        }
    }
}

/// Where a command is to be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// On the client's own shard: it has no keys.
    Anywhere,
    Shard(usize),
    Several,
}

/// A key of a command: which argument it is, whose it is, and whether the command may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub at: usize,
    pub shard: usize,
    pub writes: bool,
}

/// Finds the keys of a command and where they live. A command whose arguments do not have the keys
/// that they should have goes anywhere, where its handler refuses it.
pub fn place(
    entry: &Entry<HostHandler>,
    way: Way,
    placement: Placement,
    args: Args<'_>,
    keys: &mut Vec<Placed>,
) -> To {
    keys.clear();
    match way.keys {
        Keys::None => return To::Anywhere,
        Keys::All => return To::Several,
        Keys::Cursor => {
            let cursor = args.opt(1).unwrap_or_default();
            return To::Shard(shard_of_cursor(cursor, placement.shards()));
        }
        Keys::First => {
            return match args.opt(1) {
                Some(key) => To::Shard(placement.of(key)),
                None => To::Anywhere,
            };
        }
        Keys::Each { step } => {
            if !(args.len() - 1).is_multiple_of(step) {
                return To::Anywhere;
            }
            let writes = writes(entry.spec.keys[0].flags);
            for at in (1..args.len()).step_by(step) {
                let shard = placement.of(args.get(at));
                keys.push(Placed { at, shard, writes });
            }
        }
        Keys::Specified => {
            // XREADGROUP says of its keys that they are read, and changes what is pending in them.
            let all = entry.spec.flags.has(Flags::WRITE)
                && !entry.spec.keys.iter().any(|spec| writes(spec.flags));
            let unspecified = entry.spec.unspecified.map(|find| find(args));
            let is_sure = |spec: &&KeySpec| unspecified.is_none() || spec.is_fixed();
            for spec in entry.spec.keys.iter().filter(is_sure) {
                // Optional keys may be missing. Of others the handler complains.
                let Some(positions) = spec.positions(args) else {
                    continue;
                };
                let writes = all || writes(spec.flags);
                for at in positions {
                    let shard = placement.of(args.get(at));
                    keys.push(Placed { at, shard, writes });
                }
            }
            if let Some(at) = unspecified.and_then(|found| found.destination) {
                let shard = placement.of(args.get(at));
                let writes = true;
                keys.push(Placed { at, shard, writes });
            }
        }
    }
    match keys.split_first() {
        None => To::Anywhere,
        Some((first, rest)) if rest.iter().all(|k| k.shard == first.shard) => {
            To::Shard(first.shard)
        }
        Some(_) => To::Several,
    }
}

fn writes(flags: KeyFlags) -> bool {
    flags.0 & KeyFlags::RW.or(KeyFlags::OW).or(KeyFlags::RM).0 != 0
}
