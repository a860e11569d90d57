//! What the daemon pushes into a running session: other rules, another configuration, settled tasks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use portero::anonymize::Anonymizer;
use portero::audit::Head;
use portero::config::{Config, Files, Problems};
use portero::confirmed::{self, Changes, Confirmed, InForce};
use portero::files;
use portero::ipc::{NotificationSink, Push};
use portero::paths::Paths;
use portero::pipeline::Pipeline;
use portero::policy::Policy;
use portero::server::{Fleet, List};
use portero::session::Handle;

use super::begin::{ATTEMPT_TIMEOUT, LOOK_INTERVAL, Look};
use super::desk::CallLimits;
use super::link::{Link, Pushed};
use super::{own_servers, shared_servers};

/// A session that is under way.
pub(super) struct Running {
    pub(super) paths: Paths,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) link: Arc<Link>,
    pub(super) limits: Arc<CallLimits>,
    pub(super) handle: Handle,
    /// Which configuration is in force.
    pub(super) seen: Mutex<Seen>,
}

/// Tells what was read from anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    files: String,
    confirmed: String,
}

/// The files, and what a person confirmed.
pub(super) struct Read {
    files: Files,
    confirmed: Confirmed,
}

impl Read {
    /// As both are now, by the copy that the daemon left.
    ///
    /// # Errors
    /// A problem for each file that cannot be read.
    pub(super) fn now(paths: &Paths) -> Result<Self, Problems> {
        let files = Files::load(&paths.config)?;
        Ok(Self { files, confirmed: confirmed::read(paths) })
    }

    /// What the daemon goes by counts: where the copy is not that, nothing counts as confirmed.
    fn checked(self, by_the_daemon: &str) -> Self {
        if self.confirmed.digest() == by_the_daemon {
            return self;
        }
        let reason = "the copy of the confirmed configuration is not what the daemon goes by";
        Self { confirmed: Confirmed::Unknown(reason.to_owned()), ..self }
    }

    /// What holds.
    pub(super) fn in_force(&self) -> Result<InForce, Problems> {
        confirmed::in_force(&self.confirmed, &self.files, &|name| std::env::var(name).ok())
    }

    pub(super) fn seen(&self) -> Seen {
        Seen { files: self.files.digest(), confirmed: self.confirmed.digest() }
    }
}

/// Notes in the session's log what is not in force.
pub(super) fn log_waiting(changes: &Changes) {
    if changes.waits() {
        let waiting = changes.widens.len();
        tracing::warn!(waiting, "changes of the configuration wait for `portero config confirm`");
    }
}

impl Pushed for Running {
    /// What changed while nobody told is taken over now.
    fn connected(&self, confirmed: &str) {
        self.reload(confirmed);
        self.handle.daemon_connected();
    }

    fn head(&self) -> Head {
        self.pipeline.audit.head()
    }

    fn standing_changed(&self) {
        self.handle.standing_changed();
    }

    fn notifications(&self) -> NotificationSink {
        let handle = self.handle.clone();
        Arc::new(move |server, method, params| match list(method) {
            Some(list) => handle.list_changed(&server, list),
            None => handle.notification(&server, method, params),
        })
    }

    fn push(&self, push: Push) {
        match push {
            Push::Config { confirmed } => self.reload(&confirmed),
            Push::Settled { task, state } => self.handle.settled(task, state),
            // The link adopts standings itself, and the client gives progress to the call that it is of and
            // notifications to their sink. A session is shown no number.
            Push::Standing(_) | Push::Notification { .. } | Push::Progress { .. } | Push::Number { .. } => {}
        }
    }
}

impl Running {
    /// Works by the files as they are now, as far as they may hold where this is what the daemon counts as
    /// confirmed; an invalid configuration changes nothing.
    fn reload(&self, confirmed: &str) {
        self.reload_as(Read::now(&self.paths).map(|read| read.checked(confirmed)));
    }

    fn reload_as(&self, read: Result<Read, Problems>) {
        let read = match read {
            Ok(read) => read,
            Err(problems) => {
                tracing::warn!(%problems, "the configuration cannot be read; the former one holds");
                return;
            }
        };
        let seen = read.seen();
        if seen == *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            return;
        }
        match read.in_force() {
            Ok(InForce { config, anonymizer, changes, problems: _ }) => {
                log_waiting(&changes);
                self.adopt(config, anonymizer);
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            }
            Err(problems) => tracing::warn!(
                problems = problems.0.len(),
                "the configuration is not valid; the former one holds"
            ),
        }
    }

    /// Where no server is configured, nothing runs that a change of the files could disturb, and the daemon may not be
    /// there to tell of one: the files are looked at until there is a server.
    pub(super) async fn fill_when_empty(&self, mut look: Look) {
        while self.pipeline.catalog.servers().is_empty() {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if self.link.connected().is_some() {
                continue;
            }
            let (paths, mut looking) = (self.paths.clone(), look.clone());
            let looked = files::off_thread(&self.paths.state, ATTEMPT_TIMEOUT, move || {
                // As at the beginning, by the copy that the daemon left.
                let read = looking.read(&paths, Instant::now());
                (looking, read)
            });
            // Where the folder hangs, it is not asked again before it answers.
            let Ok((looked, read)) = looked.await else { continue };
            look = looked;
            if let Some(read) = read {
                self.reload_as(read);
            }
        }
    }

    fn adopt(&self, config: Config, anonymizer: Anonymizer) {
        let was_empty = self.pipeline.catalog.servers().is_empty();
        // First what hides and what refuses, then what can be reached.
        self.pipeline.anonymizer.store(Arc::new(anonymizer));
        self.pipeline.policy.rcu(|policy| Policy::new(config.policy.clone(), policy.standing().clone()));
        self.pipeline.shared.store(Arc::new(shared_servers(&config)));
        self.limits.replace(&config);
        self.fleet.replace(own_servers(&config));
        self.pipeline.catalog.replace(&config.servers);
        self.pipeline.audit.continue_after(config.settings.audit.segment_bytes);
        tracing::info!(digest = config.digest, "another configuration is in force");
        config.log_skipped();
        self.handle.config_changed(config.skipped);
        if was_empty && !config.servers.is_empty() {
            self.handle.introduce_anew();
        }
    }
}

/// The list that a notification of a shared server says has changed.
fn list(method: &str) -> Option<List> {
    match method {
        "notifications/tools/list_changed" => Some(List::Tools),
        "notifications/resources/list_changed" => Some(List::Resources),
        "notifications/prompts/list_changed" => Some(List::Prompts),
        _ => None,
    }
}
