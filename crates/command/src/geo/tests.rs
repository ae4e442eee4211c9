use crate::testing::Client;

#[track_caller]
fn check(steps: &[(&str, &str)]) {
    let mut client = Client::default();
    steps
        .iter()
        .for_each(|(request, want)| client.check(request, want));
}

const SICILY: (&str, &str) = (
    "GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    ":2",
);

#[test]
fn places_are_added_and_moved() {
    check(&[
        SICILY,
        ("GEOADD k 13.361389 38.115556 Palermo", ":0"),
        ("GEOADD k CH 13 38 Palermo 1 1 new", ":2"),
        ("GEOADD k NX CH 14 38 Palermo", ":0"),
        ("GEOADD k XX 14 38 Palermo 14 38 other", ":0"),
        ("GEOADD missing XX 14 38 Palermo", ":0"),
        ("EXISTS missing", ":0"),
        ("GEOADD k NX XX 14 38 Palermo", "-ERR syntax error"),
        ("GEOADD k 14 38 Palermo 1", "-ERR syntax error"),
        ("GEOADD k CH CH CH", "-ERR syntax error"),
        (
            "GEOADD k 181 86 a",
            "-ERR invalid longitude,latitude pair 181.000000,86.000000",
        ),
        ("GEOADD k x 38 a", "-ERR value is not a valid float"),
        ("SET s x", "+OK"),
        (
            "GEOADD s 1 1 a",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn places_are_told_in_many_ways() {
    check(&[
        SICILY,
        ("GEODIST k Palermo Catania", "$11|166274.1516"),
        ("GEODIST k Palermo Catania km", "$8|166.2742"),
        ("GEODIST k Palermo Catania MI", "$8|103.3182"),
        ("GEODIST k Palermo Palermo", "$6|0.0000"),
        ("GEODIST k Palermo nobody", "$-1"),
        (
            "GEODIST k Palermo Catania x",
            "-ERR unsupported unit provided. please use M, KM, FT, MI",
        ),
        ("GEOHASH k Palermo nobody", "*2|$11|sqc8b49rny0|$-1"),
        (
            "GEOPOS k Palermo nobody",
            "*2|*2|$18|13.361389338970184|$16|38.1155563954963|*-1",
        ),
        ("GEOPOS missing a", "*1|*-1"),
    ]);
}

#[test]
fn searches_find_what_is_near() {
    check(&[
        SICILY,
        (
            "GEOSEARCH k FROMLONLAT 15 37 BYRADIUS 200 km DESC WITHDIST",
            "*2|*2|$7|Palermo|$8|190.4424|*2|$7|Catania|$7|56.4413",
        ),
        (
            "GEOSEARCH k FROMLONLAT 15 37 BYBOX 100 200 km",
            "*1|$7|Catania",
        ),
        (
            "GEOSEARCH k BYPOLYGON 3 14 37 16 37 15 39 WITHHASH",
            "*1|*2|$7|Catania|:3479447370796909",
        ),
        ("GEORADIUS k 15 37 200 km COUNT 1", "*1|$7|Catania"),
        (
            "GEORADIUSBYMEMBER k Palermo 200 km COUNT 1 ANY",
            "*1|$7|Palermo",
        ),
        ("GEOSEARCHSTORE d k FROMMEMBER Palermo BYRADIUS 1 m", ":1"),
        ("GEODIST d Palermo Palermo", "$6|0.0000"),
        ("GEORADIUS k 0 0 1 m STORE d", ":0"),
        ("EXISTS d", ":0"),
        ("GEOSEARCH missing FROMMEMBER a BYRADIUS 1 m", "*0"),
        (
            "GEOSEARCH k FROMMEMBER a BYRADIUS 1 m",
            "-ERR could not decode requested zset member",
        ),
        (
            "GEOSEARCH k FROMLONLAT 1 1 ASC ASC ASC",
            "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
        ),
    ]);
}
