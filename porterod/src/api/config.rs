//! The configuration: how the files differ from what a person confirmed, and the confirmation.

use std::sync::Arc;

use portero::approved_config::ApprovedConfig;
use portero::config;
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::{Act, DaemonFailure, FailureKind, Waiting};
use portero::names::ToolId;
use portero::policy::{Action, Policy};

use super::attempt::Attempt;
use super::challenge::confirm;
use super::{PersonCaller, PersonRequest, failure};
use crate::apply_config::{self, ConfirmConfigError};
use crate::daemon::Daemon;

impl PersonRequest for GetConfigChanges {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Box<Waiting>, DaemonFailure> {
        waiting(daemon).await.map(Box::new)
    }
}

/// How the files differ from what a person confirmed.
pub(super) async fn waiting(daemon: &Daemon) -> Result<Waiting, DaemonFailure> {
    let (files, shown) = apply_config::load_present_files(daemon).await.map_err(|error| told(&error))?;
    let confirmed = daemon.approved_config.current();
    let valid = apply_config::check_files(&confirmed, &files, &daemon.environment);
    let changes = valid.map_err(|_| told(&ConfirmConfigError::Invalid))?.changes;
    let note = match &*confirmed {
        ApprovedConfig::Sealed(_) => None,
        ApprovedConfig::Open => {
            Some("no approval passphrase is set, so the files count as they stand".to_owned())
        }
        ApprovedConfig::Unknown(reason) => Some(format!("{reason}, so nothing counts as confirmed")),
    };
    let tools = if changes.has_pending() { looser(daemon, &files) } else { Vec::new() };
    Ok(Waiting { note, changes, tools, shown })
}

impl PersonRequest for ConfirmConfig {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::ConfirmConfig(self.shown.clone())).into())
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<u64, DaemonFailure> {
        let Self { shown, challenge } = self;
        // What is refused in any case costs no try.
        let (files, now) = apply_config::load_present_files(daemon).await.map_err(|error| told(&error))?;
        if now != shown {
            return Err(told(&ConfirmConfigError::Changed));
        }
        apply_config::waiting_changes(daemon, &files).map_err(|error| told(&error))?;
        let confirming = caller.confirming(challenge);
        let proof = confirm(daemon, caller.by, confirming, &Act::ConfirmConfig(shown.clone())).await?;
        apply_config::confirm_config(daemon, &shown, proof).await.map_err(|error| told(&error))
    }
}

/// Known tools that these files would make looser, as they are decided now and as they would be.
fn looser(daemon: &Daemon, files: &config::ConfigFiles) -> Vec<(ToolId, Action, Action)> {
    let lookup = |name: &str| (daemon.environment)(name).and_then(|value| value.into_string().ok());
    let Some(config) = config::read_config(files, &lookup).0 else { return Vec::new() };
    let now = daemon.clock.now();
    let present = daemon.policy.load();
    let wanted = Policy::new(config.policy, present.overrides().clone());
    let mut tools: Vec<_> = daemon
        .upstreams
        .known_tools()
        .into_iter()
        .map(|tool| {
            let (is, would_be) =
                (present.expected_action(&tool, None, now), wanted.expected_action(&tool, None, now));
            (tool, is, would_be)
        })
        .filter(|(_, is, would_be)| would_be < is)
        .collect();
    tools.sort_by_key(|(tool, is, would_be)| (std::cmp::Reverse(*is), *would_be, tool.to_string()));
    tools
}

fn told(error: &ConfirmConfigError) -> DaemonFailure {
    let refused = |hint: &str| DaemonFailure::new(FailureKind::Refused, error.to_string()).with_hint(hint);
    match error {
        ConfirmConfigError::Changed => refused("look again with `portero config diff`"),
        ConfirmConfigError::NothingWaits => DaemonFailure::new(FailureKind::Refused, error.to_string()),
        ConfirmConfigError::Invalid => refused("run `portero check`"),
        ConfirmConfigError::Unreadable(_) => refused("run `portero check`"),
        ConfirmConfigError::Store(error) => failure::of_store(error),
    }
}
