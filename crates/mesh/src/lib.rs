//! The way between the cores of one process: messages by value, no locks, and a sleeping core woken
//! once.
//!
//! Every ordered pair of cores has two lanes, each a ring with one producer and one consumer
//! ([`ring`]): requests, and replies with whatever is pushed without being asked for. A core's event
//! loop holds a [`Node`], sends and receives through it, and flushes once per pass: only then do the
//! others see what was sent, and only those that sleep are woken ([`bell`]).
//!
//! The crate knows nothing of commands, sockets, or how a core sleeps. What the orderings promise is
//! checked by a model checker over all interleavings of small cases (`--cfg loom`).

#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod ahead;
pub mod bell;
mod incoming;
#[cfg(all(test, loom))]
mod model;
mod node;
mod outgoing;
#[allow(unsafe_code)]
pub mod ring;
mod sync;

pub use node::{Counters, Limits, Node, connect};
