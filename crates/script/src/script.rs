//! A script as a client sends it: its text, its name, which is the SHA1 of the text, and the flags of
//! its first line.

use crate::error::Error;
use resp::split::split_words;
use sha1::{Digest as _, Sha1};
use std::sync::Arc;

pub type Digest = [u8; 20];

/// What a script or function says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    pub const NO_WRITES: Flags = Flags(1);
    pub const ALLOW_OOM: Flags = Flags(2);
    pub const ALLOW_STALE: Flags = Flags(4);
    pub const NO_CLUSTER: Flags = Flags(8);
    pub const ALLOW_CROSS_SLOT_KEYS: Flags = Flags(16);

    const NAMES: [(&'static str, Flags); 5] = [
        ("no-writes", Flags::NO_WRITES),
        ("allow-oom", Flags::ALLOW_OOM),
        ("allow-stale", Flags::ALLOW_STALE),
        ("no-cluster", Flags::NO_CLUSTER),
        ("allow-cross-slot-keys", Flags::ALLOW_CROSS_SLOT_KEYS),
    ];

    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    pub fn named(name: &[u8]) -> Option<Flags> {
        let mut all = Flags::NAMES.iter();
        all.find(|(own, _)| own.as_bytes() == name)
            .map(|&(_, flag)| flag)
    }

    /// In the order in which FUNCTION LIST shows them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = Flags::NAMES.iter();
        all.filter(move |(_, flag)| self.has(*flag))
            .map(|&(name, _)| name)
    }
}

/// One allocation that all shards share; cloning counts.
#[derive(Clone, Debug)]
pub struct Script(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    digest: Digest,
    sha: [u8; 40],
    body: Vec<u8>,
    /// Where the code begins: behind the first line, if that is a shebang, but with its line end.
    code_at: usize,
    flags: Option<Flags>,
}

impl Script {
    /// Reads the first line. What the code says is looked at when it is compiled.
    pub fn parse(body: &[u8]) -> Result<Script, Error> {
        let digest: Digest = Sha1::digest(body).into();
        let (code_at, flags) = match body.starts_with(b"#!") {
            true => {
                let len = body.iter().position(|&b| b == b'\n');
                let len = len.ok_or_else(|| Error::new("ERR Invalid script shebang"))?;
                (len, Some(shebang(&body[..len])?))
            }
            false => (0, None),
        };
        Ok(Script(Arc::new(Parsed {
            digest,
            sha: hex(&digest),
            body: body.to_vec(),
            code_at,
            flags,
        })))
    }

    /// The name of a script with this text, without reading it.
    pub fn sha_of(body: &[u8]) -> [u8; 40] {
        hex(&Sha1::digest(body).into())
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.0.digest
    }

    pub(crate) fn sha_bytes(&self) -> &[u8] {
        &self.0.sha
    }

    pub fn sha(&self) -> &str {
        std::str::from_utf8(&self.0.sha).unwrap_or_default()
    }

    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    pub(crate) fn code(&self) -> &[u8] {
        &self.0.body[self.0.code_at..]
    }

    pub fn has_shebang(&self) -> bool {
        self.0.flags.is_some()
    }

    /// None of the flags without a shebang.
    pub fn flags(&self) -> Flags {
        self.0.flags.unwrap_or_default()
    }
}

pub(crate) fn hex(digest: &Digest) -> [u8; 40] {
    let mut text = [0; 40];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = b"0123456789abcdef"[usize::from(nibble)];
        }
    }
    text
}

fn shebang(line: &[u8]) -> Result<Flags, Error> {
    let wrong = |what: &str, of: &[u8]| {
        let mut text = format!("ERR {what}: ").into_bytes();
        text.extend_from_slice(of);
        Err(Error::new(text))
    };
    let words = split_words(line).unwrap_or_default();
    let Some((engine, options)) = words.split_first() else {
        return Err(Error::new("ERR Invalid engine in script shebang"));
    };
    if engine != b"#!lua" {
        return wrong("Unexpected engine in script shebang", engine);
    }
    let mut flags = Flags::default();
    for word in options {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return wrong("Unknown lua shebang option", word);
        };
        for name in list.split(|&b| b == b',') {
            match Flags::named(name) {
                Some(flag) => flags = flags.with(flag),
                None if list.is_empty() => {}
                None => return wrong("Unexpected flag in script shebang", name),
            }
        }
    }
    Ok(flags)
}
