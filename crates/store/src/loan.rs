//! A key's value outside of its shard: lent to the shard that executes a command on keys of several
//! shards, and given back if the command has changed it.
//!
//! A loan owns what it holds, so that it can travel between threads. Small values are copied; a
//! [`Blob`] is shared, and changed only where nobody shares it.

use crate::entry::{Blob, NewValue, Str};
use crate::shard::{Expiry, Key, Shard};

/// A value with its expiry and its access stamp.
#[derive(Clone, Debug)]
pub struct Loan {
    value: Lent,
    /// Unix time in milliseconds.
    expiry: Option<i64>,
    access: u32,
    raw: bool,
}

#[derive(Clone, Debug)]
enum Lent {
    Int(i64),
    Bytes(Box<[u8]>),
    Blob(Blob),
}

impl Shard {
    /// What a key holds, for elsewhere; `None` if it is absent. It leaves no trace.
    pub fn lend(&mut self, db: usize, key: Key<'_>) -> Option<Loan> {
        let (_, entry) = self.live(db, key)?;
        let value = match entry.str() {
            Str::Int(v) => Lent::Int(v),
            Str::Bytes(b) => Lent::Bytes(b.into()),
            Str::Blob(b) => Lent::Blob(b.share()),
        };
        Some(Loan {
            value,
            expiry: entry.expiry(),
            access: entry.access(),
            raw: entry.is_raw(),
        })
    }

    /// Makes a key hold what was lent, or nothing. Whatever it held is removed.
    pub fn accept(&mut self, db: usize, key: Key<'_>, loan: Option<&Loan>) {
        let Some(loan) = loan else {
            self.remove(db, key);
            return;
        };
        let (value, owner) = match &loan.value {
            Lent::Int(v) => (NewValue::Int(*v), None),
            Lent::Bytes(b) => (NewValue::Bytes(b), None),
            Lent::Blob(b) => (NewValue::Bytes(b), Some(b)),
        };
        let expiry = loan.expiry.map_or(Expiry::Clear, Expiry::At);
        self.set(db, key, value, owner, expiry);
        if let Some((_, entry)) = self.live(db, key) {
            entry.set_raw(loan.raw);
            entry.set_access(loan.access);
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
