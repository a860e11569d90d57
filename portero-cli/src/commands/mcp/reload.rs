//! What the daemon pushes into a running session: other rules, another configuration, settled tasks.

use std::sync::{Arc, Mutex, PoisonError};

use portero::anonymize::Anonymizer;
use portero::config::{self, Config};
use portero::ipc::Push;
use portero::paths::Paths;
use portero::pipeline::Pipeline;
use portero::policy::Policy;
use portero::server::{Fleet, List};
use portero::session::Handle;

use super::link::{Link, Pushed};
use super::{own_servers, shared_servers};

/// A session that is under way.
pub(super) struct Running {
    pub(super) paths: Paths,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) link: Arc<Link>,
    pub(super) handle: Handle,
    /// Which configuration is in force.
    pub(super) digest: Mutex<String>,
}

impl Pushed for Running {
    /// Files that changed while nobody told are taken over now.
    fn connected(&self) {
        let in_force = self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if config::Files::load(&self.paths.config).is_ok_and(|files| files.digest() != in_force) {
            self.reload();
        }
    }

    fn standing_changed(&self) {
        self.handle.standing_changed();
    }

    fn push(&self, push: Push) {
        match push {
            Push::Config => self.reload(),
            Push::Settled { task, state } => self.handle.settled(task, state),
            Push::Notification { server, method, params } => match list(&method) {
                Some(list) => self.handle.list_changed(&server, list),
                None => self.handle.notification(&server, &method, params),
            },
            // The link adopts standings itself, and the client gives progress to the call that it is of.
            Push::Standing(_) | Push::Progress { .. } => {}
        }
    }
}

impl Running {
    /// Works by the files as they are now; an invalid configuration changes nothing.
    fn reload(&self) {
        let read = config::Files::load(&self.paths.config)
            .map(|files| config::read(&files, &|name| std::env::var(name).ok()));
        let config = match read {
            Ok((Some(config), _)) => config,
            Ok((None, problems)) => {
                tracing::warn!(
                    problems = problems.0.len(),
                    "the configuration is not valid; the former one holds"
                );
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the configuration cannot be read; the former one holds");
                return;
            }
        };
        match Anonymizer::new(&config.replacements) {
            Ok(anonymizer) => self.adopt(config, anonymizer),
            Err(_) => tracing::warn!("the replacements do not hold together; the former configuration holds"),
        }
    }

    fn adopt(&self, config: Config, anonymizer: Anonymizer) {
        // First what hides and what refuses, then what can be reached.
        self.pipeline.anonymizer.store(Arc::new(anonymizer));
        self.pipeline.policy.rcu(|policy| Policy::new(config.policy.clone(), policy.standing().clone()));
        self.pipeline.shared.store(Arc::new(shared_servers(&config)));
        self.fleet.replace(own_servers(&config));
        self.pipeline.catalog.replace(&config.servers);
        self.pipeline.audit.continue_after(config.settings.audit.segment_bytes);
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&config.digest);
        tracing::info!(digest = config.digest, "another configuration is in force");
        config.log_skipped();
        self.handle.config_changed(config.skipped);
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
