//! Streams, with their groups.
//!
//! ```text
//! nodes | (id, listpack) … | entries | last id
//!       | from the second form on: first id | greatest deleted id | entries ever added
//! groups | (name | last id | from the second form on: entries read
//!        | pending | (id, when, how often) …
//!        | consumers | (name | seen | from the third form on: active | pending | id …) …) …
//! ```
//!
//! What is pending stands in the group first, and then again with the consumer who has it.

use super::Decoder;
use crate::error::{Error, corrupt};
use crate::format::{NEVER, UNKNOWN_READ, kind};
use crate::source::{self, Source};
use std::collections::BTreeMap;
use store::listpack::Listpack;
use store::stream::{ConsumerNumber, Group, Id, Log, Pending, Stream};

fn bad() -> Error {
    corrupt("a stream")
}

/// An id in sixteen bytes.
fn wide_id(bytes: [u8; 16]) -> Id {
    let id = u128::from_be_bytes(bytes);
    Id::new((id >> 64) as u64, id as u64)
}

/// An id as two lengths.
fn id(source: &mut impl Source) -> Result<Id, Error> {
    Ok(Id::new(source::len(source)?, source::len(source)?))
}

impl Decoder {
    pub(super) fn stream<S: Source>(
        &mut self,
        source: &mut S,
        value_type: u8,
    ) -> Result<Stream, Error> {
        let mut stream = Stream::default();
        let log = stream.log_mut();
        for _ in 0..source::len(source)? {
            let base = Self::packed(source, &mut self.text)?;
            let base = wide_id(base.try_into().map_err(|_| bad())?);
            let pack = Listpack::from_redis(Self::packed(source, &mut self.text)?)?;
            log.push_pack(base, pack)?;
        }
        counts(source, log, value_type)?;
        for _ in 0..source::len(source)? {
            let group = self.group(source, value_type)?;
            let before = stream.groups().last();
            if before.is_some_and(|before| before.name() >= group.name()) {
                return Err(bad());
            }
            stream.add_group(group);
        }
        Ok(stream)
    }

    fn group<S: Source>(&mut self, source: &mut S, value_type: u8) -> Result<Group, Error> {
        self.name.set(source::string(source, &mut self.text)?);
        let last_id = id(source)?;
        let read = match value_type {
            kind::STREAM => UNKNOWN_READ,
            _ => source::len(source)?,
        };
        let read = (read != UNKNOWN_READ).then_some(read as i64);
        let mut group = Group::new(self.name.bytes(), last_id, read);
        let mut deliveries = Deliveries::new();
        for _ in 0..source::len(source)? {
            let id = wide_id(source::array(source)?);
            let delivered_ms = source::millis(source)?;
            let times = source::len(source)?;
            if deliveries.insert(id, (delivered_ms, times)).is_some() {
                return Err(bad());
            }
        }
        let mut last = None;
        for _ in 0..source::len(source)? {
            self.name.set(source::string(source, &mut self.text)?);
            let name = self.name.bytes();
            if last.is_some_and(|last| group.consumer(last).name() >= name) {
                return Err(bad());
            }
            last = Some(consumer(
                source,
                value_type,
                name,
                &mut group,
                &mut deliveries,
            )?);
        }
        // Each must have come to a consumer.
        if deliveries.is_empty() {
            Ok(group)
        } else {
            Err(bad())
        }
    }
}

/// Reads a consumer of this name, with what is pending for it.
fn consumer(
    source: &mut impl Source,
    value_type: u8,
    name: &[u8],
    group: &mut Group,
    deliveries: &mut Deliveries,
) -> Result<ConsumerNumber, Error> {
    let seen_ms = source::millis(source)?;
    let active_ms = match value_type {
        kind::STREAM_3 => source::millis(source)?,
        // The best guess, as in Redis.
        _ => seen_ms,
    };
    let (number, _) = group.add_consumer(name, seen_ms);
    group.consumer_mut(number).active_ms = (active_ms != NEVER).then_some(active_ms);
    for _ in 0..source::len(source)? {
        let id = wide_id(source::array(source)?);
        let (delivered_ms, deliveries) = deliveries.remove(&id).ok_or_else(bad)?;
        let pending = Pending {
            delivered_ms,
            deliveries,
            consumer: number,
        };
        group.give(id, pending);
    }
    Ok(number)
}

/// When an entry was delivered last, and how often.
type Deliveries = BTreeMap<Id, (i64, u64)>;

/// Reads what is counted besides the entries.
fn counts(source: &mut impl Source, log: &mut Log, value_type: u8) -> Result<(), Error> {
    let len = source::len(source)?;
    let last_id = id(source)?;
    let last = log.last().map_or(Id::MIN, |entry| entry.id);
    if len != log.len() || last > last_id {
        return Err(bad());
    }
    log.last_id = last_id;
    log.first_id = log.first().map_or(Id::MIN, |entry| entry.id);
    if value_type == kind::STREAM {
        log.entries_added = len;
        return Ok(());
    }
    // It follows from the entries.
    let _first_id = id(source)?;
    log.max_deleted_id = id(source)?;
    log.entries_added = source::len(source)?;
    Ok(())
}
