//! Commands that get fields and remove them or change their expiry, or set fields together with it.

use super::expire::{FIELDS, NO_FIELDS, Term, some_fields};
use super::expire::{tell_expiry, tell_field, tell_gone};
use super::{KEY, PAIRS, UPDATE, WRITER, reply_value};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::Args;
use resp::number::parse_i64;
use store::hash::Hash;
use store::shard::Expiry;
use store::{Class, Collection};

const EX: Argument = Argument::new("seconds", Kind::Integer).with_token("EX");
const PX: Argument = Argument::new("milliseconds", Kind::Integer).with_token("PX");
const EXAT: Argument = Argument::new("unix-time-seconds", Kind::UnixTime).with_token("EXAT");
const PXAT: Argument = Argument::new("unix-time-milliseconds", Kind::UnixTime).with_token("PXAT");

/// What the rows have in common.
const TOGETHER: Spec = Spec {
    since: "8.0.0",
    arity: -5,
    flags: Flags::WRITE.or(Flags::FAST),
    ..WRITER
};

pub(super) const HGETDEL: Command = Command {
    spec: Spec {
        name: "hgetdel",
        keys: &[KeySpec::one(
            1,
            KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE),
        )],
        summary: "Answers the values of fields and removes the fields.",
        arguments: &[KEY, FIELDS],
        ..TOGETHER
    },
    form: Form::Local(hgetdel),
};

fn hgetdel(ctx: &mut Context<'_>) -> Outcome {
    let (key, args) = (ctx.key(1), ctx.args);
    let now = ctx.shard.now_ms();
    let hash = ctx.shard.open::<Hash>(ctx.db, key)?;
    let fields = some_fields(args, 2)?;
    ctx.reply.array(fields.len());
    let Some(mut hash) = hash else {
        fields.iter().for_each(|_| ctx.reply.null());
        return Ok(Effect::Read);
    };
    let mut changed = false;
    for field in fields.iter() {
        reply_value(ctx.reply, hash.get(field, now));
        if hash.take(field, now) {
            tell_gone(ctx.effects, key, field);
            changed = true;
        }
    }
    hash.close_as(changed, Class::HASH, "hdel");
    Ok(Effect::wrote_if(changed))
}

pub(super) const HGETEX: Command = Command {
    spec: Spec {
        name: "hgetex",
        keys: &[KeySpec {
            notes: "the key is written because expiries of fields may change",
            ..KeySpec::one(1, KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE))
        }],
        summary: "Answers the values of fields and sets or clears the fields' expiry.",
        arguments: &[
            KEY,
            Argument::one_of(
                "expiration",
                &[EX, PX, EXAT, PXAT, Argument::token("persist", "PERSIST")],
            )
            .optional(),
            FIELDS,
        ],
        ..TOGETHER
    },
    form: Form::Local(hgetex),
};

fn hgetex(ctx: &mut Context<'_>) -> Outcome {
    let (key, args) = (ctx.key(1), ctx.args);
    let now = ctx.shard.now_ms();
    let hash = ctx.shard.open::<Hash>(ctx.db, key)?;
    let (expiry, i) = match Term::named(args, 2) {
        Some(term) => (Expiry::At(term.deadline(args.get(3), now, "hgetex")?), 4),
        None if args.is(2, "persist") => (Expiry::Clear, 3),
        None => (Expiry::Keep, 2),
    };
    if i >= args.len() || !args.is(i, "fields") {
        return Err(NO_FIELDS);
    }
    if i + 1 == args.len() {
        return Err(Error::arity("hgetex"));
    }
    let fields = some_fields(args, i)?;
    ctx.reply.array(fields.len());
    let Some(mut hash) = hash else {
        fields.iter().for_each(|_| ctx.reply.null());
        return Ok(Effect::Read);
    };
    // Whatever fields there are, as in Redis.
    if expiry != Expiry::Keep {
        hash.allow_expiry();
    }
    let mut changed = false;
    for field in fields.iter() {
        let found = hash.find(field, now);
        reply_value(ctx.reply, found.map(|found| found.value));
        let Some(found) = found else {
            continue;
        };
        changed |= match expiry {
            Expiry::At(at) if at <= now => {
                tell_gone(ctx.effects, key, field);
                hash.remove(field, now)
            }
            Expiry::At(at) => {
                hash.set_expiry(field, Some(at));
                tell_expiry(ctx.effects, key, field, Some(at));
                true
            }
            Expiry::Clear if found.expiry.is_some() => {
                hash.set_expiry(field, None);
                tell_expiry(ctx.effects, key, field, None);
                true
            }
            Expiry::Clear | Expiry::Keep => false,
        };
    }
    let event = match expiry {
        Expiry::At(at) if at <= now => "hdel",
        Expiry::At(_) => "hexpire",
        Expiry::Clear | Expiry::Keep => "hpersist",
    };
    hash.close_as(changed, Class::HASH, event);
    Ok(Effect::wrote_if(changed))
}

pub(super) const HSETEX: Command = Command {
    spec: Spec {
        name: "hsetex",
        arity: -6,
        flags: super::SETS,
        keys: UPDATE,
        summary: "Sets fields of a hash together with their expiry, if all or none of them are there.",
        arguments: &[
            KEY,
            Argument::one_of(
                "condition",
                &[Argument::token("fnx", "FNX"), Argument::token("fxx", "FXX")],
            )
            .optional(),
            Argument::one_of(
                "expiration",
                &[EX, PX, EXAT, PXAT, Argument::token("keepttl", "KEEPTTL")],
            )
            .optional(),
            Argument::block(
                "fields",
                &[Argument::new("numfields", Kind::Integer), PAIRS],
            )
            .with_token("FIELDS"),
        ],
        ..TOGETHER
    },
    form: Form::Local(hsetex),
};

/// What HSETEX is asked to do.
struct Request<'a> {
    /// All fields must be there, or none.
    present: Option<bool>,
    expiry: Option<Expiry>,
    /// Fields and values in turn.
    pairs: Args<'a>,
}

impl<'a> Request<'a> {
    fn parse(args: Args<'a>, now_ms: i64) -> Result<Request<'a>, Error> {
        let mut request = Request {
            present: None,
            expiry: None,
            pairs: args.from(args.len()),
        };
        let mut i = 2;
        while i < args.len() {
            if args.is(i, "fields") {
                request.pairs = pairs(args, i + 1)?;
                break;
            }
            let present = match () {
                _ if args.is(i, "fxx") => Some(true),
                _ if args.is(i, "fnx") => Some(false),
                _ => None,
            };
            i += match present {
                Some(_) => request.take_condition(present)?,
                None => request.take_expiry(args, i, now_ms)?,
            };
        }
        if request.pairs.is_empty() {
            return Err(Error::arity("hsetex"));
        }
        Ok(request)
    }

    fn take_condition(&mut self, present: Option<bool>) -> Result<usize, Error> {
        if self.present.is_some() {
            return Err(Error::new(
                "ERR Only one of FXX or FNX arguments can be specified",
            ));
        }
        self.present = present;
        Ok(1)
    }

    fn take_expiry(&mut self, args: Args<'a>, i: usize, now_ms: i64) -> Result<usize, Error> {
        let term = Term::named(args, i);
        if term.is_none() && !args.is(i, "keepttl") {
            return Err(Error::showing("ERR unknown argument: ", args.get(i), ""));
        }
        if self.expiry.is_some() {
            return Err(Error::new(
                "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
            ));
        }
        let Some(term) = term else {
            self.expiry = Some(Expiry::Keep);
            return Ok(1);
        };
        let time = args.opt(i + 1).ok_or_else(|| Error::arity("hsetex"))?;
        self.expiry = Some(Expiry::At(term.deadline(time, now_ms, "hsetex")?));
        Ok(2)
    }
}

/// The fields and values behind their number at argument `i`, which must be all that is there.
fn pairs(args: Args<'_>, i: usize) -> Result<Args<'_>, Error> {
    // Whatever the number is, there is a field with its value.
    args.opt(i + 2).ok_or_else(|| Error::arity("hsetex"))?;
    let number = args.get(i);
    let number = parse_i64(number).filter(|n| (1..=i64::from(i32::MAX)).contains(n));
    let number = number.ok_or(Error::new("ERR invalid number of fields"))?;
    let pairs = args.from(i + 1);
    if pairs.len() as i64 != number * 2 {
        return Err(Error::arity("hsetex"));
    }
    Ok(pairs)
}

fn hsetex(ctx: &mut Context<'_>) -> Outcome {
    let (key, args) = (ctx.key(1), ctx.args);
    let now = ctx.shard.now_ms();
    let limits = &ctx.settings.limits;
    let request = Request::parse(args, now)?;
    let pairs = request.pairs;
    // A key that is not there must not come and go again.
    let Some(mut hash) = (match request.present {
        Some(true) => ctx.shard.open::<Hash>(ctx.db, key)?,
        _ => Some(ctx.shard.create::<Hash>(ctx.db, key)?),
    }) else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    if let Some(present) = request.present {
        let mut fields = (0..pairs.len()).step_by(2).map(|i| pairs.get(i));
        if !fields.all(|field| hash.get(field, now).is_some() == present) {
            ctx.reply.int(0);
            return Ok(Effect::Read);
        }
    }
    hash.prepare(pairs.len() / 2, limits);
    // Of fields too that are gone at once.
    let longest = pairs.iter().map(<[u8]>::len).max();
    hash.prepare_for(longest.unwrap_or_default(), limits);
    let expiry = request.expiry.unwrap_or(Expiry::Clear);
    if matches!(expiry, Expiry::At(_)) {
        hash.allow_expiry();
    }
    let mut changed = false;
    for i in (0..pairs.len()).step_by(2) {
        let (field, value) = (pairs.get(i), pairs.get(i + 1));
        changed |= match expiry {
            Expiry::At(at) if at <= now => {
                let removed = hash.take(field, now);
                if removed {
                    tell_gone(ctx.effects, key, field);
                }
                removed
            }
            _ => {
                hash.set(field, value, expiry, now, limits);
                tell_field(ctx.effects, key, &hash, field, now);
                true
            }
        };
    }
    let gone = hash.is_empty();
    hash.close(changed);
    ctx.notify(Class::HASH, "hset", key);
    let event = match expiry {
        Expiry::At(at) if at <= now => Some("hdel"),
        Expiry::At(_) => Some("hexpire"),
        Expiry::Clear | Expiry::Keep => None,
    };
    if let Some(event) = event {
        ctx.shard
            .notify_loss(Class::HASH, event, ctx.db, key.bytes, gone);
    }
    ctx.reply.int(1);
    Ok(Effect::wrote_if(changed))
}
