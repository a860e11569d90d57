//! `portero rules`: rules and grants in force.

use std::time::Duration;

use portero::ipc::{Ask, Reply};
use portero::policy::{Action, Grant, Standing};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use crate::daemon::unexpected;
use crate::failure::Outcome;
use crate::output::{Output, ago, span};

pub(super) async fn run(context: &Context) -> Outcome {
    let daemon = context.daemon().await?;
    let Reply::Standing(standing) = daemon.ask(Ask::Rules).await? else { return Err(unexpected()) };
    context.output.show(&json(&standing), |out| {
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

/// A grant with what is left of it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    #[serde(flatten)]
    grant: &'a Grant,
    /// How much time, in milliseconds.
    left_millis: u64,
    /// How many uses; `null` where they are not counted.
    uses_left: Option<u32>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(grant: &'a Grant) -> Self {
        let left_millis = u64::try_from(left(grant).as_millis()).unwrap_or(u64::MAX);
        Self { grant, left_millis, uses_left: grant.uses_left() }
    }
}

/// Rules and grants as `--json` prints them: with what is left of each grant.
pub(super) fn json(standing: &Standing) -> Value {
    let grants: Vec<_> = standing.grants.iter().map(Shown::of).collect();
    let mut value = json!(standing);
    value["grants"] = json!(grants);
    value
}

fn left(grant: &Grant) -> Duration {
    let passed = Duration::try_from(jiff::Timestamp::now().duration_since(grant.made.wall));
    grant.lasts().saturating_sub(passed.unwrap_or_default())
}

fn says(grant: &Grant) -> String {
    let uses = grant.limits.uses.zip(grant.uses_left());
    let words = [
        Some(format!("for {}, {} left", span(grant.lasts()), span(left(grant)))),
        uses.map(|(uses, left)| format!("{left} of {uses} uses left")),
        Some(grant.limits.whom()).filter(|whom| !whom.is_empty()),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join("; ")
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
        let pattern = grant.pattern.to_string();
        let asks: Vec<_> = standing.asked_since(grant).map(|rule| rule.id.to_string()).collect();
        let says = match asks.as_slice() {
            [] => says(grant),
            asks => format!("{}; not where rule {} asks", says(grant), asks.join(", ")),
        };
        ["grant".to_owned(), grant.id.to_string(), says, pattern, ago(grant.made.wall)]
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
