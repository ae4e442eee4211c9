//! Removing members, by name or from an end: ZREM, ZPOPMIN and their kin.

use super::{KEY, MEMBER, in_pairs, reply_member};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use resp::number::parse_i64;
use resp::{Args, Reply};
use store::zset::{Direction, Zset};
use store::{Class, Collection, Look};

pub(super) const POP: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE);

pub(super) const ZREM: Command = Command {
    spec: Spec {
        name: "zrem",
        group: "sorted-set",
        since: "1.2.0",
        arity: -3,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::DELETE))],
        summary: "Removes members from a sorted set.",
        complexity: "O(M log N) with N members, M of which are removed.",
        arguments: &[KEY, MEMBER.multiple()],
        history: &[("2.4.0", "Takes several members.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(zrem),
};

fn zrem(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let mut removed = 0;
    if let Some(mut zset) = ctx.shard.open::<Zset>(ctx.db, key)? {
        for member in ctx.args.from(2).iter() {
            removed += i64::from(zset.remove(member).is_some());
        }
        zset.close_as(removed > 0, Class::ZSET, "zrem");
    }
    ctx.reply.int(removed);
    Ok(Effect::wrote_if(removed > 0))
}

/// The event of elements removed from an end.
pub(super) fn popped(from: Direction) -> &'static str {
    match from {
        Direction::Up => "zpopmin",
        Direction::Down => "zpopmax",
    }
}

/// Removes up to `n` elements from an end, each written as a member with its score.
fn pop(zset: &mut Zset, n: usize, from: Direction, reply: &mut Reply) {
    let len = zset.len();
    match from {
        Direction::Up => {
            zset.remove_ranks(0..n, |member, score| {
                reply_member(reply, member, score, true);
            });
        }
        Direction::Down => {
            for (member, score) in zset.range(len.saturating_sub(1), n, from) {
                reply_member(reply, member, score, true);
            }
            zset.remove_ranks(len - n..len, |_, _| {});
        }
    }
}

pub(super) const ZPOPMIN: Command = Command {
    spec: Spec {
        name: "zpopmin",
        group: "sorted-set",
        since: "5.0.0",
        arity: -2,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, POP)],
        summary: "Removes the members with the lowest scores from a sorted set, and answers them.",
        complexity: "O(M log N) with N members, M of which are removed.",
        arguments: &[KEY, Argument::new("count", Kind::Integer).optional()],
        weight: Weight::Of(pop_weight),
        ..Spec::DEFAULT
    },
    form: Form::Local(zpopmin),
};

fn zpopmin(ctx: &mut Context<'_>) -> Outcome {
    pop_key(ctx, Direction::Up)
}

pub(super) const ZPOPMAX: Command = Command {
    spec: Spec {
        name: "zpopmax",
        group: "sorted-set",
        since: "5.0.0",
        arity: -2,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, POP)],
        summary: "Removes the members with the highest scores from a sorted set, and answers them.",
        complexity: "O(M log N) with N members, M of which are removed.",
        arguments: &[KEY, Argument::new("count", Kind::Integer).optional()],
        weight: Weight::Of(pop_weight),
        ..Spec::DEFAULT
    },
    form: Form::Local(zpopmax),
};

fn zpopmax(ctx: &mut Context<'_>) -> Outcome {
    pop_key(ctx, Direction::Down)
}

/// The most that ZPOPMIN and ZPOPMAX will remove.
fn pop_weight(ctx: &mut Context<'_>) -> usize {
    let count = ctx.args.opt(2).and_then(parse_i64).unwrap_or(1);
    let key = ctx.key(1);
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Peek);
    let len = zset.map_or(0, |zset| zset.map_or(0, |zset| zset.len()));
    len.min(usize::try_from(count).unwrap_or(0))
}

fn pop_key(ctx: &mut Context<'_>, from: Direction) -> Outcome {
    let key = ctx.key(1);
    if ctx.args.len() > 3 {
        return Err(Error::SYNTAX);
    }
    let count = match ctx.args.opt(2) {
        None => None,
        Some(text) => {
            let count = parse_i64(text).and_then(|n| usize::try_from(n).ok());
            Some(count.ok_or(Error::new("ERR value is out of range, must be positive"))?)
        }
    };
    let Some(mut zset) = ctx.shard.open::<Zset>(ctx.db, key)? else {
        ctx.reply.array(0);
        return Ok(Effect::Read);
    };
    let n = count.unwrap_or(1).min(zset.len());
    match count {
        // One element alone is no array of pairs in any protocol.
        None if in_pairs(ctx.reply) => {}
        Some(_) if in_pairs(ctx.reply) => ctx.reply.array(n),
        _ => ctx.reply.array(2 * n),
    }
    pop(&mut zset, n, from, ctx.reply);
    zset.close_as(n > 0, Class::ZSET, popped(from));
    Ok(Effect::wrote_if(n > 0))
}

/// What ZMPOP is told.
struct Request {
    keys: usize,
    from: Direction,
    count: usize,
}

/// The most that ZMPOP will remove.
fn zmpop_weight(ctx: &mut Context<'_>) -> usize {
    request(ctx.args, 1).map_or(0, |request| request.count)
}

/// Reads a request whose number of keys is an argument's.
fn request(args: Args<'_>, at: usize) -> Result<Request, Error> {
    let positive = |i: usize| {
        let n = parse_i64(args.get(i)).and_then(|n| usize::try_from(n).ok());
        n.filter(|n| *n > 0)
    };
    let keys = positive(at).ok_or(Error::new("ERR numkeys should be greater than 0"))?;
    let side = at.saturating_add(keys).saturating_add(1);
    let from = match args.opt(side) {
        Some(word) if word.eq_ignore_ascii_case(b"min") => Direction::Up,
        Some(word) if word.eq_ignore_ascii_case(b"max") => Direction::Down,
        _ => return Err(Error::SYNTAX),
    };
    let mut count = None;
    let mut i = side + 1;
    while i < args.len() {
        if count.is_some() || !args.is(i, "count") || i + 1 >= args.len() {
            return Err(Error::SYNTAX);
        }
        let n = positive(i + 1).ok_or(Error::new("ERR count should be greater than 0"))?;
        count = Some(n);
        i += 2;
    }
    Ok(Request {
        keys,
        from,
        count: count.unwrap_or(1),
    })
}

pub(super) const ZMPOP: Command = Command {
    spec: Spec {
        name: "zmpop",
        group: "sorted-set",
        since: "7.0.0",
        arity: -4,
        flags: Flags::WRITE.or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::counted(1, 1, POP)],
        summary: "Removes members with the lowest or highest scores from the first of several sorted sets that is not empty, and answers them.",
        complexity: "O(K + M log N) with K keys, N members and M of them removed.",
        arguments: &[
            Argument::new("numkeys", Kind::Integer),
            Argument::key("key", 0).multiple(),
            Argument::one_of(
                "where",
                &[Argument::token("min", "MIN"), Argument::token("max", "MAX")],
            ),
            Argument::new("count", Kind::Integer)
                .with_token("COUNT")
                .optional(),
        ],
        weight: Weight::Of(zmpop_weight),
        ..Spec::DEFAULT
    },
    form: Form::Gather(zmpop, None),
};

fn zmpop(ctx: &mut Context<'_>) -> Outcome {
    match pop_first(ctx, 1)? {
        true => Ok(Effect::Wrote),
        false => {
            ctx.reply.null_array();
            Ok(Effect::Read)
        }
    }
}

/// What ZMPOP does, whose number of keys is argument `at`; false if there is no member.
pub(super) fn pop_first(ctx: &mut Context<'_>, at: usize) -> Result<bool, Error> {
    let request = request(ctx.args, at)?;
    for i in at + 1..at + 1 + request.keys {
        let key = ctx.key(i);
        let Some(mut zset) = ctx.shard.open::<Zset>(ctx.db, key)? else {
            continue;
        };
        let n = request.count.min(zset.len());
        ctx.reply.array(2);
        ctx.reply.bulk(key.bytes);
        ctx.reply.array(n);
        let nested = !in_pairs(ctx.reply);
        for _ in 0..n {
            if nested {
                ctx.reply.array(2);
            }
            pop(&mut zset, 1, request.from, ctx.reply);
        }
        zset.close_as(true, Class::ZSET, popped(request.from));
        ctx.effects.tell_popped(popped(request.from), key.bytes, n);
        return Ok(true);
    }
    Ok(false)
}
