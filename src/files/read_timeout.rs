//! Reads with a timeout, where the system has none: a network drive that is gone can block a thread for hours.
//!
//! Such a thread can't be stopped, so it is left behind. Its file isn't read again before it returns. The
//! number of threads is limited, and a read waits for a free place within its timeout.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{FileError, FileProblem};

/// The time limit for reading a few small files on a busy machine.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How many reads may run at once, hanging ones included.
const MAX_CONCURRENT_READS: usize = 32;

static READERS: LazyLock<ReaderPool> = LazyLock::new(|| ReaderPool::new(MAX_CONCURRENT_READS));

thread_local! {
    /// The place of the read that this thread runs. Nested reads share it. If they took a second place, reads
    /// that hold one and wait for another could deadlock.
    static OWN_PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// A place in a pool, free again once every read that shares it has ended.
type Place = Arc<SemaphorePermit<'static>>;

/// Runs `read`, which reads the file at `path`, on a thread of its own. Waits at most `timeout` for a free
/// place and the read together.
///
/// # Errors
/// [`FileProblem::TimedOut`]. If nothing was tried, [`FileProblem::StillHangs`] or
/// [`FileProblem::TooManyHang`].
pub fn read_with_timeout<T: Send + 'static>(
    path: &Path,
    timeout: Duration,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FileError> {
    READERS.read_with_timeout(path, timeout, read)
}

/// Like [`read_with_timeout`], on one of the runtime's threads for blocking work. The runtime's shutdown must
/// not wait for those threads.
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

/// The pool of reading threads, with the files whose reads hang.
pub(super) struct ReaderPool {
    free: Semaphore,
    max_reads: usize,
    /// How many abandoned reads of each path still hang.
    hanging: Mutex<HashMap<PathBuf, usize>>,
}

/// One read, shared by its thread and its caller.
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

/// The thread's part of a read. Dropped when the read ends, however late, and also if it panics.
struct TrackedRead {
    reading: Arc<Reading>,
    place: Place,
}

/// Lends the place of a read to nested reads, until it is dropped.
struct LentPlace;

/// Wakes the thread that waits for a place.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl LentPlace {
    fn lend(place: &Place) -> Self {
        OWN_PLACE.set(Some(Arc::clone(place)));
        Self
    }
}

impl Drop for LentPlace {
    fn drop(&mut self) {
        OWN_PLACE.take();
    }
}

impl Drop for TrackedRead {
    fn drop(&mut self) {
        let Reading { readers, path, progress } = &*self.reading;
        // Lock order: `progress` before `hanging`, as in `abandon_read`. A read that ends right at its timeout
        // is then counted out only after it was counted in.
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
        let deadline = Instant::now() + timeout;
        let place = self.wait_for_place(deadline).ok_or_else(|| self.too_many_hanging(path))?;
        let (reading, work) = self.track(path, place, read);
        let (done, result) = mpsc::sync_channel(1);
        let reader = thread::Builder::new().name("file reader".to_owned());
        let started = reader.spawn(move || {
            let _ = done.send(work());
        });
        started.map_err(|error| FileError::from_io(path, error))?;
        result.recv_timeout(deadline.saturating_duration_since(Instant::now())).map_err(|error| match error {
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
        let deadline = tokio::time::Instant::now() + timeout;
        let Ok(Ok(permit)) = tokio::time::timeout_at(deadline, self.free.acquire()).await else {
            return Err(self.too_many_hanging(path));
        };
        let (reading, work) = self.track(path, Arc::new(permit), read);
        match tokio::time::timeout_at(deadline, tokio::task::spawn_blocking(work)).await {
            Ok(done) => done.map_err(|error| reading.failed(error)),
            Err(_) => Err(reading.abandon_read(timeout)),
        }
    }

    /// Parks this thread until a place is free; `None` at the deadline.
    fn wait_for_place(&'static self, deadline: Instant) -> Option<Place> {
        if let Some(own) = OWN_PLACE.with_borrow(Option::clone) {
            return Some(own);
        }
        // Unconstrained, because a task that has used up its budget would be told to yield for ever here.
        let mut acquiring = pin!(tokio::task::unconstrained(self.free.acquire()));
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            if let Poll::Ready(permit) = acquiring.as_mut().poll(&mut Context::from_waker(&waker)) {
                return permit.ok().map(Arc::new);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // Another unpark may end it early. Only the poll above tells whether a place is free.
            thread::park_timeout(left);
        }
    }

    /// Splits the read into the caller's part and the thread's part.
    fn track<T: Send + 'static>(
        &'static self,
        path: &Path,
        place: Place,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> (Arc<Reading>, impl FnOnce() -> T + Send + 'static) {
        let reading = Arc::new(Reading { readers: self, path: path.to_owned(), progress: Mutex::default() });
        let under_way = TrackedRead { reading: Arc::clone(&reading), place };
        // Dropped in reverse: first the lent place, then the tracked read, which frees it.
        let work = move || {
            let under_way = under_way;
            let _lent = LentPlace::lend(&under_way.place);
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
