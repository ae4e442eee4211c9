//! Whole databases: how many keys they have, emptying and exchanging them, and what a key costs.

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{
    Argument, ArgumentKind, Command, Container, Effect, Flags, Form, Merge, Outcome, Spec,
};
use resp::number::parse_i64;
use store::Look;

/// What FLUSHDB's and FLUSHALL's rows have in common.
const FLUSH: Spec = Spec {
    group: "server",
    since: "1.0.0",
    arity: -1,
    flags: Flags::WRITE,
    categories: &["keyspace", "dangerous"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    complexity: "O(1); under SYNC O(N) in the keys removed",
    arguments: &[Argument::one_of(
        "flush-type",
        &[
            Argument::token("async", "ASYNC").since("4.0.0"),
            Argument::token("sync", "SYNC").since("6.2.0"),
        ],
    )
    .optional()],
    history: &[("4.0.0", "Takes ASYNC."), ("6.2.0", "Takes SYNC.")],
    ..Spec::DEFAULT
};

pub static COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "dbsize",
            group: "server",
            since: "1.0.0",
            arity: 1,
            flags: Flags::READONLY.or(Flags::FAST),
            categories: &["keyspace"],
            tips: &["request_policy:all_shards", "response_policy:agg_sum"],
            summary: "Counts the keys of the database.",
            ..Spec::DEFAULT
        },
        form: Form::Everywhere(dbsize, Merge::Sum),
    },
    Command {
        spec: Spec {
            name: "flushdb",
            summary: "Removes all keys of the database.",
            ..FLUSH
        },
        form: Form::Everywhere(flushdb, Merge::Ok),
    },
    Command {
        spec: Spec {
            name: "flushall",
            summary: "Removes all keys of all databases.",
            ..FLUSH
        },
        form: Form::Everywhere(flushall, Merge::Ok),
    },
    Command {
        spec: Spec {
            name: "swapdb",
            group: "server",
            since: "4.0.0",
            arity: 3,
            flags: Flags::WRITE.or(Flags::FAST),
            categories: &["keyspace", "dangerous"],
            summary: "Exchanges two databases for all clients at once.",
            complexity: "O(N) in the clients that watch or wait for keys of either database",
            arguments: &[
                Argument::new("index1", ArgumentKind::Integer),
                Argument::new("index2", ArgumentKind::Integer),
            ],
            ..Spec::DEFAULT
        },
        form: Form::Everywhere(swapdb, Merge::Ok),
    },
];

/// MEMORY, of which the host has the subcommands about the whole server.
pub static MEMORY: Container = Container {
    spec: Spec {
        name: "memory",
        group: "server",
        since: "4.0.0",
        arity: -2,
        summary: "What memory is used for.",
        complexity: "Depends on the subcommand",
        ..Spec::DEFAULT
    },
    subcommands: &[Command {
        spec: Spec {
            name: "usage",
            group: "server",
            since: "4.0.0",
            arity: -3,
            flags: Flags::READONLY,
            keys: &[KeySpec::one(2, KeyFlags::RO)],
            summary: "Answers how many bytes a key and its value take.",
            complexity: "O(N) in the samples",
            arguments: &[
                Argument::key("key", 0),
                Argument::new("count", ArgumentKind::Integer)
                    .with_token("SAMPLES")
                    .optional(),
            ],
            ..Spec::DEFAULT
        },
        form: Form::Local(usage),
    }],
};

fn dbsize(ctx: &mut Context<'_>) -> Outcome {
    ctx.reply.int(ctx.shard.len(ctx.db) as i64);
    Ok(Effect::Read)
}

fn flushdb(ctx: &mut Context<'_>) -> Outcome {
    flush(ctx, ctx.db..ctx.db + 1)
}

fn flushall(ctx: &mut Context<'_>) -> Outcome {
    flush(ctx, 0..ctx.shard.databases())
}

/// Empties databases. Keys are gone at once in any case; their memory is given back in slices
/// between other commands, or under SYNC before the reply.
fn flush(ctx: &mut Context<'_>, databases: std::ops::Range<usize>) -> Outcome {
    let sync = match ctx.args.len() {
        1 => false,
        2 if ctx.args.is(1, "async") => false,
        2 if ctx.args.is(1, "sync") => true,
        _ => return Err(Error::SYNTAX),
    };
    let keys: usize = databases.map(|db| ctx.shard.flush(db)).sum();
    while sync && ctx.shard.has_trash() {
        ctx.shard.empty_trash_step();
    }
    ctx.reply.ok();
    Ok(Effect::wrote_if(keys > 0))
}

fn swapdb(ctx: &mut Context<'_>) -> Outcome {
    let index = |i: usize, which: &'static str| {
        let index = parse_i64(ctx.args.get(i)).and_then(|v| i32::try_from(v).ok());
        index.ok_or_else(|| Error::new(which))
    };
    let a = index(1, "ERR invalid first DB index")?;
    let b = index(2, "ERR invalid second DB index")?;
    let known = |index: i32| {
        let index = usize::try_from(index).ok();
        index
            .filter(|i| *i < ctx.shard.databases())
            .ok_or(Error::DB_INDEX)
    };
    let (a, b) = (known(a)?, known(b)?);
    ctx.shard.swap(a, b);
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

fn usage(ctx: &mut Context<'_>) -> Outcome {
    let mut i = 3;
    while i < ctx.args.len() {
        if !ctx.args.is(i, "samples") || i + 1 == ctx.args.len() {
            return Err(Error::SYNTAX);
        }
        // Strings have nothing to sample, so that the number need only be a valid one.
        if ctx.integer(i + 1)? < 0 {
            return Err(Error::SYNTAX);
        }
        i += 2;
    }
    let key = ctx.key(2);
    match ctx.shard.look(ctx.db, key, Look::Peek).map(|i| i.memory()) {
        None => ctx.reply.null(),
        Some(bytes) => ctx.reply.int(bytes as i64),
    }
    Ok(Effect::Read)
}

#[cfg(test)]
mod tests {
    use crate::testing::Client;

    #[test]
    fn databases_are_emptied() {
        for (request, left) in [
            ("flushdb", 1),
            ("flushdb async", 1),
            ("flushall", 0),
            ("flushall SYNC", 0),
        ] {
            let mut c = Client::default();
            c.check("set a 1", "+OK");
            c.db = 1;
            c.check("set b 1", "+OK");
            c.check("set c 1", "+OK");
            c.check("dbsize", ":2");
            c.check(request, "+OK");
            c.check("dbsize", ":0");
            c.check(request, "+OK");
            c.db = 0;
            c.check("dbsize", &format!(":{left}"));
        }
    }

    #[test]
    fn memory_is_free_before_a_synchronous_flush_answers() {
        let mut c = Client::default();
        for i in 0..5000 {
            c.check(&format!("set key:{i} v"), "+OK");
        }
        c.check("flushall", "+OK");
        assert!(c.shard.has_trash());
        c.check("flushall sync", "+OK");
        assert!(!c.shard.has_trash());
    }

    #[test]
    fn databases_are_exchanged() {
        let mut c = Client::default();
        c.check("set a 1", "+OK");
        c.check("swapdb 0 5", "+OK");
        c.check("dbsize", ":0");
        c.db = 5;
        c.check("get a", "$1|1");
        for (request, want) in [
            ("swapdb a 0", "-ERR invalid first DB index"),
            ("swapdb 0 a", "-ERR invalid second DB index"),
            ("swapdb 99999999999 0", "-ERR invalid first DB index"),
            ("swapdb 0 16", "-ERR DB index is out of range"),
            ("swapdb -1 0", "-ERR DB index is out of range"),
            ("swapdb 1 1", "+OK"),
        ] {
            c.check(request, want);
        }
    }

    #[test]
    fn flush_errors() {
        let mut c = Client::default();
        for request in ["flushall foo", "flushall sync async", "flushdb x"] {
            c.check(request, "-ERR syntax error");
        }
    }

    #[test]
    fn memory_of_a_key() {
        let mut c = Client::default();
        c.check(&format!("set long {}", "x".repeat(100_000)), "+OK");
        c.check("set short x", "+OK");
        let bytes = |reply: String| -> usize {
            let digits = reply.trim_start_matches(':').trim_end();
            digits.parse().expect("an integer")
        };
        let long = bytes(c.call("memory usage long"));
        assert!((100_000..100_200).contains(&long), "{long}");
        let short = bytes(c.call("memory usage short samples 0"));
        assert!((10..60).contains(&short), "{short}");
        for (request, want) in [
            ("memory usage nope", "$-1"),
            ("memory usage nope samples", "-ERR syntax error"),
            ("memory usage nope samples -1", "-ERR syntax error"),
            (
                "memory usage nope samples x",
                "-ERR value is not an integer or out of range",
            ),
            ("memory usage nope foo", "-ERR syntax error"),
            (
                "memory usage",
                "-ERR wrong number of arguments for 'memory|usage' command",
            ),
            (
                "memory nope",
                "-ERR unknown subcommand 'nope'. Try MEMORY HELP.",
            ),
        ] {
            c.check(request, want);
        }
    }
}
