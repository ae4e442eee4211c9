//! Taking elements away from the ends of lists: LPOP, RPOP and LMPOP; and LMOVE and RPOPLPUSH, which
//! put the element into another list.

use super::{GROWS, INSERT, KEY, TAKE, at_least, length};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::KeySpec;
use crate::spec::{Argument, ArgumentKind as Kind, Command, Deprecated, Effect, Flags, Form};
use crate::spec::{Outcome, Spec, Weight};
use resp::{Args, Reply};
use store::list::{End, List};
use store::shard::Type;
use store::{Class, Collection, Element, Key, Look};

const POPPED: &[Argument] = &[
    KEY,
    Argument::new("count", Kind::Integer)
        .optional()
        .since("6.2.0"),
];

pub(super) const LPOP: Command = Command {
    spec: Spec {
        name: "lpop",
        group: "list",
        arity: -2,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, TAKE)],
        summary: "Removes and answers elements at the head of a list.",
        complexity: "O(N) with N the elements answered.",
        arguments: POPPED,
        history: &[("6.2.0", "The count.")],
        weight: Weight::Of(popped),
        ..Spec::DEFAULT
    },
    form: Form::Local(lpop),
};

fn lpop(ctx: &mut Context<'_>) -> Outcome {
    pop(ctx, End::Head, "lpop")
}

pub(super) const RPOP: Command = Command {
    spec: Spec {
        name: "rpop",
        group: "list",
        arity: -2,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, TAKE)],
        summary: "Removes and answers elements at the tail of a list, the last one first.",
        complexity: "O(N) with N the elements answered.",
        arguments: POPPED,
        history: &[("6.2.0", "The count.")],
        weight: Weight::Of(popped),
        ..Spec::DEFAULT
    },
    form: Form::Local(rpop),
};

fn rpop(ctx: &mut Context<'_>) -> Outcome {
    pop(ctx, End::Tail, "rpop")
}

fn pop(ctx: &mut Context<'_>, end: End, name: &str) -> Outcome {
    match ctx.args.len() {
        2 => {}
        3 => return pop_many(ctx, end),
        _ => return Err(Error::arity(name)),
    }
    let key = ctx.key(1);
    let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? else {
        ctx.reply.null();
        return Ok(Effect::Read);
    };
    list.pop(end, |element| Context::reply_element(ctx.reply, element));
    list.shrink(&ctx.settings.limits);
    list.close_as(true, Class::LIST, super::popped(end));
    Ok(Effect::Wrote)
}

fn pop_many(ctx: &mut Context<'_>, end: End) -> Outcome {
    let key = ctx.key(1);
    const NOT_POSITIVE: Error = Error::fixed("ERR value is out of range, must be positive");
    let count = ctx.integer(2).ok().filter(|count| *count >= 0);
    let count = count.ok_or(NOT_POSITIVE)?;
    let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? else {
        ctx.reply.null_array();
        return Ok(Effect::Read);
    };
    if count == 0 {
        ctx.reply.array(0);
        return Ok(Effect::Read);
    }
    take(&mut list, end, count, ctx.reply);
    list.shrink(&ctx.settings.limits);
    list.close_as(true, Class::LIST, super::popped(end));
    Ok(Effect::Wrote)
}

/// Elements that LPOP or RPOP removes.
fn popped(ctx: &mut Context<'_>) -> usize {
    let count = match ctx.args.len() {
        3 => ctx.integer(2).unwrap_or(0),
        _ => 0,
    };
    up_to(count, || length(ctx, 1))
}

/// Elements that LMPOP removes.
fn popped_of_first(ctx: &mut Context<'_>) -> usize {
    // Without a count, an end stands last.
    let count = ctx.integer(ctx.args.len() - 1).unwrap_or(0);
    let keys = ctx.args.len().saturating_sub(2);
    let mut first = || (2..keys).map(|i| length(ctx, i)).find(|len| *len > 0);
    up_to(count, || first().unwrap_or(0))
}

/// The smaller of a count and a length, which is asked for only if it matters.
fn up_to(count: i64, length: impl FnOnce() -> usize) -> usize {
    match usize::try_from(count) {
        Ok(n @ ..1000) => n,
        Ok(n) => n.min(length()),
        Err(_) => 0,
    }
}

/// Removes up to `count` elements and answers them as an array.
fn take(list: &mut List, end: End, count: i64, reply: &mut Reply) {
    let n = list.len().min(usize::try_from(count).unwrap_or(usize::MAX));
    reply.array(n);
    list.walk(end, 0, n, |element| {
        Context::reply_element(reply, element);
        true
    });
    list.cut(end, n);
}

pub(super) const ENDS: &[Argument] = &[
    Argument::token("left", "LEFT"),
    Argument::token("right", "RIGHT"),
];

/// Argument `i` as an end.
pub(super) fn end(args: Args<'_>, i: usize) -> Result<End, Error> {
    match args.opt(i) {
        Some(_) if args.is(i, "LEFT") => Ok(End::Head),
        Some(_) if args.is(i, "RIGHT") => Ok(End::Tail),
        _ => Err(Error::SYNTAX),
    }
}

pub(super) const LMPOP: Command = Command {
    spec: Spec {
        name: "lmpop",
        group: "list",
        since: "7.0.0",
        arity: -4,
        flags: Flags::WRITE,
        keys: &[KeySpec::counted(1, 1, TAKE)],
        summary: "Removes and answers elements at an end of the first of several lists that exists.",
        complexity: "O(N + M) with N the keys and M the elements answered.",
        arguments: &[
            Argument::new("numkeys", Kind::Integer),
            KEY.multiple(),
            Argument::one_of("where", ENDS),
            Argument::new("count", Kind::Integer)
                .with_token("COUNT")
                .optional(),
        ],
        weight: Weight::Of(popped_of_first),
        ..Spec::DEFAULT
    },
    form: Form::Gather(lmpop, None),
};

fn lmpop(ctx: &mut Context<'_>) -> Outcome {
    match pop_first(ctx, 1)? {
        true => Ok(Effect::Wrote),
        false => {
            ctx.reply.null_array();
            Ok(Effect::Read)
        }
    }
}

/// What LMPOP does, whose number of keys is argument `at`; false if there is no element.
pub(super) fn pop_first(ctx: &mut Context<'_>, at: usize) -> Result<bool, Error> {
    let args = ctx.args;
    let keys = at_least(ctx, at, 1, "ERR numkeys should be greater than 0")?;
    let first = at + 1;
    let place = usize::try_from(keys)
        .ok()
        .and_then(|n| n.checked_add(first));
    let place = place.filter(|i| *i < args.len()).ok_or(Error::SYNTAX)?;
    let end = end(args, place)?;
    let count = match args.len() - place {
        1 => 1,
        3.. if args.is(place + 1, "COUNT") => {
            let count = at_least(ctx, place + 2, 1, "ERR count should be greater than 0")?;
            if args.len() > place + 3 {
                return Err(Error::SYNTAX);
            }
            count
        }
        _ => return Err(Error::SYNTAX),
    };
    for i in first..place {
        let key = ctx.key(i);
        if let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? {
            ctx.reply.array(2);
            ctx.reply.bulk(key.bytes);
            let taken = count.min(list.len() as i64) as usize;
            take(&mut list, end, count, ctx.reply);
            list.shrink(&ctx.settings.limits);
            list.close_as(true, Class::LIST, super::popped(end));
            ctx.effects
                .tell_popped(super::popped(end), key.bytes, taken);
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) const SOURCE: Argument = Argument::key("source", 0);
pub(super) const DESTINATION: Argument = Argument::key("destination", 1);

pub(super) const LMOVE: Command = Command {
    spec: Spec {
        name: "lmove",
        group: "list",
        since: "6.2.0",
        arity: 5,
        flags: GROWS,
        keys: &[KeySpec::one(1, TAKE), KeySpec::one(2, INSERT)],
        summary: "Moves an element from an end of a list to an end of another, and answers it.",
        arguments: &[
            SOURCE,
            DESTINATION,
            Argument::one_of("wherefrom", ENDS),
            Argument::one_of("whereto", ENDS),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Gather(lmove, None),
};

fn lmove(ctx: &mut Context<'_>) -> Outcome {
    let (from, to) = (end(ctx.args, 3)?, end(ctx.args, 4)?);
    shift(ctx, from, to)
}

pub(super) const RPOPLPUSH: Command = Command {
    spec: Spec {
        name: "rpoplpush",
        group: "list",
        since: "1.2.0",
        arity: 3,
        flags: GROWS,
        keys: &[KeySpec::one(1, TAKE), KeySpec::one(2, INSERT)],
        summary: "Moves the last element of a list to the head of another, and answers it.",
        arguments: &[SOURCE, DESTINATION],
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`LMOVE` with the `RIGHT` and `LEFT` arguments",
        }),
        ..Spec::DEFAULT
    },
    form: Form::Gather(rpoplpush, None),
};

fn rpoplpush(ctx: &mut Context<'_>) -> Outcome {
    shift(ctx, End::Tail, End::Head)
}

/// An element on its way, with the bytes that it counts for in the rule of when a list becomes long.
struct Moved(Vec<u8>, usize);

impl Moved {
    fn of(element: Element<'_>) -> Moved {
        let text = element.text().into_owned();
        match element {
            // Redis has it as a number, of which it counts nothing.
            Element::Int(_) => Moved(text, 0),
            Element::Bytes(bytes) => Moved(text, bytes.len()),
        }
    }
}

/// Moves an element between the lists that arguments 1 and 2 name, which may be the same.
pub(super) fn shift(ctx: &mut Context<'_>, from: End, to: End) -> Outcome {
    let (source, target) = (ctx.key(1), ctx.key(2));
    if source.bytes == target.bytes {
        return rotate(ctx, source, from, to);
    }
    let item = ctx.shard.look(ctx.db, target, Look::Peek);
    let fits = item.is_none_or(|item| item.value_type() == Type::List);
    let Some(mut list) = ctx.shard.open::<List>(ctx.db, source)? else {
        ctx.reply.null();
        return Ok(Effect::Read);
    };
    if !fits {
        return Err(Error::WRONG_TYPE);
    }
    let moved = list.pop(from, Moved::of);
    list.shrink(&ctx.settings.limits);
    let gone = list.is_empty();
    list.close(true);
    let Moved(text, bytes) = moved.unwrap_or(Moved(Vec::new(), 0));
    let mut list = ctx.shard.create::<List>(ctx.db, target)?;
    list.make_room(&ctx.settings.limits, 1, bytes);
    list.push(to, &text);
    list.close_as(true, Class::LIST, super::pushed(to));
    let event = super::popped(from);
    ctx.shard
        .notify_loss(Class::LIST, event, ctx.db, source.bytes, gone);
    ctx.reply.bulk(&text);
    tell_shift(ctx, from, to, &text);
    Ok(Effect::Wrote)
}

/// Logs that an element was moved, unless the command itself says it.
fn tell_shift(ctx: &mut Context<'_>, from: End, to: End, text: &[u8]) {
    let (source, target) = (ctx.args.get(1), ctx.args.get(2));
    if ctx.effects.is_apart() && source != target {
        ctx.effects
            .tell([super::popped(from).into(), source.into()]);
        ctx.effects
            .tell([super::pushed(to).into(), target.into(), text.into()]);
        return;
    }
    // The others have a time to wait as the last argument.
    let waits = !matches!(ctx.args.len(), 3 | 5);
    if waits {
        let name = |end| if end == End::Head { "LEFT" } else { "RIGHT" };
        let call = ["LMOVE".into(), source.into(), target.into()];
        let ends = [name(from).into(), name(to).into()];
        ctx.effects.tell(call.into_iter().chain(ends));
    }
}

/// Moves an element from one end of a list to the same or the other one.
fn rotate(ctx: &mut Context<'_>, key: Key<'_>, from: End, to: End) -> Outcome {
    let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? else {
        ctx.reply.null();
        return Ok(Effect::Read);
    };
    if let Some(Moved(text, bytes)) = list.pop(from, Moved::of) {
        list.make_room(&ctx.settings.limits, 1, bytes);
        list.push(to, &text);
        ctx.reply.bulk(&text);
    }
    list.shrink(&ctx.settings.limits);
    list.notify(Class::LIST, super::pushed(to));
    list.close_as(true, Class::LIST, super::popped(from));
    tell_shift(ctx, from, to, &[]);
    Ok(Effect::Wrote)
}
