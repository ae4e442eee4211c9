//! Reading the log when the server starts.
//!
//! ```text
//!   base ──► as dumps are loaded (crate::loading)
//!   increments ──► a thread reads and checks ──► a socket ──► a client of the first shard ──► replies, looked at
//! ```
//!
//! The commands of the increments are executed as a client's, so that any number of shards can have written
//! them, and any other server. Meanwhile time stands still, because what was there when they were written is
//! there again; nothing is logged; and other clients are told that the server is loading. Then all shards begin
//! to log, and when they do, they serve.

use super::journal;
use super::{ARMING, Hub, Place, REPLAYING, SERVING, writer};
use crate::clients::{Peer, Special};
use crate::config::Config;
use crate::core::{Arrival, Core, Process};
use crate::loading::{self, Progress};
use command::Error;
use persist::aof::Manifest;
use persist::append::scan::Unit;
use persist::append::{self, End, Failure, Log};
use persist::reader::is_dump;
use persist::storage::sync_parent;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The number of the client that executes the log.
pub const REPLAY: u64 = u64::MAX;

pub const LOADING: Error = Error::fixed("LOADING Redis is loading the dataset in memory");

/// What there is of a log at the start.
pub struct Found {
    place: Place,
    manifest: Manifest,
    /// The dump that the base is, if there is one.
    pub base: Option<PathBuf>,
    /// Where in the base commands begin, if it is no dump, or goes on behind it.
    commands_at: Option<u64>,
    truncated: bool,
}

/// Looks for a log where the configuration says; makes one of the dump if there is none.
pub fn find(config: &Config, place: Place) -> Result<Option<Found>, String> {
    if !config.appendonly() {
        return Ok(None);
    }
    let prepared = place.disk.prepare();
    let told = |path: &Path, e: io::Error| format!("{}: {e}", path.display());
    prepared.map_err(|e| told(place.disk.directory(), e))?;
    let manifest = append::manifest(&*place.storage, &place.names).map_err(|e| e.to_string())?;
    let is_new = manifest.is_none();
    let mut manifest = manifest.unwrap_or_default();
    if is_new {
        let old = PathBuf::from(String::from_utf8_lossy(config.appendfilename()).as_ref());
        if old.exists() {
            manifest = adopt_old(&place, &old).map_err(|e| told(&old, e))?;
        } else if config.dbfilename().exists() {
            manifest = adopt_dump(&place, config.dbfilename())
                .map_err(|e| told(config.dbfilename(), e))?;
        }
    }
    let base = manifest.base.as_ref();
    let base = base.map(|base| place.disk.path(&append::name_of(base)));
    let (mut dump, mut commands_at) = (None, None);
    if let Some(path) = base {
        let is_dump = File::open(&path).and_then(is_dump);
        if is_dump.map_err(|e| told(&path, e))? {
            dump = Some(path);
        } else {
            commands_at = Some(0);
        }
    }
    Ok(Some(Found {
        place,
        manifest,
        base: dump,
        commands_at,
        truncated: config.aof_load_truncated(),
    }))
}

/// Makes a base of a log of one file, as servers before Redis 7.0 have it.
fn adopt_old(place: &Place, old: &Path) -> io::Result<Manifest> {
    log::info!(
        "The append only file {} becomes the base of a directory",
        old.display()
    );
    let name = old
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    fs::rename(old, place.disk.path(&name))?;
    sync_parent(old)?;
    place.storage.sync_names()?;
    let manifest = append::manifest_of_base(name);
    append::publish(&*place.storage, &place.names, &manifest)?;
    Ok(manifest)
}

/// Makes the base of a new log of the dump, which would count for nothing else.
fn adopt_dump(place: &Place, dump: &Path) -> io::Result<Manifest> {
    let (manifest, name) = append::first_base(&place.names);
    log::info!(
        "{} becomes the base of a new append only file",
        dump.display()
    );
    let temporary = append::temporary_base(&place.names);
    let path = place.disk.path(&temporary);
    fs::copy(dump, &path)?;
    File::open(&path)?.sync_all()?;
    place.storage.rename(&temporary, &name)?;
    place.storage.sync_names()?;
    Ok(manifest)
}

impl Found {
    /// Whether commands are to be executed before the server can serve.
    pub fn may_have_commands(&self) -> bool {
        let is_empty = |file: &persist::aof::File| {
            let path = self.place.disk.path(&append::name_of(file));
            fs::metadata(path).is_ok_and(|meta| meta.len() == 0)
        };
        // A dump may go on with commands, where it has become a base.
        let base = self.manifest.base.as_ref();
        let is_mixed = base.is_some_and(|base| !base.name.ends_with(b".base.rdb"));
        is_mixed || !self.manifest.increments.iter().all(is_empty)
    }

    /// Where the dump in the base ended.
    pub fn note_base(&mut self, end: u64) {
        let len = self.base.as_ref().and_then(|path| fs::metadata(path).ok());
        if len.is_some_and(|meta| meta.len() > end) {
            self.commands_at = Some(end);
        }
    }

    /// Reads all commands.
    fn read(&self, mut each: impl FnMut(&Unit<'_>) -> Result<(), String>) -> Result<End, Failure> {
        if let (Some(at), Some(base)) = (self.commands_at, &self.manifest.base) {
            let name = append::name_of(base);
            let read = || {
                let mut file = File::open(self.place.disk.path(&name))?;
                file.seek(SeekFrom::Start(at))?;
                Ok(file)
            };
            let file = read().map_err(|e| Failure::Io(name.clone(), e))?;
            let is_last = self.manifest.increments.is_empty();
            let end = append::read_file(&name, file, at, is_last, &mut each)?;
            if let Some(damage) = end.damage {
                return Err(Failure::Damage(name, damage));
            }
        }
        append::read_increments(&*self.place.storage, &self.manifest, each)
    }

    /// Executes the commands of the log through a socket, and begins to write.
    pub fn replay(
        self,
        process: &Arc<Process>,
        socket: Option<UnixStream>,
    ) -> Result<JoinHandle<()>, String> {
        let started = Instant::now();
        let mut end = End::default();
        if let Some(socket) = socket {
            let mut commands = 0;
            end = self.feed(socket, &process.progress, &mut commands)?;
            log::info!(
                "DB loaded from append only file: {:.3} seconds, {commands} commands",
                started.elapsed().as_secs_f64()
            );
        }
        if let Some(damage) = end.damage {
            if !self.truncated {
                return Err(format!(
                    "The append only file is damaged {damage}, and aof-load-truncated is off. Make a \
                     backup of it, and repair it with `shoal check aof --fix`"
                ));
            }
            log::warn!(
                "!!! Warning: the append only file is damaged {damage}. It is cut off there !!!"
            );
        }
        let Found {
            place, manifest, ..
        } = self;
        let Place {
            disk,
            storage,
            names,
        } = place.clone();
        let log = Log::resume(storage, names, manifest, end);
        let log = log.map_err(|e| format!("{}: {e}", disk.directory().display()))?;
        writer::start(process, place, Some(log)).map_err(|e| format!("thread: {e}"))
    }

    fn feed(
        &self,
        socket: UnixStream,
        progress: &Progress,
        commands: &mut u64,
    ) -> Result<End, String> {
        let reading = socket.try_clone().map_err(|e| e.to_string())?;
        let answers = thread::Builder::new()
            .name("replay".into())
            .spawn(move || Answers::new(reading).count())
            .map_err(|e| format!("thread: {e}"))?;
        let mut to = BufWriter::with_capacity(256 << 10, &socket);
        let (mut before, mut last) = (progress.done.load(Ordering::Relaxed), 0);
        let end = self.read(|unit| {
            *commands += unit.count as u64;
            if unit.end < last {
                // The next file begins.
                before += last;
            }
            last = unit.end;
            progress.reach(before + last);
            let written = unit
                .commands
                .iter()
                .try_for_each(|piece| to.write_all(piece));
            written.map_err(|e| format!("executing the append only file: {e}"))
        });
        let flushed = to.flush().map_err(|e| e.to_string());
        drop(to);
        let _ = socket.shutdown(Shutdown::Write);
        let answered = answers.join().map_err(|_| "the replay has ended")?;
        let end = end.map_err(|e| e.to_string())?;
        flushed?;
        let (answers, errors, first) =
            answered.map_err(|e| format!("executing the append only file: {e}"))?;
        if let Some(error) = first {
            let error = String::from_utf8_lossy(&error);
            if error.starts_with("ERR unknown command") || error.contains("wrong number of arg") {
                return Err(format!(
                    "The append only file has a command that is none: {error}"
                ));
            }
            log::warn!("{errors} commands of the append only file failed, the first with: {error}");
        }
        if answers != *commands {
            return Err(format!(
                "{answers} of {commands} commands of the append only file were executed"
            ));
        }
        Ok(end)
    }
}

/// Replies of a connection, of which only the errors matter.
struct Answers {
    socket: UnixStream,
    buf: Vec<u8>,
    used: usize,
}

impl Answers {
    fn new(socket: UnixStream) -> Answers {
        Answers {
            socket,
            buf: Vec::new(),
            used: 0,
        }
    }

    /// How many there are up to the end, how many errors among them, and the first of those.
    fn count(mut self) -> io::Result<(u64, u64, Option<Vec<u8>>)> {
        let (mut count, mut errors, mut first) = (0, 0, None);
        while let Some(error) = self.next()? {
            count += 1;
            errors += u64::from(error.is_some());
            first = first.or(error);
        }
        Ok((count, errors, first))
    }

    /// Whether there is more; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.used > 0 {
            self.buf.drain(..self.used);
            self.used = 0;
        }
        let before = self.buf.len();
        self.buf.resize(before + (64 << 10), 0);
        let read = self.socket.read(&mut self.buf[before..])?;
        self.buf.truncate(before + read);
        Ok(read > 0)
    }

    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let rest = &self.buf[self.used..];
            if let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line = rest[..end].trim_ascii_end().to_vec();
                self.used += end + 1;
                return Ok(Some(line));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Passes over one reply. Answers its error, if it is one.
    fn next(&mut self) -> io::Result<Option<Option<Vec<u8>>>> {
        let mut left: u64 = 1;
        let mut error = None;
        let mut is_first = true;
        while left > 0 {
            let Some(line) = self.line()? else {
                return Ok(None);
            };
            left -= 1;
            let number = || std::str::from_utf8(&line[1..]).ok()?.parse::<i64>().ok();
            match line.first() {
                Some(b'-') if is_first => error = Some(line[1..].to_vec()),
                Some(b'$') => {
                    let len = number().and_then(|n| usize::try_from(n).ok());
                    if let Some(len) = len {
                        while self.buf.len() - self.used < len + 2 {
                            if !self.fill()? {
                                return Ok(None);
                            }
                        }
                        self.used += len + 2;
                    }
                }
                Some(b'*') => left += number().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
                _ => {}
            }
            is_first = false;
        }
        Ok(Some(error))
    }
}

/// The connection through which a log is executed: our end, and what the first shard serves.
pub fn connection() -> io::Result<(UnixStream, Arrival)> {
    let (ours, theirs) = UnixStream::pair()?;
    let arrival = Arrival {
        id: REPLAY,
        peer: Peer::Unix { path: "".into() },
        socket: OwnedFd::from(theirs),
    };
    Ok((ours, arrival))
}

/// The log has been executed: the shards begin to log, and then to serve.
pub fn end(hub: &Hub) {
    hub.phase.store(ARMING, Ordering::SeqCst);
    hub.wake_all();
}

/// Brings a shard that is loading on to the next phase.
pub fn look_after(core: &mut Core) {
    let process = Arc::clone(&core.process);
    let hub = &process.aof;
    if let Some(brought) = core.brought.take() {
        if loading::receive(&mut core.shard, &brought) {
            core.brought = Some(brought);
            return;
        }
        hub.loaded.fetch_add(1, Ordering::SeqCst);
    }
    if hub.phase.load(Ordering::SeqCst) == REPLAYING {
        return;
    }
    if !core.armed {
        core.armed = true;
        if core.config.appendonly() {
            journal::switch_on(core);
        }
        let changes = core.shard.changes();
        process.snapshots.note_saved(core.me, changes);
        let armed = hub.armed.fetch_add(1, Ordering::SeqCst) + 1;
        if armed == hub.stations.len() {
            hub.phase.store(SERVING, Ordering::SeqCst);
            hub.wake_all();
        }
    }
    if hub.phase.load(Ordering::SeqCst) == SERVING {
        core.loading = false;
        core.shard.resume_time();
        core.settings.repeats = false;
        core.tick();
        core.clients.unmark_all(Special::LOADING);
    }
}

/// Bytes of all that is to be loaded.
pub fn bytes(source: Option<&Path>, found: Option<&Found>) -> u64 {
    let len = |path: PathBuf| fs::metadata(path).map_or(0, |meta| meta.len());
    let increments = found.into_iter().flat_map(|found| {
        let files = found.manifest.increments.iter();
        files.map(|file| found.place.disk.path(&append::name_of(file)))
    });
    let files = source.map(Path::to_path_buf).into_iter().chain(increments);
    files.map(len).sum()
}

/// What is loaded before the shards run: the base of the log, or the dump.
pub fn source(config: &Config, found: Option<&Found>) -> Option<PathBuf> {
    match found {
        Some(found) => found.base.clone(),
        None => loading::dump(config),
    }
}
