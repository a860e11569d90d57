//! Follows what waits, through every restart of the daemon.

use std::convert::Infallible;
use std::time::Duration;

use portero::ipc::requests::approvals::{InspectTask, WatchTasks};
use portero::ipc::requests::overrides::GetOverrides;
use portero::ipc::{AskError, Client, FailureKind, Look, Request, Watched};
use portero::names::TaskId;
use portero::notice::{Entry, Notice};
use portero::paths::Paths;
use portero::task::State;
use tokio::sync::mpsc;

use crate::daemon::Daemon;
use crate::failure::Failure;

/// How long to wait before looking for the daemon again.
const AGAIN: Duration = Duration::from_millis(500);

/// What whoever follows hears, in order.
pub(super) enum Heard {
    /// The daemon is there, and can be asked through this.
    Up(Client),
    /// It is gone, and why; it is looked for.
    Down(String),
    /// Whether everything is paused; told after `Up`.
    Paused(bool),
    /// These tasks wait and no others; each follows as `Waits`.
    Anew(Vec<TaskId>),
    /// A task that waits, or did when it was told.
    Waits(Box<Look>),
    /// Something changed.
    Entry(Entry),
    /// It cannot be followed at all; nothing comes after this.
    Failed(Failure),
}

/// Why the daemon is no longer read from.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// It is gone.
    Lost(String),
    /// It does not do this.
    Failed(Failure),
}

/// Tells `to` everything until nobody listens there. A daemon that was stopped is waited for, not started.
pub(super) async fn follow(mut daemon: Daemon, paths: Paths, to: mpsc::Sender<Heard>) {
    loop {
        let client = daemon.client();
        let Err(end) = read(&client, &to).await;
        let told = match end {
            End::Unheard => return,
            End::Lost(why) => to.send(Heard::Down(why)).await,
            End::Failed(failure) => {
                // Nobody may listen any more; then it does not matter.
                let _ = to.send(Heard::Failed(failure)).await;
                return;
            }
        };
        if told.is_err() {
            return;
        }
        daemon = tokio::select! {
            () = to.closed() => return,
            daemon = again(&paths) => daemon,
        };
    }
}

async fn again(paths: &Paths) -> Daemon {
    loop {
        tokio::time::sleep(AGAIN).await;
        if let Ok(daemon) = Daemon::connect(paths).await {
            return daemon;
        }
    }
}

async fn read(client: &Client, to: &mpsc::Sender<Heard>) -> Result<Infallible, End> {
    tell(to, Heard::Up(client.clone())).await?;
    let standing = request(client, GetOverrides).await?;
    tell(to, Heard::Paused(standing.paused.is_some())).await?;
    let mut after = None;
    loop {
        let Watched { place, anew, entries } = tokio::select! {
            watched = request(client, WatchTasks { after }) => watched?,
            () = to.closed() => return Err(End::Unheard),
        };
        after = Some(place);
        if let Some(waiting) = anew {
            tell(to, Heard::Anew(waiting.clone())).await?;
            for task in waiting {
                look(client, task, to).await?;
            }
        }
        for entry in entries {
            let opened = match &entry.notice {
                Notice::Task { task, state: State::PendingApproval, .. } | Notice::Vote { task, .. } => {
                    Some(*task)
                }
                _ => None,
            };
            tell(to, Heard::Entry(entry)).await?;
            if let Some(task) = opened {
                look(client, task, to).await?;
            }
        }
    }
}

async fn look(client: &Client, task: TaskId, to: &mpsc::Sender<Heard>) -> Result<(), End> {
    match client.request(InspectTask { task }).await {
        Ok(look) => tell(to, Heard::Waits(look)).await,
        // It ended, and is removed already.
        Err(AskError::Refused(failure)) if failure.kind == FailureKind::NotFound => Ok(()),
        Err(error) => Err(ended(error)),
    }
}

async fn request<R: Request>(client: &Client, request: R) -> Result<R::Response, End> {
    client.request(request).await.map_err(ended)
}

fn ended(error: AskError) -> End {
    match error {
        // A daemon of an earlier release does not know these questions.
        AskError::Refused(failure) if failure.kind == FailureKind::Invalid => End::Failed(failure.into()),
        error @ (AskError::Refused(_) | AskError::Closed(_) | AskError::Unsent(_)) => {
            End::Lost(error.to_string())
        }
        error @ AskError::Unreadable { .. } => End::Failed(Failure::refused(error.to_string())),
    }
}

async fn tell(to: &mpsc::Sender<Heard>, heard: Heard) -> Result<(), End> {
    to.send(heard).await.map_err(|_| End::Unheard)
}
