//! `portero unrule ID`: remove a persistent rule. Removing anything but an allow widens.

use portero::ipc::Risk;
use portero::ipc::requests::overrides::{GetOverrides, RemoveRule};
use portero::policy::Action;
use serde_json::json;

use super::CommandContext;
use crate::args;
use crate::elevate::{self, PatternAct};
use crate::failure::{CommandFailure, CommandResult};

pub(super) async fn run(context: &CommandContext, args: &args::UnruleArgs) -> CommandResult {
    let id = args.id;
    let daemon = context.connect_daemon().await?;
    let standing = daemon.request(GetOverrides).await?;
    let Some(rule) = standing.rules.iter().find(|rule| rule.id == id) else {
        return Err(
            CommandFailure::refused(format!("there is no rule {id}")).with_hint("run `portero rules`")
        );
    };
    match rule.action {
        Action::Allow => daemon.request(RemoveRule { id, challenge: None }).await?,
        Action::Deny | Action::RequireApproval => {
            let act = "to remove a rule that narrows";
            let mut terminal = elevate::open_prompt(&daemon, act, args.confirming.telegram).await?;
            let change = PatternAct::Unrule(id, rule.action);
            elevate::show_reach(&daemon, &mut terminal, &rule.pattern, &change).await?;
            let width = Risk::of_pattern(&rule.pattern);
            let unrule = |challenge| RemoveRule { id, challenge: Some(challenge) };
            elevate::send_confirmed(&daemon, &mut terminal, (&format!("remove rule {id}"), width), unrule)
                .await?
        }
    }
    context.output.print_value_or_text(&json!({"removed": id}), |out| {
        out.print_line(format_args!("rule {id} on `{}` is removed", rule.pattern))
    })?;
    Ok(())
}
