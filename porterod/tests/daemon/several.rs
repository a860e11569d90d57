//! A tool that takes the yes of several people, as a terminal and a session see it.

use portero::ipc::requests::approvals::{ApproveTask, GetTask, RejectTask};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::{Pause, PreviewChange, Resume};
use portero::ipc::{Act, FailureKind};
use portero::policy::Action;
use portero::task::TaskState;
use serde_json::json;

use crate::support::*;

/// `notes/send` takes two of three people, although `policies.json` allows it.
fn home() -> Home {
    let home = Home::new();
    home.write_policies("allow");
    let quorum = json!([{"tools": ["notes/send"], "approvals": 2}]);
    let telegram = json!({
        "token": "4711:test", "apiUrl": "http://127.0.0.1:9", "chat": -5, "deciders": [11, 22, 33],
        "quorum": quorum,
    });
    home.write("portero.json", &json!({"telegram": telegram}));
    home
}

#[tokio::test]
async fn a_terminal_cannot_approve_it_and_is_told_who_can_whatever_passphrase_it_gives() {
    let home = home();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "hello").await.unwrap();
    assert_eq!(task.state, TaskState::PendingApproval);

    let said =
        "takes 2 of 3 people (user 11, 22, 33), and has 0 of 2 approvals. A terminal is none of these people";
    for passphrase in [PASSPHRASE, "a guess"] {
        let challenge = portero::ipc::Challenge::new(passphrase);
        let refused =
            person.request(ApproveTask { task: task.id, fresh: false, challenge }).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused, "{refused:?}");
        assert!(refused.message.contains(said), "{refused:?}");
        assert!(refused.hint.is_some_and(|hint| hint.contains("portero reject")));
    }
    assert!(home.record("notes").is_empty());

    let Ok(shown) = person.request(GetTask { task: task.id }).await else { panic!("a task") };
    assert_eq!(shown.quorum_progress().as_deref(), Some("0 of 2 approvals"));
    let Ok(status) = person.request(GetStatus).await else { panic!("status") };
    assert_eq!(status.gathering, [(task.id, task.call.tool.clone(), "0 of 2 approvals".to_owned())]);
    let Ok(reach) = person.request(PreviewChange { act: Act::Allow("notes/send".parse().unwrap()) }).await
    else {
        panic!("reach")
    };
    assert_eq!(reach, [], "an allow would change nothing");

    // No rule and no grant lets it run either, and the terminal alone can refuse it.
    person.grant("*", std::time::Duration::from_secs(60)).await.unwrap();
    person.rule("notes/send", Action::Allow).await.unwrap();
    assert_eq!(session.submit("notes/send", "hello again").await.unwrap().state, TaskState::PendingApproval);
    let no = RejectTask { task: task.id, reason: None, for_now: false };
    let Ok(denied) = person.request(no).await else { panic!("denied") };
    assert_eq!(denied.state, TaskState::Denied);
    assert!(home.record("notes").is_empty());
    app.shutdown().await;
}

#[tokio::test]
async fn what_was_approved_alone_before_it_took_several_does_not_run() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "hello").await.unwrap();
    person.request(Pause).await.unwrap();
    person.approve(&task).await.unwrap();
    let telegram = json!({
        "token": "4711:test", "apiUrl": "http://127.0.0.1:9", "chat": -5, "deciders": [11, 22],
        "quorum": [{"tools": ["notes/*"], "approvals": 2}],
    });
    home.write("portero.json", &json!({"telegram": telegram}));
    wait_until("the quorum is in force, although the rest waits for a person", async || {
        !person.why("notes/send").await.quorums.is_empty()
    })
    .await;
    let challenge = portero::ipc::Challenge::new(PASSPHRASE);
    person.request(Resume { challenge }).await.unwrap();
    let ended = session.finished(&task).await;
    assert_eq!(ended.state, TaskState::Failed);
    assert!(home.record("notes").is_empty());
    app.shutdown().await;
}
