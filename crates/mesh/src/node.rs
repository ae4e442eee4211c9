//! A core's place in the mesh: what its event loop sends and receives by.
//!
//! A pass of the loop:
//!
//! ```text
//!   begin_drain ► receive_reply … ► receive_request … ► (work: send_request, send_reply) ► flush ─┐
//!        ▲                                                                                         │
//!        └── woke ◄── the host sleeps ◄─ true ── prepare_sleep ◄── peek_inbound for some µs ◄──────┘
//! ```
//!
//! **Nothing waits for room.** A message goes to its ring, or, while that is full, to an outbox behind
//! it; a core always goes on receiving, so every ring is emptied in the end, and no circle of full
//! rings can stop two cores for good. That is why the host must receive whatever else it cannot do,
//! and why replies have a lane of their own: they are taken first, and free what requests need.
//!
//! **Outboxes are bounded** by the host: it has at most so many requests outstanding, whether by one
//! per client at a time or by asking [`Node::is_congested`] before it begins work that will send to a
//! core. A reply answers a request, so the ring and outbox of replies to a core hold at most as many
//! as that core has requests outstanding here. Pushes ride with the replies, and have no request that
//! bounds them: the host bounds them per subscriber, by the limits of a client's output.
//!
//! **Waiting for room needs no polling.** A core that sleeps with an outbox says so in the ring; the
//! core at the other end looks there after it gave room back, and rings the sleeper's bell. It is the
//! bell's argument with "published a head" in place of "published a tail".

use crate::bell::Bell;
use crate::incoming::Incoming;
use crate::outgoing::Outgoing;
use crate::ring::{Consumer, Producer, ring};
use crate::sync::{Arc, Side, fence};

/// Sizes of a mesh.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages that a ring holds: a power of two. There are `2 * n * (n - 1)` rings.
    pub ring: usize,
    /// Requests in the outbox to a core beyond which that core counts as congested.
    pub outbox: usize,
}

/// What a node has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub requests_sent: u64,
    pub replies_sent: u64,
    /// Times that another core had to be woken.
    pub wakes: u64,
    /// Times that this core was free to sleep.
    pub sleeps: u64,
    /// Times that another core rang while this one found that it need not sleep: a wake-up that it
    /// will get for nothing.
    pub late_wakes: u64,
}

/// One core's end of all its links. Cores are numbered from 0; a core has no link to itself.
pub struct Node<Req, Rep> {
    core: usize,
    /// Of all cores, this one's too.
    bells: Vec<Arc<Bell>>,
    /// By link, which is the other core's number, less one if that is above this core's.
    links: Vec<Link<Req, Rep>>,
    requests: Incoming<Req>,
    replies: Incoming<Rep>,
    /// Links to visit at the next flush: sent to since the last one, or with something in an outbox.
    active: Vec<usize>,
    /// Whether anything was sent since the last flush.
    is_unflushed: bool,
    /// The links whose cores may have to be woken, while flushing.
    to_ring: Vec<usize>,
    outbox_limit: usize,
    counters: Counters,
}

/// The way to one other core.
struct Link<Req, Rep> {
    requests: Outgoing<Req>,
    replies: Outgoing<Rep>,
    is_active: bool,
    is_to_ring: bool,
}

/// Connects `cores` cores, each with each; the nodes are in their order.
pub fn connect<Req: Send, Rep: Send>(cores: usize, limits: Limits) -> Vec<Node<Req, Rep>> {
    let bells: Vec<Arc<Bell>> = (0..cores).map(|_| Arc::new(Bell::default())).collect();
    let mut requests = lanes::<Req>(cores, limits.ring);
    let mut replies = lanes::<Rep>(cores, limits.ring);
    (0..cores)
        .map(|core| {
            let (requests_out, requests_in) = requests.remove(0);
            let (replies_out, replies_in) = replies.remove(0);
            let links = requests_out.into_iter().zip(replies_out);
            Node {
                core,
                bells: bells.clone(),
                links: links
                    .map(|(requests, replies)| Link {
                        requests: Outgoing::new(requests),
                        replies: Outgoing::new(replies),
                        is_active: false,
                        is_to_ring: false,
                    })
                    .collect(),
                requests: Incoming::new(requests_in),
                replies: Incoming::new(replies_in),
                active: Vec::with_capacity(cores),
                is_unflushed: false,
                to_ring: Vec::with_capacity(cores),
                outbox_limit: limits.outbox,
                counters: Counters::default(),
            }
        })
        .collect()
}

/// For each core the producers to, and the consumers from, all others in their order.
#[expect(clippy::type_complexity)]
fn lanes<T: Send>(cores: usize, capacity: usize) -> Vec<(Vec<Producer<T>>, Vec<Consumer<T>>)> {
    let mut ends: Vec<(Vec<_>, Vec<_>)> = (0..cores).map(|_| Default::default()).collect();
    for from in 0..cores {
        for to in (0..cores).filter(|&to| to != from) {
            let (producer, consumer) = ring(capacity);
            ends[from].0.push(producer);
            ends[to].1.push(consumer);
        }
    }
    ends
}

impl<Req, Rep> Node<Req, Rep> {
    /// This core's number.
    pub fn core(&self) -> usize {
        self.core
    }

    /// How many cores there are, this one included.
    pub fn cores(&self) -> usize {
        self.links.len() + 1
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sends a request to another core, which gets it after [`Node::flush`].
    #[inline]
    pub fn send_request(&mut self, to: usize, request: Req) {
        self.counters.requests_sent += 1;
        self.activate(to).requests.send(request);
    }

    /// Sends a reply, or a push, to another core, which gets it after [`Node::flush`].
    #[inline]
    pub fn send_reply(&mut self, to: usize, reply: Rep) {
        self.counters.replies_sent += 1;
        self.activate(to).replies.send(reply);
    }

    fn activate(&mut self, to: usize) -> &mut Link<Req, Rep> {
        let at = self.link(to);
        let link = &mut self.links[at];
        if !link.is_active {
            link.is_active = true;
            self.active.push(at);
        }
        self.is_unflushed = true;
        link
    }

    #[inline]
    fn link(&self, core: usize) -> usize {
        assert!(core != self.core, "a core sends nothing to itself");
        if core > self.core { core - 1 } else { core }
    }

    /// Requests to a core that found no room in its ring.
    pub fn outbox_len(&self, to: usize) -> usize {
        self.links[self.link(to)].requests.outbox_len()
    }

    /// Whether work that sends requests to this core had better not begin.
    #[inline]
    pub fn is_congested(&self, to: usize) -> bool {
        self.outbox_len(to) > self.outbox_limit
    }

    /// How many messages wait for the core for which most do, as of the last flush.
    #[inline]
    pub fn longest_outbox(&self) -> usize {
        let links = self.active.iter().map(|at| &self.links[*at]);
        let waiting = links.map(|l| l.requests.outbox_len().max(l.replies.outbox_len()));
        waiting.max().unwrap_or(0)
    }

    /// Begins to receive what the other cores have published by now.
    pub fn begin_drain(&mut self) {
        self.replies.begin_drain();
        self.requests.begin_drain();
    }

    /// The next reply or push of this drain, with the core that it is from.
    #[inline]
    pub fn receive_reply(&mut self) -> Option<(usize, Rep)> {
        let (link, reply) = self.replies.receive()?;
        Some((peer(self.core, link), reply))
    }

    /// The next request of this drain, with the core that it is from.
    #[inline]
    pub fn receive_request(&mut self) -> Option<(usize, Req)> {
        let (link, request) = self.requests.receive()?;
        Some((peer(self.core, link), request))
    }

    /// Shows the other cores what was sent, and what room there is since they were received from.
    /// Calls `wake` once for each core that sleeps and has to be woken for it.
    pub fn flush(&mut self, mut wake: impl FnMut(usize)) {
        self.is_unflushed = false;
        self.replies.release();
        self.requests.release();
        let mut i = 0;
        while let Some(&at) = self.active.get(i) {
            let link = &mut self.links[at];
            // Both are to be published, whatever the other says.
            if link.requests.publish() | link.replies.publish() {
                link.is_to_ring = true;
                self.to_ring.push(at);
            }
            link.is_active = link.requests.outbox_len() + link.replies.outbox_len() > 0;
            if link.is_active {
                i += 1;
            } else {
                self.active.swap_remove(i);
            }
        }
        let has_released = self.replies.has_released() || self.requests.has_released();
        if self.to_ring.is_empty() && !has_released {
            return;
        }
        fence(Side::Busy);
        let (links, to_ring) = (&mut self.links, &mut self.to_ring);
        let mut ring_too = |at: usize| {
            if !links[at].is_to_ring {
                links[at].is_to_ring = true;
                to_ring.push(at);
            }
        };
        self.replies.awaited(&mut ring_too);
        self.requests.awaited(&mut ring_too);
        for at in self.to_ring.drain(..) {
            self.links[at].is_to_ring = false;
            let other = peer(self.core, at);
            if self.bells[other].ring() {
                self.counters.wakes += 1;
                wake(other);
            }
        }
    }

    /// Whether another core has published anything that was not received yet. Costs two loads per
    /// other core, of lines that stay in this core's cache until somebody publishes.
    #[inline]
    pub fn peek_inbound(&self) -> bool {
        !self.replies.is_empty() || !self.requests.is_empty()
    }

    /// Whether there is anything to receive, to flush, or in an outbox.
    pub fn has_pending(&self) -> bool {
        self.needs_flush() || !self.active.is_empty() || self.peek_inbound()
    }

    fn needs_flush(&self) -> bool {
        self.is_unflushed || self.replies.has_released() || self.requests.has_released()
    }

    /// Announces that this core is about to sleep, and tells whether it may: nothing to receive,
    /// nothing to flush, and no room for what is in an outbox. If true, some core will wake this one
    /// as soon as that changes, and the host calls [`Node::woke`] after its sleep, whatever ended it.
    /// If false, it makes another pass.
    #[must_use]
    pub fn prepare_sleep(&mut self) -> bool {
        if self.needs_flush() {
            return false;
        }
        for &at in &self.active {
            self.links[at].requests.await_room();
            self.links[at].replies.await_room();
        }
        self.bells[self.core].prepare_sleep();
        let links = &mut self.links;
        let can_go_on = self.active.iter().any(|&at| {
            let link = &mut links[at];
            link.requests.can_go_on() || link.replies.can_go_on()
        });
        if can_go_on || self.peek_inbound() {
            self.counters.late_wakes += u64::from(self.woke());
            return false;
        }
        self.counters.sleeps += 1;
        true
    }

    /// Ends what [`Node::prepare_sleep`] began. True if another core has rung: then its wake-up has
    /// come, or is still to come and will find this core awake.
    pub fn woke(&mut self) -> bool {
        for &at in &self.active {
            self.links[at].requests.cease_to_await_room();
            self.links[at].replies.cease_to_await_room();
        }
        self.bells[self.core].wake_up()
    }
}

/// The core that a link of this core leads to.
#[inline]
fn peer(core: usize, link: usize) -> usize {
    if link >= core { link + 1 } else { link }
}

#[cfg(all(test, not(loom)))]
mod tests;
