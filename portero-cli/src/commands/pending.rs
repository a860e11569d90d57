//! `portero pending`: the calls that wait for a person.
//!
//! With `--watch` it stays: [`view`] to read and decide, or [`stream`] for programs. Both stand on [`follow`].

mod feed;
mod json_stream;
mod view;

use portero::task::TaskState;

use super::{CommandContext, tasks};
use crate::args;
use crate::failure::CommandResult;

pub(super) async fn run(context: &CommandContext, args: args::PendingArgs) -> CommandResult {
    match (args.watch, context.output.wants_json()) {
        (false, _) => list_pending(context).await,
        (true, true) => json_stream::run(context).await,
        (true, false) => view::run(context).await,
    }
}

async fn list_pending(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let waiting = tasks::fetch_tasks(&daemon, Some(TaskState::PendingApproval), tasks::NO_LIMIT).await?;
    context.output.print_value_or_text(&waiting, |out| {
        if waiting.is_empty() {
            out.print_note("nothing waits for you");
            return Ok(());
        }
        tasks::print_tasks(out, &waiting)?;
        out.print_note(
            "`portero task ID` shows a call whole, `portero approve ID` runs it, `portero reject ID` refuses it; \
             `portero pending --watch` stays and does all three",
        );
        Ok(())
    })?;
    Ok(())
}
