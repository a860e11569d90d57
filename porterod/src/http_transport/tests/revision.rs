//! Which revision a server over HTTP is spoken to in, by what it answers to `server/discover` (MCP 2026-07-28, Streamable
//! HTTP, "Backward Compatibility").

use super::*;

const DISCOVERED: &str = r#"{"supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#;

/// A server that knows `initialize`, and answers `server/discover` by `on_discover`.
async fn server_with(on_discover: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> FakeHttp {
    FakeHttp::start(move |seen| match &*seen.rpc_method() {
        "server/discover" => on_discover(seen),
        _ => usual(seen, |seen| Reply::json(seen.result(r#"{"resultType":"complete"}"#))),
    })
    .await
}

fn refusal(status: u16, body: &str) -> Reply {
    Reply::Whole(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

fn error(code: i32, data: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{code},"message":"no"{data}}}}}"#)
}

fn count(server: &FakeHttp, asked: &str) -> usize {
    server.asked().iter().filter(|one| *one == asked).count()
}

/// Ends its conversation, and begins another one by a call.
async fn call_anew(fixture: &Fixture) {
    fixture.upstreams.renew(&"linear".parse().expect("a name")).expect("it is known");
    fixture.call("read").await.expect("answered");
}

#[tokio::test]
async fn a_server_that_knows_both_revisions_is_spoken_to_in_the_later_one() {
    let server = server_with(|seen| Reply::json(seen.result(DISCOVERED))).await;
    let fixture = Fixture::new(&server.origin, |_| {});
    fixture.list().await.expect("listed");
    fixture.call("read").await.expect("answered");
    call_anew(&fixture).await;
    assert_eq!(count(&server, "POST initialize"), 0);
    for seen in server.seen().iter().filter(|seen| !seen.rpc_method().is_empty()) {
        assert_eq!(seen.header("mcp-protocol-version"), "2026-07-28", "{seen:?}");
        assert_eq!(seen.header("mcp-method"), seen.rpc_method(), "{seen:?}");
    }
}

#[tokio::test]
async fn an_earlier_server_is_greeted_by_initialize_whatever_it_answers_and_asked_once() {
    let earlier = r#","data":{"supported":["2025-11-25","2030-01-01"]}"#;
    for (status, body) in [
        (400, error(-32600, "")),
        (400, error(-32000, "")),
        (404, error(-32601, "")),
        (200, error(-32601, "")),
        (200, error(-32602, "")),
        (400, error(-32022, earlier)),
        (200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()),
        (200, r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2025-06-18"]}}"#.to_owned()),
    ] {
        let reply = body.clone();
        let server = server_with(move |seen| {
            let id = seen.message()["id"].to_string();
            refusal(status, &reply.replace("\"id\":1", &format!("\"id\":{id}")).replace("null", &id))
        })
        .await;
        let fixture = Fixture::new(&server.origin, |_| {});
        fixture.call("read").await.unwrap_or_else(|failure| panic!("{body}: {failure}"));
        call_anew(&fixture).await;
        let asked = ["POST server/discover", "POST initialize"].map(|asked| count(&server, asked));
        assert_eq!(asked, [1, 2], "{status} {body}");
    }
}

/// A proxy may have answered, so the next conversation asks again.
#[tokio::test]
async fn what_tells_no_era_is_followed_by_initialize_and_asked_again() {
    let busy = error(-32000, "");
    for (status, body) in [
        (400, ""),
        (403, ""),
        (404, ""),
        (405, ""),
        (406, ""),
        (422, ""),
        (429, &*busy),
        (500, ""),
        (503, &*busy),
        (202, ""),
        (200, "<html>"),
    ] {
        let reply = body.to_owned();
        let server = server_with(move |_| Reply::Whole(status, Vec::new(), reply.clone())).await;
        let fixture = Fixture::new(&server.origin, |_| {});
        fixture.call("read").await.unwrap_or_else(|failure| panic!("{status}: {failure}"));
        call_anew(&fixture).await;
        let asked = ["POST server/discover", "POST initialize"].map(|asked| count(&server, asked));
        assert_eq!(asked, [2, 2], "{status} {body}");
    }
}

#[tokio::test]
async fn an_error_that_only_a_modern_server_knows_is_not_followed_by_initialize() {
    let later = r#","data":{"supported":["2030-01-01"]}"#;
    for (body, told) in [
        (error(-32022, later), "it speaks no revision of MCP that Portero knows"),
        (error(-32020, ""), "it refused the handshake: no"),
        (error(-32021, ""), "it refused the handshake: no"),
    ] {
        let server = server_with(move |_| refusal(400, &body)).await;
        let fixture = Fixture::new(&server.origin, |_| {});
        let refused = fixture.list().await.expect_err("no common revision").to_string();
        assert!(refused.contains(told), "{refused}");
        assert_eq!(server.asked(), ["POST server/discover"]);
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_revision_and_names_it_is_asked_once_more() {
    let named = error(-32022, r#","data":{"supported":["2026-07-28"]}"#);
    for (refusals, expected) in [(1, [2, 0]), (2, [2, 1])] {
        let (times, named) = (AtomicUsize::new(0), named.clone());
        let server = server_with(move |seen| match times.fetch_add(1, Ordering::Relaxed) {
            earlier if earlier < refusals => refusal(400, &named),
            _ => Reply::json(seen.result(DISCOVERED)),
        })
        .await;
        let fixture = Fixture::new(&server.origin, |_| {});
        fixture.call("read").await.expect("answered");
        let asked = ["POST server/discover", "POST initialize"].map(|asked| count(&server, asked));
        assert_eq!(asked, expected, "{refusals} refusals");
    }
}

#[tokio::test]
async fn a_server_that_stays_silent_to_the_question_is_greeted_by_initialize() {
    let server = server_with(|_| Reply::Never).await;
    let limits = ServerLimits { start_timeout: Duration::from_secs(6), ..ServerLimits::default() };
    let fixture = Fixture::with_limits(&server.origin, limits, |_| {});
    fixture.call("read").await.expect("answered");
    call_anew(&fixture).await;
    assert_eq!(count(&server, "POST initialize"), 2);
}

#[tokio::test]
async fn a_server_that_turned_to_the_later_revision_or_back_is_found() {
    let is_modern = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let now = Arc::clone(&is_modern);
    let refuse = || refusal(404, &error(-32601, ""));
    let server = FakeHttp::start(move |seen| match (now.load(Ordering::SeqCst), &*seen.rpc_method()) {
        (true, "server/discover") => Reply::json(seen.result(DISCOVERED)),
        (true, "initialize") | (false, "server/discover") => refuse(),
        _ => usual(seen, |seen| Reply::json(seen.result(r#"{"resultType":"complete"}"#))),
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    for modern in [false, true, false] {
        is_modern.store(modern, Ordering::SeqCst);
        call_anew(&fixture).await;
        let call = server.seen().into_iter().rfind(|seen| seen.rpc_method() == "tools/call").expect("called");
        let spoken = call.header("mcp-protocol-version").to_owned();
        assert_eq!(spoken, if modern { "2026-07-28" } else { "2025-06-18" });
    }
}

/// Its address answers as if there were no server, until it is asked in its own revision.
#[tokio::test]
async fn a_server_that_turned_to_the_later_revision_alone_is_found_after_a_failed_start() {
    let is_modern = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let now = Arc::clone(&is_modern);
    let server = FakeHttp::start(move |seen| match (now.load(Ordering::SeqCst), &*seen.rpc_method()) {
        (true, "server/discover") => Reply::json(seen.result(DISCOVERED)),
        (true, "initialize" | "") => Reply::status(404),
        (false, "server/discover") => refusal(404, &error(-32601, "")),
        _ => usual(seen, |seen| Reply::json(seen.result(r#"{"resultType":"complete"}"#))),
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    fixture.call("read").await.expect("answered");
    is_modern.store(true, Ordering::SeqCst);
    fixture.upstreams.renew(&"linear".parse().expect("a name")).expect("it is known");
    fixture.call("read").await.expect_err("it was an earlier one");
    fixture.call("read").await.expect("it is asked anew");
}
