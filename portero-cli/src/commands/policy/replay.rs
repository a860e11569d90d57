//! `portero policy replay`: the audit's calls of the last while, decided by the present files. The audit holds no
//! arguments, so where an entry looks at them, only what could come out is told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::audit::{self, Event, Filter};
use portero::clock::{Clock as _, SystemClock};
use portero::names::ToolId;
use portero::policy::{Action, Policy};
use portero::task::State;
use serde::Serialize;

use crate::commands::{Context, check};
use crate::denies;
use crate::failure::{Failure, Outcome};
use crate::when::When;

/// What the calls of one tool that were decided alike would get.
#[derive(Serialize)]
struct Row {
    tool: ToolId,
    calls: u64,
    was: Action,
    /// The loosest and the strictest that could come out; the same where no argument matters.
    now: [Action; 2],
    change: Change,
}

/// Whether they would get something else.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Change {
    None,
    /// It depends on the arguments.
    Perhaps,
    Looser,
    Stricter,
}

#[derive(Serialize)]
struct Replay {
    since: Timestamp,
    calls: u64,
    same: u64,
    perhaps: u64,
    changed: u64,
    tools: Vec<Row>,
}

pub(super) fn run(context: &Context, since: When) -> Outcome {
    let since = since.moment(Timestamp::now(), TimeZone::system());
    let config = check::valid(context)?;
    let standing = denies::read(&context.paths).map_err(|error| {
        Failure::refused("the last known denies cannot be read")
            .because(&error)
            .hint("run `portero daemon start`")
    })?;
    let directory = context.paths.audit();
    let filter = Filter { since: Some(since), ..Filter::default() };
    let log = audit::read(&directory, &filter).map_err(|error| {
        Failure::refused(format!("could not read the audit in `{}`", directory.display())).because(&error)
    })?;
    for (segment, line) in &log.unreadable {
        context.output.talk(format_args!("warning: line {line} of {segment} is no record, and is left out"));
    }
    let mut calls: BTreeMap<(ToolId, Action), u64> = BTreeMap::new();
    for (tool, was) in log.entries.iter().filter_map(|entry| decided(&entry.record.event)) {
        *calls.entry((tool.clone(), was)).or_default() += 1;
    }
    let policy = Policy::new(config.policy, standing);
    let rows = calls.into_iter().map(|((tool, was), calls)| row(&policy, tool, was, calls)).collect();
    show(context, &Replay::of(since, rows))
}

/// The call that a record is the first word about, and what was decided then.
fn decided(event: &Event) -> Option<(&ToolId, Action)> {
    let (tool, action) = match event {
        Event::Intent { tool, task: None, .. } => (tool, Action::Allow),
        Event::Task { tool, state: State::PendingApproval, .. } => (tool, Action::RequireApproval),
        // There are other reasons to refuse, which no policy changes.
        Event::Refused { tool, reason } if reason.starts_with("denied") => (tool, Action::Deny),
        _ => return None,
    };
    (!tool.is_own()).then_some((tool, action))
}

fn row(policy: &Policy, tool: ToolId, was: Action, calls: u64) -> Row {
    let (loosest, strictest) = policy.range(&tool, None, SystemClock.now());
    let change = match () {
        () if loosest > was => Change::Stricter,
        () if strictest < was => Change::Looser,
        () if loosest == strictest => Change::None,
        () => Change::Perhaps,
    };
    Row { tool, calls, was, now: [loosest, strictest], change }
}

impl Replay {
    fn of(since: Timestamp, tools: Vec<Row>) -> Self {
        let sum = |wanted: fn(Change) -> bool| {
            tools.iter().filter(|row| wanted(row.change)).map(|row| row.calls).sum()
        };
        Self {
            since,
            calls: sum(|_| true),
            same: sum(|change| change == Change::None),
            perhaps: sum(|change| change == Change::Perhaps),
            changed: sum(|change| matches!(change, Change::Looser | Change::Stricter)),
            tools,
        }
    }
}

fn show(context: &Context, replay: &Replay) -> Outcome {
    context.output.show(replay, |out| {
        let rows: Vec<_> = replay.tools.iter().filter(|row| row.change != Change::None).map(cells).collect();
        if !rows.is_empty() {
            out.table(["TOOL", "CALLS", "WAS", "WOULD BE"], rows)?;
        }
        let Replay { since, calls, same, perhaps, changed, .. } = replay;
        let since = since.strftime("%Y-%m-%d %H:%MZ");
        out.line(format_args!(
            "{calls} calls since {since}: {same} as before, {changed} changed, {perhaps} by their arguments"
        ))
    })?;
    context.output.talk(
        "note: this is what the files and the last known denies say; rules that allow, and grants, are left out",
    );
    if replay.perhaps > 0 {
        context
            .output
            .talk("note: the audit holds no arguments, so it cannot tell what would come of those calls");
    }
    Ok(())
}

fn cells(row: &Row) -> [String; 4] {
    let [loosest, strictest] = row.now;
    let now = match loosest == strictest {
        true => strictest.to_string(),
        false => format!("{loosest} to {strictest}, by the arguments"),
    };
    [row.tool.to_string(), row.calls.to_string(), row.was.to_string(), now]
}
