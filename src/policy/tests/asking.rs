//! Rules that ask: what a person wants to be asked about from now on.

use super::*;

/// What people said, one after the other: a rule of an action, or a grant for everyone.
enum Statement {
    Rule(&'static str, Action),
    Grant(&'static str),
}

use Statement::{Grant as Permit, Rule as Decree};

/// Ids in the order in which it was said.
fn overrides_from(all: &[Statement]) -> Overrides {
    let mut standing = Overrides { boot_id: BOOT_ID.into(), ..Overrides::default() };
    for (said, id) in all.iter().zip(1..) {
        match said {
            Decree(text, action) => {
                let (pattern, action) = (pattern(text), *action);
                standing.rules.push(PolicyRule { id, pattern, action, made: now().wall });
            }
            Permit(text) => {
                let mut grant = overrides_with(&[], &[text]).grants.remove(0);
                grant.id = id;
                standing.grants.push(grant);
            }
        }
    }
    standing
}

#[test]
fn the_table_of_what_asks() {
    const ASK: Action = RequireApproval;
    let table: &[(Action, &[Statement], Action, &str)] = &[
        (Allow, &[Decree("a/b", ASK)], ASK, "what the files allow asks"),
        (Allow, &[Decree("*", ASK)], ASK, "by a pattern too"),
        (Allow, &[Decree("b/*", ASK)], Allow, "other tools do not"),
        (ASK, &[Decree("a/b", ASK)], ASK, "what asks goes on asking"),
        (Deny, &[Decree("a/b", ASK)], Deny, "what the files deny stays denied"),
        (Allow, &[Decree("a/*", Deny), Decree("a/b", ASK)], Deny, "what a rule denies stays denied"),
        (Deny, &[Decree("a/*", Allow), Decree("a/b", ASK)], ASK, "what a rule allows asks"),
        (Deny, &[Decree("a/b", ASK), Decree("a/b", Allow)], ASK, "between equals the stricter"),
        (Deny, &[Decree("a/*", ASK), Decree("a/b", Allow)], Allow, "the more specific rule allows"),
        (ASK, &[Permit("a/b"), Decree("a/b", ASK)], ASK, "a grant of before does not outlive it"),
        (ASK, &[Decree("a/b", ASK), Permit("a/b")], Allow, "a grant of after holds for its time"),
        (Allow, &[Decree("a/b", ASK), Permit("*")], Allow, "a wide one too"),
        (ASK, &[Decree("a/b", ASK), Permit("a/b"), Decree("*", ASK)], ASK, "the last word counts"),
        (ASK, &[Permit("a/b"), Decree("a/*", ASK), Decree("a/b", Allow)], Allow, "by the rule alone"),
        (Deny, &[Decree("a/b", ASK), Permit("a/b")], Deny, "a grant lifts no deny of the files"),
        (ASK, &[Permit("a/b"), Decree("b/*", ASK)], Allow, "a rule on other tools ends no grant"),
    ];
    for (configured, people, expected, why) in table {
        let policy = Policy::new(config_with(&[("a/b", *configured)], &[]), overrides_from(people));
        assert_eq!(decide(&policy, "a/b").action, *expected, "{why}");
    }
}

#[test]
fn a_decision_names_the_rule_that_asks_and_what_it_overrules() {
    let people = [Permit("a/*"), Decree("a/b", RequireApproval), Decree("a/*", RequireApproval)];
    let policy = Policy::new(config_with(&[("a/b", Allow)], &[]), overrides_from(&people));
    let explanation = policy.explain(&tool("a/b"), None, None, now());
    assert_eq!(explanation.decision.to_string(), "needs approval by `a/*` (rule 3)", "the last one");
    let losing: Vec<_> = explanation.losing.iter().map(ToString::to_string).collect();
    assert_eq!(
        losing,
        [
            "allowed by `a/*` (grant 1)",
            "needs approval by `a/b` (rule 2)",
            "allowed by `a/b` (policies.json:1:5)",
            "needs approval: no rule covers it (default)"
        ]
    );
    assert!(explanation.is_outdated_grant(&explanation.losing[0]));
    assert!(explanation.losing[1..].iter().all(|losing| !explanation.is_outdated_grant(losing)));
    assert_eq!(policy.expected_action(&tool("a/b"), None, now()), RequireApproval, "lists say so");
    let overruled =
        policy.overrides().grants.iter().flat_map(|grant| policy.overrides().asking_rules_since(grant));
    assert_eq!(overruled.map(|rule| rule.id).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn what_is_locked_can_be_made_to_ask_and_is_not_loosened_by_the_grant_that_follows() {
    let people = [Decree("a/*", RequireApproval), Permit("a/*")];
    let files = config_with(&[("a/runs", Allow), ("a/asks", RequireApproval)], &["a/*"]);
    let policy = Policy::new(files.clone(), overrides_from(&people[..1]));
    assert_eq!(decide(&policy, "a/runs").action, RequireApproval);
    let policy = Policy::new(files, overrides_from(&people));
    assert_eq!(decide(&policy, "a/runs").action, Allow);
    let asks = decide(&policy, "a/asks");
    assert_eq!((asks.action, asks.locked), (RequireApproval, true));
}

#[test]
fn a_use_of_a_grant_of_before_is_not_counted() {
    let mut people = overrides_from(&[Permit("a/b"), Decree("a/b", RequireApproval)]);
    people.grants[0].limits.uses = std::num::NonZeroU32::new(3);
    let policy = Policy::new(ConfigPolicy::default(), people);
    assert_eq!(policy.consumed_grant(&decide(&policy, "a/b")), None);
    assert_eq!(decide(&policy.with_only_grant(1), "a/b").action, RequireApproval, "no use can be had");
}

#[test]
fn a_rule_about_the_tool_itself_makes_another_one_superfluous_until_a_grant_follows() {
    const ASK: Action = RequireApproval;
    let table: &[(&[Statement], Action, Option<u64>, &str)] = &[
        (&[], ASK, None, "there is none"),
        (&[Decree("a/*", ASK), Decree("*", Deny)], ASK, None, "only the tool's own count"),
        (&[Permit("a/b"), Decree("a/b", ASK)], ASK, Some(2), "it asks"),
        (&[Decree("a/b", ASK), Decree("a/b", ASK)], ASK, Some(2), "the last one"),
        (&[Decree("a/b", ASK), Permit("a/*")], ASK, None, "a grant lifts it"),
        (&[Decree("a/b", ASK)], Deny, None, "to ask is not to deny"),
        (&[Decree("a/b", Deny), Decree("a/b", ASK)], ASK, Some(1), "it is denied"),
        (&[Decree("a/b", Deny), Permit("a/b")], Deny, Some(1), "no grant lifts that"),
    ];
    for (people, action, expected, why) in table {
        let standing = overrides_from(people);
        let rule = standing.restricting_rule(&tool("a/b"), *action, now()).map(|rule| rule.id);
        assert_eq!(rule, *expected, "{why}");
    }
    let over = overrides_from(&[Decree("a/b", ASK), Permit("a/b")]);
    assert!(over.restricting_rule(&tool("a/b"), ASK, now_plus(60)).is_some(), "the grant is over");
}

#[test]
fn without_the_daemon_it_still_asks() {
    let people = overrides_from(&[Decree("a/*", RequireApproval), Decree("a/b", Allow), Permit("a/*")]);
    let policy = Policy::new(config_with(&[("a/*", Allow)], &[]), people.restrictive_only());
    for name in ["a/b", "a/c"] {
        assert_eq!(decide(&policy, name).action, RequireApproval, "{name}");
    }
}
