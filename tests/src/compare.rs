//! Whether two servers gave the same reply, where the same does not always mean the same bytes.
//!
//! Replies are compared byte for byte, except those that cannot agree between two processes: times,
//! ids, orders that are free, figures about memory. Each of those has a rule here, as narrow as it
//! can be. To have a command compared in another way, add a line to [`rule`].

use crate::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Byte for byte.
    Exact,
    /// In any order.
    Sorted,
    /// Both nothing, or both something of one type.
    SameType,
    /// Two numbers this close, or two equal ones below zero; or arrays of such.
    Near(i64),
    /// Elements with what belongs to each, in any order.
    Pairs,
    /// Arrays of as many elements, or two things of one type.
    Length,
    /// A cursor, and keys in any order; compared if one call returned them all.
    Scan,
    /// A cursor, and elements with what belongs to each, in any order; compared as with [`Rule::Scan`].
    ScanPairs,
    /// Lines of `name=value`, of which only those count that a server can know beforehand.
    ClientFields,
    /// A map of which only the fields count that do not name the server.
    Hello,
    /// An id that was made of the time.
    StreamId,
    /// Pending entries: their idle times near each other.
    Pending,
    /// What XINFO answers, without times and the number of nodes of a tree that is a server's own.
    StreamInfo,
    /// `Value at:` and figures of memory and clock, then encodings and lengths.
    DebugObject,
}

/// Milliseconds that may lie between the same command on two servers, on a busy machine.
const NEAR_MS: i64 = 20_000;

fn rule(words: &[Vec<u8>]) -> Rule {
    let word = |i: usize| {
        words
            .get(i)
            .map(|w| String::from_utf8_lossy(w).to_lowercase())
    };
    let name = word(0).unwrap_or_default();
    let sub = word(1).unwrap_or_default();
    match (name.as_str(), sub.as_str()) {
        ("pttl" | "pexpiretime", _) => Rule::Near(NEAR_MS),
        ("ttl" | "expiretime", _) => Rule::Near(NEAR_MS / 1000),
        ("hpttl" | "hpexpiretime", _) => Rule::Near(NEAR_MS),
        ("httl" | "hexpiretime", _) => Rule::Near(NEAR_MS / 1000),
        ("hgetall", _) => Rule::Pairs,
        ("hkeys" | "hvals", _) => Rule::Sorted,
        ("hrandfield", _) => Rule::Length,
        ("hscan", _) if word(2).is_some_and(|cursor| cursor == "0") => {
            match words.iter().any(|w| w.eq_ignore_ascii_case(b"novalues")) {
                true => Rule::Scan,
                false => Rule::ScanPairs,
            }
        }
        ("hscan", _) => Rule::SameType,
        ("keys", _) | ("config", "get") | ("command", "list") => Rule::Sorted,
        ("smembers" | "sinter" | "sunion" | "sdiff", _) => Rule::Sorted,
        ("spop" | "srandmember", _) => Rule::Length,
        ("scan", "0") => Rule::Scan,
        ("sscan", _) if word(2).is_some_and(|cursor| cursor == "0") => Rule::Scan,
        ("sscan", _) => Rule::SameType,
        ("zscan", _) if word(2).is_some_and(|cursor| cursor == "0") => Rule::ScanPairs,
        ("zscan", _) => Rule::SameType,
        // What any other cursor means is the server's own business.
        ("scan", _) => Rule::SameType,
        ("hello", _) => Rule::Hello,
        ("client", "list" | "info") => Rule::ClientFields,
        ("debug", "object") => Rule::DebugObject,
        ("xadd", _) if words.iter().any(|w| w == b"*") => Rule::StreamId,
        ("xpending", _) if words.len() > 3 => Rule::Pending,
        ("xinfo", "stream" | "groups" | "consumers") => Rule::StreamInfo,
        ("randomkey" | "time" | "lastsave" | "lolwut" | "info", _) => Rule::SameType,
        ("client", "id") => Rule::SameType,
        ("object", "idletime") => Rule::SameType,
        ("memory", "usage" | "stats" | "doctor" | "malloc-stats") => Rule::SameType,
        ("command", "docs" | "count") => Rule::SameType,
        ("command", "") => Rule::SameType,
        ("command", "info") if words.len() == 2 => Rule::SameType,
        (_, "help") => Rule::SameType,
        _ => Rule::Exact,
    }
}

/// Whether the judged server answered as the other did. Errors are equal word for word, whatever
/// the rule for the command's replies.
pub fn same(words: &[Vec<u8>], theirs: &Value, ours: &Value) -> bool {
    if theirs.is_error() || ours.is_error() {
        return theirs == ours;
    }
    match rule(words) {
        Rule::Exact => theirs == ours,
        Rule::Sorted => theirs.clone().sorted() == ours.clone().sorted(),
        Rule::SameType => same_type(theirs, ours),
        Rule::Length => same_type(theirs, ours) && length(theirs) == length(ours),
        Rule::Near(distance) => near(theirs, ours, distance as u64),
        Rule::Pairs => same_type(theirs, ours) && paired(theirs) == paired(ours),
        Rule::Scan => match (theirs, ours) {
            (Value::Array(a), Value::Array(b)) if a.len() == 2 && b.len() == 2 => {
                // Which keys a call returns is a server's own business, unless it returns all.
                let whole = a[0] == Value::bulk("0") && a[0] == b[0];
                !whole || a[1].clone().sorted() == b[1].clone().sorted()
            }
            _ => theirs == ours,
        },
        Rule::ScanPairs => match (theirs, ours) {
            (Value::Array(a), Value::Array(b)) if a.len() == 2 && b.len() == 2 => {
                let whole = a[0] == Value::bulk("0") && a[0] == b[0];
                !whole || sorted_pairs(&a[1]) == sorted_pairs(&b[1])
            }
            _ => theirs == ours,
        },
        Rule::ClientFields => client_fields(theirs) == client_fields(ours),
        Rule::Hello => hello_fields(theirs) == hello_fields(ours),
        Rule::DebugObject => debug_object_fields(theirs) == debug_object_fields(ours),
        Rule::StreamId => is_stream_id(theirs) == is_stream_id(ours),
        Rule::Pending => pending(theirs, ours),
        Rule::StreamInfo => timeless(theirs, false) == timeless(ours, false),
    }
}

fn same_type(theirs: &Value, ours: &Value) -> bool {
    std::mem::discriminant(theirs) == std::mem::discriminant(ours)
}

fn near(theirs: &Value, ours: &Value, distance: u64) -> bool {
    match (theirs, ours) {
        (Value::Int(a), Value::Int(b)) if *a >= 0 && *b >= 0 => a.abs_diff(*b) <= distance,
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).all(|(a, b)| near(a, b, distance))
        }
        _ => theirs == ours,
    }
}

/// The pairs of a map, or of an array that stands for one, in order.
fn paired(reply: &Value) -> Vec<Vec<Value>> {
    match reply {
        Value::Map(pairs) => {
            let mut pairs: Vec<_> = pairs
                .iter()
                .map(|(a, b)| vec![a.clone(), b.clone()])
                .collect();
            pairs.sort();
            pairs
        }
        other => sorted_pairs(other),
    }
}

fn length(reply: &Value) -> Option<usize> {
    match reply {
        Value::Array(items) | Value::Set(items) => Some(items.len()),
        _ => None,
    }
}

/// The elements two by two, in order.
fn sorted_pairs(reply: &Value) -> Vec<Vec<Value>> {
    let mut pairs: Vec<Vec<Value>> = reply.items().chunks(2).map(<[Value]>::to_vec).collect();
    pairs.sort();
    pairs
}

/// The lines of CLIENT LIST, each with the fields that are the same wherever it runs.
fn client_fields(reply: &Value) -> Option<Vec<Vec<String>>> {
    const KEPT: &[&str] = &[
        "name", "flags", "db", "sub", "psub", "multi", "cmd", "user", "redir", "resp",
    ];
    let text = String::from_utf8_lossy(reply.text()?).into_owned();
    let mut lines: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let kept = |field: &&str| {
            field
                .split_once('=')
                .is_some_and(|(n, _)| KEPT.contains(&n))
        };
        lines.push(line.split(' ').filter(kept).map(str::to_owned).collect());
    }
    lines.sort();
    Some(lines)
}

fn hello_fields(reply: &Value) -> Option<Vec<(Value, Value)>> {
    const OWN: &[&[u8]] = &[b"server", b"version", b"id", b"modules"];
    match reply {
        Value::Map(_) | Value::Array(_) => {}
        _ => return None,
    }
    let pairs = reply.pairs().into_iter();
    Some(
        pairs
            .filter(|(name, _)| !name.text().is_some_and(|n| OWN.contains(&n)))
            .collect(),
    )
}

fn debug_object_fields(reply: &Value) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(reply.text()?).into_owned();
    let kept = |field: &&str| field.starts_with("encoding:") || field.starts_with("refcount:");
    Some(text.split(' ').filter(kept).map(str::to_owned).collect())
}

fn is_stream_id(reply: &Value) -> bool {
    let text = String::from_utf8_lossy(reply.text().unwrap_or_default()).into_owned();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(ms, seq)| number(ms) && number(seq))
}

/// Lists of id, consumer, idle time and number of deliveries.
fn pending(theirs: &Value, ours: &Value) -> bool {
    let (Value::Array(theirs), Value::Array(ours)) = (theirs, ours) else {
        return theirs == ours;
    };
    let same = |theirs: &Value, ours: &Value| match (theirs, ours) {
        (Value::Array(theirs), Value::Array(ours)) => match (&theirs[..], &ours[..]) {
            ([id, consumer, Value::Int(a), n], [id_too, consumer_too, Value::Int(b), n_too]) => {
                let near = a.abs_diff(*b) <= NEAR_MS as u64;
                near && [id, consumer, n] == [id_too, consumer_too, n_too]
            }
            _ => theirs == ours,
        },
        _ => theirs == ours,
    };
    theirs.len() == ours.len() && theirs.iter().zip(ours).all(|(a, b)| same(a, b))
}

/// What XINFO answers, without what two servers cannot agree on. `pending`: it is what the field of
/// that name has, where great numbers are times.
fn timeless(reply: &Value, pending: bool) -> Value {
    const TIMES: &[&[u8]] = &[b"idle", b"inactive", b"seen-time", b"active-time"];
    const GREAT: i64 = 1_000_000_000_000;
    let mut items: Vec<Value> = match reply {
        Value::Array(items) => items.clone(),
        Value::Map(pairs) => pairs
            .iter()
            .flat_map(|(name, value)| [name.clone(), value.clone()])
            .collect(),
        Value::Int(n) if pending && *n >= GREAT => return Value::Int(GREAT),
        other => return other.clone(),
    };
    let named = |name: &[u8], items: &[Value], i: usize| i > 0 && items[i - 1].text() == Some(name);
    for i in 0..items.len() {
        if TIMES.iter().any(|name| named(name, &items, i)) {
            if let Value::Int(n) = items[i] {
                // -1 says that there is none.
                items[i] = Value::Int(n.min(0));
            }
        } else if named(b"radix-tree-nodes", &items, i) {
            items[i] = Value::Int(0);
        } else {
            items[i] = timeless(&items[i], pending || named(b"pending", &items, i));
        }
    }
    Value::Array(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        crate::notation::words(line).expect("words")
    }

    #[test]
    fn times_may_differ_a_little_and_errors_never() {
        let int = Value::Int;
        assert!(same(&words("PTTL k"), &int(5000), &int(4990)));
        assert!(!same(&words("PTTL k"), &int(5000), &int(500_000)));
        assert!(!same(&words("TTL k"), &int(-1), &int(-2)));
        assert!(!same(&words("TTL k"), &int(-1), &int(0)));
        let error = Value::error("ERR syntax error");
        assert!(!same(&words("TIME x"), &error, &Value::error("ERR syntax")));
        assert!(!same(&words("GET k"), &Value::Null, &Value::NullBulk));
    }

    #[test]
    fn streams_have_times_of_their_own() {
        let bulk = Value::bulk;
        let entry = |idle, n| {
            let fields = vec![bulk("1-1"), bulk("c"), Value::Int(idle), Value::Int(n)];
            Value::Array(vec![Value::Array(fields)])
        };
        let range = words("XPENDING s g - + 1");
        assert!(same(&range, &entry(5, 1), &entry(9, 1)));
        assert!(!same(&range, &entry(5, 1), &entry(500_000, 1)));
        assert!(!same(&range, &entry(5, 1), &entry(5, 2)));
        let info = |idle, pending| {
            let fields = [
                ("idle", idle),
                ("pending", pending),
                ("radix-tree-nodes", idle),
            ];
            let fields = fields.map(|(name, n)| (bulk(name), Value::Int(n)));
            Value::Map(fields.to_vec())
        };
        let words = words("XINFO CONSUMERS s g");
        assert!(same(&words, &info(5, 1), &info(7, 1)));
        assert!(!same(&words, &info(5, 1), &info(5, 2)));
        assert!(!same(&words, &info(5, 1), &info(-1, 1)));
    }

    #[test]
    fn keys_may_come_in_any_order() {
        let keys = |names: &[&str]| Value::Array(names.iter().map(Value::bulk).collect());
        assert!(same(
            &words("KEYS *"),
            &keys(&["a", "b"]),
            &keys(&["b", "a"])
        ));
        assert!(!same(
            &words("MGET a b"),
            &keys(&["a", "b"]),
            &keys(&["b", "a"])
        ));
    }
}
