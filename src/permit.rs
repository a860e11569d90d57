//! The proof that a call may go to a server.
//!
//! A [`Permitted`] call is made only here: by [`admit_call`] from an allowing decision, by
//! [`Permitted::from_claimed`] from an approved task that was claimed for execution, or by [`withdraw`] for a
//! call that only ends a subscription. The next step, [`crate::server`], takes nothing else, so skipping
//! policy doesn't compile.

use crate::anonymize::{Anonymizer, Fake, Real};
use crate::call::{Call, Method};
use crate::clock::Moment;
use crate::json::{self, RawJson, RawObject};
use crate::names::ToolId;
use crate::policy::{Action, CallerIdentity, Decision, DefinitionState, Policy};
use crate::task::ClaimedTask;

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
    let decision = policy.require_accepted(&call.tool, decision, state, asker, now);
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
            let decision = policy.decide(&call.tool, call.arguments(), asker, now);
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
        policy.require_accepted(&call.tool, decision, self.state, Some(asker), now)
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
        let (call, decision) = claimed.into_parts();
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
