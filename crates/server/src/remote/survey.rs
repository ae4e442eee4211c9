//! Commands that are about the whole server: a question to every shard, and one answer from what they
//! find.
//!
//! ```text
//!   handler ── ask ──► Question ──► each shard: examine ──► Finding ──► sum: the handler's second half
//! ```
//!
//! The client's own shard finds its part at once, while the client's command runs; the client is held
//! until the others have answered, and then the second half writes the reply. With one shard the
//! second half follows the first without a message. Shards are looked at one by one, not at one and
//! the same moment: numbers about a busy server are as good as that.
//!
//! Questions about data keep to the locks: a shard looks at its keys when no transaction has them.

use super::parcel::Sender;
use super::{Answer, Parked, Request};
use crate::blocking;
use crate::clients::{Client, Closing, Held};
use crate::commandlog;
use crate::core::{Core, Host};
use crate::latency;
use crate::monitor;
use crate::pubsub::{self, Change};
use crate::scripting::{self, program};
use crate::session::client as clients;
use crate::session::client::tracking as caching;
use crate::session::debug;
use crate::session::latency as spikes;
use crate::session::multi;
use crate::session::pubsub as subscriptions;
use crate::session::report::Report;
use crate::tracking;
use command::{Effect, Error, Outcome};
use engine::locks::{Mode, Want};
use engine::tx::{TxId, Waiter};
use resp::{Args, Pack, Protocol, Reply};
use std::collections::HashMap;
use store::watch::Seen;

/// What a shard is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Counters and sizes; those of each command only on demand.
    Report {
        commands: bool,
    },
    /// CLIENT LIST.
    List,
    /// CLIENT KILL with conditions.
    Kill,
    /// CLIENT KILL address: whose it is.
    Owners,
    /// Close one client.
    Close {
        client: u64,
    },
    /// Take over what has changed for the whole server.
    Reload,
    /// The same, and say so when no command is under way that began before.
    Pause,
    ResetStats,
    Digest,
    /// DEBUG HTSTATS of a database.
    Table {
        db: usize,
    },
    /// A subcommand of DEBUG on data.
    Debug,
    /// Note what has changed on the asker's shard.
    Subscriptions,
    /// Send a message to the subscribers of one of the shard's channels.
    Publish(pubsub::Kind),
    /// PUBSUB CHANNELS and NUMSUB.
    Channels(pubsub::Kind),
    /// SCRIPT KILL and FUNCTION KILL.
    KillScript {
        functions: bool,
    },
    /// WATCH.
    Watch,
    /// CLIENT UNBLOCK.
    Unblock {
        client: u64,
        with_error: bool,
    },
    Subscribers(pubsub::Kind),
    /// SLOWLOG GET: at most so many of the newest entries.
    Log {
        kind: commandlog::Kind,
        most: usize,
    },
    LogLength(commandlog::Kind),
    LogReset(commandlog::Kind),
    /// Spikes of latency.
    Latency,
    LatencyReset,
    /// MONITOR: note that there is one more.
    Monitor,
    /// Whether this client is there.
    Exists {
        client: u64,
    },
    /// CLIENT TRACKING with BCAST: note the prefixes of this client of the asker's.
    Prefixes {
        client: Sender,
    },
}

impl Topic {
    /// What of the shard must not be locked meanwhile, if it is about the data.
    fn want(self) -> Option<Want> {
        match self {
            Topic::Digest | Topic::Table { .. } => Some(Want::Whole(Mode::Shared)),
            Topic::Debug => Some(Want::Whole(Mode::Exclusive)),
            _ => None,
        }
    }
}

/// A question with the command that it comes from.
pub struct Question {
    pub topic: Topic,
    pub db: usize,
    pub protocol: Protocol,
    command: Pack,
    /// Of [`Topic::Subscriptions`].
    changes: Vec<Change>,
}

impl Question {
    fn new(topic: Topic, host: &Host<'_>, changes: Vec<Change>) -> Question {
        let mut command = Pack::default();
        command.push(host.args);
        Question {
            topic,
            db: host.client.db,
            protocol: host.reply.protocol(),
            command,
            changes,
        }
    }

    pub fn args(&self) -> Args<'_> {
        self.command.command(0)
    }
}

/// What a shard has found.
pub enum Finding {
    Done,
    Report(Box<Report>),
    /// Of CLIENT LIST.
    Lines(clients::Lines),
    /// How many clients were closed.
    Closed(i64),
    /// Clients of an address.
    Owners(Vec<u64>),
    Digests(Vec<Option<command::debug::Sum>>),
    Text(String),
    Count(i64),
    Names(Vec<(Box<[u8]>, i64)>),
    Reply(Result<Reply, Error>),
    /// What watched keys are like, in the order of the shard's keys.
    Seen(Vec<Seen>),
    /// Entries, of which at most so many were asked for.
    Log {
        most: usize,
        found: Vec<commandlog::Entry>,
    },
    /// How many entries there are, and may be on all shards together.
    Length {
        entries: usize,
        limit: usize,
    },
    Events(Box<latency::Events>),
}

/// By shard, in their order.
pub type Findings = Vec<(usize, Finding)>;

/// The second half of a handler. It may ask again, and then writes no reply.
pub type Sum = fn(&mut Host<'_>, Findings) -> Outcome;

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub shard: usize,
    /// The survey's number there.
    pub id: u64,
}

/// The client whose command asks, while it runs: it is not among its shard's clients then.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub client: &'a Client,
    pub reply: &'a Reply,
    pub args: Args<'a>,
}

struct Pending {
    sender: Sender,
    /// The script that asks, if it is not a client.
    program: Option<TxId>,
    /// The command's index in the table.
    entry: Option<usize>,
    silent: bool,
    question: Question,
    sum: Sum,
    findings: Findings,
    /// Shards that have not answered.
    out: usize,
}

/// The surveys of a shard's clients.
#[derive(Default)]
pub struct Surveys {
    next: u64,
    pending: HashMap<u64, Pending, ahash::RandomState>,
    /// Whether the client wants no reply whose second half runs now.
    silent: Option<bool>,
}

/// A second half that says OK.
pub fn answer_ok(host: &mut Host<'_>, _: Findings) -> Outcome {
    host.reply.ok();
    Ok(Effect::Read)
}

#[derive(Clone, Copy)]
pub enum Whom {
    All,
    One(usize),
}

/// Asks shards for the caller's command; `sum` answers it.
pub fn ask(host: &mut Host<'_>, whom: Whom, topic: Topic, sum: Sum) -> Outcome {
    ask_about(host, whom, topic, Vec::new(), sum)
}

/// [`ask`], with what has changed in subscriptions.
pub fn ask_about(
    host: &mut Host<'_>,
    whom: Whom,
    topic: Topic,
    changes: Vec<Change>,
    sum: Sum,
) -> Outcome {
    let me = host.core.me;
    let question = Question::new(topic, host, changes);
    let asks = |shard: usize| match whom {
        Whom::All => true,
        Whom::One(only) => only == shard,
    };
    let id = host.core.surveys.next;
    host.core.surveys.next += 1;
    let mut findings = Vec::new();
    let mut out = 0;
    if asks(me) {
        if let Some(finding) = find_own(host, id, &question) {
            findings.push((me, finding));
        } else {
            out += 1;
        }
    }
    for shard in (0..host.core.placement.shards()).filter(|s| *s != me && asks(*s)) {
        let question = Box::new(Question::new(topic, host, question.changes.clone()));
        host.core
            .node
            .send_request(shard, Request::Ask { id, question });
        out += 1;
    }
    if out == 0 {
        return sum(host, findings);
    }
    let silent = host.core.surveys.silent;
    let pending = Pending {
        sender: Sender::of(host.client),
        program: None,
        entry: host.client.session.last_command,
        silent: silent.unwrap_or_else(|| super::is_silent(host.client)),
        question,
        sum,
        findings,
        out,
    };
    host.core.surveys.pending.insert(id, pending);
    host.client.survey = Some(id);
    host.client.held = Some(Held::Remote);
    Ok(Effect::Read)
}

/// What this shard finds for a client of its own, unless that takes until later.
fn find_own(host: &mut Host<'_>, id: u64, question: &Question) -> Option<Finding> {
    let asker = Asker {
        shard: host.core.me,
        id,
    };
    if must_wait(host.core, question.topic) {
        let copy = Question::new(question.topic, host, question.changes.clone());
        park(host.core, asker, Box::new(copy));
        return None;
    }
    let caller = Caller {
        client: host.client,
        reply: host.reply,
        args: host.args,
    };
    examine(host.core, question, asker, Some(caller))
}

/// Whether the data that a question is about is locked.
fn must_wait(core: &Core, topic: Topic) -> bool {
    let is_free = |want| core.engine.is_plain() || core.engine.may_run_all(&want);
    topic.want().is_some_and(|want| !is_free(want))
}

fn park(core: &mut Core, asker: Asker, question: Box<Question>) {
    if let Some(want) = question.topic.want() {
        let waiter = core.park(want);
        core.parked
            .insert(waiter, Parked::Question(asker, question));
    }
}

/// A question from another shard.
pub fn hear(core: &mut Core, asker: Asker, question: Box<Question>) {
    if must_wait(core, question.topic) {
        park(core, asker, question);
    } else if let Some(finding) = examine(core, &question, asker, None) {
        tell(core, asker, finding);
    }
}

/// The locks that a question has waited for are its own.
pub fn resume(core: &mut Core, waiter: Waiter, asker: Asker, question: &Question) {
    let finding = examine(core, question, asker, None);
    core.engine.passed(waiter);
    if let Some(finding) = finding {
        tell(core, asker, finding);
    }
}

/// Tells those who wait for commands that were under way, as far as these are back.
#[cold]
pub fn ebb(core: &mut Core) {
    while let Some(asker) = core.afloat.ebb() {
        tell(core, asker, Finding::Done);
    }
}

fn tell(core: &mut Core, asker: Asker, finding: Finding) {
    let Asker { shard, id } = asker;
    if shard == core.me {
        return told(core, shard, id, finding);
    }
    let finding = Box::new(finding);
    core.node.send_reply(shard, Answer::Told { id, finding });
}

/// Looks at this shard; nothing if it will tell the asker later. `caller` is there if it is a client
/// of this shard, and its command runs now.
fn examine(
    core: &mut Core,
    question: &Question,
    asker: Asker,
    caller: Option<Caller<'_>>,
) -> Option<Finding> {
    Some(match question.topic {
        Topic::Report { commands } => Finding::Report(Box::new(Report::of(core, caller, commands))),
        Topic::List => Finding::Lines(clients::lines(core, question.args(), caller)),
        Topic::Kill => Finding::Closed(clients::close_admitted(core, question.args())),
        Topic::Owners => Finding::Owners(clients::owners(core, question.args().get(2))),
        Topic::Close { client } => Finding::Closed(clients::close(core, client)),
        Topic::Reload => {
            core.reload();
            Finding::Done
        }
        Topic::Pause => {
            core.reload();
            core.afloat.tell(asker);
            return match core.afloat.ebb() {
                Some(first) if first == asker => Some(Finding::Done),
                Some(other) => unreachable!("{other:?} has been told when its time came"),
                None => None,
            };
        }
        Topic::ResetStats => {
            core.reset_stats();
            Finding::Done
        }
        Topic::Digest => Finding::Digests(command::debug::digests(&core.shard)),
        Topic::Table { db } => Finding::Text(command::debug::table_report(&core.shard, db)),
        Topic::Debug => Finding::Reply(debug::on_data(core, question)),
        Topic::Subscriptions => {
            pubsub::note(core, asker.shard, &question.changes);
            Finding::Done
        }
        Topic::Publish(kind) => subscriptions::publish_here(core, kind, question.args()),
        Topic::Unblock { client, with_error } => {
            Finding::Count(blocking::unblock_client(core, client, with_error).into())
        }
        Topic::KillScript { functions } => {
            let killed = scripting::program::kill(core, functions);
            let mut reply = Reply::default();
            Finding::Reply(killed.map(|count| {
                reply.int(count);
                reply
            }))
        }
        Topic::Watch => multi::watch_here(core, question.db, question.args()),
        Topic::Channels(kind) => subscriptions::channels_here(core, kind, question.args()),
        Topic::Subscribers(kind) => subscriptions::numsub_here(core, kind, question.args()),
        Topic::Log { kind, most } => Finding::Log {
            most,
            found: core.commandlog.newest(kind, most),
        },
        Topic::LogLength(kind) => Finding::Length {
            entries: core.commandlog.len(kind),
            limit: core.log_length(kind),
        },
        Topic::LogReset(kind) => {
            core.commandlog.reset(kind);
            Finding::Done
        }
        Topic::Latency => Finding::Events(Box::new(core.latency.clone())),
        Topic::LatencyReset => spikes::reset_here(core, question.args()),
        Topic::Monitor => {
            monitor::note(core, asker.shard, true);
            Finding::Done
        }
        Topic::Exists { client } => Finding::Count(core.clients.conn_of(client).is_some().into()),
        Topic::Prefixes { client } => {
            let prefixes = caching::prefixes(question.args());
            tracking::note_prefixes(core, asker.shard, client, prefixes.into_iter());
            Finding::Done
        }
    })
}

/// What a shard has found for a survey of this one.
pub fn told(core: &mut Core, from: usize, id: u64, finding: Finding) {
    let Some(pending) = core.surveys.pending.get_mut(&id) else {
        unreachable!("a survey is known until all have answered");
    };
    pending.findings.push((from, finding));
    pending.out -= 1;
    if pending.out == 0
        && let Some(pending) = core.surveys.pending.remove(&id)
    {
        conclude(core, pending);
    }
}

/// Has a survey that a program's command has begun answered to the program.
pub fn give_to(core: &mut Core, client: &mut Client, tx: TxId) {
    let id = client.survey.take();
    if let Some(pending) = id.and_then(|id| core.surveys.pending.get_mut(&id)) {
        pending.program = Some(tx);
    }
}

/// Takes back what shards have noted for a client that has gone.
fn forget(core: &mut Core, pending: Pending) {
    match pending.question.topic {
        Topic::Watch => {
            let db = pending.question.db;
            multi::unwatch_found(core, db, pending.question.args(), pending.findings);
        }
        Topic::Monitor => monitor::announce_gone(core),
        Topic::Prefixes { client } => tracking::announce_gone(core, client),
        _ => {}
    }
}

/// Runs the second half of the client's command, unless the client has gone.
fn conclude(core: &mut Core, mut pending: Pending) {
    pending.findings.sort_by_key(|(shard, _)| *shard);
    if let Some(tx) = pending.program {
        let Pending {
            question,
            sum,
            findings,
            ..
        } = pending;
        let args = question.args();
        return program::surveyed(core, tx, args, |host| sum(host, findings));
    }
    let Sender { conn, client } = pending.sender;
    let is_there = |c: &Client| c.id == client && c.closing != Closing::Now;
    if !core.clients.get(conn).is_some_and(is_there) {
        return forget(core, pending);
    }
    let Some(mut client) = core.clients.take(conn) else {
        return;
    };
    client.survey = None;
    let mut reply = std::mem::take(&mut client.reply);
    if reply.is_empty() {
        reply.put_buffer(core.spare.take());
    }
    let mark = reply.mark();
    core.surveys.silent = Some(pending.silent);
    let outcome = (pending.sum)(
        &mut Host {
            core,
            client: &mut client,
            reply: &mut reply,
            args: pending.question.args(),
        },
        pending.findings,
    );
    core.surveys.silent = None;
    let bytes = commandlog::between(&reply, mark, reply.mark());
    if bytes >= core.thresholds.reply && client.held != Some(Held::Remote) {
        let by = commandlog::By::Client(&client);
        let args = pending.question.args();
        commandlog::note_reply(core, by, pending.entry, args, bytes);
    }
    if let Err(error) = outcome {
        if let Some(entry) = pending.entry {
            core.stats.commands[entry].failed += 1;
        }
        core.reply_error(&mut reply, &error);
    }
    if pending.silent {
        reply.rewind(mark);
    }
    client.reply = reply;
    core.clients.put(client);
    core.clients.mark(conn);
}
