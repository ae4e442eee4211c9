//! What is pending in groups: XPENDING, acknowledging it (XACK), and giving it to another consumer
//! (XCLAIM, XAUTOCLAIM).

use super::{
    CONSUMER, COUNT, GROUP, IDS, KEY, RANDOM_REPLY, READ, UPDATE, no_group, parse_id, parse_ids,
    parse_interval, parse_start, reply_entry, reply_id,
};
use super::{tell_consumer, tell_given, tell_progress};
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind as Kind, Command, Effect, Flags, Form, Outcome, Spec};
use resp::Reply;
use resp::number::parse_i64;
use store::stream::{Claim, Claimed, ConsumerNumber, Deliveries, Group, Id, Log, Pending, Stream};
use store::{Class, Look};

pub(super) const XACK: Command = Command {
    spec: Spec {
        name: "xack",
        group: "stream",
        since: "5.0.0",
        arity: -4,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, UPDATE)],
        summary: "Acknowledges entries for a group: they are no longer pending.",
        complexity: "O(log(N)) for each id, with N entries pending",
        arguments: &[KEY, GROUP, IDS],
        ..Spec::DEFAULT
    },
    form: Form::Local(xack),
};

fn xack(ctx: &mut Context<'_>) -> Outcome {
    let (key, name) = (ctx.key(1), ctx.args.get(2));
    let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        ctx.reply.int(0);
        return Ok(Effect::Read);
    }
    let ids = parse_ids(ctx.args, 3)?;
    let mut acknowledged = 0;
    if let Some(mut stream) = ctx.shard.open::<Stream>(ctx.db, key)? {
        if let Some((_, group)) = stream.group_mut(name) {
            acknowledged = ids.iter().filter(|id| group.acknowledge(**id)).count();
        }
        stream.close(acknowledged > 0);
    }
    ctx.reply.int(acknowledged as i64);
    Ok(Effect::wrote_if(acknowledged > 0))
}

pub(super) const XPENDING: Command = Command {
    spec: Spec {
        name: "xpending",
        group: "stream",
        since: "5.0.0",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(1, READ)],
        tips: RANDOM_REPLY,
        summary: "Sums up what is pending in a group, or lists a range of it.",
        complexity: "O(N) in the consumers, or in the entries looked at",
        arguments: &[
            KEY,
            GROUP,
            Argument::block(
                "filters",
                &[
                    Argument::new("min-idle-time", Kind::Integer)
                        .with_token("IDLE")
                        .since("6.2.0")
                        .optional(),
                    Argument::new("start", Kind::String),
                    Argument::new("end", Kind::String),
                    Argument::new("count", Kind::Integer),
                    CONSUMER.optional(),
                ],
            )
            .optional(),
        ],
        history: &[("6.2.0", "Takes IDLE, and ends that are excluded.")],
        ..Spec::DEFAULT
    },
    form: Form::Local(xpending),
};

/// What XPENDING is to list.
struct Filter<'a> {
    from: Id,
    to: Id,
    count: usize,
    min_idle_ms: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// Nothing if only the sum is asked for.
    fn parse(ctx: &Context<'a>) -> Result<Option<Filter<'a>>, Error> {
        let args = ctx.args;
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(Error::SYNTAX);
        }
        let (mut first, mut min_idle_ms) = (3, 0);
        if args.is(3, "idle") {
            min_idle_ms = ctx.integer(4)?;
            first = 5;
            if args.len() < 8 {
                return Err(Error::SYNTAX);
            }
        }
        let count = ctx.integer(first + 2)?;
        let (from, to) = parse_interval(args.get(first), args.get(first + 1))?;
        Ok(Some(Filter {
            from,
            to,
            count: usize::try_from(count).unwrap_or(0),
            min_idle_ms,
            consumer: args.opt(first + 3),
        }))
    }
}

fn xpending(ctx: &mut Context<'_>) -> Outcome {
    let filter = Filter::parse(ctx)?;
    let (key, name) = (ctx.key(1), ctx.args.get(2));
    let now_ms = ctx.shard.now_ms();
    let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?;
    let Some(group) = stream.as_ref().and_then(|stream| stream.group(name)) else {
        return Err(no_group(key.bytes, name, ""));
    };
    match filter {
        None => reply_sum(ctx.reply, group),
        Some(filter) => reply_pending(ctx.reply, group, &filter, now_ms),
    }
    Ok(Effect::Read)
}

fn reply_sum(reply: &mut Reply, group: &Group) {
    reply.array(4);
    reply.int(group.pending_len() as i64);
    let Some((first, last)) = group.pending_bounds() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, first);
    reply_id(reply, last);
    let mark = reply.mark();
    let mut n = 0;
    for (_, consumer) in group.consumers().filter(|(_, c)| c.pending() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_int(consumer.pending() as i64);
        n += 1;
    }
    reply.close_array(mark, n);
}

fn reply_pending(reply: &mut Reply, group: &Group, filter: &Filter<'_>, now_ms: i64) {
    let mark = reply.mark();
    let mut n = 0;
    let mut list = |pending: &mut dyn Iterator<Item = (Id, &Pending)>| {
        let idle = |pending: &Pending| now_ms.wrapping_sub(pending.delivered_ms);
        let asked =
            pending.filter(|(_, p)| filter.min_idle_ms == 0 || idle(p) >= filter.min_idle_ms);
        for (id, pending) in asked.take(filter.count) {
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(group.consumer(pending.consumer).name());
            reply.int(idle(pending).max(0));
            reply.int(pending.deliveries as i64);
            n += 1;
        }
    };
    match filter.consumer {
        None => list(&mut group.pending(filter.from, filter.to)),
        Some(name) => {
            if let Some(consumer) = group.find_consumer(name) {
                list(&mut group.pending_of(consumer, filter.from, filter.to));
            }
        }
    }
    reply.close_array(mark, n);
}

pub(super) const XCLAIM: Command = Command {
    spec: Spec {
        name: "xclaim",
        group: "stream",
        since: "5.0.0",
        arity: -6,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, UPDATE)],
        tips: RANDOM_REPLY,
        summary: "Makes a consumer the owner of entries that are pending for others.",
        complexity: "O(log(N)) for each id, with N entries pending",
        arguments: &[
            KEY,
            GROUP,
            CONSUMER,
            Argument::new("min-idle-time", Kind::String),
            IDS,
            Argument::new("ms", Kind::Integer)
                .with_token("IDLE")
                .optional(),
            Argument::new("unix-time-milliseconds", Kind::UnixTime)
                .with_token("TIME")
                .optional(),
            Argument::new("count", Kind::Integer)
                .with_token("RETRYCOUNT")
                .optional(),
            Argument::token("force", "FORCE").optional(),
            Argument::token("justid", "JUSTID").optional(),
            Argument::new("lastid", Kind::String)
                .with_token("LASTID")
                .optional(),
        ],
        ..Spec::DEFAULT
    },
    form: Form::Local(xclaim),
};

/// What stands behind the names of XCLAIM.
#[derive(Default)]
struct ClaimOptions {
    min_idle_ms: i64,
    ids: Vec<Id>,
    delivered_ms: Option<i64>,
    retry_count: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: Id,
}

impl ClaimOptions {
    fn parse(ctx: &Context<'_>) -> Result<ClaimOptions, Error> {
        let (args, now_ms) = (ctx.args, ctx.shard.now_ms());
        let number = |i: usize, what: &str| {
            let invalid = || Error::new(format!("ERR Invalid {what} argument for XCLAIM"));
            parse_i64(args.get(i)).ok_or_else(invalid)
        };
        let mut options = ClaimOptions {
            min_idle_ms: number(4, "min-idle-time")?.max(0),
            ..ClaimOptions::default()
        };
        let ids = (5..args.len()).map_while(|i| parse_id(args.get(i), 0).ok());
        options.ids = ids.collect();
        let mut i = 5 + options.ids.len();
        while i < args.len() {
            let more = i + 1 < args.len();
            if args.is(i, "force") {
                options.force = true;
                i += 1;
                continue;
            } else if args.is(i, "justid") {
                options.just_id = true;
                i += 1;
                continue;
            } else if more && args.is(i, "idle") {
                let idle = number(i + 1, "IDLE option")?;
                options.delivered_ms = Some(now_ms.wrapping_sub(idle));
            } else if more && args.is(i, "time") {
                options.delivered_ms = Some(number(i + 1, "TIME option")?);
            } else if more && args.is(i, "retrycount") {
                options.retry_count = u64::try_from(number(i + 1, "RETRYCOUNT option")?).ok();
            } else if more && args.is(i, "lastid") {
                options.last_id = parse_id(args.get(i + 1), 0)?;
            } else {
                return Err(Error::showing(
                    "ERR Unrecognized XCLAIM option '",
                    args.get(i),
                    "'",
                ));
            }
            i += 2;
        }
        Ok(options)
    }

    /// A time that is not in the past means now.
    fn delivered_ms(&self, now_ms: i64, repeats: bool) -> i64 {
        let known = if repeats { i64::MAX } else { now_ms };
        let given = self.delivered_ms.filter(|ms| (0..=known).contains(ms));
        given.unwrap_or(now_ms)
    }

    fn deliveries(&self) -> Deliveries {
        match (self.retry_count, self.just_id) {
            (Some(n), _) => Deliveries::Set(n),
            (None, true) => Deliveries::Keep,
            (None, false) => Deliveries::Add,
        }
    }
}

fn xclaim(ctx: &mut Context<'_>) -> Outcome {
    let (key, name, consumer) = (ctx.key(1), ctx.args.get(2), ctx.args.get(3));
    let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        return Err(no_group(key.bytes, name, ""));
    }
    let options = ClaimOptions::parse(ctx)?;
    let now_ms = ctx.shard.clock_ms();
    let mut stream = ctx.shard.open::<Stream>(ctx.db, key)?;
    let Some((log, group)) = stream.as_mut().and_then(|stream| stream.group_mut(name)) else {
        return Err(no_group(key.bytes, name, ""));
    };
    let mut changed = options.last_id > group.last_id;
    group.last_id = group.last_id.max(options.last_id);
    if changed {
        tell_progress(ctx.effects, key, group);
    }
    let (consumer, is_new) = seen(group, consumer, now_ms);
    changed |= is_new;
    if is_new {
        tell_consumer(ctx.effects, key, name, ctx.args.get(3));
    }
    let claim = Claim {
        consumer,
        min_idle_ms: options.min_idle_ms,
        now_ms,
        delivered_ms: options.delivered_ms(now_ms, ctx.settings.repeats),
        deliveries: options.deliveries(),
        force: options.force,
    };
    let mark = ctx.reply.mark();
    let mut n = 0;
    for id in &options.ids {
        match group.claim(log, *id, &claim) {
            Claimed::No => {}
            Claimed::Gone { was_pending } => {
                changed |= was_pending;
                if was_pending {
                    tell_given(ctx.effects, key, group, &[*id]);
                }
            }
            Claimed::Yes => {
                tell_given(ctx.effects, key, group, &[*id]);
                changed = true;
                n += 1;
                reply_claimed(ctx.reply, log, *id, options.just_id);
            }
        }
    }
    ctx.reply.close_array(mark, n);
    if let Some(mut stream) = stream {
        if is_new {
            stream.notify(Class::STREAM, "xgroup-createconsumer");
        }
        stream.close(changed);
    }
    Ok(Effect::wrote_if(changed))
}

/// The consumer of a name, created if need be, as seen now; and whether it is a new one.
fn seen(group: &mut Group, name: &[u8], now_ms: i64) -> (ConsumerNumber, bool) {
    let (consumer, is_new) = group.add_consumer(name, now_ms);
    group.consumer_mut(consumer).seen_ms = now_ms;
    (consumer, is_new)
}

fn reply_claimed(reply: &mut Reply, log: &Log, id: Id, just_id: bool) {
    match log.get(id) {
        Some(entry) if !just_id => reply_entry(reply, entry),
        _ => reply_id(reply, id),
    }
}

pub(super) const XAUTOCLAIM: Command = Command {
    spec: Spec {
        name: "xautoclaim",
        group: "stream",
        since: "6.2.0",
        arity: -6,
        flags: Flags::WRITE.or(Flags::FAST),
        keys: &[KeySpec::one(1, KeyFlags::RW.or(KeyFlags::DELETE))],
        tips: RANDOM_REPLY,
        summary: "Makes a consumer the owner of the next entries that have been pending for long.",
        complexity: "O(N log(M)) with N entries claimed of M that are pending",
        arguments: &[
            KEY,
            GROUP,
            CONSUMER,
            Argument::new("min-idle-time", Kind::String),
            Argument::new("start", Kind::String),
            COUNT,
            Argument::token("justid", "JUSTID").optional(),
        ],
        history: &[(
            "7.0.0",
            "Answers the ids of entries that are not there, which are no longer pending then.",
        )],
        ..Spec::DEFAULT
    },
    form: Form::Local(xautoclaim),
};

/// Entries that are looked at for each that may be claimed.
const ATTEMPTS: usize = 10;

/// What stands behind the names of XAUTOCLAIM.
struct Sweep {
    min_idle_ms: i64,
    start: Id,
    count: usize,
    just_id: bool,
}

impl Sweep {
    fn parse(ctx: &Context<'_>) -> Result<Sweep, Error> {
        const COUNT_DEFAULT: usize = 100;
        const COUNT_MAX: i64 = i64::MAX / 16;
        let args = ctx.args;
        let min_idle_ms = parse_i64(args.get(4)).ok_or(Error::fixed(
            "ERR Invalid min-idle-time argument for XAUTOCLAIM",
        ))?;
        let mut sweep = Sweep {
            min_idle_ms: min_idle_ms.max(0),
            start: parse_start(args.get(5))?,
            count: COUNT_DEFAULT,
            just_id: false,
        };
        let mut i = 6;
        while i < args.len() {
            if args.is(i, "count") && i + 1 < args.len() {
                let count = parse_i64(args.get(i + 1)).filter(|n| (1..=COUNT_MAX).contains(n));
                let count = count.ok_or(Error::fixed("ERR COUNT must be > 0"))?;
                sweep.count = count as usize;
                i += 2;
            } else if args.is(i, "justid") {
                sweep.just_id = true;
                i += 1;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(sweep)
    }
}

fn xautoclaim(ctx: &mut Context<'_>) -> Outcome {
    let sweep = Sweep::parse(ctx)?;
    let (key, name, consumer) = (ctx.key(1), ctx.args.get(2), ctx.args.get(3));
    let now_ms = ctx.shard.now_ms();
    let stream = ctx.shard.read::<Stream>(ctx.db, key, Look::Use)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        return Err(no_group(key.bytes, name, ""));
    }
    let mut stream = ctx.shard.open::<Stream>(ctx.db, key)?;
    let Some((log, group)) = stream.as_mut().and_then(|stream| stream.group_mut(name)) else {
        return Err(no_group(key.bytes, name, ""));
    };
    let (consumer, is_new) = seen(group, consumer, now_ms);
    let mut changed = is_new;
    if is_new {
        tell_consumer(ctx.effects, key, name, ctx.args.get(3));
    }
    let claim = Claim {
        consumer,
        min_idle_ms: sweep.min_idle_ms,
        now_ms,
        delivered_ms: now_ms,
        deliveries: match sweep.just_id {
            true => Deliveries::Keep,
            false => Deliveries::Add,
        },
        force: false,
    };
    let (claimed, gone, next) = sweep_group(log, group, &claim, &sweep);
    changed |= !claimed.is_empty() || !gone.is_empty();
    tell_given(ctx.effects, key, group, &claimed);
    tell_given(ctx.effects, key, group, &gone);
    ctx.reply.array(3);
    reply_id(ctx.reply, next.unwrap_or(Id::MIN));
    ctx.reply.array(claimed.len());
    for id in claimed {
        reply_claimed(ctx.reply, log, id, sweep.just_id);
    }
    ctx.reply.array(gone.len());
    gone.iter().for_each(|id| reply_id(ctx.reply, *id));
    if let Some(mut stream) = stream {
        if is_new {
            stream.notify(Class::STREAM, "xgroup-createconsumer");
        }
        stream.close(changed);
    }
    Ok(Effect::wrote_if(changed))
}

/// Claims what can be claimed; answers which entries were, which are not there, and where to go on.
fn sweep_group(
    log: &Log,
    group: &mut Group,
    claim: &Claim,
    sweep: &Sweep,
) -> (Vec<Id>, Vec<Id>, Option<Id>) {
    let (mut claimed, mut gone) = (Vec::new(), Vec::new());
    let mut attempts = sweep.count.saturating_mul(ATTEMPTS);
    let mut next = group.next_pending(sweep.start);
    while let Some(id) = next {
        if attempts == 0 || claimed.len() + gone.len() == sweep.count {
            break;
        }
        attempts -= 1;
        match group.claim(log, id, claim) {
            Claimed::No => {}
            Claimed::Yes => claimed.push(id),
            Claimed::Gone { .. } => gone.push(id),
        }
        next = id.next().and_then(|start| group.next_pending(start));
    }
    (claimed, gone, next)
}
