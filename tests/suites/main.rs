//! Shoal over the wire: a file per family of commands or per promise of the server.
//!
//! What a real Redis answers to single commands is compared in `tests/differential`; here are the
//! things that cannot be compared, or that need more than one client, a restart, or a limit.

mod admin;
mod bitmap;
mod clients;
mod command;
mod config;
mod connection;
mod expire;
mod generic;
mod idle;
mod info;
mod limits;
mod protocol;
mod scan;
mod server;
mod string;
