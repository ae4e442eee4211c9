//! The process around the shards: start, signals, end.

use crate::aof::turn::Message;
use crate::aof::{Place, REPLAYING, replay, writer};
use crate::background::Background;
use crate::config::{Config, LoadError, Supervised};
use crate::control::Control;
use crate::core::{Arrival, CommandTable, Core, Process, Request};
use crate::daemon::{Daemon, Supervisor};
use crate::descriptors;
use crate::driver::uring::Uring;
use crate::event_loop::{EventLoop, StopSignal};
use crate::listen::{self, Address, Listener, Listeners};
use crate::loading::{self, Brought, Plan};
use crate::remote;
use crate::session;
use crate::title;
use crate::wake::Wake;
use command::table::{Rename, Table};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

/// Memory that glommio registers per executor. Shards do no direct I/O.
const EXECUTOR_MEMORY: usize = 64 << 10;

/// glommio's time slice for its tasks. The loop does not depend on it, and it has to be long: an
/// executor whose slice is over before its first task has run takes itself for idle, and sleeps with
/// nothing to wake it.
pub const PREEMPT: Duration = Duration::from_secs(10);

/// Sizes of the links between shards.
pub const LINKS: mesh::Limits = mesh::Limits {
    ring: 1024,
    outbox: 4096,
};

/// How long the start waits for a port in use: the port of a server that was killed stays bound for
/// a moment, because the kernel takes its rings apart after the process has gone.
const PORT_PATIENCE: Duration = Duration::from_secs(1);

/// Where the process id of a server in the background goes without a `pidfile`.
const PIDFILE: &str = "/var/run/redis.pid";

type Shard = ExecutorJoinHandle<io::Result<()>>;

/// Starts the server and returns when it has been told to end. `daemon` is there if it runs in the
/// background.
pub fn run(
    mut config: Config,
    supervisor: Supervisor,
    daemon: &mut Option<Daemon>,
) -> Result<(), String> {
    let shards = shards(&config);
    let table = table(&config).map_err(|e| e.to_string())?;
    fit_clients(&mut config);
    let listeners = listen::open(&config, PORT_PATIENCE)?;
    let leftovers = Leftovers::new(&mut config, daemon.is_some(), &listeners);
    let signals = block_signals();
    let wakes: io::Result<Vec<Wake>> = (0..shards).map(|_| Wake::new()).collect();
    let wakes = wakes.map_err(|e| format!("eventfd: {e}"))?;
    let requested = Arc::new(AtomicBool::new(false));
    let known = Listeners::new(&listeners).map_err(|e| format!("listening sockets: {e}"))?;
    let control = Control::new(config.clone(), known);
    let process = Arc::new(describe(table, supervisor, shards, control)?);
    greet(&config, &listeners, shards);
    warn(&config, supervisor);
    title::show(&config);
    // Before the first connection is taken: who can connect can rely on it.
    leftovers.write_pid();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn({
            let (process, wakes) = (Arc::clone(&process), wakes.clone());
            move || watch_signals(&signals, &process.signal, &wakes)
        })
        .map_err(|e| format!("thread: {e}"))?;
    let begun = begin(config, &process, listeners, &wakes, &requested);
    let (running, log) = begun.inspect_err(|_| leftovers.remove())?;
    let Some(log) = log else {
        // It was told to end while it was loading.
        join(running)?;
        leftovers.remove();
        return Ok(());
    };
    log::info!("Ready to accept connections");
    supervisor.ready();
    if let Some(daemon) = daemon.take() {
        daemon.ready().map_err(|e| format!("/dev/null: {e}"))?;
    }
    let ended = join(running);
    supervisor.stopping();
    leftovers.remove();
    let save = process.snapshots.last();
    if let Some(save) = save.as_ref().filter(|_| ended.is_err()) {
        save.abandon();
    }
    ended?;
    process.aof.post(Message::End);
    if log.join().is_err() {
        return Err("the thread of the log has ended".into());
    }
    if let Some(save) = save {
        save.wait()
            .map_err(|e| format!("saving the final dump: {e}"))?;
    }
    log::warn!("Shoal is now ready to exit, bye bye...");
    Ok(())
}

/// Waits for all shards to end; says how the first one has failed that did.
fn join(running: Vec<Shard>) -> Result<(), String> {
    let ended = running.into_iter().map(|shard| match shard.join() {
        Ok(result) => result.map_err(|e| format!("event loop: {e}")),
        Err(e) => Err(format!("a shard has ended: {e}")),
    });
    let ended: Vec<_> = ended.collect();
    ended.into_iter().collect()
}

/// Starts the shards and loads what there is; they serve when this returns. Answers the thread of the log too,
/// unless the server was told to end.
fn begin(
    config: Config,
    process: &Arc<Process>,
    listeners: Vec<Listener>,
    wakes: &[Wake],
    requested: &Arc<AtomicBool>,
) -> Result<(Vec<Shard>, Option<JoinHandle<()>>), String> {
    process.aof.set_wakes(wakes);
    process.aof.state().enabled = config.appendonly();
    process.aof.set_fsync(config.appendfsync());
    let place = Place::of(&config);
    let mut found = replay::find(&config, place.clone())?;
    let source = replay::source(&config, found.as_ref());
    let replays = found.as_ref().is_some_and(replay::Found::may_have_commands);
    let (mut socket, mut arrival) = (None, None);
    // With a log nobody is served before it can be written.
    let loads = replays || source.is_some() || config.appendonly();
    if loads {
        process.aof.phase.store(REPLAYING, Ordering::SeqCst);
    }
    if replays {
        let (ours, theirs) = replay::connection().map_err(|e| format!("socket: {e}"))?;
        (socket, arrival) = (Some(ours), Some(theirs));
    }
    let mut plan = Plan::new(&config, wakes.len());
    if replays {
        plan = plan.of_base();
    }
    let (feeds, brought) = loading::channels(wakes.len());
    let running = start_shards(
        config, process, listeners, wakes, requested, brought, arrival,
    )?;
    let progress = &process.progress;
    progress.begin(replay::bytes(source.as_deref(), found.as_ref()));
    let load = || {
        let path = source.as_deref();
        let loaded = loading::load(&plan, path, &process.scripts, progress, feeds)?;
        if let Some(loaded) = loaded {
            let mut state = process.snapshots.state();
            (state.loaded, state.expired) = (loaded.keys, loaded.expired);
            if let Some(found) = &mut found {
                found.note_base(loaded.end);
            }
        }
        // Commands come behind the keys.
        while loads && process.aof.loaded.load(Ordering::SeqCst) < wakes.len() {
            if requested.load(Ordering::Acquire) {
                return Err("the server ends".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        match found {
            None => writer::start(process, place, None).map_err(|e| format!("thread: {e}")),
            Some(found) => found.replay(process, socket),
        }
    };
    match load() {
        Ok(log) => {
            if loads {
                replay::end(&process.aof);
            }
            Ok((running, Some(log)))
        }
        Err(_) if requested.load(Ordering::Acquire) => Ok((running, None)),
        Err(why) => {
            // The shards run already.
            requested.store(true, Ordering::Release);
            wakes.iter().for_each(Wake::ring);
            let _ = join(running);
            Err(why)
        }
    }
}

/// The commands, under the names that the configuration gives them.
pub fn table(config: &Config) -> Result<CommandTable, LoadError> {
    let renames: Vec<Rename<'_>> = config
        .renames()
        .iter()
        .map(|r| Rename {
            from: &r.from,
            to: &r.to,
        })
        .collect();
    Table::renamed(
        command::FAMILIES,
        command::CONTAINERS,
        session::rows(),
        &renames,
    )
    .map_err(|bad| LoadError::at(config.renames()[bad.index].origin.clone(), bad.reason))
}

/// How many shards there are: as configured, or one for each core that the process may use.
pub fn shards(config: &Config) -> usize {
    match config.shards() {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        shards => shards,
    }
}

/// Starts the threads of the shards; returns when all serve, or one cannot. The first one listens.
fn start_shards(
    config: Config,
    process: &Arc<Process>,
    listeners: Vec<Listener>,
    wakes: &[Wake],
    requested: &Arc<AtomicBool>,
    brought: Vec<Receiver<Brought>>,
    mut arrival: Option<Arrival>,
) -> Result<Vec<Shard>, String> {
    // glommio panics where it cannot have a ring.
    io_uring::IoUring::new(2).map_err(|e| io_uring_error(&e))?;
    let seed = random().map_err(|e| format!("no random numbers: {e}"))?;
    let seed = seed.map(u64::from_ne_bytes);
    let mut listeners = Some(listeners);
    let mut shards = Vec::new();
    for (node, brought) in mesh::connect(wakes.len(), LINKS).into_iter().zip(brought) {
        let stop = StopSignal {
            requested: Arc::clone(requested),
            wake: wakes[node.core()].clone(),
        };
        let start = Start {
            config: config.clone(),
            process: Arc::clone(process),
            listeners: listeners.take().unwrap_or_default(),
            peers: wakes.to_vec(),
            stop,
            node,
            seed,
            brought,
            arrival: arrival.take(),
        };
        shards.push(start_shard(start)?);
    }
    Ok(shards)
}

/// What the thread of a shard begins with.
struct Start {
    config: Config,
    process: Arc<Process>,
    listeners: Vec<Listener>,
    /// What wakes each shard.
    peers: Vec<Wake>,
    stop: StopSignal,
    node: remote::Node,
    seed: [u64; 4],
    /// Keys that are loaded.
    brought: Receiver<Brought>,
    /// The client that executes the log.
    arrival: Option<Arrival>,
}

/// Starts the thread of a shard; returns when it is there, or cannot be.
fn start_shard(start: Start) -> Result<Shard, String> {
    let Start {
        config,
        process,
        listeners,
        peers,
        stop,
        node,
        seed,
        brought,
        arrival,
    } = start;
    let (started, start) = std::sync::mpsc::channel();
    let shard = LocalExecutorBuilder::new(placement())
        .name(&format!("shoal-{}", node.core()))
        .io_memory(EXECUTOR_MEMORY)
        .preempt_timer(PREEMPT)
        .spawn(move || async move {
            let driver = match Uring::new() {
                Ok(driver) => driver,
                Err(e) => {
                    let _ = started.send(Err(io_uring_error(&e)));
                    return Ok(());
                }
            };
            let mut core = Core::new(config, process, stop.wake.clone(), node, seed);
            let _ = started.send(Ok(()));
            if core.loading {
                core.settings.repeats = true;
                core.brought = Some(brought);
            }
            if let Some(arrival) = arrival {
                core.process.connections[core.me].fetch_add(1, Ordering::Relaxed);
                core.requests.push(Request::Adopt(arrival));
            }
            let background = Background::default();
            let event_loop = EventLoop::new(driver, core, background, listeners, stop, peers);
            event_loop.run().await
        })
        .map_err(|e| io_uring_error(&io::Error::other(e.to_string())))?;
    start
        .recv()
        .unwrap_or_else(|_| Err("the shard ended before it began".into()))?;
    Ok(shard)
}

fn io_uring_error(e: &io::Error) -> String {
    format!(
        "io_uring cannot be used here: {e}. Shoal needs Linux 6.1 or newer with io_uring allowed: \
         check `sysctl kernel.io_uring_disabled` (must be 0), the seccomp profile of the container \
         (for Docker: --security-opt seccomp=unconfined, or a profile that allows io_uring_setup, \
         io_uring_enter and io_uring_register), and the limit on locked memory (`ulimit -l`)."
    )
}

/// Where a shard runs: wherever the scheduler puts it. Servers that share a machine would all
/// pin themselves to its first core, and under Debian's unit for Redis the system call is forbidden;
/// who wants a certain core says so with `taskset` or `CPUAffinity=`.
fn placement() -> Placement {
    Placement::Unbound
}

/// Makes room for `maxclients` descriptors, or lowers `maxclients` to what there is.
fn fit_clients(config: &mut Config) {
    let Err(refused) = descriptors::make_room(config.maxclients()) else {
        return;
    };
    let clients = refused.clients();
    log::warn!(
        "maxclients is lowered from {} to {clients}: the limit of open files is {} \
         (`ulimit -n`, or LimitNOFILE of the unit)",
        config.maxclients(),
        refused.limit
    );
    if let Err(e) = config.settle("maxclients", clients.to_string().as_bytes()) {
        log::warn!("maxclients: {e}");
    }
}

fn describe(
    table: CommandTable,
    supervisor: Supervisor,
    shards: usize,
    control: Control,
) -> Result<Process, String> {
    let bytes: [[u8; 4]; 5] = random().map_err(|e| format!("no random numbers: {e}"))?;
    let mut run_id = String::with_capacity(40);
    for b in bytes.as_flattened() {
        let _ = write!(run_id, "{b:02x}");
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Process {
        run_id,
        started_ms: now.as_millis() as i64,
        executable: std::env::current_exe()
            .map(|p| p.display().to_string())
            .unwrap_or_default(),
        supervised: supervisor.name(),
        ..Process::new(table, control, shards)
    })
}

fn greet(config: &Config, listeners: &[Listener], shards: usize) {
    log::info!(
        "Shoal {}, a Redis-compatible server: {shards} shard{}, pid {}",
        env!("CARGO_PKG_VERSION"),
        if shards == 1 { "" } else { "s" },
        std::process::id()
    );
    match config.file() {
        Some(path) => log::info!("Configured by {}", path.display()),
        None => log::info!("Configured by the command line alone: shoal /path/to/shoal.conf"),
    }
    for listener in listeners {
        match &listener.address {
            Address::Tcp(a) => log::info!("Listening on {a}"),
            Address::Unix(path) => log::info!("Listening on {path}"),
        }
    }
    log::info!("Files go to {}", config.dir().display());
}

/// Says what the user may not expect.
fn warn(config: &Config, supervisor: Supervisor) {
    let asked = matches!(
        config.supervised(),
        Supervised::Systemd | Supervised::Upstart
    );
    if asked && supervisor == Supervisor::Nobody {
        log::warn!("supervised: no supervisor has left its address in the environment");
    }
}

/// Random bytes of the system.
fn random<const N: usize, const M: usize>() -> io::Result<[[u8; N]; M]> {
    let mut bytes = [[0; N]; M];
    std::fs::File::open("/dev/urandom")?.read_exact(bytes.as_flattened_mut())?;
    Ok(bytes)
}

/// Files that tell of a running server and go with it.
struct Leftovers {
    pidfile: Option<PathBuf>,
    sockets: Vec<PathBuf>,
}

impl Leftovers {
    fn new(config: &mut Config, in_background: bool, listeners: &[Listener]) -> Leftovers {
        if in_background
            && config.pidfile().is_none()
            && let Err(e) = config.settle("pidfile", PIDFILE.as_bytes())
        {
            log::warn!("pidfile: {e}");
        }
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.into());
        let sockets = listeners.iter().filter_map(|l| match &l.address {
            Address::Unix(path) => Some(absolute(Path::new(path))),
            Address::Tcp(_) => None,
        });
        Leftovers {
            pidfile: config.pidfile().map(absolute),
            sockets: sockets.collect(),
        }
    }

    fn write_pid(&self) {
        let Some(path) = &self.pidfile else {
            return;
        };
        if let Err(e) = std::fs::write(path, format!("{}\n", std::process::id())) {
            log::warn!("Failed to write PID file {}: {e}", path.display());
        }
    }

    fn remove(&self) {
        for path in self.pidfile.iter().chain(&self.sockets) {
            if let Err(e) = std::fs::remove_file(path)
                && e.kind() != io::ErrorKind::NotFound
            {
                log::warn!("Failed to remove {}: {e}", path.display());
            }
        }
    }
}

/// Blocks the signals that end the server in all threads, so that one of them can wait for them.
fn block_signals() -> libc::sigset_t {
    // SAFETY: plain system calls on a set of ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        set
    }
}

/// The first signal asks the shards to end, the second ends the process.
fn watch_signals(set: &libc::sigset_t, asked: &AtomicI32, wakes: &[Wake]) {
    loop {
        let mut signal = 0;
        // SAFETY: both pointers are valid.
        if unsafe { libc::sigwait(set, &raw mut signal) } != 0 {
            continue;
        }
        let name = match signal {
            libc::SIGINT => "SIGINT",
            _ => "SIGTERM",
        };
        if asked.swap(signal, Ordering::AcqRel) != 0 {
            log::warn!("Received {name} again: ending at once");
            // SAFETY: ends the process; that nothing runs any more is the purpose.
            unsafe { libc::_exit(1) };
        }
        log::warn!("Received {name} scheduling shutdown...");
        wakes.iter().for_each(Wake::ring);
    }
}
