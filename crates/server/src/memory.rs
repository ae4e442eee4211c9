//! The process's allocator, how much it has given out, and what the system says of our memory.
//!
//! Entries and table blocks are the slabs' and not counted here; `used_memory` is the sum of both.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use tikv_jemallocator::Jemalloc;

/// jemalloc, counting bytes.
pub struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to jemalloc; the counter has no influence on what it returns.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract.
        unsafe { Jemalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's contract.
        unsafe { Jemalloc.realloc(at, layout, size) }
    }
}

/// A thread's share is put into the common counter when it has grown to this many bytes either way.
const BATCH: isize = 64 * 1024;

thread_local! {
    static PENDING: std::cell::Cell<isize> = const { std::cell::Cell::new(0) };
}

#[inline]
fn count(bytes: isize) {
    let _ = PENDING.try_with(|pending| {
        let sum = pending.get() + bytes;
        if sum.abs() < BATCH {
            pending.set(sum);
        } else {
            pending.set(0);
            // Wraps on a negative sum, as it should.
            ALLOCATED.fetch_add(sum as usize, Ordering::Relaxed);
        }
    });
}

/// Bytes given out by the allocator, up to 64 KiB per thread wrong.
pub fn allocated() -> usize {
    let own = PENDING.try_with(std::cell::Cell::get).unwrap_or(0);
    ALLOCATED.load(Ordering::Relaxed).wrapping_add_signed(own)
}

/// Settings that jemalloc reads when it starts: free memory goes back to the system after a second.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static JEMALLOC_CONF: Option<&'static c_char> = Some(
    // SAFETY: the pointer is to the first character of a constant C string.
    unsafe { &*c"dirty_decay_ms:1000,muzzy_decay_ms:0,abort_conf:true".as_ptr() },
);

/// Bytes in pages that the allocator uses.
pub fn active() -> usize {
    statistic(tikv_jemalloc_ctl::stats::active::read)
}

/// Bytes that the allocator holds of the system, free ones included.
pub fn committed() -> usize {
    statistic(tikv_jemalloc_ctl::stats::resident::read)
}

fn statistic(read: impl Fn() -> tikv_jemalloc_ctl::Result<usize>) -> usize {
    // Statistics stand still until the epoch is advanced.
    let _ = tikv_jemalloc_ctl::epoch::advance();
    read().unwrap_or(0)
}

/// Gives what the allocator holds and nobody uses back to the system.
pub fn give_back() {
    /// MALLCTL_ARENAS_ALL
    const PURGE_ALL: &CStr = c"arena.4096.purge";
    // SAFETY: the control takes and answers nothing.
    unsafe {
        tikv_jemalloc_sys::mallctl(
            PURGE_ALL.as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            0,
        );
    }
}

/// The allocator's own account of itself.
pub fn report() -> String {
    unsafe extern "C" fn append(to: *mut c_void, text: *const c_char) {
        // SAFETY: jemalloc passes a C string, and the pointer that it was given.
        let (text, to) = unsafe { (CStr::from_ptr(text), &mut *to.cast::<String>()) };
        to.push_str(&text.to_string_lossy());
    }
    let mut text = String::new();
    let to: *mut String = &raw mut text;
    // SAFETY: the string outlives the call, and only the callback touches it meanwhile.
    unsafe {
        tikv_jemalloc_sys::malloc_stats_print(Some(append), to.cast(), std::ptr::null());
    }
    text
}

/// Name and version, as INFO shows them.
pub fn allocator() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or("");
    format!("jemalloc-{}", version.split('-').next().unwrap_or(""))
}

/// Bytes of the process that are in memory.
pub fn resident() -> usize {
    // Size and resident size, in pages.
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0) * page_size()
}

/// Bytes of memory that the machine has.
pub fn machine() -> usize {
    // SAFETY: a plain system call.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    usize::try_from(pages).unwrap_or(0) * page_size()
}

fn page_size() -> usize {
    // SAFETY: a plain system call.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
