//! Going into the background, and telling whoever started the server that it is ready.
//!
//! `daemonize yes` forks before anything else starts: threads and rings do not survive a fork. The
//! parent waits until the child is ready or has failed, so that a start script learns of it from
//! the exit code; the child keeps the terminal until then, for its errors.
//!
//! A supervisor is told by a datagram to the socket that it names (systemd), or by a stop signal to
//! ourselves (upstart).

use crate::config::{Config, Supervised};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Who waits to hear that the server is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    Nobody,
    Systemd,
    Upstart,
}

impl Supervisor {
    /// The one that the configuration names, if it is there.
    pub fn find(config: &Config) -> Supervisor {
        let has = |name: &str| std::env::var_os(name).is_some();
        match config.supervised() {
            Supervised::Upstart | Supervised::Auto if has("UPSTART_JOB") => Supervisor::Upstart,
            Supervised::Systemd | Supervised::Auto if has("NOTIFY_SOCKET") => Supervisor::Systemd,
            _ => Supervisor::Nobody,
        }
    }

    /// As INFO names it.
    pub fn name(self) -> &'static str {
        match self {
            Supervisor::Nobody => "no",
            Supervisor::Systemd => "systemd",
            Supervisor::Upstart => "upstart",
        }
    }

    /// Tells that the server is ready.
    pub fn ready(self) {
        match self {
            Supervisor::Nobody => {}
            Supervisor::Upstart => {
                // SAFETY: stops ourselves until upstart lets us go on.
                unsafe { libc::raise(libc::SIGSTOP) };
            }
            Supervisor::Systemd => notify("STATUS=Ready to accept connections\nREADY=1\n"),
        }
    }

    /// Tells that the server is ending.
    pub fn stopping(self) {
        if self == Supervisor::Systemd {
            notify("STOPPING=1\n");
        }
    }
}

fn notify(state: &str) {
    if let Err(e) = send_notification(state) {
        log::warn!("Telling systemd over NOTIFY_SOCKET: {e}");
    }
}

fn send_notification(state: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

/// The background process's line to the parent that waits for it.
pub struct Daemon {
    parent: std::fs::File,
}

/// Goes on in a child process of a session of its own; the parent never returns. It must be called
/// while there is only one thread.
pub fn enter_background() -> io::Result<Daemon> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both descriptors.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both descriptors are new and ours.
    let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    // SAFETY: there is one thread, so the child finds every lock as it is.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: a plain system call.
            check(unsafe { libc::setsid() })?;
            Ok(Daemon {
                parent: writer.into(),
            })
        }
        _ => {
            drop(writer);
            let mut word = Vec::new();
            let read = std::fs::File::from(reader).read_to_end(&mut word);
            let ready = read.is_ok() && !word.is_empty();
            std::process::exit(if ready { 0 } else { 1 })
        }
    }
}

impl Daemon {
    /// Leaves the terminal and lets the parent go.
    pub fn ready(mut self) -> io::Result<()> {
        let null = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        for fd in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            // SAFETY: a plain system call on our descriptors.
            check(unsafe { libc::dup2(null.as_raw_fd(), fd) })?;
        }
        self.parent.write_all(b"ready")
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
