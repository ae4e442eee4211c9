//! Where a key lives: key → slot → shard.
//!
//! The slot is that of Redis Cluster: CRC16 (the XMODEM variant: polynomial 0x1021, initial value 0,
//! nothing reflected) of the key, or of its hash tag, modulo 16384. Shards own contiguous ranges of
//! slots of nearly equal size. This is the one place that decides whether a key is local or remote.

#[cfg(target_arch = "x86_64")]
mod clmul;

pub use command::keyspec::tag;

/// How many slots there are.
pub const SLOTS: u16 = 16384;

/// Bytes that one step of the sum takes in.
const STEP: usize = 8;

/// `TABLES[n][b]` is what byte `b` contributes when `n` more bytes follow it in its step.
static TABLES: [[u16; 256]; STEP] = tables();

const fn tables() -> [[u16; 256]; STEP] {
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < STEP {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[n - 1][byte];
            tables[n][byte] = before << 8 ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

/// CRC16 by slices: eight bytes per step, whose look-ups do not wait for one another.
#[inline]
fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut steps = bytes.chunks_exact(STEP);
    for step in &mut steps {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[7][usize::from(step[0] ^ high)]
            ^ TABLES[6][usize::from(step[1] ^ low)]
            ^ TABLES[5][usize::from(step[2])]
            ^ TABLES[4][usize::from(step[3])]
            ^ TABLES[3][usize::from(step[4])]
            ^ TABLES[2][usize::from(step[5])]
            ^ TABLES[1][usize::from(step[6])]
            ^ TABLES[0][usize::from(step[7])];
    }
    for byte in steps.remainder() {
        let [high, low] = crc.to_be_bytes();
        crc = u16::from(low) << 8 ^ TABLES[0][usize::from(high ^ byte)];
    }
    crc
}

/// The slot of a key.
#[inline]
pub fn slot(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

/// Which shard owns which slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    shards: u32,
    /// The processor multiplies without carries.
    multiplies: bool,
}

impl Placement {
    /// Between one shard and one per slot.
    pub fn new(shards: usize) -> Placement {
        assert!((1..=usize::from(SLOTS)).contains(&shards));
        Placement {
            shards: shards as u32,
            #[cfg(target_arch = "x86_64")]
            multiplies: clmul::is_here(),
            #[cfg(not(target_arch = "x86_64"))]
            multiplies: false,
        }
    }

    pub fn shards(self) -> usize {
        self.shards as usize
    }

    /// The shard that owns a slot.
    #[inline]
    pub fn of_slot(self, slot: u16) -> usize {
        (u32::from(slot) * self.shards / u32::from(SLOTS)) as usize
    }

    /// The shard that owns a key. With one shard no slot is computed.
    #[inline]
    pub fn of(self, key: &[u8]) -> usize {
        if self.shards == 1 {
            return 0;
        }
        self.of_several(key)
    }

    /// [`Placement::of`] where there is more than one shard.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub fn of_several(self, key: &[u8]) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self.multiplies {
            // SAFETY: the processor was asked.
            let sum = unsafe { clmul::short_sum(key) };
            if sum != clmul::NONE {
                return self.of_slot(sum as u16 % SLOTS);
            }
        }
        self.of_slot(slot(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitwise(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
                crc << 1 ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 }
            })
        })
    }

    #[test]
    fn sums_are_those_of_the_definition() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let bytes: Vec<u8> = (0..300u32).map(|i| ((i * 7919) >> 3) as u8).collect();
        for from in 0..20 {
            for to in from..bytes.len() {
                let part = &bytes[from..to];
                assert_eq!(crc16(part), bitwise(part), "{from}..{to}");
            }
        }
    }

    #[test]
    fn tags_place_keys() {
        for (key, placed_by) in [
            ("user:1", "user:1"),
            ("{user}:1", "user"),
            ("a{user}b", "user"),
            ("a{user}{x}", "user"),
            ("{}user", "{}user"),
            ("a{}{b}", "a{}{b}"),
            ("{{a}}", "{a"),
            ("{user", "{user"),
            ("user}{", "user}{"),
            ("", ""),
        ] {
            assert_eq!(tag(key.as_bytes()), placed_by.as_bytes(), "{key}");
        }
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"{foo}.bar"), 12182);
    }

    #[test]
    fn keys_live_where_their_slots_do() {
        let placement = Placement::new(1000);
        for len in 0..40 {
            for at in 0..=len {
                let mut key: Vec<u8> = (0..len as u8).map(|i| i.wrapping_mul(89)).collect();
                assert_eq!(placement.of(&key), placement.of_slot(slot(&key)));
                key.insert(at, b'{');
                key.push(b'}');
                assert_eq!(placement.of(&key), placement.of_slot(slot(&key)));
            }
        }
    }

    #[test]
    fn shards_own_contiguous_ranges_of_nearly_equal_size() {
        for shards in [1, 2, 3, 5, 7, 16, 64, 1000, 16384] {
            let placement = Placement::new(shards);
            let mut sizes = vec![0usize; shards];
            let mut last = 0;
            for slot in 0..SLOTS {
                let shard = placement.of_slot(slot);
                assert!(shard == last || shard == last + 1, "{shards} {slot}");
                last = shard;
                sizes[shard] += 1;
            }
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(most.unwrap() - least.unwrap() <= 1, "{shards}");
        }
    }
}
