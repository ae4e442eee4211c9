//! A shard beside a plain map, worked on by operations that are read off arbitrary bytes. Shared with
//! the fuzz targets.

use std::collections::BTreeMap;
use store::entry::NewValue;
use store::shard::Expiry;
use store::{Blob, Look, Shard, Str};

const DATABASES: usize = 3;

/// Lengths on both sides of every limit that entries have: length field of the key, inline or blob,
/// slab or allocator, growth in place.
const KEY_LENGTHS: [usize; 8] = [0, 1, 12, 253, 254, 255, 1016, 2000];
const VALUE_LENGTHS: [usize; 16] = [
    0, 1, 7, 8, 9, 16, 44, 255, 257, 990, 1000, 1008, 1016, 1024, 2500, 9000,
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    bytes: Vec<u8>,
    at: Option<i64>,
}

pub struct Rig {
    shard: Shard,
    model: Vec<BTreeMap<Vec<u8>, Value>>,
    now: i64,
    /// Blobs that somebody outside reads, and what they must go on to hold.
    lent: Vec<(Blob, Vec<u8>)>,
}

/// Bytes that decide; all zeros when they run out.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> usize {
        match self.0.split_first() {
            None => 0,
            Some((first, rest)) => {
                self.0 = rest;
                usize::from(*first)
            }
        }
    }

    fn short(&mut self) -> usize {
        self.byte() << 8 | self.byte()
    }

    /// One of not too many keys.
    fn key(&mut self) -> Vec<u8> {
        let b = self.byte();
        let mut key = vec![b'k'; KEY_LENGTHS[b % 8]];
        key.push(b'a' + (b / 8) as u8 % 8);
        key
    }

    fn db(&mut self) -> usize {
        self.byte() % DATABASES
    }

    fn value(&mut self) -> Vec<u8> {
        let b = self.byte();
        vec![b'a' + (b / 16) as u8; VALUE_LENGTHS[b % 16]]
    }

    fn expiry(&mut self, now: i64) -> Expiry {
        match self.byte() % 8 {
            0..3 => Expiry::Keep,
            3..5 => Expiry::Clear,
            5 => Expiry::At(now + 1_000_000),
            6 => Expiry::At(i64::MAX),
            _ => Expiry::At(now + self.byte() as i64),
        }
    }
}

fn text(value: Str<'_>) -> Vec<u8> {
    match value {
        Str::Int(v) => v.to_string().into_bytes(),
        Str::Bytes(b) => b.to_vec(),
        Str::Blob(b) => b.bytes().clone(),
    }
}

/// Runs the operations that `bytes` stand for and compares shard and map.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let seed = [choices.byte() as u64, 2, 3, 4];
    let mut rig = Rig {
        shard: Shard::new(DATABASES, seed),
        model: vec![BTreeMap::new(); DATABASES],
        now: 1_000_000,
        lent: Vec::new(),
    };
    rig.shard.set_now(rig.now);
    while !choices.0.is_empty() {
        rig.step(&mut choices);
    }
    rig.check();
    rig.finish();
}

impl Rig {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let op = choices.byte() % 24;
        let db = choices.db();
        // Expired keys are absent, for the model from the start.
        for space in &mut self.model {
            space.retain(|_, v| v.at.is_none_or(|at| at >= self.now));
        }
        match op {
            0..4 => self.set(db, choices),
            4 => self.set_int(db, choices),
            5 | 6 => {
                let name = choices.key();
                let key = self.shard.key(&name);
                let removed = self.shard.remove(db, key);
                assert_eq!(removed, self.model[db].remove(&name).is_some());
            }
            7 => self.set_expiry(db, choices),
            8 | 9 => self.edit(db, choices),
            10 => self.update_int(db, choices),
            11 | 12 => self.move_or_copy(db, choices),
            13 => {
                let other = choices.db();
                self.shard.swap(db, other);
                self.model.swap(db, other);
            }
            14 => {
                let keys = self.shard.flush(db);
                assert!(keys >= self.model[db].len());
                self.model[db].clear();
            }
            15 => self.random(db),
            16 => {
                self.shard.sweep_step(db, |_| true);
            }
            17 => self.shard.empty_trash_step(),
            18 => {
                self.now += [0, 1, 50, 2_000_000][choices.byte() % 4];
                self.shard.set_now(self.now);
            }
            19 => self.lend(db, choices),
            20 => {
                if !self.lent.is_empty() {
                    let n = choices.byte() % self.lent.len();
                    self.lent.swap_remove(n);
                }
            }
            21 => self.fill(db, choices),
            22 => self.thin(db, choices),
            _ => self.look(db, choices),
        }
    }

    fn set(&mut self, db: usize, choices: &mut Choices<'_>) {
        let name = choices.key();
        let bytes = choices.value();
        let expiry = choices.expiry(self.now);
        let key = self.shard.key(&name);
        let kept = self.model[db].get(&name).and_then(|v| v.at);
        match choices.byte() % 3 {
            0 => self.shard.set_built(db, key, bytes.clone(), expiry),
            own => {
                let owner = (own == 1).then(|| Blob::new(bytes.clone()));
                let value = NewValue::Bytes(&bytes);
                self.shard.set(db, key, value, owner.as_ref(), expiry);
                if let Some(owner) = owner {
                    self.lent.push((owner, bytes.clone()));
                }
            }
        }
        let at = match expiry {
            Expiry::Keep => kept,
            Expiry::Clear => None,
            Expiry::At(at) => Some(at),
        };
        self.model[db].insert(name, Value { bytes, at });
    }

    fn set_int(&mut self, db: usize, choices: &mut Choices<'_>) {
        let name = choices.key();
        let value = [0, -1, i64::MIN, i64::MAX, 12_345][choices.byte() % 5];
        let key = self.shard.key(&name);
        let int = NewValue::Int(value);
        self.shard.set(db, key, int, None, Expiry::Clear);
        let bytes = value.to_string().into_bytes();
        self.model[db].insert(name, Value { bytes, at: None });
    }

    fn set_expiry(&mut self, db: usize, choices: &mut Choices<'_>) {
        let name = choices.key();
        let at = match choices.expiry(self.now) {
            Expiry::At(at) => Some(at),
            Expiry::Keep | Expiry::Clear => None,
        };
        let key = self.shard.key(&name);
        let there = self.shard.set_expiry(db, key, at);
        let value = self.model[db].get_mut(&name);
        assert_eq!(there, value.is_some());
        if let Some(value) = value {
            value.at = at;
        }
    }

    fn edit(&mut self, db: usize, choices: &mut Choices<'_>) {
        let name = choices.key();
        let len = VALUE_LENGTHS[choices.byte() % 16];
        let write = choices.byte().is_multiple_of(2);
        let key = self.shard.key(&name);
        let (before, changed) = (self.shard.changes(), self.model[db].get(&name).cloned());
        let edit = |bytes: &mut [u8]| {
            let last = bytes.last_mut().filter(|_| write);
            let changed = last.is_some();
            if let Some(last) = last {
                *last = last.wrapping_add(1);
            }
            (bytes.len(), changed)
        };
        let old = changed;
        let (seen, changed) = self
            .shard
            .edit_if(db, key, len, edit)
            .expect("strings only");
        assert_eq!(changed, self.shard.changes() != before);
        let bytes = old.as_ref().map_or(&[][..], |v| &v.bytes);
        let mut bytes = bytes.to_vec();
        bytes.resize(len.max(bytes.len()), 0);
        assert_eq!(seen, bytes.len());
        if let Some(last) = bytes.last_mut().filter(|_| write) {
            *last = last.wrapping_add(1);
        }
        if old.as_ref().is_none_or(|v| v.bytes != bytes) {
            assert!(changed, "a change goes unnoticed");
        }
        let at = old.and_then(|v| v.at);
        if changed || self.model[db].contains_key(&name) {
            self.model[db].insert(name, Value { bytes, at });
        }
    }

    fn update_int(&mut self, db: usize, choices: &mut Choices<'_>) {
        let name = choices.key();
        let refuse = choices.byte().is_multiple_of(4);
        let key = self.shard.key(&name);
        let mut old = None;
        let result = self.shard.update_int(db, key, |value| {
            old = value.map(text);
            if refuse { Err(()) } else { Ok(77) }
        });
        assert_eq!(result.is_err(), refuse);
        assert_eq!(old.as_ref(), self.model[db].get(&name).map(|v| &v.bytes));
        if !refuse {
            let value = self.model[db].entry(name);
            let value = value.or_insert(Value {
                bytes: Vec::new(),
                at: None,
            });
            value.bytes = b"77".to_vec();
        }
    }

    fn move_or_copy(&mut self, db: usize, choices: &mut Choices<'_>) {
        let (from, to, to_db) = (choices.key(), choices.key(), choices.db());
        if from == to && db == to_db {
            return;
        }
        let (a, b) = (self.shard.key(&from), self.shard.key(&to));
        let copy = choices.byte().is_multiple_of(2);
        let done = if copy {
            self.shard.copy(db, a, to_db, b)
        } else {
            self.shard.rename(db, a, to_db, b)
        };
        let value = self.model[db].get(&from).cloned();
        assert_eq!(done, value.is_some());
        if let Some(value) = value {
            if !copy {
                self.model[db].remove(&from);
            }
            self.model[to_db].insert(to, value);
        }
    }

    fn random(&mut self, db: usize) {
        match self.shard.random_key(db) {
            None => assert!(self.model[db].is_empty()),
            Some(key) => assert!(self.model[db].contains_key(&key)),
        }
    }

    /// Keeps a long value, as a reply in flight does.
    fn lend(&mut self, db: usize, choices: &mut Choices<'_>) {
        let name = choices.key();
        let key = self.shard.key(&name);
        if let Some(item) = self.shard.look(db, key, Look::Use)
            && let Ok(Str::Blob(blob)) = item.str()
        {
            let bytes = blob.bytes().clone();
            self.lent.push((blob.share(), bytes));
        }
    }

    /// Adds many keys, so that groups grow and split.
    fn fill(&mut self, db: usize, choices: &mut Choices<'_>) {
        let from = choices.short() % 4096;
        let volatile = choices.byte().is_multiple_of(2);
        for i in from..from + choices.byte() {
            let name = format!("n{i}").into_bytes();
            let key = self.shard.key(&name);
            let at = volatile.then_some(self.now + i as i64 % 100);
            let expiry = at.map_or(Expiry::Clear, Expiry::At);
            self.shard
                .set(db, key, NewValue::Int(i as i64), None, expiry);
            let bytes = i.to_string().into_bytes();
            self.model[db].insert(name, Value { bytes, at });
        }
    }

    /// Removes many keys, so that groups shrink and merge.
    fn thin(&mut self, db: usize, choices: &mut Choices<'_>) {
        let from = choices.short() % 4096;
        for i in from..from + choices.byte() * 4 {
            let name = format!("n{i}").into_bytes();
            let key = self.shard.key(&name);
            let removed = self.shard.remove(db, key);
            assert_eq!(removed, self.model[db].remove(&name).is_some());
        }
    }

    fn look(&mut self, db: usize, choices: &mut Choices<'_>) {
        let names: Vec<Vec<u8>> = (0..choices.byte() % 5).map(|_| choices.key()).collect();
        let keys: Vec<_> = names.iter().map(|n| self.shard.key(n)).collect();
        for key in &keys {
            self.shard.prefetch_word(db, key.hash);
            self.shard.prefetch_bucket(db, key.hash);
            self.shard.prefetch_entry(db, key.hash);
        }
        let look = [Look::Use, Look::Touch, Look::Ask, Look::Peek][choices.byte() % 4];
        let items = self.shard.look_all(db, keys, look);
        for (name, item) in names.iter().zip(items) {
            let got = item.map(|i| (i.key().to_vec(), text(i.str().unwrap()), i.expiry()));
            let want = self.model[db].get(name);
            assert_eq!(got, want.map(|v| (name.clone(), v.bytes.clone(), v.at)));
        }
    }

    /// Compares everything, once what has expired is gone.
    fn check(&mut self) {
        for db in 0..DATABASES {
            self.model[db].retain(|_, v| v.at.is_none_or(|at| at >= self.now));
            let mut seen = BTreeMap::new();
            self.shard.for_each(db, |item| {
                let bytes = text(item.str().expect("strings only"));
                let at = item.expiry();
                let value = Value { bytes, at };
                assert_eq!(seen.insert(item.key().to_vec(), value), None);
            });
            assert!(seen == self.model[db], "database {db} differs");
            // The first round may have begun in the middle.
            for _ in 0..2 {
                while !self.shard.sweep_step(db, |_| true).wrapped {}
            }
            assert_eq!(self.shard.len(db), self.model[db].len());
            let volatile = self.model[db].values().filter(|v| v.at.is_some());
            assert_eq!(self.shard.volatile(db), volatile.count());
        }
        for (blob, bytes) in &self.lent {
            assert!(**blob == *bytes, "a value changed while it was read");
        }
        while self.shard.has_trash() {
            self.shard.empty_trash_step();
        }
        let mut blobs = 0;
        for db in 0..DATABASES {
            self.shard.for_each(db, |item| {
                if let Ok(Str::Blob(blob)) = item.str() {
                    blobs += blob.bytes().capacity();
                }
            });
        }
        let cells = self.shard.slab_stats().allocated;
        assert_eq!(
            self.shard.memory(),
            cells + blobs,
            "blobs are accounted for"
        );
    }

    fn finish(mut self) {
        for db in 0..DATABASES {
            self.shard.flush(db);
        }
        while self.shard.has_trash() {
            self.shard.empty_trash_step();
        }
        assert_eq!(self.shard.memory(), 0, "everything was freed");
        drop(self.shard);
        for (blob, bytes) in &self.lent {
            assert!(**blob == *bytes);
            assert!(std::sync::Arc::strong_count(blob) <= self.lent.len());
        }
    }
}
