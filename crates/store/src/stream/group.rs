//! Consumer groups: how far a group has read, and which entries are pending: given to one of its
//! consumers, who has not acknowledged them.
//!
//! A pending entry is kept once, in the group, and names its consumer by number. Each consumer has the
//! ids of its own besides, to list them in order.

use super::id::Id;
use super::log::Log;
use super::node::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// The number of a consumer in its group, good until one is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerNumber(u32);

/// An entry that was given to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it was given last, in Unix milliseconds.
    pub delivered_ms: i64,
    /// How often it was given.
    pub deliveries: u64,
    pub consumer: ConsumerNumber,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last tried to read or claim, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it last got an entry, in Unix milliseconds.
    pub active_ms: Option<i64>,
    pending: BTreeSet<Id>,
}

impl Consumer {
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it has not acknowledged.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

#[derive(Clone, Debug)]
pub struct Group {
    name: Box<[u8]>,
    /// The last entry that was delivered.
    pub last_id: Id,
    /// How many entries were ever added up to that one, if known.
    pub entries_read: Option<i64>,
    pending: BTreeMap<Id, Pending>,
    /// By number; gaps where some were deleted.
    consumers: Vec<Option<Consumer>>,
    /// Numbers in the order of names.
    order: Vec<u32>,
}

/// How a claimed entry is kept from then on.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub consumer: ConsumerNumber,
    /// Entries given less than so long ago are left alone; 0 for all.
    pub min_idle_ms: i64,
    pub now_ms: i64,
    pub delivered_ms: i64,
    pub deliveries: Deliveries,
    /// Entries that nobody has are claimed too.
    pub force: bool,
}

/// What becomes of the number of deliveries of a claimed entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliveries {
    Keep,
    Add,
    Set(u64),
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    Yes,
    /// It is nobody's, or was given to somebody not long enough ago.
    No,
    /// The stream does not have the entry. If it was pending, it is no longer.
    Gone {
        was_pending: bool,
    },
}

impl Group {
    pub fn new(name: &[u8], last_id: Id, entries_read: Option<i64>) -> Group {
        Group {
            name: name.into(),
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            consumers: Vec::new(),
            order: Vec::new(),
        }
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (ConsumerNumber, &Consumer)> {
        let known = |n: &u32| (ConsumerNumber(*n), self.consumer(ConsumerNumber(*n)));
        self.order.iter().map(known)
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        let name_of = |n: &u32| self.consumer(ConsumerNumber(*n)).name();
        self.order.binary_search_by(|n| name_of(n).cmp(name))
    }

    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerNumber> {
        let at = self.place(name).ok()?;
        Some(ConsumerNumber(self.order[at]))
    }

    pub fn consumer(&self, number: ConsumerNumber) -> &Consumer {
        let consumer = self.consumers[number.0 as usize].as_ref();
        consumer.expect("a number is a consumer's")
    }

    pub fn consumer_mut(&mut self, number: ConsumerNumber) -> &mut Consumer {
        let consumer = self.consumers[number.0 as usize].as_mut();
        consumer.expect("a number is a consumer's")
    }

    /// The consumer of a name, and whether it is a new one.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> (ConsumerNumber, bool) {
        let at = match self.place(name) {
            Ok(at) => return (ConsumerNumber(self.order[at]), false),
            Err(at) => at,
        };
        let consumer = Consumer {
            name: name.into(),
            seen_ms: now_ms,
            active_ms: None,
            pending: BTreeSet::new(),
        };
        let gap = match self.order.len() < self.consumers.len() {
            true => self.consumers.iter().position(Option::is_none),
            false => None,
        };
        let number = match gap {
            Some(gap) => {
                self.consumers[gap] = Some(consumer);
                gap as u32
            }
            None => {
                self.consumers.push(Some(consumer));
                (self.consumers.len() - 1) as u32
            }
        };
        self.order.insert(at, number);
        (ConsumerNumber(number), true)
    }

    /// Removes a consumer with what is pending for it; answers how many entries that were.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let at = self.place(name).ok()?;
        let number = self.order.remove(at);
        let consumer = self.consumers[number as usize].take()?;
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// How many entries are pending.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    pub fn is_pending(&self, id: Id) -> bool {
        self.pending.contains_key(&id)
    }

    /// The smallest and the greatest id that is pending.
    pub fn pending_bounds(&self) -> Option<(Id, Id)> {
        let (first, _) = self.pending.first_key_value()?;
        let (last, _) = self.pending.last_key_value()?;
        Some((*first, *last))
    }

    /// The smallest id from `start` on that is pending.
    pub fn next_pending(&self, start: Id) -> Option<Id> {
        self.pending.range(start..).next().map(|(id, _)| *id)
    }

    /// What is pending in a range.
    pub fn pending(&self, from: Id, to: Id) -> impl Iterator<Item = (Id, &Pending)> {
        let ids = from..=to.max(from);
        let none = to < from;
        let found = self.pending.range(ids).filter(move |_| !none);
        found.map(|(id, pending)| (*id, pending))
    }

    /// What is pending in a range for one consumer.
    pub fn pending_of(
        &self,
        consumer: ConsumerNumber,
        from: Id,
        to: Id,
    ) -> impl Iterator<Item = (Id, &Pending)> {
        let none = to < from;
        let ids = self.consumer(consumer).pending.range(from..=to.max(from));
        ids.filter(move |_| !none)
            .filter_map(|id| Some((*id, self.pending.get(id)?)))
    }

    /// Nobody has to acknowledge the entry any longer; false if nobody had to.
    pub fn acknowledge(&mut self, id: Id) -> bool {
        match self.pending.remove(&id) {
            Some(pending) => self.consumer_mut(pending.consumer).pending.remove(&id),
            None => false,
        }
    }

    /// The entry is pending for this consumer, whoever had it before.
    pub fn give(&mut self, id: Id, pending: Pending) {
        if let Some(old) = self.pending.insert(id, pending) {
            if old.consumer == pending.consumer {
                return;
            }
            self.consumer_mut(old.consumer).pending.remove(&id);
        }
        self.consumer_mut(pending.consumer).pending.insert(id);
    }

    /// Delivers entries that the group has not had yet, at most `count`, to `emit`. With `keep` they
    /// are pending for the consumer then. Answers how many they were.
    pub fn deliver(
        &mut self,
        log: &Log,
        consumer: ConsumerNumber,
        count: usize,
        keep: bool,
        now_ms: i64,
        mut emit: impl FnMut(Entry<'_>),
    ) -> usize {
        let Some(start) = self.last_id.next() else {
            return 0;
        };
        let mut delivered = 0;
        for entry in log.range(start, Id::MAX).take(count) {
            let id = entry.id;
            self.entries_read = match self.entries_read {
                Some(n) if self.last_id >= log.first_id && !log.has_gap_behind(self.last_id) => {
                    Some(n.wrapping_add(1))
                }
                _ => log.added_up_to(id),
            };
            self.last_id = id;
            emit(entry);
            delivered += 1;
            if keep {
                let pending = Pending {
                    delivered_ms: now_ms,
                    deliveries: 1,
                    consumer,
                };
                self.give(id, pending);
                self.consumer_mut(consumer).active_ms = Some(now_ms);
            }
        }
        delivered
    }

    /// Delivers again what is pending for a consumer above an id, at most `count` entries, to `emit`:
    /// an entry, or the id of one that the stream has no longer. Answers how many of each there were.
    pub fn deliver_again(
        &mut self,
        log: &Log,
        consumer: ConsumerNumber,
        above: Id,
        count: usize,
        now_ms: i64,
        mut emit: impl FnMut(Result<Entry<'_>, Id>),
    ) -> (usize, usize) {
        let Some(start) = above.next() else {
            return (0, 0);
        };
        let Group {
            pending, consumers, ..
        } = self;
        let Some(Some(consumer)) = consumers.get(consumer.0 as usize) else {
            return (0, 0);
        };
        let (mut found, mut gone) = (0, 0);
        for id in consumer.pending.range(start..).take(count) {
            match log.get(*id) {
                None => {
                    gone += 1;
                    emit(Err(*id));
                }
                Some(entry) => {
                    found += 1;
                    emit(Ok(entry));
                    if let Some(pending) = pending.get_mut(id) {
                        pending.delivered_ms = now_ms;
                        pending.deliveries = pending.deliveries.wrapping_add(1);
                    }
                }
            }
        }
        (found, gone)
    }

    /// Makes an entry pending for another consumer.
    pub fn claim(&mut self, log: &Log, id: Id, claim: &Claim) -> Claimed {
        if !log.has(id) {
            let was_pending = self.acknowledge(id);
            return Claimed::Gone { was_pending };
        }
        let before = match self.pending.get(&id) {
            Some(pending) => {
                let idle = claim.now_ms.wrapping_sub(pending.delivered_ms);
                if claim.min_idle_ms > 0 && idle < claim.min_idle_ms {
                    return Claimed::No;
                }
                pending.deliveries
            }
            // As if it had been delivered once.
            None if claim.force => 1,
            None => return Claimed::No,
        };
        let deliveries = match claim.deliveries {
            Deliveries::Keep => before,
            Deliveries::Add => before.wrapping_add(1),
            Deliveries::Set(n) => n,
        };
        let pending = Pending {
            delivered_ms: claim.delivered_ms,
            deliveries,
            consumer: claim.consumer,
        };
        self.give(id, pending);
        self.consumer_mut(claim.consumer).active_ms = Some(claim.now_ms);
        Claimed::Yes
    }

    /// How many entries there are that it has not read, if that can be known.
    pub fn lag(&self, log: &Log) -> Option<i64> {
        if log.entries_added == 0 || log.is_empty() {
            return Some(0);
        }
        if self.last_id < log.first_id && log.max_deleted_id < log.first_id {
            return Some(log.len() as i64);
        }
        let read = match self.entries_read {
            Some(read) if !log.has_gap_behind(self.last_id) => read,
            _ => log.added_up_to(self.last_id)?,
        };
        Some((log.entries_added as i64).wrapping_sub(read))
    }

    pub(crate) fn memory(&self) -> usize {
        // An id with what belongs to it, in the trees of the group and of the consumer, at their
        // usual load.
        const PENDING: usize = 110;
        let consumers = self.consumers.capacity() * size_of::<Option<Consumer>>();
        let names: usize = self.consumers().map(|(_, c)| c.name.len()).sum();
        self.name.len() + consumers + names + self.pending.len() * PENDING
    }

    /// Frees about `budget` of what is pending; true when nothing is left.
    pub(crate) fn free_some(&mut self, budget: &mut usize) -> bool {
        while *budget > 0 {
            *budget -= 1;
            if self.pending.pop_first().is_none() {
                break;
            }
        }
        while *budget > 0 && self.pending.is_empty() {
            *budget -= 1;
            match self.consumers.last_mut() {
                None => return true,
                Some(None) => drop(self.consumers.pop()),
                Some(Some(consumer)) => {
                    if consumer.pending.pop_first().is_none() {
                        self.consumers.pop();
                    }
                }
            }
        }
        self.consumers.is_empty()
    }
}
