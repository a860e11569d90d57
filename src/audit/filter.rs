//! Filters for records.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::{AuditEvent, AuditRecord, RecordedOutcome, WithheldChannel};
use crate::names::{ServerName, TaskId, ToolId};
use crate::pattern::Pattern;
use crate::task::TaskState;

/// Which records are wanted. An empty filter admits all.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// Only records from this time on.
    pub since: Option<Timestamp>,
    /// Only records before this time.
    pub until: Option<Timestamp>,
    /// Only records about a tool of this server.
    pub server: Option<ServerName>,
    /// Only records about tools that match.
    pub tool: Option<Pattern>,
    /// Only records about calls with this decision.
    pub decision: Option<DecisionKind>,
    /// Only records of sessions whose id begins or ends like this.
    pub session: Option<IdPart>,
    /// Only records about tasks whose id begins or ends like this.
    pub task: Option<IdPart>,
    /// At most this many, the newest.
    pub limit: Option<usize>,
}

/// The outcome of a call, or of a person's act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionKind {
    /// It went to its server, because policy or a person allowed it.
    Allowed,
    /// A person is asked.
    Asked,
    /// Policy, a person or time refused it.
    Refused,
    /// It went to its server and failed there.
    Failed,
}

impl DecisionKind {
    /// All kinds, in the order of a call's life.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Asked, Self::Refused, Self::Failed];

    /// The word that people type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Asked => "asked",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for DecisionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The beginning or end of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPart(String);

/// A text that is no part of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is written with 0-9, a-f and hyphens, and its beginning or end will do")]
pub struct IdPartError;

impl FromStr for IdPart {
    type Err = IdPartError;

    fn from_str(text: &str) -> Result<Self, IdPartError> {
        let text = text.to_ascii_lowercase();
        let fits = matches!(text.len(), 1..=36) && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if fits { Ok(Self(text)) } else { Err(IdPartError) }
    }
}

impl IdPart {
    fn matches_id(&self, id: &impl fmt::Display) -> bool {
        let id = id.to_string();
        id.starts_with(&self.0) || id.ends_with(&self.0)
    }
}

impl RecordFilter {
    /// Whether a record is admitted, apart from the limit.
    #[must_use]
    pub fn matches(&self, record: &AuditRecord) -> bool {
        let Self { since, until, server, tool, decision: decided, session, task, limit: _ } = self;
        let event = &record.event;
        let about = event.tool();
        since.is_none_or(|since| record.at >= since)
            && until.is_none_or(|until| record.at < until)
            && decided.is_none_or(|decided| event.decision_kind() == Some(decided))
            && server.as_ref().is_none_or(|server| about.is_some_and(|tool| tool.server == *server))
            && tool.as_ref().is_none_or(|pattern| about.is_some_and(|tool| pattern.matches(tool)))
            && session.as_ref().is_none_or(|part| record.session.is_some_and(|id| part.matches_id(&id)))
            && task.as_ref().is_none_or(|part| event.task().is_some_and(|id| part.matches_id(&id)))
    }
}

impl AuditEvent {
    /// The tool that the record is about, if any.
    #[must_use]
    pub const fn tool(&self) -> Option<&ToolId> {
        match self {
            Self::Intent { tool, .. }
            | Self::Outcome { tool, .. }
            | Self::Interrupted { tool, .. }
            | Self::Refused { tool, .. }
            | Self::Restored { tool, .. }
            | Self::Task { tool, .. } => Some(tool),
            Self::Withheld { tool, .. } => tool.as_ref(),
            Self::Act { .. }
            | Self::Config { .. }
            | Self::Continued { .. }
            | Self::Removed { .. }
            | Self::Process { .. } => None,
        }
    }

    /// The task that the record is about, if any.
    #[must_use]
    pub const fn task(&self) -> Option<TaskId> {
        match self {
            Self::Intent { task, .. } | Self::Interrupted { task, .. } => *task,
            Self::Task { task, .. } => Some(*task),
            Self::Outcome { .. }
            | Self::Refused { .. }
            | Self::Withheld { .. }
            | Self::Restored { .. }
            | Self::Act { .. }
            | Self::Config { .. }
            | Self::Continued { .. }
            | Self::Removed { .. }
            | Self::Process { .. } => None,
        }
    }

    /// The decision about the call, or about a person's act that was refused.
    #[must_use]
    pub const fn decision_kind(&self) -> Option<DecisionKind> {
        match self {
            Self::Intent { .. } | Self::Outcome { outcome: RecordedOutcome::Done, .. } => {
                Some(DecisionKind::Allowed)
            }
            Self::Outcome { .. } | Self::Interrupted { .. } => Some(DecisionKind::Failed),
            Self::Refused { .. }
            | Self::Withheld { channel: WithheldChannel::Arguments, .. }
            | Self::Act { done: false, .. } => Some(DecisionKind::Refused),
            Self::Task { state, .. } => Some(match state {
                TaskState::PendingApproval => DecisionKind::Asked,
                TaskState::Approved | TaskState::Executing | TaskState::Completed => DecisionKind::Allowed,
                TaskState::Denied | TaskState::Expired | TaskState::Cancelled => DecisionKind::Refused,
                TaskState::Failed | TaskState::Interrupted => DecisionKind::Failed,
            }),
            Self::Withheld { .. }
            | Self::Restored { .. }
            | Self::Act { .. }
            | Self::Config { .. }
            | Self::Continued { .. }
            | Self::Removed { .. }
            | Self::Process { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
