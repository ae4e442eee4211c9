//! MIGRATE: keys go to another server, and are gone here when they are there.

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{Begin, Find, KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind, Command, Effect, Flags, Form, Outcome, Spec, Weight};
use persist::dump;
use persist::encode::{Compression, Encoder};
use resp::number::Decimal;
use resp::request;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::time::Duration;
use store::Look;

/// A connection to another server.
pub trait Peer: Read + Write {}

impl<T: Read + Write> Peer for T {}

/// Connects to a host and port; reading and writing take no longer than the time either.
pub type Dial = fn(host: &str, port: &str, timeout: Duration) -> io::Result<Box<dyn Peer>>;

/// There is no way to other servers.
pub fn nowhere(_: &str, _: &str, _: Duration) -> io::Result<Box<dyn Peer>> {
    Err(io::ErrorKind::Unsupported.into())
}

const TAKEN: KeyFlags = KeyFlags::RW.or(KeyFlags::ACCESS).or(KeyFlags::DELETE);

pub static COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "migrate",
        group: "generic",
        since: "2.6.0",
        arity: -6,
        flags: Flags::WRITE,
        categories: &["dangerous"],
        keys: &[
            KeySpec::one(3, TAKEN),
            KeySpec {
                flags: TAKEN.or(KeyFlags::INCOMPLETE),
                begin: Begin::Keyword("KEYS", -2),
                find: Find::Range {
                    last: -1,
                    step: 1,
                    limit: 0,
                },
                notes: "",
            },
        ],
        tips: &["nondeterministic_output"],
        summary: "Moves keys to another server.",
        complexity: "As DUMP and DEL here and RESTORE there, and O(N) in the bytes that are sent",
        arguments: &[
            Argument::new("host", ArgumentKind::String),
            Argument::new("port", ArgumentKind::Integer),
            Argument::one_of(
                "key-selector",
                &[Argument::key("key", 0), Argument::token("empty-string", "")],
            ),
            Argument::new("destination-db", ArgumentKind::Integer),
            Argument::new("timeout", ArgumentKind::Integer),
            Argument::token("copy", "COPY").optional().since("3.0.0"),
            Argument::token("replace", "REPLACE")
                .optional()
                .since("3.0.0"),
            Argument::one_of(
                "authentication",
                &[
                    Argument::new("auth", ArgumentKind::String)
                        .with_token("AUTH")
                        .since("4.0.7"),
                    Argument::block(
                        "auth2",
                        &[
                            Argument::new("username", ArgumentKind::String),
                            Argument::new("password", ArgumentKind::String),
                        ],
                    )
                    .with_token("AUTH2")
                    .since("6.0.0"),
                ],
            )
            .optional(),
            Argument::key("keys", 1)
                .with_token("KEYS")
                .optional()
                .multiple()
                .since("3.0.6"),
        ],
        history: &[
            ("3.0.0", "Takes COPY and REPLACE."),
            ("3.0.6", "Takes KEYS."),
            ("4.0.7", "Takes AUTH."),
            ("6.0.0", "Takes AUTH2."),
        ],
        weight: Weight::Outside,
        ..Spec::DEFAULT
    },
    form: Form::Gather(migrate, None),
}];

/// What a call asks for.
struct Request<'a> {
    copies: bool,
    replaces: bool,
    /// The AUTH that comes first, if one is to.
    credentials: Vec<&'a [u8]>,
    /// Which arguments are keys.
    keys: Range<usize>,
    timeout: Duration,
    db: i64,
}

impl<'a> Request<'a> {
    fn parse(ctx: &Context<'a>) -> Result<Request<'a>, Error> {
        const TIMEOUT_MS: u64 = 1000;
        let args = ctx.args;
        let mut request = Request {
            copies: false,
            replaces: false,
            credentials: Vec::new(),
            keys: 3..4,
            timeout: Duration::from_millis(TIMEOUT_MS),
            db: 0,
        };
        let mut i = 6;
        while i < args.len() {
            let left = args.len() - i - 1;
            if args.is(i, "copy") {
                request.copies = true;
            } else if args.is(i, "replace") {
                request.replaces = true;
            } else if args.is(i, "auth") && left >= 1 {
                request.credentials = vec![&b"AUTH"[..], args.get(i + 1)];
                i += 1;
            } else if args.is(i, "auth2") && left >= 2 {
                request.credentials = vec![&b"AUTH"[..], args.get(i + 1), args.get(i + 2)];
                i += 2;
            } else if args.is(i, "keys") {
                if !args.get(3).is_empty() {
                    return Err(Error::fixed(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the \
                         empty string",
                    ));
                }
                request.keys = i + 1..args.len();
                break;
            } else {
                return Err(Error::SYNTAX);
            }
            i += 1;
        }
        let timeout_ms = ctx.integer(5)?;
        request.db = ctx.integer(4)?;
        if let Ok(ms @ 1..) = u64::try_from(timeout_ms) {
            request.timeout = Duration::from_millis(ms);
        }
        Ok(request)
    }
}

fn migrate(ctx: &mut Context<'_>) -> Outcome {
    let request = Request::parse(ctx)?;
    let mut commands = Vec::new();
    if !request.credentials.is_empty() {
        request::put(&mut commands, request.credentials.iter().copied());
    }
    let db = Decimal::signed(request.db);
    request::put(&mut commands, [&b"SELECT"[..], db.as_bytes()].into_iter());
    let keys = restores(ctx, &request, &mut commands);
    if keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(Effect::Read);
    }
    let text = |i: usize| String::from_utf8_lossy(ctx.args.get(i)).into_owned();
    let (host, port) = (text(1), text(2));
    const WRITING: Error = Error::fixed("IOERR error or timeout writing to target instance");
    let peer = (ctx.settings.dial)(&host, &port, request.timeout);
    let peer = peer.map_err(|e| match e.kind() {
        // Redis finds out when it writes.
        io::ErrorKind::ConnectionRefused => WRITING,
        _ => Error::fixed("IOERR error or timeout connecting to the client"),
    })?;
    let mut peer = BufReader::new(peer);
    let written = peer.get_mut().write_all(&commands);
    written.map_err(|_| WRITING)?;
    let outcome = take_over(ctx, &request, &keys, &mut peer);
    let moved = outcome.moved;
    match outcome.refusal {
        // Some may have gone all the same.
        Some(refusal) if moved => ctx.reply.error(refusal.text()),
        Some(refusal) => return Err(refusal),
        None => ctx.reply.ok(),
    }
    Ok(Effect::wrote_if(moved))
}

/// Writes a RESTORE for each key that is there; answers the keys.
fn restores(ctx: &mut Context<'_>, request: &Request<'_>, commands: &mut Vec<u8>) -> Vec<usize> {
    let now_ms = ctx.shard.now_ms();
    let mut encoder = Encoder::new(Compression::None);
    let mut keys = Vec::new();
    for i in request.keys.clone() {
        let key = ctx.key(i);
        let Some(item) = ctx.look(key, Look::Touch) else {
            continue;
        };
        let left = item.expiry().map_or(0, |at| (at - now_ms).max(1));
        let payload = dump::write(&mut encoder, &item);
        let left = Decimal::signed(left);
        let words = [
            &b"RESTORE"[..],
            key.bytes,
            left.as_bytes(),
            payload,
            b"REPLACE",
        ];
        let count = words.len() - usize::from(!request.replaces);
        request::put(commands, words[..count].iter().copied());
        keys.push(i);
    }
    keys
}

struct Taken {
    /// Some keys have gone.
    moved: bool,
    refusal: Option<Error>,
}

/// Reads what the other server answers, and removes the keys that it has taken.
fn take_over(
    ctx: &mut Context<'_>,
    request: &Request<'_>,
    keys: &[usize],
    peer: &mut BufReader<Box<dyn Peer>>,
) -> Taken {
    let mut taken = Taken {
        moved: false,
        refusal: None,
    };
    let before = usize::from(!request.credentials.is_empty()) + 1;
    for _ in 0..before {
        match answer(peer) {
            Ok(None) => {}
            Ok(refusal) => taken.refusal = taken.refusal.or(refusal),
            Err(error) => {
                taken.refusal = Some(error);
                return taken;
            }
        }
    }
    let is_elsewhere = taken.refusal.is_some();
    for i in keys {
        match answer(peer) {
            // It may have been put where it was not meant to be.
            Ok(None) if is_elsewhere || request.copies => {}
            Ok(None) => {
                let key = ctx.key(*i);
                if ctx.delete(key) {
                    ctx.tell_delete(key);
                    taken.moved = true;
                }
            }
            Ok(refusal) => taken.refusal = taken.refusal.or(refusal),
            Err(error) => {
                taken.refusal = taken.refusal.or(Some(error));
                return taken;
            }
        }
    }
    taken
}

/// Whether the other server has refused something; an error if it does not answer.
fn answer(peer: &mut BufReader<Box<dyn Peer>>) -> Result<Option<Error>, Error> {
    const LINE_MAX: u64 = 64 << 10;
    let mut line = Vec::new();
    let read = peer.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
    if read.is_err() || line.last() != Some(&b'\n') {
        return Err(Error::fixed(
            "IOERR error or timeout reading from target instance",
        ));
    }
    match line.trim_ascii_end().split_first() {
        Some((b'-', error)) => Ok(Some(Error::showing(
            "ERR Target instance replied with error: ",
            error,
            "",
        ))),
        _ => Ok(None),
    }
}
