//! The way of an edit: the files are watched, compared with the confirmed ones, and then applied or held
//! (guarantee A7).
//!
//! [`LiveConfig`] owns the applied configuration, and [`LiveConfig::follow_files`] notices an edit. A
//! narrowing change applies at once; a widening one waits for [`LiveConfig::confirm`]. Files with errors
//! change nothing: `status` shows the errors, and the last valid configuration stays.

pub mod check;
mod confirm;
pub mod recent_edits;
mod report;
pub mod store;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use portero::approved_config::{ApprovedConfig, ConfigChanges};
use portero::audit::AuditEvent;
use portero::config::{ApprovalSettings, Config, ConfigFiles, ConfigProblems};
use portero::ipc::PushMessage;
use portero::names::Actor;
use portero::notice::ConfigAdoption;
use portero::policy::Policy;
use portero::store_identity::StoreKey;
use tokio::sync::watch as watch_channel;

use self::check::{EnvironmentLookup, ValidConfig, check_files, describe_problems};
pub use self::confirm::ConfirmConfigError;
use self::recent_edits::RecentEdits;
use self::store::{ApprovedConfigStore, SealReason, SealRequest};
use crate::journal::Journal;
use crate::overrides::OverrideStore;
use crate::secrets::redaction::Redactions;
use crate::sessions::Sessions;
use crate::store::StoreError;
use crate::upstreams::DaemonUpstreams;

/// The largest size of one record's list of changes, in bytes.
const MAX_RECORD_BYTES: usize = 4000;

/// The services that a configuration is applied to. The swaps are shared with everything that reads them.
pub struct LiveConfigDeps {
    /// The directory of the files.
    pub directory: PathBuf,
    /// The variables that `${VAR}` reads.
    pub environment: EnvironmentLookup,
    /// The journal for records and notices of edits.
    pub journal: Arc<Journal>,
    /// The applied configuration.
    pub config: Arc<ArcSwap<Config>>,
    /// The approval limits of the configuration.
    pub approval_settings: Arc<ArcSwap<ApprovalSettings>>,
    /// The replacements in force: the configuration's, and those of looked-up secrets.
    pub redactions: Arc<Redactions>,
    /// The policy, which joins the configuration's with the overrides.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Rules and grants, whose definition pins go by the replacements.
    pub overrides: Arc<OverrideStore>,
    /// The daemon's own servers, which follow the configuration.
    pub upstreams: Arc<DaemonUpstreams>,
    /// The sessions, which learn of each change.
    pub sessions: Arc<Sessions>,
}

/// The applied configuration, and the difference of the files from it.
pub struct LiveConfig {
    deps: LiveConfigDeps,
    approved: ApprovedConfigStore,
    /// The difference of the last valid files from the confirmed ones; its widening changes wait.
    changes: ArcSwap<ConfigChanges>,
    files_check: ArcSwap<FilesCheck>,
    recent_edits: RecentEdits,
    /// The last valid files. The lock is held while a configuration is applied, so two edits can't
    /// interleave.
    present_files: tokio::sync::Mutex<ConfigFiles>,
    reloaded: watch_channel::Sender<()>,
}

/// The result of the last reading of the files.
#[derive(Debug)]
pub struct FilesCheck {
    /// Whether the files can be applied.
    pub is_valid: bool,
    /// Every problem, one line each; valid files may have some too.
    pub problems: Vec<String>,
}

impl LiveConfig {
    /// Makes the owner of `files`, which the caller has applied as far as `changes` permits.
    #[must_use]
    pub fn new(
        deps: LiveConfigDeps,
        approved: ApprovedConfigStore,
        files: ConfigFiles,
        (changes, warnings): (ConfigChanges, Vec<String>),
    ) -> Arc<Self> {
        Arc::new(Self {
            deps,
            approved,
            changes: ArcSwap::from_pointee(changes),
            files_check: ArcSwap::from_pointee(FilesCheck { is_valid: true, problems: warnings }),
            recent_edits: RecentEdits::default(),
            present_files: tokio::sync::Mutex::new(files),
            reloaded: watch_channel::Sender::new(()),
        })
    }

    /// The applied configuration.
    #[must_use]
    pub fn current(&self) -> Arc<Config> {
        self.deps.config.load_full()
    }

    /// The difference of the last valid files from the confirmed ones.
    #[must_use]
    pub fn changes(&self) -> Arc<ConfigChanges> {
        self.changes.load_full()
    }

    /// The result of the last reading of the files.
    #[must_use]
    pub fn files_check(&self) -> Arc<FilesCheck> {
        self.files_check.load_full()
    }

    /// The directory of the files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.deps.directory
    }

    /// A variable of the daemon's environment; `None` if it is unset or not UTF-8.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        check::variable(&self.deps.environment, name)
    }

    /// The digest of the confirmed configuration; a session compares it with its own.
    #[must_use]
    pub fn approved_digest(&self) -> String {
        self.approved.current().digest()
    }

    /// The key pair of the store that sealed the configuration.
    #[must_use]
    pub const fn store_key(&self) -> &StoreKey {
        self.approved.store_key()
    }

    /// Changes when another configuration is applied.
    #[must_use]
    pub fn subscribe(&self) -> watch_channel::Receiver<()> {
        self.reloaded.subscribe()
    }

    /// Records the configuration of the start. If nothing in it widens, it counts as confirmed; otherwise
    /// people learn that changes wait.
    pub async fn record_start(&self, files: &ConfigFiles) {
        self.current().log_skipped();
        self.record_config();
        let changes = self.changes();
        if changes.has_pending() {
            self.note_edit((files, files), ConfigAdoption::Waits).await;
        } else {
            self.adopt(files, &describe_config_changes(&changes)).await;
        }
    }

    /// Applies these files as far as they may apply. Files with errors change only `status`.
    async fn apply_files(&self, files: ConfigFiles) {
        let mut present = self.present_files.lock().await;
        match self.check(&files).await {
            Ok(valid) => {
                self.put_in_force(valid);
                let waits = self.changes.load().has_pending();
                let became = if waits { ConfigAdoption::Waits } else { ConfigAdoption::Adopted };
                self.note_edit((&present, &files), became).await;
                // The sessions read after the daemon applied it, so none is ahead of the daemon.
                self.push_to_sessions();
                *present = files;
            }
            Err(problems) => {
                tracing::warn!(
                    problems = problems.len(),
                    "the configuration has errors; the last valid one stays"
                );
                self.note_check(false, problems);
                self.note_edit((&present, &files), ConfigAdoption::Invalid).await;
            }
        }
    }

    /// Notes that the files can't be read, which changes only `status`.
    fn note_unreadable(&self, problems: &ConfigProblems) {
        self.note_check(false, describe_problems(problems));
    }

    /// Notes that the files say the same as before, so only `status` changes: they can be read again, or something
    /// else in their directory changed.
    async fn note_unchanged(&self, files: &ConfigFiles) {
        // Held so that no other configuration is applied meanwhile.
        let _present = self.present_files.lock().await;
        match self.check(files).await {
            Ok(valid) => self.note_check(true, valid.warnings),
            Err(problems) => self.note_check(false, problems),
        }
        // A session may have failed on the same files while they could not be read.
        self.push_to_sessions();
    }

    /// Keeps the present files as confirmed, if none were confirmed before: `by` just set the passphrase.
    ///
    /// # Errors
    /// When the files can't be stored.
    pub async fn seal_present(&self, by: &Actor) -> Result<(), StoreError> {
        let present = self.present_files.lock().await;
        if *self.approved.current() == ApprovedConfig::Open {
            let sealing = SealRequest::new(SealReason::Seal, "the configuration as it stands", Some(by));
            self.approved.approve_files(present.clone(), sealing).await?;
            self.push_to_sessions();
        }
        Ok(())
    }

    /// Off the runtime's thread: a large set of replacements takes a while to prove, and a decision must not wait.
    async fn check(&self, files: &ConfigFiles) -> Result<ValidConfig, Vec<String>> {
        let (approved, files) = (self.approved.current(), files.clone());
        let environment = Arc::clone(&self.deps.environment);
        tokio::task::spawn_blocking(move || check_files(&approved, &files, &environment))
            .await
            .unwrap_or_else(|error| Err(vec![format!("the configuration could not be checked: {error}")]))
    }

    fn note_check(&self, is_valid: bool, problems: Vec<String>) {
        self.files_check.store(Arc::new(FilesCheck { is_valid, problems }));
    }

    /// Applies a configuration in this process; the caller then tells the sessions.
    fn put_in_force(&self, ValidConfig { config, anonymizer, changes, warnings }: ValidConfig) {
        config.log_skipped();
        // The anonymizer comes first: no new server may run before its values are concealed.
        let exposed = self.deps.redactions.put_configured(config.replacements.clone(), anonymizer);
        if !exposed.is_empty() {
            tracing::warn!(servers = ?exposed, "a fake of replacements.json holds a secret of these servers, so they end");
            self.deps.upstreams.restart_servers(&exposed);
        }
        self.deps.policy.rcu(|policy| Policy::new(config.policy.clone(), policy.overrides().clone()));
        self.deps.journal.set_max_segment_bytes(config.settings.audit.max_segment_bytes);
        self.deps.approval_settings.store(Arc::new(config.settings.approvals.clone()));
        self.deps.config.store(Arc::new(config));
        self.changes.store(Arc::new(changes));
        self.note_check(true, warnings);
        self.deps.upstreams.apply_config();
        self.reloaded.send_replace(());
        tracing::info!("the configuration was read anew");
    }

    /// Keeps the applied files as confirmed, because nothing in them widens.
    async fn adopt(&self, files: &ConfigFiles, about: &str) {
        if matches!(&*self.approved.current(), ApprovedConfig::Sealed(known) if known != files) {
            let sealing = SealRequest::new(SealReason::Adopt, about, None);
            if let Err(error) = self.approved.approve_files(files.clone(), sealing).await {
                // A narrowing change applies all the same, and the next start finds it again.
                tracing::error!(%error, "the configuration in force could not be kept");
            }
        }
    }

    fn record_config(&self) {
        let digest = self.deps.config.load().digest.clone();
        self.deps.journal.record_event(AuditEvent::Config { digest, valid: true });
    }

    fn push_to_sessions(&self) {
        let confirmed = self.approved_digest();
        self.deps.sessions.push_to_all(&PushMessage::Config { confirmed });
    }
}

/// The changes in one line, for one record.
fn describe_config_changes(changes: &ConfigChanges) -> String {
    let all = [("waits: ", &changes.widens), ("in force: ", &changes.narrows)];
    let mut words = String::new();
    for (what, change) in all.iter().flat_map(|(what, some)| some.iter().map(move |change| (what, change))) {
        if words.len() > MAX_RECORD_BYTES {
            words.push_str("; and more");
            break;
        }
        let start = if words.is_empty() { "" } else { "; " };
        words.push_str(&format!("{start}{what}{}: {}", change.file, change.words));
    }
    if words.is_empty() { "nothing that matters".to_owned() } else { words }
}
