//! A command's arguments as the parser leaves them: ranges in the buffer they were read into.

use std::sync::Arc;

/// Bytes that outlive the read buffer: a large bulk string received straight into its own
/// allocation, or an inline argument whose quoting had to be undone. A handler may keep a clone,
/// which is how a large value reaches the keyspace without being copied.
pub type Blob = Arc<Vec<u8>>;

/// `len` of an [`ArgRef`] that names a blob instead of a range.
const OWNED: u32 = u32::MAX;

/// One argument: a range in the frame's buffer, or the index of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgRef {
    offset: u32,
    len: u32,
}

impl ArgRef {
    pub(crate) fn range(offset: usize, len: usize) -> ArgRef {
        debug_assert!(offset < u32::MAX as usize && len < OWNED as usize);
        ArgRef {
            offset: offset as u32,
            len: len as u32,
        }
    }

    pub(crate) fn blob(index: usize) -> ArgRef {
        ArgRef {
            offset: index as u32,
            len: OWNED,
        }
    }

    pub(crate) fn is_blob(&self) -> bool {
        self.len == OWNED
    }

    pub(crate) fn blob_index(&self) -> Option<usize> {
        self.is_blob().then_some(self.offset as usize)
    }

    /// The same argument in another buffer, where what stood at `from` stands at `to`.
    #[inline]
    pub(crate) fn moved(self, from: usize, to: usize) -> ArgRef {
        ArgRef {
            offset: self.offset - from as u32 + to as u32,
            len: self.len,
        }
    }

    /// The same argument after `by` bytes before the frame were dropped from the buffer.
    pub(crate) fn rebased(self, by: usize) -> ArgRef {
        if self.len == OWNED {
            return self;
        }
        self.moved(by, 0)
    }
}

/// The arguments of one command, its name first. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    refs: &'a [ArgRef],
    blobs: &'a [Blob],
}

impl<'a> Args<'a> {
    pub fn new(buf: &'a [u8], refs: &'a [ArgRef], blobs: &'a [Blob]) -> Args<'a> {
        Args { buf, refs, blobs }
    }

    /// How many arguments there are, the command name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.refs.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// Argument `i`; 0 is the command name. Panics when `i` is out of range, so a handler asks
    /// only for what its arity or [`Args::len`] guarantees.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        let r = self.refs[i];
        if r.len == OWNED {
            return &self.blobs[r.offset as usize];
        }
        &self.buf[r.offset as usize..r.offset as usize + r.len as usize]
    }

    /// Argument `i` if there is one.
    #[inline]
    pub fn opt(&self, i: usize) -> Option<&'a [u8]> {
        (i < self.refs.len()).then(|| self.get(i))
    }

    pub(crate) fn refs(&self) -> &'a [ArgRef] {
        self.refs
    }

    /// The stretch of the buffer from the first argument to the last and where it begins, if all
    /// arguments lie in it, one after the other.
    #[inline]
    pub(crate) fn stretch(&self) -> Option<(&'a [u8], usize)> {
        if self.refs.iter().any(ArgRef::is_blob) {
            return None;
        }
        let (first, last) = (self.refs.first()?, self.refs.last()?);
        let from = first.offset as usize;
        let to = last.offset as usize + last.len as usize;
        Some((self.buf.get(from..to)?, from))
    }

    /// The allocation behind argument `i` if it has one of its own.
    pub fn blob(&self, i: usize) -> Option<&'a Blob> {
        let r = self.refs[i];
        (r.len == OWNED).then(|| &self.blobs[r.offset as usize])
    }

    /// The arguments from `i` on; empty when there are none.
    pub fn from(&self, i: usize) -> Args<'a> {
        Args {
            refs: self.refs.get(i..).unwrap_or(&[]),
            ..*self
        }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Whether argument `i` equals `word` without regard to ASCII case.
    #[inline]
    pub fn is(&self, i: usize, word: &str) -> bool {
        self.get(i).eq_ignore_ascii_case(word.as_bytes())
    }
}
