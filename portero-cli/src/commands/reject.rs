//! `portero reject ID`: no to one call. It narrows, so it acts at once.

use portero::ipc::requests::approvals::RejectTask;

use super::{Context, tasks};
use crate::args;
use crate::failure::Outcome;

pub(super) async fn run(context: &Context, args: args::Reject) -> Outcome {
    let daemon = context.daemon().await?;
    let waiting = tasks::waiting(&daemon, &args.id).await?;
    let args::Reject { reason, no_cool_down: for_now, .. } = args;
    let task = daemon.request(RejectTask { task: waiting.id, reason, for_now }).await?;
    context
        .output
        .show(&task, |out| out.line(format_args!("{}: {} is {}", task.id, task.call.tool, task.state)))?;
    Ok(())
}
