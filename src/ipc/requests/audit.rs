//! The audit's checkpoints, which the daemon keeps.

use serde::{Deserialize, Serialize};

use crate::audit::SegmentCheckpoint;
use crate::ipc::{Request, Response};

/// Get the checkpoint of every segment of the audit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListHeads;

impl Request for ListHeads {
    const METHOD: &'static str = "audit/heads";
    type Response = Vec<SegmentCheckpoint>;
}

impl Response for SegmentCheckpoint {}
