//! Where a directive was written, and what can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::kind::Reason;

/// Where a text of configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(Arc<PathBuf>),
    Stdin,
    CommandLine,
}

/// The place of one directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub source: Source,
    /// Counted from 1; on the command line, the how-manieth directive it is.
    pub line: usize,
    /// The line without blanks around it, or the option with its values.
    pub text: String,
}

/// As a log line names the place: `redis.conf:12`, `standard input:3`, `command line`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.source {
            Source::File(path) => write!(f, "{}:{}", path.display(), self.line),
            Source::Stdin => write!(f, "standard input:{}", self.line),
            Source::CommandLine => write!(f, "command line"),
        }
    }
}

/// Why the server cannot start with this configuration.
#[derive(Debug)]
pub enum LoadError {
    /// A configuration file cannot be read.
    Open {
        path: PathBuf,
        error: std::io::Error,
        /// The `include` line that names the file.
        included: Option<Origin>,
    },
    /// A directive is unknown, malformed, or names what is not to be had.
    Line { origin: Origin, reason: Reason },
}

impl LoadError {
    /// What is wrong with the directive at `origin`.
    pub fn at(origin: Origin, reason: impl Into<Reason>) -> LoadError {
        LoadError::Line {
            origin,
            reason: reason.into(),
        }
    }
}

/// The report for the console, of several lines.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        writeln!(f, "\n*** FATAL CONFIG FILE ERROR (Shoal {version}) ***")?;
        match self {
            LoadError::Open {
                path,
                error,
                included,
            } => {
                if let Some(origin) = included {
                    write_place(f, origin)?;
                }
                let path = path.display();
                write!(f, "can't open config file '{path}': {error}")
            }
            LoadError::Line { origin, reason } => {
                write_place(f, origin)?;
                write!(f, "{reason}")
            }
        }
    }
}

fn write_place(f: &mut fmt::Formatter, origin: &Origin) -> fmt::Result {
    let line = origin.line;
    match &origin.source {
        Source::File(path) => writeln!(
            f,
            "Reading the configuration file, at line {line} of {}",
            path.display()
        )?,
        Source::Stdin => writeln!(f, "Reading the configuration from stdin, at line {line}")?,
        Source::CommandLine => writeln!(f, "Reading the command line")?,
    }
    writeln!(f, ">>> '{}'", origin.text)
}

impl std::error::Error for LoadError {}

/// Why CONFIG SET changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// No directive has this name.
    Unknown { name: Vec<u8> },
    /// A value was refused, or a directive may not change now.
    Refused { name: Vec<u8>, reason: Reason },
}

impl SetError {
    /// For whoever puts a value into effect and fails.
    pub fn refused(name: impl Into<Vec<u8>>, reason: impl Into<Reason>) -> SetError {
        SetError::Refused {
            name: name.into(),
            reason: reason.into(),
        }
    }

    /// The error reply, without the leading `-`. It holds the client's bytes: line ends in it are
    /// for the reply's encoder to replace.
    pub fn message(&self) -> Vec<u8> {
        match self {
            SetError::Unknown { name } => {
                let start = b"ERR Unknown option or number of arguments for CONFIG SET - '";
                [start, name.as_slice(), b"'"].concat()
            }
            SetError::Refused { name, reason } => [
                b"ERR CONFIG SET failed (possibly related to argument '",
                name.as_slice(),
                b"') - ",
                reason.as_bytes(),
            ]
            .concat(),
        }
    }
}

/// Why CONFIG REWRITE left the file as it was.
#[derive(Debug)]
pub enum RewriteError {
    /// The server was started without a configuration file.
    NoFile,
    Io(std::io::Error),
}

/// The error reply, without the leading `-`.
impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            RewriteError::NoFile => write!(f, "ERR The server is running without a config file"),
            RewriteError::Io(error) => {
                let text = error.to_string();
                // Redis has the system's words alone.
                let words = text.split(" (os error").next().unwrap_or_default();
                write!(f, "ERR Rewriting config file: {words}")
            }
        }
    }
}

impl std::error::Error for RewriteError {}
