//! What servers say unasked reaches the client that it is for, with a session and without.

use porterod::remote_sessions::{SessionLimits, StreamLimits};
use serde_json::{Value, json};

use super::endpoint::*;
use crate::fake_server::MEMO_URI;
use crate::shared;
use crate::support::TEST_TIMEOUT;

fn call(id: u64, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call_params(text)})
}

fn call_params(text: &str) -> Value {
    json!({"name": "one__read", "arguments": {"text": text}, "_meta": {"progressToken": text}})
}

fn has(events: &[(String, Value)], method: &str) -> bool {
    events.iter().any(|(_, message)| message["method"] == method)
}

fn methods(reply: &Reply) -> Vec<Value> {
    reply.messages().iter().map(|message| message["method"].clone()).collect()
}

/// The resource of the server `one`, as clients know it.
async fn memo_uri(session: &HttpSession<'_>) -> String {
    let listed = session.request(900, "resources/list", json!({})).await.message();
    let resources = listed["result"]["resources"].as_array().unwrap().clone();
    let mut uris = resources.iter().map(|resource| resource["uri"].as_str().unwrap());
    let found = uris.find(|uri| uri.contains("one/") && uri.contains(MEMO_URI));
    found.unwrap_or_else(|| panic!("{listed}")).to_owned()
}

#[tokio::test]
async fn updates_logs_and_progress_reach_a_session() {
    let home = shared::home();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let uri = memo_uri(&session).await;
    let subscribed = session.request(1, "resources/subscribe", json!({"uri": uri})).await;
    assert_eq!(subscribed.message()["result"], json!({}), "{}", subscribed.text);
    session.request(2, "logging/setLevel", json!({"level": "debug"})).await;
    let mut stream = session.open_stream(None).await;

    let logged = session.send(&call(3, "log what it does")).await;
    assert_eq!(methods(&logged), [json!("notifications/progress"), json!(null)]);
    session.send(&call(4, "update")).await;
    let told = read_until(&mut stream, |events| {
        has(events, "notifications/message") && has(events, "notifications/resources/updated")
    })
    .await;
    let of = |method: &str| told.iter().find(|(_, message)| message["method"] == method).unwrap().1.clone();
    assert_eq!(of("notifications/message")["params"]["data"], "log what it does");
    assert_eq!(of("notifications/resources/updated")["params"]["uri"], json!(uri));
    app.shutdown().await;
}

#[tokio::test]
async fn updates_logs_and_progress_reach_a_client_without_a_session() {
    let home = shared::home();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let uri = memo_uri(&endpoint.session(PHONE, "2025-11-25").await).await;
    let wanted = json!({"notifications": {"resourceSubscriptions": [uri]}});
    let mut stream = endpoint.modern(PHONE, 1, "subscriptions/listen", &wanted).send().await.unwrap();
    let first = read_until(&mut stream, |events| !events.is_empty()).await;
    assert_eq!(first[0].1["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first[0].1["params"]["notifications"]["resourceSubscriptions"], json!([uri]));

    let ask = async |id: u64, params: &Value| {
        Reply::read(endpoint.modern(PHONE, id, "tools/call", params).send().await.unwrap()).await
    };
    let mut params = call_params("log for this request");
    params["_meta"]["io.modelcontextprotocol/logLevel"] = json!("info");
    let logged = ask(2, &params).await;
    let mut seen = methods(&logged);
    assert_eq!(seen.pop(), Some(json!(null)), "the answer comes last: {}", logged.text);
    assert!(seen.contains(&json!("notifications/progress")), "{seen:?}");
    assert!(seen.contains(&json!("notifications/message")), "{seen:?}");
    let unasked = ask(3, &call_params("log for nobody")).await;
    assert!(!unasked.text.contains("notifications/message"), "{}", unasked.text);

    ask(4, &call_params("update")).await;
    let told = read_until(&mut stream, |events| has(events, "notifications/resources/updated")).await;
    let updated = &told.iter().find(|(_, message)| message["params"]["uri"] == json!(uri)).unwrap().1;
    assert_eq!(updated["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    app.shutdown().await;
}

#[tokio::test]
async fn a_client_that_never_reads_hurts_no_other() {
    // Together more than what waits for a client.
    const MESSAGES: usize = 12;
    const LENGTH: usize = 300_000;
    let home = shared::home();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let deaf = endpoint.session(PHONE, "2025-11-25").await;
    deaf.request(1, "logging/setLevel", json!({"level": "debug"})).await;
    let mut unread = deaf.open_stream(None).await;
    let other = endpoint.session(PHONE, "2025-11-25").await;
    other.request(1, "logging/setLevel", json!({"level": "debug"})).await;
    for number in 0..MESSAGES {
        let text = format!("log {number} {}", "a few words ".repeat(LENGTH / 12));
        let answered = other.send(&call(2, &text)).await;
        assert_eq!(answered.messages().last().unwrap()["id"], 2);
    }
    let pinged = deaf.request(3, "ping", json!({})).await;
    assert_eq!(pinged.message()["result"], json!({}), "it may still ask");
    // What is on its way, and then what waited.
    let last = format!("\"data\":\"log {} ", MESSAGES - 1);
    let mut text = String::new();
    let reading = async {
        while !text.contains(&last) {
            let chunk = unread.chunk().await.unwrap().expect("the stream goes on");
            text.drain(..text.len().saturating_sub(last.len()));
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, reading).await.expect("the newest one is kept");
    app.shutdown().await;
}

#[tokio::test]
async fn a_client_that_reads_late_gets_its_answers_and_no_more_notifications_than_may_wait() {
    const MESSAGES: usize = 40;
    let home = shared::home();
    let app = home.start().await;
    for (limits, length, waiting) in [
        (StreamLimits { max_notifications: 4, max_bytes: 1 << 20 }, 10, 4),
        (StreamLimits { max_notifications: 1000, max_bytes: 4096 }, 1500, 2),
        // One that is too long by itself waits alone.
        (StreamLimits { max_notifications: 1000, max_bytes: 100 }, 1500, 1),
    ] {
        let limits = SessionLimits { streams: limits, ..SessionLimits::default() };
        let endpoint = Endpoint::serve_with(&app, limits).await;
        let session = endpoint.session(PHONE, "2025-11-25").await;
        session.request(1, "logging/setLevel", json!({"level": "debug"})).await;
        for number in 0..MESSAGES {
            let answered = session.send(&call(2, &format!("log {number} {}", "x".repeat(length)))).await;
            assert_eq!(answered.messages().last().unwrap()["id"], 2);
        }
        // The session's stream begins only now. A log message comes before the answer to its call, so all have come.
        let mut stream = session.open_stream(None).await;
        let last = format!("log {} ", MESSAGES - 1);
        let is_last =
            |message: &Value| message["params"]["data"].as_str().is_some_and(|data| data.starts_with(&last));
        let read = read_until(&mut stream, |events| events.iter().any(|(_, message)| is_last(message))).await;
        let logs = read.iter().filter(|(_, message)| message["method"] == "notifications/message").count();
        assert!((1..=waiting).contains(&logs), "the newest of them: {read:?}");
    }
    app.shutdown().await;
}
