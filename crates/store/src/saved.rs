//! Copies of keys, to put them back: what a script has changed can be undone while these are kept.

use crate::entry::{Blob, Entry, NewValue, Str};
use crate::shard::{Expiry, Item, Key, Shard};
use crate::value::Value;

/// A key's value with all that belongs to it, as a copy of its own.
pub struct Saved {
    value: Copied,
    expiry: Option<i64>,
    access: u32,
    raw: bool,
}

enum Copied {
    Int(i64),
    Bytes(Box<[u8]>),
    Blob(Blob),
    Value(Value),
}

/// The value has more elements than may be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig;

impl Saved {
    /// What an entry has, with the collection that it has, or had, if it is one.
    fn of(entry: Entry, collection: Option<Value>) -> Saved {
        let value = match collection {
            Some(value) => Copied::Value(value),
            None => match entry.str() {
                Str::Int(v) => Copied::Int(v),
                Str::Bytes(b) => Copied::Bytes(b.into()),
                // Whoever changes it meanwhile copies it.
                Str::Blob(b) => Copied::Blob(b.share()),
            },
        };
        Saved {
            value,
            expiry: entry.expiry(),
            access: entry.access(),
            raw: entry.is_raw(),
        }
    }
}

impl Shard {
    /// A copy of a key; nothing if it is absent or its time has come.
    pub fn save(
        &mut self,
        db: usize,
        key: Key<'_>,
        max_elements: usize,
    ) -> Result<Option<Saved>, TooBig> {
        let Some((_, entry)) = self.find(db, key) else {
            return Ok(None);
        };
        if self.is_due(entry) {
            return Ok(None);
        }
        let value = match Item::new(entry).value() {
            Some(value) if value.len() > max_elements => return Err(TooBig),
            Some(value) => Some(Value::clone(&value)),
            None => None,
        };
        Ok(Some(Saved::of(entry, value)))
    }

    /// [`Shard::save`] of a value that is also small in bytes, and does not expire before a time, nor a part of it.
    pub fn save_small(
        &mut self,
        db: usize,
        key: Key<'_>,
        max_elements: usize,
        max_bytes: usize,
        until_ms: i64,
    ) -> Result<Option<Saved>, TooBig> {
        let Some((_, entry)) = self.find(db, key) else {
            return Ok(None);
        };
        if entry.expiry().is_some_and(|at| at <= until_ms) {
            return Err(TooBig);
        }
        let item = Item::new(entry);
        let is_timed = match item.value() {
            Some(value) => matches!(&*value, Value::Hash(hash) if hash.is_timed()),
            None => false,
        };
        if is_timed || item.elements() > max_elements || item.memory() > max_bytes {
            return Err(TooBig);
        }
        self.save(db, key, max_elements)
    }

    /// Takes a key out of the shard with all that it has.
    pub fn take_away(&mut self, db: usize, key: Key<'_>) -> Option<Saved> {
        let (_, entry) = self.find(db, key)?;
        let saved = Saved::of(entry, entry.take_value());
        self.remove(db, key);
        Some(saved)
    }

    /// Makes a key what it was when it was saved, whatever it is now.
    pub fn put_back(&mut self, db: usize, key: Key<'_>, saved: Option<Saved>) {
        let Some(saved) = saved else {
            self.remove(db, key);
            return;
        };
        let expiry = saved.expiry.map_or(Expiry::Clear, Expiry::At);
        match saved.value {
            Copied::Int(v) => self.set(db, key, NewValue::Int(v), None, expiry),
            Copied::Bytes(b) => self.set(db, key, NewValue::Bytes(&b), None, expiry),
            Copied::Blob(b) => self.set(db, key, NewValue::Bytes(&b), Some(&b), expiry),
            Copied::Value(value) => self.put(db, key, value, expiry),
        }
        if let Some((_, entry)) = self.find(db, key) {
            entry.set_raw(saved.raw);
            entry.set_access(saved.access);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{End, List};
    use crate::shard::Look;

    #[test]
    fn what_was_saved_is_put_back() {
        let mut shard = Shard::new(1, [1, 2, 3, 4]);
        shard.set_now(1000);
        let key = shard.key(b"k");
        assert!(matches!(shard.save(0, key, 10), Ok(None)));
        let mut list = shard.create::<List>(0, key).expect("a list");
        for text in [&b"a"[..], b"b"] {
            list.push(End::Tail, text);
        }
        list.close(true);
        shard.set_expiry(0, key, Some(5000));
        assert!(matches!(shard.save(0, key, 1), Err(TooBig)));
        let saved = shard.save(0, key, 2).ok().flatten();
        let mut list = shard.open::<List>(0, key).expect("a list").expect("there");
        list.pop(End::Head, |_| ());
        list.close(true);
        shard.set_expiry(0, key, None);
        shard.put_back(0, key, saved);
        let item = shard.look(0, key, Look::Peek).expect("it is there");
        assert_eq!((item.elements(), item.expiry()), (2, Some(5000)));
        let long = vec![b'x'; 100_000];
        for value in [
            NewValue::Int(7),
            NewValue::Bytes(b"short"),
            NewValue::Bytes(&long),
        ] {
            shard.set(0, key, value, None, Expiry::Clear);
            let text = |shard: &mut Shard| {
                let item = shard.look(0, key, Look::Peek).expect("it is there");
                match item.str().expect("a string") {
                    Str::Int(v) => v.to_string().into_bytes(),
                    Str::Bytes(b) => b.to_vec(),
                    Str::Blob(b) => b.bytes().clone(),
                }
            };
            let before = text(&mut shard);
            let saved = shard.save(0, key, 0).ok().flatten();
            shard
                .edit(0, key, 1, |bytes| bytes[0] = b'!')
                .expect("a string");
            assert_ne!(text(&mut shard), before);
            shard.put_back(0, key, saved);
            assert_eq!(text(&mut shard), before);
            shard.put_back(0, key, None);
            assert!(shard.look(0, key, Look::Peek).is_none());
        }
    }
}
