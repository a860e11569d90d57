//! The daemon's status.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::telegram::TelegramStatus;
use crate::names::{AgentSessionId, Principal, ServerName, SessionId, TaskId, ToolId};
use crate::policy::Overrides;
use crate::server::ServerHealth;

/// The status of the daemon and of everything that it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// The daemon's version.
    pub build: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// The configuration directory.
    pub config: PathBuf,
    /// Problems of the present configuration files. The last valid configuration applies.
    pub config_problems: Vec<String>,
    /// Whether the present files are valid. If not, the last valid ones apply.
    pub config_valid: bool,
    /// How many edits of the configuration wait for confirmation.
    #[serde(default)]
    pub config_waits: usize,
    /// The skipped servers, with reasons.
    pub skipped: Vec<(ServerName, String)>,
    /// Listed entries that agents don't get: how many, why, and the next step.
    #[serde(default)]
    pub left_out: Vec<(ServerName, String)>,
    /// The daemon's own and shared servers, and as idle those that only sessions run.
    pub servers: Vec<ServerHealth>,
    /// The connected sessions, by id and project.
    pub sessions: Vec<(SessionId, Principal)>,
    /// The session id of the agent's program, for each connected session that has one.
    pub agent_sessions: Vec<(SessionId, AgentSessionId)>,
    /// The longest possible grant, in milliseconds.
    pub grant_most: u64,
    /// How many tasks wait for a person.
    pub pending: u64,
    /// Those that need several people, with the progress of each in words.
    #[serde(default)]
    pub gathering: Vec<(TaskId, ToolId, String)>,
    /// The rules and grants.
    pub standing: Overrides,
    /// When the approval passphrase was first set, and by which process; none before.
    pub passphrase: Option<(Timestamp, String)>,
    /// The enrolled authenticator.
    pub totp: Option<EnrolledAuthenticator>,
    /// The status of the Telegram bot.
    #[serde(default)]
    pub telegram: TelegramStatus,
    /// How many calls were allowed, asked, refused or failed since the daemon started.
    pub counts: CallCounts,
    /// Why `counts` may be too low; none if all calls are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_lack: Option<String>,
    /// The status of the audit; none from an older daemon.
    #[serde(default)]
    pub audit: Option<AuditStatus>,
    /// The alarms of the last days, the newest first, with their times.
    #[serde(default)]
    pub alarms: Vec<(Timestamp, String)>,
    /// The changes that apply and aren't saved yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsaved: Option<UnsavedChanges>,
}

/// Changes that apply and aren't saved yet. They are saved automatically once that is possible, and lost if
/// the daemon ends before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsavedChanges {
    /// Why they aren't saved.
    pub problem: String,
    /// New rules.
    pub rules: Vec<u64>,
    /// Ended rules and grants.
    pub ended: Vec<u64>,
    /// Whether calls were paused.
    pub paused: bool,
    /// Rejected tasks.
    pub tasks: Vec<TaskId>,
}

/// The status of the audit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Why its files can't be counted now. `segments`, `bytes` and `oldest` mean nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// The number of its files.
    pub segments: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// The time of the oldest record.
    pub oldest: Option<Timestamp>,
    /// When the daemon last followed every chain from its first line; none if it hasn't since its start.
    pub verified: Option<Timestamp>,
    /// How many segments were found changed, cut or missing.
    pub problems: u64,
    /// How many were removed for their age.
    pub removed: u64,
}

/// An enrolled authenticator. Acts of high risk need its codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledAuthenticator {
    /// When it was enrolled.
    pub since: Timestamp,
    /// The process that enrolled it.
    pub by: String,
    /// How many recovery codes are left.
    pub recovery: u32,
    /// Whether an earlier build encrypted its secret in a way that this one can't decrypt, so that it can only
    /// be removed.
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
    /// Calls that asked a person.
    pub asked: u64,
}
