//! Chunks from the system, with huge pages only where that does not keep a shard waiting.
//!
//! The first touch of a huge page has the kernel find and clear two megabytes, and a virtual machine's
//! host back them: up to 16 ms, in which the shard would stand still. The first touch of a small page
//! takes microseconds. So a shard never touches a huge page first: a thread maps and touches the next
//! chunk ahead, when a slab that grows says that its last one is being used up, and a shard that
//! finds no chunk ready takes one of small pages, whose cost comes a page at a time.
//!
//! The thread runs on time that nobody else wants; with a share of the shard's core it would be the
//! stall that it is there to prevent. It also unmaps, which takes 100 µs for a chunk of small pages.
//! The shard never waits for it: where the lock is taken, it does without.

use super::CHUNK;
use std::ptr::null_mut;
use std::sync::{Condvar, Mutex, MutexGuard, Once};

/// Addresses of chunks that the thread has, or gets.
struct Desk {
    /// Of huge pages, touched. One serves all shards.
    ready: Option<usize>,
    wanted: bool,
    /// Used no more, to be unmapped, unless a slab takes them first.
    freed: Vec<usize>,
}

static DESK: Mutex<Desk> = Mutex::new(Desk {
    ready: None,
    wanted: false,
    freed: Vec::new(),
});
static CALL: Condvar = Condvar::new();
static THREAD: Once = Once::new();

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    Huge,
    Small,
}

/// The desk, unless the thread is at it.
fn desk() -> Option<MutexGuard<'static, Desk>> {
    use std::sync::TryLockError;
    match DESK.try_lock() {
        Ok(desk) => Some(desk),
        // Nothing that holds the lock can leave the fields half changed.
        Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn start_thread() {
    THREAD.call_once(|| {
        // Without the thread chunks have small pages, and stay mapped.
        let _ = std::thread::Builder::new().name("chunks".into()).spawn(run);
    });
}

/// Has a chunk made ready, unless one is.
pub(super) fn prepare() {
    if cfg!(miri) {
        return;
    }
    start_thread();
    if let Some(mut desk) = desk()
        && desk.ready.is_none()
        && !desk.wanted
    {
        desk.wanted = true;
        CALL.notify_one();
    }
}

fn run() {
    stand_back();
    loop {
        let mut desk = DESK.lock().unwrap_or_else(|e| e.into_inner());
        while !desk.wanted && desk.freed.is_empty() {
            desk = CALL.wait(desk).unwrap_or_else(|e| e.into_inner());
        }
        let freed = std::mem::take(&mut desk.freed);
        let wanted = desk.wanted;
        drop(desk);
        for chunk in freed {
            unmap_now(std::ptr::with_exposed_provenance_mut(chunk));
        }
        if wanted {
            let chunk = map_now(Pages::Huge);
            // SAFETY: the chunk is mapped and nobody else's. A store, because it locks less than
            // `madvise` would for all that time.
            unsafe { chunk.write_volatile(0) };
            let mut desk = DESK.lock().unwrap_or_else(|e| e.into_inner());
            desk.wanted = false;
            desk.ready = Some(chunk.expose_provenance());
        }
    }
}

/// Gives the thread that calls it the lowest priority, unless the call may be the end of the process,
/// as it is under the filter of system calls of Debian's unit for Redis. There the thread competes.
fn stand_back() {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    if !status.lines().any(|line| line == "Seccomp:\t0") {
        return;
    }
    // SAFETY: a plain system call about the calling thread. It may fail.
    unsafe {
        let priority = libc::sched_param { sched_priority: 0 };
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority);
    }
}

/// 2 MiB of memory at a 2 MiB boundary, with anything in it.
pub(super) fn map() -> *mut u8 {
    let found = desk().and_then(|mut desk| desk.ready.take().or_else(|| desk.freed.pop()));
    match found {
        Some(chunk) => std::ptr::with_exposed_provenance_mut(chunk),
        None => map_now(Pages::Small),
    }
}

/// 2 MiB of zeroed memory at a 2 MiB boundary.
fn map_now(pages: Pages) -> *mut u8 {
    let layout = std::alloc::Layout::from_size_align(CHUNK, CHUNK).expect("constants");
    if cfg!(miri) {
        // SAFETY: the layout is not empty.
        return unsafe { std::alloc::alloc(layout) };
    }
    // SAFETY: maps new memory; the parts cut off are inside that mapping and unused.
    unsafe {
        let raw = libc::mmap(
            null_mut(),
            2 * CHUNK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if raw == libc::MAP_FAILED {
            std::alloc::handle_alloc_error(layout);
        }
        let raw = raw.cast::<u8>();
        let skip = raw.addr().next_multiple_of(CHUNK) - raw.addr();
        if skip > 0 {
            libc::munmap(raw.cast(), skip);
        }
        let base = raw.add(skip);
        if CHUNK > skip {
            libc::munmap(base.add(CHUNK).cast(), CHUNK - skip);
        }
        let advice = match pages {
            Pages::Huge => libc::MADV_HUGEPAGE,
            Pages::Small => libc::MADV_NOHUGEPAGE,
        };
        libc::madvise(base.cast(), CHUNK, advice);
        base
    }
}

pub(super) fn unmap(base: *mut u8) {
    if cfg!(miri) {
        unmap_now(base);
        return;
    }
    start_thread();
    match desk() {
        Some(mut desk) => {
            desk.freed.push(base.expose_provenance());
            CALL.notify_one();
        }
        None => unmap_now(base),
    }
}

fn unmap_now(base: *mut u8) {
    // SAFETY: `base` came from `map` and nothing in it is in use.
    unsafe {
        if cfg!(miri) {
            let layout = std::alloc::Layout::from_size_align(CHUNK, CHUNK).expect("constants");
            std::alloc::dealloc(base, layout);
        } else {
            libc::munmap(base.cast(), CHUNK);
        }
    }
}
