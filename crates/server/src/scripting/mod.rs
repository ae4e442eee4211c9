//! Scripts and functions: how EVAL and FCALL run, on one shard or on several.
//!
//! ```text
//!   all keys that the call names here       it runs here, in one go                      (here.rs)
//!   all on one other shard                  it travels there, and runs there in one go    (a Visit)
//!   on several, or it turned out to need    a program at home: each command of the script
//!   keys of other shards                    is executed where its keys are                (program.rs)
//! ```
//!
//! A script that runs in one go and comes to a key of another shard, or a locked one, is taken back: what
//! it has changed is undone in the same moment, so nobody has seen it, and it begins again as a program.
//! A program locks each key that it comes to, and keeps all locks to its end; if it cannot have one, its
//! changes are undone on all shards, and it begins again with all keys that it is known to need. To undo
//! means to put back copies. What is too big to be copied, a program changes only when it holds the
//! engine's token, with which it does not have to begin again (`docs/transactions.md`).
//!
//! The texts of scripts and the libraries of functions are the same for all shards ([`Shared`]); a shard's
//! machine compiles them when it meets them.

pub mod copies;
pub mod here;
pub mod program;

use crate::clients::{Client, Held, Peer, Special};
use crate::core::{Actor, Core, Host, HostHandler};
use crate::driver::ConnId;
use crate::remote::parcel::{Parcel, Sender};
use crate::remote::route::{Keys, To};
use crate::remote::tx::other_database;
use crate::remote::{self, Answer, Parked, Request, is_silent};
use crate::session::REDIS_VERSION;
use crate::session::multi::WatchedKey;
use crate::{dispatch, monitor, notify};
use ::script::{Flags as ScriptFlags, Library, Run as Machine, Script, Vm, VmOptions};
use command::table::{Entry, Run};
use command::{Error, Flags, Form};
use engine::Placement;
use engine::locks::{Mode, Name, Want};
use engine::tx::{ShardId, TxId, Waiter};
use here::{Ran, Site};
use program::Whom;
use resp::number::parse_i64;
use resp::reply::Mark;
use resp::{Args, Pack, Protocol, Reply};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use store::{Event, Saved};

/// Scripts that EVAL has brought and that are kept; of more, the oldest goes.
const EVALUATED_MAX: usize = 500;

/// Scripts that a shard knows before it forgets them all, to ask for them again.
const KNOWN_MAX: usize = 4096;

/// Elements of a collection that is copied so that its change can be undone.
const SAVED_MAX: usize = 1024;

/// How often a script must have stayed on its shard before it may change there what is too big to be
/// copied without being a program.
const TRUSTED: u32 = 16;

type Sha = [u8; 40];

/// What all shards share.
#[derive(Default)]
pub struct Shared {
    texts: Mutex<Texts>,
    /// Moves on when something has gone.
    edition: AtomicU64,
    /// Programs that have run for too long, with what they have locked, and how many.
    slow: Mutex<Vec<Slow>>,
    slow_count: AtomicUsize,
    /// How many there ever were.
    slow_ever: AtomicUsize,
}

/// A program that has run for too long, and its locks of each shard.
struct Slow {
    tx: TxId,
    wants: Vec<(ShardId, Want)>,
}

#[derive(Default)]
pub struct Texts {
    scripts: HashMap<Sha, Script, ahash::RandomState>,
    /// Those that EVAL has brought, oldest first.
    evaluated: VecDeque<Sha>,
    pub libraries: BTreeMap<Vec<u8>, Library>,
}

impl Shared {
    pub fn texts(&self) -> MutexGuard<'_, Texts> {
        self.texts.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether a script runs for too long, on any shard.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.slow_count.load(Ordering::Relaxed) > 0
    }

    fn slow(&self) -> MutexGuard<'_, Vec<Slow>> {
        self.slow.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Has all shards forget what they know, the next time that they look.
    pub fn turn(&self) {
        self.edition.fetch_add(1, Ordering::Release);
    }
}

impl Texts {
    /// Keeps a script, for ever if it was loaded.
    pub fn keep(&mut self, script: &Script, loaded: bool) {
        let sha = sha_of(script);
        let known = self.scripts.insert(sha, script.clone()).is_some();
        if loaded {
            self.evaluated.retain(|other| *other != sha);
        } else if !known {
            self.evaluated.push_back(sha);
            if self.evaluated.len() > EVALUATED_MAX
                && let Some(oldest) = self.evaluated.pop_front()
            {
                self.scripts.remove(&oldest);
            }
        }
    }

    pub fn script(&self, sha: &Sha) -> Option<&Script> {
        self.scripts.get(sha)
    }

    pub fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.scripts.values()
    }

    pub fn flush_scripts(&mut self) {
        self.scripts.clear();
        self.evaluated.clear();
    }

    /// The library that has a function.
    pub fn function(&self, name: &[u8]) -> Option<&Library> {
        let mut libraries = self.libraries.values();
        libraries.find(|library| library.functions().iter().any(|f| f.name == name))
    }
}

fn sha_of(script: &Script) -> Sha {
    let mut sha = [0; 40];
    sha.copy_from_slice(script.sha().as_bytes());
    sha
}

/// What a script does, as far as it has been seen.
#[derive(Clone, Copy, Default)]
struct Habit {
    /// How often it has stayed on its shard.
    stayed: u32,
    /// It needs keys that it does not name, on other shards.
    wanders: bool,
}

/// A key as it was before a script changed it.
type Before = (usize, Box<[u8]>, Option<Saved>);

/// A shard's scripts.
#[derive(Default)]
pub struct Scripting {
    vm: Option<Vm>,
    edition: u64,
    known: HashMap<Sha, (Script, Habit), ahash::RandomState>,
    functions: HashMap<Vec<u8>, (Library, ScriptFlags, Habit), ahash::RandomState>,
    /// What stands for the client that a script is to its commands, while none runs.
    client: Option<Box<Client>>,
    call: Pack,
    reply: Reply,
    /// What programs have changed on this shard, and what is to be published of it.
    saved: HashMap<TxId, Vec<Before>, ahash::RandomState>,
    events: HashMap<TxId, Vec<Event>, ahash::RandomState>,
    /// Programs that go on in the next pass.
    pub paused: Vec<TxId>,
    /// Programs of this shard that have run for too long.
    pub slow: usize,
    /// How many there ever were on all shards, as this one knows.
    slow_seen: usize,
    /// The program that was made last of a script.
    adopted: Option<TxId>,
    /// What monitors are to be told of the script that runs.
    told: Vec<Arc<[u8]>>,
}

impl Scripting {
    /// The machine, which is made when the first script comes.
    pub fn vm(&mut self) -> Result<&Vm, Error> {
        if self.vm.is_none() {
            let options = VmOptions {
                redis_version: REDIS_VERSION.to_owned(),
                ..VmOptions::default()
            };
            let vm = Vm::new(options).map_err(|e| Error::bytes(e.text().to_vec()))?;
            self.vm = Some(vm);
        }
        self.vm
            .as_ref()
            .ok_or(Error::new("ERR Lua cannot be started"))
    }

    pub fn memory(&self) -> usize {
        self.vm.as_ref().map_or(0, Vm::memory_used)
    }

    /// Forgets what is not the same any more.
    fn refresh(&mut self, shared: &Shared) {
        let edition = shared.edition.load(Ordering::Acquire);
        if edition != self.edition || self.known.len() > KNOWN_MAX {
            self.edition = edition;
            self.known.clear();
            self.functions.clear();
            // Compiled libraries would stay for ever.
            self.vm = None;
        }
    }
}

/// What is to be run.
#[derive(Clone)]
pub enum Source {
    Script(Script),
    Function(Library, Vec<u8>),
}

/// A call of a script or function: EVAL, FCALL and their kin.
#[derive(Clone)]
pub struct Call {
    pub source: Source,
    /// Where the keys begin among the arguments, and how many there are.
    first: usize,
    keys: usize,
    /// It may not write.
    pub read_only: bool,
    /// A script without a shebang: it has no flags, and may do whatever its command may.
    pub is_plain: bool,
    habit: Habit,
}

/// Whether a command runs a script.
pub fn is_script(entry: &Entry<HostHandler>) -> bool {
    const NAMES: &[&str] = &[
        "eval",
        "evalsha",
        "eval_ro",
        "evalsha_ro",
        "fcall",
        "fcall_ro",
    ];
    NAMES.contains(&entry.spec.name)
}

impl Call {
    /// Finds out what a command runs.
    pub fn parse(core: &mut Core, args: Args<'_>) -> Result<Call, Error> {
        let name = args.get(0);
        let begins = |word: &[u8]| {
            let begin = name.get(..word.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        };
        let process = Arc::clone(&core.process);
        core.scripting.refresh(&process.scripts);
        let is_function = begins(b"fcall");
        // A function that is not there is said before anything else.
        let function = match is_function {
            true => Some(core.scripting.function(&process.scripts, args.get(1))?),
            false => None,
        };
        let keys = parse_i64(args.get(2)).ok_or(match is_function {
            true => Error::fixed("ERR Bad number of keys provided"),
            false => Error::NOT_INTEGER,
        })?;
        if keys > args.len() as i64 - 3 {
            return Err(Error::fixed(
                "ERR Number of keys can't be greater than number of args",
            ));
        }
        let Ok(keys) = usize::try_from(keys) else {
            return Err(Error::fixed("ERR Number of keys can't be negative"));
        };
        let end = name.get(name.len().saturating_sub(3)..);
        let mut read_only = end.is_some_and(|end| end.eq_ignore_ascii_case(b"_ro"));
        let (source, flags, is_plain, habit) = match function {
            Some((library, flags, habit)) => {
                let source = Source::Function(library, args.get(1).to_vec());
                (source, flags, false, habit)
            }
            None => {
                let (script, habit) = match begins(b"evalsha") {
                    true => core.scripting.by_sha(&process.scripts, args.get(1))?,
                    false => core.scripting.by_text(&process.scripts, args.get(1))?,
                };
                let (flags, is_plain) = (script.flags(), !script.has_shebang());
                (Source::Script(script), flags, is_plain, habit)
            }
        };
        let no_writes = flags.has(ScriptFlags::NO_WRITES);
        if read_only && !is_plain && !no_writes {
            return Err(Error::fixed(
                "ERR Can not execute a script with write flag using *_ro command.",
            ));
        }
        read_only |= no_writes;
        Ok(Call {
            source,
            first: 3,
            keys,
            read_only,
            is_plain,
            habit,
        })
    }

    fn keys<'a>(&self, args: Args<'a>) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        (self.first..self.first + self.keys).map(move |i| args.get(i))
    }

    fn start(&self, core: &mut Core, args: Args<'_>) -> Result<Machine, Error> {
        let keys = self.keys(args);
        let behind = (self.first + self.keys..args.len()).map(|i| args.get(i));
        let vm = core.scripting.vm()?;
        let run = match &self.source {
            Source::Script(script) => vm.start(script, keys, behind),
            Source::Function(library, name) => vm.start_function(library, name, keys, behind),
        };
        run.map_err(|e| Error::bytes(e.text().to_vec()))
    }

    /// The mode in which it locks the keys that it names.
    fn mode(&self) -> Mode {
        Mode::of(!self.read_only)
    }

    /// The shards of the keys that the call names, each with the locks.
    fn wants(&self, core: &Core, args: Args<'_>) -> Vec<(ShardId, Want)> {
        let mut wants = Vec::new();
        for key in self.keys(args) {
            let shard = core.placement.of(key) as ShardId;
            let name = Name(core.shard.key(key).hash);
            remote::plan::want_of(&mut wants, shard, Want::key(name, self.mode()));
        }
        wants
    }

    /// The one shard that all keys are on which the call names.
    fn only_shard(&self, placement: Placement, me: usize, args: Args<'_>) -> Option<usize> {
        let mut shards = self.keys(args).map(|key| placement.of(key));
        let first = shards.next().unwrap_or(me);
        shards.all(|shard| shard == first).then_some(first)
    }
}

impl Scripting {
    fn by_text(&mut self, shared: &Shared, body: &[u8]) -> Result<(Script, Habit), Error> {
        let sha = Script::sha_of(body);
        if let Some(known) = self.known.get(&sha) {
            return Ok(known.clone());
        }
        let script = Script::parse(body).map_err(|e| Error::bytes(e.text().to_vec()))?;
        let compiled = self.vm()?.compile(&script);
        compiled.map_err(|e| Error::bytes(e.text().to_vec()))?;
        shared.texts().keep(&script, false);
        let known = (script, Habit::default());
        self.known.insert(sha, known.clone());
        Ok(known)
    }

    fn by_sha(&mut self, shared: &Shared, sha: &[u8]) -> Result<(Script, Habit), Error> {
        const MISSING: Error = Error::fixed("NOSCRIPT No matching script. Please use EVAL.");
        let mut sha: Sha = sha.try_into().map_err(|_| MISSING)?;
        sha.make_ascii_lowercase();
        if let Some(known) = self.known.get(&sha) {
            return Ok(known.clone());
        }
        let script = shared.texts().script(&sha).cloned().ok_or(MISSING)?;
        let known = (script, Habit::default());
        self.known.insert(sha, known.clone());
        Ok(known)
    }

    fn function(
        &mut self,
        shared: &Shared,
        name: &[u8],
    ) -> Result<(Library, ScriptFlags, Habit), Error> {
        if let Some(known) = self.functions.get(name) {
            return Ok(known.clone());
        }
        let texts = shared.texts();
        let library = texts.function(name);
        let library = library.ok_or(Error::fixed("ERR Function not found"))?;
        let mut functions = library.functions().iter();
        let flags = functions.find(|f| f.name == name).map(|f| f.flags);
        let known = (library.clone(), flags.unwrap_or_default(), Habit::default());
        self.functions.insert(name.to_vec(), known.clone());
        Ok(known)
    }

    /// Remembers what a call has done.
    fn note(&mut self, call: &Call, stayed: bool) {
        if stayed && call.habit.stayed >= TRUSTED {
            return;
        }
        let habit = match &call.source {
            Source::Script(script) => self
                .known
                .get_mut(&sha_of(script))
                .map(|known| &mut known.1),
            Source::Function(_, name) => self.functions.get_mut(name).map(|known| &mut known.2),
        };
        if let Some(habit) = habit {
            habit.wanders |= !stayed;
            habit.stayed = habit.stayed.saturating_add(u32::from(stayed));
        }
    }

    /// What a script is to its commands: a client without a connection.
    fn take_client(&mut self, now_ms: i64) -> Box<Client> {
        let new = || {
            let peer = Peer::Unix { path: "".into() };
            Box::new(Client::new(0, ConnId(u32::MAX), peer, -1, now_ms))
        };
        self.client.take().unwrap_or_else(new)
    }
}

/// A script on its way to the shard of its keys, and back.
pub struct Visit {
    sender: Sender,
    silent: bool,
    /// The command, its client's database, and the reply.
    parcel: Box<Parcel>,
    call: Call,
    /// It needs keys of other shards.
    wanders: bool,
    /// What monitors are to be told of it.
    told: Vec<Arc<[u8]>>,
}

/// EVAL, FCALL and their kin.
pub fn eval(host: &mut Host<'_>) -> Result<(), Error> {
    let (core, client, args) = (&mut *host.core, &mut *host.client, host.args);
    let call = Call::parse(core, args)?;
    // Before its commands; not when it comes here again.
    if core.special.has(Special::MONITORED) && client.granted.is_none() {
        let entry = client.session.last_command.unwrap_or_default();
        let process = Arc::clone(&core.process);
        let line = monitor::of_client(client, &process.table.entries()[entry], args);
        monitor::tell(core, [line]);
    }
    if core.process.scripts.is_busy() && client.granted.is_none() {
        let wants = call.wants(core, args);
        if core.scripting.slow > 0 || are_in_the_way(core, &wants) {
            return Err(busy());
        }
    }
    let only = call.only_shard(core.placement, core.me, args);
    let wanders = call.habit.wanders && !core.alone;
    match only {
        Some(shard) if shard == core.me && !wanders => {
            if client.granted.is_none()
                && let Some(want) = blocked(core, &call, args)
            {
                let waiter = core.park(want);
                let sender = Sender::of(client);
                core.parked.insert(waiter, Parked::Client(sender));
                client.held = Some(Held::Locked);
                return Ok(());
            }
            let waiter = client.granted.take();
            let site = Site::of(client, host.reply.protocol());
            let whom = Whom::Client {
                sender: Sender::of(client),
                silent: is_silent(client),
            };
            let ran = here::run(core, &site, &call, args, host.reply, || whom);
            let told = std::mem::take(&mut core.scripting.told);
            monitor::tell(core, told);
            core.scripting.note(&call, ran != Ran::Wanders);
            if let Some(waiter) = waiter {
                core.engine.passed(waiter);
            }
            match ran {
                Ran::Done => {}
                Ran::Wanders => begin_program(host, call),
                Ran::Slow => {
                    client.script = true;
                    client.held = Some(Held::Remote);
                }
            }
        }
        Some(shard) if !wanders => {
            let mut parcel = core.stock.parcel(client, host.reply.protocol());
            parcel.push(client.session.last_command.unwrap_or_default(), args);
            parcel.epoch = core.engine.epoch();
            let visit = Visit {
                sender: Sender::of(client),
                silent: is_silent(client),
                parcel,
                call,
                wanders: false,
                told: Vec::new(),
            };
            core.node
                .send_request(shard, Request::Script(Box::new(visit)));
            client.script = true;
            client.held = Some(Held::Remote);
        }
        _ => begin_program(host, call),
    }
    Ok(())
}

/// Begins a client's script as a program.
fn begin_program(host: &mut Host<'_>, call: Call) {
    let mut items = host.core.stock.parcel(host.client, host.reply.protocol());
    let entry = host.client.session.last_command.unwrap_or_default();
    items.push(entry, host.args);
    let wants = call.wants(host.core, host.args);
    program::begin(host.core, host.client, items, wants, Vec::new(), None);
}

/// Begins a command whose keys nobody knows beforehand as a program.
pub fn begin_command(
    core: &mut Core,
    client: &mut Client,
    protocol: Protocol,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) {
    let mut items = core.stock.parcel(client, protocol);
    items.push(entry.index, args);
    let wants = wants_of(core, &items, client.db, entry, args);
    program::begin(core, client, items, wants, Vec::new(), None);
}

/// The locks that a call on this shard's keys has to wait for, if it may not run at once.
fn blocked(core: &Core, call: &Call, args: Args<'_>) -> Option<Want> {
    if core.engine.is_plain() {
        return None;
    }
    let name = |key: &[u8]| (Name(core.shard.key(key).hash), call.mode());
    let want = Want::Keys(call.keys(args).map(name).collect());
    (!core.engine.may_run_all(&want)).then_some(want)
}

/// A script has come from another shard.
pub fn visit(core: &mut Core, from: usize, visit: Box<Visit>) {
    core.engine.catch_up(visit.parcel.epoch);
    let args = visit.parcel.command(0).1;
    match blocked(core, &visit.call, args) {
        Some(want) => {
            let waiter = core.park(want);
            core.parked.insert(waiter, Parked::Script(from, visit));
        }
        None => run_visit(core, from, visit),
    }
}

/// The locks that a script from another shard has waited for are its own.
pub fn resume(core: &mut Core, waiter: Waiter, from: usize, visit: Box<Visit>) {
    run_visit(core, from, visit);
    core.engine.passed(waiter);
}

fn run_visit(core: &mut Core, from: usize, mut visit: Box<Visit>) {
    let site = Site::of_parcel(&visit.parcel);
    let process = Arc::clone(&core.process);
    core.scripting.refresh(&process.scripts);
    let before = std::mem::replace(&mut core.actor, Actor::of(&visit.parcel));
    let Visit { parcel, call, .. } = &mut *visit;
    let mut reply = std::mem::take(&mut parcel.reply);
    let args = parcel.command(0).1;
    let mut is_slow = false;
    let whom = || {
        is_slow = true;
        Whom::Visit(from)
    };
    let ran = here::run(core, &site, call, args, &mut reply, whom);
    core.actor = before;
    visit.parcel.reply = reply;
    visit.told = std::mem::take(&mut core.scripting.told);
    visit.wanders = ran == Ran::Wanders;
    match is_slow {
        true => program::give_visit(core, visit),
        false => {
            visit.parcel.epoch = core.engine.epoch();
            core.node.send_reply(from, Answer::Script(visit));
        }
    }
}

/// A script has come back from the shard of its keys.
pub fn back(core: &mut Core, visit: Visit) {
    let Visit {
        sender,
        silent,
        parcel,
        call,
        wanders,
        told,
    } = visit;
    core.engine.catch_up(parcel.epoch);
    core.scripting.note(&call, !wanders);
    monitor::tell(core, told);
    let Some(mut client) = core.clients.take_if(sender.conn, sender.client) else {
        return core.stock.put_parcel(parcel);
    };
    client.script = false;
    if wanders {
        let wants = call.wants(core, parcel.command(0).1);
        program::begin(core, &mut client, parcel, wants, Vec::new(), None);
    } else {
        if client.reply.is_empty() {
            client.reply.put_buffer(core.spare.take());
        }
        if !silent {
            client
                .reply
                .append(&parcel.reply, Mark::default(), parcel.reply.mark());
        }
        core.stock.put_parcel(parcel);
    }
    core.clients.put(client);
    core.clients.mark(sender.conn);
}

/// EXEC of a queue with scripts.
pub fn exec(host: &mut Host<'_>, queue: Box<Parcel>, watched: Vec<WatchedKey>) {
    let core = &mut *host.core;
    if core.alone && core.engine.is_plain() {
        return here::exec(host, queue, watched);
    }
    let wants = wants_of_queue(core, &queue);
    let args = Some(host.args);
    program::begin(core, host.client, queue, wants, watched, args);
}

/// The locks that a queue needs, as far as they are known beforehand.
fn wants_of_queue(core: &mut Core, queue: &Parcel) -> Vec<(ShardId, Want)> {
    let process = Arc::clone(&core.process);
    let mut wants = Vec::new();
    for at in 0..queue.len() {
        let (entry, args) = queue.command(at);
        let entry = &process.table.entries()[entry];
        if is_script(entry) {
            for key in named(args) {
                let shard = core.placement.of(key) as ShardId;
                let name = Name(core.shard.key(key).hash);
                let want = Want::key(name, Mode::Exclusive);
                remote::plan::want_of(&mut wants, shard, want);
            }
        } else if let Run::Data(_) = entry.run {
            for (shard, want) in wants_of(core, queue, 0, entry, args) {
                remote::plan::want_of(&mut wants, shard, want);
            }
        }
    }
    wants
}

/// The keys that a call names, as far as can be told without knowing what it calls.
fn named<'a>(args: Args<'a>) -> impl Iterator<Item = &'a [u8]> {
    let keys = args.opt(2).and_then(parse_i64).unwrap_or(0);
    let keys = usize::try_from(keys).unwrap_or(0);
    (3..args.len()).take(keys).map(move |i| args.get(i))
}

/// The command that a script calls, or why it may not.
fn admit<'t>(
    table: &'t crate::core::CommandTable,
    call: &Call,
    args: Args<'_>,
) -> Result<&'t Entry<HostHandler>, Error> {
    let Ok(entry) = table.resolve(args) else {
        return Err(Error::fixed("ERR Unknown Redis command called from script"));
    };
    if !entry.spec.accepts(args.len()) {
        return Err(Error::fixed(
            "ERR Wrong number of args calling Redis command from script",
        ));
    }
    if entry.spec.flags.has(Flags::NOSCRIPT) || matches!(entry.run, Run::Container) {
        return Err(Error::fixed(
            "ERR This Redis command is not allowed from script",
        ));
    }
    if call.read_only && entry.spec.flags.has(Flags::WRITE) {
        return Err(Error::fixed(
            "ERR Write commands are not allowed from read-only scripts.",
        ));
    }
    Ok(entry)
}

/// Saves what a command of a script is about to change, unless that has been done; false if it is too
/// big.
fn save_into(
    core: &mut Core,
    saved: &mut Vec<Before>,
    db: usize,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) -> bool {
    if !entry.spec.flags.has(Flags::WRITE) {
        return true;
    }
    let Run::Data(form) = entry.run else {
        return true;
    };
    if remote::place(core, entry, args) == To::Anywhere {
        return true;
    }
    if matches!(form, Form::Everywhere(..)) {
        return false;
    }
    let other = other_database(core, db, form, args);
    let mut names: Vec<usize> = match core.ways[entry.index].keys {
        Keys::First => vec![1],
        _ => Vec::new(),
    };
    names.extend(core.places.iter().filter(|k| k.writes).map(|k| k.at));
    let dbs = [Some(db), other];
    for name in names.into_iter().map(|at| args.get(at)) {
        if core.placement.of(name) != core.me {
            continue;
        }
        for db in dbs.into_iter().flatten() {
            if !save_key(core, saved, db, name) {
                return false;
            }
        }
    }
    true
}

fn save_key(core: &mut Core, saved: &mut Vec<Before>, db: usize, name: &[u8]) -> bool {
    if saved.iter().any(|(of, key, _)| *of == db && **key == *name) {
        return true;
    }
    let key = core.shard.key(name);
    match core.shard.save(db, key, SAVED_MAX) {
        Ok(before) => {
            saved.push((db, name.into(), before));
            true
        }
        Err(_) => false,
    }
}

fn put_back(core: &mut Core, saved: Vec<Before>) {
    for (db, key, before) in saved.into_iter().rev() {
        let key = core.shard.key(&key);
        core.shard.put_back(db, key, before);
    }
}

/// [`save_into`] for a command of a program.
pub fn save(
    core: &mut Core,
    tx: TxId,
    db: usize,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) -> bool {
    let mut saved = core.scripting.saved.remove(&tx).unwrap_or_default();
    let done = save_into(core, &mut saved, db, entry, args);
    core.scripting.saved.insert(tx, saved);
    done
}

/// The same before the keys of a gathering command are lent.
pub fn save_part(core: &mut Core, tx: TxId, parcel: &Parcel) -> bool {
    let mut saved = core.scripting.saved.remove(&tx).unwrap_or_default();
    let args = parcel.command(0).1;
    let part = &parcel.part;
    let writes = |i: usize| {
        let place = part.places.get(i).map(|place| *place as usize);
        place.is_none_or(|place| part.writes.get(place).copied().unwrap_or(true))
    };
    let mut done = true;
    for i in (0..args.len()).filter(|i| writes(*i)) {
        for db in &part.databases {
            done = done && save_key(core, &mut saved, *db, args.get(i));
        }
    }
    core.scripting.saved.insert(tx, saved);
    done
}

/// Undoes what a program has changed here.
pub fn undo(core: &mut Core, tx: TxId) {
    core.scripting.events.remove(&tx);
    let saved = core.scripting.saved.remove(&tx).unwrap_or_default();
    put_back(core, saved);
    note_undone(core);
}

/// What undoing does to keys is nothing that has happened, but for those who wait for them.
fn note_undone(core: &mut Core) {
    core.held_events = Some(Vec::new());
    if core.shard.has_news() {
        dispatch::note_news(core);
    }
    core.held_events = None;
}

/// Keeps the events of what a program has just done here until it commits.
pub fn hold_events(core: &mut Core, tx: TxId) {
    if let Some(held) = core.held_events.take().filter(|held| !held.is_empty()) {
        core.scripting.events.entry(tx).or_default().extend(held);
    }
}

/// What a program has changed here stays.
pub fn keep(core: &mut Core, tx: TxId) {
    core.scripting.saved.remove(&tx);
    if let Some(events) = core.scripting.events.remove(&tx) {
        notify::publish_all(core, &events);
    }
}

/// Counts a program of this shard that has run for too long, or that has ended.
fn note_slow(core: &mut Core, tx: TxId, more: bool) {
    let wants = core.engine.wants_of(tx);
    let scripts = &core.process.scripts;
    let mut slow = scripts.slow();
    if more {
        core.scripting.slow += 1;
        slow.push(Slow { tx, wants });
    } else {
        core.scripting.slow -= 1;
        slow.retain(|other| other.tx != tx);
    }
    scripts.slow_count.store(slow.len(), Ordering::Relaxed);
    drop(slow);
    if more {
        scripts.slow_ever.fetch_add(1, Ordering::Release);
        core.process.aof.wake_all();
    }
}

/// Notes what such a program has locked by now.
fn note_wants(core: &mut Core, tx: TxId) {
    let wants = core.engine.wants_of(tx);
    let mut slow = core.process.scripts.slow();
    if let Some(slow) = slow.iter_mut().find(|slow| slow.tx == tx) {
        slow.wants = wants;
    }
}

/// Has commands that wait for a script learn that it has become one that runs for too long.
#[inline]
pub fn look_after(core: &mut Core) {
    let ever = core.process.scripts.slow_ever.load(Ordering::Acquire);
    if ever != core.scripting.slow_seen {
        core.scripting.slow_seen = ever;
        let ids = |slow: &Slow| slow.tx;
        let slow: Vec<TxId> = core.process.scripts.slow().iter().map(ids).collect();
        remote::look_again(core, &slow);
    }
}

/// Whether who wants this would wait for a script that runs for too long: one of this shard, or one that has
/// what is wanted.
pub fn is_in_the_way(core: &Core, want: &Want) -> bool {
    if core.scripting.slow > 0 {
        return true;
    }
    let scripts = &core.process.scripts;
    scripts.is_busy() && {
        let slow = scripts.slow();
        let mut others = core.engine.in_the_way(want);
        others.any(|tx| slow.iter().any(|slow| slow.tx == tx))
    }
}

/// The same of what is wanted on several shards: it would wait for a script that runs on one of them, or has
/// what is wanted.
pub fn are_in_the_way(core: &Core, wants: &[(ShardId, Want)]) -> bool {
    let slow = core.process.scripts.slow();
    slow.iter().any(|slow| {
        let mut wants = wants.iter();
        wants.any(|(shard, want)| {
            let mut held = slow.wants.iter();
            *shard == slow.tx.home || held.any(|(of, held)| of == shard && held.conflicts(want))
        })
    })
}

/// Answers BUSY to a command if scripts [`are_in_the_way`].
pub fn refuse(
    core: &mut Core,
    client: &Client,
    reply: &mut Reply,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) -> bool {
    if !core.process.scripts.is_busy() {
        return false;
    }
    let like = core.stock.parcel(client, reply.protocol());
    let wants = wants_of(core, &like, client.db, entry, args);
    core.stock.put_parcel(like);
    let refused = are_in_the_way(core, &wants);
    if refused {
        core.reply_error(reply, &busy());
    }
    refused
}

/// [`are_in_the_way`] of a queue.
pub fn hold_up_queue(core: &mut Core, queue: &Parcel) -> bool {
    core.process.scripts.is_busy() && {
        let wants = wants_of_queue(core, queue);
        are_in_the_way(core, &wants)
    }
}

/// The locks that a command needs.
fn wants_of(
    core: &mut Core,
    like: &Parcel,
    db: usize,
    entry: &Entry<HostHandler>,
    args: Args<'_>,
) -> Vec<(ShardId, Want)> {
    let plan = program::plan(core, like, db, entry, args);
    let wants = plan.wants();
    plan.dispose(core);
    wants
}

/// What monitors are to be told of a script's command, if there are any.
fn told(core: &Core, db: usize, entry: &Entry<HostHandler>, args: Args<'_>) -> Option<Arc<[u8]>> {
    match core.special.has(Special::MONITORED) {
        true => monitor::of_script(db, entry, args),
        false => None,
    }
}

/// What others are told while a script runs for too long.
pub fn busy() -> Error {
    Error::fixed(
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    )
}

/// The bytes of a whole reply.
fn bytes_of(reply: &Reply) -> std::borrow::Cow<'_, [u8]> {
    match reply.splices() {
        [] => reply.bytes().into(),
        _ => reply.to_vec().into(),
    }
}

/// Does what a script asks of its host beside commands.
fn answer_host(core: &Core, request: ::script::Request, run: &Machine) -> &'static [u8] {
    match request {
        ::script::Request::AclCheck => {
            let mut call = Pack::default();
            run.args().iter().for_each(|arg| call.add_bytes(arg));
            call.end();
            match core.process.table.resolve(call.command(0)) {
                Ok(_) => b":1\r\n",
                Err(_) => b"-ERR Invalid command passed to redis.acl_check_cmd()\r\n",
            }
        }
        ::script::Request::Log(level) => {
            let line = run.args().first().copied().unwrap_or_default();
            let line = String::from_utf8_lossy(line);
            match level {
                0 => log::debug!("{line}"),
                1 | 2 => log::info!("{line}"),
                _ => log::warn!("{line}"),
            }
            b"+OK\r\n"
        }
        _ => b"+OK\r\n",
    }
}

/// Where the reply to a script's command goes, in the protocol that the script wants.
fn fresh(reply: &mut Reply, protocol: Protocol) {
    reply.clear();
    reply.set_protocol(protocol);
}
