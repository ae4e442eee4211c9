//! CLIENT PAUSE on a shard: the flag that makes commands take the careful way, and the clients that
//! go on when the pause ends.

use crate::clients::Special;
use crate::core::Core;
use engine::Scope;

impl Core {
    /// CLIENT PAUSE.
    pub fn pause_clients(&mut self, scope: Scope, until_ms: i64) {
        self.pause.start(scope, until_ms);
        self.special.set(Special::PAUSED, true);
    }

    /// CLIENT UNPAUSE.
    pub fn unpause_clients(&mut self) {
        self.pause.end();
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
