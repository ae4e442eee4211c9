//! Chunks from the system, the next one made ready by a thread of its own.
//!
//! The first touch of a huge page has the kernel find and clear two megabytes, and a virtual machine's
//! host back them: up to 16 ms, in which the shard would stand still. So a slab that grows says when
//! its last chunk is nearly used up, and a thread maps and touches the next one meanwhile. One spare
//! chunk serves all shards; a shard that finds none maps its own.

use super::CHUNK;
use std::ptr::null_mut;
use std::sync::{Condvar, Mutex, MutexGuard, Once};

struct Spare {
    /// Address of a chunk that is ready.
    chunk: Option<usize>,
    wanted: bool,
}

static SPARE: Mutex<Spare> = Mutex::new(Spare {
    chunk: None,
    wanted: false,
});
static WANTED: Condvar = Condvar::new();
static THREAD: Once = Once::new();

fn spare() -> MutexGuard<'static, Spare> {
    // Nothing that holds the lock can leave the two fields half changed.
    SPARE.lock().unwrap_or_else(|e| e.into_inner())
}

/// Has a chunk made ready, unless one is.
pub(super) fn prepare() {
    if cfg!(miri) {
        return;
    }
    THREAD.call_once(|| {
        // Without the thread every chunk is mapped when it is needed.
        let _ = std::thread::Builder::new()
            .name("chunks".into())
            .spawn(make_ready);
    });
    let mut spare = spare();
    if spare.chunk.is_none() {
        spare.wanted = true;
        WANTED.notify_one();
    }
}

fn make_ready() {
    loop {
        let mut waiting = spare();
        while !waiting.wanted {
            waiting = WANTED.wait(waiting).unwrap_or_else(|e| e.into_inner());
        }
        drop(waiting);
        let chunk = map_now();
        // SAFETY: the chunk is mapped and nobody else's. A kernel that does not know the advice
        // leaves the touching to the shard.
        unsafe { libc::madvise(chunk.cast(), CHUNK, libc::MADV_POPULATE_WRITE) };
        let mut spare = spare();
        spare.wanted = false;
        spare.chunk = Some(chunk.expose_provenance());
    }
}

/// 2 MiB of zeroed memory at a 2 MiB boundary.
pub(super) fn map() -> *mut u8 {
    match spare().chunk.take() {
        Some(chunk) => std::ptr::with_exposed_provenance_mut(chunk),
        None => map_now(),
    }
}

/// 2 MiB of zeroed memory at a 2 MiB boundary.
fn map_now() -> *mut u8 {
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
        libc::madvise(base.cast(), CHUNK, libc::MADV_HUGEPAGE);
        base
    }
}

pub(super) fn unmap(base: *mut u8) {
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
