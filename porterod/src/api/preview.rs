//! The preview of an act: what it would change, for the person who confirms it.

use portero::catalog::cached_tools;
use portero::clock::Moment;
use portero::ipc::{Act, DaemonFailure, FailureKind, InspectedTask};
use portero::names::{Operation, TaskId, ToolId};
use portero::pattern::Pattern;
use portero::policy::{Action, Grant, GrantLimits, Overrides, Policy, PolicyRule};
use portero::task::{CallOrigin, TaskState};

use super::{definition_differences, failure, shown};
use crate::approvals::ApprovalError;
use crate::auth::remote_confirmation::ActPreview;
use crate::daemon::Daemon;
use crate::overrides::OverridesError;
use crate::store::tasks;

/// Returns the change that the act would make now.
pub(super) async fn of_act(daemon: &Daemon, act: &Act) -> Result<ActPreview, DaemonFailure> {
    match act {
        Act::Approve(task) | Act::ApproveFresh(task) => {
            look_at_waiting(daemon, *task).map(|look| ActPreview::Task(Box::new(look)))
        }
        Act::ApproveWith(task, _, permit) => {
            let look = look_at_waiting(daemon, *task)?;
            Ok(ActPreview::TaskAndTools(Box::new(look), tools(daemon, &Act::from(&**permit)).await?))
        }
        Act::Reveal(task) => shown::look(daemon, *task).map(|look| ActPreview::Task(Box::new(look))),
        Act::ConfirmConfig(_) => {
            let changes = daemon.config.compare().await;
            let changes = changes.map_err(|error| failure::of_confirm_config(&error))?;
            Ok(ActPreview::Configuration(Box::new(changes)))
        }
        Act::AcceptDefinitions(server, shown) => {
            let waiting = definition_differences::describe_server(daemon, server)?;
            if waiting.shown != *shown || waiting.differences.is_empty() {
                return Err(failure::of_overrides(&OverridesError::DefinitionsChanged(server.clone())));
            }
            Ok(ActPreview::Definitions(Box::new(waiting)))
        }
        Act::Grant(..) | Act::Allow(_) | Act::RemoveRule(..) => {
            tools(daemon, act).await.map(ActPreview::Tools)
        }
        Act::Reject(_)
        | Act::Repeat(_)
        | Act::Revoke(_)
        | Act::Ask(_)
        | Act::Deny(_)
        | Act::Pause
        | Act::Resume
        | Act::AcceptDefinition(..)
        | Act::SetPassphrase
        | Act::EnrollTotp
        | Act::RemoveTotp
        | Act::Pair
        | Act::Unpair
        | Act::Login(_)
        | Act::Logout(_)
        | Act::SetSecret(_)
        | Act::ClearSecrets(_)
        | Act::CreateToken(..)
        | Act::RevokeToken(_)
        | Act::StopDaemon => Ok(ActPreview::Tools(Vec::new())),
    }
}

/// A task that one person can approve now.
fn look_at_waiting(daemon: &Daemon, task: TaskId) -> Result<InspectedTask, DaemonFailure> {
    let look = shown::look(daemon, task)?;
    if look.task.state != TaskState::PendingApproval {
        return Err(failure::of_approval(&ApprovalError::WrongState(task, look.task.state)));
    }
    if !look.task.quorums.is_empty() {
        let words =
            "this call takes several people, each on its card on Telegram; a terminal is none of them";
        return Err(DaemonFailure::new(FailureKind::Refused, words));
    }
    Ok(look)
}

/// The waiting tasks whose calls would run by this act, the one that expires first before the others. A pause is left
/// out of account.
pub(super) fn covered_tasks(daemon: &Daemon, act: &Act) -> Result<Vec<TaskId>, DaemonFailure> {
    let (policy, now) = (daemon.policy.load_full(), daemon.clock.now());
    let Some((_, mut after)) = after(policy.overrides(), act, GrantLimits::clone, now) else {
        return Ok(Vec::new());
    };
    after.paused = None;
    let after = policy.with_overrides(after);
    let agents = daemon.sessions.agent_sessions();
    let waiting =
        daemon.journal.store().read(move |store| tasks::ids_in_state(store, TaskState::PendingApproval));
    let waiting = waiting.map_err(|error| failure::of_store(&error))?;
    let covers = |id: &TaskId| {
        // A task that can't be read any more isn't covered.
        let Ok(task) = daemon.approval_queue.find_task(*id, None) else { return false };
        let origin = task.origin;
        let agent_session = agents.iter().find(|(session, _)| *session == origin.session);
        let origin = CallOrigin { agent_session: agent_session.map(|(_, agent)| agent.clone()), ..origin };
        let decision = after.decide_without_denials(task.call.identity(), Some(origin.asker()), now);
        decision.action == Action::Allow
    };
    Ok(waiting.into_iter().filter(covers).collect())
}

/// Returns the tools whose decision the act changes, each with its present action; denied ones first. A grant
/// lifts no deny, so tools that stay denied are listed too. Acts without a pattern change none.
pub(super) async fn tools(daemon: &Daemon, act: &Act) -> Result<Vec<(ToolId, Action)>, DaemonFailure> {
    let (policy, now) = (daemon.policy.load_full(), daemon.clock.now());
    // The tools of a grant for certain calls are those of the grant for all, which the limits beside the list narrow.
    let of_tools =
        |limits: &GrantLimits| GrantLimits { reads_only: limits.reads_only, ..GrantLimits::default() };
    let Some((pattern, after)) = after(policy.overrides(), act, of_tools, now) else {
        return Ok(Vec::new());
    };
    let known = known_tools(daemon).await?;
    Ok(changed(&policy, act, (pattern, after), known, now))
}

/// The tools of `known` with at least one call that would be decided more loosely; a pause is left out of
/// account.
fn changed(
    policy: &Policy,
    act: &Act,
    (pattern, after): (&Pattern, Overrides),
    known: Vec<ToolId>,
    now: Moment,
) -> Vec<(ToolId, Action)> {
    let after = policy.with_overrides(after);
    let mut tools: Vec<(ToolId, Action)> = known
        .into_iter()
        .filter(|tool| pattern.matches(tool))
        .filter_map(|tool| {
            let (before, after) =
                (policy.action_range(&tool, None, now), after.action_range(&tool, None, now));
            // The person would expect a granted tool to run, so they see that this one won't.
            let stays_denied = matches!(act, Act::Grant(..)) && after.1 == Action::Deny;
            let looser = after.0 < before.0 || after.1 < before.1;
            (looser || stays_denied).then_some((tool, before.1))
        })
        .collect();
    tools.sort_by(|(one, one_is), (two, two_is)| two_is.cmp(one_is).then_with(|| one.cmp(two)));
    tools
}

/// The act's pattern with the rules and grants after the act. None where the act loosens no decision about calls.
/// `limit` says which limits of a grant count.
pub(super) fn after<'act>(
    standing: &Overrides,
    act: &'act Act,
    limit: impl Fn(&GrantLimits) -> GrantLimits,
    now: Moment,
) -> Option<(&'act Pattern, Overrides)> {
    // The largest id, because the new entry is the latest.
    let id = u64::MAX;
    let mut after = standing.clone();
    let pattern = match act {
        Act::Allow(pattern) => {
            after.rules.retain(|rule| !rule.is_replaced_by_allowing(pattern));
            let rule = PolicyRule { id, pattern: pattern.clone(), action: Action::Allow, made: now.wall };
            after.rules.push(rule);
            pattern
        }
        Act::Grant(pattern, _, limits) => {
            after.grants.push(Grant {
                id,
                pattern: pattern.clone(),
                made: now,
                boot_id: standing.boot_id.clone(),
                millis: 1,
                limits: limit(limits),
                used: 0,
            });
            pattern
        }
        Act::RemoveRule(id, pattern, _) => {
            after.rules.retain(|rule| rule.id != *id);
            pattern
        }
        Act::Approve(_)
        | Act::ApproveFresh(_)
        | Act::ApproveWith(..)
        | Act::Reject(_)
        | Act::Repeat(_)
        | Act::Reveal(_)
        | Act::Revoke(_)
        | Act::Ask(_)
        | Act::Deny(_)
        | Act::Pause
        | Act::Resume
        | Act::ConfirmConfig(_)
        | Act::AcceptDefinitions(..)
        | Act::AcceptDefinition(..)
        | Act::SetPassphrase
        | Act::EnrollTotp
        | Act::RemoveTotp
        | Act::Pair
        | Act::Unpair
        | Act::Login(_)
        | Act::Logout(_)
        | Act::SetSecret(_)
        | Act::ClearSecrets(_)
        | Act::CreateToken(..)
        | Act::RevokeToken(_)
        | Act::StopDaemon => return None,
    };
    Some((pattern, after))
}

/// Every known tool and operation: the daemon's own, and by the shared cache those of sessions.
async fn known_tools(daemon: &Daemon) -> Result<Vec<ToolId>, DaemonFailure> {
    let (config, folder) = (daemon.config.current(), daemon.paths.catalog());
    let servers = config.servers.clone();
    let heard = tokio::task::spawn_blocking(move || cached_tools(&servers, &folder))
        .await
        .map_err(|error| DaemonFailure::new(FailureKind::Internal, error.to_string()))?;
    let operations = config
        .servers
        .iter()
        .flat_map(|server| Operation::ALL.map(|operation| ToolId::new(server.name.clone(), operation)));
    let heard = heard.into_iter().flat_map(|(_, tools)| tools);
    let mut known: Vec<ToolId> =
        daemon.upstreams.known_tools().into_iter().chain(heard).chain(operations).collect();
    known.sort_unstable();
    known.dedup();
    Ok(known)
}

#[cfg(test)]
mod tests {
    use portero::clock::{Clock as _, TestClock};
    use portero::policy::{ConfigPolicy, DecisionSource, PolicyEntry};

    use super::*;

    fn now() -> Moment {
        TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()).now()
    }

    fn entry(pattern: &str, action: Action) -> PolicyEntry {
        PolicyEntry {
            pattern: pattern.parse().unwrap(),
            action,
            cases: Vec::new(),
            source: DecisionSource::Config { line: 1, column: 1 },
        }
    }

    fn rule(id: u64, pattern: &str, action: Action) -> PolicyRule {
        PolicyRule { id, pattern: pattern.parse().unwrap(), action, made: now().wall }
    }

    fn of(
        config: &ConfigPolicy,
        standing: Overrides,
        pattern: &str,
        act: fn(Pattern) -> Act,
    ) -> Vec<(String, Action)> {
        let pattern: Pattern = pattern.parse().unwrap();
        let known = ["a/read", "a/send", "a/erase", "a/drop", "b/send"].map(|tool| tool.parse().unwrap());
        let policy = Policy::new(config.clone(), Overrides { boot_id: "boot".into(), ..standing });
        let act = act(pattern);
        let loosened = after(policy.overrides(), &act, |_| GrantLimits::default(), now());
        let loosened = loosened.expect("an act that loosens");
        let tools = changed(&policy, &act, loosened, known.to_vec(), now());
        tools.into_iter().map(|(tool, action)| (tool.to_string(), action)).collect()
    }

    fn tools(all: &[(&str, Action)]) -> Vec<(String, Action)> {
        all.iter().map(|(tool, action)| ((*tool).to_owned(), *action)).collect()
    }

    fn config() -> ConfigPolicy {
        ConfigPolicy {
            entries: vec![entry("a/read", Action::Allow), entry("a/erase", Action::Deny)],
            locked: vec!["a/drop".parse().unwrap()],
            ..ConfigPolicy::default()
        }
    }

    #[test]
    fn what_is_locked_is_not_shown_as_changed_and_a_pause_hides_nothing() {
        for paused in [None, Some(now().wall)] {
            let standing = Overrides { paused, ..Overrides::default() };
            let reached = of(&config(), standing, "a/*", Act::Allow);
            assert_eq!(reached, tools(&[("a/erase", Action::Deny), ("a/send", Action::RequireApproval)]));
        }
    }

    #[test]
    fn what_goes_on_being_denied_or_asked_for_is_not_shown_as_changed() {
        let rules = vec![rule(1, "a/erase", Action::Deny), rule(2, "a/send", Action::RequireApproval)];
        let standing = || Overrides { rules: rules.clone(), ..Overrides::default() };
        assert_eq!(of(&config(), standing(), "a/*", Act::Allow), [], "both are more specific");
        let reached = of(&config(), standing(), "a/send", Act::Allow);
        assert_eq!(reached, tools(&[("a/send", Action::RequireApproval)]), "it takes that rule's place");
        let reached =
            of(&config(), standing(), "a/*", |pattern| Act::Grant(pattern, 1, GrantLimits::default()));
        assert_eq!(reached, tools(&[("a/erase", Action::Deny), ("a/send", Action::RequireApproval)]));
    }

    #[test]
    fn the_end_of_a_rule_that_asks_shows_what_would_run_unasked() {
        let rules = vec![rule(7, "*", Action::RequireApproval), rule(8, "a/drop", Action::Allow)];
        let grant: Grant = serde_json::from_value(serde_json::json!({
            "id": 6, "pattern": "a/send", "made": now(), "boot_id": "boot", "millis": 60_000,
        }))
        .unwrap();
        let standing = Overrides { rules, grants: vec![grant], ..Overrides::default() };
        let reached =
            of(&config(), standing, "*", |pattern| Act::RemoveRule(7, pattern, Action::RequireApproval));
        let asks = Action::RequireApproval;
        assert_eq!(reached, tools(&[("a/read", asks), ("a/send", asks)]), "by the files, and by the grant");
    }
}
