//! Publish and subscribe: who wants which messages, and how they get there.
//!
//! ```text
//!   PUBLISH ──► the channel's shard, by its slot ──┬──► its own subscribers
//!                 puts all messages in order       └──► a shard with subscribers ──► those
//! ```
//!
//! A channel has an owner, the shard that its name's slot falls to. All of the channel's messages go
//! through the owner, which sends each one once to every shard that has somebody for it, and to no
//! other. Between two shards messages keep their order, so subscribers see a channel's in the order in
//! which the owner took them. Patterns have no owner: every shard knows how many subscribers of each
//! there are on which shard.
//!
//! A subscription is confirmed when all shards have noted it, so what is published after that arrives.
//! A message that comes before the confirmation is kept until then ([`Subscriptions::early`]). Messages
//! travel on the lane of the replies.
//!
//! To add another kind of subscription, add it to [`Kind`]; nothing else goes by the kinds one by one but
//! the names that clients read.

use crate::clients::{Client, Closing, Special};
use crate::core::Core;
use crate::remote::parcel::Sender;
use crate::remote::{Answer, Request};
use resp::reply::Mark;
use resp::{Protocol, Reply};
use std::collections::{BTreeSet, HashMap};
use store::glob;

/// What is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel,
    Pattern,
    /// A channel of SSUBSCRIBE, whose names are their own.
    Sharded,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Sharded];

    /// The first word of a message.
    fn word(self) -> &'static [u8] {
        match self {
            Kind::Channel => b"message",
            Kind::Pattern => b"pmessage",
            Kind::Sharded => b"smessage",
        }
    }
}

/// One subscriber more or less of a name, on the shard that says so.
#[derive(Clone, Debug)]
pub struct Change {
    pub kind: Kind,
    pub name: Box<[u8]>,
    pub more: bool,
}

/// A message on its way to a shard with subscribers.
pub struct Message {
    /// [`Kind::Channel`] or [`Kind::Sharded`].
    pub kind: Kind,
    pub channel: Box<[u8]>,
    pub payload: Box<[u8]>,
}

/// What a client has subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [BTreeSet<Box<[u8]>>; 3],
    /// Confirmations that wait for the other shards.
    pub confirmation: Vec<u8>,
    /// Messages that came before these.
    pub early: Vec<u8>,
}

impl Subscriptions {
    /// Whether messages have to wait for a confirmation.
    pub fn is_unconfirmed(&self) -> bool {
        !self.confirmation.is_empty()
    }

    pub fn of(&self, kind: Kind) -> &BTreeSet<Box<[u8]>> {
        &self.names[kind as usize]
    }

    /// The number that is confirmed: channels and patterns count together.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Channel | Kind::Pattern => {
                self.of(Kind::Channel).len() + self.of(Kind::Pattern).len()
            }
            Kind::Sharded => self.of(Kind::Sharded).len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }
}

type Names<V> = HashMap<Box<[u8]>, V, ahash::RandomState>;

/// What a shard knows of subscriptions.
#[derive(Default)]
pub struct PubSub {
    /// This shard's clients, by kind and name.
    subscribers: [Names<Vec<Sender>>; 3],
    /// Subscribers on each shard: of channels that this shard owns, and of all patterns.
    counts: [Names<Vec<u32>>; 3],
    /// Subscribers, on all shards, of all channels: whoever publishes from another shard than the owner's,
    /// and does not wait for an answer, has to know.
    everywhere: [Names<u32>; 3],
    /// The subscriber whose command runs now, and the messages that it causes itself: they come behind
    /// its reply.
    at_work: Option<(Sender, Protocol)>,
    early: Vec<u8>,
}

impl PubSub {
    /// Names of a kind that somebody subscribes to and that this shard counts.
    pub fn counted(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.counts[kind as usize].keys().map(|name| &**name)
    }

    /// Subscribers of a name on all shards, as far as this shard counts them.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> u64 {
        let counts = self.counts[kind as usize].get(name);
        counts.map_or(0, |counts| counts.iter().map(|n| u64::from(*n)).sum())
    }

    /// Whether somebody would get a message of a channel on which is published what happens to keys.
    pub fn hears(&self, channel: &[u8]) -> bool {
        let mut patterns = self.counts[Kind::Pattern as usize].keys();
        self.everywhere[Kind::Channel as usize].contains_key(channel)
            || patterns.any(|pattern| glob::matches(pattern, channel, false))
    }

    /// How many get a message of a channel, as far as this shard has heard.
    pub fn heard_by(&self, kind: Kind, channel: &[u8]) -> u64 {
        let direct = self.everywhere[kind as usize].get(channel);
        let patterns = self.counts[Kind::Pattern as usize].iter();
        let matched = patterns
            .filter(|(pattern, _)| kind == Kind::Channel && glob::matches(pattern, channel, false));
        let matched = matched
            .flat_map(|(_, counts)| counts)
            .map(|n| u64::from(*n));
        direct.map_or(0, |n| u64::from(*n)) + matched.sum::<u64>()
    }

    /// Counts a subscriber of a channel, whoever owns it.
    fn count_everywhere(&mut self, kind: Kind, name: &[u8], more: bool) {
        let names = &mut self.everywhere[kind as usize];
        let subscribers = names.entry(name.into()).or_default();
        *subscribers = match more {
            true => *subscribers + 1,
            false => subscribers.saturating_sub(1),
        };
        if *subscribers == 0 {
            names.remove(name);
        }
    }

    /// A subscriber's command begins.
    pub fn begin_work(&mut self, client: &Client, protocol: Protocol) {
        self.at_work = Some((Sender::of(client), protocol));
    }

    /// It has ended; answers the messages that it has caused to its own client.
    pub fn end_work(&mut self) -> Vec<u8> {
        self.at_work = None;
        std::mem::take(&mut self.early)
    }

    /// Patterns that somebody subscribes to.
    pub fn patterns(&self) -> usize {
        self.counts[Kind::Pattern as usize].len()
    }
}

/// Subscribes a client, which may be at work, to a name; nothing if it was before.
pub fn add(core: &mut Core, client: &mut Client, kind: Kind, name: &[u8]) -> Option<Change> {
    let session = client.session.subscriptions.get_or_insert_default();
    if !session.names[kind as usize].insert(name.into()) {
        return None;
    }
    client.special.set(Special::SUBSCRIBED, true);
    let subscribers = &mut core.pubsub.subscribers[kind as usize];
    subscribers
        .entry(name.into())
        .or_default()
        .push(Sender::of(client));
    Some(Change {
        kind,
        name: name.into(),
        more: true,
    })
}

/// Ends a client's subscription to a name; nothing if there was none.
pub fn remove(core: &mut Core, client: &mut Client, kind: Kind, name: &[u8]) -> Option<Change> {
    let session = client.session.subscriptions.as_mut()?;
    let name = session.names[kind as usize].take(name)?;
    client.special.set(Special::SUBSCRIBED, !session.is_empty());
    let subscribers = &mut core.pubsub.subscribers[kind as usize];
    if let Some(those) = subscribers.get_mut(&name) {
        let me = Sender::of(client);
        those.retain(|sender| *sender != me);
        if those.is_empty() {
            subscribers.remove(&name);
        }
    }
    Some(Change {
        kind,
        name,
        more: false,
    })
}

/// Ends all subscriptions of a client that goes or begins anew. Nobody waits until all shards know.
pub fn remove_all(core: &mut Core, client: &mut Client) {
    let Some(subscriptions) = client.session.subscriptions.as_ref() else {
        return;
    };
    let names = Kind::ALL.map(|kind| subscriptions.of(kind).clone());
    let mut changes = Vec::new();
    for (kind, names) in Kind::ALL.into_iter().zip(names) {
        for name in names {
            changes.extend(remove(core, client, kind, &name));
        }
    }
    client.session.subscriptions = None;
    if changes.is_empty() {
        return;
    }
    let me = core.me;
    for shard in (0..core.placement.shards()).filter(|shard| *shard != me) {
        let request = Request::Subscriptions(changes.clone());
        core.node.send_request(shard, request);
    }
    note(core, me, &changes);
}

/// Notes what has changed on a shard, as far as this one counts it.
pub fn note(core: &mut Core, from: usize, changes: &[Change]) {
    let (me, shards) = (core.me, core.placement.shards());
    for Change { kind, name, more } in changes {
        if *kind != Kind::Pattern {
            core.pubsub.count_everywhere(*kind, name, *more);
        }
        if *kind != Kind::Pattern && core.placement.of(name) != me {
            continue;
        }
        let names = &mut core.pubsub.counts[*kind as usize];
        let counts = names.entry(name.clone()).or_insert_with(|| vec![0; shards]);
        if *more {
            counts[from] += 1;
        } else {
            counts[from] = counts[from].saturating_sub(1);
            if counts.iter().all(|n| *n == 0) {
                names.remove(name);
            }
        }
    }
}

/// The shard that all messages of a channel go through.
pub fn owner(core: &Core, channel: &[u8]) -> usize {
    core.placement.of(channel)
}

/// Sends a message to all subscribers of a channel of this shard's; answers how many there are. `own` is
/// the client whose command this is, if it is one of this shard's, and where its replies go.
pub fn publish(
    core: &mut Core,
    kind: Kind,
    channel: &[u8],
    payload: &[u8],
    own: Option<(Sender, &mut Reply)>,
) -> u64 {
    let counts = &core.pubsub.counts;
    let direct = counts[kind as usize].get(channel);
    let patterns = || {
        let patterns = counts[Kind::Pattern as usize].iter();
        patterns
            .filter(|(pattern, _)| kind == Kind::Channel && glob::matches(pattern, channel, false))
    };
    let on = |shard: usize| {
        let matched = patterns().map(|(_, counts)| counts[shard]);
        let direct = direct.map_or(0, |counts| counts[shard]);
        u64::from(direct) + matched.map(u64::from).sum::<u64>()
    };
    let mut receivers = 0;
    for shard in (0..core.placement.shards()).filter(|shard| *shard != core.me) {
        let there = on(shard);
        receivers += there;
        if there > 0 {
            let message = Message {
                kind,
                channel: channel.into(),
                payload: payload.into(),
            };
            core.node
                .send_reply(shard, Answer::Message(Box::new(message)));
        }
    }
    let here = on(core.me);
    if here > 0 {
        deliver(core, kind, channel, payload, own);
    }
    receivers + here
}

/// Gives a message to this shard's subscribers.
pub fn deliver(
    core: &mut Core,
    kind: Kind,
    channel: &[u8],
    payload: &[u8],
    mut own: Option<(Sender, &mut Reply)>,
) {
    let subscribers = std::mem::take(&mut core.pubsub.subscribers);
    if let Some(those) = subscribers[kind as usize].get(channel) {
        let pushed = Pushed::new(&[kind.word(), channel, payload]);
        for sender in those {
            pushed.give(core, *sender, &mut own);
        }
    }
    if kind == Kind::Channel {
        for (pattern, those) in &subscribers[Kind::Pattern as usize] {
            if glob::matches(pattern, channel, false) {
                let pushed = Pushed::new(&[Kind::Pattern.word(), pattern, channel, payload]);
                for sender in those {
                    pushed.give(core, *sender, &mut own);
                }
            }
        }
    }
    core.pubsub.subscribers = subscribers;
}

/// A message encoded for clients of both protocols.
struct Pushed([Reply; 2]);

impl Pushed {
    fn new(words: &[&[u8]]) -> Pushed {
        Pushed([Protocol::Resp2, Protocol::Resp3].map(|protocol| {
            let mut reply = Reply::new(protocol);
            reply.push(words.len());
            words.iter().for_each(|word| reply.bulk(word));
            reply
        }))
    }

    fn give(&self, core: &mut Core, to: Sender, own: &mut Option<(Sender, &mut Reply)>) {
        if let Some((_, reply)) = own.as_mut().filter(|(sender, _)| *sender == to) {
            return self.write(reply);
        }
        let client = core.clients.get_mut(to.conn);
        let Some(client) = client.filter(|c| c.id == to.client && c.closing == Closing::No) else {
            let pubsub = &mut core.pubsub;
            if let Some((_, protocol)) = pubsub.at_work.filter(|(sender, _)| *sender == to) {
                let pushed = self.in_protocol(protocol);
                pubsub.early.extend_from_slice(pushed.bytes());
            }
            return;
        };
        let subscriptions = client.session.subscriptions.as_mut();
        if let Some(unconfirmed) = subscriptions.filter(|s| s.is_unconfirmed()) {
            let pushed = self.in_protocol(client.reply.protocol());
            unconfirmed.early.extend_from_slice(pushed.bytes());
            return;
        }
        if client.reply.is_empty() {
            client.reply.put_buffer(core.spare.take());
        }
        self.write(&mut client.reply);
        core.clients.mark(to.conn);
    }

    fn in_protocol(&self, protocol: Protocol) -> &Reply {
        match protocol {
            Protocol::Resp2 => &self.0[0],
            Protocol::Resp3 => &self.0[1],
        }
    }

    fn write(&self, reply: &mut Reply) {
        let pushed = self.in_protocol(reply.protocol());
        reply.append(pushed, Mark::default(), pushed.mark());
    }
}
