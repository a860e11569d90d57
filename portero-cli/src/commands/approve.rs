//! `portero approve ID`: yes to one call, after it was shown whole. It widens.

use portero::ipc::Width;
use portero::ipc::requests::approvals::{ApproveTask, CheckApproval};
use portero::ipc::requests::overrides::GetOverrides;

use super::{Context, task, tasks};
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::widen;

pub(super) async fn run(context: &Context, args: &args::Approve) -> Outcome {
    let daemon = context.daemon().await?;
    let waiting = tasks::waiting(&daemon, &args.id).await?;
    if let Some(words) = task::several(&waiting) {
        let hint = format!("`portero reject {}` refuses it, alone", tasks::short(waiting.id));
        return Err(Failure::refused(words).hint(hint));
    }
    // Said before anyone types a passphrase for nothing.
    daemon.request(CheckApproval { task: waiting.id }).await?;
    let mut terminal = widen::begin_either(&daemon, "to approve", args.confirming.telegram).await?;
    let shown = task::describe(&waiting);
    terminal.say(&shown)?;
    // A long call scrolls away: what it is, and how much there is to read, stands beside the question.
    let act = format!(
        "run {}, exactly this call ({} lines, above), once",
        waiting.call.tool,
        shown.lines().count()
    );
    let approve = |challenge| ApproveTask { task: waiting.id, challenge };
    let task = widen::ask(&daemon, &mut terminal, (&act, Width::One), approve).await?;
    context.output.show(&task, |out| {
        out.line(format_args!(
            "{}: {} is {}; `portero task {}` shows what comes of it",
            task.id,
            task.call.tool,
            task.state,
            tasks::short(task.id)
        ))
    })?;
    if daemon.request(GetOverrides).await?.paused.is_some() {
        context.output.talk(format_args!(
            "note: everything is paused; it starts after `portero resume`, if that is before {}",
            task.expires
        ));
    }
    Ok(())
}
