//! SUBSCRIBE, PUBLISH, PUBSUB and their kin. How messages travel is [`crate::pubsub`]'s matter.

use crate::clients::Client;
use crate::core::{Core, Host, HostHandler};
use crate::pubsub::{self, Change, Kind};
use crate::remote::Request;
use crate::remote::parcel::Sender;
use crate::remote::survey::{self, Finding, Findings, Topic, Whom};
use command::keyspec::{KeyFlags, KeySpec};
use command::spec::{Argument, ArgumentKind};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use resp::{Args, Protocol, Reply};
use store::glob;

const SUBSCRIBES: Spec = Spec {
    group: "pubsub",
    since: "2.0.0",
    arity: -2,
    flags: Flags::PUBSUB
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE),
    complexity: "O(N) with N the number of names.",
    ..Spec::DEFAULT
};

const CHANNEL: Argument = Argument::new("channel", ArgumentKind::String);
const SHARD_CHANNEL: Argument = Argument::new("shardchannel", ArgumentKind::String);
const PATTERN: Argument = Argument::new("pattern", ArgumentKind::Pattern);
const MESSAGE: Argument = Argument::new("message", ArgumentKind::String);

static SUBSCRIBE: Spec = Spec {
    name: "subscribe",
    summary: "Has the messages of channels sent to the connection.",
    arguments: &[CHANNEL.multiple()],
    ..SUBSCRIBES
};

static UNSUBSCRIBE: Spec = Spec {
    name: "unsubscribe",
    arity: -1,
    summary: "Ends the sending of messages of channels, or of all.",
    arguments: &[CHANNEL.optional().multiple()],
    ..SUBSCRIBES
};

static PSUBSCRIBE: Spec = Spec {
    name: "psubscribe",
    summary: "Has the messages of channels that match a pattern sent to the connection.",
    arguments: &[PATTERN.multiple()],
    ..SUBSCRIBES
};

static PUNSUBSCRIBE: Spec = Spec {
    name: "punsubscribe",
    arity: -1,
    summary: "Ends the sending of messages for patterns, or for all.",
    arguments: &[PATTERN.optional().multiple()],
    ..SUBSCRIBES
};

static SSUBSCRIBE: Spec = Spec {
    name: "ssubscribe",
    since: "7.0.0",
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)],
    summary: "Has the messages of shard channels sent to the connection.",
    arguments: &[SHARD_CHANNEL.multiple()],
    ..SUBSCRIBES
};

static SUNSUBSCRIBE: Spec = Spec {
    name: "sunsubscribe",
    since: "7.0.0",
    arity: -1,
    keys: &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)],
    summary: "Ends the sending of messages of shard channels, or of all.",
    arguments: &[SHARD_CHANNEL.optional().multiple()],
    ..SUBSCRIBES
};

const PUBLISHES: Spec = Spec {
    group: "pubsub",
    arity: 3,
    flags: Flags::PUBSUB
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::FAST)
        .or(Flags::MAY_REPLICATE),
    complexity: "O(N+M) with N the subscribers of the channel and M the patterns.",
    ..Spec::DEFAULT
};

static PUBLISH: Spec = Spec {
    name: "publish",
    since: "2.0.0",
    summary: "Sends a message to all who have subscribed to a channel, and answers how many.",
    arguments: &[CHANNEL, MESSAGE],
    ..PUBLISHES
};

static SPUBLISH: Spec = Spec {
    name: "spublish",
    since: "7.0.0",
    keys: &[KeySpec::one(1, KeyFlags::NOT_KEY)],
    summary: "Sends a message to all who have subscribed to a shard channel, and answers how many.",
    complexity: "O(N) with N the subscribers of the channel.",
    arguments: &[SHARD_CHANNEL, MESSAGE],
    ..PUBLISHES
};

static PUBSUB: Spec = Spec {
    name: "pubsub",
    group: "pubsub",
    since: "2.8.0",
    arity: -2,
    summary: "Groups the commands that tell of subscriptions.",
    complexity: "Depends on the subcommand.",
    ..Spec::DEFAULT
};

const TELLS: Spec = Spec {
    group: "pubsub",
    since: "2.8.0",
    arity: -2,
    flags: Flags::PUBSUB.or(Flags::LOADING).or(Flags::STALE),
    complexity: "O(N) with N the number of channels.",
    ..Spec::DEFAULT
};

static CHANNELS: Spec = Spec {
    name: "channels",
    summary: "Lists the channels that have subscribers.",
    arguments: &[PATTERN.optional()],
    ..TELLS
};

static NUMSUB: Spec = Spec {
    name: "numsub",
    summary: "Counts the subscribers of channels, patterns aside.",
    arguments: &[CHANNEL.optional().multiple()],
    ..TELLS
};

static NUMPAT: Spec = Spec {
    name: "numpat",
    arity: 2,
    summary: "Counts the patterns that have subscribers.",
    complexity: "O(1)",
    ..TELLS
};

static SHARDCHANNELS: Spec = Spec {
    name: "shardchannels",
    since: "7.0.0",
    summary: "Lists the shard channels that have subscribers.",
    arguments: &[PATTERN.optional()],
    ..TELLS
};

static SHARDNUMSUB: Spec = Spec {
    name: "shardnumsub",
    since: "7.0.0",
    summary: "Counts the subscribers of shard channels.",
    arguments: &[SHARD_CHANNEL.optional().multiple()],
    ..TELLS
};

static HELP: Spec = Spec {
    name: "help",
    group: "pubsub",
    since: "6.2.0",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    summary: "Lists the subcommands.",
    ..Spec::DEFAULT
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::command(&PSUBSCRIBE, |host| subscribe(host, Kind::Pattern)),
        Row::command(&PUBLISH, |host| publish(host, Kind::Channel)),
        Row::command(&PUNSUBSCRIBE, |host| unsubscribe(host, Kind::Pattern)),
        Row::command(&SPUBLISH, |host| publish(host, Kind::Sharded)),
        Row::command(&SSUBSCRIBE, |host| subscribe(host, Kind::Sharded)),
        Row::command(&SUBSCRIBE, |host| subscribe(host, Kind::Channel)),
        Row::command(&SUNSUBSCRIBE, |host| unsubscribe(host, Kind::Sharded)),
        Row::command(&UNSUBSCRIBE, |host| unsubscribe(host, Kind::Channel)),
        Row::container(&PUBSUB),
        Row::subcommand("pubsub", &CHANNELS, |host| channels(host, Kind::Channel)),
        Row::subcommand("pubsub", &HELP, help),
        Row::subcommand("pubsub", &NUMPAT, numpat),
        Row::subcommand("pubsub", &NUMSUB, |host| numsub(host, Kind::Channel)),
        Row::subcommand("pubsub", &SHARDCHANNELS, |host| {
            channels(host, Kind::Sharded)
        }),
        Row::subcommand("pubsub", &SHARDNUMSUB, |host| numsub(host, Kind::Sharded)),
    ]
}

/// Whether a subscriber of RESP2, whose connection is for messages, may still call a command.
pub fn is_allowed_to_subscribers(name: &str) -> bool {
    const ALLOWED: &[&str] = &[
        "ping",
        "subscribe",
        "ssubscribe",
        "psubscribe",
        "unsubscribe",
        "sunsubscribe",
        "punsubscribe",
        "quit",
        "reset",
    ];
    ALLOWED.contains(&name)
}

/// The error of calling another.
pub fn refusal(name: &str) -> Error {
    Error::new(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    ))
}

fn word(kind: Kind, more: bool) -> &'static [u8] {
    match (kind, more) {
        (Kind::Channel, true) => b"subscribe",
        (Kind::Pattern, true) => b"psubscribe",
        (Kind::Sharded, true) => b"ssubscribe",
        (Kind::Channel, false) => b"unsubscribe",
        (Kind::Pattern, false) => b"punsubscribe",
        (Kind::Sharded, false) => b"sunsubscribe",
    }
}

fn count(client: &Client, kind: Kind) -> i64 {
    let subscriptions = client.session.subscriptions.as_ref();
    subscriptions.map_or(0, |s| s.count(kind) as i64)
}

fn confirm(to: &mut Reply, kind: Kind, more: bool, name: Option<&[u8]>, count: i64) {
    to.push(3);
    to.bulk(word(kind, more));
    match name {
        Some(name) => to.bulk(name),
        None => to.null(),
    }
    to.int(count);
}

fn subscribe(host: &mut Host<'_>, kind: Kind) -> Outcome {
    let mut confirmation = Reply::new(host.reply.protocol());
    let mut changes = Vec::new();
    for name in host.args.iter().skip(1) {
        changes.extend(pubsub::add(host.core, host.client, kind, name));
        let count = count(host.client, kind);
        confirm(&mut confirmation, kind, true, Some(name), count);
    }
    announce(host, &confirmation, changes)
}

fn unsubscribe(host: &mut Host<'_>, kind: Kind) -> Outcome {
    let mut confirmation = Reply::new(host.reply.protocol());
    let mut changes = Vec::new();
    let names: Vec<Box<[u8]>> = match host.args.len() {
        1 => {
            let subscriptions = host.client.session.subscriptions.as_ref();
            subscriptions.map_or(Vec::new(), |s| s.of(kind).iter().cloned().collect())
        }
        _ => host.args.iter().skip(1).map(Into::into).collect(),
    };
    for name in &names {
        changes.extend(pubsub::remove(host.core, host.client, kind, name));
        let count = count(host.client, kind);
        confirm(&mut confirmation, kind, false, Some(name), count);
    }
    if names.is_empty() {
        let count = count(host.client, kind);
        confirm(&mut confirmation, kind, false, None, count);
    }
    announce(host, &confirmation, changes)
}

/// Tells all shards what has changed, and then the client.
fn announce(host: &mut Host<'_>, confirmation: &Reply, changes: Vec<Change>) -> Outcome {
    let subscriptions = host.client.session.subscriptions.get_or_insert_default();
    subscriptions.confirmation = confirmation.to_vec();
    if changes.is_empty() {
        return confirmed(host, Vec::new());
    }
    survey::ask_about(host, Whom::All, Topic::Subscriptions, changes, confirmed)
}

fn confirmed(host: &mut Host<'_>, _: Findings) -> Outcome {
    if let Some(subscriptions) = &mut host.client.session.subscriptions {
        host.reply
            .raw(&std::mem::take(&mut subscriptions.confirmation));
        host.reply.raw(&std::mem::take(&mut subscriptions.early));
        if subscriptions.is_empty() {
            host.client.session.subscriptions = None;
        }
    }
    Ok(Effect::Read)
}

fn publish(host: &mut Host<'_>, kind: Kind) -> Outcome {
    let (channel, payload) = (host.args.get(1), host.args.get(2));
    let owner = pubsub::owner(host.core, channel);
    if owner != host.core.me && host.client.is_script() {
        // It cannot wait, but knows who listens.
        let receivers = host.core.pubsub.heard_by(kind, channel);
        let message = pubsub::Message {
            kind,
            channel: channel.into(),
            payload: payload.into(),
        };
        let request = Request::Publish(Box::new(message));
        host.core.node.send_request(owner, request);
        host.reply.int(receivers as i64);
        return Ok(Effect::Read);
    }
    if owner != host.core.me {
        return survey::ask(host, Whom::One(owner), Topic::Publish(kind), published);
    }
    let own = (Sender::of(host.client), &mut *host.reply);
    let receivers = pubsub::publish(host.core, kind, channel, payload, Some(own));
    host.reply.int(receivers as i64);
    Ok(Effect::Read)
}

fn published(host: &mut Host<'_>, findings: Findings) -> Outcome {
    for (_, finding) in findings {
        if let Finding::Count(receivers) = finding {
            host.reply.int(receivers);
        }
    }
    Ok(Effect::Read)
}

/// PUBLISH and SPUBLISH of a channel of this shard's, for a client of another.
pub fn publish_here(core: &mut Core, kind: Kind, args: Args<'_>) -> Finding {
    let receivers = pubsub::publish(core, kind, args.get(1), args.get(2), None);
    Finding::Count(receivers as i64)
}

fn channels(host: &mut Host<'_>, kind: Kind) -> Outcome {
    if host.args.len() > 3 {
        return Err(wrong_arguments(host.args));
    }
    survey::ask(host, Whom::All, Topic::Channels(kind), |host, findings| {
        let names: Vec<_> = named(findings).collect();
        host.reply.array(names.len());
        names.iter().for_each(|(name, _)| host.reply.bulk(name));
        Ok(Effect::Read)
    })
}

/// The channels that this shard counts subscribers of, as far as they match the pattern asked for.
pub fn channels_here(core: &Core, kind: Kind, args: Args<'_>) -> Finding {
    let names = core.pubsub.counted(kind);
    let names = names.filter(|name| {
        args.opt(2)
            .is_none_or(|pattern| glob::matches(pattern, name, false))
    });
    Finding::Names(names.map(|name| (name.into(), 0)).collect())
}

fn numsub(host: &mut Host<'_>, kind: Kind) -> Outcome {
    survey::ask(
        host,
        Whom::All,
        Topic::Subscribers(kind),
        |host, findings| {
            let counts: std::collections::HashMap<_, _> = named(findings).collect();
            host.reply.map(host.args.len() - 2);
            for name in host.args.iter().skip(2) {
                host.reply.bulk(name);
                host.reply.int(counts.get(name).copied().unwrap_or(0));
            }
            Ok(Effect::Read)
        },
    )
}

/// The subscribers of channels asked for, as far as this shard counts them.
pub fn numsub_here(core: &Core, kind: Kind, args: Args<'_>) -> Finding {
    let names = args.iter().skip(2);
    let counted = names.filter_map(|name| match core.pubsub.subscribers(kind, name) {
        0 => None,
        n => Some((name.into(), n as i64)),
    });
    Finding::Names(counted.collect())
}

fn named(findings: Findings) -> impl Iterator<Item = (Box<[u8]>, i64)> {
    findings.into_iter().flat_map(|(_, finding)| match finding {
        Finding::Names(names) => names,
        _ => unreachable!("names were asked for"),
    })
}

fn numpat(host: &mut Host<'_>) -> Outcome {
    host.reply.int(host.core.pubsub.patterns() as i64);
    Ok(Effect::Read)
}

fn wrong_arguments(args: Args<'_>) -> Error {
    Error::showing(
        "ERR unknown subcommand or wrong number of arguments for '",
        args.get(1),
        "'. Try PUBSUB HELP.",
    )
}

fn help(host: &mut Host<'_>) -> Outcome {
    const LINES: &[&str] = &[
        "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CHANNELS [<pattern>]",
        "    Lists the channels that have subscribers and match the pattern, or all.",
        "NUMPAT",
        "    Counts the patterns that have subscribers.",
        "NUMSUB [<channel> ...]",
        "    Counts the subscribers of the channels, patterns aside.",
        "SHARDCHANNELS [<pattern>]",
        "    Lists the shard channels that have subscribers and match the pattern, or all.",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Counts the subscribers of the shard channels.",
        "HELP",
        "    Prints this help.",
    ];
    host.reply.array(LINES.len());
    LINES.iter().for_each(|line| host.reply.simple(line));
    Ok(Effect::Read)
}

/// PING of a subscriber whose connection is for messages.
pub fn ping(host: &mut Host<'_>) {
    host.reply.array(2);
    host.reply.bulk(b"pong");
    host.reply.bulk(host.args.opt(1).unwrap_or_default());
}

/// Whether a connection is for messages alone: RESP2 has no way to tell them from replies.
pub fn is_for_messages(client: &Client, protocol: Protocol) -> bool {
    let special = crate::clients::Special::SUBSCRIBED;
    protocol == Protocol::Resp2 && client.special.has(special)
}
