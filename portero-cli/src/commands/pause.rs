//! `portero pause`: stop everything, in every session. It narrows, so it acts at once.

use portero::ipc::requests::overrides::Pause;

use portero::task::TaskState;
use serde_json::json;

use super::{CommandContext, tasks};
use crate::failure::{CommandFailure, CommandResult};
use crate::output::format_age;

pub(super) async fn run(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let standing = daemon.request(Pause).await?;
    let Some(since) = standing.paused else {
        return Err(
            CommandFailure::refused("the pause was ended again at once").with_hint("run `portero status`")
        );
    };
    let approved = tasks::fetch_tasks(&daemon, Some(TaskState::Approved), tasks::NO_LIMIT).await?.len();
    let executing = tasks::fetch_tasks(&daemon, Some(TaskState::Executing), tasks::NO_LIMIT).await?.len();
    let value = json!({"paused": since, "approved": approved, "executing": executing});
    context.output.print_value_or_text(&value, |out| {
        out.print_line(format_args!(
            "everything is paused since {}, in every session; `portero resume` ends it",
            format_age(since)
        ))?;
        if approved > 0 {
            out.print_line(format_args!(
                "{approved} approved and not started: none starts before that, and each expires as it would have"
            ))?;
        }
        if executing > 0 {
            out.print_line(format_args!("{executing} approved and with a server already: they go on"))?;
        }
        Ok(())
    })?;
    Ok(())
}
