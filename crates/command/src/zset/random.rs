//! Drawing members: ZRANDMEMBER.

use super::{KEY, READ, WITHSCORES, reply_header, reply_member};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::KeySpec;
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use resp::Reply;
use std::collections::HashSet;
use store::zset::{Direction, Zset};
use store::{Collection, Look, Random};

pub(super) const ZRANDMEMBER: Command = Command {
    spec: Spec {
        name: "zrandmember",
        group: "sorted-set",
        since: "6.2.0",
        arity: -2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        tips: &["nondeterministic_output"],
        summary: "Answers members of a sorted set drawn at random.",
        complexity: "O(N log M) with N drawn of M members.",
        arguments: &[
            KEY,
            Argument::block(
                "options",
                &[Argument::new("count", Kind::Integer), WITHSCORES],
            )
            .optional(),
        ],
        weight: Weight::Of(draw_weight),
        ..Spec::DEFAULT
    },
    form: Form::Local(zrandmember),
};

fn zrandmember(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let mut random = Random::new(ctx.shard.random());
    if ctx.args.len() == 2 {
        let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)?;
        let drawn = zset.as_ref().and_then(|zset| {
            let rank = random.below(zset.len());
            zset.range(rank, 1, Direction::Up).next()
        });
        match drawn {
            None => ctx.reply.null(),
            Some((member, _)) => Context::reply_element(ctx.reply, member),
        }
        return Ok(Effect::Read);
    }
    let count = ctx.symmetric(2)?;
    let with_scores = match ctx.args.opt(3) {
        None => false,
        Some(word) if ctx.args.len() == 4 && word.eq_ignore_ascii_case(b"withscores") => true,
        Some(_) => return Err(Error::SYNTAX),
    };
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(Error::OUT_OF_RANGE);
    }
    let Some(zset) = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)? else {
        ctx.reply.array(0);
        return Ok(Effect::Read);
    };
    let n = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        // They may be the same ones, so each is drawn when it is written.
        reply_header(ctx.reply, n, with_scores);
        let (from, max) = (ctx.reply.len(), ctx.settings.max_string);
        for _ in 0..n {
            // Nothing else bounds the reply.
            if ctx.reply.len() - from > max {
                return Err(Error::OUT_OF_RANGE);
            }
            reply_ranked(ctx.reply, &zset, random.below(zset.len()), with_scores);
        }
        return Ok(Effect::Read);
    }
    let drawn = draw(zset.len(), n, &mut random);
    reply_header(ctx.reply, drawn.len(), with_scores);
    for rank in drawn {
        reply_ranked(ctx.reply, &zset, rank, with_scores);
    }
    Ok(Effect::Read)
}

fn reply_ranked(reply: &mut Reply, zset: &Zset, rank: usize, with_scores: bool) {
    if let Some((member, score)) = zset.range(rank, 1, Direction::Up).next() {
        reply_member(reply, member, score, with_scores);
    }
}

/// How much work a draw is.
fn draw_weight(ctx: &mut Context<'_>) -> usize {
    let count = ctx
        .args
        .opt(2)
        .and_then(resp::number::parse_i64)
        .unwrap_or(1);
    if count < 0 {
        return usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    }
    let key = ctx.key(1);
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Peek);
    let len = zset.map_or(0, |zset| zset.map_or(0, |zset| zset.len()));
    len.min(count as usize)
}

/// The ranks of `n` different elements of `len`, or of all.
fn draw(len: usize, n: usize, random: &mut Random) -> Vec<usize> {
    if n >= len {
        return (0..len).collect();
    }
    // Each step adds one of the first elements or, if that is there already, the newest
    // (Floyd's way to draw without putting back).
    let mut chosen = HashSet::with_capacity(n);
    let mut drawn = Vec::with_capacity(n);
    for newest in len - n..len {
        let one = random.below(newest + 1);
        let rank = if chosen.insert(one) { one } else { newest };
        chosen.insert(rank);
        drawn.push(rank);
    }
    drawn
}
