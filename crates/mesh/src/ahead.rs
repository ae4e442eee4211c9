//! Memory that another core has written last, on its way before it is needed.
//!
//! A message is a pointer; what it points to lies in the sender's cache. Read line after line, each
//! costs a trip between the cores. Asked for all at once, the trips overlap.
//!
//! # Safety
//!
//! A prefetch is a hint: it reads nothing that the program sees, and of an address that is not mapped
//! nothing comes of it.

/// Lines of one stretch that are asked for, so that a long one does not push out what is in use.
const LINES_MAX: usize = 64;
const LINE: usize = 64;

/// Asks for the first kilobytes of `bytes` bytes at an address.
#[inline]
pub fn fetch(at: *const u8, bytes: usize) {
    for line in 0..bytes.div_ceil(LINE).min(LINES_MAX) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: see the module.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line * LINE).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (at, line);
    }
}
