//! What decides whether, when and where a command runs: pure state machines between the session and
//! the shard. [`gate`] says whether, [`slot`] where, [`locks`] and [`tx`] when. It knows the command
//! table's rows, and neither sockets, nor files, nor the runtime.

// One module, which says why.
#![deny(unsafe_code)]

pub mod epoch;
pub mod gate;
pub mod locks;
pub mod pause;
pub mod slot;
pub mod tx;
pub mod waiters;

pub use epoch::Epoch;
pub use gate::{Caller, Verdict};
pub use locks::{Mode, Name, Want};
pub use pause::{Pause, Scope};
pub use slot::Placement;
pub use tx::{Action, Engine, Kind, Message, Outcome, Part, ShardId, Stage, Stamp, TxId, Waiter};
pub use tx::{Answer, Program, Reserve, Stats, Step};
pub use waiters::{ClaimId, Spot};
