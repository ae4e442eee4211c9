//! What is new in several streams: XREAD, and XREADGROUP, which delivers to a consumer of a group.

use super::{
    CONSUMER, COUNT, GROUP, IDS, READ, WEIGHED, id_text, no_group, parse_count, parse_id,
    reply_entries, reply_entry, reply_id,
};
use super::{tell_consumer, tell_given, tell_progress};
use crate::blocking::{self, Blocking, Wait};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{Begin, Find, KeySpec};
use crate::spec::{
    Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec, Weight,
};
use resp::reply::Mark;
use resp::{Args, Pack, Protocol, Reply};
use store::stream::{ConsumerNumber, Group, Id, Log, Stream};
use store::{Class, Look};

const STREAMS: Argument =
    Argument::block("streams", &[Argument::key("key", 0).multiple(), IDS]).with_token("STREAMS");
const BLOCK: Argument = Argument::new("milliseconds", Kind::Integer)
    .with_token("BLOCK")
    .optional();

/// Keys behind STREAMS, which is looked for from argument `from` on: the first half of what follows.
const fn behind_streams(from: i32) -> KeySpec {
    KeySpec {
        flags: READ,
        begin: Begin::Keyword("STREAMS", from),
        find: Find::Range {
            last: -1,
            step: 1,
            limit: 2,
        },
        notes: "",
    }
}

pub(super) const XREAD: Command = Command {
    spec: Spec {
        name: "xread",
        group: "stream",
        since: "5.0.0",
        arity: -4,
        flags: Flags::READONLY.or(Flags::BLOCKING),
        keys: &[behind_streams(1)],
        summary: "Answers the entries of streams above an id for each.",
        complexity: "O(log(N)+M) for each stream, with N entries in it of which M are answered",
        arguments: &[COUNT, BLOCK, STREAMS],
        history: &[("7.4.0", "Takes + for the last entry.")],
        weight: Weight::Of(|ctx| weigh(ctx, Of::Xread)),
        blocking: Some(Blocking {
            wait,
            alone,
            ready: is_ready,
        }),
        ..Spec::DEFAULT
    },
    form: Form::Gather(xread, None),
};

fn xread(ctx: &mut Context<'_>) -> Outcome {
    let options = Options::parse(ctx, Of::Xread)?;
    let mut starts = Vec::with_capacity(options.streams);
    for (key, id) in options.pairs() {
        let (key, id) = (ctx.key(key), ctx.args.get(id));
        let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?;
        starts.push(start(stream.as_deref().map(Stream::log), id)?);
    }
    let mut answer = Answer::begin(ctx.reply);
    for ((key, _), start) in options.pairs().zip(starts) {
        let key = ctx.key(key);
        let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?;
        let (Some(stream), Some(start)) = (stream, start) else {
            continue;
        };
        let entries = stream.log().range(start, Id::MAX).take(options.count);
        let mut entries = entries.peekable();
        if entries.peek().is_some() {
            answer.stream(ctx.reply, key.bytes);
            reply_entries(ctx.reply, entries);
        }
    }
    match answer.end(ctx.reply) {
        true => Ok(Effect::Read),
        false => Ok(blocking::blocked(options.wait)),
    }
}

/// The first id that XREAD answers of a stream, by what its client has said; none if there cannot be
/// any.
fn start(log: Option<&Log>, text: &[u8]) -> Result<Option<Id>, Error> {
    match text {
        b"$" => Ok(log.map_or(Id::MIN, |log| log.last_id).next()),
        b"+" => Ok(log.and_then(Log::last).map(|entry| entry.id)),
        b">" => Err(Error::fixed(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
             <consumer> option.",
        )),
        text => Ok(parse_id(text, 0)?.next()),
    }
}

pub(super) const XREADGROUP: Command = Command {
    spec: Spec {
        name: "xreadgroup",
        group: "stream",
        since: "5.0.0",
        arity: -7,
        flags: Flags::WRITE.or(Flags::BLOCKING),
        keys: &[behind_streams(4)],
        summary: "Delivers new entries of streams to a consumer of a group, or answers again what is \
                  pending for it.",
        complexity: "O(log(N)+M) for each stream, with N entries in it of which M are answered",
        arguments: &[
            Argument::block("group-block", &[GROUP, CONSUMER]).with_token("GROUP"),
            COUNT,
            BLOCK,
            Argument::token("noack", "NOACK").optional(),
            STREAMS,
        ],
        weight: Weight::Of(|ctx| weigh(ctx, Of::Xreadgroup)),
        blocking: Some(Blocking {
            wait,
            alone,
            ready: is_group_ready,
        }),
        ..Spec::DEFAULT
    },
    form: Form::Gather(xreadgroup, None),
};

fn xreadgroup(ctx: &mut Context<'_>) -> Outcome {
    let options = Options::parse(ctx, Of::Xreadgroup)?;
    let mut wanted = Vec::with_capacity(options.streams);
    for (key, id) in options.pairs() {
        let (key, id) = (ctx.key(key), ctx.args.get(id));
        let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?;
        if stream.is_none_or(|stream| stream.group(options.group).is_none()) {
            let after = " in XREADGROUP with GROUP option";
            return Err(no_group(key.bytes, options.group, after));
        }
        wanted.push(Wanted::parse(id)?);
    }
    let now_ms = ctx.shard.now_ms();
    let mut answer = Answer::begin(ctx.reply);
    let mut changed = false;
    for ((key, _), wanted) in options.pairs().zip(wanted) {
        let key = ctx.key(key);
        let Some(mut stream) = ctx.shard.open::<Stream>(ctx.db, key)? else {
            continue;
        };
        let Some((log, group)) = stream.group_mut(options.group) else {
            continue;
        };
        let (consumer, is_new) = group.add_consumer(options.consumer, now_ms);
        if is_new {
            tell_consumer(ctx.effects, key, options.group, options.consumer);
        }
        group.consumer_mut(consumer).seen_ms = now_ms;
        let mut delivery = Delivery {
            log,
            group,
            consumer,
            now_ms,
            options: &options,
            given: Vec::new(),
            notes: ctx.effects.is_on(),
        };
        let delivered = match wanted {
            Wanted::New => delivery.new_entries(ctx.reply, &mut answer, key.bytes),
            Wanted::Above(id) => delivery.pending_entries(ctx.reply, &mut answer, key.bytes, id),
        };
        let Delivery { group, given, .. } = delivery;
        if !options.noack || matches!(wanted, Wanted::Above(_)) {
            tell_given(ctx.effects, key, group, &given);
        }
        if delivered && matches!(wanted, Wanted::New) {
            tell_progress(ctx.effects, key, group);
        }
        // That the consumer was seen is noted without being a change.
        if is_new {
            stream.notify(Class::STREAM, "xgroup-createconsumer");
        }
        stream.close(is_new || delivered);
        changed |= is_new || delivered;
    }
    match answer.end(ctx.reply) {
        false if options.wait != Wait::No => Ok(Effect::Blocks),
        _ => Ok(Effect::wrote_if(changed)),
    }
}

/// About how many entries a call answers.
fn weigh(ctx: &mut Context<'_>, of: Of) -> usize {
    let Ok(options) = Options::parse(ctx, of) else {
        return 0;
    };
    let most = options.count.min(WEIGHED);
    let mut sum = 0;
    for (key, id) in options.pairs() {
        let (key, id) = (ctx.key(key), ctx.args.get(id));
        let Ok(Some(stream)) = ctx.shard.read::<Stream>(ctx.db, key, Look::Peek) else {
            continue;
        };
        let log = stream.log();
        let group = stream.group(options.group);
        let start = match (of, group, Wanted::parse(id)) {
            (Of::Xread, ..) => start(Some(log), id).ok().flatten(),
            (_, Some(group), Ok(Wanted::New)) => group.last_id.next(),
            (_, Some(group), Ok(Wanted::Above(_))) => {
                sum += group.pending_len().min(most);
                None
            }
            _ => None,
        };
        sum += start.map_or(0, |start| log.about(start, Id::MAX, most));
    }
    sum
}

/// What a consumer asks for.
enum Wanted {
    /// What no consumer of the group has had yet.
    New,
    /// What is pending for it, above an id.
    Above(Id),
}

impl Wanted {
    fn parse(text: &[u8]) -> Result<Wanted, Error> {
        let meaningless = |id: &str| {
            Error::new(format!(
                "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the \
                 history of this consumer by specifying a proper ID, or use the > ID to get new \
                 messages. The {id} ID would just return an empty result set."
            ))
        };
        match text {
            b"$" => Err(meaningless("$")),
            b"+" => Err(meaningless("+")),
            b">" => Ok(Wanted::New),
            text => Ok(match parse_id(text, 0)? {
                // There is nothing above, and Redis takes it for the other.
                Id::MAX => Wanted::New,
                id => Wanted::Above(id),
            }),
        }
    }
}

/// What one stream has for the consumer.
struct Delivery<'a> {
    log: &'a Log,
    group: &'a mut Group,
    consumer: ConsumerNumber,
    now_ms: i64,
    options: &'a Options<'a>,
    /// The entries that were given, if that is to be noted.
    given: Vec<Id>,
    notes: bool,
}

impl Delivery<'_> {
    /// Answers new entries; false if there are none.
    fn new_entries(&mut self, reply: &mut Reply, answer: &mut Answer, key: &[u8]) -> bool {
        let start = self.group.last_id.next();
        let first = start.and_then(|start| self.log.range(start, Id::MAX).next());
        if first.is_none() {
            return false;
        }
        answer.stream(reply, key);
        let mark = reply.mark();
        let (notes, given) = (self.notes, &mut self.given);
        let n = self.group.deliver(
            self.log,
            self.consumer,
            self.options.count,
            !self.options.noack,
            self.now_ms,
            |entry| {
                if notes {
                    given.push(entry.id);
                }
                reply_entry(reply, entry);
            },
        );
        reply.close_array(mark, n);
        true
    }

    /// Answers what is pending above an id, be it nothing; false if nothing was delivered again.
    fn pending_entries(
        &mut self,
        reply: &mut Reply,
        answer: &mut Answer,
        key: &[u8],
        above: Id,
    ) -> bool {
        answer.stream(reply, key);
        let mark = reply.mark();
        let (notes, given) = (self.notes, &mut self.given);
        let (found, gone) = self.group.deliver_again(
            self.log,
            self.consumer,
            above,
            self.options.count,
            self.now_ms,
            |entry| match entry {
                Ok(entry) => {
                    if notes {
                        given.push(entry.id);
                    }
                    reply_entry(reply, entry);
                }
                Err(id) => {
                    reply.array(2);
                    reply_id(reply, id);
                    reply.null_array();
                }
            },
        );
        reply.close_array(mark, found + gone);
        found > 0
    }
}

/// The reply: what each stream has, as a map in RESP3, and in pairs before.
struct Answer {
    mark: Mark,
    streams: usize,
}

impl Answer {
    fn begin(reply: &Reply) -> Answer {
        Answer {
            mark: reply.mark(),
            streams: 0,
        }
    }

    /// Begins the part of a stream; its entries follow.
    fn stream(&mut self, reply: &mut Reply, key: &[u8]) {
        self.streams += 1;
        if reply.protocol() == Protocol::Resp2 {
            reply.array(2);
        }
        reply.bulk(key);
    }

    /// Whether there is an answer at all.
    fn end(self, reply: &mut Reply) -> bool {
        let is_some = self.streams > 0;
        match (self.streams, reply.protocol()) {
            (0, _) => reply.null_array(),
            (n, Protocol::Resp2) => reply.close_array(self.mark, n),
            (n, Protocol::Resp3) => reply.close_map(self.mark, n),
        }
        is_some
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Xread,
    Xreadgroup,
}

/// What stands before and behind STREAMS.
struct Options<'a> {
    count: usize,
    noack: bool,
    group: &'a [u8],
    consumer: &'a [u8],
    /// Until when to wait if there is nothing.
    wait: Wait,
    /// The argument that is the first key, and how many there are; an id for each follows.
    first: usize,
    streams: usize,
}

impl<'a> Options<'a> {
    fn parse(ctx: &Context<'a>, of: Of) -> Result<Options<'a>, Error> {
        let args = ctx.args;
        let mut count = usize::MAX;
        let (mut noack, mut group, mut wait) = (false, None, Wait::No);
        let mut i = 1;
        let first = loop {
            if i >= args.len() {
                return Err(Error::SYNTAX);
            }
            let more = args.len() - i - 1;
            if args.is(i, "block") && more > 0 {
                wait = blocking::milliseconds(args, i + 1, ctx.shard.now_ms())?;
                i += 2;
            } else if args.is(i, "count") && more > 0 {
                count = parse_count(ctx, i + 1)?;
                i += 2;
            } else if args.is(i, "streams") && more > 0 {
                if !more.is_multiple_of(2) {
                    return Err(unbalanced(of));
                }
                break i + 1;
            } else if args.is(i, "group") && more >= 2 {
                only_in_groups(of, "GROUP")?;
                group = Some((args.get(i + 1), args.get(i + 2)));
                i += 3;
            } else if args.is(i, "noack") {
                only_in_groups(of, "NOACK")?;
                noack = true;
                i += 1;
            } else {
                return Err(Error::SYNTAX);
            }
        };
        if of == Of::Xreadgroup && group.is_none() {
            return Err(Error::fixed("ERR Missing GROUP option for XREADGROUP"));
        }
        let (group, consumer) = group.unwrap_or_default();
        Ok(Options {
            count,
            noack,
            group,
            consumer,
            wait,
            first,
            streams: (args.len() - first) / 2,
        })
    }

    /// The arguments that are a key and its id.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let streams = self.streams;
        (self.first..self.first + streams).map(move |key| (key, key + streams))
    }
}

fn unbalanced(of: Of) -> Error {
    Error::fixed(match of {
        Of::Xread => {
            "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be \
             specified."
        }
        Of::Xreadgroup => {
            "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be \
             specified."
        }
    })
}

fn only_in_groups(of: Of, option: &str) -> Result<(), Error> {
    match of {
        Of::Xreadgroup => Ok(()),
        Of::Xread => Err(Error::new(format!(
            "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
        ))),
    }
}

/// Until when a call waits.
fn wait(args: Args<'_>, now_ms: i64) -> Result<Wait, Error> {
    let mut i = 1;
    while i + 1 < args.len() && !args.is(i, "streams") {
        if args.is(i, "block") {
            return blocking::milliseconds(args, i + 1, now_ms);
        }
        i += match () {
            () if args.is(i, "group") => 3,
            () if args.is(i, "noack") => 1,
            () => 2,
        };
    }
    Ok(Wait::No)
}

/// The call for one stream alone, from the id on that its client means now.
fn alone(ctx: &mut Context<'_>, at: usize, call: &mut Pack) -> bool {
    let args = ctx.args;
    let of = match args.is(0, XREAD.spec.name) {
        true => Of::Xread,
        false => Of::Xreadgroup,
    };
    let Ok(options) = Options::parse(ctx, of) else {
        return false;
    };
    (0..options.first).for_each(|i| call.add(args, i));
    call.add(args, at);
    match args.get(at + options.streams) {
        b"$" | b"+" => {
            let key = ctx.key(at);
            let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Peek);
            let last = stream.ok().flatten().map_or(Id::MIN, |s| s.log().last_id);
            call.add_bytes(id_text(last).as_bytes());
        }
        _ => call.add(args, at + options.streams),
    }
    call.end();
    true
}

/// Whether there is an entry for XREAD.
fn is_ready(ctx: &mut Context<'_>) -> bool {
    let n = ctx.args.len();
    let (key, id) = (ctx.key(n - 2), ctx.args.get(n - 1));
    let Ok(Some(stream)) = ctx.shard.read::<Stream>(ctx.db, key, Look::Peek) else {
        return false;
    };
    let start = start(Some(stream.log()), id).ok().flatten();
    start.is_some_and(|start| stream.log().range(start, Id::MAX).next().is_some())
}

/// Whether there is an entry for XREADGROUP, or something to complain of.
fn is_group_ready(ctx: &mut Context<'_>) -> bool {
    let key = ctx.key(ctx.args.len() - 2);
    let Ok(options) = Options::parse(ctx, Of::Xreadgroup) else {
        return true;
    };
    let Ok(Some(stream)) = ctx.shard.read::<Stream>(ctx.db, key, Look::Peek) else {
        return true;
    };
    let Some(group) = stream.group(options.group) else {
        return true;
    };
    let start = group.last_id.next();
    start.is_some_and(|start| stream.log().range(start, Id::MAX).next().is_some())
}
