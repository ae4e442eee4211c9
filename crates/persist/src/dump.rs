//! What DUMP answers and RESTORE takes: a value with its type, the version of the format in two bytes, and
//! the checksum of all that in eight. FUNCTION DUMP has the sources of libraries instead of the value.

use crate::crc64;
use crate::decode::{Decoded, Decoder};
use crate::encode::Encoder;
use crate::error::Error;
use crate::format::{Version, opcode};
use crate::source::{self, Scratch};
use store::shard::Item;

/// Writes the payload of a value, with the oldest version that has its type.
pub fn write<'a>(encoder: &'a mut Encoder, item: &Item<'_>) -> &'a [u8] {
    encoder.clear();
    encoder.value(item);
    seal(encoder)
}

/// Writes the payload of libraries of functions.
pub fn write_functions<'a, 'c>(
    encoder: &'a mut Encoder,
    codes: impl Iterator<Item = &'c [u8]>,
) -> &'a [u8] {
    encoder.clear();
    codes.for_each(|code| encoder.function(code));
    seal(encoder)
}

/// Ends a payload with its version and its checksum.
fn seal(encoder: &mut Encoder) -> &[u8] {
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

    /// The sources of the libraries.
    pub fn functions(mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut codes = Vec::new();
        let mut scratch = Scratch::default();
        while !self.body.is_empty() {
            match source::byte(&mut self.body)? {
                opcode::FUNCTION => {
                    let code = source::string(&mut self.body, &mut scratch)?;
                    codes.push(code.text().into_owned());
                }
                code => return Err(Error::Unknown(code)),
            }
        }
        Ok(codes)
    }

    /// The value. What stands behind it is not looked at, as in Redis.
    pub fn decode(mut self, decoder: &mut Decoder) -> Result<Decoded<'_>, Error> {
        let value_type = source::byte(&mut self.body)?;
        decoder.value(&mut self.body, value_type, self.version.dialect())
    }
}
