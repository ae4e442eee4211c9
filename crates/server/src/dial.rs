//! Connections to other servers, for commands that need them.

use command::generic::migrate::Peer;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// See [`command::generic::migrate::Dial`].
pub fn connect(host: &str, port: &str, timeout: Duration) -> io::Result<Box<dyn Peer>> {
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let mut failed = io::ErrorKind::NotFound.into();
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(Box::new(stream));
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}
