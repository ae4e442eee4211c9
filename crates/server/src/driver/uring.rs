//! The io_uring driver: one ring per shard, used by its thread alone.
//!
//! SINGLE_ISSUER with DEFER_TASKRUN makes the kernel deliver completions only when the loop asks for
//! them; without these flags every packet interrupts the thread and batches fall apart. Accept and
//! receive are multishot, so a steady connection costs one submission per batch: its send.
//!
//! # Safety
//! The kernel reads from a connection's [`Flight`] while its send is in flight. A flight stays where
//! it is (its buffers are on the heap, headers boxed) until the completion, and [`Uring`] is not
//! dropped before the ring: fields drop in order.

use super::buffers::{self, Buffers, Piece, Shape};
use super::{ConnId, Driver, Event, Output};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

const ENTRIES: u32 = 1024;
const COMPLETIONS: u32 = 8192;
/// Parts of one sendmsg.
const IOVECS: usize = 64;

const ACCEPT: u64 = 1;
const RECV: u64 = 2;
const SEND: u64 = 3;
const WATCH: u64 = 4;
const CANCEL: u64 = 5;
const WAKE: u64 = 6;

/// The oldest kernel whose rings with deferred task work are woken by messages of other rings: the
/// first with long support among those that do it right.
const MESSAGES_SINCE: (u32, u32) = (6, 6);

fn tag(kind: u64, id: u32) -> u64 {
    kind << 56 | u64::from(id)
}

/// A send in flight.
struct Flight {
    output: Output,
    /// Bytes that the system has taken.
    done: usize,
    total: usize,
    /// For outputs of several parts.
    vectored: Option<Box<Vectored>>,
}

struct Vectored {
    header: libc::msghdr,
    parts: Vec<libc::iovec>,
}

#[derive(Default)]
struct Io {
    socket: Option<OwnedFd>,
    flight: Option<Flight>,
    receiving: bool,
    paused: bool,
    closing: bool,
}

struct Listener {
    /// None once it has been closed.
    socket: Option<OwnedFd>,
    accepting: bool,
}

#[derive(Clone, Copy)]
struct Completion {
    data: u64,
    result: i32,
    flags: u32,
}

pub struct Uring {
    ring: IoUring,
    buffers: Buffers,
    conns: Vec<Io>,
    listeners: Vec<Listener>,
    ready: Vec<Completion>,
    /// How many of `ready` were handed out.
    taken: usize,
    /// Buffer that the last event used up.
    lent: Option<u16>,
    closed: Vec<ConnId>,
    /// Whether other rings can send messages to this one.
    takes_messages: bool,
    /// Times that the kernel was entered, for INFO.
    pub enters: u64,
}

impl Uring {
    /// A ring of this thread. Fails where io_uring, or a feature that it needs (Linux 6.1), is
    /// missing or forbidden.
    pub fn new() -> io::Result<Uring> {
        Uring::build(Buffers::new)
    }

    /// A ring that receives into buffers of one shape, though the kernel may know a better one.
    pub fn with_buffers(shape: Shape) -> io::Result<Uring> {
        Uring::build(|ring| Buffers::shaped(ring, shape))
    }

    fn build(buffers: impl FnOnce(&IoUring) -> io::Result<Buffers>) -> io::Result<Uring> {
        let ring = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(ENTRIES)?;
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        for code in [
            opcode::AcceptMulti::CODE,
            opcode::RecvMulti::CODE,
            opcode::Send::CODE,
            opcode::SendMsg::CODE,
            opcode::PollAdd::CODE,
            opcode::AsyncCancel::CODE,
        ] {
            if !probe.is_supported(code) {
                return Err(io::Error::from(io::ErrorKind::Unsupported));
            }
        }
        let buffers = buffers(&ring)?;
        Ok(Uring {
            ring,
            buffers,
            conns: Vec::new(),
            listeners: Vec::new(),
            ready: Vec::new(),
            taken: 0,
            lent: None,
            closed: Vec::new(),
            takes_messages: probe.is_supported(opcode::MsgRingData::CODE)
                && kernel() >= MESSAGES_SINCE,
            enters: 0,
        })
    }

    /// Submits, and has what has happened meanwhile delivered, without waiting for more. Without the flag
    /// nothing is delivered when there is nothing to submit.
    fn look(&mut self) -> io::Result<usize> {
        const GET_EVENTS: u32 = 1;
        let submitted = self.ring.submission().len() as u32;
        // SAFETY: no argument is passed, and what was queued is valid until it completes.
        unsafe {
            self.ring
                .submitter()
                .enter::<()>(submitted, 0, GET_EVENTS, None)
        }
    }

    fn io(&mut self, conn: ConnId) -> &mut Io {
        &mut self.conns[conn.0 as usize]
    }

    #[inline]
    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: what the entry points to lives until its completion; see the module.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.enters += 1;
            self.ring
                .submit()
                .expect("a ring with room for completions takes submissions");
        }
    }

    fn receive(&mut self, conn: ConnId) {
        let io = self.io(conn);
        if io.receiving || io.paused || io.closing {
            return;
        }
        let Some(socket) = &io.socket else { return };
        let entry = opcode::RecvMulti::new(types::Fd(socket.as_raw_fd()), buffers::GROUP)
            .build()
            .user_data(tag(RECV, conn.0));
        io.receiving = true;
        self.push(entry);
    }

    /// Submits the rest of a flight.
    fn submit_send(&mut self, conn: ConnId) {
        let io = &mut self.conns[conn.0 as usize];
        let (Some(socket), Some(flight)) = (&io.socket, &mut io.flight) else {
            return;
        };
        let fd = types::Fd(socket.as_raw_fd());
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = if flight.output.splices.is_empty() {
            let rest = &flight.output.buffer[flight.done..];
            let len = rest.len().min(1 << 30) as u32;
            opcode::Send::new(fd, rest.as_ptr(), len)
                .flags(flags)
                .build()
        } else {
            let header = flight.prepare();
            opcode::SendMsg::new(fd, header).flags(flags as u32).build()
        };
        self.push(entry.user_data(tag(SEND, conn.0)));
    }

    /// Closes a connection that is closing and has nothing in flight.
    fn settle(&mut self, conn: ConnId) {
        let io = self.io(conn);
        if io.closing && !io.receiving && io.flight.is_none() && io.socket.is_some() {
            io.socket = None;
            self.closed.push(conn);
        }
    }

    fn on_accept(&mut self, listener: usize, c: Completion) -> Option<Event<'static>> {
        if !cqueue::more(c.flags) {
            self.listeners[listener].accepting = false;
        }
        if c.result >= 0 {
            // SAFETY: the kernel made this descriptor for us.
            let socket = unsafe { OwnedFd::from_raw_fd(c.result) };
            if !self.listeners[listener].accepting {
                self.accept(listener);
            }
            return Some(Event::Accepted { listener, socket });
        }
        let error = io::Error::from_raw_os_error(-c.result);
        match -c.result {
            // The peer has gone already; the next one may be fine.
            libc::ECONNABORTED | libc::EPROTO | libc::EINTR | libc::EAGAIN => {
                self.accept(listener);
                None
            }
            libc::ECANCELED => None,
            _ if self.listeners[listener].socket.is_none() => None,
            _ => Some(Event::AcceptFailed { listener, error }),
        }
    }

    fn on_receive(&mut self, conn: ConnId, c: Completion) -> Received {
        let more = cqueue::more(c.flags);
        let io = self.io(conn);
        if !more {
            io.receiving = false;
        }
        if c.result > 0 {
            let piece = self.buffers.take(c.flags, c.result as usize);
            self.lent = piece.last.then_some(piece.buffer);
            if self.io(conn).closing {
                self.settle(conn);
                return Received::Nothing;
            }
            if !more {
                self.receive(conn);
            }
            return Received::Bytes(piece);
        }
        match -c.result {
            // All buffers were taken: they are back when this completion is seen.
            libc::ENOBUFS => self.receive(conn),
            libc::ECANCELED if !self.io(conn).closing => {
                // Paused, or resumed again before the cancellation came through.
                self.receive(conn);
            }
            _ => {
                if self.io(conn).closing {
                    self.settle(conn);
                } else {
                    return Received::End;
                }
            }
        }
        Received::Nothing
    }

    fn on_send(&mut self, conn: ConnId, result: i32) -> Option<Event<'static>> {
        let io = self.io(conn);
        let flight = io
            .flight
            .as_mut()
            .expect("a send that completes was in flight");
        let failed = if result < 0 {
            !matches!(-result, libc::EINTR | libc::EAGAIN)
        } else {
            flight.done += result as usize;
            false
        };
        if !failed && flight.done < flight.total && !io.closing {
            self.submit_send(conn);
            return None;
        }
        let mut buffer = io.flight.take().expect("checked above").output.buffer;
        if io.closing {
            self.settle(conn);
            return None;
        }
        if failed {
            return Some(Event::SendFailed { conn });
        }
        buffer.clear();
        Some(Event::Sent { conn, buffer })
    }
}

enum Received {
    Bytes(Piece),
    End,
    Nothing,
}

impl Flight {
    /// Lists the parts that are still to be sent.
    fn prepare(&mut self) -> *const libc::msghdr {
        let mut skip = self.done;
        let mut parts = Vec::with_capacity(IOVECS);
        for part in self.output.parts() {
            if skip >= part.len() {
                skip -= part.len();
                continue;
            }
            let rest = &part[skip..];
            skip = 0;
            parts.push(libc::iovec {
                iov_base: rest.as_ptr().cast_mut().cast(),
                iov_len: rest.len(),
            });
            if parts.len() == IOVECS {
                break;
            }
        }
        // SAFETY: a msghdr of zeros is one without address, parts and control data.
        let header = unsafe { std::mem::zeroed() };
        let vectored = self.vectored.insert(Box::new(Vectored { header, parts }));
        vectored.header.msg_iov = vectored.parts.as_mut_ptr();
        vectored.header.msg_iovlen = vectored.parts.len() as _;
        &vectored.header
    }
}

/// Major and minor number of the running kernel; zeros if it does not tell.
fn kernel() -> (u32, u32) {
    // SAFETY: a utsname of zeros is valid, and uname fills it with C strings.
    let release = unsafe {
        let mut system: libc::utsname = std::mem::zeroed();
        libc::uname(&raw mut system);
        system.release
    };
    let text: String = release
        .iter()
        .map(|c| char::from(c.to_ne_bytes()[0]))
        .collect();
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

impl Driver for Uring {
    fn listen(&mut self, listener: usize, socket: OwnedFd) {
        assert_eq!(
            listener,
            self.listeners.len(),
            "listeners are numbered in order"
        );
        self.listeners.push(Listener {
            socket: Some(socket),
            accepting: false,
        });
        self.accept(listener);
    }

    fn accept(&mut self, listener: usize) {
        let Some(l) = self.listeners.get_mut(listener) else {
            return;
        };
        let Some(socket) = l.socket.as_ref().filter(|_| !l.accepting) else {
            return;
        };
        l.accepting = true;
        let entry = opcode::AcceptMulti::new(types::Fd(socket.as_raw_fd()))
            .flags(libc::SOCK_CLOEXEC)
            .build()
            .user_data(tag(ACCEPT, listener as u32));
        self.push(entry);
    }

    fn unlisten(&mut self, listener: usize) {
        if self.listeners[listener].socket.is_none() {
            return;
        }
        let entry = opcode::AsyncCancel::new(tag(ACCEPT, listener as u32))
            .build()
            .user_data(tag(CANCEL, 0));
        self.push(entry);
        // Submitted before the descriptor goes: what is queued names it by its number, and so that
        // the port is free when the process ends.
        self.enters += 1;
        let _ = self.ring.submit();
        self.listeners[listener].socket = None;
    }

    fn stop_listening(&mut self) {
        for listener in 0..self.listeners.len() {
            self.unlisten(listener);
        }
    }

    fn adopt(&mut self, conn: ConnId, socket: OwnedFd) {
        let i = conn.0 as usize;
        if i >= self.conns.len() {
            self.conns.resize_with(i + 1, Io::default);
        }
        assert!(self.conns[i].socket.is_none(), "the id is free");
        self.conns[i] = Io {
            socket: Some(socket),
            ..Io::default()
        };
        self.receive(conn);
    }

    #[inline]
    fn send(&mut self, conn: ConnId, output: Output) {
        let io = self.io(conn);
        debug_assert!(io.flight.is_none());
        if io.closing || io.socket.is_none() {
            return;
        }
        let total = output.len();
        io.flight = Some(Flight {
            output,
            done: 0,
            total,
            vectored: None,
        });
        self.submit_send(conn);
    }

    #[inline]
    fn is_sending(&self, conn: ConnId) -> bool {
        self.conns[conn.0 as usize].flight.is_some()
    }

    fn unsent(&self, conn: ConnId) -> usize {
        let flight = &self.conns[conn.0 as usize].flight;
        flight.as_ref().map_or(0, |f| f.total - f.done)
    }

    fn pause(&mut self, conn: ConnId) {
        let io = self.io(conn);
        if io.paused {
            return;
        }
        io.paused = true;
        if io.receiving {
            let entry = opcode::AsyncCancel::new(tag(RECV, conn.0))
                .build()
                .user_data(tag(CANCEL, 0));
            self.push(entry);
        }
    }

    fn resume(&mut self, conn: ConnId) {
        self.io(conn).paused = false;
        self.receive(conn);
    }

    fn close(&mut self, conn: ConnId) {
        let io = self.io(conn);
        if io.closing {
            return;
        }
        io.closing = true;
        if let Some(socket) = &io.socket {
            // Ends the receive and the send in flight, which then complete.
            // SAFETY: a plain system call on our descriptor.
            unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
        }
        self.settle(conn);
    }

    fn descriptor(&self, conn: ConnId) -> i32 {
        let socket = &self.conns[conn.0 as usize].socket;
        socket.as_ref().map_or(-1, |s| s.as_raw_fd())
    }

    fn watch(&mut self, descriptor: i32) {
        let entry = opcode::PollAdd::new(types::Fd(descriptor), libc::POLLIN as u32)
            .build()
            .user_data(tag(WATCH, 0));
        self.push(entry);
    }

    fn bell(&self) -> Option<i32> {
        self.takes_messages.then(|| self.ring.as_raw_fd())
    }

    fn wake(&mut self, bell: i32) {
        let entry = opcode::MsgRingData::new(types::Fd(bell), 0, tag(WAKE, 0), None)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(tag(WAKE, 0));
        self.push(entry);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.ready.clear();
        self.taken = 0;
        self.enters += 1;
        let waited = match timeout {
            _ if !self.closed.is_empty() => self.look(),
            None => self.ring.submit_and_wait(1),
            Some(Duration::ZERO) => self.look(),
            Some(timeout) => {
                let time = types::Timespec::from(timeout);
                let args = types::SubmitArgs::new().timespec(&time);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
        match waited {
            Ok(_) => {}
            Err(e) => match e.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(e),
            },
        }
        self.ready
            .extend(self.ring.completion().map(|c| Completion {
                data: c.user_data(),
                result: c.result(),
                flags: c.flags(),
            }));
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Option<Event<'_>> {
        if let Some(id) = self.lent.take() {
            self.buffers.give(id);
        }
        while let Some(&c) = self.ready.get(self.taken) {
            self.taken += 1;
            let conn = ConnId(c.data as u32);
            match c.data >> 56 {
                RECV => match self.on_receive(conn, c) {
                    Received::Bytes(piece) => {
                        let bytes = self.buffers.get(piece);
                        return Some(Event::Data { conn, bytes });
                    }
                    Received::End => return Some(Event::Ended { conn }),
                    Received::Nothing => {
                        if let Some(id) = self.lent.take() {
                            self.buffers.give(id);
                        }
                    }
                },
                SEND => {
                    if let Some(event) = self.on_send(conn, c.result) {
                        return Some(event);
                    }
                }
                ACCEPT => {
                    if let Some(event) = self.on_accept(conn.0 as usize, c) {
                        return Some(event);
                    }
                }
                WATCH => return Some(Event::Readable),
                _ => {}
            }
        }
        self.buffers.publish();
        self.closed.pop().map(|conn| Event::Closed { conn })
    }
}
