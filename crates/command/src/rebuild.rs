//! Keys as the commands that make them: a base of the append-only log for those who want it readable.
//!
//! What there are no commands for is not told: how long ago a key was used, when a consumer was last seen, and
//! pending entries that a stream has no longer. So it is in Redis.

use crate::stream::id_text;
use persist::parts::{each, in_turn};
use resp::number::Decimal;
use resp::request;
use store::double::Text;
use store::hash::Hash;
use store::list::{List, Node};
use store::picture::{Picture, Pictured};
use store::shard::Item;
use store::stream::{Group, Id, Stream};
use store::zset::Zset;
use store::{Element, Str, Value, listpack};

/// Most elements of one command, and bytes after which it has no more.
const ELEMENTS: usize = 64;
const BYTES: usize = 64 << 10;

type Parts<'a> = persist::parts::Parts<'a, Vec<u8>>;

/// Writes commands, and keeps its memory.
#[derive(Default)]
pub struct Rebuild {
    out: Vec<u8>,
}

impl Rebuild {
    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// What was written; other memory is used from then on.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The keys that follow are in this database.
    pub fn select(&mut self, db: usize) {
        let db = Decimal::signed(db as i64);
        put(&mut self.out, &[b"SELECT", db.as_bytes()]);
    }

    /// A library of functions.
    pub fn function(&mut self, code: &[u8]) {
        put(&mut self.out, &[b"FUNCTION", b"LOAD", code]);
    }

    /// A key.
    pub fn key(&mut self, item: &Item<'_>) {
        let key = item.key();
        match (item.value(), item.str()) {
            (Some(value), _) => {
                let mut parts = parts(key, &value);
                while parts(&mut self.out) {}
            }
            (None, Ok(Str::Int(value))) => self.text(key, Decimal::signed(value).as_bytes()),
            (None, Ok(Str::Bytes(text))) => self.text(key, text),
            (None, Ok(Str::Blob(blob))) => self.text(key, blob.bytes()),
            (None, Err(_)) => {}
        }
        self.expiry(key, item.expiry());
    }

    /// A key whose value is large: `full` is called whenever about `most` bytes have been written, and at the
    /// end. It may [take](Rebuild::take) them.
    pub fn picture<E>(
        &mut self,
        picture: &Picture,
        most: usize,
        mut full: impl FnMut(&mut Rebuild) -> Result<(), E>,
    ) -> Result<(), E> {
        match &picture.value {
            Pictured::Text(text) => self.text(&picture.key, text),
            Pictured::Collection(value) => {
                let mut parts = parts(&picture.key, value);
                while parts(&mut self.out) {
                    if self.out.len() >= most {
                        full(self)?;
                    }
                }
            }
        }
        self.expiry(&picture.key, picture.expiry);
        full(self)
    }

    fn text(&mut self, key: &[u8], text: &[u8]) {
        put(&mut self.out, &[b"SET", key, text]);
    }

    fn expiry(&mut self, key: &[u8], at: Option<i64>) {
        if let Some(at) = at {
            let at = Decimal::signed(at);
            put(&mut self.out, &[b"PEXPIREAT", key, at.as_bytes()]);
        }
    }
}

fn put(out: &mut Vec<u8>, words: &[&[u8]]) {
    request::put(out, words.iter().copied());
}

/// Begins a value, and answers what writes it.
fn parts<'a>(key: &'a [u8], value: &'a Value) -> Parts<'a> {
    match value {
        Value::List(list) => elements(&[b"RPUSH", key], list_elements(list), |element, add| {
            element.with(add);
        }),
        Value::Set(set) => elements(&[b"SADD", key], set.iter(), |member, add| {
            member.with(add);
        }),
        Value::Hash(hash) => fields(key, hash),
        Value::Zset(zset) => scores(key, zset),
        Value::Stream(stream) => entries(key, stream),
    }
}

fn list_elements(list: &List) -> impl Iterator<Item = Element<'_>> {
    list.nodes().flat_map(|node| {
        let (one, many) = match node {
            Node::Plain(text) => (Some(Element::Bytes(text)), None),
            Node::Packed(entries, _) => (None, Some(listpack::elements(entries))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    })
}

/// Commands that begin alike and have up to [`ELEMENTS`] elements each, of which `words` tells the words.
fn elements<'a, T: 'a>(
    head: &[&[u8]],
    mut all: impl Iterator<Item = T> + 'a,
    mut words: impl FnMut(T, &mut dyn FnMut(&[u8])) + 'a,
) -> Parts<'a> {
    let begin: Vec<Box<[u8]>> = head.iter().map(|word| Box::from(*word)).collect();
    // The words of the elements, and where each ends.
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    Box::new(move |out| {
        bytes.clear();
        ends.clear();
        let mut count = 0;
        while count < ELEMENTS
            && bytes.len() < BYTES
            && let Some(element) = all.next()
        {
            count += 1;
            words(element, &mut |word| {
                bytes.extend_from_slice(word);
                ends.push(bytes.len());
            });
        }
        if count == 0 {
            return false;
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let own = starts.zip(&ends).map(|(from, to)| &bytes[from..*to]);
        let all: Vec<&[u8]> = begin.iter().map(|word| &**word).chain(own).collect();
        request::put(out, all.into_iter());
        true
    })
}

fn fields<'a>(key: &'a [u8], hash: &'a Hash) -> Parts<'a> {
    let pairs = hash.fields().map(|(field, value, _)| (field, value));
    let set = elements(&[b"HSET", key], pairs, |(field, value), mut add| {
        field.with(&mut add);
        value.with(&mut add);
    });
    if !hash.is_timed() {
        return set;
    }
    let timed = hash
        .fields()
        .filter_map(|(field, _, at)| Some((field, at?)));
    let expire = each(timed, move |out: &mut Vec<u8>, (field, at)| {
        let at = Decimal::signed(at);
        field.with(|field| {
            let words: [&[u8]; 6] = [b"HPEXPIREAT", key, at.as_bytes(), b"FIELDS", b"1", field];
            put(out, &words);
        });
    });
    in_turn([set, expire].into_iter())
}

fn scores<'a>(key: &'a [u8], zset: &'a Zset) -> Parts<'a> {
    elements(&[b"ZADD", key], zset.iter(), |(member, score), mut add| {
        add(Text::short(score).bytes());
        member.with(&mut add);
    })
}

fn entries<'a>(key: &'a [u8], stream: &'a Stream) -> Parts<'a> {
    let log = stream.log();
    let add = each(
        log.range(Id::MIN, Id::MAX),
        move |out: &mut Vec<u8>, entry| {
            let id = id_text(entry.id);
            let mut words: Vec<Box<[u8]>> =
                vec![b"XADD"[..].into(), key.into(), id.as_bytes().into()];
            for (name, value) in entry.fields {
                words.extend([name, value].map(|word| Box::from(&*word.text())));
            }
            request::put(out, words.iter().map(|word| &**word));
        },
    );
    let behind = each(std::iter::once(()), move |out: &mut Vec<u8>, ()| {
        if log.is_empty() {
            put(out, &[b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]);
        }
        let [last, deleted] = [log.last_id, log.max_deleted_id].map(id_text);
        let added = Decimal::unsigned(log.entries_added);
        let words: [&[u8]; 7] = [
            b"XSETID",
            key,
            last.as_bytes(),
            b"ENTRIESADDED",
            added.as_bytes(),
            b"MAXDELETEDID",
            deleted.as_bytes(),
        ];
        put(out, &words);
    });
    let groups = stream.groups().iter();
    let groups = groups.map(move |group| pending(key, stream, group));
    in_turn([add, behind].into_iter().chain(groups))
}

/// A group, with what is pending of what is there.
fn pending<'a>(key: &'a [u8], stream: &'a Stream, group: &'a Group) -> Parts<'a> {
    let create = each(std::iter::once(()), move |out: &mut Vec<u8>, ()| {
        let (last, read) = (id_text(group.last_id), group.entries_read.unwrap_or(-1));
        let read = Decimal::signed(read);
        let words: [&[u8]; 7] = [
            b"XGROUP",
            b"CREATE",
            key,
            group.name(),
            last.as_bytes(),
            b"ENTRIESREAD",
            read.as_bytes(),
        ];
        put(out, &words);
    });
    let consumers = each(
        group.consumers(),
        move |out: &mut Vec<u8>, (_, consumer)| {
            let words: [&[u8]; 5] = [
                b"XGROUP",
                b"CREATECONSUMER",
                key,
                group.name(),
                consumer.name(),
            ];
            put(out, &words);
        },
    );
    let there = group
        .pending(Id::MIN, Id::MAX)
        .filter(|(id, _)| stream.log().has(*id));
    let claim = each(there, move |out: &mut Vec<u8>, (id, pending)| {
        let consumer = group.consumer(pending.consumer).name();
        let (id, at) = (id_text(id), Decimal::signed(pending.delivered_ms));
        let deliveries = Decimal::unsigned(pending.deliveries);
        let words: [&[u8]; 12] = [
            b"XCLAIM",
            key,
            group.name(),
            consumer,
            b"0",
            id.as_bytes(),
            b"TIME",
            at.as_bytes(),
            b"RETRYCOUNT",
            deliveries.as_bytes(),
            b"JUSTID",
            b"FORCE",
        ];
        put(out, &words);
    });
    in_turn([create, consumers, claim].into_iter())
}
