//! PING, ECHO, SELECT, QUIT, and how a connection begins: AUTH, HELLO, RESET.
//!
//! There is one user, `default`. With `requirepass` set, a connection must show the password once;
//! one that was there before stays as it is.

use crate::clients::{Client, Closing, Special};
use crate::core::{Core, Host, HostHandler};
use crate::session::pubsub;
use command::spec::{Argument, ArgumentKind as Kind, Deprecated};
use command::table::Row;
use command::{Effect, Error, Flags, Outcome, Spec};
use resp::Protocol;
use resp::number::parse_i64;

/// Flags of what a connection may do before it has authenticated.
const BEFORE_AUTH: Flags = Flags::NOSCRIPT
    .or(Flags::LOADING)
    .or(Flags::STALE)
    .or(Flags::FAST)
    .or(Flags::NO_AUTH)
    .or(Flags::ALLOW_BUSY);

const MESSAGE: Argument = Argument::new("message", Kind::String);
const USERNAME: Argument = Argument::new("username", Kind::String);
const PASSWORD: Argument = Argument::new("password", Kind::String);

static PING: Spec = Spec {
    name: "ping",
    group: "connection",
    arity: -1,
    flags: Flags::FAST,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    summary: "Answers PONG, or the message given.",
    arguments: &[MESSAGE.optional()],
    ..Spec::DEFAULT
};

static ECHO: Spec = Spec {
    name: "echo",
    group: "connection",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    summary: "Answers the message given.",
    arguments: &[MESSAGE],
    ..Spec::DEFAULT
};

static SELECT: Spec = Spec {
    name: "select",
    group: "connection",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    summary: "Changes the connection's database.",
    arguments: &[Argument::new("index", Kind::Integer)],
    ..Spec::DEFAULT
};

static QUIT: Spec = Spec {
    name: "quit",
    group: "connection",
    arity: -1,
    flags: BEFORE_AUTH,
    summary: "Closes the connection.",
    deprecated: Some(Deprecated {
        since: "7.2.0",
        replaced_by: "just closing the connection",
    }),
    ..Spec::DEFAULT
};

static AUTH: Spec = Spec {
    name: "auth",
    group: "connection",
    arity: -2,
    flags: BEFORE_AUTH,
    summary: "Tells who the client is, and proves it with a password.",
    complexity: "O(N) in the user's passwords",
    arguments: &[USERNAME.optional().since("6.0.0"), PASSWORD],
    history: &[("6.0.0", "Takes a username as well.")],
    ..Spec::DEFAULT
};

static HELLO: Spec = Spec {
    name: "hello",
    group: "connection",
    since: "6.0.0",
    arity: -1,
    flags: BEFORE_AUTH,
    summary: "Chooses the protocol, authenticates, names the connection, and describes the server.",
    arguments: &[Argument::block(
        "arguments",
        &[
            Argument::new("protover", Kind::Integer),
            Argument::block("auth", &[USERNAME, PASSWORD])
                .with_token("AUTH")
                .optional(),
            Argument::new("clientname", Kind::String)
                .with_token("SETNAME")
                .optional(),
        ],
    )
    .optional()],
    history: &[("6.2.0", "Without arguments it only describes the server.")],
    ..Spec::DEFAULT
};

static RESET: Spec = Spec {
    name: "reset",
    group: "connection",
    since: "6.2.0",
    arity: 1,
    flags: BEFORE_AUTH,
    summary: "Makes the connection as it was when it was new.",
    ..Spec::DEFAULT
};

pub fn rows() -> Vec<Row<HostHandler>> {
    vec![
        Row::command(&AUTH, auth),
        Row::command(&ECHO, echo),
        Row::command(&HELLO, hello),
        Row::command(&PING, ping),
        Row::command(&QUIT, quit),
        Row::command(&RESET, reset),
        Row::command(&SELECT, select),
    ]
}

fn ping(host: &mut Host<'_>) -> Outcome {
    match host.args.len() {
        1 | 2 if pubsub::is_for_messages(host.client, host.reply.protocol()) => pubsub::ping(host),
        1 => host.reply.simple("PONG"),
        2 => host.reply.bulk(host.args.get(1)),
        _ => return Err(Error::arity("ping")),
    }
    Ok(Effect::Read)
}

fn echo(host: &mut Host<'_>) -> Outcome {
    host.reply.bulk(host.args.get(1));
    Ok(Effect::Read)
}

fn select(host: &mut Host<'_>) -> Outcome {
    host.client.db = database(host.core, host.args)?;
    host.reply.ok();
    Ok(Effect::Read)
}

/// The database that SELECT names.
pub fn database(core: &Core, args: resp::Args<'_>) -> Result<usize, Error> {
    let index = parse_i64(args.get(1)).ok_or(Error::NOT_INTEGER)?;
    if i32::try_from(index).is_err() {
        return Err(Error::new(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    let db = usize::try_from(index).map_err(|_| Error::DB_INDEX)?;
    if db >= core.shard.databases() {
        return Err(Error::DB_INDEX);
    }
    Ok(db)
}

fn quit(host: &mut Host<'_>) -> Outcome {
    host.reply.ok();
    host.client.closing = Closing::AfterReply;
    Ok(Effect::Read)
}

fn auth(host: &mut Host<'_>) -> Outcome {
    let args = host.args;
    let (user, password) = match args.len() {
        2 if !host.core.needs_password() => {
            return Err(Error::new(
                "ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ));
        }
        2 => (&b"default"[..], args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return Err(Error::SYNTAX),
    };
    authenticate(host.core, host.client, user, password)?;
    host.reply.ok();
    Ok(Effect::Read)
}

fn authenticate(
    core: &mut Core,
    client: &mut Client,
    user: &[u8],
    password: &[u8],
) -> Result<(), Error> {
    // Any password will do where none is needed.
    let right = user == b"default"
        && core
            .config
            .requirepass()
            .is_none_or(|secret| is_same(password, secret));
    if !right {
        core.stats.auth_denied += 1;
        return Err(Error::new(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    }
    client.special.set(Special::UNAUTHENTICATED, false);
    Ok(())
}

/// Whether a password is the secret, in a time that depends on the given one's length alone.
fn is_same(given: &[u8], secret: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != secret.len());
    for (i, b) in given.iter().enumerate() {
        // An empty secret is none.
        let other = secret.get(i % secret.len().max(1)).copied();
        difference |= std::hint::black_box(b ^ other.unwrap_or_default());
    }
    std::hint::black_box(difference) == 0
}

/// What HELLO asks for.
#[derive(Default)]
struct Greeting<'a> {
    protocol: Option<Protocol>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Greeting<'a> {
    fn parse(args: resp::Args<'a>) -> Result<Greeting<'a>, Error> {
        let mut greeting = Greeting::default();
        let Some(version) = args.opt(1) else {
            return Ok(greeting);
        };
        greeting.protocol = Some(match parse_i64(version) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(Error::new("NOPROTO unsupported protocol version")),
            None => {
                return Err(Error::new(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        });
        let mut i = 2;
        while i < args.len() {
            let left = args.len() - i - 1;
            if args.is(i, "AUTH") && left >= 2 {
                greeting.credentials = Some((args.get(i + 1), args.get(i + 2)));
                i += 3;
            } else if args.is(i, "SETNAME") && left >= 1 {
                greeting.name = Some(checked_name(args.get(i + 1))?);
                i += 2;
            } else {
                return Err(Error::showing(
                    "ERR Syntax error in HELLO option '",
                    args.get(i),
                    "'",
                ));
            }
        }
        Ok(greeting)
    }
}

fn hello(host: &mut Host<'_>) -> Outcome {
    let greeting = Greeting::parse(host.args)?;
    if let Some((user, password)) = greeting.credentials {
        authenticate(host.core, host.client, user, password)?;
    }
    if host.core.must_authenticate(host.client) {
        return Err(Error::new(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = greeting.name {
        host.client.session.name = name.into();
    }
    if let Some(protocol) = greeting.protocol {
        host.reply.set_protocol(protocol);
    }
    let version = match host.reply.protocol() {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    let reply = &mut *host.reply;
    reply.map(7);
    // Clients choose features by these two.
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(super::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(version);
    reply.bulk(b"id");
    reply.int(host.client.id as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Effect::Read)
}

/// A name for a connection, in which only printable ASCII characters may be.
pub(super) fn checked_name(name: &[u8]) -> Result<&[u8], Error> {
    if is_printable(name) {
        return Ok(name);
    }
    Err(Error::new(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// Whether the text has only what CLIENT LIST can show in one word.
pub(super) fn is_printable(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

/// The library's name and version stay, and so do its capabilities: they are as true as before.
fn reset(host: &mut Host<'_>) -> Outcome {
    crate::pubsub::remove_all(host.core, host.client);
    super::multi::forget(host.core, host.client);
    crate::monitor::remove(host.core, host.client);
    crate::tracking::disable(host.core, host.client);
    let needs_password = host.core.needs_password();
    let client = &mut *host.client;
    client.db = 0;
    client.session.name = Box::default();
    client.session.no_evict = false;
    let special = &mut client.special;
    special.set(Special::UNAUTHENTICATED, needs_password);
    special.set(Special::NO_TOUCH, false);
    special.set(Special::REPLY_OFF, false);
    special.set(Special::REPLY_SKIP_NEXT, false);
    host.reply.set_protocol(Protocol::Resp2);
    host.reply.simple("RESET");
    Ok(Effect::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_itself_is_the_secret() {
        assert!(is_same(b"secret", b"secret"));
        for wrong in ["", "s", "secre", "secret ", "Secret", "secretsecret"] {
            assert!(!is_same(wrong.as_bytes(), b"secret"), "{wrong}");
        }
    }

    #[test]
    fn names_are_printable() {
        assert!(is_printable(b""));
        assert!(is_printable(b"!~aZ09-_:[]"));
        for bad in ["a b", "a\n", "\x7f", "é", "\0"] {
            assert!(!is_printable(bad.as_bytes()), "{bad:?}");
        }
    }
}
