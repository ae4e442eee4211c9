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
//!
//! Redis searches lines with C's string functions: a NUL byte in one hides the line's end, and the
//! line grows until it is too long. That is kept, and so is the byte after `\r` being taken for `\n`
//! unseen.

use crate::args::{ArgRef, Args, Blob};
use crate::number::parse_i64;
use crate::split::split_words;
use std::ops::Range;
use std::sync::Arc;

/// An unfinished bulk string at least this long is received into its own allocation.
pub const BLOB_MIN: u64 = 32 * 1024;

/// Longest inline command and longest `*` or `$` line, in bytes without their line ends.
const LINE_MAX: usize = 64 * 1024;

/// Most bytes of unexecuted input, so that positions fit [`ArgRef`]. A server's own limit on what a
/// client may have pending is lower. Unit tests have less memory to spare.
const INPUT_MAX: usize = if cfg!(test) {
    1 << 20
} else {
    u32::MAX as usize - 1
};

/// Most commands that one parse takes out of kept bytes. A client may have sent millions while it
/// was paused, and be paused again after the first.
const KEPT_COMMANDS_MAX: usize = 4096;

/// Capacity for kept bytes that is not given back while some are kept.
const CAPACITY_KEPT: usize = 16 * 1024;

/// An unfinished frame of more arguments than this lends them to the batch instead of copying them
/// with every piece that arrives.
const LENT_MIN: usize = 1024;

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
    /// More bytes than can be kept for a request, or for a client that is made to wait.
    InputTooLong,
}

impl ProtocolError {
    /// The error line without its leading `-`. Only a byte that Redis expected a `$` for may be
    /// outside ASCII, and then stands as a Latin-1 character; [`ProtocolError::line`] has the byte.
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
            ProtocolError::InputTooLong => "request too long",
        };
        format!("ERR Protocol error: {what}")
    }

    /// The bytes of [`ProtocolError::message`] as Redis sends them.
    pub fn line(&self) -> Vec<u8> {
        self.message().chars().map(|c| c as u8).collect()
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

    /// Whether some argument has an allocation of its own.
    pub fn has_blobs(&self) -> bool {
        !self.blobs.is_empty()
    }

    /// Command `i`, whose ranges lie in `buf`.
    #[inline]
    pub fn command<'a>(&'a self, i: usize, buf: &'a [u8]) -> Args<'a> {
        let s = self.spans[i];
        let refs = &self.refs[s.first as usize..(s.first + s.count) as usize];
        Args::new(buf, refs, &self.blobs)
    }

    fn clear(&mut self) {
        self.refs.clear();
        self.refs.shrink_to(REFS_KEPT);
        self.spans.clear();
        self.spans.shrink_to(REFS_KEPT);
        self.blobs.clear();
        self.blobs.shrink_to(REFS_KEPT);
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
            if let Some((count, next)) = short_count(buf, self.at) {
                self.left = count;
                self.at = next;
            } else if let Some(step) = self.start(buf, refs, blobs, limits)? {
                return Ok(step);
            }
        }
        if self.bulk.is_some() && !self.argument(buf, refs, limits)? {
            return Ok(Step::More);
        }
        let (mut at, mut left) = (self.at, self.left);
        while left > 0 {
            if let Some((start, len)) = short_bulk(buf, at)
                && len as u64 <= limits.max_bulk
                && buf.len() - start >= len + 2
            {
                refs.push(ArgRef::range(start, len));
                at = start + len + 2;
                left -= 1;
                continue;
            }
            (self.at, self.left) = (at, left);
            if !self.argument(buf, refs, limits)? {
                return Ok(Step::More);
            }
            (at, left) = (self.at, self.left);
        }
        (self.at, self.left) = (at, left);
        Ok(Step::Command)
    }

    /// Starts a frame of any kind, and ends it if it is not one of bulk strings.
    #[cold]
    fn start(
        &mut self,
        buf: &[u8],
        refs: &mut Vec<ArgRef>,
        blobs: &mut Vec<Blob>,
        limits: Limits,
    ) -> Result<Option<Step>, ProtocolError> {
        match buf.get(self.at) {
            None => return Ok(Some(Step::More)),
            Some(b'*') => {}
            Some(_) => return self.inline(buf, refs, blobs).map(Some),
        }
        let (line, next) = match Line::find(buf, self.at, b'\r') {
            Line::Whole(line, next) => (line, next),
            Line::Unfinished => return Ok(Some(Step::More)),
            Line::TooLong => return Err(ProtocolError::MultibulkCountTooLong),
        };
        let count = parse_i64(&line[1..]).filter(|n| *n <= i64::from(i32::MAX));
        let count = count.ok_or(ProtocolError::MultibulkLength)?;
        if count > 10 && !limits.authenticated {
            return Err(ProtocolError::MultibulkUnauthenticated);
        }
        self.at = next;
        if count <= 0 {
            return Ok(Some(Step::Nothing));
        }
        self.left = count as u32;
        Ok(None)
    }

    /// Reads one bulk string of any length; false when the buffer ends before it does.
    #[inline(never)]
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
                let (line, next) = match Line::find(buf, self.at, b'\r') {
                    Line::Whole(line, next) => (line, next),
                    Line::Unfinished => return Ok(false),
                    Line::TooLong => return Err(ProtocolError::BulkCountTooLong),
                };
                // An empty line begins with its `\r`.
                let digits = line
                    .strip_prefix(b"$")
                    .ok_or_else(|| ProtocolError::ExpectedDollar(buf[self.at]))?;
                let len = parse_i64(digits).and_then(|n| u64::try_from(n).ok());
                let len = len.filter(|n| *n <= limits.max_bulk);
                let len = len.ok_or(ProtocolError::BulkLength)?;
                if len > 16384 && !limits.authenticated {
                    return Err(ProtocolError::BulkUnauthenticated);
                }
                self.at = next;
                self.bulk = Some(len);
                len
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
    fn line_end(&mut self, buf: &[u8]) -> bool {
        if buf.len() < self.at + 2 {
            return false;
        }
        self.at += 2;
        self.bulk = None;
        self.left -= 1;
        true
    }

    fn inline(
        &mut self,
        buf: &[u8],
        refs: &mut Vec<ArgRef>,
        blobs: &mut Vec<Blob>,
    ) -> Result<Step, ProtocolError> {
        let (line, next) = match Line::find(buf, self.at, b'\n') {
            Line::Whole(line, next) => (line, next),
            Line::Unfinished => return Ok(Step::More),
            Line::TooLong => return Err(ProtocolError::InlineTooLong),
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = split_words(line).map_err(|_| ProtocolError::Quotes)?;
        self.at = next;
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

/// `*1` to `*9` at `at` and where the next line starts: nearly every command.
#[inline]
fn short_count(buf: &[u8], at: usize) -> Option<(u32, usize)> {
    let [b'*', digit @ b'1'..=b'9', b'\r', _, ..] = buf.get(at..)? else {
        return None;
    };
    Some((u32::from(digit - b'0'), at + 4))
}

/// Start and length of a bulk string at `at` whose length has one or two digits: nearly every
/// argument. Its bytes may still be missing.
#[inline]
fn short_bulk(buf: &[u8], at: usize) -> Option<(usize, usize)> {
    match buf.get(at..)? {
        [b'$', d @ b'0'..=b'9', b'\r', _, ..] => Some((at + 4, usize::from(d - b'0'))),
        [b'$', d @ b'1'..=b'9', e @ b'0'..=b'9', b'\r', _, ..] => {
            Some((at + 5, usize::from(d - b'0') * 10 + usize::from(e - b'0')))
        }
        _ => None,
    }
}

/// A line of the buffer.
enum Line<'a> {
    /// It, without its end, and where the next one starts.
    Whole(&'a [u8], usize),
    Unfinished,
    TooLong,
}

impl Line<'_> {
    /// The line at `at`, up to `\r` and one more byte, or up to `\n`.
    fn find(buf: &[u8], at: usize, end: u8) -> Line<'_> {
        let rest = &buf[at..];
        let near = &rest[..rest.len().min(LINE_MAX + 1)];
        let next = |n: usize| if end == b'\r' { n + 2 } else { n + 1 };
        match memchr::memchr2(end, 0, near) {
            Some(n) if rest[n] == end && next(n) <= rest.len() => {
                Line::Whole(&rest[..n], at + next(n))
            }
            Some(n) if rest[n] == end => Line::Unfinished,
            _ if rest.len() > LINE_MAX => Line::TooLong,
            _ => Line::Unfinished,
        }
    }
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
    /// Bytes at the front of `buf` that are done with. All positions count from here.
    start: usize,
    frame: Frame,
    /// Arguments of the unfinished frame, which begins at `start`.
    refs: Vec<ArgRef>,
    blobs: Vec<Blob>,
    /// The bulk string being received into its own allocation, and the bytes it still lacks.
    filling: Option<(Vec<u8>, u64)>,
    /// `refs` and `blobs` are a whole command that could not be executed yet.
    ready: bool,
    /// Most commands that the next parse takes out of `buf`. Each parse is thrown away from where
    /// execution stops, so this follows how far it came: a client whose commands wait one after the
    /// other has them parsed about twice, not as often as there are commands before them.
    window: Window,
}

#[derive(Clone, Copy)]
struct Window(usize);

impl Default for Window {
    fn default() -> Window {
        Window(KEPT_COMMANDS_MAX)
    }
}

impl Window {
    /// Of `parsed` commands `executed` were.
    fn follow(&mut self, executed: usize, parsed: usize) {
        self.0 = match executed == parsed {
            true => (self.0 * 2).min(KEPT_COMMANDS_MAX),
            false => (executed * 2).clamp(1, KEPT_COMMANDS_MAX),
        };
    }
}

/// What [`Input::parse`] found.
pub struct Parsed<'a> {
    /// The buffer that the batch's ranges lie in.
    pub buf: &'a [u8],
    /// Set when the bytes after the batch's commands break the protocol. Under the limits of this
    /// parse: a command of the batch may have changed them, as AUTH does. So the error stands when
    /// the batch is empty; otherwise the next parse tells.
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

    /// Adds `data` and fills `batch` with commands that are now complete. Must be followed by
    /// [`Input::finish`] with the same `data` and `batch`; and after that, if the batch had commands,
    /// all were executed and [`Input::is_pending`], by another parse of no data, because one parse
    /// takes a limited number of commands out of what was kept.
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
        let Some(pending) = &mut self.pending else {
            let error = if data.len() > INPUT_MAX {
                Some(ProtocolError::InputTooLong)
            } else {
                read_all(data, frame, batch, limits, usize::MAX).err()
            };
            return Parsed { buf: data, error };
        };
        let error = pending.parse(data, limits, batch, frame).err();
        Parsed {
            buf: &pending.buf[pending.start..],
            error,
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
        let parsed = batch.len();
        let pending = match &mut self.pending {
            Some(pending) => {
                pending.advance(rest.from);
                pending
            }
            none => {
                let pending = none.insert(Box::default());
                pending.buf.extend_from_slice(&data[rest.from..]);
                pending
            }
        };
        pending.take(batch, rest);
        pending.window.follow(executed, parsed);
        if pending.is_empty() {
            self.pending = None;
        }
    }

    /// Adds `data` to what waits without looking for commands in it: the client is not to run any
    /// for now.
    pub fn keep_only(&mut self, data: &[u8]) {
        if !data.is_empty() {
            let pending = self.pending.get_or_insert_default();
            let rest = pending.pour(data);
            pending.buf.extend_from_slice(rest);
        }
    }

    /// Forgets everything received.
    pub fn clear(&mut self) {
        self.pending = None;
    }
}

/// Reads frames until the buffer runs out or the batch has `most` commands.
#[inline]
fn read_all(
    buf: &[u8],
    frame: &mut Frame,
    batch: &mut Batch,
    limits: Limits,
    most: usize,
) -> Result<(), ProtocolError> {
    let mut first = batch.spans.last().map_or(0, |s| s.first + s.count);
    while batch.spans.len() < most {
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
    Ok(())
}

impl Pending {
    fn memory(&self) -> usize {
        let filling = self.filling.as_ref().map_or(0, |(b, _)| b.len());
        let blobs: usize = self.blobs.iter().map(|b| b.capacity()).sum();
        size_of::<Pending>()
            + self.buf.capacity()
            + self.refs.capacity() * size_of::<ArgRef>()
            + self.blobs.capacity() * size_of::<Blob>()
            + filling
            + blobs
    }

    fn is_empty(&self) -> bool {
        self.start == self.buf.len() && self.frame.left == 0 && !self.ready
    }

    /// Lets go of `by` bytes. They leave the buffer when they are the greater part of it, so that
    /// each byte is moved once on average.
    fn advance(&mut self, by: usize) {
        self.start += by;
        let left = self.buf.len() - self.start;
        if self.start > left {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        self.trim();
    }

    fn trim(&mut self) {
        let wanted = (self.buf.len() * 2).max(CAPACITY_KEPT);
        if self.buf.capacity() / 2 > wanted {
            self.buf.shrink_to(wanted);
        }
    }

    fn parse(
        &mut self,
        data: &[u8],
        limits: Limits,
        batch: &mut Batch,
        frame: &mut Frame,
    ) -> Result<(), ProtocolError> {
        if self.refs.len() > LENT_MIN {
            std::mem::swap(&mut batch.refs, &mut self.refs);
        } else {
            batch.refs.append(&mut self.refs);
        }
        batch.blobs.append(&mut self.blobs);
        *frame = self.frame;
        if self.ready {
            batch.spans.push(Span {
                first: 0,
                count: batch.refs.len() as u32,
                end: frame.at as u32,
            });
        }
        let rest = self.fill(data, batch, frame)?;
        if self.buf.len() - self.start + rest.len() > INPUT_MAX {
            return Err(ProtocolError::InputTooLong);
        }
        self.buf.extend_from_slice(rest);
        if self.filling.is_some() {
            return Ok(());
        }
        let buf = &self.buf[self.start..];
        read_all(buf, frame, batch, limits, self.window.0)
    }

    /// Receives a long bulk string into its own allocation; answers what of `data` follows it.
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
            let from = self.start + frame.at;
            let have = (self.buf.len() - from).min(len as usize);
            blob.extend_from_slice(&self.buf[from..from + have]);
            self.buf.drain(from..from + have);
            self.trim();
            self.filling = Some((blob, len - have as u64));
        }
        let rest = self.pour(data);
        if let Some((blob, _)) = self.filling.take_if(|(_, lacking)| *lacking == 0) {
            batch.refs.push(ArgRef::blob(batch.blobs.len()));
            batch.blobs.push(Arc::new(blob));
            frame.bulk = Some(LINE_END);
        }
        Ok(rest)
    }

    /// Moves what of `data` belongs to the bulk string that is being filled; answers the rest.
    fn pour<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let Some((blob, lacking)) = &mut self.filling else {
            return data;
        };
        let take = (*lacking).min(data.len() as u64) as usize;
        blob.extend_from_slice(&data[..take]);
        *lacking -= take as u64;
        &data[take..]
    }

    /// Takes over what the batch holds of the frame that begins at `start` from now on.
    fn take(&mut self, batch: &mut Batch, rest: Rest) {
        self.ready = rest.ready;
        self.frame = Frame {
            at: rest.frame.at - rest.from,
            ..rest.frame
        };
        self.refs.clear();
        if rest.from == 0 && rest.refs.start == 0 && rest.refs.end > LENT_MIN {
            std::mem::swap(&mut self.refs, &mut batch.refs);
            self.refs.truncate(rest.refs.end);
        } else {
            let refs = &batch.refs[rest.refs];
            self.refs.extend(refs.iter().map(|r| r.rebased(rest.from)));
        }
        self.blobs.extend(batch.blobs.drain(..rest.blobs));
        batch.blobs.clear();
    }
}

/// What of a batch is left to do.
struct Rest {
    /// Where it starts in the buffer.
    from: usize,
    /// Arguments that are kept; none when the bytes will be parsed afresh.
    refs: Range<usize>,
    /// How many blobs are kept. Those of other commands must not live on.
    blobs: usize,
    frame: Frame,
    /// The kept arguments are a whole command.
    ready: bool,
}

impl Rest {
    fn of(batch: &Batch, frame: &Frame, executed: usize) -> Rest {
        let spans = &batch.spans;
        let from = executed.checked_sub(1).map_or(0, |i| spans[i].end as usize);
        let afresh = Rest {
            from,
            refs: 0..0,
            blobs: 0,
            frame: Frame {
                at: from,
                ..Frame::default()
            },
            ready: false,
        };
        if let Some(next) = spans.get(executed) {
            let refs = next.first as usize..(next.first + next.count) as usize;
            let last = batch.refs[refs.clone()]
                .iter()
                .filter_map(ArgRef::blob_index);
            // The bytes of a blob have left the buffer, so its command cannot be parsed again. It
            // is always the first of its batch: blobs are filled for the first frame only.
            return match last.max() {
                Some(last) if executed == 0 => Rest {
                    refs,
                    blobs: last + 1,
                    frame: Frame {
                        at: next.end as usize,
                        ..Frame::default()
                    },
                    ready: true,
                    ..afresh
                },
                _ => afresh,
            };
        }
        if frame.left == 0 {
            return Rest {
                from: frame.at,
                frame: *frame,
                ..afresh
            };
        }
        let first = spans.last().map_or(0, |s| (s.first + s.count) as usize);
        Rest {
            refs: first..batch.refs.len(),
            blobs: if spans.is_empty() {
                batch.blobs.len()
            } else {
                0
            },
            frame: *frame,
            ..afresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_bulk: 512 << 20,
        authenticated: true,
    };

    /// Parses `pieces` without running anything; answers the last error.
    fn hoard(pieces: &[&[u8]]) -> Option<ProtocolError> {
        let (mut input, mut batch, mut frame) = Default::default();
        let mut error = None;
        for data in pieces {
            error = Input::parse(&mut input, data, LIMITS, &mut batch, &mut frame).error;
            input.finish(data, &mut batch, &frame, 0);
        }
        error
    }

    #[test]
    fn what_waits_command_by_command_is_parsed_about_twice() {
        let count = 1000;
        let data = b"PING\r\n".repeat(count);
        let (mut input, mut batch, mut frame): (Input, Batch, Frame) = Default::default();
        let (mut data, mut parsed, mut executed) = (&data[..], 0, 0);
        while executed < count {
            input.parse(data, LIMITS, &mut batch, &mut frame);
            parsed += batch.len();
            executed += 1;
            input.finish(data, &mut batch, &frame, 1);
            data = &[];
        }
        assert!(!input.is_pending());
        assert!(parsed <= 3 * count, "{parsed}");
        // And all at once again when nothing waits any more.
        input.keep_only(&b"PING\r\n".repeat(count));
        let mut parses = 0;
        while input.is_pending() {
            input.parse(&[], LIMITS, &mut batch, &mut frame);
            let executed = batch.len();
            input.finish(&[], &mut batch, &frame, executed);
            parses += 1;
        }
        assert!(parses <= 11, "{parses}");
    }

    #[test]
    fn more_input_than_positions_can_name_is_refused() {
        let pings = b"PING\r\n".repeat(INPUT_MAX / 12);
        let too_long = Some(ProtocolError::InputTooLong);
        assert_eq!(hoard(&[&pings, &pings]), None);
        assert_eq!(hoard(&[&pings, &pings, &pings]), too_long);
        assert_eq!(hoard(&[&[&pings[..]; 3].concat()]), too_long);
        // A long bulk string is not part of it, what stands behind one is.
        let long = vec![b'x'; INPUT_MAX];
        let header = b"*2\r\n$4\r\nECHO\r\n$1048576\r\n";
        assert_eq!(hoard(&[header, &long, b"\r\n", &pings]), None);
        assert_eq!(hoard(&[header, &long, b"\r\n", &long]), too_long);
        let mut input = Input::default();
        input.keep_only(&pings.repeat(3));
        let (mut batch, mut frame) = Default::default();
        let parsed = input.parse(&[], LIMITS, &mut batch, &mut frame);
        assert_eq!(parsed.error, too_long);
    }
}
