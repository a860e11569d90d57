//! The requests of an agent's session: its calls and its own tasks.

use serde::{Deserialize, Serialize};

use crate::anonymize::Fake;
use crate::audit::SegmentCheckpoint;
use crate::call::Call;
use crate::ipc::{FailureKind, Request, Response};
use crate::json::RawJson;
use crate::names::{ServerName, TaskId};
use crate::pipeline::JoinedCall;
use crate::policy::{Grant, Overrides};
use crate::server::LogLevel;
use crate::task::{ChildGround, Task, TaskState, UnseenTasks};

/// Get rules and grants, now and after each change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubscribeOverrides;

impl Request for SubscribeOverrides {
    const METHOD: &'static str = "overrides/subscribe";
    type Response = Overrides;
}

/// Submit a call that needs a person. The response is the task, once it is on disk. Refused if the daemon's
/// own decision is a deny.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmitCall {
    /// The concealed call.
    pub call: Call,
    /// The client's name and version.
    pub client: Fake<String>,
    /// What the call relies on in this session's process of the server; none where the daemon runs the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<ChildGround>,
}

impl Request for SubmitCall {
    const METHOD: &'static str = "calls/submit";
    type Response = Box<Task>;
}

/// What would come of [`SubmitCall`] now; no task is opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewCall {
    /// The concealed call.
    pub call: Call,
    /// The client's name and version.
    pub client: Fake<String>,
    /// As in [`SubmitCall::child`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<ChildGround>,
}

impl Request for PreviewCall {
    const METHOD: &'static str = "calls/preview";
    type Response = CallPreview;
}

/// A person would be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallPreview {
    /// The identical call that waits already.
    pub waiting: Option<TaskId>,
}

impl Response for CallPreview {}

/// A call that this session's policy allows is identical to one that waits. If the daemon's own policy allows it too,
/// the waiting task runs for both.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinCall {
    /// The task that waits, as far as the session knows.
    pub task: TaskId,
    /// The concealed call.
    pub call: Call,
    /// The client's name and version.
    pub client: Fake<String>,
    /// As in [`SubmitCall::child`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<ChildGround>,
}

impl Request for JoinCall {
    const METHOD: &'static str = "calls/join";
    type Response = JoinedCall;
}

impl Response for JoinedCall {
    // The session must not make the call itself then.
    fn describe_lost(&self) -> (FailureKind, String) {
        match self {
            Self::Runs(task) | Self::Waits(task) => task.describe_lost(),
            Self::Ended => (FailureKind::Internal, "no identical call waits any more".to_owned()),
        }
    }
}

/// Run this call on a shared server, through the daemon's own pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForwardCall {
    /// The concealed call.
    pub call: Call,
    /// The client's name and version.
    pub client: Fake<String>,
    /// Whether progress is wanted.
    pub progress: bool,
    /// The lowest level of log messages that the client wants during the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
}

impl Request for ForwardCall {
    const METHOD: &'static str = "calls/forward";
    type Response = ForwardedCall;
}

/// Set the lowest level of log messages of shared servers that the client wants, also if it calls none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetLogLevel {
    /// The lowest level.
    pub level: LogLevel,
}

impl Request for SetLogLevel {
    const METHOD: &'static str = "servers/log-level";
    type Response = ();
}

/// The outcome of a forwarded call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedCall {
    /// The server's `result`.
    Result(Fake<RawJson>),
    /// The server's `error` object.
    Error(Fake<RawJson>),
    /// A person must be asked first; with the task on disk.
    Waiting(Box<Task>),
    /// The identical call that waited for a person runs, and its outcome is this call's.
    Joined(Box<Task>),
}

impl Response for ForwardedCall {
    // The session must learn that the call ran, even if the answer is lost.
    fn describe_lost(&self) -> (FailureKind, String) {
        match self {
            Self::Result(_) | Self::Error(_) => (
                FailureKind::Interrupted,
                "the call ran and was answered, but the answer could not be passed on".to_owned(),
            ),
            Self::Waiting(task) | Self::Joined(task) => task.describe_lost(),
        }
    }
}

/// Consume one use of a grant for this call, which is about to run. The response is the grant, once that is on
/// disk. Refused unless the daemon's own decision is that the call runs by a use of this grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsumeGrant {
    /// The grant's id.
    pub grant: u64,
    /// The concealed call.
    pub call: Call,
}

impl Request for ConsumeGrant {
    const METHOD: &'static str = "grants/consume";
    type Response = Grant;
}

/// Get a shared server's listing, in its own words and unconcealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetServerListing {
    /// The server.
    pub server: ServerName,
}

impl Request for GetServerListing {
    const METHOD: &'static str = "servers/listing";
    type Response = RawJson;
}

/// Get one task of this session's principal, waiting for a final state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckTask {
    /// The task.
    pub task: TaskId,
    /// How long to wait for a final state, in milliseconds.
    pub wait_millis: u64,
}

impl Request for CheckTask {
    const METHOD: &'static str = "tasks/check";
    type Response = Box<Task>;
}

/// List this principal's tasks, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListOwnTasks {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// The most tasks to return.
    pub limit: u32,
}

impl Request for ListOwnTasks {
    const METHOD: &'static str = "tasks/list-own";
    type Response = Vec<Task>;
}

/// Get the final tasks of this principal that no agent has fetched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListUnseenTasks;

impl Request for ListUnseenTasks {
    const METHOD: &'static str = "tasks/unseen";
    type Response = UnseenTasks;
}

impl Response for UnseenTasks {}

/// Which of these tasks of this principal are final, were not fetched by an agent yet, and were told to no session by
/// an earlier request of this kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClaimNews {
    /// The tasks that the session was told to be final.
    pub tasks: Vec<TaskId>,
}

impl Request for ClaimNews {
    const METHOD: &'static str = "tasks/claim-news";
    type Response = UnseenTasks;
}

/// Cancel a task for the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelTask {
    /// The task.
    pub task: TaskId,
}

impl Request for CancelTask {
    const METHOD: &'static str = "tasks/cancel";
    type Response = Box<Task>;
}

/// Report the checkpoint of this session's audit segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportCheckpoint(pub SegmentCheckpoint);

impl Request for ReportCheckpoint {
    const METHOD: &'static str = "audit/report-checkpoint";
    type Response = ();
}
