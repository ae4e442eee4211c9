//! Operations on several sets: ZUNION, ZINTER, ZDIFF, with their STORE forms, and ZINTERCARD.

use super::range::store;
use super::{OVERWRITE, READ, WITHSCORES, number, reply_header, reply_member};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::KeySpec;
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use resp::Args;
use resp::number::parse_i64;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use store::set::Set;
use store::shard::{Held, Item, Type};
use store::zset::{self, Zset};
use store::{Collection, Element, Look};

/// A set that takes part: of members without scores, each counts as 1.
enum Source<'a> {
    Absent,
    Set(Held<'a, Set>),
    Zset(Held<'a, Zset>),
}

impl Source<'_> {
    fn len(&self) -> usize {
        match self {
            Source::Absent => 0,
            Source::Set(set) => set.len(),
            Source::Zset(zset) => zset.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Absent => None,
            Source::Set(set) => set.contains(member).then_some(1.0),
            Source::Zset(zset) => zset.score(member),
        }
    }

    /// The elements, until `each` answers that it has enough.
    fn visit(&self, mut each: impl FnMut(Element<'_>, f64) -> bool) {
        match self {
            Source::Absent => {}
            Source::Set(set) => {
                set.iter().all(|member| each(member, 1.0));
            }
            Source::Zset(zset) => {
                zset.iter().all(|(member, score)| each(member, score));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What becomes of the scores that a member has in several sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs cancel each other.
            Aggregate::Sum => zero_if_nan(a + b),
            Aggregate::Min if b < a => b,
            Aggregate::Max if b > a => b,
            Aggregate::Min | Aggregate::Max => a,
        }
    }
}

fn zero_if_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// Where a command's result goes, which decides what options it has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Reply,
    Key,
    /// Only the number of elements is asked for.
    Count,
}

struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// 0: no limit.
    limit: usize,
}

impl Options {
    fn parse(
        args: Args<'_>,
        from: usize,
        keys: usize,
        operation: Operation,
        target: Target,
    ) -> Result<Options, Error> {
        let mut options = Options {
            weights: vec![1.0; keys],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let weighs = operation != Operation::Diff && target != Target::Count;
        let mut i = from;
        while i < args.len() {
            let left = args.len() - i - 1;
            if weighs && left >= keys && args.is(i, "weights") {
                for (weight, at) in options.weights.iter_mut().zip(i + 1..) {
                    let no_float = Error::new("ERR weight value is not a float");
                    *weight = number::score(args.get(at)).ok_or(no_float)?;
                }
                i += keys;
            } else if weighs && left >= 1 && args.is(i, "aggregate") {
                options.aggregate = match args.get(i + 1) {
                    word if word.eq_ignore_ascii_case(b"sum") => Aggregate::Sum,
                    word if word.eq_ignore_ascii_case(b"min") => Aggregate::Min,
                    word if word.eq_ignore_ascii_case(b"max") => Aggregate::Max,
                    _ => return Err(Error::SYNTAX),
                };
                i += 1;
            } else if target == Target::Reply && args.is(i, "withscores") {
                options.with_scores = true;
            } else if target == Target::Count && left >= 1 && args.is(i, "limit") {
                let limit = parse_i64(args.get(i + 1)).and_then(|n| usize::try_from(n).ok());
                options.limit = limit.ok_or(Error::new("ERR LIMIT can't be negative"))?;
                i += 1;
            } else {
                return Err(Error::SYNTAX);
            }
            i += 1;
        }
        Ok(options)
    }
}

/// How many keys there are, by the argument before them.
fn key_count(args: Args<'_>, at: usize, name: &str) -> Result<usize, Error> {
    let n = parse_i64(args.get(at)).ok_or(Error::NOT_INTEGER)?;
    if n < 1 {
        return Err(Error::new(format!(
            "ERR at least 1 input key is needed for '{name}' command"
        )));
    }
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    if n > args.len() - (at + 1) {
        return Err(Error::SYNTAX);
    }
    Ok(n)
}

/// The sets at the keys from an argument on, which are used by this.
fn sources<'a>(ctx: &'a mut Context<'_>, from: usize, n: usize) -> Result<Vec<Source<'a>>, Error> {
    let keys: Vec<_> = (from..from + n).map(|i| ctx.key(i)).collect();
    let items = ctx.shard.look_all(ctx.db, keys, Look::Use);
    let source = |item: &Option<Item<'a>>| match item {
        None => Ok(Source::Absent),
        Some(item) if item.value_type() == Type::Set => Ok(Source::Set(item.held()?)),
        Some(item) => Ok(Source::Zset(item.held()?)),
    };
    items.iter().map(source).collect()
}

/// The weighted sets in the order in which Redis takes them, which shows in how sums are rounded.
fn by_length<'s, 'a>(sources: &'s [Source<'a>], weights: &[f64]) -> Vec<(&'s Source<'a>, f64)> {
    let mut all: Vec<_> = sources.iter().zip(weights.iter().copied()).collect();
    all.sort_by_key(|(source, _)| source.len());
    all
}

type Elements = Vec<(Box<[u8]>, f64)>;

fn union(sources: &[(&Source<'_>, f64)], aggregate: Aggregate) -> Elements {
    let mut all: HashMap<Box<[u8]>, f64> = HashMap::new();
    for (source, weight) in sources {
        source.visit(|member, score| {
            let score = zero_if_nan(weight * score);
            match all.entry(member.text().into()) {
                Entry::Occupied(mut old) => {
                    let score = aggregate.of(*old.get(), score);
                    old.insert(score);
                }
                Entry::Vacant(place) => {
                    place.insert(score);
                }
            }
            true
        });
    }
    all.into_iter().collect()
}

/// Calls `found` with the elements of all sets, until it answers that it has enough.
fn inter(
    sources: &[(&Source<'_>, f64)],
    aggregate: Aggregate,
    mut found: impl FnMut(&[u8], f64) -> bool,
) {
    let Some(((smallest, weight), others)) = sources.split_first() else {
        return;
    };
    smallest.visit(|member, score| {
        member.with(|member| {
            let first = zero_if_nan(weight * score);
            let total = others.iter().try_fold(first, |total, (other, weight)| {
                Some(aggregate.of(total, weight * other.score(member)?))
            });
            total.is_none_or(|total| found(member, total))
        })
    });
}

fn diff(sources: &[Source<'_>]) -> Elements {
    let mut rest = Vec::new();
    if let Some((first, others)) = sources.split_first() {
        first.visit(|member, score| {
            member.with(|member| {
                if others.iter().all(|other| other.score(member).is_none()) {
                    rest.push((member.into(), score));
                }
            });
            true
        });
    }
    rest
}

/// The result of an operation on the keys that are counted by an argument.
fn combine(
    ctx: &mut Context<'_>,
    at: usize,
    name: &str,
    operation: Operation,
    target: Target,
) -> Result<(Elements, Options), Error> {
    let keys = key_count(ctx.args, at, name)?;
    let args = ctx.args;
    let sources = sources(ctx, at + 1, keys)?;
    let options = Options::parse(args, at + 1 + keys, keys, operation, target)?;
    let sorted = || by_length(&sources, &options.weights);
    let elements = match operation {
        Operation::Union => union(&sorted(), options.aggregate),
        Operation::Inter => {
            let mut common = Vec::new();
            inter(&sorted(), options.aggregate, |member, score| {
                common.push((member.into(), score));
                true
            });
            common
        }
        Operation::Diff => diff(&sources),
    };
    Ok((elements, options))
}

fn answer(ctx: &mut Context<'_>, name: &str, operation: Operation) -> Outcome {
    let (mut elements, options) = combine(ctx, 1, name, operation, Target::Reply)?;
    // In no encoding: in a listpack a zero has no sign.
    zset::sort(&mut elements);
    reply_header(ctx.reply, elements.len(), options.with_scores);
    for (member, score) in &elements {
        reply_member(
            ctx.reply,
            Element::Bytes(member),
            *score,
            options.with_scores,
        );
    }
    Ok(Effect::Read)
}

fn keep(ctx: &mut Context<'_>, name: &'static str, operation: Operation) -> Outcome {
    let (elements, _) = combine(ctx, 2, name, operation, Target::Key)?;
    let result = Zset::collect(elements, &ctx.settings.limits);
    let key = ctx.key(1);
    Ok(store(ctx, key, result, name))
}

const WEIGHTS: Argument = Argument::new("weight", Kind::Integer)
    .with_token("WEIGHTS")
    .multiple()
    .optional();
const AGGREGATE: Argument = Argument::one_of(
    "aggregate",
    &[
        Argument::token("sum", "SUM"),
        Argument::token("min", "MIN"),
        Argument::token("max", "MAX"),
    ],
)
.with_token("AGGREGATE")
.optional();

pub(super) const ZUNION: Command = Command {
    spec: Spec {
        name: "zunion",
        group: "sorted-set",
        since: "6.2.0",
        arity: -3,
        flags: Flags::READONLY.or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::counted(1, 1, READ)],
        summary: "Answers the members that any of several sorted sets has.",
        complexity: "O(N) with N members of all sets together, and a sort of the result.",
        arguments: &[
            Argument::new("numkeys", Kind::Integer),
            Argument::key("key", 0).multiple(),
            WEIGHTS,
            AGGREGATE,
            WITHSCORES,
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(zunion, None),
};

fn zunion(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, "zunion", Operation::Union)
}

pub(super) const ZINTER: Command = Command {
    spec: Spec {
        name: "zinter",
        group: "sorted-set",
        since: "6.2.0",
        arity: -3,
        flags: Flags::READONLY.or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::counted(1, 1, READ)],
        summary: "Answers the members that all of several sorted sets have.",
        complexity: "O(N * K) with N members of the smallest set and K sets, and a sort of the result.",
        arguments: &[
            Argument::new("numkeys", Kind::Integer),
            Argument::key("key", 0).multiple(),
            WEIGHTS,
            AGGREGATE,
            WITHSCORES,
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(zinter, None),
};

fn zinter(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, "zinter", Operation::Inter)
}

pub(super) const ZDIFF: Command = Command {
    spec: Spec {
        name: "zdiff",
        group: "sorted-set",
        since: "6.2.0",
        arity: -3,
        flags: Flags::READONLY.or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::counted(1, 1, READ)],
        summary: "Answers the members of the first sorted set that no other one has.",
        complexity: "O(N * K) with N members of the first set and K sets, and a sort of the result.",
        arguments: &[
            Argument::new("numkeys", Kind::Integer),
            Argument::key("key", 0).multiple(),
            WITHSCORES,
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(zdiff, None),
};

fn zdiff(ctx: &mut Context<'_>) -> Outcome {
    answer(ctx, "zdiff", Operation::Diff)
}

pub(super) const ZUNIONSTORE: Command = Command {
    spec: Spec {
        name: "zunionstore",
        group: "sorted-set",
        since: "2.0.0",
        arity: -4,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::one(1, OVERWRITE), KeySpec::counted(2, 1, READ)],
        summary: "Stores the members that any of several sorted sets has.",
        complexity: "O(N) with N members of all sets together, and a sort of the result.",
        arguments: &[
            Argument::key("destination", 0),
            Argument::new("numkeys", Kind::Integer),
            Argument::key("key", 1).multiple(),
            WEIGHTS,
            AGGREGATE,
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(zunionstore, None),
};

fn zunionstore(ctx: &mut Context<'_>) -> Outcome {
    keep(ctx, "zunionstore", Operation::Union)
}

pub(super) const ZINTERSTORE: Command = Command {
    spec: Spec {
        name: "zinterstore",
        group: "sorted-set",
        since: "2.0.0",
        arity: -4,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::one(1, OVERWRITE), KeySpec::counted(2, 1, READ)],
        summary: "Stores the members that all of several sorted sets have.",
        complexity: "O(N * K) with N members of the smallest set and K sets, and a sort of the result.",
        arguments: &[
            Argument::key("destination", 0),
            Argument::new("numkeys", Kind::Integer),
            Argument::key("key", 1).multiple(),
            WEIGHTS,
            AGGREGATE,
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(zinterstore, None),
};

fn zinterstore(ctx: &mut Context<'_>) -> Outcome {
    keep(ctx, "zinterstore", Operation::Inter)
}

pub(super) const ZDIFFSTORE: Command = Command {
    spec: Spec {
        name: "zdiffstore",
        group: "sorted-set",
        since: "6.2.0",
        arity: -4,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::one(1, OVERWRITE), KeySpec::counted(2, 1, READ)],
        summary: "Stores the members of the first sorted set that no other one has.",
        complexity: "O(N * K) with N members of the first set and K sets, and a sort of the result.",
        arguments: &[
            Argument::key("destination", 0),
            Argument::new("numkeys", Kind::Integer),
            Argument::key("key", 1).multiple(),
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(zdiffstore, None),
};

fn zdiffstore(ctx: &mut Context<'_>) -> Outcome {
    keep(ctx, "zdiffstore", Operation::Diff)
}

pub(super) const ZINTERCARD: Command = Command {
    spec: Spec {
        name: "zintercard",
        group: "sorted-set",
        since: "7.0.0",
        arity: -3,
        flags: Flags::READONLY.or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::counted(1, 1, READ)],
        summary: "Counts the members that all of several sorted sets have.",
        complexity: "O(N * K) with N members of the smallest set and K sets.",
        arguments: &[
            Argument::new("numkeys", Kind::Integer),
            Argument::key("key", 0).multiple(),
            Argument::new("limit", Kind::Integer)
                .with_token("LIMIT")
                .optional(),
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(zintercard, None),
};

fn zintercard(ctx: &mut Context<'_>) -> Outcome {
    let keys = key_count(ctx.args, 1, "zintercard")?;
    let args = ctx.args;
    let sources = sources(ctx, 2, keys)?;
    let options = Options::parse(args, 2 + keys, keys, Operation::Inter, Target::Count)?;
    let mut n = 0;
    inter(
        &by_length(&sources, &options.weights),
        Aggregate::Sum,
        |_, _| {
            n += 1;
            n != options.limit
        },
    );
    ctx.reply.int(n as i64);
    Ok(Effect::Read)
}
