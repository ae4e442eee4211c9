//! Adding and trimming: XADD, XTRIM, and XSETID, which says what is counted.

use super::{DELETE, INVALID_ID, KEY, RANDOM_REPLY, UPDATE, id_parts, id_text, parse_id, reply_id};
use crate::context::Context;
use crate::effect::{Effects, Word};
use crate::error::Error;
use crate::keyspec::{Begin, Find, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::Args;
use resp::number::{parse_i64, parse_u64_loose};
use store::stream::{Bound, Id, NewId, References, Refusal, Stream, Trim};
use store::{Class, Collection, Key, Limits};

/// KEEPREF, DELREF or ACKED.
pub(super) const REFERENCES: Argument = Argument::one_of(
    "condition",
    &[
        Argument::token("keepref", "KEEPREF"),
        Argument::token("delref", "DELREF"),
        Argument::token("acked", "ACKED"),
    ],
)
.since("8.2.0")
.optional();

const TRIM: Argument = Argument::block(
    "trim",
    &[
        Argument::one_of(
            "strategy",
            &[
                Argument::token("maxlen", "MAXLEN"),
                Argument::token("minid", "MINID").since("6.2.0"),
            ],
        ),
        Argument::one_of(
            "operator",
            &[
                Argument::token("equal", "="),
                Argument::token("approximately", "~"),
            ],
        )
        .optional(),
        Argument::new("threshold", Kind::String),
        Argument::new("count", Kind::Integer)
            .with_token("LIMIT")
            .since("6.2.0")
            .optional(),
    ],
);

pub(super) const XADD: Command = Command {
    spec: Spec {
        name: "xadd",
        group: "stream",
        since: "5.0.0",
        arity: -5,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec {
            flags: UPDATE,
            begin: Begin::Index(1),
            find: Find::Range {
                last: 0,
                step: 1,
                limit: 0,
            },
            notes: "UPDATE instead of INSERT because of the optional trimming feature",
        }],
        tips: RANDOM_REPLY,
        summary: "Adds an entry to a stream, which is created if it is not there.",
        complexity: "O(1), and O(N) in the entries that are trimmed",
        arguments: &[
            KEY,
            Argument::token("nomkstream", "NOMKSTREAM")
                .since("6.2.0")
                .optional(),
            REFERENCES,
            TRIM.optional(),
            Argument::one_of(
                "id-selector",
                &[
                    Argument::token("auto-id", "*"),
                    Argument::new("id", Kind::String),
                ],
            ),
            Argument::block(
                "data",
                &[
                    Argument::new("field", Kind::String),
                    Argument::new("value", Kind::String),
                ],
            )
            .multiple(),
        ],
        history: &[
            ("6.2.0", "Takes NOMKSTREAM, MINID and LIMIT."),
            ("7.0.0", "Takes ids of the form ms-*."),
            ("8.2.0", "Takes KEEPREF, DELREF and ACKED."),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(xadd),
};

fn xadd(ctx: &mut Context<'_>) -> Outcome {
    let options = Options::parse(ctx.args, Of::Xadd, &ctx.settings.limits)?;
    let first = options.end;
    let values = ctx.args.len().saturating_sub(first);
    if values < 2 || !values.is_multiple_of(2) {
        return Err(Error::arity("xadd"));
    }
    if options.id == NewId::Exact(Id::MIN) {
        return Err(Error::fixed(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    let (key, now_ms) = (ctx.key(1), ctx.shard.now_ms());
    let stream = match options.creates {
        true => Some(ctx.shard.create::<Stream>(ctx.db, key)?),
        false => ctx.shard.open::<Stream>(ctx.db, key)?,
    };
    let Some(mut stream) = stream else {
        ctx.reply.null();
        return Ok(Effect::Read);
    };
    let args = ctx.args;
    let fields = (first..args.len()).map(move |i| args.get(i));
    let limits = &ctx.settings.limits;
    let log = stream.log_mut();
    let id = log
        .append(options.id, now_ms, fields, values / 2, limits)
        .map_err(refused)?;
    let trimmed = options.trim.as_ref().map_or(0, |trim| stream.trim(trim));
    stream.notify(Class::STREAM, "xadd");
    if trimmed > 0 {
        stream.notify(Class::STREAM, "xtrim");
    }
    if ctx.effects.is_on() {
        // Without NOMKSTREAM, and with the id that it was given.
        let text = id_text(id);
        let fields = args.from(first);
        let call: [Word<'_>; 3] = ["XADD".into(), key.bytes.into(), text.as_str().into()];
        let words = fields.iter().map(Word::from);
        ctx.effects.tell(call.into_iter().chain(words));
    }
    if let Some(trim) = options.trim.filter(|_| trimmed > 0) {
        tell_trim(ctx.effects, key, &trim, stream.len());
    }
    stream.close(true);
    reply_id(ctx.reply, id);
    Ok(Effect::Wrote)
}

/// Logs what trimming has left, instead of the command: where nodes end is another matter elsewhere.
fn tell_trim(effects: &mut Effects, key: Key<'_>, trim: &Trim, left: usize) {
    if !effects.is_on() {
        return;
    }
    // What is spared is not at the beginning alone.
    let bound = match trim.bound {
        bound if trim.references == References::Spare && !trim.approximate => bound,
        _ => Bound::Len(left as u64),
    };
    let (strategy, bound) = match bound {
        Bound::Len(len) => ("MAXLEN", len.to_string()),
        Bound::Id(id) => ("MINID", id_text(id)),
    };
    let call: [Word<'_>; 5] = [
        "XTRIM".into(),
        key.bytes.into(),
        strategy.into(),
        "=".into(),
        bound.as_str().into(),
    ];
    let references = match trim.references {
        References::Keep => None,
        References::Delete => Some("DELREF".into()),
        References::Spare => Some("ACKED".into()),
    };
    effects.tell(call.into_iter().chain(references));
}

fn refused(refusal: Refusal) -> Error {
    Error::fixed(match refusal {
        Refusal::Exhausted => {
            "ERR The stream has exhausted the last possible ID, unable to add more items"
        }
        Refusal::NotAbove => {
            "ERR The ID specified in XADD is equal or smaller than the target stream top item"
        }
        Refusal::TooLarge => "ERR Elements are too large to be stored",
    })
}

pub(super) const XTRIM: Command = Command {
    spec: Spec {
        name: "xtrim",
        group: "stream",
        since: "5.0.0",
        arity: -4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(1, DELETE)],
        tips: RANDOM_REPLY,
        summary: "Deletes entries from the beginning of a stream.",
        complexity: "O(N) in the entries that go; whole nodes of them go at once",
        arguments: &[KEY, TRIM, REFERENCES],
        history: &[
            ("6.2.0", "Takes MINID and LIMIT."),
            ("8.2.0", "Takes KEEPREF, DELREF and ACKED."),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(xtrim),
};

fn xtrim(ctx: &mut Context<'_>) -> Outcome {
    let options = Options::parse(ctx.args, Of::Xtrim, &ctx.settings.limits)?;
    let key = ctx.key(1);
    let (Some(trim), Some(mut stream)) = (&options.trim, ctx.shard.open::<Stream>(ctx.db, key)?)
    else {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    };
    let trimmed = stream.trim(trim);
    if trimmed > 0 {
        tell_trim(ctx.effects, key, trim, stream.len());
    }
    stream.close_as(trimmed > 0, Class::STREAM, "xtrim");
    ctx.reply.int(trimmed as i64);
    Ok(Effect::wrote_if(trimmed > 0))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Xadd,
    Xtrim,
}

/// What stands before the names and values of XADD, and what XTRIM is told.
struct Options {
    creates: bool,
    trim: Option<Trim>,
    id: NewId,
    /// The argument behind.
    end: usize,
}

/// Options as they have been read so far.
#[derive(Default)]
struct Draft {
    nomkstream: bool,
    bound: Option<Bound>,
    approximate: bool,
    limit: Option<u64>,
    references: Option<References>,
}

impl Options {
    fn parse(args: Args<'_>, of: Of, limits: &Limits) -> Result<Options, Error> {
        let mut draft = Draft::default();
        let mut id = NewId::Auto;
        let mut i = 2;
        while i < args.len() {
            if of == Of::Xadd && args.get(i) == b"*" {
                i += 1;
                break;
            }
            if let Some(next) = draft.option(args, i, of)? {
                i = next;
            } else if of == Of::Xadd {
                id = new_id(args.get(i))?;
                i += 1;
                break;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        draft.check(of)?;
        Ok(Options {
            creates: !draft.nomkstream,
            trim: draft.trim(limits),
            id,
            end: i,
        })
    }
}

impl Draft {
    /// Reads the option at argument `i`, if there is one; answers the argument behind.
    fn option(&mut self, args: Args<'_>, i: usize, of: Of) -> Result<Option<usize>, Error> {
        let more = i + 1 < args.len();
        if more && (args.is(i, "maxlen") || args.is(i, "minid")) {
            return self.bound(args, i).map(Some);
        }
        if more && args.is(i, "limit") {
            let limit = integer(args.get(i + 1))?;
            let negative = Error::fixed("ERR The LIMIT argument must be >= 0.");
            self.limit = Some(u64::try_from(limit).map_err(|_| negative)?);
            return Ok(Some(i + 2));
        }
        if of == Of::Xadd && args.is(i, "nomkstream") {
            self.nomkstream = true;
            return Ok(Some(i + 1));
        }
        if let Some(references) = references(args, i) {
            if self.references.replace(references).is_some() {
                return Err(Error::SYNTAX);
            }
            return Ok(Some(i + 1));
        }
        Ok(None)
    }

    /// Reads MAXLEN or MINID.
    fn bound(&mut self, args: Args<'_>, i: usize) -> Result<usize, Error> {
        if self.bound.is_some() {
            return Err(Error::fixed(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let mut at = i + 1;
        let operator = args.get(at);
        self.approximate = false;
        if at + 1 < args.len() && (operator == b"~" || operator == b"=") {
            self.approximate = operator == b"~";
            at += 1;
        }
        self.bound = Some(if args.is(i, "maxlen") {
            let len = integer(args.get(at))?;
            let negative = Error::fixed("ERR The MAXLEN argument must be >= 0.");
            Bound::Len(u64::try_from(len).map_err(|_| negative)?)
        } else {
            Bound::Id(parse_id(args.get(at), 0)?)
        });
        Ok(at + 1)
    }

    fn check(&self, of: Of) -> Result<(), Error> {
        if self.bound.is_none() {
            if self.limit.is_some_and(|limit| limit > 0) {
                return Err(Error::fixed(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                ));
            }
            if of == Of::Xtrim {
                return Err(Error::fixed(
                    "ERR syntax error, XTRIM must be called with a trimming strategy",
                ));
            }
        }
        if self.limit.is_some() && !self.approximate {
            return Err(Error::fixed(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        Ok(())
    }

    fn trim(&self, limits: &Limits) -> Option<Trim> {
        /// Nodes that trimming approximately takes away, without LIMIT.
        const NODES: u64 = 100;
        /// Entries, where nodes have no bound, and at most.
        const ENTRIES: u64 = 10_000;
        const ENTRIES_MAX: u64 = 1_000_000;
        let by_default = match limits.stream_node_max_entries as u64 {
            0 => ENTRIES,
            entries => entries.saturating_mul(NODES).min(ENTRIES_MAX),
        };
        Some(Trim {
            bound: self.bound?,
            approximate: self.approximate,
            limit: match self.approximate {
                true => self.limit.unwrap_or(by_default),
                false => 0,
            },
            references: self.references.unwrap_or_default(),
        })
    }
}

fn integer(text: &[u8]) -> Result<i64, Error> {
    parse_i64(text).ok_or(Error::NOT_INTEGER)
}

/// What argument `i` says is to become of references, if it is one of the words for that.
pub(super) fn references(args: Args<'_>, i: usize) -> Option<References> {
    if args.is(i, "keepref") {
        Some(References::Keep)
    } else if args.is(i, "delref") {
        Some(References::Delete)
    } else if args.is(i, "acked") {
        Some(References::Spare)
    } else {
        None
    }
}

/// An id that a client asks for: `ms`, `ms-seq` or `ms-*`.
fn new_id(text: &[u8]) -> Result<NewId, Error> {
    let (ms, seq) = id_parts(text).ok_or(INVALID_ID)?;
    match seq {
        Some(b"*") => Ok(NewId::At(ms)),
        None => Ok(NewId::Exact(Id::new(ms, 0))),
        Some(seq) => {
            let seq = parse_u64_loose(seq).ok_or(INVALID_ID)?;
            Ok(NewId::Exact(Id::new(ms, seq)))
        }
    }
}

pub(super) const XSETID: Command = Command {
    spec: Spec {
        name: "xsetid",
        group: "stream",
        since: "5.0.0",
        arity: -3,
        flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
        keys: &[KeySpec::one(1, UPDATE)],
        summary: "Sets the last id of a stream, and what it has counted; for copying streams.",
        arguments: &[
            KEY,
            Argument::new("last-id", Kind::String),
            Argument::new("entries-added", Kind::Integer)
                .with_token("ENTRIESADDED")
                .since("7.0.0")
                .optional(),
            Argument::new("max-deleted-id", Kind::String)
                .with_token("MAXDELETEDID")
                .since("7.0.0")
                .optional(),
        ],
        history: &[("7.0.0", "Takes ENTRIESADDED and MAXDELETEDID.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(xsetid),
};

fn xsetid(ctx: &mut Context<'_>) -> Outcome {
    let id = parse_id(ctx.args.get(2), 0)?;
    let (mut added, mut max_deleted) = (None, Id::MIN);
    let mut i = 3;
    while i < ctx.args.len() {
        let more = i + 1 < ctx.args.len();
        if more && ctx.args.is(i, "entriesadded") {
            let negative = Error::fixed("ERR entries_added must be positive");
            added = Some(u64::try_from(ctx.integer(i + 1)?).map_err(|_| negative)?);
        } else if more && ctx.args.is(i, "maxdeletedid") {
            max_deleted = parse_id(ctx.args.get(i + 1), 0)?;
            if id < max_deleted {
                return Err(Error::fixed(
                    "ERR The ID specified in XSETID is smaller than the provided \
                     max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Error::SYNTAX);
        }
        i += 2;
    }
    let key = ctx.key(1);
    let Some(mut stream) = ctx.shard.open::<Stream>(ctx.db, key)? else {
        return Err(Error::NO_SUCH_KEY);
    };
    let log = stream.log_mut();
    if id < log.max_deleted_id {
        return Err(Error::fixed(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if let Some(last) = log.last().map(|entry| entry.id) {
        if id < last {
            return Err(Error::fixed(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < log.len()) {
            return Err(Error::fixed(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    log.last_id = id;
    log.entries_added = added.unwrap_or(log.entries_added);
    if max_deleted != Id::MIN {
        log.max_deleted_id = max_deleted;
    }
    stream.close_as(true, Class::STREAM, "xsetid");
    ctx.reply.ok();
    Ok(Effect::Wrote)
}
