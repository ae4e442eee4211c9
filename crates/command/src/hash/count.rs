//! Fields that are numbers, changed by adding.

use super::expire::tell_field;
use super::{FIELD, KEY, WRITER};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Form, Outcome, Spec};
use crate::string::float::Extended;
use resp::number::{Decimal, parse_i64};
use store::hash::Hash;
use store::shard::Expiry;
use store::{Class, Element};

const COUNTER: Spec = Spec {
    arity: 4,
    keys: &[KeySpec::one(
        1,
        KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE),
    )],
    complexity: "O(1)",
    ..WRITER
};

pub(super) const HINCRBY: Command = Command {
    spec: Spec {
        name: "hincrby",
        summary: "Adds an integer to the one in a field; an absent field counts as 0.",
        arguments: &[KEY, FIELD, Argument::new("increment", Kind::Integer)],
        ..COUNTER
    },
    form: Form::Local(hincrby),
};

fn hincrby(ctx: &mut Context<'_>) -> Outcome {
    let by = ctx.integer(3)?;
    let (key, field) = (ctx.key(1), ctx.args.get(2));
    let mut hash = ctx.shard.create::<Hash>(ctx.db, key)?;
    let now = hash.now_ms();
    let found = hash.get(field, now);
    let is_new = found.is_none();
    let value = match found {
        None => Some(0),
        Some(Element::Int(value)) => Some(value),
        Some(Element::Bytes(text)) => parse_i64(text),
    };
    let value = value.ok_or(Error::new("ERR hash value is not an integer"))?;
    let sum = value.checked_add(by).ok_or(Error::OVERFLOW)?;
    let text = Decimal::signed(sum);
    let limits = &ctx.settings.limits;
    hash.set(field, text.as_bytes(), Expiry::Keep, now, limits);
    if is_new {
        // There may be one whose time has come.
        tell_field(ctx.effects, key, &hash, field, now);
    }
    hash.close_as(true, Class::HASH, "hincrby");
    ctx.reply.int(sum);
    Ok(Effect::Wrote)
}

pub(super) const HINCRBYFLOAT: Command = Command {
    spec: Spec {
        name: "hincrbyfloat",
        since: "2.6.0",
        summary: "Adds a number to the one in a field, with fractions; an absent field counts as 0.",
        arguments: &[KEY, FIELD, Argument::new("increment", Kind::Double)],
        ..COUNTER
    },
    form: Form::Local(hincrbyfloat),
};

fn hincrbyfloat(ctx: &mut Context<'_>) -> Outcome {
    let by = Extended::parse(ctx.args.get(3)).ok_or(Error::NOT_FLOAT)?;
    if !by.is_finite() {
        return Err(Error::new("ERR value is NaN or Infinity"));
    }
    let (key, field) = (ctx.key(1), ctx.args.get(2));
    let mut hash = ctx.shard.create::<Hash>(ctx.db, key)?;
    let now = hash.now_ms();
    let value = match hash.get(field, now) {
        None => Some(Extended::ZERO),
        Some(Element::Int(value)) => Some(Extended::from(value)),
        Some(Element::Bytes(text)) => Extended::parse(text),
    };
    let value = value.ok_or(Error::new("ERR hash value is not a float"))?;
    let sum = value.checked_add(by);
    let sum = sum.ok_or(Error::new("ERR increment would produce NaN or Infinity"))?;
    let text = sum.to_text();
    hash.set(field, &text, Expiry::Keep, now, &ctx.settings.limits);
    tell_field(ctx.effects, key, &hash, field, now);
    hash.close_as(true, Class::HASH, "hincrbyfloat");
    ctx.reply.bulk(&text);
    Ok(Effect::Wrote)
}
