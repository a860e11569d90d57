//! Rules, grants and the pause: what people set at run time.

use serde::{Deserialize, Serialize};

use crate::ipc::{Act, Challenge, Request, Response, UnsavedChanges};
use crate::json::RawJson;
use crate::names::{TaskId, ToolId};
use crate::pattern::Pattern;
use crate::policy::{Action, Explanation, Grant, GrantLimits, Overrides, PolicyRule};
use crate::task::Task;

impl Response for Overrides {}
impl Response for Grant {}
impl Response for PolicyRule {}
impl Response for UnsavedChanges {}
impl Response for Explanation {}
impl Response for (ToolId, Action) {}

/// Make a grant. Widens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateGrant {
    /// The tools.
    pub pattern: Pattern,
    /// The duration in milliseconds.
    pub millis: u64,
    /// Who may use it, and how often.
    #[serde(default)]
    pub limits: GrantLimits,
    /// The waiting tasks that run too, as far as the grant allows their calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_waiting: Vec<TaskId>,
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
    /// The grants.
    pub which: GrantSelection,
}

impl Request for RevokeGrants {
    const METHOD: &'static str = "grants/revoke";
    type Response = u64;
}

/// Which grants a request is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantSelection {
    /// The grants with these ids.
    Ids(Vec<u64>),
    /// All grants.
    All,
}

/// Make a persistent rule. An allow widens and needs the challenge. Denying and asking rules don't.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateRule {
    /// The tools.
    pub pattern: Pattern,
    /// The action.
    pub action: Action,
    /// The waiting tasks that run too, as far as an allow allows their calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run_waiting: Vec<TaskId>,
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

/// Pause everything. Every decision is a deny until [`Resume`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pause;

impl Request for Pause {
    const METHOD: &'static str = "pause";
    type Response = Overrides;
}

/// End a pause. Widens. The response says whether calls were paused.
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

/// Get the rules and grants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetOverrides;

impl Request for GetOverrides {
    const METHOD: &'static str = "overrides/get";
    type Response = Overrides;
}

/// Get the changes that apply and aren't saved yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetUnsaved;

impl Request for GetUnsaved {
    const METHOD: &'static str = "overrides/unsaved";
    type Response = Option<UnsavedChanges>;
}

/// Explain the decision about a tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainDecision {
    /// The tool.
    pub tool: ToolId,
    /// A call's arguments, for entries that look at them. The daemon conceals them first, as it does a call's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<RawJson>,
}

impl Request for ExplainDecision {
    const METHOD: &'static str = "policy/explain";
    type Response = Box<Explanation>;
}

/// Preview an act: the tools that it would loosen, denied ones first, with their present action.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewChange {
    /// The act: a grant, an allowing rule, or the end of a rule that doesn't allow.
    pub act: Act,
}

impl Request for PreviewChange {
    const METHOD: &'static str = "policy/preview";
    type Response = Vec<(ToolId, Action)>;
}

/// Preview the waiting tasks whose calls an act would allow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PreviewWaiting {
    /// The act: a grant, or an allowing rule.
    pub act: Act,
}

impl Request for PreviewWaiting {
    const METHOD: &'static str = "policy/preview-waiting";
    type Response = Vec<Task>;
}
