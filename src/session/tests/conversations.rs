//! How each known client begins, word for word.

use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::{ClientLifecycleMode, ClientServiceExt as _};
use serde_json::json;

use super::*;
use crate::pipeline::test_support::FakeServer;
use crate::policy::Action;
use crate::task::FinishedTask;

fn one_server_setup() -> FixtureSetup {
    FixtureSetup { servers: vec![("files", FakeServer::with_tools(&["read"]))], ..FixtureSetup::default() }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered_under_its_id() {
    let limits = ServerLimits { max_message_bytes: 1000, ..ServerLimits::default() };
    let mut rig = SessionFixture::with_limits(FixtureSetup::default(), limits);
    let long = "x".repeat(2000);
    for (line, id) in [
        (format!(r#"{{"jsonrpc":"2.0","id":5,"method":"x","params":{{"name":"{long}"}}}}"#), json!(5)),
        (format!(r#"{{"method":"x","params":{{"name":"{long}"}},"jsonrpc":"2.0","id":"a"}}"#), json!("a")),
        (format!(r#"{{"method":"x","params":{{"name":"{long}","id":6}}}}"#), json!(null)),
        (r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"n":NaN}}"#.to_owned(), json!(7)),
        ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}".to_owned(), json!(8)),
    ] {
        rig.send_line(&line).await;
        assert_eq!(rig.next_message().await["id"], id, "{line}");
    }
}

#[tokio::test]
async fn every_legacy_revision_is_agreed_on_and_others_get_the_latest() {
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1.0", "2025-11-25"),
    ] {
        let mut rig = SessionFixture::new(one_server_setup());
        let result = rig.initialize(asked).await;
        assert_eq!(result["protocolVersion"], agreed);
        assert_eq!(result["serverInfo"]["name"], "portero");
        assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
        assert_eq!(result["capabilities"]["resources"]["subscribe"], true);
        assert!(result.get("resultType").is_none(), "{result}");
        assert_eq!(
            listed_names(&rig.request_result("tools/list", json!({})).await, "tools").last().unwrap(),
            "files__read"
        );
    }
}

#[tokio::test]
async fn claude_code_in_the_modern_era() {
    let mut rig = SessionFixture::new(one_server_setup());
    let discovered =
        rig.request_answer("server-discover-probe-1", "server/discover", with_modern_meta(json!({}))).await;
    let result = &discovered["result"];
    assert_eq!(result["resultType"], "complete");
    assert!(result["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")), "{result}");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "portero");
    rig.send_request(
        &json!("listen:0"),
        "subscriptions/listen",
        &with_modern_meta(json!({ "notifications": { "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true } })),
    )
    .await;
    assert_eq!(
        rig.next_message().await,
        json!({
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": {
                "_meta": { "io.modelcontextprotocol/subscriptionId": "listen:0" },
                "notifications": { "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true },
            },
        })
    );
    assert_eq!(
        rig.request_answer(0, "server/discover", with_modern_meta(json!({}))).await["result"]["resultType"],
        "complete"
    );
    for (id, method) in [(1, "prompts/list"), (2, "resources/list"), (3, "tools/list")] {
        rig.send_request(&json!(id), method, &with_modern_meta(json!({}))).await;
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = rig.next_message().await;
        let result = &answer["result"];
        assert_eq!(result["resultType"], "complete", "{answer}");
        assert!(result["ttlMs"].is_u64() && result["cacheScope"] == "private", "{answer}");
        seen.push(answer["id"].as_u64().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3]);
    let call = with_modern_meta(json!({ "name": "files__read", "arguments": { "text": "x" } }));
    let answer = rig.request_answer(4, "tools/call", call).await;
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(rig.fixture.received_calls()[0].params, r#"{"name":"read","arguments":{"text":"x"}}"#);
    assert_eq!(rig.fixture.received_calls()[0].meta, None);
}

#[tokio::test]
async fn claude_code_falls_back_to_initialize_on_the_same_connection() {
    let mut rig = SessionFixture::new(one_server_setup());
    rig.request_answer("server-discover-probe-1", "server/discover", with_modern_meta(json!({}))).await;
    assert_eq!(rig.initialize("2025-11-25").await["protocolVersion"], "2025-11-25");
    let call = json!({
        "name": "files__read", "arguments": {},
        "_meta": { "progressToken": 3, "claudecode/toolUseId": "toolu_1" },
    });
    let result = rig.request_result("tools/call", call).await;
    assert!(result.get("resultType").is_none(), "{result}");
    assert_eq!(
        rig.fixture.received_calls()[0].meta.as_deref(),
        Some(r#"{"claudecode/toolUseId":"toolu_1"}"#)
    );
}

#[tokio::test]
async fn the_python_sdk_pinned_to_the_modern_era_starts_with_a_list() {
    let mut rig = SessionFixture::new(one_server_setup());
    let list = rig.request_result("tools/list", with_modern_meta(json!({}))).await;
    assert_eq!(listed_names(&list, "tools").last().unwrap(), "files__read");
    assert_eq!(list["resultType"], "complete");
}

#[tokio::test]
async fn a_modern_request_says_its_revision_and_what_its_client_can_do() {
    let mut rig = SessionFixture::new(one_server_setup());
    let version = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    let capabilities = json!({ "io.modelcontextprotocol/clientCapabilities": {} });
    let mut wrong = version.clone();
    wrong["io.modelcontextprotocol/clientCapabilities"] = json!([]);
    let mut loud = with_modern_meta(json!({}))["_meta"].clone();
    loud["io.modelcontextprotocol/logLevel"] = json!("loud");
    let call = |meta: &Value| json!({ "name": "files__read", "arguments": {}, "_meta": meta });
    for (method, params, named) in [
        ("server/discover", json!({}), "protocolVersion"),
        ("server/discover", json!({ "_meta": capabilities }), "protocolVersion"),
        ("server/discover", json!({ "_meta": version }), "clientCapabilities"),
        ("tools/call", call(&version), "clientCapabilities"),
        ("tools/call", call(&wrong), "clientCapabilities"),
        ("tools/call", call(&loud), "level"),
    ] {
        let error = rig.request_answer("a", method, params).await["error"].clone();
        assert_eq!(error["code"], -32602, "{method}: {error}");
        assert!(error["message"].as_str().unwrap().contains(named), "{error}");
    }
    for method in ["ping", "initialize"] {
        let removed = rig.request_answer("b", method, with_modern_meta(json!({}))).await;
        assert_eq!(removed["error"]["code"], -32601, "{method}: {removed}");
    }
    assert!(rig.fixture.received_calls().is_empty());
}

#[tokio::test]
async fn mcp_cli_pings_twice_and_gemini_pings_only() {
    let mut rig = SessionFixture::new(one_server_setup());
    assert_eq!(rig.request_answer(1, "ping", json!({})).await["result"], json!({}));
    rig.initialize("2025-06-18").await;
    assert_eq!(rig.request_answer(2, "ping", json!({})).await["result"], json!({}));
    assert_eq!(rig.request_answer(3, "ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn the_inspector_sets_the_log_level() {
    let mut rig = SessionFixture::new(one_server_setup());
    rig.initialize("2025-11-25").await;
    assert_eq!(
        rig.request_answer(1, "logging/setLevel", json!({ "level": "debug" })).await["result"],
        json!({})
    );
    assert_eq!(*rig.fixture.servers.levels.lock().unwrap(), ["debug"]);
    let wrong = rig.request_answer(2, "logging/setLevel", json!({ "level": "loud" })).await;
    assert_eq!(wrong["error"]["code"], -32602);
}

#[tokio::test]
async fn requests_before_initialized_are_answered() {
    let mut rig = SessionFixture::new(one_server_setup());
    assert_eq!(listed_names(&rig.request_result("tools/list", json!({})).await, "tools").len(), 7);
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } });
    rig.request_answer(1, "initialize", params).await;
    assert_eq!(listed_names(&rig.request_result("tools/list", json!({})).await, "tools").len(), 7);
}

#[tokio::test]
async fn a_batch_is_answered_in_one_line_where_the_revision_has_batches() {
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"files__read"}},{"jsonrpc":"2.0","id":3,"method":"nope"},7]"#;
    let mut rig = SessionFixture::new(one_server_setup());
    rig.initialize("2025-03-26").await;
    rig.send_line(batch).await;
    let answers = rig.next_message().await;
    let mut ids: Vec<String> =
        answers.as_array().unwrap().iter().map(|answer| answer["id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["1", "2", "3", "null"], "{answers}");
    rig.send_line(r#"[{"jsonrpc":"2.0","method":"notifications/x"}]"#).await;
    rig.send_line("[]").await;
    assert_eq!(rig.next_message().await["error"]["code"], -32600);

    let mut rig = SessionFixture::new(one_server_setup());
    rig.initialize("2025-11-25").await;
    rig.send_line(batch).await;
    let refused = rig.next_message().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(null), &json!(-32600)));
    rig.assert_silent().await;
}

#[tokio::test]
async fn what_is_no_request_is_told_and_the_session_goes_on() {
    let limits = ServerLimits { max_message_bytes: 1000, ..ServerLimits::default() };
    let mut rig = SessionFixture::with_limits(one_server_setup(), limits);
    for (line, id, code) in [
        ("junk", json!(null), -32700),
        (r#"{"jsonrpc":"2.0","id":7,"method":1}"#, json!(7), -32600),
        (r#"{"id":8,"method":"ping"}"#, json!(8), -32600),
        (r#"{"jsonrpc":"2.0","id":9,"method":"no/such","params":{}}"#, json!(9), -32601),
        (r#"{"jsonrpc":"2.0","id":10,"method":"tasks/get","params":{}}"#, json!(10), -32601),
        (&"x".repeat(2000), json!(null), -32600),
    ] {
        rig.send_line(line).await;
        let answer = rig.next_message().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{line}: {answer}");
    }
    rig.send_line(r#"{"jsonrpc":"2.0","id":11,"result":{}}"#).await;
    rig.send_line("").await;
    rig.assert_silent().await;
}

#[tokio::test]
async fn a_revision_that_nobody_knows_is_told_with_those_that_are_known() {
    let mut rig = SessionFixture::new(one_server_setup());
    let mut params = with_modern_meta(json!({}));
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    let answer = rig.request_answer(1, "tools/list", params).await;
    assert_eq!(answer["error"]["code"], -32022);
    assert!(answer["error"]["data"]["supported"].as_array().unwrap().contains(&json!("2026-07-28")));
}

#[tokio::test]
async fn instructions_are_short_and_tell_what_is_missing_and_whom_the_agent_acts_for() {
    let mut rig = SessionFixture::new(FixtureSetup {
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..one_server_setup()
    });
    let told = rig.initialize("2025-11-25").await["instructions"].as_str().unwrap().to_owned();
    assert!(told.chars().count() < 2_000, "{}", told.len());
    for part in ["portero__check_task", "portero__search_tools", "\"absent\"", "`TOKEN`", "name: John Doe"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("Ada"), "{told}");
}

fn finished_task(tool: &str, state: TaskState) -> FinishedTask {
    FinishedTask { task: TaskId::fresh(), tool: tool.parse().unwrap(), state }
}

#[tokio::test]
async fn a_new_session_is_told_what_finished_and_was_not_fetched() {
    let mut rig = SessionFixture::new(one_server_setup());
    let done = [
        finished_task("mail/send", TaskState::Completed),
        finished_task("mail/drop", TaskState::Interrupted),
    ];
    *rig.tasks.news.lock().unwrap() = UnseenTasks { count: 2, last: done.to_vec() };
    let told = rig.initialize("2025-11-25").await["instructions"].as_str().unwrap().to_owned();
    assert!(told.contains("2 calls of this project"), "{told}");
    for FinishedTask { task, tool, state } in &done {
        assert!(told.contains(&format!("- {task} {tool}: {state}\n")), "{told}");
    }
    assert!(!told.contains("and others"), "{told}");
    let mut quiet = SessionFixture::new(one_server_setup());
    let told = quiet.initialize("2025-11-25").await["instructions"].as_str().unwrap().to_owned();
    assert!(!told.contains("of this project."), "{told}");
}

#[tokio::test]
async fn much_news_stays_short_and_names_nothing_private() {
    let mut rig =
        SessionFixture::new(FixtureSetup { replacements: vec![("jdoe", "ada")], ..one_server_setup() });
    let mut last = vec![finished_task("mail/send_to_ada", TaskState::Completed)];
    last.extend((0..9).map(|number| finished_task(&format!("mail/tool{number}"), TaskState::Denied)));
    *rig.tasks.news.lock().unwrap() = UnseenTasks { count: 1234, last };
    let told = rig.initialize("2025-11-25").await["instructions"].as_str().unwrap().to_owned();
    assert!(told.contains("1234 calls") && told.contains("- and others: portero__list_tasks"), "{told}");
    assert!(told.contains(" a tool: completed") && !told.contains("ada"), "{told}");
    assert_eq!(told.lines().filter(|line| line.ends_with(": denied")).count(), UnseenTasks::MAX_LISTED - 1);
    assert!(told.chars().count() < 2_000);
}

/// Speaks with rmcp's client, which knows nothing of this crate.
async fn converse(lifecycle: ClientLifecycleMode, version: ProtocolVersion) {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("files", FakeServer::with_tools(&["read", "write"]))],
        policies: vec![("files/write", Action::RequireApproval)],
        ..FixtureSetup::default()
    });
    let (run, _handle, _shelf, connection) = spawn_session(&fixture, ServerLimits::default());
    let connecting = ClientConfig::default().serve_with_lifecycle(connection, lifecycle);
    let client = tokio::time::timeout(TEST_TIMEOUT, connecting).await.expect("in time").expect("it connects");
    assert_eq!(client.peer_info().expect("it was told").protocol_version, version);
    let tools = client.list_all_tools().await.expect("it lists");
    assert!(tools.iter().any(|tool| tool.name == "files__read"), "{tools:?}");
    client.list_all_resources().await.expect("it lists");
    client.list_all_resource_templates().await.expect("it lists");
    client.list_all_prompts().await.expect("it lists");
    let mut call = CallToolRequestParams::new("files__read");
    call.arguments = json!({ "text": "x" }).as_object().cloned();
    let result = client.call_tool(call).await.expect("it calls");
    assert_ne!(result.is_error, Some(true));
    assert_eq!(fixture.received_calls()[0].params, r#"{"name":"read","arguments":{"text":"x"}}"#);
    let waiting = client.call_tool(CallToolRequestParams::new("files__write")).await.expect("it calls");
    assert_eq!(waiting.structured_content.expect("a status")["status"], "pending-approval");
    client.cancel().await.expect("it leaves");
    tokio::time::timeout(TEST_TIMEOUT, run).await.expect("it ends").expect("no panic").expect("in order");
}

#[tokio::test]
async fn an_independent_client_of_the_earlier_revisions() {
    converse(ClientLifecycleMode::Initialize, ProtocolVersion::V_2025_11_25).await;
}

#[tokio::test]
async fn an_independent_client_of_the_modern_revision() {
    let modern = || vec![ProtocolVersion::V_2026_07_28];
    converse(ClientLifecycleMode::Discover { preferred_versions: modern() }, ProtocolVersion::V_2026_07_28)
        .await;
    let auto = ClientLifecycleMode::Auto { preferred_versions: modern(), legacy_version: None };
    converse(auto, ProtocolVersion::V_2026_07_28).await;
}
