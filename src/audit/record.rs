//! The contents of a record.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::anonymize::Fake;
use crate::names::{Actor, Principal, ServerName, SessionId, TaskId, ToolId};

/// One event with its time and context.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When it happened.
    pub at: Timestamp,
    /// The session, if it happened in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The project, if an agent acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// The address that it asked from, if it acted over HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The event.
    pub event: AuditEvent,
}

/// The event of a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditEvent {
    /// A call is about to go to a server.
    Intent {
        /// Links intent and outcome within a segment.
        call: u64,
        /// The tool.
        tool: ToolId,
        /// The decision in words.
        reason: String,
        /// The task that a person approved, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
        /// The keyed digest of the concealed arguments, byte for byte (see [`DigestKey`](super::DigestKey)).
        /// Equal calls have equal digests, and no value can be guessed from one. Older records have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<String>,
    },
    /// The outcome of a call.
    Outcome {
        /// The intent's number.
        call: u64,
        /// The tool.
        tool: ToolId,
        /// How it ended.
        outcome: RecordedOutcome,
        /// How long it took, in microseconds.
        micros: u64,
    },
    /// The process that recorded this intent is gone and left no outcome, so the call's effect is unknown. The
    /// daemon records this in its own segment.
    Interrupted {
        /// The segment of the intent.
        segment: String,
        /// The intent's number there.
        call: u64,
        /// The tool.
        tool: ToolId,
        /// The task that a person had approved, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
    },
    /// A call was refused before any server saw it.
    Refused {
        /// The tool.
        tool: ToolId,
        /// The reason, in words.
        reason: String,
    },
    /// A message was withheld, because the leak scan found a private value in it.
    Withheld {
        /// The kind of message.
        channel: WithheldChannel,
        /// The server that wrote it, or that it was for, if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<ServerName>,
        /// The tool whose call it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<ToolId>,
        /// What was found, in words: the rule, never the value.
        what: String,
        /// How many such messages, since the last record of them.
        count: u64,
    },
    /// The text of a redaction in a call's arguments was replaced by the fake of its value, because the server had said
    /// that value in this session.
    Restored {
        /// The tool.
        tool: ToolId,
        /// The redactions.
        redactions: Vec<String>,
    },
    /// A task changed its state.
    Task {
        /// The task.
        task: TaskId,
        /// The tool.
        tool: ToolId,
        /// Its new state.
        state: crate::task::TaskState,
        /// Who or what moved it.
        by: Actor,
        /// The reason, concealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Fake<String>>,
    },
    /// A person acted (grant, revoke, allow, deny, unrule, passphrase), or tried to and was refused; or a use
    /// of their grant was consumed.
    Act {
        /// The command's name.
        act: String,
        /// The subject of the act, in words.
        about: String,
        /// Whether it took effect.
        done: bool,
        /// The actor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<Actor>,
    },
    /// The configuration was read.
    Config {
        /// A digest of the files.
        digest: String,
        /// Whether it is valid and applied.
        valid: bool,
    },
    /// The first record of a segment that continues another one, which was full or couldn't be written any
    /// more.
    Continued {
        /// The other's file name.
        former: String,
        /// The number of its last record.
        seq: u64,
        /// The hash of that record, in hex.
        hash: String,
        /// Whether the disk failed there, so that some of its last records may be lost.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fault: bool,
    },
    /// A segment is being removed because it is older than the audit is kept.
    Removed {
        /// Its file name.
        segment: String,
        /// The number of its last record.
        seq: u64,
        /// The hash of that record, in hex.
        hash: String,
        /// The time of its newest record.
        newest: Timestamp,
    },
    /// A process began or ended its segment.
    Process {
        /// `portero` or `porterod`, with its version.
        program: String,
        /// `started` or `ended`.
        what: String,
    },
}

/// Where a message was withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithheldChannel {
    /// The answer to a call, or to a request.
    Answer,
    /// The arguments of a call, which did not run.
    Arguments,
    /// Progress of a call.
    Progress,
    /// A log message.
    Log,
    /// The notice that a resource changed.
    ResourceUpdate,
    /// An entry of a list or of found tools.
    Listing,
}

impl WithheldChannel {
    /// The message in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Answer => "an answer",
            Self::Arguments => "the arguments of a call",
            Self::Progress => "progress of a call",
            Self::Log => "a log message",
            Self::ResourceUpdate => "an update of a resource",
            Self::Listing => "an entry of a list",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedOutcome {
    /// The server gave a result.
    Done,
    /// The server gave a result that says it is an error, or a JSON-RPC error.
    Failed,
    /// The server couldn't be reached, crashed or took too long. The effect is unknown.
    Interrupted,
    /// The client cancelled the call.
    Cancelled,
    /// The leak scan found a private value in the answer.
    Withheld,
}
