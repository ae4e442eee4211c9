//! Log lines in Redis's form, to standard output or to `logfile`.
//!
//! The file is opened for each line, so that it can be renamed at any time and the next line starts
//! a new one. Lines are few at every level that a server runs at.

use crate::config::{Config, LogLevel};
use log::{Level, LevelFilter};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, RwLock};

static FILE: OnceLock<RwLock<Option<PathBuf>>> = OnceLock::new();

fn file() -> &'static RwLock<Option<PathBuf>> {
    FILE.get_or_init(RwLock::default)
}

/// Starts logging as the configuration says. `RUST_LOG` adds to it, for our own modules. Fails if
/// the log file cannot be opened.
pub fn start(config: &Config) -> Result<(), String> {
    set(config);
    if let Some(path) = config.logfile() {
        open(path).map_err(|e| format!("Can't open the log file {}: {e}", path.display()))?;
    }
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Trace);
    if let Ok(filters) = std::env::var("RUST_LOG") {
        builder.parse_filters(&filters);
    }
    builder
        .filter_module("glommio", LevelFilter::Warn)
        .target(env_logger::Target::Pipe(Box::new(Sink)))
        .format(|out, record| {
            let mark = match record.level() {
                Level::Error | Level::Warn => '#',
                Level::Info => '*',
                Level::Debug => '-',
                Level::Trace => '.',
            };
            let pid = std::process::id();
            writeln!(out, "{pid}:M {} {mark} {}", timestamp(), record.args())
        });
    let logger = builder.build();
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level(config));
    }
    Ok(())
}

/// Has a panic on any thread reported in the log and end the process: with a shard gone, nothing
/// that the server would answer could be trusted.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let trace = std::backtrace::Backtrace::force_capture();
        let version = env!("CARGO_PKG_VERSION");
        let report = format!(
            "Shoal {version} has crashed: this is a bug. Thread '{name}', {info}\n{trace}\n\
             End of the crash report. Please send it to the authors."
        );
        log::error!("{report}");
        if log::max_level() == LevelFilter::Off || has_file() {
            eprintln!("{report}");
        }
        std::process::abort();
    }));
}

fn has_file() -> bool {
    file().read().unwrap_or_else(|e| e.into_inner()).is_some()
}

/// Follows a change of `loglevel` or `logfile`.
pub fn set(config: &Config) {
    // By its full name: CONFIG SET dir changes the directory later.
    let path = config
        .logfile()
        .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.into()));
    *file().write().unwrap_or_else(|e| e.into_inner()) = path;
    log::set_max_level(level(config));
}

fn level(config: &Config) -> LevelFilter {
    match config.loglevel() {
        LogLevel::Debug => LevelFilter::Trace,
        LogLevel::Verbose => LevelFilter::Debug,
        LogLevel::Notice => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
        LogLevel::Nothing => LevelFilter::Off,
    }
}

/// Where lines go.
struct Sink;

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let path = file().read().unwrap_or_else(|e| e.into_inner());
        match &*path {
            None => std::io::stdout().write(line),
            Some(path) => open(path)?.write(line),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// Local time, `23 Nov 2026 14:18:11.042`.
fn timestamp() -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = now.as_secs() as libc::time_t;
    // SAFETY: both pointers are valid; the result is a plain struct of integers.
    let t = unsafe {
        let mut t: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut t);
        t
    };
    format!(
        "{:02} {} {} {:02}:{:02}:{:02}.{:03}",
        t.tm_mday,
        MONTHS.get(t.tm_mon as usize).unwrap_or(&"?"),
        t.tm_year + 1900,
        t.tm_hour,
        t.tm_min,
        t.tm_sec,
        now.subsec_millis()
    )
}
