//! `portero unrule ID`: remove a persistent rule. Removing anything but an allow widens.

use portero::ipc::{Ask, Reply, Width};
use portero::policy::Action;
use serde_json::json;

use super::Context;
use crate::args;
use crate::daemon::unexpected;
use crate::failure::{Failure, Outcome};
use crate::widen::{self, Change};

pub(super) async fn run(context: &Context, args: &args::Unrule) -> Outcome {
    let id = args.id;
    let daemon = context.daemon().await?;
    let Reply::Standing(standing) = daemon.ask(Ask::Rules).await? else { return Err(unexpected()) };
    let Some(rule) = standing.rules.iter().find(|rule| rule.id == id) else {
        return Err(Failure::refused(format!("there is no rule {id}")).hint("run `portero rules`"));
    };
    let removed = match rule.action {
        Action::Allow => daemon.ask(Ask::Unrule { id, challenge: None }).await?,
        Action::Deny | Action::RequireApproval => {
            let act = "to remove a rule that narrows";
            let mut terminal = widen::begin_either(&daemon, act, args.confirming.telegram).await?;
            let change = Change::Unrule(id, rule.action);
            widen::show_reach(&daemon, &mut terminal, &rule.pattern, &change).await?;
            let width = Width::of_pattern(&rule.pattern);
            let unrule = |challenge| Ask::Unrule { id, challenge: Some(challenge) };
            widen::ask(&daemon, &mut terminal, (&format!("remove rule {id}"), width), unrule).await?
        }
    };
    let Reply::Changed(_) = removed else { return Err(unexpected()) };
    context.output.show(&json!({"removed": id}), |out| {
        out.line(format_args!("rule {id} on `{}` is removed", rule.pattern))
    })?;
    Ok(())
}
