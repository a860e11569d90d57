//! Intent and outcome in the audit (guarantee U1): an [`Entry`] is opened before the server sees the call
//! and always closed, also when the call is dropped half-way.

use std::io;
use std::time::Duration;

use super::{Context, Pipeline, Refusal, Reply};
use crate::audit::{Event, Outcome, Record};
use crate::clock::Moment;
use crate::json::{Object, RawJson};
use crate::names::{TOOL_NAME_MOST, ToolId, ToolName};
use crate::permit::Permitted;

/// The most characters of a refusal's reason.
const REASON_MOST: usize = 500;

/// A call whose intent is recorded and whose outcome is not.
pub(super) struct Entry<'a> {
    pipeline: &'a Pipeline,
    context: &'a Context,
    call: u64,
    tool: ToolId,
    began: Duration,
    closed: bool,
}

impl<'a> Entry<'a> {
    /// Records the intent of a permitted call. What a person approved is on the disk before it goes on.
    pub(super) fn open(
        pipeline: &'a Pipeline,
        permitted: &Permitted,
        context: &'a Context,
    ) -> io::Result<Self> {
        let call = permitted.call();
        let arguments = call.arguments().and_then(|arguments| pipeline.audit.digest(arguments.get()));
        Self::write_intent(pipeline, call.tool.clone(), permitted.reason(), arguments, context)
    }

    /// Records the intent of something that runs because of `reason`.
    pub(super) fn begin(
        pipeline: &'a Pipeline,
        tool: ToolId,
        reason: String,
        context: &'a Context,
    ) -> io::Result<Self> {
        Self::write_intent(pipeline, tool, reason, None, context)
    }

    fn write_intent(
        pipeline: &'a Pipeline,
        tool: ToolId,
        reason: String,
        arguments: Option<String>,
        context: &'a Context,
    ) -> io::Result<Self> {
        let call = pipeline.audit.next_call();
        let now = pipeline.clock.now();
        let event = Event::Intent { call, tool: tool.clone(), reason, task: context.task, arguments };
        let intent = record(context, now, event);
        if context.task.is_some() {
            pipeline.audit.append_durable(&intent)?;
        } else {
            pipeline.audit.append(&intent)?;
        }
        Ok(Self { pipeline, context, call, tool, began: now.boot, closed: false })
    }

    /// Records what came of it.
    pub(super) fn close(mut self, reply: &Reply) {
        self.write(outcome(reply));
    }

    fn write(&mut self, outcome: Outcome) {
        self.closed = true;
        let now = self.pipeline.clock.now();
        let took = now.boot.saturating_sub(self.began);
        let record = record(
            self.context,
            now,
            Event::Outcome {
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

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.closed {
            self.write(Outcome::Interrupted);
        }
    }
}

impl Pipeline {
    /// Refuses a call and records that. A refusal needs no record to hold.
    pub(super) fn refuse(&self, tool: &ToolId, context: &Context, refusal: Refusal) -> Reply {
        let reason = self.anonymizer.load().conceal_text(&refusal.to_string()).into_inner();
        // It may name what an agent wrote; a record is no place for all of that.
        let reason = match reason.char_indices().nth(REASON_MOST) {
            Some((end, _)) => format!("{}…", &reason[..end]),
            None => reason,
        };
        let refused = Event::Refused { tool: self.writable(tool), reason };
        let record = record(context, self.clock.now(), refused);
        if let Err(error) = self.audit.append(&record) {
            tracing::error!(%tool, %error, "a refusal could not be recorded");
        }
        Reply::Refused(refusal)
    }

    /// The name as it may be written down (guarantee U2): an agent may ask for whatever it likes.
    fn writable(&self, tool: &ToolId) -> ToolId {
        let anonymizer = self.anonymizer.load();
        let name = tool.tool.as_str();
        if tool.tool.operation().is_some() || !anonymizer.is_private_tool(&tool.tool) {
            return tool.clone();
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let fold = |letter: char| if fits(letter) { letter } else { '_' };
        let folded: String =
            anonymizer.conceal_text(name).get().chars().map(fold).take(TOOL_NAME_MOST).collect();
        let name = ToolName::from_child(&folded).ok().filter(|name| !anonymizer.is_private(name.as_str()));
        let withheld = || ToolName::from_child("withheld").expect("our own name is a name");
        ToolId::new(tool.server.clone(), name.unwrap_or_else(withheld))
    }
}

fn record(context: &Context, now: Moment, event: Event) -> Record {
    Record {
        at: now.wall,
        session: Some(context.origin.session),
        principal: Some(context.origin.principal.clone()),
        event,
    }
}

fn outcome(reply: &Reply) -> Outcome {
    match reply {
        Reply::Result(result) if says_error(result.get()) => Outcome::Failed,
        Reply::Result(_) | Reply::Waiting(_) => Outcome::Done,
        Reply::Error(_) => Outcome::Failed,
        Reply::Refused(refusal) => match refusal {
            Refusal::Cancelled => Outcome::Cancelled,
            Refusal::Withheld(_) => Outcome::Withheld,
            Refusal::Interrupted(_) | Refusal::Malformed(_) => Outcome::Interrupted,
            Refusal::Denied(_)
            | Refusal::Unknown(_)
            | Refusal::Invalid(_)
            | Refusal::Declined(_)
            | Refusal::NoDesk(_)
            | Refusal::Server(_)
            | Refusal::NoAudit => Outcome::Failed,
        },
    }
}

/// Whether a result has `"isError": true`; most do not even hold the word, so they are not parsed.
fn says_error(result: &RawJson) -> bool {
    memchr::memmem::find(result.get().as_bytes(), b"isError").is_some()
        && Object::read(result)
            .is_ok_and(|object| object.get("isError").is_some_and(|value| value.get() == "true"))
}
