use crate::testing::Client;

/// Runs requests of a fresh client one after the other and compares their replies. A request that
/// is `wait N` lets N milliseconds pass.
#[track_caller]
fn check(script: &[(&str, &str)]) {
    check_in(&mut Client::default(), script);
}

#[track_caller]
fn check_in(client: &mut Client, script: &[(&str, &str)]) {
    for (request, want) in script {
        match request.strip_prefix("wait ") {
            Some(ms) => {
                let now = client.shard.now_ms() + ms.parse::<i64>().expect("a number");
                client.shard.set_now(now);
            }
            None => client.check(request, want),
        }
    }
}

const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";

#[test]
fn get_and_set() {
    check(&[
        ("get k", "$-1"),
        ("set k v", "+OK"),
        ("get k", "$1|v"),
        ("set k 12", "+OK"),
        ("get k", "$2|12"),
        ("strlen k", ":2"),
        ("strlen absent", ":0"),
        ("mget k absent k", "*3|$2|12|$-1|$2|12"),
        ("getset k new", "$2|12"),
        ("getdel k", "$3|new"),
        ("getdel k", "$-1"),
    ]);
    let mut client = Client::resp3();
    check_in(&mut client, &[("get k", "_"), ("set k v get", "_")]);
}

#[test]
fn set_has_conditions() {
    check(&[
        ("set k v xx", "$-1"),
        ("set k v nx", "+OK"),
        ("set k w nx", "$-1"),
        ("set k w nx get", "$1|v"),
        ("set k w xx get", "$1|v"),
        ("set new v nx get", "$-1"),
        ("get new", "$1|v"),
        ("set k x ifeq v", "$-1"),
        ("set k x ifeq w", "+OK"),
        ("set k y ifeq z get", "$1|x"),
        ("get k", "$1|x"),
        ("set absent v ifeq v", "$-1"),
        ("set number 7", "+OK"),
        ("set number 8 ifeq 7", "+OK"),
        ("setnx k v", ":0"),
        ("setnx k2 v", ":1"),
        ("delifeq k no", ":0"),
        ("delifeq k x", ":1"),
        ("delifeq k x", ":0"),
    ]);
}

#[test]
fn set_options_that_contradict_each_other_are_refused() {
    for options in [
        "nx xx",
        "xx nx",
        "nx ifeq v",
        "ifeq v xx",
        "ifeq v ifeq v",
        "ifeq",
        "ex",
        "ex 10 px 10",
        "ex 10 keepttl",
        "keepttl ex 10",
        "persist",
        "exat 99999999999 pxat 99999999999",
        "no",
        "\"\"",
    ] {
        check(&[(&format!("set k v {options}"), "-ERR syntax error")]);
    }
    check(&[
        ("set k v nx nx get get", "$-1"),
        ("set k v ex 10 ex 20", "+OK"),
        ("ttl k", ":20"),
    ]);
}

#[test]
fn set_gives_keys_a_time() {
    check(&[
        ("set k v ex 10", "+OK"),
        ("pttl k", ":10000"),
        ("set k v px 1234", "+OK"),
        ("pttl k", ":1234"),
        ("set k v keepttl", "+OK"),
        ("pttl k", ":1234"),
        ("set k v", "+OK"),
        ("pttl k", ":-1"),
        ("set k v exat 1700000001", "+OK"),
        ("pttl k", ":1000"),
        ("set k v pxat 1700000000002", "+OK"),
        ("pttl k", ":2"),
        ("wait 3", ""),
        ("get k", "$-1"),
        ("setex k 10 v", "+OK"),
        ("pttl k", ":10000"),
        ("psetex k 10 v", "+OK"),
        ("pttl k", ":10"),
    ]);
}

#[test]
fn a_time_that_has_passed_deletes() {
    check(&[
        ("set k v", "+OK"),
        ("set k w pxat 1700000000000", "+OK"),
        ("exists k", ":0"),
        ("set k w exat 1", "+OK"),
        ("set k v", "+OK"),
        ("set k w exat 1 get", "$1|v"),
        ("set k v", "+OK"),
        ("getex k exat 1", "$1|v"),
        ("exists k", ":0"),
        ("msetex 1 k v pxat 1", ":1"),
        ("exists k", ":0"),
    ]);
}

#[test]
fn times_must_be_possible() {
    for (request, name) in [
        ("set k v ex 0", "set"),
        ("set k v px -1", "set"),
        ("set k v ex 9223372036854775807", "set"),
        ("set k v exat 9223372036854776", "set"),
        ("set k v px 9223372036854775807", "set"),
        ("setex k 0 v", "setex"),
        ("psetex k -1 v", "psetex"),
        ("getex old ex 0", "getex"),
        ("msetex 1 k v ex 0", "msetex"),
    ] {
        let error = format!("-ERR invalid expire time in '{name}' command");
        check(&[("set old v", "+OK"), (request, &error)]);
    }
    check(&[
        ("set k v ex 1.5", NOT_INTEGER),
        ("setex k x v", NOT_INTEGER),
        ("getex absent ex 0", "$-1"),
    ]);
}

#[test]
fn getex_changes_the_time_only() {
    check(&[
        ("getex k persist", "$-1"),
        ("set k v", "+OK"),
        ("getex k persist", "$1|v"),
        ("getex k ex 10", "$1|v"),
        ("ttl k", ":10"),
        ("getex k", "$1|v"),
        ("ttl k", ":10"),
        ("getex k persist", "$1|v"),
        ("ttl k", ":-1"),
        ("getex k keepttl", "-ERR syntax error"),
        ("getex k persist ex 1", "-ERR syntax error"),
        ("getex k px", "-ERR syntax error"),
    ]);
}

#[test]
fn several_keys_are_set_at_once() {
    check(&[
        ("mset a 1 b 2 a 3", "+OK"),
        ("mget a b", "*2|$1|3|$1|2"),
        (
            "mset a 1 b",
            "-ERR wrong number of arguments for 'mset' command",
        ),
        ("msetnx b 1 c 1", ":0"),
        ("exists c", ":0"),
        ("msetnx c 1 c 2", ":1"),
        ("get c", "$1|2"),
        (
            "msetnx c",
            "-ERR wrong number of arguments for 'msetnx' command",
        ),
        (
            "msetnx c 1 d",
            "-ERR wrong number of arguments for 'msetnx' command",
        ),
    ]);
    let keys: Vec<String> = (0..200).map(|i| format!("key:{i} {i}")).collect();
    let mut client = Client::default();
    client.check(&format!("mset {}", keys.join(" ")), "+OK");
    client.check("mget key:63 key:64 key:199", "*3|$2|63|$2|64|$3|199");
}

#[test]
fn msetex() {
    const NUMKEYS: &str = "-ERR invalid numkeys value or out of range";
    check(&[
        ("msetex 2 a 1 b 2 ex 10", ":1"),
        ("ttl b", ":10"),
        ("msetex 1 a 1 keepttl", ":1"),
        ("ttl a", ":10"),
        ("msetex 2 a 1 c 2 nx", ":0"),
        ("msetex 2 a 1 c 2 xx", ":0"),
        ("msetex 2 c 1 d 2 nx px 7", ":1"),
        ("pttl d", ":7"),
        ("msetex 1 a 1", ":1"),
        ("ttl a", ":-1"),
        ("msetex 0 a 1", NUMKEYS),
        ("msetex -1 a 1", NUMKEYS),
        ("msetex x a 1", NUMKEYS),
        ("msetex 2147483648 a 1", NUMKEYS),
        ("msetex 2147483647 a 1", "-ERR syntax error"),
        ("msetex 1 a 1 b 2", "-ERR syntax error"),
        ("msetex 1 a 1 nx xx", "-ERR syntax error"),
        ("msetex 1 a 1 get", "-ERR syntax error"),
    ]);
}

#[test]
fn ranges_are_read() {
    check(&[
        ("set k \"This is a string\"", "+OK"),
        ("getrange k 0 3", "$4|This"),
        ("getrange k -3 -1", "$3|ing"),
        ("getrange k 0 -1", "$16|This is a string"),
        ("getrange k 10 100", "$6|string"),
        ("getrange k 5 3", "$0"),
        ("getrange k -1 -5", "$0"),
        ("getrange k -100 -99", "$1|T"),
        ("getrange k 0 -100", "$1|T"),
        ("getrange k 16 20", "$0"),
        ("substr k 0 0", "$1|T"),
        ("getrange absent 0 -1", "$0"),
        ("getrange absent x 0", NOT_INTEGER),
        ("set n 12345", "+OK"),
        ("getrange n 1 -2", "$3|234"),
        (
            "getrange n -9223372036854775808 9223372036854775807",
            "$5|12345",
        ),
    ]);
}

#[test]
fn ranges_are_written() {
    check(&[
        ("setrange k 3 abc", ":6"),
        ("get k", "$6|\0\0\0abc"),
        ("setrange k 1 x", ":6"),
        ("get k", "$6|\0x\0abc"),
        ("setrange k 0 \"\"", ":6"),
        ("setrange absent 5 \"\"", ":0"),
        ("exists absent", ":0"),
        ("set n 12345", "+OK"),
        ("setrange n 1 x", ":5"),
        ("get n", "$5|1x345"),
        ("object encoding n", "$3|raw"),
        ("setrange k -1 x", "-ERR offset is out of range"),
        ("setrange k x x", NOT_INTEGER),
        (
            "setrange k 536870912 x",
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ),
        ("setrange k 536870912 \"\"", ":6"),
        ("append k def", ":9"),
        ("append new 10", ":2"),
        ("object encoding new", "$3|int"),
        ("append new \"\"", ":2"),
        ("object encoding new", "$3|raw"),
        ("incr new", ":11"),
        ("object encoding new", "$3|int"),
    ]);
}

#[test]
fn strings_do_not_outgrow_the_limit() {
    const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    let mut client = Client::default();
    client.settings.max_string = 10;
    check_in(
        &mut client,
        &[
            ("append k 12345", ":5"),
            ("append k 12345", ":10"),
            ("append k 1", TOO_LONG),
            ("append k \"\"", ":10"),
            ("setrange k 9 x", ":10"),
            ("setrange k 9 xy", TOO_LONG),
            ("setrange k 9223372036854775807 x", TOO_LONG),
            ("setbit k 79 1", ":0"),
            (
                "setbit k 80 1",
                "-ERR bit offset is not an integer or out of range",
            ),
        ],
    );
}

#[test]
fn changes_keep_the_time() {
    for change in [
        "append k 1",
        "setrange k 0 1",
        "setbit k 0 1",
        "incr k",
        "incrbyfloat k 0.5",
        "bitfield k set u8 0 255",
    ] {
        let mut client = Client::default();
        client.check("set k 1 ex 100", "+OK");
        client.call(change);
        client.check("ttl k", ":100");
    }
}

#[test]
fn counters() {
    check(&[
        ("incr n", ":1"),
        ("decr n", ":0"),
        ("incrby n 41", ":41"),
        ("decrby n -1", ":42"),
        ("get n", "$2|42"),
        ("incrby n x", NOT_INTEGER),
        ("set max 9223372036854775807", "+OK"),
        ("incr max", "-ERR increment or decrement would overflow"),
        (
            "decrby n -9223372036854775808",
            "-ERR decrement would overflow",
        ),
        ("set s \" 1\"", "+OK"),
        ("incr s", NOT_INTEGER),
        ("set s 01", "+OK"),
        ("incr s", NOT_INTEGER),
        ("set s \"\"", "+OK"),
        ("incr s", NOT_INTEGER),
    ]);
}

#[test]
fn incrbyfloat() {
    const NOT_FLOAT: &str = "-ERR value is not a valid float";
    const NOT_FINITE: &str = "-ERR increment would produce NaN or Infinity";
    check(&[
        ("incrbyfloat f 10.5", "$4|10.5"),
        ("incrbyfloat f 0.1", "$4|10.6"),
        ("incrbyfloat f -5", "$3|5.6"),
        ("incrbyfloat f 5.0e3", "$22|5005.60000000000000009"),
        ("set n 9223372036854775807", "+OK"),
        ("incrbyfloat n 1", "$19|9223372036854775808"),
        ("set n 3", "+OK"),
        ("incrbyfloat n 1", "$1|4"),
        ("object encoding n", "$6|embstr"),
        ("incr n", ":5"),
        ("incrbyfloat n x", NOT_FLOAT),
        ("incrbyfloat n nan", NOT_FLOAT),
        ("incrbyfloat n \" 1\"", NOT_FLOAT),
        ("incrbyfloat n inf", NOT_FINITE),
        ("set n x", "+OK"),
        ("incrbyfloat n 1", NOT_FLOAT),
    ]);
}

#[test]
fn lcs() {
    let matches = "*4|$7|matches|*2|*2|*2|:4|:7|*2|:5|:8|*2|*2|:2|:3|*2|:0|:1|$3|len|:6";
    check(&[
        ("mset a ohmytext b mynewtext", "+OK"),
        ("lcs a b", "$6|mytext"),
        ("lcs a b len", ":6"),
        ("lcs a b idx", matches),
        (
            "lcs a b idx minmatchlen 4 withmatchlen",
            "*4|$7|matches|*1|*3|*2|:4|:7|*2|:5|:8|:4|$3|len|:6",
        ),
        ("lcs a absent", "$0"),
        ("lcs absent other len", ":0"),
        ("lcs absent other idx", "*4|$7|matches|*0|$3|len|:0"),
        (
            "lcs a b len idx",
            "-ERR If you want both the length and indexes, please just use IDX.",
        ),
        ("lcs a b minmatchlen", "-ERR syntax error"),
        ("lcs a b minmatchlen x", NOT_INTEGER),
        ("mset n 1234 m 2345", "+OK"),
        ("lcs n m", "$3|234"),
    ]);
    let mut client = Client::resp3();
    client.settings.max_string = 4 * 9 * 10;
    check_in(
        &mut client,
        &[
            ("mset a ohmytext b mynewtext c mynewtexts", "+OK"),
            ("lcs a b idx", &matches.replace("*4|$7", "%2|$7")),
            (
                "lcs a c",
                "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ),
        ],
    );
}
