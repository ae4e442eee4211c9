//! CLIENT PAUSE: until when, and which commands wait.
//!
//! A pause is one flag of the shard, so that it costs nothing while there is none. A command that
//! must wait stays in its client's input; its client goes on, first come first served, when the
//! pause ends.

use command::Flags;

/// What is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Writes,
    All,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Pause {
    scope: Option<Scope>,
    until_ms: i64,
}

impl Pause {
    /// Pauses; a pause that is on is never made shorter or narrower.
    pub fn start(&mut self, scope: Scope, until_ms: i64) {
        self.scope = self.scope.max(Some(scope));
        self.until_ms = self.until_ms.max(until_ms);
    }

    pub fn end(&mut self) {
        *self = Pause::default();
    }

    /// Whether there is a pause whose time is over.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.scope.is_some() && now_ms >= self.until_ms
    }

    pub fn scope(&self) -> Option<Scope> {
        self.scope
    }

    /// Whether commands with these flags wait.
    pub fn holds(&self, flags: Flags) -> bool {
        match self.scope {
            None => false,
            Some(Scope::Writes) => flags.has(Flags::WRITE) || flags.has(Flags::MAY_REPLICATE),
            Some(Scope::All) => true,
        }
    }

    pub fn until_ms(&self) -> Option<i64> {
        self.scope.map(|_| self.until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_made_neither_shorter_nor_narrower() {
        let mut pause = Pause::default();
        assert_eq!((pause.scope(), pause.until_ms()), (None, None));
        pause.start(Scope::Writes, 1000);
        pause.start(Scope::All, 10);
        assert_eq!(pause.scope(), Some(Scope::All));
        pause.start(Scope::Writes, 2000);
        assert_eq!(pause.scope(), Some(Scope::All));
        assert_eq!(pause.until_ms(), Some(2000));
        assert!(!pause.is_over(1999));
        assert!(pause.is_over(2000));
        pause.end();
        assert!(!pause.is_over(3000));
        pause.start(Scope::Writes, 1);
        assert_eq!(pause.until_ms(), Some(1));
        assert_eq!(pause.scope(), Some(Scope::Writes));
    }

    #[test]
    fn a_pause_of_writes_holds_what_a_replica_would_hear_of() {
        let mut pause = Pause::default();
        assert!(!pause.holds(Flags::WRITE));
        pause.start(Scope::Writes, 1);
        assert!(pause.holds(Flags::WRITE.or(Flags::FAST)));
        assert!(pause.holds(Flags::MAY_REPLICATE));
        assert!(!pause.holds(Flags::READONLY));
        pause.start(Scope::All, 1);
        assert!(pause.holds(Flags::NO_AUTH));
    }
}
