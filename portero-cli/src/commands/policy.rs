//! Policy decisions: `portero why`, `portero policy test` and `portero policy replay`.
//!
//! A test uses only the files, without rules and grants, so it has the same result on every machine. A replay
//! applies the present files to the calls of the audit. The audit has no arguments, so where an entry depends
//! on them, the replay shows the possible decisions.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portero::anonymize::{Anonymizer, Fake};
use portero::audit::{self, AuditEvent, RecordFilter};
use portero::clock::{Clock as _, SystemClock};
use portero::config::Config;
use portero::files;
use portero::ipc::ProbeResult;
use portero::ipc::requests::overrides::ExplainDecision;
use portero::json::{self, RawJson};
use portero::names::ToolId;
use portero::policy::condition::{ConditionReadings, Truth};
use portero::policy::{Action, Decision, Explanation, Overrides, Policy};
use portero::task::TaskState;
use serde::{Deserialize, Serialize};

use super::CommandContext;
use super::audit::unreadable_audit;
use super::config::{load_config, load_valid_config};
use super::overrides::GrantStatus;
use crate::args::{self, TimeArg};
use crate::daemon;
use crate::failure::{CommandFailure, CommandResult};
use crate::offline_denies;
use crate::output::escape_hidden;
use crate::suggestions::KnownTools;

pub(super) async fn explain(context: &CommandContext, args: args::WhyArgs) -> CommandResult {
    let args::WhyArgs { tool, args: file } = args;
    let arguments = file.as_deref().map(read_arguments).transpose()?;
    let given = arguments.is_some();
    let live = matches!(daemon::probe_daemon(&context.paths).await, ProbeResult::Ready(_));
    let explanation = if live {
        let daemon = context.connect_daemon().await?;
        let explanation = daemon.request(ExplainDecision { tool: tool.clone(), arguments }).await?;
        *explanation
    } else {
        explain_from_files(context, &tool, arguments)?
    };
    if !live {
        context
            .output
            .print_note("the daemon does not run: this is decided by the files and the last known denies");
    }
    // The strictest case is shown, so the person learns that other arguments may be decided more loosely.
    let depends =
        std::iter::once(&explanation.decision).chain(&explanation.losing).any(|one| one.case.is_some());
    if depends && !given {
        context.output.print_note(
            "note: the decision depends on the arguments, and this is the strictest; give arguments with `--args FILE`",
        );
    }
    let elsewhere: Vec<_> = explanation.elsewhere.iter().map(GrantStatus::from_grant).collect();
    let value = serde_json::json!({
        "tool": tool, "live": live, "decision": explanation.decision, "losing": explanation.losing,
        "elsewhere": elsewhere, "quorums": explanation.quorums, "readings": explanation.readings,
    });
    // The hint uses the files as they are now, which the daemon may not have applied yet. Both the typed name
    // and the files are the person's.
    if let (Some(config), _) = load_config(context)
        && let Some(hint) = KnownTools::load(&config, &context.paths).hint_for_tool(&tool)
    {
        context.output.print_note(format!("note: {hint}"));
    }
    context.output.print_value_or_text(&value, |out| {
        out.print_line(format_args!("{tool}: {}", explanation.decision.action))?;
        out.print_line(format_args!("  because {}", explanation.decision))?;
        for reading in notable_readings(&explanation.readings) {
            out.print_line(format_args!("    {reading}"))?;
        }
        for quorum in &explanation.quorums {
            out.print_line(format_args!("  it needs {quorum} on Telegram ({})", quorum.source))?;
        }
        for losing in &explanation.losing {
            let early = if explanation.is_outdated_grant(losing) { ", made before that rule" } else { "" };
            out.print_line(format_args!("  stronger than {losing}{early}"))?;
        }
        for grant in &explanation.elsewhere {
            let whom = escape_hidden(&grant.limits.describe_scope()).into_owned();
            out.print_line(format_args!("  grant {} on `{}` holds {whom}", grant.id, grant.pattern))?;
        }
        Ok(())
    })?;
    Ok(())
}

/// The conditions of the case that decided whose values can be read in several ways, or cannot be told.
fn notable_readings(readings: &[ConditionReadings]) -> impl Iterator<Item = &ConditionReadings> {
    readings.iter().filter(|condition| !condition.readings.is_empty() || condition.truth != Truth::Yes)
}

fn explain_from_files(
    context: &CommandContext,
    tool: &ToolId,
    arguments: Option<RawJson>,
) -> CommandResult<Explanation> {
    let config = load_valid_config(context)?;
    let standing = read_denies(context)?;
    let arguments = arguments.map(|arguments| conceal_arguments(&config, arguments)).transpose()?;
    let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
    let policy = Policy::new(config.policy, standing);
    Ok(policy.explain(tool, arguments, None, SystemClock.now()))
}

fn read_denies(context: &CommandContext) -> CommandResult<Overrides> {
    offline_denies::read_denies(&context.paths).map_err(|error| {
        CommandFailure::refused(
            "the last known denies cannot be read, so nothing is allowed without the daemon",
        )
        .caused_by(&error)
        .with_hint("run `portero daemon start`")
    })
}

/// A case of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyCase {
    tool: ToolId,
    arguments: Option<RawJson>,
    expect: Action,
}

/// The result of a case.
#[derive(Serialize)]
struct CaseOutcome {
    case: usize,
    tool: ToolId,
    expected: Action,
    holds: bool,
    decision: Decision,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    readings: Vec<ConditionReadings>,
}

pub(super) fn test(context: &CommandContext, file: &Path) -> CommandResult {
    let cases = read_cases(file)?;
    let config = load_valid_config(context)?;
    let policy = Policy::new(config.policy.clone(), Overrides::default());
    let mut tried = Vec::with_capacity(cases.len());
    for (at, PolicyCase { tool, arguments, expect: expected }) in cases.into_iter().enumerate() {
        let arguments = arguments.map(|arguments| conceal_arguments(&config, arguments)).transpose()?;
        let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
        let Explanation { decision, readings, .. } =
            policy.explain(&tool, arguments, None, SystemClock.now());
        tried.push(CaseOutcome {
            case: at + 1,
            tool,
            expected,
            holds: decision.action == expected,
            decision,
            readings,
        });
    }
    let wrong = tried.iter().filter(|tried| !tried.holds).count();
    context.output.print_value_or_text(&tried, |out| {
        for CaseOutcome { case, tool, expected, decision, readings, .. } in
            tried.iter().filter(|tried| !tried.holds)
        {
            out.print_line(format_args!("case {case}: {tool}"))?;
            out.print_line(format_args!("  - {expected}"))?;
            out.print_line(format_args!("  + {}: {decision}", decision.action))?;
            for reading in notable_readings(readings) {
                out.print_line(format_args!("    {reading}"))?;
            }
        }
        out.print_line(format_args!("{} of {} cases are as expected", tried.len() - wrong, tried.len()))
    })?;
    match wrong {
        0 => Ok(()),
        wrong => {
            Err(CommandFailure::refused(format!("{wrong} of {} cases are not as expected", tried.len()))
                .with_hint("a line with - is the expected decision, one with + the actual one"))
        }
    }
}

fn read_cases(file: &Path) -> CommandResult<Vec<PolicyCase>> {
    let about = || format!("could not read the cases in `{}`", file.display());
    let hint = r#"it is a list of {"tool": "server/tool", "arguments": {…}, "expect": "allow"}"#;
    let text =
        files::read_argument_file(file).map_err(|error| CommandFailure::usage(about()).caused_by(&error))?;
    let parse = |text: String| {
        let whole = json::parse_raw(text)?;
        // Two equal keys would let a test check another value than the one that a server reads.
        json::refuse_duplicate_keys(&whole)?;
        serde_json::from_str::<Vec<PolicyCase>>(whole.get())
    };
    let cases =
        parse(text).map_err(|error| CommandFailure::usage(about()).caused_by(&error).with_hint(hint))?;
    // A test without cases would pass and prove nothing.
    if cases.is_empty() {
        return Err(
            CommandFailure::usage(about()).with_hint("there is no case in it, so nothing would be tested")
        );
    }
    Ok(cases)
}

/// The possible decisions for the calls of one tool that had the same decision.
#[derive(Serialize)]
struct ReplayRow {
    tool: ToolId,
    calls: u64,
    was: Action,
    /// The loosest and the strictest possible decision; they are equal if no argument matters.
    now: [Action; 2],
    change: DecisionChange,
}

/// Whether the decision would change.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum DecisionChange {
    None,
    /// The change depends on the arguments.
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

pub(super) fn replay(context: &CommandContext, since: TimeArg) -> CommandResult {
    let since = since.resolve(Timestamp::now(), TimeZone::system());
    let config = load_valid_config(context)?;
    let standing = read_denies(context)?;
    let directory = context.paths.audit();
    let filter = RecordFilter { since: Some(since), ..RecordFilter::default() };
    let log = audit::read_log(&directory, &filter).map_err(|error| unreadable_audit(&directory, &error))?;
    for (segment, line) in &log.unreadable {
        context
            .output
            .print_note(format_args!("warning: line {line} of {segment} is not a record, and is left out"));
    }
    let mut calls: BTreeMap<(ToolId, Action), u64> = BTreeMap::new();
    for (tool, was) in log.entries.iter().filter_map(|entry| original_decision(&entry.record.event)) {
        *calls.entry((tool.clone(), was)).or_default() += 1;
    }
    let policy = Policy::new(config.policy, standing);
    let rows = calls.into_iter().map(|((tool, was), calls)| replay_row(&policy, tool, was, calls)).collect();
    print_report(context, &ReplayReport::from_rows(since, rows))
}

/// The call and its decision, if the record is the first one about a call.
fn original_decision(event: &AuditEvent) -> Option<(&ToolId, Action)> {
    let (tool, action) = match event {
        AuditEvent::Intent { tool, task: None, .. } => (tool, Action::Allow),
        AuditEvent::Task { tool, state: TaskState::PendingApproval, .. } => (tool, Action::RequireApproval),
        // Other refusals, such as a full queue, don't depend on policy.
        AuditEvent::Refused { tool, reason } if reason.starts_with("denied") => (tool, Action::Deny),
        _ => return None,
    };
    // Portero's own tools have no policy.
    (!tool.is_builtin()).then_some((tool, action))
}

fn replay_row(policy: &Policy, tool: ToolId, was: Action, calls: u64) -> ReplayRow {
    let (loosest, strictest) = policy.action_range(&tool, None, SystemClock.now());
    // `Action` is ordered from allow to deny. The change is certain if even the loosest decision is stricter,
    // or even the strictest one is looser; in between the arguments decide.
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
            "{calls} calls since {since}: {same} as before, {changed} changed, {perhaps} depend on their arguments"
        ))
    })?;
    context.output.print_note(
        "note: this counts the files and the last known denies; allow rules and grants are left out",
    );
    if replay.perhaps > 0 {
        context
            .output
            .print_note("note: the audit holds no arguments, so those calls cannot be decided here");
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

/// Reads arguments from a file; `-` is standard input.
fn read_arguments(path: &Path) -> CommandResult<RawJson> {
    let text = match path.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => files::read_argument_file(path).map_err(io::Error::from),
    };
    let about = || format!("could not read the arguments in `{}`", path.display());
    let text = text.map_err(|error| CommandFailure::usage(about()).caused_by(&error))?;
    parse_arguments(text).map_err(|error| CommandFailure::usage(about()).caused_by(&error))
}

/// Parses a JSON value for arguments, in which no key may occur twice.
fn parse_arguments(text: String) -> Result<RawJson, serde_json::Error> {
    let arguments = json::parse_raw(text)?;
    json::refuse_duplicate_keys(&arguments)?;
    Ok(arguments)
}

/// Replaces real values by fake ones, because policy sees arguments as an agent writes them.
fn conceal_arguments(config: &Config, arguments: RawJson) -> CommandResult<Fake<RawJson>> {
    let refuse =
        |words: &str| CommandFailure::refused(format!("the arguments could not be concealed: {words}"));
    let anonymizer =
        Anonymizer::new(&config.replacements).map_err(|_| refuse("two replacements conflict"))?;
    anonymizer.conceal_arguments(arguments).map_err(|leak| refuse(&leak.to_string()))
}
