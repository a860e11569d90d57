//! Portero's own tools on the same road (guarantee P4): decided, recorded, answered.

use std::future::Future;

use super::record::Entry;
use super::{Context, Pipeline, Refusal, Reply};
use crate::names::{OWN_SERVER, ToolId};
use crate::policy::{Action, Decision};

impl Pipeline {
    /// Runs one of Portero's own tools.
    pub async fn own(&self, tool: &ToolId, context: &Context, work: impl Future<Output = Reply>) -> Reply {
        self.desk.before_decision();
        if let Some(decision) = self.own_denied(tool) {
            return self.refuse(tool, context, Refusal::Denied(decision));
        }
        match Entry::begin(self, tool.clone(), "Portero's own tool".to_owned(), context) {
            Ok(entry) => {
                let reply = work.await;
                entry.close(&reply);
                reply
            }
            Err(error) => {
                tracing::error!(%tool, %error, "the audit cannot be written");
                Reply::Refused(Refusal::NoAudit)
            }
        }
    }

    /// The decision that denies one of Portero's own tools: only one that names them counts, since a default
    /// or a broad pattern is about servers, and without these tools the agent could not even ask.
    #[must_use]
    pub fn own_denied(&self, tool: &ToolId) -> Option<Decision> {
        let explanation = self.policy.load().explain(tool, None, None, self.clock.now());
        std::iter::once(explanation.decision)
            .chain(explanation.losing)
            .find(names_own)
            .filter(|decision| decision.action == Action::Deny)
    }
}

fn names_own(decision: &Decision) -> bool {
    decision.pattern.as_ref().is_some_and(|pattern| {
        pattern.to_string().split_once('/').is_some_and(|(server, _)| server == OWN_SERVER)
    })
}
