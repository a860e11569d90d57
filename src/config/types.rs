//! What a valid configuration is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::anonymize::ReplacementRule;
use crate::names::ServerName;
use crate::policy::ConfigPolicy;
use crate::secret::Secret;

/// Everything that the configuration directory says, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory that it was read from.
    pub directory: PathBuf,
    /// The servers in the order of `mcps.json`, without the disabled and the skipped.
    pub servers: Vec<ServerConfig>,
    /// Servers that cannot be started, and why.
    pub skipped: Vec<SkippedServer>,
    /// The rules of `replacements.json`, followed by one [`Direction::Injected`](crate::anonymize::Direction)
    /// rule for each secret that a server is given.
    pub replacements: Vec<ReplacementRule>,
    /// `policies.json`.
    pub policy: ConfigPolicy,
    /// `portero.json`.
    pub settings: Settings,
    /// A digest of all files as read, to tell whether two processes read the same.
    pub digest: String,
}

/// One child server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Its name.
    pub name: ServerName,
    /// The program.
    pub command: String,
    /// Its arguments. They may hold values of variables.
    pub args: Vec<Secret>,
    /// The variables it gets beside the allow-list.
    pub env: BTreeMap<String, Secret>,
    /// Names of variables it inherits beside the allow-list.
    pub env_passthrough: Vec<String>,
    /// Its working directory; by default the session's.
    pub cwd: Option<PathBuf>,
    /// How long a request may take; none means the limit in `portero.json`.
    pub timeout: Option<Duration>,
    /// Whether its names are prefixed toward the agent.
    pub prefix: bool,
    /// Whether it runs in the daemon for all sessions.
    pub shared: bool,
    /// The tools to show in the list; none means all.
    pub pinned_tools: Option<Vec<String>>,
    /// Words to find its tools by.
    pub categories: Vec<String>,
    /// The roots to declare to it; none means that roots are not declared.
    pub roots: Option<Vec<PathBuf>>,
}

/// A server that is not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedServer {
    /// Which.
    pub server: ServerName,
    /// Why, in words without values: ``the variable `GITHUB_TOKEN` is not set``.
    pub reason: String,
    /// The next step.
    pub hint: String,
}

impl Config {
    /// Notes in this program's log which servers are skipped, and why.
    pub fn log_skipped(&self) {
        for SkippedServer { server, reason, hint: _ } in &self.skipped {
            tracing::warn!(%server, reason, "a server is skipped");
        }
    }
}

/// `portero.json`.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Approvals.
    pub approvals: ApprovalSettings,
    /// Limits.
    pub limits: ServerLimits,
    /// How much of the audit stays.
    pub audit: AuditSettings,
    /// The level of the programs' own logs: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: Option<String>,
    /// The Telegram bot; none where it is not set up.
    pub telegram: Option<TelegramSettings>,
    /// The HTTPS endpoint; none where it is not wanted.
    pub https: Option<HttpsSettings>,
}

/// The HTTPS endpoint for agents that are not started on this machine's stdio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsSettings {
    /// Where it listens: a loopback address (guarantee T1). Default 127.0.0.1:8787.
    pub listen: SocketAddr,
}

/// How to reach a person on Telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelegramSettings {
    /// The bot's token.
    pub token: Secret,
    /// The id of the one user who decides; without it a person pairs with a code.
    pub admin: Option<u64>,
    /// The group that is asked in place of one person.
    pub group: Option<DeciderGroup>,
    /// Another address of the Bot API.
    pub api_url: Option<String>,
    /// What is told there of calls that nobody was asked about.
    pub notices: NoticeSettings,
}

/// A group or supergroup on Telegram in which several people decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeciderGroup {
    /// Its id, which is negative.
    pub chat: i64,
    /// The ids of the users who may decide and command there, as they are written: `admin` alone where the file
    /// names nobody else. Each stands once. In a valid file there are 1 to 20; what is in force may name fewer,
    /// even none, while an edit waits.
    pub deciders: Vec<u64>,
}

/// What a person is told of calls that nobody was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSettings {
    /// How long they are gathered. Default 3 s.
    pub interval: Duration,
    /// What is told. Default everything.
    pub level: NoticeLevel,
    /// What is told of some servers.
    pub servers: BTreeMap<ServerName, NoticeLevel>,
    /// When nothing is told.
    pub quiet: Option<QuietHours>,
}

impl Default for NoticeSettings {
    fn default() -> Self {
        let every = Duration::from_secs(3);
        Self { interval: every, level: NoticeLevel::All, servers: BTreeMap::new(), quiet: None }
    }
}

impl NoticeSettings {
    /// What is told of a server.
    #[must_use]
    pub fn level_for(&self, server: &ServerName) -> NoticeLevel {
        self.servers.get(server).copied().unwrap_or(self.level)
    }

    /// Whether this tells less of anything than `before` did, or later.
    #[must_use]
    pub fn is_quieter_than(&self, before: &Self) -> bool {
        let named = self.servers.keys().chain(before.servers.keys());
        self.level < before.level
            || self.interval > before.interval
            || (self.quiet.is_some() && self.quiet != before.quiet)
            || named.into_iter().any(|server| self.level_for(server) < before.level_for(server))
    }
}

/// How much is told of calls that nobody was asked about; the greater tells more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeLevel {
    /// Nothing.
    Off,
    /// What failed or was refused.
    Errors,
    /// Everything.
    All,
}

impl NoticeLevel {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Errors, Self::All];

    /// As it is written in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Errors => "errors",
            Self::All => "all",
        }
    }
}

/// Hours of every day, in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    /// When they begin.
    pub from: Time,
    /// When they end; on the next day where that is earlier.
    pub to: Time,
    /// Where; the person's own zone without it.
    pub zone: Option<TimeZone>,
}

impl QuietHours {
    /// Whether this moment is among them; `here` is the person's own zone.
    #[must_use]
    pub fn contains(&self, now: Timestamp, here: &TimeZone) -> bool {
        let time = now.to_zoned(self.zone.as_ref().unwrap_or(here).clone()).time();
        let (begun, over) = (time >= self.from, time >= self.to);
        if self.from <= self.to { begun && !over } else { begun || !over }
    }
}

/// Limits of approvals.
#[derive(Debug, Clone)]
pub struct ApprovalSettings {
    /// How long a person has to decide. Default 24 h.
    pub decision_timeout: Duration,
    /// How long after a yes the call may start. Default 15 min.
    pub start_timeout: Duration,
    /// The longest grant. Default 24 h.
    pub max_grant_duration: Duration,
    /// How long a task stays to be looked at after it ended. Default 7 days.
    pub retention: Duration,
    /// The longest answer of an approved call that is kept, in bytes. Default 4 MiB.
    pub max_result_bytes: usize,
    /// How long the same call of a project does not ask again after a person said no. Default 10 min; zero lets
    /// it ask at once.
    pub deny_cooldown: Duration,
    /// How many calls of one session may wait. Default 20.
    pub max_pending_per_session: u32,
    /// How many calls of one project may wait, of all its sessions. Default 50.
    pub max_pending_per_project: u32,
    /// How many calls may wait in all; the last quarter is for projects of which few wait. Default 200.
    pub max_pending_total: u32,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self {
            decision_timeout: Duration::from_secs(24 * 3600),
            start_timeout: Duration::from_secs(15 * 60),
            max_grant_duration: Duration::from_secs(24 * 3600),
            retention: Duration::from_secs(7 * 24 * 3600),
            max_result_bytes: 4 << 20,
            deny_cooldown: Duration::from_secs(10 * 60),
            max_pending_per_session: 20,
            max_pending_per_project: 50,
            max_pending_total: 200,
        }
    }
}

/// Limits of servers and messages.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// How long a server has to answer the handshake. Default 30 s.
    pub start_timeout: Duration,
    /// How long a request may take. Default 30 min, as Claude Code's own idle limit on stdio.
    pub request_timeout: Duration,
    /// How long a list waits for servers whose lists are not cached. Default 2 s.
    pub list_timeout: Duration,
    /// The longest message, in bytes. Default 64 MiB.
    pub max_message_bytes: usize,
    /// The most a server's own log may hold, in bytes. Default 10 MiB.
    pub max_server_log_bytes: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30 * 60),
            list_timeout: Duration::from_secs(2),
            max_message_bytes: 64 << 20,
            max_server_log_bytes: 10 << 20,
        }
    }
}

/// How much of the audit stays, and in what pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// How long a file of it may get before another goes on, in bytes. Default 16 MiB.
    pub max_segment_bytes: u64,
    /// How long records stay; none for good. Default 365 days.
    pub retention: Option<Duration>,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { max_segment_bytes: 16 << 20, retention: Some(Duration::from_secs(365 * 86_400)) }
    }
}

/// The text of the files, as found; reading them is the caller's.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFiles {
    /// The directory.
    pub directory: PathBuf,
    /// `mcps.json`.
    pub mcps: Option<String>,
    /// `replacements.json`.
    pub replacements: Option<String>,
    /// `policies.json`.
    pub policies: Option<String>,
    /// `portero.json`.
    pub portero: Option<String>,
    /// `.env`.
    pub dotenv: Option<String>,
}

/// Their texts may hold secrets.
impl std::fmt::Debug for ConfigFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("directory", &self.directory).finish_non_exhaustive()
    }
}
