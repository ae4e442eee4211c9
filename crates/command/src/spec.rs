//! What is known of a command before it runs.

use crate::blocking::Blocking;
use crate::context::Context;
use crate::error::Error;
use crate::keyspec::KeySpec;
use resp::Args;

/// How many arguments a command takes, its name included: exactly `n`, or at least `-n`.
pub type Arity = i32;

/// Properties of a command, named as COMMAND INFO names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    pub const NONE: Flags = Flags(0);
    /// May change data.
    pub const WRITE: Flags = Flags(1 << 0);
    pub const READONLY: Flags = Flags(1 << 1);
    /// May need memory: refused when `maxmemory` is reached.
    pub const DENYOOM: Flags = Flags(1 << 2);
    pub const ADMIN: Flags = Flags(1 << 3);
    pub const PUBSUB: Flags = Flags(1 << 4);
    pub const NOSCRIPT: Flags = Flags(1 << 5);
    pub const BLOCKING: Flags = Flags(1 << 6);
    /// Allowed while a dump is being loaded.
    pub const LOADING: Flags = Flags(1 << 7);
    /// Allowed on a replica that has lost its primary.
    pub const STALE: Flags = Flags(1 << 8);
    pub const SKIP_MONITOR: Flags = Flags(1 << 9);
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 10);
    pub const ASKING: Flags = Flags(1 << 11);
    /// Constant or logarithmic time.
    pub const FAST: Flags = Flags(1 << 12);
    /// Allowed before authentication.
    pub const NO_AUTH: Flags = Flags(1 << 13);
    pub const MAY_REPLICATE: Flags = Flags(1 << 14);
    pub const NO_ASYNC_LOADING: Flags = Flags(1 << 15);
    pub const NO_MULTI: Flags = Flags(1 << 16);
    pub const ALLOW_BUSY: Flags = Flags(1 << 17);
    /// First, last and step do not tell where the keys are. Follows from the key specifications.
    pub const MOVABLEKEYS: Flags = Flags(1 << 18);
    /// A call without keys is a valid one.
    pub const NO_MANDATORY_KEYS: Flags = Flags(1 << 19);

    /// Both sets together; usable in tables.
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Names in the order in which Redis lists them.
    pub const NAMES: &'static [(Flags, &'static str)] = &[
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::ASKING, "asking"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLEKEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
    ];
}

/// Everything about a command but what it does.
#[derive(Debug)]
pub struct Spec {
    /// Lower case; a subcommand's name without its container's.
    pub name: &'static str,
    /// The group of the documentation: `string`, `generic`, `connection` …
    pub group: &'static str,
    /// First Redis or Valkey version that had it.
    pub since: &'static str,
    pub arity: Arity,
    pub flags: Flags,
    /// ACL categories beyond those that follow from flags and group, without `@`; one with a `-`
    /// before it is taken away.
    pub categories: &'static [&'static str],
    pub keys: &'static [KeySpec],
    /// What the key specifications cannot tell of a call.
    pub unspecified: Option<fn(Args<'_>) -> Unspecified>,
    pub tips: &'static [&'static str],
    /// One sentence, ours.
    pub summary: &'static str,
    /// Time, in O notation.
    pub complexity: &'static str,
    /// The arguments' grammar; see [`Argument`].
    pub arguments: &'static [Argument],
    /// (version, what changed).
    pub history: &'static [(&'static str, &'static str)],
    /// Set if new programs should use something else.
    pub deprecated: Option<Deprecated>,
    pub weight: Weight,
    /// It waits if there is nothing yet.
    pub blocking: Option<Blocking>,
}

/// How much work one call may be. A call that is too much for its shard to wait for runs aside.
#[derive(Clone, Copy, Debug, Default)]
pub enum Weight {
    /// Too little to ask, or done in slices anyway.
    #[default]
    Light,
    /// It goes through the values of all of its keys.
    Values,
    /// So many elements as the function says, which looks at keys without leaving a trace.
    Of(fn(&mut Context<'_>) -> usize),
    /// It waits for another server, however little there is.
    Outside,
}

/// What a call does with keys beyond those that it names at fixed places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unspecified {
    /// The argument that names a key for the result, whatever the key specifications make of it.
    pub destination: Option<usize>,
    /// It may read any key of the shard on which it runs.
    pub any_key: bool,
    /// The keys that it reads may be on any shard; [`crate::sort::names`] finds them.
    pub searches: bool,
}

/// Since when a command has a better one, and which, as in "`SET` with the `NX` argument".
#[derive(Clone, Copy, Debug)]
pub struct Deprecated {
    pub since: &'static str,
    pub replaced_by: &'static str,
}

impl Spec {
    /// Fields that most rows leave empty, for `..Spec::DEFAULT`.
    pub const DEFAULT: Spec = Spec {
        name: "",
        group: "",
        since: "1.0.0",
        arity: 0,
        flags: Flags::NONE,
        categories: &[],
        keys: &[],
        unspecified: None,
        tips: &[],
        summary: "",
        complexity: "O(1)",
        arguments: &[],
        history: &[],
        deprecated: None,
        weight: Weight::Light,
        blocking: None,
    };

    /// Whether `argc` arguments, the name included, are as many as the command takes.
    #[inline]
    pub fn accepts(&self, argc: usize) -> bool {
        let argc = argc as i64;
        let arity = i64::from(self.arity);
        if arity >= 0 {
            argc == arity
        } else {
            argc >= -arity
        }
    }
}

/// The type of an argument in COMMAND DOCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

/// One node of a command's grammar, as COMMAND DOCS shows it.
#[derive(Debug)]
pub struct Argument {
    pub name: &'static str,
    pub kind: ArgumentKind,
    /// The word before it, or the word itself.
    pub token: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
    /// Index into the command's key specifications.
    pub key_spec: Option<u32>,
    pub since: Option<&'static str>,
    pub arguments: &'static [Argument],
}

impl Argument {
    pub const fn new(name: &'static str, kind: ArgumentKind) -> Argument {
        Argument {
            name,
            kind,
            token: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            key_spec: None,
            since: None,
            arguments: &[],
        }
    }

    pub const fn key(name: &'static str, spec: u32) -> Argument {
        let mut a = Argument::new(name, ArgumentKind::Key);
        a.key_spec = Some(spec);
        a
    }

    /// A word that stands for itself.
    pub const fn token(name: &'static str, token: &'static str) -> Argument {
        let mut a = Argument::new(name, ArgumentKind::PureToken);
        a.token = Some(token);
        a
    }

    pub const fn one_of(name: &'static str, arguments: &'static [Argument]) -> Argument {
        let mut a = Argument::new(name, ArgumentKind::OneOf);
        a.arguments = arguments;
        a
    }

    pub const fn block(name: &'static str, arguments: &'static [Argument]) -> Argument {
        let mut a = Argument::new(name, ArgumentKind::Block);
        a.arguments = arguments;
        a
    }

    pub const fn with_token(mut self, token: &'static str) -> Argument {
        self.token = Some(token);
        self
    }

    pub const fn optional(mut self) -> Argument {
        self.optional = true;
        self
    }

    pub const fn multiple(mut self) -> Argument {
        self.multiple = true;
        self
    }

    pub const fn multiple_token(mut self) -> Argument {
        self.multiple_token = true;
        self
    }

    pub const fn since(mut self, since: &'static str) -> Argument {
        self.since = Some(since);
        self
    }
}

/// What a command did to the data; one place feeds everything that follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changed.
    Read,
    /// The data changed as the command says.
    Wrote,
    /// It found nothing and would wait: see [`crate::blocking`]. Its reply says so.
    Blocks,
}

impl Effect {
    pub fn wrote_if(changed: bool) -> Effect {
        if changed { Effect::Wrote } else { Effect::Read }
    }
}

pub type Outcome = Result<Effect, Error>;

/// What a command on data does: it works on the shard and writes its reply. On an error nothing has
/// been written to the reply that must stay, and the error becomes the reply.
pub type Handler = fn(&mut Context<'_>) -> Outcome;

/// How the replies of several shards become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// An integer: the sum.
    Sum,
    /// An array with one element per key, put together in the order of the keys.
    Stitch,
    /// Arrays, one after the other.
    Concat,
    /// `OK` when all say so.
    Ok,
    /// One of them, drawn with chances in proportion to the shards' numbers of keys. A null counts
    /// only if all are nulls.
    Draw,
}

/// Another database, named by a command's arguments, in which it touches its keys too.
pub type Reach = fn(Args<'_>) -> Option<usize>;

/// How a command runs when its keys are on several shards.
#[derive(Clone, Copy)]
pub enum Form {
    /// It has no key, or its keys are one.
    Local(Handler),
    /// It can be cut by keys: the handler runs per shard with that shard's keys.
    Fan(Handler, Merge),
    /// It needs all its keys at one place: values of other shards are lent to it.
    Gather(Handler, Option<Reach>),
    /// It runs on every shard.
    Everywhere(Handler, Merge),
    /// It runs on the shard that the cursor, its first argument, has come to.
    Walk(Handler),
}

impl Form {
    /// The handler that does it all when every key is on this shard.
    #[inline]
    pub fn handler(&self) -> Handler {
        match *self {
            Form::Local(h)
            | Form::Fan(h, _)
            | Form::Gather(h, _)
            | Form::Everywhere(h, _)
            | Form::Walk(h) => h,
        }
    }
}

/// A row of the command table.
pub struct Command {
    pub spec: Spec,
    pub form: Form,
}

/// A command whose first argument names another one, as in OBJECT ENCODING.
pub struct Container {
    pub spec: Spec,
    pub subcommands: &'static [Command],
}
