//! Stores a checkpoint of every audit segment, so that `portero logs verify` finds a removed segment or a
//! cut-off end (guarantee U2).
//!
//! A session's claim about its segment is never trusted. The file is followed from its last checkpoint, and a
//! mismatch is stored as a problem and recorded.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use portero::audit::{
    AuditEvent, AuditRecord, CheckpointError, EndedProcesses, SegmentCheckpoint, SegmentStart,
    UnfinishedCall, find_ended_processes, list_segments,
};
use portero::files;
use portero::notice::{AlarmKind, Notice};
use portero::sync::lock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::journal::{AuditMode, ChangeReport, Journal};
use crate::store::{StoreError, checkpoints};

/// How often every segment is read. Sessions of older releases and killed sessions report nothing.
const SCAN_INTERVAL: Duration = Duration::from_secs(30);
/// How long after a session left its process is checked.
const EXIT_GRACE: Duration = Duration::from_millis(300);
/// The time limit of one scan: segments may be large, and drives hang.
const SCAN_TIMEOUT: Duration = Duration::from_secs(60);

/// The checkpoints of all segments.
#[derive(Debug)]
pub struct AuditCheckpoints {
    journal: Arc<Journal>,
    directory: PathBuf,
    /// Segments whose first record was read. Its claim about the former segment doesn't change.
    starts_read: Mutex<HashSet<String>>,
    /// Segments that a session of this daemon announced as its own.
    announced: Mutex<HashSet<String>>,
    /// Held while calls are closed, so that each is closed once.
    closing_calls: tokio::sync::Mutex<()>,
    /// Whether calls may have been closed in our own segment without a confirmed commit.
    uncertain: AtomicBool,
    session_left: Notify,
}

/// A segment's former checkpoint, and its new one or the problem.
type HeadChange = (SegmentCheckpoint, Result<SegmentCheckpoint, String>);
/// The ends of segments by name, and the segments that stated them.
type SegmentEnds = (HashMap<String, SegmentCheckpoint>, Vec<String>);

impl AuditCheckpoints {
    /// The checkpoints of the segments in `directory`.
    #[must_use]
    pub fn new(journal: Arc<Journal>, directory: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            journal,
            directory,
            starts_read: Mutex::default(),
            announced: Mutex::default(),
            closing_calls: tokio::sync::Mutex::default(),
            uncertain: AtomicBool::new(false),
            session_left: Notify::new(),
        })
    }

    pub(crate) const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The directory of the segments.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Scans every segment now and at intervals, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            if let Err(error) = self.scan_segments().await {
                tracing::warn!(%error, "how far the audit has come is not known");
            }
            if let Err(error) = self.record_interrupted_calls().await {
                tracing::warn!(%error, "calls of processes that are gone have no outcome yet");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SCAN_INTERVAL) => {}
                () = self.session_left.notified() => tokio::time::sleep(EXIT_GRACE).await,
            }
        }
    }

    /// Notes that a session left, so its process may be gone.
    pub fn note_session_left(&self) {
        self.session_left.notify_one();
    }

    /// Records `interrupted` for each call without an outcome whose process is gone. Each call is recorded
    /// exactly once, even if a daemon is killed meanwhile. Only segments that aren't settled are read.
    ///
    /// # Errors
    /// If the audit can't be read or nothing could be recorded; the next scan tries again.
    pub async fn record_interrupted_calls(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.closing_calls.lock().await;
        let settled = self.journal.store().read(checkpoints::settled_segments)?;
        // After a failed commit our own segment may already hold the outcomes, so it is searched as well.
        let own = self.uncertain.load(Ordering::Relaxed).then(|| self.journal.own_segment());
        let directory = self.directory.clone();
        let EndedProcesses { segments, open } =
            files::read_off_thread(&self.directory, SCAN_TIMEOUT, move || {
                find_ended_processes(&directory, &settled, own.as_deref())
                    .map_err(|error| unreadable_audit(&error))
            })
            .await??;
        if segments.is_empty() {
            return Ok(());
        }
        let at = self.journal.now().wall;
        let records: Vec<AuditRecord> = open.into_iter().map(|left| interrupted_record(left, at)).collect();
        // Set before the change and cleared after it: if this task is dropped in between, the doubt remains.
        self.uncertain.store(true, Ordering::Relaxed);
        let closed = self.journal.change(AuditMode::Required, move |store| {
            segments.iter().try_for_each(|segment| checkpoints::mark_settled(store, segment))?;
            Ok(((), records.clone()))
        });
        closed.await?;
        self.uncertain.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// All known checkpoints.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list_checkpoints(&self) -> Result<Vec<SegmentCheckpoint>, StoreError> {
        self.journal.store().read(checkpoints::list_checkpoints)
    }

    /// Follows every segment from its checkpoint.
    ///
    /// # Errors
    /// When the directory or the store cannot be read, or the store cannot be written.
    pub async fn scan_segments(&self) -> Result<(), StoreError> {
        let known = self.list_checkpoints()?;
        let directory = self.directory.clone();
        let begun = self.lock_starts_read().clone();
        let (seen, read) = files::read_off_thread(&self.directory, SCAN_TIMEOUT, move || {
            let names = list_segments(&directory).map_err(|error| unreadable_audit(&error))?;
            let (told, read) = read_segment_ends(&directory, &names, &begun)?;
            let found: HashSet<&str> =
                names.iter().map(String::as_str).chain(told.keys().map(String::as_str)).collect();
            // There may be many thousands of segments, and this runs every half minute, hence the set.
            let named: HashSet<&str> = known.iter().map(|head| head.segment.as_str()).collect();
            let fresh: Vec<SegmentCheckpoint> =
                found.difference(&named).filter_map(|name| SegmentCheckpoint::before_first(name)).collect();
            let known = known.into_iter();
            let open = known.filter(|head| head.problem.is_none() && head.removed.is_none());
            let all = open.chain(fresh);
            let looks = all.map(|head| {
                let end = told.get(&head.segment);
                follow_segment(&directory, head, end)
            });
            // A segment that can't be read is logged and doesn't block the others.
            let seen: Vec<_> = looks.filter_map(Result::transpose).filter_map(Result::ok).collect();
            Ok::<_, StoreError>((seen, read))
        })
        .await??;
        self.store_changes(seen).await?;
        // Only after the store holds their ends: otherwise a failure would lose what these segments state.
        self.lock_starts_read().extend(read);
        Ok(())
    }

    fn lock_starts_read(&self) -> MutexGuard<'_, HashSet<String>> {
        lock(&self.starts_read)
    }

    /// Whether a session of this daemon announced this segment as its own.
    #[must_use]
    pub fn is_announced(&self, segment: &str) -> bool {
        lock(&self.announced).contains(segment)
    }

    /// Accepts a process's checkpoint of its segment. From the first one on, a missing segment is noticed.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the name isn't that of a segment; otherwise if the store or the file fails.
    pub async fn accept_checkpoint(&self, told: SegmentCheckpoint) -> Result<(), StoreError> {
        let first = SegmentCheckpoint::before_first(&told.segment)
            .ok_or_else(|| StoreError::Refused("that is no name of an audit segment".to_owned()))?;
        let segment = told.segment.clone();
        let known = self.journal.store().read(move |store| checkpoints::get_checkpoint(store, &segment))?;
        if known.as_ref().is_some_and(|head| head.removed.is_some()) {
            return Err(StoreError::Refused("that audit segment was removed because it was old".to_owned()));
        }
        lock(&self.announced).insert(told.segment.clone());
        let directory = self.directory.clone();
        let seen = files::read_off_thread(&self.directory, SCAN_TIMEOUT, move || {
            follow_segment(&directory, known.unwrap_or(first), Some(&told))
        });
        self.store_changes(seen.await??.into_iter().collect()).await
    }

    /// Stores problems that another check found.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn record_problems(
        &self,
        problems: Vec<(SegmentCheckpoint, String)>,
    ) -> Result<(), StoreError> {
        self.store_changes(problems.into_iter().map(|(head, problem)| (head, Err(problem))).collect()).await
    }

    async fn store_changes(&self, seen: Vec<HeadChange>) -> Result<(), StoreError> {
        if seen.is_empty() {
            return Ok(());
        }
        let alarms: Vec<AuditRecord> = seen
            .iter()
            .map(|(head, now)| {
                let problem = now.as_ref().err().map_or("", String::as_str);
                self.journal.act_record(
                    "alarm",
                    &format!("audit segment {}: {problem}", head.segment),
                    true,
                    None,
                )
            })
            .collect();
        let journal = Arc::clone(&self.journal);
        let kept = self.journal.change_and_notify(AuditMode::BestEffort, move |store| {
            let (mut records, mut notices) = (Vec::new(), Vec::new());
            for ((head, now), alarm) in seen.iter().zip(&alarms) {
                match now {
                    Ok(now) => checkpoints::save_checkpoint(store, now)?,
                    Err(problem) if checkpoints::record_problem(store, head, problem)? => {
                        tracing::error!(segment = head.segment, problem, "the audit was changed");
                        records.push(alarm.clone());
                        let about = journal.conceal_text(&format!(
                            "the audit was changed: segment {}: {problem}; see `portero logs verify`",
                            head.segment
                        ));
                        notices.push(Notice::Alarm { alarm: AlarmKind::Audit, about });
                    }
                    Err(_) => {}
                }
            }
            Ok(((), ChangeReport::from(records).with_notices(notices)))
        });
        kept.await
    }
}

fn interrupted_record(left: UnfinishedCall, at: jiff::Timestamp) -> AuditRecord {
    let UnfinishedCall { segment, call, tool, session, principal, address, task } = left;
    AuditRecord {
        at,
        session,
        principal,
        address,
        event: AuditEvent::Interrupted { segment, call, tool, task },
    }
}

/// The ends of segments as their successors state them, and the segments that were read for it.
fn read_segment_ends(
    directory: &Path,
    names: &[String],
    begun: &HashSet<String>,
) -> Result<SegmentEnds, StoreError> {
    let (mut told, mut read) = (HashMap::new(), Vec::new());
    for name in names.iter().filter(|name| !begun.contains(*name)) {
        let former = match SegmentStart::read_start(directory, name) {
            Ok(SegmentStart::Continues(former)) => Some(former),
            Ok(SegmentStart::Standalone) => None,
            Ok(SegmentStart::Unwritten) => continue,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                tracing::warn!(segment = name, %error, "a segment of the audit cannot be read");
                continue;
            }
        };
        read.push(name.clone());
        // After a disk fault the end of the former segment may be missing, so its stated end isn't used.
        if let Some(former) = former.filter(|former| !former.fault) {
            told.insert(former.name.clone(), former.checkpoint());
        }
    }
    Ok((told, read))
}

/// Advances a segment's checkpoint; none if nothing changed.
fn follow_segment(
    directory: &Path,
    head: SegmentCheckpoint,
    told: Option<&SegmentCheckpoint>,
) -> Result<Option<HeadChange>, StoreError> {
    match head.advance(directory, told) {
        Ok(now) if now.seq == head.seq => Ok(None),
        Ok(now) => Ok(Some((head, Ok(now)))),
        Err(CheckpointError::Changed(problem)) => Ok(Some((head, Err(problem)))),
        Err(CheckpointError::Io(error)) => {
            tracing::warn!(segment = head.segment, %error, "a segment of the audit cannot be read");
            Err(unreadable_audit(&error))
        }
    }
}

fn unreadable_audit(error: &std::io::Error) -> StoreError {
    StoreError::Failed(format!("the audit cannot be read: {error}"))
}

#[cfg(test)]
mod tests;
