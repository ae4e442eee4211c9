//! Which hashes have fields whose time has come, and removing those fields before anybody asks for them.
//!
//! A database knows its hashes with timed fields by the hash of their keys, ordered by when there may be
//! something to remove ([`Collection::due_ms`]). Whoever stores such a hash notes it. An entry is a hint:
//! what is found when its time comes may be gone, something else, or due later, and is then noted again.

use crate::collection::Open;
use crate::entry::{Entry, Kind};
use crate::hash::Hash;
use crate::shard::{self, Shard};
use crate::value::Collection;
use ahash::AHashMap;
use std::collections::BTreeSet;

/// The hashes with timed fields of a database.
#[derive(Default)]
pub(crate) struct Fields {
    by_time: BTreeSet<(i64, u64)>,
    by_key: AHashMap<u64, i64>,
}

impl Fields {
    /// Notes that the key with a hash has something to remove at a time.
    pub fn note(&mut self, hash: u64, at: i64) {
        match self.by_key.get_mut(&hash) {
            Some(noted) if *noted <= at => return,
            Some(noted) => {
                self.by_time.remove(&(*noted, hash));
                *noted = at;
            }
            None => drop(self.by_key.insert(hash, at)),
        }
        self.by_time.insert((at, hash));
    }

    /// Forgets a key, which is gone.
    #[inline]
    pub fn forget(&mut self, hash: u64) {
        if !self.by_key.is_empty()
            && let Some(at) = self.by_key.remove(&hash)
        {
            self.by_time.remove(&(at, hash));
        }
    }

    /// Takes out a key whose time has come.
    fn take_due(&mut self, now_ms: i64) -> Option<u64> {
        let (at, hash) = *self.by_time.first()?;
        if at >= now_ms {
            return None;
        }
        self.forget(hash);
        Some(hash)
    }
}

/// What some steps have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweptFields {
    pub removed: usize,
    /// There was no more to do.
    pub done: bool,
}

impl Shard {
    /// Hashes of a database with fields that expire.
    pub fn timed_hashes(&self, db: usize) -> usize {
        self.spaces[db].fields.by_key.len()
    }

    /// Removes fields of hashes of `db` whose time has come, and hashes that have no other, after looking
    /// at about `budget` fields. A hash goes only if `may_go` says so of the hash of its key.
    pub fn sweep_fields_step(
        &mut self,
        db: usize,
        mut budget: usize,
        may_go: impl Fn(u64) -> bool,
    ) -> SweptFields {
        let mut swept = SweptFields::default();
        let now = self.now_ms();
        if self.keeps_expired {
            swept.done = true;
            return swept;
        }
        while budget > 0 {
            let Some(hash) = self.spaces[db].fields.take_due(now) else {
                swept.done = true;
                break;
            };
            budget -= 1;
            if !may_go(hash) {
                self.spaces[db].fields.note(hash, now);
                continue;
            }
            let Some(open) = self.open_hashed(db, hash) else {
                continue;
            };
            // Closing it notes it again.
            let step = open.sweep_away(now, budget.max(1));
            swept.removed += step.removed;
            budget = budget.saturating_sub(step.looked);
        }
        self.stats.expired_fields += swept.removed as u64;
        swept
    }

    /// The hash at the key that has a hash.
    fn open_hashed(&mut self, db: usize, hash: u64) -> Option<Open<'_, Hash>> {
        let mut found = None;
        self.spaces[db].table.find(hash, |entry| {
            let entry = Entry(entry);
            let is_it = entry.kind() == Kind::Hash && self.key(entry.key()).hash == hash;
            if is_it {
                found = Some(entry);
            }
            is_it
        });
        self.opened(db, hash, found?).ok()
    }

    /// Notes a hash that was stored at a key.
    pub(crate) fn note_fields(&mut self, db: usize, hash: u64, entry: Entry) {
        if let Ok(held) = shard::item(entry.0).held::<Hash>() {
            self.note_due(db, hash, held.due_ms());
        }
    }

    /// Notes that the collection at a key has something to remove at a time, unless that never comes.
    #[inline]
    pub(crate) fn note_due(&mut self, db: usize, hash: u64, due_ms: i64) {
        if due_ms != i64::MAX {
            self.spaces[db].fields.note(hash, due_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::{Expiry, Look};
    use crate::value::Limits;

    fn shard() -> Shard {
        let mut shard = Shard::new(2, [1, 2, 3, 4]);
        shard.set_now(1000);
        shard
    }

    /// A hash with a field that stays, and one that expires.
    fn fill(shard: &mut Shard, name: &[u8], at: i64) {
        let key = shard.key(name);
        let mut open = shard.create::<Hash>(0, key).expect("a hash");
        open.set(b"stays", b"v", Expiry::Clear, 0, &Limits::DEFAULT);
        open.set(b"goes", b"v", Expiry::At(at), 0, &Limits::DEFAULT);
        open.close(true);
    }

    fn len(shard: &mut Shard, db: usize, name: &[u8]) -> usize {
        let key = shard.key(name);
        let held = shard.read::<Hash>(db, key, Look::Peek).expect("a hash");
        held.map_or(0, |hash| hash.len())
    }

    fn sweep(shard: &mut Shard, db: usize) -> usize {
        let swept = shard.sweep_fields_step(db, 100, |_| true);
        assert!(swept.done);
        swept.removed
    }

    #[test]
    fn fields_go_when_their_time_is_over() {
        let mut shard = shard();
        fill(&mut shard, b"a", 2000);
        fill(&mut shard, b"b", 3000);
        shard.set_now(2000);
        assert_eq!(sweep(&mut shard, 0), 0);
        shard.set_now(2001);
        let changes = shard.changes();
        assert_eq!(sweep(&mut shard, 0), 1);
        assert_eq!((len(&mut shard, 0, b"a"), len(&mut shard, 0, b"b")), (1, 2));
        shard.set_now(9000);
        assert_eq!(sweep(&mut shard, 0), 1);
        assert_eq!(sweep(&mut shard, 0), 0);
        assert_eq!(shard.stats.expired_fields, 2);
        assert_eq!(shard.changes(), changes);
        assert!(shard.spaces[0].fields.by_time.is_empty());
    }

    #[test]
    fn the_last_field_takes_the_key_along() {
        let mut shard = shard();
        let key = shard.key(b"k");
        let mut open = shard.create::<Hash>(0, key).expect("a hash");
        open.set(b"goes", b"v", Expiry::At(1500), 0, &Limits::DEFAULT);
        open.close(true);
        shard.set_now(1600);
        assert_eq!(shard.len(0), 1);
        assert_eq!(sweep(&mut shard, 0), 1);
        assert_eq!(shard.len(0), 0);
    }

    #[test]
    fn a_hash_is_found_wherever_it_has_gone() {
        let mut shard = shard();
        let [a, b, c] = [b"a", b"b", b"c"].map(|name| shard.key(name));
        fill(&mut shard, b"a", 2000);
        shard.rename(0, a, 0, b);
        shard.copy(0, b, 1, c);
        shard.swap(0, 1);
        // An index entry for every hash and no more.
        assert_eq!(shard.spaces[0].fields.by_key.len(), 1);
        assert_eq!(shard.spaces[1].fields.by_key.len(), 1);
        shard.set_now(2001);
        assert_eq!((sweep(&mut shard, 0), sweep(&mut shard, 1)), (1, 1));
        assert_eq!((len(&mut shard, 0, b"c"), len(&mut shard, 1, b"b")), (1, 1));
    }

    #[test]
    fn lent_hashes_are_noted_where_they_come_to() {
        let (mut here, mut desk) = (shard(), shard());
        fill(&mut here, b"a", 2000);
        let (a, b) = (here.key(b"a"), here.key(b"b"));
        let loan = here.lend(0, a).expect("it is there");
        desk.accept(0, a, Some(&loan));
        desk.rename(0, a, 0, b);
        let back = desk.lend(0, b);
        here.accept(0, a, None);
        here.accept(0, b, back.as_ref());
        desk.forget(0, b);
        assert!(desk.spaces[0].fields.by_key.is_empty());
        here.set_now(2001);
        assert_eq!(sweep(&mut here, 0), 1);
        assert_eq!(len(&mut here, 0, b"b"), 1);
    }

    #[test]
    fn what_is_gone_or_replaced_is_no_longer_known() {
        let mut shard = shard();
        for name in [b"a", b"b", b"c"] {
            fill(&mut shard, name, 2000);
        }
        let [a, b, c] = [b"a", b"b", b"c"].map(|name| shard.key(name));
        shard.remove(0, a);
        assert_eq!(shard.spaces[0].fields.by_key.len(), 2);
        shard.put(0, b, crate::set::Set::default(), Expiry::Clear);
        assert_eq!(shard.spaces[0].fields.by_key.len(), 1);
        let value = crate::entry::NewValue::Int(1);
        shard.set(0, c, value, None, Expiry::Clear);
        shard.set_now(2001);
        assert_eq!(sweep(&mut shard, 0), 0);
        fill(&mut shard, b"a", 3000);
        shard.flush(0);
        assert!(shard.spaces[0].fields.by_key.is_empty());
    }

    #[test]
    fn locked_keys_and_pauses_are_respected_and_steps_bounded() {
        let mut shard = shard();
        for name in [b"a", b"b", b"c"] {
            fill(&mut shard, name, 2000);
        }
        shard.set_now(2001);
        shard.keeps_expired = true;
        assert_eq!(sweep(&mut shard, 0), 0);
        shard.keeps_expired = false;
        let locked = shard.key(b"b").hash;
        let swept = shard.sweep_fields_step(0, 100, |hash| hash != locked);
        assert_eq!(swept.removed, 2);
        assert_eq!(len(&mut shard, 0, b"b"), 2);
        shard.set_now(2002);
        let swept = shard.sweep_fields_step(0, 1, |_| true);
        assert_eq!((swept.removed, swept.done), (1, false));
    }

    #[test]
    fn many_changes_of_one_hash_leave_one_entry() {
        let mut shard = shard();
        let key = shard.key(b"k");
        for i in 0..100 {
            fill(&mut shard, b"k", 2000 + i);
            let mut open = shard.open::<Hash>(0, key).expect("a hash").expect("there");
            open.set_expiry(b"goes", None);
            open.close(true);
        }
        assert_eq!(shard.spaces[0].fields.by_key.len(), 1);
        assert_eq!(shard.spaces[0].fields.by_time.len(), 1);
        shard.set_now(9000);
        assert_eq!(sweep(&mut shard, 0), 0);
        assert!(shard.spaces[0].fields.by_key.is_empty());
    }
}
