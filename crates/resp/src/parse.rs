//! Commands out of bytes, incrementally and without copying.
//!
//! A connection's [`Input`] is handed whatever was received. Complete frames become ranges of that
//! very buffer in a [`Batch`]; only the tail of an unfinished frame is kept, with the parser's
//! position in it, so no byte is looked at twice however the peer splits its writes. A bulk string
//! of [`BLOB_MIN`] bytes or more that has not fully arrived gets an allocation of its own and is
//! received into it, so that a handler can keep it as a value.
//!
//! ```text
//! received ──► parse ──► Batch ──► executed one by one ──► finish(n)
//!                 │        ranges of `received`, or of the kept tail
//!                 └► unfinished frame: bytes, arguments so far, position   (Pending)
//! ```
//!
//! One function, [`Frame::advance`], reads frames in both cases, so that a split cannot change the
//! result. The limits are Redis's, tighter before a client has authenticated.

use crate::args::{ArgRef, Args, Blob};
use crate::number::parse_i64;
use crate::split::split_words;
use std::ops::Range;
use std::sync::Arc;

/// An unfinished bulk string at least this long is received into its own allocation.
pub const BLOB_MIN: u64 = 32 * 1024;

/// Longest inline command and longest `*` or `$` line, in bytes.
const LINE_MAX: usize = 64 * 1024;

/// Capacity that a batch keeps between reads.
const REFS_KEPT: usize = 16 * 1024;

/// [`Frame::bulk`] when a blob has been received and only its line end is to come.
const LINE_END: u64 = u64::MAX;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`, in bytes.
    pub max_bulk: u64,
    /// Before authentication a command has at most 10 arguments of at most 16 KiB.
    pub authenticated: bool,
}

/// A violation after which the connection is closed. The text is Redis's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    MultibulkCountTooLong,
    MultibulkLength,
    MultibulkUnauthenticated,
    BulkCountTooLong,
    ExpectedDollar(u8),
    BulkLength,
    BulkUnauthenticated,
    InlineTooLong,
    Quotes,
    /// The announced bulk string cannot be allocated.
    OutOfMemory,
}

impl ProtocolError {
    /// The error line without its leading `-`.
    pub fn message(&self) -> String {
        let what = match self {
            ProtocolError::MultibulkCountTooLong => "too big mbulk count string",
            ProtocolError::MultibulkLength => "invalid multibulk length",
            ProtocolError::MultibulkUnauthenticated => "unauthenticated multibulk length",
            ProtocolError::BulkCountTooLong => "too big bulk count string",
            ProtocolError::ExpectedDollar(c) => {
                return format!("ERR Protocol error: expected '$', got '{}'", *c as char);
            }
            ProtocolError::BulkLength => "invalid bulk length",
            ProtocolError::BulkUnauthenticated => "unauthenticated bulk length",
            ProtocolError::InlineTooLong => "too big inline request",
            ProtocolError::Quotes => "unbalanced quotes in request",
            ProtocolError::OutOfMemory => "bulk string does not fit in memory",
        };
        format!("ERR Protocol error: {what}")
    }
}

/// One parsed command: its arguments in the batch and where its frame ends in the buffer.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: u32,
    count: u32,
    end: u32,
}

/// The commands that one read completed. Reused from read to read; holds no connection's data
/// between them.
#[derive(Default)]
pub struct Batch {
    refs: Vec<ArgRef>,
    spans: Vec<Span>,
    blobs: Vec<Blob>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Command `i`, whose ranges lie in `buf`.
    #[inline]
    pub fn command<'a>(&'a self, i: usize, buf: &'a [u8]) -> Args<'a> {
        let s = self.spans[i];
        let refs = &self.refs[s.first as usize..(s.first + s.count) as usize];
        Args::new(buf, refs, &self.blobs)
    }

    /// Bytes that command `i` took on the wire, blobs not counted.
    #[inline]
    pub fn wire_len(&self, i: usize) -> usize {
        let start = if i == 0 { 0 } else { self.spans[i - 1].end };
        (self.spans[i].end - start) as usize
    }

    fn clear(&mut self) {
        self.refs.clear();
        self.refs.shrink_to(REFS_KEPT);
        self.spans.clear();
        self.spans.shrink_to(REFS_KEPT);
        self.blobs.clear();
    }
}

/// Where the parser stands in the frame being read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    /// First byte of the buffer that has not been read.
    at: usize,
    /// Arguments still to come; 0 between frames.
    left: u32,
    /// Length of the bulk string whose bytes come next.
    bulk: Option<u64>,
}

/// What [`Frame::advance`] came to.
enum Step {
    /// A frame ended; its arguments are the newest ones.
    Command,
    /// A frame without arguments ended; Redis ignores it.
    Nothing,
    /// The buffer ends inside a frame.
    More,
}

impl Frame {
    /// Reads from `buf` up to the end of a frame or of the buffer.
    #[inline]
    fn advance(
        &mut self,
        buf: &[u8],
        refs: &mut Vec<ArgRef>,
        blobs: &mut Vec<Blob>,
        limits: Limits,
    ) -> Result<Step, ProtocolError> {
        if self.left == 0 {
            match buf.get(self.at) {
                None => return Ok(Step::More),
                Some(b'*') => {}
                Some(_) => return self.inline(buf, refs, blobs),
            }
            let Some((count, next)) =
                header(buf, self.at).map_err(|()| ProtocolError::MultibulkLength)?
            else {
                if buf.len() - self.at > LINE_MAX {
                    return Err(ProtocolError::MultibulkCountTooLong);
                }
                return Ok(Step::More);
            };
            if count > i64::from(i32::MAX) {
                return Err(ProtocolError::MultibulkLength);
            }
            if count > 10 && !limits.authenticated {
                return Err(ProtocolError::MultibulkUnauthenticated);
            }
            self.at = next;
            if count <= 0 {
                return Ok(Step::Nothing);
            }
            self.left = count as u32;
        }
        while self.left > 0 {
            if !self.argument(buf, refs, limits)? {
                return Ok(Step::More);
            }
        }
        Ok(Step::Command)
    }

    /// Reads one bulk string; false when the buffer ends before it does.
    #[inline]
    fn argument(
        &mut self,
        buf: &[u8],
        refs: &mut Vec<ArgRef>,
        limits: Limits,
    ) -> Result<bool, ProtocolError> {
        let len = match self.bulk {
            Some(LINE_END) => return Ok(self.line_end(buf)),
            Some(len) => len,
            None => {
                match buf.get(self.at) {
                    None => return Ok(false),
                    Some(b'$') => {}
                    Some(&c) => return self.not_a_bulk(buf, c),
                }
                let Some((len, next)) =
                    header(buf, self.at).map_err(|()| ProtocolError::BulkLength)?
                else {
                    return self.line_unfinished(buf);
                };
                if len < 0 || len as u64 > limits.max_bulk {
                    return Err(ProtocolError::BulkLength);
                }
                if len > 16384 && !limits.authenticated {
                    return Err(ProtocolError::BulkUnauthenticated);
                }
                self.at = next;
                self.bulk = Some(len as u64);
                len as u64
            }
        };
        if ((buf.len() - self.at) as u64) < len.saturating_add(2) {
            return Ok(false);
        }
        refs.push(ArgRef::range(self.at, len as usize));
        self.at += len as usize + 2;
        self.bulk = None;
        self.left -= 1;
        Ok(true)
    }

    /// Skips the line end after a blob.
    #[cold]
    fn line_end(&mut self, buf: &[u8]) -> bool {
        if buf.len() < self.at + 2 {
            return false;
        }
        self.at += 2;
        self.bulk = None;
        self.left -= 1;
        true
    }

    /// Redis looks for the end of the line before it looks at its first byte.
    #[cold]
    fn not_a_bulk(&self, buf: &[u8], first: u8) -> Result<bool, ProtocolError> {
        if memchr::memchr(b'\r', &buf[self.at..]).is_some() {
            return Err(ProtocolError::ExpectedDollar(first));
        }
        self.line_unfinished(buf)
    }

    #[cold]
    fn line_unfinished(&self, buf: &[u8]) -> Result<bool, ProtocolError> {
        if buf.len() - self.at > LINE_MAX {
            return Err(ProtocolError::BulkCountTooLong);
        }
        Ok(false)
    }

    #[cold]
    fn inline(
        &mut self,
        buf: &[u8],
        refs: &mut Vec<ArgRef>,
        blobs: &mut Vec<Blob>,
    ) -> Result<Step, ProtocolError> {
        let Some(n) = memchr::memchr(b'\n', &buf[self.at..]) else {
            if buf.len() - self.at > LINE_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(Step::More);
        };
        let line = &buf[self.at..self.at + n];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = split_words(line).map_err(|_| ProtocolError::Quotes)?;
        self.at += n + 1;
        if words.is_empty() {
            return Ok(Step::Nothing);
        }
        for word in words {
            refs.push(ArgRef::blob(blobs.len()));
            blobs.push(Arc::new(word));
        }
        Ok(Step::Command)
    }
}

/// The number on a `*` or `$` line at `at` and where the next line starts; `None` while the line is
/// unfinished. As in Redis, the byte after `\r` is taken for `\n` unseen.
#[inline]
fn header(buf: &[u8], at: usize) -> Result<Option<(i64, usize)>, ()> {
    // One or two digits: nearly every line.
    if let Some(&[d0, d1, d2, ..]) = buf.get(at + 1..) {
        let first = d0.wrapping_sub(b'0');
        if first <= 9 && d1 == b'\r' {
            return Ok(Some((i64::from(first), at + 4)));
        }
        let second = d1.wrapping_sub(b'0');
        if (1..=9).contains(&first) && second <= 9 && d2 == b'\r' && at + 5 <= buf.len() {
            return Ok(Some((i64::from(first) * 10 + i64::from(second), at + 5)));
        }
    }
    let line = &buf[at + 1..];
    let Some(n) = memchr::memchr(b'\r', line) else {
        return Ok(None);
    };
    if n + 1 >= line.len() {
        return Ok(None);
    }
    let value = parse_i64(&line[..n]).ok_or(())?;
    Ok(Some((value, at + 1 + n + 2)))
}

/// What a connection has received and not yet executed. Empty, and one pointer wide, between
/// requests.
#[derive(Default)]
pub struct Input {
    pending: Option<Box<Pending>>,
}

#[derive(Default)]
struct Pending {
    buf: Vec<u8>,
    frame: Frame,
    /// Arguments of the unfinished frame, which starts at `buf[0]`.
    refs: Vec<ArgRef>,
    blobs: Vec<Blob>,
    /// The bulk string being received into its own allocation, and the bytes it still lacks.
    filling: Option<(Vec<u8>, u64)>,
    /// `refs` and `blobs` are a whole command that could not be executed yet.
    ready: bool,
}

/// What [`Input::parse`] found.
pub struct Parsed<'a> {
    /// The buffer that the batch's ranges lie in.
    pub buf: &'a [u8],
    /// Set when the bytes after the batch's commands break the protocol.
    pub error: Option<ProtocolError>,
}

impl Input {
    /// Bytes held for unfinished or unexecuted commands.
    pub fn memory(&self) -> usize {
        self.pending.as_ref().map_or(0, |p| p.memory())
    }

    /// Whether bytes are waiting that a further [`Input::parse`] may turn into commands.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Adds `data` and fills `batch` with all commands that are now complete. Must be followed by
    /// [`Input::finish`] with the same `data` and `batch`.
    #[inline]
    pub fn parse<'a>(
        &'a mut self,
        data: &'a [u8],
        limits: Limits,
        batch: &mut Batch,
        frame: &mut Frame,
    ) -> Parsed<'a> {
        batch.clear();
        *frame = Frame::default();
        match &mut self.pending {
            None => {
                let error = read_all(data, frame, batch, limits).err();
                Parsed { buf: data, error }
            }
            Some(pending) => {
                let error = pending.parse(data, limits, batch, frame).err();
                Parsed {
                    buf: &pending.buf,
                    error,
                }
            }
        }
    }

    /// Drops the first `executed` commands of the batch and keeps what follows them.
    #[inline]
    pub fn finish(&mut self, data: &[u8], batch: &mut Batch, frame: &Frame, executed: usize) {
        let all = executed == batch.spans.len();
        if self.pending.is_none() && all && frame.left == 0 && frame.at == data.len() {
            batch.blobs.clear();
            return;
        }
        self.keep(data, batch, frame, executed);
    }

    #[cold]
    fn keep(&mut self, data: &[u8], batch: &mut Batch, frame: &Frame, executed: usize) {
        let rest = Rest::of(batch, frame, executed);
        let pending = match &mut self.pending {
            Some(pending) => {
                pending.buf.drain(..rest.from);
                pending
            }
            none => {
                let pending = none.insert(Box::default());
                pending.buf.extend_from_slice(&data[rest.from..]);
                pending
            }
        };
        pending.take(batch, rest);
        if pending.is_empty() {
            self.pending = None;
        }
    }

    /// Forgets everything received.
    pub fn clear(&mut self) {
        self.pending = None;
    }
}

/// Reads frames until the buffer runs out.
#[inline]
fn read_all(
    buf: &[u8],
    frame: &mut Frame,
    batch: &mut Batch,
    limits: Limits,
) -> Result<(), ProtocolError> {
    let mut first = batch.spans.last().map_or(0, |s| s.first + s.count);
    loop {
        match frame.advance(buf, &mut batch.refs, &mut batch.blobs, limits)? {
            Step::Command => {
                let end = batch.refs.len() as u32;
                batch.spans.push(Span {
                    first,
                    count: end - first,
                    end: frame.at as u32,
                });
                first = end;
            }
            Step::Nothing => {}
            Step::More => return Ok(()),
        }
    }
}

impl Pending {
    fn memory(&self) -> usize {
        let filling = self.filling.as_ref().map_or(0, |(b, _)| b.len());
        let blobs: usize = self.blobs.iter().map(|b| b.capacity()).sum();
        self.buf.capacity() + self.refs.capacity() * size_of::<ArgRef>() + filling + blobs
    }

    fn is_empty(&self) -> bool {
        self.buf.is_empty() && self.frame.left == 0 && !self.ready
    }

    fn parse(
        &mut self,
        data: &[u8],
        limits: Limits,
        batch: &mut Batch,
        frame: &mut Frame,
    ) -> Result<(), ProtocolError> {
        std::mem::swap(&mut batch.refs, &mut self.refs);
        std::mem::swap(&mut batch.blobs, &mut self.blobs);
        *frame = self.frame;
        if self.ready {
            self.buf.extend_from_slice(data);
            batch.spans.push(Span {
                first: 0,
                count: batch.refs.len() as u32,
                end: frame.at as u32,
            });
            return Ok(());
        }
        let rest = self.fill(data, batch, frame)?;
        self.buf.extend_from_slice(rest);
        if self.filling.is_some() {
            return Ok(());
        }
        read_all(&self.buf, frame, batch, limits)
    }

    /// Moves bytes of a long bulk string into its own allocation; answers what follows it.
    fn fill<'a>(
        &mut self,
        data: &'a [u8],
        batch: &mut Batch,
        frame: &mut Frame,
    ) -> Result<&'a [u8], ProtocolError> {
        if self.filling.is_none() {
            let Some(len) = frame.bulk.filter(|&l| l >= BLOB_MIN && l != LINE_END) else {
                return Ok(data);
            };
            let mut blob = Vec::new();
            blob.try_reserve_exact(len as usize)
                .map_err(|_| ProtocolError::OutOfMemory)?;
            let have = (self.buf.len() - frame.at).min(len as usize);
            blob.extend_from_slice(&self.buf[frame.at..frame.at + have]);
            self.buf.drain(frame.at..frame.at + have);
            self.filling = Some((blob, len - have as u64));
        }
        let (blob, lacking) = self.filling.as_mut().expect("set above");
        let take = (*lacking).min(data.len() as u64) as usize;
        blob.extend_from_slice(&data[..take]);
        *lacking -= take as u64;
        if *lacking > 0 {
            return Ok(&[]);
        }
        let (blob, _) = self.filling.take().expect("set above");
        batch.refs.push(ArgRef::blob(batch.blobs.len()));
        batch.blobs.push(Arc::new(blob));
        frame.bulk = Some(LINE_END);
        Ok(&data[take..])
    }

    /// Takes over what the batch holds of the frame that starts at `buf[0]` from now on.
    fn take(&mut self, batch: &mut Batch, rest: Rest) {
        self.ready = rest.ready;
        self.refs.clear();
        self.blobs.clear();
        self.frame = Frame::default();
        if rest.refs.is_empty() && rest.frame.left == 0 {
            batch.blobs.clear();
            return;
        }
        let refs = &batch.refs[rest.refs.clone()];
        self.refs.extend(refs.iter().map(|r| r.rebased(rest.from)));
        std::mem::swap(&mut self.blobs, &mut batch.blobs);
        self.frame = Frame {
            at: rest.frame.at - rest.from,
            ..rest.frame
        };
    }
}

/// What of a batch is left to do.
struct Rest {
    /// Where it starts in the buffer.
    from: usize,
    /// Arguments that are kept; none when the bytes will be parsed afresh.
    refs: Range<usize>,
    frame: Frame,
    /// The kept arguments are a whole command.
    ready: bool,
}

impl Rest {
    fn of(batch: &Batch, frame: &Frame, executed: usize) -> Rest {
        let spans = &batch.spans;
        let from = executed.checked_sub(1).map_or(0, |i| spans[i].end as usize);
        if let Some(next) = spans.get(executed) {
            let refs = next.first as usize..(next.first + next.count) as usize;
            // The bytes of a blob have left the buffer, so its command cannot be parsed again. It
            // is always the first of its batch: blobs are filled for the frame at `buf[0]` only.
            let ready = executed == 0 && batch.refs[refs.clone()].iter().any(ArgRef::is_blob);
            let end = Frame {
                at: next.end as usize,
                ..Frame::default()
            };
            return Rest {
                from,
                refs: if ready { refs } else { 0..0 },
                frame: if ready { end } else { Frame::default() },
                ready,
            };
        }
        let first = spans.last().map_or(0, |s| (s.first + s.count) as usize);
        if frame.left == 0 {
            return Rest {
                from: frame.at,
                refs: 0..0,
                frame: Frame::default(),
                ready: false,
            };
        }
        Rest {
            from,
            refs: first..batch.refs.len(),
            frame: *frame,
            ready: false,
        }
    }
}
