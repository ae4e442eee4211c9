//! Answers, in RESP2 or RESP3, into a connection's output.
//!
//! A [`Reply`] is one growing buffer. A long value that somebody else owns is not copied into it:
//! the reply remembers the place and shares the bytes, and the connection sends both in one call.
//! Whoever writes a reply names RESP3's type; under RESP2 it becomes what Redis would send.

use crate::number::{Decimal, parse_i64};
use bytes::Bytes;

/// Values of at least this many bytes are shared with the output instead of copied.
pub const SHARE_MIN: usize = 16 * 1024;

/// Room for the line before a bulk string and the line end behind it.
const LINE_ROOM: usize = 24;

/// The protocol that a client has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// Shared bytes that stand in the output after `at` bytes of the buffer.
#[derive(Clone, Debug)]
pub struct Splice {
    pub at: usize,
    pub bytes: Bytes,
}

/// A place in a reply. The default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    at: usize,
    splices: usize,
}

#[derive(Default)]
pub struct Reply {
    buf: Vec<u8>,
    splices: Vec<Splice>,
    spliced: usize,
    protocol: Protocol,
}

impl Reply {
    pub fn new(protocol: Protocol) -> Reply {
        Reply {
            protocol,
            ..Reply::default()
        }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    #[inline]
    fn resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// Bytes of the whole output, shared ones included.
    #[inline]
    pub fn len(&self) -> usize {
        self.buf.len() + self.spliced
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// Bytes that fit without growing, those written included.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    pub fn splices(&self) -> &[Splice] {
        &self.splices
    }

    /// The whole output as one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.len());
        let mut from = 0;
        for s in &self.splices {
            whole.extend_from_slice(&self.buf[from..s.at]);
            whole.extend_from_slice(&s.bytes);
            from = s.at;
        }
        whole.extend_from_slice(&self.buf[from..]);
        whole
    }

    /// Empties the reply and gives its buffers away; the protocol stays.
    pub fn take(&mut self) -> (Vec<u8>, Vec<Splice>) {
        self.spliced = 0;
        (
            std::mem::take(&mut self.buf),
            std::mem::take(&mut self.splices),
        )
    }

    /// Puts an empty buffer to write into, for its capacity.
    pub fn put_buffer(&mut self, buf: Vec<u8>) {
        debug_assert!(self.buf.is_empty() && buf.is_empty());
        self.buf = buf;
    }

    pub fn clear(&mut self) {
        self.buf.clear();
        self.splices.clear();
        self.spliced = 0;
    }

    /// Drops everything written after `len` bytes of buffer; see [`Reply::mark`].
    pub fn rewind(&mut self, mark: Mark) {
        self.buf.truncate(mark.at);
        self.splices.truncate(mark.splices);
        self.spliced = self.splices.iter().map(|s| s.bytes.len()).sum();
    }

    /// The present place, for [`Reply::rewind`], [`Reply::close_array`] and their like.
    pub fn mark(&self) -> Mark {
        Mark {
            at: self.buf.len(),
            splices: self.splices.len(),
        }
    }

    /// The place behind the first `len` bytes of the buffer and what is shared before them.
    #[inline]
    pub fn mark_at(&self, len: usize) -> Mark {
        Mark {
            at: len,
            splices: match self.splices.is_empty() {
                true => 0,
                false => self.splices.partition_point(|s| s.at < len),
            },
        }
    }

    /// Bytes of the buffer, without what is shared.
    #[inline]
    pub fn written(&self) -> usize {
        self.buf.len()
    }

    /// Adds what `other` holds between two of its marks.
    #[inline]
    pub fn append(&mut self, other: &Reply, from: Mark, to: Mark) {
        let start = self.buf.len();
        self.buf.extend_from_slice(&other.buf[from.at..to.at]);
        if from.splices == to.splices {
            return;
        }
        for s in &other.splices[from.splices..to.splices] {
            self.spliced += s.bytes.len();
            self.splices.push(Splice {
                at: s.at - from.at + start,
                bytes: s.bytes.clone(),
            });
        }
    }

    /// Where the value that begins at `from` ends, and its header line. The reply is well-formed.
    pub fn value(&self, from: Mark) -> (&[u8], Mark) {
        let mut at = from;
        let line = self.line_at(at);
        let mut left = self.skip_one(&mut at);
        while left > 0 {
            left = left - 1 + self.skip_one(&mut at);
        }
        (line, at)
    }

    /// The place behind the header line of the aggregate at `from`, and how many values follow.
    pub fn aggregate(&self, from: Mark) -> (usize, Mark) {
        let mut at = from;
        let count = self.skip_one(&mut at);
        (count, at)
    }

    /// The header line of the value at `from`, without its end.
    pub fn line_at(&self, from: Mark) -> &[u8] {
        let rest = &self.buf[from.at..];
        let len = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
        &rest[..len]
    }

    /// Goes over one value, of an aggregate only over its header; answers how many values belong to
    /// it.
    fn skip_one(&self, at: &mut Mark) -> usize {
        let line = self.line_at(*at);
        at.at += line.len() + 2;
        let Some((kind, digits)) = line.split_first() else {
            return 0;
        };
        let count = || parse_i64(digits).and_then(|n| usize::try_from(n).ok());
        match kind {
            b'$' | b'=' | b'!' => {
                if let Some(len) = count() {
                    match self.splices.get(at.splices) {
                        Some(splice) if splice.at == at.at => at.splices += 1,
                        _ => at.at += len,
                    }
                    at.at += 2;
                }
                0
            }
            b'*' | b'~' | b'>' => count().unwrap_or(0),
            b'%' => count().unwrap_or(0) * 2,
            b'|' => count().unwrap_or(0) * 2 + 1,
            _ => 0,
        }
    }

    /// Takes over everything that `other` holds by exchanging buffers. This one is empty.
    pub fn swap_with(&mut self, other: &mut Reply) {
        debug_assert!(self.is_empty());
        std::mem::swap(&mut self.buf, &mut other.buf);
        std::mem::swap(&mut self.splices, &mut other.splices);
        std::mem::swap(&mut self.spliced, &mut other.spliced);
    }

    /// What was written since `mark`, without what is shared.
    pub fn since(&self, mark: Mark) -> &[u8] {
        &self.buf[mark.at..]
    }

    /// Bytes that are already encoded.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.buf.extend_from_slice(encoded);
    }

    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// `+text`; the text has no line ends.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `-text`, with the code as its first word. Line ends at its end are dropped, others become
    /// spaces.
    pub fn error(&mut self, text: &[u8]) {
        let kept = text.iter().rposition(|c| !matches!(c, b'\r' | b'\n'));
        let text = &text[..kept.map_or(0, |last| last + 1)];
        self.buf.push(b'-');
        let from = self.buf.len();
        self.buf.extend_from_slice(text);
        for c in &mut self.buf[from..] {
            if matches!(*c, b'\r' | b'\n') {
                *c = b' ';
            }
        }
        self.buf.extend_from_slice(b"\r\n");
    }

    #[inline]
    pub fn int(&mut self, value: i64) {
        match value {
            0..100 => self.header(b':', value as usize),
            _ => self.raw(Decimal::signed(value).as_line(b':')),
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, value: &[u8]) {
        self.buf.reserve(value.len() + LINE_ROOM);
        self.header(b'$', value.len());
        self.buf.extend_from_slice(value);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// A bulk string that may be shared with the output instead of being copied.
    pub fn bulk_shared(&mut self, value: Bytes) {
        if value.len() < SHARE_MIN {
            return self.bulk(&value);
        }
        self.header(b'$', value.len());
        self.spliced += value.len();
        self.splices.push(Splice {
            at: self.buf.len(),
            bytes: value,
        });
        self.raw(b"\r\n");
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(Decimal::signed(value).as_bytes());
    }

    /// Nothing where a value was asked for: `$-1` or `_`.
    #[inline]
    pub fn null(&mut self) {
        if self.resp3() {
            self.raw(b"_\r\n");
        } else {
            self.raw(b"$-1\r\n");
        }
    }

    /// Nothing where an array was asked for: `*-1` or `_`.
    pub fn null_array(&mut self) {
        if self.resp3() {
            self.raw(b"_\r\n");
        } else {
            self.raw(b"*-1\r\n");
        }
    }

    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// A map of `len` pairs; under RESP2 an array of twice as many.
    pub fn map(&mut self, len: usize) {
        if self.resp3() {
            self.header(b'%', len);
        } else {
            self.header(b'*', len * 2);
        }
    }

    pub fn set(&mut self, len: usize) {
        self.header(if self.resp3() { b'~' } else { b'*' }, len);
    }

    pub fn push(&mut self, len: usize) {
        self.header(if self.resp3() { b'>' } else { b'*' }, len);
    }

    /// An attribute of `len` pairs. RESP2 has none: callers leave it out there.
    pub fn attribute(&mut self, len: usize) {
        debug_assert!(self.resp3());
        self.header(b'|', len);
    }

    pub fn boolean(&mut self, value: bool) {
        match (self.resp3(), value) {
            (true, true) => self.raw(b"#t\r\n"),
            (true, false) => self.raw(b"#f\r\n"),
            (false, value) => self.int(value.into()),
        }
    }

    /// A double in the text given; under RESP2 a bulk string.
    pub fn double_text(&mut self, text: &[u8]) {
        if self.resp3() {
            self.line(b',', text);
        } else {
            self.bulk(text);
        }
    }

    pub fn big_number(&mut self, digits: &[u8]) {
        if self.resp3() {
            self.line(b'(', digits);
        } else {
            self.bulk(digits);
        }
    }

    /// Text with a three-letter format, `txt` or `mkd`; under RESP2 a bulk string.
    pub fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        if !self.resp3() {
            return self.bulk(text);
        }
        self.header(b'=', text.len() + 4);
        self.raw(format);
        self.raw(b":");
        self.raw(text);
        self.raw(b"\r\n");
    }

    /// Writes the header of an array of `len` elements at `mark`, after its elements.
    pub fn close_array(&mut self, mark: Mark, len: usize) {
        self.close(mark, b'*', len);
    }

    pub fn close_map(&mut self, mark: Mark, len: usize) {
        if self.resp3() {
            self.close(mark, b'%', len);
        } else {
            self.close(mark, b'*', len * 2);
        }
    }

    pub fn close_set(&mut self, mark: Mark, len: usize) {
        let kind = if self.resp3() { b'~' } else { b'*' };
        self.close(mark, kind, len);
    }

    fn close(&mut self, mark: Mark, kind: u8, len: usize) {
        let mut digits = Decimal::unsigned(len as u64);
        let header = digits.as_line(kind);
        let (by, end) = (header.len(), self.buf.len());
        self.buf.extend_from_slice(header);
        self.buf.copy_within(mark.at..end, mark.at + by);
        self.buf[mark.at..mark.at + by].copy_from_slice(header);
        for s in &mut self.splices[mark.splices..] {
            s.at += by;
        }
    }

    /// A line of `kind` and a length. Short lengths have lines of fixed sizes, which are copied
    /// without a call.
    #[inline]
    fn header(&mut self, kind: u8, len: usize) {
        match len as u64 {
            n @ 0..10 => self.raw(&[kind, b'0' + n as u8, b'\r', b'\n']),
            n @ 10..100 => {
                let [tens, ones] = [n as u8 / 10, n as u8 % 10];
                self.raw(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
            }
            n => self.raw(Decimal::unsigned(n).as_line(kind)),
        }
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buf.reserve(text.len() + 3);
        self.buf.push(kind);
        self.buf.extend_from_slice(text);
        self.buf.extend_from_slice(b"\r\n");
    }
}
