//! How the process calls itself in `ps`: `set-proc-title` and `proc-title-template`.
//!
//! # Safety
//! Linux shows the memory in which it put the arguments when the program started, and the
//! environment right behind them. A longer title than the arguments overwrites both. So this happens
//! after the arguments were read for the last time, and the environment's strings move to the heap
//! first; both happen while there is one thread.

use crate::config::Config;
use std::ffi::c_char;
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

/// Where the title is kept.
struct Place {
    start: usize,
    /// Bytes, of which the last one stays zero.
    len: usize,
    program: Vec<u8>,
}

static PLACE: Mutex<Option<Place>> = Mutex::new(None);

/// Makes room for titles. Called once, while there is one thread, after the arguments were read.
pub fn prepare() {
    let program = std::env::args_os().next().unwrap_or_default();
    let Some((start, arguments_end, end)) = bounds() else {
        return;
    };
    let end = match move_environment(arguments_end, end) {
        true => end,
        false => arguments_end,
    };
    *PLACE.lock().unwrap_or_else(|e| e.into_inner()) = Some(Place {
        start,
        len: end.saturating_sub(start),
        program: program.as_bytes().to_vec(),
    });
}

/// Where the arguments start and end, and where the environment ends, if it lies behind them.
fn bounds() -> Option<(usize, usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name in brackets, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Fields 48 to 51 of proc(5), of which the first here is the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<usize>().ok();
    let (start, end) = (field(48)?, field(49)?);
    let (environment, environment_end) = (field(50)?, field(51)?);
    let sane = start != 0 && start < end;
    let behind = environment == end && environment < environment_end;
    sane.then_some((start, end, if behind { environment_end } else { end }))
}

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// Copies the environment's strings that lie between two addresses to the heap.
fn move_environment(from: usize, to: usize) -> bool {
    // SAFETY: there is one thread, and the list ends with a null pointer.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            if (from..to).contains(&(*at).addr()) {
                let copy = libc::strdup(*at);
                if copy.is_null() {
                    return false;
                }
                *at = copy;
            }
            at = at.add(1);
        }
    }
    true
}

/// Shows the title that the configuration asks for.
pub fn show(config: &Config) {
    let place = PLACE.lock().unwrap_or_else(|e| e.into_inner());
    let Some(place) = place.as_ref().filter(|_| config.set_proc_title()) else {
        return;
    };
    let title = expand(config.proc_title_template(), &place.program, config);
    let len = title.len().min(place.len.saturating_sub(1));
    // SAFETY: the area is the process's own and writable, nobody else refers to it any more, and
    // the lock is held.
    unsafe {
        let at = std::ptr::with_exposed_provenance_mut(place.start);
        let area = std::slice::from_raw_parts_mut(at, place.len);
        area.fill(0);
        area[..len].copy_from_slice(&title[..len]);
    }
}

/// A template with its variables filled in, without blanks at its ends.
fn expand(template: &[u8], program: &[u8], config: &Config) -> Vec<u8> {
    let path = |path: Option<&std::path::Path>| {
        path.map_or(Vec::new(), |p| p.as_os_str().as_bytes().to_vec())
    };
    let mut title = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.iter().position(|b| *b == b'{') {
        let Some(len) = rest[open..].iter().position(|b| *b == b'}') else {
            break;
        };
        title.extend_from_slice(&rest[..open]);
        title.extend(match &rest[open + 1..open + len] {
            b"title" => program.to_vec(),
            b"listen-addr" => listen_address(config),
            b"port" => config.port().to_string().into_bytes(),
            b"tls-port" => b"0".to_vec(),
            b"unixsocket" => path(config.unixsocket()),
            b"config-file" => path(config.file()),
            // {server-mode}: there is only the plain one. Others the configuration refuses.
            _ => Vec::new(),
        });
        rest = &rest[open + len + 1..];
    }
    title.extend_from_slice(rest);
    title.trim_ascii().to_vec()
}

fn listen_address(config: &Config) -> Vec<u8> {
    if let (0, Some(path)) = (config.port(), config.unixsocket()) {
        return path.as_os_str().as_bytes().to_vec();
    }
    let first = config.bind().first().map_or(&b"*"[..], |a| a);
    let mut address = first.to_vec();
    address.extend_from_slice(format!(":{}", config.port()).as_bytes());
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, want: &str) {
        let mut config = Config::default();
        config.settle("port", b"7000").unwrap();
        config.settle("bind", b"127.0.0.1 ::1").unwrap();
        let title = expand(template.as_bytes(), b"bin/shoal", &config);
        assert_eq!(String::from_utf8(title).unwrap(), want, "{template}");
    }

    #[test]
    fn templates_are_filled_in() {
        check(
            "{title} {listen-addr} {server-mode}",
            "bin/shoal 127.0.0.1:7000",
        );
        check("a{port}b{tls-port}c{unixsocket}d{config-file}", "a7000b0cd");
        check("plain {title", "plain {title");
        check("", "");
    }
}
