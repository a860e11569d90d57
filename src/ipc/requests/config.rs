//! The configuration: how the files differ from what a person confirmed, and the confirmation.

use serde::{Deserialize, Serialize};

use crate::approved_config::ConfigChanges;
use crate::ipc::{Challenge, Request, Response};
use crate::names::ToolId;
use crate::policy::Action;

/// How the configuration differs from what a person confirmed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetConfigChanges;

impl Request for GetConfigChanges {
    const METHOD: &'static str = "config/changes";
    type Response = Box<Waiting>;
}

/// How the configuration differs from what a person confirmed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// What stands in the way of knowing what was confirmed: no passphrase is set, or the copy is lost.
    pub note: Option<String>,
    /// What waits, and what is in force at once.
    pub changes: ConfigChanges,
    /// Known tools that would become looser, denied ones first: as they are decided now, and as they would be.
    pub tools: Vec<(ToolId, Action, Action)>,
    /// Tells this difference from any other.
    pub shown: String,
}

impl Response for Waiting {}

/// Yes, put the files in force as they are. Widens. The response is how many changes that were.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfirmConfig {
    /// [`Waiting::shown`] of what the person was shown; anything else is refused.
    pub shown: String,
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for ConfirmConfig {
    const METHOD: &'static str = "config/confirm";
    type Response = u64;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}
