//! What decides whether, when and where a command runs: pure state machines between the session and
//! the shard. It knows the command table's rows, and neither sockets, nor files, nor the runtime.

#![forbid(unsafe_code)]

pub mod gate;
pub mod pause;
pub mod slot;

pub use gate::{Caller, Verdict};
pub use pause::{Pause, Scope};
pub use slot::Placement;
