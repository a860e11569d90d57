//! The handover of an approved call to its session: the daemon killed at each of its points, and the session too. The call
//! is never made twice (guarantee A2).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use portero::ipc::PermitOutcome;
use portero::ipc::requests::handover::{HoldChildren, ReportCheck, ReportOutcome};
use portero::names::ChildGeneration;
use portero::session_key::SessionKey;
use portero::task::ChildGround;

use super::*;

/// How far a session goes before it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastStep {
    /// It has the permit.
    Handed,
    /// Its server was called.
    Ran,
    /// It goes on.
    Never,
}

/// A session's process: it holds one process of the server, and writes each call down that it makes there.
pub(super) struct Holder {
    key: SessionKey,
    generation: ChildGeneration,
    record: PathBuf,
}

impl Holder {
    pub(super) fn new(home: &Home) -> Self {
        let (key, generation) = (SessionKey::fresh(), ChildGeneration::fresh());
        Self { key, generation, record: home.path_of("record") }
    }

    /// Connects and serves the daemon until the connection ends, the session itself does, or no push comes for long.
    pub(super) async fn serve(&self, home: &Home, last: LastStep) -> IpcClient {
        let (client, mut pushes) = home.connect_for_pushes(home.session_role()).await;
        let (server, record) = ("notes".parse().unwrap(), self.record.clone());
        let held =
            HoldChildren { key: self.key.to_shown().into(), children: vec![(server, self.generation)] };
        // The daemon may be gone already.
        let _ = client.request(held).await;
        let answering = client.clone();
        tokio::spawn(async move {
            while let Ok(Some(push)) = tokio::time::timeout(TEST_TIMEOUT, pushes.recv()).await {
                match push {
                    PushMessage::CheckCall(check) => {
                        let report = ReportCheck { number: check.number, problem: None };
                        let _ = answering.request(report).await;
                    }
                    PushMessage::RunCall(permit) => {
                        if last == LastStep::Handed {
                            return;
                        }
                        make_call(&record);
                        if last == LastStep::Ran {
                            return;
                        }
                        let outcome =
                            PermitOutcome::Result(serde_json::from_str("{\"content\":[]}").unwrap());
                        let (task, nonce) = (permit.task(), permit.nonce());
                        let _ = answering.request(ReportOutcome { task, nonce, outcome }).await;
                    }
                    _ => {}
                }
            }
        });
        client
    }

    pub(super) fn submit_request(&self) -> SubmitCall {
        let ground = ChildGround {
            generation: self.generation,
            definition: Some("definition".to_owned()),
            binding: "binding".to_owned(),
        };
        SubmitCall { child: Some(ground), ..submit_request() }
    }
}

fn make_call(record: &Path) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(record).unwrap();
    file.write_all(b"{}\n").unwrap();
}

/// The agent asks, the person says yes; the daemon may be gone at any moment.
async fn ask_and_approve(home: &Home, session: &IpcClient, holder: &Holder) -> Result<Task, RequestError> {
    let person = home.connect(PeerRole::Terminal).await;
    person.request(SetPassphrase { old: None, new: challenge() }).await?;
    let task = session.request(holder.submit_request()).await?;
    person.request(ApproveTask { task: task.id, fresh: false, challenge: challenge() }).await?;
    Ok(*task)
}

/// Every point from the approval on, in order.
const HANDOVER_POINTS: [(&str, TaskState, usize); 11] = [
    ("committed approved", TaskState::Completed, 1),
    ("changed executing", TaskState::Completed, 1),
    ("recorded executing", TaskState::Completed, 1),
    ("committed executing", TaskState::Interrupted, 0),
    ("claimed", TaskState::Interrupted, 0),
    ("permit sent", TaskState::Interrupted, 0),
    ("outcome reported", TaskState::Interrupted, 1),
    ("answered", TaskState::Interrupted, 1),
    ("changed completed", TaskState::Interrupted, 1),
    ("recorded completed", TaskState::Interrupted, 1),
    ("committed completed", TaskState::Completed, 1),
];

#[tokio::test]
async fn killed_at_any_point_of_a_handover_the_call_is_made_at_most_once() {
    for (point, state, ran) in HANDOVER_POINTS {
        let home = Home::with_server(false);
        let holder = Holder::new(&home);
        let mut daemon = home.start_daemon(Some(point));
        let session = holder.serve(&home, LastStep::Never).await;
        let _ = ask_and_approve(&home, &session, &holder).await;
        // The session goes on while the test waits for the end of the daemon's process.
        let killed = tokio::task::spawn_blocking(move || daemon.was_killed()).await.unwrap();
        assert!(killed, "{point} was not reached");

        let mut daemon = home.start_daemon(None);
        // The session's process went on, and connects again as it does.
        let _session = holder.serve(&home, LastStep::Never).await;
        let person = home.connect(PeerRole::Terminal).await;
        let task = wait_until_at_rest(&person).await.unwrap();
        assert_eq!((task.state, home.count_runs()), (state, ran), "{point}");
        let yes = person.request(ApproveTask { task: task.id, fresh: false, challenge: challenge() }).await;
        assert!(yes.is_err(), "{point}: it was approved before");
        check_audit(point, &home, &person).await;
        person.request(StopDaemon).await.unwrap();
        assert!(daemon.wait_for_exit().success(), "{point}");

        let _again = home.start_daemon(None);
        let _session = holder.serve(&home, LastStep::Never).await;
        let person = home.connect(PeerRole::Terminal).await;
        assert_eq!(wait_until_at_rest(&person).await.unwrap().state, state, "{point}");
        assert_eq!(home.count_runs(), ran, "{point}");
    }
}

#[tokio::test]
async fn a_session_that_is_gone_at_any_step_leaves_the_call_interrupted() {
    for (last, ran) in [(LastStep::Handed, 0), (LastStep::Ran, 1)] {
        let home = Home::with_server(false);
        let holder = Holder::new(&home);
        let _daemon = home.start_daemon(None);
        let session = holder.serve(&home, last).await;
        ask_and_approve(&home, &session, &holder).await.unwrap();
        drop(session);
        let person = home.connect(PeerRole::Terminal).await;
        let task = wait_until_at_rest(&person).await.unwrap();
        assert_eq!((task.state, home.count_runs()), (TaskState::Interrupted, ran), "{last:?}");
        let note = task.note.unwrap();
        assert!(note.get().contains("whether it took effect is unknown"), "{last:?}: {note:?}");
        // Its process comes back: nothing is handed to it a second time.
        let _session = holder.serve(&home, LastStep::Never).await;
        assert_eq!(wait_until_at_rest(&person).await.unwrap().state, TaskState::Interrupted);
        assert_eq!(home.count_runs(), ran, "{last:?}");
    }
}
