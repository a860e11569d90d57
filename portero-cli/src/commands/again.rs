//! `portero again ID`: ask anew what a task asked that has ended. It permits nothing.

use portero::ipc::{Ask, Reply};

use super::{Context, tasks};
use crate::daemon::unexpected;
use crate::failure::Outcome;
use crate::terminal::Terminal;

pub(super) async fn run(context: &Context, id: &str) -> Outcome {
    let daemon = context.daemon().await?;
    // Only a person asks a person; an agent makes its calls itself.
    Terminal::open("to ask again")?;
    let ended = tasks::find(&daemon, id, None).await?;
    let Reply::Task(task) = daemon.ask(Ask::Again { task: ended.id }).await? else {
        return Err(unexpected());
    };
    context.output.show(&task, |out| {
        let (tool, short) = (&task.call.tool, tasks::short(task.id));
        out.line(format_args!("{}: {tool} waits for you again; `portero approve {short}`", task.id))
    })?;
    Ok(())
}
