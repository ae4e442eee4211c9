use crate::testing::Client;

/// Runs a script with a new client, once with short lists and once with ones of many chunks.
#[track_caller]
fn check(script: &[(&str, &str)]) {
    for directive in [-2, 2] {
        let mut client = Client::default();
        client.settings.limits.list_max_listpack_size = directive;
        for (request, want) in script {
            client.check(request, want);
        }
    }
}

#[test]
fn pushes_answer_the_length() {
    check(&[
        ("RPUSH k a b c", ":3"),
        ("LPUSH k 1 2", ":5"),
        ("LRANGE k 0 -1", "*5|$1|2|$1|1|$1|a|$1|b|$1|c"),
        ("LPUSHX none a", ":0"),
        ("RPUSHX none a", ":0"),
        ("EXISTS none", ":0"),
        ("LPUSHX k x y", ":7"),
        ("RPUSHX k z", ":8"),
        ("LLEN k", ":8"),
        ("LLEN none", ":0"),
        ("SET s v", "+OK"),
        (
            "LPUSH s a",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "RPUSHX s a",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn pops_remove_the_key_with_the_last_element() {
    check(&[
        ("RPUSH k a b c d e", ":5"),
        ("LPOP k", "$1|a"),
        ("RPOP k", "$1|e"),
        ("LPOP k 0", "*0"),
        ("RPOP k 2", "*2|$1|d|$1|c"),
        ("LPOP k 10", "*1|$1|b"),
        ("EXISTS k", ":0"),
        ("LPOP k", "$-1"),
        ("RPOP k 3", "*-1"),
        ("LPOP k -1", "-ERR value is out of range, must be positive"),
        ("LPOP k x", "-ERR value is out of range, must be positive"),
        (
            "LPOP k 1 2",
            "-ERR wrong number of arguments for 'lpop' command",
        ),
    ]);
}

#[test]
fn elements_move_between_lists_and_within_one() {
    check(&[
        ("RPUSH a 1 2 3", ":3"),
        ("LMOVE a b left right", "$1|1"),
        ("LMOVE a b RIGHT LEFT", "$1|3"),
        ("RPOPLPUSH a b", "$1|2"),
        ("EXISTS a", ":0"),
        ("LRANGE b 0 -1", "*3|$1|2|$1|3|$1|1"),
        ("RPOPLPUSH b b", "$1|1"),
        ("LMOVE b b LEFT RIGHT", "$1|1"),
        ("LRANGE b 0 -1", "*3|$1|2|$1|3|$1|1"),
        ("RPOPLPUSH a b", "$-1"),
        ("SET s v", "+OK"),
        ("RPOPLPUSH a s", "$-1"),
        (
            "RPOPLPUSH b s",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("LMOVE b b UP LEFT", "-ERR syntax error"),
        ("LMPOP 2 a b RIGHT COUNT 2", "*2|$1|b|*2|$1|1|$1|3"),
        ("LMPOP 2 a b LEFT", "*2|$1|b|*1|$1|2"),
        ("LMPOP 2 a b LEFT", "*-1"),
        ("LMPOP 0 a LEFT", "-ERR numkeys should be greater than 0"),
        ("LMPOP 3 a b LEFT", "-ERR syntax error"),
        (
            "LMPOP 1 a LEFT COUNT 0",
            "-ERR count should be greater than 0",
        ),
        ("LMPOP 1 a LEFT COUNT 1 COUNT 1", "-ERR syntax error"),
    ]);
}

#[test]
fn the_middle_changes() {
    check(&[
        ("RPUSH k a b c b a", ":5"),
        ("LSET k 1 B", "+OK"),
        ("LSET k -1 A", "+OK"),
        ("LSET k 5 x", "-ERR index out of range"),
        ("LSET none 0 x", "-ERR no such key"),
        ("LINSERT k BEFORE c 1", ":6"),
        ("LINSERT k after c 2", ":7"),
        ("LINSERT k after z 2", ":-1"),
        ("LINSERT none before z 2", ":0"),
        ("LRANGE k 0 -1", "*7|$1|a|$1|B|$1|1|$1|c|$1|2|$1|b|$1|A"),
        ("LTRIM k 1 -2", "+OK"),
        ("LINDEX k 0", "$1|B"),
        ("LINDEX k -1", "$1|b"),
        ("LINDEX k 9", "$-1"),
        ("LTRIM k 3 1", "+OK"),
        ("EXISTS k", ":0"),
    ]);
}

#[test]
fn elements_are_found_and_removed() {
    check(&[
        ("RPUSH k a b a c a b", ":6"),
        ("LPOS k a", ":0"),
        ("LPOS k a RANK 2", ":2"),
        ("LPOS k a RANK -1", ":4"),
        ("LPOS k a COUNT 0 RANK -2", "*2|:2|:0"),
        ("LPOS k a COUNT 2", "*2|:0|:2"),
        ("LPOS k c MAXLEN 3", "$-1"),
        ("LPOS k c MAXLEN 3 COUNT 1", "*0"),
        ("LPOS none c", "$-1"),
        ("LPOS none c COUNT 0", "*0"),
        ("LPOS k a COUNT -1", "-ERR COUNT can't be negative"),
        ("LPOS k a MAXLEN x", "-ERR MAXLEN can't be negative"),
        ("LPOS k a RANK", "-ERR syntax error"),
        ("LREM k 1 a", ":1"),
        ("LREM k -1 b", ":1"),
        ("LRANGE k 0 -1", "*4|$1|b|$1|a|$1|c|$1|a"),
        ("LREM k 0 a", ":2"),
        ("LREM k 0 zz", ":0"),
        ("LREM k 0 b", ":1"),
        ("LREM k 0 c", ":1"),
        ("EXISTS k", ":0"),
    ]);
}
