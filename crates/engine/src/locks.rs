//! One shard's locks.
//!
//! A *request* wants some names of the shard, or the whole of it, and gets all of them at once. Each
//! name has a *line* of the requests that want it, in the order in which they came; a request is
//! *eligible* in a line when it goes with everybody ahead of it, and *granted* when it is eligible in
//! all of its lines. Since a request joins all of its lines in one step, any two requests stand in the
//! same order wherever they meet, so requests of one shard cannot wait for each other in a circle.
//!
//! ```text
//!   name 7   [ T1 exclusive ] [ T2 shared ] [ T3 shared ]
//!              eligible        waits         waits
//!   name 9   [ T2 shared ] [ T4 exclusive ]
//!              eligible      waits                           T1 is granted; T2 lacks one name
//! ```
//!
//! Every request also stands on the shard's *node*, with an intention if it wants names: that is how
//! requests for the whole shard and requests for names see each other. The node keeps counts of who
//! stands on it rather than a list, so that a thousand requests cost no search.
//!
//! One transaction of the server at a time may *press*: it waits only for requests that are granted,
//! and goes ahead of all that are not. Its names are kept apart from the lines, in `Pressing`, which
//! holds back the grants that would conflict with it; so pressing disturbs no line.
//!
//! What the shard's data is, and who a request belongs to, this file does not know. Names are 64-bit
//! hashes of keys; two keys that share one only wait for each other needlessly.

mod want;

pub use want::{Mode, Name, Want};

use crate::tx::fault::{Fault, Faults};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;

/// Spreads numbers that are hashes already, or simple counters, over a table.
#[derive(Default)]
pub(crate) struct Fold(u64);

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        let product = u128::from(self.0 ^ n) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) type FoldMap<K, V> = HashMap<K, V, BuildHasherDefault<Fold>>;

/// A request's place in the table, valid until it is released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Ticket {
    index: u32,
    /// Tells requests that had the same place from each other.
    turn: u32,
}

struct Request<O> {
    owner: O,
    want: Want,
    /// In how many lines, the node counted, it is not eligible yet.
    missing: u32,
    granted: bool,
    waits_at_node: bool,
    turn: u32,
    live: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    index: u32,
    mode: Mode,
}

/// Who wants a name. The first entry has its own field, so that the common line of one allocates
/// nothing.
struct Line {
    first: Entry,
    rest: Vec<Entry>,
    /// How many entries, from the first, are eligible: one exclusive or any number of shared ones.
    eligible: u32,
}

impl Line {
    fn new(entry: Entry) -> Line {
        Line {
            first: entry,
            rest: Vec::new(),
            eligible: 1,
        }
    }

    fn len(&self) -> usize {
        1 + self.rest.len()
    }

    fn get(&self, at: usize) -> Option<Entry> {
        match at.checked_sub(1) {
            None => Some(self.first),
            Some(at) => self.rest.get(at).copied(),
        }
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        match at.checked_sub(1) {
            None => {
                let second = mem::replace(&mut self.first, entry);
                self.rest.insert(0, second);
            }
            Some(at) => self.rest.insert(at, entry),
        }
    }

    fn position(&self, index: u32) -> usize {
        if self.first.index == index {
            return 0;
        }
        let at = self.rest.iter().position(|entry| entry.index == index);
        1 + at.expect("a request stands in the lines of its names")
    }

    /// Takes an entry out; false if it was the only one.
    fn remove(&mut self, at: usize) -> bool {
        match at.checked_sub(1) {
            Some(at) => {
                self.rest.remove(at);
            }
            None if self.rest.is_empty() => return false,
            None => self.first = self.rest.remove(0),
        }
        if (at as u32) < self.eligible {
            self.eligible -= 1;
        }
        true
    }

    /// Whether a newcomer in this mode is eligible at once.
    fn admits(&self, mode: Mode) -> bool {
        mode == Mode::Shared
            && self.first.mode == Mode::Shared
            && self.eligible as usize == self.len()
    }

    /// The next entry that has become eligible.
    fn promote(&mut self) -> Option<Entry> {
        let next = self.get(self.eligible as usize)?;
        let goes =
            self.eligible == 0 || (next.mode == Mode::Shared && self.first.mode == Mode::Shared);
        if !goes {
            return None;
        }
        self.eligible += 1;
        Some(next)
    }
}

/// Which node modes go together: intention shared, intention exclusive, shared, exclusive.
const TOGETHER: [[bool; 4]; 4] = [
    [true, true, true, false],
    [true, true, false, false],
    [true, false, true, false],
    [false, false, false, false],
];

#[derive(Default)]
struct Node {
    /// How many requests are eligible on the node, per mode.
    counts: [u32; 4],
    waiting: VecDeque<(u32, usize)>,
}

impl Node {
    fn goes(&self, mode: usize) -> bool {
        (0..4).all(|other| self.counts[other] == 0 || TOGETHER[mode][other])
    }
}

/// What the transaction that may press has, or waits for, on this shard.
struct Pressing<O> {
    owner: O,
    want: Want,
    granted: bool,
}

/// Who has just been granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Granted<O> {
    Request(Ticket, O),
    Pressing(O),
}

/// The lock table. `O` says whose a request is.
pub(crate) struct Locks<O> {
    lines: FoldMap<Name, Line>,
    node: Node,
    requests: Vec<Request<O>>,
    free: Vec<u32>,
    /// Requests and the pressing one: nothing is locked or waited for at 0.
    live: usize,
    pressing: Option<Pressing<O>>,
    granted: VecDeque<Granted<O>>,
    pub(crate) faults: Faults,
}

impl<O: Copy> Locks<O> {
    pub fn new() -> Locks<O> {
        Locks {
            lines: FoldMap::default(),
            node: Node::default(),
            requests: Vec::new(),
            free: Vec::new(),
            live: 0,
            pressing: None,
            granted: VecDeque::new(),
            faults: Faults::default(),
        }
    }

    /// Nothing is locked or waited for.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.live == 0
    }

    /// Whether a request for one name would be granted at once and pass nobody who waits.
    pub fn is_free_key(&self, name: Name, mode: Mode) -> bool {
        if self.is_idle() {
            return true;
        }
        let intention = usize::from(mode == Mode::Exclusive);
        self.node_admits(intention)
            && self.line_admits(name, mode)
            && self.unpressed_key(name, mode)
    }

    /// Whether a request would be granted at once and pass nobody who waits.
    pub fn is_free(&self, want: &Want) -> bool {
        if self.is_idle() {
            return true;
        }
        self.node_admits(want.node_mode())
            && self.unpressed(want)
            && match want {
                Want::Whole(_) => true,
                Want::Keys(keys) => keys
                    .iter()
                    .all(|(name, mode)| self.line_admits(*name, *mode)),
            }
    }

    /// Whose requests are granted and conflict with another. It looks at all of them.
    pub fn conflicting<'a>(&'a self, want: &'a Want) -> impl Iterator<Item = O> + 'a {
        let granted = self.requests.iter().filter(|r| r.live && r.granted);
        let conflicting = granted.filter(|request| request.want.conflicts(want));
        let pressing = self.pressing.iter();
        let pressing = pressing.filter(|p| p.granted && p.want.conflicts(want));
        let owners = conflicting.map(|request| request.owner);
        owners.chain(pressing.map(|p| p.owner))
    }

    /// What a request wants.
    pub fn want_of(&self, ticket: Ticket) -> Option<&Want> {
        let request = self.requests.get(ticket.index as usize);
        let request = request.filter(|_| self.is_current(ticket));
        request.map(|request| &request.want)
    }

    fn node_admits(&self, mode: usize) -> bool {
        let barges = self.faults.has(Fault::TryBarges);
        (self.node.waiting.is_empty() || barges) && self.node.goes(mode)
    }

    fn line_admits(&self, name: Name, mode: Mode) -> bool {
        let Some(line) = self.lines.get(&name) else {
            return true;
        };
        if self.faults.has(Fault::TryBarges) {
            return mode == Mode::Shared && line.first.mode == Mode::Shared;
        }
        line.admits(mode)
    }

    fn unpressed(&self, want: &Want) -> bool {
        match &self.pressing {
            Some(pressing) => !pressing.want.conflicts(want),
            None => true,
        }
    }

    fn unpressed_key(&self, name: Name, mode: Mode) -> bool {
        match &self.pressing {
            Some(pressing) => pressing
                .want
                .mode_of(name)
                .is_none_or(|have| have.max(mode) == Mode::Shared),
            None => true,
        }
    }

    /// Puts a request into its lines. If it is granted at once, [`Locks::next_granted`] says so like
    /// of any other.
    pub fn queue(&mut self, owner: O, want: Want) -> Ticket {
        let ticket = self.enter(owner, want);
        if self.requests[ticket.index as usize].missing == 0 {
            self.try_grant(ticket.index);
        }
        ticket
    }

    /// Takes what [`Locks::is_free`] has found to be free; the caller knows that it is granted.
    pub fn take(&mut self, owner: O, want: Want) -> Ticket {
        let ticket = self.enter(owner, want);
        let request = &mut self.requests[ticket.index as usize];
        assert!(request.missing == 0, "what is free is granted");
        request.granted = true;
        ticket
    }

    fn enter(&mut self, owner: O, want: Want) -> Ticket {
        let request = Request {
            owner,
            want,
            missing: 0,
            granted: false,
            waits_at_node: false,
            turn: 0,
            live: true,
        };
        let index = match self.free.pop() {
            Some(index) => {
                let place = &mut self.requests[index as usize];
                let turn = place.turn.wrapping_add(1);
                *place = Request { turn, ..request };
                index
            }
            None => {
                self.requests.push(request);
                (self.requests.len() - 1) as u32
            }
        };
        self.live += 1;
        let barges = self.faults.has(Fault::TryBarges);
        let request = &mut self.requests[index as usize];
        let mode = request.want.node_mode();
        let mut missing = 0;
        if (self.node.waiting.is_empty() || barges) && self.node.goes(mode) {
            self.node.counts[mode] += 1;
        } else {
            self.node.waiting.push_back((index, mode));
            request.waits_at_node = true;
            missing += 1;
        }
        if let Want::Keys(keys) = &request.want {
            for &(name, mode) in keys {
                missing += join(&mut self.lines, name, Entry { index, mode }, barges);
            }
        }
        request.missing = missing;
        Ticket {
            index,
            turn: request.turn,
        }
    }

    /// Puts a request for one name, exclusive, ahead of all that wait for it: it is next when those
    /// who have the name now release it.
    pub fn queue_first(&mut self, owner: O, name: Name) -> Ticket {
        let ticket = self.enter(owner, Want::default());
        let index = ticket.index;
        // The empty want entered on the node as an intention to share.
        self.leave_node(index, 0);
        let mut missing = 0;
        if self.node.goes(1) {
            self.node.counts[1] += 1;
        } else {
            self.node.waiting.push_front((index, 1));
            self.requests[index as usize].waits_at_node = true;
            missing += 1;
        }
        let entry = Entry {
            index,
            mode: Mode::Exclusive,
        };
        match self.lines.get_mut(&name) {
            None => {
                self.lines.insert(name, Line::new(entry));
            }
            Some(line) => {
                let mut at = 0;
                while let Some(holder) = line.get(at)
                    && self.requests[holder.index as usize].granted
                {
                    at += 1;
                }
                for passed in at..line.eligible as usize {
                    let passed = line.get(passed).expect("eligible entries are in the line");
                    self.requests[passed.index as usize].missing += 1;
                }
                line.insert(at, entry);
                line.eligible = (at as u32).max(1);
                missing += u32::from(at > 0);
            }
        }
        let request = &mut self.requests[index as usize];
        request.want = Want::key(name, Mode::Exclusive);
        request.missing = missing;
        if missing == 0 {
            self.try_grant(index);
        }
        ticket
    }

    /// Adds to what a granted request has, if all of it is free; never waits.
    pub fn grow(&mut self, ticket: Ticket, want: &Want) -> bool {
        let (Want::Keys(keys), Want::Keys(_)) = (want, &self.request(ticket).want) else {
            return self.grow_whole(ticket, want);
        };
        let own = &self.request(ticket).want;
        let before = own.node_mode();
        let after = before.max(want.node_mode());
        if after != before {
            let mut others = self.node.counts;
            others[before] -= 1;
            let goes = (0..4).all(|other| others[other] == 0 || TOGETHER[after][other]);
            if !goes || !self.node.waiting.is_empty() {
                return false;
            }
        }
        let free = |&(name, mode): &(Name, Mode)| match own.mode_of(name) {
            Some(have) if have >= mode => true,
            Some(_) => self.lines.get(&name).is_some_and(|line| line.len() == 1),
            None => self.lines.get(&name).is_none_or(|line| line.admits(mode)),
        };
        if !keys.iter().all(free) || !self.unpressed(want) {
            return false;
        }
        self.node.counts[before] -= 1;
        self.node.counts[after] += 1;
        let Locks {
            lines, requests, ..
        } = self;
        let request = &mut requests[ticket.index as usize];
        for &(name, mode) in keys {
            match request.want.mode_of(name) {
                Some(have) if have >= mode => {}
                Some(_) => {
                    let line = lines.get_mut(&name).expect("a name that is had has a line");
                    line.first.mode = mode;
                }
                None => {
                    let index = ticket.index;
                    let missing = join(lines, name, Entry { index, mode }, false);
                    assert!(missing == 0, "what is free is granted");
                }
            }
        }
        request.want.join(want.clone());
        true
    }

    /// Growth to or beside the whole shard: only for somebody who is alone on it.
    fn grow_whole(&mut self, ticket: Ticket, want: &Want) -> bool {
        if self.request(ticket).want.covers(want) {
            return true;
        }
        if self.live > 1 {
            return false;
        }
        let owner = self.request(ticket).owner;
        let mut own = self.release(ticket);
        own.join(want.clone());
        let again = self.take(owner, own);
        assert!(again.index == ticket.index, "a place is free for its next");
        self.requests[ticket.index as usize].turn = ticket.turn;
        true
    }

    /// Ends a request, granted or not, and lets those behind it go on. Gives back what it wanted.
    pub fn release(&mut self, ticket: Ticket) -> Want {
        let index = ticket.index;
        let request = self.request_mut(ticket);
        request.live = false;
        let want = mem::take(&mut request.want);
        self.live -= 1;
        self.free.push(index);
        self.leave_node(index, want.node_mode());
        self.settle_node();
        if let Want::Keys(keys) = &want {
            for (name, _) in keys {
                self.leave_line(*name, index);
            }
        }
        self.settle_pressing();
        want
    }

    fn leave_node(&mut self, index: u32, mode: usize) {
        let request = &mut self.requests[index as usize];
        if mem::take(&mut request.waits_at_node) {
            self.node.waiting.retain(|waiting| waiting.0 != index);
        } else {
            self.node.counts[mode] -= 1;
        }
    }

    fn settle_node(&mut self) {
        while let Some(&(index, mode)) = self.node.waiting.front()
            && self.node.goes(mode)
        {
            self.node.waiting.pop_front();
            self.node.counts[mode] += 1;
            self.requests[index as usize].waits_at_node = false;
            self.less_missing(index);
        }
    }

    fn leave_line(&mut self, name: Name, index: u32) {
        let line = self
            .lines
            .get_mut(&name)
            .expect("a name that is wanted has a line");
        let at = line.position(index);
        if !line.remove(at) {
            self.lines.remove(&name);
            return;
        }
        if self.faults.has(Fault::WakeUpLost) {
            return;
        }
        while let Some(line) = self.lines.get_mut(&name)
            && let Some(entry) = line.promote()
        {
            self.less_missing(entry.index);
        }
    }

    fn less_missing(&mut self, index: u32) {
        let request = &mut self.requests[index as usize];
        assert!(request.missing > 0, "a request is eligible once per line");
        request.missing -= 1;
        if request.missing == 0 {
            self.try_grant(index);
        }
    }

    fn try_grant(&mut self, index: u32) {
        let request = &self.requests[index as usize];
        if !self.unpressed(&request.want) {
            return;
        }
        let request = &mut self.requests[index as usize];
        request.granted = true;
        let ticket = Ticket {
            index,
            turn: request.turn,
        };
        let granted = Granted::Request(ticket, request.owner);
        self.granted.push_back(granted);
    }

    /// Wants more for the transaction that may press, or begins to. It goes ahead of all requests
    /// that are not granted, and waits for those that are.
    pub fn press(&mut self, owner: O, want: Want) {
        match &mut self.pressing {
            Some(pressing) => {
                pressing.want.join(want);
                pressing.granted = false;
            }
            None => {
                self.live += 1;
                self.pressing = Some(Pressing {
                    owner,
                    want,
                    granted: false,
                });
            }
        }
        self.settle_pressing();
    }

    /// Owners of granted requests that the pressing one waits for.
    pub fn in_its_way(&self) -> impl Iterator<Item = O> + '_ {
        let waits = self.pressing.as_ref().filter(|pressing| !pressing.granted);
        self.requests
            .iter()
            .filter(move |request| {
                waits.is_some_and(|pressing| {
                    request.live && request.granted && request.want.conflicts(&pressing.want)
                })
            })
            .map(|request| request.owner)
    }

    fn settle_pressing(&mut self) {
        if self.pressing.is_none() || self.in_its_way().next().is_some() {
            return;
        }
        if let Some(pressing) = &mut self.pressing
            && !pressing.granted
        {
            pressing.granted = true;
            self.granted.push_back(Granted::Pressing(pressing.owner));
        }
    }

    /// Ends the pressing; those that it held back are granted.
    pub fn release_pressing(&mut self) -> Want {
        let pressing = self.pressing.take().expect("somebody presses");
        self.live -= 1;
        for index in 0..self.requests.len() {
            let request = &self.requests[index];
            if request.live && !request.granted && request.missing == 0 {
                self.try_grant(index as u32);
            }
        }
        pressing.want
    }

    /// Who has been granted since, oldest first. Requests that were released meanwhile are left out.
    pub fn next_granted(&mut self) -> Option<Granted<O>> {
        loop {
            let granted = self.granted.pop_front()?;
            match granted {
                Granted::Request(ticket, _) if !self.is_granted(ticket) => {}
                granted => return Some(granted),
            }
        }
    }

    pub fn is_granted(&self, ticket: Ticket) -> bool {
        self.requests
            .get(ticket.index as usize)
            .is_some_and(|request| request.live && request.turn == ticket.turn && request.granted)
    }

    /// Whether the request has not been released.
    pub fn is_current(&self, ticket: Ticket) -> bool {
        self.requests
            .get(ticket.index as usize)
            .is_some_and(|request| request.live && request.turn == ticket.turn)
    }

    pub fn writes(&self, ticket: Ticket) -> bool {
        self.request(ticket).want.writes()
    }

    fn request(&self, ticket: Ticket) -> &Request<O> {
        let request = &self.requests[ticket.index as usize];
        assert!(
            request.live && request.turn == ticket.turn,
            "a ticket is used until its release"
        );
        request
    }

    fn request_mut(&mut self, ticket: Ticket) -> &mut Request<O> {
        let request = &mut self.requests[ticket.index as usize];
        assert!(
            request.live && request.turn == ticket.turn,
            "a ticket is used until its release"
        );
        request
    }

    /// Whether no trace of a request is left.
    pub fn is_empty(&self) -> bool {
        self.live == 0
            && self.lines.is_empty()
            && self.node.counts == [0; 4]
            && self.node.waiting.is_empty()
            && self.granted.is_empty()
    }
}

/// Joins a line's end; answers 1 if it has to wait there, else 0.
fn join(lines: &mut FoldMap<Name, Line>, name: Name, entry: Entry, barges: bool) -> u32 {
    use std::collections::hash_map::Entry as Place;
    match lines.entry(name) {
        Place::Vacant(place) => {
            place.insert(Line::new(entry));
            0
        }
        Place::Occupied(place) => {
            let line = place.into_mut();
            if barges && entry.mode == Mode::Shared && line.first.mode == Mode::Shared {
                line.insert(line.eligible as usize, entry);
                line.eligible += 1;
                return 0;
            }
            let admitted = line.admits(entry.mode);
            line.rest.push(entry);
            line.eligible += u32::from(admitted);
            u32::from(!admitted)
        }
    }
}

#[cfg(test)]
mod tests;
