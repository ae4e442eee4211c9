//! The library `cmsgpack`: MessagePack as lua-cmsgpack 0.4.0 writes and reads it.

use crate::globals::register;
use crate::lua::{Lua, Type};
use crate::native::{Native, Raise, as_c_int, as_c_integer, check_bytes, check_integer};
use crate::vm::Core;

/// Tables in tables below this are packed as nil, so that tables in themselves have an end.
const PACK_DEPTH_MAX: u32 = 16;

/// Elements for which there is room in a table before they are read.
const PREPARED_MAX: usize = 1024;

const FUNCTIONS: &[(&str, Native)] = &[
    ("pack", pack),
    ("unpack", unpack),
    ("unpack_one", unpack_one),
    ("unpack_limit", unpack_limit),
];

const WORDS: &[(&str, &str)] = &[
    ("_NAME", "cmsgpack"),
    ("_VERSION", "lua-cmsgpack 0.4.0"),
    ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
    ("_DESCRIPTION", "MessagePack C implementation for Lua"),
];

pub fn open(lua: Lua) {
    lua.new_table(0, FUNCTIONS.len() + WORDS.len());
    register(lua, FUNCTIONS);
    for (name, text) in WORDS {
        lua.push_bytes(text.as_bytes());
        lua.set_field(-2, name.as_bytes());
    }
}

fn pack(lua: Lua, core: &Core) -> Result<i32, Raise> {
    let count = lua.top();
    if count == 0 {
        return Err(Raise::argument(0, "MessagePack pack needs input."));
    }
    if !lua.reserve(4) {
        return Err(Raise::argument(
            0,
            "Too many arguments for MessagePack pack.",
        ));
    }
    let mut out = Vec::new();
    for index in 1..=count {
        lua.push_value(index);
        pack_value(lua, core, &mut out, 0)?;
    }
    lua.push_bytes(&out);
    Ok(1)
}

/// Packs the value on the top of the stack and takes it.
fn pack_value(lua: Lua, core: &Core, out: &mut Vec<u8>, depth: u32) -> Result<(), Raise> {
    match lua.kind(-1) {
        Type::String => pack_bytes(out, lua.bytes(-1).unwrap_or_default()),
        Type::Boolean => out.push(if lua.boolean(-1) { 0xc3 } else { 0xc2 }),
        Type::Number => pack_number(out, lua.number(-1)),
        Type::Table if depth < PACK_DEPTH_MAX => {
            if !lua.reserve(5) {
                return Err(Raise::text(
                    "stack overflow (in function mp_encode_lua_table_as_map)",
                ));
            }
            match array_length(lua) {
                Some(len) => {
                    pack_length(out, len, 0x90, 0xdc);
                    for n in 1..=len {
                        lua.raw_get_at(-1, i32::try_from(n).unwrap_or(0));
                        pack_value(lua, core, out, depth + 1)?;
                    }
                }
                None => pack_map(lua, core, out, depth)?,
            }
        }
        _ => out.push(0xc0),
    }
    lua.pop(1);
    match core.is_full(out.len()) {
        true => Err(Raise::Memory),
        false => Ok(()),
    }
}

fn pack_map(lua: Lua, core: &Core, out: &mut Vec<u8>, depth: u32) -> Result<(), Raise> {
    let mut len = 0;
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        len += 1;
    }
    pack_length(out, len, 0x80, 0xde);
    lua.push_nil();
    while lua.next(-2) {
        lua.push_value(-2);
        pack_value(lua, core, out, depth + 1)?;
        pack_value(lua, core, out, depth + 1)?;
    }
    Ok(())
}

/// Elements of the table on the top of the stack, if its keys are 1 to that number.
fn array_length(lua: Lua) -> Option<usize> {
    let (mut count, mut max) = (0usize, 0i32);
    lua.push_nil();
    while lua.next(-2) {
        lua.pop(1);
        let key = match lua.kind(-1) {
            Type::Number => lua.number(-1),
            _ => -1.0,
        };
        let whole = as_c_int(key);
        if key <= 0.0 || f64::from(whole) != key {
            lua.pop(1);
            return None;
        }
        max = max.max(whole);
        count += 1;
    }
    (usize::try_from(max) == Ok(count)).then_some(count)
}

/// The head of an array or a map: up to 15 in the byte itself, above that in 16 or 32 bits.
fn pack_length(out: &mut Vec<u8>, len: usize, short: u8, long: u8) {
    match len {
        0..=15 => out.push(short | len as u8),
        16..=0xffff => {
            out.push(long);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(long + 1);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

fn pack_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len => pack_length(out, len, 0xda, 0xda),
    }
    out.extend_from_slice(bytes);
}

fn pack_number(out: &mut Vec<u8>, number: f64) {
    let whole = as_c_integer(number);
    if whole as f64 == number {
        return pack_integer(out, whole);
    }
    let single = number as f32;
    if f64::from(single) == number {
        out.push(0xca);
        out.extend_from_slice(&single.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn pack_integer(out: &mut Vec<u8>, n: i64) {
    match n {
        -32..=127 => out.push(n as u8),
        128..=0xff => out.extend_from_slice(&[0xcc, n as u8]),
        -128..=-33 => out.extend_from_slice(&[0xd0, n as u8]),
        0x100..=0xffff | -0x8000..=-129 => {
            out.push(if n > 0 { 0xcd } else { 0xd1 });
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff | -0x8000_0000..=-0x8001 => {
            out.push(if n > 0 { 0xce } else { 0xd2 });
            out.extend_from_slice(&(n as u32).to_be_bytes());
        }
        _ => {
            out.push(if n > 0 { 0xcf } else { 0xd3 });
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

fn unpack(lua: Lua, core: &Core) -> Result<i32, Raise> {
    unpack_some(lua, core, 0, 0)
}

fn unpack_one(lua: Lua, core: &Core) -> Result<i32, Raise> {
    let offset = match lua.kind(2) {
        Type::None | Type::Nil => 0,
        _ => check_integer(lua, 2)?,
    };
    unpack_some(lua, core, 1, offset)
}

fn unpack_limit(lua: Lua, core: &Core) -> Result<i32, Raise> {
    let limit = check_integer(lua, 2)?;
    let offset = match lua.kind(3) {
        Type::None | Type::Nil => 0,
        _ => check_integer(lua, 3)?,
    };
    unpack_some(lua, core, limit, offset)
}

/// Unpacks up to `limit` values from `offset` on, behind the place at which to go on; or everything,
/// without a place, if both are 0.
fn unpack_some(lua: Lua, core: &Core, limit: i64, offset: i64) -> Result<i32, Raise> {
    let bytes = check_bytes(lua, 1)?;
    let all = limit == 0 && offset == 0;
    if offset < 0 || limit < 0 {
        return Err(Raise::text(format!(
            "Invalid request to unpack with offset of {} and limit of {}.",
            offset as i32,
            bytes.len()
        )));
    }
    let Some(rest) = bytes.get(offset as usize..) else {
        return Err(Raise::text(format!(
            "Start offset {} greater than input length {}.",
            offset as i32,
            bytes.len()
        )));
    };
    lua.set_top(1);
    let limit = if all { i64::from(i32::MAX) } else { limit };
    let mut reader = Reader { lua, core, rest };
    let mut count = 0;
    while !reader.rest.is_empty() && i64::from(count) < limit {
        reader.value()?;
        count += 1;
    }
    if all {
        return Ok(count);
    }
    let at = bytes.len() - reader.rest.len();
    if !lua.reserve(1) {
        return Err(Raise::text("stack overflow (in function mp_unpack_full)"));
    }
    lua.push_number(if at == bytes.len() { -1.0 } else { at as f64 });
    lua.insert(2);
    Ok(count + 1)
}

struct Reader<'a> {
    lua: Lua,
    core: &'a Core,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Raise> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Raise::text("Missing bytes in input.")),
        }
    }

    fn unsigned(&mut self, size: usize) -> Result<u64, Raise> {
        let bytes = self.take(size)?;
        Ok(bytes.iter().fold(0, |whole, &b| whole << 8 | u64::from(b)))
    }

    fn length(&mut self, size: usize) -> Result<usize, Raise> {
        self.unsigned(size).map(|n| n as usize)
    }

    fn number(&mut self, number: f64) {
        self.lua.push_number(number);
    }

    fn bytes(&mut self, len: usize) -> Result<(), Raise> {
        let bytes = self.take(len)?;
        self.lua.push_bytes(bytes);
        Ok(())
    }

    /// Pushes the next value. As deep as the engine's stack allows for, which is some thousand levels
    /// of these small frames.
    fn value(&mut self) -> Result<(), Raise> {
        if !self.lua.reserve(4) {
            let why = "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";
            return Err(Raise::text(why));
        }
        if self.core.is_full(0) {
            return Err(Raise::Memory);
        }
        let kind = self.unsigned(1)? as u8;
        match kind {
            0x00..=0x7f => self.number(f64::from(kind)),
            0x80..=0x8f => self.map(usize::from(kind & 15))?,
            0x90..=0x9f => self.array(usize::from(kind & 15))?,
            0xa0..=0xbf => self.bytes(usize::from(kind & 31))?,
            0xc0 => self.lua.push_nil(),
            0xc2 | 0xc3 => self.lua.push_boolean(kind == 0xc3),
            0xca => {
                let bits = self.unsigned(4)? as u32;
                self.number(f64::from(f32::from_bits(bits)));
            }
            0xcb => {
                let bits = self.unsigned(8)?;
                self.number(f64::from_bits(bits));
            }
            0xcc..=0xcf => {
                let n = self.unsigned(1 << (kind - 0xcc))?;
                self.number(n as f64);
            }
            0xd0..=0xd3 => {
                let size = 1 << (kind - 0xd0);
                let unused = 64 - 8 * size as u32;
                let n = (self.unsigned(size)? << unused) as i64 >> unused;
                self.number(n as f64);
            }
            0xd9..=0xdb => {
                let len = self.length(1 << (kind - 0xd9))?;
                self.bytes(len)?;
            }
            0xdc | 0xdd => {
                let len = self.length(2 << (kind - 0xdc))?;
                self.array(len)?;
            }
            0xde | 0xdf => {
                let len = self.length(2 << (kind - 0xde))?;
                self.map(len)?;
            }
            0xe0..=0xff => self.number(f64::from(kind as i8)),
            _ => return Err(Raise::text("Bad data format in input.")),
        }
        Ok(())
    }

    fn array(&mut self, len: usize) -> Result<(), Raise> {
        self.lua
            .new_table(len.min(self.rest.len()).min(PREPARED_MAX), 0);
        for n in 1..=len {
            self.value()?;
            self.lua
                .raw_set_at(-2, i32::try_from(n).unwrap_or(i32::MAX));
        }
        Ok(())
    }

    fn map(&mut self, len: usize) -> Result<(), Raise> {
        self.lua
            .new_table(0, len.min(self.rest.len() / 2).min(PREPARED_MAX));
        for _ in 0..len {
            self.value()?;
            self.value()?;
            match self.lua.kind(-2) {
                Type::Nil => return Err(Raise::plain(self.lua, "table index is nil")),
                Type::Number if self.lua.number(-2).is_nan() => {
                    return Err(Raise::plain(self.lua, "table index is NaN"));
                }
                _ => self.lua.raw_set(-3),
            }
        }
        Ok(())
    }
}
