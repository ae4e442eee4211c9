//! The library `cjson`: JSON with the conversions, settings and texts of lua-cjson 2.1.0.

mod decode;
mod encode;

use crate::lua::{Lua, Type};
use crate::native::{Native, Raise, check_bytes, check_int};
use crate::vm::Core;

/// The settings of one `cjson` table: its functions' second upvalue.
#[derive(Clone, Copy)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i32,
    sparse_safe: i32,
    encode_max_depth: i32,
    decode_max_depth: i32,
    encode_invalid: Invalid,
    decode_invalid: bool,
    keep_buffer: bool,
    precision: i32,
}

/// What is done with infinities and NaN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refuse,
    Write,
    Null,
}

const DEFAULT: Settings = Settings {
    sparse_convert: false,
    sparse_ratio: 2,
    sparse_safe: 10,
    encode_max_depth: 1000,
    decode_max_depth: 1000,
    encode_invalid: Invalid::Refuse,
    decode_invalid: true,
    keep_buffer: true,
    precision: 14,
};

const FUNCTIONS: &[(&str, Native)] = &[
    ("encode", encode::encode),
    ("decode", decode::decode),
    ("encode_sparse_array", encode_sparse_array),
    ("encode_max_depth", encode_max_depth),
    ("decode_max_depth", decode_max_depth),
    ("encode_number_precision", encode_number_precision),
    ("encode_keep_buffer", encode_keep_buffer),
    ("encode_invalid_numbers", encode_invalid_numbers),
    ("decode_invalid_numbers", decode_invalid_numbers),
    ("new", new),
];

pub fn open(lua: Lua) {
    lua.new_table(0, FUNCTIONS.len() + 3);
    lua.push_plain(DEFAULT);
    for (name, function) in FUNCTIONS {
        lua.push_value(-1);
        lua.push_native(*function, 1);
        lua.set_field(-3, name.as_bytes());
    }
    lua.pop(1);
    lua.push_null();
    lua.set_field(-2, b"null");
    lua.push_bytes(b"cjson");
    lua.set_field(-2, b"_NAME");
    lua.push_bytes(b"2.1.0");
    lua.set_field(-2, b"_VERSION");
}

/// Another table with settings of its own.
fn new(lua: Lua, _: &Core) -> Result<i32, Raise> {
    open(lua);
    Ok(1)
}

/// The settings, and the arguments filled up with nil.
fn settings<'a>(lua: Lua, arguments: i32) -> Result<&'a mut Settings, Raise> {
    if lua.top() > arguments {
        return Err(Raise::argument(arguments + 1, "found too many arguments"));
    }
    lua.set_top(arguments);
    let settings = lua.plain_upvalue::<Settings>(2);
    settings.ok_or_else(|| Raise::text("BUG: Unable to fetch CJSON configuration"))
}

fn integer(lua: Lua, index: i32, setting: &mut i32, min: i32, max: i32) -> Result<(), Raise> {
    if lua.kind(index) != Type::Nil {
        let value = check_int(lua, index)?;
        if !(min..=max).contains(&value) {
            let why = format!("expected integer between {min} and {max}");
            return Err(Raise::argument(1, why));
        }
        *setting = value;
    }
    lua.push_number(f64::from(*setting));
    Ok(())
}

/// An option by its name, or by a boolean: false is the first, true is `on`.
fn choice(lua: Lua, index: i32, names: &[&str], on: usize, now: usize) -> Result<usize, Raise> {
    let chosen = match lua.kind(index) {
        Type::Nil => now,
        Type::Boolean => usize::from(lua.boolean(index)) * on,
        _ => {
            let given = check_bytes(lua, index)?;
            let found = names.iter().position(|name| name.as_bytes() == given);
            found.ok_or_else(|| {
                let given = String::from_utf8_lossy(given);
                Raise::argument(index, format!("invalid option '{given}'"))
            })?
        }
    };
    match chosen == 0 || chosen == on {
        true => lua.push_boolean(chosen == on),
        false => lua.push_bytes(names[chosen].as_bytes()),
    }
    Ok(chosen)
}

fn switch(lua: Lua, index: i32, setting: &mut bool) -> Result<(), Raise> {
    *setting = choice(lua, index, &["off", "on"], 1, usize::from(*setting))? == 1;
    Ok(())
}

fn encode_sparse_array(lua: Lua, _: &Core) -> Result<i32, Raise> {
    let settings = settings(lua, 3)?;
    switch(lua, 1, &mut settings.sparse_convert)?;
    integer(lua, 2, &mut settings.sparse_ratio, 0, i32::MAX)?;
    integer(lua, 3, &mut settings.sparse_safe, 0, i32::MAX)?;
    Ok(3)
}

fn encode_max_depth(lua: Lua, _: &Core) -> Result<i32, Raise> {
    integer(lua, 1, &mut settings(lua, 1)?.encode_max_depth, 1, i32::MAX)?;
    Ok(1)
}

fn decode_max_depth(lua: Lua, _: &Core) -> Result<i32, Raise> {
    integer(lua, 1, &mut settings(lua, 1)?.decode_max_depth, 1, i32::MAX)?;
    Ok(1)
}

fn encode_number_precision(lua: Lua, _: &Core) -> Result<i32, Raise> {
    integer(lua, 1, &mut settings(lua, 1)?.precision, 1, 14)?;
    Ok(1)
}

/// There is no buffer to keep; scripts may ask all the same.
fn encode_keep_buffer(lua: Lua, _: &Core) -> Result<i32, Raise> {
    switch(lua, 1, &mut settings(lua, 1)?.keep_buffer)?;
    Ok(1)
}

fn encode_invalid_numbers(lua: Lua, _: &Core) -> Result<i32, Raise> {
    let settings = settings(lua, 1)?;
    let options = [Invalid::Refuse, Invalid::Write, Invalid::Null];
    let now = options.iter().position(|o| *o == settings.encode_invalid);
    let chosen = choice(lua, 1, &["off", "on", "null"], 1, now.unwrap_or(0))?;
    settings.encode_invalid = options[chosen];
    Ok(1)
}

fn decode_invalid_numbers(lua: Lua, _: &Core) -> Result<i32, Raise> {
    switch(lua, 1, &mut settings(lua, 1)?.decode_invalid)?;
    Ok(1)
}
