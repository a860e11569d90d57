//! How much may wait for a person, and what a no keeps from asking again.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Why a call is refused without a task.
async fn declined_message(fixture: &Fixture, text: &str, context: &CallContext) -> String {
    match fixture.approval_queue.submit_call(call(text), context).await {
        Err(Refusal::Declined(words)) => words,
        other => panic!("not declined: {other:?}"),
    }
}

/// Asks with so many different calls in sessions of their own, and tells how many wait then.
async fn submit_many(fixture: &Fixture, project: &str, calls: usize) -> u64 {
    for number in 0..calls {
        let _ = fixture.approval_queue.submit_call(call(&format!("{number}")), &context(project)).await;
    }
    fixture.approval_queue.count_pending().unwrap()
}

fn set_pending_limits(fixture: &Fixture, session: u32, project: u32, all: u32) {
    fixture.settings.store(Arc::new(ApprovalSettings {
        max_pending_per_session: session,
        max_pending_per_project: project,
        max_pending_total: all,
        ..ApprovalSettings::default()
    }));
}

#[tokio::test]
async fn what_a_person_said_no_to_does_not_ask_again_for_a_while() {
    let fixture = Fixture::new();
    let denied = fixture.open_task("hello").await;
    let reason = serde_json::from_str("\"not on Fridays\"").unwrap();
    fixture.approval_queue.reject(denied.id, Some(reason), &"test".into()).await.unwrap();
    fixture.clock.advance(9 * MINUTE);
    for session in [context("/project"), context("/project")] {
        let words = declined_message(&fixture, "hello", &session).await;
        assert!(
            words.contains("at 2026-11-20 08:00:00Z") && words.contains("Until 2026-11-20 08:10:00Z"),
            "{words}"
        );
        assert!(words.contains(&denied.id.to_string()) && words.contains("not on Fridays"), "{words}");
    }
    assert_eq!(fixture.approval_queue.count_pending().unwrap(), 0, "nobody is asked");
    let elsewhere = fixture.approval_queue.submit_call(call("hello"), &context("/other")).await;
    assert!(elsewhere.is_ok(), "another project asks");
    let other = fixture.open_task("hello!").await;
    assert_eq!(other.state, TaskState::PendingApproval, "other arguments ask");

    let after = fixture.after_crash();
    after.clock.advance(9 * MINUTE);
    declined_message(&after, "hello", &context("/project")).await;
    after.clock.advance(MINUTE);
    assert_ne!(after.open_task("hello").await.id, denied.id);
}

#[tokio::test]
async fn a_call_that_is_spelled_otherwise_or_on_other_ground_is_the_same() {
    let fixture = Fixture::new();
    let denied = fixture.approve_task("hello").await;
    fixture.approval_queue.reject(denied.id, None, &"test".into()).await.unwrap();
    *fixture.binding_source.0.lock().unwrap() = Ok(binding_inputs("another definition"));
    let respelled = params(r#"{ "arguments": {"text": "h\u0065llo"}, "name": "send" }"#);
    let respelled = Call { params: respelled, ..call("hello") };
    let refused = fixture.approval_queue.submit_call(respelled, &context("/project")).await;
    assert!(matches!(refused, Err(Refusal::Declined(_))), "{refused:?}");
}

#[tokio::test]
async fn a_cool_down_ends_with_the_clock_set_back_and_can_be_off() {
    let fixture = Fixture::new();
    let denied = fixture.open_task("hello").await;
    fixture.approval_queue.reject(denied.id, None, &"test".into()).await.unwrap();
    fixture.clock.set_wall("2026-11-19T08:00:00Z".parse().unwrap());
    let again = fixture.open_task("hello").await;
    fixture.approval_queue.reject_without_cooldown(again.id, None, &"test".into()).await.unwrap();
    fixture.approval_queue.prune_ended_tasks().await.unwrap();
    fixture.clock.set_wall("2026-11-20T08:05:00Z".parse().unwrap());
    let later = fixture.open_task("hello").await;
    assert_eq!(
        later.state,
        TaskState::PendingApproval,
        "it does not come back when the clock is right again"
    );

    fixture
        .settings
        .store(Arc::new(ApprovalSettings { deny_cooldown: Duration::ZERO, ..ApprovalSettings::default() }));
    fixture.approval_queue.reject(later.id, None, &"test".into()).await.unwrap();
    assert_eq!(fixture.open_task("hello").await.state, TaskState::PendingApproval);
}

#[tokio::test]
async fn only_a_persons_no_cools_down() {
    let fixture = Fixture::new();
    let (cancelled, expired) = (fixture.open_task("cancelled").await, fixture.open_task("expired").await);
    fixture.approval_queue.cancel(cancelled.id, &principal("/project")).await.unwrap();
    fixture.clock.advance(25 * 60 * MINUTE);
    assert_eq!(fixture.approval_queue.expire_due().await.unwrap(), 1);
    assert_ne!(fixture.open_task("cancelled").await.id, cancelled.id);
    assert_ne!(fixture.open_task("expired").await.id, expired.id);
}

#[tokio::test]
async fn a_session_may_only_have_so_many_waiting() {
    let fixture = Fixture::new();
    set_pending_limits(&fixture, 2, 100, 100);
    let context = context("/project");
    let first = fixture.approval_queue.submit_call(call("1"), &context).await.unwrap();
    fixture.approval_queue.submit_call(call("2"), &context).await.unwrap();
    let words = declined_message(&fixture, "3", &context).await;
    assert!(words.starts_with("2 calls of this session wait for a person already"), "{words}");
    assert_eq!(fixture.approval_queue.count_pending().unwrap(), 2);
    let same = fixture.approval_queue.submit_call(call("1"), &context).await.unwrap();
    assert_eq!(same.id, first.id, "what waits already is found even so");
    fixture.approval_queue.reject(first.id, None, &"test".into()).await.unwrap();
    assert!(fixture.approval_queue.submit_call(call("3"), &context).await.is_ok());
}

#[tokio::test]
async fn forged_sessions_get_no_more_than_their_project_and_leave_others_room() {
    let fixture = Fixture::new();
    set_pending_limits(&fixture, 3, 10, 40);
    assert_eq!(submit_many(&fixture, "/flood", 15).await, 10);
    let words = declined_message(&fixture, "more", &context("/flood")).await;
    assert!(words.starts_with("10 calls of this project wait"), "{words}");
    assert!(fixture.approval_queue.submit_call(call("mine"), &context("/project")).await.is_ok());

    for project in ["/flood2", "/flood3", "/flood4"] {
        submit_many(&fixture, project, 15).await;
    }
    let waiting = fixture.approval_queue.count_pending().unwrap();
    assert_eq!(waiting, 35, "projects of which several wait leave room");
    let words = declined_message(&fixture, "more", &context("/flood4")).await;
    assert!(words.contains("of all projects"), "{words}");
    assert!(fixture.approval_queue.submit_call(call("2"), &context("/project")).await.is_ok());
    for number in 0..10 {
        submit_many(&fixture, &format!("/forged{number}"), 1).await;
    }
    assert_eq!(fixture.approval_queue.count_pending().unwrap(), 40);
    declined_message(&fixture, "x", &context("/late")).await;
}

#[tokio::test]
async fn what_is_declined_stands_in_the_audit() {
    let fixture = Fixture::new();
    set_pending_limits(&fixture, 1, 1, 1);
    fixture.open_task("1").await;
    let words = declined_message(&fixture, "2", &context("/project")).await;
    let log = audit::read_log(&fixture.directory.path().join("audit"), &RecordFilter::default()).unwrap();
    let refused = log.entries.into_iter().any(|entry| {
        matches!(entry.record.event, AuditEvent::Refused { tool, reason }
            if tool.to_string() == "mail/send" && reason == words)
    });
    assert!(refused);
}
