use crate::testing::Client;

fn check(steps: &[(&str, &str)]) {
    let mut client = Client::default();
    for (request, want) in steps {
        client.check(request, want);
    }
}

#[test]
fn zadd() {
    check(&[
        ("ZADD k 1 a 2.5 b", ":2"),
        ("ZADD k CH 3 a 2.5 b", ":1"),
        ("ZRANGE k 0 -1 WITHSCORES", "*4|$1|b|$3|2.5|$1|a|$1|3"),
        ("ZADD k INCR 0.25 b", "$4|2.75"),
        ("ZADD k NX INCR 1 b", "$-1"),
        ("ZADD k GT CH 1 a 4 b", ":1"),
        ("ZADD k x a", "-ERR value is not a valid float"),
        ("ZADD k 1 a 2", "-ERR syntax error"),
        ("ZADD other XX 1 a", ":0"),
        ("EXISTS other", ":0"),
        ("ZINCRBY k inf a", "$3|inf"),
        (
            "ZINCRBY k -inf a",
            "-ERR resulting score is not a number (NaN)",
        ),
        ("SET s x", "+OK"),
        (
            "ZADD s 1 a",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn ranges() {
    check(&[
        ("ZADD k 1 a 2 b 3 c 4 d", ":4"),
        ("ZRANGE k -2 -1", "*2|$1|c|$1|d"),
        ("ZREVRANGE k 0 1", "*2|$1|d|$1|c"),
        ("ZRANGE k (1 3 BYSCORE LIMIT 1 5", "*1|$1|c"),
        ("ZRANGE k 3 (1 BYSCORE REV", "*2|$1|c|$1|b"),
        ("ZRANGE k [b + BYLEX", "*3|$1|b|$1|c|$1|d"),
        ("ZREVRANGEBYLEX k + - LIMIT 1 1", "*1|$1|c"),
        ("ZCOUNT k 2 inf", ":3"),
        ("ZLEXCOUNT k - (c", ":2"),
        ("ZRANK k c", ":2"),
        ("ZREVRANK k c WITHSCORE", "*2|:1|$1|3"),
        ("ZRANGESTORE to k 1 2 REV", ":2"),
        ("ZRANGE to 0 -1", "*2|$1|b|$1|c"),
        ("ZREMRANGEBYSCORE k 2 3", ":2"),
        ("ZREMRANGEBYRANK k 0 0", ":1"),
        ("ZREMRANGEBYLEX k - +", ":1"),
        ("EXISTS k", ":0"),
        ("ZRANGESTORE to k 0 -1", ":0"),
        ("EXISTS to", ":0"),
    ]);
}

#[test]
fn pops() {
    check(&[
        ("ZADD k 1 a 2 b 3 c 4 d", ":4"),
        ("ZPOPMIN k", "*2|$1|a|$1|1"),
        ("ZPOPMAX k 2", "*4|$1|d|$1|4|$1|c|$1|3"),
        ("ZMPOP 2 no k MAX COUNT 5", "*2|$1|k|*1|*2|$1|b|$1|2"),
        ("ZMPOP 2 no k MAX", "*-1"),
        ("ZPOPMIN k 0", "*0"),
    ]);
    let mut client = Client::resp3();
    client.check("ZADD k 1 a 2 b 3 c 4 d", ":4");
    client.check("ZPOPMIN k", "*2|$1|a|,1");
    client.check("ZPOPMIN k 1", "*1|*2|$1|b|,2");
    client.check("ZMPOP 1 k MIN", "*2|$1|k|*1|*2|$1|c|,3");
    client.check("ZRANGE k 0 -1 WITHSCORES", "*1|*2|$1|d|,4");
}

#[test]
fn combinations() {
    check(&[
        ("ZADD a 1 x 2 y", ":2"),
        ("ZADD b 10 y 20 z", ":2"),
        (
            "ZUNION 2 a b WITHSCORES",
            "*6|$1|x|$1|1|$1|y|$2|12|$1|z|$2|20",
        ),
        (
            "ZINTER 2 a b WEIGHTS 2 1 AGGREGATE MAX WITHSCORES",
            "*2|$1|y|$2|10",
        ),
        ("ZDIFF 2 a b", "*1|$1|x"),
        ("ZINTERCARD 2 a b", ":1"),
        ("ZUNIONSTORE a 2 a b", ":3"),
        ("ZCARD a", ":3"),
        ("ZDIFFSTORE a 2 a a", ":0"),
        ("EXISTS a", ":0"),
        (
            "ZUNION 0 a",
            "-ERR at least 1 input key is needed for 'zunion' command",
        ),
    ]);
}

#[test]
fn zscan() {
    check(&[
        ("ZADD k 0.1 a 2 b", ":2"),
        ("ZSCAN k 0", "*2|$1|0|*4|$1|a|$3|0.1|$1|b|$1|2"),
        ("ZSCAN k 0 MATCH b NOSCORES", "*2|$1|0|*1|$1|b"),
        ("ZSCAN k x", "-ERR invalid cursor"),
        ("ZSCAN nothing 0 foo", "*2|$1|0|*0"),
    ]);
}
