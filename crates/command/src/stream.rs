//! Streams: XADD, XREAD and their kin.
//!
//! Rows stand beside their handlers, in a file each for what adds and deletes entries, for what reads
//! them, for groups, for what is pending in groups, and for XINFO. Here is what they share: how ids are
//! read and entries are answered.

mod add;
mod delete;
mod group;
mod info;
mod pending;
mod range;
mod read;

use crate::context::Context;
use crate::effect::Effects;
use crate::error::Error;
use crate::keyspec::KeyFlags;
use crate::spec::{Argument, ArgumentKind as Kind, Command};
use resp::number::{Decimal, parse_u64_loose};
use resp::{Args, Reply};
use store::Key;
use store::stream::{Entry, Group, Id};

pub use group::XGROUP;
pub use info::XINFO;

pub static COMMANDS: &[Command] = &[
    pending::XACK,
    delete::XACKDEL,
    add::XADD,
    pending::XAUTOCLAIM,
    pending::XCLAIM,
    delete::XDEL,
    delete::XDELEX,
    range::XLEN,
    pending::XPENDING,
    range::XRANGE,
    read::XREAD,
    read::XREADGROUP,
    range::XREVRANGE,
    add::XSETID,
    add::XTRIM,
];

const KEY: Argument = Argument::key("key", 0);
const GROUP: Argument = Argument::new("group", Kind::String);
const CONSUMER: Argument = Argument::new("consumer", Kind::String);
const IDS: Argument = Argument::new("id", Kind::String).multiple();
const COUNT: Argument = Argument::new("count", Kind::Integer)
    .with_token("COUNT")
    .optional();
const RANDOM_REPLY: &[&str] = &["nondeterministic_output"];

const READ: KeyFlags = KeyFlags::RO.or(KeyFlags::ACCESS);
const UPDATE: KeyFlags = KeyFlags::RW.or(KeyFlags::UPDATE);
const DELETE: KeyFlags = KeyFlags::RW.or(KeyFlags::DELETE);

const INVALID_ID: Error =
    Error::fixed("ERR Invalid stream ID specified as stream command argument");
const INVALID_START: Error = Error::fixed("ERR invalid start ID for the interval");
const INVALID_END: Error = Error::fixed("ERR invalid end ID for the interval");

/// Entries up to which the weight of a command is found out; with as many it is heavy in any case.
const WEIGHED: usize = 1 << 16;

/// Longest text of an id that is looked at.
const ID_MAX: usize = 127;

/// The parts of an id: milliseconds, and what stands behind the hyphen, if there is one.
fn id_parts(text: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    if text.len() > ID_MAX {
        return None;
    }
    let text = until_zero(text);
    match text.iter().position(|b| *b == b'-') {
        None => Some((parse_u64_loose(text)?, None)),
        Some(at) => Some((parse_u64_loose(&text[..at])?, Some(&text[at + 1..]))),
    }
}

/// An id, whose number is `missing_seq` if it has none.
#[inline]
fn parse_id(text: &[u8], missing_seq: u64) -> Result<Id, Error> {
    let (ms, seq) = id_parts(text).ok_or(INVALID_ID)?;
    let seq = match seq {
        None => missing_seq,
        Some(seq) => parse_u64_loose(seq).ok_or(INVALID_ID)?,
    };
    Ok(Id::new(ms, seq))
}

/// An id, or `-` or `+` for the smallest and the greatest.
fn parse_id_or_end(text: &[u8], missing_seq: u64) -> Result<Id, Error> {
    match text {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        text => parse_id(text, missing_seq),
    }
}

/// An end of an interval, and whether it is outside, which a `(` says.
fn parse_end(text: &[u8], missing_seq: u64) -> Result<(Id, bool), Error> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => Ok((parse_id(id, missing_seq)?, true)),
        text => Ok((parse_id_or_end(text, missing_seq)?, false)),
    }
}

/// The first id of an interval.
fn parse_start(text: &[u8]) -> Result<Id, Error> {
    match parse_end(text, 0)? {
        (id, false) => Ok(id),
        (id, true) => id.next().ok_or(INVALID_START),
    }
}

/// The first and the last id of an interval.
fn parse_interval(start: &[u8], end: &[u8]) -> Result<(Id, Id), Error> {
    let start = parse_start(start)?;
    let end = match parse_end(end, u64::MAX)? {
        (id, false) => id,
        (id, true) => id.previous().ok_or(INVALID_END)?,
    };
    Ok((start, end))
}

/// The ids from argument `first` on.
fn parse_ids(args: Args<'_>, first: usize) -> Result<Vec<Id>, Error> {
    let ids = first..args.len();
    ids.map(|i| parse_id(args.get(i), 0)).collect()
}

/// Argument `i` as a number of entries, of which 0, and any below, says all.
fn parse_count(ctx: &Context<'_>, i: usize) -> Result<usize, Error> {
    let count = ctx.integer(i)?;
    Ok(match usize::try_from(count) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(count) => count,
    })
}

/// Bytes as a C string ends.
fn until_zero(text: &[u8]) -> &[u8] {
    text.split(|b| *b == 0).next().unwrap_or_default()
}

/// The group is not there, or not even the key.
fn no_group(key: &[u8], group: &[u8], after: &str) -> Error {
    Error::bytes(
        [
            b"NOGROUP No such key '".as_slice(),
            until_zero(key),
            b"' or consumer group '",
            until_zero(group),
            b"'",
            after.as_bytes(),
        ]
        .concat(),
    )
}

/// The group is not there, but the key is.
fn no_group_for(key: &[u8], group: &[u8]) -> Error {
    Error::bytes(
        [
            b"NOGROUP No such consumer group '".as_slice(),
            until_zero(group),
            b"' for key name '",
            until_zero(key),
            b"'",
        ]
        .concat(),
    )
}

/// A subcommand of `container` cannot be called so.
fn subcommand_syntax(container: &str, subcommand: &[u8]) -> Error {
    Error::showing(
        "ERR unknown subcommand or wrong number of arguments for '",
        subcommand,
        &format!("'. Try {container} HELP."),
    )
}

/// `ms-seq`.
pub(crate) fn id_text(id: Id) -> String {
    format!("{}-{}", id.ms, id.seq)
}

/// Logs that there is a consumer, instead of the command.
fn tell_consumer(effects: &mut Effects, key: Key<'_>, group: &[u8], consumer: &[u8]) {
    let call = [
        "XGROUP".into(),
        "CREATECONSUMER".into(),
        key.bytes.into(),
        group.into(),
        consumer.into(),
    ];
    effects.tell_of(2, call);
}

/// Logs how far a group has read, instead of the command.
fn tell_progress(effects: &mut Effects, key: Key<'_>, group: &Group) {
    if !effects.is_on() {
        return;
    }
    let last = id_text(group.last_id);
    let call = [
        "XGROUP".into(),
        "SETID".into(),
        key.bytes.into(),
        group.name().into(),
        last.as_str().into(),
        "ENTRIESREAD".into(),
        group.entries_read.unwrap_or(-1).into(),
    ];
    effects.tell_of(2, call);
}

/// Logs what has become of entries that were given to somebody: who has them now, or that nobody has.
fn tell_given(effects: &mut Effects, key: Key<'_>, group: &Group, ids: &[Id]) {
    if !effects.is_on() {
        return;
    }
    for id in ids {
        let text = id_text(*id);
        let Some((_, given)) = group.pending(*id, *id).next() else {
            effects.tell([
                "XACK".into(),
                key.bytes.into(),
                group.name().into(),
                text.as_str().into(),
            ]);
            continue;
        };
        effects.tell([
            "XCLAIM".into(),
            key.bytes.into(),
            group.name().into(),
            group.consumer(given.consumer).name().into(),
            "0".into(),
            text.as_str().into(),
            "TIME".into(),
            given.delivered_ms.into(),
            "RETRYCOUNT".into(),
            (given.deliveries as i64).into(),
            "FORCE".into(),
            "JUSTID".into(),
        ]);
    }
}

/// `ms-seq` as a bulk string.
#[inline]
fn reply_id(reply: &mut Reply, id: Id) {
    let (ms, seq) = (Decimal::unsigned(id.ms), Decimal::unsigned(id.seq));
    let (ms, seq) = (ms.as_bytes(), seq.as_bytes());
    let mut text = [b'-'; 41];
    let len = ms.len() + 1 + seq.len();
    text[..ms.len()].copy_from_slice(ms);
    text[ms.len() + 1..len].copy_from_slice(seq);
    reply.bulk(&text[..len]);
}

/// An id, and names and values.
#[inline]
fn reply_entry(reply: &mut Reply, entry: Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply.array(entry.fields.len() * 2);
    for (name, value) in entry.fields {
        Context::reply_element(reply, name);
        Context::reply_element(reply, value);
    }
}

/// An array of entries.
fn reply_entries<'e>(reply: &mut Reply, entries: impl Iterator<Item = Entry<'e>>) {
    let mark = reply.mark();
    let mut n = 0;
    for entry in entries {
        reply_entry(reply, entry);
        n += 1;
    }
    reply.close_array(mark, n);
}

#[cfg(test)]
mod tests;
