//! When fields go away by themselves: setting that time, asking for it, taking it back.

use super::{KEY, READ, UPDATE};
use crate::context::Context;
use crate::effect::Effects;
use crate::error::Error;
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::Args;
use resp::number::parse_i64;
use store::hash::Hash;
use store::{Class, Key, Look};

/// The latest time that a field may have, in Unix milliseconds, as in Redis.
const LATEST_MS: i64 = (1 << 46) - 1;

pub(super) const FIELDS: Argument = Argument::block(
    "fields",
    &[
        Argument::new("numfields", Kind::Integer),
        Argument::new("field", Kind::String).multiple(),
    ],
)
.with_token("FIELDS");

const CONDITION: Argument = Argument::one_of(
    "condition",
    &[
        Argument::token("nx", "NX"),
        Argument::token("xx", "XX"),
        Argument::token("gt", "GT"),
        Argument::token("lt", "LT"),
    ],
)
.optional();

const SETTER: Spec = Spec {
    group: "hash",
    since: "7.4.0",
    arity: -6,
    flags: Flags::WRITE.or(Flags::FAST),
    keys: UPDATE,
    complexity: "O(N) with N the number of fields given.",
    ..Spec::DEFAULT
};

const GETTER: Spec = Spec {
    arity: -5,
    flags: Flags::READONLY.or(Flags::FAST),
    keys: READ,
    arguments: &[KEY, FIELDS],
    ..SETTER
};

pub(super) const HEXPIRE: Command = Command {
    spec: Spec {
        name: "hexpire",
        summary: "Lets fields of a hash go away after some seconds.",
        arguments: &[
            KEY,
            Argument::new("seconds", Kind::Integer),
            CONDITION,
            FIELDS,
        ],
        ..SETTER
    },
    form: Form::Local(hexpire),
};

pub(super) const HPEXPIRE: Command = Command {
    spec: Spec {
        name: "hpexpire",
        summary: "Lets fields of a hash go away after some milliseconds.",
        arguments: &[
            KEY,
            Argument::new("milliseconds", Kind::Integer),
            CONDITION,
            FIELDS,
        ],
        ..SETTER
    },
    form: Form::Local(hpexpire),
};

pub(super) const HEXPIREAT: Command = Command {
    spec: Spec {
        name: "hexpireat",
        summary: "Lets fields of a hash go away at a Unix time in seconds.",
        arguments: &[
            KEY,
            Argument::new("unix-time-seconds", Kind::UnixTime),
            CONDITION,
            FIELDS,
        ],
        ..SETTER
    },
    form: Form::Local(hexpireat),
};

pub(super) const HPEXPIREAT: Command = Command {
    spec: Spec {
        name: "hpexpireat",
        summary: "Lets fields of a hash go away at a Unix time in milliseconds.",
        arguments: &[
            KEY,
            Argument::new("unix-time-milliseconds", Kind::UnixTime),
            CONDITION,
            FIELDS,
        ],
        ..SETTER
    },
    form: Form::Local(hpexpireat),
};

pub(super) const HTTL: Command = Command {
    spec: Spec {
        name: "httl",
        tips: &["nondeterministic_output"],
        summary: "Answers how many seconds fields of a hash have left.",
        ..GETTER
    },
    form: Form::Local(httl),
};

pub(super) const HPTTL: Command = Command {
    spec: Spec {
        name: "hpttl",
        tips: &["nondeterministic_output"],
        summary: "Answers how many milliseconds fields of a hash have left.",
        ..GETTER
    },
    form: Form::Local(hpttl),
};

pub(super) const HEXPIRETIME: Command = Command {
    spec: Spec {
        name: "hexpiretime",
        summary: "Answers when fields of a hash will go away, as a Unix time in seconds.",
        ..GETTER
    },
    form: Form::Local(hexpiretime),
};

pub(super) const HPEXPIRETIME: Command = Command {
    spec: Spec {
        name: "hpexpiretime",
        summary: "Answers when fields of a hash will go away, as a Unix time in milliseconds.",
        ..GETTER
    },
    form: Form::Local(hpexpiretime),
};

pub(super) const HPERSIST: Command = Command {
    spec: Spec {
        name: "hpersist",
        arity: -5,
        summary: "Lets fields of a hash stay.",
        arguments: &[KEY, FIELDS],
        ..SETTER
    },
    form: Form::Local(hpersist),
};

fn hexpire(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, Term::Seconds, "hexpire")
}

fn hpexpire(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, Term::Milliseconds, "hpexpire")
}

fn hexpireat(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, Term::AtSeconds, "hexpireat")
}

fn hpexpireat(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, Term::AtMilliseconds, "hpexpireat")
}

fn httl(ctx: &mut Context<'_>) -> Outcome {
    ask(ctx, Term::Seconds)
}

fn hpttl(ctx: &mut Context<'_>) -> Outcome {
    ask(ctx, Term::Milliseconds)
}

fn hexpiretime(ctx: &mut Context<'_>) -> Outcome {
    ask(ctx, Term::AtSeconds)
}

fn hpexpiretime(ctx: &mut Context<'_>) -> Outcome {
    ask(ctx, Term::AtMilliseconds)
}

/// How a time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Seconds,
    Milliseconds,
    AtSeconds,
    AtMilliseconds,
}

impl Term {
    /// The option of HGETEX and HSETEX at an argument.
    pub fn named(args: Args<'_>, i: usize) -> Option<Term> {
        Some(match () {
            _ if args.is(i, "ex") => Term::Seconds,
            _ if args.is(i, "px") => Term::Milliseconds,
            _ if args.is(i, "exat") => Term::AtSeconds,
            _ if args.is(i, "pxat") => Term::AtMilliseconds,
            _ => return None,
        })
    }

    fn is_relative(self) -> bool {
        matches!(self, Term::Seconds | Term::Milliseconds)
    }

    fn in_seconds(self) -> bool {
        matches!(self, Term::Seconds | Term::AtSeconds)
    }

    /// The Unix time in milliseconds that `text` gives, an error in the words of the command `name`.
    pub fn deadline(self, text: &[u8], now_ms: i64, name: &str) -> Result<i64, Error> {
        let time = parse_i64(text).ok_or(Error::NOT_INTEGER)?;
        if time < 0 {
            return Err(Error::new("ERR invalid expire time, must be >= 0"));
        }
        let ms = time.checked_mul(if self.in_seconds() { 1000 } else { 1 });
        let base = if self.is_relative() { now_ms } else { 0 };
        ms.and_then(|ms| ms.checked_add(base))
            .filter(|at| *at <= LATEST_MS)
            .ok_or_else(|| Error::invalid_expire(name))
    }
}

/// The word FIELDS is not where it has to be.
pub(super) const NO_FIELDS: Error =
    Error::fixed("ERR Mandatory argument FIELDS is missing or not at the right position");
const NO_POSITIVE: Error = Error::fixed("ERR Number of fields must be a positive integer");

/// The fields behind the word FIELDS at argument `i`, and their number, which is all that is there. It is
/// `not_positive` to say that their number is none.
pub(super) fn fields<'a>(args: Args<'a>, i: usize, not_positive: Error) -> Result<Args<'a>, Error> {
    if i >= args.len() || !args.is(i, "fields") {
        return Err(NO_FIELDS);
    }
    let number = args.opt(i + 1).and_then(parse_i64);
    let Some(number) = number.filter(|n| *n > 0) else {
        return Err(not_positive);
    };
    let fields = args.from(i + 2);
    if fields.len() as i64 != number {
        return Err(Error::new(
            "ERR The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(fields)
}

/// [`fields`] in the words of most commands.
pub(super) fn some_fields(args: Args<'_>, i: usize) -> Result<Args<'_>, Error> {
    fields(args, i, NO_POSITIVE)
}

/// When a new expiry may replace the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Condition {
    fn named(args: Args<'_>, i: usize) -> Condition {
        match () {
            _ if args.is(i, "nx") => Condition::Nx,
            _ if args.is(i, "xx") => Condition::Xx,
            _ if args.is(i, "gt") => Condition::Gt,
            _ if args.is(i, "lt") => Condition::Lt,
            _ => Condition::Always,
        }
    }

    /// No expiry counts as one that never comes.
    fn allows(self, present: Option<i64>, at: i64) -> bool {
        match (self, present) {
            (Condition::Always, _) | (Condition::Nx | Condition::Lt, None) => true,
            (Condition::Nx, Some(_)) | (Condition::Xx | Condition::Gt, None) => false,
            (Condition::Xx, Some(_)) => true,
            (Condition::Gt, Some(present)) => at > present,
            (Condition::Lt, Some(present)) => at < present,
        }
    }
}

/// What became of a field, as a number for the client.
const GONE: i64 = -2;
const REFUSED: i64 = 0;
const DONE: i64 = 1;
const REMOVED: i64 = 2;

/// Logs that a field has gone, instead of the command.
pub(super) fn tell_gone(effects: &mut Effects, key: Key<'_>, field: &[u8]) {
    effects.tell(["HDEL".into(), key.bytes.into(), field.into()]);
}

/// Logs when a field expires, or that it does not any more.
pub(super) fn tell_expiry(effects: &mut Effects, key: Key<'_>, field: &[u8], at: Option<i64>) {
    let key = key.bytes.into();
    match at {
        Some(at) => {
            let name = "HPEXPIREAT".into();
            let at = at.into();
            effects.tell([name, key, at, "FIELDS".into(), "1".into(), field.into()]);
        }
        None => {
            let name = "HPERSIST".into();
            effects.tell([name, key, "FIELDS".into(), "1".into(), field.into()]);
        }
    }
}

/// Logs what a field has become, instead of the command.
pub(super) fn tell_field(effects: &mut Effects, key: Key<'_>, hash: &Hash, field: &[u8], now: i64) {
    if !effects.is_on() {
        return;
    }
    let Some(found) = hash.find(field, now) else {
        return;
    };
    let value = found.value.text();
    effects.tell([
        "HSET".into(),
        key.bytes.into(),
        field.into(),
        (&*value).into(),
    ]);
    if found.expiry.is_some() {
        tell_expiry(effects, key, field, found.expiry);
    }
}

/// Sets the expiry of fields to the time in argument 2.
fn set(ctx: &mut Context<'_>, term: Term, name: &str) -> Outcome {
    let (key, args) = (ctx.key(1), ctx.args);
    let now = ctx.shard.now_ms();
    // The type is judged first, the key's absence last.
    let hash = ctx.shard.open::<Hash>(ctx.db, key)?;
    let at = term.deadline(args.get(2), now, name)?;
    let condition = Condition::named(args, 3);
    let i = 3 + usize::from(condition != Condition::Always);
    let none = Error::new("ERR Parameter `numFields` should be greater than 0");
    let fields = fields(args, i, none)?;
    ctx.reply.array(fields.len());
    let Some(mut hash) = hash else {
        fields.iter().for_each(|_| ctx.reply.int(GONE));
        return Ok(Effect::Read);
    };
    hash.allow_expiry();
    let mut changed = false;
    for field in fields.iter() {
        let outcome = match hash.find(field, now) {
            None => GONE,
            Some(found) if !condition.allows(found.expiry, at) => REFUSED,
            Some(_) if at <= now => {
                hash.remove(field, now);
                tell_gone(ctx.effects, key, field);
                REMOVED
            }
            Some(_) => {
                hash.set_expiry(field, Some(at));
                tell_expiry(ctx.effects, key, field, Some(at));
                DONE
            }
        };
        changed |= outcome > REFUSED;
        ctx.reply.int(outcome);
    }
    let event = if at <= now { "hdel" } else { "hexpire" };
    hash.close_as(changed, Class::HASH, event);
    Ok(Effect::wrote_if(changed))
}

fn hpersist(ctx: &mut Context<'_>) -> Outcome {
    let (key, args) = (ctx.key(1), ctx.args);
    let now = ctx.shard.now_ms();
    let hash = ctx.shard.open::<Hash>(ctx.db, key)?;
    let fields = some_fields(args, 2)?;
    ctx.reply.array(fields.len());
    let Some(mut hash) = hash else {
        fields.iter().for_each(|_| ctx.reply.int(GONE));
        return Ok(Effect::Read);
    };
    let mut changed = false;
    for field in fields.iter() {
        match hash.find(field, now).map(|found| found.expiry) {
            None => ctx.reply.int(GONE),
            Some(None) => ctx.reply.int(-1),
            Some(Some(_)) => {
                hash.set_expiry(field, None);
                tell_expiry(ctx.effects, key, field, None);
                changed = true;
                ctx.reply.int(DONE);
            }
        }
    }
    hash.close_as(changed, Class::HASH, "hpersist");
    Ok(Effect::wrote_if(changed))
}

/// Answers the expiries of fields: -1 for one that has none, -2 for one that is absent.
fn ask(ctx: &mut Context<'_>, term: Term) -> Outcome {
    let (key, args) = (ctx.key(1), ctx.args);
    let now = ctx.shard.now_ms();
    let hash = ctx.shard.read::<Hash>(ctx.db, key, Look::Use)?;
    let fields = some_fields(args, 2)?;
    ctx.reply.array(fields.len());
    let base = if term.is_relative() { now } else { 0 };
    for field in fields.iter() {
        let found = hash.as_ref().and_then(|hash| hash.find(field, now));
        let answer = match found.map(|found| found.expiry) {
            None => GONE,
            Some(None) => -1,
            Some(Some(at)) => {
                let left = at.saturating_sub(base).max(0);
                match term.in_seconds() {
                    // Up to the next second.
                    true => left / 1000 + i64::from(left % 1000 > 0),
                    false => left,
                }
            }
        };
        ctx.reply.int(answer);
    }
    Ok(Effect::Read)
}
