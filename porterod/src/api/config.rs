//! The configuration: how the files differ from what a person confirmed, and the confirmation.

use std::sync::Arc;

use portero::config;
use portero::confirmed::Confirmed;
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::{Failure, FailureKind, Waiting};
use portero::names::ToolId;
use portero::policy::{Action, Policy};

use super::attempt::Attempt;
use super::challenge::confirm;
use super::{PersonCaller, PersonRequest, failure};
use crate::configuration::{self, ConfirmError};
use crate::daemon::Daemon;
use crate::passphrase::What;

impl PersonRequest for GetConfigChanges {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Box<Waiting>, Failure> {
        waiting(daemon).await.map(Box::new)
    }
}

/// How the files differ from what a person confirmed.
pub(super) async fn waiting(daemon: &Daemon) -> Result<Waiting, Failure> {
    let (files, shown) = configuration::look(daemon).await.map_err(|error| told(&error))?;
    let confirmed = daemon.confirmed.confirmed();
    let valid = configuration::check(&confirmed, &files, &daemon.environment);
    let changes = valid.map_err(|_| told(&ConfirmError::Invalid))?.changes;
    let note = match &*confirmed {
        Confirmed::Sealed(_) => None,
        Confirmed::Open => Some("no approval passphrase is set, so the files count as they stand".to_owned()),
        Confirmed::Unknown(reason) => Some(format!("{reason}, so nothing counts as confirmed")),
    };
    let tools = if changes.waits() { looser(daemon, &files) } else { Vec::new() };
    Ok(Waiting { note, changes, tools, shown })
}

impl PersonRequest for ConfirmConfig {
    fn attempt(&self) -> Option<Attempt> {
        Some(Attempt::new("config confirm", "the changed configuration".to_owned()))
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<u64, Failure> {
        let Self { shown, challenge } = self;
        // What is refused in any case costs no try.
        let (files, now) = configuration::look(daemon).await.map_err(|error| told(&error))?;
        if now != shown {
            return Err(told(&ConfirmError::Changed));
        }
        configuration::waiting(daemon, &files).map_err(|error| told(&error))?;
        let confirming = caller.confirming(challenge);
        let proof = confirm(daemon, caller.by, confirming, What::Configuration(&shown)).await?;
        configuration::confirm(daemon, &shown, proof).await.map_err(|error| told(&error))
    }
}

/// Known tools that these files would make looser, as they are decided now and as they would be.
fn looser(daemon: &Daemon, files: &config::Files) -> Vec<(ToolId, Action, Action)> {
    let lookup = |name: &str| (daemon.environment)(name).and_then(|value| value.into_string().ok());
    let Some(config) = config::read(files, &lookup).0 else { return Vec::new() };
    let now = daemon.clock.now();
    let present = daemon.policy.load();
    let wanted = Policy::new(config.policy, present.standing().clone());
    let mut tools: Vec<_> = daemon
        .servers
        .known_tools()
        .into_iter()
        .map(|tool| {
            let (is, would_be) = (present.outlook(&tool, None, now), wanted.outlook(&tool, None, now));
            (tool, is, would_be)
        })
        .filter(|(_, is, would_be)| would_be < is)
        .collect();
    tools.sort_by_key(|(tool, is, would_be)| (std::cmp::Reverse(*is), *would_be, tool.to_string()));
    tools
}

fn told(error: &ConfirmError) -> Failure {
    let refused = |hint: &str| Failure::new(FailureKind::Refused, error.to_string()).with_hint(hint);
    match error {
        ConfirmError::Changed => refused("look again with `portero config diff`"),
        ConfirmError::Nothing => Failure::new(FailureKind::Refused, error.to_string()),
        ConfirmError::Invalid => refused("run `portero check`"),
        ConfirmError::Unreadable(_) => refused("run `portero check`"),
        ConfirmError::Store(error) => failure::of_store(error),
    }
}
