//! Commands on sorted sets that wait for a member: BZPOPMIN, BZPOPMAX, BZMPOP.

use super::remove::{POP, pop_first, popped};
use super::{KEY, reply_score};
use crate::blocking::{self, Blocking};
use crate::context::Context;
use crate::keyspec::KeySpec;
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use store::shard::Type;
use store::zset::{Direction, Zset};
use store::{Class, Collection};

const TIMEOUT: Argument = Argument::new("timeout", Kind::Double);
const FRACTIONS: &[(&str, &str)] = &[("6.0.0", "Fractions of seconds.")];

const FIRST_KEY: Blocking = Blocking {
    wait: |args, now_ms| blocking::seconds(args, args.len() - 1, now_ms),
    alone: blocking::name_key_timeout,
    ready: |ctx| is_zset(ctx, 1),
};

fn is_zset(ctx: &mut Context<'_>, at: usize) -> bool {
    let key = ctx.key(at);
    blocking::has(ctx, key, Type::Zset)
}

pub(super) const BZPOPMIN: Command = Command {
    spec: Spec {
        name: "bzpopmin",
        group: "sorted-set",
        since: "5.0.0",
        arity: -3,
        flags: Flags::WRITE.or(Flags::BLOCKING).or(Flags::FAST),
        keys: &[KeySpec::range(1, -2, 1, POP)],
        summary: "Removes the member with the lowest score from the first of several sorted sets that is \
                  not empty and answers it, and waits for one if there is none.",
        complexity: "O(log N) with N members.",
        arguments: &[KEY.multiple(), TIMEOUT],
        history: FRACTIONS,
        blocking: Some(FIRST_KEY),
        ..Spec::DEFAULT
    },
    form: Form::Gather(bzpopmin, None),
};

fn bzpopmin(ctx: &mut Context<'_>) -> Outcome {
    pop_one(ctx, Direction::Up)
}

pub(super) const BZPOPMAX: Command = Command {
    spec: Spec {
        name: "bzpopmax",
        group: "sorted-set",
        since: "5.0.0",
        arity: -3,
        flags: Flags::WRITE.or(Flags::BLOCKING).or(Flags::FAST),
        keys: &[KeySpec::range(1, -2, 1, POP)],
        summary: "Removes the member with the highest score from the first of several sorted sets that \
                  is not empty and answers it, and waits for one if there is none.",
        complexity: "O(log N) with N members.",
        arguments: &[KEY.multiple(), TIMEOUT],
        history: FRACTIONS,
        blocking: Some(FIRST_KEY),
        ..Spec::DEFAULT
    },
    form: Form::Gather(bzpopmax, None),
};

fn bzpopmax(ctx: &mut Context<'_>) -> Outcome {
    pop_one(ctx, Direction::Down)
}

fn pop_one(ctx: &mut Context<'_>, from: Direction) -> Outcome {
    let last = ctx.args.len() - 1;
    let wait = blocking::seconds(ctx.args, last, ctx.shard.now_ms())?;
    for i in 1..last {
        let key = ctx.key(i);
        if let Some(mut zset) = ctx.shard.open::<Zset>(ctx.db, key)? {
            ctx.reply.array(3);
            ctx.reply.bulk(key.bytes);
            let rank = match from {
                Direction::Up => 0,
                Direction::Down => zset.len().saturating_sub(1),
            };
            zset.remove_ranks(rank..rank + 1, |member, score| {
                Context::reply_element(ctx.reply, member);
                reply_score(ctx.reply, score);
            });
            zset.close_as(true, Class::ZSET, popped(from));
            ctx.effects.tell_popped(popped(from), key.bytes, 1);
            return Ok(Effect::Wrote);
        }
    }
    ctx.reply.null_array();
    Ok(blocking::blocked(wait))
}

pub(super) const BZMPOP: Command = Command {
    spec: Spec {
        name: "bzmpop",
        group: "sorted-set",
        since: "7.0.0",
        arity: -5,
        flags: Flags::WRITE.or(Flags::BLOCKING),
        keys: &[KeySpec::counted(2, 1, POP)],
        summary: "Removes members with the lowest or highest scores from the first of several sorted \
                  sets that is not empty and answers them, and waits for one if there is none.",
        complexity: "O(K + M log N) with K keys, N members and M of them removed.",
        arguments: &[
            TIMEOUT,
            Argument::new("numkeys", Kind::Integer),
            KEY.multiple(),
            Argument::one_of(
                "where",
                &[Argument::token("min", "MIN"), Argument::token("max", "MAX")],
            ),
            Argument::new("count", Kind::Integer)
                .with_token("COUNT")
                .optional(),
        ],
        blocking: Some(Blocking {
            wait: |args, now_ms| blocking::seconds(args, 1, now_ms),
            alone: blocking::timeout_counted_keys,
            ready: |ctx| is_zset(ctx, 3),
        }),
        ..Spec::DEFAULT
    },
    form: Form::Gather(bzmpop, None),
};

fn bzmpop(ctx: &mut Context<'_>) -> Outcome {
    let wait = blocking::seconds(ctx.args, 1, ctx.shard.now_ms())?;
    if pop_first(ctx, 2)? {
        return Ok(Effect::Wrote);
    }
    ctx.reply.null_array();
    Ok(blocking::blocked(wait))
}
