//! Elements by what they are: LPOS finds them, LREM removes them.

use super::{DELETE, ELEMENT, KEY, READ, at_least};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::KeySpec;
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form};
use crate::spec::{Outcome, Spec, Weight};
use crate::string::wrote;
use store::list::{End, List};
use store::listpack::Needle;
use store::{Class, Collection, Look};

pub(super) const LREM: Command = Command {
    spec: Spec {
        name: "lrem",
        group: "list",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, DELETE)],
        summary: "Removes elements like a given one from a list, and answers how many.",
        complexity: "O(N) with N the elements of the list.",
        arguments: &[KEY, Argument::new("count", Kind::Integer), ELEMENT],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Local(lrem),
};

fn lrem(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let count = ctx.symmetric(2)?;
    let (end, n) = match count {
        0 => (End::Head, usize::MAX),
        1.. => (End::Head, count as usize),
        _ => (End::Tail, count.unsigned_abs() as usize),
    };
    let Some(mut list) = ctx.shard.open::<List>(ctx.db, key)? else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    let removed = list.remove(ctx.args.get(3), end, n);
    if removed > 0 {
        list.shrink(&ctx.settings.limits);
    }
    list.close_as(removed > 0, Class::LIST, "lrem");
    ctx.reply.int(removed as i64);
    Ok(wrote(removed > 0))
}

pub(super) const LPOS: Command = Command {
    spec: Spec {
        name: "lpos",
        group: "list",
        since: "6.0.6",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        summary: "Answers the indexes of elements of a list that are like a given one.",
        complexity: "O(N) with N the elements compared.",
        arguments: &[
            KEY,
            ELEMENT,
            Argument::new("rank", Kind::Integer)
                .with_token("RANK")
                .optional(),
            Argument::new("num-matches", Kind::Integer)
                .with_token("COUNT")
                .optional(),
            Argument::new("len", Kind::Integer)
                .with_token("MAXLEN")
                .optional(),
        ],
        weight: Weight::Values,
        ..Spec::DEFAULT
    },
    form: Form::Local(lpos),
};

/// What LPOS looks for beside the element.
struct Search {
    end: End,
    /// Matches before the first one that counts.
    skipped: usize,
    /// How many to answer, as an array; 0 is all.
    count: Option<usize>,
    /// How many elements to compare.
    compared: usize,
}

impl Search {
    fn read(ctx: &Context<'_>) -> Result<Search, Error> {
        let mut search = Search {
            end: End::Head,
            skipped: 0,
            count: None,
            compared: usize::MAX,
        };
        let args = ctx.args;
        for i in (3..args.len()).step_by(2) {
            match args {
                _ if i + 1 == args.len() => return Err(Error::SYNTAX),
                args if args.is(i, "RANK") => search.rank(ctx.symmetric(i + 1)?)?,
                args if args.is(i, "COUNT") => {
                    let count = at_least(ctx, i + 1, 0, "ERR COUNT can't be negative")?;
                    search.count = Some(count as usize);
                }
                args if args.is(i, "MAXLEN") => {
                    let len = at_least(ctx, i + 1, 0, "ERR MAXLEN can't be negative")?;
                    search.compared = if len == 0 { usize::MAX } else { len as usize };
                }
                _ => return Err(Error::SYNTAX),
            }
        }
        Ok(search)
    }

    fn rank(&mut self, rank: i64) -> Result<(), Error> {
        if rank == 0 {
            return Err(Error::fixed(
                "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                 or use negative to start from the end of the list",
            ));
        }
        self.end = if rank > 0 { End::Head } else { End::Tail };
        self.skipped = rank.unsigned_abs() as usize - 1;
        Ok(())
    }

    /// Hands the indexes that are looked for to `found`, until it says false.
    fn run(&self, list: &List, text: &[u8], mut found: impl FnMut(usize) -> bool) {
        let needle = Needle::new(text);
        let (mut seen, mut matches) = (0, 0);
        list.walk(self.end, 0, self.compared, |element| {
            seen += 1;
            if !needle.is(element) {
                return true;
            }
            matches += 1;
            let index = match self.end {
                End::Head => seen - 1,
                End::Tail => list.len() - seen,
            };
            matches <= self.skipped || found(index)
        });
    }
}

fn lpos(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let search = Search::read(ctx)?;
    let list = ctx.shard.read::<List>(ctx.db, key, Look::Use)?;
    let text = ctx.args.get(2);
    match (list, search.count) {
        (None, None) => ctx.reply.null(),
        (None, Some(_)) => ctx.reply.array(0),
        (Some(list), None) => {
            let mut first = None;
            search.run(&list, text, |index| {
                first = Some(index);
                false
            });
            match first {
                None => ctx.reply.null(),
                Some(index) => ctx.reply.int(index as i64),
            }
        }
        (Some(list), Some(count)) => {
            let mark = ctx.reply.mark();
            let mut n = 0;
            search.run(&list, text, |index| {
                ctx.reply.int(index as i64);
                n += 1;
                n != count
            });
            ctx.reply.close_array(mark, n);
        }
    }
    Ok(Effect::Read)
}
