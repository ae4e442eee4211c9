//! Walks over a database: SCAN, KEYS, RANDOMKEY.
//!
//! A SCAN cursor is a place in the hash order that the keyspace is kept in: everything before it has
//! been seen, however the table grew and shrank. It has [`store::table::CURSOR_BITS`] bits, which
//! leaves room above them for the number of a shard.

use crate::context::Context;
use crate::cursor::{self, INVALID_CURSOR, Options, Pattern};
use crate::error::Error;
use crate::spec::{Argument, ArgumentKind, Command, Effect, Flags, Form, Merge, Outcome, Spec};
use resp::Reply;
use resp::number::parse_u64_loose;
use store::Look;
use store::glob;
use store::table::CURSOR_BITS;

pub static COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "keys",
            group: "generic",
            since: "1.0.0",
            arity: 2,
            flags: Flags::READONLY,
            categories: &["dangerous"],
            tips: &["request_policy:all_shards", "nondeterministic_output_order"],
            summary: "Lists all keys that match a pattern.",
            complexity: "O(N) in the keys of the database",
            arguments: &[Argument::new("pattern", ArgumentKind::Pattern)],
            ..Spec::DEFAULT
        },
        form: Form::Everywhere(keys, Merge::Concat),
    },
    Command {
        spec: Spec {
            name: "scan",
            group: "generic",
            since: "2.8.0",
            arity: -2,
            flags: Flags::READONLY,
            tips: &[
                "nondeterministic_output",
                "request_policy:special",
                "response_policy:special",
            ],
            summary: "Walks over the keys of a database, some at a call.",
            complexity: "O(1) a call, O(N) in the keys of the database for a whole walk",
            arguments: &[
                Argument::new("cursor", ArgumentKind::Integer),
                Argument::new("pattern", ArgumentKind::Pattern)
                    .with_token("MATCH")
                    .optional(),
                Argument::new("count", ArgumentKind::Integer)
                    .with_token("COUNT")
                    .optional(),
                Argument::new("type", ArgumentKind::String)
                    .with_token("TYPE")
                    .optional()
                    .since("6.0.0"),
            ],
            history: &[("6.0.0", "Takes TYPE.")],
            ..Spec::DEFAULT
        },
        form: Form::Walk(scan),
    },
    Command {
        spec: Spec {
            name: "randomkey",
            group: "generic",
            since: "1.0.0",
            arity: 1,
            flags: Flags::READONLY,
            tips: &[
                "request_policy:all_shards",
                "response_policy:special",
                "nondeterministic_output",
            ],
            summary: "Answers a key drawn with equal chance for each.",
            ..Spec::DEFAULT
        },
        form: Form::Everywhere(randomkey, Merge::Draw),
    },
];

fn keys(ctx: &mut Context<'_>) -> Outcome {
    let pattern = ctx.args.get(1);
    if glob::is_literal(pattern) {
        let key = ctx.shard.key(pattern);
        let found = ctx.shard.look(ctx.db, key, Look::Peek).is_some();
        ctx.reply.array(found.into());
        if found {
            ctx.reply.bulk(pattern);
        }
        return Ok(Effect::Read);
    }
    let filter = Filter {
        pattern: Pattern::new(Some(pattern)),
        type_name: None,
    };
    let mark = ctx.reply.mark();
    let mut n = 0;
    let reply = &mut *ctx.reply;
    ctx.shard.for_each(ctx.db, |item| {
        if filter.accepts(item.key(), item.value_type().name()) {
            reply.bulk(item.key());
            n += 1;
        }
    });
    reply.close_array(mark, n);
    Ok(Effect::Read)
}

fn randomkey(ctx: &mut Context<'_>) -> Outcome {
    match ctx.shard.random_key(ctx.db) {
        None => ctx.reply.null(),
        Some(key) => ctx.reply.bulk(&key),
    }
    Ok(Effect::Read)
}

fn scan(ctx: &mut Context<'_>) -> Outcome {
    let cursor = parse_u64_loose(ctx.args.get(1)).ok_or(INVALID_CURSOR)?;
    let (count, filter) = options(ctx)?;
    let mut cursor = decode(cursor, ctx.settings.shards);
    // The cursor comes first in the reply but is known last.
    let mut found = Reply::new(ctx.reply.protocol());
    let mut n = 0;
    let mut visited = 0;
    // Sparse buckets end a call too.
    let mut buckets = count.saturating_mul(BUCKETS_PER_KEY);
    loop {
        cursor = ctx.shard.scan(ctx.db, cursor, |item| {
            visited += 1;
            if filter.accepts(item.key(), item.value_type().name()) {
                found.bulk(item.key());
                n += 1;
            }
        });
        buckets -= 1;
        if cursor == 0 || visited >= count || buckets == 0 {
            break;
        }
    }
    let cursor = encode(cursor, ctx.settings.shard, ctx.settings.shards);
    cursor::reply(ctx.reply, cursor, n, &found);
    Ok(Effect::Read)
}

/// Buckets that a call looks at, at most, for each key it was asked for.
const BUCKETS_PER_KEY: u64 = 10;

// A walk visits one shard after the other. A cursor is the place within a shard times the number of
// shards, plus the shard's number: 0 is the beginning of the first shard, and of the walk.

/// The cursor that the client gets for a place in a shard, where 0 is its end.
fn encode(place: u64, shard: usize, shards: usize) -> u64 {
    debug_assert!(place >> CURSOR_BITS == 0);
    match (place, shard + 1) {
        (0, next) if next == shards => 0,
        (0, next) => next as u64,
        _ => place * shards as u64 + shard as u64,
    }
}

/// The place in the shard for a client's cursor. One that was never given out leads somewhere.
fn decode(cursor: u64, shards: usize) -> u64 {
    (cursor / shards as u64) & ((1 << CURSOR_BITS) - 1)
}

/// The shard that a walk has come to; the first one for what is no cursor.
pub fn shard_of_cursor(text: &[u8], shards: usize) -> usize {
    (parse_u64_loose(text).unwrap_or(0) % shards as u64) as usize
}

/// Which keys a walk answers.
struct Filter<'a> {
    pattern: Pattern<'a>,
    type_name: Option<&'a [u8]>,
}

impl Filter<'_> {
    fn accepts(&self, key: &[u8], type_name: &str) -> bool {
        self.type_name
            .is_none_or(|t| t.eq_ignore_ascii_case(type_name.as_bytes()))
            && self.pattern.accepts(key)
    }
}

/// Reads the arguments after the cursor. A type that does not exist matches no key.
fn options<'a>(ctx: &Context<'a>) -> Result<(u64, Filter<'a>), Error> {
    let mut type_name = None;
    let options = Options::parse(ctx.args, 2, |args, i| {
        if !args.is(i, "type") {
            return Err(Error::SYNTAX);
        }
        type_name = Some(args.opt(i + 1).ok_or(Error::SYNTAX)?);
        Ok(2)
    })?;
    let filter = Filter {
        pattern: options.pattern,
        type_name,
    };
    Ok((options.count, filter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Client;
    use std::collections::BTreeSet;

    /// Walks to the end; answers the keys and how many calls it took.
    fn walk(
        c: &mut Client,
        options: &str,
        mut between: impl FnMut(&mut Client),
    ) -> (Vec<String>, usize) {
        let mut cursor = "0".to_string();
        let (mut keys, mut calls) = (Vec::new(), 0);
        loop {
            let reply = c.call(&format!("scan {cursor} {options}"));
            let mut lines = reply.split("\r\n");
            assert_eq!(lines.next(), Some("*2"));
            cursor = lines.nth(1).expect("a cursor").into();
            let n = lines
                .next()
                .and_then(|l| l.strip_prefix('*'))
                .expect("a list");
            let found: Vec<String> = lines.skip(1).step_by(2).map(Into::into).collect();
            assert_eq!(n, found.len().to_string());
            keys.extend(found);
            calls += 1;
            if cursor == "0" {
                return (keys, calls);
            }
            between(c);
        }
    }

    fn filled(n: usize) -> (Client, BTreeSet<String>) {
        let mut c = Client::default();
        let names: BTreeSet<String> = (0..n).map(|i| format!("key:{i}")).collect();
        for name in &names {
            c.check(&format!("set {name} v"), "+OK");
        }
        (c, names)
    }

    #[test]
    fn a_walk_sees_every_key_once() {
        let (mut c, names) = filled(5000);
        for (options, calls) in [
            ("", 300..510),
            ("count 1", 600..5000),
            ("count 10000", 1..2),
        ] {
            let (keys, n) = walk(&mut c, options, |_| {});
            assert_eq!(keys.len(), names.len());
            assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), names);
            assert!(calls.contains(&n), "{options}: {n} calls");
        }
    }

    #[test]
    fn keys_that_stay_are_seen_once_while_others_come_and_go() {
        let (mut c, names) = filled(2000);
        let mut round = 0;
        let (keys, _) = walk(&mut c, "match key:*", |c| {
            round += 1;
            for i in 0..200 {
                c.check(&format!("set other:{round}:{i} v"), "+OK");
                if round > 20 {
                    c.call(&format!("del other:{}:{i}", round - 20));
                }
            }
        });
        assert_eq!(keys.len(), names.len());
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), names);
    }

    #[test]
    fn filters() {
        let (mut c, _) = filled(100);
        c.check("set '' v", "+OK");
        c.check("set other v", "+OK");
        for (options, want) in [
            ("match key:1?", 10),
            ("match *", 102),
            ("match **", 101),
            ("match ''", 1),
            ("type string", 102),
            ("TYPE String match o*", 1),
            ("type list", 0),
            ("type nope", 0),
            ("match key:* match other", 1),
        ] {
            let (keys, _) = walk(&mut c, options, |_| {});
            assert_eq!(keys.len(), want, "{options}");
        }
    }

    #[test]
    fn expired_keys_are_not_seen() {
        let (mut c, _) = filled(10);
        c.check("pexpire key:3 1", ":1");
        c.shard.set_now(c.shard.now_ms() + 2);
        assert_eq!(walk(&mut c, "", |_| {}).0.len(), 9);
        c.check("keys key:3", "*0");
        assert!(c.call("keys *").starts_with("*9\r\n"));
    }

    #[test]
    fn errors() {
        let mut c = Client::default();
        let integer = "-ERR value is not an integer or out of range";
        for (request, want) in [
            ("scan x count y", "-ERR invalid cursor"),
            ("scan 0 count", "-ERR syntax error"),
            ("scan 0 count 0", "-ERR syntax error"),
            ("scan 0 count -1", "-ERR syntax error"),
            ("scan 0 count x", integer),
            ("scan 0 count 9223372036854775808", integer),
            ("scan 0 match", "-ERR syntax error"),
            ("scan 0 foo bar", "-ERR syntax error"),
            ("scan 0 count 9223372036854775807", "*2|$1|0|*0"),
            ("scan 18446744073709551615", "*2|$1|0|*0"),
        ] {
            c.check(request, want);
        }
    }

    #[test]
    fn cursors_are_read_as_strictly_as_by_redis() {
        for (text, want) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("00", Some(0)),
            ("+1", Some(1)),
            (" 1", Some(1)),
            ("1\0x", Some(1)),
            ("-0", Some(0)),
            ("-01", Some(u64::MAX)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-1", None),
            ("", None),
            ("+", None),
            ("1 ", None),
            ("1x", None),
            ("0x1", None),
        ] {
            assert_eq!(parse_u64_loose(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn keys_by_pattern_and_by_name() {
        let (mut c, _) = filled(20);
        c.check("set a*b v", "+OK");
        c.check("keys key:7", "*1|$5|key:7");
        c.check("keys key:70", "*0");
        c.check(r"keys 'a\*b'", "*1|$3|a*b");
        assert!(c.call("keys key:1*").starts_with("*11\r\n"));
        assert!(c.call("keys *").starts_with("*21\r\n"));
    }

    #[test]
    fn random_keys_are_keys() {
        let (mut c, names) = filled(3);
        let drawn: BTreeSet<String> = (0..200)
            .map(|_| {
                c.call("randomkey")
                    .split("\r\n")
                    .nth(1)
                    .unwrap_or_default()
                    .into()
            })
            .collect();
        assert_eq!(drawn, names);
        c.db = 1;
        c.check("randomkey", "$-1");
    }
}
