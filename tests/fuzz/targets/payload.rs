//! Any payload of RESTORE with a right checksum is refused, or makes a key that commands work on and that can
//! be dumped and restored again.

#![no_main]

use command::context::Settings;
use command::table::{Run, Table};
use command::{CONTAINERS, Context, FAMILIES};
use libfuzzer_sys::fuzz_target;
use persist::dump::{self, Payload};
use persist::encode::Compression;
use persist::{Decoder, Encoder, crc64};
use resp::parse::{Batch, Frame, Input, Limits};
use resp::{Protocol, Reply};
use std::sync::LazyLock;
use store::{Look, Shard};

const NOW_MS: i64 = 1_700_000_000_000;
const SETTINGS: Settings = Settings {
    max_string: 1 << 20,
    limits: store::Limits::DEFAULT,
    shard: 0,
    shards: 1,
    repeats: false,
    dial: command::generic::migrate::nowhere,
};

static TABLE: LazyLock<Table<()>> = LazyLock::new(|| Table::new(FAMILIES, CONTAINERS, Vec::new()));

/// Commands that go through everything that a value has, and change it at both ends and in between.
const COMMANDS: &str = "
    GET k
    GETRANGE k 1 2
    LRANGE k 0 -1
    LINDEX k 3
    LINSERT k BEFORE 1 x
    LPUSH k a
    RPUSH k 1
    LREM k 0 1
    LTRIM k 1 -2
    RPOP k
    SMEMBERS k
    SADD k new 7
    SISMEMBER k 7
    SREM k 7
    SPOP k
    HGETALL k
    HSET k f v
    HPEXPIRE k 100000 FIELDS 1 f
    HDEL k f
    HRANDFIELD k 3 WITHVALUES
    HSCAN k 0
    ZRANGE k 0 -1 WITHSCORES
    ZADD k 1.5 new 2 other
    ZRANK k new
    ZINCRBY k 3 new
    ZRANGEBYSCORE k -inf 5
    ZREM k other
    ZPOPMIN k
    XRANGE k - +
    XREVRANGE k + -
    XINFO STREAM k FULL COUNT 0
    XADD k * a 1
    XLEN k
    XGROUP CREATE k fresh 0
    XREADGROUP GROUP fresh c COUNT 3 STREAMS k >
    XAUTOCLAIM k fresh d 0 0
    XINFO GROUPS k
    XINFO CONSUMERS k g
    XPENDING k g
    XPENDING k g IDLE 5 - + 10
    XREADGROUP GROUP g c COUNT 3 STREAMS k 0
    XREADGROUP GROUP g d COUNT 3 STREAMS k >
    XCLAIM k g d 5 1-1 1-2
    XAUTOCLAIM k g d 5 0 COUNT 3
    XACK k g 1-1
    XGROUP DELCONSUMER k g c
    XPENDING k fresh - + 10
    XACK k fresh 1-1
    XTRIM k MAXLEN 1
    XDEL k 1-1
    COPY k l
    DEL l
    SORT k ALPHA LIMIT 0 3
    OBJECT ENCODING k";

fuzz_target!(|input: &[u8]| {
    let Some((version, body)) = input.split_first() else {
        return;
    };
    let version: u16 = if version % 2 == 0 { 12 } else { 80 };
    let mut payload = [body, &version.to_le_bytes()].concat();
    payload.extend(crc64::update(0, &payload).to_le_bytes());
    let mut shard = Shard::new(1, [1, 2, 3, 4]);
    shard.set_now(NOW_MS);
    if !restore(&mut shard, &payload) {
        return;
    }
    let elements = |shard: &mut Shard| {
        let key = shard.key(b"k");
        shard.look(0, key, Look::Peek).map(|item| item.elements())
    };
    let before = elements(&mut shard);
    let first = dump(&mut shard);
    assert!(
        restore(&mut shard, &first),
        "what was taken can be taken again"
    );
    assert_eq!(elements(&mut shard), before);
    for line in COMMANDS.lines().filter(|line| !line.is_empty()) {
        call(&mut shard, line);
        shard.empty_trash_step();
    }
    let key = shard.key(b"k");
    if shard.look(0, key, Look::Peek).is_some() {
        let last = dump(&mut shard);
        assert!(
            restore(&mut shard, &last),
            "what commands have made can be taken"
        );
    }
});

fn restore(shard: &mut Shard, payload: &[u8]) -> bool {
    let mut decoder = Decoder::new(SETTINGS.limits);
    let checked = Payload::check(payload).expect("the checksum is right");
    let Ok(value) = checked.decode(&mut decoder) else {
        return false;
    };
    let key = shard.key(b"k");
    value.put(shard, 0, key, store::shard::Expiry::Clear);
    true
}

fn dump(shard: &mut Shard) -> Vec<u8> {
    let mut encoder = Encoder::new(Compression::None);
    let key = shard.key(b"k");
    let item = shard.look(0, key, Look::Peek).expect("the key is there");
    dump::write(&mut encoder, &item).to_vec()
}

fn call(shard: &mut Shard, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut wire = format!("*{}\r\n", words.len());
    for word in &words {
        wire += &format!("${}\r\n{word}\r\n", word.len());
    }
    let limits = Limits {
        max_bulk: 1 << 20,
        authenticated: true,
    };
    let (mut input, mut batch, mut frame) = (Input::default(), Batch::default(), Frame::default());
    let parsed = input.parse(wire.as_bytes(), limits, &mut batch, &mut frame);
    let args = batch.command(0, parsed.buf);
    let entry = TABLE.resolve(args).ok().expect("the command is there");
    let Run::Data(form) = entry.run else {
        unreachable!("it is about data");
    };
    let mut reply = Reply::new(Protocol::Resp3);
    let _ = form.handler()(&mut Context {
        shard,
        db: 0,
        args,
        hash: None,
        warm: false,
        reply: &mut reply,
        settings: &SETTINGS,
        effects: &mut command::Effects::default(),
    });
}
