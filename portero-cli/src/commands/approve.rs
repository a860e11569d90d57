//! `portero approve ID`: yes to one call, after it was shown whole. It widens.

use portero::ipc::Risk;
use portero::ipc::requests::approvals::{ApproveTask, CheckApproval};
use portero::ipc::requests::overrides::GetOverrides;

use super::{CommandContext, task, tasks};
use crate::args;
use crate::elevate;
use crate::failure::{CommandFailure, CommandResult};

pub(super) async fn run(context: &CommandContext, args: &args::ApproveArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let waiting = tasks::find_waiting_task(&daemon, &args.id).await?;
    if let Some(words) = task::explain_quorum(&waiting) {
        let hint = format!("`portero reject {}` refuses it, alone", tasks::short_id(waiting.id));
        return Err(CommandFailure::refused(words).with_hint(hint));
    }
    // Said before anyone types a passphrase for nothing.
    daemon.request(CheckApproval { task: waiting.id }).await?;
    let mut terminal = elevate::open_prompt(&daemon, "to approve", args.confirming.telegram).await?;
    let shown = task::describe_task(&waiting);
    terminal.print_line(&shown)?;
    // A long call scrolls away: what it is, and how much there is to read, stands beside the question.
    let act = format!(
        "run {}, exactly this call ({} lines, above), once",
        waiting.call.tool,
        shown.lines().count()
    );
    let approve = |challenge| ApproveTask { task: waiting.id, challenge };
    let task = elevate::send_confirmed(&daemon, &mut terminal, (&act, Risk::Low), approve).await?;
    context.output.print_value_or_text(&task, |out| {
        out.print_line(format_args!(
            "{}: {} is {}; `portero task {}` shows what comes of it",
            task.id,
            task.call.tool,
            task.state,
            tasks::short_id(task.id)
        ))
    })?;
    if daemon.request(GetOverrides).await?.paused.is_some() {
        context.output.print_note(format_args!(
            "note: everything is paused; it starts after `portero resume`, if that is before {}",
            task.expires
        ));
    }
    Ok(())
}
