//! Where a dump is read from: bytes in memory, or a stream of them; and what all of it is made of, lengths
//! and strings.
//!
//! Nothing is allocated because a length says so: memory is taken as bytes arrive, at most twice as much
//! as have arrived.

use crate::crc64;
use crate::error::{Error, corrupt};
use crate::format::length;
use crate::lzf;
use std::io::Read;
use store::Element;
use store::list::List;

/// Most bytes that [`Source::take`] is asked for.
pub const PIECE_MAX: usize = 16 * 1024;
/// Bytes that are allocated for a long string before they have arrived.
const STEP: usize = 1 << 20;
/// Most bytes of an element or a key.
pub const ELEMENT_MAX: usize = List::ELEMENT_MAX;

pub trait Source {
    /// The next `n` bytes, which are not more than [`PIECE_MAX`].
    fn take(&mut self, n: usize) -> Result<&[u8], Error>;

    /// Puts the next `n` bytes behind others.
    fn append(&mut self, n: usize, to: &mut Vec<u8>) -> Result<(), Error>;
}

impl Source for &[u8] {
    #[inline]
    fn take(&mut self, n: usize) -> Result<&[u8], Error> {
        self.split_off(..n).ok_or(Error::Truncated)
    }

    fn append(&mut self, n: usize, to: &mut Vec<u8>) -> Result<(), Error> {
        let bytes = self.split_off(..n).ok_or(Error::Truncated)?;
        to.extend_from_slice(bytes);
        Ok(())
    }
}

/// A stream, whose bytes are summed up as they are used.
pub struct Stream<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// What is in the buffer and not used.
    at: usize,
    end: usize,
    /// The checksum of all that was used before this place of the buffer.
    crc: u64,
    summed: usize,
    /// Bytes that were used before the buffer's.
    before: u64,
}

impl<R: Read> Stream<R> {
    const BUFFER: usize = 8 * PIECE_MAX;
    pub fn new(reader: R) -> Stream<R> {
        Stream {
            reader,
            buffer: vec![0; Self::BUFFER].into(),
            at: 0,
            end: 0,
            crc: 0,
            summed: 0,
            before: 0,
        }
    }

    /// Bytes used.
    pub fn position(&self) -> u64 {
        self.before + self.at as u64
    }

    /// The checksum of all that was used.
    pub fn crc(&mut self) -> u64 {
        self.crc = crc64::update(self.crc, &self.buffer[self.summed..self.at]);
        self.summed = self.at;
        self.crc
    }

    /// What was read and not used, and the rest.
    pub fn into_parts(self) -> (Vec<u8>, R) {
        (self.buffer[self.at..self.end].to_vec(), self.reader)
    }

    /// Reads on until the buffer has `n` unused bytes.
    #[cold]
    #[inline(never)]
    fn fill(&mut self, n: usize) -> Result<(), Error> {
        assert!(n <= PIECE_MAX);
        self.crc();
        self.before += self.at as u64;
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        (self.at, self.summed) = (0, 0);
        while self.end < n {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(Error::Truncated),
                Ok(read) => self.end += read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

impl<R: Read> Source for Stream<R> {
    #[inline]
    fn take(&mut self, n: usize) -> Result<&[u8], Error> {
        if self.end - self.at < n {
            self.fill(n)?;
        }
        let from = self.at;
        self.at += n;
        Ok(&self.buffer[from..self.at])
    }

    fn append(&mut self, n: usize, to: &mut Vec<u8>) -> Result<(), Error> {
        let here = n.min(self.end - self.at);
        to.extend_from_slice(&self.buffer[self.at..self.at + here]);
        self.at += here;
        let mut left = n - here;
        if left > 0 {
            self.crc();
        }
        while left > 0 {
            let room = to.capacity() - to.len();
            let step = left.min(room.max(to.len()).max(PIECE_MAX));
            let from = to.len();
            to.reserve(step);
            let read = self.reader.by_ref().take(step as u64).read_to_end(to)?;
            self.crc = crc64::update(self.crc, &to[from..]);
            self.before += read as u64;
            if read < step {
                return Err(Error::Truncated);
            }
            left -= step;
        }
        Ok(())
    }
}

#[inline]
pub fn byte(source: &mut impl Source) -> Result<u8, Error> {
    Ok(source.take(1)?[0])
}

#[inline]
pub fn array<const N: usize>(source: &mut impl Source) -> Result<[u8; N], Error> {
    source
        .take(N)?
        .first_chunk()
        .copied()
        .ok_or(Error::Truncated)
}

/// What a string begins with.
enum Head {
    Len(u64),
    Int(i64),
    /// A compressed string follows.
    Lzf,
}

#[inline]
fn head(source: &mut impl Source) -> Result<Head, Error> {
    let first = byte(source)?;
    Ok(match first {
        0..length::BITS_14 => Head::Len(u64::from(first)),
        length::BITS_14..length::BYTES_4 => {
            Head::Len(u64::from(first & 0x3f) << 8 | u64::from(byte(source)?))
        }
        length::BYTES_4 => Head::Len(u32::from_be_bytes(array(source)?).into()),
        length::BYTES_8 => Head::Len(u64::from_be_bytes(array(source)?)),
        length::INT_1 => Head::Int(i8::from_le_bytes(array(source)?).into()),
        length::INT_2 => Head::Int(i16::from_le_bytes(array(source)?).into()),
        length::INT_4 => Head::Int(i32::from_le_bytes(array(source)?).into()),
        length::LZF => Head::Lzf,
        _ => return Err(corrupt("a length")),
    })
}

#[inline]
pub fn len(source: &mut impl Source) -> Result<u64, Error> {
    match head(source)? {
        Head::Len(len) => Ok(len),
        _ => Err(corrupt("a length")),
    }
}

/// A length of something in memory.
fn size(source: &mut impl Source, max: usize) -> Result<usize, Error> {
    fit(len(source)?, max)
}

fn fit(len: u64, max: usize) -> Result<usize, Error> {
    let len = usize::try_from(len).ok().filter(|len| *len <= max);
    len.ok_or_else(|| corrupt("a length"))
}

/// A time in milliseconds.
#[inline]
pub fn millis(source: &mut impl Source) -> Result<i64, Error> {
    Ok(i64::from_le_bytes(array(source)?))
}

/// Memory for strings that do not stand in the source as they are. What a long one has taken is given
/// back when the next is read.
#[derive(Default)]
pub struct Scratch(Vec<u8>);

impl Scratch {
    const KEPT: usize = 1 << 20;

    fn clear(&mut self) -> &mut Vec<u8> {
        if self.0.capacity() > Self::KEPT {
            self.0 = Vec::new();
        }
        self.0.clear();
        &mut self.0
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Keeps the text of an element.
    #[inline]
    pub fn set(&mut self, element: Element<'_>) {
        let own = self.clear();
        element.with(|text| own.extend_from_slice(text));
    }

    /// Takes the bytes out.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// A string of an element or a key: a slice of the source, or of `scratch`.
#[inline]
pub fn string<'a, S: Source>(
    source: &'a mut S,
    scratch: &'a mut Scratch,
) -> Result<Element<'a>, Error> {
    let len = match head(source)? {
        Head::Int(value) => return Ok(Element::Int(value)),
        Head::Len(len) => fit(len, ELEMENT_MAX)?,
        Head::Lzf => {
            unpack(source, scratch, ELEMENT_MAX)?;
            return Ok(Element::Bytes(scratch.bytes()));
        }
    };
    if len <= PIECE_MAX {
        return Ok(Element::Bytes(source.take(len)?));
    }
    source.append(len, scratch.clear())?;
    Ok(Element::Bytes(scratch.bytes()))
}

/// The value of a string's key.
pub enum Text {
    Int(i64),
    /// It is in the memory that was given for it.
    Short,
    /// It does not fit into an entry of the keyspace.
    Long(Vec<u8>),
}

#[inline]
pub fn text<S: Source>(source: &mut S, scratch: &mut Scratch) -> Result<Text, Error> {
    const SHORT: usize = 1024;
    let len = match head(source)? {
        Head::Int(value) => return Ok(Text::Int(value)),
        Head::Len(len) => fit(len, isize::MAX as usize)?,
        Head::Lzf => {
            unpack(source, scratch, isize::MAX as usize)?;
            return Ok(match scratch.bytes().len() {
                0..=SHORT => Text::Short,
                _ => Text::Long(scratch.take()),
            });
        }
    };
    if len <= SHORT {
        scratch.clear().extend_from_slice(source.take(len)?);
        return Ok(Text::Short);
    }
    let mut long = Vec::with_capacity(len.min(STEP));
    source.append(len, &mut long)?;
    Ok(Text::Long(long))
}

/// Reads a compressed string into `scratch`.
fn unpack(source: &mut impl Source, scratch: &mut Scratch, max: usize) -> Result<(), Error> {
    let packed = size(source, max)?;
    let len = size(source, max)?;
    let to = scratch.clear();
    if packed <= PIECE_MAX {
        return lzf::decompress(source.take(packed)?, len, to);
    }
    let mut bytes = Vec::new();
    source.append(packed, &mut bytes)?;
    lzf::decompress(&bytes, len, to)
}

/// Reads a string and forgets it, without holding it.
pub fn skip_string(source: &mut impl Source) -> Result<(), Error> {
    let mut left = match head(source)? {
        Head::Int(_) => return Ok(()),
        Head::Len(len) => len,
        Head::Lzf => {
            let packed = len(source)?;
            len(source)?;
            packed
        }
    };
    while left > 0 {
        let piece = left.min(PIECE_MAX as u64);
        source.take(piece as usize)?;
        left -= piece;
    }
    Ok(())
}
