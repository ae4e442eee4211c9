//! Reading `dump.rdb` when the server starts, and for DEBUG RELOAD.
//!
//! ```text
//!   file ──► one thread reads, checks and decodes ──► batches ──► each shard puts its keys in place
//! ```
//!
//! Who comes meanwhile is told that the server is loading. A shard serves nobody before the whole file has been
//! read and its checksum was right.

use crate::config::Config;
use crate::config::settings::ModuleValues;
use crate::core::Core;
use crate::dispatch;
use crate::remote::tx;
use crate::scripting::Shared;
use crate::session::script;
use crate::snapshot::now_s;
use engine::Placement;
use engine::locks::Mode;
use persist::reader::Modules;
use persist::{Batch, Event, Reader};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use store::{Limits, Shard};

/// Keys of a batch, and batches that may wait for a shard.
const BATCH: usize = 256;
const WAITING: usize = 16;

/// What a shard is brought while the server starts.
pub enum Brought {
    Keys(Batch),
    /// That was all.
    End,
}

/// What a file had.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loaded {
    pub keys: u64,
    /// Keys whose time had come, which were left out.
    pub expired: u64,
    /// Bytes of the file up to the end of the dump.
    pub end: u64,
}

/// How far loading has come, for INFO. Times are Unix seconds.
#[derive(Default)]
pub struct Progress {
    pub started: AtomicI64,
    /// Bytes of all files, and those that have been read.
    pub total: AtomicU64,
    pub done: AtomicU64,
}

impl Progress {
    /// Loading begins, of files that have so many bytes.
    pub fn begin(&self, total: u64) {
        self.started.store(now_s(), Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So much of the files is behind it.
    pub fn reach(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }
}

/// What is needed to know where keys belong, and how they are laid out.
#[derive(Clone, Copy)]
pub struct Plan {
    placement: Placement,
    shards: usize,
    databases: usize,
    limits: Limits,
    /// Keys whose time has come are left out.
    drops_expired: bool,
    /// How long to rest after each key.
    delay: Duration,
    modules: Modules,
}

impl Plan {
    pub fn new(config: &Config, shards: usize) -> Plan {
        Plan {
            placement: Placement::new(shards),
            shards,
            databases: config.databases(),
            limits: config.limits(),
            drops_expired: true,
            modules: match config.module_values() {
                ModuleValues::Refuse => Modules::Refuse,
                ModuleValues::Skip => Modules::Skip,
            },
            delay: Duration::from_micros(config.key_load_delay().try_into().unwrap_or(0)),
        }
    }

    /// For a file behind which commands follow: they may give keys more time.
    pub fn of_base(self) -> Plan {
        Plan {
            drops_expired: false,
            ..self
        }
    }

    /// Reads a file; `bring` takes the keys of a shard.
    pub fn read(
        &self,
        path: &Path,
        shared: &Shared,
        progress: &Progress,
        mut bring: impl FnMut(usize, Batch) -> Result<(), String>,
    ) -> Result<Loaded, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ms = now.unwrap_or_default().as_millis() as i64;
        let reader = Reader::new(file, self.limits).map_err(|e| e.to_string())?;
        let mut reader = reader.with_modules(self.modules);
        let mut batches: Vec<Batch> = (0..self.shards).map(|_| Batch::default()).collect();
        let mut loaded = Loaded::default();
        let mut codes = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(e) => return Err(format!("{e}, at byte {}", reader.position())),
            };
            match event {
                Event::Key(entry) => {
                    let db = usize::try_from(entry.db).ok();
                    let db = db.filter(|db| *db < self.databases).ok_or_else(|| {
                        format!(
                            "Data file was created with a Redis server configured to handle more \
                             than {} databases",
                            self.databases
                        )
                    })?;
                    if self.drops_expired && entry.expiry.is_some_and(|at| at < now_ms) {
                        loaded.expired += 1;
                        continue;
                    }
                    loaded.keys += 1;
                    if !self.delay.is_zero() {
                        std::thread::sleep(self.delay);
                    }
                    let shard = self.placement.of(entry.key);
                    let batch = &mut batches[shard];
                    batch.push(db, entry);
                    if batch.len() >= BATCH {
                        bring(shard, std::mem::take(batch))?;
                        progress.reach(reader.position());
                    }
                }
                Event::Function(code) => codes.push(code.to_vec()),
                Event::Aux { .. }
                | Event::Select(_)
                | Event::Resize { .. }
                | Event::Slot { .. } => {}
            }
        }
        if reader.skipped() > 0 {
            log::warn!(
                "{} keys without elements, or of modules, were left out",
                reader.skipped()
            );
        }
        loaded.end = reader.position();
        for (shard, batch) in batches.into_iter().enumerate() {
            bring(shard, batch)?;
        }
        script::load_functions(shared, &codes)
            .map_err(|e| String::from_utf8_lossy(e.text()).into_owned())?;
        Ok(loaded)
    }
}

/// The two ends between the thread that reads and each shard.
pub fn channels(shards: usize) -> (Vec<SyncSender<Brought>>, Vec<Receiver<Brought>>) {
    (0..shards).map(|_| sync_channel(WAITING)).unzip()
}

/// The dump that the configuration names, if it is there.
pub fn dump(config: &Config) -> Option<PathBuf> {
    let path = config.dbfilename();
    // What cannot be looked at is told when it is opened.
    let is_missing = std::fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound);
    (!is_missing).then(|| path.into())
}

/// Reads a file, if there is one, and brings the shards its keys.
pub fn load(
    plan: &Plan,
    path: Option<&Path>,
    shared: &Shared,
    progress: &Progress,
    shards: Vec<SyncSender<Brought>>,
) -> Result<Option<Loaded>, String> {
    let started = Instant::now();
    let mut loaded = None;
    if let Some(path) = path {
        let bring = |shard: usize, batch| {
            let sent = shards[shard].send(Brought::Keys(batch));
            sent.map_err(|_| "the server ends".to_owned())
        };
        let found = plan.read(path, shared, progress, bring).map_err(|e| {
            format!(
                "{}: {e}. The file is left as it is. Repair or remove it, or start with another \
                 dbfilename or dir.",
                path.display()
            )
        })?;
        log::info!(
            "DB loaded from disk: {:.3} seconds, keys loaded: {}, keys expired: {}",
            started.elapsed().as_secs_f64(),
            found.keys,
            found.expired
        );
        loaded = Some(found);
    }
    for shard in &shards {
        let _ = shard.send(Brought::End);
    }
    Ok(loaded)
}

/// How long keys are put in place before others are looked after, and how long new ones are waited for.
const SLICE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_millis(1);

/// Puts keys in place for a while; false when there are no more.
pub fn receive(shard: &mut Shard, brought: &Receiver<Brought>) -> bool {
    let until = Instant::now() + SLICE;
    while Instant::now() < until {
        match brought.recv_timeout(PATIENCE) {
            Ok(Brought::Keys(mut batch)) => batch.put(shard),
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Brought::End) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// The keys of a file take the place of all that this shard has.
pub fn replace(core: &mut Core, keys: Vec<Batch>) {
    for db in 0..core.shard.databases() {
        core.shard.flush(db);
    }
    for mut batch in keys {
        batch.put(&mut core.shard);
    }
    let changes = core.shard.changes();
    core.process.snapshots.note_saved(core.me, changes);
    if core.shard.has_news() {
        dispatch::note_news(core);
    }
}

/// Has the keys of a file take the place of all others, on all shards at once.
pub fn replace_all(core: &mut Core, mut keys: Vec<Vec<Batch>>) {
    tx::begin_on_all(core, Mode::Exclusive, |shard, part| {
        part.keys = Some(std::mem::take(&mut keys[shard]));
    });
}
