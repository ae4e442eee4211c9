//! Sorted sets: ZADD, ZRANGE and their kin.
//!
//! Handlers of commands about single members stand here, the others in a file each: adding, ranges,
//! removing, drawing, and operations on several sets.

mod add;
mod block;
mod combine;
pub(crate) mod number;
mod random;
mod range;
mod remove;

use crate::context::Context;
use crate::cursor;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::number::parse_u64_loose;
use resp::{Protocol, Reply};
use store::double::Text;
use store::zset::Zset;
use store::{Collection, Element, Look};

pub static COMMANDS: &[Command] = &[
    block::BZMPOP,
    block::BZPOPMAX,
    block::BZPOPMIN,
    add::ZADD,
    ZCARD,
    range::ZCOUNT,
    combine::ZDIFF,
    combine::ZDIFFSTORE,
    add::ZINCRBY,
    combine::ZINTER,
    combine::ZINTERCARD,
    combine::ZINTERSTORE,
    range::ZLEXCOUNT,
    remove::ZMPOP,
    ZMSCORE,
    remove::ZPOPMAX,
    remove::ZPOPMIN,
    random::ZRANDMEMBER,
    range::ZRANGE,
    range::ZRANGEBYLEX,
    range::ZRANGEBYSCORE,
    range::ZRANGESTORE,
    ZRANK,
    remove::ZREM,
    range::ZREMRANGEBYLEX,
    range::ZREMRANGEBYRANK,
    range::ZREMRANGEBYSCORE,
    range::ZREVRANGE,
    range::ZREVRANGEBYLEX,
    range::ZREVRANGEBYSCORE,
    ZREVRANK,
    ZSCAN,
    ZSCORE,
    combine::ZUNION,
    combine::ZUNIONSTORE,
];

const KEY: Argument = Argument::key("key", 0);
const MEMBER: Argument = Argument::new("member", Kind::String);
const WITHSCORES: Argument = Argument::token("withscores", "WITHSCORES").optional();
const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const OVERWRITE: KeyFlags = KeyFlags::OW.or(KeyFlags::UPDATE);

#[inline]
fn reply_score(reply: &mut Reply, score: f64) {
    reply.double_text(Text::of(score).bytes());
}

/// Whether replies with scores are arrays of pairs, rather than members and scores by turns.
fn in_pairs(reply: &Reply) -> bool {
    reply.protocol() == Protocol::Resp3
}

/// Writes the header of a reply of `n` members, with their scores if they are asked for.
fn reply_header(reply: &mut Reply, n: usize, with_scores: bool) {
    let flat = with_scores && !in_pairs(reply);
    reply.array(if flat { n.saturating_mul(2) } else { n });
}

/// Writes a member of such a reply.
#[inline]
fn reply_member(reply: &mut Reply, member: Element<'_>, score: f64, with_scores: bool) {
    if with_scores && in_pairs(reply) {
        reply.array(2);
    }
    Context::reply_element(reply, member);
    if with_scores {
        reply_score(reply, score);
    }
}

const ZCARD: Command = Command {
    spec: Spec {
        name: "zcard",
        group: "sorted-set",
        since: "1.2.0",
        arity: 2,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Answers how many members a sorted set has.",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(zcard),
};

fn zcard(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)?;
    ctx.reply.int(zset.map_or(0, |zset| zset.len() as i64));
    Ok(Effect::Read)
}

const ZSCORE: Command = Command {
    spec: Spec {
        name: "zscore",
        group: "sorted-set",
        since: "1.2.0",
        arity: 3,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the score of a member of a sorted set.",
        arguments: &[KEY, MEMBER],
        ..Spec::DEFAULT
    },
    form: Form::Local(zscore),
};

fn zscore(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)?;
    match zset.and_then(|zset| zset.score(ctx.args.get(2))) {
        None => ctx.reply.null(),
        Some(score) => reply_score(ctx.reply, score),
    }
    Ok(Effect::Read)
}

const ZMSCORE: Command = Command {
    spec: Spec {
        name: "zmscore",
        group: "sorted-set",
        since: "6.2.0",
        arity: -3,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the scores of several members of a sorted set.",
        complexity: "O(N) with N the number of members asked for.",
        arguments: &[KEY, Argument::new("member", Kind::String).multiple()],
        ..Spec::DEFAULT
    },
    form: Form::Local(zmscore),
};

fn zmscore(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)?;
    ctx.reply.array(ctx.args.len() - 2);
    for member in ctx.args.from(2).iter() {
        match zset.as_ref().and_then(|zset| zset.score(member)) {
            None => ctx.reply.null(),
            Some(score) => reply_score(ctx.reply, score),
        }
    }
    Ok(Effect::Read)
}

const ZRANK: Command = Command {
    spec: Spec {
        name: "zrank",
        group: "sorted-set",
        since: "2.0.0",
        arity: -3,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers how many members of a sorted set are before one, from the lowest score up.",
        complexity: "O(log N) with N members.",
        arguments: &[
            KEY,
            MEMBER,
            Argument::token("withscore", "WITHSCORE").optional(),
        ],
        history: &[("7.2.0", "Takes WITHSCORE.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(zrank),
};

fn zrank(ctx: &mut Context<'_>) -> Outcome {
    rank(ctx, "zrank", |rank, _| rank)
}

const ZREVRANK: Command = Command {
    spec: Spec {
        name: "zrevrank",
        group: "sorted-set",
        since: "2.0.0",
        arity: -3,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers how many members of a sorted set are before one, from the highest score down.",
        complexity: "O(log N) with N members.",
        arguments: &[
            KEY,
            MEMBER,
            Argument::token("withscore", "WITHSCORE").optional(),
        ],
        history: &[("7.2.0", "Takes WITHSCORE.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(zrevrank),
};

fn zrevrank(ctx: &mut Context<'_>) -> Outcome {
    rank(ctx, "zrevrank", |rank, len| len - 1 - rank)
}

/// ZRANK and ZREVRANK, which count from another end.
fn rank(ctx: &mut Context<'_>, name: &str, count: fn(usize, usize) -> usize) -> Outcome {
    let key = ctx.key(1);
    if ctx.args.len() > 4 {
        return Err(Error::arity(name));
    }
    let with_score = ctx.args.len() == 4;
    if with_score && !ctx.args.is(3, "withscore") {
        return Err(Error::SYNTAX);
    }
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)?;
    let found = zset.and_then(|zset| {
        let (rank, score) = zset.rank(ctx.args.get(2))?;
        Some((count(rank, zset.len()), score))
    });
    match found {
        None if with_score => ctx.reply.null_array(),
        None => ctx.reply.null(),
        Some((rank, score)) => {
            if with_score {
                ctx.reply.array(2);
            }
            ctx.reply.int(rank as i64);
            if with_score {
                reply_score(ctx.reply, score);
            }
        }
    }
    Ok(Effect::Read)
}

const ZSCAN: Command = Command {
    spec: Spec {
        name: "zscan",
        group: "sorted-set",
        since: "2.8.0",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        tips: &["nondeterministic_output"],
        summary: "Walks over the members of a sorted set and their scores, some at a call.",
        complexity: "O(1) a call, O(N) with N members for a whole walk.",
        arguments: &[
            KEY,
            Argument::new("cursor", Kind::Integer),
            Argument::new("pattern", Kind::Pattern)
                .with_token("MATCH")
                .optional(),
            Argument::new("count", Kind::Integer)
                .with_token("COUNT")
                .optional(),
            Argument::token("noscores", "NOSCORES")
                .optional()
                .since("8.0.0"),
        ],
        history: &[("8.0.0", "Takes NOSCORES, in Valkey.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(zscan),
};

fn zscan(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let at = parse_u64_loose(ctx.args.get(2)).ok_or(cursor::INVALID_CURSOR)?;
    let mut found = Reply::new(Protocol::Resp2);
    let Some(zset) = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)? else {
        cursor::reply(ctx.reply, 0, 0, &found);
        return Ok(Effect::Read);
    };
    let mut with_scores = true;
    let options = cursor::Options::parse(ctx.args, 3, |args, i| {
        if args.is(i, "novalues") {
            return Err(Error::new("ERR NOVALUES option can only be used in HSCAN"));
        }
        if !args.is(i, "noscores") {
            return Err(Error::SYNTAX);
        }
        with_scores = false;
        Ok(1)
    })?;
    // Redis writes the scores of big sets in another way here than everywhere else.
    let text = match *zset {
        Zset::Packed(_) => Text::of,
        Zset::Tree(_) => Text::seventeen,
    };
    let mut n = 0;
    let count = usize::try_from(options.count).unwrap_or(usize::MAX);
    let next = zset.scan(at, count, |member, score| {
        if !member.with(|bytes| options.pattern.accepts(bytes)) {
            return;
        }
        n += 1;
        Context::reply_element(&mut found, member);
        if with_scores {
            n += 1;
            found.bulk(text(score).bytes());
        }
    });
    cursor::reply(ctx.reply, next, n, &found);
    Ok(Effect::Read)
}

#[cfg(test)]
mod tests;
