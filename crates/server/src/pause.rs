//! CLIENT PAUSE: until when, and which commands wait.

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

    /// Ends the pause; false if there was none.
    pub fn end(&mut self) -> bool {
        self.until_ms = 0;
        self.scope.take().is_some()
    }

    /// Ends the pause if its time is over; true if it ended.
    pub fn expire(&mut self, now_ms: i64) -> bool {
        self.scope.is_some() && now_ms >= self.until_ms && self.end()
    }

    pub fn scope(&self) -> Option<Scope> {
        self.scope
    }

    pub fn until_ms(&self) -> Option<i64> {
        self.scope.map(|_| self.until_ms)
    }
}
