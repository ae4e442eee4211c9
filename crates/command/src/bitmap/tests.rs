use crate::testing::Client;

#[track_caller]
fn check(script: &[(&str, &str)]) {
    let mut client = Client::default();
    for (request, want) in script {
        client.check(request, want);
    }
}

const SYNTAX: &str = "-ERR syntax error";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const OFFSET: &str = "-ERR bit offset is not an integer or out of range";

#[test]
fn single_bits() {
    const BIT: &str = "-ERR bit is not an integer or out of range";
    check(&[
        ("setbit k 7 1", ":0"),
        ("get k", "$1|\u{1}"),
        ("setbit k 7 0", ":1"),
        ("setbit k 15 0", ":0"),
        ("strlen k", ":2"),
        ("getbit k 7", ":0"),
        ("setbit k 0 0", ":0"),
        ("set n 1", "+OK"),
        ("getbit n 2", ":1"),
        ("getbit n 3", ":1"),
        ("getbit n 4", ":0"),
        ("getbit n 4294967295", ":0"),
        ("setbit n 0 0", ":0"),
        ("object encoding n", "$3|raw"),
        ("getbit absent 3", ":0"),
        ("setbit k 4294967296 1", OFFSET),
        ("setbit k -1 1", OFFSET),
        ("getbit k x", OFFSET),
        ("setbit k 1 2", BIT),
        ("setbit k 1 01", BIT),
    ]);
}

#[test]
fn bitcount() {
    check(&[
        ("set k foobar", "+OK"),
        ("bitcount k", ":26"),
        ("bitcount k 0 0", ":4"),
        ("bitcount k 1 1 byte", ":6"),
        ("bitcount k 5 30 BIT", ":17"),
        ("bitcount k 3 3 bit", ":0"),
        ("bitcount k 9 10 bit", ":2"),
        ("bitcount k -1 -2", ":0"),
        ("bitcount k 0 -100", ":4"),
        ("bitcount k 1", ":22"),
        ("bitcount absent", ":0"),
        ("bitcount absent 0 x", NOT_INTEGER),
        ("bitcount absent 0 1 bits", SYNTAX),
        ("bitcount k 0 1 bit x", SYNTAX),
    ]);
}

#[test]
fn bitpos() {
    check(&[
        ("set k \"\\xff\\xf0\\x00\"", "+OK"),
        ("bitpos k 0", ":12"),
        ("bitpos k 1 2", ":-1"),
        ("bitpos k 1 1", ":8"),
        ("bitpos k 0 0 0", ":-1"),
        ("bitpos k 0 7 15 bit", ":12"),
        ("bitpos k 1 7 15 bit", ":7"),
        ("bitpos k 1 -100 -101", ":0"),
        ("set ones \"\\xff\\xff\"", "+OK"),
        ("bitpos ones 0", ":16"),
        ("bitpos ones 0 1", ":16"),
        ("bitpos ones 0 0 -1", ":-1"),
        ("bitpos ones 0 2", ":-1"),
        ("set empty \"\"", "+OK"),
        ("bitpos empty 0", ":-1"),
        ("bitpos empty 1", ":-1"),
        ("bitpos absent 0", ":0"),
        ("bitpos absent 1", ":-1"),
        ("bitpos k 2", "-ERR The bit argument must be 1 or 0."),
        ("bitpos k x", NOT_INTEGER),
        ("bitpos k 1 0 1 bits", SYNTAX),
        ("bitpos k 1 0 1 bit x", SYNTAX),
    ]);
}

#[test]
fn bitop() {
    check(&[
        ("mset a \"abc\" b \"ab\" c \"\\xff\"", "+OK"),
        ("bitop and d a b", ":3"),
        ("get d", "$3|ab\0"),
        ("bitop or d a absent", ":3"),
        ("get d", "$3|abc"),
        ("bitop xor d a b", ":3"),
        ("get d", "$3|\0\0c"),
        ("set x \"\\x0f\\x00\"", "+OK"),
        ("set y \"\\x03\"", "+OK"),
        ("set z \"\\x05\\x01\"", "+OK"),
        ("bitop diff d x y z", ":2"),
        ("get d", "$2|\u{8}\0"),
        ("bitop diff1 d y z", ":2"),
        ("get d", "$2|\u{4}\u{1}"),
        ("bitop andor d x y z", ":2"),
        ("get d", "$2|\u{7}\0"),
        ("bitop one d x y z", ":2"),
        ("get d", "$2|\u{8}\u{1}"),
        ("bitop not d d", ":2"),
        ("bitcount d", ":14"),
        ("bitop and d absent absent2", ":0"),
        ("exists d", ":0"),
        (
            "bitop not d a b",
            "-ERR BITOP NOT must be called with a single source key.",
        ),
        (
            "bitop diff d a",
            "-ERR BITOP DIFF must be called with at least two source keys.",
        ),
        ("bitop nand d a", SYNTAX),
    ]);
}

#[test]
fn bitfield() {
    check(&[
        ("bitfield k incrby i5 100 1 get u4 0", "*2|:1|:0"),
        ("strlen k", ":14"),
        (
            "bitfield k set u8 #1 255 get u8 #1 get i8 #1",
            "*3|:0|:255|:-1",
        ),
        ("bitfield k incrby u8 #1 10", "*1|:9"),
        ("bitfield k overflow sat incrby u8 #1 1000", "*1|:255"),
        ("bitfield k overflow fail incrby u8 #1 1", "*1|$-1"),
        (
            "bitfield k set i64 0 -9223372036854775808 incrby i64 0 -1 get i64 0",
            "*3|:71776119061217280|:9223372036854775807|:9223372036854775807",
        ),
        (
            "bitfield k overflow sat set u8 0 -1 get u8 0",
            "*2|:127|:255",
        ),
        // What Redis's own check for overflow makes of the lowest numbers.
        (
            "bitfield k overflow sat set i3 0 -9223372036854775808 get i3 0",
            "*2|:-1|:3",
        ),
        (
            "bitfield k overflow sat set i3 0 -100 get i3 0",
            "*2|:3|:-4",
        ),
        ("bitfield k", "*0"),
        ("bitfield k overflow wrap", "*0"),
        ("bitfield_ro k get u3 0", "*1|:4"),
        ("bitfield_ro absent get u3 0", "*1|:0"),
        ("exists absent", ":0"),
        ("bitfield absent get u3 0", "*1|:0"),
        ("exists absent", ":0"),
        ("bitfield absent overflow fail set u3 0 9", "*1|$-1"),
        ("exists absent", ":1"),
    ]);
}

#[test]
fn bitfield_refuses_what_it_cannot_read() {
    const KIND: &str = "-ERR Invalid bitfield type. Use something like i16 u8. \
                        Note that u64 is not supported but i64 is.";
    for (operations, error) in [
        ("get u64 0", KIND),
        ("get i65 0", KIND),
        ("get x8 0", KIND),
        ("get u 0", KIND),
        ("get U8 0", KIND),
        ("get u08 0", KIND),
        ("get u8 -1", OFFSET),
        ("get u8 x", OFFSET),
        ("get u8 #", OFFSET),
        ("get u8 4294967296", OFFSET),
        ("get u8 #536870912", OFFSET),
        ("get u8 #9223372036854775807", OFFSET),
        ("get u8", SYNTAX),
        ("set u8 0", SYNTAX),
        ("set u8 0 x", NOT_INTEGER),
        ("incrby u8 0 1.5", NOT_INTEGER),
        ("overflow", SYNTAX),
        ("overflow no", "-ERR Invalid OVERFLOW type specified"),
        ("no u8 0", SYNTAX),
        // Nothing runs before all has been read.
        ("set u8 0 1 get u8", SYNTAX),
    ] {
        let request = format!("bitfield k {operations}");
        check(&[(&request, error), ("exists k", ":0")]);
    }
    check(&[(
        "bitfield_ro k set u8 0 1",
        "-ERR BITFIELD_RO only supports the GET subcommand",
    )]);
}
