//! Effects on their way from a shard to the log.

use super::turn::Turn;
use engine::Epoch;
use resp::Args;
use resp::number::Decimal;
use resp::request;
use std::sync::Arc;

/// What all shards do at one place of their effects, and the log once.
#[derive(Clone)]
pub enum Mark {
    /// A command on the whole server.
    Command(Vec<u8>),
    Turn(Arc<Turn>),
}

/// Effects of one shard in one epoch, in their order.
#[derive(Default)]
pub struct Chunk {
    pub epoch: Epoch,
    /// Calls, in the protocol of requests.
    pub bytes: Vec<u8>,
    /// The database of the last one; none if the next one has to say its own.
    db: Option<usize>,
    /// Before which byte each mark stands.
    pub marks: Vec<(usize, Mark)>,
}

impl Chunk {
    pub fn new(epoch: Epoch, bytes: Vec<u8>) -> Chunk {
        Chunk {
            epoch,
            bytes,
            ..Chunk::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.marks.is_empty()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
        self.db = None;
    }

    /// Adds a call in a database.
    pub fn call(&mut self, db: usize, args: Args<'_>) {
        self.select(db);
        request::put(&mut self.bytes, args.iter());
    }

    /// The same of words.
    pub fn words(&mut self, db: usize, words: &[&[u8]]) {
        self.select(db);
        request::put(&mut self.bytes, words.iter().copied());
    }

    fn select(&mut self, db: usize) {
        if self.db != Some(db) {
            self.db = Some(db);
            put_select(&mut self.bytes, db);
        }
    }

    pub fn mark(&mut self, mark: Mark) {
        self.marks.push((self.bytes.len(), mark));
        self.db = None;
    }

    /// Marks where a command on the whole server has run.
    pub fn mark_command(&mut self, db: usize, args: Args<'_>) {
        let mut bytes = Vec::new();
        put_select(&mut bytes, db);
        request::put(&mut bytes, args.iter());
        self.mark(Mark::Command(bytes));
    }

    /// Adds what came behind this, and empties it.
    pub fn add(&mut self, other: &mut Chunk) {
        if other.is_empty() {
            return;
        }
        let before = self.bytes.len();
        let marks = other.marks.drain(..);
        self.marks
            .extend(marks.map(|(at, mark)| (before + at, mark)));
        self.bytes.extend_from_slice(&other.bytes);
        self.db = other.db;
        other.clear();
    }
}

fn put_select(to: &mut Vec<u8>, db: usize) {
    let db = Decimal::signed(db as i64);
    request::put(to, [&b"SELECT"[..], db.as_bytes()].into_iter());
}

/// What of a shard's effects belongs to one epoch, in pieces between marks.
pub struct Sections<'a> {
    chunks: Vec<&'a Chunk>,
    /// Which chunk comes next, at which byte of it and at which mark.
    at: (usize, usize, usize),
}

impl<'a> Sections<'a> {
    pub fn new(chunks: Vec<&'a Chunk>) -> Sections<'a> {
        Sections {
            chunks,
            at: (0, 0, 0),
        }
    }

    /// Writes everything up to the next mark, which it answers if there is one.
    pub fn write(&mut self, to: &mut Vec<u8>) -> Option<&'a Mark> {
        loop {
            let (i, byte, mark) = self.at;
            let chunk = self.chunks.get(i)?;
            if let Some((end, what)) = chunk.marks.get(mark) {
                to.extend_from_slice(&chunk.bytes[byte..*end]);
                self.at = (i, *end, mark + 1);
                return Some(what);
            }
            to.extend_from_slice(&chunk.bytes[byte..]);
            self.at = (i + 1, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resp::Pack;

    fn pack(words: &[&[u8]]) -> Pack {
        let mut pack = Pack::default();
        words.iter().for_each(|word| pack.add_bytes(word));
        pack.end();
        pack
    }

    #[test]
    fn chunks_say_their_database_once_and_after_every_mark() {
        let set = pack(&[b"SET", b"k", b""]);
        let flush = pack(&[b"FLUSHALL"]);
        let mut chunk = Chunk::new(3, Vec::new());
        chunk.call(9, set.command(0));
        chunk.call(9, set.command(0));
        chunk.mark_command(9, flush.command(0));
        chunk.words(9, &[b"DEL", b"k"]);
        let mut behind = Chunk::new(3, Vec::new());
        behind.words(10, &[b"DEL", b"k"]);
        behind.mark_command(1, flush.command(0));
        chunk.add(&mut behind);
        assert!(behind.is_empty());
        chunk.words(10, &[b"DEL", b"l"]);
        let (set, del) = (
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n",
            "*2\r\n$3\r\nDEL\r\n$1\r\n",
        );
        let select = |db: &str| format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{db}\r\n", db.len());
        let mut sections = Sections::new(vec![&chunk]);
        let mut text = Vec::new();
        let mut next = || {
            text.clear();
            let mark = match sections.write(&mut text) {
                Some(Mark::Command(bytes)) => Some(bytes.clone()),
                _ => None,
            };
            (String::from_utf8(text.clone()).expect("text"), mark)
        };
        let flush = |db: &str| Some(format!("{}*1\r\n$8\r\nFLUSHALL\r\n", select(db)).into_bytes());
        assert_eq!(next(), (format!("{}{set}{set}", select("9")), flush("9")));
        let both = format!("{}{del}k\r\n{}{del}k\r\n", select("9"), select("10"));
        assert_eq!(next(), (both, flush("1")));
        assert_eq!(next(), (format!("{}{del}l\r\n", select("10")), None));
        assert_eq!(next(), (String::new(), None));
    }
}
