//! The services that a request may need, each the owner of its state, and the life of the process.
//!
//! [`Daemon`] only brings them together: a handler takes the services of its subject. A change of rules or grants
//! calls [`Daemon::enforce_overrides`] before it is answered, so it applies in every session before its command
//! returns.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::anonymize::Anonymizer;
use portero::catalog::Catalog;
use portero::clock::Clock;
use portero::paths::Paths;
use portero::policy::Policy;
use portero::sync::lock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::approvals::ApprovalQueue;
use crate::approved_config::LiveConfig;
use crate::auth::pairing::Pairing;
use crate::auth::passphrase::PassphraseChecker;
use crate::auth::remote_confirmation::RemoteConfirmations;
use crate::bot_health::BotHealth;
use crate::journal::Journal;
use crate::journal::audit_trail::AuditTrail;
use crate::journal::outbox::Outbox;
use crate::overrides::OverrideStore;
use crate::sessions::Sessions;
use crate::upstreams::DaemonUpstreams;

/// How long to sleep at most before looking whether a grant is over, since clocks may be set meanwhile.
const MAX_GRANT_SLEEP: Duration = Duration::from_secs(30);
/// How long at least.
const MIN_GRANT_SLEEP: Duration = Duration::from_millis(50);

/// The running daemon, as requests see it.
pub struct Daemon {
    /// Its build, its start, its end, and the work to finish before that.
    pub lifecycle: Lifecycle,
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
    /// The segments of all processes: checkpoints, retention, counts.
    pub audit: Arc<AuditTrail>,
    /// What people are to be told.
    pub outbox: Arc<Outbox>,
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
                () = self.lifecycle.stop_signal().cancelled() => return,
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

/// The life of the daemon's process.
#[derive(Debug)]
pub struct Lifecycle {
    build: String,
    started: Timestamp,
    stop: CancellationToken,
    pending_work: TaskTracker,
}

impl Lifecycle {
    /// Of this build, started at that time.
    #[must_use]
    pub fn new(build: String, started: Timestamp) -> Self {
        Self { build, started, stop: CancellationToken::new(), pending_work: TaskTracker::new() }
    }

    /// The version, for people.
    #[must_use]
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The start of the process.
    #[must_use]
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// Cancelled once the daemon is to end.
    #[must_use]
    pub const fn stop_signal(&self) -> &CancellationToken {
        &self.stop
    }

    /// Asks every part of the daemon to end.
    pub fn request_stop(&self) {
        self.stop.cancel();
    }

    /// Spawns work that the daemon finishes before it ends.
    pub fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.pending_work.spawn(work);
    }

    /// Returns once all spawned work is done, also what running work spawned.
    pub async fn wait_for_work(&self) {
        self.pending_work.close();
        self.pending_work.wait().await;
    }
}
