//! Guarantee A10: an approved call is handed to the session that asked, once, and to no other.

use portero::digest::FieldDigest;
use portero::ipc::requests::approvals::{ApproveTask, CheckApproval, InspectTask};
use portero::ipc::requests::handover::{HoldChildren, ReportCheck, ReportOutcome};
use portero::ipc::requests::sessions::SubmitCall;
use portero::ipc::{DaemonFailure, FailureKind, IpcClient, PermitOutcome, PushMessage};
use portero::names::ChildGeneration;
use portero::permit::{CallPermit, PermitProblem};
use portero::policy::Overrides;
use portero::session_key::SessionKey;
use portero::task::{ChildGround, ChildLoss, Task, TaskState};
use serde_json::{Value, json};

use crate::support::{Home, Session, TEST_TIMEOUT, Terminal, call, challenge, is_kind, wait_until};

/// A home whose server `notes` keeps things between calls, unless `stateless`.
fn home(stateless: bool) -> Home {
    let home = Home::new();
    let text = std::fs::read_to_string(home.path_of("config/mcps.json")).unwrap();
    let mut servers: Value = serde_json::from_str(&text).unwrap();
    servers["mcps"][0]["stateless"] = json!(stateless);
    home.write("mcps.json", &servers);
    home
}

/// A session as `portero mcp` is one, but that a test answers for it.
struct Holder {
    session: Session,
    key: SessionKey,
    generation: ChildGeneration,
}

impl Holder {
    async fn new(home: &Home) -> Self {
        let holder = Self {
            session: plain_session(home).await,
            key: SessionKey::fresh(),
            generation: ChildGeneration::fresh(),
        };
        hold(&holder.session.client, &holder.key, holder.generation).await.unwrap();
        holder
    }

    fn ground(&self) -> ChildGround {
        let definition = Some("definition".to_owned());
        ChildGround { generation: self.generation, definition, binding: "binding".to_owned() }
    }

    async fn submit(&self, text: &str) -> Result<Task, DaemonFailure> {
        let (call, client) = call("notes/send", text);
        self.session.request(SubmitCall { call, client, child: Some(self.ground()) }).await.map(|task| *task)
    }

    /// Answers the daemon's question whether a call would run.
    async fn answer_check(&mut self, problem: Option<PermitProblem>) {
        let asked = self.session.wait_for_push(|push| matches!(push, PushMessage::CheckCall(_))).await;
        let PushMessage::CheckCall(check) = asked else { panic!("{asked:?}") };
        assert_eq!(check.ground, self.ground());
        self.session.request(ReportCheck { number: check.number, problem }).await.unwrap();
    }

    /// Has a person approve a task, and gives the permit.
    async fn approve(&mut self, person: &Terminal, task: &Task) -> CallPermit {
        let (approved, ()) = tokio::join!(person.approve(task), self.answer_check(None));
        assert!(matches!(approved.unwrap().state, TaskState::Approved | TaskState::Executing));
        self.permit().await
    }

    async fn permit(&mut self) -> CallPermit {
        let handed = self.session.wait_for_push(|push| matches!(push, PushMessage::RunCall(_))).await;
        let PushMessage::RunCall(permit) = handed else { panic!("{handed:?}") };
        *permit
    }

    async fn report(&self, permit: &CallPermit, outcome: PermitOutcome) -> Result<(), DaemonFailure> {
        report(&self.session.client, permit, outcome).await
    }
}

/// A session without a task of its own, so that dropping it ends its connection.
async fn plain_session(home: &Home) -> Session {
    let (client, others) = home.silent_session("project").await;
    Session { client, standing: tokio::sync::watch::channel(Overrides::default()).0, others }
}

async fn hold(client: &IpcClient, key: &SessionKey, generation: ChildGeneration) -> Result<(), String> {
    let children = vec![("notes".parse().unwrap(), generation)];
    let held = client.request(HoldChildren { key: key.to_shown().into(), children }).await;
    held.map_err(|error| error.to_string())
}

async fn report(
    client: &IpcClient,
    permit: &CallPermit,
    outcome: PermitOutcome,
) -> Result<(), DaemonFailure> {
    let request = ReportOutcome { task: permit.task(), nonce: permit.nonce(), outcome };
    match client.request(request).await {
        Ok(()) => Ok(()),
        Err(portero::ipc::RequestError::Refused(failure)) => Err(failure),
        Err(other) => panic!("{other}"),
    }
}

fn answered(text: &str) -> PermitOutcome {
    PermitOutcome::Result(serde_json::from_value(json!({"text": text})).unwrap())
}

#[tokio::test]
async fn the_session_that_asked_makes_the_call_and_its_outcome_counts_once() {
    let home = home(false);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let mut holder = Holder::new(&home).await;
    let task = holder.submit("John Doe").await.unwrap();
    let permit = holder.approve(&person, &task).await;
    holder.report(&permit, answered("Jane Roe")).await.unwrap();
    let done = holder.session.finished(&task).await;
    assert_eq!(done.state, TaskState::Completed);
    let result = done.result.unwrap();
    assert!(result.get().get().contains("John Doe"), "concealed by the daemon too: {result:?}");
    let again = holder.report(&permit, answered("other")).await;
    assert!(is_kind(&again, FailureKind::Refused), "{again:?}");
    assert!(home.record("notes").is_empty(), "no process of the daemon's was called");
    app.shutdown().await;
}

#[tokio::test]
async fn another_connection_neither_gets_the_permit_nor_reports_for_it() {
    let home = home(false);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let mut holder = Holder::new(&home).await;
    let task = holder.submit("hello").await.unwrap();
    // It says the same project and the same process, and lacks the key.
    let mut impostor = home.session("project").await;
    hold(&impostor.client, &SessionKey::fresh(), holder.generation).await.unwrap();
    let permit = holder.approve(&person, &task).await;
    let forged = report(&impostor.client, &permit, answered("forged")).await;
    assert!(is_kind(&forged, FailureKind::Refused), "{forged:?}");
    holder.report(&permit, answered("real")).await.unwrap();
    let done = holder.session.finished(&task).await;
    assert!(done.result.unwrap().get().get().contains("real"));
    // Everything that was pushed before this answer has arrived.
    impostor.finished(&task).await;
    while let Ok(push) = impostor.others.try_recv() {
        assert!(!matches!(push, PushMessage::RunCall(_) | PushMessage::CheckCall(_)), "{push:?}");
    }
    let other = hold(&holder.session.client, &SessionKey::fresh(), holder.generation).await;
    assert!(other.unwrap_err().contains("another session's key"));
    app.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_breaks_with_the_permit_leaves_the_call_interrupted_for_good() {
    let home = home(false);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let mut holder = Holder::new(&home).await;
    let task = holder.submit("hello").await.unwrap();
    let permit = holder.approve(&person, &task).await;
    let (key, generation) = (holder.key.clone(), holder.generation);
    drop(holder);
    let mut back = home.session("project").await;
    let ended = back.finished(&task).await;
    assert_eq!(ended.state, TaskState::Interrupted);
    assert!(ended.note.unwrap().get().contains("whether it took effect is unknown"));
    // The same process comes back: it gets nothing again, and what it says comes too late.
    hold(&back.client, &key, generation).await.unwrap();
    let late = report(&back.client, &permit, answered("late")).await;
    assert!(is_kind(&late, FailureKind::Refused), "{late:?}");
    assert_eq!(back.finished(&task).await.state, TaskState::Interrupted);
    while let Ok(push) = back.others.try_recv() {
        assert!(!matches!(push, PushMessage::RunCall(_)), "{push:?}");
    }
    app.shutdown().await;
}

/// Why a yes would not do, as a card and a terminal tell it.
async fn loss(person: &Terminal, task: &Task) -> Option<ChildLoss> {
    person.request(InspectTask { task: task.id }).await.unwrap().loss
}

#[tokio::test]
async fn where_the_process_is_lost_the_person_is_told_and_may_agree_to_another() {
    let home = home(false);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let mut holder = Holder::new(&home).await;
    let task = holder.submit("hello").await.unwrap();
    assert_eq!(loss(&person, &task).await, None);

    // Another process of the same session.
    hold(&holder.session.client, &holder.key, ChildGeneration::fresh()).await.unwrap();
    let refused = person.approve(&task).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::OtherProcess);
    assert!(refused.message.contains("its server was restarted since"), "{refused:?}");
    assert!(refused.hint.unwrap().contains("--fresh"));
    assert_eq!(loss(&person, &task).await, Some(ChildLoss::ServerRestarted));

    // The same process, and what a person was asked about is not what it offers now.
    hold(&holder.session.client, &holder.key, holder.generation).await.unwrap();
    let changed = Some(PermitProblem::Changed("the tool's definition".to_owned()));
    let (refused, ()) = tokio::join!(person.approve(&task), holder.answer_check(changed));
    assert_eq!(refused.unwrap_err().kind, FailureKind::Void);

    drop(holder);
    wait_until("the session is gone", async || loss(&person, &task).await == Some(ChildLoss::SessionEnded))
        .await;
    let refused = person.request(CheckApproval { task: task.id, fresh: false }).await.unwrap_err();
    assert!(refused.message.contains("the session that asked has ended"), "{refused:?}");
    assert_eq!(person.approve(&task).await.unwrap_err().kind, FailureKind::OtherProcess);
    assert!(home.record("notes").is_empty(), "nothing ran");

    // The definition is not what the session said: another process would not run the same.
    let fresh = ApproveTask { task: task.id, fresh: true, challenge: challenge() };
    let void = person.request(fresh).await.unwrap_err();
    assert!(void.kind == FailureKind::Void && void.message.contains("definition"), "{void:?}");
    app.shutdown().await;
}

/// The definition digest of a tool, as a session would say it.
async fn definition(session: &Session) -> String {
    let (call, client) = call("notes/send", "for its definition");
    let task = session.request(SubmitCall { call, client, child: None }).await;
    let refused = task.unwrap_err();
    assert!(refused.message.contains("does not say in which process"), "{refused:?}");
    listed_definition()
}

/// The digest of the definition of `send`, as its server lists it.
fn listed_definition() -> String {
    let tool = portero::json::serialize_raw(&crate::fake_server::tool("send"));
    let canonical = portero::json::canonicalize(&tool).unwrap();
    FieldDigest::new("portero tool definition v1").bytes("canonical", canonical).to_hex()
}

#[tokio::test]
async fn a_person_who_agrees_has_it_run_in_a_process_of_the_daemons() {
    let home = home(false);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let holder = Holder::new(&home).await;
    let session = home.session("project").await;
    let ground = ChildGround { definition: Some(definition(&session).await), ..holder.ground() };
    let (call, client) = call("notes/send", "hello");
    let task = holder.session.request(SubmitCall { call, client, child: Some(ground) }).await.unwrap();
    drop(holder);
    wait_until("the session is gone", async || loss(&person, &task).await.is_some()).await;
    let yes = ApproveTask { task: task.id, fresh: true, challenge: challenge() };
    person.request(yes).await.unwrap();
    let done = session.finished(&task).await;
    assert_eq!(done.state, TaskState::Completed, "{done:?}");
    assert!(done.fresh);
    assert_eq!(home.record("notes").len(), 1);
    app.shutdown().await;
}

#[tokio::test]
async fn what_was_approved_waits_for_its_session_while_that_is_not_connected() {
    let home = home(false);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let mut holder = Holder::new(&home).await;
    let task = holder.submit("hello").await.unwrap();
    person.request(portero::ipc::requests::overrides::Pause).await.unwrap();
    let (approved, ()) = tokio::join!(person.approve(&task), holder.answer_check(None));
    assert_eq!(approved.unwrap().state, TaskState::Approved);
    let (key, generation) = (holder.key.clone(), holder.generation);
    app.shutdown().await;
    drop(holder);

    let app = home.start().await;
    let person = home.terminal().await;
    let resume = portero::ipc::requests::overrides::Resume { challenge: challenge() };
    person.request(resume).await.unwrap();
    let session = home.session("project").await;
    let mut back = Holder { session, key, generation };
    hold(&back.session.client, &back.key, generation).await.unwrap();
    let permit = back.permit().await;
    back.report(&permit, answered("done")).await.unwrap();
    assert_eq!(back.session.finished(&task).await.state, TaskState::Completed);
    app.shutdown().await;
}

#[tokio::test]
async fn a_stateless_servers_call_runs_in_the_daemon_once_its_session_is_gone() {
    let home = home(true);
    let app = home.start().await;
    let person = home.terminal_with_passphrase().await;
    let holder = Holder::new(&home).await;
    let session = home.session("project").await;
    let definition = Some(listed_definition());
    let (call, client) = call("notes/send", "hello");
    let child = Some(ChildGround { definition, ..holder.ground() });
    let task = holder.session.request(SubmitCall { call, client, child }).await.unwrap();
    drop(holder);
    let approving = async {
        loop {
            // While the connection lingers, the session would be asked.
            if let Ok(task) = person.approve(&task).await {
                return task;
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, approving).await.unwrap();
    let done = session.finished(&task).await;
    assert_eq!(done.state, TaskState::Completed, "{done:?}");
    assert!(!done.fresh && home.record("notes").len() == 1);
    app.shutdown().await;
}

#[tokio::test]
async fn the_same_call_of_two_sessions_is_two_questions() {
    let home = home(false);
    let app = home.start().await;
    let (one, other) = (Holder::new(&home).await, Holder::new(&home).await);
    let first = one.submit("hello").await.unwrap();
    assert_eq!(one.submit("hello").await.unwrap().id, first.id);
    assert_ne!(other.submit("hello").await.unwrap().id, first.id, "each runs where it was asked");
    app.shutdown().await;
}
