//! Makes everything, from what needs nothing to what needs all of it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::audit::{Filter, Follower, Key, Segment};
use portero::catalog::{Cache, Catalog};
use portero::clock::{Clock, Steady};
use portero::config::{Approvals, Config, Files};
use portero::confirmed::Confirmed;
use portero::ipc::{Failure, FailureKind};
use portero::paths::Paths;
use portero::policy::{Policy, Standing};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::approval::{Desk, DeskParts};
use crate::configuration;
use crate::configuration::Valid;
use crate::confirmed::Keeper;
use crate::consent::Consents;
use crate::daemon::{Daemon, Environment, Tally};
use crate::edits::Edits;
use crate::executor::{Executor, ExecutorParts};
use crate::heads::Heads;
use crate::journal::Journal;
use crate::outbox::Outbox;
use crate::pairing::Pairing;
use crate::passphrase::Passphrase;
use crate::rules::{Rules, RulesParts};
use crate::servers::{Servers, ServersParts};
use crate::sessions::Sessions;
use crate::store::{Store, StoreError};
use crate::upkeep::Upkeep;

use super::{Parts, faulty};

/// Makes everything, from what needs nothing to what needs all of it.
pub(super) async fn compose(
    parts: Parts,
    environment: Environment,
    files: &Files,
) -> Result<(Arc<Daemon>, Arc<Executor>), Failure> {
    let (kept, Valid { config, anonymizer: proven, changes, warnings }) =
        Kept::open(&parts, &environment, files).await?;
    let Kept { tally, audit, journal, heads, policy, rules, confirmed, anonymizer } = kept;
    anonymizer.store(Arc::new(proven));
    let Parts { paths, home, environment: variables, clock, guard, build, .. } = parts;
    let catalog = Arc::new(Catalog::new(&config.servers, Some(Cache::new(paths.catalog(), home.clone()))));
    let (approvals, config) = exchangeable(config);

    let servers = Servers::new(ServersParts {
        config: Arc::clone(&config),
        anonymizer: Arc::clone(&anonymizer),
        policy: Arc::clone(&policy),
        catalog: Arc::clone(&catalog),
        uses: Arc::clone(&rules) as _,
        audit: Arc::clone(&audit),
        clock: Arc::clone(&clock),
        guard,
        environment: variables,
        logs: paths.server_logs(),
        home,
        build: build.clone(),
    });
    let daemon = Arc::new(Daemon {
        build,
        started: clock.now().wall,
        desk: open_desk((&journal, &paths), &servers, &policy, Arc::clone(&approvals), Arc::clone(&clock)),
        outbox: Outbox::new(Arc::clone(&journal)),
        upkeep: Upkeep::new(Arc::clone(&heads), Arc::clone(&config)),
        heads,
        consents: Consents::new(Arc::clone(&journal), Arc::clone(&clock)),
        passphrase: Passphrase::new(Arc::clone(&journal), Arc::clone(&clock)),
        pairing: Arc::new(Pairing::new(Arc::clone(&journal), Arc::clone(&clock))),
        weather: Arc::default(),
        paths,
        environment,
        clock,
        config,
        approvals,
        problems: ArcSwap::from_pointee(warnings),
        valid: AtomicBool::new(true),
        confirmed,
        edits: Edits::default(),
        changes: ArcSwap::from_pointee(changes),
        present: tokio::sync::Mutex::new(files.clone()),
        anonymizer,
        policy,
        catalog,
        audit,
        journal,
        rules,
        servers,
        sessions: Arc::new(Sessions::default()),
        tally: Arc::new(Tally::new(tally)),
        reloaded: watch::Sender::new(()),
        stop: CancellationToken::new(),
        work: TaskTracker::new(),
        enforcing: Mutex::new(()),
    });
    Ok((Arc::clone(&daemon), executor(&daemon)))
}

/// The limits of approvals and the configuration, as they are exchanged for others.
fn exchangeable(config: Config) -> (Arc<ArcSwap<Approvals>>, Arc<ArcSwap<Config>>) {
    let approvals = config.settings.approvals.clone();
    (Arc::new(ArcSwap::from_pointee(approvals)), Arc::new(ArcSwap::from_pointee(config)))
}

/// What is kept on disk, opened.
struct Kept {
    tally: Option<Follower>,
    audit: Arc<Segment>,
    journal: Arc<Journal>,
    heads: Arc<Heads>,
    policy: Arc<ArcSwap<Policy>>,
    rules: Arc<Rules>,
    confirmed: Keeper,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
}

impl Kept {
    async fn open(parts: &Parts, environment: &Environment, files: &Files) -> Result<(Self, Valid), Failure> {
        let Parts { paths, clock, disk, build, .. } = parts;
        let internal = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Internal, error.to_string());
        // What is counted begins where this daemon does.
        let audit_directory = paths.audit();
        let (directory, key) = (audit_directory.clone(), paths.audit_key());
        let read = portero::files::off_thread(&audit_directory, portero::files::READ_TIMEOUT, move || {
            (Follower::new(&directory, Filter::default()).ok(), Key::open(&key))
        });
        let (tally, key) = read.await.unwrap_or_else(|error| (None, Err(error.into())));
        let program = format!("porterod {build}");
        let audit = Segment::open_on(Arc::clone(disk), &paths.audit(), &program, clock.now())
            .map_err(|error| internal(&format!("could not write the audit: {error}")))?;
        let audit = Arc::new(audit.with_key(key));
        let store = open_store(paths, &audit).map_err(|error| {
            let failure = internal(&error);
            error.advice().into_iter().fold(failure, Failure::with_hint)
        })?;
        // What is told before it is known what holds is concealed by all that the files say.
        let valid = configuration::check(&Confirmed::Open, files, environment);
        let anonymizer = valid.map_err(|problems| faulty(&problems))?.anonymizer;
        let anonymizer = Arc::new(ArcSwap::from_pointee(anonymizer));
        let journal = Journal::new(store, Arc::clone(&audit), Arc::clone(&anonymizer), Arc::clone(clock));
        let confirmed = Keeper::open(Arc::clone(&journal), paths.clone(), files).await;
        let confirmed = confirmed.map_err(|error| match error {
            StoreError::Refused(problem) => sealed(paths, &problem),
            error => internal(&error),
        })?;
        let valid = configuration::check(&confirmed.confirmed(), files, environment)
            .map_err(|problems| faulty(&problems))?;
        audit.continue_after(valid.config.settings.audit.segment_bytes);
        let policy = Policy::new(valid.config.policy.clone(), Standing::default());
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let rules = Rules::open(RulesParts {
            journal: Arc::clone(&journal),
            policy: Arc::clone(&policy),
            denies: paths.denies(),
            boot_id: parts.boot_id.clone(),
            clock: Arc::clone(clock),
        });
        let rules = rules.await.map_err(|error| internal(&error))?;
        let heads = Heads::new(Arc::clone(&journal), paths.audit());
        Ok((Self { tally, audit, journal, heads, policy, rules, confirmed, anonymizer }, valid))
    }
}

/// The desk, at which shared servers ask too.
fn open_desk(
    (journal, paths): (&Arc<Journal>, &Paths),
    servers: &Arc<Servers>,
    policy: &Arc<ArcSwap<Policy>>,
    settings: Arc<ArcSwap<Approvals>>,
    clock: Arc<dyn Clock>,
) -> Arc<Desk> {
    let desk = Desk::new(DeskParts {
        journal: Arc::clone(journal),
        grounds: Arc::clone(servers) as _,
        policy: Arc::clone(policy),
        settings,
        clock: Arc::new(Steady::new(clock)),
        rejections: paths.rejections(),
    });
    servers.ask_at(Arc::clone(&desk) as _);
    desk
}

fn executor(daemon: &Daemon) -> Arc<Executor> {
    Executor::new(ExecutorParts {
        journal: Arc::clone(&daemon.journal),
        desk: Arc::clone(&daemon.desk),
        runner: Arc::clone(&daemon.servers) as _,
        policy: Arc::clone(&daemon.policy),
        settings: Arc::clone(&daemon.approvals),
        anonymizer: Arc::clone(&daemon.anonymizer),
        clock: Arc::new(Steady::new(Arc::clone(&daemon.clock))),
    })
}

/// The file of denies is written at every start, so where it is, a store once was.
fn open_store(paths: &Paths, audit: &Arc<Segment>) -> Result<Store, StoreError> {
    let audit = Arc::clone(audit);
    Store::open(&paths.store(), Some(&paths.denies()), Box::new(move || audit.sync()))
}

pub(super) fn sealed(paths: &Paths, problem: &str) -> Failure {
    Failure::new(FailureKind::Configuration, problem.to_owned()).with_hint(format!(
        "put the state directory back, or set PORTERO_STATE_DIR to it. To begin anew, without the former \
         passphrase, rules, tasks and audit, remove `{}`",
        paths.seal().display()
    ))
}
