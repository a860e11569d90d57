//! `portero pause`: stop everything, in every session. It narrows, so it acts at once.

use portero::ipc::requests::overrides::Pause;

use portero::task::State;
use serde_json::json;

use super::{Context, tasks};
use crate::failure::{Failure, Outcome};
use crate::output::ago;

pub(super) async fn run(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let standing = daemon.request(Pause).await?;
    let Some(since) = standing.paused else {
        return Err(Failure::refused("the pause was ended again at once").hint("run `portero status`"));
    };
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
