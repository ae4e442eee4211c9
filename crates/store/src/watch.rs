//! Who wants to know of changes: keys that somebody watches, and a log of all keys that have changed.
//!
//! A watched key has a version, which every change of the key moves on. Whoever watches remembers the
//! version, and whether the key was there; if both are the same later, nothing has happened to it. The
//! log is for the host, which empties it after every command: clients that wait for a key, or have its
//! value cached, learn from it what has changed. Neither costs anything while nobody wants it.

use crate::shard::{Key, Look, Shard};
use ahash::AHashMap;

/// What a watched key was like when it began to be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub version: u64,
    pub exists: bool,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This key has changed, or has gone.
    Key {
        db: usize,
        hash: u64,
        key: Box<[u8]>,
    },
    /// All keys of a database have gone.
    Flushed(usize),
    /// These databases have each other's keys now.
    Swapped(usize, usize),
}

/// Something that has gone because its time had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    pub db: usize,
    pub key: Box<[u8]>,
    /// The fields of a hash; none if it is the key itself.
    pub fields: Vec<Box<[u8]>>,
}

struct Watched {
    version: u64,
    watchers: usize,
    key: Box<[u8]>,
}

#[derive(Default)]
pub(crate) struct Watches {
    keys: AHashMap<(usize, u64), Watched>,
    log: Vec<Change>,
    logs: bool,
}

impl Shard {
    /// Watches a key, until [`Shard::unwatch`] is called as often.
    pub fn watch(&mut self, db: usize, key: Key<'_>) -> Seen {
        let exists = self.look(db, key, Look::Peek).is_some();
        let new = || Watched {
            version: 0,
            watchers: 0,
            key: key.bytes.into(),
        };
        let keys = &mut self.watches.keys;
        let watched = keys.entry((db, key.hash)).or_insert_with(new);
        watched.watchers += 1;
        let version = watched.version;
        self.note_watches();
        Seen { version, exists }
    }

    pub fn unwatch(&mut self, db: usize, hash: u64) {
        if let Some(watched) = self.watches.keys.get_mut(&(db, hash)) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                self.watches.keys.remove(&(db, hash));
            }
        }
        self.note_watches();
    }

    /// Whether a watched key is as it was seen. A key whose time has come is not there.
    pub fn is_as_seen(&mut self, db: usize, key: Key<'_>, seen: Seen) -> bool {
        let exists = self.look(db, key, Look::Peek).is_some();
        let watched = self.watches.keys.get(&(db, key.hash));
        exists == seen.exists && watched.is_some_and(|watched| watched.version == seen.version)
    }

    /// Keys that are watched.
    pub fn watched(&self) -> usize {
        self.watches.keys.len()
    }

    /// Begins or ends the log of changes.
    pub fn log_changes(&mut self, on: bool) {
        self.watches.logs = on;
        self.note_watches();
    }

    #[inline]
    pub fn has_logged(&self) -> bool {
        !self.watches.log.is_empty()
    }

    /// What has changed since it was asked last, into an empty vector.
    pub fn take_log(&mut self, into: &mut Vec<Change>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut self.watches.log, into);
    }

    fn note_watches(&mut self) {
        self.observed = self.watches.logs || !self.watches.keys.is_empty();
    }

    /// Notes from now on what time takes away, or does not any more.
    pub fn note_losses(&mut self, on: bool) {
        self.notes_losses = on;
        self.losses.clear();
    }

    #[inline]
    pub fn has_losses(&self) -> bool {
        !self.losses.is_empty()
    }

    /// What time has taken away since it was asked last.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    #[inline]
    pub(crate) fn note_loss(&mut self, db: usize, key: &[u8], fields: Vec<Box<[u8]>>) {
        if self.notes_losses {
            let key = key.into();
            self.losses.push(Loss { db, key, fields });
        }
    }

    /// Counts a change of a key.
    #[inline]
    pub(crate) fn changed(&mut self, db: usize, hash: u64, key: &[u8]) {
        self.changes += 1;
        if self.observed {
            self.note_change(db, hash, key);
        }
    }

    /// Tells those who want to know that a key is another, or has gone.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_change(&mut self, db: usize, hash: u64, key: &[u8]) {
        let Watches { keys, log, logs } = &mut self.watches;
        if let Some(watched) = keys.get_mut(&(db, hash)) {
            watched.version += 1;
        }
        if *logs {
            log.push(Change::Key {
                db,
                hash,
                key: key.into(),
            });
        }
    }

    /// Before all keys of a database go.
    pub(crate) fn note_flush(&mut self, db: usize) {
        if self.observed {
            self.move_on(|watched_db| watched_db == db);
            if self.watches.logs {
                self.watches.log.push(Change::Flushed(db));
            }
        }
    }

    /// Before two databases are exchanged.
    pub(crate) fn note_swap(&mut self, a: usize, b: usize) {
        if self.observed {
            self.move_on(|db| db == a || db == b);
            // What is in the one comes into the other.
            self.spaces.swap(a, b);
            self.move_on(|db| db == a || db == b);
            self.spaces.swap(a, b);
            if self.watches.logs {
                self.watches.log.push(Change::Swapped(a, b));
            }
        }
    }

    /// Moves on the versions of watched keys that are there.
    fn move_on(&mut self, among: impl Fn(usize) -> bool) {
        let mut keys = std::mem::take(&mut self.watches.keys);
        for ((db, hash), watched) in keys.iter_mut().filter(|((db, _), _)| among(*db)) {
            let key = Key {
                bytes: &watched.key,
                hash: *hash,
            };
            watched.version += u64::from(self.look(*db, key, Look::Peek).is_some());
        }
        self.watches.keys = keys;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::NewValue;
    use crate::list::{End, List};
    use crate::shard::Expiry;

    fn shard() -> Shard {
        let mut shard = Shard::new(2, [1, 2, 3, 4]);
        shard.set_now(1000);
        shard
    }

    fn set(shard: &mut Shard, db: usize, name: &[u8]) {
        let key = shard.key(name);
        shard.set(db, key, NewValue::Int(1), None, Expiry::Clear);
    }

    /// Whether a watcher of `k` in database 0 sees that something happened.
    fn sees(prepare: impl FnOnce(&mut Shard), act: impl FnOnce(&mut Shard)) -> bool {
        let mut shard = shard();
        prepare(&mut shard);
        let key = shard.key(b"k");
        let seen = shard.watch(0, key);
        act(&mut shard);
        let same = shard.is_as_seen(0, key, seen);
        shard.unwatch(0, key.hash);
        assert!(shard.watched() == 0 && !shard.observed);
        !same
    }

    #[test]
    fn every_change_is_seen_and_nothing_else() {
        let absent = |_: &mut Shard| {};
        let there = |shard: &mut Shard| set(shard, 0, b"k");
        let push = |shard: &mut Shard, name: &[u8]| {
            let key = shard.key(name);
            let mut list = shard.create::<List>(0, key).expect("a list");
            list.push(End::Tail, b"x");
            list.close(true);
        };
        let remove = |shard: &mut Shard| {
            let key = shard.key(b"k");
            shard.remove(0, key);
        };
        assert!(!sees(absent, |_| {}));
        assert!(!sees(absent, |shard| set(shard, 0, b"other")));
        assert!(!sees(absent, |shard| set(shard, 1, b"k")));
        assert!(!sees(absent, remove));
        assert!(sees(absent, |shard| set(shard, 0, b"k")));
        assert!(sees(absent, |shard| push(shard, b"k")));
        assert!(!sees(absent, |shard| push(shard, b"other")));
        assert!(sees(there, remove));
        assert!(sees(there, |shard| set(shard, 0, b"k")));
        assert!(sees(absent, |shard| {
            set(shard, 0, b"k");
            remove(shard);
        }));
        let expire = |shard: &mut Shard| {
            let key = shard.key(b"k");
            shard.set_expiry(0, key, Some(2000));
        };
        assert!(sees(there, expire));
        let both = |shard: &mut Shard| {
            there(shard);
            expire(shard);
        };
        assert!(!sees(both, |shard| shard.set_now(2000)));
        assert!(sees(both, |shard| shard.set_now(2001)));
    }

    #[test]
    fn flushing_and_swapping_change_what_is_there() {
        let absent = |_: &mut Shard| {};
        let flush = |shard: &mut Shard| _ = shard.flush(0);
        assert!(!sees(absent, flush));
        assert!(sees(|shard| set(shard, 0, b"k"), flush));
        assert!(!sees(|shard| set(shard, 1, b"k"), flush));
        assert!(!sees(absent, |shard| shard.swap(0, 1)));
        assert!(sees(|shard| set(shard, 0, b"k"), |shard| shard.swap(0, 1)));
        assert!(sees(|shard| set(shard, 1, b"k"), |shard| shard.swap(1, 0)));
    }

    #[test]
    fn the_log_names_what_has_changed() {
        let mut shard = shard();
        set(&mut shard, 0, b"a");
        assert!(!shard.has_logged());
        shard.log_changes(true);
        set(&mut shard, 1, b"b");
        shard.flush(1);
        shard.swap(0, 1);
        let mut log = Vec::new();
        shard.take_log(&mut log);
        let hash = shard.key(b"b").hash;
        let key = Change::Key {
            db: 1,
            hash,
            key: (*b"b").into(),
        };
        assert_eq!(log, [key, Change::Flushed(1), Change::Swapped(0, 1)]);
        shard.log_changes(false);
        set(&mut shard, 0, b"c");
        assert!(!shard.has_logged());
    }
}
