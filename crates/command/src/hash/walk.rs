//! Going over a hash some fields at a call, and drawing fields at random.

use super::{KEY, READER};
use crate::context::Context;
use crate::cursor::{self, INVALID_CURSOR, Options};
use crate::error::Error;
use crate::spec::Weight;
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::number::{parse_i64, parse_u64_loose};
use resp::{Protocol, Reply};
use store::hash::Hash;
use store::{Collection, Element, Look, Random};

/// What the rows have in common.
const WALKER: Spec = Spec {
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    ..READER
};

pub(super) const HSCAN: Command = Command {
    spec: Spec {
        name: "hscan",
        since: "2.8.0",
        arity: -3,
        summary: "Walks over the fields of a hash, some at a call.",
        complexity: "O(1) a call, O(N) in the fields of the hash for a whole walk.",
        arguments: &[
            KEY,
            Argument::new("cursor", Kind::Integer),
            Argument::new("pattern", Kind::Pattern)
                .with_token("MATCH")
                .optional(),
            Argument::new("count", Kind::Integer)
                .with_token("COUNT")
                .optional(),
            Argument::token("novalues", "NOVALUES").optional(),
        ],
        ..WALKER
    },
    form: Form::Local(hscan),
};

/// Buckets that a call looks at, at most, for each field it was asked for.
const BUCKETS_PER_FIELD: u64 = 10;

fn hscan(ctx: &mut Context<'_>) -> Outcome {
    let mut cursor = parse_u64_loose(ctx.args.get(2)).ok_or(INVALID_CURSOR)?;
    let key = ctx.key(1);
    let now = ctx.shard.now_ms();
    let mut found = Reply::new(ctx.reply.protocol());
    let Some(hash) = ctx.shard.read::<Hash>(ctx.db, key, Look::Use)? else {
        cursor::reply(ctx.reply, 0, 0, &found);
        return Ok(Effect::Read);
    };
    let mut values = true;
    let options = Options::parse(ctx.args, 3, |args, i| {
        if !args.is(i, "novalues") {
            return Err(Error::SYNTAX);
        }
        values = false;
        Ok(1)
    })?;
    let (mut n, mut visited) = (0, 0);
    let mut buckets = options.count.saturating_mul(BUCKETS_PER_FIELD);
    loop {
        cursor = hash.scan(cursor, now, |field, value| {
            visited += 1;
            if !field.with(|field| options.pattern.accepts(field)) {
                return;
            }
            Context::reply_element(&mut found, field);
            if values {
                Context::reply_element(&mut found, value);
            }
            n += 1 + usize::from(values);
        });
        buckets -= 1;
        if cursor == 0 || visited >= options.count || buckets == 0 {
            break;
        }
    }
    cursor::reply(ctx.reply, cursor, n, &found);
    Ok(Effect::Read)
}

pub(super) const HRANDFIELD: Command = Command {
    spec: Spec {
        name: "hrandfield",
        since: "6.2.0",
        arity: -2,
        summary: "Answers fields of a hash drawn at random: one, several different ones, or several \
                  that may be the same.",
        complexity: "O(N) with N the number of fields answered.",
        arguments: &[
            KEY,
            Argument::block(
                "options",
                &[
                    Argument::new("count", Kind::Integer),
                    Argument::token("withvalues", "WITHVALUES").optional(),
                ],
            )
            .optional(),
        ],
        weight: Weight::Of(drawn),
        ..WALKER
    },
    form: Form::Local(hrandfield),
};

/// Fields that a call draws, or goes through if it wants many different ones.
fn drawn(ctx: &mut Context<'_>) -> usize {
    let count = ctx.args.opt(2).and_then(parse_i64).unwrap_or(1);
    let key = ctx.key(1);
    let fields = match ctx.shard.read::<Hash>(ctx.db, key, Look::Peek) {
        Ok(Some(hash)) => hash.len(),
        _ => return 0,
    };
    let wanted = count.unsigned_abs().try_into().unwrap_or(usize::MAX);
    if count < 0 {
        wanted
    } else {
        wanted.min(fields)
    }
}

fn hrandfield(ctx: &mut Context<'_>) -> Outcome {
    if ctx.args.len() > 2 {
        return draw_several(ctx);
    }
    let key = ctx.key(1);
    let now = ctx.shard.now_ms();
    let mut random = Random::new(ctx.shard.random());
    let hash = ctx.shard.read::<Hash>(ctx.db, key, Look::Use)?;
    let drawn = hash.as_ref().and_then(|hash| hash.draw(now, &mut random));
    super::reply_value(ctx.reply, drawn.map(|(field, _)| field));
    Ok(Effect::Read)
}

/// How many fields to draw, and whether with values.
fn parse(ctx: &Context<'_>) -> Result<(i64, bool), Error> {
    let count = ctx.symmetric(2)?;
    let values = match ctx.args.len() {
        3 => false,
        4 if ctx.args.is(3, "withvalues") => true,
        _ => return Err(Error::SYNTAX),
    };
    if values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    Ok((count, values))
}

fn draw_several(ctx: &mut Context<'_>) -> Outcome {
    let (count, values) = parse(ctx)?;
    let key = ctx.key(1);
    let now = ctx.shard.now_ms();
    let mut random = Random::new(ctx.shard.random());
    let Some(hash) = ctx.shard.read::<Hash>(ctx.db, key, Look::Use)? else {
        ctx.reply.array(0);
        return Ok(Effect::Read);
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count > 0 {
        let dealt = hash.deal(wanted, now, &mut random);
        header(ctx.reply, dealt.len(), values);
        for pair in dealt {
            reply_pair(ctx.reply, pair, values);
        }
        return Ok(Effect::Read);
    }
    let mut urn = hash.urn(now);
    let mark = ctx.reply.mark();
    let from = ctx.reply.len();
    let mut n = 0;
    while n < wanted
        && let Some(pair) = urn.draw(&mut random)
    {
        reply_pair(ctx.reply, pair, values);
        n += 1;
        // No request may make a reply without end.
        if ctx.reply.len() - from > ctx.settings.max_string {
            return Err(Error::OUT_OF_RANGE);
        }
    }
    let flat = values && ctx.reply.protocol() == Protocol::Resp2;
    ctx.reply.close_array(mark, if flat { 2 * n } else { n });
    Ok(Effect::Read)
}

/// The header for `n` fields, which stand in arrays with their values under RESP3, and flat otherwise.
fn header(reply: &mut Reply, n: usize, values: bool) {
    let flat = values && reply.protocol() == Protocol::Resp2;
    reply.array(if flat { 2 * n } else { n });
}

fn reply_pair(reply: &mut Reply, (field, value): (Element<'_>, Element<'_>), values: bool) {
    if values && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    Context::reply_element(reply, field);
    if values {
        Context::reply_element(reply, value);
    }
}
