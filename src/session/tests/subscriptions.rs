//! Resources that the client watches, and log messages.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::super::listen::MAX_CONCURRENT_SUBSCRIBES;
use super::*;
use crate::anonymize::Real;
use crate::pipeline::test_support::{FakeServer, raw_json, result_answer};
use crate::policy::{Action, GrantLimits};
use crate::server::{ServerChange, ServerEvent, ServerListing};

fn files_setup() -> FixtureSetup {
    let offer = ServerListing {
        resources: vec![raw_json(r#"{"uri":"a:1","name":"one"}"#), raw_json(r#"{"uri":"a:2","name":"two"}"#)],
        ..ServerListing::default()
    };
    let part = FakeServer::with_listing(offer).answering_with(|| Ok(result_answer("{}")));
    FixtureSetup { servers: vec![("files", part)], ..FixtureSetup::default() }
}

fn update_event(uri: &str) -> ServerEvent {
    ServerEvent::ResourceUpdated(
        "files".parse().unwrap(),
        Real::from_server(raw_json(&format!(r#"{{"uri":"{uri}","x":1.0}}"#))),
    )
}

fn log_event(level: &str, data: &str) -> ServerEvent {
    let params = format!(r#"{{"level":"{level}","logger":"db","data":{data}}}"#);
    ServerEvent::Log("files".parse().unwrap(), Real::from_server(raw_json(&params)))
}

#[tokio::test]
async fn a_subscribed_resource_is_told_of_under_the_clients_uri() {
    let mut rig = SessionFixture::new(files_setup());
    rig.initialize("2025-11-25").await;
    rig.request_result("resources/list", json!({})).await;
    let uri = json!({ "uri": "portero://files/a:1" });
    assert_eq!(rig.request_result("resources/subscribe", uri.clone()).await, json!({}));
    rig.handle.push_event(update_event("a:2"));
    rig.handle.push_event(update_event("a:1"));
    assert_eq!(
        rig.next_line().await,
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"portero://files/a:1","x":1.0}}"#
    );
    assert_eq!(rig.request_result("resources/unsubscribe", uri).await, json!({}));
    rig.handle.push_event(update_event("a:1"));
    rig.assert_silent().await;
    let heard: Vec<_> = rig.fixture.received_calls().into_iter().map(|heard| heard.method.as_str()).collect();
    assert_eq!(heard, ["resources/subscribe", "resources/unsubscribe"]);
}

#[tokio::test]
async fn a_server_that_was_started_again_is_subscribed_to_again_as_policy_says() {
    let mut rig = SessionFixture::new(files_setup());
    rig.initialize("2025-11-25").await;
    rig.request_result("resources/list", json!({})).await;
    rig.request_result("resources/subscribe", json!({ "uri": "portero://files/a:1" })).await;
    let heard = |rig: &SessionFixture| rig.fixture.received_calls();
    rig.handle.server_changed(ServerChange::Restarted("files".parse().unwrap()));
    wait_until(|| heard(&rig).len() == 2).await;
    assert_eq!(heard(&rig)[0], heard(&rig)[1]);
    rig.handle.push_event(update_event("a:1"));
    assert_eq!(rig.next_message().await["method"], "notifications/resources/updated");
    rig.fixture.set_policy(&[("files/*", Action::Deny)], None);
    rig.handle.server_changed(ServerChange::Restarted("files".parse().unwrap()));
    rig.assert_silent().await;
    assert_eq!(heard(&rig).len(), 2, "policy denies it by now");
    rig.handle.push_event(update_event("a:1"));
    rig.assert_silent().await;
}

#[tokio::test]
async fn what_policy_denies_by_now_is_still_unsubscribed_from() {
    let mut rig = SessionFixture::new(files_setup());
    rig.initialize("2025-11-25").await;
    rig.request_result("resources/list", json!({})).await;
    let uri = json!({ "uri": "portero://files/a:1" });
    rig.request_result("resources/subscribe", uri.clone()).await;
    rig.fixture.set_policy(&[("files/*", Action::Deny)], None);
    assert_eq!(rig.request_result("resources/unsubscribe", uri.clone()).await, json!({}));
    let methods = |rig: &SessionFixture| -> Vec<_> {
        rig.fixture.received_calls().into_iter().map(|heard| heard.method.as_str()).collect()
    };
    assert_eq!(methods(&rig), ["resources/subscribe", "resources/unsubscribe"]);
    // What it does not hold it cannot end either.
    assert_eq!(rig.request_result("resources/unsubscribe", uri).await, json!({}));
    assert_eq!(methods(&rig).len(), 2);
    let audited = rig.fixture.audit_events();
    assert!(audited[2].contains("ends a subscription"), "{audited:?}");
}

#[tokio::test]
async fn subscribing_again_uses_up_no_grant_and_asks_nobody() {
    let mut rig = SessionFixture::new(FixtureSetup {
        policies: vec![("files/resources:subscribe", Action::RequireApproval)],
        ..files_setup()
    });
    rig.fixture.add_grant(7, GrantLimits { uses: std::num::NonZeroU32::new(5), ..GrantLimits::default() });
    rig.fixture.approvals.uses_left.store(5, Ordering::SeqCst);
    rig.initialize("2025-11-25").await;
    rig.request_result("resources/list", json!({})).await;
    rig.request_result("resources/subscribe", json!({ "uri": "portero://files/a:1" })).await;
    rig.handle.server_changed(ServerChange::Restarted("files".parse().unwrap()));
    rig.assert_silent().await;
    assert_eq!(*rig.fixture.approvals.consumed.lock().unwrap(), [7], "the agent's own subscription");
    assert_eq!(rig.fixture.received_calls().len(), 1);
    assert!(rig.fixture.approvals.submitted.lock().unwrap().is_empty());
    rig.handle.push_event(update_event("a:1"));
    rig.assert_silent().await;
}

#[tokio::test]
async fn many_subscriptions_are_made_again_a_few_at_a_time() {
    let count = MAX_CONCURRENT_SUBSCRIBES * 3;
    let resource = |number| raw_json(&format!(r#"{{"uri":"a:{number}","name":"x"}}"#));
    let offer = ServerListing { resources: (0..count).map(resource).collect(), ..ServerListing::default() };
    let held = Arc::new(AtomicBool::new(false));
    let hold = Arc::clone(&held);
    let part = FakeServer::with_listing(offer).handling_calls_with(move |_, _| {
        let is_held = hold.load(Ordering::SeqCst);
        Box::pin(async move {
            if is_held {
                std::future::pending::<()>().await;
            }
            Ok(result_answer("{}"))
        })
    });
    let mut rig =
        SessionFixture::new(FixtureSetup { servers: vec![("files", part)], ..FixtureSetup::default() });
    rig.initialize("2025-11-25").await;
    rig.request_result("resources/list", json!({})).await;
    for number in 0..count {
        rig.request_result("resources/subscribe", json!({ "uri": format!("portero://files/a:{number}") }))
            .await;
    }
    held.store(true, Ordering::SeqCst);
    rig.handle.server_changed(ServerChange::Restarted("files".parse().unwrap()));
    wait_until(|| rig.fixture.received_calls().len() >= count + MAX_CONCURRENT_SUBSCRIBES).await;
    rig.assert_silent().await;
    assert_eq!(rig.fixture.received_calls().len(), count + MAX_CONCURRENT_SUBSCRIBES);
}

#[tokio::test]
async fn a_subscription_that_policy_does_not_allow_is_refused_without_a_task() {
    let mut rig = SessionFixture::new(FixtureSetup {
        policies: vec![("files/resources:subscribe", Action::RequireApproval)],
        ..files_setup()
    });
    rig.request_result("resources/list", json!({})).await;
    let answer = rig.request_answer(1, "resources/subscribe", json!({ "uri": "portero://files/a:1" })).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("cannot wait"), "{answer}");
    let listen =
        with_modern_meta(json!({ "notifications": { "resourceSubscriptions": ["portero://files/a:1"] } }));
    rig.send_request(&json!("l"), "subscriptions/listen", &listen).await;
    assert_eq!(rig.next_message().await["params"]["notifications"], json!({}));
    assert!(
        rig.fixture.received_calls().is_empty() && rig.fixture.approvals.submitted.lock().unwrap().is_empty()
    );
}

#[tokio::test]
async fn a_modern_listener_watches_resources_until_it_is_cancelled() {
    let mut rig = SessionFixture::new(files_setup());
    rig.request_result("resources/list", with_modern_meta(json!({}))).await;
    let uris = json!(["portero://files/a:1", "portero://files/no-such"]);
    let listen = with_modern_meta(json!({ "notifications": { "resourceSubscriptions": uris } }));
    rig.send_request(&json!(5), "subscriptions/listen", &listen).await;
    let granted = rig.next_message().await["params"]["notifications"]["resourceSubscriptions"].clone();
    assert!(granted.as_array().unwrap().contains(&json!("portero://files/a:1")), "{granted}");
    wait_until(|| !rig.fixture.received_calls().is_empty()).await;
    rig.assert_silent().await;
    rig.handle.push_event(update_event("a:1"));
    let told = rig.next_message().await;
    assert_eq!(told["params"]["uri"], "portero://files/a:1");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 5);
    let before = rig.fixture.received_calls().len();
    rig.send_notification("notifications/cancelled", &json!({ "requestId": 5 })).await;
    wait_until(|| rig.fixture.received_calls().len() > before).await;
    rig.handle.push_event(update_event("a:1"));
    rig.assert_silent().await;
}

#[tokio::test]
async fn the_modern_revision_has_no_subscribe_and_no_set_level() {
    let mut rig = SessionFixture::new(files_setup());
    for method in ["resources/subscribe", "resources/unsubscribe", "logging/setLevel"] {
        let answer =
            rig.request_answer(1, method, with_modern_meta(json!({ "uri": "a:1", "level": "info" }))).await;
        assert_eq!(answer["error"]["code"], -32601, "{method}");
    }
}

#[tokio::test]
async fn logs_come_from_the_level_on_that_the_client_set_with_their_servers_name() {
    let mut rig = SessionFixture::new(files_setup());
    rig.handle.push_event(log_event("emergency", "1"));
    rig.assert_silent().await;
    rig.initialize("2025-11-25").await;
    rig.handle.push_event(log_event("debug", "1"));
    rig.handle.push_event(log_event("warning", r#"{"n":1.10}"#));
    assert_eq!(
        rig.next_line().await,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"files/db","data":{"n":1.10}}}"#
    );
    rig.request_result("logging/setLevel", json!({ "level": "error" })).await;
    rig.handle.push_event(log_event("warning", "2"));
    rig.assert_silent().await;
}

#[tokio::test]
async fn a_modern_client_gets_logs_only_while_a_request_asks_for_them() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = Arc::clone(&gate);
    let part = FakeServer::with_tools(&["t"]).handling_calls_with(move |_, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.notified().await;
            Ok(result_answer("{}"))
        })
    });
    let mut rig =
        SessionFixture::new(FixtureSetup { servers: vec![("files", part)], ..FixtureSetup::default() });
    let mut call = with_modern_meta(json!({ "name": "files__t" }));
    call["_meta"]["io.modelcontextprotocol/logLevel"] = json!("info");
    rig.handle.push_event(log_event("error", "0"));
    rig.send_request(&json!(1), "tools/call", &call).await;
    wait_until(|| !rig.fixture.received_calls().is_empty()).await;
    assert_eq!(*rig.fixture.servers.levels.lock().unwrap(), ["info"]);
    rig.handle.push_event(log_event("debug", "1"));
    rig.handle.push_event(log_event("info", "2"));
    assert_eq!(rig.next_message().await["params"]["data"], 2);
    gate.notify_one();
    assert_eq!(rig.next_message().await["id"], 1);
    rig.handle.push_event(log_event("error", "3"));
    rig.assert_silent().await;
}

#[tokio::test]
async fn a_settled_task_is_told_of() {
    let mut rig = SessionFixture::new(files_setup());
    rig.initialize("2025-11-25").await;
    let task = TaskId::fresh();
    rig.handle.task_settled(task, TaskState::Completed);
    let told = rig.next_message().await["params"]["data"].as_str().unwrap().to_owned();
    assert!(told.contains(&task.to_string()) && told.contains("completed"), "{told}");
}

fn listen_params(uris: &[&str]) -> Value {
    with_modern_meta(json!({ "notifications": { "resourceSubscriptions": uris } }))
}

#[tokio::test]
async fn a_listener_is_an_open_request_with_its_own_id() {
    let mut rig = SessionFixture::new(files_setup());
    rig.send_request(&json!(5), "subscriptions/listen", &listen_params(&[])).await;
    rig.next_message().await;
    rig.send_request(&json!(5), "ping", &json!({})).await;
    let refused = rig.next_message().await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("still open"), "{refused}");
    for id in 0..4095 {
        rig.send_request(&json!(format!("l{id}")), "subscriptions/listen", &listen_params(&[])).await;
        assert_eq!(rig.next_message().await["method"], "notifications/subscriptions/acknowledged");
    }
    rig.send_request(&json!("one too many"), "subscriptions/listen", &listen_params(&[])).await;
    let refused = rig.next_message().await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("too many"), "{refused}");
    rig.send_notification("notifications/cancelled", &json!({ "requestId": 5 })).await;
    // Its place is free in a moment.
    let freed =
        async { while rig.request_answer("again", "ping", json!({})).await.get("result").is_none() {} };
    tokio::time::timeout(TEST_TIMEOUT, freed).await.expect("there is room again");
}

#[tokio::test]
async fn a_session_watches_so_many_resources_and_is_told_which() {
    let mut rig = SessionFixture::new(files_setup());
    rig.request_result("resources/list", json!({})).await;
    let uris: Vec<String> = (0..1500).map(|number| format!("portero://files/b:{number}")).collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).chain(["portero://files/b:0"]).collect();
    rig.send_request(&json!(1), "subscriptions/listen", &listen_params(&uris)).await;
    let granted = rig.next_message().await["params"]["notifications"]["resourceSubscriptions"].clone();
    assert_eq!(granted.as_array().unwrap().len(), 1024, "each once, and no more than there is room for");
    let answer = rig.request_answer(2, "resources/subscribe", json!({ "uri": "portero://files/a:1" })).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("at most 1024"), "{answer}");
}

#[tokio::test]
async fn a_subscription_that_is_cancelled_while_it_is_made_is_taken_back() {
    // A server that has subscribed, and does not answer.
    let part = files_setup().servers.remove(0).1.handling_calls_with(|heard, follow| {
        Box::pin(async move {
            if heard.method == crate::call::Method::SubscribeResource {
                follow.cancel.cancelled().await;
                return Err(crate::server::ServerError::Cancelled);
            }
            Ok(result_answer("{}"))
        })
    });
    let mut rig =
        SessionFixture::new(FixtureSetup { servers: vec![("files", part)], ..FixtureSetup::default() });
    rig.request_result("resources/list", json!({})).await;
    let uri = json!({ "uri": "portero://files/a:2" });
    for (id, method, params) in [
        (5, "subscriptions/listen", listen_params(&["portero://files/a:1"])),
        (6, "resources/subscribe", uri),
    ] {
        let before = rig.fixture.received_calls().len();
        rig.send_request(&json!(id), method, &params).await;
        wait_until(|| rig.fixture.received_calls().len() > before).await;
        rig.send_notification("notifications/cancelled", &json!({ "requestId": id })).await;
        wait_until(|| rig.fixture.received_calls().len() > before + 1).await;
        let heard = rig.fixture.received_calls();
        let of = |at: usize| (heard[at].method.as_str(), heard[at].params.clone());
        assert_eq!(of(before).0, "resources/subscribe");
        assert_eq!(of(before + 1), ("resources/unsubscribe", of(before).1));
    }
}

const SENT: u64 = 2_000;

#[tokio::test]
async fn of_a_burst_of_updates_the_last_state_of_each_resource_arrives() {
    let mut rig = SessionFixture::new(files_setup());
    rig.initialize("2025-11-25").await;
    rig.request_result("resources/list", json!({})).await;
    for uri in ["portero://files/a:1", "portero://files/a:2"] {
        rig.request_result("resources/subscribe", json!({ "uri": uri })).await;
    }
    for number in 0..SENT {
        for uri in ["a:1", "a:2", "not:watched"] {
            let params = raw_json(&format!(r#"{{"uri":"{uri}","number":{number}}}"#));
            rig.handle.push_event(ServerEvent::ResourceUpdated(
                "files".parse().unwrap(),
                Real::from_server(params),
            ));
        }
    }
    let (mut told, mut last) = (0, HashMap::new());
    for _ in 0..2 * SENT {
        if last.values().filter(|number| **number == SENT - 1).count() == 2 {
            break;
        }
        let params = rig.next_message().await["params"].clone();
        let (uri, number) = (params["uri"].as_str().unwrap().to_owned(), params["number"].as_u64().unwrap());
        assert!(last.insert(uri, number).is_none_or(|before| before < number), "in their order");
        told += 1;
    }
    assert!(told < SENT, "{told} of a burst were told");
    rig.assert_silent().await;
}

#[tokio::test]
async fn shared_servers_are_told_the_level_at_once() {
    use crate::server::LogLevel;
    let mut rig = SessionFixture::new(FixtureSetup { shared: vec!["remote"], ..files_setup() });
    rig.initialize("2025-11-25").await;
    let told = |rig: &SessionFixture| rig.fixture.approvals.levels.lock().unwrap().clone();
    assert!(told(&rig).is_empty());
    rig.request_result("logging/setLevel", json!({ "level": "debug" })).await;
    assert_eq!(told(&rig), [LogLevel::Debug]);
    rig.request_result("logging/setLevel", json!({ "level": "error" })).await;
    assert_eq!(told(&rig), [LogLevel::Debug, LogLevel::Error]);
    assert!(rig.fixture.approvals.forwarded.lock().unwrap().is_empty(), "no call was needed");
}
