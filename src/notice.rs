//! What a person must be told, whatever the channel: one change each.
//!
//! A notice holds ids, Portero's own words and concealed text only (guarantees N1, U2). It says *that* something
//! changed; what a channel shows of a task it reads from the task, by id, when it shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::anonymize::Fake;
use crate::names::{Actor, TaskId, ToolId};
use crate::policy::Action;
use crate::task::TaskState;

/// One notice in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeEntry {
    /// Its number: it grows with every notice and is never used again.
    pub seq: u64,
    /// When the change was made.
    pub at: Timestamp,
    /// What changed.
    pub notice: Notice,
}

/// One thing that a person must be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// A task came into a state: [`TaskState::PendingApproval`] when it was opened.
    Task {
        /// The task. One that ended long ago may be gone.
        task: TaskId,
        /// Which tool.
        tool: ToolId,
        /// The state it came into.
        state: TaskState,
        /// Who or what moved it.
        by: Actor,
        /// A person's reason, or what went wrong.
        note: Option<Fake<String>>,
    },
    /// A person approved a task that takes several people, and it waits for others still.
    Vote {
        /// The task.
        task: TaskId,
        /// Which tool.
        tool: ToolId,
        /// Who.
        by: Actor,
    },
    /// A grant.
    Grant {
        /// Its id.
        id: u64,
        /// What became of it.
        became: OverrideChange,
        /// What it permits.
        pattern: Fake<String>,
    },
    /// A persistent rule.
    Rule {
        /// Its id.
        id: u64,
        /// What became of it; a rule does not expire.
        became: OverrideChange,
        /// What it says.
        action: Action,
        /// Of which tools.
        pattern: Fake<String>,
    },
    /// A person paused everything.
    Paused,
    /// A person let everything go on.
    Resumed,
    /// The configuration.
    Config {
        /// The digest of the files that it is about.
        digest: String,
        /// What became of them.
        became: ConfigAdoption,
        /// How many edits that it is about, which came one after the other.
        #[serde(default = "one")]
        edits: u64,
    },
    /// Something is wrong that a person should look at.
    Alarm {
        /// What kind of thing.
        alarm: AlarmKind,
        /// What happened, and what to do.
        about: Fake<String>,
    },
}

const fn one() -> u64 {
    1
}

/// What became of a grant or a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverrideChange {
    /// It was made.
    Made,
    /// A person ended it, or it was used up.
    Ended,
    /// Its time was over.
    Expired,
}

/// What became of a changed configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigAdoption {
    /// It widens, and waits for a person.
    Waits,
    /// It is in force.
    Adopted,
    /// A person refused it; what was in force stays.
    Refused,
    /// It has errors; what was in force stays.
    Invalid,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// The audit was changed, or cannot be written.
    Audit,
    /// The store cannot be written.
    Store,
    /// A message was withheld, because a private value stood in it.
    Withheld,
    /// What a person confirmed of the configuration cannot be told any more.
    Configuration,
    /// Wrong passphrases or codes were tried, so that there is a pause now.
    Passphrase,
    /// Notices were removed before every channel had told them: too many, or too old.
    Lost,
}

impl Notice {
    /// The task that it is about, if it is about one.
    #[must_use]
    pub const fn task_id(&self) -> Option<TaskId> {
        match self {
            Self::Task { task, .. } | Self::Vote { task, .. } => Some(*task),
            Self::Grant { .. }
            | Self::Rule { .. }
            | Self::Paused
            | Self::Resumed
            | Self::Config { .. }
            | Self::Alarm { .. } => None,
        }
    }
}
