//! The numbers of the format: types of values, opcodes between keys, versions.
//!
//! Up to version 11 Redis and Valkey write the same. From 12 on Redis goes its own way, and Valkey counts
//! from 80 on, with types of its own for some of the same numbers.

/// The first bytes of a file, before four digits of version.
pub const REDIS: &[u8] = b"REDIS";
/// The same, before three digits.
pub const VALKEY: &[u8] = b"VALKEY";

/// The newest version that Redis 8.0 writes.
pub const REDIS_NEWEST: u32 = 12;
/// The only version of Valkey 9.
pub const VALKEY_VERSION: u32 = 80;

/// Whose meaning the numbers have that both use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Redis,
    Valkey,
}

/// A version that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u32);

impl Version {
    /// The version of a payload of DUMP.
    pub fn of_payload(number: u32) -> Option<Version> {
        (number <= REDIS_NEWEST || number == VALKEY_VERSION).then_some(Version(number))
    }

    /// The version of a file with the first bytes of a server.
    pub fn of_file(dialect: Dialect, number: u32) -> Option<Version> {
        let known = match dialect {
            Dialect::Redis => (1..=REDIS_NEWEST).contains(&number),
            Dialect::Valkey => number == VALKEY_VERSION,
        };
        known.then_some(Version(number))
    }

    pub fn number(self) -> u32 {
        self.0
    }

    pub fn dialect(self) -> Dialect {
        match self.0 {
            VALKEY_VERSION.. => Dialect::Valkey,
            _ => Dialect::Redis,
        }
    }

    /// Whether a file ends with a checksum.
    pub fn has_checksum(self) -> bool {
        self.0 >= 5
    }
}

pub mod kind {
    //! Types of values.

    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    /// Scores as text.
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    /// Scores as eight bytes.
    pub const ZSET_2: u8 = 5;
    pub const MODULE_PRE_GA: u8 = 6;
    pub const MODULE: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_3: u8 = 21;
    /// Redis's: fields with absolute expiries.
    pub const HASH_METADATA_PRE_GA: u8 = 22;
    /// Valkey's: fields with expiries.
    pub const HASH_2: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    /// Fields with expiries relative to the soonest, which comes first.
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
}

pub mod opcode {
    //! What stands where a key's type would.

    /// Valkey's.
    pub const SLOT_IMPORT: u8 = 243;
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_S: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const EOF: u8 = 255;
}

/// The first two bits of a length say how many bytes it has; a whole byte says so of the wide ones.
pub mod length {
    pub const BITS_14: u8 = 0x40;
    pub const BYTES_4: u8 = 0x80;
    pub const BYTES_8: u8 = 0x81;
    /// No length, but a string in another form.
    pub const SPECIAL: u8 = 0xc0;
    pub const INT_1: u8 = 0xc0;
    pub const INT_2: u8 = 0xc1;
    pub const INT_4: u8 = 0xc2;
    pub const LZF: u8 = 0xc3;
}

/// How many entries a group has read if that is unknown: -1.
pub const UNKNOWN_READ: u64 = u64::MAX;
/// When a consumer was active that never was.
pub const NEVER: i64 = -1;
/// What a node of a quicklist is: one element as it is, or a listpack.
pub const NODE_PLAIN: u64 = 1;
pub const NODE_PACKED: u64 = 2;
/// The greatest expiry of a hash's field in Redis, in Unix milliseconds.
pub const FIELD_EXPIRY_MAX: u64 = (1 << 48) - 1;
