//! The thread of the log: puts the shards' effects in order, writes them, and says what is durable.

use super::chunk::{Chunk, Mark, Sections};
use super::turn::{Message, Turn, What};
use super::{Hub, Place, locked};
use crate::config::settings::Fsync;
use crate::core::Process;
use crate::session::script::restoring;
use crate::snapshot::now_s;
use engine::Epoch;
use persist::append::{self, Form, Log};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long effects wait for more to be written with them, unless replies wait for them.
const PATIENCE: Duration = Duration::from_millis(10);

/// Bytes that are written without waiting for more.
pub const EAGER: usize = 1 << 20;

/// Bytes of a block beyond which the next epoch gets one of its own.
const BLOCK: usize = 4 << 20;

/// How long unsynced effects may be, with `everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How long the thread rests after writing has failed.
const RETRY: Duration = Duration::from_secs(1);

/// How long it waits for shards, before it looks at them again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Chunks of an epoch, by shard.
type Chunks = Vec<Vec<Chunk>>;

pub struct Writer {
    process: Arc<Process>,
    place: Place,
    log: Option<Log>,
    epochs: BTreeMap<Epoch, Chunks>,
    /// The commands of the next block.
    block: Vec<u8>,
    /// Everything up to this epoch has been written, and up to this one it counts as durable.
    written: Epoch,
    durable: Epoch,
    synced: Instant,
    /// Bases that are written, for turns that may not have been reached.
    bases: Vec<(Arc<Turn>, Result<(), String>)>,
    /// The last turn that was reached, and whether it succeeded.
    reached: Option<(Arc<Turn>, bool)>,
    /// Syncing fails: what has been written may not last.
    unsynced: bool,
    ends: bool,
}

/// Starts the thread; `log` is what there is at the start.
pub fn start(process: &Arc<Process>, place: Place, log: Option<Log>) -> io::Result<JoinHandle<()>> {
    let _ = process.aof.place.set(place.clone());
    let writer = Writer {
        process: Arc::clone(process),
        place,
        log,
        epochs: BTreeMap::new(),
        block: Vec::new(),
        written: 0,
        durable: 0,
        synced: Instant::now(),
        bases: Vec::new(),
        reached: None,
        unsynced: false,
        ends: false,
    };
    writer.settle_size();
    writer.tell();
    {
        // Growth counts from here on.
        let mut state = process.aof.state();
        state.base_size = state.size;
    }
    let thread = thread::Builder::new().name("log".into());
    thread.spawn(move || writer.run())
}

impl Writer {
    fn hub(&self) -> &Hub {
        &self.process.aof
    }

    fn run(mut self) {
        // Before it says for the first time that it wants to be woken.
        let _ = self.process.aof.thread.set(thread::current());
        loop {
            self.wait();
            self.hear();
            let epoch = self.hub().target.fetch_add(1, Ordering::SeqCst);
            self.wait_until_sealed(epoch);
            self.hub().set_on_disk(true);
            self.collect();
            self.write(epoch);
            self.install();
            self.sync();
            self.tell();
            self.hub().set_on_disk(false);
            if self.ends && !self.has_work() {
                return self.end();
            }
        }
    }

    fn has_work(&self) -> bool {
        let hub = self.hub();
        let full = |station: &super::Station| station.full.load(Ordering::SeqCst);
        // Some may have been collected before their epoch was over.
        !self.epochs.is_empty()
            || hub.stations.iter().any(full)
            || !locked(&hub.messages).is_empty()
    }

    /// Waits for something to be written or synced.
    fn wait(&self) {
        let hub = self.hub();
        loop {
            hub.dozing.store(true, Ordering::SeqCst);
            if self.has_work() || self.is_sync_due() || self.ends {
                break;
            }
            match &self.log {
                Some(log) if !log.is_synced() && hub.fsync() != Fsync::No => {
                    let left = SYNC_EVERY.saturating_sub(self.synced.elapsed());
                    thread::park_timeout(left.max(Duration::from_millis(1)));
                }
                _ => thread::park(),
            }
        }
        hub.dozing.store(false, Ordering::SeqCst);
        if hub.is_always() || self.ends {
            return;
        }
        let until = Instant::now() + PATIENCE;
        while hub.backlog.load(Ordering::Relaxed) < EAGER && locked(&hub.messages).is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
    }

    fn is_sync_due(&self) -> bool {
        let is_dirty = self.log.as_ref().is_some_and(|log| !log.is_synced());
        let is_late = self.synced.elapsed() >= SYNC_EVERY;
        is_dirty
            && match self.hub().fsync() {
                Fsync::Always => self.durable < self.written || is_late,
                Fsync::Everysec => is_late,
                Fsync::No => false,
            }
    }

    fn hear(&mut self) {
        let messages = std::mem::take(&mut *locked(&self.hub().messages));
        for message in messages {
            match message {
                Message::Base(turn, base) => self.bases.push((turn, base)),
                Message::End => self.ends = true,
            }
        }
    }

    /// Waits until nothing can be added to an epoch.
    fn wait_until_sealed(&self, epoch: Epoch) {
        let hub = self.hub();
        loop {
            hub.dozing.store(true, Ordering::SeqCst);
            let is_sealed = |station: &super::Station| {
                station.asleep.load(Ordering::SeqCst)
                    || station.sealed.load(Ordering::SeqCst) >= epoch
            };
            if hub.stations.iter().all(is_sealed) {
                break;
            }
            thread::park_timeout(LOOK_AGAIN);
        }
        hub.dozing.store(false, Ordering::SeqCst);
    }

    fn collect(&mut self) {
        let process = Arc::clone(&self.process);
        let shards = process.aof.stations.len();
        for (shard, station) in process.aof.stations.iter().enumerate() {
            let mut mailbox = station.mailbox();
            station.full.store(false, Ordering::SeqCst);
            let chunks = std::mem::take(&mut *mailbox);
            drop(mailbox);
            for chunk in chunks {
                let of_epoch = self.epochs.entry(chunk.epoch);
                let new = || (0..shards).map(|_| Vec::new()).collect();
                of_epoch.or_insert_with(new)[shard].push(chunk);
            }
        }
    }

    /// Writes all epochs up to this one.
    fn write(&mut self, epoch: Epoch) {
        let functions = locked(&self.hub().functions).call.take();
        self.block.extend(functions.into_iter().flatten());
        let mut bytes = 0;
        while let Some(first) = self.epochs.first_entry() {
            let of = *first.key();
            if of > epoch || !is_complete(first.get()) {
                break;
            }
            let chunks = first.remove();
            bytes += chunks
                .iter()
                .flatten()
                .map(|c| c.bytes.len())
                .sum::<usize>();
            self.put(&chunks);
            if self.block.len() >= BLOCK {
                self.flush();
            }
        }
        self.flush();
        self.hub().backlog.fetch_sub(bytes, Ordering::Relaxed);
        self.written = match self.epochs.first_key_value() {
            Some((first, _)) => epoch.min(first - 1),
            None => epoch,
        };
    }

    /// Puts the effects of an epoch behind those that are to be written.
    fn put(&mut self, chunks: &Chunks) {
        let shards = chunks.iter().map(|of| Sections::new(of.iter().collect()));
        let mut shards: Vec<Sections<'_>> = shards.collect();
        loop {
            let mut mark = None;
            for shard in &mut shards {
                mark = shard.write(&mut self.block).or(mark);
            }
            match mark {
                None => return,
                Some(Mark::Command(bytes)) => self.block.extend_from_slice(bytes),
                Some(Mark::Turn(turn)) => self.turn(turn),
            }
        }
    }

    /// Writes the block that has been put together, however long it takes.
    fn flush(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let Some(log) = &mut self.log else {
            // Nobody wants it.
            return self.block.clear();
        };
        let stamps = self.process.control().config.aof_timestamp_enabled();
        let time = stamps.then(now_s);
        while let Err(e) = log.append(&self.block, time) {
            if self.process.aof.is_always() {
                log::error!(
                    "Can't recover from AOF write error when the AOF fsync policy is 'always'. \
                     Exiting... ({e})"
                );
                std::process::exit(1);
            }
            note_failure(&self.process, &e);
            log::warn!("Error writing to the AOF file: {e}");
            let is_end = |message: &Message| matches!(message, Message::End);
            if self.ends || locked(&self.process.aof.messages).iter().any(is_end) {
                log::error!("The last effects are not in the append only file");
                break;
            }
            thread::sleep(RETRY);
        }
        self.block.clear();
        self.block.shrink_to(2 * BLOCK);
        if !self.unsynced {
            note_success(&self.process, log);
        }
    }

    fn turn(&mut self, turn: &Arc<Turn>) {
        let turned = match (turn.what, &mut self.log) {
            (What::Start, None) => {
                self.block.clear();
                self.start_log()
            }
            (What::Stop, _) => {
                self.flush();
                let synced = self.log.as_mut().map_or(Ok(()), Log::sync);
                self.log = None;
                self.unsynced = false;
                self.process.aof.state().failure = None;
                synced
            }
            _ => {
                self.flush();
                let log = self.log.as_mut();
                let rotated = log.map_or(Ok(()), Log::rotate);
                self.settle_size();
                rotated
            }
        };
        if let Err(e) = &turned {
            log::warn!("The append only file cannot go on in a new file: {e}");
            if let Some(save) = &turn.save {
                save.abandon();
            }
        }
        if turned.is_ok() && turn.save.is_some() && turn.functions != self.hub().function_changes()
        {
            // What has been logged of them stands before the base, which does not have it.
            let texts = self.process.scripts.texts();
            self.block.extend(restoring(&texts));
        }
        self.reached = Some((Arc::clone(turn), turned.is_ok()));
    }

    fn start_log(&mut self) -> io::Result<()> {
        let Place {
            disk,
            storage,
            names,
        } = self.place.clone();
        disk.prepare()?;
        let manifest = append::manifest(&*storage, &names);
        let manifest = match manifest {
            Ok(manifest) => manifest.unwrap_or_default(),
            Err(e) => {
                log::warn!("The manifest that is there is not used: {e}");
                Default::default()
            }
        };
        let log = Log::start(storage, names, manifest)?;
        self.log = Some(log);
        Ok(())
    }

    /// Bytes of the files behind the base.
    fn settle_size(&self) {
        let Some(log) = &self.log else {
            return;
        };
        let sizes = log.manifest().increments.iter().chain(&log.manifest().base);
        let sizes = sizes.map(|file| self.place.disk.path(&append::name_of(file)));
        let sizes = sizes.filter_map(|path| std::fs::metadata(path).ok());
        let size: u64 = sizes.map(|meta| meta.len()).sum();
        let mut state = self.hub().state();
        state.settled = size - log.len().min(size);
        state.size = size;
    }

    /// Installs the bases whose turns have been reached.
    fn install(&mut self) {
        let bases = std::mem::take(&mut self.bases);
        for (turn, base) in bases {
            let reached = self.reached.as_ref().filter(|(t, _)| Arc::ptr_eq(t, &turn));
            let temporary = append::temporary_base(&self.place.names);
            let outcome = match (base, reached, &mut self.log) {
                (Err(why), ..) => Err(why),
                (Ok(()), None, log) if log.is_some() || turn.what == What::Start => {
                    self.bases.push((turn, Ok(())));
                    continue;
                }
                (Ok(()), Some((_, true)), Some(log)) => {
                    let form = turn.save.as_ref().map_or(Form::Dump, |save| save.form());
                    log.install(&temporary, form).map_err(|e| e.to_string())
                }
                (Ok(()), ..) => {
                    let _ = self.place.storage.remove(&temporary);
                    Err("the log has ended".into())
                }
            };
            let mut state = self.hub().state();
            let rewriting = state.rewriting.take();
            state.took = rewriting.map(|rewriting| now_s() - rewriting.began);
            match outcome {
                Ok(()) => {
                    state.failures = 0;
                    state.waits_for_base = false;
                    drop(state);
                    self.settle_size();
                    let mut state = self.hub().state();
                    state.base_size = state.size;
                    log::info!("Background AOF rewrite finished successfully");
                }
                Err(why) => {
                    state.failures += 1;
                    log::warn!("Background AOF rewrite failed: {why}");
                }
            }
        }
    }

    fn sync(&mut self) {
        let process = Arc::clone(&self.process);
        let hub = &process.aof;
        let is_due = self.is_sync_due() || self.ends;
        let Some(log) = &mut self.log else {
            return;
        };
        if log.is_synced() {
            self.durable = self.written;
            return;
        }
        if !is_due {
            return;
        }
        let is_busy = || {
            let rewrites = hub.state().rewriting.is_some();
            rewrites || process.snapshots.state().in_background()
        };
        if !self.ends && process.control().config.no_appendfsync_on_rewrite() && is_busy() {
            self.durable = self.written;
            self.synced = Instant::now();
            return;
        }
        let began = Instant::now();
        let synced = log.sync();
        self.synced = Instant::now();
        if began.elapsed() > 2 * SYNC_EVERY {
            hub.state().delayed += 1;
            log::warn!(
                "Asynchronous AOF fsync is taking too long (disk is busy?). It took {:.1} seconds.",
                began.elapsed().as_secs_f64()
            );
        }
        match synced {
            Ok(()) => {
                // What could not be synced may not be there, although syncing succeeds now.
                hub.state().scheduled |= self.unsynced;
                self.unsynced = false;
                self.durable = self.written;
                note_success(&process, log);
            }
            Err(e) if hub.is_always() => {
                log::error!(
                    "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {e}. \
                     Exiting..."
                );
                std::process::exit(1);
            }
            Err(e) => {
                self.unsynced = true;
                note_failure(&process, &e);
                log::warn!("Fail to fsync the AOF file: {e}");
            }
        }
    }

    /// Says what is durable.
    fn tell(&self) {
        let (has_log, durable) = (self.log.is_some(), self.durable);
        self.hub().settle(|policy| {
            policy.has_log = has_log;
            policy.durable = durable;
        });
    }

    fn end(mut self) {
        if let Some(log) = &mut self.log
            && let Err(e) = log.sync()
        {
            log::error!("Fail to fsync the AOF file: {e}");
        }
    }
}

/// Whether every shard has brought its marks of an epoch.
fn is_complete(chunks: &Chunks) -> bool {
    let marks = |of: &Vec<Chunk>| of.iter().map(|c| c.marks.len()).sum::<usize>();
    let mut counts = chunks.iter().map(marks);
    let first = counts.next();
    counts.all(|count| Some(count) == first)
}

fn note_failure(process: &Process, e: &io::Error) {
    process.aof.state().failure = Some(e.to_string());
}

fn note_success(process: &Process, log: &Log) {
    let mut state = process.aof.state();
    state.size = state.settled + log.len();
    if state.failure.take().is_some() {
        log::warn!("AOF write error looks solved. The server can write again.");
    }
}
