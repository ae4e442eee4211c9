//! What is answered instead of a result.

use std::fmt;

/// The text of an error reply, with its code as the first word and without the `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Vec<u8>);

impl Error {
    pub(crate) fn new(text: impl Into<Vec<u8>>) -> Error {
        Error(text.into())
    }

    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl std::error::Error for Error {}
