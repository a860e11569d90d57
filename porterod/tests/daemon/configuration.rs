//! Guarantee A7 for the files: what narrows is in force at once, what widens when a person confirmed it.

use std::path::Path;

use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{Challenge, FailureKind, Push, Waiting};
use portero::policy::Action;
use portero::task::State;
use serde_json::{Value, json};

use crate::support::{Home, Session, Terminal, challenge, is_kind, until};

impl Terminal {
    async fn waiting(&self) -> Waiting {
        match self.request(GetConfigChanges).await {
            Ok(waiting) => *waiting,
            other => panic!("{other:?}"),
        }
    }

    async fn waits(&self) -> bool {
        match self.request(GetStatus).await {
            Ok(status) => status.config_waits > 0,
            other => panic!("{other:?}"),
        }
    }

    async fn confirm(&self, shown: &Waiting) -> Result<u64, portero::ipc::Failure> {
        self.request(ConfirmConfig { shown: shown.shown.clone(), challenge: challenge() }).await
    }

    async fn action(&self, tool: &str) -> Action {
        self.why(tool).await.decision.action
    }
}

/// The session hears of a configuration; what it goes by is what the copy says.
async fn hears(session: &mut Session, home: &Home) {
    let Push::Config { confirmed } = session.hears(|push| matches!(push, Push::Config { .. })).await else {
        unreachable!("only that was waited for")
    };
    let copy = portero::confirmed::read(&home.paths());
    assert_eq!(copy.digest(), confirmed);
}

fn audit(home: &Home) -> String {
    let segments = std::fs::read_dir(home.paths().audit()).unwrap();
    segments.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn an_edit_that_allows_waits_until_a_person_confirms_what_they_were_shown() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.person().await, home.session("project").await);

    home.write("policies.json", &json!({"policies": {"notes/read": "deny"}, "defaultPolicy": "allow"}));
    hears(&mut session, &home).await;
    assert!(person.waits().await);
    assert_eq!(person.action("notes/send").await, Action::RequireApproval, "as confirmed");
    assert_eq!(person.action("notes/erase").await, Action::Deny, "as confirmed");
    assert_eq!(person.action("notes/read").await, Action::Deny, "what narrows is in force at once");
    let task = session.submit("notes/send", "x").await.unwrap();
    assert_eq!(task.state, State::PendingApproval);

    let waiting = person.waiting().await;
    assert!(
        waiting.changes.widens.iter().any(|change| change.words.contains("defaultPolicy")),
        "{waiting:?}"
    );
    assert_eq!(waiting.tools[0].0.to_string(), "notes/erase", "denied ones first: {:?}", waiting.tools);
    assert!(is_kind(
        &person.confirm(&Waiting { shown: String::new(), ..waiting.clone() }).await,
        FailureKind::Refused
    ));
    let wrong = ConfirmConfig { shown: waiting.shown.clone(), challenge: Challenge::new("not the one") };
    assert!(is_kind(&person.request(wrong).await, FailureKind::Challenge));
    assert!(person.waits().await);

    person.confirm(&waiting).await.unwrap();
    hears(&mut session, &home).await;
    assert!(!person.waits().await);
    assert_eq!(person.action("notes/send").await, Action::Allow);
    assert!(is_kind(&person.confirm(&person.waiting().await).await, FailureKind::Refused), "nothing waits");
    app.shutdown().await;
    let audit = audit(&home);
    for act in ["config seal", "config waits", "config confirm"] {
        assert!(audit.contains(act), "{act} stands in the audit");
    }
}

#[tokio::test]
async fn files_that_change_after_they_were_shown_are_not_confirmed() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.person().await;
    home.write_policies("allow");
    until("it waits", async || person.waits().await).await;
    let waiting = person.waiting().await;
    home.write("policies.json", &json!({"defaultPolicy": "allow"}));
    assert!(is_kind(&person.confirm(&waiting).await, FailureKind::Refused));
    assert_eq!(person.action("notes/send").await, Action::RequireApproval);
    assert_eq!(person.action("notes/erase").await, Action::Deny);
    app.shutdown().await;
}

#[tokio::test]
async fn while_no_passphrase_is_set_the_files_count_as_they_stand() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.terminal().await, home.session("project").await);
    home.write_policies("allow");
    hears(&mut session, &home).await;
    assert_eq!(person.action("notes/send").await, Action::Allow);
    assert!(person.waiting().await.note.unwrap().contains("no approval passphrase is set"));
    home.person().await;
    hears(&mut session, &home).await;
    home.write("policies.json", &json!({"defaultPolicy": "allow"}));
    until("it waits", async || person.waits().await).await;
    assert_eq!(person.action("notes/send").await, Action::Allow, "sealed as it stood");
    assert_eq!(person.action("notes/erase").await, Action::Deny);
    app.shutdown().await;
}

/// Where no passphrase was ever set, nothing waits for one, also for who looks while the store is being made.
#[cfg(unix)]
#[tokio::test]
async fn before_a_new_store_is_there_its_files_count_as_they_stand() {
    let home = Home::new();
    assert_eq!(portero::confirmed::read(&home.paths()), portero::confirmed::Confirmed::Open);
    // A store that cannot be made: the daemon comes as far as that.
    std::fs::create_dir_all(home.at("state")).unwrap();
    std::os::unix::fs::symlink(home.at("nowhere/portero.db"), home.paths().store()).unwrap();
    assert!(porterod::app::App::start(home.parts()).await.is_err(), "there is no place for its store");
    std::fs::remove_file(home.paths().store()).unwrap();
    std::fs::write(home.paths().store(), "").unwrap();
    assert_eq!(portero::confirmed::read(&home.paths()), portero::confirmed::Confirmed::Open);
}

#[tokio::test]
async fn an_edit_that_only_narrows_needs_nobody_and_taking_it_back_does() {
    let home = Home::new();
    let app = home.start().await;
    let (person, mut session) = (home.person().await, home.session("project").await);
    home.write_policies("deny");
    hears(&mut session, &home).await;
    assert_eq!(person.action("notes/send").await, Action::Deny);
    assert!(!person.waits().await);
    home.write_policies("require-approval");
    until("it waits", async || person.waits().await).await;
    assert_eq!(person.action("notes/send").await, Action::Deny);
    app.shutdown().await;
    assert!(audit(&home).contains("config adopt"));
}

/// The servers' file with another program in the place of one's.
fn with_program(home: &Home, program: &Path) -> Value {
    let text = std::fs::read_to_string(home.at("config/mcps.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["mcps"][0]["command"] = json!(program);
    file["mcps"].as_array_mut().unwrap().push(json!({"name": "new", "command": program}));
    file
}

#[cfg(unix)]
#[tokio::test]
async fn another_program_for_a_server_is_not_started_until_it_is_confirmed() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let (evil, ran) = (home.at("evil"), home.at("ran"));
    std::fs::write(&evil, format!("#!/bin/sh\necho ran >> '{}'\n", ran.display())).unwrap();
    std::fs::set_permissions(&evil, std::fs::Permissions::from_mode(0o700)).unwrap();
    let app = home.start().await;
    let (person, session) = (home.person().await, home.session("project").await);

    home.write("mcps.json", &with_program(&home, &evil));
    until("it waits", async || person.waits().await).await;
    let task = session.submit("notes/send", "x").await.unwrap();
    person.approve(&task).await.unwrap();
    assert_eq!(session.finished(&task).await.state, State::Completed, "the server as confirmed did it");
    assert!(is_kind(&session.submit("new/anything", "x").await, FailureKind::NotFound));
    assert!(!ran.exists(), "nothing of the edit was started");
    app.shutdown().await;

    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let task = session.submit("notes/send", "y").await.unwrap();
    person.approve(&task).await.unwrap();
    assert_eq!(session.finished(&task).await.state, State::Completed);
    assert!(!ran.exists(), "nor by the next daemon");
    person.confirm(&person.waiting().await).await.unwrap();
    assert!(session.submit("notes/send", "z").await.is_err(), "it speaks no MCP");
    assert!(ran.exists(), "confirmed, it is started");
    app.shutdown().await;
}

/// Whatever becomes of the copy while no daemon runs, an edit that widens is not in force.
#[tokio::test]
async fn a_copy_that_is_gone_or_forged_or_old_confirms_nothing() {
    let home = Home::new();
    let app = home.start().await;
    home.person().await;
    app.shutdown().await;
    let copy = home.paths().confirmed();
    let sealed = std::fs::read(&copy).unwrap();
    // A newer configuration is confirmed, so that the first copy is an old one.
    let app = home.start().await;
    let person = home.terminal().await;
    home.write_policies("allow");
    until("it waits", async || person.waits().await).await;
    person.confirm(&person.waiting().await).await.unwrap();
    let allowed = std::fs::read(&copy).unwrap();
    home.write_policies("deny");
    until("what narrows is kept", async || std::fs::read(&copy).unwrap() != allowed).await;
    app.shutdown().await;
    let good = std::fs::read(&copy).unwrap();
    assert_ne!(good, sealed);

    let forged = portero::confirmed::Confirmed::Sealed(portero::config::Files {
        directory: home.at("config"),
        policies: Some(json!({"defaultPolicy": "allow"}).to_string()),
        ..portero::config::Files::load(&home.at("config")).unwrap()
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
                portero::confirmed::write(&copy, &portero::identity::StoreId::default(), &forged).unwrap()
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
        assert!(person.waiting().await.note.unwrap().contains("nothing counts as confirmed"), "{what}");
        app.shutdown().await;
        let left = portero::confirmed::read(&home.paths());
        assert_eq!(left.digest(), "unknown", "{what}: nor do sessions find anything confirmed");
    }
    assert!(audit(&home).contains("config alarm"));

    let app = home.start().await;
    let person = home.terminal().await;
    person.confirm(&person.waiting().await).await.unwrap();
    assert_eq!(person.action("notes/erase").await, Action::Allow, "a person may confirm it all anew");
    app.shutdown().await;
}

/// Where the files still are what was confirmed, the copy is made anew from them.
#[tokio::test]
async fn a_copy_that_is_lost_is_written_anew_from_files_that_did_not_change() {
    let home = Home::new();
    let app = home.start().await;
    home.person().await;
    app.shutdown().await;
    let copy = home.paths().confirmed();
    let good = portero::confirmed::read(&home.paths());
    std::fs::remove_file(&copy).unwrap();
    let app = home.start().await;
    assert_eq!(portero::confirmed::read(&home.paths()), good);
    assert!(home.terminal().await.waiting().await.note.is_none());
    app.shutdown().await;
    assert!(audit(&home).contains("config alarm"));
}
