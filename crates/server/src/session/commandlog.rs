//! SLOWLOG and COMMANDLOG. What is logged, and where, is [`crate::commandlog`]'s matter.

use crate::commandlog::{Entry, Kind};
use crate::core::{Host, HostHandler};
use crate::remote::survey::{self, Finding, Findings, Topic, Whom};
use command::spec::{Argument, ArgumentKind};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use resp::number::parse_i64;

const ROW: Spec = Spec {
    group: "server",
    since: "2.2.12",
    flags: Flags::ADMIN.or(Flags::LOADING).or(Flags::STALE),
    ..Spec::DEFAULT
};

const HELPS: Flags = Flags::LOADING.or(Flags::STALE);

const EVERY_NODE: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const SUM: &[&str] = &[
    "request_policy:all_nodes",
    "response_policy:agg_sum",
    "nondeterministic_output",
];
const ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

static SLOWLOG: Spec = Spec {
    name: "slowlog",
    arity: -2,
    flags: Flags::NONE,
    summary: "The log of commands that took long.",
    complexity: "Depends on the subcommand.",
    ..ROW
};

static SLOWLOG_GET: Spec = Spec {
    name: "get",
    arity: -2,
    tips: EVERY_NODE,
    summary: "Answers the newest entries, ten unless said.",
    complexity: "O(N) with N the entries.",
    arguments: &[Argument::new("count", ArgumentKind::Integer).optional()],
    history: &[("4.0.0", "Entries have the client's address and name.")],
    ..ROW
};

static SLOWLOG_LEN: Spec = Spec {
    name: "len",
    arity: 2,
    tips: SUM,
    summary: "Counts the entries.",
    ..ROW
};

static SLOWLOG_RESET: Spec = Spec {
    name: "reset",
    arity: 2,
    tips: ALL,
    summary: "Removes all entries.",
    complexity: "O(N) with N the entries.",
    ..ROW
};

static SLOWLOG_HELP: Spec = Spec {
    name: "help",
    since: "6.2.0",
    arity: 2,
    flags: HELPS,
    summary: "Lists the subcommands.",
    ..ROW
};

const LOG: Spec = Spec {
    since: "8.1.0",
    ..ROW
};

const KIND: Argument = Argument::one_of(
    "type",
    &[
        Argument::token("slow", "SLOW"),
        Argument::token("large-request", "LARGE-REQUEST"),
        Argument::token("large-reply", "LARGE-REPLY"),
    ],
);

static COMMANDLOG: Spec = Spec {
    name: "commandlog",
    arity: -2,
    flags: Flags::NONE,
    summary: "The logs of commands that took long, or were large, or had large replies.",
    complexity: "Depends on the subcommand.",
    ..LOG
};

static COMMANDLOG_GET: Spec = Spec {
    name: "get",
    arity: 4,
    tips: EVERY_NODE,
    summary: "Answers the newest entries of a log.",
    complexity: "O(N) with N the entries.",
    arguments: &[Argument::new("count", ArgumentKind::Integer), KIND],
    ..LOG
};

static COMMANDLOG_LEN: Spec = Spec {
    name: "len",
    arity: 3,
    tips: SUM,
    summary: "Counts the entries of a log.",
    arguments: &[KIND],
    ..LOG
};

static COMMANDLOG_RESET: Spec = Spec {
    name: "reset",
    arity: 3,
    tips: ALL,
    summary: "Removes all entries of a log.",
    complexity: "O(N) with N the entries.",
    arguments: &[KIND],
    ..LOG
};

static COMMANDLOG_HELP: Spec = Spec {
    name: "help",
    arity: 2,
    flags: HELPS,
    summary: "Lists the subcommands.",
    ..LOG
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::container(&SLOWLOG),
        Row::subcommand("slowlog", &SLOWLOG_GET, slowlog_get),
        Row::subcommand("slowlog", &SLOWLOG_HELP, super::command::help),
        Row::subcommand("slowlog", &SLOWLOG_LEN, |host| len(host, Kind::Slow)),
        Row::subcommand("slowlog", &SLOWLOG_RESET, |host| reset(host, Kind::Slow)),
        Row::container(&COMMANDLOG),
        Row::subcommand("commandlog", &COMMANDLOG_GET, commandlog_get),
        Row::subcommand("commandlog", &COMMANDLOG_HELP, super::command::help),
        Row::subcommand("commandlog", &COMMANDLOG_LEN, |host| {
            let kind = kind(host.args.get(2))?;
            len(host, kind)
        }),
        Row::subcommand("commandlog", &COMMANDLOG_RESET, |host| {
            let kind = kind(host.args.get(2))?;
            reset(host, kind)
        }),
    ]
}

fn kind(word: &[u8]) -> Result<Kind, Error> {
    match word.to_ascii_lowercase().as_slice() {
        b"slow" => Ok(Kind::Slow),
        b"large-request" => Ok(Kind::LargeRequest),
        b"large-reply" => Ok(Kind::LargeReply),
        _ => Err(Error::new(
            "ERR type should be one of the following: slow, large-request, large-reply",
        )),
    }
}

/// How many entries are asked for; -1 are all.
fn count(word: &[u8]) -> Result<usize, Error> {
    match parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count @ 0..) => Ok(count as usize),
        _ => Err(Error::new(
            "ERR count should be greater than or equal to -1",
        )),
    }
}

fn slowlog_get(host: &mut Host<'_>) -> Outcome {
    const COUNT: usize = 10;
    let count = match host.args.len() {
        2 => COUNT,
        3 => count(host.args.get(2))?,
        _ => {
            return Err(Error::showing(
                "ERR unknown subcommand or wrong number of arguments for '",
                host.args.get(1),
                "'. Try SLOWLOG HELP.",
            ));
        }
    };
    get(host, Kind::Slow, count)
}

fn commandlog_get(host: &mut Host<'_>) -> Outcome {
    let count = count(host.args.get(2))?;
    let kind = kind(host.args.get(3))?;
    get(host, kind, count)
}

fn get(host: &mut Host<'_>, kind: Kind, count: usize) -> Outcome {
    let most = count.min(host.core.log_length(kind));
    let topic = Topic::Log { kind, most };
    survey::ask(host, Whom::All, topic, move_out)
}

/// The newest entries of all shards', as many as each of them was asked for.
fn move_out(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let mut most = 0;
    let mut entries: Vec<Entry> = Vec::new();
    for (_, finding) in findings {
        let Finding::Log { most: asked, found } = finding else {
            unreachable!("entries were asked for");
        };
        most = asked;
        entries.extend(found);
    }
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id));
    entries.truncate(most);
    let reply = &mut *host.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.int(entry.id as i64);
        reply.int(entry.unix_s);
        reply.int(entry.value);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.address.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(Effect::Read)
}

fn len(host: &mut Host<'_>, kind: Kind) -> Outcome {
    survey::ask(host, Whom::All, Topic::LogLength(kind), |host, findings| {
        // Each shard has as many as all may have together.
        let mut sum = 0;
        let mut most = 0;
        for (_, finding) in findings {
            if let Finding::Length { entries, limit } = finding {
                sum += entries;
                most = limit;
            }
        }
        host.reply.int(sum.min(most) as i64);
        Ok(Effect::Read)
    })
}

fn reset(host: &mut Host<'_>, kind: Kind) -> Outcome {
    survey::ask(host, Whom::All, Topic::LogReset(kind), survey::answer_ok)
}
