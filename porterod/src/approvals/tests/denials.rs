//! Denials of exactly one call, beyond the process that took them.

use portero::policy::Action;
use portero::policy::offline_denies;

use super::*;
use crate::overrides::GrantRequest;
use crate::overrides::tests::open_store;

#[tokio::test]
async fn a_denial_that_came_before_a_crash_is_known_to_every_session_after_it() {
    let fixture = Fixture::new();
    let overrides = open_store(&fixture).await;
    let duration = Duration::from_secs(15 * 60);
    let wanted = GrantRequest {
        pattern: "mail/*".parse().unwrap(),
        duration,
        limits: portero::policy::GrantLimits::default(),
    };
    let confirmed = Authorization::for_test(wanted.act());
    overrides.make_grant(wanted, duration, confirmed).await.unwrap();
    // Denied, and killed before any session was told.
    fixture.clock.advance(Duration::from_secs(1));
    let task = fixture.open_task("0").await;
    fixture.approval_queue.reject(task.id, None, &"test".into()).await.unwrap();

    let after = fixture.after_crash();
    after.clock.advance(Duration::from_secs(1));
    let overrides = open_store(&after).await;
    overrides.add_call_denials(after.approval_queue.call_denials().unwrap()).await.unwrap();
    let origin = context("/project").origin;
    let decided = call("0").decide(&after.policy.load(), Some(origin.asker()), after.clock.now());
    assert_eq!(decided.action, Action::Deny, "{decided}");
    let file = after.directory.path().join("denies.json");
    let offline = offline_denies::read(&file, &file).unwrap();
    assert_eq!(offline.denials.list.len(), 1, "also to those without a daemon");
}

#[tokio::test]
async fn an_identical_call_that_was_denied_after_the_approval_does_not_run() {
    let fixture = Fixture::new();
    let overrides = open_store(&fixture).await;
    let approved = fixture.approve_task("0").await;
    fixture.clock.advance(Duration::from_secs(1));
    // The same call from another directory of the project: another binding, and so another task.
    let mut elsewhere = context("/project");
    elsewhere.origin.directory = PathBuf::from("/project/sub");
    let twin = fixture.approval_queue.submit_call(call("0"), &elsewhere).await.unwrap();
    assert_ne!(twin.id, approved.id);
    fixture.approval_queue.reject(twin.id, None, &"test".into()).await.unwrap();
    overrides.add_call_denials(fixture.approval_queue.call_denials().unwrap()).await.unwrap();
    let decided = approved.decide_approved(&fixture.policy.load(), fixture.clock.now());
    assert_eq!(decided.action, Action::Deny);
}
