//! Values as JSON. Nested tables are on the engine's stack and in a list here, not in frames of ours:
//! how deep they may be is a setting.

use super::{Invalid, Settings, settings};
use crate::lua::{Lua, Type, general};
use crate::native::Raise;
use crate::vm::Core;

/// A table that is being written. It is on the stack, below what is written of it.
enum Open {
    Array {
        at: i32,
        len: i32,
    },
    /// Behind the key that was written last.
    Object {
        first: bool,
    },
}

struct Writer<'a> {
    lua: Lua,
    core: &'a Core,
    settings: &'a Settings,
    out: Vec<u8>,
    open: Vec<Open>,
}

pub fn encode(lua: Lua, core: &Core) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(Raise::argument(1, "expected 1 argument"));
    }
    let mut writer = Writer {
        lua,
        core,
        settings: settings(lua, 1)?,
        out: Vec::new(),
        open: Vec::new(),
    };
    lua.push_value(1);
    writer.value()?;
    while writer.step()? {}
    lua.push_bytes(&writer.out);
    Ok(1)
}

impl Writer<'_> {
    fn refuse(&self, index: i32, why: &str) -> Raise {
        let kind = self.lua.kind(index).name();
        Raise::text(format!("Cannot serialise {kind}: {why}"))
    }

    /// Writes the value on the top of the stack and takes it, or opens it.
    fn value(&mut self) -> Result<(), Raise> {
        let lua = self.lua;
        match lua.kind(-1) {
            Type::String => self.string(-1),
            Type::Number => self.number(-1)?,
            Type::Boolean if lua.boolean(-1) => self.out.extend_from_slice(b"true"),
            Type::Boolean => self.out.extend_from_slice(b"false"),
            Type::Nil => self.out.extend_from_slice(b"null"),
            Type::Table => return self.table(),
            _ if lua.is_null(-1) => self.out.extend_from_slice(b"null"),
            _ => return Err(self.refuse(-1, "type not supported")),
        }
        lua.pop(1);
        match self.core.is_full(self.out.len()) {
            true => Err(Raise::Memory),
            false => Ok(()),
        }
    }

    fn table(&mut self) -> Result<(), Raise> {
        let depth = self.open.len() + 1;
        if depth > self.settings.encode_max_depth as usize || !self.lua.reserve(4) {
            return Err(Raise::text(format!(
                "Cannot serialise, excessive nesting ({depth})"
            )));
        }
        match self.array_length()? {
            Some(len @ 1..) => {
                self.out.push(b'[');
                self.open.push(Open::Array { at: 0, len });
            }
            _ => {
                self.out.push(b'{');
                self.lua.push_nil();
                self.open.push(Open::Object { first: true });
            }
        }
        Ok(())
    }

    /// The next value of the innermost table, or its end; false behind the outermost.
    fn step(&mut self) -> Result<bool, Raise> {
        let lua = self.lua;
        match self.open.last_mut() {
            None => return Ok(false),
            Some(Open::Array { at, len }) if *at < *len => {
                *at += 1;
                if *at > 1 {
                    self.out.push(b',');
                }
                lua.raw_get_at(-1, *at);
                self.value()?;
            }
            Some(Open::Array { .. }) => {
                self.out.push(b']');
                lua.pop(1);
                self.open.pop();
            }
            Some(Open::Object { first }) => {
                if lua.next(-2) {
                    if !std::mem::take(first) {
                        self.out.push(b',');
                    }
                    self.key()?;
                    self.value()?;
                } else {
                    self.out.push(b'}');
                    lua.pop(1);
                    self.open.pop();
                }
            }
        }
        Ok(true)
    }

    /// The key below the top of the stack.
    fn key(&mut self) -> Result<(), Raise> {
        match self.lua.kind(-2) {
            Type::Number => {
                self.out.push(b'"');
                self.number(-2)?;
                self.out.extend_from_slice(b"\":");
            }
            Type::String => {
                self.string(-2);
                self.out.push(b':');
            }
            _ => return Err(self.refuse(-2, "table key must be a number or string")),
        }
        Ok(())
    }

    /// The highest index of the table on the top of the stack, if all its keys are integers above 0
    /// and enough of them are there.
    fn array_length(&self) -> Result<Option<i32>, Raise> {
        let lua = self.lua;
        let (mut max, mut items) = (0i32, 0i64);
        lua.push_nil();
        while lua.next(-2) {
            lua.pop(1);
            let key = match lua.kind(-1) {
                Type::Number => lua.number(-1),
                _ => 0.0,
            };
            // An index that no array of ours could have is a key like others.
            if key.floor() != key || !(1.0..=f64::from(i32::MAX)).contains(&key) {
                lua.pop(1);
                return Ok(None);
            }
            max = max.max(key as i32);
            items += 1;
        }
        let settings = self.settings;
        let sparse = settings.sparse_ratio > 0
            && i64::from(max) > items.saturating_mul(i64::from(settings.sparse_ratio))
            && max > settings.sparse_safe;
        match sparse {
            true if !settings.sparse_convert => Err(self.refuse(-1, "excessively sparse array")),
            true => Ok(None),
            false => Ok(Some(max)),
        }
    }

    fn number(&mut self, index: i32) -> Result<(), Raise> {
        let number = self.lua.number(index);
        if number.is_finite() {
            let (text, len) = general(number, self.settings.precision as u8);
            self.out.extend_from_slice(&text[..len]);
            return Ok(());
        }
        let text: &[u8] = match self.settings.encode_invalid {
            Invalid::Refuse => return Err(self.refuse(index, "must not be NaN or Inf")),
            Invalid::Write if number.is_nan() => b"nan",
            Invalid::Write if number < 0.0 => b"-inf",
            Invalid::Write => b"inf",
            Invalid::Null => b"null",
        };
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn string(&mut self, index: i32) {
        let bytes = self.lua.bytes(index).unwrap_or_default();
        let out = &mut self.out;
        out.reserve(bytes.len() + 2);
        out.push(b'"');
        let mut plain = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            let short = match byte {
                b'"' | b'\\' | b'/' => byte,
                8 => b'b',
                9 => b't',
                10 => b'n',
                12 => b'f',
                13 => b'r',
                0..32 | 127 => 0,
                _ => continue,
            };
            out.extend_from_slice(&bytes[plain..at]);
            plain = at + 1;
            if short != 0 {
                out.extend_from_slice(&[b'\\', short]);
            } else {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            }
        }
        out.extend_from_slice(&bytes[plain..]);
        out.push(b'"');
    }
}
