//! What is written reads back, in both protocols.

mod cases;
mod decoder;
mod script;

use bytes::Bytes;
use cases::cases;
use decoder::{Value, decode_all};
use proptest::collection::vec;
use proptest::prelude::*;
use resp::reply::{Mark, SHARE_MIN};
use resp::{Protocol, Reply};
use script::{Close, Item, expected, write};

fn close() -> impl Strategy<Value = Close> {
    prop_oneof![Just(Close::First), Just(Close::Last)]
}

fn item() -> impl Strategy<Value = Item> {
    let around = SHARE_MIN - 2..SHARE_MIN + 3;
    let leaf = prop_oneof![
        Just(Item::Ok),
        "[ -~]{0,20}".prop_map(Item::Simple),
        vec(any::<u8>(), 0..20).prop_map(Item::Error),
        any::<i64>().prop_map(Item::Int),
        (-200..200i64).prop_map(Item::Int),
        vec(any::<u8>(), 0..130).prop_map(Item::Bulk),
        (around, any::<u8>()).prop_map(|(len, fill)| Item::Shared(len, fill)),
        (0..12usize, any::<u8>()).prop_map(|(len, fill)| Item::Shared(len, fill)),
        any::<i64>().prop_map(Item::BulkInt),
        Just(Item::Null),
        Just(Item::NullArray),
        any::<bool>().prop_map(Item::Bool),
        "-?[0-9]{1,9}(\\.[0-9]{1,9})?|inf|-inf|nan".prop_map(Item::Double),
        "-?[1-9][0-9]{0,40}".prop_map(Item::BigNumber),
        vec(any::<u8>(), 0..30).prop_map(Item::Verbatim),
    ];
    leaf.prop_recursive(4, 40, 12, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (vec(inner.clone(), 0..12), close()).prop_map(|(i, c)| Item::Array(i, c)),
            (vec(inner.clone(), 0..12), close()).prop_map(|(i, c)| Item::Set(i, c)),
            (vec(pair.clone(), 0..6), close()).prop_map(|(p, c)| Item::Map(p, c)),
            vec(inner.clone(), 0..4).prop_map(Item::Push),
            (pair, inner.clone()).prop_map(|(p, v)| Item::Attributed(p.into(), v.into())),
            (vec(inner.clone(), 0..4), inner).prop_map(|(i, v)| Item::Withdrawn(i, v.into())),
        ]
    })
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_reply_reads_back(items in vec(item(), 1..6)) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut reply = Reply::new(protocol);
            items.iter().for_each(|i| write(&mut reply, i));
            let wire = reply.to_vec();
            prop_assert_eq!(reply.len(), wire.len());
            prop_assert!(!reply.is_empty());
            let resp3 = protocol == Protocol::Resp3;
            let want: Vec<Value> = items.iter().map(|i| expected(i, resp3)).collect();
            prop_assert_eq!(decode_all(&wire), Some(want));
            let (buf, splices) = reply.take();
            let shared: usize = splices.iter().map(|s| s.bytes.len()).sum();
            prop_assert_eq!(buf.len() + shared, wire.len());
            prop_assert!(splices.iter().all(|s| s.bytes.len() >= SHARE_MIN));
            prop_assert_eq!((reply.len(), reply.is_empty()), (0, true));
        }
    }
}

#[test]
fn long_values_are_shared_and_not_copied() {
    let value = Bytes::from(vec![b'v'; SHARE_MIN]);
    let mut reply = Reply::new(Protocol::Resp2);
    let mark = reply.mark();
    reply.bulk_shared(value.clone());
    reply.bulk(b"x");
    reply.bulk_shared(value.clone());
    reply.close_array(mark, 3);
    let at: Vec<usize> = reply.splices().iter().map(|s| s.at).collect();
    let header = "*3\r\n$16384\r\n".len();
    assert_eq!(at, [header, header + "\r\n$1\r\nx\r\n$16384\r\n".len()]);
    for splice in reply.splices() {
        assert_eq!(splice.bytes.as_ptr(), value.as_ptr());
    }
    reply.rewind(mark);
    assert_eq!((reply.len(), reply.splices().len()), (0, 0));
}

#[test]
fn a_mark_in_the_middle_leaves_what_stands_before_it() {
    let value = Bytes::from(vec![b'v'; SHARE_MIN]);
    let mut reply = Reply::new(Protocol::Resp3);
    reply.bulk_shared(value.clone());
    let mark = reply.mark();
    reply.bulk_shared(value);
    reply.ok();
    assert!(reply.since(mark).ends_with(b"+OK\r\n"));
    reply.close_set(mark, 2);
    let bulk = Value::Bulk(vec![b'v'; SHARE_MIN]);
    let set = Value::Set(vec![bulk.clone(), Value::Simple(b"OK".to_vec())]);
    assert_eq!(decode_all(&reply.to_vec()), Some(vec![bulk, set]));
}

#[test]
fn the_wire_forms() {
    let mut reply = Reply::new(Protocol::Resp2);
    reply.error(b"ERR a\r\nb");
    reply.int(-1);
    reply.int(99);
    reply.int(100);
    reply.null();
    reply.null_array();
    reply.bulk(b"");
    reply.map(2);
    let want = "-ERR a  b\r\n:-1\r\n:99\r\n:100\r\n$-1\r\n*-1\r\n$0\r\n\r\n*4\r\n";
    assert_eq!(reply.to_vec(), want.as_bytes());
    reply.clear();
    reply.set_protocol(Protocol::Resp3);
    reply.null();
    reply.boolean(true);
    reply.double_text(b"1.5");
    reply.big_number(b"12345678901234567890");
    reply.verbatim(b"mkd", b"hi");
    reply.push(1);
    reply.attribute(1);
    reply.set(0);
    let want = "_\r\n#t\r\n,1.5\r\n(12345678901234567890\r\n=6\r\nmkd:hi\r\n>1\r\n|1\r\n~0\r\n";
    assert_eq!(reply.to_vec(), want.as_bytes());
}

#[test]
fn values_are_found_one_after_the_other() {
    let long = Bytes::from(vec![b'x'; SHARE_MIN]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut reply = Reply::new(protocol);
        let mut ends = Vec::new();
        let writes: [fn(&mut Reply); 9] = [
            |r| r.int(-5),
            |r| r.bulk(b"a\r\n$3"),
            |r| r.null(),
            |r| r.null_array(),
            |r| r.array(0),
            |r| {
                r.map(1);
                r.bulk(b"k");
                r.array(2);
                r.ok();
                r.int(1);
            },
            |r| r.verbatim(b"txt", b"some"),
            |r| r.error(b"ERR no"),
            |r| r.boolean(true),
        ];
        reply.array(2 * writes.len());
        for write in writes {
            write(&mut reply);
            ends.push(reply.mark());
            reply.bulk_shared(long.clone());
            ends.push(reply.mark());
        }
        let (count, mut at) = reply.aggregate(Mark::default());
        assert_eq!(count, ends.len());
        let mut copy = Reply::new(protocol);
        copy.array(count);
        for end in ends {
            let from = at;
            at = reply.value(at).1;
            assert_eq!(at, end);
            copy.append(&reply, from, at);
        }
        assert_eq!(copy.to_vec(), reply.to_vec());
        assert_eq!(copy.len(), reply.len());
    }
}
