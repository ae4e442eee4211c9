//! Commands on keys of any type: whether they are there, and removing them. The files below this one
//! hold the rest of the group: names and databases, expiry, walks over the keyspace, OBJECT, DUMP.

pub mod dump;
pub mod expire;
pub mod migrate;
pub mod object;
pub mod rename;
pub mod scan;

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, Command, Effect, Flags, Form, Merge, Outcome, Spec};
use store::{Class, Key, Look, Shard};

pub static COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "del",
            group: "generic",
            since: "1.0.0",
            arity: -2,
            flags: Flags::WRITE,
            keys: EVERY_REMOVED_KEY,
            tips: SUMMED,
            summary: "Removes keys.",
            complexity: "O(N) in the number of keys; what their values held is freed afterwards",
            arguments: KEYS,
            ..Spec::DEFAULT
        },
        form: Form::Fan(del, Merge::Sum),
    },
    Command {
        spec: Spec {
            name: "unlink",
            group: "generic",
            since: "4.0.0",
            arity: -2,
            flags: Flags::WRITE.or(Flags::FAST),
            keys: EVERY_REMOVED_KEY,
            tips: SUMMED,
            summary: "Removes keys and leaves freeing their values for later.",
            complexity: "O(N) in the number of keys; what their values held is freed afterwards",
            arguments: KEYS,
            ..Spec::DEFAULT
        },
        form: Form::Fan(unlink, Merge::Sum),
    },
    Command {
        spec: Spec {
            name: "exists",
            group: "generic",
            since: "1.0.0",
            arity: -2,
            flags: Flags::READONLY.or(Flags::FAST),
            keys: EVERY_KEY,
            tips: SUMMED,
            summary: "Counts which of the keys are there, a repeated one as often as it is named.",
            complexity: "O(N) in the number of keys",
            arguments: KEYS,
            history: &[("3.0.3", "Takes several keys.")],
            ..Spec::DEFAULT
        },
        form: Form::Fan(exists, Merge::Sum),
    },
    Command {
        spec: Spec {
            name: "touch",
            group: "generic",
            since: "3.2.1",
            arity: -2,
            flags: Flags::READONLY.or(Flags::FAST),
            keys: EVERY_KEY,
            tips: SUMMED,
            summary: "Marks keys as just used and counts those that are there.",
            complexity: "O(N) in the number of keys",
            arguments: KEYS,
            ..Spec::DEFAULT
        },
        form: Form::Fan(touch, Merge::Sum),
    },
    Command {
        spec: Spec {
            name: "type",
            group: "generic",
            since: "1.0.0",
            arity: 2,
            flags: Flags::READONLY.or(Flags::FAST),
            keys: &[KeySpec::one(1, KeyFlags::RO)],
            summary: "Names the type of the value at a key, or none.",
            arguments: &[Argument::key("key", 0)],
            ..Spec::DEFAULT
        },
        form: Form::Local(type_),
    },
];

const EVERY_KEY: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::RO)];
const EVERY_REMOVED_KEY: &[KeySpec] =
    &[KeySpec::range(1, -1, 1, KeyFlags::RM.or(KeyFlags::DELETE))];
const KEYS: &[Argument] = &[Argument::key("key", 0).multiple()];
const SUMMED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

fn del(ctx: &mut Context<'_>) -> Outcome {
    let removed = count_keys(ctx, |shard, db, key| {
        let removed = shard.remove(db, key);
        if removed {
            shard.notify(Class::GENERIC, "del", db, key.bytes);
        }
        removed
    });
    Ok(Effect::wrote_if(removed > 0))
}

/// Freeing never happens at once, so there is nothing that DEL would do and UNLINK would not.
fn unlink(ctx: &mut Context<'_>) -> Outcome {
    del(ctx)
}

fn exists(ctx: &mut Context<'_>) -> Outcome {
    count_keys(ctx, |shard, db, key| {
        shard.look(db, key, Look::Ask).is_some()
    });
    Ok(Effect::Read)
}

/// Works for a client with NO-TOUCH too: it is what the command is for.
fn touch(ctx: &mut Context<'_>) -> Outcome {
    let no_touch = std::mem::replace(&mut ctx.shard.no_touch, false);
    count_keys(ctx, |shard, db, key| {
        shard.look(db, key, Look::Use).is_some()
    });
    ctx.shard.no_touch = no_touch;
    Ok(Effect::Read)
}

fn type_(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let name = match ctx.shard.look(ctx.db, key, Look::Ask) {
        None => "none",
        Some(item) => item.value_type().name(),
    };
    ctx.reply.simple(name);
    Ok(Effect::Read)
}

/// Asks `counts` of every argument; answers, and replies, for how many it said yes.
fn count_keys(
    ctx: &mut Context<'_>,
    mut counts: impl FnMut(&mut Shard, usize, Key<'_>) -> bool,
) -> i64 {
    let mut n = 0;
    let several = ctx.args.len() > 2;
    for i in 1..ctx.args.len() {
        if several && (i - 1) % Context::PREFETCHED == 0 {
            ctx.prefetch_keys(i, 1);
        }
        let key = ctx.key(i);
        n += i64::from(counts(ctx.shard, ctx.db, key));
    }
    ctx.reply.int(n);
    n
}

/// Argument `i` as the index of a database.
fn database(ctx: &Context<'_>, i: usize) -> Result<usize, Error> {
    let index = ctx.integer(i)?;
    if i32::try_from(index).is_err() {
        return Err(Error::new(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    let index = usize::try_from(index).ok();
    index
        .filter(|i| *i < ctx.shard.databases())
        .ok_or(Error::DB_INDEX)
}

#[cfg(test)]
mod tests {
    use crate::testing::Client;

    #[test]
    fn keys_are_counted_as_often_as_they_are_named() {
        let mut c = Client::default();
        c.check("set a 1", "+OK");
        c.check("set b 2", "+OK");
        c.check("exists a b nope a", ":3");
        c.check("touch a nope a", ":2");
        c.check("del a a nope", ":1");
        c.check("unlink a b", ":1");
        c.check("exists a b", ":0");
        c.check("del", "-ERR wrong number of arguments for 'del' command");
    }

    #[test]
    fn more_keys_than_are_prefetched_at_once() {
        let mut c = Client::default();
        let names: Vec<String> = (0..300).map(|i| format!("key:{i}")).collect();
        for name in &names {
            c.check(&format!("set {name} v"), "+OK");
        }
        let all = names.join(" ");
        c.check(&format!("exists {all}"), ":300");
        c.check(&format!("del {all}"), ":300");
    }

    #[test]
    fn types_are_named() {
        let mut c = Client::default();
        c.check("type a", "+none");
        c.check("set a 1", "+OK");
        c.check("type a", "+string");
    }

    #[test]
    fn asking_about_a_key_is_no_use_of_it() {
        let mut c = Client::default();
        c.check("set a 1", "+OK");
        c.shard.set_now(c.shard.now_ms() + 5000);
        for ask in ["exists a", "type a", "ttl a", "object encoding a"] {
            c.call(ask);
            c.check("object idletime a", ":5");
        }
        assert_eq!(c.shard.stats.hits, 8);
        c.check("exists nope", ":0");
        assert_eq!(c.shard.stats.misses, 1);
        c.shard.no_touch = true;
        c.check("get a", "$1|1");
        c.check("object idletime a", ":5");
        c.check("touch a", ":1");
        c.check("object idletime a", ":0");
    }
}
