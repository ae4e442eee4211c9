//! What scripts find when they look around: three sets of globals, all read-only.

use crate::ffi;
use crate::library;
use crate::lua::{Lua, Type};
use crate::native::{Native, Raise};
use crate::random;
use crate::redis;
use crate::vm::{Core, VmOptions};
use crate::{bit, json, msgpack, structs};

/// Names of tables that the engine keeps for us.
pub struct Kept {
    /// Globals of scripts.
    pub eval: i32,
    /// Globals of functions, which have a metatable to look into one of the next two.
    pub function: i32,
    /// The error handler.
    pub handler: i32,
    pub function_api: i32,
    pub library_api: i32,
}

/// Fills the state's globals, which have Lua's own libraries, and protects them.
pub fn install(lua: Lua, options: &VmOptions) -> Kept {
    lua.push_value(ffi::GLOBALS);
    let eval = lua.top();
    for (name, open) in [
        ("cjson", json::open as fn(Lua)),
        ("cmsgpack", msgpack::open),
        ("struct", structs::open),
        ("bit", bit::open),
    ] {
        open(lua);
        lua.set_field(eval, name.as_bytes());
    }
    lua.field(eval, b"math");
    register(
        lua,
        &[
            ("random", random::random),
            ("randomseed", random::randomseed),
        ],
    );
    lua.pop(1);

    let function_api = functions_globals(lua, eval, options);

    lua.new_table(0, 40);
    register(lua, redis::EVERYWHERE);
    register(lua, redis::EVAL_ONLY);
    constants(lua, options);
    lua.push_value(-1);
    lua.set_field(eval, b"redis");
    lua.set_field(eval, b"server");
    lua.field(eval, b"__redis__err__handler");
    let handler = lua.keep();
    lua.push_value(eval);
    guard(lua);
    let eval = lua.keep();

    let library_api = library_globals(lua, options);
    lua.new_table(0, 0);
    lua.new_table(0, 1);
    lua.push_kept(function_api);
    lua.set_field(-2, b"__index");
    lua.set_readonly(-1, true);
    lua.set_metatable(-2);
    lua.set_readonly(-1, true);
    let function = lua.keep();
    lua.set_top(0);
    Kept {
        eval,
        function,
        handler,
        function_api,
        library_api,
    }
}

/// What functions of libraries see: the same libraries, a `redis` without a debugger's part.
fn functions_globals(lua: Lua, eval: i32, options: &VmOptions) -> i32 {
    lua.new_table(0, 40);
    let table = lua.top();
    lua.push_nil();
    while lua.next(eval) {
        let hidden = matches!(lua.bytes(-2), Some(b"_G" | b"__redis__err__handler"));
        if hidden {
            lua.pop(1);
            continue;
        }
        lua.push_value(-2);
        lua.insert(-2);
        lua.raw_set(table);
    }
    lua.push_value(table);
    lua.set_field(table, b"_G");
    lua.new_table(0, 40);
    register(lua, redis::EVERYWHERE);
    constants(lua, options);
    lua.push_value(-1);
    lua.set_field(table, b"redis");
    lua.set_field(table, b"server");
    guard(lua);
    lua.keep()
}

/// What a library's code sees while it loads.
fn library_globals(lua: Lua, options: &VmOptions) -> i32 {
    lua.new_table(0, 2);
    lua.new_table(0, 10);
    register(
        lua,
        &[
            ("register_function", library::register_function),
            ("log", redis::log),
        ],
    );
    numbers(lua, redis::LOG_LEVELS);
    versions(lua, options);
    push_missing_guard(lua);
    lua.set_metatable(-2);
    lua.push_value(-1);
    lua.set_field(-3, b"redis");
    lua.set_field(-2, b"server");
    guard(lua);
    lua.keep()
}

pub fn register(lua: Lua, functions: &[(&str, Native)]) {
    for (name, function) in functions {
        lua.push_native(*function, 0);
        lua.set_field(-2, name.as_bytes());
    }
}

fn numbers(lua: Lua, values: &[(&str, f64)]) {
    for (name, value) in values {
        lua.push_number(*value);
        lua.set_field(-2, name.as_bytes());
    }
}

fn constants(lua: Lua, options: &VmOptions) {
    numbers(lua, redis::LOG_LEVELS);
    numbers(lua, redis::REPLICATION);
    versions(lua, options);
}

fn versions(lua: Lua, options: &VmOptions) {
    let version = |name: &str, text: &str| {
        lua.push_bytes(text.as_bytes());
        lua.set_field(-2, format!("{name}_VERSION").as_bytes());
        lua.push_number(f64::from(version_number(text)));
        lua.set_field(-2, format!("{name}_VERSION_NUM").as_bytes());
    };
    version("REDIS", &options.redis_version);
    if let Some(text) = &options.valkey_version {
        version("VALKEY", text);
    }
    lua.push_bytes(options.server_name.as_bytes());
    lua.set_field(-2, b"SERVER_NAME");
}

/// `8.0.6` is 0x080006.
fn version_number(text: &str) -> u32 {
    text.split('.')
        .fold(0, |whole, part| whole << 8 | part.parse().unwrap_or(0))
}

/// Makes the table on the top of the stack, and all it refers to, read-only, and reading what it
/// lacks an error.
fn guard(lua: Lua) {
    push_missing_guard(lua);
    lua.set_metatable(-2);
    protect(lua);
}

fn push_missing_guard(lua: Lua) {
    lua.new_table(0, 1);
    lua.push_native(missing, 0);
    lua.set_field(-2, b"__index");
}

fn missing(lua: Lua, _: &Core) -> Result<i32, Raise> {
    if lua.top() != 2 {
        return Err(Raise::text(
            "Wrong number of arguments to luaProtectedTableError",
        ));
    }
    if !matches!(lua.kind(2), Type::String | Type::Number) {
        let why = "Second argument to luaProtectedTableError must be a string or number";
        return Err(Raise::text(why));
    }
    let name = lua.bytes(2).unwrap_or_default();
    let text = &b"Script attempted to access nonexistent global variable '"[..];
    Err(Raise::text([text, name, b"'"].concat()))
}

/// The table on the top of the stack, its metatable, and so on inwards.
fn protect(lua: Lua) {
    if lua.is_readonly(-1) {
        return;
    }
    lua.set_readonly(-1, true);
    if !lua.reserve(4) {
        return;
    }
    lua.push_nil();
    while lua.next(-2) {
        if lua.kind(-1) == Type::Table {
            protect(lua);
        }
        lua.pop(1);
    }
    if lua.push_metatable(-1) {
        protect(lua);
        lua.pop(1);
    }
    // Strings have a metatable that is in no table.
    lua.push_bytes(b"");
    if lua.push_metatable(-1) {
        protect(lua);
        lua.pop(1);
    }
    lua.pop(1);
}
