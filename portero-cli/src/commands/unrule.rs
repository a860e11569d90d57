//! `portero unrule ID`: remove a persistent rule. Removing anything but an allow widens.

use portero::ipc::Width;
use portero::ipc::requests::overrides::{GetOverrides, RemoveRule};
use portero::policy::Action;
use serde_json::json;

use super::Context;
use crate::args;
use crate::failure::{Failure, Outcome};
use crate::widen::{self, Change};

pub(super) async fn run(context: &Context, args: &args::Unrule) -> Outcome {
    let id = args.id;
    let daemon = context.daemon().await?;
    let standing = daemon.request(GetOverrides).await?;
    let Some(rule) = standing.rules.iter().find(|rule| rule.id == id) else {
        return Err(Failure::refused(format!("there is no rule {id}")).hint("run `portero rules`"));
    };
    match rule.action {
        Action::Allow => daemon.request(RemoveRule { id, challenge: None }).await?,
        Action::Deny | Action::RequireApproval => {
            let act = "to remove a rule that narrows";
            let mut terminal = widen::begin_either(&daemon, act, args.confirming.telegram).await?;
            let change = Change::Unrule(id, rule.action);
            widen::show_reach(&daemon, &mut terminal, &rule.pattern, &change).await?;
            let width = Width::of_pattern(&rule.pattern);
            let unrule = |challenge| RemoveRule { id, challenge: Some(challenge) };
            widen::ask(&daemon, &mut terminal, (&format!("remove rule {id}"), width), unrule).await?
        }
    }
    context.output.show(&json!({"removed": id}), |out| {
        out.line(format_args!("rule {id} on `{}` is removed", rule.pattern))
    })?;
    Ok(())
}
