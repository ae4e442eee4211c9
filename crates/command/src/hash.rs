//! Hashes: HSET, HGET and their kin.
//!
//! Rows stand beside their handlers, here for the commands that set, get and remove fields, and in a file
//! each for those that count, that are about expiries of fields, that do both at once, and that go over
//! fields or draw some.

mod count;
mod expire;
mod together;
mod walk;

use self::expire::tell_field;
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Deprecated, Effect, Flags, Form};
use crate::spec::{Outcome, Spec, Weight};
use resp::Reply;
use store::hash::Hash;
use store::shard::{Expiry, Held};
use store::{Class, Collection, Element, Look};

pub static COMMANDS: &[Command] = &[
    HDEL,
    HEXISTS,
    expire::HEXPIRE,
    expire::HEXPIREAT,
    expire::HEXPIRETIME,
    HGET,
    HGETALL,
    together::HGETDEL,
    together::HGETEX,
    count::HINCRBY,
    count::HINCRBYFLOAT,
    HKEYS,
    HLEN,
    HMGET,
    HMSET,
    expire::HPERSIST,
    expire::HPEXPIRE,
    expire::HPEXPIREAT,
    expire::HPEXPIRETIME,
    expire::HPTTL,
    walk::HRANDFIELD,
    walk::HSCAN,
    HSET,
    together::HSETEX,
    HSETNX,
    HSTRLEN,
    expire::HTTL,
    HVALS,
];

const KEY: Argument = Argument::key("key", 0);
const FIELD: Argument = Argument::new("field", Kind::String);
const VALUE: Argument = Argument::new("value", Kind::String);
const PAIRS: Argument = Argument::block("data", &[FIELD, VALUE]).multiple();

const READ: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.or(KeyFlags::ACCESS))];
const ASK: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO)];
const UPDATE: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::UPDATE))];
const SETS: Flags = Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST);

/// What most rows that read have in common.
const READER: Spec = Spec {
    group: "hash",
    since: "2.0.0",
    arity: 3,
    flags: Flags::READONLY.or(Flags::FAST),
    keys: READ,
    arguments: &[KEY, FIELD],
    ..Spec::DEFAULT
};

/// What rows of commands that answer all of a hash have in common.
const LISTER: Spec = Spec {
    arity: 2,
    flags: Flags::READONLY,
    tips: &["nondeterministic_output_order"],
    complexity: "O(N) with N the number of fields.",
    arguments: &[KEY],
    weight: Weight::Values,
    ..READER
};

/// What most rows that write have in common.
const WRITER: Spec = Spec {
    group: "hash",
    since: "2.0.0",
    arity: -4,
    flags: SETS,
    keys: UPDATE,
    complexity: "O(N) with N the number of fields given.",
    ..Spec::DEFAULT
};

/// The hash at argument 1, and the time.
fn read<'c>(ctx: &'c mut Context<'_>) -> Result<(Option<Held<'c, Hash>>, i64), Error> {
    let key = ctx.key(1);
    let now = ctx.shard.now_ms();
    Ok((ctx.shard.read(ctx.db, key, Look::Use)?, now))
}

fn reply_value(reply: &mut Reply, value: Option<Element<'_>>) {
    match value {
        None => reply.null(),
        Some(value) => Context::reply_element(reply, value),
    }
}

const HGET: Command = Command {
    spec: Spec {
        name: "hget",
        summary: "Answers the value of a field.",
        ..READER
    },
    form: Form::Local(hget),
};

fn hget(ctx: &mut Context<'_>) -> Outcome {
    let (key, field) = (ctx.key(1), ctx.args.get(2));
    let now = ctx.shard.now_ms();
    let hash = ctx.shard.read::<Hash>(ctx.db, key, Look::Use)?;
    let value = hash.as_ref().and_then(|hash| hash.get(field, now));
    reply_value(ctx.reply, value);
    Ok(Effect::Read)
}

const HMGET: Command = Command {
    spec: Spec {
        name: "hmget",
        arity: -3,
        summary: "Answers the values of several fields, null for one that there is not.",
        complexity: "O(N) with N the number of fields given.",
        arguments: &[KEY, FIELD.multiple()],
        ..READER
    },
    form: Form::Local(hmget),
};

fn hmget(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let now = ctx.shard.now_ms();
    let hash = ctx.shard.read::<Hash>(ctx.db, key, Look::Use)?;
    ctx.reply.array(ctx.args.len() - 2);
    for field in ctx.args.from(2).iter() {
        let value = hash.as_ref().and_then(|hash| hash.get(field, now));
        reply_value(ctx.reply, value);
    }
    Ok(Effect::Read)
}

const HEXISTS: Command = Command {
    spec: Spec {
        name: "hexists",
        keys: ASK,
        summary: "Answers whether a hash has a field.",
        ..READER
    },
    form: Form::Local(hexists),
};

fn hexists(ctx: &mut Context<'_>) -> Outcome {
    let field = ctx.args.get(2);
    let (hash, now) = read(ctx)?;
    let found = hash.is_some_and(|hash| hash.get(field, now).is_some());
    ctx.reply.int(found.into());
    Ok(Effect::Read)
}

const HSTRLEN: Command = Command {
    spec: Spec {
        name: "hstrlen",
        since: "3.2.0",
        keys: ASK,
        summary: "Answers how many bytes the value of a field has.",
        ..READER
    },
    form: Form::Local(hstrlen),
};

fn hstrlen(ctx: &mut Context<'_>) -> Outcome {
    let field = ctx.args.get(2);
    let (hash, now) = read(ctx)?;
    let len = hash.and_then(|hash| hash.get(field, now).map(|value| value.len()));
    ctx.reply.int(len.unwrap_or(0) as i64);
    Ok(Effect::Read)
}

const HLEN: Command = Command {
    spec: Spec {
        name: "hlen",
        arity: 2,
        keys: ASK,
        summary: "Answers how many fields a hash has, those not yet removed included.",
        arguments: &[KEY],
        ..READER
    },
    form: Form::Local(hlen),
};

fn hlen(ctx: &mut Context<'_>) -> Outcome {
    let (hash, _) = read(ctx)?;
    let len = hash.map_or(0, |hash| hash.len());
    ctx.reply.int(len as i64);
    Ok(Effect::Read)
}

const HGETALL: Command = Command {
    spec: Spec {
        name: "hgetall",
        summary: "Answers all fields of a hash with their values.",
        ..LISTER
    },
    form: Form::Local(hgetall),
};

const HKEYS: Command = Command {
    spec: Spec {
        name: "hkeys",
        summary: "Answers the names of all fields of a hash.",
        ..LISTER
    },
    form: Form::Local(hkeys),
};

const HVALS: Command = Command {
    spec: Spec {
        name: "hvals",
        summary: "Answers the values of all fields of a hash.",
        ..LISTER
    },
    form: Form::Local(hvals),
};

fn hgetall(ctx: &mut Context<'_>) -> Outcome {
    list(ctx, Reply::map, |reply, field, value| {
        Context::reply_element(reply, field);
        Context::reply_element(reply, value);
    })
}

fn hkeys(ctx: &mut Context<'_>) -> Outcome {
    list(ctx, Reply::array, |reply, field, _| {
        Context::reply_element(reply, field);
    })
}

fn hvals(ctx: &mut Context<'_>) -> Outcome {
    list(ctx, Reply::array, |reply, _, value| {
        Context::reply_element(reply, value);
    })
}

/// Answers something of each field, behind the header for so many.
fn list(
    ctx: &mut Context<'_>,
    header: fn(&mut Reply, usize),
    each: impl Fn(&mut Reply, Element<'_>, Element<'_>),
) -> Outcome {
    let key = ctx.key(1);
    let now = ctx.shard.now_ms();
    let Some(hash) = ctx.shard.read::<Hash>(ctx.db, key, Look::Use)? else {
        header(ctx.reply, 0);
        return Ok(Effect::Read);
    };
    let len = match hash.is_timed() {
        false => hash.len(),
        true => hash.iter(now).count(),
    };
    header(ctx.reply, len);
    for (field, value) in hash.iter(now) {
        each(ctx.reply, field, value);
    }
    Ok(Effect::Read)
}

const HSET: Command = Command {
    spec: Spec {
        name: "hset",
        summary: "Sets fields of a hash and answers how many of them are new.",
        arguments: &[KEY, PAIRS],
        history: &[("4.0.0", "Takes several fields with their values.")],
        ..WRITER
    },
    form: Form::Local(hset),
};

const HMSET: Command = Command {
    spec: Spec {
        name: "hmset",
        summary: "The older name of HSET, which answers OK.",
        arguments: &[KEY, PAIRS],
        deprecated: Some(Deprecated {
            since: "4.0.0",
            replaced_by: "`HSET` with multiple field-value pairs",
        }),
        ..WRITER
    },
    form: Form::Local(hmset),
};

fn hset(ctx: &mut Context<'_>) -> Outcome {
    let added = set(ctx, "hset")?;
    ctx.reply.int(added as i64);
    Ok(Effect::Wrote)
}

fn hmset(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, "hmset")?;
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

/// Sets the fields from argument 2 on; answers how many are new.
fn set(ctx: &mut Context<'_>, name: &str) -> Result<usize, Error> {
    let args = ctx.args;
    if !args.len().is_multiple_of(2) {
        return Err(Error::arity(name));
    }
    let key = ctx.key(1);
    let limits = &ctx.settings.limits;
    let mut hash = ctx.shard.create::<Hash>(ctx.db, key)?;
    let now = hash.now_ms();
    hash.prepare(args.len() / 2 - 1, limits);
    let mut added = 0;
    for i in (2..args.len()).step_by(2) {
        let (field, value) = (args.get(i), args.get(i + 1));
        added += usize::from(hash.set(field, value, Expiry::Clear, now, limits));
    }
    hash.close_as(true, Class::HASH, "hset");
    Ok(added)
}

const HSETNX: Command = Command {
    spec: Spec {
        name: "hsetnx",
        arity: 4,
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::INSERT))],
        summary: "Sets a field unless the hash has it.",
        complexity: "O(1)",
        arguments: &[KEY, FIELD, VALUE],
        ..WRITER
    },
    form: Form::Local(hsetnx),
};

fn hsetnx(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let (field, value) = (ctx.args.get(2), ctx.args.get(3));
    let mut hash = ctx.shard.create::<Hash>(ctx.db, key)?;
    let now = hash.now_ms();
    let absent = hash.get(field, now).is_none();
    if absent {
        let limits = &ctx.settings.limits;
        hash.set(field, value, Expiry::Clear, now, limits);
        // There may be one whose time has come.
        tell_field(ctx.effects, key, &hash, field, now);
    }
    hash.close_as(absent, Class::HASH, "hset");
    ctx.reply.int(absent.into());
    Ok(Effect::wrote_if(absent))
}

const HDEL: Command = Command {
    spec: Spec {
        name: "hdel",
        arity: -3,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::DELETE))],
        summary: "Removes fields of a hash and answers how many there were; without any, the key goes.",
        arguments: &[KEY, FIELD.multiple()],
        history: &[("2.4.0", "Takes several fields.")],
        ..WRITER
    },
    form: Form::Local(hdel),
};

fn hdel(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let mut removed = 0;
    if let Some(mut hash) = ctx.shard.open::<Hash>(ctx.db, key)? {
        let now = hash.now_ms();
        for field in ctx.args.from(2).iter() {
            removed += i64::from(hash.take(field, now));
        }
        hash.close_as(removed > 0, Class::HASH, "hdel");
    }
    ctx.reply.int(removed);
    Ok(Effect::wrote_if(removed > 0))
}

#[cfg(test)]
mod tests;
