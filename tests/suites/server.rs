//! The process: how it starts, what it says, how it ends.

use harness::server::{Directory, until};
use harness::{Program, Server, Value};
use std::fs;
use std::process::{Command, Output};

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
    let server = Server::start();
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
        let mut server = Server::start();
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
    let mut server = Server::start();
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
    let setup = Server::setup(Program::Judged).with("pidfile", &path.to_string_lossy());
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
    let setup = Server::setup(Program::Judged).with("logfile", &path.to_string_lossy());
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
    let quiet = Server::setup(Program::Judged)
        .with("loglevel", "warning")
        .start();
    let usual = Server::setup(Program::Judged)
        .with("loglevel", "notice")
        .start();
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
    let mut first = Server::start();
    first.signal(libc::SIGKILL);
    first.wait();
    let path = first.directory().to_string_lossy().into_owned();
    assert!(
        first.directory().join("socket").exists(),
        "what a kill leaves behind"
    );
    let socket = format!("{path}/socket");
    let second = Server::setup(Program::Judged)
        .with("dir", &path)
        .with("unixsocket", &socket)
        .start();
    assert_eq!(
        second.connect().line("PING"),
        Value::Simple(b"PONG".to_vec())
    );
}
