//! What SCAN, HSCAN, SSCAN and ZSCAN have in common: COUNT and MATCH, and the shape of the reply.

use crate::error::Error;
use resp::number::{Decimal, parse_i64};
use resp::{Args, Reply};
use store::glob::matches;

/// Elements that a call looks at, about, when the client does not say.
const DEFAULT_COUNT: u64 = 10;

pub const INVALID_CURSOR: Error = Error::fixed("ERR invalid cursor");

/// Which names a walk answers: all of them, or those that match.
#[derive(Clone, Copy)]
pub struct Pattern<'a>(Option<&'a [u8]>);

impl<'a> Pattern<'a> {
    /// No pattern and `*` both take any name, the empty one included, which no other pattern of stars
    /// does.
    pub fn new(pattern: Option<&'a [u8]>) -> Pattern<'a> {
        Pattern(pattern.filter(|p| *p != b"*"))
    }

    #[inline]
    pub fn accepts(&self, name: &[u8]) -> bool {
        self.0.is_none_or(|p| matches(p, name, false))
    }
}

/// What stands behind a cursor.
pub struct Options<'a> {
    pub count: u64,
    pub pattern: Pattern<'a>,
}

impl<'a> Options<'a> {
    /// Reads the arguments from `first` on. Those that are not COUNT or MATCH are shown to `other`,
    /// which answers how many it took.
    pub fn parse(
        args: Args<'a>,
        first: usize,
        mut other: impl FnMut(Args<'a>, usize) -> Result<usize, Error>,
    ) -> Result<Options<'a>, Error> {
        let (mut count, mut pattern) = (DEFAULT_COUNT, None);
        let mut i = first;
        while i < args.len() {
            match args.opt(i + 1) {
                Some(value) if args.is(i, "count") => {
                    let n = parse_i64(value).ok_or(Error::NOT_INTEGER)?;
                    count = u64::try_from(n).map_err(|_| Error::SYNTAX)?;
                    if count == 0 {
                        return Err(Error::SYNTAX);
                    }
                    i += 2;
                }
                Some(value) if args.is(i, "match") => {
                    pattern = Some(value);
                    i += 2;
                }
                _ => i += other(args, i)?,
            }
        }
        Ok(Options {
            count,
            pattern: Pattern::new(pattern),
        })
    }

    /// For commands that have no other options.
    pub fn none(_: Args<'a>, _: usize) -> Result<usize, Error> {
        Err(Error::SYNTAX)
    }
}

/// Writes what a call answers: the next cursor, and an array of `n` replies that were written to `found`,
/// because the cursor is known last.
pub fn reply(reply: &mut Reply, cursor: u64, n: usize, found: &Reply) {
    reply.array(2);
    reply.bulk(Decimal::unsigned(cursor).as_bytes());
    reply.array(n);
    reply.raw(found.bytes());
}
