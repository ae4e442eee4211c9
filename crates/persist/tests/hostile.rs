//! Payloads and files that somebody has damaged are refused, or are values that can be used.

mod values;

use persist::{Error, Event, Reader};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use store::shard::Expiry;
use store::{Limits, Look};
use values::*;

/// Changes of bytes.
fn damage() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(vec![0u8, 1, 0x7f, 0x80, 0x81, 0xc0, 0xc3, 0xfe, 0xff]),
    ];
    prop::collection::vec((any::<usize>(), byte), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_values_are_refused_or_can_be_used(
        model in model(), damage in damage(), cut in 0..20usize,
    ) {
        let mut shard = shard();
        put(&mut shard, b"k", &model, Expiry::Clear, &Limits::DEFAULT);
        let good = dump(&mut shard, b"k");
        let mut body = good[..good.len() - 10].to_vec();
        for (at, byte) in damage {
            let at = at % body.len();
            body[at] = byte;
        }
        body.truncate(body.len().saturating_sub(cut.saturating_sub(15)));
        for version in [11, 12, 80] {
            if restore(&mut shard, b"l", &payload(&body, version)).is_ok() {
                let before = at(&mut shard, b"l").0;
                let again = dump(&mut shard, b"l");
                restore(&mut shard, b"m", &again).expect("what was taken is valid");
                // NaN aside, which is no score.
                prop_assert_eq!(before, at(&mut shard, b"m").0);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(kind in 0..27u8, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let body = [&[kind], &bytes[..]].concat();
        let mut shard = shard();
        for version in [1, 12, 80] {
            if restore(&mut shard, b"k", &payload(&body, version)).is_ok() {
                let again = dump(&mut shard, b"k");
                restore(&mut shard, b"k", &again).expect("what was taken is valid");
            }
        }
        let file = [&b"REDIS0012"[..], &body].concat();
        let mut reader = Reader::new(&file[..], Limits::DEFAULT).expect("it begins as one");
        while let Ok(Some(event)) = reader.next() {
            if let Event::Key(entry) = event {
                let key = shard.key(entry.key);
                entry.value.put(&mut shard, 0, key, Expiry::Clear);
            }
        }
    }
}

#[test]
fn values_that_cannot_be() {
    let intset = |ints: &[i16]| {
        let mut bytes = vec![2, 0, 0, 0, ints.len() as u8, 0, 0, 0];
        bytes.extend(ints.iter().flat_map(|n| n.to_le_bytes()));
        [&[11, bytes.len() as u8], &bytes[..]].concat()
    };
    let listpack = |kind: u8, entries: &[u8], n: u8| {
        let len = entries.len() as u8 + 7;
        [&[kind, len, len, 0, 0, 0, n, 0], entries, &[0xff]].concat()
    };
    let a = b"\x81a\x02";
    let pair = |first: &[u8], second: &[u8]| [first, second].concat();
    let score = |bytes: &[u8]| [&b"\x03\x01\x01m"[..], bytes].concat();
    for (what, body) in [
        ("no type", vec![]),
        ("a text that ends early", b"\0\x05hell".to_vec()),
        ("an unknown form of a text", b"\0\xc4".to_vec()),
        ("a list of none", b"\x01\0".to_vec()),
        ("a set of none", b"\x02\0".to_vec()),
        ("a hash of none", b"\x04\0".to_vec()),
        ("a sorted set of none", b"\x05\0".to_vec()),
        ("a quicklist of none", b"\x12\0".to_vec()),
        ("a node of no kind", b"\x12\x01\x03\x01a".to_vec()),
        ("a member twice", b"\x02\x02\x01a\x01a".to_vec()),
        ("a field twice", b"\x04\x02\x01a\x01b\x01a\x01c".to_vec()),
        ("an integer twice", intset(&[1, 1])),
        ("integers in no order", intset(&[2, 1])),
        ("no integers", intset(&[])),
        ("an empty listpack of a hash", listpack(16, b"", 0)),
        ("an empty listpack of a set", listpack(20, b"", 0)),
        ("an empty listpack of a sorted set", listpack(17, b"", 0)),
        ("a field without value", listpack(16, a, 1)),
        ("a member twice, packed", listpack(20, &pair(a, a), 2)),
        (
            "an integer twice, once as text",
            listpack(20, b"\x01\x01\x811\x02", 2),
        ),
        ("a score that is none", listpack(17, &pair(a, a), 2)),
        ("too few packed", listpack(20, a, 2)),
        ("a score that is no number", score(b"\xfd")),
        ("a score that is nan", score(b"\x03nan")),
        ("a score of nothing", score(b"\0")),
        ("a type of nobody", b"\x08\0".to_vec()),
        ("a type to come", b"\x1a\0".to_vec()),
        (
            "a module",
            b"\x07\x81\x12\x34\x56\x78\x9a\xbc\xde\xf0\0".to_vec(),
        ),
        (
            "packed fields that expire at a text",
            listpack(23, &[&a[..], a, a].concat(), 3),
        ),
        (
            "a field that expires before time began",
            listpack(23, &[&a[..], a, &[0xdf, 0xff, 2]].concat(), 3),
        ),
    ] {
        let mut shard = shard();
        let result = restore(&mut shard, b"k", &payload(&body, 12));
        assert!(result.is_err(), "{what}");
        assert_eq!(shard.len(0), 0, "{what}");
    }
}

#[test]
fn payloads_with_the_wrong_end() {
    let good = payload(b"\0\x01a", 6);
    let check = |bytes: &[u8]| persist::dump::Payload::check(bytes).map(drop);
    assert!(check(&good).is_ok());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        let refused = check(&bad);
        assert!(
            matches!(refused, Err(Error::Checksum { .. } | Error::Version(_))),
            "{at}"
        );
        assert!(check(&good[..at]).is_err(), "{at}");
    }
    for (version, known) in [
        (0, true),
        (1, true),
        (12, true),
        (13, false),
        (79, false),
        (80, true),
        (81, false),
    ] {
        assert_eq!(
            check(&payload(b"\0\x01a", version)).is_ok(),
            known,
            "{version}"
        );
    }
}

#[test]
fn files_with_the_wrong_beginning_or_end() {
    let end = |head: &[u8]| {
        let mut file = [head, b"\xfe\0\0\x01k\x01v\xff"].concat();
        let crc = persist::crc64::update(0, &file);
        file.extend(crc.to_le_bytes());
        file
    };
    let run = |file: &[u8]| -> Result<usize, Error> {
        let mut reader = Reader::new(file, Limits::DEFAULT)?;
        let mut keys = 0;
        while let Some(event) = reader.next()? {
            keys += usize::from(matches!(event, Event::Key(_)));
        }
        Ok(keys)
    };
    for head in ["REDIS0005", "REDIS0012", "VALKEY080"] {
        assert!(matches!(run(&end(head.as_bytes())), Ok(1)), "{head}");
    }
    for head in [
        "REDIS0000",
        "REDIS0013",
        "REDIS0080",
        "VALKEY011",
        "VALKEY081",
    ] {
        assert!(
            matches!(run(&end(head.as_bytes())), Err(Error::Version(_))),
            "{head}"
        );
    }
    for head in ["REDIS00x1", "RADIS0012", "valkey080"] {
        assert!(
            matches!(run(&end(head.as_bytes())), Err(Error::Signature)),
            "{head}"
        );
    }
    let good = end(b"REDIS0009");
    for len in 0..good.len() {
        assert!(matches!(run(&good[..len]), Err(Error::Truncated)), "{len}");
    }
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    assert!(matches!(run(&bad), Err(Error::Checksum { .. })));
    bad[last - 7..].fill(0);
    assert!(matches!(run(&bad), Ok(1)), "it has no checksum");
    // The first versions had none, and ended with the opcode.
    assert!(matches!(run(b"REDIS0001\xfe\0\0\x01k\x01v\xff"), Ok(1)));
}

/// A length is only believed when the bytes are there.
#[test]
fn promises_take_no_memory() {
    let huge = b"\x81\0\0\0\x0f\0\0\0\0";
    let mut shard = shard();
    restore(&mut shard, b"k", &payload(b"\0\x01v", 6)).expect("it is valid");
    LARGEST.set(0);
    for kind in 0..27u8 {
        for head in [&b""[..], b"\0\0\0\0\0\0\0\0", b"\x01\x01a", b"\x01\x02"] {
            let body = [&[kind], head, huge, b"\x01a"].concat();
            let _ = restore(&mut shard, b"k", &payload(&body, 12));
            let file = [&b"REDIS0012"[..], &body[..1], b"\x01k", &body[1..]].concat();
            let mut reader = Reader::new(&file[..], Limits::DEFAULT).expect("it begins as one");
            while let Ok(Some(_)) = reader.next() {}
        }
    }
    assert!(LARGEST.get() <= 1 << 20, "{}", LARGEST.get());
}

thread_local! {
    /// Bytes of the largest allocation of a thread.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Watched;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// Keys without elements are left out of files, as Redis does, and refused as payloads.
#[test]
fn empty_collections_are_left_out() {
    let file = b"REDIS0004\xfc\x01\0\0\0\0\0\0\0\x02\x01e\0\0\x01k\x01v\xff";
    let mut reader = Reader::new(&file[..], Limits::DEFAULT).expect("it begins as one");
    match reader.next() {
        Ok(Some(Event::Key(entry))) => assert_eq!((entry.key, entry.expiry), (&b"k"[..], None)),
        _ => panic!("there is a key"),
    }
    assert!(matches!(reader.next(), Ok(None)));
    assert_eq!(reader.skipped(), 1);
    let mut shard = shard();
    assert!(restore(&mut shard, b"k", &payload(b"\x02\0", 6)).is_err());
    let key = shard.key(b"k");
    assert!(shard.look(0, key, Look::Peek).is_none());
}
