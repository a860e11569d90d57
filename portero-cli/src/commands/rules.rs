//! `portero rules`: rules and grants in force.

use portero::ipc::{Ask, Reply};
use portero::policy::{Action, Standing};

use super::Context;
use crate::daemon::unexpected;
use crate::failure::Outcome;
use crate::output::{Output, ago, span};

pub(super) async fn run(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let Reply::Standing(standing) = daemon.ask(Ask::Rules).await? else { return Err(unexpected()) };
    context.output.show(&standing, |out| {
        print_pause(out, &standing)?;
        table(out, &standing)
    })?;
    Ok(())
}

/// Says that everything is paused, if it is.
pub(super) fn print_pause(out: &Output, standing: &Standing) -> std::io::Result<()> {
    match standing.paused {
        Some(since) => out.line(format_args!(
            "PAUSED      since {} ({since}): no call runs; `portero resume` ends it",
            ago(since)
        )),
        None => Ok(()),
    }
}

/// Prints rules and grants.
pub(super) fn table(out: &Output, standing: &Standing) -> std::io::Result<()> {
    let rules = standing.rules.iter().map(|rule| {
        [
            "rule".to_owned(),
            rule.id.to_string(),
            word(rule.action).to_owned(),
            rule.pattern.to_string(),
            ago(rule.made),
        ]
    });
    let grants = standing.grants.iter().map(|grant| {
        let whole = std::time::Duration::from_millis(grant.millis);
        let passed = std::time::Duration::try_from(jiff::Timestamp::now().duration_since(grant.made.wall));
        let left = whole.saturating_sub(passed.unwrap_or_default());
        let kind = format!("for {}, {} left", span(whole), span(left));
        ["grant".to_owned(), grant.id.to_string(), kind, grant.pattern.to_string(), ago(grant.made.wall)]
    });
    let rows: Vec<_> = rules.chain(grants).collect();
    if rows.is_empty() {
        out.talk("no rules and no grants; policies.json alone decides");
        return Ok(());
    }
    out.table(["KIND", "ID", "SAYS", "PATTERN", "MADE"], rows)
}

/// An action in a word.
pub(super) const fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::RequireApproval => "require-approval",
        Action::Deny => "deny",
    }
}
