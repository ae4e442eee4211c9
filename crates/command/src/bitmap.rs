//! Bitmaps: strings seen as bits, of which bit 0 is the highest of byte 0.
//!
//! Rows stand beside their handlers. The work on the bytes themselves is in `bits`, which knows
//! neither keys nor replies; BITFIELD has a file of its own.

mod bits;
mod field;

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use crate::string::{Text, ordered_range, range, wrote};
use bits::{Operator, Unit};
use resp::Args;
use resp::number::parse_i64;
use store::shard::Expiry;
use store::{Class, Look};

pub static COMMANDS: &[Command] = &[
    BITCOUNT,
    field::BITFIELD,
    field::BITFIELD_RO,
    BITOP,
    BITPOS,
    GETBIT,
    SETBIT,
];

const KEY: Argument = Argument::key("key", 0);
const OFFSET: Argument = Argument::new("offset", Kind::Integer);
const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const CHANGE: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE);

/// START [END [BYTE|BIT]], as BITCOUNT and BITPOS take it.
const RANGE: Argument = Argument::block(
    "range",
    &[
        Argument::new("start", Kind::Integer),
        Argument::block(
            "end-unit-block",
            &[
                Argument::new("end", Kind::Integer),
                Argument::one_of(
                    "unit",
                    &[
                        Argument::token("byte", "BYTE"),
                        Argument::token("bit", "BIT"),
                    ],
                )
                .optional()
                .since("7.0.0"),
            ],
        )
        .optional(),
    ],
)
.optional();

const BAD_OFFSET: Error = Error::fixed("ERR bit offset is not an integer or out of range");

/// The offset of a bit as argument `i` says it: within the bytes that a string may have. With
/// `width`, a leading `#` counts fields of so many bits instead.
fn bit_offset(ctx: &Context<'_>, i: usize, width: Option<u32>) -> Result<u64, Error> {
    let text = ctx.args.get(i);
    let offset = match (text, width) {
        ([b'#', count @ ..], Some(width)) => {
            parse_i64(count).and_then(|n| n.checked_mul(width.into()))
        }
        _ => parse_i64(text),
    };
    let offset = offset.and_then(|offset| u64::try_from(offset).ok());
    offset
        .filter(|offset| offset >> 3 < ctx.settings.max_string as u64)
        .ok_or(BAD_OFFSET)
}

const GETBIT: Command = Command {
    spec: Spec {
        name: "getbit",
        group: "bitmap",
        since: "2.2.0",
        arity: 3,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the bit at an offset of a string.",
        arguments: &[KEY, OFFSET],
        ..Spec::DEFAULT
    },
    form: Form::Local(getbit),
};

fn getbit(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let offset = bit_offset(ctx, 2, None)?;
    let string = ctx.string(key, Look::Use)?;
    let bit = string.is_some_and(|s| bits::get(&Text::from(s), offset));
    ctx.reply.int(bit.into());
    Ok(Effect::Read)
}

const SETBIT: Command = Command {
    spec: Spec {
        name: "setbit",
        group: "bitmap",
        since: "2.2.0",
        arity: 4,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::one(1, CHANGE)],
        summary: "Sets or clears the bit at an offset of a string, and answers what it was.",
        arguments: &[KEY, OFFSET, Argument::new("value", Kind::Integer)],
        ..Spec::DEFAULT
    },
    form: Form::Local(setbit),
};

fn setbit(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let offset = bit_offset(ctx, 2, None)?;
    let bit = match ctx.args.get(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(Error::new("ERR bit is not an integer or out of range")),
    };
    let len = (offset >> 3) as usize + 1;
    let (old, changed) = ctx.shard.edit_if(ctx.db, key, len, |bytes| {
        let old = bits::get(bytes, offset);
        bits::set(bytes, offset, bit);
        (old, old != bit)
    })?;
    if changed {
        ctx.notify(Class::STRING, "setbit", key);
    }
    ctx.reply.int(old.into());
    Ok(wrote(changed))
}

/// Argument `i` as the unit of a range.
fn unit(args: Args<'_>, i: usize) -> Result<Unit, Error> {
    match args.opt(i) {
        None => Ok(Unit::Byte),
        Some(_) if args.is(i, "BYTE") => Ok(Unit::Byte),
        Some(_) if args.is(i, "BIT") => Ok(Unit::Bit),
        Some(_) => Err(Error::SYNTAX),
    }
}

const BITCOUNT: Command = Command {
    spec: Spec {
        name: "bitcount",
        group: "bitmap",
        since: "2.6.0",
        arity: -2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Counts the set bits of a string or of a range of it.",
        complexity: "O(N) with N the bytes counted.",
        arguments: &[KEY, RANGE],
        history: &[
            ("7.0.0", "BYTE and BIT."),
            ("8.0.0", "The end may be left out."),
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Local(bitcount),
};

fn bitcount(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let (mut start, mut end) = (0, -1);
    if ctx.args.len() > 5 {
        return Err(Error::SYNTAX);
    }
    if ctx.args.len() > 2 {
        start = ctx.integer(2)?;
    }
    if ctx.args.len() > 3 {
        end = ctx.integer(3)?;
    }
    let unit = unit(ctx.args, 4)?;
    let count = ctx.string(key, Look::Use)?.map_or(0, |string| {
        let text = Text::from(string);
        let range = ordered_range(start, end, unit.of(text.len()));
        range.map_or(0, |(start, end)| {
            bits::count(&text, unit.first_bit(start), unit.last_bit(end))
        })
    });
    ctx.reply.int(count as i64);
    Ok(Effect::Read)
}

const BITPOS: Command = Command {
    spec: Spec {
        name: "bitpos",
        group: "bitmap",
        since: "2.8.7",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Finds the first set or clear bit of a string or of a range of it.",
        complexity: "O(N) with N the bytes searched.",
        arguments: &[KEY, Argument::new("bit", Kind::Integer), RANGE],
        history: &[("7.0.0", "BYTE and BIT.")],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Local(bitpos),
};

fn bitpos(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let bit = match ctx.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(Error::new("ERR The bit argument must be 1 or 0.")),
    };
    let (mut start, mut end) = (0, None);
    if ctx.args.len() > 6 {
        return Err(Error::SYNTAX);
    }
    if ctx.args.len() > 3 {
        start = ctx.integer(3)?;
    }
    let unit = unit(ctx.args, 5)?;
    if ctx.args.len() > 4 {
        end = Some(ctx.integer(4)?);
    }
    let position = match ctx.string(key, Look::Use)? {
        // As if it were zeros without end.
        None => (!bit).then_some(0),
        Some(string) => {
            let text = Text::from(string);
            let range = range(start, end.unwrap_or(-1), unit.of(text.len()));
            range.and_then(|(start, last)| {
                let last = unit.last_bit(last);
                let found = bits::find(&text, bit, unit.first_bit(start), last);
                // Without an end, zeros follow the string.
                found.or((!bit && end.is_none()).then_some(last + 1))
            })
        }
    };
    ctx.reply.int(position.map_or(-1, |p| p as i64));
    Ok(Effect::Read)
}

const BITOP: Command = Command {
    spec: Spec {
        name: "bitop",
        group: "bitmap",
        since: "2.6.0",
        arity: -4,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[
            KeySpec::one(2, KeyFlags::OW.or(KeyFlags::UPDATE)),
            KeySpec::range(3, -1, 1, READ),
        ],
        summary: "Combines strings bit by bit and stores the result.",
        complexity: "O(N) with N the bytes of all sources.",
        arguments: &[
            Argument::one_of(
                "operation",
                &[
                    Argument::token("and", "AND"),
                    Argument::token("or", "OR"),
                    Argument::token("xor", "XOR"),
                    Argument::token("not", "NOT"),
                    Argument::token("diff", "DIFF").since("8.2.0"),
                    Argument::token("diff1", "DIFF1").since("8.2.0"),
                    Argument::token("andor", "ANDOR").since("8.2.0"),
                    Argument::token("one", "ONE").since("8.2.0"),
                ],
            ),
            Argument::key("destkey", 0),
            Argument::key("key", 1).multiple(),
        ],
        history: &[("8.2.0", "DIFF, DIFF1, ANDOR and ONE.")],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Gather(bitop, None),
};

fn bitop(ctx: &mut Context<'_>) -> Outcome {
    let target = ctx.key(2);
    let operator = Operator::named(ctx.args.get(1)).ok_or(Error::SYNTAX)?;
    let sources = ctx.args.len() - 3;
    if operator == Operator::Not && sources != 1 {
        return Err(Error::new(
            "ERR BITOP NOT must be called with a single source key.",
        ));
    }
    if operator.has_main_source() && sources < 2 {
        return Err(Error::new(format!(
            "ERR BITOP {} must be called with at least two source keys.",
            operator.name()
        )));
    }
    let keys: Vec<_> = (3..ctx.args.len()).map(|i| ctx.key(i)).collect();
    let items = ctx.shard.look_all(ctx.db, keys, Look::Use);
    let mut texts = Vec::with_capacity(sources);
    for item in items {
        texts.push(match item {
            None => Text::Bytes(b""),
            Some(item) => Text::from(item.str()?),
        });
    }
    let sources: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
    let result = operator.combine(&sources);
    ctx.reply.int(result.len() as i64);
    if result.is_empty() {
        return Ok(wrote(ctx.delete(target)));
    }
    ctx.shard.set_built(ctx.db, target, result, Expiry::Clear);
    ctx.notify(Class::STRING, "set", target);
    Ok(Effect::Wrote)
}

#[cfg(test)]
mod tests;
