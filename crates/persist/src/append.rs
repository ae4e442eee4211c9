//! The append-only log: a directory with a base, increments behind it, and a manifest that names them.
//!
//! ```text
//!   effects ──► block ──► append ──► sync        the last increment grows
//!   rewrite:  rotate ──► a new increment; the base is written to a file of its own ──► install
//! ```
//!
//! The manifest is replaced as a whole, under another name first; it never names what is not durable. So
//! after any loss of power the directory is the old one or the new one, and what was durable before
//! [`Log::sync`] returned is in it.

pub mod scan;
#[cfg(test)]
mod tests;

use crate::aof::{self, File, Manifest};
use crate::crc64;
use crate::encode::Chunk;
use crate::file::Tail;
use crate::storage::{Appending, Storage};
use scan::{Damage, Fault, Scanner, Unit};
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

/// What the files are called.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Names {
        Names {
            prefix: prefix.to_owned(),
        }
    }

    pub fn manifest(&self) -> String {
        format!("{}.manifest", self.prefix)
    }

    fn base(&self, seq: i64, form: Form) -> String {
        let end = match form {
            Form::Dump => "rdb",
            Form::Commands => "aof",
        };
        format!("{}.{seq}.base.{end}", self.prefix)
    }

    fn increment(&self, seq: i64) -> String {
        format!("{}.{seq}.incr.aof", self.prefix)
    }

    /// What does not count yet.
    fn temporary(name: &str) -> String {
        format!("temp-{name}")
    }
}

/// What a base is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Dump,
    Commands,
}

/// Why a log cannot be read.
#[derive(Debug)]
pub enum Failure {
    Io(String, io::Error),
    Manifest(aof::Invalid),
    /// A file that the manifest names is not there.
    Missing(String),
    Damage(String, Damage),
    /// A file is damaged before a place that was durable.
    Rotten(String, Damage),
    /// Whoever took the commands did not want them.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(name, e) => write!(f, "{name}: {e}"),
            Failure::Manifest(invalid) => invalid.fmt(f),
            Failure::Missing(name) => {
                write!(
                    f,
                    "The AOF file {name} doesn't exist, and the manifest names it"
                )
            }
            Failure::Damage(name, damage) => write!(f, "{name} is damaged {damage}"),
            Failure::Rotten(name, damage) => write!(
                f,
                "{name} is damaged {damage}; later blocks show that this was durable once, so \
                 cutting it off there would lose what was acknowledged"
            ),
            Failure::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}

fn io_of(name: &str) -> impl FnOnce(io::Error) -> Failure {
    let name = name.to_owned();
    |e| Failure::Io(name, e)
}

/// Reads the manifest; nothing if there is none.
pub fn manifest(storage: &dyn Storage, names: &Names) -> Result<Option<Manifest>, Failure> {
    let name = names.manifest();
    if !storage.exists(&name).map_err(io_of(&name))? {
        return Ok(None);
    }
    let mut content = Vec::new();
    let mut file = storage.read(&name).map_err(io_of(&name))?;
    file.read_to_end(&mut content).map_err(io_of(&name))?;
    let manifest = Manifest::parse(&content).map_err(Failure::Manifest)?;
    for file in manifest.base.iter().chain(&manifest.increments) {
        let name = name_of(file);
        if !storage.exists(&name).map_err(io_of(&name))? {
            return Err(Failure::Missing(name));
        }
    }
    Ok(Some(manifest))
}

/// Where the last increment ends well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub len: u64,
    /// The number of its last block.
    pub block: Option<u64>,
    /// What is behind it, if that is to be cut off.
    pub damage: Option<Damage>,
    /// Which increment is to be cut off, if it is not the last one.
    pub before: Option<usize>,
}

/// Reads one file of commands from a place on. Of the last one, an end that is damaged is cut off, if nothing
/// shows that it was durable.
pub fn read_file(
    name: &str,
    reader: impl Read,
    origin: u64,
    is_last: bool,
    mut each: impl FnMut(&Unit<'_>) -> Result<(), String>,
) -> Result<End, Failure> {
    let mut scanner = Scanner::new(reader, origin);
    loop {
        match scanner.unit().map_err(io_of(name))? {
            Ok(Some(unit)) => each(&unit).map_err(Failure::Refused)?,
            Ok(None) => {
                return Ok(End {
                    len: scanner.position(),
                    block: scanner.last_block(),
                    ..End::default()
                });
            }
            Err(damage) => {
                let name = name.to_owned();
                let block = scanner.last_block();
                let behind = scanner.behind().map_err(io_of(&name))?;
                if behind.durable > damage.at {
                    return Err(Failure::Rotten(name, damage));
                }
                // Something that is no command, in a file that only others have written, is not the trace
                // of an end that came too early.
                let is_ours = block.is_some() || behind.is_ours;
                let is_end = damage.fault == Fault::Incomplete || is_ours;
                if !is_last || !is_end {
                    return Err(Failure::Damage(name, damage));
                }
                return Ok(End {
                    len: damage.at,
                    block,
                    damage: Some(damage),
                    before: None,
                });
            }
        }
    }
}

/// Reads all increments, in their order.
pub fn read_increments(
    storage: &dyn Storage,
    manifest: &Manifest,
    mut each: impl FnMut(&Unit<'_>) -> Result<(), String>,
) -> Result<End, Failure> {
    let mut end = End::default();
    let mut cut = None;
    for (i, file) in manifest.increments.iter().enumerate() {
        let name = name_of(file);
        let reader = storage.read(&name).map_err(io_of(&name))?;
        let mut is_last = true;
        for file in &manifest.increments[i + 1..] {
            is_last &= is_empty(storage, &name_of(file))?;
        }
        end = read_file(&name, reader, 0, is_last, &mut each)?;
        if let Some(damage) = end.damage
            && i + 1 < manifest.increments.len()
        {
            cut = Some((i, damage));
        }
    }
    if let Some((i, damage)) = cut {
        (end.before, end.damage) = (Some(i), Some(damage));
    }
    Ok(end)
}

fn is_empty(storage: &dyn Storage, name: &str) -> Result<bool, Failure> {
    let mut file = storage.read(name).map_err(io_of(name))?;
    Ok(file.read(&mut [0]).map_err(io_of(name))? == 0)
}

/// A log that is written.
pub struct Log {
    storage: Arc<dyn Storage>,
    names: Names,
    manifest: Manifest,
    file: Box<dyn Appending>,
    /// Bytes of the file, and those of them that are durable.
    len: u64,
    synced: u64,
    /// The number of the next block.
    block: u64,
    /// There may be more in the file than `len`.
    torn: bool,
    /// The file has been changed since it was synced.
    dirty: bool,
    /// The manifest does not name the increment before its base is there: see [`Log::start`].
    unnamed: bool,
    /// The second that was told last.
    stamped_s: Option<i64>,
}

impl Log {
    /// Goes on with a log that has been read.
    pub fn resume(
        storage: Arc<dyn Storage>,
        names: Names,
        manifest: Manifest,
        end: End,
    ) -> io::Result<Log> {
        let Some(last) = manifest.increments.last() else {
            return Log::begin(storage, names, manifest, false);
        };
        if let (Some(before), Some(damage)) = (end.before, end.damage)
            && let Some(before) = manifest.increments.get(before)
        {
            let mut before = storage.open(&name_of(before))?;
            before.truncate(damage.at)?;
            before.sync()?;
        }
        let mut file = storage.open(&name_of(last))?;
        if file.size()? != end.len {
            file.truncate(end.len)?;
        }
        // What is there may have been written by somebody who has not synced it.
        file.sync()?;
        storage.sync_names()?;
        let mut log = Log {
            storage,
            names,
            manifest,
            file,
            len: end.len,
            synced: end.len,
            block: end.block.map_or(1, |block| block + 1),
            torn: false,
            dirty: false,
            unnamed: false,
            stamped_s: None,
        };
        log.clear_history();
        Ok(log)
    }

    /// Begins a log whose base is still to be written: it counts from [`Log::install`] on.
    pub fn start(storage: Arc<dyn Storage>, names: Names, manifest: Manifest) -> io::Result<Log> {
        Log::begin(storage, names, manifest, true)
    }

    fn begin(
        storage: Arc<dyn Storage>,
        names: Names,
        mut manifest: Manifest,
        unnamed: bool,
    ) -> io::Result<Log> {
        let seq = manifest.next_increment();
        let name = names.increment(seq);
        let file = empty(&*storage, &name)?;
        if unnamed {
            // What an older log had is not the beginning of this one.
            manifest.retire();
        }
        manifest.increments.push(named(name, seq));
        let log = Log {
            storage,
            names,
            manifest,
            file,
            len: 0,
            synced: 0,
            block: 1,
            torn: false,
            dirty: false,
            unnamed,
            stamped_s: None,
        };
        if !unnamed {
            log.publish(&log.manifest)?;
        }
        Ok(log)
    }

    /// Writes one block, and before it, if `time_s` tells one, which second it is, once a second. When it fails,
    /// nothing of it counts, and it can be tried again.
    pub fn append(&mut self, commands: &[u8], time_s: Option<i64>) -> io::Result<()> {
        self.mend()?;
        let stamp = match time_s {
            Some(now) if self.stamped_s != time_s => format!("#TS:{now}\r\n").into_bytes(),
            _ => Vec::new(),
        };
        let sum = |crc| crc64::update(crc, commands);
        let (head, tail) = frame(self.block, self.synced, sum);
        (self.torn, self.dirty) = (true, true);
        self.file.append(&[&stamp, &head, commands, &tail])?;
        self.torn = false;
        self.stamped_s = time_s;
        self.len += (stamp.len() + head.len() + commands.len() + tail.len()) as u64;
        self.block += 1;
        Ok(())
    }

    /// Takes away what a block that failed has left.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.dirty = true;
            self.file.truncate(self.len)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Makes all blocks durable.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync()?;
            (self.synced, self.dirty) = (self.len, false);
        }
        Ok(())
    }

    pub fn is_synced(&self) -> bool {
        !self.dirty
    }

    /// Bytes of the increment that is written.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Goes on in a new increment. What has been written is durable then.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.mend()?;
        self.sync()?;
        let seq = self.manifest.next_increment();
        let name = self.names.increment(seq);
        let file = empty(&*self.storage, &name)?;
        let mut manifest = self.manifest.clone();
        manifest.increments.push(named(name, seq));
        if !self.unnamed {
            self.publish(&manifest)?;
        }
        self.manifest = manifest;
        self.file = file;
        (self.len, self.synced, self.block) = (0, 0, 1);
        Ok(())
    }

    /// Has a file, which is durable, be the base of the last increment. All before it is deleted.
    pub fn install(&mut self, temporary: &str, form: Form) -> io::Result<()> {
        self.mend()?;
        // The base says what led to it, so that may go; what came after is in this increment.
        self.sync()?;
        let mut manifest = self.manifest.clone();
        let seq = manifest.next_base();
        let name = self.names.base(seq, form);
        self.storage.rename(temporary, &name)?;
        self.storage.sync_names()?;
        let last = manifest.increments.pop();
        manifest.retire();
        manifest.base = Some(named(name, seq));
        manifest.increments.extend(last);
        self.publish(&manifest)?;
        self.manifest = manifest;
        self.unnamed = false;
        self.clear_history();
        Ok(())
    }

    fn publish(&self, manifest: &Manifest) -> io::Result<()> {
        publish(&*self.storage, &self.names, manifest)
    }

    /// Deletes what is superfluous. Whatever is left over is deleted the next time.
    fn clear_history(&mut self) {
        let mut history = std::mem::take(&mut self.manifest.history);
        if history.is_empty() {
            return;
        }
        history.retain(|file| match self.storage.remove(&name_of(file)) {
            Ok(()) => false,
            Err(e) => e.kind() != io::ErrorKind::NotFound,
        });
        self.manifest.history = history;
        // It names files that have gone, which harms nobody.
        let _ = self.publish(&self.manifest);
    }
}

/// A base of commands that is written.
pub struct CommandFile {
    end: Tail,
    /// The number of the next block.
    block: u64,
}

impl CommandFile {
    pub fn begin(file: Box<dyn Appending>) -> CommandFile {
        CommandFile {
            end: Tail::new(file),
            block: 1,
        }
    }

    /// Writes a block.
    pub fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let sum = |crc| crc64::combine(crc, chunk.crc, chunk.bytes.len() as u64);
        let (head, tail) = frame(self.block, 0, sum);
        self.block += 1;
        self.end.append(&[&head, &chunk.bytes, &tail])
    }

    /// Ends the file, which is durable then.
    pub fn finish(mut self) -> io::Result<()> {
        self.end.sync()
    }
}

/// What stands around a block; `sum` goes on with a checksum over what is in it.
fn frame(number: u64, synced: u64, sum: impl FnOnce(u64) -> u64) -> (Vec<u8>, Vec<u8>) {
    let head = scan::head(number, synced);
    let crc = sum(crc64::update(0, &head));
    (head, scan::tail(number, crc))
}

/// A new file, which is there for good.
fn empty(storage: &dyn Storage, name: &str) -> io::Result<Box<dyn Appending>> {
    let mut file = storage.create(name)?;
    file.sync()?;
    storage.sync_names()?;
    Ok(file)
}

/// Replaces the manifest.
pub fn publish(storage: &dyn Storage, names: &Names, manifest: &Manifest) -> io::Result<()> {
    let name = names.manifest();
    let temporary = Names::temporary(&name);
    let mut file = storage.create(&temporary)?;
    file.append(&[&manifest.to_text()])?;
    file.sync()?;
    storage.rename(&temporary, &name)?;
    storage.sync_names()
}

/// The name of a base that is being written.
pub fn temporary_base(names: &Names) -> String {
    Names::temporary(&format!("rewrite-{}", names.prefix))
}

/// The manifest of a log that begins with a base of this name, and the name.
pub fn first_base(names: &Names) -> (Manifest, String) {
    let name = names.base(1, Form::Dump);
    (manifest_of_base(name.clone()), name)
}

/// The manifest of a log that has a base and nothing else.
pub fn manifest_of_base(name: String) -> Manifest {
    Manifest {
        base: Some(named(name, 1)),
        ..Manifest::default()
    }
}

fn named(name: String, seq: i64) -> File {
    File {
        name: name.into_bytes(),
        seq,
        start_offset: None,
        end_offset: None,
    }
}

pub fn name_of(file: &File) -> String {
    String::from_utf8_lossy(&file.name).into_owned()
}
