//! COMMAND: the server's own description of its commands is whole and true.

use crate::judged;
use harness::{Program, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The rows of COMMAND INFO, or of COMMAND, subcommands included.
fn rows(reply: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for row in reply.items() {
        all.push(row.clone());
        if let Some(subcommands) = row.items().get(9) {
            all.extend(rows(subcommands));
        }
    }
    all
}

fn name(row: &Value) -> String {
    row.items()[0].string()
}

#[test]
fn list_count_info_and_docs_agree() {
    let server = judged::start();
    let mut connection = server.connect();
    let all = connection.line("COMMAND");
    let count = connection.line("COMMAND COUNT").int();
    assert_eq!(all.items().len() as i64, count);
    let mut listed: Vec<String> = connection
        .line("COMMAND LIST")
        .items()
        .iter()
        .map(Value::string)
        .collect();
    let mut described: Vec<String> = rows(&all).iter().map(name).collect();
    listed.sort();
    described.sort();
    assert_eq!(listed, described);
    let docs = connection.line("COMMAND DOCS").pairs();
    assert_eq!(docs.len() as i64, count);
    for (name, doc) in docs {
        for field in ["summary", "since", "group"] {
            assert!(doc.field(field).is_some(), "{name} has no {field}");
        }
    }
}

/// A command called with fewer arguments than it says it needs refuses, and with as many it does not
/// complain about their number.
#[test]
fn arities_are_true() {
    let server = judged::start();
    let mut connection = server.connect();
    for row in rows(&connection.line("COMMAND")) {
        let (name, arity) = (name(&row), row.items()[1].int());
        let few = (arity.unsigned_abs() as usize).saturating_sub(1);
        let mut words: Vec<String> = name.split('|').map(str::to_owned).collect();
        if few < words.len() {
            continue;
        }
        words.resize(few, "1".to_owned());
        let reply = connection.call(&words);
        let expected = format!("ERR wrong number of arguments for '{name}' command");
        assert_eq!(reply, Value::error(&expected), "{words:?}");
        if arity > 0 {
            words.resize(arity as usize + 1, "1".to_owned());
            assert_eq!(
                connection.call(&words),
                Value::error(&expected),
                "{words:?}"
            );
        }
    }
}

#[test]
fn keys_are_found_where_the_description_says() {
    let server = judged::start();
    let mut connection = server.connect();
    for (line, keys) in [
        ("GET a", "a"),
        ("SET a 1", "a"),
        ("MSET a 1 b 2", "a b"),
        ("DEL a b c", "a b c"),
        ("BITOP AND a b c", "a b c"),
        ("COPY a b", "a b"),
        ("OBJECT ENCODING a", "a"),
        ("LCS a b IDX", "a b"),
    ] {
        let reply = connection.line(&format!("COMMAND GETKEYS {line}"));
        let found: Vec<String> = reply.items().iter().map(Value::string).collect();
        assert_eq!(found.join(" "), keys, "{line}");
    }
}

/// Commands take any case, and their containers say so of a subcommand that is none.
#[test]
fn names_are_found_in_any_case() {
    let server = judged::start();
    let mut connection = server.connect();
    for row in rows(&connection.line("COMMAND")) {
        let name = name(&row);
        for variant in [name.to_uppercase(), name.to_lowercase()] {
            let info = connection.call(&["COMMAND", "INFO", &variant]);
            assert_eq!(
                info.items()[0].items().first(),
                Some(&Value::bulk(&name)),
                "{variant}"
            );
        }
    }
}

/// `docs/commands.md` is the server's own description; `UPDATE_PAGES=1` writes it anew.
#[test]
fn the_page_of_commands_is_up_to_date() {
    let server = judged::start();
    if !Program::Judged.is_shoal() {
        return println!("skipped: not Shoal");
    }
    let mut connection = server.connect_as(3);
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, doc) in connection.line("COMMAND DOCS").pairs() {
        let subcommands = doc
            .field("subcommands")
            .map(|s| s.pairs())
            .unwrap_or_default();
        let alone = subcommands.is_empty();
        // A container that does nothing itself is known by its subcommands.
        for (name, doc) in alone.then_some((name, doc)).into_iter().chain(subcommands) {
            let text = |field: &str| doc.field(field).map_or(String::new(), |v| v.string());
            let name = name.string().to_uppercase().replace('|', " ");
            let row = format!(
                "| {name} | {} | {} | {} |",
                text("summary"),
                text("complexity"),
                text("since")
            );
            rows.entry(text("group")).or_default().push(row);
        }
    }
    let mut page = "# Commands\n\nWhat `COMMAND DOCS` tells, by group; written by\n\
        `UPDATE_PAGES=1 cargo test -p shoal-tests --test suites page_of_commands`. \"Since\" is the\n\
        first version of Redis or Valkey that had the command.\n".to_owned();
    for (group, mut rows) in rows {
        rows.sort();
        page.push_str(&format!(
            "\n## {group}\n\n| command | what it does | time | since |\n"
        ));
        page.push_str("| --- | --- | --- | --- |\n");
        rows.iter()
            .for_each(|row| page.push_str(&format!("{row}\n")));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        return fs::write(&path, page).expect("the page can be written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/commands.md is not what COMMAND DOCS tells: run this test with UPDATE_PAGES=1"
    );
}
