//! Client-side caching: who has read which keys, and how these clients hear that a key has changed.
//!
//! ```text
//!   a tracking client reads ──► the key's shard remembers it: key → readers      (Table)
//!   the key changes there   ──► a notice to each reader's shard ──► pushed, or sent on to the
//!                                                                   client that it redirects to
//! ```
//!
//! A client that has all changes of some prefixes broadcast is known to every shard, each of which gathers
//! the keys that have changed in a pass of its loop, and tells them at its end.
//!
//! What must hold is that a client never hears of a change before it has got the reply that the change made
//! stale: it would cache the old value and keep it. The shard of the key sends both on one ring in their
//! order, but a reply may wait at home for others of its batch. So a notice waits too, while anything of the
//! client's is out ([`Client::is_out`]), and is written when the replies are.
//!
//! As in Redis, keys are tracked by name, whatever the database, and a reader is told once and forgotten.

use crate::clients::{Client, Closing, Special};
use crate::core::{Actor, Core, HostHandler};
use crate::remote::parcel::Sender;
use crate::remote::route::{self, Keys};
use crate::remote::{Answer, Request};
use command::Flags;
use command::table::Entry;
use resp::{Args, Protocol, Reply};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use store::watch::Change;

/// The channel that a client of RESP2 gets invalidations over.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// Which reads of a client are remembered, or that none is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    All,
    /// Those after CLIENT CACHING YES.
    OptIn,
    /// Those not after CLIENT CACHING NO.
    OptOut,
    /// None: it hears of all keys with its prefixes.
    Broadcast,
}

/// What a tracking client has asked for.
#[derive(Debug, Default)]
pub struct Caching {
    pub mode: Mode,
    pub no_loop: bool,
    /// The client that gets the invalidations, and its shard.
    pub redirect: Option<Redirect>,
    /// It was found to have gone.
    pub broken: bool,
    /// CLIENT CACHING was called for the next command.
    pub called: bool,
    /// In [`Mode::Broadcast`].
    pub prefixes: BTreeSet<Box<[u8]>>,
    /// News that wait for replies.
    pub held: Vec<News>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub shard: usize,
    pub client: u64,
}

impl Caching {
    /// Whether a read that begins now is to be remembered.
    pub fn remembers(&self) -> bool {
        match self.mode {
            Mode::All => true,
            Mode::OptIn => self.called,
            Mode::OptOut => !self.called,
            Mode::Broadcast => false,
        }
    }
}

/// A client, and the shard that it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    pub home: usize,
    pub sender: Sender,
}

/// What a client is told.
#[derive(Clone, Debug)]
pub enum News {
    /// These keys have changed, each by a client, or by none: 0.
    Keys {
        keys: Vec<(Arc<[u8]>, u64)>,
        broadcast: bool,
    },
    /// All keys of a database have gone.
    Flushed,
}

/// What shards tell each other.
pub enum Notice {
    News {
        to: Sender,
        news: News,
    },
    /// For the client that another one redirects to.
    Redirected(Redirected),
    /// The client that this one redirects to has gone.
    Broken {
        to: Sender,
        client: u64,
    },
}

pub struct Redirected {
    to: u64,
    from: Reader,
    /// None: all of them.
    keys: Option<Vec<Arc<[u8]>>>,
    /// Whose null it is.
    protocol: Protocol,
}

/// Keys, and the client that has changed each, or 0.
type Changed = BTreeMap<Arc<[u8]>, u64>;

/// What a shard knows of tracking clients.
#[derive(Default)]
pub struct Tracking {
    /// Its own.
    clients: Vec<Sender>,
    table: Table,
    /// Those of all shards that have changes broadcast, by prefix.
    prefixes: BTreeMap<Box<[u8]>, Vec<Reader>>,
    /// What has changed in this pass, by prefix.
    changed: BTreeMap<Box<[u8]>, Changed>,
    /// Notices for clients that are at work.
    late: Vec<Notice>,
}

impl Tracking {
    /// Whether changes of keys have to be logged.
    #[inline]
    pub fn is_on(&self) -> bool {
        !self.clients.is_empty() || !self.table.slots.is_empty() || !self.prefixes.is_empty()
    }

    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    pub fn keys(&self) -> usize {
        self.table.slots.len()
    }

    /// Readers of all keys.
    pub fn items(&self) -> usize {
        self.table.items
    }

    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }
}

/// The keys of a shard that tracking clients have read.
#[derive(Default)]
struct Table {
    places: HashMap<Arc<[u8]>, usize, ahash::RandomState>,
    slots: Vec<(Arc<[u8]>, Vec<Reader>)>,
    items: usize,
}

impl Table {
    fn add(&mut self, key: &[u8], reader: Reader) {
        let at = match self.places.get(key) {
            Some(at) => *at,
            None => {
                let key: Arc<[u8]> = key.into();
                self.places.insert(Arc::clone(&key), self.slots.len());
                self.slots.push((key, Vec::new()));
                self.slots.len() - 1
            }
        };
        let readers = &mut self.slots[at].1;
        if !readers.contains(&reader) {
            readers.push(reader);
            self.items += 1;
        }
    }

    fn take(&mut self, key: &[u8]) -> Option<(Arc<[u8]>, Vec<Reader>)> {
        let at = *self.places.get(key)?;
        Some(self.take_at(at))
    }

    /// Takes the entry of a place; the last one comes there.
    fn take_at(&mut self, at: usize) -> (Arc<[u8]>, Vec<Reader>) {
        let (key, readers) = self.slots.swap_remove(at);
        self.places.remove(&key);
        if let Some((moved, _)) = self.slots.get(at)
            && let Some(place) = self.places.get_mut(moved)
        {
            *place = at;
        }
        self.items -= readers.len();
        (key, readers)
    }
}

/// Whether a read of this client that begins now is to be remembered.
pub fn reads(client: &Client) -> bool {
    let caching = client.session.tracking.as_ref();
    caching.is_some_and(|caching| caching.remembers())
}

/// Remembers who has called a command that reads keys of this shard.
#[cold]
#[inline(never)]
pub fn remember(core: &mut Core, entry: &Entry<HostHandler>, args: Args<'_>) {
    if !entry.spec.flags.has(Flags::READONLY) {
        return;
    }
    let way = core.ways[entry.index];
    let mut keys = Vec::new();
    if way.keys == Keys::First {
        keys.extend(args.opt(1));
    } else {
        let mut places = Vec::new();
        route::place(entry, way, core.placement, args, &mut places);
        let own = places.iter().filter(|place| place.shard == core.me);
        keys.extend(own.map(|place| args.get(place.at)));
    }
    remember_keys(core, keys.into_iter());
}

/// Remembers who reads keys of this shard.
pub fn remember_keys<'k>(core: &mut Core, keys: impl Iterator<Item = &'k [u8]>) {
    let Actor { sender, home, .. } = core.actor;
    for key in keys {
        core.tracking.table.add(key, Reader { home, sender });
    }
    let most = match core.config.tracking_table_max_keys() {
        0 => usize::MAX,
        most => (most / core.placement.shards()).max(1),
    };
    while core.tracking.keys() > most {
        let at = core.shard.random() as usize % core.tracking.keys();
        let (key, readers) = core.tracking.table.take_at(at);
        tell_readers(core, &key, 0, readers);
    }
    core.note_locks();
}

/// Keys have changed: tells those who have read them, and notes them for those who hear of all.
#[cold]
#[inline(never)]
pub fn note(core: &mut Core, log: &[Change]) {
    let by = core.actor.sender.client;
    let mut flushed = false;
    for change in log {
        match change {
            Change::Key { key, .. } => changed(core, key, by),
            Change::Flushed(_) => flushed = true,
            // Redis tells nobody.
            Change::Swapped(..) => {}
        }
    }
    if flushed {
        core.tracking.table = Table::default();
        for to in core.tracking.clients.clone() {
            deliver(core, to, News::Flushed);
        }
    }
}

fn changed(core: &mut Core, key: &[u8], by: u64) {
    if !core.tracking.prefixes.is_empty() {
        let name: Arc<[u8]> = key.into();
        let Tracking {
            prefixes, changed, ..
        } = &mut core.tracking;
        for prefix in prefixes.keys().filter(|prefix| key.starts_with(prefix)) {
            let keys = match changed.get_mut(prefix) {
                Some(keys) => keys,
                None => changed.entry(prefix.clone()).or_default(),
            };
            keys.insert(Arc::clone(&name), by);
        }
    }
    if let Some((key, readers)) = core.tracking.table.take(key) {
        tell_readers(core, &key, by, readers);
    }
}

fn tell_readers(core: &mut Core, key: &Arc<[u8]>, by: u64, readers: Vec<Reader>) {
    for reader in readers {
        let news = News::Keys {
            keys: vec![(Arc::clone(key), by)],
            broadcast: false,
        };
        tell(core, reader, news);
    }
}

fn tell(core: &mut Core, reader: Reader, news: News) {
    let Reader { home, sender: to } = reader;
    if home == core.me {
        return deliver(core, to, news);
    }
    let notice = Box::new(Notice::News { to, news });
    core.node.send_reply(home, Answer::Notice(notice));
}

/// Tells those who hear of all keys which of this shard's have changed in this pass.
pub fn broadcast(core: &mut Core) {
    while let Some((prefix, keys)) = core.tracking.changed.pop_first() {
        let readers = core.tracking.prefixes.get(&prefix);
        for reader in readers.cloned().unwrap_or_default() {
            let news = News::Keys {
                keys: keys.iter().map(|(k, by)| (Arc::clone(k), *by)).collect(),
                broadcast: true,
            };
            tell(core, reader, news);
        }
    }
}

/// Does what another shard tells.
pub fn hear(core: &mut Core, notice: Notice) {
    match notice {
        Notice::News { to, news } => deliver(core, to, news),
        Notice::Redirected(redirected) => redirect(core, redirected),
        Notice::Broken { to, client } => note_broken(core, to, client),
    }
}

/// Takes a client of this shard out of its place, unless it is at work, has gone, or is going.
fn take(core: &mut Core, sender: Sender) -> Option<Box<Client>> {
    let client = core.clients.get(sender.conn)?;
    let is_there = client.id == sender.client && client.closing == Closing::No;
    is_there.then(|| core.clients.take(sender.conn)).flatten()
}

/// Writes to a client that [`take`] has taken, and puts it back.
fn write(
    core: &mut Core,
    mut client: Box<Client>,
    news: impl FnOnce(&mut Core, &mut Client, &mut Reply),
) {
    let conn = client.conn;
    let mut reply = std::mem::take(&mut client.reply);
    if reply.is_empty() {
        reply.put_buffer(core.spare.take());
    }
    news(core, &mut client, &mut reply);
    if reply.is_empty() {
        let (buffer, _) = reply.take();
        core.spare.put(buffer);
    }
    client.reply = reply;
    core.clients.put(client);
    core.clients.mark(conn);
}

/// Whether a client of this shard is at work: it is there, and not in its place.
fn is_at_work(core: &Core, to: Sender) -> bool {
    core.clients.conn_of(to.client) == Some(to.conn) && core.clients.get(to.conn).is_none()
}

/// Tells a client of this shard.
fn deliver(core: &mut Core, to: Sender, news: News) {
    if is_at_work(core, to) {
        return core.tracking.late.push(Notice::News { to, news });
    }
    let Some(mut client) = take(core, to) else {
        return;
    };
    let is_out = client.is_out();
    match &mut client.session.tracking {
        Some(caching) if is_out || !caching.held.is_empty() => {
            caching.held.push(news);
            core.clients.put(client);
            core.clients.mark(to.conn);
        }
        _ => write(core, client, |core, client, reply| {
            send(core, client, reply, news)
        }),
    }
}

/// Writes what has waited for a client's replies, if they are all there.
pub fn release(core: &mut Core, client: &mut Client, reply: &mut Reply) {
    if client.is_out() {
        return;
    }
    if let Some(caching) = &mut client.session.tracking {
        for news in std::mem::take(&mut caching.held) {
            send(core, client, reply, news);
        }
    }
}

/// [`release`] for a client in its place.
pub fn release_at(core: &mut Core, sender: Sender) {
    if let Some(client) = take(core, sender) {
        write(core, client, release);
    }
}

/// Whether something waits for a client's replies, which are all there.
pub fn is_due(client: &Client) -> bool {
    let caching = client.session.tracking.as_ref();
    caching.is_some_and(|caching| !caching.held.is_empty()) && !client.is_out()
}

/// Tells a client that is at work what its own command has changed, behind the reply.
pub fn tell_own(core: &mut Core, client: &mut Client, reply: &mut Reply) {
    if core.tracking.late.is_empty() {
        return;
    }
    let own = Sender::of(client);
    let is_own = |notice: &mut Notice| matches!(notice, Notice::News { to, .. } if *to == own);
    let notices: Vec<Notice> = core.tracking.late.extract_if(.., is_own).collect();
    if let Some(caching) = &mut client.session.tracking {
        let news = notices.into_iter().filter_map(|notice| match notice {
            Notice::News { news, .. } => Some(news),
            _ => None,
        });
        caching.held.extend(news);
    }
    release(core, client, reply);
}

/// Tells clients that were at work; now none is.
pub fn tell_late(core: &mut Core) {
    for notice in std::mem::take(&mut core.tracking.late) {
        hear(core, notice);
    }
}

/// Writes news to a client, or sends them to the one that it redirects to.
fn send(core: &mut Core, client: &mut Client, reply: &mut Reply, news: News) {
    let Some(caching) = &client.session.tracking else {
        return;
    };
    let keys = match news {
        News::Flushed => None,
        News::Keys { broadcast, .. } if broadcast != (caching.mode == Mode::Broadcast) => return,
        News::Keys { keys, .. } => {
            let is_own = |by: u64| caching.no_loop && by == client.id;
            let keys = keys.into_iter().filter(|(_, by)| !is_own(*by));
            let keys: Vec<Arc<[u8]>> = keys.map(|(key, _)| key).collect();
            if keys.is_empty() {
                return;
            }
            Some(keys)
        }
    };
    let protocol = reply.protocol();
    match caching.redirect {
        None => invalidate(reply, false, keys.as_deref(), protocol),
        Some(Redirect { client: to, .. }) if to == client.id => {
            let subscribed = client.special.has(Special::SUBSCRIBED);
            invalidate(reply, subscribed, keys.as_deref(), protocol);
        }
        Some(Redirect { shard, client: to }) => {
            let from = Reader {
                home: core.me,
                sender: Sender::of(client),
            };
            let redirected = Redirected {
                to,
                from,
                keys,
                protocol,
            };
            if shard != core.me {
                let notice = Box::new(Notice::Redirected(redirected));
                core.node.send_reply(shard, Answer::Notice(notice));
            } else if core.clients.conn_of(to).is_some() {
                redirect(core, redirected);
            } else {
                write_broken(client, reply, to);
            }
        }
    }
}

/// Writes an invalidation; `subscribed` says that a client of RESP2 can tell it from a reply.
fn invalidate(reply: &mut Reply, subscribed: bool, keys: Option<&[Arc<[u8]>]>, protocol: Protocol) {
    match reply.protocol() {
        Protocol::Resp3 => {
            reply.push(2);
            reply.bulk(b"invalidate");
        }
        Protocol::Resp2 if subscribed => {
            reply.array(3);
            reply.bulk(b"message");
            reply.bulk(CHANNEL);
        }
        Protocol::Resp2 => return,
    }
    match keys {
        Some(keys) => {
            reply.array(keys.len());
            keys.iter().for_each(|key| reply.bulk(key));
        }
        None => {
            let mut null = Reply::new(protocol);
            null.null();
            reply.raw(null.bytes());
        }
    }
}

/// Tells a client of this shard what another one redirects to it.
fn redirect(core: &mut Core, redirected: Redirected) {
    let client = redirected.to;
    let Some(conn) = core.clients.conn_of(client) else {
        let Reader { home, sender: to } = redirected.from;
        if home == core.me {
            return note_broken(core, to, client);
        }
        let notice = Box::new(Notice::Broken { to, client });
        return core.node.send_reply(home, Answer::Notice(notice));
    };
    let sender = Sender { conn, client };
    let subscriptions = core.clients.get(conn).map(|c| &c.session.subscriptions);
    // A message has to come behind the confirmation of what it is a message for.
    let is_early = subscriptions.is_some_and(|s| s.as_ref().is_some_and(|s| s.is_unconfirmed()));
    if is_early || is_at_work(core, sender) {
        return core.tracking.late.push(Notice::Redirected(redirected));
    }
    if let Some(client) = take(core, sender) {
        write(core, client, |_, client, reply| {
            let subscribed = client.special.has(Special::SUBSCRIBED);
            let keys = redirected.keys.as_deref();
            invalidate(reply, subscribed, keys, redirected.protocol);
        });
    }
}

/// The client that one of this shard's redirects to has gone.
fn note_broken(core: &mut Core, to: Sender, client: u64) {
    if is_at_work(core, to) {
        return core.tracking.late.push(Notice::Broken { to, client });
    }
    if let Some(own) = take(core, to) {
        write(core, own, |_, own, reply| write_broken(own, reply, client));
    }
}

fn write_broken(own: &mut Client, reply: &mut Reply, client: u64) {
    if let Some(caching) = &mut own.session.tracking
        && caching.redirect.is_some_and(|r| r.client == client)
    {
        caching.broken = true;
        if reply.protocol() == Protocol::Resp3 {
            reply.push(2);
            reply.bulk(b"tracking-redir-broken");
            reply.int(client as i64);
        }
    }
}

/// Begins to track, or goes on otherwise. What is held stays.
pub fn enable(core: &mut Core, client: &mut Client, caching: Caching) {
    let own = Sender::of(client);
    let before = client.session.tracking.replace(Box::new(caching));
    match before {
        None => core.tracking.clients.push(own),
        Some(before) => {
            if let Some(now) = &mut client.session.tracking {
                now.held = before.held;
            }
        }
    }
    client.special.set(Special::TRACKING, true);
    core.note_locks();
}

/// Ends tracking. Keys that it has read are forgotten when they change.
pub fn disable(core: &mut Core, client: &mut Client) {
    let Some(caching) = client.session.tracking.take() else {
        return;
    };
    client.special.set(Special::TRACKING, false);
    let own = Sender::of(client);
    core.tracking.clients.retain(|other| *other != own);
    if caching.mode == Mode::Broadcast {
        announce_gone(core, own);
    }
    core.note_locks();
}

/// Tells all shards that a client of this one hears of no prefix any more.
pub fn announce_gone(core: &mut Core, own: Sender) {
    let me = core.me;
    for shard in (0..core.placement.shards()).filter(|shard| *shard != me) {
        core.node.send_request(shard, Request::Untrack(own));
    }
    forget_prefixes(core, me, own);
}

/// A client has changes of keys with these prefixes broadcast.
pub fn note_prefixes<'p>(
    core: &mut Core,
    home: usize,
    sender: Sender,
    prefixes: impl Iterator<Item = &'p [u8]>,
) {
    let reader = Reader { home, sender };
    for prefix in prefixes {
        let readers = core.tracking.prefixes.entry(prefix.into()).or_default();
        if !readers.contains(&reader) {
            readers.push(reader);
        }
    }
    core.note_locks();
}

pub fn forget_prefixes(core: &mut Core, home: usize, sender: Sender) {
    let gone = Reader { home, sender };
    core.tracking.prefixes.retain(|_, readers| {
        readers.retain(|reader| *reader != gone);
        !readers.is_empty()
    });
    core.note_locks();
}

/// CLIENT CACHING with this word, if it is one for the client's mode; whether it is.
pub fn call(client: &mut Client, word: &[u8]) -> bool {
    let Some(caching) = &mut client.session.tracking else {
        return false;
    };
    let mode = match word.to_ascii_lowercase().as_slice() {
        b"yes" => Mode::OptIn,
        _ => Mode::OptOut,
    };
    caching.called |= caching.mode == mode;
    caching.mode == mode
}

/// A command of the client is over: CLIENT CACHING was for it, unless it was one of CLIENT's, or the
/// client is between MULTI and EXEC.
pub fn turn(client: &mut Client, was_client: bool) {
    if let Some(caching) = &mut client.session.tracking
        && !was_client
        && client.session.multi.is_none()
    {
        caching.called = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::ConnId;

    fn reader(client: u64) -> Reader {
        Reader {
            home: 0,
            sender: Sender {
                conn: ConnId(client as u32),
                client,
            },
        }
    }

    #[test]
    fn readers_are_kept_once_and_taken_with_their_key() {
        let mut table = Table::default();
        for (key, client) in [("a", 1), ("b", 1), ("a", 2), ("a", 1), ("c", 3)] {
            table.add(key.as_bytes(), reader(client));
        }
        assert_eq!((table.slots.len(), table.items), (3, 4));
        let (_, readers) = table.take(b"a").expect("it was read");
        assert_eq!(readers, [reader(1), reader(2)]);
        assert!(table.take(b"a").is_none());
        // The last entry has come to the place of the first.
        assert_eq!(table.take(b"c").expect("it was read").1, [reader(3)]);
        assert_eq!(table.take(b"b").expect("it was read").1, [reader(1)]);
        assert_eq!(
            (table.slots.len(), table.items, table.places.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn opting_says_what_is_remembered() {
        let remembers = |mode, called| {
            Caching {
                mode,
                called,
                ..Caching::default()
            }
            .remembers()
        };
        let wanted = [
            (Mode::All, true, true),
            (Mode::OptIn, false, true),
            (Mode::OptOut, true, false),
            (Mode::Broadcast, false, false),
        ];
        for (mode, plain, called) in wanted {
            assert_eq!(
                (remembers(mode, false), remembers(mode, true)),
                (plain, called)
            );
        }
    }
}
