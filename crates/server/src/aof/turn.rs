//! How the log begins, ends and is rewritten while the server runs: at one place of all shards' effects.
//!
//! All shards are locked for a moment, and each marks the place. A rewrite begins a snapshot there, which
//! becomes the base; what comes behind it goes to a new increment.

use super::{Hub, Rewriting};
use crate::core::Core;
use crate::remote::tx;
use crate::snapshot::{self, Save};
use command::Error;
use engine::locks::Mode;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Start,
    Rewrite,
    Stop,
}

/// A turn of the log.
pub struct Turn {
    pub what: What,
    /// The snapshot that becomes the base.
    pub save: Option<Arc<Save>>,
    /// Changes of the functions that its base has.
    pub functions: u64,
}

/// What the thread of the log is told.
pub enum Message {
    /// The base of a turn is written, under its temporary name; or it could not be.
    Base(Arc<Turn>, Result<(), String>),
    /// Everything is to be written, and that is all.
    End,
}

/// Begins a turn on all shards.
fn begin(core: &mut Core, turn: Arc<Turn>) {
    // Exclusive, so that the turn belongs to one epoch, as everything does that writes.
    tx::begin_on_all(core, Mode::Exclusive, |_, part| {
        part.turn = Some(Arc::clone(&turn));
    });
}

/// Begins to log, or to write the log anew.
pub fn rewrite(core: &mut Core) -> Result<(), Error> {
    let process = Arc::clone(&core.process);
    let hub: &Hub = &process.aof;
    let starts = {
        let mut state = hub.state();
        state.scheduled = false;
        state.tried = snapshot::now_s();
        !state.enabled
    };
    let what = if starts { What::Start } else { What::Rewrite };
    let started = snapshot::start_base(core, what);
    let (turn, save) = started.inspect_err(|_| hub.state().failures += 1)?;
    {
        let mut state = hub.state();
        state.rewriting = Some(Rewriting {
            began: snapshot::now_s(),
            save,
        });
        state.rewrites += 1;
        if starts {
            state.enabled = true;
            state.waits_for_base = true;
        }
    }
    log::info!("Background append only file rewriting started");
    begin(core, turn);
    Ok(())
}

/// Seconds after a rewrite that failed, until another is begun without being asked for.
const RETRY_S: i64 = 5;

/// Periodic, on the first shard: begins what is due.
pub fn look_after(core: &mut Core) {
    if core.me != 0 || core.loading {
        return;
    }
    let process = Arc::clone(&core.process);
    let wanted = core.config.appendonly();
    let state = process.aof.state().clone();
    let is_busy = state.rewriting.is_some() || process.snapshots.state().running.is_some();
    if is_busy {
        return;
    }
    let may_try = state.failures == 0 || snapshot::now_s() - state.tried > RETRY_S;
    if state.enabled && !wanted {
        return stop(core);
    }
    let grows = core.config.auto_aof_rewrite_percentage();
    let growth = u128::from(state.size) * 100 / u128::from(state.base_size.max(1));
    let has_grown = state.enabled
        && grows > 0
        && state.size > core.config.auto_aof_rewrite_min_size()
        && growth.saturating_sub(100) >= u128::from(grows);
    let lacks_base = wanted && (!state.enabled || state.waits_for_base);
    if has_grown && may_try {
        log::info!(
            "Starting automatic rewriting of AOF on {}% growth",
            growth.saturating_sub(100)
        );
    }
    if state.scheduled || may_try && (has_grown || lacks_base) {
        let _ = rewrite(core);
    }
}

/// `appendonly` has changed.
pub fn switch(core: &mut Core, on: bool) {
    let process = Arc::clone(&core.process);
    let enabled = process.aof.state().enabled;
    // While it loads it is too early.
    if enabled == on || core.loading {
        return;
    }
    if !on {
        return stop(core);
    }
    if process.snapshots.state().running.is_some() {
        process.aof.state().scheduled = true;
        log::warn!(
            "AOF was enabled but there is already another background operation. An AOF background was \
             scheduled to start when possible."
        );
    } else if let Err(e) = rewrite(core) {
        log::warn!("{}", String::from_utf8_lossy(e.text()));
    }
}

/// Ends the log.
pub fn stop(core: &mut Core) {
    let process = Arc::clone(&core.process);
    {
        let mut state = process.aof.state();
        if !state.enabled {
            return;
        }
        state.enabled = false;
        state.scheduled = false;
        state.waits_for_base = false;
        // A base that is being written would be of no use.
        if let Some(rewriting) = &state.rewriting {
            rewriting.save.abandon();
        }
    }
    log::info!("The append only file is not written any more");
    let turn = Turn {
        what: What::Stop,
        save: None,
        functions: 0,
    };
    begin(core, Arc::new(turn));
}
