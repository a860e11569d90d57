//! Each principal has its own sessions, tasks, tools and servers (guarantee T3).

use std::time::Duration;

use portero::audit::{self, RecordFilter};
use portero::ipc::requests::approvals::GetTask;
use portero::names::TaskId;
use porterod::remote_sessions::SessionLimits;
use serde_json::json;
use tokio::time::Instant;

use super::endpoint::*;
use crate::support::*;

#[tokio::test]
async fn the_session_of_another_principal_is_as_unknown_as_any() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for (method, body) in [("POST", Some(&ping)), ("GET", None), ("DELETE", None)] {
        let ask = async |who: &str, id: &str| {
            let request = endpoint.request(method.parse().unwrap(), "/mcp", who).header("mcp-session-id", id);
            let request = match body {
                Some(body) => request.body(body.to_string()),
                None => request,
            };
            let reply = Reply::read(request.send().await.unwrap()).await;
            (reply.status.as_u16(), reply.text)
        };
        let other = ask(TABLET, &session.id).await;
        assert_eq!(other.0, 404, "{method}");
        assert_eq!(other, ask(TABLET, "00000000000000000000000000000000").await, "{method}");
    }
    assert_eq!(session.send(&ping).await.status, 200, "it goes on");
    app.shutdown().await;
}

#[tokio::test]
async fn the_task_of_another_principal_is_as_unknown_as_any() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let (mine, other) =
        (endpoint.session(PHONE, "2025-11-25").await, endpoint.session(TABLET, "2025-11-25").await);
    let asks = mine.call(1, "notes__send", json!({"text": "x"})).await;
    let task = asks.message()["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    let unknown = TaskId::fresh().to_string();
    for tool in ["portero__check_task", "portero__cancel_task"] {
        let seen = other.call(2, tool, json!({"taskId": task})).await.text.replace(&task, "ID");
        assert_eq!(
            seen,
            other.call(2, tool, json!({"taskId": unknown})).await.text.replace(&unknown, "ID"),
            "{tool}"
        );
    }
    assert!(!other.call(3, "portero__list_tasks", json!({})).await.text.contains(&task));
    assert!(mine.call(3, "portero__list_tasks", json!({})).await.text.contains(&task));
    // An identical call is another task: joining the other's would show it.
    let own = other.call(4, "notes__send", json!({"text": "x"})).await;
    assert_ne!(own.message()["result"]["structuredContent"]["taskId"], json!(task));
    let second = endpoint.session(PHONE, "2025-06-18").await;
    assert!(second.call(5, "portero__cancel_task", json!({"taskId": task})).await.text.contains("cancelled"));
    app.shutdown().await;
}

#[tokio::test]
async fn a_task_and_the_audit_name_the_principal_and_its_address() {
    let home = Home::new();
    let app = home.start().await;
    let (person, endpoint) = (home.terminal().await, Endpoint::serve(&app).await);
    let session = endpoint.session(PHONE, "2025-11-25").await;
    let asks = session.call(1, "notes__send", json!({"text": "x"})).await;
    let task = asks.message()["result"]["structuredContent"]["taskId"].as_str().unwrap().parse().unwrap();
    let task = person.request(GetTask { task }).await.unwrap();
    assert_eq!(task.origin.principal.remote_name(), Some(PHONE));
    assert_eq!(task.origin.remote_address(), Some([192, 0, 2, 7].into()));
    assert!(task.origin.client.get().ends_with("probe 1"), "{}", task.origin.client.get());
    app.shutdown().await;
    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let of_session: Vec<String> = log
        .entries
        .iter()
        .filter(|entry| entry.record.session == Some(task.origin.session))
        .map(|entry| {
            assert_eq!(entry.record.principal, Some(task.origin.principal.clone()));
            assert_eq!(entry.record.address, Some([192, 0, 2, 7].into()), "{:?}", entry.record);
            entry.record.event.to_string()
        })
        .collect();
    assert!(of_session[0].contains("asks from 192.0.2.7"), "{of_session:?}");
    assert!(of_session.len() > 1, "{of_session:?}");
}

#[tokio::test]
async fn a_local_process_is_no_principal_over_http() {
    let home = Home::new();
    let app = home.start().await;
    let remote = portero::names::Principal::from_remote(PHONE);
    let directory = home.paths().remote_sessions().join(PHONE);
    for (principal, directory) in
        [(remote, home.path_of("project")), (portero::names::Principal::from_project(&directory), directory)]
    {
        let hello = portero::ipc::Hello {
            protocol: portero::ipc::PROTOCOL_VERSION,
            build: "test".to_owned(),
            config: home.path_of("config"),
            peer: portero::ipc::PeerRole::Session {
                id: portero::names::SessionId::fresh(),
                agent_session: None,
                principal,
                directory,
            },
            nonce: portero::store_identity::Nonce::default(),
        };
        let refused = portero::ipc::IpcClient::connect(&home.paths().socket(), hello, None).await.map(drop);
        assert!(matches!(refused, Err(portero::ipc::ConnectError::Refused { .. })), "{refused:?}");
    }
    app.shutdown().await;
}

#[tokio::test]
async fn a_tool_beyond_the_reach_does_not_exist() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    let session = endpoint.session(READER, "2025-11-25").await;
    let listed = session.request(1, "tools/list", json!({})).await;
    let names: Vec<String> = listed.message()["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.contains(&"notes__read".to_owned()));
    assert!(!names.iter().any(|name| name.ends_with("send") || name.ends_with("erase")), "{names:?}");
    assert!(
        !session
            .call(2, "portero__search_tools", json!({"query": "send erase"}))
            .await
            .text
            .contains("notes__send")
    );
    assert!(session.call(3, "notes__read", json!({"text": "x"})).await.tool_text().contains('x'));
    for name in ["notes__send", "notes/send", "common__erase"] {
        let refused = session.call(4, name, json!({"text": "x"})).await.tool_text();
        let unknown = name.replace("send", "none").replace("erase", "none");
        let none = session.call(4, &unknown, json!({"text": "x"})).await.tool_text();
        assert_eq!(refused.replace(name, "NAME"), none.replace(&unknown, "NAME"));
    }
    let by_portero =
        session.call(5, "portero__call", json!({"tool": "notes/send", "args": {"text": "x"}})).await;
    assert!(by_portero.text.contains("no server offers"), "{}", by_portero.text);
    assert_eq!(home.record("notes").len(), 1);
    app.shutdown().await;
}

#[tokio::test]
async fn all_sessions_of_a_principal_share_its_servers_and_no_other_does() {
    let home = Home::new();
    let app = home.start().await;
    let endpoint = Endpoint::serve(&app).await;
    for who in [PHONE, PHONE, TABLET] {
        let session = endpoint.session(who, "2025-11-25").await;
        session.call(1, "notes__read", json!({})).await;
        session.call(2, "common__read", json!({})).await;
    }
    let pids = |server: &str| -> Vec<u64> {
        home.record(server).iter().map(|line| line["pid"].as_u64().unwrap()).collect()
    };
    let notes = pids("notes");
    assert_eq!(notes[0], notes[1], "one set for the principal");
    assert_ne!(notes[0], notes[2], "another one for another principal");
    let common = pids("common");
    assert!(common.iter().all(|pid| *pid == common[0]), "the user's servers are shared by all");
    app.shutdown().await;
}

#[tokio::test]
async fn idle_sessions_end_and_the_longest_idle_one_makes_room() {
    let home = Home::new();
    let app = home.start().await;
    let limits = SessionLimits {
        idle_timeout: Duration::from_secs(600),
        max_per_principal: 2,
        ..SessionLimits::default()
    };
    let endpoint = Endpoint::serve_with(&app, limits).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let (first, second) =
        (endpoint.session(PHONE, "2025-11-25").await, endpoint.session(PHONE, "2025-11-25").await);
    assert_eq!(first.send(&ping).await.status, 200);
    let third = endpoint.session(PHONE, "2025-11-25").await;
    assert_eq!(second.send(&ping).await.status, 404, "it was idle for longest");
    assert_eq!(first.send(&ping).await.status, 200);
    // Another principal has its own limit.
    let other = endpoint.session(TABLET, "2025-11-25").await;
    let watching = third.open_stream(None).await;
    assert_eq!(watching.status(), 200);
    let later = Instant::now() + Duration::from_secs(601);
    endpoint.sessions.end_idle(later);
    assert_eq!(first.send(&ping).await.status, 404);
    assert_eq!(other.send(&ping).await.status, 404);
    assert_eq!(third.send(&ping).await.status, 200, "a session with an open stream is not idle");
    app.shutdown().await;
}
