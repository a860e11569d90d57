//! How things stand, as the daemon tells it.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::telegram::TelegramStatus;
use crate::names::{AgentSessionId, Principal, ServerName, SessionId, TaskId, ToolId};
use crate::policy::Overrides;
use crate::server::ServerHealth;

/// How things stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// The daemon's version.
    pub build: String,
    /// Its process id.
    pub pid: u32,
    /// Since when it runs.
    pub started: Timestamp,
    /// The configuration directory.
    pub config: PathBuf,
    /// What is wrong with the configuration as it stands in the files now; the last valid one is in force.
    pub config_problems: Vec<String>,
    /// Whether the files as they stand now can be put in force; else the last valid ones stay.
    pub config_valid: bool,
    /// How many changes of the configuration wait for a person to confirm them.
    #[serde(default)]
    pub config_waits: usize,
    /// Servers that were skipped, and why.
    pub skipped: Vec<(ServerName, String)>,
    /// What the agents' lists lack of what servers list: how many, why, and what to do.
    #[serde(default)]
    pub left_out: Vec<(ServerName, String)>,
    /// The daemon's own and shared servers, and those that only sessions run, as idle.
    pub servers: Vec<ServerHealth>,
    /// Sessions that are connected: id and project.
    pub sessions: Vec<(SessionId, Principal)>,
    /// The session of its agent's program, for each connected session that says one.
    pub agent_sessions: Vec<(SessionId, AgentSessionId)>,
    /// The longest that a grant may last, in milliseconds.
    pub grant_most: u64,
    /// Tasks that wait for a person.
    pub pending: u64,
    /// Those of them that take several people: which, and how far each has come, in words.
    #[serde(default)]
    pub gathering: Vec<(TaskId, ToolId, String)>,
    /// Rules and grants in force.
    pub standing: Overrides,
    /// When the approval passphrase was first set, and by which process; none until then.
    pub passphrase: Option<(Timestamp, String)>,
    /// The authenticator that is enrolled.
    pub totp: Option<EnrolledAuthenticator>,
    /// How the bot on Telegram fares.
    #[serde(default)]
    pub telegram: TelegramStatus,
    /// Counters of the audit since the daemon started: calls allowed, asked, refused, failed.
    pub counts: CallCounts,
    /// Why there may be more of them than `counts` says; none where all are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_lack: Option<String>,
    /// How the audit stands; none from an older daemon.
    #[serde(default)]
    pub audit: Option<AuditStatus>,
    /// The latest alarms of the last days, the newest first: when, and what happened.
    #[serde(default)]
    pub alarms: Vec<(Timestamp, String)>,
    /// What is in force and not saved yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsaved: Option<UnsavedChanges>,
}

/// What is in force and not saved yet. It is saved by itself once that is possible, and lost if the daemon ends
/// before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsavedChanges {
    /// Why it is not saved.
    pub problem: String,
    /// Rules that were made.
    pub rules: Vec<u64>,
    /// Rules and grants that ended.
    pub ended: Vec<u64>,
    /// Whether everything was paused.
    pub paused: bool,
    /// Tasks that were rejected.
    pub tasks: Vec<TaskId>,
}

/// How the audit stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Why its files cannot be counted now: then `segments`, `bytes` and `oldest` say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// How many files it has.
    pub segments: u64,
    /// How many bytes are in them.
    pub bytes: u64,
    /// The time of the oldest record.
    pub oldest: Option<Timestamp>,
    /// When the daemon last followed every chain from its first line; none when it has not since it started.
    pub verified: Option<Timestamp>,
    /// How many segments were found changed, cut or missing.
    pub problems: u64,
    /// How many were removed because they were old.
    pub removed: u64,
}

/// An authenticator that is enrolled: what is wide needs its codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledAuthenticator {
    /// Since when it is enrolled.
    pub since: Timestamp,
    /// By which process it was.
    pub by: String,
    /// How many recovery codes are left.
    pub recovery: u32,
    /// Whether an earlier build sealed it in a way that this one cannot open, so that it can only be removed.
    #[serde(default)]
    pub is_outdated: bool,
}

/// Counters since the daemon started.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct CallCounts {
    /// Calls that ran.
    pub done: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls that a person was asked about.
    pub asked: u64,
}
