//! Bytes that are no proper requests, and proper ones cut at any place, on both servers.
//!
//! Every stream is sent twice: as it is, then with a PING behind it, which shows whether the server
//! still listens. The sending side is shut down afterwards, and what comes until the server closes
//! has to agree.

use harness::connection::frame;
use harness::server::SEVERAL;
use harness::value::quoted;
use harness::{Connection, Program, Seed, Server, Value, scaled};

/// Streams with something wrong in them, or unusual.
const STREAMS: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("a line end", b"\r\n"),
    ("several line ends", b"\r\n\n\r\n"),
    ("inline", b"PING\r\n"),
    ("inline, line feed only", b"PING\n"),
    ("inline, carriage return only", b"PING\rPING\r\n"),
    ("inline, spaces around", b"   PING   hello   \r\n"),
    ("inline, tabs", b"\tPING\thello\r\n"),
    (
        "inline, double quotes",
        b"SET k \"a \\x41\\n\\\"b\"\r\nGET k\r\n",
    ),
    (
        "inline, single quotes",
        b"SET k 'a \\x41 \\'b'\r\nGET k\r\n",
    ),
    ("inline, empty quotes", b"SET k \"\"\r\nGET k\r\n"),
    ("inline, quotes after text", b"SET k a\"b\"\r\nGET k\r\n"),
    ("inline, open quote", b"SET k \"abc\r\n"),
    ("inline, open single quote", b"SET k 'abc\r\n"),
    ("inline, text after quote", b"SET k \"a\"b\r\n"),
    ("inline, only a quote", b"\"\r\n"),
    ("inline, zero byte", b"PI\0NG\r\n"),
    ("inline, zero byte in front", b"\0PING\r\n"),
    (
        "inline, all escapes",
        b"SET k \"\\a\\b\\n\\r\\t\\q\\xzz\\x4\"\r\nGET k\r\n",
    ),
    ("inline, unfinished", b"PING"),
    ("inline, high bytes", b"\xff\xfe\r\n"),
    ("no arguments", b"*0\r\n"),
    ("negative count", b"*-1\r\n"),
    ("very negative count", b"*-100\r\n"),
    ("several empty ones", b"*0\r\n*-1\r\n*0\r\n"),
    ("count without digits", b"*\r\n"),
    ("count that is no number", b"*abc\r\n"),
    ("count with a space", b"* 1\r\n"),
    ("count with a space behind", b"*1 \r\n$4\r\nPING\r\n"),
    ("count with a plus", b"*+1\r\n$4\r\nPING\r\n"),
    ("count with zeros", b"*01\r\n$4\r\nPING\r\n"),
    ("count of minus zero", b"*-0\r\n"),
    ("count with a point", b"*1.0\r\n"),
    ("count just too large", b"*2147483648\r\n"),
    ("count beyond 64 bits", b"*9223372036854775808\r\n"),
    ("count far beyond", b"*99999999999999999999999\r\n"),
    ("count with a lone line feed", b"*1\n$4\r\nPING\r\n"),
    ("count with a wrong line end", b"*1\rX$4\r\nPING\r\n"),
    ("no dollar", b"*1\r\nPING\r\n"),
    ("integer instead", b"*1\r\n:4\r\nPING\r\n"),
    ("array instead", b"*1\r\n*1\r\n$4\r\nPING\r\n"),
    ("zero byte instead of dollar", b"*1\r\n\x00\r\n"),
    ("line end instead of dollar", b"*1\r\n\r\n"),
    ("high byte instead of dollar", b"*1\r\n\xff4\r\n"),
    ("length without digits", b"*1\r\n$\r\n"),
    ("length that is no number", b"*1\r\n$abc\r\n"),
    ("negative length", b"*1\r\n$-1\r\n"),
    ("length with a plus", b"*1\r\n$+4\r\nPING\r\n"),
    ("length with zeros", b"*1\r\n$04\r\nPING\r\n"),
    ("length with a space", b"*1\r\n$ 4\r\nPING\r\n"),
    ("length too large", b"*1\r\n$536870913\r\n"),
    ("length far too large", b"*1\r\n$4294967296\r\n"),
    ("length beyond 64 bits", b"*1\r\n$9223372036854775808\r\n"),
    (
        "length of the largest number",
        b"*1\r\n$9223372036854775807\r\n",
    ),
    ("largest length, no bytes", b"*1\r\n$536870912\r\n"),
    ("length zero as command", b"*1\r\n$0\r\n\r\n"),
    ("length zero as argument", b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"),
    ("length too short", b"*1\r\n$3\r\nPING\r\n"),
    ("length too long", b"*1\r\n$5\r\nPING\r\n"),
    ("bytes without a line end", b"*2\r\n$4\r\nECHOXX$1\r\na\r\n"),
    ("unfinished bulk", b"*2\r\n$4\r\nECHO\r\n$10\r\nabc"),
    ("unfinished array", b"*3\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
    ("unfinished count", b"*1"),
    ("unfinished length", b"*1\r\n$4"),
    ("good, then bad", b"*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n"),
    ("bad, then good", b"*1\r\n$x\r\n*1\r\n$4\r\nPING\r\n"),
    ("good, bad, good", b"PING\r\n*x\r\nPING\r\n"),
    (
        "inline among arrays",
        b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
    ),
    (
        "binary arguments",
        b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\0\xff\r\n",
    ),
    ("RESP3 types as a request", b"%1\r\n$4\r\nPING\r\n"),
    ("a reply as a request", b"+OK\r\n"),
    ("HTTP POST", b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("HTTP GET", b"GET / HTTP/1.1\r\nAccept: *\r\n\r\n"),
    ("HTTP Host", b"Host: localhost\r\n"),
    ("QUIT, then more", b"QUIT\r\nPING\r\n"),
    ("end of transmission", b"\x04"),
    ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
];

/// Sends the parts one after the other and returns all replies until the server closes.
fn exchange(server: &Server, parts: &[&[u8]]) -> Vec<Value> {
    let mut connection: Connection = server.connect();
    for part in parts {
        if connection.send_raw(part).is_err() {
            break;
        }
    }
    connection.finish()
}

struct Pair {
    theirs: Server,
    ours: Server,
}

impl Pair {
    fn start(directives: &[(&str, &str)], shards: usize) -> Pair {
        let start = |program| {
            let mut setup = Server::setup(program).shards(shards);
            for (name, value) in directives {
                setup = setup.with(name, value);
            }
            setup.start()
        };
        Pair {
            theirs: start(Program::Redis7),
            ours: start(Program::Judged),
        }
    }

    /// What differs when both get the parts, if anything does.
    fn difference(&self, name: &str, parts: &[&[u8]]) -> Option<String> {
        let theirs = exchange(&self.theirs, parts);
        let ours = exchange(&self.ours, parts);
        if theirs == ours {
            return None;
        }
        let show = |replies: &[Value]| {
            replies
                .iter()
                .map(Value::shown)
                .collect::<Vec<_>>()
                .join("\n         ")
        };
        let sent = parts
            .iter()
            .map(|part| quoted(part))
            .collect::<Vec<_>>()
            .join(" ");
        Some(format!(
            "{name}: {sent}\n  theirs {}\n  ours   {}",
            show(&theirs),
            show(&ours)
        ))
    }

    fn compare(&self, streams: &[(String, Vec<u8>)]) -> Vec<String> {
        let mut differences = Vec::new();
        for (name, bytes) in streams {
            let behind = [bytes.as_slice(), b"\r\nPING behind\r\n"].concat();
            let mut found = self.difference(name, &[bytes]);
            found = found.or_else(|| self.difference(&format!("{name}, and more"), &[&behind]));
            if bytes.len() <= 256 {
                let single: Vec<&[u8]> = behind.chunks(1).collect();
                let name = format!("{name}, byte by byte");
                found = found.or_else(|| self.difference(&name, &single));
            }
            differences.extend(found);
        }
        differences
    }
}

fn assert_none(differences: Vec<String>) {
    assert!(
        differences.is_empty(),
        "\n{}\n{} differ",
        differences.join("\n"),
        differences.len()
    );
}

#[test]
fn malformed_streams_are_answered_alike() {
    let pair = Pair::start(&[], 1);
    let mut streams: Vec<(String, Vec<u8>)> = STREAMS
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
        .collect();
    for length in [65_000, 200_000] {
        let long = b"a".repeat(length);
        streams.push((format!("inline of {length}, no end"), long.clone()));
        streams.push((format!("inline of {length}"), [&long[..], b"\r\n"].concat()));
        let digits = b"1".repeat(length);
        streams.push((
            format!("count of {length} digits"),
            [b"*", &digits[..]].concat(),
        ));
        streams.push((
            format!("length of {length} digits"),
            [b"*1\r\n$", &digits[..]].concat(),
        ));
    }
    assert_none(pair.compare(&streams));
}

#[test]
fn limits_before_authentication_are_the_same() {
    let pair = Pair::start(&[("requirepass", "secret")], 1);
    let ping = |words: usize, length: usize| {
        let mut all = vec![b"PING".to_vec()];
        all.resize(words, b"x".repeat(length));
        frame(&all)
    };
    let mut streams: Vec<(String, Vec<u8>)> = STREAMS
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
        .collect();
    for words in [1, 2, 9, 10, 11, 12] {
        streams.push((format!("{words} arguments"), ping(words, 1)));
    }
    for length in [16_383, 16_384, 16_385, 16_386, 100_000] {
        streams.push((format!("argument of {length} bytes"), ping(2, length)));
    }
    streams.push(("a count of a million".to_owned(), b"*1000000\r\n".to_vec()));
    streams.push((
        "a length of a million".to_owned(),
        b"*1\r\n$1000000\r\n".to_vec(),
    ));
    let auth = frame(&["AUTH", "secret"]);
    streams.push((
        "limits lifted".to_owned(),
        [auth.clone(), ping(20, 1)].concat(),
    ));
    streams.push((
        "limits lifted for bytes".to_owned(),
        [auth, ping(2, 100_000)].concat(),
    ));
    assert_none(pair.compare(&streams));
}

#[test]
fn a_smaller_bulk_limit_is_kept() {
    let pair = Pair::start(&[("proto-max-bulk-len", "2mb")], 1);
    let echo = |length: usize| frame(&["ECHO".to_owned(), "x".repeat(length)]);
    let streams: Vec<(String, Vec<u8>)> = [2_097_151, 2_097_152, 2_097_153]
        .map(|length| (format!("argument of {length} bytes"), echo(length)))
        .into();
    assert_none(pair.compare(&streams));
}

/// A stream of proper requests, in both forms.
fn requests(seed: &mut Seed) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..1 + seed.below(8) {
        let key = format!("k{}", seed.below(4));
        let length = if seed.one_in(10) {
            seed.below(40_000)
        } else {
            seed.below(40)
        };
        let value = seed.bytes(length);
        let words: Vec<Vec<u8>> = match seed.below(6) {
            0 => vec![b"SET".to_vec(), key.into(), value],
            1 => vec![b"GET".to_vec(), key.into()],
            2 => vec![b"ECHO".to_vec(), value],
            3 => vec![b"APPEND".to_vec(), key.into(), value],
            4 => vec![b"STRLEN".to_vec(), key.into()],
            _ => {
                stream.extend_from_slice(
                    format!("SET {key} \"a\\x{:02x}b\"\r\n", length % 256).as_bytes(),
                );
                continue;
            }
        };
        stream.extend_from_slice(&frame(&words));
    }
    stream
}

/// Changes some bytes to such as mean something to a parser, drops some, doubles some.
fn damage(seed: &mut Seed, stream: &mut Vec<u8>) {
    for _ in 0..1 + seed.below(4) {
        if stream.is_empty() {
            return;
        }
        let at = seed.below(stream.len());
        match seed.below(4) {
            0 => stream[at] = *seed.pick(b"*$\r\n-0123456789\"'\\ \0"),
            1 => drop(stream.remove(at)),
            2 => stream.insert(at, *seed.pick(b"*$\r\n-0123456789\"' ")),
            _ => stream.truncate(at),
        }
    }
}

#[test]
fn split_and_damaged_streams_are_answered_alike() {
    // Each half of the work; with several shards, a part of a stream is on its way elsewhere when it
    // turns out to be damaged.
    for shards in [1, SEVERAL] {
        streams_agree(&Pair::start(&[], shards), 750);
    }
}

fn streams_agree(pair: &Pair, count: usize) {
    let mut differences = Vec::new();
    for run in 0..scaled(count) as u64 {
        let seed_number = Seed::of_run(run);
        let seed = &mut Seed::new(seed_number);
        for server in [&pair.theirs, &pair.ours] {
            assert_eq!(server.connect().call(&["FLUSHALL"]), Value::ok());
        }
        let mut stream = requests(seed);
        if seed.one_in(2) {
            damage(seed, &mut stream);
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut rest = stream.as_slice();
        while !rest.is_empty() && parts.len() < 40 {
            let (part, after) = rest.split_at(1 + seed.below(rest.len()));
            parts.push(part);
            rest = after;
        }
        parts.push(rest);
        differences.extend(pair.difference(&format!("TEST_SEED={seed_number}"), &parts));
        if differences.len() >= 5 {
            break;
        }
    }
    assert_none(differences);
}
