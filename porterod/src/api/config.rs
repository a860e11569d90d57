//! The configuration: its difference from the confirmed one, and the confirmation.

use std::sync::Arc;

use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::{Act, DaemonFailure, UnconfirmedConfig};

use super::attempt::Attempt;
use super::{PersonCaller, PersonRequest, failure};
use crate::daemon::Daemon;

impl PersonRequest for GetConfigChanges {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Box<UnconfirmedConfig>, DaemonFailure> {
        let changes = daemon.config.compare().await;
        changes.map(Box::new).map_err(|error| failure::of_confirm_config(&error))
    }
}

impl PersonRequest for ConfirmConfig {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::ConfirmConfig(self.shown.clone())).into())
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<u64, DaemonFailure> {
        let Self { shown, challenge } = self;
        // Checked first, so a confirmation that must fail costs no try.
        daemon.config.check_shown(&shown).await.map_err(|error| failure::of_confirm_config(&error))?;
        let act = Act::ConfirmConfig(shown.clone());
        let proof = caller.confirmation(challenge).authorize(daemon, caller.by, &act).await?;
        daemon.config.confirm(&shown, proof).await.map_err(|error| failure::of_confirm_config(&error))
    }
}
