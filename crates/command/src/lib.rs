//! The commands on data: what each is called, how it may be called, and what it does to a shard.
//!
//! A command is a row ([`Spec`]) and a function of the same name beside it, in its family's file.
//! COMMAND, COMMAND DOCS, ACL categories and `docs/commands.md` are read off the rows. Handlers are
//! synchronous; they know the shard's data and the reply, but neither sockets nor sessions nor
//! other shards. What happens when a command's keys are on several is said by its row ([`Form`]).

#![forbid(unsafe_code)]

pub mod bitmap;
pub mod blocking;
pub mod context;
pub mod cursor;
pub mod debug;
pub mod effect;
pub mod error;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod introspect;
pub mod keyspace;
pub mod keyspec;
pub mod list;
pub mod rebuild;
pub mod set;
pub mod sort;
pub mod spec;
pub mod stream;
pub mod string;
pub mod table;
#[cfg(test)]
mod testing;
pub mod zset;

pub use blocking::Blocking;
pub use context::Context;
pub use effect::Effects;
pub use error::Error;
pub use spec::{
    Arity, Command, Container, Deprecated, Effect, Flags, Form, Handler, Merge, Outcome, Spec,
    Weight,
};

/// All families of this crate, in the order of the documentation.
pub static FAMILIES: &[&[Command]] = &[
    string::COMMANDS,
    bitmap::COMMANDS,
    list::COMMANDS,
    set::COMMANDS,
    stream::COMMANDS,
    hyperloglog::COMMANDS,
    geo::COMMANDS,
    sort::COMMANDS,
    generic::COMMANDS,
    generic::dump::COMMANDS,
    generic::migrate::COMMANDS,
    generic::expire::COMMANDS,
    generic::rename::COMMANDS,
    generic::scan::COMMANDS,
    keyspace::COMMANDS,
    zset::COMMANDS,
    hash::COMMANDS,
];

/// The commands of this crate that have subcommands. The host may add to them.
pub static CONTAINERS: &[&Container] = &[
    &generic::object::OBJECT,
    &keyspace::MEMORY,
    &stream::XGROUP,
    &stream::XINFO,
];
