//! What a command has done, as commands that do the same again: for the append-only log.
//!
//! A command that writes is its own effect, as it was sent, unless its handler says otherwise: because it
//! depends on the time, on chance or on what it has found, or because a part of it suffices. Then the
//! handler tells what is to be logged instead. Every effect names one key, in the database of the command
//! unless it says so, and nothing that a later time would see differently.

use resp::number::Decimal;
use resp::{Args, Pack};

/// What the commands of a shard have told of their effects.
#[derive(Default)]
pub struct Effects {
    /// Somebody wants to know.
    on: bool,
    told: bool,
    calls: Pack,
    /// Of each call, its database if it is not the command's, and which argument is its key.
    places: Vec<(Option<usize>, usize)>,
}

/// One effect.
pub struct Told<'a> {
    /// The database, if it is not the command's.
    pub db: Option<usize>,
    pub key: &'a [u8],
    pub args: Args<'a>,
}

impl Effects {
    pub fn want(&mut self, on: bool) {
        self.on = on;
    }

    #[inline]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Begins with a command: nothing has been told of it.
    #[inline]
    pub fn begin(&mut self) {
        if self.told {
            self.clear();
        }
    }

    #[cold]
    pub fn clear(&mut self) {
        self.told = false;
        self.calls.clear();
        self.places.clear();
    }

    /// Whether the command has told what to log; otherwise it is the command itself.
    #[inline]
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// What it has told, in this order.
    pub fn told(&self) -> impl Iterator<Item = Told<'_>> {
        self.places.iter().enumerate().map(|(i, (db, at))| {
            let args = self.calls.command(i);
            Told {
                db: *db,
                key: args.get(*at),
                args,
            }
        })
    }

    /// The command is not to be logged as it is: nothing is, or what is told beside this.
    #[inline]
    pub fn instead(&mut self) {
        self.told |= self.on;
    }

    /// Logs a call, whose second word is its key, and not the command.
    #[inline]
    pub fn tell<'w>(&mut self, words: impl IntoIterator<Item = Word<'w>>) {
        if self.on {
            self.note(None, 1, words);
        }
    }

    /// [`Effects::tell`], for a key of some database.
    pub fn tell_in<'w>(&mut self, db: usize, words: impl IntoIterator<Item = Word<'w>>) {
        if self.on {
            self.note(Some(db), 1, words);
        }
    }

    /// [`Effects::tell`], where the key is another word.
    pub fn tell_of<'w>(&mut self, key: usize, words: impl IntoIterator<Item = Word<'w>>) {
        if self.on {
            self.note(None, key, words);
        }
    }

    #[cold]
    #[inline(never)]
    fn note<'w>(
        &mut self,
        db: Option<usize>,
        key: usize,
        words: impl IntoIterator<Item = Word<'w>>,
    ) {
        self.told = true;
        for word in words {
            match word {
                Word::Bytes(bytes) => self.calls.add_bytes(bytes),
                Word::Int(value) => self.calls.add_bytes(Decimal::signed(value).as_bytes()),
            }
        }
        self.calls.end();
        self.places.push((db, key));
    }
}

/// A word of a call.
#[derive(Clone, Copy)]
pub enum Word<'a> {
    Bytes(&'a [u8]),
    Int(i64),
}

impl<'a> From<&'a [u8]> for Word<'a> {
    fn from(bytes: &'a [u8]) -> Word<'a> {
        Word::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Word<'a> {
    fn from(bytes: &'a [u8; N]) -> Word<'a> {
        Word::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Word<'a> {
    fn from(bytes: &'a Vec<u8>) -> Word<'a> {
        Word::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Word<'a> {
    fn from(text: &'a str) -> Word<'a> {
        Word::Bytes(text.as_bytes())
    }
}

impl From<i64> for Word<'_> {
    fn from(value: i64) -> Self {
        Word::Int(value)
    }
}
