//! The periodic care of the audit: segments past their retention are removed, and all segments are verified
//! from the first line to the last.
//!
//! Only this module removes segments. Segments in use and damaged ones stay. The mark in the store and the
//! record come before the removal of the file, so a missing file without a mark was removed by another
//! program (guarantee U2).

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

/// How often due work is looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How often all segments are verified.
const VERIFY_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How long the wall clock must have agreed with the boot clock before an age counts.
const MIN_CLOCK_AGREEMENT: Duration = Duration::from_secs(3600);
/// How far the two clocks may diverge between two checks.
const MAX_CLOCK_DRIFT: SignedDuration = SignedDuration::from_mins(5);
/// How many segments are removed at a time.
const MAX_REMOVED_SEGMENTS: usize = 64;

/// Verifies and prunes the audit.
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

/// Since when the wall clock and the boot clock have advanced alike.
#[derive(Debug, Clone, Copy)]
struct ClockAgreement {
    since: Moment,
    last: Moment,
}

impl AuditRetention {
    /// The retention of the segments that `heads` knows.
    #[must_use]
    pub fn new(heads: Arc<AuditCheckpoints>, config: Arc<ArcSwap<Config>>) -> Arc<Self> {
        let (journal, directory) = (Arc::clone(heads.journal()), heads.directory().to_owned());
        Arc::new(Self { journal, heads, directory, config, state: Mutex::default() })
    }

    /// Does due work at intervals, until `stop`.
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

    /// The time of the last verification since the daemon started.
    #[must_use]
    pub fn last_verified(&self) -> Option<Timestamp> {
        self.lock_state().verified.map(|at| at.wall)
    }

    /// Does the work that is due.
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
        // A wall clock that was just set forward would make every segment look old. So the age counts only
        // after an hour in which both clocks agreed.
        if now.boot.saturating_sub(steady.since.boot) >= MIN_CLOCK_AGREEMENT {
            self.remove_old_segments(now).await?;
        }
        Ok(())
    }

    /// Verifies every chain from its first line. A broken one raises the alarm.
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

    /// Removes the segments past their retention.
    async fn remove_old_segments(&self, now: Moment) -> Result<(), StoreError> {
        // Files that a former daemon had marked but not removed when it was killed.
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

    /// The intact segments that are not in use and have no record newer than `edge`, the oldest first.
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

    /// Marks these segments as removed in store and audit, and returns their names.
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
                    records.push(AuditRecord { at, session: None, principal: None, address: None, event });
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

/// Runs work on the whole audit, which may take minutes. So it has no time limit, unlike
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
