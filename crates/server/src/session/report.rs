//! What a shard tells of itself for INFO and MEMORY, and how shards' accounts become one.
//!
//! A [`Report`] is plain data, taken on its shard and sent to the one that answers. Counts and sizes
//! are added up; what the whole process has in common (the allocator, the resident size) is no shard's
//! and not in it. [`Report::per_shard`] keeps what is worth telling apart.

use crate::clients::{Client, Special};
use crate::core::Core;
use crate::cpu::{self, Used};
use crate::pubsub::Kind;
use crate::remote::survey::{Caller, Finding, Findings};
use crate::stats::{CommandStats, Stats};
use store::slab::SlabStats;

#[derive(Default)]
pub struct Report {
    pub stats: Stats,
    pub keys: store::shard::Stats,
    pub changes: u64,
    pub databases: Vec<Database>,
    pub slab: SlabStats,
    /// Objects to be freed, and freed already.
    pub trash: (usize, u64),
    pub clients: Crowd,
    /// Channels that have subscribers: of SUBSCRIBE, and of SSUBSCRIBE.
    pub channels: [usize; 2],
    /// Keys that tracking clients have read, and readers of each together.
    pub tracked: [usize; 2],
    /// Bytes of the machines that run scripts.
    pub scripts: usize,
    pub peak_memory: usize,
    /// Bytes in use when the last shard started.
    pub startup_memory: usize,
    pub rates: Rates,
    /// Processor time of the shards' threads.
    pub cpu: Used,
    pub per_shard: Vec<PerShard>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Database {
    pub keys: usize,
    pub volatile: usize,
    /// Hashes with fields that expire.
    pub timed: usize,
    /// Mean of the keys with an expiry.
    pub ttl_ms: i64,
    /// Bytes of the table.
    pub table: usize,
}

/// A shard's clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crowd {
    pub connected: usize,
    /// Waiting for the end of CLIENT PAUSE.
    pub paused: usize,
    /// Largest input and output, in bytes.
    pub input_max: usize,
    pub output_max: usize,
    /// Bytes of all buffers and names.
    pub memory: usize,
    /// With subscriptions.
    pub subscribed: usize,
    /// Waiting for keys, and those of them that will not wait for ever.
    pub blocked: usize,
    pub timed: usize,
    /// Watching keys, and how many these are, by shard.
    pub watching: usize,
    pub watched_keys: usize,
    /// Keys that somebody waits for.
    pub awaited_keys: usize,
    /// Told of changes of keys.
    pub tracking: usize,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub commands: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub loops: u64,
    pub loop_ticks: u64,
}

/// What is shown of each shard by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerShard {
    pub shard: usize,
    pub keys: usize,
    pub clients: usize,
    pub commands: u64,
    pub flights: u64,
    pub transactions: u64,
    pub asides: u64,
    /// Messages sent to other shards, replies included.
    pub messages: u64,
    /// Times that it had to wake another shard.
    pub wakes: u64,
}

impl Report {
    /// This shard's account. `caller` is the client that asks, if it is one of this shard's.
    pub fn of(core: &mut Core, caller: Option<Caller<'_>>, commands: bool) -> Report {
        core.note_memory();
        let databases = (0..core.shard.databases()).map(|db| Database {
            keys: core.shard.len(db),
            volatile: core.shard.volatile(db),
            timed: core.shard.timed_hashes(db),
            ttl_ms: core.mean_ttl_ms[db],
            table: core.shard.table_memory(db),
        });
        let databases: Vec<Database> = databases.collect();
        let clients = Crowd::of(core, caller);
        let sampler = &core.sampler;
        let rates = Rates {
            commands: sampler.commands.per_second(),
            bytes_in: sampler.bytes_in.per_second(),
            bytes_out: sampler.bytes_out.per_second(),
            loops: sampler.loops.per_second(),
            loop_ticks: sampler.loop_ticks.per_second(),
        };
        let (stats, sent) = (&core.stats, core.node.counters());
        let per_shard = PerShard {
            shard: core.me,
            keys: databases.iter().map(|db| db.keys).sum(),
            clients: clients.connected,
            commands: stats.commands_processed,
            flights: stats.flights,
            transactions: stats.transactions,
            asides: stats.asides,
            messages: sent.requests_sent + sent.replies_sent,
            wakes: sent.wakes,
        };
        Report {
            stats: stats.copied(commands),
            keys: core.shard.stats,
            changes: core
                .process
                .snapshots
                .unsaved(core.me, core.shard.changes()),
            databases,
            slab: core.shard.slab_stats(),
            trash: core.shard.trash(),
            clients,
            channels: [Kind::Channel, Kind::Sharded].map(|kind| core.pubsub.counted(kind).count()),
            tracked: [core.tracking.keys(), core.tracking.items()],
            scripts: core.scripting.memory(),
            peak_memory: stats.peak_memory,
            startup_memory: core.startup_memory,
            rates,
            cpu: cpu::used(cpu::THREAD),
            per_shard: vec![per_shard],
        }
    }

    /// One account of what all shards have told.
    pub fn merged(findings: Findings) -> Report {
        let reports = findings.into_iter().map(|(_, finding)| match finding {
            Finding::Report(report) => *report,
            _ => unreachable!("a report was asked for"),
        });
        let merged = reports.reduce(|mut all, report| {
            all.add(report);
            all
        });
        merged.unwrap_or_default()
    }

    fn add(&mut self, other: Report) {
        // A mean of percentages weighs as much as it has keys under it.
        let volatile = |r: &Report| r.databases.iter().map(|db| db.volatile as f64).sum::<f64>();
        let (mine, theirs) = (volatile(self), volatile(&other));
        let stale = self.stats.stale_percent * mine + other.stats.stale_percent * theirs;
        self.stats.add(&other.stats);
        self.stats.stale_percent = if mine + theirs > 0.0 {
            stale / (mine + theirs)
        } else {
            0.0
        };
        self.keys.hits += other.keys.hits;
        self.keys.misses += other.keys.misses;
        self.keys.expired += other.keys.expired;
        self.keys.expired_fields += other.keys.expired_fields;
        self.changes += other.changes;
        self.scripts += other.scripts;
        for (db, more) in self.databases.iter_mut().zip(&other.databases) {
            db.add(more);
        }
        self.slab.allocated += other.slab.allocated;
        self.slab.active += other.slab.active;
        self.slab.mapped += other.slab.mapped;
        self.slab.large += other.slab.large;
        self.trash.0 += other.trash.0;
        self.trash.1 += other.trash.1;
        self.clients.add(&other.clients);
        for (mine, theirs) in self.channels.iter_mut().zip(other.channels) {
            *mine += theirs;
        }
        for (mine, theirs) in self.tracked.iter_mut().zip(other.tracked) {
            *mine += theirs;
        }
        self.peak_memory = self.peak_memory.max(other.peak_memory);
        self.startup_memory = self.startup_memory.max(other.startup_memory);
        self.rates.commands += other.rates.commands;
        self.rates.bytes_in += other.rates.bytes_in;
        self.rates.bytes_out += other.rates.bytes_out;
        self.rates.loops += other.rates.loops;
        self.rates.loop_ticks += other.rates.loop_ticks;
        self.cpu.system_s += other.cpu.system_s;
        self.cpu.user_s += other.cpu.user_s;
        self.per_shard.extend(other.per_shard);
    }
}

impl Database {
    fn add(&mut self, other: &Database) {
        let sum = |db: &Database| i128::from(db.ttl_ms) * db.volatile as i128;
        let lifetimes = sum(self) + sum(other);
        self.keys += other.keys;
        self.volatile += other.volatile;
        self.timed += other.timed;
        let mean = lifetimes / (self.volatile as i128).max(1);
        self.ttl_ms = i64::try_from(mean).unwrap_or(i64::MAX);
        self.table += other.table;
    }
}

impl Crowd {
    fn of(core: &Core, caller: Option<Caller<'_>>) -> Crowd {
        let mut crowd = Crowd {
            connected: core.clients.len(),
            paused: core.clients.paused(),
            blocked: core.waits.clients(),
            timed: core.waits.timed(),
            watched_keys: core.shard.watched(),
            awaited_keys: core.engine.spots().count(),
            tracking: core.tracking.clients(),
            ..Crowd::default()
        };
        for client in core.clients.iter().chain(caller.map(|c| c.client)) {
            crowd.count(client);
        }
        let output = caller.map_or(0, |c| c.reply.len());
        crowd.output_max = crowd.output_max.max(output);
        crowd
    }

    fn count(&mut self, client: &Client) {
        let output = client.reply.len() + client.session.in_flight;
        self.input_max = self.input_max.max(client.input.memory());
        self.output_max = self.output_max.max(output);
        self.memory += client_bytes(client);
        self.subscribed += usize::from(client.special.has(Special::SUBSCRIBED));
        self.watching += usize::from(!client.session.watched.is_empty());
    }

    fn add(&mut self, other: &Crowd) {
        self.connected += other.connected;
        self.paused += other.paused;
        self.input_max = self.input_max.max(other.input_max);
        self.output_max = self.output_max.max(other.output_max);
        self.memory += other.memory;
        self.subscribed += other.subscribed;
        self.blocked += other.blocked;
        self.timed += other.timed;
        self.watching += other.watching;
        self.watched_keys += other.watched_keys;
        self.awaited_keys += other.awaited_keys;
        self.tracking += other.tracking;
    }
}

/// Bytes that a client takes besides its socket.
fn client_bytes(client: &Client) -> usize {
    let session = &client.session;
    let texts = session.name.len() + session.lib_name.len() + session.lib_version.len();
    let buffers = client.input.memory() + client.reply.len() + session.in_flight;
    size_of::<Client>() + texts + buffers
}

impl Stats {
    /// A copy, with or without what is counted for each command.
    fn copied(&self, commands: bool) -> Stats {
        Stats {
            commands: if commands {
                self.commands.clone()
            } else {
                Vec::new()
            },
            errors: self.errors.clone(),
            ..*self
        }
    }

    /// Adds another shard's counters. Percentages are the caller's matter.
    fn add(&mut self, other: &Stats) {
        for (mine, theirs) in self.commands.iter_mut().zip(&other.commands) {
            mine.add(theirs);
        }
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        self.error_replies += other.error_replies;
        self.connections += other.connections;
        self.rejected_connections += other.rejected_connections;
        self.commands_processed += other.commands_processed;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.reads += other.reads;
        self.writes += other.writes;
        self.query_buffer_disconnections += other.query_buffer_disconnections;
        self.output_buffer_disconnections += other.output_buffer_disconnections;
        self.auth_denied += other.auth_denied;
        self.loops += other.loops;
        self.loop_ticks += other.loop_ticks;
        self.command_ticks += other.command_ticks;
        self.peak_memory = self.peak_memory.max(other.peak_memory);
        self.expire_ticks += other.expire_ticks;
        self.expire_time_cap_reached += other.expire_time_cap_reached;
        for (mine, theirs) in self.pass_histogram.iter_mut().zip(other.pass_histogram) {
            *mine += theirs;
        }
        self.flights += other.flights;
        self.transactions += other.transactions;
        self.asides += other.asides;
    }
}

impl CommandStats {
    fn add(&mut self, other: &CommandStats) {
        self.calls += other.calls;
        self.ticks += other.ticks;
        self.rejected += other.rejected;
        self.failed += other.failed;
        if let Some(latency) = &other.latency {
            self.latency.get_or_insert_default().merge(latency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_weighted_by_what_it_is_of() {
        let database = |keys, volatile, ttl_ms| Database {
            keys,
            volatile,
            timed: 1,
            ttl_ms,
            table: 64,
        };
        let mut sum = database(5, 1, 1000);
        sum.add(&database(7, 3, 5000));
        sum.add(&database(9, 0, 0));
        let want = Database {
            timed: 3,
            table: 192,
            ..database(21, 4, 4000)
        };
        assert_eq!(sum, want);
    }

    #[test]
    fn counts_are_added_and_peaks_are_not() {
        let report = |commands, peak_memory, stale_percent, volatile| {
            let mut stats = Stats::new(2);
            stats.note_calls(1, commands, 10);
            stats.count_error("ERR x");
            stats.stale_percent = stale_percent;
            Report {
                stats,
                peak_memory,
                databases: vec![Database {
                    volatile,
                    ..Database::default()
                }],
                ..Report::default()
            }
        };
        let findings = [report(3, 50, 10.0, 1), report(4, 40, 20.0, 3)];
        let findings = findings.into_iter().map(|r| Finding::Report(Box::new(r)));
        let all = Report::merged(findings.enumerate().collect());
        assert_eq!(all.stats.commands_processed, 7);
        assert_eq!(
            (all.stats.commands[1].calls, all.stats.commands[1].ticks),
            (7, 20)
        );
        assert_eq!(all.stats.errors["ERR"], 2);
        assert_eq!(all.peak_memory, 50);
        assert_eq!(all.stats.stale_percent, 17.5);
    }
}
