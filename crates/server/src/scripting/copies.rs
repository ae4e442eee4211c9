//! Copies of other shards' keys, on which a program's script works at home.
//!
//! A call whose key is on another shard costs a message there and one back, and the script waits for it. So the
//! shard that answers such a call adds a copy of what the key holds now, if it is small, and the calls that
//! follow on the key run at home on the copy: those that read are over with that, and those that write are
//! executed once more by the key's own shard, together, before the program commits or does anything else that
//! could see the difference. What clients, logs, events and waiting commands get to see of a write comes from
//! there.
//!
//! Both executions come to the same:
//!
//! - The program has the key's lock, shared or exclusive, from the call that brought the copy until its end, and
//!   writes on a copy only under an exclusive one.
//! - Only commands are run here whose outcome follows from the key's value ([`IN_BOTH`]), with expiries that
//!   are relative to now, if any.
//! - A key that could expire meanwhile is not copied, nor is a hash whose fields could.
//! - A program that holds the token may wait with locks in its hands: it has no copies. Nor has one that pauses.

use super::{Call, bytes_of};
use crate::commandlog::{By, Source};
use crate::core::{Actor, Core, HostHandler};
use crate::dispatch::{self, Watch};
use crate::remote::form_of;
use crate::remote::parcel::Parcel;
use crate::remote::plan::{Errand, Plan};
use crate::remote::route::Keys;
use command::table::Entry;
use command::{Context, Effects, Flags};
use engine::tx::ShardId;
use resp::reply::Mark;
use resp::{Args, Reply};
use store::Class;
use store::saved::Saved;

/// Commands with one key, whose reply and effect are the same on any shard that has the key's value.
const IN_BOTH: &[&str] = &[
    "append",
    "bitcount",
    "bitpos",
    "decr",
    "decrby",
    "exists",
    "expire",
    "get",
    "getbit",
    "getdel",
    "getrange",
    "getset",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hincrbyfloat",
    "hkeys",
    "hlen",
    "hmget",
    "hmset",
    "hset",
    "hsetnx",
    "hstrlen",
    "hvals",
    "incr",
    "incrby",
    "incrbyfloat",
    "lindex",
    "linsert",
    "llen",
    "lpop",
    "lpos",
    "lpush",
    "lpushx",
    "lrange",
    "lrem",
    "lset",
    "ltrim",
    "persist",
    "pexpire",
    "psetex",
    "pttl",
    "rpop",
    "rpush",
    "rpushx",
    "sadd",
    "scard",
    "set",
    "setbit",
    "setex",
    "setnx",
    "setrange",
    "sismember",
    "smembers",
    "smismember",
    "srem",
    "strlen",
    "ttl",
    "type",
    "unlink",
    "del",
    "zadd",
    "zcard",
    "zcount",
    "zincrby",
    "zlexcount",
    "zmscore",
    "zpopmax",
    "zpopmin",
    "zrange",
    "zrangebyscore",
    "zrank",
    "zrem",
    "zremrangebyrank",
    "zremrangebyscore",
    "zrevrange",
    "zrevrangebyscore",
    "zrevrank",
    "zscore",
];

/// Commands that have nothing to do with keys.
const NO_MATTER: &[&str] = &["echo", "ping", "publish", "select", "spublish", "time"];

/// Elements, and bytes, that a value may have to be copied.
const MAX_ELEMENTS: usize = 128;
const MAX_BYTES: usize = 8 * 1024;

/// Milliseconds for which a copied key lives on at least. No program that has copies lasts as long.
const LASTS_MS: i64 = 60_000;

/// Keys that a script names of which copies are asked for before it comes to them.
const NAMED_MAX: usize = 64;

/// Copies that a program has, and writes, and bytes of them, that are kept for their shards.
const COPIES_MAX: usize = 256;
const KEPT_MAX: usize = 1000;
const KEPT_BYTES: usize = 256 * 1024;

/// Whether it is checked that calls come to the same here and there.
const CHECKED: bool = cfg!(debug_assertions);

/// Whether calls of a command can be run on copies.
pub fn is_in_both(entry: &Entry<HostHandler>) -> bool {
    entry.parent.is_none() && IN_BOTH.contains(&entry.spec.name)
}

/// A key of which a copy is asked for, and the copy.
pub struct Wanted {
    db: usize,
    name: Box<[u8]>,
    exclusive: bool,
    found: Found,
}

enum Found {
    Nothing,
    /// It is too big, or may expire.
    Unfit,
    Value(Saved),
}

/// A copy, and what calls have made of it.
struct Copy {
    db: usize,
    name: Box<[u8]>,
    exclusive: bool,
    value: Option<Saved>,
}

/// What a program has of other shards' keys.
#[derive(Default)]
pub struct Copies {
    copies: Vec<Copy>,
    /// Calls that their shards have not executed yet.
    kept: Plan,
    bytes: usize,
    /// The time at which the calls run here.
    at_ms: i64,
    /// What kept calls have answered here, by shard, and how many, where that is checked.
    answered: Vec<(ShardId, usize, Reply)>,
    /// The shards that were asked for the keys that the script names.
    asked: Vec<usize>,
}

impl Copies {
    /// The program begins again, and nothing of this has happened.
    pub fn clear(&mut self) {
        *self = Copies::default();
    }

    /// Forgets the copies.
    pub fn forget(&mut self) {
        self.copies.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.copies.is_empty() && !self.has_kept()
    }

    /// Whether there are calls that their shards have not executed yet.
    pub fn has_kept(&self) -> bool {
        !self.kept.pieces.is_empty()
    }

    fn find(&self, db: usize, name: &[u8]) -> Option<usize> {
        let mut copies = self.copies.iter();
        copies.position(|copy| *copy.name == *name && copy.db == db)
    }

    /// Whether a command must come after what is kept, and the copies be forgotten: it may see, or change, a key of
    /// which there is one.
    pub fn concern(
        &self,
        core: &Core,
        db: usize,
        entry: &Entry<HostHandler>,
        args: Args<'_>,
    ) -> bool {
        if self.is_empty() || NO_MATTER.contains(&entry.spec.name) {
            return false;
        }
        if entry.spec.flags.has(Flags::READONLY) && !self.has_kept() {
            return false;
        }
        let key = args.opt(1).filter(|_| has_one_key(core, entry, args));
        key.is_none_or(|key| self.find(db, key).is_some())
    }

    /// Runs a call on the copy of its key; false if that cannot be.
    pub fn run(
        &mut self,
        core: &mut Core,
        like: &Parcel,
        db: usize,
        entry: &Entry<HostHandler>,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> bool {
        if self.copies.is_empty() || !core.ways[entry.index].in_both {
            return false;
        }
        let Some(at) = args.opt(1).and_then(|name| self.find(db, name)) else {
            return false;
        };
        let writes = entry.spec.flags.has(Flags::WRITE);
        if writes && !self.copies[at].exclusive {
            // Nothing is kept of the key yet. The call brings a copy that can be changed.
            self.copies.swap_remove(at);
            return false;
        }
        if !has_one_key(core, entry, args) || is_absolute(entry, args) {
            return false;
        }
        let mut watch = Watch::start(Source::One(args));
        let by = By::Actor(Actor::of(like));
        if !writes {
            watch.next(core, by, entry.index, 0, args.len());
        }
        let copy = &mut self.copies[at];
        let desk = &mut core.desk;
        desk.set_now(self.at_ms);
        desk.reset_stats();
        desk.want_events(Class::NONE);
        let key = desk.key(args.get(1));
        desk.put_back(db, key, copy.value.take());
        let outcome = form_of(entry).handler()(&mut Context {
            shard: desk,
            db,
            args,
            hash: None,
            warm: false,
            reply,
            settings: &core.settings,
            effects: &mut Effects::default(),
        });
        copy.value = desk.take_away(db, key);
        let stats = desk.stats;
        match (outcome, writes) {
            (Ok(_), _) => {}
            // It is counted where it is executed again.
            (Err(error), true) => reply.error(error.text()),
            (Err(error), false) => dispatch::fail(core, reply, entry.index, &error),
        }
        if writes {
            self.keep(core, like, db, entry, args, reply);
        } else {
            core.shard.stats.hits += stats.hits;
            core.shard.stats.misses += stats.misses;
            watch.stop(core, by);
        }
        true
    }

    /// Has a call that was run here executed by its key's shard too, later.
    fn keep(
        &mut self,
        core: &mut Core,
        like: &Parcel,
        db: usize,
        entry: &Entry<HostHandler>,
        args: Args<'_>,
        reply: &Reply,
    ) {
        self.kept.push(core, like, db, entry, args);
        self.bytes += args.iter().map(<[u8]>::len).sum::<usize>();
        if !CHECKED {
            return;
        }
        let shard = core.placement.of(args.get(1)) as ShardId;
        let mut answered = self.answered.iter_mut();
        match answered.find(|(of, ..)| *of == shard) {
            Some((_, calls, all)) if all.protocol() == reply.protocol() => {
                *calls += 1;
                all.append(reply, Mark::default(), reply.mark());
            }
            // The script has changed the protocol.
            Some(_) => {}
            None => {
                let mut all = Reply::new(reply.protocol());
                all.append(reply, Mark::default(), reply.mark());
                self.answered.push((shard, 1, all));
            }
        }
    }

    /// Whether so much is kept that it is time to have it executed.
    pub fn is_full(&self) -> bool {
        self.kept.pieces.len() >= KEPT_MAX || self.bytes >= KEPT_BYTES
    }

    /// Has a shard that a call goes to add a copy of its key, and, the first time, of all keys that it has of
    /// those that the script names.
    pub fn ask(&mut self, core: &Core, call: &Call, names: Args<'_>, errand: &mut Errand) {
        let payload = &mut errand.payload;
        let shard = usize::from(errand.shard);
        if shard == core.me
            || !payload.part.is_batch
            || payload.len() != 1
            || self.copies.len() >= COPIES_MAX
        {
            return;
        }
        let Some(db) = payload.part.dbs.first().copied() else {
            return;
        };
        let exclusive = errand.want.writes();
        let (entry, args) = payload.command(0);
        if !core.ways[entry].in_both {
            return;
        }
        let Some(name) = args.opt(1) else {
            return;
        };
        let is_named = call.keys(names).any(|key| key == name);
        let mut wanted = vec![Wanted {
            db,
            name: name.into(),
            exclusive: exclusive || is_named && !call.read_only,
            found: Found::Unfit,
        }];
        if !self.asked.contains(&shard) {
            self.asked.push(shard);
            for key in call.keys(names).take(NAMED_MAX) {
                let is_new = wanted.iter().all(|other| *other.name != *key);
                if is_new && core.placement.of(key) == shard && self.find(db, key).is_none() {
                    wanted.push(Wanted {
                        db,
                        name: key.into(),
                        exclusive: !call.read_only,
                        found: Found::Unfit,
                    });
                }
            }
        }
        payload.part.copies = wanted;
    }

    /// Takes the copies that an answer has brought.
    pub fn take(&mut self, core: &Core, parcel: &mut Parcel) {
        for wanted in parcel.part.copies.drain(..) {
            let Wanted {
                db,
                name,
                exclusive,
                found,
            } = wanted;
            if let Some(at) = self.find(db, &name) {
                self.copies.swap_remove(at);
            }
            let value = match found {
                Found::Unfit => continue,
                Found::Nothing => None,
                Found::Value(saved) => Some(saved),
            };
            if self.is_empty() {
                self.at_ms = core.shard.now_ms();
            }
            self.copies.push(Copy {
                db,
                name,
                exclusive,
                value,
            });
        }
    }

    /// Calls that were kept must have been answered as they were here.
    pub fn check(&mut self, parcel: &Parcel) {
        let mut answered = self.answered.iter();
        if let Some(at) = answered.position(|(shard, ..)| *shard == parcel.part.shard) {
            let (_, calls, here) = self.answered.swap_remove(at);
            // Some were left out.
            if calls != parcel.done() {
                return;
            }
            let (here, there) = (bytes_of(&here), bytes_of(&parcel.reply));
            let shown = String::from_utf8_lossy;
            assert!(
                here == there,
                "{:?} is not {:?}",
                shown(&here),
                shown(&there)
            );
        }
    }

    /// What is kept, as a plan to have it executed.
    pub fn plan(&mut self) -> Plan {
        self.bytes = 0;
        let mut kept = std::mem::take(&mut self.kept);
        kept.end_batches();
        kept
    }
}

/// Whether a call is about one key, the first argument. SORT may look up others.
fn has_one_key(core: &Core, entry: &Entry<HostHandler>, args: Args<'_>) -> bool {
    let way = core.ways[entry.index];
    let of_several = matches!(way.keys, Keys::Each { .. }) && args.len() == 2;
    (way.one || of_several) && entry.spec.unspecified.is_none()
}

/// Whether a call names a point in time.
fn is_absolute(entry: &Entry<HostHandler>, args: Args<'_>) -> bool {
    let names = |arg: &[u8]| arg.eq_ignore_ascii_case(b"EXAT") || arg.eq_ignore_ascii_case(b"PXAT");
    entry.spec.name == "set" && args.iter().skip(3).any(names)
}

/// Adds the copies to an answer that its home has asked for.
pub fn add_to(core: &mut Core, parcel: &mut Parcel) {
    for wanted in &mut parcel.part.copies {
        let key = core.shard.key(&wanted.name);
        let until_ms = core.shard.now_ms() + LASTS_MS;
        wanted.found =
            match core
                .shard
                .save_small(wanted.db, key, MAX_ELEMENTS, MAX_BYTES, until_ms)
            {
                Ok(Some(saved)) => Found::Value(saved),
                Ok(None) => Found::Nothing,
                Err(_) => Found::Unfit,
            };
    }
}
