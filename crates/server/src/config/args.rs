//! The command line: `shoal [CONFIG-FILE] [--DIRECTIVE VALUE ...]`, as `redis-server` takes it.
//!
//! Redis's command line is not made of options in the usual sense: every `--name` is a directive,
//! what follows are its values, and a value may start with dashes too. So the arguments are walked
//! by Redis's rules first; only what is ours (`--help`, `--version`, `--check-config`) goes to
//! clap, which also knows the rest well enough to explain it.
//!
//! A `--` behind a directive that still lacks its first value is that value; `--save` alone is the
//! exception, and stands for `--save ''`. `-` is standard input: as the first argument, behind the
//! file, or as the last.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::words;

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    pub file: Option<PathBuf>,
    /// Whether standard input holds configuration.
    pub stdin: bool,
    /// Directives with their values, in order.
    pub directives: Vec<Vec<Vec<u8>>>,
}

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Start the server.
    Run(CommandLine),
    /// Read the configuration, say whether it is good, and end.
    CheckConfig(CommandLine),
}

/// Why there is nothing to start.
#[derive(Debug)]
pub enum ArgsError {
    /// A text for the user, an error or what `--help` and `--version` asked for.
    Clap(clap::Error),
    /// `--sentinel`.
    Sentinel,
}

impl ArgsError {
    /// Shows the text and ends the process: with 0 if the user asked for the text, else 1 or 2.
    pub fn exit(&self) -> ! {
        match self {
            ArgsError::Clap(error) => error.exit(),
            ArgsError::Sentinel => {
                eprintln!("{self}");
                std::process::exit(1)
            }
        }
    }
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ArgsError::Clap(error) => error.fmt(f),
            ArgsError::Sentinel => write!(
                f,
                "Shoal has no Sentinel mode: run redis-sentinel, which can watch Shoal too"
            ),
        }
    }
}

impl std::error::Error for ArgsError {}

/// Reads the arguments, without the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, ArgsError> {
    let (own, line) = split(args)?;
    let name = OsString::from("shoal");
    let matches = command()
        .try_get_matches_from([name].into_iter().chain(own))
        .map_err(ArgsError::Clap)?;
    Ok(match matches.get_flag("check-config") {
        true => Invocation::CheckConfig(line),
        false => Invocation::Run(line),
    })
}

/// Our own options, for clap to read and to explain.
pub fn command() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("shoal")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Redis-compatible in-memory server: one shard per core, io_uring, no fork.")
        .override_usage("shoal [CONFIG-FILE] [--DIRECTIVE VALUE ...] [-]")
        .after_help(EXPLANATION)
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .long("version")
                .short('v')
                .visible_short_alias('V')
                .action(ArgAction::Version)
                .help("Print the version"),
        )
        .arg(
            Arg::new("check-config")
                .long("check-config")
                .action(ArgAction::SetTrue)
                .help("Read the configuration, report what is wrong with it, and end"),
        )
        .arg(text("shards", "N", "Number of shards; 0: one per core"))
        .arg(text("port", "PORT", "Where to listen; 0: no TCP"))
        .arg(text("bind", "ADDRESS ...", "Addresses to listen on"))
}

const EXPLANATION: &str = "\
Every directive of a configuration file can be given as an option, those of redis.conf as well as
Shoal's own; it then goes before the file's. `-` reads configuration from standard input too.

Examples:
  shoal
  shoal /etc/redis/redis.conf
  shoal redis.conf --port 7000 --save '' --bind 127.0.0.1 -::1
  echo 'maxclients 100' | shoal -
  shoal check rdb dump.rdb        (reads a dump, and says what is in it or what is wrong)";

/// Options that are clap's wherever a directive's name could stand.
const OWN: &[&[u8]] = &[
    b"--help",
    b"-h",
    b"--version",
    b"-v",
    b"-V",
    b"--check-config",
];

/// Parts the arguments into clap's and the configuration's.
pub fn split(
    args: impl IntoIterator<Item = OsString>,
) -> Result<(Vec<OsString>, CommandLine), ArgsError> {
    let mut own = Vec::new();
    let mut line = CommandLine::default();
    // Whether the directive before has its first value, so that `--` starts another.
    let mut complete = true;
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let next = args.peek();
        let last = next.is_none();
        let at_start = line.directives.is_empty();
        let bytes = arg.as_bytes();
        if complete && OWN.contains(&bytes) {
            own.push(arg);
        } else if bytes == b"-" && !line.stdin && (at_start || last) {
            line.stdin = true;
        } else if at_start && line.file.is_none() && !bytes.starts_with(b"-") {
            // An empty name stands for none, as scripts with an unset variable have it.
            line.file = (!bytes.is_empty()).then(|| PathBuf::from(arg));
        } else if complete && let Some(name) = bytes.strip_prefix(b"--") {
            if name.eq_ignore_ascii_case(b"sentinel") {
                return Err(ArgsError::Sentinel);
            }
            // A single argument may hold the name and its values.
            let mut words = words::split(name).unwrap_or_else(|| vec![name.to_vec()]);
            let another = next.is_none_or(|next| next.as_bytes().starts_with(b"--"));
            if words.len() == 1 && another && name.eq_ignore_ascii_case(b"save") {
                words.push(Vec::new());
            }
            complete = words.len() != 1;
            line.directives.push(words);
        } else if let Some(directive) = line.directives.last_mut() {
            directive.push(arg.into_vec());
            complete = true;
        } else {
            line.directives.push(vec![arg.into_vec()]);
        }
    }
    Ok((own, line))
}

/// A directive of the command line, for messages.
pub(super) fn shown(words: &[Vec<u8>]) -> String {
    let mut out = String::from("--");
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let plain = |b: &u8| b.is_ascii_graphic() && !b"\"'\\".contains(b);
        match !word.is_empty() && word.iter().all(plain) {
            true => out.push_str(&String::from_utf8_lossy(word)),
            false => out.push_str(&String::from_utf8_lossy(&words::quote(word))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &[&str]) -> CommandLine {
        split(args.iter().map(OsString::from)).unwrap().1
    }

    #[track_caller]
    fn check(args: &[&str], file: Option<&str>, stdin: bool, directives: &[&[&str]]) {
        let line = line(args);
        let found: Vec<Vec<String>> = line
            .directives
            .iter()
            .map(|words| {
                words
                    .iter()
                    .map(|w| String::from_utf8(w.clone()).unwrap())
                    .collect()
            })
            .collect();
        assert_eq!(found, directives, "{args:?}");
        assert_eq!(line.file, file.map(PathBuf::from), "{args:?}");
        assert_eq!(line.stdin, stdin, "{args:?}");
    }

    #[test]
    fn directives_and_their_values() {
        check(&[], None, false, &[]);
        check(&["a.conf"], Some("a.conf"), false, &[]);
        check(&["--port", "7000"], None, false, &[&["port", "7000"]]);
        check(
            &["a.conf", "--save", "900", "1", "--save", "60", "10"],
            Some("a.conf"),
            false,
            &[&["save", "900", "1"], &["save", "60", "10"]],
        );
        check(&["--port 7000"], None, false, &[&["port", "7000"]]);
        check(
            &["--port 7000", "--timeout", "4"],
            None,
            false,
            &[&["port", "7000"], &["timeout", "4"]],
        );
        check(
            &["--bind", "1.2.3.4", "-::1"],
            None,
            false,
            &[&["bind", "1.2.3.4", "-::1"]],
        );
        check(&["--port", "1", "x"], None, false, &[&["port", "1", "x"]]);
        check(&["--"], None, false, &[&[]]);
        check(&["-p", "1"], None, false, &[&["-p", "1"]]);
        check(&["", "--port", "1"], None, false, &[&["port", "1"]]);
    }

    #[test]
    fn a_first_value_may_start_with_dashes() {
        check(
            &["--masterauth", "--x"],
            None,
            false,
            &[&["masterauth", "--x"]],
        );
        check(
            &["--masterauth", "--port", "3"],
            None,
            false,
            &[&["masterauth", "--port", "3"]],
        );
        check(
            &["--masterauth", "--help"],
            None,
            false,
            &[&["masterauth", "--help"]],
        );
    }

    #[test]
    fn save_alone_means_no_points() {
        check(&["--save", ""], None, false, &[&["save", ""]]);
        check(&["--save"], None, false, &[&["save", ""]]);
        check(
            &["--save", "--port", "1"],
            None,
            false,
            &[&["save", ""], &["port", "1"]],
        );
    }

    #[test]
    fn a_dash_is_standard_input() {
        check(&["-"], None, true, &[]);
        check(&["-", "--port", "1"], None, true, &[&["port", "1"]]);
        check(
            &["a.conf", "-", "--port", "1"],
            Some("a.conf"),
            true,
            &[&["port", "1"]],
        );
        check(
            &["a.conf", "--port", "1", "-"],
            Some("a.conf"),
            true,
            &[&["port", "1"]],
        );
        check(
            &["--bind", "-", "::1"],
            None,
            false,
            &[&["bind", "-", "::1"]],
        );
    }

    #[test]
    fn own_options_are_kept_apart() {
        let args = ["a.conf", "--check-config", "--port", "1"];
        let found = parse(args.iter().map(OsString::from)).unwrap();
        assert_eq!(
            found,
            Invocation::CheckConfig(line(&["a.conf", "--port", "1"]))
        );
        for (arg, part) in [
            ("--help", "--shards <N>"),
            ("-v", env!("CARGO_PKG_VERSION")),
        ] {
            let error = parse([OsString::from(arg)]).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        command().debug_assert();
    }

    #[test]
    fn sentinel_mode_is_refused() {
        let args = ["a.conf", "--sentinel"].map(OsString::from);
        assert!(matches!(parse(args), Err(ArgsError::Sentinel)));
    }
}
