//! An allowed call that is identical to one that waits.

use super::*;
use crate::pipeline::test_support::make_task;
use crate::task::TaskState;

const SEND: &str = r#"{"name":"send","arguments":{"to":"a"}}"#;

fn mail_fixture() -> Fixture {
    Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        policies: vec![("mail/send", Action::Allow)],
        ..FixtureSetup::default()
    })
}

/// The task of the call that waits, and what comes of the next one that joins it.
fn note_waiting(fixture: &Fixture, next: Result<fn(Box<Task>) -> JoinedCall, Refusal>) -> TaskId {
    let call = fixture.make_call("mail/send", SEND);
    let task = make_task(call, fixture.origin(), TaskState::PendingApproval);
    fixture.approvals.waiting.note_task(&task, task.asked);
    let id = task.id;
    fixture.approvals.joins.lock().unwrap().push_back(next.map(|joined| joined(Box::new(task))));
    id
}

#[tokio::test]
async fn an_allowed_call_joins_the_identical_one_that_waits_and_does_not_run_beside_it() {
    let fixture = mail_fixture();
    let task = note_waiting(&fixture, Ok(JoinedCall::Runs));
    let joined = handle_tool_call(&fixture, "mail/send", SEND).await;
    assert!(matches!(&joined, CallReply::Joined(joined) if joined.id == task), "{joined:?}");
    assert!(fixture.received_calls().is_empty() && fixture.audit_events().is_empty());
    let other = handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{"to":"b"}}"#).await;
    assert!(matches!(other, CallReply::Result(_)), "{other:?}");
    assert_eq!(*fixture.approvals.joined.lock().unwrap(), [task], "the other call asked nothing");
}

#[tokio::test]
async fn what_the_daemon_says_of_the_waiting_call_holds_for_the_allowed_one() {
    let fixture = mail_fixture();
    let task = note_waiting(&fixture, Ok(JoinedCall::Waits));
    let waits = handle_tool_call(&fixture, "mail/send", SEND).await;
    assert!(matches!(&waits, CallReply::PendingApproval(waiting) if waiting.id == task), "{waits:?}");

    // It can't be asked: the waiting call may run, or have run.
    let fixture = mail_fixture();
    note_waiting(&fixture, Err(Refusal::DaemonUnavailable("gone".to_owned())));
    let refused = handle_tool_call(&fixture, "mail/send", SEND).await;
    assert!(matches!(refused, CallReply::Refused(Refusal::DaemonUnavailable(_))), "{refused:?}");
    assert!(fixture.received_calls().is_empty());

    let fixture = mail_fixture();
    note_waiting(&fixture, Ok(|_| JoinedCall::Ended));
    let ran = handle_tool_call(&fixture, "mail/send", SEND).await;
    assert!(matches!(ran, CallReply::Result(_)), "{ran:?}");
    assert_eq!(fixture.received_calls().len(), 1);
}

#[tokio::test]
async fn only_an_allowed_call_joins_and_a_counted_one_consumes_no_use_for_it() {
    let fixture = mail_fixture();
    fixture.set_policy(&[("mail/send", Action::RequireApproval)], None);
    note_waiting(&fixture, Ok(JoinedCall::Runs));
    let asks = handle_tool_call(&fixture, "mail/send", SEND).await;
    assert!(matches!(asks, CallReply::PendingApproval(_)), "{asks:?}");
    assert!(fixture.approvals.joined.lock().unwrap().is_empty());
    fixture.set_policy(&[("mail/send", Action::Deny)], None);
    let denied = handle_tool_call(&fixture, "mail/send", SEND).await;
    assert!(matches!(denied, CallReply::Refused(Refusal::Denied(_))), "{denied:?}");

    fixture.set_policy(&[("mail/send", Action::RequireApproval)], None);
    fixture.add_grant(7, use_limit(1));
    fixture.approvals.uses_left.store(1, Ordering::SeqCst);
    let joined = handle_tool_call(&fixture, "mail/send", SEND).await;
    assert!(matches!(joined, CallReply::Joined(_)), "{joined:?}");
    assert!(fixture.approvals.consumed.lock().unwrap().is_empty(), "the daemon consumes it");
}
