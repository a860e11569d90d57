//! `portero resume`: end a pause. It widens.

use portero::ipc::Risk;
use portero::ipc::requests::overrides::{GetOverrides, Resume};
use portero::task::TaskState;
use serde_json::json;

use super::{CommandContext, tasks};
use crate::args::ConfirmationArgs;
use crate::elevate;
use crate::failure::CommandResult;
use crate::output::format_age;

pub(super) async fn run(context: &CommandContext, confirming: ConfirmationArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let standing = daemon.request(GetOverrides).await?;
    let Some(since) = standing.paused else {
        context
            .output
            .print_value_or_text(&json!({"resumed": false}), |out| out.print_line("nothing is paused"))?;
        return Ok(());
    };
    let mut terminal = elevate::open_prompt_to_resume(&daemon, "to resume", confirming.telegram).await?;
    terminal.print_line(format_args!("Everything is paused since {}.", format_age(since)))?;
    let approved = tasks::fetch_tasks(&daemon, Some(TaskState::Approved), tasks::NO_LIMIT).await?;
    if !approved.is_empty() {
        terminal.print_line("These calls are approved and start at once:")?;
        for task in &approved {
            let id = tasks::short_id(task.id);
            terminal.print_line(format_args!(
                "  {id}  {}, asked {}",
                task.call.tool,
                format_age(task.asked)
            ))?;
        }
    }
    let act = ("resume everything", Risk::RESUME);
    let resume = |challenge| Resume { challenge };
    let was_paused = elevate::send_confirmed(&daemon, &mut terminal, act, resume).await?;
    context.output.print_value_or_text(&json!({"resumed": was_paused}), |out| {
        out.print_line("everything goes on, as rules and grants say")
    })?;
    Ok(())
}
