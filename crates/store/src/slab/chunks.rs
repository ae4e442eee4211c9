//! Chunks from the system, with huge pages only where that does not keep a shard waiting.
//!
//! The first touch of a huge page has the kernel find and clear two megabytes, and a virtual machine's
//! host back them: up to 16 ms, in which the shard would stand still. The first touch of a small page
//! takes microseconds. So a shard never touches a huge page first: a thread maps and touches the next
//! chunk ahead, when a slab that grows says that its last one is being used up, and a shard that
//! finds no chunk ready takes one of small pages, whose cost comes a page at a time.
//!
//! The thread runs on time that nobody else wants; with a share of the shard's core it would be the
//! stall that it is there to prevent. It also gives memory back, which takes 100 µs for a chunk of
//! small pages.
//!
//! A thread that hardly ever runs must hold nothing that a shard needs. Where the lock is taken, the
//! shard does without. And it hardly changes the address space, which it would wait for while the
//! thread touches a page: chunks come from regions that stay mapped when their memory is given back.

use super::CHUNK;
use std::ptr::null_mut;
use std::sync::{Condvar, Mutex, MutexGuard, Once};

/// Chunks of a region.
const REGION: usize = 32 * CHUNK;

/// Addresses of chunks.
struct Desk {
    /// Of huge pages, touched. One serves all shards.
    ready: Option<usize>,
    wanted: bool,
    /// Used no more; their memory goes back to the system, unless a slab takes them first.
    freed: Vec<usize>,
    /// Of small pages, without memory.
    blank: Vec<usize>,
    /// What has not been used of the newest region of small pages.
    rest: std::ops::Range<usize>,
}

static DESK: Mutex<Desk> = Mutex::new(Desk {
    ready: None,
    wanted: false,
    freed: Vec::new(),
    blank: Vec::new(),
    rest: 0..0,
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
        // Without the thread chunks have small pages, and keep their memory.
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
    let mut huge = HugeChunks::default();
    loop {
        let mut desk = DESK.lock().unwrap_or_else(|e| e.into_inner());
        while !desk.wanted && desk.freed.is_empty() {
            desk = CALL.wait(desk).unwrap_or_else(|e| e.into_inner());
        }
        let mut freed = std::mem::take(&mut desk.freed);
        let wanted = desk.wanted;
        drop(desk);
        for chunk in &freed {
            let base = std::ptr::with_exposed_provenance_mut::<u8>(*chunk);
            // SAFETY: the chunk is mapped, and nothing in it is in use.
            unsafe { libc::madvise(base.cast(), CHUNK, libc::MADV_DONTNEED) };
        }
        freed.retain(|chunk| !huge.take_back(*chunk));
        let ready = wanted.then(|| huge.touched());
        let mut desk = DESK.lock().unwrap_or_else(|e| e.into_inner());
        desk.blank.append(&mut freed);
        if let Some(chunk) = ready {
            desk.wanted = false;
            desk.ready = Some(chunk);
        }
    }
}

/// Chunks of huge pages, which the thread alone gives out.
#[derive(Default)]
struct HugeChunks {
    regions: Vec<usize>,
    /// Without memory.
    blank: Vec<usize>,
}

impl HugeChunks {
    fn touched(&mut self) -> usize {
        if self.blank.is_empty() {
            let region = map_region(REGION, Pages::Huge).expose_provenance();
            self.regions.push(region);
            self.blank
                .extend((region..region + REGION).step_by(CHUNK).rev());
        }
        let chunk = self.blank.pop().expect("a region has chunks");
        // SAFETY: the chunk is mapped and nobody else's. A store, because it locks less than
        // `madvise` would for all that time.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(chunk).write_volatile(0) };
        chunk
    }

    /// Whether the chunk is one of these.
    fn take_back(&mut self, chunk: usize) -> bool {
        let ours = |region: &usize| (*region..region + REGION).contains(&chunk);
        let is_ours = self.regions.iter().any(ours);
        if is_ours {
            self.blank.push(chunk);
        }
        is_ours
    }
}

impl Desk {
    /// A chunk of small pages without memory.
    fn blank(&mut self) -> usize {
        if let Some(chunk) = self.blank.pop() {
            return chunk;
        }
        if self.rest.is_empty() {
            let region = map_region(REGION, Pages::Small).expose_provenance();
            self.rest = region..region + REGION;
        }
        let chunk = self.rest.start;
        self.rest.start += CHUNK;
        chunk
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
    if cfg!(miri) {
        // SAFETY: the layout is not empty.
        return unsafe { std::alloc::alloc(layout(CHUNK)) };
    }
    let Some(mut desk) = desk() else {
        return map_region(CHUNK, Pages::Small);
    };
    let used = desk.ready.take().or_else(|| desk.freed.pop());
    let chunk = used.unwrap_or_else(|| desk.blank());
    std::ptr::with_exposed_provenance_mut(chunk)
}

fn layout(len: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(len, CHUNK).expect("constants")
}

/// Addresses at a 2 MiB boundary; the memory comes when it is touched.
fn map_region(len: usize, pages: Pages) -> *mut u8 {
    // SAFETY: maps new memory; the parts cut off are inside that mapping and unused.
    unsafe {
        let raw = libc::mmap(
            null_mut(),
            len + CHUNK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if raw == libc::MAP_FAILED {
            std::alloc::handle_alloc_error(layout(len));
        }
        let raw = raw.cast::<u8>();
        let skip = raw.addr().next_multiple_of(CHUNK) - raw.addr();
        if skip > 0 {
            libc::munmap(raw.cast(), skip);
        }
        let base = raw.add(skip);
        if CHUNK > skip {
            libc::munmap(base.add(len).cast(), CHUNK - skip);
        }
        let advice = match pages {
            Pages::Huge => libc::MADV_HUGEPAGE,
            Pages::Small => libc::MADV_NOHUGEPAGE,
        };
        libc::madvise(base.cast(), len, advice);
        base
    }
}

pub(super) fn unmap(base: *mut u8) {
    if cfg!(miri) {
        // SAFETY: `base` came from `map` and nothing in it is in use.
        return unsafe { std::alloc::dealloc(base, layout(CHUNK)) };
    }
    start_thread();
    match desk() {
        Some(mut desk) => {
            desk.freed.push(base.expose_provenance());
            CALL.notify_one();
        }
        None => {
            // SAFETY: as above.
            unsafe { libc::munmap(base.cast(), CHUNK) };
        }
    }
}
