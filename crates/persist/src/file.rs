//! A dump as a file: written under a name that does not count, and given its own when all of it is durable. So
//! after any loss of power there is the old one or the new one, as a whole.

use crate::encode::Chunk;
use crate::storage::{Appending, Storage};
use crate::writer::{self, Writer};
use std::io;
use std::sync::Arc;

/// Bytes after which the file is synced, so that there is not all to be done at the end.
const SYNC_EVERY: u64 = 32 << 20;

/// The end of a file, which is synced now and then.
pub(crate) struct Tail {
    file: Box<dyn Appending>,
    /// Bytes since it was synced last.
    unsynced: u64,
}

impl Tail {
    pub(crate) fn new(file: Box<dyn Appending>) -> Tail {
        Tail { file, unsynced: 0 }
    }

    pub(crate) fn append(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        self.file.append(pieces)?;
        self.unsynced += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if self.unsynced >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        self.file.sync()
    }
}

impl io::Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(&[bytes])?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See the module.
pub struct DumpFile {
    storage: Arc<dyn Storage>,
    name: String,
    writer: Writer<Tail>,
    /// The version that it says at its beginning, and the oldest that knows everything in it.
    said: u32,
    version: u32,
}

impl DumpFile {
    /// Begins a file that has been created under a name that does not count, as one of this version.
    pub fn begin(
        storage: Arc<dyn Storage>,
        name: &str,
        file: Box<dyn Appending>,
        version: u32,
    ) -> io::Result<DumpFile> {
        Ok(DumpFile {
            storage,
            name: name.to_owned(),
            writer: Writer::new(Tail::new(file), version)?,
            said: version,
            version,
        })
    }

    pub fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        self.version = self.version.max(chunk.version);
        self.writer.chunk(chunk)
    }

    /// Ends the file, which is durable then.
    pub fn finish(self) -> io::Result<()> {
        let mut end = self.writer.finish_as(self.version)?;
        if self.version != self.said {
            self.storage
                .write_first(&self.name, &writer::header(self.version))?;
        }
        end.sync()
    }
}

/// Gives a file that is finished its name, durably.
pub fn install(storage: &dyn Storage, temporary: &str, name: &str) -> io::Result<()> {
    storage.rename(temporary, name)?;
    storage.sync_names()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Compression;
    use crate::simulated::{Dice, Planted, Simulated, scaled};
    use crate::{Encoder, Event, Reader};
    use std::io::Read;
    use store::Limits;

    /// What a history is to be like.
    #[derive(Clone, Copy, Default)]
    struct Plan {
        planted: Planted,
        /// Flips bits of what was found.
        flips: bool,
    }

    const NAME: &str = "dump.rdb";
    const TEMPORARY: &str = "temp-1.rdb";

    /// A dump whose number is in it, and its bytes if nothing goes wrong.
    fn save(disk: &Simulated, number: u64, dice: &mut Dice) -> io::Result<()> {
        let file = disk.create(TEMPORARY)?;
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let mut encoder = Encoder::new(Compression::None);
        encoder.aux("number", number.to_string().as_bytes());
        let mut dump = DumpFile::begin(storage, TEMPORARY, file, 7)?;
        for _ in 0..dice.below(5) {
            dump.chunk(&encoder.take())?;
            encoder.aux("filler", &vec![b'x'; dice.below(1500) as usize]);
        }
        if dice.chance(50) {
            // Only a later version knows functions.
            encoder.function(b"code");
        }
        dump.chunk(&encoder.take())?;
        dump.finish()?;
        install(disk, TEMPORARY, NAME)
    }

    /// The number of the dump that is there; 0 without one.
    fn found(disk: &Simulated) -> Result<u64, String> {
        if !disk.exists(NAME).map_err(|e| e.to_string())? {
            return Ok(0);
        }
        let mut content = Vec::new();
        let mut file = disk.read(NAME).map_err(|e| e.to_string())?;
        file.read_to_end(&mut content).map_err(|e| e.to_string())?;
        let mut number = None;
        let reader = Reader::new(&content[..], Limits::DEFAULT);
        let mut reader = reader.map_err(|e| e.to_string())?;
        while let Some(event) = reader.next().map_err(|e| e.to_string())? {
            if let Event::Aux {
                name: b"number",
                value,
            } = event
            {
                number = std::str::from_utf8(value).ok().and_then(|n| n.parse().ok());
            }
        }
        number.ok_or_else(|| "no number".to_owned())
    }

    fn history(seed: u64, plan: Plan) -> Result<(), String> {
        let mut dice = Dice::new(seed);
        let mut disk = Simulated::new(plan.planted);
        let (mut acknowledged, mut begun) = (0, 0);
        for _ in 0..3 {
            disk.power_for(2 + dice.below(60));
            while disk.has_power() {
                if dice.chance(5) {
                    disk.fail_once();
                }
                begun += 1;
                if save(&disk, begun, &mut dice).is_ok() {
                    acknowledged = begun;
                }
            }
            disk = disk.after_loss(&mut dice);
            if plan.flips && disk.flip(NAME, &mut dice) {
                return match found(&disk) {
                    Err(_) => Ok(()),
                    Ok(number) => Err(format!("{number} was read although it is damaged")),
                };
            }
            let number = found(&disk)?;
            if !(acknowledged..=begun).contains(&number) {
                return Err(format!("{number} of {acknowledged} to {begun}"));
            }
            (acknowledged, begun) = (number, begun.max(number));
        }
        Ok(())
    }

    fn histories(count: u64, plan: Plan) -> Result<(), String> {
        let histories = (0..count).map(|seed| (seed, history(seed, plan)));
        let mut failed = histories.filter_map(|(seed, outcome)| Some((seed, outcome.err()?)));
        match failed.next() {
            None => Ok(()),
            Some((seed, why)) => Err(format!("seed {seed}: {why}")),
        }
    }

    #[test]
    fn the_old_dump_or_the_new_one_is_there() {
        let count = scaled(2000);
        assert_eq!(histories(count, Plan::default()), Ok(()));
        let flips = Plan {
            flips: true,
            ..Plan::default()
        };
        assert_eq!(histories(count / 4, flips), Ok(()));
    }

    #[test]
    fn what_is_planted_is_caught() {
        for planted in [Planted::FileSync, Planted::NameSync] {
            let plan = Plan {
                planted,
                ..Plan::default()
            };
            assert!(histories(300, plan).is_err(), "{planted:?}");
        }
    }
}
