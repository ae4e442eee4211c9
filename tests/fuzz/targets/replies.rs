//! Whatever is written to a reply, a client reads the same.

#![no_main]

mod choices;
#[path = "../../../crates/resp/tests/decoder/mod.rs"]
mod decoder;
#[path = "../../../crates/resp/tests/script/mod.rs"]
mod script;

use choices::Choices;
use decoder::decode_all;
use libfuzzer_sys::fuzz_target;
use resp::reply::SHARE_MIN;
use resp::{Protocol, Reply};
use script::{Close, Item, expected, write};

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let mut items = Vec::new();
    while !choices.is_empty() && items.len() < 100 {
        items.push(item(&mut choices, 0));
    }
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut reply = Reply::new(protocol);
        items.iter().for_each(|i| write(&mut reply, i));
        let wire = reply.to_vec();
        assert_eq!(wire.len(), reply.len());
        let resp3 = protocol == Protocol::Resp3;
        let want = items.iter().map(|i| expected(i, resp3)).collect();
        assert_eq!(decode_all(&wire), Some(want));
    }
});

/// Characters that a line may have.
fn line(choices: &mut Choices<'_>) -> String {
    let bytes = choices.bytes(30);
    bytes.iter().map(|b| char::from(b' ' + b % 95)).collect()
}

fn int(choices: &mut Choices<'_>) -> i64 {
    let bytes = std::array::from_fn(|_| choices.byte());
    i64::from_le_bytes(bytes) >> (8 * choices.below(8))
}

fn item(choices: &mut Choices<'_>, depth: usize) -> Item {
    let close = if choices.byte().is_multiple_of(2) {
        Close::First
    } else {
        Close::Last
    };
    let several = |choices: &mut Choices<'_>| -> Vec<Item> {
        let n = choices.below(13);
        (0..n).map(|_| item(choices, depth + 1)).collect()
    };
    let kinds = if depth < 5 { 21 } else { 15 };
    match choices.below(kinds) {
        0 => Item::Ok,
        1 => Item::Simple(line(choices)),
        2 => Item::Error(choices.bytes(200)),
        3 | 4 => Item::Int(int(choices)),
        5 | 6 => Item::Bulk(choices.bytes(255)),
        7 => Item::Shared(SHARE_MIN - 2 + choices.below(5), choices.byte()),
        8 => Item::BulkInt(int(choices)),
        9 => Item::Null,
        10 => Item::NullArray,
        11 => Item::Bool(choices.byte().is_multiple_of(2)),
        12 => Item::Double(line(choices)),
        13 => Item::BigNumber(line(choices)),
        14 => Item::Verbatim(choices.bytes(255)),
        15 => Item::Array(several(choices), close),
        16 => Item::Set(several(choices), close),
        17 => Item::Push(several(choices)),
        18 => {
            let n = choices.below(7);
            let pair = |_| (item(choices, depth + 1), item(choices, depth + 1));
            Item::Map((0..n).map(pair).collect(), close)
        }
        19 => {
            let pair = (item(choices, depth + 1), item(choices, depth + 1));
            Item::Attributed(Box::new(pair), Box::new(item(choices, depth + 1)))
        }
        _ => Item::Withdrawn(several(choices), Box::new(item(choices, depth + 1))),
    }
}
