//! Entries of a range: XRANGE, XREVRANGE, XLEN.

use super::{COUNT, KEY, READ, WEIGHED, parse_interval, reply_entries};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use store::Look;
use store::stream::{Id, Stream};

const START: Argument = Argument::new("start", Kind::String);
const END: Argument = Argument::new("end", Kind::String);

const RANGE: Spec = Spec {
    group: "stream",
    since: "5.0.0",
    arity: -4,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(1, READ)],
    complexity: "O(log(N)+M) with N entries in the stream of which M are answered",
    history: &[("6.2.0", "Takes ends that are excluded.")],
    ..Spec::DEFAULT
};

pub(super) const XRANGE: Command = Command {
    spec: Spec {
        name: "xrange",
        summary: "Answers the entries of a range of ids.",
        arguments: &[KEY, START, END, COUNT],
        weight: Weight::Of(|ctx| weigh(ctx, Direction::Forward)),
        ..RANGE
    },
    form: Form::Local(xrange),
};

fn xrange(ctx: &mut Context<'_>) -> Outcome {
    range(ctx, Direction::Forward)
}

pub(super) const XREVRANGE: Command = Command {
    spec: Spec {
        name: "xrevrange",
        summary: "Answers the entries of a range of ids, the last first.",
        arguments: &[KEY, END, START, COUNT],
        weight: Weight::Of(|ctx| weigh(ctx, Direction::Backward)),
        ..RANGE
    },
    form: Form::Local(xrevrange),
};

fn xrevrange(ctx: &mut Context<'_>) -> Outcome {
    range(ctx, Direction::Backward)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// What is asked for.
struct Asked {
    start: Id,
    end: Id,
    count: usize,
}

impl Asked {
    fn parse(ctx: &Context<'_>, direction: Direction) -> Result<Asked, Error> {
        let (start, end) = match direction {
            Direction::Forward => (2, 3),
            Direction::Backward => (3, 2),
        };
        let (start, end) = parse_interval(ctx.args.get(start), ctx.args.get(end))?;
        let mut count = usize::MAX;
        let mut i = 4;
        while i < ctx.args.len() {
            if !ctx.args.is(i, "count") || i + 1 == ctx.args.len() {
                return Err(Error::SYNTAX);
            }
            count = usize::try_from(ctx.integer(i + 1)?).unwrap_or(0);
            i += 2;
        }
        Ok(Asked { start, end, count })
    }
}

fn weigh(ctx: &mut Context<'_>, direction: Direction) -> usize {
    let Ok(asked) = Asked::parse(ctx, direction) else {
        return 0;
    };
    let key = ctx.key(1);
    match ctx.shard.read::<Stream>(ctx.db, key, Look::Peek) {
        Ok(Some(stream)) => {
            let most = asked.count.min(WEIGHED);
            stream.log().about(asked.start, asked.end, most)
        }
        _ => 0,
    }
}

fn range(ctx: &mut Context<'_>, direction: Direction) -> Outcome {
    let Asked { start, end, count } = Asked::parse(ctx, direction)?;
    let key = ctx.key(1);
    let Some(stream) = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)? else {
        ctx.reply.array(0);
        return Ok(Effect::Read);
    };
    let log = stream.log();
    match direction {
        _ if count == 0 => ctx.reply.null_array(),
        Direction::Forward => reply_entries(ctx.reply, log.range(start, end).take(count)),
        Direction::Backward => reply_entries(ctx.reply, log.range_back(start, end).take(count)),
    }
    Ok(Effect::Read)
}

pub(super) const XLEN: Command = Command {
    spec: Spec {
        name: "xlen",
        group: "stream",
        since: "5.0.0",
        arity: 2,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Counts the entries of a stream.",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(xlen),
};

fn xlen(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?;
    let len = stream.map_or(0, |stream| stream.log().len());
    ctx.reply.int(len as i64);
    Ok(Effect::Read)
}
