//! Deleting entries by their ids: XDEL, and XDELEX and XACKDEL, which heed groups.

use super::add::{REFERENCES, references};
use super::{DELETE, GROUP, IDS, KEY, parse_id, parse_ids};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::number::parse_i64;
use store::Class;
use store::stream::{Id, References, Removal, Stream};

pub(super) const XDEL: Command = Command {
    spec: Spec {
        name: "xdel",
        group: "stream",
        since: "5.0.0",
        arity: -3,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, DELETE)],
        summary: "Deletes entries from a stream and counts them.",
        complexity: "O(log(N)) for each id, with N entries in the stream",
        arguments: &[KEY, IDS],
        ..Spec::DEFAULT
    },
    form: Form::Local(xdel),
};

fn xdel(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let args = ctx.args;
    let Some(mut stream) = ctx.shard.open::<Stream>(ctx.db, key)? else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    let ids = parse_ids(args, 2)?;
    let log = stream.log_mut();
    let deleted = ids.iter().filter(|id| log.delete(**id)).count();
    stream.close_as(deleted > 0, Class::STREAM, "xdel");
    ctx.reply.int(deleted as i64);
    Ok(Effect::wrote_if(deleted > 0))
}

const ID_BLOCK: Argument =
    Argument::block("ids", &[Argument::new("numids", Kind::Integer), IDS]).with_token("IDS");

pub(super) const XDELEX: Command = Command {
    spec: Spec {
        name: "xdelex",
        group: "stream",
        since: "8.2.0",
        arity: -5,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, DELETE)],
        summary: "Deletes entries from a stream, and says what becomes of what groups know of them.",
        complexity: "O(log(N)) for each id, with N entries in the stream",
        arguments: &[KEY, REFERENCES, ID_BLOCK],
        ..Spec::DEFAULT
    },
    form: Form::Local(xdelex),
};

fn xdelex(ctx: &mut Context<'_>) -> Outcome {
    let (references, ids) = parse(ctx, 2)?;
    let key = ctx.key(1);
    let Some(mut stream) = ctx.shard.open::<Stream>(ctx.db, key)? else {
        return absent(ctx, ids.len());
    };
    ctx.reply.array(ids.len());
    let mut changed = false;
    for id in ids {
        let removal = stream.remove(id, references);
        changed |= matches!(removal, Removal::Deleted | Removal::Forgotten);
        ctx.reply.int(code(removal));
    }
    stream.close_as(changed, Class::STREAM, "xdel");
    Ok(Effect::wrote_if(changed))
}

pub(super) const XACKDEL: Command = Command {
    spec: Spec {
        name: "xackdel",
        group: "stream",
        since: "8.2.0",
        arity: -6,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(
            1,
            KeyFlags::RW.or(KeyFlags::UPDATE).or(KeyFlags::DELETE),
        )],
        summary: "Acknowledges entries for a group, and deletes them if the other groups allow.",
        complexity: "O(log(N)) for each id, with N entries in the stream",
        arguments: &[KEY, GROUP, REFERENCES, ID_BLOCK],
        ..Spec::DEFAULT
    },
    form: Form::Local(xackdel),
};

fn xackdel(ctx: &mut Context<'_>) -> Outcome {
    let (references, ids) = parse(ctx, 3)?;
    let (key, group) = (ctx.key(1), ctx.args.get(2));
    let Some(mut stream) = ctx.shard.open::<Stream>(ctx.db, key)? else {
        return absent(ctx, ids.len());
    };
    ctx.reply.array(ids.len());
    let mut changed = false;
    for id in ids {
        let removal = stream.acknowledge_and_remove(group, id, references);
        changed |= removal != Removal::Absent;
        ctx.reply.int(code(removal));
    }
    stream.close_as(changed, Class::STREAM, "xdel");
    Ok(Effect::wrote_if(changed))
}

fn code(removal: Removal) -> i64 {
    match removal {
        Removal::Absent | Removal::Forgotten => -1,
        Removal::Deleted => 1,
        Removal::Referenced => 2,
    }
}

/// What is answered where there is no stream.
fn absent(ctx: &mut Context<'_>, ids: usize) -> Outcome {
    ctx.reply.array(ids);
    (0..ids).for_each(|_| ctx.reply.int(code(Removal::Absent)));
    Ok(Effect::Read)
}

/// Reads KEEPREF, DELREF or ACKED, and the ids behind IDS, in any order from argument `first` on.
fn parse(ctx: &Context<'_>, first: usize) -> Result<(References, Vec<Id>), Error> {
    let args = ctx.args;
    let (mut kept, mut ids) = (None, None);
    let mut i = first;
    while i < args.len() {
        if let Some(references) = references(args, i) {
            if kept.replace(references).is_some() {
                return Err(Error::SYNTAX);
            }
            i += 1;
        } else if args.is(i, "ids") && i + 1 < args.len() && ids.is_none() {
            let number = parse_i64(args.get(i + 1)).filter(|n| *n > 0);
            let number = number.and_then(|n| usize::try_from(n).ok());
            let number =
                number.ok_or(Error::fixed("ERR Number of IDs must be a positive integer"))?;
            if number > args.len() - i - 2 {
                return Err(Error::fixed(
                    "ERR The `numids` parameter must match the number of arguments",
                ));
            }
            ids = Some((i + 2, number));
            i += 2 + number;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    let (at, number) = ids.ok_or(Error::SYNTAX)?;
    let ids = (at..at + number).map(|i| parse_id(args.get(i), 0));
    Ok((kept.unwrap_or_default(), ids.collect::<Result<_, _>>()?))
}
