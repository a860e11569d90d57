//! An allowed call joins the identical one that waits: the daemon killed at each point. The call is never made twice
//! (guarantees A2, A9).

use portero::ipc::requests::sessions::JoinCall;
use portero::pipeline::JoinedCall;

use super::handover::{Holder, LastStep};
use super::*;

/// The agent asks, the person grants, the agent calls again; the daemon may be gone at any moment.
async fn ask_grant_and_join(
    home: &Home,
    session: &IpcClient,
    holder: &Holder,
    uses: Option<u32>,
) -> Result<(), RequestError> {
    let person = home.connect(PeerRole::Terminal).await;
    person.request(SetPassphrase { old: None, new: challenge() }).await?;
    let task = session.request(holder.submit_request()).await?;
    let limits = GrantLimits { uses: uses.and_then(NonZeroU32::new), ..GrantLimits::default() };
    person.request(make_grant(limits)).await?;
    session.request(join_request(holder, &task)).await.map(drop)
}

fn make_grant(limits: GrantLimits) -> CreateGrant {
    let pattern = "notes/send".parse().unwrap();
    CreateGrant { pattern, millis: 3_600_000, limits, run_waiting: Vec::new(), challenge: challenge() }
}

fn join_request(holder: &Holder, task: &Task) -> JoinCall {
    let SubmitCall { call, client, child } = holder.submit_request();
    JoinCall { task: task.id, call, client, child }
}

/// Every point from the second call on, with the task's state after it and how often the call was made; then whether a
/// third call joins.
const JOIN_POINTS: [(&str, TaskState, usize); 14] = [
    ("changed use", TaskState::PendingApproval, 0),
    ("recorded use", TaskState::PendingApproval, 0),
    ("committed use", TaskState::PendingApproval, 0),
    ("changed approved", TaskState::PendingApproval, 0),
    ("recorded approved", TaskState::PendingApproval, 0),
    ("committed approved", TaskState::Completed, 1),
    ("changed executing", TaskState::Completed, 1),
    ("committed executing", TaskState::Interrupted, 0),
    ("claimed", TaskState::Interrupted, 0),
    ("permit sent", TaskState::Interrupted, 0),
    ("outcome reported", TaskState::Interrupted, 1),
    ("answered", TaskState::Interrupted, 1),
    ("changed completed", TaskState::Interrupted, 1),
    ("committed completed", TaskState::Completed, 1),
];

#[tokio::test]
async fn killed_at_any_point_of_a_join_the_call_is_made_at_most_once() {
    for (point, state, ran) in JOIN_POINTS {
        let home = Home::with_server(false);
        let holder = Holder::new(&home);
        let mut daemon = home.start_daemon(Some(point));
        let session = holder.serve(&home, LastStep::Never).await;
        let _ = ask_grant_and_join(&home, &session, &holder, Some(5)).await;
        let killed = tokio::task::spawn_blocking(move || daemon.was_killed()).await.unwrap();
        assert!(killed, "{point} was not reached");

        let _daemon = home.start_daemon(None);
        let session = holder.serve(&home, LastStep::Never).await;
        let person = home.connect(PeerRole::Terminal).await;
        let task = wait_until_at_rest(&person).await.unwrap();
        assert_eq!((task.state, home.count_runs()), (state, ran), "{point}");
        check_audit(point, &home, &person).await;

        // The agent calls once more. What ended is over, and what waits is the one run.
        let joined = session.request(join_request(&holder, &task)).await.unwrap();
        match state {
            TaskState::PendingApproval => {
                assert!(matches!(joined, JoinedCall::Runs(_)), "{point}: {joined:?}");
                let task = wait_until_at_rest(&person).await.unwrap();
                assert_eq!((task.state, home.count_runs()), (TaskState::Completed, 1), "{point}");
            }
            _ => {
                assert!(matches!(joined, JoinedCall::Ended), "{point}: {joined:?}");
                assert_eq!(home.count_runs(), ran, "{point}");
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_is_gone_at_any_step_leaves_the_joined_call_interrupted() {
    for (last, ran) in [(LastStep::Handed, 0), (LastStep::Ran, 1)] {
        let home = Home::with_server(false);
        let holder = Holder::new(&home);
        let _daemon = home.start_daemon(None);
        let session = holder.serve(&home, last).await;
        ask_grant_and_join(&home, &session, &holder, None).await.unwrap();
        drop(session);
        let person = home.connect(PeerRole::Terminal).await;
        let task = wait_until_at_rest(&person).await.unwrap();
        assert_eq!((task.state, home.count_runs()), (TaskState::Interrupted, ran), "{last:?}");
        let session = holder.serve(&home, LastStep::Never).await;
        let joined = session.request(join_request(&holder, &task)).await.unwrap();
        assert!(matches!(joined, JoinedCall::Ended), "{last:?}: {joined:?}");
        assert_eq!(home.count_runs(), ran, "{last:?}");
    }
}
