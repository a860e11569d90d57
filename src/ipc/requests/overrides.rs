//! Rules, grants and the pause: what people said since the files were written.

use serde::{Deserialize, Serialize};

use crate::ipc::{Act, Challenge, Request, Response, UnsavedChanges};
use crate::json::RawJson;
use crate::names::ToolId;
use crate::pattern::Pattern;
use crate::policy::{Action, Explanation, Grant, GrantLimits, Overrides, PolicyRule};

impl Response for Overrides {}
impl Response for Grant {}
impl Response for PolicyRule {}
impl Response for UnsavedChanges {}
impl Response for Explanation {}
impl Response for (ToolId, Action) {}

/// Permit for a while. Widens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateGrant {
    /// What.
    pub pattern: Pattern,
    /// How long, in milliseconds.
    pub millis: u64,
    /// For whom, and how often.
    #[serde(default)]
    pub limits: GrantLimits,
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for CreateGrant {
    const METHOD: &'static str = "grants/create";
    type Response = Grant;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

/// End grants. The response is how many ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokeGrants {
    /// Which ones.
    pub which: Acting,
}

impl Request for RevokeGrants {
    const METHOD: &'static str = "grants/revoke";
    type Response = u64;
}

/// Which grants an act is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acting {
    /// These ids.
    On(Vec<u64>),
    /// All.
    All,
}

/// A persistent rule. An allow widens and needs the challenge; a deny, and one that asks, do not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateRule {
    /// What.
    pub pattern: Pattern,
    /// What it says.
    pub action: Action,
    /// The second factor, for an allow.
    pub challenge: Option<Challenge>,
}

impl Request for CreateRule {
    const METHOD: &'static str = "rules/create";
    type Response = PolicyRule;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        self.challenge.as_mut()
    }
}

/// Remove a persistent rule. Removing anything but an allow widens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveRule {
    /// The rule's id.
    pub id: u64,
    /// The second factor, for anything but an allow.
    pub challenge: Option<Challenge>,
}

impl Request for RemoveRule {
    const METHOD: &'static str = "rules/remove";
    type Response = ();

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        self.challenge.as_mut()
    }
}

/// Stop everything: every decision is a deny until [`Resume`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pause;

impl Request for Pause {
    const METHOD: &'static str = "pause";
    type Response = Overrides;
}

/// End a pause. Widens. The response is whether calls were paused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resume {
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for Resume {
    const METHOD: &'static str = "resume";
    type Response = bool;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

/// Rules and grants in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetOverrides;

impl Request for GetOverrides {
    const METHOD: &'static str = "overrides/get";
    type Response = Overrides;
}

/// What is in force and not saved yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetUnsaved;

impl Request for GetUnsaved {
    const METHOD: &'static str = "overrides/unsaved";
    type Response = Option<UnsavedChanges>;
}

/// Why a tool is decided as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainDecision {
    /// The tool.
    pub tool: ToolId,
    /// A call's arguments, for rules that look at them. The daemon conceals them first, as it would a call's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<RawJson>,
}

impl Request for ExplainDecision {
    const METHOD: &'static str = "policy/explain";
    type Response = Box<Explanation>;
}

/// What an act would change for the tools that its pattern covers, denied ones first: how each is decided at present.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewChange {
    /// By what: a grant, a rule that allows, or the end of one that does not.
    pub act: Act,
}

impl Request for PreviewChange {
    const METHOD: &'static str = "policy/preview";
    type Response = Vec<(ToolId, Action)>;
}
