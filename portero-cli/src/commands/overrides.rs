//! Decisions beside the files: rules, grants and the pause.
//!
//! A narrowing act applies at once; a widening one needs a confirmation.

use std::path::Path;
use std::time::Duration;

use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::{
    CreateGrant, CreateRule, GetOverrides, GetUnsaved, Pause, RemoveRule, Resume, RevokeGrants,
};
use portero::ipc::{Act, DaemonStatus, GrantSelection, UnsavedChanges};
use portero::names::{AgentSessionId, Principal, SessionId};
use portero::pattern::Pattern;
use portero::policy::{
    Action, ArgumentLimit, CallerIdentity, FixedArgument, FixedArguments, Grant, GrantLimits, Overrides,
};
use portero::task::TaskState;
use serde::Serialize;
use serde_json::{Value, json};

use super::CommandContext;
use super::approvals::{NO_LIMIT, fetch_tasks, short_id};
use super::config::hint_unknown_pattern;
use super::waiting_calls::{self, WaitingOutcome};
use crate::args::{self, ConfirmationArgs};
use crate::elevate::{self, ConfirmedAct};
use crate::failure::{CommandFailure, CommandResult};
use crate::launch;
use crate::output::{Output, escape_hidden, format_age, format_duration, pluralize};

pub(super) async fn grant(context: &CommandContext, args: args::GrantArgs) -> CommandResult {
    let args::GrantArgs { pattern, duration, uses, session, project, fixed, reads, run_waiting, confirming } =
        args;
    let millis =
        u64::try_from(duration.as_millis()).map_err(|_| CommandFailure::usage("that is too long a time"))?;
    let daemon = context.connect_daemon().await?;
    let status = daemon.request(GetStatus).await?;
    refuse_too_long(&status, duration)?;
    // The session is resolved here, because only a connected one has an id to look up.
    let within =
        session.map_or_else(|| Ok(GrantLimits::default()), |typed| session_limit(&status, &typed))?;
    let project = project.map(|directory| project_limit(&directory)).transpose()?;
    let arguments = fix_arguments(fixed)?;
    let limits = GrantLimits { project, uses, arguments, reads_only: reads, ..within };
    hint_unknown_pattern(context, &pattern);
    let act = ConfirmedAct::Grant(&pattern, duration);
    let mut terminal = elevate::open_prompt(&daemon, &act, confirming.telegram).await?;
    elevate::show_reach(&daemon, &mut terminal, &pattern, &Act::grant(&pattern, duration, &limits)).await?;
    for line in describe_limits(&limits, &status) {
        terminal.print_line(line)?;
    }
    let waiting = waiting_calls::choose_waiting(
        &daemon,
        &mut terminal,
        &Act::grant(&pattern, duration, &limits),
        run_waiting,
    )
    .await?;
    let grant = |challenge| CreateGrant {
        pattern: pattern.clone(),
        millis,
        limits: limits.clone(),
        run_waiting: waiting.clone(),
        challenge,
    };
    let grant = elevate::send_confirmed(&daemon, &mut terminal, &act, grant).await?;
    let ran = waiting_calls::find_outcomes(&daemon, &waiting).await?;
    let value = WithOutcomes { made: GrantStatus::from_grant(&grant), ran_waiting: &ran };
    context.output.print_value_or_text(&value, |out| {
        let limits = match grant.limits.to_string() {
            none if none.is_empty() => none,
            limits => format!(", {}", escape_hidden(&limits)),
        };
        out.print_line(format_args!(
            "grant {}: `{}` runs unasked for {}{limits}; `portero revoke {}` ends it",
            grant.id,
            grant.pattern,
            format_duration(duration),
            grant.id
        ))?;
        waiting_calls::print_outcomes(out, &ran)
    })?;
    Ok(())
}

/// The limit to calls with these arguments; none without any.
fn fix_arguments(fixed: Vec<FixedArgument>) -> CommandResult<Option<ArgumentLimit>> {
    if fixed.is_empty() {
        return Ok(None);
    }
    let fixed = FixedArguments::new(fixed).map_err(|error| CommandFailure::usage(error.to_string()))?;
    Ok(Some(ArgumentLimit::Fixed(fixed)))
}

/// What was made, and the waiting calls that ran with it.
#[derive(Serialize)]
struct WithOutcomes<'a, T> {
    #[serde(flatten)]
    made: T,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ran_waiting: &'a [WaitingOutcome],
}

/// Refuses early, because the daemon would only refuse after the passphrase was typed.
fn refuse_too_long(status: &DaemonStatus, duration: Duration) -> CommandResult {
    let most = Duration::from_millis(status.grant_most);
    if duration <= most {
        return Ok(());
    }
    let (asked, most) = (format_duration(duration), format_duration(most));
    Err(CommandFailure::refused(format!("a grant lasts at most {most}, and {asked} were asked for"))
        .with_hint("ask for less, or raise `approvals.grantMost` in portero.json"))
}

fn session_limit(status: &DaemonStatus, typed: &str) -> CommandResult<GrantLimits> {
    GrantLimits::for_session(&status.sessions, &status.agent_sessions, typed).map_err(|error| {
        CommandFailure::refused(error.to_string()).with_hint("`portero status` lists the sessions")
    })
}

fn project_limit(directory: &Path) -> CommandResult<Principal> {
    launch::project_principal(directory).map_err(|error| {
        CommandFailure::usage(format!("there is no project directory `{}`", directory.display()))
            .caused_by(&error)
    })
}

/// The limits that a person reads before they confirm, and the connected sessions that they cover.
fn describe_limits(limits: &GrantLimits, status: &DaemonStatus) -> Vec<String> {
    if limits.is_none() {
        return Vec::new();
    }
    let mut lines = vec![format!("Limited: {}.", escape_hidden(&limits.to_string()))];
    // For everyone.
    if limits.admits(None) {
        return lines;
    }
    // A person confirms sessions that they can recognize, not only a limit's words.
    let meant = status.sessions.iter().filter(|(id, project)| {
        let agent_session = agent_session_of(status, *id);
        limits.admits(Some(CallerIdentity { principal: project, session: *id, agent_session }))
    });
    lines.extend(
        meant.map(|(id, project)| format!("  it covers session {id} in {}", escape_hidden(project.as_str()))),
    );
    if lines.len() == 1 {
        lines.push("  no connected session matches".to_owned());
    }
    lines
}

fn agent_session_of(status: &DaemonStatus, id: SessionId) -> Option<&AgentSessionId> {
    status.agent_sessions.iter().find(|(of, _)| *of == id).map(|(_, agent)| agent)
}

pub(super) async fn revoke(context: &CommandContext, args: args::RevokeArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let asked = args.ids.len() as u64;
    let acting = if args.all { GrantSelection::All } else { GrantSelection::Ids(args.ids) };
    let count = daemon.request(RevokeGrants { which: acting }).await?;
    context.output.print_value_or_text(&json!({"revoked": count}), |out| {
        out.print_line(format_args!("{} ended, in every session", pluralize(count, "grant", "grants")))?;
        // Fewer grants than ids means that some ids were wrong, which a count alone would hide.
        if count < asked {
            out.print_line("the other ids belong to no grant in force; see `portero rules`")?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Makes a persistent rule. One that allows needs a confirmation; any other applies at once.
pub(super) async fn make_rule(
    context: &CommandContext,
    pattern: Pattern,
    action: Action,
    run_waiting: bool,
    on_telegram: bool,
) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    hint_unknown_pattern(context, &pattern);
    let mut waiting = Vec::new();
    let rule = match action {
        Action::Allow => {
            let act = ConfirmedAct::Allow;
            let mut terminal = elevate::open_prompt(&daemon, &act, on_telegram).await?;
            let widening = Act::Allow(pattern.clone());
            elevate::show_reach(&daemon, &mut terminal, &pattern, &widening).await?;
            waiting = waiting_calls::choose_waiting(&daemon, &mut terminal, &widening, run_waiting).await?;
            let allow = |challenge| {
                let (pattern, challenge) = (pattern.clone(), Some(challenge));
                CreateRule { pattern, action, run_waiting: waiting.clone(), challenge }
            };
            elevate::send_confirmed(&daemon, &mut terminal, &act, allow).await?
        }
        Action::RequireApproval | Action::Deny => {
            daemon.request(CreateRule { pattern, action, run_waiting: Vec::new(), challenge: None }).await?
        }
    };
    let ran = waiting_calls::find_outcomes(&daemon, &waiting).await?;
    context.output.print_value_or_text(&WithOutcomes { made: &rule, ran_waiting: &ran }, |out| {
        let (id, pattern) = (rule.id, &rule.pattern);
        let does = match rule.action {
            Action::Allow => format!("`{pattern}` is allowed"),
            Action::RequireApproval => format!(
                "`{pattern}` asks you in every session, where it would run; a later grant lifts that for its time"
            ),
            Action::Deny => format!("`{pattern}` is denied in every session"),
        };
        out.print_line(format_args!("rule {id}: {does}; `portero unrule {id}` ends it"))?;
        waiting_calls::print_outcomes(out, &ran)
    })?;
    Ok(())
}

pub(super) async fn remove_rule(context: &CommandContext, args: &args::UnruleArgs) -> CommandResult {
    let id = args.id;
    let daemon = context.connect_daemon().await?;
    let standing = daemon.request(GetOverrides).await?;
    let Some(rule) = standing.rules.iter().find(|rule| rule.id == id) else {
        return Err(
            CommandFailure::refused(format!("there is no rule {id}")).with_hint("run `portero rules`")
        );
    };
    match rule.action {
        // The removal of an allow rule narrows, so it needs no confirmation.
        Action::Allow => daemon.request(RemoveRule { id, challenge: None }).await?,
        Action::Deny | Action::RequireApproval => {
            let act = ConfirmedAct::RemoveRule(id, &rule.pattern);
            let mut terminal = elevate::open_prompt(&daemon, &act, args.confirming.telegram).await?;
            let change = Act::RemoveRule(id, rule.pattern.clone(), rule.action);
            elevate::show_reach(&daemon, &mut terminal, &rule.pattern, &change).await?;
            let remove = |challenge| RemoveRule { id, challenge: Some(challenge) };
            elevate::send_confirmed(&daemon, &mut terminal, &act, remove).await?
        }
    }
    context.output.print_value_or_text(&json!({"removed": id}), |out| {
        out.print_line(format_args!("rule {id} on `{}` is removed", rule.pattern))
    })?;
    Ok(())
}

pub(super) async fn pause(context: &CommandContext) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let standing = daemon.request(Pause).await?;
    // Another terminal may have resumed in the moment after the request.
    let Some(since) = standing.paused else {
        return Err(
            CommandFailure::refused("the pause was ended again at once").with_hint("run `portero status`")
        );
    };
    let approved = fetch_tasks(&daemon, Some(TaskState::Approved), NO_LIMIT).await?.len();
    let executing = fetch_tasks(&daemon, Some(TaskState::Executing), NO_LIMIT).await?.len();
    let value = json!({"paused": since, "approved": approved, "executing": executing});
    context.output.print_value_or_text(&value, |out| {
        out.print_line(format_args!(
            "everything is paused since {}, in every session; `portero resume` ends it",
            format_age(since)
        ))?;
        if approved > 0 {
            out.print_line(format_args!(
                "{approved} approved and not started: none starts before that, and each still expires in time"
            ))?;
        }
        if executing > 0 {
            out.print_line(format_args!("{executing} already running: they go on"))?;
        }
        Ok(())
    })?;
    Ok(())
}

pub(super) async fn resume(context: &CommandContext, confirming: ConfirmationArgs) -> CommandResult {
    let daemon = context.connect_daemon().await?;
    let standing = daemon.request(GetOverrides).await?;
    let Some(since) = standing.paused else {
        context
            .output
            .print_value_or_text(&json!({"resumed": false}), |out| out.print_line("nothing is paused"))?;
        return Ok(());
    };
    let mut terminal = elevate::open_prompt(&daemon, &ConfirmedAct::Resume, confirming.telegram).await?;
    terminal.print_line(format_args!("Everything is paused since {}.", format_age(since)))?;
    // Approved calls start at once, so the person reads them before the confirmation.
    let approved = fetch_tasks(&daemon, Some(TaskState::Approved), NO_LIMIT).await?;
    if !approved.is_empty() {
        terminal.print_line("These calls are approved and start at once:")?;
        for task in &approved {
            let id = short_id(task.id);
            terminal.print_line(format_args!(
                "  {id}  {}, asked {}",
                task.call.tool,
                format_age(task.asked)
            ))?;
        }
    }
    let resume = |challenge| Resume { challenge };
    let was_paused = elevate::send_confirmed(&daemon, &mut terminal, &ConfirmedAct::Resume, resume).await?;
    context.output.print_value_or_text(&json!({"resumed": was_paused}), |out| {
        out.print_line("Resumed. Calls run again.")
    })?;
    Ok(())
}

pub(super) async fn list_rules(context: &CommandContext) -> CommandResult {
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

/// Prints the changes that apply but aren't saved, if there are any.
pub(super) fn print_unsaved(out: &Output, unsaved: Option<&UnsavedChanges>) -> std::io::Result<()> {
    let Some(UnsavedChanges { problem, rules, ended, paused, tasks }) = unsaved else { return Ok(()) };
    let ids = |what: &str, ids: &[u64]| {
        let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
        (!ids.is_empty()).then(|| format!("{what} {}", ids.join(", ")))
    };
    let tasks: Vec<_> = tasks.iter().map(|task| short_id(*task)).collect();
    let what = [paused.then(|| "the pause".to_owned()), ids("rule", rules), ids("the end of", ended)];
    let what: Vec<_> = what.into_iter().flatten().collect();
    if !tasks.is_empty() {
        let tasks = tasks.join(", ");
        out.print_row(
            "UNSAVED",
            format_args!("the rejection of {}: in force, not in the store yet", escape_hidden(&tasks)),
        )?;
    }
    // With no named entry the last change is unsaved, which must not go unsaid.
    if !what.is_empty() || tasks.is_empty() {
        let what = if what.is_empty() { "the last change".to_owned() } else { what.join("; ") };
        out.print_row(
            "UNSAVED",
            format_args!("{}: in force, and lost if the daemon ends now", escape_hidden(&what)),
        )?;
    }
    out.print_row("", format_args!("{}; Portero saves it as soon as it can", escape_hidden(problem)))
}

/// Prints the pause, if there is one.
pub(super) fn print_pause(out: &Output, standing: &Overrides) -> std::io::Result<()> {
    match standing.paused {
        Some(since) => out.print_row(
            "PAUSED",
            format_args!("since {} ({since}): no call runs; `portero resume` ends it", format_age(since)),
        ),
        None => Ok(()),
    }
}

/// A grant with its remaining time and uses.
#[derive(Serialize)]
pub(super) struct GrantStatus<'a> {
    #[serde(flatten)]
    grant: &'a Grant,
    /// The remaining time in milliseconds.
    left_millis: u64,
    /// The remaining uses; `null` if they are unlimited.
    uses_left: Option<u32>,
}

impl<'a> GrantStatus<'a> {
    pub(super) fn from_grant(grant: &'a Grant) -> Self {
        let left_millis = u64::try_from(time_left(grant).as_millis()).unwrap_or(u64::MAX);
        Self { grant, left_millis, uses_left: grant.uses_left() }
    }
}

/// Rules and grants for `--json`, with the remaining time and uses of each grant.
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
            if is_unsaved { format!("{} (unsaved)", rule.action) } else { rule.action.to_string() },
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

#[cfg(test)]
mod tests {
    use super::*;

    fn session_id(last: char) -> SessionId {
        format!("019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8{last}").parse().unwrap()
    }

    /// Two sessions of one Claude Code in `/site`, one of another program in `/notes`.
    fn sample_status() -> DaemonStatus {
        let project = |name: &str| Principal::from_project(name.as_ref());
        let agent: AgentSessionId = "5b0c2d1e-claude".parse().unwrap();
        serde_json::from_value(serde_json::json!({
            "build": "1", "pid": 1, "started": "2026-11-20T12:00:00Z", "config": "/c", "config_problems": [],
            "config_valid": true, "skipped": [], "servers": [], "pending": 0,
            "sessions": [[session_id('a'), project("/site")], [session_id('b'), project("/site")], [session_id('c'), project("/notes")]],
            "agent_sessions": [[session_id('a'), agent], [session_id('b'), agent]],
            "grant_most": 24 * 3_600_000,
            "standing": {"epoch": 0, "rules": [], "grants": [], "boot_id": ""},
            "passphrase": null, "counts": {"done": 0, "failed": 0, "refused": 0, "asked": 0},
        }))
        .unwrap()
    }

    #[test]
    fn a_part_of_an_id_means_the_one_session_that_has_it() {
        let status = sample_status();
        let agent =
            GrantLimits { agent_session: Some("5b0c2d1e-claude".parse().unwrap()), ..GrantLimits::default() };
        // Portero's own ids of both connections, and their agent's.
        for typed in ["9e8a", "9E8B", "5b0c", "-claude", "5b0c2d1e-claude"] {
            assert_eq!(session_limit(&status, typed).unwrap(), agent, "{typed}");
        }
        let own = GrantLimits { session: Some(session_id('c')), ..GrantLimits::default() };
        assert_eq!(session_limit(&status, "9e8c").unwrap(), own);
        for (typed, why) in [("019a", "2 connected sessions"), ("beef", "no connected"), ("", "no connected")]
        {
            let refused = session_limit(&status, typed).unwrap_err();
            assert!(format!("{refused:?}").contains(why), "{typed}: {refused:?}");
        }
    }

    #[test]
    fn a_person_reads_the_limits_and_whom_they_mean() {
        let status = sample_status();
        let limits = GrantLimits { uses: "3".parse().ok(), ..session_limit(&status, "claude").unwrap() };
        let lines = describe_limits(&limits, &status);
        assert_eq!(lines[0], "Limited: only in session 5b0c2d1e-claude, 3 uses.");
        assert_eq!(lines.len(), 3, "{lines:?}");
        let elsewhere =
            GrantLimits { project: Some(Principal::from_project("/tmp".as_ref())), ..GrantLimits::default() };
        assert_eq!(describe_limits(&elsewhere, &status)[1], "  no connected session matches");
        assert!(describe_limits(&GrantLimits::default(), &status).is_empty());
    }
}
