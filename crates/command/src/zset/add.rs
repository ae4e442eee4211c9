//! Adding members and changing scores: ZADD and ZINCRBY.

use super::{KEY, MEMBER, number, reply_score};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::Args;
use store::zset::Zset;
use store::{Class, Limits};

const NAN: Error = Error::fixed("ERR resulting score is not a number (NaN)");

/// What ZADD is told before the first score.
#[derive(Clone, Copy, Default)]
struct Options {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
    /// The reply counts members whose scores changed too.
    changed: bool,
    increment: bool,
}

impl Options {
    /// Reads what is there, and answers where the first score is.
    fn parse(args: Args<'_>) -> Result<(Options, usize), Error> {
        let mut options = Options::default();
        let mut i = 2;
        while i < args.len() {
            let flag = match args.get(i) {
                word if word.eq_ignore_ascii_case(b"nx") => &mut options.absent,
                word if word.eq_ignore_ascii_case(b"xx") => &mut options.present,
                word if word.eq_ignore_ascii_case(b"gt") => &mut options.greater,
                word if word.eq_ignore_ascii_case(b"lt") => &mut options.less,
                word if word.eq_ignore_ascii_case(b"ch") => &mut options.changed,
                word if word.eq_ignore_ascii_case(b"incr") => &mut options.increment,
                _ => break,
            };
            *flag = true;
            i += 1;
        }
        options.check(args.len() - i)?;
        Ok((options, i))
    }

    fn check(&self, left: usize) -> Result<(), Error> {
        if left == 0 || !left.is_multiple_of(2) {
            return Err(Error::SYNTAX);
        }
        if self.absent && self.present {
            return Err(Error::new(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        let exclusive = [self.greater, self.less, self.absent];
        if exclusive.iter().filter(|given| **given).count() > 1 {
            return Err(Error::new(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.increment && left > 2 {
            return Err(Error::new(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }
}

/// What became of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    /// The options did not allow it.
    Nothing,
    /// It had this score before.
    Same,
    Added,
    Changed,
}

/// Adds a member or changes its score, as far as the options allow. Answers what was done and the score
/// that it has now.
#[inline]
fn put(
    zset: &mut Zset,
    member: &[u8],
    score: f64,
    options: Options,
    limits: &Limits,
) -> Result<(Done, f64), Error> {
    let mut done = Ok((Done::Nothing, score));
    zset.upsert(member, limits, |old| {
        let Some(old) = old else {
            if options.present {
                return None;
            }
            done = Ok((Done::Added, score));
            return Some(score);
        };
        if options.absent {
            return None;
        }
        let new = if options.increment {
            old + score
        } else {
            score
        };
        if new.is_nan() {
            done = Err(NAN);
            return None;
        }
        if options.less && new >= old || options.greater && new <= old {
            return None;
        }
        let what = if new == old {
            Done::Same
        } else {
            Done::Changed
        };
        done = Ok((what, new));
        Some(new)
    });
    done
}

pub(super) const ZADD: Command = Command {
    spec: Spec {
        name: "zadd",
        group: "sorted-set",
        since: "1.2.0",
        arity: -4,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::UPDATE))],
        summary: "Adds members to a sorted set, or changes their scores; a set that is not there starts empty.",
        complexity: "O(log N) for each member, with N members in the set.",
        arguments: &[
            KEY,
            Argument::one_of(
                "condition",
                &[Argument::token("nx", "NX"), Argument::token("xx", "XX")],
            )
            .optional()
            .since("3.0.2"),
            Argument::one_of(
                "comparison",
                &[Argument::token("gt", "GT"), Argument::token("lt", "LT")],
            )
            .optional()
            .since("6.2.0"),
            Argument::token("change", "CH").optional().since("3.0.2"),
            Argument::token("increment", "INCR")
                .optional()
                .since("3.0.2"),
            Argument::block("data", &[Argument::new("score", Kind::Double), MEMBER]).multiple(),
        ],
        history: &[
            ("2.4.0", "Takes several members."),
            ("3.0.2", "Takes XX, NX, CH and INCR."),
            ("6.2.0", "Takes GT and LT."),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(zadd),
};

fn zadd(ctx: &mut Context<'_>) -> Outcome {
    let (options, from) = Options::parse(ctx.args)?;
    add(ctx, options, from)
}

pub(super) const ZINCRBY: Command = Command {
    spec: Spec {
        name: "zincrby",
        group: "sorted-set",
        since: "1.2.0",
        arity: 4,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec::one(
            1,
            KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE),
        )],
        summary: "Adds to the score of a member of a sorted set.",
        complexity: "O(log N) with N members.",
        arguments: &[KEY, Argument::new("increment", Kind::Integer), MEMBER],
        ..Spec::DEFAULT
    },
    form: Form::Local(zincrby),
};

fn zincrby(ctx: &mut Context<'_>) -> Outcome {
    let options = Options {
        increment: true,
        ..Options::default()
    };
    add(ctx, options, 2)
}

/// Puts the pairs of scores and members from an argument on.
fn add(ctx: &mut Context<'_>, options: Options, from: usize) -> Outcome {
    let args = ctx.args;
    let pairs = (from..args.len()).step_by(2);
    let score = |i: usize| number::score(args.get(i)).ok_or(Error::NOT_FLOAT);
    // All are read before anything is changed. One alone, the usual case, is read once.
    let first = score(from)?;
    for i in pairs.clone().skip(1) {
        score(i)?;
    }
    let key = ctx.key(1);
    let opened = if options.present {
        ctx.shard.open::<Zset>(ctx.db, key)?
    } else {
        Some(ctx.shard.create::<Zset>(ctx.db, key)?)
    };
    let (mut added, mut changed) = (0, 0);
    let mut last = (Done::Nothing, 0.0);
    if let Some(mut zset) = opened {
        let limits = &ctx.settings.limits;
        if pairs.len() > 1 {
            zset.expect(pairs.len(), limits);
        }
        for i in pairs {
            let score = if i == from { first } else { score(i)? };
            last = put(&mut zset, args.get(i + 1), score, options, limits)?;
            match last.0 {
                Done::Added => added += 1,
                Done::Changed => changed += 1,
                Done::Nothing | Done::Same => {}
            }
        }
        let event = if options.increment { "zincr" } else { "zadd" };
        zset.close_as(added + changed > 0, Class::ZSET, event);
    }
    match last {
        (Done::Nothing, _) if options.increment => ctx.reply.null(),
        (_, score) if options.increment => reply_score(ctx.reply, score),
        _ if options.changed => ctx.reply.int(added + changed),
        _ => ctx.reply.int(added),
    }
    Ok(Effect::wrote_if(added + changed > 0))
}
