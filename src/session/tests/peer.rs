//! rmcp's client, which knows nothing of this crate, as the peer: in both eras.

use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::{ClientLifecycleMode, ClientServiceExt as _};
use serde_json::json;

use super::*;
use crate::pipeline::test_support::FakeServer;
use crate::policy::Action;

async fn converse(lifecycle: ClientLifecycleMode, version: ProtocolVersion) {
    let stage = Fixture::new(FixtureSetup {
        servers: vec![("files", FakeServer::with_tools(&["read", "write"]))],
        policies: vec![("files/write", Action::RequireApproval)],
        ..FixtureSetup::default()
    });
    let (run, _handle, _shelf, connection) = spawn_session(&stage, ServerLimits::default());
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
    assert_eq!(stage.received_calls()[0].params, r#"{"name":"read","arguments":{"text":"x"}}"#);
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
