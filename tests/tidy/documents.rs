//! Rules for pages: what they mention exists.

use crate::{assert_none, files, root};
use std::fs;

/// Pages of the checkout.
fn pages() -> Vec<(String, String)> {
    let mut pages = files("docs", ".md");
    if let Ok(text) = fs::read_to_string(root().join("README.md")) {
        pages.push(("README.md".to_owned(), text));
    }
    pages
}

/// Texts between single backticks, outside of fenced blocks, with their lines.
fn quoted(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let parts = line.split('`').skip(1).step_by(2);
            found.extend(parts.map(|part| (i + 1, part.to_owned())));
        }
    }
    found
}

/// Links to files of the checkout, `[text](path)`.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for part in line.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                found.push((i + 1, target.to_owned()));
            }
        }
    }
    found
}

/// Directories of the checkout at which a mentioned path may start.
const TOP: &[&str] = &["crates", "config", "tests", "bench", "docs", ".ci"];

const ENDINGS: &[&str] = &[
    ".rs", ".md", ".toml", ".py", ".tsv", ".txt", ".conf", ".svg", ".json",
];

/// The path that a quoted text mentions, if it looks like one of ours: it starts with a directory of
/// ours, or ends as our files do. `crates/*/src` and `path:line` are paths too; a command line is
/// one by its first word.
fn path(text: &str) -> Option<String> {
    let word = text.split(' ').next().unwrap_or_default();
    let word = word.trim_start_matches("./").trim_end_matches('/');
    let word = word.split(':').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-*{},".contains(c);
    if word.is_empty() || !word.chars().all(plain) || word.starts_with('/') {
        return None;
    }
    let top = word
        .split('/')
        .next()
        .is_some_and(|first| TOP.contains(&first))
        && word.contains('/');
    let ending = ENDINGS
        .iter()
        .any(|ending| word.ends_with(ending) && word.len() > ending.len());
    (top || ending).then(|| word.to_owned())
}

/// Files of the user's machine, or that a run makes, not of the checkout.
const ELSEWHERE: &[&str] = &["redis.conf", "valkey.conf", "compare.svg", "compare.json"];

/// Whether a path exists: from the root, beside the page, in a crate's sources, or by its file name
/// alone where it has no directory. `*` stands for any name, `{a,b}` for each of the names.
fn exists(page: &str, path: &str) -> bool {
    if let Some((before, rest)) = path.split_once('{')
        && let Some((names, after)) = rest.split_once('}')
    {
        return names
            .split(',')
            .all(|name| exists(page, &format!("{before}{name}{after}")));
    }
    let directory = page.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut places = vec![
        path.to_owned(),
        format!("{directory}/{path}"),
        format!("crates/{path}"),
    ];
    // The design's short form: `store/string.rs` is in `crates/store/src`.
    if let Some((first, rest)) = path.split_once('/') {
        places.push(format!("crates/{first}/src/{rest}"));
    } else if path.contains('.') {
        let named = |(found, _): &(String, String)| found.rsplit('/').next() == Some(path);
        let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
        if ["crates", "tests", "config", "docs", "bench"]
            .iter()
            .any(|below| files(below, ending).iter().any(named))
        {
            return true;
        }
    }
    places.iter().any(|place| matches(&root(), place))
}

/// Whether a path with stars fits something below a directory.
fn matches(directory: &std::path::Path, path: &str) -> bool {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if !first.contains('*') {
        let next = directory.join(first);
        return if rest.is_empty() {
            next.exists()
        } else {
            matches(&next, rest)
        };
    }
    let (start, end) = first.split_once('*').unwrap_or((first, ""));
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(start)
            && name.ends_with(end)
            && (rest.is_empty() || matches(&entry.path(), rest))
    })
}

#[test]
fn paths_that_pages_mention_exist() {
    let mut complaints = Vec::new();
    for (page, text) in pages() {
        for (line, text) in quoted(&text) {
            let Some(path) = path(&text) else { continue };
            if !ELSEWHERE.contains(&path.as_str()) && !exists(&page, &path) {
                complaints.push(format!("{page}:{line}: `{path}` does not exist"));
            }
        }
        for (line, target) in links(&text) {
            if !exists(&page, &target) {
                complaints.push(format!("{page}:{line}: the link to {target} leads nowhere"));
            }
        }
    }
    assert_none(complaints);
}

/// Names of code in backticks: `Type::item`, `module::item`, `function()`. The last part has to be
/// declared somewhere.
#[test]
fn names_that_pages_mention_exist() {
    let sources: Vec<String> = ["crates", "tests"]
        .iter()
        .flat_map(|below| files(below, ".rs"))
        .map(|(_, text)| text)
        .collect();
    let declared = |name: &str| {
        ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "macro_rules!"]
            .iter()
            .any(|kind| {
                let plain = format!("{kind} {name}");
                sources.iter().any(|text| {
                    text.match_indices(&plain).any(|(at, _)| {
                        let next = text[at + plain.len()..].chars().next().unwrap_or(' ');
                        !next.is_alphanumeric() && next != '_'
                    })
                })
            })
            // A variant, or a field.
            || sources.iter().any(|text| {
                text.lines().any(|line| {
                    let line = line.trim_start().trim_start_matches("pub ");
                    line.strip_prefix(name).is_some_and(|rest| rest.starts_with([',', '(', ':', ' ', '=']))
                })
            })
    };
    let mut complaints = Vec::new();
    for (page, text) in pages() {
        for (line, text) in quoted(&text) {
            let identifier = |c: char| c.is_alphanumeric() || "_:".contains(c);
            let bare = text.trim_end_matches("()");
            let is_name = bare.chars().all(identifier)
                && bare.chars().next().is_some_and(char::is_alphabetic)
                && (bare.contains("::") || text.ends_with("()"));
            if !is_name || bare.starts_with("std::") {
                continue;
            }
            let last = bare.rsplit("::").next().unwrap_or(bare);
            if !declared(last) {
                complaints.push(format!("{page}:{line}: `{text}` is declared nowhere"));
            }
        }
    }
    assert_none(complaints);
}

/// Every deliberate difference that the tests allow is told to the users too.
#[test]
fn deliberate_differences_are_documented() {
    let path = root().join("tests/differential/differences.tsv");
    let table = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    if rows.is_empty() {
        return;
    }
    let page = fs::read_to_string(root().join("docs/differences.md"))
        .expect("there are differences, so there is a page about them");
    // A page breaks its lines where it likes.
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut complaints = Vec::new();
    for row in rows {
        let reason = row.split('\t').nth(2).unwrap_or_default();
        if !page.contains(reason) {
            complaints.push(format!("docs/differences.md does not say: {reason}"));
        }
    }
    assert_none(complaints);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_other_words() {
        assert_eq!(
            path("crates/store/src/table.rs").as_deref(),
            Some("crates/store/src/table.rs")
        );
        assert_eq!(
            path("bench/compare --quick").as_deref(),
            Some("bench/compare")
        );
        assert_eq!(path("table.rs:12").as_deref(), Some("table.rs"));
        assert_eq!(path("SET"), None);
        assert_eq!(path("/etc/redis/redis.conf"), None);
        assert_eq!(path("keys/values"), None);
        assert!(exists("README.md", "tests/tidy/*.rs"));
        assert!(exists("README.md", "tests/{tidy,suites}/main.rs"));
        assert!(!exists("README.md", "tests/{tidy,nosuch}/main.rs"));
    }
}
