//! String values changed in place.

use crate::entry::{self, Blob, Entry, Kind, NewValue, Str};
use crate::shard::{self, Expiry, Item, Key, Look, Shard, WrongType};
use crate::table::Found;

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
        if !entry.kind().is_string() {
            return Err(UpdateError::WrongType);
        }
        let value = update(Some(entry.str())).map_err(UpdateError::Refused)?;
        if entry.kind() == Kind::Int {
            self.before_change(db, key.hash);
            entry.write_value(NewValue::Int(value));
            self.touch(entry);
            self.changed(db, key.hash, key.bytes);
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
        let (result, _) = self.edit_if(db, key, len, |bytes| (edit(bytes), true))?;
        Ok(result)
    }

    /// [`Shard::edit`] with an `edit` that also answers whether it has changed a byte. If it has
    /// not, and the string was there and has not grown, nothing has changed, as the second result
    /// says.
    pub fn edit_if<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        len: usize,
        edit: impl FnOnce(&mut [u8]) -> (R, bool),
    ) -> Result<(R, bool), WrongType> {
        let Some((found, mut entry)) = self.live(db, key) else {
            let edit = |bytes: &mut [u8]| (edit(bytes).0, true);
            return Ok(self.edit_copy(db, key, &[], len, Expiry::Clear, edit));
        };
        if !entry.kind().is_string() {
            return Err(WrongType);
        }
        self.before_change(db, key.hash);
        if let Str::Int(v) = entry.str() {
            let text = v.to_string().into_bytes();
            if !entry::fits_inline(key.bytes.len(), text.len(), entry.has_expiry()) {
                return Ok(self.edit_copy(db, key, &text, len, Expiry::Keep, edit));
            }
            entry = self.spell(db, found, entry, &text);
        }
        let (result, changed) = match entry.str() {
            Str::Bytes(b) if b.len() < len => {
                return Ok(self.edit_copy(db, key, b, len, Expiry::Keep, edit));
            }
            Str::Blob(_) => self.edit_blob(entry, len, edit),
            _ => {
                entry.set_raw(true);
                edit(entry.inline_mut().expect("the others were matched"))
            }
        };
        self.touch(entry);
        if changed {
            self.changed(db, key.hash, key.bytes);
        }
        Ok((result, changed))
    }

    /// Puts the text of an integer, which fits, in its place: the form changes, not the value.
    fn spell(&mut self, db: usize, found: Found, old: Entry, text: &[u8]) -> Entry {
        let value = NewValue::Bytes(text);
        let entry = Entry::create(&mut self.slab, old.key(), value, old.expiry());
        entry.set_access(old.access());
        self.substitute(db, found, old, entry);
        self.release(old);
        entry
    }

    /// Edits a copy of `old` and stores it if that or the new length makes a difference.
    fn edit_copy<R>(
        &mut self,
        db: usize,
        key: Key<'_>,
        old: &[u8],
        len: usize,
        expiry: Expiry,
        edit: impl FnOnce(&mut [u8]) -> (R, bool),
    ) -> (R, bool) {
        /// Strings up to this length are put together on the stack.
        const SMALL: usize = 256;
        let grown = len > old.len();
        let len = len.max(old.len());
        if len <= SMALL {
            let mut small = [0; SMALL];
            let bytes = &mut small[..len];
            bytes[..old.len()].copy_from_slice(old);
            let (result, changed) = edit(bytes);
            if changed || grown {
                self.set(db, key, NewValue::Bytes(bytes), None, expiry);
                self.mark_raw(db, key);
            }
            return (result, changed || grown);
        }
        // An empty string that grows is all zeros, which the system hands out untouched.
        let mut bytes = match old {
            [] => vec![0; len],
            _ => {
                let mut bytes = Vec::with_capacity(roomy(len));
                bytes.extend_from_slice(old);
                bytes.resize(len, 0);
                bytes
            }
        };
        let (result, changed) = edit(&mut bytes);
        if changed || grown {
            self.set_built(db, key, bytes, expiry);
        }
        (result, changed || grown)
    }

    fn edit_blob<R>(
        &mut self,
        entry: Entry,
        len: usize,
        edit: impl FnOnce(&mut [u8]) -> (R, bool),
    ) -> (R, bool) {
        let Str::Blob(blob) = entry.str() else {
            unreachable!("the caller matched a blob");
        };
        self.blob_bytes -= blob.bytes().capacity();
        let bytes = entry.blob_mut().expect("the caller matched a blob");
        let grown = bytes.len() < len;
        if grown {
            if bytes.capacity() < len {
                bytes.reserve_exact(roomy(len) - bytes.len());
            }
            bytes.resize(len, 0);
        }
        let (result, changed) = edit(bytes);
        self.blob_bytes += bytes.capacity();
        self.note_size(bytes.len() / shard::ELEMENT_BYTES);
        (result, changed || grown)
    }

    /// Stores bytes that the command has built, without copying long ones. Redis calls such a
    /// string `raw`.
    pub fn set_built(&mut self, db: usize, key: Key<'_>, bytes: Vec<u8>, expiry: Expiry) {
        let blob = Blob::new(bytes);
        self.set(db, key, NewValue::Bytes(&blob), Some(&blob), expiry);
        self.mark_raw(db, key);
    }

    fn mark_raw(&mut self, db: usize, key: Key<'_>) {
        if let Some((_, entry)) = self.live(db, key) {
            entry.set_raw(true);
        }
    }

    /// The items at several keys at once, `None` where there is none, with the effects of a
    /// [`Shard::look`] at each.
    pub fn look_all<'k>(
        &mut self,
        db: usize,
        keys: impl IntoIterator<Item = Key<'k>>,
        look: Look,
    ) -> Vec<Option<Item<'_>>> {
        // A look-up removes at most the entry that it looks for, and only if that has expired, so
        // the entries that were found before stay where they are.
        let found = keys.into_iter().map(|key| {
            let item = self.look(db, key, look)?;
            Some(shard::item(item.entry.0))
        });
        found.collect()
    }
}

/// Room for a string that has grown to `len` bytes: twice as much, or a megabyte more.
fn roomy(len: usize) -> usize {
    const MORE_MAX: usize = 1 << 20;
    len + len.min(MORE_MAX)
}
