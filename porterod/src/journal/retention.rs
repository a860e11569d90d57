//! What is done for the audit once in a while: what is older than it is kept is removed, and everything is
//! verified from the first line to the last.
//!
//! Nobody else removes a segment. One that a process writes to stays, and so does one that is not whole. The
//! mark in the store and the record come first, the file goes after: what is gone without a mark was removed by
//! somebody else (guarantee U2).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use portero::audit::{self, AuditEvent, AuditRecord, CheckpointError, SegmentAge, SegmentCheckpoint};
use portero::clock::Moment;
use portero::config::Config;
use portero::sync::lock;
use tokio_util::sync::CancellationToken;

use crate::journal::checkpoints::AuditCheckpoints;
use crate::journal::{AuditMode, Journal};
use crate::store::{StoreError, checkpoints};

/// How often it is looked whether something is due.
const CHECK_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How often everything is verified.
const VERIFY_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How long the wall clock must have gone as it should before an age is believed.
const MIN_CLOCK_AGREEMENT: Duration = Duration::from_secs(3600);
/// How far the wall clock may go off between two looks.
const MAX_CLOCK_DRIFT: SignedDuration = SignedDuration::from_mins(5);
/// How many segments are removed at a time.
const MAX_REMOVED_SEGMENTS: usize = 64;

/// Looks after the audit.
#[derive(Debug)]
pub struct AuditRetention {
    journal: Arc<Journal>,
    heads: Arc<AuditCheckpoints>,
    directory: PathBuf,
    config: Arc<ArcSwap<Config>>,
    state: Mutex<RetentionState>,
}

#[derive(Debug, Default)]
struct RetentionState {
    clock_agreement: Option<ClockAgreement>,
    verified: Option<Moment>,
}

/// Since when the wall clock and the boot clock have gone alike.
#[derive(Debug, Clone, Copy)]
struct ClockAgreement {
    since: Moment,
    last: Moment,
}

impl AuditRetention {
    /// Of those segments whose heads these are.
    #[must_use]
    pub fn new(heads: Arc<AuditCheckpoints>, config: Arc<ArcSwap<Config>>) -> Arc<Self> {
        let (journal, directory) = (Arc::clone(heads.journal()), heads.directory().to_owned());
        Arc::new(Self { journal, heads, directory, config, state: Mutex::default() })
    }

    /// Does what is due, from time to time, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
            if let Err(error) = self.run_due().await {
                tracing::warn!(%error, "the audit could not be looked after");
            }
        }
    }

    /// When everything was last verified, if it was since the daemon started.
    #[must_use]
    pub fn last_verified(&self) -> Option<Timestamp> {
        self.lock_state().verified.map(|at| at.wall)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the audit or the store fails.
    pub async fn run_due(&self) -> Result<(), StoreError> {
        let now = self.journal.now();
        let (steady, due) = {
            let mut state = self.lock_state();
            let steady = ClockAgreement::next(state.clock_agreement, now);
            state.clock_agreement = Some(steady);
            let due = state.verified.is_none_or(|at| now.boot.saturating_sub(at.boot) >= VERIFY_INTERVAL);
            (steady, due)
        };
        if due {
            self.verify_segments(now).await?;
        }
        if now.boot.saturating_sub(steady.since.boot) >= MIN_CLOCK_AGREEMENT {
            self.remove_old_segments(now).await?;
        }
        Ok(())
    }

    /// Follows every chain from its first line. What does not hold raises the alarm.
    async fn verify_segments(&self, now: Moment) -> Result<(), StoreError> {
        self.heads.scan_segments().await?;
        let (known, directory) = (self.heads.list_checkpoints()?, self.directory.clone());
        let problems = run_off_thread(move || {
            let verdict = audit::verify_with_checkpoints(&directory, &known)?;
            let broken = verdict.segments.into_iter().filter_map(|report| {
                let broken = report.broken?;
                let head = known.iter().find(|head| head.segment == report.segment).cloned();
                let head = head.or_else(|| SegmentCheckpoint::before_first(&report.segment))?;
                Some((head, format!("record {}: {}", broken.line, broken.problem)))
            });
            Ok(broken.collect::<Vec<_>>())
        });
        let problems = problems.await?;
        self.heads
            .record_problems(problems.into_iter().filter(|(head, _)| head.problem.is_none()).collect())
            .await?;
        self.lock_state().verified = Some(now);
        Ok(())
    }

    /// Removes what is older than the audit is kept.
    async fn remove_old_segments(&self, now: Moment) -> Result<(), StoreError> {
        // What a daemon marked that was killed before it removed the file.
        let marked =
            |head: &&SegmentCheckpoint| head.removed.is_some() && self.directory.join(&head.segment).exists();
        let left: Vec<String> =
            self.heads.list_checkpoints()?.iter().filter(marked).map(|head| head.segment.clone()).collect();
        self.remove_files(left).await?;
        let Some(keep) = self.config.load().settings.audit.retention else { return Ok(()) };
        let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let Ok(edge) = now.wall.checked_sub(keep) else { return Ok(()) };
        let old = self.segments_older_than(edge).await?;
        if !old.is_empty() {
            let names = self.mark_removed(old, now.wall).await?;
            tracing::info!(segments = names.len(), "the audit's oldest segments are removed");
            self.remove_files(names).await?;
        }
        Ok(())
    }

    /// Whole segments, to which nobody writes and in which nothing is newer than `edge`; the oldest first.
    async fn segments_older_than(
        &self,
        edge: Timestamp,
    ) -> Result<Vec<(SegmentCheckpoint, Timestamp)>, StoreError> {
        let mut known = self.heads.list_checkpoints()?;
        known.retain(|head| {
            head.removed.is_none()
                && head.problem.is_none()
                && audit::segment_start_time(&head.segment).is_some_and(|began| began < edge)
        });
        let directory = self.directory.clone();
        let (old, problems) = run_off_thread(move || {
            let (mut old, mut problems) = (Vec::new(), Vec::new());
            for known in known {
                match SegmentAge::from_segment(&directory, &known) {
                    Ok(SegmentAge::Ended { head, newest }) if newest < edge => old.push((head, newest)),
                    Ok(SegmentAge::Ended { .. } | SegmentAge::InUse) => {}
                    Err(CheckpointError::Changed(problem)) => problems.push((known, problem)),
                    Err(CheckpointError::Io(error)) => {
                        tracing::warn!(segment = known.segment, %error, "a segment of the audit cannot be read");
                    }
                }
                if old.len() == MAX_REMOVED_SEGMENTS {
                    break;
                }
            }
            Ok((old, problems))
        })
        .await?;
        self.heads.record_problems(problems).await?;
        Ok(old)
    }

    /// Says in store and audit that these are removed, and gives their names.
    async fn mark_removed(
        &self,
        old: Vec<(SegmentCheckpoint, Timestamp)>,
        at: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let change = move |store: &rusqlite::Connection| {
            let (mut names, mut records) = (Vec::new(), Vec::new());
            for (head, newest) in &old {
                if checkpoints::mark_removed(store, head, at)? {
                    names.push(head.segment.clone());
                    let SegmentCheckpoint { segment, seq, hash, .. } = head.clone();
                    let event = AuditEvent::Removed { segment, seq, hash, newest: *newest };
                    records.push(AuditRecord { at, session: None, principal: None, event });
                }
            }
            Ok((names, records))
        };
        self.journal.change(AuditMode::Required, change).await
    }

    async fn remove_files(&self, names: Vec<String>) -> Result<(), StoreError> {
        let directory = self.directory.clone();
        run_off_thread(move || audit::remove_segments(&directory, &names)).await
    }

    fn lock_state(&self) -> MutexGuard<'_, RetentionState> {
        lock(&self.state)
    }
}

impl ClockAgreement {
    fn next(former: Option<Self>, now: Moment) -> Self {
        let anew = Self { since: now, last: now };
        let Some(former) = former else { return anew };
        let walked = now.wall.duration_since(former.last.wall);
        let passed = now.boot.saturating_sub(former.last.boot);
        let off = walked - SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        if off.abs() > MAX_CLOCK_DRIFT { anew } else { Self { last: now, ..former } }
    }
}

/// Works on all of the audit, which may take minutes: so without the time limit of
/// [`portero::files::read_off_thread`].
async fn run_off_thread<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| StoreError::Failed(error.to_string()))?;
    done.map_err(|error| StoreError::Failed(format!("the audit: {error}")))
}

#[cfg(test)]
mod tests;
