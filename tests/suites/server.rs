//! The process: how it starts, what it says, how it ends.

use crate::judged;
use harness::server::{Directory, until};
use harness::{Program, Value, scaled};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::Duration;

/// Runs the program itself, which is expected to end.
fn run(arguments: &[&str]) -> Output {
    let program = Program::Judged.path().expect("the server is built");
    Command::new(program)
        .args(arguments)
        .output()
        .expect("it runs")
}

#[test]
fn version_and_help() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert!(!version.stdout.is_empty());
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--port"));
}

#[test]
fn an_unknown_option_is_refused() {
    let output = run(&["--no-such-directive", "1"]);
    assert!(!output.status.success());
    let said = [output.stdout, output.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("no-such-directive"));
}

#[test]
fn a_port_in_use_is_said_so() {
    let server = judged::start();
    let port = server.port().to_string();
    let output = run(&["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).to_lowercase();
    assert!(said.contains("address already in use"), "{said}");
    assert!(said.contains(&port), "{said}");
}

/// Both signals end it cleanly: status 0, sockets gone.
#[test]
fn signals_end_it() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut server = judged::start();
        let mut connection = server.connect();
        assert_eq!(connection.line("SET k v"), Value::ok());
        server.signal(signal);
        let status = server.wait();
        assert_eq!(status.code(), Some(0), "signal {signal}\n{}", server.log());
        assert_eq!(connection.line("PING"), Value::Closed);
        assert!(
            !server.directory().join("socket").exists(),
            "the unix socket is left behind"
        );
    }
}

#[test]
fn shutdown_ends_it() {
    let mut server = judged::start();
    if !server.has("shutdown") {
        return println!("skipped: no SHUTDOWN");
    }
    let mut connection = server.connect();
    connection.send(&["SHUTDOWN", "NOSAVE"]).expect("sent");
    assert_eq!(connection.read(), Value::Closed);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
}

#[test]
fn a_pidfile_is_written_and_removed() {
    let directory = Directory::new().expect("a directory");
    let path = directory.0.join("server.pid");
    let setup = judged::setup().with("pidfile", &path.to_string_lossy());
    let mut server = setup.start();
    let written = fs::read_to_string(&path).expect("a pidfile");
    assert_eq!(written.trim(), server.pid().to_string());
    server.signal(libc::SIGTERM);
    server.wait();
    assert!(!path.exists(), "the pidfile is left behind");
}

#[test]
fn the_log_goes_where_it_is_told_and_survives_rotation() {
    let directory = Directory::new().expect("a directory");
    let path = directory.0.join("server.log");
    let setup = judged::setup().with("logfile", &path.to_string_lossy());
    let server = setup.start();
    until("the log to say that it is ready", || {
        let log = fs::read_to_string(&path).expect("a log");
        log.contains("Ready to accept connections").then_some(())
    });
    fs::rename(&path, directory.0.join("server.log.1")).expect("rotated");
    let mut connection = server.connect();
    until("a line in the new log", || {
        assert_eq!(connection.line("DEBUG LOG rotated"), Value::ok());
        fs::read_to_string(&path)
            .is_ok_and(|log| log.contains("rotated"))
            .then_some(())
    });
}

#[test]
fn loglevel_holds_back_what_is_below() {
    let quiet = judged::setup().with("loglevel", "warning").start();
    let usual = judged::setup().with("loglevel", "notice").start();
    until("the usual one to say that it is ready", || {
        usual
            .log()
            .contains("Ready to accept connections")
            .then_some(())
    });
    assert!(!quiet.log().contains("Ready to accept"), "{}", quiet.log());
}

/// One client's crash, if there were one, would be everybody's; so a server that was ended the hard
/// way starts again in the same directory.
#[test]
fn it_starts_again_after_it_was_killed() {
    let mut first = judged::start();
    first.signal(libc::SIGKILL);
    first.wait();
    let path = first.directory().to_string_lossy().into_owned();
    assert!(
        first.directory().join("socket").exists(),
        "what a kill leaves behind"
    );
    let socket = format!("{path}/socket");
    let second = judged::setup()
        .with("dir", &path)
        .with("unixsocket", &socket)
        .start();
    assert_eq!(
        second.connect().line("PING"),
        Value::Simple(b"PONG".to_vec())
    );
}

/// Under systemd the server tells when it is ready; Debian's unit file relies on that.
#[test]
fn systemd_is_told_when_it_is_ready() {
    let directory = Directory::new().expect("a directory");
    let path = directory.0.join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    let server = judged::setup()
        .with("supervised", "systemd")
        .environment("NOTIFY_SOCKET", &path.to_string_lossy())
        .start();
    let mut said = String::new();
    while !said.contains("READY=1") {
        let mut buffer = [0; 4096];
        let length = socket
            .recv(&mut buffer)
            .unwrap_or_else(|e| panic!("{e}\n{}", server.log()));
        said.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

/// The parent ends when the child has started, whose id is in the pidfile.
#[test]
fn it_goes_into_the_background() {
    let directory = Directory::new().expect("a directory");
    let file = |name: &str| directory.0.join(name).to_string_lossy().into_owned();
    let port = harness::server::free_port().expect("a port");
    let output = run(&[
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--daemonize",
        "yes",
        "--dir",
        &directory.0.to_string_lossy(),
        "--pidfile",
        &file("pid"),
        "--logfile",
        &file("log"),
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let pid: i32 = until("a pidfile", || {
        fs::read_to_string(file("pid")).ok()?.trim().parse().ok()
    });
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut connection = until("it to listen", || harness::Connection::tcp(address).ok());
    assert_eq!(connection.line("PING"), Value::Simple(b"PONG".to_vec()));
    // SAFETY: the process has just answered, and nobody else ends it.
    unsafe { libc::kill(pid, libc::SIGTERM) };
    assert_eq!(connection.read(), Value::Closed);
    until("the pidfile to be removed", || {
        fs::metadata(file("pid")).is_err().then_some(())
    });
}

/// Containers often forbid io_uring. There is no other way to start yet, so the message has to say
/// what is wrong and what to do.
#[test]
fn without_io_uring_it_says_what_to_do() {
    if !Program::Judged.is_shoal() {
        return println!("skipped: not Shoal");
    }
    let program = Program::Judged.path().expect("the server is built");
    let mut command = Command::new(program);
    command.args(["--port", "0", "--save", ""]);
    // SAFETY: prctl is a plain system call, the filter lives until exec.
    unsafe { command.pre_exec(forbid_io_uring) };
    let output = command.output().expect("it runs");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("io_uring"), "{said}");
    assert!(
        said.contains("seccomp") || said.contains("io_uring_disabled"),
        "{said}"
    );
}

/// A seccomp filter that refuses `io_uring_setup`, as Docker's default one does.
fn forbid_io_uring() -> std::io::Result<()> {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(IF_EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the pointers are to locals that outlive the calls.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) != 0
    };
    if refused {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A process may be stopped anywhere, by a debugger or by a machine that has too much to do, and finds
/// its timers expired afterwards. It must not take that for having nothing to do, and sleep.
#[test]
fn it_starts_however_it_is_interrupted() {
    for _ in 0..scaled(10) {
        let server = judged::setup().interrupted().start();
        assert_eq!(server.connect().line("SET k v"), Value::ok());
    }
}

#[test]
fn it_serves_however_it_is_interrupted() {
    let server = judged::start();
    let mut connection = server.connect();
    let interruption = server.interrupt();
    for round in 0..scaled(50) {
        // Work that is done bit by bit besides the requests, and requests meanwhile.
        let populate = connection.line("DEBUG POPULATE 20000");
        assert_eq!(populate, Value::ok(), "round {round}");
        assert_eq!(
            connection.line("FLUSHALL ASYNC"),
            Value::ok(),
            "round {round}"
        );
        for _ in 0..20 {
            assert_eq!(
                connection.line("SET k v PX 1"),
                Value::ok(),
                "round {round}"
            );
        }
    }
    drop(interruption);
    until("expired keys to go", || {
        (connection.line("DBSIZE") == Value::Int(0)).then_some(())
    });
}
