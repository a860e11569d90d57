//! Reading that gives up where the system doesn't: a network drive that is gone lets a thread hang for hours.
//!
//! Such a thread can't be ended, so it is left behind. What it reads is not read again before it returns, and only so
//! many threads may hang at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{FileError, FileProblem};

/// How long the reading of a few small files may take, on a machine that is busy.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How many reads may be under way, those that hang among them.
const MAX_CONCURRENT_READS: usize = 32;

static READERS: LazyLock<ReaderPool> = LazyLock::new(|| ReaderPool::new(MAX_CONCURRENT_READS));

/// Runs `read` on a thread of its own, and waits at most `timeout` for it. `path` is what it reads.
///
/// # Errors
/// [`FileProblem::TimedOut`], or [`FileProblem::StillHangs`] and [`FileProblem::TooManyHang`] where nothing was tried.
pub fn read_with_timeout<T: Send + 'static>(
    path: &Path,
    timeout: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FileError> {
    READERS.read_with_timeout(path, timeout, read)
}

/// Runs `read` on a thread of the runtime's for what blocks, and waits at most `timeout` for it. Whoever ends the
/// runtime must not wait for those threads.
///
/// # Errors
/// As [`read_with_timeout`].
pub async fn read_off_thread<T: Send + 'static>(
    path: &Path,
    timeout: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FileError> {
    READERS.read_off_thread(path, timeout, read).await
}

/// Threads that read.
pub(super) struct ReaderPool {
    free: Semaphore,
    max_reads: usize,
    /// How many reads of each path were given up on and hang.
    hanging: Mutex<HashMap<PathBuf, usize>>,
}

/// One read, as its thread and the one that waits for it know it.
struct Reading {
    readers: &'static ReaderPool,
    path: PathBuf,
    progress: Mutex<ReadProgress>,
}

#[derive(Default)]
struct ReadProgress {
    done: bool,
    abandoned: bool,
}

/// Its thread's part: dropped when the read ends, however late, and also where it panics.
struct TrackedRead {
    reading: Arc<Reading>,
    _permit: SemaphorePermit<'static>,
}

impl Drop for TrackedRead {
    fn drop(&mut self) {
        let Reading { readers, path, progress } = &*self.reading;
        let mut progress = lock_unpoisoned(progress);
        progress.done = true;
        if progress.abandoned {
            let mut hanging = lock_unpoisoned(&readers.hanging);
            if let Some(count) = hanging.get_mut(path) {
                *count -= 1;
            }
            hanging.retain(|_, count| *count > 0);
        }
    }
}

impl Reading {
    fn abandon_read(&self, timeout: Duration) -> FileError {
        let mut progress = lock_unpoisoned(&self.progress);
        if !progress.done {
            progress.abandoned = true;
            *lock_unpoisoned(&self.readers.hanging).entry(self.path.clone()).or_default() += 1;
        }
        FileError::new(&self.path, FileProblem::TimedOut(timeout))
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FileError {
        FileError::from_io(&self.path, std::io::Error::other(error))
    }
}

impl ReaderPool {
    pub(super) fn new(most: usize) -> Self {
        Self { free: Semaphore::new(most), max_reads: most, hanging: Mutex::default() }
    }

    pub(super) fn read_with_timeout<T: Send + 'static>(
        &'static self,
        path: &Path,
        timeout: Duration,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FileError> {
        self.refuse_if_hanging(path)?;
        let permit = self.free.try_acquire().map_err(|_| self.too_many_hanging(path))?;
        let (reading, work) = self.track(path, permit, read);
        let (done, result) = mpsc::sync_channel(1);
        let reader = thread::Builder::new().name("file reader".to_owned());
        let started = reader.spawn(move || {
            let _ = done.send(work());
        });
        started.map_err(|error| FileError::from_io(path, error))?;
        result.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => reading.abandon_read(timeout),
            RecvTimeoutError::Disconnected => reading.failed("its reader panicked"),
        })
    }

    pub(super) async fn read_off_thread<T: Send + 'static>(
        &'static self,
        path: &Path,
        timeout: Duration,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, FileError> {
        self.refuse_if_hanging(path)?;
        let Ok(permit) = tokio::time::timeout(timeout, self.free.acquire()).await else {
            return Err(self.too_many_hanging(path));
        };
        let permit = permit.map_err(|_| self.too_many_hanging(path))?;
        let (reading, work) = self.track(path, permit, read);
        match tokio::time::timeout(timeout, tokio::task::spawn_blocking(work)).await {
            Ok(done) => done.map_err(|error| reading.failed(error)),
            Err(_) => Err(reading.abandon_read(timeout)),
        }
    }

    /// The read, for the one that waits and for the thread.
    fn track<T: Send + 'static>(
        &'static self,
        path: &Path,
        permit: SemaphorePermit<'static>,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> (Arc<Reading>, impl FnOnce() -> T + Send + 'static) {
        let reading = Arc::new(Reading { readers: self, path: path.to_owned(), progress: Mutex::default() });
        let under_way = TrackedRead { reading: Arc::clone(&reading), _permit: permit };
        let work = move || {
            let _under_way = under_way;
            read()
        };
        (reading, work)
    }

    fn refuse_if_hanging(&self, path: &Path) -> Result<(), FileError> {
        match lock_unpoisoned(&self.hanging).contains_key(path) {
            true => Err(FileError::new(path, FileProblem::StillHangs)),
            false => Ok(()),
        }
    }

    fn too_many_hanging(&self, path: &Path) -> FileError {
        FileError::new(path, FileProblem::TooManyHang(self.max_reads))
    }
}

fn lock_unpoisoned<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
