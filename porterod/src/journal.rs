//! The one place that changes the store and writes the audit, together.
//!
//! A change is made in a transaction, recorded, the record synced, then the change committed: without its
//! record it is undone, and without the commit nobody is told that it was made (guarantee D2). What narrows,
//! and what tells how a call ended, goes on without a record if it must; the record follows when it can.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portero::anonymize::Fake;
use portero::audit::{Event, Record, Segment};
use portero::clock::{Clock, Moment};
use portero::task::Task;
use rusqlite::Connection;

#[cfg(test)]
use crate::crash::{self, Stage};
use crate::store::{Records, Store, StoreError, heads};

/// How many records may wait for a disk that is full.
const LATE_MOST: usize = 4096;

/// Whether a change may stand without its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// What widens, or lets something happen: no record, no change.
    Strict,
    /// What narrows, or tells what has happened: the record follows later.
    Lenient,
}

/// Store and audit, written together.
pub struct Journal {
    store: Store,
    records: Arc<Writing>,
    clock: Arc<dyn Clock>,
}

/// The segment, and the records that could not be written to it yet.
struct Writing {
    audit: Arc<Segment>,
    late: Mutex<VecDeque<Record>>,
}

impl Journal {
    /// Brings them together.
    #[must_use]
    pub fn new(store: Store, audit: Arc<Segment>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let records = Arc::new(Writing { audit, late: Mutex::default() });
        Arc::new(Self { store, records, clock })
    }

    /// Records a person's act that changed nothing here, and refused attempts.
    ///
    /// # Errors
    /// [`StoreError::Audit`]; the record is kept and written when that is possible again.
    pub fn record_act(
        &self,
        act: &str,
        about: &str,
        done: bool,
        process: Option<&str>,
    ) -> Result<(), StoreError> {
        self.record(self.act(act, about, done, process))
    }

    /// Writes one record that belongs to no change of the store, synced.
    ///
    /// # Errors
    /// As [`Journal::record_act`].
    pub fn record(&self, record: Record) -> Result<(), StoreError> {
        let written = self
            .records
            .append(std::slice::from_ref(&record))
            .and_then(|()| self.records.audit.sync())
            .map_err(|error| StoreError::Audit(error.to_string()));
        if written.is_err() {
            self.records.keep([record]);
        }
        written
    }

    /// Syncs the audit, and keeps how far it has come.
    ///
    /// # Errors
    /// [`StoreError::Audit`], or when the store cannot be written.
    pub(crate) async fn keep_head(&self) -> Result<(), StoreError> {
        let head = self.records.audit.head();
        self.store.write(Records::Synced, move |connection| heads::keep(connection, &head)).await
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Makes a change that gives its value and the records to write about it. `change` may run twice; the
    /// first time leaves nothing behind then.
    pub(crate) async fn change<T, F>(&self, weight: Weight, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<(T, Vec<Record>), StoreError> + Send + Sync + 'static,
    {
        let change = Arc::new(change);
        let written = Arc::new(Mutex::new(Vec::new()));
        let recorded = {
            let (change, records, written) = (change.clone(), self.records.clone(), written.clone());
            self.store.write(Records::Synced, move |connection| {
                let (value, about) = change(connection)?;
                #[cfg(test)]
                crash::reached_change(Stage::Changed, &about);
                if !about.is_empty() {
                    records.append(&about).map_err(|error| StoreError::Audit(error.to_string()))?;
                    *lock(&written) = about;
                    // Synced before this is committed, so the file is never shorter than its head.
                    heads::keep(connection, &records.audit.head())?;
                    #[cfg(test)]
                    crash::reached_change(Stage::Recorded, lock(&written).as_slice());
                }
                Ok(value)
            })
        }
        .await;
        match recorded {
            Err(StoreError::Audit(_)) if weight == Weight::Lenient => {
                let unwritten = lock(&written).is_empty();
                self.change_without_record(change, unwritten).await
            }
            Err(error) => {
                for record in lock(&written).iter() {
                    let about = format!("{}: {error}", told(&record.event));
                    // This is already the second failure; the one that is told is the first.
                    let _ = self.record_act("undo", &about, true, None);
                }
                Err(error)
            }
            Ok(value) => {
                #[cfg(test)]
                crash::reached_change(Stage::Committed, lock(&written).as_slice());
                Ok(value)
            }
        }
    }

    /// `unwritten` says that the records did not even reach the segment; else only syncing failed, and they
    /// are in it.
    async fn change_without_record<T, F>(&self, change: Arc<F>, unwritten: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<(T, Vec<Record>), StoreError> + Send + Sync + 'static,
    {
        let (value, about) = self.store.write(Records::None, move |connection| change(connection)).await?;
        if unwritten {
            self.records.keep(about);
        }
        Ok(value)
    }

    pub(crate) fn act(&self, act: &str, about: &str, done: bool, process: Option<&str>) -> Record {
        Record {
            at: self.now().wall,
            session: None,
            principal: None,
            event: Event::Act {
                act: act.to_owned(),
                about: about.to_owned(),
                done,
                process: process.map(str::to_owned),
            },
        }
    }
}

/// The record of the state that a task has come into.
pub(crate) fn about_task(task: &Task, by: &str, note: Option<&Fake<String>>) -> Record {
    Record {
        at: task.changed,
        session: Some(task.origin.session),
        principal: Some(task.origin.principal.clone()),
        event: Event::Task {
            task: task.id,
            tool: task.call.tool.clone(),
            state: task.state,
            by: by.to_owned(),
            note: note.cloned(),
        },
    }
}

/// What a record that does not hold was about.
fn told(event: &Event) -> String {
    match event {
        Event::Task { task, state, .. } => format!("task {task} is not {state}"),
        Event::Act { act, about, .. } => format!("{act} {about}"),
        Event::Intent { .. }
        | Event::Outcome { .. }
        | Event::Refused { .. }
        | Event::Config { .. }
        | Event::Process { .. } => "the last record".to_owned(),
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writing {
    /// Writes what is late, then `records`.
    fn append(&self, records: &[Record]) -> std::io::Result<()> {
        let mut late = lock(&self.late);
        while let Some(record) = late.front() {
            self.audit.append(record)?;
            late.pop_front();
        }
        drop(late);
        records.iter().try_for_each(|record| self.audit.append(record))
    }

    fn keep(&self, records: impl IntoIterator<Item = Record>) {
        let mut late = lock(&self.late);
        late.extend(records);
        while late.len() > LATE_MOST {
            late.pop_front();
            tracing::error!("an audit record is lost: too many wait for the disk");
        }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
