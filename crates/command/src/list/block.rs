//! Commands on lists that wait for an element: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.

use super::pop::{DESTINATION, ENDS, SOURCE, end, pop_first, shift};
use super::{GROWS, INSERT, KEY, TAKE, popped};
use crate::blocking::{self, Blocking, Wait};
use crate::context::Context;
use crate::keyspec::KeySpec;
use crate::spec::{Argument, ArgumentKind as Kind, Command, Deprecated, Effect, Flags, Form};
use crate::spec::{Outcome, Spec};
use resp::Pack;
use store::Class;
use store::list::{End, List};
use store::shard::Type;

const TIMEOUT: Argument = Argument::new("timeout", Kind::Double);
const POPS: Flags = Flags::WRITE.or(Flags::BLOCKING);
const FRACTIONS: &[(&str, &str)] = &[("6.0.0", "Fractions of seconds.")];

/// What waits for the list at argument 1, with the timeout behind all else.
const FIRST_KEY: Blocking = Blocking {
    wait: |args, now_ms| blocking::seconds(args, args.len() - 1, now_ms),
    alone: blocking::name_key_timeout,
    ready: |ctx| is_list(ctx, 1),
};

fn is_list(ctx: &mut Context<'_>, at: usize) -> bool {
    let key = ctx.key(at);
    blocking::has(ctx, key, Type::List)
}

pub(super) const BLPOP: Command = Command {
    spec: Spec {
        name: "blpop",
        group: "list",
        since: "2.0.0",
        arity: -3,
        flags: POPS,
        keys: &[KeySpec::range(1, -2, 1, TAKE)],
        summary: "Removes and answers the element at the head of the first of several lists that \
                  exists, and waits for one if there is none.",
        complexity: "O(N) with N the keys.",
        arguments: &[KEY.multiple(), TIMEOUT],
        history: FRACTIONS,
        blocking: Some(FIRST_KEY),
        ..Spec::DEFAULT
    },
    form: Form::Gather(blpop, None),
};

fn blpop(ctx: &mut Context<'_>) -> Outcome {
    pop(ctx, End::Head)
}

pub(super) const BRPOP: Command = Command {
    spec: Spec {
        name: "brpop",
        group: "list",
        since: "2.0.0",
        arity: -3,
        flags: POPS,
        keys: &[KeySpec::range(1, -2, 1, TAKE)],
        summary: "Removes and answers the element at the tail of the first of several lists that \
                  exists, and waits for one if there is none.",
        complexity: "O(N) with N the keys.",
        arguments: &[KEY.multiple(), TIMEOUT],
        history: FRACTIONS,
        blocking: Some(FIRST_KEY),
        ..Spec::DEFAULT
    },
    form: Form::Gather(brpop, None),
};

fn brpop(ctx: &mut Context<'_>) -> Outcome {
    pop(ctx, End::Tail)
}

fn pop(ctx: &mut Context<'_>, from: End) -> Outcome {
    let last = ctx.args.len() - 1;
    let wait = blocking::seconds(ctx.args, last, ctx.shard.now_ms())?;
    for i in 1..last {
        let key = ctx.key(i);
        if let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? {
            ctx.reply.array(2);
            ctx.reply.bulk(key.bytes);
            list.pop(from, |element| Context::reply_element(ctx.reply, element));
            list.shrink(&ctx.settings.limits);
            list.close_as(true, Class::LIST, popped(from));
            ctx.effects.tell_popped(popped(from), key.bytes, 1);
            return Ok(Effect::Wrote);
        }
    }
    ctx.reply.null_array();
    Ok(blocking::blocked(wait))
}

pub(super) const BLMPOP: Command = Command {
    spec: Spec {
        name: "blmpop",
        group: "list",
        since: "7.0.0",
        arity: -5,
        flags: POPS,
        keys: &[KeySpec::counted(2, 1, TAKE)],
        summary: "Removes and answers elements at an end of the first of several lists that exists, \
                  and waits for one if there is none.",
        complexity: "O(N + M) with N the keys and M the elements answered.",
        arguments: &[
            TIMEOUT,
            Argument::new("numkeys", Kind::Integer),
            KEY.multiple(),
            Argument::one_of("where", ENDS),
            Argument::new("count", Kind::Integer)
                .with_token("COUNT")
                .optional(),
        ],
        blocking: Some(Blocking {
            wait: |args, now_ms| blocking::seconds(args, 1, now_ms),
            alone: blocking::timeout_counted_keys,
            ready: |ctx| is_list(ctx, 3),
        }),
        ..Spec::DEFAULT
    },
    form: Form::Gather(blmpop, None),
};

fn blmpop(ctx: &mut Context<'_>) -> Outcome {
    let wait = blocking::seconds(ctx.args, 1, ctx.shard.now_ms())?;
    if pop_first(ctx, 2)? {
        return Ok(Effect::Wrote);
    }
    ctx.reply.null_array();
    Ok(blocking::blocked(wait))
}

/// What moves an element waits for the source, and needs both keys for that.
const SOURCE_ONLY: Blocking = Blocking {
    alone: whole_for_source,
    ..FIRST_KEY
};

fn whole_for_source(ctx: &mut Context<'_>, at: usize, call: &mut Pack) -> bool {
    if at == 1 {
        call.push(ctx.args);
    }
    at == 1
}

pub(super) const BLMOVE: Command = Command {
    spec: Spec {
        name: "blmove",
        group: "list",
        since: "6.2.0",
        arity: 6,
        flags: GROWS.or(Flags::BLOCKING),
        keys: &[KeySpec::one(1, TAKE), KeySpec::one(2, INSERT)],
        summary: "Moves an element from an end of a list to an end of another and answers it, and waits \
                  for one if there is none.",
        arguments: &[
            SOURCE,
            DESTINATION,
            Argument::one_of("wherefrom", ENDS),
            Argument::one_of("whereto", ENDS),
            TIMEOUT,
        ],
        blocking: Some(SOURCE_ONLY),
        ..Spec::DEFAULT
    },
    form: Form::Gather(blmove, None),
};

fn blmove(ctx: &mut Context<'_>) -> Outcome {
    let (from, to) = (end(ctx.args, 3)?, end(ctx.args, 4)?);
    let wait = blocking::seconds(ctx.args, 5, ctx.shard.now_ms())?;
    shift_or_wait(ctx, from, to, wait)
}

pub(super) const BRPOPLPUSH: Command = Command {
    spec: Spec {
        name: "brpoplpush",
        group: "list",
        since: "2.2.0",
        arity: 4,
        flags: GROWS.or(Flags::BLOCKING),
        keys: &[KeySpec::one(1, TAKE), KeySpec::one(2, INSERT)],
        summary: "Moves the last element of a list to the head of another and answers it, and waits for \
                  one if there is none.",
        arguments: &[SOURCE, DESTINATION, TIMEOUT],
        history: FRACTIONS,
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`BLMOVE` with the `RIGHT` and `LEFT` arguments",
        }),
        blocking: Some(SOURCE_ONLY),
        ..Spec::DEFAULT
    },
    form: Form::Gather(brpoplpush, None),
};

fn brpoplpush(ctx: &mut Context<'_>) -> Outcome {
    let wait = blocking::seconds(ctx.args, 3, ctx.shard.now_ms())?;
    shift_or_wait(ctx, End::Tail, End::Head, wait)
}

fn shift_or_wait(ctx: &mut Context<'_>, from: End, to: End, wait: Wait) -> Outcome {
    let source = ctx.key(1);
    if ctx.shard.look(ctx.db, source, store::Look::Peek).is_none() {
        ctx.reply.null();
        return Ok(blocking::blocked(wait));
    }
    shift(ctx, from, to)
}
