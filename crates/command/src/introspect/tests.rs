//! COMMAND's replies against the shapes of Redis.

use super::*;
use crate::keyspec::{Begin, Find, KeySpec};
use crate::spec::Form;
use crate::table::{Row, Run};
use crate::testing::{self, Client, with_args};
use resp::Protocol;

type Subcommand = fn(&mut Reply, &Table<()>, Args<'_>) -> Result<(), Error>;

/// The reply to a COMMAND call, its line ends written as `|`.
fn ask(protocol: Protocol, subcommand: Subcommand, request: &str) -> String {
    let table = testing::table();
    with_args(request, |args| {
        let mut reply = Reply::new(protocol);
        if let Err(error) = subcommand(&mut reply, &table, args) {
            reply.clear();
            reply.error(error.text());
        }
        String::from_utf8_lossy(&reply.to_vec()).replace("\r\n", "|")
    })
}

const INDEX_2: &str = "$12|begin_search|*4|$4|type|$5|index|$4|spec|*2|$5|index|:2|";
const ONE_KEY: &str = "$9|find_keys|*4|$4|type|$5|range|$4|spec|\
                       *6|$7|lastkey|:0|$7|keystep|:1|$5|limit|:0|";

fn info_(reply: &mut Reply, table: &Table<()>, args: Args<'_>) -> Result<(), Error> {
    info(reply, table, args);
    Ok(())
}

fn docs_(reply: &mut Reply, table: &Table<()>, args: Args<'_>) -> Result<(), Error> {
    docs(reply, table, args);
    Ok(())
}

#[test]
fn info_has_the_shape_that_clients_know() {
    let call = "command info COPY nope get|x";
    let index_1 = INDEX_2.replace(":2", ":1");
    let resp2 = format!(
        "*3|*10|$4|copy|:-3|*2|+write|+denyoom|:1|:2|:1|*3|+@keyspace|+@write|+@slow|*0|\
         *2|*6|$5|flags|*2|+RO|+access|{index_1}{ONE_KEY}\
         *6|$5|flags|*2|+OW|+update|{INDEX_2}{ONE_KEY}*0|$-1|$-1|"
    );
    assert_eq!(ask(Protocol::Resp2, info_, call), resp2);
    let resp3 = resp2
        .replace("*2|+", "~2|+")
        .replace("*3|+", "~3|+")
        .replace("*2|*6", "~2|*6")
        .replace("*6|", "%3|")
        .replace("*4|", "%2|")
        .replace("spec|*2|", "spec|%1|")
        .replace("*0|", "~0|")
        .replace("$-1", "_");
    assert_eq!(ask(Protocol::Resp3, info_, call), resp3);
}

#[test]
fn containers_list_their_subcommands() {
    let object = ask(Protocol::Resp2, info_, "command info object");
    let start = "*1|*10|$6|object|:-2|*0|:0|:0|:0|*1|+@slow|*0|*0|*5|*10|$15|object|encoding|";
    assert!(object.starts_with(start), "{object}");
    let encoding = ask(Protocol::Resp2, info_, "command info object|encoding");
    let want = format!(
        "*1|*10|$15|object|encoding|:3|*1|+readonly|:2|:2|:1|*3|+@keyspace|+@read|+@slow|\
         *1|$23|nondeterministic_output|*1|*6|$5|flags|*1|+RO|{INDEX_2}{ONE_KEY}*0|"
    );
    assert_eq!(encoding, want);
}

#[test]
fn command_knows_itself() {
    let mut host = vec![Row::command(&rows::COMMAND, ())];
    host.extend(
        rows::SUBCOMMANDS
            .iter()
            .map(|s| Row::subcommand("command", s, ())),
    );
    let table = Table::new(&[], &[], host);
    let mut reply = Reply::new(Protocol::Resp2);
    command(&mut reply, &table);
    let text = String::from_utf8_lossy(reply.bytes()).replace("\r\n", "|");
    let start = "*1|*10|$7|command|:-1|*2|+loading|+stale|:0|:0|:0|*2|+@slow|+@connection|\
                 *1|$29|nondeterministic_output_order|*0|*7|*10|$13|command|count|:2|";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn docs_follow_the_grammar() {
    let expire = ask(Protocol::Resp3, docs_, "command docs expire nope");
    let token = |lower: &str, upper: &str| {
        format!(
            "%4|$4|name|$2|{lower}|$4|type|$10|pure-token|$12|display_text|$2|{lower}|\
             $5|token|$2|{upper}|"
        )
    };
    let tokens: String = [("nx", "NX"), ("xx", "XX"), ("gt", "GT"), ("lt", "LT")]
        .map(|(lower, upper)| token(lower, upper))
        .concat();
    let arguments = format!(
        "$9|arguments|*3|\
         %4|$4|name|$3|key|$4|type|$3|key|$12|display_text|$3|key|$14|key_spec_index|:0|\
         %3|$4|name|$7|seconds|$4|type|$7|integer|$12|display_text|$7|seconds|\
         %5|$4|name|$9|condition|$4|type|$5|oneof|$5|since|$5|7.0.0|$5|flags|~1|+optional|\
         $9|arguments|*4|{tokens}"
    );
    assert!(
        expire.starts_with("%1|$6|expire|%6|$7|summary|"),
        "{expire}"
    );
    let group = "|$5|since|$5|1.0.0|$5|group|$7|generic|$10|complexity|$4|O(1)|$7|history|~1|*2|";
    assert!(expire.contains(group), "{expire}");
    assert!(expire.ends_with(&arguments), "{expire}");
    assert_eq!(ask(Protocol::Resp2, docs_, "command docs nope"), "*0|");
    let setex = ask(Protocol::Resp2, docs_, "command docs setex");
    let deprecated = "|$9|doc_flags|*1|+deprecated|$16|deprecated_since|$6|2.6.12|$11|replaced_by|";
    assert!(setex.contains(deprecated), "{setex}");
    let object = ask(Protocol::Resp3, docs_, "command docs object");
    assert!(
        object.contains("|$11|subcommands|%5|$15|object|encoding|%5|"),
        "{object}"
    );
}

#[test]
fn lists_are_filtered() {
    let ask = |rest: &str| ask(Protocol::Resp2, list, &format!("command list{rest}"));
    let all = Client::default().table.entries().len();
    assert!(ask("").starts_with(&format!("*{all}|")));
    assert_eq!(
        ask(" filterby pattern PEXPIRE?*"),
        "*2|$9|pexpireat|$11|pexpiretime|"
    );
    assert_eq!(ask(" FilterBy pattern object|f*"), "*1|$11|object|freq|");
    assert_eq!(ask(" filterby module json"), "*0|");
    assert_eq!(ask(" filterby aclcat nope"), "*0|");
    let dangerous = ask(" filterby aclcat DANGEROUS");
    assert_eq!(
        dangerous,
        "*11|$7|pfdebug|$10|pfselftest|$4|sort|$7|sort_ro|$7|restore|$14|restore-asking|$7|migrate|$4|keys|$7|flushdb|$8|flushall|$6|swapdb|"
    );
    for wrong in [
        " foo",
        " filterby",
        " filterby pattern",
        " filterby foo bar",
        " a b c d",
    ] {
        assert_eq!(ask(wrong), "-ERR syntax error|");
    }
}

#[test]
fn keys_of_calls() {
    let keys = |call: &str| ask(Protocol::Resp2, getkeys, &format!("command getkeys {call}"));
    let count = "-ERR Invalid number of arguments specified for command|";
    for (call, want) in [
        ("get a", "*1|$1|a|"),
        ("MSET a 1 b 2", "*2|$1|a|$1|b|"),
        ("msetnx a 1 b", "*2|$1|a|$1|b|"),
        ("del a b c", "*3|$1|a|$1|b|$1|c|"),
        ("object encoding x", "*1|$1|x|"),
        ("copy a b db 3", "*2|$1|a|$1|b|"),
        ("foo a", "-ERR Invalid command specified|"),
        ("object foo x", "-ERR Invalid command specified|"),
        ("dbsize", "-ERR The command has no key arguments|"),
        ("object", "-ERR The command has no key arguments|"),
        ("mset a", count),
        ("get", count),
        (
            "msetex x a 1",
            "-ERR Invalid arguments specified for command|",
        ),
    ] {
        assert_eq!(keys(call), want, "{call}");
    }
}

#[test]
fn flags_of_keys_depend_on_options_where_redis_says_so() {
    let flags = |call: &str| {
        let call = format!("command getkeysandflags {call}");
        ask(Protocol::Resp2, getkeysandflags, &call)
    };
    let written = "*1|*2|$1|a|*2|+OW|+update|";
    let both = "*1|*2|$1|a|*3|+RW|+access|+update|";
    let read = "*1|*2|$1|a|*2|+RO|+access|";
    for (call, want) in [
        ("get a", read),
        ("set a get", written),
        ("set a 1 get", both),
        ("bitfield a get u8 0", read),
        ("bitfield a incrby u8 0 1", both),
        (
            "copy a b",
            "*2|*2|$1|a|*2|+RO|+access|*2|$1|b|*2|+OW|+update|",
        ),
    ] {
        assert_eq!(flags(call), want, "{call}");
    }
}

#[test]
fn key_ranges_join_what_follows_in_single_steps() {
    const ONE: KeySpec = KeySpec::one(1, KeyFlags::RO);
    const TWO: KeySpec = KeySpec::one(2, KeyFlags::RO);
    const REST: KeySpec = KeySpec::range(2, -1, 1, KeyFlags::RO);
    const PAIRS: KeySpec = KeySpec::range(1, -1, 2, KeyFlags::RO);
    const FAR: KeySpec = KeySpec::one(4, KeyFlags::RO);
    const COUNTED: KeySpec = KeySpec {
        find: Find::Count {
            count: 0,
            first: 1,
            step: 1,
        },
        ..ONE
    };
    type Case = (&'static [KeySpec], (i64, i64, i64), bool);
    const CASES: &[Case] = &[
        (&[], (0, 0, 0), false),
        (&[ONE], (1, 1, 1), false),
        (&[ONE, TWO], (1, 2, 1), false),
        (&[ONE, REST], (1, -1, 1), false),
        (&[PAIRS], (1, -1, 2), false),
        (&[ONE, FAR], (1, 1, 1), true),
        (&[COUNTED], (0, 0, 0), true),
        (&[ONE, COUNTED], (1, 1, 1), true),
    ];
    for (keys, (first, last, step), partial) in CASES {
        let spec = Spec {
            keys,
            ..Spec::DEFAULT
        };
        let want = KeyRange {
            first: *first,
            last: *last,
            step: *step,
            partial: *partial,
        };
        assert_eq!(key_range(&spec), want);
    }
}

#[test]
fn categories_follow_from_flags_and_group() {
    let of = |group, flags, categories, container| {
        let spec = Spec {
            group,
            flags,
            categories,
            ..Spec::DEFAULT
        };
        super::categories(&spec, container).join(" ")
    };
    let (read, fast) = (Flags::READONLY, Flags::FAST);
    assert_eq!(of("string", read.or(fast), &[], false), "read string fast");
    assert_eq!(
        of("generic", Flags::WRITE, &[], false),
        "keyspace write slow"
    );
    assert_eq!(of("generic", Flags::NONE, &[], true), "slow");
    assert_eq!(
        of("server", Flags::ADMIN, &[], false),
        "admin slow dangerous"
    );
    assert_eq!(of("sorted-set", fast, &[], false), "sortedset fast");
    assert_eq!(of("scripting", read, &[], false), "slow scripting");
    let wait = of(
        "generic",
        Flags::BLOCKING,
        &["connection", "-keyspace"],
        false,
    );
    assert_eq!(wait, "slow blocking connection");
}

#[test]
fn usage_shows_the_grammar() {
    let table = testing::table();
    let filter = "X [FILTERBY <MODULE <module-name> | ACLCAT <category> | PATTERN <pattern>>]";
    assert_eq!(usage("X", rows::LIST.arguments), filter);
    assert_eq!(
        usage("X", rows::DOCS.arguments),
        "X [<command-name> [<command-name> ...]]"
    );
    for (name, want) in [
        ("object|encoding", "X <key>"),
        ("memory|usage", "X <key> [SAMPLES <count>]"),
        ("expire", "X <key> <seconds> [NX | XX | GT | LT]"),
        ("del", "X <key> [<key> ...]"),
        ("randomkey", "X"),
        ("mset", "X <key> <value> [<key> <value> ...]"),
    ] {
        let entry = table.find_full(name.as_bytes()).expect("a row");
        assert_eq!(usage("X", entry.spec.arguments), want);
    }
}

#[test]
fn help_lists_usage_and_summary() {
    let mut reply = Reply::new(Protocol::Resp2);
    const SPEC: Spec = Spec {
        name: "id",
        summary: "Says it.",
        ..Spec::DEFAULT
    };
    help(&mut reply, "client", [&SPEC]);
    let text = String::from_utf8_lossy(reply.bytes()).replace("\r\n", "|");
    let title = "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    assert_eq!(text, format!("*3|+{title}|+ID|+    Says it.|"));
}

/// What every row of this crate must have for the replies above to make sense.
#[test]
fn rows_are_complete() {
    const GROUPS: &[&str] = &[
        "string",
        "bitmap",
        "list",
        "set",
        "hash",
        "sorted-set",
        "stream",
        "hyperloglog",
        "geo",
        "generic",
        "server",
    ];
    for entry in Client::default().table.entries() {
        let (name, spec) = (&entry.full_name, entry.spec);
        assert!(GROUPS.contains(&spec.group), "{name}: {}", spec.group);
        let sentence = spec.summary.ends_with('.') && spec.summary.len() > 10;
        assert!(sentence && !spec.summary.contains('|'), "{name}");
        assert!(spec.since.split('.').count() == 3, "{name}");
        assert!(spec.arity != 0 && !spec.complexity.is_empty(), "{name}");
        let reads = spec.flags.has(Flags::READONLY);
        assert!(!(reads && spec.flags.has(Flags::WRITE)), "{name}");
        let known = |c: &&&str| CATEGORIES.contains(&c.trim_start_matches('-'));
        assert_eq!(
            spec.categories.iter().filter(known).count(),
            spec.categories.len()
        );
        check_key_arguments(name, spec.arguments, spec.keys.len());
        if let Run::Data(form) = entry.run {
            assert!(can_be_cut(form, spec.keys), "{name}");
        }
    }
}

/// Whether the keys are such that a command of this form can run when they are on several shards.
fn can_be_cut(form: Form, keys: &[KeySpec]) -> bool {
    match form {
        Form::Local(_) => {
            let is_one = |k: &KeySpec| matches!(k.find, Find::Range { last: 0, .. });
            keys.len() <= 1 && keys.iter().all(is_one)
        }
        Form::Fan(..) => {
            let [only] = keys else { return false };
            let is_rest = matches!(
                only.find,
                Find::Range {
                    last: -1,
                    limit: 0,
                    ..
                }
            );
            only.begin == Begin::Index(1) && is_rest
        }
        Form::Gather(..) => !keys.is_empty(),
        Form::Everywhere(..) | Form::Walk(_) => keys.is_empty(),
    }
}

fn check_key_arguments(name: &str, arguments: &[Argument], specs: usize) {
    for argument in arguments {
        let is_key = argument.kind == ArgumentKind::Key;
        // A pattern may name keys too.
        let may_be = is_key || argument.kind == ArgumentKind::Pattern;
        let has = argument.key_spec.is_some();
        assert!(
            has || !is_key,
            "{name} {}: a key that is in no specification",
            argument.name
        );
        assert!(may_be || !has, "{name} {}: no key", argument.name);
        assert!(
            argument.key_spec.is_none_or(|i| (i as usize) < specs),
            "{name}"
        );
        check_key_arguments(name, argument.arguments, specs);
    }
}
