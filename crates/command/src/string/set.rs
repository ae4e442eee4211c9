//! Commands that replace strings whole, and the options that they share: conditions on what is
//! there, and how long the new value shall live.

use super::{CHANGE, KEY, Text, VALUE, get, wrote};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Merge};
use crate::spec::{Deprecated, Outcome, Spec};
use resp::Args;
use resp::number::parse_i64;
use store::shard::Expiry;
use store::{Class, Key, Look};

const OVERWRITE: KeyFlags = KeyFlags::OW.or(KeyFlags::UPDATE);
const INSERT: KeyFlags = KeyFlags::OW.or(KeyFlags::INSERT);

/// An option about the expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Seconds,
    Milliseconds,
    AtSeconds,
    AtMilliseconds,
    Keep,
    Persist,
}

impl Term {
    fn named(word: &[u8]) -> Option<Term> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        Some(match word.len() {
            2 if is("EX") => Term::Seconds,
            2 if is("PX") => Term::Milliseconds,
            4 if is("EXAT") => Term::AtSeconds,
            4 if is("PXAT") => Term::AtMilliseconds,
            7 if is("KEEPTTL") => Term::Keep,
            7 if is("PERSIST") => Term::Persist,
            _ => return None,
        })
    }
}

/// What the options say about the expiry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lifetime {
    /// The option, and the argument that holds its time.
    given: Option<(Term, usize)>,
}

impl Lifetime {
    /// Takes the option at argument `i` and answers the position after it. `None` if it is none of
    /// those with a time nor `also`, lacks its time, or contradicts an earlier one. The same
    /// option twice is no contradiction: the later one counts.
    pub(super) fn take(&mut self, args: Args<'_>, i: usize, also: Term) -> Option<usize> {
        let term = Term::named(args.get(i))?;
        let timeless = matches!(term, Term::Keep | Term::Persist);
        if timeless && term != also || self.given.is_some_and(|(given, _)| given != term) {
            return None;
        }
        let after = if timeless { i + 1 } else { i + 2 };
        self.given = Some((term, i + 1));
        (after <= args.len()).then_some(after)
    }

    pub(super) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The expiry to set at `now`, an error in the words of the command `name`.
    pub(super) fn expiry(&self, args: Args<'_>, now: i64, name: &str) -> Result<Expiry, Error> {
        match self.given {
            None | Some((Term::Persist, _)) => Ok(Expiry::Clear),
            Some((Term::Keep, _)) => Ok(Expiry::Keep),
            Some((term, i)) => deadline(args.get(i), term, now, name).map(Expiry::At),
        }
    }
}

/// The Unix time in milliseconds that `text` names as `term`.
fn deadline(text: &[u8], term: Term, now: i64, name: &str) -> Result<i64, Error> {
    let time = parse_i64(text).ok_or(Error::NOT_INTEGER)?;
    let ms = match term {
        Term::Seconds | Term::AtSeconds => time.checked_mul(1000),
        _ => Some(time),
    };
    let at = match term {
        Term::Seconds | Term::Milliseconds => ms.and_then(|ms| ms.checked_add(now)),
        _ => ms,
    };
    at.filter(|_| time > 0)
        .ok_or_else(|| Error::invalid_expire(name))
}

/// Stores argument `i` at a key. A value whose time has already passed is not stored: whatever was
/// there goes. Subscribers hear that it came and expired. Answers whether the data changed.
fn put(ctx: &mut Context<'_>, key: Key<'_>, i: usize, expiry: Expiry) -> bool {
    match expiry {
        Expiry::At(at) if at <= ctx.shard.now_ms() => {
            let removed = ctx.shard.remove(ctx.db, key);
            if !removed {
                ctx.notify(Class::NEW, "new", key);
            }
            notify_set(ctx, key, expiry);
            ctx.notify(Class::EXPIRED, "expired", key);
            removed
        }
        _ => {
            ctx.set(key, i, expiry);
            notify_set(ctx, key, expiry);
            true
        }
    }
}

/// [`put`], and logs what it has done.
fn put_and_tell(ctx: &mut Context<'_>, key: Key<'_>, i: usize, expiry: Expiry) -> bool {
    let changed = put(ctx, key, i, expiry);
    match expiry {
        _ if !changed => {}
        Expiry::At(at) if at <= ctx.shard.now_ms() => ctx.tell_delete(key),
        _ => ctx.tell_set(key, ctx.args.get(i), expiry),
    }
    changed
}

fn notify_set(ctx: &mut Context<'_>, key: Key<'_>, expiry: Expiry) {
    ctx.notify(Class::STRING, "set", key);
    if matches!(expiry, Expiry::At(_)) {
        ctx.notify(Class::GENERIC, "expire", key);
    }
}

/// What must be true of a key for its value to be set.
enum Condition<'a> {
    Absent,
    Present,
    /// It holds this string.
    Equals(&'a [u8]),
}

impl Condition<'_> {
    fn holds(&self, ctx: &mut Context<'_>, key: Key<'_>) -> Result<bool, Error> {
        Ok(match self {
            Condition::Absent => ctx.shard.look(ctx.db, key, Look::Touch).is_none(),
            Condition::Present => ctx.shard.look(ctx.db, key, Look::Touch).is_some(),
            Condition::Equals(value) => {
                let string = ctx.string(key, Look::Touch)?;
                string.is_some_and(|s| *Text::from(s) == **value)
            }
        })
    }
}

pub(super) const EX: Argument = Argument::new("seconds", Kind::Integer).with_token("EX");
pub(super) const PX: Argument = Argument::new("milliseconds", Kind::Integer).with_token("PX");
pub(super) const EXAT: Argument =
    Argument::new("unix-time-seconds", Kind::UnixTime).with_token("EXAT");
pub(super) const PXAT: Argument =
    Argument::new("unix-time-milliseconds", Kind::UnixTime).with_token("PXAT");

pub(super) const SET: Command = Command {
    spec: Spec {
        name: "set",
        group: "string",
        arity: -3,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec {
            notes: "the old value is read if GET is given",
            ..KeySpec::one(1, CHANGE.or(KeyFlags::VARIABLE_FLAGS))
        }],
        summary: "Sets the string value of a key, whatever it held before.",
        arguments: &[
            KEY,
            VALUE,
            Argument::one_of(
                "condition",
                &[
                    Argument::token("nx", "NX").since("2.6.12"),
                    Argument::token("xx", "XX").since("2.6.12"),
                    Argument::new("comparison-value", Kind::String)
                        .with_token("IFEQ")
                        .since("8.1.0"),
                ],
            )
            .optional(),
            Argument::token("get", "GET").optional().since("6.2.0"),
            Argument::one_of(
                "expiration",
                &[
                    EX.since("2.6.12"),
                    PX.since("2.6.12"),
                    EXAT.since("6.2.0"),
                    PXAT.since("6.2.0"),
                    Argument::token("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ],
        history: &[
            ("2.6.12", "EX, PX, NX and XX."),
            ("6.0.0", "KEEPTTL."),
            ("6.2.0", "GET, EXAT and PXAT."),
            ("7.0.0", "NX together with GET."),
            ("8.1.0", "IFEQ."),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(set),
};

fn set(ctx: &mut Context<'_>) -> Outcome {
    if ctx.args.len() > 3 {
        return set_with_options(ctx);
    }
    let key = ctx.key(1);
    ctx.set(key, 2, Expiry::Clear);
    ctx.notify(Class::STRING, "set", key);
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

#[derive(Default)]
struct Options<'a> {
    condition: Option<Condition<'a>>,
    get: bool,
    lifetime: Lifetime,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, Error> {
        use Condition::{Absent, Equals, Present};
        let mut options = Options::default();
        let mut i = 3;
        while i < args.len() {
            let condition = &mut options.condition;
            if args.is(i, "NX") && matches!(condition, None | Some(Absent)) {
                *condition = Some(Absent);
            } else if args.is(i, "XX") && matches!(condition, None | Some(Present)) {
                *condition = Some(Present);
            } else if args.is(i, "IFEQ") && condition.is_none() && i + 1 < args.len() {
                i += 1;
                *condition = Some(Equals(args.get(i)));
            } else if args.is(i, "GET") {
                options.get = true;
            } else {
                let after = options.lifetime.take(args, i, Term::Keep);
                i = after.ok_or(Error::SYNTAX)?;
                continue;
            }
            i += 1;
        }
        Ok(options)
    }
}

fn set_with_options(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let options = Options::parse(ctx.args)?;
    let now = ctx.shard.now_ms();
    let expiry = options.lifetime.expiry(ctx.args, now, "set")?;
    if options.get {
        get(ctx)?;
    }
    if let Some(condition) = &options.condition
        && !condition.holds(ctx, key)?
    {
        if !options.get {
            ctx.reply.null();
        }
        return Ok(Effect::Read);
    }
    if !options.get {
        ctx.reply.ok();
    }
    Ok(wrote(put_and_tell(ctx, key, 2, expiry)))
}

pub(super) const SETNX: Command = Command {
    spec: Spec {
        name: "setnx",
        group: "string",
        arity: 3,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec::one(1, INSERT)],
        summary: "Sets the string value of a key that does not exist.",
        arguments: &[KEY, VALUE],
        deprecated: Some(Deprecated {
            since: "2.6.12",
            replaced_by: "`SET` with the `NX` argument",
        }),
        ..Spec::DEFAULT
    },
    form: Form::Local(setnx),
};

fn setnx(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let absent = ctx.shard.look(ctx.db, key, Look::Touch).is_none();
    if absent {
        ctx.set(key, 2, Expiry::Clear);
        ctx.notify(Class::STRING, "set", key);
    }
    ctx.reply.int(absent.into());
    Ok(wrote(absent))
}

pub(super) const SETEX: Command = Command {
    spec: Spec {
        name: "setex",
        group: "string",
        since: "2.0.0",
        arity: 4,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::one(1, OVERWRITE)],
        summary: "Sets the string value of a key and after how many seconds it expires.",
        arguments: &[KEY, Argument::new("seconds", Kind::Integer), VALUE],
        deprecated: Some(Deprecated {
            since: "2.6.12",
            replaced_by: "`SET` with the `EX` argument",
        }),
        ..Spec::DEFAULT
    },
    form: Form::Local(setex),
};

fn setex(ctx: &mut Context<'_>) -> Outcome {
    set_for(ctx, Term::Seconds, "setex")
}

pub(super) const PSETEX: Command = Command {
    spec: Spec {
        name: "psetex",
        group: "string",
        since: "2.6.0",
        arity: 4,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::one(1, OVERWRITE)],
        summary: "Sets the string value of a key and after how many milliseconds it expires.",
        arguments: &[KEY, Argument::new("milliseconds", Kind::Integer), VALUE],
        deprecated: Some(Deprecated {
            since: "2.6.12",
            replaced_by: "`SET` with the `PX` argument",
        }),
        ..Spec::DEFAULT
    },
    form: Form::Local(psetex),
};

fn psetex(ctx: &mut Context<'_>) -> Outcome {
    set_for(ctx, Term::Milliseconds, "psetex")
}

fn set_for(ctx: &mut Context<'_>, term: Term, name: &str) -> Outcome {
    let key = ctx.key(1);
    let at = deadline(ctx.args.get(2), term, ctx.shard.now_ms(), name)?;
    ctx.set(key, 3, Expiry::At(at));
    notify_set(ctx, key, Expiry::At(at));
    ctx.tell_set(key, ctx.args.get(3), Expiry::At(at));
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

pub(super) const GETSET: Command = Command {
    spec: Spec {
        name: "getset",
        group: "string",
        arity: 3,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec::one(1, CHANGE)],
        summary: "Sets the string value of a key and answers the one before.",
        arguments: &[KEY, VALUE],
        deprecated: Some(Deprecated {
            since: "6.2.0",
            replaced_by: "`SET` with the `!GET` argument",
        }),
        ..Spec::DEFAULT
    },
    form: Form::Local(getset),
};

fn getset(ctx: &mut Context<'_>) -> Outcome {
    get(ctx)?;
    let key = ctx.key(1);
    ctx.set(key, 2, Expiry::Clear);
    ctx.notify(Class::STRING, "set", key);
    Ok(Effect::Wrote)
}

pub(super) const DELIFEQ: Command = Command {
    spec: Spec {
        name: "delifeq",
        group: "string",
        since: "9.0.0",
        arity: 3,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RM.or(KeyFlags::DELETE))],
        summary: "Deletes a key that holds the given string.",
        arguments: &[KEY, VALUE],
        ..Spec::DEFAULT
    },
    form: Form::Local(delifeq),
};

fn delifeq(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let equal = Condition::Equals(ctx.args.get(2)).holds(ctx, key)?;
    if equal {
        ctx.delete(key);
        ctx.tell_delete(key);
    }
    ctx.reply.int(equal.into());
    Ok(wrote(equal))
}

const PAIRS: Argument = Argument::block("data", &[KEY, VALUE]).multiple();

pub(super) const MSET: Command = Command {
    spec: Spec {
        name: "mset",
        group: "string",
        since: "1.0.1",
        arity: -3,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::range(1, -1, 2, OVERWRITE)],
        tips: &[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ],
        summary: "Sets the string values of several keys at once.",
        complexity: "O(N) with N the number of keys.",
        arguments: &[PAIRS],
        ..Spec::DEFAULT
    },
    form: Form::Fan(mset, Merge::Ok),
};

fn mset(ctx: &mut Context<'_>) -> Outcome {
    check_pairs(ctx.args, "mset")?;
    set_pairs(ctx, 1, ctx.args.len(), Expiry::Clear, put);
    ctx.reply.ok();
    Ok(Effect::Wrote)
}

pub(super) const MSETNX: Command = Command {
    spec: Spec {
        name: "msetnx",
        group: "string",
        since: "1.0.1",
        arity: -3,
        flags: Flags::WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::range(1, -1, 2, INSERT)],
        summary: "Sets the string values of several keys at once if none of them exists.",
        complexity: "O(N) with N the number of keys.",
        arguments: &[PAIRS],
        ..Spec::DEFAULT
    },
    form: Form::Gather(msetnx, None),
};

fn msetnx(ctx: &mut Context<'_>) -> Outcome {
    check_pairs(ctx.args, "msetnx")?;
    let end = ctx.args.len();
    let absent = all_hold(ctx, 1, end, &Condition::Absent)?;
    if absent {
        set_pairs(ctx, 1, end, Expiry::Clear, put);
    }
    ctx.reply.int(absent.into());
    Ok(wrote(absent))
}

pub(super) const MSETEX: Command = Command {
    spec: Spec {
        name: "msetex",
        group: "string",
        since: "9.1.0",
        arity: -4,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLEKEYS),
        keys: &[KeySpec::counted(1, 2, OVERWRITE)],
        tips: &[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ],
        summary: "Sets the string values of several keys at once, and when they expire.",
        complexity: "O(N) with N the number of keys.",
        arguments: &[
            Argument::new("numkeys", Kind::Integer),
            PAIRS,
            Argument::one_of(
                "condition",
                &[Argument::token("nx", "NX"), Argument::token("xx", "XX")],
            )
            .optional(),
            Argument::one_of(
                "expiration",
                &[EX, PX, EXAT, PXAT, Argument::token("keepttl", "KEEPTTL")],
            )
            .optional(),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Gather(msetex, None),
};

fn msetex(ctx: &mut Context<'_>) -> Outcome {
    let args = ctx.args;
    let keys = parse_i64(args.get(1)).filter(|n| (1..=i64::from(i32::MAX)).contains(n));
    let keys = keys.ok_or(Error::new("ERR invalid numkeys value or out of range"))?;
    let end = 2 + 2 * keys as usize;
    if end > args.len() {
        return Err(Error::SYNTAX);
    }
    let mut condition = None;
    let mut lifetime = Lifetime::default();
    let mut i = end;
    while i < args.len() {
        i = if args.is(i, "NX") && !matches!(condition, Some(Condition::Present)) {
            condition = Some(Condition::Absent);
            i + 1
        } else if args.is(i, "XX") && !matches!(condition, Some(Condition::Absent)) {
            condition = Some(Condition::Present);
            i + 1
        } else {
            lifetime.take(args, i, Term::Keep).ok_or(Error::SYNTAX)?
        };
    }
    let expiry = lifetime.expiry(args, ctx.shard.now_ms(), "msetex")?;
    if let Some(condition) = condition
        && !all_hold(ctx, 2, end, &condition)?
    {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    }
    ctx.reply.int(1);
    Ok(wrote(set_pairs(ctx, 2, end, expiry, put_and_tell)))
}

/// The arguments from the first on are keys with a value each.
fn check_pairs(args: Args<'_>, name: &str) -> Result<(), Error> {
    if args.len().is_multiple_of(2) {
        return Err(Error::arity(name));
    }
    Ok(())
}

/// Whether a condition holds for each key of the pairs in arguments `first..end`.
fn all_hold(
    ctx: &mut Context<'_>,
    first: usize,
    end: usize,
    condition: &Condition<'_>,
) -> Result<bool, Error> {
    for i in (first..end).step_by(2) {
        let key = ctx.key(i);
        if !condition.holds(ctx, key)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Stores the pairs in arguments `first..end` with `put`; answers whether the data changed.
#[inline]
fn set_pairs(
    ctx: &mut Context<'_>,
    first: usize,
    end: usize,
    expiry: Expiry,
    put: impl Fn(&mut Context<'_>, Key<'_>, usize, Expiry) -> bool,
) -> bool {
    let mut changed = false;
    for i in (first..end).step_by(2) {
        if (i - first).is_multiple_of(2 * Context::PREFETCHED) {
            ctx.prefetch_keys(i, 2);
        }
        let key = ctx.key(i);
        changed |= put(ctx, key, i + 1, expiry);
    }
    changed
}
