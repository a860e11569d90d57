//! The services that a request may need, each the owner of its state, and the lifecycle of the process.
//!
//! [`Daemon`] only holds them together: a handler takes the services of its subject.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use portero::anonymize::Anonymizer;
use portero::clock::Clock;
use portero::paths::Paths;
use portero::policy::Policy;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_tokens::AccessTokens;
use crate::approvals::ApprovalQueue;
use crate::approved_config::LiveConfig;
use crate::auth::pairing::Pairing;
use crate::auth::passphrase::PassphraseChecker;
use crate::auth::remote_confirmation::RemoteConfirmations;
use crate::bot_health::BotHealth;
use crate::http_client::ProxySettings;
use crate::https_health::HttpsHealth;
use crate::journal::Journal;
use crate::journal::audit_trail::AuditTrail;
use crate::journal::outbox::Outbox;
use crate::login::Logins;
use crate::overrides::OverrideStore;
use crate::secrets::named::NamedSecrets;
use crate::secrets::sealed::SealedCredentials;
use crate::sessions::Sessions;
use crate::upstreams::DaemonUpstreams;

/// The running daemon, as requests see it.
pub struct Daemon {
    /// The build, the start, the stop signal, and the work to finish before the end.
    pub lifecycle: Lifecycle,
    /// The places of the files and the socket.
    pub paths: Paths,
    /// The wall clock and the boot clock.
    pub clock: Arc<dyn Clock>,
    /// How the network is reached.
    pub proxy: ProxySettings,
    /// The configuration in force, and the road of an edit to it.
    pub config: Arc<LiveConfig>,
    /// The replacements in force; `config` swaps them.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The policy in force: `config` swaps the configured part, `overrides` the rest.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The only writer of the store, the daemon's own audit and the outbox.
    pub journal: Arc<Journal>,
    /// The segments of all processes: checkpoints, retention, counts.
    pub audit: Arc<AuditTrail>,
    /// The notices that channels and observers have yet to take.
    pub outbox: Arc<Outbox>,
    /// The questions of terminals that a person answers on Telegram.
    pub remote_confirmations: RemoteConfirmations,
    /// The passphrase, and the authenticator beside it.
    pub passphrase: PassphraseChecker,
    /// Who may ask over HTTPS with a bearer token.
    pub access_tokens: Arc<AccessTokens>,
    /// The people who decide on Telegram.
    pub pairing: Arc<Pairing>,
    /// The state of the bot, for `status` and for confirmations.
    pub bot_health: Arc<BotHealth>,
    /// The state of the HTTPS endpoint, for `status`.
    pub https: HttpsHealth,
    /// Rules, grants and the pause. A change applies in every session before its method returns.
    pub overrides: Arc<OverrideStore>,
    /// The calls that wait for a person.
    pub approval_queue: Arc<ApprovalQueue>,
    /// Where credentials toward servers are kept.
    pub credentials: Arc<SealedCredentials>,
    /// The secrets that a person set by name.
    pub secrets: Arc<NamedSecrets>,
    /// The daemon's own child servers.
    pub upstreams: Arc<DaemonUpstreams>,
    /// The logins of people at servers.
    pub logins: Arc<Logins>,
    /// The connected sessions.
    pub sessions: Arc<Sessions>,
}

/// The lifecycle of the daemon's process.
#[derive(Debug)]
pub struct Lifecycle {
    build: String,
    started: Timestamp,
    stop: CancellationToken,
    pending_work: TaskTracker,
}

impl Lifecycle {
    /// Makes the lifecycle of this build, started at this time.
    #[must_use]
    pub fn new(build: String, started: Timestamp) -> Self {
        Self { build, started, stop: CancellationToken::new(), pending_work: TaskTracker::new() }
    }

    /// The version, as people see it.
    #[must_use]
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The start of the process.
    #[must_use]
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// Cancelled when the daemon is to stop.
    #[must_use]
    pub const fn stop_signal(&self) -> &CancellationToken {
        &self.stop
    }

    /// Asks every part of the daemon to stop.
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

    /// Returns once all spawned work is done, including work that it spawned itself.
    pub async fn wait_for_work(&self) {
        self.pending_work.close();
        self.pending_work.wait().await;
    }
}
