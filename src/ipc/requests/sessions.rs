//! What an agent's session asks: its calls and its own tasks.

use serde::{Deserialize, Serialize};

use crate::anonymize::Fake;
use crate::audit::SegmentCheckpoint;
use crate::call::Call;
use crate::ipc::{FailureKind, Request, Response};
use crate::json::RawJson;
use crate::names::{ServerName, TaskId};
use crate::policy::{Grant, Overrides};
use crate::server::LogLevel;
use crate::task::{Task, TaskState, UnseenTasks};

/// Tell me rules and grants, now and whenever they change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubscribeOverrides;

impl Request for SubscribeOverrides {
    const METHOD: &'static str = "overrides/subscribe";
    type Response = Overrides;
}

/// This call needs a person. The response is the task once it is on disk; a refusal where the daemon's own decision
/// is to deny.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmitCall {
    /// The concealed call.
    pub call: Call,
    /// The client's name and version.
    pub client: Fake<String>,
}

impl Request for SubmitCall {
    const METHOD: &'static str = "calls/submit";
    type Response = Box<Task>;
}

/// Make this call on a shared server, through the daemon's own pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForwardCall {
    /// The concealed call.
    pub call: Call,
    /// The client's name and version.
    pub client: Fake<String>,
    /// Whether progress is wanted.
    pub progress: bool,
    /// From which level on the client wants log messages while the call runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
}

impl Request for ForwardCall {
    const METHOD: &'static str = "calls/forward";
    type Response = ForwardedCall;
}

/// The client wants log messages of the shared servers from this level on, also where it calls none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetLogLevel {
    /// The least grave level that is wanted.
    pub level: LogLevel,
}

impl Request for SetLogLevel {
    const METHOD: &'static str = "servers/log-level";
    type Response = ();
}

/// What came of a forwarded call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedCall {
    /// The server's `result`.
    Result(Fake<RawJson>),
    /// The server's `error` object.
    Error(Fake<RawJson>),
    /// A person must be asked first: the task on disk.
    Waiting(Box<Task>),
}

impl Response for ForwardedCall {
    // The one that asked for the call must learn that it ran.
    fn describe_lost(&self) -> (FailureKind, String) {
        match self {
            Self::Result(_) | Self::Error(_) => (
                FailureKind::Interrupted,
                "the call ran and was answered, but the answer could not be passed on".to_owned(),
            ),
            Self::Waiting(task) => task.describe_lost(),
        }
    }
}

/// Consume one use of a grant for this call, which is about to be made. The response is the grant once that is on
/// disk; a refusal where the daemon's own decision is not that the call runs by a use of this grant.
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

/// What a shared server lists: the server's own words, still real.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetServerListing {
    /// The server.
    pub server: ServerName,
}

impl Request for GetServerListing {
    const METHOD: &'static str = "servers/listing";
    type Response = RawJson;
}

/// One task of this session's principal; waits for a final state.
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

/// This principal's tasks, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListOwnTasks {
    /// Only those in this state.
    pub state: Option<TaskState>,
    /// At most so many.
    pub limit: u32,
}

impl Request for ListOwnTasks {
    const METHOD: &'static str = "tasks/list-own";
    type Response = Vec<Task>;
}

/// Which tasks of this principal are final and were not fetched by an agent yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetNews;

impl Request for GetNews {
    const METHOD: &'static str = "tasks/news";
    type Response = UnseenTasks;
}

impl Response for UnseenTasks {}

/// The agent takes a task back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelTask {
    /// The task.
    pub task: TaskId,
}

impl Request for CancelTask {
    const METHOD: &'static str = "tasks/cancel";
    type Response = Box<Task>;
}

/// How far this session's segment of the audit has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportHead(pub SegmentCheckpoint);

impl Request for ReportHead {
    const METHOD: &'static str = "audit/report-head";
    type Response = ();
}
