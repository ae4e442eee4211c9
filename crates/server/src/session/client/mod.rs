//! CLIENT: what connections are, who may go on, and who must go.

mod filter;
mod line;
mod rows;
pub mod tracking;

use super::connection::{checked_name, is_printable};
use crate::clients::{Client, Closing, Special};
use crate::core::{Core, Host, HostHandler};
use crate::driver::ConnId;
use crate::remote::survey::{self, Caller, Finding, Findings, Topic, Whom};
use command::table::Row;
use command::{Effect, Error, Outcome, introspect};
use engine::Scope;
use filter::{Filter, For};
use line::Own;
use resp::Args;
use resp::number::parse_i64;
use std::sync::Arc;

const NAME: &str = "client";

pub fn rows() -> Vec<Row<HostHandler>> {
    let subcommands: [(_, HostHandler); 20] = [
        (&rows::CACHING, tracking::caching),
        (&rows::CAPA, capa),
        (&rows::GETNAME, getname),
        (&rows::GETREDIR, tracking::getredir),
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
        (&rows::TRACKING, tracking::tracking),
        (&rows::TRACKINGINFO, tracking::trackinginfo),
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
    Filter::parse(host.args, host.core.shard.databases(), For::Kill)?;
    survey::ask(host, Whom::All, Topic::Kill, kill_of)
}

/// Closes the shard's clients that meet the conditions, but the caller.
pub fn close_admitted(core: &mut Core, args: Args<'_>) -> i64 {
    let Ok(filter) = Filter::parse(args, core.shard.databases(), For::Kill) else {
        return 0;
    };
    let now_ms = core.now_ms();
    let others: Vec<ConnId> = match filter.ids() {
        Some(ids) => found(core, ids).map(|c| c.conn).collect(),
        None => core.clients.iter().map(|c| c.conn).collect(),
    };
    let mut closed = 0;
    for conn in others {
        let client = core.clients.get(conn);
        if client.is_some_and(|c| c.closing != Closing::Now && filter.admits(c, now_ms)) {
            core.clients.close(conn, Closing::Now);
            closed += 1;
        }
    }
    closed
}

/// The caller comes last, and only with SKIPME no.
fn kill_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let filter = Filter::parse(host.args, host.core.shard.databases(), For::Kill)?;
    let closed = findings.into_iter().map(|(_, finding)| match finding {
        Finding::Closed(closed) => closed,
        _ => unreachable!("shards were asked to close clients"),
    });
    let mut closed: i64 = closed.sum();
    if filter.skip_me == Some(false) && filter.admits(host.client, host.core.now_ms()) {
        host.client.closing = Closing::AfterReply;
        closed += 1;
    }
    host.reply.int(closed);
    Ok(Effect::Read)
}

fn has_address(client: &Client, address: &[u8]) -> bool {
    client.session.peer.remote().as_bytes() == address
}

/// CLIENT KILL address. Whoever kills itself so is answered first.
fn kill_address(host: &mut Host<'_>) -> Outcome {
    if has_address(host.client, host.args.get(2)) {
        host.client.closing = Closing::AfterReply;
        host.reply.ok();
        return Ok(Effect::Read);
    }
    survey::ask(host, Whom::All, Topic::Owners, kill_owner)
}

/// The shard's clients with this address. Those of a Unix socket have all the same.
pub fn owners(core: &Core, address: &[u8]) -> Vec<u64> {
    let clients = core.clients.iter();
    clients
        .filter(|c| has_address(c, address))
        .map(|c| c.id)
        .collect()
}

/// Closes the oldest client of the address.
fn kill_owner(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let found = findings
        .into_iter()
        .filter_map(|(shard, finding)| match finding {
            Finding::Owners(ids) => Some((ids.into_iter().min()?, shard)),
            _ => unreachable!("shards were asked for owners"),
        });
    let (client, shard) = found.min().ok_or(no_such_client())?;
    survey::ask(
        host,
        Whom::One(shard),
        Topic::Close { client },
        owner_killed,
    )
}

/// Closes a client, unless it has gone; how many that are.
pub fn close(core: &mut Core, client: u64) -> i64 {
    let Some(conn) = core.clients.conn_of(client) else {
        return 0;
    };
    core.clients.close(conn, Closing::Now);
    1
}

fn owner_killed(host: &mut Host<'_>, findings: Findings) -> Outcome {
    if !matches!(findings[..], [(_, Finding::Closed(1))]) {
        return Err(no_such_client());
    }
    host.reply.ok();
    Ok(Effect::Read)
}

fn no_such_client() -> Error {
    Error::new("ERR No such client")
}

/// Clients of these ids, but the caller.
fn found<'c>(core: &'c Core, ids: &[i64]) -> impl Iterator<Item = &'c Client> {
    let conns = ids.iter().filter_map(|id| core.clients.conn_of(*id as u64));
    conns.filter_map(|conn| core.clients.get(conn))
}

fn list(host: &mut Host<'_>) -> Outcome {
    Filter::parse(host.args, host.core.shard.databases(), For::List)?;
    survey::ask(host, Whom::All, Topic::List, list_of)
}

/// The lines of the shard's clients that meet the conditions.
pub fn lines(core: &Core, args: Args<'_>, caller: Option<Caller<'_>>) -> Lines {
    let mut lines = Lines::default();
    let Ok(filter) = Filter::parse(args, core.shard.databases(), For::List) else {
        return lines;
    };
    let mut add = |client: &Client, own: Option<Own<'_>>| {
        if filter.admits(client, core.now_ms()) {
            let start = lines.text.len();
            line::write(&mut lines.text, core, client, own);
            lines.lengths.push((client.id, lines.text.len() - start));
        }
    };
    match filter.ids() {
        Some(ids) => found(core, ids).for_each(|client| add(client, None)),
        None => core.clients.iter().for_each(|client| add(client, None)),
    }
    if let Some(Caller {
        client,
        reply,
        args,
    }) = caller
        && filter.skip_me != Some(true)
    {
        add(client, Some(Own { reply, args }));
    }
    lines
}

/// Lines one behind the other: a line each in a box of its own would be ten thousand boxes.
#[derive(Default)]
pub struct Lines {
    text: Vec<u8>,
    /// Of each line, its client's id and how long it is.
    lengths: Vec<(u64, usize)>,
}

impl Lines {
    fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = &self.text[..];
        self.lengths.iter().map(move |(id, length)| {
            let (line, behind) = rest.split_at(*length);
            rest = behind;
            (*id, line)
        })
    }
}

/// In the order of the ids given, or of connecting.
fn list_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let filter = Filter::parse(host.args, host.core.shard.databases(), For::List)?;
    let parts = findings.iter().map(|(_, finding)| match finding {
        Finding::Lines(lines) => lines,
        _ => unreachable!("lines were asked for"),
    });
    let mut lines: Vec<(u64, &[u8])> = parts.flat_map(Lines::iter).collect();
    lines.sort_by_key(|(id, _)| *id);
    let mut text = Vec::with_capacity(lines.iter().map(|(_, line)| line.len()).sum());
    match filter.ids() {
        Some(ids) => {
            for id in ids {
                if let Ok(at) = lines.binary_search_by_key(&(*id as u64), |(id, _)| *id) {
                    text.extend_from_slice(lines[at].1);
                }
            }
        }
        None => lines
            .iter()
            .for_each(|(_, line)| text.extend_from_slice(line)),
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
    let process = Arc::clone(&host.core.process);
    process
        .control()
        .start_pause(scope, until_ms, host.core.now_ms());
    survey::ask(host, Whom::All, Topic::Pause, survey::answer_ok)
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

fn unblock(host: &mut Host<'_>) -> Outcome {
    let args = host.args;
    if args.len() > 4 {
        return Err(too_many(args.get(1)));
    }
    let with_error = match args.opt(3) {
        None => false,
        Some(_) if args.is(3, "timeout") => false,
        Some(_) if args.is(3, "error") => true,
        Some(_) => {
            return Err(Error::new(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let client = parse_i64(args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let topic = Topic::Unblock {
        client: client as u64,
        with_error,
    };
    survey::ask(host, Whom::All, topic, unblocked)
}

fn unblocked(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let counts = findings.into_iter().map(|(_, finding)| match finding {
        Finding::Count(count) => count,
        _ => unreachable!("shards were asked to unblock a client"),
    });
    let count = counts.sum();
    host.reply.int(count);
    Ok(Effect::Read)
}

fn unpause(host: &mut Host<'_>) -> Outcome {
    host.core.process.control().pause.end();
    survey::ask(host, Whom::All, Topic::Reload, survey::answer_ok)
}
