//! What is asked on the socket.

use serde::{Deserialize, Serialize};

use super::challenge::Challenge;
use crate::anonymize::Fake;
use crate::audit::Head;
use crate::call::Call;
use crate::identity::Transcript;
use crate::json::RawJson;
use crate::names::{ServerName, TaskId, ToolId};
use crate::pattern::Pattern;
use crate::policy::{Action, Limits};
use crate::server::LogLevel;
use crate::task::{Place, State};

/// Which rules or grants an act is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acting {
    /// These ids.
    On(Vec<u64>),
    /// All.
    All,
}

/// What would be done with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaching {
    /// A rule allows it.
    Allow,
    /// A grant permits it, to everyone.
    Grant,
    /// This rule, whose pattern it is, ends.
    Unrule(u64),
}

/// A question to the daemon. Those of a session come first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Tell me rules and grants, now and whenever they change. Answer: [`super::Reply::Standing`].
    Subscribe,
    /// This call needs a person. Answer: [`super::Reply::Task`] once the task is on disk, or a refusal when the
    /// daemon's own decision is to deny.
    Submit {
        /// The concealed call.
        call: Call,
        /// The client's name and version.
        client: Fake<String>,
    },
    /// Make this call on a shared server, through the daemon's own pipeline. Answer: [`super::Reply::Called`].
    Forward {
        /// The concealed call.
        call: Call,
        /// The client's name and version.
        client: Fake<String>,
        /// Whether progress is wanted.
        progress: bool,
        /// From which level on the client wants log messages while the call runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log_level: Option<LogLevel>,
    },
    /// My client wants log messages of the shared servers from this level on, also where it calls none. Answer:
    /// [`super::Reply::Changed`].
    LogLevel {
        /// The least grave level that is wanted.
        level: LogLevel,
    },
    /// Consume one use of a grant for this call, which is about to be made. Answer: [`super::Reply::Grant`] once that is
    /// on disk; a refusal where the daemon's own decision is not that the call runs by a use of this grant.
    Consume {
        /// The grant's id.
        grant: u64,
        /// The concealed call.
        call: Call,
    },
    /// What a shared server offers. Answer: [`super::Reply::Listing`], the server's own words, still real.
    Listing {
        /// The server.
        server: ServerName,
    },
    /// One task of this session's principal. Waits up to `wait_millis` for a final state. Answer:
    /// [`super::Reply::Task`].
    CheckTask {
        /// The task.
        task: TaskId,
        /// How long to wait for a final state, in milliseconds.
        wait_millis: u64,
    },
    /// This principal's tasks, the newest first. Answer: [`super::Reply::Tasks`].
    ListTasks {
        /// Only those in this state.
        state: Option<State>,
        /// At most so many.
        limit: u32,
    },
    /// Which tasks of this principal are final and no agent has asked about yet. Answer: [`super::Reply::News`].
    News,
    /// The agent takes a task back. Answer: [`super::Reply::Task`].
    CancelTask {
        /// The task.
        task: TaskId,
    },
    /// How far this session's segment of the audit has come. Answer: [`super::Reply::Changed`].
    Head(Box<Head>),

    /// A person asks how things stand. Answer: [`super::Reply::Status`].
    Status,
    /// All tasks, the newest first. Answer: [`super::Reply::Tasks`], with fewer than are asked for where their calls
    /// are so long that more would not fit into one answer: only an empty one says that none follow.
    Tasks {
        /// Only those in this state.
        state: Option<State>,
        /// Only those that come after this place.
        #[serde(default)]
        after: Option<Place>,
        /// At most so many.
        limit: u32,
    },
    /// Which tasks have an id that begins or ends so. Answer: [`super::Reply::Found`].
    Find {
        /// The beginning or end.
        part: String,
        /// Only those in this state.
        state: Option<State>,
    },
    /// One task, whole. Answer: [`super::Reply::Task`].
    Task {
        /// The task.
        task: TaskId,
    },
    /// The real values of a task, for the terminal device and nothing else. Answer: [`super::Reply::RealTask`].
    RealTask {
        /// The task.
        task: TaskId,
        /// The second factor.
        challenge: Challenge,
    },
    /// One task as a person decides on it, with what its tool says of itself. Answer: [`super::Reply::Look`].
    Look {
        /// The task.
        task: TaskId,
    },
    /// What changed after a place, once something did; without one, what waits now. Asked again and again it
    /// tells every change, and nothing is queued for one that asks seldom: it is told to begin anew. Answer:
    /// [`super::Reply::Watched`].
    Watch {
        /// [`super::Watched::place`] of the last answer.
        after: Option<u64>,
    },
    /// Whether a yes would make this task's call run, asked before a person types anything. Answer:
    /// [`super::Reply::Task`]; a refusal of the kind [`super::FailureKind::Void`] with the cause where it would not.
    Approvable {
        /// The task.
        task: TaskId,
    },
    /// Yes, run it. Widens. Answer: [`super::Reply::Task`].
    Approve {
        /// The task.
        task: TaskId,
        /// The second factor.
        challenge: Challenge,
    },
    /// No. Answer: [`super::Reply::Task`].
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
    /// [`super::Reply::Task`]; a refusal of the kind [`super::FailureKind::Challenge`] where a person said no to the
    /// same call a moment ago and nothing shows that they want this.
    Again {
        /// The task that has ended.
        task: TaskId,
        /// The second factor, where that is so.
        #[serde(default)]
        challenge: Option<Challenge>,
    },
    /// Permit for a while. Widens. Answer: [`super::Reply::Grant`].
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
    /// End grants. Answer: [`super::Reply::Changed`].
    Revoke(Acting),
    /// A persistent rule. An allow widens and needs the challenge; a deny, and one that asks, do not. Answer:
    /// [`super::Reply::Rule`].
    Rule {
        /// What.
        pattern: Pattern,
        /// What it says.
        action: Action,
        /// The second factor, for an allow.
        challenge: Option<Challenge>,
    },
    /// Remove a persistent rule. Removing anything but an allow widens. Answer: [`super::Reply::Changed`].
    Unrule {
        /// The rule's id.
        id: u64,
        /// The second factor, for anything but an allow.
        challenge: Option<Challenge>,
    },
    /// Stop everything: every decision is a deny until [`Ask::Resume`]. Answer: [`super::Reply::Standing`].
    Pause,
    /// End a pause. Widens. Answer: [`super::Reply::Changed`]: 0 where nothing was paused.
    Resume {
        /// The second factor.
        challenge: Challenge,
    },
    /// Rules and grants in force. Answer: [`super::Reply::Standing`].
    Rules,
    /// What is in force and not saved yet. Answer: [`super::Reply::Unsaved`].
    Unsaved,
    /// Why this tool is decided as it is. Answer: [`super::Reply::Why`].
    Why {
        /// The tool.
        tool: ToolId,
        /// A call's arguments, for rules that look at them. The daemon conceals them first, as it would a call's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<RawJson>,
    },
    /// What would change for the tools that a pattern covers, denied ones first. Answer:
    /// [`super::Reply::Reach`].
    Reach {
        /// The pattern.
        pattern: Pattern,
        /// By what.
        by: Reaching,
    },
    /// How the configuration differs from what a person confirmed. Answer: [`super::Reply::Config`].
    Config,
    /// Yes, put the files in force as they stand. Widens. Answer: [`super::Reply::Changed`].
    ConfirmConfig {
        /// [`super::Waiting::shown`] of what the person was shown; anything else is refused.
        shown: String,
        /// The second factor.
        challenge: Challenge,
    },
    /// Set the approval passphrase, or change it with the old one. Answer: [`super::Reply::Changed`].
    SetPassphrase {
        /// The present one, when there is one.
        old: Option<Challenge>,
        /// The new one.
        new: Challenge,
    },
    /// How the passphrase is to be derived. Answer: [`super::Reply::Salted`].
    PassphraseSalt,
    /// Offer a new secret for an authenticator, to whoever knows the passphrase. Answer:
    /// [`super::Reply::TotpSecret`].
    OfferTotp {
        /// The passphrase.
        challenge: Challenge,
    },
    /// Enrol the authenticator that has the secret which was offered. Answer: [`super::Reply::RecoveryCodes`].
    EnrollTotp {
        /// The passphrase, and a first code.
        challenge: Challenge,
    },
    /// Remove the authenticator. Answer: [`super::Reply::Changed`].
    RemoveTotp {
        /// The passphrase, and a code.
        challenge: Challenge,
    },
    /// A code with which a person is paired on Telegram. It makes a door that widens: where a passphrase is set
    /// it needs the challenge. Answer: [`super::Reply::PairingCode`].
    TelegramPair {
        /// The second factor, where one is set.
        challenge: Option<Challenge>,
    },
    /// Listen to nobody on Telegram any more. Another person can be paired then, so it widens. Answer:
    /// [`super::Reply::Changed`].
    TelegramUnpair {
        /// The second factor.
        challenge: Challenge,
    },
    /// How far every segment of the audit is known to have come. Answer: [`super::Reply::Heads`].
    Heads,
    /// End the daemon. Answer: [`super::Reply::Changed`], then the connection closes.
    Stop,
}

impl Ask {
    /// With what it is confirmed, where it is such a question.
    pub(super) fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        match self {
            Self::RealTask { challenge, .. }
            | Self::Approve { challenge, .. }
            | Self::Grant { challenge, .. }
            | Self::Resume { challenge }
            | Self::ConfirmConfig { challenge, .. }
            | Self::OfferTotp { challenge }
            | Self::EnrollTotp { challenge }
            | Self::RemoveTotp { challenge }
            | Self::TelegramUnpair { challenge } => Some(challenge),
            Self::Again { challenge, .. }
            | Self::Rule { challenge, .. }
            | Self::Unrule { challenge, .. }
            | Self::TelegramPair { challenge }
            | Self::SetPassphrase { old: challenge, .. } => challenge.as_mut(),
            Self::Subscribe
            | Self::Submit { .. }
            | Self::Forward { .. }
            | Self::LogLevel { .. }
            | Self::Consume { .. }
            | Self::Listing { .. }
            | Self::CheckTask { .. }
            | Self::ListTasks { .. }
            | Self::News
            | Self::CancelTask { .. }
            | Self::Head(_)
            | Self::Status
            | Self::Tasks { .. }
            | Self::Find { .. }
            | Self::Task { .. }
            | Self::Look { .. }
            | Self::Approvable { .. }
            | Self::Unsaved
            | Self::Watch { .. }
            | Self::Reject { .. }
            | Self::Revoke(_)
            | Self::Pause
            | Self::Rules
            | Self::Why { .. }
            | Self::Reach { .. }
            | Self::Config
            | Self::PassphraseSalt
            | Self::Heads
            | Self::Stop => None,
        }
    }

    /// Whether what is sealed under the passphrase must be opened for it.
    pub(super) fn opens_authenticator(&mut self) -> bool {
        let sets = matches!(self, Self::SetPassphrase { .. });
        sets || self.challenge_mut().is_some_and(|challenge| challenge.code.is_some())
    }

    /// What a proof is made over: the whole question but for the proof, on this connection.
    pub(super) fn act(&self, transcript: &Transcript) -> Result<[u8; 32], serde_json::Error> {
        let mut plain = self.clone();
        if let Some(challenge) = plain.challenge_mut() {
            challenge.forget_proof();
        }
        Ok(transcript.with_act(&serde_json::to_vec(&plain)?))
    }

    /// Notes for which act its proof must be made. What cannot be said in JSON was not asked.
    pub fn bind(&mut self, transcript: &Transcript) {
        if let Ok(act) = self.act(transcript)
            && let Some(challenge) = self.challenge_mut()
        {
            challenge.bind(act);
        }
    }
}
