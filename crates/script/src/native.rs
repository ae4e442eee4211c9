//! Functions of scripts that are written in Rust: how they get their arguments, and how they fail.

use crate::ffi::{Control, State};
use crate::lua::{Lua, Type};
use crate::vm::Core;
use std::ffi::{c_int, c_void};

/// Gets its arguments as the stack, leaves results on its top, and answers how many.
pub type Native = fn(Lua, &Core) -> Result<i32, Raise>;

/// The error that a function raises when it has returned.
pub enum Raise {
    /// The value on the top of the stack.
    Value,
    /// A text, before which the engine writes where the script is.
    Text(Vec<u8>),
    /// What is wrong with an argument.
    Argument(i32, String),
    /// The type that an argument should have.
    Type(i32, &'static str),
    /// Out of memory.
    Memory,
    /// The script is being ended.
    End,
}

impl Raise {
    pub fn argument(n: i32, text: impl Into<String>) -> Raise {
        Raise::Argument(n, text.into())
    }

    /// A text as it is.
    pub fn plain(lua: Lua, text: &str) -> Raise {
        lua.push_bytes(text.as_bytes());
        Raise::Value
    }

    pub fn text(text: impl Into<Vec<u8>>) -> Raise {
        Raise::Text(text.into())
    }

    /// An error as `redis.call` raises them: a table.
    pub fn table(lua: Lua, text: &str) -> Raise {
        push_error(lua, text.as_bytes());
        Raise::Value
    }
}

/// A table with the field `err`. A text that begins with `-` has its code as its first word; others
/// get `ERR`.
pub fn push_error(lua: Lua, text: &[u8]) {
    let mut whole = b"ERR ".to_vec();
    match text.strip_prefix(b"-") {
        Some(coded) if coded.contains(&b' ') => {
            whole.clear();
            whole.extend_from_slice(coded);
        }
        Some(word) => whole.extend_from_slice(word),
        None => whole.extend_from_slice(text),
    }
    while whole.last().is_some_and(|b| matches!(b, b'\r' | b'\n')) {
        whole.pop();
    }
    lua.new_table(0, 2);
    lua.push_bytes(&whole);
    lua.set_field(-2, b"err");
}

/// A text up to its first zero byte, where Redis takes it to end.
pub fn as_c_string(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&b| b == 0);
    &text[..end.unwrap_or(text.len())]
}

/// The bytes of a string or number that must be an argument.
pub fn check_bytes<'a>(lua: Lua, index: i32) -> Result<&'a [u8], Raise> {
    match lua.kind(index) {
        Type::String | Type::Number => Ok(lua.bytes(index).unwrap_or_default()),
        _ => Err(Raise::Type(index, "string")),
    }
}

pub fn check_number(lua: Lua, index: i32) -> Result<f64, Raise> {
    if lua.is_numeric(index) {
        Ok(lua.number(index))
    } else {
        Err(Raise::Type(index, "number"))
    }
}

/// As Lua takes integers: towards zero, and what fits nowhere becomes the smallest.
pub fn check_integer(lua: Lua, index: i32) -> Result<i64, Raise> {
    check_number(lua, index).map(as_c_integer)
}

/// The same cut to 32 bits.
pub fn check_int(lua: Lua, index: i32) -> Result<i32, Raise> {
    check_integer(lua, index).map(|n| n as i32)
}

/// A number cast to a 64-bit integer as the processors do that C was compiled for: what does not fit
/// becomes the smallest.
pub fn as_c_integer(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) {
        number as i64
    } else {
        i64::MIN
    }
}

/// The integer as which C's `(int)` takes a number.
pub fn as_c_int(number: f64) -> i32 {
    if number > -2_147_483_649.0 && number < 2_147_483_648.0 {
        number as i32
    } else {
        i32::MIN
    }
}

/// Called by the shim for every function written in Rust.
///
/// # Safety
///
/// `function` is a [`Native`], from [`Lua::push_native`]; `host` is the machine's [`Core`].
#[unsafe(no_mangle)]
unsafe extern "C" fn shoal_native(
    state: *mut State,
    function: *mut c_void,
    host: *mut c_void,
) -> c_int {
    // SAFETY: the shim passes what the caller's contract says, and has set `lenient`. The core
    // outlives its state.
    let (function, core, lua) = unsafe {
        (
            std::mem::transmute::<*mut c_void, Native>(function),
            &*host.cast::<Core>(),
            Lua::new(state),
        )
    };
    let raise = match function(lua, core) {
        Ok(results) => return results,
        Err(raise) => raise,
    };
    let argument = |n: i32, text: &str| {
        core.control(|control: &mut Control| control.argument = n);
        lua.push_bytes(text.as_bytes());
    };
    match raise {
        Raise::Value => -1,
        Raise::Text(text) => {
            lua.push_bytes(&text);
            -2
        }
        Raise::Argument(n, text) => {
            argument(n, &text);
            -3
        }
        Raise::Type(n, text) => {
            argument(n, text);
            -4
        }
        Raise::Memory => -5,
        Raise::End => -6,
    }
}
