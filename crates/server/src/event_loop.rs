//! The loop of one shard: wait, serve what came, send what was written, do what is due.
//!
//! ```text
//!   wait ──► events ──► commands ──► replies of all clients, one send each ──► timers, slices ─┐
//!     ▲                                                                                         │
//!     └──────────── glommio, while it has work ◄────────────────────────────────────────────────┘
//! ```
//!
//! Everything between two waits runs without interruption and is bounded: a read is one buffer, and
//! background work (expiry, freeing) is cut into slices of well under a millisecond.

use crate::aof::journal;
use crate::aof::replay::{self, REPLAY};
use crate::background::{Background, WAIT_MAX};
use crate::clients::{Client, Closing, Held, Peer, Special};
use crate::config::ClientClass;
use crate::config::settings::OnSignal;
use crate::core::{Actor, Arrival, Core, Request};
use crate::cron::Cron;
use crate::dispatch::{Dispatcher, OUTPUT_HIGH};
use crate::driver::{ConnId, Driver, Event, Output};
use crate::listen::{self, Address, Listener};
use crate::monitor;
use crate::process::LINKS;
use crate::pubsub;
use crate::remote;
use crate::remote::parcel::Sender;
use crate::scripting;
use crate::session::multi;
use crate::snapshot::{self, Ending};
use crate::stats::Ticks;
use crate::tasks::Finish;
use crate::tracking;
use crate::wake::Wake;
use crate::{blocking, dispatch};
use resp::Reply;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long accepting rests after it failed, for want of descriptors mostly.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// Replies still being sent get this long when the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// Output of a client that has not authenticated, in bytes, beyond which it is closed.
const UNAUTHENTICATED_OUTPUT_MAX: u64 = 17 * 1024;

/// Input of a paused client, in bytes, at which receiving stops.
const PAUSED_INPUT_MAX: u64 = 1 << 20;

/// How long a shard sleeps at most while clients wait for another one that cannot keep up.
const CONGESTED_MAX: Duration = Duration::from_millis(1);

/// How long replies wait for those behind them, in microseconds.
const REPLY_DELAY_US: i64 = 1000;

/// Slices of freeing per pass while the loop is busy.
const TRASH_SLICES: usize = 4;

pub struct EventLoop<D> {
    driver: D,
    core: Core,
    dispatcher: Dispatcher,
    cron: Cron,
    background: Background,
    /// Of each listener that there has been.
    addresses: Vec<Address>,
    /// Listeners whose accepting failed, and when to try again.
    resting: Vec<(usize, Instant)>,
    stop: StopSignal,
    /// What wakes each shard.
    peers: Vec<Wake>,
    /// Clients, by id, whose replies wait for more to send with them, and since when, in Unix
    /// microseconds.
    delayed: VecDeque<(ConnId, u64, i64)>,
    /// The shard that was given a connection last.
    settled: usize,
    stopping: Option<Instant>,
    /// It ends, and has no clients.
    quiet: bool,
}

/// How other threads ask the loop to end.
#[derive(Clone)]
pub struct StopSignal {
    pub requested: std::sync::Arc<AtomicBool>,
    pub wake: Wake,
}

impl<D: Driver> EventLoop<D> {
    pub fn new(
        mut driver: D,
        core: Core,
        background: Background,
        listeners: Vec<Listener>,
        stop: StopSignal,
        peers: Vec<Wake>,
    ) -> EventLoop<D> {
        let mut addresses = Vec::new();
        for (i, listener) in listeners.into_iter().enumerate() {
            driver.listen(i, listener.socket);
            addresses.push(listener.address);
        }
        driver.watch(stop.wake.descriptor());
        if let Some(bell) = driver.bell() {
            core.process.bells[core.me].store(bell, Ordering::Release);
        }
        EventLoop {
            driver,
            cron: Cron::new(&core),
            core,
            dispatcher: Dispatcher::default(),
            background,
            addresses,
            resting: Vec::new(),
            stop,
            peers,
            delayed: VecDeque::new(),
            settled: 0,
            stopping: None,
            quiet: false,
        }
    }

    /// Runs until the server is asked to stop.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            let timeout = self.timeout();
            self.wait(timeout)?;
            journal::wake(&mut self.core);
            let started = Ticks::now();
            self.core.tick();
            if self.core.loading {
                replay::look_after(&mut self.core);
            }
            let began = self.core.save.is_some().then(Instant::now);
            self.core.actor = Actor::default();
            if !self.core.alone {
                remote::receive(&mut self.core);
                remote::act(&mut self.core);
            }
            scripting::look_after(&mut self.core);
            self.serve_events();
            self.work(Instant::now());
            self.send_delayed();
            self.look_after_clients();
            if let Some(began) = began {
                snapshot::go_on(&mut self.core, began);
            }
            remote::act(&mut self.core);
            tracking::tell_late(&mut self.core);
            tracking::broadcast(&mut self.core);
            journal::hand_on(&mut self.core);
            if !self.core.alone {
                self.flush();
                self.note_congestion();
            }
            self.note_pass(started);
            if !self.background.is_idle() {
                self.background.pass().await;
            }
            if self.is_over() {
                snapshot::bring_all(&mut self.core);
                journal::end(&mut self.core);
                return Ok(());
            }
        }
    }

    /// Shows the other shards what was sent to them, and wakes those that sleep.
    fn flush(&mut self) {
        let (peers, bells) = (&self.peers, &self.core.process.bells);
        let driver = &mut self.driver;
        self.core.node.flush(|peer| {
            let bell = bells[peer].load(Ordering::Acquire);
            if bell < 0 {
                peers[peer].ring();
            } else {
                driver.wake(bell);
            }
        });
    }

    /// Has the clients of all shards wait while more was sent to some shard than that can take: messages of
    /// publishers and events of keys, for which nobody waits. Commands that ask other shards hold themselves back.
    fn note_congestion(&mut self) {
        let core = &mut self.core;
        let congested = &core.process.congested;
        let waiting = core.node.longest_outbox();
        let is_behind = waiting > LINKS.outbox && {
            let counts = core.process.connections.iter();
            let clients: usize = counts.map(|c| c.load(Ordering::Relaxed)).sum();
            // Each may have sent something for which it waits.
            waiting > LINKS.outbox + clients
        };
        if is_behind != core.congests {
            core.congests = is_behind;
            match is_behind {
                true => congested.fetch_add(1, Ordering::Relaxed),
                false => congested.fetch_sub(1, Ordering::Relaxed),
            };
        }
        core.congested = congested.load(Ordering::Relaxed) > 0;
        if !core.congested {
            for conn in std::mem::take(&mut core.clients.congested) {
                core.clients.mark(conn);
            }
        }
    }

    /// Waits for something to happen, unless another shard has sent something already.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return self.driver.wait(timeout);
        }
        if self.core.alone {
            journal::sleep(&mut self.core);
            return self.driver.wait(timeout);
        }
        let timeout = match self.core.node.prepare_sleep() {
            true => {
                journal::sleep(&mut self.core);
                timeout
            }
            false => Some(Duration::ZERO),
        };
        let waited = self.driver.wait(timeout);
        self.core.node.woke();
        waited
    }

    fn timeout(&self) -> Option<Duration> {
        let save = self.core.save.as_ref();
        if self.core.shard.has_trash()
            || self.cron.is_busy()
            || !self.core.clients.dirty.is_empty()
            || !self.core.scripting.paused.is_empty()
            || save.is_some_and(|save| !save.is_behind())
            || self.core.brought.is_some()
            || journal::has_released(&self.core)
        {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let mut timeout = self.cron.due().saturating_duration_since(now);
        if !self.core.clients.congested.is_empty() {
            // Nobody says when it is over.
            timeout = timeout.min(CONGESTED_MAX);
        }
        for (_, at) in &self.resting {
            timeout = timeout.min(at.saturating_duration_since(now));
        }
        if let Some(until_ms) = self.core.pause.until_ms() {
            let left = (until_ms - self.core.now_ms()).max(1) as u64;
            timeout = timeout.min(Duration::from_millis(left));
        }
        if let Some(at_ms) = self.core.waits.next_deadline_ms() {
            let left_us = (at_ms * 1000 - self.core.now_us).max(1) as u64;
            timeout = timeout.min(Duration::from_micros(left_us));
        }
        if let Some(end) = self.stopping.filter(|_| !self.quiet) {
            timeout = timeout.min(end.saturating_duration_since(now));
        }
        if let Some((_, _, since_us)) = self.delayed.front() {
            let left_us = (since_us + REPLY_DELAY_US - self.core.now_us).clamp(1, REPLY_DELAY_US);
            timeout = timeout.min(Duration::from_micros(left_us as u64));
        }
        if !self.background.is_idle() || save.is_some() {
            timeout = timeout.min(WAIT_MAX);
        }
        Some(timeout)
    }

    fn serve_events(&mut self) {
        while let Some(event) = self.driver.next() {
            match event {
                Event::Data { conn, bytes } => {
                    let Some(mut client) = self.core.clients.take(conn) else {
                        continue;
                    };
                    self.core.stats.reads += 1;
                    self.core.stats.bytes_in += bytes.len() as u64;
                    client.session.bytes_in += bytes.len() as u64;
                    client.session.last_active_ms = self.core.now_ms();
                    serve(&mut self.core, &mut self.dispatcher, client, bytes);
                    self.core.clients.mark(conn);
                }
                Event::Sent { conn, buffer } => {
                    self.core.spare.put(buffer);
                    let now_ms = self.core.now_ms();
                    if let Some(client) = self.core.clients.get_mut(conn) {
                        client.session.in_flight = 0;
                        client.session.last_active_ms = now_ms;
                        if !client.reply.is_empty()
                            || !client.outbox.is_empty()
                            || client.held.is_some()
                            || client.closing != Closing::No
                            || client.ended
                        {
                            self.core.clients.mark(conn);
                        }
                    }
                }
                Event::Ended { conn } => {
                    if let Some(client) = self.core.clients.get_mut(conn) {
                        client.ended = true;
                        self.core.clients.mark(conn);
                    }
                }
                Event::SendFailed { conn } => self.core.clients.close(conn, Closing::Now),
                Event::Closed { conn } => {
                    if let Some(mut client) = self.core.clients.remove(conn) {
                        pubsub::remove_all(&mut self.core, &mut client);
                        multi::forget(&mut self.core, &mut client);
                        monitor::remove(&mut self.core, &mut client);
                        tracking::disable(&mut self.core, &mut client);
                        remote::exec::abandon(&mut self.core, &mut client);
                        blocking::leave(&mut self.core, &mut client);
                        remote::give_up(&mut self.core, &mut client);
                    }
                }
                Event::Accepted { listener, socket } => {
                    let address = &self.addresses[listener];
                    if let Some(arrival) = accept(&mut self.core, address, socket) {
                        self.settle(arrival);
                    }
                }
                Event::AcceptFailed { listener, error } => {
                    log::warn!("Accepting client connection: {error}");
                    self.resting.push((listener, Instant::now() + ACCEPT_REST));
                }
                Event::Readable => {
                    self.stop.wake.hush();
                    self.driver.watch(self.stop.wake.descriptor());
                }
            }
        }
    }

    /// Gives a new connection to the shard that has the fewest.
    fn settle(&mut self, arrival: Arrival) {
        let counts = &self.core.process.connections;
        let count = |shard: &usize| counts[*shard].load(Ordering::Relaxed);
        let me = self.core.me;
        // Of equal ones the next after the last choice, so that nobody is always the first.
        let shards = (1..=counts.len()).map(|i| (self.settled + i) % counts.len());
        let to = shards.min_by_key(count).unwrap_or(me);
        self.settled = to;
        counts[to].fetch_add(1, Ordering::Relaxed);
        if to == me {
            self.adopt(arrival);
        } else {
            let request = remote::Request::Adopt(arrival);
            self.core.node.send_request(to, request);
        }
    }

    /// Serves a connection from now on.
    fn adopt(&mut self, arrival: Arrival) {
        let Arrival { id, peer, socket } = arrival;
        let core = &mut self.core;
        let conn = core.clients.reserve(id);
        let fd = socket.as_raw_fd();
        let mut client = Box::new(Client::new(id, conn, peer, fd, core.now_ms()));
        if id == REPLAY {
            client.special = Special::NONE;
        } else {
            let unknown = core.needs_password();
            client.special.set(Special::UNAUTHENTICATED, unknown);
            client.special.set(Special::LOADING, core.loading);
        }
        self.driver.adopt(conn, socket);
        core.clients.put(client);
    }

    /// What is due besides clients' commands.
    fn work(&mut self, now: Instant) {
        self.core.actor = Actor::default();
        if self.stopping.is_none() && self.stop.requested.load(Ordering::Acquire) {
            self.begin_stop(now);
        }
        if self.core.me == 0 && self.stopping.is_none() {
            self.heed_signal(now);
        }
        for request in std::mem::take(&mut self.core.requests) {
            match request {
                Request::Shutdown => self.begin_stop(now),
                Request::MoveTcp(listeners) => self.move_tcp(listeners),
                Request::Adopt(arrival) => self.adopt(arrival),
            }
        }
        while let Some(done) = self.core.asides.done() {
            remote::aside::finish(&mut self.core, *done);
        }
        while let Some((id, wants_reply, finish)) = self.core.tasks.finished() {
            self.finish_task(id, wants_reply, finish);
        }
        let driver = &mut self.driver;
        self.resting.retain(|(listener, at)| {
            let due = *at <= now;
            if due {
                driver.accept(*listener);
            }
            !due
        });
        self.core.expire_pause();
        self.cron.run(&mut self.core, now);
        if self.core.effects.is_on() {
            journal::note_losses(&mut self.core);
        }
        if self.core.shard.has_news() {
            dispatch::note_news(&mut self.core);
        }
        blocking::expire(&mut self.core);
        tracking::tell_late(&mut self.core);
        tracking::broadcast(&mut self.core);
        scripting::program::go_on(&mut self.core);
        for _ in 0..TRASH_SLICES {
            if !self.core.shard.has_trash() {
                break;
            }
            self.core.shard.empty_trash_step();
        }
    }

    /// Sends, resumes and closes the clients that something has happened to.
    fn look_after_clients(&mut self) {
        journal::release(&mut self.core);
        let mut dirty = std::mem::take(&mut self.core.clients.dirty);
        for conn in dirty.drain(..) {
            if let Some(client) = self.core.clients.get_mut(conn) {
                client.dirty = false;
                self.look_after(conn);
            }
        }
        // Clients marked meanwhile are looked after in the next pass.
        if self.core.clients.dirty.is_empty() {
            self.core.clients.dirty = dirty;
        }
    }

    fn look_after(&mut self, conn: ConnId) {
        let Some(client) = self.core.clients.get_mut(conn) else {
            return;
        };
        if client.closing == Closing::Now {
            return self.cut(conn);
        }
        if tracking::is_due(client) {
            let sender = Sender::of(client);
            tracking::release_at(&mut self.core, sender);
        }
        let Some(client) = self.core.clients.get_mut(conn) else {
            return;
        };
        if matches!(
            client.held,
            Some(Held::Remote | Held::Locked | Held::Blocked)
        ) && !client.is_away()
        {
            self.go_on(conn);
        }
        let holds = journal::holds_replies(&self.core);
        let Some(client) = self.core.clients.get_mut(conn) else {
            return;
        };
        let holds = holds || !client.outbox.is_empty();
        let sends = !client.reply.is_empty() && (holds || self.driver.unsent(conn) == 0);
        if sends && client.delays_reply() {
            if client.delayed == 1 {
                let since_us = self.core.now_us;
                self.delayed.push_back((conn, client.id, since_us));
            }
        } else if sends {
            client.delayed = 0;
            let (buffer, splices) = client.reply.take();
            let output = Output { buffer, splices };
            if holds {
                self.hold(conn, output);
            } else {
                self.send(conn, output);
            }
        }
        self.send_durable(conn);
        if !self.within_output_limit(conn) {
            listen::reset_on_close(self.driver.descriptor(conn));
            return self.cut(conn);
        }
        let Some(client) = self.core.clients.get_mut(conn) else {
            return;
        };
        let sending = self.driver.is_sending(conn);
        let sending = sending || !client.outbox.is_empty();
        // A peer that only ended its side still gets what it has asked for.
        let is_held = matches!(
            client.held,
            Some(Held::Output | Held::Remote | Held::Locked)
        );
        let ended = client.ended && !is_held;
        let is_away = client.is_away() && client.held != Some(Held::Blocked);
        if (client.closing == Closing::AfterReply || ended) && !sending && !is_away {
            return self.cut(conn);
        }
        let queued = client.session.multi.as_ref().map_or(0, |m| m.bytes);
        let memory = (client.input.memory() + queued) as u64;
        let is_user = client.id != REPLAY;
        if is_user && memory > self.core.config.client_query_buffer_limit() {
            log::warn!(
                "Closing client {} that reached max query buffer length of {memory} bytes",
                client.id
            );
            self.core.stats.query_buffer_disconnections += 1;
            listen::reset_on_close(self.driver.descriptor(conn));
            return self.cut(conn);
        }
        let waits = match client.held {
            Some(Held::Paused) => self.core.pause.scope().is_some(),
            Some(Held::Congested) => self.core.congested,
            Some(Held::Remote | Held::Locked | Held::Blocked) => client.is_away(),
            _ => false,
        };
        match client.held {
            Some(Held::Output) if sending || !client.reply.is_empty() => self.driver.pause(conn),
            // Receiving goes on for some time, to hear of it when the peer gives up.
            Some(_) if waits && memory < PAUSED_INPUT_MAX => {}
            Some(_) if waits => self.driver.pause(conn),
            Some(Held::Task) if self.core.tasks.has(client.id) => self.driver.pause(conn),
            Some(_) => {
                self.go_on(conn);
                self.core.clients.mark(conn);
            }
            None => {}
        }
    }

    /// Gives replies to the driver.
    fn send(&mut self, conn: ConnId, output: Output) {
        let stats = &mut self.core.stats;
        stats.writes += 1;
        stats.bytes_out += output.len() as u64;
        if let Some(client) = self.core.clients.get_mut(conn) {
            client.session.bytes_out += output.len() as u64;
            client.session.in_flight = output.len();
        }
        self.driver.send(conn, output);
    }

    /// Keeps replies until what they show is durable.
    fn hold(&mut self, conn: ConnId, mut output: Output) {
        let epoch = journal::seen(&self.core);
        if let Some(client) = self.core.clients.get_mut(conn) {
            match client.outbox.back_mut() {
                Some((last, before)) if *last == epoch && before.takes(&output) => {
                    before.buffer.append(&mut output.buffer);
                    self.core.spare.put(output.buffer);
                }
                _ => client.outbox.push_back((epoch, output)),
            }
            if client.outbox_len() >= OUTPUT_HIGH && client.held.is_none() {
                client.held = Some(Held::Output);
            }
        }
    }

    /// Sends the replies that have waited for the log, as far as that has come.
    fn send_durable(&mut self, conn: ConnId) {
        let client = self.core.clients.get(conn);
        let Some((epoch, _)) = client.and_then(|client| client.outbox.front()) else {
            return;
        };
        if *epoch > journal::durable(&self.core) {
            return journal::note_holder(&mut self.core, conn);
        }
        // The end of what is being sent comes here again.
        if self.driver.unsent(conn) == 0
            && let Some(client) = self.core.clients.get_mut(conn)
            && let Some((_, output)) = client.outbox.pop_front()
        {
            self.send(conn, output);
        }
    }

    /// Runs the commands of a client that waits no more.
    fn go_on(&mut self, conn: ConnId) {
        self.driver.resume(conn);
        let Some(mut client) = self.core.clients.take(conn) else {
            return;
        };
        client.held = None;
        if client.session.exec.is_some() {
            remote::exec::go_on(&mut self.core, &mut client);
        }
        if client.held.is_none() && client.input.is_pending() {
            serve(&mut self.core, &mut self.dispatcher, client, &[]);
        } else {
            self.core.clients.put(client);
        }
    }

    /// Sends the replies that have waited long enough for those behind them.
    fn send_delayed(&mut self) {
        let late_us = self.core.now_us - REPLY_DELAY_US;
        while let Some((conn, id, since_us)) = self.delayed.front().copied() {
            if since_us > late_us && since_us <= self.core.now_us {
                break;
            }
            self.delayed.pop_front();
            let client = self.core.clients.get_mut(conn);
            if let Some(client) = client.filter(|c| c.id == id && c.delayed > 0) {
                client.delayed = u8::MAX;
                self.core.clients.mark(conn);
            }
        }
    }

    /// Closes a connection at once.
    fn cut(&mut self, conn: ConnId) {
        if let Some(mut client) = self.core.clients.take(conn) {
            remote::give_up(&mut self.core, &mut client);
            self.core.clients.put(client);
        }
        self.core.clients.cut(conn);
        self.driver.close(conn);
    }

    /// Checks `client-output-buffer-limit`; false if the client must go.
    fn within_output_limit(&mut self, conn: ConnId) -> bool {
        let now_ms = self.core.now_ms();
        let needs_password = self.core.needs_password();
        let Some(client) = self.core.clients.get_mut(conn) else {
            return false;
        };
        let class = match client.special.has(Special::SUBSCRIBED) {
            true => ClientClass::PubSub,
            false => ClientClass::Normal,
        };
        let limit = self.core.config.client_output_buffer_limit(class);
        let unsent = self.driver.unsent(conn) + client.outbox_len();
        let pending = (client.reply.len() + unsent) as u64;
        let unknown = needs_password && client.special.has(Special::UNAUTHENTICATED);
        let hard = limit.hard != 0 && pending >= limit.hard
            || unknown && pending > UNAUTHENTICATED_OUTPUT_MAX;
        let soft = limit.soft != 0 && pending >= limit.soft;
        let session = &mut client.session;
        session.over_soft_since_ms = match session.over_soft_since_ms {
            _ if !soft => None,
            None => Some(now_ms),
            since => since,
        };
        let patience_ms = limit.soft_seconds * 1000;
        let too_long = session
            .over_soft_since_ms
            .is_some_and(|since| now_ms - since > patience_ms);
        if !hard && !too_long || client.id == REPLAY {
            return true;
        }
        log::warn!(
            "Client {} closed for overcoming of output buffer limits",
            client.id
        );
        self.core.stats.output_buffer_disconnections += 1;
        false
    }

    /// Accepts on other TCP sockets from now on.
    fn move_tcp(&mut self, listeners: Vec<Listener>) {
        for (i, address) in self.addresses.iter().enumerate() {
            if address.is_tcp() {
                self.driver.unlisten(i);
            }
        }
        for listener in listeners {
            self.driver.listen(self.addresses.len(), listener.socket);
            self.addresses.push(listener.address);
        }
    }

    /// Writes the reply of a task, and lets its client go on.
    fn finish_task(&mut self, id: u64, wants_reply: bool, finish: Finish) {
        let Some(conn) = self.core.clients.conn_of(id) else {
            return;
        };
        let Some(mut client) = self.core.clients.take(conn) else {
            return;
        };
        let mark = client.reply.mark();
        finish(&mut self.core, &mut client.reply);
        if !wants_reply {
            client.reply.rewind(mark);
        }
        self.core.clients.put(client);
        self.core.clients.mark(conn);
    }

    /// Ends the server if a signal says so, and what is to be saved can be.
    fn heed_signal(&mut self, now: Instant) {
        let signal = self.core.process.signal.load(Ordering::Acquire);
        let on = match signal {
            0 => return,
            libc::SIGINT => self.core.config.shutdown_on_sigint(),
            _ => self.core.config.shutdown_on_sigterm(),
        };
        let ending = match on {
            OnSignal { save: true, .. } => Ending::Save,
            OnSignal { nosave: true, .. } => Ending::NoSave,
            _ => Ending::Usual,
        };
        if snapshot::prepare_end(&mut self.core, ending).is_ok() || on.force {
            return self.begin_stop(now);
        }
        log::warn!("Error trying to save the DB, can't exit.");
        self.core.process.signal.store(0, Ordering::Release);
    }

    fn begin_stop(&mut self, now: Instant) {
        if self.stopping.is_some() {
            return;
        }
        if self.core.me == 0 {
            log::info!("User requested shutdown...");
        }
        self.driver.stop_listening();
        self.core.process.control().listeners.close();
        self.stopping = Some(now + SHUTDOWN_GRACE);
        if !self.stop.requested.swap(true, Ordering::AcqRel) {
            self.peers.iter().for_each(Wake::ring);
        }
        let conns: Vec<ConnId> = self.core.clients.iter().map(|c| c.conn).collect();
        for conn in conns {
            self.core.clients.close(conn, Closing::AfterReply);
        }
    }

    /// Whether nothing is under way any more, here or for anybody else.
    fn is_over(&mut self) -> bool {
        let Some(end) = self.stopping else {
            return false;
        };
        let quiet = &self.core.process.quiet;
        let shards = self.core.placement.shards();
        if !self.quiet && (self.core.clients.is_empty() || Instant::now() >= end) {
            self.quiet = true;
            if quiet.fetch_add(1, Ordering::AcqRel) + 1 == shards {
                self.peers.iter().for_each(Wake::ring);
            }
        }
        quiet.load(Ordering::Acquire) == shards
    }

    fn note_pass(&mut self, started: Ticks) {
        let ticks = Ticks::now().since(started);
        let stats = &mut self.core.stats;
        stats.loops += 1;
        stats.loop_ticks += ticks;
        self.cron.note_pass(stats, ticks);
    }
}

/// Runs a client's commands and puts it back.
#[inline]
fn serve(core: &mut Core, dispatcher: &mut Dispatcher, mut client: Box<Client>, data: &[u8]) {
    if core.congested && client.closing == Closing::No && client.held.is_none() {
        client.held = Some(Held::Congested);
        core.clients.congested.push(client.conn);
    }
    if client.closing == Closing::No && client.held.is_some() {
        // Kept for later: parsing is resumed when the client may go on.
        client.input.keep_only(data);
    } else {
        if client.closing == Closing::No {
            dispatcher.receive(core, &mut client, data);
        }
        // A command that was given its locks and did not run after all asks again when it does.
        remote::give_up(core, &mut client);
    }
    core.clients.put(client);
}

/// Decides about a new connection: nothing if it was turned away.
fn accept(core: &mut Core, address: &Address, socket: OwnedFd) -> Option<Arrival> {
    let fd = socket.as_raw_fd();
    let peer = match address {
        Address::Unix(path) => Peer::Unix {
            path: path.as_str().into(),
        },
        Address::Tcp(_) => {
            listen::prepare(fd, core.config.tcp_keepalive());
            // Fails when the peer is gone already.
            let (remote, local) = listen::ends(fd).ok()?;
            Peer::Tcp { remote, local }
        }
    };
    let counts = core.process.connections.iter();
    let clients: usize = counts.map(|c| c.load(Ordering::Relaxed)).sum();
    if clients >= core.config.maxclients() as usize {
        turn_away(fd, b"ERR max number of clients reached");
        core.stats.rejected_connections += 1;
        return None;
    }
    if core.config.protected_mode() && !core.needs_password() && !peer.is_local() {
        turn_away(fd, PROTECTED.as_bytes());
        core.stats.rejected_connections += 1;
        return None;
    }
    core.stats.connections += 1;
    let id = core.clients.next_id();
    Some(Arrival { id, peer, socket })
}

/// Sends one error to a connection that is not taken. Nobody waits for it.
fn turn_away(fd: RawFd, error: &[u8]) {
    let mut reply = Reply::default();
    reply.error(error);
    let bytes = reply.bytes();
    // SAFETY: the bytes outlive the call.
    unsafe {
        libc::send(
            fd,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        );
    }
}

const PROTECTED: &str = "DENIED Shoal is running in protected mode because protected mode is \
enabled and no password is set for the default user. In this mode connections are only accepted \
from the loopback interface. To connect from other machines, do one of these: 1) set a password \
with CONFIG SET requirepass, 2) turn protected mode off with CONFIG SET protected-mode no from a \
local client, if the server cannot be reached from the Internet, 3) start the server with \
--protected-mode no.";
