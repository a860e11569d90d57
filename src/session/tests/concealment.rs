//! No real value leaves toward the client, whichever way it goes; none of the client's fakes reach a server.

use serde_json::json;

use super::*;
use crate::anonymize::Real;
use crate::pipeline::test_support::{FakeServer, raw_json};
use crate::server::{ServerAnswer, ServerEvent, ServerListing};

const REAL: &str = "Ada Lovelace";
const FAKE: &str = "John Doe";

fn private_mail_setup() -> FixtureSetup {
    let offer = ServerListing {
        tools: vec![raw_json(
            r#"{"name":"t","description":"mail of Ada Lovelace","inputSchema":{"type":"object","properties":{"who":{"enum":["Ada Lovelace"],"default":"Ada Lovelace"}}}}"#,
        )],
        resources: vec![raw_json(r#"{"uri":"file:///home/Ada Lovelace/x","name":"Ada Lovelace"}"#)],
        prompts: vec![raw_json(r#"{"name":"p","description":"for Ada Lovelace"}"#)],
        ..ServerListing::default()
    };
    let part = FakeServer::with_listing(offer).handling_calls_with(|heard, follow| {
        Box::pin(async move {
            if let Some(tell) = follow.progress {
                tell(Real::from_server(raw_json(r#"{"progressToken":1,"progress":1,"message":"for Ada Lovelace"}"#)));
            }
            if heard.params.contains("fail") {
                return Ok(ServerAnswer::Error(Real::from_server(raw_json(
                    r#"{"code":1,"message":"Ada Lovelace","data":["Ada \u004covelace"]}"#,
                ))));
            }
            let echo = crate::json::serialize_raw(&heard.params);
            Ok(crate::pipeline::test_support::result_answer(&format!(
                r#"{{"content":[{{"type":"text","text":{echo}}},{{"type":"resource_link","uri":"file:///home/Ada Lovelace/x","name":"x"}}],"structuredContent":{{"Ada Lovelace":["Ada Lovelace"]}}}}"#
            )))
        })
    });
    FixtureSetup {
        servers: vec![("mail", part)],
        replacements: vec![(FAKE, REAL)],
        ..FixtureSetup::default()
    }
}

#[tokio::test]
async fn a_tool_that_cannot_be_concealed_costs_no_other_its_place() {
    let mut layers = REAL.to_owned();
    for _ in 0..26 {
        layers = layers.replace('%', "%25").replace(' ', "%20");
    }
    let evil = format!(r#"{{"name":"evil","description":"{layers}","inputSchema":{{"type":"object"}}}}"#);
    let offer = ServerListing { tools: vec![raw_json(&evil)], ..ServerListing::default() };
    let mut set = private_mail_setup();
    set.servers.push(("evil", FakeServer::with_listing(offer)));
    let mut rig = SessionFixture::new(set);
    let listed = rig.request_result("tools/list", json!({})).await;
    let listed = listed_names(&listed, "tools");
    assert!(
        listed.contains(&"mail__t".to_owned()) && !listed.contains(&"evil__evil".to_owned()),
        "{listed:?}"
    );
    let (found, is_error) = rig.call_tool("portero__search_tools", json!({ "query": "" })).await;
    assert!(!is_error && found.contains("mail/t") && !found.contains("evil/evil"), "{found}");
}

#[tokio::test]
async fn a_tool_name_that_is_private_is_not_written_down() {
    const SECRET: &str = "ada-lovelace";
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["of_ada-lovelace", "other"]))],
        replacements: vec![("john-doe", SECRET)],
        ..FixtureSetup::default()
    });
    let listed = rig.request_result("tools/list", json!({})).await.to_string();
    assert!(listed.contains("mail__other") && !listed.contains("mail__of"), "{listed}");
    for name in ["mail/of_ada-lovelace", "mail/ada-lovelace", "mail__of_ada-lovelace", "mail__of_john-doe"] {
        let (text, is_error) = rig.call_tool("portero__call", json!({ "tool": name })).await;
        assert!(is_error && !text.contains(SECRET), "{text}");
    }
    assert!(rig.fixture.received_calls().is_empty());
    let audited = rig.fixture.audit_events().join("\n");
    assert!(audited.contains("mail/of_john-doe") && !audited.contains(SECRET), "{audited}");
}

#[tokio::test]
async fn a_private_name_is_not_folded_or_cut_into_one_that_still_tells() {
    let prompt = raw_json(r#"{"name":"letter to Ada Lovelace"}"#);
    let long = format!(r#"{{"name":"{}ada.lovelace","inputSchema":{{"type":"object"}}}}"#, "x".repeat(30));
    let offer =
        ServerListing { prompts: vec![prompt], tools: vec![raw_json(&long)], ..ServerListing::default() };
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_listing(offer))],
        replacements: vec![(FAKE, REAL), ("john.doe", "ada.lovelace")],
        ..FixtureSetup::default()
    });
    let mut said = String::new();
    for list in ["prompts/list", "tools/list"] {
        said += &rig.request_result(list, json!({})).await.to_string();
    }
    said += &rig.call_tool("portero__search_tools", json!({ "query": "" })).await.0;
    assert!(!said.contains("Lovelace") && !said.contains("ada_"), "{said}");
}

#[tokio::test]
async fn nothing_real_leaves_in_lists_results_errors_progress_logs_or_updates() {
    let mut rig = SessionFixture::new(private_mail_setup());
    rig.initialize("2025-11-25").await;
    let mut said = Vec::new();
    for (id, method, params) in [
        (1, "tools/list", json!({})),
        (2, "resources/list", json!({})),
        (3, "prompts/list", json!({})),
        (
            4,
            "tools/call",
            json!({ "name": "mail__t", "arguments": { "who": FAKE }, "_meta": { "progressToken": 1 } }),
        ),
        (5, "tools/call", json!({ "name": "mail__t", "arguments": { "who": "fail" } })),
        (6, "tools/call", json!({ "name": "portero__search_tools", "arguments": { "query": "mail" } })),
        (7, "tools/call", json!({ "name": REAL })),
        (8, REAL, json!({})),
        (9, "prompts/get", json!({ "name": REAL })),
        (10, "resources/read", json!({ "uri": REAL })),
        (
            11,
            "tools/call",
            json!({ "name": "portero__call", "arguments": { "tool": "mail/t", "args": { "who": REAL } } }),
        ),
        (12, "tools/call", json!({ "name": "portero__call", "arguments": { (REAL): 1 } })),
    ] {
        rig.send_request(&json!(id), method, &params).await;
        let (answer, notices) = rig.answer_and_notifications(&json!(id)).await;
        said.push(answer.to_string());
        said.extend(notices.iter().map(ToString::to_string));
    }
    let link = "portero://mail/file:///home/John Doe/x";
    rig.request_result("resources/subscribe", json!({ "uri": link })).await;
    rig.handle.push_event(ServerEvent::ResourceUpdated(
        "mail".parse().unwrap(),
        Real::from_server(raw_json(r#"{"uri":"file:///home/Ada Lovelace/x"}"#)),
    ));
    rig.handle.push_event(ServerEvent::Log(
        "mail".parse().unwrap(),
        Real::from_server(raw_json(r#"{"level":"error","data":{"of":"Ada Lovelace"}}"#)),
    ));
    for _ in 0..2 {
        said.push(rig.next_message().await.to_string());
    }
    for line in &said {
        assert!(!line.contains("Lovelace"), "{line}");
    }
    assert!(said.iter().filter(|line| line.contains(FAKE)).count() >= 8, "{said:#?}");
    assert!(!rig.fixture.audit_events().join("").contains("Lovelace"));
    let heard = rig.fixture.received_calls();
    assert!(heard.iter().all(|heard| !heard.params.contains(FAKE)), "{heard:?}");
    assert!(heard[0].params.contains(REAL), "{heard:?}");
}

#[tokio::test]
async fn withheld_arguments_logs_and_updates_are_recorded_with_their_server() {
    let mut layers = REAL.to_owned();
    for _ in 0..26 {
        layers = layers.replace('%', "%25").replace(' ', "%20");
    }
    let mut rig = SessionFixture::new(private_mail_setup());
    rig.initialize("2025-06-18").await;
    let (text, is_error) = rig.call_tool("mail__t", json!({ "who": layers })).await;
    assert!(is_error && text.contains("the call did not run"), "{text}");
    assert!(rig.fixture.received_calls().is_empty(), "no server saw it");
    let params = raw_json(&format!(r#"{{"level":"error","data":"{layers}"}}"#));
    rig.handle.push_event(ServerEvent::Log("mail".parse().unwrap(), Real::from_server(params)));
    let is_recorded = |fixture: &Fixture, channel: &str| {
        fixture.audit_events().iter().any(|event| {
            event.contains(r#""withheld""#) && event.contains(channel) && event.contains(r#""mail"#)
        })
    };
    assert!(is_recorded(&rig.fixture, "arguments"), "{:?}", rig.fixture.audit_events());
    wait_until(|| is_recorded(&rig.fixture, r#""log""#)).await;
    rig.assert_silent().await;
}
