//! The server: configuration, connections, the event loop of a shard, what lies between shards, and the
//! commands that are not about keys.

pub mod background;
pub mod blocking;
pub mod clients;
pub mod commandlog;
pub mod config;
pub mod control;
pub mod core;
pub mod cpu;
pub mod cron;
pub mod daemon;
pub mod descriptors;
pub mod dispatch;
pub mod driver;
pub mod event_loop;
pub mod histogram;
pub mod latency;
pub mod listen;
pub mod loading;
pub mod logging;
pub mod memory;
pub mod monitor;
pub mod notify;
pub mod pause;
pub mod process;
pub mod pubsub;
pub mod remote;
pub mod sampler;
pub mod scripting;
pub mod session;
pub mod snapshot;
pub mod stats;
pub mod tasks;
pub mod title;
pub mod tracking;
pub mod wake;
