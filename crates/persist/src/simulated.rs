//! A disk in memory that loses power: what was not synced is there afterwards, or not, or in parts.

use crate::storage::{Appending, Storage};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard};

/// What a disk writes as a whole, or not at all.
const SECTOR: usize = 512;

/// A small generator, so that a seed is all that a history needs.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// So many, times the scale of the tests.
pub fn scaled(count: u64) -> u64 {
    let scale = std::env::var("TEST_SCALE").ok();
    let scale = scale.and_then(|scale| scale.parse::<f64>().ok());
    (count as f64 * scale.unwrap_or(1.0)) as u64
}

/// Faults of a disk, or of who uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Planted {
    #[default]
    Nothing,
    /// A file's sync does nothing.
    FileSync,
    /// The sync of names does nothing.
    NameSync,
}

/// Which of so many operations have come about: those up to some moment, or any.
fn kept(operations: usize, dice: &mut Dice) -> Vec<bool> {
    let until = dice.below(operations as u64 + 1) as usize;
    let in_order = dice.chance(50);
    let kept = (0..operations).map(|i| match in_order {
        true => i < until,
        false => dice.chance(50),
    });
    kept.collect()
}

enum Write {
    Put { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Write>,
}

impl File {
    fn write(content: &mut Vec<u8>, write: &Write) {
        match write {
            Write::Put { at, bytes } => {
                let end = at + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*at..end].copy_from_slice(bytes);
            }
            Write::Cut(len) => content.truncate(*len),
        }
    }

    /// What is left of it without power.
    fn after_loss(&self, dice: &mut Dice) -> Vec<u8> {
        let mut content = self.durable.clone();
        let kept = kept(self.pending.len(), dice);
        for (write, kept) in self.pending.iter().zip(kept) {
            if kept {
                File::write(&mut content, write);
            } else if let Write::Put { at, bytes } = write
                && dice.chance(50)
            {
                // Some of its sectors, or its beginning.
                if dice.chance(50) {
                    let len = dice.below(bytes.len() as u64 + 1) as usize;
                    let bytes = bytes[..len].to_vec();
                    File::write(&mut content, &Write::Put { at: *at, bytes });
                    continue;
                }
                let mut from = 0;
                while from < bytes.len() {
                    let here = at + from;
                    let to = bytes.len().min(from + SECTOR - here % SECTOR);
                    if dice.chance(50) {
                        let bytes = bytes[from..to].to_vec();
                        File::write(&mut content, &Write::Put { at: here, bytes });
                    }
                    from = to;
                }
            }
        }
        content
    }
}

#[derive(Clone)]
enum Naming {
    Set(String, usize),
    Move(String, String),
    Remove(String),
}

type Names = BTreeMap<String, usize>;

fn name(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Set(name, file) => _ = names.insert(name.clone(), *file),
        Naming::Move(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Naming::Remove(name) => _ = names.remove(name),
    }
}

#[derive(Default)]
struct State {
    files: Vec<File>,
    names: Names,
    durable: Names,
    pending: Vec<Naming>,
    /// Operations that succeed before the power fails.
    power: u64,
    /// The next operation fails once.
    fails: bool,
    planted: Planted,
}

#[derive(Clone, Default)]
pub struct Simulated {
    state: Arc<Mutex<State>>,
}

struct Handle {
    disk: Simulated,
    file: usize,
}

fn gone() -> io::Error {
    io::Error::other("no power")
}

impl Simulated {
    pub fn new(planted: Planted) -> Simulated {
        let disk = Simulated::default();
        let mut state = disk.state();
        state.power = u64::MAX;
        state.planted = planted;
        drop(state);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Lets so many operations succeed.
    pub fn power_for(&self, operations: u64) {
        self.state().power = operations;
    }

    pub fn has_power(&self) -> bool {
        self.state().power > 0
    }

    /// Has the next operation fail, once.
    pub fn fail_once(&self) {
        self.state().fails = true;
    }

    fn act(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.power == 0 {
            return Err(gone());
        }
        state.power -= 1;
        if std::mem::take(&mut state.fails) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(state)
    }

    /// The disk as it is found when there is power again.
    pub fn after_loss(&self, dice: &mut Dice) -> Simulated {
        let state = self.state();
        let mut names = state.durable.clone();
        let kept = kept(state.pending.len(), dice);
        for (naming, kept) in state.pending.iter().zip(kept) {
            if kept {
                name(&mut names, naming);
            }
        }
        let files = state.files.iter().map(|file| {
            let content = file.after_loss(dice);
            File {
                durable: content.clone(),
                now: content,
                pending: Vec::new(),
            }
        });
        let files = files.collect();
        let after = Simulated::new(state.planted);
        let mut next = after.state();
        next.files = files;
        next.durable = names.clone();
        next.names = names;
        drop(next);
        after
    }

    /// Flips a bit of what is durable, somewhere in a file of this name; false if it has none.
    pub fn flip(&self, of: &str, dice: &mut Dice) -> bool {
        let mut state = self.state();
        let file = state.names.get(of).copied();
        let Some(file) = file.map(|i| &mut state.files[i]) else {
            return false;
        };
        if file.durable.is_empty() {
            return false;
        }
        let at = dice.below(file.durable.len() as u64) as usize;
        let bit = 1 << dice.below(8);
        file.durable[at] ^= bit;
        file.now.clone_from(&file.durable);
        true
    }
}

impl Storage for Simulated {
    fn create(&self, name: &str) -> io::Result<Box<dyn Appending>> {
        let mut state = self.act()?;
        // One that was there is emptied, as others may have it by another name.
        let file = match state.names.get(name).copied() {
            Some(file) => {
                let of = &mut state.files[file];
                of.now.clear();
                of.pending.push(Write::Cut(0));
                file
            }
            None => {
                state.files.push(File::default());
                let file = state.files.len() - 1;
                state.names.insert(name.to_owned(), file);
                state.pending.push(Naming::Set(name.to_owned(), file));
                file
            }
        };
        drop(state);
        Ok(Box::new(Handle {
            disk: self.clone(),
            file,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Appending>> {
        let state = self.act()?;
        let file = state.names.get(name).copied();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        drop(state);
        Ok(Box::new(Handle {
            disk: self.clone(),
            file,
        }))
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let state = self.act()?;
        let file = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(state.files[*file].now.clone())))
    }

    fn write_first(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.act()?;
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let write = Write::Put {
            at: 0,
            bytes: bytes.to_vec(),
        };
        let file = &mut state.files[file];
        File::write(&mut file.now, &write);
        file.pending.push(write);
        Ok(())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.act()?.names.contains_key(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.act()?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let naming = Naming::Move(from.to_owned(), to.to_owned());
        name(&mut state.names, &naming);
        state.pending.push(naming);
        Ok(())
    }

    fn remove(&self, of: &str) -> io::Result<()> {
        let mut state = self.act()?;
        if !state.names.contains_key(of) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let naming = Naming::Remove(of.to_owned());
        name(&mut state.names, &naming);
        state.pending.push(naming);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.act()?;
        if state.planted != Planted::NameSync {
            state.pending.clear();
            state.durable = state.names.clone();
        }
        Ok(())
    }
}

impl Appending for Handle {
    fn append(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let state = self.disk.act();
        let failed = state.is_err();
        // What fails may have come some way.
        let mut state = state.unwrap_or_else(|_| self.disk.state());
        let file = &mut state.files[self.file];
        let mut bytes = pieces.concat();
        if failed {
            bytes.truncate(bytes.len() / 2);
        }
        let at = file.now.len();
        let write = Write::Put { at, bytes };
        File::write(&mut file.now, &write);
        file.pending.push(write);
        match failed {
            true => Err(gone()),
            false => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.act()?;
        if state.planted != Planted::FileSync {
            let file = &mut state.files[self.file];
            file.durable.clone_from(&file.now);
            file.pending.clear();
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.act()?.files[self.file].now.len() as u64)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.act()?;
        let file = &mut state.files[self.file];
        file.now.truncate(len as usize);
        file.pending.push(Write::Cut(len as usize));
        Ok(())
    }
}
