//! `portero rules`: rules and grants in force.

use std::time::Duration;

use portero::ipc::UnsavedChanges;
use portero::ipc::requests::overrides::{GetOverrides, GetUnsaved};
use portero::policy::{Action, Grant, Overrides};
use serde::Serialize;
use serde_json::{Value, json};

use super::CommandContext;
use crate::failure::CommandResult;
use crate::output::{Output, escape_hidden, format_age, format_duration};

pub(super) async fn run(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let standing = daemon.request(GetOverrides).await?;
    let unsaved = daemon.request(GetUnsaved).await?;
    let mut value = overrides_json(&standing);
    value["unsaved"] = json!(unsaved);
    context.output.print_value_or_text(&value, |out| {
        print_pause(out, &standing)?;
        print_unsaved(out, unsaved.as_ref())?;
        print_overrides(out, &standing, unsaved.as_ref())
    })?;
    Ok(())
}

/// Says what is in force and not saved, if anything is.
pub(super) fn print_unsaved(out: &Output, unsaved: Option<&UnsavedChanges>) -> std::io::Result<()> {
    let Some(UnsavedChanges { problem, rules, ended, paused, tasks }) = unsaved else { return Ok(()) };
    let ids = |what: &str, ids: &[u64]| {
        let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
        (!ids.is_empty()).then(|| format!("{what} {}", ids.join(", ")))
    };
    let tasks: Vec<_> = tasks.iter().map(|task| super::tasks::short_id(*task)).collect();
    let what = [paused.then(|| "the pause".to_owned()), ids("rule", rules), ids("the end of", ended)];
    let what: Vec<_> = what.into_iter().flatten().collect();
    if !tasks.is_empty() {
        let tasks = tasks.join(", ");
        out.print_line(format_args!(
            "UNSAVED     the rejection of {}: in force, not in the store yet",
            escape_hidden(&tasks)
        ))?;
    }
    if !what.is_empty() || tasks.is_empty() {
        let what = if what.is_empty() { "the last change".to_owned() } else { what.join("; ") };
        out.print_line(format_args!(
            "UNSAVED     {}: in force, and lost if the daemon ends now",
            escape_hidden(&what)
        ))?;
    }
    out.print_line(format_args!(
        "            {}; it is saved by itself once that is possible",
        escape_hidden(problem)
    ))
}

/// Says that everything is paused, if it is.
pub(super) fn print_pause(out: &Output, standing: &Overrides) -> std::io::Result<()> {
    match standing.paused {
        Some(since) => out.print_line(format_args!(
            "PAUSED      since {} ({since}): no call runs; `portero resume` ends it",
            format_age(since)
        )),
        None => Ok(()),
    }
}

/// A grant with what is left of it.
#[derive(Serialize)]
pub(super) struct GrantStatus<'a> {
    #[serde(flatten)]
    grant: &'a Grant,
    /// How much time, in milliseconds.
    left_millis: u64,
    /// How many uses; `null` where they are not counted.
    uses_left: Option<u32>,
}

impl<'a> GrantStatus<'a> {
    pub(super) fn from_grant(grant: &'a Grant) -> Self {
        let left_millis = u64::try_from(time_left(grant).as_millis()).unwrap_or(u64::MAX);
        Self { grant, left_millis, uses_left: grant.uses_left() }
    }
}

/// Rules and grants as `--json` prints them: with what is left of each grant.
pub(super) fn overrides_json(standing: &Overrides) -> Value {
    let grants: Vec<_> = standing.grants.iter().map(GrantStatus::from_grant).collect();
    let mut value = json!(standing);
    value["grants"] = json!(grants);
    value
}

fn time_left(grant: &Grant) -> Duration {
    let passed = Duration::try_from(jiff::Timestamp::now().duration_since(grant.made.wall));
    grant.duration().saturating_sub(passed.unwrap_or_default())
}

fn describe_grant(grant: &Grant) -> String {
    let uses = grant.limits.uses.zip(grant.uses_left());
    let words = [
        Some(format!(
            "for {}, {} left",
            format_duration(grant.duration()),
            format_duration(time_left(grant))
        )),
        uses.map(|(uses, left)| format!("{left} of {uses} uses left")),
        Some(grant.limits.describe_scope()).filter(|whom| !whom.is_empty()),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Prints rules and grants.
pub(super) fn print_overrides(
    out: &Output,
    standing: &Overrides,
    unsaved: Option<&UnsavedChanges>,
) -> std::io::Result<()> {
    let rules = standing.rules.iter().map(|rule| {
        let is_unsaved = unsaved.is_some_and(|unsaved| unsaved.rules.contains(&rule.id));
        [
            "rule".to_owned(),
            rule.id.to_string(),
            if is_unsaved {
                format!("{} (unsaved)", action_name(rule.action))
            } else {
                action_name(rule.action).to_owned()
            },
            rule.pattern.to_string(),
            format_age(rule.made),
        ]
    });
    let grants = standing.grants.iter().map(|grant| {
        let pattern = grant.pattern.to_string();
        let asks: Vec<_> = standing.asking_rules_since(grant).map(|rule| rule.id.to_string()).collect();
        let says = match asks.as_slice() {
            [] => describe_grant(grant),
            asks => format!("{}; not where rule {} asks", describe_grant(grant), asks.join(", ")),
        };
        ["grant".to_owned(), grant.id.to_string(), says, pattern, format_age(grant.made.wall)]
    });
    let rows: Vec<_> = rules.chain(grants).collect();
    if rows.is_empty() {
        out.print_note("no rules and no grants; policies.json alone decides");
        return Ok(());
    }
    out.print_table(["KIND", "ID", "SAYS", "PATTERN", "MADE"], rows)
}

/// An action in a word.
pub(super) const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::RequireApproval => "require-approval",
        Action::Deny => "deny",
    }
}
