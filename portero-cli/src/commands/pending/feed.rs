//! Follows the calls that wait, through every restart of the daemon.

use std::convert::Infallible;
use std::time::Duration;

use portero::ipc::requests::approvals::{InspectTask, WatchTasks};
use portero::ipc::requests::overrides::GetOverrides;
use portero::ipc::{FailureKind, IpcClient, Look, Request, RequestError, Watched};
use portero::names::TaskId;
use portero::notice::{Notice, NoticeEntry};
use portero::paths::Paths;
use portero::task::TaskState;
use tokio::sync::mpsc;

use crate::daemon::DaemonClient;
use crate::failure::CommandFailure;

/// How long to wait before looking for the daemon again.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(500);

/// One event, in order.
pub(super) enum FeedEvent {
    /// The daemon is there, and can be asked through this.
    Connected(IpcClient),
    /// It is gone, and why; it is looked for.
    Disconnected(String),
    /// Whether everything is paused; told after `Up`.
    Paused(bool),
    /// These tasks wait and no others; each follows as `Waits`.
    WaitingReset(Vec<TaskId>),
    /// A task that waits, or did when it was told.
    TaskWaits(Box<Look>),
    /// Something changed.
    NoticeEntry(NoticeEntry),
    /// It cannot be followed at all; nothing comes after this.
    Failed(CommandFailure),
}

/// Why the daemon is no longer read from.
enum FeedEnd {
    /// The receiver is gone.
    ReceiverGone,
    /// It is gone.
    DaemonLost(String),
    /// It does not do this.
    Failed(CommandFailure),
}

/// Sends every event to `to` until its receiver is gone. A daemon that was stopped is waited for, not started.
pub(super) async fn follow_pending(mut daemon: DaemonClient, paths: Paths, to: mpsc::Sender<FeedEvent>) {
    loop {
        let client = daemon.client();
        let Err(end) = read_events(&client, &to).await;
        let told = match end {
            FeedEnd::ReceiverGone => return,
            FeedEnd::DaemonLost(why) => to.send(FeedEvent::Disconnected(why)).await,
            FeedEnd::Failed(failure) => {
                // A receiver that is gone needs no reason.
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

async fn read_events(client: &IpcClient, to: &mpsc::Sender<FeedEvent>) -> Result<Infallible, FeedEnd> {
    send_event(to, FeedEvent::Connected(client.clone())).await?;
    let standing = request(client, GetOverrides).await?;
    send_event(to, FeedEvent::Paused(standing.paused.is_some())).await?;
    let mut after = None;
    loop {
        let Watched { place, anew, entries } = tokio::select! {
            watched = request(client, WatchTasks { after }) => watched?,
            () = to.closed() => return Err(FeedEnd::ReceiverGone),
        };
        after = Some(place);
        if let Some(waiting) = anew {
            send_event(to, FeedEvent::WaitingReset(waiting.clone())).await?;
            for task in waiting {
                send_task_view(client, task, to).await?;
            }
        }
        for entry in entries {
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
        // It ended, and is removed already.
        Err(RequestError::Refused(failure)) if failure.kind == FailureKind::NotFound => Ok(()),
        Err(error) => Err(end_from_error(error)),
    }
}

async fn request<R: Request>(client: &IpcClient, request: R) -> Result<R::Response, FeedEnd> {
    client.request(request).await.map_err(end_from_error)
}

fn end_from_error(error: RequestError) -> FeedEnd {
    match error {
        // A daemon of an earlier release does not know these questions.
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
