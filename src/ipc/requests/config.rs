//! The configuration: its differences from the confirmed one, and the confirmation.

use serde::{Deserialize, Serialize};

use crate::approved_config::ConfigChanges;
use crate::ipc::{Challenge, Request, Response};
use crate::names::ToolId;
use crate::policy::Action;

/// Get the differences between the configuration and the confirmed one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetConfigChanges;

impl Request for GetConfigChanges {
    const METHOD: &'static str = "config/changes";
    type Response = Box<UnconfirmedConfig>;
}

/// The differences between the configuration and the confirmed one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnconfirmedConfig {
    /// Why the confirmed configuration is unknown: no passphrase is set, or the copy is lost.
    pub note: Option<String>,
    /// The edits that wait, and those that apply at once.
    pub changes: ConfigChanges,
    /// Known tools that would become looser, denied ones first, with the present and the new action.
    pub tools: Vec<(ToolId, Action, Action)>,
    /// Identifies this difference.
    pub shown: String,
}

impl Response for UnconfirmedConfig {}

/// Confirm the files as they are. Widens. The response is the number of changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfirmConfig {
    /// The [`UnconfirmedConfig::shown`] that the person saw. Anything else is refused.
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
