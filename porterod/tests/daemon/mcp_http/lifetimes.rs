//! How sessions end, and what outlives them.

use std::time::Duration;

use jiff::SignedDuration;
use portero::clock::Clock as _;
use portero::wire::Revision;
use porterod::remote_sessions::{Caller, Validity};
use serde_json::json;
use tokio::time::Instant;

use super::endpoint::*;
use crate::support::*;

/// Reads a stream to its end.
async fn read_to_end(mut stream: reqwest::Response) {
    let reading = async { while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(TEST_TIMEOUT, reading).await.expect("it ends in time");
}

#[tokio::test]
async fn the_end_of_a_token_ends_its_sessions_calls_and_streams_at_once() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let (session, other) =
        (endpoint.session(PHONE, "2025-11-25").await, endpoint.session(TABLET, "2025-11-25").await);
    let stream = session.open_stream(None).await;
    let wait = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "common__wait", "arguments": {}, "_meta": {"progressToken": 1},
    }});
    let mut call = session.begin(&wait).await;
    read_until(&mut call, |events| !events.is_empty()).await;
    let params = json!({"name": "common__wait", "arguments": {}, "_meta": {"progressToken": 2}});
    let mut single = endpoint.modern(PHONE, 2, "tools/call", &params).send().await.unwrap();
    read_until(&mut single, |events| !events.is_empty()).await;
    let sessions = endpoint.sessions.principal(&caller(PHONE));
    assert_eq!(sessions.count_open(), 2);

    endpoint.replace_phone();
    for ended in [stream, call, single] {
        read_to_end(ended).await;
    }
    wait_until("its sessions end", async || sessions.count_open() == 0).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    assert_eq!(session.send(&ping).await.status, 404, "another token of that name has no part in it");
    assert_eq!(other.send(&ping).await.status, 200);
    let next = endpoint.session(PHONE, "2025-11-25").await;
    assert_eq!(next.send(&ping).await.status, 200);
    app.shutdown().await;
}

/// As a token of an issuer: a client asks for another one before or after its end.
#[tokio::test]
async fn a_session_ends_with_the_last_token_that_was_used_in_it() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let begun = home.clock.now().wall;
    let hours = |hours: i64| begun + SignedDuration::from_hours(hours);
    endpoint.renew_phone(hours(1));
    let (renewed, other) =
        (endpoint.session(PHONE, "2025-11-25").await, endpoint.session(PHONE, "2025-11-25").await);
    let sessions = endpoint.sessions.principal(&caller(PHONE));
    assert_eq!(sessions.count_open(), 2);
    endpoint.renew_phone(hours(2));
    assert_eq!(renewed.send(&ping).await.status, 200, "it goes by the later token now");
    // A request that was sent with the earlier one comes late.
    endpoint.renew_phone(hours(1));
    assert_eq!(renewed.send(&ping).await.status, 200);

    home.clock.advance(Duration::from_secs(3600));
    endpoint.renew_phone(hours(3));
    assert_eq!(other.send(&ping).await.status, 404, "a token that comes after the end doesn't keep it");
    endpoint.sessions.end_idle(Instant::now());
    assert_eq!(sessions.count_open(), 1);
    assert_eq!(renewed.send(&ping).await.status, 200);
    home.clock.advance(Duration::from_secs(2 * 3600));
    endpoint.sessions.end_idle(Instant::now());
    assert_eq!(sessions.count_open(), 0);
    app.shutdown().await;
}

#[tokio::test]
async fn a_session_ends_at_the_end_of_its_token_by_itself() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let ends = home.clock.now().wall + SignedDuration::from_millis(50);
    let agent = caller(PHONE);
    let agent = Caller { validity: Validity { revoked: None, expires: Some(ends) }, ..agent };
    endpoint.sessions.open_session(&agent, Revision::V2025_11_25).unwrap();
    let sessions = endpoint.sessions.principal(&agent);
    wait_until("it ends", async || sessions.count_open() == 0).await;
    app.shutdown().await;
}

#[tokio::test]
async fn after_a_restart_a_client_begins_anew_and_what_waits_still_waits() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let person = home.terminal_with_passphrase().await;
    let former = endpoint.session(PHONE, "2025-11-25").await;
    let asks = former.call(1, "notes__send", json!({"text": "please"})).await;
    let task = asks.message()["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    let former = former.id.clone();
    drop(person);
    drop(endpoint);
    app.shutdown().await;

    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let person = home.terminal().await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let request = endpoint.post(PHONE, &ping).header("mcp-session-id", former);
    let unknown = Reply::read(request.send().await.unwrap()).await;
    assert_eq!((unknown.status.as_u16(), &unknown.message()["id"]), (404, &json!(null)));
    let check = json!({"name": "portero__check_task", "arguments": {"taskId": task}});
    let single = Reply::read(endpoint.modern(PHONE, 2, "tools/call", &check).send().await.unwrap()).await;
    assert!(single.text.contains("pending-approval"), "{}", single.text);
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let found = person.request(portero::ipc::requests::approvals::GetTask { task: task.parse().unwrap() });
    person.approve(&found.await.unwrap()).await.unwrap();
    let arguments = json!({"taskId": task, "wait_seconds": 60});
    let finished = session.call(3, "portero__check_task", arguments).await;
    assert!(finished.tool_text().contains("please"), "{}", finished.text);
    assert_eq!(home.record("notes").len(), 1, "it ran once");
    app.shutdown().await;
}

#[tokio::test]
async fn requests_without_a_session_have_the_limits_of_their_principal() {
    let home = Home::new();
    home.write("portero.json", &json!({"approvals": {"pendingMost": 2}}));
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let ask = async |who: &str, id: u64| {
        let params = json!({"name": "notes__send", "arguments": {"text": format!("number {id}")}});
        Reply::read(endpoint.modern(who, id, "tools/call", &params).send().await.unwrap()).await.text
    };
    for id in 1..=2 {
        assert!(ask(PHONE, id).await.contains("pending-approval"));
    }
    let refused = ask(PHONE, 3).await;
    assert!(refused.contains("wait for a person already"), "{refused}");
    assert!(ask(TABLET, 4).await.contains("pending-approval"), "another principal has its own");
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let asks = session.call(5, "notes__send", json!({"text": "in a session"})).await.text;
    assert!(asks.contains("pending-approval"), "{asks}");
    app.shutdown().await;
}
