//! Counters: strings that are numbers, changed by adding.

use super::float::Extended;
use super::{CHANGE, KEY, Text};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::KeySpec;
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::number::parse_i64;
use store::entry::NewValue;
use store::shard::Expiry;
use store::string::UpdateError;
use store::{Class, Look, Str};

const COUNTER: Flags = Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST);

pub(super) const INCR: Command = Command {
    spec: Spec {
        name: "incr",
        group: "string",
        arity: 2,
        flags: COUNTER,
        keys: &[KeySpec::one(1, CHANGE)],
        summary: "Adds one to the integer at a key; an absent key counts as 0.",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(incr),
};

fn incr(ctx: &mut Context<'_>) -> Outcome {
    add(ctx, 1)
}

pub(super) const DECR: Command = Command {
    spec: Spec {
        name: "decr",
        group: "string",
        arity: 2,
        flags: COUNTER,
        keys: &[KeySpec::one(1, CHANGE)],
        summary: "Takes one from the integer at a key; an absent key counts as 0.",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(decr),
};

fn decr(ctx: &mut Context<'_>) -> Outcome {
    add(ctx, -1)
}

pub(super) const INCRBY: Command = Command {
    spec: Spec {
        name: "incrby",
        group: "string",
        arity: 3,
        flags: COUNTER,
        keys: &[KeySpec::one(1, CHANGE)],
        summary: "Adds an integer to the one at a key; an absent key counts as 0.",
        arguments: &[KEY, Argument::new("increment", Kind::Integer)],
        ..Spec::DEFAULT
    },
    form: Form::Local(incrby),
};

fn incrby(ctx: &mut Context<'_>) -> Outcome {
    let by = ctx.integer(2)?;
    add(ctx, by)
}

pub(super) const DECRBY: Command = Command {
    spec: Spec {
        name: "decrby",
        group: "string",
        arity: 3,
        flags: COUNTER,
        keys: &[KeySpec::one(1, CHANGE)],
        summary: "Takes an integer from the one at a key; an absent key counts as 0.",
        arguments: &[KEY, Argument::new("decrement", Kind::Integer)],
        ..Spec::DEFAULT
    },
    form: Form::Local(decrby),
};

fn decrby(ctx: &mut Context<'_>) -> Outcome {
    let by = ctx.integer(2)?.checked_neg();
    add(ctx, by.ok_or(Error::new("ERR decrement would overflow"))?)
}

fn add(ctx: &mut Context<'_>, by: i64) -> Outcome {
    let key = ctx.key(1);
    let sum = ctx.shard.update_int(ctx.db, key, |old| {
        let value = match old {
            None => 0,
            Some(Str::Int(v)) => v,
            Some(text) => parse_i64(&Text::from(text)).ok_or(Error::NOT_INTEGER)?,
        };
        value.checked_add(by).ok_or(Error::OVERFLOW)
    });
    match sum {
        Ok(sum) => {
            ctx.notify(Class::STRING, "incrby", key);
            ctx.reply.int(sum);
            Ok(Effect::Wrote)
        }
        Err(UpdateError::Refused(error)) => Err(error),
        Err(UpdateError::WrongType) => Err(Error::WRONG_TYPE),
    }
}

pub(super) const INCRBYFLOAT: Command = Command {
    spec: Spec {
        name: "incrbyfloat",
        group: "string",
        since: "2.6.0",
        arity: 3,
        flags: COUNTER,
        keys: &[KeySpec::one(1, CHANGE)],
        summary: "Adds a number to the one at a key, with fractions; an absent key counts as 0.",
        arguments: &[KEY, Argument::new("increment", Kind::Double)],
        ..Spec::DEFAULT
    },
    form: Form::Local(incrbyfloat),
};

fn incrbyfloat(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let old = match ctx.string(key, Look::Touch)? {
        None => Extended::ZERO,
        Some(Str::Int(v)) => Extended::from(v),
        Some(text) => Extended::parse(&Text::from(text)).ok_or(Error::NOT_FLOAT)?,
    };
    let by = Extended::parse(ctx.args.get(2)).ok_or(Error::NOT_FLOAT)?;
    let sum = old.checked_add(by);
    let sum = sum.ok_or(Error::new("ERR increment would produce NaN or Infinity"))?;
    // Redis keeps the text, even of a whole number.
    let text = sum.to_text();
    let value = NewValue::Bytes(&text);
    ctx.shard.set(ctx.db, key, value, None, Expiry::Keep);
    ctx.notify(Class::STRING, "incrbyfloat", key);
    ctx.tell_set(key, &text, Expiry::Keep);
    ctx.reply.bulk(&text);
    Ok(Effect::Wrote)
}
