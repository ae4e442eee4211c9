//! The process around the shards: start, signals, end.

use crate::background::Background;
use crate::config::Config;
use crate::core::{Core, Process};
use crate::driver::uring::Uring;
use crate::event_loop::{EventLoop, StopSignal};
use crate::listen::{self, Address, Listener};
use crate::session;
use command::table::Table;
use glommio::{LocalExecutorBuilder, Placement};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Memory that glommio registers per executor. Shards do no direct I/O.
const EXECUTOR_MEMORY: usize = 64 << 10;

/// glommio's time slice for its tasks.
const PREEMPT: Duration = Duration::from_millis(1);

/// Starts the server and returns when it has been told to end.
pub fn run(mut config: Config) -> Result<(), String> {
    let shards = match config.shards() {
        0 => 1,
        n => n,
    };
    if shards > 1 {
        return Err(format!(
            "--shards {shards}: this version runs one shard; start it with --shards 1"
        ));
    }
    raise_descriptor_limit(&mut config);
    let listeners = listen::open(&config)?;
    let signals = block_signals();
    let wake = eventfd().map_err(|e| format!("eventfd: {e}"))?;
    let stop = StopSignal {
        requested: Arc::new(AtomicBool::new(false)),
        wake,
    };
    let process = Arc::new(describe(&config, &listeners));
    greet(&process, &listeners, shards);
    let seed = random_seed().map_err(|e| format!("no random numbers: {e}"))?;
    let (started, start) = std::sync::mpsc::channel();
    let shard = {
        let stop = stop.clone();
        LocalExecutorBuilder::new(placement())
            .name("shoal-0")
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
                let core = Core::new(config, process, seed);
                let event_loop =
                    EventLoop::new(driver, core, Background::default(), listeners, stop);
                let _ = started.send(Ok(()));
                event_loop.run().await
            })
            .map_err(|e| io_uring_error(&io::Error::other(e.to_string())))?
    };
    start
        .recv()
        .unwrap_or_else(|_| Err("the shard ended before it began".into()))?;
    log::info!("Ready to accept connections");
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || watch_signals(&signals, &stop))
        .map_err(|e| format!("thread: {e}"))?;
    match shard.join() {
        Ok(result) => result.map_err(|e| format!("event loop: {e}"))?,
        Err(e) => return Err(format!("the shard has ended: {e}")),
    }
    log::warn!("Shoal is now ready to exit, bye bye...");
    Ok(())
}

fn io_uring_error(e: &io::Error) -> String {
    format!(
        "io_uring cannot be used here: {e}. Shoal needs Linux 6.1 or newer with io_uring allowed: \
         check `sysctl kernel.io_uring_disabled` (must be 0), the seccomp profile of the container \
         (for Docker: --security-opt seccomp=unconfined, or a profile that allows io_uring_setup, \
         io_uring_enter and io_uring_register), and the limit on locked memory (`ulimit -l`)."
    )
}

/// The first processor that we may run on.
fn placement() -> Placement {
    // SAFETY: a cpu_set_t of zeros is valid, and its size is passed.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) == 0 {
            let cpus = 0..libc::CPU_SETSIZE as usize;
            if let Some(cpu) = cpus.into_iter().find(|c| libc::CPU_ISSET(*c, &set)) {
                return Placement::Fixed(cpu);
            }
        }
    }
    Placement::Unbound
}

/// Makes room for `maxclients` descriptors, or lowers `maxclients` to what there is.
fn raise_descriptor_limit(config: &mut Config) {
    /// Descriptors for everything that is not a client.
    const RESERVED: u64 = 32;
    let wanted = u64::from(config.maxclients()) + RESERVED;
    // SAFETY: the struct is valid for both calls.
    let allowed = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return;
        }
        if limit.rlim_cur < wanted {
            let hard = limit.rlim_max.max(wanted);
            let raised = libc::rlimit {
                rlim_cur: wanted,
                rlim_max: hard,
            };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                return;
            }
            let raised = libc::rlimit {
                rlim_cur: limit.rlim_max.min(wanted),
                rlim_max: limit.rlim_max,
            };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised);
            raised.rlim_cur
        } else {
            return;
        }
    };
    let clients = allowed.saturating_sub(RESERVED).max(1);
    log::warn!(
        "maxclients is lowered from {} to {clients}: the limit of open files is {allowed} \
         (`ulimit -n`, or LimitNOFILE of the unit)",
        config.maxclients()
    );
    if let Err(e) = config.settle("maxclients", clients.to_string().as_bytes()) {
        log::warn!("maxclients: {e}");
    }
}

fn describe(config: &Config, listeners: &[Listener]) -> Process {
    let mut run_id = String::with_capacity(40);
    let mut bytes = [0u8; 20];
    let _ = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    for b in bytes {
        run_id.push_str(&format!("{b:02x}"));
    }
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Process {
        table: Table::new(command::FAMILIES, command::CONTAINERS, session::rows()),
        run_id,
        started_ms: now.as_millis() as i64,
        executable: std::env::current_exe()
            .map(|p| p.display().to_string())
            .unwrap_or_default(),
        port: config.port(),
        listeners: listeners.iter().map(describe_listener).collect(),
    }
}

fn describe_listener(listener: &Listener) -> String {
    match &listener.address {
        Address::Tcp(a) => format!("name=tcp,bind={},port={}", a.ip(), a.port()),
        Address::Unix(path) => format!("name=unix,bind={path}"),
    }
}

fn greet(process: &Process, listeners: &[Listener], shards: usize) {
    log::info!(
        "Shoal {} is starting: {shards} shard{}, pid {}",
        env!("CARGO_PKG_VERSION"),
        if shards == 1 { "" } else { "s" },
        std::process::id()
    );
    for listener in listeners {
        match &listener.address {
            Address::Tcp(a) => log::info!("Listening on {a}"),
            Address::Unix(path) => log::info!("Listening on {path}"),
        }
    }
    let dir = std::env::current_dir().unwrap_or_default();
    log::info!("Files go to {}", dir.display());
    log::debug!("Run id {}", process.run_id);
}

fn random_seed() -> io::Result<[u64; 4]> {
    let mut bytes = [0u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut seed = [0; 4];
    for (word, chunk) in seed.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().fold(0, |w, b| w << 8 | u64::from(*b));
    }
    Ok(seed)
}

fn eventfd() -> io::Result<i32> {
    // SAFETY: makes a new descriptor.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
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
fn watch_signals(set: &libc::sigset_t, stop: &StopSignal) {
    loop {
        let mut signal = 0;
        // SAFETY: both pointers are valid.
        if unsafe { libc::sigwait(set, &raw mut signal) } != 0 {
            continue;
        }
        let name = if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" };
        if stop.requested.swap(true, Ordering::AcqRel) {
            log::warn!("Received {name} again: ending at once");
            // SAFETY: ends the process; that nothing runs any more is the purpose.
            unsafe { libc::_exit(1) };
        }
        log::warn!("Received {name} scheduling shutdown...");
        let one = 1u64.to_ne_bytes();
        // SAFETY: the bytes outlive the call.
        unsafe { libc::write(stop.wake, one.as_ptr().cast(), one.len()) };
    }
}
