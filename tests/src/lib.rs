//! Starting servers and talking to them, for the suites beside it.
//!
//! A test says what to send and what to expect in the notation of [`script`]; [`check_with`] runs it
//! in every [`Mode`]. The same blocks, without expectations, are sent to a real Redis and to Shoal by
//! [`directed`], which compares the answers. Nothing here knows Shoal's code: all of it works
//! against any server that speaks RESP, and `SHOAL_TEST_SERVER` names the one to judge.

pub mod compare;
pub mod connection;
pub mod directed;
pub mod history;
pub mod mode;
pub mod notation;
pub mod script;
pub mod seed;
pub mod server;
pub mod value;

pub use connection::Connection;
pub use mode::{Mode, check_with};
pub use seed::Seed;
pub use server::{Program, Server};
pub use value::Value;

/// How many times the usual amount of random work to do: `TEST_SCALE`, 1 unless set.
pub fn scale() -> f64 {
    let Ok(text) = std::env::var("TEST_SCALE") else {
        return 1.0;
    };
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 => scale,
        _ => panic!("TEST_SCALE is '{text}', not a positive number"),
    }
}

/// `count` at the scale in force, at least one.
pub fn scaled(count: usize) -> usize {
    ((count as f64 * scale()) as usize).max(1)
}
