//! Tasks as people see them, and people's decisions about them.

use serde::{Deserialize, Serialize};

use crate::anonymize::Fake;
use crate::approval_scope::{ApprovalScope, ChoosableField, ScopeChange};
use crate::catalog::ToolHints;
use crate::ipc::requests::definitions::TaskDefinition;
use crate::ipc::{Act, Challenge, DaemonFailure, DisclosedSecret, FailureKind, Request, Response};
use crate::names::{TaskId, ToolId};
use crate::notice::NoticeEntry;
use crate::policy::{Action, Grant, PolicyRule};
use crate::task::{ChildLoss, Task, TaskCursor, TaskState};

impl Response for Task {
    fn describe_lost(&self) -> (FailureKind, String) {
        let told = format!("task {} is {}, but it could not be passed on whole", self.id, self.state);
        (FailureKind::Internal, told)
    }
}

impl Response for TaskId {}

/// List all tasks, the newest first. The response may hold fewer than requested, because long calls would not
/// fit. Only an empty response means that no more follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListTasks {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// Only those after this position.
    #[serde(default)]
    pub after: Option<TaskCursor>,
    /// The most tasks to return.
    pub limit: u32,
}

impl Request for ListTasks {
    const METHOD: &'static str = "tasks/list";
    type Response = Vec<Task>;
}

/// Find the tasks whose id begins or ends like this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindTasks {
    /// The beginning or end.
    pub part: String,
    /// Only those in this state.
    pub state: Option<TaskState>,
}

impl Request for FindTasks {
    const METHOD: &'static str = "tasks/find";
    type Response = Vec<TaskId>;
}

/// Get one task as a whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetTask {
    /// The task.
    pub task: TaskId,
}

impl Request for GetTask {
    const METHOD: &'static str = "tasks/get";
    type Response = Box<Task>;
}

/// Reveal the real values of a task, only for the terminal device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevealTask {
    /// The task.
    pub task: TaskId,
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for RevealTask {
    const METHOD: &'static str = "tasks/reveal";
    type Response = Box<RealTask>;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

/// What a task's server gets and what it answered, as JSON texts with the real values that this server may
/// see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RealTask {
    /// The call's `params`.
    pub params: DisclosedSecret,
    /// Its `_meta`, if it has one.
    pub meta: Option<DisclosedSecret>,
    /// The result, if there is one.
    pub result: Option<DisclosedSecret>,
    /// The error, if there is one.
    pub error: Option<DisclosedSecret>,
}

impl Response for RealTask {}

/// Get one task as a person decides on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InspectTask {
    /// The task.
    pub task: TaskId,
}

impl Request for InspectTask {
    const METHOD: &'static str = "tasks/inspect";
    type Response = Box<InspectedTask>;
}

/// A task as a person decides on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InspectedTask {
    /// The whole task.
    pub task: Task,
    /// The server's own annotations of its tool; none if the daemon hasn't seen the tool.
    pub hints: Option<ToolHints>,
    /// Why a yes would not let it run in the process that its session uses; none where it would, or where it need not.
    #[serde(default)]
    pub loss: Option<ChildLoss>,
    /// Why a yes would not let it run at all, concealed; none if nothing is known against it. The server isn't asked
    /// for this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<Fake<String>>,
    /// What a person must see of its definition; none unless it waits because of that alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<TaskDefinition>,
}

impl Response for InspectedTask {}

/// Wait for changes after a place and return them. Without a place, return what waits now. Repeated calls see
/// every change. Nothing is queued for a client that rarely asks; it has to start over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WatchTasks {
    /// The [`TaskChanges::place`] of the last response.
    pub after: Option<u64>,
}

impl Request for WatchTasks {
    const METHOD: &'static str = "tasks/watch";
    type Response = TaskChanges;
}

/// Changes, or the waiting tasks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskChanges {
    /// The place for the next request.
    pub place: u64,
    /// The tasks that wait now, if this is the first response or if changes in between are gone.
    pub anew: Option<Vec<TaskId>>,
    /// The changes in order.
    pub entries: Vec<NoticeEntry>,
}

impl Response for TaskChanges {}

/// Check whether an approval would make this task's call run, before the person types anything. If it
/// wouldn't, a refusal of the kind [`FailureKind::Void`] gives the reason.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckApproval {
    /// The task.
    pub task: TaskId,
    /// Whether the person agrees that it runs in another process than the one that its session uses.
    #[serde(default)]
    pub fresh: bool,
}

impl Request for CheckApproval {
    const METHOD: &'static str = "approvals/check";
    type Response = Box<Task>;
}

/// Approve a task. Widens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApproveTask {
    /// The task.
    pub task: TaskId,
    /// Whether the person agrees that it runs in another process than the one that its session uses.
    #[serde(default)]
    pub fresh: bool,
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for ApproveTask {
    const METHOD: &'static str = "approvals/approve";
    type Response = Box<Task>;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

/// List what a person can permit with the approval of a waiting task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListScopes {
    /// The task.
    pub task: TaskId,
}

impl Request for ListScopes {
    const METHOD: &'static str = "approvals/scopes";
    type Response = TaskScopes;
}

/// What a person can permit with the approval of a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskScopes {
    /// The scopes to offer, the narrowest first. Other times and fields are possible too.
    pub scopes: Vec<OfferedScope>,
    /// The arguments that can be fixed, the useful ones first.
    pub fields: Vec<ChoosableField>,
}

impl Response for TaskScopes {}

/// A scope that fits a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OfferedScope {
    /// The scope.
    pub scope: ApprovalScope,
    /// The grant or allowing rule that it means; none for the call alone.
    pub permit: Option<ScopeChange>,
    /// One sentence that says what it lets run and for how long, with concealed values.
    pub words: String,
}

/// Get what one scope means for a waiting task, and what it would newly allow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewScope {
    /// The task.
    pub task: TaskId,
    /// The scope.
    pub scope: ApprovalScope,
}

impl Request for PreviewScope {
    const METHOD: &'static str = "approvals/preview-scope";
    type Response = ScopePreview;
}

/// A scope with its effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScopePreview {
    /// The scope with its meaning.
    pub offer: OfferedScope,
    /// The tools that it would loosen, denied ones first, each with its present action.
    pub tools: Vec<(ToolId, Action)>,
    /// The other waiting tasks whose calls it covers, the oldest first.
    pub waiting: Vec<TaskId>,
}

impl Response for ScopePreview {}

/// Approve a task, and make a grant or an allowing rule, with one confirmation. Widens. The call is approved first;
/// if that fails, nothing is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApproveWith {
    /// The task.
    pub task: TaskId,
    /// Whether the person agrees that it runs in another process than the one that its session uses.
    #[serde(default)]
    pub fresh: bool,
    /// The grant or allowing rule that the person was shown ([`OfferedScope::permit`]).
    pub permit: ScopeChange,
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for ApproveWith {
    const METHOD: &'static str = "approvals/approve-with";
    type Response = ApprovedWith;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

impl ApproveWith {
    /// The act that a person confirms.
    #[must_use]
    pub fn act(&self) -> Act {
        Act::ApproveWith(self.task, self.fresh, Box::new(self.permit.clone()))
    }
}

/// An approved task, and what was made with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApprovedWith {
    /// The approved task.
    pub task: Box<Task>,
    /// The grant or rule.
    pub permitted: PermitResult,
}

/// What became of the grant or rule of an approval.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PermitResult {
    /// The grant was made.
    Granted(Grant),
    /// The rule was made.
    RuleMade(PolicyRule),
    /// The call is approved, and nothing else was made.
    Failed(DaemonFailure),
}

impl Response for ApprovedWith {
    fn describe_lost(&self) -> (FailureKind, String) {
        self.task.describe_lost()
    }
}

/// Reject a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RejectTask {
    /// The task.
    pub task: TaskId,
    /// The reason for the agent.
    pub reason: Option<String>,
    /// Whether the same call may ask again at once.
    #[serde(default)]
    pub for_now: bool,
}

impl Request for RejectTask {
    const METHOD: &'static str = "approvals/reject";
    type Response = Box<Task>;
}

/// Ask again for an ended task's call, as a new task that waits like any other. If a person denied the same
/// call recently and no factor is given, the request is refused with [`FailureKind::Challenge`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskAgain {
    /// The ended task.
    pub task: TaskId,
    /// The second factor, if it is needed.
    #[serde(default)]
    pub challenge: Option<Challenge>,
}

impl Request for AskAgain {
    const METHOD: &'static str = "approvals/ask-again";
    type Response = Box<Task>;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        self.challenge.as_mut()
    }
}
