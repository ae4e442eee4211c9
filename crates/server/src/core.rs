//! One shard's server: data, clients, configuration and counters; what command handlers work on.
//!
//! It knows neither the driver nor the runtime: the event loop feeds it bytes and takes away its
//! replies.

use crate::aof::journal::Journal;
use crate::aof::replay::REPLAY;
use crate::aof::{Hub, REPLAYING};
use crate::blocking::Waits;
use crate::clients::{Client, Clients, Peer, Special};
use crate::commandlog::{self, CommandLog, Thresholds};
use crate::config::special::Notices;
use crate::config::{BusyReplyScope, Config, PipelineOrder};
use crate::control::Control;
use crate::latency;
use crate::listen::Listener;
use crate::loading::{Brought, Progress};
use crate::monitor::Monitors;
use crate::pause::Afloat;
use crate::pubsub::PubSub;
use crate::remote::Node;
use crate::remote::Waiting;
use crate::remote::aside::Asides;
use crate::remote::exec::Execs;
use crate::remote::flight::Flight;
use crate::remote::parcel::{Parcel, Sender, Stock};
use crate::remote::route::{Placed, Way};
use crate::remote::survey::Surveys;
use crate::remote::tx::Transactions;
use crate::scripting::program::Programs;
use crate::scripting::{Scripting, Shared};
use crate::session::debug::Switches;
use crate::snapshot::{Save, Snapshots};
use crate::stats::Stats;
use crate::tasks::Tasks;
use crate::tracking::Tracking;
use crate::wake::Wake;
use command::context::Settings;
use command::table::Table;
use command::{Effects, Error, Outcome};
use engine::locks::Want;
use engine::tx::{Engine, ShardId, TxId, Waiter};
use engine::{Pause, Placement};
use resp::{Args, Limits, Reply};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use store::access::Mode;
use store::watch::Change;
use store::{Event, Shard};

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

/// What all shards of a process share.
pub struct Process {
    pub table: CommandTable,
    /// 40 hexadecimal digits, new for each run.
    pub run_id: String,
    pub started_ms: i64,
    pub executable: String,
    /// What changes for all of them at once.
    pub control: Mutex<Control>,
    /// Bytes in each shard's slabs, as it noted them last.
    pub slabs: Vec<AtomicUsize>,
    /// How many shards have more for some other shard than that can take.
    pub congested: AtomicUsize,
    /// Connections of each shard, those on their way to it included.
    pub connections: Vec<Arc<AtomicUsize>>,
    /// What wakes each shard through the ring of the one that wakes it; negative while there is
    /// nothing.
    pub bells: Vec<AtomicI32>,
    /// Scripts and functions.
    pub scripts: Shared,
    /// Who has started the server: `no`, `systemd` or `upstart`.
    pub supervised: &'static str,
    /// Of the entries of SLOWLOG and COMMANDLOG.
    pub log_ids: commandlog::Ids,
    pub snapshots: Snapshots,
    pub aof: Hub,
    pub progress: Progress,
    /// Shards on which nothing is under way any more, when the server ends.
    pub quiet: AtomicUsize,
    /// The signal that asks the server to end; 0 while there is none.
    pub signal: AtomicI32,
}

impl Process {
    /// A process of so many shards of which nothing else is known.
    pub fn new(table: CommandTable, control: Control, shards: usize) -> Process {
        Process {
            table,
            run_id: String::new(),
            started_ms: 0,
            executable: String::new(),
            control: Mutex::new(control),
            slabs: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            congested: AtomicUsize::new(0),
            connections: (0..shards).map(|_| Arc::default()).collect(),
            bells: (0..shards).map(|_| AtomicI32::new(-1)).collect(),
            scripts: Shared::default(),
            supervised: "no",
            log_ids: commandlog::Ids::default(),
            snapshots: Snapshots::new(shards),
            aof: Hub::new(shards),
            progress: Progress::default(),
            quiet: AtomicUsize::new(0),
            signal: AtomicI32::new(0),
        }
    }
}

/// Work for the event loop that a handler has asked for.
#[allow(clippy::large_enum_variant)]
pub enum Request {
    /// End the process in an orderly way.
    Shutdown,
    /// Accept on these TCP sockets instead of the present ones.
    MoveTcp(Vec<Listener>),
    /// Take a connection that another shard has accepted.
    Adopt(Arrival),
}

/// A connection on its way to the shard that will serve it.
pub struct Arrival {
    pub id: u64,
    pub peer: Peer,
    pub socket: OwnedFd,
}

/// Capacity of an output buffer when it is new, in bytes, the largest kept, and how many are.
const BUFFER: usize = 16 * 1024;
const BUFFER_MAX: usize = 64 * 1024;
const BUFFERS_KEPT: usize = 256;

/// Empty output buffers, kept for reuse.
#[derive(Default)]
pub struct Spare(Vec<Vec<u8>>);

impl Spare {
    #[inline]
    pub fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    #[inline]
    pub fn put(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_MAX && self.0.len() < BUFFERS_KEPT {
            self.0.push(buffer);
        }
    }
}

/// Whose command runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Actor {
    pub sender: Sender,
    /// The shard that the client is on.
    pub home: usize,
    /// Keys that it reads are tracked.
    pub reads: bool,
}

impl Actor {
    pub fn of(parcel: &Parcel) -> Actor {
        Actor {
            sender: parcel.sender,
            home: parcel.home,
            reads: parcel.reads,
        }
    }
}

/// Clocks of shards are this close together, in milliseconds; what is more is a clock set back.
const CLOCK_STEP_MS: i64 = 1000;

pub struct Core {
    pub shard: Shard,
    pub clients: Clients,
    pub config: Config,
    /// Of the configuration that is copied here.
    pub edition: u64,
    pub process: Arc<Process>,
    pub stats: Stats,
    /// Settings of data commands.
    pub settings: Settings,
    /// What the command that runs tells of its effects.
    pub effects: Effects,
    pub journal: Journal,
    /// What makes every client's commands take the careful way.
    pub special: Special,
    /// Some shard cannot keep up with another, and no client's commands begin; and whether it is this shard that it
    /// cannot keep up with.
    pub congested: bool,
    pub congests: bool,
    /// Whose command runs now; nobody's between commands.
    pub actor: Actor,
    pub thresholds: Thresholds,
    pub commandlog: CommandLog,
    pub latency: latency::Events,
    pub monitors: Monitors,
    pub tracking: Tracking,
    pub pause: Pause,
    /// What DEBUG has changed.
    pub debug: Switches,
    pub requests: Vec<Request>,
    pub tasks: Tasks,
    /// For each entry of the table, where its keys are.
    pub(crate) ways: Box<[Way]>,
    /// This shard's number.
    pub me: usize,
    /// There is no other shard.
    pub alone: bool,
    pub placement: Placement,
    pub node: Node,
    pub engine: Engine<Box<Parcel>>,
    /// `pipeline-order strict`.
    pub strict: bool,
    /// Commands for other shards of the client that runs now.
    pub flight: Option<Box<Flight>>,
    pub parked: Waiting,
    pub transactions: Transactions,
    pub execs: Execs,
    pub programs: Programs,
    pub scripting: Scripting,
    pub waits: Waits,
    /// What has changed on this shard, empty between its uses.
    pub changes: Vec<Change>,
    pub surveys: Surveys,
    /// The save that this shard has a part in.
    pub save: Option<Arc<Save>>,
    /// Saves of this shard that have not begun everywhere.
    pub cuts: HashSet<TxId, ahash::RandomState>,
    pub asides: Asides,
    pub pubsub: PubSub,
    /// Which events of keys are published.
    pub notices: Notices,
    /// What has happened to keys, empty between its uses.
    pub events: Vec<Event>,
    /// A script runs: who is to hear of what happens to keys hears of it when it has ended.
    pub holds_news: bool,
    /// What has happened to keys by something that may be undone, while that runs.
    pub held_events: Option<Vec<Event>>,
    pub afloat: Afloat,
    pub stock: Stock,
    /// Requests received and not looked at.
    pub(crate) inbox: Vec<(usize, crate::remote::Request)>,
    pub(crate) answers: Vec<(usize, crate::remote::Answer)>,
    /// Databases and hashes of keys that are being prefetched.
    pub(crate) hashes: Vec<(usize, u64)>,
    /// Keys of the command that is being routed.
    pub(crate) places: Vec<Placed>,
    /// Where gathering commands find the values that all shards have lent.
    pub desk: Shard,
    /// What there was is being loaded, and time stands still.
    pub loading: bool,
    /// Keys that are loaded, as long as there are more.
    pub brought: Option<Receiver<Brought>>,
    /// It logs what it does, if it is to, and waits for the others to do so.
    pub armed: bool,
    /// Time that a transaction has brought here, in Unix milliseconds.
    floor_ms: i64,
    /// Empty output buffers.
    pub spare: Spare,
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
        wake: Wake,
        node: Node,
        seed: [u64; 4],
    ) -> Core {
        let ways = process.table.entries().iter().map(Way::of).collect();
        let (me, shards) = (node.core(), node.cores());
        let mut core = Core {
            ways,
            me,
            alone: shards == 1,
            placement: Placement::new(shards),
            engine: Engine::new(me as ShardId),
            node,
            strict: false,
            flight: None,
            parked: Waiting::default(),
            transactions: Transactions::default(),
            execs: Execs::default(),
            programs: Programs::default(),
            scripting: Scripting::default(),
            waits: Waits::default(),
            changes: Vec::new(),
            surveys: Surveys::default(),
            save: None,
            cuts: HashSet::default(),
            asides: Asides::new(wake.clone()),
            pubsub: PubSub::default(),
            notices: Notices::default(),
            events: Vec::new(),
            holds_news: false,
            held_events: None,
            afloat: Afloat::default(),
            stock: Stock::new(me),
            inbox: Vec::new(),
            answers: Vec::new(),
            hashes: Vec::new(),
            places: Vec::new(),
            desk: Shard::new(config.databases(), seed),
            floor_ms: 0,
            brought: None,
            armed: false,
            loading: process.aof.phase.load(Ordering::SeqCst) == REPLAYING,
            spare: Spare::default(),
            shard: Shard::new(config.databases(), seed),
            clients: Clients::new(Arc::clone(&process.connections[me])),
            stats: Stats::new(process.table.entries().len()),
            settings: Settings {
                max_string: 0,
                limits: store::Limits::DEFAULT,
                shard: me,
                shards,
                repeats: false,
                dial: crate::dial::connect,
            },
            effects: Effects::default(),
            journal: Journal::default(),
            special: Special::NONE,
            congested: false,
            congests: false,
            actor: Actor::default(),
            thresholds: Thresholds::NONE,
            commandlog: CommandLog::default(),
            latency: latency::Events::default(),
            monitors: Monitors::default(),
            tracking: Tracking::default(),
            pause: Pause::default(),
            debug: Switches::default(),
            requests: Vec::new(),
            tasks: Tasks::new(wake),
            now_us: 0,
            sampler: crate::sampler::Sampler::default(),
            mean_ttl_ms: vec![0; config.databases()],
            startup_memory: 0,
            config,
            edition: 0,
            process,
        };
        core.shard.stir(me as u64);
        core.apply_config();
        core.tick();
        core.startup_memory = core.note_memory();
        core
    }

    /// Bytes in use: all shards' slabs' and the allocator's. Remembers the most that there have been.
    pub fn note_memory(&mut self) -> usize {
        let slab = self.shard.slab_stats();
        let slabs = &self.process.slabs;
        // Large cells are the allocator's.
        slabs[self.me].store(slab.allocated - slab.large, Ordering::Relaxed);
        let slabs: usize = slabs.iter().map(|s| s.load(Ordering::Relaxed)).sum();
        let used = crate::memory::allocated() + slabs;
        self.stats.peak_memory = self.stats.peak_memory.max(used);
        used
    }

    /// Copies out of the configuration what is read often. Called at start and after CONFIG SET.
    pub fn apply_config(&mut self) {
        self.settings.max_string = self.config.proto_max_bulk_len() as usize;
        self.settings.limits = self.config.limits();
        let mode = if self.config.maxmemory_policy().counts_uses() {
            Mode::Lfu {
                log_factor: self.config.lfu_log_factor(),
                decay_minutes: self.config.lfu_decay_time(),
            }
        } else {
            Mode::Lru
        };
        self.shard.set_access_mode(mode);
        self.notices = self.config.notify_keyspace_events();
        self.shard.want_events(self.notices.wanted());
        self.stats.tracks_latency = self.config.latency_tracking();
        self.strict = self.config.pipeline_order() == PipelineOrder::Strict;
        self.note_thresholds();
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
        let is_busy = self.process.scripts.is_busy()
            && self.config.busy_reply_scope() == BusyReplyScope::Server;
        self.special.set(Special::BUSY, is_busy);
        if self.loading {
            // What the log has has not expired when it was written.
            self.shard.stop_time(self.now_us / 1000);
            return;
        }
        let now_ms = self.now_us / 1000;
        // Never behind a transaction that has run here, unless the clock was set back.
        if self.floor_ms - now_ms > CLOCK_STEP_MS {
            self.floor_ms = 0;
        }
        self.shard.set_now(now_ms.max(self.floor_ms));
        self.engine.set_now(self.shard.now_ms());
    }

    /// Brings the time of the data to that of a transaction.
    pub fn advance(&mut self, time_ms: i64) {
        if time_ms > self.shard.now_ms() {
            self.floor_ms = time_ms;
            self.shard.set_now(time_ms);
        }
    }

    /// Whether a command on this shard's keys may have to wait, or has company on other shards.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        !self.engine.is_plain() || self.flight.is_some()
    }

    /// Tells the data whether anybody has locked some of it, waits for some, or has some cached.
    #[inline]
    pub fn note_locks(&mut self) {
        let logs = self.engine.has_waiters() || self.tracking.is_on();
        self.shard.log_changes(logs);
        self.shard.locked = !self.engine.is_plain();
    }

    /// Has somebody wait for locks.
    pub fn park(&mut self, want: Want) -> Waiter {
        let waiter = self.engine.park(want);
        self.note_locks();
        waiter
    }

    pub fn now_ms(&self) -> i64 {
        self.now_us / 1000
    }

    /// What a client may send.
    pub fn limits(&self, client: &Client) -> Limits {
        if client.id == REPLAY {
            return Limits {
                max_bulk: u64::MAX,
                authenticated: true,
            };
        }
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
