//! Calls that are held for a decision, and tasks whose end the next result tells.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::*;
use crate::anonymize::Fake;
use crate::json::RawJson;
use crate::pipeline::JoinedCall;
use crate::pipeline::test_support::{FakeServer, make_task, raw_json};
use crate::policy::Action;
use crate::task::FinishedTask;

const HOLD: Duration = Duration::from_secs(60);

fn held_session() -> SessionFixture {
    let rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send", "read"]))],
        policies: vec![
            ("mail/send", Action::RequireApproval),
            ("mail/resources:read", Action::RequireApproval),
        ],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..FixtureSetup::default()
    });
    rig.handle.config_changed(Vec::new(), HOLD);
    rig
}

impl SessionFixture {
    /// The next task that is opened goes through these states; `finish` makes the last one what it is.
    fn will_become(&self, states: &[TaskState], finish: impl FnOnce(&mut Task)) {
        let call = self.fixture.make_call("mail/send", r#"{"name":"send"}"#);
        let first = make_task(call, self.fixture.origin(), states[0]);
        let mut all: VecDeque<Task> =
            states.iter().map(|state| Task { state: *state, ..first.clone() }).collect();
        finish(all.back_mut().unwrap());
        *self.tasks.opened.lock().unwrap() = all;
    }
}

/// As an earlier day's rules left it: with a value that those of today hide.
fn stored(text: &str) -> Option<Fake<RawJson>> {
    crate::anonymize::Anonymizer::empty().conceal_local(raw_json(text)).ok()
}

#[tokio::test]
async fn a_call_that_is_decided_while_it_is_held_gets_its_own_result() {
    let mut rig = held_session();
    rig.will_become(&[TaskState::PendingApproval, TaskState::Executing, TaskState::Completed], |task| {
        task.result = stored(r#"{"content":[{"type":"text","text":"sent as Ada Lovelace"}],"x":1}"#);
    });
    let params = json!({ "name": "mail__send", "arguments": {}, "_meta": { "progressToken": "p" } });
    rig.send_request(&json!(1), "tools/call", &params).await;
    let (answer, told) = rig.answer_and_notifications(&json!(1)).await;
    assert_eq!(
        answer["result"],
        json!({ "content": [{ "type": "text", "text": "sent as John Doe" }], "x": 1 })
    );
    let progress: Vec<_> = told
        .iter()
        .filter(|it| it["params"]["progressToken"] == "p")
        .map(|it| &it["params"]["message"])
        .collect();
    assert_eq!(*progress[0], json!("waiting for a person to approve"), "{told:?}");
    assert!(rig.fixture.received_calls().is_empty(), "the daemon made the call");

    // Through portero/call, and a failure of the server.
    rig.will_become(&[TaskState::Failed], |task| {
        task.error = stored(r#"{"code":-32000,"message":"no mail for Ada Lovelace"}"#);
    });
    let params = json!({ "name": "portero__call", "arguments": { "tool": "mail/send" } });
    let answer = rig.request_answer(2, "tools/call", params).await;
    assert_eq!(answer["error"]["message"], "no mail for John Doe", "{answer}");
}

#[tokio::test]
async fn a_held_call_that_does_not_run_is_an_error() {
    let mut rig = held_session();
    for (state, told) in [
        (TaskState::Denied, "was denied"),
        (TaskState::Expired, "in time"),
        (TaskState::Cancelled, "taken back"),
        (TaskState::Interrupted, "unknown"),
    ] {
        rig.will_become(&[TaskState::PendingApproval, state], |_| {});
        let (text, is_error) = rig.call_tool("mail__send", json!({})).await;
        assert!(is_error && text.contains(told) && text.contains(state.as_str()), "{text}");
        rig.will_become(&[TaskState::PendingApproval, state], |_| {});
        let read = rig.request_answer(3, "resources/read", json!({ "uri": "portero://mail/a:1" })).await;
        assert_eq!(read["error"]["code"], -32003, "{read}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_decided_in_time_gets_its_pending_answer() {
    let mut rig = held_session();
    // Neither does one whose daemon is gone.
    let (text, is_error) = rig.call_tool("mail__send", json!({})).await;
    assert!(!is_error && text.contains("pending-approval"), "{text}");
    let waits = std::mem::take(&mut *rig.tasks.waits.lock().unwrap());
    assert!(waits.len() == 1 && waits[0] > HOLD / 2, "without progress it is one question: {waits:?}");

    rig.handle.config_changed(Vec::new(), Duration::from_millis(1));
    rig.will_become(&[TaskState::PendingApproval], |_| {});
    let (text, is_error) = rig.call_tool("mail__send", json!({})).await;
    assert!(!is_error && text.contains("pending-approval"), "{text}");

    rig.handle.config_changed(Vec::new(), Duration::ZERO);
    rig.tasks.waits.lock().unwrap().clear();
    let (text, _) = rig.call_tool("mail__send", json!({})).await;
    assert!(text.contains("pending-approval") && rig.tasks.waits.lock().unwrap().is_empty(), "{text}");
    assert_eq!(rig.fixture.approvals.submitted.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_client_that_takes_a_held_call_back_gets_no_answer_and_its_task_waits_on() {
    let mut rig = held_session();
    rig.tasks.waits_for_ever.store(true, Ordering::SeqCst);
    rig.send_request(&json!(7), "tools/call", &json!({ "name": "mail__send", "arguments": {} })).await;
    wait_until(|| !rig.tasks.waits.lock().unwrap().is_empty()).await;
    // Others go on meanwhile.
    assert!(rig.call_tool("mail__read", json!({})).await.0.contains("read"));
    rig.send_notification("notifications/cancelled", &json!({ "requestId": 7 })).await;
    rig.assert_silent().await;
    assert_eq!(rig.fixture.approvals.submitted.lock().unwrap().len(), 1);
    assert!(rig.fixture.audit_events().iter().all(|record| !record.contains("cancelled")));
}

#[tokio::test]
async fn the_next_result_tells_once_which_tasks_ended() {
    let mut rig = held_session();
    rig.handle.config_changed(Vec::new(), Duration::ZERO);
    let (read, none) = (json!({ "name": "mail__read", "arguments": {} }), json!({ "name": "mail__none" }));
    rig.request_result("tools/call", read.clone()).await;
    assert!(rig.tasks.claims.lock().unwrap().is_empty(), "without news the daemon isn't asked");

    let task = TaskId::fresh();
    let finished = FinishedTask { task, tool: "mail/send".parse().unwrap(), state: TaskState::Denied };
    *rig.tasks.claimable.lock().unwrap() = UnseenTasks { count: 1, last: vec![finished] };
    rig.handle.task_settled(task, TaskState::Denied);
    let listed = rig.request_answer(5, "tools/list", json!({})).await;
    assert!(!listed.to_string().contains(&task.to_string()), "it is no result of a tool");
    let result = rig.request_result("tools/call", read.clone()).await;
    let blocks = result["content"].as_array().unwrap();
    let told = blocks[1]["text"].as_str().unwrap();
    assert!(blocks.len() == 2 && told.contains(&format!("- {task} mail/send: denied")), "{result}");
    assert_eq!(*rig.tasks.claims.lock().unwrap(), [vec![task]]);
    assert_eq!(rig.request_result("tools/call", read.clone()).await["content"].as_array().unwrap().len(), 1);

    // A refusal tells it too. What another session claimed, or a question of the agent waits for, is not told.
    rig.handle.task_settled(task, TaskState::Completed);
    let refused = rig.request_result("tools/call", none.clone()).await;
    assert_eq!(refused["content"].as_array().unwrap().len(), 1, "{refused}");
    rig.tasks.claims.lock().unwrap().clear();
    rig.tasks.waits.lock().unwrap().clear();
    rig.tasks.waits_for_ever.store(true, Ordering::SeqCst);
    let check = json!({ "name": "portero__check_task", "arguments": { "taskId": task.to_string(), "wait_seconds": 9 } });
    rig.send_request(&json!(9), "tools/call", &check).await;
    wait_until(|| !rig.tasks.waits.lock().unwrap().is_empty()).await;
    rig.handle.task_settled(task, TaskState::Completed);
    rig.request_result("tools/call", read).await;
    assert!(rig.tasks.claims.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_joins_the_identical_one_gets_the_outcome_of_that_one() {
    let mut rig = held_session();
    // Whether calls are held or not.
    for hold in [Duration::ZERO, HOLD] {
        rig.handle.config_changed(Vec::new(), hold);
        let call = rig.fixture.make_call("mail/read", r#"{"name":"read","arguments":{}}"#);
        let task = make_task(call, rig.fixture.origin(), TaskState::Approved);
        rig.fixture.approvals.waiting.note_task(&task, task.asked);
        rig.fixture.approvals.joins.lock().unwrap().push_back(Ok(JoinedCall::Runs(Box::new(task.clone()))));
        rig.will_become(&[TaskState::Approved, TaskState::Executing, TaskState::Completed], |task| {
            task.result = stored(r#"{"content":[{"type":"text","text":"of Ada Lovelace"}]}"#);
        });
        let (text, is_error) = rig.call_tool("mail__read", json!({})).await;
        assert_eq!((text.as_str(), is_error), ("of John Doe", false), "{hold:?}");
        rig.fixture.approvals.waiting.forget_task(task.id);
    }
    assert!(rig.fixture.received_calls().is_empty());
}
