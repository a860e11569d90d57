//! A call that waits for a person: its states, and which may follow which.
//!
//! `pending-approval → approved → executing → completed | failed`, and `denied`, `expired`, `cancelled`,
//! `interrupted`. The store moves tasks only along [`TaskState::can_transition_to`], compare-and-swap.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::anonymize::Fake;
use crate::call::Call;
use crate::clock::Moment;
use crate::names::{AgentSessionId, Principal, SessionId, TaskId, ToolId};
use crate::policy::{Action, CallerIdentity, Decision, Policy, Quorum, Vote, quorum};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// A person has not decided yet.
    PendingApproval,
    /// A person said yes; it has not started.
    Approved,
    /// The call may have reached the server.
    Executing,
    /// The server answered.
    Completed,
    /// The server answered with an error, or could not be reached.
    Failed,
    /// A person, or a deny rule, said no.
    Denied,
    /// Nobody decided in time, or it did not start in time.
    Expired,
    /// The agent took it back.
    Cancelled,
    /// Portero stopped while it ran: whether it took effect is unknown. It is never retried by itself.
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

    /// Whether a task in this state may next be in `next`.
    #[must_use]
    pub const fn can_transition_to(self, next: Self) -> bool {
        match self {
            Self::PendingApproval => {
                matches!(next, Self::Approved | Self::Denied | Self::Expired | Self::Cancelled)
            }
            Self::Approved => {
                matches!(next, Self::Executing | Self::Denied | Self::Expired | Self::Cancelled)
            }
            Self::Executing => matches!(next, Self::Completed | Self::Failed | Self::Interrupted),
            Self::Completed
            | Self::Failed
            | Self::Denied
            | Self::Expired
            | Self::Cancelled
            | Self::Interrupted => false,
        }
    }

    /// Whether nothing can follow.
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

/// A text names no state.
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

/// Who made a task and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOrigin {
    /// On whose behalf.
    pub principal: Principal,
    /// The session that asked.
    pub session: SessionId,
    /// The session of the agent's own program, where it says one. It is not stored with a task: only grants
    /// look at it, and what a person approved runs by no grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<AgentSessionId>,
    /// The MCP client's own name and version, such as `claude-code 2.1.328`, concealed.
    pub client: Fake<String>,
    /// The directory to start servers in.
    pub directory: std::path::PathBuf,
}

impl CallOrigin {
    /// Who asks, as policy sees it.
    #[must_use]
    pub const fn asker(&self) -> CallerIdentity<'_> {
        CallerIdentity {
            principal: &self.principal,
            session: self.session,
            agent_session: self.agent_session.as_ref(),
        }
    }
}

/// A task as stored: concealed throughout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// What is asked.
    pub call: Call,
    /// Why it asks.
    pub decision: Decision,
    /// Who asks.
    pub origin: CallOrigin,
    /// What the approval binds to: see [`crate::task::Task::binding`].
    pub binding: String,
    /// When it was asked.
    pub asked: Timestamp,
    /// When it can no longer be approved, or once approved no longer be started.
    pub expires: Timestamp,
    /// When it came into its present state.
    pub changed: Timestamp,
    /// A person's reason for a denial, or what went wrong, concealed.
    pub note: Option<Fake<String>>,
    /// The JSON-RPC `result` that the server gave, concealed.
    pub result: Option<Fake<Box<RawValue>>>,
    /// The JSON-RPC `error` that the server gave, concealed.
    pub error: Option<Fake<Box<RawValue>>>,
    /// The task that a person asked anew with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<TaskId>,
    /// The last task with which a person asked this one anew. Lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<TaskId>,
    /// Who said yes so far, where it takes several people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// What several people must say before it runs, by the policy in force. It is not stored: whoever shows a task
    /// fills it in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quorums: Vec<Quorum>,
}

/// A task's place in a list, which has the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCursor {
    /// When it was asked.
    pub asked: Timestamp,
    /// Its id, for those of the same moment.
    pub id: TaskId,
}

/// A task that is final, as far as an agent is told of it unasked: no words of a server's, an agent's or a person's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedTask {
    /// Its id.
    pub task: TaskId,
    /// Which tool.
    pub tool: ToolId,
    /// How it ended.
    pub state: TaskState,
}

/// The finished tasks that no agent has asked about yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnseenTasks {
    /// How many there are.
    pub count: u64,
    /// The last of them, the latest first; [`UnseenTasks::MAX_LISTED`] at most.
    pub last: Vec<FinishedTask>,
}

impl UnseenTasks {
    /// How many are named.
    pub const MAX_LISTED: usize = 5;
}

/// A task that a person approved and that its store moved from `approved` to `executing`, for this process
/// alone. Consumed by [`crate::permit::Permitted::from_claimed`].
#[derive(Debug)]
pub struct ClaimedTask {
    call: Call,
    decision: Decision,
}

/// Why an approved task does not run after all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It is in another state.
    #[error("the task is {0}, not approved")]
    WrongState(TaskState),
    /// It came too late.
    #[error("the approval expired before the call started")]
    Expired,
    /// A deny rule or lock made since wins.
    #[error("{0}")]
    Denied(Decision),
    /// Who must approve was changed since, and those who did are not enough.
    #[error("by now it takes {needed}, and of these {approved} approved")]
    QuorumUnmet {
        /// What it takes.
        needed: Quorum,
        /// How many of them approved.
        approved: usize,
    },
}

impl Task {
    /// Where it stands in a list.
    #[must_use]
    pub const fn cursor(&self) -> TaskCursor {
        TaskCursor { asked: self.asked, id: self.id }
    }

    /// Checks everything again just before execution: the state, the expiry, that no deny holds now (guarantee
    /// A5), and that those who approved are enough (guarantee A8). The caller must have moved the task to
    /// [`TaskState::Executing`] in its store, alone and durably, and passes the task as it was read in that same step.
    ///
    /// # Errors
    /// Says why the task does not run.
    pub fn claim(self, policy: &Policy, now: Moment) -> Result<ClaimedTask, ClaimError> {
        if self.state != TaskState::Executing {
            return Err(ClaimError::WrongState(self.state));
        }
        if self.expires <= now.wall {
            return Err(ClaimError::Expired);
        }
        let decision = policy.decide(&self.call.tool, self.call.arguments(), Some(self.origin.asker()), now);
        if decision.action == Action::Deny {
            return Err(ClaimError::Denied(decision));
        }
        let quorums = policy.quorums(&self.call.tool);
        if let Some(unmet) = quorums.into_iter().find(|quorum| !quorum.is_met(&self.votes)) {
            let approved = unmet.approval_count(&self.votes);
            return Err(ClaimError::QuorumUnmet { needed: unmet.clone(), approved });
        }
        Ok(ClaimedTask { call: self.call, decision: self.decision })
    }

    /// How far it has come where it takes several people, such as `1 of 2 approvals: telegram user 11`; nothing where
    /// one is enough.
    #[must_use]
    pub fn quorum_progress(&self) -> Option<String> {
        quorum::describe_progress(&self.quorums, &self.votes)
    }
}

impl ClaimedTask {
    pub(crate) fn into_parts(self) -> (Call, Decision) {
        (self.call, self.decision)
    }
}
