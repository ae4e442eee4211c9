//! The library `struct`: numbers and strings in binary records, as Roberto Ierusalimschy's `struct`
//! packs and unpacks them, on a 64-bit little-endian machine.
//!
//! | option | is |
//! | --- | --- |
//! | `>` `<` `!n` space | big endian, little endian, alignment, nothing |
//! | `b` `h` `l` `T` `in` | integers of 1, 2, 8, 8, n bytes; in capitals unsigned |
//! | `f` `d` `x` | float, double, a byte of padding |
//! | `cn` `s` | n characters, a string with a zero behind it |

use crate::globals::register;
use crate::lua::{Lua, Type};
use crate::native::{
    Native, Raise, as_c_integer, as_c_string, check_bytes, check_integer, check_number,
};
use crate::vm::Core;

const INTEGER_SIZE_MAX: usize = 32;

/// What `!` alone means.
const ALIGN_DEFAULT: usize = 8;

const FUNCTIONS: &[(&str, Native)] = &[("pack", pack), ("unpack", unpack), ("size", size)];

pub fn open(lua: Lua) {
    lua.new_table(0, FUNCTIONS.len());
    register(lua, FUNCTIONS);
}

/// Goes through a format.
struct Format<'a> {
    rest: &'a [u8],
    big_endian: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn of(text: &'a [u8]) -> Format<'a> {
        Format {
            rest: as_c_string(text),
            big_endian: false,
            align: 1,
        }
    }

    /// The next option and its size.
    fn next(&mut self) -> Result<Option<(u8, usize)>, Raise> {
        let Some((&option, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_SIZE_MAX {
                    return Err(Raise::text(format!(
                        "integral size {size} is larger than limit of {INTEGER_SIZE_MAX}"
                    )));
                }
                size
            }
            _ => 0,
        };
        Ok(Some((option, size)))
    }

    fn number(&mut self, default: usize) -> Result<usize, Raise> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (text, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let mut n = 0usize;
        for digit in text {
            n = n * 10 + usize::from(digit - b'0');
            if n > i32::MAX as usize {
                return Err(Raise::text("integral size overflow"));
            }
        }
        Ok(n)
    }

    /// Padding before something of this size, at this place.
    fn padding(&self, at: usize, option: u8, size: usize) -> usize {
        if size == 0 || option == b'c' {
            return 0;
        }
        let size = size.min(self.align);
        size.wrapping_sub(at & (size - 1)) & (size - 1)
    }

    /// An option that is no value.
    fn control(&mut self, option: u8) -> Result<(), Raise> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let align = self.number(ALIGN_DEFAULT)?;
                if !align.is_power_of_two() {
                    return Err(Raise::text(format!(
                        "alignment {align} is not a power of 2"
                    )));
                }
                self.align = align;
            }
            _ => {
                let why = format!("invalid format option '{}'", char::from(option));
                return Err(Raise::argument(1, why));
            }
        }
        Ok(())
    }

    /// Bytes in the order that is asked for, from those of a little-endian machine.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }
}

fn pack(lua: Lua, core: &Core) -> Result<i32, Raise> {
    let mut format = Format::of(check_bytes(lua, 1)?);
    // An argument that is missing is said to be nil.
    lua.push_nil();
    let mut out: Vec<u8> = Vec::new();
    let mut argument = 2;
    while let Some((option, size)) = format.next()? {
        let padding = format.padding(out.len(), option, size);
        out.resize(out.len() + padding, 0);
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = check_number(lua, argument)?;
                argument += 1;
                pack_integer(&mut out, number, size, format.big_endian);
            }
            b'x' => out.push(0),
            b'f' => {
                let number = check_number(lua, argument)? as f32;
                argument += 1;
                out.extend_from_slice(&format.ordered(number.to_le_bytes()));
            }
            b'd' => {
                let number = check_number(lua, argument)?;
                argument += 1;
                out.extend_from_slice(&format.ordered(number.to_le_bytes()));
            }
            b'c' | b's' => {
                let bytes = check_bytes(lua, argument)?;
                argument += 1;
                let size = if size == 0 { bytes.len() } else { size };
                let Some(bytes) = bytes.get(..size) else {
                    return Err(Raise::argument(argument, "string too short"));
                };
                out.extend_from_slice(bytes);
                if option == b's' {
                    out.push(0);
                }
            }
            _ => format.control(option)?,
        }
        if core.is_full(out.len()) {
            return Err(Raise::Memory);
        }
    }
    lua.push_bytes(&out);
    Ok(1)
}

fn pack_integer(out: &mut Vec<u8>, number: f64, size: usize, big_endian: bool) {
    let value = match number < 0.0 || number.is_nan() {
        true => as_c_integer(number) as u64,
        false => number as u64,
    };
    let byte = |n: usize| if n < 8 { (value >> (8 * n)) as u8 } else { 0 };
    match big_endian {
        true => out.extend((0..size).rev().map(byte)),
        false => out.extend((0..size).map(byte)),
    }
}

fn unpack(lua: Lua, _: &Core) -> Result<i32, Raise> {
    let mut format = Format::of(check_bytes(lua, 1)?);
    let data = check_bytes(lua, 2)?;
    let first = match lua.kind(3) {
        Type::None | Type::Nil => 1,
        _ => check_integer(lua, 3)?,
    };
    if first == 0 {
        return Err(Raise::argument(3, "offset must be 1 or greater"));
    }
    // Whatever is before the beginning is as good as behind the end.
    let mut at = usize::try_from(first - 1).unwrap_or(usize::MAX / 2);
    lua.set_top(2);
    let mut count = 0;
    let short = || Raise::argument(2, "data string too short");
    while let Some((option, mut size)) = format.next()? {
        at = at.saturating_add(format.padding(at, option, size));
        let mut bytes = slice(data, at, size).ok_or_else(short)?;
        if !lua.reserve(3) {
            return Err(Raise::text("stack overflow (too many results)"));
        }
        match option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let signed = option.is_ascii_lowercase();
                lua.push_number(unpack_integer(bytes, signed, format.big_endian));
                count += 1;
            }
            b'x' => {}
            b'f' => {
                let bytes = <[u8; 4]>::try_from(bytes).unwrap_or_default();
                lua.push_number(f64::from(f32::from_le_bytes(format.ordered(bytes))));
                count += 1;
            }
            b'd' => {
                let bytes = <[u8; 8]>::try_from(bytes).unwrap_or_default();
                lua.push_number(f64::from_le_bytes(format.ordered(bytes)));
                count += 1;
            }
            b'c' => {
                if size == 0 {
                    if count == 0 || !lua.is_numeric(-1) {
                        return Err(Raise::text("format 'c0' needs a previous size"));
                    }
                    size = usize::try_from(as_c_integer(lua.number(-1))).map_err(|_| short())?;
                    lua.pop(1);
                    count -= 1;
                    bytes = slice(data, at, size).ok_or_else(short)?;
                }
                lua.push_bytes(bytes);
                count += 1;
            }
            b's' => {
                let rest = data.get(at..).unwrap_or_default();
                let Some(len) = rest.iter().position(|&b| b == 0) else {
                    return Err(Raise::text("unfinished string in data"));
                };
                lua.push_bytes(&rest[..len]);
                size = len + 1;
                count += 1;
            }
            _ => format.control(option)?,
        }
        at += size;
    }
    lua.push_number((at + 1) as f64);
    Ok(count + 1)
}

fn slice(data: &[u8], at: usize, size: usize) -> Option<&[u8]> {
    data.get(at..at.checked_add(size)?)
}

fn unpack_integer(bytes: &[u8], signed: bool, big_endian: bool) -> f64 {
    let join = |whole: u64, byte: &u8| whole << 8 | u64::from(*byte);
    let value = match big_endian {
        true => bytes.iter().fold(0, join),
        false => bytes.iter().rev().fold(0, join),
    };
    if !signed {
        return value as f64;
    }
    let unused = 64 - 8 * bytes.len().clamp(1, 8) as u32;
    ((value << unused) as i64 >> unused) as f64
}

fn size(lua: Lua, _: &Core) -> Result<i32, Raise> {
    let mut format = Format::of(check_bytes(lua, 1)?);
    let mut at = 0usize;
    while let Some((option, size)) = format.next()? {
        at = at.saturating_add(format.padding(at, option, size));
        match option {
            b's' => return Err(Raise::argument(1, "option 's' has no fixed size")),
            b'c' if size == 0 => {
                return Err(Raise::argument(1, "option 'c0' has no fixed size"));
            }
            _ if option.is_ascii_alphanumeric() => {}
            _ => format.control(option)?,
        }
        at = at.saturating_add(size);
    }
    lua.push_number(at as f64);
    Ok(1)
}
