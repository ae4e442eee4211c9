//! What DUMP answers and RESTORE takes: a value with its type, the version of the format in two bytes, and
//! the checksum of all that in eight.

use crate::crc64;
use crate::decode::{Decoded, Decoder};
use crate::encode::Encoder;
use crate::error::Error;
use crate::format::Version;
use crate::source;
use store::shard::Item;

/// Writes the payload of a value, with the oldest version that has its type.
pub fn write<'a>(encoder: &'a mut Encoder, item: &Item<'_>) -> &'a [u8] {
    encoder.clear();
    encoder.value(item);
    let version = encoder.version() as u16;
    encoder.raw(&version.to_le_bytes());
    let crc = crc64::update(0, encoder.bytes());
    encoder.raw(&crc.to_le_bytes());
    encoder.bytes()
}

/// A payload whose version can be read and whose checksum is right.
pub struct Payload<'p> {
    version: Version,
    body: &'p [u8],
}

impl<'p> Payload<'p> {
    pub fn check(bytes: &'p [u8]) -> Result<Payload<'p>, Error> {
        let (summed, crc) = bytes.split_last_chunk().ok_or(Error::Truncated)?;
        let (body, version) = summed.split_last_chunk().ok_or(Error::Truncated)?;
        let version = u32::from(u16::from_le_bytes(*version));
        let version = Version::of_payload(version).ok_or(Error::Version(version))?;
        let (expected, found) = (u64::from_le_bytes(*crc), crc64::update(0, summed));
        if expected != found {
            return Err(Error::Checksum { expected, found });
        }
        Ok(Payload { version, body })
    }

    /// The value. What stands behind it is not looked at, as in Redis.
    pub fn decode(mut self, decoder: &mut Decoder) -> Result<Decoded<'_>, Error> {
        let value_type = source::byte(&mut self.body)?;
        decoder.value(&mut self.body, value_type, self.version.dialect())
    }
}
