//! Scripts and functions in Lua 5.1, as Redis and Valkey run them.
//!
//! A shard has one [`Vm`]. A [`Script`] or a [`Library`] is text that all shards share; a [`Run`] is
//! one call of it. A run gives control back to its host whenever it needs something, with a [`Turn`]:
//! a command to be run, a pause, its end.
//!
//! ```
//! use resp::{Protocol, Reply};
//! use script::{Request, Script, Turn, Vm, VmOptions};
//!
//! let vm = Vm::new(VmOptions::default())?;
//! let script = Script::parse(b"return redis.call('get', KEYS[1])")?;
//! let mut run = vm.start(&script, [&b"k"[..]].into_iter(), [].into_iter())?;
//! let mut turn = run.resume();
//! while let Turn::Asked(Request::Call) = turn {
//!     assert_eq!(run.args(), [&b"get"[..], b"k"]);
//!     turn = run.answer(b"$5\r\nhello\r\n");
//! }
//! let mut reply = Reply::new(Protocol::Resp2);
//! run.write(&mut reply);
//! assert_eq!(reply.bytes(), b"$5\r\nhello\r\n");
//! # Ok::<(), script::Error>(())
//! ```
//!
//! This crate knows no command, no key and no clock. The engine is PUC Lua 5.1, changed when it is
//! built (`build/edits.rs`) so that nothing a script does crashes or blocks the server, or changes
//! what other scripts see. Unsafe code is in `ffi`, `lua`, `native`, `vm` and `fiber`.

mod answer;
mod bit;
mod error;
mod ffi;
mod fiber;
mod globals;
mod json;
mod library;
mod lua;
mod msgpack;
mod native;
mod random;
mod redis;
mod reply;
mod script;
mod structs;
#[cfg(test)]
mod tests;
mod vm;

pub use error::Error;
pub use fiber::{Request, Run, Turn};
pub use library::{Function, Library};
pub use script::{Flags, Script};
pub use vm::{Vm, VmOptions};
