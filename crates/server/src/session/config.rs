//! CONFIG: the configuration of the running server.
//!
//! [`Config`] checks and stores values; here a change is put into effect. Settings that are read
//! where they are needed take effect by being stored, those that are copied out of the configuration
//! by [`Core::apply_config`]; what can fail (a directory, a port, a number of clients) is tried
//! first, and undone when something else fails. The change is made once, in [`Control`]; then every
//! shard takes it over.
//!
//! To make another directive do something when it is set: see [`Core::apply_config`], or
//! [`put_into_effect`] if that may fail.

use crate::aof;
use crate::config::{Config, Directive, RewriteError, SetError};
use crate::control::Control;
use crate::core::{Core, Host, HostHandler};
use crate::remote::survey::{self, Topic, Whom};
use crate::sampler::Sampler;
use crate::tasks::Finish;
use crate::{descriptors, logging, title};
use command::spec::{Argument, ArgumentKind};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const ROW: Spec = Spec {
    group: "server",
    since: "2.0.0",
    flags: Flags::ADMIN
        .or(Flags::LOADING)
        .or(Flags::NOSCRIPT)
        .or(Flags::STALE),
    ..Spec::DEFAULT
};

const EVERY_NODE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

static CONFIG: Spec = Spec {
    name: "config",
    arity: -2,
    flags: Flags::NONE,
    summary: "The configuration of the running server.",
    complexity: "Depends on the subcommand",
    ..ROW
};

static GET: Spec = Spec {
    name: "get",
    arity: -3,
    summary: "Answers the values of the directives that match.",
    complexity: "O(N) in the patterns times the directives",
    arguments: &[Argument::new("parameter", ArgumentKind::String).multiple()],
    history: &[("7.0.0", "Takes several patterns.")],
    ..ROW
};

static SET: Spec = Spec {
    name: "set",
    arity: -4,
    tips: EVERY_NODE,
    summary: "Changes directives: all of those given, or none.",
    complexity: "O(N) in the directives given",
    arguments: &[Argument::block(
        "data",
        &[
            Argument::new("parameter", ArgumentKind::String),
            Argument::new("value", ArgumentKind::String),
        ],
    )
    .multiple()],
    history: &[("7.0.0", "Takes several directives.")],
    ..ROW
};

static REWRITE: Spec = Spec {
    name: "rewrite",
    since: "2.8.0",
    arity: 2,
    tips: EVERY_NODE,
    summary: "Brings the configuration file up to date.",
    ..ROW
};

static RESETSTAT: Spec = Spec {
    name: "resetstat",
    arity: 2,
    tips: EVERY_NODE,
    summary: "Sets the statistics of INFO back to zero.",
    ..ROW
};

static HELP: Spec = Spec {
    name: "help",
    since: "5.0.0",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    summary: "Lists the subcommands.",
    ..ROW
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::container(&CONFIG),
        Row::subcommand("config", &GET, get),
        Row::subcommand("config", &HELP, super::command::help),
        Row::subcommand("config", &RESETSTAT, resetstat),
        Row::subcommand("config", &REWRITE, rewrite),
        Row::subcommand("config", &SET, set),
    ]
}

fn get(host: &mut Host<'_>) -> Outcome {
    let patterns: Vec<&[u8]> = host.args.from(2).iter().collect();
    let found = host.core.config.get(&patterns);
    host.reply.map(found.len());
    for (name, value) in found {
        host.reply.bulk(name.as_bytes());
        host.reply.bulk(&value);
    }
    Ok(Effect::Read)
}

fn set(host: &mut Host<'_>) -> Outcome {
    let words: Vec<&[u8]> = host.args.from(2).iter().collect();
    let (pairs, []) = words.as_chunks::<2>() else {
        return Err(Error::SYNTAX);
    };
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let is_local = host.client.session.peer.is_local();
    let process = Arc::clone(&host.core.process);
    let mut control = process.control();
    let before = control.config.appendonly();
    change(&mut control, is_local, &pairs).map_err(|refused| Error::bytes(refused.message()))?;
    let after = control.config.appendonly();
    process.aof.set_fsync(control.config.appendfsync());
    drop(control);
    if after != before {
        aof::turn::switch(host.core, after);
    }
    survey::ask(host, Whom::All, Topic::Reload, survey::answer_ok)
}

fn change(control: &mut Control, is_local: bool, pairs: &[(&[u8], &[u8])]) -> Result<(), SetError> {
    let guarded = control.config.enable_protected_configs().allows(is_local);
    let mut next = control.config.clone();
    let changed = next.set(pairs, guarded)?;
    put_into_effect(control, next, &changed)?;
    for notice in changed.iter().filter_map(|d| control.config.notice(d)) {
        log::warn!("CONFIG SET: {}", notice.text);
    }
    Ok(())
}

/// Makes `next` the configuration, or nothing.
fn put_into_effect(
    control: &mut Control,
    mut next: Config,
    changed: &[&'static Directive],
) -> Result<(), SetError> {
    let has = |name: &str| changed.iter().any(|d| d.name == name);
    if has("maxclients") {
        descriptors::make_room(next.maxclients()).map_err(|refused| {
            let clients = refused.clients();
            SetError::refused(
                "maxclients",
                format!(
                    "The operating system is not able to handle the specified number of clients, \
                     try with {clients}"
                ),
            )
        })?;
    }
    if has("dir") {
        enter_dir(&mut next)?;
    }
    if has("port") || has("bind") {
        move_tcp(control, &next, has("port")).inspect_err(|_| {
            if has("dir")
                && let Err(e) = std::env::set_current_dir(control.config.dir())
            {
                log::error!("Back to {}: {e}", control.config.dir().display());
            }
        })?;
    }
    control.configure(next);
    if has("loglevel") {
        logging::set(&control.config);
    }
    if has("proc-title-template") || has("port") || has("bind") {
        title::show(&control.config);
    }
    Ok(())
}

/// The system's words, without the number that Rust adds.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next();
    words.unwrap_or_default().to_owned()
}

fn enter_dir(next: &mut Config) -> Result<(), SetError> {
    let refused = |e: io::Error| SetError::refused("dir", words(&e));
    std::env::set_current_dir(next.dir()).map_err(refused)?;
    let dir = std::env::current_dir().map_err(refused)?;
    next.settle("dir", dir.as_os_str().as_bytes())
        .map_err(|reason| SetError::refused("dir", reason))
}

fn move_tcp(control: &mut Control, next: &Config, port: bool) -> Result<(), SetError> {
    let listeners = control.listeners.move_tcp(next).map_err(|error| {
        log::warn!("{error}");
        match port {
            true => SetError::refused("port", "Unable to listen on this port. Check server logs."),
            false => SetError::refused("bind", "Failed to bind to specified addresses."),
        }
    })?;
    control.moved = Some(listeners);
    Ok(())
}

/// The configuration is written to the disk by a thread, because syncing a file may take seconds.
fn rewrite(host: &mut Host<'_>) -> Outcome {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    /// Number of the newest configuration written. Its lock lets one thread at a time write.
    static WRITTEN: Mutex<u64> = Mutex::new(0);
    let control = host.core.process.control();
    let config = control.config.clone();
    if config.file().is_none() {
        return Err(Error::new(RewriteError::NoFile.to_string()));
    }
    // Numbers are in the order of the configurations while nobody can change them.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
    drop(control);
    let command = host.client.session.last_command;
    host.core.tasks.start(host.client, move || -> Finish {
        let mut written = WRITTEN.lock().unwrap_or_else(|e| e.into_inner());
        let result = match number {
            // A later request has overtaken this one, and wrote what it knew and more.
            n if n < *written => Ok(()),
            _ => config.rewrite().inspect(|()| *written = number),
        };
        match result {
            Ok(()) => {
                log::info!("CONFIG REWRITE executed with success.");
                Box::new(|_, reply| reply.ok())
            }
            Err(error) => {
                log::warn!("CONFIG REWRITE failed: {error}");
                let error = Error::new(error.to_string());
                Box::new(move |core, reply| {
                    if let Some(command) = command {
                        core.stats.commands[command].failed += 1;
                    }
                    core.reply_error(reply, &error);
                })
            }
        }
    });
    Ok(Effect::Read)
}

fn resetstat(host: &mut Host<'_>) -> Outcome {
    survey::ask(host, Whom::All, Topic::ResetStats, survey::answer_ok)
}

impl Core {
    /// CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.stats.reset();
        self.shard.reset_stats();
        self.sampler = Sampler::default();
    }
}
