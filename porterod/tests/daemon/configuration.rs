//! Guarantee A7 for the files: what narrows is in force at once, what widens when a person confirmed it.

use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{Challenge, FailureKind, PushMessage, UnconfirmedConfig};
use portero::policy::Action;
use portero::task::TaskState;
use serde_json::json;

use crate::support::{Home, Session, Terminal, challenge, is_kind, wait_until};

impl Terminal {
    async fn waiting_config(&self) -> UnconfirmedConfig {
        match self.request(GetConfigChanges).await {
            Ok(waiting) => *waiting,
            other => panic!("{other:?}"),
        }
    }

    async fn has_waiting_config(&self) -> bool {
        match self.request(GetStatus).await {
            Ok(status) => status.config_waits > 0,
            other => panic!("{other:?}"),
        }
    }

    async fn confirm_config(&self, shown: &UnconfirmedConfig) -> Result<u64, portero::ipc::DaemonFailure> {
        self.request(ConfirmConfig { shown: shown.shown.clone(), challenge: challenge() }).await
    }

    async fn decided_action(&self, tool: &str) -> Action {
        self.why(tool).await.decision.action
    }
}

/// The session hears of a configuration; what it goes by is what the copy says.
async fn wait_for_config_push(session: &mut Session, home: &Home) {
    let PushMessage::Config { confirmed } =
        session.wait_for_push(|push| matches!(push, PushMessage::Config { .. })).await
    else {
        unreachable!("only that was waited for")
    };
    let copy = portero::approved_config::read_approved(&home.paths());
    assert_eq!(copy.digest(), confirmed);
}

fn audit_text(home: &Home) -> String {
    let segments = std::fs::read_dir(home.paths().audit()).unwrap();
    segments.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn an_edit_that_allows_waits_until_a_person_confirms_what_they_were_shown() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);

    home.write("policies.json", &json!({"policies": {"notes/read": "deny"}, "defaultPolicy": "allow"}));
    wait_for_config_push(&mut session, &home).await;
    assert!(person.has_waiting_config().await);
    assert_eq!(person.decided_action("notes/send").await, Action::RequireApproval, "as confirmed");
    assert_eq!(person.decided_action("notes/erase").await, Action::Deny, "as confirmed");
    assert_eq!(person.decided_action("notes/read").await, Action::Deny, "what narrows is in force at once");
    let task = session.submit("notes/send", "x").await.unwrap();
    assert_eq!(task.state, TaskState::PendingApproval);

    let waiting = person.waiting_config().await;
    assert!(
        waiting.changes.widens.iter().any(|change| change.words.contains("defaultPolicy")),
        "{waiting:?}"
    );
    assert_eq!(waiting.tools[0].0.to_string(), "notes/erase", "denied ones first: {:?}", waiting.tools);
    assert!(is_kind(
        &person.confirm_config(&UnconfirmedConfig { shown: String::new(), ..waiting.clone() }).await,
        FailureKind::Refused
    ));
    let wrong = ConfirmConfig { shown: waiting.shown.clone(), challenge: Challenge::new("not the one") };
    assert!(is_kind(&person.request(wrong).await, FailureKind::Challenge));
    assert!(person.has_waiting_config().await);

    person.confirm_config(&waiting).await.unwrap();
    wait_for_config_push(&mut session, &home).await;
    assert!(!person.has_waiting_config().await);
    assert_eq!(person.decided_action("notes/send").await, Action::Allow);
    assert!(
        is_kind(&person.confirm_config(&person.waiting_config().await).await, FailureKind::Refused),
        "nothing waits"
    );
    app.shutdown().await;
    let audit = audit_text(&home);
    for act in ["config seal", "config waits", "config confirm"] {
        assert!(audit.contains(act), "{act} stands in the audit");
    }
}

#[tokio::test]
async fn files_that_change_after_they_were_shown_are_not_confirmed() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    home.write_policies("allow");
    wait_until("it waits", async || person.has_waiting_config().await).await;
    let waiting = person.waiting_config().await;
    home.write("policies.json", &json!({"defaultPolicy": "allow"}));
    assert!(is_kind(&person.confirm_config(&waiting).await, FailureKind::Refused));
    assert_eq!(person.decided_action("notes/send").await, Action::RequireApproval);
    assert_eq!(person.decided_action("notes/erase").await, Action::Deny);
    app.shutdown().await;
}

#[tokio::test]
async fn while_no_passphrase_is_set_the_files_count_as_they_stand() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal().await, home.session("project").await);
    home.write_policies("allow");
    wait_for_config_push(&mut session, &home).await;
    assert_eq!(person.decided_action("notes/send").await, Action::Allow);
    assert!(person.waiting_config().await.note.unwrap().contains("no approval passphrase is set"));
    home.terminal_with_passphrase().await;
    wait_for_config_push(&mut session, &home).await;
    home.write("policies.json", &json!({"defaultPolicy": "allow"}));
    wait_until("it waits", async || person.has_waiting_config().await).await;
    assert_eq!(person.decided_action("notes/send").await, Action::Allow, "sealed as it stood");
    assert_eq!(person.decided_action("notes/erase").await, Action::Deny);
    app.shutdown().await;
}

/// Where no passphrase was ever set, nothing waits for one, also for who looks while the store is being made.
#[cfg(unix)]
#[tokio::test]
async fn before_a_new_store_is_there_its_files_count_as_they_stand() {
    let home = Home::new();
    assert_eq!(
        portero::approved_config::read_approved(&home.paths()),
        portero::approved_config::ApprovedConfig::Open
    );
    // A store that cannot be made: the daemon comes as far as that.
    std::fs::create_dir_all(home.path_of("state")).unwrap();
    std::os::unix::fs::symlink(home.path_of("nowhere/portero.db"), home.paths().store()).unwrap();
    assert!(porterod::app::App::start(home.app_deps()).await.is_err(), "there is no place for its store");
    std::fs::remove_file(home.paths().store()).unwrap();
    std::fs::write(home.paths().store(), "").unwrap();
    assert_eq!(
        portero::approved_config::read_approved(&home.paths()),
        portero::approved_config::ApprovedConfig::Open
    );
}

#[tokio::test]
async fn an_edit_that_only_narrows_needs_nobody_and_taking_it_back_does() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal_with_passphrase().await, home.session("project").await);
    home.write_policies("deny");
    wait_for_config_push(&mut session, &home).await;
    assert_eq!(person.decided_action("notes/send").await, Action::Deny);
    assert!(!person.has_waiting_config().await);
    home.write_policies("require-approval");
    wait_until("it waits", async || person.has_waiting_config().await).await;
    assert_eq!(person.decided_action("notes/send").await, Action::Deny);
    app.shutdown().await;
    assert!(audit_text(&home).contains("config adopt"));
}

/// The servers' file with another program in the place of one's.
#[cfg(unix)]
fn with_program(home: &Home, program: &std::path::Path) -> serde_json::Value {
    let text = std::fs::read_to_string(home.path_of("config/mcps.json")).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["mcps"][0]["command"] = json!(program);
    file["mcps"].as_array_mut().unwrap().push(json!({"name": "new", "command": program}));
    file
}

#[cfg(unix)]
#[tokio::test]
async fn another_program_for_a_server_is_not_started_until_it_is_confirmed() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let (evil, ran) = (home.path_of("evil"), home.path_of("ran"));
    std::fs::write(&evil, format!("#!/bin/sh\necho ran >> '{}'\n", ran.display())).unwrap();
    std::fs::set_permissions(&evil, std::fs::Permissions::from_mode(0o700)).unwrap();
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);

    home.write("mcps.json", &with_program(&home, &evil));
    wait_until("it waits", async || person.has_waiting_config().await).await;
    let task = session.submit("notes/send", "x").await.unwrap();
    person.approve(&task).await.unwrap();
    assert_eq!(session.finished(&task).await.state, TaskState::Completed, "the server as confirmed did it");
    assert!(is_kind(&session.submit("new/anything", "x").await, FailureKind::NotFound));
    assert!(!ran.exists(), "nothing of the edit was started");
    app.shutdown().await;

    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let task = session.submit("notes/send", "y").await.unwrap();
    person.approve(&task).await.unwrap();
    assert_eq!(session.finished(&task).await.state, TaskState::Completed);
    assert!(!ran.exists(), "nor by the next daemon");
    person.confirm_config(&person.waiting_config().await).await.unwrap();
    assert!(session.submit("notes/send", "z").await.is_err(), "it speaks no MCP");
    assert!(ran.exists(), "confirmed, it is started");
    app.shutdown().await;
}

/// Whatever becomes of the copy while no daemon runs, an edit that widens is not in force.
#[tokio::test]
async fn a_copy_that_is_gone_or_forged_or_old_confirms_nothing() {
    let home = Home::new();
    let app = home.start().await;
    home.terminal_with_passphrase().await;
    app.shutdown().await;
    let copy = home.paths().approved_config();
    let sealed = std::fs::read(&copy).unwrap();
    // A newer configuration is confirmed, so that the first copy is an old one.
    let app = home.start().await;
    let person = home.terminal().await;
    home.write_policies("allow");
    wait_until("it waits", async || person.has_waiting_config().await).await;
    person.confirm_config(&person.waiting_config().await).await.unwrap();
    let allowed = std::fs::read(&copy).unwrap();
    home.write_policies("deny");
    wait_until("what narrows is kept", async || std::fs::read(&copy).unwrap() != allowed).await;
    app.shutdown().await;
    let good = std::fs::read(&copy).unwrap();
    assert_ne!(good, sealed);

    let forged = portero::approved_config::ApprovedConfig::Sealed(portero::config::ConfigFiles {
        directory: home.path_of("config"),
        policies: Some(json!({"defaultPolicy": "allow"}).to_string()),
        ..portero::config::ConfigFiles::load(&home.path_of("config")).unwrap()
    });
    home.write("policies.json", &json!({"defaultPolicy": "allow"}));
    type Harm<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let harms: [Harm<'_>; 4] = [
        ("deleted", Box::new(|| std::fs::remove_file(&copy).unwrap())),
        ("damaged", Box::new(|| std::fs::write(&copy, "{}").unwrap())),
        ("older", Box::new(|| std::fs::write(&copy, &sealed).unwrap())),
        (
            "forged",
            Box::new(|| {
                portero::approved_config::write_copy(
                    &copy,
                    &portero::store_identity::StoreId::default(),
                    &forged,
                )
                .unwrap()
            }),
        ),
    ];
    for (what, harm) in harms {
        std::fs::write(&copy, &good).unwrap();
        harm();
        let app = home.start().await;
        let (person, session) = (home.terminal().await, home.session("project").await);
        let refused = session.submit("notes/send", "x").await;
        assert!(
            is_kind(&refused, FailureKind::NotFound),
            "{what}: nothing is known to be a server: {refused:?}"
        );
        assert!(
            person.waiting_config().await.note.unwrap().contains("nothing counts as confirmed"),
            "{what}"
        );
        app.shutdown().await;
        let left = portero::approved_config::read_approved(&home.paths());
        assert_eq!(left.digest(), "unknown", "{what}: nor do sessions find anything confirmed");
    }
    assert!(audit_text(&home).contains("config alarm"));

    let app = home.start().await;
    let person = home.terminal().await;
    person.confirm_config(&person.waiting_config().await).await.unwrap();
    assert_eq!(person.decided_action("notes/erase").await, Action::Allow, "a person may confirm it all anew");
    app.shutdown().await;
}

/// Where the files still are what was confirmed, the copy is made anew from them.
#[tokio::test]
async fn a_copy_that_is_lost_is_written_anew_from_files_that_did_not_change() {
    let home = Home::new();
    let app = home.start().await;
    home.terminal_with_passphrase().await;
    app.shutdown().await;
    let copy = home.paths().approved_config();
    let good = portero::approved_config::read_approved(&home.paths());
    std::fs::remove_file(&copy).unwrap();
    let app = home.start().await;
    assert_eq!(portero::approved_config::read_approved(&home.paths()), good);
    assert!(home.terminal().await.waiting_config().await.note.is_none());
    app.shutdown().await;
    assert!(audit_text(&home).contains("config alarm"));
}
