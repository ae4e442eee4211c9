//! Commands that wait when there is nothing yet: BLPOP, XREAD and their kin.
//!
//! The handler of such a command tries; if it finds nothing, it writes a null, as inside MULTI and scripts,
//! and answers [`Effect::Blocks`]. Elsewhere the host takes the null back, and has the client wait for each
//! key. Whoever has waited is served on the shard of one key: by the same handler, which runs a call that
//! names this key alone.
//!
//! To add another: a row whose [`Blocking`] says until when a call waits, for which of its keys, and how
//! to tell that one of them has something.

use crate::context::Context;
use crate::error::Error;
use crate::spec::Effect;
use crate::zset::number;
use resp::number::parse_i64;
use resp::{Args, Pack};
use store::shard::Type;
use store::{Key, Look};

/// Until when a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It does not.
    No,
    Forever,
    /// Unix time in milliseconds.
    Until(i64),
}

/// What a row says of waiting.
#[derive(Clone, Copy, Debug)]
pub struct Blocking {
    /// Until when a call waits that begins now, in Unix milliseconds.
    pub wait: fn(Args<'_>, i64) -> Result<Wait, Error>,
    /// Puts into the pack the call that names only the key at this argument, of which the shard has all
    /// that it needs; false if the call does not wait for that key.
    pub alone: fn(&mut Context<'_>, usize, &mut Pack) -> bool,
    /// Whether such a call of one key would answer something.
    pub ready: fn(&mut Context<'_>) -> bool,
}

/// The timeout in seconds at argument `i`, as a number with or without a fraction.
pub fn seconds(args: Args<'_>, i: usize, now_ms: i64) -> Result<Wait, Error> {
    const OUT_OF_RANGE: Error = Error::fixed("ERR timeout is out of range");
    let text = args.get(i);
    let is_huge = || {
        let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
        number.is_some_and(f64::is_infinite)
    };
    let seconds = match number::score(text) {
        Some(seconds) => seconds,
        None if is_huge() => return Err(OUT_OF_RANGE),
        None => return Err(Error::fixed("ERR timeout is not a float or out of range")),
    };
    let ms = seconds * 1000.0;
    if ms > i64::MAX as f64 {
        return Err(OUT_OF_RANGE);
    }
    if ms < 0.0 {
        return Err(Error::fixed("ERR timeout is negative"));
    }
    until(ms.ceil() as i64, now_ms).ok_or(OUT_OF_RANGE)
}

/// The timeout in milliseconds at argument `i`.
pub fn milliseconds(args: Args<'_>, i: usize, now_ms: i64) -> Result<Wait, Error> {
    let ms = parse_i64(args.get(i)).ok_or(Error::fixed(
        "ERR timeout is not an integer or out of range",
    ))?;
    if ms < 0 {
        return Err(Error::fixed("ERR timeout is negative"));
    }
    until(ms, now_ms).ok_or(Error::fixed("ERR timeout is out of range"))
}

fn until(ms: i64, now_ms: i64) -> Option<Wait> {
    match ms {
        0 => Some(Wait::Forever),
        ms => ms.checked_add(now_ms).map(Wait::Until),
    }
}

/// What a handler answers that has found nothing, and written so.
pub fn blocked(wait: Wait) -> Effect {
    match wait {
        Wait::No => Effect::Read,
        _ => Effect::Blocks,
    }
}

/// Whether a key has a value of a type.
pub fn has(ctx: &mut Context<'_>, key: Key<'_>, value_type: Type) -> bool {
    let item = ctx.shard.look(ctx.db, key, Look::Peek);
    item.is_some_and(|item| item.value_type() == value_type)
}

/// The call of a command with keys in a row and a timeout behind them.
pub fn name_key_timeout(ctx: &mut Context<'_>, at: usize, call: &mut Pack) -> bool {
    let args = ctx.args;
    for i in [0, at, args.len() - 1] {
        call.add(args, i);
    }
    call.end();
    true
}

/// The call of a command with a timeout, a number of keys, the keys, and more.
pub fn timeout_counted_keys(ctx: &mut Context<'_>, at: usize, call: &mut Pack) -> bool {
    let args = ctx.args;
    let keys = parse_i64(args.get(2)).and_then(|n| usize::try_from(n).ok());
    call.add(args, 0);
    call.add(args, 1);
    call.add_bytes(b"1");
    call.add(args, at);
    let behind = keys.map_or(args.len(), |n| 3 + n);
    (behind..args.len()).for_each(|i| call.add(args, i));
    call.end();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::with_args;

    fn read(text: &str, ms: bool) -> Result<Wait, String> {
        with_args(text, |args| {
            let wait = match ms {
                true => milliseconds(args, 0, 1000),
                false => seconds(args, 0, 1000),
            };
            wait.map_err(|e| String::from_utf8_lossy(e.text()).into_owned())
        })
    }

    #[test]
    fn timeouts_are_rounded_up_and_bounded() {
        for (text, want) in [
            ("0", Ok(Wait::Forever)),
            ("0.0", Ok(Wait::Forever)),
            ("1", Ok(Wait::Until(2000))),
            ("0.0001", Ok(Wait::Until(1001))),
            ("1.0005", Ok(Wait::Until(2001))),
            ("-1", Err("ERR timeout is negative")),
            ("x", Err("ERR timeout is not a float or out of range")),
            ("1e300", Err("ERR timeout is out of range")),
            ("1e400", Err("ERR timeout is out of range")),
            ("9223372036854775.807", Err("ERR timeout is out of range")),
        ] {
            assert_eq!(read(text, false), want.map_err(str::to_owned), "{text}");
        }
        for (text, want) in [
            ("0", Ok(Wait::Forever)),
            ("7", Ok(Wait::Until(1007))),
            ("-1", Err("ERR timeout is negative")),
            ("1.5", Err("ERR timeout is not an integer or out of range")),
            ("9223372036854775807", Err("ERR timeout is out of range")),
        ] {
            assert_eq!(read(text, true), want.map_err(str::to_owned), "{text}");
        }
    }
}
