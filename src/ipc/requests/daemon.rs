//! Requests about the daemon itself.

use serde::{Deserialize, Serialize};

use crate::ipc::{DaemonStatus, Request, Response};

/// Get the daemon's status.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetStatus;

impl Request for GetStatus {
    const METHOD: &'static str = "daemon/status";
    type Response = Box<DaemonStatus>;
}

impl Response for DaemonStatus {}

/// Stop the daemon. The response comes before the connection closes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopDaemon;

impl Request for StopDaemon {
    const METHOD: &'static str = "daemon/stop";
    type Response = ();
}
