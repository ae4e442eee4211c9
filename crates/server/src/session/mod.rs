//! Commands on connections and the server: those whose subject is not a key.

pub mod client;
pub mod command;
pub mod commandlog;
pub mod config;
pub mod connection;
pub mod debug;
pub mod info;
pub mod latency;
pub mod memory;
pub mod monitor;
pub mod multi;
pub mod pubsub;
pub mod report;
pub mod script;
pub mod server;
pub mod snapshot;

use crate::core::HostHandler;
use ::command::table::Row;

/// The version of Redis whose commands are served, for clients that choose features by it.
pub const REDIS_VERSION: &str = "8.0.0";

/// The rows of all families here.
pub fn rows() -> Vec<Row<HostHandler>> {
    let mut rows = Vec::new();
    rows.extend(client::rows());
    rows.extend(command::rows());
    rows.extend(commandlog::rows());
    rows.extend(config::rows());
    rows.extend(connection::rows());
    rows.extend(debug::rows());
    rows.extend(info::rows());
    rows.extend(latency::rows());
    rows.extend(memory::rows());
    rows.extend(monitor::rows());
    rows.extend(multi::rows());
    rows.extend(pubsub::rows());
    rows.extend(script::rows());
    rows.extend(server::rows());
    rows.extend(snapshot::rows());
    rows
}
