//! What is said on the socket.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::challenge::{Challenge, Disclosed};
use super::telegram::{PairingCode, TelegramStatus};
use crate::anonymize::Fake;
use crate::audit::Head;
use crate::call::Call;
use crate::catalog::Hints;
use crate::confirmed::Changes;
use crate::json::RawJson;
use crate::names::{AgentSession, Principal, ServerName, SessionId, TaskId, ToolId};
use crate::notice::Entry;
use crate::pattern::Pattern;
use crate::policy::{Action, Explanation, Grant, Limits, Rule, Standing};
use crate::server::Health;
use crate::task::{News, State, Task};

/// The version of this protocol. It grows when an old peer would misunderstand a new one; a release that
/// changes nothing here keeps it.
pub const PROTOCOL: u32 = 2;

/// The first message of a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the one that connects.
    pub protocol: u32,
    /// Its version, for people.
    pub build: String,
    /// The configuration directory that it reads; the daemon serves one.
    pub config: PathBuf,
    /// Who connects.
    pub peer: Peer,
}

/// Who connects.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// One agent's session.
    Session {
        /// Its id.
        id: SessionId,
        /// The session of the agent's own program, where it says one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_session: Option<AgentSession>,
        /// On whose behalf it acts.
        principal: Principal,
        /// The directory that servers are started in.
        directory: PathBuf,
    },
    /// A person's terminal.
    Terminal,
}

/// The daemon's answer to a [`Hello`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL`] of the daemon.
    pub protocol: u32,
    /// Its version.
    pub build: String,
    /// Its process id.
    pub pid: u32,
    /// [`Confirmed::digest`](crate::confirmed::Confirmed::digest) of what a person confirmed of the configuration.
    pub confirmed: String,
}

/// From a session or terminal to the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToDaemon {
    /// A question; it gets one [`FromDaemon::Answer`] with the same number.
    Ask {
        /// Chosen by the one that asks, unique on its connection.
        number: u64,
        /// The question.
        ask: Box<Ask>,
    },
    /// The one that asked no longer wants the answer.
    Withdraw {
        /// The question's number.
        number: u64,
    },
    /// The session follows this epoch of rules and grants from now on.
    Follows {
        /// The epoch.
        epoch: u64,
    },
}

/// From the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromDaemon {
    /// The answer to a question.
    Answer {
        /// The question's number.
        number: u64,
        /// What came of it.
        reply: Box<Result<Reply, Failure>>,
    },
    /// Something that nobody asked for.
    Push(Push),
    /// The daemon ends this connection, and why.
    Closing(Failure),
}

/// What the daemon tells a session unasked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Push {
    /// Rules or grants changed. The session answers [`ToDaemon::Follows`] once it decides by them; the
    /// command that made the change returns only then.
    Standing(Standing),
    /// The configuration changed and is valid, or a person confirmed it: read it again.
    Config {
        /// As in [`Welcome::confirmed`].
        confirmed: String,
    },
    /// A task of this session's principal reached a final state.
    Settled {
        /// The task.
        task: TaskId,
        /// Its state.
        state: State,
    },
    /// Progress of a call that the daemon makes for this session: the notification's `params`.
    Progress {
        /// The number of the [`Ask::Forward`].
        number: u64,
        /// `params` of `notifications/progress`.
        params: Fake<RawJson>,
    },
    /// A shared server said that one of its lists changed, or logged something: a whole JSON-RPC
    /// notification.
    Notification {
        /// The server.
        server: ServerName,
        /// The method.
        method: String,
        /// Its `params`.
        params: Option<Fake<RawJson>>,
    },
}

/// Which rules or grants an act is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acting {
    /// These ids.
    On(Vec<u64>),
    /// All.
    All,
}

/// A question to the daemon. Those of a session come first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Tell me rules and grants, now and whenever they change. Answer: [`Reply::Standing`].
    Subscribe,
    /// This call needs a person. Answer: [`Reply::Task`] once the task is on disk, or a refusal when the
    /// daemon's own decision is to deny.
    Submit {
        /// The concealed call.
        call: Call,
        /// The client's name and version.
        client: Fake<String>,
    },
    /// Make this call on a shared server, through the daemon's own pipeline. Answer: [`Reply::Called`].
    Forward {
        /// The concealed call.
        call: Call,
        /// The client's name and version.
        client: Fake<String>,
        /// Whether progress is wanted.
        progress: bool,
    },
    /// Consume one use of a grant for this call, which is about to be made. Answer: [`Reply::Grant`] once that is
    /// on disk; a refusal where the daemon's own decision is not that the call runs by a use of this grant.
    Consume {
        /// The grant's id.
        grant: u64,
        /// The concealed call.
        call: Call,
    },
    /// What a shared server offers. Answer: [`Reply::Listing`], the server's own words, still real.
    Listing {
        /// The server.
        server: ServerName,
    },
    /// One task of this session's principal. Waits up to `wait_millis` for a final state. Answer:
    /// [`Reply::Task`].
    CheckTask {
        /// The task.
        task: TaskId,
        /// How long to wait for a final state, in milliseconds.
        wait_millis: u64,
    },
    /// This principal's tasks, the newest first. Answer: [`Reply::Tasks`].
    ListTasks {
        /// Only those in this state.
        state: Option<State>,
        /// At most so many.
        limit: u32,
    },
    /// Which tasks of this principal are final and no agent has asked about yet. Answer: [`Reply::News`].
    News,
    /// The agent takes a task back. Answer: [`Reply::Task`].
    CancelTask {
        /// The task.
        task: TaskId,
    },
    /// How far this session's segment of the audit has come. Answer: [`Reply::Changed`].
    Head(Box<Head>),

    /// A person asks how things stand. Answer: [`Reply::Status`].
    Status,
    /// All tasks, the newest first. Answer: [`Reply::Tasks`].
    Tasks {
        /// Only those in this state.
        state: Option<State>,
        /// At most so many.
        limit: u32,
    },
    /// Which tasks have an id that begins or ends so. Answer: [`Reply::Found`].
    Find {
        /// The beginning or end.
        part: String,
        /// Only those in this state.
        state: Option<State>,
    },
    /// One task, whole. Answer: [`Reply::Task`].
    Task {
        /// The task.
        task: TaskId,
    },
    /// The real values of a task, for the terminal device and nothing else. Answer: [`Reply::Real`].
    Real {
        /// The task.
        task: TaskId,
        /// The second factor.
        challenge: Challenge,
    },
    /// One task as a person decides on it, with what its tool says of itself. Answer: [`Reply::Look`].
    Look {
        /// The task.
        task: TaskId,
    },
    /// What changed after a place, once something did; without one, what waits now. Asked again and again it
    /// tells every change, and nothing is queued for one that asks seldom: it is told to begin anew. Answer:
    /// [`Reply::Watched`].
    Watch {
        /// [`Watched::place`] of the last answer.
        after: Option<u64>,
    },
    /// Yes, run it. Widens. Answer: [`Reply::Task`].
    Approve {
        /// The task.
        task: TaskId,
        /// The second factor.
        challenge: Challenge,
    },
    /// No. Answer: [`Reply::Task`].
    Reject {
        /// The task.
        task: TaskId,
        /// What the agent is told.
        reason: Option<String>,
        /// Whether the same call may ask again at once.
        #[serde(default)]
        for_now: bool,
    },
    /// Ask anew what this task asked, which has ended: a new task that waits as any other. Answer:
    /// [`Reply::Task`].
    Again {
        /// The task that has ended.
        task: TaskId,
    },
    /// Permit for a while. Widens. Answer: [`Reply::Grant`].
    Grant {
        /// What.
        pattern: Pattern,
        /// How long, in milliseconds.
        millis: u64,
        /// For whom, and how often.
        #[serde(default)]
        limits: Limits,
        /// The second factor.
        challenge: Challenge,
    },
    /// End grants. Answer: [`Reply::Changed`].
    Revoke(Acting),
    /// A persistent rule. An allow widens and needs the challenge; a deny does not. Answer: [`Reply::Rule`].
    Rule {
        /// What.
        pattern: Pattern,
        /// [`Action::Allow`] or [`Action::Deny`].
        action: Action,
        /// The second factor, for an allow.
        challenge: Option<Challenge>,
    },
    /// Remove a persistent rule. Removing a deny widens. Answer: [`Reply::Changed`].
    Unrule {
        /// The rule's id.
        id: u64,
        /// The second factor, for a deny.
        challenge: Option<Challenge>,
    },
    /// Stop everything: every decision is a deny until [`Ask::Resume`]. Answer: [`Reply::Standing`].
    Pause,
    /// End a pause. Widens. Answer: [`Reply::Changed`]: 0 where nothing was paused.
    Resume {
        /// The second factor.
        challenge: Challenge,
    },
    /// Rules and grants in force. Answer: [`Reply::Standing`].
    Rules,
    /// Why this tool is decided as it is. Answer: [`Reply::Why`].
    Why {
        /// The tool.
        tool: ToolId,
        /// A call's arguments, for rules that look at them. The daemon conceals them first, as it would a call's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<RawJson>,
    },
    /// What a pattern would change if it were allowed: the tools it covers, denied ones first. Answer:
    /// [`Reply::Reach`].
    Reach {
        /// The pattern.
        pattern: Pattern,
    },
    /// How the configuration differs from what a person confirmed. Answer: [`Reply::Config`].
    Config,
    /// Yes, put the files in force as they stand. Widens. Answer: [`Reply::Changed`].
    ConfirmConfig {
        /// [`Waiting::shown`] of what the person was shown; anything else is refused.
        shown: String,
        /// The second factor.
        challenge: Challenge,
    },
    /// Set the approval passphrase, or change it with the old one. Answer: [`Reply::Changed`].
    SetPassphrase {
        /// The present one, when there is one.
        old: Option<Challenge>,
        /// The new one.
        new: Challenge,
    },
    /// Offer a new secret for an authenticator, to whoever knows the passphrase. Answer:
    /// [`Reply::TotpSecret`].
    OfferTotp {
        /// The passphrase.
        challenge: Challenge,
    },
    /// Enrol the authenticator that has the secret which was offered. Answer: [`Reply::RecoveryCodes`].
    EnrollTotp {
        /// The passphrase, and a first code.
        challenge: Challenge,
    },
    /// Remove the authenticator. Answer: [`Reply::Changed`].
    RemoveTotp {
        /// The passphrase, and a code.
        challenge: Challenge,
    },
    /// A code with which a person is paired on Telegram. It makes a door that widens: where a passphrase is set
    /// it needs the challenge. Answer: [`Reply::PairingCode`].
    TelegramPair {
        /// The second factor, where one is set.
        challenge: Option<Challenge>,
    },
    /// Listen to nobody on Telegram any more. Another person can be paired then, so it widens. Answer:
    /// [`Reply::Changed`].
    TelegramUnpair {
        /// The second factor.
        challenge: Challenge,
    },
    /// How far every segment of the audit is known to have come. Answer: [`Reply::Heads`].
    Heads,
    /// End the daemon. Answer: [`Reply::Changed`], then the connection closes.
    Stop,
}

/// The answer to a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Rules and grants.
    Standing(Standing),
    /// A task.
    Task(Box<Task>),
    /// Tasks, the newest first.
    Tasks(Vec<Task>),
    /// Finished tasks.
    News(News),
    /// The tasks that were looked for.
    Found(Vec<TaskId>),
    /// What came of a forwarded call.
    Called(Called),
    /// What a shared server offers, as its cache file holds it.
    Listing(RawJson),
    /// How things stand.
    Status(Box<Status>),
    /// A new grant, or one of which a use was consumed.
    Grant(Grant),
    /// A new rule.
    Rule(Rule),
    /// So many things changed.
    Changed(u64),
    /// A decision and why.
    Why(Box<Explanation>),
    /// Tools and what is decided for each at present.
    Reach(Vec<(ToolId, Action)>),
    /// A secret for an authenticator app, in base 32.
    TotpSecret(Disclosed),
    /// The recovery codes, told this once.
    RecoveryCodes(Vec<Disclosed>),
    /// A code with which a person is paired on Telegram.
    PairingCode(PairingCode),
    /// How far every segment of the audit is known to have come.
    Heads(Vec<Head>),
    /// The real values of a task.
    Real(Box<RealTask>),
    /// A task, to decide on.
    Look(Box<Look>),
    /// What changed, or what waits.
    Watched(Watched),
    /// How the configuration differs from what a person confirmed.
    Config(Box<Waiting>),
}

/// How the configuration differs from what a person confirmed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// What stands in the way of knowing what was confirmed: no passphrase is set, or the copy is lost.
    pub note: Option<String>,
    /// What waits, and what is in force at once.
    pub changes: Changes,
    /// Known tools that would become looser, denied ones first: as they are decided now, and as they would be.
    pub tools: Vec<(ToolId, Action, Action)>,
    /// Tells this difference from any other.
    pub shown: String,
}

/// What a task's server gets and what it answered, as JSON texts with the values that this server may see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RealTask {
    /// The call's `params`.
    pub params: Disclosed,
    /// Its `_meta`, where it has one.
    pub meta: Option<Disclosed>,
    /// The result, where there is one.
    pub result: Option<Disclosed>,
    /// The error, where there is one.
    pub error: Option<Disclosed>,
}

/// A task as a person decides on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Look {
    /// The task, whole.
    pub task: Task,
    /// The server's word on its tool; none where the daemon has not seen the tool.
    pub hints: Option<Hints>,
}

/// What changed, or what waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watched {
    /// Where to ask on from.
    pub place: u64,
    /// Where this is a beginning, or changes in between are gone: the tasks that wait now, and no others.
    pub anew: Option<Vec<TaskId>>,
    /// What changed, in order.
    pub entries: Vec<Entry>,
}

/// What came of a forwarded call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Called {
    /// The server's `result`.
    Result(Fake<RawJson>),
    /// The server's `error` object.
    Error(Fake<RawJson>),
    /// A person must be asked first: the task on disk.
    Waiting(Box<Task>),
}

/// How things stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
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
    /// The daemon's own and shared servers, and those that only sessions run, as idle.
    pub servers: Vec<Health>,
    /// Sessions that are connected: id and project.
    pub sessions: Vec<(SessionId, Principal)>,
    /// The session of its agent's program, for each connected session that says one.
    pub agent_sessions: Vec<(SessionId, AgentSession)>,
    /// The longest that a grant may last, in milliseconds.
    pub grant_most: u64,
    /// Tasks that wait for a person.
    pub pending: u64,
    /// Rules and grants in force.
    pub standing: Standing,
    /// When the approval passphrase was first set, and by which process; none until then.
    pub passphrase: Option<(Timestamp, String)>,
    /// The authenticator that is enrolled.
    pub totp: Option<Authenticator>,
    /// How the bot on Telegram fares.
    #[serde(default)]
    pub telegram: TelegramStatus,
    /// Counters of the audit since the daemon started: calls allowed, asked, refused, failed.
    pub counts: Counts,
    /// How the audit stands; none from an older daemon.
    #[serde(default)]
    pub audit: Option<AuditState>,
}

/// How the audit stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditState {
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
pub struct Authenticator {
    /// Since when it is enrolled.
    pub since: Timestamp,
    /// By which process it was.
    pub by: String,
    /// How many recovery codes are left.
    pub recovery: u32,
}

/// Counters since the daemon started.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Calls that ran.
    pub done: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Calls that a person was asked about.
    pub asked: u64,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// With what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Why a question was not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// For people: what, where and why.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// Kinds of failure that a program acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Another protocol version.
    Version,
    /// The daemon serves another configuration directory.
    Configuration,
    /// The question makes no sense here.
    Invalid,
    /// There is no such task, rule, grant or server, or it is not the asker's.
    NotFound,
    /// Policy, state or limits refuse it.
    Refused,
    /// The passphrase is wrong, missing, or tried too often.
    Challenge,
    /// A server could not be reached; the call had no effect.
    Server,
    /// A server stopped while the call was with it: whether it took effect is unknown.
    Interrupted,
    /// The daemon itself failed: disk, store, audit.
    Internal,
}
