//! What a person permits with an approval: the scopes of a waiting call, and one confirmation for both.

use portero::approval_scope::{ApprovalScope, ScopeChange, ScopeDuration};
use portero::audit::{AuditEvent, RecordFilter};
use portero::ipc::requests::approvals::{
    ApproveWith, ApprovedWith, ListScopes, PermitResult, PreviewScope, ScopePreview,
};
use portero::ipc::requests::overrides::GetOverrides;
use portero::ipc::requests::sessions::ForwardCall;
use portero::ipc::{Challenge, DaemonFailure, FailureKind, ForwardedCall};
use portero::names::TaskId;
use portero::policy::{Action, ArgumentPointer};
use portero::task::{Task, TaskState};

use crate::support::*;

const HOUR: ScopeDuration = ScopeDuration::Millis(3_600_000);

fn same_text() -> ApprovalScope {
    let pointers = vec![ArgumentPointer::to_member("text").unwrap()];
    ApprovalScope::FixedArguments { pointers, lasts: HOUR }
}

async fn preview(person: &Terminal, task: &Task, scope: ApprovalScope) -> ScopePreview {
    person.request(PreviewScope { task: task.id, scope }).await.unwrap()
}

async fn approve_with(
    person: &Terminal,
    task: TaskId,
    permit: ScopeChange,
) -> Result<ApprovedWith, DaemonFailure> {
    person.request(ApproveWith { task, fresh: false, permit, challenge: challenge() }).await
}

/// Whether a call of a shared server runs without a question.
async fn runs_unasked(session: &Session, tool: &str, text: &str) -> bool {
    let (call, client) = call(tool, text);
    match session.request(ForwardCall { call, client, progress: false, log_level: None }).await {
        Ok(ForwardedCall::Result(_)) => true,
        Ok(ForwardedCall::Waiting(_)) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_confirmation_approves_a_call_and_permits_more_like_it() {
    let home = Home::new();
    let app = home.start().await;
    let (person, one, other) =
        (home.terminal_with_passphrase().await, home.session("project").await, home.session("other").await);
    for (scope, exact, in_other, another) in [
        (ApprovalScope::ExactCall, true, false, false),
        (same_text(), true, true, false),
        (ApprovalScope::Tool { lasts: ScopeDuration::Session }, true, false, true),
        (ApprovalScope::Tool { lasts: HOUR }, true, true, true),
        (ApprovalScope::Always, true, true, true),
    ] {
        let task = one.submit("common/send", "to John Doe").await.unwrap();
        let preview = preview(&person, &task, scope.clone()).await;
        assert_eq!(preview.tools, [("common/send".parse().unwrap(), Action::RequireApproval)], "{scope:?}");
        let approved = approve_with(&person, task.id, preview.offer.permit.unwrap()).await.unwrap();
        assert_eq!(approved.task.id, task.id);
        assert_eq!(one.finished(&task).await.state, TaskState::Completed, "{scope:?}");
        let runs = [
            runs_unasked(&one, "common/send", "to John Doe").await,
            runs_unasked(&other, "common/send", "to John Doe").await,
            runs_unasked(&one, "common/send", "to another").await,
        ];
        assert_eq!(runs, [exact, in_other, another], "{scope:?}");
        // One act ends it, and what waits is gone before the next scope.
        match approved.permitted {
            PermitResult::Granted(grant) => drop(person.revoke(grant.id).await.unwrap()),
            PermitResult::RuleMade(rule) => person.unrule(rule.id).await.unwrap(),
            PermitResult::Failed(failure) => panic!("{failure:?}"),
        }
        person.reject_all().await;
        assert!(!runs_unasked(&one, "common/send", &format!("{scope:?}")).await);
        person.reject_all().await;
    }
    app.shutdown().await;
    let log = portero::audit::read_log(&home.paths().audit(), &RecordFilter::default()).unwrap();
    let made = log.entries.iter().filter(
        |entry| matches!(&entry.record.event, AuditEvent::Act { act, done: true, .. } if act == "grant"),
    );
    assert_eq!(made.count(), 4);
    let text = format!("{:?}", log.entries);
    assert!(text.contains(r#"only with text = \"to John Doe\""#) && !text.contains("Jane"), "{text}");
}

#[tokio::test]
async fn a_scope_says_what_it_allows_and_which_calls_it_covers() {
    let home = Home::new();
    home.write_reads(&["common/*"]);
    let app = home.start().await;
    let (person, one) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = one.submit("common/send", "to John Doe").await.unwrap();
    let same = home.session("other").await.submit("common/send", "to John Doe").await.unwrap();
    let another = one.submit("common/send", "to another").await.unwrap();
    let on_notes = one.submit("notes/send", "to John Doe").await.unwrap();

    let listed = person.request(ListScopes { task: task.id }).await.unwrap();
    let words: Vec<_> = listed.scopes.iter().map(|offer| offer.words.as_str()).collect();
    assert_eq!(
        words,
        [
            "This call of common/send, once",
            "This exact call of common/send, in this session, for at most 24h",
            "Every call of common/send, for 10m",
            "Every call of common/send, for 1h",
            "Every call of common/send, in this session, for at most 24h",
            "Every call of the tools of common that policies.json lists as reading, for 10m",
            "Every call of the tools of common that policies.json lists as reading, for 1h",
            "Every call of the tools of common that policies.json lists as reading, in this session, for at most 24h",
            "Every call of common/send, from now on, until you remove the rule",
        ]
    );
    assert_eq!(listed.fields.len(), 1);

    let covered = async |scope| {
        let preview = preview(&person, &task, scope).await;
        preview.waiting.into_iter().collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(covered(ApprovalScope::Once).await, [].into());
    assert_eq!(covered(ApprovalScope::ExactCall).await, [].into());
    assert_eq!(covered(same_text()).await, [same.id].into());
    assert_eq!(covered(ApprovalScope::Tool { lasts: HOUR }).await, [same.id, another.id].into());
    assert_eq!(covered(ApprovalScope::Tool { lasts: ScopeDuration::Session }).await, [another.id].into());

    let reads = ApprovalScope::ServerReads { lasts: HOUR };
    let misfit = person.request(PreviewScope { task: on_notes.id, scope: reads.clone() }).await.unwrap_err();
    assert!(misfit.message.contains("`reads` in policies.json doesn't list `notes/send`"), "{misfit:?}");
    let tools = preview(&person, &task, reads).await.tools;
    assert!(tools.contains(&("common/erase".parse().unwrap(), Action::Deny)), "{tools:?}");
    assert!(tools.iter().all(|(tool, _)| tool.server.as_str() == "common"), "{tools:?}");
    app.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_permitted_leaves_the_call_waiting() {
    let home = Home::new();
    let app = home.start().await;
    let (person, one) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = one.submit("common/send", "x").await.unwrap();
    let tool = preview(&person, &task, ApprovalScope::Tool { lasts: HOUR }).await.offer.permit.unwrap();
    let ScopeChange::Grant { duration, limits, .. } = tool.clone() else { panic!("{tool:?}") };
    let too_long = ScopeChange::Grant {
        pattern: "common/send".parse().unwrap(),
        duration: 100 * duration,
        limits: limits.clone(),
    };
    let elsewhere = ScopeChange::Grant { pattern: "notes/*".parse().unwrap(), duration, limits };
    for (permit, kind) in [
        (too_long, FailureKind::Refused),
        (elsewhere, FailureKind::Invalid),
        (ScopeChange::Allow("notes/send".parse().unwrap()), FailureKind::Invalid),
    ] {
        let refused = approve_with(&person, task.id, permit).await;
        assert!(is_kind(&refused, kind), "{refused:?}");
    }
    let wrong = Challenge::new("not the passphrase");
    let request = ApproveWith { task: task.id, fresh: false, permit: tool.clone(), challenge: wrong };
    assert!(is_kind(&person.request(request).await, FailureKind::Challenge));
    let standing = person.request(GetOverrides).await.unwrap();
    assert!(standing.grants.is_empty() && standing.rules.is_empty(), "{standing:?}");
    assert!(person.approve(&task).await.is_ok(), "it still waits");

    // What doesn't wait any more permits nothing.
    one.finished(&task).await;
    let late = approve_with(&person, task.id, tool).await;
    assert!(late.is_err(), "{late:?}");
    assert!(person.request(GetOverrides).await.unwrap().grants.is_empty());
    app.shutdown().await;
}

#[tokio::test]
async fn a_fixed_value_that_a_person_types_is_stored_concealed() {
    let home = Home::new();
    let app = home.start().await;
    let (person, one) = (home.terminal_with_passphrase().await, home.session("project").await);
    let typed = r#"{"arguments":{"fixed":[{"pointer":"/text","value":"\"to Jane Roe\""}]}}"#;
    let limits = serde_json::from_str(typed).unwrap();
    let grant =
        person.grant_limited("common/send", std::time::Duration::from_secs(60), limits).await.unwrap();
    assert_eq!(grant.limits.to_string(), r#"only with text = "to John Doe""#);
    assert!(runs_unasked(&one, "common/send", "to John Doe").await);
    assert!(!runs_unasked(&one, "common/send", "to anyone").await);
    app.shutdown().await;
}
