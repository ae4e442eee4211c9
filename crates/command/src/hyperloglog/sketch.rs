//! A HyperLogLog sketch as a string: what is kept of a set to estimate how many elements it has.
//!
//! ```text
//! "HYLL" | encoding 1 | unused 3 | count 8, little endian | registers
//! ```
//!
//! Each element hashes to one of 2¹⁴ registers and to a rank, which is geometrically distributed; a
//! register holds the largest rank that it has met. The count is what the registers were last
//! estimated to; its highest bit says that they have changed since.
//!
//! The string is a user's: anybody may store any bytes. [`encoding`] checks what can be seen at once, as
//! Redis does; damage to sparse registers shows when they are read.

use super::dense;
use super::estimate::{Histogram, RANK_BITS, estimate};
use super::murmur::murmur64a;
use super::sparse::{self, Raised};

/// How many registers there are.
pub const REGISTERS: usize = 1 << 14;
const HEAD: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING_AT: usize = 4;
const COUNT_AT: usize = 8;
const SEED: u64 = 0xadc8_3b19;
/// Where the count is not that of the registers.
const STALE: u8 = 0x80;

/// How registers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Dense,
    Sparse,
}

impl Encoding {
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Dense => "dense",
            Encoding::Sparse => "sparse",
        }
    }
}

/// The string is no sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSketch;

/// The string looks like a sketch, but its registers are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// What an element does to a sketch: it raises a register to a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    pub index: usize,
    pub rank: u8,
}

impl Rank {
    pub fn of(element: &[u8]) -> Rank {
        let hash = murmur64a(element, SEED);
        // A bit above those that count, so that the rank ends.
        let rest = hash >> (u64::BITS as usize - RANK_BITS) | 1 << RANK_BITS;
        Rank {
            index: hash as usize % REGISTERS,
            rank: rest.trailing_zeros() as u8 + 1,
        }
    }
}

/// The encoding of the sketch that a string is.
pub fn encoding(bytes: &[u8]) -> Result<Encoding, NoSketch> {
    if bytes.len() < HEAD || !bytes.starts_with(MAGIC) {
        return Err(NoSketch);
    }
    match bytes[ENCODING_AT] {
        0 if bytes.len() == HEAD + dense::SIZE => Ok(Encoding::Dense),
        1 => Ok(Encoding::Sparse),
        _ => Err(NoSketch),
    }
}

/// A sketch that has seen nothing.
pub fn empty() -> Vec<u8> {
    const ALL_ZERO: [u8; 2] = [0x7f, 0xff];
    let mut bytes = Vec::with_capacity(HEAD + 32);
    bytes.extend_from_slice(MAGIC);
    bytes.resize(HEAD, 0);
    bytes[ENCODING_AT] = 1;
    bytes.extend_from_slice(&ALL_ZERO);
    bytes
}

/// The registers of a sketch, by their encoding.
enum Registers<'a> {
    Dense(&'a [u8; dense::SIZE]),
    Sparse(&'a [u8]),
}

/// The registers of what [`encoding`] has found to be a sketch.
fn registers(bytes: &[u8]) -> Registers<'_> {
    let registers = bytes.get(HEAD..).unwrap_or_default();
    match (bytes.get(ENCODING_AT), registers.try_into()) {
        (Some(0), Ok(registers)) => Registers::Dense(registers),
        _ => Registers::Sparse(registers),
    }
}

fn dense_registers(bytes: &mut [u8]) -> Option<&mut [u8; dense::SIZE]> {
    if *bytes.get(ENCODING_AT)? != 0 {
        return None;
    }
    bytes.get_mut(HEAD..)?.try_into().ok()
}

/// The count that is kept, unless it is stale.
pub fn kept_count(bytes: &[u8]) -> Option<u64> {
    let kept = bytes.get(COUNT_AT..HEAD)?.try_into().ok()?;
    let kept = u64::from_le_bytes(kept);
    (kept >> 63 == 0).then_some(kept)
}

pub fn keep_count(bytes: &mut [u8], count: u64) {
    if let Some(kept) = bytes.get_mut(COUNT_AT..HEAD) {
        kept.copy_from_slice(&count.to_le_bytes());
    }
}

/// Notes that the registers have changed.
pub fn forget_count(bytes: &mut [u8]) {
    if let Some(last) = bytes.get_mut(HEAD - 1) {
        *last |= STALE;
    }
}

/// Estimates the count from the registers.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    let histogram = match registers(bytes) {
        Registers::Dense(registers) => dense::histogram(registers),
        Registers::Sparse(runs) => sparse::histogram(runs)?,
    };
    Ok(estimate(&histogram))
}

/// Whether an element would change the sketch.
pub fn is_raised_by(bytes: &[u8], rank: Rank) -> Result<bool, Corrupt> {
    let value = match registers(bytes) {
        Registers::Dense(registers) => dense::get(registers, rank.index),
        Registers::Sparse(runs) => sparse::get(runs, rank.index)?,
    };
    Ok(value < rank.rank)
}

/// Adds an element to a dense sketch; true if this has changed it.
pub fn raise_dense(bytes: &mut [u8], rank: Rank) -> bool {
    let raised = dense_registers(bytes)
        .is_some_and(|registers| dense::raise(registers, rank.index, rank.rank));
    if raised {
        forget_count(bytes);
    }
    raised
}

/// Adds an element; true if this has changed the sketch. A sparse one becomes dense rather than
/// longer than `max_sparse` bytes. An error leaves it as it is.
pub fn raise(bytes: &mut Vec<u8>, rank: Rank, max_sparse: usize) -> Result<bool, Corrupt> {
    if dense_registers(bytes).is_some() {
        return Ok(raise_dense(bytes, rank));
    }
    match sparse::raise(bytes, HEAD, rank.index, rank.rank, max_sparse)? {
        Raised::No => Ok(false),
        Raised::Yes => {
            forget_count(bytes);
            Ok(true)
        }
        Raised::DoesNotFit => {
            make_dense(bytes)?;
            Ok(raise_dense(bytes, rank))
        }
    }
}

/// Makes a sparse sketch dense; false if it was. An error leaves it as it is.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<bool, Corrupt> {
    let Registers::Sparse(runs) = registers(bytes) else {
        return Ok(false);
    };
    let mut values = [0; REGISTERS];
    sparse::merge(runs, &mut values)?;
    bytes.resize(HEAD + dense::SIZE, 0);
    bytes[ENCODING_AT] = 0;
    if let Some(registers) = dense_registers(bytes) {
        dense::fill(registers, &values);
    }
    Ok(true)
}

/// The largest values of several sketches' registers.
pub struct Union(Box<[u8; REGISTERS]>);

impl Default for Union {
    fn default() -> Union {
        Union(Box::new([0; REGISTERS]))
    }
}

impl Union {
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        match registers(bytes) {
            Registers::Dense(registers) => dense::merge(registers, &mut self.0),
            Registers::Sparse(runs) => sparse::merge(runs, &mut self.0)?,
        }
        Ok(())
    }

    pub fn count(&self) -> u64 {
        let mut histogram: Histogram = [0; 64];
        for value in self.0.iter() {
            histogram[usize::from(value & 63)] += 1;
        }
        estimate(&histogram)
    }

    /// The values of all registers.
    pub fn values(&self) -> &[u8; REGISTERS] {
        &self.0
    }

    /// Adds everything to a sketch, whose count is stale then. An error leaves it half done.
    pub fn pour_into(&self, bytes: &mut Vec<u8>, max_sparse: usize) -> Result<(), Corrupt> {
        if let Some(registers) = dense_registers(bytes) {
            let mut max = *self.0;
            dense::merge(registers, &mut max);
            dense::fill(registers, &max);
        } else {
            for (index, rank) in self.0.iter().enumerate().filter(|(_, rank)| **rank > 0) {
                raise(bytes, Rank { index, rank: *rank }, max_sparse)?;
            }
        }
        forget_count(bytes);
        Ok(())
    }
}

/// The runs of a sparse sketch in words, `None` of a dense one.
pub fn decode(bytes: &[u8]) -> Option<Result<String, Corrupt>> {
    match registers(bytes) {
        Registers::Dense(_) => None,
        Registers::Sparse(runs) => Some(sparse::decode(runs)),
    }
}

#[cfg(test)]
mod tests;
