//! Stream commands without a server: what time decides, and what no other server of the tests has.

use crate::testing::Client;

/// A stream of `n` entries with the groups g and h, which have read all of them.
fn read_by_two(n: usize) -> Client {
    let mut c = Client::default();
    for i in 1..=n {
        c.check(&format!("xadd s 1-{i} f v"), &format!("$3|1-{i}"));
    }
    for group in ["g", "h"] {
        c.check(&format!("xgroup create s {group} 0"), "+OK");
        c.call(&format!("xreadgroup group {group} c streams s >"));
    }
    c
}

#[test]
fn ids_are_the_time() {
    let mut c = Client::default();
    c.check("xadd s * f v", "$15|1700000000000-0");
    c.check("xadd s * f v", "$15|1700000000000-1");
    c.shard.set_now(c.shard.now_ms() + 5);
    c.check("xadd s * f v", "$15|1700000000005-0");
    c.shard.set_now(c.shard.now_ms() - 9);
    c.check("xadd s * f v", "$15|1700000000005-1");
    c.check("xlen s", ":4");
}

#[test]
fn idle_times_run() {
    let mut c = read_by_two(2);
    c.shard.set_now(c.shard.now_ms() + 300);
    c.check(
        "xpending s g - + 9",
        "*2|*4|$3|1-1|$1|c|:300|:1|*4|$3|1-2|$1|c|:300|:1",
    );
    c.check("xpending s g idle 301 - + 9", "*0");
    c.check("xclaim s g d 301 1-1", "*0");
    c.check("xclaim s g d 300 1-1 justid", "*1|$3|1-1");
    c.shard.set_now(c.shard.now_ms() + 50);
    c.check("xautoclaim s g e 100 0 justid", "*3|$3|0-0|*1|$3|1-2|*0");
    c.check("xclaim s g d 0 1-1 idle 7 justid", "*1|$3|1-1");
    let at = c.shard.now_ms() - 9;
    c.check(&format!("xclaim s g e 0 1-2 time {at} justid"), "*1|$3|1-2");
    c.check(
        "xpending s g - + 9",
        "*2|*4|$3|1-1|$1|d|:7|:1|*4|$3|1-2|$1|e|:9|:1",
    );
    c.shard.set_now(c.shard.now_ms() + 10);
    c.check(
        "xinfo consumers s g",
        "*3|*8|$4|name|$1|c|$7|pending|:0|$4|idle|:360|$8|inactive|:360|\
         *8|$4|name|$1|d|$7|pending|:1|$4|idle|:10|$8|inactive|:10|\
         *8|$4|name|$1|e|$7|pending|:1|$4|idle|:10|$8|inactive|:10",
    );
}

#[test]
fn looking_is_no_change_but_noted() {
    let mut c = read_by_two(1);
    let before = c.shard.changes();
    c.shard.set_now(c.shard.now_ms() + 100);
    c.check("xreadgroup group g c streams s >", "*-1");
    assert_eq!(c.shard.changes(), before);
    c.check(
        "xinfo consumers s g",
        "*1|*8|$4|name|$1|c|$7|pending|:1|$4|idle|:0|$8|inactive|:100",
    );
    c.check("xreadgroup group g d streams s >", "*-1");
    assert_eq!(c.shard.changes(), before + 1);
}

#[test]
fn xdelex_says_what_became_of_each() {
    let mut c = read_by_two(4);
    for (request, want) in [
        ("xdelex s ids 2 1-1 9-9", "*2|:1|:-1"),
        ("xpending s g", "*4|:4|$3|1-1|$3|1-4|*1|*2|$1|c|$1|4"),
        ("xdelex s acked ids 2 1-2 9-9", "*2|:2|:-1"),
        ("xack s g 1-2", ":1"),
        ("xdelex s ids 1 1-2 ACKED", "*1|:2"),
        ("xack s h 1-2", ":1"),
        ("xdelex s ACKED ids 1 1-2", "*1|:1"),
        ("xdelex s delref ids 3 1-1 1-3 1-3", "*3|:-1|:1|:-1"),
        ("xpending s g", "*4|:1|$3|1-4|$3|1-4|*1|*2|$1|c|$1|1"),
        ("xgroup create s new 0", "+OK"),
        ("xack s g 1-4", ":1"),
        ("xack s h 1-4", ":1"),
        // The new group has not read it.
        ("xdelex s acked ids 1 1-4", "*1|:2"),
        ("xlen s", ":1"),
        ("xdelex missing ids 2 1-1 1-2", "*2|:-1|:-1"),
        ("exists missing", ":0"),
    ] {
        c.check(request, want);
    }
}

#[test]
fn xackdel_acknowledges_in_any_case() {
    let mut c = read_by_two(4);
    for (request, want) in [
        ("xackdel s g keepref ids 2 1-1 9-9", "*2|:1|:-1"),
        ("xackdel s g ids 1 1-1", "*1|:-1"),
        ("xackdel s h ids 1 1-1", "*1|:1"),
        ("xackdel s g acked ids 1 1-2", "*1|:2"),
        ("xlen s", ":3"),
        ("xackdel s h acked ids 1 1-2", "*1|:1"),
        ("xackdel s g delref ids 1 1-3", "*1|:1"),
        ("xpending s h", "*4|:1|$3|1-4|$3|1-4|*1|*2|$1|c|$1|1"),
        ("xackdel s nope ids 1 1-4", "*1|:-1"),
        ("xackdel missing g ids 2 1-1 1-2", "*2|:-1|:-1"),
        ("xlen s", ":1"),
    ] {
        c.check(request, want);
    }
}

#[test]
fn what_xdelex_and_xackdel_refuse() {
    let numids = "-ERR The `numids` parameter must match the number of arguments";
    let positive = "-ERR Number of IDs must be a positive integer";
    let invalid = "-ERR Invalid stream ID specified as stream command argument";
    for start in ["xdelex s", "xackdel s g"] {
        let mut c = read_by_two(1);
        for (rest, want) in [
            ("ids 0 1-1", positive),
            ("ids -5 1-1", positive),
            ("ids abc 1-1", positive),
            ("ids 3 1-1 1-2", numids),
            ("ids 1 1-1 1-2", "-ERR syntax error"),
            ("ids 1 abc", invalid),
            ("ids 1 -", invalid),
            ("keepref delref ids 1 1-1", "-ERR syntax error"),
            ("acked acked ids 1 1-1", "-ERR syntax error"),
            ("ids 1 1-1 ids 1 1-1", "-ERR syntax error"),
            ("foo ids 1 1-1", "-ERR syntax error"),
            ("acked 1 1-1 1-2", "-ERR syntax error"),
        ] {
            c.check(&format!("{start} {rest}"), want);
        }
        c.check("xlen s", ":1");
        c.check("set k v", "+OK");
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        c.check(&format!("{} ids 1 1-1", start.replace(" s", " k")), wrong);
    }
}

#[test]
fn trimming_heeds_groups_if_told() {
    let mut c = read_by_two(4);
    for (request, want) in [
        ("xack s g 1-1 1-2", ":2"),
        ("xack s h 1-2 1-3", ":2"),
        ("xtrim s maxlen 0 acked", ":1"),
        ("xtrim s minid 9 acked", ":0"),
        ("xtrim s maxlen = 2 delref", ":1"),
        ("xpending s h", "*4|:1|$3|1-4|$3|1-4|*1|*2|$1|c|$1|1"),
        ("xadd s acked maxlen 1 2-1 f v", "$3|2-1"),
        ("xlen s", ":3"),
        ("xadd s keepref maxlen 1 2-2 f v", "$3|2-2"),
        ("xpending s g", "*4|:2|$3|1-3|$3|1-4|*1|*2|$1|c|$1|2"),
        ("xtrim s maxlen 0 acked delref", "-ERR syntax error"),
        ("xadd s acked acked 3-1 f v", "-ERR syntax error"),
        ("xadd s delref 3-1 f v", "$3|3-1"),
        ("xlen s", ":2"),
        // Without groups there is nothing to heed.
        ("xgroup destroy s g", ":1"),
        ("xgroup destroy s h", ":1"),
        ("xtrim s maxlen 0 acked", ":2"),
    ] {
        c.check(request, want);
    }
}
