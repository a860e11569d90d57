//! Intent and outcome in the audit (guarantee U1): an [`CallAuditEntry`] is opened before the server sees the call
//! and always closed, also when the call is dropped half-way.

use std::time::Duration;

use super::{CallContext, CallReply, Pipeline, Refusal, cut_words};
use crate::audit::{AuditEvent, AuditRecord, RecordedOutcome};
use crate::clock::Moment;
use crate::json::{RawJson, RawObject};
use crate::names::{MAX_TOOL_NAME_LENGTH, ToolId, ToolName};

/// The most characters of a refusal's reason.
const MAX_REASON_CHARS: usize = 500;

/// A call whose intent is recorded and whose outcome is not.
pub(super) struct CallAuditEntry<'a> {
    pipeline: &'a Pipeline,
    context: &'a CallContext,
    call: u64,
    tool: ToolId,
    began: Duration,
    closed: bool,
}

impl<'a> CallAuditEntry<'a> {
    /// Records the intent of a call that runs because of `reason`; `arguments` is their digest.
    ///
    /// # Errors
    /// [`Refusal::AuditUnavailable`] when it can't be recorded: the call must not run then (guarantee D2).
    pub(super) fn open(
        pipeline: &'a Pipeline,
        tool: ToolId,
        reason: String,
        arguments: Option<String>,
        context: &'a CallContext,
    ) -> Result<Self, Refusal> {
        let call = pipeline.audit.next_call();
        let now = pipeline.clock.now();
        let event = AuditEvent::Intent { call, tool: tool.clone(), reason, task: context.task, arguments };
        let intent = audit_record(context, now, event);
        // What a person approved is on the disk before it runs, so that no crash makes it run twice unseen.
        let written = match context.task {
            Some(_) => pipeline.audit.append_durable(&intent),
            None => pipeline.audit.append(&intent),
        };
        written.map_err(|error| {
            tracing::error!(%tool, %error, "the audit cannot be written");
            Refusal::AuditUnavailable
        })?;
        Ok(Self { pipeline, context, call, tool, began: now.boot, closed: false })
    }

    /// Records what came of it.
    pub(super) fn close(mut self, reply: &CallReply) {
        self.write_outcome(audit_outcome(reply));
    }

    fn write_outcome(&mut self, outcome: RecordedOutcome) {
        self.closed = true;
        let now = self.pipeline.clock.now();
        let took = now.boot.saturating_sub(self.began);
        let record = audit_record(
            self.context,
            now,
            AuditEvent::Outcome {
                call: self.call,
                tool: self.tool.clone(),
                outcome,
                micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            },
        );
        if let Err(error) = self.pipeline.audit.append(&record) {
            tracing::error!(tool = %self.tool, %error, "the outcome of a call could not be recorded");
        }
    }
}

impl Drop for CallAuditEntry<'_> {
    fn drop(&mut self) {
        if !self.closed {
            self.write_outcome(RecordedOutcome::Interrupted);
        }
    }
}

impl Pipeline {
    /// Refuses a call and records that. A refusal needs no record to hold.
    pub(super) fn refuse_call(&self, tool: &ToolId, context: &CallContext, refusal: Refusal) -> CallReply {
        let reason = self.anonymizer.load().conceal_text(&refusal.to_string()).into_inner();
        // It may name what an agent wrote; a record is no place for all of that.
        let reason = cut_words(reason, MAX_REASON_CHARS);
        let refused = AuditEvent::Refused { tool: self.recordable_name(tool), reason };
        let record = audit_record(context, self.clock.now(), refused);
        if let Err(error) = self.audit.append(&record) {
            tracing::error!(%tool, %error, "a refusal could not be recorded");
        }
        CallReply::Refused(refusal)
    }

    /// The name as it may be written down (guarantee U2): an agent may ask for whatever it likes.
    fn recordable_name(&self, tool: &ToolId) -> ToolId {
        let anonymizer = self.anonymizer.load();
        let name = tool.tool.as_str();
        if tool.tool.operation().is_some() || !anonymizer.is_private_tool(&tool.tool) {
            return tool.clone();
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let fold = |letter: char| if fits(letter) { letter } else { '_' };
        let folded: String =
            anonymizer.conceal_text(name).get().chars().map(fold).take(MAX_TOOL_NAME_LENGTH).collect();
        let name = ToolName::from_child(&folded).ok().filter(|name| !anonymizer.is_private(name.as_str()));
        let withheld = || ToolName::from_child("withheld").expect("our own name is a name");
        ToolId::new(tool.server.clone(), name.unwrap_or_else(withheld))
    }
}

fn audit_record(context: &CallContext, now: Moment, event: AuditEvent) -> AuditRecord {
    AuditRecord {
        at: now.wall,
        session: Some(context.origin.session),
        principal: Some(context.origin.principal.clone()),
        event,
    }
}

fn audit_outcome(reply: &CallReply) -> RecordedOutcome {
    match reply {
        CallReply::Result(result) if is_error_result(result.get()) => RecordedOutcome::Failed,
        CallReply::Result(_) | CallReply::PendingApproval(_) => RecordedOutcome::Done,
        CallReply::Error(_) => RecordedOutcome::Failed,
        CallReply::Refused(refusal) => match refusal {
            Refusal::Cancelled => RecordedOutcome::Cancelled,
            Refusal::Withheld(_) => RecordedOutcome::Withheld,
            Refusal::Interrupted(_) | Refusal::Malformed(_) => RecordedOutcome::Interrupted,
            Refusal::Denied(_)
            | Refusal::Unknown(_)
            | Refusal::Invalid(_)
            | Refusal::Declined(_)
            | Refusal::DaemonUnavailable(_)
            | Refusal::ServerUnavailable(_)
            | Refusal::AuditUnavailable => RecordedOutcome::Failed,
        },
    }
}

/// Whether a result has `"isError": true`; most do not even hold the word, so they are not parsed.
fn is_error_result(result: &RawJson) -> bool {
    memchr::memmem::find(result.get().as_bytes(), b"isError").is_some()
        && RawObject::read(result)
            .is_ok_and(|object| object.get("isError").is_some_and(|value| value.get() == "true"))
}
