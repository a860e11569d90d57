//! One process's own file of records.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chain::{Link, write_line};
use super::{Head, Key, Record};
use crate::clock::Moment;

/// The file that one process appends its records to.
///
/// A failed write is told to the caller, who must not go on (guarantee D2). What a failed write left behind
/// is cut off again; where that is impossible, nothing more is appended.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    name: String,
    key: Option<Key>,
    calls: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    link: Link,
    length: u64,
    line: Vec<u8>,
    named: bool,
    broken: bool,
}

impl Segment {
    /// Creates `<utc time>-<pid>-<random>.jsonl` in `directory` (0600), which is created too (0700), and
    /// records that `program` started.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    pub fn open(directory: &Path, program: &str, now: Moment) -> io::Result<Self> {
        create_private_directory(directory)?;
        let name = format!(
            "{}-{}-{:08x}.jsonl",
            now.wall.strftime("%Y%m%dT%H%M%S%.6fZ"),
            std::process::id(),
            rand::random::<u32>()
        );
        let path = directory.join(&name);
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let inner = Inner {
            file: options.open(&path)?,
            link: Link::first(&name),
            length: 0,
            line: Vec::with_capacity(1024),
            named: false,
            broken: false,
        };
        let segment = Self { path, name, key: None, calls: AtomicU64::new(1), inner: Mutex::new(inner) };
        segment.append(&Record {
            at: now.wall,
            session: None,
            principal: None,
            event: super::Event::Process { program: program.to_owned(), what: "started".to_owned() },
        })?;
        Ok(segment)
    }

    /// Digests are made with this key. Without one there are none, and the records say as much.
    #[must_use]
    pub fn with_key(self, key: io::Result<Key>) -> Self {
        if let Err(error) = &key {
            tracing::error!(%error, "equal calls cannot be recognised in the audit: its key cannot be read");
        }
        Self { key: key.ok(), ..self }
    }

    /// The keyed digest of a value, for a record.
    #[must_use]
    pub fn digest(&self, value: &str) -> Option<String> {
        self.key.as_ref().map(|key| key.digest(value.as_bytes()))
    }

    /// Appends a record in one write, without waiting for the disk.
    ///
    /// # Errors
    /// When it was not written whole; then nothing of it stays.
    pub fn append(&self, record: &Record) -> io::Result<()> {
        self.lock().append(record)
    }

    /// Appends a record and returns once it is on the disk.
    ///
    /// # Errors
    /// As [`Segment::append`], and when syncing fails: nothing more is appended then, because what the disk
    /// holds is unknown.
    pub fn append_durable(&self, record: &Record) -> io::Result<()> {
        let mut inner = self.lock();
        inner.append(record)?;
        inner.sync(&self.path)
    }

    /// Returns once everything appended so far is on the disk.
    ///
    /// # Errors
    /// When syncing fails.
    pub fn sync(&self) -> io::Result<()> {
        self.lock().sync(&self.path)
    }

    /// A number that links an intent to its outcome, unique in this segment.
    #[must_use]
    pub fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it has come. Not all of that need be on the disk yet.
    #[must_use]
    pub fn head(&self) -> Head {
        let inner = self.lock();
        Head::new(self.name.clone(), &inner.link, inner.length)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in the middle of an append is repaired by the length, like a torn write.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, record: &Record) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write to this audit segment could not be repaired"));
        }
        if is_gone(&self.file)? {
            return Err(io::Error::other("this audit segment was removed; start Portero again"));
        }
        let next = write_line(&mut self.line, &self.link, record)?;
        match self.write_once() {
            Ok(()) => {
                self.length += self.line.len() as u64;
                self.link = next;
                Ok(())
            }
            Err(error) => {
                // Cut off what a short write left, so that the next line starts at a line's start.
                self.broken = self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }

    fn write_once(&mut self) -> io::Result<()> {
        loop {
            match self.file.write(&self.line) {
                Ok(written) if written == self.line.len() => return Ok(()),
                Ok(_) => {
                    return Err(io::Error::new(io::ErrorKind::WriteZero, "the audit record was cut short"));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("this audit segment failed earlier"));
        }
        let synced =
            self.file.sync_data().and_then(|()| if self.named { Ok(()) } else { sync_directory(path) });
        self.broken = synced.is_err();
        self.named = !self.broken;
        synced
    }
}

/// Whether nobody could ever read what is written: the file was removed. That is as good as no record.
#[cfg(unix)]
fn is_gone(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) == 0)
}

/// Where a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_gone(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// Makes the file's name durable too; once is enough.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(not(unix))]
pub(super) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

fn create_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(test)]
mod tests;
