//! The configuration: its difference from the confirmed one, and the confirmation.

use std::sync::Arc;

use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::{Act, DaemonFailure, FailureKind, Waiting};

use super::attempt::Attempt;
use super::challenge::confirm;
use super::{PersonCaller, PersonRequest, failure};
use crate::approved_config::ConfirmConfigError;
use crate::daemon::Daemon;

impl PersonRequest for GetConfigChanges {
    async fn handle(self, daemon: &Arc<Daemon>, _: &PersonCaller<'_>) -> Result<Box<Waiting>, DaemonFailure> {
        waiting(daemon).await.map(Box::new)
    }
}

/// Returns how the files differ from the confirmed configuration.
pub(super) async fn waiting(daemon: &Daemon) -> Result<Waiting, DaemonFailure> {
    daemon.config.compare().await.map_err(|error| of_confirmation(&error))
}

impl PersonRequest for ConfirmConfig {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::ConfirmConfig(self.shown.clone())).into())
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<u64, DaemonFailure> {
        let Self { shown, challenge } = self;
        // Checked first, so a confirmation that must fail costs no try.
        daemon.config.check_shown(&shown).await.map_err(|error| of_confirmation(&error))?;
        let confirming = caller.confirming(challenge);
        let proof = confirm(daemon, caller.by, confirming, &Act::ConfirmConfig(shown.clone())).await?;
        daemon.config.confirm(&shown, proof).await.map_err(|error| of_confirmation(&error))
    }
}

fn of_confirmation(error: &ConfirmConfigError) -> DaemonFailure {
    let refused = |hint: &str| DaemonFailure::new(FailureKind::Refused, error.to_string()).with_hint(hint);
    match error {
        ConfirmConfigError::Changed => refused("look again with `portero config diff`"),
        ConfirmConfigError::NothingWaits => DaemonFailure::new(FailureKind::Refused, error.to_string()),
        ConfirmConfigError::Invalid => refused("run `portero check`"),
        ConfirmConfigError::Unreadable(_) => refused("run `portero check`"),
        ConfirmConfigError::Store(error) => failure::of_store(error),
    }
}
