//! One process's own records: a file, and when that is full the next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::chain::{Link, write_line};
use super::disk::{Disk, Lines, RealDisk};
use super::{Event, Head, Key, Record};
use crate::clock::Moment;

/// How long a file may get before its records go on in another.
pub const SEGMENT_BYTES: u64 = 16 << 20;
/// How much more is written to a file that is full before another is tried for again.
const TRY_AGAIN: u64 = 64 << 10;
/// How many files may be full and not synced by us.
const RETIRED_MOST: usize = 8;

/// Where one process appends its records to.
///
/// A failed write is told to the caller, who must not go on (guarantee D2). What a failed write left behind
/// is cut off again; where that is impossible, or syncing failed, nothing more is appended to that file: the
/// next record begins another, or fails too.
///
/// A file that is full is continued in another too. Its first record names the former and how far that had
/// come ([`Event::Continued`]), so that the files of one process are one chain. When no other can be made, the
/// full one grows on.
#[derive(Debug)]
pub struct Segment {
    key: Option<Key>,
    calls: AtomicU64,
    limit: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    current: Current,
    line: Vec<u8>,
    /// Full, and not synced yet.
    retired: Vec<Box<dyn Lines>>,
    /// At what length the next file is tried for, if that failed already.
    try_at: Option<u64>,
    /// Whether something was appended that no sync covers yet.
    unsynced: bool,
    /// Whether some of that is in a file that could not be synced.
    lost: bool,
}

/// The file that is written to.
#[derive(Debug)]
struct Current {
    file: Box<dyn Lines>,
    name: String,
    began: Timestamp,
    link: Link,
    length: u64,
    named: bool,
    state: State,
}

/// What the file can still be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// For more.
    Whole,
    /// It ends in a part of a record that cannot be cut off.
    Torn,
    /// Syncing failed: what the disk holds of it is unknown.
    Unknown,
}

impl Segment {
    /// Creates `<utc time>-<pid>-<random>.jsonl` in `directory` (0600), which is created too (0700), and
    /// records that `program` started.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    pub fn open(directory: &Path, program: &str, now: Moment) -> io::Result<Self> {
        Self::open_on(Arc::new(RealDisk), directory, program, now)
    }

    /// As [`Segment::open`], on a disk that may fail.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    pub fn open_on(disk: Arc<dyn Disk>, directory: &Path, program: &str, now: Moment) -> io::Result<Self> {
        create_private_directory(directory)?;
        let mut line = Vec::with_capacity(1024);
        let event = Event::Process { program: program.to_owned(), what: "started".to_owned() };
        let current = Current::begin(&*disk, directory, &mut line, (now.wall, now.wall, event))?;
        let directory = directory.to_owned();
        let retired = Vec::new();
        let inner =
            Inner { disk, directory, current, line, retired, try_at: None, unsynced: true, lost: false };
        let (calls, limit) = (AtomicU64::new(1), AtomicU64::new(SEGMENT_BYTES));
        Ok(Self { key: None, calls, limit, inner: Mutex::new(inner) })
    }

    /// Digests are made with this key. Without one there are none, and the records say as much.
    #[must_use]
    pub fn with_key(self, key: io::Result<Key>) -> Self {
        if let Err(error) = &key {
            tracing::error!(%error, "equal calls cannot be recognised in the audit: its key cannot be read");
        }
        Self { key: key.ok(), ..self }
    }

    /// A file of this many bytes or more is continued in another. Else that is [`SEGMENT_BYTES`].
    pub fn continue_after(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
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
        self.append_all(std::slice::from_ref(record))
    }

    /// Appends records in one write, all or none, without waiting for the disk.
    ///
    /// # Errors
    /// When they were not written whole; then nothing of them stays.
    pub fn append_all(&self, records: &[Record]) -> io::Result<()> {
        self.lock().append(records, self.limit.load(Ordering::Relaxed))
    }

    /// Appends a record and returns once it is on the disk.
    ///
    /// # Errors
    /// As [`Segment::append`], and when syncing fails: whether the record stays is unknown then.
    pub fn append_durable(&self, record: &Record) -> io::Result<()> {
        let mut inner = self.lock();
        let others = inner.unsynced;
        inner.append(std::slice::from_ref(record), self.limit.load(Ordering::Relaxed))?;
        let synced = inner.sync_all();
        if synced.is_err() {
            // Of this record its caller knows.
            inner.unsynced = others;
        }
        synced
    }

    /// Returns once everything appended so far is on the disk. For one thread that appends and then syncs;
    /// others use [`Segment::append_durable`].
    ///
    /// # Errors
    /// When anything that was appended since the last time may be lost, even if others have gone on in another
    /// file meanwhile.
    pub fn sync(&self) -> io::Result<()> {
        self.lock().sync()
    }

    /// A number that links an intent to its outcome, unique among the records of this process.
    #[must_use]
    pub fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// Where the file is that is written to now.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let inner = self.lock();
        inner.directory.join(&inner.current.name)
    }

    /// How far the file that is written to now has come. Not all of that need be on the disk yet.
    #[must_use]
    pub fn head(&self) -> Head {
        let Current { name, link, length, .. } = &self.lock().current;
        Head::new(name.clone(), link, *length)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in the middle of an append is repaired by the length, like a torn write.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, records: &[Record], limit: u64) -> io::Result<()> {
        let Some(first) = records.first() else { return Ok(()) };
        if self.current.file.is_gone()? {
            return Err(io::Error::other("this audit segment was removed; start Portero again"));
        }
        match self.current.state {
            State::Torn | State::Unknown => self.go_on(first.at)?,
            State::Whole if self.current.length >= self.try_at.unwrap_or(limit) => self.rotate(first.at),
            State::Whole => {}
        }
        self.current.append(records, &mut self.line)?;
        self.unsynced = true;
        Ok(())
    }

    /// Goes on in another file if that is possible; else the full one grows, and another is tried for later.
    fn rotate(&mut self, at: Timestamp) {
        if let Err(error) = self.go_on(at) {
            tracing::warn!(%error, "no new segment of the audit can be begun; the old one grows on");
            self.try_at = Some(self.current.length + TRY_AGAIN);
        }
    }

    fn go_on(&mut self, at: Timestamp) -> io::Result<()> {
        let Current { name, began, link, state, .. } = &self.current;
        let fault = *state == State::Unknown;
        let (former, hash) = (name.clone(), link.hash.to_hex().to_string());
        let event = Event::Continued { former, seq: link.seq, hash, fault };
        // Names stand in the order of the chain, whatever the wall clock does.
        let after = began.checked_add(SignedDuration::from_micros(1)).map_err(io::Error::other)?;
        let parts = (at, at.max(after), event);
        let next = Current::begin(&*self.disk, &self.directory, &mut self.line, parts)?;
        let former = std::mem::replace(&mut self.current, next);
        self.try_at = None;
        if fault {
            self.lost |= self.unsynced;
        } else {
            self.retire(former.file);
        }
        Ok(())
    }

    /// Whoever syncs later counts on all that was appended before.
    fn retire(&mut self, file: Box<dyn Lines>) {
        self.retired.push(file);
        if self.retired.len() > RETIRED_MOST && self.retired.remove(0).sync().is_err() {
            // It was written long ago, so this says that the disk itself fails.
            self.lost = true;
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let lost = std::mem::take(&mut self.lost);
        let synced = self.sync_all();
        // Whatever is lost: whoever syncs is told now.
        self.unsynced = false;
        synced?;
        if lost { Err(io::Error::other("an earlier record could not be synced")) } else { Ok(()) }
    }

    fn sync_all(&mut self) -> io::Result<()> {
        if self.current.state == State::Unknown {
            return Err(io::Error::other("this audit segment failed earlier"));
        }
        let synced = self.sync_each();
        match synced {
            Ok(()) => self.unsynced = false,
            Err(_) => self.current.state = State::Unknown,
        }
        synced
    }

    fn sync_each(&mut self) -> io::Result<()> {
        while let Some(mut former) = self.retired.pop() {
            former.sync()?;
        }
        self.current.file.sync()?;
        if !self.current.named {
            self.disk.sync_name(&self.directory.join(&self.current.name))?;
            self.current.named = true;
        }
        Ok(())
    }
}

impl Current {
    /// Makes a file and writes its first record; where that fails, no file stays. `at` is when, `name` what
    /// time its name says.
    fn begin(
        disk: &dyn Disk,
        directory: &Path,
        line: &mut Vec<u8>,
        (at, began, event): (Timestamp, Timestamp, Event),
    ) -> io::Result<Self> {
        let time = began.strftime("%Y%m%dT%H%M%S%.6fZ");
        let name = format!("{time}-{}-{:08x}.jsonl", std::process::id(), rand::random::<u32>());
        let path = directory.join(&name);
        let file = disk.create(&path)?;
        let link = Link::first(&name);
        let mut current = Self { file, name, began, link, length: 0, named: false, state: State::Whole };
        let first = Record { at, session: None, principal: None, event };
        if let Err(error) = current.append(std::slice::from_ref(&first), line) {
            drop(current);
            if let Err(left) = disk.remove(&path) {
                tracing::debug!(%left, "an empty segment of the audit stays");
            }
            return Err(error);
        }
        Ok(current)
    }

    fn append(&mut self, records: &[Record], line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        let mut next = self.link.clone();
        for record in records {
            next = write_line(line, &next, record)?;
        }
        match write_once(&mut *self.file, line) {
            Ok(()) => {
                self.length += line.len() as u64;
                self.link = next;
                Ok(())
            }
            Err(error) => {
                // Cut off what a short write left, so that the next line starts at a line's start.
                if self.file.truncate(self.length).is_err() {
                    self.state = State::Torn;
                }
                Err(error)
            }
        }
    }
}

fn write_once(file: &mut dyn Lines, line: &[u8]) -> io::Result<()> {
    loop {
        match file.write(line) {
            Ok(written) if written == line.len() => return Ok(()),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::WriteZero, "the audit record was cut short")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn create_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(test)]
mod rotation;
#[cfg(test)]
mod tests;
