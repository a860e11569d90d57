//! `portero daemon start|stop|status`.

use portero::ipc::{ConnectError, FailureKind, Probe, Welcome};
use serde_json::json;

use super::Context;
use crate::args::DaemonCommand;
use crate::daemon::{self, Daemon};
use crate::failure::{Failure, Outcome};

pub(super) async fn run(context: &Context, command: DaemonCommand) -> Outcome {
    match command {
        DaemonCommand::Start => start(context).await,
        DaemonCommand::Stop => stop(context).await,
        DaemonCommand::Status => status(context).await,
    }
}

async fn start(context: &Context) -> Outcome {
    if context.no_start {
        return Err(Failure::usage("`daemon start --no-start` asks for both"));
    }
    let before = daemon::probe(&context.paths).await;
    let daemon = Daemon::reach(&context.paths, false).await?;
    let words = if matches!(before, Probe::Ready(_)) { "runs already" } else { "listens" };
    show(context, words, &daemon.welcome)
}

async fn stop(context: &Context) -> Outcome {
    match Daemon::connect(&context.paths).await {
        Ok(daemon) => daemon.stop(&context.paths).await?,
        Err(ConnectError::Absent(_)) => {
            context.output.show(&json!({"running": false}), |out| {
                out.talk("the daemon does not run");
                Ok(())
            })?;
            return Ok(());
        }
        // Its own advice is to stop it.
        Err(ConnectError::Refused { failure, peer }) if failure.kind == FailureKind::Version => {
            daemon::end(&context.paths, peer, failure).await?;
        }
        Err(error) => return Err(daemon::unreachable(&context.paths.socket(), &error)),
    }
    context.output.show(&json!({"running": false}), |out| out.line("the daemon has ended"))?;
    Ok(())
}

async fn status(context: &Context) -> Outcome {
    match daemon::probe(&context.paths).await {
        Probe::Ready(welcome) => show(context, "runs", &welcome),
        Probe::NeedsRestart(failure) => Err(failure.into()),
        Probe::Unreachable(error) => Err(daemon::unreachable(&context.paths.socket(), &error)),
    }
}

fn show(context: &Context, words: &str, welcome: &Welcome) -> Outcome {
    let value =
        json!({"running": true, "pid": welcome.pid, "build": welcome.build, "protocol": welcome.protocol});
    context.output.show(&value, |out| {
        out.line(format_args!(
            "the daemon {words}: porterod {}, process {}, at {}",
            welcome.build,
            welcome.pid,
            context.paths.socket().display()
        ))
    })?;
    Ok(())
}
