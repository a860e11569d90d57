//! What a record says.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::anonymize::Fake;
use crate::names::{Actor, Principal, SessionId, TaskId, ToolId};

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// In which session, if in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// On whose behalf, if on an agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// What.
    pub event: AuditEvent,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditEvent {
    /// A call is about to go to a server.
    Intent {
        /// Links intent and outcome within a segment.
        call: u64,
        /// Which tool.
        tool: ToolId,
        /// Why it may: the decision in words.
        reason: String,
        /// The task that a person approved, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
        /// The keyed digest of the concealed arguments, byte for byte; see [`Key`](super::DigestKey). Equal calls
        /// are recognised by it, and no value can be guessed from it. Older records have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<String>,
    },
    /// What came of it.
    Outcome {
        /// The intent's number.
        call: u64,
        /// Which tool.
        tool: ToolId,
        /// How it ended.
        outcome: RecordedOutcome,
        /// How long it took, in microseconds.
        micros: u64,
    },
    /// The process that recorded this intent is gone and left no outcome: whether the call took effect is unknown.
    /// The daemon records it, in its own segment.
    Interrupted {
        /// The segment of the intent.
        segment: String,
        /// The intent's number there.
        call: u64,
        /// Which tool.
        tool: ToolId,
        /// The task that a person had approved, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<TaskId>,
    },
    /// A call was refused before any server saw it.
    Refused {
        /// Which tool.
        tool: ToolId,
        /// Why, in words.
        reason: String,
    },
    /// A task changed its state.
    Task {
        /// The task.
        task: TaskId,
        /// Which tool.
        tool: ToolId,
        /// Its new state.
        state: crate::task::TaskState,
        /// Who or what moved it.
        by: Actor,
        /// Why, concealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Fake<String>>,
    },
    /// A person acted: grant, revoke, allow, deny, unrule, passphrase, and refused attempts at them; or a use of
    /// their grant was consumed.
    Act {
        /// The command's name.
        act: String,
        /// What it was about, in words.
        about: String,
        /// Whether it took effect.
        done: bool,
        /// Who did it, or tried to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<Actor>,
    },
    /// The configuration was read anew.
    Config {
        /// A digest of the files in force.
        digest: String,
        /// Whether it is valid and in force.
        valid: bool,
    },
    /// The first record of a segment that goes on where another was full, or could not be written any more.
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
    /// A whole segment is removed because it is older than the audit is kept.
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

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedOutcome {
    /// The server gave a result.
    Done,
    /// The server gave a result that says it is an error, or a JSON-RPC error.
    Failed,
    /// The server could not be reached, crashed or took too long: unknown whether it took effect.
    Interrupted,
    /// The client took it back.
    Cancelled,
    /// The second look found a private value in the answer.
    Withheld,
}
