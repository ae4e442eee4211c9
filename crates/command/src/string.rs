//! Strings: GET, SET and their kin.
//!
//! A string is bytes; the store keeps one that reads as an integer as such. Rows stand beside their
//! handlers, here for the commands that read a string or change a part of it, and in a file each for
//! those that replace it, count with it, or compare two.

pub(crate) mod count;
pub(crate) mod float;
mod lcs;
mod set;

use crate::context::{self, Context};
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Merge};
use crate::spec::{Deprecated, Outcome, Spec};
use resp::Reply;
use resp::number::Decimal;
use set::{Lifetime, Term};
use std::ops::Deref;
use store::shard::Expiry;
use store::{Class, Look, Str};

pub static COMMANDS: &[Command] = &[
    APPEND,
    count::DECR,
    count::DECRBY,
    set::DELIFEQ,
    GET,
    GETDEL,
    GETEX,
    GETRANGE,
    set::GETSET,
    count::INCR,
    count::INCRBY,
    count::INCRBYFLOAT,
    lcs::LCS,
    MGET,
    set::MSET,
    set::MSETEX,
    set::MSETNX,
    set::PSETEX,
    set::SET,
    set::SETEX,
    set::SETNX,
    SETRANGE,
    STRLEN,
    SUBSTR,
];

const KEY: Argument = Argument::key("key", 0);
const VALUE: Argument = Argument::new("value", Kind::String);
const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const CHANGE: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE);

/// A string's bytes; those of an integer are its decimal text.
pub(crate) enum Text<'a> {
    Bytes(&'a [u8]),
    Integer(Decimal),
}

impl<'a> From<Str<'a>> for Text<'a> {
    fn from(string: Str<'a>) -> Text<'a> {
        match string {
            Str::Int(v) => Text::Integer(Decimal::signed(v)),
            Str::Bytes(b) => Text::Bytes(b),
            Str::Blob(b) => Text::Bytes(b.bytes()),
        }
    }
}

impl Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Text::Bytes(b) => b,
            Text::Integer(d) => d.as_bytes(),
        }
    }
}

/// The effect of a command that may have found nothing to change.
pub(crate) fn wrote(changed: bool) -> Effect {
    if changed { Effect::Wrote } else { Effect::Read }
}

/// The inclusive range that `start` and `end` select of `len` elements, negative ones counted from
/// the end, or `None` if it is empty. What lies before the beginning is the first element.
pub(crate) fn range(start: i64, end: i64, len: u64) -> Option<(u64, u64)> {
    let from_start = |i: i64| match u64::try_from(i) {
        Ok(i) => i,
        Err(_) => len.saturating_sub(i.unsigned_abs()),
    };
    let start = from_start(start);
    let end = from_start(end).min(len.checked_sub(1)?);
    (start <= end).then_some((start, end))
}

/// [`range`], for commands that see at once that two negative numbers are in the wrong order. Where
/// both lie before the beginning, this makes a difference.
pub(crate) fn ordered_range(start: i64, end: i64, len: u64) -> Option<(u64, u64)> {
    if start < 0 && end < 0 && start > end {
        return None;
    }
    range(start, end, len)
}

/// The error of growing a string to more than `max` bytes.
fn check_length(len: usize, more: usize, max: usize) -> Result<usize, Error> {
    let total = len.checked_add(more).filter(|total| *total <= max);
    total.ok_or(Error::STRING_TOO_LONG)
}

const GET: Command = Command {
    spec: Spec {
        name: "get",
        group: "string",
        arity: 2,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the string value of a key.",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(get),
};

fn get(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    match ctx.shard.look(ctx.db, key, Look::Use) {
        None => ctx.reply.null(),
        Some(item) => Context::reply_string(ctx.reply, item.str()?),
    }
    Ok(Effect::Read)
}

const MGET: Command = Command {
    spec: Spec {
        name: "mget",
        group: "string",
        arity: -2,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::range(1, -1, 1, READ)],
        tips: &["request_policy:multi_shard"],
        summary: "Answers the string values of several keys, null for a key that holds none.",
        complexity: "O(N) with N the number of keys.",
        arguments: &[KEY.multiple()],
        ..Spec::DEFAULT
    },
    form: Form::Fan(mget, Merge::Stitch),
};

fn mget(ctx: &mut Context<'_>) -> Outcome {
    ctx.reply.array(ctx.args.len() - 1);
    for i in 1..ctx.args.len() {
        if i % Context::PREFETCHED == 1 {
            ctx.prefetch_keys(i, 1);
        }
        let key = ctx.key(i);
        let item = ctx.shard.look(ctx.db, key, Look::Use);
        match item.and_then(|item| item.str().ok()) {
            None => ctx.reply.null(),
            Some(string) => Context::reply_string(ctx.reply, string),
        }
    }
    Ok(Effect::Read)
}

const GETDEL: Command = Command {
    spec: Spec {
        name: "getdel",
        group: "string",
        since: "6.2.0",
        arity: 2,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(
            1,
            KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE),
        )],
        summary: "Answers the string value of a key and deletes the key.",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(getdel),
};

fn getdel(ctx: &mut Context<'_>) -> Outcome {
    get(ctx)?;
    let key = ctx.key(1);
    Ok(wrote(ctx.delete(key)))
}

const GETEX: Command = Command {
    spec: Spec {
        name: "getex",
        group: "string",
        since: "6.2.0",
        arity: -2,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec {
            notes: "the key is written because its expiry may change",
            ..KeySpec::one(1, CHANGE)
        }],
        summary: "Answers the string value of a key and sets or clears the key's expiry.",
        arguments: &[
            KEY,
            Argument::one_of(
                "expiration",
                &[
                    set::EX,
                    set::PX,
                    set::EXAT,
                    set::PXAT,
                    Argument::token("persist", "PERSIST"),
                ],
            )
            .optional(),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(getex),
};

fn getex(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let mut lifetime = Lifetime::default();
    let mut i = 2;
    while i < ctx.args.len() {
        i = lifetime
            .take(ctx.args, i, Term::Persist)
            .ok_or(Error::SYNTAX)?;
    }
    let now = ctx.shard.now_ms();
    let Some(item) = ctx.shard.look(ctx.db, key, Look::Use) else {
        ctx.reply.null();
        return Ok(Effect::Read);
    };
    let (string, had_expiry) = (item.str()?, item.expiry().is_some());
    let expiry = lifetime.expiry(ctx.args, now, "getex")?;
    Context::reply_string(ctx.reply, string);
    Ok(wrote(match expiry {
        Expiry::At(at) if at <= now => {
            ctx.tell_delete(key);
            ctx.delete(key)
        }
        Expiry::At(at) => {
            ctx.tell_expiry(key, at);
            ctx.set_expiry(key, Some(at))
        }
        Expiry::Clear if lifetime.is_given() && had_expiry => {
            let call = ["PERSIST".into(), key.bytes.into()];
            ctx.effects.tell(call);
            ctx.set_expiry(key, None)
        }
        Expiry::Clear | Expiry::Keep => false,
    }))
}

const STRLEN: Command = Command {
    spec: Spec {
        name: "strlen",
        group: "string",
        since: "2.2.0",
        arity: 2,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Answers how many bytes the string at a key has.",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(strlen),
};

fn strlen(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let len = ctx
        .string(key, Look::Use)?
        .map_or(0, |s| Text::from(s).len());
    ctx.reply.int(len as i64);
    Ok(Effect::Read)
}

const GETRANGE_ARGUMENTS: &[Argument] = &[
    KEY,
    Argument::new("start", Kind::Integer),
    Argument::new("end", Kind::Integer),
];

const GETRANGE: Command = Command {
    spec: Spec {
        name: "getrange",
        group: "string",
        since: "2.4.0",
        arity: 4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the bytes of a string between two positions, both included.",
        complexity: "O(N) with N the length of the answer.",
        arguments: GETRANGE_ARGUMENTS,
        ..Spec::DEFAULT
    },
    form: Form::Local(getrange),
};

const SUBSTR: Command = Command {
    spec: Spec {
        name: "substr",
        group: "string",
        arity: 4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "The older name of GETRANGE.",
        complexity: "O(N) with N the length of the answer.",
        arguments: GETRANGE_ARGUMENTS,
        deprecated: Some(Deprecated {
            since: "2.0.0",
            replaced_by: "`GETRANGE`",
        }),
        ..Spec::DEFAULT
    },
    form: Form::Local(getrange),
};

fn getrange(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let (start, end) = (ctx.integer(2)?, ctx.integer(3)?);
    let Some(item) = ctx.shard.look(ctx.db, key, Look::Use) else {
        ctx.reply.bulk(b"");
        return Ok(Effect::Read);
    };
    reply_range(ctx.reply, item.str()?, start, end);
    Ok(Effect::Read)
}

fn reply_range(reply: &mut Reply, string: Str<'_>, start: i64, end: i64) {
    let text = Text::from(string);
    let Some((start, end)) = ordered_range(start, end, text.len() as u64) else {
        return reply.bulk(b"");
    };
    let range = start as usize..=end as usize;
    match string {
        Str::Blob(b) if end - start >= resp::reply::SHARE_MIN as u64 => {
            reply.bulk_shared(context::shared(b.share()).slice(range));
        }
        _ => reply.bulk(&text[range]),
    }
}

const APPEND: Command = Command {
    spec: Spec {
        name: "append",
        group: "string",
        since: "2.0.0",
        arity: 3,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::INSERT))],
        summary: "Adds bytes to the end of a string, which starts empty if there is no key.",
        complexity: "O(N) with N the length of the value, amortized over many calls.",
        arguments: &[KEY, VALUE],
        ..Spec::DEFAULT
    },
    form: Form::Local(append),
};

fn append(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let value = ctx.args.get(2);
    let Some(old) = ctx.string(key, Look::Touch)? else {
        ctx.set(key, 2, Expiry::Clear);
        ctx.notify(Class::STRING, "append", key);
        ctx.reply.int(value.len() as i64);
        return Ok(Effect::Wrote);
    };
    let from = Text::from(old).len();
    let len = check_length(from, value.len(), ctx.settings.max_string)?;
    ctx.shard.edit(ctx.db, key, len, |bytes| {
        bytes[from..].copy_from_slice(value);
    })?;
    ctx.notify(Class::STRING, "append", key);
    ctx.reply.int(len as i64);
    Ok(Effect::Wrote)
}

const SETRANGE: Command = Command {
    spec: Spec {
        name: "setrange",
        group: "string",
        since: "2.2.0",
        arity: 4,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
        summary: "Overwrites a string from a position on, filling up with zero bytes before it.",
        complexity: "O(N) with N the length of the value, and of the zero bytes if there are any.",
        arguments: &[KEY, Argument::new("offset", Kind::Integer), VALUE],
        ..Spec::DEFAULT
    },
    form: Form::Local(setrange),
};

fn setrange(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let offset =
        usize::try_from(ctx.integer(2)?).map_err(|_| Error::new("ERR offset is out of range"))?;
    let value = ctx.args.get(3);
    let len = match ctx.string(key, Look::Touch)? {
        None => 0,
        Some(old) => Text::from(old).len(),
    };
    if value.is_empty() {
        ctx.reply.int(len as i64);
        return Ok(Effect::Read);
    }
    let end = check_length(offset, value.len(), ctx.settings.max_string)?;
    ctx.shard.edit(ctx.db, key, end, |bytes| {
        bytes[offset..end].copy_from_slice(value);
    })?;
    ctx.notify(Class::STRING, "setrange", key);
    ctx.reply.int(len.max(end) as i64);
    Ok(Effect::Wrote)
}

#[cfg(test)]
mod tests;
