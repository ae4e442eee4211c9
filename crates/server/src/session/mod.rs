//! Commands on connections and the server: those whose subject is not a key.

pub mod connection;

use crate::core::HostHandler;
use command::table::Row;

/// The rows of all families here.
pub fn rows() -> Vec<Row<HostHandler>> {
    let mut rows = Vec::new();
    rows.extend(connection::rows());
    rows
}
