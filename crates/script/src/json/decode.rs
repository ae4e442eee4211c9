//! JSON as values. As in [`super::encode`], nesting is in a list and not in frames.

use super::{Settings, settings};
use crate::lua::{Lua, leading_number};
use crate::native::{Raise, check_bytes};
use crate::vm::Core;

#[derive(Clone, Copy, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Its text is in [`Reader::text`].
    String,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Bad(&'static str),
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Bad(why) => why,
        }
    }
}

/// A table that is being filled: it is on the stack, an object's key above it.
enum Open {
    Array { next: i32 },
    Object,
}

struct Reader<'a> {
    lua: Lua,
    core: &'a Core,
    settings: &'a Settings,
    data: &'a [u8],
    at: usize,
    /// Where the last token began, or what is wrong in it is.
    token_at: usize,
    text: Vec<u8>,
    open: Vec<Open>,
}

pub fn decode(lua: Lua, core: &Core) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(Raise::argument(1, "expected 1 argument"));
    }
    let settings = settings(lua, 1)?;
    let data = check_bytes(lua, 1)?;
    if data.len() >= 2 && (data[0] == 0 || data[1] == 0) {
        return Err(Raise::text("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut reader = Reader {
        lua,
        core,
        settings,
        data,
        at: 0,
        token_at: 0,
        text: Vec::new(),
        open: Vec::new(),
    };
    reader.document()?;
    Ok(1)
}

impl Reader<'_> {
    fn document(&mut self) -> Result<(), Raise> {
        let mut token = self.token();
        loop {
            if let Some(first) = self.begin(token)? {
                token = first;
                continue;
            }
            match self.place()? {
                Some(next) => token = next,
                None => break,
            }
        }
        match self.token() {
            Token::End => Ok(()),
            found => Err(self.unexpected("the end", found)),
        }
    }

    /// Pushes a value. A table that is not empty is opened, and the token of its first value comes
    /// back.
    fn begin(&mut self, token: Token) -> Result<Option<Token>, Raise> {
        let lua = self.lua;
        if self.core.is_full(0) {
            return Err(Raise::Memory);
        }
        match token {
            Token::String => lua.push_bytes(&self.text),
            Token::Number(number) => lua.push_number(number),
            Token::Boolean(value) => lua.push_boolean(value),
            Token::Null => lua.push_null(),
            Token::ObjectBegin => {
                self.descend(3)?;
                lua.new_table(0, 0);
                let token = self.token();
                if token != Token::ObjectEnd {
                    self.open.push(Open::Object);
                    return self.key(token).map(Some);
                }
            }
            Token::ArrayBegin => {
                self.descend(2)?;
                lua.new_table(0, 0);
                let token = self.token();
                if token != Token::ArrayEnd {
                    self.open.push(Open::Array { next: 1 });
                    return Ok(Some(token));
                }
            }
            _ => return Err(self.unexpected("value", token)),
        }
        Ok(None)
    }

    /// Puts the value on the top of the stack into the table that it belongs to, and that into its
    /// own if it is full. The token of the next value; none when the outermost value is complete.
    fn place(&mut self) -> Result<Option<Token>, Raise> {
        let lua = self.lua;
        while let Some(open) = self.open.last_mut() {
            let (end, expected) = match open {
                Open::Array { next } => {
                    lua.raw_set_at(-2, *next);
                    *next = next.saturating_add(1);
                    (Token::ArrayEnd, "comma or array end")
                }
                Open::Object => {
                    lua.raw_set(-3);
                    (Token::ObjectEnd, "comma or object end")
                }
            };
            let token = self.token();
            if token == end {
                self.open.pop();
                continue;
            }
            if token != Token::Comma {
                return Err(self.unexpected(expected, token));
            }
            let token = self.token();
            return match end {
                Token::ObjectEnd => self.key(token).map(Some),
                _ => Ok(Some(token)),
            };
        }
        Ok(None)
    }

    /// Pushes a key; the token behind its colon.
    fn key(&mut self, token: Token) -> Result<Token, Raise> {
        if token != Token::String {
            return Err(self.unexpected("object key string", token));
        }
        self.lua.push_bytes(&self.text);
        match self.token() {
            Token::Colon => Ok(self.token()),
            found => Err(self.unexpected("colon", found)),
        }
    }

    fn descend(&mut self, slots: i32) -> Result<(), Raise> {
        let depth = self.open.len() + 1;
        if depth <= self.settings.decode_max_depth as usize && self.lua.reserve(slots + 2) {
            return Ok(());
        }
        Err(Raise::text(format!(
            "Found too many nested data structures ({depth}) at character {}",
            self.at
        )))
    }

    fn unexpected(&self, expected: &str, found: Token) -> Raise {
        Raise::text(format!(
            "Expected {expected} but found {} at character {}",
            found.name(),
            self.token_at + 1
        ))
    }

    /// The byte so far ahead; 0 at the end, which is what 0 means.
    fn peek(&self, ahead: usize) -> u8 {
        self.data.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    fn bad(&mut self, why: &'static str) -> Token {
        self.token_at = self.at;
        Token::Bad(why)
    }

    fn word(&mut self, len: usize, token: Token) -> Token {
        self.at += len;
        token
    }

    fn token(&mut self) -> Token {
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.token_at = self.at;
        match self.peek(0) {
            0 => Token::End,
            b'{' => self.word(1, Token::ObjectBegin),
            b'}' => self.word(1, Token::ObjectEnd),
            b'[' => self.word(1, Token::ArrayBegin),
            b']' => self.word(1, Token::ArrayEnd),
            b',' => self.word(1, Token::Comma),
            b':' => self.word(1, Token::Colon),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => match !self.settings.decode_invalid && self.is_invalid_number() {
                true => self.bad("invalid number"),
                false => self.number(),
            },
            _ if self.rest().starts_with(b"true") => self.word(4, Token::Boolean(true)),
            _ if self.rest().starts_with(b"false") => self.word(5, Token::Boolean(false)),
            _ if self.rest().starts_with(b"null") => self.word(4, Token::Null),
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+'
                if self.settings.decode_invalid && self.is_invalid_number() =>
            {
                self.number()
            }
            _ => self.bad("invalid token"),
        }
    }

    /// What C reads as a number and JSON does not.
    fn is_invalid_number(&self) -> bool {
        let rest = match self.rest() {
            [b'+', ..] => return true,
            [b'-', rest @ ..] => rest,
            rest => rest,
        };
        match rest {
            [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
            [a, b, c, ..] => {
                let word = [*a, *b, *c].map(|b| b.to_ascii_lowercase());
                word == *b"inf" || word == *b"nan"
            }
            _ => false,
        }
    }

    fn number(&mut self) -> Token {
        match leading_number(self.rest()) {
            (_, 0) => self.bad("invalid number"),
            (number, len) => self.word(len, Token::Number(number)),
        }
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        self.text.clear();
        loop {
            let rest = self.data.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0));
            let plain = plain.unwrap_or(rest.len());
            self.text.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.peek(0) {
                b'"' => return self.word(1, Token::String),
                0 => return self.bad("unexpected end of string"),
                _ => {}
            }
            let plain = match self.peek(1) {
                b'u' => match self.unicode() {
                    Some(()) => continue,
                    None => return self.bad("invalid unicode escape code"),
                },
                b'b' => 8,
                b't' => b'\t',
                b'n' => b'\n',
                b'f' => 12,
                b'r' => b'\r',
                plain @ (b'"' | b'\\' | b'/') => plain,
                _ => return self.bad("invalid escape code"),
            };
            self.text.push(plain);
            self.at += 2;
        }
    }

    /// `\uXXXX`, or two of them that are a surrogate pair.
    fn unicode(&mut self) -> Option<()> {
        let unit = self.hex(2)?;
        let (code, len) = match unit {
            0xD800..0xDC00 => {
                if self.peek(6) != b'\\' || self.peek(7) != b'u' {
                    return None;
                }
                let low = self.hex(8).filter(|low| (0xDC00..0xE000).contains(low))?;
                (0x10000 + ((unit & 0x3FF) << 10 | low & 0x3FF), 12)
            }
            unit => (unit, 6),
        };
        let char = char::from_u32(code)?;
        self.text
            .extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Some(())
    }

    fn hex(&self, ahead: usize) -> Option<u32> {
        (0..4).try_fold(0, |whole, n| {
            let digit = char::from(self.peek(ahead + n)).to_digit(16)?;
            Some(whole << 4 | digit)
        })
    }
}
