//! `portero deny PATTERN`: a persistent rule that denies. It narrows, so it acts at once.

use portero::ipc::requests::overrides::CreateRule;

use portero::pattern::Pattern;
use portero::policy::Action;

use super::{CommandContext, check};
use crate::failure::CommandResult;

pub(super) async fn run(context: &CommandContext, pattern: Pattern) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    check::hint_unknown_pattern(context, &pattern);
    let ask = CreateRule { pattern, action: Action::Deny, challenge: None };
    let rule = daemon.request(ask).await?;
    context.output.print_value_or_text(&rule, |out| {
        out.print_line(format_args!(
            "rule {}: `{}` is denied in every session; `portero unrule {}` ends it",
            rule.id, rule.pattern, rule.id
        ))
    })?;
    Ok(())
}
