//! Strings: GET, SET and their kin.

use crate::context::Context;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Command, Effect, Flags, Form, Outcome, Spec};
use store::Look;
use store::shard::Expiry;

pub static COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "get",
            group: "string",
            arity: 2,
            flags: Flags::READONLY.or(Flags::FAST),
            keys: &[KeySpec::one(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
            summary: "Answers the string value of a key.",
            ..Spec::DEFAULT
        },
        form: Form::Local(get),
    },
    Command {
        spec: Spec {
            name: "set",
            group: "string",
            arity: -3,
            flags: Flags::WRITE.or(Flags::DENYOOM),
            keys: &[KeySpec::one(1, KeyFlags::OW.or(KeyFlags::UPDATE))],
            summary: "Sets the string value of a key, whatever it held before.",
            ..Spec::DEFAULT
        },
        form: Form::Local(set),
    },
];

fn get(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    match ctx.shard.look(ctx.db, key, Look::Use) {
        None => ctx.reply.null(),
        Some(item) => Context::reply_string(ctx.reply, item.str()?),
    }
    Ok(Effect::Read)
}

fn set(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    if ctx.args.len() > 3 {
        return Err(crate::Error::SYNTAX);
    }
    ctx.set(key, 2, Expiry::Clear);
    ctx.reply.ok();
    Ok(Effect::Wrote)
}
