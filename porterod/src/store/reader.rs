//! The reading thread, so that a hanging drive blocks its callers only for a moment.
//!
//! Callers wait for the result, because they need it to go on. A read that takes too long is given up. Until
//! it ends, all other reads fail at once.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use portero::files::faults;
use portero::sync::lock;
use rusqlite::Connection;

use super::StoreError;

/// How long the runtime's thread may wait for a read; a working disk is far quicker.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The handle of the reading thread.
#[derive(Debug)]
pub(super) struct Reader {
    queue: Mutex<Option<Queue>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// How many reads have ended.
    ended: Arc<AtomicU64>,
    /// The number of the last read that was given up.
    given_up: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    jobs: mpsc::Sender<Job>,
    /// How many reads were queued.
    asked: u64,
}

impl Reader {
    /// Starts the thread; `path` is the store's file.
    pub(super) fn start(connection: Connection, path: PathBuf) -> Result<Self, StoreError> {
        let (jobs, asked) = mpsc::channel::<Job>();
        let ended = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name("store reader".to_owned()).spawn(move || {
            for job in asked {
                // A read that a test lets fail returns no answer, as if the thread had ended.
                if faults::before_read(&path).is_ok() {
                    job(&connection);
                }
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        let thread = thread.map_err(|error| StoreError::Failed(error.to_string()))?;
        let queue = Mutex::new(Some(Queue { jobs, asked: 0 }));
        Ok(Self { queue, thread: Mutex::new(Some(thread)), ended, given_up: AtomicU64::new(0) })
    }

    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Reads end in the order of their numbers. As long as fewer reads have ended than the number that was
        // given up, that read is still hanging.
        if self.given_up.load(Ordering::SeqCst) > self.ended.load(Ordering::SeqCst) {
            return Err(hangs());
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let number = {
            let mut queue = lock(&self.queue);
            let Some(queue) = queue.as_mut() else {
                return Err(StoreError::Failed("it is closed".to_owned()));
            };
            let job = Box::new(move |connection: &Connection| {
                // The caller may have given this read up.
                let _ = answer.send(read(connection));
            });
            queue.jobs.send(job).map_err(|_| failed())?;
            queue.asked += 1;
            queue.asked
        };
        match answered.recv_timeout(READ_TIMEOUT) {
            Ok(read) => read,
            Err(RecvTimeoutError::Timeout) => {
                self.given_up.fetch_max(number, Ordering::SeqCst);
                Err(hangs())
            }
            Err(RecvTimeoutError::Disconnected) => Err(failed()),
        }
    }

    /// Closes the connection without waiting for a hanging read.
    pub(super) fn close(&self) {
        drop(lock(&self.queue).take());
        let thread = lock(&self.thread).take();
        if self.given_up.load(Ordering::SeqCst) <= self.ended.load(Ordering::SeqCst)
            && let Some(thread) = thread
        {
            // If the reader panicked, its callers got an error from their closed channels.
            let _ = thread.join();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

fn hangs() -> StoreError {
    StoreError::Failed("the disk does not answer".to_owned())
}

fn failed() -> StoreError {
    StoreError::Failed("its reader ended".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::Condvar;
    use std::time::Instant;

    use portero::files::faults::{FileFault, inject_fault};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// A drive that hangs until it is let go.
    #[derive(Default)]
    struct Hangs(Mutex<bool>, Condvar);

    impl FileFault for Hangs {
        fn before_read(&self, _: &Path) -> io::Result<()> {
            let gone = self.0.lock().unwrap();
            drop(self.1.wait_timeout_while(gone, 2 * SOON, |gone| !*gone).unwrap());
            Ok(())
        }
    }

    #[test]
    fn a_read_that_hangs_is_given_up_and_the_next_ones_fail_at_once_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let reader = Reader::start(Connection::open_in_memory().unwrap(), path.clone()).unwrap();
        let one = || reader.read(|store| Ok(store.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?));
        assert_eq!(one(), Ok(1));
        let drive = Arc::new(Hangs::default());
        let fault = inject_fault(&path, Arc::clone(&drive) as _);
        assert_eq!(one(), Err(hangs()));
        let since = Instant::now();
        assert_eq!(one(), Err(hangs()));
        assert!(since.elapsed() < READ_TIMEOUT, "{:?}", since.elapsed());

        drop(fault);
        *drive.0.lock().unwrap() = true;
        drive.1.notify_all();
        while one() != Ok(1) {
            assert!(since.elapsed() < SOON, "it is not read again");
            std::thread::yield_now();
        }
        reader.close();
        assert!(one().is_err(), "it is closed");
    }
}
