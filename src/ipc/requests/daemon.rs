//! Requests about the daemon itself.

use serde::{Deserialize, Serialize};

use crate::ipc::{DaemonStatus, Request, Response};
use crate::names::ServerName;

/// Get the daemon's status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetStatus;

impl Request for GetStatus {
    const METHOD: &'static str = "daemon/status";
    type Response = Box<DaemonStatus>;
}

impl Response for DaemonStatus {}

/// Fetch the lists of a server that the daemon runs for the user, and tell how that went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExamineServer {
    /// The server.
    pub server: ServerName,
}

impl Request for ExamineServer {
    const METHOD: &'static str = "servers/examine";
    type Response = ServerExamination;
}

/// What a server offers, in numbers. A server that can't be listed is a failure of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerExamination {
    /// How many tools.
    pub tools: usize,
    /// How many resources and templates.
    pub resources: usize,
    /// How many prompts.
    pub prompts: usize,
    /// What the agent doesn't get of them, with the reason and the next step, concealed.
    pub omitted: Option<String>,
}

impl Response for ServerExamination {}

/// Stop the daemon. The response comes before the connection closes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopDaemon;

impl Request for StopDaemon {
    const METHOD: &'static str = "daemon/stop";
    type Response = ();
}
