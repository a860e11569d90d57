//! The daemon's status.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::credentials::CredentialsStatus;
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
    /// How long an interactive command may remember the passphrase, in milliseconds; 0: not at all.
    #[serde(default)]
    pub remember: u64,
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
    /// Where credentials toward servers are kept; none from an older daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsStatus>,
    /// The status of the Telegram bot.
    #[serde(default)]
    pub telegram: TelegramStatus,
    /// The status of the HTTPS endpoint.
    #[serde(default)]
    pub https: HttpsStatus,
    /// The clients over HTTPS, by principal, address and name: those with a session, and those that asked without
    /// one lately.
    #[serde(default)]
    pub https_clients: Vec<HttpsClient>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub https_clients_omitted: usize,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
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
    /// Messages that were withheld because they held a private value.
    #[serde(default)]
    pub withheld: u64,
}

/// The status of the HTTPS endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum HttpsStatus {
    /// None is configured.
    #[default]
    Off,
    /// It is configured in a way that would be unsafe.
    Closed {
        /// The reason.
        reason: String,
        /// The next step.
        hint: String,
    },
    /// It could not be opened.
    Failed {
        /// Its address.
        listen: SocketAddr,
        /// The reason.
        problem: String,
    },
    /// It is served.
    Serving {
        /// Its address, with the port that it got.
        address: SocketAddr,
        /// Its certificate; none for plain HTTP.
        certificate: Option<HttpsCertificate>,
        /// Why a changed certificate is not used. The former one is.
        problem: Option<String>,
    },
}

/// The certificate of the HTTPS endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpsCertificate {
    /// Its file, in PEM.
    pub file: PathBuf,
    /// The SHA-256 digest of the certificate in DER, as pairs of hexadecimal digits with colons between.
    pub sha256: String,
    /// When it begins; none if it can't be read.
    #[serde(default)]
    pub issued: Option<Timestamp>,
    /// When it ends; none if it can't be read.
    pub expires: Option<Timestamp>,
}

/// The connections of one client over HTTPS: those of one principal, from one address, under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpsClient {
    /// Who it is, as its credential proves.
    pub principal: Principal,
    /// Where it asks from.
    pub address: IpAddr,
    /// The name and version that it gives itself, concealed.
    pub client: String,
    /// How many sessions it has; 0 for a client that asks without one.
    pub sessions: usize,
    /// When the first of its sessions began. Without one: when it began to ask.
    pub since: Timestamp,
}
