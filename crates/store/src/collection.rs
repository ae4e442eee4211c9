//! Reading and changing the collection at a key.
//!
//! A collection that is open for writing is out of its entry, as a value on the stack, and is put back
//! when the guard goes: there the key is removed if nothing is left in it. Since the guard borrows the
//! shard, nothing else can happen to the key meanwhile.

use crate::entry::{Entry, Kind, NewValue};
use crate::event::Class;
use crate::hash::{Hash, Swept};
use crate::random::Random;
use crate::shard::{Expiry, Held, Key, Look, Shard, WrongType};
use crate::value::{Collection, Value};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// A key's collection, open for writing.
pub struct Open<'a, T: Collection> {
    shard: &'a mut Shard,
    db: usize,
    hash: u64,
    entry: Entry,
    value: ManuallyDrop<T>,
}

impl Shard {
    /// The collection at a key, `None` if it is absent.
    #[inline]
    pub fn read<T: Collection>(
        &mut self,
        db: usize,
        key: Key<'_>,
        look: Look,
    ) -> Result<Option<Held<'_, T>>, WrongType> {
        self.look(db, key, look).map(|item| item.held()).transpose()
    }

    /// The collection at a key, for writing; `None` if it is absent. It counts as a use of the key.
    #[inline]
    pub fn open<T: Collection>(
        &mut self,
        db: usize,
        key: Key<'_>,
    ) -> Result<Option<Open<'_, T>>, WrongType> {
        match self.live(db, key) {
            None => Ok(None),
            Some((_, entry)) => self.opened_for_use(db, key.hash, entry).map(Some),
        }
    }

    /// The collection at a key, for writing; a new one if the key is absent.
    #[inline]
    pub fn create<T: Collection>(
        &mut self,
        db: usize,
        key: Key<'_>,
    ) -> Result<Open<'_, T>, WrongType> {
        if let Some((_, entry)) = self.live(db, key) {
            return self.opened_for_use(db, key.hash, entry);
        }
        let value = NewValue::Word(T::TYPE, T::default().into_word());
        let entry = Entry::create(&mut self.slab, key.bytes, value, None);
        entry.set_access(self.stamp().fresh());
        self.attach(db, key.hash, entry);
        self.opened(db, key.hash, entry)
    }

    #[inline]
    fn opened_for_use<T: Collection>(
        &mut self,
        db: usize,
        hash: u64,
        entry: Entry,
    ) -> Result<Open<'_, T>, WrongType> {
        if entry.kind() == Kind::of(T::TYPE) && !self.no_touch {
            self.touch(entry);
        }
        self.opened(db, hash, entry)
    }

    /// The collection of an entry, for writing that does not count as a use of the key.
    #[inline]
    pub(crate) fn opened<T: Collection>(
        &mut self,
        db: usize,
        hash: u64,
        entry: Entry,
    ) -> Result<Open<'_, T>, WrongType> {
        let word = match entry.word() {
            Some((value_type, word)) if value_type == T::TYPE => word,
            _ => return Err(WrongType),
        };
        self.before_change(db, hash);
        Ok(Open {
            shard: self,
            db,
            hash,
            entry,
            // SAFETY: the word is of this type; the entry gets what it has become before it is looked
            // at again.
            value: ManuallyDrop::new(unsafe { T::from_word(word) }),
        })
    }

    /// Makes a key hold a collection, whatever was there. An empty one removes the key.
    pub fn put(&mut self, db: usize, key: Key<'_>, value: impl Into<Value>, expiry: Expiry) {
        let value = value.into();
        if value.is_empty() {
            self.remove(db, key);
            return;
        }
        self.note_size(value.len());
        let due_ms = value.due_ms();
        let (value_type, word) = value.into_parts();
        self.set(db, key, NewValue::Word(value_type, word), None, expiry);
        self.note_due(db, key.hash, due_ms);
    }
}

impl<T: Collection> Open<'_, T> {
    /// Puts the collection back. `changed` says whether anything has changed, which counts as one
    /// change.
    pub fn close(mut self, changed: bool) {
        if changed {
            self.shard.changes += 1;
            self.note();
        }
    }

    /// [`Open::close`], and says what has happened if something has, and that the key has gone if nothing
    /// is left.
    #[inline]
    pub fn close_as(self, changed: bool, class: Class, event: &'static str) {
        let mut open = self;
        if changed {
            open.notify(class, event);
        }
        open.close(changed);
    }

    /// Says what has happened to the key, and that it has gone if nothing is left.
    #[inline]
    pub fn notify(&mut self, class: Class, event: &'static str) {
        let gone = self.value.is_empty();
        let (db, entry) = (self.db, self.entry);
        self.shard.notify_loss(class, event, db, entry.key(), gone);
    }

    /// Tells those who want to know that the key has changed.
    #[inline]
    fn note(&mut self) {
        if self.shard.observed {
            let (db, hash, entry) = (self.db, self.hash, self.entry);
            self.shard.note_change(db, hash, entry.key());
        }
    }

    /// A source of random numbers, for drawing elements.
    pub fn random(&mut self) -> Random {
        Random::new(self.shard.random())
    }

    /// Unix time in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.shard.now_ms()
    }
}

impl Open<'_, Hash> {
    /// Removes a field; false if it was absent, or its time had come.
    pub fn take(&mut self, field: &[u8], now_ms: i64) -> bool {
        let before = self.len();
        let removed = self.remove(field, now_ms);
        if self.shard.notes_losses && !removed && self.len() < before {
            let (db, entry) = (self.db, self.entry);
            self.shard.note_loss(db, entry.key(), vec![field.into()]);
        }
        removed
    }

    /// Removes fields whose time has come, and puts the hash back.
    pub(crate) fn sweep_away(mut self, now_ms: i64, budget: usize) -> Swept {
        let mut gone = Vec::new();
        let names = self.shard.notes_losses;
        let swept = self.sweep(now_ms, budget, |field| {
            if names {
                gone.push(field.into());
            }
        });
        if swept.removed > 0 {
            self.notify(Class::HASH, "hexpired");
            self.note();
            let (db, entry) = (self.db, self.entry);
            self.shard.note_loss(db, entry.key(), gone);
        }
        swept
    }
}

impl<T: Collection> Deref for Open<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Collection> DerefMut for Open<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Collection> Drop for Open<'_, T> {
    #[inline]
    fn drop(&mut self) {
        debug_assert!(self.entry.kind() == Kind::of(T::TYPE));
        let empty = self.value.is_empty();
        self.shard.note_size(self.value.len());
        let due_ms = self.value.due_ms();
        // SAFETY: the guard is going, and nobody looks at the value in it again.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        self.entry.set_word(value.into_word());
        if empty {
            self.shard.drop_entry(self.db, self.hash, self.entry);
        } else {
            self.shard.note_due(self.db, self.hash, due_ms);
        }
    }
}
