//! Tasks as a person sees them, and what a person decides about them.

use serde::{Deserialize, Serialize};

use crate::catalog::ToolHints;
use crate::ipc::{Challenge, DisclosedSecret, FailureKind, Request, Response};
use crate::names::TaskId;
use crate::notice::NoticeEntry;
use crate::task::{Task, TaskCursor, TaskState};

impl Response for Task {
    fn describe_lost(&self) -> (FailureKind, String) {
        let told = format!("task {} is {}, but it could not be passed on whole", self.id, self.state);
        (FailureKind::Internal, told)
    }
}

impl Response for TaskId {}

/// All tasks, the newest first. The response holds fewer than are asked for where their calls are so long that more
/// would not fit into one: only an empty one says that none follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListTasks {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// Only those that come after this place.
    #[serde(default)]
    pub after: Option<TaskCursor>,
    /// At most so many.
    pub limit: u32,
}

impl Request for ListTasks {
    const METHOD: &'static str = "tasks/list";
    type Response = Vec<Task>;
}

/// Which tasks have an id that begins or ends so.
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

/// One task, whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetTask {
    /// The task.
    pub task: TaskId,
}

impl Request for GetTask {
    const METHOD: &'static str = "tasks/get";
    type Response = Box<Task>;
}

/// The real values of a task, for the terminal device and nothing else.
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

/// What a task's server gets and what it answered, as JSON texts with the values that this server may see.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RealTask {
    /// The call's `params`.
    pub params: DisclosedSecret,
    /// Its `_meta`, where it has one.
    pub meta: Option<DisclosedSecret>,
    /// The result, where there is one.
    pub result: Option<DisclosedSecret>,
    /// The error, where there is one.
    pub error: Option<DisclosedSecret>,
}

impl Response for RealTask {}

/// One task as a person decides on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InspectTask {
    /// The task.
    pub task: TaskId,
}

impl Request for InspectTask {
    const METHOD: &'static str = "tasks/inspect";
    type Response = Box<Look>;
}

/// A task as a person decides on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Look {
    /// The task, whole.
    pub task: Task,
    /// The server's word on its tool; none where the daemon has not seen the tool.
    pub hints: Option<ToolHints>,
}

impl Response for Look {}

/// What changed after a place, once something did; without one, what waits now. Asked again and again it tells every
/// change. Nothing is queued for a client that asks seldom: it is told to begin anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WatchTasks {
    /// [`Watched::place`] of the last response.
    pub after: Option<u64>,
}

impl Request for WatchTasks {
    const METHOD: &'static str = "tasks/watch";
    type Response = Watched;
}

/// What changed, or what waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watched {
    /// Where to ask on from.
    pub place: u64,
    /// Where this is a beginning, or changes in between are gone: the tasks that wait now, and no others.
    pub anew: Option<Vec<TaskId>>,
    /// What changed, in order.
    pub entries: Vec<NoticeEntry>,
}

impl Response for Watched {}

/// Whether a yes would make this task's call run, asked before a person types anything. A refusal of the kind
/// [`FailureKind::Void`] says the cause where it would not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckApproval {
    /// The task.
    pub task: TaskId,
}

impl Request for CheckApproval {
    const METHOD: &'static str = "approvals/check";
    type Response = Box<Task>;
}

/// Yes, run it. Widens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApproveTask {
    /// The task.
    pub task: TaskId,
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

/// No.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RejectTask {
    /// The task.
    pub task: TaskId,
    /// What the agent is told.
    pub reason: Option<String>,
    /// Whether the same call may ask again at once.
    #[serde(default)]
    pub for_now: bool,
}

impl Request for RejectTask {
    const METHOD: &'static str = "approvals/reject";
    type Response = Box<Task>;
}

/// Ask anew what this task asked, which has ended: a new task that waits as any other. A refusal of the kind
/// [`FailureKind::Challenge`] where a person said no to the same call a moment ago and nothing shows that they want
/// this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskAgain {
    /// The task that has ended.
    pub task: TaskId,
    /// The second factor, where that is so.
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
