mod completions;
mod definitions;
mod joining;
mod redactions;

use std::sync::atomic::Ordering;

use super::test_support::{FakeServer, Fixture, FixtureSetup, raw_json, result_answer, wait_until};
use super::*;
use crate::policy::{Action, GrantLimits};

fn reply_text(reply: &CallReply) -> &str {
    match reply {
        CallReply::Result(json) | CallReply::Error(json) => json.get().get(),
        other @ (CallReply::PendingApproval(_) | CallReply::Joined(_) | CallReply::Refused(_)) => {
            panic!("{other:?}")
        }
    }
}

async fn handle_tool_call(fixture: &Fixture, tool: &str, params: &str) -> CallReply {
    fixture
        .pipeline
        .handle_call(fixture.make_call(tool, params), &fixture.context(), CallOptions::default())
        .await
}

#[tokio::test]
async fn an_allowed_call_is_recorded_revealed_sent_concealed_and_recorded() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..FixtureSetup::default()
    });
    let reply =
        handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{"to":"John Doe"}}"#).await;
    assert_eq!(fixture.received_calls()[0].params, r#"{"name":"send","arguments":{"to":"Ada Lovelace"}}"#);
    assert!(
        reply_text(&reply).contains("John Doe") && !reply_text(&reply).contains("Ada"),
        "{}",
        reply_text(&reply)
    );
    let audited = fixture.audit_events();
    assert_eq!(audited.len(), 2, "{audited:?}");
    assert!(audited[0].contains("intent") && audited[1].contains(r#""outcome":"done""#), "{audited:?}");
}

#[tokio::test]
async fn a_fake_that_a_server_says_by_itself_comes_back_to_it_as_itself() {
    let said = r#"{"content":[{"type":"text","text":"John Doe met Ada Lovelace"}]}"#;
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![(
            "mail",
            FakeServer::with_tools(&["send"]).answering_with(move || Ok(result_answer(said))),
        )],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..FixtureSetup::default()
    });
    let read = handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{}}"#).await;
    let read = reply_text(&read);
    let (_, text) = read.split_once(r#""text":""#).expect("a text");
    let (text, _) = text.split_once('"').expect("its end");
    assert!(text.ends_with(" met John Doe") && !text.starts_with("John Doe"), "{text}");
    let written = format!(r#"{{"name":"send","arguments":{{"text":"{text}"}}}}"#);
    handle_tool_call(&fixture, "mail/send", &written).await;
    let sent = r#"{"name":"send","arguments":{"text":"John Doe met Ada Lovelace"}}"#;
    assert_eq!(fixture.received_calls()[1].params, sent);
}

#[tokio::test]
async fn equal_calls_are_recognised_in_the_audit_and_their_values_are_not() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        ..FixtureSetup::default()
    });
    for (progress, to) in [(1, "Bob"), (2, "Bob"), (3, "Eve")] {
        let meta = format!(r#"{{"progressToken":{progress}}}"#);
        let params = format!(r#"{{"name":"send","arguments":{{"to":"{to}"}},"_meta":{meta}}}"#);
        handle_tool_call(&fixture, "mail/send", &params).await;
    }
    let audited = fixture.audit_events();
    let digests: Vec<_> =
        audited.iter().filter_map(|record| record.split(r#""arguments":"#).nth(1)).collect();
    assert!(digests.len() == 3 && digests[0] == digests[1] && digests[1] != digests[2], "{audited:?}");
    let plain = blake3::hash(br#"{"to":"Bob"}"#).to_hex();
    assert!(!audited.concat().contains(&plain[..32]) && !audited.concat().contains("Bob"), "{audited:?}");
}

#[tokio::test]
async fn a_tool_that_its_server_does_not_list_is_refused() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        ..FixtureSetup::default()
    });
    for tool in ["mail/burn", "nobody/send"] {
        let reply = handle_tool_call(&fixture, tool, r#"{"name":"x"}"#).await;
        assert!(
            matches!(reply, CallReply::Refused(Refusal::Unknown(_) | Refusal::ServerUnavailable(_))),
            "{reply:?}"
        );
    }
    assert!(fixture.received_calls().is_empty());
    assert!(fixture.audit_events().iter().all(|record| record.contains("refused")));
}

#[tokio::test]
async fn an_operation_is_no_tool_even_where_it_is_allowed() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        policies: vec![("mail/resources:read", Action::Allow)],
        ..FixtureSetup::default()
    });
    let reply = handle_tool_call(&fixture, "mail/resources:read", r#"{"name":"resources:read"}"#).await;
    assert!(matches!(reply, CallReply::Refused(Refusal::Unknown(_))), "{reply:?}");
    assert!(fixture.received_calls().is_empty());
}

#[tokio::test]
async fn a_call_that_nests_too_deeply_for_a_server_is_refused() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        ..FixtureSetup::default()
    });
    let nested =
        |depth: usize| format!(r#"{{"name":"send","a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let reply = handle_tool_call(&fixture, "mail/send", &nested(128)).await;
    assert!(matches!(&reply, CallReply::Refused(Refusal::Invalid(why)) if why.contains("128")), "{reply:?}");
    assert!(fixture.received_calls().is_empty());
    handle_tool_call(&fixture, "mail/send", &nested(127)).await;
    assert_eq!(fixture.received_calls().len(), 1);
}

#[tokio::test]
async fn duplicate_keys_in_arguments_are_refused() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        ..FixtureSetup::default()
    });
    let reply =
        handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{"a":{"to":1,"to":2}}}"#).await;
    assert!(matches!(&reply, CallReply::Refused(Refusal::Invalid(why)) if why.contains("to")), "{reply:?}");
    assert!(fixture.received_calls().is_empty());
}

#[tokio::test]
async fn an_agent_cannot_fill_the_audit_with_its_words() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        ..FixtureSetup::default()
    });
    let key = "x".repeat(100_000);
    handle_tool_call(&fixture, "mail/send", &format!(r#"{{"name":"send","{key}":1,"{key}":2}}"#)).await;
    assert!(fixture.audit_events()[0].len() < 1_000);
}

#[tokio::test]
async fn a_fake_in_a_tools_name_does_not_turn_it_into_another_tool() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["list_sample", "list_secret"]))],
        policies: vec![("mail/list_secret", Action::Deny)],
        replacements: vec![("sample", "secret")],
        ..FixtureSetup::default()
    });
    handle_tool_call(&fixture, "mail/list_sample", r#"{"name":"list_sample","arguments":{"of":"sample"}}"#)
        .await;
    assert_eq!(fixture.received_calls()[0].params, r#"{"name":"list_sample","arguments":{"of":"secret"}}"#);
}

#[tokio::test]
async fn duplicate_keys_in_meta_are_refused() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]))],
        ..FixtureSetup::default()
    });
    let plain = fixture.make_call("mail/send", r#"{"name":"send"}"#);
    let meta = fixture.pipeline.anonymizer.load().conceal_local(raw_json(r#"{"to":"a","t\u006f":"b"}"#)).ok();
    let reply = fixture
        .pipeline
        .handle_call(Call { meta, ..plain }, &fixture.context(), CallOptions::default())
        .await;
    assert!(
        matches!(&reply, CallReply::Refused(Refusal::Invalid(why)) if why.contains("_meta")),
        "{reply:?}"
    );
    assert!(fixture.received_calls().is_empty());
}

#[tokio::test]
async fn what_is_denied_does_not_run_and_what_must_be_asked_is_submitted_concealed() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send", "drop"]))],
        policies: vec![("mail/drop", Action::Deny), ("mail/send", Action::RequireApproval)],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..FixtureSetup::default()
    });
    let denied = handle_tool_call(&fixture, "mail/drop", r#"{"name":"drop"}"#).await;
    assert!(matches!(denied, CallReply::Refused(Refusal::Denied(_))), "{denied:?}");
    let asked =
        handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{"to":"Ada Lovelace"}}"#).await;
    assert!(matches!(asked, CallReply::PendingApproval(_)), "{asked:?}");
    assert!(fixture.received_calls().is_empty());
    assert!(fixture.approvals.submitted.lock().unwrap()[0].params.get().get().contains("John Doe"));
    fixture.approvals.is_unavailable.store(true, Ordering::SeqCst);
    let closed = handle_tool_call(&fixture, "mail/send", r#"{"name":"send"}"#).await;
    assert!(matches!(closed, CallReply::Refused(Refusal::DaemonUnavailable(_))), "{closed:?}");
}

#[tokio::test]
async fn errors_of_servers_are_concealed_and_say_whose_fault_it_is() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![
            (
                "a",
                FakeServer::with_tools(&["x"]).answering_with(|| {
                    Ok(ServerAnswer::Error(Real::from_server(raw_json(
                        r#"{"code":-32000,"message":"no mail for Ada Lovelace","data":{"Ada Lovelace":1}}"#,
                    ))))
                }),
            ),
            (
                "b",
                FakeServer::with_tools(&["x"])
                    .answering_with(|| Err(ServerError::Stopped("b".parse().unwrap()))),
            ),
            (
                "c",
                FakeServer::with_tools(&["x"]).answering_with(|| {
                    Err(ServerError::StartFailed("c".parse().unwrap(), "Ada Lovelace is ill".into()))
                }),
            ),
        ],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..FixtureSetup::default()
    });
    let reply = handle_tool_call(&fixture, "a/x", r#"{"name":"x"}"#).await;
    assert_eq!(
        reply_text(&reply),
        r#"{"code":-32000,"message":"no mail for John Doe","data":{"John Doe":1}}"#
    );
    let reply = handle_tool_call(&fixture, "b/x", r#"{"name":"x"}"#).await;
    assert!(
        matches!(&reply, CallReply::Refused(Refusal::Interrupted(why)) if why.contains("`b`") && why.contains("unknown")),
        "{reply:?}"
    );
    let reply = handle_tool_call(&fixture, "c/x", r#"{"name":"x"}"#).await;
    assert!(
        matches!(&reply, CallReply::Refused(Refusal::ServerUnavailable(why)) if why.contains("John Doe")),
        "{reply:?}"
    );
    let audited = fixture.audit_events().join("\n");
    assert!(!audited.contains("Ada"), "{audited}");
    for outcome in ["failed", "interrupted"] {
        assert!(audited.contains(&format!(r#""outcome":"{outcome}""#)), "{audited}");
    }
}

#[tokio::test]
async fn a_dropped_call_has_an_outcome_too() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![(
            "mail",
            FakeServer::with_tools(&["send"]).handling_calls_with(|_, _| Box::pin(std::future::pending())),
        )],
        ..FixtureSetup::default()
    });
    let context = fixture.context();
    {
        let call = fixture.make_call("mail/send", r#"{"name":"send"}"#);
        let mut call = Box::pin(fixture.pipeline.handle_call(call, &context, CallOptions::default()));
        tokio::select! {
            biased;
            reply = &mut call => panic!("{reply:?}"),
            () = wait_until(|| !fixture.received_calls().is_empty()) => {}
        }
    }
    assert!(fixture.audit_events()[1].contains("interrupted"), "{:?}", fixture.audit_events());
}

#[tokio::test]
async fn a_result_that_says_it_is_an_error_is_a_failure_in_the_audit() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![(
            "mail",
            FakeServer::with_tools(&["send"])
                .answering_with(|| Ok(result_answer(r#"{"content":[],"isError":true}"#))),
        )],
        ..FixtureSetup::default()
    });
    assert_eq!(
        reply_text(&handle_tool_call(&fixture, "mail/send", r#"{"name":"send"}"#).await),
        r#"{"content":[],"isError":true}"#
    );
    assert!(fixture.audit_events()[1].contains(r#""outcome":"failed""#), "{:?}", fixture.audit_events());
}

#[tokio::test]
async fn many_who_need_an_offer_ask_the_server_once() {
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", FakeServer::with_tools(&["send"]).gated())],
        ..FixtureSetup::default()
    });
    let server = "mail".parse().unwrap();
    let open = async {
        wait_until(|| fixture.servers.listing_fetches.load(Ordering::SeqCst) > 0).await;
        fixture.open_gate("mail");
    };
    let (one, other, ()) =
        tokio::join!(fixture.pipeline.fetch_listing(&server), fixture.pipeline.fetch_listing(&server), open);
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(fixture.servers.listing_fetches.load(Ordering::SeqCst), 1);
    fixture.pipeline.refresh_listing(&server).await.unwrap();
    assert_eq!(fixture.servers.listing_fetches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_shared_server_is_reached_through_the_daemon_unless_the_call_is_denied() {
    let fixture = Fixture::new(FixtureSetup {
        shared: vec!["far"],
        policies: vec![("far/resources:read", Action::Deny)],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..FixtureSetup::default()
    });
    let reply =
        handle_tool_call(&fixture, "far/remote", r#"{"name":"remote","arguments":{"to":"Ada Lovelace"}}"#)
            .await;
    assert!(reply_text(&reply).contains("John Doe"), "{}", reply_text(&reply));
    let read = fixture.make_call("far/resources:read", r#"{"uri":"a:b"}"#);
    let read = Call { method: Method::ReadResource, ..read };
    let denied = fixture.pipeline.handle_call(read, &fixture.context(), CallOptions::default()).await;
    assert!(matches!(denied, CallReply::Refused(Refusal::Denied(_))), "{denied:?}");
    assert_eq!(fixture.approvals.forwarded.lock().unwrap().len(), 1);
    assert!(fixture.received_calls().is_empty());
}

fn use_limit(count: u32) -> GrantLimits {
    GrantLimits { uses: std::num::NonZeroU32::new(count), ..GrantLimits::default() }
}

fn fixture_that_asks() -> Fixture {
    let part = FakeServer::with_tools(&["send"]);
    let default = Some(Action::RequireApproval);
    Fixture::new(FixtureSetup {
        servers: vec![("mail", part)],
        shared: vec!["far"],
        default,
        ..FixtureSetup::default()
    })
}

#[tokio::test]
async fn of_a_hundred_calls_as_many_run_unasked_as_a_grant_has_uses() {
    let fixture = fixture_that_asks();
    fixture.add_grant(7, use_limit(10));
    fixture.approvals.uses_left.store(10, Ordering::SeqCst);
    let calls = (0..100).map(|_| handle_tool_call(&fixture, "mail/send", r#"{"name":"send"}"#));
    let replies = futures_util::future::join_all(calls).await;
    assert_eq!(replies.iter().filter(|reply| matches!(reply, CallReply::Result(_))).count(), 10);
    assert_eq!(replies.iter().filter(|reply| matches!(reply, CallReply::PendingApproval(_))).count(), 90);
    assert_eq!(fixture.received_calls().len(), 10);
    assert!(
        fixture
            .audit_events()
            .iter()
            .filter(|record| record.contains("intent"))
            .all(|r| r.contains("grant 7"))
    );
}

#[tokio::test]
async fn a_call_that_gets_no_use_of_one_grant_goes_by_another() {
    let fixture = fixture_that_asks();
    fixture.add_grant(7, use_limit(10));
    fixture.add_grant(8, use_limit(10));
    fixture.approvals.exhausted.lock().unwrap().push(7);
    fixture.approvals.uses_left.store(1, Ordering::SeqCst);
    let reply = handle_tool_call(&fixture, "mail/send", r#"{"name":"send"}"#).await;
    assert!(matches!(reply, CallReply::Result(_)), "{reply:?}");
    assert!(fixture.audit_events()[0].contains("grant 8"), "{:?}", fixture.audit_events());
}

#[tokio::test]
async fn only_a_counted_grant_asks_whoever_counts() {
    let fixture = fixture_that_asks();
    fixture.add_grant(7, use_limit(10));
    fixture.add_grant(8, GrantLimits::default());
    let reply = handle_tool_call(&fixture, "mail/send", r#"{"name":"send"}"#).await;
    assert!(matches!(reply, CallReply::Result(_)), "{reply:?}");
    assert!(fixture.approvals.consumed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_deny_or_a_revocation_that_comes_while_a_use_is_consumed_wins() {
    for denied in [true, false] {
        let fixture = fixture_that_asks();
        fixture.add_grant(7, use_limit(10));
        fixture.approvals.uses_left.store(1, Ordering::SeqCst);
        let pipeline = Arc::clone(&fixture.pipeline);
        *fixture.approvals.on_first_use.lock().unwrap() = Some(Box::new(move || {
            let policy = pipeline.policy.load();
            let action = if denied { Action::Deny } else { Action::RequireApproval };
            let files = test_support::make_policy(&[("mail/*", action)], None);
            let mut standing = policy.overrides().clone();
            if !denied {
                standing.grants.clear();
            }
            pipeline.policy.store(Arc::new(files.with_overrides(standing)));
        }));
        let reply = handle_tool_call(&fixture, "mail/send", r#"{"name":"send"}"#).await;
        match denied {
            true => assert!(matches!(reply, CallReply::Refused(Refusal::Denied(_))), "{reply:?}"),
            false => assert!(matches!(reply, CallReply::PendingApproval(_)), "{reply:?}"),
        }
        assert!(fixture.received_calls().is_empty());
        assert_eq!(*fixture.approvals.consumed.lock().unwrap(), [7]);
    }
}

#[tokio::test]
async fn the_use_of_a_call_to_a_shared_server_is_left_to_the_daemon() {
    let fixture = fixture_that_asks();
    fixture.add_grant(7, use_limit(10));
    let reply = handle_tool_call(&fixture, "far/remote", r#"{"name":"remote"}"#).await;
    assert!(matches!(reply, CallReply::Result(_)), "{reply:?}");
    assert_eq!(fixture.approvals.forwarded.lock().unwrap().len(), 1);
    assert!(fixture.approvals.consumed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn own_tools_are_denied_only_by_what_names_them() {
    let broad = [("*", Action::Deny), ("**", Action::Deny), ("*/call", Action::Deny)];
    let fixture = Fixture::new(FixtureSetup {
        policies: broad.to_vec(),
        default: Some(Action::Deny),
        ..FixtureSetup::default()
    });
    let call = "portero/call".parse().unwrap();
    assert_eq!(fixture.pipeline.builtin_denial(&call), None);
    for named in ["portero/call", "portero/*"] {
        fixture.set_policy(&[(named, Action::Deny), ("*", Action::Allow)], None);
        assert!(fixture.pipeline.builtin_denial(&call).is_some(), "{named}");
    }
    for loosening in [Action::Allow, Action::RequireApproval] {
        fixture.set_policy(&[("portero/*", Action::Deny), ("portero/call", loosening)], None);
        assert_eq!(fixture.pipeline.builtin_denial(&call), None, "{loosening}");
    }
}

fn server_with_schema(tool: &str, schema: &str) -> FakeServer {
    let tool = raw_json(&format!(r#"{{"name":"{tool}","inputSchema":{schema}}}"#));
    FakeServer::with_listing(ServerListing { tools: vec![tool], ..ServerListing::default() })
}

#[tokio::test]
async fn no_person_is_asked_about_arguments_that_do_not_fit() {
    const SCHEMA: &str = r#"{"type":"object","properties":{"to":{"enum":["Ada Lovelace","Eve \"the\" Other"]},
        "name":{"type":"string"}},"required":["to"]}"#;
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![
            ("mail", server_with_schema("send", SCHEMA)),
            ("free", server_with_schema("send", SCHEMA)),
        ],
        policies: vec![("mail/*", Action::RequireApproval)],
        replacements: vec![("John Doe", "Ada Lovelace"), ("Mallory", r#"Eve "the" Other"#)],
        ..FixtureSetup::default()
    });
    let refused =
        handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{"to":"Pat"}}"#).await;
    let CallReply::Refused(Refusal::Invalid(why)) = &refused else { panic!("{refused:?}") };
    assert!(why.contains("`/to`: value is not one of") && why.contains("John Doe"), "{why}");
    assert!(!why.contains("Ada") && !why.contains("Eve"), "{why}");
    let missing = handle_tool_call(&fixture, "mail/send", r#"{"name":"send"}"#).await;
    assert!(
        matches!(&missing, CallReply::Refused(Refusal::Invalid(why)) if why.contains("required")),
        "{missing:?}"
    );
    assert!(fixture.approvals.submitted.lock().unwrap().is_empty());
    let audited = fixture.audit_events();
    assert!(audited.len() == 2 && audited.iter().all(|record| record.contains("refused")), "{audited:?}");
    assert!(!audited.concat().contains("Ada") && !audited.concat().contains("Pat"), "{audited:?}");

    // The server sees the real value, which fits.
    let fits =
        handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{"to":"John Doe"}}"#).await;
    assert!(matches!(fits, CallReply::PendingApproval(_)), "{fits:?}");
    // What is allowed is checked by its server alone.
    handle_tool_call(&fixture, "free/send", r#"{"name":"send","arguments":{"to":"Pat"}}"#).await;
    assert_eq!(fixture.received_calls().len(), 1);
}

#[tokio::test]
async fn arguments_that_do_not_fit_consume_no_use_of_a_grant() {
    const SCHEMA: &str = r#"{"type":"object","properties":{"to":{"type":"string"}},"required":["to"]}"#;
    let fixture = Fixture::new(FixtureSetup {
        servers: vec![("mail", server_with_schema("send", SCHEMA))],
        default: Some(Action::RequireApproval),
        ..FixtureSetup::default()
    });
    fixture.add_grant(7, use_limit(1));
    fixture.approvals.uses_left.store(1, Ordering::SeqCst);
    let misfit = fixture.make_call("mail/send", r#"{"name":"send","arguments":{"to":5}}"#);
    let forecast = fixture.pipeline.forecast_call(misfit, &fixture.context(), &CallOptions::default()).await;
    let CallForecast::Refused(Refusal::Invalid(foreseen)) = forecast else { panic!("{forecast:?}") };
    let refused = handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{"to":5}}"#).await;
    let CallReply::Refused(Refusal::Invalid(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("`/to`") && why.contains("no use of its grant was consumed"), "{why}");
    assert_eq!(foreseen, why);
    assert!(fixture.approvals.consumed.lock().unwrap().is_empty());
    assert!(fixture.received_calls().is_empty());

    let ran = handle_tool_call(&fixture, "mail/send", r#"{"name":"send","arguments":{"to":"Pat"}}"#).await;
    assert!(matches!(ran, CallReply::Result(_)), "{ran:?}");
    assert_eq!(*fixture.approvals.consumed.lock().unwrap(), [7]);
}

#[tokio::test]
async fn no_person_is_asked_for_a_server_that_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let setup = |server: FakeServer| FixtureSetup {
        servers: vec![("mail", server)],
        policies: vec![("mail/*", Action::RequireApproval)],
        cache: Some(folder.path().to_owned()),
        ..FixtureSetup::default()
    };
    let before = Fixture::new(setup(FakeServer::with_tools(&["send"])));
    before.pipeline.fetch_listing(&"mail".parse().unwrap()).await.unwrap();
    // It is known from the cache now, and asked for all the same.
    let failure = ServerError::StartFailed("mail".parse().unwrap(), "no such program".into());
    let broken = FakeServer { listing: Err(failure), ..FakeServer::with_tools(&[]) };
    let fixture = Fixture::new(setup(broken));
    let params = r#"{"name":"send","arguments":{}}"#;
    let reply = handle_tool_call(&fixture, "mail/send", params).await;
    assert!(
        matches!(&reply, CallReply::Refused(Refusal::ServerUnavailable(why)) if why.contains("no such program")),
        "{reply:?}"
    );
    assert!(fixture.approvals.submitted.lock().unwrap().is_empty());
}
