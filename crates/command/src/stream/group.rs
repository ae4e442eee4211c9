//! XGROUP: creating, changing and removing groups and their consumers.

use super::{
    CONSUMER, DELETE, GROUP, KEY, UPDATE, no_group_for, parse_id, parse_id_or_end,
    subcommand_syntax,
};
use crate::context::Context;
use crate::error::Error;
use crate::introspect;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Container, Effect, Flags, Form, Outcome, Spec, Weight,
};
use store::stream::{Group, Id, Stream};
use store::{Class, Look};

const INSERT: KeyFlags = KeyFlags::RW.or(KeyFlags::INSERT);

const ON_KEY: Spec = Spec {
    group: "stream",
    since: "5.0.0",
    flags: Flags::WRITE,
    ..Spec::DEFAULT
};

const ID: Argument = Argument::one_of(
    "id-selector",
    &[
        Argument::new("id", Kind::String),
        Argument::token("new-id", "$"),
    ],
);
const ENTRIES_READ: Argument = Argument::new("entries-read", Kind::Integer)
    .with_token("ENTRIESREAD")
    .optional();

pub static XGROUP: Container = Container {
    spec: Spec {
        name: "xgroup",
        group: "stream",
        since: "5.0.0",
        arity: -2,
        summary: "Groups of consumers who read a stream together.",
        complexity: "Depends on the subcommand",
        ..Spec::DEFAULT
    },
    subcommands: &[
        Command {
            spec: Spec {
                name: "create",
                arity: -5,
                flags: Flags::WRITE.or(Flags::DENYOOM),
                keys: &[KeySpec::one(2, INSERT)],
                summary: "Creates a group, and the stream if that is asked for.",
                arguments: &[
                    KEY,
                    GROUP,
                    ID,
                    Argument::token("mkstream", "MKSTREAM").optional(),
                    ENTRIES_READ,
                ],
                history: &[("7.0.0", "Takes ENTRIESREAD.")],
                ..ON_KEY
            },
            form: Form::Local(create),
        },
        Command {
            spec: Spec {
                name: "createconsumer",
                since: "6.2.0",
                arity: 5,
                flags: Flags::WRITE.or(Flags::DENYOOM),
                keys: &[KeySpec::one(2, INSERT)],
                summary: "Creates a consumer in a group.",
                arguments: &[KEY, GROUP, CONSUMER],
                ..ON_KEY
            },
            form: Form::Local(createconsumer),
        },
        Command {
            spec: Spec {
                name: "delconsumer",
                arity: 5,
                keys: &[KeySpec::one(2, DELETE)],
                summary: "Removes a consumer with what is pending for it.",
                complexity: "O(N log(M)) with N entries pending for it and M for the group",
                arguments: &[KEY, GROUP, CONSUMER],
                weight: Weight::Of(pending),
                ..ON_KEY
            },
            form: Form::Local(delconsumer),
        },
        Command {
            spec: Spec {
                name: "destroy",
                arity: 4,
                keys: &[KeySpec::one(2, DELETE)],
                summary: "Removes a group.",
                complexity: "O(N) in the entries that are pending",
                arguments: &[KEY, GROUP],
                weight: Weight::Of(pending),
                ..ON_KEY
            },
            form: Form::Local(destroy),
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
                name: "setid",
                arity: -5,
                keys: &[KeySpec::one(2, UPDATE)],
                summary: "Sets up to which entry a group has read.",
                arguments: &[KEY, GROUP, ID, ENTRIES_READ],
                history: &[("7.0.0", "Takes ENTRIESREAD.")],
                ..ON_KEY
            },
            form: Form::Local(setid),
        },
    ],
};

/// How many entries are pending in the group, which are what takes time to free.
fn pending(ctx: &mut Context<'_>) -> usize {
    let (key, name) = (ctx.key(2), ctx.args.get(3));
    match ctx.shard.read::<Stream>(ctx.db, key, Look::Peek) {
        Ok(Some(stream)) => stream.group(name).map_or(0, Group::pending_len),
        _ => 0,
    }
}

/// What stands behind the id of CREATE and SETID.
#[derive(Default)]
struct Options {
    mkstream: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(ctx: &Context<'_>, takes_mkstream: bool) -> Result<Options, Error> {
        let args = ctx.args;
        let mut options = Options::default();
        let mut i = 5;
        while i < args.len() {
            if takes_mkstream && args.is(i, "mkstream") {
                options.mkstream = true;
                i += 1;
            } else if args.is(i, "entriesread") && i + 1 < args.len() {
                options.entries_read = match ctx.integer(i + 1)? {
                    -1 => None,
                    n if n < 0 => {
                        return Err(Error::fixed(
                            "ERR value for ENTRIESREAD must be positive or -1",
                        ));
                    }
                    n => Some(n),
                };
                i += 2;
            } else {
                return Err(subcommand_syntax("XGROUP", args.get(1)));
            }
        }
        Ok(options)
    }
}

const NO_KEY: Error = Error::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
     the MKSTREAM option to create an empty stream automatically.",
);

fn create(ctx: &mut Context<'_>) -> Outcome {
    let options = Options::parse(ctx, true)?;
    let (key, name, id) = (ctx.key(2), ctx.args.get(3), ctx.args.get(4));
    let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Touch)?;
    let last = match stream {
        Some(stream) => stream.log().last_id,
        None if options.mkstream => Id::MIN,
        None => return Err(NO_KEY),
    };
    // Some option stands there twice.
    if ctx.args.len() > 8 {
        return Err(subcommand_syntax("XGROUP", ctx.args.get(1)));
    }
    let last_id = match id {
        b"$" => last,
        id => parse_id(id, 0)?,
    };
    let mut stream = ctx.shard.create::<Stream>(ctx.db, key)?;
    if !stream.add_group(Group::new(name, last_id, options.entries_read)) {
        return Err(Error::fixed("BUSYGROUP Consumer Group name already exists"));
    }
    stream.close_as(true, Class::STREAM, "xgroup-create");
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

fn setid(ctx: &mut Context<'_>) -> Outcome {
    let options = Options::parse(ctx, false)?;
    let (key, name, id) = (ctx.key(2), ctx.args.get(3), ctx.args.get(4));
    let (subcommand, argc) = (ctx.args.get(1), ctx.args.len());
    let mut stream = ctx.shard.open::<Stream>(ctx.db, key)?.ok_or(NO_KEY)?;
    let Some((log, group)) = stream.group_mut(name) else {
        return Err(no_group_for(key.bytes, name));
    };
    if argc > 7 {
        return Err(subcommand_syntax("XGROUP", subcommand));
    }
    group.last_id = match id {
        b"$" => log.last_id,
        id => parse_id_or_end(id, 0)?,
    };
    group.entries_read = options.entries_read;
    stream.close_as(true, Class::STREAM, "xgroup-setid");
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

fn destroy(ctx: &mut Context<'_>) -> Outcome {
    let (key, name) = (ctx.key(2), ctx.args.get(3));
    let mut stream = ctx.shard.open::<Stream>(ctx.db, key)?.ok_or(NO_KEY)?;
    let removed = stream.remove_group(name);
    stream.close_as(removed, Class::STREAM, "xgroup-destroy");
    ctx.reply.int(removed.into());
    Ok(Effect::wrote_if(removed))
}

fn createconsumer(ctx: &mut Context<'_>) -> Outcome {
    let (key, name, consumer) = (ctx.key(2), ctx.args.get(3), ctx.args.get(4));
    let now_ms = ctx.shard.clock_ms();
    let mut stream = ctx.shard.open::<Stream>(ctx.db, key)?.ok_or(NO_KEY)?;
    let Some((_, group)) = stream.group_mut(name) else {
        return Err(no_group_for(key.bytes, name));
    };
    let (_, is_new) = group.add_consumer(consumer, now_ms);
    stream.close_as(is_new, Class::STREAM, "xgroup-createconsumer");
    ctx.reply.int(is_new.into());
    Ok(Effect::wrote_if(is_new))
}

fn delconsumer(ctx: &mut Context<'_>) -> Outcome {
    let (key, name, consumer) = (ctx.key(2), ctx.args.get(3), ctx.args.get(4));
    let mut stream = ctx.shard.open::<Stream>(ctx.db, key)?.ok_or(NO_KEY)?;
    let Some((_, group)) = stream.group_mut(name) else {
        return Err(no_group_for(key.bytes, name));
    };
    let removed = group.remove_consumer(consumer);
    stream.close_as(removed.is_some(), Class::STREAM, "xgroup-delconsumer");
    ctx.reply.int(removed.unwrap_or(0) as i64);
    Ok(Effect::wrote_if(removed.is_some()))
}

fn help(ctx: &mut Context<'_>) -> Outcome {
    let specs = XGROUP.subcommands.iter().map(|c| &c.spec);
    introspect::help(ctx.reply, XGROUP.spec.name, specs);
    Ok(Effect::Read)
}
