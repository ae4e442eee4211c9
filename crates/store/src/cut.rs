//! A picture of all keys as they are at one moment, taken while they go on changing.
//!
//! From [`Shard::begin_cut`] on the shard walks through its databases in hash order, a bucket a step, and
//! hands every key to a [`Sink`]. A key that is about to change, and that the walk has not reached, is handed
//! over first, and noted, so that the walk passes over it. A key that comes into being is noted too: it is no
//! part of the picture. So each key is handed over at most once, as it was when the cut began.
//!
//! A sink that cannot take a value between two commands, because it is large, takes a [picture](crate::picture)
//! of it.
//!
//! A database that is emptied keeps its table until the walk has gone through it; what is stored in its place
//! is not in the picture.

use crate::access::Stamp;
use crate::entry::Entry;
use crate::shard::{Item, Shard, item};
use crate::table::{CURSOR_BITS, Table};
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// What takes the keys of a cut.
pub trait Sink: Send {
    /// A key of a database, and how its use is to be read.
    fn keep(&mut self, db: usize, item: &Item<'_>, stamp: Stamp);
}

pub(crate) struct Cut {
    sink: Box<dyn Sink>,
    walks: Vec<Walk>,
    /// For each database, the walk through what was in it when the cut began, unless it was emptied since.
    live: Vec<Option<usize>>,
}

/// The keys of one database.
struct Walk {
    /// Its number when the cut began.
    db: usize,
    /// Its table, if the database has been emptied since.
    detached: Option<Table>,
    /// What stands before this cursor has been handed over.
    cursor: u64,
    done: bool,
    /// Hashes of keys behind the cursor that are handed over, or were not there.
    noted: Noted,
}

/// Hashes, in many small sets by their first bits: none is ever so large that growing it is felt, and those
/// that the walk has passed go.
#[derive(Default)]
struct Noted {
    parts: Vec<HashSet<u64, BuildHasherDefault<Spread>>>,
    len: usize,
}

impl Noted {
    const BITS: u32 = 12;

    fn part(hash: u64) -> usize {
        (hash >> (64 - Self::BITS)) as usize
    }

    /// Notes a hash; false if it was noted.
    fn insert(&mut self, hash: u64) -> bool {
        if self.parts.is_empty() {
            self.parts.resize_with(1 << Self::BITS, HashSet::default);
        }
        let is_new = self.parts[Self::part(hash)].insert(hash);
        self.len += usize::from(is_new);
        is_new
    }

    fn contains(&self, hash: u64) -> bool {
        self.len > 0 && self.parts[Self::part(hash)].contains(&hash)
    }

    /// Forgets what stands before a cursor; up to `from` that has been done.
    fn forget(&mut self, from: u64, to: u64) {
        let part = |cursor: u64| Self::part(cursor << (64 - CURSOR_BITS));
        if self.len > 0 && part(from) < part(to) {
            for part in &mut self.parts[part(from)..part(to)] {
                self.len -= part.len();
                *part = HashSet::default();
            }
        }
    }
}

/// What is kept are hashes, and keyed ones; but those of a set begin alike.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The cursor at which a hash stands.
fn place(hash: u64) -> u64 {
    hash >> (64 - CURSOR_BITS)
}

impl Shard {
    /// Begins a cut; there is one at a time.
    pub fn begin_cut(&mut self, sink: Box<dyn Sink>) {
        assert!(self.cut.is_none(), "one cut at a time");
        let walk = |db| Walk {
            db,
            detached: None,
            cursor: 0,
            done: self.is_empty(db),
            noted: Noted::default(),
        };
        let databases = 0..self.spaces.len();
        self.cut = Some(Box::new(Cut {
            sink,
            walks: databases.clone().map(walk).collect(),
            live: databases.map(Some).collect(),
        }));
    }

    /// Whether a cut has begun and not ended.
    #[inline]
    pub fn has_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Hands over the keys of the next bucket; false when there is none left.
    pub fn cut_step(&mut self) -> bool {
        let Some(mut cut) = self.cut.take() else {
            return false;
        };
        let next = cut.walks.iter().position(|walk| !walk.done);
        if let Some(i) = next {
            let db = cut.live.iter().position(|live| *live == Some(i));
            let Cut { sink, walks, .. } = &mut *cut;
            let walk = &mut walks[i];
            let detached = walk.detached.take();
            let table = match (&detached, db) {
                (Some(table), _) => table,
                (None, Some(db)) => &self.spaces[db].table,
                (None, None) => unreachable!("what was emptied is detached"),
            };
            let (from, db, stamp) = (walk.cursor, walk.db, self.stamp());
            let noted = &mut walk.noted;
            let next = table.scan(from, |entry, _| {
                let item = item(entry);
                let hash = self.key(item.key()).hash;
                // Those before the cursor are met again when the table has shrunk.
                if place(hash) < from || noted.contains(hash) {
                    return;
                }
                sink.keep(db, &item, stamp);
            });
            walk.cursor = next;
            walk.done = next == 0;
            match walk.done {
                true => walk.noted = Noted::default(),
                false => walk.noted.forget(from, next),
            }
            match detached {
                Some(table) if walk.done => self.trash.add_table(table),
                detached => walk.detached = detached,
            }
        }
        let more = cut.walks.iter().any(|walk| !walk.done);
        self.cut = Some(cut);
        more
    }

    /// Ends a cut, whether the walk is over or not. The sink goes.
    pub fn end_cut(&mut self) {
        let Some(cut) = self.cut.take() else {
            return;
        };
        for table in cut.walks.into_iter().filter_map(|walk| walk.detached) {
            self.trash.add_table(table);
        }
    }

    /// Before a key changes, goes, or comes into being.
    #[inline(always)]
    pub(crate) fn before_change(&mut self, db: usize, hash: u64) {
        if self.cut.is_some() {
            self.keep_for_cut(db, hash);
        }
    }

    #[cold]
    #[inline(never)]
    fn keep_for_cut(&mut self, db: usize, hash: u64) {
        let Some(mut cut) = self.cut.take() else {
            return;
        };
        let Cut {
            sink, walks, live, ..
        } = &mut *cut;
        if let Some(walk) = live[db].map(|i| &mut walks[i])
            && !walk.done
            && place(hash) >= walk.cursor
            && walk.noted.insert(hash)
        {
            let (db_then, stamp) = (walk.db, self.stamp());
            // Every key with this hash: one note stands for all of them.
            self.spaces[db].table.find(hash, |entry| {
                let entry = Entry(entry);
                if self.key(entry.key()).hash == hash {
                    sink.keep(db_then, &item(entry.0), stamp);
                }
                false
            });
        }
        self.cut = Some(cut);
    }

    /// Takes the table of a database that is emptied, if the cut still needs it.
    pub(crate) fn keep_table(&mut self, db: usize, table: Table) -> Option<Table> {
        let walk = self.cut.as_mut().and_then(|cut| {
            let i = cut.live[db].take()?;
            Some(&mut cut.walks[i])
        });
        match walk {
            Some(walk) if !walk.done => {
                walk.detached = Some(table);
                None
            }
            _ => Some(table),
        }
    }

    /// Two databases are exchanged.
    pub(crate) fn swap_walks(&mut self, a: usize, b: usize) {
        if let Some(cut) = &mut self.cut {
            cut.live.swap(a, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::NewValue;
    use crate::list::{End, List};
    use crate::shard::Expiry;
    use crate::{Key, Look, Str};
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    /// What a key holds, as text, and its expiry.
    type Seen = (String, Option<i64>);
    type Picture = BTreeMap<(usize, Vec<u8>), Seen>;

    fn shown(item: &Item<'_>) -> Seen {
        let text = match item.str() {
            Ok(Str::Int(v)) => v.to_string(),
            Ok(Str::Bytes(b)) => String::from_utf8_lossy(b).into_owned(),
            Ok(Str::Blob(b)) => format!("{} bytes", b.bytes().len()),
            Err(_) => format!("{} elements", item.elements()),
        };
        (text, item.expiry())
    }

    struct Album(Arc<Mutex<Picture>>);

    impl Sink for Album {
        fn keep(&mut self, db: usize, item: &Item<'_>, _: Stamp) {
            let mut album = self.0.lock().expect("nobody panics");
            let before = album.insert((db, item.key().to_vec()), shown(item));
            assert!(before.is_none(), "a key is handed over once");
        }
    }

    fn all(shard: &Shard) -> Picture {
        let mut picture = Picture::new();
        for db in 0..shard.databases() {
            shard.for_each(db, |item| {
                picture.insert((db, item.key().to_vec()), shown(&item));
            });
        }
        picture
    }

    /// One random change of anything.
    fn change(shard: &mut Shard, random: &mut impl FnMut(u64) -> u64) {
        const DATABASES: u64 = 3;
        let db = random(DATABASES) as usize;
        let [name, other] = [(); 2].map(|()| format!("key:{}", random(600)));
        let (key, to) = (shard.key(name.as_bytes()), shard.key(other.as_bytes()));
        match random(400) {
            0 => _ = shard.flush(db),
            1 => shard.swap(db, random(DATABASES) as usize),
            n => match n % 10 {
                0 => _ = shard.remove(db, key),
                1 => _ = shard.set_expiry(db, key, Some(1000 + random(300) as i64)),
                2 => _ = shard.set_expiry(db, key, None),
                3 if name != other => _ = shard.rename(db, key, db, to),
                4 if name != other => _ = shard.copy(db, key, db, to),
                5 => push(shard, db, key),
                6 => _ = shard.edit(db, key, 3, |bytes| bytes[0] ^= 1),
                7 => {
                    // A collection there would belong to whoever gives back.
                    let item = shard.look(db, key, Look::Peek);
                    let is_free = item.is_none_or(|item| item.value().is_none());
                    let loan = shard.lend(db, to).filter(|_| is_free && name != other);
                    if loan.as_ref().is_some_and(|loan| loan.elements() == 0) {
                        shard.accept(db, key, loan.as_ref());
                    }
                }
                8 => {
                    let number = |old: Option<Str<'_>>| match old {
                        Some(Str::Int(v)) => Ok(v + 1),
                        None => Ok(0),
                        _ => Err(()),
                    };
                    _ = shard.update_int(db, key, number);
                }
                _ => {
                    let value = NewValue::Int(random(1000) as i64);
                    shard.set(db, key, value, None, Expiry::Keep);
                }
            },
        }
    }

    fn push(shard: &mut Shard, db: usize, key: Key<'_>) {
        if let Ok(mut list) = shard.create::<List>(db, key) {
            list.push(End::Tail, b"x");
            list.close(true);
        }
    }

    #[test]
    fn a_cut_shows_the_moment_at_which_it_began() {
        for seed in 1..=60u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = move |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 20) % below
            };
            let mut shard = Shard::new(3, [seed, 2, 3, 4]);
            shard.set_now(1000);
            for _ in 0..2000 {
                change(&mut shard, &mut random);
            }
            // Keys whose time has come are in the picture too: readers of it decide about them.
            let want = all(&shard);
            let album = Arc::new(Mutex::new(Picture::new()));
            shard.begin_cut(Box::new(Album(Arc::clone(&album))));
            let mut now = 1000;
            loop {
                for _ in 0..random(12) {
                    change(&mut shard, &mut random);
                }
                if random(4) == 0 {
                    now += 1;
                    shard.set_now(now);
                    shard.sweep_step(0, |_| true);
                }
                if !shard.cut_step() {
                    break;
                }
            }
            shard.end_cut();
            assert_eq!(*album.lock().expect("nobody panics"), want, "seed {seed}");
        }
    }

    #[test]
    fn a_cut_may_end_early() {
        let mut shard = Shard::new(1, [1, 2, 3, 4]);
        for i in 0..1000 {
            let name = format!("key:{i}");
            let key = shard.key(name.as_bytes());
            push(&mut shard, 0, key);
        }
        let album = Arc::new(Mutex::new(Picture::new()));
        shard.begin_cut(Box::new(Album(Arc::clone(&album))));
        assert!(shard.cut_step());
        shard.flush(0);
        shard.end_cut();
        assert!(!shard.has_cut() && shard.is_empty(0));
        while shard.has_trash() {
            shard.empty_trash_step();
        }
        let key = shard.key(b"key:1");
        assert!(shard.look(0, key, Look::Peek).is_none());
        assert!(album.lock().expect("nobody panics").len() < 1000);
    }
}
