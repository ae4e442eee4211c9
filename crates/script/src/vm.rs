//! A shard's Lua machine: one state, in which all scripts and functions of the shard run, each on a
//! thread of its own ([`crate::fiber`]).
//!
//! ```text
//! globals of scripts   read-only; the libraries, `redis`, and KEYS and ARGV of the script that runs
//! globals of functions read-only and empty; behind them, the libraries and their own `redis`, or,
//!                      while a library loads, a `redis` that only registers
//! ```
//!
//! Several scripts may be suspended at the same time. KEYS and ARGV are then those of the script that
//! is resumed.

use crate::error::Error;
use crate::ffi::{self, Control};
use crate::fiber::{Context, Fiber, Run};
use crate::globals::{self, Kept};
use crate::library::{Library, Loading};
use crate::lua::Lua;
use crate::random::Random;
use crate::script::{Digest, Script};
use ahash::AHashMap;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::rc::{Rc, Weak};

/// Idle native stacks that are kept.
const IDLE_MAX: usize = 16;

/// How much the machine may grow, in percent of what was live, before the collector begins again. A
/// machine without much in it has some 60 kB.
const COLLECTOR_PAUSE: c_int = 400;

#[derive(Clone, Debug)]
pub struct VmOptions {
    /// Bytes that values may take. Garbage is collected before anything is refused; for a moment the
    /// machine may take half as much again.
    pub memory_limit: usize,
    /// Instructions after which a script pauses, so that the host can look around.
    pub slice: u32,
    /// `redis.REDIS_VERSION`, `MAJOR.MINOR.PATCH`.
    pub redis_version: String,
    /// `server.SERVER_NAME`.
    pub server_name: String,
    /// `server.VALKEY_VERSION`, if it is to be there.
    pub valkey_version: Option<String>,
    /// What `math.random` begins with: 48 bits. The default is what Redis begins with.
    pub random: u64,
    /// The native stack of a script. Pages that are not used take no memory.
    pub stack_size: usize,
}

impl Default for VmOptions {
    fn default() -> VmOptions {
        VmOptions {
            memory_limit: 256 << 20,
            slice: 100_000,
            redis_version: "8.0.0".to_owned(),
            server_name: "shoal".to_owned(),
            valkey_version: None,
            random: Random::REDIS,
            stack_size: 4 << 20,
        }
    }
}

/// One per shard. Cannot leave its thread; runs keep it alive.
pub struct Vm(pub(crate) Rc<Core>);

pub struct Core {
    me: Weak<Core>,
    control: *mut Control,
    main: Lua,
    pub(crate) options: VmOptions,
    pub(crate) kept: Kept,
    active: Cell<*const Fiber>,
    idle: RefCell<Vec<Rc<Fiber>>>,
    /// The run whose KEYS and ARGV are globals, by its number.
    pub(crate) shown: Cell<u64>,
    runs: Cell<u64>,
    compiled: RefCell<AHashMap<Digest, i32>>,
    libraries: RefCell<HashMap<u64, HashMap<Vec<u8>, i32>>>,
    pub(crate) random: Cell<Random>,
    pub(crate) loading: RefCell<Option<Loading>>,
}

impl Vm {
    pub fn new(options: VmOptions) -> Result<Vm, Error> {
        let control = Box::into_raw(Box::new(Control {
            used: 0,
            limit: options.memory_limit,
            ceiling: options
                .memory_limit
                .saturating_add(options.memory_limit / 2),
            pressure: options.memory_limit / 4 * 3,
            work: 0,
            slice: c_int::try_from(options.slice.max(1)).unwrap_or(c_int::MAX),
            lenient: 1,
            ending: 0,
            argument: 0,
            thread: ptr::null_mut(),
            names: [ptr::null(); 2],
            host: ptr::null_mut(),
        }));
        // SAFETY: `control` outlives the state: Core::drop frees them in that order. It is lenient,
        // and stays so except while a fiber runs or a text is compiled.
        let main = unsafe {
            let state = ffi::lua_newstate(allocate, control.cast());
            if state.is_null()
                || ffi::lua_cpcall(state, ffi::shoal_open, ptr::null_mut()) != ffi::OK
            {
                return Err(Error::new("ERR Lua cannot be started"));
            }
            ffi::lua_gc(state, ffi::GC_SETPAUSE, COLLECTOR_PAUSE);
            Lua::new(state)
        };
        let kept = globals::install(main, &options);
        let core = Rc::new_cyclic(|me| Core {
            me: me.clone(),
            control,
            main,
            random: Cell::new(Random::at(options.random)),
            options,
            kept,
            active: Cell::new(ptr::null()),
            idle: RefCell::default(),
            shown: Cell::new(0),
            runs: Cell::new(0),
            compiled: RefCell::default(),
            libraries: RefCell::default(),
            loading: RefCell::default(),
        });
        let host = Rc::as_ptr(&core).cast_mut().cast();
        core.control(|control| control.host = host);
        Ok(Vm(core))
    }

    /// Compiles a script, if that has not been done, and keeps the result.
    pub fn compile(&self, script: &Script) -> Result<(), Error> {
        self.0.compiled(script).map(drop)
    }

    pub fn is_compiled(&self, script: &Script) -> bool {
        self.0.compiled.borrow().contains_key(script.digest())
    }

    /// Drops what [`Vm::compile`] keeps; those that are running run on.
    pub fn forget(&self, script: &Script) {
        if let Some(reference) = self.0.compiled.borrow_mut().remove(script.digest()) {
            self.0.main.release(reference);
        }
    }

    pub fn forget_all(&self) {
        for (_, reference) in self.0.compiled.borrow_mut().drain() {
            self.0.main.release(reference);
        }
        self.0.collect();
    }

    /// A run of a script that has not begun: [`Run::resume`] begins it.
    pub fn start<'a>(
        &self,
        script: &Script,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<Run, Error> {
        let function = self.0.compiled(script)?;
        let fiber = self.0.fiber(Context::Eval)?;
        let lua = fiber.lua;
        push_list(lua, keys);
        push_list(lua, args);
        lua.push_kept(self.0.kept.handler);
        lua.push_kept(function);
        fiber.named(script.sha_bytes());
        Ok(Run::new(self.0.clone(), fiber, 0))
    }

    /// A run of a library's function. A library that this machine has not met is loaded first.
    pub fn start_function<'a>(
        &self,
        library: &Library,
        name: &[u8],
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        args: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<Run, Error> {
        let function = self.0.function(library, name)?;
        let fiber = self.0.fiber(Context::Function)?;
        let lua = fiber.lua;
        lua.push_kept(self.0.kept.handler);
        lua.push_kept(function);
        push_list(lua, keys);
        push_list(lua, args);
        fiber.named(name);
        Ok(Run::new(self.0.clone(), fiber, 2))
    }

    /// Drops a library's functions; those that are running run on.
    pub fn forget_library(&self, library: &Library) {
        if let Some(functions) = self.0.libraries.borrow_mut().remove(&library.id()) {
            functions
                .values()
                .for_each(|&reference| self.0.main.release(reference));
        }
    }

    pub fn memory_used(&self) -> usize {
        self.0.control(|control| control.used)
    }
}

impl Core {
    pub(crate) fn shared(&self) -> Rc<Core> {
        self.me
            .upgrade()
            .expect("whoever calls this holds the core")
    }

    /// Whether more memory is in use than there may be at any time: what is written in Rust, and so
    /// never refused memory, then stops.
    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.control(|control| control.used.saturating_add(more) > control.ceiling)
    }

    pub(crate) fn main(&self) -> Lua {
        self.main
    }

    pub(crate) fn control<T>(&self, act: impl FnOnce(&mut Control) -> T) -> T {
        // SAFETY: the control lives as long as the core, and no closure runs engine code or another
        // closure.
        act(unsafe { &mut *self.control })
    }

    /// The fiber that runs: none while the host does.
    pub(crate) fn active(&self) -> Option<&Fiber> {
        // SAFETY: Run::switch sets it for the time in which it holds the fiber.
        unsafe { self.active.get().as_ref() }
    }

    pub(crate) fn set_active(&self, fiber: *const Fiber) {
        self.active.set(fiber);
    }

    fn compiled(&self, script: &Script) -> Result<i32, Error> {
        if let Some(&reference) = self.compiled.borrow().get(script.digest()) {
            return Ok(reference);
        }
        self.compile(self.main, script.code(), c"@user_script")
            .map_err(|why| {
                Error::new([b"ERR Error compiling script (new function): ", &why[..]].concat())
            })?;
        let reference = self.main.keep();
        self.compiled
            .borrow_mut()
            .insert(*script.digest(), reference);
        Ok(reference)
    }

    /// Leaves the compiled text as a function on the top of the stack, with the stack's globals.
    pub(crate) fn compile(&self, lua: Lua, code: &[u8], name: &CStr) -> Result<(), Vec<u8>> {
        self.control(|control| control.lenient = 0);
        // SAFETY: loading is protected by the engine itself: errors, and memory that is refused, come
        // back as a status with a message on the stack.
        let status = unsafe {
            ffi::luaL_loadbuffer(lua.raw(), code.as_ptr().cast(), code.len(), name.as_ptr())
        };
        self.control(|control| control.lenient = 1);
        if status == ffi::OK {
            return Ok(());
        }
        let why = lua.bytes(-1).unwrap_or_default().to_vec();
        lua.pop(1);
        Err(why)
    }

    fn function(&self, library: &Library, name: &[u8]) -> Result<i32, Error> {
        let known = |libraries: &HashMap<u64, HashMap<Vec<u8>, i32>>| {
            let functions = libraries.get(&library.id())?;
            Some(functions.get(name).copied())
        };
        let found = known(&self.libraries.borrow());
        let found = match found {
            Some(found) => found,
            None => {
                library.load_into(self)?;
                known(&self.libraries.borrow()).flatten()
            }
        };
        found.ok_or_else(|| Error::new("ERR Function not found"))
    }

    pub(crate) fn keep_library(&self, id: u64, functions: HashMap<Vec<u8>, i32>) {
        self.libraries.borrow_mut().insert(id, functions);
    }

    /// A thread and a native stack, used before or new, for a script with these globals.
    pub(crate) fn fiber(&self, context: Context) -> Result<Rc<Fiber>, Error> {
        let idle = self.idle.borrow_mut().pop();
        let fiber = match idle {
            Some(fiber) => fiber,
            None => Rc::new(Fiber::new(self)?),
        };
        let serial = self.runs.get() + 1;
        self.runs.set(serial);
        fiber.prepare(self, context, serial);
        Ok(fiber)
    }

    /// Takes a fiber back that has ended.
    pub(crate) fn retire(&self, fiber: Rc<Fiber>) {
        fiber.lua.set_top(0);
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            idle.push(fiber);
        } else {
            self.main.release(fiber.anchor);
        }
    }

    fn collect(&self) {
        // SAFETY: the collector raises nothing, since the control is lenient and scripts have no
        // finalizers.
        unsafe { ffi::lua_gc(self.main.raw(), ffi::GC_COLLECT, 0) };
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: runs hold the core, so none is left, and nothing else refers to the state or the
        // control.
        unsafe {
            ffi::lua_close(self.main.raw());
            drop(Box::from_raw(self.control));
        }
    }
}

fn push_list<'a>(lua: Lua, items: impl ExactSizeIterator<Item = &'a [u8]>) {
    lua.new_table(items.len(), 0);
    for (n, item) in (1..).zip(items) {
        lua.push_bytes(item);
        lua.raw_set_at(-2, n);
    }
}

/// Gives the engine memory from our allocator, within the control's bounds.
///
/// # Safety
///
/// `data` is a [`Control`]; `block` came from here with the size `old`, or is null.
unsafe extern "C" fn allocate(
    data: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: by contract; the engine's numbers are at most as aligned as pointers, which are 8.
    unsafe {
        let control = &mut *data.cast::<Control>();
        let old = if block.is_null() { 0 } else { old };
        let layout = |size| Layout::from_size_align(size, 8).ok();
        if new == 0 {
            if let Some(was) = layout(old).filter(|_| old > 0) {
                dealloc(block.cast(), was);
                control.used -= old;
            }
            return ptr::null_mut();
        }
        let used = (control.used - old).saturating_add(new);
        let refused = new > old && used > control.ceiling && control.lenient == 0;
        let Some(wanted) = layout(new).filter(|_| !refused) else {
            return ptr::null_mut();
        };
        let given = match layout(old) {
            Some(was) if old > 0 => realloc(block.cast(), was, new),
            _ => alloc(wanted),
        };
        if given.is_null() {
            if control.lenient != 0 {
                handle_alloc_error(wanted);
            }
            return ptr::null_mut();
        }
        control.used = used;
        given.cast()
    }
}
