//! Any bytes in any pieces, with any pauses, are the same commands and the same error.

mod cases;
mod oracle;

use cases::cases;
use oracle::{Outcome, feed, read};
use proptest::collection::vec;
use proptest::prelude::*;
use resp::parse::{BLOB_MIN, Batch, Frame, Input, Limits, ProtocolError};
use std::sync::Arc;

const LIMITS: Limits = Limits {
    max_bulk: 512 << 20,
    authenticated: true,
};

fn encoded(args: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        wire.extend(format!("${}\r\n", arg.len()).bytes());
        wire.extend(arg);
        wire.extend(b"\r\n");
    }
    wire
}

/// Bytes that mean something to the parser.
fn syntax() -> impl Strategy<Value = u8> {
    prop::sample::select(b"*$\r\n\r\n01239-+ \"'\\xab\0\x0b\xff:".to_vec())
}

fn argument() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..20),
        2 => vec(syntax(), 0..120),
        1 => (30_000..70_000usize, any::<u8>()).prop_map(|(n, c)| vec![c; n]),
    ]
}

/// A part of a stream: mostly something valid, sometimes something that only looks so.
fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(argument(), 1..5).prop_map(|args| encoded(&args)),
        1 => vec(vec(any::<u8>(), 0..3), 9..14).prop_map(|args| encoded(&args)),
        2 => "[ a-z\"'\\\\]{0,12}\r?\n".prop_map(String::into_bytes),
        2 => prop::sample::select(vec!["*0\r\n", "*-1\r\n", "\r\n", "PING\n"])
            .prop_map(|s| s.as_bytes().to_vec()),
        1 => vec(syntax(), 0..30),
        1 => (65_530..65_540usize, syntax(), syntax()).prop_map(|(n, first, end)| {
            let mut line = vec![b'1'; n];
            line[0] = first;
            line.extend([end, b'\n']);
            line
        }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (
        any::<bool>(),
        prop::sample::select(vec![50, 40_000, 512 << 20]),
    )
        .prop_map(|(authenticated, max_bulk)| Limits {
            max_bulk,
            authenticated,
        })
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![
        3 => 1..4usize,
        3 => 1..60usize,
        1 => 1..70_000usize,
    ];
    vec(length, 1..30)
}

fn agree(bytes: &[u8], limits: Limits, lengths: &[usize], runs: &[usize]) {
    let want = read(bytes, limits);
    let mut lengths = lengths.iter().cycle();
    let mut runs = runs.iter().cycle();
    let got = feed(
        bytes,
        limits,
        || *lengths.next().unwrap(),
        |_| *runs.next().unwrap(),
    );
    assert!(got == want, "{} against {}", show(&got), show(&want));
}

/// An outcome with long arguments abridged.
fn show(outcome: &Outcome) -> String {
    let args = outcome.commands.iter().flatten();
    let args: Vec<String> = args
        .map(|a| format!("{}:{:?}", a.len(), &a[..a.len().min(8)]))
        .collect();
    format!(
        "{} commands {args:?} {:?}",
        outcome.commands.len(),
        outcome.error
    )
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn pieces_and_pauses_change_nothing(
        parts in vec(part(), 1..8),
        limits in limits(),
        lengths in lengths(),
        runs in vec(0..4usize, 1..20),
        // Mostly never pausing.
        pauses in any::<u8>(),
    ) {
        let runs = if pauses < 150 { vec![usize::MAX] } else { runs };
        agree(&parts.concat(), limits, &lengths, &runs);
    }

    #[test]
    fn neither_do_they_for_garbage(
        bytes in vec(syntax(), 0..200),
        lengths in vec(1..20usize, 1..30),
        runs in vec(0..4usize, 1..20),
    ) {
        agree(&bytes, LIMITS, &lengths, &runs);
    }
}

#[test]
fn commands_one_byte_at_a_time() {
    let big = vec![b'v'; BLOB_MIN as usize + 1];
    let args = [b"SET".to_vec(), b"k".to_vec(), big];
    let bytes = [encoded(&args), b"PING\r\n".to_vec(), encoded(&args[..2])].concat();
    agree(&bytes, LIMITS, &[1], &[usize::MAX]);
    agree(&bytes, LIMITS, &[1], &[0]);
}

/// The error after the commands before it, whether the bytes come at once or one by one.
#[track_caller]
fn refused(bytes: &[u8], limits: Limits, want: &[u8]) {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    for piece in [bytes.len(), 1] {
        let got = feed(bytes, limits, || piece, |n| n);
        let line = got.error.map(|e| e.line()).unwrap_or_default();
        let want = if want.is_empty() {
            Vec::new()
        } else {
            want.to_vec()
        };
        assert_eq!(
            String::from_utf8_lossy(&line),
            String::from_utf8_lossy(&want),
            "{text:?}"
        );
        assert_eq!(line, want);
    }
}

#[test]
fn violations_in_redis_words() {
    const COUNT: &[u8] = b"ERR Protocol error: invalid multibulk length";
    const LENGTH: &[u8] = b"ERR Protocol error: invalid bulk length";
    const NONE: &[u8] = b"";
    let cases: &[(&[u8], &[u8])] = &[
        (b"*3\r\n$abc\r\n", LENGTH),
        (b"*-5\r\nPING\r\n", NONE),
        (b"*0\r\nPING\r\n", NONE),
        (b"*1\r\n$-1\r\n", LENGTH),
        (
            b"*1\r\n:5\r\n",
            b"ERR Protocol error: expected '$', got ':'",
        ),
        (
            b"*1\r\n\xff\r\n",
            b"ERR Protocol error: expected '$', got '\xff'",
        ),
        (b"*1\r\n\r\n", b"ERR Protocol error: expected '$', got '\r'"),
        // The line has to be whole first.
        (b"*1\r\nx\r", NONE),
        (
            b"*1\r\nxyz\nab\r\n",
            b"ERR Protocol error: expected '$', got 'x'",
        ),
        (b"*01\r\n", COUNT),
        (b"*+1\r\n", COUNT),
        (b"* 1\r\n", COUNT),
        (b"*1 \r\n", COUNT),
        (b"*\r\n", COUNT),
        (b"*-\r\n", COUNT),
        (b"*-0\r\n", COUNT),
        (b"*x\r\n", COUNT),
        (b"*2147483647\r\n", NONE),
        (b"*2147483648\r\n", COUNT),
        (b"*-9223372036854775808\r\nPING\r\n", NONE),
        (b"*-9223372036854775809\r\n", COUNT),
        (b"*1\n$4\nPING\n*1\r\n", COUNT),
        (b"*1\r\n$04\r\n", LENGTH),
        (b"*1\r\n$+4\r\n", LENGTH),
        (b"*1\r\n$ 4\r\n", LENGTH),
        (b"*1\r\n$\r\n", LENGTH),
        (b"*1\r\n$536870912\r\n", NONE),
        (b"*1\r\n$536870913\r\n", LENGTH),
        (b"*1\r\n$9223372036854775808\r\n", LENGTH),
        (
            b"echo \"a\r\n",
            b"ERR Protocol error: unbalanced quotes in request",
        ),
        // A NUL hides the end of the line.
        (b"*1\0\r\n$4\r\nPING\r\n", NONE),
        (b"*1\r\n$4\0\r\nPING\r\n", NONE),
        (b"PI\0NG\r\nPING\r\n", NONE),
    ];
    for (bytes, want) in cases {
        refused(bytes, LIMITS, want);
    }
}

#[test]
fn lines_have_a_longest_length() {
    let ones = |prefix: &str, n: usize| [prefix.as_bytes(), &vec![b'1'; n]].concat();
    for (prefix, longest, want) in [
        ("*", 65_535, "too big mbulk count string"),
        ("*1\r\n$", 65_535, "too big bulk count string"),
        ("*1\r\n", 65_536, "too big bulk count string"),
        ("", 65_536, "too big inline request"),
    ] {
        let want = format!("ERR Protocol error: {want}");
        refused(&ones(prefix, longest), LIMITS, b"");
        refused(&ones(prefix, longest + 1), LIMITS, want.as_bytes());
        let ended = [ones(prefix, longest + 1), b"\r\n".to_vec()].concat();
        refused(&ended, LIMITS, want.as_bytes());
    }
    let longest = [ones("", 65_535), b"\r\n".to_vec()].concat();
    assert_eq!(read(&longest, LIMITS).commands.len(), 1);
    refused(&longest, LIMITS, b"");
}

#[test]
fn strangers_may_say_little() {
    let stranger = Limits {
        authenticated: false,
        ..LIMITS
    };
    let count = b"ERR Protocol error: unauthenticated multibulk length";
    let length = b"ERR Protocol error: unauthenticated bulk length";
    refused(b"*10\r\n", stranger, b"");
    refused(b"*11\r\n", stranger, count);
    refused(b"*2\r\n$16384\r\n", stranger, b"");
    refused(b"*2\r\n$16385\r\n", stranger, length);
    refused(
        b"*2147483648\r\n",
        stranger,
        b"ERR Protocol error: invalid multibulk length",
    );
    refused(
        b"*1\r\n$536870913\r\n",
        stranger,
        b"ERR Protocol error: invalid bulk length",
    );
    refused(b"a b c d e f g h i j k l m\r\n", stranger, b"");
}

#[test]
fn a_command_may_lift_the_limits_for_the_next_one() {
    let words: Vec<Vec<u8>> = (0..12).map(|i| vec![b'a' + i]).collect();
    let wire = [encoded(&words[..2]), encoded(&words)].concat();
    let (mut input, mut batch, mut frame) = (Input::default(), Batch::default(), Frame::default());
    let stranger = Limits {
        authenticated: false,
        ..LIMITS
    };
    let parsed = input.parse(&wire, stranger, &mut batch, &mut frame);
    assert_eq!(parsed.error, Some(ProtocolError::MultibulkUnauthenticated));
    assert_eq!(batch.len(), 1);
    input.finish(&wire, &mut batch, &frame, 1);
    let parsed = input.parse(&[], LIMITS, &mut batch, &mut frame);
    assert_eq!(parsed.error, None);
    assert_eq!(batch.command(0, parsed.buf).len(), 12);
    input.finish(&[], &mut batch, &frame, 1);
    assert!(!input.is_pending());
}

/// A connection that counts what it is given.
#[derive(Default)]
struct Connection {
    input: Input,
    batch: Batch,
    frame: Frame,
}

impl Connection {
    /// Parses `data`, hands the complete commands to `see`, and says that `run` of them ran.
    fn receive(&mut self, data: &[u8], run: usize, mut see: impl FnMut(resp::Args<'_>)) -> usize {
        let parsed = self
            .input
            .parse(data, LIMITS, &mut self.batch, &mut self.frame);
        assert_eq!(parsed.error, None);
        let count = self.batch.len();
        for i in 0..count.min(run) {
            see(self.batch.command(i, parsed.buf));
        }
        self.input
            .finish(data, &mut self.batch, &self.frame, count.min(run));
        count
    }
}

#[test]
fn a_long_value_arrives_in_one_allocation() {
    let value: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    let wire = encoded(&[b"SET".to_vec(), b"k".to_vec(), value.clone()]);
    for piece in [1000, 16_384, 65_536, wire.len() - 1] {
        for paused in [0, 1] {
            let mut c = Connection::default();
            let mut kept = None;
            let mut see = |args: resp::Args<'_>| {
                let blob = args.blob(2).expect("it has an allocation of its own");
                assert_eq!(blob.capacity(), value.len(), "exactly as long as announced");
                assert_eq!(**blob, value);
                kept = Some(Arc::clone(blob));
            };
            // Behind it stand the next command and half of one more.
            let bytes = [&wire[..], b"PING\r\n*2\r\n$4\r\nECHO\r\n"].concat();
            let mut ran = 0;
            for data in bytes.chunks(piece) {
                let run = if paused > 0 { 0 } else { usize::MAX };
                let n = c.receive(data, run, |args| {
                    if args.len() == 3 {
                        see(args)
                    }
                });
                ran += n.min(run);
            }
            if paused > 0 {
                assert!(c.input.memory() > value.len());
                // What has waited is taken up with one command.
                assert_eq!(c.receive(&[], 1, &mut see), 1);
                ran += 1;
                ran += c.receive(&[], 9, |_| ());
            }
            assert_eq!(ran, 2);
            let kept = kept.expect("the command was seen");
            assert_eq!(
                Arc::strong_count(&kept),
                1,
                "nobody else holds it, piece {piece}"
            );
            assert!(c.input.memory() < 20_000, "{}", c.input.memory());
        }
    }
}

#[test]
fn several_long_values_in_one_command() {
    let values = [
        vec![b'a'; 40_000],
        vec![b'b'; 1_000_000],
        vec![b'c'; 32_768],
    ];
    let mut words = vec![b"MSET".to_vec()];
    for value in &values {
        words.extend([b"k".to_vec(), value.clone()]);
    }
    let wire = encoded(&words);
    let mut c = Connection::default();
    let mut blobs = 0;
    for data in wire.chunks(30_000) {
        c.receive(data, 1, |args| {
            assert!(args.iter().eq(words.iter()));
            blobs = (0..args.len()).filter(|i| args.blob(*i).is_some()).count();
        });
    }
    assert_eq!(blobs, 3);
    assert!(!c.input.is_pending());
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    pages.expect("a number") * 4096
}

#[test]
fn an_announcement_costs_nothing() {
    let mut connections: Vec<Connection> = Vec::new();
    let before = resident();
    for _ in 0..200 {
        let mut c = Connection::default();
        c.receive(b"*1000000\r\n$536870912\r\n", 1, |_| ());
        c.receive(b"x", 1, |_| ());
        assert!(c.input.memory() < 1000, "{}", c.input.memory());
        connections.push(c);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes for 100 GB announced");
}

#[test]
fn idle_connections_keep_nothing() {
    assert_eq!(size_of::<Input>(), size_of::<usize>());
    let mut c = Connection::default();
    c.receive(b"*2\r\n$4\r\nECHO\r\n$2\r\nh", 1, |_| ());
    assert!(c.input.is_pending() && c.input.memory() > 0);
    assert_eq!(c.receive(b"i\r\n", 1, |_| ()), 1);
    assert!(!c.input.is_pending());
    assert_eq!(c.input.memory(), 0);
}

#[test]
fn what_is_kept_shrinks_with_what_is_left() {
    let mut c = Connection::default();
    let ping = b"*1\r\n$4\r\nPING\r\n";
    let many = ping.repeat(100_000);
    // A paused client sends a lot, and half a command behind it.
    c.receive(&many, 0, |_| ());
    c.receive(b"*1\r\n$4\r\n", 0, |_| ());
    assert!(c.input.memory() >= many.len());
    let mut ran = 0;
    loop {
        let n = c.receive(&[], usize::MAX, |_| ());
        assert!(n < 10_000, "one parse takes a bounded share");
        ran += n;
        if n == 0 {
            break;
        }
    }
    assert_eq!(ran, 100_000);
    assert!(c.input.memory() < 70_000, "{}", c.input.memory());
    assert_eq!(c.receive(b"PING\r\n", 1, |_| ()), 1);
    assert_eq!(c.input.memory(), 0);
}
