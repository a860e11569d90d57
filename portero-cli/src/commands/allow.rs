//! `portero allow PATTERN`: a persistent rule that allows. It widens.

use portero::ipc::{Ask, Reply, Width};
use portero::pattern::Pattern;
use portero::policy::Action;

use super::{Context, check};
use crate::daemon::unexpected;
use crate::failure::Outcome;
use crate::widen::{self, Change};

pub(super) async fn run(context: &Context, pattern: Pattern) -> Outcome {
    let daemon = context.daemon().await?;
    check::note(context, &pattern);
    let mut terminal = widen::begin(&daemon, "to allow").await?;
    widen::show_reach(&daemon, &mut terminal, &pattern, &Change::Allow).await?;
    let challenge = Some(widen::confirm(&mut terminal, "allow this for good", Width::ALLOW)?);
    let Reply::Rule(rule) = daemon.ask(Ask::Rule { pattern, action: Action::Allow, challenge }).await? else {
        return Err(unexpected());
    };
    context.output.show(&rule, |out| {
        out.line(format_args!(
            "rule {}: `{}` is allowed; `portero unrule {}` ends it",
            rule.id, rule.pattern, rule.id
        ))
    })?;
    Ok(())
}
