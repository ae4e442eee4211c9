//! The server under test, on as many shards as the program at the root of these modules says.
//!
//! Tests that ask for it here run twice: `suites` has one shard, `sharded` has several. What is
//! about a certain number of shards asks the harness for its own.

use crate::SHARDS;
use harness::server::Setup;
use harness::{Program, Server};

pub fn setup() -> Setup {
    Server::setup(Program::Judged).shards(SHARDS)
}

/// With nothing but defaults.
pub fn start() -> Server {
    setup().start()
}

/// Runs a script in every mode; see [`harness::script`] for the notation.
#[track_caller]
pub fn check(script: &str) {
    harness::check_with(setup(), script);
}
