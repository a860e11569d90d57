//! Notices to people, for any channel, one for each change.
//!
//! A notice holds only ids, Portero's own words and concealed text (guarantees N1, U2). It says *that*
//! something changed. A channel that shows a task reads it by its id at that moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::TokenName;
use crate::anonymize::Fake;
use crate::names::{Actor, ServerName, TaskId, ToolId};
use crate::policy::Action;
use crate::task::TaskState;

/// A notice with its number and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeEntry {
    /// Its number, which grows with every notice and is never reused.
    pub seq: u64,
    /// When the change was made.
    pub at: Timestamp,
    /// The notice.
    pub notice: Notice,
}

/// One change to report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// A task changed its state. [`TaskState::PendingApproval`] means that it was opened.
    Task {
        /// The task. A task that ended long ago may no longer exist.
        task: TaskId,
        /// The tool.
        tool: ToolId,
        /// The new state.
        state: TaskState,
        /// The actor who moved it.
        by: Actor,
        /// A person's reason, or the failure.
        note: Option<Fake<String>>,
    },
    /// A person approved a task that needs several approvals, and more are missing.
    Vote {
        /// The task.
        task: TaskId,
        /// The tool.
        tool: ToolId,
        /// The person who approved.
        by: Actor,
    },
    /// A grant changed.
    Grant {
        /// Its id.
        id: u64,
        /// The change.
        became: OverrideChange,
        /// The tools that it permits.
        pattern: Fake<String>,
    },
    /// A persistent rule changed.
    Rule {
        /// Its id.
        id: u64,
        /// The change. A rule doesn't expire.
        became: OverrideChange,
        /// Its action.
        action: Action,
        /// Its tools.
        pattern: Fake<String>,
    },
    /// An access token was made or revoked.
    Token {
        /// Its name.
        name: TokenName,
        /// The change. Its expiry makes no notice.
        became: OverrideChange,
        /// What its holder may reach.
        scope: Fake<String>,
    },
    /// A person paused everything.
    Paused,
    /// A person resumed.
    Resumed,
    /// The configuration changed.
    Config {
        /// The digest of the files.
        digest: String,
        /// The state of the files.
        became: ConfigAdoption,
        /// How many successive edits this notice covers.
        #[serde(default = "one")]
        edits: u64,
    },
    /// A server's definitions differ from the accepted ones, or some are gone.
    Definitions {
        /// The server.
        server: ServerName,
        /// How many items changed and wait.
        changed: u64,
        /// How many items are new and wait.
        added: u64,
        /// How many items are gone.
        gone: u64,
    },
    /// A server wants a login, or a person signed in or out.
    Login {
        /// The server.
        server: ServerName,
        /// The change.
        became: LoginChange,
    },
    /// A problem that a person should look at.
    Alarm {
        /// The kind of problem.
        alarm: AlarmKind,
        /// What happened, and the next step.
        about: Fake<String>,
    },
}

// Notices that were stored before edits were gathered are about one edit.
const fn one() -> u64 {
    1
}

/// A change of a grant, a rule or a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverrideChange {
    /// It was made.
    Made,
    /// A person ended it, or its uses were consumed.
    Ended,
    /// It expired.
    Expired,
}

/// A change of a login at a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginChange {
    /// The server refuses requests until a person signs in or gives another credential. With the next step.
    Needed(Fake<String>),
    /// A person signed in.
    SignedIn,
    /// A person signed out.
    SignedOut,
}

/// The state of an edited configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigAdoption {
    /// It widens, and waits for confirmation.
    Waits,
    /// It applies.
    Adopted,
    /// A person refused it. The former configuration still applies.
    Refused,
    /// It has errors. The former configuration still applies.
    Invalid,
}

/// The subject of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// The audit was changed, or can't be written.
    Audit,
    /// The store can't be written.
    Store,
    /// A message was withheld, because it held a private value.
    Withheld,
    /// The confirmed configuration is no longer known.
    Configuration,
    /// Wrong passphrases or codes were tried, and tries are paused now.
    Passphrase,
    /// Notices were removed before every channel had delivered them, because they were too many or too old.
    Lost,
}

impl Notice {
    /// The task of the notice, if it has one.
    #[must_use]
    pub const fn task_id(&self) -> Option<TaskId> {
        match self {
            Self::Task { task, .. } | Self::Vote { task, .. } => Some(*task),
            Self::Grant { .. }
            | Self::Rule { .. }
            | Self::Token { .. }
            | Self::Paused
            | Self::Resumed
            | Self::Config { .. }
            | Self::Definitions { .. }
            | Self::Login { .. }
            | Self::Alarm { .. } => None,
        }
    }
}
