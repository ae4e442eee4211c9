//! DEBUG: looking inside, and making things happen that tests need. What concerns the data is in
//! [`command::debug`], and runs on the shards that have it.
//!
//! Only who is allowed by `enable-debug-command` may call it: it can stop the server. A subcommand
//! is a row of [`SUBCOMMANDS`]; those of Redis that are about parts that Shoal does not have are
//! unknown here.

use crate::config::kind::{Kind, Mode, Value};
use crate::core::{Core, Host, HostHandler};
use crate::loading::{self, Plan, Progress};
use crate::remote::survey::{self, Finding, Findings, Question, Topic, Whom};
use crate::snapshot;
use crate::tasks::Finish;
use ::command::spec::{Argument, ArgumentKind};
use ::command::table::Row;
use ::command::{Context, Effect, Error, Flags, Handler, Outcome, Spec, debug};
use engine::Placement;
use resp::number::parse_i64;
use resp::reply::Mark;
use resp::{Args, Protocol, Reply};
use std::ops::RangeInclusive;
use std::time::Duration;

static DEBUG: Spec = Spec {
    name: "debug",
    group: "server",
    arity: -2,
    flags: Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE),
    summary: "Looks inside the server, or makes things happen that tests need.",
    complexity: "Depends on the subcommand",
    arguments: &[
        Argument::new("subcommand", ArgumentKind::String),
        Argument::new("arg", ArgumentKind::String)
            .optional()
            .multiple(),
    ],
    ..Spec::DEFAULT
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![Row::command(&DEBUG, debug)]
}

/// What DEBUG has changed.
#[derive(Clone, Copy, Debug)]
pub struct Switches {
    /// SET-ACTIVE-EXPIRE: expired keys are sought.
    pub active_expire: bool,
    /// PAUSE-CRON: no periodic work.
    pub cron_paused: bool,
    /// SET-DISABLE-DENY-SCRIPTS: scripts may call what is forbidden to them.
    pub scripts_call_all: bool,
    /// QUICKLIST-PACKED-THRESHOLD: list elements of at least so many bytes stand alone.
    pub packed_threshold: u64,
}

/// Redis's default and limit for QUICKLIST-PACKED-THRESHOLD, in bytes.
const PACKED_THRESHOLD: u64 = 1 << 30;
const PACKED_THRESHOLD_MAX: u64 = (1 << 32) - (1 << 20);

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            active_expire: true,
            cron_paused: false,
            scripts_call_all: false,
            packed_threshold: PACKED_THRESHOLD,
        }
    }
}

/// Who carries out a subcommand.
#[derive(Clone, Copy)]
enum Run {
    Host(HostHandler),
    /// Run on the data of some shards; the second half makes one answer of theirs.
    Data(Handler, Reach, survey::Sum),
}

/// Whose data.
#[derive(Clone, Copy)]
enum Reach {
    /// That of the shard of the key that is argument 2.
    Key,
    All,
    /// It needs none.
    Any,
}

struct Subcommand {
    name: &'static str,
    /// How many arguments it takes.
    arguments: RangeInclusive<usize>,
    usage: &'static str,
    summary: &'static str,
    run: Run,
}

const fn row(
    name: &'static str,
    arguments: RangeInclusive<usize>,
    usage: &'static str,
    summary: &'static str,
    run: Run,
) -> Subcommand {
    Subcommand {
        name,
        arguments,
        usage,
        summary,
        run,
    }
}

const ANY: usize = usize::MAX;

/// A subcommand on one key.
const fn on_key(handler: Handler) -> Run {
    Run::Data(handler, Reach::Key, only)
}

/// A row per line, so that it reads as a table.
#[rustfmt::skip]
static SUBCOMMANDS: &[Subcommand] = &[
    row("digest", 0..=0, "", "A digest of all databases, the one that Redis computes.", Run::Host(digest)),
    row("digest-value", 0..=ANY, "<key> [<key> ...]", "A digest of each value.", Run::Data(debug::digest_value, Reach::All, digest_values)),
    row("error", 1..=1, "<string>", "Answers an error with this text.", Run::Host(error)),
    row("help", 0..=0, "", "Lists the subcommands.", Run::Host(help)),
    row("htstats", 1..=2, "<dbid> [full]", "How a database's table is filled.", Run::Host(htstats)),
    row("htstats-key", 1..=2, "<key> [full]", "How the table of a value is filled.", on_key(debug::htstats_key)),
    row("log", 1..=1, "<message>", "Writes a message to the log.", Run::Host(log)),
    row("object", 1..=2, "<key> [fast]", "Encoding, size and last use of a value.", on_key(debug::object)),
    row("panic", 0..=0, "", "Ends the server as a bug would.", Run::Host(panic)),
    row("pause-cron", 1..=1, "<0|1>", "Stops the periodic work, or lets it go on.", Run::Host(pause_cron)),
    row("populate", 1..=3, "<count> [<prefix>] [<size>]", "Makes keys prefix:0, prefix:1 and so on.", Run::Data(populate, Reach::All, all_alike)),
    row("protocol", 1..=1, "<type>", "Answers a value of a type of the protocol.", Run::Host(protocol)),
    row("quicklist-packed-threshold", 1..=1, "<size>", "From which size list elements stand alone; 0: 1gb.", Run::Host(packed_threshold)),
    row("reload", 0..=ANY, "[NOSAVE]", "Saves, and loads what was saved in place of all keys.", Run::Host(reload)),
    row("replybuffer", 2..=2, "<PEAK-RESET-TIME|RESIZING> <value>", "Refused: output buffers are pooled and never resized.", Run::Host(replybuffer)),
    row("set-active-expire", 1..=1, "<0|1>", "Whether expired keys are removed that nobody reads.", Run::Host(set_active_expire)),
    row("set-disable-deny-scripts", 1..=1, "<0|1>", "Whether scripts may call what is forbidden to them.", Run::Host(set_disable_deny_scripts)),
    row("sleep", 1..=1, "<seconds>", "Stops the caller's shard for a time.", Run::Host(sleep)),
    row("stringmatch-len", 2..=2, "<pattern> <string>", "Whether a pattern matches.", Run::Data(debug::stringmatch_len, Reach::Any, only)),
];

fn debug(host: &mut Host<'_>) -> Outcome {
    let is_local = host.client.session.peer.is_local();
    if !host.core.config.enable_debug_command().allows(is_local) {
        return Err(Error::new(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \
             \"local\", you can run it from a local connection, otherwise you need to set this \
             option in the configuration file, and then restart the server.",
        ));
    }
    match find(host.args).ok_or_else(|| unknown(host))?.run {
        Run::Host(handler) => handler(host),
        Run::Data(_, reach, sum) => {
            let whom = match reach {
                Reach::Key => Whom::One(host.core.placement.of(host.args.get(2))),
                Reach::All => Whom::All,
                Reach::Any => Whom::One(host.core.me),
            };
            survey::ask(host, whom, Topic::Debug, sum)
        }
    }
}

fn find(args: Args<'_>) -> Option<&'static Subcommand> {
    let arguments = args.len().checked_sub(2)?;
    let mut subcommands = SUBCOMMANDS.iter();
    subcommands.find(|s| args.is(1, s.name) && s.arguments.contains(&arguments))
}

/// Runs a subcommand on this shard's data.
pub fn on_data(core: &mut Core, question: &Question) -> Result<Reply, Error> {
    let Some(Run::Data(handler, ..)) = find(question.args()).map(|s| s.run) else {
        unreachable!("shards are asked for subcommands on data");
    };
    let mut reply = Reply::new(question.protocol);
    handler(&mut Context {
        shard: &mut core.shard,
        db: question.db,
        args: question.args(),
        hash: None,
        warm: false,
        reply: &mut reply,
        settings: &core.settings,
        effects: &mut command::Effects::default(),
    })?;
    Ok(reply)
}

/// What shards have answered to a subcommand on data; the first error if there are any.
fn replies(findings: Findings) -> Result<Vec<(usize, Reply)>, Error> {
    let replies = findings.into_iter().map(|(shard, finding)| match finding {
        Finding::Reply(reply) => reply.map(|reply| (shard, reply)),
        _ => unreachable!("replies were asked for"),
    });
    replies.collect()
}

/// The answer of the only shard that was asked.
fn only(host: &mut Host<'_>, findings: Findings) -> Outcome {
    for (_, reply) in replies(findings)? {
        host.reply.append(&reply, Mark::default(), reply.mark());
    }
    Ok(Effect::Read)
}

/// All shards say the same.
fn all_alike(host: &mut Host<'_>, mut findings: Findings) -> Outcome {
    let failed = |(_, finding): &(usize, Finding)| matches!(finding, Finding::Reply(Err(_)));
    if let Some(i) = findings.iter().position(failed) {
        findings.swap(0, i);
    }
    findings.truncate(1);
    only(host, findings)
}

/// Each key's element from the shard that has the key.
fn digest_values(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let replies = replies(findings)?;
    let mut at: Vec<Mark> = replies
        .iter()
        .map(|(_, reply)| reply.aggregate(Mark::default()).1)
        .collect();
    let keys = host.args.from(2);
    host.reply.array(keys.len());
    for key in keys.iter() {
        let owner = host.core.placement.of(key);
        for ((shard, reply), at) in replies.iter().zip(&mut at) {
            let (_, end) = reply.value(*at);
            if *shard == owner {
                host.reply.append(reply, *at, end);
            }
            *at = end;
        }
    }
    Ok(Effect::Read)
}

fn htstats(host: &mut Host<'_>) -> Outcome {
    let db = parse_i64(host.args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let db = usize::try_from(db).ok();
    let db = db.filter(|db| *db < host.core.shard.databases());
    let db = db.ok_or(Error::new("ERR Out of range database"))?;
    survey::ask(host, Whom::All, Topic::Table { db }, htstats_of)
}

/// A table for each shard.
fn htstats_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let alone = findings.len() == 1;
    let mut all = String::new();
    for (shard, finding) in findings {
        let Finding::Text(text) = finding else {
            unreachable!("texts were asked for");
        };
        if !alone {
            all.push_str(&format!("[Shard {shard}]\n"));
        }
        all.push_str(&text);
    }
    host.reply.verbatim(b"txt", all.as_bytes());
    Ok(Effect::Read)
}

/// Every shard makes those of the keys that it owns.
fn populate(ctx: &mut Context<'_>) -> Outcome {
    let (shard, shards) = (ctx.settings.shard, ctx.settings.shards);
    let placement = Placement::new(shards);
    debug::populate(ctx, |key| placement.of(key) == shard)
}

fn unknown(host: &Host<'_>) -> Error {
    /// Bytes of the name that are shown.
    const SHOWN_MAX: usize = 128;
    let name = host.args.get(1);
    Error::showing(
        "ERR unknown subcommand or wrong number of arguments for '",
        &name[..name.len().min(SHOWN_MAX)],
        "'. Try DEBUG HELP.",
    )
}

fn help(host: &mut Host<'_>) -> Outcome {
    host.reply.array(1 + 2 * SUBCOMMANDS.len());
    host.reply
        .simple("DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for subcommand in SUBCOMMANDS {
        let name = subcommand.name.to_uppercase();
        host.reply
            .simple(format!("{name} {}", subcommand.usage).trim_end());
        host.reply.simple(&format!("    {}", subcommand.summary));
    }
    Ok(Effect::Read)
}

/// A number as C's `atoi` reads it, as a switch: on unless it is 0.
fn is_on(word: &[u8]) -> bool {
    let word = word.trim_ascii_start();
    let digits = word
        .strip_prefix(b"-")
        .or(word.strip_prefix(b"+"))
        .unwrap_or(word);
    let digits = digits.iter().take_while(|b| b.is_ascii_digit());
    digits.copied().any(|b| b != b'0')
}

/// Redis's MERGE and NOFLUSH, which keep what is there, are refused.
fn reload(host: &mut Host<'_>) -> Outcome {
    let mut saves = true;
    for i in 2..host.args.len() {
        match host.args.is(i, "nosave") {
            true => saves = false,
            false => {
                return Err(Error::new(
                    "ERR DEBUG RELOAD only supports the NOSAVE option here.",
                ));
            }
        }
    }
    let save = saves
        .then(|| snapshot::begin(host.core, false))
        .transpose()?;
    let mut plan = Plan::new(&host.core.config, host.core.placement.shards());
    let path = host.core.config.dbfilename().to_path_buf();
    let logs = host.core.effects.is_on();
    if logs {
        // What has expired is still in the log.
        plan = plan.of_base();
    }
    let process = std::sync::Arc::clone(&host.core.process);
    let shards = host.core.placement.shards();
    host.core.tasks.start(host.client, move || {
        let mut keys: Vec<Vec<persist::Batch>> = (0..shards).map(|_| Vec::new()).collect();
        let saved = save.map_or(Ok(()), |save| save.wait());
        let loaded = saved.and_then(|()| {
            plan.read(
                &path,
                &process.scripts,
                &Progress::default(),
                |shard, batch| {
                    keys[shard].push(batch);
                    Ok(())
                },
            )
        });
        let finish: Finish = Box::new(move |core, reply| match loaded {
            Ok(_) => {
                loading::replace_all(core, keys);
                // The log does not say what has come and gone with the file.
                core.process.aof.state().scheduled |= logs;
                reply.ok();
            }
            Err(why) => {
                log::warn!("DEBUG RELOAD: {why}");
                let error = Error::new("ERR Error trying to load the RDB dump, check server logs.");
                core.reply_error(reply, &error);
            }
        });
        finish
    });
    Ok(Effect::Read)
}

fn set_active_expire(host: &mut Host<'_>) -> Outcome {
    let on = is_on(host.args.get(2));
    switch(host, |switches| switches.active_expire = on)
}

/// Changes a switch for all shards.
fn switch(host: &mut Host<'_>, change: impl FnOnce(&mut Switches)) -> Outcome {
    change(&mut host.core.process.control().switches);
    survey::ask(host, Whom::All, Topic::Reload, survey::answer_ok)
}

fn set_disable_deny_scripts(host: &mut Host<'_>) -> Outcome {
    let on = is_on(host.args.get(2));
    switch(host, |switches| switches.scripts_call_all = on)
}

fn pause_cron(host: &mut Host<'_>) -> Outcome {
    let on = is_on(host.args.get(2));
    switch(host, |switches| switches.cron_paused = on)
}

fn packed_threshold(host: &mut Host<'_>) -> Outcome {
    let kind = Kind::Size {
        min: 0,
        max: PACKED_THRESHOLD_MAX,
    };
    let word = host.args.get(2).to_vec();
    let bytes = match kind.parse(&[word], &Value::Size(0), Mode::Replace) {
        Ok(Value::Size(0)) => PACKED_THRESHOLD,
        Ok(Value::Size(bytes)) => bytes,
        _ => {
            return Err(Error::new(
                "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
            ));
        }
    };
    switch(host, |switches| switches.packed_threshold = bytes)
}

fn replybuffer(host: &mut Host<'_>) -> Outcome {
    if !host.args.is(2, "peak-reset-time") && !host.args.is(2, "resizing") {
        return Err(unknown(host));
    }
    Err(Error::new(
        "ERR REPLYBUFFER cannot be set here: output buffers are taken from a pool for each batch \
         and never resized",
    ))
}

fn digest(host: &mut Host<'_>) -> Outcome {
    survey::ask(host, Whom::All, Topic::Digest, digest_of)
}

fn digest_of(host: &mut Host<'_>, findings: Findings) -> Outcome {
    let parts = findings.into_iter().map(|(_, finding)| match finding {
        Finding::Digests(sums) => sums,
        _ => unreachable!("digests were asked for"),
    });
    let parts: Vec<_> = parts.collect();
    host.reply.simple(&debug::combine(&parts).hex());
    Ok(Effect::Read)
}

/// The error is not one of the server's, and not counted.
fn error(host: &mut Host<'_>) -> Outcome {
    host.reply.error(host.args.get(2));
    Ok(Effect::Read)
}

fn log(host: &mut Host<'_>) -> Outcome {
    log::warn!("DEBUG LOG: {}", String::from_utf8_lossy(host.args.get(2)));
    host.reply.ok();
    Ok(Effect::Read)
}

fn panic(_: &mut Host<'_>) -> Outcome {
    panic!("DEBUG PANIC was called");
}

/// None of the shard's clients is served meanwhile, and none of its keys: that is the purpose.
fn sleep(host: &mut Host<'_>) -> Outcome {
    let seconds = std::str::from_utf8(host.args.get(2));
    let seconds = seconds.ok().and_then(|s| s.parse().ok()).unwrap_or(0.0);
    // What is no duration, such as a negative one, is none.
    std::thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    host.reply.ok();
    Ok(Effect::Read)
}

fn protocol(host: &mut Host<'_>) -> Outcome {
    let is_resp3 = host.reply.protocol() == Protocol::Resp3;
    let numbers = |reply: &mut Reply| (0..3).for_each(|i| reply.int(i));
    let reply = &mut *host.reply;
    match host.args.get(2).to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double_text(b"3.141"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            numbers(reply);
        }
        b"set" => {
            reply.set(3);
            numbers(reply);
        }
        b"map" => {
            reply.map(3);
            for i in 0..3 {
                reply.int(i);
                reply.boolean(i == 1);
            }
        }
        b"attrib" => {
            if is_resp3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if !is_resp3 => {
            return Err(Error::new("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        b"verbatim" => reply.verbatim(b"txt", b"This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"bignum" => reply.big_number(b"1234567999999999999999999999999999999"),
        _ => {
            return Err(Error::new(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(Effect::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_as_c_reads_numbers() {
        for (word, on) in [
            ("0", false),
            ("1", true),
            ("-1", true),
            (" 7x", true),
            ("00", false),
            ("x", false),
            ("", false),
            ("0x1", false),
        ] {
            assert_eq!(is_on(word.as_bytes()), on, "{word}");
        }
    }
}
