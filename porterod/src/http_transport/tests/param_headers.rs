//! Arguments as headers (MCP 2026-07-28), against a server that lists its tools and checks the headers of a call.

use super::*;

const DISCOVERED: &str = r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#;

/// A server of the stateless revision with these tools.
async fn modern_server(
    tools: &'static str,
    on_call: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> FakeHttp {
    FakeHttp::start(move |seen| match &*seen.rpc_method() {
        "initialize" => Reply::Whole(
            404,
            vec![("content-type", "application/json".to_owned())],
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"unknown method"}}"#.to_owned(),
        ),
        "server/discover" => Reply::json(seen.result(DISCOVERED)),
        "tools/list" => Reply::json(seen.result(tools)),
        "tools/call" => on_call(seen),
        _ => Reply::status(202),
    })
    .await
}

fn calls(server: &FakeHttp) -> Vec<Seen> {
    server.seen().into_iter().filter(|seen| seen.rpc_method() == "tools/call").collect()
}

const QUERY: &str = r#"{"tools":[{"name":"query","inputSchema":{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "text":{"type":"string"}}}}]}"#;

#[tokio::test]
async fn an_annotated_argument_goes_out_as_a_header_of_its_call_too() {
    let server = modern_server(QUERY, |seen| Reply::json(seen.result(r#"{"resultType":"complete"}"#))).await;
    let fixture = Fixture::new(&server.origin, |_| {});
    // Nothing was listed before: the call itself asks what its tool wants.
    for region in ["us-west1", "Zürich"] {
        let arguments = format!(r#"{{"region":"{region}","text":"x"}}"#);
        fixture.call_with_arguments("query", &arguments, CallOptions::default()).await.expect("answered");
    }
    fixture.call("query").await.expect("answered");
    let headers: Vec<_> =
        calls(&server).iter().map(|call| call.header("mcp-param-region").to_owned()).collect();
    assert_eq!(headers, ["us-west1", "=?base64?WsO8cmljaA==?=", ""]);
    assert!(calls(&server).iter().all(|call| call.header("mcp-param-text").is_empty()));
    let listed = server.asked().iter().filter(|asked| *asked == "POST tools/list").count();
    assert_eq!(listed, 1, "the tools are asked for once");
}

#[tokio::test]
async fn a_tool_with_an_invalid_annotation_is_not_listed() {
    const TOOLS: &str = r#"{"tools":[
        {"name":"good","inputSchema":{"type":"object"}},
        {"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":"object","x-mcp-header":"A"}}}}]}"#;
    let server = modern_server(TOOLS, |seen| Reply::json(seen.result("{}"))).await;
    let fixture = Fixture::new(&server.origin, |_| {});
    let listing = fixture.list().await.expect("listed");
    assert_eq!(listing.tools.len(), 1);
    assert!(listing.tools[0].get().contains("good"));
}

#[tokio::test]
async fn a_call_whose_headers_do_not_fit_has_the_next_one_ask_for_the_tools_again() {
    let server = modern_server(QUERY, |seen| {
        let id = &seen.message()["id"];
        let error =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32020,"message":"header mismatch"}}}}"#);
        Reply::Whole(400, vec![("content-type", "application/json".to_owned())], error)
    })
    .await;
    let fixture = Fixture::new(&server.origin, |_| {});
    for _ in 0..2 {
        assert!(fixture.call("query").await.expect("answered").contains("header mismatch"));
    }
    let asked = server.asked();
    let listed = asked.iter().filter(|asked| *asked == "POST tools/list").count();
    assert_eq!((listed, calls(&server).len()), (2, 2), "no call is sent twice: {asked:?}");
}
