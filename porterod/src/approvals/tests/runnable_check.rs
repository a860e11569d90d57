//! What makes an approval void, and what does not.

use portero::policy::{DecisionSource, PolicyEntry};

use super::*;

const TEST_TIMEOUT: Duration = Duration::from_secs(20);

fn policy_with(pattern: &str, action: portero::policy::Action) -> Policy {
    let source = DecisionSource::Config { line: 9, column: 5 };
    let entry = PolicyEntry { pattern: pattern.parse().unwrap(), action, cases: Vec::new(), source };
    let config = ConfigPolicy { entries: vec![entry], ..ConfigPolicy::default() };
    Policy::new(config, Overrides::default())
}

#[tokio::test]
async fn an_edit_of_the_policy_that_leaves_the_call_asking_voids_nothing() {
    use portero::policy::Action::{Deny, RequireApproval};
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    for policy in [policy_with("github/merge_*", Deny), policy_with("mail/send", RequireApproval)] {
        fixture.policy.store(Arc::new(policy));
        fixture.approval_queue.check_runnable(&task, false, TEST_TIMEOUT).await.unwrap();
        assert_eq!(fixture.open_task("hello").await.id, task.id, "it is still the same question");
    }
    fixture.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))).await.unwrap();
}

#[tokio::test]
async fn a_deny_is_named_before_anyone_says_yes_and_nothing_is_approved() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    fixture.policy.store(Arc::new(policy_with("mail/*", portero::policy::Action::Deny)));
    let said = "denied by `mail/*` (policies.json:9:5)";
    let void = ApprovalError::Void(task.id, said.to_owned());
    assert_eq!(fixture.approval_queue.check_runnable(&task, false, TEST_TIMEOUT).await.unwrap_err(), void);
    assert_eq!(
        fixture
            .approval_queue
            .approve(task.id, Authorization::for_test(Act::Approve(task.id)))
            .await
            .unwrap_err(),
        void
    );
    assert_eq!(fixture.approval_queue.find_task(task.id, None).unwrap().state, TaskState::PendingApproval);
    fixture.policy.store(Arc::default());
    fixture.approval_queue.approve(task.id, Authorization::for_test(Act::Approve(task.id))).await.unwrap();
}

#[tokio::test]
async fn a_pause_voids_nothing_since_it_ends() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    let paused = Some(fixture.clock.now().wall);
    let standing = Overrides { paused, ..Overrides::default() };
    fixture.policy.store(Arc::new(Policy::new(ConfigPolicy::default(), standing)));
    fixture.approval_queue.check_runnable(&task, false, TEST_TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn each_part_that_voids_an_approval_is_named() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    type Edit = fn(&mut BindingInputs);
    let edits: [(Edit, &str); 4] = [
        (|ground| ground.configured.server.push('x'), "the server's entry in mcps.json"),
        (|ground| ground.configured.environment.push('x'), "the variables that the server is given"),
        (|ground| ground.configured.values.push('x'), "the real values behind the call's replacements"),
        (|ground| ground.definition = None, "the tool's definition"),
    ];
    for (edit, what) in edits {
        let mut now = binding_inputs("definition");
        edit(&mut now);
        *fixture.binding_source.0.lock().unwrap() = Ok(now);
        let said = format!("since a person was asked, {what} changed");
        let void = ApprovalError::Void(task.id, said);
        assert_eq!(
            fixture.approval_queue.check_runnable(&task, false, TEST_TIMEOUT).await.unwrap_err(),
            void,
            "{what}"
        );
    }
    *fixture.binding_source.0.lock().unwrap() = Ok(binding_inputs("definition"));
    fixture.approval_queue.check_runnable(&task, false, TEST_TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_before_anyone_says_yes() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    *fixture.binding_source.0.lock().unwrap() = Err(Refusal::Unknown("mail".to_owned()));
    let said = "no server offers `mail`; search with portero/search_tools";
    let void = ApprovalError::Void(task.id, said.to_owned());
    assert_eq!(
        fixture
            .approval_queue
            .approve(task.id, Authorization::for_test(Act::Approve(task.id)))
            .await
            .unwrap_err(),
        void
    );
}

#[tokio::test]
async fn what_may_be_over_in_a_moment_voids_nothing() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    for refusal in [
        Refusal::ServerUnavailable("it starts again in 3 s".to_owned()),
        Refusal::DaemonUnavailable("busy".to_owned()),
    ] {
        *fixture.binding_source.0.lock().unwrap() = Err(refusal);
        fixture.approval_queue.check_runnable(&task, false, TEST_TIMEOUT).await.unwrap();
    }
}

#[tokio::test]
async fn a_task_whose_time_is_over_expires_before_anyone_types_a_passphrase() {
    let fixture = Fixture::new();
    let task = fixture.open_task("hello").await;
    fixture.clock.advance(Duration::from_secs(24 * 3600));
    let checked = fixture.approval_queue.check_runnable(&task, false, TEST_TIMEOUT).await;
    assert_eq!(checked.unwrap_err(), ApprovalError::WrongState(task.id, TaskState::Expired));
    assert_eq!(fixture.approval_queue.find_task(task.id, None).unwrap().state, TaskState::Expired);
}
