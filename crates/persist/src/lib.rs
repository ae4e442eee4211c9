//! Redis's dump format, RDB, to and from the store's structures: single values as DUMP and RESTORE have
//! them, and whole files.
//!
//! ```text
//! Shard ── Item ──► Encoder ──► bytes, many chunks at a time ──► Writer ──► file, with one checksum
//! Shard ◄── Decoded ◄── Decoder ◄── Reader ◄── file
//!                          ▲
//!                     payload of RESTORE
//! ```
//!
//! The crate opens no file and knows no command: it writes to a `Write` and reads from a `Read`. A value is
//! written in the oldest form that can hold it, so that old servers can read it; read is what any server has
//! ever written. Bytes from outside become a value or an error, whatever they are.

#![forbid(unsafe_code)]

pub mod aof;
pub mod append;
pub mod batch;
pub mod crc64;
pub mod decode;
pub mod dump;
pub mod encode;
pub mod error;
pub mod file;
pub mod format;
pub mod lzf;
pub mod parts;
pub mod reader;
#[cfg(test)]
mod simulated;
pub mod source;
pub mod storage;
pub mod writer;
mod ziplist;
mod zipmap;

pub use batch::Batch;
pub use decode::{Decoded, Decoder};
pub use encode::Encoder;
pub use error::Error;
pub use file::DumpFile;
pub use reader::{Event, Reader};
pub use writer::Writer;
