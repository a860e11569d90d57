//! Whether the definition behind a call is accepted ([`crate::policy::definition_pins`]).
//!
//! The pins come with the policy. A server without pins is trusted at its first sight: this process remembers that
//! sight itself, until the daemon has pinned it for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{BoxFuture, Pipeline};
use crate::call::{Call, Method};
use crate::catalog;
use crate::json::{RawJson, RawObject};
use crate::names::{ServerName, ToolId};
use crate::permit::CallDefinition;
use crate::policy::definition_pins::{DefinitionItem, ServerPins, definition_pin_digest};
use crate::policy::{Decision, DecisionSource, DefinitionState, Policy};
use crate::sync::lock;

/// A server's concealed definitions, as its last listing has them.
pub type ListedDefinitions = Vec<(DefinitionItem, RawJson)>;

/// Keeps the pins: the daemon, or a session's access to it.
pub trait DefinitionRegistry: Send + Sync {
    /// Takes what a server lists now. What differs from the pins is registered, and people are told. Must not block.
    fn report_listing(&self, server: &ServerName, definitions: ListedDefinitions);

    /// Returns once everything that was reported of a server is registered, or after a short timeout. A question about
    /// a changed definition comes after its registration, so that it can show the difference.
    fn wait_until_registered<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, ()>;
}

/// The registry of definitions, and what this process saw first.
pub struct DefinitionWatch {
    registry: Arc<dyn DefinitionRegistry>,
    first_sights: Mutex<HashMap<ServerName, ServerPins>>,
}

impl DefinitionWatch {
    /// A watch that saw no server yet.
    #[must_use]
    pub fn new(registry: Arc<dyn DefinitionRegistry>) -> Self {
        Self { registry, first_sights: Mutex::default() }
    }

    /// The state of a definition by the pins of `policy`, or by the first sight in this process.
    fn state(
        &self,
        policy: &Policy,
        server: &ServerName,
        item: &DefinitionItem,
        digest: Option<&str>,
    ) -> DefinitionState {
        // A definition that can't be concealed has no digest, and no pin fits it.
        let digest = digest.unwrap_or_default();
        let pinned = policy.overrides().definition_pins.state(server, item, digest);
        pinned.unwrap_or_else(|| {
            let sights = lock(&self.first_sights);
            sights.get(server).map_or(DefinitionState::Accepted, |seen| seen.state(item, digest))
        })
    }
}

impl Pipeline {
    /// Remembers what a server lists now, and reports it.
    pub(super) fn note_definitions(&self, server: &ServerName) {
        let definitions = self.catalog.concealed_definitions(server, &self.anonymizer.load());
        lock(&self.definitions.first_sights).entry(server.clone()).or_insert_with(|| {
            let digests = definitions.iter().map(|(item, text)| (item.clone(), definition_pin_digest(text)));
            ServerPins::first_sight(digests)
        });
        self.definitions.registry.report_listing(server, definitions);
    }

    /// Before a person is asked because of a definition: the daemon must know it, or it can't say what changed.
    pub(super) async fn await_registration(&self, call: &Call, decision: &Decision) {
        if matches!(decision.source, DecisionSource::Definition(_)) {
            self.definitions.registry.wait_until_registered(&call.tool.server).await;
        }
    }

    /// Whether the definition of a listed tool is accepted.
    pub(crate) fn tool_definition_state(&self, tool: &ToolId, policy: &Policy) -> DefinitionState {
        self.tool_definition(tool, policy).state
    }

    fn tool_definition(&self, tool: &ToolId, policy: &Policy) -> CallDefinition {
        // One look at the catalog for both, which may change in between.
        let Some(listed) = self.catalog.tool(tool) else { return CallDefinition::default() };
        let pinned = listed.pin_digest(&self.anonymizer.load_full());
        let item = DefinitionItem::Tool(tool.tool.clone());
        CallDefinition {
            state: self.definitions.state(policy, &tool.server, &item, pinned.as_deref()),
            digest: Some(listed.definition_digest().to_owned()),
        }
    }

    /// The definition behind a call. Resources have none.
    pub(crate) fn call_definition(&self, call: &Call, policy: &Policy) -> CallDefinition {
        match call.method {
            Method::CallTool => self.tool_definition(&call.tool, policy),
            Method::GetPrompt => {
                let (anonymizer, server) = (self.anonymizer.load_full(), &call.tool.server);
                let params = RawObject::read(call.params.get()).unwrap_or_default();
                let name = params.get_text("name").unwrap_or_default();
                let digest = self.catalog.prompt_pin_digest(server, &name, &anonymizer);
                let item = catalog::prompt_item(&anonymizer, &name);
                let state = self.definitions.state(policy, server, &item, digest.as_deref());
                CallDefinition { state, digest: None }
            }
            Method::ReadResource
            | Method::SubscribeResource
            | Method::UnsubscribeResource
            | Method::Complete => CallDefinition::default(),
        }
    }
}
