//! Files: what stands before the first chunk and behind the last.
//!
//! ```text
//! REDIS0010 | chunk | … | EOF | checksum of everything before
//! ```
//!
//! Chunks come from encoders, on many threads, with their checksums. Here these are put together, so nothing
//! is summed up a second time. Which version the file has may be decided when all chunks are known: then its
//! first bytes, which are always as many, are written again.

use crate::crc64;
use crate::encode::Chunk;
use crate::format::{REDIS, opcode};
use std::io::{self, Write};

/// Bytes before the first chunk.
pub const HEADER: usize = 9;

/// The first bytes of a file.
pub fn header(version: u32) -> [u8; HEADER] {
    let mut bytes = [b'0'; HEADER];
    bytes[..REDIS.len()].copy_from_slice(REDIS);
    let mut left = version;
    for digit in bytes[REDIS.len()..].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    bytes
}

pub struct Writer<W> {
    to: W,
    version: u32,
    /// Checksum and length of all chunks.
    crc: u64,
    len: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file of a version, below 10,000, that knows everything in all of its chunks.
    pub fn new(mut to: W, version: u32) -> io::Result<Writer<W>> {
        assert!(version < 10_000);
        to.write_all(&header(version))?;
        Ok(Writer {
            to,
            version,
            crc: 0,
            len: 0,
        })
    }

    pub fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        self.to.write_all(&chunk.bytes)?;
        self.note(chunk.crc, chunk.bytes.len() as u64);
        Ok(())
    }

    /// Counts bytes with this checksum that somebody else has written behind the others.
    pub fn note(&mut self, crc: u64, len: u64) {
        self.crc = crc64::combine(self.crc, crc, len);
        self.len += len;
    }

    /// Bytes of the file so far.
    pub fn position(&self) -> u64 {
        HEADER as u64 + self.len
    }

    /// Ends the file.
    pub fn finish(self) -> io::Result<W> {
        let version = self.version;
        self.finish_as(version)
    }

    /// Ends the file as one of another version, whose [`header`] the caller writes over the one at its
    /// beginning.
    pub fn finish_as(mut self, version: u32) -> io::Result<W> {
        let end = [opcode::EOF];
        self.note(crc64::update(0, &end), 1);
        let head = crc64::update(0, &header(version));
        let crc = crc64::combine(head, self.crc, self.len);
        self.to.write_all(&end)?;
        self.to.write_all(&crc.to_le_bytes())?;
        Ok(self.to)
    }
}
