//! Grants with limits over the socket: who they are for, and how often.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use portero::audit::{AuditEvent, RecordFilter};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::GetOverrides;
use portero::ipc::requests::sessions::{ConsumeGrant, ForwardCall};
use portero::ipc::{FailureKind, ForwardedCall, PeerRole};
use portero::names::{Principal, SessionId};
use portero::policy::{Action, Grant, GrantLimits};

use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);

fn uses(count: u32) -> GrantLimits {
    GrantLimits { uses: NonZeroU32::new(count), ..GrantLimits::default() }
}

async fn make_grant(person: &Terminal, pattern: &str, limits: GrantLimits) -> Grant {
    match person.grant_limited(pattern, HOUR, limits).await {
        Ok(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn uses_by_grant(person: &Terminal) -> Vec<u32> {
    let Ok(standing) = person.request(GetOverrides).await else { panic!("rules") };
    standing.grants.iter().map(|grant| grant.used).collect()
}

#[tokio::test]
async fn of_a_hundred_calls_of_two_sessions_as_many_run_unasked_as_a_grant_has_uses() {
    let home = Home::new();
    let app = home.start().await;
    let (person, one, two) =
        (home.terminal_with_passphrase().await, home.session("project").await, home.session("other").await);
    let grant = make_grant(&person, "common/send", uses(10)).await;
    let forward = async |session: &Session| {
        let (call, client) = call("common/send", "x");
        session.request(ForwardCall { call, client, progress: false, log_level: None }).await
    };
    let calls = (0..100).map(|number| forward(if number % 2 == 0 { &one } else { &two }));
    let (mut ran, mut waits) = (0, 0);
    for reply in futures_util::future::join_all(calls).await {
        match reply {
            Ok(ForwardedCall::Result(_)) => ran += 1,
            Ok(ForwardedCall::Waiting(_)) => waits += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((ran, waits), (10, 90));
    assert_eq!(home.record("common").len(), 10);
    assert_eq!(uses_by_grant(&person).await, [10]);
    app.shutdown().await;

    let log = portero::audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let events = || log.entries.iter().map(|entry| &entry.record.event);
    let by = format!("(grant {})", grant.id);
    let intents =
        events().filter(|event| matches!(event, AuditEvent::Intent { reason, .. } if reason.contains(&by)));
    assert_eq!(intents.count(), 10);
    let told: BTreeSet<_> = events()
        .filter_map(|event| match event {
            AuditEvent::Act { act, about, .. } if act == "use" => Some(about.clone()),
            _ => None,
        })
        .collect();
    let expected = (0..10).map(|left| format!("grant {} for common/send, {left} of 10 uses left", grant.id));
    assert_eq!(told, expected.collect());
}

#[tokio::test]
async fn the_daemon_decides_itself_whether_a_session_gets_a_use() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let directory = home.path_of("project");
    let principal = Principal::from_project(&directory);
    let connect = async |agent: Option<&str>, directory: &str| {
        let directory = home.path_of(directory);
        let principal = Principal::from_project(&directory);
        let agent_session = agent.map(|id| id.parse().unwrap());
        let id = SessionId::fresh();
        home.connect(PeerRole::Session { id, agent_session, principal, directory }).await
    };
    let (mine, _m) = connect(Some("claude-1"), "project").await;
    let (again, _a) = connect(Some("claude-1"), "project").await;
    let (theirs, _t) = connect(Some("claude-2"), "project").await;
    let (elsewhere, _e) = connect(Some("claude-1"), "other").await;
    let agent_session = "claude-1".parse().ok();
    let limits = GrantLimits { agent_session, project: Some(principal), ..uses(3) };
    let grant = make_grant(&person, "notes/*", limits).await.id;
    let consume = |tool: &str| ConsumeGrant { grant, call: call(tool, "x").0 };

    for (client, tool, why) in [
        (&theirs, "notes/send", "another session"),
        (&elsewhere, "notes/send", "another project"),
        (&mine, "common/send", "another tool"),
        (&mine, "notes/erase", "it is denied"),
        (&mine, "notes/read", "it is allowed anyway"),
    ] {
        assert!(client.request(consume(tool)).await.is_err(), "{why}");
    }
    assert_eq!(uses_by_grant(&person).await, [0]);
    for client in [&mine, &again] {
        assert!(
            client.request(consume("notes/send")).await.is_ok(),
            "the session and the one that came after it"
        );
    }
    assert_eq!(uses_by_grant(&person).await, [2]);
    let terminal = person.request(consume("notes/send")).await;
    assert!(is_kind(&terminal, FailureKind::Invalid), "a terminal makes no calls: {terminal:?}");

    let why = person.why("notes/send").await;
    assert_eq!(why.decision.action, Action::RequireApproval, "nobody in particular asks");
    assert_eq!(why.elsewhere[0].id, grant);
    let Ok(status) = person.request(GetStatus).await else { panic!("status") };
    assert_eq!(status.agent_sessions.len(), 4);
    assert_eq!(status.grant_most, 24 * 3_600_000);
    app.shutdown().await;
}

#[tokio::test]
async fn what_is_left_of_a_grant_outlives_the_daemon() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let grant = make_grant(&person, "notes/*", uses(2)).await.id;
    let consume = || ConsumeGrant { grant, call: call("notes/send", "x").0 };
    session.request(consume()).await.unwrap();
    app.shutdown().await;
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    assert_eq!(uses_by_grant(&person).await, [1]);
    session.request(consume()).await.unwrap();
    assert!(is_kind(&session.request(consume()).await, FailureKind::Refused));
    assert_eq!(person.why("notes/send").await.decision.action, Action::RequireApproval);
    app.shutdown().await;
}
