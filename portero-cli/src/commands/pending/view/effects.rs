//! What a person decided, done.

use portero::ipc::requests::approvals::{ApproveTask, CheckApproval, RejectTask};
use portero::ipc::requests::overrides::Pause;
use portero::ipc::{Challenge, FailureKind, IpcClient, RequestError};
use portero::names::TaskId;
use portero::task::Task;

use super::super::super::tasks;
use super::keys::ViewEffect;
use super::state::EffectResult;

/// Tells whether a yes would make it run. Where that can't be asked, the yes itself tells.
async fn check_approvable(client: &IpcClient, task: TaskId) -> EffectResult {
    match client.request(CheckApproval { task }).await {
        Err(RequestError::Refused(failure)) => EffectResult::NotApprovable { task, why: failure.message },
        Ok(_) | Err(RequestError::Closed(_) | RequestError::Unsent(_) | RequestError::Unreadable { .. }) => {
            EffectResult::Approvable
        }
    }
}

/// Asks the daemon to do it, and says what came of it.
pub(super) async fn run_effect(client: IpcClient, effect: ViewEffect) -> EffectResult {
    match effect {
        ViewEffect::CheckApprovable { task } => check_approvable(&client, task).await,
        ViewEffect::Approve { task, passphrase } => {
            let challenge = Challenge::new(passphrase.expose());
            describe_decision(task, client.request(ApproveTask { task, challenge }).await)
        }
        ViewEffect::Reject { task, reason } => {
            describe_decision(task, client.request(RejectTask { task, reason, for_now: false }).await)
        }
        ViewEffect::Pause => match client.request(Pause).await {
            Ok(_) => EffectResult::Done("everything is paused; `portero resume` ends it".to_owned()),
            Err(error) => failed(None, error),
        },
        ViewEffect::Quit => EffectResult::Done(String::new()),
    }
}

fn describe_decision(task: TaskId, decided: Result<Box<Task>, RequestError>) -> EffectResult {
    match decided {
        Ok(task) => {
            EffectResult::Done(format!("{} {} is {}", tasks::short_id(task.id), task.call.tool, task.state))
        }
        Err(error) => failed(Some(task), error),
    }
}

fn failed(task: Option<TaskId>, error: RequestError) -> EffectResult {
    match (error, task) {
        (RequestError::Refused(failure), _) if failure.kind == FailureKind::Challenge => {
            EffectResult::WrongPassphrase(failure.message)
        }
        (RequestError::Refused(failure), _) => EffectResult::Failed(match failure.hint {
            Some(hint) => format!("{}; {hint}", failure.message),
            None => failure.message,
        }),
        (error @ (RequestError::Closed(_) | RequestError::Unreadable { .. }), Some(task)) => {
            EffectResult::Failed(format!(
                "{error}; look with `portero task {}` whether it was done",
                tasks::short_id(task)
            ))
        }
        (
            error @ (RequestError::Closed(_) | RequestError::Unsent(_) | RequestError::Unreadable { .. }),
            _,
        ) => EffectResult::Failed(error.to_string()),
    }
}
