//! CLIENT: what connections are, who may go on, and who must go.

mod filter;
mod line;
mod rows;

use super::connection::{checked_name, is_printable};
use crate::clients::{Client, Closing, Special};
use crate::core::{Core, Host, HostHandler};
use crate::driver::ConnId;
use command::table::Row;
use command::{Effect, Error, Outcome, introspect};
use engine::Scope;
use filter::{Filter, For};
use line::Own;
use resp::number::parse_i64;

const NAME: &str = "client";

pub fn rows() -> Vec<Row<HostHandler>> {
    let subcommands: [(_, HostHandler); 18] = [
        (&rows::CAPA, capa),
        (&rows::GETNAME, getname),
        (&rows::GETREDIR, getredir),
        (&rows::HELP, help),
        (&rows::ID, id),
        (&rows::IMPORT_SOURCE, import_source),
        (&rows::INFO, info),
        (&rows::KILL, kill),
        (&rows::LIST, list),
        (&rows::NO_EVICT, no_evict),
        (&rows::NO_TOUCH, no_touch),
        (&rows::PAUSE, pause),
        (&rows::REPLY, reply),
        (&rows::SETINFO, setinfo),
        (&rows::SETNAME, setname),
        (&rows::TRACKINGINFO, trackinginfo),
        (&rows::UNBLOCK, unblock),
        (&rows::UNPAUSE, unpause),
    ];
    let mut rows = vec![Row::container(&rows::CLIENT)];
    rows.extend(subcommands.map(|(spec, handler)| Row::subcommand(NAME, spec, handler)));
    rows
}

/// Words that a client does not know are as good as those that it does: they are claims about
/// itself.
fn capa(host: &mut Host<'_>) -> Outcome {
    let words = host.args.from(2);
    let claims_redirect = words.iter().any(|w| w.eq_ignore_ascii_case(b"redirect"));
    if claims_redirect {
        host.client.session.redirect = true;
    }
    host.reply.ok();
    Ok(Effect::Read)
}

fn getname(host: &mut Host<'_>) -> Outcome {
    match &*host.client.session.name {
        [] => host.reply.null(),
        name => host.reply.bulk(name),
    }
    Ok(Effect::Read)
}

/// No keys are tracked, so nobody is told.
fn getredir(host: &mut Host<'_>) -> Outcome {
    host.reply.int(-1);
    Ok(Effect::Read)
}

fn help(host: &mut Host<'_>) -> Outcome {
    let subcommands = rows().into_iter().filter(|r| r.parent.is_some());
    let specs = subcommands.map(|r| r.spec);
    introspect::help(host.reply, NAME, specs);
    Ok(Effect::Read)
}

fn id(host: &mut Host<'_>) -> Outcome {
    host.reply.int(host.client.id as i64);
    Ok(Effect::Read)
}

/// There is no import mode.
fn import_source(_: &mut Host<'_>) -> Outcome {
    Err(Error::new("ERR Server is not in import mode"))
}

fn info(host: &mut Host<'_>) -> Outcome {
    let mut text = Vec::new();
    let own = Own {
        reply: host.reply,
        args: host.args,
    };
    line::write(&mut text, host.core, host.client, Some(own));
    host.reply.verbatim(b"txt", &text);
    Ok(Effect::Read)
}

fn kill(host: &mut Host<'_>) -> Outcome {
    if host.args.len() == 3 {
        return kill_address(host);
    }
    let databases = host.core.shard.databases();
    let filter = Filter::parse(host.args, databases, For::Kill)?;
    let now_ms = host.core.now_ms();
    let others: Vec<ConnId> = match filter.ids() {
        Some(ids) => found(host.core, ids).map(|c| c.conn).collect(),
        None => host.core.clients.iter().map(|c| c.conn).collect(),
    };
    let mut killed = 0;
    for conn in others {
        let client = host.core.clients.get(conn);
        if client.is_some_and(|c| c.closing != Closing::Now && filter.admits(c, now_ms)) {
            host.core.clients.close(conn, Closing::Now);
            killed += 1;
        }
    }
    if filter.skip_me == Some(false) && filter.admits(host.client, now_ms) {
        host.client.closing = Closing::AfterReply;
        killed += 1;
    }
    host.reply.int(killed);
    Ok(Effect::Read)
}

/// CLIENT KILL address. Whoever kills itself so is answered first.
fn kill_address(host: &mut Host<'_>) -> Outcome {
    let address = host.args.get(2);
    let is = |c: &Client| c.session.peer.remote().as_bytes() == address;
    if is(host.client) {
        host.client.closing = Closing::AfterReply;
    } else {
        let conn = host.core.clients.iter().find(|c| is(c)).map(|c| c.conn);
        let conn = conn.ok_or(Error::new("ERR No such client"))?;
        host.core.clients.close(conn, Closing::Now);
    }
    host.reply.ok();
    Ok(Effect::Read)
}

/// Clients of these ids, but the caller.
fn found<'c>(core: &'c Core, ids: &[i64]) -> impl Iterator<Item = &'c Client> {
    let conns = ids.iter().filter_map(|id| core.clients.conn_of(*id as u64));
    conns.filter_map(|conn| core.clients.get(conn))
}

fn list(host: &mut Host<'_>) -> Outcome {
    let filter = Filter::parse(host.args, host.core.shard.databases(), For::List)?;
    let core = &*host.core;
    let me = &*host.client;
    // In the order of the ids given, or of connecting.
    let mut clients: Vec<&Client> = Vec::new();
    match filter.ids() {
        Some(ids) => {
            for id in ids {
                if *id == me.id as i64 {
                    clients.push(me);
                } else {
                    clients.extend(found(core, &[*id]));
                }
            }
        }
        None => {
            clients.extend(core.clients.iter());
            clients.push(me);
            clients.sort_unstable_by_key(|c| c.id);
        }
    }
    let own = Own {
        reply: host.reply,
        args: host.args,
    };
    let mut text = Vec::new();
    for client in clients {
        let is_me = client.id == me.id;
        let skipped = is_me && filter.skip_me == Some(true);
        if !skipped && filter.admits(client, core.now_ms()) {
            line::write(&mut text, core, client, is_me.then_some(own));
        }
    }
    host.reply.verbatim(b"txt", &text);
    Ok(Effect::Read)
}

/// ON or OFF.
fn switch(word: &[u8]) -> Result<bool, Error> {
    match word {
        w if w.eq_ignore_ascii_case(b"on") => Ok(true),
        w if w.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err(Error::SYNTAX),
    }
}

fn no_evict(host: &mut Host<'_>) -> Outcome {
    host.client.session.no_evict = switch(host.args.get(2))?;
    host.reply.ok();
    Ok(Effect::Read)
}

fn no_touch(host: &mut Host<'_>) -> Outcome {
    let on = switch(host.args.get(2))?;
    host.client.special.set(Special::NO_TOUCH, on);
    host.reply.ok();
    Ok(Effect::Read)
}

/// The error for more arguments than a subcommand of some lengths takes.
fn too_many(subcommand: &[u8]) -> Error {
    Error::showing(
        "ERR unknown subcommand or wrong number of arguments for '",
        subcommand,
        "'. Try CLIENT HELP.",
    )
}

fn pause(host: &mut Host<'_>) -> Outcome {
    let args = host.args;
    if args.len() > 4 {
        return Err(too_many(args.get(1)));
    }
    let scope = match args.opt(3) {
        None => Scope::All,
        Some(w) if w.eq_ignore_ascii_case(b"all") => Scope::All,
        Some(w) if w.eq_ignore_ascii_case(b"write") => Scope::Writes,
        Some(_) => return Err(Error::new("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let timeout_ms = parse_i64(args.get(2))
        .ok_or(Error::new("ERR timeout is not an integer or out of range"))?;
    if timeout_ms < 0 {
        return Err(Error::new("ERR timeout is negative"));
    }
    let until_ms = host.core.now_ms().checked_add(timeout_ms);
    let until_ms = until_ms.ok_or(Error::new("ERR timeout is out of range"))?;
    host.core.pause_clients(scope, until_ms);
    host.reply.ok();
    Ok(Effect::Read)
}

/// Only ON is answered. The flags that this sets and clears are looked at after the command: see
/// the dispatcher.
fn reply(host: &mut Host<'_>) -> Outcome {
    let special = &mut host.client.special;
    if host.args.is(2, "ON") {
        special.set(Special::REPLY_OFF.or(Special::REPLY_SKIP), false);
        host.reply.ok();
    } else if host.args.is(2, "OFF") {
        special.set(Special::REPLY_OFF, true);
    } else if host.args.is(2, "SKIP") {
        if !special.has(Special::REPLY_OFF) {
            special.set(Special::REPLY_SKIP_NEXT, true);
        }
    } else {
        return Err(Error::SYNTAX);
    }
    Ok(Effect::Read)
}

fn setinfo(host: &mut Host<'_>) -> Outcome {
    let (option, value) = (host.args.get(2), host.args.get(3));
    let session = &mut host.client.session;
    let field = match option {
        o if o.eq_ignore_ascii_case(b"lib-name") => &mut session.lib_name,
        o if o.eq_ignore_ascii_case(b"lib-ver") => &mut session.lib_version,
        _ => {
            return Err(Error::showing("ERR Unrecognized option '", option, "'"));
        }
    };
    if !is_printable(value) {
        return Err(Error::showing(
            "ERR ",
            option,
            " cannot contain spaces, newlines or special characters.",
        ));
    }
    *field = value.into();
    host.reply.ok();
    Ok(Effect::Read)
}

fn setname(host: &mut Host<'_>) -> Outcome {
    host.client.session.name = checked_name(host.args.get(2))?.into();
    host.reply.ok();
    Ok(Effect::Read)
}

/// What Redis answers to a client that tracks nothing.
fn trackinginfo(host: &mut Host<'_>) -> Outcome {
    let reply = &mut *host.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.int(-1);
    reply.bulk(b"prefixes");
    reply.array(0);
    Ok(Effect::Read)
}

/// No command blocks, so nobody is found waiting.
fn unblock(host: &mut Host<'_>) -> Outcome {
    let args = host.args;
    if args.len() > 4 {
        return Err(too_many(args.get(1)));
    }
    if let Some(reason) = args.opt(3)
        && !reason.eq_ignore_ascii_case(b"timeout")
        && !reason.eq_ignore_ascii_case(b"error")
    {
        return Err(Error::new(
            "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
        ));
    }
    parse_i64(args.get(2)).ok_or(Error::NOT_INTEGER)?;
    host.reply.int(0);
    Ok(Effect::Read)
}

fn unpause(host: &mut Host<'_>) -> Outcome {
    host.core.unpause_clients();
    host.reply.ok();
    Ok(Effect::Read)
}
