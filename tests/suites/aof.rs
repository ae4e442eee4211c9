//! The append-only log: written by any number of shards, read by any number, by us and by others.

use crate::snapshot::{LIBRARY, digest, directory, fill, info};
use harness::seed::Seed;
use harness::server::{Directory, SEVERAL, Setup, until};
use harness::{Connection, Program, Server, Value, scaled};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

fn setup(directory: &Directory, shards: usize) -> Setup {
    of(Program::Judged, directory).shards(shards)
}

fn of(program: Program, directory: &Directory) -> Setup {
    Server::setup(program)
        .with("dir", &directory.0.display().to_string())
        .with("appendonly", "yes")
}

fn end(mut server: Server) {
    server.signal(libc::SIGTERM);
    assert!(server.wait().success(), "{}", server.log());
}

fn rewritten(connection: &mut Connection) {
    until("the rewrite to end", || {
        let under_way = info(connection, "aof_rewrite_in_progress") == "1";
        let scheduled = info(connection, "aof_rewrite_scheduled") == "1";
        (!under_way && !scheduled).then_some(())
    });
    assert_eq!(info(connection, "aof_last_bgrewrite_status"), "ok");
}

/// The files of the log, by their names.
fn files(directory: &Directory) -> Vec<PathBuf> {
    let at = directory.0.join("appendonlydir");
    let entries = fs::read_dir(at).expect("there is a log");
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

fn increment(directory: &Directory) -> PathBuf {
    let is_increment = |path: &PathBuf| path.to_string_lossy().ends_with(".incr.aof");
    let mut files = files(directory);
    files.retain(is_increment);
    files.pop().expect("there is an increment")
}

/// What changes many keys at once, or depends on what it finds.
const WRITES: &[&str] = &[
    "MSET a 1 b 2 c 3 d 4 e 5",
    "RENAME short renamed",
    "COPY zset zset:copy",
    "LMOVE list list:other LEFT RIGHT",
    "RPOPLPUSH list list:other",
    "SMOVE set set:other a",
    "SUNIONSTORE union set ints set:large",
    "ZUNIONSTORE zunion 2 zset zset:large",
    "SPOP set:large 100",
    "SORT ints:large STORE sorted",
    "LMPOP 2 nowhere list:large LEFT COUNT 3",
    "ZMPOP 2 nowhere zset:large MIN COUNT 3",
    "EVAL for_i=1,9_do_redis.call('set','script:'..i,i)_redis.call('incrbyfloat','f',0.5)_end 0",
    "BITOP XOR bits:other bits long",
    "PFMERGE hll:other hll",
    "GETDEL int",
    "GETEX long EX 100000",
    "XADD stream * f v",
    "XTRIM stream MAXLEN 2",
    "XREADGROUP GROUP group bob COUNT 1 STREAMS stream >",
    "MULTI",
    "INCR a",
    "INCR b",
    "LPUSH list x y z",
    "EXEC",
    "SELECT 3",
    "SET there 1 PX 100000000",
    "MOVE there 0",
    "SWAPDB 3 4",
    "SELECT 5",
    "SET gone 1",
    "FLUSHDB",
    "SET behind 1",
    "SELECT 0",
    "DEL d e",
];

fn write(connection: &mut Connection) {
    for line in WRITES {
        let words: Vec<String> = line.split(' ').map(|w| w.replace('_', " ")).collect();
        let reply = connection.call(&words);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
}

#[test]
fn what_was_logged_is_there_on_any_number_of_shards() {
    let directory = directory();
    let mut want = String::new();
    for (i, shards) in [1, 3, 2, 1].into_iter().enumerate() {
        let server = setup(&directory, shards).start();
        let mut connection = server.connect();
        if i > 0 {
            assert_eq!(digest(&mut connection), want, "{shards} shards");
            assert_eq!(connection.line("FCALL seven 0"), Value::Int(7));
            let Value::Array(consumers) = connection.line("XINFO CONSUMERS stream group") else {
                panic!("XINFO answers an array");
            };
            assert!(!consumers.is_empty());
            for consumer in consumers {
                let idle = consumer.items()[5].int();
                assert!(idle < 1_000_000_000, "idle for {idle} ms");
            }
        } else {
            let loaded = connection.call(&["FUNCTION", "LOAD", LIBRARY]);
            assert_eq!(loaded.string(), "lib");
        }
        connection.line("FLUSHALL");
        fill(&mut connection, true);
        write(&mut connection);
        want = digest(&mut connection);
        end(server);
    }
    let server = setup(&directory, SEVERAL).start();
    let mut connection = server.connect();
    assert_eq!(digest(&mut connection), want);
}

/// Keys on all shards, and calls of several of them.
fn random_calls(seed: &mut Seed, connection: &mut Connection, calls: usize) {
    const CALLS: &[&str] = &[
        "SET K N",
        "SET K N PX N000",
        "INCR C",
        "MSET K N K N K N",
        "DEL K K",
        "EXPIRE K 1000",
        "PEXPIRE K 1",
        "LPUSH L N N N",
        "LMOVE L L LEFT RIGHT",
        "LMPOP 2 L L RIGHT COUNT 2",
        "BLPOP L L 1",
        "BLMOVE L L RIGHT LEFT 1",
        "SADD S N N N",
        "SMOVE S S N",
        "SPOP S",
        "SUNIONSTORE S S S",
        "ZADD Z N N N N",
        "ZUNIONSTORE Z 2 Z Z",
        "BZPOPMIN Z Z 1",
        "HSET H N N",
        "HINCRBYFLOAT H N 0.5",
        "HPEXPIRE H 1 FIELDS 1 N",
        "RENAME K K",
        "COPY L L REPLACE",
        "XADD X * f N",
        "XTRIM X MAXLEN 5",
        "SORT S BY nosort STORE L",
        "GETEX K PX 1",
        "MULTI;INCR C;SET K N;LPUSH L N;EXEC",
        "MULTI;SUNIONSTORE S S S;RENAME K K;EXEC",
    ];
    for _ in 0..calls {
        for call in seed.pick(CALLS).split(';') {
            let mut line = String::new();
            for c in call.chars() {
                let n = seed.below(6);
                match c {
                    'N' => line += &seed.below(30).to_string(),
                    'K' | 'C' | 'L' | 'S' | 'Z' | 'H' | 'X' if line.ends_with(' ') => {
                        line += &format!("{c}:{n}");
                    }
                    c => line.push(c),
                }
            }
            let waits = line.starts_with('B') && connection.line("EXISTS L:0 L:1").is_error();
            if !waits {
                connection.line(&line.replace("N000", "9000"));
            }
        }
        if seed.one_in(10) {
            let script = "redis.call('incr', KEYS[1]) redis.call('lpush', KEYS[2], ARGV[1]) \
                          return redis.call('lmove', KEYS[2], KEYS[3], 'LEFT', 'RIGHT')";
            let keys = [seed.below(6), seed.below(6), seed.below(6)];
            connection.call(&[
                "EVAL",
                script,
                "3",
                &format!("C:{}", keys[0]),
                &format!("L:{}", keys[1]),
                &format!("L:{}", keys[2]),
                "x",
            ]);
        }
    }
}

/// What each key holds, and when it expires.
fn contents(connection: &mut Connection) -> BTreeMap<String, (String, String)> {
    let Value::Array(names) = connection.line("KEYS *") else {
        panic!("KEYS answers an array");
    };
    let names = names.into_iter().map(|name| name.string());
    let contents = names.map(|name| {
        let digest = connection.line(&format!("DEBUG DIGEST-VALUE {name}"));
        let expires = connection.line(&format!("PEXPIRETIME {name}"));
        let all = match &name[..1] {
            "L" => connection.line(&format!("LRANGE {name} 0 -1")),
            "H" => connection.line(&format!("HGETALL {name}")),
            "X" => connection.line(&format!("XRANGE {name} - +")),
            "S" => connection.line(&format!("SMEMBERS {name}")),
            "Z" => connection.line(&format!("ZRANGE {name} 0 -1 WITHSCORES")),
            _ => connection.line(&format!("GET {name}")),
        };
        let sum = match &all {
            // The digest of a hash has its expired fields too, until they are swept.
            Value::Array(fields) if name.starts_with('H') => {
                let mut pairs: Vec<&[Value]> = fields.chunks(2).collect();
                pairs.sort();
                format!("{pairs:?}")
            }
            _ => digest.to_string(),
        };
        (name, (format!("{sum} {expires}"), all.to_string()))
    });
    contents.collect()
}

#[test]
fn random_commands_are_there_again() {
    let directory = directory();
    let mut seed = Seed::new(Seed::of_run(0));
    let mut want: Option<BTreeMap<_, _>> = None;
    for run in 0..scaled(8) {
        let shards = 1 + seed.below(4);
        let server = setup(&directory, shards).start();
        let mut connection = server.connect();
        if let Some(want) = &want {
            let found = contents(&mut connection);
            let names = found.keys().chain(want.keys());
            for name in names {
                let (found, want) = (found.get(name), want.get(name));
                let sums = |of: Option<&(String, String)>| of.map(|(sum, _)| sum.clone());
                assert_eq!(
                    sums(found),
                    sums(want),
                    "run {run}, {name}: {found:?} {want:?}"
                );
            }
        }
        let calls = 100 + seed.below(200);
        random_calls(&mut seed, &mut connection, calls);
        if seed.one_in(2) {
            connection.line("BGREWRITEAOF");
            random_calls(&mut seed, &mut connection, 100);
            rewritten(&mut connection);
        }
        // What has a millisecond left has expired then.
        std::thread::sleep(Duration::from_millis(50));
        want = Some(contents(&mut connection));
        end(server);
    }
}

#[test]
fn directories_go_to_and_come_from_other_servers() {
    for (peer, newer) in [
        (Program::Redis7, false),
        (Program::Redis8, true),
        (Program::Valkey, false),
    ] {
        if let Err(why) = peer.path() {
            println!("{peer:?} is left out: {why}");
            continue;
        }
        let directory = directory();
        let mut want = {
            let server = of(peer, &directory).start();
            let mut connection = server.connect();
            fill(&mut connection, newer);
            connection.call(&["FUNCTION", "LOAD", LIBRARY]);
            write(&mut connection);
            let want = digest(&mut connection);
            end(server);
            want
        };
        for (round, preamble) in ["", "yes", "no"].into_iter().enumerate() {
            {
                let rewrites = !preamble.is_empty();
                let preamble = if rewrites { preamble } else { "yes" };
                let server = setup(&directory, SEVERAL)
                    .with("aof-use-rdb-preamble", preamble)
                    .start();
                let mut connection = server.connect();
                assert_eq!(digest(&mut connection), want, "from {peer:?}, {round}");
                assert_eq!(connection.line("FCALL seven 0"), Value::Int(7));
                write_more(&mut connection, round);
                if rewrites {
                    connection.line("BGREWRITEAOF");
                    rewritten(&mut connection);
                    write_more(&mut connection, round + 10);
                }
                want = digest(&mut connection);
                end(server);
            }
            let server = of(peer, &directory).start();
            let mut connection = server.connect();
            assert_eq!(digest(&mut connection), want, "to {peer:?}, {round}");
            assert_eq!(connection.line("FCALL seven 0"), Value::Int(7));
            write_more(&mut connection, round + 20);
            want = digest(&mut connection);
            end(server);
        }
    }
}

fn write_more(connection: &mut Connection, n: usize) {
    for line in [
        format!("MSET x:{n} 1 y:{n} 2 z:{n} 3"),
        format!("LMOVE list:large l:{n} LEFT RIGHT"),
        format!("SUNIONSTORE s:{n} set ints"),
        "MULTI".to_owned(),
        "INCR a".to_owned(),
        "INCR b".to_owned(),
        "EXEC".to_owned(),
    ] {
        let reply = connection.line(&line);
        assert!(!reply.is_error(), "{line}: {reply}");
    }
}

#[test]
fn rewriting_and_switching_lose_nothing() {
    for (preamble, end) in [("yes", ".base.rdb"), ("no", ".base.aof")] {
        rewriting_loses_nothing(preamble, end);
    }
}

fn rewriting_loses_nothing(preamble: &str, end_of_base: &str) {
    let directory = directory();
    let server = setup(&directory, SEVERAL)
        .with("aof-use-rdb-preamble", preamble)
        .start();
    let mut connection = server.connect();
    fill(&mut connection, true);
    connection.call(&["FUNCTION", "LOAD", LIBRARY]);
    let odd = "element\r\n*1\r\n\0";
    for words in [
        &["RPUSH", "odd", odd, "", "-5", "9223372036854775807"][..],
        &[
            "ZADD",
            "odd scores",
            "inf",
            "a",
            "-inf",
            odd,
            "1e-300",
            "c",
            "0.1",
            "",
        ],
        &["HSET", "odd hash", odd, "", "", odd],
        &["SET", odd, odd],
        &["XADD", "entries", "5-1", "f", odd, "g", "7"],
        &["XADD", "entries", "6-1", "f", "v"],
        &["XDEL", "entries", "6-1"],
        &["XADD", "gone", "5-1", "f", "v"],
        &["XGROUP", "CREATE", "gone", "group", "0"],
        &["XGROUP", "CREATECONSUMER", "gone", "group", "nobody"],
        &["XDEL", "gone", "5-1"],
    ] {
        let reply = connection.call(words);
        assert!(!reply.is_error(), "{words:?}: {reply}");
    }
    // What is large is written otherwise.
    for from in (0..20_000).step_by(1000) {
        let pairs = (from..from + 1000).map(|i| format!("{i} value:{i}"));
        let pairs = pairs.collect::<Vec<_>>().join(" ");
        for command in ["HSET huge:hash", "ZADD huge:zset", "RPUSH huge:list"] {
            connection.line(&format!("{command} {pairs}"));
        }
        connection.line(&format!("XADD huge:stream * {pairs}"));
    }
    connection.line("PEXPIREAT huge:list 33333333333333");
    assert_eq!(
        connection.line("BGREWRITEAOF").string(),
        "Background append only file rewriting started"
    );
    connection.line("INCR during");
    rewritten(&mut connection);
    let names = files(&directory);
    assert_eq!(names.len(), 3, "{names:?}");
    let mut ends = names.iter().map(|name| name.to_string_lossy());
    let has_base = ends.any(|name| name.ends_with(end_of_base));
    assert!(has_base, "{names:?}");
    connection.line("INCR after");
    assert_eq!(connection.line("CONFIG SET appendonly no"), Value::ok());
    connection.line("SET lost 1");
    assert_eq!(info(&mut connection, "aof_enabled"), "0");
    connection.line("DEL lost");
    let want = digest(&mut connection);
    end(server);
    let server = setup(&directory, 1)
        .with("aof-use-rdb-preamble", preamble)
        .start();
    let mut connection = server.connect();
    assert_eq!(digest(&mut connection), want);
    assert_eq!(connection.line("FCALL seven 0"), Value::Int(7));
    assert_eq!(connection.line("CONFIG SET appendonly no"), Value::ok());
    connection.line("SET only 1");
    assert_eq!(connection.line("CONFIG SET appendonly yes"), Value::ok());
    connection.line("SET then 1");
    rewritten(&mut connection);
    connection.line("SET now 1");
    let want = digest(&mut connection);
    end(server);
    let server = setup(&directory, SEVERAL).start();
    let mut connection = server.connect();
    assert_eq!(digest(&mut connection), want);
    assert_eq!(connection.line("GET only").string(), "1");
}

#[test]
fn the_log_is_rewritten_when_it_has_grown() {
    let directory = directory();
    let server = setup(&directory, SEVERAL)
        .with("auto-aof-rewrite-min-size", "10000")
        .start();
    let mut connection = server.connect();
    let value = "x".repeat(1000);
    for i in 0..100 {
        connection.line(&format!("SET key:{} {value}", i % 3));
    }
    until("a rewrite", || {
        (info(&mut connection, "aof_rewrites") != "0").then_some(())
    });
    rewritten(&mut connection);
    let base: u64 = info(&mut connection, "aof_base_size")
        .parse()
        .expect("a size");
    assert!(base < 100_000, "{base}");
}

#[test]
fn a_dump_becomes_the_first_base() {
    let directory = directory();
    let want = {
        let server = crate::snapshot::setup(&directory, SEVERAL).start();
        let mut connection = server.connect();
        fill(&mut connection, true);
        assert_eq!(connection.line("SAVE"), Value::ok());
        digest(&mut connection)
    };
    for _ in 0..2 {
        let server = setup(&directory, SEVERAL).start();
        let mut connection = server.connect();
        assert_eq!(digest(&mut connection), want);
        end(server);
        let _ = fs::remove_file(directory.0.join("dump.rdb"));
    }
}

/// A log that was cut off, or has a damaged end, is read up to there; another one is refused.
#[test]
fn damage_is_found() {
    let directory = directory();
    let path = {
        let server = setup(&directory, SEVERAL)
            .with("appendfsync", "always")
            .start();
        let mut connection = server.connect();
        for i in 0..50 {
            connection.line(&format!("MSET a:{i} {i} b:{i} {i} c:{i} {i}"));
        }
        end(server);
        increment(&directory)
    };
    let good = fs::read(&path).expect("it is there");
    let with = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("it can be written");
    };
    // Cut off in the last block: it goes, and all of it.
    with(&good[..good.len() - 20]);
    {
        let server = setup(&directory, SEVERAL).start();
        let mut connection = server.connect();
        assert_eq!(
            connection.line("DBSIZE"),
            Value::Int(147),
            "{}",
            server.log()
        );
        assert!(
            server.log().contains("It is cut off there"),
            "{}",
            server.log()
        );
        end(server);
    }
    // If that is allowed.
    with(&good[..good.len() - 20]);
    let strict = setup(&directory, SEVERAL).with("aof-load-truncated", "no");
    let why = strict.try_start().expect_err("it is damaged");
    assert!(why.contains("aof-load-truncated"), "{why}");
    assert_eq!(fs::read(&path).expect("it is there").len(), good.len() - 20);
    // A bit in the middle: what stands behind was acknowledged, so nothing is cut off.
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 4;
    with(&bad);
    let refused = setup(&directory, SEVERAL).try_start();
    let why = refused.expect_err("it is damaged");
    assert!(why.contains("is damaged after byte"), "{why}");
    assert_eq!(fs::read(&path).expect("it is there"), bad);
}

#[test]
fn who_comes_while_the_log_is_read_is_told_so() {
    let directory = directory();
    {
        let server = setup(&directory, 1).start();
        let mut connection = server.connect();
        let value = "x".repeat(100);
        for i in 0..200 {
            let pairs: Vec<String> = (0..500).map(|j| format!("k:{i}:{j} {value}")).collect();
            connection.line(&format!("MSET {}", pairs.join(" ")));
        }
        end(server);
    }
    let server = setup(&directory, SEVERAL).early().start();
    let mut connection = server.connect();
    let mut told = 0;
    until("the log to be executed", || {
        let reply = connection.line("GET k:1:1");
        if reply.is_error() {
            let text = reply.to_string();
            assert!(
                text.contains("LOADING Redis is loading the dataset"),
                "{text}"
            );
            assert!(!connection.line("INFO").is_error());
            told += 1;
        }
        (!reply.is_error()).then_some(())
    });
    assert_eq!(connection.line("DBSIZE"), Value::Int(100_000));
    println!("told {told} times");
}

/// What is given more time after the base was written has it when that is read, however late.
#[test]
fn what_was_given_more_time_is_there_later() {
    let directory = directory();
    {
        let server = setup(&directory, SEVERAL).start();
        let mut connection = server.connect();
        for i in 0..10 {
            connection.line(&format!("SET stays:{i} v PX 4000"));
            connection.line(&format!("SET goes:{i} v PX 4000"));
            connection.line(&format!("HSET hash:{i} stays v goes v"));
            connection.line(&format!("HPEXPIRE hash:{i} 4000 FIELDS 2 stays goes"));
        }
        connection.line("BGREWRITEAOF");
        rewritten(&mut connection);
        for i in 0..10 {
            let given = connection.line(&format!("PEXPIRE stays:{i} 100000"));
            assert_eq!(given, Value::Int(1), "the rewrite took too long");
            connection.line(&format!("HPERSIST hash:{i} FIELDS 1 stays"));
        }
        end(server);
    }
    std::thread::sleep(Duration::from_millis(4100));
    let server = setup(&directory, 2).start();
    let mut connection = server.connect();
    for i in 0..10 {
        assert_eq!(connection.line(&format!("GET stays:{i}")).string(), "v");
        assert_eq!(connection.line(&format!("GET goes:{i}")), Value::NullBulk);
        let fields = connection.line(&format!("HMGET hash:{i} stays goes"));
        assert_eq!(
            fields,
            Value::Array(vec![Value::bulk("v"), Value::NullBulk])
        );
    }
}

#[test]
fn the_tool_tells_what_a_log_has_and_mends_it() {
    let directory = directory();
    {
        let server = setup(&directory, SEVERAL)
            .with("appendfsync", "always")
            .start();
        let mut connection = server.connect();
        fill(&mut connection, true);
        connection.line("BGREWRITEAOF");
        rewritten(&mut connection);
        for i in 0..20 {
            connection.line(&format!("SET after:{i} {i}"));
        }
        end(server);
    }
    let manifest = directory.0.join("appendonlydir/appendonly.aof.manifest");
    let program = Program::Judged.path().expect("it has been started");
    let check = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["check", "aof"]).args(words).arg(&manifest);
        let output = command.output().expect("it can be started");
        let told = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&told).into_owned(),
        )
    };
    let (good, told) = check(&[]);
    assert!(good, "{told}");
    for fact in ["aof-base: 1", "commands: 40", "all its files are good"] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    let path = increment(&directory);
    let mut bytes = fs::read(&path).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).expect("it can be written");
    let (good, told) = check(&[]);
    assert!(!good, "{told}");
    for fact in ["is damaged after byte", "whole blocks", "was durable"] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    assert_eq!(fs::read(&path).expect("it is there"), bytes);
    let (mended, told) = check(&["--fix"]);
    assert!(mended && told.contains("was cut off there"), "{told}");
    let (good, told) = check(&[]);
    assert!(good, "{told}");
    let server = setup(&directory, 1).start();
    let mut connection = server.connect();
    assert_eq!(connection.line("GET after:0").string(), "0");
    assert_eq!(connection.line("GET after:19"), Value::NullBulk);
}

/// The seconds that an increment tells.
fn stamps(directory: &Directory) -> Vec<String> {
    let bytes = fs::read(increment(directory)).expect("it is there");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let stamps = text
        .split("\r\n")
        .filter_map(|line| line.strip_prefix("#TS:"));
    stamps.map(str::to_owned).collect()
}

#[test]
fn a_log_with_timestamps_can_be_cut_off_at_one() {
    let directory = directory();
    {
        let server = setup(&directory, SEVERAL)
            .with("appendfsync", "always")
            .start();
        let mut connection = server.connect();
        connection.line("SET unstamped 1");
        assert!(stamps(&directory).is_empty());
        connection.line("CONFIG SET aof-timestamp-enabled yes");
        connection.line("MSET early 1 as 2 well 3");
        until("another second", || {
            connection.line("INCR late");
            let stamps = stamps(&directory);
            let told: Vec<i64> = stamps.iter().map(|s| s.parse().expect("a time")).collect();
            assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
            (told.len() > 1).then_some(())
        });
        connection.line("SET last 1");
        end(server);
    }
    let manifest = directory.0.join("appendonlydir/appendonly.aof.manifest");
    let mut tool = Command::new("redis-check-aof");
    tool.args(["--truncate-to-timestamp", &stamps(&directory)[0]]);
    let output = tool.arg(&manifest).output().expect("it is installed");
    assert!(output.status.success(), "{output:?}");
    let server = setup(&directory, 1).start();
    let mut connection = server.connect();
    let reply = connection.line("EXISTS unstamped early as well");
    assert_eq!(reply, Value::Int(4));
    assert_eq!(connection.line("GET last"), Value::NullBulk);
}

#[test]
fn writes_are_refused_while_the_log_cannot_be_written() {
    for operation in ["fail-append:2", "fail-sync:3"] {
        let directory = directory();
        let server = setup(&directory, SEVERAL)
            .environment("SHOAL_CRASH", operation)
            .start();
        let mut connection = server.connect();
        let mut written = 0;
        until("the disk to be full", || {
            let reply = connection.line(&format!("SET key:{written} {written}"));
            if reply.is_error() {
                let text = reply.to_string();
                assert!(
                    text.contains("MISCONF Errors writing to the AOF file"),
                    "{text}"
                );
                assert_eq!(info(&mut connection, "aof_last_write_status"), "err");
                assert_eq!(connection.line("GET key:0").string(), "0");
                return Some(());
            }
            written += 1;
            None
        });
        until("room on the disk", || {
            let reply = connection.line("SET then 1");
            (reply == Value::ok()).then_some(())
        });
        assert_eq!(info(&mut connection, "aof_last_write_status"), "ok");
        if operation.contains("sync") {
            until("a rewrite", || {
                (info(&mut connection, "aof_rewrites") != "0").then_some(())
            });
            rewritten(&mut connection);
        }
        end(server);
        let server = setup(&directory, 1).start();
        let mut connection = server.connect();
        let keys = Value::Int(written + 1);
        assert_eq!(
            connection.line_if_open("DBSIZE"),
            keys,
            "{operation} {}",
            server.log()
        );
    }
}

#[test]
fn with_always_an_error_of_the_disk_ends_the_server() {
    for operation in ["fail-append:5", "fail-sync:8"] {
        let directory = directory();
        let mut server = setup(&directory, SEVERAL)
            .with("appendfsync", "always")
            .environment("SHOAL_CRASH", operation)
            .start();
        let mut connection = server.connect();
        let mut told = 0;
        while connection.line_if_open(&format!("SET key:{told} 1")) == Value::ok() {
            told += 1;
            assert!(told < 1000, "nothing fails");
        }
        assert_eq!(server.wait().code(), Some(1), "{}", server.log());
        assert!(server.log().contains("'always'"), "{}", server.log());
        let server = setup(&directory, 1).start();
        let mut connection = server.connect();
        let Value::Int(found) = connection.line("DBSIZE") else {
            panic!("DBSIZE answers a number");
        };
        assert!(
            found == told || found == told + 1,
            "{operation}: {found} of {told}"
        );
    }
}

/// A log of one file, as servers before Redis 7.0 have it: commands alone, or behind a dump.
#[test]
fn a_log_of_one_file_becomes_a_directory() {
    let commands = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\nold\r\n$1\r\n1\r\n";
    for with_dump in [false, true] {
        let directory = directory();
        let old = directory.0.join("appendonly.aof");
        let mut content = Vec::new();
        if with_dump {
            let server = crate::snapshot::setup(&directory, 1).start();
            let mut connection = server.connect();
            connection.line("SET dumped 1");
            assert_eq!(connection.line("SAVE"), Value::ok());
            content = fs::read(directory.0.join("dump.rdb")).expect("it was written");
        }
        content.extend_from_slice(commands.as_bytes());
        fs::write(&old, content).expect("it can be written");
        for round in 0..3 {
            let server = setup(&directory, SEVERAL).start();
            let mut connection = server.connect();
            assert_eq!(connection.line("GET old").string(), "1");
            let dumped = connection.line("EXISTS dumped");
            assert_eq!(dumped, Value::Int(with_dump.into()));
            assert_eq!(connection.line("INCR rounds"), Value::Int(round + 1));
            assert!(!old.exists());
            end(server);
        }
    }
}
