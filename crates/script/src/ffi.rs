//! The C functions of the engine that we call. What they need of their callers, and why our callers
//! have it, stands in [`crate::lua`].

use std::ffi::{c_char, c_double, c_int, c_void};

#[repr(C)]
pub struct State {
    _opaque: [u8; 0],
}

/// Bytes of a string of the engine.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Bytes {
    pub start: *const c_char,
    pub length: usize,
}

/// What the C side and the Rust side of a virtual machine share; `shoal` in `lua/shoal.h`.
#[repr(C)]
pub struct Control {
    /// Bytes given out by the allocator.
    pub used: usize,
    /// Bytes that may be in use after a full collection.
    pub limit: usize,
    /// Bytes that may be in use at any time.
    pub ceiling: usize,
    /// Bytes in use at which a full collection is due.
    pub pressure: usize,
    /// What loops in C may still do before the next tick.
    pub work: isize,
    /// Instructions between two ticks.
    pub slice: c_int,
    /// Rust is at work on the state: allocations never fail.
    pub lenient: c_int,
    /// The running script is being ended.
    pub ending: c_int,
    /// The argument that an error is about.
    pub argument: c_int,
    /// The thread on which the running script began.
    pub thread: *mut State,
    /// Names of globals, which belong to the C side.
    pub names: [*const c_void; 2],
    pub host: *mut c_void,
}

pub const REGISTRY: c_int = -10000;
pub const GLOBALS: c_int = -10002;

pub const fn upvalue(n: c_int) -> c_int {
    GLOBALS - n
}

pub const TYPE_NIL: c_int = 0;
pub const TYPE_BOOLEAN: c_int = 1;
pub const TYPE_LIGHT: c_int = 2;
pub const TYPE_NUMBER: c_int = 3;
pub const TYPE_STRING: c_int = 4;
pub const TYPE_TABLE: c_int = 5;
pub const TYPE_FUNCTION: c_int = 6;
pub const TYPE_USERDATA: c_int = 7;
pub const TYPE_THREAD: c_int = 8;

pub const OK: c_int = 0;

pub const MASK_COUNT: c_int = 1 << 3;

pub const GC_COLLECT: c_int = 2;
pub const GC_SETPAUSE: c_int = 6;

pub type CFunction = unsafe extern "C" fn(*mut State) -> c_int;
pub type Hook = unsafe extern "C" fn(*mut State, *mut c_void);
pub type Allocator = unsafe extern "C" fn(*mut c_void, *mut c_void, usize, usize) -> *mut c_void;

unsafe extern "C" {
    pub fn lua_newstate(allocator: Allocator, data: *mut c_void) -> *mut State;
    pub fn lua_close(l: *mut State);
    pub fn lua_newthread(l: *mut State) -> *mut State;
    pub fn lua_cpcall(l: *mut State, function: CFunction, data: *mut c_void) -> c_int;
    pub fn lua_pcall(l: *mut State, args: c_int, results: c_int, handler: c_int) -> c_int;
    pub fn lua_sethook(l: *mut State, hook: Option<Hook>, mask: c_int, count: c_int) -> c_int;
    pub fn lua_gc(l: *mut State, what: c_int, data: c_int) -> c_int;
    pub fn luaL_loadbuffer(
        l: *mut State,
        text: *const c_char,
        len: usize,
        name: *const c_char,
    ) -> c_int;
    pub fn luaL_ref(l: *mut State, table: c_int) -> c_int;
    pub fn luaL_unref(l: *mut State, table: c_int, reference: c_int);

    pub fn lua_gettop(l: *mut State) -> c_int;
    pub fn lua_settop(l: *mut State, top: c_int);
    pub fn lua_pushvalue(l: *mut State, index: c_int);
    pub fn lua_remove(l: *mut State, index: c_int);
    pub fn lua_insert(l: *mut State, index: c_int);
    pub fn lua_replace(l: *mut State, index: c_int);
    pub fn lua_checkstack(l: *mut State, room: c_int) -> c_int;

    pub fn lua_type(l: *mut State, index: c_int) -> c_int;
    pub fn lua_isnumber(l: *mut State, index: c_int) -> c_int;
    pub fn lua_tonumber(l: *mut State, index: c_int) -> c_double;
    pub fn lua_toboolean(l: *mut State, index: c_int) -> c_int;
    pub fn lua_tolstring(l: *mut State, index: c_int, len: *mut usize) -> *const c_char;
    pub fn lua_objlen(l: *mut State, index: c_int) -> usize;
    pub fn lua_touserdata(l: *mut State, index: c_int) -> *mut c_void;

    pub fn lua_pushnil(l: *mut State);
    pub fn lua_pushnumber(l: *mut State, n: c_double);
    pub fn lua_pushboolean(l: *mut State, b: c_int);
    pub fn lua_pushlstring(l: *mut State, s: *const c_char, len: usize);
    pub fn lua_pushlightuserdata(l: *mut State, p: *mut c_void);
    pub fn lua_pushcclosure(l: *mut State, f: CFunction, upvalues: c_int);
    pub fn lua_newuserdata(l: *mut State, size: usize) -> *mut c_void;
    pub fn lua_createtable(l: *mut State, array: c_int, records: c_int);

    pub fn lua_rawget(l: *mut State, index: c_int);
    pub fn lua_rawgeti(l: *mut State, index: c_int, n: c_int);
    pub fn lua_rawset(l: *mut State, index: c_int);
    pub fn lua_rawseti(l: *mut State, index: c_int, n: c_int);
    pub fn lua_next(l: *mut State, index: c_int) -> c_int;
    pub fn lua_getmetatable(l: *mut State, index: c_int) -> c_int;
    pub fn lua_setmetatable(l: *mut State, index: c_int) -> c_int;

    pub fn shoal_hook(l: *mut State, record: *mut c_void);
    pub fn shoal_enter(l: *mut State) -> c_int;
    pub fn shoal_open(l: *mut State) -> c_int;
    pub fn shoal_show(l: *mut State);
    pub fn shoal_strings(l: *mut State, to: *mut Bytes, max: c_int) -> c_int;
    pub fn shoal_set_readonly(l: *mut State, index: c_int, on: c_int);
    pub fn shoal_is_readonly(l: *mut State, index: c_int) -> c_int;
    pub fn shoal_line(l: *mut State, level: c_int, source: *mut c_char, size: usize) -> c_int;

    pub fn snprintf(to: *mut c_char, size: usize, format: *const c_char, ...) -> c_int;
    pub fn strtod(text: *const c_char, end: *mut *mut c_char) -> c_double;
}
