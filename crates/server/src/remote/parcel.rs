//! Commands on their way to another shard, and their replies on the way home.
//!
//! A parcel is made by the shard of the client, filled with the commands of one batch for one other
//! shard, executed there, and comes home with the replies encoded. It is a box that its home uses
//! again and again, so that in the long run neither shard allocates for it, and memory is freed
//! where it was allocated.

use super::flight::Flight;
use crate::aof::turn::Turn;
use crate::blocking::Arrivals;
use crate::clients::{Client, Special};
use crate::driver::ConnId;
use crate::scripting::copies::Wanted;
use crate::snapshot::Save;
use crate::tracking;
use command::Context;
use engine::Epoch;
use engine::tx::ShardId;
use persist::Batch;
use resp::reply::Mark;
use resp::{Args, Pack, Protocol, Reply};
use std::sync::Arc;
use store::watch::Seen;
use store::{Event, Loan};

/// Whose commands a parcel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    pub conn: ConnId,
    /// Tells a client from a later one of the same connection number.
    pub client: u64,
}

impl Sender {
    pub fn of(client: &Client) -> Sender {
        Sender {
            conn: client.conn,
            client: client.id,
        }
    }
}

impl Default for Sender {
    fn default() -> Sender {
        Sender {
            conn: ConnId(u32::MAX),
            client: 0,
        }
    }
}

#[derive(Default)]
pub struct Parcel {
    pub sender: Sender,
    pub db: usize,
    /// The client's shard.
    pub home: usize,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// CLIENT TRACKING: keys that it reads are remembered.
    pub reads: bool,
    /// See [`crate::pause::Afloat`].
    pub tide: u64,
    /// The epoch of the shard that has sent it.
    pub epoch: Epoch,
    commands: Pack,
    /// Index in the command table of each command.
    entries: Vec<u16>,
    pub reply: Reply,
    /// Bytes of `reply` up to the end of each command's.
    ends: Vec<u32>,
    /// Of a part of a transaction.
    pub part: Part,
}

/// What a part of a transaction has besides its command.
#[derive(Default)]
pub struct Part {
    /// For each key of the part, which key of the whole command it is.
    pub places: Vec<u32>,
    /// The part's arguments that are keys: the first of them, and how many there are from one to the
    /// next.
    pub first: usize,
    pub step: usize,
    /// The databases in which a gathering command touches its keys.
    pub databases: Vec<usize>,
    /// Values lent to the shard that executes, by database and argument of the part.
    pub loans: Vec<(usize, usize, Option<Loan>)>,
    /// Keys that the shard has in the database: its weight in a draw.
    pub weight: usize,
    /// It is a batch of an EXEC: any number of commands, which run one after the other.
    pub is_batch: bool,
    /// The database of each command of a batch.
    pub dbs: Vec<usize>,
    /// Keys that an EXEC's client watches, by database, and what they were like.
    pub watches: Vec<(usize, Box<[u8]>, Seen)>,
    /// Which parcel of its EXEC it is.
    pub parcel: usize,
    /// In a program: the shard that it goes to, and whether it gives back what was lent.
    pub shard: ShardId,
    pub applies: bool,
    /// What it changes may have to be undone.
    pub saves: bool,
    /// It was not executed: what it would have changed is too big to be saved.
    pub too_big: bool,
    /// For each key of the whole command, whether the command writes it.
    pub writes: Vec<bool>,
    /// What has happened to the part's keys on the desk.
    pub events: Vec<Event>,
    /// Those who wait for the part's keys from now on.
    pub arrivals: Option<Arrivals>,
    /// The client's command is to begin again: it could not be executed for this key alone.
    pub again: bool,
    /// How long its shard has worked on it.
    pub ticks: u64,
    /// Keys of which a program wants copies.
    pub copies: Vec<Wanted>,
    /// It is no command: a save begins.
    pub cut: Option<Arc<Save>>,
    /// The log turns to something else.
    pub turn: Option<Arc<Turn>>,
    /// What is to be logged of the part, instead of what its keys have become.
    pub told: Option<Pack>,
    /// It is no command: the keys of a file take the place of all others.
    pub keys: Option<Vec<Batch>>,
}

impl Part {
    /// Notes the client's database, and another in which the command touches its keys.
    pub fn reaches(&mut self, db: usize, other: Option<usize>) {
        self.databases.push(db);
        self.databases.extend(other);
    }

    /// Whether its shard has something to do once the command has run on the desk.
    pub fn has_outcome(&self) -> bool {
        !self.loans.is_empty()
            || !self.events.is_empty()
            || self.arrivals.is_some()
            || self.told.as_ref().is_some_and(|told| !told.is_empty())
    }

    fn clear(&mut self) {
        self.places.clear();
        self.databases.clear();
        self.loans.clear();
        self.weight = 0;
        self.is_batch = false;
        self.dbs.clear();
        self.watches.clear();
        self.parcel = 0;
        self.applies = false;
        self.saves = false;
        self.too_big = false;
        self.writes.clear();
        self.events.clear();
        self.arrivals = None;
        self.again = false;
        self.ticks = 0;
        self.copies.clear();
        self.cut = None;
        self.turn = None;
        self.told = None;
        self.keys = None;
    }
}

/// Capacity of a reply that a parcel keeps, in bytes.
const REPLY_KEPT: usize = 64 * 1024;

impl Parcel {
    /// How many commands there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Command `i`: its index in the command table and its arguments.
    #[inline]
    pub fn command(&self, i: usize) -> (usize, Args<'_>) {
        (self.entries[i] as usize, self.commands.command(i))
    }

    /// Has the parcel itself loaded into this core's cache.
    #[inline]
    pub fn fetch(&self) {
        mesh::ahead::fetch(std::ptr::from_ref(self).cast(), size_of::<Parcel>());
    }

    /// Whether this is a part of a transaction on certain keys.
    #[inline]
    pub fn is_part(&self) -> bool {
        !self.part.places.is_empty()
    }

    /// [`Parcel::is_part`], on keys all of which [`Parcel::keys`] names.
    pub fn is_short_part(&self) -> bool {
        (1..=Context::PREFETCHED).contains(&self.part.places.len())
    }

    /// Has the commands loaded into this core's cache.
    #[inline]
    pub fn fetch_commands(&self) {
        self.commands.memory(mesh::ahead::fetch);
        mesh::ahead::fetch(self.entries.as_ptr().cast(), size_of_val(&self.entries[..]));
    }

    /// Has the replies loaded into this core's cache.
    #[inline]
    pub fn fetch_replies(&self) {
        let bytes = self.reply.bytes();
        mesh::ahead::fetch(bytes.as_ptr(), bytes.len());
        mesh::ahead::fetch(self.ends.as_ptr().cast(), size_of_val(&self.ends[..]));
    }

    /// Adds a command.
    #[inline]
    pub fn push(&mut self, entry: usize, args: Args<'_>) {
        self.entries.push(entry as u16);
        self.commands.push(args);
    }

    /// Adds the command that was put together in [`Parcel::pack`].
    pub fn end(&mut self, entry: usize) {
        self.commands.end();
        self.entries.push(entry as u16);
    }

    /// [`Parcel::push`] into a batch, for a command in a database.
    pub fn push_in(&mut self, db: usize, entry: usize, args: Args<'_>) {
        self.part.dbs.push(db);
        self.push(entry, args);
    }

    /// [`Parcel::end`] in a batch.
    pub fn end_in(&mut self, db: usize, entry: usize) {
        self.part.dbs.push(db);
        self.end(entry);
    }

    pub fn pack(&mut self) -> &mut Pack {
        &mut self.commands
    }

    /// Makes an empty parcel one of this client.
    fn address(&mut self, client: &Client, protocol: Protocol) {
        self.sender = Sender::of(client);
        self.db = client.db;
        self.no_touch = client.special.has(Special::NO_TOUCH);
        self.reads = tracking::reads(client);
        self.reply.set_protocol(protocol);
    }

    /// Makes an empty parcel one of the same client as another.
    fn resemble(&mut self, other: &Parcel) {
        self.sender = other.sender;
        self.db = other.db;
        self.home = other.home;
        self.no_touch = other.no_touch;
        self.reads = other.reads;
        self.reply.set_protocol(other.reply.protocol());
    }

    /// Command `i` and where its reply goes.
    #[inline]
    pub fn split(&mut self, i: usize) -> (usize, Args<'_>, &mut Reply) {
        (
            self.entries[i] as usize,
            self.commands.command(i),
            &mut self.reply,
        )
    }

    /// The command of a part of a transaction, and the rest of it.
    pub fn part_of(&mut self) -> (Args<'_>, &mut Part) {
        (self.commands.command(0), &mut self.part)
    }

    /// The hashes of the keys of a part, up to [`Context::PREFETCHED`] of them.
    pub fn keys(&self, hash: impl Fn(&[u8]) -> u64, mut each: impl FnMut(u64)) {
        let Part { first, step, .. } = self.part;
        for i in 0..self.part.places.len().min(Context::PREFETCHED) {
            if let Some(key) = self.commands.command(0).opt(first + i * step) {
                each(hash(key));
            }
        }
    }

    /// Notes that a command's reply ends here.
    #[inline]
    pub fn executed(&mut self) {
        self.ends.push(self.reply.written() as u32);
    }

    /// Commands whose replies are there.
    pub fn done(&self) -> usize {
        self.ends.len()
    }

    /// Where the replies of commands `from..to` stand.
    #[inline]
    pub fn between(&self, from: usize, to: usize) -> (Mark, Mark) {
        let end_of = |i: usize| self.reply.mark_at(self.ends[i] as usize);
        let start = from.checked_sub(1).map_or(Mark::default(), end_of);
        let end = to.checked_sub(1).map_or(Mark::default(), end_of);
        (start, end)
    }

    /// Empties the parcel and keeps its buffers.
    pub fn clear(&mut self) {
        self.commands.clear();
        self.entries.clear();
        self.ends.clear();
        self.part.clear();
        if self.reply.capacity() > REPLY_KEPT {
            self.reply.take();
        }
        self.reply.clear();
    }
}

/// Empty parcels and flights of one shard. They stay in their boxes, in which they travel.
#[allow(clippy::vec_box)]
#[derive(Default)]
pub struct Stock {
    parcels: Vec<Box<Parcel>>,
    flights: Vec<Box<Flight>>,
    /// The shard's number.
    home: usize,
}

/// Empty parcels, and empty flights, kept.
const STOCK_MAX: usize = 256;

impl Stock {
    /// Nothing yet, for the shard of this number.
    pub fn new(home: usize) -> Stock {
        Stock {
            home,
            ..Stock::default()
        }
    }

    /// An empty parcel of this client.
    #[inline]
    pub fn parcel(&mut self, client: &Client, protocol: Protocol) -> Box<Parcel> {
        let mut parcel = self.parcels.pop().unwrap_or_default();
        parcel.home = self.home;
        parcel.address(client, protocol);
        parcel
    }

    /// An empty parcel of the same client as another.
    pub fn like(&mut self, other: &Parcel) -> Box<Parcel> {
        let mut parcel = self.parcels.pop().unwrap_or_default();
        parcel.resemble(other);
        parcel
    }

    /// The same with buffers of its own, for one that is kept for long.
    pub fn lasting(other: &Parcel) -> Box<Parcel> {
        let mut parcel = Box::<Parcel>::default();
        parcel.resemble(other);
        parcel
    }

    #[inline]
    pub fn flight(&mut self) -> Box<Flight> {
        self.flights.pop().unwrap_or_default()
    }

    pub fn put_parcel(&mut self, mut parcel: Box<Parcel>) {
        if self.parcels.len() < STOCK_MAX {
            parcel.clear();
            self.parcels.push(parcel);
        }
    }

    /// Takes back a flight that has been unloaded.
    pub fn put_flight(&mut self, flight: Box<Flight>) {
        if self.flights.len() < STOCK_MAX {
            self.flights.push(flight);
        }
    }
}
