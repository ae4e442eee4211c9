//! Listening sockets, and the options of accepted ones.

use crate::config::Config;
use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a listening socket is reached by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(String),
}

pub struct Listener {
    pub address: Address,
    pub socket: OwnedFd,
}

/// The listening sockets, for whoever wants to know or change them; the driver has its own
/// descriptors of them.
pub struct Listeners(Vec<Listener>);

impl Listeners {
    /// Remembers the sockets that the driver will be given.
    pub fn new(listeners: &[Listener]) -> io::Result<Listeners> {
        let copies = listeners.iter().map(Listener::try_clone);
        Ok(Listeners(copies.collect::<io::Result<_>>()?))
    }

    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.0.iter().map(|l| &l.address)
    }

    /// Listens on the TCP addresses and port of `config` instead of the present ones; if that
    /// fails, on these again. Answers the sockets for the driver.
    pub fn move_tcp(&mut self, config: &Config) -> Result<Vec<Listener>, String> {
        // Their addresses must be free first: the new ones may overlap with them.
        self.tcp().for_each(|l| drop(stop(l)));
        let opened = open_tcp(config, Duration::ZERO).and_then(|listeners| {
            let copies = Listeners::new(&listeners).map_err(|e| e.to_string())?;
            Ok((listeners, copies.0))
        });
        match opened {
            Ok((listeners, copies)) => {
                self.0.retain(|l| !l.address.is_tcp());
                self.0.splice(0..0, copies);
                Ok(listeners)
            }
            Err(error) => {
                for listener in self.tcp() {
                    if let Err(e) = start(&listener.socket, config.tcp_backlog()) {
                        log::error!("Listening on {:?} again: {e}", listener.address);
                    }
                }
                Err(error)
            }
        }
    }

    /// Forgets the sockets, so that they close with the driver's.
    pub fn close(&mut self) {
        self.0.clear();
    }

    fn tcp(&self) -> impl Iterator<Item = &Listener> {
        self.0.iter().filter(|l| l.address.is_tcp())
    }
}

impl Address {
    pub fn is_tcp(&self) -> bool {
        matches!(self, Address::Tcp(_))
    }
}

impl Listener {
    fn try_clone(&self) -> io::Result<Listener> {
        Ok(Listener {
            address: self.address.clone(),
            socket: self.socket.try_clone()?,
        })
    }
}

/// Stops listening, whoever else has a descriptor of the socket; the address is free at once.
fn stop(listener: &Listener) -> io::Result<()> {
    // SAFETY: a plain system call on our descriptor.
    check(unsafe { libc::shutdown(listener.socket.as_raw_fd(), libc::SHUT_RDWR) })
}

fn start(socket: &OwnedFd, backlog: i32) -> io::Result<()> {
    // SAFETY: a plain system call on our descriptor.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })
}

/// Opens every socket that the configuration names. Nothing is left open on an error. For a port in
/// use it waits at most `patience`.
pub fn open(config: &Config, patience: Duration) -> Result<Vec<Listener>, String> {
    let mut listeners = open_tcp(config, patience)?;
    if let Some(path) = config.unixsocket() {
        let socket = unix(path, config)
            .map_err(|e| format!("Failed opening Unix socket {}: {e}", path.display()))?;
        listeners.push(Listener {
            address: Address::Unix(path.display().to_string()),
            socket,
        });
    }
    Ok(listeners)
}

fn open_tcp(config: &Config, patience: Duration) -> Result<Vec<Listener>, String> {
    /// Between two tries.
    const PAUSE: Duration = Duration::from_millis(20);
    let deadline = Instant::now() + patience;
    let mut listeners = Vec::new();
    if config.port() != 0 {
        let port = config.port();
        for word in config.bind() {
            let word = String::from_utf8_lossy(word).into_owned();
            let (optional, host) = match word.strip_prefix('-') {
                Some(host) => (true, host.to_owned()),
                None => (false, word.clone()),
            };
            let in_use = |e: &io::Error| e.kind() == io::ErrorKind::AddrInUse;
            let opened = loop {
                match tcp(&host, port, config.tcp_backlog()) {
                    Err(e) if in_use(&e) && Instant::now() < deadline => std::thread::sleep(PAUSE),
                    opened => break opened,
                }
            };
            match opened {
                Ok((address, socket)) => listeners.push(Listener { address, socket }),
                Err(e) if optional && is_unavailable(&e) => {}
                Err(e) => {
                    let hint = if in_use(&e) {
                        ": another server listens there"
                    } else {
                        ""
                    };
                    return Err(format!(
                        "Could not create server TCP listening socket {word}:{port}: {e}{hint}"
                    ));
                }
            }
        }
        if listeners.is_empty() && !config.bind().is_empty() {
            return Err("none of the addresses to bind exists on this machine".into());
        }
    }
    Ok(listeners)
}

/// Errors that mean that the address does not exist on this machine.
fn is_unavailable(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(
            libc::EADDRNOTAVAIL
                | libc::ENOPROTOOPT
                | libc::EPROTONOSUPPORT
                | libc::ESOCKTNOSUPPORT
                | libc::EPFNOSUPPORT
                | libc::EAFNOSUPPORT
        )
    )
}

fn tcp(host: &str, port: u16, backlog: i32) -> io::Result<(Address, OwnedFd)> {
    let ip: IpAddr = match host {
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        "::*" => Ipv6Addr::UNSPECIFIED.into(),
        _ => resolve(host)?,
    };
    let address = SocketAddr::new(ip, port);
    let family = if ip.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let socket = socket(family)?;
    option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if ip.is_ipv6() {
        option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    let (storage, len) = sockaddr(address);
    // SAFETY: the address is `len` bytes of a valid sockaddr.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const storage).cast(), len) })?;
    start(&socket, backlog)?;
    Ok((Address::Tcp(address), socket))
}

fn resolve(host: &str) -> io::Result<IpAddr> {
    use std::net::ToSocketAddrs;
    let mut found = (host, 0).to_socket_addrs()?;
    found
        .next()
        .map(|a| a.ip())
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))
}

fn unix(path: &Path, config: &Config) -> io::Result<OwnedFd> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: a sockaddr_un of zeros is valid.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    address.sun_family = libc::AF_UNIX as _;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    // A socket that a former run left behind.
    let _ = std::fs::remove_file(path);
    let socket = socket(libc::AF_UNIX)?;
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address is `len` bytes of a valid sockaddr.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })?;
    let name = CString::new(bytes)?;
    if config.unixsocketperm() != 0 {
        // SAFETY: the name is a C string.
        check(unsafe { libc::chmod(name.as_ptr(), config.unixsocketperm()) })?;
    }
    if let Some(group) = config.unixsocketgroup() {
        let gid = group_id(group)?;
        // SAFETY: the name is a C string.
        check(unsafe { libc::chown(name.as_ptr(), u32::MAX, gid) })?;
    }
    start(&socket, config.tcp_backlog())?;
    Ok(socket)
}

/// A group by number or by its name in the group file.
fn group_id(group: &[u8]) -> io::Result<libc::gid_t> {
    let text = String::from_utf8_lossy(group).into_owned();
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let name = CString::new(group)?;
    // SAFETY: called before other threads start; the result is copied at once.
    let entry = unsafe { libc::getgrnam(name.as_ptr()).as_ref() };
    entry
        .map(|g| g.gr_gid)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no group {text}")))
}

fn socket(family: i32) -> io::Result<OwnedFd> {
    // SAFETY: makes a new descriptor, which is ours.
    unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn option(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_option(socket.as_raw_fd(), level, name, value)
}

fn set_option(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is an int, of which the address and size are passed.
    check(unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    })
}

fn sockaddr(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: a sockaddr_storage of zeros is valid.
    let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
    let len = match address {
        SocketAddr::V4(a) => {
            // SAFETY: the storage is large enough and aligned for every kind of address.
            let v4 = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
            v4.sin_family = libc::AF_INET as _;
            v4.sin_port = a.port().to_be();
            v4.sin_addr.s_addr = u32::from_ne_bytes(a.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(a) => {
            // SAFETY: the storage is large enough and aligned for every kind of address.
            let v6 = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
            v6.sin6_family = libc::AF_INET6 as _;
            v6.sin6_port = a.port().to_be();
            v6.sin6_addr.s6_addr = a.ip().octets();
            v6.sin6_scope_id = a.scope_id();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, len as libc::socklen_t)
}

/// Options of an accepted TCP connection: no delay, and keepalive after `seconds` (0: none) with
/// three probes a third of that apart.
pub fn prepare(fd: RawFd, seconds: u32) {
    // A failed option makes a connection slower, not wrong.
    let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    if seconds > 0 {
        let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
        let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds as i32);
        let interval = (seconds / 3).max(1) as i32;
        let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, interval);
        let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3);
    }
}

/// Makes the coming close of a TCP connection break it off: what has not been sent is dropped, and the
/// system keeps nothing of it. A peer that takes no bytes would otherwise keep them, and the
/// connection, in the system's memory for minutes after it was cut off for having too many.
pub fn reset_on_close(fd: RawFd) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the option's value and size are passed. It fails on sockets that have gone.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        );
    }
}

/// Milliseconds since bytes last left on a TCP connection; `None` on other sockets.
pub fn ms_since_sent(fd: RawFd) -> Option<u32> {
    // SAFETY: a tcp_info of zeros is valid, and its size is passed.
    unsafe {
        let mut info: libc::tcp_info = zeroed();
        let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
        check(libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut len,
        ))
        .ok()?;
        Some(info.tcpi_last_data_sent)
    }
}

/// The addresses of both ends of a TCP connection.
pub fn ends(fd: RawFd) -> io::Result<(SocketAddr, SocketAddr)> {
    type Get = unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;
    let get = |get: Get| -> io::Result<SocketAddr> {
        // SAFETY: a sockaddr_storage of zeros is valid, and its size is passed.
        unsafe {
            let mut storage: libc::sockaddr_storage = zeroed();
            let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            check(get(fd, (&raw mut storage).cast(), &raw mut len))?;
            from_storage(&storage)
        }
    };
    Ok((get(libc::getpeername)?, get(libc::getsockname)?))
}

fn from_storage(storage: &libc::sockaddr_storage) -> io::Result<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what the storage holds.
            let a = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(a.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddr::new(ip.into(), u16::from_be(a.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says what the storage holds.
            let a = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(a.sin6_addr.s6_addr);
            Ok(SocketAddr::new(ip.into(), u16::from_be(a.sin6_port)))
        }
        _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_with_unsent_bytes_is_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        // The peer takes nothing until the system takes no more.
        while ours.write(&[b'x'; 1 << 16]).is_ok() {}
        reset_on_close(ours.as_raw_fd());
        ours.shutdown(std::net::Shutdown::Both).unwrap();
        drop(ours);
        // Without the option it would get all of it, and then the end.
        let end = peer.read_to_end(&mut Vec::new());
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
