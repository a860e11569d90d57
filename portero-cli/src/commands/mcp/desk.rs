//! What a session asks of the daemon: approvals, shared servers, tasks.

use std::sync::Arc;
use std::time::Duration;

use portero::anonymize::Real;
use portero::call::Call;
use portero::ipc::{Ask, Called, Reply as Answer};
use portero::names::{ServerName, TaskId};
use portero::pipeline::{BoxFuture, Context, Desk, Refusal, Reply, Uses};
use portero::server::{Follow, LogLevel, Offer, ServerError};
use portero::session::Tasks;
use portero::task::{News, State, Task};

use super::link::{Link, lost_answer};

/// The daemon's desk, over the link.
pub(super) struct RemoteDesk(pub(super) Arc<Link>);

impl RemoteDesk {
    async fn task(&self, ask: Ask) -> Result<Task, Refusal> {
        match self.0.ask(ask).await? {
            Answer::Task(task) => Ok(*task),
            _ => Err(misfit()),
        }
    }
}

fn misfit() -> Refusal {
    Refusal::NoDesk("Portero's daemon gave an answer that does not fit the question".to_owned())
}

impl Desk for RemoteDesk {
    fn submit<'a>(&'a self, call: Call, context: &'a Context) -> BoxFuture<'a, Result<Task, Refusal>> {
        Box::pin(self.task(Ask::Submit { call, client: context.origin.client.clone() }))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(self.0.ready())
    }

    fn forward<'a>(&'a self, call: Call, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let client = match self.0.client().await {
                Ok(client) => client,
                Err(refusal) => return Reply::Refused(refusal),
            };
            let ask = Ask::Forward {
                call,
                client: context.origin.client.clone(),
                progress: follow.progress.is_some(),
                log_level: follow.log_level,
            };
            // The pipeline conceals progress like everything else that a server says; twice changes nothing.
            let progress = follow.progress.map(|sink| -> portero::ipc::Progress {
                Arc::new(move |params| sink(Real::from_server(params.into_inner())))
            });
            tokio::select! {
                answer = client.ask_with_progress(ask, progress) => match answer {
                    Ok(Answer::Called(Called::Result(result))) => Reply::Result(result),
                    Ok(Answer::Called(Called::Error(error))) => Reply::Error(error),
                    Ok(Answer::Called(Called::Waiting(task))) => Reply::Waiting(task),
                    Ok(_) => Reply::Refused(Refusal::Interrupted(format!("{}: the call may have run", misfit()))),
                    Err(error) => Reply::Refused(lost_answer(error)),
                },
                () = follow.cancel.cancelled() => Reply::Refused(Refusal::Cancelled),
            }
        })
    }

    fn offer<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, Result<Offer, ServerError>> {
        Box::pin(async move {
            let failed = |reason: String| ServerError::Start(server.clone(), reason);
            match self.0.ask(Ask::Listing { server: server.clone() }).await {
                Ok(Answer::Listing(listing)) => {
                    serde_json::from_str(listing.get()).map_err(|error| failed(error.to_string()))
                }
                Ok(_) => Err(failed(misfit().to_string())),
                Err(refusal) => Err(failed(refusal.to_string())),
            }
        })
    }

    fn set_log_level(&self, level: LogLevel) {
        self.0.want_logs(level);
    }

    fn before_decision(&self) {
        self.0.follow_denies();
    }
}

impl Uses for RemoteDesk {
    fn consume<'a>(&'a self, grant: u64, call: &'a Call, _: &'a Context) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let consumed = self.0.ask(Ask::Consume { grant, call: call.clone() }).await;
            matches!(consumed, Ok(Answer::Grant(used)) if used.id == grant)
        })
    }
}

impl Tasks for RemoteDesk {
    fn check(&self, task: TaskId, wait: Duration) -> BoxFuture<'_, Result<Task, Refusal>> {
        let wait_millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Box::pin(self.task(Ask::CheckTask { task, wait_millis }))
    }

    fn list(&self, state: Option<State>, limit: u32) -> BoxFuture<'_, Result<Vec<Task>, Refusal>> {
        Box::pin(async move {
            match self.0.ask(Ask::ListTasks { state, limit }).await? {
                Answer::Tasks(tasks) => Ok(tasks),
                _ => Err(misfit()),
            }
        })
    }

    fn news(&self) -> BoxFuture<'_, News> {
        Box::pin(self.0.news())
    }

    fn cancel(&self, task: TaskId) -> BoxFuture<'_, Result<Task, Refusal>> {
        Box::pin(self.task(Ask::CancelTask { task }))
    }
}
