//! The library `bit`: 32-bit operations, with the conversions and texts of Lua BitOp 1.0.2.

use crate::globals::register;
use crate::lua::Lua;
use crate::native::{Native, Raise};
use crate::vm::Core;

const FUNCTIONS: &[(&str, Native)] = &[
    ("tobit", tobit),
    ("bnot", bnot),
    ("band", band),
    ("bor", bor),
    ("bxor", bxor),
    ("lshift", lshift),
    ("rshift", rshift),
    ("arshift", arshift),
    ("rol", rol),
    ("ror", ror),
    ("bswap", bswap),
    ("tohex", tohex),
];

pub fn open(lua: Lua) {
    lua.new_table(0, FUNCTIONS.len());
    register(lua, FUNCTIONS);
}

/// 2^52 + 2^51. Added to a number, it brings the 32 bits that are meant to the end of the mantissa.
const SHIFT: f64 = 6_755_399_441_055_744.0;

fn bits(lua: Lua, index: i32) -> Result<u32, Raise> {
    let bits = (lua.number(index) + SHIFT).to_bits() as u32;
    match bits == 0 && !lua.is_numeric(index) {
        true => Err(Raise::Type(index, "number")),
        false => Ok(bits),
    }
}

fn done(lua: Lua, bits: u32) -> Result<i32, Raise> {
    lua.push_number(f64::from(bits as i32));
    Ok(1)
}

fn fold(lua: Lua, operation: fn(u32, u32) -> u32) -> Result<i32, Raise> {
    let mut whole = bits(lua, 1)?;
    for index in (2..=lua.top()).rev() {
        whole = operation(whole, bits(lua, index)?);
    }
    done(lua, whole)
}

fn shifted(lua: Lua, operation: fn(u32, u32) -> u32) -> Result<i32, Raise> {
    let value = bits(lua, 1)?;
    done(lua, operation(value, bits(lua, 2)? & 31))
}

fn tobit(lua: Lua, _: &Core) -> Result<i32, Raise> {
    done(lua, bits(lua, 1)?)
}

fn bnot(lua: Lua, _: &Core) -> Result<i32, Raise> {
    done(lua, !bits(lua, 1)?)
}

fn band(lua: Lua, _: &Core) -> Result<i32, Raise> {
    fold(lua, |a, b| a & b)
}

fn bor(lua: Lua, _: &Core) -> Result<i32, Raise> {
    fold(lua, |a, b| a | b)
}

fn bxor(lua: Lua, _: &Core) -> Result<i32, Raise> {
    fold(lua, |a, b| a ^ b)
}

fn lshift(lua: Lua, _: &Core) -> Result<i32, Raise> {
    shifted(lua, |value, by| value << by)
}

fn rshift(lua: Lua, _: &Core) -> Result<i32, Raise> {
    shifted(lua, |value, by| value >> by)
}

fn arshift(lua: Lua, _: &Core) -> Result<i32, Raise> {
    shifted(lua, |value, by| (value as i32 >> by) as u32)
}

fn rol(lua: Lua, _: &Core) -> Result<i32, Raise> {
    shifted(lua, u32::rotate_left)
}

fn ror(lua: Lua, _: &Core) -> Result<i32, Raise> {
    shifted(lua, u32::rotate_right)
}

fn bswap(lua: Lua, _: &Core) -> Result<i32, Raise> {
    done(lua, bits(lua, 1)?.swap_bytes())
}

/// As many digits as the second argument says, from the right; upper case if it is negative.
fn tohex(lua: Lua, _: &Core) -> Result<i32, Raise> {
    let value = bits(lua, 1)?;
    let digits = match lua.top() {
        0 | 1 => 8,
        _ => bits(lua, 2)? as i32,
    };
    let text = match digits < 0 {
        true => format!("{value:08X}"),
        false => format!("{value:08x}"),
    };
    let shown = digits.unsigned_abs().min(8) as usize;
    lua.push_bytes(&text.as_bytes()[8 - shown..]);
    Ok(1)
}
