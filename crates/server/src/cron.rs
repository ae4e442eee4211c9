//! Periodic work: expiry, idle clients, rates and peaks; `hz` times a second.

use crate::aof;
use crate::clients::Closing;
use crate::config::ClientClass;
use crate::core::Core;
use crate::driver::ConnId;
use crate::listen;
use crate::snapshot;
use crate::stats::{Stats, Ticks};
use engine::locks::{Mode, Name};
use std::time::{Duration, Instant};

/// Share of expired keys among those looked at above which the sweep goes on, by
/// `active-expire-effort`: a tenth less for each step, as in Redis.
fn tolerated_stale(effort: u32) -> f64 {
    (11.0 - f64::from(effort.clamp(1, 10))) / 100.0
}

/// Longest slice of expiry in one pass of the loop, in microseconds.
const EXPIRE_SLICE_US: f64 = 500.0;

/// Fields of hashes that are looked at before the time is.
const FIELDS_PER_STEP: usize = 256;

/// Keys with an expiry that the sweep has met and left alone.
#[derive(Clone, Copy, Debug, Default)]
struct Lap {
    keys: i64,
    lifetimes_ms: i64,
}

pub struct Cron {
    due: Instant,
    period: Duration,
    /// The expiry sweep has found so much that it goes on in the next pass.
    sweeping: bool,
    /// Fields of hashes are due, and are being removed.
    sweeping_fields: bool,
    /// Microseconds of expiry still allowed before the next run.
    budget_us: f64,
    database: usize,
    /// What the sweep has seen since it last came round in each database.
    laps: Vec<Lap>,
    /// Ticks per microsecond, measured now and then.
    ticks_per_us: f64,
}

impl Cron {
    pub fn new(core: &Core) -> Cron {
        Cron {
            due: Instant::now(),
            period: Duration::from_millis(1000 / u64::from(core.config.hz().max(1))),
            sweeping: false,
            sweeping_fields: false,
            budget_us: 0.0,
            database: 0,
            laps: vec![Lap::default(); core.shard.databases()],
            ticks_per_us: 1000.0,
        }
    }

    pub fn due(&self) -> Instant {
        self.due
    }

    /// Whether there is work for the next pass already.
    pub fn is_busy(&self) -> bool {
        self.sweeping || self.sweeping_fields
    }

    pub fn run(&mut self, core: &mut Core, now: Instant) {
        if now >= self.due {
            self.period = Duration::from_millis(1000 / u64::from(core.config.hz().max(1)));
            self.due = now + self.period;
            if core.debug.cron_paused {
                self.sweeping = false;
                self.sweeping_fields = false;
                return;
            }
            self.ticks_per_us = 1e6 / core.stats.rate.micros(1_000_000).max(1.0);
            self.sample(core);
            close_idle(core);
            review_outputs(core);
            // A quarter of the time may go to expiry, as in Redis.
            self.budget_us = self.period.as_micros() as f64 / 4.0;
            self.sweeping = core.debug.active_expire && core.pause.scope().is_none();
            self.sweeping_fields = self.sweeping;
        }
        if self.sweeping {
            self.sweep(core);
        }
        if self.sweeping_fields {
            self.sweep_fields(core);
        }
    }

    fn sample(&mut self, core: &mut Core) {
        let now = core.now_us;
        core.sampler
            .commands
            .sample(core.stats.commands_processed, now);
        core.sampler.bytes_in.sample(core.stats.bytes_in, now);
        core.sampler.bytes_out.sample(core.stats.bytes_out, now);
        core.sampler.loops.sample(core.stats.loops, now);
        core.sampler.loop_ticks.sample(core.stats.loop_ticks, now);
        core.note_memory();
        core.note_thresholds();
        snapshot::look_after(core);
        aof::turn::look_after(core);
    }

    /// One slice of expiry. Goes on with the next database when one has come round with few
    /// expired keys, and rests when all have.
    fn sweep(&mut self, core: &mut Core) {
        let started = Ticks::now();
        let tolerated = tolerated_stale(core.config.active_expire_effort());
        let slice = EXPIRE_SLICE_US.min(self.budget_us);
        let (mut volatile, mut expired, mut idle) = (0, 0, 0);
        let mut steps = 0;
        loop {
            let db = self.database;
            if core.shard.volatile(db) == 0 {
                self.database = (db + 1) % core.shard.databases();
                idle += 1;
                if idle >= core.shard.databases() {
                    self.sweeping = false;
                    break;
                }
                continue;
            }
            idle = 0;
            let engine = &core.engine;
            let may_go = |hash| engine.may_run(Name(hash), Mode::Exclusive);
            let swept = core.shard.sweep_step(db, may_go);
            volatile += swept.volatile;
            expired += swept.expired;
            let lap = &mut self.laps[db];
            lap.keys += (swept.volatile - swept.expired) as i64;
            lap.lifetimes_ms = lap.lifetimes_ms.saturating_add(swept.lifetime_ms);
            if swept.wrapped {
                core.mean_ttl_ms[db] = lap.lifetimes_ms / lap.keys.max(1);
                *lap = Lap::default();
                self.database = (db + 1) % core.shard.databases();
            }
            steps += 1;
            if steps % 16 == 0 {
                let spent = Ticks::now().since(started) as f64 / self.ticks_per_us;
                if spent >= slice {
                    self.budget_us -= spent;
                    break;
                }
            }
        }
        let stale = expired as f64 / volatile.max(1) as f64;
        if stale <= tolerated {
            self.sweeping = false;
        } else if self.budget_us <= 0.0 {
            core.stats.expire_time_cap_reached += 1;
            self.sweeping = false;
        }
        core.stats.stale_percent = core.stats.stale_percent * 0.95 + stale * 100.0 * 0.05;
        let ticks = Ticks::now().since(started);
        core.stats.expire_ticks += ticks;
        if ticks >= core.thresholds.ticks {
            let us = core.stats.rate.micros(ticks) as i64;
            core.note_spike("expire-cycle", us);
        }
    }

    /// One slice of removing fields of hashes whose time has come. Databases without any cost a look.
    fn sweep_fields(&mut self, core: &mut Core) {
        let started = Ticks::now();
        let slice = EXPIRE_SLICE_US.min(self.budget_us);
        let mut db = 0;
        while db < core.shard.databases() {
            let engine = &core.engine;
            let may_go = |hash| engine.may_run(Name(hash), Mode::Exclusive);
            let swept = core.shard.sweep_fields_step(db, FIELDS_PER_STEP, may_go);
            db += usize::from(swept.done);
            let spent = Ticks::now().since(started) as f64 / self.ticks_per_us;
            if !swept.done && spent >= slice {
                self.budget_us -= spent;
                break;
            }
        }
        self.sweeping_fields = db < core.shard.databases() && self.budget_us > 0.0;
        core.stats.expire_ticks += Ticks::now().since(started);
    }

    /// Puts a pass of the loop into the histogram.
    #[inline]
    pub fn note_pass(&self, stats: &mut Stats, ticks: u64) {
        let us = (ticks as f64 / self.ticks_per_us) as u64;
        let bucket = (64 - us.leading_zeros()).min(31);
        stats.pass_histogram[bucket as usize] += 1;
    }
}

/// Closes clients that have been idle for longer than `timeout`. Each is looked at once a second.
fn close_idle(core: &mut Core) {
    let seconds = i64::from(core.config.timeout());
    if seconds == 0 {
        return;
    }
    let oldest = core.now_ms() - seconds * 1000;
    let most = core.clients.slots() / core.config.hz().max(1) as usize + 1;
    for conn in core.clients.idle_since(oldest, most) {
        if !is_reading(core, conn, seconds) {
            log::debug!("Closing idle client");
            core.clients.close(conn, Closing::Now);
        }
    }
}

/// Whether a client is being sent a long reply, and has taken some of it in the last `seconds`.
fn is_reading(core: &Core, conn: ConnId, seconds: i64) -> bool {
    let Some(client) = core.clients.get(conn) else {
        return false;
    };
    client.session.in_flight > 0
        && listen::ms_since_sent(client.session.fd).is_some_and(|ms| i64::from(ms) < seconds * 1000)
}

/// Has clients looked after whose output has been above the soft limit: for one that does not read,
/// nothing else would.
fn review_outputs(core: &mut Core) {
    if core
        .config
        .client_output_buffer_limit(ClientClass::Normal)
        .soft
        == 0
    {
        return;
    }
    let clients = core.clients.iter();
    let over: Vec<_> = clients
        .filter(|c| c.session.over_soft_since_ms.is_some())
        .map(|c| c.conn)
        .collect();
    for conn in over {
        core.clients.mark(conn);
    }
}
