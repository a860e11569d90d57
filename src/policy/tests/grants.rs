//! Grants for one session, for one project, for a number of uses.

use std::num::NonZeroU32;

use super::*;
use crate::names::{AgentSession, Principal, SessionId};

struct Someone {
    principal: Principal,
    session: SessionId,
    agent_session: Option<AgentSession>,
}

impl Someone {
    fn new(project: &str, agent_session: Option<&str>) -> Self {
        Self {
            principal: Principal::of_project(project.as_ref()),
            session: SessionId::fresh(),
            agent_session: agent_session.map(|id| id.parse().expect("an id")),
        }
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            principal: &self.principal,
            session: self.session,
            agent_session: self.agent_session.as_ref(),
        }
    }
}

/// A grant on everything for a minute.
fn granted(limits: Limits, used: u32) -> Policy {
    let mut standing = standing(&[], &["*"]);
    standing.grants[0].limits = limits;
    standing.grants[0].used = used;
    Policy::new(ConfigPolicy::default(), standing)
}

fn at(policy: &Policy, someone: Option<&Someone>, moment: Moment) -> Action {
    policy.decide(&tool("mail/send"), None, someone.map(Someone::asker), moment).action
}

fn uses(count: u32) -> Limits {
    Limits { uses: NonZeroU32::new(count), ..Limits::default() }
}

#[test]
fn a_grant_for_one_session_is_for_no_other_and_for_nobody_in_particular() {
    let (one, other) = (Someone::new("/p", None), Someone::new("/p", None));
    let policy = granted(Limits { session: Some(one.session), ..Limits::default() }, 0);
    assert_eq!(at(&policy, Some(&one), now()), Allow);
    assert_eq!(at(&policy, Some(&other), now()), RequireApproval);
    assert_eq!(at(&policy, None, now()), RequireApproval);
}

#[test]
fn a_session_that_connects_again_is_the_same_by_its_agents_id() {
    let (before, again) = (Someone::new("/p", Some("claude-1")), Someone::new("/p", Some("claude-1")));
    let policy = granted(Limits { agent_session: before.agent_session.clone(), ..Limits::default() }, 0);
    assert_eq!(at(&policy, Some(&before), now()), Allow);
    assert_eq!(at(&policy, Some(&again), now()), Allow);
    assert_eq!(at(&policy, Some(&Someone::new("/p", Some("claude-2"))), now()), RequireApproval);
    assert_eq!(at(&policy, Some(&Someone::new("/p", None)), now()), RequireApproval);
}

#[test]
fn all_limits_hold_together() {
    let one = Someone::new("/p", Some("claude-1"));
    let project = Some(one.principal.clone());
    let limits = Limits { agent_session: one.agent_session.clone(), project, ..uses(2) };
    let policy = granted(limits.clone(), 1);
    assert_eq!(at(&policy, Some(&one), now()), Allow);
    assert_eq!(at(&policy, Some(&Someone::new("/q", Some("claude-1"))), now()), RequireApproval);
    assert_eq!(at(&policy, Some(&Someone::new("/p", Some("claude-2"))), now()), RequireApproval);
    assert_eq!(at(&granted(limits, 2), Some(&one), now()), RequireApproval, "both uses are gone");
}

#[test]
fn limits_take_nothing_from_how_a_grant_ends() {
    let one = Someone::new("/p", None);
    let limits = Limits { session: Some(one.session), ..uses(3) };
    let policy = granted(limits, 1);
    let back = Duration::from_secs(1);
    for (moment, why) in [
        (later(60), "its time is over"),
        (Moment { wall: now().wall, ..later(61) }, "the wall clock was set back"),
        (Moment { wall: now().wall - back, ..later(5) }, "the wall clock is before it was made"),
        (Moment { wall: later(3600).wall, ..now() }, "the wall clock jumped ahead"),
        (Moment { boot: now().boot, ..later(61) }, "the boot clock stood still"),
        (Moment { boot: now().boot - back, ..now() }, "the boot clock is before it was made"),
    ] {
        assert_eq!(at(&policy, Some(&one), moment), RequireApproval, "{why}");
    }
    assert_eq!(at(&policy, Some(&one), later(59)), Allow);
    let mut rebooted = policy.standing().clone();
    rebooted.boot_id = "boot-2".into();
    assert_eq!(at(&policy.with_standing(rebooted), Some(&one), now()), RequireApproval, "another boot");
}

#[test]
fn a_limited_grant_lifts_no_deny_and_no_lock() {
    let one = Someone::new("/p", None);
    let mut people = standing(&[], &["*"]);
    people.grants[0].limits = Limits { session: Some(one.session), ..uses(3) };
    for files in [config(&[("mail/*", Deny)], &[]), config(&[("mail/*", RequireApproval)], &["mail/send"])] {
        let policy = Policy::new(files, people.clone());
        assert_ne!(at(&policy, Some(&one), now()), Allow);
    }
}

#[test]
fn no_use_is_spent_where_a_grant_without_a_count_is_there() {
    let mut people = standing(&[], &["mail/send", "*"]);
    people.grants[0].limits = uses(1);
    let policy = Policy::new(ConfigPolicy::default(), people);
    let decision = policy.decide(&tool("mail/send"), None, None, now());
    assert_eq!((decision.source.clone(), policy.counted(&decision)), (Source::Grant(2), None));
    let left = policy.without_grants(&[2]);
    let decision = left.decide(&tool("mail/send"), None, None, now());
    assert_eq!(left.counted(&decision), Some(1));
}

#[test]
fn an_explanation_tells_of_grants_for_others() {
    let one = Someone::new("/p", Some("claude-1"));
    let limits = Limits { project: Some(one.principal.clone()), ..uses(3) };
    let policy = granted(Limits { agent_session: one.agent_session.clone(), ..limits }, 0);
    let explained = policy.explain(&tool("mail/send"), None, None, now());
    assert_eq!(explained.decision.action, RequireApproval);
    let whom: Vec<_> = explained.elsewhere.iter().map(|grant| grant.limits.to_string()).collect();
    assert_eq!(whom, ["only in session claude-1, only in project /p, 3 uses"]);
    assert!(explained.losing.iter().all(|losing| losing.source != Source::Grant(1)));
    let theirs = policy.explain(&tool("mail/send"), None, Some(one.asker()), now());
    assert_eq!((theirs.decision.action, theirs.elsewhere.len()), (Allow, 0));
}
