//! The audit, as far as the daemon keeps track of it.

use serde::{Deserialize, Serialize};

use crate::audit::SegmentCheckpoint;
use crate::ipc::{Request, Response};

/// How far every segment of the audit is known to have come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListHeads;

impl Request for ListHeads {
    const METHOD: &'static str = "audit/heads";
    type Response = Vec<SegmentCheckpoint>;
}

impl Response for SegmentCheckpoint {}
