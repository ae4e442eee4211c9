//! One shard's server: data, clients, configuration and counters; what command handlers work on.
//!
//! It knows neither the driver nor the runtime: the event loop feeds it bytes and takes away its
//! replies.

use crate::clients::{Client, Clients, Special};
use crate::config::Config;
use crate::listen::{Listener, Listeners};
use crate::session::debug::Switches;
use crate::stats::Stats;
use crate::tasks::Tasks;
use crate::wake::Wake;
use command::context::Settings;
use command::keyspec::Begin;
use command::table::{Run, Table};
use command::{Error, Outcome};
use engine::Pause;
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
    /// Who has started the server: `no`, `systemd` or `upstart`.
    pub supervised: &'static str,
}

/// Work for the event loop that a handler has asked for.
pub enum Request {
    /// End the process in an orderly way.
    Shutdown,
    /// Accept on these TCP sockets instead of the present ones.
    MoveTcp(Vec<Listener>),
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
    /// What DEBUG has changed.
    pub debug: Switches,
    pub requests: Vec<Request>,
    pub listeners: Listeners,
    pub tasks: Tasks,
    /// For each entry of the table, whether its first key is its first argument.
    pub(crate) keyed: Box<[bool]>,
    /// Unix time in microseconds of the present pass.
    pub now_us: i64,
    pub sampler: crate::sampler::Sampler,
    /// Mean remaining lifetime of the keys with an expiry, by database, as the last sweep found it.
    pub mean_ttl_ms: Vec<i64>,
    /// Bytes in use when the server started.
    pub startup_memory: usize,
}

impl Core {
    pub fn new(
        config: Config,
        process: Arc<Process>,
        listeners: Listeners,
        wake: Wake,
        seed: [u64; 4],
    ) -> Core {
        let keyed = process
            .table
            .entries()
            .iter()
            .map(|e| {
                matches!(e.run, Run::Data(_))
                    && e.parent.is_none()
                    && e.spec
                        .keys
                        .first()
                        .is_some_and(|k| k.begin == Begin::Index(1))
            })
            .collect();
        let mut core = Core {
            shard: Shard::new(config.databases(), seed),
            clients: Clients::default(),
            stats: Stats::new(process.table.entries().len()),
            settings: Settings { max_string: 0 },
            special: Special::NONE,
            pause: Pause::default(),
            debug: Switches::default(),
            requests: Vec::new(),
            listeners,
            tasks: Tasks::new(wake),
            keyed,
            now_us: 0,
            sampler: crate::sampler::Sampler::default(),
            mean_ttl_ms: vec![0; config.databases()],
            startup_memory: 0,
            config,
            process,
        };
        core.apply_config();
        core.tick();
        core.startup_memory = core.note_memory();
        core
    }

    /// Bytes in use: the slabs' and the allocator's. Remembers the most that there have been.
    pub fn note_memory(&mut self) -> usize {
        let slab = self.shard.slab_stats();
        // Large cells are the allocator's.
        let used = crate::memory::allocated() + slab.allocated - slab.large;
        self.stats.peak_memory = self.stats.peak_memory.max(used);
        used
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

    /// Unix time in microseconds, read from the clock.
    pub fn clock_us() -> i64 {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        now.as_micros() as i64
    }

    /// Reads the clock; once per pass of the loop.
    pub fn tick(&mut self) {
        self.now_us = Core::clock_us();
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
        self.stats
            .count_error(&String::from_utf8_lossy(error.text()));
        reply.error(error.text());
    }
}
