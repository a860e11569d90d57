//! Redactions in the arguments of a call are restored, or the call is refused (guarantee N8).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Mutex;

use super::{CallContext, Pipeline, Refusal};
use crate::anonymize::{RedactionProblem, ShownRedaction};
use crate::audit::AuditEvent;
use crate::call::Call;
use crate::names::{ServerName, SessionId};
use crate::sync::lock;

/// How many sessions' servers are remembered. Of the oldest, redactions aren't restored any more.
const MAX_REMEMBERED: usize = 1_000;

/// Which redactions each session was shown, by the server that said their values.
#[derive(Debug, Default)]
pub struct RedactionMemory(Mutex<ShownRedactions>);

#[derive(Debug, Default)]
struct ShownRedactions {
    by_server: HashMap<(SessionId, ServerName), BTreeSet<ShownRedaction>>,
    /// The keys, the oldest first.
    order: VecDeque<(SessionId, ServerName)>,
}

impl RedactionMemory {
    /// Remembers what an answer showed.
    pub(super) fn remember(&self, session: SessionId, server: &ServerName, shown: BTreeSet<ShownRedaction>) {
        if shown.is_empty() {
            return;
        }
        let mut memory = lock(&self.0);
        let key = (session, server.clone());
        if !memory.by_server.contains_key(&key) {
            if memory.order.len() >= MAX_REMEMBERED
                && let Some(oldest) = memory.order.pop_front()
            {
                memory.by_server.remove(&oldest);
            }
            memory.order.push_back(key.clone());
        }
        memory.by_server.entry(key).or_default().extend(shown);
    }

    fn shown(&self, session: SessionId, server: &ServerName) -> BTreeSet<ShownRedaction> {
        lock(&self.0).by_server.get(&(session, server.clone())).cloned().unwrap_or_default()
    }
}

impl Pipeline {
    /// The call with the redactions in its arguments replaced by the fakes of their values, and those redactions. The
    /// fakes take the road of all others: policy, cards and approvals see them, and the rule's scope holds.
    ///
    /// # Errors
    /// If a redaction can't be replaced.
    pub(super) fn resolve_redactions(
        &self,
        call: Call,
        context: &CallContext,
    ) -> Result<(Call, Vec<String>), Refusal> {
        // The daemon looks after the calls of the servers that it runs itself: it knows what they said.
        if self.is_shared(&call.tool) {
            return Ok((call, Vec::new()));
        }
        let server = &call.tool.server;
        let shown = self.redaction_memory.shown(context.origin.session, server);
        match self.anonymizer.load().restore_redactions(server, &call.params, &shown) {
            Ok(None) => Ok((call, Vec::new())),
            Ok(Some((params, redactions))) => Ok((Call { params, ..call }, redactions)),
            Err((text, problem)) => Err(Refusal::Invalid(describe_refusal(&text, problem))),
        }
    }

    /// As [`Pipeline::resolve_redactions`], and records what was restored. The record comes first.
    pub(super) fn restore_redactions(&self, call: Call, context: &CallContext) -> Result<Call, Refusal> {
        let (call, redactions) = self.resolve_redactions(call, context)?;
        if !redactions.is_empty() {
            let event = AuditEvent::Restored { tool: call.tool.clone(), redactions };
            self.record_event(context, event)?;
        }
        Ok(call)
    }
}

fn describe_refusal(redaction: &str, problem: RedactionProblem) -> String {
    format!(
        "the arguments hold `{redaction}`, which stands for a value that you can't see, and {problem}. The call did not \
         run, because the server would store that text in the value's place. Change only the parts around it, or ask \
         your user to make this change"
    )
}
