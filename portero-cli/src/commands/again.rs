//! `portero again ID`: ask anew what a task asked that has ended. It permits nothing; what its person said no to a
//! moment ago asks them again once they confirm that they want it.

use portero::ipc::requests::approvals::AskAgain;
use portero::ipc::{FailureKind, Width};

use super::{Context, tasks};
use crate::failure::Outcome;
use crate::terminal::Terminal;
use crate::widen;

pub(super) async fn run(context: &Context, id: &str) -> Outcome {
    let daemon = context.daemon().await?;
    // Only a person asks a person; an agent makes its calls itself.
    drop(Terminal::open("to ask again")?);
    let ended = tasks::find(&daemon, id, None).await?;
    let mut challenge = None;
    let task = loop {
        let insists = challenge.is_some();
        match daemon.request_or_refusal(AskAgain { task: ended.id, challenge: challenge.take() }).await? {
            Ok(task) => break task,
            Err(refused) if refused.kind == FailureKind::Challenge && !insists => {
                let mut person = widen::begin(&daemon, "to ask again what you said no to").await?;
                person.say(&refused.message)?;
                challenge = Some(widen::confirm(&mut person, "be asked again now", Width::One)?);
            }
            Err(refused) => return Err(refused.into()),
        }
    };
    context.output.show(&task, |out| {
        let (tool, short) = (&task.call.tool, tasks::short(task.id));
        out.line(format_args!("{}: {tool} waits for you again; `portero approve {short}`", task.id))
    })?;
    Ok(())
}
