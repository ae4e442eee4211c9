//! Lists: LPUSH, LRANGE, LMOVE and their kin.
//!
//! Rows stand beside their handlers: here those that add to one list, read it, or change its middle;
//! those that take elements away, and may put them into another list, have a file of their own.

mod block;
mod pop;
mod search;
#[cfg(test)]
mod tests;

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form};
use crate::spec::{Outcome, Spec, Weight};
use crate::string::wrote;
use resp::Args;
use store::list::{End, List, Place};
use store::{Class, Collection, Limits, Look};

pub static COMMANDS: &[Command] = &[
    block::BLMOVE,
    block::BLMPOP,
    block::BLPOP,
    block::BRPOP,
    block::BRPOPLPUSH,
    LINDEX,
    LINSERT,
    LLEN,
    pop::LMOVE,
    pop::LMPOP,
    pop::LPOP,
    search::LPOS,
    LPUSH,
    LPUSHX,
    LRANGE,
    search::LREM,
    LSET,
    LTRIM,
    pop::RPOP,
    pop::RPOPLPUSH,
    RPUSH,
    RPUSHX,
];

const KEY: Argument = Argument::key("key", 0);
const ELEMENT: Argument = Argument::new("element", Kind::String);
const ELEMENTS: &[Argument] = &[KEY, ELEMENT.multiple()];
const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const INSERT: KeyFlags = KeyFlags::RW.or(KeyFlags::INSERT);
const DELETE: KeyFlags = KeyFlags::RW.or(KeyFlags::DELETE);
const TAKE: KeyFlags = DELETE.or(KeyFlags::ACCESS);
const GROWS: Flags = Flags::WRITE.or(Flags::DENYOOM);

/// Argument `i` as an integer from `min` up, or the complaint.
fn at_least(ctx: &Context<'_>, i: usize, min: i64, complaint: &'static str) -> Result<i64, Error> {
    let value = ctx.integer(i).ok().filter(|value| *value >= min);
    value.ok_or(Error::fixed(complaint))
}

/// An element of an argument, which has to fit into a list.
fn element<'a>(args: Args<'a>, i: usize) -> Result<&'a [u8], Error> {
    let text = args.get(i);
    if text.len() > List::ELEMENT_MAX {
        return Err(Error::STRING_TOO_LONG);
    }
    Ok(text)
}

/// The first index and the number of what `start` and `stop` select of `len` elements, negative ones
/// counted from the tail.
fn range(start: i64, stop: i64, len: usize) -> Option<(usize, usize)> {
    let len = len as i64;
    let from_head = |i: i64| if i < 0 { i + len } else { i };
    let (first, last) = (from_head(start).max(0), from_head(stop).min(len - 1));
    (first <= last).then(|| (first as usize, (last - first + 1) as usize))
}

/// How long the list at argument `i` is, without a trace.
fn length(ctx: &mut Context<'_>, i: usize) -> usize {
    let key = ctx.key(i);
    let item = ctx.shard.look(ctx.db, key, Look::Peek);
    item.map_or(0, |item| item.elements())
}

/// Elements between the indexes of arguments 2 and 3.
fn ranged(ctx: &mut Context<'_>) -> usize {
    let (Ok(start), Ok(stop)) = (ctx.integer(2), ctx.integer(3)) else {
        return 0;
    };
    range(start, stop, length(ctx, 1)).map_or(0, |(_, n)| n)
}

/// What LTRIM's work is in elements: it frees packs of hundreds.
fn trimmed(ctx: &mut Context<'_>) -> usize {
    (length(ctx, 1) - ranged(ctx)) / 256
}

/// The event of elements added at an end.
fn pushed(end: End) -> &'static str {
    match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    }
}

/// The event of elements removed from an end.
fn popped(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    }
}

const LPUSH: Command = Command {
    spec: Spec {
        name: "lpush",
        group: "list",
        arity: -3,
        flags: GROWS.or(Flags::FAST),
        keys: &[KeySpec::one(1, INSERT)],
        summary: "Adds elements at the head of a list, one after the other, and answers its length.",
        complexity: "O(N) with N the elements added.",
        arguments: ELEMENTS,
        history: &[("2.4.0", "Takes several elements.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(lpush),
};

fn lpush(ctx: &mut Context<'_>) -> Outcome {
    push(ctx, End::Head)
}

const RPUSH: Command = Command {
    spec: Spec {
        name: "rpush",
        group: "list",
        arity: -3,
        flags: GROWS.or(Flags::FAST),
        keys: &[KeySpec::one(1, INSERT)],
        summary: "Adds elements at the tail of a list, and answers its length.",
        complexity: "O(N) with N the elements added.",
        arguments: ELEMENTS,
        history: &[("2.4.0", "Takes several elements.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(rpush),
};

fn rpush(ctx: &mut Context<'_>) -> Outcome {
    push(ctx, End::Tail)
}

fn push(ctx: &mut Context<'_>, end: End) -> Outcome {
    let key = ctx.key(1);
    let bytes = pushed_bytes(ctx.args)?;
    let mut list = ctx.shard.create::<List>(ctx.db, key)?;
    add(&mut list, &ctx.settings.limits, ctx.args, end, bytes);
    ctx.reply.int(list.len() as i64);
    list.close_as(true, Class::LIST, pushed(end));
    Ok(Effect::Wrote)
}

/// Bytes of all arguments behind the key, which are elements.
#[inline]
fn pushed_bytes(args: Args<'_>) -> Result<usize, Error> {
    (2..args.len()).try_fold(0, |sum, i| Ok(sum + element(args, i)?.len()))
}

/// Adds all arguments behind the key.
#[inline]
fn add(list: &mut List, limits: &Limits, args: Args<'_>, end: End, bytes: usize) {
    list.make_room(limits, args.len() - 2, bytes);
    (2..args.len()).for_each(|i| list.push(end, args.get(i)));
}

const LPUSHX: Command = Command {
    spec: Spec {
        name: "lpushx",
        group: "list",
        since: "2.2.0",
        arity: -3,
        flags: GROWS.or(Flags::FAST),
        keys: &[KeySpec::one(1, INSERT)],
        summary: "Adds elements at the head of a list that exists, and answers its length.",
        complexity: "O(N) with N the elements added.",
        arguments: ELEMENTS,
        history: &[("4.0.0", "Takes several elements.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(lpushx),
};

fn lpushx(ctx: &mut Context<'_>) -> Outcome {
    push_if_there(ctx, End::Head)
}

const RPUSHX: Command = Command {
    spec: Spec {
        name: "rpushx",
        group: "list",
        since: "2.2.0",
        arity: -3,
        flags: GROWS.or(Flags::FAST),
        keys: &[KeySpec::one(1, INSERT)],
        summary: "Adds elements at the tail of a list that exists, and answers its length.",
        complexity: "O(N) with N the elements added.",
        arguments: ELEMENTS,
        history: &[("4.0.0", "Takes several elements.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(rpushx),
};

fn rpushx(ctx: &mut Context<'_>) -> Outcome {
    push_if_there(ctx, End::Tail)
}

fn push_if_there(ctx: &mut Context<'_>, end: End) -> Outcome {
    let key = ctx.key(1);
    let bytes = pushed_bytes(ctx.args)?;
    let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    add(&mut list, &ctx.settings.limits, ctx.args, end, bytes);
    ctx.reply.int(list.len() as i64);
    list.close_as(true, Class::LIST, pushed(end));
    Ok(Effect::Wrote)
}

const LLEN: Command = Command {
    spec: Spec {
        name: "llen",
        group: "list",
        arity: 2,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Answers how many elements a list has.",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(llen),
};

fn llen(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let list = ctx.shard.read::<List>(ctx.db, key, Look::Use)?;
    ctx.reply.int(list.map_or(0, |list| list.len() as i64));
    Ok(Effect::Read)
}

const LRANGE: Command = Command {
    spec: Spec {
        name: "lrange",
        group: "list",
        arity: 4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the elements of a list between two indexes.",
        complexity: "O(N + S / 400) with N the elements answered and S those from there to the closer end.",
        arguments: &[
            KEY,
            Argument::new("start", Kind::Integer),
            Argument::new("stop", Kind::Integer),
        ],
        weight: Weight::Of(ranged),
        ..Spec::DEFAULT
    },
    form: Form::Local(lrange),
};

fn lrange(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let (start, stop) = (ctx.integer(2)?, ctx.integer(3)?);
    let list = ctx.shard.read::<List>(ctx.db, key, Look::Use)?;
    let found = list.and_then(|list| {
        let (first, n) = range(start, stop, list.len())?;
        Some((list, first, n))
    });
    let Some((list, first, n)) = found else {
        ctx.reply.array(0);
        return Ok(Effect::Read);
    };
    ctx.reply.array(n);
    list.walk(End::Head, first, n, |element| {
        Context::reply_element(ctx.reply, element);
        true
    });
    Ok(Effect::Read)
}

const LINDEX: Command = Command {
    spec: Spec {
        name: "lindex",
        group: "list",
        arity: 3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the element of a list at an index.",
        complexity: "O(N / 400) with N the elements from there to the closer end.",
        arguments: &[KEY, Argument::new("index", Kind::Integer)],
        ..Spec::DEFAULT
    },
    form: Form::Local(lindex),
};

fn lindex(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let index = ctx.integer(2);
    let Some(list) = ctx.shard.read::<List>(ctx.db, key, Look::Use)? else {
        ctx.reply.null();
        return Ok(Effect::Read);
    };
    match list.index(index?).and_then(|index| list.get(index)) {
        None => ctx.reply.null(),
        Some(element) => Context::reply_element(ctx.reply, element),
    }
    Ok(Effect::Read)
}

const LSET: Command = Command {
    spec: Spec {
        name: "lset",
        group: "list",
        arity: 4,
        flags: GROWS,
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
        summary: "Replaces the element of a list at an index.",
        complexity: "O(N / 400) with N the elements from there to the closer end.",
        arguments: &[KEY, Argument::new("index", Kind::Integer), ELEMENT],
        ..Spec::DEFAULT
    },
    form: Form::Local(lset),
};

fn lset(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let index = ctx.integer(2);
    let text = element(ctx.args, 3)?;
    let list = ctx.shard.open::<List>(ctx.db, key)?;
    let mut list = list.ok_or(Error::NO_SUCH_KEY)?;
    let index = list.index(index?);
    list.make_room(&ctx.settings.limits, 1, text.len());
    list.set(index.ok_or(Error::INDEX_RANGE)?, text);
    list.shrink(&ctx.settings.limits);
    list.close_as(true, Class::LIST, "lset");
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

const LTRIM: Command = Command {
    spec: Spec {
        name: "ltrim",
        group: "list",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, DELETE)],
        summary: "Removes the elements of a list that are not between two indexes.",
        complexity: "O(N / 400) with N the elements removed.",
        arguments: &[
            KEY,
            Argument::new("start", Kind::Integer),
            Argument::new("stop", Kind::Integer),
        ],
        weight: Weight::Of(trimmed),
        ..Spec::DEFAULT
    },
    form: Form::Local(ltrim),
};

fn ltrim(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let (start, stop) = (ctx.integer(2)?, ctx.integer(3)?);
    let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? else {
        ctx.reply.ok();
        return Ok(Effect::Read);
    };
    ctx.reply.ok();
    let len = list.len();
    let (first, n) = range(start, stop, len).unwrap_or((len, 0));
    list.cut(End::Tail, len - first - n);
    list.cut(End::Head, first);
    let changed = list.len() < len;
    list.shrink(&ctx.settings.limits);
    list.notify(Class::LIST, "ltrim");
    list.close(changed);
    Ok(wrote(changed))
}

const LINSERT: Command = Command {
    spec: Spec {
        name: "linsert",
        group: "list",
        since: "2.2.0",
        arity: 5,
        flags: GROWS,
        keys: &[KeySpec::one(1, INSERT)],
        summary: "Adds an element before or behind the first one like a given one, and answers the length.",
        complexity: "O(N) with N the elements up to the given one.",
        arguments: &[
            KEY,
            Argument::one_of(
                "where",
                &[
                    Argument::token("before", "BEFORE"),
                    Argument::token("after", "AFTER"),
                ],
            ),
            Argument::new("pivot", Kind::String),
            ELEMENT,
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Local(linsert),
};

fn linsert(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let place = match ctx.args {
        args if args.is(2, "BEFORE") => Place::Before,
        args if args.is(2, "AFTER") => Place::After,
        _ => return Err(Error::SYNTAX),
    };
    let (pivot, text) = (ctx.args.get(3), element(ctx.args, 4)?);
    let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    // As in Redis, the list may become a long one even if the element is not found.
    list.make_room(&ctx.settings.limits, 1, text.len());
    let found = list.find(pivot);
    if let Some(index) = found {
        list.insert(index, place, text);
    }
    ctx.reply.int(found.map_or(-1, |_| list.len() as i64));
    list.close_as(found.is_some(), Class::LIST, "linsert");
    Ok(wrote(found.is_some()))
}
