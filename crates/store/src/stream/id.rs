//! The name of a stream's entry: a time and a number within it, ordered.

/// An entry's id, written `ms-seq`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Unix time in milliseconds, unless the client has said otherwise.
    pub ms: u64,
    pub seq: u64,
}

impl Id {
    /// No entry has it: streams begin above.
    pub const MIN: Id = Id { ms: 0, seq: 0 };
    pub const MAX: Id = Id {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    pub const fn new(ms: u64, seq: u64) -> Id {
        Id { ms, seq }
    }

    /// The smallest id above; none above [`Id::MAX`].
    #[inline]
    pub fn next(self) -> Option<Id> {
        match (self.ms, self.seq) {
            (u64::MAX, u64::MAX) => None,
            (ms, u64::MAX) => Some(Id::new(ms + 1, 0)),
            (ms, seq) => Some(Id::new(ms, seq + 1)),
        }
    }

    /// The greatest id below; none below [`Id::MIN`].
    pub fn previous(self) -> Option<Id> {
        match (self.ms, self.seq) {
            (0, 0) => None,
            (ms, 0) => Some(Id::new(ms - 1, u64::MAX)),
            (ms, seq) => Some(Id::new(ms, seq - 1)),
        }
    }

    /// How far it is from another, as nodes keep it: both parts may be negative.
    #[inline]
    pub(crate) fn minus(self, base: Id) -> (i64, i64) {
        (
            self.ms.wrapping_sub(base.ms) as i64,
            self.seq.wrapping_sub(base.seq) as i64,
        )
    }

    #[inline]
    pub(crate) fn plus(self, ms: i64, seq: i64) -> Id {
        Id::new(
            self.ms.wrapping_add(ms as u64),
            self.seq.wrapping_add(seq as u64),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_next_to_each_other() {
        for id in [
            Id::MIN,
            Id::new(0, 1),
            Id::new(5, 0),
            Id::new(5, u64::MAX),
            Id::new(u64::MAX, 0),
        ] {
            let next = id.next().expect("there is one above");
            assert!(next > id);
            assert_eq!(next.previous(), Some(id));
        }
        assert_eq!(Id::MAX.next(), None);
        assert_eq!(Id::MIN.previous(), None);
    }

    #[test]
    fn differences_lead_back() {
        for (a, b) in [(Id::MIN, Id::MAX), (Id::new(7, 9), Id::new(8, 1))] {
            for (a, b) in [(a, b), (b, a)] {
                let (ms, seq) = a.minus(b);
                assert_eq!(b.plus(ms, seq), a);
            }
        }
    }
}
