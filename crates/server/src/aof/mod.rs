//! The append-only log: every effect of every shard, in a directory that Redis can read, and what Redis has
//! left in one.
//!
//! ```text
//!   shard: effects ──► chunk of an epoch ──► mailbox ──┐
//!   shard: …                                ──► mailbox ──┼──► one thread: epochs that all shards have sealed,
//!                                                      │      in order ──► block ──► written, synced
//!   replies that wait (`appendfsync always`) ◄── durable up to this epoch ◄──┘
//! ```
//!
//! The thread moves the epoch on when it is ready for more; the shards follow at the end of their passes. So
//! whatever a write depends on is in an earlier block or in the same one, and a block counts as a whole or
//! not at all.
//!
//! [`journal`] is a shard's side, [`writer`] the thread's, [`turn`] how the log begins, ends and is rewritten,
//! [`replay`] how it is read at the start.

pub mod chunk;
pub mod journal;
pub mod replay;
pub mod turn;
pub mod writer;

use crate::config::Config;
use crate::config::settings::Fsync;
use crate::fault;
use crate::scripting::Shared;
use crate::session::script::restoring;
use crate::snapshot::Save;
use crate::wake::Wake;
use chunk::Chunk;
use engine::Epoch;
use persist::append::Names;
use persist::storage::{Disk, Storage};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::Thread;
use std::time::Duration;
use turn::Message;

/// Bytes that the shards have handed on and that are not written, beyond which they wait for the disk.
const BACKLOG_MAX: usize = 64 << 20;

/// What all shards and the thread of the log have in common.
pub struct Hub {
    /// The epoch into which shards are to write.
    pub target: AtomicU64,
    /// Everything up to this epoch is durable; without `always`, everything counts so.
    pub durable: AtomicU64,
    pub stations: Vec<Station>,
    place: OnceLock<Place>,
    /// What wakes each shard.
    wakes: OnceLock<Vec<Wake>>,
    thread: OnceLock<Thread>,
    /// The thread wants to be woken when a shard has something, or has sealed something.
    dozing: AtomicBool,
    /// Bytes handed on and not written.
    backlog: AtomicUsize,
    /// The thread is busy with the disk, and not with the shards.
    on_disk: Mutex<bool>,
    has_room: Condvar,
    functions: Mutex<Functions>,
    messages: Mutex<Vec<Message>>,
    state: Mutex<State>,
    policy: Mutex<Policy>,
    /// Replies wait until what they show is durable.
    always: AtomicBool,
    /// How far the start has come.
    pub phase: AtomicU8,
    /// Shards that have all keys that were brought to them, and those that have begun to log.
    pub loaded: AtomicUsize,
    pub armed: AtomicUsize,
}

/// How far the start of the server has come: what its log has is being executed; all shards begin to log; it
/// serves.
pub const REPLAYING: u8 = 0;
pub const ARMING: u8 = 1;
pub const SERVING: u8 = 2;

/// Changes of the functions, which belong to no shard.
#[derive(Default)]
struct Functions {
    changes: u64,
    /// What makes them what they are, if that is to be logged: before all else of a block.
    call: Option<Vec<u8>>,
}

/// When what is durable.
struct Policy {
    fsync: Fsync,
    has_log: bool,
    /// Everything up to this epoch counts as durable.
    durable: Epoch,
}

/// One shard's place.
#[derive(Default)]
pub struct Station {
    mailbox: Mutex<Vec<Chunk>>,
    /// There is something in the mailbox.
    full: AtomicBool,
    sealed: AtomicU64,
    /// It sleeps, or does not log: whatever it does later belongs to a later epoch than any that has begun.
    asleep: AtomicBool,
    /// The last epoch with an effect of the shard.
    wrote: AtomicU64,
    /// Clients of it wait for the log.
    holding: AtomicBool,
}

impl Station {
    fn mailbox(&self) -> MutexGuard<'_, Vec<Chunk>> {
        locked(&self.mailbox)
    }
}

/// What INFO tells, and what decides about rewriting.
#[derive(Clone, Default)]
pub struct State {
    /// There is a log.
    pub enabled: bool,
    /// The base is still to be written for the first time.
    pub waits_for_base: bool,
    pub rewriting: Option<Rewriting>,
    pub scheduled: bool,
    /// Rewrites in a row that failed.
    pub failures: u64,
    pub tried: i64,
    pub took: Option<i64>,
    pub rewrites: u64,
    /// Bytes of all files, and of those that there were after the last rewrite.
    pub size: u64,
    pub base_size: u64,
    /// Bytes of those files that are not written any more.
    pub settled: u64,
    pub delayed: u64,
    /// Why writing fails.
    pub failure: Option<String>,
}

/// A rewrite that is under way.
#[derive(Clone)]
pub struct Rewriting {
    /// In Unix seconds.
    pub began: i64,
    /// The snapshot that becomes the next base.
    pub save: Arc<Save>,
}

/// Where the log is, and what it is called.
#[derive(Clone)]
pub struct Place {
    pub disk: Arc<Disk>,
    /// The same, as the log uses it.
    pub storage: Arc<dyn Storage>,
    pub names: Names,
}

impl Place {
    /// A later change of the working directory does not move it.
    pub fn of(config: &Config) -> Place {
        let here = std::env::current_dir().unwrap_or_default();
        let prefix = String::from_utf8_lossy(config.appendfilename());
        let disk = Arc::new(Disk::new(here.join(config.appenddirname())));
        Place {
            storage: fault::storage(Arc::clone(&disk), fault::Of::Log),
            disk,
            names: Names::new(&prefix),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Hub {
    pub fn new(shards: usize) -> Hub {
        let station = |_| Station {
            asleep: AtomicBool::new(true),
            ..Station::default()
        };
        Hub {
            target: AtomicU64::new(1),
            durable: AtomicU64::new(u64::MAX),
            stations: (0..shards).map(station).collect(),
            place: OnceLock::new(),
            wakes: OnceLock::new(),
            thread: OnceLock::new(),
            dozing: AtomicBool::new(false),
            backlog: AtomicUsize::new(0),
            on_disk: Mutex::new(false),
            has_room: Condvar::new(),
            functions: Mutex::default(),
            messages: Mutex::default(),
            state: Mutex::default(),
            policy: Mutex::new(Policy {
                fsync: Fsync::Everysec,
                has_log: false,
                durable: 0,
            }),
            always: AtomicBool::new(false),
            phase: AtomicU8::new(SERVING),
            loaded: AtomicUsize::new(0),
            armed: AtomicUsize::new(0),
        }
    }

    /// Where the log is, for a server that was started.
    pub fn place(&self) -> Option<&Place> {
        self.place.get()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    #[inline]
    pub fn is_always(&self) -> bool {
        self.always.load(Ordering::Relaxed)
    }

    /// Whether writing fails.
    pub fn is_failing(&self) -> bool {
        self.state().failure.is_some()
    }

    /// Notes `appendfsync`. Replies wait for the log from now on, or not any more.
    pub fn set_fsync(&self, fsync: Fsync) {
        self.settle(|policy| policy.fsync = fsync);
        self.ring();
    }

    fn fsync(&self) -> Fsync {
        locked(&self.policy).fsync
    }

    /// Changes what decides about waiting for the log.
    fn settle(&self, change: impl FnOnce(&mut Policy)) {
        let mut policy = locked(&self.policy);
        change(&mut policy);
        let always = policy.has_log && policy.fsync == Fsync::Always;
        let durable = if always { policy.durable } else { u64::MAX };
        self.durable.store(durable, Ordering::SeqCst);
        self.always.store(always, Ordering::SeqCst);
        drop(policy);
        self.wake_holders();
    }

    /// Hands a message to the thread.
    pub fn post(&self, message: Message) {
        locked(&self.messages).push(message);
        self.ring();
    }

    /// Logs a change of the functions: as what they are, so that nothing depends on what they were.
    pub fn note_functions(&self, scripts: &Shared) {
        let texts = scripts.texts();
        let call = restoring(&texts);
        let mut functions = locked(&self.functions);
        functions.changes += 1;
        functions.call = Some(call);
    }

    /// How often the functions have changed.
    pub fn function_changes(&self) -> u64 {
        locked(&self.functions).changes
    }

    fn ring(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    #[inline]
    fn ring_if_dozing(&self) {
        if self.dozing.load(Ordering::SeqCst) {
            self.ring();
        }
    }

    /// A shard sleeps, or does not log any more.
    fn note_asleep(&self, shard: usize) {
        self.stations[shard].asleep.store(true, Ordering::SeqCst);
        self.ring_if_dozing();
    }

    /// Notes bytes that were handed on.
    fn add(&self, bytes: usize) {
        let before = self.backlog.fetch_add(bytes, Ordering::Relaxed);
        if before < writer::EAGER && before + bytes >= writer::EAGER {
            self.ring();
        }
    }

    /// Bytes handed on and not written.
    pub fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Has a shard wait while the disk is far behind.
    fn wait_for_room(&self) {
        if self.backlog.load(Ordering::Relaxed) < BACKLOG_MAX {
            return;
        }
        let mut on_disk = locked(&self.on_disk);
        while *on_disk && self.backlog.load(Ordering::Relaxed) >= BACKLOG_MAX {
            let waited = self
                .has_room
                .wait_timeout(on_disk, Duration::from_millis(100));
            on_disk = waited.unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    fn set_on_disk(&self, on_disk: bool) {
        *locked(&self.on_disk) = on_disk;
        self.has_room.notify_all();
    }

    pub fn set_wakes(&self, wakes: &[Wake]) {
        let _ = self.wakes.set(wakes.to_vec());
    }

    /// Wakes all shards.
    pub fn wake_all(&self) {
        self.wakes.get().into_iter().flatten().for_each(Wake::ring);
    }

    /// Wakes the shards whose clients wait for the log.
    fn wake_holders(&self) {
        let wakes = self.wakes.get().into_iter().flatten();
        for (station, wake) in self.stations.iter().zip(wakes) {
            if station.holding.load(Ordering::SeqCst) {
                wake.ring();
            }
        }
    }
}
