//! Keyspace notifications: what happens to keys, published as messages of two channels.
//!
//! ```text
//!   command ──► events, in the data ──► __keyspace@<db>__:<key>    with the event's name
//!                                   └─► __keyevent@<db>__:<event>  with the key
//!                                          └──► the channel's owner, who publishes it
//! ```
//!
//! A key's events are published by the key's shard, after each command and before anything else happens
//! to the key, so all subscribers see them in the order in which the key has changed. What a gathering
//! command does on the desk travels to the key's shard with the value that is given back
//! (`remote/tx.rs`); what it only fails to find is published where it runs. Between a shard and a
//! channel's owner messages keep their order. Events of different shards that meet on a
//! `__keyevent` channel have the order in which its owner received them. Every shard counts the
//! subscribers of these channels, so what nobody hears is not sent.

use crate::core::Core;
use crate::pubsub::{self, Kind, Message};
use crate::remote::Request;
use store::Event;

/// What the channels of keys and of events begin with.
pub const PREFIX: &[u8] = b"__key";

/// Publishes what has happened to keys of this shard.
#[cold]
#[inline(never)]
pub fn publish(core: &mut Core) {
    let mut events = std::mem::take(&mut core.events);
    core.shard.take_events(&mut events);
    publish_all(core, &events);
    events.clear();
    core.events = events;
}

/// Publishes events that keys of this shard had elsewhere, or keeps them while what a script does may
/// be undone.
pub fn publish_all(core: &mut Core, events: &[Event]) {
    if let Some(held) = &mut core.held_events {
        held.extend_from_slice(events);
        return;
    }
    for Event { name, db, key } in events {
        if core.notices.keyspace {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(key);
            send(core, &channel, name.as_bytes());
        }
        if core.notices.keyevent {
            let channel = format!("__keyevent@{db}__:{name}");
            send(core, channel.as_bytes(), key);
        }
    }
}

fn send(core: &mut Core, channel: &[u8], payload: &[u8]) {
    if !core.pubsub.hears(channel) {
        return;
    }
    let owner = pubsub::owner(core, channel);
    if owner == core.me {
        pubsub::publish(core, Kind::Channel, channel, payload, None);
        return;
    }
    let message = Message {
        kind: Kind::Channel,
        channel: channel.into(),
        payload: payload.into(),
    };
    core.node
        .send_request(owner, Request::Publish(Box::new(message)));
}
