//! Commands of one client cut into what each shard is to do, and their replies put together again.
//!
//! A plan's *strides* are done one after the other: a batch of commands on one shard, or a gathering
//! command, for which values are lent to the client's shard and, changed, given back. Each names the
//! locks that it needs. Who holds them, and whether strides may run side by side, is decided by whoever
//! has the plan: EXEC ([`super::exec`]) or a script ([`crate::scripting`]).

use super::form_of;
use super::parcel::Parcel;
use super::route::{Keys, Placed, To};
use super::tx::{Answered, Work, cut, merge, other_database};
use crate::core::{Core, HostHandler};
use command::table::Entry;
use command::{Flags, Form, Merge};
use engine::locks::{Mode, Name, Want};
use engine::tx::ShardId;
use resp::{Args, Reply};
use std::collections::VecDeque;

/// Where the reply to a command is found.
pub enum Piece {
    /// Nowhere yet: it is not on data, and runs when its turn has come.
    Host,
    /// It is the reply to a command of one of the parcels.
    One { parcel: usize, at: usize },
    /// It is put together.
    Many {
        parts: Vec<(ShardId, usize, usize)>,
        keys: Vec<Placed>,
        merge: Merge,
    },
}

/// A part of a plan on one shard, with the locks that it needs.
pub struct Errand {
    pub shard: ShardId,
    pub want: Want,
    pub payload: Box<Parcel>,
}

/// What is done one after the other.
pub enum Stride {
    /// A batch of commands runs on a shard.
    Batch(Errand),
    /// A command runs at home, on values that are lent.
    Gather(Box<Gathering>),
}

pub struct Gathering {
    /// Which parcel its reply becomes.
    place: usize,
    work: Work,
    /// Parts that are still to be lent, or given back.
    out: VecDeque<Errand>,
    combined: bool,
    /// It reads keys that the values name which are lent first.
    searches: bool,
}

/// Commands, cut and on their way.
#[derive(Default)]
pub struct Plan {
    pub pieces: Vec<Piece>,
    /// Parcels that are home, with replies.
    parcels: Vec<Option<Box<Parcel>>>,
    pub strides: VecDeque<Stride>,
    gathering: Option<Box<Gathering>>,
    /// The batches that are being filled, and which parcels they will be.
    batches: Vec<(usize, Errand)>,
}

/// Adds to what is wanted; whoever takes it puts it into order.
pub fn add(want: &mut Want, more: Want) {
    match (&mut *want, more) {
        (Want::Keys(keys), Want::Keys(more)) => keys.extend(more),
        (mine, more) => {
            let exclusive = mine.writes() || more.writes();
            *mine = Want::Whole(Mode::of(exclusive));
        }
    }
}

/// [`add`] to what is wanted of a shard.
pub fn want_of(wants: &mut Vec<(ShardId, Want)>, shard: ShardId, more: Want) {
    match wants.iter_mut().find(|(of, _)| *of == shard) {
        Some((_, want)) => add(want, more),
        None => wants.push((shard, more)),
    }
}

impl Plan {
    /// A plan of commands that all travel in one parcel, the first.
    pub fn of_one_parcel(commands: usize) -> Plan {
        Plan {
            pieces: (0..commands)
                .map(|at| Piece::One { parcel: 0, at })
                .collect(),
            parcels: vec![None],
            ..Plan::default()
        }
    }

    /// Adds a command that is not on data.
    pub fn push_host(&mut self) {
        self.pieces.push(Piece::Host);
    }

    /// Adds a command on data. `like` is a parcel of its client.
    pub fn push(
        &mut self,
        core: &mut Core,
        like: &Parcel,
        db: usize,
        entry: &Entry<HostHandler>,
        args: Args<'_>,
    ) {
        let form = form_of(entry);
        let to = match super::place(core, entry, args) {
            To::Several if core.alone => To::Shard(core.me),
            To::Shard(_) if super::searches(core, entry, args) => To::Several,
            to => to,
        };
        let mut keys = std::mem::take(&mut core.places);
        let piece = match to {
            To::Anywhere => {
                let shard = core.me as ShardId;
                let batch = self.batch(core, like, shard, Want::default());
                batch.push_in(db, entry.index, args);
                self.last_of(shard)
            }
            To::Shard(shard) => {
                let shard = shard as ShardId;
                let want = super::wanted(core, entry, args);
                let batch = self.batch(core, like, shard, want);
                batch.push_in(db, entry.index, args);
                self.last_of(shard)
            }
            To::Several => match form {
                Form::Everywhere(_, merge) => self.everywhere(core, like, db, entry, args, merge),
                Form::Fan(_, merge) => self.fan(core, like, db, entry, args, &keys, merge),
                Form::Gather(..) => self.gather(core, like, db, entry, args, &keys),
                Form::Local(_) | Form::Walk(_) => unreachable!("its keys are on one shard"),
            },
        };
        self.pieces.push(piece);
        keys.clear();
        core.places = keys;
    }

    fn everywhere(
        &mut self,
        core: &mut Core,
        like: &Parcel,
        db: usize,
        entry: &Entry<HostHandler>,
        args: Args<'_>,
        merge: Merge,
    ) -> Piece {
        let mode = Mode::of(entry.spec.flags.has(Flags::WRITE));
        let mut parts = Vec::new();
        for shard in 0..core.placement.shards() as ShardId {
            let batch = self.batch(core, like, shard, Want::Whole(mode));
            batch.push_in(db, entry.index, args);
            parts.push(self.end_of(shard));
        }
        let keys = Vec::new();
        Piece::Many { parts, keys, merge }
    }

    #[allow(clippy::too_many_arguments)]
    fn fan(
        &mut self,
        core: &mut Core,
        like: &Parcel,
        db: usize,
        entry: &Entry<HostHandler>,
        args: Args<'_>,
        keys: &[Placed],
        merge: Merge,
    ) -> Piece {
        let step = match core.ways[entry.index].keys {
            Keys::Each { step } => step,
            _ => 1,
        };
        let mut parts = Vec::new();
        for (i, first) in keys.iter().enumerate() {
            if keys[..i].iter().any(|key| key.shard == first.shard) {
                continue;
            }
            let shard = first.shard as ShardId;
            let own = || keys.iter().filter(|key| key.shard == first.shard);
            let name = |key: &Placed| {
                let name = Name(core.shard.key(args.get(key.at)).hash);
                (name, Mode::of(key.writes))
            };
            let want = Want::Keys(own().map(name).collect());
            let batch = self.batch(core, like, shard, want);
            batch.pack().add(args, 0);
            for key in own() {
                (key.at..key.at + step).for_each(|i| batch.pack().add(args, i));
            }
            batch.end_in(db, entry.index);
            parts.push(self.end_of(shard));
        }
        let keys = keys.to_vec();
        Piece::Many { parts, keys, merge }
    }

    fn gather(
        &mut self,
        core: &mut Core,
        like: &Parcel,
        db: usize,
        entry: &Entry<HostHandler>,
        args: Args<'_>,
        keys: &[Placed],
    ) -> Piece {
        self.end_batches();
        let place = self.parcels.len();
        self.parcels.push(None);
        let form = form_of(entry);
        let mut whole = core.stock.like(like);
        whole.db = db;
        whole.push(entry.index, args);
        let other = other_database(core, db, form, args);
        let mut out = VecDeque::new();
        for part in cut(core, like, entry, args, keys, 0) {
            let mut payload = part.payload;
            payload.db = db;
            payload.part.reaches(db, other);
            payload.part.writes = keys.iter().map(|key| key.writes).collect();
            out.push_back(Errand {
                shard: part.shard,
                want: part.want,
                payload,
            });
        }
        let gathering = Gathering {
            place,
            work: Work {
                effects: core.effects.apart(),
                whole,
                keys: keys.to_vec(),
                parts: Vec::new(),
                handler: form.handler(),
                settings: core.settings,
                wanted: core.notices.wanted(),
                time_ms: 0,
                blocking: None,
                calls: Vec::new(),
                events: Vec::new(),
            },
            out,
            combined: false,
            searches: super::searches(core, entry, args),
        };
        self.strides.push_back(Stride::Gather(Box::new(gathering)));
        Piece::One {
            parcel: place,
            at: 0,
        }
    }

    /// The batch of a shard, to put a command into that needs these locks.
    fn batch(&mut self, core: &mut Core, like: &Parcel, shard: ShardId, want: Want) -> &mut Parcel {
        let at = self.batches.iter().position(|(_, b)| b.shard == shard);
        let at = match at {
            Some(at) => {
                add(&mut self.batches[at].1.want, want);
                at
            }
            None => {
                let mut payload = core.stock.like(like);
                payload.part.is_batch = true;
                payload.part.parcel = self.parcels.len();
                let errand = Errand {
                    shard,
                    want,
                    payload,
                };
                self.batches.push((self.parcels.len(), errand));
                self.parcels.push(None);
                self.batches.len() - 1
            }
        };
        &mut self.batches[at].1.payload
    }

    /// Shard, parcel and place of the command put last into a shard's batch.
    fn end_of(&self, shard: ShardId) -> (ShardId, usize, usize) {
        let batch = self.batches.iter().find(|(_, b)| b.shard == shard);
        let (parcel, batch) = batch.expect("a command was put there");
        (shard, *parcel, batch.payload.len() - 1)
    }

    fn last_of(&self, shard: ShardId) -> Piece {
        let (_, parcel, at) = self.end_of(shard);
        Piece::One { parcel, at }
    }

    /// What comes now comes after all batches so far.
    pub fn end_batches(&mut self) {
        let batches = self.batches.drain(..);
        self.strides
            .extend(batches.map(|(_, errand)| Stride::Batch(errand)));
    }

    /// All that the strides need of each shard.
    pub fn wants(&self) -> Vec<(ShardId, Want)> {
        let mut wants = Vec::new();
        for stride in &self.strides {
            match stride {
                Stride::Batch(Errand { shard, want, .. }) => {
                    want_of(&mut wants, *shard, want.clone());
                }
                Stride::Gather(gathering) => {
                    for Errand { shard, want, .. } in &gathering.out {
                        want_of(&mut wants, *shard, want.clone());
                    }
                }
            }
        }
        wants
    }

    /// Whether there is more than a batch on each shard.
    pub fn gathers(&self) -> bool {
        let mut strides = self.strides.iter();
        strides.any(|stride| matches!(stride, Stride::Gather(_)))
    }

    /// What is to be done next, if there is something left.
    pub fn next(&mut self, core: &mut Core) -> Option<Errand> {
        loop {
            if let Some(mut gathering) = self.gathering.take() {
                if gathering.out.is_empty() && !gathering.combined {
                    if std::mem::take(&mut gathering.searches) {
                        gathering.search(core);
                    }
                    if gathering.out.is_empty() {
                        gathering.combine(core);
                    }
                }
                if let Some(mut errand) = gathering.out.pop_front() {
                    errand.payload.part.shard = errand.shard;
                    errand.payload.part.applies = gathering.combined;
                    self.gathering = Some(gathering);
                    return Some(errand);
                }
                let Gathering { place, work, .. } = *gathering;
                self.parcels[place] = Some(work.whole);
                continue;
            }
            match self.strides.pop_front()? {
                Stride::Batch(mut errand) => {
                    errand.payload.part.shard = errand.shard;
                    return Some(errand);
                }
                Stride::Gather(gathering) => self.gathering = Some(gathering),
            }
        }
    }

    /// Takes home what [`Plan::next`] has sent out.
    pub fn take_home(&mut self, core: &mut Core, parcel: Box<Parcel>) {
        match &mut self.gathering {
            Some(gathering) if gathering.combined => core.stock.put_parcel(parcel),
            Some(gathering) => gathering.work.parts.push((parcel.part.shard, parcel)),
            None => {
                if let Some(place) = self.parcels.get_mut(parcel.part.parcel) {
                    *place = Some(parcel);
                }
            }
        }
    }

    /// Writes the reply to a command, all of which is home.
    pub fn write(&self, core: &mut Core, reply: &mut Reply, command: usize) {
        let answer = |shard: ShardId, parcel: usize, at: usize| {
            let parcel = self.parcels[parcel].as_ref();
            let parcel = parcel.expect("all parcels are home");
            let (from, to) = parcel.between(at, at + 1);
            Answered {
                shard,
                reply: &parcel.reply,
                from,
                to,
                weight: parcel.part.weight as u64,
            }
        };
        match &self.pieces[command] {
            Piece::Host => unreachable!("its own handler answers it"),
            Piece::One { parcel, at } => answer(0, *parcel, *at).write(reply),
            Piece::Many { parts, keys, merge } => {
                let answers: Vec<_> = parts.iter().map(|(s, p, at)| answer(*s, *p, *at)).collect();
                self::merge(reply, *merge, &answers, keys, core.shard.random());
            }
        }
    }

    /// The first parcel, if it is home.
    pub fn first_parcel(&self) -> Option<&Parcel> {
        self.parcels.first()?.as_deref()
    }

    pub fn dispose(self, core: &mut Core) {
        for parcel in self.parcels.into_iter().flatten() {
            core.stock.put_parcel(parcel);
        }
    }
}

impl Gathering {
    /// Finds out which further keys the command reads, and has them lent.
    fn search(&mut self, core: &mut Core) {
        self.work.settings.shards = 1;
        let db = self.work.whole.db;
        let names = self.work.names(&mut core.desk, core.shard.now_ms());
        for name in names {
            let known = self.work.parts.iter().any(|(_, part)| {
                let args = part.command(0).1;
                args.iter().any(|other| other == name)
            });
            if known {
                continue;
            }
            let shard = core.placement.of(&name);
            let place = self.work.keys.len();
            self.work.keys.push(Placed {
                at: usize::MAX,
                shard,
                writes: false,
            });
            let name_of = Name(core.shard.key(&name).hash);
            let at = self.out.iter().position(|e| usize::from(e.shard) == shard);
            let at = at.unwrap_or_else(|| {
                let mut payload = core.stock.like(&self.work.whole);
                payload.db = db;
                payload.part.reaches(db, None);
                self.out.push_back(Errand {
                    shard: shard as ShardId,
                    want: Want::default(),
                    payload,
                });
                self.out.len() - 1
            });
            let errand = &mut self.out[at];
            add(&mut errand.want, Want::key(name_of, Mode::Shared));
            errand.payload.part.places.push(place as u32);
            errand.payload.pack().add_bytes(&name);
        }
        let entry = self.work.whole.command(0).0;
        for errand in &mut self.out {
            errand.payload.end(entry);
            errand.payload.part.writes = vec![false; self.work.keys.len()];
        }
    }

    /// Runs the command on what was lent, and has given back what has changed.
    fn combine(&mut self, core: &mut Core) {
        self.combined = true;
        self.work.time_ms = core.shard.now_ms();
        let (outcome, stats) = self.work.perform(&mut core.desk);
        self.work.account(core, outcome, stats);
        self.work.whole.executed();
        for (shard, part) in self.work.parts.drain(..) {
            if part.part.has_outcome() {
                // Its locks are held already.
                self.out.push_back(Errand {
                    shard,
                    want: Want::default(),
                    payload: part,
                });
            } else {
                core.stock.put_parcel(part);
            }
        }
    }
}
