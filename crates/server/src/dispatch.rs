//! From received bytes to replies: parse, look up, check, execute.
//!
//! A batch is what one read completed. Its keys are hashed and prefetched first, some dozens at a
//! time; then its commands run in order. A command of a plain client on a plain shard passes two
//! tests, table look-up and arity, and runs; everything else (authentication, pause, CLIENT REPLY)
//! is behind one flag word each.
//!
//! With several shards the look-up also says whose a command's key is. What is for another shard
//! joins the client's flight (see [`crate::remote`]) and what needs several becomes a transaction;
//! the commands after it wait in the client's input if they may not run beside it.

use crate::aof::{journal, replay};
use crate::blocking;
use crate::clients::{Client, Closing, Held, Special};
use crate::commandlog::{self, By, Lap, Source};
use crate::core::{Actor, CommandTable, Core, Host, HostHandler};
use crate::monitor;
use crate::notify;
use crate::remote::flight::Flight;
use crate::remote::parcel::Sender;
use crate::remote::route::{Keys, To};
use crate::remote::{self, Pass, aside};
use crate::scripting;
use crate::session::{multi, pubsub};
use crate::snapshot;
use crate::stats::Ticks;
use crate::tracking;
use command::blocking::Wait;
use command::table::{Entry, Run};
use command::{Context, Effect, Error, Flags, Form, Outcome};
use engine::gate::{self, Caller, Verdict};
use resp::parse::{Batch, Frame};
use resp::reply::Mark;
use resp::{Args, Reply};
use std::sync::Arc;

/// Commands whose keys are prefetched together.
pub const AHEAD: usize = 64;

/// Output of one client that has not been sent, in bytes, at which its further commands wait until
/// the peer has read. Without it a client that sends and never reads could fill the memory.
pub const OUTPUT_HIGH: usize = 64 << 20;

/// Buffers of one shard that batches are worked on with.
#[derive(Default)]
pub struct Dispatcher {
    batch: Batch,
}

/// A command of the batch that has been looked up.
#[derive(Clone, Copy)]
struct Call<'t> {
    entry: Option<&'t Entry<HostHandler>>,
    hash: Option<u64>,
    to: u16,
    /// Its place in the batch.
    at: u32,
}

/// [`Call::to`]: this shard.
const HERE: u16 = u16::MAX;
/// [`Call::to`]: its keys tell, and have not been asked.
const UNKNOWN: u16 = u16::MAX - 1;

impl Dispatcher {
    /// Runs the commands that `data` completes, as far as the client may go on.
    pub fn receive(&mut self, core: &mut Core, client: &mut Client, data: &[u8]) {
        let mut input = std::mem::take(&mut client.input);
        let mut reply = std::mem::take(&mut client.reply);
        if reply.is_empty() {
            reply.put_buffer(core.spare.take());
        }
        let process = Arc::clone(&core.process);
        let mut frame = Frame::default();
        let mut data = data;
        loop {
            let limits = core.limits(client);
            let parsed = input.parse(data, limits, &mut self.batch, &mut frame);
            let error = parsed.error;
            let executed = run(
                core,
                client,
                &mut reply,
                &process.table,
                &self.batch,
                parsed.buf,
            );
            remote::take_off(core, client);
            let count = self.batch.len();
            input.finish(data, &mut self.batch, &frame, executed);
            if executed < count || client.held.is_some() {
                break;
            }
            // With commands before it the error is judged again: one of them may have been AUTH.
            if let Some(error) = error.filter(|_| count == 0) {
                log::debug!("client {}: {}", client.id, error.message());
                let error = Error::bytes(error.line());
                let mark = reply.mark();
                core.reply_error(&mut reply, &error);
                hush(client, &mut reply, mark);
                client.closing = Closing::AfterReply;
                break;
            }
            if count == 0 || !input.is_pending() {
                break;
            }
            data = &[];
        }
        if reply.is_empty() {
            let (buffer, _) = reply.take();
            core.spare.put(buffer);
        }
        client.reply = reply;
        if client.closing == Closing::No {
            client.input = input;
        }
    }
}

/// Runs the commands of a batch in order; answers how many were run.
fn run(
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    table: &CommandTable,
    batch: &Batch,
    buf: &[u8],
) -> usize {
    let mut calls = [Call {
        entry: None,
        hash: None,
        to: HERE,
        at: 0,
    }; AHEAD];
    let mut done = 0;
    if batch.is_empty() {
        return 0;
    }
    core.actor = Actor {
        sender: Sender::of(client),
        home: core.me,
        reads: false,
    };
    let mut watch = Watch::start(Source::Batch(batch, buf));
    let mut replied = reply.len();
    'batch: while done < batch.len() {
        let n = AHEAD.min(batch.len() - done);
        look_up(core, client.db, table, batch, buf, done, &mut calls[..n]);
        for call in &calls[..n] {
            let args = batch.command(done, buf);
            if client.held.is_some() || client.closing != Closing::No {
                break 'batch;
            }
            if !execute(table, core, client, reply, *call, args, &mut watch) {
                break 'batch;
            }
            done += 1;
            // What concerns this client waits until it is in its place again.
            if client.held.is_none() && core.engine.has_actions() {
                remote::act(core);
            }
            let len = reply.len();
            if len.saturating_sub(replied) >= core.thresholds.reply {
                let by = By::Client(client);
                commandlog::note_reply(core, by, client.session.last_command, args, len - replied);
            }
            replied = len;
            if len >= OUTPUT_HIGH {
                client.held = Some(Held::Output);
            }
        }
        watch.part();
    }
    watch.stop(core, By::Client(client));
    watch.count(client);
    commandlog::take_own(core, client);
    if buf.len() >= core.thresholds.request || batch.has_blobs() {
        commandlog::note_requests(core, client, batch, buf, done);
    }
    done
}

/// Looks up commands and starts loading what their keys' look-ups will need.
#[inline]
fn look_up<'t>(
    core: &Core,
    db: usize,
    table: &'t CommandTable,
    batch: &Batch,
    buf: &[u8],
    first: usize,
    calls: &mut [Call<'t>],
) {
    for (i, call) in calls.iter_mut().enumerate() {
        let args = batch.command(first + i, buf);
        call.entry = table.find(args.get(0));
        call.hash = None;
        call.to = HERE;
        call.at = (first + i) as u32;
        let Some(entry) = call.entry else {
            continue;
        };
        let way = &core.ways[entry.index];
        if !way.keyed || args.len() < 2 || way.blocks {
            if way.blocks || !core.alone && !matches!(way.keys, Keys::None) {
                call.to = UNKNOWN;
            }
            continue;
        }
        let key = args.get(1);
        if !core.alone {
            if !way.one {
                call.to = UNKNOWN;
                continue;
            }
            let shard = core.placement.of_several(key);
            if shard != core.me {
                call.to = shard as u16;
                continue;
            }
        }
        let hash = core.shard.key(key).hash;
        core.shard.prefetch_word(db, hash);
        call.hash = Some(hash);
    }
    if calls.len() == 1 {
        return;
    }
    for hash in calls.iter().filter_map(|c| c.hash) {
        core.shard.prefetch_bucket(db, hash);
    }
    for hash in calls.iter().filter_map(|c| c.hash) {
        core.shard.prefetch_entry(db, hash);
    }
}

/// Attributes calls and time to commands, reading the clock only where one kind of command follows
/// another; before and after each of those that may take long; and now and then in a long run.
pub struct Watch<'a> {
    source: Source<'a>,
    since: Ticks,
    start: Ticks,
    entry: Option<usize>,
    /// The entry whose next call is timed together with those before it; none has this number if it
    /// is not to be.
    same: usize,
    /// Place of the first call of `entry` since `since`.
    first: usize,
    /// Calls of `entry` since `since`.
    calls: u64,
    /// Calls of the batch before `since`.
    earlier: u64,
    /// Calls that the client's own counter knows of.
    counted: u64,
}

/// [`Watch::same`]: every command.
const ALONE: usize = usize::MAX;

/// Arguments of a command that is timed by itself.
const ARGS_MANY: usize = 32;

impl<'a> Watch<'a> {
    pub fn start(source: Source<'a>) -> Watch<'a> {
        let now = Ticks::now();
        Watch {
            source,
            since: now,
            start: now,
            entry: None,
            same: ALONE,
            first: 0,
            calls: 0,
            earlier: 0,
            counted: 0,
        }
    }

    /// Brings the client's own counter up to now.
    fn count(&mut self, client: &mut Client) {
        let calls = self.earlier + self.calls;
        client.session.commands += calls - self.counted;
        self.counted = calls;
    }

    /// The command at a place begins; `by` is whose the commands are.
    #[inline]
    pub fn next(&mut self, core: &mut Core, by: By<'_>, entry: usize, at: usize, argc: usize) {
        if self.same != entry || argc > ARGS_MANY {
            self.turn(core, by);
            self.entry = Some(entry);
            self.first = at;
            let is_alone = core.thresholds.each || argc > ARGS_MANY || core.ways[entry].timed;
            self.same = if is_alone { ALONE } else { entry };
        }
        self.calls += 1;
    }

    /// Ends the run of equal commands.
    #[inline]
    pub fn part(&mut self) {
        self.same = ALONE;
    }

    fn turn(&mut self, core: &mut Core, by: By<'_>) {
        let now = Ticks::now();
        if let Some(entry) = self.entry {
            let ticks = now.since(self.since);
            core.stats.note_calls(entry, self.calls, ticks);
            if ticks >= core.thresholds.ticks {
                let lap = Lap {
                    entry,
                    first: self.first,
                    ticks,
                };
                commandlog::note_lap(core, by, self.source, lap);
            }
        }
        self.since = now;
        self.earlier += self.calls;
        self.calls = 0;
    }

    pub fn stop(&mut self, core: &mut Core, by: By<'_>) {
        self.turn(core, by);
        self.entry = None;
        self.same = ALONE;
        core.stats.command_ticks += self.since.since(self.start);
        self.start = self.since;
    }
}

/// Runs one command; false if it must wait.
#[inline]
fn execute(
    table: &CommandTable,
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    call: Call<'_>,
    args: Args<'_>,
    watch: &mut Watch<'_>,
) -> bool {
    if client.special.is_plain()
        && core.special.is_plain()
        && let Some(entry) = call.entry
        && let Run::Data(form) = entry.run
        && entry.spec.accepts(args.len())
    {
        if call.to != HERE || core.is_crossed() || aside::may_be_heavy(core, entry.index) {
            if core.flight.is_some() && run_beside(core, client, entry, form, call, args, watch) {
                return true;
            }
            return execute_routed(core, client, reply, entry, form, call, args, watch);
        }
        let (by, at) = (By::Client(client), call.at as usize);
        watch.next(core, by, entry.index, at, args.len());
        client.session.last_command = Some(entry.index);
        let perform = Perform::new(form, call.hash);
        let outcome = perform_data(core, client.db, reply, entry, perform, args);
        if let Err(error) = outcome {
            fail(core, reply, entry.index, &error);
        }
        return true;
    }
    // What is not plain runs beside nothing.
    if core.flight.is_some() {
        return false;
    }
    watch.count(client);
    let mark = reply.mark();
    if client.special.has(Special::SUBSCRIBED) {
        core.pubsub.begin_work(client, reply.protocol());
    }
    let executed = execute_carefully(table, core, client, reply, call, args, watch);
    let early = core.pubsub.end_work();
    if !executed {
        return false;
    }
    // Nor does anything after it join what it has sent, whose replies it may not want.
    remote::take_off(core, client);
    hush(client, reply, mark);
    commandlog::take_own(core, client);
    if client.special.has(Special::TRACKING) {
        let was_client = call.entry.is_some_and(|entry| entry.spec.name == "client");
        tracking::turn(client, was_client);
        tracking::tell_own(core, client, reply);
    }
    reply.raw(&early);
    true
}

/// How a command on data is performed.
#[derive(Clone, Copy)]
pub struct Perform {
    pub form: Form,
    /// See [`Context::hash`].
    pub hash: Option<u64>,
    /// See [`Context::warm`].
    pub warm: bool,
}

impl Perform {
    /// Of keys that nobody has loaded for it.
    #[inline(always)]
    pub fn new(form: Form, hash: Option<u64>) -> Perform {
        Perform {
            form,
            hash,
            warm: false,
        }
    }
}

/// Runs a command, here or in the flight that there is, if it is one more of the flight's kind: the
/// short way of [`execute_routed`].
#[inline(never)]
fn run_beside(
    core: &mut Core,
    client: &mut Client,
    entry: &Entry<HostHandler>,
    form: Form,
    call: Call<'_>,
    args: Args<'_>,
    watch: &mut Watch<'_>,
) -> bool {
    if core.strict || call.to == UNKNOWN {
        return false;
    }
    let kind = core.ways[entry.index].kind;
    let Some(mut flight) = core.flight.take() else {
        return false;
    };
    let mut runs = flight.takes_more(kind);
    if runs && call.to != HERE {
        runs = match flight.rejoin(kind, call.to) {
            Some(parcel) => {
                parcel.push(entry.index, args);
                client.session.commands += 1;
                true
            }
            None => false,
        };
    } else if runs && core.engine.is_plain() {
        let (by, at) = (By::Client(client), call.at as usize);
        watch.next(core, by, entry.index, at, args.len());
        let perform = Perform::new(form, call.hash);
        fly_here(core, client, &mut flight, entry, perform, args);
        flight.executed(kind);
    } else {
        runs = false;
    }
    core.flight = Some(flight);
    if runs {
        client.session.last_command = Some(entry.index);
    }
    runs
}

/// Runs a command of a flight here.
fn fly_here(
    core: &mut Core,
    client: &Client,
    flight: &mut Flight,
    entry: &Entry<HostHandler>,
    perform: Perform,
    args: Args<'_>,
) {
    let reply = flight.reply();
    let before = reply.len();
    execute_here(core, client.db, reply, entry, perform, args);
    let bytes = reply.len() - before;
    if bytes >= core.thresholds.reply {
        commandlog::note_reply(core, By::Client(client), Some(entry.index), args, bytes);
    }
}

/// Runs a command on data; in debug builds, sees to it that its effect is what it says.
#[inline(always)]
fn perform_data(
    core: &mut Core,
    db: usize,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    perform: Perform,
    args: Args<'_>,
) -> Outcome {
    let Perform { form, hash, warm } = perform;
    let changes = core.shard.changes();
    let outcome = (form.handler())(&mut Context {
        shard: &mut core.shard,
        db,
        args,
        hash,
        warm,
        reply,
        settings: &core.settings,
        effects: &mut core.effects,
    });
    if let Ok(effect) = outcome {
        debug_assert!(
            effect == Effect::Blocks
                || (effect == Effect::Wrote) == (core.shard.changes() != changes),
            "{} says {effect:?}",
            entry.full_name
        );
    }
    if core.effects.is_on() {
        journal::note(core, entry, form, db, args, &outcome);
    }
    if core.shard.has_news() {
        note_news(core);
    }
    outcome
}

/// Tells those who want to know what has happened to this shard's keys.
#[cold]
#[inline(never)]
pub fn note_news(core: &mut Core) {
    if core.holds_news {
        return;
    }
    if core.shard.has_logged() {
        blocking::note_changes(core);
    }
    if core.shard.has_events() {
        notify::publish(core);
    }
}

/// Runs a command on data where there is more than this shard's keys and nobody's locks to it:
/// sends it where its keys are, or runs it here if nothing that it must not pass or meet forbids it.
/// False if it must wait.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
fn execute_routed(
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    form: Form,
    call: Call<'_>,
    args: Args<'_>,
    watch: &mut Watch<'_>,
) -> bool {
    let way = core.ways[entry.index];
    let to = match call.to {
        HERE => To::Shard(core.me),
        UNKNOWN => remote::place(core, entry, args),
        shard => To::Shard(shard.into()),
    };
    let to = if core.alone && to == To::Several {
        To::Shard(core.me)
    } else {
        to
    };
    if to != To::Anywhere && remote::searches(core, entry, args) {
        if core.flight.is_some() {
            return false;
        }
        if scripting::refuse(core, client, reply, entry, args) {
            return true;
        }
        scripting::begin_command(core, client, reply.protocol(), entry, args);
        client.session.commands += 1;
        client.session.last_command = Some(entry.index);
        return true;
    }
    if let Some(blocking) = entry.spec.blocking
        && to != To::Anywhere
        && matches!((blocking.wait)(args, core.shard.now_ms()), Ok(wait) if wait != Wait::No)
    {
        return blocking::execute(core, client, reply, entry, blocking, form, args, to);
    }
    match to {
        To::Several if core.flight.is_some() => return false,
        To::Several if scripting::refuse(core, client, reply, entry, args) => return true,
        To::Several => {
            remote::tx::begin(core, client, reply.protocol(), entry, form, args);
            client.session.commands += 1;
        }
        To::Shard(shard) if shard != core.me => {
            if !remote::board(
                core,
                client,
                reply.protocol(),
                way.kind,
                shard,
                entry.index,
                args,
            ) {
                return false;
            }
            client.session.commands += 1;
        }
        To::Anywhere | To::Shard(_) => {
            if let Some(flight) = &core.flight
                && !flight.admits(way.kind, None, core.strict)
            {
                return false;
            }
            let Some(pass) = remote::pass(core, client, entry, to, args) else {
                return false;
            };
            if let Pass::Busy = pass {
                core.reply_error(reply, &scripting::busy());
                return true;
            }
            if let Pass::Granted(waiter) = pass
                && aside::is_heavy(core, client.db, entry, args)
            {
                let protocol = reply.protocol();
                aside::start(core, client, protocol, entry, form, args, waiter);
                client.session.last_command = Some(entry.index);
                return true;
            }
            let (by, at) = (By::Client(client), call.at as usize);
            watch.next(core, by, entry.index, at, args.len());
            let perform = Perform::new(form, call.hash);
            match core.flight.take() {
                None => execute_here(core, client.db, reply, entry, perform, args),
                Some(mut flight) => {
                    fly_here(core, client, &mut flight, entry, perform, args);
                    flight.executed(way.kind);
                    core.flight = Some(flight);
                }
            }
            remote::passed(core, pass);
        }
    }
    client.session.last_command = Some(entry.index);
    true
}

/// Runs a command on this shard's data, and answers its error if there is one.
pub fn execute_here(
    core: &mut Core,
    db: usize,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    perform: Perform,
    args: Args<'_>,
) {
    execute_with_effect(core, db, reply, entry, perform, args);
}

/// [`execute_here`], with what the command did unless it failed.
#[inline]
pub fn execute_with_effect(
    core: &mut Core,
    db: usize,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    perform: Perform,
    args: Args<'_>,
) -> Option<Effect> {
    let effect = match perform_data(core, db, reply, entry, perform, args) {
        Ok(effect) => Some(effect),
        Err(error) => {
            fail(core, reply, entry.index, &error);
            None
        }
    };
    if core.actor.reads {
        tracking::remember(core, entry, args);
    }
    effect
}

#[cold]
pub fn fail(core: &mut Core, reply: &mut Reply, entry: usize, error: &Error) {
    core.stats.commands[entry].failed += 1;
    core.reply_error(reply, error);
}

/// Refuses a command that is known; it is done with.
fn reject(
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    error: Error,
) -> bool {
    core.stats.commands[entry.index].rejected += 1;
    let error = multi::refused(core, client, entry, error);
    core.reply_error(reply, &error);
    true
}

/// The way of commands that are not plain: of the server and connections, with subcommands, with
/// errors, of clients or at times that are special.
#[cold]
#[inline(never)]
fn execute_carefully(
    table: &CommandTable,
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    call: Call<'_>,
    args: Args<'_>,
    watch: &mut Watch<'_>,
) -> bool {
    let entry = match table.resolve(args) {
        Ok(entry) => entry,
        Err(unknown) => {
            client.session.last_command = None;
            if is_http(args.get(0)) {
                refuse_http(client);
                return true;
            }
            let error = unknown.error(args);
            multi::note_refusal(client);
            core.reply_error(reply, &error);
            return true;
        }
    };
    if pubsub::is_for_messages(client, reply.protocol())
        && !pubsub::is_allowed_to_subscribers(entry.spec.name)
    {
        core.stats.commands[entry.index].rejected += 1;
        multi::note_refusal(client);
        core.reply_error(reply, &pubsub::refusal(&entry.full_name));
        return true;
    }
    client.session.last_command = Some(entry.index);
    let caller = Caller {
        must_authenticate: core.must_authenticate(client),
        queued: multi::queued_flags(client, entry),
    };
    match gate::judge(
        entry.spec,
        &entry.full_name,
        args.len(),
        caller,
        &core.pause,
    ) {
        Verdict::Run => {}
        Verdict::Wait => {
            client.held = Some(Held::Paused);
            core.clients.paused.push(client.conn);
            return false;
        }
        Verdict::Refuse(error) => {
            return reject(core, client, reply, entry, error);
        }
    }
    if client.special.has(Special::LOADING) && !entry.spec.flags.has(Flags::LOADING) {
        return reject(core, client, reply, entry, replay::LOADING);
    }
    if core.special.has(Special::BUSY) && !entry.spec.flags.has(Flags::ALLOW_BUSY) {
        return reject(core, client, reply, entry, scripting::busy());
    }
    if core.special.has(Special::DENIES_WRITES)
        && (entry.spec.flags.or(caller.queued).has(Flags::WRITE) || entry.spec.name == "ping")
    {
        let error = journal::misconf(core).unwrap_or(snapshot::MISCONF);
        return reject(core, client, reply, entry, error);
    }
    if client.special.has(Special::MONITOR) && touches_keyspace(entry.spec.flags) {
        let error = Error::new("ERR Replica can't interact with the keyspace");
        return reject(core, client, reply, entry, error);
    }
    if multi::queue(core, client, reply, entry, args) {
        return true;
    }
    core.shard.no_touch = client.special.has(Special::NO_TOUCH);
    core.actor.reads = tracking::reads(client);
    let executed = match entry.run {
        Run::Data(form) => {
            let call = Call {
                entry: Some(entry),
                hash: None,
                to: UNKNOWN,
                at: call.at,
            };
            execute_routed(core, client, reply, entry, form, call, args, watch)
        }
        _ => {
            let by = By::Client(client);
            watch.next(core, by, entry.index, call.at as usize, args.len());
            let outcome = perform(core, client, reply, entry, call.hash, args);
            // SLOWLOG may be the next one.
            watch.stop(core, By::Client(client));
            if let Err(error) = outcome {
                fail(core, reply, entry.index, &error);
            }
            // A script that waits for its keys comes here again.
            client.held != Some(Held::Locked)
        }
    };
    core.shard.no_touch = false;
    core.actor.reads = false;
    if executed && core.special.has(Special::MONITORED) && !multi::is_under_way(client, entry) {
        monitor::feed(core, client, reply, entry, args);
    }
    executed
}

/// Whether a command may not be called by a monitor.
fn touches_keyspace(flags: Flags) -> bool {
    let keyspace = Flags::READONLY.or(Flags::WRITE).or(Flags::MAY_REPLICATE);
    flags.0 & keyspace.0 != 0
}

/// Whether the first word of a line is one of HTTP that could reach us, of a request or its header.
fn is_http(name: &[u8]) -> bool {
    [&b"post"[..], b"host:"]
        .iter()
        .any(|word| name.eq_ignore_ascii_case(word))
}

/// A web page may have a browser send requests to us, whose body would then be executed.
fn refuse_http(client: &mut Client) {
    log::warn!(
        "Client {} sends what looks like HTTP, maybe made to by a web page: closing it",
        client.id
    );
    client.closing = Closing::Now;
}

/// Takes back the reply of a client that wants none, and turns a CLIENT REPLY SKIP to the next
/// command.
#[inline]
fn hush(client: &mut Client, reply: &mut Reply, mark: Mark) {
    let special = &mut client.special;
    if special.is_plain() {
        return;
    }
    if special.has(Special::REPLY_OFF.or(Special::REPLY_SKIP)) {
        reply.rewind(mark);
    }
    special.set(Special::REPLY_SKIP, special.has(Special::REPLY_SKIP_NEXT));
    special.set(Special::REPLY_SKIP_NEXT, false);
}

fn perform(
    core: &mut Core,
    client: &mut Client,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    hash: Option<u64>,
    args: Args<'_>,
) -> Outcome {
    match entry.run {
        Run::Data(form) => perform_data(
            core,
            client.db,
            reply,
            entry,
            Perform::new(form, hash),
            args,
        ),
        Run::Host(handler) => handler(&mut Host {
            core,
            client,
            reply,
            args,
        }),
        Run::Container => Err(Error::arity(&entry.full_name)),
    }
}
