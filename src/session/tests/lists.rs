//! Lists: together, independent, concealed by policy, and told when they change.

use serde_json::json;

use super::*;
use crate::json::RawJson;
use crate::pipeline::stage::{Part, raw, result, tool};
use crate::policy::Action;
use crate::server::{List, Offer, ServerChange, ServerError};

fn offer(tools: &[&str]) -> Offer {
    Offer { tools: tools.iter().map(|name| tool(name)).collect(), ..Offer::default() }
}

async fn tools(rig: &mut Rig) -> Vec<String> {
    let mut all = names(&rig.result("tools/list", json!({})).await, "tools");
    all.retain(|name| !name.starts_with("portero__"));
    all
}

#[tokio::test]
async fn the_lists_of_all_servers_stand_together_after_porteros_own_tools() {
    let whole = Offer {
        resources: vec![raw(r#"{"uri":"a:1","name":"one"}"#)],
        templates: vec![raw(r#"{"uriTemplate":"a:{x}","name":"any"}"#)],
        prompts: vec![raw(r#"{"name":"greet"}"#)],
        ..offer(&["read"])
    };
    let mut rig = Rig::new(Set {
        servers: vec![("files", Part::offering(whole)), ("mail", Part::with_tools(&["send"]))],
        ..Set::default()
    });
    rig.initialize("2025-11-25").await;
    let all = names(&rig.result("tools/list", json!({})).await, "tools");
    assert_eq!(
        all,
        [
            "portero__search_tools",
            "portero__call",
            "portero__check_task",
            "portero__list_tasks",
            "portero__cancel_task",
            "files__read",
            "mail__send"
        ]
    );
    let resources = rig.result("resources/list", json!({})).await;
    assert_eq!(resources["resources"][0]["uri"], "portero://files/a:1");
    let templates = rig.result("resources/templates/list", json!({})).await;
    assert_eq!(templates["resourceTemplates"][0]["name"], "any");
    assert_eq!(names(&rig.result("prompts/list", json!({})).await, "prompts"), ["files__greet"]);
}

#[tokio::test]
async fn a_slow_server_is_waited_for_once_and_told_of_when_it_comes() {
    let mut rig = Rig::new(Set {
        servers: vec![("fast", Part::with_tools(&["a"])), ("slow", Part::with_tools(&["b"]).slow())],
        ..Set::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["fast__a"]);
    rig.stage.open("slow");
    assert_eq!(rig.next().await["method"], "notifications/tools/list_changed");
    assert_eq!(tools(&mut rig).await, ["fast__a", "slow__b"]);
    rig.is_silent().await;
}

#[tokio::test]
async fn a_broken_server_spoils_nothing_and_is_told_of() {
    let mut broken = Part::with_tools(&["b"]);
    broken.offer = Err(ServerError::Start("broken".parse().unwrap(), "no such program".into()));
    let mut rig = Rig::new(Set {
        servers: vec![("broken", broken), ("fast", Part::with_tools(&["a"]))],
        ..Set::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["fast__a"]);
    let told = rig.initialize("2025-11-25").await["instructions"].as_str().unwrap().to_owned();
    assert!(told.contains("\"broken\"") && told.contains("no such program"), "{told}");
}

#[tokio::test]
async fn a_server_whose_first_list_fails_is_asked_again_by_itself() {
    let mut slow = Part::with_tools(&["b"]);
    slow.offer = Err(ServerError::Start("late".parse().unwrap(), "it is still loading".into()));
    let mut rig =
        Rig::new(Set { servers: vec![("late", slow), ("fast", Part::with_tools(&["a"]))], ..Set::default() });
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["fast__a"]);
    rig.stage.set_offer("late", offer(&["b"]));
    assert_eq!(rig.next().await["method"], "notifications/tools/list_changed");
    assert_eq!(tools(&mut rig).await, ["late__b", "fast__a"]);
}

#[tokio::test]
async fn a_server_that_ended_is_listed_again() {
    let mut rig = Rig::new(Set { servers: vec![("mail", Part::with_tools(&["a"]))], ..Set::default() });
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["mail__a"]);
    rig.stage.set_offer("mail", offer(&["b"]));
    rig.handle.server_changed(ServerChange::Ended("mail".parse().unwrap()));
    assert_eq!(rig.next().await["method"], "notifications/tools/list_changed");
    assert_eq!(tools(&mut rig).await, ["mail__b"]);
}

#[tokio::test]
async fn a_starting_servers_prompts_and_completions_wait_for_it() {
    let offer = Offer { prompts: vec![raw(r#"{"name":"p"}"#)], ..Offer::default() };
    let part = Part::offering(offer).answering(|| Ok(result(r#"{"messages":[]}"#))).slow();
    let limits = Limits { list_wait: Duration::ZERO, ..Limits::default() };
    let mut rig = Rig::with_limits(Set { servers: vec![("slow", part)], ..Set::default() }, limits);
    rig.initialize("2025-11-25").await;
    rig.result("prompts/list", json!({})).await;
    rig.post(&json!("get"), "prompts/get", &json!({ "name": "slow__p" })).await;
    rig.post(
        &json!("done"),
        "completion/complete",
        &json!({ "ref": { "type": "ref/prompt", "name": "slow/p" } }),
    )
    .await;
    rig.is_silent().await;
    rig.stage.open("slow");
    let mut answers = 0;
    for _ in 0..20 {
        let message = rig.next().await;
        if message.get("method").is_none() {
            assert!(message.get("result").is_some(), "{message}");
            answers += 1;
        }
        if answers == 2 {
            return;
        }
    }
    panic!("one of them was not answered");
}

#[tokio::test]
async fn a_tool_with_an_odd_name_is_called_by_it_and_one_that_is_private_is_not_listed() {
    let part = Part::with_tools(&["repo/create issue", "mail/Erika Mustermann"]);
    let mut rig = Rig::new(Set {
        servers: vec![("kid", part)],
        replacements: vec![("Jane Roe", "Erika Mustermann")],
        ..Set::default()
    });
    rig.initialize("2025-11-25").await;
    let all = tools(&mut rig).await;
    let [alias] = &all[..] else { panic!("{all:?}") };
    let (_, failed) = rig.call(alias, json!({ "text": "x" })).await;
    assert!(!failed);
    let heard = rig.stage.heard().remove(0);
    assert_eq!(heard.tool, "kid/repo%2Fcreate%20issue");
    assert_eq!(heard.params, r#"{"name":"repo/create issue","arguments":{"text":"x"}}"#);
    rig.stage.set_policy(&[("kid/repo%2F*", Action::Deny)], None);
    assert!(rig.call(alias, json!({})).await.1, "the policy's pattern covers it");
    let private = "kid/mail%2FErika%20Mustermann";
    assert!(rig.call("portero__call", json!({ "tool": private })).await.1, "it is private");
    assert_eq!(rig.stage.heard().len(), 1);
}

#[tokio::test]
async fn a_list_has_one_page() {
    let mut rig = Rig::new(Set { servers: vec![("fast", Part::with_tools(&["a"]))], ..Set::default() });
    let first = rig.result("tools/list", json!({ "cursor": null })).await;
    assert!(first.get("nextCursor").is_none());
    let answer = rig.ask(1, "tools/list", json!({ "cursor": "2" })).await;
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test]
async fn what_policy_denies_is_not_listed_and_a_change_of_policy_is_told_only_if_it_shows() {
    let mut rig =
        Rig::new(Set { servers: vec![("mail", Part::with_tools(&["read", "drop"]))], ..Set::default() });
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["mail__read", "mail__drop"]);
    rig.stage.set_policy(&[("mail/drop", Action::Deny)], None);
    rig.handle.standing_changed();
    assert_eq!(rig.next().await["method"], "notifications/tools/list_changed");
    assert_eq!(tools(&mut rig).await, ["mail__read"]);
    rig.stage.set_policy(&[("mail/drop", Action::Deny), ("mail/other", Action::Deny)], None);
    rig.handle.standing_changed();
    rig.is_silent().await;
}

#[tokio::test]
async fn a_servers_change_is_told_only_if_something_differs() {
    let mut rig = Rig::new(Set { servers: vec![("mail", Part::with_tools(&["a"]))], ..Set::default() });
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["mail__a"]);
    let asked = || rig.stage.actors.offers.load(std::sync::atomic::Ordering::SeqCst);
    let before = asked();
    rig.handle.list_changed(&"mail".parse().unwrap(), List::Tools);
    wait_until(|| asked() > before).await;
    rig.is_silent().await;
    rig.stage.set_offer("mail", offer(&["a", "b"]));
    rig.handle.list_changed(&"mail".parse().unwrap(), List::Tools);
    assert_eq!(rig.next().await["method"], "notifications/tools/list_changed");
    assert_eq!(tools(&mut rig).await, ["mail__a", "mail__b"]);
}

#[tokio::test]
async fn tools_used_of_late_join_the_pinned_ones() {
    let mut rig = Rig::new(Set {
        servers: vec![("mail", Part::with_tools(&["read", "send"]))],
        pinned: vec![("mail", vec!["read"])],
        ..Set::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["mail__read"]);
    assert!(!rig.call("mail/send", json!({})).await.1);
    assert_eq!(rig.next().await["method"], "notifications/tools/list_changed");
    assert_eq!(tools(&mut rig).await, ["mail__read", "mail__send"]);
    assert!(!rig.call("mail__send", json!({})).await.1);
    rig.is_silent().await;
}

#[tokio::test]
async fn a_listed_tool_keeps_its_bytes() {
    let odd: RawJson = raw(
        r#"{"name":"odd","x-unknown":{"z":1.10,"a":1234567890123456789012345678901234567890},"inputSchema":{"type":"object","properties":{"n":{"const":1.0e2}}},"execution":{"taskSupport":"optional"}}"#,
    );
    let mut rig = Rig::new(Set {
        servers: vec![("s", Part::offering(Offer { tools: vec![odd], ..Offer::default() }))],
        ..Set::default()
    });
    rig.post(&json!(1), "tools/list", &json!({})).await;
    let line = rig.line().await;
    for part in [r#""z":1.10,"a":1234567890123456789012345678901234567890"#, "1.0e2"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn a_modern_client_hears_of_changes_only_where_it_listens() {
    let mut rig = Rig::new(Set { servers: vec![("mail", Part::with_tools(&["a"]))], ..Set::default() });
    rig.result("tools/list", modern(json!({}))).await;
    rig.stage.set_policy(&[("mail/a", Action::Deny)], None);
    rig.handle.standing_changed();
    rig.is_silent().await;
    let listen = modern(json!({ "notifications": { "toolsListChanged": true } }));
    rig.post(&json!("l"), "subscriptions/listen", &listen).await;
    rig.next().await;
    rig.stage.set_policy(&[], None);
    rig.handle.standing_changed();
    let told = rig.next().await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
    rig.notify("notifications/cancelled", &json!({ "requestId": "l" })).await;
    rig.is_silent().await;
    rig.stage.set_policy(&[("mail/a", Action::Deny)], None);
    rig.handle.standing_changed();
    rig.is_silent().await;
}

#[tokio::test]
async fn a_call_waits_for_its_own_server_longer_than_a_list_does() {
    let mut rig = Rig::new(Set {
        servers: vec![("slow", Part::with_tools(&["b"]).slow()), ("mute", Part::with_tools(&["c"]).slow())],
        ..Set::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, [""; 0]);
    rig.post(&json!(1), "tools/call", &json!({ "name": "slow__b" })).await;
    rig.post(&json!(2), "tools/call", &json!({ "name": "mute__c" })).await;
    rig.is_silent().await;
    rig.stage.open("slow");
    assert_eq!(rig.answer_with_notices(&json!(1)).await.0["result"]["isError"], Value::Null);
    rig.notify("notifications/cancelled", &json!({ "requestId": 2 })).await;
    rig.post(&json!(3), "ping", &json!({})).await;
    // Only the change of the list may come before this.
    rig.answer_with_notices(&json!(3)).await;
    let unknown = rig.call("other__tool", json!({})).await;
    assert!(unknown.1 && unknown.0.contains("other__tool"), "{unknown:?}");
    let skipped = rig.call("absent__tool", json!({})).await;
    assert!(skipped.1 && skipped.0.contains("the variable `TOKEN` is not set"), "{skipped:?}");
}

#[tokio::test]
async fn a_cached_offer_is_listed_at_once_and_asked_for_in_the_background() {
    let cache = tempfile::tempdir().unwrap();
    let set = |part: Part| Set {
        servers: vec![("mail", part)],
        cache: Some(cache.path().to_owned()),
        ..Set::default()
    };
    let mut rig = Rig::new(set(Part::with_tools(&["a"])));
    assert_eq!(tools(&mut rig).await, ["mail__a"]);
    let patience = Limits { list_wait: PATIENCE, ..Limits::default() };
    let mut rig = Rig::with_limits(set(Part::with_tools(&["a", "b"]).slow()), patience);
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["mail__a"]);
    rig.stage.open("mail");
    assert_eq!(rig.next().await["method"], "notifications/tools/list_changed");
    assert_eq!(tools(&mut rig).await, ["mail__a", "mail__b"]);
}

#[tokio::test]
async fn the_tool_whose_last_use_is_the_longest_ago_leaves_the_list_first() {
    let tools: Vec<String> = (0..22).map(|number| format!("t{number}")).collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    let mut rig = Rig::new(Set {
        servers: vec![("mail", Part::with_tools(&tools)), ("open", Part::with_tools(&tools))],
        pinned: vec![("mail", vec!["t21"])],
        ..Set::default()
    });
    rig.result("tools/list", json!({})).await;
    for number in 0..20 {
        rig.call("portero__call", json!({ "tool": format!("mail/t{number}") })).await;
    }
    // What is listed anyway takes no place.
    for number in 0..20 {
        rig.call("portero__call", json!({ "tool": format!("open/t{number}") })).await;
    }
    rig.call("mail__t21", json!({})).await;
    rig.call("mail__t0", json!({})).await;
    rig.call("portero__call", json!({ "tool": "mail/t20" })).await;
    let listed = rig.result("tools/list", json!({})).await;
    let mut listed = names(&listed, "tools");
    listed.retain(|name| name.starts_with("mail__"));
    assert!(listed.contains(&"mail__t0".to_owned()), "it was used a moment ago: {listed:?}");
    assert!(!listed.contains(&"mail__t1".to_owned()) && listed.len() == 21, "{listed:?}");
}

fn getters(one: Part, two: Part, cache: Option<&std::path::Path>) -> Set {
    Set {
        servers: vec![("one", one), ("two", two)],
        unprefixed: vec!["one", "two"],
        cache: cache.map(Into::into),
        ..Set::default()
    }
}

/// Which servers got a call, in order.
fn reached(rig: &Rig) -> Vec<String> {
    rig.stage.heard().into_iter().map(|heard| heard.tool).collect()
}

#[tokio::test]
async fn a_name_that_an_unknown_server_could_claim_is_given_to_no_other() {
    let one = || Part::with_tools(&["get", "x1"]);
    let two = || Part::with_tools(&["get", "x2"]);
    let cold = ["get", "x1", "two__get", "two__x2"];
    // The earlier server is slow.
    let mut rig = Rig::new(getters(one().slow(), two(), None));
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, cold[2..]);
    assert!(!rig.call("two__get", json!({})).await.1);
    let (refused, is_error) = rig.call("get", json!({})).await;
    assert!(is_error && refused.contains("get"), "{refused}");
    rig.stage.open("one");
    assert_eq!(rig.next().await["method"], "notifications/tools/list_changed");
    assert!(!rig.call("get", json!({})).await.1);
    assert_eq!(tools(&mut rig).await, cold);
    assert_eq!(reached(&rig), ["two/get", "one/get"]);
    // It is as fast as the other, or fails at first: the names are the same.
    let mut rig = Rig::new(getters(one(), two(), None));
    assert_eq!(tools(&mut rig).await, cold);
}

#[tokio::test]
async fn a_name_keeps_its_server_for_the_whole_session() {
    let offer = |names: &[&str]| {
        let tools = names.iter().map(|name| tool(name)).collect();
        let prompts = names.iter().map(|name| raw(&format!(r#"{{"name":"{name}"}}"#))).collect();
        Offer { tools, prompts, ..Offer::default() }
    };
    let cache = tempfile::tempdir().unwrap();
    let set = || {
        let (one, two) = (Part::offering(offer(&["get", "x1"])), Part::offering(offer(&["get", "x2"])));
        getters(one, two, Some(cache.path()))
    };
    tools(&mut Rig::new(set())).await;
    // What each offers is known from before.
    let mut rig = Rig::new(set());
    rig.initialize("2025-11-25").await;
    assert_eq!(tools(&mut rig).await, ["get", "x1", "two__get", "x2"]);
    assert_eq!(
        names(&rig.result("prompts/list", json!({})).await, "prompts"),
        ["get", "x1", "two__get", "x2"]
    );
    // The earlier server drops one name and takes up another that the later one has.
    let catalog = Arc::clone(&rig.stage.pipeline.catalog);
    catalog.set_offer(&"one".parse().unwrap(), offer(&["x2", "x1"]));
    for name in ["get", "x2"] {
        assert_eq!(rig.call(name, json!({})).await.1, name == "get", "{name}");
        let answer = rig.ask(7, "prompts/get", json!({ "name": name })).await;
        assert_eq!(answer.get("error").is_some(), name == "get", "{answer}");
    }
    assert_eq!(reached(&rig), ["two/x2", "two/prompts:get"]);
    assert_eq!(tools(&mut rig).await, ["one__x2", "x1", "two__get", "x2"]);
}

#[tokio::test]
async fn an_unwrapped_uri_is_no_servers_before_all_are_known_and_one_servers_after() {
    let offer = |uris: &[&str]| {
        let list = |uri: &&str| raw(&format!(r#"{{"uri":"{uri}","name":"n"}}"#));
        Offer { resources: uris.iter().map(list).collect(), ..Offer::default() }
    };
    let (one, two) = (Part::offering(offer(&["x:1"])).slow(), Part::offering(offer(&["x:1", "x:2"])));
    let mut rig = Rig::new(getters(one, two, None));
    let read = |uri: &str| json!({ "uri": uri });
    let refused = rig.ask(1, "resources/read", read("x:2")).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("portero://SERVER"), "{refused}");
    assert!(rig.ask(2, "resources/read", read("portero://two/x:2")).await.get("result").is_some());
    rig.stage.open("one");
    let catalog = Arc::clone(&rig.stage.pipeline.catalog);
    wait_until(|| catalog.unknown().is_none()).await;
    assert!(rig.ask(3, "resources/read", read("x:2")).await.get("result").is_some());
    assert!(rig.ask(4, "resources/read", read("x:1")).await.get("error").is_some(), "of which server?");
    // Another server lists it too, then alone.
    catalog.set_offer(&"one".parse().unwrap(), offer(&["x:2"]));
    assert!(rig.ask(5, "resources/read", read("x:2")).await.get("result").is_some());
    catalog.set_offer(&"two".parse().unwrap(), offer(&[]));
    assert!(rig.ask(6, "resources/read", read("x:2")).await.get("error").is_some());
    assert_eq!(reached(&rig), vec!["two/resources:read"; 3]);
}
