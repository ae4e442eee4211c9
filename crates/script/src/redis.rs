//! `redis.call` and all else that scripts find in `redis` and `server`.

use crate::answer::{self, Answer};
use crate::fiber::{Request, Signal, Turn};
use crate::lua::{Lua, Type};
use crate::native::{Native, Raise, as_c_int, as_c_integer, as_c_string, push_error};
use crate::script::hex;
use crate::vm::Core;
use resp::Protocol;
use resp::number::Decimal;
use sha1::{Digest as _, Sha1};
use store::double::Text;

/// What scripts and functions have.
pub const EVERYWHERE: &[(&str, Native)] = &[
    ("call", call),
    ("pcall", pcall),
    ("log", log),
    ("setresp", setresp),
    ("sha1hex", sha1hex),
    ("error_reply", error_reply),
    ("status_reply", status_reply),
    ("set_repl", set_repl),
    ("acl_check_cmd", acl_check_cmd),
];

/// What only scripts have.
pub const EVAL_ONLY: &[(&str, Native)] = &[
    ("breakpoint", breakpoint),
    ("debug", debug),
    ("replicate_commands", replicate_commands),
];

pub const LOG_LEVELS: &[(&str, f64)] = &[
    ("LOG_DEBUG", 0.0),
    ("LOG_VERBOSE", 1.0),
    ("LOG_NOTICE", 2.0),
    ("LOG_WARNING", 3.0),
];

pub const REPLICATION: &[(&str, f64)] = &[
    ("REPL_NONE", 0.0),
    ("REPL_AOF", 1.0),
    ("REPL_SLAVE", 2.0),
    ("REPL_REPLICA", 2.0),
    ("REPL_ALL", 3.0),
];

pub fn log(lua: Lua, core: &Core) -> Result<i32, Raise> {
    let count = lua.top();
    if count < 2 {
        return Err(Raise::table(
            lua,
            "redis.log() requires two arguments or more.",
        ));
    }
    if !lua.is_numeric(1) {
        return Err(Raise::table(
            lua,
            "First argument must be a number (log level).",
        ));
    }
    let level = match as_c_int(lua.number(1)) {
        level @ 0..=3 => level as u8,
        _ => return Err(Raise::table(lua, "Invalid log level.")),
    };
    let mut line = Vec::new();
    for index in 2..=count {
        let Some(text) = lua.bytes(index) else {
            continue;
        };
        if index != 2 {
            line.push(b' ');
        }
        line.extend_from_slice(text);
    }
    if core.loading.borrow().is_some() {
        // A library that loads cannot be suspended.
        return Ok(0);
    }
    lua.set_top(0);
    lua.push_bytes(&line);
    ask(lua, core, Request::Log(level))?.ok();
    Ok(0)
}

fn call(lua: Lua, core: &Core) -> Result<i32, Raise> {
    command(lua, core, Request::Call)
}

fn pcall(lua: Lua, core: &Core) -> Result<i32, Raise> {
    command(lua, core, Request::Pcall)
}

fn command(lua: Lua, core: &Core, request: Request) -> Result<i32, Raise> {
    let failed = match ask(lua, core, request)? {
        Ok(answer) => answer == Answer::Error,
        Err(why) => {
            push_error(lua, why.as_bytes());
            true
        }
    };
    match failed && request == Request::Call {
        true => Err(Raise::Value),
        false => Ok(1),
    }
}

/// Makes strings of the numbers among the arguments.
#[cold]
fn numbers_to_strings(lua: Lua) {
    for index in 1..=lua.top() {
        if lua.kind(index) == Type::Number {
            push_as_argument(lua, lua.number(index));
            lua.replace(index);
        }
    }
}

/// A number with all its digits, unlike Lua's own conversion.
fn push_as_argument(lua: Lua, number: f64) {
    let integer = as_c_integer(number);
    if integer as f64 == number && integer != i64::MIN && integer != i64::MAX {
        lua.push_bytes(Decimal::signed(integer).as_bytes());
    } else {
        match (number.is_nan(), number.is_sign_negative()) {
            (true, true) => lua.push_bytes(b"-nan"),
            (true, false) => lua.push_bytes(b"nan"),
            _ => lua.push_bytes(Text::of(number).bytes()),
        }
    }
}

/// What is wrong with the arguments of a call.
type Refused = &'static str;

/// Suspends the script with the values on the stack as arguments, and pushes the answer.
fn ask(lua: Lua, core: &Core, request: Request) -> Result<Result<Answer, Refused>, Raise> {
    let Some(fiber) = core.active() else {
        let why = "redis.call/pcall can only be called inside a script invocation";
        return Err(Raise::table(lua, why));
    };
    if lua.top() == 0 {
        return Ok(Err(
            "Please specify at least one argument for this redis lib call",
        ));
    }
    if !fiber.set_args(lua) {
        numbers_to_strings(lua);
        if !fiber.set_args(lua) {
            return Ok(Err(
                "Lua redis lib command arguments must be strings or integers",
            ));
        }
    }
    if fiber.is_ending() {
        return Err(Raise::End);
    }
    match fiber.suspend(core, lua, Turn::Asked(request)) {
        Signal::Answer(reply) => {
            lua.set_top(0);
            // SAFETY: Run::answer holds the reply until the script gives control back.
            Ok(Ok(answer::push(lua, unsafe { &*reply })))
        }
        Signal::Go | Signal::End => Err(Raise::End),
    }
}

fn sha1hex(lua: Lua, _: &Core) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(Raise::table(lua, "wrong number of arguments"));
    }
    let text = lua.bytes(1).unwrap_or_default();
    lua.push_bytes(&hex(&Sha1::digest(text).into()));
    Ok(1)
}

fn error_reply(lua: Lua, _: &Core) -> Result<i32, Raise> {
    if lua.top() != 1 || lua.kind(1) != Type::String {
        push_error(lua, b"wrong number or type of arguments");
        return Ok(1);
    }
    let text = lua.bytes(1).unwrap_or_default();
    let text = as_c_string(text);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    push_error(lua, &[b"-", text].concat());
    Ok(1)
}

fn status_reply(lua: Lua, _: &Core) -> Result<i32, Raise> {
    if lua.top() != 1 || lua.kind(1) != Type::String {
        push_error(lua, b"wrong number or type of arguments");
        return Ok(1);
    }
    lua.new_table(0, 1);
    lua.push_value(1);
    lua.set_field(-2, b"ok");
    Ok(1)
}

fn setresp(lua: Lua, core: &Core) -> Result<i32, Raise> {
    let Some(fiber) = core.active() else {
        return Err(Raise::table(
            lua,
            "redis.setresp can only be called inside a script invocation",
        ));
    };
    if lua.top() != 1 {
        return Err(Raise::table(lua, "redis.setresp() requires one argument."));
    }
    fiber.protocol.set(match as_c_int(lua.number(1)) {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return Err(Raise::table(lua, "RESP version must be 2 or 3.")),
    });
    Ok(0)
}

fn set_repl(lua: Lua, core: &Core) -> Result<i32, Raise> {
    if lua.top() != 1 {
        return Err(Raise::table(lua, "redis.set_repl() requires one argument."));
    }
    let flags = match as_c_int(lua.number(1)) {
        flags @ 0..=3 => flags as u8,
        _ => {
            let why =
                "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
            return Err(Raise::table(lua, why));
        }
    };
    lua.push_bytes(b"");
    lua.replace(1);
    ask(lua, core, Request::SetRepl(flags))?.ok();
    Ok(0)
}

fn acl_check_cmd(lua: Lua, core: &Core) -> Result<i32, Raise> {
    match ask(lua, core, Request::AclCheck)? {
        Ok(Answer::Value) => {}
        Ok(Answer::Error) => return Err(Raise::Value),
        Err(why) => return Err(Raise::table(lua, why)),
    }
    lua.push_boolean(lua.number(-1) != 0.0);
    Ok(1)
}

fn breakpoint(lua: Lua, _: &Core) -> Result<i32, Raise> {
    lua.push_boolean(false);
    Ok(1)
}

/// Only a debugger would show what is passed.
fn debug(_: Lua, _: &Core) -> Result<i32, Raise> {
    Ok(0)
}

fn replicate_commands(lua: Lua, _: &Core) -> Result<i32, Raise> {
    lua.push_boolean(true);
    Ok(1)
}
