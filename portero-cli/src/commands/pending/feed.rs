//! Follows the waiting calls, across restarts of the daemon.

use std::convert::Infallible;
use std::time::Duration;

use portero::ipc::requests::approvals::{InspectTask, WatchTasks};
use portero::ipc::requests::overrides::GetOverrides;
use portero::ipc::{FailureKind, InspectedTask, IpcClient, Request, RequestError, TaskChanges};
use portero::names::TaskId;
use portero::notice::{Notice, NoticeEntry};
use portero::paths::Paths;
use portero::task::TaskState;
use tokio::sync::mpsc;

use crate::daemon::DaemonClient;
use crate::failure::CommandFailure;

/// How long to wait before connecting again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(500);

/// An event of the feed; events come in order.
pub(super) enum FeedEvent {
    /// The daemon is connected; requests go through this client.
    Connected(IpcClient),
    /// The connection is lost, with the reason; it is being restored.
    Disconnected(String),
    /// Whether everything is paused; it follows `Connected`.
    Paused(bool),
    /// Exactly these tasks wait; each one follows as `TaskWaits`.
    WaitingReset(Vec<TaskId>),
    /// A task that waits, or did when the event was made.
    TaskWaits(Box<InspectedTask>),
    /// A notice of a change.
    NoticeEntry(NoticeEntry),
    /// Following is impossible; no event comes after this one.
    Failed(CommandFailure),
}

/// Why reading from the daemon ended.
enum FeedEnd {
    /// The receiver is gone.
    ReceiverGone,
    /// The connection was lost.
    DaemonLost(String),
    /// The daemon refuses to be followed.
    Failed(CommandFailure),
}

/// Sends every event to `to` until its receiver is gone. A stopped daemon isn't started again, because a
/// person may have stopped it.
pub(super) async fn follow_pending(mut daemon: DaemonClient, paths: Paths, to: mpsc::Sender<FeedEvent>) {
    loop {
        let client = daemon.client();
        let Err(end) = read_events(&client, &to).await;
        let told = match end {
            FeedEnd::ReceiverGone => return,
            FeedEnd::DaemonLost(why) => to.send(FeedEvent::Disconnected(why)).await,
            FeedEnd::Failed(failure) => {
                // If the receiver is gone, it needs no reason.
                let _ = to.send(FeedEvent::Failed(failure)).await;
                return;
            }
        };
        if told.is_err() {
            return;
        }
        daemon = tokio::select! {
            () = to.closed() => return,
            daemon = reconnect(&paths) => daemon,
        };
    }
}

async fn reconnect(paths: &Paths) -> DaemonClient {
    loop {
        tokio::time::sleep(RECONNECT_INTERVAL).await;
        if let Ok(daemon) = DaemonClient::connect(paths).await {
            return daemon;
        }
    }
}

// The pause is read before the first watch, and the notices change it afterwards.
// `WatchTasks` blocks in the daemon until something changes, so this loop doesn't poll.
async fn read_events(client: &IpcClient, to: &mpsc::Sender<FeedEvent>) -> Result<Infallible, FeedEnd> {
    send_event(to, FeedEvent::Connected(client.clone())).await?;
    let standing = request(client, GetOverrides).await?;
    send_event(to, FeedEvent::Paused(standing.paused.is_some())).await?;
    let mut after = None;
    loop {
        let TaskChanges { place, anew, entries } = tokio::select! {
            watched = request(client, WatchTasks { after }) => watched?,
            () = to.closed() => return Err(FeedEnd::ReceiverGone),
        };
        // The place moves before the events are sent: after a reconnect the daemon starts over anyway.
        after = Some(place);
        if let Some(waiting) = anew {
            send_event(to, FeedEvent::WaitingReset(waiting.clone())).await?;
            for task in waiting {
                send_task_view(client, task, to).await?;
            }
        }
        for entry in entries {
            // A new task and a vote change what the person decides about, so the whole task is read again.
            let opened = match &entry.notice {
                Notice::Task { task, state: TaskState::PendingApproval, .. } | Notice::Vote { task, .. } => {
                    Some(*task)
                }
                _ => None,
            };
            send_event(to, FeedEvent::NoticeEntry(entry)).await?;
            if let Some(task) = opened {
                send_task_view(client, task, to).await?;
            }
        }
    }
}

async fn send_task_view(
    client: &IpcClient,
    task: TaskId,
    to: &mpsc::Sender<FeedEvent>,
) -> Result<(), FeedEnd> {
    match client.request(InspectTask { task }).await {
        Ok(look) => send_event(to, FeedEvent::TaskWaits(look)).await,
        // The task has ended and was removed.
        Err(RequestError::Refused(failure)) if failure.kind == FailureKind::NotFound => Ok(()),
        Err(error) => Err(end_from_error(error)),
    }
}

async fn request<R: Request>(client: &IpcClient, request: R) -> Result<R::Response, FeedEnd> {
    client.request(request).await.map_err(end_from_error)
}

fn end_from_error(error: RequestError) -> FeedEnd {
    match error {
        // A daemon of an earlier release doesn't know these requests, and no retry can help.
        RequestError::Refused(failure) if failure.kind == FailureKind::Invalid => {
            FeedEnd::Failed(failure.into())
        }
        error @ (RequestError::Refused(_) | RequestError::Closed(_) | RequestError::Unsent(_)) => {
            FeedEnd::DaemonLost(error.to_string())
        }
        error @ RequestError::Unreadable { .. } => {
            FeedEnd::Failed(CommandFailure::refused(error.to_string()))
        }
    }
}

async fn send_event(to: &mpsc::Sender<FeedEvent>, heard: FeedEvent) -> Result<(), FeedEnd> {
    to.send(heard).await.map_err(|_| FeedEnd::ReceiverGone)
}
