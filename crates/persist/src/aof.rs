//! The manifest of an append-only log in parts: which files it consists of, in which order.
//!
//! ```text
//! file appendonly.aof.3.base.rdb seq 3 type b
//! file appendonly.aof.2.incr.aof seq 2 type h
//! file appendonly.aof.5.incr.aof seq 5 type i startoffset 0
//! ```
//!
//! A line is words as in an inline command, names and values in turn; names that nobody knows are passed over.
//! The base is loaded first, then the increments. History is what a newer base has made superfluous, and is
//! to be deleted.

use std::fmt;

/// Bytes of a line, its end included.
const LINE_MAX: usize = 1024;

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub name: Vec<u8>,
    /// Never 0.
    pub seq: i64,
    /// The replication offset at which it begins.
    pub start_offset: Option<i64>,
    /// And at which it ends, if it is no longer written to.
    pub end_offset: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub base: Option<File>,
    pub history: Vec<File>,
    /// By number, which grows.
    pub increments: Vec<File>,
}

/// What is wrong with a manifest, in Redis's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The number of the line, from 1 on, and the line, if it is one that is wrong.
    pub line: Option<(usize, Vec<u8>)>,
    pub reason: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("*** FATAL AOF MANIFEST FILE ERROR ***\n")?;
        if let Some((number, line)) = &self.line {
            let line = String::from_utf8_lossy(line);
            writeln!(
                f,
                "Reading the manifest file, at line {number}\n>>> '{line}'"
            )?;
        }
        f.write_str(self.reason)
    }
}

impl std::error::Error for Invalid {}

const EMPTY: &str = "Found an empty AOF manifest";
const LONG: &str = "The AOF manifest file contains too long line";
const FORMAT: &str = "Invalid AOF manifest file format";
const PATH: &str = "File can't be a path, just a filename";
const TYPE: &str = "Unknown AOF file type";
const TWO_BASES: &str = "Found duplicate base file information";
const ORDER: &str = "Found a non-monotonic sequence number";

impl Manifest {
    /// Reads the content of a manifest.
    pub fn parse(content: &[u8]) -> Result<Manifest, Invalid> {
        let mut manifest = Manifest::default();
        if content.is_empty() {
            return Err(Invalid {
                line: None,
                reason: EMPTY,
            });
        }
        for (i, whole) in content.split_inclusive(|b| *b == b'\n').enumerate() {
            if whole.first() == Some(&b'#') {
                continue;
            }
            let ended = whole.last() == Some(&b'\n') && !whole.contains(&0);
            if !ended || whole.len() > LINE_MAX {
                return Err(Invalid {
                    line: None,
                    reason: LONG,
                });
            }
            let line = whole.trim_ascii();
            manifest.line(line).map_err(|reason| Invalid {
                line: Some((i + 1, line.to_vec())),
                reason,
            })?;
        }
        Ok(manifest)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        /// Words that a file must have: its name, its number and its type, and what they are called.
        const WORDS_MIN: usize = 6;
        let words = resp::split::split_words(line).map_err(|_| FORMAT)?;
        if words.len() < WORDS_MIN || !words.len().is_multiple_of(2) {
            return Err(FORMAT);
        }
        let (mut kind, mut seq) = (None, 0);
        let mut file = File {
            name: Vec::new(),
            seq: 0,
            start_offset: None,
            end_offset: None,
        };
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return Err(FORMAT);
            };
            match &name.to_ascii_lowercase()[..] {
                b"file" if value.iter().any(|b| matches!(b, b'/' | b'\\')) => return Err(PATH),
                b"file" => file.name = value.clone(),
                b"seq" => seq = leading_integer(value),
                b"type" => kind = value.first().copied(),
                b"startoffset" => file.start_offset = Some(leading_integer(value)),
                b"endoffset" => file.end_offset = Some(leading_integer(value)),
                _ => {}
            }
        }
        file.seq = seq;
        let kind = kind.filter(|_| seq != 0 && !file.name.is_empty());
        match kind.ok_or(FORMAT)? {
            b'b' if self.base.is_some() => return Err(TWO_BASES),
            b'b' => self.base = Some(file),
            b'h' => self.history.push(file),
            b'i' => {
                let before = self.increments.last().map_or(0, |file| file.seq);
                if seq <= before {
                    return Err(ORDER);
                }
                self.increments.push(file);
            }
            _ => return Err(TYPE),
        }
        Ok(())
    }

    /// The content of a file that says this.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let base = self.base.iter().map(|file| (file, b'b'));
        let history = self.history.iter().map(|file| (file, b'h'));
        let increments = self.increments.iter().map(|file| (file, b'i'));
        for (file, kind) in base.chain(history).chain(increments) {
            text.extend_from_slice(b"file ");
            put_word(&mut text, &file.name);
            text.extend_from_slice(format!(" seq {} type ", file.seq).as_bytes());
            text.push(kind);
            for (name, offset) in [
                ("startoffset", file.start_offset),
                ("endoffset", file.end_offset),
            ] {
                if let Some(offset) = offset {
                    text.extend_from_slice(format!(" {name} {offset}").as_bytes());
                }
            }
            text.push(b'\n');
        }
        text
    }

    /// Makes the base and all increments history.
    pub fn retire(&mut self) {
        let files = self
            .base
            .take()
            .into_iter()
            .chain(self.increments.drain(..));
        self.history.extend(files);
    }

    /// The number of the next increment: nothing has it, of what is still to be deleted neither.
    pub fn next_increment(&self) -> i64 {
        next(self.increments.iter().chain(&self.history))
    }

    /// The same for a base.
    pub fn next_base(&self) -> i64 {
        next(self.base.iter().chain(&self.history))
    }
}

fn next<'a>(files: impl Iterator<Item = &'a File>) -> i64 {
    let last = files.map(|file| file.seq).max().unwrap_or(0);
    last.max(0).saturating_add(1)
}

/// What C's `atoll` reads: the integer at the beginning, 0 without one.
fn leading_integer(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let digits = digits.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        let next = value.saturating_mul(10);
        if negative {
            next.saturating_sub(digit)
        } else {
            next.saturating_add(digit)
        }
    })
}

/// Writes a word, in quotes if it would not be one otherwise.
fn put_word(to: &mut Vec<u8>, word: &[u8]) {
    let plain = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.iter().all(plain) {
        return to.extend_from_slice(word);
    }
    to.push(b'"');
    for byte in word {
        match byte {
            b'"' | b'\\' => to.extend([b'\\', *byte]),
            b' ' | b'\'' => to.push(*byte),
            byte if plain(byte) => to.push(*byte),
            byte => to.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, seq: i64) -> File {
        File {
            name: name.as_bytes().to_vec(),
            seq,
            start_offset: None,
            end_offset: None,
        }
    }

    #[test]
    fn a_manifest_is_read_and_written() {
        let text = b"file a.3.base.rdb seq 3 type b\n\
            file a.2.incr.aof seq 2 type h\n\
            file a.4.incr.aof seq 4 type i\n\
            file \"my file\" seq 5 type i startoffset 7 endoffset 9\n";
        let manifest = Manifest::parse(text).expect("it is valid");
        let last = File {
            start_offset: Some(7),
            end_offset: Some(9),
            ..file("my file", 5)
        };
        let want = Manifest {
            base: Some(file("a.3.base.rdb", 3)),
            history: vec![file("a.2.incr.aof", 2)],
            increments: vec![file("a.4.incr.aof", 4), last],
        };
        assert_eq!(manifest, want);
        assert_eq!(manifest.to_text(), text);
        assert_eq!((manifest.next_base(), manifest.next_increment()), (4, 6));
        let strange = Manifest {
            base: Some(file("\"q\" \\ 'x' \u{1}é", 1)),
            ..Manifest::default()
        };
        // A backslash makes a path of it, for those who read.
        let told = Manifest::parse(&strange.to_text()).expect_err("it is a path");
        assert_eq!(told.reason, PATH);
    }

    /// What Redis 8.0 takes, although it never writes it.
    #[test]
    fn loose_lines_are_taken() {
        for text in [
            "#x\nFILE a SEQ 1x TYPE base\r\n",
            "  file   a  seq +1   type b  \n#\n",
            "file a seq 1 type b foo bar\n",
            "file x seq 2 file a seq 1 type b\n",
        ] {
            let manifest = Manifest::parse(text.as_bytes()).expect("it is valid");
            assert_eq!(manifest.base, Some(file("a", 1)), "{text}");
        }
        assert_eq!(Manifest::parse(b"#\n"), Ok(Manifest::default()));
        let negative = Manifest::parse(b"file a seq -1 type b\n").expect("it is valid");
        assert_eq!(negative.base, Some(file("a", -1)));
    }

    /// What Redis 8.0 says when it starts.
    #[test]
    fn faults_are_told_in_redis_s_words() {
        let two = "file a seq 1 type b\nfile b seq 2 type b\n";
        let long = format!("file {} seq 1 type b\n", "a".repeat(1100));
        for (text, line, reason) in [
            ("", 0, EMPTY),
            ("file a seq 1 type b", 0, LONG),
            ("file a\0b seq 1 type i\n", 0, LONG),
            (&long, 0, LONG),
            ("\n", 1, FORMAT),
            (" \n", 1, FORMAT),
            ("file a\n", 1, FORMAT),
            ("file a seq 1 type\n", 1, FORMAT),
            ("file \"a seq 1 type b\n", 1, FORMAT),
            ("seq 1 type b x y\n", 1, FORMAT),
            ("file a seq 0 type b\n", 1, FORMAT),
            ("file a seq x type b\n", 1, FORMAT),
            ("file a seq 1 type z\n", 1, TYPE),
            ("file x/y seq 1 type b\n", 1, PATH),
            (two, 2, TWO_BASES),
            ("file b seq 2 type i\nfile c seq 2 type i\n", 2, ORDER),
            ("#\nfile b seq -2 type i\n", 2, ORDER),
        ] {
            let invalid = Manifest::parse(text.as_bytes()).expect_err(text);
            assert_eq!(invalid.reason, reason, "{text}");
            assert_eq!(invalid.line.map_or(0, |(n, _)| n), line, "{text}");
        }
        let shown = Manifest::parse(b"#\n\n")
            .expect_err("a line is empty")
            .to_string();
        let want = "*** FATAL AOF MANIFEST FILE ERROR ***\n\
            Reading the manifest file, at line 2\n>>> ''\nInvalid AOF manifest file format";
        assert_eq!(shown, want);
    }
}
