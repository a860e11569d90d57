//! Portero's own tools.

use serde_json::json;

use super::*;
use crate::call::Call;
use crate::json;
use crate::pipeline::test_support::{FakeServer, make_task};
use crate::policy::Action;
use crate::server::{ServerError, ServerListing};

fn mail_setup() -> FixtureSetup {
    FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send", "read", "drop"]))],
        policies: vec![("mail/drop", Action::Deny), ("mail/send", Action::RequireApproval)],
        ..FixtureSetup::default()
    }
}

impl SessionFixture {
    /// Puts a task on the shelf that goes through these states.
    fn add_task(&self, call: Call, states: &[TaskState], finish: impl FnOnce(&mut Task)) -> TaskId {
        let first = make_task(call, self.fixture.origin(), states[0]);
        let id = first.id;
        let mut all: VecDeque<Task> =
            states.iter().map(|state| Task { state: *state, ..first.clone() }).collect();
        finish(all.back_mut().unwrap());
        self.tasks.tasks.lock().unwrap().insert(id, all);
        id
    }

    fn conceal_json(&self, text: &str) -> crate::anonymize::Fake<json::RawJson> {
        self.fixture.pipeline.anonymizer.load().conceal_local(json::parse_raw(text.into()).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn search_tells_the_schema_and_what_policy_says_and_leaves_out_what_is_denied() {
    let mut rig = SessionFixture::new(mail_setup());
    let (text, is_error) = rig.call_tool("portero__search_tools", json!({ "query": "" })).await;
    assert!(!is_error, "{text}");
    let found: Value = serde_json::from_str(&text).unwrap();
    let tools = found["tools"].as_array().unwrap();
    let policy =
        |name: &str| tools.iter().find(|tool| tool["name"] == name).map(|tool| tool["policy"].clone());
    assert_eq!(policy("mail/read"), Some(json!("allowed")));
    assert_eq!(policy("mail/send"), Some(json!("needs a person's approval")));
    assert_eq!(policy("mail/drop"), None);
    assert_eq!(tools[0]["inputSchema"]["type"], "object");
    let (text, _) = rig.call_tool("portero/search_tools", json!({ "query": "read" })).await;
    assert!(text.contains("mail/read") && !text.contains("mail/drop"), "{text}");
}

#[tokio::test]
async fn call_goes_through_the_whole_pipeline_as_the_named_tool() {
    let mut rig = SessionFixture::new(mail_setup());
    let (text, _) = rig.call_tool("portero__call", json!({ "tool": "mail/read", "args": { "n": 1 } })).await;
    assert_eq!(text, r#"{"name":"read","arguments":{"n":1}}"#);
    let (text, is_error) = rig.call_tool("portero__call", json!({ "tool": "mail/drop" })).await;
    assert!(is_error && text.contains("mail/drop"), "{text}");
    let (text, _) =
        rig.call_tool("portero__call", json!({ "tool": "mail/read", "arguments": { "n": 1 } })).await;
    assert_eq!(text, r#"{"name":"read","arguments":{"n":1}}"#);
    let (text, _) = rig.call_tool("portero__call", json!({ "tool": "mail__send" })).await;
    assert!(text.contains("pending-approval"), "{text}");
    let (text, is_error) = rig.call_tool("portero__call", json!({ "tool": "portero/call" })).await;
    assert!(is_error && text.contains("directly"), "{text}");
    rig.send_line(r#"{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"portero__call","arguments":{"tool":"mail/read","args":{"a":1,"a":2}}}}"#).await;
    assert_eq!(rig.next_message().await["result"]["isError"], true);
    let audited = rig.fixture.audit_events().join("\n");
    for tool in ["portero/call", "mail/read", "mail/drop"] {
        assert!(audited.contains(tool), "{audited}");
    }
}

#[tokio::test]
async fn a_mistake_is_told_with_the_nearest_word() {
    let mut rig = SessionFixture::new(mail_setup());
    for (tool, arguments, told) in [
        ("portero__search_tools", json!({ "qery": "x" }), "did you mean `query`?"),
        ("portero__call", json!({}), "`tool` is missing"),
        ("portero__call", json!({ "tool": "mail/read", "args": "{}" }), "`args` must be an object"),
        ("portero__check_task", json!({ "task_id": "7" }), "not the id of a task"),
        ("portero__check_task", json!({ "task_id": "7", "wait_seconds": 1.5 }), "`task_id`"),
        ("portero__list_tasks", json!({ "status": "done" }), "not a task state"),
        ("portero__cancel_task", json!({}), "`task_id` is missing"),
        ("portero__cancel_task", json!({ "taskid": "7" }), "did you mean `task_id`?"),
        ("portero__list_tasks", json!({ "limit": 0 }), "from 1 to 100"),
    ] {
        let (text, is_error) = rig.call_tool(tool, arguments).await;
        assert!(is_error && text.contains(told), "{tool}: {text}");
    }
}

#[tokio::test]
async fn a_stored_result_is_concealed_by_the_rules_of_today() {
    let mut rig = SessionFixture::new(FixtureSetup {
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..mail_setup()
    });
    let call = rig.fixture.make_call("mail/send", r#"{"name":"send"}"#);
    let yesterday = crate::anonymize::Anonymizer::empty();
    let result = json::parse_raw(r#"{"content":[{"type":"text","text":"Ada Lovelace"}]}"#.into()).unwrap();
    let result = yesterday.conceal_local(result).unwrap();
    let id = rig.add_task(call, &[TaskState::Completed], |task| task.result = Some(result));
    let (text, _) = rig.call_tool("portero__check_task", json!({ "task_id": id.to_string() })).await;
    assert_eq!(text, "John Doe");
}

#[tokio::test]
async fn a_task_that_ran_gives_the_tools_own_result() {
    const RESULT: &str = r#"{"content":[{"type":"new","n":1.10}],"structuredContent":{"z":1,"a":12345678901234567890123},"x":0}"#;
    let mut rig = SessionFixture::new(mail_setup());
    let call = rig.fixture.make_call("mail/send", r#"{"name":"send"}"#);
    let result = rig.conceal_json(RESULT);
    let id = rig.add_task(call, &[TaskState::PendingApproval, TaskState::Completed], |task| {
        task.result = Some(result)
    });
    let (text, is_error) = rig.call_tool("portero__check_task", json!({ "task_id": id.to_string() })).await;
    assert!(!is_error && text.contains("pending-approval") && text.contains(&id.to_string()), "{text}");
    let ask = json!({ "name": "portero__check_task", "arguments": { "task_id": id.to_string() } });
    rig.send_request(&json!(1), "tools/call", &ask).await;
    assert_eq!(rig.next_line().await, format!(r#"{{"jsonrpc":"2.0","id":1,"result":{RESULT}}}"#));
}

#[tokio::test]
async fn what_did_not_run_says_why_and_never_invites_to_another_way() {
    let mut rig = SessionFixture::new(mail_setup());
    for (state, told) in [
        (TaskState::Denied, "Do not try to reach the same effect another way"),
        (TaskState::Expired, "Ask the user"),
        (TaskState::Interrupted, "unknown"),
        (TaskState::Failed, "not today"),
        (TaskState::Cancelled, "did not run"),
    ] {
        let call = rig.fixture.make_call("mail/send", r#"{"name":"send"}"#);
        let note = rig.fixture.pipeline.anonymizer.load().conceal_text("not today");
        let id = rig.add_task(call, &[state], |task| task.note = Some(note));
        let (text, is_error) =
            rig.call_tool("portero__check_task", json!({ "task_id": id.to_string() })).await;
        assert!(is_error && text.contains(told) && text.contains(state.as_str()), "{text}");
    }
}

#[tokio::test]
async fn a_wait_reports_progress_and_can_be_taken_back() {
    let mut rig = SessionFixture::new(mail_setup());
    let call = rig.fixture.make_call("mail/send", r#"{"name":"send"}"#);
    let result = rig.conceal_json(r#"{"content":[]}"#);
    let states = [TaskState::PendingApproval, TaskState::Approved, TaskState::Completed];
    let id = rig.add_task(call, &states, |task| task.result = Some(result));
    let ask = json!({
        "name": "portero__check_task",
        "arguments": { "task_id": id.to_string(), "wait_seconds": 600 },
        "_meta": { "progressToken": "p" },
    });
    rig.send_request(&json!(1), "tools/call", &ask).await;
    let (answer, notices) = rig.answer_and_notifications(&json!(1)).await;
    assert_eq!(answer["result"], json!({ "content": [] }));
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(notices.iter().all(|notice| notice["params"]["progressToken"] == "p"), "{notices:?}");
    assert!(rig.tasks.waits.lock().unwrap().iter().all(|wait| wait.as_secs() <= 600));
    let (text, is_error) =
        rig.call_tool("portero__check_task", json!({ "task_id": id.to_string(), "wait_seconds": 601 })).await;
    assert!(is_error && text.contains("from 0 to 600"), "{text}");
}

#[tokio::test]
async fn an_approved_resource_is_embedded_and_an_error_is_told() {
    let mut rig = SessionFixture::new(mail_setup());
    let read = Call {
        method: crate::call::Method::ReadResource,
        ..rig.fixture.make_call("mail/resources:read", r#"{"uri":"a:1"}"#)
    };
    let result = rig.conceal_json(r#"{"contents":[{"uri":"portero://mail/a:1","text":"x"}]}"#);
    let id = rig.add_task(read, &[TaskState::Completed], |task| task.result = Some(result));
    let ask = json!({ "name": "portero__check_task", "arguments": { "task_id": id.to_string() } });
    let answer = rig.request_result("tools/call", ask).await;
    assert_eq!(answer["content"][0]["resource"]["text"], "x");
    let call = rig.fixture.make_call("mail/send", r#"{"name":"send"}"#);
    let error = rig.conceal_json(r#"{"code":-32000,"message":"mailbox full"}"#);
    let id = rig.add_task(call, &[TaskState::Failed], |task| task.error = Some(error));
    let (text, is_error) = rig.call_tool("portero__check_task", json!({ "task_id": id.to_string() })).await;
    assert!(is_error && text.contains("mailbox full"), "{text}");
}

#[tokio::test]
async fn a_call_that_waits_can_be_taken_back_and_one_that_runs_cannot() {
    let mut rig = SessionFixture::new(mail_setup());
    let call = rig.fixture.make_call("mail/send", r#"{"name":"send"}"#);
    let waits = rig.add_task(call.clone(), &[TaskState::PendingApproval], |_| {});
    let runs = rig.add_task(call, &[TaskState::Executing], |_| {});
    let (text, is_error) =
        rig.call_tool("portero__cancel_task", json!({ "task_id": waits.to_string() })).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(!is_error && answer["status"] == "cancelled", "{text}");
    assert_eq!(rig.tasks.tasks.lock().unwrap()[&waits][0].state, TaskState::Cancelled);
    let (text, is_error) = rig.call_tool("portero/cancel_task", json!({ "task_id": runs.to_string() })).await;
    assert!(is_error && text.contains("is executing"), "{text}");
    assert!(rig.fixture.audit_events().join("\n").contains("portero/cancel_task"));
    rig.fixture.set_policy(&[("portero/cancel_task", Action::Deny)], None);
    let (text, is_error) =
        rig.call_tool("portero__cancel_task", json!({ "task_id": waits.to_string() })).await;
    assert!(is_error && text.contains("portero/cancel_task"), "{text}");
}

#[tokio::test]
async fn tasks_are_listed_by_state() {
    let mut rig = SessionFixture::new(mail_setup());
    for state in [TaskState::PendingApproval, TaskState::Completed] {
        let call = rig.fixture.make_call("mail/send", r#"{"name":"send"}"#);
        rig.add_task(call, &[state], |_| {});
    }
    let (text, _) = rig.call_tool("portero__list_tasks", json!({})).await;
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["tasks"].as_array().unwrap().len(), 2);
    let (text, _) = rig.call_tool("portero__list_tasks", json!({ "status": "completed" })).await;
    let some: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(some["tasks"][0]["status"], "completed");
    assert_eq!(some["tasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn explain_tells_what_would_come_of_a_call_and_makes_none() {
    let schema =
        r#"{"type":"object","properties":{"to":{"type":"string","maxLength":12}},"required":["to"]}"#;
    let listing = |names: &[&str]| {
        let tool =
            |name: &&str| json::parse_raw(format!(r#"{{"name":"{name}","inputSchema":{schema}}}"#)).unwrap();
        ServerListing { tools: names.iter().map(tool).collect(), ..ServerListing::default() }
    };
    let broken = FakeServer {
        listing: Err(ServerError::StartFailed("ill".parse().unwrap(), "no such program".into())),
        ..FakeServer::with_tools(&[])
    };
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![
            ("mail", FakeServer::with_listing(listing(&["send", "read", "drop"]))),
            ("ill", broken),
        ],
        policies: vec![("mail/drop", Action::Deny), ("mail/send", Action::RequireApproval)],
        replacements: vec![("John Doe", "Ada Lovelace of Ockham")],
        ..FixtureSetup::default()
    });
    for (tool, arguments, outcome, told) in [
        ("mail/read", json!({ "to": "Bob" }), "runs", "default"),
        ("mail/read", json!({}), "runs", "required"),
        ("mail__send", json!({ "to": "Bob" }), "asks", "mail/send"),
        // The real value is longer than the schema has it, which only the server may find.
        ("mail/send", json!({ "to": "John Doe" }), "asks", "mail/send"),
        ("mail/send", json!({ "to": "a long name of nobody" }), "refused", "longer than 12"),
        ("mail/send", json!({ "to": 5 }), "refused", "not of type"),
        ("mail/drop", json!({}), "denied", "mail/drop"),
        ("mail/burn", json!({}), "refused", "no server offers"),
        ("nobody/burn", json!({}), "refused", "no server offers"),
        ("ill/work", json!({}), "refused", "no such program"),
        ("absent/work", json!({}), "refused", "`TOKEN` is not set"),
        ("portero/call", json!({}), "runs", "own tool"),
    ] {
        let asked = json!({ "tool": tool, "arguments": arguments });
        let (text, is_error) = rig.call_tool("portero__explain", asked).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(
            !is_error && answer["outcome"] == outcome && text.contains(told),
            "{tool} {arguments}: {text}"
        );
        assert!(!text.contains("Ockham"), "{text}");
    }
    rig.fixture.approvals.is_unavailable.store(true, std::sync::atomic::Ordering::SeqCst);
    let (text, _) =
        rig.call_tool("portero__explain", json!({ "tool": "mail/send", "args": { "to": "Bob" } })).await;
    assert!(text.contains("refused") && text.contains("said no"), "{text}");
    assert!(rig.fixture.received_calls().is_empty());
    assert!(rig.fixture.approvals.submitted.lock().unwrap().is_empty());
    let audited = rig.fixture.audit_events();
    assert!(
        !audited.is_empty() && audited.iter().all(|record| record.contains("portero/explain")),
        "{audited:?}"
    );

    rig.fixture.set_policy(&[("portero/explain", Action::Deny)], None);
    let (text, is_error) = rig.call_tool("portero__explain", json!({ "tool": "mail/read" })).await;
    assert!(is_error && text.contains("portero/explain"), "{text}");
}

#[tokio::test]
async fn an_own_tool_that_is_denied_by_name_is_neither_listed_nor_run() {
    let mut rig = SessionFixture::new(mail_setup());
    rig.fixture.set_policy(&[("portero/call", Action::Deny), ("*", Action::Deny)], Some(Action::Deny));
    let listed = listed_names(&rig.request_result("tools/list", json!({})).await, "tools");
    assert_eq!(
        listed,
        [
            "portero__search_tools",
            "portero__explain",
            "portero__check_task",
            "portero__list_tasks",
            "portero__cancel_task",
        ]
    );
    let (text, is_error) = rig.call_tool("portero__call", json!({ "tool": "mail/read" })).await;
    assert!(is_error && text.contains("portero/call"), "{text}");
    assert!(!rig.call_tool("portero__list_tasks", json!({})).await.1);
}
