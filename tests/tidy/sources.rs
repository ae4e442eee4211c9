//! Rules for source files.

use crate::{assert_none, files, root};
use std::fs;

/// Lines after which a file is too long to be read in one go.
const LINES_MAX: usize = 1000;

/// Files that are longer, and why that serves the reader.
const LONG: &[(&str, &str)] = &[];

/// Crates in which outside data arrives, and which therefore never unwrap.
const CAREFUL: &[&str] = &[
    "crates/resp/src",
    "crates/store/src",
    "crates/persist/src",
    "crates/command/src",
    "crates/engine/src",
    "crates/server/src",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "misc",
];

/// The lines of a file that are not in its test modules: those end a file by custom, and files named
/// `tests.rs` hold nothing else.
fn without_tests<'a>(path: &str, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let whole = if path.ends_with("/tests.rs") || path.contains("/tests/") {
        ""
    } else {
        text
    };
    let end = whole
        .find("\n#[cfg(test)]\nmod ")
        .map_or(whole.len(), |at| at + 1);
    let inline = whole[end..]
        .lines()
        .nth(1)
        .is_some_and(|line| line.ends_with('{'));
    let kept = if inline { &whole[..end] } else { whole };
    kept.lines().enumerate().map(|(i, line)| (i + 1, line))
}

/// A line's code, without a comment at its end.
fn code(line: &str) -> &str {
    match line.split_once("//") {
        Some((code, _)) if !code.contains('"') => code,
        _ => line,
    }
}

fn rust() -> Vec<(String, String)> {
    let mut all = files("crates", ".rs");
    all.extend(files("tests", ".rs"));
    all
}

#[test]
fn files_are_short_enough_to_read() {
    let mut complaints = Vec::new();
    for (path, text) in rust() {
        let lines = text.lines().count();
        let listed = LONG.iter().any(|(long, _)| *long == path);
        if lines > LINES_MAX && !listed {
            complaints.push(format!(
                "{path}: {lines} lines; split it, or give a reason in LONG"
            ));
        } else if lines <= LINES_MAX && listed {
            complaints.push(format!("{path}: short enough now; take it off LONG"));
        }
    }
    assert_none(complaints);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let mut complaints = Vec::new();
    for (path, text) in rust() {
        // A file of tests needs no words about what it is for.
        if !text.starts_with("//! ") && !path.ends_with("/tests.rs") {
            complaints.push(format!("{path}: no module documentation in its first line"));
        }
    }
    assert_none(complaints);
}

#[test]
fn nothing_is_unwrapped_where_outside_data_arrives() {
    let mut complaints = Vec::new();
    for directory in CAREFUL {
        for (path, text) in files(directory, ".rs") {
            for (number, line) in without_tests(&path, &text) {
                if code(line).contains(".unwrap()") {
                    complaints.push(format!(
                        "{path}:{number}: unwrap; handle it, or expect with a reason"
                    ));
                }
                if code(line).contains("todo!(") || code(line).contains("unimplemented!(") {
                    complaints.push(format!("{path}:{number}: unfinished"));
                }
            }
        }
    }
    assert_none(complaints);
}

/// A line of dashes or equal signs divides nothing that a heading or a module would not.
#[test]
fn no_banners() {
    let mut complaints = Vec::new();
    for (path, text) in rust() {
        for (i, line) in text.lines().enumerate() {
            let Some(comment) = line.trim().strip_prefix("//") else {
                continue;
            };
            let rule = comment.trim_start_matches(['/', '!', ' ']);
            let banner = ["----", "====", "****", "####"]
                .iter()
                .any(|b| rule.starts_with(b));
            if banner {
                complaints.push(format!("{path}:{}: a banner", i + 1));
            }
        }
    }
    assert_none(complaints);
}

/// Paths of somebody's machine mean nothing to anybody else.
#[test]
fn no_paths_of_one_machine() {
    let own = ["/wo", "rk/"].concat();
    let home = ["/ho", "me/"].concat();
    let root_home = ["/ro", "ot/"].concat();
    let mut all = rust();
    for ending in [".md", ".toml", ".txt", ".tsv", ".py", ".conf"] {
        for directory in ["crates", "tests", "bench", "docs", "config"] {
            all.extend(files(directory, ending));
        }
    }
    for name in ["README.md", "Cargo.toml", ".ci/run"] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            all.push((name.to_owned(), text));
        }
    }
    let mut complaints = Vec::new();
    for (path, text) in all {
        for (i, line) in text.lines().enumerate() {
            for prefix in [&own, &home, &root_home] {
                if line.contains(prefix.as_str()) {
                    complaints.push(format!("{path}:{}: a path below {prefix}", i + 1));
                }
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn file_names_say_what_is_inside() {
    let mut complaints = Vec::new();
    for (path, _) in rust() {
        let stem = path
            .rsplit('/')
            .next()
            .unwrap_or(&path)
            .trim_end_matches(".rs");
        if EMPTY_NAMES.contains(&stem) {
            complaints.push(format!("{path}: what is in it?"));
        }
    }
    assert_none(complaints);
}

/// A crate that needs no unsafe code forbids it; one that does names the modules that have it, each
/// block with its argument.
#[test]
fn unsafe_code_is_argued_for() {
    let mut complaints = Vec::new();
    for (path, text) in files("crates", ".rs") {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let line = code(line).trim();
            let block = line.contains("unsafe {") || line.contains("unsafe impl");
            if !block || line.starts_with("//") {
                continue;
            }
            // The argument may stand above a statement of several lines, or above a run of blocks
            // that it covers.
            let above = &lines[i.saturating_sub(12)..i];
            let argued = above
                .iter()
                .chain([&lines[i]])
                .any(|l| l.contains("SAFETY:"));
            if !argued {
                complaints.push(format!("{path}:{}: unsafe without SAFETY", i + 1));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn the_top_level_holds_only_what_it_should() {
    const ALLOWED: &[&str] = &[
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "crates",
        "config",
        "tests",
        "bench",
        "docs",
        "target",
    ];
    let entries = fs::read_dir(root()).expect("the checkout can be listed");
    let strange: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("it can be listed")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !name.starts_with('.') && !ALLOWED.contains(&name.as_str()))
        .map(|name| format!("{name}: not at the top level"))
        .collect();
    assert_none(strange);
}
