//! Values of Lua as replies, the other way round than [`crate::answer`]. A table's fields decide what
//! it is: `err`, `ok`, `double`, `big_number`, `verbatim_string`, `map`, `set`, in this order; without
//! one of these it is an array, up to the first nil.

use crate::lua::{Lua, Type};
use crate::native::{as_c_integer, as_c_string};
use resp::reply::Mark;
use resp::{Protocol, Reply};
use store::double::Text;

/// An aggregate whose elements are being written; its values are on the stack.
enum Open {
    /// The table, on the top of the stack.
    Array { mark: Mark, len: usize },
    /// The table that stands for it, the map itself, and the key of the pair whose value is due, or
    /// of the one that is written.
    Map {
        mark: Mark,
        len: usize,
        value_due: bool,
    },
    /// The same with a set.
    Set { mark: Mark, len: usize },
}

/// Writes the value on the top of the stack and takes it. `protocol` is what the script has set: it
/// decides how booleans are written.
pub fn write(lua: Lua, protocol: Protocol, reply: &mut Reply) {
    let mut open: Vec<Open> = Vec::new();
    begin(lua, protocol, reply, &mut open);
    while let Some(aggregate) = open.last_mut() {
        let more = match aggregate {
            Open::Array { len, .. } => {
                *len += 1;
                lua.raw_get_at(-1, i32::try_from(*len).unwrap_or(0));
                lua.kind(-1) != Type::Nil
            }
            Open::Map {
                value_due: due @ true,
                ..
            } => {
                *due = false;
                true
            }
            Open::Map { len, value_due, .. } => {
                next(lua) && {
                    *len += 1;
                    *value_due = true;
                    // Stack: map, key, value, and the key to be written.
                    lua.push_value(-2);
                    true
                }
            }
            Open::Set { len, .. } => {
                next(lua) && {
                    *len += 1;
                    lua.pop(1);
                    lua.push_value(-1);
                    true
                }
            }
        };
        if more {
            begin(lua, protocol, reply, &mut open);
            continue;
        }
        match open.pop() {
            Some(Open::Array { mark, len }) => {
                lua.pop(2);
                reply.close_array(mark, len - 1);
            }
            Some(Open::Map { mark, len, .. }) => {
                lua.pop(2);
                reply.close_map(mark, len);
            }
            Some(Open::Set { mark, len }) => {
                lua.pop(2);
                reply.close_set(mark, len);
            }
            None => {}
        }
    }
}

/// The next pair of the table below the key on the top of the stack.
fn next(lua: Lua) -> bool {
    lua.next(-2)
}

/// Writes the value on the top of the stack and takes it, or opens it.
fn begin(lua: Lua, protocol: Protocol, reply: &mut Reply, open: &mut Vec<Open>) {
    if !lua.reserve(4) {
        reply.error(b"ERR reached lua stack limit");
        return lua.pop(1);
    }
    match lua.kind(-1) {
        Type::String => reply.bulk(lua.bytes(-1).unwrap_or_default()),
        Type::Number => reply.int(as_c_integer(lua.number(-1))),
        Type::Boolean => match (protocol, lua.boolean(-1)) {
            (Protocol::Resp3, value) => reply.boolean(value),
            (Protocol::Resp2, true) => reply.int(1),
            (Protocol::Resp2, false) => reply.null(),
        },
        Type::Table => return table(lua, reply, open),
        _ => reply.null(),
    }
    lua.pop(1);
}

fn table(lua: Lua, reply: &mut Reply, open: &mut Vec<Open>) {
    let has = |name: &[u8], kind: Type| {
        if lua.field(-1, name) == kind {
            return true;
        }
        lua.pop(1);
        false
    };
    if has(b"err", Type::String) {
        reply.error(as_c_string(lua.bytes(-1).unwrap_or_default()));
    } else if has(b"ok", Type::String) {
        line(reply, b'+', as_c_string(lua.bytes(-1).unwrap_or_default()));
    } else if has(b"double", Type::Number) {
        let number = lua.number(-1);
        match number.is_nan() {
            true => reply.double_text(b"nan"),
            false => reply.double_text(Text::of(number).bytes()),
        }
    } else if has(b"big_number", Type::String) {
        let digits: Vec<u8> = one_line(lua.bytes(-1).unwrap_or_default()).collect();
        reply.big_number(&digits);
    } else if has(b"verbatim_string", Type::Table) {
        if !verbatim(lua, reply) {
            lua.pop(1);
            return aggregate(lua, reply, open);
        }
    } else {
        return aggregate(lua, reply, open);
    }
    lua.pop(2);
}

fn aggregate(lua: Lua, reply: &mut Reply, open: &mut Vec<Open>) {
    let mark = reply.mark();
    if lua.field(-1, b"map") == Type::Table {
        lua.push_nil();
        return open.push(Open::Map {
            mark,
            len: 0,
            value_due: false,
        });
    }
    lua.pop(1);
    if lua.field(-1, b"set") == Type::Table {
        lua.push_nil();
        return open.push(Open::Set { mark, len: 0 });
    }
    lua.pop(1);
    open.push(Open::Array { mark, len: 0 });
}

/// The table on the top of the stack; false if it is not what a verbatim string is.
fn verbatim(lua: Lua, reply: &mut Reply) -> bool {
    let format = lua.field(-1, b"format") == Type::String;
    let string = lua.field(-2, b"string") == Type::String;
    if format && string {
        let mut three = *b"   ";
        let format = lua.bytes(-2).unwrap_or_default();
        for (to, from) in three.iter_mut().zip(format) {
            *to = *from;
        }
        reply.verbatim(&three, lua.bytes(-1).unwrap_or_default());
    }
    lua.pop(2);
    format && string
}

fn one_line(text: &[u8]) -> impl Iterator<Item = u8> {
    text.iter()
        .map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b })
}

fn line(reply: &mut Reply, kind: u8, text: &[u8]) {
    let mut whole = vec![kind];
    whole.extend(one_line(text));
    whole.extend_from_slice(b"\r\n");
    reply.raw(&whole);
}
