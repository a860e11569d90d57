//! Builds all parts, in the order of their dependencies.

use std::sync::Arc;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::approved_config::ApprovedConfig;
use portero::audit::{AuditFollower, AuditWriter, DigestKey, RecordFilter};
use portero::catalog::{Catalog, ListingCache};
use portero::clock::{Clock, MonotonicWallClock};
use portero::config::{ApprovalSettings, Config, ConfigFiles};
use portero::ipc::{DaemonFailure, FailureKind};
use portero::paths::Paths;
use portero::pipeline::GrantUses;
use portero::policy::{Overrides, Policy};

use crate::access_tokens::AccessTokens;
use crate::approvals::executor::{Executor, ExecutorDeps};
use crate::approvals::{ApprovalQueue, ApprovalQueueDeps};
use crate::approved_config::check::{EnvironmentLookup, ValidConfig, check_files};
use crate::approved_config::store::ApprovedConfigStore;
use crate::approved_config::{LiveConfig, LiveConfigDeps};
use crate::auth::pairing::Pairing;
use crate::auth::passphrase::PassphraseChecker;
use crate::auth::remote_confirmation::RemoteConfirmations;
use crate::daemon::{Daemon, Lifecycle};
use crate::http_client::ProxySettings;
use crate::http_transport::HttpClients;
use crate::https_health::HttpsHealth;
use crate::journal::Journal;
use crate::journal::audit_trail::AuditTrail;
use crate::journal::checkpoints::AuditCheckpoints;
use crate::journal::outbox::Outbox;
use crate::keyring::Keyring;
use crate::login::Logins;
use crate::oauth::{OAuth, OAuthDeps, SystemLookup};
use crate::overrides::{OverrideStore, OverrideStoreDeps, OwnDefinitions};
use crate::programs::ProgramContext;
use crate::secrets::lookup::LookupContext;
use crate::secrets::named::NamedSecrets;
use crate::secrets::redaction::Redactions;
use crate::secrets::references::SecretReferences;
use crate::secrets::sealed::SealedCredentials;
use crate::sessions::Sessions;
use crate::store::{Store, StoreError};
use crate::upstreams::{DaemonUpstreams, DaemonUpstreamsDeps};

use super::{AppDeps, config_failure};

/// Builds all parts, in the order of their dependencies.
#[expect(clippy::too_many_lines, reason = "one list of all parts")]
pub(super) async fn compose_daemon(
    parts: AppDeps,
    environment: EnvironmentLookup,
    files: &ConfigFiles,
) -> Result<(Arc<Daemon>, Arc<Executor>), DaemonFailure> {
    let (kept, ValidConfig { config, anonymizer: proven, changes, warnings }) =
        OpenedState::open(&parts, &environment, files).await?;
    let OpenedState {
        audit_follower: tally,
        audit,
        journal,
        checkpoints: heads,
        policy,
        overrides: rules,
        sessions,
        approved_config: confirmed,
        anonymizer,
    } = kept;
    anonymizer.store(Arc::new(proven));
    let AppDeps { paths, home, environment: variables, clock, guard, build, keyring, .. } = parts;
    let catalog =
        Arc::new(Catalog::new(&config.servers, Some(ListingCache::new(paths.catalog(), home.clone()))));
    let (approvals, config) = swappable_settings(config);

    let redactions = Arc::new(Redactions::new(Arc::clone(&anonymizer), config.load().replacements.clone()));
    let context = LookupContext {
        config_directory: paths.config.clone(),
        programs: ProgramContext::new(home.clone(), &variables),
    };
    let credentials = open_credentials(&journal, &paths, &keyring, &config);
    let (secrets, references) = open_secrets(&credentials, keyring, &clock, &redactions, context);
    let proxy = ProxySettings::read(|name| environment(name)?.into_string().ok());
    let oauth = open_logins(&credentials, &clock, &proxy, &redactions);
    let servers = DaemonUpstreams::new(DaemonUpstreamsDeps {
        config: Arc::clone(&config),
        anonymizer: Arc::clone(&anonymizer),
        policy: Arc::clone(&policy),
        catalog: Arc::clone(&catalog),
        uses: Arc::clone(&rules) as _,
        definitions: Arc::new(OwnDefinitions::new(Arc::clone(&rules))),
        audit,
        clock: Arc::clone(&clock),
        guard,
        environment: variables,
        logs: paths.server_logs(),
        home,
        build: build.clone(),
        http: Arc::new(HttpClients::new(proxy.clone(), Arc::clone(&oauth))),
        references,
        remote_directory: paths.remote_sessions(),
    });
    let live_deps = LiveConfigDeps {
        directory: paths.config.clone(),
        environment,
        journal: Arc::clone(&journal),
        config: Arc::clone(&config),
        approval_settings: Arc::clone(&approvals),
        redactions,
        policy: Arc::clone(&policy),
        overrides: Arc::clone(&rules),
        upstreams: Arc::clone(&servers),
        sessions: Arc::clone(&sessions),
    };
    let logins = Logins::new(oauth, &servers, &journal);
    let daemon = Arc::new(Daemon {
        lifecycle: Lifecycle::new(build, clock.now().wall),
        approval_queue: open_approval_queue(
            (&journal, &paths),
            &servers,
            &sessions,
            (&policy, Arc::clone(&rules) as _),
            Arc::clone(&approvals),
            Arc::clone(&clock),
        ),
        outbox: Outbox::new(Arc::clone(&journal)),
        audit: AuditTrail::new(heads, config, tally),
        remote_confirmations: RemoteConfirmations::new(Arc::clone(&journal), Arc::clone(&clock)),
        passphrase: PassphraseChecker::new(Arc::clone(&journal), Arc::clone(&clock)),
        access_tokens: open_access_tokens(&journal, &paths, &clock)?,
        pairing: Arc::new(Pairing::new(Arc::clone(&journal), Arc::clone(&clock))),
        bot_health: Arc::default(),
        https: HttpsHealth::default(),
        proxy,
        paths,
        clock,
        config: LiveConfig::new(live_deps, confirmed, files.clone(), (changes, warnings)),
        anonymizer,
        policy,
        journal,
        overrides: rules,
        credentials,
        secrets,
        upstreams: servers,
        logins,
        sessions,
    });
    Ok((Arc::clone(&daemon), build_executor(&daemon, approvals)))
}

/// The kept credentials, of logins and of people.
fn open_credentials(
    journal: &Arc<Journal>,
    paths: &Paths,
    keyring: &Arc<dyn Keyring>,
    config: &Arc<ArcSwap<Config>>,
) -> Arc<SealedCredentials> {
    let config = Arc::clone(config);
    let setting = Arc::new(move || config.load().settings.credentials.keyring);
    let (journal, keyring) = (Arc::clone(journal), Arc::clone(keyring));
    Arc::new(SealedCredentials::new(journal, paths.credentials_key(), keyring, setting))
}

/// The secrets by name, and the references to them and to others.
fn open_secrets(
    credentials: &Arc<SealedCredentials>,
    keyring: Arc<dyn Keyring>,
    clock: &Arc<dyn Clock>,
    redactions: &Arc<Redactions>,
    context: LookupContext,
) -> (Arc<NamedSecrets>, Arc<SecretReferences>) {
    let secrets = Arc::new(NamedSecrets::new(Arc::clone(credentials) as _, Arc::clone(clock)));
    let references = SecretReferences::new(
        Arc::clone(&secrets),
        Arc::clone(redactions),
        (context, keyring),
        Arc::clone(clock),
    );
    (secrets, Arc::new(references))
}

/// The access tokens, whose expiry follows a clock that can't be set back.
fn open_access_tokens(
    journal: &Arc<Journal>,
    paths: &Paths,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<AccessTokens>, DaemonFailure> {
    let clock = Arc::new(MonotonicWallClock::new(Arc::clone(clock)));
    let tokens = AccessTokens::open(Arc::clone(journal), clock);
    tokens.map(Arc::new).map_err(|error| store_failure(paths, &error))
}

/// The logins at servers over HTTP.
fn open_logins(
    credentials: &Arc<SealedCredentials>,
    clock: &Arc<dyn Clock>,
    proxy: &ProxySettings,
    redactions: &Arc<Redactions>,
) -> Arc<OAuth> {
    OAuth::new(OAuthDeps {
        kept: Arc::clone(credentials) as _,
        clock: Arc::clone(clock),
        proxy: proxy.clone(),
        lookup: Arc::new(SystemLookup),
        redactions: Arc::clone(redactions),
    })
}

/// The limits of approvals and the configuration, as values that a reload can swap.
fn swappable_settings(config: Config) -> (Arc<ArcSwap<ApprovalSettings>>, Arc<ArcSwap<Config>>) {
    let approvals = config.settings.approvals.clone();
    (Arc::new(ArcSwap::from_pointee(approvals)), Arc::new(ArcSwap::from_pointee(config)))
}

/// The parts that keep their state on disk, opened.
struct OpenedState {
    audit_follower: Option<AuditFollower>,
    audit: Arc<AuditWriter>,
    journal: Arc<Journal>,
    checkpoints: Arc<AuditCheckpoints>,
    policy: Arc<ArcSwap<Policy>>,
    overrides: Arc<OverrideStore>,
    sessions: Arc<Sessions>,
    approved_config: ApprovedConfigStore,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
}

impl OpenedState {
    async fn open(
        parts: &AppDeps,
        environment: &EnvironmentLookup,
        files: &ConfigFiles,
    ) -> Result<(Self, ValidConfig), DaemonFailure> {
        let AppDeps { paths, clock, disk, build, .. } = parts;
        let internal =
            |error: &dyn std::fmt::Display| DaemonFailure::new(FailureKind::Internal, error.to_string());
        // The counts begin with this daemon, so the follower is opened before its own audit is.
        let audit_directory = paths.audit();
        let (directory, key) = (audit_directory.clone(), paths.audit_key());
        let read =
            portero::files::read_off_thread(&audit_directory, portero::files::READ_TIMEOUT, move || {
                (AuditFollower::new(&directory, RecordFilter::default()).ok(), DigestKey::open(&key))
            });
        let (tally, key) = read.await.unwrap_or_else(|error| (None, Err(error.into())));
        let program = format!("porterod {build}");
        let audit = AuditWriter::open_on(Arc::clone(disk), &paths.audit(), &program, clock.now())
            .map_err(|error| internal(&format!("could not write the audit: {error}")))?;
        let audit = Arc::new(audit.with_key(key));
        let store = open_store(paths, &audit).map_err(|error| store_failure(paths, &error))?;
        // Until the approved configuration is known, notices are concealed by all present files, which hides
        // at least as much.
        let valid = check_files(&ApprovedConfig::Open, files, environment);
        let anonymizer = valid.map_err(|problems| config_failure(&problems))?.anonymizer;
        let anonymizer = Arc::new(ArcSwap::from_pointee(anonymizer));
        let journal = Journal::new(store, Arc::clone(&audit), Arc::clone(&anonymizer), Arc::clone(clock));
        let confirmed = ApprovedConfigStore::open(Arc::clone(&journal), paths.clone(), files).await;
        let confirmed = confirmed.map_err(|error| store_failure(paths, &error))?;
        // Checked again: until the store was open it wasn't known which part of the files a person confirmed.
        let valid = check_files(&confirmed.current(), files, environment)
            .map_err(|problems| config_failure(&problems))?;
        audit.set_max_segment_bytes(valid.config.settings.audit.max_segment_bytes);
        let policy = Policy::new(valid.config.policy.clone(), Overrides::default());
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let sessions = Arc::<Sessions>::default();
        let rules = OverrideStore::open(OverrideStoreDeps {
            journal: Arc::clone(&journal),
            policy: Arc::clone(&policy),
            offline_denies: paths.offline_denies(),
            boot_id: parts.boot_id.clone(),
            clock: Arc::clone(clock),
            sessions: Arc::clone(&sessions),
        });
        let rules = rules.await.map_err(|error| internal(&error))?;
        let heads = AuditCheckpoints::new(Arc::clone(&journal), paths.audit());
        Ok((
            Self {
                audit_follower: tally,
                audit,
                journal,
                checkpoints: heads,
                policy,
                overrides: rules,
                sessions,
                approved_config: confirmed,
                anonymizer,
            },
            valid,
        ))
    }
}

/// The approval queue. Shared servers ask there too, so both are tied together here.
fn open_approval_queue(
    (journal, paths): (&Arc<Journal>, &Paths),
    servers: &Arc<DaemonUpstreams>,
    sessions: &Arc<Sessions>,
    (policy, grant_uses): (&Arc<ArcSwap<Policy>>, Arc<dyn GrantUses>),
    settings: Arc<ArcSwap<ApprovalSettings>>,
    clock: Arc<dyn Clock>,
) -> Arc<ApprovalQueue> {
    let queue = ApprovalQueue::new(ApprovalQueueDeps {
        journal: Arc::clone(journal),
        binding_source: Arc::clone(servers) as _,
        children: Arc::clone(sessions) as _,
        server_settings: Arc::clone(servers) as _,
        policy: Arc::clone(policy),
        grant_uses,
        settings,
        clock: Arc::new(MonotonicWallClock::new(clock)),
        rejections: paths.rejections(),
    });
    servers.set_approval_queue(Arc::clone(&queue) as _);
    queue
}

fn build_executor(daemon: &Daemon, settings: Arc<ArcSwap<ApprovalSettings>>) -> Arc<Executor> {
    Executor::new(ExecutorDeps {
        journal: Arc::clone(&daemon.journal),
        approval_queue: Arc::clone(&daemon.approval_queue),
        runner: Arc::clone(&daemon.upstreams) as _,
        policy: Arc::clone(&daemon.policy),
        settings,
        anonymizer: Arc::clone(&daemon.anonymizer),
        clock: Arc::new(MonotonicWallClock::new(Arc::clone(&daemon.clock))),
    })
}

/// The file of denies is written at every start, so its existence shows that there was a store.
fn open_store(paths: &Paths, audit: &Arc<AuditWriter>) -> Result<Store, StoreError> {
    let audit = Arc::clone(audit);
    Store::open(&paths.store(), Some(&paths.offline_denies()), Box::new(move || audit.sync()))
}

/// The failure of a start for which this store is the reason.
pub(super) fn store_failure(paths: &Paths, error: &StoreError) -> DaemonFailure {
    let kind = match error {
        StoreError::Refused(_) | StoreError::Seal { .. } => FailureKind::Configuration,
        _ => FailureKind::Internal,
    };
    let failure = DaemonFailure::new(kind, error.to_string());
    if let StoreError::Refused(_) = error {
        return failure.with_hint(format!(
            "put the state directory back, or set PORTERO_STATE_DIR to it. To start over without the former \
             passphrase, rules, tasks and audit, remove `{}`",
            paths.seal().display()
        ));
    }
    error.advice().into_iter().fold(failure, DaemonFailure::with_hint)
}
