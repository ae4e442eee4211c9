//! What is known of COMMAND itself. Its handlers are the host's, which has the whole table.

use crate::spec::{Argument, ArgumentKind, Flags, Spec};

const ROW: Spec = Spec {
    group: "server",
    since: "2.8.13",
    flags: Flags::LOADING.or(Flags::STALE),
    categories: &["connection"],
    ..Spec::DEFAULT
};
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const NAMES: &[Argument] = &[Argument::new("command-name", ArgumentKind::String)
    .optional()
    .multiple()];
const CALL: &[Argument] = &[
    Argument::new("command", ArgumentKind::String),
    Argument::new("arg", ArgumentKind::String)
        .optional()
        .multiple(),
];

pub static COMMAND: Spec = Spec {
    name: "command",
    arity: -1,
    tips: UNORDERED,
    summary: "Describes all commands.",
    complexity: "O(N) in the commands",
    ..ROW
};

pub static COUNT: Spec = Spec {
    name: "count",
    arity: 2,
    summary: "Counts the commands.",
    ..ROW
};

pub static DOCS: Spec = Spec {
    name: "docs",
    since: "7.0.0",
    arity: -2,
    tips: UNORDERED,
    summary: "Documents the commands named, or all.",
    complexity: "O(N) in the commands named",
    arguments: NAMES,
    ..ROW
};

pub static GETKEYS: Spec = Spec {
    name: "getkeys",
    arity: -3,
    summary: "Finds the keys in a call.",
    complexity: "O(N) in the call's arguments",
    arguments: CALL,
    ..ROW
};

pub static GETKEYSANDFLAGS: Spec = Spec {
    name: "getkeysandflags",
    since: "7.0.0",
    arity: -3,
    summary: "Finds the keys in a call, and what it does with each.",
    complexity: "O(N) in the call's arguments",
    arguments: CALL,
    ..ROW
};

pub static HELP: Spec = Spec {
    name: "help",
    since: "5.0.0",
    arity: 2,
    summary: "Lists the subcommands.",
    ..ROW
};

pub static INFO: Spec = Spec {
    name: "info",
    arity: -2,
    tips: UNORDERED,
    summary: "Describes the commands named, or all.",
    complexity: "O(N) in the commands named",
    arguments: NAMES,
    history: &[("7.0.0", "Describes all commands if none is named.")],
    ..ROW
};

pub static LIST: Spec = Spec {
    name: "list",
    since: "7.0.0",
    arity: -2,
    tips: UNORDERED,
    summary: "Lists the names of commands.",
    complexity: "O(N) in the commands",
    arguments: &[Argument::one_of(
        "filterby",
        &[
            Argument::new("module-name", ArgumentKind::String).with_token("MODULE"),
            Argument::new("category", ArgumentKind::String).with_token("ACLCAT"),
            Argument::new("pattern", ArgumentKind::Pattern).with_token("PATTERN"),
        ],
    )
    .with_token("FILTERBY")
    .optional()],
    ..ROW
};

/// The subcommands, as HELP lists them.
pub static SUBCOMMANDS: &[&Spec] = &[
    &COUNT,
    &DOCS,
    &GETKEYS,
    &GETKEYSANDFLAGS,
    &HELP,
    &INFO,
    &LIST,
];
