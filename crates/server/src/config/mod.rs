//! Configuration: every directive of Redis and Valkey, where it comes from and how it changes.
//!
//! ```text
//!   file, include ─┐
//!   standard input ├─ words ─ Kind::parse ─> Config ─> accessors: what the server reads
//!   command line  ─┘              ▲            │  ▲
//!                                 │            ▼  │
//!                      table (one row each)   CONFIG GET, SET, REWRITE
//! ```
//!
//! A directive is a row of [`table::DIRECTIVES`]: name, kind, default, when it may change, and
//! whether anything follows from it. All else walks the table. A [`Config`] holds one value per
//! row and is read through typed accessors ([`settings`]). It is plain data: whoever changes it
//! puts the change into effect, and to undo a change keeps a clone.
//!
//! To add a directive: write its row, an accessor, and the code that uses it; if it is `Supported`,
//! add it to `config/shoal.conf`.
//!
//! This module knows no sockets, no shards, no runtime and no logger. It opens configuration files
//! and nothing else.

#![forbid(unsafe_code)]

pub mod args;
pub mod error;
mod file;
pub mod kind;
mod rewrite;
mod set;
pub mod settings;
pub mod special;
pub mod table;
#[cfg(test)]
mod tests;
pub mod words;

use std::io::Read;
use std::path::{Path, PathBuf};

use args::CommandLine;
pub use error::{LoadError, Origin, RewriteError, SetError, Source};
use file::Reader;
pub use file::{Rename, User};
use kind::{Mode, Reason, Value};
pub use settings::{Access, BusyReplyScope, EvictionPolicy, LogLevel, PipelineOrder, Supervised};
pub use special::{ClientClass, OutputLimit, SavePoint};
use table::DIRECTIVES;
pub use table::{Change, Directive, Support};

/// A value for every directive, and where it was written.
#[derive(Clone, Debug)]
pub struct Config {
    /// A value of the row's kind for each row of the table.
    values: Vec<Value>,
    /// Where a row's value was last written, if it was.
    origins: Vec<Option<Origin>>,
    /// The configuration file, which CONFIG REWRITE rewrites.
    file: Option<PathBuf>,
    renames: Vec<Rename>,
    users: Vec<User>,
    /// Notices about obsolete directives.
    obsolete: Vec<String>,
}

/// Something that the log is to say of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    /// The server is not what the user takes it for: safe, replicated, on disk.
    pub grave: bool,
}

const EVERYBODY: &str =
    "Whoever may connect, and knows requirepass if there is one, may do everything";

/// Directives that are not to be ignored in passing, and what is the case instead of what they say.
const GRAVE: &[(&str, &str)] = &[
    ("aclfile", EVERYBODY),
    (
        "cluster-enabled",
        "This server is not part of any cluster and holds every slot's keys",
    ),
    (
        "replicaof",
        "This server is a primary: it copies no data and takes writes",
    ),
    (
        "tls-port",
        "Nobody listens there, and other ports are not encrypted",
    ),
];

impl Default for Config {
    fn default() -> Self {
        Config {
            values: DIRECTIVES.iter().map(Directive::default_value).collect(),
            origins: vec![None; DIRECTIVES.len()],
            file: None,
            renames: Vec::new(),
            users: Vec::new(),
            obsolete: Vec::new(),
        }
    }
}

impl Config {
    /// Reads what the command line names: a file, standard input, and its own directives, in this
    /// order. `stdin` is read only if asked for.
    pub fn load(line: &CommandLine, stdin: impl Read) -> Result<Config, LoadError> {
        let mut config = Config::default();
        let mut reader = Reader::new(&mut config);
        if let Some(path) = &line.file {
            reader.file(path, None)?;
        }
        if line.stdin {
            reader.stdin(stdin)?;
        }
        for (index, words) in line.directives.iter().enumerate() {
            let origin = Origin {
                source: Source::CommandLine,
                line: index + 1,
                text: args::shown(words),
            };
            reader.directive(words.clone(), origin)?;
        }
        // The server may change its directory later, and must still find the file.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        config.file = line.file.as_ref().map(absolute);
        Ok(config)
    }

    /// The configuration file, as an absolute path.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Where a directive was last written, for an error about its value: see [`LoadError::at`].
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.origins.get(table::find(name.as_bytes())?)?.as_ref()
    }

    /// `rename-command` lines, in order.
    pub fn renames(&self) -> &[Rename] {
        &self.renames
    }

    /// `user` lines, in order.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// Sets what the server itself has found out: the directory it is in, the number of clients
    /// that the system allows, the pid file's default. Checked like a value from a file.
    pub fn settle(&mut self, name: &str, value: &[u8]) -> Result<(), Reason> {
        let row = table::find(name.as_bytes()).ok_or("no such directive")?;
        self.assign(row, &set::words_of(&DIRECTIVES[row], value), Mode::Replace)
    }

    /// What the log is to say of the configuration: each directive that was written, differs from
    /// its default, and has no effect here.
    pub fn notices(&self) -> Vec<Notice> {
        let minor = |text| Notice { text, grave: false };
        let mut notices: Vec<Notice> = self.obsolete.iter().cloned().map(minor).collect();
        for (directive, origin) in DIRECTIVES.iter().zip(&self.origins) {
            if let (Some(origin), Some(mut notice)) = (origin, self.notice(directive)) {
                notice.text = format!("{origin}: {}", notice.text);
                notices.push(notice);
            }
        }
        if let Some(user) = self.users.first() {
            let origin = &user.origin;
            notices.push(Notice {
                text: format!(
                    "{origin}: 'user' has no effect here: there are no ACL users yet. {EVERYBODY}"
                ),
                grave: true,
            });
        }
        notices
    }

    /// What the log is to say of one directive, if it asks for something that it does not get.
    pub fn notice(&self, directive: &Directive) -> Option<Notice> {
        let row = table::find(directive.name.as_bytes())?;
        let value = &self.values[row];
        // Nothing is saved in any case.
        let is_none = matches!(value, Value::SavePoints(points) if points.is_empty());
        if is_none || *value == directive.default_value() {
            return None;
        }
        let text = directive.notice()?;
        let grave = GRAVE.iter().find(|(name, _)| *name == directive.name);
        Some(Notice {
            text: match grave {
                None => text,
                Some((_, instead)) => format!("{text}. {instead}"),
            },
            grave: grave.is_some(),
        })
    }

    fn assign(&mut self, row: usize, words: &[Vec<u8>], mode: Mode) -> Result<(), Reason> {
        let value = DIRECTIVES[row].kind.parse(words, &self.values[row], mode)?;
        self.values[row] = value;
        Ok(())
    }

    fn shown(&self, row: usize) -> Vec<u8> {
        DIRECTIVES[row].kind.format(&self.values[row])
    }
}

impl Directive {
    fn default_value(&self) -> Value {
        let words = set::words_of(self, self.default.as_bytes());
        let parsed = self.kind.parse(&words, &NO_VALUE, Mode::Replace);
        parsed.unwrap_or_else(|reason| panic!("default of {}: {reason}", self.name))
    }
}

/// What a default is read on top of: no limits for any class of clients.
const NO_VALUE: Value = Value::OutputLimits(
    [OutputLimit {
        hard: 0,
        soft: 0,
        soft_seconds: 0,
    }; 3],
);
