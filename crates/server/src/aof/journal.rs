//! A shard's side of the append-only log: what is logged of its commands, and when it counts.
//!
//! Effects are written into the chunk of their epoch where they happen, and handed on at the end of a pass.
//! What may still be undone is held until it is committed. What time takes away counts at once.

use super::chunk::{Chunk, Mark};
use super::turn::{Turn, What};
use crate::core::{Core, HostHandler};
use crate::driver::ConnId;
use crate::remote;
use command::table::Entry;
use command::{Effect, Effects, Error, Flags, Form, Outcome};
use engine::Epoch;
use engine::tx::TxId;
use persist::Encoder;
use persist::dump;
use persist::encode::Compression;
use resp::Args;
use resp::number::Decimal;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use store::Look;
use store::watch::Loss;

/// Bytes of a chunk up to which it is copied when it is handed on, and its buffer kept.
const COPIED: usize = 64 << 10;

#[derive(Default)]
pub struct Journal {
    /// By epoch.
    chunks: VecDeque<Chunk>,
    /// The epoch of what runs now; that of the shard if none.
    at: Option<Epoch>,
    /// Nothing is added any more to this epoch and those before.
    pub sealed: Epoch,
    /// The last epoch with an effect of this shard.
    wrote: Epoch,
    /// Effects of something that may be undone, while it runs.
    held: Option<Chunk>,
    /// And until it commits.
    of_programs: HashMap<TxId, Chunk, ahash::RandomState>,
    /// It ends with what is handed on next.
    ends: bool,
    /// Clients whose replies wait for the log.
    pub holders: VecDeque<ConnId>,
    /// Up to which epoch they have been looked after.
    released: Epoch,
    spare: Vec<Vec<u8>>,
}

impl Journal {
    fn epoch(&self, now: Epoch) -> Epoch {
        // What only reads may run when its epoch has been sealed.
        self.at.map_or(now, |at| at.max(self.sealed + 1))
    }

    /// The chunk of what has happened for good.
    fn chunk(&mut self, now: Epoch) -> &mut Chunk {
        let epoch = self.epoch(now);
        self.wrote = self.wrote.max(epoch);
        let at = match self.chunks.iter().rposition(|c| c.epoch <= epoch) {
            Some(i) if self.chunks[i].epoch == epoch => i,
            before => {
                let at = before.map_or(0, |i| i + 1);
                let bytes = self.spare.pop().unwrap_or_default();
                self.chunks.insert(at, Chunk::new(epoch, bytes));
                at
            }
        };
        &mut self.chunks[at]
    }

    /// The chunk of what happens now.
    fn present(&mut self, now: Epoch) -> &mut Chunk {
        if self.held.is_none() {
            return self.chunk(now);
        }
        self.held.get_or_insert_default()
    }
}

/// Notes what a command has done.
#[inline(never)]
pub fn note(
    core: &mut Core,
    entry: &Entry<HostHandler>,
    form: Form,
    db: usize,
    args: Args<'_>,
    outcome: &Outcome,
) {
    note_losses(core);
    let now = core.engine.epoch();
    let (journal, effects) = (&mut core.journal, &mut core.effects);
    // One shard may have had nothing to do, and the others something.
    let marks = matches!(form, Form::Everywhere(..)) && entry.spec.flags.has(Flags::WRITE);
    match outcome {
        Ok(_) if marks => journal.present(now).mark_command(db, args),
        Ok(Effect::Wrote) => put(journal.present(now), db, args, effects),
        _ => {}
    }
    effects.clear();
}

/// Writes a command, or what it has told of itself.
fn put(chunk: &mut Chunk, db: usize, args: Args<'_>, effects: &Effects) {
    if effects.is_told() {
        effects.told().for_each(|told| chunk.call(db, told.args));
    } else {
        chunk.call(db, args);
    }
}

/// Notes what a command has done that ran elsewhere, on values of this shard.
pub fn note_aside(core: &mut Core, db: usize, args: Args<'_>, effects: &Effects) {
    if core.effects.is_on() {
        let now = core.engine.epoch();
        put(core.journal.present(now), db, args, effects);
    }
}

/// Notes what time has taken away since this was called last.
#[inline]
pub fn note_losses(core: &mut Core) {
    if core.shard.has_losses() {
        put_losses(core);
    }
}

#[cold]
fn put_losses(core: &mut Core) {
    let now = core.engine.epoch();
    for Loss { db, key, fields } in core.shard.take_losses() {
        let chunk = core.journal.chunk(now);
        if fields.is_empty() {
            chunk.words(db, &[b"DEL", &key]);
            continue;
        }
        let mut words: Vec<&[u8]> = vec![b"HDEL", &key];
        words.extend(fields.iter().map(|field| &**field));
        chunk.words(db, &words);
    }
}

/// Notes that a key is what it is now.
pub fn note_key(core: &mut Core, db: usize, name: &[u8]) {
    let now = core.engine.epoch();
    let key = core.shard.key(name);
    let chunk = core.journal.present(now);
    let Some(item) = core.shard.look(db, key, Look::Peek) else {
        return chunk.words(db, &[b"DEL", name]);
    };
    let mut encoder = Encoder::new(Compression::None);
    let expiry = Decimal::signed(item.expiry().unwrap_or(0));
    let payload = dump::write(&mut encoder, &item);
    let words: [&[u8]; 6] = [
        b"RESTORE",
        name,
        expiry.as_bytes(),
        payload,
        b"REPLACE",
        b"ABSTTL",
    ];
    chunk.words(db, &words);
}

/// Notes calls of keys of this shard.
pub fn note_calls<'a>(core: &mut Core, db: usize, calls: impl Iterator<Item = Args<'a>>) {
    let now = core.engine.epoch();
    let chunk = core.journal.present(now);
    calls.for_each(|args| chunk.call(db, args));
}

/// What happens now belongs to this epoch; of a program's call, it is held until that commits.
pub fn enter(core: &mut Core, epoch: Epoch, holds: Option<TxId>) {
    if !core.effects.is_on() {
        return;
    }
    core.journal.at = Some(epoch);
    if let Some(tx) = holds {
        let held = core.journal.of_programs.remove(&tx);
        core.journal.held = Some(held.unwrap_or_default());
    }
}

/// Ends what [`enter`] began.
pub fn leave(core: &mut Core, holds: Option<TxId>) {
    if !core.effects.is_on() {
        return;
    }
    note_losses(core);
    core.journal.at = None;
    if let Some(held) = core.journal.held.take()
        && let Some(tx) = holds.filter(|_| !held.is_empty())
    {
        core.journal.of_programs.insert(tx, held);
    }
}

/// Holds what happens from now on. Answers what was held before.
pub fn hold(core: &mut Core) -> Option<Chunk> {
    let on = core.effects.is_on();
    let held = on.then(Chunk::default);
    std::mem::replace(&mut core.journal.held, held)
}

/// What was held has happened, or has not; or waits for a program to commit.
pub enum Fate {
    Happened,
    Undone,
    Waits(TxId),
}

/// Ends [`hold`], which has answered `before`.
pub fn end_hold(core: &mut Core, before: Option<Chunk>, fate: Fate) {
    let now = core.engine.epoch();
    let journal = &mut core.journal;
    let held = std::mem::replace(&mut journal.held, before);
    let Some(mut held) = held.filter(|held| !held.is_empty()) else {
        return;
    };
    match fate {
        Fate::Happened => journal.present(now).add(&mut held),
        Fate::Undone => {}
        Fate::Waits(tx) => {
            // What was held inside of this is there already, and came later.
            if let Some(mut later) = journal.of_programs.remove(&tx) {
                held.add(&mut later);
            }
            journal.of_programs.insert(tx, held);
        }
    }
}

/// A program has committed here.
pub fn commit(core: &mut Core, tx: TxId, epoch: Epoch) {
    if let Some(mut held) = core.journal.of_programs.remove(&tx) {
        enter(core, epoch, None);
        let now = core.engine.epoch();
        core.journal.chunk(now).add(&mut held);
        leave(core, None);
    }
}

/// Or has been undone.
pub fn undo(core: &mut Core, tx: TxId) {
    core.journal.of_programs.remove(&tx);
}

/// Has the log write something even if it is nothing of this shard's data.
pub fn touch(core: &mut Core) {
    if core.effects.is_on() {
        let now = core.engine.epoch();
        core.journal.chunk(now);
    }
}

/// Notes effects from now on, for the log. Losses are noted too.
pub fn switch_on(core: &mut Core) {
    core.effects.want(true);
    core.shard.note_losses(true);
    wake(core);
}

/// Every shard is locked: the log turns to something else here.
pub fn turn(core: &mut Core, turn: Arc<Turn>, epoch: Epoch) {
    match turn.what {
        What::Start => {
            if !core.effects.is_on() {
                switch_on(core);
            }
        }
        What::Stop => core.journal.ends = true,
        What::Rewrite => {}
    }
    if core.effects.is_on() {
        enter(core, epoch, None);
        let now = core.engine.epoch();
        core.journal.chunk(now).mark(Mark::Turn(turn));
        leave(core, None);
    }
}

/// The shard does not sleep any more: it moves on to the epoch of the log before it does anything.
#[inline]
pub fn wake(core: &mut Core) {
    if core.effects.is_on() {
        let hub = &core.process.aof;
        hub.stations[core.me].asleep.store(false, Ordering::SeqCst);
        core.engine.advance(hub.target.load(Ordering::SeqCst));
    }
}

/// The shard is about to wait for something to happen: nothing of it is missing in any epoch that is sealed
/// meanwhile.
#[inline]
pub fn sleep(core: &mut Core) {
    if core.effects.is_on() && core.journal.chunks.is_empty() && !core.engine.has_open_epochs() {
        core.process.aof.note_asleep(core.me);
    }
}

/// Hands on what has happened in this pass, and moves on to the epoch of the log.
#[inline]
pub fn hand_on(core: &mut Core) {
    if core.effects.is_on() {
        hand_on_all(core);
    }
}

#[inline(never)]
fn hand_on_all(core: &mut Core) {
    note_losses(core);
    let process = Arc::clone(&core.process);
    let hub = &process.aof;
    core.engine.advance(hub.target.load(Ordering::SeqCst));
    if core.engine.has_actions() {
        remote::act(core);
    }
    let station = &hub.stations[core.me];
    let journal = &mut core.journal;
    let brings = !journal.chunks.is_empty();
    if brings {
        station.wrote.store(journal.wrote, Ordering::Release);
        let mut bytes = 0;
        let mut mailbox = station.mailbox();
        for mut chunk in journal.chunks.drain(..) {
            bytes += chunk.bytes.len();
            match mailbox.last_mut() {
                Some(last) if last.epoch == chunk.epoch && chunk.bytes.len() <= COPIED => {
                    last.add(&mut chunk);
                    journal.spare.push(chunk.bytes);
                }
                _ => mailbox.push(chunk),
            }
        }
        journal.spare.truncate(1);
        station.full.store(true, Ordering::SeqCst);
        drop(mailbox);
        hub.add(bytes);
    }
    let sealed = station.sealed.swap(journal.sealed, Ordering::SeqCst);
    if brings || sealed != journal.sealed {
        hub.ring_if_dozing();
    }
    if std::mem::take(&mut journal.ends) {
        core.effects.want(false);
        core.shard.note_losses(false);
        hub.note_asleep(core.me);
    }
    hub.wait_for_room();
}

/// The shard ends: it adds nothing any more.
pub fn end(core: &mut Core) {
    hand_on(core);
    if core.effects.is_on() {
        core.process.aof.note_asleep(core.me);
    }
}

/// The last epoch that what this shard shows now may depend on.
pub fn seen(core: &Core) -> Epoch {
    let stations = core.process.aof.stations.iter();
    let wrote = stations.map(|station| station.wrote.load(Ordering::Acquire));
    wrote.max().unwrap_or(0).max(core.journal.wrote)
}

/// What writes are told while the log cannot be written.
pub fn misconf(core: &Core) -> Option<Error> {
    let state = core.process.aof.state();
    let why = state.failure.as_ref()?;
    Some(Error::new(format!(
        "MISCONF Errors writing to the AOF file: {why}"
    )))
}

/// Whether replies wait until the log is durable.
#[inline]
pub fn holds_replies(core: &Core) -> bool {
    core.effects.is_on() && core.process.aof.is_always()
}

/// Up to which epoch everything is durable.
pub fn durable(core: &Core) -> Epoch {
    core.process.aof.durable.load(Ordering::SeqCst)
}

/// A client's replies wait for the log.
pub fn note_holder(core: &mut Core, conn: ConnId) {
    core.journal.holders.push_back(conn);
    let hub = &core.process.aof;
    hub.stations[core.me].holding.store(true, Ordering::SeqCst);
}

/// Whether some of the clients that wait for the log need not any more.
#[inline]
pub fn has_released(core: &Core) -> bool {
    !core.journal.holders.is_empty() && durable(core) != core.journal.released
}

/// Has the clients looked after whose replies need not wait any more.
pub fn release(core: &mut Core) {
    if has_released(core) {
        core.journal.released = durable(core);
        let hub = &core.process.aof;
        hub.stations[core.me].holding.store(false, Ordering::SeqCst);
        for conn in std::mem::take(&mut core.journal.holders) {
            core.clients.mark(conn);
        }
    }
}
