//! COMMAND, and HELP of every container: what the command table says of itself.

use crate::core::{Host, HostHandler};
use command::introspect::{self, rows};
use command::table::Row;
use command::{Effect, Outcome};

pub fn rows() -> Vec<Row<HostHandler>> {
    let subcommand = |spec, handler: HostHandler| Row::subcommand("command", spec, handler);
    vec![
        Row::command(&rows::COMMAND, command),
        subcommand(&rows::COUNT, count),
        subcommand(&rows::DOCS, docs),
        subcommand(&rows::GETKEYS, getkeys),
        subcommand(&rows::GETKEYSANDFLAGS, getkeysandflags),
        subcommand(&rows::HELP, help),
        subcommand(&rows::INFO, info),
        subcommand(&rows::LIST, list),
    ]
}

fn command(host: &mut Host<'_>) -> Outcome {
    introspect::command(host.reply, &host.core.process.table);
    Ok(Effect::Read)
}

fn count(host: &mut Host<'_>) -> Outcome {
    introspect::count(host.reply, &host.core.process.table);
    Ok(Effect::Read)
}

fn docs(host: &mut Host<'_>) -> Outcome {
    introspect::docs(host.reply, &host.core.process.table, host.args);
    Ok(Effect::Read)
}

fn getkeys(host: &mut Host<'_>) -> Outcome {
    introspect::getkeys(host.reply, &host.core.process.table, host.args)?;
    Ok(Effect::Read)
}

fn getkeysandflags(host: &mut Host<'_>) -> Outcome {
    introspect::getkeysandflags(host.reply, &host.core.process.table, host.args)?;
    Ok(Effect::Read)
}

fn info(host: &mut Host<'_>) -> Outcome {
    introspect::info(host.reply, &host.core.process.table, host.args);
    Ok(Effect::Read)
}

fn list(host: &mut Host<'_>) -> Outcome {
    introspect::list(host.reply, &host.core.process.table, host.args)?;
    Ok(Effect::Read)
}

/// HELP of any container of the host's.
pub(super) fn help(host: &mut Host<'_>) -> Outcome {
    let table = &host.core.process.table;
    if let Some(container) = table.find(host.args.get(0)) {
        let specs = table.subcommands(container).iter().map(|e| e.spec);
        introspect::help(host.reply, container.spec.name, specs);
    }
    Ok(Effect::Read)
}
