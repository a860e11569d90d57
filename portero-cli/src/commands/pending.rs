//! `portero pending`: the calls that wait for a person.
//!
//! With `--watch` it stays: [`view`] to read and decide, or [`stream`] for programs. Both stand on [`follow`].

mod follow;
mod stream;
mod view;

use portero::task::State;

use super::{Context, tasks};
use crate::args;
use crate::failure::Outcome;

pub(super) async fn run(context: &Context, args: args::Pending) -> Outcome {
    match (args.watch, context.output.json()) {
        (false, _) => list(context).await,
        (true, true) => stream::run(context).await,
        (true, false) => view::run(context).await,
    }
}

async fn list(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let waiting = tasks::list(&daemon, Some(State::PendingApproval), tasks::ALL).await?;
    context.output.show(&waiting, |out| {
        if waiting.is_empty() {
            out.talk("nothing waits for you");
            return Ok(());
        }
        tasks::table(out, &waiting)?;
        out.talk(
            "`portero task ID` shows a call whole, `portero approve ID` runs it, `portero reject ID` refuses it; \
             `portero pending --watch` stays and does all three",
        );
        Ok(())
    })?;
    Ok(())
}
