//! Reading an increment: commands, transactions and blocks, one after the other, each as a whole.
//!
//! ```text
//! *1 MULTI
//! #B:<number> <bytes of the file that were durable when this was written>
//! …commands…
//! #E:<number> <checksum of everything from MULTI up to here>
//! *1 EXEC
//! ```
//!
//! That is a block, which this server writes. Others pass over lines that begin with `#`, and find a
//! transaction. What they write themselves, commands and transactions without such lines, is read too.

use crate::crc64;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

/// Bytes that are read at a time.
const STEP: usize = 64 << 10;

/// Longest line that begins with `#`, which is the longest that Redis reads as one.
pub const LINE_MAX: usize = 127;

/// The signs of a block's first line and of its last one.
const BEGIN: &[u8] = b"#B:";
const END: &[u8] = b"#E:";

/// Bytes up to the end of a block's first line: if a part of that is missing, there is nothing instead.
const HEAD_MAX: usize = 64;

/// Most words of a command, and bytes of a word.
const WORDS_MAX: u64 = 1 << 30;
const WORD_MAX: u64 = 1 << 40;

/// What is wrong in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Bytes before it, which are good.
    pub at: u64,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file ends in the middle of something.
    Incomplete,
    Format,
    Checksum,
    /// A block is missing before this one.
    Gap,
    /// Blocks and transactions are not nested.
    Nesting,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            Fault::Incomplete => "it ends in the middle of a command or transaction",
            Fault::Format => "what follows is no command",
            Fault::Checksum => "a block has the wrong checksum",
            Fault::Gap => "a block is missing",
            Fault::Nesting => "a transaction is not ended before another one",
        };
        write!(f, "after byte {}: {what}", self.at)
    }
}

/// A piece of an increment that belongs together.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// Its commands, one behind the other, in the protocol of requests, and in pieces where lines stood
    /// between them.
    pub commands: Vec<&'a [u8]>,
    pub count: usize,
    /// Bytes of the file up to its end.
    pub end: u64,
}

/// What stands behind a damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// Bytes of the file that a whole block says were durable once.
    pub durable: u64,
    /// Whole blocks.
    pub blocks: u64,
    /// It is the trace of blocks that were written and did not all become durable.
    pub is_ours: bool,
}

/// The number of a block, and how much of the file was durable when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begin {
    number: u64,
    synced: u64,
}

pub struct Scanner<R> {
    reader: R,
    buf: Vec<u8>,
    /// Where in the file `buf` begins.
    origin: u64,
    /// What of `buf` has been handed out.
    used: usize,
    /// No more can be read.
    ended: bool,
    last_block: Option<u64>,
    blocks: u64,
    /// How much of the file was durable, by what blocks say.
    synced: u64,
}

/// What stands at a place.
enum Item {
    /// It goes on behind what is there.
    Short,
    Bad,
    Line(usize),
    Command {
        len: usize,
        name: Range<usize>,
        words: u64,
    },
}

/// A number up to the end of its line, behind a sign that has been seen; `None` if it is none, and the
/// inner `None` if it goes on.
fn number(buf: &[u8], at: usize, max: u64) -> Option<Option<(u64, usize)>> {
    let mut value: u64 = 0;
    let mut i = at;
    loop {
        match buf.get(i) {
            None if i - at > 20 => return None,
            None => return Some(None),
            Some(digit @ b'0'..=b'9') => {
                value = value
                    .checked_mul(10)?
                    .checked_add(u64::from(digit - b'0'))?;
                if value > max {
                    return None;
                }
            }
            Some(b'\r') if i > at => {
                return match buf.get(i + 1) {
                    None => Some(None),
                    Some(b'\n') => Some(Some((value, i + 2))),
                    Some(_) => None,
                };
            }
            Some(_) => return None,
        }
        i += 1;
    }
}

fn item(buf: &[u8]) -> Item {
    match buf.first() {
        None => return Item::Short,
        Some(b'#') => {
            let line = buf.iter().take(LINE_MAX).position(|b| *b == b'\n');
            return match line {
                Some(end) => Item::Line(end + 1),
                None if buf.len() < LINE_MAX => Item::Short,
                None => Item::Bad,
            };
        }
        Some(b'*') => {}
        Some(_) => return Item::Bad,
    }
    let (words, mut at) = match number(buf, 1, WORDS_MAX) {
        None | Some(Some((0, _))) => return Item::Bad,
        Some(None) => return Item::Short,
        Some(Some(read)) => read,
    };
    let mut name = 0..0;
    for i in 0..words {
        match buf.get(at) {
            None => return Item::Short,
            Some(b'$') => {}
            Some(_) => return Item::Bad,
        }
        let (len, start) = match number(buf, at + 1, WORD_MAX) {
            None => return Item::Bad,
            Some(None) => return Item::Short,
            Some(Some(read)) => read,
        };
        let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
        if i == 0 {
            name = start..end;
        }
        match buf.get(end..).map(|rest| (rest.first(), rest.get(1))) {
            Some((Some(b'\r'), Some(b'\n'))) => at = end + 2,
            Some((Some(b'\r'), None) | (None, _)) | None => return Item::Short,
            Some(_) => return Item::Bad,
        }
    }
    Item::Command {
        len: at,
        name,
        words,
    }
}

/// Two numbers in the line of a sign; the second one in some radix.
fn numbers(line: &[u8], sign: &str, radix: u32) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(line).ok()?;
    let text = text.strip_prefix(sign)?.strip_suffix("\r\n")?;
    let (a, b) = text.split_once(' ')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits(a) || !digits(b) {
        return None;
    }
    Some((a.parse().ok()?, u64::from_str_radix(b, radix).ok()?))
}

fn begin_of(line: &[u8]) -> Option<Begin> {
    let (number, synced) = numbers(line, "#B:", 10)?;
    Some(Begin { number, synced })
}

/// What has been read of a unit.
#[derive(Default)]
struct Open {
    /// In a transaction, or block: where its commands begin.
    commands: Option<usize>,
    begin: Option<Begin>,
    /// The block's last line has been read: where it stands, and the checksum that it tells.
    end: Option<(usize, u64)>,
    count: usize,
    /// Lines between its commands.
    lines: Vec<Range<usize>>,
}

impl Open {
    /// What stood at a place stands so many bytes before it now.
    fn shift(&mut self, by: usize) {
        self.commands = self.commands.map(|i| i - by);
        self.end = self.end.map(|(i, crc)| (i - by, crc));
        for line in &mut self.lines {
            *line = line.start - by..line.end - by;
        }
    }
}

impl<R: Read> Scanner<R> {
    /// Reads from a place of a file on, at which `reader` stands.
    pub fn new(reader: R, origin: u64) -> Scanner<R> {
        Scanner {
            reader,
            buf: Vec::new(),
            origin,
            used: 0,
            ended: false,
            last_block: None,
            blocks: 0,
            synced: 0,
        }
    }

    /// The number of the last block.
    pub fn last_block(&self) -> Option<u64> {
        self.last_block
    }

    /// How many blocks there were.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Bytes of the file that have been handed out or passed over.
    pub fn position(&self) -> u64 {
        self.origin + self.used as u64
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.used > 0 {
            self.buf.drain(..self.used);
            self.origin += self.used as u64;
            self.used = 0;
        }
        let step = STEP.max(self.buf.len()) as u64;
        let read = (&mut self.reader).take(step).read_to_end(&mut self.buf)?;
        self.ended = read == 0;
        Ok(read > 0)
    }

    /// The next unit; nothing at the end of the file.
    pub fn unit(&mut self) -> io::Result<Result<Option<Unit<'_>>, Damage>> {
        let mut open = Open::default();
        let mut at = self.used;
        let unit = loop {
            let here = &self.buf[at..];
            match item(here) {
                Item::Short => {
                    let before = at - self.used;
                    let more = self.fill()?;
                    // What is not used may stand elsewhere now.
                    open.shift(at - (self.used + before));
                    at = self.used + before;
                    if more {
                        continue;
                    }
                    if at == self.buf.len() && open.commands.is_none() {
                        self.used = at;
                        return Ok(Ok(None));
                    }
                    break Err(Fault::Incomplete);
                }
                Item::Bad => break Err(Fault::Format),
                Item::Line(len) => {
                    let line = &here[..len];
                    match self.line(&mut open, at, line) {
                        Ok(()) => at += len,
                        Err(fault) => break Err(fault),
                    }
                    match open.commands {
                        // Of nobody's: it can be passed over.
                        None => self.used = at,
                        Some(from) if from < at && open.end.is_none() => {
                            open.lines.push(at - len..at);
                        }
                        Some(_) => {}
                    }
                }
                Item::Command { len, name, words } => {
                    let is =
                        |word: &[u8]| words == 1 && here[name.clone()].eq_ignore_ascii_case(word);
                    let (is_multi, is_exec) = (is(b"multi"), is(b"exec"));
                    let start = at;
                    at += len;
                    match open.commands {
                        None if is_multi => open.commands = Some(at),
                        None if is_exec => break Err(Fault::Nesting),
                        None => {
                            // A block's beginning whose first word is damaged looks like a command.
                            while self.buf.len() < at + BEGIN.len() {
                                let before = at - self.used;
                                let more = self.fill()?;
                                at = self.used + before;
                                if !more {
                                    break;
                                }
                            }
                            match self.buf[at..].starts_with(BEGIN) {
                                true => break Err(Fault::Nesting),
                                false => break Ok((self.used..at, 1)),
                            }
                        }
                        Some(_) if is_multi => break Err(Fault::Nesting),
                        Some(from) if is_exec => break self.closed(&open, from, start),
                        Some(_) if open.end.is_some() => break Err(Fault::Format),
                        Some(_) => open.count += 1,
                    }
                }
            }
        };
        match unit {
            Ok((commands, count)) => {
                if let Some(begin) = open.begin {
                    self.last_block = Some(begin.number);
                    self.blocks += 1;
                    self.synced = self.synced.max(begin.synced);
                }
                self.used = at;
                let mut pieces = Vec::with_capacity(1 + open.lines.len());
                let mut from = commands.start;
                for line in &open.lines {
                    pieces.push(&self.buf[from..line.start]);
                    from = line.end;
                }
                pieces.push(&self.buf[from..commands.end]);
                Ok(Ok(Some(Unit {
                    commands: pieces,
                    count,
                    end: self.origin + at as u64,
                })))
            }
            Err(fault) => Ok(Err(Damage {
                at: self.position(),
                fault,
            })),
        }
    }

    /// A line that begins with `#` at a place of `buf`.
    fn line(&self, open: &mut Open, at: usize, line: &[u8]) -> Result<(), Fault> {
        if line.starts_with(BEGIN) {
            let begin = begin_of(line).ok_or(Fault::Format)?;
            if open.commands != Some(at) {
                return Err(Fault::Nesting);
            }
            if self.last_block.is_some_and(|last| begin.number != last + 1) {
                return Err(Fault::Gap);
            }
            // What is not its own to check stands before it.
            open.begin = Some(begin);
            open.commands = Some(at + line.len());
        } else if line.starts_with(END) {
            let (number, crc) = numbers(line, "#E:", 16).ok_or(Fault::Format)?;
            match open.begin {
                Some(begin) if begin.number == number && open.end.is_none() => {
                    open.end = Some((at, crc));
                }
                _ => return Err(Fault::Nesting),
            }
        }
        Ok(())
    }

    /// A transaction, or a block, ends with the EXEC at a place of `buf`.
    fn closed(
        &self,
        open: &Open,
        from: usize,
        exec: usize,
    ) -> Result<(Range<usize>, usize), Fault> {
        match (open.begin, open.end) {
            (Some(_), Some((end, crc))) => {
                let has = crc64::update(0, &self.buf[self.used..end]);
                if has != crc {
                    return Err(Fault::Checksum);
                }
                Ok((from..end, open.count))
            }
            (Some(_), None) => Err(Fault::Format),
            _ => Ok((from..exec, open.count)),
        }
    }

    /// What stands behind a damage. Reads the rest of the file.
    pub fn behind(&mut self) -> io::Result<Behind> {
        const FIRST: &[u8] = b"*1\r\n$5\r\nMULTI\r\n#B:";
        while self.fill()? {}
        let next = &self.buf[self.used..];
        let next = &next[..next.len().min(HEAD_MAX)];
        let mut behind = Behind {
            durable: 0,
            blocks: 0,
            // What one attempt has left over what another has.
            is_ours: next.contains(&0) || find(next, BEGIN).is_some(),
        };
        let mut from = self.used;
        while let Some(at) = find(&self.buf[from..], FIRST) {
            let start = from + at;
            behind.is_ours = true;
            // Whatever follows on a whole block is read in one go.
            let mut rest = Scanner::new(&self.buf[start..], 0);
            while let Ok(Some(_)) = rest.unit()? {}
            behind.blocks += rest.blocks;
            behind.durable = behind.durable.max(rest.synced);
            from = start + (rest.position() as usize).max(1);
        }
        Ok(behind)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// What a block begins with.
pub fn head(number: u64, synced: u64) -> Vec<u8> {
    format!("*1\r\n$5\r\nMULTI\r\n#B:{number} {synced}\r\n").into_bytes()
}

/// And what it ends with.
pub fn tail(number: u64, crc: u64) -> Vec<u8> {
    format!("#E:{number} {crc:016x}\r\n*1\r\n$4\r\nEXEC\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64, synced: u64, body: &str) -> String {
        let mut bytes = head(number, synced);
        bytes.extend_from_slice(body.as_bytes());
        let crc = crc64::update(0, &bytes);
        bytes.extend(tail(number, crc));
        String::from_utf8(bytes).expect("ASCII")
    }

    fn command(words: &str) -> String {
        let words: Vec<&str> = words.split(' ').collect();
        let texts = words.iter().map(|w| format!("${}\r\n{w}\r\n", w.len()));
        format!("*{}\r\n{}", words.len(), texts.collect::<String>())
    }

    /// The commands of each unit, and how it ended.
    fn scan(file: &[u8]) -> (Vec<(String, usize, u64)>, Option<Damage>, u64) {
        struct Drip<'a>(&'a [u8]);
        impl Read for Drip<'_> {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                let n = self.0.len().min(to.len()).min(7);
                to[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        let mut scanner = Scanner::new(Drip(file), 0);
        let mut units = Vec::new();
        loop {
            match scanner.unit().expect("memory can be read") {
                Ok(Some(unit)) => {
                    let text = String::from_utf8_lossy(&unit.commands.concat()).into_owned();
                    units.push((text, unit.count, unit.end));
                }
                Ok(None) => return (units, None, 0),
                Err(damage) => {
                    let durable = scanner.behind().expect("memory can be read").durable;
                    return (units, Some(damage), durable);
                }
            }
        }
    }

    #[test]
    fn units_are_read_as_wholes() {
        let (set, del) = (command("SET a 1"), command("DEL a"));
        let both = format!("{set}{del}");
        let first = block(7, 0, &both);
        let plain = format!("#TS:12345\r\n{set}");
        let transaction = format!("{}{set}#TS:1\r\n{del}{}", command("multi"), command("Exec"));
        let second = block(8, 5, &del);
        let file = format!("{first}{plain}{transaction}{second}");
        let (units, damage, _) = scan(file.as_bytes());
        assert_eq!(damage, None);
        let mut end = 0;
        let want = [
            (&first, &both, 2),
            (&plain, &set, 1),
            (&transaction, &both, 2),
            (&second, &del, 1),
        ];
        for ((whole, commands, count), unit) in want.into_iter().zip(&units) {
            end += whole.len() as u64;
            assert_eq!(unit, &(commands.clone(), count, end));
        }
        assert_eq!(units.len(), 4);
        // Wherever it is cut off, whole units are left, and where to cut is known.
        let ends: Vec<u64> = units.iter().map(|u| u.2).collect();
        let comment = (first.len() + "#TS:12345\r\n".len()) as u64;
        for len in 0..file.len() {
            let (units, damage, _) = scan(&file.as_bytes()[..len]);
            let whole = ends.iter().filter(|end| **end <= len as u64).count();
            assert_eq!(units.len(), whole, "{len}");
            let good = ends[..whole].last().copied().unwrap_or(0);
            let fault = Fault::Incomplete;
            match damage {
                None => assert!(good == len as u64 || comment == len as u64, "{len}"),
                Some(damage) if (len as u64) > comment && whole == 1 => {
                    assert_eq!(damage, Damage { at: comment, fault });
                }
                Some(damage) => assert_eq!(damage, Damage { at: good, fault }, "{len}"),
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_block_is_found() {
        let (set, del) = (command("SET a 1"), command("DEL a"));
        let first = block(1, 0, &set);
        let (second, third) = (block(2, first.len() as u64, &del), 0);
        let durable = (first.len() + second.len()) as u64;
        let last = block(3, durable, &set);
        assert_eq!(third, 0);
        let file = format!("{first}{second}{last}").into_bytes();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut bad = file.clone();
                bad[at] ^= 1 << bit;
                // Letters of MULTI and EXEC may have either case.
                if bad[at].eq_ignore_ascii_case(&file[at]) {
                    continue;
                }
                let (units, damage, by_later) = scan(&bad);
                let damage = damage.unwrap_or_else(|| panic!("byte {at}, bit {bit}"));
                let before = [0, first.len(), first.len() + second.len()];
                let of = before.iter().rposition(|start| *start <= at).unwrap_or(0);
                assert!(units.len() <= of, "{at} {bit} {units:?}");
                assert!(damage.at <= at as u64);
                // What comes behind says that it was there once.
                if of < 2 && units.len() == of {
                    assert_eq!(by_later, durable, "byte {at}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let multi = command("MULTI");
        let set = command("SET a 1");
        for (file, fault) in [
            ("x".to_owned(), Fault::Format),
            ("*0\r\n".to_owned(), Fault::Format),
            ("*-1\r\n".to_owned(), Fault::Format),
            ("*1\r\n:1\r\n".to_owned(), Fault::Format),
            ("*1\r\n$3\r\nfooo\r\n".to_owned(), Fault::Format),
            ("*99999999999999999999999\r\n".to_owned(), Fault::Format),
            ("*1\r\n$4\r\nEXEC\r\n".to_owned(), Fault::Nesting),
            (format!("{multi}{multi}"), Fault::Nesting),
            (format!("#B:1 0\r\n{set}"), Fault::Nesting),
            (format!("{multi}{set}#B:1 0\r\n"), Fault::Nesting),
            (format!("{multi}#B:1 x\r\n"), Fault::Format),
            (
                format!("{multi}#B:1 0\r\n{set}{}", command("EXEC")),
                Fault::Format,
            ),
            (
                format!("{}{}", block(1, 0, &set), block(3, 0, &set)),
                Fault::Gap,
            ),
            (format!("#{}\r\n", "x".repeat(200)), Fault::Format),
            (format!("{set}*1\r\n$100\r\nab"), Fault::Incomplete),
            (format!("{set}\0\0\0\0"), Fault::Format),
        ] {
            let (_, damage, _) = scan(file.as_bytes());
            assert_eq!(damage.map(|d| d.fault), Some(fault), "{file:?}");
        }
    }
}
