//! What a handler gets to work with.

use crate::effect::{Effects, Word};
use crate::error::Error;
use crate::generic::migrate::Dial;
use resp::number::parse_i64;
use resp::{Args, Blob, Reply};
use store::entry::NewValue;
use store::shard::{Expiry, Item};
use store::{Class, Element, Key, Limits, Look, Shard, Str};

/// Settings that handlers of data commands read.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `proto-max-bulk-len`: no string grows beyond it, in bytes.
    pub max_string: usize,
    /// When collections leave their packed encodings.
    pub limits: Limits,
    /// This shard's number, and how many there are.
    pub shard: usize,
    pub shards: usize,
    /// What is executed was logged earlier: times that it tells are right, whatever time it is.
    pub repeats: bool,
    /// The way to other servers.
    pub dial: Dial,
}

pub struct Context<'a> {
    pub shard: &'a mut Shard,
    /// The client's database.
    pub db: usize,
    pub args: Args<'a>,
    /// Hash of argument 1, computed when the batch was prefetched; only if the command's first key
    /// stands there.
    pub hash: Option<u64>,
    /// What look-ups of the keys will need has been loaded.
    pub warm: bool,
    pub reply: &'a mut Reply,
    pub settings: &'a Settings,
    /// What is to be logged of the command.
    pub effects: &'a mut Effects,
}

impl<'a> Context<'a> {
    /// Keys that one call of [`Context::prefetch_keys`] covers.
    pub const PREFETCHED: usize = 64;

    /// Argument `i` as a key.
    #[inline]
    pub fn key(&self, i: usize) -> Key<'a> {
        let bytes = self.args.get(i);
        match self.hash {
            Some(hash) if i == 1 => Key { bytes, hash },
            _ => self.shard.key(bytes),
        }
    }

    /// The item at a key, or `None`.
    #[inline]
    pub fn look(&mut self, key: Key<'_>, look: Look) -> Option<Item<'_>> {
        self.shard.look(self.db, key, look)
    }

    /// The string at a key, `None` if it is absent.
    #[inline]
    pub fn string(&mut self, key: Key<'_>, look: Look) -> Result<Option<Str<'_>>, Error> {
        match self.shard.look(self.db, key, look) {
            None => Ok(None),
            Some(item) => Ok(Some(item.str()?)),
        }
    }

    /// Says that something has happened to a key, for those who subscribe to it.
    #[inline]
    pub fn notify(&mut self, class: Class, event: &'static str, key: Key<'_>) {
        self.shard.notify(class, event, self.db, key.bytes);
    }

    /// Removes a key, and says so; false if it was absent.
    pub fn delete(&mut self, key: Key<'_>) -> bool {
        let removed = self.shard.remove(self.db, key);
        if removed {
            self.notify(Class::GENERIC, "del", key);
        }
        removed
    }

    /// Sets or clears the expiry of a key, and says so; false if it was absent.
    pub fn set_expiry(&mut self, key: Key<'_>, at: Option<i64>) -> bool {
        let set = self.shard.set_expiry(self.db, key, at);
        if set {
            let event = if at.is_some() { "expire" } else { "persist" };
            self.notify(Class::GENERIC, event, key);
        }
        set
    }

    /// Logs that a key has gone, instead of the command.
    #[inline]
    pub fn tell_delete(&mut self, key: Key<'_>) {
        self.effects.tell(["DEL".into(), key.bytes.into()]);
    }

    /// Logs when a key expires, instead of the command.
    #[inline]
    pub fn tell_expiry(&mut self, key: Key<'_>, at: i64) {
        let call = ["PEXPIREAT".into(), key.bytes.into(), at.into()];
        self.effects.tell(call);
    }

    /// Logs that a string was stored, instead of the command.
    #[inline]
    pub fn tell_set(&mut self, key: Key<'_>, value: &[u8], expiry: Expiry) {
        let set: [Word<'_>; 3] = ["SET".into(), key.bytes.into(), value.into()];
        let rest: &[Word<'_>] = match expiry {
            Expiry::Clear => &[],
            Expiry::Keep => &["KEEPTTL".into()],
            Expiry::At(at) => &["PXAT".into(), at.into()],
        };
        self.effects.tell(set.iter().chain(rest).copied());
    }

    /// Argument `i` as an integer.
    pub fn integer(&self, i: usize) -> Result<i64, Error> {
        parse_i64(self.args.get(i)).ok_or(Error::NOT_INTEGER)
    }

    /// Argument `i` as an integer whose sign can be turned.
    pub fn symmetric(&self, i: usize) -> Result<i64, Error> {
        match self.integer(i)? {
            i64::MIN => Err(Error::NOT_SYMMETRIC),
            value => Ok(value),
        }
    }

    /// Stores argument `i` as a string: as an integer if it reads as one, shared if it is long and
    /// has an allocation of its own.
    #[inline]
    pub fn set(&mut self, key: Key<'_>, i: usize, expiry: Expiry) {
        let owner: Option<&Blob> = self.args.blob(i);
        let value = new_value(self.args.get(i));
        self.shard.set(self.db, key, value, owner, expiry);
    }

    /// Writes a string as a bulk reply; a long one is shared.
    #[inline]
    pub fn reply_string(reply: &mut Reply, value: Str<'_>) {
        match value {
            Str::Int(v) => reply.bulk_int(v),
            Str::Bytes(b) => reply.bulk(b),
            Str::Blob(b) if b.bytes().len() < resp::reply::SHARE_MIN => reply.bulk(b.bytes()),
            Str::Blob(b) => reply.bulk_shared(shared(b.share())),
        }
    }

    /// Writes an element of a collection as a bulk reply.
    #[inline]
    pub fn reply_element(reply: &mut Reply, element: Element<'_>) {
        match element {
            Element::Int(v) => reply.bulk_int(v),
            Element::Bytes(b) => reply.bulk(b),
        }
    }

    /// Starts loading what look-ups of arguments `first`, `first + step`, … will need, of at most
    /// [`Context::PREFETCHED`] of them.
    pub fn prefetch_keys(&self, first: usize, step: usize) {
        if self.warm {
            return;
        }
        let mut hashes = [0; Self::PREFETCHED];
        let mut n = 0;
        for i in (first..self.args.len())
            .step_by(step)
            .take(Self::PREFETCHED)
        {
            hashes[n] = self.key(i).hash;
            n += 1;
        }
        let hashes = &hashes[..n];
        hashes
            .iter()
            .for_each(|h| self.shard.prefetch_word(self.db, *h));
        hashes
            .iter()
            .for_each(|h| self.shard.prefetch_bucket(self.db, *h));
        hashes
            .iter()
            .for_each(|h| self.shard.prefetch_entry(self.db, *h));
    }
}

/// Bytes as they will be stored: an integer if they are the canonical text of one.
#[inline]
pub fn new_value(bytes: &[u8]) -> NewValue<'_> {
    match bytes.first() {
        Some(b'0'..=b'9' | b'-') => match parse_i64(bytes) {
            Some(v) => NewValue::Int(v),
            None => NewValue::Bytes(bytes),
        },
        _ => NewValue::Bytes(bytes),
    }
}

/// A blob as bytes of an output.
pub fn shared(blob: Blob) -> bytes::Bytes {
    struct Owner(Blob);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    bytes::Bytes::from_owner(Owner(blob))
}
