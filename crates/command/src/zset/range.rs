//! Ranges of ranks, scores and members: ZRANGE in all its forms, and counting.

use super::{KEY, OVERWRITE, READ, WITHSCORES, number, reply_header, reply_member};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome};
use crate::spec::{Deprecated, Spec, Weight};
use resp::Args;
use resp::number::parse_i64;
use std::ops::Range;
use store::shard::Expiry;
use store::zset::{Between, Direction, Zset};
use store::{Class, Collection, Look};

pub(super) const NO_SCORES: Error = Error::fixed("ERR min or max is not a float");
pub(super) const NO_MEMBERS: Error = Error::fixed("ERR min or max not valid string range item");

/// By what elements are chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Rank,
    Score,
    Member,
}

/// Which elements are chosen.
enum Ends<'a> {
    /// From one to another, both included, negative ones counted from the end.
    Ranks(i64, i64),
    Scores(Between<f64>),
    Members(Between<&'a [u8]>),
}

/// The ranks that two indexes of `len` elements include.
pub(super) fn ranks(start: i64, end: i64, len: usize) -> Range<usize> {
    let from_start = |i: i64| {
        if i < 0 {
            i.saturating_add(len as i64)
        } else {
            i
        }
    };
    let start = from_start(start).max(0);
    let end = from_start(end).min(len as i64 - 1);
    if start > end {
        return 0..0;
    }
    start as usize..end as usize + 1
}

/// What a command of the family asks for.
struct Query<'a> {
    ends: Ends<'a>,
    direction: Direction,
    /// Elements to leave out at first; if negative, all.
    offset: i64,
    /// Most elements; if negative, any number.
    limit: i64,
    with_scores: bool,
}

impl<'a> Query<'a> {
    /// Reads the arguments behind the key at argument `at`. What the command's name does not say, the
    /// options may.
    fn parse(
        args: Args<'a>,
        at: usize,
        mut kind: Option<Kinds>,
        mut direction: Option<Direction>,
        stores: bool,
    ) -> Result<Query<'a>, Error> {
        let (free_kind, free_direction) = (kind.is_none(), direction.is_none());
        let (mut offset, mut limit, mut with_scores) = (0, -1, false);
        let integer = |i: usize| parse_i64(args.get(i)).ok_or(Error::NOT_INTEGER);
        let mut i = at + 3;
        while i < args.len() {
            if !stores && args.is(i, "withscores") {
                with_scores = true;
            } else if args.is(i, "limit") && i + 2 < args.len() {
                (offset, limit) = (integer(i + 1)?, integer(i + 2)?);
                i += 2;
            } else if free_direction && direction.is_none() && args.is(i, "rev") {
                direction = Some(Direction::Down);
            } else if free_kind && kind.is_none() && args.is(i, "bylex") {
                kind = Some(Kinds::Member);
            } else if free_kind && kind.is_none() && args.is(i, "byscore") {
                kind = Some(Kinds::Score);
            } else {
                return Err(Error::SYNTAX);
            }
            i += 1;
        }
        let direction = direction.unwrap_or(Direction::Up);
        let kind = kind.unwrap_or(Kinds::Rank);
        if limit != -1 && kind == Kinds::Rank {
            return Err(Error::new(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && kind == Kinds::Member {
            return Err(Error::new(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        Ok(Query {
            ends: Ends::parse(args, at, kind, direction)?,
            direction,
            offset,
            limit,
            with_scores,
        })
    }

    /// The rank of the first element, and how many there are.
    fn select(&self, zset: &Zset) -> (usize, usize) {
        let ranks = self.ends.ranks(zset, self.direction);
        let len = ranks.len();
        let (skip, most) = match self.ends {
            Ends::Ranks(..) => (0, len),
            _ => {
                let skip = usize::try_from(self.offset).unwrap_or(len).min(len);
                (skip, usize::try_from(self.limit).unwrap_or(len))
            }
        };
        let n = (len - skip).min(most);
        match self.direction {
            Direction::Up => (ranks.start + skip, n),
            Direction::Down => ((ranks.end - skip).saturating_sub(1), n),
        }
    }
}

impl<'a> Ends<'a> {
    fn parse(
        args: Args<'a>,
        at: usize,
        kind: Kinds,
        direction: Direction,
    ) -> Result<Ends<'a>, Error> {
        let (first, second) = (args.get(at + 1), args.get(at + 2));
        let (min, max) = match direction {
            Direction::Up => (first, second),
            Direction::Down => (second, first),
        };
        Ok(match kind {
            Kinds::Rank => {
                let integer = |text| parse_i64(text).ok_or(Error::NOT_INTEGER);
                Ends::Ranks(integer(first)?, integer(second)?)
            }
            Kinds::Score => Ends::Scores(number::scores(min, max).ok_or(NO_SCORES)?),
            Kinds::Member => Ends::Members(number::members(min, max).ok_or(NO_MEMBERS)?),
        })
    }

    /// The ranks, counted from the lowest score.
    fn ranks(&self, zset: &Zset, direction: Direction) -> Range<usize> {
        let len = zset.len();
        match self {
            Ends::Ranks(start, end) => {
                let ranks = ranks(*start, *end, len);
                match direction {
                    Direction::Down if !ranks.is_empty() => len - ranks.end..len - ranks.start,
                    _ => ranks,
                }
            }
            Ends::Scores(scores) => zset.by_score(scores),
            Ends::Members(members) => zset.by_member(members, direction),
        }
    }
}

pub(super) const ZRANGE: Command = Command {
    spec: Spec {
        name: "zrange",
        group: "sorted-set",
        since: "1.2.0",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the members of a sorted set in a range of ranks, scores or bytes.",
        complexity: "O(log N + M) with N members, M of which are answered.",
        arguments: &[
            KEY,
            Argument::new("start", Kind::String),
            Argument::new("stop", Kind::String),
            Argument::one_of(
                "sortby",
                &[
                    Argument::token("byscore", "BYSCORE"),
                    Argument::token("bylex", "BYLEX"),
                ],
            )
            .optional()
            .since("6.2.0"),
            Argument::token("rev", "REV").optional().since("6.2.0"),
            Argument::block(
                "limit",
                &[
                    Argument::new("offset", Kind::Integer),
                    Argument::new("count", Kind::Integer),
                ],
            )
            .with_token("LIMIT")
            .optional()
            .since("6.2.0"),
            WITHSCORES,
        ],
        history: &[("6.2.0", "Takes REV, BYSCORE, BYLEX and LIMIT.")],
        weight: Weight::Of(|ctx| answer_weight(ctx, 1, None, None)),
        ..Spec::DEFAULT
    },
    form: Form::Local(zrange),
};

fn zrange(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, None, None)
}

pub(super) const ZREVRANGE: Command = Command {
    spec: Spec {
        name: "zrevrange",
        group: "sorted-set",
        since: "1.2.0",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the members of a sorted set in a range of ranks, from the highest score down.",
        complexity: "O(log N + M) with N members, M of which are answered.",
        arguments: &[
            KEY,
            Argument::new("start", Kind::Integer),
            Argument::new("stop", Kind::Integer),
            WITHSCORES,
        ],
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`ZRANGE` with the `REV` argument",
        }),
        weight: Weight::Of(|ctx| answer_weight(ctx, 1, Some(Kinds::Rank), Some(Direction::Down))),
        ..Spec::DEFAULT
    },
    form: Form::Local(zrevrange),
};

fn zrevrange(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, Some(Kinds::Rank), Some(Direction::Down))
}

pub(super) const ZRANGEBYSCORE: Command = Command {
    spec: Spec {
        name: "zrangebyscore",
        group: "sorted-set",
        since: "1.0.5",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the members of a sorted set whose scores are in a range.",
        complexity: "O(log N + M) with N members, M of which are answered.",
        arguments: &[
            KEY,
            Argument::new("min", Kind::Double),
            Argument::new("max", Kind::Double),
            WITHSCORES,
            Argument::block(
                "limit",
                &[
                    Argument::new("offset", Kind::Integer),
                    Argument::new("count", Kind::Integer),
                ],
            )
            .with_token("LIMIT")
            .optional(),
        ],
        history: &[("2.0.0", "Takes WITHSCORES.")],
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`ZRANGE` with the `BYSCORE` argument",
        }),
        weight: Weight::Of(|ctx| answer_weight(ctx, 1, Some(Kinds::Score), Some(Direction::Up))),
        ..Spec::DEFAULT
    },
    form: Form::Local(zrangebyscore),
};

fn zrangebyscore(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, Some(Kinds::Score), Some(Direction::Up))
}

pub(super) const ZREVRANGEBYSCORE: Command = Command {
    spec: Spec {
        name: "zrevrangebyscore",
        group: "sorted-set",
        since: "2.2.0",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the members of a sorted set whose scores are in a range, from the highest score down.",
        complexity: "O(log N + M) with N members, M of which are answered.",
        arguments: &[
            KEY,
            Argument::new("max", Kind::Double),
            Argument::new("min", Kind::Double),
            WITHSCORES,
            Argument::block(
                "limit",
                &[
                    Argument::new("offset", Kind::Integer),
                    Argument::new("count", Kind::Integer),
                ],
            )
            .with_token("LIMIT")
            .optional(),
        ],
        history: &[("2.1.6", "The ends of the range may be left out of it.")],
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`ZRANGE` with the `REV` and `BYSCORE` arguments",
        }),
        weight: Weight::Of(|ctx| answer_weight(ctx, 1, Some(Kinds::Score), Some(Direction::Down))),
        ..Spec::DEFAULT
    },
    form: Form::Local(zrevrangebyscore),
};

fn zrevrangebyscore(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, Some(Kinds::Score), Some(Direction::Down))
}

pub(super) const ZRANGEBYLEX: Command = Command {
    spec: Spec {
        name: "zrangebylex",
        group: "sorted-set",
        since: "2.8.9",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the members of a sorted set that are in a range, by their bytes.",
        complexity: "O(log N + M) with N members, M of which are answered.",
        arguments: &[
            KEY,
            Argument::new("min", Kind::String),
            Argument::new("max", Kind::String),
            Argument::block(
                "limit",
                &[
                    Argument::new("offset", Kind::Integer),
                    Argument::new("count", Kind::Integer),
                ],
            )
            .with_token("LIMIT")
            .optional(),
        ],
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`ZRANGE` with the `BYLEX` argument",
        }),
        weight: Weight::Of(|ctx| answer_weight(ctx, 1, Some(Kinds::Member), Some(Direction::Up))),
        ..Spec::DEFAULT
    },
    form: Form::Local(zrangebylex),
};

fn zrangebylex(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, Some(Kinds::Member), Some(Direction::Up))
}

pub(super) const ZREVRANGEBYLEX: Command = Command {
    spec: Spec {
        name: "zrevrangebylex",
        group: "sorted-set",
        since: "2.8.9",
        arity: -4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the members of a sorted set that are in a range, by their bytes, in reverse.",
        complexity: "O(log N + M) with N members, M of which are answered.",
        arguments: &[
            KEY,
            Argument::new("max", Kind::String),
            Argument::new("min", Kind::String),
            Argument::block(
                "limit",
                &[
                    Argument::new("offset", Kind::Integer),
                    Argument::new("count", Kind::Integer),
                ],
            )
            .with_token("LIMIT")
            .optional(),
        ],
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`ZRANGE` with the `REV` and `BYLEX` arguments",
        }),
        weight: Weight::Of(|ctx| answer_weight(ctx, 1, Some(Kinds::Member), Some(Direction::Down))),
        ..Spec::DEFAULT
    },
    form: Form::Local(zrevrangebylex),
};

fn zrevrangebylex(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, Some(Kinds::Member), Some(Direction::Down))
}

/// How many elements [`answer`] will write, or ZRANGESTORE store.
fn answer_weight(
    ctx: &mut Context<'_>,
    at: usize,
    kind: Option<Kinds>,
    direction: Option<Direction>,
) -> usize {
    let query = Query::parse(ctx.args, at, kind, direction, at == 2);
    let key = ctx.key(at);
    match (query, ctx.shard.read::<Zset>(ctx.db, key, Look::Peek)) {
        (Ok(query), Ok(Some(zset))) => query.select(&zset).1,
        _ => 0,
    }
}

fn answer(ctx: &mut Context<'_>, kind: Option<Kinds>, direction: Option<Direction>) -> Outcome {
    let query = Query::parse(ctx.args, 1, kind, direction, false)?;
    let key = ctx.key(1);
    let Some(zset) = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)? else {
        ctx.reply.array(0);
        return Ok(Effect::Read);
    };
    let (rank, n) = query.select(&zset);
    reply_header(ctx.reply, n, query.with_scores);
    for (member, score) in zset.range(rank, n, query.direction) {
        reply_member(ctx.reply, member, score, query.with_scores);
    }
    Ok(Effect::Read)
}

pub(super) const ZRANGESTORE: Command = Command {
    spec: Spec {
        name: "zrangestore",
        group: "sorted-set",
        since: "6.2.0",
        arity: -5,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::one(1, OVERWRITE), KeySpec::one(2, READ)],
        summary: "Stores the members of a sorted set in a range of ranks, scores or bytes.",
        complexity: "O(log N + M) with N members, M of which are stored.",
        arguments: &[
            Argument::key("dst", 0),
            Argument::key("src", 1),
            Argument::new("min", Kind::String),
            Argument::new("max", Kind::String),
            Argument::one_of(
                "sortby",
                &[
                    Argument::token("byscore", "BYSCORE"),
                    Argument::token("bylex", "BYLEX"),
                ],
            )
            .optional(),
            Argument::token("rev", "REV").optional(),
            Argument::block(
                "limit",
                &[
                    Argument::new("offset", Kind::Integer),
                    Argument::new("count", Kind::Integer),
                ],
            )
            .with_token("LIMIT")
            .optional(),
        ],
        weight: Weight::Of(|ctx| answer_weight(ctx, 2, None, None)),
        ..Spec::DEFAULT
    },
    form: Form::Gather(zrangestore, None),
};

fn zrangestore(ctx: &mut Context<'_>) -> Outcome {
    let query = Query::parse(ctx.args, 2, None, None, true)?;
    let (to, from) = (ctx.key(1), ctx.key(2));
    let source = ctx.shard.read::<Zset>(ctx.db, from, Look::Use)?;
    let mut result = Zset::default();
    if let Some(zset) = source {
        let limits = &ctx.settings.limits;
        let (rank, n) = query.select(&zset);
        result.expect(n, limits);
        // What is pushed has to be in order.
        let first = match query.direction {
            Direction::Up => rank,
            Direction::Down => (rank + 1).saturating_sub(n),
        };
        for (member, score) in zset.range(first, n, Direction::Up) {
            member.with(|member| result.push(member, score, limits));
        }
    }
    Ok(store(ctx, to, result, "zrangestore"))
}

/// Makes a key hold a result, or nothing if it is empty, and answers how many elements it has.
pub(super) fn store(
    ctx: &mut Context<'_>,
    key: store::Key<'_>,
    result: Zset,
    event: &'static str,
) -> Effect {
    let len = result.len();
    ctx.reply.int(len as i64);
    if len == 0 {
        return Effect::wrote_if(ctx.delete(key));
    }
    ctx.shard.put(ctx.db, key, result, Expiry::Clear);
    ctx.notify(Class::ZSET, event, key);
    Effect::Wrote
}

pub(super) const ZCOUNT: Command = Command {
    spec: Spec {
        name: "zcount",
        group: "sorted-set",
        since: "2.0.0",
        arity: 4,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Counts the members of a sorted set whose scores are in a range.",
        complexity: "O(log N) with N members.",
        arguments: &[
            KEY,
            Argument::new("min", Kind::Double),
            Argument::new("max", Kind::Double),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(zcount),
};

fn zcount(ctx: &mut Context<'_>) -> Outcome {
    count(ctx, Kinds::Score)
}

pub(super) const ZLEXCOUNT: Command = Command {
    spec: Spec {
        name: "zlexcount",
        group: "sorted-set",
        since: "2.8.9",
        arity: 4,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Counts the members of a sorted set that are in a range, by their bytes.",
        complexity: "O(log N) with N members.",
        arguments: &[
            KEY,
            Argument::new("min", Kind::String),
            Argument::new("max", Kind::String),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(zlexcount),
};

fn zlexcount(ctx: &mut Context<'_>) -> Outcome {
    count(ctx, Kinds::Member)
}

fn count(ctx: &mut Context<'_>, kind: Kinds) -> Outcome {
    let ends = Ends::parse(ctx.args, 1, kind, Direction::Up)?;
    let key = ctx.key(1);
    let zset = ctx.shard.read::<Zset>(ctx.db, key, Look::Use)?;
    let n = zset.map_or(0, |zset| ends.ranks(&zset, Direction::Up).len());
    ctx.reply.int(n as i64);
    Ok(Effect::Read)
}

pub(super) const ZREMRANGEBYRANK: Command = Command {
    spec: Spec {
        name: "zremrangebyrank",
        group: "sorted-set",
        since: "2.0.0",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::DELETE))],
        summary: "Removes the members of a sorted set in a range of ranks.",
        complexity: "O(log N + M) with N members, M of which are removed.",
        arguments: &[
            KEY,
            Argument::new("start", Kind::Integer),
            Argument::new("stop", Kind::Integer),
        ],
        weight: Weight::Of(|ctx| remove_weight(ctx, Kinds::Rank)),
        ..Spec::DEFAULT
    },
    form: Form::Local(zremrangebyrank),
};

fn zremrangebyrank(ctx: &mut Context<'_>) -> Outcome {
    remove(ctx, Kinds::Rank)
}

pub(super) const ZREMRANGEBYSCORE: Command = Command {
    spec: Spec {
        name: "zremrangebyscore",
        group: "sorted-set",
        since: "1.2.0",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::DELETE))],
        summary: "Removes the members of a sorted set whose scores are in a range.",
        complexity: "O(log N + M) with N members, M of which are removed.",
        arguments: &[
            KEY,
            Argument::new("min", Kind::Double),
            Argument::new("max", Kind::Double),
        ],
        weight: Weight::Of(|ctx| remove_weight(ctx, Kinds::Score)),
        ..Spec::DEFAULT
    },
    form: Form::Local(zremrangebyscore),
};

fn zremrangebyscore(ctx: &mut Context<'_>) -> Outcome {
    remove(ctx, Kinds::Score)
}

pub(super) const ZREMRANGEBYLEX: Command = Command {
    spec: Spec {
        name: "zremrangebylex",
        group: "sorted-set",
        since: "2.8.9",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::DELETE))],
        summary: "Removes the members of a sorted set that are in a range, by their bytes.",
        complexity: "O(log N + M) with N members, M of which are removed.",
        arguments: &[
            KEY,
            Argument::new("min", Kind::String),
            Argument::new("max", Kind::String),
        ],
        weight: Weight::Of(|ctx| remove_weight(ctx, Kinds::Member)),
        ..Spec::DEFAULT
    },
    form: Form::Local(zremrangebylex),
};

fn zremrangebylex(ctx: &mut Context<'_>) -> Outcome {
    remove(ctx, Kinds::Member)
}

fn remove_weight(ctx: &mut Context<'_>, kind: Kinds) -> usize {
    let ends = Ends::parse(ctx.args, 1, kind, Direction::Up);
    let key = ctx.key(1);
    match (ends, ctx.shard.read::<Zset>(ctx.db, key, Look::Peek)) {
        (Ok(ends), Ok(Some(zset))) => ends.ranks(&zset, Direction::Up).len(),
        _ => 0,
    }
}

fn remove(ctx: &mut Context<'_>, kind: Kinds) -> Outcome {
    let ends = Ends::parse(ctx.args, 1, kind, Direction::Up)?;
    let key = ctx.key(1);
    let mut n = 0;
    if let Some(mut zset) = ctx.shard.open::<Zset>(ctx.db, key)? {
        let ranks = ends.ranks(&zset, Direction::Up);
        n = ranks.len();
        zset.remove_ranks(ranks, |_, _| {});
        let event = match kind {
            Kinds::Rank => "zremrangebyrank",
            Kinds::Score => "zremrangebyscore",
            Kinds::Member => "zremrangebylex",
        };
        zset.close_as(n > 0, Class::ZSET, event);
    }
    ctx.reply.int(n as i64);
    Ok(Effect::wrote_if(n > 0))
}
