//! Definition pins: the reports of sessions, what waits, and its acceptance.

use std::sync::Arc;

use portero::anonymize::Fake;
use portero::ipc::requests::definitions::{
    AcceptDefinitions, GetDefinitions, ReportDefinitions, ReportedDefinition, ServerDefinitions,
};
use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::{Actor, ServerName};
use portero::policy::definition_pins::DefinitionItem;

use super::attempt::Attempt;
use super::confirmation::Confirmation;
use super::definition_differences::{describe_server, summarize};
use super::{PersonCaller, PersonRequest, SessionCaller, SessionRequest, failure};
use crate::daemon::Daemon;

impl SessionRequest for ReportDefinitions {
    /// Registers what a session's server lists. The definitions are concealed again, because the peer on the
    /// socket is not trusted.
    async fn handle(self, daemon: &Arc<Daemon>, _: &SessionCaller<'_>) -> Result<(), DaemonFailure> {
        let Self { server, definitions } = self;
        require_configured(daemon, &server)?;
        let anonymizer = daemon.anonymizer.load_full();
        let conceal = |reported: ReportedDefinition| {
            let definition =
                reported.definition.map(|text| anonymizer.conceal_local(text)).transpose().ok()?;
            let item = match reported.item {
                DefinitionItem::Prompt(name) => {
                    DefinitionItem::Prompt(anonymizer.conceal_text(&name).into_inner())
                }
                DefinitionItem::Tool(name) if anonymizer.is_private_tool(&name) => return None,
                item @ (DefinitionItem::Tool(_) | DefinitionItem::Instructions) => item,
            };
            Some(ReportedDefinition { item, definition: definition.map(Fake::into_inner) })
        };
        let report = definitions.into_iter().filter_map(conceal).collect();
        let registered = daemon.overrides.register_definitions(&server, report).await;
        registered.map_err(|error| failure::of_overrides(&error))
    }
}

/// Only a configured server has definitions: otherwise a session could fill the store with names.
fn require_configured(daemon: &Daemon, server: &ServerName) -> Result<(), DaemonFailure> {
    let config = daemon.config.current();
    match config.servers.iter().any(|known| known.name == *server) {
        true => Ok(()),
        false => Err(DaemonFailure::new(FailureKind::NotFound, format!("there is no server `{server}`"))),
    }
}

impl PersonRequest for GetDefinitions {
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Vec<ServerDefinitions>, DaemonFailure> {
        match self.server {
            Some(server) => Ok(vec![describe_server(daemon, &server)?]),
            None => {
                let pins = daemon.overrides.definition_pins();
                Ok(pins.servers().map(|(server, pins)| summarize(daemon, server, pins)).collect())
            }
        }
    }
}

impl PersonRequest for AcceptDefinitions {
    fn attempt(&self) -> Option<Attempt> {
        Some((&Act::AcceptDefinitions(self.server.clone(), self.shown.clone())).into())
    }

    async fn handle(self, daemon: &Arc<Daemon>, caller: &PersonCaller<'_>) -> Result<u64, DaemonFailure> {
        let Self { server, shown, challenge } = self;
        accept(daemon, caller.by, (&server, &shown), caller.confirmation(challenge)).await
    }
}

/// Accepts everything of a server that waits, by the digest of what the person was shown. Returns how many
/// definitions that were.
pub(super) async fn accept(
    daemon: &Arc<Daemon>,
    by: &Actor,
    (server, shown): (&ServerName, &str),
    confirmation: Confirmation,
) -> Result<u64, DaemonFailure> {
    let act = Act::AcceptDefinitions(server.clone(), shown.to_owned());
    let confirmed = confirmation.authorize(daemon, by, &act).await?;
    let accepted = daemon.overrides.accept_definitions(server, shown, confirmed).await;
    accepted.map_err(|error| failure::of_overrides(&error))
}
