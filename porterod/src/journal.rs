//! The only writer of store, audit and outbox. It changes them together.
//!
//! The order is: change in a transaction, record, sync of the record, commit. Without its record a change is
//! undone, and without the commit it isn't reported (guarantee D2). Its notices belong to the same
//! transaction (`ChangeReport`).
//! Narrowing changes and outcomes of calls commit even if their record or notice can't be written; those are
//! written later.

pub mod alarms;
pub mod audit_trail;
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

/// How many records may wait while the disk is full.
const MAX_LATE_RECORDS: usize = 4096;

/// How long identical alarms are counted after the first was sent.
pub(crate) const ALARM_GATHER_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How many different alarms are counted at a time; alarms beyond that are sent at once.
const MAX_ALARM_KINDS: usize = 1000;

/// Whether a change may commit without its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditMode {
    /// For widening changes, and for letting a call run: without a record the change is undone.
    Required,
    /// For narrowing changes, and for past events: the record is written later.
    BestEffort,
}

/// The records and the notices of one change.
///
/// Built from its records: each record of a task's new state becomes a notice, so no change of a task goes
/// unreported.
#[derive(Debug, Default)]
pub(crate) struct ChangeReport {
    records: Vec<AuditRecord>,
    notices: Vec<Notice>,
}

impl ChangeReport {
    /// Adds notices besides those of its tasks.
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
    /// Whether the last records could not be written and people were told.
    audit_failing: AtomicBool,
    /// Recent alarms by their text, with a count of repetitions.
    alarms: Mutex<Debouncer<(AlarmKind, String), u64>>,
}

/// The segment, and the records that could not be written to it yet.
struct RecordWriter {
    audit: Arc<AuditWriter>,
    late: Mutex<VecDeque<AuditRecord>>,
}

impl Journal {
    /// A journal over store and audit. `anonymizer` conceals the notices.
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

    /// Sends a notice that belongs to no change of the store. If it can't be written now, it is written
    /// later.
    pub async fn add_notice(&self, notice: Notice) {
        self.notices.keep_late([notice]);
        if let Err(error) = self.write_late_notices().await {
            tracing::error!(%error, "a notice waits for the disk");
        }
    }

    /// Raises an alarm in Portero's own words. Alarms that an agent can cause at will are counted if their
    /// text repeats within minutes, and `flush_alarms` sends the count.
    /// So an agent can't hide one alarm among many.
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

    /// How many such alarms to report now; none if they are only counted.
    fn count_alarm(&self, alarm: AlarmKind, about: &str) -> Option<u64> {
        // A full table sends at once: losing an alarm would be worse than sending one too many.
        let mut alarms = lock(&self.alarms);
        if alarms.kind_count() >= MAX_ALARM_KINDS {
            return Some(1);
        }
        alarms.admit((alarm, about.to_owned()), 1, self.now().boot, |count, more| *count += more)
    }

    /// Sends the alarms that were counted for long enough, or all of them if the daemon is about to end.
    pub(crate) async fn flush_alarms(&self, ends: bool) {
        let now = self.now().boot;
        // The lock ends before the first await.
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

    /// The daemon's own audit.
    #[must_use]
    pub fn audit(&self) -> &Arc<AuditWriter> {
        &self.records.audit
    }

    /// Conceals text for a notice.
    #[must_use]
    pub fn conceal_text(&self, text: &str) -> Fake<String> {
        self.anonymizer.load().conceal_text(text)
    }

    /// The name of the daemon's own segment.
    pub(crate) fn own_segment(&self) -> String {
        self.records.audit.checkpoint().segment
    }

    /// Whether this is the daemon's own segment.
    pub(crate) fn is_own_segment(&self, segment: &str) -> bool {
        self.records.audit.checkpoint().segment == segment
    }

    /// Wakes readers of the outbox; the value counts changes.
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
    /// If they still can't be written.
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

    /// Records a person's act that changed nothing here, or a refused attempt.
    ///
    /// # Errors
    /// [`StoreError::Audit`]; the record is kept and written later.
    pub async fn record_act(
        &self,
        act: &str,
        about: &str,
        done: bool,
        process: Option<&Actor>,
    ) -> Result<(), StoreError> {
        self.record(self.act_record(act, about, done, process)).await
    }

    /// Writes one synced record that belongs to no change of the store, on a thread that may block on the
    /// disk.
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

    /// Writes one unsynced record that nothing depends on. If it can't be written, it is written later.
    pub(crate) fn record_unsynced(&self, record: AuditRecord) {
        if let Err(error) = self.records.append(std::slice::from_ref(&record)) {
            tracing::error!(%error, "the audit cannot be written");
            self.records.keep_late([record]);
        }
    }

    /// Records an event that belongs to no session and that nothing depends on, unsynced; when it can't be written,
    /// later.
    pub(crate) fn record_event(&self, event: AuditEvent) {
        self.record_unsynced(AuditRecord {
            at: self.now().wall,
            session: None,
            principal: None,
            address: None,
            event,
        });
    }

    /// From now on a segment of the audit is continued in another file once it is this long.
    pub(crate) fn set_max_segment_bytes(&self, bytes: u64) {
        self.records.audit.set_max_segment_bytes(bytes);
    }

    /// Syncs the audit and stores its checkpoint.
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

    /// Runs a change that returns its value and its records. Records of tasks become notices.
    /// `change` may run twice; then the first run's transaction was rolled back.
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

    /// As `Journal::change`, for a change with notices besides those of tasks.
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
                // Notices come before records: if they can't be stored, the append-only segment stays clean.
                attempt.put_notices(connection, account.notices)?;
                let about = account.records;
                #[cfg(test)]
                crash::crash_at_change(ChangeStage::Changed, &about);
                if !about.is_empty() {
                    records.append(&about).map_err(|error| StoreError::Audit(error.to_string()))?;
                    *lock(&written) = about;
                    // The audit is synced before this transaction commits, so the file is never shorter than
                    // its checkpoint.
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
            // A narrowing change commits without its record: a deny must not depend on a full disk.
            Err(StoreError::Audit(_)) if weight == AuditMode::BestEffort => {
                let unwritten = lock(&written).is_empty();
                self.change_without_record(change, unwritten).await
            }
            Err(error) => {
                // The records claim a change that was rolled back. The audit only grows, so further records
                // revoke them.
                let undone = std::mem::take(&mut *lock(&written));
                for record in &undone {
                    let about = format!("{}: {error}", describe_undone(&record.event));
                    // A failure here is the second one; the caller gets the first.
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

    /// Commits a change whose records could not be written. `unwritten` means that they didn't reach the
    /// segment; otherwise only the sync failed and they are already in it.
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

    /// Reports once that the audit can't be written, until it can be again.
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
            address: None,
            event: AuditEvent::Act {
                act: act.to_owned(),
                about: about.to_owned(),
                done,
                process: process.cloned(),
            },
        }
    }
}

/// The record of a task's new state.
pub(crate) fn task_record(task: &Task, by: &Actor, note: Option<&Fake<String>>) -> AuditRecord {
    AuditRecord {
        at: task.changed,
        session: Some(task.origin.session),
        principal: Some(task.origin.principal.clone()),
        address: task.origin.remote_address(),
        event: AuditEvent::Task {
            task: task.id,
            tool: task.call.tool.clone(),
            state: task.state,
            by: by.clone(),
            note: note.cloned(),
        },
    }
}

/// Describes the subject of a record that was revoked.
fn describe_undone(event: &AuditEvent) -> String {
    match event {
        AuditEvent::Task { task, state, .. } => format!("task {task} is not {state}"),
        AuditEvent::Act { act, about, .. } => format!("{act} {about}"),
        AuditEvent::Interrupted { segment, call, .. } => format!("the end of call {call} of {segment}"),
        AuditEvent::Intent { .. }
        | AuditEvent::Outcome { .. }
        | AuditEvent::Refused { .. }
        | AuditEvent::Withheld { .. }
        | AuditEvent::Restored { .. }
        | AuditEvent::Config { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::Removed { .. }
        | AuditEvent::Process { .. } => "the last record".to_owned(),
    }
}

/// The notice that follows from a record.
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
        | AuditEvent::Withheld { .. }
        | AuditEvent::Restored { .. }
        | AuditEvent::Act { .. }
        | AuditEvent::Config { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::Removed { .. }
        | AuditEvent::Process { .. } => None,
    }
}

impl RecordWriter {
    /// Writes the late records first, then `records`.
    fn append(&self, records: &[AuditRecord]) -> std::io::Result<()> {
        // Late records come first, so the segment keeps the order of events. One that fails stays at the
        // front.
        let mut late = lock(&self.late);
        while let Some(record) = late.front() {
            self.audit.append(record)?;
            late.pop_front();
        }
        drop(late);
        self.audit.append_all(records)
    }

    /// As `append`, and returns once the record is on the disk.
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
