//! Streams of events: what goes on them, clients that go away, and streams that are taken up again.

use serde_json::json;

use super::endpoint::*;
use crate::support::*;

fn call(id: u64, tool: &str, text: &str) -> serde_json::Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": tool, "arguments": {"text": text}, "_meta": {"progressToken": format!("token {id}")},
    }})
}

#[tokio::test]
async fn progress_comes_before_its_answer_on_the_stream_of_its_call() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let session = endpoint.session(PHONE, "2025-06-18").await;
    let (first, second) = (call(1, "common__read", "a"), call(2, "common__read", "b"));
    let (one, two) = tokio::join!(session.send(&first), session.send(&second));
    for (reply, id) in [(one, 1), (two, 2)] {
        let messages = reply.messages();
        assert_eq!(reply.header("content-type"), "text/event-stream");
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert_eq!(messages[0]["params"]["progressToken"], format!("token {id}"));
        assert_eq!(messages[0]["params"]["message"], "John Doe", "it is concealed");
        assert_eq!(messages[1]["id"], id);
    }
    app.shutdown().await;
}

#[tokio::test]
async fn a_stream_that_broke_is_taken_up_where_it_broke() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let mut broken = session.begin(&call(1, "common__read", "a")).await;
    let seen = read_until(&mut broken, |events| !events.is_empty()).await;
    drop(broken);
    let (last, progress) = &seen[0];
    assert_eq!(progress["method"], "notifications/progress");
    let rest = Reply::read(session.open_stream(Some(last)).await).await;
    assert_eq!(rest.messages().last().unwrap()["id"], 1);
    let stream = last.split_once('-').unwrap().0;
    let whole = Reply::read(session.open_stream(Some(&format!("{stream}-0"))).await).await;
    assert_eq!(whole.messages().len(), 2, "the stream begins after the event without a message");
    assert_eq!(home.record("common").len(), 1, "the call ran once");
    app.shutdown().await;
}

#[tokio::test]
async fn a_session_has_one_stream_of_its_own() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let person = home.terminal_with_passphrase().await;
    let session = endpoint.session(PHONE, "2025-11-25").await;
    session.request(1, "tools/list", json!({})).await;
    let mut former = session.open_stream(None).await;
    let mut stream = session.open_stream(None).await;
    // The rule changes what is listed.
    person.rule("common/send", portero::policy::Action::Deny).await.unwrap();
    let told = read_until(&mut stream, |events| !events.is_empty()).await;
    assert_eq!(told[0].1["method"], "notifications/tools/list_changed");
    let ended =
        tokio::time::timeout(TEST_TIMEOUT, async { while former.chunk().await.unwrap().is_some() {} });
    ended.await.expect("the second one took its place");
    app.shutdown().await;
}

#[tokio::test]
async fn a_modern_client_that_goes_away_cancels_its_call() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let params = json!({"name": "common__wait", "arguments": {}, "_meta": {"progressToken": 1}});
    let mut response = endpoint.modern(PHONE, 1, "tools/call", &params).send().await.unwrap();
    read_until(&mut response, |events| !events.is_empty()).await;
    let sessions = endpoint.sessions.principal(&caller(PHONE));
    assert_eq!(sessions.count_open(), 1);
    drop(response);
    wait_until("its session ends", async || sessions.count_open() == 0).await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_call_that_its_client_cancels_ends_its_stream_without_an_answer() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let mut response = session.begin(&call(5, "common__wait", "")).await;
    read_until(&mut response, |events| !events.is_empty()).await;
    let again = session.send(&call(5, "common__read", "")).await;
    assert_eq!(
        (again.status.as_u16(), &again.message()["error"]["code"]),
        (400, &json!(-32600)),
        "the id is in use"
    );
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}});
    assert_eq!(session.send(&cancelled).await.status, 202);
    assert_eq!(events(&Reply::read(response).await.text).len(), 0, "no answer comes");
    app.shutdown().await;
}

#[tokio::test]
async fn a_modern_listener_hears_of_changes_and_is_acknowledged_first() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let person = home.terminal_with_passphrase().await;
    let listed = Reply::read(endpoint.modern(PHONE, 1, "tools/list", &json!({})).send().await.unwrap()).await;
    assert_eq!(listed.status, 200);
    let params = json!({"notifications": {"toolsListChanged": true}});
    let mut stream = endpoint.modern(PHONE, 9, "subscriptions/listen", &params).send().await.unwrap();
    let first = read_until(&mut stream, |events| !events.is_empty()).await;
    assert_eq!(first[0].1["method"], "notifications/subscriptions/acknowledged");
    person.rule("common/send", portero::policy::Action::Deny).await.unwrap();
    let told = read_until(&mut stream, |events| !events.is_empty()).await;
    assert_eq!(told[0].1["method"], "notifications/tools/list_changed");
    assert_eq!(told[0].1["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 9);
    app.shutdown().await;
}
