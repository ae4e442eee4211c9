//! What is wrong with a dump.

use std::fmt;
use std::io;

#[derive(Debug)]
pub enum Error {
    Io(io::Error),
    /// The bytes end within something.
    Truncated,
    /// This is not as it must be.
    Corrupt(&'static str),
    /// A collection without elements, which cannot be.
    Empty,
    /// A type or an opcode that nobody has written yet.
    Unknown(u8),
    /// A value of this module.
    Module(String),
    /// It does not begin as a dump does.
    Signature,
    Version(u32),
    Checksum {
        expected: u64,
        found: u64,
    },
}

/// An error that names what is not as it must be.
#[cold]
pub(crate) fn corrupt(what: &'static str) -> Error {
    Error::Corrupt(what)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(e) => e.fmt(f),
            Error::Truncated => f.write_str("Unexpected EOF reading RDB file"),
            Error::Corrupt(what) => write!(f, "Internal error in RDB reading: {what} is corrupt"),
            Error::Empty => f.write_str("Internal error in RDB reading: a key has no elements"),
            Error::Unknown(code) => write!(f, "Unknown RDB encoding type {code}"),
            Error::Module(name) => write!(
                f,
                "The RDB file contains module data I can't load: no matching module type '{name}'"
            ),
            Error::Signature => f.write_str("Wrong signature trying to load DB from file"),
            Error::Version(version) => write!(f, "Can't handle RDB format version {version}"),
            Error::Checksum { expected, found } => write!(
                f,
                "Wrong RDB checksum expected: ({expected:x}) but got ({found:x})"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Error {
        match e.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated,
            _ => Error::Io(e),
        }
    }
}

impl From<store::listpack::Corrupt> for Error {
    fn from(_: store::listpack::Corrupt) -> Error {
        Error::Corrupt("a packed collection")
    }
}
