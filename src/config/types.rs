//! The types of a valid configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::auth::{ClientCertificate, ServerAuth};
use super::https::{ClosedHttps, HttpsSettings};
use super::problem::ConfigProblem;
use super::url::HttpUrl;
use crate::anonymize::ReplacementRule;
use crate::names::ServerName;
use crate::policy::ConfigPolicy;
use crate::secret::Secret;

/// The checked contents of the configuration directory.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory that it was read from.
    pub directory: PathBuf,
    /// The servers in the order of `mcps.json`, without disabled and skipped ones.
    pub servers: Vec<ServerConfig>,
    /// Servers that can't be started, with reasons.
    pub skipped: Vec<SkippedServer>,
    /// The rules of `replacements.json`, followed by one [`Direction::Injected`](crate::anonymize::Direction)
    /// rule for each secret that a server is given.
    pub replacements: Vec<ReplacementRule>,
    /// `policies.json`.
    pub policy: ConfigPolicy,
    /// `portero.json`.
    pub settings: Settings,
    /// A digest of all files, which tells whether two processes read the same.
    pub digest: String,
}

/// One child server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Its name.
    pub name: ServerName,
    /// How it is reached.
    pub transport: ServerTransport,
    /// The time limit of a request; none means the limit in `portero.json`.
    pub timeout: Option<Duration>,
    /// Whether the names of its tools get a prefix toward the agent.
    pub prefix: bool,
    /// Whose calls one process of it serves.
    pub instance: ServerInstance,
    /// Whether it keeps nothing between calls, so that a call may be made in another process of it.
    pub stateless: bool,
    /// The tools to list; none means all.
    pub pinned_tools: Option<Vec<String>>,
    /// Words for finding its tools.
    pub categories: Vec<String>,
    /// Its declared roots; none means that it isn't told of any.
    pub roots: Option<Vec<PathBuf>>,
}

/// How a server is reached: the transports of MCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTransport {
    /// A program that Portero starts.
    Stdio(StdioServer),
    /// A server at an address, which the daemon alone reaches.
    Http(HttpServer),
}

/// A program that speaks MCP on its standard streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StdioServer {
    /// The program.
    pub command: String,
    /// Its arguments. They may hold values of variables.
    pub args: Vec<Secret>,
    /// Its own variables, in addition to the allow-list.
    pub env: BTreeMap<String, Secret>,
    /// Names of variables that it inherits in addition to the allow-list.
    pub env_passthrough: Vec<String>,
    /// Its working directory; the session's by default.
    pub cwd: Option<PathBuf>,
}

/// A server that speaks MCP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpServer {
    /// Its endpoint. Path and query may hold a key.
    pub url: HttpUrl,
    /// Whether it speaks the older HTTP with SSE of 2024-11-05 from the start. Without this, it is tried after
    /// Streamable HTTP was refused.
    pub is_sse: bool,
    /// The headers of each request, by their lower-case names. Their values may be credentials.
    pub headers: BTreeMap<String, Secret>,
    /// How it is signed in to, beside what `headers` say.
    pub auth: ServerAuth,
    /// How many requests may be open at it at once.
    pub max_concurrent: u16,
    /// A file with further certificate authorities in PEM, for this server only.
    pub ca_file: Option<PathBuf>,
    /// The certificate that is shown to it.
    pub client_certificate: Option<ClientCertificate>,
}

impl HttpServer {
    /// The requests that a server gets at once, unless `maxConcurrent` says otherwise.
    pub const DEFAULT_MAX_CONCURRENT: u16 = 16;
}

impl ServerConfig {
    /// The program, if Portero starts it.
    #[must_use]
    pub const fn as_stdio(&self) -> Option<&StdioServer> {
        match &self.transport {
            ServerTransport::Stdio(server) => Some(server),
            ServerTransport::Http(_) => None,
        }
    }

    /// The endpoint, if it is reached over HTTP.
    #[must_use]
    pub const fn as_http(&self) -> Option<&HttpServer> {
        match &self.transport {
            ServerTransport::Stdio(_) => None,
            ServerTransport::Http(server) => Some(server),
        }
    }
}

/// Whose calls one process of a server serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerInstance {
    /// Those of one session, which starts it.
    #[default]
    Session,
    /// Those of every session in one project directory; the daemon starts it.
    Project,
    /// Those of all sessions; the daemon starts it.
    User,
}

impl ServerInstance {
    /// Every instance.
    pub const ALL: [Self; 3] = [Self::Session, Self::Project, Self::User];

    /// As `mcps.json` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Project => "project",
            Self::User => "user",
        }
    }

    /// Whether the daemon runs it, and sessions reach it there.
    #[must_use]
    pub const fn is_in_daemon(self) -> bool {
        match self {
            Self::Session => false,
            Self::Project | Self::User => true,
        }
    }
}

/// A server that is not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedServer {
    /// Its name.
    pub server: ServerName,
    /// The reason, without values: ``the variable `GITHUB_TOKEN` is not set``.
    pub reason: String,
    /// The next step.
    pub hint: String,
}

impl Config {
    /// Logs the skipped servers, with reasons.
    pub fn log_skipped(&self) {
        for SkippedServer { server, reason, hint: _ } in &self.skipped {
            tracing::warn!(%server, reason, "a server is skipped");
        }
    }
}

/// The settings of `portero.json`.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Approvals.
    pub approvals: ApprovalSettings,
    /// Limits.
    pub limits: ServerLimits,
    /// The retention of the audit.
    pub audit: AuditSettings,
    /// The level of the programs' own logs: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: Option<String>,
    /// How credentials are kept.
    pub credentials: CredentialSettings,
    /// The Telegram bot, if it is set up.
    pub telegram: Option<TelegramSettings>,
    /// The HTTPS endpoint, if it is wanted and may open.
    pub https: Option<HttpsSettings>,
    /// Why the endpoint stays closed, if it is wanted and may not open.
    pub closed_https: Option<ClosedHttps>,
}

/// The Telegram bot and its people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelegramSettings {
    /// The bot's token.
    pub token: Secret,
    /// The id of the one user who decides. Without it, a person pairs with a code.
    pub admin: Option<u64>,
    /// The group that is asked instead of one person.
    pub group: Option<DeciderGroup>,
    /// Another address of the Bot API.
    pub api_url: Option<String>,
    /// The notices about calls that didn't ask a person.
    pub notices: NoticeSettings,
}

/// A Telegram group or supergroup in which several people decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeciderGroup {
    /// Its id, which is negative.
    pub chat: i64,
    /// The ids of the users who may decide and command there, each once, in the file's order. It is `admin`
    /// alone if the file names no others. A valid file has 1 to 20; the effective list may be shorter, or even
    /// empty, while an edit waits.
    pub deciders: Vec<u64>,
}

/// The notices about calls that didn't ask a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSettings {
    /// How long notices are gathered. Default 3 s.
    pub interval: Duration,
    /// Which calls are reported. Default all.
    pub level: NoticeLevel,
    /// Other levels for some servers.
    pub servers: BTreeMap<ServerName, NoticeLevel>,
    /// The hours without notices.
    pub quiet: Option<QuietHours>,
}

impl Default for NoticeSettings {
    fn default() -> Self {
        let every = Duration::from_secs(3);
        Self { interval: every, level: NoticeLevel::All, servers: BTreeMap::new(), quiet: None }
    }
}

impl NoticeSettings {
    /// The level for a server.
    #[must_use]
    pub fn level_for(&self, server: &ServerName) -> NoticeLevel {
        self.servers.get(server).copied().unwrap_or(self.level)
    }

    /// Whether this reports less than `before`, or later.
    #[must_use]
    pub fn is_quieter_than(&self, before: &Self) -> bool {
        // Of both: a server that is no longer named falls back to the general level, which may be quieter.
        let named = self.servers.keys().chain(before.servers.keys());
        self.level < before.level
            || self.interval > before.interval
            || (self.quiet.is_some() && self.quiet != before.quiet)
            || named.into_iter().any(|server| self.level_for(server) < before.level_for(server))
    }
}

/// Which calls are reported that didn't ask. The greater reports more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeLevel {
    /// None.
    Off,
    /// Failed and refused calls.
    Errors,
    /// All calls.
    All,
}

impl NoticeLevel {
    /// All levels, the least first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Errors, Self::All];

    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Errors => "errors",
            Self::All => "all",
        }
    }
}

/// Daily hours, in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    /// When they begin.
    pub from: Time,
    /// When they end; on the next day if that is earlier than `from`.
    pub to: Time,
    /// The zone; the person's own by default.
    pub zone: Option<TimeZone>,
}

impl QuietHours {
    /// Whether a moment lies within them. `here` is the person's own zone.
    #[must_use]
    pub fn contains(&self, now: Timestamp, here: &TimeZone) -> bool {
        let time = now.to_zoned(self.zone.as_ref().unwrap_or(here).clone()).time();
        // Hours that end before they begin run over midnight.
        let (begun, over) = (time >= self.from, time >= self.to);
        if self.from <= self.to { begun && !over } else { begun || !over }
    }
}

/// Limits of approvals.
#[derive(Debug, Clone)]
pub struct ApprovalSettings {
    /// How long a person may take to decide. Default 24 h.
    pub decision_timeout: Duration,
    /// How long after the approval the call may start. Default 15 min.
    pub start_timeout: Duration,
    /// The longest grant. Default 24 h.
    pub max_grant_duration: Duration,
    /// How long an ended task is kept. Default 7 days.
    pub retention: Duration,
    /// The longest result of an approved call that is kept, in bytes. Default 4 MiB.
    pub max_result_bytes: usize,
    /// How long after a denial the same call of a project is refused without a question. Default 10 min; zero
    /// asks at once.
    pub deny_cooldown: Duration,
    /// How long a call waits for the decision before its agent gets the pending answer. Default zero; at most
    /// [`ApprovalSettings::MAX_HOLD`].
    pub hold: Duration,
    /// How long an interactive command remembers a typed passphrase in its own process. Default zero: not at all; at
    /// most [`ApprovalSettings::MAX_REMEMBER`].
    pub remember: Duration,
    /// How many calls of one session may wait. Default 20.
    pub max_pending_per_session: u32,
    /// How many calls of one project may wait, over all its sessions. Default 50.
    pub max_pending_per_project: u32,
    /// How many calls may wait in total. The last quarter is reserved for projects with few waiting calls.
    /// Default 200.
    pub max_pending_total: u32,
}

impl ApprovalSettings {
    /// The longest [`ApprovalSettings::hold`]: clients give up on a call that takes much longer.
    pub const MAX_HOLD: Duration = Duration::from_secs(5 * 60);

    /// The longest [`ApprovalSettings::remember`]: a person may leave the terminal as it is.
    pub const MAX_REMEMBER: Duration = Duration::from_secs(15 * 60);
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
            hold: Duration::ZERO,
            remember: Duration::ZERO,
            max_pending_per_session: 20,
            max_pending_per_project: 50,
            max_pending_total: 200,
        }
    }
}

/// Limits of servers and messages.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// The time limit for a server's handshake. Default 30 s.
    pub start_timeout: Duration,
    /// The time limit for a request. Default 30 min, like Claude Code's own idle limit on stdio.
    pub request_timeout: Duration,
    /// How long a list waits for servers whose lists are not cached. Default 2 s.
    pub list_timeout: Duration,
    /// The longest message, in bytes. Default 64 MiB.
    pub max_message_bytes: usize,
    /// The largest size of a server's own log, in bytes. Default 10 MiB.
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

/// The retention of the audit, and the size of its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// The largest segment before another continues, in bytes. Default 16 MiB.
    pub max_segment_bytes: u64,
    /// How long records are kept; none means for good. Default 365 days.
    pub retention: Option<Duration>,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { max_segment_bytes: 16 << 20, retention: Some(Duration::from_secs(365 * 86_400)) }
    }
}

/// How credentials toward servers are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CredentialSettings {
    /// Whether the system's keyring holds their key.
    pub keyring: KeyringUse,
}

/// Whether the system's keyring is used. The later ones protect more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyringUse {
    /// It isn't.
    Off,
    /// It is where there is one.
    #[default]
    Auto,
    /// Without one nothing is kept.
    Required,
}

impl KeyringUse {
    /// How it is written in `portero.json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "false",
            Self::Auto => "\"auto\"",
            Self::Required => "true",
        }
    }
}

/// The text of the configuration files.
#[derive(Clone, Default, Serialize, Deserialize)]
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
    /// What was wrong with the directory itself when the files were read. It is no part of the configuration.
    #[serde(skip)]
    pub directory_problems: Vec<ConfigProblem>,
}

/// Files are equal if they say the same in the same directory.
impl PartialEq for ConfigFiles {
    fn eq(&self, other: &Self) -> bool {
        self.directory == other.directory && self.changed_files(other).is_empty()
    }
}

impl Eq for ConfigFiles {}

/// Hides the texts, which may hold secrets.
impl std::fmt::Debug for ConfigFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("directory", &self.directory).finish_non_exhaustive()
    }
}
