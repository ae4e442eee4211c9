//! Shoal over the wire: a file per family of commands or per promise of the server.
//!
//! What a real Redis answers to single commands is compared in `tests/differential`; here are the
//! things that cannot be compared, or that need more than one client, a restart, or a limit. The
//! program beside this one, `sharded`, has the same tests with several shards.

/// On how many shards the server under test runs here.
const SHARDS: usize = 1;

mod admin;
mod aof;
mod aside;
mod atomic;
mod bitmap;
mod blocking;
mod clients;
mod command;
mod config;
mod connection;
mod consistency;
mod expire;
mod generic;
mod hash;
mod idle;
mod info;
mod judged;
mod kill;
mod latency;
mod limits;
mod list;
mod migrate;
mod monitor;
mod notify;
mod order;
mod overload;
mod protocol;
mod pubsub;
mod scan;
mod scripts;
mod server;
mod set;
mod shards;
mod slowlog;
mod snapshot;
mod spread;
mod stream;
mod string;
mod tracking;
mod zset;
