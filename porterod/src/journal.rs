//! The one place that changes the store and writes the audit and the outbox, together.
//!
//! A change is made in a transaction, recorded, the record synced, then the change committed: without its
//! record it is undone, and without the commit nobody is told that it was made (guarantee D2). What a person
//! must be told of it goes into the same transaction (`ChangeReport`). What narrows, and what tells how a call
//! ended, goes on without record or notice if it must; they follow when they can.

pub mod alarms;
pub mod checkpoints;
pub mod debouncer;
pub mod outbox;
pub mod retention;

mod notice_queue;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::{Anonymizer, Fake};
use portero::audit::{AuditEvent, AuditRecord, AuditWriter};
use portero::clock::{Clock, Moment};
use portero::names::Actor;
use portero::notice::{AlarmKind, Notice};
use portero::sync::lock;
use portero::task::Task;
use rusqlite::Connection;
use tokio::sync::watch;

#[cfg(test)]
use crate::crash::{self, ChangeStage};
use crate::journal::debouncer::Debouncer;
use crate::store::checkpoints::save_checkpoint;
use crate::store::{Durability, Store, StoreError};
use notice_queue::NoticeQueue;

/// How many records may wait for a disk that is full.
const MAX_LATE_RECORDS: usize = 4096;

/// For how long alarms that say the same are counted after the first was told.
pub(crate) const ALARM_GATHER_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How many different ones are counted at a time; each that is beyond is told.
const MAX_ALARM_KINDS: usize = 1000;

/// Whether a change may stand without its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditMode {
    /// What widens, or lets something happen: no record, no change.
    Required,
    /// What narrows, or tells what has happened: the record follows later.
    BestEffort,
}

/// The records and the notices of one change.
///
/// Made from its records: people are told of every task that a record says came into a state, so that no step
/// of a task is made without.
#[derive(Debug, Default)]
pub(crate) struct ChangeReport {
    records: Vec<AuditRecord>,
    notices: Vec<Notice>,
}

impl ChangeReport {
    /// With what people are told beside its tasks.
    pub(crate) fn with_notices(mut self, notices: impl IntoIterator<Item = Notice>) -> Self {
        self.notices.extend(notices);
        self
    }
}

impl From<Vec<AuditRecord>> for ChangeReport {
    fn from(records: Vec<AuditRecord>) -> Self {
        let notices = records.iter().filter_map(|record| task_notice(&record.event)).collect();
        Self { records, notices }
    }
}

/// Store and audit, written together.
pub struct Journal {
    store: Store,
    records: Arc<RecordWriter>,
    notices: Arc<NoticeQueue>,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    clock: Arc<dyn Clock>,
    /// Whether the last records could not be written, and people were told so.
    audit_failing: AtomicBool,
    /// Alarms that were raised lately, by what they say, and how often since.
    alarms: Mutex<Debouncer<(AlarmKind, String), u64>>,
}

/// The segment, and the records that could not be written to it yet.
struct RecordWriter {
    audit: Arc<AuditWriter>,
    late: Mutex<VecDeque<AuditRecord>>,
}

impl Journal {
    /// Brings them together. What a person is told is concealed by `anonymizer`.
    #[must_use]
    pub fn new(
        store: Store,
        audit: Arc<AuditWriter>,
        anonymizer: Arc<ArcSwap<Anonymizer>>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let records = Arc::new(RecordWriter { audit, late: Mutex::default() });
        let failing = AtomicBool::new(false);
        let alarms = Mutex::new(Debouncer::new(ALARM_GATHER_INTERVAL));
        Arc::new(Self {
            store,
            records,
            notices: Arc::default(),
            anonymizer,
            clock,
            audit_failing: failing,
            alarms,
        })
    }

    /// Tells a person of something that changes nothing in the store. What cannot be written now follows.
    pub async fn add_notice(&self, notice: Notice) {
        self.notices.keep_late([notice]);
        if let Err(error) = self.write_late_notices().await {
            tracing::error!(%error, "a notice waits for the disk");
        }
    }

    /// Raises an alarm, in Portero's own words. What an agent could raise at will is counted where it says the same as
    /// one of the last minutes, and told with the others by `flush_alarms`: nobody is flooded with alarms to
    /// overlook one in.
    pub async fn raise_alarm(&self, alarm: AlarmKind, about: &str) {
        let told = match alarm {
            AlarmKind::Withheld => self.count_alarm(alarm, about),
            AlarmKind::Audit
            | AlarmKind::Store
            | AlarmKind::Configuration
            | AlarmKind::Passphrase
            | AlarmKind::Lost => Some(1),
        };
        if let Some(count) = told {
            self.add_alarm_notice(alarm, about, count).await;
        }
    }

    /// How many such alarms are to be told now, if any.
    fn count_alarm(&self, alarm: AlarmKind, about: &str) -> Option<u64> {
        let mut alarms = lock(&self.alarms);
        if alarms.kind_count() >= MAX_ALARM_KINDS {
            return Some(1);
        }
        alarms.admit((alarm, about.to_owned()), 1, self.now().boot, |count, more| *count += more)
    }

    /// Tells of the alarms that were counted for long enough; of all of them where the daemon is about to end.
    pub(crate) async fn flush_alarms(&self, ends: bool) {
        let now = self.now().boot;
        let counted = {
            let mut alarms = lock(&self.alarms);
            if ends { alarms.take_all(now) } else { alarms.take_due(now) }
        };
        for ((alarm, about), count) in counted {
            self.add_alarm_notice(alarm, &about, count).await;
        }
    }

    async fn add_alarm_notice(&self, alarm: AlarmKind, about: &str, count: u64) {
        let about = match count {
            1 => self.conceal_text(about),
            _ => self.conceal_text(&format!("{about} ({count} times)")),
        };
        self.add_notice(Notice::Alarm { alarm, about }).await;
    }

    /// Text for a notice, concealed.
    #[must_use]
    pub fn conceal_text(&self, text: &str) -> Fake<String> {
        self.anonymizer.load().conceal_text(text)
    }

    /// The segment that is written to here.
    pub(crate) fn own_segment(&self) -> String {
        self.records.audit.checkpoint().segment
    }

    /// Whether this is the segment that is written to here.
    pub(crate) fn is_own_segment(&self, segment: &str) -> bool {
        self.records.audit.checkpoint().segment == segment
    }

    /// Wakes whoever tells people: the value counts.
    #[must_use]
    pub fn subscribe_notices(&self) -> watch::Receiver<u64> {
        self.notices.subscribe()
    }

    /// Returns when a notice waits for the disk.
    pub(crate) async fn wait_for_late_notice(&self) {
        self.notices.wait_for_late().await;
    }

    /// Writes the notices that could not be written yet.
    ///
    /// # Errors
    /// When they still cannot be.
    pub(crate) async fn write_late_notices(&self) -> Result<(), StoreError> {
        let (notices, at) = (Arc::clone(&self.notices), self.now().wall);
        let taken = notices.take_late();
        let put = {
            let taken = taken.clone();
            self.store
                .write(Durability::StoreSynced, move |connection| {
                    notice_queue::put_in_outbox(connection, &taken, at)
                })
                .await
        };
        match put {
            Ok(()) => self.notices.notify_watchers(),
            Err(_) => self.notices.keep_late(taken),
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
        process: Option<&Actor>,
    ) -> Result<(), StoreError> {
        self.record(self.act_record(act, about, done, process)).await
    }

    /// Writes one record that belongs to no change of the store, synced, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// As [`Journal::record_act`].
    pub async fn record(&self, record: AuditRecord) -> Result<(), StoreError> {
        let records = Arc::clone(&self.records);
        let written = tokio::task::spawn_blocking(move || {
            records.append_durable(&record).inspect_err(|_| records.keep_late([record.clone()]))
        });
        written
            .await
            .map_err(|error| StoreError::Audit(error.to_string()))?
            .map_err(|error| StoreError::Audit(error.to_string()))
    }

    /// Writes one record that nothing depends on, unsynced; when it cannot be written, later.
    pub(crate) fn record_unsynced(&self, record: AuditRecord) {
        if let Err(error) = self.records.append(std::slice::from_ref(&record)) {
            tracing::error!(%error, "the audit cannot be written");
            self.records.keep_late([record]);
        }
    }

    /// Syncs the audit, and keeps how far it has come.
    ///
    /// # Errors
    /// [`StoreError::Audit`], or when the store cannot be written.
    pub(crate) async fn save_checkpoint(&self) -> Result<(), StoreError> {
        let head = self.records.audit.checkpoint();
        self.store.write(Durability::AuditSynced, move |connection| save_checkpoint(connection, &head)).await
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Makes a change that gives its value and the records to write about it; of the tasks in these, people
    /// are told. `change` may run twice; the first time leaves nothing behind then.
    pub(crate) async fn change<T, F>(&self, weight: AuditMode, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<(T, Vec<AuditRecord>), StoreError> + Send + Sync + 'static,
    {
        let change = move |connection: &Connection| {
            change(connection).map(|(value, records)| (value, ChangeReport::from(records)))
        };
        self.change_and_notify(weight, change).await
    }

    /// The same, for a change of which people are told more than of tasks.
    pub(crate) async fn change_and_notify<T, F>(&self, weight: AuditMode, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<(T, ChangeReport), StoreError> + Send + Sync + 'static,
    {
        let change = Arc::new(change);
        let written = Arc::new(Mutex::new(Vec::new()));
        let attempt = self.notices.begin_attempt(weight, self.now().wall);
        let recorded = {
            let (change, attempt) = (change.clone(), attempt.clone());
            let (records, written) = (self.records.clone(), written.clone());
            self.store.write(Durability::AuditSynced, move |connection| {
                let (value, account) = change(connection)?;
                attempt.put_notices(connection, account.notices)?;
                let about = account.records;
                #[cfg(test)]
                crash::crash_at_change(ChangeStage::Changed, &about);
                if !about.is_empty() {
                    records.append(&about).map_err(|error| StoreError::Audit(error.to_string()))?;
                    *lock(&written) = about;
                    // The audit is synced before this is committed, so the file is never shorter than its checkpoint.
                    save_checkpoint(connection, &records.audit.checkpoint())?;
                    #[cfg(test)]
                    crash::crash_at_change(ChangeStage::Recorded, lock(&written).as_slice());
                }
                Ok(value)
            })
        }
        .await;
        attempt.finish(recorded.is_ok());
        if let Err(StoreError::Audit(problem)) = &recorded {
            self.report_audit_failure(problem).await;
        }
        match recorded {
            // A restrictive change goes on without its record: forbidding must not depend on a disk that is full.
            Err(StoreError::Audit(_)) if weight == AuditMode::BestEffort => {
                let unwritten = lock(&written).is_empty();
                self.change_without_record(change, unwritten).await
            }
            Err(error) => {
                // The records say that it was done, and it was not. The audit only grows, so further records undo
                // them.
                let undone = std::mem::take(&mut *lock(&written));
                for record in &undone {
                    let about = format!("{}: {error}", describe_undone(&record.event));
                    // This is already the second failure; the one that is told is the first.
                    let _ = self.record_act("undo", &about, true, None).await;
                }
                Err(error)
            }
            Ok(value) => {
                #[cfg(test)]
                crash::crash_at_change(ChangeStage::Committed, lock(&written).as_slice());
                if !lock(&written).is_empty() {
                    self.audit_failing.store(false, Ordering::Relaxed);
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
        F: Fn(&Connection) -> Result<(T, ChangeReport), StoreError> + Send + Sync + 'static,
    {
        let attempt = self.notices.begin_attempt(AuditMode::BestEffort, self.now().wall);
        let putting = attempt.clone();
        let changed = self.store.write(Durability::StoreSynced, move |connection| {
            let (value, account) = change(connection)?;
            putting.put_notices(connection, account.notices)?;
            Ok((value, account.records))
        });
        let changed = changed.await;
        attempt.finish(changed.is_ok());
        let (value, about) = changed?;
        if unwritten {
            self.records.keep_late(about);
        }
        Ok(value)
    }

    /// Tells people once that the audit cannot be written, until it can be again.
    async fn report_audit_failure(&self, problem: &str) {
        if !self.audit_failing.swap(true, Ordering::Relaxed) {
            let about = format!(
                "the audit cannot be written ({problem}): nothing that widens and no approved call goes on \
                 until it can be; look at the disk"
            );
            self.raise_alarm(AlarmKind::Audit, &about).await;
        }
    }

    pub(crate) fn act_record(
        &self,
        act: &str,
        about: &str,
        done: bool,
        process: Option<&Actor>,
    ) -> AuditRecord {
        AuditRecord {
            at: self.now().wall,
            session: None,
            principal: None,
            event: AuditEvent::Act {
                act: act.to_owned(),
                about: about.to_owned(),
                done,
                process: process.cloned(),
            },
        }
    }
}

/// The record of the state that a task has come into.
pub(crate) fn task_record(task: &Task, by: &Actor, note: Option<&Fake<String>>) -> AuditRecord {
    AuditRecord {
        at: task.changed,
        session: Some(task.origin.session),
        principal: Some(task.origin.principal.clone()),
        event: AuditEvent::Task {
            task: task.id,
            tool: task.call.tool.clone(),
            state: task.state,
            by: by.clone(),
            note: note.cloned(),
        },
    }
}

/// What a record that does not hold was about.
fn describe_undone(event: &AuditEvent) -> String {
    match event {
        AuditEvent::Task { task, state, .. } => format!("task {task} is not {state}"),
        AuditEvent::Act { act, about, .. } => format!("{act} {about}"),
        AuditEvent::Interrupted { segment, call, .. } => format!("the end of call {call} of {segment}"),
        AuditEvent::Intent { .. }
        | AuditEvent::Outcome { .. }
        | AuditEvent::Refused { .. }
        | AuditEvent::Config { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::Removed { .. }
        | AuditEvent::Process { .. } => "the last record".to_owned(),
    }
}

/// What people are told of a record.
fn task_notice(event: &AuditEvent) -> Option<Notice> {
    match event {
        AuditEvent::Task { task, tool, state, by, note } => Some(Notice::Task {
            task: *task,
            tool: tool.clone(),
            state: *state,
            by: by.clone(),
            note: note.clone(),
        }),
        AuditEvent::Intent { .. }
        | AuditEvent::Outcome { .. }
        | AuditEvent::Interrupted { .. }
        | AuditEvent::Refused { .. }
        | AuditEvent::Act { .. }
        | AuditEvent::Config { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::Removed { .. }
        | AuditEvent::Process { .. } => None,
    }
}

impl RecordWriter {
    /// Writes what is late, then `records`.
    fn append(&self, records: &[AuditRecord]) -> std::io::Result<()> {
        let mut late = lock(&self.late);
        while let Some(record) = late.front() {
            self.audit.append(record)?;
            late.pop_front();
        }
        drop(late);
        self.audit.append_all(records)
    }

    /// The same, and returns once they are on the disk.
    fn append_durable(&self, record: &AuditRecord) -> std::io::Result<()> {
        self.append(&[])?;
        self.audit.append_durable(record)
    }

    fn keep_late(&self, records: impl IntoIterator<Item = AuditRecord>) {
        let mut late = lock(&self.late);
        late.extend(records);
        while late.len() > MAX_LATE_RECORDS {
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
