//! A call that waits for a person: its states, and the transitions between them.
//!
//! `pending-approval → approved → executing → completed | failed`, and `denied`, `expired`, `cancelled`,
//! `interrupted`. The store moves tasks only along [`TaskState::can_transition_to`], by compare-and-swap.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::anonymize::Fake;
use crate::call::Call;
use crate::clock::Moment;
use crate::names::{AgentSessionId, ChildGeneration, Principal, SessionId, TaskId, ToolId};
use crate::policy::{Action, CallerIdentity, Decision, Policy, Quorum, Vote, quorum};

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// No decision so far.
    PendingApproval,
    /// A person approved it, and it hasn't started.
    Approved,
    /// The call may have reached the server.
    Executing,
    /// The server answered.
    Completed,
    /// The server answered with an error, or couldn't be reached.
    Failed,
    /// A person or a deny rule denied it.
    Denied,
    /// No decision came in time, or it didn't start in time.
    Expired,
    /// The agent cancelled it.
    Cancelled,
    /// Portero stopped while it ran, so its effect is unknown. It is never retried automatically.
    Interrupted,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::PendingApproval,
        Self::Approved,
        Self::Executing,
        Self::Completed,
        Self::Failed,
        Self::Denied,
        Self::Expired,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// Whether `next` may follow this state.
    #[must_use]
    pub const fn can_transition_to(self, next: Self) -> bool {
        match self {
            Self::PendingApproval => {
                matches!(next, Self::Approved | Self::Denied | Self::Expired | Self::Cancelled)
            }
            Self::Approved => {
                // An approved task can still be denied, so that a rejection or deny rule wins until the call
                // starts.
                matches!(next, Self::Executing | Self::Denied | Self::Expired | Self::Cancelled)
            }
            // From here on the server may have seen the call, so it can't be denied or cancelled any more.
            Self::Executing => matches!(next, Self::Completed | Self::Failed | Self::Interrupted),
            Self::Completed
            | Self::Failed
            | Self::Denied
            | Self::Expired
            | Self::Cancelled
            | Self::Interrupted => false,
        }
    }

    /// Whether no state can follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::PendingApproval | Self::Approved | Self::Executing)
    }

    /// The state's name, as stored, shown and typed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingApproval => "pending-approval",
            Self::Approved => "approved",
            Self::Executing => "executing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a task state; the states are pending-approval, approved, executing, completed, failed, denied, \
     expired, cancelled and interrupted"
)]
pub struct UnknownTaskState;

impl FromStr for TaskState {
    type Err = UnknownTaskState;

    fn from_str(text: &str) -> Result<Self, UnknownTaskState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownTaskState)
    }
}

/// The origin of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOrigin {
    /// The project.
    pub principal: Principal,
    /// The session that asked.
    pub session: SessionId,
    /// The session id of the agent's own program, if it names one. It isn't stored with a task: only grants
    /// look at it, and an approved call runs by no grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<AgentSessionId>,
    /// The MCP client's own name and version, such as `claude-code 2.1.328`, concealed.
    pub client: Fake<String>,
    /// The directory to start servers in.
    pub directory: std::path::PathBuf,
}

impl CallOrigin {
    /// The caller, as policy sees it.
    #[must_use]
    pub const fn asker(&self) -> CallerIdentity<'_> {
        CallerIdentity {
            principal: &self.principal,
            session: self.session,
            agent_session: self.agent_session.as_ref(),
        }
    }

    /// The text of `client` for an agent over HTTPS. The address comes first, so that a client's name can't claim another.
    #[must_use]
    pub fn describe_remote_client(address: IpAddr, client: &str) -> String {
        format!("{address}{ADDRESS_END}{client}")
    }

    /// The client's own name and version, without an address.
    #[must_use]
    pub fn client_name(&self) -> &str {
        let client = self.client.get().as_str();
        match self.principal.remote_name() {
            Some(_) => client.split_once(ADDRESS_END).map_or(client, |(_, name)| name),
            None => client,
        }
    }

    /// The address that an agent over HTTPS asks from; none for one on this machine.
    #[must_use]
    pub fn remote_address(&self) -> Option<IpAddr> {
        self.principal.remote_name()?;
        self.client.get().split_once(ADDRESS_END)?.0.parse().ok()
    }
}

/// What comes between the address and the name of a client over HTTPS.
const ADDRESS_END: &str = ", ";

/// The process of a session's server in which an approved call is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionChild {
    /// [`SessionKey::holder`](crate::session_key::SessionKey::holder) of the session that has it.
    pub holder: String,
    /// What that session said of it.
    #[serde(flatten)]
    pub ground: ChildGround,
}

impl std::ops::Deref for SessionChild {
    type Target = ChildGround;

    fn deref(&self) -> &ChildGround {
        &self.ground
    }
}

/// What a call relies on in the process of a session's server, as that session says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildGround {
    /// Which process it is.
    pub generation: ChildGeneration,
    /// The digest of the tool's definition there; none for what is not a tool.
    pub definition: Option<String>,
    /// The binding of the call there, under the session's own key.
    pub binding: String,
}

/// Why an approved call can't run in the process that its session uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum ChildLoss {
    /// The session is not connected.
    #[error("the session that asked has ended")]
    SessionEnded,
    /// The process is another one.
    #[error("its server was restarted since")]
    ServerRestarted,
}

/// A stored task, concealed throughout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// The call.
    pub call: Call,
    /// The decision that asked.
    pub decision: Decision,
    /// Its origin.
    pub origin: CallOrigin,
    /// The digest of all that the approval binds to.
    pub binding: String,
    /// When it was opened.
    pub asked: Timestamp,
    /// The last moment to approve it or, once approved, to start it.
    pub expires: Timestamp,
    /// When it entered its present state.
    pub changed: Timestamp,
    /// A person's reason for a denial, or the failure, concealed.
    pub note: Option<Fake<String>>,
    /// The server's JSON-RPC `result`, concealed.
    pub result: Option<Fake<Box<RawValue>>>,
    /// The server's JSON-RPC `error`, concealed.
    pub error: Option<Fake<Box<RawValue>>>,
    /// The earlier task that a person requested again by this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<TaskId>,
    /// The latest task by which a person requested this one again. Lists leave this one out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<TaskId>,
    /// The process in which it is to run; none where the daemon runs its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<SessionChild>,
    /// Whether a person agreed that it runs in another process than that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// The approvals so far, if it needs several people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// The quorums that it needs by the present policy. They aren't stored; a caller that shows the task fills
    /// them in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quorums: Vec<Quorum>,
}

/// A task's position in a list, which has the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCursor {
    /// When it was opened.
    pub asked: Timestamp,
    /// Its id, for tasks of the same moment.
    pub id: TaskId,
}

/// A final task as agents hear of it unasked: without any text of a server, agent or person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedTask {
    /// Its id.
    pub task: TaskId,
    /// The tool.
    pub tool: ToolId,
    /// Its final state.
    pub state: TaskState,
}

/// The finished tasks that no agent has fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnseenTasks {
    /// How many there are.
    pub count: u64,
    /// The latest of them, newest first, at most [`UnseenTasks::MAX_LISTED`].
    pub last: Vec<FinishedTask>,
}

impl UnseenTasks {
    /// How many are listed.
    pub const MAX_LISTED: usize = 5;
}

/// An approved task that the store moved to `executing` for this process alone.
/// [`crate::permit::Permitted::from_claimed`] consumes it.
#[derive(Debug)]
pub struct ClaimedTask {
    id: TaskId,
    call: Call,
    decision: Decision,
}

/// Why an approved task doesn't run after all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It is in another state.
    #[error("the task is {0}, not approved")]
    WrongState(TaskState),
    /// It expired.
    #[error("the approval expired before the call started")]
    Expired,
    /// A deny rule or lock that was made since wins.
    #[error("{0}")]
    Denied(Decision),
    /// The quorum was changed since, and the approvals no longer meet it.
    #[error("by now it takes {needed}, and of these {approved} approved")]
    QuorumUnmet {
        /// The quorum.
        needed: Quorum,
        /// How many of its people approved.
        approved: usize,
    },
}

impl Task {
    /// Its position in a list.
    #[must_use]
    pub const fn cursor(&self) -> TaskCursor {
        TaskCursor { asked: self.asked, id: self.id }
    }

    /// Checks everything again right before execution: state, expiry, denies (guarantee A5) and quorums
    /// (guarantee A8). The caller must have moved the task to [`TaskState::Executing`] in the store, alone and
    /// durably, and must pass the task as read in that same step.
    ///
    /// # Errors
    /// Why the task doesn't run.
    pub fn claim(self, policy: &Policy, now: Moment) -> Result<ClaimedTask, ClaimError> {
        if self.state != TaskState::Executing {
            return Err(ClaimError::WrongState(self.state));
        }
        if self.expires <= now.wall {
            return Err(ClaimError::Expired);
        }
        // Only a deny counts here. The approval has answered the question, and asking again would go on for
        // ever.
        let decision = self.decide_approved(policy, now);
        if decision.action == Action::Deny {
            return Err(ClaimError::Denied(decision));
        }
        let quorums = policy.quorums(&self.call.tool);
        if let Some(unmet) = quorums.into_iter().find(|quorum| !quorum.is_met(&self.votes)) {
            let approved = unmet.approval_count(&self.votes);
            return Err(ClaimError::QuorumUnmet { needed: unmet.clone(), approved });
        }
        // With the decision that asked, which the audit records as the reason, whatever policy says by now.
        Ok(ClaimedTask { id: self.id, call: self.call, decision: self.decision })
    }

    /// Policy's decision on this approved call. A denial of the same call counts if it is later than the
    /// approval, which is the task's last change.
    #[must_use]
    pub fn decide_approved(&self, policy: &Policy, now: Moment) -> Decision {
        policy.decide_call(self.call.identity(), self.origin.asker(), now, Some(self.changed))
    }

    /// The progress if several people must approve, such as `1 of 2 approvals: telegram user 11`. `None` if
    /// one is enough.
    #[must_use]
    pub fn quorum_progress(&self) -> Option<String> {
        quorum::describe_progress(&self.quorums, &self.votes)
    }
}

impl ClaimedTask {
    pub(crate) fn into_parts(self) -> (TaskId, Call, Decision) {
        (self.id, self.call, self.decision)
    }
}
