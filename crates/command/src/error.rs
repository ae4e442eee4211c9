//! Errors that commands answer, in Redis's words.

use std::borrow::Cow;

/// An error reply without its leading `-`; the first word is its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub Cow<'static, str>);

macro_rules! errors {
    ($($name:ident = $text:literal;)*) => {
        impl Error {
            $(pub const $name: Error = Error(Cow::Borrowed($text));)*
        }
    };
}

errors! {
    WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value";
    SYNTAX = "ERR syntax error";
    NOT_INTEGER = "ERR value is not an integer or out of range";
    NOT_FLOAT = "ERR value is not a valid float";
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
        Error(text.into())
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

    pub fn text(&self) -> &str {
        &self.0
    }

    /// The first word, under which INFO errorstats counts it.
    pub fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or("ERR")
    }
}

impl From<store::WrongType> for Error {
    fn from(_: store::WrongType) -> Error {
        Error::WRONG_TYPE
    }
}
