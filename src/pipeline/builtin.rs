//! Portero's own tools on the same road (guarantee P4): decided, recorded, answered.

use std::future::Future;

use super::call_audit::CallAuditEntry;
use super::{CallContext, CallReply, Pipeline, Refusal};
use crate::names::{BUILTIN_SERVER, ToolId};
use crate::policy::{Action, Decision};

impl Pipeline {
    /// Runs one of Portero's own tools.
    pub async fn run_builtin(
        &self,
        tool: &ToolId,
        context: &CallContext,
        work: impl Future<Output = CallReply>,
    ) -> CallReply {
        self.approvals.refresh_policy();
        if let Some(decision) = self.builtin_denial(tool) {
            return self.refuse_call(tool, context, Refusal::Denied(decision));
        }
        match CallAuditEntry::open_builtin(self, tool.clone(), "Portero's own tool".to_owned(), context) {
            Ok(entry) => {
                let reply = work.await;
                entry.close(&reply);
                reply
            }
            Err(error) => {
                tracing::error!(%tool, %error, "the audit cannot be written");
                CallReply::Refused(Refusal::AuditUnavailable)
            }
        }
    }

    /// The decision that denies one of Portero's own tools: only one that names them counts, since a default
    /// or a broad pattern is about servers, and without these tools the agent could not even ask.
    #[must_use]
    pub fn builtin_denial(&self, tool: &ToolId) -> Option<Decision> {
        let explanation = self.policy.load().explain(tool, None, None, self.clock.now());
        std::iter::once(explanation.decision)
            .chain(explanation.losing)
            .find(names_builtin)
            .filter(|decision| decision.action == Action::Deny)
    }
}

fn names_builtin(decision: &Decision) -> bool {
    decision.pattern.as_ref().is_some_and(|pattern| {
        pattern.to_string().split_once('/').is_some_and(|(server, _)| server == BUILTIN_SERVER)
    })
}
