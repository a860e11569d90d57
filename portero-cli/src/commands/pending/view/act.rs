//! What a person decided, done.

use portero::ipc::{Ask, AskError, Challenge, Client, FailureKind, Reply};

use portero::names::TaskId;

use super::super::super::tasks;
use super::keys::Effect;
use super::state::Acted;

/// Tells whether a yes would make it run. Where that can't be asked, the yes itself tells.
async fn check(client: &Client, task: TaskId) -> Acted {
    match client.ask(Ask::Approvable { task }).await {
        Err(AskError::Refused(failure)) => Acted::Void { task, why: failure.message },
        Ok(_) | Err(AskError::Closed(_) | AskError::Unsent(_)) => Acted::Runnable,
    }
}

/// Asks the daemon to do it, and says what came of it.
pub(super) async fn act(client: Client, effect: Effect) -> Acted {
    let (ask, id) = match effect {
        Effect::Check { task } => return check(&client, task).await,
        Effect::Approve { task, passphrase } => {
            (Ask::Approve { task, challenge: Challenge::new(passphrase.expose()) }, Some(task))
        }
        Effect::Reject { task, reason } => (Ask::Reject { task, reason, for_now: false }, Some(task)),
        Effect::Pause => (Ask::Pause, None),
        Effect::Quit => return Acted::Done(String::new()),
    };
    match (client.ask(ask).await, id) {
        (Ok(Reply::Task(task)), _) => {
            Acted::Done(format!("{} {} is {}", tasks::short(task.id), task.call.tool, task.state))
        }
        (Ok(Reply::Standing(_)), None) => {
            Acted::Done("everything is paused; `portero resume` ends it".to_owned())
        }
        (Ok(_), _) => Acted::Failed("the daemon gave an answer that does not fit".to_owned()),
        (Err(AskError::Refused(failure)), _) if failure.kind == FailureKind::Challenge => {
            Acted::Wrong(failure.message)
        }
        (Err(AskError::Refused(failure)), _) => Acted::Failed(match failure.hint {
            Some(hint) => format!("{}; {hint}", failure.message),
            None => failure.message,
        }),
        (Err(error @ AskError::Closed(_)), Some(id)) => Acted::Failed(format!(
            "{error}; look with `portero task {}` whether it was done",
            tasks::short(id)
        )),
        (Err(error @ (AskError::Closed(_) | AskError::Unsent(_))), _) => Acted::Failed(error.to_string()),
    }
}
