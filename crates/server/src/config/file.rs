//! Reading configuration: files with their includes, standard input, and the command line.
//!
//! Sources are read in that order, a later directive replacing an earlier one, except for those
//! that accumulate. A source is taken line by line; each line changes the [`Config`] at once, so
//! that the first bad line ends the reading and is the one reported. `dir` moves the place from
//! which later relative includes are sought, as it moves the whole process in Redis.
//!
//! Nothing here is put into effect: no directory is entered and no file but configuration opened.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Config;
use super::error::{LoadError, Origin, Source};
use super::kind::{Mode, Reason, Value};
use super::table::{self, OBSOLETE};
use super::words;

/// How deep includes may go, how many files may be read, and how long each may be: enough for
/// anything sane, and an end to what is not.
const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 1000;
const MAX_BYTES: u64 = 16 << 20;

/// One pass over all sources.
pub(super) struct Reader<'a> {
    config: &'a mut Config,
    /// Where relative includes are sought: empty, or where `dir` has led.
    base: PathBuf,
    /// Files that are being read, outermost first, as the file system names them.
    open: Vec<PathBuf>,
    files: usize,
    /// Whether a `save` line has been seen: the first one replaces the default points.
    saved: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(config: &'a mut Config) -> Self {
        Reader {
            config,
            base: PathBuf::new(),
            open: Vec::new(),
            files: 0,
            saved: false,
        }
    }

    /// Reads one file; `included` is the line that names it, if a line does.
    pub(super) fn file(&mut self, path: &Path, included: Option<&Origin>) -> Result<(), LoadError> {
        let unreadable = |error: io::Error| LoadError::Open {
            path: path.to_path_buf(),
            error,
            included: included.cloned(),
        };
        let file = File::open(path).map_err(unreadable)?;
        let text = read_bounded(file).map_err(unreadable)?;
        self.open.push(path.canonicalize().map_err(unreadable)?);
        self.text(&text, Source::File(Arc::new(path.to_path_buf())))?;
        self.open.pop();
        Ok(())
    }

    pub(super) fn stdin(&mut self, stdin: impl Read) -> Result<(), LoadError> {
        let text = read_bounded(stdin).map_err(|error| LoadError::Open {
            path: PathBuf::from("standard input"),
            error,
            included: None,
        })?;
        self.text(&text, Source::Stdin)
    }

    fn text(&mut self, text: &[u8], source: Source) -> Result<(), LoadError> {
        for (index, line) in text.split(|&b| b == b'\n').enumerate() {
            let line = words::trim(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let origin = Origin {
                source: source.clone(),
                line: index + 1,
                text: String::from_utf8_lossy(line).into_owned(),
            };
            if line.contains(&0) {
                return Err(LoadError::at(origin, "a NUL byte in a configuration line"));
            }
            let Some(words) = words::split(line) else {
                let reason = "Unbalanced quotes in configuration line";
                return Err(LoadError::at(origin, reason));
            };
            self.directive(words, origin)?;
        }
        Ok(())
    }

    /// Takes in one directive: its name and its arguments.
    pub(super) fn directive(
        &mut self,
        mut words: Vec<Vec<u8>>,
        origin: Origin,
    ) -> Result<(), LoadError> {
        if words.is_empty() {
            return Ok(());
        }
        let name = words.remove(0).to_ascii_lowercase();
        let taken = match table::find(&name) {
            Some(row) => {
                // All of several words may stand in one, in quotes.
                if let [word] = &words[..]
                    && table::DIRECTIVES[row].kind.takes_words()
                    && let Some(parts) = words::split(word).filter(|parts| !parts.is_empty())
                {
                    words = parts;
                }
                self.assign(row, &words, &origin)
            }
            None => self.structural(&name, words, &origin)?,
        };
        taken.map_err(|reason| LoadError::at(origin, reason))
    }

    fn assign(&mut self, row: usize, words: &[Vec<u8>], origin: &Origin) -> Result<(), Reason> {
        let mode = match row == SAVE && self.saved {
            true => Mode::Accumulate,
            false => Mode::Replace,
        };
        self.config.assign(row, words, mode)?;
        self.saved |= row == SAVE;
        if row == DIR {
            self.enter_dir();
        }
        self.config.origins[row] = Some(origin.clone());
        Ok(())
    }

    /// Makes the `dir` just read relative to the one before, as changing directories does.
    fn enter_dir(&mut self) {
        self.base.push(self.config.dir());
        let dir = self.base.as_os_str().as_bytes().to_vec();
        self.config.values[DIR] = Value::Text(dir);
    }

    /// Directives that have no value to show or set. The outer error is final as it stands; the
    /// inner one still lacks its place.
    fn structural(
        &mut self,
        name: &[u8],
        mut words: Vec<Vec<u8>>,
        origin: &Origin,
    ) -> Result<Result<(), Reason>, LoadError> {
        let unknown = "Bad directive or wrong number of arguments";
        let obsolete = OBSOLETE.iter().any(|known| known.as_bytes() == name);
        match (name, words.as_mut_slice()) {
            (b"include", [pattern]) => {
                let pattern = std::mem::take(pattern);
                return self.include(&pattern, origin);
            }
            (b"rename-command", [from, to]) => self.config.renames.push(Rename {
                from: std::mem::take(from),
                to: std::mem::take(to),
                origin: origin.clone(),
            }),
            (b"user", [_, ..]) => self.config.users.push(User {
                words,
                origin: origin.clone(),
            }),
            (b"loadmodule", [_, ..]) => return Ok(Err("Shoal cannot load modules".into())),
            (b"sentinel", _) => {
                return Ok(Err("sentinel directive while not in sentinel mode".into()));
            }
            (_, [_]) if obsolete => {
                let name = String::from_utf8_lossy(name);
                let notice = format!("{origin}: '{name}' is obsolete and has no effect");
                self.config.obsolete.push(notice);
            }
            _ => return Ok(Err(unknown.into())),
        }
        Ok(Ok(()))
    }

    fn include(
        &mut self,
        pattern: &[u8],
        origin: &Origin,
    ) -> Result<Result<(), Reason>, LoadError> {
        let pattern = self.base.join(OsStr::from_bytes(pattern));
        for path in matching_files(&pattern) {
            let known = path.canonicalize().ok();
            if known.is_some_and(|path| self.open.contains(&path)) {
                let path = path.display();
                return Ok(Err(format!("'{path}' includes itself").into()));
            }
            self.files += 1;
            if self.open.len() >= MAX_DEPTH || self.files > MAX_FILES {
                let reason = format!(
                    "includes go deeper than {MAX_DEPTH} files, or to more than {MAX_FILES}"
                );
                return Ok(Err(reason.into()));
            }
            self.file(&path, Some(origin))?;
        }
        Ok(Ok(()))
    }
}

const SAVE: usize = table::row_of("save");
const DIR: usize = table::row_of("dir");

/// A `rename-command` line. An empty `to` removes the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    pub from: Vec<u8>,
    pub to: Vec<u8>,
    pub origin: Origin,
}

/// A `user` line: the name and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub words: Vec<Vec<u8>>,
    pub origin: Origin,
}

fn read_bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let reason = format!("longer than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(text)
}

/// The files that `pattern` stands for, sorted. A path without `*`, `?` and `[` stands for itself,
/// whether or not it exists; a pattern may well stand for none.
fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    if !is_pattern(pattern.as_os_str()) {
        return vec![pattern.to_path_buf()];
    }
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        found = match component {
            Component::Normal(part) if is_pattern(part) => {
                found.iter().flat_map(|dir| entries(dir, part)).collect()
            }
            part => found.iter().map(|dir| dir.join(part)).collect(),
        };
    }
    found.retain(|path| path.exists());
    found
}

fn is_pattern(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|b| b"*?[".contains(b))
}

/// Entries of `dir` that match `pattern`, sorted; those that start with a dot only if it does.
fn entries(dir: &Path, pattern: &OsStr) -> Vec<PathBuf> {
    let listed = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    let pattern = pattern.as_bytes();
    let fits = |name: &[u8]| {
        let shown = !name.starts_with(b".") || pattern.starts_with(b".");
        shown && store::glob::matches(pattern, name, false)
    };
    let mut found: Vec<PathBuf> = listed
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| fits(name.as_bytes()))
        .map(|name| dir.join(name))
        .collect();
    found.sort();
    found
}
