//! The ring of buffers that the kernel receives into.
//!
//! The kernel takes from the first buffer when bytes arrive, so idle connections hold none. Since
//! Linux 6.12 a buffer is used up piece by piece: some large ones serve any number of connections,
//! and small requests lie densely in the cache. Older kernels give a whole buffer to each receive;
//! there are more and smaller ones then, a cache line further apart than their size, because
//! buffers at a power of two apart compete for the same few cache sets.
//!
//! # Safety
//! The mapping lives as long as [`Buffers`], which is dropped after its ring. A piece is read only
//! between its completion and the return of its buffer, which follows the last piece's.

use io_uring::types::BufRingEntry;
use io_uring::{IoUring, cqueue};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

pub const GROUP: u16 = 0;

/// IOU_PBUF_RING_INC: buffers are used up piece by piece.
const INCREMENTAL: u16 = 2;
/// IORING_CQE_F_BUF_MORE: more pieces of this buffer will follow.
const BUFFER_MORE: u32 = 1 << 4;

/// How many buffers of which size, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// A power of two.
    count: u16,
    size: usize,
    stride: usize,
    incremental: bool,
}

/// A megabyte, shared by all connections.
pub const PIECEWISE: Shape = Shape {
    count: 16,
    size: 64 * 1024,
    stride: 64 * 1024,
    incremental: true,
};

/// A receive per buffer: more connections than this becoming readable at once cost a second round.
pub const WHOLE: Shape = Shape {
    count: 512,
    size: 8 * 1024,
    stride: 8 * 1024 + 64,
    incremental: false,
};

impl Shape {
    fn ring_bytes(&self) -> usize {
        self.count as usize * size_of::<BufRingEntry>()
    }

    fn bytes(&self) -> usize {
        self.count as usize * self.stride
    }
}

pub struct Buffers {
    shape: Shape,
    entries: *mut BufRingEntry,
    bytes: *mut u8,
    tail: u16,
    /// Where the next piece of each buffer starts.
    offsets: Vec<usize>,
}

/// Bytes received: a part of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub buffer: u16,
    offset: usize,
    len: usize,
    /// The buffer can be returned after this piece.
    pub last: bool,
}

fn map(len: usize) -> io::Result<*mut u8> {
    // SAFETY: a new private mapping.
    let p = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            // All of it is used within the first requests.
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
            -1,
            0,
        )
    };
    if p == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(p.cast())
}

impl Buffers {
    /// Buffers of the best shape that the kernel knows.
    pub fn new(ring: &IoUring) -> io::Result<Buffers> {
        Buffers::shaped(ring, PIECEWISE).or_else(|_| Buffers::shaped(ring, WHOLE))
    }

    /// Maps the buffers and registers them with `ring`.
    pub fn shaped(ring: &IoUring, shape: Shape) -> io::Result<Buffers> {
        let mut buffers = Buffers {
            shape,
            entries: map(shape.ring_bytes())?.cast(),
            bytes: map(shape.bytes())?,
            tail: 0,
            offsets: vec![0; shape.count as usize],
        };
        let flags = if shape.incremental { INCREMENTAL } else { 0 };
        // SAFETY: the mapping is page-aligned, `count` entries long, and outlives the ring.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries.addr() as u64,
                shape.count,
                GROUP,
                flags,
            )?;
        }
        for id in 0..shape.count {
            buffers.give(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The piece that a receive of `len` bytes has filled.
    #[inline]
    pub fn take(&mut self, flags: u32, len: usize) -> Piece {
        let buffer = cqueue::buffer_select(flags).expect("a receive that got bytes has a buffer");
        let offset = self.offsets[buffer as usize];
        assert!(offset + len <= self.shape.size);
        self.offsets[buffer as usize] += len;
        Piece {
            buffer,
            offset,
            len,
            last: !self.shape.incremental || flags & BUFFER_MORE == 0,
        }
    }

    /// What was received.
    #[inline]
    pub fn get(&self, piece: Piece) -> &[u8] {
        let at = piece.buffer as usize * self.shape.stride + piece.offset;
        // SAFETY: `take` has checked that the piece is inside its buffer; the kernel is done with it.
        unsafe { std::slice::from_raw_parts(self.bytes.add(at), piece.len) }
    }

    /// Returns a buffer; the kernel sees it after [`Buffers::publish`].
    #[inline]
    pub fn give(&mut self, buffer: u16) {
        self.offsets[buffer as usize] = 0;
        // SAFETY: the entry's index is masked to the ring's size; the kernel does not look at it
        // before the tail says so.
        unsafe {
            let entry = &mut *self
                .entries
                .add((self.tail & (self.shape.count - 1)) as usize);
            let at = self.bytes.add(buffer as usize * self.shape.stride);
            entry.set_addr(at.addr() as u64);
            entry.set_len(self.shape.size as u32);
            entry.set_bid(buffer);
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
            libc::munmap(self.entries.cast(), self.shape.ring_bytes());
            libc::munmap(self.bytes.cast(), self.shape.bytes());
        }
    }
}
