//! Registers as runs of equal ones, for sketches of which most registers are zero.
//!
//! ```text
//! 00nnnnnn            ZERO   n + 1 registers of zero, up to 64
//! 01nnnnnn nnnnnnnn   XZERO  n + 1 registers of zero, up to 16384, the high bits first
//! 1vvvvvnn            VAL    n + 1 registers, up to 4, of value v + 1, up to 32
//! ```
//!
//! When a register grows, its run is cut around it, and then runs of the same value nearby are joined.
//! Which runs result is what Redis writes, so that stored sketches are the same bytes.

use super::estimate::Histogram;
use super::sketch::{Corrupt, REGISTERS};

/// The largest value that a run can have.
pub const VALUE_MAX: u8 = 32;
const ZERO_RUN_MAX: usize = 64;
const VALUE_RUN_MAX: usize = 4;
/// How many runs are looked at, from the one before the changed one on, for neighbours to join.
const JOINED_RUNS: usize = 5;

/// A run of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Bytes of its opcode.
    pub size: usize,
    pub value: u8,
    pub len: usize,
    /// Spelled XZERO.
    pub long: bool,
}

/// The run that begins `bytes`, `None` if there is none or if its second byte is missing.
pub fn run(bytes: &[u8]) -> Option<Run> {
    let (&first, rest) = bytes.split_first()?;
    let low = usize::from(first & 63);
    let (size, value, len) = match first >> 6 {
        0 => (1, 0, low + 1),
        1 => (2, 0, (low << 8 | usize::from(*rest.first()?)) + 1),
        _ => (1, (first >> 2 & 31) + 1, (low & 3) + 1),
    };
    Some(Run {
        size,
        value,
        len,
        long: size == 2,
    })
}

/// All runs of `bytes`, and at the end `Err` if what is left is none.
pub fn runs(mut bytes: &[u8]) -> impl Iterator<Item = Result<Run, Corrupt>> + '_ {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let Some(run) = run(bytes) else {
            bytes = &[];
            return Some(Err(Corrupt));
        };
        bytes = &bytes[run.size..];
        Some(Ok(run))
    })
}

/// The runs with the register that each begins at. An error if there are not as many registers as
/// there should be.
pub fn placed(bytes: &[u8]) -> impl Iterator<Item = Result<(usize, Run), Corrupt>> + '_ {
    let mut from = 0;
    // What comes behind the last run stands for the registers that are missing.
    let end = std::iter::once(None);
    runs(bytes).map(Some).chain(end).filter_map(move |run| {
        let Some(run) = run else {
            return (from != REGISTERS).then_some(Err(Corrupt));
        };
        Some(run.and_then(|run| {
            let at = from;
            from += run.len;
            if from > REGISTERS {
                return Err(Corrupt);
            }
            Ok((at, run))
        }))
    })
}

pub fn histogram(bytes: &[u8]) -> Result<Histogram, Corrupt> {
    let mut histogram = [0; 64];
    for run in placed(bytes) {
        let (_, run) = run?;
        histogram[usize::from(run.value)] += run.len as u32;
    }
    Ok(histogram)
}

/// Lets each of `max` grow to the register of its place.
pub fn merge(bytes: &[u8], max: &mut [u8; REGISTERS]) -> Result<(), Corrupt> {
    for run in placed(bytes) {
        let (from, run) = run?;
        if run.value > 0 {
            for max in &mut max[from..from + run.len] {
                *max = (*max).max(run.value);
            }
        }
    }
    Ok(())
}

/// Where a register's run is.
struct Place {
    /// Offset of the run.
    at: usize,
    run: Run,
    /// Offset of the run before it.
    before: Option<usize>,
    /// The first register of the run.
    from: usize,
}

fn find(bytes: &[u8], index: usize) -> Result<Place, Corrupt> {
    let (mut at, mut from, mut before) = (0, 0, None);
    while let Some(run) = run(&bytes[at..]) {
        if index < from + run.len {
            return Ok(Place {
                at,
                run,
                before,
                from,
            });
        }
        before = Some(at);
        at += run.size;
        from += run.len;
    }
    Err(Corrupt)
}

/// The value of a register.
pub fn get(bytes: &[u8], index: usize) -> Result<u8, Corrupt> {
    find(bytes, index).map(|place| place.run.value)
}

/// What [`raise`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    No,
    Yes,
    /// It has to be dense.
    DoesNotFit,
}

/// Lets a register grow to `value`, in runs that begin at `head` of `bytes`, which may get `max` bytes
/// long.
pub fn raise(
    bytes: &mut Vec<u8>,
    head: usize,
    index: usize,
    value: u8,
    max: usize,
) -> Result<Raised, Corrupt> {
    if value > VALUE_MAX {
        return Ok(Raised::DoesNotFit);
    }
    let Place {
        at,
        run,
        before,
        from,
    } = find(&bytes[head..], index)?;
    if run.value >= value {
        return Ok(Raised::No);
    }
    let mut cut = Opcodes::default();
    cut.push(run.value, index - from);
    cut.push(value, 1);
    cut.push(run.value, from + run.len - 1 - index);
    let cut = cut.bytes();
    if cut.len() > run.size && bytes.len() + cut.len() - run.size > max {
        return Ok(Raised::DoesNotFit);
    }
    let at = head + at;
    bytes.splice(at..at + run.size, cut.iter().copied());
    join(bytes, head + before.unwrap_or(0));
    Ok(Raised::Yes)
}

/// Runs being written: no more than a run cut in three needs.
#[derive(Default)]
struct Opcodes {
    bytes: [u8; 5],
    len: usize,
}

impl Opcodes {
    /// Adds a run that was part of a run of the same value; nothing if it is empty.
    fn push(&mut self, value: u8, len: usize) {
        let Some(more) = len.checked_sub(1) else {
            return;
        };
        if value > 0 {
            self.byte(opcode(value, len));
        } else if len > ZERO_RUN_MAX {
            self.byte(0x40 | (more >> 8) as u8);
            self.byte(more as u8);
        } else {
            self.byte(more as u8);
        }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The opcode of `len` registers of a value above zero.
fn opcode(value: u8, len: usize) -> u8 {
    debug_assert!((1..=VALUE_MAX).contains(&value) && (1..=VALUE_RUN_MAX).contains(&len));
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// Joins neighbours of one value into one run, as long as one run can be, from the offset `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED_RUNS {
        let Some(left) = run(bytes.get(at..).unwrap_or_default()) else {
            return;
        };
        let right = run(&bytes[at + left.size..]).filter(|right| {
            left.value > 0 && right.value == left.value && left.len + right.len <= VALUE_RUN_MAX
        });
        match right {
            Some(right) => {
                bytes[at] = opcode(left.value, left.len + right.len);
                bytes.remove(at + 1);
            }
            None => at += left.size,
        }
    }
}

/// The runs as PFDEBUG DECODE shows them: `z:` and `Z:` for zeros, `v:` for a value and how many.
pub fn decode(bytes: &[u8]) -> Result<String, Corrupt> {
    let shown = runs(bytes).map(|run| {
        run.map(|run| match run {
            Run {
                long: true, len, ..
            } => format!("Z:{len}"),
            Run { value: 0, len, .. } => format!("z:{len}"),
            Run { value, len, .. } => format!("v:{value},{len}"),
        })
    });
    Ok(shown.collect::<Result<Vec<_>, _>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY: [u8; 2] = [0x7f, 0xff];

    fn registers(bytes: &[u8]) -> Vec<u8> {
        let mut max = [0; REGISTERS];
        merge(bytes, &mut max).expect("whole");
        max.to_vec()
    }

    #[test]
    fn a_run_is_cut_around_a_register() {
        for (steps, want) in [
            (&[(0, 1)][..], "v:1,1 Z:16383"),
            (&[(16383, 32)], "Z:16383 v:32,1"),
            (&[(64, 2)], "z:64 v:2,1 Z:16319"),
            (&[(65, 2)], "Z:65 v:2,1 Z:16318"),
            (&[(65, 2), (64, 2), (66, 2), (67, 2)], "z:64 v:2,4 Z:16316"),
            (
                &[(10, 2), (11, 2), (12, 2), (13, 2), (14, 2)],
                "z:10 v:2,4 v:2,1 Z:16369",
            ),
            (
                &[(10, 2), (11, 2), (12, 2), (11, 5)],
                "z:10 v:2,1 v:5,1 v:2,1 Z:16371",
            ),
        ] {
            let mut bytes = EMPTY.to_vec();
            for (index, value) in steps {
                let raised = raise(&mut bytes, 0, *index, *value, 100);
                assert_eq!(raised, Ok(Raised::Yes));
            }
            assert_eq!(decode(&bytes).as_deref(), Ok(want), "{steps:?}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_large_does_not_fit() {
        let mut bytes = EMPTY.to_vec();
        assert_eq!(raise(&mut bytes, 0, 5, 33, 100), Ok(Raised::DoesNotFit));
        assert_eq!(raise(&mut bytes, 0, 5, 3, 3), Ok(Raised::DoesNotFit));
        assert_eq!(bytes, EMPTY);
        assert_eq!(raise(&mut bytes, 0, 5, 3, 4), Ok(Raised::Yes));
        assert_eq!(raise(&mut bytes, 0, 5, 3, 0), Ok(Raised::No));
        assert_eq!(raise(&mut bytes, 0, 5, 4, 0), Ok(Raised::Yes));
    }

    proptest! {
        #[test]
        fn registers_are_what_was_raised(
            steps in prop::collection::vec((0..300usize, 1..=VALUE_MAX), 1..200),
            spread in 1..55usize,
        ) {
            let mut bytes = EMPTY.to_vec();
            let mut model = vec![0; REGISTERS];
            for (index, value) in steps {
                let index = index * spread % REGISTERS;
                let raised = raise(&mut bytes, 0, index, value, usize::MAX);
                let want = if model[index] < value { Raised::Yes } else { Raised::No };
                prop_assert_eq!(raised, Ok(want));
                model[index] = model[index].max(value);
                prop_assert_eq!(get(&bytes, index), Ok(model[index]));
            }
            prop_assert_eq!(registers(&bytes), model);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            index in 0..REGISTERS,
            value in 1..64u8,
        ) {
            let whole = histogram(&bytes).is_ok();
            prop_assert_eq!(whole, merge(&bytes, &mut [0; REGISTERS]).is_ok());
            let mut raised = bytes.clone();
            if raise(&mut raised, 0, index, value, 1000) == Ok(Raised::Yes) {
                prop_assert_eq!(get(&raised, index), Ok(value));
                prop_assert_eq!(whole, histogram(&raised).is_ok());
            } else {
                prop_assert_eq!(raised, bytes);
            }
        }
    }
}
