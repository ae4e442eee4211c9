//! `dump.rdb`: written while clients go on, loaded at the start, by us and by others.

use harness::server::{Directory, SEVERAL, Setup, until};
use harness::{Connection, Program, Server, Value, scaled};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub fn setup(directory: &Directory, shards: usize) -> Setup {
    Server::setup(Program::Judged)
        .shards(shards)
        .with("dir", &directory.0.display().to_string())
}

pub fn directory() -> Directory {
    Directory::new().expect("a directory can be made")
}

pub fn digest(connection: &mut Connection) -> String {
    connection.line("DEBUG DIGEST").string()
}

pub fn info(connection: &mut Connection, field: &str) -> String {
    let page = connection.line("INFO persistence").string();
    let line = page.lines().find_map(|line| line.strip_prefix(field));
    let value = line.and_then(|line| line.strip_prefix(':'));
    value
        .unwrap_or_else(|| panic!("no {field} in {page}"))
        .to_owned()
}

fn saved(connection: &mut Connection) {
    until("the save to end", || {
        (info(connection, "rdb_bgsave_in_progress") == "0").then_some(())
    });
    assert_eq!(info(connection, "rdb_last_bgsave_status"), "ok");
}

/// Keys of every type, small and large, in several databases. With `newer`, what Redis 7.0 does not know.
pub fn fill(connection: &mut Connection, newer: bool) {
    let many = |command: &str, item: &dyn Fn(usize) -> String, n: usize| {
        let items: Vec<String> = (0..n).map(item).collect();
        format!("{command} {}", items.join(" "))
    };
    let mut lines = vec![
        "SET int 12345".to_owned(),
        "SET short abc".to_owned(),
        format!("SET long {}", "x".repeat(5000)),
        "SET expires v PX 100000000".to_owned(),
        "RPUSH list a b 3".to_owned(),
        "SADD ints 1 2 3".to_owned(),
        "SADD set a b c".to_owned(),
        "HSET hash f v g w".to_owned(),
        "ZADD zset 1 a 2.5 b -inf c".to_owned(),
        "XADD stream 1-1 f v".to_owned(),
        "XADD stream 2-1 f v g w".to_owned(),
        "XGROUP CREATE stream group 0".to_owned(),
        "XREADGROUP GROUP group alice COUNT 1 STREAMS stream >".to_owned(),
        "PFADD hll a b c".to_owned(),
        "SETBIT bits 1000 1".to_owned(),
        "GEOADD geo 13.361389 38.115556 Palermo".to_owned(),
        many("RPUSH list:large", &|i| format!("element:{i}"), 5000),
        many("SADD ints:large", &|i| (i * 7).to_string(), 2000),
        many("SADD set:large", &|i| format!("member:{i}"), 2000),
        many("HSET hash:large", &|i| format!("field:{i} value:{i}"), 2000),
        many("ZADD zset:large", &|i| format!("{i} member:{i}"), 2000),
        "SELECT 3".to_owned(),
        "SET elsewhere 1".to_owned(),
        "SELECT 0".to_owned(),
    ];
    if newer {
        lines.push("HPEXPIRE hash 100000000 FIELDS 1 f".to_owned());
        lines.push("HPEXPIRE hash:large 100000000 FIELDS 1 field:7".to_owned());
    }
    for line in lines {
        let reply = connection.line(&line);
        assert!(
            !reply.is_error(),
            "{}: {reply}",
            &line[..line.len().min(60)]
        );
    }
    for i in 0..2000 {
        connection.line(&format!("SET key:{i} value:{i}"));
    }
}

pub const LIBRARY: &str =
    "#!lua name=lib\nredis.register_function('seven', function() return 7 end)";

#[test]
fn what_was_saved_is_there_on_any_number_of_shards() {
    let directory = directory();
    let want = {
        let server = setup(&directory, 1).start();
        let mut connection = server.connect();
        fill(&mut connection, true);
        let loaded = connection.call(&["FUNCTION", "LOAD", LIBRARY]);
        assert_eq!(loaded.string(), "lib");
        assert_ne!(info(&mut connection, "rdb_changes_since_last_save"), "0");
        assert_eq!(connection.line("SAVE"), Value::ok());
        assert_eq!(info(&mut connection, "rdb_changes_since_last_save"), "0");
        digest(&mut connection)
    };
    for shards in [3, 2, 1] {
        let server = setup(&directory, shards).start();
        let mut connection = server.connect();
        assert_eq!(digest(&mut connection), want, "{shards} shards");
        assert_eq!(connection.line("FCALL seven 0"), Value::Int(7));
        assert_eq!(info(&mut connection, "rdb_changes_since_last_save"), "0");
        let ttl = connection.line("PTTL expires");
        assert!(matches!(ttl, Value::Int(1..=100_000_000)), "{ttl}");
        // What this one writes is read by the next.
        assert_eq!(connection.line("DEBUG RELOAD"), Value::ok());
        assert_eq!(digest(&mut connection), want, "{shards} shards, reloaded");
        assert_eq!(
            connection.line("BGSAVE").string(),
            "Background saving started"
        );
        saved(&mut connection);
    }
}

#[test]
fn dumps_go_to_and_come_from_other_servers() {
    for (peer, newer) in [
        (Program::Redis7, false),
        (Program::Redis8, true),
        (Program::Valkey, true),
    ] {
        if let Err(why) = peer.path() {
            println!("{peer:?} is left out: {why}");
            continue;
        }
        let directory = directory();
        let at = directory.0.display().to_string();
        let mut want = {
            let server = Server::setup(peer).with("dir", &at).start();
            let mut connection = server.connect();
            fill(&mut connection, newer);
            connection.call(&["FUNCTION", "LOAD", LIBRARY]);
            assert_eq!(connection.line("SAVE"), Value::ok());
            digest(&mut connection)
        };
        let ours = match peer {
            // It sums up expiries of fields otherwise.
            Program::Valkey => {
                let server = Server::start();
                let mut connection = server.connect();
                fill(&mut connection, newer);
                digest(&mut connection)
            }
            _ => want.clone(),
        };
        {
            let server = setup(&directory, SEVERAL).start();
            let mut connection = server.connect();
            assert_eq!(digest(&mut connection), ours, "from {peer:?}");
            assert_eq!(connection.line("FCALL seven 0"), Value::Int(7));
            if peer == Program::Valkey {
                // It takes no file of a version that has them.
                connection.line("HPERSIST hash FIELDS 1 f");
                connection.line("HPERSIST hash:large FIELDS 1 field:7");
                want = digest(&mut connection);
            }
            assert_eq!(connection.line("SAVE"), Value::ok());
        }
        let server = Server::setup(peer).with("dir", &at).start();
        let mut connection = server.connect();
        assert_eq!(digest(&mut connection), want, "to {peer:?}");
        assert_eq!(connection.line("FCALL seven 0"), Value::Int(7));
        if peer == Program::Redis8 {
            let left = connection.line("HPTTL hash FIELDS 2 f g");
            let Value::Array(left) = &left else {
                panic!("{left}");
            };
            assert!(matches!(left[0], Value::Int(1..=100_000_000)), "{left:?}");
            assert_eq!(left[1], Value::Int(-1));
        }
    }
}

#[test]
fn the_file_has_the_name_that_is_set() {
    let directory = directory();
    let server = setup(&directory, SEVERAL)
        .with("dbfilename", "first.rdb")
        .with("enable-protected-configs", "yes")
        .start();
    let mut connection = server.connect();
    connection.line("SET key 1");
    let Value::Int(before) = connection.line("LASTSAVE") else {
        panic!("LASTSAVE answers a time");
    };
    until("the next save", || {
        assert_eq!(connection.line("SAVE"), Value::ok());
        let last = connection.line("LASTSAVE");
        matches!(last, Value::Int(last) if last > before).then_some(())
    });
    assert!(directory.0.join("first.rdb").exists());
    let set = connection.line("CONFIG SET dbfilename second.rdb");
    assert_eq!(set, Value::ok());
    connection.line("SET key 2");
    // Without saving, the data goes back to what a file of that name has.
    connection.line("SAVE");
    connection.line("SET key 3");
    assert_eq!(connection.line("DEBUG RELOAD NOSAVE"), Value::ok());
    assert_eq!(connection.line("GET key").string(), "2");
    assert!(directory.0.join("second.rdb").exists());
    assert!(!directory.0.join("dump.rdb").exists());
}

#[test]
fn the_tool_tells_what_a_dump_has() {
    let directory = directory();
    let path = directory.0.join("dump.rdb");
    let program = {
        let server = setup(&directory, SEVERAL).start();
        let mut connection = server.connect();
        fill(&mut connection, true);
        assert_eq!(connection.line("SAVE"), Value::ok());
        Program::Judged.path().expect("it has been started")
    };
    let check = |out: Stdio| {
        let mut command = Command::new(&program);
        command.arg("check").arg("rdb").arg(&path);
        command.stdout(out).stderr(Stdio::piped());
        let child = command.spawn().expect("it can be started");
        child.wait_with_output().expect("it ends")
    };
    let good = check(Stdio::piped());
    let told = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(good.status.success(), "{told}");
    let types = "hash 2 list 2 set 4 stream 1 string 2007 zset 3";
    for fact in ["format: 12 (Redis)", "in 2 databases", types, "is good."] {
        assert!(told.contains(fact), "{told}");
    }
    // Nobody listens any more, or what is said cannot be written down.
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    drop(reader);
    let unheard = check(writer.into());
    assert!(unheard.status.success());
    assert!(unheard.stderr.is_empty());
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let unwritten = check(full.expect("it is there").into());
    assert_eq!(unwritten.status.code(), Some(1));
    let mut bad = fs::read(&path).expect("it is there");
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    fs::write(&path, &bad).expect("it can be written");
    let damaged = check(Stdio::piped());
    assert_eq!(damaged.status.code(), Some(1));
    let why = String::from_utf8_lossy(&damaged.stderr).into_owned();
    assert!(why.contains("is damaged"), "{why}");
}

#[test]
fn the_end_saves_as_it_is_told() {
    // The save points, how the server is ended, and whether what was written is there afterwards.
    for (points, end, stays) in [
        ("", "SHUTDOWN", false),
        ("", "SHUTDOWN SAVE", true),
        ("3600 1", "SHUTDOWN", true),
        ("3600 1", "SHUTDOWN NOSAVE", false),
        ("", "TERM", false),
        ("3600 1", "TERM", true),
    ] {
        let directory = directory();
        let configured = || {
            setup(&directory, SEVERAL).with_words("save", &points.split(' ').collect::<Vec<_>>())
        };
        {
            let mut server = configured().start();
            let mut connection = server.connect();
            for i in 0..100 {
                connection.line(&format!("SET key:{i} {i}"));
            }
            match end {
                "TERM" => server.signal(libc::SIGTERM),
                line => {
                    let words: Vec<&str> = line.split(' ').collect();
                    connection.send(&words).expect("sent");
                    assert_eq!(connection.read(), Value::Closed);
                }
            }
            assert!(server.wait().success(), "{}", server.log());
        }
        let server = configured().start();
        let keys = if stays { 100 } else { 0 };
        let found = server.connect().line("DBSIZE");
        assert_eq!(found, Value::Int(keys), "{points:?}, {end}");
    }
}

#[test]
fn a_save_point_saves() {
    let directory = directory();
    let server = setup(&directory, SEVERAL)
        .with_words("save", &["1", "5"])
        .start();
    let mut connection = server.connect();
    for i in 0..5 {
        connection.line(&format!("SET key:{i} {i}"));
    }
    until("the save point", || {
        directory.0.join("dump.rdb").exists().then_some(())
    });
    saved(&mut connection);
    assert_eq!(info(&mut connection, "rdb_changes_since_last_save"), "0");
}

#[test]
fn a_damaged_dump_is_refused_and_left_alone() {
    let directory = directory();
    let path = directory.0.join("dump.rdb");
    {
        let server = setup(&directory, 1).start();
        let mut connection = server.connect();
        fill(&mut connection, true);
        assert_eq!(connection.line("SAVE"), Value::ok());
    }
    let good = fs::read(&path).expect("it was written");
    let middle = good.len() / 2;
    let mut flipped = good.clone();
    flipped[middle] ^= 1;
    for bad in [flipped, good[..middle].to_vec(), b"nonsense".to_vec()] {
        fs::write(&path, &bad).expect("it can be written");
        for shards in [1, SEVERAL] {
            let why = setup(&directory, shards)
                .try_start()
                .expect_err("it is damaged");
            assert!(why.contains("dump.rdb: "), "{why}");
        }
        assert_eq!(fs::read(&path).expect("it is there"), bad);
    }
    fs::write(&path, good).expect("it can be written");
    setup(&directory, 1).start();
}

#[test]
fn one_save_at_a_time_and_cancelling() {
    let directory = directory();
    let server = setup(&directory, SEVERAL).start();
    let mut connection = server.connect();
    let busy = Value::error("ERR Background save already in progress");
    let idle = Value::error("ERR Background saving is currently not in progress or scheduled");
    assert_eq!(connection.line("BGSAVE CANCEL"), idle);
    assert_eq!(
        connection.line("BGSAVE FOO"),
        Value::error("ERR syntax error")
    );
    let before = connection.line("LASTSAVE");
    connection.line("DEBUG POPULATE 300000");
    // All of them are there before the first is over.
    connection.send(&["BGSAVE"]).expect("sent");
    connection.send(&["BGSAVE", "SCHEDULE"]).expect("sent");
    connection.send(&["SAVE"]).expect("sent");
    connection.send(&["BGSAVE", "CANCEL"]).expect("sent");
    assert_eq!(connection.read().string(), "Background saving started");
    assert_eq!(connection.read(), busy);
    assert_eq!(connection.read(), busy);
    assert_eq!(connection.read().string(), "Background saving cancelled");
    saved(&mut connection);
    assert_eq!(connection.line("LASTSAVE"), before);
    assert!(!directory.0.join("dump.rdb").exists());
    assert_eq!(
        connection.line("BGSAVE").string(),
        "Background saving started"
    );
    saved(&mut connection);
    let left: Vec<_> = fs::read_dir(&directory.0)
        .expect("it is there")
        .flatten()
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn writes_are_refused_while_saving_fails() {
    let directory = directory();
    let below = directory.0.join("below");
    fs::create_dir(&below).expect("a directory can be made");
    let server = Server::setup(Program::Judged)
        .shards(SEVERAL)
        .with("dir", &below.display().to_string())
        .with_words("save", &["3600", "1000000"])
        .start();
    let mut connection = server.connect();
    assert_eq!(connection.line("SET k 1"), Value::ok());
    fs::remove_dir_all(&below).expect("it can be removed");
    assert_eq!(connection.line("BGSAVE"), Value::error("ERR"));
    assert_eq!(info(&mut connection, "rdb_last_bgsave_status"), "err");
    let refused = |reply: &Value| reply.is_error() && reply.to_string().contains("MISCONF");
    until("writes to be refused", || {
        refused(&connection.line("SET other 2")).then_some(())
    });
    until("PING to be refused", || {
        refused(&connection.line("PING")).then_some(())
    });
    assert_eq!(connection.line("GET k").string(), "1");
    let set = connection.line("CONFIG SET stop-writes-on-bgsave-error no");
    assert_eq!(set, Value::ok());
    until("writes to be allowed", || {
        (connection.line("SET k 3") == Value::ok()).then_some(())
    });
}

/// What two keys on different shards have that are always changed together, and what a third has.
/// `slack` elements may have been pushed and not taken again.
fn check_moment(dump: &Path, slack: i64) {
    let copied = self::directory();
    fs::copy(dump, copied.0.join("dump.rdb")).expect("it can be copied");
    let server = setup(&copied, 2).start();
    let mut connection = server.connect();
    for pair in 0..PAIRS {
        let [a, b] = ["a", "b"].map(|name| connection.line(&format!("GET {name}:{pair}")));
        assert_eq!(a, b, "pair {pair}");
        let pushed = connection.line(&format!("GET pushed:{pair}"));
        let pushed = pushed.text().map_or(0, |text| {
            String::from_utf8_lossy(text)
                .parse::<i64>()
                .expect("a number")
        });
        let length = connection.line(&format!("LLEN big:{pair}"));
        let Value::Int(length) = length else {
            panic!("{length}");
        };
        let more = length - BIG - pushed;
        assert!((0..=slack).contains(&more), "pair {pair}: {more} more");
    }
    let mut moved = 0;
    for list in 0..LISTS {
        match connection.line(&format!("LLEN list:{list}")) {
            Value::Int(n) => moved += n,
            other => panic!("{other}"),
        }
    }
    assert_eq!(moved, LISTS as i64 * 10);
}

const PAIRS: usize = 4;
const LISTS: usize = 8;

/// Elements of a list that is written by a thread.
const BIG: i64 = 40_000;

#[test]
fn a_dump_shows_one_moment_of_all_shards() {
    let directory = directory();
    let server = Arc::new(setup(&directory, SEVERAL).start());
    let mut connection = server.connect();
    for list in 0..LISTS {
        connection.line(&format!("RPUSH list:{list} 0 1 2 3 4 5 6 7 8 9"));
    }
    for pair in 0..PAIRS {
        for _ in 0..BIG / 1000 {
            let words = ["x"; 1000].join(" ");
            connection.line(&format!("RPUSH big:{pair} {words}"));
        }
    }
    connection.line("DEBUG POPULATE 20000");
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..PAIRS)
        .map(|pair| {
            let (server, over) = (Arc::clone(&server), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut connection = server.connect();
                let mut i = 0;
                while !over.load(Ordering::Relaxed) {
                    i += 1;
                    let (from, to) = (i * 7 % LISTS, (i * 5 + pair) % LISTS);
                    for line in [
                        "MULTI",
                        &format!("SET a:{pair} {i}"),
                        &format!("SET b:{pair} {i}"),
                        "EXEC",
                        &format!("LMOVE list:{from} list:{to} LEFT RIGHT"),
                        &format!("SET key:{} x", i * 13 % 20_000),
                        &format!("DEL key:{}", i * 17 % 20_000),
                    ] {
                        let reply = connection.line(line);
                        assert!(!reply.is_error(), "{line}: {reply}");
                    }
                    let script = "redis.call('RPUSH', KEYS[1], 'y') redis.call('INCR', KEYS[2])";
                    let (big, pushed) = (format!("big:{pair}"), format!("pushed:{pair}"));
                    let reply = connection.call(&["EVAL", script, "2", &big, &pushed]);
                    assert!(!reply.is_error(), "{reply}");
                    // Outside of transactions too.
                    for line in [format!("RPUSH {big} z"), format!("RPOP {big}")] {
                        assert!(!connection.line(&line).is_error());
                    }
                }
            })
        })
        .collect();
    let dump = directory.0.join("dump.rdb");
    for _ in 0..scaled(6) {
        assert_eq!(
            connection.line("BGSAVE").string(),
            "Background saving started"
        );
        saved(&mut connection);
        check_moment(&dump, 1);
    }
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().expect("no writer failed");
    }
    assert_eq!(connection.line("SAVE"), Value::ok());
    check_moment(&dump, 0);
}

#[test]
fn large_values_are_written_as_they_were() {
    const ELEMENTS: usize = 60_000;
    const STEP: usize = 500;
    for shards in [1, SEVERAL] {
        let directory = directory();
        let server = setup(&directory, shards).start();
        let mut connection = server.connect();
        let line = |connection: &mut Connection, line: String| {
            let reply = connection.line(&line);
            let shown = &line[..line.len().min(60)];
            assert!(!reply.is_error(), "{shown}: {reply}");
        };
        for from in (0..ELEMENTS).step_by(STEP) {
            let many = |item: &dyn Fn(usize) -> String| {
                let items: Vec<String> = (from..from + STEP).map(item).collect();
                items.join(" ")
            };
            let long = "x".repeat(300);
            let pairs = many(&|i| format!("field:{i} value:{i}"));
            let longs = many(&|i| format!("field:{i} {i}{}", &long[..i % 300]));
            let members = many(&|i| format!("member:{i}"));
            let scores = many(&|i| format!("{} member:{i}", i % 1000));
            line(&mut connection, format!("HSET hash {pairs}"));
            line(&mut connection, format!("HSET longs {longs}"));
            line(&mut connection, format!("SADD set {members}"));
            line(&mut connection, format!("ZADD zset {scores}"));
            line(&mut connection, format!("RPUSH list {members}"));
            line(&mut connection, format!("XADD stream * {pairs}"));
            connection.call(&["APPEND", "text", &longs]);
        }
        for key in ["hash", "list", "zset"] {
            line(&mut connection, format!("COPY {key} {key}:gone"));
            line(&mut connection, format!("COPY {key} {key}:renamed"));
            line(&mut connection, format!("COPY {key} {key}:replaced"));
        }
        line(&mut connection, "XGROUP CREATE stream g 0".to_owned());
        let read = "XREADGROUP GROUP g c COUNT 50 STREAMS stream >";
        line(&mut connection, read.to_owned());
        let want = digest(&mut connection);
        let changes = |round: usize| {
            let n = round * 7919 % ELEMENTS;
            [
                format!("HSET hash field:{n} changed:{round} field:{round}:new 1"),
                format!("HDEL hash field:{}", n + 1),
                format!("HSET longs field:{n} {}", "y".repeat(round)),
                format!("HDEL longs field:{}", n + 2),
                format!("SADD set new:{round}"),
                format!("SREM set member:{n}"),
                format!("ZADD zset {round} member:{n}"),
                format!("ZREM zset member:{}", n + 1),
                format!("LPUSH list new:{round}"),
                format!("LSET list {} changed", n / 2),
                "RPOP list 3".to_owned(),
                format!("XADD stream * f {round}"),
                "XREADGROUP GROUP g c COUNT 1 STREAMS stream >".to_owned(),
                format!("XTRIM stream MAXLEN {}", ELEMENTS / STEP - round / 10),
                format!("SETRANGE text {n} changed"),
                format!("HSET hash:renamed field:{n} changed"),
                format!("LSET list:renamed {} changed", n / 2),
                format!("ZADD zset:renamed 1 member:{n}"),
            ]
        };
        let mut lines = vec!["BGSAVE".to_owned()];
        for key in ["hash", "list", "zset"] {
            lines.push(format!("DEL {key}:gone"));
            lines.push(format!("RENAME {key}:renamed {key}:other"));
            lines.push(format!("RENAME {key}:other {key}:renamed"));
            lines.push(format!("SET {key}:replaced 1"));
        }
        lines.extend((1..=scaled(300)).flat_map(changes));
        let bytes: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let replies = connection.pipeline(bytes.as_bytes(), lines.len());
        for (line, reply) in lines.iter().zip(replies) {
            assert!(!reply.is_error(), "{line}: {reply}");
        }
        saved(&mut connection);
        assert_ne!(digest(&mut connection), want);
        let copied = self::directory();
        let dump = directory.0.join("dump.rdb");
        fs::copy(dump, copied.0.join("dump.rdb")).expect("it can be copied");
        let other = setup(&copied, 2).start();
        assert_eq!(digest(&mut other.connect()), want, "{shards} shards");
    }
}

#[test]
fn who_comes_while_a_dump_is_loaded_is_told_so() {
    let directory = directory();
    {
        let server = setup(&directory, 1).start();
        let mut connection = server.connect();
        for i in 0..300 {
            connection.line(&format!("SET key:{i} {i}"));
        }
        assert_eq!(connection.line("SAVE"), Value::ok());
    }
    let dump = directory.0.join("dump.rdb");
    let content = fs::read(&dump).expect("it was written");
    let slowly = || {
        setup(&directory, SEVERAL)
            .with("key-load-delay", "2000")
            .with_words("save", &["1", "1"])
            .early()
    };
    let told = "LOADING Redis is loading the dataset in memory";
    {
        let server = slowly().start();
        let mut connection = server.connect();
        assert_eq!(connection.line("PING"), Value::error(told));
        assert_eq!(connection.line("GET key:1"), Value::error(told));
        assert_eq!(connection.line("BGSAVE"), Value::error(told));
        assert_eq!(info(&mut connection, "loading"), "1");
        let size = info(&mut connection, "loading_total_bytes");
        assert_eq!(size, content.len().to_string());
        until("the dump to be loaded", || {
            (connection.line("PING") != Value::error(told)).then_some(())
        });
        assert_eq!(connection.line("DBSIZE"), Value::Int(300));
        assert_eq!(info(&mut connection, "loading"), "0");
        assert_eq!(info(&mut connection, "rdb_changes_since_last_save"), "0");
    }
    // Told to end meanwhile, it ends, and saves nothing.
    for end in ["TERM", "SHUTDOWN"] {
        let mut server = slowly().start();
        match end {
            "TERM" => server.signal(libc::SIGTERM),
            line => server.connect().send(&[line]).expect("sent"),
        }
        assert!(server.wait().success(), "{end}: {}", server.log());
        assert_eq!(fs::read(&dump).expect("it is there"), content, "{end}");
    }
}

#[test]
fn values_of_modules_are_refused_or_skipped() {
    let directory = directory();
    let mut dump = b"REDIS0011".to_vec();
    // A module's value, of the newer kind, without content; then a string; and no checksum.
    dump.extend(b"\x07\x01m\x81\x01\x02\x03\x04\x05\x06\x07\x08\x00");
    dump.extend(b"\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0");
    fs::write(directory.0.join("dump.rdb"), dump).expect("it can be written");
    let why = setup(&directory, SEVERAL).try_start().expect_err("refused");
    assert!(why.contains("module"), "{why}");
    let server = setup(&directory, SEVERAL)
        .with("module-values", "skip")
        .start();
    let mut connection = server.connect();
    assert_eq!(connection.line("GET k").string(), "v");
    assert_eq!(connection.line("DBSIZE"), Value::Int(1));
    assert!(
        server
            .log()
            .contains("1 keys without elements, or of modules")
    );
}
