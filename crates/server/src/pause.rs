//! CLIENT PAUSE on a shard: the flag that makes commands take the careful way, the clients that go on
//! when the pause ends, and the wait for what is still under way when it begins.
//!
//! Who pauses writes, to hand over to another server for one, wants to know that after OK nothing is
//! written any more. A shard's own clients stop when it has the flag, but commands of theirs may be
//! on their way to other shards, or wait there for locks. So a shard says that it has paused only when
//! those that left before have come home ([`Afloat`]); they need nothing that the pause holds back.

use crate::clients::Special;
use crate::core::Core;
use crate::remote::survey::Asker;
use engine::Pause;
use std::collections::VecDeque;

impl Core {
    /// Pauses, or changes the pause.
    pub fn pause_clients(&mut self, pause: Pause) {
        self.pause = pause;
        self.shard.keeps_expired = true;
        self.special.set(Special::PAUSED, true);
    }

    /// Ends the pause.
    pub fn unpause_clients(&mut self) {
        self.pause.end();
        self.shard.keeps_expired = false;
        self.special.set(Special::PAUSED, false);
        for conn in std::mem::take(&mut self.clients.paused) {
            self.clients.mark(conn);
        }
    }

    /// Ends a pause whose time is over.
    pub fn expire_pause(&mut self) {
        if self.pause.is_over(self.now_ms()) {
            self.unpause_clients();
        }
    }
}

/// What this shard's clients have under way on other shards: parcels and transactions. Each departs
/// with a *tide*, a new one of which begins with every pause.
pub struct Afloat {
    /// Number of the first tide that is not over.
    first: u64,
    /// Never empty; the last one is the present one.
    tides: VecDeque<Tide>,
}

#[derive(Default)]
struct Tide {
    out: usize,
    /// Who is told when this tide and those before it are over.
    waiting: Vec<Asker>,
}

impl Default for Afloat {
    fn default() -> Afloat {
        Afloat {
            first: 0,
            tides: VecDeque::from([Tide::default()]),
        }
    }
}

impl Afloat {
    /// Something leaves; with which tide.
    #[inline]
    pub fn depart(&mut self) -> u64 {
        let last = self.tides.len() - 1;
        self.tides[last].out += 1;
        self.first + last as u64
    }

    /// It is back. Whether [`Afloat::ebb`] may have somebody to be told now.
    #[inline]
    #[must_use]
    pub fn arrive(&mut self, tide: u64) -> bool {
        self.tides[(tide - self.first) as usize].out -= 1;
        self.tides.len() > 1
    }

    /// Has somebody told when all that is under way now is back.
    pub fn tell(&mut self, asker: Asker) {
        let last = self.tides.len() - 1;
        self.tides[last].waiting.push(asker);
        self.tides.push_back(Tide::default());
    }

    /// The next one to be told, if any.
    pub fn ebb(&mut self) -> Option<Asker> {
        while self.tides.len() > 1 && self.tides[0].out == 0 {
            if let Some(asker) = self.tides[0].waiting.pop() {
                return Some(asker);
            }
            self.tides.pop_front();
            self.first += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(id: u64) -> Asker {
        Asker { shard: 1, id }
    }

    #[test]
    fn a_pause_waits_for_what_left_before_it_and_for_nothing_else() {
        let mut afloat = Afloat::default();
        afloat.tell(asker(1));
        assert_eq!(afloat.ebb(), Some(asker(1)));
        assert_eq!(afloat.ebb(), None);

        let (a, b) = (afloat.depart(), afloat.depart());
        afloat.tell(asker(2));
        let c = afloat.depart();
        assert_eq!(afloat.ebb(), None);
        assert!(afloat.arrive(b));
        assert_eq!(afloat.ebb(), None);
        assert!(afloat.arrive(a));
        assert_eq!(afloat.ebb(), Some(asker(2)));
        assert_eq!(afloat.ebb(), None);
        assert!(!afloat.arrive(c));
    }

    #[test]
    fn a_later_pause_waits_for_the_earlier_one() {
        let mut afloat = Afloat::default();
        let a = afloat.depart();
        afloat.tell(asker(1));
        let b = afloat.depart();
        afloat.tell(asker(2));
        afloat.tell(asker(3));
        assert!(afloat.arrive(b));
        assert_eq!(afloat.ebb(), None);
        assert!(afloat.arrive(a));
        let told: Vec<_> = std::iter::from_fn(|| afloat.ebb()).collect();
        assert_eq!(told, [asker(1), asker(2), asker(3)]);
        let c = afloat.depart();
        assert!(!afloat.arrive(c));
    }
}
