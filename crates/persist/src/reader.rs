//! Files, one key after the other.
//!
//! [`Reader::next`] answers what stands next. What a key's value borrows is gone with the call after it, so
//! keys of any size go by in memory of the size of the largest.

use crate::decode::{self, Decoded, Decoder};
use crate::error::{Error, corrupt};
use crate::format::{Dialect, REDIS, VALKEY, Version, opcode};
use crate::source::{self, Scratch, Source, Stream};
use std::io::{self, Read};
use store::Limits;
use store::access::Access;

/// What becomes of values of modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Modules {
    /// They are an error.
    #[default]
    Refuse,
    /// They are left out.
    Skip,
}

/// What stands in a file.
pub enum Event<'a> {
    /// A fact about the file.
    Aux {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// The keys that follow are in this database.
    Select(u64),
    /// How many keys the database has, and how many of them expire.
    Resize {
        keys: u64,
        volatile: u64,
    },
    /// How many keys of a slot follow, and how many of them expire.
    Slot {
        slot: u64,
        keys: u64,
        volatile: u64,
    },
    /// The source of a library of functions.
    Function(&'a [u8]),
    Key(Entry<'a>),
}

/// A key with its value.
pub struct Entry<'a> {
    pub db: u64,
    pub key: &'a [u8],
    /// Unix time in milliseconds. It may have passed.
    pub expiry: Option<i64>,
    pub access: Option<Access>,
    pub value: Decoded<'a>,
}

/// See the module.
pub struct Reader<R> {
    source: Stream<R>,
    decoder: Decoder,
    version: Version,
    modules: Modules,
    db: u64,
    name: Scratch,
    text: Scratch,
    fact: Scratch,
    ended: bool,
    skipped: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning of a file. `limits` decide about encodings of values.
    pub fn new(reader: R, limits: Limits) -> Result<Reader<R>, Error> {
        let mut source = Stream::new(reader);
        let head: [u8; 9] = source::array(&mut source)?;
        let version = version(&head)?;
        Ok(Reader {
            source,
            decoder: Decoder::new(limits),
            version,
            modules: Modules::default(),
            db: 0,
            name: Scratch::default(),
            text: Scratch::default(),
            fact: Scratch::default(),
            ended: false,
            skipped: 0,
        })
    }

    pub fn with_modules(mut self, modules: Modules) -> Reader<R> {
        self.modules = modules;
        self
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// The name of the key that was begun last.
    pub fn reading(&self) -> &[u8] {
        self.name.bytes()
    }

    /// Bytes read.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// Keys that were left out, because they had no elements or were a module's.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// What was read beyond the file's end, and where the rest comes from: a file may be the beginning of
    /// another.
    pub fn into_rest(self) -> (Vec<u8>, R) {
        self.source.into_parts()
    }

    /// What stands next; nothing at the end, when the checksum was right.
    #[allow(
        clippy::should_implement_trait,
        reason = "what it answers borrows from the reader"
    )]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, Error> {
        let (mut expiry, mut access) = (None, None);
        let value = loop {
            if self.ended {
                return Ok(None);
            }
            let source = &mut self.source;
            match source::byte(source)? {
                opcode::EXPIRE_MS => expiry = Some(source::millis(source)?),
                opcode::EXPIRE_S => {
                    let seconds = i32::from_le_bytes(source::array(source)?);
                    expiry = Some(i64::from(seconds) * 1000);
                }
                opcode::IDLE => access = Some(Access::Idle(source::len(source)?)),
                opcode::FREQ => access = Some(Access::Frequency(source::byte(source)?)),
                opcode::EOF => self.end()?,
                opcode::MODULE_AUX => self.module_aux()?,
                opcode::SLOT_IMPORT if self.version.dialect() == Dialect::Valkey => {
                    pass_slot_import(source)?;
                }
                code @ opcode::SLOT_INFO.. => return self.event(code).map(Some),
                value_type => {
                    let key = source::string(source, &mut self.text)?;
                    self.name.set(key);
                    match self
                        .decoder
                        .read(source, value_type, self.version.dialect())
                    {
                        Ok(value) => break value,
                        Err(Error::Empty) => {}
                        Err(Error::Module(_)) if self.modules == Modules::Skip => {}
                        Err(e) => return Err(e),
                    }
                    self.skipped += 1;
                    (expiry, access) = (None, None);
                }
            }
        };
        Ok(Some(Event::Key(Entry {
            db: self.db,
            key: self.name.bytes(),
            expiry,
            access,
            value: self.decoder.shown(value),
        })))
    }

    /// What an opcode says that is no part of a key.
    fn event(&mut self, code: u8) -> Result<Event<'_>, Error> {
        let source = &mut self.source;
        Ok(match code {
            opcode::SELECT_DB => {
                self.db = source::len(source)?;
                Event::Select(self.db)
            }
            opcode::RESIZE_DB => Event::Resize {
                keys: source::len(source)?,
                volatile: source::len(source)?,
            },
            opcode::SLOT_INFO => Event::Slot {
                slot: source::len(source)?,
                keys: source::len(source)?,
                volatile: source::len(source)?,
            },
            // Facts came after checksums, so this version is none that somebody wrote.
            opcode::AUX if !self.version.has_checksum() => return Err(corrupt("the version")),
            opcode::AUX => {
                let name = source::string(source, &mut self.text)?;
                self.name.set(name);
                let value = source::string(source, &mut self.text)?;
                self.fact.set(value);
                Event::Aux {
                    name: self.name.bytes(),
                    value: self.fact.bytes(),
                }
            }
            opcode::FUNCTION => {
                let code = source::string(source, &mut self.text)?;
                self.fact.set(code);
                Event::Function(self.fact.bytes())
            }
            code => return Err(Error::Unknown(code)),
        })
    }

    /// Passes over what a module has said about all keys together.
    fn module_aux(&mut self) -> Result<(), Error> {
        let id = source::len(&mut self.source)?;
        // When it was said, as an integer of a module.
        source::len(&mut self.source)?;
        source::len(&mut self.source)?;
        decode::module::skip(&mut self.source)?;
        match self.modules {
            Modules::Skip => Ok(()),
            Modules::Refuse => Err(Error::Module(decode::module::name(id))),
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        self.ended = true;
        if !self.version.has_checksum() {
            return Ok(());
        }
        let found = self.source.crc();
        let expected = u64::from_le_bytes(source::array(&mut self.source)?);
        // Zero says that nobody has summed up.
        if expected != 0 && expected != found {
            return Err(Error::Checksum { expected, found });
        }
        Ok(())
    }
}

/// Whether a file that begins like this is a dump; else it may be a log.
pub fn is_dump(file: impl Read) -> io::Result<bool> {
    let mut head = Vec::new();
    file.take(VALKEY.len() as u64).read_to_end(&mut head)?;
    Ok([REDIS, VALKEY].iter().any(|name| head.starts_with(name)))
}

/// The version that the first bytes say.
fn version(head: &[u8; 9]) -> Result<Version, Error> {
    let (dialect, digits) = match (head.strip_prefix(REDIS), head.strip_prefix(VALKEY)) {
        (Some(digits), _) => (Dialect::Redis, digits),
        (_, Some(digits)) => (Dialect::Valkey, digits),
        _ => return Err(Error::Signature),
    };
    let number = digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(10);
        digit.map(|digit| number * 10 + digit)
    });
    let number = number.ok_or(Error::Signature)?;
    Version::of_file(dialect, number).ok_or(Error::Version(number))
}

/// Passes over a move of slots that was under way: its name, and ranges of slots.
fn pass_slot_import(source: &mut impl Source) -> Result<(), Error> {
    source::skip_string(source)?;
    for _ in 0..source::len(source)? {
        source::len(source)?;
        source::len(source)?;
    }
    Ok(())
}
