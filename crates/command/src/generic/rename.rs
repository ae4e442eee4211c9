//! Giving a value another name or another database: RENAME, MOVE, COPY.

use super::database;
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind, Command, Effect, Flags, Form, Outcome, Spec, Weight};
use resp::Args;
use resp::number::parse_i64;
use store::{Class, Look};

/// The key that a rename takes the value from.
const SOURCE: KeySpec = KeySpec::one(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE));
const NAMES: &[Argument] = &[Argument::key("key", 0), Argument::key("newkey", 1)];

pub static COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "copy",
            group: "generic",
            since: "6.2.0",
            arity: -3,
            flags: Flags::WRITE.or(Flags::DENYOOM),
            keys: &[
                KeySpec::one(1, KeyFlags::RO.or(KeyFlags::ACCESS)),
                KeySpec::one(2, KeyFlags::OW.or(KeyFlags::UPDATE)),
            ],
            summary: "Copies a value and its expiry to another key, in this database or another.",
            complexity: "O(N) in the value's elements; O(1) for strings",
            arguments: &[
                Argument::key("source", 0),
                Argument::key("destination", 1),
                Argument::new("destination-db", ArgumentKind::Integer)
                    .with_token("DB")
                    .optional(),
                Argument::token("replace", "REPLACE").optional(),
            ],
            weight: Weight::Values,
            ..Spec::DEFAULT
        },
        form: Form::Gather(copy, Some(other_database)),
    },
    Command {
        spec: Spec {
            name: "move",
            group: "generic",
            since: "1.0.0",
            arity: 3,
            flags: Flags::WRITE.or(Flags::FAST),
            keys: &[KeySpec::one(
                1,
                KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE),
            )],
            summary: "Moves a key to another database unless it is there already.",
            arguments: &[
                Argument::key("key", 0),
                Argument::new("db", ArgumentKind::Integer),
            ],
            ..Spec::DEFAULT
        },
        form: Form::Local(move_),
    },
    Command {
        spec: Spec {
            name: "rename",
            group: "generic",
            since: "1.0.0",
            arity: 3,
            flags: Flags::WRITE,
            keys: &[SOURCE, KeySpec::one(2, KeyFlags::OW.or(KeyFlags::UPDATE))],
            summary: "Gives a key another name; a key that had it is removed.",
            arguments: NAMES,
            ..Spec::DEFAULT
        },
        form: Form::Gather(rename, None),
    },
    Command {
        spec: Spec {
            name: "renamenx",
            group: "generic",
            since: "1.0.0",
            arity: 3,
            flags: Flags::WRITE.or(Flags::FAST),
            keys: &[SOURCE, KeySpec::one(2, KeyFlags::OW.or(KeyFlags::INSERT))],
            summary: "Gives a key another name unless a key has it already.",
            arguments: NAMES,
            history: &[("3.2.0", "The same name twice is no error any more.")],
            ..Spec::DEFAULT
        },
        form: Form::Gather(renamenx, None),
    },
];

/// The database that COPY's arguments name, if they name one.
fn other_database(args: Args<'_>) -> Option<usize> {
    let at = (3..args.len()).rev().find(|i| args.is(*i, "db"))?;
    parse_i64(args.opt(at + 1)?)?.try_into().ok()
}

fn copy(ctx: &mut Context<'_>) -> Outcome {
    let mut to_db = ctx.db;
    let mut replace = false;
    let mut i = 3;
    while i < ctx.args.len() {
        if ctx.args.is(i, "replace") {
            replace = true;
        } else if ctx.args.is(i, "db") && i + 1 < ctx.args.len() {
            i += 1;
            to_db = database(ctx, i)?;
        } else {
            return Err(Error::SYNTAX);
        }
        i += 1;
    }
    let (from, to) = (ctx.key(1), ctx.key(2));
    if to_db == ctx.db && from.bytes == to.bytes {
        return Err(Error::SAME_OBJECT);
    }
    ctx.prefetch_keys(1, 1);
    let copied = ctx.shard.look(ctx.db, from, Look::Use).is_some()
        && (replace || ctx.shard.look(to_db, to, Look::Touch).is_none())
        && ctx.shard.copy(ctx.db, from, to_db, to);
    if copied {
        ctx.shard.notify(Class::GENERIC, "copy_to", to_db, to.bytes);
    }
    ctx.reply.int(copied.into());
    Ok(Effect::wrote_if(copied))
}

fn move_(ctx: &mut Context<'_>) -> Outcome {
    let to_db = database(ctx, 2)?;
    if to_db == ctx.db {
        return Err(Error::SAME_OBJECT);
    }
    let key = ctx.key(1);
    let moved = ctx.shard.look(ctx.db, key, Look::Touch).is_some()
        && ctx.shard.look(to_db, key, Look::Touch).is_none()
        && ctx.shard.rename(ctx.db, key, to_db, key);
    if moved {
        ctx.notify(Class::GENERIC, "move_from", key);
        ctx.shard
            .notify(Class::GENERIC, "move_to", to_db, key.bytes);
    }
    ctx.reply.int(moved.into());
    Ok(Effect::wrote_if(moved))
}

fn rename(ctx: &mut Context<'_>) -> Outcome {
    let renamed = rename_unless(ctx, |_| false)?;
    ctx.reply.ok();
    Ok(Effect::wrote_if(renamed))
}

fn renamenx(ctx: &mut Context<'_>) -> Outcome {
    let renamed = rename_unless(ctx, |taken| taken)?;
    ctx.reply.int(renamed.into());
    Ok(Effect::wrote_if(renamed))
}

/// Gives key 1 the name of key 2, unless that is its name or `refuses` says so when told whether
/// there is a key of that name. Answers whether anything changed.
fn rename_unless(ctx: &mut Context<'_>, refuses: fn(bool) -> bool) -> Result<bool, Error> {
    let (from, to) = (ctx.key(1), ctx.key(2));
    ctx.prefetch_keys(1, 1);
    if ctx.shard.look(ctx.db, from, Look::Touch).is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    if from.bytes == to.bytes {
        return Ok(false);
    }
    let taken = ctx.shard.look(ctx.db, to, Look::Touch).is_some();
    let renamed = !refuses(taken) && ctx.shard.rename(ctx.db, from, ctx.db, to);
    if renamed {
        ctx.notify(Class::GENERIC, "rename_from", from);
        ctx.notify(Class::GENERIC, "rename_to", to);
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use crate::testing::Client;

    #[test]
    fn copies_are_independent_and_keep_the_expiry() {
        let mut c = Client::default();
        c.check("set a 1", "+OK");
        c.check("expire a 100", ":1");
        c.check("copy a b", ":1");
        c.check("set a 2", "+OK");
        c.check("get b", "$1|1");
        c.check("ttl b", ":100");
        c.check("copy a b", ":0");
        c.check("get b", "$1|1");
        c.check("copy a b REPLACE", ":1");
        c.check("get b", "$1|2");
        c.check("ttl b", ":-1");
        c.check("copy a a db 3", ":1");
        c.check("copy a a db 3", ":0");
        c.db = 3;
        c.check("get a", "$1|2");
        c.check("copy nope b", ":0");
    }

    #[test]
    fn long_values_are_copied_too() {
        let mut c = Client::default();
        let long = "x".repeat(100_000);
        c.check(&format!("set a {long}"), "+OK");
        c.check("copy a b", ":1");
        c.check("rename a c", "+OK");
        c.check("del b", ":1");
        c.check("get c", &format!("$100000|{long}"));
    }

    #[test]
    fn copy_errors() {
        let same = "-ERR source and destination objects are the same";
        let range = "-ERR value is out of range, value must between -2147483648 and 2147483647";
        let mut c = Client::default();
        for (request, want) in [
            ("copy a a", same),
            ("copy a a db 0", same),
            ("copy a b db", "-ERR syntax error"),
            ("copy a b replace foo", "-ERR syntax error"),
            (
                "copy a b db x",
                "-ERR value is not an integer or out of range",
            ),
            ("copy a b db 16", "-ERR DB index is out of range"),
            ("copy a b db -1", "-ERR DB index is out of range"),
            ("copy a b db 2147483648", range),
            ("copy a b replace replace db 1 db 2", ":0"),
        ] {
            c.check(request, want);
        }
    }

    #[test]
    fn moves() {
        let mut c = Client::default();
        c.check("set a 1", "+OK");
        c.check("expire a 100", ":1");
        c.check("move a 1", ":1");
        c.check("exists a", ":0");
        c.check("move a 1", ":0");
        c.check("set a 2", "+OK");
        c.check("move a 1", ":0");
        c.check(
            "move a 0",
            "-ERR source and destination objects are the same",
        );
        c.check("move a 16", "-ERR DB index is out of range");
        c.check("move a x", "-ERR value is not an integer or out of range");
        c.db = 1;
        c.check("get a", "$1|1");
        c.check("ttl a", ":100");
        assert_eq!(c.shard.volatile(0), 0);
        assert_eq!(c.shard.volatile(1), 1);
    }

    #[test]
    fn renames() {
        let mut c = Client::default();
        c.check("rename a b", "-ERR no such key");
        c.check("renamenx a a", "-ERR no such key");
        c.check("set a 1", "+OK");
        c.check("expire a 100", ":1");
        c.check("set b 2", "+OK");
        c.check("rename a a", "+OK");
        c.check("renamenx a a", ":0");
        c.check("renamenx a b", ":0");
        c.check("rename a b", "+OK");
        c.check("get b", "$1|1");
        c.check("ttl b", ":100");
        c.check("renamenx b c", ":1");
        c.check("exists a b c", ":1");
    }
}
