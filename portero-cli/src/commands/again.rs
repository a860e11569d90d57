//! `portero again ID`: ask anew what a task asked that has ended. It permits nothing; what its person said no to a
//! moment ago asks them again once they confirm that they want it.

use portero::ipc::requests::approvals::AskAgain;
use portero::ipc::{FailureKind, Risk};

use super::{CommandContext, tasks};
use crate::elevate;
use crate::failure::CommandResult;
use crate::terminal::TerminalDevice;

pub(super) async fn run(context: &CommandContext, id: &str) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    // Only a person asks a person; an agent makes its calls itself.
    drop(TerminalDevice::open("to ask again")?);
    let ended = tasks::find_task(&daemon, id, None).await?;
    let mut challenge = None;
    let task = loop {
        let insists = challenge.is_some();
        match daemon.request_or_refusal(AskAgain { task: ended.id, challenge: challenge.take() }).await? {
            Ok(task) => break task,
            Err(refused) if refused.kind == FailureKind::Challenge && !insists => {
                let mut person =
                    elevate::open_with_passphrase(&daemon, "to ask again what you said no to").await?;
                person.print_line(&refused.message)?;
                challenge = Some(elevate::prompt_challenge(&mut person, "be asked again now", Risk::Low)?);
            }
            Err(refused) => return Err(refused.into()),
        }
    };
    context.output.print_value_or_text(&task, |out| {
        let (tool, short) = (&task.call.tool, tasks::short_id(task.id));
        out.print_line(format_args!("{}: {tool} waits for you again; `portero approve {short}`", task.id))
    })?;
    Ok(())
}
