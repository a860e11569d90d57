//! What a person decided, done.

use portero::ipc::requests::approvals::{ApproveTask, CheckApproval, RejectTask};
use portero::ipc::requests::overrides::Pause;
use portero::ipc::{AskError, Challenge, Client, FailureKind};
use portero::names::TaskId;
use portero::task::Task;

use super::super::super::tasks;
use super::keys::Effect;
use super::state::Acted;

/// Tells whether a yes would make it run. Where that can't be asked, the yes itself tells.
async fn check(client: &Client, task: TaskId) -> Acted {
    match client.request(CheckApproval { task }).await {
        Err(AskError::Refused(failure)) => Acted::Void { task, why: failure.message },
        Ok(_) | Err(AskError::Closed(_) | AskError::Unsent(_) | AskError::Unreadable { .. }) => {
            Acted::Runnable
        }
    }
}

/// Asks the daemon to do it, and says what came of it.
pub(super) async fn act(client: Client, effect: Effect) -> Acted {
    match effect {
        Effect::Check { task } => check(&client, task).await,
        Effect::Approve { task, passphrase } => {
            let challenge = Challenge::new(passphrase.expose());
            describe_decision(task, client.request(ApproveTask { task, challenge }).await)
        }
        Effect::Reject { task, reason } => {
            describe_decision(task, client.request(RejectTask { task, reason, for_now: false }).await)
        }
        Effect::Pause => match client.request(Pause).await {
            Ok(_) => Acted::Done("everything is paused; `portero resume` ends it".to_owned()),
            Err(error) => failed(None, error),
        },
        Effect::Quit => Acted::Done(String::new()),
    }
}

fn describe_decision(task: TaskId, decided: Result<Box<Task>, AskError>) -> Acted {
    match decided {
        Ok(task) => Acted::Done(format!("{} {} is {}", tasks::short(task.id), task.call.tool, task.state)),
        Err(error) => failed(Some(task), error),
    }
}

fn failed(task: Option<TaskId>, error: AskError) -> Acted {
    match (error, task) {
        (AskError::Refused(failure), _) if failure.kind == FailureKind::Challenge => {
            Acted::Wrong(failure.message)
        }
        (AskError::Refused(failure), _) => Acted::Failed(match failure.hint {
            Some(hint) => format!("{}; {hint}", failure.message),
            None => failure.message,
        }),
        (error @ (AskError::Closed(_) | AskError::Unreadable { .. }), Some(task)) => Acted::Failed(format!(
            "{error}; look with `portero task {}` whether it was done",
            tasks::short(task)
        )),
        (error @ (AskError::Closed(_) | AskError::Unsent(_) | AskError::Unreadable { .. }), _) => {
            Acted::Failed(error.to_string())
        }
    }
}
