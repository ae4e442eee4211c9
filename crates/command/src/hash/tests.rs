use crate::testing::Client;
use resp::Protocol;

/// Replies to requests to a fresh shard, once for each encoding.
#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (entries, timed) in [(512, false), (512, true), (1, false), (1, true)] {
        let mut c = Client::default();
        c.settings.limits.hash_max_listpack_entries = entries;
        let mut fresh = true;
        for (request, want) in cases {
            c.check(request, want);
            // A field with an expiry gives the first hash the encoding for it.
            if timed && fresh && c.call("exists h") == ":1\r\n" {
                c.call("hsetex h px 100000 fields 1 timed 1");
                c.call("hdel h timed");
                fresh = false;
            }
        }
    }
}

#[test]
fn fields_are_set_and_answered() {
    check(&[
        ("hset h a 1 b two", ":2"),
        ("hset h a 1 c 3", ":1"),
        ("hget h a", "$1|1"),
        ("hget h b", "$3|two"),
        ("hget h none", "$-1"),
        ("hget none a", "$-1"),
        ("hmget h a none b", "*3|$1|1|$-1|$3|two"),
        ("hmget none a b", "*2|$-1|$-1"),
        ("hlen h", ":3"),
        ("hlen none", ":0"),
        ("hexists h a", ":1"),
        ("hexists h none", ":0"),
        ("hexists none a", ":0"),
        ("hstrlen h b", ":3"),
        ("hstrlen h none", ":0"),
        ("hstrlen none b", ":0"),
        ("hsetnx h a 9", ":0"),
        ("hsetnx h d 9", ":1"),
        ("hsetnx new a 1", ":1"),
        ("hmset h e 5", "+OK"),
        ("hget h e", "$1|5"),
        ("hset h '' ''", ":1"),
        ("hget h ''", "$0"),
    ]);
}

#[test]
fn the_last_field_takes_the_key_along() {
    check(&[
        ("hset h a 1 b 2 c 3", ":3"),
        ("hdel h a none a", ":1"),
        ("hdel h b c", ":2"),
        ("exists h", ":0"),
        ("hdel h a", ":0"),
    ]);
}

#[test]
fn all_fields_are_listed_in_order_while_packed() {
    let mut c = Client::default();
    c.check("hset h a 1 b 2", ":2");
    c.check("hgetall h", "*4|$1|a|$1|1|$1|b|$1|2");
    c.check("hkeys h", "*2|$1|a|$1|b");
    c.check("hvals h", "*2|$1|1|$1|2");
    c.check("hgetall none", "*0");
    c.check("hkeys none", "*0");
    c.protocol = Protocol::Resp3;
    c.check("hgetall h", "%2|$1|a|$1|1|$1|b|$1|2");
    c.check("hgetall none", "%0");
    c.check("hkeys h", "*2|$1|a|$1|b");
    c.check("hexpire h 100 fields 1 b", "*1|:1");
    c.check("hgetall h", "%2|$1|b|$1|2|$1|a|$1|1");
}

#[test]
fn encodings() {
    let mut c = Client::default();
    c.settings.limits.hash_max_listpack_entries = 2;
    c.settings.limits.hash_max_listpack_value = 4;
    for (request, encoding) in [
        ("hset h a 1 b 2", "listpack"),
        ("hset h a 1 b 2 c 3", "hashtable"),
        // As in Redis 8, the number of fields given decides beforehand.
        ("hset h a 1 a 2 a 3", "hashtable"),
        ("hset h a 1234", "listpack"),
        ("hset h a 12345", "hashtable"),
        ("hset h 12345 a", "hashtable"),
        ("hincrby h a 12345", "hashtable"),
        ("hincrbyfloat h a 123.5", "hashtable"),
        ("hsetnx h 12345 a", "hashtable"),
        ("hsetex h ex 10 fields 1 a 1", "listpackex"),
        ("hsetex h ex 10 fields 3 a 1 a 1 a 1", "hashtable"),
        ("hsetex h fields 1 a 1", "listpack"),
    ] {
        c.call(request);
        let want = format!("${}|{encoding}", encoding.len());
        c.check("object encoding h", &want);
        c.check("del h", ":1");
    }
    for (option, encoding) in [
        ("", "listpack"),
        ("persist ", "listpackex"),
        ("ex 9 ", "listpackex"),
    ] {
        c.call("hset h a 1");
        c.call(&format!("hgetex h {option}fields 1 none"));
        let want = format!("${}|{encoding}", encoding.len());
        c.check("object encoding h", &want);
        c.check("del h", ":1");
    }
}

#[test]
fn wrong_types_and_numbers_of_arguments() {
    let mut c = Client::default();
    c.check("set s v", "+OK");
    for request in [
        "hset s a 1",
        "hmset s a 1",
        "hsetnx s a 1",
        "hget s a",
        "hmget s a",
        "hgetall s",
        "hkeys s",
        "hvals s",
        "hlen s",
        "hexists s a",
        "hstrlen s a",
        "hdel s a",
        "hincrby s a 1",
        "hincrbyfloat s a 1",
        "hrandfield s",
        "hrandfield s 1",
        "hscan s 0 nonsense",
        "hexpire s x y z z",
        "hpersist s y 1 z",
        "httl s y 1 z",
        "hgetdel s y 1 z",
        "hgetex s ex x y z",
        "hsetex s fields 1 a 1",
    ] {
        let want = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        c.check(request, want);
    }
    for name in ["hset", "hmset"] {
        let want = format!("-ERR wrong number of arguments for '{name}' command");
        c.check(&format!("{name} h a 1 b"), &want);
    }
}

#[test]
fn counting() {
    check(&[
        ("hincrby h a 5", ":5"),
        ("hset h b x", ":1"),
        ("hincrby h a -7", ":-2"),
        ("hget h a", "$2|-2"),
        ("hincrby h b 1", "-ERR hash value is not an integer"),
        (
            "hincrby h a x",
            "-ERR value is not an integer or out of range",
        ),
        (
            "hincrby h a -9223372036854775807",
            "-ERR increment or decrement would overflow",
        ),
        (
            "hincrby none a x",
            "-ERR value is not an integer or out of range",
        ),
        ("exists none", ":0"),
        ("hincrbyfloat h a 0.5", "$4|-1.5"),
        ("hincrbyfloat h a 1.5", "$1|0"),
        ("hincrbyfloat h a 3e3", "$4|3000"),
        ("hincrbyfloat h new 0.1", "$3|0.1"),
        ("hincrbyfloat h b 1", "-ERR hash value is not a float"),
        ("hincrbyfloat h a x", "-ERR value is not a valid float"),
        ("hincrbyfloat h a inf", "-ERR value is NaN or Infinity"),
        ("hset h inf inf", ":1"),
        (
            "hincrbyfloat h inf 1",
            "-ERR increment would produce NaN or Infinity",
        ),
        ("hincrby h c 1", ":1"),
        ("hincrbyfloat h c 1", "$1|2"),
    ]);
}

#[test]
fn expiries_are_set_asked_for_and_taken_back() {
    check(&[
        ("hset h a 1 b 2 c 3", ":3"),
        ("hexpire h 100 fields 2 a none", "*2|:1|:-2"),
        ("hexpire none 100 fields 2 a none", "*2|:-2|:-2"),
        ("httl h fields 3 a b none", "*3|:100|:-1|:-2"),
        ("hpttl h fields 1 a", "*1|:100000"),
        ("hpexpire h 99001 fields 1 a", "*1|:1"),
        ("httl h fields 1 a", "*1|:100"),
        ("hpexpiretime h fields 1 a", "*1|:1700000099001"),
        ("hexpiretime h fields 1 a", "*1|:1700000100"),
        ("hexpireat h 1700000200 fields 1 a", "*1|:1"),
        ("hpexpireat h 1700000200001 fields 1 b", "*1|:1"),
        ("httl h fields 2 a b", "*2|:200|:201"),
        ("httl none fields 2 a b", "*2|:-2|:-2"),
        ("hpersist h fields 3 a c none", "*3|:1|:-1|:-2"),
        ("hpersist none fields 1 a", "*1|:-2"),
        ("httl h fields 2 a b", "*2|:-1|:201"),
        // Setting clears, counting keeps.
        ("hset h b 5", ":0"),
        ("hpexpire h 1000 fields 2 a b", "*2|:1|:1"),
        ("hincrby h a 1", ":2"),
        ("hincrbyfloat h a 0.5", "$3|2.5"),
        ("hsetnx h a 1", ":0"),
        ("hset h b 6", ":0"),
        ("hpttl h fields 2 a b", "*2|:1000|:-1"),
    ]);
}

#[test]
fn conditions_of_expiries() {
    check(&[
        ("hset h v 1 p 2", ":2"),
        ("hexpire h 100 fields 1 v", "*1|:1"),
        ("hexpire h 50 nx fields 2 v p", "*2|:0|:1"),
        ("hpersist h fields 1 p", "*1|:1"),
        ("hexpire h 50 xx fields 2 v p", "*2|:1|:0"),
        ("hexpire h 50 gt fields 2 v p", "*2|:0|:0"),
        ("hexpire h 51 GT fields 2 v p", "*2|:1|:0"),
        ("hexpire h 51 lt fields 1 v", "*1|:0"),
        ("hexpire h 50 Lt fields 2 v p", "*2|:1|:1"),
        // The condition is judged first.
        ("hexpire h 0 gt fields 1 v", "*1|:0"),
        ("hexpire h 0 nx fields 1 v", "*1|:0"),
        ("hexpire h 0 lt fields 2 v v", "*2|:2|:-2"),
        ("hexpireat h 1 fields 1 p", "*1|:2"),
        ("exists h", ":0"),
    ]);
}

const NO_FIELDS: &str = "-ERR Mandatory argument FIELDS is missing or not at the right position";
const MISMATCH: &str = "-ERR The `numfields` parameter must match the number of arguments";
const NOT_POSITIVE: &str = "-ERR Number of fields must be a positive integer";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const NEGATIVE: &str = "-ERR invalid expire time, must be >= 0";

#[test]
fn errors_about_expiries() {
    let none = "-ERR Parameter `numFields` should be greater than 0";
    let far = "-ERR invalid expire time in 'hexpire' command";
    check(&[
        ("hset h a 1", ":1"),
        ("hexpire h x foo 0 a", NOT_INTEGER),
        ("hexpire h -1 foo 0 a", NEGATIVE),
        ("hexpire h 9223372036854775807 foo 0 a", far),
        ("hexpire h 70368744177 fields 1 a", far),
        ("hexpire h 1 foo 0 a", NO_FIELDS),
        ("hexpire h 1 nx xx fields 1 a", NO_FIELDS),
        ("hexpire h 1 fields 0 a", none),
        ("hexpire h 1 fields x a", none),
        ("hexpire h 1 fields 2 a", MISMATCH),
        ("hexpire h 1 fields 1 a nx", MISMATCH),
        ("hexpire h 1 nx fields 1", MISMATCH),
        ("hexpire none 1 fields 2 a", MISMATCH),
        ("hpexpireat h 70368744177663 fields 1 a", "*1|:1"),
        (
            "hpexpireat h 70368744177664 fields 1 a",
            "-ERR invalid expire time in 'hpexpireat' command",
        ),
        ("httl h foo 1 a", NO_FIELDS),
        ("httl h fields 0 a", NOT_POSITIVE),
        ("httl h fields 01 a", NOT_POSITIVE),
        ("httl none fields 2 a", MISMATCH),
        ("hpersist h fields -1 a", NOT_POSITIVE),
        ("hpersist h fields 1 a b", MISMATCH),
    ]);
}

#[test]
fn fields_whose_time_is_over_are_hidden() {
    for entries in [512, 1] {
        let mut c = Client::default();
        c.settings.limits.hash_max_listpack_entries = entries;
        c.check("hset h a 1 b 2 c 3 d 4 e 5 f 6", ":6");
        c.check("hpexpire h 100 fields 5 a b c d e", "*5|:1|:1|:1|:1|:1");
        c.shard.set_now(c.shard.now_ms() + 100);
        c.check("hget h a", "$1|1");
        c.shard.set_now(c.shard.now_ms() + 1);
        for (request, want) in [
            ("hget h a", "$-1"),
            ("hmget h a f", "*2|$-1|$1|6"),
            ("hexists h a", ":0"),
            ("hstrlen h a", ":0"),
            ("hgetall h", "*2|$1|f|$1|6"),
            ("hkeys h", "*1|$1|f"),
            ("hvals h", "*1|$1|6"),
            ("hscan h 0 count 100", "*2|$1|0|*2|$1|f|$1|6"),
            ("hrandfield h", "$1|f"),
            ("hrandfield h 5", "*1|$1|f"),
            ("hrandfield h -2", "*2|$1|f|$1|f"),
            ("httl h fields 1 a", "*1|:-2"),
            ("hpersist h fields 1 a", "*1|:-2"),
            ("hexpire h 100 fields 1 a", "*1|:-2"),
            ("hlen h", ":6"),
            ("hset h a x", ":1"),
            ("hsetnx h b x", ":1"),
            ("hincrby h c 1", ":1"),
            ("hdel h d", ":0"),
            ("hgetdel h fields 1 e", "*1|$-1"),
            ("httl h fields 5 a b c d e", "*5|:-1|:-1|:-1|:-2|:-2"),
            ("hlen h", ":4"),
        ] {
            c.check(request, want);
        }
    }
}

#[test]
fn getting_and_removing() {
    check(&[
        ("hset h a 1 b 2 c 3", ":3"),
        ("hgetdel h fields 3 a none a", "*3|$1|1|$-1|$-1"),
        ("hgetdel none fields 1 a", "*1|$-1"),
        ("hgetdel h foo 1 a", NO_FIELDS),
        ("hgetdel h fields 0 a", NOT_POSITIVE),
        ("hgetdel h fields 2 a", MISMATCH),
        ("hgetdel h fields 2 b c", "*2|$1|2|$1|3"),
        ("exists h", ":0"),
    ]);
}

#[test]
fn getting_and_changing_the_expiry() {
    check(&[
        ("hset h a 1 b 2 c 3", ":3"),
        ("hgetex h fields 2 a none", "*2|$1|1|$-1"),
        ("hgetex h ex 100 fields 2 a none", "*2|$1|1|$-1"),
        ("hgetex h px 1500 fields 1 b", "*1|$1|2"),
        ("hpttl h fields 3 a b c", "*3|:100000|:1500|:-1"),
        ("hgetex h persist fields 2 a c", "*2|$1|1|$1|3"),
        ("hgetex h exat 1700000001 fields 1 a", "*1|$1|1"),
        ("hgetex h pxat 1700000000002 fields 1 c", "*1|$1|3"),
        ("hpttl h fields 3 a b c", "*3|:1000|:1500|:2"),
        ("hgetex h ex 0 fields 1 a", "*1|$1|1"),
        ("hexists h a", ":0"),
        ("hgetex none ex 1 fields 1 a", "*1|$-1"),
        ("hgetex h ex x fields 1", NOT_INTEGER),
        ("hgetex h ex -1 fields 1", NEGATIVE),
        (
            "hgetex h px 9223372036854775807 fields 0 a",
            "-ERR invalid expire time in 'hgetex' command",
        ),
        ("hgetex h ex 1 px 1 fields 1 a", NO_FIELDS),
        ("hgetex h keepttl fields 1 a", NO_FIELDS),
        ("hgetex h a b c", NO_FIELDS),
        (
            "hgetex h ex 1 fields",
            "-ERR wrong number of arguments for 'hgetex' command",
        ),
        ("hgetex h persist fields 0 a", NOT_POSITIVE),
        ("hgetex h fields 1 a ex 1", MISMATCH),
    ]);
}

#[test]
fn setting_with_an_expiry() {
    check(&[
        ("hset h a 1 b 2", ":2"),
        ("hsetex h ex 100 fields 2 a 2 c 3", ":1"),
        ("hpttl h fields 3 a b c", "*3|:100000|:-1|:100000"),
        ("hsetex h keepttl fields 3 a 5 b 5 d 5", ":1"),
        ("hpttl h fields 3 a b d", "*3|:100000|:-1|:-1"),
        ("hsetex h fields 1 a 6", ":1"),
        ("hpttl h fields 1 a", "*1|:-1"),
        ("hsetex h fnx fields 2 a 7 e 7", ":0"),
        ("hsetex h fxx fields 2 a 7 e 7", ":0"),
        ("hsetex h fxx px 5 fields 2 a 7 b 7", ":1"),
        ("hsetex h pxat 1700000000009 fnx fields 2 e 8 e 9", ":1"),
        ("hmget h a b e", "*3|$1|7|$1|7|$1|9"),
        ("hpttl h fields 3 a b e", "*3|:5|:5|:9"),
        ("hsetex h exat 1 fields 2 a 1 none 1", ":1"),
        ("hmget h a none", "*2|$-1|$-1"),
        ("hsetex none fxx fields 1 a 1", ":0"),
        ("hsetex none px 0 fields 1 a 1", ":1"),
        ("exists none", ":0"),
    ]);
}

#[test]
fn errors_of_setting_with_an_expiry() {
    let arity = "-ERR wrong number of arguments for 'hsetex' command";
    let number = "-ERR invalid number of fields";
    let condition = "-ERR Only one of FXX or FNX arguments can be specified";
    let expiry = "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
    check(&[
        ("set s v", "+OK"),
        ("hsetex s foo fields 1 a 1", "-ERR unknown argument: foo"),
        ("hsetex s fxx fnx fields 1 a 1", condition),
        ("hsetex s ex 1 ex 1 fields 1 a 1", expiry),
        ("hsetex s keepttl px fields 1 a 1", expiry),
        ("hsetex s ex x foo fields 1 a 1", NOT_INTEGER),
        ("hsetex s ex -1 fields 2 a 1", NEGATIVE),
        (
            "hsetex s pxat 70368744177664 fields 2 a 1",
            "-ERR invalid expire time in 'hsetex' command",
        ),
        ("hsetex s fields 0 a 1", number),
        ("hsetex s fields x a 1", number),
        ("hsetex s px 10 fields 0 a", arity),
        ("hsetex s fields 2147483648 a 1", number),
        ("hsetex s fields 2147483647 a 1", arity),
        ("hsetex s fields 2 a 1 b", arity),
        ("hsetex s fields 1 a 1 ex 1", arity),
        ("hsetex s ex 10 fnx fields", arity),
    ]);
}

#[test]
fn walks() {
    let mut c = Client::default();
    c.check("hset h a 1 ab 2 b 3", ":3");
    for (request, want) in [
        ("hscan h 0", "*2|$1|0|*6|$1|a|$1|1|$2|ab|$1|2|$1|b|$1|3"),
        ("hscan h 0 match a*", "*2|$1|0|*4|$1|a|$1|1|$2|ab|$1|2"),
        ("hscan h 0 novalues match b count 1", "*2|$1|0|*1|$1|b"),
        ("hscan none 0 nonsense", "*2|$1|0|*0"),
        ("hscan none x", "-ERR invalid cursor"),
        ("hscan h 0 type hash", "-ERR syntax error"),
        ("hscan h 0 count 0", "-ERR syntax error"),
        ("hscan h 0 match", "-ERR syntax error"),
    ] {
        c.check(request, want);
    }
}

#[test]
fn a_walk_over_a_table_sees_every_field() {
    let mut c = Client::default();
    for i in 0..1000 {
        c.check(&format!("hset h f{i} v{i}"), ":1");
    }
    let (mut cursor, mut seen, mut calls) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let reply = c.call(&format!("hscan h {cursor} count 20"));
        let mut lines = reply.split("\r\n").skip(1);
        cursor = lines.nth(1).expect("a cursor").to_owned();
        seen.extend(lines.skip(2).step_by(4).map(str::to_owned));
        calls += 1;
        if cursor == "0" {
            break;
        }
    }
    assert!((20..100).contains(&calls), "{calls} calls");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1000);
}

#[test]
fn drawing() {
    check(&[
        ("hrandfield none", "$-1"),
        ("hrandfield none 3", "*0"),
        ("hrandfield none -3 withvalues", "*0"),
        ("hset h a 1", ":1"),
        ("hrandfield h", "$1|a"),
        ("hrandfield h 0", "*0"),
        ("hrandfield h 3", "*1|$1|a"),
        ("hrandfield h 3 withvalues", "*2|$1|a|$1|1"),
        ("hrandfield h -2", "*2|$1|a|$1|a"),
        ("hrandfield h -2 withvalues", "*4|$1|a|$1|1|$1|a|$1|1"),
        ("hrandfield h x foo", NOT_INTEGER),
        ("hrandfield h 1 foo", "-ERR syntax error"),
        ("hrandfield h 1 withvalues x", "-ERR syntax error"),
        (
            "hrandfield h -4611686018427387904 withvalues",
            "-ERR value is out of range",
        ),
        (
            "hrandfield h -9223372036854775808 foo",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
    ]);
    let mut c = Client::resp3();
    c.check("hset h a 1", ":1");
    c.check("hrandfield h 3 withvalues", "*1|*2|$1|a|$1|1");
    c.check("hrandfield h -1 withvalues", "*1|*2|$1|a|$1|1");
    c.settings.max_string = 100;
    c.check("hrandfield h -1000", "-ERR value is out of range");
}
