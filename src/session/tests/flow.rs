//! Calls: verbatim both ways, side by side, taken back, followed, refused.

use serde_json::json;

use super::*;
use crate::anonymize::Real;
use crate::pipeline::test_support::{FakeServer, raw_json, result_answer};
use crate::policy::Action;
use crate::server::{ListKind, ServerAnswer, ServerError, ServerListing};

fn answering_setup(answer: &'static str) -> FixtureSetup {
    let part = FakeServer::with_tools(&["t"]).answering_with(move || Ok(result_answer(answer)));
    FixtureSetup { servers: vec![("s", part)], ..FixtureSetup::default() }
}

fn failing_server(error: &'static str) -> FakeServer {
    let offer = ServerListing {
        resources: vec![raw_json(r#"{"uri":"a:1","name":"one"}"#)],
        ..ServerListing::default()
    };
    FakeServer::with_listing(ServerListing {
        tools: vec![crate::pipeline::test_support::tool_json("t")],
        ..offer
    })
    .answering_with(move || Ok(ServerAnswer::Error(Real::from_server(raw_json(error)))))
}

#[tokio::test]
async fn payloads_keep_their_bytes_both_ways() {
    const ANSWER: &str = r#"{"content":[{"type":"hologram","n":1234567890123456789012345678901234567890,"x":1.10}],"zz":{"b":1,"a":[1.0e+2, null]},"_meta":{"k":-0.0}}"#;
    let mut rig = SessionFixture::new(answering_setup(ANSWER));
    rig.send_line(concat!(
        r#"{"jsonrpc":"2.0","id":"q-1","method":"tools/call","params":{"arguments":{"n":12345678901234567890123456789012345678901,"#,
        r#""z":1.10,"a":{"y":1,"x":"\u00e9"}},"name":"s__t","x-new":[1.50]}}"#
    ))
    .await;
    assert_eq!(rig.next_line().await, format!(r#"{{"jsonrpc":"2.0","id":"q-1","result":{ANSWER}}}"#));
    assert_eq!(
        rig.fixture.received_calls()[0].params,
        r#"{"arguments":{"n":12345678901234567890123456789012345678901,"z":1.10,"a":{"y":1,"x":"\u00e9"}},"name":"t","x-new":[1.50]}"#
    );
    rig.send_line(r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"s/t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#).await;
    let modern = rig.next_line().await;
    assert_eq!(
        modern,
        format!(r#"{{"jsonrpc":"2.0","id":2,"result":{{"resultType":"complete",{}}}"#, &ANSWER[1..])
    );
}

#[tokio::test]
async fn what_only_the_modern_revision_knows_is_kept_from_the_earlier_ones() {
    let mut rig = SessionFixture::new(answering_setup(r#"{"resultType":"complete","content":[],"ttlMs":5}"#));
    assert_eq!(rig.request_result("tools/call", json!({ "name": "s__t" })).await, json!({ "content": [] }));
}

#[tokio::test]
async fn answers_come_as_they_are_ready() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = Arc::clone(&gate);
    let slow = FakeServer::with_tools(&["t"]).handling_calls_with(move |_, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.notified().await;
            Ok(result_answer(r#"{"content":[]}"#))
        })
    });
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("slow", slow), ("fast", FakeServer::with_tools(&["t"]))],
        ..FixtureSetup::default()
    });
    rig.send_request(&json!(1), "tools/call", &json!({ "name": "slow__t" })).await;
    rig.send_request(&json!(2), "tools/call", &json!({ "name": "fast__t" })).await;
    assert_eq!(rig.next_message().await["id"], 2);
    let again = rig.request_answer(1, "ping", json!({})).await;
    assert_eq!(again["error"]["code"], -32600, "the id is in use: {again}");
    gate.notify_one();
    assert_eq!(rig.next_message().await["id"], 1);
}

#[tokio::test]
async fn a_call_that_is_taken_back_is_taken_back_at_the_server_and_not_answered() {
    let part = FakeServer::with_tools(&["t"]).handling_calls_with(|_, follow| {
        Box::pin(async move {
            follow.cancel.cancelled().await;
            Err(ServerError::Cancelled)
        })
    });
    let mut rig = SessionFixture::new(FixtureSetup { servers: vec![("s", part)], ..FixtureSetup::default() });
    rig.send_request(&json!("c"), "tools/call", &json!({ "name": "s__t" })).await;
    wait_until(|| !rig.fixture.received_calls().is_empty()).await;
    rig.send_notification("notifications/cancelled", &json!({ "requestId": "c", "reason": "no" })).await;
    rig.assert_silent().await;
    wait_until(|| rig.fixture.audit_events().len() == 2).await;
    assert!(rig.fixture.audit_events()[1].contains("cancelled"), "{:?}", rig.fixture.audit_events());
    assert!(rig.request_answer("c", "ping", json!({})).await.get("result").is_some(), "the id is free again");
}

#[tokio::test]
async fn progress_comes_under_the_clients_own_token_and_never_after_the_answer() {
    let late = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&late);
    let part = FakeServer::with_tools(&["t"]).handling_calls_with(move |_, follow| {
        let tell = follow.progress.clone();
        *kept.lock().unwrap() = tell.clone();
        Box::pin(async move {
            if let Some(tell) = tell {
                tell(Real::from_server(raw_json(
                    r#"{"progressToken":17,"progress":1.0,"total":2,"message":"half"}"#,
                )));
            }
            Ok(result_answer(r#"{"content":[]}"#))
        })
    });
    let mut rig = SessionFixture::new(FixtureSetup { servers: vec![("s", part)], ..FixtureSetup::default() });
    for token in [r#""text-1""#, "7", "12345678901234567890"] {
        rig.send_line(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"s__t","_meta":{{"progressToken":{token}}}}}}}"#
        ))
        .await;
        assert_eq!(
            rig.next_line().await,
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1.0,"total":2,"message":"half"}}}}"#
            )
        );
        assert_eq!(rig.next_message().await["id"], 1);
        let tell = late.lock().unwrap().clone().unwrap();
        tell(Real::from_server(raw_json(r#"{"progressToken":17,"progress":2}"#)));
    }
    rig.assert_silent().await;
    rig.request_result("tools/call", json!({ "name": "s__t" })).await;
    assert!(late.lock().unwrap().is_none(), "nobody asked for progress");
}

/// Progress of a call to a client that reads nothing until the server has told all; then the call goes on.
async fn progress_to_a_client_that_reads_late(count: usize, message: usize, answers: bool) -> Vec<Value> {
    let (told, go_on) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (tells, goes_on) = (Arc::clone(&told), Arc::clone(&go_on));
    let part = FakeServer::with_tools(&["t"]).handling_calls_with(move |_, follow| {
        let (tells, goes_on) = (Arc::clone(&tells), Arc::clone(&goes_on));
        Box::pin(async move {
            let tell = follow.progress.expect("it is wanted");
            for progress in 1..=count {
                let message = "x".repeat(message);
                tell(Real::from_server(raw_json(&format!(
                    r#"{{"progressToken":1,"progress":{progress},"total":{count},"message":"{message}"}}"#
                ))));
            }
            tells.notify_one();
            goes_on.notified().await;
            Ok(result_answer(r#"{"content":[]}"#))
        })
    });
    let mut rig = SessionFixture::new(FixtureSetup { servers: vec![("s", part)], ..FixtureSetup::default() });
    if answers {
        go_on.notify_one();
    }
    let meta = json!({ "progressToken": "mine" });
    rig.send_request(&json!(1), "tools/call", &json!({ "name": "s__t", "_meta": meta })).await;
    told.notified().await;
    let mut said = Vec::new();
    loop {
        let message = tokio::time::timeout(TEST_TIMEOUT, rig.next_message()).await.expect("it goes on");
        let is_last = message["params"]["progress"] == json!(count);
        if is_last && !answers {
            // Only now, so that nothing but the room brings the last one.
            go_on.notify_one();
        }
        let is_answer = message["id"] == 1;
        said.push(message);
        if is_answer {
            return said;
        }
    }
}

#[tokio::test]
async fn the_last_progress_reaches_a_client_that_did_not_read_for_a_while() {
    const COUNT: usize = 4000;
    for answers in [false, true] {
        let said = progress_to_a_client_that_reads_late(COUNT, 4000, answers).await;
        let (answer, told) = said.split_last().unwrap();
        assert_eq!(answer["id"], 1);
        let told: Vec<_> = told.iter().map(|told| told["params"]["progress"].as_u64().unwrap()).collect();
        assert!(told.is_sorted() && told.len() < COUNT, "{} of {COUNT}", told.len());
        assert_eq!(told.last(), Some(&(COUNT as u64)));
        assert!(said.iter().rev().skip(1).all(|told| told["params"]["progressToken"] == "mine"));
    }
}

#[tokio::test]
async fn long_progress_that_is_held_tells_how_far_it_has_come() {
    let said = progress_to_a_client_that_reads_late(200, 100_000, false).await;
    let last = &said[said.len() - 2]["params"];
    assert_eq!(*last, json!({ "progressToken": "mine", "progress": 200, "total": 200 }));
}

#[tokio::test]
async fn a_refused_tool_is_a_result_that_the_model_reads() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send", "drop"]))],
        policies: vec![("mail/drop", Action::Deny)],
        ..FixtureSetup::default()
    });
    let (text, is_error) = rig.call_tool("mail__drop", json!({})).await;
    assert!(is_error && text.contains("mail/drop") && text.contains("Do not try"), "{text}");
    let (text, is_error) = rig.call_tool("mail__burn", json!({})).await;
    assert!(is_error && text.contains("mail__burn") && text.contains("search_tools"), "{text}");
    rig.send_line(r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"mail__send","arguments":{"a":1,"a":2}}}"#)
        .await;
    let answer = rig.next_message().await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(rig.fixture.received_calls().is_empty());
    assert_eq!(rig.request_answer(6, "tools/call", json!({})).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_call_that_needs_a_person_returns_at_once_with_what_to_do_next() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        policies: vec![("mail/send", Action::RequireApproval), ("mail/prompts:get", Action::RequireApproval)],
        ..FixtureSetup::default()
    });
    let result = rig.request_result("tools/call", json!({ "name": "mail__send" })).await;
    let status = &result["structuredContent"];
    assert_eq!(status["status"], "pending-approval");
    assert_eq!(status["toolName"], "mail/send");
    let id = status["taskId"].as_str().unwrap();
    let message = status["message"].as_str().unwrap();
    assert!(message.contains(id) && message.contains("portero__check_task"), "{message}");
    assert!(message.contains("Do not try to reach the same effect another way"), "{message}");
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(&text, status);
    assert!(result.get("isError").is_none());
    rig.fixture.approvals.is_unavailable.store(true, std::sync::atomic::Ordering::SeqCst);
    let (text, is_error) = rig.call_tool("mail__send", json!({})).await;
    assert!(is_error && text.contains("porterod"), "{text}");
}

#[tokio::test]
async fn a_prompt_or_resource_that_needs_a_person_is_an_error_with_the_task_in_it() {
    let offer = ServerListing {
        prompts: vec![raw_json(r#"{"name":"greet"}"#)],
        resources: vec![raw_json(r#"{"uri":"a:1","name":"one"}"#)],
        ..ServerListing::default()
    };
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_listing(offer))],
        default: Some(Action::RequireApproval),
        ..FixtureSetup::default()
    });
    rig.request_result("prompts/list", json!({})).await;
    let answer = rig.request_answer(1, "prompts/get", json!({ "name": "mail__greet" })).await;
    assert_eq!(answer["error"]["data"]["status"], "pending-approval", "{answer}");
    assert_eq!(answer["error"]["data"]["toolName"], "mail/prompts:get");
    let answer = rig.request_answer(2, "resources/read", json!({ "uri": "portero://mail/a:1" })).await;
    assert_eq!(answer["error"]["data"]["toolName"], "mail/resources:read");
    // A completion is no use later, so nobody is asked.
    let complete = json!({ "ref": { "type": "ref/prompt", "name": "mail__greet" }, "argument": { "name": "a", "value": "b" } });
    let answer = rig.request_answer(3, "completion/complete", complete).await;
    assert!(answer["error"].get("data").is_none(), "{answer}");
    assert_eq!(rig.fixture.approvals.submitted.lock().unwrap().len(), 2);
    assert!(rig.fixture.received_calls().is_empty());
}

#[tokio::test]
async fn resources_prompts_and_completions_reach_their_server_under_its_own_names() {
    let offer = ServerListing {
        prompts: vec![raw_json(r#"{"name":"greet"}"#)],
        resources: vec![raw_json(r#"{"uri":"a:1","name":"one"}"#)],
        templates: vec![raw_json(r#"{"uriTemplate":"a:{x}","name":"any"}"#)],
        ..ServerListing::default()
    };
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_listing(offer))],
        ..FixtureSetup::default()
    });
    rig.request_result("prompts/get", json!({ "name": "mail__greet", "arguments": { "who": "x" } })).await;
    rig.request_result("resources/read", json!({ "uri": "portero://mail/a:1" })).await;
    let template =
        rig.request_result("resources/templates/list", json!({})).await["resourceTemplates"][0]["uriTemplate"]
            .clone();
    for about in [
        json!({ "type": "ref/prompt", "name": "mail__greet" }),
        json!({ "type": "ref/resource", "uri": template }),
    ] {
        let complete = json!({ "ref": about, "argument": { "name": "x", "value": "v" } });
        rig.request_result("completion/complete", complete).await;
    }
    let heard: Vec<_> =
        rig.fixture.received_calls().into_iter().map(|heard| (heard.tool, heard.params)).collect();
    let expected = [
        ("mail/prompts:get", r#"{"name":"greet","arguments":{"who":"x"}}"#),
        ("mail/resources:read", r#"{"uri":"a:1"}"#),
        (
            "mail/completion:complete",
            r#"{"ref":{"type":"ref/prompt","name":"greet"},"argument":{"name":"x","value":"v"}}"#,
        ),
        (
            "mail/completion:complete",
            r#"{"ref":{"type":"ref/resource","uri":"a:{x}"},"argument":{"name":"x","value":"v"}}"#,
        ),
    ];
    for (heard, (tool, params)) in heard.iter().zip(expected) {
        let as_value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!((heard.0.as_str(), as_value(&heard.1)), (tool, as_value(params)));
    }
    assert_eq!(heard.len(), 4);
    let wrong = rig.request_answer(9, "completion/complete", json!({ "ref": { "type": "other" } })).await;
    assert_eq!(wrong["error"]["code"], -32602);
}

#[tokio::test]
async fn a_missing_resource_has_the_code_of_the_clients_revision() {
    let error = r#"{"code":-32002,"message":"gone","data":{"uri":"a:1"}}"#;
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("s", failing_server(error))],
        ..FixtureSetup::default()
    });
    rig.request_result("resources/list", json!({})).await;
    for uri in ["portero://s/a:1", "portero://nobody/a:1"] {
        let answer = rig.request_answer(1, "resources/read", json!({ "uri": uri })).await;
        assert_eq!(answer["error"]["code"], -32002, "{answer}");
        let answer = rig.request_answer(2, "resources/read", with_modern_meta(json!({ "uri": uri }))).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test]
async fn the_end_of_input_ends_the_session_and_every_call_has_an_outcome() {
    let part = FakeServer::with_tools(&["t"]).handling_calls_with(|_, _| Box::pin(std::future::pending()));
    let mut rig = SessionFixture::new(FixtureSetup { servers: vec![("s", part)], ..FixtureSetup::default() });
    rig.send_request(&json!(1), "tools/call", &json!({ "name": "s__t" })).await;
    wait_until(|| !rig.fixture.received_calls().is_empty()).await;
    rig.close_input().await;
    wait_until(|| rig.run.is_finished()).await;
    assert!(rig.fixture.audit_events()[1].contains("interrupted"), "{:?}", rig.fixture.audit_events());
    rig.wait_for_end().await;
}

#[tokio::test]
async fn a_shutdown_ends_the_session_and_its_listeners_in_order() {
    let mut rig = SessionFixture::new(FixtureSetup::default());
    rig.send_request(&json!("l"), "subscriptions/listen", &with_modern_meta(json!({ "notifications": {} })))
        .await;
    rig.next_message().await;
    tokio::time::timeout(TEST_TIMEOUT, rig.handle.wait_for_first_answer()).await.expect("it answered");
    rig.handle.shutdown();
    let last = rig.next_message().await;
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("l"), &json!("complete")));
    rig.wait_for_end().await;
}

#[tokio::test]
async fn many_calls_at_once_are_all_answered_to_their_own_ids() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("s", FakeServer::with_tools(&["t"]))],
        ..FixtureSetup::default()
    });
    let lines: String = (0..500)
        .map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"s__t","arguments":{{"text":"#) + &format!(r#""<{id}>"}}}}}}"#) + "\n")
        .collect();
    rig.send_line(lines.trim_end()).await;
    for _ in 0..500 {
        let answer = rig.next_message().await;
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(&format!("<{}>", answer["id"])), "{answer}");
    }
}

#[tokio::test]
async fn a_request_without_its_line_end_is_answered_though_the_input_ended() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("s", FakeServer::with_tools(&["t"]))],
        ..FixtureSetup::default()
    });
    let writer = rig.writer.as_mut().unwrap();
    let line = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"s__t"}}"#;
    writer.write_all(line.as_bytes()).await.unwrap();
    rig.close_input().await;
    assert_eq!(rig.next_message().await["id"], 1);
    rig.wait_for_end().await;
}

#[tokio::test]
async fn calls_that_are_open_when_the_input_ends_are_answered_if_they_end_soon() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = Arc::clone(&gate);
    let part = FakeServer::with_tools(&["t"]).handling_calls_with(move |_, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.notified().await;
            Ok(result_answer("{}"))
        })
    });
    let mut rig = SessionFixture::new(FixtureSetup { servers: vec![("s", part)], ..FixtureSetup::default() });
    rig.send_request(&json!("l"), "subscriptions/listen", &with_modern_meta(json!({ "notifications": {} })))
        .await;
    rig.next_message().await;
    rig.send_request(&json!(1), "tools/call", &json!({ "name": "s__t" })).await;
    wait_until(|| !rig.fixture.received_calls().is_empty()).await;
    rig.close_input().await;
    assert_eq!(rig.next_message().await["id"], "l", "a listener does not keep the session");
    gate.notify_one();
    assert_eq!(rig.next_message().await["id"], 1);
    rig.wait_for_end().await;
}

/// A tool that says what its results look like.
fn weather() -> FakeServer {
    let schema =
        r#"{"type":"object","properties":{"temperature":{"type":"number"}},"required":["temperature"]}"#;
    let tool = format!(r#"{{"name":"t","inputSchema":{{"type":"object"}},"outputSchema":{schema}}}"#);
    FakeServer::with_listing(ServerListing { tools: vec![raw_json(&tool)], ..ServerListing::default() })
}

#[tokio::test]
async fn what_stands_in_the_place_of_a_checked_result_survives_the_check() {
    let part = weather().answering_with(|| Err(ServerError::Stopped("s".parse().unwrap())));
    let mut rig = SessionFixture::new(FixtureSetup { servers: vec![("s", part)], ..FixtureSetup::default() });
    let listed = rig.request_result("tools/list", json!({})).await.to_string();
    assert!(listed.contains("outputSchema"), "the client holds the schema: {listed}");
    // Interrupted, then denied, then waiting for a person.
    for (action, word) in [
        (Action::Allow, "unknown"),
        (Action::Deny, "Refused"),
        (Action::RequireApproval, "\"status\":\"pending-approval\""),
    ] {
        rig.fixture.set_policy(&[("s/*", action)], None);
        let result = rig.request_result("tools/call", json!({ "name": "s__t", "arguments": {} })).await;
        assert_eq!(result["isError"], json!(true), "{result}");
        assert!(result.get("structuredContent").is_none(), "{result}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(word), "{text}");
    }
    let waiting = rig.request_result("tools/call", json!({ "name": "s/t", "arguments": {} })).await;
    let text = waiting["content"][0]["text"].as_str().unwrap();
    let status: Value = serde_json::from_str(text).expect("the text is the status");
    assert!(status["taskId"].as_str().is_some_and(|id| id.parse::<TaskId>().is_ok()), "{status}");
}

#[tokio::test]
async fn a_client_may_still_hold_a_schema_that_the_server_took_back() {
    let mut rig =
        SessionFixture::new(FixtureSetup { servers: vec![("s", weather())], ..FixtureSetup::default() });
    rig.request_result("tools/list", json!({})).await;
    rig.fixture.set_listing(
        "s",
        ServerListing {
            tools: vec![crate::pipeline::test_support::tool_json("t")],
            ..ServerListing::default()
        },
    );
    rig.handle.list_changed(&"s".parse().unwrap(), ListKind::Tools);
    let catalog = Arc::clone(&rig.fixture.pipeline.catalog);
    let has_schema =
        move || catalog.tool(&"s/t".parse().unwrap()).unwrap().raw.expose().get().contains("output");
    wait_until(|| !has_schema()).await;
    rig.fixture.set_policy(&[("s/*", Action::RequireApproval)], None);
    let result = rig.request_result("tools/call", json!({ "name": "s__t" })).await;
    assert_eq!((&result["isError"], result.get("structuredContent")), (&json!(true), None), "{result}");
}
