//! Replies of commands as values of Lua.
//!
//! | reply | value |
//! | --- | --- |
//! | bulk string, integer | string, number |
//! | array | table from 1 on |
//! | null of RESP2, of RESP3 | false, nil |
//! | simple string, error | table with `ok`, with `err` |
//! | boolean | boolean |
//! | double, big number | table with `double`, with `big_number` |
//! | verbatim string | table with `verbatim_string`: `string` and `format` |
//! | map, set | table with `map`, with `set` |
//!
//! Attributes are left out.

use crate::lua::Lua;
use crate::native::push_error;
use resp::number::parse_i64;

/// Aggregates within aggregates; no command's reply has so many.
const DEPTH_MAX: usize = 200;

/// What a reply was, for those who raise errors.
#[derive(PartialEq, Eq)]
pub enum Answer {
    Value,
    Error,
}

/// Pushes exactly one value. What is no reply becomes false.
pub fn push(lua: Lua, reply: &[u8]) -> Answer {
    let top = lua.top();
    let answer = match reply.first() {
        Some(b'-') => Answer::Error,
        _ => Answer::Value,
    };
    let mut reader = Reader { lua, rest: reply };
    if reader.value(0).is_none() {
        lua.set_top(top);
        lua.push_boolean(false);
    }
    debug_assert_eq!(lua.top(), top + 1);
    answer
}

struct Reader<'a> {
    lua: Lua,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Option<&'a [u8]> {
        let mut at = 0;
        while *self.rest.get(at)? != b'\r' {
            at += 1;
        }
        let line = &self.rest[..at];
        self.rest = self.rest.get(at + 2..)?;
        Some(line)
    }

    fn bulk(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.rest.get(..len)?;
        self.rest = self.rest.get(len.checked_add(2)?..)?;
        Some(bytes)
    }

    /// Pushes the next value; None if there is none, and then leaves the stack in disorder.
    fn value(&mut self, depth: usize) -> Option<()> {
        let lua = self.lua;
        // A function in C has room for twenty values.
        if depth > DEPTH_MAX || depth > 0 && !lua.reserve(8) {
            return None;
        }
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        let line = self.line()?;
        match kind {
            b'$' => match parse_i64(line) {
                Some(len @ 0..) => lua.push_bytes(self.bulk(len as usize)?),
                _ => lua.push_boolean(false),
            },
            b':' => lua.push_number(parse_i64(line)? as f64),
            b'+' => self.record(b"ok", |lua| lua.push_bytes(line)),
            b'-' => {
                push_error(lua, &[b"-", line].concat());
                lua.push_boolean(true);
                lua.set_field(-2, b"ignore_error_stats_update");
            }
            b'*' | b'>' => self.array(parse_i64(line)?, depth)?,
            b'%' => self.map(parse_i64(line)?, depth)?,
            b'~' => self.set(parse_i64(line)?, depth)?,
            b'_' => lua.push_nil(),
            b'#' => lua.push_boolean(line == b"t"),
            b',' => {
                let number = double(line);
                self.record(b"double", |lua| lua.push_number(number));
            }
            b'(' => self.record(b"big_number", |lua| lua.push_bytes(line)),
            b'=' => self.verbatim(parse_i64(line)?)?,
            b'|' => {
                for _ in 0..parse_i64(line)?.max(0) * 2 {
                    self.value(depth + 1)?;
                    lua.pop(1);
                }
                self.value(depth + 1)?;
            }
            _ => return None,
        }
        Some(())
    }

    /// A table with one field.
    fn record(&self, name: &[u8], push: impl FnOnce(Lua)) {
        self.lua.new_table(0, 1);
        push(self.lua);
        self.lua.set_field(-2, name);
    }

    fn array(&mut self, len: i64, depth: usize) -> Option<()> {
        let lua = self.lua;
        if len < 0 {
            lua.push_boolean(false);
            return Some(());
        }
        // No more room than a reply of this size can fill.
        lua.new_table((len as usize).min(self.rest.len() / 3), 0);
        for n in 1..=len {
            self.value(depth + 1)?;
            lua.raw_set_at(-2, i32::try_from(n).ok()?);
        }
        Some(())
    }

    fn map(&mut self, len: i64, depth: usize) -> Option<()> {
        let lua = self.lua;
        lua.new_table(0, 1);
        lua.new_table(0, (len.max(0) as usize).min(self.rest.len() / 6));
        for _ in 0..len {
            self.value(depth + 1)?;
            self.value(depth + 1)?;
            lua.raw_set(-3);
        }
        lua.set_field(-2, b"map");
        Some(())
    }

    fn set(&mut self, len: i64, depth: usize) -> Option<()> {
        let lua = self.lua;
        lua.new_table(0, 1);
        lua.new_table(0, (len.max(0) as usize).min(self.rest.len() / 3));
        for _ in 0..len {
            self.value(depth + 1)?;
            lua.push_boolean(true);
            lua.raw_set(-3);
        }
        lua.set_field(-2, b"set");
        Some(())
    }

    fn verbatim(&mut self, len: i64) -> Option<()> {
        let bytes = self.bulk(usize::try_from(len).ok()?)?;
        let (format, text) = (bytes.get(..3)?, bytes.get(4..)?);
        self.record(b"verbatim_string", |lua| {
            lua.new_table(0, 2);
            lua.push_bytes(text);
            lua.set_field(-2, b"string");
            lua.push_bytes(format);
            lua.set_field(-2, b"format");
        });
        Some(())
    }
}

fn double(line: &[u8]) -> f64 {
    let text = std::str::from_utf8(line).unwrap_or_default();
    text.parse().unwrap_or(f64::NAN)
}
