//! A session's call to a shared server, through the daemon's own pipeline.

use std::sync::Arc;

use portero::call::Call;
use portero::ipc::{Called, Failure, FailureKind, FromDaemon, Outbox, Push, Reply};
use portero::notice::Alarm;
use portero::pipeline::{Context, Refusal, Reply as Outcome};
use portero::server::{Follow, ProgressSink};
use tokio_util::sync::CancellationToken;

use super::{failure, submit};
use crate::daemon::Daemon;

/// Where progress goes.
pub(super) struct Progress {
    /// The question's number.
    pub(super) number: u64,
    /// Who asked.
    pub(super) to: Outbox,
}

pub(super) async fn answer(
    daemon: &Daemon,
    call: Call,
    context: &Context,
    progress: Option<Progress>,
    cancel: CancellationToken,
) -> Result<Reply, Failure> {
    let call = submit::conceal(daemon, call)?;
    let server = &call.tool.server;
    if !daemon.config.load().servers.iter().any(|found| found.name == *server && found.shared) {
        return Err(Failure::new(FailureKind::NotFound, format!("there is no shared server `{server}`")));
    }
    let project = daemon
        .servers
        .project(server, &context.origin.directory)
        .map_err(|refusal| failure::of_refusal(&refusal))?;
    let tool = call.tool.clone();
    let follow = Follow { progress: progress.map(|progress| sink(daemon, progress)), cancel };
    match project.pipeline().handle(call, context, follow).await {
        Outcome::Result(result) => Ok(Reply::Called(Called::Result(result))),
        Outcome::Error(error) => Ok(Reply::Called(Called::Error(error))),
        Outcome::Waiting(task) => Ok(Reply::Called(Called::Waiting(task))),
        Outcome::Refused(refusal) => {
            if let Refusal::Withheld(_) = refusal {
                let about = format!("an answer of {tool} was withheld: a private value stood in it");
                daemon.journal.alarm(Alarm::Withheld, &about).await;
            }
            Err(failure::of_refusal(&refusal))
        }
    }
}

/// Progress that cannot be concealed or taken is left out: it is only a word on the way.
fn sink(daemon: &Daemon, progress: Progress) -> ProgressSink {
    let anonymizer = Arc::clone(&daemon.anonymizer);
    Arc::new(move |params| {
        let Ok(params) = anonymizer.load().conceal(params) else { return };
        let push = Push::Progress { number: progress.number, params };
        let _ = progress.to.push(&FromDaemon::Push(push));
    })
}
