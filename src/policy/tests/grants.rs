//! Grants for one session, for one project, for a number of uses.

use std::num::NonZeroU32;

use super::*;
use crate::names::{AgentSessionId, Principal, SessionId};

struct TestSession {
    principal: Principal,
    session: SessionId,
    agent_session: Option<AgentSessionId>,
}

impl TestSession {
    fn new(project: &str, agent_session: Option<&str>) -> Self {
        Self {
            principal: Principal::from_project(project.as_ref()),
            session: SessionId::fresh(),
            agent_session: agent_session.map(|id| id.parse().expect("an id")),
        }
    }

    fn caller(&self) -> CallerIdentity<'_> {
        CallerIdentity {
            principal: &self.principal,
            session: self.session,
            agent_session: self.agent_session.as_ref(),
        }
    }
}

/// A grant on everything for a minute.
fn policy_with_grant(limits: GrantLimits, used: u32) -> Policy {
    let mut standing = overrides_with(&[], &["*"]);
    standing.grants[0].limits = limits;
    standing.grants[0].used = used;
    Policy::new(ConfigPolicy::default(), standing)
}

fn action_at(policy: &Policy, someone: Option<&TestSession>, moment: Moment) -> Action {
    policy.decide(&tool("mail/send"), None, someone.map(TestSession::caller), moment).action
}

fn limited_uses(count: u32) -> GrantLimits {
    GrantLimits { uses: NonZeroU32::new(count), ..GrantLimits::default() }
}

#[test]
fn a_grant_for_one_session_is_for_no_other_and_for_nobody_in_particular() {
    let (one, other) = (TestSession::new("/p", None), TestSession::new("/p", None));
    let policy = policy_with_grant(GrantLimits { session: Some(one.session), ..GrantLimits::default() }, 0);
    assert_eq!(action_at(&policy, Some(&one), now()), Allow);
    assert_eq!(action_at(&policy, Some(&other), now()), RequireApproval);
    assert_eq!(action_at(&policy, None, now()), RequireApproval);
}

#[test]
fn a_session_that_connects_again_is_the_same_by_its_agents_id() {
    let (before, again) =
        (TestSession::new("/p", Some("claude-1")), TestSession::new("/p", Some("claude-1")));
    let policy = policy_with_grant(
        GrantLimits { agent_session: before.agent_session.clone(), ..GrantLimits::default() },
        0,
    );
    assert_eq!(action_at(&policy, Some(&before), now()), Allow);
    assert_eq!(action_at(&policy, Some(&again), now()), Allow);
    assert_eq!(action_at(&policy, Some(&TestSession::new("/p", Some("claude-2"))), now()), RequireApproval);
    assert_eq!(action_at(&policy, Some(&TestSession::new("/p", None)), now()), RequireApproval);
}

#[test]
fn all_limits_hold_together() {
    let one = TestSession::new("/p", Some("claude-1"));
    let project = Some(one.principal.clone());
    let limits = GrantLimits { agent_session: one.agent_session.clone(), project, ..limited_uses(2) };
    let policy = policy_with_grant(limits.clone(), 1);
    assert_eq!(action_at(&policy, Some(&one), now()), Allow);
    assert_eq!(action_at(&policy, Some(&TestSession::new("/q", Some("claude-1"))), now()), RequireApproval);
    assert_eq!(action_at(&policy, Some(&TestSession::new("/p", Some("claude-2"))), now()), RequireApproval);
    assert_eq!(
        action_at(&policy_with_grant(limits, 2), Some(&one), now()),
        RequireApproval,
        "both uses are gone"
    );
}

#[test]
fn limits_take_nothing_from_how_a_grant_ends() {
    let one = TestSession::new("/p", None);
    let limits = GrantLimits { session: Some(one.session), ..limited_uses(3) };
    let policy = policy_with_grant(limits, 1);
    let back = Duration::from_secs(1);
    for (moment, why) in [
        (now_plus(60), "its time is over"),
        (Moment { wall: now().wall, ..now_plus(61) }, "the wall clock was set back"),
        (Moment { wall: now().wall - back, ..now_plus(5) }, "the wall clock is before it was made"),
        (Moment { wall: now_plus(3600).wall, ..now() }, "the wall clock jumped ahead"),
        (Moment { boot: now().boot, ..now_plus(61) }, "the boot clock stood still"),
        (Moment { boot: now().boot - back, ..now() }, "the boot clock is before it was made"),
    ] {
        assert_eq!(action_at(&policy, Some(&one), moment), RequireApproval, "{why}");
    }
    assert_eq!(action_at(&policy, Some(&one), now_plus(59)), Allow);
    let mut rebooted = policy.overrides().clone();
    rebooted.boot_id = "boot-2".into();
    assert_eq!(
        action_at(&policy.with_overrides(rebooted), Some(&one), now()),
        RequireApproval,
        "another boot"
    );
}

#[test]
fn a_limited_grant_lifts_no_deny_and_no_lock() {
    let one = TestSession::new("/p", None);
    let mut people = overrides_with(&[], &["*"]);
    people.grants[0].limits = GrantLimits { session: Some(one.session), ..limited_uses(3) };
    for files in
        [config_with(&[("mail/*", Deny)], &[]), config_with(&[("mail/*", RequireApproval)], &["mail/send"])]
    {
        let policy = Policy::new(files, people.clone());
        assert_ne!(action_at(&policy, Some(&one), now()), Allow);
    }
}

#[test]
fn no_use_is_spent_where_a_grant_without_a_count_is_there() {
    let mut people = overrides_with(&[], &["mail/send", "*"]);
    people.grants[0].limits = limited_uses(1);
    let policy = Policy::new(ConfigPolicy::default(), people);
    let decision = policy.decide(&tool("mail/send"), None, None, now());
    assert_eq!((decision.source.clone(), policy.consumed_grant(&decision)), (DecisionSource::Grant(2), None));
    let left = policy.without_grants(&[2]);
    let decision = left.decide(&tool("mail/send"), None, None, now());
    assert_eq!(left.consumed_grant(&decision), Some(1));
}

#[test]
fn an_explanation_tells_of_grants_for_others() {
    let one = TestSession::new("/p", Some("claude-1"));
    let limits = GrantLimits { project: Some(one.principal.clone()), ..limited_uses(3) };
    let policy = policy_with_grant(GrantLimits { agent_session: one.agent_session.clone(), ..limits }, 0);
    let explained = policy.explain(&tool("mail/send"), None, None, now());
    assert_eq!(explained.decision.action, RequireApproval);
    let whom: Vec<_> = explained.elsewhere.iter().map(|grant| grant.limits.to_string()).collect();
    assert_eq!(whom, ["only in session claude-1, only in project /p, 3 uses"]);
    assert!(explained.losing.iter().all(|losing| losing.source != DecisionSource::Grant(1)));
    let theirs = policy.explain(&tool("mail/send"), None, Some(one.caller()), now());
    assert_eq!((theirs.decision.action, theirs.elsewhere.len()), (Allow, 0));
}
