//! BITFIELD: numbers of any width up to 64 bits at any bit of a string.
//!
//! All operations are read before the first runs, so that a bad one changes nothing.

use super::{CHANGE, KEY, OFFSET, READ, bit_offset, bits};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use crate::string::{Text, wrote};
use resp::Reply;
use resp::number::parse_i64;
use store::{Class, Look};

const ENCODING: Argument = Argument::new("encoding", Kind::String);

pub(super) const BITFIELD: Command = Command {
    spec: Spec {
        name: "bitfield",
        group: "bitmap",
        since: "3.2.0",
        arity: -2,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec {
            notes: "read only if every operation is GET",
            ..KeySpec::one(1, CHANGE.or(KeyFlags::VARIABLE_FLAGS))
        }],
        summary: "Reads, sets and increments integers of chosen widths within a string.",
        complexity: "O(1) for each operation.",
        arguments: &[
            KEY,
            Argument::one_of(
                "operation",
                &[
                    Argument::block("get-block", &[ENCODING, OFFSET]).with_token("GET"),
                    Argument::block(
                        "write",
                        &[
                            Argument::one_of(
                                "overflow-block",
                                &[
                                    Argument::token("wrap", "WRAP"),
                                    Argument::token("sat", "SAT"),
                                    Argument::token("fail", "FAIL"),
                                ],
                            )
                            .with_token("OVERFLOW")
                            .optional(),
                            Argument::one_of(
                                "write-operation",
                                &[
                                    Argument::block(
                                        "set-block",
                                        &[ENCODING, OFFSET, Argument::new("value", Kind::Integer)],
                                    )
                                    .with_token("SET"),
                                    Argument::block(
                                        "incrby-block",
                                        &[
                                            ENCODING,
                                            OFFSET,
                                            Argument::new("increment", Kind::Integer),
                                        ],
                                    )
                                    .with_token("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(bitfield),
};

pub(super) const BITFIELD_RO: Command = Command {
    spec: Spec {
        name: "bitfield_ro",
        group: "bitmap",
        since: "6.0.0",
        arity: -2,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Reads integers of chosen widths within a string.",
        complexity: "O(1) for each operation.",
        arguments: &[
            KEY,
            Argument::block("get-block", &[ENCODING, OFFSET])
                .with_token("GET")
                .optional()
                .multiple()
                .multiple_token(),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(bitfield_ro),
};

/// What becomes of a result that its field cannot hold.
#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy)]
struct Field {
    signed: bool,
    width: u32,
    /// Of its first bit.
    offset: u64,
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

struct Operation {
    field: Field,
    action: Action,
    overflow: Overflow,
}

impl Operation {
    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }
}

fn bitfield(ctx: &mut Context<'_>) -> Outcome {
    let operations = parse(ctx)?;
    if !operations.iter().any(Operation::writes) {
        return read(ctx, &operations);
    }
    let key = ctx.key(1);
    let writes = operations.iter().filter(|o| o.writes());
    let last_bit = writes.map(|o| o.field.offset + u64::from(o.field.width) - 1);
    let len = last_bit.max().map_or(0, |bit| (bit >> 3) as usize + 1);
    let reply = &mut *ctx.reply;
    let (_, changed) = ctx.shard.edit_if(ctx.db, key, len, |bytes| {
        reply.array(operations.len());
        let mut changed = false;
        for operation in &operations {
            changed |= run(operation, bytes, reply);
        }
        ((), changed)
    })?;
    if changed {
        ctx.notify(Class::STRING, "setbit", key);
    }
    Ok(wrote(changed))
}

fn bitfield_ro(ctx: &mut Context<'_>) -> Outcome {
    let operations = parse(ctx)?;
    if operations.iter().any(Operation::writes) {
        return Err(Error::new(
            "ERR BITFIELD_RO only supports the GET subcommand",
        ));
    }
    read(ctx, &operations)
}

fn read(ctx: &mut Context<'_>, operations: &[Operation]) -> Outcome {
    let key = ctx.key(1);
    let text = match ctx.shard.look(ctx.db, key, Look::Use) {
        None => Text::Bytes(b""),
        Some(item) => Text::from(item.str()?),
    };
    ctx.reply.array(operations.len());
    for operation in operations {
        ctx.reply.int(operation.field.value(&text) as i64);
    }
    Ok(Effect::Read)
}

/// Runs one operation on a string that has room for it; answers whether it changed a bit.
fn run(operation: &Operation, bytes: &mut [u8], reply: &mut Reply) -> bool {
    let field = operation.field;
    let old = field.value(bytes);
    let new = match operation.action {
        Action::Get => {
            reply.int(old as i64);
            return false;
        }
        Action::Add(by) => old + i128::from(by),
        Action::Set(value) if field.signed => field.signed_to_set(value),
        // A negative number is taken for the large one of the same bits.
        Action::Set(value) => (value as u64).into(),
    };
    let Some(new) = field.fit(new, operation.overflow) else {
        reply.null();
        return false;
    };
    bits::write(bytes, field.offset, field.width, new as u64);
    reply.int(match operation.action {
        Action::Set(_) => old as i64,
        _ => new as i64,
    });
    old != new
}

impl Field {
    fn value(&self, bytes: &[u8]) -> i128 {
        self.interpret(bits::read(bytes, self.offset, self.width))
    }

    /// The number that the lowest bits of `raw` stand for.
    fn interpret(&self, raw: u64) -> i128 {
        let unused = u64::BITS - self.width;
        let raised = raw << unused;
        if self.signed {
            (raised as i64 >> unused).into()
        } else {
            (raised >> unused).into()
        }
    }

    /// A number to be set in a signed field. Redis looks whether it is too high by taking it from
    /// the largest one in 64 bits, which the lowest numbers overflow: they count as too high, with
    /// the same lower bits.
    fn signed_to_set(&self, value: i64) -> i128 {
        let max = i64::MAX >> (u64::BITS - self.width);
        let low = self.width < u64::BITS && max.checked_sub(value).is_none();
        i128::from(value) + if low { 1 << u64::BITS } else { 0 }
    }

    /// The number that is stored for `value`, or `None` if it must not be.
    fn fit(&self, value: i128, overflow: Overflow) -> Option<i128> {
        let end = 1i128 << (self.width - u32::from(self.signed));
        let (min, max) = (if self.signed { -end } else { 0 }, end - 1);
        if (min..=max).contains(&value) {
            return Some(value);
        }
        match overflow {
            Overflow::Wrap => Some(self.interpret(value as u64)),
            Overflow::Saturate => Some(value.clamp(min, max)),
            Overflow::Fail => None,
        }
    }
}

fn parse(ctx: &Context<'_>) -> Result<Vec<Operation>, Error> {
    let args = ctx.args;
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut i = 2;
    while i < args.len() {
        let left = args.len() - i - 1;
        if args.is(i, "OVERFLOW") && left >= 1 {
            overflow = match args.get(i + 1) {
                word if word.eq_ignore_ascii_case(b"WRAP") => Overflow::Wrap,
                word if word.eq_ignore_ascii_case(b"SAT") => Overflow::Saturate,
                word if word.eq_ignore_ascii_case(b"FAIL") => Overflow::Fail,
                _ => return Err(Error::new("ERR Invalid OVERFLOW type specified")),
            };
            i += 2;
            continue;
        }
        let action: Option<fn(i64) -> Action> = if args.is(i, "GET") && left >= 2 {
            None
        } else if args.is(i, "SET") && left >= 3 {
            Some(Action::Set)
        } else if args.is(i, "INCRBY") && left >= 3 {
            Some(Action::Add)
        } else {
            return Err(Error::SYNTAX);
        };
        let field = field(ctx, i + 1)?;
        let action = match action {
            None => Action::Get,
            Some(action) => action(ctx.integer(i + 3)?),
        };
        i += if matches!(action, Action::Get) { 3 } else { 4 };
        operations.push(Operation {
            field,
            action,
            overflow,
        });
    }
    Ok(operations)
}

/// The field that argument `i` (its type) and the next (its offset) describe.
fn field(ctx: &Context<'_>, i: usize) -> Result<Field, Error> {
    let (signed, width, max) = match ctx.args.get(i) {
        [b'i', width @ ..] => (true, width, 64),
        [b'u', width @ ..] => (false, width, 63),
        _ => (false, &b""[..], 0),
    };
    let width = parse_i64(width).filter(|width| (1..=max).contains(width));
    let width = width.ok_or(Error::new(
        "ERR Invalid bitfield type. Use something like i16 u8. \
         Note that u64 is not supported but i64 is.",
    ))? as u32;
    Ok(Field {
        signed,
        width,
        offset: bit_offset(ctx, i + 1, Some(width))?,
    })
}
