//! No command with any arguments panics; each writes exactly one whole reply, in both protocols, and
//! says truly whether it has changed the data.

#![no_main]

mod choices;
#[path = "../../../crates/resp/tests/decoder/mod.rs"]
mod decoder;

use choices::Choices;
use command::context::Settings;
use command::spec::Argument;
use command::table::{Run, Table};
use command::{CONTAINERS, Context, Effect, FAMILIES};
use decoder::decode_all;
use libfuzzer_sys::fuzz_target;
use resp::parse::{Batch, Frame, Input, Limits};
use resp::{Protocol, Reply};
use std::sync::LazyLock;
use store::Shard;

/// The longest string, so that no command takes long.
const MAX_STRING: usize = 4096;
const NOW_MS: i64 = 1_700_000_000_000;

static TABLE: LazyLock<Table<()>> = LazyLock::new(|| Table::new(FAMILIES, CONTAINERS, Vec::new()));

/// Words that options are made of, from the grammars, and what values often are.
static WORDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut words = Vec::new();
    for entry in TABLE.entries() {
        collect(entry.spec.arguments, &mut words);
    }
    let others = [
        "",
        "0",
        "1",
        "-1",
        "2",
        "7",
        "8",
        "10",
        "63",
        "64",
        "100",
        "4095",
        "4096",
        "4097",
        "+1",
        "1.5",
        "-0",
        "1e3",
        "inf",
        "-inf",
        "nan",
        "0x10",
        "3.0e-310",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "4294967296",
        "1700000000",
        "1700000000001",
        "u8",
        "i64",
        "u63",
        "u64",
        "i5",
        "#1",
        "#0",
        "AND",
        "NOT",
        "DIFF",
        "ONE",
        "*",
        "k*",
        "[a-z]*",
        "string",
        "STRING",
        "list",
        "HELP",
        "BIT",
        "BYTE",
        "SYNC",
        "ASYNC",
        "15",
        "16",
    ];
    words.extend(others.map(|w| w.as_bytes().to_vec()));
    words.sort();
    words.dedup();
    words
});

fn collect(arguments: &[Argument], words: &mut Vec<Vec<u8>>) {
    for argument in arguments {
        words.extend(argument.token.map(|t| t.as_bytes().to_vec()));
        collect(argument.arguments, words);
    }
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices(input);
    let mut shard = Shard::new(16, [1, 2, 3, 4]);
    let mut now = NOW_MS;
    shard.set_now(now);
    let mut calls = 0;
    while !choices.is_empty() && calls < 60 {
        calls += 1;
        call(&mut shard, &mut choices);
        now += [0, 0, 0, 1500][choices.below(4)];
        shard.set_now(now);
        shard.empty_trash_step();
    }
});

/// Calls one command with arguments that may or may not make sense.
fn call(shard: &mut Shard, choices: &mut Choices<'_>) {
    let entries = TABLE.entries();
    let entry = &entries[choices.below(entries.len())];
    let Run::Data(form) = entry.run else {
        return;
    };
    let mut words: Vec<Vec<u8>> = entry
        .full_name
        .split('|')
        .map(|w| w.as_bytes().to_vec())
        .collect();
    let more = choices.below(9);
    for _ in 0..more {
        words.push(argument(choices));
    }
    if entry.check_arity(words.len()).is_err() {
        return;
    }
    let resp3 = choices.byte().is_multiple_of(2);
    let mut wire = format!("*{}\r\n", words.len()).into_bytes();
    for word in &words {
        wire.extend(format!("${}\r\n", word.len()).bytes());
        wire.extend(word);
        wire.extend(b"\r\n");
    }
    let (mut input, mut batch, mut frame) = (Input::default(), Batch::default(), Frame::default());
    let limits = Limits {
        max_bulk: MAX_STRING as u64,
        authenticated: true,
    };
    let parsed = input.parse(&wire, limits, &mut batch, &mut frame);
    if batch.is_empty() {
        return;
    }
    let args = batch.command(0, parsed.buf);
    for spec in entry.spec.keys {
        for position in spec.positions(args).into_iter().flatten() {
            assert!(position < args.len());
        }
    }
    let protocol = if resp3 {
        Protocol::Resp3
    } else {
        Protocol::Resp2
    };
    let mut reply = Reply::new(protocol);
    let before = shard.changes();
    let outcome = form.handler()(&mut Context {
        shard,
        db: 0,
        args,
        hash: None,
        warm: false,
        reply: &mut reply,
        effects: &mut command::Effects::default(),
        settings: &Settings {
            max_string: MAX_STRING,
            limits: store::Limits::DEFAULT,
            shard: 0,
            shards: 1,
            repeats: false,
            dial: command::generic::migrate::nowhere,
        },
    });
    let shown = || {
        format!(
            "{:?}",
            words
                .iter()
                .map(|w| w.escape_ascii().to_string())
                .collect::<Vec<_>>()
        )
    };
    let changed = shard.changes() != before;
    match outcome {
        Ok(effect) => assert_eq!(changed, effect == Effect::Wrote, "{}", shown()),
        Err(error) => {
            assert!(!changed, "{} failed and changed something", shown());
            reply.clear();
            reply.error(error.text());
        }
    }
    let values = decode_all(&reply.to_vec());
    assert_eq!(values.map(|v| v.len()), Some(1), "{}", shown());
}

fn argument(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.byte() % 8 {
        0..3 => vec![b'a' + choices.byte() % 4],
        3..6 => WORDS[choices.below(WORDS.len())].clone(),
        6 => {
            let bytes = std::array::from_fn(|_| choices.byte());
            let value = i64::from_le_bytes(bytes) >> (8 * choices.below(8));
            value.to_string().into_bytes()
        }
        _ => choices.bytes(80),
    }
}
