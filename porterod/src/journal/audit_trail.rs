//! The audit of all processes, as the daemon follows, counts, verifies and removes it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::audit::{AuditEvent, AuditExtent, AuditFollower, RecordedOutcome, SegmentCheckpoint};
use portero::config::Config;
use portero::files::{self, FileProblem};
use portero::ipc::{AuditStatus, CallCounts};
use portero::sync::lock;
use portero::task::TaskState;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::journal::checkpoints::AuditCheckpoints;
use crate::journal::retention::AuditRetention;
use crate::store::StoreError;

/// The segments of all processes, with checkpoints, retention and counts.
pub struct AuditTrail {
    journal: Arc<Journal>,
    checkpoints: Arc<AuditCheckpoints>,
    retention: Arc<AuditRetention>,
    counter: Arc<AuditCounter>,
}

impl AuditTrail {
    /// Makes the trail over these checkpoints. `follower` begins at the daemon's start; without one no call
    /// is counted.
    #[must_use]
    pub fn new(
        checkpoints: Arc<AuditCheckpoints>,
        config: Arc<ArcSwap<Config>>,
        follower: Option<AuditFollower>,
    ) -> Arc<Self> {
        Arc::new(Self {
            journal: Arc::clone(checkpoints.journal()),
            retention: AuditRetention::new(Arc::clone(&checkpoints), config),
            counter: Arc::new(AuditCounter::new(follower)),
            checkpoints,
        })
    }

    /// Follows and verifies the segments and removes old ones, until `stop`. The composition root spawns and
    /// joins it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let following = Arc::clone(&self.checkpoints).run(stop.clone());
        tokio::join!(following, Arc::clone(&self.retention).run(stop));
    }

    /// The directory of the segments.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.checkpoints.directory()
    }

    /// The checkpoints of each segment, including those that sessions report.
    #[must_use]
    pub const fn checkpoints(&self) -> &Arc<AuditCheckpoints> {
        &self.checkpoints
    }

    /// Reads all segments again and returns their checkpoints, so that the last records count too.
    ///
    /// # Errors
    /// When the audit or the store can't be read, or the store can't be written.
    pub async fn list_current_checkpoints(&self) -> Result<Vec<SegmentCheckpoint>, StoreError> {
        self.checkpoints.scan_segments().await?;
        self.checkpoints.list_checkpoints()
    }

    /// Returns the checkpoint of the daemon's own records after a sync; `None` if it is unknown.
    pub async fn durable_head(&self) -> Option<SegmentCheckpoint> {
        let segment = self.journal.own_segment();
        let heads = match self.journal.save_checkpoint().await {
            Ok(()) => self.checkpoints.list_checkpoints(),
            Err(error) => Err(error),
        };
        match heads {
            Ok(heads) => heads.into_iter().find(|head| head.segment == segment && head.seq > 0),
            Err(error) => {
                tracing::warn!(%error, "the head of the audit is not known");
                None
            }
        }
    }

    /// Whether a record is older than this moment.
    pub async fn has_older_records(&self, moment: Timestamp) -> bool {
        let directory = self.directory().to_owned();
        let extent = tokio::task::spawn_blocking(move || AuditExtent::measure(&directory)).await;
        extent.is_ok_and(|extent| {
            extent.is_ok_and(|extent| extent.oldest.is_some_and(|oldest| oldest < moment))
        })
    }

    /// Returns the counts of all processes' calls since the daemon's start, and why they may be incomplete. A
    /// drive that hangs delays the status by the timeout of one read.
    pub async fn counts(&self) -> (CallCounts, Option<String>) {
        let counter = Arc::clone(&self.counter);
        let counting =
            files::read_off_thread(self.directory(), files::READ_TIMEOUT, move || counter.read_counts())
                .await;
        let lack = match counting {
            Ok(counted) => counted.err(),
            Err(error) if matches!(error.problem(), FileProblem::TimedOut(_) | FileProblem::StillHangs) => {
                Some("still counting".to_owned())
            }
            Err(error) => Some(error.to_string()),
        };
        (self.counter.counts(), lack)
    }

    /// Returns the audit's size, its oldest record and its state.
    ///
    /// # Errors
    /// When the store can't be read; unreadable segments are a part of the status.
    pub async fn status(&self) -> Result<AuditStatus, StoreError> {
        let there = self.directory().to_owned();
        let measure = move || AuditExtent::measure(&there);
        let extent = files::read_off_thread(self.directory(), files::READ_TIMEOUT, measure).await;
        let extent = extent.map_err(std::io::Error::from).flatten();
        let unread = extent.as_ref().err().map(|error| format!("cannot be read now: {error}"));
        let AuditExtent { segments, bytes, oldest } = extent.unwrap_or_default();
        let heads = self.checkpoints.list_checkpoints()?;
        let count =
            |wanted: fn(&SegmentCheckpoint) -> bool| heads.iter().filter(|head| wanted(head)).count() as u64;
        Ok(AuditStatus {
            unread,
            segments,
            bytes,
            oldest,
            verified: self.retention.last_verified(),
            problems: count(|head| head.problem.is_some()),
            removed: count(|head| head.removed.is_some()),
        })
    }
}

/// Counts the calls of all processes since the daemon's start.
#[derive(Debug)]
struct AuditCounter {
    /// `None` if the audit could not be read at the daemon's start.
    follower: Mutex<Option<AuditFollower>>,
    /// The counts so far. They have their own lock, so that a reader never waits for the disk.
    counts: Mutex<CallCounts>,
}

impl AuditCounter {
    fn new(follower: Option<AuditFollower>) -> Self {
        Self { follower: Mutex::new(follower), counts: Mutex::default() }
    }

    /// The counts so far. It waits for no file.
    fn counts(&self) -> CallCounts {
        *lock(&self.counts)
    }

    /// Reads and counts the new records. The error says why some are not counted.
    fn read_counts(&self) -> Result<(), String> {
        let mut follower = lock(&self.follower);
        let Some(follower) = follower.as_mut() else {
            return Err("the audit could not be read when the daemon began, so nothing is counted".to_owned());
        };
        let counting = follower.visit_new(|entry| {
            count_event(&mut lock(&self.counts), &entry.record.event);
        });
        counting.map_err(|error| format!("the audit cannot be read: {error}"))
    }
}

fn count_event(counts: &mut CallCounts, event: &AuditEvent) {
    match event {
        AuditEvent::Outcome { outcome: RecordedOutcome::Done, .. } => counts.done += 1,
        AuditEvent::Outcome { .. } | AuditEvent::Interrupted { .. } => counts.failed += 1,
        AuditEvent::Refused { .. } => counts.refused += 1,
        AuditEvent::Task { state: TaskState::PendingApproval, .. } => counts.asked += 1,
        AuditEvent::Withheld { count, .. } => counts.withheld += count,
        AuditEvent::Task { .. }
        | AuditEvent::Restored { .. }
        | AuditEvent::Intent { .. }
        | AuditEvent::Act { .. }
        | AuditEvent::Config { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::Removed { .. }
        | AuditEvent::Process { .. } => {}
    }
}
