//! How long the parser takes for a command of a pipeline, and the encoder for a reply.
//!
//! `cargo run --release -p shoal-resp --example parse_speed [ROUNDS [NAME]]`. For instructions instead
//! of time, run one NAME under `valgrind --tool=callgrind` with two counts of ROUNDS and compare.

use resp::parse::{Batch, Frame, Input, Limits};
use resp::{Protocol, Reply};
use std::hint::black_box;
use std::time::Instant;

const PIPELINE: usize = 100;
const ROUNDS: usize = 200_000;
const LIMITS: Limits = Limits {
    max_bulk: 512 << 20,
    authenticated: true,
};

/// Times `work`, which does one pipeline's worth, and prints nanoseconds per command: the best of
/// five runs, because whatever else the machine does only ever adds.
fn time(name: &str, rounds: usize, mut work: impl FnMut()) {
    if std::env::args().nth(2).is_some_and(|only| only != name) {
        return;
    }
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..rounds {
            work();
        }
        let ns = start.elapsed().as_nanos() as f64;
        best = best.min(ns / (rounds * PIPELINE) as f64);
    }
    println!("{name:<28} {best:7.1} ns");
}

/// Parses `wire`, cut into reads of `piece` bytes, and looks at each command's name.
fn parse(name: &str, rounds: usize, wire: &[u8], piece: usize) {
    let (mut input, mut batch, mut frame) = (Input::default(), Batch::default(), Frame::default());
    time(name, rounds, || {
        for data in wire.chunks(piece) {
            let data = black_box(data);
            let parsed = input.parse(data, LIMITS, &mut batch, &mut frame);
            for i in 0..batch.len() {
                black_box(batch.command(i, parsed.buf).get(0));
            }
            let n = batch.len();
            input.finish(data, &mut batch, &frame, n);
        }
    });
}

/// Encodes a pipeline's worth of replies.
fn encode(name: &str, rounds: usize, write: impl Fn(&mut Reply)) {
    let mut reply = Reply::new(Protocol::Resp2);
    time(name, rounds, || {
        for _ in 0..PIPELINE {
            write(&mut reply);
        }
        black_box(reply.bytes());
        reply.clear();
    });
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let rounds = rounds.unwrap_or(ROUNDS);
    let ping = b"*1\r\n$4\r\nPING\r\n".repeat(PIPELINE);
    let get = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000012345\r\n".repeat(PIPELINE);
    let set = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n$16\r\nvalue:0000012345\r\n";
    let set = set.repeat(PIPELINE);
    parse("parse PING", rounds, &ping, ping.len());
    parse("parse GET", rounds, &get, get.len());
    parse("parse SET", rounds, &set, set.len());
    parse("parse SET, reads of 1448", rounds, &set, 1448);
    encode("encode OK", rounds, Reply::ok);
    encode("encode bulk of 16", rounds, |r| {
        r.bulk(black_box(b"value:0000012345"))
    });
    encode("encode bulk of 1000", rounds, |r| {
        r.bulk(black_box(&[b'x'; 1000]))
    });
    encode("encode integer", rounds, |r| r.int(black_box(123_456)));
    encode("encode null", rounds, Reply::null);
}
