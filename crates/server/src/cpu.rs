//! Processor time used, as the system counts it.

/// Of whom.
#[derive(Clone, Copy)]
pub struct Of(libc::c_int);

pub const PROCESS: Of = Of(libc::RUSAGE_SELF);
pub const CHILDREN: Of = Of(libc::RUSAGE_CHILDREN);
/// The thread that asks.
pub const THREAD: Of = Of(libc::RUSAGE_THREAD);

/// In seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub system_s: f64,
    pub user_s: f64,
}

pub fn used(of: Of) -> Used {
    // SAFETY: a rusage of zeros is valid, and its address is passed.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(of.0, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Used {
        system_s: seconds(usage.ru_stime),
        user_s: seconds(usage.ru_utime),
    }
}

/// How much less than the shards the threads are worth that work for all of them: one of these on a shard's core
/// gets a quarter of it when both want all.
const BACKGROUND: libc::c_int = 5;

/// Lets the shards go before the calling thread.
pub fn give_way() {
    // SAFETY: it takes numbers and no addresses. On Linux it is about this thread alone.
    unsafe { libc::nice(BACKGROUND) };
}
