//! Errors that commands answer, in Redis's words.

use std::borrow::Cow;
use std::fmt;

/// An error reply without its leading `-`; the first word is its code. What it repeats of a request
/// may be any bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Cow<'static, [u8]>);

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?})", String::from_utf8_lossy(&self.0))
    }
}

macro_rules! errors {
    ($($name:ident = $text:literal;)*) => {
        impl Error {
            $(pub const $name: Error = Error::fixed($text);)*
        }
    };
}

errors! {
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    SYNTAX = "ERR syntax error";
    NOT_INTEGER = "ERR value is not an integer or out of range";
    NOT_FLOAT = "ERR value is not a valid float";
    NOT_SYMMETRIC = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    OUT_OF_RANGE = "ERR value is out of range";
    NO_SUCH_KEY = "ERR no such key";
    INDEX_RANGE = "ERR index out of range";
    OVERFLOW = "ERR increment or decrement would overflow";
    STRING_TOO_LONG = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    DB_INDEX = "ERR DB index is out of range";
    SAME_OBJECT = "ERR source and destination objects are the same";
}

impl Error {
    pub fn new(text: impl Into<Cow<'static, str>>) -> Error {
        Error(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// A text for a table of constants.
    pub const fn fixed(text: &'static str) -> Error {
        Error(Cow::Borrowed(text.as_bytes()))
    }

    pub fn bytes(text: Vec<u8>) -> Error {
        Error(Cow::Owned(text))
    }

    /// A text around bytes that a client sent, up to the first zero, which ends a string for Redis.
    pub fn showing(before: &str, word: &[u8], after: &str) -> Error {
        let word = word.split(|b| *b == 0).next().unwrap_or_default();
        Error::bytes([before.as_bytes(), word, after.as_bytes()].concat())
    }

    /// The number of arguments is not one that `name` takes; `name` in lower case, with its
    /// container before a `|`.
    pub fn arity(name: &str) -> Error {
        Error::new(format!(
            "ERR wrong number of arguments for '{name}' command"
        ))
    }

    /// The expiry cannot be represented.
    pub fn invalid_expire(name: &str) -> Error {
        Error::new(format!("ERR invalid expire time in '{name}' command"))
    }

    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

impl From<store::WrongType> for Error {
    fn from(_: store::WrongType) -> Error {
        Error::WRONG_TYPE
    }
}
