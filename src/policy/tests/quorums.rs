//! Tools that take the yes of several people.

use super::*;

fn two_of_three(tools: &[&str], line: u32) -> Quorum {
    Quorum {
        tools: tools.iter().map(|text| pattern(text)).collect(),
        approvals: 2,
        of: vec![11, 22, 33],
        source: DecisionSource::Quorum { line, column: 7 },
    }
}

fn policy_with_quorums(quorums: &[Quorum], files: ConfigPolicy, standing: Overrides) -> Policy {
    Policy::new(ConfigPolicy { quorums: quorums.to_vec(), ..files }, standing)
}

#[test]
fn a_tool_under_a_quorum_asks_whatever_loosens_it_and_stays_denied_whatever_denies_it() {
    let quorum = [two_of_three(&["stripe/*"], 3)];
    let name = "stripe/refund";
    for (files, rules, grants, expected) in [
        (&[][..], &[][..], &[][..], RequireApproval),
        (&[(name, Allow)], &[], &[], RequireApproval),
        (&[(name, RequireApproval)], &[], &["stripe/*"], RequireApproval),
        (&[("*", Allow)], &[(name, Allow)], &["*"], RequireApproval),
        (&[], &[(name, RequireApproval)], &[name], RequireApproval),
        (&[(name, Deny)], &[], &[], Deny),
        // It is as if it were locked: a rule loosens no deny of the files either.
        (&[(name, Deny)], &[(name, Allow)], &["*"], Deny),
        (&[(name, Allow)], &[("stripe/*", Deny)], &["*"], Deny),
    ] {
        let policy = policy_with_quorums(&quorum, config_with(files, &[]), overrides_with(rules, grants));
        assert_eq!(decide(&policy, name).action, expected, "{files:?} {rules:?} {grants:?}");
        assert!(policy.is_locked(&tool(name)));
        let plain = Policy::new(config_with(files, &[]), overrides_with(rules, grants));
        assert_eq!(decide(&policy, "mail/send"), decide(&plain, "mail/send"), "others are as they were");
    }
}

#[test]
fn the_entry_is_named_with_its_place() {
    let policy = policy_with_quorums(
        &[two_of_three(&["stripe/*", "stripe/refund"], 3)],
        config_with(&[], &[]),
        Overrides::default(),
    );
    let said = "needs the approval of several people by `stripe/refund` (portero.json:3:7); locked, so no rule \
                and no grant loosens it";
    assert_eq!(decide(&policy, "stripe/refund").to_string(), said);
    assert!(decide(&policy, "stripe/charge").to_string().contains("`stripe/*` (portero.json:3:7)"));
    let explained = policy.explain(&tool("stripe/refund"), None, None, now());
    assert_eq!(explained.quorums[0].to_string(), "2 of 3 people (user 11, 22, 33)");
    assert_eq!(explained.losing.len(), 1, "the default: {:?}", explained.losing);
}

#[test]
fn of_several_entries_each_must_be_met_and_the_strictest_is_told() {
    let three = Quorum { approvals: 3, ..two_of_three(&["*/refund"], 9) };
    let policy = policy_with_quorums(
        &[two_of_three(&["stripe/*"], 3), three.clone()],
        config_with(&[], &[]),
        Overrides::default(),
    );
    let explained = policy.explain(&tool("stripe/refund"), None, None, now());
    assert_eq!(explained.decision.source, three.source);
    assert_eq!(explained.losing[0].source, DecisionSource::Quorum { line: 3, column: 7 });
    assert_eq!(explained.quorums.len(), 2);
    let votes = |users: &[u64]| -> Vec<Vote> {
        users.iter().map(|user| Vote { user: *user, at: now().wall }).collect()
    };
    let met = |users: &[u64]| explained.quorums.iter().all(|quorum| quorum.is_met(&votes(users)));
    assert!(!met(&[11, 22]) && met(&[11, 22, 33]));
}

#[test]
fn while_an_edit_waits_both_the_confirmed_and_the_edited_entries_must_be_met() {
    let confirmed = ConfigPolicy { quorums: vec![two_of_three(&["stripe/*"], 3)], ..config_with(&[], &[]) };
    let policy = |quorums: &[Quorum]| {
        let files =
            ConfigPolicy { approved: Some(Box::new(confirmed.clone())), ..config_with(&[("*", Allow)], &[]) };
        policy_with_quorums(quorums, files, overrides_with(&[], &["*"]))
    };
    // Taken away, it holds as it was confirmed, and says so.
    let gone = policy(&[]);
    assert_eq!(decide(&gone, "stripe/refund").source, DecisionSource::ConfirmedQuorum { line: 3, column: 7 });
    assert!(decide(&gone, "stripe/refund").to_string().contains("(portero.json:3:7 as confirmed)"));
    assert_eq!(gone.quorums(&tool("stripe/refund")).len(), 1);
    assert!(gone.is_locked(&tool("stripe/refund")));
    // With other people, both hold; what only moved in the file is told once, where it is now.
    let others = Quorum { of: vec![11, 44], ..two_of_three(&["stripe/*"], 3) };
    assert_eq!(policy(&[others]).quorums(&tool("stripe/refund")).len(), 2);
    let moved = policy(&[two_of_three(&["stripe/*"], 30)]);
    assert_eq!(moved.quorums(&tool("stripe/refund")), [&two_of_three(&["stripe/*"], 30)]);
    assert_eq!(decide(&moved, "stripe/refund").source, DecisionSource::Quorum { line: 30, column: 7 });
}

#[test]
fn a_pause_stops_it_too_and_without_the_daemon_it_still_asks() {
    let quorum = [two_of_three(&["stripe/*"], 3)];
    let mut paused = overrides_with(&[], &[]);
    paused.paused = Some(now().wall);
    assert_eq!(
        decide(&policy_with_quorums(&quorum, config_with(&[], &[]), paused), "stripe/refund").action,
        Deny
    );
    let alone = overrides_with(&[("stripe/refund", Allow)], &["*"]).restrictive_only();
    let policy = policy_with_quorums(&quorum, config_with(&[("*", Allow)], &[]), alone);
    assert_eq!(decide(&policy, "stripe/refund").action, RequireApproval);
    let (loosest, strictest) = policy.action_range(&tool("stripe/refund"), None, now());
    assert_eq!((loosest, strictest), (RequireApproval, RequireApproval));
}
