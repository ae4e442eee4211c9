//! A key's value outside of its shard: lent to the shard that executes a command on keys of several
//! shards, and given back if the command has changed it.
//!
//! Strings are copied, or shared if they are long: a loan owns them. A collection is lent as it is, in
//! the time that copying a word takes, however big it is.
//!
//! # Safety
//!
//! The word of a collection in a loan is a plain copy of its owner's; there are two of them while it is
//! lent, and what makes that sound is the transaction's locks. The owner neither reads, changes nor
//! removes a key from the moment it lends it until the transaction gives up its lock: commands need the
//! lock, and expiry leaves locked keys alone ([`Shard::locked`], [`Shard::sweep_step`]). On the desk, what
//! is locked as shared is only read. If the command has written, those of its keys that are locked as
//! exclusive belong to the desk: [`Shard::accept`] forgets the owner's word and takes over what the desk
//! has made of it. Everything else on the desk is forgotten ([`Shard::forget`]). Messages between shards
//! order the accesses in memory, and collections are `Send`.

use crate::entry::{Blob, NewValue, Str};
use crate::shard::{self, Expiry, Key, Shard, Type};
use crate::value::Value;
use std::mem::{self, ManuallyDrop};

/// A value with its expiry and its access stamp.
#[derive(Clone, Debug)]
pub struct Loan {
    value: Lent,
    /// Unix time in milliseconds.
    expiry: Option<i64>,
    access: u32,
    raw: bool,
}

impl Loan {
    /// See [`Item::elements`](crate::shard::Item::elements).
    pub fn elements(&self) -> usize {
        match &self.value {
            Lent::Int(_) | Lent::Bytes(_) => 0,
            Lent::Blob(b) => b.len() / shard::ELEMENT_BYTES,
            Lent::Word(value_type, word) => {
                // SAFETY: whoever has lent it keeps it as it is, and it is not dropped here.
                let value = ManuallyDrop::new(unsafe { Value::from_parts(*value_type, *word) });
                value.len()
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Lent {
    Int(i64),
    Bytes(Box<[u8]>),
    Blob(Blob),
    Word(Type, u64),
}

// Loans of words are sent between threads.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<crate::value::Value>();
};

impl Shard {
    /// What a key holds, for elsewhere; `None` if it is absent or its time has come. It leaves no trace.
    pub fn lend(&mut self, db: usize, key: Key<'_>) -> Option<Loan> {
        let (_, entry) = self.find(db, key)?;
        if self.is_due(entry) {
            return None;
        }
        // It may be changed where it goes.
        self.before_change(db, key.hash);
        self.note_expiry(entry);
        let value = match entry.word() {
            Some((value_type, word)) => Lent::Word(value_type, word),
            None => match entry.str() {
                Str::Int(v) => Lent::Int(v),
                Str::Bytes(b) => Lent::Bytes(b.into()),
                Str::Blob(b) => Lent::Blob(b.share()),
            },
        };
        Some(Loan {
            value,
            expiry: entry.expiry(),
            access: entry.access(),
            raw: entry.is_raw(),
        })
    }

    /// Takes a key away from the desk whose collection, if it is one, stays where it is.
    pub fn forget(&mut self, db: usize, key: Key<'_>) {
        if let Some((_, entry)) = self.find(db, key) {
            mem::forget(entry.take_value());
            self.remove(db, key);
        }
    }

    /// Makes a key hold what was lent, or nothing. Whatever it held is removed, but for a collection
    /// that this shard has lent, which belongs to the one who gives back.
    pub fn accept(&mut self, db: usize, key: Key<'_>, loan: Option<&Loan>) {
        self.before_change(db, key.hash);
        if let Some((_, entry)) = self.live(db, key) {
            mem::forget(entry.take_value());
        }
        // What has happened to the key was said where it happened.
        let wanted = mem::take(&mut self.wanted);
        self.put_lent(db, key, loan);
        self.wanted = wanted;
    }

    fn put_lent(&mut self, db: usize, key: Key<'_>, loan: Option<&Loan>) {
        let Some(loan) = loan else {
            self.remove(db, key);
            return;
        };
        let (value, owner) = match &loan.value {
            Lent::Int(v) => (NewValue::Int(*v), None),
            Lent::Bytes(b) => (NewValue::Bytes(b), None),
            Lent::Blob(b) => (NewValue::Bytes(b), Some(b)),
            Lent::Word(value_type, word) => (NewValue::Word(*value_type, *word), None),
        };
        let expiry = loan.expiry.map_or(Expiry::Clear, Expiry::At);
        self.set(db, key, value, owner, expiry);
        if let Some((_, entry)) = self.find(db, key) {
            entry.set_raw(loan.raw);
            entry.set_access(loan.access);
            self.note_size(shard::item(entry.0).elements());
            self.note_fields(db, key.hash, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Look;

    fn shard() -> Shard {
        let mut shard = Shard::new(2, [1, 2, 3, 4]);
        shard.set_now(1000);
        shard
    }

    #[test]
    fn a_value_is_the_same_elsewhere() {
        let (mut here, mut there) = (shard(), shard());
        let long = vec![b'x'; 100_000];
        let values = [
            NewValue::Int(-7),
            NewValue::Bytes(b"some"),
            NewValue::Bytes(&long),
        ];
        for (value, at) in values.into_iter().zip([None, Some(5000), Some(6000)]) {
            let key = here.key(b"k");
            let expiry = at.map_or(Expiry::Clear, Expiry::At);
            here.set(0, key, value, None, expiry);
            let loan = here.lend(0, key).expect("it is there");
            there.accept(1, key, Some(&loan));
            let shown = |shard: &mut Shard, db| {
                let item = shard.look(db, key, Look::Peek).expect("it is there");
                let text = match item.str().expect("a string") {
                    Str::Int(v) => v.to_string().into_bytes(),
                    Str::Bytes(b) => b.to_vec(),
                    Str::Blob(b) => b.bytes().clone(),
                };
                (text, item.expiry(), item.access(), item.encoding())
            };
            assert_eq!(shown(&mut here, 0), shown(&mut there, 1));
            assert_eq!(there.volatile(1), usize::from(at.is_some()));
        }
    }

    #[test]
    fn nothing_is_given_back_too() {
        let mut shard = shard();
        let key = shard.key(b"k");
        shard.set(0, key, NewValue::Int(1), None, Expiry::At(1500));
        shard.set_now(2000);
        assert!(shard.lend(0, key).is_none());
        shard.set(0, key, NewValue::Int(1), None, Expiry::Clear);
        shard.accept(0, key, None);
        assert!(shard.is_empty(0));
    }
}
