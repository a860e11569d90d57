//! `portero approve ID`: yes to one call, after it was shown whole. It widens.

use portero::ipc::{Ask, Reply, Width};

use super::{Context, task, tasks};
use crate::args;
use crate::daemon::unexpected;
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
    daemon.ask(Ask::Approvable { task: waiting.id }).await?;
    let mut terminal = widen::begin_either(&daemon, "to approve", args.confirming.telegram).await?;
    let shown = task::describe(&waiting);
    terminal.say(&shown)?;
    // A long call scrolls away: what it is, and how much there is to read, stands beside the question.
    let act = format!(
        "run {}, exactly this call ({} lines, above), once",
        waiting.call.tool,
        shown.lines().count()
    );
    let approve = |challenge| Ask::Approve { task: waiting.id, challenge };
    let Reply::Task(task) = widen::ask(&daemon, &mut terminal, (&act, Width::One), approve).await? else {
        return Err(unexpected());
    };
    context.output.show(&task, |out| {
        out.line(format_args!(
            "{}: {} is {}; `portero task {}` shows what comes of it",
            task.id,
            task.call.tool,
            task.state,
            tasks::short(task.id)
        ))
    })?;
    if let Reply::Standing(standing) = daemon.ask(Ask::Rules).await?
        && standing.paused.is_some()
    {
        context.output.talk(format_args!(
            "note: everything is paused; it starts after `portero resume`, if that is before {}",
            task.expires
        ));
    }
    Ok(())
}
