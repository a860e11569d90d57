//! The records of a call's intent and outcome (guarantee U1). A [`CallAuditEntry`] is opened before the server
//! sees the call. It is always closed, even if the call's future is dropped halfway.

use std::time::Duration;

use super::{CallContext, CallReply, Pipeline, Refusal};
use crate::audit::{AuditEvent, AuditRecord, RecordedOutcome};
use crate::clock::Moment;
use crate::json::{RawJson, RawObject};
use crate::names::{MAX_TOOL_NAME_LENGTH, ToolId, ToolName};

/// The most characters of a refusal's reason.
const MAX_REASON_CHARS: usize = 500;

/// A call whose intent is recorded, and whose outcome isn't.
pub(super) struct CallAuditEntry<'a> {
    pipeline: &'a Pipeline,
    context: &'a CallContext,
    call: u64,
    tool: ToolId,
    began: Duration,
    closed: bool,
}

impl<'a> CallAuditEntry<'a> {
    /// Records the intent of a call. `reason` says why it may run, and `arguments` is their digest.
    ///
    /// # Errors
    /// [`Refusal::AuditUnavailable`] if it can't be recorded; the call must not run then (guarantee D2).
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
        // An approved call's record is on the disk before the call runs, so that no crash can make it run
        // twice unseen.
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

    /// Records the outcome.
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
        // The future was dropped: the server may have seen the call, so its effect is unknown.
        if !self.closed {
            self.write_outcome(RecordedOutcome::Interrupted);
        }
    }
}

impl Pipeline {
    /// Refuses a call and records that. The refusal holds even if it can't be recorded.
    pub(super) fn refuse_call(&self, tool: &ToolId, context: &CallContext, refusal: Refusal) -> CallReply {
        // It may quote what the agent wrote, so the record keeps only the beginning.
        let reason =
            self.anonymizer.load().conceal_excerpt(&refusal.to_string(), MAX_REASON_CHARS).into_inner();
        let refused = AuditEvent::Refused { tool: self.recordable_name(tool), reason };
        let record = audit_record(context, self.clock.now(), refused);
        if let Err(error) = self.audit.append(&record) {
            tracing::error!(%tool, %error, "a refusal could not be recorded");
        }
        CallReply::Refused(refusal)
    }

    /// Records something about a call before it goes on.
    ///
    /// # Errors
    /// [`Refusal::AuditUnavailable`] if it can't be recorded; the call must not run then.
    pub(super) fn record_event(&self, context: &CallContext, event: AuditEvent) -> Result<(), Refusal> {
        self.audit.append(&audit_record(context, self.clock.now(), event)).map_err(|error| {
            tracing::error!(%error, "the audit cannot be written");
            Refusal::AuditUnavailable
        })
    }

    /// The tool's name as it may be recorded (guarantee U2), because an agent may ask for any name.
    fn recordable_name(&self, tool: &ToolId) -> ToolId {
        let anonymizer = self.anonymizer.load();
        let name = tool.tool.as_str();
        if tool.tool.operation().is_some() || !anonymizer.is_private_tool(&tool.tool) {
            return tool.clone();
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let fold = |letter: char| if fits(letter) { letter } else { '_' };
        let folded: String =
            // Folding may join letters to a private value again, so the result is checked once more.
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
        address: context.origin.remote_address(),
        event,
    }
}

fn audit_outcome(reply: &CallReply) -> RecordedOutcome {
    match reply {
        CallReply::Result(result) if is_error_result(result.get()) => RecordedOutcome::Failed,
        CallReply::Result(_) | CallReply::PendingApproval(_) | CallReply::Joined(_) => RecordedOutcome::Done,
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

/// Whether a result has `"isError": true`. Most don't hold the word at all, so they aren't parsed.
fn is_error_result(result: &RawJson) -> bool {
    memchr::memmem::find(result.get().as_bytes(), b"isError").is_some()
        && RawObject::read(result)
            .is_ok_and(|object| object.get("isError").is_some_and(|value| value.get() == "true"))
}
