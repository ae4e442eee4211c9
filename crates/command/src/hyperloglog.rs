//! HyperLogLogs: strings that estimate how many distinct elements they have seen.
//!
//! Rows stand beside their handlers. What is in such a string is the business of `sketch`, which knows
//! neither keys nor replies; its registers are written as runs (`sparse`) or one by one (`dense`).
//!
//! PFCOUNT of one key is a read by its flags, and writes: it keeps the count in the string, as Redis
//! does, so that GET finds the same bytes and the next PFCOUNT has nothing to add up. So its key is
//! specified as written, by which it is locked, and its effect says when it has written.

mod dense;
mod estimate;
mod murmur;
pub mod sketch;
mod sparse;

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::Weight;
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use crate::string::{Text, wrote};
use resp::Args;
use sketch::{Corrupt, Encoding, NoSketch, Rank, Union};
use store::shard::Expiry;
use store::{Class, Key, Look, Str};

pub static COMMANDS: &[Command] = &[PFADD, PFCOUNT, PFDEBUG, PFMERGE, PFSELFTEST];

const KEY: Argument = Argument::key("key", 0);

impl From<NoSketch> for Error {
    fn from(_: NoSketch) -> Error {
        Error::new("WRONGTYPE Key is not a valid HyperLogLog string value.")
    }
}

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Error {
        Error::new("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// A string that is a sketch by its looks.
fn checked(string: Str<'_>) -> Result<(Text<'_>, Encoding), Error> {
    let text = Text::from(string);
    let encoding = sketch::encoding(&text)?;
    Ok((text, encoding))
}

const PFADD: Command = Command {
    spec: Spec {
        name: "pfadd",
        group: "hyperloglog",
        since: "2.8.9",
        arity: -2,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::INSERT))],
        summary: "Adds elements to a HyperLogLog, which starts empty if there is no key.",
        complexity: "O(1) for each element.",
        arguments: &[
            KEY,
            Argument::new("element", Kind::String).optional().multiple(),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(pfadd),
};

fn pfadd(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let elements = ctx.args.from(2);
    let max_sparse = ctx.settings.limits.hll_sparse_max_bytes;
    let changed = match ctx.string(key, Look::Touch)? {
        None => {
            let mut bytes = sketch::empty();
            add_all(&mut bytes, elements, max_sparse)?;
            sketch::forget_count(&mut bytes);
            ctx.shard.set_built(ctx.db, key, bytes, Expiry::Clear);
            true
        }
        Some(string) => match checked(string)? {
            (_, Encoding::Dense) => add_dense(ctx, key, elements)?,
            (text, Encoding::Sparse) => match raised(&text, elements, max_sparse)? {
                None => false,
                Some(bytes) => {
                    ctx.shard.set_built(ctx.db, key, bytes, Expiry::Keep);
                    true
                }
            },
        },
    };
    if changed {
        ctx.notify(Class::STRING, "pfadd", key);
    }
    ctx.reply.int(changed.into());
    Ok(wrote(changed))
}

fn add_all(bytes: &mut Vec<u8>, elements: Args<'_>, max_sparse: usize) -> Result<(), Corrupt> {
    for element in elements.iter() {
        sketch::raise(bytes, Rank::of(element), max_sparse)?;
    }
    Ok(())
}

/// A sparse sketch with elements added, or `None` if they change nothing.
fn raised(text: &[u8], elements: Args<'_>, max_sparse: usize) -> Result<Option<Vec<u8>>, Corrupt> {
    for i in 0..elements.len() {
        if sketch::is_raised_by(text, Rank::of(elements.get(i)))? {
            // Room for this element, and some more.
            let mut bytes = Vec::with_capacity(text.len() + 32);
            bytes.extend_from_slice(text);
            add_all(&mut bytes, elements.from(i), max_sparse)?;
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn add_dense(ctx: &mut Context<'_>, key: Key<'_>, elements: Args<'_>) -> Result<bool, Error> {
    let (_, changed) = ctx.shard.edit_if(ctx.db, key, 0, |bytes| {
        let mut changed = false;
        for element in elements.iter() {
            changed |= sketch::raise_dense(bytes, Rank::of(element));
        }
        ((), changed)
    })?;
    Ok(changed)
}

const PFCOUNT: Command = Command {
    spec: Spec {
        name: "pfcount",
        group: "hyperloglog",
        since: "2.8.9",
        arity: -2,
        flags: Flags::READONLY.or(Flags::MAY_REPLICATE),
        keys: &[KeySpec {
            notes: "the key is written because the count is kept in it",
            ..KeySpec::range(1, -1, 1, KeyFlags::RW.or(KeyFlags::ACCESS))
        }],
        summary: "Estimates how many distinct elements one or several HyperLogLogs have seen.",
        complexity: "O(1) for one key whose count is known, O(N) with N the number of keys otherwise.",
        arguments: &[KEY.multiple()],
        weight: Weight::Of(weight),
        ..Spec::DEFAULT
    },
    form: Form::Gather(pfcount, None),
};

fn pfcount(ctx: &mut Context<'_>) -> Outcome {
    if ctx.args.len() > 2 {
        let union = union_of(ctx)?.0;
        ctx.reply.int(union.count() as i64);
        return Ok(Effect::Read);
    }
    let key = ctx.key(1);
    let Some(string) = ctx.string(key, Look::Use)? else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    let (text, _) = checked(string)?;
    if let Some(count) = sketch::kept_count(&text) {
        ctx.reply.int(count as i64);
        return Ok(Effect::Read);
    }
    let count = sketch::count(&text)?;
    ctx.shard.edit_if(ctx.db, key, 0, |bytes| {
        sketch::keep_count(bytes, count);
        ((), true)
    })?;
    ctx.reply.int(count as i64);
    Ok(Effect::Wrote)
}

/// A sketch takes as long as a few hundred elements of a collection.
fn weight(ctx: &mut Context<'_>) -> usize {
    ctx.args.len() * 256
}

/// The union of the sketches at all arguments, and whether any of them is dense.
fn union_of(ctx: &mut Context<'_>) -> Result<(Union, bool), Error> {
    let (mut union, mut any_dense) = (Union::default(), false);
    ctx.prefetch_keys(1, 1);
    for i in 1..ctx.args.len() {
        let key = ctx.key(i);
        if let Some(string) = ctx.string(key, Look::Use)? {
            let (text, encoding) = checked(string)?;
            union.add(&text)?;
            any_dense |= encoding == Encoding::Dense;
        }
    }
    Ok((union, any_dense))
}

const PFMERGE: Command = Command {
    spec: Spec {
        name: "pfmerge",
        group: "hyperloglog",
        since: "2.8.9",
        arity: -2,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[
            KeySpec::one(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::INSERT)),
            KeySpec::range(2, -1, 1, KeyFlags::RO.or(KeyFlags::ACCESS)),
        ],
        summary: "Adds to a HyperLogLog all that others have seen.",
        complexity: "O(N) with N the number of keys.",
        arguments: &[
            Argument::key("destkey", 0),
            Argument::key("sourcekey", 1).optional().multiple(),
        ],
        weight: Weight::Of(weight),
        ..Spec::DEFAULT
    },
    form: Form::Gather(pfmerge, None),
};

fn pfmerge(ctx: &mut Context<'_>) -> Outcome {
    let (union, any_dense) = union_of(ctx)?;
    let key = ctx.key(1);
    let (mut bytes, expiry) = match ctx.string(key, Look::Touch)? {
        None => (sketch::empty(), Expiry::Clear),
        Some(string) => (Text::from(string).to_vec(), Expiry::Keep),
    };
    if any_dense {
        sketch::make_dense(&mut bytes)?;
    }
    union.pour_into(&mut bytes, ctx.settings.limits.hll_sparse_max_bytes)?;
    ctx.shard.set_built(ctx.db, key, bytes, expiry);
    ctx.notify(Class::STRING, "pfadd", key);
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

const PFDEBUG: Command = Command {
    spec: Spec {
        name: "pfdebug",
        group: "hyperloglog",
        since: "2.8.9",
        arity: 3,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::ADMIN),
        keys: &[KeySpec::one(2, KeyFlags::RW.or(KeyFlags::ACCESS))],
        summary: "Shows how a HyperLogLog is stored, or makes it dense.",
        complexity: "O(N) with N the number of registers.",
        arguments: &[
            Argument::new("subcommand", Kind::String),
            Argument::key("key", 0),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(pfdebug),
};

fn pfdebug(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(2);
    let args = ctx.args;
    let Some(string) = ctx.shard.look(ctx.db, key, Look::Touch) else {
        return Err(Error::new("ERR The specified key does not exist"));
    };
    let (text, encoding) = checked(string.str()?)?;
    if args.is(1, "ENCODING") {
        ctx.reply.simple(encoding.name());
        return Ok(Effect::Read);
    }
    if args.is(1, "DECODE") {
        let runs = sketch::decode(&text);
        let runs = runs.ok_or(Error::new("ERR HLL encoding is not sparse"))??;
        ctx.reply.bulk(runs.as_bytes());
        return Ok(Effect::Read);
    }
    let shows = args.is(1, "GETREG");
    if !shows && !args.is(1, "TODENSE") {
        let subcommand = args.get(1);
        return Err(Error::showing(
            "ERR Unknown PFDEBUG subcommand '",
            subcommand,
            "'",
        ));
    }
    let mut union = Union::default();
    if shows {
        union.add(&text)?;
    }
    let converts = encoding == Encoding::Sparse;
    if converts {
        let mut bytes = text.to_vec();
        sketch::make_dense(&mut bytes)?;
        ctx.shard.set_built(ctx.db, key, bytes, Expiry::Keep);
    }
    if shows {
        ctx.reply.array(sketch::REGISTERS);
        let values = union.values().iter();
        values.for_each(|value| ctx.reply.int((*value).into()));
    } else {
        ctx.reply.int(converts.into());
    }
    Ok(wrote(converts))
}

const PFSELFTEST: Command = Command {
    spec: Spec {
        name: "pfselftest",
        group: "hyperloglog",
        since: "2.8.9",
        arity: 1,
        flags: Flags::ADMIN,
        summary: "Checks that HyperLogLogs count as well as they should.",
        complexity: "O(1)",
        ..Spec::DEFAULT
    },
    form: Form::Local(pfselftest),
};

/// Adds numbers to a sketch in both encodings, which have to agree, and compares the estimate with the
/// truth as it grows. A few milliseconds of work.
fn pfselftest(ctx: &mut Context<'_>) -> Outcome {
    const ELEMENTS: u32 = 100_000;
    /// Five standard errors of 2¹⁴ registers.
    const ERROR_MAX: f64 = 5.0 * 1.04 / 128.0;
    let failed = |what: String| Error::new(format!("ERR TESTFAILED {what}"));
    let (mut sparse, mut dense) = (sketch::empty(), sketch::empty());
    sketch::make_dense(&mut dense)?;
    for n in 1..=ELEMENTS {
        let rank = Rank::of(&n.to_le_bytes());
        sketch::raise_dense(&mut dense, rank);
        sketch::raise(&mut sparse, rank, 3000)?;
        if !n.is_power_of_two() && n != ELEMENTS {
            continue;
        }
        let (count, other) = (sketch::count(&dense)?, sketch::count(&sparse)?);
        if count != other {
            return Err(failed(format!("{count} if dense, {other} if sparse")));
        }
        let error = (count as f64 - f64::from(n)).abs();
        if error > (ERROR_MAX * f64::from(n)).max(2.0) {
            return Err(failed(format!("{n} elements are counted as {count}")));
        }
    }
    ctx.reply.ok();
    Ok(Effect::Read)
}

#[cfg(test)]
mod tests;
