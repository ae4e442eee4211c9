//! What a stream of requests means, read off Redis's rules the slow way, and a client that sends
//! such a stream in pieces and is paused now and then. Shared with the fuzz targets.

use resp::number::parse_i64;
use resp::parse::{Batch, Frame, Input, Limits, ProtocolError};
use resp::split::split_words;

pub type Command = Vec<Vec<u8>>;

/// Commands in order, and the error that ended them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub commands: Vec<Command>,
    pub error: Option<ProtocolError>,
}

const LINE_MAX: usize = 64 * 1024;

/// Reads `bytes` from the start for each frame, keeping no state in between.
pub fn read(bytes: &[u8], limits: Limits) -> Outcome {
    let mut outcome = Outcome::default();
    let mut rest = bytes;
    loop {
        match frame(rest, limits) {
            Ok(Some((command, used))) => {
                rest = &rest[used..];
                if !command.is_empty() {
                    outcome.commands.push(command);
                }
            }
            Ok(None) => return outcome,
            Err(error) => {
                outcome.error = Some(error);
                return outcome;
            }
        }
    }
}

/// The line at the start of `s` as C's `strchr` finds it: its length without the end.
fn line(s: &[u8], end: u8, too_long: ProtocolError) -> Result<Option<usize>, ProtocolError> {
    for (i, &c) in s.iter().enumerate() {
        if i > LINE_MAX {
            return Err(too_long);
        }
        if c == end {
            return Ok(Some(i));
        }
        if c == 0 {
            break;
        }
    }
    if s.len() > LINE_MAX {
        return Err(too_long);
    }
    Ok(None)
}

/// A command and the bytes it took; no words for a frame without any.
fn frame(s: &[u8], limits: Limits) -> Result<Option<(Command, usize)>, ProtocolError> {
    match s.first() {
        None => return Ok(None),
        Some(b'*') => {}
        Some(_) => {
            let Some(n) = line(s, b'\n', ProtocolError::InlineTooLong)? else {
                return Ok(None);
            };
            let text = s[..n].strip_suffix(b"\r").unwrap_or(&s[..n]);
            let words = split_words(text).map_err(|_| ProtocolError::Quotes)?;
            return Ok(Some((words, n + 1)));
        }
    }
    let Some(n) = line(s, b'\r', ProtocolError::MultibulkCountTooLong)? else {
        return Ok(None);
    };
    if s.len() < n + 2 {
        return Ok(None);
    }
    let count = parse_i64(&s[1..n]).ok_or(ProtocolError::MultibulkLength)?;
    if count > i64::from(i32::MAX) {
        return Err(ProtocolError::MultibulkLength);
    }
    if count > 10 && !limits.authenticated {
        return Err(ProtocolError::MultibulkUnauthenticated);
    }
    let mut at = n + 2;
    let mut command = Command::new();
    for _ in 0..count {
        let Some((value, used)) = bulk(&s[at..], limits)? else {
            return Ok(None);
        };
        command.push(value);
        at += used;
    }
    Ok(Some((command, at)))
}

fn bulk(s: &[u8], limits: Limits) -> Result<Option<(Vec<u8>, usize)>, ProtocolError> {
    let Some(n) = line(s, b'\r', ProtocolError::BulkCountTooLong)? else {
        return Ok(None);
    };
    if s.len() < n + 2 {
        return Ok(None);
    }
    if s[0] != b'$' {
        return Err(ProtocolError::ExpectedDollar(s[0]));
    }
    let len = parse_i64(&s[1..n]).ok_or(ProtocolError::BulkLength)?;
    if len < 0 || len as u64 > limits.max_bulk {
        return Err(ProtocolError::BulkLength);
    }
    if len > 16384 && !limits.authenticated {
        return Err(ProtocolError::BulkUnauthenticated);
    }
    let (from, len) = (n + 2, len as usize);
    if s.len() < from + len + 2 {
        return Ok(None);
    }
    Ok(Some((s[from..from + len].to_vec(), from + len + 2)))
}

/// Sends `bytes` through an [`Input`] as a server would receive them. `piece` answers how long the
/// next piece is; `executed` answers how many of that many commands run before the client is
/// paused, to be resumed by the next piece, a later one or, at the end, by itself.
pub fn feed(
    bytes: &[u8],
    limits: Limits,
    mut piece: impl FnMut() -> usize,
    mut executed: impl FnMut(usize) -> usize,
) -> Outcome {
    let mut outcome = Outcome::default();
    let (mut input, mut batch, mut frame) = (Input::default(), Batch::default(), Frame::default());
    let mut rest = bytes;
    let mut paused = false;
    while !rest.is_empty() {
        let n = piece().clamp(1, rest.len());
        let mut data = &rest[..n];
        rest = &rest[n..];
        if paused && !rest.is_empty() && executed(1) == 0 {
            input.keep_only(data);
            continue;
        }
        // The last piece is followed by as many resumptions as it takes.
        loop {
            let last = rest.is_empty() && data.is_empty();
            let parsed = input.parse(data, limits, &mut batch, &mut frame);
            let count = batch.len();
            let run = if last {
                count
            } else {
                executed(count).min(count)
            };
            for i in 0..run {
                let args = batch.command(i, parsed.buf);
                outcome
                    .commands
                    .push(args.iter().map(<[u8]>::to_vec).collect());
            }
            let error = parsed.error;
            input.finish(data, &mut batch, &frame, run);
            paused = run < count && !rest.is_empty();
            if paused {
                break;
            }
            if count == 0 {
                if error.is_some() {
                    outcome.error = error;
                    return outcome;
                }
                break;
            }
            data = &[];
        }
    }
    assert_eq!(input.is_pending(), input.memory() > 0);
    outcome
}
