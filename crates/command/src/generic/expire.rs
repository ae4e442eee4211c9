//! When keys go away by themselves: setting that time, asking for it, taking it back.

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind, Command, Effect, Flags, Form, Outcome, Spec};
use store::Look;

const UPDATED: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::UPDATE))];
const READ: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.or(KeyFlags::ACCESS))];
const KEY: &[Argument] = &[Argument::key("key", 0)];
const CONDITIONS: Argument = Argument::one_of(
    "condition",
    &[
        Argument::token("nx", "NX"),
        Argument::token("xx", "XX"),
        Argument::token("gt", "GT"),
        Argument::token("lt", "LT"),
    ],
)
.optional()
.since("7.0.0");
const CONDITIONS_ADDED: &[(&str, &str)] = &[("7.0.0", "Takes the conditions NX, XX, GT and LT.")];

/// What the rows of the commands that set an expiry have in common.
const SETTER: Spec = Spec {
    group: "generic",
    arity: -3,
    flags: Flags::WRITE.or(Flags::FAST),
    keys: UPDATED,
    history: CONDITIONS_ADDED,
    ..Spec::DEFAULT
};

/// What the rows of the commands that ask for an expiry have in common.
const GETTER: Spec = Spec {
    group: "generic",
    arity: 2,
    flags: Flags::READONLY.or(Flags::FAST),
    keys: READ,
    arguments: KEY,
    ..Spec::DEFAULT
};

const MINUS_TWO_ADDED: &[(&str, &str)] = &[("2.8.0", "Answers -2 for an absent key.")];

pub static COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "expire",
            since: "1.0.0",
            summary: "Lets a key go away after some seconds.",
            arguments: &[
                Argument::key("key", 0),
                Argument::new("seconds", ArgumentKind::Integer),
                CONDITIONS,
            ],
            ..SETTER
        },
        form: Form::Local(expire),
    },
    Command {
        spec: Spec {
            name: "pexpire",
            since: "2.6.0",
            summary: "Lets a key go away after some milliseconds.",
            arguments: &[
                Argument::key("key", 0),
                Argument::new("milliseconds", ArgumentKind::Integer),
                CONDITIONS,
            ],
            ..SETTER
        },
        form: Form::Local(pexpire),
    },
    Command {
        spec: Spec {
            name: "expireat",
            since: "1.2.0",
            summary: "Lets a key go away at a Unix time in seconds.",
            arguments: &[
                Argument::key("key", 0),
                Argument::new("unix-time-seconds", ArgumentKind::UnixTime),
                CONDITIONS,
            ],
            ..SETTER
        },
        form: Form::Local(expireat),
    },
    Command {
        spec: Spec {
            name: "pexpireat",
            since: "2.6.0",
            summary: "Lets a key go away at a Unix time in milliseconds.",
            arguments: &[
                Argument::key("key", 0),
                Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime),
                CONDITIONS,
            ],
            ..SETTER
        },
        form: Form::Local(pexpireat),
    },
    Command {
        spec: Spec {
            name: "ttl",
            since: "1.0.0",
            tips: &["nondeterministic_output"],
            summary: "Answers how many seconds a key has left.",
            history: MINUS_TWO_ADDED,
            ..GETTER
        },
        form: Form::Local(ttl),
    },
    Command {
        spec: Spec {
            name: "pttl",
            since: "2.6.0",
            tips: &["nondeterministic_output"],
            summary: "Answers how many milliseconds a key has left.",
            history: MINUS_TWO_ADDED,
            ..GETTER
        },
        form: Form::Local(pttl),
    },
    Command {
        spec: Spec {
            name: "expiretime",
            since: "7.0.0",
            summary: "Answers the Unix time in seconds at which a key goes away.",
            ..GETTER
        },
        form: Form::Local(expiretime),
    },
    Command {
        spec: Spec {
            name: "pexpiretime",
            since: "7.0.0",
            summary: "Answers the Unix time in milliseconds at which a key goes away.",
            ..GETTER
        },
        form: Form::Local(pexpiretime),
    },
    Command {
        spec: Spec {
            name: "persist",
            group: "generic",
            since: "2.2.0",
            arity: 2,
            flags: Flags::WRITE.or(Flags::FAST),
            keys: UPDATED,
            summary: "Takes a key's expiry away.",
            arguments: KEY,
            ..Spec::DEFAULT
        },
        form: Form::Local(persist),
    },
];

/// The unit of a time on the wire, by its milliseconds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds = 1000,
    Milliseconds = 1,
}

/// What a time on the wire counts from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Now,
    Epoch,
}

fn expire(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, "expire", Unit::Seconds, From::Now)
}

fn pexpire(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, "pexpire", Unit::Milliseconds, From::Now)
}

fn expireat(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, "expireat", Unit::Seconds, From::Epoch)
}

fn pexpireat(ctx: &mut Context<'_>) -> Outcome {
    set(ctx, "pexpireat", Unit::Milliseconds, From::Epoch)
}

fn ttl(ctx: &mut Context<'_>) -> Outcome {
    get(ctx, Unit::Seconds, From::Now)
}

fn pttl(ctx: &mut Context<'_>) -> Outcome {
    get(ctx, Unit::Milliseconds, From::Now)
}

fn expiretime(ctx: &mut Context<'_>) -> Outcome {
    get(ctx, Unit::Seconds, From::Epoch)
}

fn pexpiretime(ctx: &mut Context<'_>) -> Outcome {
    get(ctx, Unit::Milliseconds, From::Epoch)
}

fn persist(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let item = ctx.shard.look(ctx.db, key, Look::Touch);
    let had = item.is_some_and(|i| i.expiry().is_some());
    if had {
        ctx.set_expiry(key, None);
    }
    ctx.reply.int(had.into());
    Ok(Effect::wrote_if(had))
}

/// When a new expiry may replace the present one.
#[derive(Clone, Copy, Default)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    /// Reads the words from argument 3 on.
    fn parse(ctx: &Context<'_>) -> Result<Condition, Error> {
        let mut c = Condition::default();
        for i in 3..ctx.args.len() {
            match () {
                _ if ctx.args.is(i, "nx") => c.nx = true,
                _ if ctx.args.is(i, "xx") => c.xx = true,
                _ if ctx.args.is(i, "gt") => c.gt = true,
                _ if ctx.args.is(i, "lt") => c.lt = true,
                _ => {
                    let word = ctx.args.get(i);
                    return Err(Error::showing("ERR Unsupported option ", word, ""));
                }
            }
        }
        if c.nx && (c.xx || c.gt || c.lt) {
            return Err(Error::new(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if c.gt && c.lt {
            return Err(Error::new(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(c)
    }

    /// Whether `at` may replace `present`. No expiry counts as one that never comes.
    fn allows(self, present: Option<i64>, at: i64) -> bool {
        match present {
            None => !self.xx && !self.gt,
            Some(present) => !self.nx && (!self.gt || at > present) && (!self.lt || at < present),
        }
    }
}

/// Sets the expiry of argument 1 to the time in argument 2.
fn set(ctx: &mut Context<'_>, name: &str, unit: Unit, from: From) -> Outcome {
    let condition = Condition::parse(ctx)?;
    let time = ctx.integer(2)?;
    let now = ctx.shard.now_ms();
    let base = if from == From::Now { now } else { 0 };
    let at = time
        .checked_mul(unit as i64)
        .and_then(|t| t.checked_add(base))
        .ok_or_else(|| Error::invalid_expire(name))?;
    let key = ctx.key(1);
    let item = ctx.shard.look(ctx.db, key, Look::Touch);
    let allowed = item.is_some_and(|i| condition.allows(i.expiry(), at));
    if allowed && at <= now {
        ctx.delete(key);
        ctx.tell_delete(key);
    } else if allowed {
        ctx.set_expiry(key, Some(at));
        ctx.tell_expiry(key, at);
    }
    ctx.reply.int(allowed.into());
    Ok(Effect::wrote_if(allowed))
}

/// Answers the expiry of argument 1: -1 if it has none, -2 if it is absent.
fn get(ctx: &mut Context<'_>, unit: Unit, from: From) -> Outcome {
    let key = ctx.key(1);
    let now = ctx.shard.now_ms();
    let answer = match ctx.shard.look(ctx.db, key, Look::Ask).map(|i| i.expiry()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => {
            let base = if from == From::Now { now } else { 0 };
            let time = at.saturating_sub(base).max(0);
            match unit {
                Unit::Milliseconds => time,
                // To the nearest second, without leaving the range.
                Unit::Seconds => time / 1000 + i64::from(time % 1000 >= 500),
            }
        }
    };
    ctx.reply.int(answer);
    Ok(Effect::Read)
}

#[cfg(test)]
mod tests {
    use crate::testing::Client;

    /// A client with keys `v`, which expires in 100 s, and `p`, which does not.
    fn client() -> Client {
        let mut c = Client::default();
        c.check("set v 1", "+OK");
        c.check("expire v 100", ":1");
        c.check("set p 1", "+OK");
        c
    }

    #[test]
    fn times_are_answered_in_both_units() {
        let mut c = client();
        c.check("pexpire v 1499", ":1");
        c.check("ttl v", ":1");
        c.check("pexpire v 1500", ":1");
        c.check("ttl v", ":2");
        c.check("pttl v", ":1500");
        c.check("pexpiretime v", ":1700000001500");
        c.check("expiretime v", ":1700000002");
        for ask in ["ttl", "pttl", "expiretime", "pexpiretime"] {
            c.check(&format!("{ask} p"), ":-1");
            c.check(&format!("{ask} nope"), ":-2");
        }
    }

    #[test]
    fn conditions() {
        for (key, request, want) in [
            ("p", "100 nx", 1),
            ("v", "50 nx", 0),
            ("p", "50 xx", 0),
            ("v", "50 xx", 1),
            ("v", "50 gt", 0),
            ("v", "100 gt", 0),
            ("v", "101 GT", 1),
            ("p", "50 gt", 0),
            ("v", "100 lt", 0),
            ("v", "99 Lt", 1),
            ("p", "50 lt", 1),
            ("p", "50 lt xx", 0),
            ("v", "50 xx lt", 1),
            ("p", "50 nx nx", 1),
            ("p", "-1 gt", 0),
            ("nope", "50", 0),
        ] {
            let mut c = client();
            let request = format!("expire {key} {request}");
            c.check(&request, &format!(":{want}"));
        }
    }

    #[test]
    fn options_are_judged_before_the_time_and_the_time_before_the_key() {
        let mut c = client();
        let never = "-ERR NX and XX, GT or LT options at the same time are not compatible";
        for (request, want) in [
            ("expire v x foo", "-ERR Unsupported option foo"),
            ("expire v x", "-ERR value is not an integer or out of range"),
            ("expire v 10 nx xx", never),
            ("expire v 10 gt lt nx", never),
            (
                "expire v 10 gt lt",
                "-ERR GT and LT options at the same time are not compatible",
            ),
            (
                "expire nope 9223372036854775",
                "-ERR invalid expire time in 'expire' command",
            ),
            (
                "expireat v 9223372036854776",
                "-ERR invalid expire time in 'expireat' command",
            ),
            (
                "expire v -9223372036854776",
                "-ERR invalid expire time in 'expire' command",
            ),
            (
                "pexpire v 9223372036854775807",
                "-ERR invalid expire time in 'pexpire' command",
            ),
        ] {
            c.check(request, want);
        }
        c.check("ttl v", ":100");
        c.check("pexpireat v 9223372036854775807", ":1");
        c.check("expiretime v", ":9223372036854776");
    }

    #[test]
    fn a_time_that_has_passed_removes_the_key() {
        for request in [
            "expire v 0",
            "expire v -9223372036854775",
            "pexpire v -9223372036854775808",
            "expireat v 0",
            "pexpireat v 1700000000000",
        ] {
            let mut c = client();
            c.check(request, ":1");
            assert_eq!(c.shard.len(0), 1, "{request}");
        }
        let mut c = client();
        c.check("pexpireat v 1700000000001", ":1");
        c.check("exists v", ":1");
        c.shard.set_now(1_700_000_000_001);
        c.check("exists v", ":1");
        c.shard.set_now(1_700_000_000_002);
        c.check("exists v", ":0");
    }

    #[test]
    fn persist_takes_the_expiry_away_once() {
        let mut c = client();
        c.check("persist v", ":1");
        c.check("persist v", ":0");
        c.check("ttl v", ":-1");
        c.check("persist nope", ":0");
    }
}
