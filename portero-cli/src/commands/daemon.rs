//! `portero daemon start|stop|status`.

use portero::ipc::{ConnectError, FailureKind, ProbeResult, Welcome};
use serde_json::json;

use super::CommandContext;
use crate::args::DaemonCommand;
use crate::daemon::{self, DaemonClient};
use crate::failure::{CommandFailure, CommandResult};

pub(super) async fn run(context: &CommandContext, command: DaemonCommand) -> CommandResult {
    match command {
        DaemonCommand::Start => start(context).await,
        DaemonCommand::Stop => stop(context).await,
        DaemonCommand::Status => status(context).await,
    }
}

async fn start(context: &CommandContext) -> CommandResult {
    if context.no_start {
        return Err(CommandFailure::usage("`daemon start --no-start` asks for both"));
    }
    let before = daemon::probe_daemon(&context.paths).await;
    let daemon = DaemonClient::connect_or_start(&context.paths, false).await?;
    let words = if matches!(before, ProbeResult::Ready(_)) { "runs already" } else { "listens" };
    print_daemon(context, words, &daemon.welcome)
}

async fn stop(context: &CommandContext) -> CommandResult {
    match DaemonClient::connect(&context.paths).await {
        Ok(daemon) => daemon.stop(&context.paths).await?,
        Err(ConnectError::Absent(_)) => {
            context.output.print_value_or_text(&json!({"running": false}), |out| {
                out.print_note("the daemon does not run");
                Ok(())
            })?;
            return Ok(());
        }
        // Its own advice is to stop it.
        Err(ConnectError::Refused { failure, peer }) if failure.kind == FailureKind::Version => {
            daemon::terminate_daemon(&context.paths, peer, failure).await?;
        }
        Err(error) => return Err(daemon::connect_failure(&context.paths.socket(), &error)),
    }
    context
        .output
        .print_value_or_text(&json!({"running": false}), |out| out.print_line("the daemon has ended"))?;
    Ok(())
}

async fn status(context: &CommandContext) -> CommandResult {
    match daemon::probe_daemon(&context.paths).await {
        ProbeResult::Ready(welcome) => print_daemon(context, "runs", &welcome),
        ProbeResult::NeedsRestart(failure) => Err(failure.into()),
        ProbeResult::Unreachable(error) => Err(daemon::connect_failure(&context.paths.socket(), &error)),
    }
}

fn print_daemon(context: &CommandContext, words: &str, welcome: &Welcome) -> CommandResult {
    let value =
        json!({"running": true, "pid": welcome.pid, "build": welcome.build, "protocol": welcome.protocol});
    context.output.print_value_or_text(&value, |out| {
        out.print_line(format_args!(
            "the daemon {words}: porterod {}, process {}, at {}",
            welcome.build,
            welcome.pid,
            context.paths.socket().display()
        ))
    })?;
    Ok(())
}
