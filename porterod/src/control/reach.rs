//! What a pattern would change if it were allowed: shown to a person who is about to widen.

use std::sync::Arc;

use portero::catalog::Catalog;
use portero::clock::Moment;
use portero::ipc::{Failure, FailureKind, Reply};
use portero::names::{Operation, ToolId};
use portero::pattern::Pattern;
use portero::policy::{Action, Policy, Rule, Standing};

use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Arc<Daemon>, pattern: Pattern) -> Result<Reply, Failure> {
    tools(daemon, &pattern).await.map(Reply::Reach)
}

/// The tools that it covers and that are not allowed now, denied ones first.
pub(super) async fn tools(daemon: &Arc<Daemon>, pattern: &Pattern) -> Result<Vec<(ToolId, Action)>, Failure> {
    let known = known_tools(daemon).await?;
    Ok(changed(&daemon.policy.load(), pattern, known, daemon.clock.now()))
}

/// Those of `known` that are decided otherwise once the pattern is allowed; not what is locked, and whatever a pause
/// says for now.
fn changed(policy: &Policy, pattern: &Pattern, known: Vec<ToolId>, now: Moment) -> Vec<(ToolId, Action)> {
    let unpaused = Standing { paused: None, ..policy.standing().clone() };
    let mut wider = unpaused.clone();
    let allow = Rule { id: 0, pattern: pattern.clone(), action: Action::Allow, made: now.wall };
    wider.rules.push(allow);
    let (present, wider) = (policy.with_standing(unpaused), policy.with_standing(wider));
    let mut tools: Vec<(ToolId, Action)> = known
        .into_iter()
        .filter(|tool| pattern.matches(tool) && !wider.decide(tool, None, None, now).locked)
        .map(|tool| {
            let action = present.decide(&tool, None, None, now).action;
            (tool, action)
        })
        .filter(|(_, action)| *action != Action::Allow)
        .collect();
    tools.sort_by(|(one, one_is), (two, two_is)| two_is.cmp(one_is).then_with(|| one.cmp(two)));
    tools
}

/// Every tool and operation that the daemon or, by the cache that they share, a session knows of.
async fn known_tools(daemon: &Arc<Daemon>) -> Result<Vec<ToolId>, Failure> {
    let (config, cache) = (daemon.config.load_full(), daemon.paths.catalog());
    let servers = config.servers.clone();
    let cached = tokio::task::spawn_blocking(move || Catalog::new(&servers, Some(cache)))
        .await
        .map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?;
    let operations = config
        .servers
        .iter()
        .flat_map(|server| Operation::ALL.map(|operation| ToolId::new(server.name.clone(), operation)));
    let tools = daemon.catalog.tools().into_iter().chain(cached.tools()).map(|tool| tool.id.clone());
    let mut known: Vec<ToolId> = tools.chain(operations).collect();
    known.sort_unstable();
    known.dedup();
    Ok(known)
}

#[cfg(test)]
mod tests {
    use portero::clock::{Clock as _, TestClock};
    use portero::policy::{ConfigPolicy, Entry, Source};

    use super::*;

    #[test]
    fn what_is_locked_is_not_shown_as_changed_and_a_pause_hides_nothing() {
        let entry = |pattern: &str, action| Entry {
            pattern: pattern.parse().unwrap(),
            action,
            cases: Vec::new(),
            source: Source::Config { line: 1, column: 1 },
        };
        let config = ConfigPolicy {
            entries: vec![entry("a/read", Action::Allow), entry("a/erase", Action::Deny)],
            locked: vec!["a/drop".parse().unwrap()],
            ..ConfigPolicy::default()
        };
        let now = TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()).now();
        let known =
            || ["a/read", "a/send", "a/erase", "a/drop", "b/send"].map(|tool| tool.parse().unwrap()).to_vec();
        let expected: Vec<(ToolId, Action)> = vec![
            ("a/erase".parse().unwrap(), Action::Deny),
            ("a/send".parse().unwrap(), Action::RequireApproval),
        ];
        for paused in [None, Some(now.wall)] {
            let policy = Policy::new(config.clone(), Standing { paused, ..Standing::default() });
            assert_eq!(changed(&policy, &"a/*".parse().unwrap(), known(), now), expected);
        }
    }
}
