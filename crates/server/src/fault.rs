//! Where a test kills the server, or has the disk fail: around the operations of the disk.
//!
//! In a build with debug assertions, `SHOAL_CRASH=<operation>:<n>` ends the process at the n-th operation of a kind
//! on the append-only log, as `kill -9` would: `before-append`, `half-append`, `after-append`, and the same of
//! `sync`, `create`, `first` (writing over the beginning), `rename`, `names` and `remove`. `fail-append:<n>` and its
//! like have that operation, and the two after it, fail for want of room. `SHOAL_CRASH_DUMP` does the same where
//! dumps are written, those that become the base of a log too. Otherwise the disk is used as it is.

use persist::storage::{Disk, Storage};
use std::sync::Arc;

/// Whose operations.
#[derive(Clone, Copy)]
pub enum Of {
    Log,
    Dump,
}

#[cfg(not(debug_assertions))]
pub fn storage(disk: Arc<Disk>, _: Of) -> Arc<dyn Storage> {
    disk
}

#[cfg(debug_assertions)]
pub fn storage(disk: Arc<Disk>, of: Of) -> Arc<dyn Storage> {
    planted::storage(disk, of)
}

#[cfg(debug_assertions)]
mod planted {
    use super::Of;
    use persist::storage::{Appending, Disk, Storage};
    use std::io::{self, Read};
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::{Arc, OnceLock};

    struct Plan {
        operation: String,
        left: AtomicI64,
    }

    /// Operations in a row that fail.
    const FAILURES: i64 = 3;

    fn crash() -> ! {
        // SAFETY: it ends this process.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
        loop {
            std::thread::park();
        }
    }

    impl Plan {
        fn is(&self, when: &str, what: &str) -> bool {
            let operation = self.operation.strip_prefix(when);
            operation.and_then(|o| o.strip_prefix('-')) == Some(what)
                && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        }

        fn at(&self, when: &str, what: &str) {
            if self.is(when, what) {
                crash();
            }
        }

        /// An error if it is to fail.
        fn check(&self, what: &str) -> io::Result<()> {
            if self.operation.strip_prefix("fail-") == Some(what) {
                let left = self.left.fetch_sub(1, Ordering::SeqCst);
                if (2 - FAILURES..2).contains(&left) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            Ok(())
        }

        fn around<T>(&self, what: &str, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.check(what)?;
            self.at("before", what);
            let done = act();
            self.at("after", what);
            done
        }
    }

    struct Crashing {
        disk: Arc<Disk>,
        plan: Arc<Plan>,
    }

    struct File {
        file: Box<dyn Appending>,
        plan: Arc<Plan>,
    }

    /// What a variable says. It is counted from the start of the server.
    fn plan(of: Of) -> Option<Arc<Plan>> {
        static LOG: OnceLock<Option<Arc<Plan>>> = OnceLock::new();
        static DUMP: OnceLock<Option<Arc<Plan>>> = OnceLock::new();
        let (plan, variable) = match of {
            Of::Log => (&LOG, "SHOAL_CRASH"),
            Of::Dump => (&DUMP, "SHOAL_CRASH_DUMP"),
        };
        let read = || {
            let plan = std::env::var(variable).ok()?;
            let (operation, n) = plan.split_once(':')?;
            Some(Arc::new(Plan {
                operation: operation.to_owned(),
                left: AtomicI64::new(n.parse().ok()?),
            }))
        };
        plan.get_or_init(read).clone()
    }

    pub fn storage(disk: Arc<Disk>, of: Of) -> Arc<dyn Storage> {
        match plan(of) {
            None => disk,
            Some(plan) => Arc::new(Crashing { disk, plan }),
        }
    }

    impl Crashing {
        fn file(&self, file: Box<dyn Appending>) -> Box<dyn Appending> {
            Box::new(File {
                file,
                plan: Arc::clone(&self.plan),
            })
        }
    }

    impl Storage for Crashing {
        fn create(&self, name: &str) -> io::Result<Box<dyn Appending>> {
            let file = self.plan.around("create", || self.disk.create(name))?;
            Ok(self.file(file))
        }

        fn open(&self, name: &str) -> io::Result<Box<dyn Appending>> {
            Ok(self.file(self.disk.open(name)?))
        }

        fn read(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
            self.disk.read(name)
        }

        fn write_first(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            let write = || self.disk.write_first(name, bytes);
            self.plan.around("first", write)
        }

        fn exists(&self, name: &str) -> io::Result<bool> {
            self.disk.exists(name)
        }

        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.plan.around("rename", || self.disk.rename(from, to))
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            self.plan.around("remove", || self.disk.remove(name))
        }

        fn sync_names(&self) -> io::Result<()> {
            self.plan.around("names", || self.disk.sync_names())
        }
    }

    impl Appending for File {
        fn append(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
            if let Err(e) = self.plan.check("append") {
                // As a disk that becomes full in the middle.
                let bytes = pieces.concat();
                self.file.append(&[&bytes[..bytes.len() / 2]])?;
                return Err(e);
            }
            self.plan.at("before", "append");
            if self.plan.is("half", "append") {
                let bytes = pieces.concat();
                let _ = self.file.append(&[&bytes[..bytes.len() / 2]]);
                crash();
            }
            let done = self.file.append(pieces);
            self.plan.at("after", "append");
            done
        }

        fn sync(&mut self) -> io::Result<()> {
            self.plan.around("sync", || self.file.sync())
        }

        fn size(&self) -> io::Result<u64> {
            self.file.size()
        }

        fn truncate(&mut self, len: u64) -> io::Result<()> {
            self.file.truncate(len)
        }
    }
}
