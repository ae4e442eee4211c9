//! The suites again, with several shards: the number may show in nothing that they ask about.
//!
//! Left out is what describes the program and not how it serves.

/// On how many shards the server under test runs here.
const SHARDS: usize = harness::server::SEVERAL;

mod admin;
mod bitmap;
mod blocking;
mod clients;
mod config;
mod connection;
mod expire;
mod generic;
mod hash;
mod idle;
mod info;
mod judged;
mod latency;
mod limits;
mod list;
mod monitor;
mod notify;
mod protocol;
mod pubsub;
mod scan;
mod scripts;
mod server;
mod set;
mod slowlog;
mod stream;
mod string;
mod tracking;
mod zset;
