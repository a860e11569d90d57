use std::sync::atomic::Ordering;

use super::stage::{Part, Set, Stage, raw, result, wait_until};
use super::*;
use crate::policy::{Action, Limits};

fn text(reply: &Reply) -> &str {
    match reply {
        Reply::Result(json) | Reply::Error(json) => json.get().get(),
        other @ (Reply::Waiting(_) | Reply::Refused(_)) => panic!("{other:?}"),
    }
}

async fn handle(stage: &Stage, tool: &str, params: &str) -> Reply {
    stage.pipeline.handle(stage.call(tool, params), &stage.context(), Follow::default()).await
}

#[tokio::test]
async fn an_allowed_call_is_recorded_revealed_sent_concealed_and_recorded() {
    let stage = Stage::new(Set {
        servers: vec![("mail", Part::with_tools(&["send"]))],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..Set::default()
    });
    let reply = handle(&stage, "mail/send", r#"{"name":"send","arguments":{"to":"John Doe"}}"#).await;
    assert_eq!(stage.heard()[0].params, r#"{"name":"send","arguments":{"to":"Ada Lovelace"}}"#);
    assert!(text(&reply).contains("John Doe") && !text(&reply).contains("Ada"), "{}", text(&reply));
    let audited = stage.audited();
    assert_eq!(audited.len(), 2, "{audited:?}");
    assert!(audited[0].contains("intent") && audited[1].contains(r#""outcome":"done""#), "{audited:?}");
}

#[tokio::test]
async fn equal_calls_are_recognised_in_the_audit_and_their_values_are_not() {
    let stage = Stage::new(Set { servers: vec![("mail", Part::with_tools(&["send"]))], ..Set::default() });
    for (progress, to) in [(1, "Bob"), (2, "Bob"), (3, "Eve")] {
        let meta = format!(r#"{{"progressToken":{progress}}}"#);
        let params = format!(r#"{{"name":"send","arguments":{{"to":"{to}"}},"_meta":{meta}}}"#);
        handle(&stage, "mail/send", &params).await;
    }
    let audited = stage.audited();
    let digests: Vec<_> =
        audited.iter().filter_map(|record| record.split(r#""arguments":"#).nth(1)).collect();
    assert!(digests.len() == 3 && digests[0] == digests[1] && digests[1] != digests[2], "{audited:?}");
    let plain = blake3::hash(br#"{"to":"Bob"}"#).to_hex();
    assert!(!audited.concat().contains(&plain[..32]) && !audited.concat().contains("Bob"), "{audited:?}");
}

#[tokio::test]
async fn a_tool_that_its_server_does_not_list_is_refused() {
    let stage = Stage::new(Set { servers: vec![("mail", Part::with_tools(&["send"]))], ..Set::default() });
    for tool in ["mail/burn", "nobody/send"] {
        let reply = handle(&stage, tool, r#"{"name":"x"}"#).await;
        assert!(matches!(reply, Reply::Refused(Refusal::Unknown(_) | Refusal::Server(_))), "{reply:?}");
    }
    assert!(stage.heard().is_empty());
    assert!(stage.audited().iter().all(|record| record.contains("refused")));
}

#[tokio::test]
async fn an_operation_is_no_tool_even_where_it_is_allowed() {
    let stage = Stage::new(Set {
        servers: vec![("mail", Part::with_tools(&["send"]))],
        policies: vec![("mail/resources:read", Action::Allow)],
        ..Set::default()
    });
    let reply = handle(&stage, "mail/resources:read", r#"{"name":"resources:read"}"#).await;
    assert!(matches!(reply, Reply::Refused(Refusal::Unknown(_))), "{reply:?}");
    assert!(stage.heard().is_empty());
}

#[tokio::test]
async fn a_call_that_nests_too_deeply_for_a_server_is_refused() {
    let stage = Stage::new(Set { servers: vec![("mail", Part::with_tools(&["send"]))], ..Set::default() });
    let nested =
        |depth: usize| format!(r#"{{"name":"send","a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let reply = handle(&stage, "mail/send", &nested(128)).await;
    assert!(matches!(&reply, Reply::Refused(Refusal::Invalid(why)) if why.contains("128")), "{reply:?}");
    assert!(stage.heard().is_empty());
    handle(&stage, "mail/send", &nested(127)).await;
    assert_eq!(stage.heard().len(), 1);
}

#[tokio::test]
async fn duplicate_keys_in_arguments_are_refused() {
    let stage = Stage::new(Set { servers: vec![("mail", Part::with_tools(&["send"]))], ..Set::default() });
    let reply = handle(&stage, "mail/send", r#"{"name":"send","arguments":{"a":{"to":1,"to":2}}}"#).await;
    assert!(matches!(&reply, Reply::Refused(Refusal::Invalid(why)) if why.contains("to")), "{reply:?}");
    assert!(stage.heard().is_empty());
}

#[tokio::test]
async fn an_agent_cannot_fill_the_audit_with_its_words() {
    let stage = Stage::new(Set { servers: vec![("mail", Part::with_tools(&["send"]))], ..Set::default() });
    let key = "x".repeat(100_000);
    handle(&stage, "mail/send", &format!(r#"{{"name":"send","{key}":1,"{key}":2}}"#)).await;
    assert!(stage.audited()[0].len() < 1_000);
}

#[tokio::test]
async fn a_fake_in_a_tools_name_does_not_turn_it_into_another_tool() {
    let stage = Stage::new(Set {
        servers: vec![("mail", Part::with_tools(&["list_sample", "list_secret"]))],
        policies: vec![("mail/list_secret", Action::Deny)],
        replacements: vec![("sample", "secret")],
        ..Set::default()
    });
    handle(&stage, "mail/list_sample", r#"{"name":"list_sample","arguments":{"of":"sample"}}"#).await;
    assert_eq!(stage.heard()[0].params, r#"{"name":"list_sample","arguments":{"of":"secret"}}"#);
}

#[tokio::test]
async fn duplicate_keys_in_meta_are_refused() {
    let stage = Stage::new(Set { servers: vec![("mail", Part::with_tools(&["send"]))], ..Set::default() });
    let plain = stage.call("mail/send", r#"{"name":"send"}"#);
    let meta = stage.pipeline.anonymizer.load().conceal_own(raw(r#"{"to":"a","t\u006f":"b"}"#)).ok();
    let reply = stage.pipeline.handle(Call { meta, ..plain }, &stage.context(), Follow::default()).await;
    assert!(matches!(&reply, Reply::Refused(Refusal::Invalid(why)) if why.contains("_meta")), "{reply:?}");
    assert!(stage.heard().is_empty());
}

#[tokio::test]
async fn what_is_denied_does_not_run_and_what_must_be_asked_is_submitted_concealed() {
    let stage = Stage::new(Set {
        servers: vec![("mail", Part::with_tools(&["send", "drop"]))],
        policies: vec![("mail/drop", Action::Deny), ("mail/send", Action::RequireApproval)],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..Set::default()
    });
    let denied = handle(&stage, "mail/drop", r#"{"name":"drop"}"#).await;
    assert!(matches!(denied, Reply::Refused(Refusal::Denied(_))), "{denied:?}");
    let asked = handle(&stage, "mail/send", r#"{"name":"send","arguments":{"to":"Ada Lovelace"}}"#).await;
    assert!(matches!(asked, Reply::Waiting(_)), "{asked:?}");
    assert!(stage.heard().is_empty());
    assert!(stage.window.submitted.lock().unwrap()[0].params.get().get().contains("John Doe"));
    stage.window.closed.store(true, Ordering::SeqCst);
    let closed = handle(&stage, "mail/send", r#"{"name":"send"}"#).await;
    assert!(matches!(closed, Reply::Refused(Refusal::NoDesk(_))), "{closed:?}");
}

#[tokio::test]
async fn errors_of_servers_are_concealed_and_say_whose_fault_it_is() {
    let stage = Stage::new(Set {
        servers: vec![
            (
                "a",
                Part::with_tools(&["x"]).answering(|| {
                    Ok(Answer::Error(Real::from_server(raw(
                        r#"{"code":-32000,"message":"no mail for Ada Lovelace","data":{"Ada Lovelace":1}}"#,
                    ))))
                }),
            ),
            ("b", Part::with_tools(&["x"]).answering(|| Err(ServerError::Gone("b".parse().unwrap())))),
            (
                "c",
                Part::with_tools(&["x"]).answering(|| {
                    Err(ServerError::Start("c".parse().unwrap(), "Ada Lovelace is ill".into()))
                }),
            ),
        ],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..Set::default()
    });
    let reply = handle(&stage, "a/x", r#"{"name":"x"}"#).await;
    assert_eq!(text(&reply), r#"{"code":-32000,"message":"no mail for John Doe","data":{"John Doe":1}}"#);
    let reply = handle(&stage, "b/x", r#"{"name":"x"}"#).await;
    assert!(
        matches!(&reply, Reply::Refused(Refusal::Interrupted(why)) if why.contains("`b`") && why.contains("unknown")),
        "{reply:?}"
    );
    let reply = handle(&stage, "c/x", r#"{"name":"x"}"#).await;
    assert!(matches!(&reply, Reply::Refused(Refusal::Server(why)) if why.contains("John Doe")), "{reply:?}");
    let audited = stage.audited().join("\n");
    assert!(!audited.contains("Ada"), "{audited}");
    for outcome in ["failed", "interrupted"] {
        assert!(audited.contains(&format!(r#""outcome":"{outcome}""#)), "{audited}");
    }
}

#[tokio::test]
async fn a_dropped_call_has_an_outcome_too() {
    let stage = Stage::new(Set {
        servers: vec![("mail", Part::with_tools(&["send"]).acting(|_, _| Box::pin(std::future::pending())))],
        ..Set::default()
    });
    let context = stage.context();
    {
        let call = stage.call("mail/send", r#"{"name":"send"}"#);
        let mut call = Box::pin(stage.pipeline.handle(call, &context, Follow::default()));
        tokio::select! {
            biased;
            reply = &mut call => panic!("{reply:?}"),
            () = wait_until(|| !stage.heard().is_empty()) => {}
        }
    }
    assert!(stage.audited()[1].contains("interrupted"), "{:?}", stage.audited());
}

#[tokio::test]
async fn a_result_that_says_it_is_an_error_is_a_failure_in_the_audit() {
    let stage = Stage::new(Set {
        servers: vec![(
            "mail",
            Part::with_tools(&["send"]).answering(|| Ok(result(r#"{"content":[],"isError":true}"#))),
        )],
        ..Set::default()
    });
    assert_eq!(
        text(&handle(&stage, "mail/send", r#"{"name":"send"}"#).await),
        r#"{"content":[],"isError":true}"#
    );
    assert!(stage.audited()[1].contains(r#""outcome":"failed""#), "{:?}", stage.audited());
}

#[tokio::test]
async fn many_who_need_an_offer_ask_the_server_once() {
    let stage =
        Stage::new(Set { servers: vec![("mail", Part::with_tools(&["send"]).slow())], ..Set::default() });
    let server = "mail".parse().unwrap();
    let open = async {
        wait_until(|| stage.actors.offers.load(Ordering::SeqCst) > 0).await;
        stage.open("mail");
    };
    let (one, other, ()) = tokio::join!(stage.pipeline.fetch(&server), stage.pipeline.fetch(&server), open);
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(stage.actors.offers.load(Ordering::SeqCst), 1);
    stage.pipeline.refresh(&server).await.unwrap();
    assert_eq!(stage.actors.offers.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_shared_server_is_reached_through_the_daemon_unless_the_call_is_denied() {
    let stage = Stage::new(Set {
        shared: vec!["far"],
        policies: vec![("far/resources:read", Action::Deny)],
        replacements: vec![("John Doe", "Ada Lovelace")],
        ..Set::default()
    });
    let reply = handle(&stage, "far/remote", r#"{"name":"remote","arguments":{"to":"Ada Lovelace"}}"#).await;
    assert!(text(&reply).contains("John Doe"), "{}", text(&reply));
    let read = stage.call("far/resources:read", r#"{"uri":"a:b"}"#);
    let read = Call { method: Method::ReadResource, ..read };
    let denied = stage.pipeline.handle(read, &stage.context(), Follow::default()).await;
    assert!(matches!(denied, Reply::Refused(Refusal::Denied(_))), "{denied:?}");
    assert_eq!(stage.window.forwarded.lock().unwrap().len(), 1);
    assert!(stage.heard().is_empty());
}

fn uses(count: u32) -> Limits {
    Limits { uses: std::num::NonZeroU32::new(count), ..Limits::default() }
}

fn asking() -> Stage {
    let part = Part::with_tools(&["send"]);
    let default = Some(Action::RequireApproval);
    Stage::new(Set { servers: vec![("mail", part)], shared: vec!["far"], default, ..Set::default() })
}

#[tokio::test]
async fn of_a_hundred_calls_as_many_run_unasked_as_a_grant_has_uses() {
    let stage = asking();
    stage.grant(7, uses(10));
    stage.window.uses.store(10, Ordering::SeqCst);
    let calls = (0..100).map(|_| handle(&stage, "mail/send", r#"{"name":"send"}"#));
    let replies = futures_util::future::join_all(calls).await;
    assert_eq!(replies.iter().filter(|reply| matches!(reply, Reply::Result(_))).count(), 10);
    assert_eq!(replies.iter().filter(|reply| matches!(reply, Reply::Waiting(_))).count(), 90);
    assert_eq!(stage.heard().len(), 10);
    assert!(stage.audited().iter().filter(|record| record.contains("intent")).all(|r| r.contains("grant 7")));
}

#[tokio::test]
async fn a_call_that_gets_no_use_of_one_grant_goes_by_another() {
    let stage = asking();
    stage.grant(7, uses(10));
    stage.grant(8, uses(10));
    stage.window.spent.lock().unwrap().push(7);
    stage.window.uses.store(1, Ordering::SeqCst);
    let reply = handle(&stage, "mail/send", r#"{"name":"send"}"#).await;
    assert!(matches!(reply, Reply::Result(_)), "{reply:?}");
    assert!(stage.audited()[0].contains("grant 8"), "{:?}", stage.audited());
}

#[tokio::test]
async fn only_a_counted_grant_asks_whoever_counts() {
    let stage = asking();
    stage.grant(7, uses(10));
    stage.grant(8, Limits::default());
    let reply = handle(&stage, "mail/send", r#"{"name":"send"}"#).await;
    assert!(matches!(reply, Reply::Result(_)), "{reply:?}");
    assert!(stage.window.consumed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_deny_or_a_revocation_that_comes_while_a_use_is_consumed_wins() {
    for denied in [true, false] {
        let stage = asking();
        stage.grant(7, uses(10));
        stage.window.uses.store(1, Ordering::SeqCst);
        let pipeline = Arc::clone(&stage.pipeline);
        *stage.window.meanwhile.lock().unwrap() = Some(Box::new(move || {
            let policy = pipeline.policy.load();
            let action = if denied { Action::Deny } else { Action::RequireApproval };
            let files = stage::policy(&[("mail/*", action)], None);
            let mut standing = policy.standing().clone();
            if !denied {
                standing.grants.clear();
            }
            pipeline.policy.store(Arc::new(files.with_standing(standing)));
        }));
        let reply = handle(&stage, "mail/send", r#"{"name":"send"}"#).await;
        match denied {
            true => assert!(matches!(reply, Reply::Refused(Refusal::Denied(_))), "{reply:?}"),
            false => assert!(matches!(reply, Reply::Waiting(_)), "{reply:?}"),
        }
        assert!(stage.heard().is_empty());
        assert_eq!(*stage.window.consumed.lock().unwrap(), [7]);
    }
}

#[tokio::test]
async fn the_use_of_a_call_to_a_shared_server_is_left_to_the_daemon() {
    let stage = asking();
    stage.grant(7, uses(10));
    let reply = handle(&stage, "far/remote", r#"{"name":"remote"}"#).await;
    assert!(matches!(reply, Reply::Result(_)), "{reply:?}");
    assert_eq!(stage.window.forwarded.lock().unwrap().len(), 1);
    assert!(stage.window.consumed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn own_tools_are_denied_only_by_what_names_them() {
    let broad = [("*", Action::Deny), ("**", Action::Deny), ("*/call", Action::Deny)];
    let stage = Stage::new(Set { policies: broad.to_vec(), default: Some(Action::Deny), ..Set::default() });
    let call = "portero/call".parse().unwrap();
    assert_eq!(stage.pipeline.own_denied(&call), None);
    for named in ["portero/call", "portero/*"] {
        stage.set_policy(&[(named, Action::Deny), ("*", Action::Allow)], None);
        assert!(stage.pipeline.own_denied(&call).is_some(), "{named}");
    }
    stage.set_policy(&[("portero/*", Action::Deny), ("portero/call", Action::Allow)], None);
    assert_eq!(stage.pipeline.own_denied(&call), None);
}
