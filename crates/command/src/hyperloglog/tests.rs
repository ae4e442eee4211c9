use crate::testing::Client;

#[track_caller]
fn check(steps: &[(&str, &str)]) -> Client {
    let mut client = Client::default();
    steps
        .iter()
        .for_each(|(request, want)| client.check(request, want));
    client
}

#[test]
fn adding_says_whether_registers_changed() {
    check(&[
        ("PFADD k", ":1"),
        ("PFADD k", ":0"),
        ("PFADD k a b c", ":1"),
        ("PFADD k c b a", ":0"),
        ("PFCOUNT k", ":3"),
        ("PFCOUNT k", ":3"),
        ("PFADD k d", ":1"),
        ("PFCOUNT k", ":4"),
        ("PFCOUNT missing", ":0"),
        (
            "PFDEBUG DECODE missing",
            "-ERR The specified key does not exist",
        ),
        ("OBJECT ENCODING k", "$3|raw"),
    ]);
}

#[test]
fn sketches_are_united() {
    check(&[
        ("PFADD a 1 2 3", ":1"),
        ("PFADD b 3 4 5", ":1"),
        ("PFCOUNT a b missing", ":5"),
        ("PFCOUNT a a", ":3"),
        ("PFMERGE c a b", "+OK"),
        ("PFCOUNT c", ":5"),
        ("PFDEBUG TODENSE a", ":1"),
        ("PFDEBUG TODENSE a", ":0"),
        ("PFMERGE b a", "+OK"),
        ("PFDEBUG ENCODING b", "+dense"),
        ("PFDEBUG ENCODING c", "+sparse"),
        ("PFCOUNT b c", ":5"),
        ("PFMERGE d", "+OK"),
        ("PFCOUNT d", ":0"),
        ("PFDEBUG DECODE d", "$7|Z:16384"),
        ("PFDEBUG DECODE b", "-ERR HLL encoding is not sparse"),
        ("PFDEBUG FOO b", "-ERR Unknown PFDEBUG subcommand 'FOO'"),
    ]);
}

#[test]
fn other_strings_are_refused() {
    const INVALID: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
    const CORRUPT: &str = "-INVALIDOBJ Corrupted HLL object detected";
    for value in [
        "x",
        "12345678901234567890",
        "HYLL",
        "HYLL\\x02aaaaaaaaaaaaaaaaa",
        "HYLL\\x00aaaaaaaaaaa",
    ] {
        let mut client = Client::default();
        client.check(&format!("SET k \"{value}\""), "+OK");
        for request in [
            "PFADD k",
            "PFADD k a",
            "PFCOUNT k",
            "PFCOUNT k k",
            "PFMERGE k",
            "PFMERGE d k",
            "PFDEBUG GETREG k",
        ] {
            client.check(request, INVALID);
        }
    }
    let mut client = Client::default();
    client.check("SET k \"HYLL\\x01aaaaaaaaaa\\xff\\x00\"", "+OK");
    for request in [
        "PFADD k a",
        "PFCOUNT k",
        "PFCOUNT k k",
        "PFMERGE k",
        "PFMERGE d k",
        "PFDEBUG GETREG k",
        "PFDEBUG TODENSE k",
    ] {
        client.check(request, CORRUPT);
    }
    client.check("EXISTS d", ":0");
}

#[test]
fn expiries_stay() {
    check(&[
        ("PFADD k a", ":1"),
        ("EXPIRE k 100", ":1"),
        ("PFADD k b", ":1"),
        ("PFCOUNT k", ":2"),
        ("PFMERGE k k", "+OK"),
        ("PFDEBUG TODENSE k", ":1"),
        ("PFADD k c", ":1"),
        ("TTL k", ":100"),
    ]);
}

#[test]
fn a_sketch_becomes_dense_when_it_is_long() {
    let mut client = Client::default();
    client.settings.limits.hll_sparse_max_bytes = 24;
    client.check("PFADD k a b", ":1");
    client.check("PFDEBUG ENCODING k", "+sparse");
    client.check("PFADD k c", ":1");
    client.check("PFDEBUG ENCODING k", "+dense");
    client.check("PFADD k a b c", ":0");
    client.check("PFADD k d", ":1");
    client.check("PFCOUNT k", ":4");
    client.check("STRLEN k", ":12304");
}

#[test]
fn the_self_test_passes() {
    check(&[("PFSELFTEST", "+OK")]);
}
