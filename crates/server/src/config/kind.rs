//! The kinds of value that a directive can have: how each is read, checked and written.
//!
//! A kind reads words (a directive's arguments in a file, or the parts of a CONFIG SET value) into
//! a [`Value`], or answers with the reason in Redis's words. Kinds with a grammar of their own are
//! in [`super::special`]. What Redis is lax about (a size without digits is 0, an empty octal
//! number too) is so here.
//!
//! This file knows no directive by name.

use std::borrow::Cow;

use super::special::{self, OutputLimit, SavePoint};
use super::words;

/// Why a value was refused, in the words a client or the console gets to read.
pub type Reason = Cow<'static, str>;

/// What a directive takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Switch,
    /// A decimal integer within a range, as strictly written as Redis wants it.
    Int { min: i64, max: i64 },
    /// A frequency: any number that is not negative is taken, and held within 1 to 500.
    Hertz,
    /// File permissions in octal.
    Octal { max: i64 },
    /// Bytes, with an optional unit.
    Size { min: u64, max: u64 },
    /// Bytes with an optional unit, or a negative number down to `min`.
    SignedSize { min: i64 },
    /// Bytes with an optional unit, or a percentage of `maxmemory`.
    SizeOrPercent,
    /// One of several names.
    Choice(&'static [&'static str]),
    /// Some of several names; the first stands for none of the others.
    Choices(&'static [&'static str]),
    /// Any bytes that pass the check.
    Text {
        check: fn(&[u8]) -> Result<(), Reason>,
        empty: Empty,
    },
    /// Addresses to listen on; a leading `-` marks one that may be missing.
    Addresses,
    /// `save` points.
    SavePoints,
    /// `client-output-buffer-limit`.
    OutputLimits,
    /// `oom-score-adj-values`.
    OomScores,
    /// `notify-keyspace-events`.
    Events,
    /// `latency-tracking-info-percentiles`.
    Percentiles,
    /// `replicaof`: a host and a port.
    Primary,
}

/// What an empty text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// As if the directive were absent.
    Unset,
    /// A value like any other.
    Kept,
}

/// A directive's present value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Switch(bool),
    /// Of the kinds `Int`, `Hertz`, `Octal` and `SignedSize`.
    Int(i64),
    Size(u64),
    Percent(u8),
    /// Index into the names.
    Choice(usize),
    /// Bit `i` for name `i + 1`.
    Choices(u32),
    Text(Vec<u8>),
    Addresses(Vec<Vec<u8>>),
    SavePoints(Vec<SavePoint>),
    OutputLimits([OutputLimit; 3]),
    OomScores([i32; 3]),
    /// Bits in the order of [`special::EVENTS`].
    Events(u32),
    Percentiles(Vec<f64>),
    Primary(Option<(Vec<u8>, u16)>),
}

/// How new words relate to the value that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The value is replaced.
    Replace,
    /// A further line of a file: lists that Redis accumulates over lines grow.
    Accumulate,
}

/// The most that a size can be where Redis keeps it in a signed 64-bit integer.
pub const MAX_SIZE: u64 = i64::MAX as u64;

const NOT_INT: Reason = Cow::Borrowed("argument couldn't be parsed into an integer");
const NOT_OCTAL: Reason = Cow::Borrowed("argument couldn't be parsed as an octal number");
const NOT_SIZE: Reason = Cow::Borrowed("argument must be a memory value");
const NOT_SHARE: Reason = Cow::Borrowed("argument must be a memory or percent value");
const NOT_SWITCH: Reason = Cow::Borrowed("argument must be 'yes' or 'no'");
pub(super) const ARITY: Reason = Cow::Borrowed("wrong number of arguments");

impl Kind {
    /// Whether a CONFIG SET value is taken apart at its spaces.
    pub fn takes_words(&self) -> bool {
        use Kind::*;
        matches!(
            self,
            Choices(_) | Addresses | SavePoints | OutputLimits | OomScores | Percentiles | Primary
        )
    }

    /// Reads `words`; `now` is the present value, of this kind.
    pub fn parse(&self, words: &[Vec<u8>], now: &Value, mode: Mode) -> Result<Value, Reason> {
        if self.takes_words() {
            return self.parse_words(words, now, mode);
        }
        match words {
            [word] => self.parse_word(word),
            _ => Err(ARITY),
        }
    }

    fn parse_words(&self, words: &[Vec<u8>], now: &Value, mode: Mode) -> Result<Value, Reason> {
        match self {
            Kind::Choices(names) => special::choices(words, names).map(Value::Choices),
            Kind::Addresses => special::addresses(words).map(Value::Addresses),
            Kind::SavePoints => {
                let mut points = match (mode, now) {
                    (Mode::Accumulate, Value::SavePoints(points)) => points.clone(),
                    _ => Vec::new(),
                };
                special::save_points(words, &mut points)?;
                Ok(Value::SavePoints(points))
            }
            Kind::OutputLimits => {
                let Value::OutputLimits(now) = now else {
                    unreachable!("the value has its directive's kind")
                };
                special::output_limits(words, *now).map(Value::OutputLimits)
            }
            Kind::OomScores => special::oom_scores(words).map(Value::OomScores),
            Kind::Percentiles => special::percentiles(words).map(Value::Percentiles),
            Kind::Primary => special::primary(words).map(Value::Primary),
            _ => unreachable!("kinds of one word are read elsewhere"),
        }
    }

    fn parse_word(&self, word: &[u8]) -> Result<Value, Reason> {
        match *self {
            Kind::Switch if word.eq_ignore_ascii_case(b"yes") => Ok(Value::Switch(true)),
            Kind::Switch if word.eq_ignore_ascii_case(b"no") => Ok(Value::Switch(false)),
            Kind::Switch => Err(NOT_SWITCH),
            Kind::Int { min, max } => {
                let number = strict_int(word).ok_or(NOT_INT)?;
                within(number, min, max)?;
                Ok(Value::Int(number))
            }
            Kind::Hertz => {
                let number = strict_int(word).ok_or(NOT_INT)?;
                within(number, 0, i32::MAX.into())?;
                Ok(Value::Int(number.clamp(1, 500)))
            }
            Kind::Octal { max } => octal(word, max).map(Value::Int),
            Kind::Size { min, max } => {
                let bytes = size(word).ok_or(NOT_SIZE)?;
                if (min..=max).contains(&bytes) {
                    return Ok(Value::Size(bytes));
                }
                Err(outside(&min, &max))
            }
            Kind::SignedSize { min } => signed_size(word, min).map(Value::Int),
            Kind::SizeOrPercent => size_or_percent(word),
            Kind::Choice(names) => match special::position(names, word) {
                Some(index) => Ok(Value::Choice(index)),
                None => Err(special::not_among(names)),
            },
            Kind::Text { check, .. } => check(word).map(|()| Value::Text(word.to_vec())),
            Kind::Events => special::events(word).map(Value::Events),
            _ => unreachable!("kinds of several words are read elsewhere"),
        }
    }

    /// `value`, which is of this kind, as CONFIG GET shows it.
    pub fn format(&self, value: &Value) -> Vec<u8> {
        match (self, value) {
            (_, Value::Switch(true)) => b"yes".to_vec(),
            (_, Value::Switch(false)) => b"no".to_vec(),
            (Kind::Octal { .. }, Value::Int(number)) => format!("{number:o}").into_bytes(),
            (_, Value::Int(number)) => number.to_string().into_bytes(),
            (_, Value::Size(bytes)) => bytes.to_string().into_bytes(),
            (_, Value::Percent(percent)) => format!("{percent}%").into_bytes(),
            (Kind::Choice(names), Value::Choice(index)) => {
                names.get(*index).copied().unwrap_or_default().into()
            }
            (Kind::Choices(names), Value::Choices(bits)) => special::chosen(names, *bits).into(),
            (_, Value::Text(text)) => text.clone(),
            (_, Value::Addresses(addresses)) => addresses.join(&b' '),
            (_, Value::SavePoints(points)) => {
                let points: Vec<String> = points.iter().map(SavePoint::to_string).collect();
                points.join(" ").into_bytes()
            }
            (_, Value::OutputLimits(limits)) => special::format_output_limits(limits).into(),
            (_, Value::OomScores([a, b, c])) => format!("{a} {b} {c}").into_bytes(),
            (_, Value::Events(bits)) => special::format_events(*bits).into(),
            (_, Value::Percentiles(list)) => special::format_percentiles(list).into(),
            (_, Value::Primary(None)) => Vec::new(),
            (_, Value::Primary(Some((host, port)))) => {
                [host.as_slice(), b" ", port.to_string().as_bytes()].concat()
            }
            (_, Value::Choice(_) | Value::Choices(_)) => {
                unreachable!("the value has its directive's kind")
            }
        }
    }

    /// The arguments that CONFIG REWRITE writes for `value`, a line each, and whether the line must
    /// be there even if the file had none for the directive. No line at all: unset.
    pub fn lines(&self, value: &Value, default: &Value) -> Vec<(Vec<u8>, bool)> {
        let must = value != default;
        match value {
            Value::Text(text) => match self {
                Kind::Text {
                    empty: Empty::Unset,
                    ..
                } if text.is_empty() => Vec::new(),
                _ => vec![(words::quote(text), must)],
            },
            Value::Events(_) => vec![(words::quote(&self.format(value)), must)],
            Value::Size(bytes) => vec![(special::short_size(*bytes).into(), must)],
            Value::Addresses(list) if list.is_empty() => vec![(b"\"\"".to_vec(), must)],
            Value::Percentiles(list) if list.is_empty() => vec![(b"\"\"".to_vec(), must)],
            Value::SavePoints(points) if points.is_empty() => vec![(b"\"\"".to_vec(), true)],
            // One `save` line alone would replace all default points, so every point needs its line.
            Value::SavePoints(points) => {
                let line = |point: &SavePoint| (point.to_string().into_bytes(), true);
                points.iter().map(line).collect()
            }
            Value::OutputLimits(limits) => {
                let Value::OutputLimits(defaults) = default else {
                    unreachable!("the value has its directive's kind")
                };
                special::output_limit_lines(limits, defaults)
            }
            Value::Primary(None) => Vec::new(),
            _ => vec![(self.format(value), must)],
        }
    }
}

fn within(number: i64, min: i64, max: i64) -> Result<(), Reason> {
    if (min..=max).contains(&number) {
        return Ok(());
    }
    Err(outside(&min, &max))
}

fn outside(min: &impl ToString, max: &impl ToString) -> Reason {
    let (min, max) = (min.to_string(), max.to_string());
    format!("argument must be between {min} and {max} inclusive").into()
}

/// An integer in its one canonical spelling: no blanks, no `+`, no leading zeros, no `-0`.
pub(super) fn strict_int(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A number as C's `strtol` reads it when the whole word must be used: blanks and a sign may come
/// first, the empty word is 0, and what is too large becomes the largest.
pub(super) fn lax_int(word: &[u8], radix: u32) -> Option<i64> {
    let start = word.iter().position(|&b| !words::is_blank(b));
    let rest = match start {
        Some(at) => word.get(at..)?,
        None if word.is_empty() => return Some(0),
        None => return None,
    };
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut magnitude: i64 = 0;
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix)?;
        magnitude = magnitude
            .saturating_mul(radix.into())
            .saturating_add(digit.into());
    }
    Some(if negative { -magnitude } else { magnitude })
}

fn octal(word: &[u8], max: i64) -> Result<i64, Reason> {
    let number = lax_int(word, 8).ok_or(NOT_OCTAL)?;
    if (0..=max).contains(&number) {
        return Ok(number);
    }
    Err(outside(&0, &format!("{max:o}")))
}

/// Bytes: digits, then a unit of `b`, `k`, `kb`, `m`, `mb`, `g` or `gb` in either case. `k` is a
/// thousand and `kb` is 1024. Too large a number becomes the largest.
pub(super) fn size(word: &[u8]) -> Option<u64> {
    let end = word.iter().position(|b| !b.is_ascii_digit());
    let (digits, unit) = word.split_at(end.unwrap_or(word.len()));
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let mut number: u64 = 0;
    for digit in digits {
        number = number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
    }
    Some(number.saturating_mul(factor))
}

fn signed_size(word: &[u8], min: i64) -> Result<i64, Reason> {
    let number = match word.strip_prefix(b"-") {
        Some(digits) => size(digits).and_then(|n| i64::try_from(n).ok().map(|n| -n)),
        None => size(word).and_then(|n| i64::try_from(n).ok()),
    };
    let number = number.ok_or(NOT_SIZE)?;
    within(number, min, i64::MAX)?;
    Ok(number)
}

fn size_or_percent(word: &[u8]) -> Result<Value, Reason> {
    let Some(digits) = word.strip_suffix(b"%") else {
        return size(word).map(Value::Size).ok_or(NOT_SHARE);
    };
    match strict_int(digits) {
        Some(percent) if percent > 100 => {
            Err("percentage argument must be less or equal to 100".into())
        }
        Some(percent) => u8::try_from(percent)
            .map(Value::Percent)
            .map_err(|_| NOT_SHARE),
        None => Err(NOT_SHARE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(kind: Kind, word: &str, shown: &str) {
        let value = kind.parse_word(word.as_bytes()).expect(word);
        assert_eq!(String::from_utf8(kind.format(&value)).unwrap(), shown);
    }

    #[track_caller]
    fn refuses(kind: Kind, word: &str, reason: &str) {
        assert_eq!(
            kind.parse_word(word.as_bytes()),
            Err(reason.into()),
            "{word:?}"
        );
    }

    #[test]
    fn sizes() {
        let kind = Kind::Size {
            min: 0,
            max: u64::MAX,
        };
        reads(kind, "1kb", "1024");
        reads(kind, "1K", "1000");
        reads(kind, "2mB", "2097152");
        reads(kind, "3m", "3000000");
        reads(kind, "1gb", "1073741824");
        reads(kind, "1g", "1000000000");
        reads(kind, "100b", "100");
        reads(kind, "", "0");
        reads(kind, "k", "0");
        reads(kind, "99999999999999999999", "18446744073709551615");
        for word in ["-1", "1.5", "1x", "1bb", " 5", "+5", "0x5", "5%"] {
            refuses(kind, word, "argument must be a memory value");
        }
        let kind = Kind::Size {
            min: 1 << 20,
            max: MAX_SIZE,
        };
        let range = "argument must be between 1048576 and 9223372036854775807 inclusive";
        refuses(kind, "1kb", range);
        refuses(kind, "99999999999999999999", range);
    }

    #[test]
    fn integers_have_one_spelling() {
        let kind = Kind::Int { min: -1, max: 9 };
        reads(kind, "-1", "-1");
        reads(kind, "9", "9");
        refuses(kind, "10", "argument must be between -1 and 9 inclusive");
        for word in [
            "",
            "+5",
            "05",
            "-0",
            " 5",
            "5 ",
            "0x5",
            "5s",
            "99999999999999999999",
        ] {
            refuses(kind, word, "argument couldn't be parsed into an integer");
        }
    }

    #[test]
    fn octal_numbers() {
        let kind = Kind::Octal { max: 0o777 };
        reads(kind, "0777", "777");
        reads(kind, "+7", "7");
        reads(kind, "", "0");
        refuses(kind, "1000", "argument must be between 0 and 777 inclusive");
        refuses(kind, "-1", "argument must be between 0 and 777 inclusive");
        refuses(kind, "8", "argument couldn't be parsed as an octal number");
        refuses(kind, "-", "argument couldn't be parsed as an octal number");
    }

    #[test]
    fn frequencies_are_held_in_range() {
        reads(Kind::Hertz, "0", "1");
        reads(Kind::Hertz, "100000", "500");
        refuses(
            Kind::Hertz,
            "-1",
            "argument must be between 0 and 2147483647 inclusive",
        );
    }

    #[test]
    fn percentages() {
        reads(Kind::SizeOrPercent, "5%", "5%");
        reads(Kind::SizeOrPercent, "10kb", "10240");
        refuses(
            Kind::SizeOrPercent,
            "101%",
            "percentage argument must be less or equal to 100",
        );
        for word in ["%", "-1%", "1.5%", "005%", "-1"] {
            refuses(
                Kind::SizeOrPercent,
                word,
                "argument must be a memory or percent value",
            );
        }
    }

    #[test]
    fn signed_sizes() {
        let kind = Kind::SignedSize { min: -1 };
        reads(kind, "-1", "-1");
        reads(kind, "1kb", "1024");
        refuses(
            kind,
            "-2",
            "argument must be between -1 and 9223372036854775807 inclusive",
        );
        refuses(
            kind,
            "99999999999999999999",
            "argument must be a memory value",
        );
    }
}
