//! Intersections, unions and differences, answered, counted or stored.

use super::{ANY_ORDER, READ};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use resp::number::parse_i64;
use std::ops::{ControlFlow, Range};
use store::set::{Set, algebra};
use store::shard::{Expiry, Held};
use store::{Class, Collection, Key, Look, Shard};

const KEYS: &[Argument] = &[Argument::key("key", 0).multiple()];
const TARGET_AND_KEYS: &[Argument] = &[
    Argument::key("destination", 0),
    Argument::key("key", 1).multiple(),
];
const EVERY_KEY: &[KeySpec] = &[KeySpec::range(1, -1, 1, READ)];
const TARGET_AND_SOURCES: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::OW.or(KeyFlags::UPDATE)),
    KeySpec::range(2, -1, 1, READ),
];
const SMALLEST_TIMES_SETS: &str =
    "O(N*M) with N the members of the smallest set and M the number of sets, at most.";
const ALL_MEMBERS: &str = "O(N) with N the members of all sets.";

/// What the three that answer have in common.
const ANSWERS: Spec = Spec {
    group: "set",
    since: "1.0.0",
    arity: -2,
    flags: Flags::READONLY,
    keys: EVERY_KEY,
    tips: ANY_ORDER,
    arguments: KEYS,
    weight: Weight::Values,
    ..Spec::DEFAULT
};

/// What the three that store have in common.
const STORES: Spec = Spec {
    group: "set",
    since: "1.0.0",
    arity: -3,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    keys: TARGET_AND_SOURCES,
    arguments: TARGET_AND_KEYS,
    weight: Weight::Values,
    ..Spec::DEFAULT
};

/// The sets at several keys, `None` for one that is absent.
struct Sets<'a>(Vec<Option<Held<'a, Set>>>);

impl<'a> Sets<'a> {
    fn read(shard: &'a mut Shard, db: usize, keys: Vec<Key<'_>>) -> Result<Sets<'a>, Error> {
        let items = shard.look_all(db, keys, Look::Use);
        let held = items
            .iter()
            .map(|item| item.as_ref().map(|item| item.held()).transpose());
        Ok(Sets(held.collect::<Result<_, _>>()?))
    }

    /// Those that are there.
    fn present(&self) -> Vec<&Set> {
        self.0.iter().flatten().map(|set| &**set).collect()
    }

    /// All of them, unless one is absent.
    fn all(&self) -> Vec<&Set> {
        let present = self.present();
        if present.len() < self.0.len() {
            return Vec::new();
        }
        present
    }

    /// The first, if it is there, and those of the others that are.
    fn first_and_others(&self) -> Option<(&Set, Vec<&Set>)> {
        let (first, others) = self.0.split_first()?;
        let others = others.iter().flatten().map(|set| &**set).collect();
        Some((first.as_deref()?, others))
    }
}

/// The arguments in a range as keys.
fn keys<'a>(ctx: &Context<'a>, range: Range<usize>) -> Vec<Key<'a>> {
    ctx.prefetch_keys(range.start, 1);
    range.map(|i| ctx.key(i)).collect()
}

/// Makes the first key hold a result and answers how many members that has.
fn store(ctx: &mut Context<'_>, result: Set, event: &'static str) -> Outcome {
    let target = ctx.key(1);
    ctx.reply.int(result.len() as i64);
    if result.is_empty() {
        return Ok(Effect::wrote_if(ctx.delete(target)));
    }
    ctx.shard.put(ctx.db, target, result, Expiry::Clear);
    ctx.notify(Class::SET, event, target);
    Ok(Effect::Wrote)
}

pub(super) const SINTER: Command = Command {
    spec: Spec {
        name: "sinter",
        summary: "Answers the members that all of several sets have.",
        complexity: SMALLEST_TIMES_SETS,
        ..ANSWERS
    },
    form: Form::Gather(sinter, None),
};

fn sinter(ctx: &mut Context<'_>) -> Outcome {
    let keys = keys(ctx, 1..ctx.args.len());
    let sets = Sets::read(ctx.shard, ctx.db, keys)?;
    let mark = ctx.reply.mark();
    let mut n = 0;
    let _ = algebra::intersect(&sets.all(), |member| {
        Context::reply_element(ctx.reply, member);
        n += 1;
        ControlFlow::Continue(())
    });
    ctx.reply.close_set(mark, n);
    Ok(Effect::Read)
}

pub(super) const SINTERSTORE: Command = Command {
    spec: Spec {
        name: "sinterstore",
        summary: "Stores the members that all of several sets have.",
        complexity: SMALLEST_TIMES_SETS,
        ..STORES
    },
    form: Form::Gather(sinterstore, None),
};

fn sinterstore(ctx: &mut Context<'_>) -> Outcome {
    let keys = keys(ctx, 2..ctx.args.len());
    let sets = Sets::read(ctx.shard, ctx.db, keys)?;
    let mut result = Set::default();
    let _ = algebra::intersect(&sets.all(), |member| {
        result.add_element(member, &ctx.settings.limits);
        ControlFlow::Continue(())
    });
    store(ctx, result, "sinterstore")
}

pub(super) const SINTERCARD: Command = Command {
    spec: Spec {
        name: "sintercard",
        group: "set",
        since: "7.0.0",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::counted(1, 1, READ)],
        summary: "Answers how many members all of several sets have.",
        complexity: SMALLEST_TIMES_SETS,
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
    form: Form::Gather(sintercard, None),
};

fn sintercard(ctx: &mut Context<'_>) -> Outcome {
    let number = |i: usize| parse_i64(ctx.args.get(i)).and_then(|n| usize::try_from(n).ok());
    let numkeys = number(1)
        .filter(|n| *n > 0)
        .ok_or(Error::fixed("ERR numkeys should be greater than 0"))?;
    if numkeys > ctx.args.len() - 2 {
        return Err(Error::fixed(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    let mut limit = 0;
    let mut i = 2 + numkeys;
    while i < ctx.args.len() {
        if !ctx.args.is(i, "limit") || i + 1 == ctx.args.len() {
            return Err(Error::SYNTAX);
        }
        limit = number(i + 1).ok_or(Error::fixed("ERR LIMIT can't be negative"))?;
        i += 2;
    }
    let keys = keys(ctx, 2..2 + numkeys);
    let sets = Sets::read(ctx.shard, ctx.db, keys)?;
    let mut n = 0;
    let _ = algebra::intersect(&sets.all(), |_| {
        n += 1;
        if n == limit {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    ctx.reply.int(n as i64);
    Ok(Effect::Read)
}

pub(super) const SUNION: Command = Command {
    spec: Spec {
        name: "sunion",
        summary: "Answers the members that any of several sets has.",
        complexity: ALL_MEMBERS,
        ..ANSWERS
    },
    form: Form::Gather(sunion, None),
};

fn sunion(ctx: &mut Context<'_>) -> Outcome {
    let keys = keys(ctx, 1..ctx.args.len());
    let sets = Sets::read(ctx.shard, ctx.db, keys)?;
    let mark = ctx.reply.mark();
    let mut n = 0;
    algebra::unite(&sets.present(), |member| {
        Context::reply_element(ctx.reply, member);
        n += 1;
    });
    ctx.reply.close_set(mark, n);
    Ok(Effect::Read)
}

pub(super) const SUNIONSTORE: Command = Command {
    spec: Spec {
        name: "sunionstore",
        summary: "Stores the members that any of several sets has.",
        complexity: ALL_MEMBERS,
        ..STORES
    },
    form: Form::Gather(sunionstore, None),
};

fn sunionstore(ctx: &mut Context<'_>) -> Outcome {
    let keys = keys(ctx, 2..ctx.args.len());
    let sets = Sets::read(ctx.shard, ctx.db, keys)?;
    let mut result = Set::default();
    for member in sets.present().iter().flat_map(|set| set.iter()) {
        result.add_element(member, &ctx.settings.limits);
    }
    store(ctx, result, "sunionstore")
}

pub(super) const SDIFF: Command = Command {
    spec: Spec {
        name: "sdiff",
        summary: "Answers the members of a set that no other of several sets has.",
        complexity: ALL_MEMBERS,
        ..ANSWERS
    },
    form: Form::Gather(sdiff, None),
};

fn sdiff(ctx: &mut Context<'_>) -> Outcome {
    let keys = keys(ctx, 1..ctx.args.len());
    let sets = Sets::read(ctx.shard, ctx.db, keys)?;
    let mark = ctx.reply.mark();
    let mut n = 0;
    if let Some((first, others)) = sets.first_and_others() {
        algebra::subtract(first, &others, |member| {
            Context::reply_element(ctx.reply, member);
            n += 1;
        });
    }
    ctx.reply.close_set(mark, n);
    Ok(Effect::Read)
}

pub(super) const SDIFFSTORE: Command = Command {
    spec: Spec {
        name: "sdiffstore",
        summary: "Stores the members of a set that no other of several sets has.",
        complexity: ALL_MEMBERS,
        ..STORES
    },
    form: Form::Gather(sdiffstore, None),
};

fn sdiffstore(ctx: &mut Context<'_>) -> Outcome {
    let keys = keys(ctx, 2..ctx.args.len());
    let sets = Sets::read(ctx.shard, ctx.db, keys)?;
    let result = match sets.first_and_others() {
        Some((first, others)) => algebra::difference(first, &others, &ctx.settings.limits),
        None => Set::default(),
    };
    store(ctx, result, "sdiffstore")
}
