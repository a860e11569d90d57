//! Denials of exactly one call, against grants and rules of before and after.

use super::*;
use crate::names::{Principal, SessionId, TaskId};

const KEY: [u8; 32] = [7; 32];

fn project(name: &str) -> Principal {
    Principal::from_project(std::path::Path::new(name))
}

fn caller(principal: &Principal) -> CallerIdentity<'_> {
    CallerIdentity { principal, session: SessionId::fresh(), agent_session: None }
}

/// Decides about a call of `mail/send` with these params.
fn decide_params(policy: &Policy, params: &str, principal: &Principal, now: Moment) -> Decision {
    let params: Box<RawValue> = serde_json::from_str(params).unwrap();
    let tool = tool("mail/send");
    policy.decide_call(identity(&tool, &params), caller(principal), now, None)
}

fn identity<'a>(tool: &'a ToolId, params: &'a RawValue) -> CallIdentity<'a> {
    CallIdentity { tool, method: "tools/call", params, arguments: None }
}

/// The denial, ten minutes long, of `mail/send` with these params.
fn denial(params: &str, seconds: u64) -> CallDenial {
    let params: Box<RawValue> = serde_json::from_str(params).unwrap();
    CallDenial {
        principal: project("/one"),
        call: identity(&tool("mail/send"), &params).fingerprint(&KEY).unwrap(),
        task: TaskId::fresh(),
        made: now_plus(seconds),
        millis: 600_000,
        reason: serde_json::from_str("\"not to them\"").unwrap(),
    }
}

fn with_denials(list: Vec<CallDenial>) -> Overrides {
    Overrides { denials: CallDenials { key: KEY, list }, ..overrides_with(&[], &[]) }
}

fn grant_at(seconds: u64) -> Grant {
    Grant { made: now_plus(seconds), millis: 3_600_000, ..overrides_with(&[], &["mail/*"]).grants.remove(0) }
}

const TO_EVE: &str = r#"{"name":"send","arguments":{"to":"eve","cc":[]}}"#;

#[test]
fn a_denial_is_of_one_call_however_it_is_spelled_and_of_one_project() {
    let files = config_with(&[("mail/send", Allow)], &[]);
    let policy = Policy::new(files, with_denials(vec![denial(TO_EVE, 0)]));
    let action = |params: &str, principal: &str| {
        decide_params(&policy, params, &project(principal), now_plus(1)).action
    };
    assert_eq!(action(TO_EVE, "/one"), Deny, "also where the files allow it");
    assert_eq!(action(r#"{ "arguments": {"cc":[], "to":"\u0065ve"}, "name":"send"}"#, "/one"), Deny);
    assert_eq!(action(r#"{"name":"send","arguments":{"to":"ada","cc":[]}}"#, "/one"), Allow);
    assert_eq!(action(TO_EVE, "/two"), Allow);
    let said = decide_params(&policy, TO_EVE, &project("/one"), now_plus(1)).to_string();
    assert!(
        said.contains("said no to exactly this call") && said.contains("and said: not to them"),
        "{said}"
    );
    assert_eq!(DecisionSource::parse_from_text(&said), None);
    assert_eq!(decide_params(&policy, TO_EVE, &project("/one"), now_plus(600)).action, Allow, "it is over");
}

#[test]
fn of_a_denial_and_a_yes_the_later_one_holds() {
    for (denied, said, expected) in [(10, 20, Allow), (20, 10, Deny), (10, 10, Deny)] {
        let denials = with_denials(vec![denial(TO_EVE, denied)]);
        let granted = Overrides { grants: vec![grant_at(said)], ..denials.clone() };
        let rule = PolicyRule {
            made: now_plus(said).wall,
            ..overrides_with(&[("mail/*", Allow)], &[]).rules.remove(0)
        };
        let ruled = Overrides { rules: vec![rule], ..denials };
        for standing in [granted, ruled] {
            let policy = Policy::new(config_with(&[], &[]), standing);
            let decided = decide_params(&policy, TO_EVE, &project("/one"), now_plus(30));
            assert_eq!(decided.action, expected, "denied at {denied}, allowed at {said}");
        }
    }
}

#[test]
fn a_later_yes_for_others_lifts_no_denial() {
    let limits = GrantLimits { project: Some(project("/two")), ..GrantLimits::default() };
    let grant = Grant { limits, ..grant_at(20) };
    let elsewhere = Grant { pattern: pattern("notes/*"), ..grant_at(20) };
    let used_up = Grant {
        limits: GrantLimits { uses: std::num::NonZeroU32::new(1), ..GrantLimits::default() },
        used: 1,
        ..grant_at(20)
    };
    for grant in [grant, elsewhere, used_up] {
        let standing = Overrides { grants: vec![grant], ..with_denials(vec![denial(TO_EVE, 10)]) };
        let policy = Policy::new(config_with(&[("mail/send", Allow)], &[]), standing);
        assert_eq!(decide_params(&policy, TO_EVE, &project("/one"), now_plus(30)).action, Deny);
    }
}

#[test]
fn a_later_grant_lifts_a_denial_without_lifting_a_deny() {
    let files = config_with(&[("mail/send", Deny)], &[]);
    let standing = Overrides { grants: vec![grant_at(20)], ..with_denials(vec![denial(TO_EVE, 10)]) };
    let decided = decide_params(&Policy::new(files, standing), TO_EVE, &project("/one"), now_plus(30));
    assert_eq!((decided.action, decided.pattern), (Deny, Some(pattern("mail/send"))));
}

#[test]
fn an_approval_of_the_very_call_outweighs_a_denial_of_before_only() {
    let policy = Policy::new(config_with(&[], &[]), with_denials(vec![denial(TO_EVE, 10)]));
    let (tool, params) = (tool("mail/send"), serde_json::from_str::<Box<RawValue>>(TO_EVE).unwrap());
    for (approved, expected) in [(5, Deny), (10, RequireApproval), (15, RequireApproval)] {
        let (principal, approved) = (project("/one"), Some(now_plus(approved).wall));
        let decided =
            policy.decide_call(identity(&tool, &params), caller(&principal), now_plus(30), approved);
        assert_eq!(decided.action, expected);
    }
}

#[test]
fn a_denial_holds_without_the_daemon_and_a_grant_that_lifted_it_does_not() {
    let standing = Overrides { grants: vec![grant_at(20)], ..with_denials(vec![denial(TO_EVE, 10)]) };
    let policy = Policy::new(config_with(&[("mail/send", Allow)], &[]), standing.restrictive_only());
    assert_eq!(decide_params(&policy, TO_EVE, &project("/one"), now_plus(30)).action, Deny);
}

#[test]
fn a_cool_down_ends_by_the_clock_that_comes_first_and_survives_a_reboot() {
    let denial = denial(TO_EVE, 0);
    let at = |wall: i64, boot: u64| Moment {
        wall: now().wall + jiff::SignedDuration::from_secs(wall),
        boot: Duration::from_secs(boot),
    };
    for (wall, boot, live) in [
        (0, 9_000, true),
        (599, 9_599, true),
        (600, 9_100, false),
        (100, 9_600, false),
        (-1, 9_100, true),
        (-1, 9_600, false),
        (-1, 20, false),
        (100, 20, true),
        (600, 20, false),
    ] {
        assert_eq!(denial.is_live(at(wall, boot)), live, "{wall} {boot}");
    }
}
