//! One shard's server: data, clients, configuration and counters; what command handlers work on.
//!
//! It knows neither the driver nor the runtime: the event loop feeds it bytes and takes away its
//! replies.

use crate::clients::{Client, Clients, Special};
use crate::config::Config;
use crate::pause::Pause;
use crate::stats::Stats;
use command::context::Settings;
use command::keyspec::Begin;
use command::table::{Run, Table};
use command::{Error, Outcome};
use resp::{Args, Limits, Reply};
use std::sync::Arc;
use store::Shard;
use store::access::Mode;

/// What a handler of a connection or server command gets.
pub struct Host<'a> {
    pub core: &'a mut Core,
    /// The caller, which is not among `core.clients` meanwhile.
    pub client: &'a mut Client,
    pub reply: &'a mut Reply,
    pub args: Args<'a>,
}

/// What a connection or server command does. See [`command::Handler`].
pub type HostHandler = fn(&mut Host<'_>) -> Outcome;

pub type CommandTable = Table<HostHandler>;

/// What all shards of a process share and never changes.
pub struct Process {
    pub table: CommandTable,
    /// 40 hexadecimal digits, new for each run.
    pub run_id: String,
    pub started_ms: i64,
    pub executable: String,
    /// Port that TCP listeners have, 0 without any.
    pub port: u16,
    /// `listener0`, `listener1` … of INFO.
    pub listeners: Vec<String>,
}

/// Work for the event loop that a handler has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// End the process in an orderly way.
    Shutdown,
}

pub struct Core {
    pub shard: Shard,
    pub clients: Clients,
    pub config: Config,
    pub process: Arc<Process>,
    pub stats: Stats,
    /// Settings of data commands.
    pub settings: Settings,
    /// What makes every client's commands take the careful way.
    pub special: Special,
    pub pause: Pause,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: bool,
    pub requests: Vec<Request>,
    /// For each entry of the table, whether its first key is its first argument.
    pub(crate) keyed: Box<[bool]>,
    /// Unix time in microseconds of the present pass.
    pub now_us: i64,
    pub sampler: crate::sampler::Sampler,
}

impl Core {
    pub fn new(config: Config, process: Arc<Process>, seed: [u64; 4]) -> Core {
        let keyed = process
            .table
            .entries()
            .iter()
            .map(|e| {
                matches!(e.run, Run::Data(_))
                    && e.parent.is_none()
                    && e.spec.keys.first().is_some_and(|k| k.begin == Begin::Index(1))
            })
            .collect();
        let mut core = Core {
            shard: Shard::new(config.databases(), seed),
            clients: Clients::default(),
            stats: Stats::new(process.table.entries().len()),
            settings: Settings { max_string: 0 },
            special: Special::NONE,
            pause: Pause::default(),
            active_expire: true,
            requests: Vec::new(),
            keyed,
            now_us: 0,
            sampler: crate::sampler::Sampler::default(),
            config,
            process,
        };
        core.apply_config();
        core.tick();
        core
    }

    /// Copies out of the configuration what is read often. Called at start and after CONFIG SET.
    pub fn apply_config(&mut self) {
        self.settings.max_string = self.config.proto_max_bulk_len() as usize;
        let mode = if self.config.maxmemory_policy().counts_uses() {
            Mode::Lfu {
                log_factor: self.config.lfu_log_factor(),
                decay_minutes: self.config.lfu_decay_time(),
            }
        } else {
            Mode::Lru
        };
        self.shard.set_access_mode(mode);
        self.stats.tracks_latency = self.config.latency_tracking();
    }

    /// Reads the clock; once per pass of the loop.
    pub fn tick(&mut self) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        self.now_us = now.as_micros() as i64;
        self.shard.set_now(self.now_us / 1000);
    }

    pub fn now_ms(&self) -> i64 {
        self.now_us / 1000
    }

    /// What a client may send.
    pub fn limits(&self, client: &Client) -> Limits {
        Limits {
            max_bulk: self.settings.max_string as u64,
            authenticated: !self.must_authenticate(client),
        }
    }

    /// Whether a client must authenticate before it does anything else.
    pub fn must_authenticate(&self, client: &Client) -> bool {
        client.special.has(Special::UNAUTHENTICATED) && self.needs_password()
    }

    /// Whether a new connection must authenticate.
    pub fn needs_password(&self) -> bool {
        self.config.requirepass().is_some()
    }

    /// Answers an error and counts it.
    pub fn reply_error(&mut self, reply: &mut Reply, error: &Error) {
        self.stats.count_error(error.text());
        reply.error(error.text().as_bytes());
    }
}
