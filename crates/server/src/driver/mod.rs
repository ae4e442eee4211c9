//! Sockets under one shard's event loop.
//!
//! A [`Driver`] moves bytes and knows nothing of what they mean. It is asked to wait, then hands out
//! what has happened, one [`Event`] at a time; sends are queued and go out with the next wait, so a
//! loop costs one system call however many connections it served. The ring is the first driver; a
//! simulated network and an epoll loop are meant to stand behind the same trait.
//!
//! Rules: at most one send per connection is in flight; a descriptor is closed only when nothing is
//! in flight on it, and only then its id is free again.

pub mod buffers;
pub mod uring;

use bytes::Bytes;
use resp::reply::Splice;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A connection's place in the driver and in the shard's list of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId(pub u32);

/// What has happened.
pub enum Event<'a> {
    /// A listening socket has a new connection.
    Accepted { listener: usize, socket: OwnedFd },
    /// Accepting failed and has stopped; see [`Driver::accept`].
    AcceptFailed { listener: usize, error: io::Error },
    /// Bytes were received. They are gone with the next event.
    Data { conn: ConnId, bytes: &'a [u8] },
    /// The peer sends no more, or the connection broke.
    Ended { conn: ConnId },
    /// A send has completed; its buffer comes back empty.
    Sent { conn: ConnId, buffer: Vec<u8> },
    /// A send has failed; nothing more can be sent.
    SendFailed { conn: ConnId },
    /// The connection is closed and its id free.
    Closed { conn: ConnId },
    /// A descriptor given to [`Driver::watch`] is readable; the watch has ended.
    Readable,
}

/// Bytes up to which outputs are joined.
const JOINED_MAX: usize = 64 * 1024;

/// What is to be sent: a buffer, and shared bytes that stand between its parts.
pub struct Output {
    pub buffer: Vec<u8>,
    pub splices: Vec<Splice>,
}

impl Output {
    pub fn len(&self) -> usize {
        self.buffer.len() + self.splices.iter().map(|s| s.bytes.len()).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether another output is better sent as a part of this one.
    pub fn takes(&self, other: &Output) -> bool {
        let bytes = self.buffer.len() + other.buffer.len();
        self.splices.is_empty() && other.splices.is_empty() && bytes <= JOINED_MAX
    }

    /// The parts in the order in which they are sent, without empty ones.
    pub fn parts(&self) -> Vec<&[u8]> {
        let mut parts = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut from = 0;
        for Splice { at, bytes } in &self.splices {
            parts.push(&self.buffer[from..*at]);
            parts.push(bytes as &Bytes);
            from = *at;
        }
        parts.push(&self.buffer[from..]);
        parts.retain(|p| !p.is_empty());
        parts
    }
}

pub trait Driver {
    /// Starts, or starts again, to accept on a listening socket, which the driver keeps.
    fn listen(&mut self, listener: usize, socket: OwnedFd);

    /// Accepts again after [`Event::AcceptFailed`].
    fn accept(&mut self, listener: usize);

    /// Closes one listening socket; its number is not used again.
    fn unlisten(&mut self, listener: usize);

    /// Stops accepting and closes the listening sockets.
    fn stop_listening(&mut self);

    /// Takes a connected socket under `conn`, an id that is free, and receives from it.
    fn adopt(&mut self, conn: ConnId, socket: OwnedFd);

    /// Queues bytes. Nothing is in flight on the connection.
    fn send(&mut self, conn: ConnId, output: Output);

    /// Whether a send is in flight.
    fn is_sending(&self, conn: ConnId) -> bool;

    /// Bytes of the send in flight that the system has not taken yet.
    fn unsent(&self, conn: ConnId) -> usize;

    /// Stops receiving; what was received already may still arrive.
    fn pause(&mut self, conn: ConnId);

    /// Receives again.
    fn resume(&mut self, conn: ConnId);

    /// Breaks the connection off. [`Event::Closed`] follows when nothing is in flight any more.
    fn close(&mut self, conn: ConnId);

    /// The socket's descriptor, for options and addresses.
    fn descriptor(&self, conn: ConnId) -> i32;

    /// Answers [`Event::Readable`] once when the descriptor is.
    fn watch(&mut self, descriptor: i32);

    /// What [`Driver::wake`] of another thread's driver takes to end a wait of this one; none if the
    /// system cannot.
    fn bell(&self) -> Option<i32>;

    /// Ends the present or next wait of another thread's driver, with the next wait of this one.
    fn wake(&mut self, bell: i32);

    /// Submits what is queued and waits for something to happen: not at all with `Some(ZERO)`,
    /// without end with `None`.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// The next event of the last wait.
    fn next(&mut self) -> Option<Event<'_>>;
}
