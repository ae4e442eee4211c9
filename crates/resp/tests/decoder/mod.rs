//! Reads replies back, strictly: canonical numbers, `\r\n` everywhere, nothing left over. Shared with
//! the fuzz targets.

use resp::number::{parse_i64, parse_u64};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    Array(Vec<Value>),
    Map(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    /// An attribute and the value that it is about.
    Attributed(Vec<Value>, Box<Value>),
    Bool(bool),
    Double(Vec<u8>),
    BigNumber(Vec<u8>),
    Verbatim([u8; 3], Vec<u8>),
}

/// All values of `wire`, or `None` if it is not a row of whole replies.
pub fn decode_all(wire: &[u8]) -> Option<Vec<Value>> {
    let mut rest = wire;
    let mut values = Vec::new();
    while !rest.is_empty() {
        values.push(decode(&mut rest)?);
    }
    Some(values)
}

fn decode(s: &mut &[u8]) -> Option<Value> {
    let (kind, line) = line(s)?;
    let count = || parse_u64(line).map(|n| n as usize);
    Some(match kind {
        b'+' => Value::Simple(line.to_vec()),
        b'-' => Value::Error(line.to_vec()),
        b':' => Value::Int(parse_i64(line)?),
        b'$' if line == b"-1" => Value::NullBulk,
        b'$' => Value::Bulk(take(s, count()?)?.to_vec()),
        b'*' if line == b"-1" => Value::NullArray,
        b'*' => Value::Array(several(s, count()?)?),
        b'%' => Value::Map(several(s, count()? * 2)?),
        b'~' => Value::Set(several(s, count()?)?),
        b'>' => Value::Push(several(s, count()?)?),
        b'|' => {
            let attribute = several(s, count()? * 2)?;
            Value::Attributed(attribute, Box::new(decode(s)?))
        }
        b'_' if line.is_empty() => Value::Null,
        b'#' if line == b"t" => Value::Bool(true),
        b'#' if line == b"f" => Value::Bool(false),
        b',' => Value::Double(line.to_vec()),
        b'(' => Value::BigNumber(line.to_vec()),
        b'=' => {
            let [a, b, c, b':', text @ ..] = take(s, count()?)? else {
                return None;
            };
            Value::Verbatim([*a, *b, *c], text.to_vec())
        }
        _ => return None,
    })
}

/// The first byte of a line, and what follows it up to the `\r\n`.
fn line<'a>(s: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let end = s.windows(2).position(|w| w == b"\r\n")?;
    let (&kind, line) = s[..end].split_first()?;
    *s = &s[end + 2..];
    (!line.contains(&b'\r') && !line.contains(&b'\n')).then_some((kind, line))
}

/// `n` bytes and a line end.
fn take<'a>(s: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = s.split_at_checked(n)?;
    *s = rest.strip_prefix(b"\r\n")?;
    Some(bytes)
}

fn several(s: &mut &[u8], n: usize) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    for _ in 0..n {
        values.push(decode(s)?);
    }
    Some(values)
}
