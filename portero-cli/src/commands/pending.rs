//! `portero pending`: the calls that wait for a person.

use portero::task::State;

use super::{Context, tasks};
use crate::failure::Outcome;

pub(super) async fn run(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let waiting = tasks::list(&daemon, Some(State::PendingApproval), tasks::ALL).await?;
    context.output.show(&waiting, |out| {
        if waiting.is_empty() {
            out.talk("nothing waits for you");
            return Ok(());
        }
        tasks::table(out, &waiting)?;
        out.talk("`portero task ID` shows a call whole, `portero approve ID` runs it, `portero reject ID` refuses it");
        Ok(())
    })?;
    Ok(())
}
