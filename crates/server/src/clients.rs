//! Clients: what the server knows of each connection.
//!
//! A client is a box in a slot of its connection's number. While its commands run it is taken out of
//! its slot, so that a handler has it and, beside it, everybody else.

use crate::blocking::Blocked;
use crate::driver::{ConnId, Output};
use crate::pubsub::Subscriptions;
use crate::remote::exec::Exec;
use crate::remote::flight::Flight;
use crate::session::multi::{Multi, WatchedKey};
use crate::tracking::Caching;
use engine::Epoch;
use engine::tx::{TxId, Waiter};
use resp::parse::Input;
use resp::{Protocol, Reply};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What makes a client's commands take the careful way instead of the plain one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Special(pub u32);

impl Special {
    pub const NONE: Special = Special(0);
    /// It has not authenticated. It must, as long as a password is set.
    pub const UNAUTHENTICATED: Special = Special(1 << 0);
    /// CLIENT REPLY OFF.
    pub const REPLY_OFF: Special = Special(1 << 1);
    /// CLIENT REPLY SKIP: no reply to the command that runs now.
    pub const REPLY_SKIP: Special = Special(1 << 2);
    /// CLIENT REPLY SKIP was the command before.
    pub const REPLY_SKIP_NEXT: Special = Special(1 << 3);
    /// CLIENT NO-TOUCH ON.
    pub const NO_TOUCH: Special = Special(1 << 4);
    /// Of the whole shard: CLIENT PAUSE.
    pub const PAUSED: Special = Special(1 << 5);
    /// It has subscriptions.
    pub const SUBSCRIBED: Special = Special(1 << 6);
    /// It is between MULTI and EXEC.
    pub const MULTI: Special = Special(1 << 7);
    /// MONITOR.
    pub const MONITOR: Special = Special(1 << 8);
    /// Of the whole shard: there are monitors, here or elsewhere.
    pub const MONITORED: Special = Special(1 << 9);
    /// CLIENT TRACKING ON.
    pub const TRACKING: Special = Special(1 << 10);
    /// It came while the server was loading, which goes on.
    pub const LOADING: Special = Special(1 << 12);
    /// Of the whole shard: saving fails, and writes are refused for it.
    pub const DENIES_WRITES: Special = Special(1 << 11);

    /// Of the whole shard: a script runs for too long, somewhere, and concerns all.
    pub const BUSY: Special = Special(1 << 13);

    #[inline]
    pub fn is_plain(self) -> bool {
        self.0 == 0
    }

    pub const fn or(self, other: Special) -> Special {
        Special(self.0 | other.0)
    }

    /// Whether any of the others is set.
    #[inline]
    pub fn has(self, other: Special) -> bool {
        self.0 & other.0 != 0
    }

    pub fn set(&mut self, other: Special, on: bool) {
        self.0 = if on {
            self.0 | other.0
        } else {
            self.0 & !other.0
        };
    }
}

/// Whether and when a connection will be closed by us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    #[default]
    No,
    /// When everything written so far has been sent.
    AfterReply,
    /// At once.
    Now,
}

/// Where a connection came from.
#[derive(Clone, Debug)]
pub enum Peer {
    Tcp {
        remote: SocketAddr,
        local: SocketAddr,
    },
    Unix {
        path: Arc<str>,
    },
}

impl Peer {
    /// `ip:port`, or the socket's path with `:0`, as CLIENT LIST shows it.
    pub fn remote(&self) -> String {
        match self {
            Peer::Tcp { remote, .. } => shown(remote),
            Peer::Unix { path } => format!("{path}:0"),
        }
    }

    pub fn local(&self) -> String {
        match self {
            Peer::Tcp { local, .. } => shown(local),
            Peer::Unix { path } => format!("{path}:0"),
        }
    }

    /// [`Peer::remote`] without the port.
    pub fn ip(&self) -> String {
        match self {
            Peer::Tcp { remote, .. } => remote.ip().to_string(),
            Peer::Unix { path } => path.to_string(),
        }
    }

    /// Whether the connection cannot come from another machine.
    pub fn is_local(&self) -> bool {
        match self {
            Peer::Tcp { remote, .. } => match remote.ip() {
                std::net::IpAddr::V4(ip) => ip.is_loopback(),
                std::net::IpAddr::V6(ip) => {
                    ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
                }
            },
            Peer::Unix { .. } => true,
        }
    }
}

/// As Redis shows an address: without the scope of a link-local one.
fn shown(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(a) => a.to_string(),
        SocketAddr::V6(a) => format!("[{}]:{}", a.ip(), a.port()),
    }
}

/// What a client has said of itself and what is remembered of it.
pub struct Session {
    pub peer: Peer,
    /// For CLIENT LIST alone: the driver owns it.
    pub fd: RawFd,
    pub name: Box<[u8]>,
    pub lib_name: Box<[u8]>,
    pub lib_version: Box<[u8]>,
    pub no_evict: bool,
    /// CLIENT CAPA REDIRECT.
    pub redirect: bool,
    /// Unix time in milliseconds.
    pub created_ms: i64,
    pub last_active_ms: i64,
    /// Index in the command table of the command run last.
    pub last_command: Option<usize>,
    pub commands: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Bytes given to the driver that it has not reported as sent.
    pub in_flight: usize,
    /// Since when the output has been above its soft limit.
    pub over_soft_since_ms: Option<i64>,
    /// Nothing while there are none.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// What it has queued, between MULTI and EXEC.
    pub multi: Option<Box<Multi>>,
    pub watched: Vec<WatchedKey>,
    /// Its EXEC, as far as the replies are not written.
    pub exec: Option<Box<Exec>>,
    /// A command of its EXEC runs, which must not have it wait.
    pub denies_blocking: bool,
    /// CLIENT TRACKING.
    pub tracking: Option<Box<Caching>>,
}

pub struct Client {
    pub id: u64,
    pub conn: ConnId,
    pub db: usize,
    pub special: Special,
    pub input: Input,
    /// Replies that the driver has not been given yet.
    pub reply: Reply,
    pub closing: Closing,
    /// It is in the list of clients to be looked after at the end of the pass.
    pub dirty: bool,
    /// Its commands wait: for the end of CLIENT PAUSE, or for its output to be read.
    pub held: Option<Held>,
    /// Its commands that other shards execute.
    pub flight: Option<Box<Flight>>,
    /// Its command that several shards execute.
    pub transaction: Option<TxId>,
    /// Its command that all shards are asked about.
    pub survey: Option<u64>,
    /// Its command runs aside.
    pub aside: bool,
    /// Its script runs on another shard, or waits for locks.
    pub script: bool,
    /// It waits for a key.
    pub blocked: Option<Box<Blocked>>,
    /// Replies that wait until the log is durable up to an epoch.
    pub outbox: VecDeque<(Epoch, Output)>,
    /// How often sending its replies has been put off.
    pub delayed: u8,
    /// Its next command has waited for locks, which are its own now.
    pub granted: Option<Waiter>,
    /// The peer has sent its last byte.
    pub ended: bool,
    pub session: Session,
}

/// Why a client's commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Paused,
    Output,
    /// Its last command is done on another thread: see [`crate::tasks`].
    Task,
    /// Other shards execute its commands.
    Remote,
    /// A key of its next command is locked.
    Locked,
    /// It waits for a key: see [`crate::blocking`].
    Blocked,
    /// Another shard cannot keep up with this one: see [`crate::core::Core::congested`].
    Congested,
}

/// How often in a row sending may be put off, and up to how many bytes.
const DELAYS_MAX: u8 = 8;
const DELAYED_MAX: usize = 8 * 1024;

impl Client {
    /// Whether its replies are better sent with those that other shards are about to give. That is
    /// so for a moment only: `delayed` counts how often it was said since the last sending.
    pub fn delays_reply(&mut self) -> bool {
        let delays = self.held == Some(Held::Remote)
            && self.is_away()
            && self.delayed < DELAYS_MAX
            && self.reply.len() < DELAYED_MAX;
        self.delayed += u8::from(delays);
        delays
    }

    /// Whether its last command has not been executed yet, here or elsewhere.
    pub fn is_away(&self) -> bool {
        match self.held {
            Some(Held::Remote) => {
                self.flight.is_some()
                    || self.transaction.is_some()
                    || self.survey.is_some()
                    || self.aside
                    || self.script
            }
            Some(Held::Locked) => self.granted.is_none(),
            Some(Held::Blocked) => self.blocked.is_some(),
            _ => false,
        }
    }

    /// Whether replies to commands that have begun are still to come.
    pub fn is_out(&self) -> bool {
        self.flight.is_some()
            || self.transaction.is_some()
            || self.survey.is_some()
            || self.session.exec.is_some()
            || self.aside
    }

    /// Bytes that wait for the log.
    pub fn outbox_len(&self) -> usize {
        self.outbox.iter().map(|(_, output)| output.len()).sum()
    }

    /// Whether it stands for a script, which has no connection.
    pub fn is_script(&self) -> bool {
        self.id == 0
    }

    pub fn new(id: u64, conn: ConnId, peer: Peer, fd: RawFd, now_ms: i64) -> Client {
        Client {
            id,
            conn,
            db: 0,
            special: Special::NONE,
            input: Input::default(),
            reply: Reply::new(Protocol::Resp2),
            closing: Closing::No,
            dirty: false,
            held: None,
            flight: None,
            transaction: None,
            survey: None,
            granted: None,
            aside: false,
            script: false,
            blocked: None,
            outbox: VecDeque::new(),
            delayed: 0,
            ended: false,
            session: Session {
                peer,
                fd,
                name: Box::default(),
                lib_name: Box::default(),
                lib_version: Box::default(),
                no_evict: false,
                redirect: false,
                created_ms: now_ms,
                last_active_ms: now_ms,
                last_command: None,
                commands: 0,
                bytes_in: 0,
                bytes_out: 0,
                in_flight: 0,
                over_soft_since_ms: None,
                subscriptions: None,
                multi: None,
                watched: Vec::new(),
                exec: None,
                denies_blocking: false,
                tracking: None,
            },
        }
    }
}

/// All clients of a shard.
#[derive(Default)]
pub struct Clients {
    slots: Vec<Option<Box<Client>>>,
    free: Vec<u32>,
    by_id: HashMap<u64, ConnId, ahash::RandomState>,
    /// The id given last. Ids grow in the order of connecting, and none is ever given twice.
    last_id: u64,
    /// The slot that [`Clients::idle_since`] looked at last.
    idle_cursor: usize,
    /// Clients with output or a change of state to look after at the end of the pass.
    pub dirty: Vec<ConnId>,
    /// Clients whose commands wait for the end of CLIENT PAUSE.
    pub(crate) paused: Vec<ConnId>,
    /// Clients that wait until other shards keep up.
    pub(crate) congested: Vec<ConnId>,
    /// Connections of this shard, for all shards to see.
    count: Arc<AtomicUsize>,
}

impl Clients {
    /// No clients yet. Who gives one to this shard adds to `count`; it is taken away here.
    pub fn new(count: Arc<AtomicUsize>) -> Clients {
        Clients {
            count,
            ..Clients::default()
        }
    }

    /// Connections but those that are closed at once.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The next client's id. Only the shard that accepts gives them out.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Makes room for a connection; the client goes in by [`Clients::put`].
    pub fn reserve(&mut self, id: u64) -> ConnId {
        let conn = ConnId(self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        }));
        self.by_id.insert(id, conn);
        conn
    }

    fn forget(&mut self, id: u64) {
        if self.by_id.remove(&id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes a client out while its commands run.
    #[inline]
    pub fn take(&mut self, conn: ConnId) -> Option<Box<Client>> {
        self.slots.get_mut(conn.0 as usize)?.take()
    }

    /// Takes out a client, unless another has its connection's number now.
    pub fn take_if(&mut self, conn: ConnId, id: u64) -> Option<Box<Client>> {
        self.get(conn).filter(|client| client.id == id)?;
        self.take(conn)
    }

    #[inline]
    pub fn put(&mut self, client: Box<Client>) {
        let slot = client.conn.0 as usize;
        debug_assert!(self.slots[slot].is_none());
        self.slots[slot] = Some(client);
    }

    pub fn get(&self, conn: ConnId) -> Option<&Client> {
        self.slots.get(conn.0 as usize)?.as_deref()
    }

    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Client> {
        self.slots.get_mut(conn.0 as usize)?.as_deref_mut()
    }

    /// Takes a mark from all clients.
    pub fn unmark_all(&mut self, mark: Special) {
        for client in self.slots.iter_mut().flatten() {
            client.special.set(mark, false);
        }
    }

    pub fn conn_of(&self, id: u64) -> Option<ConnId> {
        self.by_id.get(&id).copied()
    }

    /// Forgets a connection that the driver has closed.
    pub fn remove(&mut self, conn: ConnId) -> Option<Box<Client>> {
        let client = self.take(conn)?;
        self.forget(client.id);
        self.free.push(conn.0);
        Some(client)
    }

    /// All but the one whose command runs and those that are closed at once.
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        let all = self.slots.iter().filter_map(|c| c.as_deref());
        all.filter(|c| c.closing != Closing::Now)
    }

    /// Looks at the next `most` slots, going round, for clients that nothing has been heard of since
    /// `oldest_ms`.
    pub fn idle_since(&mut self, oldest_ms: i64, most: usize) -> Vec<ConnId> {
        let mut idle = Vec::new();
        for _ in 0..most.min(self.slots.len()) {
            self.idle_cursor = (self.idle_cursor + 1) % self.slots.len();
            if let Some(client) = &self.slots[self.idle_cursor]
                && client.session.last_active_ms < oldest_ms
                && client.closing != Closing::Now
            {
                idle.push(client.conn);
            }
        }
        idle
    }

    /// How many clients wait for the end of CLIENT PAUSE.
    pub fn paused(&self) -> usize {
        // Some may have gone, and others taken their place.
        let mut conns = self.paused.clone();
        conns.sort_unstable_by_key(|c| c.0);
        conns.dedup();
        let clients = conns.into_iter().filter_map(|c| self.get(c));
        clients.filter(|c| c.held == Some(Held::Paused)).count()
    }

    /// How many clients there is room for without growing.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Has a client looked after at the end of the pass.
    #[inline]
    pub fn mark(&mut self, conn: ConnId) {
        if let Some(Some(client)) = self.slots.get_mut(conn.0 as usize)
            && !client.dirty
        {
            client.dirty = true;
            self.dirty.push(conn);
        }
    }

    /// Marks a client to be closed. It must not be the one whose command runs.
    pub fn close(&mut self, conn: ConnId, how: Closing) {
        if how == Closing::Now {
            self.cut(conn);
        } else if let Some(client) = self.get_mut(conn)
            && client.closing != Closing::Now
        {
            client.closing = how;
        }
        self.mark(conn);
    }

    /// Takes a client that is closed at once out of what is found and counted.
    pub fn cut(&mut self, conn: ConnId) {
        if let Some(Some(client)) = self.slots.get_mut(conn.0 as usize) {
            client.closing = Closing::Now;
            let id = client.id;
            self.forget(id);
        }
    }
}
