//! Doubles as text, as Redis writes them: integers without a point, everything else in few digits that
//! read back as the same number.
//!
//! The digits are those of Grisu2 (Florian Loitsch, "Printing Floating-Point Numbers Quickly and
//! Accurately with Integers", 2010), not of a perfect search: once in some thousand numbers it is a
//! digit longer, or not the nearest, and Redis's replies show that.

use crate::element::Digits;

/// Longest text: sign, seventeen digits, point, and `e-308`.
const MAX: usize = 32;

/// Text of a double, on the stack.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; MAX],
    len: usize,
}

impl Text {
    fn new() -> Text {
        Text {
            bytes: [0; MAX],
            len: 0,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn zeros(&mut self, n: usize) {
        self.push(&[b'0'; MAX][..n]);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The text of a number, which is not NaN.
    pub fn of(value: f64) -> Text {
        let mut text = Text::new();
        if value.is_infinite() {
            text.push(if value > 0.0 { b"inf" } else { b"-inf" });
        } else if value == 0.0 {
            text.push(if value.is_sign_negative() {
                b"-0"
            } else {
                b"0"
            });
        } else if let Some(integer) = integer(value) {
            text.push(Digits::of(integer).bytes());
        } else {
            text.shortest(value);
        }
        text
    }

    fn shortest(&mut self, value: f64) {
        if value < 0.0 {
            self.push(b"-");
        }
        let Decimal { digits, len, scale } = Decimal::of(value.abs());
        let digits = &digits[..len];
        // The exponent of the first digit.
        let exponent = scale + len as i32 - 1;
        if scale >= 0 && exponent < len as i32 + 7 {
            self.push(digits);
            self.zeros(scale as usize);
        } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
            match usize::try_from(exponent) {
                Ok(first) => {
                    self.push(&digits[..=first]);
                    self.push(b".");
                    self.push(&digits[first + 1..]);
                }
                Err(_) => {
                    self.push(b"0.");
                    self.zeros((-exponent - 1) as usize);
                    self.push(digits);
                }
            }
        } else {
            self.push(&digits[..1]);
            if len > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if exponent < 0 { b"e-" } else { b"e+" });
            self.push(Digits::of(i64::from(exponent.abs())).bytes());
        }
    }
}

/// The integer that a double is, if it is one within 2⁶² of zero. Negative zero is 0.
pub fn integer(value: f64) -> Option<i64> {
    const MAX: f64 = (1u64 << 62) as f64;
    let integer = value as i64;
    (value.abs() <= MAX && integer as f64 == value).then_some(integer)
}

/// `fraction` × 2^`exponent`.
#[derive(Clone, Copy)]
struct Scaled {
    fraction: u64,
    exponent: i32,
}

impl Scaled {
    fn normalized(self) -> Scaled {
        let by = self.fraction.leading_zeros();
        Scaled {
            fraction: self.fraction << by,
            exponent: self.exponent - by as i32,
        }
    }

    /// The product's highest 64 bits, rounded.
    fn times(self, other: Scaled) -> Scaled {
        let product = u128::from(self.fraction) * u128::from(other.fraction);
        Scaled {
            fraction: ((product + (1 << 63)) >> 64) as u64,
            exponent: self.exponent + other.exponent + 64,
        }
    }
}

/// `digits` × 10^`scale`.
struct Decimal {
    digits: [u8; 20],
    len: usize,
    scale: i32,
}

/// Range of the exponent that a number has after it was brought to where its digits are read off.
const READ_MIN: i32 = -60;

/// The smallest power of ten that brings a normalized number with this exponent there.
fn power(exponent: i32) -> (Scaled, i32) {
    let binary = |decimal: i32| ((decimal * 217_706) >> 16) - 63;
    let (mut at, mut decimal) = (0, POWERS_FIRST);
    // Close below the one that is looked for; the loop goes on from there.
    let wanted = READ_MIN - 64 - exponent;
    let near = ((wanted + 63) * 1233 / 4096 - POWERS_FIRST) / POWERS_STEP - 1;
    if near > 0 {
        at = near as usize;
        decimal += near * POWERS_STEP;
    }
    while binary(decimal) < wanted && at + 1 < POWERS.len() {
        at += 1;
        decimal += POWERS_STEP;
    }
    let power = Scaled {
        fraction: POWERS[at],
        exponent: binary(decimal),
    };
    (power, decimal)
}

impl Decimal {
    /// Digits of a finite number above zero, enough to tell it from its neighbours.
    fn of(value: f64) -> Decimal {
        const HIDDEN: u64 = 1 << 52;
        let bits = value.to_bits();
        let fraction = bits & (HIDDEN - 1);
        let exponent = (bits >> 52) as i32;
        let number = match exponent {
            0 => Scaled {
                fraction,
                exponent: -1074,
            },
            _ => Scaled {
                fraction: fraction | HIDDEN,
                exponent: exponent - 1075,
            },
        };
        // Halfway to the neighbours; the one below a power of two is closer.
        let above = Scaled {
            fraction: number.fraction * 2 + 1,
            exponent: number.exponent - 1,
        };
        let above = above.normalized();
        let closer = if number.fraction == HIDDEN { 2 } else { 1 };
        let below_exponent = number.exponent - closer;
        let below = Scaled {
            fraction: ((number.fraction << closer) - 1) << (below_exponent - above.exponent),
            exponent: above.exponent,
        };
        let (power, decimal) = power(above.exponent);
        let number = number.normalized().times(power);
        let mut above = above.times(power);
        let mut below = below.times(power);
        // What the products may be off by.
        above.fraction -= 1;
        below.fraction += 1;
        Decimal::between(number, above, below, -decimal)
    }

    /// The digits of `above` up to the first at which they may end, and then as close to `number` as
    /// the last digit allows.
    fn between(number: Scaled, above: Scaled, below: Scaled, scale: i32) -> Decimal {
        let mut decimal = Decimal {
            digits: [0; 20],
            len: 0,
            scale,
        };
        let point = above.exponent.unsigned_abs();
        let one = 1u64 << point;
        let (mut whole, mut part) = (above.fraction >> point, above.fraction & (one - 1));
        let mut distance = above.fraction - number.fraction;
        let mut room = above.fraction - below.fraction;
        let mut unit = 1_000_000_000;
        for left in (0..10).rev() {
            decimal.digit((whole / unit) as u8);
            whole %= unit;
            let rest = (whole << point) + part;
            if rest <= room {
                decimal.scale += left;
                decimal.settle(room, rest, unit << point, distance);
                return decimal;
            }
            unit /= 10;
        }
        loop {
            part *= 10;
            room = room.wrapping_mul(10);
            distance = distance.wrapping_mul(10);
            decimal.scale -= 1;
            decimal.digit((part >> point) as u8);
            part &= one - 1;
            if part < room {
                decimal.settle(room, part, one, distance);
                return decimal;
            }
        }
    }

    fn digit(&mut self, digit: u8) {
        if digit != 0 || self.len != 0 {
            self.digits[self.len] = b'0' + digit;
            self.len += 1;
        }
    }

    /// Lowers the last digit while that comes closer: `rest` is how far the digits are below the upper
    /// bound, `distance` how far the number is, `room` how far they may be.
    fn settle(&mut self, room: u64, mut rest: u64, unit: u64, distance: u64) {
        while rest < distance
            && room - rest >= unit
            && (rest + unit < distance || distance - rest > rest + unit - distance)
        {
            self.digits[self.len - 1] -= 1;
            rest += unit;
        }
    }
}

const POWERS_FIRST: i32 = -348;
const POWERS_STEP: i32 = 8;

/// The highest 64 bits of every eighth power of ten from 10⁻³⁴⁸ on, rounded.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8fd5a0081c0288, 0xbaaee17fa23ebf76, 0x8b16fb203055ac76,
    0xcf42894a5dce35ea, 0x9a6bb0aa55653b2d, 0xe61acf033d1a45df,
    0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f, 0xbe5691ef416bd60c,
    0x8dd01fad907ffc3c, 0xd3515c2831559a83, 0x9d71ac8fada6c9b5,
    0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57,
    0xc21094364dfb5637, 0x9096ea6f3848984f, 0xd77485cb25823ac7,
    0xa086cfcd97bf97f4, 0xef340a98172aace5, 0xb23867fb2a35b28e,
    0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996,
    0xdbac6c247d62a584, 0xa3ab66580d5fdaf6, 0xf3e2f893dec3f126,
    0xb5b5ada8aaff80b8, 0x87625f056c7c4a8b, 0xc9bcff6034c13053,
    0x964e858c91ba2655, 0xdff9772470297ebd, 0xa6dfbd9fb8e5b88f,
    0xf8a95fcf88747d94, 0xb94470938fa89bcf, 0x8a08f0f8bf0f156b,
    0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06,
    0xaa242499697392d3, 0xfd87b5f28300ca0e, 0xbce5086492111aeb,
    0x8cbccc096f5088cc, 0xd1b71758e219652c, 0x9c40000000000000,
    0xe8d4a51000000000, 0xad78ebc5ac620000, 0x813f3978f8940984,
    0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70, 0xd5d238a4abe98068,
    0x9f4f2726179a2245, 0xed63a231d4c4fb27, 0xb0de65388cc8ada8,
    0x83c7088e1aab65db, 0xc45d1df942711d9a, 0x924d692ca61be758,
    0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85,
    0xb454e4a179dd1877, 0x865b86925b9bc5c2, 0xc83553c5c8965d3d,
    0x952ab45cfa97a0b3, 0xde469fbd99a05fe3, 0xa59bc234db398c25,
    0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece, 0x88fcf317f22241e2,
    0xcc20ce9bd35c78a5, 0x98165af37b2153df, 0xe2a0b5dc971f303a,
    0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410,
    0x8bab8eefb6409c1a, 0xd01fef10a657842c, 0x9b10a4e5e9913129,
    0xe7109bfba19c0c9d, 0xac2820d9623bf429, 0x80444b5e7aa7cf85,
    0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841,
    0x9e19db92b4e31ba9, 0xeb96bf6ebadf77d9, 0xaf87023b9bf0ee6b,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        String::from_utf8(Text::of(value).bytes().to_vec()).expect("digits")
    }

    /// Replies of Redis 8.0 to ZSCORE.
    #[test]
    fn texts_are_redis_s() {
        for (value, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (-1_039_514_241_563_211.8, "-1039514241563211.7"),
            (-3.1316709716158577e78, "-3.1316709716158578e+78"),
        ] {
            assert_eq!(text(value), want);
        }
    }

    #[test]
    fn texts_read_back_as_the_same_number() {
        let mut random = crate::random::Random::new(7);
        let mut perfect = 0;
        const ROUNDS: usize = 20_000;
        for _ in 0..ROUNDS {
            let value = f64::from_bits(random.next());
            if value.is_nan() {
                continue;
            }
            let text = text(value);
            assert_eq!(text.parse(), Ok(value), "{value:e}");
            perfect += usize::from(text.len() <= format!("{value:e}").len() + 1);
        }
        assert!(perfect > ROUNDS * 98 / 100, "{perfect}");
        for exponent in -1074..1024 {
            let value = 2f64.powi(exponent);
            assert_eq!(text(value).parse(), Ok(value), "{value:e}");
        }
    }
}
