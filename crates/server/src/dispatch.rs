//! From received bytes to replies: parse, look up, check, execute.
//!
//! A batch is what one read completed. Its keys are hashed and prefetched first, some dozens at a
//! time; then its commands run in order. A command of a plain client on a plain shard passes two
//! tests, table look-up and arity, and runs; everything else (authentication, pause, CLIENT REPLY)
//! is behind one flag word each.

use crate::clients::{Client, Closing, Held, Special};
use crate::core::{CommandTable, Core, Host, HostHandler};
use crate::stats::Ticks;
use command::table::{Entry, Run};
use command::{Context, Effect, Error, Form, Outcome};
use engine::gate::{self, Caller, Verdict};
use resp::parse::{Batch, Frame};
use resp::reply::Mark;
use resp::{Args, Reply};
use std::sync::Arc;

/// Commands whose keys are prefetched together.
const AHEAD: usize = 48;

/// Output of one client that has not been sent, in bytes, at which its further commands wait until
/// the peer has read. Without it a client that sends and never reads could fill the memory.
pub const OUTPUT_HIGH: usize = 64 << 20;

/// Capacity of an output buffer when it is new.
const BUFFER: usize = 16 * 1024;

/// Buffers of one shard that batches are worked on with.
#[derive(Default)]
pub struct Dispatcher {
    batch: Batch,
    /// Empty output buffers.
    buffers: Vec<Vec<u8>>,
}

/// Buffers kept for reuse, and the largest kept.
const BUFFERS_KEPT: usize = 256;
const BUFFER_MAX: usize = 64 * 1024;

/// A command of the batch that has been looked up.
#[derive(Clone, Copy)]
struct Call<'t> {
    entry: Option<&'t Entry<HostHandler>>,
    hash: Option<u64>,
}

impl Dispatcher {
    /// Takes back an output buffer.
    #[inline]
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_MAX && self.buffers.len() < BUFFERS_KEPT {
            self.buffers.push(buffer);
        }
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.buffers
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Runs the commands that `data` completes, as far as the client may go on.
    pub fn receive(&mut self, core: &mut Core, client: &mut Client, data: &[u8]) {
        let mut input = std::mem::take(&mut client.input);
        let mut reply = std::mem::take(&mut client.reply);
        if reply.is_empty() {
            reply.put_buffer(self.buffer());
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
            let count = self.batch.len();
            input.finish(data, &mut self.batch, &frame, executed);
            if executed < count {
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
            self.recycle(buffer);
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
    }; AHEAD];
    let mut done = 0;
    if batch.is_empty() {
        return 0;
    }
    let mut watch = Watch::start();
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
            if reply.len() >= OUTPUT_HIGH {
                client.held = Some(Held::Output);
            }
        }
    }
    watch.stop(core);
    watch.count(client);
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
        call.hash = match call.entry {
            Some(entry) if core.keyed[entry.index] && args.len() > 1 => {
                let hash = core.shard.key(args.get(1)).hash;
                core.shard.prefetch_word(db, hash);
                Some(hash)
            }
            _ => None,
        };
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
/// another.
struct Watch {
    since: Ticks,
    start: Ticks,
    entry: Option<usize>,
    /// Calls of `entry` since `since`.
    calls: u64,
    /// Calls of the batch before `since`.
    earlier: u64,
    /// Calls that the client's own counter knows of.
    counted: u64,
}

impl Watch {
    fn start() -> Watch {
        let now = Ticks::now();
        Watch {
            since: now,
            start: now,
            entry: None,
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

    #[inline]
    fn next(&mut self, core: &mut Core, entry: usize) {
        if self.entry != Some(entry) {
            self.turn(core);
            self.entry = Some(entry);
        }
        self.calls += 1;
    }

    fn turn(&mut self, core: &mut Core) {
        let now = Ticks::now();
        if let Some(entry) = self.entry {
            core.stats
                .note_calls(entry, self.calls, now.since(self.since));
        }
        self.since = now;
        self.earlier += self.calls;
        self.calls = 0;
    }

    fn stop(&mut self, core: &mut Core) {
        self.turn(core);
        core.stats.command_ticks += self.since.since(self.start);
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
    watch: &mut Watch,
) -> bool {
    if client.special.is_plain()
        && core.special.is_plain()
        && let Some(entry) = call.entry
        && let Run::Data(form) = entry.run
        && entry.spec.accepts(args.len())
    {
        watch.next(core, entry.index);
        client.session.last_command = Some(entry.index);
        let outcome = perform_data(core, client.db, reply, entry, form, call.hash, args);
        if let Err(error) = outcome {
            fail(core, reply, entry.index, &error);
        }
        return true;
    }
    watch.count(client);
    let mark = reply.mark();
    if !execute_carefully(table, core, client, reply, call, args, watch) {
        return false;
    }
    hush(client, reply, mark);
    true
}

/// Runs a command on data; in debug builds, sees to it that its effect is what it says.
#[inline(always)]
fn perform_data(
    core: &mut Core,
    db: usize,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    form: Form,
    hash: Option<u64>,
    args: Args<'_>,
) -> Outcome {
    let changes = core.shard.changes();
    let outcome = (form.handler())(&mut Context {
        shard: &mut core.shard,
        db,
        args,
        hash,
        reply,
        settings: &core.settings,
    });
    if let Ok(effect) = outcome {
        debug_assert_eq!(
            effect == Effect::Wrote,
            core.shard.changes() != changes,
            "{} says {effect:?}",
            entry.full_name
        );
    }
    outcome
}

#[cold]
fn fail(core: &mut Core, reply: &mut Reply, entry: usize, error: &Error) {
    core.stats.commands[entry].failed += 1;
    core.reply_error(reply, error);
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
    watch: &mut Watch,
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
            core.reply_error(reply, &error);
            return true;
        }
    };
    client.session.last_command = Some(entry.index);
    let caller = Caller {
        must_authenticate: core.must_authenticate(client),
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
            core.stats.commands[entry.index].rejected += 1;
            core.reply_error(reply, &error);
            return true;
        }
    }
    watch.next(core, entry.index);
    core.shard.no_touch = client.special.has(Special::NO_TOUCH);
    let outcome = perform(core, client, reply, entry, call.hash, args);
    core.shard.no_touch = false;
    if let Err(error) = outcome {
        fail(core, reply, entry.index, &error);
    }
    true
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
        Run::Data(form) => perform_data(core, client.db, reply, entry, form, hash, args),
        Run::Host(handler) => handler(&mut Host {
            core,
            client,
            reply,
            args,
        }),
        Run::Container => Err(Error::arity(&entry.full_name)),
    }
}
