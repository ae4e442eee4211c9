//! String values changed in place.

use crate::entry::{Blob, Entry, Kind, NewValue, Str};
use crate::shard::{Expiry, Key, Shard, WrongType};

/// What [`Shard::update_int`] came to nothing for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError<E> {
    WrongType,
    Refused(E),
}

impl Shard {
    /// Replaces a key's string by the integer that `update` makes of it, keeping the expiry. An
    /// absent key is `None`.
    #[inline]
    pub fn update_int<E>(
        &mut self,
        db: usize,
        key: Key<'_>,
        update: impl FnOnce(Option<Str<'_>>) -> Result<i64, E>,
    ) -> Result<i64, UpdateError<E>> {
        let Some((_, entry)) = self.live(db, key) else {
            let value = update(None).map_err(UpdateError::Refused)?;
            self.set(db, key, NewValue::Int(value), None, Expiry::Clear);
            return Ok(value);
        };
        let value = update(Some(entry.str())).map_err(UpdateError::Refused)?;
        if entry.kind() == Kind::Int {
            entry.write_value(NewValue::Int(value));
            self.touch(entry);
            self.changed();
        } else {
            self.set(db, key, NewValue::Int(value), None, Expiry::Keep);
        }
        Ok(value)
    }

    /// Makes a key's string at least `len` bytes long, padding with zeros, and hands the bytes to
    /// `edit`. An absent key is the empty string and is created. The expiry stays. The string
    /// counts as changed in place, so that OBJECT ENCODING says `raw`.
    pub fn edit<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        len: usize,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, WrongType> {
        let Some((_, entry)) = self.live(db, key) else {
            let mut bytes = vec![0; len];
            let result = edit(&mut bytes);
            self.store(db, key, bytes, Expiry::Clear);
            return Ok(result);
        };
        match entry.str() {
            Str::Bytes(b) if b.len() >= len => {
                let result = edit(entry.inline_mut().expect("kind was matched"));
                entry.set_raw(true);
                self.touch(entry);
                self.changed();
                Ok(result)
            }
            Str::Blob(_) => {
                let result = self.edit_blob(entry, len, edit);
                self.touch(entry);
                self.changed();
                Ok(result)
            }
            Str::Bytes(b) => {
                let mut bytes = Vec::with_capacity(roomy(len));
                bytes.extend_from_slice(b);
                Ok(self.edit_copy(db, key, bytes, len, edit))
            }
            Str::Int(v) => {
                let bytes = v.to_string().into_bytes();
                Ok(self.edit_copy(db, key, bytes, len, edit))
            }
        }
    }

    fn edit_copy<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        mut bytes: Vec<u8>,
        len: usize,
        edit: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        let result = edit(&mut bytes);
        self.store(db, key, bytes, Expiry::Keep);
        result
    }

    fn edit_blob<R>(&mut self, entry: Entry, len: usize, edit: impl FnOnce(&mut [u8]) -> R) -> R {
        let Str::Blob(blob) = entry.str() else {
            unreachable!("the caller matched a blob");
        };
        self.blob_bytes -= blob.bytes().capacity();
        let bytes = entry.blob_mut().expect("the caller matched a blob");
        if bytes.len() < len {
            if bytes.capacity() < len {
                bytes.reserve_exact(roomy(len) - bytes.len());
            }
            bytes.resize(len, 0);
        }
        let result = edit(bytes);
        self.blob_bytes += bytes.capacity();
        result
    }

    /// Stores bytes that were changed in place.
    fn store(&mut self, db: usize, key: Key<'_>, bytes: Vec<u8>, expiry: Expiry) {
        let blob = Blob::new(bytes);
        self.set(db, key, NewValue::Bytes(&blob), Some(&blob), expiry);
        if let Some((_, entry)) = self.live(db, key) {
            entry.set_raw(true);
        }
    }
}

/// Room for a string that has grown to `len` bytes: twice as much, or a megabyte more.
fn roomy(len: usize) -> usize {
    const MORE_MAX: usize = 1 << 20;
    len + len.min(MORE_MAX)
}
