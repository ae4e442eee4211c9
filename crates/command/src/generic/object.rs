//! OBJECT: how a value is kept, and when it was used.

use crate::context::Context;
use crate::error::Error;
use crate::introspect;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, Command, Container, Effect, Flags, Form, Outcome, Spec};
use store::Look;
use store::access::Mode;
use store::shard::Item;

/// What the rows of subcommands on a key have in common.
const ON_KEY: Spec = Spec {
    group: "generic",
    since: "2.2.3",
    arity: 3,
    flags: Flags::READONLY,
    keys: &[KeySpec::one(2, KeyFlags::RO)],
    tips: &["nondeterministic_output"],
    arguments: &[Argument::key("key", 0)],
    ..Spec::DEFAULT
};

pub static OBJECT: Container = Container {
    spec: Spec {
        name: "object",
        group: "generic",
        since: "2.2.3",
        arity: -2,
        summary: "Inner facts about the value at a key.",
        complexity: "Depends on the subcommand",
        ..Spec::DEFAULT
    },
    subcommands: &[
        Command {
            spec: Spec {
                name: "encoding",
                summary: "Names the form in which the value is kept.",
                ..ON_KEY
            },
            form: Form::Local(encoding),
        },
        Command {
            spec: Spec {
                name: "freq",
                since: "4.0.0",
                summary: "Answers the logarithmic counter of how often the key is used.",
                ..ON_KEY
            },
            form: Form::Local(freq),
        },
        Command {
            spec: Spec {
                name: "help",
                group: "generic",
                since: "6.2.0",
                arity: 2,
                flags: Flags::LOADING.or(Flags::STALE),
                summary: "Lists the subcommands.",
                ..Spec::DEFAULT
            },
            form: Form::Local(help),
        },
        Command {
            spec: Spec {
                name: "idletime",
                summary: "Answers the seconds since the key was last used.",
                ..ON_KEY
            },
            form: Form::Local(idletime),
        },
        Command {
            spec: Spec {
                name: "refcount",
                summary: "Answers how many references the value has, which is always one.",
                ..ON_KEY
            },
            form: Form::Local(refcount),
        },
    ],
};

fn encoding(ctx: &mut Context<'_>) -> Outcome {
    let Some(item) = object(ctx) else {
        return Ok(Effect::Read);
    };
    let name = item.encoding();
    ctx.reply.bulk(name.as_bytes());
    Ok(Effect::Read)
}

fn freq(ctx: &mut Context<'_>) -> Outcome {
    let stamp = ctx.shard.stamp();
    let Some(access) = object(ctx).map(|i| i.access()) else {
        return Ok(Effect::Read);
    };
    if stamp.mode == Mode::Lru {
        return Err(Error::new(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
             Please note that when switching between policies at runtime LRU and LFU data \
             will take some time to adjust.",
        ));
    }
    ctx.reply.int(stamp.frequency(access).into());
    Ok(Effect::Read)
}

fn idletime(ctx: &mut Context<'_>) -> Outcome {
    let stamp = ctx.shard.stamp();
    let Some(access) = object(ctx).map(|i| i.access()) else {
        return Ok(Effect::Read);
    };
    if stamp.mode != Mode::Lru {
        return Err(Error::new(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. \
             Please note that when switching between policies at runtime LRU and LFU data \
             will take some time to adjust.",
        ));
    }
    ctx.reply.int(stamp.idle_seconds(access) as i64);
    Ok(Effect::Read)
}

/// No two keys share a value, small integers included.
fn refcount(ctx: &mut Context<'_>) -> Outcome {
    if object(ctx).is_some() {
        ctx.reply.int(1);
    }
    Ok(Effect::Read)
}

fn help(ctx: &mut Context<'_>) -> Outcome {
    let specs = OBJECT.subcommands.iter().map(|c| &c.spec);
    introspect::help(ctx.reply, OBJECT.spec.name, specs);
    Ok(Effect::Read)
}

/// The item at argument 2; if there is none, that is replied.
fn object<'c>(ctx: &'c mut Context<'_>) -> Option<Item<'c>> {
    let key = ctx.key(2);
    if ctx.shard.look(ctx.db, key, Look::Count).is_none() {
        ctx.reply.null();
    }
    ctx.shard.look(ctx.db, key, Look::Peek)
}

#[cfg(test)]
mod tests {
    use crate::testing::Client;
    use store::access::Mode;

    #[test]
    fn facts_about_strings() {
        let mut c = Client::default();
        c.check("set n 12345", "+OK");
        c.check("set s hello", "+OK");
        c.check(&format!("set l {}", "x".repeat(45)), "+OK");
        c.check("object encoding n", "$3|int");
        c.check("object ENCODING s", "$6|embstr");
        c.check("object encoding l", "$3|raw");
        c.check("object refcount n", ":1");
        for facts in ["encoding", "freq", "idletime", "refcount"] {
            c.check(&format!("object {facts} nope"), "$-1");
        }
    }

    #[test]
    fn idle_time_and_frequency_exclude_each_other() {
        let adjust = "Please note that when switching between policies at runtime LRU and LFU \
                      data will take some time to adjust.";
        let mut c = Client::default();
        c.check("set a 1", "+OK");
        c.shard.set_now(c.shard.now_ms() + 7000);
        c.check("object idletime a", ":7");
        let text = "An LFU maxmemory policy is not selected, access frequency not tracked.";
        c.check("object freq a", &format!("-ERR {text} {adjust}"));
        c.shard.set_access_mode(Mode::Lfu {
            log_factor: 10,
            decay_minutes: 1,
        });
        c.check("set a 1", "+OK");
        c.check("object freq a", ":5");
        let text = "An LFU maxmemory policy is selected, idle time not tracked.";
        c.check("object idletime a", &format!("-ERR {text} {adjust}"));
    }

    #[test]
    fn subcommands_are_checked() {
        let mut c = Client::default();
        for (request, want) in [
            (
                "object",
                "-ERR wrong number of arguments for 'object' command",
            ),
            (
                "object encoding",
                "-ERR wrong number of arguments for 'object|encoding' command",
            ),
            (
                "object nope a",
                "-ERR unknown subcommand 'nope'. Try OBJECT HELP.",
            ),
        ] {
            c.check(request, want);
        }
        let help = c.call("object help");
        assert!(help.contains("+ENCODING <key>\r\n"), "{help}");
    }
}
