//! Replies made of all that an encoder can write, and what a client should read. Shared with the
//! fuzz targets.

use crate::decoder::Value;
use bytes::Bytes;
use resp::{Protocol, Reply};

/// Something to write.
#[derive(Clone, Debug)]
pub enum Item {
    Ok,
    Simple(String),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    /// This many of that byte, which may be shared instead of copied.
    Shared(usize, u8),
    BulkInt(i64),
    Null,
    NullArray,
    Bool(bool),
    Double(String),
    BigNumber(String),
    Verbatim(Vec<u8>),
    Array(Vec<Item>, Close),
    Map(Vec<(Item, Item)>, Close),
    Set(Vec<Item>, Close),
    Push(Vec<Item>),
    /// Left out under RESP2, as its callers do.
    Attributed(Box<(Item, Item)>, Box<Item>),
    /// Written, and taken back.
    Withdrawn(Vec<Item>, Box<Item>),
}

/// When the length of an aggregate is written.
#[derive(Clone, Copy, Debug)]
pub enum Close {
    First,
    Last,
}

/// Writes `item`.
pub fn write(reply: &mut Reply, item: &Item) {
    match item {
        Item::Ok => reply.ok(),
        Item::Simple(text) => reply.simple(text),
        Item::Error(text) => reply.error(text),
        Item::Int(v) => reply.int(*v),
        Item::Bulk(value) => reply.bulk(value),
        Item::Shared(len, fill) => reply.bulk_shared(Bytes::from(vec![*fill; *len])),
        Item::BulkInt(v) => reply.bulk_int(*v),
        Item::Null => reply.null(),
        Item::NullArray => reply.null_array(),
        Item::Bool(v) => reply.boolean(*v),
        Item::Double(text) => reply.double_text(text.as_bytes()),
        Item::BigNumber(digits) => reply.big_number(digits.as_bytes()),
        Item::Verbatim(text) => reply.verbatim(b"txt", text),
        Item::Array(items, close) => aggregate(
            reply,
            items.iter(),
            |reply, mark| match mark {
                None => reply.array(items.len()),
                Some(mark) => reply.close_array(mark, items.len()),
            },
            *close,
        ),
        Item::Set(items, close) => aggregate(
            reply,
            items.iter(),
            |reply, mark| match mark {
                None => reply.set(items.len()),
                Some(mark) => reply.close_set(mark, items.len()),
            },
            *close,
        ),
        Item::Map(pairs, close) => {
            let items = pairs.iter().flat_map(|(k, v)| [k, v]);
            aggregate(
                reply,
                items,
                |reply, mark| match mark {
                    None => reply.map(pairs.len()),
                    Some(mark) => reply.close_map(mark, pairs.len()),
                },
                *close,
            );
        }
        Item::Push(items) => {
            reply.push(items.len());
            items.iter().for_each(|i| write(reply, i));
        }
        Item::Attributed(pair, value) => {
            if reply.protocol() == Protocol::Resp3 {
                reply.attribute(1);
                write(reply, &pair.0);
                write(reply, &pair.1);
            }
            write(reply, value);
        }
        Item::Withdrawn(items, value) => {
            let mark = reply.mark();
            items.iter().for_each(|i| write(reply, i));
            reply.rewind(mark);
            write(reply, value);
        }
    }
}

/// Writes the elements, and the header before or after them.
fn aggregate<'a>(
    reply: &mut Reply,
    items: impl Iterator<Item = &'a Item>,
    header: impl Fn(&mut Reply, Option<resp::reply::Mark>),
    close: Close,
) {
    let mark = reply.mark();
    if let Close::First = close {
        header(reply, None);
    }
    items.for_each(|i| write(reply, i));
    if let Close::Last = close {
        header(reply, Some(mark));
    }
}

/// What a client reads.
pub fn expected(item: &Item, resp3: bool) -> Value {
    let all = |items: &[Item]| items.iter().map(|i| expected(i, resp3)).collect::<Vec<_>>();
    let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
    match item {
        Item::Ok => Value::Simple(b"OK".to_vec()),
        Item::Simple(text) => Value::Simple(text.as_bytes().to_vec()),
        Item::Error(text) => {
            let is_end = |c: &u8| matches!(c, b'\r' | b'\n');
            let kept = text.iter().rposition(|c| !is_end(c)).map_or(0, |i| i + 1);
            let blank = |c: &u8| if is_end(c) { b' ' } else { *c };
            Value::Error(text[..kept].iter().map(blank).collect())
        }
        Item::Int(v) => Value::Int(*v),
        Item::Bulk(value) => Value::Bulk(value.clone()),
        Item::Shared(len, fill) => Value::Bulk(vec![*fill; *len]),
        Item::BulkInt(v) => bulk(&v.to_string()),
        Item::Null | Item::NullArray if resp3 => Value::Null,
        Item::Null => Value::NullBulk,
        Item::NullArray => Value::NullArray,
        Item::Bool(v) if resp3 => Value::Bool(*v),
        Item::Bool(v) => Value::Int((*v).into()),
        Item::Double(text) if resp3 => Value::Double(text.as_bytes().to_vec()),
        Item::Double(text) => bulk(text),
        Item::BigNumber(digits) if resp3 => Value::BigNumber(digits.as_bytes().to_vec()),
        Item::BigNumber(digits) => bulk(digits),
        Item::Verbatim(text) if resp3 => Value::Verbatim(*b"txt", text.clone()),
        Item::Verbatim(text) => Value::Bulk(text.clone()),
        Item::Set(items, _) if resp3 => Value::Set(all(items)),
        Item::Push(items) if resp3 => Value::Push(all(items)),
        Item::Array(items, _) | Item::Set(items, _) | Item::Push(items) => Value::Array(all(items)),
        Item::Map(pairs, _) => {
            let items = pairs.iter().flat_map(|(k, v)| [k, v]);
            let values = items.map(|i| expected(i, resp3)).collect();
            if resp3 {
                Value::Map(values)
            } else {
                Value::Array(values)
            }
        }
        Item::Attributed(pair, value) if resp3 => Value::Attributed(
            vec![expected(&pair.0, true), expected(&pair.1, true)],
            Box::new(expected(value, true)),
        ),
        Item::Attributed(_, value) | Item::Withdrawn(_, value) => expected(value, resp3),
    }
}
