//! Lists: together, independent, concealed by policy, and told when they change.

use serde_json::json;

use super::*;
use crate::json::RawJson;
use crate::pipeline::test_support::{FakeServer, raw_json, result_answer, tool_json};
use crate::policy::Action;
use crate::server::{ListKind, ServerChange, ServerError, ServerListing};

fn tools_listing(tools: &[&str]) -> ServerListing {
    ServerListing { tools: tools.iter().map(|name| tool_json(name)).collect(), ..ServerListing::default() }
}

async fn listed_tools(rig: &mut SessionFixture) -> Vec<String> {
    let mut all = listed_names(&rig.request_result("tools/list", json!({})).await, "tools");
    all.retain(|name| !name.starts_with("portero__"));
    all
}

#[tokio::test]
async fn the_lists_of_all_servers_stand_together_after_porteros_own_tools() {
    let whole = ServerListing {
        resources: vec![raw_json(r#"{"uri":"a:1","name":"one"}"#)],
        templates: vec![raw_json(r#"{"uriTemplate":"a:{x}","name":"any"}"#)],
        prompts: vec![raw_json(r#"{"name":"greet"}"#)],
        ..tools_listing(&["read"])
    };
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![
            ("files", FakeServer::with_listing(whole)),
            ("mail", FakeServer::with_tools(&["send"])),
        ],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    let all = listed_names(&rig.request_result("tools/list", json!({})).await, "tools");
    assert_eq!(
        all,
        [
            "portero__search_tools",
            "portero__call",
            "portero__explain",
            "portero__check_task",
            "portero__list_tasks",
            "portero__cancel_task",
            "files__read",
            "mail__send"
        ]
    );
    let resources = rig.request_result("resources/list", json!({})).await;
    assert_eq!(resources["resources"][0]["uri"], "portero://files/a:1");
    let templates = rig.request_result("resources/templates/list", json!({})).await;
    assert_eq!(templates["resourceTemplates"][0]["name"], "any");
    assert_eq!(
        listed_names(&rig.request_result("prompts/list", json!({})).await, "prompts"),
        ["files__greet"]
    );
}

#[tokio::test]
async fn a_slow_server_is_waited_for_once_and_told_of_when_it_comes() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![
            ("fast", FakeServer::with_tools(&["a"])),
            ("slow", FakeServer::with_tools(&["b"]).gated()),
        ],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["fast__a"]);
    rig.fixture.open_gate("slow");
    assert_eq!(rig.next_message().await["method"], "notifications/tools/list_changed");
    assert_eq!(listed_tools(&mut rig).await, ["fast__a", "slow__b"]);
    rig.assert_silent().await;
}

#[tokio::test]
async fn a_broken_server_spoils_nothing_and_is_told_of() {
    let mut broken = FakeServer::with_tools(&["b"]);
    broken.listing = Err(ServerError::StartFailed("broken".parse().unwrap(), "no such program".into()));
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("broken", broken), ("fast", FakeServer::with_tools(&["a"]))],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["fast__a"]);
    let told = rig.initialize("2025-11-25").await["instructions"].as_str().unwrap().to_owned();
    assert!(told.contains("\"broken\"") && told.contains("no such program"), "{told}");
}

#[tokio::test]
async fn a_server_whose_first_list_fails_is_asked_again_by_itself() {
    let mut slow = FakeServer::with_tools(&["b"]);
    slow.listing = Err(ServerError::StartFailed("late".parse().unwrap(), "it is still loading".into()));
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("late", slow), ("fast", FakeServer::with_tools(&["a"]))],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["fast__a"]);
    rig.fixture.set_listing("late", tools_listing(&["b"]));
    assert_eq!(rig.next_message().await["method"], "notifications/tools/list_changed");
    assert_eq!(listed_tools(&mut rig).await, ["late__b", "fast__a"]);
}

#[tokio::test]
async fn a_server_that_ended_is_listed_again() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["a"]))],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["mail__a"]);
    rig.fixture.set_listing("mail", tools_listing(&["b"]));
    rig.handle.server_changed(ServerChange::Ended("mail".parse().unwrap()));
    assert_eq!(rig.next_message().await["method"], "notifications/tools/list_changed");
    assert_eq!(listed_tools(&mut rig).await, ["mail__b"]);
}

#[tokio::test]
async fn a_starting_servers_prompts_and_completions_wait_for_it() {
    let offer = ServerListing { prompts: vec![raw_json(r#"{"name":"p"}"#)], ..ServerListing::default() };
    let part =
        FakeServer::with_listing(offer).answering_with(|| Ok(result_answer(r#"{"messages":[]}"#))).gated();
    let limits = ServerLimits { list_timeout: Duration::ZERO, ..ServerLimits::default() };
    let mut rig = SessionFixture::with_limits(
        FixtureSetup { servers: vec![("slow", part)], ..FixtureSetup::default() },
        limits,
    );
    rig.initialize("2025-11-25").await;
    rig.request_result("prompts/list", json!({})).await;
    rig.send_request(&json!("get"), "prompts/get", &json!({ "name": "slow__p" })).await;
    rig.send_request(
        &json!("done"),
        "completion/complete",
        &json!({ "ref": { "type": "ref/prompt", "name": "slow/p" } }),
    )
    .await;
    rig.assert_silent().await;
    rig.fixture.open_gate("slow");
    let mut answers = 0;
    for _ in 0..20 {
        let message = rig.next_message().await;
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
    let part = FakeServer::with_tools(&["repo/create issue", "mail/Erika Mustermann"]);
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("kid", part)],
        replacements: vec![("Jane Roe", "Erika Mustermann")],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    let all = listed_tools(&mut rig).await;
    let [alias] = &all[..] else { panic!("{all:?}") };
    let (_, failed) = rig.call_tool(alias, json!({ "text": "x" })).await;
    assert!(!failed);
    let heard = rig.fixture.received_calls().remove(0);
    assert_eq!(heard.tool, "kid/repo%2Fcreate%20issue");
    assert_eq!(heard.params, r#"{"name":"repo/create issue","arguments":{"text":"x"}}"#);
    rig.fixture.set_policy(&[("kid/repo%2F*", Action::Deny)], None);
    assert!(rig.call_tool(alias, json!({})).await.1, "the policy's pattern covers it");
    let private = "kid/mail%2FErika%20Mustermann";
    assert!(rig.call_tool("portero__call", json!({ "tool": private })).await.1, "it is private");
    assert_eq!(rig.fixture.received_calls().len(), 1);
}

#[tokio::test]
async fn a_list_has_one_page() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("fast", FakeServer::with_tools(&["a"]))],
        ..FixtureSetup::default()
    });
    let first = rig.request_result("tools/list", json!({ "cursor": null })).await;
    assert!(first.get("nextCursor").is_none());
    let answer = rig.request_answer(1, "tools/list", json!({ "cursor": "2" })).await;
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test]
async fn what_policy_denies_is_not_listed_and_a_change_of_policy_is_told_only_if_it_shows() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["read", "drop"]))],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["mail__read", "mail__drop"]);
    rig.fixture.set_policy(&[("mail/drop", Action::Deny)], None);
    rig.handle.standing_changed();
    assert_eq!(rig.next_message().await["method"], "notifications/tools/list_changed");
    assert_eq!(listed_tools(&mut rig).await, ["mail__read"]);
    rig.fixture.set_policy(&[("mail/drop", Action::Deny), ("mail/other", Action::Deny)], None);
    rig.handle.standing_changed();
    rig.assert_silent().await;
}

#[tokio::test]
async fn a_servers_change_is_told_only_if_something_differs() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["a"]))],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["mail__a"]);
    let asked = || rig.fixture.servers.listing_fetches.load(std::sync::atomic::Ordering::SeqCst);
    let before = asked();
    rig.handle.list_changed(&"mail".parse().unwrap(), ListKind::Tools);
    wait_until(|| asked() > before).await;
    rig.assert_silent().await;
    rig.fixture.set_listing("mail", tools_listing(&["a", "b"]));
    rig.handle.list_changed(&"mail".parse().unwrap(), ListKind::Tools);
    assert_eq!(rig.next_message().await["method"], "notifications/tools/list_changed");
    assert_eq!(listed_tools(&mut rig).await, ["mail__a", "mail__b"]);
}

#[tokio::test]
async fn tools_used_of_late_join_the_pinned_ones() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["read", "send"]))],
        pinned: vec![("mail", vec!["read"])],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["mail__read"]);
    assert!(!rig.call_tool("mail/send", json!({})).await.1);
    assert_eq!(rig.next_message().await["method"], "notifications/tools/list_changed");
    assert_eq!(listed_tools(&mut rig).await, ["mail__read", "mail__send"]);
    assert!(!rig.call_tool("mail__send", json!({})).await.1);
    rig.assert_silent().await;
}

#[tokio::test]
async fn a_listed_tool_keeps_its_bytes() {
    let odd: RawJson = raw_json(
        r#"{"name":"odd","x-unknown":{"z":1.10,"a":1234567890123456789012345678901234567890},"inputSchema":{"type":"object","properties":{"n":{"const":1.0e2}}},"execution":{"taskSupport":"optional"}}"#,
    );
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![(
            "s",
            FakeServer::with_listing(ServerListing { tools: vec![odd], ..ServerListing::default() }),
        )],
        ..FixtureSetup::default()
    });
    rig.send_request(&json!(1), "tools/list", &json!({})).await;
    let line = rig.next_line().await;
    for part in [r#""z":1.10,"a":1234567890123456789012345678901234567890"#, "1.0e2"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn a_modern_client_hears_of_changes_only_where_it_listens() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["a"]))],
        ..FixtureSetup::default()
    });
    rig.request_result("tools/list", with_modern_meta(json!({}))).await;
    rig.fixture.set_policy(&[("mail/a", Action::Deny)], None);
    rig.handle.standing_changed();
    rig.assert_silent().await;
    let listen = with_modern_meta(json!({ "notifications": { "toolsListChanged": true } }));
    rig.send_request(&json!("l"), "subscriptions/listen", &listen).await;
    rig.next_message().await;
    rig.fixture.set_policy(&[], None);
    rig.handle.standing_changed();
    let told = rig.next_message().await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l");
    rig.send_notification("notifications/cancelled", &json!({ "requestId": "l" })).await;
    rig.assert_silent().await;
    rig.fixture.set_policy(&[("mail/a", Action::Deny)], None);
    rig.handle.standing_changed();
    rig.assert_silent().await;
}

#[tokio::test]
async fn a_call_waits_for_its_own_server_longer_than_a_list_does() {
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![
            ("slow", FakeServer::with_tools(&["b"]).gated()),
            ("mute", FakeServer::with_tools(&["c"]).gated()),
        ],
        ..FixtureSetup::default()
    });
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, [""; 0]);
    rig.send_request(&json!(1), "tools/call", &json!({ "name": "slow__b" })).await;
    rig.send_request(&json!(2), "tools/call", &json!({ "name": "mute__c" })).await;
    rig.assert_silent().await;
    rig.fixture.open_gate("slow");
    assert_eq!(rig.answer_and_notifications(&json!(1)).await.0["result"]["isError"], Value::Null);
    rig.send_notification("notifications/cancelled", &json!({ "requestId": 2 })).await;
    rig.send_request(&json!(3), "ping", &json!({})).await;
    // Only the change of the list may come before this.
    rig.answer_and_notifications(&json!(3)).await;
    let unknown = rig.call_tool("other__tool", json!({})).await;
    assert!(unknown.1 && unknown.0.contains("other__tool"), "{unknown:?}");
    let skipped = rig.call_tool("absent__tool", json!({})).await;
    assert!(skipped.1 && skipped.0.contains("the variable `TOKEN` is not set"), "{skipped:?}");
}

#[tokio::test]
async fn a_cached_offer_is_listed_at_once_and_asked_for_in_the_background() {
    let cache = tempfile::tempdir().unwrap();
    let set = |part: FakeServer| FixtureSetup {
        servers: vec![("mail", part)],
        cache: Some(cache.path().to_owned()),
        ..FixtureSetup::default()
    };
    let mut rig = SessionFixture::new(set(FakeServer::with_tools(&["a"])));
    assert_eq!(listed_tools(&mut rig).await, ["mail__a"]);
    let patience = ServerLimits { list_timeout: TEST_TIMEOUT, ..ServerLimits::default() };
    let mut rig = SessionFixture::with_limits(set(FakeServer::with_tools(&["a", "b"]).gated()), patience);
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["mail__a"]);
    rig.fixture.open_gate("mail");
    assert_eq!(rig.next_message().await["method"], "notifications/tools/list_changed");
    assert_eq!(listed_tools(&mut rig).await, ["mail__a", "mail__b"]);
}

#[tokio::test]
async fn the_tool_whose_last_use_is_the_longest_ago_leaves_the_list_first() {
    let tools: Vec<String> = (0..22).map(|number| format!("t{number}")).collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    let mut rig = SessionFixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&tools)), ("open", FakeServer::with_tools(&tools))],
        pinned: vec![("mail", vec!["t21"])],
        ..FixtureSetup::default()
    });
    rig.request_result("tools/list", json!({})).await;
    for number in 0..20 {
        rig.call_tool("portero__call", json!({ "tool": format!("mail/t{number}") })).await;
    }
    // What is listed anyway takes no place.
    for number in 0..20 {
        rig.call_tool("portero__call", json!({ "tool": format!("open/t{number}") })).await;
    }
    rig.call_tool("mail__t21", json!({})).await;
    rig.call_tool("mail__t0", json!({})).await;
    rig.call_tool("portero__call", json!({ "tool": "mail/t20" })).await;
    let listed = rig.request_result("tools/list", json!({})).await;
    let mut listed = listed_names(&listed, "tools");
    listed.retain(|name| name.starts_with("mail__"));
    assert!(listed.contains(&"mail__t0".to_owned()), "it was used a moment ago: {listed:?}");
    assert!(!listed.contains(&"mail__t1".to_owned()) && listed.len() == 21, "{listed:?}");
}

fn two_getter_setup(one: FakeServer, two: FakeServer, cache: Option<&std::path::Path>) -> FixtureSetup {
    FixtureSetup {
        servers: vec![("one", one), ("two", two)],
        unprefixed: vec!["one", "two"],
        cache: cache.map(Into::into),
        ..FixtureSetup::default()
    }
}

/// Which servers got a call, in order.
fn called_servers(rig: &SessionFixture) -> Vec<String> {
    rig.fixture.received_calls().into_iter().map(|heard| heard.tool).collect()
}

#[tokio::test]
async fn a_name_that_an_unknown_server_could_claim_is_given_to_no_other() {
    let one = || FakeServer::with_tools(&["get", "x1"]);
    let two = || FakeServer::with_tools(&["get", "x2"]);
    let cold = ["get", "x1", "two__get", "two__x2"];
    // The earlier server is slow.
    let mut rig = SessionFixture::new(two_getter_setup(one().gated(), two(), None));
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, cold[2..]);
    assert!(!rig.call_tool("two__get", json!({})).await.1);
    let (refused, is_error) = rig.call_tool("get", json!({})).await;
    assert!(is_error && refused.contains("get"), "{refused}");
    rig.fixture.open_gate("one");
    assert_eq!(rig.next_message().await["method"], "notifications/tools/list_changed");
    assert!(!rig.call_tool("get", json!({})).await.1);
    assert_eq!(listed_tools(&mut rig).await, cold);
    assert_eq!(called_servers(&rig), ["two/get", "one/get"]);
    // It is as fast as the other, or fails at first: the names are the same.
    let mut rig = SessionFixture::new(two_getter_setup(one(), two(), None));
    assert_eq!(listed_tools(&mut rig).await, cold);
}

#[tokio::test]
async fn a_name_keeps_its_server_for_the_whole_session() {
    let listing = |names: &[&str]| {
        let tools = names.iter().map(|name| tool_json(name)).collect();
        let prompts = names.iter().map(|name| raw_json(&format!(r#"{{"name":"{name}"}}"#))).collect();
        ServerListing { tools, prompts, ..ServerListing::default() }
    };
    let cache = tempfile::tempdir().unwrap();
    let set = || {
        let (one, two) = (
            FakeServer::with_listing(listing(&["get", "x1"])),
            FakeServer::with_listing(listing(&["get", "x2"])),
        );
        two_getter_setup(one, two, Some(cache.path()))
    };
    listed_tools(&mut SessionFixture::new(set())).await;
    // What each offers is known from before.
    let mut rig = SessionFixture::new(set());
    rig.initialize("2025-11-25").await;
    assert_eq!(listed_tools(&mut rig).await, ["get", "x1", "two__get", "x2"]);
    assert_eq!(
        listed_names(&rig.request_result("prompts/list", json!({})).await, "prompts"),
        ["get", "x1", "two__get", "x2"]
    );
    // The earlier server drops one name and takes up another that the later one has.
    let catalog = Arc::clone(&rig.fixture.pipeline.catalog);
    catalog.set_listing(&"one".parse().unwrap(), listing(&["x2", "x1"]));
    for name in ["get", "x2"] {
        assert_eq!(rig.call_tool(name, json!({})).await.1, name == "get", "{name}");
        let answer = rig.request_answer(7, "prompts/get", json!({ "name": name })).await;
        assert_eq!(answer.get("error").is_some(), name == "get", "{answer}");
    }
    assert_eq!(called_servers(&rig), ["two/x2", "two/prompts:get"]);
    assert_eq!(listed_tools(&mut rig).await, ["one__x2", "x1", "two__get", "x2"]);
}

#[tokio::test]
async fn an_unwrapped_uri_is_no_servers_before_all_are_known_and_one_servers_after() {
    let listing = |uris: &[&str]| {
        let list = |uri: &&str| raw_json(&format!(r#"{{"uri":"{uri}","name":"n"}}"#));
        ServerListing { resources: uris.iter().map(list).collect(), ..ServerListing::default() }
    };
    let (one, two) = (
        FakeServer::with_listing(listing(&["x:1"])).gated(),
        FakeServer::with_listing(listing(&["x:1", "x:2"])),
    );
    let mut rig = SessionFixture::new(two_getter_setup(one, two, None));
    let read = |uri: &str| json!({ "uri": uri });
    let refused = rig.request_answer(1, "resources/read", read("x:2")).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("portero://SERVER"), "{refused}");
    assert!(rig.request_answer(2, "resources/read", read("portero://two/x:2")).await.get("result").is_some());
    rig.fixture.open_gate("one");
    let catalog = Arc::clone(&rig.fixture.pipeline.catalog);
    wait_until(|| catalog.first_unknown_server().is_none()).await;
    assert!(rig.request_answer(3, "resources/read", read("x:2")).await.get("result").is_some());
    assert!(
        rig.request_answer(4, "resources/read", read("x:1")).await.get("error").is_some(),
        "of which server?"
    );
    // Another server lists it too, then alone.
    catalog.set_listing(&"one".parse().unwrap(), listing(&["x:2"]));
    assert!(rig.request_answer(5, "resources/read", read("x:2")).await.get("result").is_some());
    catalog.set_listing(&"two".parse().unwrap(), listing(&[]));
    assert!(rig.request_answer(6, "resources/read", read("x:2")).await.get("error").is_some());
    assert_eq!(called_servers(&rig), vec!["two/resources:read"; 3]);
}
