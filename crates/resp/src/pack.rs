//! Commands copied out of the buffer they were received into, to be executed elsewhere.
//!
//! A [`crate::Batch`] is ranges of somebody's read buffer, which that reader soon needs again. A pack has a
//! buffer of its own, so it can travel to another thread; it is filled and emptied many times, and
//! neither allocates once it has grown to the size of what passes through it. Long values that have
//! an allocation of their own are shared, not copied.

use crate::args::{ArgRef, Args, Blob};

#[derive(Default)]
pub struct Pack {
    buf: Vec<u8>,
    refs: Vec<ArgRef>,
    blobs: Vec<Blob>,
    /// For each command, where its arguments end in `refs`.
    ends: Vec<u32>,
}

/// Capacity that a pack keeps when it is cleared, in bytes.
const BUFFER_KEPT: usize = 16 * 1024;

/// Arguments and commands that a pack has room for when it is cleared.
const REFS_KEPT: usize = 4096;

impl Pack {
    /// How many commands there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Command `i`.
    #[inline]
    pub fn command(&self, i: usize) -> Args<'_> {
        let from = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        let refs = &self.refs[from as usize..self.ends[i] as usize];
        Args::new(&self.buf, refs, &self.blobs)
    }

    /// Where its memory lies, by address and bytes, for whoever wants it loaded.
    #[inline]
    pub fn memory(&self, mut each: impl FnMut(*const u8, usize)) {
        each(self.buf.as_ptr(), self.buf.len());
        each(self.refs.as_ptr().cast(), size_of_val(&self.refs[..]));
        each(self.ends.as_ptr().cast(), size_of_val(&self.ends[..]));
    }

    /// Adds a copy of a whole command.
    #[inline]
    pub fn push(&mut self, args: Args<'_>) {
        if let Some((bytes, from)) = args.stretch() {
            let by = self.buf.len();
            self.buf.extend_from_slice(bytes);
            self.refs
                .extend(args.refs().iter().map(|r| r.moved(from, by)));
        } else {
            for i in 0..args.len() {
                self.add(args, i);
            }
        }
        self.end();
    }

    /// Adds argument `i` of `args` to the command that [`Pack::end`] will end.
    #[inline]
    pub fn add(&mut self, args: Args<'_>, i: usize) {
        match args.blob(i) {
            Some(blob) => {
                self.refs.push(ArgRef::blob(self.blobs.len()));
                self.blobs.push(blob.clone());
            }
            None => self.add_bytes(args.get(i)),
        }
    }

    /// Adds an argument.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        let at = self.buf.len();
        self.buf.extend_from_slice(bytes);
        self.refs.push(ArgRef::range(at, bytes.len()));
    }

    /// Ends the command whose arguments were added one by one.
    #[inline]
    pub fn end(&mut self) {
        debug_assert!(self.refs.len() > self.ends.last().map_or(0, |end| *end as usize));
        self.ends.push(self.refs.len() as u32);
    }

    /// Empties the pack and keeps its buffers, unless they have grown long.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.buf.shrink_to(BUFFER_KEPT);
        self.refs.clear();
        self.refs.shrink_to(REFS_KEPT);
        self.blobs.clear();
        self.ends.clear();
        self.ends.shrink_to(REFS_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Batch, Frame, Input, Limits};

    fn parse(bytes: &[u8], check: impl FnOnce(&Batch, &[u8])) {
        let limits = Limits {
            max_bulk: 512 << 20,
            authenticated: true,
        };
        let (mut input, mut batch, mut frame): (Input, Batch, Frame) = Default::default();
        let parsed = input.parse(bytes, limits, &mut batch, &mut frame);
        assert!(parsed.error.is_none());
        check(&batch, parsed.buf);
    }

    #[test]
    fn commands_are_the_same_elsewhere() {
        let bytes =
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\nset 'a b' c\r\nPING\r\n*1\r\n$4\r\nPING\r\n";
        let mut pack = Pack::default();
        for _ in 0..3 {
            pack.clear();
            parse(bytes, |batch, buf| {
                assert_eq!(batch.len(), 4);
                for i in 0..batch.len() {
                    pack.push(batch.command(i, buf));
                }
                assert_eq!(pack.len(), 4);
                for i in 0..batch.len() {
                    let (here, there) = (batch.command(i, buf), pack.command(i));
                    assert!(here.iter().eq(there.iter()));
                    let blobs = |args: Args<'_>| {
                        (0..args.len())
                            .filter_map(|i| args.blob(i).cloned())
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(blobs(here), blobs(there));
                }
            });
        }
    }

    #[test]
    fn arguments_are_picked_one_by_one() {
        let mut pack = Pack::default();
        parse(
            b"*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
            |batch, buf| {
                let args = batch.command(0, buf);
                for i in [0, 3, 4] {
                    pack.add(args, i);
                }
                pack.end();
                pack.add_bytes(b"PING");
                pack.end();
            },
        );
        let words = |i| {
            pack.command(i)
                .iter()
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(0), [&b"MSET"[..], b"b", b"2"]);
        assert_eq!(words(1), [b"PING"]);
    }
}
