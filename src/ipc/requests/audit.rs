//! The audit's checkpoints, which the daemon keeps.

use serde::{Deserialize, Serialize};

use crate::audit::SegmentCheckpoint;
use crate::ipc::{Request, Response};

/// Get the checkpoint of every segment of the audit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListCheckpoints;

impl Request for ListCheckpoints {
    const METHOD: &'static str = "audit/checkpoints";
    type Response = Vec<SegmentCheckpoint>;
}

impl Response for SegmentCheckpoint {}
