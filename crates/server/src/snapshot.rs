//! `dump.rdb`: all keys as they are at one moment, written while clients go on.
//!
//! ```text
//!   SAVE, BGSAVE, a save point ──► a transaction that locks every shard, shared: the cut begins everywhere
//!   each shard: Shard::cut_step, a slice a pass ──► Scribe ──► chunks ──┐
//!               a key is changed: it is written first                   ├──► one thread: temp-<pid>.rdb,
//!               a value is large: a picture of it ──────────────────────┤    synced, renamed, synced
//!   each other shard ───────────────────────────────────────────────────┘
//! ```
//!
//! When all shards are locked no transaction is under way anywhere, and no write: so the shards' cuts are
//! together a state that the server was in. The locks are held for no longer than it takes to say so to every
//! shard; the writing comes after.
//!
//! What the shards have encoded and the thread has not written is bounded ([`AFLOAT_MAX`]): a shard that would
//! go beyond that waits for the disk; from the half of it on it brings what is about to change and nothing else.
//! The thread writes large values itself, from [pictures](store::Picture), and
//! the largest when it has all the rest, so that no shard waits for those.

use crate::aof::turn::{Message, Turn, What};
use crate::config::Config;
use crate::core::{Core, Process};
use crate::cpu;
use crate::fault;
use crate::remote::tx;
use crate::session::REDIS_VERSION;
use command::Error;
use command::rebuild::Rebuild;
use engine::locks::Mode;
use engine::tx::TxId;
use persist::append::{CommandFile, Form};
use persist::encode::{Chunk, Compression};
use persist::storage::{Appending, Disk, Storage};
use persist::{DumpFile, Encoder, crc64, file};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use store::access::Stamp;
use store::shard::Item;
use store::{Picture, Sink};

/// Bytes of a chunk, and how many of all shards' may wait to be written.
const CHUNK: usize = 128 << 10;
const AFLOAT_MAX: usize = 16 << 20;

/// Bytes of a large value that is written before other things that wait.
const SOON: usize = 1 << 20;

/// Shortest and longest slice of a cut in one pass of the loop, and its share of the pass.
const SLICE_MIN: Duration = Duration::from_micros(50);
const SLICE_MAX: Duration = Duration::from_millis(1);
const SLICE_SHARE: u32 = 8;

/// Seconds after a save that failed, until a save point starts another.
const RETRY_S: i64 = 5;

/// Why a save that was given up has failed.
const CANCELLED: &str = "it was cancelled";

/// One save: what its shards and its thread have in common.
pub struct Save {
    queue: Mutex<Queue>,
    changed: Condvar,
    abandoned: AtomicBool,
    form: Form,
    compression: Compression,
    /// Whether keys are written with their last use.
    stamps: bool,
    /// Changes of each shard before the cut.
    changes: Vec<AtomicU64>,
    outcome: Mutex<Option<Result<(), String>>>,
    ended: Condvar,
}

struct Queue {
    pieces: VecDeque<Piece>,
    /// Bytes of all chunks.
    bytes: usize,
    /// Shards that will bring more.
    shards: usize,
}

/// What a shard brings.
enum Piece {
    Chunk(Chunk),
    /// A key with a large value, and its database.
    Large(usize, Box<Picture>),
}

impl Piece {
    fn bytes(&self) -> usize {
        match self {
            Piece::Chunk(chunk) => chunk.bytes.len(),
            Piece::Large(..) => 0,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Save {
    fn new(config: &Config, shards: usize, form: Form) -> Save {
        Save {
            form,
            queue: Mutex::new(Queue {
                pieces: VecDeque::new(),
                bytes: 0,
                shards,
            }),
            changed: Condvar::new(),
            abandoned: AtomicBool::new(false),
            compression: match config.rdbcompression() {
                true => Compression::Lzf,
                false => Compression::None,
            },
            stamps: config.maxmemory() > 0 && config.maxmemory_policy().tells_uses(),
            changes: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            outcome: Mutex::new(None),
            ended: Condvar::new(),
        }
    }

    pub fn form(&self) -> Form {
        self.form
    }

    /// Has everybody leave it.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        let queue = locked(&self.queue);
        self.changed.notify_all();
        drop(queue);
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// An error if it was given up.
    fn go_on(&self) -> io::Result<()> {
        match self.is_abandoned() {
            true => Err(io::Error::other(CANCELLED)),
            false => Ok(()),
        }
    }

    /// Hands on what a shard has written, as soon as there is room.
    fn bring(&self, piece: Piece) {
        let mut queue = locked(&self.queue);
        while queue.bytes >= AFLOAT_MAX && !self.is_abandoned() {
            queue = self.changed.wait(queue).unwrap_or_else(|e| e.into_inner());
        }
        if self.is_abandoned() {
            return;
        }
        queue.bytes += piece.bytes();
        queue.pieces.push_back(piece);
        self.changed.notify_all();
    }

    /// Whether so much waits to be written that only what is about to change should be brought.
    pub fn is_behind(&self) -> bool {
        locked(&self.queue).bytes >= AFLOAT_MAX / 2 && !self.is_abandoned()
    }

    fn shard_is_done(&self) {
        locked(&self.queue).shards -= 1;
        self.changed.notify_all();
    }

    /// What is to be written next; nothing when all shards are done.
    fn next(&self) -> io::Result<Option<Piece>> {
        let mut queue = locked(&self.queue);
        loop {
            self.go_on()?;
            if let Some(piece) = queue.pieces.pop_front() {
                queue.bytes -= piece.bytes();
                self.changed.notify_all();
                return Ok(Some(piece));
            }
            if queue.shards == 0 {
                return Ok(None);
            }
            queue = self.changed.wait(queue).unwrap_or_else(|e| e.into_inner());
        }
    }

    fn end(&self, outcome: Result<(), String>) {
        *locked(&self.outcome) = Some(outcome);
        self.ended.notify_all();
    }

    /// Waits for the end; what went wrong if something did.
    pub fn wait(&self) -> Result<(), String> {
        let mut outcome = locked(&self.outcome);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.ended.wait(outcome).unwrap_or_else(|e| e.into_inner());
        }
    }
}

/// What writes keys.
enum Pen {
    Dump(Encoder),
    Commands(Rebuild),
}

impl Pen {
    fn new(save: &Save) -> Pen {
        match save.form {
            Form::Dump => Pen::Dump(Encoder::new(save.compression)),
            Form::Commands => Pen::Commands(Rebuild::default()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Pen::Dump(encoder) => encoder.bytes(),
            Pen::Commands(rebuild) => rebuild.bytes(),
        }
    }

    fn select(&mut self, db: usize) {
        match self {
            Pen::Dump(encoder) => encoder.select(db),
            Pen::Commands(rebuild) => rebuild.select(db),
        }
    }

    fn key(&mut self, item: &Item<'_>, stamp: Option<Stamp>) {
        match self {
            Pen::Dump(encoder) => encoder.key(item, stamp),
            Pen::Commands(rebuild) => rebuild.key(item),
        }
    }

    /// A key whose value is large, in chunks.
    fn picture(
        &mut self,
        picture: Picture,
        stamps: bool,
        mut bring: impl FnMut(Chunk) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Pen::Dump(encoder) => {
                encoder.picture(picture, stamps, CHUNK, |encoder| bring(encoder.take()))
            }
            Pen::Commands(rebuild) => {
                rebuild.picture(&picture, CHUNK, |rebuild| bring(summed(rebuild.take())))
            }
        }
    }

    fn take(&mut self) -> Chunk {
        match self {
            Pen::Dump(encoder) => encoder.take(),
            Pen::Commands(rebuild) => summed(rebuild.take()),
        }
    }
}

/// Commands as a chunk.
fn summed(bytes: Vec<u8>) -> Chunk {
    Chunk {
        crc: crc64::update(0, &bytes),
        bytes,
        version: 0,
    }
}

/// A shard's part of a save.
struct Scribe {
    save: Arc<Save>,
    pen: Pen,
    /// The database of the key that was written last in this chunk.
    db: Option<usize>,
}

impl Scribe {
    fn new(save: Arc<Save>) -> Scribe {
        Scribe {
            pen: Pen::new(&save),
            save,
            db: None,
        }
    }

    fn hand_on(&mut self) {
        self.db = None;
        let chunk = self.pen.take();
        self.save.bring(Piece::Chunk(chunk));
    }
}

impl Sink for Scribe {
    fn keep(&mut self, db: usize, item: &Item<'_>, stamp: Stamp) {
        if item.is_large()
            && let Some(picture) = item.picture(stamp)
        {
            return self.save.bring(Piece::Large(db, Box::new(picture)));
        }
        if self.db != Some(db) {
            // Every chunk says its database: those of the shards come in any order.
            self.pen.select(db);
            self.db = Some(db);
        }
        self.pen.key(item, self.save.stamps.then_some(stamp));
        if self.pen.bytes().len() >= CHUNK {
            self.hand_on();
        }
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        if self.db.is_some() {
            self.hand_on();
        }
        self.save.shard_is_done();
    }
}

/// What all shards know of saves.
pub struct Snapshots {
    state: Mutex<State>,
    /// Changes of each shard, as it noted them last; and those that the last save has.
    changes: Vec<AtomicU64>,
    saved: Vec<AtomicU64>,
    /// The last save in the background has failed.
    failing: AtomicBool,
    /// The save that ends the server, once that is known.
    last: Mutex<Option<Arc<Save>>>,
}

/// What INFO and save points want to know. Times are Unix seconds.
#[derive(Clone, Default)]
pub struct State {
    pub running: Option<Arc<Save>>,
    /// It runs in the background.
    background: bool,
    /// One is to begin when the log has been rewritten.
    pub scheduled: bool,
    began: i64,
    tried: i64,
    pub saved: i64,
    pub failed: bool,
    /// Seconds that the last one in the background took.
    pub took: Option<i64>,
    pub saves: u64,
    pub loaded: u64,
    pub expired: u64,
}

impl State {
    pub fn in_background(&self) -> bool {
        self.background && self.running.is_some()
    }

    /// Seconds that the present one has taken.
    pub fn takes(&self) -> Option<i64> {
        self.in_background().then(|| now_s() - self.began)
    }
}

pub fn now_s() -> i64 {
    Core::clock_us() / 1_000_000
}

impl Snapshots {
    pub fn new(shards: usize) -> Snapshots {
        let zeros = || (0..shards).map(|_| AtomicU64::new(0)).collect();
        Snapshots {
            state: Mutex::new(State {
                saved: now_s(),
                ..State::default()
            }),
            changes: zeros(),
            saved: zeros(),
            failing: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Changes of a shard that no save has.
    pub fn unsaved(&self, shard: usize, changes: u64) -> u64 {
        let saved = self.saved[shard].load(Ordering::Relaxed);
        changes.saturating_sub(saved)
    }

    /// Notes that what a shard has is what the file has.
    pub fn note_saved(&self, shard: usize, changes: u64) {
        self.changes[shard].store(changes, Ordering::Relaxed);
        self.saved[shard].store(changes, Ordering::Relaxed);
    }

    fn all_unsaved(&self) -> u64 {
        let shards = self.changes.iter().enumerate();
        let unsaved = shards.map(|(i, n)| self.unsaved(i, n.load(Ordering::Relaxed)));
        unsaved.sum()
    }

    /// Whether writes are refused because saving fails.
    pub fn denies_writes(&self, config: &Config) -> bool {
        self.failing.load(Ordering::Relaxed)
            && config.stop_writes_on_bgsave_error()
            && !config.save().is_empty()
    }

    /// The save that ends the server.
    pub fn last(&self) -> Option<Arc<Save>> {
        locked(&self.last).clone()
    }
}

/// What Redis says to writes while saving fails.
pub const MISCONF: Error = Error::fixed(
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
     Commands that may modify the data set are disabled, because this instance is configured to report \
     errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check \
     the Redis logs for details about the RDB error.",
);

pub const IN_PROGRESS: Error = Error::fixed("ERR Background save already in progress");

const REWRITING: Error = Error::fixed(
    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
     schedule a BGSAVE whenever possible.",
);

/// Begins a save, unless one is under way.
pub fn begin(core: &mut Core, background: bool) -> Result<Arc<Save>, Error> {
    let save = start(core, background)?;
    tx::begin_on_all(core, Mode::Shared, |_, part| {
        part.cut = Some(Arc::clone(&save));
    });
    Ok(save)
}

/// Starts the thread of a save.
fn start(core: &mut Core, background: bool) -> Result<Arc<Save>, Error> {
    let process = Arc::clone(&core.process);
    let mut state = process.snapshots.state();
    if state.running.is_some() {
        return Err(IN_PROGRESS);
    }
    if process.aof.state().rewriting.is_some() {
        return Err(REWRITING);
    }
    let shards = core.placement.shards();
    let save = Arc::new(Save::new(&core.config, shards, Form::Dump));
    let name = core.config.dbfilename().to_string_lossy().into_owned();
    state.tried = now_s();
    state.scheduled = false;
    // A directory that cannot be written to is found out here. It may be another one before the end.
    let temporary = format!("temp-{}.rdb", std::process::id());
    let opened = std::env::current_dir().and_then(|directory| {
        let storage = fault::storage(Arc::new(Disk::new(directory)), fault::Of::Dump);
        let file = storage.create(&temporary)?;
        Ok((storage, file))
    });
    let (storage, file) = opened.map_err(|e| {
        log::warn!("Failed opening the temp RDB file for saving: {e}");
        if background {
            state.failed = true;
            process.snapshots.failing.store(true, Ordering::Relaxed);
        }
        Error::fixed("ERR")
    })?;
    let head = head(core, &save, false);
    state.running = Some(Arc::clone(&save));
    state.background = background;
    state.began = now_s();
    state.saves += 1;
    drop(state);
    if background {
        log::info!("Background saving started");
    }
    let job = Job {
        save: Arc::clone(&save),
        process: Arc::clone(&process),
        storage,
        temporary,
        purpose: Purpose::Dump { background, name },
    };
    job.spawn(file, head)
        .inspect_err(|_| process.snapshots.state().running = None)?;
    Ok(save)
}

/// Starts the thread of a save that becomes the base of the append-only log at a turn of it.
pub fn start_base(core: &mut Core, what: What) -> Result<(Arc<Turn>, Arc<Save>), Error> {
    let process = Arc::clone(&core.process);
    if process.snapshots.state().running.is_some() {
        return Err(IN_PROGRESS);
    }
    let refused = || Error::fixed("ERR Can't open the append-only file. Check server logs.");
    let place = process.aof.place().ok_or_else(refused)?;
    let temporary = persist::append::temporary_base(&place.names);
    let storage = fault::storage(Arc::clone(&place.disk), fault::Of::Dump);
    let opened = place.disk.prepare();
    let opened = opened.and_then(|()| storage.create(&temporary));
    let file = opened.map_err(|e| {
        log::warn!("Can't open {temporary} for the base: {e}");
        refused()
    })?;
    let form = match core.config.aof_use_rdb_preamble() {
        true => Form::Dump,
        false => Form::Commands,
    };
    let save = Arc::new(Save::new(&core.config, core.placement.shards(), form));
    let turn = Arc::new(Turn {
        what,
        save: Some(Arc::clone(&save)),
        functions: process.aof.function_changes(),
    });
    let head = head(core, &save, true);
    let job = Job {
        save: Arc::clone(&save),
        process,
        storage,
        temporary,
        purpose: Purpose::Base(Arc::clone(&turn)),
    };
    job.spawn(file, head)?;
    Ok((turn, save))
}

/// What stands before all keys.
fn head(core: &Core, save: &Save, is_base: bool) -> Chunk {
    let texts = core.process.scripts.texts();
    let libraries = texts.libraries.values();
    let mut pen = Pen::new(save);
    match &mut pen {
        Pen::Dump(encoder) => {
            encoder.aux("redis-ver", REDIS_VERSION.as_bytes());
            encoder.aux("redis-bits", b"64");
            encoder.aux("ctime", now_s().to_string().as_bytes());
            let used = crate::memory::allocated().to_string();
            encoder.aux("used-mem", used.as_bytes());
            encoder.aux("aof-base", if is_base { b"1" } else { b"0" });
            libraries.for_each(|library| encoder.function(library.code()));
        }
        Pen::Commands(rebuild) => {
            libraries.for_each(|library| rebuild.function(library.code()));
        }
    }
    pen.take()
}

/// What the thread of a save works with.
struct Job {
    save: Arc<Save>,
    process: Arc<Process>,
    storage: Arc<dyn Storage>,
    temporary: String,
    purpose: Purpose,
}

/// The file that a save is written to.
enum Output {
    Dump(DumpFile),
    Commands(CommandFile),
}

impl Output {
    fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        match self {
            Output::Dump(file) => file.chunk(chunk),
            Output::Commands(file) => file.chunk(chunk),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Output::Dump(file) => file.finish(),
            Output::Commands(file) => file.finish(),
        }
    }
}

enum Purpose {
    Dump { background: bool, name: String },
    Base(Arc<Turn>),
}

impl Job {
    fn spawn(self, file: Box<dyn Appending>, head: Chunk) -> Result<(), Error> {
        let save = Arc::clone(&self.save);
        let spawned = std::thread::Builder::new()
            .name("save".into())
            .spawn(move || {
                cpu::give_way();
                self.run(file, head);
            });
        spawned.map(drop).map_err(|e| {
            log::warn!("Can't save in background: no thread: {e}");
            save.abandon();
            save.end(Err(e.to_string()));
            Error::fixed("ERR")
        })
    }

    fn run(self, file: Box<dyn Appending>, head: Chunk) {
        let written = self.write(file, head);
        if written.is_err() {
            // The shards leave it when they come to it. What is large is let go of here, and by none of them.
            self.save.abandon();
            let pieces = std::mem::take(&mut locked(&self.save.queue).pieces);
            drop(pieces);
            let _ = self.storage.remove(&self.temporary);
        }
        let cancelled = self.save.is_abandoned();
        let written = written.map_err(|e| e.to_string());
        match &self.purpose {
            Purpose::Dump { background, .. } => self.note(&written, *background, cancelled),
            Purpose::Base(turn) => {
                let message = Message::Base(Arc::clone(turn), written.clone());
                self.process.aof.post(message);
            }
        }
        self.save.end(written);
    }

    fn write(&self, file: Box<dyn Appending>, head: Chunk) -> io::Result<()> {
        let storage = Arc::clone(&self.storage);
        let mut to = match self.save.form {
            Form::Dump => Output::Dump(DumpFile::begin(
                storage,
                &self.temporary,
                file,
                head.version,
            )?),
            Form::Commands => Output::Commands(CommandFile::begin(file)),
        };
        if !head.bytes.is_empty() {
            to.chunk(&head)?;
        }
        let mut pen = Pen::new(&self.save);
        let mut largest = Vec::new();
        while let Some(piece) = self.save.next()? {
            match piece {
                Piece::Chunk(chunk) => to.chunk(&chunk)?,
                Piece::Large(db, picture) if picture.memory() < SOON => {
                    self.write_large(&mut to, &mut pen, db, *picture)?;
                }
                Piece::Large(db, picture) => largest.push((db, picture)),
            }
        }
        for (db, picture) in largest {
            self.write_large(&mut to, &mut pen, db, *picture)?;
        }
        to.finish()?;
        self.save.go_on()?;
        match &self.purpose {
            Purpose::Dump { name, .. } => file::install(&*self.storage, &self.temporary, name),
            // The log does that.
            Purpose::Base(_) => Ok(()),
        }
    }

    fn write_large(
        &self,
        to: &mut Output,
        pen: &mut Pen,
        db: usize,
        picture: Picture,
    ) -> io::Result<()> {
        pen.select(db);
        pen.picture(picture, self.save.stamps, |chunk| {
            self.save.go_on()?;
            to.chunk(&chunk)
        })
    }

    fn note(&self, written: &Result<(), String>, background: bool, cancelled: bool) {
        let snapshots = &self.process.snapshots;
        let mut state = snapshots.state();
        state.running = None;
        if background {
            state.took = Some(now_s() - state.began);
        }
        match written {
            Ok(()) => {
                state.saved = now_s();
                state.failed = false;
                snapshots.failing.store(false, Ordering::Relaxed);
                for (saved, changes) in snapshots.saved.iter().zip(&self.save.changes) {
                    saved.store(changes.load(Ordering::Relaxed), Ordering::Relaxed);
                }
                log::info!("DB saved on disk");
                if background {
                    log::info!("Background saving terminated with success");
                }
            }
            Err(why) if cancelled && why == CANCELLED => {
                log::info!("Saving was cancelled");
            }
            Err(e) => {
                log::warn!("Write error saving DB on disk: {e}");
                if background {
                    state.failed = true;
                    snapshots.failing.store(true, Ordering::Relaxed);
                    log::warn!("Background saving error");
                }
            }
        }
    }
}

/// The cut begins on this shard: every shard is locked.
pub fn cut(core: &mut Core, save: Arc<Save>) {
    let changes = core.shard.changes();
    save.changes[core.me].store(changes, Ordering::Relaxed);
    if save.is_abandoned() {
        return save.shard_is_done();
    }
    if core.shard.has_cut() {
        // One that was given up, and that this shard has not come to since.
        core.shard.end_cut();
    }
    core.shard
        .begin_cut(Box::new(Scribe::new(Arc::clone(&save))));
    core.save = Some(save);
}

/// All shards have begun.
pub fn begun(core: &mut Core, tx: TxId) -> bool {
    core.cuts.remove(&tx)
}

/// Goes on with the cut, for a share of the pass that began at `began`.
pub fn go_on(core: &mut Core, began: Instant) {
    let Some(save) = core.save.clone() else {
        return;
    };
    if save.is_abandoned() {
        core.shard.end_cut();
        core.save = None;
        return;
    }
    if save.is_behind() {
        return;
    }
    let start = Instant::now();
    let share = start.saturating_duration_since(began) / SLICE_SHARE;
    let slice = share.clamp(SLICE_MIN, SLICE_MAX);
    loop {
        if !core.shard.cut_step() {
            core.shard.end_cut();
            core.save = None;
            return;
        }
        if start.elapsed() >= slice {
            return;
        }
    }
}

/// Periodic: tells the others how much has changed, and on the first shard starts what a save point asks for.
pub fn look_after(core: &mut Core) {
    let process = Arc::clone(&core.process);
    let snapshots = &process.snapshots;
    snapshots.changes[core.me].store(core.shard.changes(), Ordering::Relaxed);
    let denies = snapshots.denies_writes(&core.config) || process.aof.is_failing();
    core.special
        .set(crate::clients::Special::DENIES_WRITES, denies);
    if core.me != 0 || core.loading {
        return;
    }
    let is_scheduled = snapshots.state().scheduled;
    if is_scheduled && process.aof.state().rewriting.is_none() {
        let _ = begin(core, true);
    }
    if core.config.save().is_empty() {
        return;
    }
    let unsaved = snapshots.all_unsaved();
    let now = now_s();
    let due = {
        let state = snapshots.state();
        let may_try = !state.failed || now - state.tried > RETRY_S;
        let points = core.config.save().iter();
        let mut due = points.filter(|point| {
            unsaved >= u64::from(point.changes.unsigned_abs()) && now - state.saved > point.seconds
        });
        due.next()
            .copied()
            .filter(|_| state.running.is_none() && may_try && unsaved > 0)
    };
    let due = due.filter(|_| process.aof.state().rewriting.is_none());
    if let Some(point) = due {
        log::info!(
            "{} changes in {} seconds. Saving...",
            point.changes,
            point.seconds
        );
        let _ = begin(core, true);
    }
}

/// How the server is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Save if there are save points.
    Usual,
    Save,
    NoSave,
}

/// Prepares the save that ends the server, if there is to be one; an error if it cannot be begun. The shards
/// bring what they have when no command is under way any more ([`bring_all`]).
pub fn prepare_end(core: &mut Core, ending: Ending) -> Result<(), Error> {
    let saves = match ending {
        Ending::Usual => !core.config.save().is_empty(),
        Ending::Save => true,
        Ending::NoSave => false,
    };
    let process = Arc::clone(&core.process);
    // What is not all there is not saved.
    if process.snapshots.last().is_some() || core.loading {
        return Ok(());
    }
    let running = process.snapshots.state().running.clone();
    if let Some(running) = running {
        running.abandon();
        let _ = running.wait();
    }
    let rewriting = process.aof.state().rewriting.clone();
    if let Some(rewriting) = rewriting {
        rewriting.save.abandon();
        let _ = rewriting.save.wait();
        process.aof.state().rewriting = None;
    }
    if !saves {
        return Ok(());
    }
    log::info!("Saving the final RDB snapshot before exiting.");
    let save = start(core, false)
        .map_err(|_| Error::fixed("ERR Errors trying to SHUTDOWN. Check logs."))?;
    *locked(&process.snapshots.last) = Some(save);
    Ok(())
}

/// Writes everything that a shard has, when nothing runs any more.
pub fn bring_all(core: &mut Core) {
    if let Some(save) = core.process.snapshots.last() {
        cut(core, save);
        while core.shard.cut_step() {}
        core.shard.end_cut();
    }
}
