//! Removing keys whose time has come before anybody asks for them.
//!
//! The sweep walks the table in hash order, a bucket a step. A slot says whether its entry has an
//! expiry, so that others cost no cache miss, and a whole pass over millions of keys without one is
//! a pass over a compact array.

use crate::entry::Entry;
use crate::shard::Shard;
use crate::table::VOLATILE;

/// What some steps of the sweep have found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Keys with an expiry that were looked at.
    pub volatile: usize,
    /// Removed.
    pub expired: usize,
    /// Sum of the remaining lifetimes of the others, in milliseconds.
    pub lifetime_ms: i64,
    /// The sweep has come round.
    pub wrapped: bool,
}

/// Most buckets' worth of expired keys removed by one step.
const STEP_MAX: usize = 32;

impl Shard {
    /// Looks at the keys of one bucket of `db` and removes those whose time has come and whose hash
    /// `may_go`: others are locked.
    pub fn sweep_step(&mut self, db: usize, may_go: impl Fn(u64) -> bool) -> Swept {
        let now = self.now_ms();
        let mut swept = Swept::default();
        let mut due = [None; STEP_MAX];
        let mut overflow = false;
        let space = &self.spaces[db];
        let from = space.sweep;
        let next = space.table.scan(from, |entry, flags| {
            if flags & VOLATILE == 0 {
                return;
            }
            swept.volatile += 1;
            match Entry(entry).expiry() {
                Some(at) if at < now => {
                    match due.get_mut(swept.expired) {
                        Some(place) => *place = Some(Entry(entry)),
                        None => overflow = true,
                    }
                    swept.expired += usize::from(!overflow);
                }
                Some(at) => swept.lifetime_ms = swept.lifetime_ms.saturating_add(at - now),
                None => {}
            }
        });
        for entry in due.into_iter().flatten() {
            let key = self.key(entry.key());
            if !may_go(key.hash) {
                swept.expired -= 1;
                continue;
            }
            // Looking it up removes it.
            let gone = self.live(db, key).is_none();
            debug_assert!(gone);
        }
        // Locked keys must not make the sweep stand still.
        overflow &= swept.expired > 0;
        self.spaces[db].sweep = if overflow { from } else { next };
        swept.wrapped = next == 0 && !overflow;
        swept
    }
}

#[cfg(test)]
mod tests {
    use crate::entry::NewValue;
    use crate::shard::{Expiry, Look, Shard};

    #[test]
    fn a_kept_key_is_hidden_from_readers_and_removed_by_writers() {
        let mut shard = Shard::new(1, [1, 2, 3, 4]);
        shard.set_now(1_000);
        for name in [&b"a"[..], b"b"] {
            let key = shard.key(name);
            shard.set(0, key, NewValue::Int(1), None, Expiry::At(2_000));
        }
        shard.set_now(3_000);
        shard.keeps_expired = true;
        let a = shard.key(b"a");
        assert!(shard.look(0, a, Look::Use).is_none());
        // Among kept keys alone the draw comes to an end.
        assert!(shard.random_key(0).is_some());
        assert_eq!((shard.len(0), shard.stats.expired), (2, 0));
        shard.set(0, a, NewValue::Int(2), None, Expiry::Clear);
        assert!(shard.look(0, a, Look::Use).is_some());
        assert_eq!((shard.len(0), shard.stats.expired), (2, 1));
        shard.keeps_expired = false;
        let b = shard.key(b"b");
        assert!(shard.look(0, b, Look::Use).is_none());
        assert_eq!((shard.len(0), shard.stats.expired), (1, 2));
    }
}
