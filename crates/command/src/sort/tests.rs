use super::*;
use crate::testing::Client;

#[track_caller]
fn check(client: &mut Client, steps: &[(&str, &str)]) {
    steps
        .iter()
        .for_each(|(request, want)| client.check(request, want));
}

#[test]
fn patterns_are_read() {
    let key = |before, after, field| Pattern::Key {
        before,
        after,
        field,
    };
    for (text, want) in [
        (&b"#"[..], Pattern::Element),
        (b"##", Pattern::Nothing),
        (b"", Pattern::Nothing),
        (b"w->f", Pattern::Nothing),
        (b"*", key(b"", b"", None)),
        (b"w_*_x*", key(b"w_", b"_x*", None)),
        (b"*->f", key(b"", b"", Some(b"f"))),
        (b"a*b->f->g", key(b"a", b"b", Some(b"f->g"))),
        (b"a*->", key(b"a", b"->", None)),
        (b"a->b*", key(b"a->b", b"", None)),
    ] {
        assert_eq!(Pattern::read(text), want);
    }
}

#[test]
fn texts_are_numbers_to_sort_by() {
    for (text, want) in [
        (&b""[..], Some(0.0)),
        (b"1\x00x", Some(1.0)),
        (b"+1", Some(1.0)),
        (b"1e400", Some(f64::INFINITY)),
        (b"-inf", Some(f64::NEG_INFINITY)),
        (b" 1", None),
        (b"1 ", None),
        (b"nan", None),
        (b"0x10", None),
        (b"\xff", None),
    ] {
        assert_eq!(number(text), want, "{text:?}");
    }
}

#[test]
fn elements_are_sorted() {
    let mut client = Client::default();
    check(
        &mut client,
        &[
            ("RPUSH l 10 9 8.5 -1 9", ":5"),
            ("SORT l", "*5|$2|-1|$3|8.5|$1|9|$1|9|$2|10"),
            ("SORT l DESC LIMIT 1 2", "*2|$1|9|$1|9"),
            ("SORT l ALPHA LIMIT 0 3", "*3|$2|-1|$2|10|$3|8.5"),
            ("SORT l BY nosort DESC LIMIT 1 2", "*2|$2|-1|$3|8.5"),
            ("SORT_RO l LIMIT 5 1", "*0"),
            ("SORT_RO l STORE d", "-ERR syntax error"),
            ("SORT l STORE d", ":5"),
            ("LRANGE d 0 1", "*2|$2|-1|$3|8.5"),
            ("SORT missing STORE d", ":0"),
            ("EXISTS d", ":0"),
            ("RPUSH l x", ":6"),
            (
                "SORT l LIMIT 0 0",
                "-ERR One or more scores can't be converted into double",
            ),
        ],
    );
}

#[test]
fn patterns_lead_to_keys() {
    let mut client = Client::default();
    check(
        &mut client,
        &[
            ("RPUSH l 1 2 3", ":3"),
            ("MSET w1 3 w2 2 w3 1", "+OK"),
            ("HSET h1 f one", ":1"),
            ("SORT l BY w*", "*3|$1|3|$1|2|$1|1"),
            ("SORT l BY x* DESC", "*3|$1|3|$1|2|$1|1"),
            (
                "SORT l GET # GET h*->f LIMIT 0 2",
                "*4|$1|1|$3|one|$1|2|$-1",
            ),
            ("SORT l GET w* STORE d", ":3"),
            ("LRANGE d 0 -1", "*3|$1|3|$1|2|$1|1"),
        ],
    );
}

#[test]
fn patterns_stay_on_their_shard() {
    let mut client = Client::default();
    client.settings.shards = 2;
    let refused = |option: &str| {
        format!(
            "-ERR {option} option of SORT is not supported across shards yet: the pattern, before its *, and all keys need the same {{hash tag}}"
        )
    };
    client.check("RPUSH {t}l 1", ":1");
    for request in [
        "SORT {t}l BY w*",
        "SORT {t}l BY {u}*",
        "SORT {t}l BY {t*}",
        "SORT {t}l BY *{t}",
        "SORT {t}l BY {t}* STORE d",
    ] {
        client.check(request, &refused("BY"));
    }
    client.check("SORT_RO {t}l GET w*", &refused("GET"));
    for request in [
        "SORT {t}l BY {t}w*",
        "SORT {t}l BY nosort",
        "SORT {t}l GET #",
    ] {
        client.check(request, "*1|$1|1");
    }
    client.check("SORT {t}l GET x", "*1|$-1");
    client.check("SORT {t}l BY {t}* STORE {t}d", ":1");
    client.check("SORT t BY {t}*", "*0");
}
