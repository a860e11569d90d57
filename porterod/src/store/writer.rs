//! The writing thread: many changes in one transaction.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portero::files::faults;
use portero::sync::lock;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{CommitBarrier, Durability, StoreError};

/// How many changes may be queued; beyond that callers wait.
const MAX_QUEUED: usize = 256;
/// The most changes in one transaction.
const MAX_GROUP: usize = 128;
/// How long a transaction waits for another program that holds the store.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it tries again meanwhile.
const BUSY_INTERVAL: Duration = Duration::from_millis(20);

/// Runs one change unless the transaction has already failed, and returns the step that follows once the
/// transaction's result is known.
type ChangeFn = Box<dyn FnOnce(Result<&Connection, StoreError>) -> FinishFn + Send>;
type FinishFn = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct WriteJob {
    durability: Durability,
    change: ChangeFn,
}

/// The handle of the writing thread; dropping it waits for the thread's end.
#[derive(Debug)]
pub(super) struct StoreWriter {
    queue: Mutex<Option<mpsc::Sender<WriteJob>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether another program holds the store.
    busy: watch::Receiver<bool>,
}

impl StoreWriter {
    /// Starts the thread; `path` is the store's file.
    pub(super) fn start(
        connection: Connection,
        barrier: CommitBarrier,
        path: PathBuf,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(MAX_QUEUED);
        let (is_busy, busy) = watch::channel(false);
        // SQLite's own wait would be invisible. `begin_transaction` waits instead and reports it through
        // `busy`.
        connection.busy_timeout(Duration::ZERO)?;
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run_writer((&connection, &path), jobs, &barrier, &is_busy))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), busy })
    }

    /// Whether another program holds the store, as the last transaction found it.
    pub(super) fn subscribe_busy(&self) -> watch::Receiver<bool> {
        self.busy.clone()
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        records: Durability,
        change: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work: ChangeFn = Box::new(move |connection| {
            let changed = connection.and_then(|connection| run_in_savepoint(connection, change));
            Box::new(move |kept| {
                // The caller may have stopped waiting; the change is kept all the same.
                let _ = answer.send(kept.and(changed));
            })
        });
        let ended = || StoreError::Failed("its writer ended".to_owned());
        let queue = lock(&self.queue).clone();
        queue
            .ok_or_else(ended)?
            .send(WriteJob { durability: records, change: work })
            .await
            .map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

impl StoreWriter {
    /// Writes the queued changes, closes the connection, and returns when that is done.
    pub(super) fn close(&self) {
        drop(lock(&self.queue).take());
        if let Some(thread) = lock(&self.thread).take() {
            // If the writer panicked, its callers got an error from their closed channels.
            let _ = thread.join();
        }
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs a change in a savepoint, so that a failure rolls back only this change of the transaction.
fn run_in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("SAVEPOINT change")?;
    let changed = change(connection);
    let end = if changed.is_ok() { "RELEASE change" } else { "ROLLBACK TO change; RELEASE change" };
    match connection.execute_batch(end) {
        Ok(()) => changed,
        Err(error) => changed.and(Err(error.into())),
    }
}

fn run_writer(
    (connection, path): (&Connection, &Path),
    mut jobs: mpsc::Receiver<WriteJob>,
    barrier: &CommitBarrier,
    is_busy: &watch::Sender<bool>,
) {
    // Changes keep their order: a change of another durability ends this group and begins the next one.
    let (mut next, mut synced) = (None, true);
    while let Some(first) = next.take().or_else(|| jobs.blocking_recv()) {
        let records = first.durability;
        let mut group = vec![first.change];
        while group.len() < MAX_GROUP {
            match jobs.try_recv() {
                Ok(job) if job.durability == records => group.push(job.change),
                Ok(job) => {
                    next = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        let ready = set_commit_sync(connection, records != Durability::Unsynced, &mut synced)
            .and_then(|()| begin_transaction(connection, is_busy));
        commit_group((connection, path), group, (records, ready), barrier);
    }
}

/// Switches the sync at commit on or off. Without it the log is synced when it is folded into the file, so
/// the file stays intact (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
fn set_commit_sync(connection: &Connection, wanted: bool, synced: &mut bool) -> Result<(), StoreError> {
    if *synced != wanted {
        let how = if wanted { "FULL" } else { "NORMAL" };
        connection.execute_batch(&format!("PRAGMA synchronous = {how}"))?;
        *synced = wanted;
    }
    Ok(())
}

/// Begins a transaction once no other program holds the store.
fn begin_transaction(connection: &Connection, is_busy: &watch::Sender<bool>) -> Result<(), StoreError> {
    let since = Instant::now();
    loop {
        let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from);
        let busy = matches!(begun, Err(StoreError::Busy(_)));
        is_busy.send_if_modified(|was| std::mem::replace(was, busy) != busy);
        if !busy || since.elapsed() >= BUSY_TIMEOUT {
            return begun;
        }
        std::thread::sleep(BUSY_INTERVAL);
    }
}

/// Makes the changes of one transaction, and answers each only once the transaction's result is known.
///
/// The order is guarantee D2: changes, sync of the audit, commit. A crash between the last two leaves a
/// record of a change that wasn't made, but never a change without its record.
fn commit_group(
    (connection, path): (&Connection, &Path),
    group: Vec<ChangeFn>,
    (records, ready): (Durability, Result<(), StoreError>),
    barrier: &CommitBarrier,
) {
    let mut kept = ready;
    let mut finishes = Vec::with_capacity(group.len());
    for work in group {
        finishes.push(work(kept.clone().map(|()| connection)));
        if kept.is_ok() && connection.is_autocommit() {
            // SQLite itself rolled the transaction back, as on a full disk. Further statements must not run
            // now, because each would commit by itself.
            kept = Err(StoreError::Failed("the disk is full or failed".to_owned()));
        }
    }
    if kept.is_ok() && records == Durability::AuditSynced {
        kept = barrier().map_err(|error| StoreError::Audit(error.to_string()));
    }
    if kept.is_ok() {
        kept = faults::before_sync(path).map_err(|error| StoreError::Failed(error.to_string()));
    }
    if kept.is_ok() {
        kept = connection.execute_batch("COMMIT").map_err(StoreError::from);
    }
    if kept.is_err() && !connection.is_autocommit() {
        // If even this fails, the next BEGIN fails too. The callers below get the error in any case.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for finish in finishes {
        finish(kept.clone());
    }
}
