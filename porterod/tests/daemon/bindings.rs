//! Guarantee A1 as a table: what an edit, a rule or a server does to a call that waits for a person, to one that is
//! approved and not started, and to one that runs.

use std::time::Duration;

use portero::ipc::requests::approvals::{ApproveTask, CheckApproval, GetTask, InspectTask};
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::overrides::{Pause, RemoveRule, Resume, RevokeGrants};
use portero::ipc::{Challenge, FailureKind, GrantSelection, PushMessage};
use portero::policy::Action;
use portero::task::{Task, TaskState};
use serde_json::{Value, json};

use crate::fake_server::{ENDLESS, GONE};
use crate::support::{Home, Session, Terminal, challenge, wait_until};

/// How many rows are played at once; each has a daemon of its own.
const ROWS_AT_ONCE: usize = 4;

/// Something that changes while calls wait.
enum Change {
    /// `policies.json` becomes this.
    Policies(Value),
    /// The entry of the server in `mcps.json` is edited.
    Server(fn(&mut Value)),
    /// `mcps.json` is edited.
    Servers(fn(&mut Value)),
    /// `replacements.json` becomes this list.
    Replacements(Value),
    /// `portero.json` becomes this.
    Settings(Value),
    /// `.env` becomes this.
    EnvFile(&'static str),
    /// A file of the project, which the server reads.
    ProjectFile(&'static str, &'static str),
    /// A rule on this pattern.
    Rule(&'static str, Action),
    /// A grant on this pattern for ten minutes.
    Grant(&'static str),
    /// The last rule or grant ends.
    Ended,
    /// The former state of the files comes back.
    PutBack,
}

/// What becomes of the call that isn't started.
enum Fate {
    /// It still runs with a yes.
    Runs,
    /// It is void, for this cause, which is said before a yes is taken.
    Void(&'static str),
}

/// What becomes of the call that runs.
#[derive(PartialEq)]
enum RunningFate {
    GoesOn,
    /// Its server ends, so the outcome is unknown.
    Interrupted,
}

struct Row {
    what: &'static str,
    changes: Vec<Change>,
    fate: Fate,
    running: RunningFate,
}

fn row(what: &'static str, changes: impl Into<Vec<Change>>, fate: Fate, running: RunningFate) -> Row {
    Row { what, changes: changes.into(), fate, running }
}

/// The policy of the tool, beside that of another one.
fn policies(send: impl Into<Value>) -> Change {
    let send: Value = send.into();
    Change::Policies(json!({"policies": {"notes/erase": "deny", "notes/send": send}}))
}

fn replacements(list: Value) -> Change {
    Change::Replacements(list)
}

const ENTRY: &str = "since a person was asked, the server's entry in mcps.json changed";
const VARIABLES: &str = "since a person was asked, the variables that the server is given changed";
const VALUES: &str = "since a person was asked, the real values behind the call's replacements changed";
const DEFINITION: &str = "since a person was asked, the tool's definition changed";

fn edits_of_policy() -> Vec<Row> {
    use RunningFate::GoesOn;
    let other = |action: &str| {
        Change::Policies(json!({"policies": {"notes/erase": action, "notes/send": "require-approval"}}))
    };
    let case = |glob: &str| {
        let when = json!({"/text": {"glob": glob}});
        json!({"cases": [{"when": when, "then": "deny"}], "otherwise": "require-approval"})
    };
    vec![
        row(
            "the tool is denied",
            [policies("deny")],
            Fate::Void("denied by `notes/send` (policies.json:1:"),
            GoesOn,
        ),
        row("the tool is allowed", [policies("allow")], Fate::Runs, GoesOn),
        row(
            "the tool is denied and asks again",
            [policies("deny"), policies("require-approval")],
            Fate::Runs,
            GoesOn,
        ),
        row(
            "a condition denies this call",
            [policies(case("*a*"))],
            Fate::Void("denied by `notes/send`, case 1 (policies.json:1:"),
            GoesOn,
        ),
        row("a condition denies other calls", [policies(case("*none of these*"))], Fate::Runs, GoesOn),
        row("another tool is allowed", [other("allow")], Fate::Runs, GoesOn),
        row("another tool asks", [other("require-approval")], Fate::Runs, GoesOn),
        row("the entry goes, the default asks", [Change::Policies(json!({}))], Fate::Runs, GoesOn),
        row(
            "the entry goes, the default denies",
            [Change::Policies(json!({"defaultPolicy": "deny"}))],
            Fate::Void("denied: no rule covers it (default)"),
            GoesOn,
        ),
        row(
            "the default denies, the entry stays",
            [Change::Policies(
                json!({"defaultPolicy": "deny", "policies": {"notes/send": "require-approval"}}),
            )],
            Fate::Runs,
            GoesOn,
        ),
        row(
            "the tool is locked",
            [Change::Policies(
                json!({"policies": {"notes/send": "require-approval"}, "locked": ["notes/*"]}),
            )],
            Fate::Runs,
            GoesOn,
        ),
        row(
            "a rule denies the tool",
            [Change::Rule("notes/send", Action::Deny)],
            Fate::Void("denied by `notes/send` (rule 1)"),
            GoesOn,
        ),
        row(
            "a rule denies every server",
            [Change::Rule("*", Action::Deny)],
            Fate::Void("denied by `*` (rule 1)"),
            GoesOn,
        ),
        row("a rule denies another tool", [Change::Rule("notes/read", Action::Deny)], Fate::Runs, GoesOn),
        row(
            "a rule denied the tool",
            [Change::Rule("notes/send", Action::Deny), Change::Ended],
            Fate::Runs,
            GoesOn,
        ),
        row(
            "a rule asks about the tool",
            [Change::Rule("notes/*", Action::RequireApproval)],
            Fate::Runs,
            GoesOn,
        ),
        row("a grant on another tool", [Change::Grant("notes/read")], Fate::Runs, GoesOn),
    ]
}

fn edits_of_servers() -> Vec<Row> {
    use RunningFate::{GoesOn, Interrupted};
    let entry = |what, edit| row(what, [Change::Server(edit)], Fate::Void(ENTRY), Interrupted);
    vec![
        entry("another argument", |server| server["args"].as_array_mut().unwrap().push(json!("--nocapture"))),
        entry("another command", |server| server["command"] = json!("/bin/cat")),
        entry("another directory", |server| server["cwd"] = json!("/")),
        entry("roots", |server| server["roots"] = json!([])),
        entry("another instance", |server| server["instance"] = json!("project")),
        row(
            "one more variable",
            [Change::Server(|server| server["env"]["ANOTHER"] = json!("value"))],
            Fate::Void(VARIABLES),
            Interrupted,
        ),
        row(
            "another value of a variable in .env",
            [Change::EnvFile("FROM_FILE=two\n")],
            Fate::Void(VARIABLES),
            Interrupted,
        ),
        row(
            "a line in .env that no server names",
            [Change::EnvFile("FROM_FILE=one\nOTHER=x\n")],
            Fate::Runs,
            GoesOn,
        ),
        row(
            "a longer timeout",
            [Change::Server(|server| server["timeout"] = json!(90))],
            Fate::Runs,
            Interrupted,
        ),
        row(
            "a category",
            [Change::Server(|server| server["categories"] = json!(["words"]))],
            Fate::Runs,
            Interrupted,
        ),
        row(
            "the server is disabled",
            [Change::Server(|server| server["disabled"] = json!(true))],
            Fate::Void("no server offers `notes`"),
            Interrupted,
        ),
        row(
            "the server is removed",
            [Change::Servers(|servers| drop(servers.as_array_mut().unwrap().remove(0)))],
            Fate::Void("no server offers `notes`"),
            Interrupted,
        ),
        row(
            "the server is removed and put back",
            [Change::Servers(|servers| drop(servers.as_array_mut().unwrap().remove(0))), Change::PutBack],
            Fate::Runs,
            Interrupted,
        ),
        row(
            "another server is added",
            [Change::Servers(|servers| {
                servers.as_array_mut().unwrap().push(json!({"name": "more", "command": "no-such-program"}));
            })],
            Fate::Runs,
            GoesOn,
        ),
        row(
            "the tool is defined otherwise",
            [Change::ProjectFile("version", "2")],
            Fate::Void(DEFINITION),
            GoesOn,
        ),
        row(
            "the tool is gone",
            [Change::ProjectFile(GONE, "")],
            Fate::Void("no server offers `notes/send`"),
            GoesOn,
        ),
    ]
}

fn edits_of_other_files() -> Vec<Row> {
    use RunningFate::GoesOn;
    let jane = json!({"fake": "John Doe", "real": "Jane Roe", "bidirectional": true});
    let acme = json!({"fake": "ACME", "real": "Initech", "bidirectional": true});
    let poe = json!({"fake": "John Doe", "real": "Jack Poe", "bidirectional": true});
    vec![
        row("another real value", [replacements(json!([poe]))], Fate::Void(VALUES), GoesOn),
        row("the replacement goes", [replacements(json!([]))], Fate::Void(VALUES), GoesOn),
        row(
            "a replacement that the call doesn't hold",
            [replacements(json!([jane, acme]))],
            Fate::Runs,
            GoesOn,
        ),
        row(
            "how long a call may wait",
            [Change::Settings(json!({"approvals": {"pending": "12h", "pendingMost": 5}}))],
            Fate::Runs,
            GoesOn,
        ),
        row(
            "the size of answers",
            [Change::Settings(json!({"approvals": {"resultBytes": 10_000}}))],
            Fate::Runs,
            GoesOn,
        ),
    ]
}

/// A home with three calls of one tool, as a row finds them.
struct Waiting {
    home: Home,
    person: Terminal,
    session: Session,
    open: Task,
    /// Approved while everything is paused.
    approved: Task,
    running: Task,
    before: Value,
}

impl Waiting {
    async fn new() -> (Self, porterod::app::App) {
        let home = Home::new();
        let mut before: Value = read_file(&home, "mcps.json");
        before["mcps"][0]["env"]["FROM_FILE"] = json!("${FROM_FILE}");
        write_env_file(&home, "FROM_FILE=one\n");
        home.write("mcps.json", &before);
        let app = home.start().await;
        let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
        let submit = async |text: &str| session.submit("notes/send", text).await.unwrap();
        let open = submit("an open one to John Doe").await;
        let approved = submit("an approved one to John Doe").await;
        let running = submit(&format!("an {ENDLESS} one to John Doe")).await;
        person.approve(&running).await.unwrap();
        wait_until("it runs", async || !home.record("notes").is_empty()).await;
        person.request(Pause).await.unwrap();
        person.approve(&approved).await.unwrap();
        (Self { home, person, session, open, approved, running, before }, app)
    }

    async fn make(&mut self, change: &Change) {
        let edited = |edit: &dyn Fn(&mut Value)| {
            let mut servers = self.before.clone();
            edit(&mut servers["mcps"]);
            servers
        };
        let (file, value) = match change {
            Change::Policies(value) => ("policies.json", value.clone()),
            Change::Settings(value) => ("portero.json", value.clone()),
            Change::Replacements(list) => ("replacements.json", json!({"replacements": list})),
            Change::Server(edit) => ("mcps.json", edited(&|servers| edit(&mut servers[0]))),
            Change::Servers(edit) => ("mcps.json", edited(&|servers| edit(servers))),
            Change::PutBack => ("mcps.json", self.before.clone()),
            Change::EnvFile(text) => {
                write_env_file(&self.home, text);
                return self.adopt_edit().await;
            }
            Change::ProjectFile(name, text) => {
                return std::fs::write(self.home.path_of("project").join(name), text).unwrap();
            }
            Change::Rule(pattern, action) => return drop(self.person.rule(pattern, *action).await.unwrap()),
            Change::Grant(pattern) => {
                return drop(self.person.grant(pattern, Duration::from_secs(600)).await.unwrap());
            }
            Change::Ended => {
                let rule = RemoveRule { id: 1, challenge: Some(challenge()) };
                if self.person.request(rule).await.is_err() {
                    self.person.request(RevokeGrants { which: GrantSelection::All }).await.unwrap();
                }
                return;
            }
        };
        self.home.write(file, &value);
        self.adopt_edit().await;
    }

    /// Waits until the daemon went by an edit, and confirms what widens.
    async fn adopt_edit(&mut self) {
        self.session.wait_for_push(|push| matches!(push, PushMessage::Config { .. })).await;
        let Ok(waiting) = self.person.request(GetConfigChanges).await else { panic!("nothing to look at") };
        if !waiting.changes.widens.is_empty() {
            let confirm = ConfirmConfig { shown: waiting.shown, challenge: challenge() };
            self.person.request(confirm).await.unwrap();
        }
    }

    /// What a person is told before they say yes.
    async fn check_told(&self, fate: &Fate) {
        let task = self.open.id;
        let looked = self.person.request(CheckApproval { task, fresh: false }).await;
        let shown = self.person.request(InspectTask { task }).await.unwrap();
        let wrong = Challenge::new("not the passphrase");
        let typed =
            self.person.request(ApproveTask { task, fresh: false, challenge: wrong }).await.unwrap_err();
        match fate {
            Fate::Runs => {
                looked.unwrap();
                assert_eq!(shown.void, None);
                assert_eq!(typed.kind, FailureKind::Challenge, "{typed:?}");
            }
            Fate::Void(cause) => {
                let told = looked.unwrap_err();
                assert!(told.kind == FailureKind::Void && told.message.contains(cause), "{told:?}");
                assert_eq!(
                    (typed.kind, &typed.message),
                    (FailureKind::Void, &told.message),
                    "before the passphrase"
                );
                let void = shown.void.expect("the card says it");
                assert!(void.get().contains(cause), "{}", void.get());
            }
        }
    }

    /// What a yes comes to.
    async fn check_yes(&self, fate: &Fate) {
        let approved = self.person.approve(&self.open).await;
        match fate {
            Fate::Runs => {
                approved.unwrap();
                let done = self.session.finished(&self.open).await;
                assert_eq!(done.state, TaskState::Completed, "{:?}", done.note);
            }
            Fate::Void(_) => assert_eq!(approved.unwrap_err().kind, FailureKind::Void),
        }
    }

    async fn check_approved(&self, fate: &Fate) {
        self.person.request(Resume { challenge: challenge() }).await.unwrap();
        let ended = self.session.finished(&self.approved).await;
        let note = ended.note.map(|note| note.get().clone()).unwrap_or_default();
        let expected = match fate {
            Fate::Runs => (TaskState::Completed, ""),
            Fate::Void(cause) if cause.starts_with("denied") => (TaskState::Denied, *cause),
            Fate::Void(cause) => (TaskState::Failed, *cause),
        };
        assert!(ended.state == expected.0 && note.contains(expected.1), "{}: {note}", ended.state);
    }

    async fn check_running(&self, fate: &RunningFate) {
        let state = async || self.person.request(GetTask { task: self.running.id }).await.unwrap().state;
        match fate {
            RunningFate::GoesOn => assert_eq!(state().await, TaskState::Executing),
            RunningFate::Interrupted => {
                wait_until("it is interrupted", async || state().await == TaskState::Interrupted).await;
            }
        }
    }
}

fn read_file(home: &Home, name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(home.path_of("config").join(name)).unwrap()).unwrap()
}

fn write_env_file(home: &Home, text: &str) {
    let beside = home.path_of("beside.env");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, home.path_of("config").join(".env")).unwrap();
}

async fn play_row(row: &Row) {
    let (mut waiting, app) = Waiting::new().await;
    for change in &row.changes {
        waiting.make(change).await;
    }
    waiting.check_told(&row.fate).await;
    waiting.check_approved(&row.fate).await;
    waiting.check_yes(&row.fate).await;
    waiting.check_running(&row.running).await;
    let ran = waiting.home.record("notes").len();
    let expected = if matches!(row.fate, Fate::Runs) { 3 } else { 1 };
    assert_eq!(ran, expected, "{}: each call runs once or not at all", row.what);
    app.shutdown().await;
}

async fn play_rows(rows: Vec<Row>) {
    for some in rows.chunks(ROWS_AT_ONCE) {
        futures_util::future::join_all(some.iter().map(play_row)).await;
    }
}

#[tokio::test]
async fn of_edits_of_policy_only_a_deny_of_the_call_itself_voids_an_approval() {
    play_rows(edits_of_policy()).await;
}

#[tokio::test]
async fn an_approval_is_void_where_its_server_or_tool_is_another_and_not_where_it_only_looks_otherwise() {
    play_rows(edits_of_servers()).await;
}

#[tokio::test]
async fn an_approval_is_void_where_the_server_would_read_something_else() {
    play_rows(edits_of_other_files()).await;
}
