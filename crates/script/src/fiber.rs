//! A script that runs, waits for an answer, goes on, and ends.
//!
//! A script runs on a native stack of its own. When it asks for a command, a switch of stacks goes
//! back to the host, wherever in the script that was: in `pcall`, in a comparison that `table.sort`
//! called, in a coroutine of the script's. The host answers when it likes; other scripts may run
//! meanwhile. A suspended script is never dropped but ended: it is resumed with an error that no
//! `pcall` holds, so that the engine takes down its own frames.
//!
//! ```text
//! host ──resume──► script ──asks──► host ──answer──► script ──Done──► host ──write──► reply
//! ```
//!
//! # Safety
//!
//! A fiber's frames are, from its bottom: one closure of ours, `lua_pcall`, the engine, and either a
//! hook or a function in Rust that suspends. The engine jumps only within `lua_pcall`, over frames in
//! C. What is shared between both sides of a switch is in cells; [`Fiber::args`] is written while the
//! host is in [`Run::switch`], which has the run for itself, and read between.

use crate::error::Error;
use crate::ffi;
use crate::lua::{Lua, Type};
use crate::native::as_c_string;
use crate::reply;
use crate::vm::Core;
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use resp::{Protocol, Reply};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;

/// What a script wants of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `redis.call`: run a command, [`Run::args`], and answer its reply.
    Call,
    /// `redis.pcall`, which differs for the script only: an error that is answered does not end it.
    Pcall,
    /// `redis.acl_check_cmd`: answer `:1` if the user may run the command, `:0` if not, an error if
    /// there is none of that name.
    AclCheck,
    /// `redis.log` at a level from 0 to 3: the one argument is the line. Any answer will do.
    Log(u8),
    /// `redis.set_repl`: bit 0 is the AOF, bit 1 replicas. Any answer will do.
    SetRepl(u8),
}

/// Why a script gave control back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It asks, and waits for [`Run::answer`].
    Asked(Request),
    /// It has used up a slice of instructions, and waits for [`Run::resume`].
    Paused,
    /// It has ended; [`Run::write`] writes its reply.
    Done,
    /// It has ended with an error, which [`Run::write`] writes.
    Failed,
}

/// What the host says when it goes back to the script.
#[derive(Clone, Copy)]
pub enum Signal {
    Go,
    /// An encoded reply. It is read before the script gives control back again.
    Answer(*const [u8]),
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    Eval,
    Function,
    Load,
}

type Stack = Coroutine<Signal, Turn, Turn, DefaultStack>;

/// Why a script is being ended.
struct Ending {
    text: Vec<u8>,
    /// Where it then was.
    place: Option<Vec<u8>>,
}

pub struct Fiber {
    pub(crate) lua: Lua,
    pub(crate) anchor: i32,
    stack: Cell<Option<DefaultStack>>,
    yielder: Cell<*const Yielder<Signal, Turn>>,
    context: Cell<Context>,
    serial: Cell<u64>,
    args: UnsafeCell<Vec<&'static [u8]>>,
    /// The protocol that the script has set for the answers it gets.
    pub(crate) protocol: Cell<Protocol>,
    name: RefCell<Vec<u8>>,
    ending: RefCell<Option<Ending>>,
    is_ending: Cell<bool>,
}

impl Fiber {
    pub(crate) fn new(core: &Core) -> Result<Fiber, Error> {
        let stack = DefaultStack::new(core.options.stack_size)
            .map_err(|why| Error::new(format!("ERR no stack for a script: {why}")))?;
        // SAFETY: the control is lenient; the new thread is kept by the registry until the fiber is
        // retired for good.
        let lua = unsafe { Lua::new(ffi::lua_newthread(core.main().raw())) };
        Ok(Fiber {
            lua,
            anchor: core.main().keep(),
            stack: Cell::new(Some(stack)),
            yielder: Cell::new(ptr::null()),
            context: Cell::new(Context::Eval),
            serial: Cell::new(0),
            args: UnsafeCell::default(),
            protocol: Cell::new(Protocol::Resp2),
            name: RefCell::default(),
            ending: RefCell::default(),
            is_ending: Cell::new(false),
        })
    }

    pub(crate) fn prepare(&self, core: &Core, context: Context, serial: u64) {
        let globals = match context {
            Context::Eval => core.kept.eval,
            Context::Function | Context::Load => core.kept.function,
        };
        if serial == 1 || self.serial.get() == 0 || self.context.get() != context {
            self.lua.push_kept(globals);
            self.lua.replace(ffi::GLOBALS);
        }
        self.context.set(context);
        self.serial.set(serial);
        self.protocol.set(Protocol::Resp2);
        self.is_ending.set(false);
        self.ending.take();
        let slice = core.control(|control| control.slice);
        // SAFETY: the thread is alive and does not run.
        unsafe {
            ffi::lua_sethook(
                self.lua.raw(),
                Some(ffi::shoal_hook),
                ffi::MASK_COUNT,
                slice,
            );
        }
    }

    pub(crate) fn named(&self, name: &[u8]) {
        let mut own = self.name.borrow_mut();
        own.clear();
        own.extend_from_slice(name);
    }

    /// Puts the arguments of a request where the host finds them: all values on the stack of the
    /// running function, which are strings and stay there until the script goes on. False, and
    /// nothing done, if one is no string.
    pub(crate) fn set_args(&self, lua: Lua) -> bool {
        // SAFETY: the host is in Run::switch and holds no slice of these; see the module's
        // documentation. The slices are as the engine's strings.
        unsafe {
            let args = &mut *self.args.get();
            lua.strings(args)
        }
    }

    /// Gives control to the host. Called on the fiber. Whatever the host then does, this returns.
    pub(crate) fn suspend(&self, core: &Core, lua: Lua, turn: Turn) -> Signal {
        let lenient = core.control(|control| control.lenient);
        // SAFETY: the yielder is that of the running coroutine, set at its start.
        let signal = unsafe { (*self.yielder.get()).suspend(turn) };
        core.control(|control| control.lenient = 1);
        if matches!(signal, Signal::End) {
            let place = lua.place(0);
            if let Some(ending) = self.ending.borrow_mut().as_mut() {
                ending.place = place;
            }
        }
        core.control(|control| control.lenient = lenient);
        signal
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.get()
    }

    pub(crate) fn end_with(&self, text: &[u8]) {
        self.is_ending.set(true);
        *self.ending.borrow_mut() = Some(Ending {
            text: text.to_vec(),
            place: None,
        });
    }

    /// Makes KEYS and ARGV those of this run.
    fn show(&self, core: &Core) {
        if self.context.get() != Context::Eval || core.shown.get() == self.serial.get() {
            return;
        }
        core.shown.set(self.serial.get());
        // SAFETY: both lists are at the bottom of the thread's stack, and the control is lenient.
        unsafe { ffi::shoal_show(self.lua.raw()) };
    }
}

/// One run of a script or function. Dropping it ends a script that has not ended.
pub struct Run {
    core: Rc<Core>,
    /// Taken only when the run is dropped.
    fiber: Option<Rc<Fiber>>,
    stack: Option<Stack>,
    turn: Option<Turn>,
}

impl Run {
    /// The thread's stack has the error handler, the function, and `args` arguments on its top.
    pub(crate) fn new(core: Rc<Core>, fiber: Rc<Fiber>, args: i32) -> Run {
        let native = fiber.stack.take();
        let address = Rc::as_ptr(&fiber);
        let stack = native.map(|native| {
            Coroutine::with_stack(native, move |yielder: &Yielder<Signal, Turn>, _| {
                // SAFETY: the run holds the fiber as long as this coroutine lives. lua_pcall raises
                // nothing: it answers a status. The yielder is used only while this closure runs.
                unsafe {
                    let fiber = &*address;
                    fiber.yielder.set(yielder);
                    let handler = match fiber.context.get() {
                        Context::Load => 0,
                        Context::Eval | Context::Function => fiber.lua.top() - args - 1,
                    };
                    match ffi::lua_pcall(fiber.lua.raw(), args, 1, handler) {
                        ffi::OK => Turn::Done,
                        _ => Turn::Failed,
                    }
                }
            })
        });
        Run {
            core,
            fiber: Some(fiber),
            stack,
            turn: None,
        }
    }

    pub(crate) fn fiber(&self) -> &Fiber {
        self.fiber
            .as_ref()
            .expect("a run has its fiber until it is dropped")
    }

    /// Begins, or goes on after [`Turn::Paused`].
    pub fn resume(&mut self) -> Turn {
        assert!(
            matches!(self.turn, None | Some(Turn::Paused)),
            "the script waits for no resume"
        );
        self.switch(Signal::Go)
    }

    /// Goes on after [`Turn::Asked`] with a reply in RESP: whichever of both protocols, of the types
    /// that [`Run::protocol`] has.
    pub fn answer(&mut self, reply: &[u8]) -> Turn {
        assert!(
            matches!(self.turn, Some(Turn::Asked(_))),
            "the script has asked nothing"
        );
        self.switch(Signal::Answer(reply))
    }

    /// Ends the script with an error whose text is given, its code first. It has not ended yet.
    pub fn kill(&mut self, text: &[u8]) -> Turn {
        self.fiber().end_with(text);
        let turn = match self.turn {
            None => Turn::Failed,
            Some(_) => self.switch(Signal::End),
        };
        self.turn = Some(turn);
        turn
    }

    /// The arguments of the request that waits for an answer.
    pub fn args(&self) -> &[&[u8]] {
        debug_assert!(matches!(self.turn, Some(Turn::Asked(_))));
        // SAFETY: written only in `switch`, which takes the run exclusively; the strings are on the
        // thread's stack until the next switch.
        unsafe { &*self.fiber().args.get() }
    }

    /// The protocol in which the script wants its answers; RESP2 until it calls `redis.setresp`.
    pub fn protocol(&self) -> Protocol {
        self.fiber().protocol.get()
    }

    pub fn turn(&self) -> Option<Turn> {
        self.turn
    }

    /// Writes the reply, or the error, of a script that has ended.
    pub fn write(self, reply: &mut Reply) {
        let fiber = self.fiber();
        let lua = fiber.lua;
        match self.turn {
            Some(Turn::Done) => {
                // What the script may have of the stack for its reply begins where it does in Redis.
                let nests = lua.kind(-1) == Type::Table;
                if nests && fiber.context.get() == Context::Eval {
                    lua.remove(1);
                    lua.remove(1);
                }
                reply::write(lua, fiber.protocol.get(), reply);
            }
            Some(Turn::Failed) => reply.error(&self.error()),
            turn => panic!("a script that has not ended has no reply: {turn:?}"),
        }
    }

    /// The text of the error with which the script ended.
    pub fn error(&self) -> Vec<u8> {
        let fiber = self.fiber();
        let lua = fiber.lua;
        let name = fiber.name.borrow();
        let with_place = |text: &[u8], place: Option<&[u8]>| match place {
            Some(place) => [text, b" script: ", &name, b", on ", place, b"."].concat(),
            None => text.to_vec(),
        };
        if let Some(ending) = &*fiber.ending.borrow() {
            return with_place(&ending.text, ending.place.as_deref());
        }
        if lua.kind(-1) != Type::Table {
            let why = lua.bytes(-1).unwrap_or(b"execution failure");
            let why = &why[..why.len().min(100)];
            return [b"ERR Error running script ", &name[..], b", ", why].concat();
        }
        let (text, place) = error_of(lua);
        with_place(&text, place.as_deref())
    }

    /// Lets the fiber run until it gives control back.
    fn switch(&mut self, signal: Signal) -> Turn {
        let Some(stack) = &mut self.stack else {
            return Turn::Failed;
        };
        let fiber = self
            .fiber
            .as_ref()
            .expect("a run has its fiber until it is dropped");
        let core = &*self.core;
        fiber.show(core);
        core.set_active(Rc::as_ptr(fiber));
        core.control(|control| {
            control.lenient = 0;
            control.thread = fiber.lua.raw();
            control.ending = fiber.is_ending().into();
            control.work = control.slice as isize;
        });
        let (turn, ended) = match stack.resume(signal) {
            CoroutineResult::Yield(turn) => (turn, false),
            CoroutineResult::Return(turn) => (turn, true),
        };
        core.control(|control| {
            control.lenient = 1;
            control.ending = 0;
        });
        core.set_active(ptr::null());
        if ended {
            fiber
                .stack
                .set(self.stack.take().map(Coroutine::into_stack));
        }
        self.turn = Some(turn);
        turn
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let suspended = matches!(self.turn, Some(Turn::Asked(_) | Turn::Paused));
        if suspended {
            self.fiber().end_with(b"ERR abandoned");
            let turn = self.switch(Signal::End);
            assert!(
                matches!(turn, Turn::Failed | Turn::Done),
                "a script outlived its end"
            );
        }
        let Some(fiber) = self.fiber.take() else {
            return;
        };
        match self.stack.take() {
            // It has not begun: its native stack has only what it would begin with.
            Some(stack) => {
                drop(stack);
                self.core.main().release(fiber.anchor);
            }
            None => self.core.retire(fiber),
        }
    }
}

/// The text and the place of the error table on the top of the stack.
pub(crate) fn error_of(lua: Lua) -> (Vec<u8>, Option<Vec<u8>>) {
    let table = lua.absolute(-1);
    let field = |name: &[u8]| {
        let found = matches!(lua.field(table, name), Type::String | Type::Number);
        let text = found.then(|| as_c_string(lua.bytes(-1).unwrap_or_default()).to_vec());
        lua.pop(1);
        text
    };
    let text = field(b"err").unwrap_or_else(|| b"ERR unknown error".to_vec());
    let place = match (field(b"source"), field(b"line")) {
        (Some(source), Some(line)) => Some([&source[..], b":", &line].concat()),
        _ => None,
    };
    (text, place)
}

/// Called by the shim when a slice of instructions is used up: whether the script is to end.
///
/// # Safety
///
/// `host` is the machine's [`Core`].
#[unsafe(no_mangle)]
unsafe extern "C" fn shoal_host_tick(state: *mut ffi::State, host: *mut c_void) -> c_int {
    // SAFETY: by contract. Nothing here needs a lenient control except what sets it itself.
    let (core, lua) = unsafe { (&*host.cast::<Core>(), Lua::new(state)) };
    let Some(fiber) = core.active() else {
        return 0;
    };
    if fiber.context.get() == Context::Load {
        let over = core
            .loading
            .borrow()
            .as_ref()
            .is_some_and(|loading| loading.is_over());
        if over {
            fiber.end_with(b"ERR FUNCTION LOAD timeout");
        }
        return over.into();
    }
    match fiber.suspend(core, lua, Turn::Paused) {
        Signal::End => 1,
        Signal::Go | Signal::Answer(_) => 0,
    }
}
