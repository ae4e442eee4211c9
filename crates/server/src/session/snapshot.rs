//! SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF.

use crate::aof::turn;
use crate::core::{Core, Host, HostHandler};
use crate::snapshot;
use crate::tasks::Finish;
use command::spec::Argument;
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use resp::Reply;
use std::sync::Arc;

const ROW: Spec = Spec {
    group: "server",
    ..Spec::DEFAULT
};

static SAVE: Spec = Spec {
    name: "save",
    arity: 1,
    flags: Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::NO_ASYNC_LOADING)
        .or(Flags::NO_MULTI),
    summary: "Writes all keys to the dump file, and answers when that is done.",
    complexity: "O(N) in the keys of all databases",
    ..ROW
};

static BGSAVE: Spec = Spec {
    name: "bgsave",
    arity: -1,
    flags: Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::NO_ASYNC_LOADING),
    summary: "Begins to write all keys to the dump file.",
    complexity: "O(1)",
    arguments: &[Argument::one_of(
        "operation",
        &[
            Argument::token("schedule", "SCHEDULE").since("3.2.2"),
            Argument::token("cancel", "CANCEL").since("8.1.0"),
        ],
    )
    .optional()],
    history: &[("3.2.2", "Takes SCHEDULE.")],
    ..ROW
};

static LASTSAVE: Spec = Spec {
    name: "lastsave",
    arity: 1,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    categories: &["admin", "dangerous"],
    tips: &["nondeterministic_output"],
    summary: "Answers when the dump file was written last, in Unix seconds.",
    ..ROW
};

static BGREWRITEAOF: Spec = Spec {
    name: "bgrewriteaof",
    since: "1.0.0",
    arity: 1,
    flags: Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::NO_ASYNC_LOADING),
    summary: "Begins to write the append-only file anew.",
    complexity: "O(1)",
    ..ROW
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::command(&SAVE, save),
        Row::command(&BGSAVE, bgsave),
        Row::command(&LASTSAVE, lastsave),
        Row::command(&BGREWRITEAOF, bgrewriteaof),
    ]
}

/// The answer to a save that has ended.
fn answer(core: &mut Core, reply: &mut Reply, outcome: Result<(), String>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(_) => core.reply_error(reply, &Error::fixed("ERR")),
    }
}

fn save(host: &mut Host<'_>) -> Outcome {
    let save = snapshot::begin(host.core, false)?;
    host.core.tasks.start(host.client, move || {
        let outcome = save.wait();
        let finish: Finish = Box::new(move |core, reply| answer(core, reply, outcome));
        finish
    });
    Ok(Effect::Read)
}

fn bgsave(host: &mut Host<'_>) -> Outcome {
    match host.args.len() {
        1 => {}
        2 if host.args.is(1, "schedule") => {
            let process = Arc::clone(&host.core.process);
            if process.aof.state().rewriting.is_some() {
                process.snapshots.state().scheduled = true;
                host.reply.simple("Background saving scheduled");
                return Ok(Effect::Read);
            }
        }
        2 if host.args.is(1, "cancel") => return cancel(host),
        _ => return Err(Error::SYNTAX),
    }
    snapshot::begin(host.core, true)?;
    host.reply.simple("Background saving started");
    Ok(Effect::Read)
}

fn cancel(host: &mut Host<'_>) -> Outcome {
    let mut state = host.core.process.snapshots.state();
    if std::mem::take(&mut state.scheduled) {
        drop(state);
        host.reply.simple("Scheduled background saving cancelled");
        return Ok(Effect::Read);
    }
    match state.running.as_ref().filter(|_| state.in_background()) {
        Some(running) => running.abandon(),
        None => {
            return Err(Error::fixed(
                "ERR Background saving is currently not in progress or scheduled",
            ));
        }
    }
    host.reply.simple("Background saving cancelled");
    Ok(Effect::Read)
}

fn bgrewriteaof(host: &mut Host<'_>) -> Outcome {
    let process = Arc::clone(&host.core.process);
    if process.aof.state().rewriting.is_some() {
        return Err(Error::fixed(
            "ERR Background append only file rewriting already in progress",
        ));
    }
    if process.snapshots.state().running.is_some() {
        process.aof.state().scheduled = true;
        host.reply
            .simple("Background append only file rewriting scheduled");
        return Ok(Effect::Read);
    }
    turn::rewrite(host.core)?;
    host.reply
        .simple("Background append only file rewriting started");
    Ok(Effect::Read)
}

fn lastsave(host: &mut Host<'_>) -> Outcome {
    let saved = host.core.process.snapshots.state().saved;
    host.reply.int(saved);
    Ok(Effect::Read)
}
