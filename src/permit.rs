//! The proof that a call may go to a server.
//!
//! A [`Permitted`] call is made only here: by [`admit_call`] from an allowing decision, by
//! [`Permitted::from_claimed`] from an approved task that was claimed for execution, by [`RedeemedPermit::check`] from
//! the permit that the daemon made of such a task for its session, or by [`withdraw`] for a call that only ends a
//! subscription. The next step, [`crate::server`], takes nothing else, so skipping
//! policy doesn't compile.

use std::collections::HashSet;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::anonymize::{Anonymizer, Fake, Real};
use crate::call::{Call, Method};
use crate::clock::Moment;
use crate::json::{self, RawJson, RawObject};
use crate::names::{ChildGeneration, PermitNonce, ServerName, TaskId, ToolId};
use crate::policy::{Action, CallerIdentity, Decision, DecisionSource, DefinitionState, Policy};
use crate::sync::lock;
use crate::task::{ChildGround, ChildLoss, ClaimedTask};

/// A call that may go to its server, once.
#[derive(Debug)]
pub struct Permitted {
    call: Call,
    decision: Decision,
    /// The digest of the definition that was decided on, for a tool that its server lists.
    definition: Option<String>,
    /// Whether it may run because it only ends a subscription.
    is_withdrawal: bool,
}

/// A call that may run once a grant's use was consumed for it.
#[derive(Debug)]
pub struct CountedCall {
    permitted: Permitted,
    grant: u64,
    state: DefinitionState,
}

/// The definition behind a call, as it is listed when the call is decided.
#[derive(Debug, Clone, Default)]
pub struct CallDefinition {
    /// Whether it is accepted.
    pub state: DefinitionState,
    /// The digest of a tool's definition as its server gave it. The call doesn't go to a restarted server that defines
    /// the tool otherwise.
    pub digest: Option<String>,
}

/// Policy's answer to a call.
#[derive(Debug)]
pub enum Admission {
    /// It may run.
    Allowed(Permitted),
    /// It may run by a grant with counted uses.
    Counted(CountedCall),
    /// A person must be asked.
    Ask(Call, Decision),
    /// It is denied.
    Denied(Call, Decision),
}

/// Decides on a call. This is the only way from an agent's request to a permit without a person.
#[must_use]
pub fn admit_call(
    policy: &Policy,
    call: Call,
    asker: Option<CallerIdentity<'_>>,
    definition: CallDefinition,
    now: Moment,
) -> Admission {
    // One decision serves both questions, the action and the grant, so they can't come from different
    // policies.
    let CallDefinition { state, digest } = definition;
    let decision = call.decide(policy, asker, now);
    let decision = policy.require_accepted(call.identity(), decision, state, asker, now);
    match decision.action {
        Action::Allow => {
            let grant = policy.consumed_grant(&decision);
            let permitted = Permitted { definition: digest, ..Permitted::decided(call, decision) };
            match grant {
                Some(grant) => Admission::Counted(CountedCall { permitted, grant, state }),
                None => Admission::Allowed(permitted),
            }
        }
        Action::RequireApproval => Admission::Ask(call, decision),
        Action::Deny => Admission::Denied(call, decision),
    }
}

/// The permit to end a subscription that the caller holds, whatever policy now says of the resource, because
/// that only narrows. It consumes no use of a grant.
///
/// # Errors
/// Returns the call if it ends no subscription.
pub fn withdraw(
    policy: &Policy,
    call: Call,
    asker: Option<CallerIdentity<'_>>,
    now: Moment,
) -> Result<Permitted, Box<Call>> {
    match call.method {
        Method::UnsubscribeResource => {
            let decision = policy.decide_without_denials(call.identity(), asker, now);
            Ok(Permitted { is_withdrawal: true, ..Permitted::decided(call, decision) })
        }
        Method::CallTool
        | Method::ReadResource
        | Method::SubscribeResource
        | Method::GetPrompt
        | Method::Complete => Err(Box::new(call)),
    }
}

impl CountedCall {
    /// The call.
    #[must_use]
    pub const fn call(&self) -> &Call {
        self.permitted.call()
    }

    /// The grant's id.
    #[must_use]
    pub const fn grant_id(&self) -> u64 {
        self.grant
    }

    /// The call again, without a consumed use.
    #[must_use]
    pub fn into_call(self) -> Call {
        self.permitted.call
    }

    /// Policy's present decision on this call, given that a use of the grant is consumed for it.
    #[must_use]
    pub fn decide_with_grant(&self, policy: &Policy, asker: CallerIdentity<'_>, now: Moment) -> Decision {
        let (call, policy) = (self.call(), policy.with_only_grant(self.grant));
        let decision = call.decide(&policy, Some(asker), now);
        policy.require_accepted(call.identity(), decision, self.state, Some(asker), now)
    }

    /// Decides again after a use was durably consumed for this call. It runs only if policy still allows it.
    #[must_use]
    pub fn recheck_after_use(self, policy: &Policy, asker: CallerIdentity<'_>, now: Moment) -> Admission {
        let decision = self.decide_with_grant(policy, asker, now);
        let Permitted { call, decision: before, definition, .. } = self.permitted;
        match decision.action {
            // With the earlier decision, because it names the counted grant as the reason.
            Action::Allow => Admission::Allowed(Permitted { definition, ..Permitted::decided(call, before) }),
            Action::RequireApproval => Admission::Ask(call, decision),
            Action::Deny => Admission::Denied(call, decision),
        }
    }
}

impl Permitted {
    /// The permit of an approved and claimed task. It can be made once, because `ClaimedTask` is consumed.
    #[must_use]
    pub fn from_claimed(claimed: ClaimedTask) -> Self {
        let (_, call, decision) = claimed.into_parts();
        Self::decided(call, decision)
    }

    const fn decided(call: Call, decision: Decision) -> Self {
        Self { call, decision, definition: None, is_withdrawal: false }
    }

    /// The call.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The call again, without the permit.
    #[must_use]
    pub fn into_call(self) -> Call {
        self.call
    }

    /// Why it may run, in words for the audit.
    #[must_use]
    pub fn reason(&self) -> String {
        if self.is_withdrawal && self.decision.action != Action::Allow {
            return "ends a subscription that was allowed when it was made".to_owned();
        }
        self.decision.to_string()
    }

    /// Reveals the call for its own server. Servers accept nothing else.
    #[must_use]
    pub fn reveal(self, anonymizer: &Anonymizer) -> Outgoing {
        let definition = self.definition;
        let Call { tool, method, params, meta } = self.call;
        let params = keep_tool_name(anonymizer.reveal(&tool.server, &params), &params, &tool, method);
        let meta = meta.map(|meta| anonymizer.reveal(&tool.server, &meta));
        Outgoing { tool, method, params, meta, definition }
    }
}

/// The daemon's permit for a call that a person approved, on its way to the session that has the server's process. It
/// counts once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallPermit {
    task: TaskId,
    nonce: PermitNonce,
    call: Call,
    decision: Decision,
    ground: ChildGround,
    /// A longer answer is not kept, so it need not be sent.
    max_result_bytes: usize,
}

impl CallPermit {
    /// For a task that was claimed: once, since `ClaimedTask` is consumed.
    #[must_use]
    pub fn new(claimed: ClaimedTask, ground: ChildGround, max_result_bytes: usize) -> Self {
        let (task, call, decision) = claimed.into_parts();
        Self { task, nonce: PermitNonce::fresh(), call, decision, ground, max_result_bytes }
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.task
    }

    /// The server.
    #[must_use]
    pub const fn server(&self) -> &ServerName {
        &self.call.tool.server
    }

    /// Which permit it is.
    #[must_use]
    pub const fn nonce(&self) -> PermitNonce {
        self.nonce
    }
}

/// Which permits a session's process has redeemed. There are as many as people approved calls of this session.
#[derive(Debug, Default)]
pub struct RedeemedPermits(Mutex<HashSet<PermitNonce>>);

impl RedeemedPermits {
    /// Uses a permit up; none where it was used before.
    #[must_use]
    pub fn redeem(&self, permit: CallPermit) -> Option<RedeemedPermit> {
        lock(&self.0).insert(permit.nonce).then_some(RedeemedPermit(permit))
    }
}

/// A permit that was used up in this process, by the one that holds this.
#[derive(Debug)]
pub struct RedeemedPermit(CallPermit);

/// Why a session doesn't make the call of a permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum PermitProblem {
    /// The server's process is another one than when a person was asked.
    #[error("{}", ChildLoss::ServerRestarted)]
    Restarted,
    /// What the call relies on differs from what a person was asked about.
    #[error("since a person was asked, {0} changed")]
    Changed(String),
    /// The session's policy denies it now.
    #[error("{0}")]
    Denied(String),
    /// It can't be told now, such as while the server starts.
    #[error("{0}")]
    Unavailable(String),
}

impl RedeemedPermit {
    /// The call.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.0.call
    }

    /// The task.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.0.task
    }

    /// Which permit it was.
    #[must_use]
    pub const fn nonce(&self) -> PermitNonce {
        self.0.nonce
    }

    /// The process in which it may be made.
    #[must_use]
    pub const fn generation(&self) -> ChildGeneration {
        self.0.ground.generation
    }

    /// The longest answer that is kept.
    #[must_use]
    pub const fn max_result_bytes(&self) -> usize {
        self.0.max_result_bytes
    }

    /// The permit to make the call, where nothing changed since a person was asked: `now_on` is what the call relies
    /// on at this moment.
    ///
    /// # Errors
    /// What hinders it.
    pub fn check(
        self,
        policy: &Policy,
        asker: CallerIdentity<'_>,
        now: Moment,
        now_on: &ChildGround,
    ) -> Result<Permitted, PermitProblem> {
        let CallPermit { call, decision, ground, .. } = self.0;
        // The daemon starts nothing during a pause, but one may have begun since it handed this over.
        if policy.overrides().paused.is_some() {
            let today = policy.decide_without_denials(call.identity(), Some(asker), now);
            return Err(PermitProblem::Denied(today.to_string()));
        }
        check_ground(policy, &call, (asker, now), &ground, now_on)?;
        Ok(Permitted::decided(call, decision))
    }
}

/// Whether an approved call may be made, given what it relies on now. A pause is no hindrance: it ends, and the call
/// starts after it.
///
/// # Errors
/// What hinders it.
pub fn check_ground(
    policy: &Policy,
    call: &Call,
    (asker, now): (CallerIdentity<'_>, Moment),
    asked_on: &ChildGround,
    now_on: &ChildGround,
) -> Result<(), PermitProblem> {
    let today = policy.decide_without_denials(call.identity(), Some(asker), now);
    if today.action == Action::Deny && !matches!(today.source, DecisionSource::Pause(_)) {
        return Err(PermitProblem::Denied(today.to_string()));
    }
    if asked_on.generation != now_on.generation {
        return Err(PermitProblem::Restarted);
    }
    if asked_on.definition != now_on.definition {
        return Err(PermitProblem::Changed("the tool's definition".to_owned()));
    }
    if asked_on.binding != now_on.binding {
        return Err(PermitProblem::Changed("the call or the values behind its replacements".to_owned()));
    }
    Ok(())
}

/// Keeps the tool's name that was decided on: a fake in it is no value and must not be revealed.
fn keep_tool_name(
    revealed: Real<RawJson>,
    before: &Fake<RawJson>,
    tool: &ToolId,
    method: Method,
) -> Real<RawJson> {
    if method != Method::CallTool || revealed.expose().get() == before.get().get() {
        return revealed;
    }
    let before = RawObject::read(before.get()).unwrap_or_default();
    // A tool's call always has a `name`; the fallback is only for the type.
    let spelled = json::serialize_raw(tool.tool.as_str());
    let name = before.get("name").unwrap_or(&spelled);
    let object = RawObject::read(revealed.expose()).unwrap_or_default();
    Real::from_server(object.with_member("name", name).to_raw())
}

/// A permitted call with its real values, for one server.
#[derive(Debug)]
pub struct Outgoing {
    tool: ToolId,
    method: Method,
    params: Real<RawJson>,
    meta: Option<Real<RawJson>>,
    definition: Option<String>,
}

impl Outgoing {
    /// The tool or operation, which includes the server.
    #[must_use]
    pub const fn tool(&self) -> &ToolId {
        &self.tool
    }

    /// The MCP method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The digest of the tool's definition that was decided on; none where another proof binds the definition.
    #[must_use]
    pub fn definition(&self) -> Option<&str> {
        self.definition.as_deref()
    }

    /// The `params` without `_meta`.
    #[must_use]
    pub const fn params(&self) -> &Real<RawJson> {
        &self.params
    }

    /// The client's `_meta`, without the keys of its own connection.
    #[must_use]
    pub const fn meta(&self) -> Option<&Real<RawJson>> {
        self.meta.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, TestClock};
    use crate::policy::{ConfigPolicy, Overrides};
    use crate::task::CallOrigin;

    #[test]
    fn a_pause_is_no_hindrance_to_a_yes_and_lets_no_permit_through() {
        let clock = TestClock::at("2026-11-20T08:00:00Z".parse().expect("a time"));
        let now = clock.now();
        let call: Call =
            serde_json::from_str(r#"{"tool":"a/b","method":"tools/call","params":{"name":"b"}}"#)
                .expect("a call");
        let origin: CallOrigin = serde_json::from_str(
            r#"{"principal":"/work","session":"019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f","client":"c","directory":"/work"}"#,
        )
        .expect("an origin");
        let ground =
            ChildGround { generation: ChildGeneration::fresh(), definition: None, binding: String::new() };
        let policy =
            |paused| Policy::new(ConfigPolicy::default(), Overrides { paused, ..Overrides::default() });
        for (paused, runs) in [(None, true), (Some(now.wall), false)] {
            let policy = policy(paused);
            let asked = check_ground(&policy, &call, (origin.asker(), now), &ground, &ground);
            assert!(asked.is_ok(), "a person may say yes: {asked:?}");
            let decision = policy.decide(&call.tool, call.arguments(), Some(origin.asker()), now);
            let (call, ground) = (call.clone(), ground.clone());
            let permit = RedeemedPermit(CallPermit {
                task: TaskId::fresh(),
                nonce: PermitNonce::fresh(),
                call,
                decision,
                ground: ground.clone(),
                max_result_bytes: 1,
            });
            assert_eq!(permit.check(&policy, origin.asker(), now, &ground).is_ok(), runs, "{paused:?}");
        }
    }
}
