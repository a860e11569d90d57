//! `portero policy replay`: the audit's calls of the last while, decided by the present files. The audit holds no
//! arguments, so where an entry looks at them, only what could come out is told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::audit::{self, AuditEvent, RecordFilter};
use portero::clock::{Clock as _, SystemClock};
use portero::names::ToolId;
use portero::policy::{Action, Policy};
use portero::task::TaskState;
use serde::Serialize;

use crate::commands::{CommandContext, check};
use crate::failure::{CommandFailure, CommandResult};
use crate::offline_denies;
use crate::time_arg::TimeArg;

/// What the calls of one tool that were decided alike would get.
#[derive(Serialize)]
struct ReplayRow {
    tool: ToolId,
    calls: u64,
    was: Action,
    /// The loosest and the strictest that could come out; the same where no argument matters.
    now: [Action; 2],
    change: DecisionChange,
}

/// Whether they would get something else.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum DecisionChange {
    None,
    /// It depends on the arguments.
    Perhaps,
    Looser,
    Stricter,
}

#[derive(Serialize)]
struct ReplayReport {
    since: Timestamp,
    calls: u64,
    same: u64,
    perhaps: u64,
    changed: u64,
    tools: Vec<ReplayRow>,
}

pub(super) fn run(context: &CommandContext, since: TimeArg) -> CommandResult {
    let since = since.resolve(Timestamp::now(), TimeZone::system());
    let config = check::load_valid_config(context)?;
    let standing = offline_denies::read_denies(&context.paths).map_err(|error| {
        CommandFailure::refused("the last known denies cannot be read")
            .caused_by(&error)
            .with_hint("run `portero daemon start`")
    })?;
    let directory = context.paths.audit();
    let filter = RecordFilter { since: Some(since), ..RecordFilter::default() };
    let log = audit::read_log(&directory, &filter).map_err(|error| {
        CommandFailure::refused(format!("could not read the audit in `{}`", directory.display()))
            .caused_by(&error)
    })?;
    for (segment, line) in &log.unreadable {
        context
            .output
            .print_note(format_args!("warning: line {line} of {segment} is no record, and is left out"));
    }
    let mut calls: BTreeMap<(ToolId, Action), u64> = BTreeMap::new();
    for (tool, was) in log.entries.iter().filter_map(|entry| original_decision(&entry.record.event)) {
        *calls.entry((tool.clone(), was)).or_default() += 1;
    }
    let policy = Policy::new(config.policy, standing);
    let rows = calls.into_iter().map(|((tool, was), calls)| replay_row(&policy, tool, was, calls)).collect();
    print_report(context, &ReplayReport::from_rows(since, rows))
}

/// The call that a record is the first word about, and what was decided then.
fn original_decision(event: &AuditEvent) -> Option<(&ToolId, Action)> {
    let (tool, action) = match event {
        AuditEvent::Intent { tool, task: None, .. } => (tool, Action::Allow),
        AuditEvent::Task { tool, state: TaskState::PendingApproval, .. } => (tool, Action::RequireApproval),
        // There are other reasons to refuse, which no policy changes.
        AuditEvent::Refused { tool, reason } if reason.starts_with("denied") => (tool, Action::Deny),
        _ => return None,
    };
    (!tool.is_builtin()).then_some((tool, action))
}

fn replay_row(policy: &Policy, tool: ToolId, was: Action, calls: u64) -> ReplayRow {
    let (loosest, strictest) = policy.action_range(&tool, None, SystemClock.now());
    let change = match () {
        () if loosest > was => DecisionChange::Stricter,
        () if strictest < was => DecisionChange::Looser,
        () if loosest == strictest => DecisionChange::None,
        () => DecisionChange::Perhaps,
    };
    ReplayRow { tool, calls, was, now: [loosest, strictest], change }
}

impl ReplayReport {
    fn from_rows(since: Timestamp, tools: Vec<ReplayRow>) -> Self {
        let sum = |wanted: fn(DecisionChange) -> bool| {
            tools.iter().filter(|row| wanted(row.change)).map(|row| row.calls).sum()
        };
        Self {
            since,
            calls: sum(|_| true),
            same: sum(|change| change == DecisionChange::None),
            perhaps: sum(|change| change == DecisionChange::Perhaps),
            changed: sum(|change| matches!(change, DecisionChange::Looser | DecisionChange::Stricter)),
            tools,
        }
    }
}

fn print_report(context: &CommandContext, replay: &ReplayReport) -> CommandResult {
    context.output.print_value_or_text(replay, |out| {
        let rows: Vec<_> =
            replay.tools.iter().filter(|row| row.change != DecisionChange::None).map(table_cells).collect();
        if !rows.is_empty() {
            out.print_table(["TOOL", "CALLS", "WAS", "WOULD BE"], rows)?;
        }
        let ReplayReport { since, calls, same, perhaps, changed, .. } = replay;
        let since = since.strftime("%Y-%m-%d %H:%MZ");
        out.print_line(format_args!(
            "{calls} calls since {since}: {same} as before, {changed} changed, {perhaps} by their arguments"
        ))
    })?;
    context.output.print_note(
        "note: this is what the files and the last known denies say; rules that allow, and grants, are left out",
    );
    if replay.perhaps > 0 {
        context.output.print_note(
            "note: the audit holds no arguments, so it cannot tell what would come of those calls",
        );
    }
    Ok(())
}

fn table_cells(row: &ReplayRow) -> [String; 4] {
    let [loosest, strictest] = row.now;
    let now = match loosest == strictest {
        true => strictest.to_string(),
        false => format!("{loosest} to {strictest}, by the arguments"),
    };
    [row.tool.to_string(), row.calls.to_string(), row.was.to_string(), now]
}
