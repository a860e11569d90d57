//! What a definition that isn't accepted does to a decision.

use super::*;

const CHANGED: DefinitionState = DefinitionState::Changed { since: Some(10) };
const NEW: DefinitionState = DefinitionState::New { since: Some(10) };
const UNKNOWN: DefinitionState = DefinitionState::Changed { since: None };

fn rule(id: u64, text: &str, action: Action) -> PolicyRule {
    PolicyRule { id, pattern: pattern(text), action, made: now().wall }
}

fn grant(id: u64, text: &str) -> Grant {
    Grant { id, ..overrides_with(&[], &[text]).grants.remove(0) }
}

fn overrides(rules: Vec<PolicyRule>, grants: Vec<Grant>) -> Overrides {
    Overrides { rules, grants, ..overrides_with(&[], &[]) }
}

fn decide_with(policy: &Policy, definition: DefinitionState) -> Decision {
    let decision = policy.decide(&tool("mail/send"), None, None, now());
    let view = ArgumentsView::Arguments(None);
    policy.require_accepted_view((&tool("mail/send"), view), decision, definition, None, now())
}

#[test]
fn an_allowed_tool_asks_while_its_definition_is_not_accepted() {
    let policy = Policy::new(config_with(&[("mail/*", Allow)], &["mail/*"]), Overrides::default());
    assert_eq!(decide_with(&policy, DefinitionState::Accepted).action, Allow);
    for (state, why, words) in [
        (CHANGED, UnacceptedDefinition::Changed, "its definition changed"),
        (UNKNOWN, UnacceptedDefinition::Changed, "its definition changed"),
        (NEW, UnacceptedDefinition::New, "it is new on its server"),
    ] {
        let decision = decide_with(&policy, state);
        assert_eq!((decision.action, &decision.source), (RequireApproval, &DecisionSource::Definition(why)));
        assert!(decision.to_string().contains(words), "{decision}");
        assert_eq!(policy.expected_call_action(&tool("mail/send"), None, state, now()), RequireApproval);
    }
}

#[test]
fn what_is_denied_or_paused_stays_so() {
    let denied = Policy::new(config_with(&[("mail/*", Deny)], &[]), Overrides::default());
    let paused = Overrides { paused: Some(now().wall), ..Overrides::default() };
    let paused = Policy::new(config_with(&[("mail/*", Allow)], &[]), paused);
    for policy in [denied, paused] {
        assert_eq!(decide_with(&policy, CHANGED), policy.decide(&tool("mail/send"), None, None, now()));
    }
}

#[test]
fn only_what_a_person_allowed_since_covers_the_definition() {
    let config = || config_with(&[("mail/*", Allow)], &[]);
    let decide = |standing| decide_with(&Policy::new(config(), standing), CHANGED);
    for (since, expected) in [(9, RequireApproval), (10, RequireApproval), (11, Allow)] {
        let decision = decide(overrides(vec![rule(since, "mail/*", Allow)], Vec::new()));
        assert_eq!(decision.action, expected, "a rule with id {since}");
        let decision = decide(overrides(Vec::new(), vec![grant(since, "mail/*")]));
        assert_eq!(decision.action, expected, "a grant with id {since}");
    }
    let older_wins = overrides(vec![rule(3, "mail/send", Allow), rule(12, "mail/*", Allow)], Vec::new());
    assert_eq!(decide(older_wins).action, Allow, "the newer rule covers the tool too");
    let granted = decide(overrides(Vec::new(), vec![grant(3, "mail/send"), grant(12, "mail/*")]));
    assert_eq!(granted.source, DecisionSource::Grant(12), "the audit names the grant that counts");
    let asks = Policy::new(config(), overrides(vec![rule(12, "mail/*", Allow)], Vec::new()));
    assert_eq!(decide_with(&asks, UNKNOWN).action, RequireApproval, "of an unknown change nothing is newer");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Against a model: allowed only by a rule or grant of after the change, and never looser than without it.
    #[test]
    fn an_unaccepted_definition_only_narrows_and_only_newer_words_lift_it(
        configured in prop::sample::select(vec![Allow, RequireApproval, Deny]),
        rules in prop::collection::vec((1_u64..20, prop::sample::select(vec!["mail/send", "mail/*", "notes/*"]),
            prop::sample::select(vec![Allow, RequireApproval, Deny])), 0..4),
        granted in prop::collection::vec((1_u64..20, prop::sample::select(vec!["mail/send", "*", "notes/*"])), 0..3),
        since in prop::option::of(1_u64..20),
        is_new in any::<bool>(),
    ) {
        let state = if is_new { DefinitionState::New { since } } else { DefinitionState::Changed { since } };
        let rules: Vec<_> = rules.into_iter().map(|(id, text, action)| rule(id, text, action)).collect();
        let grants: Vec<_> = granted.into_iter().map(|(id, text)| grant(id, text)).collect();
        let newer = since.is_some_and(|since| {
            rules.iter().any(|rule| {
                rule.id > since && rule.action == Allow && rule.pattern.matches(&tool("mail/send"))
            }) || grants.iter().any(|grant| grant.id > since && grant.pattern.matches(&tool("mail/send")))
        });
        let policy = Policy::new(config_with(&[("mail/*", configured)], &[]), overrides(rules, grants));
        let plain = policy.decide(&tool("mail/send"), None, None, now());
        let decided = decide_with(&policy, state);
        prop_assert_eq!(decided.action, if plain.action == Allow && !newer { RequireApproval } else { plain.action });
        prop_assert!(decided.action >= plain.action);
    }
}
