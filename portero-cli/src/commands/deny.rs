//! `portero deny PATTERN`: a persistent rule that denies. It narrows, so it acts at once.

use portero::ipc::requests::overrides::CreateRule;

use portero::pattern::Pattern;
use portero::policy::Action;

use super::{Context, check};
use crate::failure::Outcome;

pub(super) async fn run(context: &Context, pattern: Pattern) -> Outcome {
    let daemon = context.daemon().await?;
    check::note(context, &pattern);
    let ask = CreateRule { pattern, action: Action::Deny, challenge: None };
    let rule = daemon.request(ask).await?;
    context.output.show(&rule, |out| {
        out.line(format_args!(
            "rule {}: `{}` is denied in every session; `portero unrule {}` ends it",
            rule.id, rule.pattern, rule.id
        ))
    })?;
    Ok(())
}
