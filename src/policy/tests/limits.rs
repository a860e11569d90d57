//! Grants for certain calls: exactly one, with fixed arguments, or of tools that are listed as reading.

use super::*;
use crate::json::{RawJson, parse_raw};
use crate::names::{Principal, SessionId};

const KEY: [u8; 32] = [7; 32];

fn fixed(pointer: &str, value: &str) -> GrantLimits {
    let fixed = serde_json::json!({"arguments": {"fixed": [{"pointer": pointer, "value": value}]}});
    serde_json::from_value(fixed).expect("limits")
}

fn reading() -> GrantLimits {
    GrantLimits { reads_only: true, ..GrantLimits::default() }
}

/// A grant on `mail/*` for a minute.
fn policy_with(limits: GrantLimits, config: ConfigPolicy) -> Policy {
    let mut standing = overrides_with(&[], &["mail/*"]);
    standing.grants[0].limits = limits;
    standing.denials.key = KEY;
    Policy::new(config, standing)
}

fn params(arguments: &str) -> RawJson {
    parse_raw(format!(r#"{{"name":"send","arguments":{arguments}}}"#)).expect("JSON")
}

fn action_of(policy: &Policy, arguments: &str, moment: Moment) -> Action {
    let (tool, params) = (tool("mail/send"), params(arguments));
    let arguments = parse_raw(arguments.to_owned()).expect("JSON");
    let call =
        CallIdentity { tool: &tool, method: "tools/call", params: &params, arguments: Some(&arguments) };
    policy.decide_without_denials(call, None, moment).action
}

#[test]
fn a_grant_with_a_fixed_argument_covers_calls_that_have_it_and_no_question_without_a_call() {
    let policy = policy_with(fixed("/to", r#""ann""#), ConfigPolicy::default());
    assert_eq!(action_of(&policy, r#"{"to":"ann","text":"hi"}"#, now()), Allow);
    assert_eq!(action_of(&policy, r#"{"to":"bob","text":"hi"}"#, now()), RequireApproval);
    let send = tool("mail/send");
    assert_eq!(policy.decide(&send, None, None, now()).action, RequireApproval);
    assert_eq!(policy.expected_action(&send, None, now()), RequireApproval);
    assert_eq!(policy.action_range(&send, None, now()), (Allow, RequireApproval));
    // Guarantee D5: a limit changes nothing about the time.
    assert_eq!(action_of(&policy, r#"{"to":"ann"}"#, now_plus(60)), RequireApproval);
    let set_back = Moment { wall: now().wall - Duration::from_secs(1), ..now_plus(1) };
    assert_eq!(action_of(&policy, r#"{"to":"ann"}"#, set_back), RequireApproval);
}

#[test]
fn why_names_a_grant_that_is_for_other_calls() {
    let send = tool("mail/send");
    let to_bob = parse_raw(r#"{"to":"bob"}"#.to_owned()).expect("JSON");
    let to_ann = parse_raw(r#"{"to":"ann"}"#.to_owned()).expect("JSON");
    let policy = policy_with(fixed("/to", r#""ann""#), ConfigPolicy::default());
    for arguments in [None, Some(&*to_bob)] {
        let explained = policy.explain(&send, arguments, None, now());
        assert_eq!(explained.decision.action, RequireApproval);
        let [grant] = &explained.elsewhere[..] else { panic!("{explained:?}") };
        assert_eq!(grant.limits.describe_scope(), r#"only with to = "ann""#);
    }
    let explained = policy.explain(&send, Some(&to_ann), None, now());
    assert_eq!((explained.decision.action, explained.elsewhere.len()), (Allow, 0));
    let policy = policy_with(reading(), ConfigPolicy::default());
    let [grant] = &policy.explain(&send, None, None, now()).elsewhere[..] else { panic!("the grant") };
    assert_eq!(grant.limits.to_string(), "only tools that policy lists as reading");
}

#[test]
fn a_grant_for_exactly_one_call_covers_it_however_it_is_spelled() {
    let send = tool("mail/send");
    let of = |arguments: &str, key: &[u8; 32]| {
        let params = params(arguments);
        let call = CallIdentity { tool: &send, method: "tools/call", params: &params, arguments: None };
        let call = call.fingerprint(key).expect("a digest");
        GrantLimits { arguments: Some(ArgumentLimit::ExactCall(call)), ..GrantLimits::default() }
    };
    let asked = r#"{"to":"ann","text":"hi"}"#;
    let policy = policy_with(of(asked, &KEY), ConfigPolicy::default());
    for same in [asked, r#"{ "text":"hi", "t\u006f":"ann" }"#] {
        assert_eq!(action_of(&policy, same, now()), Allow, "{same}");
    }
    for other in [r#"{"to":"ann","text":"hi!"}"#, r#"{"to":"ann","text":"hi","cc":null}"#, "{}"] {
        assert_eq!(action_of(&policy, other, now()), RequireApproval, "{other}");
    }
    // Without the key no digest is right, not even one that was made without it.
    let mut keyless = policy_with(of(asked, &[0; 32]), ConfigPolicy::default()).overrides().clone();
    keyless.denials.key = [0; 32];
    assert_eq!(action_of(&Policy::default().with_overrides(keyless), asked, now()), RequireApproval);
}

#[test]
fn only_policys_own_list_says_what_reads_and_both_lists_while_an_edit_waits() {
    let with = |reads: &[&str]| ConfigPolicy {
        reads: reads.iter().map(|text| pattern(text)).collect(),
        ..ConfigPolicy::default()
    };
    let waiting = |present: &[&str], confirmed: &[&str]| ConfigPolicy {
        approved: Some(Box::new(with(confirmed))),
        ..with(present)
    };
    for (config, action) in [
        (with(&[]), RequireApproval),
        (with(&["mail/get_*"]), RequireApproval),
        (with(&["mail/s*"]), Allow),
        (waiting(&["mail/send"], &[]), RequireApproval),
        (waiting(&[], &["mail/send"]), RequireApproval),
        (waiting(&["mail/send"], &["mail/*"]), Allow),
    ] {
        assert_eq!(action_of(&policy_with(reading(), config), "{}", now()), action);
    }
}

#[test]
fn what_a_grant_covers_counts_after_a_denial_and_for_a_changed_definition() {
    let (send, project, session) =
        (tool("mail/send"), Principal::from_project("/p".as_ref()), SessionId::fresh());
    let caller = CallerIdentity { principal: &project, session, agent_session: None };
    let since = now().wall - Duration::from_secs(1);
    let allowing = config_with(&[("mail/*", Allow)], &[]);
    for (limits, counts) in [
        (GrantLimits::default(), true),
        (fixed("/to", r#""ann""#), true),
        (fixed("/to", r#""bob""#), false),
        (reading(), false),
    ] {
        let policy = policy_with(limits, allowing.clone());
        let params = params(r#"{"to":"ann"}"#);
        let arguments = parse_raw(r#"{"to":"ann"}"#.to_owned()).expect("JSON");
        let call =
            CallIdentity { tool: &send, method: "tools/call", params: &params, arguments: Some(&arguments) };
        assert_eq!(policy.allows_since(since, call, caller, now()), counts);
        let allowed = policy.decide_without_denials(call, Some(caller), now());
        let changed = DefinitionState::Changed { since: Some(0) };
        let decided = policy.require_accepted(call, allowed, changed, Some(caller), now());
        assert_eq!(decided.action == Allow, counts, "{decided:?}");
    }
}
