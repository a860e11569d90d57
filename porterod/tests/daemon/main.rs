//! The daemon in process, over its real socket, with real children.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bindings;
mod clients;
mod configuration;
mod edits;
mod fake_server;
mod grants;
mod handover;
mod https;
mod https_access;
#[cfg(target_os = "linux")]
mod keyring;
mod logins;
mod mcp_http;
mod odd_files;
mod requests;
mod runnable_check;
mod scopes;
mod secrets;
mod several;
mod shared;
#[cfg(target_os = "linux")]
mod stand_in_keyring;
mod stuck;
mod support;
mod tokens;
mod totp;
mod watch;

use std::time::Duration;

use portero::audit::{self, AuditEvent, RecordFilter};
use portero::ipc::requests::approvals::{ApproveTask, AskAgain, GetTask, ListTasks, RejectTask};
use portero::ipc::requests::audit::ListCheckpoints;
use portero::ipc::requests::auth::SetPassphrase;
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::daemon::{GetStatus, StopDaemon};
use portero::ipc::requests::overrides::{
    CreateGrant, CreateRule, Pause, PreviewChange, RemoveRule, Resume, RevokeGrants,
};
use portero::ipc::requests::sessions::{
    CancelTask, CheckTask, ForwardCall, GetServerListing, ListOwnTasks, ReportCheckpoint, SubscribeOverrides,
};
use portero::ipc::{
    Act, Challenge, ConnectError, FailureKind, ForwardedCall, Hello, IpcClient, PROTOCOL_VERSION, PeerRole,
    PushMessage,
};
use portero::names::{Actor, TaskId};
use portero::policy::{Action, GrantLimits};
use portero::store_identity::Nonce;
use portero::task::TaskState;
use porterod::app::App;
use support::*;

#[tokio::test]
async fn what_a_person_approves_runs_once_and_its_result_is_fetched() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);

    let task = session.submit("notes/send", "to John Doe").await.unwrap();
    assert_eq!(task.state, TaskState::PendingApproval);
    assert!(home.record("notes").is_empty(), "nothing runs before a person said yes");

    assert!(person.approve(&task).await.is_ok());
    let done = session.finished(&task).await;
    assert_eq!(done.state, TaskState::Completed);
    assert!(done.result.unwrap().get().get().contains("to John Doe"), "the agent sees the fake");
    session.wait_for_push(|push| is_settled(push, &task, TaskState::Completed)).await;

    assert!(is_kind(&person.approve(&task).await, FailureKind::Refused), "a second yes does nothing");
    let got = home.record("notes");
    assert_eq!(got.len(), 1);
    assert_eq!(got[0]["params"]["arguments"]["text"], "to Jane Roe", "the server gets the real value");
    app.shutdown().await;
}

#[tokio::test]
async fn a_real_value_that_reaches_the_socket_is_not_stored() {
    let home = Home::new();
    let app = home.start().await;
    let session = home.session("project").await;
    let task = session.submit("notes/send", "to Jane Roe").await.unwrap();
    let stored = task.call.params.get().get();
    assert!(stored.contains("John Doe") && !stored.contains("Jane Roe"), "{stored}");
    app.shutdown().await;
}

#[tokio::test]
async fn what_was_stored_is_shown_by_the_rules_of_today() {
    let home = Home::new();
    let app = home.start().await;
    let session = home.session("project").await;
    let task = session.submit("notes/send", "to Erika Mustermann").await.unwrap();
    let replacement =
        serde_json::json!({"fake": "Max Sample", "real": "Erika Mustermann", "bidirectional": true});
    home.write("replacements.json", &serde_json::json!({"replacements": [replacement]}));
    let terminal = home.terminal().await;
    let shows = async || format!("{:?}", terminal.request(GetTask { task: task.id }).await.unwrap());
    wait_until("the new rule conceals", async || shows().await.contains("Max Sample")).await;
    let list = ListTasks { state: None, after: None, limit: 9 };
    let listed = format!("{:?}", terminal.request(list).await.unwrap());
    let seen = session.request(CheckTask { task: task.id, wait_millis: 0 }).await.unwrap();
    for shown in [shows().await, listed, format!("{seen:?}")] {
        assert!(!shown.contains("Mustermann"), "{shown}");
    }
    app.shutdown().await;
}

#[tokio::test]
async fn nothing_is_widened_without_the_passphrase() {
    let home = Home::new();
    let app = home.start().await;
    let (terminal, session) = (home.terminal().await, home.session("project").await);
    let task = session.submit("notes/send", "x").await.unwrap();
    assert!(is_kind(&terminal.approve(&task).await, FailureKind::Challenge), "none is set");

    let person = home.terminal_with_passphrase().await;
    let wrong = || Challenge::new("guessed, and wrong");
    let minute = 60_000;
    let pattern = || "notes/send".parse().unwrap();
    let limits = GrantLimits::default();
    for request in [
        AnyRequest::of(ApproveTask { task: task.id, fresh: false, challenge: wrong() }),
        AnyRequest::of(CreateGrant {
            pattern: pattern(),
            millis: minute,
            limits,
            run_waiting: Vec::new(),
            challenge: wrong(),
        }),
        AnyRequest::of(CreateRule {
            pattern: pattern(),
            action: Action::Allow,
            run_waiting: Vec::new(),
            challenge: None,
        }),
    ] {
        let act = request.words.clone();
        assert!(is_kind(&request.send(&person.0).await, FailureKind::Challenge), "{act}");
    }
    let Ok(rule) = person.rule("notes/*", Action::Deny).await else { panic!("denied at once") };
    let unrule = RemoveRule { id: rule.id, challenge: None };
    assert!(is_kind(&person.request(unrule).await, FailureKind::Challenge));
    let other = SetPassphrase { old: None, new: wrong() };
    assert!(is_kind(&person.request(other).await, FailureKind::Challenge), "changed only with the old one");
    assert!(home.record("notes").is_empty());

    let Ok(status) = person.request(GetStatus).await else { panic!("status") };
    let (_, by) = status.passphrase.unwrap();
    assert!(by.contains(&std::process::id().to_string()), "the process that set it is told: {by}");
    app.shutdown().await;
}

#[tokio::test]
async fn every_act_and_every_refused_attempt_is_written_down() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "x").await.unwrap();
    let wrong = Challenge::new("guessed, and wrong");
    let _ = person.request(ApproveTask { task: task.id, fresh: false, challenge: wrong }).await;
    let _ = session.request(ApproveTask { task: task.id, fresh: false, challenge: challenge() }).await;
    person.approve(&task).await.unwrap();
    let _ = person.approve(&task).await;
    let _ = person.grant("notes/send", Duration::from_secs(25 * 3600)).await;
    person.grant("notes/send", Duration::from_secs(60)).await.unwrap();
    let _ = person.request(RevokeGrants { which: portero::ipc::GrantSelection::Ids(vec![99]) }).await;
    person.request(RevokeGrants { which: portero::ipc::GrantSelection::All }).await.unwrap();
    let Ok(rule) = person.rule("notes/*", Action::Deny).await else { panic!("denied") };
    let _ = person.request(RemoveRule { id: rule.id, challenge: None }).await;
    person.request(StopDaemon).await.unwrap();
    app.shutdown().await;

    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let acts: Vec<_> = log
        .entries
        .iter()
        .filter_map(|entry| match &entry.record.event {
            AuditEvent::Act { act, done, process, .. } => {
                assert!(process.is_some(), "{act} of nobody");
                Some((act.as_str(), *done))
            }
            _ => None,
        })
        .collect();
    let expected = [
        ("passphrase set", true),
        ("config seal", true),
        ("pin", true),
        ("approve", false),
        ("approve", false),
        ("approve", false),
        ("grant", false),
        ("grant", true),
        ("revoke", false),
        ("revoke", true),
        ("deny", true),
        ("unrule", false),
        ("daemon stop", true),
    ];
    assert_eq!(acts, expected);
}

#[tokio::test]
async fn a_deny_is_in_force_in_every_session_when_its_command_returns() {
    let home = Home::new();
    let app = home.start().await;
    let (person, one, two) =
        (home.terminal().await, home.session("project").await, home.session("other").await);
    person.rule("notes/send", Action::Deny).await.unwrap();
    for session in [&one, &two] {
        assert_eq!(session.standing.borrow().rules.len(), 1);
    }
    let refused = one.submit("notes/send", "x").await;
    assert!(is_kind(&refused, FailureKind::Refused), "{refused:?}");
    let denies =
        portero::policy::offline_denies::read(&home.paths().offline_denies(), &home.paths().store()).unwrap();
    assert_eq!(denies.rules.len(), 1, "sessions without the daemon know it too");
    app.shutdown().await;
}

#[tokio::test]
async fn a_session_that_does_not_confirm_loses_its_connection() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal().await;
    let (deaf, _pushes) = home.silent_session("project").await;
    deaf.request(SubscribeOverrides).await.unwrap();
    let hearing = home.session("other").await;
    person.rule("notes/send", Action::Deny).await.unwrap();
    tokio::time::timeout(TEST_TIMEOUT, deaf.wait_until_closed()).await.unwrap();
    assert!(!hearing.client.is_closed());
    app.shutdown().await;
}

#[tokio::test]
async fn a_grant_ends_by_itself_and_by_revoke() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let action = async || person.why("notes/send").await.decision.action;
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);

    person.grant("notes/send", minutes(10)).await.unwrap();
    assert_eq!(action().await, Action::Allow);
    assert_eq!(session.standing.borrow().grants.len(), 1);
    home.clock.advance(minutes(9));
    assert_eq!(action().await, Action::Allow);
    home.clock.advance(minutes(2));
    assert_eq!(action().await, Action::RequireApproval);

    person.grant("notes/send", minutes(10)).await.unwrap();
    let revoked = person.request(RevokeGrants { which: portero::ipc::GrantSelection::All }).await;
    assert!(matches!(revoked, Ok(1)), "{revoked:?}");
    assert_eq!(action().await, Action::RequireApproval);
    assert!(session.standing.borrow().grants.is_empty());
    app.shutdown().await;
}

#[tokio::test]
async fn a_grant_longer_than_the_limit_is_refused_with_the_limit() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let refused = person.grant("notes/send", Duration::from_secs(25 * 3600)).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.message.contains("at most"), "{refused}");
    app.shutdown().await;
}

#[tokio::test]
async fn only_its_principal_sees_a_task() {
    let home = Home::new();
    let app = home.start().await;
    let (owner, other) = (home.session("project").await, home.session("other").await);
    let task = owner.submit("notes/send", "x").await.unwrap();
    let check = CheckTask { task: task.id, wait_millis: 0 };
    assert!(is_kind(&other.request(check.clone()).await, FailureKind::NotFound));
    assert!(is_kind(&other.request(CancelTask { task: task.id }).await, FailureKind::NotFound));
    let list = ListOwnTasks { state: None, limit: 10 };
    assert!(matches!(other.request(list.clone()).await, Ok(tasks) if tasks.is_empty()));

    let later = home.session("project").await;
    assert_eq!(later.request(check).await.unwrap().id, task.id, "a later session of the project does");
    assert!(matches!(later.request(list).await, Ok(tasks) if tasks.len() == 1));
    let cancelled = later.request(CancelTask { task: task.id }).await.unwrap();
    assert_eq!(cancelled.state, TaskState::Cancelled);
    app.shutdown().await;
}

#[tokio::test]
async fn a_rejected_task_does_not_run_and_says_why() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "x").await.unwrap();
    let reason = Some("Jane Roe is away".to_owned());
    person.request(RejectTask { task: task.id, reason, for_now: false }).await.unwrap();
    let task = session.finished(&task).await;
    assert_eq!(task.state, TaskState::Denied);
    assert_eq!(task.note.as_ref().unwrap().get(), "John Doe is away");
    assert!(is_kind(&person.approve(&task).await, FailureKind::Refused));
    assert!(home.record("notes").is_empty());
    let again = session.submit("notes/send", "x").await.unwrap_err();
    assert_eq!(again.kind, FailureKind::Refused);
    assert!(again.message.contains("without asking them again"), "{again}");
    let task = session.submit("notes/send", "y").await.unwrap();
    person.request(RejectTask { task: task.id, reason: None, for_now: true }).await.unwrap();
    assert!(session.submit("notes/send", "y").await.is_ok(), "the person let it ask again");
    app.shutdown().await;
}

#[tokio::test]
async fn a_call_that_policy_denies_opens_no_task() {
    let home = Home::new();
    let app = home.start().await;
    let session = home.session("project").await;
    for (tool, kind) in [
        ("notes/erase", FailureKind::Refused),
        ("notes/unlisted", FailureKind::NotFound),
        ("nobody/send", FailureKind::NotFound),
    ] {
        let refused = session.submit(tool, "x").await;
        assert!(is_kind(&refused, kind), "{tool}: {refused:?}");
    }
    let list = ListOwnTasks { state: None, limit: 10 };
    assert!(matches!(session.request(list).await, Ok(tasks) if tasks.is_empty()));
    app.shutdown().await;
}

#[tokio::test]
async fn sessions_share_one_process_of_a_shared_server() {
    let home = Home::new();
    let app = home.start().await;
    let (one, two) = (home.session("project").await, home.session("other").await);
    for session in [&one, &two] {
        let (call, client) = call("common/read", "John Doe");
        let reply = session.request(ForwardCall { call, client, progress: false, log_level: None }).await;
        let Ok(ForwardedCall::Result(result)) = reply else { panic!("{reply:?}") };
        assert!(result.get().get().contains("John Doe"));
    }
    let got = home.record("common");
    assert_eq!(got.len(), 2);
    assert_eq!(got[0]["pid"], got[1]["pid"]);
    assert_eq!(got[0]["params"]["arguments"]["text"], "Jane Roe");
    let listing = one.request(GetServerListing { server: "common".parse().unwrap() }).await;
    assert!(matches!(listing, Ok(offer) if offer.get().contains("\"send\"")));
    app.shutdown().await;
}

#[tokio::test]
async fn policy_holds_for_forwarded_calls_too() {
    let home = Home::new();
    let app = home.start().await;
    let session = home.session("project").await;
    let forward = async |tool: &str| {
        let (call, client) = call(tool, "x");
        session.request(ForwardCall { call, client, progress: false, log_level: None }).await
    };
    assert!(is_kind(&forward("common/erase").await, FailureKind::Refused));
    assert!(matches!(forward("common/send").await, Ok(ForwardedCall::Waiting(_))));
    assert!(is_kind(&forward("notes/read").await, FailureKind::NotFound), "it is not shared");
    assert!(home.record("common").is_empty());
    app.shutdown().await;
}

#[tokio::test]
async fn progress_of_a_forwarded_call_is_concealed_and_a_withdrawn_one_is_cancelled() {
    let home = Home::new();
    let app = home.start().await;
    let session = home.session("project").await;
    let (seen, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let sink: portero::ipc::ForwardProgressSink =
        std::sync::Arc::new(move |params| drop(seen.send(params.get().get().to_owned())));
    let (call, client) = call("common/wait", "x");
    let ask = ForwardCall { call, client, progress: true, log_level: None };
    let asking = {
        let client = session.client.clone();
        tokio::spawn(async move { client.forward(&ask, Some(sink)).await.is_ok() })
    };
    let params = tokio::time::timeout(TEST_TIMEOUT, progress.recv()).await.unwrap().unwrap();
    assert!(params.contains("John Doe") && !params.contains("Jane Roe"), "{params}");
    asking.abort();
    let person = home.terminal().await;
    wait_until("the call is recorded as taken back", async || {
        let Ok(status) = person.request(GetStatus).await else { panic!("status") };
        status.counts.failed == 1
    })
    .await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_changed_policy_is_read_and_a_broken_one_is_not() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal().await, home.session("project").await);
    let action = async || person.why("notes/send").await.decision.action;
    assert_eq!(action().await, Action::RequireApproval);

    home.write_policies("deny");
    session.wait_for_push(|push| matches!(push, PushMessage::Config { .. })).await;
    assert_eq!(action().await, Action::Deny);

    home.write_policies("alow");
    let problems = async || match person.request(GetStatus).await {
        Ok(status) => status.config_problems,
        other => panic!("{other:?}"),
    };
    wait_until("status shows the problem", async || !problems().await.is_empty()).await;
    assert!(problems().await[0].starts_with("policies.json:"), "{:?}", problems().await);
    assert_eq!(action().await, Action::Deny, "the last valid policy stays");

    home.write_policies("allow");
    session.wait_for_push(|push| matches!(push, PushMessage::Config { .. })).await;
    assert_eq!(action().await, Action::Allow);
    assert!(problems().await.is_empty());
    app.shutdown().await;
}

#[tokio::test]
async fn each_side_is_refused_what_the_other_may_ask() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let task = TaskId::fresh();
    for request in [
        AnyRequest::of(GetStatus),
        AnyRequest::of(GetConfigChanges),
        AnyRequest::of(ConfirmConfig { shown: String::new(), challenge: challenge() }),
        AnyRequest::of(ApproveTask { task, fresh: false, challenge: challenge() }),
        AnyRequest::of(GetTask { task }),
        AnyRequest::of(RejectTask { task, reason: None, for_now: false }),
        AnyRequest::of(StopDaemon),
    ] {
        let words = request.words.clone();
        let refused = request.send(&session.client).await.expect_err(&words);
        let told = (refused.kind, refused.message.as_str());
        assert_eq!(told, (FailureKind::Invalid, "only a person's terminal may request this"), "{words}");
    }
    for request in [
        AnyRequest::of(SubscribeOverrides),
        AnyRequest::of(CancelTask { task }),
        AnyRequest::of(CheckTask { task, wait_millis: 0 }),
    ] {
        let words = request.words.clone();
        let refused = request.send(&person.0).await.expect_err(&words);
        let told = (refused.kind, refused.message.as_str());
        assert_eq!(told, (FailureKind::Invalid, "only an agent's session may request this"), "{words}");
    }
    app.shutdown().await;

    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let tried = log.entries.iter().filter_map(|entry| match &entry.record.event {
        AuditEvent::Act { act, process: Some(Actor::Session { .. }), done: false, .. } => Some(act.as_str()),
        _ => None,
    });
    assert_eq!(
        tried.collect::<Vec<_>>(),
        ["config confirm", "approve", "reject", "daemon stop"],
        "each act that was tried"
    );
}

#[tokio::test]
async fn what_a_pattern_would_widen_is_told_denied_ones_first() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    session.submit("notes/send", "x").await.unwrap();
    let Ok(reach) = person.request(PreviewChange { act: Act::Allow("notes/*".parse().unwrap()) }).await
    else {
        panic!("reach")
    };
    let named: Vec<_> = reach.iter().map(|(tool, action)| (tool.to_string(), *action)).collect();
    assert_eq!(named[0], ("notes/erase".to_owned(), Action::Deny));
    assert!(named.contains(&("notes/send".to_owned(), Action::RequireApproval)));
    assert!(!named.iter().any(|(tool, _)| tool == "notes/read"), "what is allowed does not change");
    app.shutdown().await;
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_stop_makes_room() {
    let home = Home::new();
    let first = home.start().await;
    let second = App::start(home.app_deps()).await;
    assert!(is_kind(&second.map(drop), FailureKind::Refused));
    let person = home.terminal().await;
    person.request(StopDaemon).await.unwrap();
    tokio::time::timeout(TEST_TIMEOUT, first.wait_for_stop()).await.unwrap();
    first.shutdown().await;
    assert!(!is_there(&home.paths().socket()));
    home.start().await.shutdown().await;
}

#[tokio::test]
async fn another_configuration_is_sent_away_with_advice() {
    let home = Home::new();
    let app = home.start().await;
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        build: "test".to_owned(),
        config: home.path_of("other"),
        peer: PeerRole::Terminal,
        nonce: Nonce::default(),
    };
    let refused = IpcClient::connect(&home.paths().socket(), hello, None).await.map(drop);
    let Err(ConnectError::Refused { failure, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(failure.kind, FailureKind::Configuration);
    assert!(failure.hint.unwrap().contains("daemon stop"));
    app.shutdown().await;
}

#[tokio::test]
async fn rules_tasks_and_passphrase_outlive_the_daemon() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "x").await.unwrap();
    person.rule("common/*", Action::Deny).await.unwrap();
    app.shutdown().await;
    assert!(session.client.is_closed());

    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    assert_eq!(session.standing.borrow().rules.len(), 1);
    person.approve(&task).await.unwrap();
    assert_eq!(session.finished(&task).await.state, TaskState::Completed);
    assert_eq!(home.record("notes").len(), 1);
    app.shutdown().await;
}

#[tokio::test]
async fn a_configuration_with_errors_starts_nothing() {
    let home = Home::new();
    home.write_policies("alow");
    let refused = App::start(home.app_deps()).await.map(drop);
    assert!(is_kind(&refused, FailureKind::Configuration), "{refused:?}");
    home.write_policies("allow");
    home.start().await.shutdown().await;
}

#[tokio::test]
async fn how_far_a_sessions_audit_has_come_is_known_and_told_to_a_terminal_only() {
    let home = Home::new();
    let app = home.start().await;
    let (terminal, session) = (home.terminal().await, home.session("project").await);
    let segment =
        audit::AuditWriter::open(&home.paths().audit(), "a session", home.app_deps().clock.now()).unwrap();
    let head = segment.checkpoint();
    assert!(session.request(ReportCheckpoint(head.clone())).await.is_ok());
    let Ok(heads) = terminal.request(ListCheckpoints).await else { panic!("heads") };
    assert!(heads.contains(&head) && heads.len() == 2, "the daemon's own too: {heads:?}");
    assert!(is_kind(&session.request(ListCheckpoints).await, FailureKind::Invalid));
    let elsewhere = audit::SegmentCheckpoint { segment: "../x.jsonl".to_owned(), ..head };
    assert!(is_kind(&session.request(ReportCheckpoint(elsewhere)).await, FailureKind::Refused));
    app.shutdown().await;
    let ended = home.start().await;
    let Ok(heads) = home.terminal().await.request(ListCheckpoints).await else { panic!("heads") };
    assert_eq!(heads.len(), 3);
    assert!(audit::verify_with_checkpoints(&home.paths().audit(), &heads).unwrap().is_intact());
    ended.shutdown().await;
}

#[tokio::test]
async fn a_pause_is_in_force_in_every_session_before_its_command_returns() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let waiting = session.submit("notes/send", "waits").await.unwrap();
    let paused = person.request(Pause).await.unwrap();
    let since = session.standing.borrow().paused.expect("the session follows");
    assert_eq!(paused.paused, Some(since));

    let refused = session.submit("notes/send", "new").await.unwrap_err();
    assert!(refused.message.starts_with("paused by a person since"), "{refused}");
    let (call, client) = call("common/read", "x");
    let forward = ForwardCall { call, client, progress: false, log_level: None };
    assert!(is_kind(&session.request(forward).await, FailureKind::Refused));
    assert_eq!(person.why("notes/read").await.decision.action, Action::Deny);
    // Portero's own answers, and what waits, stay.
    let seen =
        session.request(CheckTask { task: waiting.id, wait_millis: 0 }).await.map(|task| *task).unwrap();
    assert_eq!(seen.state, TaskState::PendingApproval);

    for challenge in [Challenge::default(), Challenge::new("guessed, and wrong")] {
        assert!(is_kind(&person.request(Resume { challenge }).await, FailureKind::Challenge));
    }
    assert!(is_kind(&session.request(Resume { challenge: challenge() }).await, FailureKind::Invalid));
    assert!(is_kind(&session.request(Pause).await, FailureKind::Invalid), "an agent's session pauses nobody");
    app.shutdown().await;

    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    assert_eq!(session.standing.borrow().paused, Some(since), "a restart does not end it");
    assert!(person.approve(&waiting).await.is_ok());
    assert!(home.record("notes").is_empty());
    person.request(Resume { challenge: challenge() }).await.unwrap();
    assert_eq!(session.standing.borrow().paused, None);
    assert_eq!(session.finished(&waiting).await.state, TaskState::Completed);
    assert_eq!(home.record("notes").len(), 1);

    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let acts: Vec<_> = log
        .entries
        .into_iter()
        .filter_map(|entry| match entry.record.event {
            AuditEvent::Act { act, done, .. } if act == "pause" || act == "resume" => Some((act, done)),
            _ => None,
        })
        .collect();
    let act = |act: &str, done| (act.to_owned(), done);
    assert!(acts.contains(&act("pause", true)) && acts.contains(&act("resume", true)), "{acts:?}");
    assert!(acts.contains(&act("resume", false)) && acts.contains(&act("pause", false)), "{acts:?}");
    app.shutdown().await;
}

#[tokio::test]
async fn whoever_has_a_shell_and_no_passphrase_cannot_have_what_was_denied_asked_again() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let denied = session.submit("notes/send", "please").await.unwrap();
    let reject = RejectTask { task: denied.id, reason: None, for_now: false };
    person.request(reject).await.unwrap();
    let again = |challenge| AskAgain { task: denied.id, challenge };
    for challenge in [None, Some(Challenge::new("a guess at it"))] {
        assert!(is_kind(&person.request(again(challenge)).await, FailureKind::Challenge));
    }
    assert!(session.submit("notes/send", "please").await.is_err());
    let anew = person.request(again(Some(challenge()))).await.map(|task| *task).unwrap();
    assert_eq!((anew.state, anew.repeats), (TaskState::PendingApproval, Some(denied.id)));
    let log = audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let tried = log.entries.iter().filter(
        |entry| matches!(&entry.record.event, AuditEvent::Act { act, done: false, .. } if act == "again"),
    );
    assert_eq!(tried.count(), 2, "what was tried is on record");
    app.shutdown().await;
}

#[tokio::test]
async fn a_call_that_ran_is_asked_anew_by_a_person_and_runs_once_more() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let first = session.submit("notes/send", "to John Doe").await.unwrap();
    person.approve(&first).await.unwrap();
    assert_eq!(session.finished(&first).await.state, TaskState::Completed);
    assert!(is_kind(
        &session.request(AskAgain { task: first.id, challenge: None }).await,
        FailureKind::Invalid
    ));
    let anew = person.request(AskAgain { task: first.id, challenge: None }).await.map(|task| *task).unwrap();
    assert_eq!((anew.state, anew.repeats), (TaskState::PendingApproval, Some(first.id)));
    assert_eq!(home.record("notes").len(), 1, "asking permits nothing");
    person.approve(&anew).await.unwrap();
    assert_eq!(session.finished(&anew).await.state, TaskState::Completed);
    assert_eq!(home.record("notes").len(), 2);
    home.write_policies("deny");
    wait_until("the files are read", async || person.why("notes/send").await.decision.action == Action::Deny)
        .await;
    assert!(is_kind(
        &person.request(AskAgain { task: first.id, challenge: None }).await,
        FailureKind::Refused
    ));
    app.shutdown().await;
}
