//! What each revision asks of the transport.

use reqwest::Method;
use serde_json::{Value, json};

use super::endpoint::*;
use crate::support::*;

#[tokio::test]
async fn every_revision_is_spoken() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = endpoint.session(PHONE, revision).await;
        let called = session.call(1, "common__read", json!({"text": revision})).await;
        assert!(called.tool_text().contains(revision));
        assert!(called.message()["result"].get("resultType").is_none(), "{revision}");
    }
    let found =
        Reply::read(endpoint.modern(PHONE, 1, "server/discover", &json!({})).send().await.unwrap()).await;
    assert_eq!(found.message()["result"]["supportedVersions"][0], "2026-07-28");
    assert_eq!(found.header("mcp-session-id"), "");
    let params = json!({"name": "common__read", "arguments": {"text": "modern"}});
    let called = Reply::read(endpoint.modern(PHONE, 2, "tools/call", &params).send().await.unwrap()).await;
    assert!(called.tool_text().contains("modern"));
    assert_eq!(called.message()["result"]["resultType"], "complete");
    app.shutdown().await;
}

#[tokio::test]
async fn batches_belong_to_one_revision() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        {"jsonrpc": "2.0", "id": "two", "method": "nothing"},
    ]);
    let answered = endpoint.session(PHONE, "2025-03-26").await.send(&batch).await;
    let answers = answered.message();
    let mut ids: Vec<String> =
        answers.as_array().unwrap().iter().map(|answer| answer["id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"two\"", "1"]);
    let session = endpoint.session(PHONE, "2025-06-18").await;
    let refused = session.send(&batch).await;
    assert_eq!((refused.status.as_u16(), &refused.message()["error"]["code"]), (400, &json!(-32600)));
    let only_notes = json!([{"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}]);
    let noted = endpoint.session(PHONE, "2025-03-26").await.send(&only_notes).await;
    assert_eq!(noted.status, 202);
    app.shutdown().await;
}

#[tokio::test]
async fn a_request_that_is_not_as_the_transport_asks_is_refused() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let ask = async |request: reqwest::RequestBuilder| {
        let reply = Reply::read(request.send().await.unwrap()).await;
        (reply.status.as_u16(), reply.text)
    };
    let in_session = |request| session.with_headers(request);
    for (what, request, status) in [
        ("no session", endpoint.post(PHONE, &ping), 400),
        ("unknown session", endpoint.post(PHONE, &ping).header("mcp-session-id", "guessed"), 404),
        ("no JSON", in_session(endpoint.post_text(PHONE, "{".to_owned())), 400),
        ("an empty batch", in_session(endpoint.post_text(PHONE, "[]".to_owned())), 400),
        ("an empty body", in_session(endpoint.post_text(PHONE, String::new())), 400),
        (
            "an unknown revision",
            endpoint
                .post(PHONE, &ping)
                .header("mcp-session-id", &session.id)
                .header("mcp-protocol-version", "1900-01-01"),
            400,
        ),
        (
            "two sessions",
            endpoint
                .post(PHONE, &ping)
                .header("mcp-session-id", &session.id)
                .header("mcp-session-id", &session.id),
            400,
        ),
        ("another method", endpoint.request(Method::PUT, "/mcp", PHONE), 405),
        ("a GET without a session", endpoint.request(Method::GET, "/mcp", PHONE), 400),
        (
            "a GET of 2026-07-28",
            endpoint.request(Method::GET, "/mcp", PHONE).header("mcp-protocol-version", "2026-07-28"),
            405,
        ),
        (
            "a DELETE of 2026-07-28",
            endpoint.request(Method::DELETE, "/mcp", PHONE).header("mcp-protocol-version", "2026-07-28"),
            405,
        ),
        (
            "an event that never was",
            in_session(endpoint.request(Method::GET, "/mcp", PHONE)).header("last-event-id", "999-1"),
            400,
        ),
        ("another path", endpoint.request(Method::GET, "/mcp/messages", PHONE), 404),
    ] {
        let (answered, text) = ask(request).await;
        assert_eq!(answered, status, "{what}: {text}");
    }
    let refused = in_session(endpoint.post(PHONE, &ping)).build().unwrap();
    let mut refused = reqwest::RequestBuilder::from_parts(reqwest::Client::new(), refused);
    refused = refused.header("accept", "text/html");
    // Two headers `Accept` are one list, so a further type does no harm.
    assert_eq!(ask(refused).await.0, 200);

    assert_eq!(ask(in_session(endpoint.request(Method::DELETE, "/mcp", PHONE))).await.0, 204);
    assert_eq!(session.send(&ping).await.status, 404, "a session that was ended is gone");
    app.shutdown().await;
}

#[tokio::test]
async fn a_client_that_takes_neither_kind_of_response_gets_none_and_its_call_does_not_run() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let params = json!({"name": "common__read", "arguments": {"text": "x"}});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let ask = async |request: reqwest::RequestBuilder, accept: &'static str| {
        let mut request = request.build().unwrap();
        request.headers_mut().insert("accept", accept.parse().unwrap());
        Reply::read(reqwest::Client::new().execute(request).await.unwrap()).await
    };
    for accept in ["text/html", "application/xml, image/*", "text/plain;q=1, application/jsonp", ""] {
        for request in [
            session.with_headers(endpoint.post(PHONE, &call)),
            session.with_headers(endpoint.request(Method::GET, "/mcp", PHONE)),
            endpoint.modern(PHONE, 2, "tools/call", &params),
        ] {
            let refused = ask(request, accept).await;
            assert_eq!(refused.status, 406, "{accept}: {}", refused.text);
            assert!(refused.text.contains("text/event-stream"), "{accept}: {}", refused.text);
        }
    }
    assert!(home.record("common").is_empty(), "no call ran");
    for (accept, content_type) in [
        ("application/json", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("text/html, */*;q=0.1", "application/json"),
    ] {
        let answered = ask(session.with_headers(endpoint.post(PHONE, &call)), accept).await;
        assert_eq!(
            (answered.status.as_u16(), answered.header("content-type")),
            (200, content_type),
            "{accept}"
        );
    }
    app.shutdown().await;
}

#[tokio::test]
async fn the_headers_of_a_modern_request_say_what_its_body_says() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let call = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {
        "name": "common__read", "arguments": {"text": "x"}, "_meta": meta,
    }});
    let headers =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "common__read")];
    let post = async |headers: &[(&str, &str)], body: &Value| {
        let mut request = endpoint.post(PHONE, body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = Reply::read(request.send().await.unwrap()).await;
        (reply.status.as_u16(), reply.message())
    };
    assert_eq!(post(&headers, &call).await.0, 200);
    let encoded = [headers[0], headers[1], ("mcp-name", "=?base64?Y29tbW9uX19yZWFk?=")];
    assert_eq!(post(&encoded, &call).await.0, 200);
    for wrong in [
        &headers[1..],
        &headers[..2],
        &[headers[0], headers[2]],
        &[headers[0], ("mcp-method", "tools/list"), headers[2]],
        &[headers[0], headers[1], ("mcp-name", "common__erase")],
        &[headers[0], headers[1], ("mcp-name", "=?base64?%?=")],
        &[headers[0], headers[1], headers[2], ("mcp-name", "common__erase")],
        &[("mcp-protocol-version", "2025-11-25"), headers[1], headers[2]],
    ] {
        let (status, message) = post(wrong, &call).await;
        assert_eq!((status, &message["error"]["code"]), (400, &json!(-32020)), "{wrong:?}: {message}");
    }
    let mut bare = call.clone();
    bare["params"]["_meta"].as_object_mut().unwrap().remove("io.modelcontextprotocol/clientCapabilities");
    let (status, message) = post(&headers, &bare).await;
    assert_eq!((status, &message["error"]["code"], &message["id"]), (400, &json!(-32602), &json!("x")));
    let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01"},
    }});
    let (status, message) =
        post(&[("mcp-protocol-version", "2099-01-01"), ("mcp-method", "ping")], &unknown).await;
    assert_eq!((status, &message["error"]["code"]), (400, &json!(-32022)));
    let none = json!({"jsonrpc": "2.0", "id": 1, "method": "nothing", "params": {"_meta": meta}});
    let (status, message) = post(&[headers[0], ("mcp-method", "nothing")], &none).await;
    assert_eq!((status, &message["error"]["code"]), (404, &json!(-32601)));
    assert_eq!(home.record("common").len(), 2, "nothing that was refused ran");
    app.shutdown().await;
}
