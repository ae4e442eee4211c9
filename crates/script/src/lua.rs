//! A handle to a Lua state, for code that knows no C.
//!
//! # Safety
//!
//! What makes the engine's functions unsafe, and why the methods of [`Lua`] are safe to call here:
//!
//! * **They jump.** An engine function that fails raises a Lua error with `longjmp`, and a frame of
//!   Rust that is jumped over is undefined behaviour. So Rust calls nothing that can raise. Functions
//!   that may run metamethods or check arguments are not declared. Those that allocate do not fail,
//!   because while Rust is at work on a state `Control::lenient` is set, and then the allocator
//!   refuses nothing (it aborts if the system has no memory at all). Writing to a read-only table
//!   raises, so [`Lua::raw_set`] and its like refuse to; the same with keys that are nil or NaN.
//! * **They trust indices.** An index must be within the stack, and what is pushed must have room. A
//!   C function has room for 20 values beyond its arguments; whoever may need more asks
//!   [`Lua::reserve`]. Methods check indices in debug builds.
//! * **Strings are lent.** [`Lua::bytes`] answers bytes that belong to the engine, which does not move
//!   them, and frees them when no value refers to them. Callers keep the string on the stack, or in
//!   a table that is on the stack, while they use the bytes.
//!
//! The handle is made by [`crate::vm`] alone, and only it and [`crate::fiber`] run scripts.

use crate::ffi::{self, State};
use crate::native::Native;
use std::ffi::{c_char, c_int, c_void};
use std::{ptr, slice};

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Lua(*mut State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    None,
    Nil,
    Boolean,
    Light,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

impl Type {
    pub fn name(self) -> &'static str {
        match self {
            Type::None => "no value",
            Type::Nil => "nil",
            Type::Boolean => "boolean",
            Type::Light | Type::Userdata => "userdata",
            Type::Number => "number",
            Type::String => "string",
            Type::Table => "table",
            Type::Function => "function",
            Type::Thread => "thread",
        }
    }
}

// SAFETY: for all blocks of this implementation see the module's documentation.
impl Lua {
    /// # Safety
    ///
    /// `state` is alive, stays so while the handle is used, and its machine's `lenient` is set
    /// whenever the handle is.
    pub unsafe fn new(state: *mut State) -> Lua {
        Lua(state)
    }

    pub fn raw(self) -> *mut State {
        self.0
    }

    pub fn top(self) -> i32 {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_gettop(self.0) }
    }

    pub fn set_top(self, top: i32) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_settop(self.0, top) }
    }

    pub fn pop(self, count: i32) {
        debug_assert!(count <= self.top());
        self.set_top(-count - 1);
    }

    /// An index that stays right when values are pushed.
    pub fn absolute(self, index: i32) -> i32 {
        match index {
            // Below these are the registry and its like.
            -9999..0 => self.top() + 1 + index,
            _ => index,
        }
    }

    /// Room for so many values more; false when a script has more than any should.
    #[must_use]
    pub fn reserve(self, room: i32) -> bool {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_checkstack(self.0, room) != 0 }
    }

    pub fn push_value(self, index: i32) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_pushvalue(self.0, index) }
    }

    pub fn remove(self, index: i32) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_remove(self.0, index) }
    }

    pub fn insert(self, index: i32) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_insert(self.0, index) }
    }

    pub fn replace(self, index: i32) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_replace(self.0, index) }
    }

    pub fn kind(self, index: i32) -> Type {
        // SAFETY: see the module's documentation.
        match unsafe { ffi::lua_type(self.0, index) } {
            ffi::TYPE_NIL => Type::Nil,
            ffi::TYPE_BOOLEAN => Type::Boolean,
            ffi::TYPE_LIGHT => Type::Light,
            ffi::TYPE_NUMBER => Type::Number,
            ffi::TYPE_STRING => Type::String,
            ffi::TYPE_TABLE => Type::Table,
            ffi::TYPE_FUNCTION => Type::Function,
            ffi::TYPE_USERDATA => Type::Userdata,
            ffi::TYPE_THREAD => Type::Thread,
            _ => Type::None,
        }
    }

    /// Of a number, or of a string that reads as one; else 0.
    pub fn number(self, index: i32) -> f64 {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_tonumber(self.0, index) }
    }

    /// A number, or a string that reads as one.
    pub fn is_numeric(self, index: i32) -> bool {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_isnumber(self.0, index) != 0 }
    }

    pub fn boolean(self, index: i32) -> bool {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_toboolean(self.0, index) != 0 }
    }

    /// The bytes of a string, or of a number, which becomes a string where it stands: not for keys
    /// in a traversal.
    pub fn bytes<'a>(self, index: i32) -> Option<&'a [u8]> {
        let mut len = 0;
        // SAFETY: the bytes stay while the string does, for which the caller cares; see the
        // module's documentation.
        unsafe {
            let start = ffi::lua_tolstring(self.0, index, &mut len);
            (!start.is_null()).then(|| slice::from_raw_parts(start.cast(), len))
        }
    }

    /// Fills `list` with the strings on the stack of the running function. False if there is a value
    /// that is none.
    ///
    /// # Safety
    ///
    /// As for [`Lua::bytes`]: the list is used only while the strings are on the stack.
    pub unsafe fn strings(self, list: &mut Vec<&'static [u8]>) -> bool {
        const EMPTY: ffi::Bytes = ffi::Bytes {
            start: ptr::null(),
            length: 0,
        };
        const FEW: usize = 16;
        let count = self.top() as usize;
        let mut few = [EMPTY; FEW];
        let mut many = Vec::new();
        let room = match count {
            0..=FEW => &mut few[..count],
            _ => {
                many.resize(count, EMPTY);
                &mut many[..]
            }
        };
        // SAFETY: there is room for `count`; what is filled are strings, with a start that is not
        // null.
        unsafe {
            let found = ffi::shoal_strings(self.0, room.as_mut_ptr(), count as c_int) as usize;
            list.clear();
            let filled = room[..found].iter();
            list.extend(filled.map(|b| slice::from_raw_parts(b.start.cast(), b.length)));
            found == count
        }
    }

    /// Elements of a table, as `#` counts them without a metamethod; bytes of a string.
    pub fn len(self, index: i32) -> usize {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_objlen(self.0, index) }
    }

    /// Whether this is the light userdata that stands for JSON's null.
    pub fn is_null(self, index: i32) -> bool {
        // SAFETY: see the module's documentation.
        self.kind(index) == Type::Light && unsafe { ffi::lua_touserdata(self.0, index).is_null() }
    }

    pub fn push_nil(self) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_pushnil(self.0) }
    }

    pub fn push_number(self, n: f64) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_pushnumber(self.0, n) }
    }

    pub fn push_boolean(self, b: bool) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_pushboolean(self.0, b.into()) }
    }

    pub fn push_bytes(self, bytes: &[u8]) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_pushlstring(self.0, bytes.as_ptr().cast(), bytes.len()) }
    }

    pub fn push_null(self) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_pushlightuserdata(self.0, ptr::null_mut()) }
    }

    /// A new table with room for `array` elements and `records` fields.
    pub fn new_table(self, array: usize, records: usize) {
        let small = |n: usize| c_int::try_from(n).unwrap_or(0);
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_createtable(self.0, small(array), small(records)) }
    }

    /// A function written in Rust. `with` values from the top of the stack become its upvalues, from
    /// 2 on.
    pub fn push_native(self, native: Native, with: i32) {
        // SAFETY: see the module's documentation.
        unsafe {
            ffi::lua_pushlightuserdata(self.0, native as *mut c_void);
            ffi::lua_insert(self.0, -1 - with);
            ffi::lua_pushcclosure(self.0, ffi::shoal_enter, with + 1);
        }
    }

    /// What was made by [`Lua::push_plain`], as upvalue `n` of the running function.
    pub fn plain_upvalue<'a, T: Copy>(self, n: i32) -> Option<&'a mut T> {
        let index = ffi::upvalue(n);
        if self.kind(index) != Type::Userdata || self.len(index) != size_of::<T>() {
            return None;
        }
        // SAFETY: scripts have no userdata of their own and cannot set upvalues of functions in C,
        // so this is what push_plain has made, in memory that the running function holds.
        unsafe { ffi::lua_touserdata(self.0, index).cast::<T>().as_mut() }
    }

    /// A value of Rust that needs no drop and is aligned as any number is.
    pub fn push_plain<T: Copy>(self, value: T) {
        const { assert!(align_of::<T>() <= 8) }
        // SAFETY: the engine's userdata are aligned to 8, and there is room for a T.
        unsafe {
            ffi::lua_newuserdata(self.0, size_of::<T>())
                .cast::<T>()
                .write(value)
        }
    }

    /// The value at the key on the top of the stack, in its place.
    pub fn raw_get(self, table: i32) {
        debug_assert!(self.kind(table) == Type::Table);
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_rawget(self.0, table) }
    }

    pub fn raw_get_at(self, table: i32, n: i32) {
        debug_assert!(self.kind(table) == Type::Table);
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_rawgeti(self.0, table, n) }
    }

    /// Pushes the value of a field.
    pub fn field(self, table: i32, name: &[u8]) -> Type {
        let table = self.absolute(table);
        self.push_bytes(name);
        self.raw_get(table);
        self.kind(-1)
    }

    /// Takes key and value from the top of the stack. Does nothing with keys that no table can have.
    pub fn raw_set(self, table: i32) {
        debug_assert!(self.kind(table) == Type::Table);
        let bad = match self.kind(-2) {
            Type::Nil => true,
            Type::Number => self.number(-2).is_nan(),
            _ => false,
        };
        if bad || self.is_readonly(table) {
            return self.pop(2);
        }
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_rawset(self.0, table) }
    }

    /// Takes the value from the top of the stack.
    pub fn raw_set_at(self, table: i32, n: i32) {
        debug_assert!(self.kind(table) == Type::Table);
        if self.is_readonly(table) {
            return self.pop(1);
        }
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_rawseti(self.0, table, n) }
    }

    /// Takes the value from the top of the stack.
    pub fn set_field(self, table: i32, name: &[u8]) {
        let table = self.absolute(table);
        self.push_bytes(name);
        self.insert(-2);
        self.raw_set(table);
    }

    /// From the key on the top of the stack to the next key and its value; false, and no key, at the
    /// end. The key was nil or came from here.
    pub fn next(self, table: i32) -> bool {
        debug_assert!(self.kind(table) == Type::Table);
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_next(self.0, table) != 0 }
    }

    pub fn push_metatable(self, index: i32) -> bool {
        // SAFETY: see the module's documentation.
        unsafe { ffi::lua_getmetatable(self.0, index) != 0 }
    }

    /// Takes the metatable from the top of the stack.
    pub fn set_metatable(self, table: i32) {
        debug_assert!(!self.is_readonly(table));
        // SAFETY: see the module's documentation.
        unsafe {
            ffi::lua_setmetatable(self.0, table);
        }
    }

    pub fn set_readonly(self, table: i32, on: bool) {
        assert!(self.kind(table) == Type::Table);
        // SAFETY: it is a table.
        unsafe { ffi::shoal_set_readonly(self.0, table, on.into()) }
    }

    pub fn is_readonly(self, table: i32) -> bool {
        // SAFETY: the pointer that is read is that of a table.
        self.kind(table) == Type::Table && unsafe { ffi::shoal_is_readonly(self.0, table) != 0 }
    }

    /// Keeps the value on the top of the stack, which it takes, until [`Lua::release`].
    pub fn keep(self) -> i32 {
        // SAFETY: see the module's documentation.
        unsafe { ffi::luaL_ref(self.0, ffi::REGISTRY) }
    }

    pub fn push_kept(self, reference: i32) {
        self.raw_get_at(ffi::REGISTRY, reference);
    }

    pub fn release(self, reference: i32) {
        // SAFETY: see the module's documentation.
        unsafe { ffi::luaL_unref(self.0, ffi::REGISTRY, reference) }
    }

    /// Where the script is, as `SOURCE:LINE`.
    pub fn place(self, level: i32) -> Option<Vec<u8>> {
        let mut source = [0u8; 64];
        // SAFETY: the buffer has the size that is given, and is filled with a C string.
        let line =
            unsafe { ffi::shoal_line(self.0, level, source.as_mut_ptr().cast(), source.len()) };
        if line < 0 {
            return None;
        }
        let len = source.iter().position(|&b| b == 0).unwrap_or(source.len());
        Some([&source[..len], b":", line.to_string().as_bytes()].concat())
    }
}

/// A number with `digits` significant digits, as C's `%g` writes it.
pub fn general(number: f64, digits: u8) -> ([u8; 40], usize) {
    let mut text = [0u8; 40];
    let digits = c_int::from(digits.min(17));
    // SAFETY: at most 17 digits, a sign, a point and an exponent fit, and snprintf is told the size.
    let len = unsafe {
        ffi::snprintf(
            text.as_mut_ptr().cast(),
            text.len(),
            c"%.*g".as_ptr(),
            digits,
            number,
        )
    };
    (text, usize::try_from(len).unwrap_or(0))
}

/// The number at the beginning of a text, as C reads it, and its length. The text is what
/// [`Lua::bytes`] answered, or the end of it.
pub fn leading_number(text: &[u8]) -> (f64, usize) {
    let start: *const c_char = text.as_ptr().cast();
    let mut end: *mut c_char = ptr::null_mut();
    // SAFETY: the engine's strings have a zero byte behind their end, where reading stops.
    let number = unsafe { ffi::strtod(start, &mut end) };
    (number, (end as usize).saturating_sub(start as usize))
}
