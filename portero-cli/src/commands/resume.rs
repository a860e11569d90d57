//! `portero resume`: end a pause. It widens.

use portero::ipc::{Ask, Reply, Width};
use portero::task::State;
use serde_json::json;

use super::{Context, tasks};
use crate::args::Confirming;
use crate::daemon::unexpected;
use crate::failure::Outcome;
use crate::output::ago;
use crate::widen;

pub(super) async fn run(context: &Context, confirming: Confirming) -> Outcome {
    let daemon = context.daemon().await?;
    let Reply::Standing(standing) = daemon.ask(Ask::Rules).await? else { return Err(unexpected()) };
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
    let resume = |challenge| Ask::Resume { challenge };
    let Reply::Changed(count) = widen::ask(&daemon, &mut terminal, act, resume).await? else {
        return Err(unexpected());
    };
    context.output.show(&json!({"resumed": count > 0}), |out| {
        out.line("everything goes on, as rules and grants say")
    })?;
    Ok(())
}
