//! A client that hides nothing: it sends what it is told and returns what it got.

use crate::value::Value;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a reply may take before the test gives up; far above what any of them needs, so that it
/// only ends tests of a server that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arrays nested deeper than this are taken for a broken reply.
const DEPTH_MAX: usize = 64;

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn duplicate(&self) -> io::Result<Socket> {
        Ok(match self {
            Socket::Tcp(s) => Socket::Tcp(s.try_clone()?),
            Socket::Unix(s) => Socket::Unix(s.try_clone()?),
        })
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.read(buf),
            Socket::Unix(s) => s.read(buf),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.write(buf),
            Socket::Unix(s) => s.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Connection {
    input: BufReader<Socket>,
    output: Socket,
}

impl Connection {
    pub fn tcp(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Connection::over(Socket::Tcp(stream))
    }

    pub fn unix(path: &Path) -> io::Result<Connection> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Connection::over(Socket::Unix(stream))
    }

    fn over(socket: Socket) -> io::Result<Connection> {
        let output = socket.duplicate()?;
        Ok(Connection {
            input: BufReader::with_capacity(64 * 1024, socket),
            output,
        })
    }

    /// Sends bytes as they are. A server that has closed is found out when its reply is read.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    pub fn send<A: AsRef<[u8]>>(&mut self, words: &[A]) -> io::Result<()> {
        self.send_raw(&frame(words))
    }

    /// Sends a command and returns its reply. A connection that the server has closed answers
    /// [`Value::Closed`].
    pub fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Value {
        match self.send(words) {
            Ok(()) => self.read(),
            Err(e) if gone(&e) => self.read(),
            Err(e) => panic!("cannot send: {e}"),
        }
    }

    /// [`Connection::call`] with the words of one line, split at spaces.
    pub fn line(&mut self, line: &str) -> Value {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    /// The fields of a section of INFO.
    pub fn info(&mut self, section: &str) -> HashMap<String, String> {
        let text = self.call(&["INFO", section]).string();
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// [`Connection::line`] where the server may have refused the connection: what it said about
    /// that, or [`Value::Closed`].
    pub fn line_if_open(&mut self, line: &str) -> Value {
        // What the server said before it closed can be read even where nothing can be sent.
        let _ = self.send(&line.split(' ').collect::<Vec<_>>());
        self.try_read().unwrap_or(Value::Closed)
    }

    /// The next reply. Panics when there is none for a minute, or when it is not RESP.
    pub fn read(&mut self) -> Value {
        match self.try_read() {
            Ok(value) => value,
            Err(e) => panic!("cannot read a reply: {e}"),
        }
    }

    pub fn read_many(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.read()).collect()
    }

    pub fn try_read(&mut self) -> io::Result<Value> {
        match self.value(0) {
            Err(e) if gone(&e) => Ok(Value::Closed),
            other => other,
        }
    }

    /// Sends everything while reading as many replies: neither side's buffers can fill up for good.
    pub fn pipeline(&mut self, bytes: &[u8], replies: usize) -> Vec<Value> {
        self.pipeline_in(&[bytes], replies)
    }

    /// [`Connection::pipeline`] in pieces, each a write of its own.
    pub fn pipeline_in(&mut self, pieces: &[&[u8]], replies: usize) -> Vec<Value> {
        let mut output = self.output.duplicate().expect("a socket can be duplicated");
        std::thread::scope(|scope| {
            // A failed write shows as a closed connection to the reader.
            scope.spawn(move || pieces.iter().try_for_each(|piece| output.write_all(piece)));
            self.read_many(replies)
        })
    }

    /// Says that nothing more will be sent, and returns all that still comes until the server
    /// closes.
    pub fn finish(mut self) -> Vec<Value> {
        self.shutdown_write();
        let mut values = Vec::new();
        loop {
            match self.read() {
                Value::Closed => return values,
                value => values.push(value),
            }
        }
    }

    pub fn shutdown_write(&mut self) {
        self.shutdown(Shutdown::Write);
    }

    fn shutdown(&self, how: Shutdown) {
        // Fails only if the peer is gone already, which the reads then show.
        let _ = match &self.output {
            Socket::Tcp(s) => s.shutdown(how),
            Socket::Unix(s) => s.shutdown(how),
        };
    }

    /// Sends `bytes` up to `times` times from another thread while `meanwhile` runs, whose end also
    /// ends the sending.
    pub fn flood(&mut self, bytes: &[u8], times: usize, meanwhile: impl FnOnce()) {
        let mut output = self.output.duplicate().expect("a socket can be duplicated");
        std::thread::scope(|scope| {
            scope.spawn(move || (0..times).try_for_each(|_| output.write_all(bytes)).ok());
            meanwhile();
            self.shutdown(Shutdown::Both);
        });
    }

    /// Bytes up to `len`, unparsed.
    pub fn read_raw(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn value(&mut self, depth: usize) -> io::Result<Value> {
        if depth > DEPTH_MAX {
            return Err(broken("nested too deep"));
        }
        let line = self.header()?;
        let (kind, rest) = (line[0], &line[1..]);
        let text = rest.to_vec();
        Ok(match kind {
            b'+' => Value::Simple(text),
            b'-' => Value::Error(text),
            b':' => Value::Int(number(rest)?),
            b',' => Value::Double(text),
            b'(' => Value::BigNumber(text),
            b'_' if rest.is_empty() => Value::Null,
            b'#' if rest == b"t" || rest == b"f" => Value::Bool(rest == b"t"),
            b'$' if rest == b"-1" => Value::NullBulk,
            b'*' if rest == b"-1" => Value::NullArray,
            b'$' => Value::Bulk(self.bulk(rest)?),
            b'!' => Value::BulkError(self.bulk(rest)?),
            b'=' => {
                let bulk = self.bulk(rest)?;
                if bulk.get(3) != Some(&b':') {
                    return Err(broken("verbatim string without a format"));
                }
                Value::Verbatim(bulk[..3].to_vec(), bulk[4..].to_vec())
            }
            b'*' => Value::Array(self.values(rest, depth)?),
            b'~' => Value::Set(self.values(rest, depth)?),
            b'>' => Value::Push(self.values(rest, depth)?),
            b'%' => Value::Map(self.pairs(rest, depth)?),
            b'|' => {
                let pairs = self.pairs(rest, depth)?;
                Value::Attribute(pairs, Box::new(self.value(depth + 1)?))
            }
            _ => return Err(broken(&format!("'{}'", String::from_utf8_lossy(&line)))),
        })
    }

    /// A line with its type byte, without its line end.
    fn header(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.input.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.len() < 3 || !line.ends_with(b"\r\n") {
            return Err(broken(&format!("'{}'", String::from_utf8_lossy(&line))));
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }

    fn bulk(&mut self, length: &[u8]) -> io::Result<Vec<u8>> {
        let length = size(length)?;
        let mut bytes = vec![0; length + 2];
        self.input.read_exact(&mut bytes)?;
        if !bytes.ends_with(b"\r\n") {
            return Err(broken("a bulk string does not end where it should"));
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn values(&mut self, count: &[u8], depth: usize) -> io::Result<Vec<Value>> {
        (0..size(count)?).map(|_| self.value(depth + 1)).collect()
    }

    fn pairs(&mut self, count: &[u8], depth: usize) -> io::Result<Vec<(Value, Value)>> {
        let mut pairs = Vec::new();
        for _ in 0..size(count)? {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(pairs)
    }
}

/// A command as an array of bulk strings.
pub fn frame<A: AsRef<[u8]>>(words: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Whether an error means that the server has closed the connection.
fn gone(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        e.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {what}"))
}

fn number(digits: &[u8]) -> io::Result<i64> {
    let text = std::str::from_utf8(digits).unwrap_or("");
    text.parse()
        .map_err(|_| broken(&format!("number '{text}'")))
}

fn size(digits: &[u8]) -> io::Result<usize> {
    usize::try_from(number(digits)?).map_err(|_| broken("negative size"))
}
