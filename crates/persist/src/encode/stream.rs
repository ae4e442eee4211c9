//! Streams, whose parts are told in `decode/stream.rs`.

use super::Encoder;
use crate::format::{NEVER, UNKNOWN_READ, kind as format};
use crate::parts::{Parts, each, in_turn};
use store::stream::{Group, Id, Stream};

/// The form to be written, and the first version that has it. The second form has one time for each
/// consumer, which is both when it was seen and when it was active.
pub(super) fn kind(stream: &Stream) -> (u8, u32) {
    let mut consumers = stream.groups().iter().flat_map(Group::consumers);
    let one_time = consumers.all(|(_, consumer)| consumer.active_ms == Some(consumer.seen_ms));
    if one_time {
        (format::STREAM_2, 10)
    } else {
        (format::STREAM_3, 11)
    }
}

fn wide_id(id: Id) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

impl Encoder {
    pub(super) fn stream<'a>(&mut self, stream: &'a Stream) -> Parts<'a, Encoder> {
        let log = stream.log();
        self.len(log.nodes() as u64);
        let packs = each(log.packs(), |encoder: &mut Encoder, (base, pack)| {
            encoder.string(&wide_id(base));
            encoder.packed(|to| pack.append_redis_to(to));
        });
        let behind = each(std::iter::once(stream), Encoder::behind_entries);
        in_turn([packs, behind].into_iter())
    }

    fn behind_entries(&mut self, stream: &Stream) {
        let (form, _) = kind(stream);
        let log = stream.log();
        self.len(log.len());
        self.id(log.last_id);
        self.id(log.first_id);
        self.id(log.max_deleted_id);
        self.len(log.entries_added);
        self.len(stream.groups().len() as u64);
        for group in stream.groups() {
            self.group(group, form);
        }
    }

    /// An id as two lengths.
    fn id(&mut self, id: Id) {
        self.len(id.ms);
        self.len(id.seq);
    }

    fn group(&mut self, group: &Group, form: u8) {
        self.string(group.name());
        self.id(group.last_id);
        self.len(group.entries_read.map_or(UNKNOWN_READ, |read| read as u64));
        self.len(group.pending_len() as u64);
        for (id, pending) in group.pending(Id::MIN, Id::MAX) {
            self.raw(&wide_id(id));
            self.raw(&pending.delivered_ms.to_le_bytes());
            self.len(pending.deliveries);
        }
        let consumers = group.consumers();
        self.len(consumers.len() as u64);
        for (number, consumer) in consumers {
            self.string(consumer.name());
            self.raw(&consumer.seen_ms.to_le_bytes());
            if form == format::STREAM_3 {
                let active_ms = consumer.active_ms.unwrap_or(NEVER);
                self.raw(&active_ms.to_le_bytes());
            }
            self.len(consumer.pending() as u64);
            for (id, _) in group.pending_of(number, Id::MIN, Id::MAX) {
                self.raw(&wide_id(id));
            }
        }
    }
}
