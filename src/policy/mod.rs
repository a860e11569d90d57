//! Whether a call is allowed, denied, or a question for a person.
//!
//! [`Policy::decide`] is a pure function of the tool, its arguments, the caller, the rules, the grants and the
//! moment (guarantees P1, P2, P6). The order in which entries were written never matters.
//!
//! Precedence, strongest first:
//! 1. persistent rules, which people made at run time;
//! 2. exact entries of `policies.json`, then its patterns;
//! 3. the default.
//!
//! Within a layer the most specific pattern wins ([`crate::pattern::Specificity`]), and between equals the
//! stricter action. A rule that asks never loosens: it counts only where the call would not be denied without
//! it.
//!
//! A grant lifts only `require-approval`, and only for the callers and calls that it names. Where a rule asks, the grant
//! must be newer than that rule. Of several grants, one without a number of uses comes first. Where a `locked`
//! pattern covers the tool, the outcome is never looser than the files alone. While a person has paused
//! everything ([`Overrides::paused`]), every decision is a deny. A tool under a [`Quorum`] asks unless it is
//! denied, and is locked.
//!
//! [`Policy::decide_call`] adds what people said of single calls: a denial of exactly this call holds for its
//! cool-down, unless a grant or an allowing rule was made later (guarantee A9).
//!
//! What would run asks while the definition of its tool isn't accepted, unless a person made a rule or grant for it
//! since ([`Policy::require_accepted`]).

mod argument_limit;
mod builtin;
pub mod compare;
mod compiled_config;
pub mod condition;
mod decision;
pub mod definition_pins;
mod denial;
mod denial_check;
mod entry_index;
mod grant;
pub mod offline_denies;
mod overrides;
pub mod quorum;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Moment;
use crate::names::ToolId;
use crate::pattern::Pattern;
pub use argument_limit::{
    ArgumentLimit, ArgumentLimitError, ArgumentPointer, FixedArgument, FixedArguments, MAX_FIXED_ARGUMENTS,
    MAX_FIXED_VALUE_BYTES, ScalarValue,
};
use compiled_config::CompiledConfig;
use condition::{ConditionReadings, PolicyCase};
pub use decision::{Decision, DecisionSource, Explanation, MatchedCase};
pub use definition_pins::{DefinitionPins, DefinitionState, UnacceptedDefinition};
pub use denial::{CallDenial, CallDenials, CallIdentity, DeniedCall};
use entry_index::{ArgumentsView, EntryIndex};
pub use grant::{CallerIdentity, Grant, GrantLimits, SessionMatchError};
pub use overrides::{Overrides, PolicyRule};
pub use quorum::{Quorum, Vote};

/// The action of a decision. `Ord` puts the looser first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It runs.
    Allow,
    /// A person is asked.
    RequireApproval,
    /// It is refused.
    Deny,
}

impl Action {
    /// Every action, from the loosest to the strictest.
    pub const ALL: [Self; 3] = [Self::Allow, Self::RequireApproval, Self::Deny];

    /// The action as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::RequireApproval => "require-approval",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One entry of `policies.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyEntry {
    /// The tools that it covers.
    pub pattern: Pattern,
    /// The action; with cases, the one if no case matches.
    pub action: Action,
    /// The actions for certain arguments, in no particular order.
    pub cases: Vec<PolicyCase>,
    /// Where it is written.
    pub source: DecisionSource,
}

/// The configured policy: `policies.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPolicy {
    /// The entries, in no particular order.
    pub entries: Vec<PolicyEntry>,
    /// The action if no entry matches.
    pub default: Action,
    /// Patterns whose configured decision no rule and no grant can loosen.
    pub locked: Vec<Pattern>,
    /// The tools that only read, by policy's own word and not the server's. Grants that are limited to reading cover
    /// no others.
    pub reads: Vec<Pattern>,
    /// The tools that need several people's approval, from `portero.json`, in no particular order.
    pub quorums: Vec<Quorum>,
    /// The confirmed policy, while a widening edit in this one waits for confirmation. For every call the
    /// stricter of the two decisions holds.
    pub approved: Option<Box<ConfigPolicy>>,
}

impl Default for ConfigPolicy {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            default: Action::RequireApproval,
            locked: Vec::new(),
            reads: Vec::new(),
            quorums: Vec::new(),
            approved: None,
        }
    }
}

/// Everything that a decision depends on, prepared for deciding. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Policy {
    config: Arc<CompiledConfig>,
    overrides: Arc<Overrides>,
    /// Rules that allow or deny.
    rules: Arc<EntryIndex>,
    /// Rules that ask.
    asking_rules: Arc<EntryIndex>,
    grants: Arc<Vec<(Pattern, usize)>>,
}

impl Policy {
    /// Combines the files with what people set at run time.
    #[must_use]
    pub fn new(config: ConfigPolicy, standing: Overrides) -> Self {
        Self::build(Arc::new(CompiledConfig::new(config)), standing)
    }

    /// The same files with other rules, grants and pause.
    #[must_use]
    pub fn with_overrides(&self, standing: Overrides) -> Self {
        Self::build(Arc::clone(&self.config), standing)
    }

    fn build(config: Arc<CompiledConfig>, standing: Overrides) -> Self {
        let (asks, rules): (Vec<_>, Vec<_>) =
            standing.rules.iter().partition(|rule| rule.action == Action::RequireApproval);
        let layer =
            |rules: Vec<&PolicyRule>| Arc::new(EntryIndex::new(rules.into_iter().map(PolicyRule::to_entry)));
        let (asks, rules) = (layer(asks), layer(rules));
        let mut grants: Vec<_> =
            standing.grants.iter().enumerate().map(|(at, grant)| (grant.pattern.clone(), at)).collect();
        grants.sort_by_key(|(pattern, at)| {
            let grant = &standing.grants[*at];
            // Uncounted grants come first, so that no use is consumed without need, then the most specific.
            // Pattern text and id only make the choice independent of the stored order.
            let counted = grant.limits.uses.is_some();
            (counted, std::cmp::Reverse(pattern.specificity()), pattern.as_str().to_owned(), grant.id)
        });
        Self { config, overrides: Arc::new(standing), rules, asking_rules: asks, grants: Arc::new(grants) }
    }

    /// The configured policy.
    #[must_use]
    pub fn config(&self) -> &ConfigPolicy {
        &self.config.config
    }

    /// The rules, grants and pause that people set at run time.
    #[must_use]
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// The quorums of a tool, all of which must be met before a call of it runs. While an edit waits for a
    /// person, those of the confirmed and of the present files both count.
    #[must_use]
    pub fn quorums(&self, tool: &ToolId) -> Vec<&Quorum> {
        let mut quorums: Vec<&Quorum> = self.config.quorums(tool).collect();
        for confirmed in self.config.approved.iter().flat_map(|confirmed| confirmed.quorums(tool)) {
            if !quorums.iter().any(|quorum| quorum.has_same_terms(confirmed)) {
                quorums.push(confirmed);
            }
        }
        quorums
    }

    /// Whether no rule and no grant can loosen a tool.
    #[must_use]
    pub fn is_locked(&self, tool: &ToolId) -> bool {
        let confirmed = self.config.approved.as_deref();
        self.config.is_locked(tool) || confirmed.is_some_and(|confirmed| confirmed.is_locked(tool))
    }

    /// Whether policy's own list says that a tool only reads. While an edit waits for a person, the confirmed and the
    /// present list must both have it.
    #[must_use]
    pub fn lists_as_reading(&self, tool: &ToolId) -> bool {
        let confirmed = self.config.approved.as_deref();
        self.config.lists_as_reading(tool)
            && confirmed.is_none_or(|confirmed| confirmed.lists_as_reading(tool))
    }

    /// Decides on one call of `asker` at one moment. `arguments` are the concealed arguments; without them,
    /// the strictest action of an entry with cases holds, and grants for certain arguments don't count. Without an
    /// asker, only grants for everyone count. Grants for exactly one call need the whole call
    /// ([`Policy::decide_call`]).
    #[must_use]
    pub fn decide(
        &self,
        tool: &ToolId,
        arguments: Option<&RawValue>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        self.decide_view(tool, ArgumentsView::Arguments(arguments), asker, now)
    }

    /// As [`Policy::decide`], for a call whose every part is known. Denials of single calls don't count.
    #[must_use]
    pub fn decide_without_denials(
        &self,
        call: CallIdentity<'_>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        self.decide_view(call.tool, ArgumentsView::Call(call), asker, now)
    }

    fn decide_view(
        &self,
        tool: &ToolId,
        view: ArgumentsView<'_>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        // A pause outweighs everything, even what is locked.
        self.pause_decision().unwrap_or_else(|| self.decide_unpaused(tool, view, asker, now))
    }

    /// As [`Policy::decide_without_denials`], but a denial of exactly this call holds too. With `approved_at`, a person approved this very call then, so only a later denial counts.
    #[must_use]
    pub fn decide_call(
        &self,
        call: CallIdentity<'_>,
        asker: CallerIdentity<'_>,
        now: Moment,
        approved_at: Option<jiff::Timestamp>,
    ) -> Decision {
        let decision = self.decide_without_denials(call, Some(asker), now);
        match decision.action {
            Action::Deny => decision,
            Action::Allow | Action::RequireApproval => {
                self.denial_in_force(call, asker, now, approved_at).map_or(decision, CallDenial::to_decision)
            }
        }
    }

    /// The decision about a call of a tool or prompt whose definition is in this state. It is never looser.
    #[must_use]
    pub fn require_accepted(
        &self,
        call: CallIdentity<'_>,
        decision: Decision,
        definition: DefinitionState,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        self.require_accepted_view((call.tool, ArgumentsView::Call(call)), decision, definition, asker, now)
    }

    fn require_accepted_view(
        &self,
        (tool, view): (&ToolId, ArgumentsView<'_>),
        decision: Decision,
        definition: DefinitionState,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        match (decision.action, definition.unaccepted()) {
            (Action::Allow, Some((why, since))) => {
                self.decide_unaccepted((tool, view), decision, (why, since), asker, now)
            }
            (Action::Allow, None) | (Action::RequireApproval | Action::Deny, _) => decision,
        }
    }

    /// Decides about an allowed call whose definition isn't accepted. What people said counts from the moment that
    /// they could know of the definition.
    fn decide_unaccepted(
        &self,
        (tool, view): (&ToolId, ArgumentsView<'_>),
        allowed: Decision,
        (why, since): (UnacceptedDefinition, Option<u64>),
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        let asks = Decision {
            action: Action::RequireApproval,
            pattern: allowed.pattern.clone(),
            source: DecisionSource::Definition(why),
            locked: false,
            case: None,
        };
        let Some(since) = since else { return asks };
        let allows_since =
            |rule: &PolicyRule| rule.action == Action::Allow && rule.id > since && rule.pattern.matches(tool);
        let is_since = match allowed.source {
            DecisionSource::Rule(id) | DecisionSource::Grant(id) => id > since,
            DecisionSource::Config { .. }
            | DecisionSource::Confirmed { .. }
            | DecisionSource::Quorum { .. }
            | DecisionSource::ConfirmedQuorum { .. }
            | DecisionSource::Default
            | DecisionSource::Builtin
            | DecisionSource::Definition(_)
            | DecisionSource::Denial(_)
            | DecisionSource::Pause(_) => false,
        };
        if is_since || self.overrides.rules.iter().any(allows_since) {
            return allowed;
        }
        // A grant with counted uses doesn't count here: the daemon consumes a use only where the grant is what
        // makes the call run.
        let newer = self.live_grants(tool, now).find(|grant| {
            grant.id > since
                && grant.limits.uses.is_none()
                && grant.limits.admits(asker)
                && self.grant_covers(grant, tool, view)
        });
        newer.map_or(asks, Grant::to_decision)
    }

    /// The grant by which a call would run, if its uses are counted. The call may run only after a use was
    /// consumed.
    #[must_use]
    pub fn consumed_grant(&self, decision: &Decision) -> Option<u64> {
        let DecisionSource::Grant(id) = decision.source else { return None };
        let counts = |grant: &&Grant| grant.id == id && grant.limits.uses.is_some();
        self.overrides.grants.iter().find(counts).map(|grant| grant.id)
    }

    /// The same policy without these grants.
    #[must_use]
    pub fn without_grants(&self, ids: &[u64]) -> Self {
        let mut standing = Overrides::clone(&self.overrides);
        standing.grants.retain(|grant| !ids.contains(&grant.id));
        self.with_overrides(standing)
    }

    /// The same policy as if this grant were the only one and not counted. It decides about a call that has
    /// consumed a use of it, or is about to.
    #[must_use]
    pub fn with_only_grant(&self, id: u64) -> Self {
        let mut standing = Overrides::clone(&self.overrides);
        standing.grants.retain(|grant| grant.id == id);
        standing.grants.iter_mut().for_each(|grant| grant.limits.uses = None);
        self.with_overrides(standing)
    }

    /// As [`Policy::decide`], as if no pause were on. A pause ends; what it hides may stay.
    #[must_use]
    pub fn decide_despite_pause(
        &self,
        tool: &ToolId,
        arguments: Option<&RawValue>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        self.decide_unpaused(tool, ArgumentsView::Arguments(arguments), asker, now)
    }

    /// The decision about every call while a person has paused everything.
    fn pause_decision(&self) -> Option<Decision> {
        let since = self.overrides.paused?;
        let source = DecisionSource::Pause(since);
        Some(Decision { action: Action::Deny, pattern: None, source, locked: false, case: None })
    }

    /// The action to show in lists, before there is a call. It is the one that every call of the tool would
    /// get, or [`Action::RequireApproval`] if that depends on the arguments. A pause doesn't count: the tool
    /// stays listed, so that a call of it can tell the agent of the pause.
    #[must_use]
    pub fn expected_action(&self, tool: &ToolId, asker: Option<CallerIdentity<'_>>, now: Moment) -> Action {
        let (loosest, strictest) = self.action_range(tool, asker, now);
        if loosest == strictest { strictest } else { Action::RequireApproval }
    }

    /// As [`Policy::expected_action`], for a tool whose definition is in this state.
    #[must_use]
    pub fn expected_call_action(
        &self,
        tool: &ToolId,
        asker: Option<CallerIdentity<'_>>,
        definition: DefinitionState,
        now: Moment,
    ) -> Action {
        let expected = self.expected_action(tool, asker, now);
        match (expected, definition) {
            (Action::Allow, DefinitionState::Changed { .. } | DefinitionState::New { .. }) => {
                // No argument matters, so any call of the tool gets this action.
                let view = ArgumentsView::Arguments(None);
                let decision = self.decide_unpaused(tool, view, asker, now);
                self.require_accepted_view((tool, view), decision, definition, asker, now).action
            }
            (Action::Allow, DefinitionState::Accepted) | (Action::RequireApproval | Action::Deny, _) => {
                expected
            }
        }
    }

    /// The loosest and the strictest action that calls of a tool can get, apart from a pause. They are equal
    /// if the arguments don't matter. A grant for certain arguments counts for the loosest only.
    #[must_use]
    pub fn action_range(
        &self,
        tool: &ToolId,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> (Action, Action) {
        let settle = |view| self.decide_unpaused(tool, view, asker, now).action;
        (settle(ArgumentsView::Loosest), settle(ArgumentsView::Arguments(None)))
    }

    fn decide_unpaused(
        &self,
        tool: &ToolId,
        view: ArgumentsView<'_>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        let decision = self.decide_with_quorums(&self.config, tool, view, asker, now);
        match &self.config.approved {
            None => decision,
            Some(confirmed) => {
                let confirmed = self.decide_with_quorums(confirmed, tool, view, asker, now);
                // The stricter of the two decisions holds. Between equals the confirmed one counts if it
                // consumes a grant's use or asks several people, because both must then happen. A quorum of
                // the present files comes before that, because people read it there.
                let is_told = matches!(
                    confirmed.source,
                    DecisionSource::Grant(_) | DecisionSource::ConfirmedQuorum { .. }
                ) && !matches!(decision.source, DecisionSource::Quorum { .. });
                let counts = confirmed.action == decision.action && is_told;
                if confirmed.action > decision.action || counts { confirmed } else { decision }
            }
        }
    }

    /// Decides by one of the two versions of the files. A quorum turns everything but a deny into a question.
    fn decide_with_quorums(
        &self,
        config: &CompiledConfig,
        tool: &ToolId,
        view: ArgumentsView<'_>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        let decision = self.decide_without_quorums(config, tool, view, asker, now);
        match (config.quorums(tool).next(), decision.action) {
            (None, _) | (Some(_), Action::Deny) => decision,
            (Some(quorum), Action::Allow | Action::RequireApproval) => quorum.to_decision(tool),
        }
    }

    fn decide_without_quorums(
        &self,
        config: &CompiledConfig,
        tool: &ToolId,
        view: ArgumentsView<'_>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Decision {
        // In order of precedence: a rule that allows or denies outweighs the files. A rule that asks outweighs
        // both, unless they deny. A grant lifts only a question.
        let configured = config.entries.decide(tool, view).unwrap_or_else(|| config.default_decision());
        let ruled = self.rules.decide(tool, view);
        let said = ruled.as_ref().unwrap_or(&configured).action;
        let asking = if said == Action::Deny { None } else { self.asking_rule(tool, ruled.as_ref()) };
        let unlocked = match (asking, ruled) {
            (Some((rule, asks)), _) => {
                self.grant_decision((tool, view), Some(rule), asker, now).unwrap_or(asks)
            }
            (None, Some(ruled)) => ruled,
            (None, None) if said == Action::RequireApproval => {
                self.grant_decision((tool, view), None, asker, now).unwrap_or_else(|| configured.clone())
            }
            // Only files decided, and they need no check against the lock.
            (None, None) => return configured,
        };
        // The lock comes last, so that it undoes any loosening above. A stricter rule stays.
        if unlocked.action < configured.action && config.is_locked(tool) {
            return Decision { locked: true, ..configured };
        }
        unlocked
    }

    /// Decides, and lists everything else that matched or could have. Of Portero's own tools only what names them
    /// counts.
    #[must_use]
    pub fn explain(
        &self,
        tool: &ToolId,
        arguments: Option<&RawValue>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Explanation {
        let explanation = self.explain_matches(tool, arguments, asker, now);
        if tool.is_builtin() { builtin::explain_builtin(explanation) } else { explanation }
    }

    fn explain_matches(
        &self,
        tool: &ToolId,
        arguments: Option<&RawValue>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Explanation {
        let view = ArgumentsView::Arguments(arguments);
        let unpaused = self.decide_unpaused(tool, view, asker, now);
        let (grants, elsewhere): (Vec<_>, Vec<_>) = self
            .live_grants(tool, now)
            .partition(|grant| grant.limits.admits(asker) && self.grant_covers(grant, tool, view));
        let quorums: Vec<Quorum> = self.quorums(tool).into_iter().cloned().collect();
        let entries = self
            .asking_rules
            .matching(tool)
            .chain(self.rules.matching(tool))
            .chain(self.config.entries.matching(tool));
        let matching = entries.flat_map(|entry| entry.possible_decisions(arguments));
        let place = |decision: &Decision| {
            (decision.pattern.clone(), decision.source.clone(), decision.case.map(|case| case.number))
        };
        let won = place(&unpaused);
        let grants = grants.into_iter().map(Grant::to_decision);
        let others = quorums.iter().map(|quorum| quorum.to_decision(tool)).chain(grants).chain(matching);
        let others = others.chain([self.config.default_decision()]).filter(|other| place(other) != won);
        let elsewhere = elsewhere.into_iter().cloned().collect();
        let readings = self.case_readings(tool, &unpaused, arguments);
        match self.pause_decision() {
            Some(paused) => {
                let losing = std::iter::once(unpaused).chain(others).collect();
                Explanation { decision: paused, losing, elsewhere, quorums, readings }
            }
            None => {
                let losing = others.collect();
                Explanation { decision: unpaused, losing, elsewhere, quorums, readings }
            }
        }
    }

    /// What the conditions of the case that decided say, and by which readings of the arguments.
    fn case_readings(
        &self,
        tool: &ToolId,
        decision: &Decision,
        arguments: Option<&RawValue>,
    ) -> Vec<ConditionReadings> {
        let (Some(arguments), Some(MatchedCase { number, .. })) = (arguments, decision.case) else {
            return Vec::new();
        };
        let configs = std::iter::once(&*self.config).chain(self.config.approved.as_deref());
        let mut cases = configs
            .flat_map(|config| config.entries.matching(tool))
            .filter(|entry| Some(&entry.pattern) == decision.pattern.as_ref())
            .flat_map(|entry| &entry.cases);
        let case = cases.find(|case| case.number == number && case.source == decision.source);
        case.map(|case| case.explain(arguments)).unwrap_or_default()
    }

    /// The rule that makes an otherwise permitted tool ask, with its id. Rules that the allowing rule
    /// outweighs don't count. Of the others the newest does, because a grant must be newer than all of them.
    fn asking_rule(&self, tool: &ToolId, allowed: Option<&Decision>) -> Option<(u64, Decision)> {
        let least = allowed.and_then(|allowed| allowed.pattern.as_ref()).map(Pattern::specificity);
        let counts = |entry: &&PolicyEntry| least.is_none_or(|least| entry.pattern.specificity() >= least);
        let asks = self.asking_rules.matching(tool).filter(counts).filter_map(|entry| match entry.source {
            DecisionSource::Rule(id) => Some((id, entry)),
            DecisionSource::Config { .. }
            | DecisionSource::Confirmed { .. }
            | DecisionSource::Grant(_)
            | DecisionSource::Default
            | DecisionSource::Builtin
            | DecisionSource::Definition(_)
            | DecisionSource::Pause(_)
            | DecisionSource::Denial(_)
            | DecisionSource::Quorum { .. }
            | DecisionSource::ConfirmedQuorum { .. } => None,
        });
        asks.max_by_key(|(id, _)| *id).map(|(id, entry)| (id, entry.fallback_decision()))
    }

    /// The grant that turns a question into a yes. If a rule asks, the grant must be newer (`after`); ids of
    /// rules and grants come from one sequence.
    fn grant_decision(
        &self,
        (tool, view): (&ToolId, ArgumentsView<'_>),
        after: Option<u64>,
        asker: Option<CallerIdentity<'_>>,
        now: Moment,
    ) -> Option<Decision> {
        self.live_grants(tool, now)
            .find(|grant| {
                grant.limits.admits(asker)
                    && after.is_none_or(|rule| grant.id > rule)
                    && self.grant_covers(grant, tool, view)
            })
            .map(Grant::to_decision)
    }

    /// Whether the limits of a grant that say which calls it covers admit this one. Its pattern, its callers and its
    /// time are looked at elsewhere.
    fn grant_covers(&self, grant: &Grant, tool: &ToolId, view: ArgumentsView<'_>) -> bool {
        let GrantLimits { arguments, reads_only, session: _, agent_session: _, project: _, uses: _ } =
            &grant.limits;
        if *reads_only && !self.lists_as_reading(tool) {
            return false;
        }
        match (arguments, view) {
            (None, _) | (Some(_), ArgumentsView::Loosest) => true,
            (Some(ArgumentLimit::ExactCall(call)), ArgumentsView::Call(this)) => {
                let denials = &self.overrides.denials;
                // Without the key no digest says anything.
                denials.has_key() && this.fingerprint(&denials.key).is_ok_and(|this| this == *call)
            }
            (
                Some(ArgumentLimit::Fixed(fixed)),
                ArgumentsView::Arguments(Some(arguments))
                | ArgumentsView::Call(CallIdentity { arguments: Some(arguments), .. }),
            ) => fixed.cover(arguments),
            (Some(ArgumentLimit::ExactCall(_)), ArgumentsView::Arguments(_))
            | (
                Some(ArgumentLimit::Fixed(_)),
                ArgumentsView::Arguments(None) | ArgumentsView::Call(CallIdentity { arguments: None, .. }),
            ) => false,
        }
    }

    /// The live grants that cover a tool, for any caller, in their order of precedence.
    fn live_grants<'a>(&'a self, tool: &'a ToolId, now: Moment) -> impl Iterator<Item = &'a Grant> + 'a {
        self.grants
            .iter()
            .filter(move |(pattern, _)| pattern.matches(tool))
            .map(|(_, at)| &self.overrides.grants[*at])
            .filter(move |grant| grant.is_live(&self.overrides.boot_id, now))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(ConfigPolicy::default(), Overrides::default())
    }
}

#[cfg(test)]
mod tests;
