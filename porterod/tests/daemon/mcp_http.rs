//! Agents over HTTP: sessions, requests without one, and who sees what.

mod endpoint;
mod lifetimes;
mod notifications;
mod principals;
mod revisions;
mod streams;

use serde_json::json;

use self::endpoint::*;
use crate::support::*;

#[tokio::test]
async fn an_agent_over_http_lists_calls_and_waits_for_a_person() {
    let home = Home::new();
    let app = home.start().await;
    let (person, endpoint) = (home.terminal_with_passphrase().await, Endpoint::serve(&app).await);
    let session = endpoint.session(PHONE, "2025-11-25").await;

    let listed = session.request(1, "tools/list", json!({})).await;
    assert_eq!(listed.header("content-type"), "application/json");
    let names: Vec<_> = listed.message()["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert!(names.contains(&json!("notes__read")) && names.contains(&json!("common__send")), "{names:?}");
    assert!(!listed.text.contains("Jane Roe"));

    let read = session.call(2, "notes__read", json!({"text": "to John Doe"})).await;
    assert!(read.tool_text().contains("to John Doe"), "{}", read.text);
    assert_eq!(home.record("notes")[0]["params"]["arguments"]["text"], "to Jane Roe");
    assert!(session.call(3, "notes__erase", json!({})).await.tool_text().starts_with("Refused"));

    let asks = session.call(4, "notes__send", json!({"text": "please"})).await;
    let task = asks.message()["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    assert_eq!(home.record("notes").len(), 1, "nothing runs before a person said yes");
    let waiting = session.call(5, "portero__check_task", json!({"taskId": task, "wait_seconds": 60}));
    let approve = async {
        let found =
            person.request(portero::ipc::requests::approvals::GetTask { task: task.parse().unwrap() }).await;
        person.approve(&found.unwrap()).await.unwrap();
    };
    let (finished, ()) = tokio::join!(waiting, approve);
    assert!(finished.tool_text().contains("please"), "{}", finished.text);
    assert_eq!(home.record("notes").len(), 2);
    app.shutdown().await;
}

#[tokio::test]
async fn a_message_without_a_session_gets_one_answer() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let post = async |body: serde_json::Value| {
        let request = endpoint.request(reqwest::Method::POST, "/mcp/message", PHONE);
        Reply::read(
            request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap(),
        )
        .await
    };
    let listed = post(json!({"jsonrpc": "2.0", "id": "a", "method": "tools/list"})).await;
    assert_eq!((listed.status.as_u16(), &listed.message()["id"]), (200, &json!("a")));
    let called = post(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "common/read", "arguments": {"text": "x"}, "_meta": {"progressToken": 1},
    }}))
    .await;
    assert!(called.tool_text().contains('x'), "progress is left out: {}", called.text);
    let noted = post(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    assert_eq!((noted.status.as_u16(), noted.text.as_str()), (202, ""));
    let batch = post(json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}])).await;
    assert_eq!((batch.status.as_u16(), &batch.message()["error"]["code"]), (400, &json!(-32600)));
    app.shutdown().await;
}

#[tokio::test]
async fn two_hundred_sessions_at_once_get_their_own_answers() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let sessions = (0..200_u64).map(async |number| {
        let session = endpoint.session(PHONE, "2025-06-18").await;
        let called = session.call(7, "common__read", json!({"text": format!("number {number}.")})).await;
        assert!(called.tool_text().contains(&format!("number {number}.")), "{}", called.text);
        session.id
    });
    let mut ids = futures_util::future::join_all(sessions).await;
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
    assert_eq!(home.record("common").len(), 200);
    app.shutdown().await;
}
