//! What is known of CLIENT and its subcommands.

use command::spec::{Argument, ArgumentKind as Kind};
use command::{Flags, Spec};

const ROW: Spec = Spec {
    group: "connection",
    arity: 2,
    flags: Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE),
    ..Spec::DEFAULT
};

const ADMIN: Flags = Flags::ADMIN.or(ROW.flags);

const SWITCH: &[Argument] = &[Argument::one_of(
    "enabled",
    &[Argument::token("on", "ON"), Argument::token("off", "OFF")],
)];

pub(super) static CLIENT: Spec = Spec {
    name: "client",
    group: "connection",
    since: "2.4.0",
    arity: -2,
    summary: "Commands on connections.",
    complexity: "Depends on the subcommand",
    ..Spec::DEFAULT
};

pub(super) static CACHING: Spec = Spec {
    name: "caching",
    since: "6.0.0",
    arity: 3,
    summary: "Has the keys tracked that the next command reads, or not, whichever is not usual.",
    arguments: &[Argument::one_of(
        "mode",
        &[Argument::token("yes", "YES"), Argument::token("no", "NO")],
    )],
    ..ROW
};

pub(super) static CAPA: Spec = Spec {
    name: "capa",
    since: "8.0.0",
    arity: -3,
    flags: ROW.flags.or(Flags::ALLOW_BUSY),
    summary: "Tells what the client is able to do; REDIRECT is one such thing.",
    arguments: &[Argument::new("capability", Kind::String).multiple()],
    ..ROW
};

pub(super) static GETNAME: Spec = Spec {
    name: "getname",
    since: "2.6.9",
    summary: "Answers the connection's name.",
    ..ROW
};

pub(super) static GETREDIR: Spec = Spec {
    name: "getredir",
    since: "6.0.0",
    summary: "Answers the id of the client that is told of changes to this one's tracked keys.",
    ..ROW
};

pub(super) static HELP: Spec = Spec {
    name: "help",
    since: "5.0.0",
    flags: Flags::LOADING.or(Flags::STALE),
    summary: "Lists the subcommands.",
    ..ROW
};

pub(super) static ID: Spec = Spec {
    name: "id",
    since: "5.0.0",
    summary: "Answers the connection's id, which no other connection gets before or after.",
    ..ROW
};

pub(super) static IMPORT_SOURCE: Spec = Spec {
    name: "import-source",
    since: "8.1.0",
    arity: 3,
    summary: "Marks the connection as one that data is imported over.",
    arguments: SWITCH,
    ..ROW
};

pub(super) static INFO: Spec = Spec {
    name: "info",
    since: "6.2.0",
    tips: &["nondeterministic_output"],
    summary: "Answers what CLIENT LIST says of this connection.",
    ..ROW
};

const TYPES: &[Argument] = &[
    Argument::token("normal", "NORMAL"),
    Argument::token("master", "MASTER").since("3.2.0"),
    Argument::token("primary", "PRIMARY").since("8.0.0"),
    Argument::token("slave", "SLAVE"),
    Argument::token("replica", "REPLICA").since("5.0.0"),
    Argument::token("pubsub", "PUBSUB"),
];

/// A condition on clients that takes one value.
const fn condition(
    name: &'static str,
    kind: Kind,
    token: &'static str,
    since: Option<&'static str>,
) -> Argument {
    let mut argument = Argument::new(name, kind).with_token(token).optional();
    argument.since = since;
    argument
}

const fn choice(
    name: &'static str,
    arguments: &'static [Argument],
    token: &'static str,
    since: Option<&'static str>,
) -> Argument {
    let mut argument = condition(name, Kind::OneOf, token, since);
    argument.arguments = arguments;
    argument
}

const YES_OR_NO: &[Argument] = &[Argument::token("yes", "YES"), Argument::token("no", "NO")];

/// Version that added most conditions.
const NINE: Option<&str> = Some("9.0.0");

/// The conditions of CLIENT KILL and CLIENT LIST, which came to the two at different times.
const fn conditions(since: &Since) -> [Argument; 27] {
    [
        condition("client-id", Kind::Integer, "ID", since.id).multiple(),
        choice("client-type", TYPES, "TYPE", since.kind),
        condition("username", Kind::String, "USER", since.user),
        condition("addr", Kind::String, "ADDR", since.address),
        condition("laddr", Kind::String, "LADDR", since.local),
        choice("skipme", YES_OR_NO, "SKIPME", since.skip_me),
        condition("maxage", Kind::Integer, "MAXAGE", since.age),
        condition("name", Kind::String, "NAME", NINE),
        condition("idle", Kind::Integer, "IDLE", NINE),
        condition("flags", Kind::String, "FLAGS", NINE),
        condition("lib-name", Kind::String, "LIB-NAME", NINE),
        condition("lib-ver", Kind::String, "LIB-VER", NINE),
        condition("db", Kind::Integer, "DB", NINE),
        condition("capa", Kind::String, "CAPA", NINE),
        condition("ip", Kind::String, "IP", NINE),
        choice("not-client-type", TYPES, "NOT-TYPE", NINE),
        condition("not-client-id", Kind::Integer, "NOT-ID", NINE).multiple(),
        condition("not-username", Kind::String, "NOT-USER", NINE),
        condition("not-addr", Kind::String, "NOT-ADDR", NINE),
        condition("not-laddr", Kind::String, "NOT-LADDR", NINE),
        condition("not-name", Kind::String, "NOT-NAME", NINE),
        condition("not-flags", Kind::String, "NOT-FLAGS", NINE),
        condition("not-lib-name", Kind::String, "NOT-LIB-NAME", NINE),
        condition("not-lib-ver", Kind::String, "NOT-LIB-VER", NINE),
        condition("not-db", Kind::Integer, "NOT-DB", NINE),
        condition("not-capa", Kind::String, "NOT-CAPA", NINE),
        condition("not-ip", Kind::String, "NOT-IP", NINE),
    ]
}

struct Since {
    id: Option<&'static str>,
    kind: Option<&'static str>,
    user: Option<&'static str>,
    address: Option<&'static str>,
    local: Option<&'static str>,
    skip_me: Option<&'static str>,
    age: Option<&'static str>,
}

static KILL_CONDITIONS: [Argument; 27] = conditions(&Since {
    id: Some("2.8.12"),
    kind: Some("2.8.12"),
    user: None,
    address: None,
    local: Some("6.2.0"),
    skip_me: None,
    age: Some("7.4.0"),
});

pub(super) static KILL: Spec = Spec {
    name: "kill",
    since: "2.4.0",
    arity: -3,
    flags: ADMIN,
    summary: "Closes the connection from an address, or all that meet the conditions.",
    complexity: "O(N) in the connections",
    arguments: &[Argument::one_of(
        "filter",
        &[
            Argument::new("old-format", Kind::String),
            Argument {
                multiple: true,
                arguments: &KILL_CONDITIONS,
                ..Argument::new("new-format", Kind::OneOf)
            },
        ],
    )],
    history: &[
        ("2.8.12", "Takes conditions, `ID` among them."),
        ("3.2.0", "`TYPE` may be `master`."),
        (
            "5.0.0",
            "`TYPE` may be `replica`, which `slave` means as well.",
        ),
        ("6.2.0", "Takes `LADDR`."),
        ("7.4.0", "Takes `MAXAGE`."),
        ("8.1.0", "`ID` may be followed by several ids."),
        (
            "9.0.0",
            "Takes further conditions, and their opposites with `NOT-` before them.",
        ),
    ],
    ..ROW
};

pub(super) static LIST: Spec = Spec {
    name: "list",
    since: "2.4.0",
    arity: -2,
    flags: ADMIN,
    tips: &["nondeterministic_output"],
    summary: "Describes all connections, or those that meet the conditions.",
    complexity: "O(N) in the connections",
    arguments: &conditions(&Since {
        id: Some("6.2.0"),
        kind: Some("5.0.0"),
        user: Some("8.1.0"),
        address: Some("8.1.0"),
        local: Some("8.1.0"),
        skip_me: Some("8.1.0"),
        age: Some("8.1.0"),
    }),
    history: &[
        ("2.8.12", "Shows `id`."),
        ("5.0.0", "Takes `TYPE`."),
        ("6.0.0", "Shows `user`."),
        (
            "6.2.0",
            "Takes `ID`; shows `argv-mem`, `tot-mem`, `laddr` and `redir`.",
        ),
        ("7.0.0", "Shows `resp`, `multi-mem`, `rbs` and `rbp`."),
        ("7.0.3", "Shows `ssub`."),
        ("7.2.0", "Shows `lib-name` and `lib-ver`."),
        ("7.4.0", "Shows `watch`."),
        ("8.0.0", "Shows `io-thread`."),
        (
            "8.1.0",
            "Takes `USER`, `ADDR`, `LADDR`, `SKIPME` and `MAXAGE`.",
        ),
        (
            "9.0.0",
            "Takes further conditions, and their opposites with `NOT-` before them.",
        ),
    ],
    ..ROW
};

pub(super) static NO_EVICT: Spec = Spec {
    name: "no-evict",
    since: "7.0.0",
    arity: 3,
    flags: ADMIN,
    summary: "Keeps the connection from being closed to save memory, or no longer.",
    arguments: SWITCH,
    ..ROW
};

pub(super) static NO_TOUCH: Spec = Spec {
    name: "no-touch",
    since: "7.2.0",
    arity: 3,
    summary: "Has the connection's commands leave no trace of use on keys, or again leave it.",
    arguments: SWITCH,
    ..ROW
};

pub(super) static PAUSE: Spec = Spec {
    name: "pause",
    since: "3.0.0",
    arity: -3,
    flags: ADMIN,
    summary: "Lets all commands, or those that write, wait for some milliseconds.",
    arguments: &[
        Argument::new("timeout", Kind::Integer),
        Argument::one_of(
            "mode",
            &[
                Argument::token("write", "WRITE"),
                Argument::token("all", "ALL"),
            ],
        )
        .optional()
        .since("6.2.0"),
    ],
    history: &[("6.2.0", "Takes the mode, `WRITE` or `ALL`.")],
    ..ROW
};

pub(super) static REPLY: Spec = Spec {
    name: "reply",
    since: "3.2.0",
    arity: 3,
    summary: "Chooses whether the connection's commands are answered.",
    arguments: &[Argument::one_of(
        "action",
        &[
            Argument::token("on", "ON"),
            Argument::token("off", "OFF"),
            Argument::token("skip", "SKIP"),
        ],
    )],
    ..ROW
};

pub(super) static SETINFO: Spec = Spec {
    name: "setinfo",
    since: "7.2.0",
    arity: 4,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary: "Tells the name or version of the client's library.",
    arguments: &[Argument::one_of(
        "attr",
        &[
            Argument::new("libname", Kind::String).with_token("LIB-NAME"),
            Argument::new("libver", Kind::String).with_token("LIB-VER"),
        ],
    )],
    ..ROW
};

pub(super) static SETNAME: Spec = Spec {
    name: "setname",
    since: "2.6.9",
    arity: 3,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    summary: "Names the connection.",
    arguments: &[Argument::new("connection-name", Kind::String)],
    ..ROW
};

pub(super) static TRACKING: Spec = Spec {
    name: "tracking",
    since: "6.0.0",
    arity: -3,
    summary: "Has the connection told when keys change that it has read, or ends that.",
    complexity: "O(1), or O(N) in the prefixes",
    arguments: &[
        Argument::one_of(
            "status",
            &[Argument::token("on", "ON"), Argument::token("off", "OFF")],
        ),
        Argument::new("client-id", Kind::Integer)
            .with_token("REDIRECT")
            .optional(),
        Argument::new("prefix", Kind::String)
            .with_token("PREFIX")
            .optional()
            .multiple()
            .multiple_token(),
        Argument::token("bcast", "BCAST").optional(),
        Argument::token("optin", "OPTIN").optional(),
        Argument::token("optout", "OPTOUT").optional(),
        Argument::token("noloop", "NOLOOP").optional(),
    ],
    ..ROW
};

pub(super) static TRACKINGINFO: Spec = Spec {
    name: "trackinginfo",
    since: "6.2.0",
    summary: "Describes how the server tracks the keys that the connection reads.",
    ..ROW
};

pub(super) static UNBLOCK: Spec = Spec {
    name: "unblock",
    since: "5.0.0",
    arity: -3,
    flags: ADMIN,
    summary: "Ends the wait of a connection in a blocking command.",
    arguments: &[
        Argument::new("client-id", Kind::Integer),
        Argument::one_of(
            "unblock-type",
            &[
                Argument::token("timeout", "TIMEOUT"),
                Argument::token("error", "ERROR"),
            ],
        )
        .optional(),
    ],
    ..ROW
};

pub(super) static UNPAUSE: Spec = Spec {
    name: "unpause",
    since: "6.2.0",
    flags: ADMIN,
    summary: "Ends a pause before its time.",
    complexity: "O(N) in the connections that wait",
    ..ROW
};
