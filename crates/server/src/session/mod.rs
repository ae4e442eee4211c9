//! Commands on connections and the server: those whose subject is not a key.

pub mod client;
pub mod connection;

use crate::core::HostHandler;
use command::table::Row;

/// The version of Redis whose commands are served, for clients that choose features by it.
pub const REDIS_VERSION: &str = "8.0.0";

/// The rows of all families here.
pub fn rows() -> Vec<Row<HostHandler>> {
    let mut rows = Vec::new();
    rows.extend(client::rows());
    rows.extend(connection::rows());
    rows
}
