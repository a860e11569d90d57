use super::*;
use crate::policy::DecisionSource;
use crate::policy::condition::{ArgumentCondition, Comparison, Decimal, JsonPointer, PolicyCase, ValueTest};
use Action::{Allow, Deny, RequireApproval};

fn policy_with(entries: &[(&str, Action)]) -> ConfigPolicy {
    let entry = |(at, (text, action)): (usize, &(&str, Action))| PolicyEntry {
        pattern: text.parse().expect(text),
        action: *action,
        cases: Vec::new(),
        source: DecisionSource::Config { line: u32::try_from(at).expect("few") + 1, column: 3 },
    };
    ConfigPolicy { entries: entries.iter().enumerate().map(entry).collect(), ..ConfigPolicy::default() }
}

fn widens(before: &[(&str, Action)], after: &[(&str, Action)]) -> bool {
    compare_policies(&policy_with(before), &policy_with(after)).iter().any(|edit| edit.widens)
}

#[test]
fn an_edit_widens_where_a_call_could_become_looser() {
    // The default is to ask.
    assert!(widens(&[], &[("a/x", Allow)]));
    assert!(widens(&[("a/x", Deny)], &[]));
    assert!(widens(&[("a/x", Deny)], &[("a/x", RequireApproval)]));
    assert!(widens(&[("a/*", Deny)], &[("a/*", Deny), ("a/x", RequireApproval)]));
    // The deny that is gone had outweighed the allow.
    assert!(widens(&[("a/*", Allow), ("a/x", Deny)], &[("a/*", Allow)]));
    // A question that hides a deny.
    assert!(widens(&[("*/x*", Deny)], &[("*/x*", Deny), ("a/xy", RequireApproval)]));
    assert!(widens(&[("a/*", Deny), ("*", Deny)], &[("*", RequireApproval), ("a/*", Deny)]));
}

#[test]
fn an_edit_narrows_where_no_call_can_become_looser() {
    assert!(!widens(&[], &[("a/x", Deny)]));
    assert!(!widens(&[("a/x", Allow)], &[]));
    assert!(!widens(&[("a/x", Allow)], &[("a/x", RequireApproval)]));
    assert!(!widens(&[("a/*", Allow)], &[("a/*", Allow), ("a/x", RequireApproval)]));
    assert!(!widens(&[("a/*", Allow)], &[("a/*", Allow), ("a/x", Allow)]));
    // The denies of another server are in no one's way.
    assert!(!widens(&[("b/*", Deny)], &[("b/*", Deny), ("a/x", RequireApproval)]));
    // What was outweighed before is outweighed still.
    assert!(!widens(&[("a/x", Deny), ("a/*", RequireApproval)], &[("a/x", Deny), ("a/*", Deny)]));
    assert!(!widens(&[("*/x", Deny)], &[("*/x", Deny), ("*/xy", RequireApproval)]));
}

#[test]
fn the_default_and_the_locks_count() {
    let with = |default, locked: &[&str]| ConfigPolicy {
        default,
        locked: locked.iter().map(|text| text.parse().expect("a pattern")).collect(),
        ..policy_with(&[("a/x", RequireApproval)])
    };
    let widens = |before, after| compare_policies(&before, &after).iter().any(|edit| edit.widens);
    assert!(widens(with(Deny, &[]), with(Allow, &[])));
    assert!(!widens(with(Allow, &[]), with(Deny, &[])));
    assert!(widens(with(Deny, &["a/*"]), with(Deny, &[])));
    assert!(!widens(with(Deny, &[]), with(Deny, &["a/*"])));
    let reading = |reads: &[&str]| ConfigPolicy {
        reads: reads.iter().map(|text| text.parse().expect("a pattern")).collect(),
        ..with(Deny, &[])
    };
    assert!(widens(reading(&[]), reading(&["a/*"])) && widens(reading(&["a/*"]), reading(&["a/x"])));
    assert!(!widens(reading(&["a/*"]), reading(&[])));
    // Taking the entry away leaves the default, which allows.
    assert!(widens(with(Allow, &[]), ConfigPolicy { default: Allow, ..policy_with(&[]) }));
}

/// An entry for `pay/send` with one case on the amount.
fn policy_with_bound(bound: &str, then: Action, otherwise: Action) -> ConfigPolicy {
    let when = ArgumentCondition {
        pointer: JsonPointer::parse("/amount").expect("a pointer"),
        test: ValueTest::Bound(Comparison::Above, Decimal::parse(bound).expect("a number")),
    };
    let mut policy = policy_with(&[("pay/send", otherwise)]);
    let source = DecisionSource::Config { line: 2, column: 1 };
    policy.entries[0].cases = vec![PolicyCase { when: vec![when], action: then, number: 1, source }];
    policy
}

#[test]
fn cases_are_compared_by_their_conditions() {
    let widens = |before, after| compare_policies(&before, &after).iter().any(|edit| edit.widens);
    assert!(!widens(policy_with_bound("100", RequireApproval, Allow), policy_with_bound("100", Deny, Allow)));
    assert!(!widens(
        policy_with_bound("100", RequireApproval, Allow),
        policy_with_bound("100", RequireApproval, RequireApproval)
    ));
    assert!(!widens(policy_with(&[("pay/send", Allow)]), policy_with_bound("100", Deny, Allow)));
    assert!(!widens(
        policy_with_bound("100", Allow, RequireApproval),
        policy_with(&[("pay/send", RequireApproval)])
    ));
    assert!(
        widens(policy_with_bound("100", Deny, Allow), policy_with_bound("1000", Deny, Allow)),
        "another condition is not understood"
    );
    assert!(widens(policy_with_bound("100", Deny, Allow), policy_with(&[("pay/send", Allow)])));
    assert!(widens(
        policy_with(&[("pay/send", RequireApproval)]),
        policy_with_bound("100", Allow, RequireApproval)
    ));
    assert!(widens(policy_with_bound("100", Allow, Deny), policy_with_bound("100", Allow, RequireApproval)));
}

#[test]
fn each_edit_is_told_with_what_it_was_what_it_is_and_where() {
    let before = policy_with(&[("a/x", Deny), ("b/*", Allow)]);
    let mut after = policy_with_bound("1e3", Deny, Allow);
    after.entries.push(policy_with(&[("a/x", Allow)]).entries.remove(0));
    after.locked.push("b/*".parse().expect("a pattern"));
    after.reads.push("b/get".parse().expect("a pattern"));
    let told: Vec<_> = compare_policies(&before, &after)
        .into_iter()
        .map(|PolicyEdit { widens, description: words }| {
            format!("{} {words}", if widens { "widens " } else { "narrows" })
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    widens  `a/x`: deny → allow (policies.json:1:3)
    narrows `b/*`: allow → nothing said (policies.json:2:3 before)
    widens  `pay/send`: nothing said → deny when /amount above 1000, otherwise allow (policies.json:1:3)
    narrows `b/*` is locked
    widens  `b/get` is listed as reading: grants for what only reads cover it
    ");
}

#[test]
fn what_is_only_written_elsewhere_is_no_edit() {
    let mut moved = policy_with(&[("a/x", Deny), ("b/*", Allow)]);
    moved.entries.reverse();
    moved.entries.iter_mut().for_each(|entry| entry.source = DecisionSource::Config { line: 90, column: 1 });
    assert_eq!(compare_policies(&policy_with(&[("a/x", Deny), ("b/*", Allow)]), &moved), []);
}
