//! Values of modules, which nobody here understands. From Redis 4 on they say how long their parts are.

use crate::error::{Error, corrupt};
use crate::source::{self, Source};

/// What a part of a module's value is.
mod part {
    pub const END: u64 = 0;
    pub const SIGNED: u64 = 1;
    pub const UNSIGNED: u64 = 2;
    pub const FLOAT: u64 = 3;
    pub const DOUBLE: u64 = 4;
    pub const STRING: u64 = 5;
}

/// Passes over a value and answers the error that names its module.
pub fn pass(source: &mut impl Source) -> Result<Error, Error> {
    let id = source::len(source)?;
    skip(source)?;
    Ok(Error::Module(name(id)))
}

/// Passes over the parts of a value.
pub fn skip(source: &mut impl Source) -> Result<(), Error> {
    loop {
        match source::len(source)? {
            part::END => return Ok(()),
            part::SIGNED | part::UNSIGNED => drop(source::len(source)?),
            part::FLOAT => drop(source.take(4)?),
            part::DOUBLE => drop(source.take(8)?),
            part::STRING => source::skip_string(source)?,
            _ => return Err(corrupt("a module's value")),
        }
    }
}

/// The name of a module's type: nine characters of six bits, before ten bits of version.
pub fn name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = |i: u32| char::from(CHARACTERS[(id >> (10 + 6 * i) & 63) as usize]);
    (0..9).rev().map(at).collect()
}
