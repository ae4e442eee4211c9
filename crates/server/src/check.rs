//! `shoal check rdb|aof FILE`: reads a dump, or an append-only log, as the server would, and tells what is in it or
//! what is wrong with it.

use persist::append::scan::Scanner;
use persist::append::{self, Names};
use persist::format::Dialect;
use persist::reader::is_dump;
use persist::storage::Disk;
use persist::{Event, Reader};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use store::Limits;

/// How the tool is called.
const USAGE: &str = "usage: shoal check rdb FILE\n       shoal check aof [--fix] FILE";

/// What a call of the tool comes to: a text for the user, as an error if the file is not good. Nothing if
/// these arguments are not a call of it; a configuration file of that name is `./check`.
pub fn run(args: &[OsString]) -> Option<Result<String, String>> {
    let (first, rest) = args.split_first()?;
    if first != "check" {
        return None;
    }
    Some(match rest {
        [kind, file] if kind == "rdb" => dump(Path::new(file)),
        [kind, file] if kind == "aof" && file != "--fix" => aof(Path::new(file), false),
        [kind, fix, file] if kind == "aof" && fix == "--fix" => aof(Path::new(file), true),
        [kind, _] => Err(format!("no check of {} here\n{USAGE}", kind.display())),
        _ => Err(USAGE.to_owned()),
    })
}

/// Reads a manifest and all its files, or one file of commands; `fix` cuts off what is damaged.
fn aof(path: &Path, fix: bool) -> Result<String, String> {
    let shown = path.display();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(prefix) = name.strip_suffix(".manifest") else {
        return part(path, fix);
    };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let disk = Disk::new(parent.unwrap_or(Path::new(".")).into());
    let manifest = append::manifest(&disk, &Names::new(prefix)).map_err(|e| e.to_string())?;
    let manifest = manifest.ok_or_else(|| format!("{shown}: there is no such file"))?;
    let mut text = String::new();
    let mut files = manifest.base.iter().chain(&manifest.increments).peekable();
    while let Some(file) = files.next() {
        // Only the end of the last one may be cut off.
        let fix = fix && files.peek().is_none();
        let told = part(&disk.path(&append::name_of(file)), fix)?;
        let _ = writeln!(text, "{told}\n");
    }
    let _ = write!(text, "{shown}: all its files are good.");
    Ok(text)
}

/// Reads one file of a log.
fn part(path: &Path, fix: bool) -> Result<String, String> {
    let shown = path.display();
    let told = |e: io::Error| format!("{shown}: {e}");
    let mut file = File::open(path).map_err(told)?;
    let size = file.metadata().map_err(told)?.len();
    let (mut text, mut start) = (String::new(), 0);
    if is_dump(&file).map_err(told)? {
        let (facts, end) = read_dump(path)?;
        if end == size {
            return Ok(facts);
        }
        // Commands may stand behind a dump.
        (text, start) = (facts + "\n", end);
    }
    file.seek(SeekFrom::Start(start)).map_err(told)?;
    let mut scanner = Scanner::new(file, start);
    let (mut units, mut commands) = (0u64, 0);
    let damage = loop {
        match scanner.unit().map_err(told)? {
            Ok(Some(unit)) => {
                units += 1;
                commands += unit.count;
            }
            Ok(None) => break None,
            Err(damage) => break Some(damage),
        }
    };
    let blocks = scanner.blocks();
    let facts = format!(
        "commands: {commands}, in {units} transactions, blocks and single commands\nblocks with a checksum: \
         {blocks}\n"
    );
    text += &facts;
    let Some(damage) = damage else {
        let _ = write!(text, "bytes: {size}\n{shown} is good.");
        return Ok(text);
    };
    let behind = scanner.behind().map_err(told)?;
    let dropped = size - damage.at;
    let mut what = format!(
        "{shown} is damaged {damage}\n{dropped} of {size} bytes stand behind that, with {} whole blocks",
        behind.blocks
    );
    if behind.durable > damage.at {
        what += "\nA later block shows that what is damaged was durable, and so acknowledged.";
    }
    if !fix {
        return Err(format!("{text}{what}"));
    }
    let file = OpenOptions::new().write(true).open(path).map_err(told)?;
    file.set_len(damage.at).map_err(told)?;
    file.sync_all().map_err(told)?;
    let _ = write!(
        text,
        "{what}\n{shown} was cut off there: it has {} bytes now.",
        damage.at
    );
    Ok(text)
}

#[derive(Default)]
struct Found {
    facts: String,
    keys: u64,
    volatile: u64,
    expired: u64,
    functions: u64,
    databases: HashSet<u64>,
    /// By the names that TYPE answers.
    types: BTreeMap<&'static str, u64>,
}

fn dump(path: &Path) -> Result<String, String> {
    read_dump(path).map(|(facts, _)| facts)
}

/// What a dump has, and where it ends.
fn read_dump(path: &Path) -> Result<(String, u64), String> {
    let shown = path.display();
    let file = File::open(path).map_err(|e| format!("{shown}: {e}"))?;
    let mut reader = Reader::new(file, Limits::DEFAULT).map_err(|e| format!("{shown}: {e}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.unwrap_or_default().as_millis() as i64;
    let mut found = Found::default();
    let version = reader.version();
    let server = match version.dialect() {
        Dialect::Redis => "Redis",
        Dialect::Valkey => "Valkey",
    };
    let _ = writeln!(
        found.facts,
        "version of the format: {} ({server})",
        version.number()
    );
    let mut last = Vec::new();
    loop {
        let at = reader.position();
        match reader.next() {
            Ok(None) => break,
            Ok(Some(event)) => found.note(event, now_ms, &mut last),
            Err(e) => {
                let last = String::from_utf8_lossy(&last).into_owned();
                let name = String::from_utf8_lossy(reader.reading()).into_owned();
                let reading = match name == last {
                    true => String::new(),
                    false => format!("\nin or behind key {name:?}"),
                };
                return Err(format!(
                    "{shown} is damaged: {e}\n\
                     between bytes {at} and {}, behind {} good keys, the last of which is {last:?}{reading}",
                    reader.position(),
                    found.keys
                ));
            }
        }
    }
    let Found {
        mut facts,
        keys,
        volatile,
        expired,
        functions,
        databases,
        types,
    } = found;
    let types = types.iter().map(|(name, keys)| format!(" {name} {keys}"));
    let types: String = types.collect();
    let _ = write!(
        facts,
        "keys: {keys}, in {} databases\nby type:{types}\nwith an expiry: {volatile}, expired: {expired}\n\
         without elements, left out: {}\nfunction libraries: {functions}\nbytes: {}\n{shown} is good.",
        databases.len(),
        reader.skipped(),
        reader.position()
    );
    Ok((facts, reader.position()))
}

impl Found {
    fn note(&mut self, event: Event<'_>, now_ms: i64, last: &mut Vec<u8>) {
        match event {
            Event::Aux { name, value } => {
                let (name, value) = (
                    String::from_utf8_lossy(name),
                    String::from_utf8_lossy(value),
                );
                let (name, value) = (name.escape_debug(), value.escape_debug());
                let _ = writeln!(self.facts, "{name}: {value}");
            }
            Event::Function(_) => self.functions += 1,
            Event::Key(entry) => {
                self.keys += 1;
                self.volatile += u64::from(entry.expiry.is_some());
                self.expired += u64::from(entry.expiry.is_some_and(|at| at < now_ms));
                self.databases.insert(entry.db);
                let name = entry.value.value_type().name();
                *self.types.entry(name).or_default() += 1;
                last.clear();
                last.extend_from_slice(entry.key);
            }
            Event::Select(_) | Event::Resize { .. } | Event::Slot { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use persist::encode::Compression;
    use persist::{Encoder, Writer};
    use store::Shard;
    use store::entry::NewValue;
    use store::shard::{Expiry, Look};

    fn called(args: &[&str]) -> Option<Result<String, String>> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        run(&args)
    }

    #[test]
    fn only_its_own_calls_are_taken() {
        assert!(called(&[]).is_none());
        assert!(called(&["./check", "rdb", "x"]).is_none());
        assert!(called(&["redis.conf"]).is_none());
        assert_eq!(called(&["check"]), Some(Err(USAGE.to_owned())));
        let other = called(&["check", "conf", "x"]).and_then(Result::err);
        assert!(other.is_some_and(|why| why.contains("no check of conf")));
    }

    #[test]
    fn a_good_dump_is_told_and_a_damaged_one_is_found() {
        let mut shard = Shard::new(1, [1, 2, 3, 4]);
        shard.set_now(1000);
        let key = shard.key(b"name");
        shard.set(0, key, NewValue::Bytes(b"value"), None, Expiry::At(5000));
        let mut encoder = Encoder::new(Compression::None);
        encoder.aux("redis\u{1b}-ver", b"7");
        encoder.select(0);
        let item = shard.look(0, key, Look::Peek).expect("it is there");
        encoder.key(&item, None);
        let chunk = encoder.take();
        let mut writer = Writer::new(Vec::new(), chunk.version).expect("a vector takes all");
        writer.chunk(&chunk).expect("a vector takes all");
        let good = writer.finish().expect("a vector takes all");
        let path = std::env::temp_dir().join(format!("shoal-check-{}", std::process::id()));
        let check = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("it can be written");
            dump(&path)
        };
        let told = check(&good).expect("it is good");
        assert!(
            told.contains("redis\\u{1b}-ver: 7\nkeys: 1, in 1 databases\nby type: string 1\n"),
            "{told}"
        );
        assert!(told.contains("with an expiry: 1, expired: 1"), "{told}");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            // What the header says of the version is not summed up by older ones.
            assert!(check(&bad).is_err(), "byte {at}");
            assert!(check(&good[..at]).is_err(), "{at} bytes");
        }
        let _ = std::fs::remove_file(&path);
    }
}
