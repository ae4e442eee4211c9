//! SPOP and SRANDMEMBER.

use super::{KEY, READ, TAKE, reply_all};
use crate::context::Context;
use crate::effect::Effects;
use crate::error::Error;
use crate::keyspec::KeySpec;
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use resp::number::parse_i64;
use store::set::Set;
use store::{Class, Collection, Element, Key, Look, Random};

const COUNT: Argument = Argument::new("count", Kind::Integer).optional();

pub(super) const SPOP: Command = Command {
    spec: Spec {
        name: "spop",
        group: "set",
        since: "1.0.0",
        arity: -2,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, TAKE)],
        tips: &["nondeterministic_output"],
        summary: "Removes members drawn with equal chance and answers them.",
        complexity: "O(1) without a count, O(N) with N the count.",
        arguments: &[KEY, COUNT.since("3.2.0")],
        history: &[("3.2.0", "Takes a count.")],
        weight: Weight::Of(weight),
        ..Spec::DEFAULT
    },
    form: Form::Local(spop),
};

fn spop(ctx: &mut Context<'_>) -> Outcome {
    match ctx.args.len() {
        2 => {}
        3 => return spop_many(ctx),
        _ => return Err(Error::SYNTAX),
    }
    let key = ctx.key(1);
    let Some(mut set) = ctx.shard.open::<Set>(ctx.db, key)? else {
        ctx.reply.null();
        return Ok(Effect::Read);
    };
    let mut random = set.random();
    set.pop(&mut random, |member| {
        tell_gone(ctx.effects, key, member);
        Context::reply_element(ctx.reply, member);
    });
    set.close_as(true, Class::SET, "spop");
    Ok(Effect::Wrote)
}

/// Logs that a member has gone, instead of the command.
fn tell_gone(effects: &mut Effects, key: Key<'_>, member: Element<'_>) {
    if effects.is_on() {
        let member = member.text();
        effects.tell(["SREM".into(), key.bytes.into(), (&*member).into()]);
    }
}

/// SPOP with a count.
fn spop_many(ctx: &mut Context<'_>) -> Outcome {
    const NOT_POSITIVE: Error = Error::fixed("ERR value is out of range, must be positive");
    let key = ctx.key(1);
    let count = parse_i64(ctx.args.get(2)).and_then(|n| usize::try_from(n).ok());
    let count = count.ok_or(NOT_POSITIVE)?;
    let Some(set) = ctx.shard.read::<Set>(ctx.db, key, Look::Touch)? else {
        ctx.reply.set(0);
        return Ok(Effect::Read);
    };
    if count >= set.len() {
        reply_all(ctx.reply, &set);
        ctx.notify(Class::SET, "spop", key);
        ctx.delete(key);
        ctx.tell_delete(key);
        return Ok(Effect::Wrote);
    }
    ctx.reply.set(count);
    if count > 0
        && let Some(mut set) = ctx.shard.open::<Set>(ctx.db, key)?
    {
        let mut random = set.random();
        set.pop_many(count, &mut random, &ctx.settings.limits, |member| {
            tell_gone(ctx.effects, key, member);
            Context::reply_element(ctx.reply, member);
        });
        set.close_as(true, Class::SET, "spop");
    }
    Ok(Effect::wrote_if(count > 0))
}

pub(super) const SRANDMEMBER: Command = Command {
    spec: Spec {
        name: "srandmember",
        group: "set",
        since: "1.0.0",
        arity: -2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        tips: &["nondeterministic_output"],
        summary: "Answers members drawn with equal chance.",
        complexity: "O(1) without a count, O(N) with N the count's absolute value.",
        arguments: &[KEY, COUNT.since("2.6.0")],
        history: &[("2.6.0", "Takes a count.")],
        weight: Weight::Of(weight),
        ..Spec::DEFAULT
    },
    form: Form::Local(srandmember),
};

fn srandmember(ctx: &mut Context<'_>) -> Outcome {
    match ctx.args.len() {
        2 => {}
        3 => return srandmember_many(ctx),
        _ => return Err(Error::SYNTAX),
    }
    let key = ctx.key(1);
    let mut random = Random::new(ctx.shard.random());
    let set = ctx.shard.read::<Set>(ctx.db, key, Look::Use)?;
    match set.as_ref().and_then(|set| set.random(&mut random)) {
        Some(member) => Context::reply_element(ctx.reply, member),
        None => ctx.reply.null(),
    }
    Ok(Effect::Read)
}

/// SRANDMEMBER with a count: so many different members, or if it is negative, so many draws.
fn srandmember_many(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let count = ctx.symmetric(2)?;
    let mut random = Random::new(ctx.shard.random());
    let Some(set) = ctx.shard.read::<Set>(ctx.db, key, Look::Use)? else {
        ctx.reply.array(0);
        return Ok(Effect::Read);
    };
    if let Ok(count) = usize::try_from(count) {
        let count = count.min(set.len());
        ctx.reply.array(count);
        set.sample(count, &mut random, |member| {
            Context::reply_element(ctx.reply, member);
        });
        return Ok(Effect::Read);
    }
    let draws = count.unsigned_abs();
    ctx.reply.array(draws as usize);
    let (from, max) = (ctx.reply.len(), ctx.settings.max_string);
    let mut left = draws;
    set.draw(draws, &mut random, |member| {
        Context::reply_element(ctx.reply, member);
        left -= 1;
        ctx.reply.len() - from <= max
    });
    if left > 0 {
        return Err(Error::OUT_OF_RANGE);
    }
    Ok(Effect::Read)
}

/// Members that a call goes through.
fn weight(ctx: &mut Context<'_>) -> usize {
    let Some(count) = ctx.args.opt(2).and_then(parse_i64) else {
        return 1;
    };
    let key = ctx.key(1);
    match ctx.shard.read::<Set>(ctx.db, key, Look::Peek) {
        Ok(Some(set)) => match usize::try_from(count) {
            // Drawing most of a set means to go through it.
            Ok(count) => count.saturating_mul(3).min(set.len()),
            Err(_) => count.unsigned_abs() as usize,
        },
        _ => 0,
    }
}
