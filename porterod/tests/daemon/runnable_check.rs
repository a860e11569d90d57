//! Guarantee A1: what makes an approval void, and what does not, while files are edited.

use std::time::Duration;

use portero::ipc::requests::approvals::{ApproveTask, CheckApproval};
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{Challenge, DaemonFailure, FailureKind, PushMessage};
use portero::task::{Task, TaskState};
use serde_json::{Value, json};

use crate::fake_server::HOLD;
use crate::support::{Home, Session, Terminal, challenge};

/// The servers, as `edit` changes their entry.
fn servers(home: &Home, edit: impl Fn(&mut Value)) -> Value {
    let text = std::fs::read_to_string(home.path_of("config").join("mcps.json")).unwrap();
    let mut servers: Value = serde_json::from_str(&text).unwrap();
    edit(&mut servers["mcps"]);
    servers
}

/// Writes a file, and waits until the daemon went by it.
async fn edit_file(home: &Home, session: &mut Session, file: &str, value: &Value) {
    home.write(file, value);
    session.wait_for_push(|push| matches!(push, PushMessage::Config { .. })).await;
}

async fn confirm_edit(person: &Terminal) {
    let Ok(waiting) = person.request(GetConfigChanges).await else { panic!("nothing to look at") };
    person.request(ConfirmConfig { shown: waiting.shown, challenge: challenge() }).await.unwrap();
}

async fn check_approvable(person: &Terminal, task: &Task) -> Result<Box<Task>, DaemonFailure> {
    person.request(CheckApproval { task: task.id, fresh: false }).await
}

#[tokio::test]
async fn an_edit_that_waits_for_a_person_voids_no_approval() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "John Doe").await.unwrap();

    edit_file(&home, &mut session, "policies.json", &json!({"defaultPolicy": "allow"})).await;
    let edited = servers(&home, |servers| {
        servers[0]["args"].as_array_mut().unwrap().push(json!("--another"));
        servers[0]["env"]["ANOTHER"] = json!("value");
        let more = json!({"name": "more", "command": "no-such-program"});
        servers.as_array_mut().unwrap().push(more);
    });
    edit_file(&home, &mut session, "mcps.json", &edited).await;
    let replaced = json!({"replacements": [{"fake": "John Doe", "real": "Jack Poe", "bidirectional": true}]});
    edit_file(&home, &mut session, "replacements.json", &replaced).await;
    let Ok(status) = person.request(GetStatus).await else { panic!("no status") };
    assert!(status.config_waits >= 4, "all of it waits: {}", status.config_waits);

    check_approvable(&person, &task).await.unwrap();
    person.approve(&task).await.unwrap();
    let done = session.finished(&task).await;
    assert_eq!(done.state, TaskState::Completed, "{:?}", done.note);
    assert_eq!(home.record("notes").len(), 1);
    assert!(home.record("notes")[0].to_string().contains("Jane Roe"), "as confirmed");
    app.shutdown().await;
}

#[tokio::test]
async fn an_edit_in_force_that_leaves_the_call_as_it_was_voids_no_approval() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "John Doe").await.unwrap();
    let policies = json!({
        "policies": {"*/read": "deny", "*/wait": "allow", "*/erase": "deny", "notes/send": "require-approval",
            "github/merge_*": "deny"},
    });
    edit_file(&home, &mut session, "policies.json", &policies).await;
    let quiet = servers(&home, |servers| servers[0]["categories"] = json!(["words"]));
    edit_file(&home, &mut session, "mcps.json", &quiet).await;
    let more = json!({"replacements": [
        {"fake": "ACME", "real": "Initech", "bidirectional": true},
        {"fake": "John Doe", "real": "Jane Roe", "bidirectional": true},
    ]});
    edit_file(&home, &mut session, "replacements.json", &more).await;
    confirm_edit(&person).await;

    person.approve(&task).await.unwrap();
    let done = session.finished(&task).await;
    assert_eq!(done.state, TaskState::Completed, "{:?}", done.note);
    app.shutdown().await;
}

#[tokio::test]
async fn what_voids_an_approval_is_named_before_the_passphrase_is_looked_at() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "John Doe").await.unwrap();
    let steps = [
        (
            "mcps.json",
            servers(&home, |servers| servers[0]["env"]["ANOTHER"] = json!("value")),
            "the variables that the server is given changed",
        ),
        (
            "mcps.json",
            servers(&home, |servers| servers[0]["roots"] = json!([])),
            "the server's entry in mcps.json changed",
        ),
        (
            "replacements.json",
            json!({"replacements": [{"fake": "John Doe", "real": "Jack Poe", "bidirectional": true}]}),
            "the real values behind the call's replacements changed",
        ),
    ];
    for (file, value, cause) in steps {
        let before = std::fs::read_to_string(home.path_of("config").join(file)).unwrap();
        edit_file(&home, &mut session, file, &value).await;
        confirm_edit(&person).await;
        let checked = check_approvable(&person, &task).await.unwrap_err();
        assert!(checked.kind == FailureKind::Void && checked.message.ends_with(cause), "{checked:?}");
        assert!(checked.hint.unwrap().contains("portero reject"));
        let wrong = Challenge::new("not the passphrase");
        let refused =
            person.request(ApproveTask { task: task.id, fresh: false, challenge: wrong }).await.unwrap_err();
        assert_eq!((refused.kind, refused.message), (FailureKind::Void, checked.message));
        // Taken back, the question counts again.
        edit_file(&home, &mut session, file, &serde_json::from_str(&before).unwrap()).await;
        confirm_edit(&person).await;
        check_approvable(&person, &task).await.unwrap();
    }
    person.approve(&task).await.unwrap();
    assert_eq!(session.finished(&task).await.state, TaskState::Completed);
    assert_eq!(home.record("notes").len(), 1);
    app.shutdown().await;
}

/// Many look at once: what one checkout's server says must not be taken for the other's.
#[tokio::test]
async fn two_checkouts_with_two_versions_of_a_server_void_nothing_of_each_other() {
    let home = Home::new();
    for (directory, version) in [("project", "1"), ("other", "2")] {
        std::fs::write(home.path_of(directory).join("version"), version).unwrap();
    }
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let (one, other) = (home.session("project").await, home.session("other").await);
    let mut tasks = Vec::new();
    for text in ["a", "b", "c"] {
        tasks.push(one.submit("notes/send", text).await.unwrap());
        tasks.push(other.submit("notes/send", text).await.unwrap());
    }
    for _ in 0..30 {
        let looks =
            futures_util::future::join_all(tasks.iter().map(|task| check_approvable(&person, task))).await;
        assert!(looks.iter().all(Result::is_ok), "{looks:?}");
    }
    std::fs::write(home.path_of("project").join("version"), "3").unwrap();
    let void = check_approvable(&person, &tasks[0]).await.unwrap_err();
    assert!(void.message.ends_with("the tool's definition changed"), "{void:?}");
    person.approve(&tasks[1]).await.unwrap();
    assert_eq!(other.finished(&tasks[1]).await.state, TaskState::Completed);
    app.shutdown().await;
}

#[tokio::test]
async fn a_deny_made_since_is_named_before_the_passphrase_is_looked_at() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "x").await.unwrap();
    home.write_policies("deny");
    session.wait_for_push(|push| matches!(push, PushMessage::Config { .. })).await;
    let refused = check_approvable(&person, &task).await.unwrap_err();
    assert!(
        refused.kind == FailureKind::Void && refused.message.contains("denied by `notes/send`"),
        "{refused:?}"
    );
    assert_eq!(person.approve(&task).await.unwrap_err().kind, FailureKind::Void);
    assert!(home.record("notes").is_empty());
    app.shutdown().await;
}

/// Longer than is waited before a person is asked.
const SLOW: Duration = Duration::from_secs(5);

#[tokio::test]
async fn approved_is_not_said_before_a_slow_server_says_that_the_call_would_not_run() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    let task = session.submit("notes/send", "John Doe").await.unwrap();
    std::fs::write(home.path_of("project").join(HOLD), "").unwrap();
    std::fs::write(home.path_of("project").join("version"), "2").unwrap();
    {
        let approving = person.approve(&task);
        tokio::pin!(approving);
        let early = tokio::time::timeout(SLOW, &mut approving).await;
        assert!(early.is_err(), "answered before the server was: {early:?}");
        std::fs::remove_file(home.path_of("project").join(HOLD)).unwrap();
        let refused = approving.await.unwrap_err();
        assert!(
            refused.kind == FailureKind::Void && refused.message.ends_with("the tool's definition changed"),
            "{refused:?}"
        );
    }
    assert!(home.record("notes").is_empty());
    app.shutdown().await;
}
