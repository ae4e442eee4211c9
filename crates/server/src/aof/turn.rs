//! How the log begins, ends and is rewritten while the server runs: at one place of all shards' effects.
//!
//! All shards are locked for a moment, and each marks the place. A rewrite begins a snapshot there, which
//! becomes the base; what comes behind it goes to a new increment.

use super::Hub;
use super::writer::Base;
use crate::core::Core;
use crate::remote::parcel::Parcel;
use crate::snapshot::{self, Save};
use command::Error;
use engine::locks::{Mode, Want};
use engine::tx::{Kind, Part, ShardId};
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
}

/// What the thread of the log is told.
pub enum Message {
    /// The base of a turn is written, under this name; or it could not be.
    Base(Arc<Turn>, Result<Base, String>),
    /// Everything is to be written, and that is all.
    End,
}

/// Begins a turn on all shards.
fn begin(core: &mut Core, turn: Arc<Turn>) {
    let part = |shard| {
        let mut payload = Box::<Parcel>::default();
        payload.home = core.me;
        payload.part.turn = Some(Arc::clone(&turn));
        // Exclusive, so that the turn belongs to one epoch, as everything does that writes.
        Part::new(shard as ShardId, Want::Whole(Mode::Exclusive), payload)
    };
    let parts = (0..core.placement.shards()).map(part).collect();
    let tx = core.engine.begin(Kind::Write, parts);
    core.note_locks();
    core.cuts.insert(tx);
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
    let turn = snapshot::start_base(core, what).inspect_err(|_| {
        let mut state = hub.state();
        state.rewrite_failed = true;
    })?;
    {
        let mut state = hub.state();
        state.rewriting = Some(snapshot::now_s());
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
    }
    // A base that is being written would be of no use.
    if let Some(save) = snapshot::base_under_way(core) {
        save.abandon();
    }
    let turn = Turn {
        what: What::Stop,
        save: None,
    };
    begin(core, Arc::new(turn));
}
