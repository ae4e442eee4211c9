//! XINFO: what a stream, its groups and their consumers are like.

use super::{
    GROUP, KEY, RANDOM_REPLY, READ, no_group_for, reply_entries, reply_entry, reply_id,
    subcommand_syntax,
};
use crate::context::Context;
use crate::error::Error;
use crate::introspect;
use crate::keyspec::KeySpec;
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Container, Effect, Flags, Form, Outcome, Spec,
};
use resp::Reply;
use resp::number::parse_i64;
use store::Look;
use store::stream::{ConsumerNumber, Entry, Group, Id, Log, Stream};

const ON_KEY: Spec = Spec {
    group: "stream",
    since: "5.0.0",
    flags: Flags::READONLY,
    keys: &[KeySpec::one(2, READ)],
    ..Spec::DEFAULT
};

pub static XINFO: Container = Container {
    spec: Spec {
        name: "xinfo",
        group: "stream",
        since: "5.0.0",
        arity: -2,
        summary: "Inner facts about a stream, its groups and their consumers.",
        complexity: "Depends on the subcommand",
        ..Spec::DEFAULT
    },
    subcommands: &[
        Command {
            spec: Spec {
                name: "consumers",
                arity: 4,
                tips: RANDOM_REPLY,
                summary: "Lists the consumers of a group.",
                complexity: "O(N) in the consumers",
                arguments: &[KEY, GROUP],
                history: &[("7.2.0", "Tells idle from inactive consumers.")],
                ..ON_KEY
            },
            form: Form::Local(consumers),
        },
        Command {
            spec: Spec {
                name: "groups",
                arity: 3,
                summary: "Lists the groups of a stream.",
                complexity: "O(N) in the groups",
                arguments: &[KEY],
                history: &[("7.0.0", "Has entries-read and lag.")],
                ..ON_KEY
            },
            form: Form::Local(groups),
        },
        Command {
            spec: Spec {
                name: "help",
                group: "stream",
                since: "5.0.0",
                arity: 2,
                flags: Flags::LOADING.or(Flags::STALE),
                summary: "Lists the subcommands.",
                ..Spec::DEFAULT
            },
            form: Form::Local(help),
        },
        Command {
            spec: Spec {
                name: "stream",
                arity: -3,
                summary: "Describes a stream.",
                complexity: "O(1); with FULL O(N) in what is answered",
                arguments: &[
                    KEY,
                    Argument::block(
                        "full-block",
                        &[
                            Argument::token("full", "FULL"),
                            Argument::new("count", Kind::Integer)
                                .with_token("COUNT")
                                .optional(),
                        ],
                    )
                    .optional(),
                ],
                history: &[
                    ("6.0.0", "Takes FULL."),
                    (
                        "7.0.0",
                        "Has max-deleted-entry-id, entries-added, recorded-first-entry-id, \
                         entries-read and lag.",
                    ),
                    (
                        "7.2.0",
                        "Has active-time; seen-time is that of the last try.",
                    ),
                ],
                ..ON_KEY
            },
            form: Form::Local(stream),
        },
    ],
};

fn name(reply: &mut Reply, name: &str) {
    reply.bulk(name.as_bytes());
}

fn int(reply: &mut Reply, field: &str, value: i64) {
    name(reply, field);
    reply.int(value);
}

fn id(reply: &mut Reply, field: &str, id: Id) {
    name(reply, field);
    reply_id(reply, id);
}

fn int_or_null(reply: &mut Reply, field: &str, value: Option<i64>) {
    name(reply, field);
    match value {
        Some(value) => reply.int(value),
        None => reply.null(),
    }
}

fn consumers(ctx: &mut Context<'_>) -> Outcome {
    let (key, group) = (ctx.key(2), ctx.args.get(3));
    let now_ms = ctx.shard.now_ms();
    let Some(stream) = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)? else {
        return Err(Error::NO_SUCH_KEY);
    };
    let Some(group) = stream.group(group) else {
        return Err(no_group_for(key.bytes, group));
    };
    let reply = &mut *ctx.reply;
    let consumers = group.consumers();
    reply.array(consumers.len());
    for (_, consumer) in consumers {
        reply.map(4);
        name(reply, "name");
        reply.bulk(consumer.name());
        int(reply, "pending", consumer.pending() as i64);
        int(reply, "idle", now_ms.wrapping_sub(consumer.seen_ms).max(0));
        let inactive = consumer.active_ms.map(|ms| now_ms.wrapping_sub(ms));
        int(reply, "inactive", inactive.unwrap_or(-1));
    }
    Ok(Effect::Read)
}

fn groups(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(2);
    let Some(stream) = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)? else {
        return Err(Error::NO_SUCH_KEY);
    };
    let reply = &mut *ctx.reply;
    reply.array(stream.groups().len());
    for group in stream.groups() {
        reply.map(6);
        name(reply, "name");
        reply.bulk(group.name());
        int(reply, "consumers", group.consumers().len() as i64);
        int(reply, "pending", group.pending_len() as i64);
        id(reply, "last-delivered-id", group.last_id);
        int_or_null(reply, "entries-read", group.entries_read);
        int_or_null(reply, "lag", group.lag(stream.log()));
    }
    Ok(Effect::Read)
}

/// How many entries of everything XINFO STREAM FULL answers.
enum Full {
    No,
    Count(usize),
}

impl Full {
    fn parse(ctx: &Context<'_>) -> Result<Full, Error> {
        const COUNT_DEFAULT: i64 = 10;
        let args = ctx.args;
        let wrong = || subcommand_syntax("XINFO", args.get(1));
        let count = match args.len() {
            3 => return Ok(Full::No),
            4 if args.is(3, "full") => COUNT_DEFAULT,
            6 if args.is(3, "full") && args.is(4, "count") => {
                parse_i64(args.get(5)).ok_or(Error::NOT_INTEGER)?
            }
            _ => return Err(wrong()),
        };
        let count = if count < 0 { COUNT_DEFAULT } else { count };
        Ok(Full::Count(match count as usize {
            0 => usize::MAX,
            count => count,
        }))
    }
}

fn stream(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(2);
    if ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?.is_none() {
        return Err(Error::NO_SUCH_KEY);
    }
    let full = Full::parse(ctx)?;
    let Some(stream) = ctx.shard.read::<Stream>(ctx.db, key, Look::Peek)? else {
        return Err(Error::NO_SUCH_KEY);
    };
    let (log, reply) = (stream.log(), &mut *ctx.reply);
    reply.map(if matches!(full, Full::No) { 10 } else { 9 });
    int(reply, "length", log.len() as i64);
    int(reply, "radix-tree-keys", log.nodes() as i64);
    // There is no radix tree; its root and a node for each key are what it would have at least.
    int(reply, "radix-tree-nodes", log.nodes() as i64 + 1);
    id(reply, "last-generated-id", log.last_id);
    id(reply, "max-deleted-entry-id", log.max_deleted_id);
    int(reply, "entries-added", log.entries_added as i64);
    id(reply, "recorded-first-entry-id", log.first_id);
    match full {
        Full::No => {
            int(reply, "groups", stream.groups().len() as i64);
            entry(reply, "first-entry", log.first());
            entry(reply, "last-entry", log.last());
        }
        Full::Count(count) => {
            name(reply, "entries");
            reply_entries(reply, log.range(Id::MIN, Id::MAX).take(count));
            name(reply, "groups");
            reply.array(stream.groups().len());
            for group in stream.groups() {
                full_group(reply, log, group, count);
            }
        }
    }
    Ok(Effect::Read)
}

fn entry(reply: &mut Reply, field: &str, entry: Option<Entry<'_>>) {
    name(reply, field);
    match entry {
        Some(entry) => reply_entry(reply, entry),
        None => reply.null(),
    }
}

fn full_group(reply: &mut Reply, log: &Log, group: &Group, count: usize) {
    reply.map(7);
    name(reply, "name");
    reply.bulk(group.name());
    id(reply, "last-delivered-id", group.last_id);
    int_or_null(reply, "entries-read", group.entries_read);
    int_or_null(reply, "lag", group.lag(log));
    int(reply, "pel-count", group.pending_len() as i64);
    name(reply, "pending");
    let mark = reply.mark();
    let mut n = 0;
    for (id, pending) in group.pending(Id::MIN, Id::MAX).take(count) {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.int(pending.delivered_ms);
        reply.int(pending.deliveries as i64);
        n += 1;
    }
    reply.close_array(mark, n);
    name(reply, "consumers");
    reply.array(group.consumers().len());
    for (number, _) in group.consumers() {
        full_consumer(reply, group, number, count);
    }
}

fn full_consumer(reply: &mut Reply, group: &Group, number: ConsumerNumber, count: usize) {
    let consumer = group.consumer(number);
    reply.map(5);
    name(reply, "name");
    reply.bulk(consumer.name());
    int(reply, "seen-time", consumer.seen_ms);
    int(reply, "active-time", consumer.active_ms.unwrap_or(-1));
    int(reply, "pel-count", consumer.pending() as i64);
    name(reply, "pending");
    let mark = reply.mark();
    let mut n = 0;
    for (id, pending) in group.pending_of(number, Id::MIN, Id::MAX).take(count) {
        reply.array(3);
        reply_id(reply, id);
        reply.int(pending.delivered_ms);
        reply.int(pending.deliveries as i64);
        n += 1;
    }
    reply.close_array(mark, n);
}

fn help(ctx: &mut Context<'_>) -> Outcome {
    let specs = XINFO.subcommands.iter().map(|c| &c.spec);
    introspect::help(ctx.reply, XINFO.spec.name, specs);
    Ok(Effect::Read)
}
