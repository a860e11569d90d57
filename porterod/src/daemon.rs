//! Everything that a question to the daemon may need, in one place.
//!
//! Whoever changes rules or grants calls [`Daemon::enforce_overrides`] before answering: a change is in force in every
//! session before its command returns.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::anonymize::Anonymizer;
use portero::audit::{AuditEvent, AuditFollower, RecordedOutcome};
use portero::catalog::Catalog;
use portero::clock::Clock;
use portero::ipc::CallCounts;
use portero::paths::Paths;
use portero::policy::Policy;
use portero::sync::lock;
use portero::task::TaskState;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::approvals::ApprovalQueue;
use crate::approved_config::LiveConfig;
use crate::auth::pairing::Pairing;
use crate::auth::passphrase::PassphraseChecker;
use crate::auth::remote_confirmation::RemoteConfirmations;
use crate::bot_health::BotHealth;
use crate::journal::Journal;
use crate::journal::checkpoints::AuditCheckpoints;
use crate::journal::outbox::Outbox;
use crate::journal::retention::AuditRetention;
use crate::overrides::OverrideStore;
use crate::sessions::Sessions;
use crate::upstreams::DaemonUpstreams;

/// How long to sleep at most before looking whether a grant is over, since clocks may be set meanwhile.
const MAX_GRANT_SLEEP: Duration = Duration::from_secs(30);
/// How long at least.
const MIN_GRANT_SLEEP: Duration = Duration::from_millis(50);

/// The running daemon, as questions see it.
pub struct Daemon {
    /// Its version.
    pub build: String,
    /// Since when it runs.
    pub started: Timestamp,
    /// Where things live.
    pub paths: Paths,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The configuration in force, and the road of an edit.
    pub config: Arc<LiveConfig>,
    /// The rules of the anonymizer in force.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The policy in force: configuration and standing together.
    pub policy: Arc<ArcSwap<Policy>>,
    /// What the servers offer.
    pub catalog: Arc<Catalog>,
    /// Store and audit, written together.
    pub journal: Arc<Journal>,
    /// What people are to be told.
    pub outbox: Arc<Outbox>,
    /// How far the segments of all processes have come.
    pub checkpoints: Arc<AuditCheckpoints>,
    /// Removes what is old of the audit, and verifies the rest.
    pub retention: Arc<AuditRetention>,
    /// What terminals ask a person to confirm on Telegram.
    pub remote_confirmations: RemoteConfirmations,
    /// The second factor.
    pub passphrase: PassphraseChecker,
    /// Who decides on Telegram.
    pub pairing: Arc<Pairing>,
    /// How the bot there fares.
    pub bot_health: Arc<BotHealth>,
    /// Rules and grants.
    pub overrides: Arc<OverrideStore>,
    /// Where calls wait for a person.
    pub approval_queue: Arc<ApprovalQueue>,
    /// The daemon's children.
    pub upstreams: Arc<DaemonUpstreams>,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// Counts what is written down, from the daemon's start on.
    pub audit_counter: Arc<AuditCounter>,
    /// Cancelled when the daemon is to end.
    pub stop: CancellationToken,
    /// What must come to its end before the daemon ends.
    pub pending_work: TaskTracker,
    /// Held while rules and grants are sent out, so that changes arrive in their order.
    pub enforce_order: Mutex<()>,
}

impl Daemon {
    /// Puts the rules and grants in force in every session; returns once each confirmed or lost its
    /// connection.
    pub async fn enforce_overrides(&self) {
        let spreading = {
            let _in_order = lock(&self.enforce_order);
            self.sessions.spread_overrides(self.policy.load().overrides())
        };
        spreading.wait_for_sessions().await;
    }

    /// Ends grants as their time is over, everywhere, until the daemon is to end.
    pub async fn run_grant_expiry(self: Arc<Self>) {
        let mut changes = self.overrides.subscribe_epoch();
        loop {
            let nap = self
                .overrides
                .next_expiry()
                .map_or(MAX_GRANT_SLEEP, |left| left.clamp(MIN_GRANT_SLEEP, MAX_GRANT_SLEEP));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(nap) => {}
                // The sender lives as long as the daemon.
                _ = changes.changed() => continue,
            }
            match self.overrides.expire_grants().await {
                Ok(false) => {}
                Ok(true) => self.enforce_overrides().await,
                Err(error) => {
                    tracing::warn!(%error, "a grant ended");
                    self.enforce_overrides().await;
                }
            }
        }
    }
}

/// Counts what all processes wrote down since the daemon started.
#[derive(Debug)]
pub struct AuditCounter {
    /// None where the audit could not be read when the daemon began.
    follower: Mutex<Option<AuditFollower>>,
    /// What is counted by now, also while more is being read.
    counts: Mutex<CallCounts>,
}

impl AuditCounter {
    /// Counts what `follower` gives.
    #[must_use]
    pub fn new(follower: Option<AuditFollower>) -> Self {
        Self { follower: Mutex::new(follower), counts: Mutex::default() }
    }

    /// What is counted by now. It waits for nothing.
    #[must_use]
    pub fn counts(&self) -> CallCounts {
        *lock(&self.counts)
    }

    /// Counts what was written since the last time. It reads files.
    ///
    /// # Errors
    /// Why not all of it is counted.
    pub fn read_counts(&self) -> Result<(), String> {
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
