//! How many distinct elements a sketch has seen, from how many registers have which value.
//!
//! The estimator is the improved raw one of O. Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (2017), section 4, in doubles. Redis uses it too, in the same order of
//! operations, so counts agree to the last digit.

use super::sketch::REGISTERS;

/// Bits of a hash that make the value of a register.
pub const RANK_BITS: usize = 50;

/// How many registers have each value. A register can hold 63, although ranks end at 51.
pub type Histogram = [u32; 64];

const M: f64 = REGISTERS as f64;
/// 1 / (2 ln 2), the bias of infinitely many registers.
const ALPHA: f64 = std::f64::consts::LOG2_E / 2.0;

/// What [`estimate`] answers for registers that no elements lead to, whose estimate is beyond the
/// integers: Redis's conversion answers the smallest one.
const BEYOND: u64 = 1 << 63;

pub fn estimate(histogram: &Histogram) -> u64 {
    let saturated = f64::from(histogram[RANK_BITS + 1]);
    let mut z = M * tau((M - saturated) / M);
    for count in histogram[1..=RANK_BITS].iter().rev() {
        z = (z + f64::from(*count)) * 0.5;
    }
    z += M * sigma(f64::from(histogram[0]) / M);
    let estimate = (ALPHA * M * M / z).round();
    if estimate < BEYOND as f64 {
        estimate as u64
    } else {
        BEYOND
    }
}

/// Corrects for registers that have seen nothing, a share `x` of all.
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// Corrects for registers that can grow no further; a share `x` of all can.
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(of: &[(usize, u32)]) -> Histogram {
        let mut histogram = [0; 64];
        for (value, count) in of {
            histogram[*value] = *count;
        }
        histogram
    }

    #[test]
    fn nothing_and_little_is_counted_exactly() {
        let all = REGISTERS as u32;
        assert_eq!(estimate(&histogram(&[(0, all)])), 0);
        assert_eq!(estimate(&histogram(&[(0, all - 1), (1, 1)])), 1);
        assert_eq!(estimate(&histogram(&[(0, all - 100), (2, 100)])), 100);
    }

    #[test]
    fn the_constant_is_the_one_of_the_paper() {
        assert_eq!(ALPHA, 0.721_347_520_444_481_7);
    }

    #[test]
    fn registers_that_no_element_sets_end_the_sum() {
        let all = REGISTERS as u32;
        assert_eq!(estimate(&histogram(&[(63, all)])), BEYOND);
        assert_eq!(estimate(&histogram(&[(50, 1), (60, all - 1)])), BEYOND);
        assert!(estimate(&histogram(&[(51, all)])) > 0);
    }
}
