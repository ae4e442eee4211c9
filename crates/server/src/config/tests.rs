//! The module as a whole: the table, files, CONFIG GET, SET and REWRITE.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::args::{self, CommandLine, Invocation};
use super::settings::read_all;
use super::table::{self, DIRECTIVES};
use super::*;

fn load(args: &[&str]) -> Result<Config, LoadError> {
    load_with(args, b"")
}

fn load_with(args: &[&str], stdin: &[u8]) -> Result<Config, LoadError> {
    let args = args.iter().map(OsString::from);
    let Ok(Invocation::Run(line)) = args::parse(args) else {
        panic!("arguments that start the server")
    };
    Config::load(&line, stdin)
}

/// Loads `text` as if it came by standard input.
fn read(text: &str) -> Result<Config, LoadError> {
    load_with(&["-"], text.as_bytes())
}

fn get(config: &Config, name: &str) -> String {
    let found = config.get(&[name.as_bytes()]);
    let [(_, value)] = found.as_slice() else {
        panic!("{name}: {found:?}")
    };
    String::from_utf8(value.clone()).unwrap()
}

/// CONFIG SET by a client that may change guarded directives; the names changed, or the error.
fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
    let pairs: Vec<(&[u8], &[u8])> = pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    match config.set(&pairs, true) {
        Ok(changed) => Ok(changed.into_iter().map(|row| row.name).collect()),
        Err(error) => Err(String::from_utf8(error.message()).unwrap()),
    }
}

/// A directory of its own for one test, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(test: &str) -> Dir {
        let name = format!("shoal-config-{}-{test}", std::process::id());
        let dir = Dir(std::env::temp_dir().join(name));
        fs::create_dir_all(&dir.0).unwrap();
        dir
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

mod the_table {
    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut names: Vec<&str> = DIRECTIVES
            .iter()
            .flat_map(|row| [Some(row.name), row.alias])
            .flatten()
            .collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for name in names {
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }

    /// Every value that is shown can be set, and is shown again as it was.
    #[test]
    fn every_default_reads_back() {
        let mut config = Config::default();
        for row in DIRECTIVES {
            let shown = get(&config, row.name);
            assert_eq!(
                set(&mut config, &[(row.name, &shown)]),
                Ok(vec![]),
                "{}",
                row.name
            );
            // Words may stand in quotes, all in the same.
            let plain = format!("{} {shown}", row.name);
            let quoted = format!("{} \"{shown}\"", row.name);
            let unset = row.name == "replicaof";
            let lines = [(plain, row.kind.takes_words()), (quoted, true)];
            for (line, _) in lines.into_iter().filter(|(_, is_read)| *is_read) {
                let read = read(if unset { "" } else { &line }).unwrap();
                assert_eq!(get(&read, row.name), shown, "{line}");
            }
        }
    }

    #[test]
    fn all_that_is_shown_can_be_set_at_once() {
        let mut config = Config::default();
        let shown = config.get(&[b"*"]);
        let pairs: Vec<(&[u8], &[u8])> = shown
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_slice()))
            .collect();
        let changed = config.set(&pairs, false).unwrap();
        assert!(changed.is_empty(), "{changed:?}");
    }

    #[test]
    fn accessors_fit_their_rows() {
        let read = read_all(&Config::default());
        for row in DIRECTIVES
            .iter()
            .filter(|row| row.support == Support::Supported)
        {
            assert!(
                read.contains(&row.name),
                "{} is supported, but not read",
                row.name
            );
        }
    }

    #[test]
    fn accessors_answer_what_was_set() {
        let config = load(&["--port", "7", "--maxmemory", "1gb", "--loglevel", "debug"]).unwrap();
        assert_eq!(config.port(), 7);
        assert_eq!(config.maxmemory(), 1 << 30);
        assert_eq!(config.loglevel(), LogLevel::Debug);
        assert_eq!(config.unixsocket(), None);
        assert_eq!(config.bind(), [b"*".to_vec(), b"-::*".to_vec()]);
        let limit = config.client_output_buffer_limit(ClientClass::PubSub);
        assert_eq!(
            (limit.hard, limit.soft, limit.soft_seconds),
            (32 << 20, 8 << 20, 60)
        );
        assert!(Access::Local.allows(true) && !Access::Local.allows(false));
    }
}

mod files {
    use super::*;

    #[test]
    fn our_own_is_the_defaults() {
        let path = root().join("config/shoal.conf");
        let config = load(&[path.to_str().unwrap()]).unwrap();
        for (row, directive) in DIRECTIVES.iter().enumerate() {
            let default = Config::default().values[row].clone();
            assert_eq!(config.values[row], default, "{}", directive.name);
            // Those for tests are nothing to users.
            let supported = directive.support == Support::Supported && !directive.hidden;
            assert_eq!(
                config.origins[row].is_some(),
                supported,
                "{}",
                directive.name
            );
        }
        assert_eq!(config.notices(), Vec::<Notice>::new());
    }

    /// Files of Redis and Valkey that this machine happens to have: Debian's package, and the
    /// servers that `bench/peers` brings.
    #[test]
    fn those_of_redis_and_valkey_are_read() {
        let mut places = vec![PathBuf::from("/etc/redis/redis.conf")];
        let mut dirs = vec![root().join("target/peers")];
        while let Some(dir) = dirs.pop() {
            for entry in dir.read_dir().into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_name().to_str() {
                    _ if entry.file_type().is_ok_and(|kind| kind.is_dir()) => dirs.push(path),
                    Some("redis.conf" | "valkey.conf") => places.push(path),
                    _ => {}
                }
            }
        }
        for path in places.iter().filter(|path| fs::File::open(path).is_ok()) {
            let config = load(&[path.to_str().unwrap()]).unwrap_or_else(|e| panic!("{e}"));
            assert!(config.daemonize(), "{}", path.display());
            assert_eq!(get(&config, "appendonly"), "no", "{}", path.display());
        }
    }

    #[test]
    fn lines_are_read_as_redis_reads_them() {
        let config = read("# comment\r\n\t PORT  7000\r\n\nrequirepass \"a \\x62\"\n").unwrap();
        assert_eq!(config.port(), 7000);
        assert_eq!(config.requirepass(), Some(&b"a b"[..]));
        assert_eq!(config.origin("port").unwrap().line, 2);
        assert_eq!(config.origin("timeout"), None);
    }

    #[test]
    fn the_last_line_counts_except_where_lines_accumulate() {
        let config = read("port 1\nport 2\nbind a b\nbind c\n").unwrap();
        assert_eq!(config.port(), 2);
        assert_eq!(get(&config, "bind"), "c");

        let points = |text: &str| get(&read(text).unwrap(), "save");
        assert_eq!(points(""), "3600 1 300 100 60 10000");
        assert_eq!(points("save 1 2"), "1 2");
        assert_eq!(points("save 1 2\nsave 3 4 5 6"), "1 2 3 4 5 6");
        assert_eq!(points("save '1 2'\nsave \"3 4 5 6\""), "1 2 3 4 5 6");
        assert_eq!(points("save 1 2\nsave ''"), "");
        assert_eq!(points("save 1 2\nsave ''\nsave 7 8"), "7 8");
        assert_eq!(points("save"), "");

        let config = read("client-output-buffer-limit pubsub 1kb 2 3").unwrap();
        let limits = get(&config, "client-output-buffer-limit");
        assert_eq!(
            limits,
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 1024 2 3"
        );
    }

    #[test]
    fn aliases_are_the_same_directive() {
        let config = read("slave-priority 7\nhash-max-ziplist-value 1kb").unwrap();
        assert_eq!(get(&config, "replica-priority"), "7");
        assert_eq!(get(&config, "hash-max-listpack-value"), "1024");
        assert_eq!(get(&config, "hash-max-ziplist-value"), "1024");
    }

    #[test]
    fn sources_go_in_order() {
        let dir = Dir::new("sources");
        let file = dir.write("a.conf", "port 1\ntimeout 1\nhz 11\nsave 1 1");
        let args = [&file, "-", "--port", "3", "--save", "3", "3"];
        let config = load_with(&args, b"port 2\ntimeout 2\nsave 2 2").unwrap();
        assert_eq!((config.port(), config.timeout(), config.hz()), (3, 2, 11));
        assert_eq!(get(&config, "save"), "1 1 2 2 3 3");
        assert_eq!(config.origin("port").unwrap().to_string(), "command line");
        assert_eq!(
            config.origin("timeout").unwrap().to_string(),
            "standard input:2"
        );
        assert_eq!(
            config.origin("hz").unwrap().to_string(),
            format!("{file}:3")
        );
        assert_eq!(config.file(), Some(Path::new(&file)));
    }

    #[test]
    fn includes() {
        let dir = Dir::new("includes");
        let at = dir.0.display();
        dir.write("b1.conf", "port 1\ntimeout 1");
        dir.write("b2.conf", "port 2");
        dir.write(".b3.conf", "port 3");
        let file = dir.write(
            "a.conf",
            &format!("hz 11\ninclude {at}/b*.conf\ntimeout 5\n"),
        );
        let config = load(&[&file]).unwrap();
        assert_eq!((config.port(), config.timeout(), config.hz()), (2, 5, 11));
        assert!(read(&format!("include {at}/none*.conf")).is_ok());

        let relative = format!("dir {at}\ninclude b1.conf\ninclude ./b?.conf");
        assert_eq!(read(&relative).unwrap().port(), 2);
        let config = read("dir /tmp\ndir a\n").unwrap();
        assert_eq!(config.dir(), Path::new("/tmp/a"));

        let error = read(&format!("\ninclude {at}/none.conf"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("stdin, at line 2\n>>> 'include {at}/none.conf'")));
        assert!(
            error.ends_with("none.conf': No such file or directory (os error 2)"),
            "{error}"
        );
    }

    #[test]
    fn includes_end() {
        let dir = Dir::new("cycles");
        let at = dir.0.display();
        let file = dir.write("a.conf", &format!("include {at}/a.conf"));
        let error = load(&[&file]).unwrap_err().to_string();
        assert!(error.ends_with("includes itself"), "{error}");

        for depth in 0..30 {
            let next = depth + 1;
            let line = format!("port {depth}\ninclude {at}/{next}.conf");
            dir.write(&format!("{depth}.conf"), &line);
        }
        let error = read(&format!("include {at}/0.conf"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("includes go deeper"), "{error}");
    }

    #[test]
    fn what_is_no_value_is_kept() {
        let config = read(concat!(
            "rename-command CONFIG \"\"\nuser bob on ~* +@all\n",
            "lua-replicate-commands yes\nport 5\n",
        ))
        .unwrap();
        assert_eq!(config.renames()[0].from, b"CONFIG");
        assert_eq!(config.renames()[0].to, b"");
        assert_eq!(config.users()[0].words.len(), 4);
        assert_eq!(config.users()[0].origin.line, 2);
        let notices = config.notices();
        assert_eq!(notices.len(), 2, "{notices:?}");
        assert!(notices[0].text.contains("obsolete"), "{notices:?}");
    }

    #[test]
    fn what_has_no_effect_is_said_once() {
        let config = read("io-threads 1\nio-threads 4\nio-threads 5\nhz 20").unwrap();
        let notices = config.notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        let text = &notices[0].text;
        assert!(
            text.starts_with("standard input:3: 'io-threads' has no effect here"),
            "{text}"
        );
        assert!(!notices[0].grave);
        assert_eq!(read("io-threads 1").unwrap().notices().len(), 0);
    }

    #[test]
    fn what_is_not_to_be_ignored_is_said_loudly() {
        let text = "tls-port 1\ncluster-enabled yes\nreplicaof h 1\naclfile f\n\
                    user u on";
        let notices = read(text).unwrap().notices();
        assert_eq!(notices.len(), 5, "{notices:?}");
        assert!(notices.iter().all(|n| n.grave), "{notices:?}");
        assert_eq!(read("tls-port 0").unwrap().notices(), []);
    }

    /// File text, line, and the reason given.
    #[test]
    fn mistakes_are_reported_with_their_place() {
        for (text, line, reason) in [
            ("nope", 1, "Bad directive or wrong number of arguments"),
            (
                "\n\nnope 1",
                3,
                "Bad directive or wrong number of arguments",
            ),
            ("include", 1, "Bad directive or wrong number of arguments"),
            ("user", 1, "Bad directive or wrong number of arguments"),
            (
                "rename-command GET",
                1,
                "Bad directive or wrong number of arguments",
            ),
            (
                "lua-replicate-commands",
                1,
                "Bad directive or wrong number of arguments",
            ),
            ("port \"5", 1, "Unbalanced quotes in configuration line"),
            ("port '5'6", 1, "Unbalanced quotes in configuration line"),
            ("port", 1, "wrong number of arguments"),
            ("port 1 2", 1, "wrong number of arguments"),
            ("port x", 1, "argument couldn't be parsed into an integer"),
            (
                "port 70000",
                1,
                "argument must be between 0 and 65535 inclusive",
            ),
            ("maxmemory 5x", 1, "argument must be a memory value"),
            ("daemonize maybe", 1, "argument must be 'yes' or 'no'"),
            (
                "unixsocketperm 1000",
                1,
                "argument must be between 0 and 777 inclusive",
            ),
            (
                "enable-debug-command x",
                1,
                "argument(s) must be one of the following: no, yes, local",
            ),
            ("port 1\nsave 1", 2, "Invalid save parameters"),
            (
                "bind 1 2 3 4 5 6 7 8 9 a b c d e f g h",
                1,
                "Too many bind addresses specified.",
            ),
            (
                "dbfilename a/b",
                1,
                "dbfilename can't be a path, just a filename",
            ),
            ("replicaof h 70000", 1, "Invalid master port"),
            ("loadmodule x.so", 1, "Shoal cannot load modules"),
            (
                "sentinel x",
                1,
                "sentinel directive while not in sentinel mode",
            ),
            ("requirepass a\0b", 1, "a NUL byte in a configuration line"),
        ] {
            let dir = Dir::new("mistakes");
            let file = dir.write("a.conf", text);
            let error = load(&[&file]).unwrap_err().to_string();
            let shown = text.lines().last().unwrap();
            let expected = format!("at line {line} of {file}\n>>> '{shown}'\n{reason}");
            assert!(
                error.contains("*** FATAL CONFIG FILE ERROR (Shoal "),
                "{error}"
            );
            assert!(error.ends_with(&expected), "{error}\n{expected}");
        }
    }

    #[test]
    fn mistakes_on_the_command_line() {
        let error = load(&["--port", "1", "--timeout", "a b"])
            .unwrap_err()
            .to_string();
        let expected = "Reading the command line\n>>> '--timeout \"a b\"'\nargument couldn't";
        assert!(error.contains(expected), "{error}");
        let error = load(&["/nonexistent.conf"]).unwrap_err().to_string();
        assert!(
            error.contains("can't open config file '/nonexistent.conf': No such"),
            "{error}"
        );
        let error = load(&["/tmp"]).unwrap_err().to_string();
        assert!(error.contains("can't open config file '/tmp'"), "{error}");
        assert!(load(&["-p", "1"]).is_err());
    }

    /// Bytes of any kind end in a configuration or in an error, never in a panic.
    #[test]
    fn any_bytes_are_answered() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let pieces: Vec<&[u8]> = DIRECTIVES
            .iter()
            .map(|row| row.name.as_bytes())
            .chain([
                &b" "[..],
                b"\n",
                b"\"",
                b"'",
                b"\\",
                b"\\x4",
                b"\0",
                b"-1",
                b"%",
                b"99999999999999999999",
                b"gb",
                b"normal",
                b"\xff",
                b"{",
                b"}",
                b"0",
                b"yes",
                b"e9",
                b"#",
            ])
            .collect();
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..random.below(12) {
                match random.below(4) {
                    0 => text.push(random.below(256) as u8),
                    _ => text.extend_from_slice(pieces[random.below(pieces.len())]),
                }
                if random.below(2) == 0 {
                    text.push(b' ');
                }
            }
            let mut config = match load_with(&["-"], &text) {
                Ok(config) => config,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    Config::default()
                }
            };
            let row = &DIRECTIVES[random.below(DIRECTIVES.len())];
            let before = config.get(&[b"*"]);
            match config.set(&[(row.name.as_bytes(), &text)], true) {
                Ok(_) => drop(config.rewritten(&text)),
                Err(_) => assert_eq!(config.get(&[b"*"]), before),
            }
            config.get(&[&text]);
        }
    }
}

/// A small generator (xorshift), so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

mod get_and_set {
    use super::*;

    fn names(config: &Config, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<&[u8]> = patterns.iter().map(|p| p.as_bytes()).collect();
        config
            .get(&patterns)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn get_matches_names_and_aliases() {
        let config = Config::default();
        for (patterns, expected) in [
            (&["port"][..], &["port"][..]),
            (&["MaxMemory", "maxmemory"], &["MaxMemory"]),
            (&["MAXMEMORY-P*", "maxmemory-policy"], &["maxmemory-policy"]),
            (
                &["zset-max-*-value"],
                &["zset-max-listpack-value", "zset-max-ziplist-value"],
            ),
            (&["slave-priority"], &["slave-priority"]),
            (&["nope", ""], &[]),
            (&["watchdog*"], &[]),
            (&["watchdog-period"], &["watchdog-period"]),
        ] {
            assert_eq!(names(&config, patterns), expected, "{patterns:?}");
        }
        let all = names(&config, &["*"]);
        assert_eq!(all.len(), names(&config, &["*", "*", "p*"]).len());
    }

    #[test]
    fn set_changes_all_or_nothing() {
        let mut config = Config::default();
        let pairs = [("maxmemory", "100mb"), ("HZ", "20"), ("timeout", "0")];
        assert_eq!(set(&mut config, &pairs), Ok(vec!["maxmemory", "hz"]));
        assert_eq!((config.maxmemory(), config.hz()), (100 << 20, 20));

        let pairs = [("maxmemory", "5"), ("timeout", "zzz")];
        assert!(set(&mut config, &pairs).is_err());
        assert_eq!(config.maxmemory(), 100 << 20);
    }

    #[test]
    fn set_values_of_several_words() {
        let mut config = Config::default();
        for (name, value, shown) in [
            ("save", "900 1 60 2", "900 1 60 2"),
            ("save", "", ""),
            ("bind", "127.0.0.1 -::1", "127.0.0.1 -::1"),
            ("bind", "", ""),
            ("oom-score-adj-values", "1 2 3", "1 2 3"),
            ("latency-tracking-info-percentiles", "", ""),
            ("shutdown-on-sigterm", "now nosave", "nosave now"),
            ("notify-keyspace-events", "KEg$lshzxetd", "AKE"),
            ("maxmemory-policy", "ALLKEYS-LFU", "allkeys-lfu"),
            ("requirepass", "a b", "a b"),
        ] {
            set(&mut config, &[(name, value)]).unwrap();
            assert_eq!(get(&config, name), shown);
        }
        assert!(config.maxmemory_policy().counts_uses());
    }

    #[test]
    fn set_errors() {
        let failed = |name: &str, reason: &str| {
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
        };
        let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'Nope'";
        let number = "argument couldn't be parsed into an integer";
        let immutable = "can't set immutable config";
        for (pairs, expected) in [
            (&[("Nope", "1")][..], unknown.to_string()),
            (&[("timeout", "zz"), ("Nope", "1")], unknown.to_string()),
            (&[("include", "x")], unknown.replace("Nope", "include")),
            (&[("TimeOut", "zz")], failed("timeout", number)),
            (
                &[("SLAVE-priority", "zz")],
                failed("slave-priority", number),
            ),
            (&[("DAEMONIZE", "yes")], failed("DAEMONIZE", immutable)),
            (
                &[("daemonize", "yes"), ("Nope", "1")],
                failed("daemonize", immutable),
            ),
            (
                &[("hz", "1"), ("HZ", "2")],
                failed("HZ", "duplicate parameter"),
            ),
            (
                &[("save", "900  1")],
                failed("save", "Invalid save parameters"),
            ),
            (
                &[("maxclients", "0")],
                failed(
                    "maxclients",
                    "argument must be between 1 and 4294967295 inclusive",
                ),
            ),
        ] {
            let mut config = Config::default();
            assert_eq!(set(&mut config, pairs), Err(expected), "{pairs:?}");
        }
    }

    #[test]
    fn guarded_directives_need_leave() {
        let mut config = Config::default();
        let error = config.set(&[(b"dir", b"/")], false).unwrap_err();
        let reason = "(possibly related to argument 'dir') - can't set protected config";
        assert!(error.message().ends_with(reason.as_bytes()));
        assert!(config.set(&[(b"dir", b".")], false).is_ok());
        assert!(config.set(&[(b"dir", b"/")], true).is_ok());
        assert_eq!(config.dir(), Path::new("/"));
    }

    #[test]
    fn the_server_settles_what_it_finds_out() {
        let mut config = Config::default();
        config.settle("dir", b"/var/lib").unwrap();
        config.settle("maxclients", b"4000").unwrap();
        assert_eq!(get(&config, "dir"), "/var/lib");
        assert_eq!(config.maxclients(), 4000);
        assert!(config.settle("maxclients", b"0").is_err());
    }
}

mod rewriting {
    use super::*;

    /// What CONFIG REWRITE makes of `text` after a CONFIG SET of `pairs`.
    fn rewritten(text: &str, pairs: &[(&str, &str)]) -> String {
        let mut config = read(text).unwrap();
        set(&mut config, pairs).unwrap();
        String::from_utf8(config.rewritten(text.as_bytes())).unwrap()
    }

    #[track_caller]
    fn check(text: &str, pairs: &[(&str, &str)], expected: &str) {
        let saves = "save 3600 1\nsave 300 100\nsave 60 10000\n";
        assert_eq!(rewritten(text, pairs), expected.replace("SAVES\n", saves));
    }

    #[test]
    fn values_change_in_place() {
        check(
            "# a\nport 1\n\n  # b\nSAVE 1 1\nmaxmemory 100mb\n",
            &[("maxmemory", "2gb"), ("port", "5")],
            "# a\nport 5\n\n# b\nsave 1 1\nmaxmemory 2gb\n",
        );
        check(
            "slave-priority 5\nsave ''\nrequirepass \"a\\\"b\"",
            &[],
            "replica-priority 5\nsave \"\"\nrequirepass \"a\\\"b\"\n",
        );
    }

    #[test]
    fn lines_too_many_go_and_lists_fill_their_lines() {
        check(
            "timeout 1\ntimeout 2\n\nhz 20\nsave 1 1\n#\nsave 2 2\nsave 3 3\n",
            &[("save", "5 5 6 6")],
            "timeout 2\n\nhz 20\nsave 5 5\n#\nsave 6 6\n\n",
        );
        check(
            "save ''\nrequirepass x\nlogfile x",
            &[("requirepass", "")],
            "save \"\"\n\nlogfile \"x\"\n",
        );
    }

    #[test]
    fn new_values_are_appended_once_signed() {
        let first = "save ''\n# end";
        let second = "save \"\"\n# end\n\n# Generated by CONFIG REWRITE\ntimeout 7\n";
        check(first, &[("timeout", "7"), ("port", "6379")], second);
        let third = format!("{second}maxclients 5\n");
        check(second, &[("maxclients", "5")], &third);
        check(
            second,
            &[("timeout", "0")],
            &second.replace("timeout 7", "timeout 0"),
        );
    }

    #[test]
    fn every_kind_of_value() {
        check(
            "port 1",
            &[
                ("bind", ""),
                ("client-output-buffer-limit", "pubsub 5000 4096 1"),
                ("maxmemory-clients", "5%"),
                ("oom-score-adj-values", "0 200 801"),
                ("stream-node-max-bytes", "1000000"),
                ("latency-tracking-info-percentiles", ""),
                ("notify-keyspace-events", "KEA"),
                ("masteruser", "x y"),
                ("repl-backlog-size", "3mb"),
            ],
            concat!(
                "port 1\n\n# Generated by CONFIG REWRITE\nbind \"\"\n",
                "client-output-buffer-limit pubsub 5000 4kb 1\nmaxmemory-clients 5%\n",
                "oom-score-adj-values 0 200 801\nstream-node-max-bytes 1000000\n",
                "latency-tracking-info-percentiles \"\"\nnotify-keyspace-events \"AKE\"\n",
                "SAVES\nmasteruser \"x y\"\nrepl-backlog-size 3mb\n",
            ),
        );
    }

    #[test]
    fn lines_of_another_nature_stay() {
        let text = "save \"\"\nuser bob on\nrename-command GET \"\"\nlua-replicate-commands no\n";
        check(text, &[], text);
    }

    #[test]
    fn what_was_written_reads_back() {
        let mut config = Config::default();
        let changes = [
            ("requirepass", "\u{1}\"'\\ \n"),
            ("save", "1 2 3 4"),
            ("client-output-buffer-limit", "normal 1 2 3 replica 0 0 0"),
            ("shutdown-on-sigint", "nosave force"),
            ("list-max-listpack-size", "-5"),
        ];
        set(&mut config, &changes).unwrap();
        let text = String::from_utf8(config.rewritten(b"")).unwrap();
        assert_eq!(read(&text).unwrap().values, config.values);
    }

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let dir = Dir::new("rewrite");
        let file = dir.write("a.conf", "port 1\nsave ''\n");
        let mut config = load(&[&file, "--hz", "20"]).unwrap();
        set(&mut config, &[("timeout", "5")]).unwrap();
        config.rewrite().unwrap();
        let signed = "# Generated by CONFIG REWRITE\ntimeout 5\nhz 20\n";
        let expected = format!("port 1\nsave \"\"\n\n{signed}");
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
        assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 1);
    }

    #[test]
    fn errors_are_redis_s() {
        let error = Config::default().rewrite().unwrap_err();
        assert_eq!(
            error.to_string(),
            "ERR The server is running without a config file"
        );
        let dir = Dir::new("rewrite-error");
        let file = dir.write("a.conf", "port 1\n");
        let config = load(&[&file]).unwrap();
        fs::remove_dir_all(&dir.0).unwrap();
        let error = config.rewrite().unwrap_err().to_string();
        assert_eq!(
            error,
            "ERR Rewriting config file: No such file or directory"
        );
    }
}

#[test]
fn a_misspelt_directive_is_not_found() {
    assert_eq!(table::find(b"portt"), None);
    assert_eq!(table::find(b"PORT"), Some(table::row_of("port")));
    let line = CommandLine::default();
    assert!(Config::load(&line, std::io::empty()).is_ok());
}
