//! The keyspace of one shard: databases of entries, and every primitive that the commands stand on.
//!
//! All functions are synchronous and take the database's index. A key comes with its hash, computed
//! once per command. Time is a field that the host sets before a batch; a key whose expiry has
//! passed is absent for every look-up and is removed by the first one that meets it.
//!
//! Unsafe code here calls the table and the entries by their contracts: a `Found` is used before the
//! table changes again, and an entry is freed when it has left its table.

use crate::access::{Access, Mode, Stamp};
use crate::cut::Cut;
use crate::entry::{self, Blob, Entry, NewValue, Str};
use crate::event::{Class, Event};
use crate::fields::Fields;
use crate::random::Random;
use crate::slab::{Slab, SlabStats};
use crate::table::{Found, Table, VOLATILE};
use crate::trash::Trash;
use crate::value::{Collection, Value};
use crate::watch::{Loss, Watches};
use ahash::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

/// A key and its hash.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
}

/// Whether a look-up counts as a use of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It stamps the key and counts as a hit or a miss.
    Use,
    /// It stamps the key only: look-ups of commands that write.
    Touch,
    /// It counts as a hit or a miss only: TTL, OBJECT, TYPE and their like ask about the key.
    Ask,
    /// Like `Ask`, and nobody is told of a miss.
    Count,
    /// It leaves no trace.
    Peek,
}

/// What becomes of the expiry of a key that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Keep,
    Clear,
    /// Unix time in milliseconds.
    At(i64),
}

/// The key holds another type than the operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// Counters since the start or the last reset.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    /// Keys removed because their time had come.
    pub expired: u64,
    /// Fields of hashes removed because their time had come, and nobody asked.
    pub expired_fields: u64,
}

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    String,
    List,
    Set,
    Hash,
    Zset,
    Stream,
}

impl Type {
    /// The name that TYPE answers.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::Hash => "hash",
            Type::Zset => "zset",
            Type::Stream => "stream",
        }
    }
}

pub(crate) struct Space {
    pub table: Table,
    /// Keys with an expiry.
    pub volatile: usize,
    /// Where the expiry sweep goes on.
    pub sweep: u64,
    /// Hashes of which fields will expire.
    pub fields: Fields,
}

impl Space {
    fn new() -> Space {
        Space {
            table: Table::new(),
            volatile: 0,
            sweep: 0,
            fields: Fields::default(),
        }
    }
}

/// Draws of [`Shard::random_key`] while keys are kept whose time has come.
const KEPT_TRIES: usize = 100;

pub struct Shard {
    pub(crate) spaces: Vec<Space>,
    pub(crate) slab: Slab,
    pub(crate) trash: Trash,
    hasher: RandomState,
    now_ms: i64,
    /// What time it is while `now_ms` stands still.
    stopped_ms: Option<i64>,
    stamp: Stamp,
    mode: Mode,
    /// Look-ups leave no access stamp: the client asked for NO-TOUCH.
    pub no_touch: bool,
    /// Keys whose time has come are hidden from readers but not removed: the data must not change
    /// while clients are paused. Who writes removes them still.
    pub keeps_expired: bool,
    /// Some keys, or all, are locked. Readers hide keys whose time has come and leave them where they
    /// are: who has a lock may still read as of an earlier time. Who writes has the key to itself.
    pub locked: bool,
    /// There is, or has been, a value so big that commands on it may have to run elsewhere.
    pub has_big: bool,
    pub stats: Stats,
    /// The earliest expiry, in Unix milliseconds, of the keys found since the host set this: until
    /// then the same look-ups find the same.
    pub soonest_ms: i64,
    pub(crate) blob_bytes: usize,
    pub(crate) changes: u64,
    pub(crate) watches: Watches,
    /// Somebody wants to know of changes: see [`crate::watch`].
    pub(crate) observed: bool,
    /// The events that are kept, and those that have been: see [`crate::event`].
    pub(crate) wanted: Class,
    pub(crate) events: Vec<Event>,
    /// What time takes away is noted: see [`crate::watch::Loss`].
    pub(crate) notes_losses: bool,
    pub(crate) losses: Vec<Loss>,
    /// A picture that is being taken: see [`crate::cut`].
    pub(crate) cut: Option<Box<Cut>>,
    random: Random,
}

/// A collection that is read where it is.
pub struct Held<'a, T> {
    value: ManuallyDrop<T>,
    shard: PhantomData<&'a Shard>,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A key that was found, with its value.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    pub(crate) entry: Entry,
    shard: PhantomData<&'a Shard>,
}

impl<'a> Item<'a> {
    pub(crate) fn new(entry: Entry) -> Item<'a> {
        Item {
            entry,
            shard: PhantomData,
        }
    }

    pub fn key(&self) -> &'a [u8] {
        self.entry.key()
    }

    pub fn value_type(&self) -> Type {
        self.entry.kind().value_type()
    }

    /// The string, if it is one.
    #[inline]
    pub fn str(&self) -> Result<Str<'a>, WrongType> {
        if self.entry.kind().is_string() {
            Ok(self.entry.str())
        } else {
            Err(WrongType)
        }
    }

    /// The collection, if it is one of this type.
    #[inline]
    pub fn held<T: Collection>(&self) -> Result<Held<'a, T>, WrongType> {
        match self.entry.word() {
            Some((value_type, word)) if value_type == T::TYPE => Ok(Held {
                // SAFETY: the word is of this type, and the entry goes on owning it.
                value: ManuallyDrop::new(unsafe { T::from_word(word) }),
                shard: PhantomData,
            }),
            _ => Err(WrongType),
        }
    }

    /// The collection, of any type, unless it is a string.
    pub fn value(&self) -> Option<Held<'a, Value>> {
        let (value_type, word) = self.entry.word()?;
        Some(Held {
            // SAFETY: the entry goes on owning the word.
            value: ManuallyDrop::new(unsafe { Value::from_parts(value_type, word) }),
            shard: PhantomData,
        })
    }

    /// Unix time in milliseconds.
    pub fn expiry(&self) -> Option<i64> {
        self.entry.expiry()
    }

    /// The 24 bits described in [`crate::access`].
    pub fn access(&self) -> u32 {
        self.entry.access()
    }

    /// The name that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        const EMBSTR_MAX: usize = 44;
        if let Some(value) = self.value() {
            return value.encoding();
        }
        match self.entry.str() {
            Str::Int(_) => "int",
            Str::Bytes(b) if b.len() <= EMBSTR_MAX && !self.entry.is_raw() => "embstr",
            Str::Bytes(_) | Str::Blob(_) => "raw",
        }
    }

    /// Elements of the value, counting 32 bytes of a string as one.
    pub fn elements(&self) -> usize {
        match (self.value(), self.str()) {
            (Some(value), _) => value.len(),
            (None, Ok(Str::Blob(b))) => b.bytes().len() / ELEMENT_BYTES,
            (None, _) => 0,
        }
    }

    /// Bytes that the key, its value and its slot in the table take.
    pub fn memory(&self) -> usize {
        let value = match (self.value(), self.str()) {
            (Some(value), _) => value.memory(),
            (None, Ok(Str::Blob(b))) => b.bytes().capacity() + size_of::<Vec<u8>>() + 16,
            (None, _) => 0,
        };
        crate::slab::rounded(self.entry.size()) + value + SLOT_BYTES
    }
}

/// Elements, or 32 bytes of a string, that make a value big: going through them takes about a millisecond.
pub const BIG: usize = 16 * 1024;

/// Bytes of a string that count as one element.
pub(crate) const ELEMENT_BYTES: usize = 32;

/// A key's share of the table at its usual load.
const SLOT_BYTES: usize = 10;

impl Shard {
    /// A shard with empty databases. `seed` keys the hash, which must not be guessable, and starts
    /// the random numbers.
    pub fn new(databases: usize, seed: [u64; 4]) -> Shard {
        crate::hashing::seed(seed);
        Shard {
            spaces: (0..databases).map(|_| Space::new()).collect(),
            slab: Slab::new(),
            trash: Trash::default(),
            hasher: RandomState::with_seeds(seed[0], seed[1], seed[2], seed[3]),
            now_ms: 0,
            stopped_ms: None,
            stamp: Stamp::new(Mode::Lru, 0),
            mode: Mode::Lru,
            no_touch: false,
            keeps_expired: false,
            locked: false,
            has_big: false,
            stats: Stats::default(),
            soonest_ms: i64::MAX,
            blob_bytes: 0,
            changes: 0,
            watches: Watches::default(),
            observed: false,
            wanted: Class::NONE,
            events: Vec::new(),
            notes_losses: false,
            losses: Vec::new(),
            cut: None,
            random: Random::new(seed[0]),
        }
    }

    /// Makes the random numbers others than those of a shard with the same seed.
    pub fn stir(&mut self, salt: u64) {
        self.random.stir(salt);
    }

    pub fn databases(&self) -> usize {
        self.spaces.len()
    }

    /// Sets the time, in Unix milliseconds, until the next call.
    pub fn set_now(&mut self, now_ms: i64) {
        if now_ms != self.now_ms && self.stopped_ms.is_none() {
            self.now_ms = now_ms;
            self.stamp = Stamp::new(self.mode, now_ms);
        }
    }

    /// Has time stand still, so that nothing expires; keys that are used are stamped with this time.
    pub fn stop_time(&mut self, now_ms: i64) {
        self.now_ms = 1;
        self.stopped_ms = Some(now_ms);
        self.stamp = Stamp::new(self.mode, now_ms);
    }

    /// Ends that.
    pub fn resume_time(&mut self) {
        self.stopped_ms = None;
    }

    /// What time it is, also while time stands still for all that expires.
    pub fn clock_ms(&self) -> i64 {
        self.stopped_ms.unwrap_or(self.now_ms)
    }

    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub fn set_access_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.stamp = Stamp::new(mode, self.now_ms);
    }

    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// How often the data has changed since the start.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// A uniform random number.
    pub fn random(&mut self) -> u64 {
        self.random.next()
    }

    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key {
            bytes,
            hash: hash(&self.hasher, bytes),
        }
    }

    /// Keys of a database, those whose time has come and that nobody met yet included.
    pub fn len(&self, db: usize) -> usize {
        self.spaces[db].table.len()
    }

    pub fn is_empty(&self, db: usize) -> bool {
        self.len(db) == 0
    }

    /// Keys of a database that have an expiry.
    pub fn volatile(&self, db: usize) -> usize {
        self.spaces[db].volatile
    }

    // The three steps of a look-up, each starting the memory access that the next one needs. A
    // batch takes each step for all its keys before the next.

    #[inline]
    pub fn prefetch_word(&self, db: usize, hash: u64) {
        self.spaces[db].table.prefetch_word(hash);
    }

    #[inline]
    pub fn prefetch_bucket(&self, db: usize, hash: u64) {
        self.spaces[db].table.prefetch_bucket(hash);
    }

    #[inline]
    pub fn prefetch_entry(&self, db: usize, hash: u64) {
        self.spaces[db].table.prefetch_entry(hash);
    }

    #[inline(always)]
    pub(crate) fn find(&self, db: usize, key: Key<'_>) -> Option<(Found, Entry)> {
        let table = &self.spaces[db].table;
        let found = table.find(key.hash, |e| Entry(e).key() == key.bytes)?;
        // SAFETY: the table has not changed since.
        Some((found, Entry(unsafe { table.entry(found) })))
    }

    /// The entry of a key whose time has not come.
    #[inline]
    pub(crate) fn live(&mut self, db: usize, key: Key<'_>) -> Option<(Found, Entry)> {
        let (found, entry) = self.find(db, key)?;
        if entry.has_expiry() && self.expire(db, key.hash, found, entry) {
            return None;
        }
        Some((found, entry))
    }

    pub(crate) fn is_due(&self, entry: Entry) -> bool {
        entry.expiry().is_some_and(|at| at < self.now_ms)
    }

    /// Whether readers do not see a volatile entry, which is removed then unless it is to be kept.
    #[inline(never)]
    fn is_hidden(&mut self, db: usize, hash: u64, found: Found, entry: Entry) -> bool {
        if self.keeps_expired || self.locked {
            let due = self.is_due(entry);
            if !due {
                self.note_expiry(entry);
            }
            return due;
        }
        self.expire(db, hash, found, entry)
    }

    /// Removes a volatile entry if its time has come.
    fn expire(&mut self, db: usize, hash: u64, found: Found, entry: Entry) -> bool {
        let due = self.is_due(entry);
        if due {
            self.stats.expired += 1;
            if self.observed {
                self.note_change(db, hash, entry.key());
            }
            self.notify(Class::EXPIRED, "expired", db, entry.key());
            self.note_loss(db, entry.key(), Vec::new());
            self.detach(db, hash, found);
            self.release(entry);
        } else {
            self.note_expiry(entry);
        }
        due
    }

    pub(crate) fn note_expiry(&mut self, entry: Entry) {
        if let Some(at) = entry.expiry() {
            self.soonest_ms = self.soonest_ms.min(at);
        }
    }

    /// Takes an entry out of its table.
    pub(crate) fn detach(&mut self, db: usize, hash: u64, found: Found) {
        self.before_change(db, hash);
        let space = &mut self.spaces[db];
        // SAFETY: `found` was found under `hash`, and the table has not changed since.
        let entry = Entry(unsafe { space.table.remove(&mut self.slab, hash, found) });
        space.volatile -= usize::from(entry.has_expiry());
        space.fields.forget(hash);
    }

    /// Frees an entry that is in no table.
    pub(crate) fn release(&mut self, entry: Entry) {
        if entry.owns() {
            self.empty(entry);
        }
        // SAFETY: the entry is in no table and what it owned was taken.
        unsafe { entry.free(&mut self.slab) };
    }

    /// Takes out and discards what an entry owns beside itself.
    fn empty(&mut self, entry: Entry) {
        if let Some(blob) = entry.take_blob() {
            self.discard(blob);
        } else if let Some(value) = entry.take_value() {
            self.trash.add_value(value);
        }
    }

    #[inline]
    fn discard(&mut self, blob: Blob) {
        self.blob_bytes -= blob.capacity();
        self.trash.add_blob(blob);
    }

    /// Puts an entry of a key that was absent into its table.
    pub(crate) fn attach(&mut self, db: usize, hash: u64, entry: Entry) {
        self.before_change(db, hash);
        self.notify(Class::NEW, "new", db, entry.key());
        let space = &mut self.spaces[db];
        let hasher = &self.hasher;
        space.volatile += usize::from(entry.has_expiry());
        space
            .table
            .insert(&mut self.slab, hash, entry.0, flags(entry), |e| {
                self::hash(hasher, Entry(e).key())
            });
    }

    /// Puts `entry` in the place of the one at `found`; the old one is not freed.
    pub(crate) fn substitute(&mut self, db: usize, found: Found, old: Entry, entry: Entry) {
        let space = &mut self.spaces[db];
        space.volatile += usize::from(entry.has_expiry());
        space.volatile -= usize::from(old.has_expiry());
        // SAFETY: `found` is the old entry's, which has the same key.
        unsafe { space.table.replace(found, entry.0, flags(entry)) };
    }

    /// The key's item, or `None` if it is absent or expired.
    #[inline]
    pub fn look(&mut self, db: usize, key: Key<'_>, look: Look) -> Option<Item<'_>> {
        let live = self.find(db, key);
        let live = live.filter(|(found, entry)| {
            !(entry.has_expiry() && self.is_hidden(db, key.hash, *found, *entry))
        });
        if matches!(look, Look::Use | Look::Ask | Look::Count) {
            match live {
                Some(_) => self.stats.hits += 1,
                None => {
                    self.stats.misses += 1;
                    if look != Look::Count {
                        self.notify(Class::MISS, "keymiss", db, key.bytes);
                    }
                }
            }
        }
        let (_, entry) = live?;
        if matches!(look, Look::Use | Look::Touch) && !self.no_touch {
            self.touch(entry);
        }
        Some(Item::new(entry))
    }

    #[inline]
    pub(crate) fn touch(&mut self, entry: Entry) {
        let random = &mut self.random;
        let old = entry.access();
        let new = self.stamp.touched(old, || random.next());
        if new != old {
            entry.set_access(new);
        }
    }

    /// Stores a string. `value` is an integer or bytes of any length; `owner` may hold those very
    /// bytes, and is shared instead of copied when they do not fit into an entry.
    pub fn set(
        &mut self,
        db: usize,
        key: Key<'_>,
        value: NewValue<'_>,
        owner: Option<&Blob>,
        expiry: Expiry,
    ) {
        self.before_change(db, key.hash);
        self.changed(db, key.hash, key.bytes);
        let Some((found, old)) = self.live(db, key) else {
            let at = match expiry {
                Expiry::At(at) => Some(at),
                Expiry::Keep | Expiry::Clear => None,
            };
            let value = self.sized(key.bytes.len(), value, owner, at.is_some());
            let entry = Entry::create(&mut self.slab, key.bytes, value, at);
            entry.set_access(self.stamp.fresh());
            return self.attach(db, key.hash, entry);
        };
        let at = match expiry {
            Expiry::At(at) => Some(at),
            Expiry::Keep => old.expiry(),
            Expiry::Clear => None,
        };
        if old.owns() {
            if at.is_some() == old.has_expiry() && owner.is_none() && self.refill(old, &value) {
                if let Some(at) = at {
                    old.set_expiry(at);
                }
                return;
            }
            self.empty(old);
        }
        let value = self.sized(key.bytes.len(), value, owner, at.is_some());
        if old.can_hold(&value, at.is_some()) {
            old.write_value(value);
            if let Some(at) = at {
                old.set_expiry(at);
            }
            old.set_access(self.stamp.fresh());
            return;
        }
        let entry = Entry::create(&mut self.slab, key.bytes, value, at);
        entry.set_access(self.stamp.fresh());
        self.substitute(db, found, old, entry);
        // SAFETY: the entry left the table, and what it owned was taken above.
        unsafe { old.free(&mut self.slab) };
    }

    /// Writes long bytes into the blob that is there if it is nobody else's and of about the size.
    fn refill(&mut self, entry: Entry, value: &NewValue<'_>) -> bool {
        let (NewValue::Bytes(bytes), Ok(Str::Blob(blob))) = (value, Item::new(entry).str()) else {
            return false;
        };
        let capacity = blob.bytes().capacity();
        let klen = entry.key().len();
        if bytes.len() > capacity
            || bytes.len() < capacity / 2
            || blob.is_shared()
            || entry::fits_inline(klen, bytes.len(), entry.has_expiry())
        {
            return false;
        }
        if let Some(blob) = entry.blob_mut() {
            blob.clear();
            blob.extend_from_slice(bytes);
        }
        entry.set_access(self.stamp.fresh());
        true
    }

    /// Gives bytes that do not fit into an entry a blob.
    #[inline]
    fn sized<'v>(
        &mut self,
        klen: usize,
        value: NewValue<'v>,
        owner: Option<&Blob>,
        expiry: bool,
    ) -> NewValue<'v> {
        let blob = match value {
            NewValue::Bytes(b) if !entry::fits_inline(klen, b.len(), expiry) => match owner {
                Some(owner) => owner.clone(),
                None => Blob::new(b.to_vec()),
            },
            NewValue::Blob(b) => b,
            small => return small,
        };
        self.blob_bytes += blob.capacity();
        self.note_size(blob.len() / ELEMENT_BYTES);
        NewValue::Blob(blob)
    }

    /// Remembers that a value is big, if it is.
    #[inline]
    pub(crate) fn note_size(&mut self, elements: usize) {
        self.has_big |= elements >= BIG;
    }

    /// Removes an entry of the table.
    pub(crate) fn drop_entry(&mut self, db: usize, hash: u64, entry: Entry) {
        let table = &self.spaces[db].table;
        let found = table.find(hash, |e| e == entry.0);
        self.detach(db, hash, found.expect("the entry is in the table"));
        self.release(entry);
    }

    /// Removes a key; false if it was absent.
    pub fn remove(&mut self, db: usize, key: Key<'_>) -> bool {
        let Some((found, entry)) = self.live(db, key) else {
            return false;
        };
        self.changed(db, key.hash, key.bytes);
        self.detach(db, key.hash, found);
        self.release(entry);
        true
    }

    /// Sets or clears the expiry, in Unix milliseconds; false if the key is absent. The caller has
    /// found out whether the time has already passed.
    pub fn set_expiry(&mut self, db: usize, key: Key<'_>, at: Option<i64>) -> bool {
        let Some((found, old)) = self.live(db, key) else {
            return false;
        };
        self.before_change(db, key.hash);
        self.changed(db, key.hash, key.bytes);
        match (at, old.has_expiry()) {
            (Some(at), true) => old.set_expiry(at),
            (None, false) => {}
            _ => {
                let entry = self.rekeyed(old, key.bytes, at);
                self.substitute(db, found, old, entry);
                // SAFETY: the entry left the table, and `rekeyed` took what it owned.
                unsafe { old.free(&mut self.slab) };
            }
        }
        true
    }

    /// Stamps a key as a dump tells; nothing happens to one that is absent, or if the present mode records
    /// something else.
    pub fn set_access(&mut self, db: usize, key: Key<'_>, access: Access) {
        let stamped = self.stamp.restored(access).zip(self.find(db, key));
        if let Some((bits, (_, entry))) = stamped {
            entry.set_access(bits);
        }
    }

    /// A new entry with the value of `old`, from which it takes over what it owns.
    fn rekeyed(&mut self, old: Entry, key: &[u8], at: Option<i64>) -> Entry {
        if let Some(value) = old.take_value() {
            let (value_type, word) = value.into_parts();
            return self.copied(old, key, NewValue::Word(value_type, word), at);
        }
        let value = match old.str() {
            Str::Int(v) => NewValue::Int(v),
            Str::Bytes(b) => NewValue::Bytes(b),
            Str::Blob(_) => NewValue::Blob(old.take_blob().expect("kind was checked")),
        };
        self.copied(old, key, value, at)
    }

    fn copied(&mut self, old: Entry, key: &[u8], value: NewValue<'_>, at: Option<i64>) -> Entry {
        let raw = old.is_raw();
        let value = match value {
            // Counted already.
            NewValue::Blob(b) => NewValue::Blob(b),
            other => self.sized(key.len(), other, None, at.is_some()),
        };
        let entry = Entry::create(&mut self.slab, key, value, at);
        entry.set_raw(raw);
        entry.set_access(old.access());
        entry
    }

    /// Moves a key, with value and expiry, to another name or database. What was there is removed.
    /// False if the source is absent. Source and target differ.
    pub fn rename(&mut self, db: usize, from: Key<'_>, to_db: usize, to: Key<'_>) -> bool {
        let Some((found, old)) = self.live(db, from) else {
            return false;
        };
        self.detach(db, from.hash, found);
        let entry = self.rekeyed(old, to.bytes, old.expiry());
        // SAFETY: the entry left the table, and `rekeyed` took what it owned.
        unsafe { old.free(&mut self.slab) };
        if self.observed {
            self.note_change(db, from.hash, from.bytes);
        }
        self.remove(to_db, to);
        self.changed(to_db, to.hash, to.bytes);
        self.attach(to_db, to.hash, entry);
        self.note_fields(to_db, to.hash, entry);
        true
    }

    /// Copies a key, with value and expiry. What was at the target is removed. False if the source
    /// is absent. Source and target differ.
    pub fn copy(&mut self, db: usize, from: Key<'_>, to_db: usize, to: Key<'_>) -> bool {
        let Some((_, old)) = self.live(db, from) else {
            return false;
        };
        let value = match Item::new(old).value() {
            Some(value) => {
                let (value_type, word) = Value::clone(&value).into_parts();
                NewValue::Word(value_type, word)
            }
            None => match old.str() {
                Str::Int(v) => NewValue::Int(v),
                Str::Bytes(b) => NewValue::Bytes(b),
                Str::Blob(b) => {
                    self.blob_bytes += b.bytes().capacity();
                    NewValue::Blob(b.share())
                }
            },
        };
        let entry = self.copied(old, to.bytes, value, old.expiry());
        entry.set_access(self.stamp.fresh());
        self.remove(to_db, to);
        self.changed(to_db, to.hash, to.bytes);
        self.attach(to_db, to.hash, entry);
        self.note_fields(to_db, to.hash, entry);
        true
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: usize, b: usize) {
        self.note_swap(a, b);
        self.changes += 1;
        self.swap_walks(a, b);
        self.spaces.swap(a, b);
    }

    /// Empties a database; its memory is freed in slices. Answers how many keys there were.
    pub fn flush(&mut self, db: usize) -> usize {
        self.note_flush(db);
        let space = std::mem::replace(&mut self.spaces[db], Space::new());
        let keys = space.table.len();
        self.changes += keys as u64;
        if let Some(table) = self.keep_table(db, space.table) {
            self.trash.add_table(table);
        }
        keys
    }

    /// A key chosen with equal chance for each, those whose time has come not counted. Among many
    /// that are kept although their time has come, it may be one of them.
    pub fn random_key(&mut self, db: usize) -> Option<Vec<u8>> {
        let mut tries = 0;
        loop {
            let random = &mut self.random;
            let entry = Entry(self.spaces[db].table.random(|| random.next())?);
            let bytes = entry.key().to_vec();
            let key = self.key(&bytes);
            tries += usize::from(self.keeps_expired || self.locked);
            if self.look(db, key, Look::Peek).is_some() || tries == KEPT_TRIES {
                return Some(bytes);
            }
        }
    }

    /// Whether deleted memory is waiting to be freed.
    pub fn has_trash(&self) -> bool {
        !self.trash.is_empty()
    }

    /// Frees some of what was deleted: some tens of microseconds of work.
    pub fn empty_trash_step(&mut self) {
        self.trash.step(&mut self.slab, &mut self.blob_bytes);
    }

    /// Objects waiting to be freed, and freed so far.
    pub fn trash(&self) -> (usize, u64) {
        (self.trash.pending(), self.trash.freed)
    }

    pub fn reset_stats(&mut self) {
        self.stats = Stats::default();
        self.trash.freed = 0;
    }

    pub fn slab_stats(&self) -> SlabStats {
        self.slab.stats()
    }

    /// Bytes of keys and values: entries, table blocks and long strings.
    pub fn memory(&self) -> usize {
        self.slab.stats().allocated + self.blob_bytes
    }

    /// Bytes of a database's table.
    pub fn table_memory(&self, db: usize) -> usize {
        self.spaces[db].table.memory()
    }

    pub fn table(&self, db: usize) -> &Table {
        &self.spaces[db].table
    }
}

fn flags(entry: Entry) -> u64 {
    if entry.has_expiry() { VOLATILE } else { 0 }
}

#[inline]
fn hash(hasher: &RandomState, bytes: &[u8]) -> u64 {
    let mut h = hasher.build_hasher();
    h.write(bytes);
    h.finish()
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.end_cut();
        for db in 0..self.spaces.len() {
            self.flush(db);
        }
        // Entries go with the slab; blobs must be dropped one by one.
        while self.has_trash() {
            self.empty_trash_step();
        }
    }
}

/// An entry's pointer as an item, for iteration.
pub(crate) fn item<'a>(entry: NonNull<u8>) -> Item<'a> {
    Item::new(Entry(entry))
}
