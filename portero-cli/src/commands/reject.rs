//! `portero reject ID`: no to one call. It narrows, so it acts at once.

use portero::ipc::requests::approvals::RejectTask;

use super::{CommandContext, tasks};
use crate::args;
use crate::failure::CommandResult;

pub(super) async fn run(context: &CommandContext, args: args::RejectArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let waiting = tasks::find_waiting_task(&daemon, &args.id).await?;
    let args::RejectArgs { reason, no_cool_down: for_now, .. } = args;
    let task = daemon.request(RejectTask { task: waiting.id, reason, for_now }).await?;
    context.output.print_value_or_text(&task, |out| {
        out.print_line(format_args!("{}: {} is {}", task.id, task.call.tool, task.state))
    })?;
    Ok(())
}
