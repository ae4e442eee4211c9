//! EVAL, FCALL, SCRIPT, FUNCTION: the rows. How scripts run is [`crate::scripting`]'s matter.

use crate::aof::journal;
use crate::core::{Core, Host, HostHandler};
use crate::remote::survey::{self, Finding, Findings, Topic, Whom};
use crate::scripting::{self, Scripting, Shared, Texts};
use ::script::{Library, Script};
use command::introspect;
use command::keyspec::{KeyFlags, KeySpec};
use command::spec::{Argument, ArgumentKind as Kind};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use persist::dump;
use persist::encode::{Compression, Encoder};
use resp::{Reply, request};
use std::sync::Arc;
use std::time::Duration;
use store::glob;

/// How long the code of a library may run when it is loaded, as in Redis.
const LOAD_LIMIT: Duration = Duration::from_millis(500);

const RUNS: Flags = Flags::NOSCRIPT
    .or(Flags::STALE)
    .or(Flags::SKIP_MONITOR)
    .or(Flags::NO_MANDATORY_KEYS)
    .or(Flags::MOVABLEKEYS);

/// Of what waits for the end of CLIENT PAUSE WRITE.
const MAY_WRITE: Flags = RUNS.or(Flags::MAY_REPLICATE);

const fn keys(flags: KeyFlags, notes: &'static str) -> [KeySpec; 1] {
    [KeySpec {
        notes,
        ..KeySpec::counted(2, 1, flags)
    }]
}

static ANY: [KeySpec; 1] = keys(
    KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE),
    "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
);
static SHA_ANY: [KeySpec; 1] = keys(KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::UPDATE), "");
static READ: [KeySpec; 1] = keys(
    KeyFlags::RO.or(KeyFlags::ACCESS),
    "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
);
static SHA_READ: [KeySpec; 1] = keys(KeyFlags::RO.or(KeyFlags::ACCESS), "");

const fn arguments(first: &'static str) -> [Argument; 4] {
    [
        Argument::new(first, Kind::String),
        Argument::new("numkeys", Kind::Integer),
        Argument::key("key", 0).optional().multiple(),
        Argument::new("arg", Kind::String).optional().multiple(),
    ]
}

static OF_SCRIPT: [Argument; 4] = arguments("script");
static OF_SHA: [Argument; 4] = arguments("sha1");
static OF_FUNCTION: [Argument; 4] = arguments("function");

const ROW: Spec = Spec {
    group: "scripting",
    since: "7.0.0",
    arity: -3,
    flags: RUNS,
    complexity: "That of the script.",
    ..Spec::DEFAULT
};

static EVAL: Spec = Spec {
    name: "eval",
    since: "2.6.0",
    flags: MAY_WRITE,
    keys: &ANY,
    summary: "Runs a script.",
    arguments: &OF_SCRIPT,
    ..ROW
};
static EVALSHA: Spec = Spec {
    name: "evalsha",
    since: "2.6.0",
    flags: MAY_WRITE,
    keys: &SHA_ANY,
    summary: "Runs a script that the server knows.",
    arguments: &OF_SHA,
    ..ROW
};
static EVAL_RO: Spec = Spec {
    name: "eval_ro",
    flags: RUNS.or(Flags::READONLY),
    keys: &READ,
    summary: "Runs a script that may not write.",
    arguments: &OF_SCRIPT,
    ..ROW
};
static EVALSHA_RO: Spec = Spec {
    name: "evalsha_ro",
    flags: RUNS.or(Flags::READONLY),
    keys: &SHA_READ,
    summary: "Runs a script that the server knows, and that may not write.",
    arguments: &OF_SHA,
    ..ROW
};
static FCALL: Spec = Spec {
    name: "fcall",
    flags: MAY_WRITE,
    keys: &ANY,
    summary: "Calls a function.",
    complexity: "That of the function.",
    arguments: &OF_FUNCTION,
    ..ROW
};
static FCALL_RO: Spec = Spec {
    name: "fcall_ro",
    flags: RUNS.or(Flags::READONLY),
    keys: &READ,
    summary: "Calls a function that may not write.",
    complexity: "That of the function.",
    arguments: &OF_FUNCTION,
    ..ROW
};

static SCRIPT: Spec = Spec {
    name: "script",
    group: "scripting",
    since: "2.6.0",
    arity: -2,
    summary: "Groups the commands about known scripts.",
    complexity: "Depends on the subcommand.",
    ..Spec::DEFAULT
};

const SUB: Spec = Spec {
    group: "scripting",
    since: "2.6.0",
    flags: Flags::NOSCRIPT,
    ..Spec::DEFAULT
};

const FLUSHES: &[Argument] = &[Argument::one_of(
    "flush-type",
    &[
        Argument::token("async", "ASYNC"),
        Argument::token("sync", "SYNC"),
    ],
)
.optional()];

static SCRIPT_DEBUG: Spec = Spec {
    name: "debug",
    since: "3.2.0",
    arity: 3,
    summary: "Would begin or end the debugging of scripts, which there is not.",
    arguments: &[Argument::one_of(
        "mode",
        &[
            Argument::token("yes", "YES"),
            Argument::token("sync", "SYNC"),
            Argument::token("no", "NO"),
        ],
    )],
    ..SUB
};
static SCRIPT_EXISTS: Spec = Spec {
    name: "exists",
    arity: -3,
    tips: &[
        "request_policy:all_shards",
        "response_policy:agg_logical_and",
    ],
    summary: "Tells which scripts the server knows.",
    complexity: "O(N) with N the scripts asked for.",
    arguments: &[Argument::new("sha1", Kind::String).multiple()],
    ..SUB
};
static SCRIPT_FLUSH: Spec = Spec {
    name: "flush",
    arity: -2,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary: "Forgets all scripts.",
    complexity: "O(N) with N the scripts known.",
    arguments: &[Argument::one_of(
        "flush-type",
        &[
            Argument::token("async", "ASYNC"),
            Argument::token("sync", "SYNC"),
        ],
    )
    .optional()
    .since("6.2.0")],
    history: &[("6.2.0", "`ASYNC` and `SYNC`.")],
    ..SUB
};
static SCRIPT_KILL: Spec = Spec {
    name: "kill",
    arity: 2,
    flags: Flags::NOSCRIPT.or(Flags::ALLOW_BUSY),
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    summary: "Ends the scripts that run for too long, unless they have written.",
    ..SUB
};
static SCRIPT_LOAD: Spec = Spec {
    name: "load",
    arity: 3,
    flags: Flags::NOSCRIPT.or(Flags::STALE),
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary: "Makes a script known.",
    complexity: "O(N) with N the bytes of the script.",
    arguments: &[Argument::new("script", Kind::String)],
    ..SUB
};
static SCRIPT_SHOW: Spec = Spec {
    name: "show",
    since: "8.0.0",
    arity: 3,
    flags: Flags::NOSCRIPT.or(Flags::STALE),
    summary: "Answers the text of a script.",
    arguments: &[Argument::new("sha1", Kind::String)],
    ..SUB
};
static SCRIPT_HELP: Spec = Spec {
    name: "help",
    group: "scripting",
    since: "5.0.0",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    summary: "Lists the subcommands.",
    ..Spec::DEFAULT
};

static FUNCTION: Spec = Spec {
    name: "function",
    group: "scripting",
    since: "7.0.0",
    arity: -2,
    summary: "Groups the commands about functions.",
    complexity: "Depends on the subcommand.",
    ..Spec::DEFAULT
};

const OF_LIBRARIES: Spec = Spec {
    since: "7.0.0",
    ..SUB
};
const CHANGES: Spec = Spec {
    flags: Flags::NOSCRIPT.or(Flags::WRITE),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    ..OF_LIBRARIES
};

static FUNCTION_DELETE: Spec = Spec {
    name: "delete",
    arity: 3,
    summary: "Deletes a library with its functions.",
    arguments: &[Argument::new("library-name", Kind::String)],
    ..CHANGES
};
static FUNCTION_DUMP: Spec = Spec {
    name: "dump",
    arity: 2,
    summary: "Answers all libraries as a payload for FUNCTION RESTORE.",
    complexity: "O(N) with N the functions.",
    ..OF_LIBRARIES
};
static FUNCTION_FLUSH: Spec = Spec {
    name: "flush",
    arity: -2,
    summary: "Deletes all libraries.",
    complexity: "O(N) with N the functions.",
    arguments: FLUSHES,
    ..CHANGES
};
static FUNCTION_HELP: Spec = Spec {
    name: "help",
    group: "scripting",
    since: "7.0.0",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    summary: "Lists the subcommands.",
    ..Spec::DEFAULT
};
static FUNCTION_KILL: Spec = Spec {
    name: "kill",
    arity: 2,
    flags: Flags::NOSCRIPT.or(Flags::ALLOW_BUSY),
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    summary: "Ends the functions that run for too long, unless they have written.",
    ..OF_LIBRARIES
};
static FUNCTION_LIST: Spec = Spec {
    name: "list",
    arity: -2,
    tips: &["nondeterministic_output_order"],
    summary: "Describes the libraries.",
    complexity: "O(N) with N the functions.",
    arguments: &[
        Argument::new("library-name-pattern", Kind::String)
            .with_token("LIBRARYNAME")
            .optional(),
        Argument::token("withcode", "WITHCODE").optional(),
    ],
    ..OF_LIBRARIES
};
static FUNCTION_LOAD: Spec = Spec {
    name: "load",
    arity: -3,
    flags: Flags::NOSCRIPT.or(Flags::WRITE).or(Flags::DENYOOM),
    summary: "Creates a library, or replaces it.",
    arguments: &[
        Argument::token("replace", "REPLACE").optional(),
        Argument::new("function-code", Kind::String),
    ],
    ..CHANGES
};
static FUNCTION_RESTORE: Spec = Spec {
    name: "restore",
    arity: -3,
    flags: Flags::NOSCRIPT.or(Flags::WRITE).or(Flags::DENYOOM),
    summary: "Creates the libraries of a payload.",
    complexity: "O(N) with N the functions in the payload.",
    arguments: &[
        Argument::new("serialized-value", Kind::String),
        Argument::one_of(
            "policy",
            &[
                Argument::token("flush", "FLUSH"),
                Argument::token("append", "APPEND"),
                Argument::token("replace", "REPLACE"),
            ],
        )
        .optional(),
    ],
    ..CHANGES
};
static FUNCTION_STATS: Spec = Spec {
    name: "stats",
    arity: 2,
    flags: Flags::NOSCRIPT.or(Flags::ALLOW_BUSY),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    summary: "Tells what runs, and how many libraries and functions there are.",
    ..OF_LIBRARIES
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::command(&EVAL, eval),
        Row::command(&EVALSHA, eval),
        Row::command(&EVALSHA_RO, eval),
        Row::command(&EVAL_RO, eval),
        Row::command(&FCALL, eval),
        Row::command(&FCALL_RO, eval),
        Row::container(&FUNCTION),
        Row::subcommand("function", &FUNCTION_DELETE, function_delete),
        Row::subcommand("function", &FUNCTION_DUMP, function_dump),
        Row::subcommand("function", &FUNCTION_FLUSH, function_flush),
        Row::subcommand("function", &FUNCTION_HELP, |host| help(host, "function")),
        Row::subcommand("function", &FUNCTION_KILL, |host| kill(host, true)),
        Row::subcommand("function", &FUNCTION_LIST, function_list),
        Row::subcommand("function", &FUNCTION_LOAD, function_load),
        Row::subcommand("function", &FUNCTION_RESTORE, function_restore),
        Row::subcommand("function", &FUNCTION_STATS, function_stats),
        Row::container(&SCRIPT),
        Row::subcommand("script", &SCRIPT_DEBUG, script_debug),
        Row::subcommand("script", &SCRIPT_EXISTS, script_exists),
        Row::subcommand("script", &SCRIPT_FLUSH, script_flush),
        Row::subcommand("script", &SCRIPT_HELP, |host| help(host, "script")),
        Row::subcommand("script", &SCRIPT_KILL, |host| kill(host, false)),
        Row::subcommand("script", &SCRIPT_LOAD, script_load),
        Row::subcommand("script", &SCRIPT_SHOW, script_show),
    ]
}

fn help(host: &mut Host<'_>, container: &'static str) -> Outcome {
    let subcommands = rows().into_iter();
    let subcommands = subcommands.filter(|row| row.parent == Some(container));
    introspect::help(host.reply, container, subcommands.map(|row| row.spec));
    Ok(Effect::Read)
}

fn eval(host: &mut Host<'_>) -> Outcome {
    scripting::eval(host)?;
    Ok(Effect::Read)
}

fn kill(host: &mut Host<'_>, functions: bool) -> Outcome {
    survey::ask(host, Whom::All, Topic::KillScript { functions }, killed)
}

fn killed(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let mut count = 0;
    for (_, finding) in findings {
        if let Finding::Reply(reply) = finding {
            count += i64::from(reply?.bytes() != b":0\r\n");
        }
    }
    if count == 0 {
        return Err(Error::fixed("NOTBUSY No scripts in execution right now."));
    }
    host.reply.ok();
    Ok(Effect::Read)
}

fn failed(error: ::script::Error) -> Error {
    Error::bytes(error.text().to_vec())
}

fn script_debug(host: &mut Host<'_>) -> Outcome {
    let args = host.args;
    if args.is(2, "no") {
        host.reply.ok();
        return Ok(Effect::Read);
    }
    Err(match args.is(2, "yes") || args.is(2, "sync") {
        true => Error::new("ERR There is no debugger for scripts"),
        false => Error::new("ERR Use SCRIPT DEBUG YES/SYNC/NO"),
    })
}

fn script_exists(host: &mut Host<'_>) -> Outcome {
    let texts = host.core.process.scripts.texts();
    host.reply.array(host.args.len() - 2);
    for sha in host.args.iter().skip(2) {
        let sha = sha.to_ascii_lowercase().try_into();
        let known = sha.is_ok_and(|sha| texts.script(&sha).is_some());
        host.reply.int(known.into());
    }
    Ok(Effect::Read)
}

/// Whether the last argument of a flush is one.
fn check_flush(host: &Host<'_>, complaint: &'static str) -> Result<(), Error> {
    let args = host.args;
    match args.len() {
        2 => Ok(()),
        3 if args.is(2, "sync") || args.is(2, "async") => Ok(()),
        _ => Err(Error::fixed(complaint)),
    }
}

fn script_flush(host: &mut Host<'_>) -> Outcome {
    check_flush(host, "ERR SCRIPT FLUSH only support SYNC|ASYNC option")?;
    let shared = &host.core.process.scripts;
    shared.texts().flush_scripts();
    shared.turn();
    host.reply.ok();
    Ok(Effect::Read)
}

fn script_load(host: &mut Host<'_>) -> Outcome {
    let script = Script::parse(host.args.get(2)).map_err(failed)?;
    host.core.scripting.vm()?.compile(&script).map_err(failed)?;
    host.core.process.scripts.texts().keep(&script, true);
    host.reply.bulk(script.sha().as_bytes());
    Ok(Effect::Read)
}

fn script_show(host: &mut Host<'_>) -> Outcome {
    let sha = host.args.get(2).to_ascii_lowercase().try_into();
    let texts = host.core.process.scripts.texts();
    let script = sha.ok().and_then(|sha| texts.script(&sha));
    let script = script.ok_or(Error::fixed(
        "NOSCRIPT No matching script. Please use EVAL.",
    ))?;
    host.reply.bulk(script.body());
    Ok(Effect::Read)
}

fn function_delete(host: &mut Host<'_>) -> Outcome {
    let mut texts = host.core.process.scripts.texts();
    let gone = texts.libraries.remove(host.args.get(2));
    gone.ok_or(Error::fixed("ERR Library not found"))?;
    drop(texts);
    functions_changed(host.core);
    host.reply.ok();
    Ok(Effect::Read)
}

fn function_flush(host: &mut Host<'_>) -> Outcome {
    check_flush(host, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option")?;
    host.core.process.scripts.texts().libraries.clear();
    functions_changed(host.core);
    host.reply.ok();
    Ok(Effect::Read)
}

fn function_load(host: &mut Host<'_>) -> Outcome {
    let args = host.args;
    let code = args.len() - 1;
    let mut replace = false;
    for i in 2..code {
        if replace || !args.is(i, "replace") {
            return Err(Error::showing(
                "ERR Unknown option given: ",
                args.get(i),
                "",
            ));
        }
        replace = true;
    }
    let vm = host.core.scripting.vm()?;
    let library = vm
        .load_library(args.get(code), LOAD_LIMIT)
        .map_err(failed)?;
    let shared = &host.core.process.scripts;
    create(&mut shared.texts(), &library, replace)?;
    functions_changed(host.core);
    host.reply.bulk(library.name());
    Ok(Effect::Read)
}

/// Tells all shards, and the log.
fn functions_changed(core: &mut Core) {
    let process = Arc::clone(&core.process);
    process.scripts.turn();
    if core.effects.is_on() {
        process.aof.note_functions(&process.scripts);
        journal::touch(core);
    }
}

/// The call that makes the functions what they are.
pub fn restoring(texts: &Texts) -> Vec<u8> {
    let mut call = Vec::new();
    if texts.libraries.is_empty() {
        request::put(&mut call, [&b"FUNCTION"[..], b"FLUSH"].into_iter());
        return call;
    }
    let mut encoder = Encoder::new(Compression::None);
    let codes = texts.libraries.values().map(Library::code);
    let payload = dump::write_functions(&mut encoder, codes);
    let words = [&b"FUNCTION"[..], b"RESTORE", payload, b"FLUSH"];
    request::put(&mut call, words.into_iter());
    call
}

/// Adds a library, unless another has its name or one of its functions' names.
fn create(texts: &mut Texts, library: &Library, replace: bool) -> Result<(), Error> {
    if !replace && texts.libraries.contains_key(library.name()) {
        return Err(Error::showing(
            "ERR Library '",
            library.name(),
            "' already exists",
        ));
    }
    for function in library.functions() {
        let other = texts.function(&function.name);
        if other.is_some_and(|other| other.name() != library.name()) {
            return Err(Error::showing(
                "ERR Function ",
                &function.name,
                " already exists",
            ));
        }
    }
    texts
        .libraries
        .insert(library.name().to_vec(), library.clone());
    Ok(())
}

fn function_dump(host: &mut Host<'_>) -> Outcome {
    let mut encoder = Encoder::new(Compression::Lzf);
    let texts = host.core.process.scripts.texts();
    let codes = texts.libraries.values().map(Library::code);
    host.reply.bulk(dump::write_functions(&mut encoder, codes));
    Ok(Effect::Read)
}

/// What becomes of the libraries that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Append,
    Flush,
    Replace,
}

fn function_restore(host: &mut Host<'_>) -> Outcome {
    let args = host.args;
    if args.len() > 4 {
        return Err(Error::showing(
            "ERR unknown subcommand or wrong number of arguments for '",
            args.get(1),
            "'. Try FUNCTION HELP.",
        ));
    }
    let policy = match args.opt(3) {
        None => Policy::Append,
        Some(_) if args.is(3, "append") => Policy::Append,
        Some(_) if args.is(3, "flush") => Policy::Flush,
        Some(_) if args.is(3, "replace") => Policy::Replace,
        Some(_) => {
            return Err(Error::fixed(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let payload = dump::Payload::check(args.get(2))
        .map_err(|_| Error::fixed("ERR DUMP payload version or checksum are wrong"))?;
    let codes = payload.functions().map_err(|error| match error {
        persist::error::Error::Unknown(_) => Error::fixed("ERR given type is not a function"),
        _ => Error::fixed("ERR failed loading the given functions payload"),
    })?;
    let mut new = Texts::default();
    for code in codes {
        let library = host.core.scripting.vm()?.load_library(&code, LOAD_LIMIT);
        create(&mut new, &library.map_err(failed)?, false)?;
    }
    let shared = &host.core.process.scripts;
    join(&mut shared.texts(), new, policy)?;
    functions_changed(host.core);
    host.reply.ok();
    Ok(Effect::Read)
}

/// Adds the libraries that a file has, before anybody can call them.
pub fn load_functions(shared: &Shared, codes: &[Vec<u8>]) -> Result<(), Error> {
    if codes.is_empty() {
        return Ok(());
    }
    let mut scripting = Scripting::default();
    let mut new = Texts::default();
    for code in codes {
        let library = scripting.vm()?.load_library(code, LOAD_LIMIT);
        create(&mut new, &library.map_err(failed)?, true)?;
    }
    join(&mut shared.texts(), new, Policy::Replace)?;
    shared.turn();
    Ok(())
}

/// Adds libraries to those that are there, all or none.
fn join(texts: &mut Texts, new: Texts, policy: Policy) -> Result<(), Error> {
    let mut joined = Texts::default();
    if policy != Policy::Flush {
        joined.libraries = texts.libraries.clone();
    }
    for library in new.libraries.values() {
        let name = library.name();
        if policy == Policy::Replace {
            joined.libraries.remove(name);
        } else if joined.libraries.contains_key(name) {
            return Err(Error::showing("ERR Library ", name, " already exists"));
        }
    }
    for library in new.libraries.values() {
        create(&mut joined, library, false)?;
    }
    texts.libraries = joined.libraries;
    Ok(())
}

fn function_list(host: &mut Host<'_>) -> Outcome {
    let args = host.args;
    let (mut pattern, mut with_code) = (None, false);
    let mut i = 2;
    while i < args.len() {
        if !with_code && args.is(i, "withcode") {
            with_code = true;
            i += 1;
        } else if pattern.is_none() && args.is(i, "libraryname") {
            let given = args.opt(i + 1);
            pattern = Some(given.ok_or(Error::fixed("ERR library name argument was not given"))?);
            i += 2;
        } else {
            return Err(Error::showing("ERR Unknown argument ", args.get(i), ""));
        }
    }
    let texts = host.core.process.scripts.texts();
    let is_asked = |l: &&Library| pattern.is_none_or(|p| glob::matches(p, l.name(), true));
    let libraries: Vec<&Library> = texts.libraries.values().filter(is_asked).collect();
    host.reply.array(libraries.len());
    for library in libraries {
        describe(host.reply, library, with_code);
    }
    Ok(Effect::Read)
}

fn describe(reply: &mut Reply, library: &Library, with_code: bool) {
    reply.map(3 + usize::from(with_code));
    reply.bulk(b"library_name");
    reply.bulk(library.name());
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions().len());
    for function in library.functions() {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(&function.name);
        reply.bulk(b"description");
        match &function.description {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        let flags: Vec<_> = function.flags.names().collect();
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(library.code());
    }
}

fn function_stats(host: &mut Host<'_>) -> Outcome {
    let texts = host.core.process.scripts.texts();
    let functions: usize = texts.libraries.values().map(|l| l.functions().len()).sum();
    let reply = &mut *host.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    reply.null();
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.int(texts.libraries.len() as i64);
    reply.bulk(b"functions_count");
    reply.int(functions as i64);
    Ok(Effect::Read)
}
