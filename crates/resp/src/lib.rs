//! RESP2 and RESP3, both directions.
//!
//! `parse` turns bytes into commands: arguments stay where they were received and are handed on as
//! ranges, so the local path copies and allocates nothing. `reply` writes answers into a
//! connection's output. `request` writes what another server is to execute, or the next run of this one.
//! `pack` is for commands that are executed on another thread and have to leave the
//! buffer that they were received into. This crate knows neither commands nor keys nor sockets.

#![forbid(unsafe_code)]

pub mod args;
pub mod number;
pub mod pack;
pub mod parse;
pub mod reply;
pub mod request;
pub mod split;

pub use args::{ArgRef, Args, Blob};
pub use pack::Pack;
pub use parse::{Batch, Frame, Limits, ProtocolError};
pub use reply::{Protocol, Reply};
