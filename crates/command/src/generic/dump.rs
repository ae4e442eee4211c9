//! DUMP and RESTORE: a value as bytes that any server of a kin can make a key of.

use crate::context::Context;
use crate::error::Error;
use crate::keyspec::{KeyFlags, KeySpec};
use crate::spec::{Argument, ArgumentKind, Command, Effect, Flags, Form, Outcome, Spec, Weight};
use persist::dump::{self, Payload};
use persist::encode::Compression;
use persist::{Decoder, Encoder};
use store::Look;
use store::access::Access;
use store::shard::Expiry;

/// What both ways of restoring have in common: clusters move keys with the second.
const RESTORE: Spec = Spec {
    arity: -4,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    categories: &["dangerous"],
    keys: &[KeySpec::one(1, KeyFlags::OW.or(KeyFlags::UPDATE))],
    complexity: "O(N) in the bytes of the value, and O(N*log(N)) in the elements of a sorted set",
    arguments: &[
        Argument::key("key", 0),
        Argument::new("ttl", ArgumentKind::Integer),
        Argument::new("serialized-value", ArgumentKind::String),
        Argument::token("replace", "REPLACE")
            .optional()
            .since("3.0.0"),
        Argument::token("absttl", "ABSTTL")
            .optional()
            .since("5.0.0"),
        Argument::new("seconds", ArgumentKind::Integer)
            .with_token("IDLETIME")
            .optional()
            .since("5.0.0"),
        Argument::new("frequency", ArgumentKind::Integer)
            .with_token("FREQ")
            .optional()
            .since("5.0.0"),
    ],
    history: &[
        ("3.0.0", "Takes REPLACE."),
        ("5.0.0", "Takes ABSTTL."),
        ("5.0.0", "Takes IDLETIME and FREQ."),
    ],
    weight: Weight::Of(weight),
    ..Spec::DEFAULT
};

pub static COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "dump",
            group: "generic",
            since: "2.6.0",
            arity: 2,
            flags: Flags::READONLY,
            keys: &[KeySpec::one(1, KeyFlags::RO.or(KeyFlags::ACCESS))],
            tips: &["nondeterministic_output"],
            summary: "Answers the value at a key as bytes that RESTORE takes.",
            complexity: "O(N) in the bytes of the value",
            arguments: &[Argument::key("key", 0)],
            weight: Weight::Values,
            ..Spec::DEFAULT
        },
        form: Form::Local(dump),
    },
    Command {
        spec: Spec {
            name: "restore",
            group: "generic",
            since: "2.6.0",
            summary: "Makes a key of the bytes that DUMP answers.",
            ..RESTORE
        },
        form: Form::Local(restore),
    },
    Command {
        spec: Spec {
            name: "restore-asking",
            group: "server",
            since: "3.0.0",
            flags: RESTORE.flags.or(Flags::ASKING),
            categories: &["keyspace", "dangerous"],
            summary: "RESTORE for servers of a cluster among themselves.",
            ..RESTORE
        },
        form: Form::Local(restore),
    },
];

/// Elements of the value, guessed from its bytes.
fn weight(ctx: &mut Context<'_>) -> usize {
    const ELEMENT_BYTES: usize = 32;
    ctx.args.get(3).len() / ELEMENT_BYTES
}

fn dump(ctx: &mut Context<'_>) -> Outcome {
    let key = ctx.key(1);
    let mut encoder = Encoder::new(Compression::Lzf);
    match ctx.shard.look(ctx.db, key, Look::Use) {
        None => ctx.reply.null(),
        Some(item) => {
            let payload = dump::write(&mut encoder, &item);
            ctx.reply.bulk(payload);
        }
    }
    Ok(Effect::Read)
}

/// The words behind the payload.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    access: Option<Access>,
}

impl Options {
    fn parse(ctx: &Context<'_>) -> Result<Options, Error> {
        let mut options = Options::default();
        let mut i = 4;
        while i < ctx.args.len() {
            let has_value = i + 1 < ctx.args.len();
            let is_new = |other: fn(&Access) -> bool| {
                has_value && !options.access.is_some_and(|a| other(&a))
            };
            match () {
                _ if ctx.args.is(i, "replace") => options.replace = true,
                _ if ctx.args.is(i, "absttl") => options.absolute = true,
                _ if ctx.args.is(i, "idletime")
                    && is_new(|access| matches!(access, Access::Frequency(_))) =>
                {
                    i += 1;
                    let seconds = u64::try_from(ctx.integer(i)?);
                    options.access = Some(Access::Idle(seconds.map_err(|_| IDLE_TIME)?));
                }
                _ if ctx.args.is(i, "freq")
                    && is_new(|access| matches!(access, Access::Idle(_))) =>
                {
                    i += 1;
                    let count = u8::try_from(ctx.integer(i)?);
                    options.access = Some(Access::Frequency(count.map_err(|_| FREQUENCY)?));
                }
                _ => return Err(Error::SYNTAX),
            }
            i += 1;
        }
        Ok(options)
    }
}

const IDLE_TIME: Error = Error::fixed("ERR Invalid IDLETIME value, must be >= 0");
const FREQUENCY: Error = Error::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255");
const TTL: Error = Error::fixed("ERR Invalid TTL value, must be >= 0");
const BUSY_KEY: Error = Error::fixed("BUSYKEY Target key name already exists.");
const WRONG_PAYLOAD: Error = Error::fixed("ERR DUMP payload version or checksum are wrong");
const BAD_FORMAT: Error = Error::fixed("ERR Bad data format");

fn restore(ctx: &mut Context<'_>) -> Outcome {
    let options = Options::parse(ctx)?;
    let key = ctx.key(1);
    if !options.replace && ctx.shard.look(ctx.db, key, Look::Touch).is_some() {
        return Err(BUSY_KEY);
    }
    let ttl = ctx.integer(2)?;
    if ttl < 0 {
        return Err(TTL);
    }
    let payload = Payload::check(ctx.args.get(3)).map_err(|_| WRONG_PAYLOAD)?;
    let mut decoder = Decoder::new(ctx.settings.limits);
    let value = payload.decode(&mut decoder).map_err(|_| BAD_FORMAT)?;
    let now = ctx.shard.now_ms();
    let expiry = match (ttl, options.absolute) {
        (0, _) => Expiry::Clear,
        (at, true) => Expiry::At(at),
        // Beyond all time is long ago, as in Redis.
        (ttl, false) => Expiry::At(now.wrapping_add(ttl)),
    };
    ctx.reply.ok();
    if matches!(expiry, Expiry::At(at) if at <= now) {
        // With REPLACE the old value goes, for one that has gone already.
        let removed = ctx.shard.remove(ctx.db, key);
        if removed {
            ctx.tell_delete(key);
        }
        return Ok(Effect::wrote_if(removed));
    }
    value.put(ctx.shard, ctx.db, key, expiry);
    if let Some(access) = options.access {
        ctx.shard.set_access(ctx.db, key, access);
    }
    let at = match expiry {
        Expiry::At(at) => at,
        Expiry::Clear | Expiry::Keep => 0,
    };
    ctx.effects.tell([
        "RESTORE".into(),
        key.bytes.into(),
        at.into(),
        ctx.args.get(3).into(),
        "ABSTTL".into(),
        "REPLACE".into(),
    ]);
    Ok(Effect::Wrote)
}

#[cfg(test)]
mod tests {
    use crate::testing::Client;
    use store::access::Mode;

    /// Payloads of `hello` as servers of three versions write them.
    const REDIS_7: &str = r#""\x00\x05hello\x0a\x00cr\xdfve4 \x0a""#;
    const REDIS_8: &str = r#""\x00\x05hello\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbeC""#;
    const VALKEY_9: &str = r#""\x00\x05helloP\x00\xacX\x16\xe7\xfbfG\xfe""#;

    #[test]
    fn payloads_of_all_servers_are_taken() {
        let mut c = Client::default();
        for payload in [REDIS_7, REDIS_8, VALKEY_9] {
            c.check(&format!("restore k 0 {payload} replace"), "+OK");
            c.check("get k", "$5|hello");
        }
        c.check("dump nope", "$-1");
    }

    #[test]
    fn errors_come_in_the_order_of_redis() {
        let mut c = Client::default();
        c.check("set k v", "+OK");
        let integer = "-ERR value is not an integer or out of range";
        let idle = "-ERR Invalid IDLETIME value, must be >= 0";
        let freq = "-ERR Invalid FREQ value, must be >= 0 and <= 255";
        let wrong = "-ERR DUMP payload version or checksum are wrong";
        for (rest, want) in [
            ("x y idletime", "-ERR syntax error"),
            ("x y idletime a", integer),
            ("x y idletime -1", idle),
            ("x y freq", "-ERR syntax error"),
            ("x y freq 256", freq),
            ("x y freq -1", freq),
            ("x y idletime 1 freq 1", "-ERR syntax error"),
            ("x y freq 1 idletime 1", "-ERR syntax error"),
            ("x y nope", "-ERR syntax error"),
            ("x y", "-BUSYKEY Target key name already exists."),
            ("x y replace", integer),
            ("-1 y replace", "-ERR Invalid TTL value, must be >= 0"),
            ("0 y replace", wrong),
            ("0 1234567890 replace", wrong),
        ] {
            c.check(&format!("restore k {rest}"), want);
            c.check("get k", "$1|v");
        }
        // A type that nobody has.
        let bad = r#""\x08\x00\x09\x00\x11\x3c\x98\x8d\x0a\x23\xae\xa1""#;
        c.check(
            &format!("restore k 0 {bad} replace"),
            "-ERR Bad data format",
        );
        c.check("get k", "$1|v");
    }

    #[test]
    fn times_to_live() {
        let mut c = Client::default();
        c.check(&format!("restore k 1500 {REDIS_7}"), "+OK");
        c.check("pttl k", ":1500");
        c.check(
            &format!("restore k 1700000000001 {REDIS_7} absttl replace"),
            "+OK",
        );
        c.check("pttl k", ":1");
        c.check(&format!("restore k 0 {REDIS_7} REPLACE AbsTtl"), "+OK");
        c.check("pttl k", ":-1");
        // Time that has passed leaves nothing, nor does one beyond all time.
        for ttl in ["1 absttl", "1700000000000 absttl", "9223372036854775807"] {
            let (ttl, rest) = ttl.split_once(' ').unwrap_or((ttl, ""));
            c.check("set k v", "+OK");
            c.check(&format!("restore k {ttl} {REDIS_7} replace {rest}"), "+OK");
            c.check("exists k", ":0");
            c.check(&format!("restore k {ttl} {REDIS_7} {rest}"), "+OK");
            c.check("exists k", ":0");
        }
    }

    #[test]
    fn the_use_of_a_key_is_restored() {
        let mut c = Client::default();
        c.check(
            &format!("restore k 0 {REDIS_7} idletime 7 idletime 100"),
            "+OK",
        );
        c.check("object idletime k", ":100");
        c.check(&format!("restore k 0 {REDIS_7} freq 9 replace"), "+OK");
        c.check("object idletime k", ":0");
        c.shard.set_access_mode(Mode::Lfu {
            log_factor: 10,
            decay_minutes: 1,
        });
        c.check(&format!("restore k 0 {REDIS_7} freq 9 replace"), "+OK");
        c.check("object freq k", ":9");
        c.check(&format!("restore k 0 {REDIS_7} idletime 9 replace"), "+OK");
        c.check("object freq k", ":5");
    }
}
