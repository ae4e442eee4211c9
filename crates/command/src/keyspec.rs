//! Where a command's keys are, and what it does with them: the key specifications of COMMAND INFO.

use resp::Args;

/// What a command does with keys, named as in COMMAND INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFlags(pub u16);

impl KeyFlags {
    pub const RO: KeyFlags = KeyFlags(1 << 0);
    pub const RW: KeyFlags = KeyFlags(1 << 1);
    pub const OW: KeyFlags = KeyFlags(1 << 2);
    pub const RM: KeyFlags = KeyFlags(1 << 3);
    pub const ACCESS: KeyFlags = KeyFlags(1 << 4);
    pub const UPDATE: KeyFlags = KeyFlags(1 << 5);
    pub const INSERT: KeyFlags = KeyFlags(1 << 6);
    pub const DELETE: KeyFlags = KeyFlags(1 << 7);
    pub const NOT_KEY: KeyFlags = KeyFlags(1 << 8);
    pub const INCOMPLETE: KeyFlags = KeyFlags(1 << 9);
    pub const VARIABLE_FLAGS: KeyFlags = KeyFlags(1 << 10);

    pub const fn or(self, other: KeyFlags) -> KeyFlags {
        KeyFlags(self.0 | other.0)
    }

    pub const fn has(self, other: KeyFlags) -> bool {
        self.0 & other.0 == other.0
    }

    pub const NAMES: &'static [(KeyFlags, &'static str)] = &[
        (KeyFlags::RO, "RO"),
        (KeyFlags::RW, "RW"),
        (KeyFlags::OW, "OW"),
        (KeyFlags::RM, "RM"),
        (KeyFlags::ACCESS, "access"),
        (KeyFlags::UPDATE, "update"),
        (KeyFlags::INSERT, "insert"),
        (KeyFlags::DELETE, "delete"),
        (KeyFlags::NOT_KEY, "not_key"),
        (KeyFlags::INCOMPLETE, "incomplete"),
        (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
    ];
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    Index(usize),
    /// After a word; the search for it starts at an argument, or from the end if negative.
    Keyword(&'static str, i32),
    Unknown,
}

/// Which arguments from there on are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to `last` (counted from the beginning, or from the end if negative), every `step`th; of a
    /// negative `last` only the first 1/`limit` if `limit` is above 1.
    Range {
        last: i32,
        step: usize,
        limit: usize,
    },
    /// The argument `count` after the beginning says how many keys follow from `first` on.
    Count {
        count: usize,
        first: usize,
        step: usize,
    },
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: Begin,
    pub find: Find,
    pub notes: &'static str,
}

impl KeySpec {
    /// One key at argument `index`.
    pub const fn one(index: usize, flags: KeyFlags) -> KeySpec {
        KeySpec::range(index, 0, 1, flags)
    }

    /// Keys from argument `index` on; see [`Find::Range`].
    pub const fn range(index: usize, last: i32, step: usize, flags: KeyFlags) -> KeySpec {
        KeySpec {
            flags,
            begin: Begin::Index(index),
            find: Find::Range {
                last,
                step,
                limit: 0,
            },
            notes: "",
        }
    }

    /// Whether the keys begin at a place that is the same in all calls.
    pub fn is_fixed(&self) -> bool {
        matches!(self.begin, Begin::Index(_))
    }

    /// Keys behind their number, which stands at argument `index`; `step` is 1 if there is nothing between
    /// them.
    pub const fn counted(index: usize, step: usize, flags: KeyFlags) -> KeySpec {
        KeySpec {
            flags,
            begin: Begin::Index(index),
            find: Find::Count {
                count: 0,
                first: 1,
                step,
            },
            notes: "",
        }
    }

    /// The positions of this specification's keys, or `None` if the arguments do not have them.
    pub fn positions(&self, args: Args<'_>) -> Option<Vec<usize>> {
        let begin = match self.begin {
            Begin::Index(i) => i,
            Begin::Keyword(word, from) => keyword(args, word, from)?,
            Begin::Unknown => return None,
        };
        match self.find {
            Find::Range { last, step, limit } => {
                let last = if last >= 0 {
                    begin + last as usize
                } else if limit > 1 {
                    let span = args.len().checked_sub(begin)?;
                    (begin + span / limit).checked_sub(last.unsigned_abs() as usize)?
                } else {
                    args.len().checked_sub(last.unsigned_abs() as usize)?
                };
                (begin <= last && last < args.len()).then(|| (begin..=last).step_by(step).collect())
            }
            Find::Count { count, first, step } => {
                let n = resp::number::parse_i64(args.opt(begin + count)?)?;
                let n = usize::try_from(n).ok()?;
                let first = begin + first;
                let end = first.checked_add(n.checked_mul(step)?)?;
                (end < args.len() + step).then(|| (first..end).step_by(step).collect())
            }
            Find::Unknown => None,
        }
    }
}

/// The position after `word`.
fn keyword(args: Args<'_>, word: &str, from: i32) -> Option<usize> {
    if from >= 0 {
        (from as usize..args.len()).find(|i| args.is(*i, word))
    } else {
        let start = args.len().checked_sub(from.unsigned_abs() as usize)?;
        (1..=start).rev().find(|i| args.is(*i, word))
    }
    .map(|i| i + 1)
}

/// The part of a key that places it: what stands between the first `{` and the next `}` unless that
/// is nothing, otherwise all of it.
#[inline]
pub fn tag(key: &[u8]) -> &[u8] {
    match memchr::memchr(b'{', key) {
        None => key,
        Some(open) => tagged(key, open),
    }
}

#[cold]
fn tagged(key: &[u8], open: usize) -> &[u8] {
    let rest = &key[open + 1..];
    match memchr::memchr(b'}', rest) {
        None | Some(0) => key,
        Some(close) => &rest[..close],
    }
}
