//! `portero resume`: end a pause. It widens.

use portero::ipc::Width;
use portero::ipc::requests::overrides::{GetOverrides, Resume};
use portero::task::State;
use serde_json::json;

use super::{Context, tasks};
use crate::args::Confirming;
use crate::failure::Outcome;
use crate::output::ago;
use crate::widen;

pub(super) async fn run(context: &Context, confirming: Confirming) -> Outcome {
    let daemon = context.daemon().await?;
    let standing = daemon.request(GetOverrides).await?;
    let Some(since) = standing.paused else {
        context.output.show(&json!({"resumed": false}), |out| out.line("nothing is paused"))?;
        return Ok(());
    };
    let mut terminal = widen::begin_resuming(&daemon, "to resume", confirming.telegram).await?;
    terminal.say(format_args!("Everything is paused since {}.", ago(since)))?;
    let approved = tasks::list(&daemon, Some(State::Approved), tasks::ALL).await?;
    if !approved.is_empty() {
        terminal.say("These calls are approved and start at once:")?;
        for task in &approved {
            let id = tasks::short(task.id);
            terminal.say(format_args!("  {id}  {}, asked {}", task.call.tool, ago(task.asked)))?;
        }
    }
    let act = ("resume everything", Width::RESUME);
    let resume = |challenge| Resume { challenge };
    let was_paused = widen::ask(&daemon, &mut terminal, act, resume).await?;
    context.output.show(&json!({"resumed": was_paused}), |out| {
        out.line("everything goes on, as rules and grants say")
    })?;
    Ok(())
}
