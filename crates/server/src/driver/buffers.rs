//! The ring of buffers that the kernel receives into.
//!
//! The kernel takes the next buffer when bytes arrive, so idle connections hold none. Strides are a
//! cache line longer than the buffers' size, because buffers at a power of two apart compete for
//! the same few cache sets.
//!
//! # Safety
//! The mapping lives as long as [`Buffers`], which is dropped after its ring. A buffer is read only
//! between its completion and its return.

use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

/// Bytes of a buffer: a pipeline of a hundred small commands fits.
pub const SIZE: usize = 8 * 1024;
const STRIDE: usize = SIZE + 64;
/// A power of two: more connections than this becoming readable at once cost a second round.
const COUNT: u16 = 1024;
pub const GROUP: u16 = 0;

pub struct Buffers {
    entries: *mut BufRingEntry,
    bytes: *mut u8,
    tail: u16,
}

fn map(len: usize) -> io::Result<*mut u8> {
    // SAFETY: a new private mapping.
    let p = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if p == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(p.cast())
}

const RING_BYTES: usize = COUNT as usize * size_of::<BufRingEntry>();
const ALL_BYTES: usize = COUNT as usize * STRIDE;

impl Buffers {
    /// Maps the buffers and registers them with `ring`.
    pub fn new(ring: &IoUring) -> io::Result<Buffers> {
        let mut buffers = Buffers {
            entries: map(RING_BYTES)?.cast(),
            bytes: map(ALL_BYTES)?,
            tail: 0,
        };
        // SAFETY: the mapping is page-aligned, COUNT entries long, and outlives the ring.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries.addr() as u64,
                COUNT,
                GROUP,
                0,
            )?;
        }
        for id in 0..COUNT {
            buffers.give(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// What was received into buffer `id`.
    #[inline]
    pub fn get(&self, id: u16, len: usize) -> &[u8] {
        assert!(id < COUNT && len <= SIZE);
        // SAFETY: the buffer is inside the mapping and the kernel is done with it.
        unsafe { std::slice::from_raw_parts(self.bytes.add(id as usize * STRIDE), len) }
    }

    /// Returns a buffer; the kernel sees it after [`Buffers::publish`].
    #[inline]
    pub fn give(&mut self, id: u16) {
        assert!(id < COUNT);
        // SAFETY: the entry's index is masked to the ring's size; the kernel does not look at it
        // before the tail says so.
        unsafe {
            let entry = &mut *self.entries.add((self.tail & (COUNT - 1)) as usize);
            entry.set_addr(self.bytes.add(id as usize * STRIDE).addr() as u64);
            entry.set_len(SIZE as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    #[inline]
    pub fn publish(&mut self) {
        // SAFETY: the tail stands in the first entry's reserved field, aligned to 2.
        unsafe {
            let tail = BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both mappings are ours, and the ring that used them is gone.
        unsafe {
            libc::munmap(self.entries.cast(), RING_BYTES);
            libc::munmap(self.bytes.cast(), ALL_BYTES);
        }
    }
}
