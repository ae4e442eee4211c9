//! How commands and replies are written in scripts.
//!
//! A command line is words separated by spaces. A word in double quotes may hold anything, with
//! the escapes of `redis-cli`; `rep("x",3)` is `"xxx"`, for the lengths at which things change.
//!
//! A reply is one line:
//!
//! ```text
//! +OK              simple string             nil          nothing, in any of its three forms
//! -ERR no such key error                     [:1, "a"]    array
//! -ERR bad ...     error that starts so      ~["a", "b"]  the same elements in any order
//! :5               integer                   {"a": :1}    map, or the array that RESP2 has for it
//! "text"           bulk string               >[...]       push
//! ,1.5             double, or its text       #t           boolean, or 1
//! (123             big number, or its text   ="txt:a"     verbatim string, or its text
//! _                anything                  :_           any integer
//! has "text"       a string with that in it  closed       the connection was closed
//! ```
//!
//! Where RESP2 lacks a type, the pattern of the RESP3 type fits what Redis sends instead, so that
//! one line serves both protocols.

use crate::value::Value;

/// Splits a command line into words.
pub fn words(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut cursor = Cursor::new(line);
    let mut words = Vec::new();
    loop {
        cursor.spaces();
        if cursor.rest.is_empty() {
            return Ok(words);
        }
        words.push(cursor.word()?);
    }
}

/// What a reply should look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    Simple(String),
    Error(String),
    ErrorStart(String),
    Int(i64),
    AnyInt,
    Bulk(Vec<u8>),
    /// A string of any type that contains this.
    Has(Vec<u8>),
    Null,
    Bool(bool),
    Double(String),
    BigNumber(String),
    Verbatim(String, Vec<u8>),
    Array(Vec<Pattern>),
    Unordered(Vec<Pattern>),
    Push(Vec<Pattern>),
    Map(Vec<(Pattern, Pattern)>),
    Any,
    Closed,
}

impl Pattern {
    pub fn parse(line: &str) -> Result<Pattern, String> {
        // A whole line of these two needs no quotes, whatever its text has in it.
        if let Some(text) = line.strip_prefix('+') {
            return Ok(Pattern::Simple(text.to_owned()));
        }
        if let Some(text) = line.strip_prefix('-') {
            return Ok(match text.strip_suffix("...") {
                Some(start) => Pattern::ErrorStart(start.to_owned()),
                None => Pattern::Error(text.to_owned()),
            });
        }
        let mut cursor = Cursor::new(line);
        let pattern = cursor.pattern()?;
        cursor.spaces();
        match cursor.rest {
            [] => Ok(pattern),
            rest => Err(format!(
                "'{}' after the reply",
                String::from_utf8_lossy(rest)
            )),
        }
    }

    pub fn fits(&self, value: &Value) -> bool {
        match (self, value) {
            (Pattern::Any, _) => true,
            (Pattern::Closed, value) => *value == Value::Closed,
            (Pattern::Simple(p), Value::Simple(v)) => p.as_bytes() == v,
            (Pattern::Error(p), Value::Error(v) | Value::BulkError(v)) => p.as_bytes() == v,
            (Pattern::ErrorStart(p), Value::Error(v)) => v.starts_with(p.as_bytes()),
            (Pattern::Int(p), Value::Int(v)) => p == v,
            (Pattern::AnyInt, Value::Int(_)) => true,
            (Pattern::Bulk(p), Value::Bulk(v)) => p == v,
            (Pattern::Has(p), value) => value.text().is_some_and(|text| contains(text, p)),
            (Pattern::Null, value) => value.is_null(),
            (Pattern::Bool(p), Value::Bool(v)) => p == v,
            (Pattern::Bool(p), Value::Int(v)) => i64::from(*p) == *v,
            (Pattern::Double(p), Value::Double(v) | Value::Bulk(v)) => p.as_bytes() == v,
            (Pattern::BigNumber(p), Value::BigNumber(v) | Value::Bulk(v)) => p.as_bytes() == v,
            (Pattern::Verbatim(_, p), Value::Bulk(v)) => p == v,
            (Pattern::Verbatim(f, p), Value::Verbatim(format, v)) => {
                f.as_bytes() == format && p == v
            }
            (Pattern::Array(p), Value::Array(v)) | (Pattern::Push(p), Value::Push(v)) => {
                all_fit(p, v)
            }
            (Pattern::Unordered(p), Value::Array(v) | Value::Set(v)) => fit_in_any_order(p, v),
            (Pattern::Map(p), Value::Map(v)) => {
                p.len() == v.len()
                    && p.iter()
                        .zip(v)
                        .all(|(p, v)| p.0.fits(&v.0) && p.1.fits(&v.1))
            }
            (Pattern::Map(p), Value::Array(v)) => {
                p.len() * 2 == v.len()
                    && p.iter()
                        .zip(v.chunks(2))
                        .all(|(p, v)| p.0.fits(&v[0]) && p.1.fits(&v[1]))
            }
            _ => false,
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

fn all_fit(patterns: &[Pattern], values: &[Value]) -> bool {
    patterns.len() == values.len() && patterns.iter().zip(values).all(|(p, v)| p.fits(v))
}

/// Takes for each pattern the first value left that fits it, which finds a match whenever the
/// patterns exclude one another.
fn fit_in_any_order(patterns: &[Pattern], values: &[Value]) -> bool {
    let mut left: Vec<&Value> = values.iter().collect();
    for pattern in patterns {
        match left.iter().position(|value| pattern.fits(value)) {
            Some(at) => left.swap_remove(at),
            None => return false,
        };
    }
    left.is_empty()
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(line: &'a str) -> Cursor<'a> {
        Cursor {
            rest: line.as_bytes(),
        }
    }

    fn spaces(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        self.spaces();
        match self.take(word) {
            true => Ok(()),
            false => Err(format!("'{word}' expected at '{}'", self.shown())),
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(self.rest).into_owned()
    }

    /// Everything before the first byte of `ends`.
    fn before(&mut self, ends: &[u8]) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|b| ends.contains(b))
            .unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text
    }

    fn word(&mut self) -> Result<Vec<u8>, String> {
        if self.take("rep(") {
            let unit = self.word_before_comma()?;
            self.expect(",")?;
            let count = self.number()?;
            self.expect(")")?;
            return Ok(unit.repeat(count));
        }
        match self.rest.first() {
            Some(b'"') => self.quoted(),
            _ => Ok(self.before(b" ").to_vec()),
        }
    }

    fn word_before_comma(&mut self) -> Result<Vec<u8>, String> {
        match self.rest.first() {
            Some(b'"') => self.quoted(),
            _ => Ok(self.before(b",)").to_vec()),
        }
    }

    fn number(&mut self) -> Result<usize, String> {
        self.spaces();
        let digits = self.before(b",) ]}");
        let text = String::from_utf8_lossy(digits);
        text.parse().map_err(|_| format!("'{text}' is not a count"))
    }

    fn quoted(&mut self) -> Result<Vec<u8>, String> {
        self.expect("\"")?;
        let mut out = Vec::new();
        loop {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return Err("a quote is not closed".to_owned());
            };
            self.rest = rest;
            match byte {
                b'"' => return Ok(out),
                b'\\' => out.push(self.escape()?),
                other => out.push(other),
            }
        }
    }

    fn escape(&mut self) -> Result<u8, String> {
        let Some((&byte, rest)) = self.rest.split_first() else {
            return Err("nothing after a backslash".to_owned());
        };
        self.rest = rest;
        Ok(match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = self.rest.get(..2).and_then(|d| std::str::from_utf8(d).ok());
                let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
                self.rest = self.rest.get(2..).unwrap_or_default();
                byte.ok_or("\\x needs two digits".to_owned())?
            }
            other => other,
        })
    }

    fn pattern(&mut self) -> Result<Pattern, String> {
        self.spaces();
        for (word, pattern) in [
            (":_", Pattern::AnyInt),
            ("_", Pattern::Any),
            ("nil", Pattern::Null),
            ("closed", Pattern::Closed),
            ("#t", Pattern::Bool(true)),
            ("#f", Pattern::Bool(false)),
        ] {
            if self.take(word) {
                return Ok(pattern);
            }
        }
        if self.take("has ") {
            return Ok(Pattern::Has(self.quoted()?));
        }
        if self.rest.starts_with(b"\"") || self.rest.starts_with(b"rep(") {
            return Ok(Pattern::Bulk(self.word()?));
        }
        for (open, make) in [
            ("[", Pattern::Array as fn(Vec<Pattern>) -> Pattern),
            ("~[", Pattern::Unordered),
            (">[", Pattern::Push),
        ] {
            if self.take(open) {
                return Ok(make(self.list("]", Cursor::pattern)?));
            }
        }
        if self.take("{") {
            return Ok(Pattern::Map(self.list("}", Cursor::pair)?));
        }
        if self.take("=") {
            let text = self.quoted()?;
            return match text.iter().position(|b| *b == b':') {
                Some(3) => {
                    let format = String::from_utf8_lossy(&text[..3]).into_owned();
                    Ok(Pattern::Verbatim(format, text[4..].to_vec()))
                }
                _ => Err("a verbatim string starts with its format and a colon".to_owned()),
            };
        }
        let at = self.shown();
        let Some((&kind, rest)) = self.rest.split_first() else {
            return Err("a reply expected".to_owned());
        };
        self.rest = rest;
        let text = String::from_utf8_lossy(self.before(b",]}:")).into_owned();
        match kind {
            b'+' => Ok(Pattern::Simple(text)),
            b'-' => Ok(Pattern::Error(text)),
            b',' => Ok(Pattern::Double(text)),
            b'(' => Ok(Pattern::BigNumber(text)),
            b':' => text
                .trim()
                .parse()
                .map(Pattern::Int)
                .map_err(|_| format!("not a number: {at}")),
            _ => Err(format!("not a reply: '{at}'")),
        }
    }

    fn pair(&mut self) -> Result<(Pattern, Pattern), String> {
        let key = self.pattern()?;
        self.expect(":")?;
        Ok((key, self.pattern()?))
    }

    fn list<T>(
        &mut self,
        close: &str,
        mut element: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        self.spaces();
        while !self.take(close) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(element(self)?);
            self.spaces();
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, value: Value) -> bool {
        Pattern::parse(pattern).expect("a pattern").fits(&value)
    }

    #[test]
    fn words_are_split_as_redis_cli_splits_them() {
        let line = r#"SET "a b" "\x00\"" rep("ab",3) ''"#;
        let expected: [&[u8]; 5] = [b"SET", b"a b", b"\0\"", b"ababab", b"''"];
        assert_eq!(words(line).expect("words"), expected);
        assert!(words("\"open").is_err());
    }

    #[test]
    fn patterns_tell_replies_apart() {
        assert!(fits("+OK", Value::ok()));
        assert!(!fits("+OK", Value::bulk("OK")));
        assert!(fits("-ERR no ...", Value::error("ERR no such key")));
        assert!(!fits("-ERR no", Value::error("ERR no such key")));
        assert!(fits("nil", Value::NullArray));
        assert!(fits(
            "[:1, nil, \"a\"]",
            array([Value::Int(1), Value::NullBulk, bulk("a")])
        ));
        assert!(!fits("[:1]", array([Value::Int(1), Value::Int(1)])));
        assert!(fits("~[\"a\", \"b\"]", array([bulk("b"), bulk("a")])));
        assert!(!fits("~[\"a\", \"a\"]", array([bulk("b"), bulk("a")])));
        assert!(fits("{\"a\": :1}", array([bulk("a"), Value::Int(1)])));
        assert!(fits(
            "{\"a\": _}",
            Value::Map(vec![(bulk("a"), Value::Null)])
        ));
        assert!(fits(",1.5", bulk("1.5")));
        assert!(fits("has \"b\"", bulk("abc")));
        assert!(!fits(":_", bulk("1")));
    }

    fn bulk(text: &str) -> Value {
        Value::bulk(text)
    }

    fn array<const N: usize>(items: [Value; N]) -> Value {
        Value::Array(items.to_vec())
    }
}
