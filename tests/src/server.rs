//! A server of one's own: started on a free port in an empty directory, killed when dropped.

use crate::connection::Connection;
use crate::seed::Seed;
use crate::value::Value;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a server may take to answer its first PING, on a machine that is busy compiling.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// As many shards as tests take for "several": odd, so that nothing works by halves, and enough that
/// two keys are mostly apart.
pub const SEVERAL: usize = 3;

/// How often a port that somebody else took between our look and the server's bind is replaced.
const PORT_TRIES: usize = 5;

/// Which server to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// The one being judged: Shoal, or what `SHOAL_TEST_SERVER` names.
    Judged,
    /// Debian's `redis-server` 7.0, or what `SHOAL_TEST_REDIS` names.
    Redis7,
    /// Redis 8 as `bench/peers` unpacks it.
    Redis8,
    /// Valkey 9 as `bench/peers` unpacks it.
    Valkey,
}

impl Program {
    /// Where the program is, or what to do to have it.
    pub fn path(self) -> Result<PathBuf, String> {
        match self {
            Program::Judged => judged(),
            Program::Redis7 => {
                let path = std::env::var_os("SHOAL_TEST_REDIS").map(PathBuf::from);
                path.or_else(|| on_path("redis-server"))
                    .ok_or("redis-server 7.0 is not installed: run tests/install".to_owned())
            }
            Program::Redis8 => peer("redis-server"),
            Program::Valkey => peer("valkey-server"),
        }
    }

    /// Whether this is Shoal, which takes options that Redis does not know.
    pub fn is_shoal(self) -> bool {
        let name = |path: PathBuf| path.file_name().is_some_and(|n| n == "shoal");
        self == Program::Judged && self.path().is_ok_and(name)
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Where `bench/peers` puts its servers: `PEERS_DIR`, or below the checkout.
pub fn peers() -> PathBuf {
    match std::env::var_os("PEERS_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
    }
}

fn peer(name: &str) -> Result<PathBuf, String> {
    let path = peers().join("bin").join(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(format!(
            "{} does not exist: run bench/peers",
            path.display()
        )),
    }
}

fn judged() -> Result<PathBuf, String> {
    if let Some(name) = std::env::var_os("SHOAL_TEST_SERVER") {
        let path = PathBuf::from(&name);
        return if path.is_file() {
            Some(path)
        } else {
            on_path(&name.to_string_lossy())
        }
        .ok_or(format!("SHOAL_TEST_SERVER: no program {name:?}"));
    }
    let path = target_directory().join("shoal");
    match path.is_file() {
        true => Ok(path),
        false => Err(format!(
            "{} does not exist: run cargo build",
            path.display()
        )),
    }
}

/// `target/debug` or `target/release`: where the running test was built to.
fn target_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a program knows its own path");
    let deps = test.parent().expect("a program is in a directory");
    match deps.file_name() {
        Some(name) if name == "deps" => deps.parent().expect("deps has a parent").to_owned(),
        _ => deps.to_owned(),
    }
}

/// A program and its directives, not yet started.
#[derive(Clone, Debug)]
pub struct Setup {
    program: Program,
    shards: usize,
    file: Option<PathBuf>,
    directives: Vec<(String, Vec<String>)>,
    environment: Vec<(String, String)>,
    descriptors: Option<u64>,
    interrupted: bool,
    early: bool,
}

impl Setup {
    /// A variable of its environment.
    pub fn environment(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The most files and sockets that it may open.
    pub fn descriptors(mut self, most: u64) -> Setup {
        self.descriptors = Some(most);
        self
    }

    /// A configuration file; what the harness needs is given behind it and overrides it.
    pub fn file(mut self, path: &Path) -> Setup {
        self.file = Some(path.to_owned());
        self
    }

    /// A directive of the configuration file; several words are separated by spaces.
    pub fn with(mut self, name: &str, value: &str) -> Setup {
        self.directives
            .push((name.to_owned(), vec![value.to_owned()]));
        self
    }

    /// A directive whose value is several words on the command line.
    pub fn with_words(mut self, name: &str, words: &[&str]) -> Setup {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        self.directives.push((name.to_owned(), words));
        self
    }

    /// Stops and continues the process over and over while it starts, as a machine does that has too
    /// much to do.
    pub fn interrupted(mut self) -> Setup {
        self.interrupted = true;
        self
    }

    /// It counts as started when it answers anything, and not when it has loaded what there is.
    pub fn early(mut self) -> Setup {
        self.early = true;
        self
    }

    /// On how many shards Shoal is to run, one unless said; the others have one thread anyway.
    pub fn shards(mut self, shards: usize) -> Setup {
        self.shards = shards;
        self
    }

    /// On how many it will run.
    pub fn shard_count(&self) -> usize {
        self.shards
    }

    pub fn start(self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(why) => panic!("{why}"),
        }
    }

    /// Starts the server and waits until it answers. The error holds what it logged.
    pub fn try_start(self) -> Result<Server, String> {
        let program = self.program.path()?;
        let directory = Directory::new().map_err(|e| format!("no temporary directory: {e}"))?;
        let mut why = String::new();
        for _ in 0..PORT_TRIES {
            let port = free_port().map_err(|e| format!("no free port: {e}"))?;
            let mut child = self
                .command(&program, &directory.0, port)
                .spawn()
                .map_err(|e| format!("{}: {e}", program.display()))?;
            let interruption = self.interrupted.then(|| Interruption::of(child.id()));
            let answer = answers(&mut child, port, self.early);
            drop(interruption);
            match answer {
                Ok(()) => {
                    return Ok(Server {
                        child,
                        port,
                        directory,
                        setup: self,
                    });
                }
                Err(reason) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    let log = fs::read_to_string(directory.0.join("log")).unwrap_or_default();
                    why = format!("{} {reason}\n{log}", program.display());
                    if !log.to_lowercase().contains("address already in use") {
                        break;
                    }
                }
            }
        }
        Err(why)
    }

    fn command(&self, program: &Path, directory: &Path, port: u16) -> Command {
        let log = File::create(directory.join("log")).expect("a log file can be made");
        let mut command = Command::new(program);
        command.args(&self.file);
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ]);
        command.arg("--dir").arg(directory);
        command.arg("--unixsocket").arg(directory.join("socket"));
        command.args(["--enable-debug-command", "yes"]);
        if self.program.is_shoal() {
            command.args(["--shards", &self.shards.to_string()]);
            // Everything can be tested with a log, too.
            if let Ok(fsync) = std::env::var("SHOAL_TEST_LOG") {
                command.args(["--appendonly", "yes", "--appendfsync", &fsync]);
            }
        }
        for (name, words) in &self.directives {
            command.arg(format!("--{name}")).args(words);
        }
        command.stdin(std::process::Stdio::null());
        command
            .stdout(log.try_clone().expect("a file can be duplicated"))
            .stderr(log);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let descriptors = self.descriptors;
        // SAFETY: prctl and setrlimit are plain system calls, which may be made between fork and
        // exec, and they touch nothing of the parent's memory.
        unsafe {
            command.pre_exec(move || {
                // A test that is killed drops nothing; its servers must not outlive it.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if let Some(most) = descriptors {
                    let limit = libc::rlimit {
                        rlim_cur: most,
                        rlim_max: most,
                    };
                    libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
                }
                Ok(())
            });
        }
        command
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Waits until the child itself, and not somebody else on the port, answers PING.
fn answers(child: &mut Child, port: u16, early: bool) -> Result<(), String> {
    let start = Instant::now();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    while start.elapsed() < START_PATIENCE {
        let status = child
            .try_wait()
            .map_err(|e| format!("cannot be watched: {e}"))?;
        if let Some(status) = status {
            return Err(format!("ended at its start: {status}"));
        }
        if let Ok(mut connection) = Connection::tcp(address)
            && connection.send(&["PING"]).is_ok()
            && let Ok(answer @ (Value::Simple(_) | Value::Error(_))) = connection.try_read()
            && (early || !answer.to_string().contains("LOADING"))
        {
            match child.try_wait() {
                Ok(None) => return Ok(()),
                _ => continue,
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(format!("did not answer PING for {START_PATIENCE:?}"))
}

/// A thread that stops and continues a process over and over. Time passes for the
/// kernel meanwhile, so that the process finds timers expired wherever it was.
pub struct Interruption {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Interruption {
    fn of(pid: u32) -> Interruption {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut seed = Seed::new(u64::from(pid));
            while !seen.load(Ordering::Relaxed) {
                // Short runs meet every line of what it does; a stop outlasts the time slice that the
                // server gives itself.
                for (signal, micros) in [(libc::SIGSTOP, 1500), (libc::SIGCONT, 10)] {
                    // SAFETY: the owner of the process waits for this thread before it lets the
                    // process go, so the id is still its own.
                    unsafe { libc::kill(pid as libc::pid_t, signal) };
                    let more = seed.below(100) as u64;
                    std::thread::sleep(Duration::from_micros(micros + more));
                }
            }
        });
        Interruption {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Interruption {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A directory that goes away with its owner.
#[derive(Debug)]
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> io::Result<Directory> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("shoal-test-{}-{n}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    directory: Directory,
    setup: Setup,
}

impl Server {
    pub fn setup(program: Program) -> Setup {
        Setup {
            program,
            shards: 1,
            file: None,
            directives: Vec::new(),
            environment: Vec::new(),
            descriptors: None,
            interrupted: false,
            early: false,
        }
    }

    /// The server being judged, with nothing but defaults.
    pub fn start() -> Server {
        Server::setup(Program::Judged).start()
    }

    pub fn connect(&self) -> Connection {
        match self.try_connect() {
            Ok(connection) => connection,
            Err(e) => panic!("cannot connect: {e}\n{}", self.log()),
        }
    }

    pub fn try_connect(&self) -> io::Result<Connection> {
        Connection::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    pub fn connect_unix(&self) -> Connection {
        Connection::unix(&self.directory().join("socket")).expect("the unix socket accepts")
    }

    /// A connection that has switched to the protocol.
    pub fn connect_as(&self, protocol: u8) -> Connection {
        let mut connection = self.connect();
        if protocol != 2 {
            let hello = connection.call(&["HELLO", &protocol.to_string()]);
            assert!(!hello.is_error(), "HELLO {protocol}: {hello}");
        }
        connection
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its files go; `log` is its output, `socket` its unix socket.
    pub fn directory(&self) -> &Path {
        &self.directory.0
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory().join("log")).unwrap_or_default()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid())).expect("it runs");
        let pages = statm
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse::<u64>().ok());
        // SAFETY: sysconf only reads.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        pages.expect("statm has a second field") * page as u64
    }

    /// Whether the process still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the id is its own.
        let sent = unsafe { libc::kill(self.pid() as libc::pid_t, signal) };
        assert_eq!(sent, 0, "the server is gone\n{}", self.log());
    }

    /// Stops and continues the process until the result is dropped.
    pub fn interrupt(&self) -> Interruption {
        Interruption::of(self.pid())
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }

    /// The names of its commands in lower case, subcommands as `config|get`; none if it cannot
    /// tell.
    pub fn commands(&self) -> Vec<String> {
        match self.connect().call(&["COMMAND", "LIST"]) {
            Value::Array(names) => names.iter().map(|n| n.string().to_lowercase()).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it has the command, so that a suite can leave out what is not there yet.
    pub fn has(&self, command: &str) -> bool {
        let command = command.to_lowercase();
        self.commands().contains(&command)
    }

    /// How it was set up, to start another of the kind.
    pub fn same_setup(&self) -> Setup {
        self.setup.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            eprintln!("the server had ended: {status}\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Repeats a look until it shows something, for at most a minute. `what` names it in the panic.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "waited a minute for {what}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
