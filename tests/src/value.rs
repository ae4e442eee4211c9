//! Replies as they came over the wire, every RESP2 and RESP3 type apart.

use std::fmt;

/// One reply. Two replies are equal only if they were the same bytes on the wire, so the three
/// forms of nothing differ; [`crate::notation::Pattern`] is where they are alike.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    /// An error sent as a bulk (`!`).
    BulkError(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    Bool(bool),
    /// The digits as they were sent, because they too have to agree.
    Double(Vec<u8>),
    BigNumber(Vec<u8>),
    /// The three-letter format and the text.
    Verbatim(Vec<u8>, Vec<u8>),
    Array(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Map(Vec<(Value, Value)>),
    /// Attributes and the reply that they are about.
    Attribute(Vec<(Value, Value)>, Box<Value>),
    /// No reply: the server closed the connection instead.
    Closed,
}

impl Value {
    pub fn ok() -> Value {
        Value::Simple(b"OK".to_vec())
    }

    pub fn bulk(text: impl AsRef<[u8]>) -> Value {
        Value::Bulk(text.as_ref().to_vec())
    }

    pub fn error(text: impl AsRef<[u8]>) -> Value {
        Value::Error(text.as_ref().to_vec())
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_) | Value::BulkError(_))
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::NullBulk | Value::NullArray)
    }

    /// The text of a string of any type, or of an error.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(t) | Value::Error(t) | Value::BulkError(t) | Value::Bulk(t) => Some(t),
            Value::Double(t) | Value::BigNumber(t) | Value::Verbatim(_, t) => Some(t),
            _ => None,
        }
    }

    /// [`Value::text`] of a reply that is known to have one.
    pub fn string(&self) -> String {
        match self.text() {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => panic!("a string was expected, not {self}"),
        }
    }

    /// The number of an integer reply.
    pub fn int(&self) -> i64 {
        match self {
            Value::Int(n) => *n,
            other => panic!("an integer was expected, not {other}"),
        }
    }

    /// The elements of an array, a set or a push.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items,
            other => panic!("an array was expected, not {other}"),
        }
    }

    /// Pairs of a map, or of an array that stands for one in RESP2.
    pub fn pairs(&self) -> Vec<(Value, Value)> {
        match self {
            Value::Map(pairs) => pairs.clone(),
            Value::Array(items) if items.len().is_multiple_of(2) => items
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
            other => panic!("a map was expected, not {other}"),
        }
    }

    /// The value beside a name in a map.
    pub fn field(&self, name: &str) -> Option<Value> {
        let pairs = self.pairs();
        pairs
            .into_iter()
            .find(|(key, _)| key.text() == Some(name.as_bytes()))
            .map(|(_, v)| v)
    }

    /// The same reply with the elements of its arrays in order, for replies whose order is free.
    pub fn sorted(self) -> Value {
        match self {
            Value::Array(items) => Value::Array(sorted(items)),
            Value::Set(items) => Value::Set(sorted(items)),
            Value::Map(mut pairs) => {
                pairs.sort();
                Value::Map(pairs)
            }
            other => other,
        }
    }

    /// The notation, cut to what one can read in a failure's report.
    pub fn shown(&self) -> String {
        let whole = self.to_string();
        match whole.char_indices().nth(2 * SHOWN) {
            Some((end, _)) => format!("{}… ({} characters)", &whole[..end], whole.len()),
            None => whole,
        }
    }
}

fn sorted(items: Vec<Value>) -> Vec<Value> {
    let mut items: Vec<Value> = items.into_iter().map(Value::sorted).collect();
    items.sort();
    items
}

/// Longest string that is shown whole.
const SHOWN: usize = 400;

/// Bytes between double quotes, escaped as `redis-cli` does, a long string cut.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in &bytes[..bytes.len().min(SHOWN)] {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte as char]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    if bytes.len() > SHOWN {
        out.push_str(&format!("… ({} bytes)", bytes.len()));
    }
    out
}

fn list(f: &mut fmt::Formatter<'_>, open: &str, items: &[Value]) -> fmt::Result {
    f.write_str(open)?;
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
    }
    f.write_str("]")
}

fn map(f: &mut fmt::Formatter<'_>, open: &str, pairs: &[(Value, Value)]) -> fmt::Result {
    f.write_str(open)?;
    for (i, (key, value)) in pairs.iter().enumerate() {
        write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
    }
    f.write_str("}")
}

/// The notation of [`crate::notation`], with the three forms of nothing told apart.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |t: &[u8]| quoted(t).trim_matches('"').replace("\\\"", "\"");
        match self {
            Value::Simple(t) => write!(f, "+{}", plain(t)),
            Value::Error(t) => write!(f, "-{}", plain(t)),
            Value::BulkError(t) => write!(f, "!{}", plain(t)),
            Value::Int(n) => write!(f, ":{n}"),
            Value::Bulk(t) => f.write_str(&quoted(t)),
            Value::NullBulk => f.write_str("nil ($-1)"),
            Value::NullArray => f.write_str("nil (*-1)"),
            Value::Null => f.write_str("nil (_)"),
            Value::Bool(b) => f.write_str(if *b { "#t" } else { "#f" }),
            Value::Double(t) => write!(f, ",{}", plain(t)),
            Value::BigNumber(t) => write!(f, "({}", plain(t)),
            Value::Verbatim(format, t) => write!(f, "={}:{}", plain(format), quoted(t)),
            Value::Array(items) => list(f, "[", items),
            Value::Set(items) => list(f, "~[", items),
            Value::Push(items) => list(f, ">[", items),
            Value::Map(pairs) => map(f, "{", pairs),
            Value::Attribute(pairs, value) => {
                map(f, "|{", pairs)?;
                write!(f, " {value}")
            }
            Value::Closed => f.write_str("closed"),
        }
    }
}

/// What a failed assertion shows: the notation, not the variants' names.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}
