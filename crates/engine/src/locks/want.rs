//! What is locked, and how: names, modes, and how wants of one shard relate.

/// Name of a lock: the 64-bit hash of a key, with one seed for all shards of a process. Databases
/// are not told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Name(pub u64);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Mode {
    Shared,
    Exclusive,
}

impl Mode {
    /// For what only reads, or writes.
    pub fn of(writes: bool) -> Mode {
        if writes {
            Mode::Exclusive
        } else {
            Mode::Shared
        }
    }
}

/// What a request wants of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// These names. Of two equal names the stronger mode counts.
    Keys(Vec<(Name, Mode)>),
    /// The whole shard, for commands such as FLUSHALL (exclusive) and DBSIZE (shared).
    Whole(Mode),
}

impl Want {
    pub fn key(name: Name, mode: Mode) -> Want {
        Want::Keys(vec![(name, mode)])
    }

    /// Whether it allows changes.
    pub fn writes(&self) -> bool {
        match self {
            Want::Keys(keys) => keys.iter().any(|key| key.1 == Mode::Exclusive),
            Want::Whole(mode) => *mode == Mode::Exclusive,
        }
    }

    /// Brings names into order, each once with its strongest mode; everything below relies on it.
    pub(crate) fn normalise(&mut self) {
        let Want::Keys(keys) = self else { return };
        if keys.is_sorted_by(|a, b| a.0 < b.0) {
            return;
        }
        keys.sort_unstable_by(|a, b| (a.0, b.1).cmp(&(b.0, a.1)));
        keys.dedup_by_key(|key| key.0);
    }

    /// The mode in which it has a name.
    pub(super) fn mode_of(&self, name: Name) -> Option<Mode> {
        match self {
            Want::Whole(mode) => Some(*mode),
            Want::Keys(keys) => {
                let at = keys.binary_search_by_key(&name, |key| key.0).ok()?;
                keys.get(at).map(|key| key.1)
            }
        }
    }

    /// Whether whoever has this has `other` too.
    pub(crate) fn covers(&self, other: &Want) -> bool {
        match (self, other) {
            (Want::Whole(have), Want::Whole(mode)) => have >= mode,
            (Want::Keys(_), Want::Whole(_)) => false,
            (_, Want::Keys(keys)) => keys
                .iter()
                .all(|(name, mode)| self.mode_of(*name).is_some_and(|have| have >= *mode)),
        }
    }

    /// Whether two owners cannot have both at once. This one is in order, as those of the engine are.
    pub fn conflicts(&self, other: &Want) -> bool {
        match (self, other) {
            (Want::Keys(_), Want::Keys(keys)) => keys.iter().any(|(name, mode)| {
                self.mode_of(*name)
                    .is_some_and(|have| have.max(*mode) == Mode::Exclusive)
            }),
            _ => self.writes() || other.writes(),
        }
    }

    /// Adds what `other` wants. The whole shard shared and a name exclusive make the whole shard
    /// exclusive.
    pub(crate) fn join(&mut self, other: Want) {
        match (&mut *self, other) {
            (Want::Keys(mine), Want::Keys(keys)) => {
                mine.extend(keys);
                self.normalise();
            }
            (_, other) => {
                let exclusive = self.writes() || other.writes();
                *self = Want::Whole(Mode::of(exclusive));
            }
        }
    }

    pub(super) fn node_mode(&self) -> usize {
        match (self, self.writes()) {
            (Want::Keys(_), false) => 0,
            (Want::Keys(_), true) => 1,
            (Want::Whole(_), false) => 2,
            (Want::Whole(_), true) => 3,
        }
    }
}

impl Default for Want {
    fn default() -> Want {
        Want::Keys(Vec::new())
    }
}
