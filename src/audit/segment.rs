//! One process's own records, in a file that is continued in another when it is full.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use jiff::{SignedDuration, Timestamp};

use super::chain::{ChainLink, write_chained_line};
use super::disk::{Disk, SegmentFile, SystemDisk};
use super::{AuditEvent, AuditRecord, DigestKey, SegmentCheckpoint};
use crate::clock::Moment;
use crate::sync::lock;

/// How long a file may grow before the records continue in another.
pub const DEFAULT_SEGMENT_BYTES: u64 = 16 << 20;
/// How much more is written to a full file before another one is tried again.
const ROTATE_RETRY_BYTES: u64 = 64 << 10;
/// How many full files may wait for a sync.
const MAX_RETIRED_FILES: usize = 8;

/// The segment that one process appends its records to.
///
/// A failed write is an error to the caller, who must not go on (guarantee D2). The rest of a failed write is
/// cut off. If it can't be, or if a sync failed, nothing more is appended to that file. The next record then
/// begins another file, or fails too.
///
/// A full file is continued in another. The new file's first record names the former and its last record
/// ([`AuditEvent::Continued`]), so the files of one process form one chain. If no new file can be made, the
/// full one grows.
///
/// A sync takes as long as the disk needs, and appends never wait for it: `syncing` is held all that time, but
/// `state` only before and after. Lock order: `syncing` before `state`.
#[derive(Debug)]
pub struct AuditWriter {
    key: Option<DigestKey>,
    calls: AtomicU64,
    limit: AtomicU64,
    /// One sync at a time. A second one would miss the files that the first has taken and not synced yet.
    syncing: Mutex<()>,
    state: Mutex<AuditWriterState>,
}

#[derive(Debug)]
struct AuditWriterState {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    current: CurrentFile,
    line: Vec<u8>,
    /// Full files that aren't synced yet.
    retired: Vec<Arc<dyn SegmentFile>>,
    /// The sync of one of them on another thread, because too many had gathered.
    background_sync: Option<JoinHandle<io::Result<()>>>,
    /// The length at which the next file is tried again, after a failure.
    retry_rotate_at: Option<u64>,
    /// The number of appends.
    appended: u64,
    /// How many appends are covered by a sync, or by an error that a syncing caller got.
    settled: u64,
    /// How many of the other appends failed to sync, with callers that know it.
    reported_failures: u64,
    /// Whether some of the other appends are in a file that couldn't be synced. The next caller that syncs
    /// gets the error.
    lost: bool,
    /// The highest append that may be lost.
    lost_until: u64,
}

/// The file that is written to.
#[derive(Debug)]
struct CurrentFile {
    file: Arc<dyn SegmentFile>,
    name: String,
    began: Timestamp,
    link: ChainLink,
    length: u64,
    name_synced: bool,
    state: FileState,
}

/// What the file can still be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileState {
    /// It takes more records.
    Writable,
    /// It ends in a partial record that couldn't be cut off.
    Torn,
    /// A sync failed, so it is unknown what the disk holds.
    SyncFailed,
}

impl AuditWriter {
    /// Creates `<utc time>-<pid>-<random>.jsonl` (0600) in `directory`, and the directory if needed (0700).
    /// Records that `program` started.
    ///
    /// # Errors
    /// If the file can't be created or written.
    pub fn open(directory: &Path, program: &str, now: Moment) -> io::Result<Self> {
        Self::open_on(Arc::new(SystemDisk), directory, program, now)
    }

    /// Like [`AuditWriter::open`], on a given disk.
    ///
    /// # Errors
    /// If the file can't be created or written.
    pub fn open_on(disk: Arc<dyn Disk>, directory: &Path, program: &str, now: Moment) -> io::Result<Self> {
        create_private_directory(directory)?;
        let mut line = Vec::with_capacity(1024);
        let event = AuditEvent::Process { program: program.to_owned(), what: "started".to_owned() };
        let current = CurrentFile::begin(&*disk, directory, &mut line, (now.wall, now.wall, event))?;
        let directory = directory.to_owned();
        let retired = Vec::new();
        let inner = AuditWriterState {
            disk,
            directory,
            current,
            line,
            retired,
            background_sync: None,
            retry_rotate_at: None,
            appended: 1,
            settled: 0,
            reported_failures: 0,
            lost: false,
            lost_until: 0,
        };
        let (calls, limit) = (AtomicU64::new(1), AtomicU64::new(DEFAULT_SEGMENT_BYTES));
        Ok(Self { key: None, calls, limit, syncing: Mutex::default(), state: Mutex::new(inner) })
    }

    /// Makes digests with this key. Without a key records have no digests.
    #[must_use]
    pub fn with_key(self, key: io::Result<DigestKey>) -> Self {
        if let Err(error) = &key {
            tracing::error!(%error, "equal calls cannot be recognised in the audit: its key cannot be read");
        }
        Self { key: key.ok(), ..self }
    }

    /// Continues a file of this many bytes in another. The default is [`DEFAULT_SEGMENT_BYTES`].
    pub fn set_max_segment_bytes(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// The keyed digest of a value, for a record.
    #[must_use]
    pub fn digest_value(&self, value: &str) -> Option<String> {
        self.key.as_ref().map(|key| key.digest(value.as_bytes()))
    }

    /// Appends a record in one write, without waiting for the disk.
    ///
    /// # Errors
    /// If it wasn't written as a whole. Then nothing of it stays.
    pub fn append(&self, record: &AuditRecord) -> io::Result<()> {
        self.append_all(std::slice::from_ref(record))
    }

    /// Appends records in one write, all or none, without waiting for the disk.
    ///
    /// # Errors
    /// If they weren't written as a whole. Then nothing of them stays.
    pub fn append_all(&self, records: &[AuditRecord]) -> io::Result<()> {
        self.lock_state().append(records, self.limit.load(Ordering::Relaxed))
    }

    /// Appends a record and returns once it is on the disk.
    ///
    /// # Errors
    /// As [`AuditWriter::append`]. If the sync fails, it is unknown whether the record stays.
    pub fn append_durable(&self, record: &AuditRecord) -> io::Result<()> {
        let own = {
            let mut inner = self.lock_state();
            inner.append(std::slice::from_ref(record), self.limit.load(Ordering::Relaxed))?;
            inner.appended
        };
        // Appends of others that arrive while this waits are covered by the same sync.
        let _one_at_a_time = self.lock_sync();
        let batch = self.lock_state().begin_sync()?;
        let (batch, synced) = batch.sync();
        let mut inner = self.lock_state();
        // The caller of this record gets the error.
        inner.reported_failures += u64::from(synced.is_err());
        inner.end_sync(&batch, synced)?;
        // Another sync failed in between, and the file with this record is no longer the current one.
        if own <= inner.lost_until { Err(lost_earlier()) } else { Ok(()) }
    }

    /// Returns once everything appended so far is on the disk. For one thread that appends and then syncs;
    /// others use [`AuditWriter::append_durable`].
    ///
    /// # Errors
    /// If anything appended since the last call may be lost, even if appends have since continued in another
    /// file.
    pub fn sync(&self) -> io::Result<()> {
        let _one_at_a_time = self.lock_sync();
        // Taken in one step with the mark, so that a loss that is recorded during the sync is left for the
        // next caller.
        let (begun, mark, lost) = {
            let mut inner = self.lock_state();
            let (mark, lost) = (inner.appended, std::mem::take(&mut inner.lost));
            (inner.begin_sync(), mark, lost)
        };
        let synced = begun.and_then(|batch| {
            let (batch, synced) = batch.sync();
            self.lock_state().end_sync(&batch, synced)
        });
        // Settled even after a failure, because the caller now gets the error.
        self.lock_state().mark_settled(mark);
        synced?;
        if lost { Err(lost_earlier()) } else { Ok(()) }
    }

    /// A number that links an intent to its outcome, unique within this process.
    #[must_use]
    pub fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// The path of the current file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let inner = self.lock_state();
        inner.directory.join(&inner.current.name)
    }

    /// The position of the current file's last record. It need not be on the disk yet.
    #[must_use]
    pub fn checkpoint(&self) -> SegmentCheckpoint {
        let CurrentFile { name, link, length, .. } = &self.lock_state().current;
        SegmentCheckpoint::new(name.clone(), link, *length)
    }

    fn lock_sync(&self) -> MutexGuard<'_, ()> {
        lock(&self.syncing)
    }

    fn lock_state(&self) -> MutexGuard<'_, AuditWriterState> {
        // A panic in the middle of an append is repaired by the length, like a torn write.
        lock(&self.state)
    }
}

impl AuditWriterState {
    fn append(&mut self, records: &[AuditRecord], limit: u64) -> io::Result<()> {
        let Some(first) = records.first() else { return Ok(()) };
        // Records that go into a removed file would be lost without a trace, so the call must not run.
        if self.current.file.is_gone()? {
            return Err(io::Error::other("this audit segment was removed; start Portero again"));
        }
        match self.current.state {
            FileState::Torn | FileState::SyncFailed => self.continue_in_new_file(first.at)?,
            FileState::Writable if self.current.length >= self.retry_rotate_at.unwrap_or(limit) => {
                self.rotate(first.at)
            }
            FileState::Writable => {}
        }
        self.current.append(records, &mut self.line)?;
        self.appended += 1;
        Ok(())
    }

    /// Continues in another file if possible. Otherwise the full one grows, and another is tried later.
    fn rotate(&mut self, at: Timestamp) {
        if let Err(error) = self.continue_in_new_file(at) {
            tracing::warn!(%error, "no new segment of the audit can be begun; the old one grows on");
            self.retry_rotate_at = Some(self.current.length + ROTATE_RETRY_BYTES);
        }
    }

    fn continue_in_new_file(&mut self, at: Timestamp) -> io::Result<()> {
        let CurrentFile { name, began, link, state, .. } = &self.current;
        let fault = *state == FileState::SyncFailed;
        let (former, hash) = (name.clone(), link.hash.to_hex().to_string());
        let event = AuditEvent::Continued { former, seq: link.seq, hash, fault };
        // Names must follow the order of the chain, whatever the wall clock does.
        let after = began.checked_add(SignedDuration::from_micros(1)).map_err(io::Error::other)?;
        let parts = (at, at.max(after), event);
        let next = CurrentFile::begin(&*self.disk, &self.directory, &mut self.line, parts)?;
        let former = std::mem::replace(&mut self.current, next);
        self.retry_rotate_at = None;
        if fault {
            // Some appends are neither synced nor reported to their callers, so the next caller that syncs
            // must hear of them.
            if self.appended > self.settled + self.reported_failures {
                self.mark_lost();
            }
            self.mark_settled(self.appended);
        } else {
            self.retire_file(former.file);
        }
        Ok(())
    }

    /// Later syncs must cover all earlier appends, so a full file waits for one.
    fn retire_file(&mut self, file: Arc<dyn SegmentFile>) {
        self.retired.push(file);
        let is_busy = self.background_sync.as_ref().is_some_and(|thread| !thread.is_finished());
        if self.retired.len() > MAX_RETIRED_FILES && !is_busy {
            // Appends must not wait for a disk, so another thread syncs it.
            self.join_background_sync();
            let oldest = self.retired.remove(0);
            let file = Arc::clone(&oldest);
            match std::thread::Builder::new().name("audit".to_owned()).spawn(move || file.sync()) {
                Ok(thread) => self.background_sync = Some(thread),
                Err(_) => self.retired.insert(0, oldest),
            }
        }
    }

    /// Its records were written long ago, so a failure here means that the disk itself fails.
    fn join_background_sync(&mut self) {
        if let Some(thread) = self.background_sync.take()
            && !matches!(thread.join(), Ok(Ok(())))
        {
            self.mark_lost();
        }
    }

    fn mark_lost(&mut self) {
        (self.lost, self.lost_until) = (true, self.appended);
    }

    /// Marks everything up to this number of appends as settled.
    fn mark_settled(&mut self, mark: u64) {
        // Syncs may end in another order than they began, so an older mark must not lower it.
        if mark >= self.settled {
            (self.settled, self.reported_failures) = (mark, 0);
        }
    }

    /// Takes what is to be synced, for a sync without locks. Its result goes to
    /// [`AuditWriterState::end_sync`].
    fn begin_sync(&mut self) -> io::Result<SyncBatch> {
        if self.current.state == FileState::SyncFailed {
            return Err(io::Error::other("this audit segment failed earlier"));
        }
        let name = (!self.current.name_synced).then(|| self.directory.join(&self.current.name));
        Ok(SyncBatch {
            background_sync: self.background_sync.take(),
            retired: std::mem::take(&mut self.retired),
            current: Arc::clone(&self.current.file),
            name: name.map(|path| (Arc::clone(&self.disk), path)),
            mark: self.appended,
        })
    }

    fn end_sync(&mut self, batch: &SyncBatch, synced: io::Result<()>) -> io::Result<()> {
        let is_current = Arc::ptr_eq(&self.current.file, &batch.current);
        match &synced {
            Ok(()) => {
                self.mark_settled(batch.mark);
                self.current.name_synced |= is_current;
            }
            Err(_) if is_current => self.current.state = FileState::SyncFailed,
            // Appends went on in another file meanwhile, and this one is among the retired.
            Err(_) => self.mark_lost(),
        }
        synced
    }
}

/// The files of one sync.
struct SyncBatch {
    background_sync: Option<JoinHandle<io::Result<()>>>,
    retired: Vec<Arc<dyn SegmentFile>>,
    current: Arc<dyn SegmentFile>,
    /// The name that isn't on the disk yet.
    name: Option<(Arc<dyn Disk>, PathBuf)>,
    /// The number of appends at its start.
    mark: u64,
}

impl SyncBatch {
    fn sync(mut self) -> (Self, io::Result<()>) {
        let apart = match self.background_sync.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(joined) => joined.unwrap_or_else(|_| Err(io::Error::other("the thread that syncs failed"))),
        };
        let synced = apart.and_then(|()| self.sync_files());
        (self, synced)
    }

    fn sync_files(&self) -> io::Result<()> {
        // Oldest first. If one fails, the later ones don't count as durable either.
        self.retired.iter().try_for_each(|file| file.sync())?;
        self.current.sync()?;
        self.name.as_ref().map_or(Ok(()), |(disk, path)| disk.sync_name(path))
    }
}

fn lost_earlier() -> io::Error {
    io::Error::other("an earlier record could not be synced")
}

impl CurrentFile {
    /// Creates a file and writes its first record. If that fails, no file stays. `at` is the record's time,
    /// `began` the time in its name.
    fn begin(
        disk: &dyn Disk,
        directory: &Path,
        line: &mut Vec<u8>,
        (at, began, event): (Timestamp, Timestamp, AuditEvent),
    ) -> io::Result<Self> {
        let time = began.strftime("%Y%m%dT%H%M%S%.6fZ");
        let name = format!("{time}-{}-{:08x}.jsonl", std::process::id(), rand::random::<u32>());
        let path = directory.join(&name);
        let file: Arc<dyn SegmentFile> = Arc::from(disk.create(&path)?);
        let link = ChainLink::before_first(&name);
        let mut current =
            Self { file, name, began, link, length: 0, name_synced: false, state: FileState::Writable };
        let first = AuditRecord { at, session: None, principal: None, address: None, event };
        if let Err(error) = current.append(std::slice::from_ref(&first), line) {
            drop(current);
            if let Err(left) = disk.remove(&path) {
                tracing::debug!(%left, "an empty segment of the audit stays");
            }
            return Err(error);
        }
        Ok(current)
    }

    fn append(&mut self, records: &[AuditRecord], line: &mut Vec<u8>) -> io::Result<()> {
        line.clear();
        let mut next = self.link.clone();
        for record in records {
            // All lines go into one buffer and one write, which makes them all or none.
            next = write_chained_line(line, &next, record)?;
        }
        match write_once(&*self.file, line) {
            Ok(()) => {
                self.length += line.len() as u64;
                self.link = next;
                Ok(())
            }
            Err(error) => {
                // Cut off what a short write left, so that the next record starts on a new line.
                if self.file.truncate(self.length).is_err() {
                    self.state = FileState::Torn;
                }
                Err(error)
            }
        }
    }
}

// A short write isn't continued: the disk is probably full, and the caller cuts it off. Only an interrupted
// call, which wrote nothing, is repeated.
fn write_once(file: &dyn SegmentFile, line: &[u8]) -> io::Result<()> {
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
pub(super) mod tests;
