//! MONITOR. Who is told what is [`crate::monitor`]'s matter.

use crate::clients::Special;
use crate::core::{Host, HostHandler};
use crate::monitor;
use crate::remote::survey::{self, Findings, Topic, Whom};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};

static MONITOR: Spec = Spec {
    name: "monitor",
    group: "server",
    arity: 1,
    flags: Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE),
    summary: "Tells the connection of all commands that are called from now on.",
    ..Spec::DEFAULT
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![Row::command(&MONITOR, begin)]
}

fn begin(host: &mut Host<'_>) -> Outcome {
    if host.client.session.denies_blocking {
        return Err(Error::new(
            "ERR MONITOR isn't allowed for DENY BLOCKING client",
        ));
    }
    // As in Redis, who is one already is not even answered.
    if host.client.special.has(Special::MONITOR) {
        return Ok(Effect::Read);
    }
    survey::ask(host, Whom::All, Topic::Monitor, begun)
}

fn begun(host: &mut Host<'_>, _: Findings) -> Outcome {
    monitor::add(host.core, host.client);
    host.reply.ok();
    Ok(Effect::Read)
}
