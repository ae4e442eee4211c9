//! Libraries of functions: their code registers the functions when it is run, once when the library is
//! loaded, and once more in each machine that calls one of them.

use crate::error::Error;
use crate::fiber::{Context, Run, Turn, error_of};
use crate::lua::{Lua, Type};
use crate::native::{Raise, push_error};
use crate::script::Flags;
use crate::vm::{Core, Vm};
use resp::split::split_words;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a library that has been accepted may take to load in another machine.
const RELOAD_LIMIT: Duration = Duration::from_secs(10);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What FUNCTION LIST shows of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: Flags,
}

/// One allocation that all shards share; cloning counts.
#[derive(Clone, Debug)]
pub struct Library(Arc<Loaded>);

#[derive(Debug)]
struct Loaded {
    id: u64,
    name: Vec<u8>,
    code: Vec<u8>,
    functions: Vec<Function>,
}

/// A library whose code is running.
pub struct Loading {
    until: Instant,
    functions: Vec<(Function, i32)>,
}

impl Loading {
    pub fn is_over(&self) -> bool {
        Instant::now() > self.until
    }
}

impl Vm {
    /// Runs a library's code, which may take as long as `limit`.
    pub fn load_library(&self, code: &[u8], limit: Duration) -> Result<Library, Error> {
        let (name, begins) = metadata(code)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let functions = self.0.register(&code[begins..], id, limit)?;
        if functions.is_empty() {
            return Err(Error::new("ERR No functions registered"));
        }
        Ok(Library(Arc::new(Loaded {
            id,
            name,
            code: code.to_vec(),
            functions,
        })))
    }
}

impl Library {
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    pub fn name(&self) -> &[u8] {
        &self.0.name
    }

    /// The whole text, as it was given.
    pub fn code(&self) -> &[u8] {
        &self.0.code
    }

    /// In the order in which they were registered.
    pub fn functions(&self) -> &[Function] {
        &self.0.functions
    }

    pub(crate) fn load_into(&self, core: &Core) -> Result<(), Error> {
        let (_, begins) = metadata(&self.0.code)?;
        core.register(&self.0.code[begins..], self.0.id, RELOAD_LIMIT)
            .map(drop)
    }
}

impl Core {
    /// Runs a library's code and keeps the functions that it registers.
    fn register(&self, code: &[u8], id: u64, limit: Duration) -> Result<Vec<Function>, Error> {
        let fiber = self.fiber(Context::Load)?;
        let lua = fiber.lua;
        if let Err(why) = self.compile(lua, code, c"@user_function") {
            self.retire(fiber);
            return Err(Error::new(
                [b"ERR Error compiling function: ", &why[..]].concat(),
            ));
        }
        let core = self.shared();
        self.loading.replace(Some(Loading {
            until: Instant::now() + limit,
            functions: Vec::new(),
        }));
        self.look_into(self.kept.library_api);
        let mut run = Run::new(core, fiber, 0);
        let turn = run.resume();
        self.look_into(self.kept.function_api);
        let registered = self
            .loading
            .take()
            .map_or_else(Vec::new, |loading| loading.functions);
        if turn != Turn::Done {
            registered
                .iter()
                .for_each(|(_, function)| self.main().release(*function));
            let why = run.load_error();
            return Err(Error::new(
                [b"ERR Error registering functions: ", &why[..]].concat(),
            ));
        }
        let mut kept = HashMap::new();
        let mut functions = Vec::new();
        for (function, reference) in registered {
            kept.insert(function.name.clone(), reference);
            functions.push(function);
        }
        self.keep_library(id, kept);
        Ok(functions)
    }

    /// Sets what the globals of functions look into.
    fn look_into(&self, api: i32) {
        let lua = self.main();
        lua.push_kept(self.kept.function);
        if lua.push_metatable(-1) {
            lua.set_readonly(-1, false);
            lua.push_kept(api);
            lua.set_field(-2, b"__index");
            lua.set_readonly(-1, true);
            lua.pop(1);
        }
        lua.pop(1);
    }
}

impl Run {
    /// Why a library's code failed, without the place.
    fn load_error(&self) -> Vec<u8> {
        let fiber = self.fiber();
        if fiber.is_ending() {
            return self.error();
        }
        let lua = fiber.lua;
        match lua.kind(-1) {
            Type::Table => error_of(lua).0,
            _ => [b"ERR ", lua.bytes(-1).unwrap_or(b"unknown error")].concat(),
        }
    }
}

/// The library's name, and where its first line ends.
fn metadata(code: &[u8]) -> Result<(Vec<u8>, usize), Error> {
    if !code.starts_with(b"#!") {
        return Err(Error::new("ERR Missing library metadata"));
    }
    let end = code.iter().position(|&b| b == b'\n');
    let end = end.ok_or_else(|| Error::new("ERR Invalid library metadata"))?;
    let words = split_words(&code[..end]).unwrap_or_default();
    let Some((engine, options)) = words.split_first() else {
        return Err(Error::new("ERR Invalid library metadata"));
    };
    let engine = engine.strip_prefix(b"#!").unwrap_or_default();
    let mut name: Option<&[u8]> = None;
    for option in options {
        match option.split_at_checked(5) {
            Some((key, _)) if key.eq_ignore_ascii_case(b"name=") && name.is_some() => {
                let why = "ERR Invalid metadata value, name argument was given multiple times";
                return Err(Error::new(why));
            }
            Some((key, given)) if key.eq_ignore_ascii_case(b"name=") => name = Some(given),
            _ => {
                let why = [b"ERR Invalid metadata value given: ", &option[..]].concat();
                return Err(Error::new(why));
            }
        }
    }
    let name = name.ok_or_else(|| Error::new("ERR Library name was not given"))?;
    if !is_name(name) {
        return Err(Error::new(format!("ERR Library {NAMES}")));
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        let text = [b"ERR Engine '", engine, b"' not found"].concat();
        return Err(Error::new(text));
    }
    Ok((name.to_vec(), end))
}

const NAMES: &str = "names can only contain letters, numbers, or underscores(_) and must be at least one character long";

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

pub fn register_function(lua: Lua, core: &Core) -> Result<i32, Raise> {
    let mut loading = core.loading.borrow_mut();
    let fail = |why: &str| {
        push_error(lua, why.as_bytes());
        Err(Raise::Value)
    };
    let Some(loading) = loading.as_mut() else {
        return fail("redis.register_function can only be called on FUNCTION LOAD command");
    };
    let read = match lua.top() {
        1 => named_arguments(lua),
        2 => positional_arguments(lua),
        _ => Err("wrong number of arguments to redis.register_function"),
    };
    // The callback is on the top of the stack.
    let function = match read {
        Ok(function) => function,
        Err(why) => return fail(why),
    };
    if !is_name(&function.name) {
        // Redis says so of functions too.
        return fail(&format!("Library {NAMES}"));
    }
    if loading
        .functions
        .iter()
        .any(|(known, _)| known.name == function.name)
    {
        return fail("Function already exists in the library");
    }
    let reference = lua.keep();
    loading.functions.push((function, reference));
    Ok(0)
}

fn positional_arguments(lua: Lua) -> Result<Function, &'static str> {
    let name =
        string(lua, 1).ok_or("first argument to redis.register_function must be a string")?;
    if lua.kind(2) != Type::Function {
        return Err("second argument to redis.register_function must be a function");
    }
    Ok(Function {
        name,
        description: None,
        flags: Flags::default(),
    })
}

fn named_arguments(lua: Lua) -> Result<Function, &'static str> {
    if lua.kind(1) != Type::Table {
        return Err(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        );
    }
    let (mut name, mut description, mut flags) = (None, None, Flags::default());
    lua.push_nil();
    let callback = lua.top();
    lua.push_nil();
    while lua.next(1) {
        if !matches!(lua.kind(-2), Type::String | Type::Number) {
            return Err("named argument key given to redis.register_function is not a string");
        }
        // A number is no known name, and must not become a string in a traversal.
        let key = match lua.kind(-2) {
            Type::String => lua.bytes(-2).unwrap_or_default(),
            _ => b"",
        };
        match key.to_ascii_lowercase().as_slice() {
            b"function_name" => {
                let why =
                    "function_name argument given to redis.register_function must be a string";
                name = Some(string(lua, -1).ok_or(why)?);
            }
            b"description" => {
                let why = "description argument given to redis.register_function must be a string";
                description = Some(string(lua, -1).ok_or(why)?);
            }
            b"callback" if lua.kind(-1) == Type::Function => {
                lua.push_value(-1);
                lua.replace(callback);
            }
            b"callback" => {
                return Err(
                    "callback argument given to redis.register_function must be a function",
                );
            }
            b"flags" if lua.kind(-1) == Type::Table => {
                flags = self::flags(lua).ok_or("unknown flag given")?;
            }
            b"flags" => {
                return Err(
                    "flags argument to redis.register_function must be a table representing function flags",
                );
            }
            _ => return Err("unknown argument given to redis.register_function"),
        }
        lua.pop(1);
    }
    let name = name.ok_or("redis.register_function must get a function name argument")?;
    if lua.kind(callback) != Type::Function {
        return Err("redis.register_function must get a callback argument");
    }
    lua.set_top(callback);
    Ok(Function {
        name,
        description,
        flags,
    })
}

/// A string, or the text of a number, which stays one.
fn string(lua: Lua, index: i32) -> Option<Vec<u8>> {
    lua.push_value(index);
    let text = lua.bytes(-1).map(<[u8]>::to_vec);
    lua.pop(1);
    text
}

/// The flags in the list on the top of the stack.
fn flags(lua: Lua) -> Option<Flags> {
    let mut flags = Flags::default();
    for n in 1.. {
        lua.raw_get_at(-1, n);
        let end = lua.kind(-1) == Type::Nil;
        let flag = match end {
            true => Some(Flags::default()),
            false => lua
                .bytes(-1)
                .and_then(|name| Flags::named(&name.to_ascii_lowercase())),
        };
        lua.pop(1);
        flags = flags.with(flag?);
        if end {
            break;
        }
    }
    Some(flags)
}
