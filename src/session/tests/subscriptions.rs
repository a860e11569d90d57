//! Resources that the client watches, and log messages.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::super::subscriptions::MAX_SUBSCRIBING;
use super::*;
use crate::anonymize::Real;
use crate::pipeline::stage::{Part, raw, result};
use crate::policy::{Action, Limits};
use crate::server::{Event, Offer, ServerChange};

fn files() -> Set {
    let offer = Offer {
        resources: vec![raw(r#"{"uri":"a:1","name":"one"}"#), raw(r#"{"uri":"a:2","name":"two"}"#)],
        ..Offer::default()
    };
    let part = Part::offering(offer).answering(|| Ok(result("{}")));
    Set { servers: vec![("files", part)], ..Set::default() }
}

fn updated(uri: &str) -> Event {
    Event::ResourceUpdated(
        "files".parse().unwrap(),
        Real::from_server(raw(&format!(r#"{{"uri":"{uri}","x":1.0}}"#))),
    )
}

fn log(level: &str, data: &str) -> Event {
    let params = format!(r#"{{"level":"{level}","logger":"db","data":{data}}}"#);
    Event::Log("files".parse().unwrap(), Real::from_server(raw(&params)))
}

#[tokio::test]
async fn a_subscribed_resource_is_told_of_under_the_clients_uri() {
    let mut rig = Rig::new(files());
    rig.initialize("2025-11-25").await;
    rig.result("resources/list", json!({})).await;
    let uri = json!({ "uri": "portero://files/a:1" });
    assert_eq!(rig.result("resources/subscribe", uri.clone()).await, json!({}));
    rig.handle.event(updated("a:2"));
    rig.handle.event(updated("a:1"));
    assert_eq!(
        rig.line().await,
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"portero://files/a:1","x":1.0}}"#
    );
    assert_eq!(rig.result("resources/unsubscribe", uri).await, json!({}));
    rig.handle.event(updated("a:1"));
    rig.is_silent().await;
    let heard: Vec<_> = rig.stage.heard().into_iter().map(|heard| heard.method.as_str()).collect();
    assert_eq!(heard, ["resources/subscribe", "resources/unsubscribe"]);
}

#[tokio::test]
async fn a_server_that_was_started_again_is_subscribed_to_again_as_policy_says() {
    let mut rig = Rig::new(files());
    rig.initialize("2025-11-25").await;
    rig.result("resources/list", json!({})).await;
    rig.result("resources/subscribe", json!({ "uri": "portero://files/a:1" })).await;
    let heard = |rig: &Rig| rig.stage.heard();
    rig.handle.server_changed(ServerChange::Restarted("files".parse().unwrap()));
    wait_until(|| heard(&rig).len() == 2).await;
    assert_eq!(heard(&rig)[0], heard(&rig)[1]);
    rig.handle.event(updated("a:1"));
    assert_eq!(rig.next().await["method"], "notifications/resources/updated");
    rig.stage.set_policy(&[("files/*", Action::Deny)], None);
    rig.handle.server_changed(ServerChange::Restarted("files".parse().unwrap()));
    rig.is_silent().await;
    assert_eq!(heard(&rig).len(), 2, "policy denies it by now");
    rig.handle.event(updated("a:1"));
    rig.is_silent().await;
}

#[tokio::test]
async fn what_policy_denies_by_now_is_still_unsubscribed_from() {
    let mut rig = Rig::new(files());
    rig.initialize("2025-11-25").await;
    rig.result("resources/list", json!({})).await;
    let uri = json!({ "uri": "portero://files/a:1" });
    rig.result("resources/subscribe", uri.clone()).await;
    rig.stage.set_policy(&[("files/*", Action::Deny)], None);
    assert_eq!(rig.result("resources/unsubscribe", uri.clone()).await, json!({}));
    let methods =
        |rig: &Rig| -> Vec<_> { rig.stage.heard().into_iter().map(|heard| heard.method.as_str()).collect() };
    assert_eq!(methods(&rig), ["resources/subscribe", "resources/unsubscribe"]);
    // What it does not hold it cannot end either.
    assert_eq!(rig.result("resources/unsubscribe", uri).await, json!({}));
    assert_eq!(methods(&rig).len(), 2);
    let audited = rig.stage.audited();
    assert!(audited[2].contains("ends a subscription"), "{audited:?}");
}

#[tokio::test]
async fn subscribing_again_uses_up_no_grant_and_asks_nobody() {
    let mut rig =
        Rig::new(Set { policies: vec![("files/resources:subscribe", Action::RequireApproval)], ..files() });
    rig.stage.grant(7, Limits { uses: std::num::NonZeroU32::new(5), ..Limits::default() });
    rig.stage.window.uses.store(5, Ordering::SeqCst);
    rig.initialize("2025-11-25").await;
    rig.result("resources/list", json!({})).await;
    rig.result("resources/subscribe", json!({ "uri": "portero://files/a:1" })).await;
    rig.handle.server_changed(ServerChange::Restarted("files".parse().unwrap()));
    rig.is_silent().await;
    assert_eq!(*rig.stage.window.consumed.lock().unwrap(), [7], "the agent's own subscription");
    assert_eq!(rig.stage.heard().len(), 1);
    assert!(rig.stage.window.submitted.lock().unwrap().is_empty());
    rig.handle.event(updated("a:1"));
    rig.is_silent().await;
}

#[tokio::test]
async fn many_subscriptions_are_made_again_a_few_at_a_time() {
    let count = MAX_SUBSCRIBING * 3;
    let resource = |number| raw(&format!(r#"{{"uri":"a:{number}","name":"x"}}"#));
    let offer = Offer { resources: (0..count).map(resource).collect(), ..Offer::default() };
    let held = Arc::new(AtomicBool::new(false));
    let hold = Arc::clone(&held);
    let part = Part::offering(offer).acting(move |_, _| {
        let is_held = hold.load(Ordering::SeqCst);
        Box::pin(async move {
            if is_held {
                std::future::pending::<()>().await;
            }
            Ok(result("{}"))
        })
    });
    let mut rig = Rig::new(Set { servers: vec![("files", part)], ..Set::default() });
    rig.initialize("2025-11-25").await;
    rig.result("resources/list", json!({})).await;
    for number in 0..count {
        rig.result("resources/subscribe", json!({ "uri": format!("portero://files/a:{number}") })).await;
    }
    held.store(true, Ordering::SeqCst);
    rig.handle.server_changed(ServerChange::Restarted("files".parse().unwrap()));
    wait_until(|| rig.stage.heard().len() >= count + MAX_SUBSCRIBING).await;
    rig.is_silent().await;
    assert_eq!(rig.stage.heard().len(), count + MAX_SUBSCRIBING);
}

#[tokio::test]
async fn a_subscription_that_policy_does_not_allow_is_refused_without_a_task() {
    let mut rig =
        Rig::new(Set { policies: vec![("files/resources:subscribe", Action::RequireApproval)], ..files() });
    rig.result("resources/list", json!({})).await;
    let answer = rig.ask(1, "resources/subscribe", json!({ "uri": "portero://files/a:1" })).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("cannot wait"), "{answer}");
    let listen = modern(json!({ "notifications": { "resourceSubscriptions": ["portero://files/a:1"] } }));
    rig.post(&json!("l"), "subscriptions/listen", &listen).await;
    assert_eq!(rig.next().await["params"]["notifications"], json!({}));
    assert!(rig.stage.heard().is_empty() && rig.stage.window.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_modern_listener_watches_resources_until_it_is_cancelled() {
    let mut rig = Rig::new(files());
    rig.result("resources/list", modern(json!({}))).await;
    let uris = json!(["portero://files/a:1", "portero://files/no-such"]);
    let listen = modern(json!({ "notifications": { "resourceSubscriptions": uris } }));
    rig.post(&json!(5), "subscriptions/listen", &listen).await;
    let granted = rig.next().await["params"]["notifications"]["resourceSubscriptions"].clone();
    assert!(granted.as_array().unwrap().contains(&json!("portero://files/a:1")), "{granted}");
    wait_until(|| !rig.stage.heard().is_empty()).await;
    rig.is_silent().await;
    rig.handle.event(updated("a:1"));
    let told = rig.next().await;
    assert_eq!(told["params"]["uri"], "portero://files/a:1");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 5);
    let before = rig.stage.heard().len();
    rig.notify("notifications/cancelled", &json!({ "requestId": 5 })).await;
    wait_until(|| rig.stage.heard().len() > before).await;
    rig.handle.event(updated("a:1"));
    rig.is_silent().await;
}

#[tokio::test]
async fn the_modern_revision_has_no_subscribe_and_no_set_level() {
    let mut rig = Rig::new(files());
    for method in ["resources/subscribe", "resources/unsubscribe", "logging/setLevel"] {
        let answer = rig.ask(1, method, modern(json!({ "uri": "a:1", "level": "info" }))).await;
        assert_eq!(answer["error"]["code"], -32601, "{method}");
    }
}

#[tokio::test]
async fn logs_come_from_the_level_on_that_the_client_set_with_their_servers_name() {
    let mut rig = Rig::new(files());
    rig.handle.event(log("emergency", "1"));
    rig.is_silent().await;
    rig.initialize("2025-11-25").await;
    rig.handle.event(log("debug", "1"));
    rig.handle.event(log("warning", r#"{"n":1.10}"#));
    assert_eq!(
        rig.line().await,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"files/db","data":{"n":1.10}}}"#
    );
    rig.result("logging/setLevel", json!({ "level": "error" })).await;
    rig.handle.event(log("warning", "2"));
    rig.is_silent().await;
}

#[tokio::test]
async fn a_modern_client_gets_logs_only_while_a_request_asks_for_them() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let opened = Arc::clone(&gate);
    let part = Part::with_tools(&["t"]).acting(move |_, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.notified().await;
            Ok(result("{}"))
        })
    });
    let mut rig = Rig::new(Set { servers: vec![("files", part)], ..Set::default() });
    let mut call = modern(json!({ "name": "files__t" }));
    call["_meta"]["io.modelcontextprotocol/logLevel"] = json!("info");
    rig.handle.event(log("error", "0"));
    rig.post(&json!(1), "tools/call", &call).await;
    wait_until(|| !rig.stage.heard().is_empty()).await;
    assert_eq!(*rig.stage.actors.levels.lock().unwrap(), ["info"]);
    rig.handle.event(log("debug", "1"));
    rig.handle.event(log("info", "2"));
    assert_eq!(rig.next().await["params"]["data"], 2);
    gate.notify_one();
    assert_eq!(rig.next().await["id"], 1);
    rig.handle.event(log("error", "3"));
    rig.is_silent().await;
}

#[tokio::test]
async fn a_settled_task_is_told_of() {
    let mut rig = Rig::new(files());
    rig.initialize("2025-11-25").await;
    let task = TaskId::fresh();
    rig.handle.settled(task, State::Completed);
    let told = rig.next().await["params"]["data"].as_str().unwrap().to_owned();
    assert!(told.contains(&task.to_string()) && told.contains("completed"), "{told}");
}

fn listen_to(uris: &[&str]) -> Value {
    modern(json!({ "notifications": { "resourceSubscriptions": uris } }))
}

#[tokio::test]
async fn a_listener_is_an_open_request_with_its_own_id() {
    let mut rig = Rig::new(files());
    rig.post(&json!(5), "subscriptions/listen", &listen_to(&[])).await;
    rig.next().await;
    rig.post(&json!(5), "ping", &json!({})).await;
    let refused = rig.next().await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("still open"), "{refused}");
    for id in 0..4095 {
        rig.post(&json!(format!("l{id}")), "subscriptions/listen", &listen_to(&[])).await;
        assert_eq!(rig.next().await["method"], "notifications/subscriptions/acknowledged");
    }
    rig.post(&json!("one too many"), "subscriptions/listen", &listen_to(&[])).await;
    let refused = rig.next().await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("too many"), "{refused}");
    rig.notify("notifications/cancelled", &json!({ "requestId": 5 })).await;
    // Its place is free in a moment.
    let freed = async { while rig.ask("again", "ping", json!({})).await.get("result").is_none() {} };
    tokio::time::timeout(PATIENCE, freed).await.expect("there is room again");
}

#[tokio::test]
async fn a_session_watches_so_many_resources_and_is_told_which() {
    let mut rig = Rig::new(files());
    rig.result("resources/list", json!({})).await;
    let uris: Vec<String> = (0..1500).map(|number| format!("portero://files/b:{number}")).collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).chain(["portero://files/b:0"]).collect();
    rig.post(&json!(1), "subscriptions/listen", &listen_to(&uris)).await;
    let granted = rig.next().await["params"]["notifications"]["resourceSubscriptions"].clone();
    assert_eq!(granted.as_array().unwrap().len(), 1024, "each once, and no more than there is room for");
    let answer = rig.ask(2, "resources/subscribe", json!({ "uri": "portero://files/a:1" })).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("at most 1024"), "{answer}");
}

#[tokio::test]
async fn a_subscription_that_is_cancelled_while_it_is_made_is_taken_back() {
    // A server that has subscribed, and does not answer.
    let part = files().servers.remove(0).1.acting(|heard, follow| {
        Box::pin(async move {
            if heard.method == crate::call::Method::SubscribeResource {
                follow.cancel.cancelled().await;
                return Err(crate::server::ServerError::Cancelled);
            }
            Ok(result("{}"))
        })
    });
    let mut rig = Rig::new(Set { servers: vec![("files", part)], ..Set::default() });
    rig.result("resources/list", json!({})).await;
    let uri = json!({ "uri": "portero://files/a:2" });
    for (id, method, params) in
        [(5, "subscriptions/listen", listen_to(&["portero://files/a:1"])), (6, "resources/subscribe", uri)]
    {
        let before = rig.stage.heard().len();
        rig.post(&json!(id), method, &params).await;
        wait_until(|| rig.stage.heard().len() > before).await;
        rig.notify("notifications/cancelled", &json!({ "requestId": id })).await;
        wait_until(|| rig.stage.heard().len() > before + 1).await;
        let heard = rig.stage.heard();
        let of = |at: usize| (heard[at].method.as_str(), heard[at].params.clone());
        assert_eq!(of(before).0, "resources/subscribe");
        assert_eq!(of(before + 1), ("resources/unsubscribe", of(before).1));
    }
}

const SENT: u64 = 2_000;

#[tokio::test]
async fn of_a_burst_of_updates_the_last_state_of_each_resource_arrives() {
    let mut rig = Rig::new(files());
    rig.initialize("2025-11-25").await;
    rig.result("resources/list", json!({})).await;
    for uri in ["portero://files/a:1", "portero://files/a:2"] {
        rig.result("resources/subscribe", json!({ "uri": uri })).await;
    }
    for number in 0..SENT {
        for uri in ["a:1", "a:2", "not:watched"] {
            let params = raw(&format!(r#"{{"uri":"{uri}","number":{number}}}"#));
            rig.handle.event(Event::ResourceUpdated("files".parse().unwrap(), Real::from_server(params)));
        }
    }
    let (mut told, mut last) = (0, HashMap::new());
    for _ in 0..2 * SENT {
        if last.values().filter(|number| **number == SENT - 1).count() == 2 {
            break;
        }
        let params = rig.next().await["params"].clone();
        let (uri, number) = (params["uri"].as_str().unwrap().to_owned(), params["number"].as_u64().unwrap());
        assert!(last.insert(uri, number).is_none_or(|before| before < number), "in their order");
        told += 1;
    }
    assert!(told < SENT, "{told} of a burst were told");
    rig.is_silent().await;
}

#[tokio::test]
async fn shared_servers_are_told_the_level_at_once() {
    use crate::server::LogLevel;
    let mut rig = Rig::new(Set { shared: vec!["remote"], ..files() });
    rig.initialize("2025-11-25").await;
    let told = |rig: &Rig| rig.stage.window.levels.lock().unwrap().clone();
    assert!(told(&rig).is_empty());
    rig.result("logging/setLevel", json!({ "level": "debug" })).await;
    assert_eq!(told(&rig), [LogLevel::Debug]);
    rig.result("logging/setLevel", json!({ "level": "error" })).await;
    assert_eq!(told(&rig), [LogLevel::Debug, LogLevel::Error]);
    assert!(rig.stage.window.forwarded.lock().unwrap().is_empty(), "no call was needed");
}
