//! The audit of all processes, as the daemon looks after it: followed, counted, verified and removed by age.

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

/// The segments of all processes, with their checkpoints, their retention and the counts of their calls.
pub struct AuditTrail {
    journal: Arc<Journal>,
    checkpoints: Arc<AuditCheckpoints>,
    retention: Arc<AuditRetention>,
    counter: Arc<AuditCounter>,
}

impl AuditTrail {
    /// Over the segments of these checkpoints. `follower` begins where the daemon does; without one nothing is
    /// counted.
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

    /// Follows the segments, verifies them and removes old ones, until `stop`. The composition root spawns and joins
    /// it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let following = Arc::clone(&self.checkpoints).run(stop.clone());
        tokio::join!(following, Arc::clone(&self.retention).run(stop));
    }

    /// The directory of the segments.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.checkpoints.directory()
    }

    /// How far each segment has come, and what sessions say of theirs.
    #[must_use]
    pub const fn checkpoints(&self) -> &Arc<AuditCheckpoints> {
        &self.checkpoints
    }

    /// The checkpoints of all segments after a new look at them, so that the last records count too.
    ///
    /// # Errors
    /// When the audit or the store can't be read, or the store can't be written.
    pub async fn list_current_checkpoints(&self) -> Result<Vec<SegmentCheckpoint>, StoreError> {
        self.checkpoints.scan_segments().await?;
        self.checkpoints.list_checkpoints()
    }

    /// How far the daemon's own records have come on the disk, after a sync; none where that isn't known.
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

    /// Whether there are records from before this moment.
    pub async fn has_older_records(&self, moment: Timestamp) -> bool {
        let directory = self.directory().to_owned();
        let extent = tokio::task::spawn_blocking(move || AuditExtent::measure(&directory)).await;
        extent.is_ok_and(|extent| {
            extent.is_ok_and(|extent| extent.oldest.is_some_and(|oldest| oldest < moment))
        })
    }

    /// The calls that all processes recorded since the daemon's start, and why that may not be all of them. A drive
    /// that hangs delays the status of everything else by the timeout of one read.
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

    /// How much there is of the audit, since when, and in what state.
    ///
    /// # Errors
    /// When the store can't be read; segments that can't be read are a part of the status.
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

/// Counts the calls that all processes recorded since the daemon started.
#[derive(Debug)]
struct AuditCounter {
    /// None where the audit could not be read when the daemon began.
    follower: Mutex<Option<AuditFollower>>,
    /// The counts so far. A lock of its own, so that they can be read while `follower` waits for the disk.
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

    /// Reads the new records and counts them, or says why not all of them are counted.
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
        AuditEvent::Task { .. }
        | AuditEvent::Intent { .. }
        | AuditEvent::Act { .. }
        | AuditEvent::Config { .. }
        | AuditEvent::Continued { .. }
        | AuditEvent::Removed { .. }
        | AuditEvent::Process { .. } => {}
    }
}
