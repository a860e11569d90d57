//! `portero allow PATTERN`: a persistent rule that allows. It widens.

use portero::ipc::Risk;
use portero::ipc::requests::overrides::CreateRule;
use portero::policy::Action;

use super::{CommandContext, check};
use crate::args;
use crate::elevate::{self, PatternAct};
use crate::failure::CommandResult;

pub(super) async fn run(context: &CommandContext, args: args::AllowArgs) -> CommandResult {
    let args::AllowArgs { pattern, confirming } = args;
    let daemon = context.connect_daemon().await?;
    check::hint_unknown_pattern(context, &pattern);
    let mut terminal = elevate::open_prompt(&daemon, "to allow", confirming.telegram).await?;
    elevate::show_reach(&daemon, &mut terminal, &pattern, &PatternAct::Allow).await?;
    let allow = |challenge| {
        let (pattern, challenge) = (pattern.clone(), Some(challenge));
        CreateRule { pattern, action: Action::Allow, challenge }
    };
    let act = ("allow this for good", Risk::ALLOW);
    let rule = elevate::send_confirmed(&daemon, &mut terminal, act, allow).await?;
    context.output.print_value_or_text(&rule, |out| {
        out.print_line(format_args!(
            "rule {}: `{}` is allowed; `portero unrule {}` ends it",
            rule.id, rule.pattern, rule.id
        ))
    })?;
    Ok(())
}
