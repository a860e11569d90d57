//! rmcp's client, which knows nothing of this crate, as the peer.

use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequestParams, ClientInfo};
use serde_json::json;

use super::*;
use crate::pipeline::stage::Part;

#[tokio::test]
async fn an_independent_client_connects_lists_and_calls() {
    let stage = Stage::new(Set { servers: vec![("files", Part::with_tools(&["read"]))], ..Set::default() });
    let (run, _handle, _shelf, connection) = serve(&stage, Limits::default());
    let client = ClientInfo::default().serve(connection).await.expect("it connects");
    let tools = client.list_all_tools().await.expect("it lists");
    assert!(tools.iter().any(|tool| tool.name == "files__read"), "{tools:?}");
    let mut call = CallToolRequestParams::new("files__read");
    call.arguments = json!({ "text": "x" }).as_object().cloned();
    let result = client.call_tool(call).await.expect("it calls");
    assert_eq!(result.is_error, None);
    assert_eq!(stage.heard()[0].params, r#"{"name":"read","arguments":{"text":"x"}}"#);
    client.cancel().await.expect("it leaves");
    tokio::time::timeout(PATIENCE, run).await.expect("it ends").expect("no panic").expect("in order");
}
