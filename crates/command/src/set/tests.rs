//! Handlers without a server.

use crate::testing::Client;

#[track_caller]
fn check(blocks: &[(&str, &str)]) {
    let mut client = Client::default();
    for (request, want) in blocks {
        client.check(request, want);
    }
}

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn members_come_and_go() {
    check(&[
        ("SADD s b a b", ":2"),
        ("SADD s a", ":0"),
        ("SADD s 7", ":1"),
        ("SCARD s", ":3"),
        ("SISMEMBER s a", ":1"),
        ("SISMEMBER s 07", ":0"),
        ("SMISMEMBER s a x 7", "*3|:1|:0|:1"),
        ("SMISMEMBER missing a", "*1|:0"),
        ("SMEMBERS s", "*3|$1|b|$1|a|$1|7"),
        ("SREM s x a", ":1"),
        ("SREM s b 7 b", ":2"),
        ("EXISTS s", ":0"),
        ("SREM s b", ":0"),
        ("SCARD s", ":0"),
        ("SMEMBERS s", "*0"),
    ]);
}

#[test]
fn encodings_follow_the_members() {
    let mut c = Client::default();
    let mut encoding = |request: &str, want: &str| {
        c.call(request);
        c.check("OBJECT ENCODING s", want);
    };
    encoding("SADD s 3 1 2", "$6|intset");
    encoding("SADD s x", "$8|listpack");
    encoding("SREM s x", "$8|listpack");
    encoding(&format!("SADD s {}", "y".repeat(65)), "$9|hashtable");
    encoding("DEL s", "$-1");
    let many: Vec<String> = (0..513).map(|i| i.to_string()).collect();
    encoding(&format!("SADD s {}", many[..512].join(" ")), "$6|intset");
    encoding("SADD s 512", "$9|hashtable");
    encoding("DEL s", "$-1");
    encoding(&format!("SADD s {}", many.join(" ")), "$9|hashtable");
}

#[test]
fn wrong_types() {
    for request in [
        "SADD k a",
        "SREM k a",
        "SISMEMBER k a",
        "SMISMEMBER k a",
        "SCARD k",
        "SMEMBERS k",
        "SPOP k",
        "SPOP k 0",
        "SRANDMEMBER k",
        "SRANDMEMBER k 0",
        "SSCAN k 0",
        "SMOVE k s a",
        "SMOVE s k missing",
        "SINTER missing k",
        "SINTERCARD 2 missing k",
        "SINTERSTORE dst s k",
        "SUNION s k",
        "SDIFF missing k",
    ] {
        check(&[
            ("SET k v", "+OK"),
            ("SADD s a", ":1"),
            (request, WRONG_TYPE),
        ]);
    }
}

#[test]
fn smove() {
    check(&[
        ("SADD a 1 x", ":2"),
        ("SMOVE a b 1", ":1"),
        ("SMOVE a b 1", ":0"),
        ("OBJECT ENCODING b", "$6|intset"),
        ("SMOVE a a x", ":1"),
        ("SMOVE a a y", ":0"),
        ("SADD b x", ":1"),
        ("SMOVE a b x", ":1"),
        ("EXISTS a", ":0"),
        ("SMEMBERS b", "*2|$1|1|$1|x"),
    ]);
}

#[test]
fn popping() {
    let positive = "-ERR value is out of range, must be positive";
    check(&[
        ("SADD s a", ":1"),
        ("SPOP s 0", "*0"),
        ("SPOP s", "$1|a"),
        ("EXISTS s", ":0"),
        ("SPOP s", "$-1"),
        ("SPOP s 1", "*0"),
        ("SPOP s -1", positive),
        ("SPOP s x", positive),
        ("SPOP s 1 1", "-ERR syntax error"),
        ("SADD s 1 2", ":2"),
        ("SPOP s 9", "*2|$1|1|$1|2"),
        ("EXISTS s", ":0"),
    ]);
    let mut c = Client::default();
    for members in ["1 2 3 4 5 6", "a b c d e f", &"long".repeat(20)] {
        c.call(&format!("SADD s {members}"));
        c.call("SADD s 1 2 3 4 5 6");
        let n: usize = c.call("SCARD s")[1..].trim().parse().expect("a number");
        assert!(c.call("SPOP s 3").starts_with("*3\r\n"));
        c.check("SCARD s", &format!(":{}", n - 3));
        c.call("DEL s");
    }
}

#[test]
fn drawing() {
    check(&[
        ("SRANDMEMBER s", "$-1"),
        ("SRANDMEMBER s 3", "*0"),
        ("SRANDMEMBER s -3", "*0"),
        (
            "SRANDMEMBER s x",
            "-ERR value is not an integer or out of range",
        ),
        ("SRANDMEMBER s 1 1", "-ERR syntax error"),
        ("SADD s a", ":1"),
        ("SRANDMEMBER s", "$1|a"),
        ("SRANDMEMBER s 0", "*0"),
        ("SRANDMEMBER s 5", "*1|$1|a"),
        ("SRANDMEMBER s -2", "*2|$1|a|$1|a"),
        (
            "SRANDMEMBER s -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
    ]);
    let mut c = Client::default();
    c.settings.max_string = 1000;
    c.call("SADD s a");
    c.check(
        "SRANDMEMBER s -9223372036854775807",
        "-ERR value is out of range",
    );
}

#[test]
fn intersections() {
    check(&[
        ("SADD a 1 2 3 x", ":4"),
        ("SADD b 3 2", ":2"),
        ("SADD c 2 x", ":2"),
        ("SINTER a", "*4|$1|1|$1|2|$1|3|$1|x"),
        ("SINTER a b", "*2|$1|2|$1|3"),
        ("SINTER a b c", "*1|$1|2"),
        ("SINTER a missing", "*0"),
        ("SINTERCARD 2 a b", ":2"),
        ("SINTERCARD 2 a b LIMIT 1", ":1"),
        ("SINTERCARD 2 a b limit 0", ":2"),
        ("SINTERCARD 2 a b LIMIT 5 LIMIT 1", ":1"),
        ("SINTERCARD 3 a b missing", ":0"),
        ("SINTERSTORE a a b", ":2"),
        ("OBJECT ENCODING a", "$6|intset"),
        ("SET c v", "+OK"),
        ("SINTERSTORE c a missing", ":0"),
        ("EXISTS c", ":0"),
        ("SINTERSTORE c a missing", ":0"),
        ("SINTERCARD 0 a", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD x a", "-ERR numkeys should be greater than 0"),
        (
            "SINTERCARD 2 a",
            "-ERR Number of keys can't be greater than number of args",
        ),
        ("SINTERCARD 1 a b", "-ERR syntax error"),
        ("SINTERCARD 1 a LIMIT", "-ERR syntax error"),
        ("SINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 a LIMIT x", "-ERR LIMIT can't be negative"),
    ]);
}

#[test]
fn unions_and_differences() {
    check(&[
        ("SADD a 1 2 3", ":3"),
        ("SADD b 3 x", ":2"),
        ("SUNION a b missing", "*4|$1|1|$1|2|$1|3|$1|x"),
        ("SUNION missing", "*0"),
        ("SUNIONSTORE d b a", ":4"),
        ("OBJECT ENCODING d", "$8|listpack"),
        ("SDIFF a b", "*2|$1|1|$1|2"),
        ("SDIFF b a missing", "*1|$1|x"),
        ("SDIFF a a", "*0"),
        ("SDIFF missing a", "*0"),
        ("SDIFFSTORE d a b", ":2"),
        ("SMEMBERS d", "*2|$1|1|$1|2"),
        ("SDIFFSTORE d a a", ":0"),
        ("EXISTS d", ":0"),
    ]);
}

#[test]
fn walks() {
    let mut c = Client::default();
    check(&[
        ("SSCAN s 0", "*2|$1|0|*0"),
        ("SSCAN s 0 nonsense", "*2|$1|0|*0"),
        ("SSCAN s x", "-ERR invalid cursor"),
        ("SADD s 1 2 30", ":3"),
        ("SSCAN s 5", "*2|$1|0|*3|$1|1|$1|2|$2|30"),
        ("SSCAN s 0 MATCH 3*", "*2|$1|0|*1|$2|30"),
        ("SSCAN s 0 COUNT 1", "*2|$1|0|*3|$1|1|$1|2|$2|30"),
        ("SSCAN s 0 COUNT 0", "-ERR syntax error"),
        ("SSCAN s 0 MATCH", "-ERR syntax error"),
        ("SSCAN s 0 TYPE set", "-ERR syntax error"),
    ]);
    for i in 0..1000 {
        c.call(&format!("SADD s member:{i}"));
    }
    for (options, want, calls) in [
        ("", 1000, 30..101),
        ("COUNT 100", 1000, 8..11),
        ("COUNT 5000", 1000, 1..2),
        ("MATCH *9", 100, 30..101),
    ] {
        let (mut cursor, mut found, mut n) = ("0".to_string(), Vec::new(), 0);
        loop {
            let reply = c.call(&format!("SSCAN s {cursor} {options}"));
            let mut lines = reply.split("\r\n").filter(|l| !l.starts_with(['*', '$']));
            cursor = lines.next().expect("a cursor").into();
            found.extend(lines.filter(|l| !l.is_empty()).map(str::to_owned));
            n += 1;
            if cursor == "0" {
                break;
            }
        }
        found.sort();
        found.dedup();
        assert_eq!(found.len(), want);
        assert!(calls.contains(&n), "{options}: {n} calls");
    }
}

#[test]
fn sets_are_sets_in_the_third_protocol() {
    let mut c = Client::resp3();
    for (request, want) in [
        ("SADD s 1 2", ":2"),
        ("SMEMBERS s", "~2|$1|1|$1|2"),
        ("SINTER s", "~2|$1|1|$1|2"),
        ("SUNION s", "~2|$1|1|$1|2"),
        ("SDIFF s", "~2|$1|1|$1|2"),
        ("SRANDMEMBER s 2", "*2|$1|1|$1|2"),
        ("SPOP s 2", "~2|$1|1|$1|2"),
        ("SMEMBERS s", "~0"),
        ("SPOP s", "_"),
        ("SPOP s 2", "~0"),
    ] {
        c.check(request, want);
    }
}
