//! A session's call to a shared server, through the daemon's own pipeline.

use std::sync::{Arc, Mutex, PoisonError};

use portero::anonymize::Fake;
use portero::call::Call;
use portero::ipc::{Called, Failure, FailureKind, FromDaemon, Outbox, Push, Reply, SendError};
use portero::notice::Alarm;
use portero::pipeline::{Refusal, Reply as Outcome};
use portero::server::{Follow, LogLevel, ProgressSink};
use tokio_util::sync::CancellationToken;

use super::{SessionAsker, failure, submit};
use crate::daemon::Daemon;

/// Where progress goes.
pub(super) struct Progress {
    /// The question's number.
    pub(super) number: u64,
    /// Who asked.
    pub(super) to: Outbox,
}

/// What accompanies a call.
pub(super) struct CallOptions {
    /// Where its progress goes.
    pub(super) progress: Option<Progress>,
    /// From which level on the client wants log messages while the call runs.
    pub(super) log_level: Option<LogLevel>,
    /// Cancelled when the answer is not wanted any more.
    pub(super) cancel: CancellationToken,
}

pub(super) async fn answer(
    daemon: &Daemon,
    session: &SessionAsker,
    call: Call,
    client: &Fake<String>,
    CallOptions { progress, log_level, cancel }: CallOptions,
) -> Result<Reply, Failure> {
    let context = &session.context(daemon, client);
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
    if let Some(level) = log_level {
        project.want_logs(level);
    }
    let late = Arc::new(LateProgress::default());
    let unsent = progress.as_ref().map(|progress| progress.to.clone());
    let progress = progress.map(|progress| sink(daemon, progress, Arc::clone(&late)));
    let follow = Follow { progress, cancel, log_level };
    let outcome = session.subscriber.handle(&project, call, context, follow).await;
    if let (Some(to), Some(last)) = (unsent, late.take()) {
        // Before the answer, which waits for room too.
        let _ = to.send(&FromDaemon::Push(last)).await;
    }
    match outcome {
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

/// The last progress for which there was no room.
#[derive(Default)]
struct LateProgress(Mutex<Option<Push>>);

impl LateProgress {
    fn set(&self, push: Option<Push>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = push;
    }

    fn take(&self) -> Option<Push> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Progress that cannot be concealed is left out: it is only a word on the way. Of what finds no room the last
/// follows before the answer.
fn sink(daemon: &Daemon, progress: Progress, late: Arc<LateProgress>) -> ProgressSink {
    let anonymizer = Arc::clone(&daemon.anonymizer);
    Arc::new(move |params| {
        let Ok(params) = anonymizer.load().conceal(params) else { return };
        let push = FromDaemon::Push(Push::Progress { number: progress.number, params });
        let sent = progress.to.push(&push);
        match (sent, push) {
            (Err(SendError::Full), FromDaemon::Push(push)) => late.set(Some(push)),
            _ => late.set(None),
        }
    })
}
