//! Sets: SADD, SINTER and their kin.
//!
//! Rows stand beside their handlers: here for what adds, removes and asks for members, in a file each for
//! what draws them and for what combines several sets.

mod combine;
mod draw;
#[cfg(test)]
mod tests;

use crate::context::Context;
use crate::cursor::{self, INVALID_CURSOR, Options};
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use resp::Reply;
use resp::number::parse_u64_loose;
use store::set::Set;
use store::{Class, Collection, Look};

pub static COMMANDS: &[Command] = &[
    SADD,
    SCARD,
    combine::SDIFF,
    combine::SDIFFSTORE,
    combine::SINTER,
    combine::SINTERCARD,
    combine::SINTERSTORE,
    SISMEMBER,
    SMEMBERS,
    SMISMEMBER,
    SMOVE,
    draw::SPOP,
    draw::SRANDMEMBER,
    SREM,
    SSCAN,
    combine::SUNION,
    combine::SUNIONSTORE,
];

const KEY: Argument = Argument::key("key", 0);
const MEMBER: Argument = Argument::new("member", Kind::String);

const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const TAKE: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE);
const INSERT: KeyFlags = KeyFlags::RW.or(KeyFlags::INSERT);

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

const SADD: Command = Command {
    spec: Spec {
        name: "sadd",
        group: "set",
        since: "1.0.0",
        arity: -3,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec::one(1, INSERT)],
        summary: "Adds members to a set and answers how many are new.",
        complexity: "O(N) with N the members given.",
        arguments: &[KEY, MEMBER.multiple()],
        history: &[("2.4.0", "Takes several members.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(sadd),
};

fn sadd(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let limits = &ctx.settings.limits;
    let mut set = ctx.shard.create::<Set>(ctx.db, key)?;
    set.expect(ctx.args.get(2), ctx.args.len() - 2, limits);
    let mut added = 0;
    for i in 2..ctx.args.len() {
        added += i64::from(set.add(ctx.args.get(i), limits));
    }
    set.close_as(added > 0, Class::SET, "sadd");
    ctx.reply.int(added);
    Ok(Effect::wrote_if(added > 0))
}

const SREM: Command = Command {
    spec: Spec {
        name: "srem",
        group: "set",
        since: "1.0.0",
        arity: -3,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::DELETE))],
        summary: "Removes members from a set and answers how many there were.",
        complexity: "O(N) with N the members given.",
        arguments: &[KEY, MEMBER.multiple()],
        history: &[("2.4.0", "Takes several members.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(srem),
};

fn srem(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let mut removed = 0;
    if let Some(mut set) = ctx.shard.open::<Set>(ctx.db, key)? {
        for i in 2..ctx.args.len() {
            removed += i64::from(set.remove(ctx.args.get(i)));
        }
        set.close_as(removed > 0, Class::SET, "srem");
    }
    ctx.reply.int(removed);
    Ok(Effect::wrote_if(removed > 0))
}

const SISMEMBER: Command = Command {
    spec: Spec {
        name: "sismember",
        group: "set",
        since: "1.0.0",
        arity: 3,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Tells whether a set has a member.",
        complexity: "O(1)",
        arguments: &[KEY, MEMBER],
        ..Spec::DEFAULT
    },
    form: Form::Local(sismember),
};

fn sismember(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let set = ctx.shard.read::<Set>(ctx.db, key, Look::Use)?;
    let found = set.is_some_and(|set| set.contains(ctx.args.get(2)));
    ctx.reply.int(found.into());
    Ok(Effect::Read)
}

const SMISMEMBER: Command = Command {
    spec: Spec {
        name: "smismember",
        group: "set",
        since: "6.2.0",
        arity: -3,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, READ)],
        summary: "Tells of each of several members whether a set has it.",
        complexity: "O(N) with N the members given.",
        arguments: &[KEY, MEMBER.multiple()],
        ..Spec::DEFAULT
    },
    form: Form::Local(smismember),
};

fn smismember(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let set = ctx.shard.read::<Set>(ctx.db, key, Look::Use)?;
    ctx.reply.array(ctx.args.len() - 2);
    for i in 2..ctx.args.len() {
        let member = ctx.args.get(i);
        let found = set.as_ref().is_some_and(|set| set.contains(member));
        ctx.reply.int(found.into());
    }
    Ok(Effect::Read)
}

const SCARD: Command = Command {
    spec: Spec {
        name: "scard",
        group: "set",
        since: "1.0.0",
        arity: 2,
        flags: Flags::READONLY.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RO)],
        summary: "Answers how many members a set has.",
        complexity: "O(1)",
        arguments: &[KEY],
        ..Spec::DEFAULT
    },
    form: Form::Local(scard),
};

fn scard(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let set = ctx.shard.read::<Set>(ctx.db, key, Look::Use)?;
    ctx.reply.int(set.map_or(0, |set| set.len() as i64));
    Ok(Effect::Read)
}

const SMEMBERS: Command = Command {
    spec: Spec {
        name: "smembers",
        group: "set",
        since: "1.0.0",
        arity: 2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        tips: ANY_ORDER,
        summary: "Answers all members of a set.",
        complexity: "O(N) with N the members of the set.",
        arguments: &[KEY],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Local(smembers),
};

fn smembers(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let set = ctx.shard.read::<Set>(ctx.db, key, Look::Use)?;
    match set {
        Some(set) => reply_all(ctx.reply, &set),
        None => ctx.reply.set(0),
    }
    Ok(Effect::Read)
}

/// Writes all members.
fn reply_all(reply: &mut Reply, set: &Set) {
    reply.set(set.len());
    for member in set.iter() {
        Context::reply_element(reply, member);
    }
}

const SMOVE: Command = Command {
    spec: Spec {
        name: "smove",
        group: "set",
        since: "1.0.0",
        arity: 4,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, TAKE), KeySpec::one(2, INSERT)],
        summary: "Moves a member from one set to another.",
        complexity: "O(1)",
        arguments: &[
            Argument::key("source", 0),
            Argument::key("destination", 1),
            MEMBER,
        ],
        ..Spec::DEFAULT
    },
    form: Form::Gather(smove, None),
};

fn smove(ctx: &mut Context<'_>) -> Outcome {
    let (from, to) = (ctx.key(1), ctx.key(2));
    let member = ctx.args.get(3);
    let items = ctx.shard.look_all(ctx.db, [from, to], Look::Touch);
    let Some(source) = &items[0] else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    let source = source.held::<Set>()?;
    if let Some(target) = &items[1] {
        target.held::<Set>()?;
    }
    let found = source.contains(member);
    let moves = found && from.bytes != to.bytes;
    if moves {
        if let Some(mut source) = ctx.shard.open::<Set>(ctx.db, from)? {
            source.remove(member);
            source.close_as(true, Class::SET, "srem");
        }
        let limits = &ctx.settings.limits;
        let mut target = ctx.shard.create::<Set>(ctx.db, to)?;
        target.expect(member, 1, limits);
        let added = target.add(member, limits);
        target.close_as(added, Class::SET, "sadd");
        if ctx.effects.is_apart() {
            ctx.effects
                .tell(["SREM".into(), from.bytes.into(), member.into()]);
            ctx.effects
                .tell(["SADD".into(), to.bytes.into(), member.into()]);
        }
    }
    ctx.reply.int(found.into());
    Ok(Effect::wrote_if(moves))
}

const SSCAN: Command = Command {
    spec: Spec {
        name: "sscan",
        group: "set",
        since: "2.8.0",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        tips: &["nondeterministic_output"],
        summary: "Walks over the members of a set, some at a call.",
        complexity: "O(1) a call, O(N) in the members of the set for a whole walk",
        arguments: &[
            KEY,
            Argument::new("cursor", Kind::Integer),
            Argument::new("pattern", Kind::Pattern)
                .with_token("MATCH")
                .optional(),
            Argument::new("count", Kind::Integer)
                .with_token("COUNT")
                .optional(),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(sscan),
};

fn sscan(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let mut cursor = parse_u64_loose(ctx.args.get(2)).ok_or(INVALID_CURSOR)?;
    let mut found = Reply::new(ctx.reply.protocol());
    let Some(set) = ctx.shard.read::<Set>(ctx.db, key, Look::Use)? else {
        cursor::reply(ctx.reply, 0, 0, &found);
        return Ok(Effect::Read);
    };
    let options = Options::parse(ctx.args, 3, Options::none)?;
    let (mut n, mut visited) = (0, 0);
    // Empty stretches end a call too.
    let mut steps = options.count;
    loop {
        cursor = set.scan(cursor, |member| {
            visited += 1;
            member.with(|bytes| {
                if options.pattern.accepts(bytes) {
                    found.bulk(bytes);
                    n += 1;
                }
            });
        });
        steps -= 1;
        if cursor == 0 || visited >= options.count || steps == 0 {
            break;
        }
    }
    cursor::reply(ctx.reply, cursor, n, &found);
    Ok(Effect::Read)
}
