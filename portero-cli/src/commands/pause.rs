//! `portero pause`: stop everything, in every session. It narrows, so it acts at once.

use portero::ipc::{Ask, Reply};
use portero::task::State;
use serde_json::json;

use super::{Context, tasks};
use crate::daemon::unexpected;
use crate::failure::Outcome;
use crate::output::ago;

pub(super) async fn run(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let Reply::Standing(standing) = daemon.ask(Ask::Pause).await? else { return Err(unexpected()) };
    let Some(since) = standing.paused else { return Err(unexpected()) };
    let approved = tasks::list(&daemon, Some(State::Approved), tasks::ALL).await?.len();
    let executing = tasks::list(&daemon, Some(State::Executing), tasks::ALL).await?.len();
    let value = json!({"paused": since, "approved": approved, "executing": executing});
    context.output.show(&value, |out| {
        out.line(format_args!(
            "everything is paused since {}, in every session; `portero resume` ends it",
            ago(since)
        ))?;
        if approved > 0 {
            out.line(format_args!(
                "{approved} approved and not started: none starts before that, and each expires as it would have"
            ))?;
        }
        if executing > 0 {
            out.line(format_args!("{executing} approved and with a server already: they go on"))?;
        }
        Ok(())
    })?;
    Ok(())
}
