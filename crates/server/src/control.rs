//! What is the same for the whole server and changes rarely: configuration, pause, DEBUG's switches,
//! listening sockets.
//!
//! The truth is one [`Control`] behind a mutex in [`Process`]; every shard works with copies of its
//! own, and no command on data comes near the mutex. A command that changes something does so on
//! whatever shard its client is, under the mutex, and then has every shard reload (see
//! [`crate::remote::survey`]); it is answered when all have. So two changes at a time are one after the
//! other, and who was told OK finds the change in force whichever shard it talks to.
//!
//! Sockets are accepted from by the first shard alone. A change of port is therefore made here and
//! left for that shard to fetch when it reloads.

use crate::config::Config;
use crate::core::{Core, Process, Request};
use crate::listen::{Listener, Listeners};
use crate::session::debug::Switches;
use engine::{Pause, Scope};
use std::sync::{Arc, MutexGuard};

/// The shard that accepts connections.
const ACCEPTING: usize = 0;

pub struct Control {
    pub config: Config,
    /// Changes with the configuration, so that a reload for another reason need not copy it.
    pub edition: u64,
    pub pause: Pause,
    pub switches: Switches,
    pub listeners: Listeners,
    /// Sockets that the accepting shard is to take instead of its present TCP ones.
    pub moved: Option<Vec<Listener>>,
}

impl Control {
    pub fn new(config: Config, listeners: Listeners) -> Control {
        Control {
            config,
            edition: 0,
            pause: Pause::default(),
            switches: Switches::default(),
            listeners,
            moved: None,
        }
    }

    pub fn configure(&mut self, config: Config) {
        self.config = config;
        self.edition += 1;
    }

    /// CLIENT PAUSE. What is left of a pause whose time is over counts for nothing.
    pub fn start_pause(&mut self, scope: Scope, until_ms: i64, now_ms: i64) {
        if self.pause.is_over(now_ms) {
            self.pause.end();
        }
        self.pause.start(scope, until_ms);
    }
}

impl Process {
    /// Whoever panics ends the process, so there is no state to mistrust behind a poisoned mutex.
    pub fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Core {
    /// Brings this shard's copies up to date.
    pub fn reload(&mut self) {
        let process = Arc::clone(&self.process);
        let mut control = process.control();
        if control.edition != self.edition {
            self.edition = control.edition;
            self.config = control.config.clone();
            self.apply_config();
        }
        self.debug = control.switches;
        if self.me == ACCEPTING
            && let Some(listeners) = control.moved.take()
        {
            self.requests.push(Request::MoveTcp(listeners));
        }
        let pause = control.pause;
        drop(control);
        if pause.scope().is_some() && !pause.is_over(self.now_ms()) {
            self.pause_clients(pause);
        } else {
            self.unpause_clients();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_pause_inherits_nothing_from_one_that_is_over() {
        let listeners = Listeners::new(&[]).expect("no sockets");
        let mut control = Control::new(Config::default(), listeners);
        control.start_pause(Scope::All, 1000, 0);
        control.start_pause(Scope::Writes, 2000, 999);
        assert_eq!(control.pause.scope(), Some(Scope::All));
        assert_eq!(control.pause.until_ms(), Some(2000));
        control.start_pause(Scope::Writes, 2500, 2000);
        assert_eq!(control.pause.scope(), Some(Scope::Writes));
        assert_eq!(control.pause.until_ms(), Some(2500));
    }
}
