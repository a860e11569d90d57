//! The one place that changes the store and writes the audit and the outbox, together.
//!
//! A change is made in a transaction, recorded, the record synced, then the change committed: without its
//! record it is undone, and without the commit nobody is told that it was made (guarantee D2). What a person
//! must be told of it goes into the same transaction (`Account`). What narrows, and what tells how a call
//! ended, goes on without record or notice if it must; they follow when they can.

mod account;
mod notices;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::{Anonymizer, Fake};
use portero::audit::{Event, Record, Segment};
use portero::clock::{Clock, Moment};
use portero::notice::{Alarm, Notice};
use portero::task::Task;
use rusqlite::Connection;
use tokio::sync::watch;

#[cfg(test)]
use crate::crash::{self, Stage};
use crate::damper::Damper;
use crate::store::{Records, Store, StoreError, heads};
pub(crate) use account::Account;
use notices::Notices;

/// How many records may wait for a disk that is full.
const LATE_MOST: usize = 4096;

/// For how long alarms that say the same are counted after the first was told.
pub(crate) const ALARMS_FOR: Duration = Duration::from_secs(5 * 60);
/// How many different ones are counted at a time; each that is beyond is told.
const ALARMS_MOST: usize = 1000;

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
    notices: Arc<Notices>,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    clock: Arc<dyn Clock>,
    /// Whether the last records could not be written, and people were told so.
    failing: AtomicBool,
    /// Alarms that were raised lately, by what they say, and how often since.
    alarms: Mutex<Damper<(Alarm, String), u64>>,
}

/// The segment, and the records that could not be written to it yet.
struct Writing {
    audit: Arc<Segment>,
    late: Mutex<VecDeque<Record>>,
}

impl Journal {
    /// Brings them together. What a person is told is concealed by `anonymizer`.
    #[must_use]
    pub fn new(
        store: Store,
        audit: Arc<Segment>,
        anonymizer: Arc<ArcSwap<Anonymizer>>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let records = Arc::new(Writing { audit, late: Mutex::default() });
        let failing = AtomicBool::new(false);
        let alarms = Mutex::new(Damper::new(ALARMS_FOR));
        Arc::new(Self { store, records, notices: Arc::default(), anonymizer, clock, failing, alarms })
    }

    /// Tells a person of something that changes nothing in the store. What cannot be written now follows.
    pub async fn tell(&self, notice: Notice) {
        self.notices.keep([notice]);
        if let Err(error) = self.tell_late().await {
            tracing::error!(%error, "a notice waits for the disk");
        }
    }

    /// Raises an alarm, in Portero's own words. What an agent could raise at will is counted where it says the same as
    /// one of the last minutes, and told with the others by `tell_alarms`: nobody is flooded with alarms to
    /// overlook one in.
    pub async fn alarm(&self, alarm: Alarm, about: &str) {
        let told = match alarm {
            Alarm::Withheld => self.count(alarm, about),
            Alarm::Audit | Alarm::Store | Alarm::Configuration | Alarm::Passphrase | Alarm::Lost => Some(1),
        };
        if let Some(count) = told {
            self.tell_alarm(alarm, about, count).await;
        }
    }

    /// How many such alarms are to be told now, if any.
    fn count(&self, alarm: Alarm, about: &str) -> Option<u64> {
        let mut alarms = lock(&self.alarms);
        if alarms.kinds() >= ALARMS_MOST {
            return Some(1);
        }
        alarms.note((alarm, about.to_owned()), 1, self.now().boot, |count, more| *count += more)
    }

    /// Tells of the alarms that were counted for long enough; of all of them where the daemon is about to end.
    pub(crate) async fn tell_alarms(&self, ends: bool) {
        let now = self.now().boot;
        let counted = {
            let mut alarms = lock(&self.alarms);
            if ends { alarms.all(now) } else { alarms.due(now) }
        };
        for ((alarm, about), count) in counted {
            self.tell_alarm(alarm, &about, count).await;
        }
    }

    async fn tell_alarm(&self, alarm: Alarm, about: &str, count: u64) {
        let about = match count {
            1 => self.words(about),
            _ => self.words(&format!("{about} ({count} times)")),
        };
        self.tell(Notice::Alarm { alarm, about }).await;
    }

    /// Text for a notice, concealed.
    #[must_use]
    pub fn words(&self, text: &str) -> Fake<String> {
        self.anonymizer.load().conceal_text(text)
    }

    /// The segment that is written to here.
    pub(crate) fn segment(&self) -> String {
        self.records.audit.head().segment
    }

    /// Whether this is the segment that is written to here.
    pub(crate) fn is_own(&self, segment: &str) -> bool {
        self.records.audit.head().segment == segment
    }

    /// Wakes whoever tells people: the value counts.
    #[must_use]
    pub fn notices(&self) -> watch::Receiver<u64> {
        self.notices.watch()
    }

    /// Returns when a notice waits for the disk.
    pub(crate) async fn notice_is_late(&self) {
        self.notices.is_late().await;
    }

    /// Writes the notices that could not be written yet.
    ///
    /// # Errors
    /// When they still cannot be.
    pub(crate) async fn tell_late(&self) -> Result<(), StoreError> {
        let (notices, at) = (Arc::clone(&self.notices), self.now().wall);
        let taken = notices.take();
        let put = {
            let taken = taken.clone();
            self.store.write(Records::None, move |connection| notices::put(connection, &taken, at)).await
        };
        match put {
            Ok(()) => self.notices.wake(),
            Err(_) => self.notices.keep(taken),
        }
        put
    }

    /// Records a person's act that changed nothing here, and refused attempts.
    ///
    /// # Errors
    /// [`StoreError::Audit`]; the record is kept and written when that is possible again.
    pub async fn record_act(
        &self,
        act: &str,
        about: &str,
        done: bool,
        process: Option<&str>,
    ) -> Result<(), StoreError> {
        self.record(self.act(act, about, done, process)).await
    }

    /// Writes one record that belongs to no change of the store, synced, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// As [`Journal::record_act`].
    pub async fn record(&self, record: Record) -> Result<(), StoreError> {
        let records = Arc::clone(&self.records);
        let written = tokio::task::spawn_blocking(move || {
            records.append_durable(&record).inspect_err(|_| records.keep([record.clone()]))
        });
        written
            .await
            .map_err(|error| StoreError::Audit(error.to_string()))?
            .map_err(|error| StoreError::Audit(error.to_string()))
    }

    /// Writes one record that nothing depends on, unsynced; when it cannot be written, later.
    pub(crate) fn note(&self, record: Record) {
        if let Err(error) = self.records.append(std::slice::from_ref(&record)) {
            tracing::error!(%error, "the audit cannot be written");
            self.records.keep([record]);
        }
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

    /// Makes a change that gives its value and the records to write about it; of the tasks in these, people
    /// are told. `change` may run twice; the first time leaves nothing behind then.
    pub(crate) async fn change<T, F>(&self, weight: Weight, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<(T, Vec<Record>), StoreError> + Send + Sync + 'static,
    {
        let change = move |connection: &Connection| {
            change(connection).map(|(value, records)| (value, Account::from(records)))
        };
        self.change_and_tell(weight, change).await
    }

    /// The same, for a change of which people are told more than of tasks.
    pub(crate) async fn change_and_tell<T, F>(&self, weight: Weight, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<(T, Account), StoreError> + Send + Sync + 'static,
    {
        let change = Arc::new(change);
        let written = Arc::new(Mutex::new(Vec::new()));
        let attempt = self.notices.attempt(weight, self.now().wall);
        let recorded = {
            let (change, attempt) = (change.clone(), attempt.clone());
            let (records, written) = (self.records.clone(), written.clone());
            self.store.write(Records::Synced, move |connection| {
                let (value, account) = change(connection)?;
                attempt.put(connection, account.notices)?;
                let about = account.records;
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
        attempt.end(recorded.is_ok());
        if let Err(StoreError::Audit(problem)) = &recorded {
            self.audit_fails(problem).await;
        }
        match recorded {
            Err(StoreError::Audit(_)) if weight == Weight::Lenient => {
                let unwritten = lock(&written).is_empty();
                self.change_without_record(change, unwritten).await
            }
            Err(error) => {
                let undone = std::mem::take(&mut *lock(&written));
                for record in &undone {
                    let about = format!("{}: {error}", told(&record.event));
                    // This is already the second failure; the one that is told is the first.
                    let _ = self.record_act("undo", &about, true, None).await;
                }
                Err(error)
            }
            Ok(value) => {
                #[cfg(test)]
                crash::reached_change(Stage::Committed, lock(&written).as_slice());
                if !lock(&written).is_empty() {
                    self.failing.store(false, Ordering::Relaxed);
                }
                Ok(value)
            }
        }
    }

    /// `unwritten` says that the records did not even reach the segment; else only syncing failed, and they
    /// are in it.
    async fn change_without_record<T, F>(&self, change: Arc<F>, unwritten: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<(T, Account), StoreError> + Send + Sync + 'static,
    {
        let attempt = self.notices.attempt(Weight::Lenient, self.now().wall);
        let putting = attempt.clone();
        let changed = self.store.write(Records::None, move |connection| {
            let (value, account) = change(connection)?;
            putting.put(connection, account.notices)?;
            Ok((value, account.records))
        });
        let changed = changed.await;
        attempt.end(changed.is_ok());
        let (value, about) = changed?;
        if unwritten {
            self.records.keep(about);
        }
        Ok(value)
    }

    /// Tells people once that the audit cannot be written, until it can be again.
    async fn audit_fails(&self, problem: &str) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let about = format!(
                "the audit cannot be written ({problem}): nothing that widens and no approved call goes on \
                 until it can be; look at the disk"
            );
            self.alarm(Alarm::Audit, &about).await;
        }
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
        Event::Interrupted { segment, call, .. } => format!("the end of call {call} of {segment}"),
        Event::Intent { .. }
        | Event::Outcome { .. }
        | Event::Refused { .. }
        | Event::Config { .. }
        | Event::Continued { .. }
        | Event::Removed { .. }
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
        self.audit.append_all(records)
    }

    /// The same, and returns once they are on the disk.
    fn append_durable(&self, record: &Record) -> std::io::Result<()> {
        self.append(&[])?;
        self.audit.append_durable(record)
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
