//! The disk, as far as dumps and the append-only log need it: one directory of files that grow at their ends.
//!
//! Nothing is durable before it has been synced: what a file has, by [`Appending::sync`]; that it is there
//! under its name, by [`Storage::sync_names`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub trait Storage: Send + Sync {
    /// A new file, or an empty one in the place of another.
    fn create(&self, name: &str) -> io::Result<Box<dyn Appending>>;

    /// A file that is there, to be gone on with at its end.
    fn open(&self, name: &str) -> io::Result<Box<dyn Appending>>;

    fn read(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;

    /// Writes over the first bytes of a file, which are there.
    fn write_first(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Gives a file another name, and takes that from the file that had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names as they are durable.
    fn sync_names(&self) -> io::Result<()>;
}

/// A file that is written at its end.
pub trait Appending: Send {
    fn append(&mut self, pieces: &[&[u8]]) -> io::Result<()>;

    /// Makes what has been written durable.
    fn sync(&mut self) -> io::Result<()>;

    fn size(&self) -> io::Result<u64>;

    /// Takes away what is behind a place.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A directory of the file system.
pub struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// The directory need not be there.
    pub fn new(directory: PathBuf) -> Disk {
        Disk { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory if it is not there.
    pub fn prepare(&self) -> io::Result<()> {
        match fs::create_dir(&self.directory) {
            Ok(()) => sync_parent(&self.directory),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// Makes it durable that a file is there, or is not.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

impl Storage for Disk {
    fn create(&self, name: &str) -> io::Result<Box<dyn Appending>> {
        File::create(self.path(name))?;
        // What is written after a truncation belongs at the end, and not where the last write ended.
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Appending>> {
        let file = OpenOptions::new().append(true).open(self.path(name))?;
        Ok(Box::new(file))
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path(name))?))
    }

    fn write_first(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(name))?;
        file.write_all_at(bytes, 0)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

impl Appending for File {
    fn append(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|p| IoSlice::new(p)).collect();
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}
