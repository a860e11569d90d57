//! `portero allow PATTERN`: a persistent rule that allows. It widens.

use portero::ipc::Width;
use portero::ipc::requests::overrides::CreateRule;
use portero::policy::Action;

use super::{Context, check};
use crate::args;
use crate::failure::Outcome;
use crate::widen::{self, Change};

pub(super) async fn run(context: &Context, args: args::Allow) -> Outcome {
    let args::Allow { pattern, confirming } = args;
    let daemon = context.daemon().await?;
    check::note(context, &pattern);
    let mut terminal = widen::begin_either(&daemon, "to allow", confirming.telegram).await?;
    widen::show_reach(&daemon, &mut terminal, &pattern, &Change::Allow).await?;
    let allow = |challenge| {
        let (pattern, challenge) = (pattern.clone(), Some(challenge));
        CreateRule { pattern, action: Action::Allow, challenge }
    };
    let act = ("allow this for good", Width::ALLOW);
    let rule = widen::ask(&daemon, &mut terminal, act, allow).await?;
    context.output.show(&rule, |out| {
        out.line(format_args!(
            "rule {}: `{}` is allowed; `portero unrule {}` ends it",
            rule.id, rule.pattern, rule.id
        ))
    })?;
    Ok(())
}
