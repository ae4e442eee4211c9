//! PING, ECHO, SELECT, QUIT and their like.

use crate::clients::Closing;
use crate::core::{Host, HostHandler};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use resp::number::parse_i64;

static PING: Spec = Spec {
    name: "ping",
    group: "connection",
    arity: -1,
    flags: Flags::FAST,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    summary: "Answers PONG, or the message given.",
    ..Spec::DEFAULT
};

static ECHO: Spec = Spec {
    name: "echo",
    group: "connection",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    summary: "Answers the message given.",
    ..Spec::DEFAULT
};

static SELECT: Spec = Spec {
    name: "select",
    group: "connection",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    summary: "Changes the connection's database.",
    ..Spec::DEFAULT
};

static QUIT: Spec = Spec {
    name: "quit",
    group: "connection",
    arity: -1,
    flags: Flags::ALLOW_BUSY
        .or(Flags::FAST)
        .or(Flags::LOADING)
        .or(Flags::NO_AUTH)
        .or(Flags::NOSCRIPT)
        .or(Flags::STALE),
    summary: "Closes the connection.",
    ..Spec::DEFAULT
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::command(&PING, ping),
        Row::command(&ECHO, echo),
        Row::command(&SELECT, select),
        Row::command(&QUIT, quit),
    ]
}

fn ping(host: &mut Host<'_>) -> Outcome {
    match host.args.len() {
        1 => host.reply.simple("PONG"),
        2 => host.reply.bulk(host.args.get(1)),
        _ => return Err(Error::arity("ping")),
    }
    Ok(Effect::Read)
}

fn echo(host: &mut Host<'_>) -> Outcome {
    host.reply.bulk(host.args.get(1));
    Ok(Effect::Read)
}

fn select(host: &mut Host<'_>) -> Outcome {
    let index = parse_i64(host.args.get(1)).ok_or(Error::NOT_INTEGER)?;
    let db = usize::try_from(index).map_err(|_| Error::DB_INDEX)?;
    if db >= host.core.shard.databases() {
        return Err(Error::DB_INDEX);
    }
    host.client.db = db;
    host.reply.ok();
    Ok(Effect::Read)
}

fn quit(host: &mut Host<'_>) -> Outcome {
    host.reply.ok();
    host.client.closing = Closing::AfterReply;
    Ok(Effect::Read)
}
