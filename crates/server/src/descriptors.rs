//! The limit of open files, on which depends how many clients there can be.

/// Descriptors for everything that is not a client: listening sockets, rings, files, the log.
const RESERVED: u64 = 32;

/// The system does not allow as many descriptors as wanted.
pub struct TooMany {
    /// The limit of open files.
    pub limit: u64,
}

impl TooMany {
    /// Clients that there is room for.
    pub fn clients(&self) -> u64 {
        self.limit.saturating_sub(RESERVED).max(1)
    }
}

/// Makes room for so many clients: raises the limit of open files as far as needed, and, where that
/// is not allowed, as far as possible.
pub fn make_room(clients: u32) -> Result<(), TooMany> {
    let wanted = u64::from(clients) + RESERVED;
    let Some(limit) = get() else {
        return Ok(());
    };
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    let raised = libc::rlimit {
        rlim_cur: wanted,
        rlim_max: limit.rlim_max.max(wanted),
    };
    if set(raised) {
        return Ok(());
    }
    set(libc::rlimit {
        rlim_cur: limit.rlim_max,
        rlim_max: limit.rlim_max,
    });
    Err(TooMany {
        limit: get().map_or(limit.rlim_cur, |l| l.rlim_cur),
    })
}

fn get() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is valid.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (result == 0).then_some(limit)
}

fn set(limit: libc::rlimit) -> bool {
    // SAFETY: the struct is valid.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 }
}
